//! What real producers do wrong, at the rates of the domain page: records sent twice, late or
//! broken.

use super::province::Simulated;
use super::province::dice::Dice;

/// Of all records, the part that is an earlier record sent again.
const DUPLICATES: f64 = 0.005;
/// Of all records, the part that cannot be used.
const MALFORMED: f64 = 0.000_5;
/// Of all records, the part that has no value.
const TOMBSTONES: f64 = 0.000_1;
/// Of all events, the part that is more than an hour late (and less than a day).
const LATE_HOURS: f64 = 0.01;
/// Of all events, the part that is more than a day late.
const LATE_DAYS: f64 = 0.001;
/// Of finance events, the part that reverses another.
pub(super) const REVERSALS: f64 = 0.002;

const HOUR_MS: i64 = 3_600_000;
/// Records that a duplicate can still repeat.
const REPEATABLE: usize = 512;
/// A repeat comes within half the default dedupe window, so that it is one by every rule.
const REPEAT_WITHIN_MS: u64 = 12 * 3_600_000;

/// The memory of a careless producer: what it sent last, and may send again or garble.
#[derive(Debug, Default)]
pub(super) struct Faults {
    sent: Vec<Simulated>,
    count: usize,
}

impl Faults {
    /// A faulty record in place of a good one, or `None` when this one is to be good.
    pub(super) fn strike(&self, dice: &mut Dice, now_ms: i64) -> Option<Simulated> {
        let struck = if dice.chance(DUPLICATES) {
            Strike::Duplicate
        } else if dice.chance(MALFORMED) {
            Strike::Malformed
        } else if dice.chance(TOMBSTONES) {
            Strike::Tombstone
        } else {
            return None;
        };
        if self.sent.is_empty() {
            return None;
        }
        let earlier = &self.sent[dice.index(self.sent.len())];
        let value = earlier.value.as_deref().unwrap_or_default();
        let value = match struck {
            Strike::Duplicate if now_ms.abs_diff(earlier.timestamp_ms) > REPEAT_WITHIN_MS => {
                return None;
            }
            Strike::Duplicate => Some(value.to_vec()),
            Strike::Malformed => Some(Damage::ALL[dice.index(Damage::ALL.len())].apply(value)),
            Strike::Tombstone => None,
        };
        Some(Simulated {
            contract: earlier.contract,
            key: earlier.key.clone(),
            value,
            timestamp_ms: now_ms,
        })
    }

    /// How long before its record an event happened, beyond the usual delay; mostly 0.
    pub(super) fn lateness_ms(dice: &mut Dice) -> i64 {
        if dice.chance(LATE_HOURS) {
            dice.between(HOUR_MS, 20 * HOUR_MS)
        } else if dice.chance(LATE_DAYS) {
            dice.between(25 * HOUR_MS, 5 * 24 * HOUR_MS)
        } else {
            0
        }
    }

    /// Takes note of a good record that was sent.
    pub(super) fn remember(&mut self, record: &Simulated) {
        if self.sent.len() < REPEATABLE {
            self.sent.push(record.clone());
        } else {
            self.sent[self.count % REPEATABLE] = record.clone();
        }
        self.count += 1;
    }
}

#[derive(Debug, Clone, Copy)]
enum Strike {
    Duplicate,
    Malformed,
    Tombstone,
}

/// The ways in which a value goes bad, each ending in a reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// No byte at all: `malformed`.
    Empty,
    /// Cut off in the middle: `malformed`.
    Truncated,
    /// A byte that UTF-8 does not have: `malformed`.
    NotUtf8,
    /// An array around the object: `malformed`.
    Array,
    /// A number where a text belongs: `malformed`.
    WrongType,
    /// Another name for `event_id`: `missing_field`.
    NoEventId,
    /// A type that nobody knows: `unknown_type`.
    UnknownType,
    /// A product that nobody knows: `unknown_product`.
    UnknownProduct,
    /// A prefecture of no province: `unknown_prefecture`.
    UnknownPrefecture,
    /// A local time without its offset: `invalid_time`.
    NoOffset,
}

impl Damage {
    pub(super) const ALL: [Self; 10] = [
        Self::Empty,
        Self::Truncated,
        Self::NotUtf8,
        Self::Array,
        Self::WrongType,
        Self::NoEventId,
        Self::UnknownType,
        Self::UnknownProduct,
        Self::UnknownPrefecture,
        Self::NoOffset,
    ];

    /// The value with this damage done; `value` is one that the simulator wrote.
    pub(super) fn apply(self, value: &[u8]) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Truncated => value[..value.len() / 2].to_vec(),
            Self::NotUtf8 => replaced(value, b"\"event_id\":\"", b"\"event_id\":\"\xff"),
            Self::Array => [b"[".as_slice(), value, b"]"].concat(),
            Self::WrongType => replaced(value, b"\"product\":", b"\"product\":7,\"was\":"),
            Self::NoEventId => replaced(value, b"\"event_id\"", b"\"event_no\""),
            Self::UnknownType => replaced(value, b"_type\":\"", b"_type\":\"un"),
            Self::UnknownProduct => replaced(value, b"\"product\":\"", b"\"product\":\"un"),
            Self::UnknownPrefecture => {
                replaced(value, b"\"prefecture\":\"21", b"\"prefecture\":\"99")
            }
            Self::NoOffset => replaced(value, b"+08:00", b""),
        }
    }
}

/// The value with the first occurrence of `from` replaced; unchanged where there is none.
fn replaced(value: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match value.windows(from.len()).position(|window| window == from) {
        Some(at) => [&value[..at], to, &value[at + from.len()..]].concat(),
        None => value.to_vec(),
    }
}
