//! One JSON object, written by hand: at hundreds of thousands a second a serialiser would be most
//! of the work.

use std::io::Write;

use postroad_schemas::units::{BusinessDay, Timestamp};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A JSON object under construction, without whitespace. Fields stand in the order of the calls.
///
/// Keys and texts are the simulator's own and need no escapes.
#[derive(Debug)]
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::with_capacity(448);
        bytes.push(b'{');
        Self(bytes)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    pub(super) fn int(&mut self, key: &str, int: i64) {
        self.key(key);
        self.write(format_args!("{int}"));
    }

    pub(super) fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.0.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    /// An object of one text.
    pub(super) fn nested(&mut self, key: &str, inner_key: &str, text: &str) {
        self.key(key);
        self.write(format_args!("{{\"{inner_key}\":\"{text}\"}}"));
    }

    pub(super) fn date(&mut self, key: &str, day: BusinessDay) {
        self.key(key);
        self.write(format_args!("\"{day}\""));
    }

    /// RFC 3339 in UTC+08:00, to the millisecond.
    pub(super) fn time(&mut self, key: &str, at_ms: i64) {
        let day = Timestamp::from_millis(at_ms).business_day();
        let of_day_ms = at_ms - day.start().as_micros() / 1_000;
        let (seconds, ms) = (of_day_ms / 1_000, of_day_ms % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        self.key(key);
        self.write(format_args!("\"{day}T{hour:02}:{minute:02}:{second:02}.{ms:03}+08:00\""));
    }

    /// A UUID in its usual form, 36 characters in lower case.
    pub(super) fn uuid(&mut self, key: &str, bytes: [u8; 16]) {
        self.key(key);
        self.0.push(b'"');
        for (index, byte) in bytes.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                self.0.push(b'-');
            }
            self.0.push(HEX[usize::from(byte >> 4)]);
            self.0.push(HEX[usize::from(byte & 15)]);
        }
        self.0.push(b'"');
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a vector takes every byte");
    }
}
