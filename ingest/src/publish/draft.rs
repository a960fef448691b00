//! The pure part of a publish: shards in, a manifest and the files that changed out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use postroad_aggregate::days::Horizon;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::Codebook;
use postroad_schemas::tables::Table;
use postroad_schemas::units::{BusinessDay, Span, Timestamp};

use super::manifest::{FileEntry, MANIFEST_FORMAT, MANIFESTS_KEPT, Manifest, ShardEntry, Totals};
use super::{PublishError, parquet_file, rows};
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::{Checkpoint, ShardId};

/// A shard, with its newest checkpoint where it has one.
pub type Loaded = (ShardId, Option<(Seq, Arc<Checkpoint>)>);

/// Everything that a publish is made from.
#[derive(Debug)]
pub struct DraftInput {
    /// The shards that it holds, or waits for.
    pub shards: Vec<Loaded>,
    /// Which days are complete and final.
    pub horizon: Horizon,
    /// Names.
    pub codebook: Arc<Codebook>,
    /// How many days after it was judged a dead letter is published.
    pub retention_days: u32,
    /// The publish before.
    pub last: Option<Arc<Manifest>>,
    /// The newest manifests, ascending, the one before included.
    pub history: Vec<Arc<Manifest>>,
    /// Keys of files that have to be written again whatever their rows.
    pub damaged: BTreeSet<String>,
    /// When the publish is made.
    pub now: Timestamp,
}

/// A publish that is ready to be committed.
#[derive(Debug)]
pub struct Draft {
    /// What it says.
    pub manifest: Manifest,
    /// The files whose rows changed, by key.
    pub files: Vec<(String, Bytes)>,
    /// The merged cells.
    pub rollup: Rollup,
}

impl DraftInput {
    /// Whether readers would see no difference to an earlier publish.
    pub fn shows_the_same_as(&self, last: &Manifest) -> bool {
        self.entries() == last.shards
            && self.horizon == last.horizon()
            && reference_hash(&self.codebook) == last.reference
            && self.dead_letters() == last.dead_letters
    }

    /// The first moment of judging that retention still keeps, inclusive.
    fn oldest_kept(&self) -> Timestamp {
        self.now - Span::hours(self.retention_days.saturating_mul(24))
    }

    /// How many dead letters retention keeps.
    fn dead_letters(&self) -> u64 {
        let oldest = self.oldest_kept();
        self.checkpoints().iter().map(|shard| retained(shard, oldest).count() as u64).sum()
    }

    fn entries(&self) -> Vec<ShardEntry> {
        let entry = |(id, found): &Loaded| {
            let found = found.as_ref().map(|(seq, checkpoint)| (seq.get(), checkpoint.as_ref()));
            ShardEntry::new(id, found)
        };
        self.shards.iter().map(entry).collect()
    }

    fn checkpoints(&self) -> Vec<&Checkpoint> {
        self.shards.iter().filter_map(|(_, found)| Some(found.as_ref()?.1.as_ref())).collect()
    }
}

/// Merges the shards and encodes every file whose rows differ from the publish before.
///
/// # Errors
/// A sum that its column cannot hold.
pub fn draft(input: &DraftInput) -> Result<Draft, PublishError> {
    let checkpoints = input.checkpoints();
    let mut rollup = Rollup::default();
    for checkpoint in &checkpoints {
        rollup.add(&checkpoint.state.cells);
    }
    let mut manifest = Manifest {
        format: MANIFEST_FORMAT,
        publish: input.last.as_ref().map_or(1, |last| last.publish + 1),
        published_at: input.now,
        shards: input.entries(),
        totals: totals(&checkpoints, &rollup),
        dead_letters: input.dead_letters(),
        complete_through: input.horizon.complete_through,
        final_through: input.horizon.final_through,
        reference: reference_hash(&input.codebook),
        files: BTreeMap::new(),
    };
    let mut files =
        Files { input, publish: manifest.publish, entries: BTreeMap::new(), changed: Vec::new() };
    files.daily_rollups(&rollup)?;
    files.dead_letters(&checkpoints)?;
    files.calendar(&rollup)?;
    files.add(&file_key(Table::Prefectures, None), &rows::prefectures(&input.codebook))?;
    files.add(&file_key(Table::Products, None), &rows::products(&input.codebook))?;
    files.add(&file_key(Table::Ledger, None), &rows::ledger(&checkpoints))?;
    let mut history = input.history.clone();
    history.push(Arc::new(manifest.clone()));
    let kept = history.len().saturating_sub(MANIFESTS_KEPT);
    files.add(&file_key(Table::Publishes, None), &rows::publishes(&history[kept..]))?;
    manifest.files = files.entries;
    Ok(Draft { manifest, files: files.changed, rollup })
}

/// Collects the files of a publish, and encodes those that changed.
struct Files<'a> {
    input: &'a DraftInput,
    publish: u64,
    entries: BTreeMap<String, FileEntry>,
    changed: Vec<(String, Bytes)>,
}

impl Files<'_> {
    fn add(&mut self, key: &str, batch: &RecordBatch) -> Result<(), PublishError> {
        let rows_hash = format!("{:032x}", parquet_file::rows_hash(batch));
        let before = self.input.last.as_ref().and_then(|last| last.files.get(key));
        let entry = match before {
            Some(entry) if entry.rows_hash == rows_hash && !self.input.damaged.contains(key) => {
                entry.clone()
            }
            _ => {
                let bytes = parquet_file::encode(batch, self.publish)
                    .map_err(|error| PublishError::Encode(format!("{key}: {error}")))?;
                let file_hash = format!("{:032x}", parquet_file::file_hash(&bytes));
                self.changed.push((key.to_owned(), bytes));
                let rows = batch.num_rows() as u64;
                FileEntry { publish: self.publish, rows, rows_hash, file_hash }
            }
        };
        self.entries.insert(key.to_owned(), entry);
        Ok(())
    }

    fn daily_rollups(&mut self, rollup: &Rollup) -> Result<(), PublishError> {
        let mut months: BTreeMap<BusinessDay, Vec<(&CellKey, &Measures)>> = BTreeMap::new();
        for (key, measures) in rollup.cells() {
            months.entry(key.day.month_start()).or_default().push((key, measures));
        }
        for (month, cells) in months {
            let batch = rows::daily_rollups(&cells, &self.input.codebook, &self.input.horizon)?;
            self.add(&file_key(Table::DailyRollups, Some(month)), &batch)?;
        }
        Ok(())
    }

    fn dead_letters(&mut self, checkpoints: &[&Checkpoint]) -> Result<(), PublishError> {
        let mut months: BTreeMap<Option<BusinessDay>, Vec<(&ShardId, &DeadLetter)>> =
            BTreeMap::new();
        let oldest = self.input.oldest_kept();
        let mut letters: Vec<_> =
            checkpoints.iter().flat_map(|shard| retained(shard, oldest)).collect();
        letters.sort_by_key(|(id, letter)| (*id, letter.offset));
        for (id, letter) in letters {
            let month = letter.timestamp.filter(|at| is_tabled(*at));
            let month = month.map(|at| at.business_day().month_start());
            months.entry(month).or_default().push((id, letter));
        }
        for (month, letters) in months {
            let key = month
                .map_or_else(unknown_month_key, |month| file_key(Table::DeadLetters, Some(month)));
            self.add(&key, &rows::dead_letters(&letters))?;
        }
        Ok(())
    }

    /// Whole months, from the first with a rollup to the last.
    fn calendar(&mut self, rollup: &Rollup) -> Result<(), PublishError> {
        let Some((first, last)) = rollup.day_range() else { return Ok(()) };
        let mut month = first.month_start();
        while month <= last {
            let next = month.plus_days(31).month_start();
            let batch = rows::calendar(month, next, &self.input.horizon);
            self.add(&file_key(Table::Calendar, Some(month)), &batch)?;
            month = next;
        }
        Ok(())
    }
}

/// The dead letters of a shard that were not judged before `oldest`.
fn retained(
    shard: &Checkpoint,
    oldest: Timestamp,
) -> impl Iterator<Item = (&ShardId, &DeadLetter)> {
    let letters = shard.state.dead_letters.iter();
    letters.filter(move |letter| letter.judged_at >= oldest).map(|letter| (&shard.id, letter))
}

/// Whether an instant lies in a year that every reader can show; broken clocks point elsewhere.
pub(super) fn is_tabled(at: Timestamp) -> bool {
    (0..=9999).contains(&at.business_day().civil().0)
}

fn totals(checkpoints: &[&Checkpoint], rollup: &Rollup) -> Totals {
    let mut totals = Totals { cells: rollup.len() as u64, ..Totals::default() };
    for ledger in checkpoints.iter().map(|shard| &shard.state.ledger) {
        totals.consumed += ledger.consumed();
        totals.applied += ledger.applied;
        totals.duplicates += ledger.duplicates;
        totals.rejected += ledger.rejected;
        totals.ignored += ledger.ignored;
    }
    totals
}

fn reference_hash(codebook: &Codebook) -> String {
    let prefectures = parquet_file::rows_hash(&rows::prefectures(codebook));
    let products = parquet_file::rows_hash(&rows::products(codebook));
    format!("{:032x}", prefectures ^ products.rotate_left(64))
}

/// The key of a table's file: by month of the business day, or one for the whole table.
pub fn file_key(table: Table, month: Option<BusinessDay>) -> String {
    match month {
        Some(month) => format!("tables/{}/business_month={month}/data.parquet", table.name()),
        None => format!("tables/{}/data.parquet", table.name()),
    }
}

/// Where dead letters without a usable timestamp stand: Hive's name for a partition that is null,
/// which every reader understands.
fn unknown_month_key() -> String {
    let table = Table::DeadLetters.name();
    format!("tables/{table}/business_month=__HIVE_DEFAULT_PARTITION__/data.parquet")
}
