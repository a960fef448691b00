//! Published tables, read back as text and compared with the oracle.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{PATIENCE, Partition};
use crate::oracle::{OracleKey, OracleShard};
use crate::wait::holds_within;

/// A row as text: the column's name and its value, without the nulls. Instants are microseconds.
pub type Row = BTreeMap<String, String>;

/// Every regular file below a folder.
///
/// # Panics
/// When the folder cannot be read.
pub fn data_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            files.extend(data_files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The rows of a table, in the order of its files and within them; none where it is not published.
///
/// # Panics
/// When a file is no Parquet.
pub fn rows(store: &Path, table: &str) -> Vec<Row> {
    let files = data_files(&store.join("tables").join(table));
    let parquet = files.iter().filter(|path| path.ends_with("data.parquet"));
    let mut rows = Vec::new();
    for path in parquet {
        let file = File::open(path).expect("a published file stays");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is Parquet");
        for batch in reader.build().expect("it can be read") {
            add_rows(&batch.expect("a whole batch"), &mut rows);
        }
    }
    rows
}

fn add_rows(batch: &RecordBatch, rows: &mut Vec<Row>) {
    let first = rows.len();
    rows.resize(first + batch.num_rows(), Row::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let instants = column.as_any().downcast_ref::<TimestampMicrosecondArray>();
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options);
        for (index, row) in rows[first..].iter_mut().enumerate() {
            if column.is_null(index) {
                continue;
            }
            let text = match (instants, &formatter) {
                (Some(instants), _) => instants.value(index).to_string(),
                (None, Ok(formatter)) => formatter.value(index).to_string(),
                (None, Err(error)) => panic!("{}: {error}", field.name()),
            };
            row.insert(field.name().clone(), text);
        }
    }
}

/// Whether the published ledger says that every shard was read as far as the oracle did.
pub fn ledger_reached(store: &Path, judged: &BTreeMap<Partition, OracleShard>) -> bool {
    let published: BTreeMap<Partition, String> = rows(store, "ledger")
        .into_iter()
        .map(|row| (partition_of(&row), row["next_offset"].clone()))
        .collect();
    judged
        .iter()
        .all(|(partition, shard)| published.get(partition) == Some(&shard.next_offset.to_string()))
}

fn partition_of(row: &Row) -> Partition {
    (row["topic"].clone(), row["partition"].parse().expect("a partition is a number"))
}

/// Waits until the ledger has every record, then compares rollup, ledger and dead letters with the
/// oracle.
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn assert_published(store: &Path, judged: &BTreeMap<Partition, OracleShard>) {
    if !holds_within(PATIENCE, || ledger_reached(store, judged)) {
        let ledger: Vec<_> = rows(store, "ledger")
            .iter()
            .map(|row| (partition_of(row), row["next_offset"].clone()))
            .collect();
        panic!("the published ledger never had every record; it ends at {ledger:?}");
    }
    // The ledger is written after the tables that it accounts for, and files are replaced one by
    // one.
    assert_same("daily_rollups", &rollups(judged), &published_rollups(store));
    let (expected, mut found) = (dead_letters(judged), published_dead_letters(store));
    for (key, (timestamp, _)) in &mut found {
        // The event's own time stands in for a timestamp that a record lacks; the oracle leaves
        // that to the tables.
        *timestamp =
            timestamp.filter(|_| expected.get(key).is_none_or(|letter| letter.0.is_some()));
    }
    assert_same("dead_letters", &expected, &found);
    assert_same("ledger", &ledger(judged), &published_ledger(store));
}

/// Two tables by their keys; says only what differs.
#[track_caller]
fn assert_same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) {
    let missing: Vec<_> = expected.iter().filter(|(k, v)| found.get(k) != Some(v)).collect();
    let strange: Vec<_> = found.iter().filter(|(k, v)| expected.get(k) != Some(v)).collect();
    let shown = |rows: &[(&K, &V)]| format!("{:#?}", &rows[..rows.len().min(3)]);
    assert!(
        missing.is_empty() && strange.is_empty(),
        "{table}: {} rows of {} are missing or differ, {} should not be there; the oracle says\n{}\nthe table says\n{}",
        missing.len(),
        expected.len(),
        strange.len(),
        shown(&missing),
        shown(&strange),
    );
}

/// The measures of each cell, as text, summed over the shards.
fn rollups(judged: &BTreeMap<Partition, OracleShard>) -> BTreeMap<OracleKey, Row> {
    let mut sums: BTreeMap<OracleKey, BTreeMap<&str, i128>> = BTreeMap::new();
    for (key, cell) in judged.values().flat_map(|shard| &shard.cells) {
        let sum = sums.entry(key.clone()).or_default();
        for (name, value) in cell.measures() {
            *sum.entry(name).or_default() += value;
        }
    }
    let texts = |sum: BTreeMap<&str, i128>| {
        sum.into_iter()
            .map(|(name, value)| match name.strip_suffix("_fen") {
                Some(money) => (format!("{money}_yuan"), yuan(value)),
                None => (name.to_owned(), value.to_string()),
            })
            .collect()
    };
    sums.into_iter().map(|(key, sum)| (key, texts(sum))).collect()
}

fn yuan(fen: i128) -> String {
    let (sign, fen) = (if fen < 0 { "-" } else { "" }, fen.unsigned_abs());
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

fn published_rollups(store: &Path) -> BTreeMap<OracleKey, Row> {
    const NAMES: [&str; 8] = [
        "business_date",
        "prefecture_code",
        "prefecture_name",
        "province_code",
        "line_code",
        "product_code",
        "product_name",
        "status",
    ];
    let mut cells = BTreeMap::new();
    for mut row in rows(store, "daily_rollups") {
        let key =
            ["business_date", "prefecture_code", "product_code"].map(|name| row[name].clone());
        let key: OracleKey = key.into();
        row.retain(|name, _| !NAMES.contains(&name.as_str()));
        assert!(cells.insert(key.clone(), row).is_none(), "{key:?} has two rows");
    }
    cells
}

type Letter = (Option<i64>, String);

fn dead_letters(judged: &BTreeMap<Partition, OracleShard>) -> BTreeMap<(Partition, i64), Letter> {
    // The end of 9999 at UTC+08:00: a calendar of readers goes no further.
    const UNTABLED: i64 = (253_402_300_800 - 8 * 3_600) * 1_000_000;
    let mut letters = BTreeMap::new();
    for (partition, shard) in judged {
        for (offset, timestamp, reason, _) in &shard.rejects {
            let timestamp = timestamp.filter(|at| *at < UNTABLED);
            letters.insert((partition.clone(), *offset), (timestamp, reason.clone()));
        }
    }
    letters
}

fn published_dead_letters(store: &Path) -> BTreeMap<(Partition, i64), Letter> {
    let mut letters = BTreeMap::new();
    for row in rows(store, "dead_letters") {
        assert_eq!(row.get("payload"), None, "payloads are not kept unless asked for");
        let number = |text: &String| text.parse::<i64>().expect("a number");
        let key = (partition_of(&row), number(&row["offset"]));
        let letter = (row.get("record_timestamp").map(number), row["reason"].clone());
        assert!(letters.insert(key.clone(), letter).is_none(), "{key:?} has two rows");
    }
    letters
}

fn ledger(judged: &BTreeMap<Partition, OracleShard>) -> BTreeMap<Partition, Row> {
    let row = |shard: &OracleShard| {
        let counts = [
            ("first_offset", shard.first_offset),
            ("next_offset", shard.next_offset),
            ("consumed", shard.consumed),
            ("applied", shard.applied),
            ("duplicates", shard.duplicates),
            ("rejected", shard.rejected),
            ("ignored", shard.ignored),
            ("gaps", shard.gaps),
            ("lost", 0),
        ];
        let watermark = shard.watermark_micros.map(|at| ("watermark", at));
        let numbers = counts.into_iter().chain(watermark);
        let mut row: Row = numbers.map(|(name, n)| (name.to_owned(), n.to_string())).collect();
        row.insert("source".to_owned(), "kafka".to_owned());
        row.insert("state".to_owned(), "running".to_owned());
        row
    };
    judged.iter().map(|(partition, shard)| (partition.clone(), row(shard))).collect()
}

fn published_ledger(store: &Path) -> BTreeMap<Partition, Row> {
    let mut shards = BTreeMap::new();
    for mut row in rows(store, "ledger") {
        let partition = partition_of(&row);
        row.retain(|name, _| {
            !matches!(name.as_str(), "topic" | "partition" | "incarnation" | "digest")
        });
        assert!(shards.insert(partition.clone(), row).is_none(), "{partition:?} has two rows");
    }
    shards
}
