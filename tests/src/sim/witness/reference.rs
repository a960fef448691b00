//! The fold that a checkpoint ought to be: one reading of the log from the shard's beginning, never
//! interrupted.
//!
//! What is no function of the log is taken from the checkpoint itself, each where the contract says so:
//! which rules hold from which offset on, and which records were judged ahead of a clock (that they
//! were ahead of the clock that it names is checked all the same). A claim that found the dedupe window
//! cut by retention says so; from there on the window holds what was read again, and not more.
#![expect(clippy::similar_names, reason = "a life is read up to where another is like it")]

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::rules::RulesId;
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_schemas::reject::Reason;
use postroad_schemas::units::{NextOffset, Offset, Timestamp};

use super::KnownRules;
use crate::oracle::OracleRecord;
use crate::sim::log::Life;

/// Folds kept of one chain: a few writers may be at work, each at its own offset.
const CURSORS: usize = 3;
/// A clock that no record is ahead of.
const LATE: Timestamp = Timestamp::from_micros(i64::MAX / 2);

/// Where a reading begins.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// At the beginning of the shard.
    First(NextOffset),
    /// At a claim that found its window cut: the state that it claims, and where the log begins.
    Cut(Arc<ShardState>, NextOffset),
}

/// Readings of one chain's log.
#[derive(Default)]
pub(super) struct Reference {
    cursors: Vec<Cursor>,
}

/// A reading that has come so far.
struct Cursor {
    start: Start,
    life: usize,
    shard: Shard,
    /// The number of records of the life that were read.
    read: usize,
}

impl Reference {
    /// The state after reading a life up to where `like` is, under its rules.
    pub(super) fn state(
        &mut self,
        start: &Start,
        (life, content): (usize, &Life),
        like: &ShardState,
        rules: &KnownRules,
    ) -> Result<ShardState, String> {
        let fitting = self
            .cursors
            .iter()
            .enumerate()
            .filter(|(_, cursor)| cursor.life == life && cursor.leads_to(start, like))
            .max_by_key(|(_, cursor)| cursor.shard.state().ledger.next);
        let mut cursor = match fitting.map(|(index, _)| index) {
            Some(index) => self.cursors.remove(index),
            None => Cursor::new(start, (life, content), like, rules)?,
        };
        let state = cursor.read_on(content, like, rules)?;
        self.cursors.push(cursor);
        if self.cursors.len() > CURSORS {
            self.cursors.remove(0);
        }
        Ok(state)
    }
}

impl Cursor {
    fn new(
        start: &Start,
        (life, content): (usize, &Life),
        like: &ShardState,
        known: &KnownRules,
    ) -> Result<Self, String> {
        let state = match start {
            Start::First(first) => {
                let (_, id) = like.rules.first().ok_or("it lists no rules")?;
                ShardState::new(like.contract, *first, *id)
            }
            Start::Cut(state, _) => ShardState::clone(state),
        };
        let rules: Option<Vec<_>> = state
            .rules
            .iter()
            .map(|(_, id)| known.get(id).map(|known| Arc::clone(&known.0)))
            .collect();
        let rules = rules.ok_or("it lists rules that nobody knows")?;
        let next = state.ledger.next;
        let mut shard = Shard::resume(state, rules, IdKey([7; 16]), false);
        let mut read = 0;
        for record in content.records.iter().take_while(|record| next.is_past(offset(record))) {
            if let Start::Cut(_, low) = start
                && !low.is_past(offset(record))
            {
                shard.step(&real(record), LATE).map_err(|error| error.to_string())?;
            }
            read += 1;
        }
        Ok(Self { start: start.clone(), life, shard, read })
    }

    /// Whether this reading comes by a state: it began alike, is not past it, and has judged alike.
    fn leads_to(&self, start: &Start, like: &ShardState) -> bool {
        let ours = self.shard.state();
        let next = ours.ledger.next;
        let same_start = match (&self.start, start) {
            (Start::First(ours), Start::First(theirs)) => ours == theirs,
            (Start::Cut(ours, low), Start::Cut(theirs, at)) => {
                Arc::ptr_eq(ours, theirs) && low == at
            }
            _ => false,
        };
        // Before the first record rules may still be replaced.
        let same_rules = next > ours.ledger.first || ours.rules.first() == like.rules.first();
        same_start
            && same_rules
            && next <= like.ledger.next
            && rules_before(ours, next).eq(rules_before(like, next))
            && ahead_before(ours, next).eq(ahead_before(like, next))
    }

    fn read_on(
        &mut self,
        content: &Life,
        like: &ShardState,
        known: &KnownRules,
    ) -> Result<ShardState, String> {
        let target = like.ledger.next;
        let from = self.shard.state().ledger.next;
        let mut adopted = like.rules.iter().filter(|(at, _)| *at >= from && *at < target);
        let mut next_rules = adopted.next();
        while let Some(record) = content.records.get(self.read) {
            while let Some((at, id)) = next_rules.filter(|(at, _)| *at <= offset(record).into()) {
                self.adopt(*at, *id, known)?;
                next_rules = adopted.next();
            }
            if !target.is_past(offset(record)) {
                break;
            }
            let letter = like.dead_letters.binary_search_by_key(&offset(record), |l| l.offset);
            let letter = letter.ok().map(|index| &like.dead_letters[index]);
            let clock =
                letter.filter(|letter| is_ahead(letter)).map_or(LATE, |letter| letter.judged_at);
            self.shard.step(&real(record), clock).map_err(|error| error.to_string())?;
            self.read += 1;
        }
        // Rules that were adopted after the last record and before the boundary.
        while let Some((at, id)) = next_rules {
            self.adopt(*at, *id, known)?;
            next_rules = adopted.next();
        }
        self.shard.end_of_log(target).map_err(|error| error.to_string())?;
        Ok(self.shard.state().clone())
    }

    fn adopt(&mut self, at: NextOffset, id: RulesId, known: &KnownRules) -> Result<(), String> {
        let (rules, _) = known.get(&id).ok_or("it lists rules that nobody knows")?;
        self.shard.end_of_log(at).map_err(|error| error.to_string())?;
        self.shard.adopt(id, Arc::clone(rules));
        Ok(())
    }
}

/// The rules that were adopted before a boundary.
pub(super) fn rules_before(
    state: &ShardState,
    boundary: NextOffset,
) -> impl Iterator<Item = &(NextOffset, RulesId)> {
    state.rules.iter().filter(move |(at, _)| *at < boundary)
}

/// The judgements before a boundary that depend on a clock.
pub(super) fn ahead_before(
    state: &ShardState,
    boundary: NextOffset,
) -> impl Iterator<Item = (Offset, Timestamp)> {
    let letters = state.dead_letters.iter();
    letters
        .filter(move |letter| is_ahead(letter) && boundary.is_past(letter.offset))
        .map(|letter| (letter.offset, letter.judged_at))
}

fn is_ahead(letter: &DeadLetter) -> bool {
    letter.reason == Reason::ClockAhead
}

fn offset(record: &OracleRecord) -> Offset {
    Offset::new(record.offset)
}

fn real(record: &OracleRecord) -> Record<'_> {
    Record {
        offset: offset(record),
        timestamp: record.timestamp_ms.filter(|ms| *ms >= 0).map(Timestamp::from_millis),
        value: record.value.as_deref(),
    }
}

/// What differs between a state and what it ought to be; nothing, if the time at which dead letters
/// were judged and the list of rules are left aside.
pub(super) fn difference(found: &ShardState, expected: &ShardState) -> Option<String> {
    let told = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        Some(format!("its {what} is {found:?}, expected {expected:?}"))
    };
    if found.ledger != expected.ledger {
        return told("ledger", &found.ledger, &expected.ledger);
    }
    if found.last_delivered != expected.last_delivered {
        return told("last record", &found.last_delivered, &expected.last_delivered);
    }
    if found.watermark != expected.watermark {
        return told("watermark", &found.watermark, &expected.watermark);
    }
    if found.window_hours != expected.window_hours {
        return told("window", &found.window_hours, &expected.window_hours);
    }
    if found.contract != expected.contract {
        return told("contract", &found.contract, &expected.contract);
    }
    let judged = |state: &ShardState| -> Vec<_> {
        let letters = state.dead_letters.iter();
        letters.map(|l| (l.offset, l.timestamp, l.reason, l.field, l.payload.clone())).collect()
    };
    if judged(found) != judged(expected) {
        return told("dead letters are", &judged(found), &judged(expected));
    }
    if found.cells == expected.cells {
        return None;
    }
    let differing = found.cells.iter().find(|(key, cell)| expected.cells.get(*key) != Some(cell));
    Some(format!(
        "its {} cells differ from the {} expected, first in {differing:?}",
        found.cells.len(),
        expected.cells.len()
    ))
}
