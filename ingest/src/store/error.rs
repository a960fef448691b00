//! What can go wrong with the store, and what to do about it.

use object_store::path::Path;

use super::owner::{STORE_FORMAT, store_content};
use super::probe;
use crate::error::{Exit, Kind};

/// An operation on the store that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder of a local store cannot be made or opened.
    #[error("the store {place} cannot be opened: {reason}; check that the folder is writable")]
    Open {
        /// Its path.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// The options of an object store make no sense.
    #[error("the store {place} cannot be opened: {reason}; check store.options")]
    Options {
        /// Its URL.
        place: String,
        /// What its client said, without the values of options.
        reason: String,
    },
    /// The start-up probe failed.
    #[error(transparent)]
    Probe(#[from] probe::ProbeError),
    /// One object could not be read or written.
    #[error("{operation} {key} failed")]
    Object {
        /// What was tried.
        operation: &'static str,
        /// The object's key.
        key: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The store refused to create an object, though there is none.
    #[error(
        "creating {key} failed: the store turned it down {tries} times, though nothing is there"
    )]
    TurnedDown {
        /// The object's key.
        key: String,
        /// How often it was tried.
        tries: u32,
    },
    /// An object holds something else than it should.
    #[error("{key} cannot be understood: {reason}{}", remedy(key))]
    Unreadable {
        /// The object's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Objects of a store are there, and nothing says that it is one.
    #[error(
        "{place} has {} of a store, but no store.json; restore it from a copy, or write \
         {} into it if this is a store of Postroad's",
        folders.join(", "),
        store_content()
    )]
    Unmarked {
        /// Where.
        place: String,
        /// What is there.
        folders: Vec<String>,
    },
    /// The store is of a newer format.
    #[error(
        "the store has format {found}, this program reads {STORE_FORMAT}; use the newer program"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
    /// The store belongs to another group or cluster.
    #[error(
        "the store belongs to group `{found_group}` on cluster `{found_cluster}`, not to group \
         `{group}` on cluster `{cluster}`; give this group a store of its own (store.url)"
    )]
    Foreign {
        /// Whose it is.
        found_group: String,
        /// Whose it is.
        found_cluster: String,
        /// Who asks.
        group: String,
        /// Who asks.
        cluster: String,
    },
}

impl StoreError {
    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Object { source: object_store::Error::NotFound { .. }, .. })
    }

    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Object { source, .. } => probe::Obstacle::of(source).kind(),
            Self::Probe(error) => error.kind(),
            Self::TurnedDown { .. } => Kind::Retry,
            Self::Open { .. }
            | Self::Options { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. } => Kind::Config,
            Self::Unreadable { .. } | Self::Unmarked { .. } => Kind::Data,
        }
    }

    /// The exit code of a command that cannot begin for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Open { .. } => Exit::CantCreate,
            error => Exit::of(error.kind()),
        }
    }
}

/// What to do about an object that cannot be understood, where that depends on no more than its place.
fn remedy(key: &str) -> String {
    match key.split('/').next() {
        Some("store.json") => {
            format!("; restore it from a copy of the store, or write {} into it", store_content())
        }
        Some("inputs") => {
            "; it only notes where a file of a backfill lies: move it away, the next \
                           backfill of that file writes it again"
                .to_owned()
        }
        Some("publishes") => {
            "; restore it, or move it away: then the publish is made again".to_owned()
        }
        Some("references") => "; restore it, or move it away: it is written again with the next \
                               publish that uses it"
            .to_owned(),
        _ => String::new(),
    }
}

pub(super) fn unreadable(key: &Path, reason: &str) -> StoreError {
    StoreError::Unreadable { key: key.to_string(), reason: reason.to_owned() }
}

/// Turns a store's error into ours, with the operation and the key.
pub(crate) fn failed<'a>(
    operation: &'static str,
    key: &'a Path,
) -> impl FnOnce(object_store::Error) -> StoreError + 'a {
    move |source| StoreError::Object { operation, key: key.to_string(), source }
}
