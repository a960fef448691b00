//! Altering a store by hand, as nobody should.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use postroad_aggregate::shard::ShardState;
use postroad_ingest::checkpoint::envelope::{Envelope, Seq};
use postroad_ingest::checkpoint::{ShardId, format};
use postroad_ingest::publish::manifest::Manifest;
use postroad_ingest::publish::parquet_file;
use postroad_ingest::verify::report::Report;
use postroad_schemas::reject::Reason;
use postroad_tests::mock::data_files;
use tempfile::TempDir;

use super::super::{FINANCE, PARCELS};

/// A store on disk: a copy to be altered, or one to be read.
pub(super) struct Store {
    root: PathBuf,
    _dir: Option<TempDir>,
}

impl Store {
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), _dir: None }
    }

    pub(super) fn copy(of: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        for file in data_files(of) {
            let to = root.join(file.strip_prefix(of).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        Self { root, _dir: Some(dir) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The objects of a shard's chain, oldest first.
    fn chain(&self, id: &ShardId) -> Vec<PathBuf> {
        data_files(&self.root.join(id.prefix().as_ref()))
    }

    /// Alters the newest checkpoint of a shard, with a checksum that is right again.
    pub(super) fn checkpoint(&self, id: &ShardId, alter: impl FnOnce(&mut ShardState)) {
        let path = self.chain(id).pop().unwrap();
        let seq = Seq::new(path.file_name().unwrap().to_str().unwrap().parse().unwrap());
        let bytes = Bytes::from(fs::read(&path).unwrap());
        let envelope = Envelope::decode(&bytes, seq).unwrap();
        let mut checkpoint = format::decode(&envelope.payload).unwrap();
        alter(&mut checkpoint.state);
        let payload = format::encode(&checkpoint).into();
        fs::write(&path, Envelope { payload, ..envelope }.encode()).unwrap();
    }

    fn manifest_path(&self) -> PathBuf {
        data_files(&self.root.join("publishes")).pop().unwrap()
    }

    /// The newest manifest.
    pub(super) fn manifest(&self) -> Manifest {
        Manifest::decode(&fs::read(self.manifest_path()).unwrap()).unwrap()
    }

    /// Alters the newest manifest, with a checksum that is right again.
    fn write_manifest(&self, alter: impl FnOnce(&mut Manifest)) {
        let mut manifest = self.manifest();
        alter(&mut manifest);
        fs::write(self.manifest_path(), manifest.encode()).unwrap();
    }

    /// The first file of a table.
    fn file(&self, table: &str) -> PathBuf {
        data_files(&self.root.join("tables").join(table)).remove(0)
    }

    fn key(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap().to_str().unwrap().to_owned()
    }

    /// The first object of the history of a kind: its place in the manifest, and its path.
    fn history(&self, kind: &str) -> (String, PathBuf) {
        let manifest = self.manifest();
        let (place, entry) =
            manifest.history.into_iter().find(|(place, _)| place.starts_with(kind)).unwrap();
        (place, self.root.join(entry.key))
    }

    /// Rewrites an object of the history, and its hash in the manifest.
    fn rewrite_history(&self, kind: &str, alter: impl FnOnce(&RecordBatch) -> RecordBatch) {
        let (place, path) = self.history(kind);
        let bytes = rewrite(&path, alter);
        self.write_manifest(|manifest| {
            let entry = manifest.history.get_mut(&place).unwrap();
            entry.file_hash = format!("{:032x}", parquet_file::file_hash(&bytes));
            entry.bytes = bytes.len() as u64;
        });
    }

    /// Rewrites the first file of a table, and if that is to be hidden, its hash in the manifest.
    pub(super) fn rewrite(
        &self,
        table: &str,
        alter: impl FnOnce(&RecordBatch) -> RecordBatch,
        hidden: bool,
    ) {
        let path = self.file(table);
        let bytes = rewrite(&path, alter);
        if hidden {
            let (key, hash) = (self.key(&path), parquet_file::file_hash(&bytes));
            self.write_manifest(|manifest| {
                manifest.files.get_mut(&key).unwrap().file_hash = format!("{hash:032x}");
            });
        }
    }
}

/// Rewrites a Parquet file, and returns its bytes.
fn rewrite(path: &Path, alter: impl FnOnce(&RecordBatch) -> RecordBatch) -> Bytes {
    let batch = parquet_file::decode(fs::read(path).unwrap().into()).unwrap();
    let bytes = parquet_file::encode(&alter(&batch), 1).unwrap();
    fs::write(path, &bytes).unwrap();
    bytes
}

/// Alters what no log brings back: a restatement, and the final cells that are kept for whoever
/// publishes next.
pub(super) fn check_history(verify: &dyn Fn(&Path) -> Report, sound: &Path) {
    let moved = |batch: &RecordBatch| add_one(batch, "volume_before");
    check(
        verify,
        sound,
        |store| store.rewrite("restatements", moved, true),
        &[&["restatements ", "volume_before is ", ", expected "]],
    );
    let kept = |batch: &RecordBatch| add_one(batch, "scans");
    check(
        verify,
        sound,
        |store| store.rewrite_history("history/final_cells/", kept),
        &[&["history/final_cells/business_month=", "scans is ", ", expected "]],
    );
    check(
        verify,
        sound,
        |store| fs::remove_file(store.history("history/final_cells/").1).unwrap(),
        &[&["history history/final_cells/", "file is missing"]],
    );
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of(name).unwrap()] = column;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// Adds one to the first number of a column.
pub(super) fn add_one(batch: &RecordBatch, name: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    let mut values = column.values().to_vec();
    values[0] += 1;
    with_column(batch, name, Arc::new(Int64Array::from(values)))
}

/// Moves the first instant of a column by a microsecond.
fn later(batch: &RecordBatch, name: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
    let mut values: Vec<_> = column.iter().collect();
    values[0] = values[0].map(|at| at + 1);
    let column = TimestampMicrosecondArray::from(values).with_timezone("UTC");
    with_column(batch, name, Arc::new(column))
}

/// Replaces the first text of a column.
fn replace(batch: &RecordBatch, name: &str, text: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    let mut values: Vec<_> = column.iter().collect();
    values[0] = Some(text);
    with_column(batch, name, Arc::new(StringArray::from(values)))
}

/// Alters one thing of a store, and expects these differences and no others: each by words of its
/// line.
#[track_caller]
fn check(
    verify: &dyn Fn(&Path) -> Report,
    sound: &Path,
    alter: impl FnOnce(&Store),
    expect: &[&[&str]],
) {
    let store = Store::copy(sound);
    alter(&store);
    let found: Vec<_> = verify(store.root()).differences().map(ToString::to_string).collect();
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for (line, words) in found.iter().zip(expect) {
        for word in *words {
            assert!(line.contains(word), "{word:?} is not in {line:?}");
        }
    }
}

/// Alters one thing after the other, each in a store of its own.
pub(super) fn check_all(verify: &dyn Fn(&Path) -> Report, sound: &Path) {
    let check = |alter: &dyn Fn(&Store), expect: &[&[&str]]| check(verify, sound, alter, expect);
    tables(&check);
    checkpoints(&check);
    manifests(&check);
}

type Check<'a> = &'a dyn Fn(&dyn Fn(&Store), &[&[&str]]);

fn tables(check: Check<'_>) {
    // One published figure, openly and with the manifest's hash made to fit.
    let figure = |batch: &RecordBatch| add_one(batch, "volume");
    let of_row: &[&str] = &["daily_rollups 2", "volume is ", ", expected "];
    check(
        &|store| store.rewrite("daily_rollups", figure, false),
        &[&["daily_rollups tables/", "file_hash is "], of_row],
    );
    check(&|store| store.rewrite("daily_rollups", figure, true), &[of_row]);
    // One dead letter, one ledger row.
    let reason = |batch: &RecordBatch| replace(batch, "reason", "clock_ahead");
    check(
        &|store| store.rewrite("dead_letters", reason, true),
        &[&["dead_letters ", "reason is clock_ahead, expected "]],
    );
    let digest = |batch: &RecordBatch| replace(batch, "digest", "0");
    check(
        &|store| store.rewrite("ledger", digest, true),
        &[&["ledger kafka finance.transactions 0 0: digest is 0, expected "]],
    );
    // An instant.
    let watermark = |batch: &RecordBatch| later(batch, "watermark");
    check(
        &|store| store.rewrite("ledger", watermark, true),
        &[&["ledger kafka finance.transactions 0 0: watermark is 2021-", ", expected 2021-"]],
    );
    // A row less.
    check(
        &|store| store.rewrite("daily_rollups", |batch| batch.slice(1, batch.num_rows() - 1), true),
        &[&["daily_rollups 2", "row is missing"]],
    );
    // A file that a glob would count, one that is gone, and one that is none.
    check(
        &|store| {
            let file = store.file("daily_rollups");
            fs::copy(&file, file.with_file_name("copy.parquet")).unwrap();
        },
        &[&["daily_rollups tables/", "copy.parquet: file is there, expected none"]],
    );
    check(
        &|store| fs::remove_file(store.file("ledger")).unwrap(),
        &[&["ledger tables/ledger/data.parquet: file is missing"]],
    );
    check(
        &|store| fs::write(store.file("ledger"), "no table").unwrap(),
        &[&["ledger tables/", "file_hash"], &["ledger tables/", "content is unreadable"]],
    );
}

fn checkpoints(check: Check<'_>) {
    let (parcels, finance) = (ShardId::kafka(PARCELS, 1), ShardId::kafka(FINANCE, 0));
    check(
        &|store| {
            store.checkpoint(&parcels, |state| {
                let key = *state.cells.keys().min().unwrap();
                state.cells.get_mut(&key).unwrap().volume += 1;
            });
        },
        &[&["checkpoint ", " of parcel.events[1] 2", "volume is ", ", expected "]],
    );
    // One of the chain is gone, and what comes after it continued it.
    check(
        &|store| {
            let chain = store.chain(&parcels);
            assert!(chain.len() > 2, "{chain:?}");
            fs::remove_file(&chain[chain.len() - 2]).unwrap();
        },
        &[&["checkpoints parcel.events[1]: chain is broken: nothing stands between "]],
    );
    // What the records were judged by is not what it was, so that nothing can be judged again.
    let unknown = |shard: &str| format!("rules {shard}: object is rules/");
    let unknown =
        ["finance.transactions[0]", "finance.transactions[1]", PARCEL_0, PARCEL_1].map(unknown);
    let why = "its content is not what its name says";
    let unknown = unknown.each_ref().map(|line| [line.as_str(), why]);
    check(
        &|store| {
            let rules = data_files(&store.root.join("rules")).remove(0);
            let text = fs::read_to_string(&rules).unwrap();
            fs::write(&rules, text.replacen(": 72", ": 71", 1)).unwrap();
        },
        &unknown.each_ref().map(|words| &words[..]),
    );
    // The balance of the account is lost with the event.
    check(
        &|store| {
            store.checkpoint(&finance, |state| {
                let key = *state.cells.keys().max().unwrap();
                state.cells.get_mut(&key).unwrap().events += 1;
            });
        },
        &[
            &["checkpoint ", " of finance.transactions[0]: account is invariant I3"],
            &["checkpoint ", " of finance.transactions[0] 2", "events is "],
        ],
    );
    check(
        &|store| {
            store.checkpoint(&parcels, |state| {
                let letter = state.dead_letters.iter_mut().find(|l| l.reason == Reason::Malformed);
                letter.unwrap().reason = Reason::TooLarge;
            });
        },
        &[&[
            "of parcel.events[1] dead letter at offset ",
            "reason is too_large, expected malformed",
        ]],
    );
    check(
        &|store| store.checkpoint(&parcels, |state| state.ledger.digest ^= 1),
        &[&["of parcel.events[1] ledger: digest is "]],
    );
    // Not even the bytes are whole: of an older one, and of the published one. What was judged by a
    // clock after the one before it is lost with it, so it is not made again by guessing.
    let damaged: &[&str] =
        &["of finance.transactions[0]: object is damaged: its checksum does not match"];
    let behind: &[&str] = &["checkpoints finance.transactions[0]: next_offset is "];
    let lost: &[&str] = &["manifest finance.transactions[0]: checkpoint ", " is lost"];
    for (place, expect) in [(0, &[damaged][..]), (usize::MAX, &[damaged, behind, lost])] {
        check(
            &|store| {
                let chain = store.chain(&finance);
                let path = &chain[place.min(chain.len() - 1)];
                let mut bytes = fs::read(path).unwrap();
                bytes[70] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            expect,
        );
    }
}

const PARCEL_0: &str = "parcel.events[0]";
const PARCEL_1: &str = "parcel.events[1]";

fn manifests(check: Check<'_>) {
    // One in the middle: the row of `publishes` that shows it goes unproved.
    check(
        &|store| {
            let manifests = data_files(&store.root.join("publishes"));
            assert!(manifests.len() > 2, "{manifests:?}");
            fs::remove_file(&manifests[manifests.len() / 2]).unwrap();
        },
        &[&["manifest of publish ", ": object is gone, expected whole"]],
    );
    // Days called complete and final that are not.
    check(
        &|store| {
            store.write_manifest(|manifest| {
                manifest.complete_through = manifest.complete_through.map(|day| day.plus_days(1));
                manifest.final_through = manifest.final_through.map(|day| day.plus_days(2));
            });
        },
        &[
            &["manifest: complete_through is \"2", ", expected "],
            &["manifest: final_through is \"2", ", expected "],
        ],
    );
    // Nothing says any more what the tables ought to hold.
    check(
        &|store| fs::remove_dir_all(store.root().join("publishes")).unwrap(),
        &[&["manifest publishes/: object is gone, and tables/ holds files"]],
    );
    check(
        &|store| {
            let key = store.key(&store.file("daily_rollups"));
            store.write_manifest(|manifest| {
                manifest.files.get_mut(&key).unwrap().file_hash = "0".repeat(32);
            });
        },
        &[&[
            "daily_rollups tables/daily_rollups/business_month=2",
            "file_hash is ",
            "expected 000",
        ]],
    );
    check(
        &|store| {
            store.write_manifest(|manifest| manifest.totals.applied += 1);
        },
        &[&["manifest totals: applied is "]],
    );
    // It does not say what the checkpoint says that it shows.
    check(
        &|store| {
            store.write_manifest(|manifest| manifest.shards[0].next_offset = Some(7));
        },
        &[&["manifest finance.transactions[0]: next_offset is 7, expected "]],
    );
    check(
        &|store| {
            let path = store.manifest_path();
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replacen("\"applied\":", "\"applied\":1", 1)).unwrap();
        },
        &[&["manifest of publish ", "object is damaged: ", "checksum"]],
    );
}
