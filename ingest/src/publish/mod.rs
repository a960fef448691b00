//! Publishing: the newest checkpoints of all shards become one numbered, whole publish.
//!
//! A publish is made in four steps. [`draft`] merges the shards and encodes every file whose rows
//! changed; that is pure. What cannot be had again, [`history`], is created as immutable objects. The
//! manifest that names them is then created with put-if-absent, which decides between two
//! publishers. Only then are the files replaced, each whole, and read back. A crash in
//! between leaves objects that nobody names, or files that are not what the manifest says; whoever
//! publishes next looks at every file first, and writes those again.
//!
//! What a publish shows of a shard is what its checkpoint holds, never what a worker has in memory,
//! so that nothing is shown which a crash could take back.

pub mod draft;
mod error;
pub mod history;
pub mod indicators;
mod inspection;
pub mod manifest;
pub mod parquet_file;
pub mod restatements;
pub mod rows;
mod vector;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use postroad_aggregate::days::{Horizon, ShardClock};
use postroad_aggregate::merge::Rollup;
use postroad_schemas::units::{Span, Timestamp};

use self::draft::{Draft, DraftInput, Earlier};
pub use self::error::PublishError;
use self::indicators::{Evaluation, Known, Plan};
pub use self::manifest::published_entry;
use self::manifest::{MANIFESTS_KEPT, Manifest};
use self::restatements::Before;
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::segments::Unsealed;
use crate::checkpoint::{Checkpoint, ShardId};
use crate::config::IndicatorsConfig;
use crate::failpoint::Point;
use crate::offload::offload;
use crate::reference::ReferenceSet;
use crate::store::{Store, StoreError, failed};

/// How often a file is looked at anew that others replaced meanwhile.
const REPLACE_TRIES: u32 = 4;
/// How many shards or manifests are asked for at once: a distant store answers each only after some
/// tens of milliseconds, and readers wait for all.
const ASKED_AT_ONCE: usize = 16;

/// What decides the look of a publish besides the shards.
#[derive(Debug, Clone)]
pub struct PublishSettings {
    /// Names, and what figures are held against.
    pub reference: Arc<ReferenceSet>,
    /// What decides who lags, and as of which days that is told.
    pub indicators: IndicatorsConfig,
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
    /// The reference data in use. A publish that another instance has made, or that was made before they
    /// were replaced, may have been made with others: its manifest says which.
    pub reference: Arc<ReferenceSet>,
    /// The indicators as of the last complete day; `None` before any day is.
    pub evaluation: Option<Arc<Evaluation>>,
}

/// What a publisher has done since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Final cells that its publishes moved: rows of `restatements`.
    pub restated: u64,
    /// Months of which it could not learn what had been final, or what had been restated.
    pub unknown: u64,
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
    manifests: Vec<Arc<Manifest>>,
    /// What is known of the cells that some publish showed.
    before: Before,
    /// What is known of the indicators that this publisher published.
    known: Known,
    /// The version of the reference data that it has seen to be in the store.
    kept: Option<String>,
    /// Keys of files, and places of the history, that are not what the newest manifest says.
    damaged: BTreeSet<String>,
    /// Keys of files that the newest manifest does not name: a crash came before their deletion.
    stray: BTreeSet<String>,
    /// Whether somebody has published since the files were looked at.
    is_unseen: bool,
    counts: Counts,
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
            manifests: Vec::new(),
            before: Before::default(),
            known: Known::default(),
            kept: None,
            damaged: BTreeSet::new(),
            stray: BTreeSet::new(),
            is_unseen: false,
            counts: Counts::default(),
        };
        publisher.catch_up().await?;
        publisher.inspect_files().await?;
        Ok(publisher)
    }

    /// The newest manifest known.
    pub fn newest(&self) -> Option<&Arc<Manifest>> {
        self.manifests.last()
    }

    /// What was done since this was last called.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Uses other reference data from the next publish on.
    pub fn set_reference(&mut self, reference: Arc<ReferenceSet>) {
        self.settings.reference = reference;
    }

    /// What was published last, as it stands; `None` before the first publish. The indicators are
    /// evaluated for it where another instance has made that publish.
    ///
    /// # Errors
    /// Where the thread that evaluates ended.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, PublishError> {
        let Some(manifest) = self.newest().cloned() else { return Ok(None) };
        let rollup = if self.before.is_own && self.before.publish == manifest.publish {
            Arc::clone(&self.before.cells)
        } else {
            let mut rollup = Rollup::default();
            for id in manifest.shard_ids() {
                if let Some((_, checkpoint)) = self.shards.get(&id) {
                    rollup.add(&checkpoint.state.cells);
                }
            }
            Arc::new(rollup)
        };
        let reference = Arc::clone(&self.settings.reference);
        let mut evaluation = self.known.newest.clone();
        if let Some(as_of) = Evaluation::last_day(&manifest)
            && self.known.publish != manifest.publish
        {
            let (rollup, reference) = (Arc::clone(&rollup), Arc::clone(&reference));
            let settings = self.settings.indicators.settings;
            let evaluated =
                offload(move || Evaluation::of(as_of, &rollup, &reference, settings)).await?;
            evaluation = Some(Arc::new(evaluated));
        }
        Ok(Some(Snapshot { manifest, rollup, reference, evaluation }))
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
        self.catch_up().await?;
        if self.is_unseen {
            self.inspect_files().await?;
        }
        let ids = self.load_vector(expected).await?;
        let input = self.input(&ids, now);
        let same = input.last.as_ref().is_some_and(|last| input.shows_the_same_as(last));
        if same && self.damaged.is_empty() && self.stray.is_empty() {
            self.keep_reference().await?;
            return Ok(None);
        }
        let draft = self.draft(input).await?;
        self.commit(draft).await.map(Some)
    }

    /// Merges the shards, fetches what is needed of the publish before, and encodes what changed.
    async fn draft(&mut self, input: DraftInput) -> Result<Draft, PublishError> {
        self.learn().await?;
        let before = self.before.clone();
        let (input, merged) = offload(move || {
            let merged = draft::merge(&input, before);
            (input, merged)
        })
        .await?;
        let restatements = self.restatements_so_far(merged.restated_months(&input)).await?;
        let frozen = self.frozen_indicators(&Plan::of(&input, &merged).months).await?;
        let earlier = Earlier { restatements, frozen };
        offload(move || draft::draft(&input, merged, earlier)).await?
    }

    /// Reads the manifests that were made since, by others or by a put whose answer was lost. Their
    /// files may not be in place yet.
    async fn catch_up(&mut self) -> Result<(), PublishError> {
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
        numbers.drain(..numbers.len().saturating_sub(MANIFESTS_KEPT));
        let store = self.store.clone();
        let asked: Vec<_> = numbers.iter().map(|number| manifest::read(&store, *number)).collect();
        let mut manifests = stream::iter(asked).buffered(ASKED_AT_ONCE);
        while let Some(manifest) = manifests.try_next().await? {
            self.remember(Arc::new(manifest));
            self.is_unseen = true;
        }
        Ok(())
    }

    /// Of all but the newest manifests, only what `publishes` shows is kept in memory.
    fn remember(&mut self, manifest: Arc<Manifest>) {
        self.manifests.push(manifest);
        if let Some(old) = self.manifests.iter_mut().rev().nth(3) {
            let old = Arc::make_mut(old);
            old.files.clear();
            old.history.clear();
        }
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
            reference: Arc::clone(&self.settings.reference),
            indicators: self.settings.indicators,
            known: self.known.clone(),
            retention_days: self.settings.retention_days,
            last: self.newest().cloned(),
            manifests: self.manifests.clone(),
            damaged: self.damaged.clone(),
            nonce: self.store.nonce(),
            now,
        }
    }

    async fn commit(&mut self, draft: Draft) -> Result<Snapshot, PublishError> {
        let Draft { manifest, files, objects, rollup, restated, known } = draft;
        let reference = Arc::clone(&self.settings.reference);
        self.keep_reference().await?;
        for (key, content) in &objects {
            self.keep(key, content).await?;
        }
        let key = manifest::key(manifest.publish);
        Point::BeforeManifest.pass();
        if !self.store.create(&key, manifest.encode()).await? {
            return Err(PublishError::Superseded(manifest.publish));
        }
        Point::AfterManifest.pass();
        let before = self.newest().cloned();
        let (manifest, rollup) = (Arc::new(manifest), Arc::new(rollup));
        self.remember(Arc::clone(&manifest));
        self.before = Before::own(manifest.publish, Arc::clone(&rollup));
        self.known = known;
        self.counts.restated += restated as u64;
        let replaced = self.replace_files(&manifest, files).await;
        let old = before.iter().flat_map(|before| before.files.keys());
        self.stray.extend(old.cloned());
        self.stray.retain(|key| !manifest.files.contains_key(key));
        replaced?;
        while let Some(key) = self.stray.first().cloned() {
            self.stop_if_superseded(manifest.publish).await?;
            self.delete(&Path::from(key.as_str())).await?;
            self.damaged.remove(&key);
            self.stray.remove(&key);
        }
        self.discard_replaced().await;
        self.forget_old_manifests().await?;
        let evaluation = self.known.newest.clone();
        Ok(Snapshot { manifest, rollup, reference, evaluation })
    }

    /// Sees to it that the store keeps the reference data in use: once for each version, and anew by each
    /// publisher, so that what somebody has deleted comes back.
    async fn keep_reference(&mut self) -> Result<(), StoreError> {
        let reference = &self.settings.reference;
        if self.kept.as_ref() != Some(&reference.version) {
            self.store.put_reference(reference).await?;
            self.kept = Some(reference.version.clone());
        }
        Ok(())
    }

    /// Replaces every file that a publish has changed. One that is read back as something else
    /// counts as damaged, and does not keep the others from being replaced.
    async fn replace_files(
        &mut self,
        manifest: &Manifest,
        files: Vec<(String, Bytes)>,
    ) -> Result<(), PublishError> {
        let publish = manifest.publish;
        self.damaged.extend(files.iter().map(|(key, _)| key.clone()));
        self.damaged.retain(|key| manifest.files.contains_key(key));
        let mut outcome = Ok(());
        for (key, bytes) in files {
            self.replace(&key, &bytes, publish).await?;
            if self.store.get(&Path::from(key.as_str())).await? == bytes {
                self.damaged.remove(&key);
            } else {
                outcome = Err(PublishError::NotAsWritten { key });
            }
            Point::BetweenFiles.pass();
        }
        outcome
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

    /// Puts a file in the place of the one before, whole: readers see the one or the other. Whether
    /// a newer publish exists is asked after the look at the file, so that where the store has
    /// conditions nobody who sleeps in between replaces a file of a newer publish. (E-tags may be
    /// hashes, and never repeat: each file is stamped with its publish.)
    async fn replace(&self, key: &str, bytes: &Bytes, publish: u64) -> Result<(), PublishError> {
        let place = Path::from(key);
        for _ in 0..REPLACE_TRIES {
            let condition = self.store.look(&place).await?;
            self.stop_if_superseded(publish).await?;
            if self.store.replace(&place, bytes.clone(), condition).await? {
                return Ok(());
            }
        }
        Err(PublishError::Contended { key: key.to_owned() })
    }

    async fn delete(&self, key: &Path) -> Result<(), StoreError> {
        match self.store.objects().delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("deleting", key)(error)),
        }
    }

    async fn forget_old_manifests(&mut self) -> Result<(), StoreError> {
        while self.manifests.len() > MANIFESTS_KEPT {
            let key = manifest::key(self.manifests[0].publish);
            self.delete(&key).await?;
            self.manifests.remove(0);
        }
        Ok(())
    }
}

fn file_hash(bytes: &[u8]) -> String {
    format!("{:032x}", parquet_file::file_hash(bytes))
}

#[cfg(test)]
mod tests;
