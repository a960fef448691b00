//! The published tables, read back into the oracle's terms and compared with it.
//!
//! Nothing of the writer is used but the layout that CONTRACT fixes: folders, columns and types.

mod columns;
mod differences;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use self::columns::{binaries, cells, counts, dates, instants, required, small, texts};
pub use self::differences::{Measures, merged};
use crate::oracle::{OracleCell, OracleKey, OracleShard};

/// Differences shown at most: the first ones tell what is wrong.
const SHOWN: usize = 40;

/// Topic and partition; later lives of a topic are written `topic#1`, `topic#2`.
pub type Shard = (String, i32);

/// What was expected of every shard of source `kafka`.
pub type OracleShards = BTreeMap<Shard, OracleShard>;

/// One row of `ledger`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `kafka` or `file`.
    pub source: String,
    /// Where the log was first read.
    pub first_offset: i64,
    /// The first offset not yet read.
    pub next_offset: i64,
    /// Records judged.
    pub consumed: i64,
    /// Of those, applied.
    pub applied: i64,
    /// Of those, duplicates.
    pub duplicates: i64,
    /// Of those, rejected.
    pub rejected: i64,
    /// Of those, tombstones.
    pub ignored: i64,
    /// Offsets that the log did not deliver.
    pub gaps: i64,
    /// Offsets that an operator gave up.
    pub lost: i64,
    /// Shard time, in microseconds since the epoch.
    pub watermark_micros: Option<i64>,
    /// `running`, `stalled` or `closed`.
    pub state: String,
    /// Why, where it is stalled.
    pub reason: Option<String>,
}

/// One row of `dead_letters`, in the order of its columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterRow {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's timestamp, in microseconds since the epoch.
    pub timestamp_micros: Option<i64>,
    /// The reason.
    pub reason: String,
    /// The field at fault.
    pub field: Option<String>,
    /// The value, where it was kept.
    pub payload: Option<Vec<u8>>,
}

/// One row of `publishes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRow {
    /// Its number.
    pub publish: i64,
    /// Shards in it.
    pub shards: i32,
    /// Records judged, over all shards.
    pub consumed: i64,
    /// Of those, rejected.
    pub rejected: i64,
    /// Cells.
    pub cells: i64,
}

/// The tables of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// `daily_rollups`.
    pub rollups: BTreeMap<OracleKey, OracleCell>,
    /// The column `status` of `daily_rollups`.
    pub statuses: BTreeMap<OracleKey, String>,
    /// `ledger`.
    pub ledger: BTreeMap<Shard, LedgerRow>,
    /// `dead_letters`, sorted.
    pub dead_letters: Vec<DeadLetterRow>,
    /// `publishes`, in the order of the file.
    pub publishes: Vec<PublishRow>,
}

impl Tables {
    /// Reads the tables of a store; those that were not published are empty. While somebody
    /// publishes, the files may be of two publishes.
    ///
    /// # Errors
    /// A file that is not as CONTRACT says, or a row that is there twice.
    pub fn read(store: &Path) -> Result<Self, String> {
        let mut tables = Self::default();
        for (path, batch) in batches(store, "daily_rollups")? {
            tables.take_rollups(&batch).map_err(|fault| at(&path, &fault))?;
        }
        for (path, batch) in batches(store, "ledger")? {
            tables.take_ledger(&batch).map_err(|fault| at(&path, &fault))?;
        }
        for (path, batch) in batches(store, "dead_letters")? {
            tables.take_dead_letters(&batch).map_err(|fault| at(&path, &fault))?;
        }
        for (path, batch) in batches(store, "publishes")? {
            tables.take_publishes(&batch).map_err(|fault| at(&path, &fault))?;
        }
        tables.dead_letters.sort();
        Ok(tables)
    }

    fn take_rollups(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (code, product) = (texts(batch, "prefecture_code")?, texts(batch, "product_code")?);
        let (dates, statuses) = (dates(batch, "business_date")?, texts(batch, "status")?);
        let cells = cells(batch)?;
        let mut last = None;
        for (row, cell) in cells.into_iter().enumerate() {
            let date = required(&dates, row)?;
            let key = (date, required(&code, row)?, required(&product, row)?);
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(format!("{key:?} does not come after the row before it"));
            }
            self.statuses.insert(key.clone(), required(&statuses, row)?);
            if self.rollups.insert(key.clone(), cell).is_some() {
                return Err(format!("{key:?} is in two files"));
            }
            last = Some(key);
        }
        Ok(())
    }

    fn take_ledger(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (sources, topics) = (texts(batch, "source")?, texts(batch, "topic")?);
        let (states, reasons) = (texts(batch, "state")?, texts(batch, "reason")?);
        let partitions = small(batch, "partition")?;
        let incarnations = small(batch, "incarnation")?;
        let watermarks = instants(batch, "watermark")?;
        let count = |name: &str, row: usize| Ok::<_, String>(counts(batch, name)?[row]);
        for row in 0..batch.num_rows() {
            let found = LedgerRow {
                source: required(&sources, row)?,
                first_offset: count("first_offset", row)?,
                next_offset: count("next_offset", row)?,
                consumed: count("consumed", row)?,
                applied: count("applied", row)?,
                duplicates: count("duplicates", row)?,
                rejected: count("rejected", row)?,
                ignored: count("ignored", row)?,
                gaps: count("gaps", row)?,
                lost: count("lost", row)?,
                watermark_micros: watermarks[row],
                state: required(&states, row)?,
                reason: reasons[row].clone(),
            };
            let shard = (life(required(&topics, row)?, incarnations[row]), partitions[row]);
            if self.ledger.insert(shard.clone(), found).is_some() {
                return Err(format!("{shard:?} is there twice"));
            }
        }
        Ok(())
    }

    fn take_dead_letters(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (topics, partitions) = (texts(batch, "topic")?, small(batch, "partition")?);
        let (reasons, fields) = (texts(batch, "reason")?, texts(batch, "field")?);
        let (offsets, times) = (counts(batch, "offset")?, instants(batch, "record_timestamp")?);
        let (payloads, incarnations) = (binaries(batch, "payload")?, small(batch, "incarnation")?);
        for row in 0..batch.num_rows() {
            self.dead_letters.push(DeadLetterRow {
                topic: life(required(&topics, row)?, incarnations[row]),
                partition: partitions[row],
                offset: offsets[row],
                timestamp_micros: times[row],
                reason: required(&reasons, row)?,
                field: fields[row].clone(),
                payload: payloads[row].clone(),
            });
        }
        Ok(())
    }

    fn take_publishes(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (numbers, shards) = (counts(batch, "publish")?, small(batch, "shards")?);
        let (consumed, rejected) = (counts(batch, "consumed")?, counts(batch, "rejected")?);
        let cells = counts(batch, "cells")?;
        for row in 0..batch.num_rows() {
            self.publishes.push(PublishRow {
                publish: numbers[row],
                shards: shards[row],
                consumed: consumed[row],
                rejected: rejected[row],
                cells: cells[row],
            });
        }
        Ok(())
    }
}

/// A topic in one of its lives.
fn life(topic: String, incarnation: i32) -> String {
    if incarnation == 0 { topic } else { format!("{topic}#{incarnation}") }
}

/// The files of a table by their paths below the store, with their rows as they are.
///
/// # Errors
/// A file that cannot be read, or holds rows of another month.
pub fn rows(store: &Path, table: &str) -> Result<Vec<(PathBuf, RecordBatch)>, String> {
    let below = |path: PathBuf| path.strip_prefix(store).map(Path::to_owned).unwrap_or(path);
    Ok(batches(store, table)?.into_iter().map(|(path, rows)| (below(path), rows)).collect())
}

/// Compares the tables of a store with the oracle.
///
/// # Errors
/// Every difference, one a line; or that the tables cannot be read.
pub fn compare(store: &Path, shards: &OracleShards) -> Result<(), String> {
    none_of(&Tables::read(store)?.differences(shards))
}

/// Nothing, if the list is empty.
///
/// # Errors
/// The list, one item a line, cut after some.
pub fn none_of(differences: &[String]) -> Result<(), String> {
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences[..differences.len().min(SHOWN)].join("\n");
    Err(format!("{} differences:\n{shown}", differences.len()))
}

/// Files below `tables` that a reader's glob could count besides the ones that CONTRACT names.
///
/// # Panics
/// When the folder cannot be read.
pub fn strays(store: &Path) -> Vec<PathBuf> {
    let root = store.join("tables");
    let mut found = files(&root);
    found.retain(|path| {
        let below = path.strip_prefix(&root).expect("it was found below");
        let parts: Vec<&str> = below.iter().filter_map(|part| part.to_str()).collect();
        !match parts.as_slice() {
            [_, file] => *file == "data.parquet",
            [_, month, file] => month.starts_with("business_month=") && *file == "data.parquet",
            _ => false,
        }
    });
    found
}

/// Every file below a folder, sorted; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn at(path: &Path, fault: &str) -> String {
    format!("{}: {fault}", path.display())
}

/// The rows of a table, file by file. Rows of a file by month must be of that month.
fn batches(store: &Path, table: &str) -> Result<Vec<(PathBuf, RecordBatch)>, String> {
    let mut found = Vec::new();
    for path in files(&store.join("tables").join(table)) {
        let batches = read_file(&path).map_err(|fault| at(&path, &fault))?;
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let month = folder.and_then(|name| name.strip_prefix("business_month="));
        for batch in batches {
            if let Some(month) = month.filter(|_| table == "daily_rollups") {
                let foreign = dates(&batch, "business_date")?
                    .into_iter()
                    .flatten()
                    .find(|date| !month.starts_with(&date[..date.len() - 2]));
                if let Some(date) = foreign {
                    return Err(at(&path, &format!("holds a row of {date}")));
                }
            }
            found.push((path.clone(), batch));
        }
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<Vec<RecordBatch>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| error.to_string())?
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}
