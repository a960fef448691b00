//! What can go wrong with a chain, in terms of what to do about it.

use std::time::Duration;

use object_store::path::Path;
use thiserror::Error;

use super::Pending;
use crate::checkpoint::envelope::{Damage, FORMAT_VERSION, Seq};
use crate::error::Kind;
use crate::store::probe::Obstacle;

/// A chain could not be read or claimed.
#[derive(Debug, Error)]
pub enum ChainError {
    /// The store failed.
    #[error("could not {operation} {key}")]
    Store {
        /// What was tried: `list`, `read`, `create` or `delete`.
        operation: &'static str,
        /// The object, or the prefix of a listing.
        key: Path,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The store gave no answer in time. A write may still take effect.
    #[error("{operation} of {key} got no answer within {limit:?}")]
    NoAnswer {
        /// What was tried.
        operation: &'static str,
        /// The object, or the prefix of a listing.
        key: Path,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Objects exist, and every one of them is damaged. Beginning anew would hide a loss, so nothing is begun.
    #[error(
        "could not recover {prefix}: all {count} objects are damaged, the newest, {newest}, because {damage}; \
         restore them, or, for a shard of files, remove them: the next backfill reads the file again"
    )]
    AllDamaged {
        /// The chain.
        prefix: Path,
        /// How many objects there are.
        count: usize,
        /// The newest of them.
        newest: Seq,
        /// What is wrong with it.
        damage: Damage,
    },
    /// An object that is not the newest is damaged.
    #[error("{key} is damaged: {damage}")]
    Damaged {
        /// The object.
        key: Path,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A newer build wrote here; this one keeps its hands off.
    #[error(
        "could not use {key}: it has format version {version}, this build reads up to {FORMAT_VERSION}; upgrade"
    )]
    Newer {
        /// The object.
        key: Path,
        /// Its format version.
        version: u16,
    },
    /// Others moved the chain at every try.
    #[error("could not {operation} {prefix}: others were faster {tries} times")]
    Contended {
        /// What was tried.
        operation: &'static str,
        /// The chain.
        prefix: Path,
        /// How often.
        tries: u32,
    },
    /// No number is left for a next object or epoch; no honest chain gets there.
    #[error("could not extend {prefix}: its numbers are used up")]
    UsedUp {
        /// The chain.
        prefix: Path,
    },
}

impl ChainError {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store { source, .. } => Obstacle::of(source).kind(),
            Self::NoAnswer { .. } | Self::Contended { .. } => Kind::Retry,
            Self::AllDamaged { .. } | Self::Damaged { .. } | Self::UsedUp { .. } => Kind::Data,
            Self::Newer { .. } => Kind::Config,
        }
    }
}

/// How a writer learned that the chain is not its own any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fence {
    /// The place that it wanted holds another's object.
    #[error("another writer took its place")]
    Taken,
    /// The chain goes on above; the place was empty only because it had been collected.
    #[error("the chain has gone on to {newest}")]
    Overtaken {
        /// The newest object.
        newest: Seq,
    },
    /// The object that it continued is another one now.
    #[error("the object before it was replaced")]
    Replaced,
    /// The object that it continued is gone, and nothing is above.
    #[error("the object before it was removed")]
    Removed,
}

/// A commit was not acknowledged.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Another writer owns the chain: drop the state, write nothing more.
    #[error("could not commit {key}: {fence}")]
    Fenced {
        /// The object that was to be written.
        key: Path,
        /// How it is known.
        fence: Fence,
    },
    /// It is not known whether the object exists. Go on with [`resume`](super::Chain::resume), or drop everything.
    #[error("could not settle {key} in {tries} tries")]
    Unresolved {
        /// The object that was to be written.
        key: Path,
        /// How often it was tried.
        tries: u32,
        /// What to go on with.
        pending: Box<Pending>,
        /// Why the last try failed.
        #[source]
        source: ChainError,
    },
    /// There was nothing to try.
    #[error(transparent)]
    Impossible(#[from] ChainError),
}

impl CommitError {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fenced { .. } => Kind::Fenced,
            Self::Unresolved { source, .. } | Self::Impossible(source) => source.kind(),
        }
    }
}
