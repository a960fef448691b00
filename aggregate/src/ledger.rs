//! The account of one shard: promise P1 in numbers.

use std::fmt;

use postroad_schemas::reject::{Field, Reason, Reject};
use postroad_schemas::units::{NextOffset, Offset, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::decision::{DecisionId, Refused, Replay};
use crate::invariants::{Invariant, Violation};

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect was added to a cell.
    Applied,
    /// Its event id had been seen within the window.
    Duplicate,
    /// It cannot be used; a dead letter says why.
    Rejected(Reject),
    /// A tombstone.
    Ignored,
}

impl Outcome {
    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Rejected(_) => "rejected",
            Self::Ignored => "ignored",
        }
    }

    /// One byte for the digest: outcomes below 16, reasons above.
    fn tag(self) -> u8 {
        match self {
            Self::Applied => 0,
            Self::Duplicate => 1,
            Self::Ignored => 2,
            Self::Rejected(reject) => 16 + reject.reason as u8,
        }
    }
}

/// Identifies one record of a log: where it stood, when, and what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, if it had one.
    pub timestamp: Option<Timestamp>,
    /// XXH3-128 of its value; zero for a tombstone.
    pub hash: u128,
}

/// The terms of P1 for one shard.
///
/// `consumed = applied + duplicates + rejected + ignored`, and
/// `consumed + gaps + lost = next − first`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Where the shard began.
    pub first: NextOffset,
    /// Everything below has been accounted for.
    pub next: NextOffset,
    /// Records whose effect was added to a cell.
    pub applied: u64,
    /// Records that repeat an event id within the window.
    pub duplicates: u64,
    /// Records that cannot be used.
    pub rejected: u64,
    /// Tombstones.
    pub ignored: u64,
    /// Offsets that the log does not deliver.
    pub gaps: u64,
    /// Offsets given up by an operator's recorded decision.
    pub lost: u64,
    /// A chained hash over every consumed record and its outcome: two ledgers with the same digest
    /// have read the same log and judged it alike.
    pub digest: u128,
}

impl Ledger {
    /// The account of a shard that begins at an offset and has read nothing.
    pub fn new(first: NextOffset) -> Self {
        Self {
            first,
            next: first,
            applied: 0,
            duplicates: 0,
            rejected: 0,
            ignored: 0,
            gaps: 0,
            lost: 0,
            digest: 0,
        }
    }

    /// The number of records judged.
    pub fn consumed(&self) -> u64 {
        self.applied + self.duplicates + self.rejected + self.ignored
    }

    /// Accounts for a record and for the gap before it.
    pub(crate) fn account(&mut self, record: &Delivered, outcome: Outcome) {
        self.advance_to(record.offset.into());
        self.next = record.offset.next();
        match outcome {
            Outcome::Applied => self.applied += 1,
            Outcome::Duplicate => self.duplicates += 1,
            Outcome::Rejected(_) => self.rejected += 1,
            Outcome::Ignored => self.ignored += 1,
        }
        let mut link = [0; 49];
        link[..16].copy_from_slice(&self.digest.to_le_bytes());
        link[16..24].copy_from_slice(&record.offset.get().to_le_bytes());
        let micros = record.timestamp.map_or(i64::MIN, Timestamp::as_micros);
        link[24..32].copy_from_slice(&micros.to_le_bytes());
        link[32..48].copy_from_slice(&record.hash.to_le_bytes());
        link[48] = outcome.tag();
        self.digest = xxh3_128(&link);
    }

    /// Counts the offsets in `[next, boundary)` as gaps: the log does not deliver them.
    pub(crate) fn advance_to(&mut self, boundary: NextOffset) {
        self.gaps += self.next.distance_to(boundary);
        self.next = self.next.max(boundary);
    }

    /// Counts the offsets in `[next, to)` as lost.
    pub(crate) fn lose(&mut self, to: NextOffset, decision: DecisionId) -> Result<(), Refused> {
        if to <= self.next {
            return Err(Refused::NothingLost { to, next: self.next });
        }
        self.lost += self.next.distance_to(to);
        self.next = to;
        self.decide(decision);
        Ok(())
    }

    /// Counts rejected records as what they turned out to be.
    pub(crate) fn replay(&mut self, replay: &Replay, decision: DecisionId) -> Result<(), Refused> {
        let offsets = replay.offsets();
        if let Some(unread) = offsets.iter().find(|offset| !self.next.is_past(**offset)) {
            return Err(Refused::NotRead(*unread));
        }
        let records = replay.applied.len() as u64;
        let events = replay.cells.iter().map(|(_, measures)| measures.events).sum();
        let fits = u64::try_from(events) == Ok(records)
            && offsets.len() as u64 <= self.rejected
            && offsets.is_sorted_by(|one, next| one < next);
        if !fits {
            return Err(Refused::DoesNotAddUp { records, events, rejected: self.rejected });
        }
        self.rejected -= offsets.len() as u64;
        self.applied += records;
        self.duplicates += replay.duplicates.len() as u64;
        self.decide(decision);
        Ok(())
    }

    /// Notes in the digest that a decision was adopted here.
    fn decide(&mut self, decision: DecisionId) {
        let mut link = [0; 32];
        link[..16].copy_from_slice(&self.digest.to_le_bytes());
        link[16..].copy_from_slice(&decision.0.to_le_bytes());
        self.digest = xxh3_128(&link);
    }

    /// Checks [`Invariant::OffsetsAreCovered`].
    ///
    /// # Errors
    /// The two figures, where they differ.
    pub fn check(&self) -> Result<(), Violation> {
        let covered = i128::from(self.consumed()) + i128::from(self.gaps) + i128::from(self.lost);
        let range = i128::from(self.next.get()) - i128::from(self.first.get());
        Violation::unless_equal(
            Invariant::OffsetsAreCovered,
            ("consumed + gaps + lost", covered),
            ("next_offset − first_offset", range),
        )
    }
}

/// A record that cannot be used, by its coordinates.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stands in its shard.
    pub offset: Offset,
    /// Its timestamp: the record's, else its own `occurred_at` where that could be read.
    pub timestamp: Option<Timestamp>,
    /// The consumer's clock when it was judged, from which its retention counts: an old log that is
    /// read today is not forgotten today. Nothing else depends on it.
    pub judged_at: Timestamp,
    /// Why it cannot be used.
    pub reason: Reason,
    /// The field that shows it.
    pub field: Option<Field>,
    /// Its value, where the operator chose to keep those.
    pub payload: Option<Box<[u8]>>,
}

impl fmt::Debug for DeadLetter {
    /// Says how long the value is, and never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("judged_at", &self.judged_at)
            .field("reason", &self.reason)
            .field("field", &self.field)
            .field("payload_bytes", &self.payload.as_ref().map(|payload| payload.len()))
            .finish()
    }
}
