//! Every sentence of the contract about times, and dates that are none.

use proptest::prelude::*;

use super::*;

/// Expects microseconds since the epoch, or `None` for no time.
#[track_caller]
fn check(text: &str, micros: Option<i64>) {
    assert_eq!(parse_timestamp(text), micros.map(Timestamp::from_micros), "{text:?}");
}

/// Expects days since the epoch, or `None` for no date.
#[track_caller]
fn check_date(text: &str, days: Option<i32>) {
    assert_eq!(parse_date(text), days.map(BusinessDay::from_days), "{text:?}");
}

/// 2024-08-29T02:15:30Z
const INSTANT: i64 = 1_724_897_730_000_000;

#[test]
fn the_separator_is_a_t_or_one_space() {
    for text in ["2024-08-29T02:15:30Z", "2024-08-29t02:15:30z", "2024-08-29 02:15:30Z"] {
        check(text, Some(INSTANT));
    }
    for text in [
        "2024-08-29  02:15:30Z",
        "2024-08-29_02:15:30Z",
        "2024-08-29\t02:15:30Z",
        "2024-08-29\u{a0}02:15:30Z",
        "2024-08-2902:15:30Z",
        " 2024-08-29T02:15:30Z",
        "2024-08-29T02:15:30Z ",
        "2024-08-29T02:15:30 Z",
    ] {
        check(text, None);
    }
}

#[test]
fn an_offset_is_required() {
    let at = |offset: &str| format!("2024-08-29T02:15:30{offset}");
    for utc in ["Z", "z", "+00:00", "-00:00"] {
        check(&at(utc), Some(INSTANT));
    }
    check(&at("+08:00"), Some(INSTANT - 8 * 3_600_000_000));
    check(&at("-08:30"), Some(INSTANT + 8 * 3_600_000_000 + 1_800_000_000));
    check(&at("+23:59"), Some(INSTANT - 86_340_000_000));
    check(&at("-23:59"), Some(INSTANT + 86_340_000_000));
    for none in ["", "+", "+08", "+0800", "+8:00", "+08:0", "+08:000", "+24:00", "-24:00", "+08:60"]
    {
        check(&at(none), None);
    }
    for none in
        ["08:00", " +08:00", "+08:00:00", "+08-00", "−08:00", "ZZ", "Z+00:00", "UTC", "+-1:00"]
    {
        check(&at(none), None);
    }
}

#[test]
fn clocks_run_from_midnight_to_the_last_second() {
    check("1970-01-01T00:00:00Z", Some(0));
    check("1969-12-31T23:59:59Z", Some(-1_000_000));
    for clock in
        ["24:00:00", "23:60:00", "23:59:60", "25:00:00", "99:99:99", "-1:00:00", "+1:00:00"]
    {
        check(&format!("2024-08-29T{clock}Z"), None);
    }
    for clock in ["2:15:30", "02:15", "0215:30", "021530", "02-15-30", "02:15:3", "02:15:3x", ""] {
        check(&format!("2024-08-29T{clock}Z"), None);
    }
    check("2016-12-31T23:59:60Z", None);
}

#[test]
fn fractions_are_cut_to_microseconds() {
    let at = |fraction: &str| format!("2024-08-29T02:15:30{fraction}Z");
    check(&at(".1"), Some(INSTANT + 100_000));
    check(&at(".000001"), Some(INSTANT + 1));
    check(&at(".0000019"), Some(INSTANT + 1));
    check(&at(".123456789123456789"), Some(INSTANT + 123_456));
    check(&at(&format!(".{}", "9".repeat(1_000))), Some(INSTANT + 999_999));
    check(&at(".0"), Some(INSTANT));
    check("1969-12-31T23:59:59.9999999Z", Some(-1));
    check("1969-12-31T23:59:58.0000001Z", Some(-2_000_000));
    for fraction in [".", "..1", ",5", ".x", ".1x", ".-1", ".1.1", ".٣", ". 1"] {
        check(&at(fraction), None);
    }
    check("2024-08-29T02:15:30.+08:00", None);
}

#[test]
fn years_have_four_digits() {
    check("0000-01-01T00:00:00Z", Some(-62_167_219_200_000_000));
    check("0000-01-01T00:00:00+23:59", Some(-62_167_219_200_000_000 - 86_340_000_000));
    check("9999-12-31T23:59:59.999999Z", Some(253_402_300_799_999_999));
    check("9999-12-31T23:59:59-23:59", Some(253_402_300_799_000_000 + 86_340_000_000));
    for date in ["10000-01-01", "-001-01-01", "+024-08-29", "024-08-29", "24-08-29", "20240829"] {
        check(&format!("{date}T00:00:00Z"), None);
    }
}

#[test]
fn a_timestamp_is_ascii() {
    check("２024-08-29T02:15:30Z", None);
    check("2024-08-29T02:15:3０Z", None);
    check("2024\u{2010}08-29T02:15:30Z", None);
    for none in
        ["", "Z", "T", "2024-08-29", "2024-08-29T", "now", "1724897730", "2024-W35-4T02:15:30Z"]
    {
        check(none, None);
    }
}

#[test]
fn only_real_days_count() {
    check_date("1970-01-01", Some(0));
    check_date("1969-12-31", Some(-1));
    check_date("2000-02-29", Some(11_016));
    check_date("2024-02-29", Some(19_782));
    check_date("0000-01-01", Some(-719_528));
    check_date("0000-02-29", Some(-719_469));
    check_date("9999-12-31", Some(2_932_896));
    for none in ["2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "2024-00-01", "2024-13-01"]
    {
        check_date(none, None);
        check(&format!("{none}T00:00:00Z"), None);
    }
    for none in ["2024-01-00", "2024-01-32", "2024-12-99"] {
        check_date(none, None);
        check(&format!("{none}T00:00:00Z"), None);
    }
}

#[test]
fn a_date_is_ten_ascii_characters() {
    for none in
        ["", "2024-8-29", "2024-08-29 ", " 2024-08-29", "2024/08/29", "20240829", "2024-08-2９"]
    {
        check_date(none, None);
    }
    for none in
        ["02024-08-29", "2024-08-029", "+2024-8-29", "2024-08-2", "2024-08-29T", "2024-+8-29"]
    {
        check_date(none, None);
    }
}

proptest! {
    /// Seconds are counted from the calendar's rules, day by day of the year, not by a formula.
    #[test]
    fn a_written_instant_is_read_back(
        (year, month, day) in (0..=9999_i64, 1..=12_usize, 1..=31_i64),
        (hour, minute, second) in (0..24_i64, 0..60_i64, 0..60_i64),
        fraction in "(\\.[0-9]{1,12})?",
        (ahead, minutes) in (any::<bool>(), 0..1440_i64),
    ) {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let sign = if ahead { '+' } else { '-' };
        let date = format!("{year:04}-{month:02}-{day:02}");
        let time = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
        let text = format!("{date}T{time}{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        // Leap days before 1 January of the year: the year 0 is a leap year.
        let leaps = (0..year).step_by(4).filter(|y| y % 100 != 0 || y % 400 == 0).count();
        let days = year * 365
            + i64::try_from(leaps).expect("fewer than 2500")
            + months[..month - 1].iter().sum::<i64>()
            + day
            - 1;
        let shift = if ahead { -minutes } else { minutes };
        let seconds = days * 86_400 - 62_167_219_200 + hour * 3600 + (minute + shift) * 60 + second;
        let six = format!("{:0<7.7}", if fraction.is_empty() { "." } else { &fraction });
        let micros: i64 = six[1..].parse().expect("six digits");
        let expected = (day <= months[month - 1]).then_some(seconds * 1_000_000 + micros);
        prop_assert_eq!(parse_timestamp(&text), expected.map(Timestamp::from_micros));
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>(), near in "[-+:.TZ0-9 é]{0,40}") {
        for text in [text, near] {
            let _ = (parse_timestamp(&text), parse_date(&text));
        }
    }

    /// One byte of a valid text replaced: what is still accepted is printed the same way.
    #[test]
    fn a_changed_byte_is_noticed(at in 0..20_usize, byte in 0x20..0x7f_u8) {
        let mut text = b"2024-08-29T02:15:30Z".to_vec();
        text[at] = byte;
        let text = String::from_utf8(text).expect("ASCII");
        if let Some(time) = parse_timestamp(&text) {
            prop_assert_eq!(time.to_string(), text.replace(['t', ' '], "T").replace('z', "Z"));
        }
    }
}
