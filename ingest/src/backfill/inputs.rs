//! Which files a store was filled from.
//!
//! A shard is resumed without its dedupe window, which is rebuilt by reading the log again. The log
//! of a backfill is its files; so the store notes which of them hold which offsets, and a later
//! backfill of the files that follow finds the earlier ones by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path as Key;
use postroad_schemas::units::{NextOffset, Offset};
use serde::{Deserialize, Serialize};

use crate::checkpoint::ShardId;
use crate::store::{Store, StoreError, failed};

/// One file of envelopes, and which offsets it holds of each shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    /// Its absolute path.
    pub(super) path: PathBuf,
    /// By topic and partition: the lowest offset and the boundary after the highest.
    ranges: BTreeMap<String, BTreeMap<i32, (i64, i64)>>,
}

impl Input {
    /// A file of which nothing has been read yet.
    pub(super) fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, ranges: BTreeMap::new() }
    }

    /// Notes a record.
    pub(super) fn note(&mut self, topic: &str, partition: i32, offset: Offset) {
        if !self.ranges.contains_key(topic) {
            self.ranges.insert(topic.to_owned(), BTreeMap::new());
        }
        let partitions = self.ranges.get_mut(topic).expect("inserted above");
        let (from, next) = (offset.get(), offset.next().get());
        let range = partitions.entry(partition).or_insert((from, next));
        *range = (range.0.min(from), range.1.max(next));
    }

    /// The lowest offset of a shard in the file, if it holds any in `[from, next)`.
    pub(super) fn first_within(
        &self,
        id: &ShardId,
        from: NextOffset,
        next: NextOffset,
    ) -> Option<i64> {
        let (first, end) = *self.ranges.get(&*id.topic)?.get(&id.partition)?;
        (first < next.get() && end > from.get()).then_some(first)
    }

    fn key(&self) -> Key {
        let content = serde_json::to_vec(self).expect("a plain struct serialises");
        let name = xxhash_rust::xxh3::xxh3_128(&content);
        Key::from("inputs").join(format!("{name:032x}.json"))
    }
}

/// Notes in the store that a file was read.
pub(super) async fn record(store: &Store, input: &Input) -> Result<(), StoreError> {
    let content = serde_json::to_vec(input).expect("a plain struct serialises");
    store.create(&input.key(), Bytes::from(content)).await.map(drop)
}

/// Every file that the store was filled from.
pub(super) async fn recorded(store: &Store) -> Result<Vec<Input>, StoreError> {
    let folder = Key::from("inputs");
    let listing = store.objects().list(Some(&folder));
    let objects: Vec<_> = listing.try_collect().await.map_err(failed("listing", &folder))?;
    let mut inputs = Vec::with_capacity(objects.len());
    for object in objects {
        let content = store.get(&object.location).await?;
        let input = serde_json::from_slice(&content).map_err(|error| StoreError::Unreadable {
            key: object.location.to_string(),
            reason: error.to_string(),
        })?;
        inputs.push(input);
    }
    Ok(inputs)
}
