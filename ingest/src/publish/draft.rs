//! The pure part of a publish: shards in, a manifest and the files that changed out. First they are
//! merged, which shows what the publish moves; then it is drafted, which needs what was moved before.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use postroad_aggregate::days::Horizon;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::tables::Table;
use postroad_schemas::time::parse_date;
use postroad_schemas::units::{BusinessDay, Span, Timestamp};

use self::files::{Files, retained};
use super::indicators::{Frozen, Known};
use super::manifest::{MANIFEST_FORMAT, MANIFESTS_KEPT, Manifest, ShardEntry, Totals};
use super::restatements::{Before, Changes, Restatement, next_month};
use super::{PublishError, history, rows};
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::{Checkpoint, ShardId};
use crate::config::IndicatorsConfig;
use crate::reference::ReferenceSet;

/// A shard, with its newest checkpoint where it has one.
pub type Loaded = (ShardId, Option<(Seq, Arc<Checkpoint>)>);

/// Everything that a publish is made from.
#[derive(Debug)]
pub struct DraftInput {
    /// The shards that it holds, or waits for.
    pub shards: Vec<Loaded>,
    /// Which days are complete and final.
    pub horizon: Horizon,
    /// Names, and what figures are held against.
    pub reference: Arc<ReferenceSet>,
    /// What decides who lags, and as of which days that is told.
    pub indicators: IndicatorsConfig,
    /// What is known of the indicators of the publish before.
    pub known: Known,
    /// How many days after it was judged a dead letter is published.
    pub retention_days: u32,
    /// The publish before.
    pub last: Option<Arc<Manifest>>,
    /// The newest manifests, ascending, the one before included.
    pub manifests: Vec<Arc<Manifest>>,
    /// Keys of files, and places of the history, that have to be written again whatever their rows.
    pub damaged: BTreeSet<String>,
    /// Part of the names of the objects that are created for this publish.
    pub nonce: u128,
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
    /// The objects of the history that it names for the first time, by key.
    pub objects: Vec<(String, Bytes)>,
    /// The merged cells.
    pub rollup: Rollup,
    /// How many final cells it moves.
    pub restated: usize,
    /// What is known of its indicators.
    pub known: Known,
}

/// The merged shards, and what they change.
#[derive(Debug)]
pub struct Merged {
    rollup: Rollup,
    before: Before,
    changes: Changes,
}

impl DraftInput {
    /// Whether readers would see no difference to an earlier publish.
    pub fn shows_the_same_as(&self, last: &Manifest) -> bool {
        self.entries() == last.shards
            && self.horizon == last.horizon()
            && self.reference.version == last.reference
            && self.dead_letters() == last.dead_letters
            && last.indicators.is_none_or(|entry| {
                entry.settings == self.indicators.settings
                    && !(entry.behind && self.known.is_due(self.now, &self.indicators))
            })
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

    fn publish(&self) -> u64 {
        self.last.as_ref().map_or(1, |last| last.publish + 1)
    }

    fn entries(&self) -> Vec<ShardEntry> {
        let entry = |(id, found): &Loaded| {
            let found = found.as_ref().map(|(seq, checkpoint)| (seq.get(), checkpoint.as_ref()));
            ShardEntry::new(id, found)
        };
        self.shards.iter().map(entry).collect()
    }

    /// How far the log has come by its own clock.
    pub(super) fn newest_watermark(&self) -> Option<Timestamp> {
        self.checkpoints().iter().filter_map(|shard| shard.state.watermark).max()
    }

    fn checkpoints(&self) -> Vec<&Checkpoint> {
        self.shards.iter().filter_map(|(_, found)| Some(found.as_ref()?.1.as_ref())).collect()
    }
}

/// Merges the shards, and compares them with the publish before.
pub fn merge(input: &DraftInput, before: Before) -> Merged {
    let mut rollup = Rollup::default();
    for checkpoint in input.checkpoints() {
        rollup.add(&checkpoint.state.cells);
    }
    let final_through = input.last.as_ref().and_then(|last| last.final_through);
    let stamp = (input.publish(), input.now);
    let changes = Changes::between(&before, &rollup, final_through, stamp);
    Merged { rollup, before, changes }
}

impl Merged {
    /// The merged cells.
    pub(super) fn rollup(&self) -> &Rollup {
        &self.rollup
    }

    /// Whether any cell of the days up to one, inclusive, differs from the publish before.
    pub(super) fn has_moved_through(&self, last: BusinessDay) -> bool {
        let months = self.changes.months.iter().filter(|month| **month <= last);
        months.into_iter().any(|month| {
            let until = next_month(*month).min(last.plus_days(1));
            !self.before.cells.days(*month, until).eq(self.rollup.days(*month, until))
        })
    }

    /// The months whose restatements are written again, so that the earlier ones are needed.
    pub fn restated_months(&self, input: &DraftInput) -> BTreeSet<BusinessDay> {
        let restated = self.changes.restated.iter().map(|row| row.cell.day.month_start());
        let files = input.last.iter().flat_map(|last| last.files.keys());
        let months = files.filter_map(|key| month_of(Table::Restatements, key));
        let is_damaged = |month: &BusinessDay| {
            let file = file_key(Table::Restatements, Some(*month));
            let place = history::restatements_place(*month);
            [file, place].iter().any(|key| input.damaged.contains(key))
        };
        restated.chain(months.filter(is_damaged)).collect()
    }
}

/// What a draft needs of the publish before.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The restatements that it shows, of [`Merged::restated_months`].
    pub restatements: BTreeMap<BusinessDay, Vec<Restatement>>,
    /// Its frozen indicators, of the months of [`Plan::of`](super::indicators::Plan::of).
    pub frozen: Frozen,
}

/// Encodes every file whose rows differ from the publish before.
///
/// # Errors
/// A sum that its column cannot hold.
pub fn draft(input: &DraftInput, merged: Merged, earlier: Earlier) -> Result<Draft, PublishError> {
    let checkpoints = input.checkpoints();
    let rollup = &merged.rollup;
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        publish: input.publish(),
        published_at: input.now,
        shards: input.entries(),
        totals: totals(&checkpoints, rollup),
        dead_letters: input.dead_letters(),
        complete_without_through: input.horizon.complete_without_through,
        complete_through: input.horizon.complete_through,
        final_through: input.horizon.final_through,
        reference: input.reference.version.clone(),
        indicators: None,
        files: BTreeMap::new(),
        history: BTreeMap::new(),
    };
    let mut manifests = input.manifests.clone();
    manifests.push(Arc::new(manifest.clone()));
    let kept = manifests.len().saturating_sub(MANIFESTS_KEPT);
    let mut files = Files { input, manifest, changed: Vec::new(), created: Vec::new() };
    files.daily_rollups(&merged)?;
    files.final_cells(&merged)?;
    files.restatements(&merged, earlier.restatements)?;
    files.dead_letters(&checkpoints)?;
    files.calendar(rollup)?;
    let known = files.indicators(&merged, &earlier.frozen)?;
    let reference = &input.reference;
    files.add(&file_key(Table::Benchmarks, None), &rows::benchmarks(reference))?;
    files.add(&file_key(Table::Plans, None), &rows::plans(reference))?;
    files.add(&file_key(Table::Prefectures, None), &rows::prefectures(&reference.codebook))?;
    files.add(&file_key(Table::Products, None), &rows::products(&reference.codebook))?;
    files.add(&file_key(Table::Ledger, None), &rows::ledger(&checkpoints))?;
    files.add(&file_key(Table::Publishes, None), &rows::publishes(&manifests[kept..]))?;
    let Files { manifest, changed: files, created: objects, .. } = files;
    let restated = merged.changes.restated.len();
    Ok(Draft { manifest, files, objects, rollup: merged.rollup, restated, known })
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

/// The key of a table's file: by month of the business day, or one for the whole table.
pub fn file_key(table: Table, month: Option<BusinessDay>) -> String {
    match month {
        Some(month) => format!("tables/{}/business_month={month}/data.parquet", table.name()),
        None => format!("tables/{}/data.parquet", table.name()),
    }
}

/// The month of a table's file.
pub fn month_of(table: Table, key: &str) -> Option<BusinessDay> {
    let folder = format!("tables/{}/business_month=", table.name());
    parse_date(key.strip_prefix(&folder)?.strip_suffix("/data.parquet")?)
}
