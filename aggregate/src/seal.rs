//! Sealing: what a shard no longer needs at hand leaves its state for segments, which never change.
//!
//! Sums are additive, so a day need not be in one place: what was sealed, and what late records added
//! to the day since, make up the day. Sealing therefore reads nothing, and changes no figure.

use std::collections::BTreeMap;

use postroad_schemas::units::BusinessDay;

use crate::event::CellKey;
use crate::ledger::DeadLetter;
use crate::measures::Measures;

/// What left a state and is not yet sealed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Leaving {
    /// Cells, by the first day of their month.
    pub cells: BTreeMap<BusinessDay, BTreeMap<CellKey, Measures>>,
    /// Dead letters, ascending by offset.
    pub dead_letters: Vec<DeadLetter>,
}

impl Leaving {
    /// Whether nothing left.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.dead_letters.is_empty()
    }
}

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Cells of days of the month that begins at this day.
    Cells(BusinessDay),
    /// Dead letters.
    DeadLetters,
}

/// A segment, as the checkpoints that need it list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    /// What it holds.
    pub part: Part,
    /// The reign of the writer that sealed it.
    pub epoch: u64,
    /// The place in the chain of the first checkpoint that lists it.
    pub seq: u64,
    /// How many records it stands for: applied ones, or rejected ones.
    pub records: u64,
    /// XXH3-128 of its bytes.
    pub hash: u128,
}
