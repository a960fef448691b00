//! The store: where checkpoints, rules, manifests and tables live, on local disk or in a bucket.
//!
//! ```text
//! store.json                                         what this store is: its format
//! owner.json                                         whose it is: Kafka cluster and group
//! rules/<id>.json                                    rules, content-addressed
//! starts/<topic>.json                                where the partitions of a topic began
//! inputs/<hash>.json                                 which file of a backfill held which offsets
//! state/<source>/<topic>/<partition>/<incarnation>/<seq>   a shard's checkpoints
//! segments/<source>/<topic>/<partition>/<incarnation>/…    what left a shard's state because it is old
//! decisions/<source>/<topic>/<partition>/<incarnation>/…   what operators decided about a shard
//! publishes/<number>.json                            manifests
//! history/<kind>/…/<publish>-<nonce>.parquet         what manifests name besides the tables
//! tables/<table>/…/data.parquet                      what readers read
//! _tmp/                                              scratch, safe to delete while nothing runs
//! ```
//!
//! Everything but the tables is created once and never replaced.

mod deadline;
pub mod open;
pub mod probe;
mod put;
mod signing;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FsPath;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::ShardState;
use serde::{Deserialize, Serialize};

use self::probe::Promise;
use self::put::Replacing;
use crate::checkpoint::chain::{Chain, Newest, Nonces, Pace};
use crate::checkpoint::{Checkpoint, LoadError, ShardId};
use crate::error::{Exit, Kind};

/// How long the store is waited for. A put that stays unresolved for this long stops the reading
/// and is gone on with; so it is kept short.
const PACE: Pace = Pace {
    call: Duration::from_secs(10),
    deadline: Duration::from_secs(10),
    tries: 4,
    backoff_first: Duration::from_millis(50),
    backoff_max: Duration::from_secs(1),
};

/// The layout that this program reads and writes.
const STORE_FORMAT: u32 = 1;

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
    #[error("{key} cannot be understood: {reason}")]
    Unreadable {
        /// The object's key.
        key: String,
        /// Why.
        reason: String,
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
            Self::Unreadable { .. } => Kind::Data,
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

#[derive(Debug, Serialize, Deserialize)]
struct StoreJson {
    format: u32,
}

/// Whose store it is. Written by the first `run`; a backfill has no group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Consumer group.
    pub group: String,
}

impl Owner {
    /// Whether the store is of whoever asks.
    ///
    /// # Errors
    /// That it is another's.
    pub fn check(&self, asking: &Self) -> Result<(), StoreError> {
        if self == asking {
            return Ok(());
        }
        Err(StoreError::Foreign {
            found_group: self.group.clone(),
            found_cluster: self.cluster_id.clone(),
            group: asking.group.clone(),
            cluster: asking.cluster_id.clone(),
        })
    }
}

/// A store, opened.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    replacing: Replacing,
    /// How operators know it.
    name: String,
    nonces: Nonces,
    rules: Arc<Mutex<BTreeMap<RulesId, Arc<Rules>>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store in a local folder, which is created where it is missing. Every object and its
    /// folder entry are flushed to disk before a write is acknowledged.
    ///
    /// # Errors
    /// Where the folder cannot be created or opened.
    pub fn open_local(root: &FsPath) -> Result<Self, StoreError> {
        let place = root.display().to_string();
        let open = |reason: String| StoreError::Open { place: place.clone(), reason };
        std::fs::create_dir_all(root).map_err(|error| open(error.to_string()))?;
        let objects = LocalFileSystem::new_with_prefix(root)
            .map_err(|error| open(error.to_string()))?
            .with_fsync(true);
        Ok(Self::over(Arc::new(objects), place).with_renames())
    }

    /// A store over any objects that can be replaced on condition of what they are.
    pub fn over(objects: Arc<dyn ObjectStore>, name: String) -> Self {
        Self {
            objects: Arc::new(deadline::InTime(objects)),
            replacing: Replacing::IfUnchanged,
            name,
            nonces: Arc::new(rand::random::<u128>),
            rules: Arc::default(),
        }
    }

    /// Replaces files by renaming others over them, as on a disk.
    #[must_use]
    pub fn with_renames(mut self) -> Self {
        self.replacing = Replacing::ByRename;
        self
    }

    /// Draws nonces from another source, for simulations.
    #[must_use]
    pub fn with_nonces(mut self, nonces: Nonces) -> Self {
        self.nonces = nonces;
        self
    }

    /// The chain of checkpoints of a shard.
    pub fn chain(&self, id: &ShardId) -> Chain {
        self.chain_at(id.prefix())
    }

    /// The chain of checkpoints below a prefix.
    pub fn chain_at(&self, prefix: Path) -> Chain {
        Chain::new(Arc::clone(&self.objects), prefix, self.nonces.clone(), PACE)
    }

    /// A number that nobody else has drawn, so that what is named by it is nobody else's.
    pub fn nonce(&self) -> u128 {
        (self.nonces)()
    }

    /// The newest checkpoint of a shard, if it has any.
    ///
    /// # Errors
    /// Where the store fails or the checkpoint cannot be used.
    pub async fn newest_checkpoint(
        &self,
        id: &ShardId,
    ) -> Result<Option<(Newest, Checkpoint)>, LoadError> {
        let Some(newest) = self.chain(id).newest().await? else { return Ok(None) };
        let checkpoint = Checkpoint::read(id, &newest)?;
        Ok(Some((newest, checkpoint)))
    }

    /// The objects.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// How operators know the store: its path or URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Proves that the store keeps its promises, and that this program reads its format.
    ///
    /// # Errors
    /// Where it is not writable, does not honour its conditions, or is of a newer format.
    pub async fn prepare(&self, nonce: u128) -> Result<(), StoreError> {
        self.prove(nonce).await?;
        let ours = StoreJson { format: STORE_FORMAT };
        check_format(&self.create_or_get(&store_key(), &ours).await?)
    }

    /// Whether there is a store already, of a format that this program reads.
    ///
    /// # Errors
    /// Where it cannot be read, or is of a newer format.
    pub async fn exists(&self) -> Result<bool, StoreError> {
        match self.get(&store_key()).await {
            Ok(content) => check_format(&from_json(&store_key(), &content)?).map(|()| true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Proves that the store keeps its promises. Nothing stays behind.
    ///
    /// # Errors
    /// Where it is not writable, or does not honour its conditions.
    pub async fn prove(&self, nonce: u128) -> Result<(), StoreError> {
        probe::prove(self.objects.as_ref(), Promise::PutIfAbsent, nonce).await?;
        if self.replacing == Replacing::IfUnchanged {
            probe::prove(self.objects.as_ref(), Promise::PutIfUnchanged, nonce).await?;
        }
        Ok(())
    }

    /// Makes the store this group's, or finds that it is.
    ///
    /// # Errors
    /// Where it is another's.
    pub async fn belong_to(&self, owner: &Owner) -> Result<(), StoreError> {
        let found: Owner = self.create_or_get(&Path::from("owner.json"), owner).await?;
        found.check(owner)
    }

    /// Whose store it is; `None` where no `run` has used it yet.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        let key = Path::from("owner.json");
        match self.get(&key).await {
            Ok(content) => from_json(&key, &content).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores rules under the hash of their content.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn put_rules(&self, rules: &Rules) -> Result<RulesId, StoreError> {
        let content = to_json(rules);
        let id = RulesId::of(&content);
        let key = rules_key(id);
        if !self.create(&key, content).await? {
            return Err(unreadable(&key, "its content is not what its name says"));
        }
        self.remember(id, Arc::new(rules.clone()));
        Ok(id)
    }

    /// The content of every set of rules that a state lists, in its order.
    ///
    /// # Errors
    /// Where one is missing or is not what its address says.
    pub async fn rules_of(&self, state: &ShardState) -> Result<Vec<Arc<Rules>>, StoreError> {
        let mut rules = Vec::with_capacity(state.rules.len());
        for (_, id) in &state.rules {
            rules.push(self.rules(*id).await?);
        }
        Ok(rules)
    }

    async fn rules(&self, id: RulesId) -> Result<Arc<Rules>, StoreError> {
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(rules) = known {
            return Ok(rules);
        }
        let key = rules_key(id);
        let content = self.get(&key).await?;
        if RulesId::of(&content) != id {
            return Err(unreadable(&key, "its content is not what its name says"));
        }
        let rules = Arc::new(from_json(&key, &content)?);
        self.remember(id, Arc::clone(&rules));
        Ok(rules)
    }

    fn remember(&self, id: RulesId, rules: Arc<Rules>) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(id, rules);
    }

    /// Fixes once where the partitions of a topic begin in this store: `offsets` if nobody has
    /// fixed it before, else what was fixed. Partitions that appear later are not listed.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn fix_starts(
        &self,
        topic: &str,
        offsets: BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, i64>, StoreError> {
        let key = Path::from("starts").join(format!("{topic}.json"));
        self.create_or_get(&key, &offsets).await
    }

    /// What [`Self::fix_starts`] fixed, if anybody has.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn starts(&self, topic: &str) -> Result<Option<BTreeMap<i32, i64>>, StoreError> {
        let key = Path::from("starts").join(format!("{topic}.json"));
        match self.objects.get(&key).await {
            Ok(found) => {
                let content = found.bytes().await.map_err(failed("reading", &key))?;
                from_json(&key, &content).map(Some)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("reading", &key)(error)),
        }
    }

    /// Reads one object whole.
    ///
    /// # Errors
    /// Where it is missing or cannot be read.
    pub async fn get(&self, key: &Path) -> Result<Bytes, StoreError> {
        let found = self.objects.get(key).await.map_err(failed("reading", key))?;
        found.bytes().await.map_err(failed("reading", key))
    }

    /// Creates a JSON object unless it exists, and returns what is there now.
    async fn create_or_get<T: Serialize + for<'de> Deserialize<'de>>(
        &self,
        key: &Path,
        value: &T,
    ) -> Result<T, StoreError> {
        match self.objects.get(key).await {
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => {
                self.create(key, to_json(value)).await?;
            }
            Err(error) => return Err(failed("reading", key)(error)),
        }
        from_json(key, &self.get(key).await?)
    }
}

fn store_key() -> Path {
    Path::from("store.json")
}

fn check_format(found: &StoreJson) -> Result<(), StoreError> {
    if found.format > STORE_FORMAT {
        return Err(StoreError::Newer { found: found.format });
    }
    Ok(())
}

fn rules_key(id: RulesId) -> Path {
    Path::from("rules").join(format!("{id}.json"))
}

fn to_json<T: Serialize>(value: &T) -> Bytes {
    let mut content = serde_json::to_vec_pretty(value).expect("plain structs serialise");
    content.push(b'\n');
    content.into()
}

fn from_json<T: for<'de> Deserialize<'de>>(key: &Path, content: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(content).map_err(|error| unreadable(key, &error.to_string()))
}

fn unreadable(key: &Path, reason: &str) -> StoreError {
    StoreError::Unreadable { key: key.to_string(), reason: reason.to_owned() }
}

/// Turns a store's error into ours, with the operation and the key.
pub(crate) fn failed<'a>(
    operation: &'static str,
    key: &'a Path,
) -> impl FnOnce(object_store::Error) -> StoreError + 'a {
    move |source| StoreError::Object { operation, key: key.to_string(), source }
}
