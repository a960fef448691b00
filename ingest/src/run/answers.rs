//! What tasks answer, counted and said once; and the state of the shards, told to the rest of the
//! instance.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{error, warn};

use super::publisher::Role;
use super::{Answer, Instance, effects};
use crate::checkpoint::ShardId;
use crate::clock::now;
use crate::shards::lifecycle::{Event, ShardPhase, Unconfirmed};
use crate::shards::stall::Stall;
use crate::shards::worker::log_loaded;
use crate::source::kafka::TopicPartition;

impl Instance {
    /// Counts an answer, says what is new in it, and steps by it.
    pub(super) fn on_answer(&mut self, (tp, generation, event): Answer) {
        let (tp, metrics) = (&tp, &self.shown.metrics);
        let awaited = self.lifecycle.awaits_put(tp, generation);
        match &event {
            Event::Claimed(claimed) => log_loaded(&claimed.shard),
            Event::ClaimStalled(stall) => self.log_stall(tp, stall),
            Event::ClaimFailed(failure) => self.log_claim_failure(tp, failure),
            Event::Committed(_) => {
                metrics.count_checkpoint("committed");
                metrics.checkpoint_last_success.set(now().as_seconds_f64());
            }
            Event::Fenced(by) => {
                metrics.count_checkpoint("fenced");
                // Else the shard was given up before: what was refused came too late to matter.
                if awaited {
                    metrics.fenced.inc();
                    warn!(shard = %tp, reason = %by, "fenced: another instance owns the shard");
                }
            }
            Event::Unconfirmed { .. } => metrics.count_checkpoint("unconfirmed"),
            Event::Recreated => {
                metrics.count_checkpoint("recreated");
                error!(shard = %tp, "the topic was made anew under the running consumer; what was read since the last checkpoint is dropped");
            }
            Event::Unresolved { error, .. } | Event::SegmentsFailed { error, .. } => {
                metrics.count_checkpoint("unresolved");
                metrics.count_store_error("checkpoint");
                if !self.lifecycle.is_store_failing() {
                    error!(shard = %tp, %error, "a checkpoint cannot be written; reading stops until it can");
                }
            }
            _ => {}
        }
        let unconfirmed = awaited && matches!(event, Event::Unconfirmed { .. });
        self.step(tp, generation, event);
        if unconfirmed {
            self.log_unconfirmed(tp);
        }
    }

    /// Says once that a shard is read and not checkpointed.
    fn log_unconfirmed(&self, tp: &TopicPartition) {
        let found = self.lifecycle.unconfirmed().find(|(of, _)| *of == tp);
        if let Some((_, Unconfirmed { in_a_row: Unconfirmed::LASTING, error })) = found {
            warn!(shard = %tp, %error, "no checkpoint is written: the brokers do not say that the topic is still the one that was read; trying again");
        }
    }

    fn log_stall(&self, tp: &TopicPartition, stall: &Stall) {
        let known = self.phase(tp) == Some(ShardPhase::Stalled(stall.clone()));
        if !known {
            effects::say_stalled(tp, stall);
        }
    }

    fn log_claim_failure(&self, tp: &TopicPartition, failure: &str) {
        let said = |phase| matches!(phase, ShardPhase::Loading { failure: Some(_) });
        if !self.phase(tp).is_none_or(said) {
            warn!(shard = %tp, error = %failure, "cannot be claimed yet; trying again");
        }
    }

    fn phase(&self, tp: &TopicPartition) -> Option<ShardPhase> {
        self.lifecycle.phases().find(|(known, _)| *known == tp).map(|(_, phase)| phase)
    }

    /// Tells the rest of the instance how the shards are.
    pub(super) fn show(&self) {
        let phases: BTreeMap<_, _> =
            self.lifecycle.phases().map(|(tp, phase)| (tp.clone(), phase)).collect();
        // Its owner publishes whatever its state: one stalled shard must not hide the others.
        let publishes = phases.contains_key(&TopicPartition::new(Arc::clone(&self.first_topic), 0));
        let first_life = |tp: &TopicPartition| ShardId::kafka(Arc::clone(&tp.topic), tp.partition);
        let shards = phases.keys().map(first_life).collect();
        self.publisher.set_role(Role { publishes, shards });
        let store_failing = phases.values().find_map(|phase| match phase {
            ShardPhase::Running { unresolved } => unresolved.clone(),
            _ => None,
        });
        let lasting = self.lifecycle.unconfirmed().filter(|(_, found)| found.is_lasting());
        let unconfirmed = lasting.map(|(tp, found)| (tp.clone(), found.clone())).collect();
        let log_ends = self.consumer.log_ends();
        self.shown.status.update(|view| {
            view.joined = self.joined;
            view.phases = phases;
            view.store_failing = store_failing;
            view.unconfirmed = unconfirmed;
            view.log_ends = log_ends.into_iter().collect();
        });
    }
}
