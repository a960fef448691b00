//! The published tables, read back into the oracle's terms and compared with it.
//!
//! Nothing of the writer is used but the layout that CONTRACT fixes: folders, columns and types.

mod columns;
mod differences;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use bytes::Bytes;
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

/// One row of `restatements`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RestatementRow {
    /// The publish that moved the cell.
    pub publish: i64,
    /// The cell.
    pub key: OracleKey,
    /// What the publish before showed.
    pub before: OracleCell,
    /// What this one shows.
    pub after: OracleCell,
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
    /// `restatements`, sorted.
    pub restatements: Vec<RestatementRow>,
}

impl Tables {
    /// Reads the tables of a store; those that were not published are empty. While somebody
    /// publishes, the files may be of two publishes.
    ///
    /// # Errors
    /// A file that is not as CONTRACT says, or a row that is there twice.
    pub fn read(store: &Path) -> Result<Self, String> {
        let mut found = Vec::new();
        for path in files(&store.join("tables")) {
            let content = fs::read(&path).map_err(|error| at(&path, &error.to_string()))?;
            found.push((path, Bytes::from(content)));
        }
        Self::of(&found)
    }

    /// The tables in these files, by path.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(files: &[(PathBuf, Bytes)]) -> Result<Self, String> {
        let mut tables = Self::default();
        for (path, content) in files {
            tables.take(path, content).map_err(|fault| at(path, &fault))?;
        }
        tables.dead_letters.sort();
        tables.restatements.sort();
        Ok(tables)
    }

    fn take(&mut self, path: &Path, content: &Bytes) -> Result<(), String> {
        let folders: Vec<&str> =
            path.parent().into_iter().flatten().filter_map(|part| part.to_str()).collect();
        let month = folders.last().and_then(|name| name.strip_prefix("business_month="));
        let table = folders.iter().rev().find(|name| !name.starts_with("business_month="));
        let take = match table {
            Some(&"daily_rollups") => Self::take_rollups,
            Some(&"ledger") => Self::take_ledger,
            Some(&"dead_letters") => Self::take_dead_letters,
            Some(&"publishes") => Self::take_publishes,
            Some(&"restatements") => Self::take_restatements,
            _ => return Ok(()),
        };
        for batch in read_file(content)? {
            if let Some(month) = month.filter(|_| table == Some(&"daily_rollups")) {
                refuse_other_months(&batch, month)?;
            }
            take(self, &batch)?;
        }
        Ok(())
    }

    fn take_rollups(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (code, product) = (texts(batch, "prefecture_code")?, texts(batch, "product_code")?);
        let (dates, statuses) = (dates(batch, "business_date")?, texts(batch, "status")?);
        let cells = cells(batch, "")?;
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

    fn take_restatements(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (code, product) = (texts(batch, "prefecture_code")?, texts(batch, "product_code")?);
        let (dates, publishes) = (dates(batch, "business_date")?, counts(batch, "publish")?);
        let cells = cells(batch, "_before")?.into_iter().zip(cells(batch, "_after")?);
        for (row, (before, after)) in cells.enumerate() {
            let key = (required(&dates, row)?, required(&code, row)?, required(&product, row)?);
            self.restatements.push(RestatementRow { publish: publishes[row], key, before, after });
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
/// A file that cannot be read.
pub fn rows(store: &Path, table: &str) -> Result<Vec<(PathBuf, RecordBatch)>, String> {
    let mut found = Vec::new();
    for path in files(&store.join("tables").join(table)) {
        let content = fs::read(&path).map_err(|error| at(&path, &error.to_string()))?;
        let below = path.strip_prefix(store).unwrap_or(&path).to_owned();
        let batches = read_file(&content.into()).map_err(|fault| at(&path, &fault))?;
        found.extend(batches.into_iter().map(|batch| (below.clone(), batch)));
    }
    Ok(found)
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

/// Rows of a file by month must be of that month.
fn refuse_other_months(batch: &RecordBatch, month: &str) -> Result<(), String> {
    let foreign = dates(batch, "business_date")?
        .into_iter()
        .flatten()
        .find(|date| !month.starts_with(&date[..date.len() - 2]));
    foreign.map_or(Ok(()), |date| Err(format!("holds a row of {date}")))
}

fn read_file(content: &Bytes) -> Result<Vec<RecordBatch>, String> {
    ParquetRecordBatchReaderBuilder::try_new(content.clone())
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| error.to_string())?
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}
