//! What an operator's recorded decision does to a fold.
//!
//! The state of a shard is a function of the log, of rules and of decisions. A decision is an object
//! that never changes, and its address stands in the digest of the ledger from where it was adopted.

use postroad_schemas::units::{NextOffset, Offset};

use crate::event::CellKey;
use crate::measures::Measures;

/// The address of a decision: a hash of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(pub u128);

/// Records that had been rejected and are to count after all, with what they add: worked out by
/// whoever proposed the decision, under rules that accept them, and checked by `verify`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// The offsets of those that are applied, ascending.
    pub applied: Vec<Offset>,
    /// The offsets of those that repeat an event of the window around them, ascending.
    pub duplicates: Vec<Offset>,
    /// What those that are applied add.
    pub cells: Vec<(CellKey, Measures)>,
}

impl Replay {
    /// Every offset that it is about, ascending.
    pub fn offsets(&self) -> Vec<Offset> {
        let mut offsets: Vec<_> = self.applied.iter().chain(&self.duplicates).copied().collect();
        offsets.sort_unstable();
        offsets
    }
}

/// Why a decision does not fit the state that it was to be adopted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing is lost there.
    #[error("nothing is lost before {to}: everything up to {next} was read")]
    NothingLost {
        /// The end of what was to be given up.
        to: NextOffset,
        /// The end of what was read.
        next: NextOffset,
    },
    /// A record counts already, by an earlier decision.
    #[error("the dead letter at offset {0} was replayed before")]
    Replayed(Offset),
    /// An offset has not been read.
    #[error("the record at offset {0} has not been read")]
    NotRead(Offset),
    /// It does not add up: as many events as records, and no more records than were rejected.
    #[error(
        "it is about {records} records, its cells hold {events} events, and {rejected} were rejected"
    )]
    DoesNotAddUp {
        /// Records to be applied.
        records: u64,
        /// Events in its cells.
        events: i64,
        /// Records that had been rejected.
        rejected: u64,
    },
}
