//! What a checkpoint keeps of a shard.

use std::collections::VecDeque;

use postroad_schemas::contract::Contract;
use postroad_schemas::reject::Reason;
use postroad_schemas::units::{BusinessDay, Hour, NextOffset, Offset, Timestamp};

use super::Cells;
use crate::decision::{DecisionId, Refused, Replay};
use crate::invariants::{Invariant, Violation};
use crate::ledger::{DeadLetter, Delivered, Ledger};
use crate::rules::RulesId;
use crate::seal::{Leaving, Part, Segment};

/// How many dead letters stay in the state though no day is being sealed.
const DEAD_LETTERS_AT_HAND: usize = 10_000;

/// Everything that a checkpoint keeps of a shard: a function of the log up to `ledger.next`, of
/// the rules in force at each offset and of recorded decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardState {
    /// Which contract the values follow.
    pub contract: Contract,
    /// The account.
    pub ledger: Ledger,
    /// The last record accounted for, to be found again at the same place on resuming.
    pub last_delivered: Option<Delivered>,
    /// Shard time: `None` before the first valid record.
    pub watermark: Option<Timestamp>,
    /// For each hour of shard time in the window, the offset of the first valid record at that
    /// hour; ascending in both.
    pub window_hours: VecDeque<(Hour, Offset)>,
    /// Which rules hold from which offset on; ascending, never empty.
    pub rules: Vec<(NextOffset, RulesId)>,
    /// The measures by cell; those of sealed days stand in segments, and late records of such days
    /// begin new cells here, which add to those.
    pub cells: Cells,
    /// The records that cannot be used, ascending by offset, unless they were sealed.
    pub dead_letters: Vec<DeadLetter>,
    /// What left the state for segments.
    pub sealed: Vec<Segment>,
    /// The dead letters that count after all, ascending: here or in a segment they still say why they
    /// had been rejected, and no table shows them.
    pub replayed: Vec<Offset>,
}

impl ShardState {
    /// A shard that begins at an offset, under these rules, and has read nothing.
    pub fn new(contract: Contract, first: NextOffset, rules: RulesId) -> Self {
        Self {
            contract,
            ledger: Ledger::new(first),
            last_delivered: None,
            watermark: None,
            window_hours: VecDeque::new(),
            rules: vec![(first, rules)],
            cells: Cells::default(),
            dead_letters: Vec::new(),
            sealed: Vec::new(),
            replayed: Vec::new(),
        }
    }

    /// The offset from which the dedupe window is rebuilt; `None` while no id is remembered.
    pub fn window_begin(&self) -> Option<Offset> {
        self.window_hours.front().map(|(_, offset)| *offset)
    }

    /// Where reading resumes: at the beginning of the window, and not after the last record, so
    /// that it can be compared.
    pub fn resume_from(&self) -> NextOffset {
        let last = self.last_delivered.map(|delivered| delivered.offset);
        let oldest = self.window_begin().into_iter().chain(last).min();
        oldest.map_or(self.ledger.next, NextOffset::from)
    }

    /// Checks every invariant of a state.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.ledger.check()?;
        let open: i128 = self.cells.values().map(|cell| i128::from(cell.events)).sum();
        let (sealed_events, sealed_letters) = self.sealed_records();
        Violation::unless_equal(
            Invariant::CellsHoldTheApplied,
            ("the sum of events over all cells, open and sealed", open + sealed_events),
            ("applied", self.ledger.applied.into()),
        )?;
        let kept = self.dead_letters.len() as i128 + sealed_letters;
        Violation::unless_equal(
            Invariant::RejectsAreKept,
            ("the number of dead letters, less those replayed", kept - self.replayed.len() as i128),
            ("rejected", self.ledger.rejected.into()),
        )?;
        let last = self.last_delivered.map(|delivered| delivered.offset);
        let ordered = self.window_begin().is_none_or(|begin| {
            self.ledger.first <= begin.into() && last.is_some_and(|last| begin <= last)
        }) && last.is_none_or(|last| self.ledger.next.is_past(last));
        if ordered {
            return Ok(());
        }
        Err(Violation {
            invariant: Invariant::BoundariesAreOrdered,
            detail: format!(
                "first {}, window {:?}, last {last:?}, next {}",
                self.ledger.first,
                self.window_begin(),
                self.ledger.next
            ),
        })
    }

    /// How many applied records and how many dead letters stand in segments.
    fn sealed_records(&self) -> (i128, i128) {
        self.sealed.iter().fold((0, 0), |(events, letters), segment| match segment.part {
            Part::Cells(_) => (events + i128::from(segment.records), letters),
            Part::DeadLetters => (events, letters + i128::from(segment.records)),
        })
    }

    /// Takes out the cells of days before `open_from`, and the dead letters that no reading of the
    /// window will ask for again. What is taken has to be listed in [`Self::sealed`] by the next
    /// checkpoint.
    pub fn take_old(&mut self, open_from: BusinessDay) -> Leaving {
        let mut leaving = Leaving::default();
        for (key, measures) in self.cells.extract_if(|key, _| key.day < open_from) {
            leaving.cells.entry(key.day.month_start()).or_default().insert(key, measures);
        }
        if !leaving.cells.is_empty() || self.has_many_dead_letters() {
            let window = self.resume_from();
            let is_old = |letter: &mut DeadLetter| {
                letter.reason != Reason::ClockAhead || window.is_past(letter.offset)
            };
            leaving.dead_letters = self.dead_letters.extract_if(.., is_old).collect();
        }
        leaving
    }

    /// Whether dead letters ought to be sealed even where no day is.
    pub fn has_many_dead_letters(&self) -> bool {
        self.dead_letters.len() > DEAD_LETTERS_AT_HAND
    }

    /// Gives up the offsets up to `to`, which the log no longer holds, as an operator decided. Only for
    /// use at a checkpoint that lists the decision.
    ///
    /// # Errors
    /// Where nothing lies between what was read and `to`.
    pub fn lose(&mut self, to: NextOffset, decision: DecisionId) -> Result<(), Refused> {
        self.ledger.lose(to, decision)
    }

    /// Lets records that had been rejected count after all, as an operator decided. Only for use at a
    /// checkpoint that lists the decision.
    ///
    /// # Errors
    /// Where they have not been rejected, or count already. The state is then unchanged.
    pub fn replay(&mut self, replay: &Replay, decision: DecisionId) -> Result<(), Refused> {
        let offsets = replay.offsets();
        if let Some(again) = offsets.iter().find(|at| self.replayed.binary_search(at).is_ok()) {
            return Err(Refused::Replayed(*again));
        }
        self.ledger.replay(replay, decision)?;
        for (key, measures) in &replay.cells {
            *self.cells.entry(*key).or_default() += measures;
        }
        self.replayed.extend(offsets);
        self.replayed.sort_unstable();
        Ok(())
    }

    /// Whether the record at this offset was once judged ahead of the clock. Later readings obey
    /// the judgement instead of making it again.
    pub(super) fn was_clock_ahead(&self, offset: Offset) -> bool {
        self.dead_letters
            .binary_search_by_key(&offset, |letter| letter.offset)
            .is_ok_and(|index| self.dead_letters[index].reason == Reason::ClockAhead)
    }

    /// The shard hour of a valid record in the window, from the hours' beginnings.
    pub(super) fn hour_at(&self, offset: Offset) -> Option<Hour> {
        let after = self.window_hours.partition_point(|(_, begin)| *begin <= offset);
        after.checked_sub(1).map(|index| self.window_hours[index].0)
    }

    pub(super) fn forget_hours_before(&mut self, oldest: Hour) {
        while self.window_hours.front().is_some_and(|(hour, _)| *hour < oldest) {
            self.window_hours.pop_front();
        }
    }
}
