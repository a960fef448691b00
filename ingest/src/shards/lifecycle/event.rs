//! What a lifecycle is told, and what it has done.

use std::time::Duration;

use bytes::Bytes;
use postroad_aggregate::seal::Segment;
use postroad_aggregate::shard::Diverged;
use postroad_schemas::units::NextOffset;

use crate::checkpoint::chain::{Pending, Tip};
use crate::checkpoint::{ShardId, segments};
use crate::shards::claim::{Claimed, ClaimedShard};
use crate::shards::stall::Stall;
use crate::source::TopicId;
use crate::source::kafka::{Generation, Signal};

/// Something that happened to a shard.
#[derive(Debug)]
pub enum Event {
    /// The group gave the partition to this instance.
    Granted,
    /// The group took it away.
    Revoked,
    /// The poll thread stopped reading it, though it is still ours, and `next` begins.
    Signal {
        /// The generation under which to claim again.
        next: Generation,
        /// Why.
        signal: Signal,
    },
    /// The claim succeeded.
    Claimed(Box<Claimed>),
    /// The claim failed for a reason that may pass.
    ClaimFailed(String),
    /// The claim found a log that the shard cannot go on from.
    ClaimStalled(Stall),
    /// The worker froze the state; `None` where nothing changed since the last time.
    Frozen(Option<Frozen>),
    /// The put landed; this is the new end of the chain.
    Committed(Tip),
    /// The brokers did not say in time that the log is still the one that was read, so nothing was put.
    Unconfirmed {
        /// The end of the chain.
        tip: Tip,
        /// What they said instead.
        error: String,
    },
    /// The topic was made anew since: what was frozen may be of another log, and nothing was put.
    Recreated,
    /// The store did not take the segments, so nothing was put.
    SegmentsFailed {
        /// The end of the chain.
        tip: Tip,
        /// What is still to be written.
        frozen: Frozen,
        /// What the store said.
        error: String,
    },
    /// An operator has decided something about the shard.
    Decided,
    /// Somebody else owns the chain.
    Fenced(String),
    /// The store does not say whether the put landed.
    Unresolved {
        /// What to go on with.
        pending: Box<Pending>,
        /// What the store said.
        error: String,
    },
    /// The log is not the one that the state was folded from.
    Diverged(Diverged),
}

/// A frozen state, encoded.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The checkpoint's bytes.
    pub payload: Bytes,
    /// Everything below is in it.
    pub next_offset: NextOffset,
    /// What has to be stored before it, since it lists them.
    pub segments: Vec<segments::Encoded>,
    /// Every segment that it lists.
    pub listed: Vec<Segment>,
    /// The life of the topic that its records are of, where that is known.
    pub topic_id: Option<TopicId>,
}

/// Something to be done for a shard.
#[derive(Debug)]
pub enum Effect {
    /// Claim it.
    Claim,
    /// Claim it after a while, if [`super::Lifecycle::begin_claim`] still says so by then.
    ClaimLater {
        /// Which claim of its generation.
        number: u64,
        /// How long to wait.
        after: Duration,
    },
    /// Give it to its worker, then read from where it resumes.
    Load(Box<ClaimedShard>),
    /// Write the next object of its chain, after a while.
    Commit {
        /// Whose.
        shard: ShardId,
        /// The end of the chain.
        tip: Tip,
        /// What the object holds.
        frozen: Frozen,
        /// How long to wait.
        after: Duration,
    },
    /// Go on with a put that was left unresolved, after a while.
    Resume {
        /// Whose.
        shard: ShardId,
        /// The put.
        pending: Box<Pending>,
        /// How long to wait.
        after: Duration,
    },
    /// Tell the group how far the shard is, for lag tools.
    CommitGroupOffset(NextOffset),
    /// Have the log say that it is stalled, and the store: see [`super::Lifecycle::diverged`].
    RecordStall(Stall),
    /// Have the worker freeze it again though nothing has changed.
    Thaw,
    /// Have the worker forget it.
    Drop,
    /// Have the poll thread stop reading it; it answers with a signal.
    Unassign,
}
