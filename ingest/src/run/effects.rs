//! The effects of an instance: what its lifecycle decides, done. Whatever takes time is a task, which
//! answers by message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use postroad_schemas::units::Timestamp;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{Instance, shard_id};
use crate::checkpoint::chain::{Chain, CommitError, Pending, Tip};
use crate::error::chain;
use crate::shards::claim::{ClaimError, Stall};
use crate::shards::lifecycle::{Effect, Event};
use crate::shards::worker::ToWorker;
use crate::source::LogRange;
use crate::source::kafka::{Command, Generation, TopicPartition};

/// Old checkpoints of a shard are deleted after every so many new ones.
const COLLECT_EVERY: u64 = 8;

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
            Effect::Commit { tip, payload } => self.commit(tp.clone(), generation, tip, payload),
            Effect::Resume { pending, after } => {
                self.resume(tp.clone(), generation, *pending, after);
            }
            Effect::CommitGroupOffset(next) => {
                self.consumer.command(Command::CommitGroupOffsets(vec![(tp.clone(), next.get())]));
            }
            Effect::RecordStall(stall) => self.record_stall(tp.clone(), stall),
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
        let claims = self.claims.clone();
        let answers = self.answers.0.clone();
        let (shard_chain, keep) = (self.chain_of(&tp), self.keep);
        tokio::spawn(async move {
            let event = match claims.claim(tp.clone()).await {
                Ok(claimed) => {
                    collect(&shard_chain, &claimed.tip, keep).await;
                    Event::Claimed(Box::new(claimed))
                }
                Err(ClaimError::Stalled(stall)) => Event::ClaimStalled(stall),
                Err(error) => Event::ClaimFailed(chain(&error)),
            };
            let _ = answers.send((tp, generation, event));
        });
    }

    fn commit(&self, tp: TopicPartition, generation: Generation, tip: Tip, payload: Bytes) {
        let shard_chain = self.chain_of(&tp);
        let duration = self.shown.metrics.checkpoint_duration.clone();
        let keep = self.keep;
        self.answer(tp, generation, async move {
            let timer = duration.start_timer();
            let result = shard_chain.commit(tip, payload).await;
            timer.observe_duration();
            if let Ok(tip) = &result {
                collect(&shard_chain, tip, keep).await;
            }
            result
        });
    }

    fn resume(
        &self,
        tp: TopicPartition,
        generation: Generation,
        pending: Pending,
        after: Duration,
    ) {
        let shard_chain = self.chain_of(&tp);
        self.answer(tp, generation, async move {
            sleep(after).await;
            shard_chain.resume(pending).await
        });
    }

    /// Runs a put as a task, which answers with what became of it.
    fn answer(
        &self,
        tp: TopicPartition,
        generation: Generation,
        put: impl Future<Output = Result<Tip, CommitError>> + Send + 'static,
    ) {
        let answers = self.answers.0.clone();
        tokio::spawn(async move {
            let event = match put.await {
                Ok(tip) => Event::Committed(tip),
                Err(CommitError::Unresolved { pending, source, .. }) => {
                    Event::Unresolved { pending, error: chain(&source) }
                }
                Err(error) => Event::Fenced(chain(&error)),
            };
            let _ = answers.send((tp, generation, event));
        });
    }

    fn chain_of(&self, tp: &TopicPartition) -> Chain {
        self.claims.store.chain(&shard_id(tp))
    }

    /// Says that a shard is stalled, in the log and in the store.
    fn record_stall(&self, tp: TopicPartition, stall: Stall) {
        error!(shard = %tp, reason = %stall, "stalled: an operator has to decide");
        let claims = self.claims.clone();
        tokio::spawn(async move { claims.record_stall(&tp, &stall).await });
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
        let publisher = self.publisher.partitions();
        ask(&self.asking_for_partitions, async move {
            if let Ok(partitions) = cluster.partition_counts(&topics).await {
                publisher.send_replace(partitions);
            }
        });
    }
}

/// Deletes old checkpoints, now and then.
async fn collect(shard_chain: &Chain, tip: &Tip, keep: usize) {
    if tip.seq().get().is_multiple_of(COLLECT_EVERY)
        && let Some(error) = shard_chain.collect(tip, keep).await.stopped
    {
        warn!(error = %chain(&error), "old checkpoints could not be deleted; trying again later");
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
