//! The published tables against what the shards make: the publish is drafted again, by the same pure
//! function as ever, and every file is compared with it row by row and column by column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::errors::ParquetError;
use postroad_schemas::tables::Table;
use postroad_schemas::units::Timestamp;
use serde_json::Value;

use super::compare::{Difference, Differences, compare_cells, sides};
use super::horizon::horizon_of;
use super::lights::Uncompared;
use super::pinned::{Pinned, table_of};
use crate::checkpoint::ShardId;
use crate::config::IndicatorsConfig;
use crate::inspect::grid::{cell, instant, readable};
use crate::publish::draft::{Draft, DraftInput, Earlier, Loaded, draft, file_key, merge, month_of};
use crate::publish::indicators::{Frozen, Known};
use crate::publish::manifest::{HISTORY_SINCE, MANIFESTS_KEPT, Manifest};
use crate::publish::parquet_file::{decode, decode_untrusted};
use crate::publish::restatements::Before;
use crate::publish::{PublishError, PublishSettings, history, rows};

/// One table of a publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableReport {
    /// Files that the manifest names.
    pub files: usize,
    /// Their rows.
    pub rows: usize,
    /// Of those, rows that there is nothing to hold against.
    pub uncompared: usize,
    /// What differs, in files, rows and the manifest's word on them.
    pub differences: usize,
}

/// What comparing the tables has shown.
#[derive(Debug, Default)]
pub struct TablesProof {
    /// By name of table.
    pub tables: BTreeMap<String, TableReport>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Whether names could not be compared, because the reference data at hand are not those of the
    /// publish.
    pub other_names: bool,
    /// Frozen days of `indicators` that are kept nowhere.
    pub lost_days: usize,
}

/// Compares a publish with what these shards make. Of the `without_phase`, only the log has told the
/// state; what their checkpoints said of it is not known.
pub(super) fn compare_tables(
    pinned: &Pinned,
    shards: Vec<Loaded>,
    without_phase: &BTreeSet<String>,
    settings: &PublishSettings,
) -> Result<TablesProof, PublishError> {
    let manifest = &pinned.manifest;
    let mut differences = pinned.differences.clone();
    let other_names = settings.reference.version != manifest.reference;
    let (uncompared, frozen) = Uncompared::of(pinned, other_names);
    let drafted = draft_again(pinned, shards, frozen, settings, &mut differences)?;
    differences.extend(compare_manifests(manifest, &drafted.manifest));
    differences.extend(compare_final_cells(pinned, &drafted));
    let mut tables: BTreeMap<String, TableReport> = BTreeMap::new();
    for (key, expected) in &drafted.files {
        let table = table_of(key);
        let Some(found) = pinned.files.get(key) else { continue };
        let report = tables.entry(table.to_owned()).or_default();
        report.files += 1;
        match (decode_untrusted(found.clone()), decode(expected.clone())) {
            (Ok(found), Ok(expected)) => {
                report.rows += found.num_rows();
                report.uncompared += uncompared.rows(table, &found);
                differences.extend(compare_batches(table, &found, &expected));
            }
            (Err(error), _) | (_, Err(error)) => {
                differences.extend(unreadable(table, key, &error));
            }
        }
    }
    // Manifests that were forgotten while these were read, and those that are gone or damaged, which is
    // said of them, are no reason to complain of their rows.
    let known: BTreeSet<u64> = pinned.before.iter().map(|before| before.publish).collect();
    let is_unknown = |key: &str| {
        let publish = key.parse::<u64>();
        publish.is_ok_and(|publish| publish < manifest.publish && !known.contains(&publish))
    };
    let rows_unknown = (known.len() as u64 + 1) < manifest.publish.min(MANIFESTS_KEPT as u64);
    let publishes = file_key(Table::Publishes, None);
    differences.retain(|difference| {
        let Difference { place, key, column, .. } = difference;
        let about_phase = place == "ledger" && matches!(&**column, "state" | "reason");
        !(uncompared.covers(difference)
            || about_phase && without_phase.contains(key)
            || place == "publishes" && is_unknown(key)
            || rows_unknown && *key == publishes && column == "rows")
    });
    for difference in &differences {
        if let Some(report) = tables.get_mut(&difference.place) {
            report.differences += 1;
        }
    }
    let lost_days = uncompared.lost_days;
    Ok(TablesProof { tables, differences, other_names, lost_days })
}

/// Drafts the publish once more, every file of it. What it moved is not worked out again, which takes
/// the publish before: its restatements are taken from the history, their other copy.
fn draft_again(
    pinned: &Pinned,
    shards: Vec<Loaded>,
    frozen: Frozen,
    settings: &PublishSettings,
    differences: &mut Vec<Difference>,
) -> Result<Draft, PublishError> {
    let manifest = &pinned.manifest;
    let last = manifest.publish.checked_sub(1).filter(|before| *before > 0).map(|publish| {
        let (files, history) = (BTreeMap::new(), BTreeMap::new());
        Arc::new(Manifest { publish, files, history, final_through: None, ..manifest.clone() })
    });
    // The lights of a publish are judged by what decided them then.
    let lights = manifest.indicators.map_or(settings.indicators.settings, |entry| entry.settings);
    let input = DraftInput {
        shards,
        horizon: horizon_of(pinned, settings).unwrap_or_else(|| manifest.horizon()),
        reference: Arc::clone(&settings.reference),
        indicators: IndicatorsConfig { settings: lights, ..settings.indicators },
        known: Known::default(),
        retention_days: settings.retention_days,
        last,
        manifests: pinned.before.clone(),
        damaged: BTreeSet::new(),
        nonce: 0,
        now: manifest.published_at,
    };
    let mut restatements = BTreeMap::new();
    let months = manifest.files.keys().filter_map(|key| month_of(Table::Restatements, key));
    for month in months {
        let place = history::restatements_place(month);
        let kept = manifest.history.get(&place).and_then(|entry| pinned.files.get(&entry.key));
        match kept.map(|bytes| decode_untrusted(bytes.clone())) {
            Some(Ok(batch)) => {
                restatements.insert(month, rows::read_restatements(&batch).unwrap_or_default());
            }
            Some(Err(error)) => differences.extend(unreadable("history", &place, &error)),
            None => {}
        }
    }
    let merged = merge(&input, Before::default());
    draft(&input, merged, Earlier { restatements, frozen })
}

/// Compares the final cells that a publish has kept, for whoever publishes next, with what it shows.
fn compare_final_cells(pinned: &Pinned, drafted: &Draft) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (key, expected) in &drafted.objects {
        let Some((place, _)) = key.rsplit_once('/') else { continue };
        let kept = pinned.manifest.history.get(place);
        let Some(found) = kept.and_then(|entry| pinned.files.get(&entry.key)) else { continue };
        let cells = |bytes: &Bytes| {
            let cells =
                decode_untrusted(bytes.clone()).ok().as_ref().and_then(rows::read_daily_rollups);
            cells.map(|cells| cells.into_iter().collect::<BTreeMap<_, _>>())
        };
        let Some(expected) = cells(expected) else { continue };
        let mut of_month = Differences::at(place);
        match cells(found) {
            Some(found) => compare_cells(&mut of_month, &found, &expected),
            None => of_month.check("", "content", "unreadable", "cells"),
        }
        differences.extend(of_month.into_vec());
    }
    differences
}

fn unreadable(table: &str, key: &str, error: &ParquetError) -> Vec<Difference> {
    let mut of_file = Differences::at(table);
    of_file.check(key, "content", format!("unreadable ({error})"), "a table");
    of_file.into_vec()
}

/// Compares what a manifest says with what it would say today. Who wrote a file when, and how its
/// rows were laid out in memory, is left out.
fn compare_manifests(found: &Manifest, expected: &Manifest) -> Vec<Difference> {
    const EXCEPT: [&str; 5] = ["format", "shards", "totals", "files", "history"];
    let mut differences = Differences::at("manifest");
    let value =
        |manifest: &Manifest| serde_json::to_value(manifest).expect("a plain struct serialises");
    let (top_found, top_expected) = (value(found), value(expected));
    compare_fields(&mut differences, "", &top_found, &top_expected, &EXCEPT);
    let totals = (&top_found["totals"], &top_expected["totals"]);
    compare_fields(&mut differences, "totals", totals.0, totals.1, &[]);
    let entries = |manifest: &Manifest| -> BTreeMap<String, Value> {
        let entry = |entry| serde_json::to_value(entry).expect("a plain struct serialises");
        manifest.shards.iter().map(|shard| (shard.id().to_string(), entry(shard))).collect()
    };
    let (found_entries, expected_entries) = (entries(found), entries(expected));
    for (shard, found, expected) in sides(found_entries.iter(), expected_entries.iter()) {
        match (found, expected) {
            (Some(found), Some(expected)) => {
                compare_fields(&mut differences, shard, found, expected, &[]);
            }
            (found, _) => differences.check_presence(shard, "shard", found.is_some()),
        }
    }
    for (key, found, expected) in sides(found.files.iter(), expected.files.iter()) {
        match (found, expected) {
            (Some(found), Some(expected)) => {
                differences.check(key, "rows", found.rows.to_string(), expected.rows.to_string());
            }
            (found, _) => differences.check_presence(key, "file", found.is_some()),
        }
    }
    if found.format >= HISTORY_SINCE {
        for (place, found, expected) in sides(found.history.iter(), expected.history.iter()) {
            match (found, expected) {
                (Some(found), Some(expected)) => {
                    let rows = (found.rows.to_string(), expected.rows.to_string());
                    differences.check(place, "rows", rows.0, rows.1);
                }
                (found, _) => differences.check_presence(place, "object", found.is_some()),
            }
        }
    }
    differences.into_vec()
}

fn compare_fields(
    differences: &mut Differences<'_>,
    key: &str,
    found: &Value,
    expected: &Value,
    except: &[&str],
) {
    let (Some(found), Some(expected)) = (found.as_object(), expected.as_object()) else { return };
    for (column, found, expected) in sides(found.iter(), expected.iter()) {
        if !except.contains(&column.as_str()) {
            let text =
                |side: Option<&Value>| readable(column, side.unwrap_or(&Value::Null)).to_string();
            differences.check(key, column, text(found), text(expected));
        }
    }
}

/// The columns by which the rows of a table are known, in the order of a key.
fn key_columns(table: &str) -> &'static [&'static str] {
    match table {
        "daily_rollups" => &["business_date", "prefecture_code", "product_code"],
        "restatements" => &["publish", "business_date", "prefecture_code", "product_code"],
        "ledger" => &["source", "topic", "partition", "incarnation"],
        "dead_letters" => &["topic", "partition", "incarnation", "offset"],
        "publishes" => &["publish"],
        "prefectures" => &["prefecture_code"],
        "products" => &["product_code"],
        "calendar" => &["business_date"],
        "indicators" => &[
            "as_of_date",
            "level",
            "prefecture_code",
            "line_code",
            "product_code",
            "period",
            "measure",
            "comparison",
        ],
        _ => &[],
    }
}

/// How the differences of `ledger` name a shard.
pub(super) fn ledger_key(id: &ShardId) -> String {
    let ShardId { source, topic, partition, incarnation } = id;
    format!("{} {topic} {partition} {incarnation}", source.as_str())
}

/// Compares two batches of one table: columns by name and type, rows by key, values as they are.
fn compare_batches(table: &str, found: &RecordBatch, expected: &RecordBatch) -> Vec<Difference> {
    let mut differences = Differences::at(table);
    let types = |batch: &RecordBatch| -> BTreeMap<String, String> {
        let fields = batch.schema_ref().fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().to_string())).collect()
    };
    let (found_types, expected_types) = (types(found), types(expected));
    if found_types == expected_types && found.columns() == expected.columns() {
        return Vec::new();
    }
    let mut columns = Vec::new();
    for (column, found_type, expected_type) in sides(found_types.iter(), expected_types.iter()) {
        let text = |side: Option<&String>| side.map_or("none", String::as_str).to_owned();
        differences.check(column, "type", text(found_type), text(expected_type));
        if found_type == expected_type {
            columns.push(column.as_str());
        }
    }
    let (found, expected) = (Rows::of(table, found), Rows::of(table, expected));
    for (key, found_rows, expected_rows) in sides(found.by_key.iter(), expected.by_key.iter()) {
        let rows = |side: Option<&Vec<usize>>| side.cloned().unwrap_or_default();
        let (found_rows, expected_rows) = (rows(found_rows), rows(expected_rows));
        for (found_row, expected_row) in found_rows.iter().zip(&expected_rows) {
            for column in &columns {
                if found.value(column, *found_row) == expected.value(column, *expected_row) {
                    continue;
                }
                let values = (found.text(column, *found_row), expected.text(column, *expected_row));
                if *column == "payload" || values.0 == values.1 {
                    differences.check(key, column, "another value", "the record's");
                } else {
                    differences.check(key, column, values.0, values.1);
                }
            }
        }
        for _ in expected_rows.len()..found_rows.len() {
            differences.check_presence(key, "row", true);
        }
        for _ in found_rows.len()..expected_rows.len() {
            differences.check_presence(key, "row", false);
        }
    }
    differences.into_vec()
}

/// A batch and its rows by key.
struct Rows<'a> {
    batch: &'a RecordBatch,
    by_key: BTreeMap<String, Vec<usize>>,
}

impl<'a> Rows<'a> {
    fn of(table: &str, batch: &'a RecordBatch) -> Self {
        let mut rows = Self { batch, by_key: BTreeMap::new() };
        let columns = key_columns(table);
        let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            let key: Vec<String> = columns.iter().map(|column| rows.text(column, row)).collect();
            let key = if key.is_empty() { format!("row {row}") } else { key.join(" ") };
            by_key.entry(key).or_default().push(row);
        }
        rows.by_key = by_key;
        rows
    }

    /// A value, to be compared.
    fn value(&self, column: &str, row: usize) -> Option<ArrayRef> {
        self.batch.column_by_name(column).map(|column| column.slice(row, 1))
    }

    /// A value as text, for keys and for people. A payload's is never shown.
    fn text(&self, column: &str, row: usize) -> String {
        let Some(column) = self.batch.column_by_name(column) else { return "none".to_owned() };
        if column.is_null(row) {
            return "null".to_owned();
        }
        if *column.data_type() == DataType::Binary {
            return format!("{:?}", column.as_binary::<i32>().value(row));
        }
        // Arrow's own formatter knows no zones without a database of them.
        if let Some(instants) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            let at = Timestamp::from_micros(instants.value(row));
            return cell(&instant(Some(at)));
        }
        let options = FormatOptions::default();
        match ArrayFormatter::try_new(column.as_ref(), &options) {
            Ok(formatter) => formatter.value(row).to_string(),
            Err(error) => format!("unreadable ({error})"),
        }
    }
}

#[cfg(test)]
mod tests;
