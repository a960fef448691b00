//! Dates found by counting days one year and one month at a time, and RFC 3339 read with a list of
//! characters.
//!
//! Days are counted from 1970-01-01, microseconds from its first instant in UTC.

/// Microseconds in a second.
pub(crate) const SECOND: i128 = 1_000_000;
/// Microseconds in a minute.
pub(crate) const MINUTE: i128 = 60 * SECOND;
/// Microseconds in an hour.
pub(crate) const HOUR: i128 = 60 * MINUTE;
/// Microseconds in a day.
pub(crate) const DAY: i128 = 24 * HOUR;

fn is_leap(year: i64) -> bool {
    year % 400 == 0 || (year % 4 == 0 && year % 100 != 0)
}

fn days_in_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The number of a civil day that exists.
pub(crate) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let whole_years: i64 = if year >= 1970 {
        (1970..year).map(days_in_year).sum()
    } else {
        -(year..1970).map(days_in_year).sum::<i64>()
    };
    let whole_months: i64 = (1..month).map(|earlier| days_in_month(year, earlier)).sum();
    whole_years + whole_months + day - 1
}

/// The civil day of a day number, as `(year, month, day)`.
pub(crate) fn civil(day_number: i64) -> (i64, i64, i64) {
    let mut left = day_number;
    let mut year = 1970;
    while left < 0 {
        year -= 1;
        left += days_in_year(year);
    }
    while left >= days_in_year(year) {
        left -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while left >= days_in_month(year, month) {
        left -= days_in_month(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

/// A day number as `YYYY-MM-DD`.
pub(crate) fn date_text(day_number: i64) -> String {
    let (year, month, day) = civil(day_number);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The number of the UTC day on which an instant falls.
pub(crate) fn utc_day(micros: i128) -> i64 {
    i64::try_from(micros.div_euclid(DAY)).expect("days are far fewer than microseconds")
}

/// The number of the day at UTC+08:00 on which an instant falls.
pub(crate) fn china_day(micros: i128) -> i64 {
    utc_day(micros + 8 * HOUR)
}

/// The first instant after a day at UTC+08:00.
pub(crate) fn china_day_end(day_number: i64) -> i128 {
    i128::from(day_number + 1) * DAY - 8 * HOUR
}

/// Reads `YYYY-MM-DD`, exactly; `None` when it is no date.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() != 10 || chars[4] != '-' || chars[7] != '-' {
        return None;
    }
    let (year, month, day) = (digits(&chars[0..4])?, digits(&chars[5..7])?, digits(&chars[8..10])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(day_number(year, month, day))
}

/// Reads a timestamp as CONTRACT describes it, cut to microseconds; `None` when it is no timestamp
/// with an offset.
pub(crate) fn parse_timestamp(text: &str) -> Option<i128> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() < 20 {
        return None;
    }
    let day = parse_date(&chars[0..10].iter().collect::<String>())?;
    if !matches!(chars[10], 'T' | 't' | ' ') || chars[13] != ':' || chars[16] != ':' {
        return None;
    }
    let hour = digits(&chars[11..13])?;
    let minute = digits(&chars[14..16])?;
    let second = digits(&chars[17..19])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_micros, rest) = fraction(&chars[19..])?;
    let local = i128::from(day) * DAY
        + i128::from(hour) * HOUR
        + i128::from(minute) * MINUTE
        + i128::from(second) * SECOND
        + fraction_micros;
    Some(local - offset_micros(rest)?)
}

fn digits(chars: &[char]) -> Option<i64> {
    let mut number = 0;
    for digit in chars {
        number = number * 10 + i64::from(digit.to_digit(10)?);
    }
    Some(number)
}

/// An optional `.` with at least one digit, and what follows it.
fn fraction(chars: &[char]) -> Option<(i128, &[char])> {
    if chars.first() != Some(&'.') {
        return Some((0, chars));
    }
    let length = chars[1..].iter().take_while(|c| c.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let mut six: Vec<char> = chars[1..=length].to_vec();
    six.resize(6, '0');
    Some((i128::from(digits(&six)?), &chars[length + 1..]))
}

fn offset_micros(chars: &[char]) -> Option<i128> {
    if matches!(chars, ['Z' | 'z']) {
        return Some(0);
    }
    if chars.len() != 6 || chars[3] != ':' {
        return None;
    }
    let (hours, minutes) = (digits(&chars[1..3])?, digits(&chars[4..6])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = i128::from(hours) * HOUR + i128::from(minutes) * MINUTE;
    match chars[0] {
        '+' => Some(east),
        '-' => Some(-east),
        _ => None,
    }
}
