//! The store: where checkpoints, rules, manifests and tables live, on local disk or in a bucket.
//!
//! ```text
//! store.json                                         what this store is: its format
//! owner.json                                         whose it is: Kafka cluster and group
//! rules/<id>.json                                    rules, content-addressed
//! references/<version>.json                          reference data, content-addressed
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
mod error;
pub mod open;
mod owner;
pub mod probe;
mod put;
mod references;
mod rules;
mod signing;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FsPath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use postroad_aggregate::rules::{Rules, RulesId};
use serde::{Deserialize, Serialize};

pub use self::error::StoreError;
pub(crate) use self::error::failed;
use self::error::unreadable;
pub use self::owner::Owner;
use self::probe::Promise;
use self::put::Replacing;
pub use self::references::reference_key;
use crate::checkpoint::chain::{Chain, Newest, Nonces, Pace};
use crate::checkpoint::{Checkpoint, LoadError, ShardId};

/// How long the store is waited for. A put that stays unresolved for this long stops the reading
/// and is gone on with; so it is kept short.
const PACE: Pace = Pace {
    call: Duration::from_secs(10),
    deadline: Duration::from_secs(10),
    tries: 4,
    backoff_first: Duration::from_millis(50),
    backoff_max: Duration::from_secs(1),
};

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

    /// Reads one JSON object.
    ///
    /// # Errors
    /// Where it is missing, or cannot be read or understood.
    pub(crate) async fn read_json<T: for<'de> Deserialize<'de>>(
        &self,
        key: &Path,
    ) -> Result<T, StoreError> {
        from_json(key, &self.get(key).await?)
    }

    /// The keys of everything below a folder, in order.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn list(&self, folder: &Path) -> Result<Vec<Path>, StoreError> {
        let listing = self.objects.list(Some(folder));
        let keys = listing.map_ok(|object| object.location).try_collect::<Vec<_>>();
        let mut keys = keys.await.map_err(failed("listing", folder))?;
        keys.sort();
        Ok(keys)
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

fn to_json<T: Serialize>(value: &T) -> Bytes {
    let mut content = serde_json::to_vec_pretty(value).expect("plain structs serialise");
    content.push(b'\n');
    content.into()
}

fn from_json<T: for<'de> Deserialize<'de>>(key: &Path, content: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(content).map_err(|error| unreadable(key, &error.to_string()))
}
