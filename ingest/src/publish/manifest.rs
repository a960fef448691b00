//! The manifest: one publish, whole. It says which checkpoint of every shard the tables hold, and
//! what every file looks like.
//!
//! Manifests are numbered and created with put-if-absent, so there is one publish of each number,
//! whoever believes to be the publisher.

use std::collections::BTreeMap;

use object_store::path::Path;
use postroad_aggregate::days::Horizon;
use postroad_schemas::units::{BusinessDay, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Phase, ShardId, Source};

/// The version that this program writes. It reads all up to this one.
pub const MANIFEST_FORMAT: u32 = 1;

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
    /// Every day up to this one is complete, inclusive.
    pub complete_through: Option<BusinessDay>,
    /// Every day up to this one is final, inclusive.
    pub final_through: Option<BusinessDay>,
    /// Fingerprint of the names used.
    pub reference: String,
    /// Every table file by its key.
    pub files: BTreeMap<String, FileEntry>,
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

impl Manifest {
    /// The horizon that was published.
    pub fn horizon(&self) -> Horizon {
        Horizon { complete_through: self.complete_through, final_through: self.final_through }
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
