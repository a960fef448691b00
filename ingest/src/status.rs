//! What an instance knows of itself, for readiness, metrics, the console and the demo.
//!
//! One small table behind a lock, written once a batch or once a change, read by whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroad_schemas::units::Timestamp;

use crate::metrics::state_label;
use crate::publish::Snapshot;
use crate::shards::lifecycle::{ShardPhase, Unconfirmed};
use crate::shards::stall::Stall;
use crate::source::kafka::TopicPartition;

/// How far a shard is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The first offset not yet folded.
    pub next_offset: i64,
    /// Shard time.
    pub watermark: Option<Timestamp>,
    /// When it was last seen to have nothing more to read.
    pub caught_up_at: Option<Timestamp>,
    /// Offsets that its log did not deliver.
    pub gaps: u64,
    /// Whether nothing has come since the end of its log.
    pub at_end: bool,
    /// Whether its dedupe window is still being rebuilt.
    pub restoring: bool,
    /// Rollup cells held.
    pub cells: usize,
    /// Event ids held.
    pub dedupe_ids: usize,
}

/// Everything known at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Why no broker can be reached, while none can.
    pub brokers_down: Option<String>,
    /// Whether the group has told this instance which partitions it has.
    pub joined: bool,
    /// The state of each shard.
    pub phases: BTreeMap<TopicPartition, ShardPhase>,
    /// The shards of partitions that their topics do not have any more, while nobody has decided about
    /// them. The group gives them to nobody; the publisher knows.
    pub gone: BTreeMap<TopicPartition, Stall>,
    /// The configured topics that the brokers do not have (any more), as they last said. Every instance asks.
    pub missing_topics: BTreeSet<String>,
    /// The progress of each shard in a worker's hands.
    pub progress: BTreeMap<TopicPartition, Progress>,
    /// The end of each log, as last seen.
    pub log_ends: BTreeMap<TopicPartition, i64>,
    /// Why the store fails, while it does.
    pub store_failing: Option<String>,
    /// The shards that are read and not checkpointed, for some time already, because the brokers do not
    /// say that their topics are still those that were read.
    pub unconfirmed: BTreeMap<TopicPartition, Unconfirmed>,
    /// The first fault of the folder of the reference data, while it has any.
    pub reference_fault: Option<String>,
    /// Why the last publish failed, if it did.
    pub publish_failing: Option<String>,
    /// What this instance published last, while it is the publisher.
    pub snapshot: Option<Snapshot>,
}

impl View {
    /// Offsets between a shard and the end of its log: never negative, `None` while unknown.
    pub fn lag(&self, tp: &TopicPartition) -> Option<i64> {
        let progress = self.progress.get(tp)?;
        let end = self.log_ends.get(tp)?;
        Some((end - progress.next_offset).max(0))
    }

    /// The shards that wait for an operator, as far as this instance has to say so.
    pub fn stalled(&self) -> impl Iterator<Item = (&TopicPartition, &Stall)> {
        let own = self.phases.iter().filter_map(|(tp, phase)| match phase {
            ShardPhase::Stalled(stall) => Some((tp, stall)),
            _ => None,
        });
        own.chain(&self.gone)
    }

    /// What is missing for the instance to be ready; nothing if it is.
    pub fn not_ready(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if let Some(error) = &self.brokers_down {
            missing.push(format!("no broker can be reached: {error}"));
        }
        if !self.joined {
            missing.push("the consumer group has not assigned partitions yet".to_owned());
        }
        missing.extend(self.missing_topics.iter().map(|topic| {
            format!(
                "the topic `{topic}` does not exist (any more); create it, or correct kafka.topics"
            )
        }));
        for (tp, phase) in &self.phases {
            match phase {
                ShardPhase::Loading { failure: Some(failure) } => {
                    missing.push(format!("{tp} is loading; the last try failed: {failure}"));
                }
                phase if state_label(phase, self.progress.get(tp)) == "loading" => {
                    missing.push(format!("{tp} is loading"));
                }
                _ => {}
            }
        }
        missing.extend(self.stalled().map(|(tp, stall)| format!("{tp} is stalled: {stall}")));
        if let Some(error) = &self.store_failing {
            missing.push(format!("the store fails: {error}"));
        }
        missing.extend(self.unconfirmed.iter().map(|(tp, Unconfirmed { in_a_row, error })| {
            format!(
                "{tp} is not checkpointed: the brokers have not confirmed its topic {in_a_row} \
                 times in a row: {error}"
            )
        }));
        missing
    }
}

/// The shared table.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<Mutex<View>>);

impl Status {
    /// A copy of everything, as of now.
    pub fn view(&self) -> View {
        self.lock().clone()
    }

    /// Changes something that changes rarely.
    pub fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.lock());
    }

    /// Notes how far a shard is.
    pub fn progress(&self, tp: &TopicPartition, progress: Progress) {
        self.lock().progress.insert(tp.clone(), progress);
    }

    /// Forgets a shard that its worker has dropped.
    pub fn forget(&self, tp: &TopicPartition) {
        self.lock().progress.remove(tp);
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
