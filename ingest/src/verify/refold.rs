//! The pure refold: a log folded again as its checkpoints say it was folded.
//!
//! Three things besides the log decided what a fold made of it, and all of them are recorded: which
//! rules were in force at each offset, what operators had decided, and which records lay ahead of the
//! consumer's clock. So the fold is given rules and decisions where they were adopted, and instead of
//! a clock the moment at which a dead letter was judged. The wall clock has no part in it: a record
//! without a recorded judgement is never ahead, and one whose judgement its own timestamp does not
//! bear out is not rejected again.

use std::collections::VecDeque;
use std::sync::Arc;

use postroad_aggregate::decision::{DecisionId, Replay};
use postroad_aggregate::event::{EventId, IdKey};
use postroad_aggregate::ledger::Outcome;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Diverged, Record, Resumption, Shard, ShardState, Step};
use postroad_schemas::units::{NextOffset, Offset, Timestamp};

use super::compare::{Difference, compare_states};
use super::sealed::Segments;
use crate::checkpoint::Checkpoint;

/// A clock that no record is ahead of.
const END_OF_TIME: Timestamp = Timestamp::from_micros(i64::MAX);

/// What changed a fold between two records, and at which boundary.
#[derive(Debug, Clone)]
pub struct Change {
    /// The boundary: everything below had been read.
    pub at: NextOffset,
    /// What changed.
    pub what: What,
}

/// What changed a fold between two records.
#[derive(Debug, Clone)]
pub enum What {
    /// Other rules came into force.
    Rules(RulesId, Arc<Rules>),
    /// Offsets up to this boundary were given up.
    Lost(NextOffset, DecisionId),
    /// Dead letters count after all.
    Replayed(Replay, DecisionId),
}

/// A state that the log has to make, at the boundary that it has reached.
#[derive(Debug)]
pub struct Target {
    /// How a difference names it.
    pub place: String,
    /// What the store holds; `None` where only the log can say.
    pub found: Option<Arc<Checkpoint>>,
    /// The boundary.
    pub next: NextOffset,
    /// Whether the newest publish shows this state.
    pub published: bool,
}

impl Target {
    /// Whether a change comes before its state. At its very boundary, other rules have judged nothing
    /// yet, and a decision comes before it if it lists it.
    fn comes_after(&self, change: &Change) -> bool {
        let mut listed = self.found.iter().flat_map(|found| &found.decisions);
        change.at < self.next
            || change.at == self.next
                && match change.what {
                    What::Rules(..) => true,
                    What::Lost(_, id) | What::Replayed(_, id) => {
                        listed.any(|adopted| adopted.id == id)
                    }
                }
    }
}

/// What a refold has shown.
#[derive(Debug)]
pub struct Proof {
    /// What differs.
    pub differences: Vec<Difference>,
    /// The boundary that was reached.
    pub reached: NextOffset,
    /// The state that the log makes at the published boundary, where the store's is not the same.
    pub published: Option<ShardState>,
}

/// Where a refold begins, and what it has to know of what was recorded.
#[derive(Debug)]
pub struct Beginning {
    /// The state of an older checkpoint, nothing of it sealed; or one that has read nothing.
    pub anchor: ShardState,
    /// The content behind the rules that it lists.
    pub rules: Vec<Arc<Rules>>,
    /// Rules and decisions adopted since, in the order in which they were.
    pub changes: Vec<Change>,
    /// When each dead letter was judged, ascending.
    pub judged: Vec<(Offset, Timestamp)>,
    /// Whether to keep the values of dead letters, to be compared with those that were kept.
    pub keep_payload: bool,
}

/// A shard that is folded again up to a number of targets.
pub struct Refold {
    shard: Shard,
    /// Where reading began, and where folding: between them, records only feed the window.
    resume_from: NextOffset,
    begin: NextOffset,
    first_seen: Option<Offset>,
    changes: VecDeque<Change>,
    judged: Vec<(Offset, Timestamp)>,
    /// States yet to be reached, ascending.
    targets: VecDeque<Target>,
    segments: Segments,
    proof: Proof,
}

impl Refold {
    /// Begins to fold. The targets list `segments`, and no others.
    pub fn begin(
        Beginning { anchor, rules, changes, judged, keep_payload }: Beginning,
        targets: Vec<Target>,
        segments: Segments,
        id_key: IdKey,
    ) -> Self {
        let (resume_from, begin) = (anchor.resume_from(), anchor.ledger.next);
        let shard = Shard::resume(anchor, rules, id_key, keep_payload);
        Self {
            shard,
            resume_from,
            begin,
            first_seen: None,
            changes: changes.into(),
            judged,
            targets: targets.into(),
            segments,
            proof: Proof { differences: Vec::new(), reached: begin, published: None },
        }
    }

    /// Takes the next record, and returns its event id where it is valid and was not folded before.
    ///
    /// # Errors
    /// Where the log is not the one that was read before.
    pub fn take(&mut self, record: &Record<'_>) -> Result<Option<EventId>, Diverged> {
        self.compare_below(record.offset.into())?;
        while self.changes.front().is_some_and(|change| change.at <= record.offset.into()) {
            self.cross()?;
        }
        self.first_seen = self.first_seen.or(Some(record.offset));
        let step = self.shard.step(record, self.clock(record.offset))?;
        Ok(match step {
            Step::Consumed { outcome: Outcome::Applied | Outcome::Duplicate, .. } => {
                self.shard.last_id()
            }
            _ => None,
        })
    }

    /// Takes the news that everything below `end` has been delivered, and says what has been shown.
    ///
    /// # Errors
    /// Where the log is not the one that was read before.
    pub fn finish(mut self, end: NextOffset) -> Result<Proof, Diverged> {
        self.compare_below(end)?;
        if self.begin <= end {
            self.check_anchor();
        }
        if let Some(target) = self.targets.back() {
            let expected = format!("at most {end}, where the log ends");
            let (place, found) = (target.place.clone(), target.next.to_string());
            self.note(place, "ledger", "next_offset", found, expected);
        }
        self.proof.reached = self.shard.state().ledger.next.min(end);
        Ok(self.proof)
    }

    /// The records that the anchor names must be in the log still: the one that opens its window, and
    /// the last one that it had read.
    fn check_anchor(&mut self) {
        let opens = self.resume_from < self.begin;
        let opened = self.first_seen.map(NextOffset::from) == Some(self.resume_from);
        if (!opens || opened) && self.shard.resumption() == Resumption::Verified {
            return;
        }
        let key = format!("offsets [{}, {})", self.resume_from, self.begin);
        let column = "a record that an older checkpoint names";
        self.note("log".to_owned(), &key, column, "missing".to_owned(), "there".to_owned());
    }

    /// Compares every target at or below a boundary, all before it having been delivered.
    fn compare_below(&mut self, boundary: NextOffset) -> Result<(), Diverged> {
        while self.targets.front().is_some_and(|target| target.next <= boundary) {
            let Some(target) = self.targets.pop_front() else { break };
            self.advance_to(&target)?;
            let made = self.shard.state();
            let found = target.found.as_ref().map(|found| self.segments.unseal(&found.state));
            let differences = match found {
                Some(Ok(found)) => compare_states(&target.place, &found, made),
                // That a segment is damaged is said where it was read.
                Some(Err(_)) | None => Vec::new(),
            };
            if target.published && (target.found.is_none() || !differences.is_empty()) {
                self.proof.published = Some(made.clone());
            }
            self.proof.differences.extend(differences);
        }
        Ok(())
    }

    /// Counts what the log does not deliver below a target as gaps, change by change.
    fn advance_to(&mut self, target: &Target) -> Result<(), Diverged> {
        while self.changes.front().is_some_and(|change| target.comes_after(change)) {
            self.cross()?;
        }
        self.shard.end_of_log(target.next).map(drop)
    }

    /// Makes the next change where it was made.
    fn cross(&mut self) -> Result<(), Diverged> {
        let Some(Change { at, what }) = self.changes.pop_front() else { return Ok(()) };
        self.shard.end_of_log(at)?;
        let obeyed = match what {
            What::Rules(id, rules) => {
                self.shard.adopt(id, rules);
                Ok(())
            }
            What::Lost(to, id) => self.shard.lose(to, id),
            What::Replayed(replay, id) => {
                self.check_rejected(&replay, id);
                self.shard.replay(&replay, id)
            }
        };
        if let Err(refused) = obeyed {
            let key = format!("at offset {at}");
            let expected = "one that fits".to_owned();
            self.note("decisions".to_owned(), &key, "decision", refused.to_string(), expected);
        }
        Ok(())
    }

    /// Only what was rejected can count after all.
    fn check_rejected(&mut self, replay: &Replay, id: DecisionId) {
        let letters = &self.shard.state().dead_letters;
        let was_none =
            |at: &Offset| letters.binary_search_by_key(at, |letter| letter.offset).is_err();
        let strangers: Vec<Offset> = replay.offsets().into_iter().filter(was_none).collect();
        for offset in strangers {
            let (key, column) = (format!("{:032x}", id.0), format!("record at offset {offset}"));
            let (found, expected) =
                ("replayed".to_owned(), "left, for it was not rejected".to_owned());
            self.note("decisions".to_owned(), &key, &column, found, expected);
        }
    }

    /// What the consumer's clock said when the record at this offset was judged, if that is
    /// recorded.
    fn clock(&self, offset: Offset) -> Timestamp {
        let found = self.judged.binary_search_by_key(&offset, |(offset, _)| *offset);
        found.map_or(END_OF_TIME, |index| self.judged[index].1)
    }

    fn note(&mut self, place: String, key: &str, column: &str, found: String, expected: String) {
        let (key, column) = (key.to_owned(), column.to_owned());
        self.proof.differences.push(Difference { place, key, column, found, expected });
    }
}
