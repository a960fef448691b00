//! Why a shard stands still, with its particulars.

use std::fmt;

use postroad_aggregate::shard::Diverged;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::NextOffset;

use crate::checkpoint::{Phase, StallReason};
use crate::source::TopicId;

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
    /// The topic was deleted and made anew.
    Recreated {
        /// The life whose records were read.
        was: TopicId,
        /// The life that it is in now.
        is: TopicId,
    },
    /// Another record stands where the last one read had been.
    Diverged(Diverged),
    /// The same, found by an earlier claim; retention has since deleted what showed it.
    DivergedBefore {
        /// Where the log begins.
        low: NextOffset,
    },
    /// The topic has fewer partitions than it had.
    PartitionGone {
        /// How many it has.
        partitions: i32,
    },
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
    /// How checkpoints say it.
    pub fn phase(&self) -> Phase {
        let lost = match self {
            Self::RetentionOverrun { from, low } => Some((*from, *low)),
            _ => None,
        };
        Phase::Stalled { reason: self.reason(), lost }
    }

    /// The reason without its particulars.
    pub fn reason(&self) -> StallReason {
        match self {
            Self::RetentionOverrun { .. } => StallReason::RetentionOverrun,
            Self::Truncated { .. } => StallReason::Truncated,
            Self::Recreated { .. } => StallReason::Recreated,
            Self::Diverged(_) | Self::DivergedBefore { .. } => StallReason::Diverged,
            Self::PartitionGone { .. } => StallReason::PartitionGone,
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
                "retention deleted the records of offsets [{from}, {low}) before they were read, \
                 {} offsets",
                from.distance_to(*low)
            ),
            Self::Truncated { next, high } => write!(
                f,
                "the log ends at offset {high}, but had been read up to {next}: it was truncated \
                 or the topic was recreated"
            ),
            Self::Recreated { was, is } => write!(
                f,
                "the topic was made anew: its records were of the topic with id {was}, and now its \
                 id is {is}"
            ),
            Self::Diverged(diverged) => diverged.fmt(f),
            Self::DivergedBefore { low } => write!(
                f,
                "the log was found to be another one than had been read; it begins at offset {low} \
                 now, so that what showed it cannot be read again"
            ),
            Self::PartitionGone { partitions } => {
                write!(f, "the topic has only {partitions} partitions now, so this one is gone")
            }
            Self::OtherContract { stored, configured } => write!(
                f,
                "the store holds it under the contract `{stored}`, the configuration says \
                 `{configured}`"
            ),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}
