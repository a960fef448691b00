//! Times and dates as the contract writes them: RFC 3339 and `YYYY-MM-DD`, in ASCII.

use crate::units::{BusinessDay, Timestamp};

#[cfg(test)]
mod tests;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// The instant that an RFC 3339 date-time names, or `None` where it names none.
///
/// Narrower than the RFC in that there are no leap seconds (`:60`), wider in that one space may
/// stand for the `T`. A fraction may have any number of digits and is cut to microseconds, towards
/// the earlier instant. The offset is required; `-00:00` is UTC.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.as_bytes().split_first_chunk()?;
    let (b'T' | b't' | b' ', rest) = rest.split_first()? else {
        return None;
    };
    let (time, rest) = rest.split_first_chunk()?;
    let (micros, rest) = split_fraction(rest)?;
    let seconds = i64::from(day(date)?.days()) * 86_400 + seconds_of_day(*time)? - offset(rest)?;
    Some(Timestamp::from_micros(seconds * MICROS_PER_SECOND + micros))
}

/// The day that `YYYY-MM-DD` names in the proleptic Gregorian calendar, years 0000 to 9999, or
/// `None` where it names none.
pub fn parse_date(text: &str) -> Option<BusinessDay> {
    day(text.as_bytes().try_into().ok()?)
}

/// `YYYY-MM-DD`
fn day(date: &[u8; 10]) -> Option<BusinessDay> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else {
        return None;
    };
    let year = number([y0, y1, y2, y3])?;
    let month = number([m0, m1])?;
    let day = number([d0, d1])?;
    BusinessDay::from_civil(year.into(), month.into(), day.into())
}

/// `hh:mm:ss`, `00:00:00` to `23:59:59`.
fn seconds_of_day(time: [u8; 8]) -> Option<i64> {
    let [h0, h1, b':', m0, m1, b':', s0, s1] = time else {
        return None;
    };
    let second = number([s0, s1]).filter(|&second| second < 60)?;
    Some(clock([h0, h1], [m0, m1])? + i64::from(second))
}

/// The microseconds of a fraction, if there is one, and what follows it.
fn split_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', text @ ..] = text else {
        return Some((0, text));
    };
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    let padded = digits.iter().chain(std::iter::repeat(&b'0'));
    let micros = padded.take(6).fold(0, |micros, byte| micros * 10 + i64::from(byte - b'0'));
    Some((micros, rest))
}

/// `Z`, or `+hh:mm` or `-hh:mm` up to 23:59: seconds that local time is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [b'+', h0, h1, b':', m0, m1] => clock([h0, h1], [m0, m1]),
        [b'-', h0, h1, b':', m0, m1] => clock([h0, h1], [m0, m1]).map(|ahead| -ahead),
        _ => None,
    }
}

/// The seconds in `hh` hours, 00 to 23, and `mm` minutes, 00 to 59.
fn clock(hour: [u8; 2], minute: [u8; 2]) -> Option<i64> {
    let hour = number(hour).filter(|&hour| hour < 24)?;
    let minute = number(minute).filter(|&minute| minute < 60)?;
    Some(i64::from(hour) * 3_600 + i64::from(minute) * 60)
}

/// The number that up to four decimal digits write.
fn number<const N: usize>(digits: [u8; N]) -> Option<u16> {
    const { assert!(N <= 4, "u16 holds four digits") };
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u16::from(byte - b'0'))
    })
}
