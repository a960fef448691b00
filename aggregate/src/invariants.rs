//! The invariants of a shard, by name. They are asserted in production, at every checkpoint, and
//! each is referenced by the test that guards it.

use std::fmt;

/// A property that holds for every shard at every checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// I1: `consumed = applied + duplicates + rejected + ignored`, where `consumed` is counted by
    /// whoever delivers the records, and the terms by the fold.
    ConsumedIsJudged,
    /// I2: `consumed + gaps + lost = next_offset − first_offset`.
    OffsetsAreCovered,
    /// I3: the sum of `events` over all cells is the number of applied records.
    CellsHoldTheApplied,
    /// I4: `first ≤ window_begin ≤ last_delivered < next`.
    BoundariesAreOrdered,
    /// I5: there is one dead letter for each rejected record.
    RejectsAreKept,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConsumedIsJudged => "I1 consumed-is-judged",
            Self::OffsetsAreCovered => "I2 offsets-are-covered",
            Self::CellsHoldTheApplied => "I3 cells-hold-the-applied",
            Self::BoundariesAreOrdered => "I4 boundaries-are-ordered",
            Self::RejectsAreKept => "I5 rejects-are-kept",
        })
    }
}

/// A defect of this program: a state that must not be written, published or continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant} does not hold: {detail}; this is a defect, please report it")]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// The two figures that ought to agree.
    pub detail: String,
}

impl Violation {
    /// Checks that two figures agree.
    ///
    /// # Errors
    /// The invariant and both figures, where they differ.
    pub fn unless_equal(
        invariant: Invariant,
        (left_name, left): (&str, i128),
        (right_name, right): (&str, i128),
    ) -> Result<(), Self> {
        if left == right {
            return Ok(());
        }
        Err(Self { invariant, detail: format!("{left_name} is {left}, {right_name} is {right}") })
    }
}
