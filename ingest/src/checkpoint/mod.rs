//! Checkpoints: a shard's state and its next offset in one object, created once.
//!
//! [`mod@format`] says what the bytes mean, [`envelope`] how they are recognised, and [`chain`] who may
//! add the next one; [`segments`] hold what left a state because it is
//! old. Offsets live with the state, so there is nothing that could disagree: a crash
//! at any moment leaves either the old pair or the new one. Group offsets are committed to Kafka
//! afterwards, for lag tools only, and never read.

pub mod chain;
pub mod envelope;
pub mod format;
pub mod segments;

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use postroad_aggregate::days::ShardClock;
use postroad_aggregate::decision::DecisionId;
use postroad_aggregate::shard::ShardState;
use postroad_schemas::units::{BusinessDay, NextOffset, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::error;

use self::chain::{ChainError, Newest};
use self::format::FormatError;
use crate::error::Kind;
use crate::source::TopicId;

/// Where the records of a shard come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A partition of a topic.
    Kafka,
    /// A file of values.
    File,
}

impl Source {
    /// The value of the column `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::File => "file",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Kafka, Self::File].into_iter().find(|source| source.as_str() == name)
    }
}

/// One partition of one life of a topic, or one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId {
    /// Kind of source.
    pub source: Source,
    /// Topic, or base name of the file.
    pub topic: Arc<str>,
    /// Partition; 0 for a file.
    pub partition: i32,
    /// Which life of the topic, counted from 0.
    pub incarnation: i32,
}

impl ShardId {
    /// The shard of a partition in the first life of its topic.
    pub fn kafka(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { source: Source::Kafka, topic: topic.into(), partition, incarnation: 0 }
    }

    /// The same partition in the next life of its topic.
    pub fn next_incarnation(&self) -> Self {
        Self { incarnation: self.incarnation + 1, ..self.clone() }
    }

    /// The shard of a file.
    pub fn file(name: impl Into<Arc<str>>) -> Self {
        Self { source: Source::File, topic: name.into(), partition: 0, incarnation: 0 }
    }

    /// The folder of the shard's checkpoints.
    pub fn prefix(&self) -> Path {
        self.folder("state")
    }

    /// The shard's folder of this kind. The topic is one path segment whatever it contains.
    pub fn folder(&self, kind: &str) -> Path {
        let partition = format!("{:05}", self.partition);
        let incarnation = format!("{:04}", self.incarnation);
        [self.source.as_str(), &self.topic, &partition, &incarnation]
            .into_iter()
            .fold(Path::from(kind), Path::join)
    }
}

impl fmt::Display for ShardId {
    /// `topic[partition]`, with the incarnation where it is not the first; a file's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::File => write!(f, "{}", self.topic),
            Source::Kafka => write!(f, "{}[{}]", self.topic, self.partition),
        }?;
        if self.incarnation > 0 {
            write!(f, "#{}", self.incarnation)?;
        }
        Ok(())
    }
}

/// Why a shard cannot go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StallReason {
    /// Retention deleted records that had not been read.
    RetentionOverrun,
    /// The log ends below what had been read.
    Truncated,
    /// The topic was deleted and made anew.
    Recreated,
    /// Another record stands where the last one read had been.
    Diverged,
    /// The topic has fewer partitions than it had.
    PartitionGone,
    /// The store holds the shard under another contract.
    OtherContract,
    /// Its checkpoint cannot be read.
    Unreadable,
}

impl StallReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::RetentionOverrun,
        Self::Truncated,
        Self::Recreated,
        Self::Diverged,
        Self::PartitionGone,
        Self::OtherContract,
        Self::Unreadable,
    ];

    /// The value of the column and the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetentionOverrun => "retention_overrun",
            Self::Truncated => "truncated",
            Self::Recreated => "recreated",
            Self::Diverged => "diverged",
            Self::PartitionGone => "partition_gone",
            Self::OtherContract => "other_contract",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Whether a shard can still grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// More may come.
    Running,
    /// It cannot go on until an operator, or the log, lets it.
    Stalled {
        /// Why.
        reason: StallReason,
        /// The offsets `[from, to)` that an operator would give up by letting it go on.
        lost: Option<(NextOffset, NextOffset)>,
    },
    /// A file that was read to its end, or a past life of a topic.
    Closed,
}

impl Phase {
    /// The value of the column `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stalled { .. } => "stalled",
            Self::Closed => "closed",
        }
    }
}

/// A decision that was adopted, and where: `[at, to)` was lost by it, and nothing where they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Adopted {
    /// The decision.
    pub id: DecisionId,
    /// The boundary of what had been read.
    pub at: NextOffset,
    /// The boundary from which reading goes on.
    pub to: NextOffset,
}

/// What one object of a shard's chain holds: how the shard stands, and its fold.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint<S = ShardState> {
    /// Whose.
    pub id: ShardId,
    /// Whether more may come.
    pub phase: Phase,
    /// Which life of the topic its records are of; `None` where brokers or files give no id.
    pub topic_id: Option<TopicId>,
    /// When the shard was last seen to have nothing more to read. Belongs to the status of days,
    /// not to the fold: it is the one field here that a clock decides.
    pub caught_up_at: Option<Timestamp>,
    /// Where the log began when it no longer held the beginning of the dedupe window; until the
    /// window has moved past it, older repetitions are not recognised.
    pub window_cut: Option<NextOffset>,
    /// Up to which day, inclusive, an operator let days be complete without this shard.
    pub released_through: Option<BusinessDay>,
    /// Decisions adopted, in their order.
    pub decisions: Vec<Adopted>,
    /// The fold.
    pub state: S,
}

/// How a shard stands, apart from its fold, which its owner is changing.
pub type Standing = Checkpoint<()>;

impl Standing {
    /// A shard of which nothing has been read yet.
    pub fn new(id: ShardId) -> Self {
        Self {
            id,
            phase: Phase::Running,
            topic_id: None,
            caught_up_at: None,
            window_cut: None,
            released_through: None,
            decisions: Vec::new(),
            state: (),
        }
    }
}

impl<S> Checkpoint<S> {
    /// The same standing over another fold.
    pub fn with<T>(&self, state: T) -> Checkpoint<T> {
        Checkpoint {
            id: self.id.clone(),
            phase: self.phase,
            topic_id: self.topic_id,
            caught_up_at: self.caught_up_at,
            window_cut: self.window_cut,
            released_through: self.released_through,
            decisions: self.decisions.clone(),
            state,
        }
    }
}

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed, or every object of the chain is damaged.
    #[error("the chain of checkpoints failed")]
    Chain(#[from] ChainError),
    /// The newest whole object is not what the format says.
    #[error("checkpoint {seq} of {shard} cannot be used: {source}")]
    Format {
        /// Whose.
        shard: ShardId,
        /// Its place in the chain.
        seq: u64,
        /// Why.
        source: FormatError,
    },
}

impl LoadError {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::Format { source: FormatError::Newer(_), .. } => Kind::Config,
            Self::Format { .. } => Kind::Data,
        }
    }
}

impl Checkpoint {
    /// Reads the newest object of a shard's chain. Older ones that had to stand in for damaged ones
    /// are reported, loudly: what lies between is read from the log again.
    ///
    /// # Errors
    /// Where the object is not a checkpoint of this shard, or of a newer format.
    pub fn read(id: &ShardId, newest: &Newest) -> Result<Self, LoadError> {
        for corrupt in &newest.skipped {
            error!(
                shard = %id,
                seq = corrupt.seq.get(),
                damage = %corrupt.why,
                "a checkpoint is damaged; going on from the one before"
            );
        }
        let seq = newest.seq.get();
        let fail = |source| LoadError::Format { shard: id.clone(), seq, source };
        let checkpoint = format::decode(&newest.payload).map_err(fail)?;
        if checkpoint.id != *id {
            return Err(fail(FormatError::Unreadable("shard")));
        }
        Ok(checkpoint)
    }

    /// The value of the column `reason`: why the shard is stalled, or what else a reader of its
    /// figures has to know.
    pub fn reason(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Stalled { reason, .. } => Some(reason.as_str()),
            Phase::Closed if self.id.source == Source::Kafka => Some("restarted"),
            _ if self.window_cut.is_some() => Some("dedupe_window_shortened"),
            _ => (self.state.ledger.lost > 0).then_some("loss_accepted"),
        }
    }

    /// How far the shard has come in time.
    pub fn clock(&self) -> ShardClock {
        ShardClock {
            watermark: self.state.watermark,
            caught_up_at: self.caught_up_at,
            closed: self.phase == Phase::Closed,
            released_through: self.released_through,
        }
    }
}
