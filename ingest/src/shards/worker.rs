//! A worker: one thread that owns shards and folds what the poll thread delivers.
//!
//! It knows neither Kafka nor the store. Whatever reaches it is in one queue, so that a shard is
//! loaded before its first batch and frozen between two.

use std::collections::HashMap;
use std::thread::JoinHandle;

use bytes::Bytes;
use postroad_aggregate::days::ShardClock;
use postroad_aggregate::invariants::{Invariant, Violation};
use postroad_aggregate::shard::{Diverged, Record, Resumption, Step};
use postroad_schemas::units::{BusinessDay, NextOffset, Offset, Span, Timestamp};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};

use super::claim::ClaimedShard;
use super::lifecycle::{Event, Frozen};
use crate::checkpoint::envelope::{Epoch, Seq};
use crate::checkpoint::{format, segments};
use crate::clock::Clock;
use crate::failpoint::Point;
use crate::metrics::{Metrics, ShardMetrics};
use crate::source::kafka::{Batch, Generation, TopicPartition};
use crate::status::{Progress, Status};

/// What a worker is told.
pub enum ToWorker {
    /// Own this shard from now on.
    Load {
        /// Which partition.
        tp: TopicPartition,
        /// Under which assignment.
        generation: Generation,
        /// The shard.
        shard: Box<ClaimedShard>,
    },
    /// Fold these records.
    Batch(Batch),
    /// Encode the state for a checkpoint, if it changed.
    Freeze {
        /// Which partition.
        tp: TopicPartition,
        /// Under which assignment.
        generation: Generation,
        /// Where the checkpoint will stand.
        place: (Epoch, Seq),
    },
    /// The frozen state was not written: freeze it again though nothing has changed.
    Thaw(TopicPartition, Generation),
    /// The brokers say that the log ends here, as of a moment. Only this moves a shard's clock beyond
    /// its watermark: an end of partition that was delivered may have waited in a queue.
    LogEnd {
        /// Which partition.
        tp: TopicPartition,
        /// Where its log ends.
        end: NextOffset,
        /// When they were asked.
        asked_at: Timestamp,
    },
    /// Forget the shard.
    Drop(TopicPartition),
    /// End.
    Stop,
}

/// What a worker says: an event of a shard, or that this program is wrong.
pub enum FromWorker {
    /// Something happened to a shard.
    Shard(TopicPartition, Generation, Event),
    /// An invariant does not hold: the process must end without writing.
    Broken(TopicPartition, Violation),
}

/// What the workers of an instance share.
#[derive(Clone)]
pub struct WorkerContext {
    /// Where events go.
    pub events: UnboundedSender<FromWorker>,
    /// Where records are counted.
    pub metrics: Metrics,
    /// Where progress is shown.
    pub status: Status,
    /// How long after its end a day can be complete.
    pub grace: Span,
    /// How many days before the shard's own day stay in its state.
    pub open_days: u32,
    /// Whether logs may be compacted: then a record that is gone from their midst is no divergence.
    pub allow_compacted: bool,
    /// The consumer's clock.
    pub clock: Clock,
}

/// The workers of an instance; each partition belongs to one of them.
#[derive(Clone)]
pub struct Workers {
    senders: Vec<UnboundedSender<ToWorker>>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        count: usize,
        context: &WorkerContext,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let mut senders = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count.max(1) {
            let (sender, mut inbox) = unbounded_channel();
            let mut worker = Worker::new(context.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            threads.push(thread.spawn(move || {
                while inbox.blocking_recv().is_some_and(|message| worker.take(message)) {}
            })?);
            senders.push(sender);
        }
        Ok((Self { senders }, threads))
    }

    /// One worker that is a task of the current runtime instead of a thread: for simulations, where
    /// everything happens in one order.
    pub fn start_task(context: &WorkerContext) -> Self {
        let (sender, mut inbox): (_, UnboundedReceiver<ToWorker>) = unbounded_channel();
        let mut worker = Worker::new(context.clone());
        tokio::spawn(async move {
            while inbox.recv().await.is_some_and(|message| worker.take(message)) {}
        });
        Self { senders: vec![sender] }
    }

    /// Tells the worker of a partition. A worker that has ended takes the process with it, so there
    /// is nobody to tell of a failure.
    pub fn tell(&self, tp: &TopicPartition, message: ToWorker) {
        let spread = tp.topic.bytes().fold(tp.partition.unsigned_abs() as usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        let _ = self.senders[spread % self.senders.len()].send(message);
    }

    /// Tells every worker to end.
    pub fn stop(&self) {
        for sender in &self.senders {
            let _ = sender.send(ToWorker::Stop);
        }
    }
}

struct Worker {
    context: WorkerContext,
    shards: HashMap<TopicPartition, Owned>,
}

/// A shard in a worker's hands.
struct Owned {
    generation: Generation,
    claimed: Box<ClaimedShard>,
    metrics: ShardMetrics,
    /// Records taken in this generation, to be compared with the poll thread's count.
    taken: u64,
    /// The state as of the last freeze: its boundary, and the day that its clock released. `None` where
    /// that was not written.
    frozen: Option<(NextOffset, i32)>,
    /// The shard's own day when old days were last sealed.
    sealed_on: Option<BusinessDay>,
    /// Whether nothing has come since the end of the log.
    at_end: bool,
}

impl Worker {
    fn new(context: WorkerContext) -> Self {
        Self { context, shards: HashMap::new() }
    }

    /// Does as it is told. Returns whether there may be more.
    fn take(&mut self, message: ToWorker) -> bool {
        match message {
            ToWorker::Load { tp, generation, shard } => self.load(tp, generation, shard),
            ToWorker::Batch(batch) => self.fold(&batch),
            ToWorker::Freeze { tp, generation, place } => self.freeze(tp, generation, place),
            ToWorker::Thaw(tp, generation) => self.thaw(&tp, generation),
            ToWorker::LogEnd { tp, end, asked_at } => self.log_end(&tp, end, asked_at),
            ToWorker::Drop(tp) => self.drop_shard(&tp),
            ToWorker::Stop => return false,
        }
        true
    }

    fn load(&mut self, tp: TopicPartition, generation: Generation, mut claimed: Box<ClaimedShard>) {
        let clock = clock_of(&claimed);
        let last = claimed.fold.state().last_delivered.map(|last| last.offset);
        let is_kept = last.is_some_and(|last| claimed.resume_from <= last.into());
        if is_kept && !self.context.allow_compacted {
            claimed.fold.require_last_record();
        }
        let mut owned = Owned {
            generation,
            metrics: self.context.metrics.shard(&tp),
            taken: 0,
            frozen: Some((claimed.fold.state().ledger.next, released(clock, self.context.grace))),
            sealed_on: None,
            at_end: false,
            claimed,
        };
        self.context.status.progress(&tp, owned.progress());
        self.shards.insert(tp, owned);
    }

    fn drop_shard(&mut self, tp: &TopicPartition) {
        if self.shards.remove(tp).is_some() {
            self.context.metrics.forget_shard(tp);
            self.context.status.forget(tp);
        }
    }

    fn fold(&mut self, batch: &Batch) {
        let Some(owned) = self.shards.get_mut(&batch.tp) else { return };
        if owned.generation != batch.generation {
            return;
        }
        let outcome = owned.fold(batch, self.context.clock.now());
        self.context.status.progress(&batch.tp, owned.progress());
        match outcome {
            Err(diverged) => {
                self.drop_shard(&batch.tp);
                self.tell(batch.tp.clone(), batch.generation, Event::Diverged(diverged));
            }
            Ok(Err(violation)) => self.broken(batch.tp.clone(), violation),
            Ok(Ok(())) => {}
        }
    }

    fn freeze(&mut self, tp: TopicPartition, generation: Generation, place: (Epoch, Seq)) {
        let Some(owned) = self.shards.get_mut(&tp).filter(|o| o.generation == generation) else {
            return;
        };
        match owned.freeze(&self.context, place) {
            Ok(frozen) => self.tell(tp, generation, Event::Frozen(frozen)),
            Err(violation) => self.broken(tp, violation),
        }
    }

    fn thaw(&mut self, tp: &TopicPartition, generation: Generation) {
        if let Some(owned) = self.shards.get_mut(tp).filter(|o| o.generation == generation) {
            owned.frozen = None;
        }
    }

    fn log_end(&mut self, tp: &TopicPartition, end: NextOffset, asked_at: Timestamp) {
        let Some(owned) = self.shards.get_mut(tp) else { return };
        if owned.at_end && owned.claimed.fold.state().ledger.next == end {
            let standing = &mut owned.claimed.standing;
            standing.caught_up_at = standing.caught_up_at.max(Some(asked_at));
            self.context.status.progress(tp, owned.progress());
        }
    }

    fn tell(&self, tp: TopicPartition, generation: Generation, event: Event) {
        let _ = self.context.events.send(FromWorker::Shard(tp, generation, event));
    }

    fn broken(&self, tp: TopicPartition, violation: Violation) {
        let _ = self.context.events.send(FromWorker::Broken(tp, violation));
    }
}

impl Owned {
    /// Folds one batch. The outer result is the log's fault, the inner one this program's.
    fn fold(&mut self, batch: &Batch, clock: Timestamp) -> Result<Result<(), Violation>, Diverged> {
        let shard = &mut self.claimed.fold;
        let resuming = shard.resumption() == Resumption::Pending;
        for (offset, timestamp_ms, value) in batch.iter() {
            let timestamp = timestamp_ms.map(Timestamp::from_millis);
            let record = Record { offset: Offset::new(offset), timestamp, value };
            match shard.step(&record, clock)? {
                Step::Consumed { outcome, gap } => self.metrics.count(outcome, gap),
                Step::Skipped => {}
            }
        }
        self.taken += batch.records.len() as u64;
        self.at_end = batch.end.is_some();
        if let Some(end) = batch.end {
            self.metrics.count_gap(shard.end_of_log(NextOffset::new(end))?);
        }
        self.metrics.emit();
        if resuming && shard.resumption() == Resumption::Unverified {
            warn!(
                shard = %batch.tp,
                "the last record read is no longer in the log, so whether the log is still the \
                 same could not be checked"
            );
        }
        Ok(Violation::unless_equal(
            Invariant::ConsumedIsJudged,
            ("the number of records delivered", batch.delivered_total.into()),
            ("the number taken by the fold", self.taken.into()),
        ))
    }

    /// The checkpoint to be written, if there is anything new in it.
    fn freeze(
        &mut self,
        context: &WorkerContext,
        place: (Epoch, Seq),
    ) -> Result<Option<Frozen>, Violation> {
        let next_offset = self.claimed.fold.state().ledger.next;
        let reached = (next_offset, released(clock_of(&self.claimed), context.grace));
        if self.frozen == Some(reached) {
            return Ok(None);
        }
        let segments = self.seal(context.open_days, place);
        Point::MidFreeze.pass();
        let state = self.claimed.fold.state();
        state.check()?;
        let begin = state.window_begin().map(NextOffset::from);
        let standing = &mut self.claimed.standing;
        standing.window_cut = standing.window_cut.filter(|cut| begin < Some(*cut));
        let payload = Bytes::from(format::encode(&standing.with(state.clone())));
        let (listed, topic_id) = (state.sealed.clone(), standing.topic_id);
        self.frozen = Some(reached);
        Ok(Some(Frozen { payload, next_offset, segments, listed, topic_id }))
    }

    /// Seals what is old, once in each of the shard's own days, and dead letters when there are many.
    fn seal(&mut self, open_days: u32, place: (Epoch, Seq)) -> Vec<segments::Encoded> {
        let fold = &mut self.claimed.fold;
        let today = fold.state().watermark.map(Timestamp::business_day);
        if self.sealed_on == today && !fold.state().has_many_dead_letters() {
            return Vec::new();
        }
        self.sealed_on = today;
        let open_days = i32::try_from(open_days).unwrap_or(i32::MAX);
        // Where no record was ever valid there is no day, and there are no cells, only dead letters.
        let open_from = today.unwrap_or(BusinessDay::from_days(0)).plus_days(-open_days);
        let segments = segments::seal(&fold.take_old(open_from), place);
        fold.sealed(segments.iter().map(|encoded| encoded.segment));
        segments
    }

    fn progress(&mut self) -> Progress {
        let state = self.claimed.fold.state();
        Progress {
            next_offset: state.ledger.next.get(),
            gaps: state.ledger.gaps,
            watermark: state.watermark,
            caught_up_at: self.claimed.standing.caught_up_at,
            at_end: self.at_end,
            restoring: self.claimed.fold.resumption() == Resumption::Pending,
            cells: state.cells.len(),
            dedupe_ids: self.claimed.fold.dedupe_ids(),
        }
    }
}

fn clock_of(claimed: &ClaimedShard) -> ShardClock {
    ShardClock {
        watermark: claimed.fold.state().watermark,
        caught_up_at: claimed.standing.caught_up_at,
        ..ShardClock::UNKNOWN
    }
}

/// The last day that a shard's clock released, as a number: an idle shard is checkpointed again
/// when it changes, so that the publisher learns of it.
fn released(clock: ShardClock, grace: Span) -> i32 {
    let now = clock.watermark.max(clock.caught_up_at);
    now.map_or(i32::MIN, |now| (now - grace).business_day().days() - 1)
}

/// Logs that a shard is being read.
pub fn log_loaded(claimed: &ClaimedShard) {
    let ledger = &claimed.fold.state().ledger;
    info!(
        shard = %claimed.standing.id,
        next_offset = ledger.next.get(),
        resume_from = claimed.resume_from.get(),
        "claimed"
    );
    if claimed.window_lost > 0 {
        warn!(
            shard = %claimed.standing.id,
            offsets = claimed.window_lost,
            "retention has deleted the beginning of the dedupe window, which is shortened: \
             duplicates of events from before offset {} are not recognised",
            claimed.resume_from
        );
    }
}

#[cfg(test)]
mod tests;
