//! The rules of a fold: everything besides the log that decides what a record does.
//!
//! Rules are content-addressed. A shard adopts new ones only at a checkpoint, which lists from
//! which offset on they hold; whatever re-reads the log uses the rules of each offset. Names,
//! benchmarks and plans are not rules and never touch a fold.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use postroad_schemas::codebook::{Codebook, PrefectureCode};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Raised whenever a change of the decoders changes what they make of any value.
pub const DECODER_VERSION: u32 = 1;

/// The rules in force for a range of offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Which decoders read the values.
    pub decoder_version: u32,
    /// Known prefectures. A code is known whatever its dates of validity.
    pub prefectures: BTreeSet<PrefectureCode>,
    /// How long an event id is remembered, in hours of shard time, inclusive.
    pub dedupe_window_h: u32,
    /// An event is late from the end of its business day plus this many hours on, inclusive.
    pub late_after_h: u32,
    /// A day is final, and an event restates it, from its end plus this many hours on, inclusive.
    pub final_after_h: u32,
    /// The longest value that is read, in bytes, inclusive.
    pub value_bytes_max: u64,
}

impl Rules {
    /// The contract's defaults over the codes of a codebook.
    pub fn with_defaults(codebook: &Codebook) -> Self {
        Self {
            decoder_version: DECODER_VERSION,
            prefectures: codebook.prefectures().map(|prefecture| prefecture.code).collect(),
            dedupe_window_h: 24,
            late_after_h: 1,
            final_after_h: 72,
            value_bytes_max: 1 << 20,
        }
    }
}

/// The address of a set of rules: a hash of their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RulesId(u128);

impl RulesId {
    /// The address of content that was serialised once, by whoever stores it.
    pub fn of(content: &[u8]) -> Self {
        Self(xxh3_128(content))
    }

    /// The address as a number, for binary formats.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// The address with this number.
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for RulesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RulesId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}
