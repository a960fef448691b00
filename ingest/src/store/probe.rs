//! A proof, at start, that a store keeps the promises on which checkpoints rest.
//!
//! One server implementation after another has had conditional puts that were not atomic, or were ignored, and a proxy may
//! drop a header that it does not know. Finding out costs a few small objects under `_tmp/`; not finding out costs data.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use thiserror::Error;
use tokio::time::timeout;

use crate::error::{Kind, chain};

const ROUNDS: u32 = 3;
const TRIES_PER_ROUND: u32 = 5;
const CONTENDERS: usize = 8;
/// What contenders replace.
const BEFORE: &[u8] = b"probe";
const ANSWER_WITHIN: Duration = super::PACE.call;

/// What a store has to promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Of several creates of one key, one succeeds. Every store.
    PutIfAbsent,
    /// Of several replacements of one object, each on condition that it is unchanged, one succeeds. Object stores.
    PutIfUnchanged,
}

/// Why a store may not be used.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// It cannot be written at all.
    #[error("could not create {key}: {obstacle}")]
    NotWritable {
        /// The object that was to be written.
        key: Path,
        /// What stands in the way.
        obstacle: Obstacle,
        /// What the store said.
        #[source]
        source: Error,
    },
    /// It could be written, but not read or listed.
    #[error("could not {operation} {key}")]
    NotReadable {
        /// `read` or `list`.
        operation: &'static str,
        /// The object, or the prefix of the listing.
        key: Path,
        /// What the store said.
        #[source]
        source: Error,
    },
    /// It gave no answer.
    #[error("{operation} of {key} got no answer within {ANSWER_WITHIN:?}")]
    NoAnswer {
        /// What was tried.
        operation: &'static str,
        /// The object.
        key: Path,
    },
    /// Several conditional puts of one key succeeded, or the one that succeeded was overwritten.
    #[error(
        "the store does not honour {promise}: of {CONTENDERS} concurrent puts of {key}, {flaw}; no setting of this \
         program helps: use a store that honours it, and see that no proxy before it drops the condition"
    )]
    NotHonoured {
        /// What is not honoured.
        promise: Promise,
        /// The object.
        key: Path,
        /// What happened.
        flaw: Flaw,
    },
    /// Objects were written, but cannot be found.
    #[error("the store hides what it holds: {key} was created, and is not in a listing")]
    NotListed {
        /// The object.
        key: Path,
    },
    /// Every conditional put was turned down, though its condition held.
    #[error(
        "the store turned down every put of {key}, though nothing stood against it ({promise})"
    )]
    NoWinner {
        /// What was to be proved.
        promise: Promise,
        /// The object.
        key: Path,
    },
}

/// What keeps a store from doing what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Wrong or missing permissions or credentials.
    Permission,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The disk or the quota is full.
    Full,
    /// There is no such bucket or container.
    Missing,
    /// It cannot do this at all.
    Unsupported,
    /// Anything else; the source says more.
    Other,
}

impl Obstacle {
    /// What an error of a store comes down to. Local stores hide what the system said some levels deep.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Self::Permission,
            Error::NotSupported { .. } | Error::NotImplemented { .. } => Self::Unsupported,
            _ => match io_kind(error) {
                Some(io::ErrorKind::PermissionDenied) => Self::Permission,
                Some(io::ErrorKind::ReadOnlyFilesystem) => Self::ReadOnly,
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::Full,
                _ => Self::Other,
            },
        }
    }

    /// The same for a write, which finds nothing missing but the bucket.
    fn of_write(error: &Error) -> Self {
        if matches!(error, Error::NotFound { .. }) { Self::Missing } else { Self::of(error) }
    }

    /// What to do about it. When the disk is full, work waits until there is room.
    pub fn kind(self) -> Kind {
        match self {
            Self::Permission | Self::ReadOnly | Self::Missing | Self::Unsupported => Kind::Config,
            Self::Full | Self::Other => Kind::Retry,
        }
    }
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// How put-if-absent was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// So many creates succeeded.
    Winners(usize),
    /// The winner's bytes are not what is stored.
    Overwritten,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PutIfAbsent => "put-if-absent (If-None-Match)",
            Self::PutIfUnchanged => "put-if-unchanged (If-Match)",
        })
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permission => "permission denied; check credentials and permissions",
            Self::ReadOnly => "the file system is read-only",
            Self::Full => "no space is left; make room",
            Self::Missing => "there is no such bucket or container; make it, or correct store.url",
            Self::Unsupported => "this kind of store cannot do that",
            Self::Other => "the store failed",
        })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Winners(winners) => write!(f, "{winners} succeeded"),
            Self::Overwritten => f.write_str("one succeeded and was overwritten"),
        }
    }
}

impl ProbeError {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotWritable { obstacle, .. } => obstacle.kind(),
            Self::NotReadable { source, .. } => Obstacle::of(source).kind(),
            Self::NoAnswer { .. } | Self::NoWinner { .. } => Kind::Retry,
            Self::NotHonoured { .. } | Self::NotListed { .. } => Kind::Config,
        }
    }
}

/// Proves that of several concurrent puts that a promise lets one of succeed exactly one does, that what is stored is the
/// winner's, and that a listing shows it. `nonce` names the probe's objects, so that instances that start together do not
/// meet.
///
/// # Errors
/// [`ProbeError`]: the store is not writable, or does not keep the promise.
pub async fn prove(
    store: &dyn ObjectStore,
    promise: Promise,
    nonce: u128,
) -> Result<(), ProbeError> {
    for round in 0..ROUNDS {
        let mut tries = 0..TRIES_PER_ROUND;
        loop {
            let Some(attempt) = tries.next() else {
                return Err(ProbeError::NoWinner { promise, key: key(promise, nonce, round, 0) });
            };
            let key = key(promise, nonce, round, attempt);
            let outcome = contend(store, promise, &key).await;
            // What is left under `_tmp/` harms nobody, and a store that forbids deletion is still safe.
            if let Ok(Err(error)) = timeout(ANSWER_WITHIN, store.delete(&key)).await
                && !matches!(error, Error::NotFound { .. })
            {
                tracing::warn!(key = %key, error = %chain(&error), "could not delete a probe; old checkpoints cannot be deleted either");
            }
            if outcome? {
                break;
            }
        }
    }
    Ok(())
}

fn key(promise: Promise, nonce: u128, round: u32, attempt: u32) -> Path {
    let name = format!("probe-{nonce:032x}-{}-{round}-{attempt}", promise as u8);
    Path::from("_tmp").join(name)
}

/// One key, several writers. `false` if all were turned down and what was there before is there still, as S3 may do to
/// concurrent requests.
async fn contend(
    store: &dyn ObjectStore,
    promise: Promise,
    key: &Path,
) -> Result<bool, ProbeError> {
    let Some(mode) = prepare(store, promise, key).await? else { return Ok(false) };
    let contenders: Vec<Bytes> =
        (0..CONTENDERS).map(|n| Bytes::from(format!("probe {n}"))).collect();
    let puts = contenders.iter().map(|bytes| {
        let put = store.put_opts(key, bytes.clone().into(), mode.clone().into());
        answer("create", key, put)
    });
    let mut winners = Vec::new();
    for (bytes, put) in contenders.iter().zip(join_all(puts).await) {
        match put? {
            Ok(_) => winners.push(bytes),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(source) => return Err(not_writable(key, source)),
        }
    }
    let not_honoured = |flaw| Err(ProbeError::NotHonoured { promise, key: key.clone(), flaw });
    if winners.len() > 1 {
        return not_honoured(Flaw::Winners(winners.len()));
    }
    let read = async { store.get(key).await?.bytes().await };
    let stored = match answer("read", key, read).await? {
        Ok(stored) if stored == BEFORE && winners.is_empty() => return Ok(false),
        Ok(stored) => stored,
        Err(Error::NotFound { .. }) if winners.is_empty() => return Ok(false),
        Err(source) => {
            return Err(ProbeError::NotReadable { operation: "read", key: key.clone(), source });
        }
    };
    // Without a winner the client met its own success at a retry: then any contender may be stored.
    let expected = if winners.is_empty() { contenders.iter().collect() } else { winners };
    if !expected.contains(&&stored) {
        return not_honoured(Flaw::Overwritten);
    }
    check_listed(store, key).await
}

/// The condition of the contenders; for replacements, of an object that is made here. `None` if that was turned down.
async fn prepare(
    store: &dyn ObjectStore,
    promise: Promise,
    key: &Path,
) -> Result<Option<PutMode>, ProbeError> {
    if promise == Promise::PutIfAbsent {
        return Ok(Some(PutMode::Create));
    }
    let create = store.put_opts(key, BEFORE.into(), PutMode::Create.into());
    match answer("create", key, create).await? {
        Ok(_) | Err(Error::AlreadyExists { .. }) => {}
        Err(source) => return Err(not_writable(key, source)),
    }
    match answer("read", key, store.head(key)).await? {
        Ok(found) => {
            let version = UpdateVersion { e_tag: found.e_tag, version: found.version };
            Ok(Some(PutMode::Update(version)))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(ProbeError::NotReadable { operation: "read", key: key.clone(), source }),
    }
}

fn not_writable(key: &Path, source: Error) -> ProbeError {
    ProbeError::NotWritable { key: key.clone(), obstacle: Obstacle::of_write(&source), source }
}

async fn check_listed(store: &dyn ObjectStore, key: &Path) -> Result<bool, ProbeError> {
    let parent = key.parent().unwrap_or_default();
    let listing = store.list(Some(&parent)).try_any(async |meta| meta.location == *key);
    match answer("list", &parent, listing).await? {
        Ok(true) => Ok(true),
        Ok(false) => Err(ProbeError::NotListed { key: key.clone() }),
        Err(source) => Err(ProbeError::NotReadable { operation: "list", key: parent, source }),
    }
}

async fn answer<T>(
    operation: &'static str,
    key: &Path,
    call: impl Future<Output = T>,
) -> Result<T, ProbeError> {
    timeout(ANSWER_WITHIN, call)
        .await
        .map_err(|_| ProbeError::NoAnswer { operation, key: key.clone() })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::sync::Arc;

    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;
    use postroad_tests::faulty_store::{Fault, FaultyStore, Op};

    use super::*;

    async fn probe(faults: &[(Op, Fault)]) -> (Result<(), ProbeError>, Arc<dyn ObjectStore>) {
        probe_for(Promise::PutIfAbsent, faults).await
    }

    async fn probe_for(
        promise: Promise,
        faults: &[(Op, Fault)],
    ) -> (Result<(), ProbeError>, Arc<dyn ObjectStore>) {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store = FaultyStore::scripted(Arc::clone(&inner));
        for &(op, fault) in faults {
            store.fail_next(op, fault);
        }
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        (prove(store.as_ref(), promise, 7).await, inner)
    }

    async fn check_obstacle(fault: Fault, expect: Obstacle, kind: Kind) {
        let error = probe(&[(Op::Put, fault)]).await.0.expect_err("the store is not writable");
        assert_eq!(error.kind(), kind);
        let ProbeError::NotWritable { obstacle, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(obstacle, expect);
    }

    #[tokio::test]
    async fn a_sound_store_passes_and_is_left_clean() {
        for promise in [Promise::PutIfAbsent, Promise::PutIfUnchanged] {
            let (outcome, store) = probe_for(promise, &[]).await;
            outcome.expect("memory is sound");
            assert_eq!(store.list(None).try_collect::<Vec<_>>().await.expect("listing").len(), 0);
        }
    }

    /// Of a server that ignores `If-Match` every contender believes to have won. The first put makes what they replace.
    #[tokio::test]
    async fn a_replacement_that_heeds_no_condition_is_found_out() {
        let heedless = [(Op::Put, Fault::Heedless); CONTENDERS + 1];
        let (outcome, store) = probe_for(Promise::PutIfUnchanged, &heedless).await;
        let error = outcome.expect_err("all succeeded");
        let ProbeError::NotHonoured { promise, flaw, .. } = &error else { panic!("{error}") };
        assert_eq!((*promise, *flaw), (Promise::PutIfUnchanged, Flaw::Winners(CONTENDERS)));
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("put-if-unchanged (If-Match)"), "{error}");
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.expect("listing").len(), 0);
    }

    #[tokio::test]
    async fn replacements_that_are_all_turned_down_are_tried_again() {
        let mut faults = vec![(Op::Put, Fault::Conflict)];
        let (outcome, _) = probe_for(Promise::PutIfUnchanged, &faults).await;
        outcome.expect("a create that was turned down is made again");
        // Before the second try comes its create.
        faults = vec![(Op::Put, Fault::ExistsAfter)];
        faults.extend([(Op::Put, Fault::Conflict); CONTENDERS]);
        let (outcome, _) = probe_for(Promise::PutIfUnchanged, &faults).await;
        outcome.expect("the second try has a winner");
        let mut faults = Vec::new();
        for _ in 0..TRIES_PER_ROUND {
            faults.push((Op::Put, Fault::ExistsAfter));
            faults.extend([(Op::Put, Fault::Conflict); CONTENDERS]);
        }
        let error = probe_for(Promise::PutIfUnchanged, &faults).await.0.expect_err("never");
        assert!(matches!(error, ProbeError::NoWinner { .. }), "{error}");
    }

    /// What a client meets that retries inside: its own success.
    #[tokio::test]
    async fn an_ambiguous_replacement_is_accepted() {
        let faults = [(Op::Put, Fault::ExistsAfter), (Op::Put, Fault::ExistsAfter)];
        probe_for(Promise::PutIfUnchanged, &faults).await.0.expect("one object, one of ours");
    }

    #[tokio::test]
    async fn a_local_store_passes() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let local =
            LocalFileSystem::new_with_prefix(root.path()).expect("a store").with_fsync(true);
        let store: Arc<dyn ObjectStore> = Arc::new(local);
        prove(store.as_ref(), Promise::PutIfAbsent, 7).await.expect("hard links are atomic");
    }

    #[tokio::test]
    async fn two_winners_are_found_out() {
        let (outcome, store) =
            probe(&[(Op::Put, Fault::Heedless), (Op::Put, Fault::Heedless)]).await;
        let error = outcome.expect_err("two creates succeeded");
        assert!(matches!(error, ProbeError::NotHonoured { flaw: Flaw::Winners(2), .. }), "{error}");
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.expect("listing").len(), 0);
    }

    #[tokio::test]
    async fn an_overwritten_winner_is_found_out() {
        let error =
            probe(&[(Op::Get, Fault::Corrupt)]).await.0.expect_err("other bytes are stored");
        assert!(
            matches!(error, ProbeError::NotHonoured { flaw: Flaw::Overwritten, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_store_that_is_not_writable_says_why() {
        check_obstacle(Fault::Denied, Obstacle::Permission, Kind::Config).await;
        check_obstacle(Fault::Full, Obstacle::Full, Kind::Retry).await;
        check_obstacle(Fault::Before, Obstacle::Other, Kind::Retry).await;
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_no_panic() {
        let root = tempfile::tempdir().expect("a scratch directory");
        std::fs::write(root.path().join("_tmp"), b"").expect("a file");
        let local = LocalFileSystem::new_with_prefix(root.path()).expect("a store");
        let store: Arc<dyn ObjectStore> = Arc::new(local);
        let error = prove(store.as_ref(), Promise::PutIfAbsent, 7)
            .await
            .expect_err("no directory can be made");
        assert!(matches!(error, ProbeError::NotWritable { .. }), "{error}");
        assert!(error.source().is_some());
    }

    #[tokio::test]
    async fn an_ambiguous_winner_is_accepted() {
        probe(&[(Op::Put, Fault::ExistsAfter)]).await.0.expect("one object, one of ours");
    }

    #[tokio::test]
    async fn a_round_in_which_all_were_turned_down_is_repeated() {
        probe(&[(Op::Put, Fault::Conflict); CONTENDERS])
            .await
            .0
            .expect("the second try has a winner");
        let always = [(Op::Put, Fault::Conflict); CONTENDERS * TRIES_PER_ROUND as usize];
        let error = probe(&always).await.0.expect_err("nobody ever wins");
        assert!(matches!(error, ProbeError::NoWinner { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_given_up() {
        let error = probe(&[(Op::Put, Fault::Hang)]).await.0.expect_err("no answer");
        assert!(matches!(error, ProbeError::NoAnswer { operation: "create", .. }), "{error}");
    }
}
