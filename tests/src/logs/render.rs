//! The same event in the many spellings that JSON and RFC 3339 allow.

use std::fmt::Write as _;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value};

use super::pick;
use crate::oracle::time;

/// Microseconds since the epoch as RFC 3339, in any of the spellings that CONTRACT allows.
///
/// Where the spelling has more than six digits of fraction, those beyond are random: they must not
/// matter.
pub fn rfc3339(rng: &mut StdRng, micros: i64) -> String {
    let offset_minutes: i64 = match rng.random_range(0..8) {
        0..4 => 480,
        4 | 5 => 0,
        6 => pick(rng, &[1439, -1439, 345, -210]),
        _ => rng.random_range(-1439..=1439),
    };
    let local = i128::from(micros) + i128::from(offset_minutes) * time::MINUTE;
    let day = time::utc_day(local);
    let of_day = local.rem_euclid(time::DAY);
    let (hours, minutes) = (of_day / time::HOUR, of_day / time::MINUTE % 60);
    let (seconds, fraction) = (of_day / time::SECOND % 60, of_day % time::SECOND);
    let separator = pick(rng, &['T', 'T', 'T', 't', ' ']);
    let mut text =
        format!("{}{separator}{hours:02}:{minutes:02}:{seconds:02}", time::date_text(day));
    push_fraction(rng, &mut text, fraction);
    if offset_minutes == 0 && rng.random_ratio(3, 4) {
        text.push_str(pick(rng, &["Z", "Z", "z", "-00:00"]));
    } else {
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
        let _ = write!(text, "{sign}{hours:02}:{minutes:02}");
    }
    text
}

fn push_fraction(rng: &mut StdRng, text: &mut String, micros: i128) {
    let mut digits = format!("{micros:06}");
    if rng.random_ratio(1, 3) {
        for _ in 0..rng.random_range(1..20) {
            digits.push(rng.random_range('0'..='9'));
        }
    } else {
        let shortest = digits.trim_end_matches('0').len();
        digits.truncate(rng.random_range(shortest..=6));
    }
    if !digits.is_empty() {
        text.push('.');
        text.push_str(&digits);
    }
}

/// The date at UTC+08:00 of an instant in microseconds, moved by some days.
pub(super) fn china_date(micros: i64, days: i64) -> String {
    time::date_text(time::china_day(i128::from(micros)) + days)
}

/// The object as JSON: half of the time compact and in order, else shuffled, spaced and escaped at
/// random.
pub fn serialise(rng: &mut StdRng, event: &Map<String, Value>) -> Vec<u8> {
    if rng.random_ratio(1, 2) {
        return Value::Object(event.clone()).to_string().into_bytes();
    }
    let mut members: Vec<(&String, &Value)> = event.iter().collect();
    members.shuffle(rng);
    let mut json = String::new();
    space(rng, &mut json);
    json.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        space(rng, &mut json);
        push_string(rng, &mut json, key);
        space(rng, &mut json);
        json.push(':');
        space(rng, &mut json);
        match value {
            Value::String(text) => push_string(rng, &mut json, text),
            other => json.push_str(&other.to_string()),
        }
        space(rng, &mut json);
    }
    json.push('}');
    space(rng, &mut json);
    json.into_bytes()
}

fn space(rng: &mut StdRng, json: &mut String) {
    json.push_str(pick(rng, &["", "", "", " ", "\t", "\r\n", " \n  "]));
}

/// A JSON string, with escapes that nobody asked for in a tenth of the characters.
fn push_string(rng: &mut StdRng, json: &mut String, text: &str) {
    json.push('"');
    let escape_all = rng.random_ratio(1, 20);
    for c in text.chars() {
        if escape_all || rng.random_ratio(1, 10) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = if rng.random() {
                    write!(json, "\\u{unit:04x}")
                } else {
                    write!(json, "\\u{unit:04X}")
                };
            }
            continue;
        }
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '/' if rng.random() => json.push_str("\\/"),
            '\n' => json.push_str("\\n"),
            control if control < ' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            plain => json.push(plain),
        }
    }
    json.push('"');
}
