//! One shard: its chain of checkpoints, the log that can still be read, and what comes of folding the
//! one up to the other.

use std::ops::ControlFlow;
use std::sync::Arc;

use indicatif::ProgressBar;
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::Rules;
use postroad_aggregate::shard::{Diverged, Record, ShardState};
use postroad_schemas::units::NextOffset;

use super::chain::{FoundChain, Placed, place};
use super::compare::{Difference, Differences};
use super::log::{Log, LogError};
use super::recorded::{Recorded, ReplayCheck, rules_of};
use super::refold::{Proof, Refold, Target};
use super::repeats::Repeats;
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::{Checkpoint, Phase, ShardId};
use crate::error::{Exit, Failure};
use crate::source::kafka::RereadError;
use crate::store::Store;

/// What is known of one shard.
#[derive(Debug)]
pub struct ShardReport {
    /// Which.
    pub id: ShardId,
    /// Its newest whole checkpoint, by place, and what that accounts for; `None` where it has none.
    pub newest: Option<(Seq, Arc<Checkpoint>)>,
    /// The offsets that were folded again, `[from, to)`.
    pub proven: Option<(NextOffset, NextOffset)>,
    /// Records consumed in that range.
    pub consumed: u64,
    /// Why the rest, or all, could not be read again.
    pub unread: Option<String>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// The state that the publish shows, as the log makes it, where the store has none or another.
    pub published: Option<ShardState>,
}

impl ShardReport {
    fn new(id: &ShardId) -> Self {
        Self {
            id: id.clone(),
            newest: None,
            proven: None,
            consumed: 0,
            unread: None,
            differences: Vec::new(),
            published: None,
        }
    }

    /// Whether nothing more can come of it.
    pub(super) fn is_closed(&self) -> bool {
        self.newest.as_ref().is_some_and(|(_, newest)| newest.phase == Phase::Closed)
    }

    /// Nothing of it can be judged again.
    fn without_rules(mut self) -> Self {
        self.unread = Some("rules that it was read under are not known".to_owned());
        self
    }

    fn note(&mut self, place: &str, column: &str, found: String, expected: String) {
        let mut differences = Differences::at(place);
        differences.check(&self.id.to_string(), column, found, expected);
        self.differences.extend(differences.into_vec());
    }
}

/// What the newest publish shows of a shard.
#[derive(Default)]
pub(super) struct Shown<'a> {
    /// The place of the checkpoint that it shows.
    pub(super) seq: Option<Seq>,
    /// The boundary.
    pub(super) next: Option<NextOffset>,
    /// The checkpoint with nothing of it sealed, unless it has been collected.
    pub(super) checkpoint: Option<&'a Placed>,
}

/// What the checks of all shards share.
pub(super) struct Bench<'a> {
    pub(super) store: &'a Store,
    /// The rules of the configuration.
    pub(super) rules: Arc<Rules>,
    /// How many checkpoints a collection leaves, at least.
    pub(super) keep: usize,
    pub(super) id_key: IdKey,
    pub(super) bar: ProgressBar,
}

impl Bench<'_> {
    /// Folds a shard again and compares every checkpoint of its chain, and the one that the publish
    /// shows. The ids that it meets are noted in `repeats`.
    ///
    /// # Errors
    /// Where the store or the log fails.
    pub(super) async fn check(
        &self,
        id: &ShardId,
        shown: &Shown<'_>,
        log: Result<Log, String>,
        repeats: &mut Repeats,
    ) -> Result<ShardReport, Attempt> {
        let mut report = ShardReport::new(id);
        let mut chain =
            FoundChain::read(self.store, id, self.keep, &mut report.differences).await?;
        if let Some(published) = shown.checkpoint {
            chain.include(published);
        }
        report.newest = chain.newest().cloned();
        let Some((seq, newest)) = chain.newest() else {
            if let Some(next) = shown.next {
                report.note("checkpoints", "next_offset", "lost".to_owned(), next.to_string());
            } else {
                report.unread = Some("nothing of it has been accounted for yet".to_owned());
            }
            return Ok(report);
        };
        let next = newest.state.ledger.next;
        if let Some(published) = shown.next.filter(|published| next < *published) {
            let expected = format!("{published}, which is published");
            report.note("checkpoints", "next_offset", format!("{next} in the newest"), expected);
        } else if let Some(published) = shown.seq.filter(|published| seq < published) {
            let expected = format!("{published}, which is published");
            report.note("checkpoints", "seq", format!("{seq} is the newest"), expected);
        }
        match log.and_then(|log| log.of(newest)) {
            Ok(log) => self.fold(report, chain, shown, log, repeats).await,
            Err(why) => {
                report.unread = Some(why);
                Ok(report)
            }
        }
    }

    /// Folds what the log still holds up to every checkpoint of the chain.
    async fn fold(
        &self,
        mut report: ShardReport,
        chain: FoundChain,
        shown: &Shown<'_>,
        log: Log,
        repeats: &mut Repeats,
    ) -> Result<ShardReport, Attempt> {
        let Some((_, newest)) = chain.newest() else { return Ok(report) };
        let whole = chain.segments.unseal(&newest.state);
        let whole = whole.map_err(|damage| Failure::new(Exit::Software, damage))?;
        let differences = &mut report.differences;
        let recorded = Recorded::read(self.store, newest.with(whole), differences).await?;
        let Some(recorded) = recorded else { return Ok(report.without_rules()) };
        let first = newest.state.ledger.first;
        let plan = Plan::of(&chain.checkpoints, log.low());
        let (beginning, after) = match plan {
            Plan::Fresh => (recorded.fresh(), 0),
            Plan::Anchor(index) => {
                let anchor = &chain.checkpoints[index].1;
                let rules = rules_of(self.store, &anchor.id, &anchor.state, differences).await?;
                let Some(rules) = rules else { return Ok(report.without_rules()) };
                let state = chain.segments.unseal(&anchor.state);
                let state = state.map_err(|damage| Failure::new(Exit::Software, damage))?;
                let next = state.ledger.next;
                let low = log.low().unwrap_or(next);
                let why = format!("[{first}, {next}) was not, since the log begins at {low}");
                report.unread = Some(why);
                (recorded.begin(state, rules, &anchor.decisions), index + 1)
            }
            Plan::Nothing => {
                let low = log.low().map_or("nothing".to_owned(), |low| format!("offset {low} on"));
                report.unread = Some(format!("the log holds {low}, too little to begin with"));
                return Ok(report);
            }
        };
        let begin = beginning.anchor.ledger.next;
        let before = beginning.anchor.ledger.consumed();
        let (from, until) = (beginning.anchor.resume_from(), newest.state.ledger.next);
        report.consumed = newest.state.ledger.consumed().saturating_sub(before);
        let targets = targets(&chain.checkpoints[after..], shown, (begin, until));
        let job = Job {
            refold: Refold::begin(beginning, targets, chain.segments, self.id_key),
            replays: recorded.replays(&self.rules, self.id_key),
            log,
            from,
            until,
            repeats: std::mem::take(repeats),
            bar: self.bar.clone(),
        };
        self.bar.inc_length(from.distance_to(until));
        let done = tokio::task::spawn_blocking(move || job.run()).await;
        let done = done.map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
        *repeats = done.repeats;
        let changed = match done.proof {
            Ok(Ok(Proof { differences, reached, published })) => {
                report.proven = Some((begin, reached.max(begin)));
                report.published = published;
                report.differences.extend(differences);
                report.differences.extend(done.of_replays);
                return Ok(report);
            }
            Ok(Err(diverged)) => diverged.to_string(),
            Err(LogError::File(error)) => error.to_string(),
            Err(LogError::Kafka(error)) => return Err(error.into()),
        };
        report.note("log", "content", changed, "the one that was read".to_owned());
        Ok(report)
    }
}

/// The states that the log has to make, ascending: those of the checkpoints, and the published one
/// if none of them is. `[begin, until]` is what can be reached; beyond the newest checkpoint nobody has
/// recorded what was judged by a clock.
fn targets(
    checkpoints: &[Placed],
    shown: &Shown<'_>,
    (begin, until): (NextOffset, NextOffset),
) -> Vec<Target> {
    let mut targets: Vec<Target> = checkpoints
        .iter()
        .map(|(seq, checkpoint)| Target {
            place: place(&checkpoint.id, *seq),
            next: checkpoint.state.ledger.next,
            published: shown.checkpoint.is_some_and(|(published, _)| published == seq),
            found: Some(Arc::clone(checkpoint)),
        })
        .collect();
    if let (None, Some(next)) = (shown.checkpoint, shown.next) {
        let place = "the published checkpoint".to_owned();
        targets.push(Target { place, found: None, next, published: true });
    }
    targets.retain(|target| begin <= target.next && target.next <= until);
    targets.sort_by_key(|target| target.next);
    targets
}

/// Why a shard was not checked.
pub(super) enum Attempt {
    /// Retention was faster; look again at what the log holds.
    Again(Failure),
    /// It cannot be.
    Failed(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<RereadError> for Attempt {
    fn from(error: RereadError) -> Self {
        match &error {
            RereadError::OutOfRange { .. } => {
                Self::Again(Failure::from_error(Exit::TempFail, &error))
            }
            _ => Self::Failed(Failure::from_error(Exit::Unavailable, &error)),
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// With nothing, where the shard began.
    Fresh,
    /// With this checkpoint of the chain: the oldest from which the log still goes on.
    Anchor(usize),
    /// Nowhere.
    Nothing,
}

impl Plan {
    fn of(chain: &[Placed], low: Option<NextOffset>) -> Self {
        let (Some(low), Some((_, newest))) = (low, chain.last()) else { return Self::Nothing };
        if low <= newest.state.ledger.first {
            return Self::Fresh;
        }
        let goes_on = |(_, checkpoint): &Placed| low <= checkpoint.state.resume_from();
        chain.iter().position(goes_on).map_or(Self::Nothing, Self::Anchor)
    }
}

/// The part that blocks.
struct Job {
    refold: Refold,
    replays: Vec<ReplayCheck>,
    log: Log,
    from: NextOffset,
    until: NextOffset,
    repeats: Repeats,
    bar: ProgressBar,
}

/// What came of it. The ids come back whatever happens: those of other partitions are among them.
struct Done {
    proof: Result<Result<Proof, Diverged>, LogError>,
    of_replays: Vec<Difference>,
    repeats: Repeats,
}

impl Job {
    fn run(self) -> Done {
        let Self { mut refold, mut replays, log, from, until, mut repeats, bar } = self;
        let partition = log.id.partition;
        let (mut diverged, mut seen) = (None, from);
        let mut visit = |record: &Record<'_>| {
            let next = record.offset.next();
            bar.inc(seen.distance_to(next));
            seen = next;
            for replay in &mut replays {
                replay.take(record);
            }
            match refold.take(record) {
                Ok(Some(id)) => repeats.observe(id, partition),
                Ok(None) => {}
                Err(found) => {
                    diverged = Some(found);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        let reached = log.read(from, until, &mut visit);
        let proof = reached.map(|reached| match diverged {
            Some(diverged) => Err(diverged),
            None => refold.finish(reached),
        });
        let of_replays = replays.into_iter().flat_map(ReplayCheck::finish).collect();
        Done { proof, of_replays, repeats }
    }
}

#[cfg(test)]
mod tests;
