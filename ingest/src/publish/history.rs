//! What has to outlive a publish: the final cells as they were shown, every restatement so far, and the
//! indicators as of days that are final.
//!
//! None can be had again from the log. So they are kept, by month, as immutable objects
//! `history/<kind>/business_month=<month>/<publish>-<nonce>.parquet`, which are created and read
//! back before the manifest that names them. Whoever publishes next takes from them what was final
//! and finds what has moved since, whether it was there or not.
//!
//! An object carries the number of the publish that it was made for and a nonce of its own, and a
//! manifest names objects made for it, or those that the manifest before it names. So there is only
//! one manifest that can be the first to name an object: once a publish of that number exists and
//! does not name it, no later one will. That is what [`Publisher::inspect_files`] deletes: what
//! the loser of a race left, what a crash left, and what has been replaced. What the last publish but
//! one named is left, so that the last can be made again if its manifest is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::path::Path;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::tables::Table;
use postroad_schemas::units::BusinessDay;
use tracing::error;

use super::draft::{file_key, month_of};
use super::indicators::Frozen;
use super::manifest::{HISTORY_SINCE, Manifest};
use super::restatements::{Before, Restatement};
use super::{PublishError, Publisher, file_hash, parquet_file, rows};
use crate::offload::offload;

/// The place of a month's final cells in a manifest's history.
pub fn final_cells_place(month: BusinessDay) -> String {
    format!("{}/final_cells/business_month={month}", folder())
}

/// The place of a month's restatements in a manifest's history.
pub fn restatements_place(month: BusinessDay) -> String {
    format!("{}/restatements/business_month={month}", folder())
}

/// The place of a month's frozen indicators in a manifest's history.
pub fn indicators_place(month: BusinessDay) -> String {
    format!("{}/indicators/business_month={month}", folder())
}

/// The key of an object that is made for a publish.
pub fn key(place: &str, publish: u64, nonce: u128) -> String {
    format!("{place}/{publish:020}-{nonce:032x}.parquet")
}

pub(super) fn folder() -> Path {
    Path::from("history")
}

/// The publish that an object was made for.
pub(super) fn number(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.split_once('-')?.0.parse().ok()
}

impl Publisher {
    /// Learns what the newest publish showed as final, unless it is known: from the history, else
    /// from the tables. What cannot be learned is said, and nothing is guessed.
    pub(super) async fn learn(&mut self) -> Result<(), PublishError> {
        let Some(newest) = self.newest().cloned() else { return Ok(()) };
        if self.before.publish == newest.publish {
            return Ok(());
        }
        let mut cells = Rollup::default();
        let mut unknown = BTreeSet::new();
        for month in final_months(&newest) {
            if let Some(found) = self.learn_month(&newest, month).await? {
                cells.add(found.iter().map(|(cell, measures)| (cell, measures)));
            } else {
                error!(
                    %month,
                    publish = newest.publish,
                    "what was published as final can be found neither in history/ nor in tables/: \
                     what the next publish moves in this month is not in `restatements`"
                );
                unknown.insert(month);
            }
        }
        self.counts.unknown += unknown.len() as u64;
        self.before =
            Before { publish: newest.publish, cells: Arc::new(cells), unknown, is_own: false };
        Ok(())
    }

    async fn learn_month(
        &self,
        newest: &Manifest,
        month: BusinessDay,
    ) -> Result<Option<Vec<(CellKey, Measures)>>, PublishError> {
        let file = file_key(Table::DailyRollups, Some(month));
        let batch = self.either_table(newest, &final_cells_place(month), &file).await?;
        let Some(mut cells) = batch.as_ref().and_then(rows::read_daily_rollups) else {
            return Ok(None);
        };
        cells.retain(|(cell, _)| Some(cell.day) <= newest.final_through);
        Ok(Some(cells))
    }

    /// The restatements that the newest publish shows, for these months.
    pub(super) async fn restatements_so_far(
        &mut self,
        months: BTreeSet<BusinessDay>,
    ) -> Result<BTreeMap<BusinessDay, Vec<Restatement>>, PublishError> {
        let mut so_far = BTreeMap::new();
        let Some(newest) = self.newest().cloned() else { return Ok(so_far) };
        for month in months {
            let place = restatements_place(month);
            let rows: &mut Vec<_> = so_far.entry(month).or_default();
            if !newest.history.contains_key(&place) {
                continue;
            }
            let file = file_key(Table::Restatements, Some(month));
            let batch = self.either_table(&newest, &place, &file).await?;
            if let Some(found) = batch.as_ref().and_then(rows::read_restatements) {
                *rows = found;
            } else {
                self.counts.unknown += 1;
                error!(
                    %month,
                    publish = newest.publish,
                    "earlier restatements can be found neither in history/ nor in tables/: the \
                     table goes on without them"
                );
            }
        }
        Ok(so_far)
    }

    /// The indicators of these months as of days that are frozen, encoded.
    pub(super) async fn frozen_indicators(
        &mut self,
        months: &BTreeSet<BusinessDay>,
    ) -> Result<Frozen, PublishError> {
        let mut frozen = Frozen::new();
        let Some(newest) = self.newest().cloned() else { return Ok(frozen) };
        for month in months {
            let place = indicators_place(*month);
            if !newest.history.contains_key(&place) {
                continue;
            }
            let file = file_key(Table::Indicators, Some(*month));
            if let Some(bytes) = self.either_copy(&newest, &place, &file).await? {
                frozen.insert(*month, bytes);
            } else {
                self.counts.unknown += 1;
                error!(
                    %month,
                    publish = newest.publish,
                    "frozen indicators can be found neither in history/ nor in tables/: the table \
                     goes on without them"
                );
            }
        }
        Ok(frozen)
    }

    /// [`Self::either_copy`], decoded.
    async fn either_table(
        &self,
        newest: &Manifest,
        place: &str,
        file: &str,
    ) -> Result<Option<RecordBatch>, PublishError> {
        let Some(bytes) = self.either_copy(newest, place, file).await? else { return Ok(None) };
        let decoded = offload(move || parquet_file::decode(bytes)).await?;
        decoded.map(Some).map_err(|error| PublishError::Encode(format!("{place}: {error}")))
    }

    /// The content of a place in the history, or of the file that shows the same: the first that is
    /// what the manifest says.
    async fn either_copy(
        &self,
        newest: &Manifest,
        place: &str,
        file: &str,
    ) -> Result<Option<Bytes>, PublishError> {
        let kept = newest.history.get(place).map(|entry| (&*entry.key, &entry.file_hash));
        let shown = newest.files.get(file).map(|entry| (file, &entry.file_hash));
        for (key, hash) in kept.into_iter().chain(shown) {
            // A damaged answer is not yet a damaged object.
            for _ in 0..2 {
                match self.store.get(&Path::from(key)).await {
                    Ok(bytes) if file_hash(&bytes) == *hash => return Ok(Some(bytes)),
                    Ok(_) => {}
                    Err(error) if error.is_not_found() => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // Whoever has published since may have deleted it.
        self.stop_if_superseded(newest.publish).await?;
        Ok(None)
    }

    /// Creates an object that the next manifest will name, and makes sure that it is whole.
    pub(super) async fn keep(&self, key: &str, content: &Bytes) -> Result<(), PublishError> {
        let place = Path::from(key);
        self.store.create(&place, content.clone()).await?;
        if self.store.get(&place).await? == content {
            return Ok(());
        }
        Err(PublishError::NotAsWritten { key: key.to_owned() })
    }
}

/// The months in which a publish showed final cells. Before there was a history, it may be any month
/// that had begun.
fn final_months(manifest: &Manifest) -> Vec<BusinessDay> {
    let months = manifest.files.keys().filter_map(|key| month_of(Table::DailyRollups, key));
    months
        .filter(|month| {
            Some(*month) <= manifest.final_through
                && (manifest.format < HISTORY_SINCE
                    || manifest.history.contains_key(&final_cells_place(*month)))
        })
        .collect()
}
