//! Claiming a shard: finding its newest checkpoint, seeing that the log still holds what follows
//! it, and writing the claim that fences whoever owned it before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Diverged, Shard, ShardState};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{NextOffset, Timestamp};
use tracing::warn;

use crate::checkpoint::chain::{ChainError, Tip};
use crate::checkpoint::{Checkpoint, DecisionId, LoadError, Phase, ShardId, StallReason, format};
use crate::config::Start;
use crate::error::{Kind, chain};
use crate::publish::{PublishError, published_entry};
use crate::source::kafka::{QueryError, TopicPartition};
use crate::source::{Cluster, LogRange};
use crate::store::{Store, StoreError};

/// How often a claim that another instance's was faster than is made again.
const CLAIM_TRIES: u32 = 4;

/// Why a shard cannot go on by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stall {
    /// Retention has deleted records that were not read: `[from, low)` is lost.
    RetentionOverrun {
        /// The first that was not read.
        from: NextOffset,
        /// The first that is still there.
        low: NextOffset,
    },
    /// The log ends below what was read: it was truncated, or the topic recreated.
    Truncated {
        /// Everything below was read.
        next: NextOffset,
        /// Where the log ends.
        high: NextOffset,
    },
    /// Another record stands where the last one read had been.
    Diverged(Diverged),
    /// The store's shard follows another contract than the configuration says.
    OtherContract {
        /// The store's.
        stored: Contract,
        /// The configuration's.
        configured: Contract,
    },
    /// A checkpoint cannot be read, and none before it can stand in.
    Unreadable(String),
}

impl Stall {
    /// The reason without its particulars.
    pub fn reason(&self) -> StallReason {
        match self {
            Self::RetentionOverrun { .. } => StallReason::RetentionOverrun,
            Self::Truncated { .. } => StallReason::Truncated,
            Self::Diverged(_) => StallReason::Diverged,
            Self::OtherContract { .. } => StallReason::OtherContract,
            Self::Unreadable(_) => StallReason::Unreadable,
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetentionOverrun { from, low } => write!(
                f,
                "retention deleted the records of offsets [{from}, {low}) before they were read"
            ),
            Self::Truncated { next, high } => write!(
                f,
                "the log ends at offset {high}, but had been read up to {next}: it was truncated \
                 or the topic was recreated"
            ),
            Self::Diverged(diverged) => diverged.fmt(f),
            Self::OtherContract { stored, configured } => write!(
                f,
                "the store holds it under the contract `{stored}`, the configuration says \
                 `{configured}`"
            ),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// Why a claim did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The shard cannot go on by itself.
    #[error("{0}")]
    Stalled(Stall),
    /// The brokers did not answer.
    #[error("the brokers could not be asked")]
    Query(#[from] QueryError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The chain failed.
    #[error("the chain of checkpoints failed")]
    Chain(#[source] ChainError),
    /// The newest publish could not be read.
    #[error("the newest publish could not be read")]
    Publish(#[from] PublishError),
    /// Others were faster each time.
    #[error("other instances were faster {CLAIM_TRIES} times")]
    Raced,
}

impl From<ChainError> for ClaimError {
    /// What trying again cannot mend is a stall.
    fn from(error: ChainError) -> Self {
        match error.kind() {
            Kind::Retry | Kind::Fenced => Self::Chain(error),
            _ => Self::Stalled(Stall::Unreadable(chain(&error))),
        }
    }
}

impl From<LoadError> for ClaimError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Chain(error) => error.into(),
            LoadError::Format { .. } => Self::Stalled(Stall::Unreadable(error.to_string())),
        }
    }
}

/// A claim that succeeded.
#[derive(Debug)]
pub struct Claimed {
    /// The claim, which is the end of the chain.
    pub tip: Tip,
    /// What it claims.
    pub shard: Box<ClaimedShard>,
}

/// A shard that was claimed, ready to be given to its worker.
#[derive(Debug)]
pub struct ClaimedShard {
    /// Which.
    pub id: ShardId,
    /// The fold, with an empty window.
    pub fold: Shard,
    /// What else its checkpoint holds.
    pub caught_up_at: Option<Timestamp>,
    /// Where the log began when it no longer held the beginning of the window.
    pub window_cut: Option<NextOffset>,
    /// Decisions adopted.
    pub decisions: Vec<(NextOffset, DecisionId)>,
    /// Where to read from: below `next_offset` where the window is rebuilt.
    pub resume_from: NextOffset,
    /// How many offsets of the window retention has deleted.
    pub window_lost: u64,
}

/// What claims need, the same for every shard.
#[derive(Clone)]
pub struct ClaimContext {
    /// Where checkpoints are.
    pub store: Store,
    /// Whom to ask about the log.
    pub cluster: Arc<dyn Cluster>,
    /// The rules to adopt, and their address.
    pub rules: (RulesId, Arc<Rules>),
    /// Key of the id hash.
    pub id_key: IdKey,
    /// Whether payloads of dead letters are kept.
    pub keep_payload: bool,
    /// Contract and beginning of each topic.
    pub topics: Arc<BTreeMap<String, (Contract, Start)>>,
}

impl ClaimContext {
    /// Claims the shard of a partition.
    ///
    /// # Errors
    /// Where the shard cannot go on, or somebody who is needed does not answer.
    pub async fn claim(&self, tp: TopicPartition) -> Result<Claimed, ClaimError> {
        let id = ShardId::kafka(Arc::clone(&tp.topic), tp.partition);
        let (contract, start) = self.topics[&*tp.topic];
        let shard_chain = self.store.chain(&id);
        for _ in 0..CLAIM_TRIES {
            let newest = shard_chain.newest().await?;
            // Asked after the chain was read: what was read before may be older than the checkpoint.
            let range = self.cluster.log_range(&tp).await?;
            let mut checkpoint = if let Some(newest) = &newest {
                Checkpoint::read(&id, newest)?
            } else {
                self.refuse_lost_chain(&id).await?;
                self.first(&id, contract, start, range).await?
            };
            if let Err(stall) = check_continues(&checkpoint.state, contract, range) {
                self.record_stall(&tp, &stall).await;
                return Err(ClaimError::Stalled(stall));
            }
            let fold = self.resume(&mut checkpoint, range.low).await?;
            let payload = Bytes::from(format::encode(&checkpoint));
            if let Some(tip) = shard_chain.claim(newest.as_ref(), payload).await? {
                return Ok(claimed(tip, checkpoint, fold, range.low));
            }
        }
        Err(ClaimError::Raced)
    }

    /// Writes into the shard's newest checkpoint that it is stalled, for the publisher and whoever
    /// comes next, unless it says so. If that fails the shard is stalled all the same.
    pub async fn record_stall(&self, tp: &TopicPartition, stall: &Stall) {
        let id = ShardId::kafka(Arc::clone(&tp.topic), tp.partition);
        if let Err(error) = self.write_stall(&id, stall).await {
            warn!(shard = %id, error = %chain(&error), "the ledger does not show the stall");
        }
    }

    async fn write_stall(&self, id: &ShardId, stall: &Stall) -> Result<(), ClaimError> {
        let shard_chain = self.store.chain(id);
        let phase = Phase::Stalled(stall.reason());
        for _ in 0..CLAIM_TRIES {
            let Some(newest) = shard_chain.newest().await? else { return Ok(()) };
            let mut checkpoint = Checkpoint::read(id, &newest)?;
            if checkpoint.phase == phase {
                return Ok(());
            }
            checkpoint.phase = phase;
            let payload = Bytes::from(format::encode(&checkpoint));
            if shard_chain.claim(Some(&newest), payload).await?.is_some() {
                return Ok(());
            }
        }
        Err(ClaimError::Raced)
    }

    /// Resumes a checkpoint's state under the rules of this instance, and brings the checkpoint up
    /// to what the claim is to say.
    async fn resume(
        &self,
        checkpoint: &mut Checkpoint,
        low: NextOffset,
    ) -> Result<Shard, ClaimError> {
        let rules = self.store.rules_of(&checkpoint.state).await?;
        let state = checkpoint.state.clone();
        let mut shard = Shard::resume(state, rules, self.id_key, self.keep_payload);
        let (rules_id, rules) = &self.rules;
        shard.adopt(*rules_id, Arc::clone(rules));
        checkpoint.state = shard.state().clone();
        checkpoint.phase = Phase::Running;
        if shard.state().window_begin().is_some_and(|begin| NextOffset::from(begin) < low) {
            checkpoint.window_cut = Some(low);
        }
        Ok(shard)
    }

    /// A shard without any checkpoint must not have been published: its chain would be lost, and
    /// beginning anew would take back what readers were shown.
    async fn refuse_lost_chain(&self, id: &ShardId) -> Result<(), ClaimError> {
        let Some(entry) = published_entry(&self.store, id).await? else { return Ok(()) };
        let stall = Stall::Unreadable(format!(
            "its checkpoints are gone, but offsets up to {} were published; restore the folder {}",
            entry.next_offset.unwrap_or_default(),
            id.prefix()
        ));
        Err(ClaimError::Stalled(stall))
    }

    /// A shard that nobody has read before.
    async fn first(
        &self,
        id: &ShardId,
        contract: Contract,
        start: Start,
        LogRange { low, high }: LogRange,
    ) -> Result<Checkpoint, ClaimError> {
        let first = match start {
            Start::Earliest => low,
            Start::Latest => {
                let starts = self.store.starts(&id.topic).await?.unwrap_or_default();
                starts.get(&id.partition).map_or(low, |start| NextOffset::new(*start))
            }
        };
        let state = ShardState::new(contract, first.min(high), self.rules.0);
        Ok(Checkpoint {
            id: id.clone(),
            phase: Phase::Running,
            caught_up_at: None,
            window_cut: None,
            decisions: Vec::new(),
            state,
        })
    }
}

fn claimed(tip: Tip, checkpoint: Checkpoint, fold: Shard, low: NextOffset) -> Claimed {
    let wanted = fold.state().resume_from();
    let shard = Box::new(ClaimedShard {
        id: checkpoint.id,
        caught_up_at: checkpoint.caught_up_at,
        window_cut: checkpoint.window_cut,
        decisions: checkpoint.decisions,
        resume_from: wanted.max(low),
        window_lost: wanted.distance_to(low),
        fold,
    });
    Claimed { tip, shard }
}

/// Whether the log still holds what follows a state: `low ≤ next ≤ high`.
fn check_continues(
    state: &ShardState,
    configured: Contract,
    LogRange { low, high }: LogRange,
) -> Result<(), Stall> {
    let next = state.ledger.next;
    if state.contract != configured {
        return Err(Stall::OtherContract { stored: state.contract, configured });
    }
    if next < low {
        return Err(Stall::RetentionOverrun { from: next, low });
    }
    if next > high {
        return Err(Stall::Truncated { next, high });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(next: i64, low: i64, high: i64, expect: Option<&str>) {
        let state = ShardState::new(Contract::Parcel, NextOffset::new(next), RulesId::of(b""));
        let range = LogRange { low: NextOffset::new(low), high: NextOffset::new(high) };
        let stall = check_continues(&state, Contract::Parcel, range).err();
        assert_eq!(stall.as_ref().map(|stall| stall.reason().as_str()), expect);
    }

    #[test]
    fn a_shard_goes_on_only_within_its_log() {
        check(5, 5, 5, None);
        check(5, 0, 9, None);
        check(5, 6, 9, Some("retention_overrun"));
        check(5, 0, 4, Some("truncated"));
    }
}
