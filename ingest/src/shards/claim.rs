//! Claiming a shard: finding its newest checkpoint, adopting what operators decided, seeing that the
//! log still holds what follows, and writing the claim that fences whoever owned it before.

mod adopt;
mod checks;
mod stalls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Shard, ShardState};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::NextOffset;
use tracing::warn;

pub use self::adopt::Complaints;
use self::adopt::{adopt, has_replay};
use self::checks::check_continues;
use super::stall::Stall;
use crate::checkpoint::chain::{ChainError, Newest, Tip};
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::segments::Unsealed;
use crate::checkpoint::{Checkpoint, LoadError, Phase, ShardId, Standing, format, segments};
use crate::config::Start;
use crate::decisions::{self, Decision, RestartFrom};
use crate::error::{Kind, chain};
use crate::failpoint::Point;
use crate::publish::{PublishError, published_entry};
use crate::source::kafka::{QueryError, TopicPartition};
use crate::source::{Cluster, LogRange, TopicId};
use crate::store::{Store, StoreError};

/// How often a claim that another instance's was faster than is made again.
const CLAIM_TRIES: u32 = 4;

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
    /// What is wrong with the objects themselves is a stall. A store that lets nobody in, or nobody
    /// write, says nothing of them: it is asked again until it does.
    fn from(error: ChainError) -> Self {
        if error.kind() == Kind::Data || matches!(error, ChainError::Newer { .. }) {
            Self::Stalled(Stall::Unreadable(chain(&error)))
        } else {
            Self::Chain(error)
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
    /// How it stands.
    pub standing: Standing,
    /// The fold, with an empty window.
    pub fold: Shard,
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
    /// Which decisions were said not to fit.
    pub complaints: Complaints,
}

/// The life of a partition's shard that goes on.
struct Life {
    id: ShardId,
    /// Its newest checkpoint; `None` before its first.
    found: Option<(Newest, Checkpoint)>,
    /// Where an operator let it begin, if it is not the first life.
    begins: Option<RestartFrom>,
}

impl ClaimContext {
    /// Claims the shard of a partition.
    ///
    /// # Errors
    /// Where the shard cannot go on, or somebody who is needed does not answer.
    pub async fn claim(&self, tp: TopicPartition) -> Result<Claimed, ClaimError> {
        for _ in 0..CLAIM_TRIES {
            let life = self.life(&tp).await?;
            // Asked after the chain was read: what was read before may be older than the checkpoint.
            let topic_id = self.cluster.topic_id(&tp.topic).await?;
            let range = self.cluster.log_range(&tp).await?;
            if let Some(claimed) = self.claim_life(life, topic_id, range).await? {
                return Ok(claimed);
            }
        }
        Err(ClaimError::Raced)
    }

    /// Claims one life; `None` if another instance was faster, or if the life has ended and the next
    /// is to be claimed.
    async fn claim_life(
        &self,
        life: Life,
        topic_id: Option<TopicId>,
        range: LogRange,
    ) -> Result<Option<Claimed>, ClaimError> {
        let Life { id, found, begins } = life;
        let (newest, mut checkpoint) = match found {
            Some((newest, checkpoint)) => (Some(newest), checkpoint),
            None => (None, self.first(&id, begins, range).await?),
        };
        let shard_chain = self.store.chain(&id);
        self.adopt(&mut checkpoint).await?;
        if checkpoint.phase == Phase::Closed {
            let payload = Bytes::from(format::encode(&checkpoint));
            shard_chain.claim(newest.as_ref(), payload).await?;
            return Ok(None);
        }
        let (contract, _) = self.topics[&*id.topic];
        let whole = self.check_whole(&checkpoint).await?;
        let continues =
            whole.and_then(|()| check_continues(&checkpoint, contract, topic_id, range));
        if let Err(stall) = continues {
            checkpoint.phase = stall.phase();
            self.write_stall(checkpoint, newest.as_ref()).await;
            return Err(ClaimError::Stalled(stall));
        }
        checkpoint.phase = Phase::Running;
        checkpoint.topic_id = topic_id.or(checkpoint.topic_id);
        let place = shard_chain.place_of_claim(newest.as_ref())?;
        let folded =
            segments::fold_together(&self.store, &id, &mut checkpoint.state, place).await?;
        Point::BeforeClaim.pass();
        segments::put(&self.store, &id, &folded).await?;
        let fold = self.resume(&mut checkpoint, range.low).await?;
        let payload = Bytes::from(format::encode(&checkpoint));
        let claimed = shard_chain.claim(newest.as_ref(), payload).await?;
        Point::AfterClaim.pass();
        Ok(claimed.map(|tip| Claimed::new(tip, checkpoint.with(()), fold, range.low)))
    }

    /// The newest life of a partition's shard: the first that is not closed.
    async fn life(&self, tp: &TopicPartition) -> Result<Life, ClaimError> {
        let mut id = ShardId::kafka(Arc::clone(&tp.topic), tp.partition);
        let mut begins = None;
        loop {
            let found = self.newest(&id).await?;
            match found {
                Some((_, closed)) if closed.phase == Phase::Closed => {
                    begins = self.restart_of(&closed).await?;
                    id = id.next_incarnation();
                }
                found => return Ok(Life { id, found, begins }),
            }
        }
    }

    /// Adopts what operators decided about the shard of a checkpoint.
    async fn adopt(&self, checkpoint: &mut Checkpoint) -> Result<(), ClaimError> {
        let decisions = decisions::about(&self.store, &checkpoint.id).await?;
        let mut rejected = BTreeSet::new();
        if has_replay(checkpoint, &decisions) {
            let mut unsealed = Unsealed::default();
            match unsealed.update(&self.store, &checkpoint.id, &checkpoint.state.sealed).await {
                // Where segments are gone the shard stalls, and adopts no replay before it is whole.
                Err(error) if error.is_not_found() => {}
                read => {
                    read?;
                    let letters = unsealed.whole(&checkpoint.state).dead_letters;
                    rejected.extend(letters.into_iter().map(|letter| letter.offset));
                }
            }
        }
        for (key, unfit) in adopt(checkpoint, &decisions, &rejected) {
            if self.complaints.is_news(&key) {
                warn!(
                    shard = %checkpoint.id,
                    decision = %key,
                    reason = %unfit,
                    "an operator's decision does not fit, and was not adopted"
                );
            }
        }
        Ok(())
    }

    /// The newest checkpoint of a life. Where the one that was published is gone, taken away by hand or
    /// with a disk, what it held is read again, and the claim goes above its place: so the vector of
    /// the publishes goes on once the log has made it good.
    async fn newest(&self, id: &ShardId) -> Result<Option<(Newest, Checkpoint)>, ClaimError> {
        // Asked for first: what is published later has a checkpoint that is found below.
        let published = published_entry(&self.store, id).await?.and_then(|entry| entry.seq);
        let Some(mut newest) = self.store.chain(id).newest().await? else { return Ok(None) };
        if let Some(seq) = published {
            newest = newest.above_lost(Seq::new(seq));
        }
        let checkpoint = Checkpoint::read(id, &newest)?;
        Ok(Some((newest, checkpoint)))
    }

    /// Where the life after a closed one begins: what the decision said that closed it.
    async fn restart_of(&self, closed: &Checkpoint) -> Result<Option<RestartFrom>, ClaimError> {
        let decisions = decisions::about(&self.store, &closed.id).await?;
        let adopted = |found: &&decisions::Found| {
            closed.decisions.iter().any(|adopted| adopted.id == found.id)
        };
        let restart = |found: &decisions::Found| match found.recorded.decision {
            Decision::Restart { from, .. } => Some(from),
            _ => None,
        };
        Ok(decisions.iter().filter(adopted).rev().find_map(restart))
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
        if shard.state().window_begin().is_some_and(|begin| NextOffset::from(begin) < low) {
            checkpoint.window_cut = Some(low);
        }
        Ok(shard)
    }

    /// A life that nobody has read before. One that was published must have a checkpoint: its chain
    /// would be lost, and beginning anew would take back what readers were shown.
    async fn first(
        &self,
        id: &ShardId,
        begins: Option<RestartFrom>,
        LogRange { low, high }: LogRange,
    ) -> Result<Checkpoint, ClaimError> {
        if let Some(entry) = published_entry(&self.store, id).await? {
            let stall = Stall::Unreadable(format!(
                "its checkpoints are gone, but offsets up to {} were published; restore the folder {}",
                entry.next_offset.unwrap_or_default(),
                id.prefix()
            ));
            return Err(ClaimError::Stalled(stall));
        }
        let (contract, start) = self.topics[&*id.topic];
        let first = match (begins, start) {
            (Some(RestartFrom::Latest), _) => high,
            (Some(RestartFrom::Offset(offset)), _) => NextOffset::new(offset),
            (Some(RestartFrom::Earliest), _) | (None, Start::Earliest) => low,
            (None, Start::Latest) => {
                let starts = self.store.starts(&id.topic).await?.unwrap_or_default();
                starts.get(&id.partition).map_or(low, |start| NextOffset::new(*start))
            }
        };
        // An offset that an operator named is not bent: beyond the log's end the shard is truncated.
        let first =
            if matches!(begins, Some(RestartFrom::Offset(_))) { first } else { first.min(high) };
        let state = ShardState::new(contract, first, self.rules.0);
        Ok(Standing::new(id.clone()).with(state))
    }
}

impl Claimed {
    fn new(tip: Tip, standing: Standing, fold: Shard, low: NextOffset) -> Self {
        let wanted = fold.state().resume_from();
        let (resume_from, window_lost) = (wanted.max(low), wanted.distance_to(low));
        Self { tip, shard: Box::new(ClaimedShard { standing, fold, resume_from, window_lost }) }
    }
}

#[cfg(test)]
mod tests;
