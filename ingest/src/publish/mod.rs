//! Publishing: the newest checkpoints of all shards become one numbered, whole publish.
//!
//! A publish is made in three steps. [`draft`] merges the shards and encodes every file whose rows
//! changed; that is pure. The manifest is then created with put-if-absent, which decides between
//! two publishers. Only then are the files replaced, each whole and by rename. A crash in between
//! leaves files that are not what the manifest says; whoever publishes next looks at every file
//! first, and writes those again.
//!
//! What a publish shows of a shard is what its checkpoint holds, never what a worker has in memory,
//! so that nothing is shown which a crash could take back.

pub mod calendar;
pub mod draft;
pub mod manifest;
pub mod parquet_file;
pub mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use postroad_aggregate::days::{Horizon, ShardClock};
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::Codebook;
use postroad_schemas::units::{Span, Timestamp};

use self::draft::{Draft, DraftInput};
use self::manifest::{MANIFEST_FORMAT, MANIFESTS_KEPT, Manifest, ShardEntry};
use self::rows::Overflow;
use crate::checkpoint::chain::ChainError;
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::segments::Unsealed;
use crate::checkpoint::{Checkpoint, LoadError, Phase, ShardId, Source};
use crate::error::Kind;
use crate::offload::offload;
use crate::store::{Store, StoreError, failed};

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
        "the newest readable checkpoint of {shard} {}, but offsets up to {} were published, from \
         where the shard began; restore the missing checkpoints, or let the shard read on",
        found.map_or("is lost".to_owned(), |next| format!("ends at offset {next}")),
        published.unwrap_or_default()
    )]
    WentBack {
        /// Whose.
        shard: ShardId,
        /// The boundary that the newest checkpoint has reached.
        found: Option<i64>,
        /// The boundary that was published.
        published: Option<i64>,
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
    /// The thread that encodes ended.
    #[error("the tables could not be encoded: {0}")]
    Encode(String),
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
            Self::Superseded(_) => Kind::Retry,
            Self::WentBack { .. } | Self::Overflow(_) => Kind::Data,
            Self::Newer { .. } => Kind::Config,
            Self::Encode(_) => Kind::Bug,
        }
    }
}

/// What decides the look of a publish besides the shards.
#[derive(Debug, Clone)]
pub struct PublishSettings {
    /// Names.
    pub codebook: Arc<Codebook>,
    /// How long after its end a day can be complete.
    pub grace: Span,
    /// How long after its end a day is final.
    pub final_after: Span,
    /// How many days after it was judged a dead letter is published.
    pub retention_days: u32,
}

/// A publish, as the metrics and the console see it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The manifest that was committed.
    pub manifest: Arc<Manifest>,
    /// The merged cells.
    pub rollup: Arc<Rollup>,
}

/// Makes publishes. One instance at a time ought to hold it; if two do, the manifests decide.
#[derive(Debug)]
pub struct Publisher {
    store: Store,
    settings: PublishSettings,
    /// The newest checkpoints, whole: what was sealed is in them again.
    shards: BTreeMap<ShardId, (Seq, Arc<Checkpoint>)>,
    unsealed: BTreeMap<ShardId, Unsealed>,
    /// The newest manifests, ascending.
    history: Vec<Arc<Manifest>>,
    /// Keys of files that are not what the newest manifest says.
    damaged: BTreeSet<String>,
    /// Keys of files that the newest manifest does not name: a crash came before their deletion.
    stray: BTreeSet<String>,
}

impl Publisher {
    /// Takes over from whoever published before: reads the manifests and looks at every file.
    ///
    /// # Errors
    /// Where the store fails, or was written by a newer program.
    pub async fn take_over(store: Store, settings: PublishSettings) -> Result<Self, PublishError> {
        let mut publisher = Self {
            store,
            settings,
            shards: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            history: Vec::new(),
            damaged: BTreeSet::new(),
            stray: BTreeSet::new(),
        };
        publisher.catch_up().await?;
        publisher.inspect_files().await?;
        Ok(publisher)
    }

    /// The newest manifest known.
    pub fn newest(&self) -> Option<&Arc<Manifest>> {
        self.history.last()
    }

    /// What was published last, as it stands; `None` before the first publish.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let manifest = Arc::clone(self.newest()?);
        let mut rollup = Rollup::default();
        for id in manifest.shard_ids() {
            if let Some((_, checkpoint)) = self.shards.get(&id) {
                rollup.add(&checkpoint.state.cells);
            }
        }
        Some(Snapshot { manifest, rollup: Arc::new(rollup) })
    }

    /// Compares every file with the newest manifest; the next publish writes again those that
    /// differ, and deletes those that nobody names. An old publisher that woke up late, or one that
    /// ended too early, may have left such files.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn inspect_files(&mut self) -> Result<(), PublishError> {
        let Some(newest) = self.newest().cloned() else { return Ok(()) };
        let mut damaged = BTreeSet::new();
        for (key, entry) in &newest.files {
            let whole = match self.store.get(&Path::from(key.as_str())).await {
                Ok(bytes) => file_hash(&bytes) == entry.file_hash,
                Err(error) if error.is_not_found() => false,
                Err(error) => return Err(error.into()),
            };
            if !whole {
                damaged.insert(key.clone());
            }
        }
        self.damaged = damaged;
        let tables = Path::from("tables");
        let listing = self.store.objects().list(Some(&tables));
        let found: Vec<_> = listing.try_collect().await.map_err(failed("listing", &tables))?;
        let keys = found.into_iter().map(|object| object.location.to_string());
        self.stray = keys.filter(|key| !newest.files.contains_key(key)).collect();
        Ok(())
    }

    /// Publishes the newest checkpoints of the shards of the last publish and of `expected`;
    /// a shard without a checkpoint holds its days open. Returns `None` where readers would see
    /// no difference.
    ///
    /// # Errors
    /// Where nothing could be published; the next try starts afresh.
    pub async fn publish(
        &mut self,
        expected: &BTreeSet<ShardId>,
        now: Timestamp,
    ) -> Result<Option<Snapshot>, PublishError> {
        if self.catch_up().await? {
            self.inspect_files().await?;
        }
        let mut ids = self.shard_ids(expected);
        self.load_shards(&ids).await?;
        while self.add_next_lives(&mut ids, expected) {
            self.load_shards(&ids).await?;
        }
        let input = self.input(&ids, now);
        let same = input.last.as_ref().is_some_and(|last| input.shows_the_same_as(last));
        if same && self.damaged.is_empty() && self.stray.is_empty() {
            return Ok(None);
        }
        let draft = offload(move || draft::draft(&input))
            .await
            .map_err(|error| PublishError::Encode(error.to_string()))??;
        self.commit(draft).await.map(Some)
    }

    fn shard_ids(&self, expected: &BTreeSet<ShardId>) -> BTreeSet<ShardId> {
        let published = self.newest().into_iter().flat_map(|manifest| manifest.shard_ids());
        published.chain(expected.iter().cloned()).collect()
    }

    /// Adds the next life of each partition that Kafka has and whose life before was closed. Returns
    /// whether there is any to load.
    fn add_next_lives(&self, ids: &mut BTreeSet<ShardId>, expected: &BTreeSet<ShardId>) -> bool {
        let is_closed = |id: &&ShardId| {
            id.source == Source::Kafka
                && self.shards.get(*id).is_some_and(|(_, found)| found.phase == Phase::Closed)
        };
        let next = ids.iter().filter(is_closed).map(ShardId::next_incarnation);
        let known = |id: &ShardId| ShardId { incarnation: 0, ..id.clone() };
        let next: Vec<_> = next.filter(|id| expected.contains(&known(id))).collect();
        let before = ids.len();
        ids.extend(next);
        ids.len() > before
    }

    /// Reads the manifests that were made since, by others or by a put whose answer was lost. Returns
    /// whether there were any: their files may not be in place yet.
    async fn catch_up(&mut self) -> Result<bool, PublishError> {
        let folder = manifest::folder();
        let after = self.newest().map(|newest| manifest::key(newest.publish));
        let objects = self.store.objects();
        let listing = match &after {
            Some(key) => objects.list_with_offset(Some(&folder), key),
            None => objects.list(Some(&folder)),
        };
        let listed: Vec<_> = listing.try_collect().await.map_err(failed("listing", &folder))?;
        let mut numbers: Vec<u64> =
            listed.iter().filter_map(|object| manifest::number(&object.location)).collect();
        numbers.sort_unstable();
        for number in numbers.iter().skip(numbers.len().saturating_sub(MANIFESTS_KEPT)) {
            let key = manifest::key(*number);
            let content = self.store.get(&key).await?;
            self.history.push(Arc::new(read_manifest(&key, &content)?));
        }
        Ok(!numbers.is_empty())
    }

    /// Brings every shard up to its newest checkpoint.
    async fn load_shards(&mut self, ids: &BTreeSet<ShardId>) -> Result<(), PublishError> {
        for id in ids {
            let chain = self.store.chain(id);
            let fail = |source| PublishError::Load { shard: id.clone(), source: Box::new(source) };
            if let Some((seq, _)) = self.shards.get(id) {
                let newer = chain.newest_after(*seq).await;
                if newer.map_err(|error: ChainError| fail(error.into()))?.is_none() {
                    continue;
                }
            }
            if let Some((newest, checkpoint)) =
                self.store.newest_checkpoint(id).await.map_err(fail)?
            {
                let unsealed = self.unsealed.entry(id.clone()).or_default();
                unsealed.update(&self.store, id, &checkpoint.state.sealed).await?;
                let whole = checkpoint.with(unsealed.whole(&checkpoint.state));
                self.shards.insert(id.clone(), (newest.seq, Arc::new(whole)));
            }
        }
        self.refuse_to_go_back()
    }

    /// Within a shard the vector of a publish never goes back, whether by a checkpoint that was lost
    /// or by one that was written above a damaged one.
    fn refuse_to_go_back(&self) -> Result<(), PublishError> {
        let Some(last) = self.newest() else { return Ok(()) };
        for entry in &last.shards {
            let shard = entry.id();
            let found = self.shards.get(&shard);
            let seq = found.map(|(seq, _)| seq.get());
            let next = found.map(|(_, checkpoint)| checkpoint.state.ledger.next.get());
            let first = found.map(|(_, checkpoint)| checkpoint.state.ledger.first.get());
            let is_another = entry.first_offset.is_some() && first != entry.first_offset;
            if seq < entry.seq || next < entry.next_offset || is_another {
                let (found, published) = (next, entry.next_offset);
                return Err(PublishError::WentBack { shard, found, published });
            }
        }
        Ok(())
    }

    fn input(&self, ids: &BTreeSet<ShardId>, now: Timestamp) -> DraftInput {
        let shards: Vec<_> =
            ids.iter().map(|id| (id.clone(), self.shards.get(id).cloned())).collect();
        let clocks: Vec<_> = shards
            .iter()
            .map(|(_, found)| found.as_ref().map_or(ShardClock::UNKNOWN, |(_, c)| c.clock()))
            .collect();
        let reached = Horizon::of(&clocks, self.settings.grace, self.settings.final_after);
        let published = self.newest().map(|last| last.horizon()).unwrap_or_default();
        DraftInput {
            shards,
            horizon: published.advanced_to(reached),
            codebook: Arc::clone(&self.settings.codebook),
            retention_days: self.settings.retention_days,
            last: self.newest().cloned(),
            history: self.history.clone(),
            damaged: self.damaged.clone(),
            now,
        }
    }

    async fn commit(&mut self, draft: Draft) -> Result<Snapshot, PublishError> {
        let Draft { manifest, files, rollup } = draft;
        let key = manifest::key(manifest.publish);
        let content = serde_json::to_vec(&manifest).expect("a plain struct serialises");
        if !self.create_manifest(&key, content.into()).await? {
            return Err(PublishError::Superseded(manifest.publish));
        }
        let before = self.newest().cloned();
        let manifest = Arc::new(manifest);
        self.history.push(Arc::clone(&manifest));
        self.damaged.extend(files.iter().map(|(key, _)| key.clone()));
        for (key, bytes) in files {
            self.stop_if_superseded(manifest.publish).await?;
            self.replace(&key, bytes, manifest.publish).await?;
            self.damaged.remove(&key);
        }
        let old = before.iter().flat_map(|before| before.files.keys());
        self.stray.extend(old.cloned());
        self.stray.retain(|key| !manifest.files.contains_key(key));
        while let Some(key) = self.stray.first().cloned() {
            self.stop_if_superseded(manifest.publish).await?;
            self.delete(&Path::from(key.as_str())).await?;
            self.damaged.remove(&key);
            self.stray.remove(&key);
        }
        self.forget_old_manifests().await?;
        Ok(Snapshot { manifest, rollup: Arc::new(rollup) })
    }

    /// Creates the manifest; one's own success can come back as *already exists*, so what is there
    /// decides.
    async fn create_manifest(&self, key: &Path, content: Bytes) -> Result<bool, PublishError> {
        if self.store.create(key, content.clone()).await? {
            return Ok(true);
        }
        Ok(self.store.get(key).await? == content)
    }

    async fn stop_if_superseded(&self, publish: u64) -> Result<(), PublishError> {
        let folder = manifest::folder();
        let after = manifest::key(publish);
        let objects = self.store.objects();
        let listing = objects.list_with_offset(Some(&folder), &after);
        let newer: Vec<_> = listing.try_collect().await.map_err(failed("listing", &folder))?;
        let newest = newer.iter().filter_map(|object| manifest::number(&object.location)).max();
        newest.map_or(Ok(()), |newest| Err(PublishError::Superseded(newest)))
    }

    /// Puts a file in the place of the one before, whole: readers see the one or the other.
    async fn replace(&self, key: &str, bytes: Bytes, publish: u64) -> Result<(), StoreError> {
        let place = Path::from(key);
        let scratch = Path::from("_tmp").join(format!("{publish:020}-{}", key.replace('/', "-")));
        let objects = self.store.objects();
        objects.put(&scratch, bytes.into()).await.map_err(failed("writing", &scratch))?;
        objects.rename(&scratch, &place).await.map_err(failed("replacing", &place))
    }

    async fn delete(&self, key: &Path) -> Result<(), StoreError> {
        match self.store.objects().delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("deleting", key)(error)),
        }
    }

    async fn forget_old_manifests(&mut self) -> Result<(), StoreError> {
        while self.history.len() > MANIFESTS_KEPT {
            let key = manifest::key(self.history[0].publish);
            self.delete(&key).await?;
            self.history.remove(0);
        }
        Ok(())
    }
}

/// What the newest publish says of a shard, if it holds any of its checkpoints.
///
/// # Errors
/// Where the store fails.
pub async fn published_entry(
    store: &Store,
    id: &ShardId,
) -> Result<Option<ShardEntry>, PublishError> {
    let folder = manifest::folder();
    let listing = store.objects().list(Some(&folder));
    let listed: Vec<_> = listing.try_collect().await.map_err(failed("listing", &folder))?;
    let Some(newest) = listed.iter().filter_map(|object| manifest::number(&object.location)).max()
    else {
        return Ok(None);
    };
    let key = manifest::key(newest);
    let manifest = read_manifest(&key, &store.get(&key).await?)?;
    Ok(manifest.shards.into_iter().find(|entry| entry.seq.is_some() && entry.id() == *id))
}

fn read_manifest(key: &Path, content: &[u8]) -> Result<Manifest, PublishError> {
    let unreadable = |error: serde_json::Error| StoreError::Unreadable {
        key: key.to_string(),
        reason: error.to_string(),
    };
    let manifest: Manifest = serde_json::from_slice(content).map_err(unreadable)?;
    if manifest.format > MANIFEST_FORMAT {
        return Err(PublishError::Newer { key: key.to_string(), found: manifest.format });
    }
    Ok(manifest)
}

fn file_hash(bytes: &[u8]) -> String {
    format!("{:032x}", parquet_file::file_hash(bytes))
}

#[cfg(test)]
mod tests;
