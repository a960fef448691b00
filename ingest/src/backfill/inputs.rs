//! Which files a store was filled from.
//!
//! A shard is resumed without its dedupe window, which is rebuilt by reading the log again. The log
//! of a backfill is its files; so the store notes which of them hold which offsets, and a later
//! backfill of the files that follow finds the earlier ones by itself. So does `verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use postroad_schemas::units::{NextOffset, Offset};
use serde::{Deserialize, Serialize};

use super::order::Jump;
use crate::checkpoint::{ShardId, Source};
use crate::store::{Store, StoreError, failed};

/// One file, and which offsets it holds of each shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// Its absolute path.
    pub(crate) path: PathBuf,
    /// By topic and partition: the lowest offset and the boundary after the highest.
    ranges: BTreeMap<String, BTreeMap<i32, (i64, i64)>>,
    /// For a file of bare values, where that boundary is; it is a shard of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<i64>,
    /// By topic and partition, the offsets that it jumped over: it begins at the second, and everything
    /// up to the first had been folded. A note of its own, made before what follows can be checkpointed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    jumps: BTreeMap<String, BTreeMap<i32, (i64, i64)>>,
}

impl Input {
    /// A file of which nothing has been read yet.
    pub(super) fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, ranges: BTreeMap::new(), lines: None, jumps: BTreeMap::new() }
    }

    /// A file of bare values, read up to a line.
    pub(super) fn of_values(path: &Path, next: NextOffset) -> Self {
        Self { lines: Some(next.get()), ..Self::new(path) }
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

    /// Whether a record of a shard has been noted.
    pub(super) fn holds(&self, id: &ShardId) -> bool {
        self.ranges.get(&*id.topic).is_some_and(|of| of.contains_key(&id.partition))
    }

    /// A file that jumps over offsets of a shard.
    pub(super) fn of_jump(path: &Path, id: &ShardId, Jump { from, to }: Jump) -> Self {
        let partitions = BTreeMap::from([(id.partition, (from.get(), to.get()))]);
        Self { jumps: BTreeMap::from([(id.topic.to_string(), partitions)]), ..Self::new(path) }
    }

    /// What it jumped over of a shard.
    pub(super) fn jump(&self, id: &ShardId) -> Option<Jump> {
        let (from, to) = self.jumps.get(&*id.topic)?.get(&id.partition)?;
        Some(Jump { from: NextOffset::new(*from), to: NextOffset::new(*to) })
    }

    /// The lowest offset of a shard in the file, if it holds any in `[from, next)`.
    pub(super) fn first_within(
        &self,
        id: &ShardId,
        from: NextOffset,
        next: NextOffset,
    ) -> Option<i64> {
        let (first, end) = self.range(id)?;
        (first < next.get() && end > from.get()).then_some(first)
    }

    /// The lowest offset of a shard in the file, and the boundary after the highest.
    pub(crate) fn range(&self, id: &ShardId) -> Option<(i64, i64)> {
        match id.source {
            Source::Kafka => self.ranges.get(&*id.topic)?.get(&id.partition).copied(),
            Source::File => {
                let name = self.path.file_name()?.to_string_lossy();
                self.lines.filter(|_| name == id.topic.as_ref()).map(|next| (0, next))
            }
        }
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

/// Takes a note back.
pub(super) async fn forget(store: &Store, input: &Input) -> Result<(), StoreError> {
    let key = input.key();
    match store.objects().delete(&key).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(failed("deleting", &key)(error)),
    }
}

/// Every file that the store was filled from.
pub(crate) async fn recorded(store: &Store) -> Result<Vec<Input>, StoreError> {
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
