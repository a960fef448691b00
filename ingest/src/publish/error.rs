//! Why nothing was published, and what to do about it.

use tokio::task::JoinError;

use super::manifest::MANIFEST_FORMAT;
use super::rows::Overflow;
use crate::checkpoint::{LoadError, ShardId};
use crate::error::Kind;
use crate::store::StoreError;

/// Why a publish was not made. The tables still show the one before.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A checkpoint could not be read.
    #[error("a checkpoint of {shard} could not be read")]
    Load {
        /// Whose.
        shard: ShardId,
        /// Why.
        #[source]
        source: Box<LoadError>,
    },
    /// The newest checkpoint of a shard holds less than was published.
    #[error(
        "the newest readable checkpoint of {shard} {}, but number {} with the offsets up to {} was \
         published, from where the shard began; restore the missing checkpoints, or let the shard \
         read on",
        found.map_or("is lost".to_owned(), |(seq, next)| {
            format!("is number {seq} and ends at offset {next}")
        }),
        published.0,
        published.1
    )]
    WentBack {
        /// Whose.
        shard: ShardId,
        /// The place of the newest checkpoint, and the boundary that it has reached.
        found: Option<(u64, i64)>,
        /// The same of the one that was published.
        published: (u64, i64),
    },
    /// A sum does not fit its column.
    #[error(transparent)]
    Overflow(Box<Overflow>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest is of a newer format.
    #[error(
        "{key} has format {found}, this program reads up to {MANIFEST_FORMAT}; use the newer program"
    )]
    Newer {
        /// Its key.
        key: String,
        /// Its format.
        found: u32,
    },
    /// Somebody else has published in the meantime; the next try goes on from there.
    #[error("another instance has made publish {0}")]
    Superseded(u64),
    /// A file was another one at each try, though nobody made a newer publish.
    #[error(
        "{key} was changed by others each time that it was to be replaced; see that nobody else \
         writes there"
    )]
    Contended {
        /// Its key.
        key: String,
    },
    /// What was read back is not what had been written.
    #[error(
        "{key} was written and read back as something else; it is written again with the next try"
    )]
    NotAsWritten {
        /// Its key.
        key: String,
    },
    /// The thread that encodes ended.
    #[error("the tables could not be encoded: {0}")]
    Encode(String),
}

impl From<JoinError> for PublishError {
    fn from(error: JoinError) -> Self {
        Self::Encode(error.to_string())
    }
}

impl From<Overflow> for PublishError {
    fn from(overflow: Overflow) -> Self {
        Self::Overflow(Box::new(overflow))
    }
}

impl PublishError {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Load { source, .. } => source.kind(),
            Self::Store(error) => error.kind(),
            Self::Superseded(_) | Self::Contended { .. } | Self::NotAsWritten { .. } => Kind::Retry,
            Self::WentBack { .. } | Self::Overflow(_) => Kind::Data,
            Self::Newer { .. } => Kind::Config,
            Self::Encode(_) => Kind::Bug,
        }
    }
}
