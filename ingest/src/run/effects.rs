//! The effects of an instance: what its lifecycle decides, done. Whatever takes time is a task, which
//! answers by message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use postroad_schemas::units::Timestamp;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{ClaimDue, Instance};
use crate::checkpoint::Source;
use crate::decisions;
use crate::error::chain;
use crate::shards::claim::ClaimError;
use crate::shards::lifecycle::{Effect, Event};
use crate::shards::stall::Stall;
use crate::shards::worker::ToWorker;
use crate::source::LogRange;
use crate::source::kafka::{Command, Generation, TopicPartition};
use crate::store::StoreError;

/// Says what an operator has to decide about.
pub(super) fn say_stalled(tp: &TopicPartition, stall: &Stall) {
    error!(shard = %tp, reason = %stall, "stalled: an operator has to decide");
}

impl Instance {
    pub(super) fn perform(&mut self, tp: &TopicPartition, generation: Generation, effect: Effect) {
        match effect {
            Effect::Claim => self.claim(tp.clone(), generation),
            Effect::ClaimLater { number, after } => {
                let (tp, due) = (tp.clone(), self.claims_due.0.clone());
                tokio::spawn(async move {
                    sleep(after).await;
                    let _ = due.send((tp, generation, number));
                });
            }
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

    /// Makes a claim that was put off, unless it is not wanted any more.
    pub(super) fn claim_due(&mut self, (tp, generation, number): ClaimDue) {
        if self.lifecycle.begin_claim(&tp, generation, number) {
            self.claim(tp, generation);
        }
    }

    fn claim(&self, tp: TopicPartition, generation: Generation) {
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
        let diverged = self
            .lifecycle
            .diverged()
            .map(|(tp, generation, id, stall)| (tp.clone(), generation, id.clone(), stall.clone()));
        let diverged: Vec<_> = diverged.collect();
        let (claims, answers) = (self.claims.clone(), self.answers.0.clone());
        // One after another, and not again before all were looked at: a store that hangs must not
        // gather them. What fails is said with its shard.
        self.questions.divergences.ask("it is not known which shards diverged", async move {
            for (tp, generation, id, stall) in diverged {
                if claims.record_divergence(&id, &stall).await {
                    let _ = answers.send((tp, generation, Event::Decided));
                }
            }
            Ok(())
        });
    }

    /// What can wait for some seconds.
    pub(super) fn ask_now_and_then(&self) {
        self.ask_for_log_ends();
        self.ask_whose_store_it_is();
    }

    /// Asks the brokers where the logs of idle shards end, once their clocks lag behind a day's
    /// end: a shard that has nothing to read must not hold a day open.
    fn ask_for_log_ends(&self) {
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
        let unknown = "where the logs of idle partitions end is not known, so their days stay open";
        self.questions.log_ends.ask(unknown, async move {
            let mut answer = Ok(());
            for tp in idle {
                let asked_at = clock.now();
                match cluster.log_range(&tp).await {
                    Ok(LogRange { high: end, .. }) => {
                        workers.tell(&tp, ToWorker::LogEnd { tp: tp.clone(), end, asked_at });
                    }
                    Err(error) => answer = Err(format!("{tp}: {}", chain(&error))),
                }
            }
            answer
        });
    }

    /// Asks the brokers how many partitions the topics have now.
    pub(super) fn ask_for_partitions(&self) {
        let topics: Vec<String> = self.claims.topics.keys().cloned().collect();
        let cluster = Arc::clone(&self.claims.cluster);
        let counts = self.publisher.partitions();
        let (claims, published) = (self.claims.clone(), self.partitions_published());
        let status = self.shown.status.clone();
        let unknown = "how many partitions the topics have is not known, so new ones do not hold \
                       their days open and lost ones are not noticed";
        self.questions.partitions.ask(unknown, async move {
            let partitions = cluster.partition_counts(&topics).await;
            let partitions = partitions.map_err(|error| chain(&error))?;
            let missing = topics.into_iter().filter(|topic| !partitions.contains_key(topic));
            let missing: BTreeSet<String> = missing.collect();
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
                for topic in missing.difference(&view.missing_topics) {
                    warn!(%topic, "the topic does not exist (any more); create it, or correct kafka.topics");
                }
                view.missing_topics = missing;
                for (tp, stall) in gone.iter().filter(|(tp, _)| !view.gone.contains_key(tp)) {
                    say_stalled(tp, stall);
                }
                view.gone = gone;
            });
            counts.send_replace(partitions);
            Ok(())
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
        let unknown = "what operators decided since is not known, and not adopted";
        self.questions.decisions.ask(unknown, async move {
            let keys = decisions::all_keys(&store).await.map_err(|error| chain(&error))?;
            let _ = found.send(keys);
            Ok(())
        });
    }

    /// Asks the store whose it is. What says so is written again where it is gone, for else another group
    /// could adopt the store; and an instance whose store is another's ends.
    fn ask_whose_store_it_is(&self) {
        let Some(owner) = self.owner.clone() else { return };
        let (store, disowned) = (self.claims.store.clone(), self.disowned.0.clone());
        let unknown = "whose the store is is not known: restore owner.json and store.json";
        self.questions.owner.ask(unknown, async move {
            match store.stay_with(&owner).await {
                Ok(false) => Ok(()),
                Ok(true) => {
                    warn!("owner.json or store.json was gone from the store, and is written again");
                    Ok(())
                }
                Err(error @ (StoreError::Foreign { .. } | StoreError::Newer { .. })) => {
                    let _ = disowned.send(error);
                    Ok(())
                }
                Err(error) => Err(chain(&error)),
            }
        });
    }

    /// Has the shards of decisions that were not there before claimed anew, which adopts them: once for
    /// all that are new, since a claim adopts every one.
    pub(super) fn on_decisions(&mut self, keys: Vec<Path>) {
        let new = keys.into_iter().filter_map(|key| {
            let tp = decisions::partition_of(&key)?;
            self.decisions_seen.insert(key).then_some(tp)
        });
        for tp in new.collect::<BTreeSet<_>>() {
            if let Some(generation) = self.lifecycle.generation(&tp) {
                self.step(&tp, generation, Event::Decided);
            }
        }
    }
}
