//! How shards are, as a lifecycle shows it.

use crate::shards::stall::Stall;

/// The state of a shard, as metrics and operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardPhase {
    /// Being claimed.
    Loading {
        /// The last failure, if the claim is being tried again.
        failure: Option<String>,
    },
    /// Being read.
    Running {
        /// What the store said, if the last put is unresolved.
        unresolved: Option<String>,
    },
    /// Waiting for an operator, or for the log to hold again what is needed.
    Stalled(Stall),
}

/// Checkpoints of a shard that the brokers did not confirm, so that they were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfirmed {
    /// How many since one was written.
    pub in_a_row: u32,
    /// What the brokers said the last time.
    pub error: String,
}

impl Unconfirmed {
    /// From so many in a row on somebody ought to know.
    pub const LASTING: u32 = 3;

    /// Whether somebody ought to know.
    pub fn is_lasting(&self) -> bool {
        self.in_a_row >= Self::LASTING
    }
}
