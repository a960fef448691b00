//! The effects of an instance: what its lifecycle decides, done. Whatever takes time is a task, which
//! answers by message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postroad_aggregate::shard::Diverged;
use postroad_schemas::units::{NextOffset, Timestamp};
use tokio::time::sleep;
use tracing::warn;

use super::{Instance, prepare, shard_id};
use crate::checkpoint::chain::{Chain, CommitError, Pending, Tip};
use crate::error::chain;
use crate::shards::claim::{ClaimError, Stall};
use crate::shards::lifecycle::{Effect, Event};
use crate::shards::worker::ToWorker;
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
                self.source.command(Command::Assign { tp, generation, offset });
            }
            Effect::Commit { tip, payload } => self.commit(tp.clone(), generation, tip, payload),
            Effect::Resume { pending, after } => {
                self.resume(tp.clone(), generation, *pending, after);
            }
            Effect::CommitGroupOffset(next) => {
                self.source.command(Command::CommitGroupOffsets(vec![(tp.clone(), next.get())]));
            }
            Effect::Drop => self.workers.tell(tp, ToWorker::Drop(tp.clone())),
            Effect::Unassign => {
                self.source.command(Command::Unassign { tp: tp.clone(), generation });
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
        tokio::spawn(async move {
            let event = match claims.claim(tp.clone()).await {
                Ok(claimed) => Event::Claimed(Box::new(claimed)),
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
            if let Ok(tip) = &result
                && tip.seq().get() % COLLECT_EVERY == 0
                && let Some(error) = shard_chain.collect(tip, keep).await.stopped
            {
                warn!(error = %chain(&error), "old checkpoints could not be deleted; trying again later");
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
        self.store.chain(&shard_id(tp))
    }

    /// Has the store say that a shard is stalled, as soon as its worker has let go of it.
    pub(super) fn record_divergence(&self, tp: TopicPartition, diverged: Diverged) {
        let claims = self.claims.clone();
        tokio::spawn(async move {
            claims.record_stall(&tp, &Stall::Diverged(diverged)).await;
        });
    }

    /// Asks the brokers where the logs of idle shards end, once their clocks lag behind a day's
    /// end: a shard that has nothing to read must not hold a day open.
    pub(super) fn ask_for_log_ends(&self) {
        let view = self.shown.status.view();
        let asked_at = self.clock.now();
        let released = |at: Timestamp| (at - self.grace).business_day();
        let idle = view.progress.into_iter().filter(|(_, progress)| {
            let clock = progress.watermark.max(progress.caught_up_at);
            progress.at_end && clock.is_none_or(|clock| released(clock) < released(asked_at))
        });
        for (tp, _) in idle {
            let queries = Arc::clone(&self.claims.queries);
            let workers = self.workers.clone();
            tokio::task::spawn_blocking(move || {
                if let Ok((_, end)) = queries.watermarks(&tp, prepare::QUERY_TIMEOUT) {
                    let end = NextOffset::new(end);
                    workers.tell(&tp, ToWorker::LogEnd { tp: tp.clone(), end, asked_at });
                }
            });
        }
    }

    /// Asks the brokers how many partitions the topics have now.
    pub(super) fn ask_for_partitions(&self) {
        let topics: Vec<String> = self.claims.topics.keys().cloned().collect();
        let queries = Arc::clone(&self.claims.queries);
        let publisher = self.publisher.partitions();
        tokio::task::spawn_blocking(move || {
            if let Ok(partitions) = queries.partition_counts(&topics, prepare::QUERY_TIMEOUT) {
                publisher.send_replace(partitions);
            }
        });
    }
}
