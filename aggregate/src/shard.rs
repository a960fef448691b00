//! A shard: the state that one partition of one topic, or one file, folds into.
//!
//! The straight way of a record is [`Shard::step`]. The rest of this module is about resuming: a
//! [`ShardState`] comes from a checkpoint without its dedupe window, because ids are never persisted. It
//! knows at which offset each hour of its window began; whoever resumes it reads again from
//! [`ShardState::resume_from`], and records below `next_offset` only feed the window. The last
//! record of the state is among them and is compared, which tells a topic that was recreated from
//! one that goes on.

use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use postroad_schemas::contract::{Contract, Raw};
use postroad_schemas::json;
use postroad_schemas::reject::{Reason, Reject};
use postroad_schemas::time::parse_timestamp;
use postroad_schemas::units::{BusinessDay, Hour, NextOffset, Offset, Span, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::decision::{DecisionId, Refused, Replay};
use crate::dedupe::Window;
use crate::event::{CellKey, Event, EventId, IdKey};
use crate::ledger::{DeadLetter, Delivered, Outcome};
use crate::measures::Measures;
use crate::rules::{Rules, RulesId};
use crate::seal::{Leaving, Segment};
use crate::validate::validate;

/// How far a record's timestamp may lie ahead of the consumer's clock, inclusive, and how far it
/// may move shard time beyond its own `occurred_at`.
pub const CLOCK_AHEAD_MAX: Span = Span::hours(24);

pub use self::state::ShardState;

mod state;

/// The cells of a shard.
pub type Cells = HashMap<CellKey, Measures, RandomState>;

/// One record of the log.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Its position.
    pub offset: Offset,
    /// Kafka's timestamp; `None` where absent or negative.
    pub timestamp: Option<Timestamp>,
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

impl fmt::Debug for Record<'_> {
    /// Says how long the value is, and never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("value_bytes", &self.value.map(<[u8]>::len))
            .finish()
    }
}

/// What the log holds at the place of the last record is not that record: the topic was recreated,
/// or truncated and written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log has changed: {0}")]
pub enum Diverged {
    /// Another record stands at the offset of the last one delivered.
    #[error("another record stands at offset {0}, which had been read before")]
    OtherRecord(Offset),
    /// A record stands where the log had delivered none, between the last record and the boundary.
    #[error("a record stands at offset {0}, where the log had delivered none")]
    Appeared(Offset),
    /// The last record delivered is gone from a log that deletes nothing but its beginning.
    #[error("the record at offset {0}, which had been read before, is gone from the midst of it")]
    Gone(Offset),
    /// The log ends below what had been read.
    #[error("it ends at {end}, but had been read up to {next}")]
    EndsBefore {
        /// Where the log ends now.
        end: NextOffset,
        /// The boundary of what had been read.
        next: NextOffset,
    },
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The record was new; this became of it.
    Consumed {
        /// Its outcome.
        outcome: Outcome,
        /// Offsets that the log did not deliver right before it.
        gap: u64,
    },
    /// The record lies below `next_offset`: it was accounted for before and at most fed the window.
    Skipped,
}

/// Whether the last record of a resumed state was found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumption {
    /// Not yet read so far.
    Pending,
    /// It was, unchanged; or there was none to be found.
    Verified,
    /// The log no longer delivers it (retention or compaction), so nothing could be compared.
    Unverified,
}

/// A shard that can take records: its state, and the ids of its window.
#[derive(Debug)]
pub struct Shard {
    state: ShardState,
    /// The content behind `state.rules`, in the same order.
    rules: Vec<(NextOffset, Arc<Rules>)>,
    window: Window,
    /// The index in `rules` of those that the window was last fed under.
    fed_under: usize,
    /// The records that have been read again, `[from, until)`.
    revisited: Option<(NextOffset, NextOffset)>,
    resumption: Resumption,
    /// Whether the last record can be missing only from another log.
    last_is_required: bool,
    last_id: Option<EventId>,
    id_key: IdKey,
    keep_payload: bool,
}

impl Shard {
    /// Resumes a state. `rules` is the content behind `state.rules`, in the same order.
    ///
    /// # Panics
    /// If `rules` is empty or does not match `state.rules`: whoever loads them loads one for each.
    pub fn resume(
        state: ShardState,
        rules: Vec<Arc<Rules>>,
        id_key: IdKey,
        keep_payload: bool,
    ) -> Self {
        assert!(!rules.is_empty() && rules.len() == state.rules.len(), "one content for each id");
        let rules: Vec<_> = state.rules.iter().map(|(from, _)| *from).zip(rules).collect();
        let fed_under = rules_index(&rules, state.resume_from());
        let resumption =
            if state.last_delivered.is_some() { Resumption::Pending } else { Resumption::Verified };
        Self {
            revisited: None,
            state,
            rules,
            window: Window::default(),
            fed_under,
            resumption,
            last_is_required: false,
            last_id: None,
            id_key,
            keep_payload,
        }
    }

    /// Says that the log still reaches below the last record and is not compacted. A record that was
    /// delivered once is then delivered again, or the log was truncated and written anew: its
    /// absence is a divergence.
    pub fn require_last_record(&mut self) {
        self.last_is_required = true;
    }

    /// The state as of the last record.
    pub fn state(&self) -> &ShardState {
        &self.state
    }

    /// Whether the window is being rebuilt, and whether the last record was found again.
    pub fn resumption(&self) -> Resumption {
        self.resumption
    }

    /// Whether a new record can be judged as if the shard had never been resumed: its last record
    /// was found again, and reading began where the window begins.
    pub fn is_window_whole(&self) -> bool {
        let begin = self.state.resume_from();
        self.resumption == Resumption::Verified
            && self.revisited.is_none_or(|(from, _)| from <= begin)
    }

    /// The id of the last valid record that was judged, for whoever compares partitions.
    pub fn last_id(&self) -> Option<EventId> {
        self.last_id
    }

    /// How many event ids the window holds.
    pub fn dedupe_ids(&self) -> usize {
        self.window.len()
    }

    /// Adopts new rules from `next_offset` on. Only for use at a checkpoint that lists them.
    ///
    /// Rules under which no record was judged leave nothing behind: the state depends on the rules
    /// in force at each offset and on nothing else. That is also why a narrower window prunes
    /// `window_hours` no sooner than the next hour begins.
    pub fn adopt(&mut self, id: RulesId, rules: Arc<Rules>) {
        let from = self.state.ledger.next;
        if self.state.rules.last().is_some_and(|(since, _)| *since == from) {
            self.state.rules.pop();
            self.rules.pop();
        }
        if self.state.rules.last().is_none_or(|(_, newest)| *newest != id) {
            self.state.rules.push((from, id));
            self.rules.push((from, rules));
        }
        self.fed_under = self.fed_under.min(self.rules.len() - 1);
    }

    /// Takes what no longer needs to be at hand out of the state, to be sealed into segments: see
    /// [`ShardState::take_old`].
    pub fn take_old(&mut self, open_from: BusinessDay) -> Leaving {
        self.state.take_old(open_from)
    }

    /// Notes segments that hold what was taken out. Only for use at the checkpoint that lists them.
    pub fn sealed(&mut self, segments: impl IntoIterator<Item = Segment>) {
        self.state.sealed.extend(segments);
    }

    /// Obeys a decision between two records, for whoever folds a log again: see [`ShardState::lose`].
    ///
    /// # Errors
    /// Where nothing lies between what was read and `to`.
    pub fn lose(&mut self, to: NextOffset, decision: DecisionId) -> Result<(), Refused> {
        self.state.lose(to, decision)
    }

    /// Obeys a decision between two records, for whoever folds a log again: see
    /// [`ShardState::replay`].
    ///
    /// # Errors
    /// Where its records have not been rejected, or count already.
    pub fn replay(&mut self, replay: &Replay, decision: DecisionId) -> Result<(), Refused> {
        self.state.replay(replay, decision)
    }

    /// Takes one record. `clock` is the consumer's own; it is only asked whether a timestamp lies
    /// more than [`CLOCK_AHEAD_MAX`] ahead of it.
    ///
    /// # Errors
    /// Where the log is not the one that the state was folded from. The shard is then unchanged
    /// and must not be stepped again.
    pub fn step(&mut self, record: &Record<'_>, clock: Timestamp) -> Result<Step, Diverged> {
        if self.state.ledger.next.is_past(record.offset) {
            if self.was_a_gap(record.offset) {
                return Err(Diverged::Appeared(record.offset));
            }
            return self.revisit(record).map(|()| Step::Skipped);
        }
        self.finish_resumption()?;
        self.feed_under(self.rules.len() - 1);
        let delivered = identify(record);
        let gap = self.state.ledger.next.distance_to(record.offset.into());
        let outcome = self.fold(record, clock);
        self.state.ledger.account(&delivered, outcome);
        self.state.last_delivered = Some(delivered);
        Ok(Step::Consumed { outcome, gap })
    }

    /// Takes the news that the log ends at `end`, everything below having been delivered in order.
    /// Returns the number of offsets before it that the log does not deliver.
    ///
    /// # Errors
    /// Where the log ends below what had been read.
    pub fn end_of_log(&mut self, end: NextOffset) -> Result<u64, Diverged> {
        let next = self.state.ledger.next;
        if end < next {
            return Err(Diverged::EndsBefore { end, next });
        }
        self.finish_resumption()?;
        self.state.ledger.advance_to(end);
        Ok(next.distance_to(end))
    }

    /// Judges a new record and applies it.
    fn fold(&mut self, record: &Record<'_>, clock: Timestamp) -> Outcome {
        let Some(value) = record.value else { return Outcome::Ignored };
        let rules = self.newest_rules();
        let window_h = rules.dedupe_window_h;
        let event = match judge(self.state.contract, value, record.timestamp, rules, &self.id_key) {
            Ok(event) if event.recorded_at > clock + CLOCK_AHEAD_MAX => {
                let reject = Reject::whole(Reason::ClockAhead);
                return self.reject(record, reject, Some(event.recorded_at), clock);
            }
            Ok(event) => event,
            Err((reject, timestamp)) => return self.reject(record, reject, timestamp, clock),
        };
        let now = shard_time(self.state.watermark, &event);
        let hour = now.hour();
        self.begin_hour(hour, record.offset, window_h);
        self.state.watermark = Some(now);
        self.last_id = Some(event.id);
        if self.window.observe(event.id, hour, window_h) {
            return Outcome::Duplicate;
        }
        let effect = Measures::of(&event, self.newest_rules());
        *self.state.cells.entry(event.cell).or_default() += &effect;
        Outcome::Applied
    }

    fn reject(
        &mut self,
        record: &Record<'_>,
        reject: Reject,
        timestamp: Option<Timestamp>,
        clock: Timestamp,
    ) -> Outcome {
        let kept = record.value.filter(|_| self.keep_payload && reject.reason != Reason::TooLarge);
        self.state.dead_letters.push(DeadLetter {
            offset: record.offset,
            timestamp,
            judged_at: clock,
            reason: reject.reason,
            field: reject.field,
            payload: kept.map(Box::from),
        });
        Outcome::Rejected(reject)
    }

    /// Notes where an hour of shard time began, and lets go of those that left the window.
    fn begin_hour(&mut self, hour: Hour, offset: Offset, window_h: u32) {
        if self.state.window_hours.back().is_none_or(|(newest, _)| *newest < hour) {
            self.state.window_hours.push_back((hour, offset));
            self.state.forget_hours_before(hour.window_start(window_h));
        }
    }

    /// Whether the log delivered nothing at an offset below the boundary, and nothing after it. What
    /// lies before the last record is not known one by one, and that record's hash stands for it.
    fn was_a_gap(&self, offset: Offset) -> bool {
        let last = self.state.last_delivered.map(|last| last.offset);
        self.state.ledger.first <= offset.into() && last.is_none_or(|last| last < offset)
    }

    /// Takes a record that was accounted for before: compares the last one, and feeds the window.
    fn revisit(&mut self, record: &Record<'_>) -> Result<(), Diverged> {
        let (from, until) = self.revisited.unwrap_or((record.offset.into(), record.offset.into()));
        if self.resumption != Resumption::Pending || until.is_past(record.offset) {
            return Ok(());
        }
        self.revisited = Some((from, record.offset.next()));
        if let Some(last) = self.state.last_delivered.filter(|last| last.offset == record.offset) {
            if identify(record) != last {
                return Err(Diverged::OtherRecord(record.offset));
            }
            self.resumption = Resumption::Verified;
        }
        let Some(value) = record.value else { return Ok(()) };
        let Some(hour) = self.state.hour_at(record.offset) else { return Ok(()) };
        if self.state.was_clock_ahead(record.offset) {
            return Ok(());
        }
        self.feed_under(rules_index(&self.rules, record.offset.into()));
        let rules = &self.rules[self.fed_under].1;
        let judged = judge(self.state.contract, value, record.timestamp, rules, &self.id_key);
        if let Ok(event) = judged {
            self.window.observe(event.id, hour, rules.dedupe_window_h);
        }
        Ok(())
    }

    /// The first new record, or the end of the log, ends the rebuilding of the window.
    fn finish_resumption(&mut self) -> Result<(), Diverged> {
        if self.resumption != Resumption::Pending {
            return Ok(());
        }
        if let Some(last) = self.state.last_delivered.filter(|_| self.last_is_required) {
            return Err(Diverged::Gone(last.offset));
        }
        self.resumption = Resumption::Unverified;
        Ok(())
    }

    /// Crosses to other rules: at each crossing the window lets go of what the rules before it no
    /// longer remembered, so that wider ones cannot see more than a rebuilt window would hold.
    fn feed_under(&mut self, index: usize) {
        while self.fed_under < index {
            let window_h = self.rules[self.fed_under].1.dedupe_window_h;
            self.fed_under += 1;
            let crossing = self.rules[self.fed_under].0;
            let before = self.state.window_hours.partition_point(|(_, at)| crossing.is_past(*at));
            if let Some(index) = before.checked_sub(1) {
                let (hour, _) = self.state.window_hours[index];
                self.window.forget_before(hour.window_start(window_h));
            }
        }
    }

    fn newest_rules(&self) -> &Arc<Rules> {
        let (_, rules) = self.rules.last().expect("resume asserts that there is one");
        rules
    }
}

/// The index of the rules in force at a boundary.
fn rules_index(rules: &[(NextOffset, Arc<Rules>)], at: NextOffset) -> usize {
    rules.partition_point(|(from, _)| *from <= at).saturating_sub(1)
}

/// `max(shard time, min(t, occurred_at + 24 h))`: one producer's broken clock cannot run away with
/// the shard's.
fn shard_time(before: Option<Timestamp>, event: &Event) -> Timestamp {
    let own = event.recorded_at.min(event.occurred_at + CLOCK_AHEAD_MAX);
    before.map_or(own, |before| before.max(own))
}

/// Decodes and validates one value. A reject comes with the timestamp of its dead letter.
pub(crate) fn judge(
    contract: Contract,
    value: &[u8],
    timestamp: Option<Timestamp>,
    rules: &Rules,
    id_key: &IdKey,
) -> Result<Event, (Reject, Option<Timestamp>)> {
    if value.len() as u64 > rules.value_bytes_max {
        return Err((Reject::whole(Reason::TooLarge), timestamp));
    }
    let raw = json::decode(contract, value).map_err(|reject| (reject, timestamp))?;
    validate(contract, &raw, timestamp, rules, id_key)
        .map_err(|reject| (reject, timestamp.or_else(|| own_time(&raw))))
}

/// The time that a value without a record's timestamp claims for itself.
fn own_time(raw: &Raw<'_>) -> Option<Timestamp> {
    raw.occurred_at.as_deref().and_then(parse_timestamp)
}

fn identify(record: &Record<'_>) -> Delivered {
    Delivered {
        offset: record.offset,
        timestamp: record.timestamp,
        hash: record.value.map_or(0, xxh3_128),
    }
}

#[cfg(test)]
mod tests;
