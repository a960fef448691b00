//! The effects of an instance: what its lifecycle decides, done. Whatever takes time is a task, which
//! answers by message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::path::Path;
use postroad_schemas::units::Timestamp;
use tokio::time::sleep;
use tracing::error;

use super::Instance;
use crate::checkpoint::Source;
use crate::decisions;
use crate::error::chain;
use crate::shards::claim::ClaimError;
use crate::shards::lifecycle::{Effect, Event};
use crate::shards::stall::Stall;
use crate::shards::worker::ToWorker;
use crate::source::LogRange;
use crate::source::kafka::{Command, Generation, TopicPartition};

/// Says what an operator has to decide about.
pub(super) fn say_stalled(tp: &TopicPartition, stall: &Stall) {
    error!(shard = %tp, reason = %stall, "stalled: an operator has to decide");
}

impl Instance {
    pub(super) fn perform(&mut self, tp: &TopicPartition, generation: Generation, effect: Effect) {
        match effect {
            Effect::Claim(after) => self.claim(tp.clone(), generation, after),
            Effect::Load(shard) => {
                let offset = shard.resume_from.get();
                let tp = tp.clone();
                self.workers.tell(&tp, ToWorker::Load { tp: tp.clone(), generation, shard });
                self.consumer.command(Command::Assign { tp, generation, offset });
            }
            Effect::Commit { shard, tip, frozen, after } => {
                let put = self.writers.of(shard).commit(tip, frozen);
                self.answer(tp.clone(), generation, after, put);
            }
            Effect::Resume { shard, pending, after } => {
                let put = self.writers.of(shard).resume(*pending);
                self.answer(tp.clone(), generation, after, put);
            }
            Effect::CommitGroupOffset(next) => {
                self.consumer.command(Command::CommitGroupOffsets(vec![(tp.clone(), next.get())]));
            }
            Effect::RecordStall(stall) => {
                say_stalled(tp, &stall);
                self.record_divergences();
            }
            Effect::Thaw => self.workers.tell(tp, ToWorker::Thaw(tp.clone(), generation)),
            Effect::Drop => self.workers.tell(tp, ToWorker::Drop(tp.clone())),
            Effect::Unassign => {
                self.consumer.command(Command::Unassign { tp: tp.clone(), generation });
            }
        }
    }

    /// Claims a shard, now or after a while, if it is still this instance's by then.
    pub(super) fn claim(&self, tp: TopicPartition, generation: Generation, after: Duration) {
        if !after.is_zero() {
            let due = self.claims_due.0.clone();
            tokio::spawn(async move {
                sleep(after).await;
                let _ = due.send((tp, generation));
            });
            return;
        }
        if !self.lifecycle.awaits_claim(&tp, generation) {
            return;
        }
        let (claims, writers) = (self.claims.clone(), self.writers.clone());
        self.answer(tp.clone(), generation, Duration::ZERO, async move {
            match claims.claim(tp).await {
                Ok(claimed) => {
                    let writer = writers.of(claimed.shard.standing.id.clone());
                    writer.collect(&claimed.tip, &claimed.shard.fold.state().sealed).await;
                    Event::Claimed(Box::new(claimed))
                }
                Err(ClaimError::Stalled(stall)) => Event::ClaimStalled(stall),
                Err(error) => Event::ClaimFailed(chain(&error)),
            }
        });
    }

    /// Runs something as a task, after a while, and has it answer.
    fn answer(
        &self,
        tp: TopicPartition,
        generation: Generation,
        after: Duration,
        task: impl Future<Output = Event> + Send + 'static,
    ) {
        let answers = self.answers.0.clone();
        tokio::spawn(async move {
            sleep(after).await;
            let _ = answers.send((tp, generation, task.await));
        });
    }

    /// Has the store say of shards that diverged that they did, where it does not. A claim that was under
    /// way somewhere, and came late, makes it say that they run, or adopts the decision that ends the
    /// life: then the next one is claimed. Other stalled shards are claimed again, which finds out, but a
    /// divergence is found only by reading.
    fn record_divergences(&self) {
        for (tp, generation, id, stall) in self.lifecycle.diverged() {
            let (claims, answers) = (self.claims.clone(), self.answers.0.clone());
            let (tp, id, stall) = (tp.clone(), id.clone(), stall.clone());
            tokio::spawn(async move {
                if claims.record_divergence(&id, &stall).await {
                    let _ = answers.send((tp, generation, Event::Decided));
                }
            });
        }
    }

    /// Asks the brokers where the logs of idle shards end, once their clocks lag behind a day's
    /// end: a shard that has nothing to read must not hold a day open.
    pub(super) fn ask_for_log_ends(&self) {
        let view = self.shown.status.view();
        let clock = self.clock.clone();
        let now = clock.now();
        let released = |at: Timestamp| (at - self.grace).business_day();
        let idle = view.progress.into_iter().filter(|(_, progress)| {
            let clock = progress.watermark.max(progress.caught_up_at);
            progress.at_end && clock.is_none_or(|clock| released(clock) < released(now))
        });
        let idle: Vec<_> = idle.map(|(tp, _)| tp).collect();
        let (cluster, workers) = (Arc::clone(&self.claims.cluster), self.workers.clone());
        ask(&self.asking_for_ends, async move {
            for tp in idle {
                let asked_at = clock.now();
                if let Ok(LogRange { high: end, .. }) = cluster.log_range(&tp).await {
                    workers.tell(&tp, ToWorker::LogEnd { tp: tp.clone(), end, asked_at });
                }
            }
        });
    }

    /// Asks the brokers how many partitions the topics have now.
    pub(super) fn ask_for_partitions(&self) {
        let topics: Vec<String> = self.claims.topics.keys().cloned().collect();
        let cluster = Arc::clone(&self.claims.cluster);
        let counts = self.publisher.partitions();
        let (claims, published) = (self.claims.clone(), self.partitions_published());
        let status = self.shown.status.clone();
        ask(&self.asking_for_partitions, async move {
            let Ok(partitions) = cluster.partition_counts(&topics).await else { return };
            let mut gone = BTreeMap::new();
            for tp in published {
                let count = partitions.get(&*tp.topic).copied();
                if let Some(count) = count.filter(|count| *count <= tp.partition)
                    && let Some(stall) = claims.settle_gone(&tp, count).await
                {
                    gone.insert(tp, stall);
                }
            }
            status.update(|view| {
                for (tp, stall) in gone.iter().filter(|(tp, _)| !view.gone.contains_key(tp)) {
                    say_stalled(tp, stall);
                }
                view.gone = gone;
            });
            counts.send_replace(partitions);
        });
    }

    /// The partitions of the newest publish, where this instance made it: the group gives nobody a
    /// partition that is gone, so the publisher looks after those.
    fn partitions_published(&self) -> BTreeSet<TopicPartition> {
        let view = self.shown.status.view();
        let shards = view.snapshot.iter().flat_map(|snapshot| snapshot.manifest.shard_ids());
        shards
            .filter(|shard| shard.source == Source::Kafka)
            .map(|shard| TopicPartition::new(shard.topic, shard.partition))
            .collect()
    }

    /// Asks the store whether operators have decided anything, and sees to it that they know where they
    /// have to.
    pub(super) fn ask_for_decisions(&self) {
        self.record_divergences();
        let (store, found) = (self.claims.store.clone(), self.decisions.0.clone());
        ask(&self.asking_for_decisions, async move {
            if let Ok(keys) = decisions::all_keys(&store).await {
                let _ = found.send(keys);
            }
        });
    }

    /// Has the shards of decisions that were not there before claimed anew, which adopts them.
    pub(super) fn on_decisions(&mut self, keys: Vec<Path>) {
        for key in keys {
            let Some(tp) = decisions::partition_of(&key) else { continue };
            if self.decisions_seen.insert(key)
                && let Some(generation) = self.lifecycle.generation(&tp)
            {
                self.step(&tp, generation, Event::Decided);
            }
        }
    }
}

/// Asks something, unless the question before is still unanswered.
fn ask(asking: &Arc<AtomicBool>, question: impl Future<Output = ()> + Send + 'static) {
    if asking.swap(true, Ordering::AcqRel) {
        return;
    }
    let asking = Arc::clone(asking);
    tokio::spawn(async move {
        question.await;
        asking.store(false, Ordering::Release);
    });
}
