//! The files of a publish, and its part of the history: each is carried over from the publish
//! before, or encoded because it shows something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::tables::Table;
use postroad_schemas::units::{BusinessDay, Timestamp};

use super::{DraftInput, Merged, file_key, is_tabled, month_of};
use crate::checkpoint::{Checkpoint, ShardId};
use crate::publish::indicators::{self, Evaluation, Frozen, IndicatorsEntry, Known, Plan};
use crate::publish::manifest::{FileEntry, HistoryEntry, Manifest};
use crate::publish::restatements::{Restatement, final_cells, months, next_month};
use crate::publish::{PublishError, file_hash, history, parquet_file, rows};

/// Collects the files and objects of a publish, and encodes those that changed.
pub(super) struct Files<'a> {
    pub(super) input: &'a DraftInput,
    /// What it says of them is filled in here.
    pub(super) manifest: Manifest,
    /// Files to be replaced, by key.
    pub(super) changed: Vec<(String, Bytes)>,
    /// Objects to be created, by key.
    pub(super) created: Vec<(String, Bytes)>,
}

impl Files<'_> {
    /// Adds a file, as it is if its rows are those of the publish before.
    pub(super) fn add(&mut self, key: &str, batch: &RecordBatch) -> Result<(), PublishError> {
        let rows_hash = format!("{:032x}", parquet_file::rows_hash(batch));
        if self.entry_before(key).is_some_and(|before| before.rows_hash == rows_hash) {
            self.carry(key);
            return Ok(());
        }
        let bytes = self.encode(key, batch)?;
        self.replace(key, bytes, batch.num_rows() as u64, rows_hash);
        Ok(())
    }

    /// Adds a file that has to be replaced.
    fn replace(&mut self, key: &str, bytes: Bytes, rows: u64, rows_hash: String) {
        let publish = self.manifest.publish;
        let entry = FileEntry { publish, rows, rows_hash, file_hash: file_hash(&bytes) };
        self.manifest.files.insert(key.to_owned(), entry);
        self.changed.push((key.to_owned(), bytes));
    }

    /// Adds a file as it is, if the publish before has it and it is sound.
    fn carry(&mut self, key: &str) -> bool {
        let entry = self.entry_before(key).cloned();
        let is_carried = entry.is_some();
        self.manifest.files.extend(entry.map(|entry| (key.to_owned(), entry)));
        is_carried
    }

    fn entry_before(&self, key: &str) -> Option<&FileEntry> {
        let last = self.input.last.as_ref()?;
        last.files.get(key).filter(|_| !self.input.damaged.contains(key))
    }

    /// Adds an object to the history.
    fn keep(&mut self, place: String, batch: &RecordBatch) -> Result<(), PublishError> {
        let content = self.encode(&place, batch)?;
        self.create(place, content, batch.num_rows() as u64);
        Ok(())
    }

    fn create(&mut self, place: String, content: Bytes, rows: u64) {
        let key = history::key(&place, self.manifest.publish, self.input.nonce);
        let (bytes, file_hash) = (content.len() as u64, file_hash(&content));
        let entry = HistoryEntry { key: key.clone(), bytes, rows, file_hash };
        self.manifest.history.insert(place, entry);
        self.created.push((key, content));
    }

    /// Leaves a place of the history as it is, if the publish before has it and it is sound.
    fn leave(&mut self, place: &str) -> bool {
        let last = self.input.last.as_ref().and_then(|last| last.history.get(place));
        let entry = last.filter(|_| !self.input.damaged.contains(place)).cloned();
        let is_left = entry.is_some();
        self.manifest.history.extend(entry.map(|entry| (place.to_owned(), entry)));
        is_left
    }

    fn encode(&self, key: &str, batch: &RecordBatch) -> Result<Bytes, PublishError> {
        parquet_file::encode(batch, self.manifest.publish)
            .map_err(|error| PublishError::Encode(format!("{key}: {error}")))
    }

    /// A month in which no cell, no name and no status changed is left alone without building its
    /// rows, if this program wrote its file: another version might have written other columns.
    pub(super) fn daily_rollups(&mut self, merged: &Merged) -> Result<(), PublishError> {
        let last = self.input.last.clone();
        let last =
            last.filter(|last| merged.before.is_own && last.reference == self.manifest.reference);
        for month in months(&merged.rollup) {
            let key = file_key(Table::DailyRollups, Some(month));
            let is_same = last.as_ref().is_some_and(|last| {
                let has_status = |day| last.horizon().status(day) == self.input.horizon.status(day);
                !merged.changes.months.contains(&month) && days_of(month).all(has_status)
            });
            if !(is_same && self.carry(&key)) {
                let cells: Vec<_> = merged.rollup.days(month, next_month(month)).collect();
                let horizon = &self.input.horizon;
                self.add(
                    &key,
                    &rows::daily_rollups(&cells, &self.input.reference.codebook, horizon)?,
                )?;
            }
        }
        Ok(())
    }

    /// The final cells of each month, kept again where any was moved or became final.
    pub(super) fn final_cells(&mut self, merged: &Merged) -> Result<(), PublishError> {
        let horizon = self.input.horizon;
        let final_before = self.input.last.as_ref().and_then(|last| last.final_through);
        for month in months(&merged.rollup) {
            let before = final_cells(&merged.before.cells, month, final_before);
            let after = final_cells(&merged.rollup, month, horizon.final_through);
            let place = history::final_cells_place(month);
            if before.eq(after) && self.leave(&place) {
                continue;
            }
            let cells: Vec<_> = final_cells(&merged.rollup, month, horizon.final_through).collect();
            if !cells.is_empty() {
                self.keep(
                    place,
                    &rows::daily_rollups(&cells, &self.input.reference.codebook, &horizon)?,
                )?;
            }
        }
        Ok(())
    }

    /// The restatements of each month: those so far, and those of this publish.
    pub(super) fn restatements(
        &mut self,
        merged: &Merged,
        so_far: BTreeMap<BusinessDay, Vec<Restatement>>,
    ) -> Result<(), PublishError> {
        let last = self.input.last.clone();
        let shown = last.iter().flat_map(|last| last.files.keys());
        for key in shown {
            let month = month_of(Table::Restatements, key);
            if let Some(month) = month.filter(|month| !so_far.contains_key(month)) {
                self.carry(key);
                self.leave(&history::restatements_place(month));
            }
        }
        for (month, mut rows) in so_far {
            let earlier = rows.len();
            let restated = merged.changes.restated.iter();
            rows.extend(restated.filter(|row| row.cell.day.month_start() == month).cloned());
            rows.sort_by_key(|row| (row.cell, row.publish));
            if rows.is_empty() {
                continue;
            }
            let batch = rows::restatements(&rows)?;
            self.add(&file_key(Table::Restatements, Some(month)), &batch)?;
            let place = history::restatements_place(month);
            if rows.len() > earlier || !self.leave(&place) {
                self.keep(place, &batch)?;
            }
        }
        Ok(())
    }

    pub(super) fn dead_letters(&mut self, checkpoints: &[&Checkpoint]) -> Result<(), PublishError> {
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

    /// Evaluates the indicators as of days that are not frozen, where anything that they are made of
    /// has changed, and freezes those of days that have become final.
    pub(super) fn indicators(
        &mut self,
        merged: &Merged,
        frozen: &Frozen,
    ) -> Result<Known, PublishError> {
        let (input, publish) = (self.input, self.manifest.publish);
        let plan = Plan::of(input, merged);
        let last = input.last.clone();
        let entry = last.as_ref().and_then(|last| last.indicators);
        let frozen_through = entry.and_then(|entry| entry.frozen_through);
        let final_through = input.horizon.final_through.min(plan.days.last().copied());
        let told_from = entry.and_then(|entry| entry.told_from);
        self.manifest.indicators = Some(IndicatorsEntry {
            told_from: told_from.or(plan.days.first().copied()),
            frozen_through: frozen_through.max(final_through),
            behind: plan.behind,
            settings: input.indicators.settings,
        });
        let rows = last.iter().flat_map(|last| &last.files).filter(|(_, entry)| entry.rows > 0);
        for (key, _) in rows {
            let month = month_of(Table::Indicators, key);
            if let Some(month) = month.filter(|month| !plan.months.contains(month)) {
                self.carry(key);
                self.leave(&history::indicators_place(month));
            }
        }
        let failed = |error: ParquetError| PublishError::Encode(format!("the indicators: {error}"));
        let mut newest = None;
        let mut evaluated: BTreeMap<BusinessDay, Vec<(BusinessDay, Bytes)>> = BTreeMap::new();
        for day in &plan.days {
            let settings = input.indicators.settings;
            let evaluation = Evaluation::of(*day, merged.rollup(), &input.reference, settings);
            let version = &input.reference.version;
            let bytes = indicators::encode(&evaluation, version, publish).map_err(failed)?;
            evaluated.entry(day.month_start()).or_default().push((*day, bytes));
            newest = Some(Arc::new(evaluation));
        }
        let months: BTreeSet<_> = plan.months.iter().chain(frozen.keys()).collect();
        for month in months {
            let days = evaluated.get(month).map_or(&[][..], Vec::as_slice);
            let before = frozen.get(month).zip(frozen_through);
            if before.is_none() && days.is_empty() {
                // Both copies of its days are lost.
                continue;
            }
            let made = indicators::month(before, days, final_through, publish).map_err(failed)?;
            let (key, file) = (file_key(Table::Indicators, Some(*month)), made.file);
            let rows_hash = format!("{:032x}", file.hash);
            if self.entry_before(&key).is_some_and(|before| before.rows_hash == rows_hash) {
                self.carry(&key);
            } else {
                self.replace(&key, file.bytes, file.rows, rows_hash);
            }
            let place = history::indicators_place(*month);
            match made.frozen {
                Some(frozen) => self.create(place, frozen.bytes, frozen.rows),
                None => self.keep_frozen(place, before, publish)?,
            }
        }
        if plan.months.is_empty() {
            return Ok(Known { publish, ..input.known.clone() });
        }
        Ok(Known { publish, evaluated_at: Some(input.now), newest })
    }

    /// Keeps the frozen days of a month as they are: the object that was there, or a copy where that is
    /// damaged.
    fn keep_frozen(
        &mut self,
        place: String,
        before: Option<(&Bytes, BusinessDay)>,
        publish: u64,
    ) -> Result<(), PublishError> {
        let Some((bytes, through)) = before else { return Ok(()) };
        if self.leave(&place) {
            return Ok(());
        }
        let groups = parquet_file::groups_through(bytes, through);
        let schema = Table::Indicators.schema();
        let spliced = groups.and_then(|groups| parquet_file::splice(&schema, &groups, publish));
        let spliced = spliced.map_err(|error| PublishError::Encode(format!("{place}: {error}")))?;
        self.create(place, spliced.bytes, spliced.rows);
        Ok(())
    }

    /// Whole months, from the first with a rollup to the last.
    pub(super) fn calendar(&mut self, rollup: &Rollup) -> Result<(), PublishError> {
        let Some((first, last)) = rollup.day_range() else { return Ok(()) };
        let mut month = first.month_start();
        while month <= last {
            let next = next_month(month);
            let batch = rows::calendar(month, next, &self.input.horizon);
            self.add(&file_key(Table::Calendar, Some(month)), &batch)?;
            month = next;
        }
        Ok(())
    }
}

/// The dead letters of a shard that were not judged before `oldest`.
pub(super) fn retained(
    shard: &Checkpoint,
    oldest: Timestamp,
) -> impl Iterator<Item = (&ShardId, &DeadLetter)> {
    let letters = shard.state.dead_letters.iter();
    letters.filter(move |letter| letter.judged_at >= oldest).map(|letter| (&shard.id, letter))
}

fn days_of(month: BusinessDay) -> impl Iterator<Item = BusinessDay> {
    (month.days()..next_month(month).days()).map(BusinessDay::from_days)
}

/// Where dead letters without a usable timestamp stand: Hive's name for a partition that is null,
/// which every reader understands.
fn unknown_month_key() -> String {
    let table = Table::DeadLetters.name();
    format!("tables/{table}/business_month=__HIVE_DEFAULT_PARTITION__/data.parquet")
}
