//! The manifest: one publish, whole. It says which checkpoint of every shard the tables hold, and
//! what every file looks like.
//!
//! Manifests are numbered and created with put-if-absent, so there is one publish of each number,
//! whoever believes to be the publisher. The last member of the JSON object is a checksum of every
//! byte before it: everything that is published hangs on a manifest, so a damaged one is not believed.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use postroad_aggregate::days::Horizon;
use postroad_schemas::units::{BusinessDay, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::PublishError;
use super::indicators::IndicatorsEntry;
use crate::checkpoint::{Checkpoint, Phase, ShardId, Source};
use crate::store::{Store, StoreError, failed};

/// The version that this program writes. It reads all up to this one.
///
/// 2: the history, released days, the checksum. A program that does not know them would lose the
/// first and show the second as open again. 3: indicators, whose frozen days it would lose.
pub const MANIFEST_FORMAT: u32 = 3;

/// The first version that has a history and a checksum.
pub const HISTORY_SINCE: u32 = 2;

/// The first version whose reference data the store keeps.
pub const REFERENCES_SINCE: u32 = 3;

/// How many manifests are kept; also the length of the table `publishes`.
pub const MANIFESTS_KEPT: usize = 1_000;

/// One publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// Its number, from 1 on without gaps.
    pub publish: u64,
    /// When it was made, microseconds since the epoch.
    pub published_at: Timestamp,
    /// Where every shard stood; a vector that never goes back and never loses a shard.
    pub shards: Vec<ShardEntry>,
    /// Sums over all shards.
    pub totals: Totals,
    /// Dead letters that their retention still keeps.
    pub dead_letters: u64,
    /// Every day up to this one is complete, or was released by an operator, inclusive.
    #[serde(default)]
    pub complete_without_through: Option<BusinessDay>,
    /// Every day up to this one is complete, inclusive.
    pub complete_through: Option<BusinessDay>,
    /// Every day up to this one is final, inclusive.
    pub final_through: Option<BusinessDay>,
    /// The version of the reference data used, which the store keeps under it; in formats before 3 a
    /// fingerprint of the names alone.
    pub reference: String,
    /// How the indicators were made; `None` where there are none.
    #[serde(default)]
    pub indicators: Option<IndicatorsEntry>,
    /// Every table file by its key.
    pub files: BTreeMap<String, FileEntry>,
    /// The objects of the history by place.
    #[serde(default)]
    pub history: BTreeMap<String, HistoryEntry>,
}

/// One shard of a publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// `kafka` or `file`.
    pub source: String,
    /// Topic or base name of the file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Life of the topic.
    pub incarnation: i32,
    /// The checkpoint's place in its chain; `None` where the shard has none yet, and so holds its
    /// days open.
    pub seq: Option<u64>,
    /// The offset at which the shard began; a chain that was lost and begun anew differs in it.
    #[serde(default)]
    pub first_offset: Option<i64>,
    /// The first offset that is not in the tables.
    pub next_offset: Option<i64>,
    /// Shard time, microseconds since the epoch.
    pub watermark: Option<Timestamp>,
    /// Whether nothing more can come.
    pub closed: bool,
    /// The last day that an operator has decided not to wait for, inclusive.
    #[serde(default)]
    pub released_through: Option<BusinessDay>,
}

/// Sums over all shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records judged.
    pub consumed: u64,
    /// Of those, applied.
    pub applied: u64,
    /// Of those, duplicates.
    pub duplicates: u64,
    /// Of those, rejected.
    pub rejected: u64,
    /// Of those, tombstones.
    pub ignored: u64,
    /// Cells of the rollup.
    pub cells: u64,
}

/// One file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The publish that wrote it, which is also stamped into its metadata.
    pub publish: u64,
    /// Rows.
    pub rows: u64,
    /// XXH3-128 of the rows.
    pub rows_hash: String,
    /// XXH3-128 of the file.
    pub file_hash: String,
}

/// One object of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its key; there is never another object of this key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// XXH3-128 of the object.
    pub file_hash: String,
}

impl Manifest {
    /// The horizon that was published.
    pub fn horizon(&self) -> Horizon {
        Horizon {
            complete_without_through: self.complete_without_through,
            complete_through: self.complete_through,
            final_through: self.final_through,
        }
    }

    /// The bytes of the manifest, checksum and all.
    ///
    /// # Panics
    /// Never: plain structs serialise.
    pub fn encode(&self) -> Bytes {
        let mut content = serde_json::to_vec(self).expect("a plain struct serialises");
        content.pop();
        let end = end_of(&content);
        content.extend(end.bytes());
        content.into()
    }

    /// The inverse of [`Self::encode`], also for earlier formats.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(content: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        let (body, end) = content.split_at(content.len().saturating_sub(END_LEN));
        let has_checksum = end.starts_with(CHECKSUM.as_bytes());
        if (has_checksum && end != end_of(body).as_bytes())
            || (!has_checksum && manifest.format >= HISTORY_SINCE)
        {
            return Err("its checksum is not that of its content".to_owned());
        }
        Ok(manifest)
    }

    /// The shards that this publish holds or waits for.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.shards.iter().map(ShardEntry::id)
    }
}

impl ShardEntry {
    /// The entry of a shard, with its newest checkpoint where there is one.
    pub fn new(id: &ShardId, found: Option<(u64, &Checkpoint)>) -> Self {
        let checkpoint = found.map(|(_, checkpoint)| checkpoint);
        Self {
            source: id.source.as_str().to_owned(),
            topic: id.topic.to_string(),
            partition: id.partition,
            incarnation: id.incarnation,
            seq: found.map(|(seq, _)| seq),
            first_offset: checkpoint.map(|checkpoint| checkpoint.state.ledger.first.get()),
            next_offset: checkpoint.map(|checkpoint| checkpoint.state.ledger.next.get()),
            watermark: checkpoint.and_then(|checkpoint| checkpoint.state.watermark),
            closed: checkpoint.is_some_and(|checkpoint| checkpoint.phase == Phase::Closed),
            released_through: checkpoint.and_then(|found| found.clock().released_through),
        }
    }

    /// Which shard it is.
    pub fn id(&self) -> ShardId {
        let source =
            if self.source == Source::File.as_str() { Source::File } else { Source::Kafka };
        ShardId {
            source,
            topic: self.topic.as_str().into(),
            partition: self.partition,
            incarnation: self.incarnation,
        }
    }
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The member that ends a manifest.
const CHECKSUM: &str = r#","checksum":""#;
/// The length of the end of a manifest: its checksum and two closing marks.
const END_LEN: usize = CHECKSUM.len() + 32 + 2;

/// The end of a manifest that begins with `body`.
fn end_of(body: &[u8]) -> String {
    format!("{CHECKSUM}{:032x}\"}}", xxh3_128(body))
}

/// Reads a manifest, and reads it again if it looks damaged: a damaged answer is not yet a damaged
/// object.
///
/// # Errors
/// Where it cannot be read or was written by a newer program.
pub(crate) async fn read(store: &Store, publish: u64) -> Result<Manifest, PublishError> {
    let key = key(publish);
    let mut reason = String::new();
    for _ in 0..2 {
        let content = store.get(&key).await?;
        if let Ok(Version { format: found }) = serde_json::from_slice(&content)
            && found > MANIFEST_FORMAT
        {
            return Err(PublishError::Newer { key: key.to_string(), found });
        }
        match Manifest::decode(&content) {
            Ok(manifest) => return Ok(manifest),
            Err(found) => reason = found,
        }
    }
    Err(StoreError::Unreadable { key: key.to_string(), reason }.into())
}

/// What the newest publish says of a shard, if it holds any of its checkpoints.
///
/// # Errors
/// Where the store fails.
pub async fn published_entry(
    store: &Store,
    id: &ShardId,
) -> Result<Option<ShardEntry>, PublishError> {
    let Some(manifest) = newest(store).await? else { return Ok(None) };
    Ok(manifest.shards.into_iter().find(|entry| entry.seq.is_some() && entry.id() == *id))
}

/// The newest manifest; `None` where nothing was published.
///
/// # Errors
/// Where it cannot be read or was written by a newer program.
pub async fn newest(store: &Store) -> Result<Option<Manifest>, PublishError> {
    let folder = folder();
    let listing = store.objects().list(Some(&folder));
    let listed: Vec<_> = listing.try_collect().await.map_err(failed("listing", &folder))?;
    match listed.iter().filter_map(|object| number(&object.location)).max() {
        Some(newest) => read(store, newest).await.map(Some),
        None => Ok(None),
    }
}

/// The folder of the manifests.
pub fn folder() -> Path {
    Path::from("publishes")
}

/// The key of a manifest.
pub fn key(publish: u64) -> Path {
    folder().join(format!("{publish:020}.json"))
}

/// The number of the manifest behind a key.
pub fn number(key: &Path) -> Option<u64> {
    key.filename()?.strip_suffix(".json")?.parse().ok()
}
