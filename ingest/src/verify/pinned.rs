//! One publish, as a whole: its manifest, the checkpoints that it shows, and its files.
//!
//! A publisher may be at work. Its manifest comes first and its files after it, so files that are not
//! what the newest manifest says are looked at again for a while, under whatever manifest is the
//! newest by then, before they count as differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use tokio::time::{Instant, sleep};

use super::chain::{Placed, read_whole};
use super::compare::{Difference, Differences};
use super::store_failure;
use crate::checkpoint::ShardId;
use crate::checkpoint::envelope::Seq;
use crate::error::{Exit, Failure, Kind};
use crate::publish::manifest::{self, Manifest};
use crate::publish::{PublishError, parquet_file};
use crate::store::Store;

/// How long to wait between two looks at a publish that is not whole.
const PAUSE: Duration = Duration::from_millis(200);
/// How many manifests are read at once.
const READ_AT_ONCE: usize = 16;

/// A publish, held in memory.
pub(super) struct Pinned {
    pub(super) manifest: Manifest,
    /// The manifests before it that are kept, ascending.
    pub(super) before: Vec<Arc<Manifest>>,
    /// The checkpoints that it shows, where they are whole and not yet collected; nothing of them is
    /// sealed.
    pub(super) checkpoints: BTreeMap<ShardId, Placed>,
    /// The bytes of its files, and of the objects of its history, by key.
    pub(super) files: BTreeMap<String, Bytes>,
    /// What is wrong with its files, apart from what they hold.
    pub(super) differences: Vec<Difference>,
}

/// Takes hold of the newest publish, and returns its number; nothing is published where there is
/// none, and nothing can be compared where its manifest is damaged. A publisher that is replacing files
/// is waited for as long as `patience` says.
pub(super) async fn pin(
    store: &Store,
    patience: Duration,
    differences: &mut Vec<Difference>,
) -> Result<(Option<u64>, Option<Pinned>), Failure> {
    let deadline = Instant::now() + patience;
    let mut known: BTreeMap<String, Bytes> = BTreeMap::new();
    loop {
        let Some(number) = publishes(store).await?.pop() else {
            differences.extend(unpublished(table_files(store).await?.len()));
            return Ok((None, None));
        };
        let manifest = match read(store, number).await? {
            Read::Whole(manifest) => manifest,
            Read::Gone => continue,
            Read::Damaged(difference) => {
                differences.push(difference);
                return Ok((Some(number), None));
            }
        };
        let mut pinned = look(store, *manifest, &known).await?;
        if pinned.is_whole() || Instant::now() >= deadline {
            pinned.before = before(store, number, differences).await?;
            return Ok((Some(number), Some(pinned)));
        }
        known = pinned.files;
        sleep(PAUSE).await;
    }
}

impl Pinned {
    /// Whether files and checkpoints are all there, and as the manifest says.
    fn is_whole(&self) -> bool {
        let shown = self.manifest.shards.iter().filter(|entry| entry.seq.is_some());
        self.differences.is_empty() && shown.count() == self.checkpoints.len()
    }
}

/// The numbers of the publishes whose manifests are kept, ascending.
async fn publishes(store: &Store) -> Result<Vec<u64>, Failure> {
    let listed = store.list(&manifest::folder()).await.map_err(|error| store_failure(&error))?;
    let mut numbers: Vec<u64> = listed.iter().filter_map(manifest::number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What became of reading a manifest.
enum Read {
    Whole(Box<Manifest>),
    Damaged(Difference),
    Gone,
}

async fn read(store: &Store, number: u64) -> Result<Read, Failure> {
    match manifest::read(store, number).await {
        Ok(manifest) => Ok(Read::Whole(Box::new(manifest))),
        Err(PublishError::Store(error)) if error.is_not_found() => Ok(Read::Gone),
        Err(error) if error.kind() == Kind::Data => Ok(Read::Damaged(Difference {
            place: "manifest".to_owned(),
            key: format!("of publish {number}"),
            column: "object".to_owned(),
            found: format!("damaged: {error}"),
            expected: "whole".to_owned(),
        })),
        Err(error) => Err(Failure::from_error(Exit::of(error.kind()), &error)),
    }
}

/// The manifests before one, ascending. They have no gaps: the oldest are forgotten first.
async fn before(
    store: &Store,
    number: u64,
    differences: &mut Vec<Difference>,
) -> Result<Vec<Arc<Manifest>>, Failure> {
    let mut numbers = publishes(store).await?;
    numbers.retain(|other| *other < number);
    let followed = numbers.iter().zip(numbers.iter().skip(1).chain([&number]));
    differences.extend(followed.flat_map(|(one, next)| one + 1..*next).map(gone));
    let reads = futures::stream::iter(numbers).map(|number| read(store, number));
    let mut reads = reads.buffered(READ_AT_ONCE);
    let mut manifests = Vec::new();
    while let Some(read) = reads.try_next().await? {
        match read {
            Read::Whole(manifest) => manifests.push(Arc::from(manifest)),
            Read::Damaged(difference) => differences.push(difference),
            Read::Gone => {}
        }
    }
    Ok(manifests)
}

/// A manifest that is missing between two that are kept.
fn gone(number: u64) -> Difference {
    Difference {
        place: "manifest".to_owned(),
        key: format!("of publish {number}"),
        column: "object".to_owned(),
        found: "gone".to_owned(),
        expected: "whole".to_owned(),
    }
}

/// Reads everything that a manifest names; files that are `known` to be as it says are not read again.
async fn look(
    store: &Store,
    manifest: Manifest,
    known: &BTreeMap<String, Bytes>,
) -> Result<Pinned, Failure> {
    let mut checkpoints = BTreeMap::new();
    for entry in &manifest.shards {
        let (id, Some(seq)) = (entry.id(), entry.seq.map(Seq::new)) else { continue };
        if let Some(checkpoint) = read_whole(store, &id, seq).await? {
            checkpoints.insert(id, (seq, Arc::new(checkpoint)));
        }
    }
    let mut files = BTreeMap::new();
    let mut differences = Vec::new();
    let of_tables = manifest.files.iter().map(|(key, entry)| (key, &entry.file_hash));
    let of_history = manifest.history.values().map(|entry| (&entry.key, &entry.file_hash));
    for (key, expected) in of_tables.chain(of_history) {
        let mut of_file = Differences::at(table_of(key));
        let unchanged = known.get(key).filter(|bytes| hash(bytes) == *expected).cloned();
        let found = match unchanged {
            Some(bytes) => Ok(bytes),
            None => store.get(&Path::from(key.as_str())).await,
        };
        match found {
            Ok(bytes) => {
                let found = hash(&bytes);
                if found != *expected {
                    of_file.check(key, "file_hash", found, format!("{expected}{}", remedy(key)));
                }
                files.insert(key.clone(), bytes);
            }
            Err(error) if error.is_not_found() => {
                of_file.check(key, "file", "missing", format!("there{}", remedy(key)));
            }
            Err(error) => return Err(store_failure(&error)),
        }
        differences.extend(of_file.into_vec());
    }
    for key in strays(store, &manifest).await? {
        let mut of_file = Differences::at(table_of(&key));
        of_file.check_presence(&key, "file", true);
        differences.extend(of_file.into_vec());
    }
    Ok(Pinned { before: Vec::new(), checkpoints, files, differences, manifest })
}

/// What mends an object of the history. Why a table's file differs says more than that it does.
fn remedy(key: &str) -> &'static str {
    if key.starts_with("history/") {
        "; whoever publishes next, or a backfill, writes it again from tables/"
    } else {
        ""
    }
}

/// Files below `tables/` that the manifest does not name: a reader's glob would count them.
async fn strays(store: &Store, manifest: &Manifest) -> Result<Vec<String>, Failure> {
    let keys = table_files(store).await?.into_iter();
    Ok(keys.filter(|key| !manifest.files.contains_key(key)).collect())
}

/// The keys of all files below `tables/`.
async fn table_files(store: &Store) -> Result<Vec<String>, Failure> {
    let listed = store.list(&Path::from("tables")).await.map_err(|error| store_failure(&error))?;
    Ok(listed.iter().map(ToString::to_string).collect())
}

/// Files of tables that no publish names: a manifest is always made before its files.
fn unpublished(files: usize) -> Option<Difference> {
    (files > 0).then(|| Difference {
        place: "manifest".to_owned(),
        key: "publishes/".to_owned(),
        column: "object".to_owned(),
        found: format!("gone, and tables/ holds files ({files})"),
        expected: "whole".to_owned(),
    })
}

/// The table that a file belongs to: the folder below `tables/`; or that it is of the history.
pub(super) fn table_of(key: &str) -> &str {
    let mut folders = key.split('/');
    match folders.next() {
        Some("tables") => folders.next().unwrap_or(key),
        first => first.unwrap_or(key),
    }
}

pub(super) fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", parquet_file::file_hash(bytes))
}
