//! The table `indicators`: who lagged, as of each day that was complete.
//!
//! As of a day that is not final yet the indicators are evaluated anew whenever something that they are
//! made of has changed: figures of complete days, reference data, or what decides a light. Once the day
//! is final its rows are frozen, with the version of the reference data that they were made with: they
//! are kept in the history ([`super::history`]) and taken from there ever after. So the file of a month
//! is put together from encoded days, each a row group of its own, and no frozen day is decoded again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use postroad_aggregate::indicators::{Indicator, Input, Settings, evaluate};
use postroad_aggregate::merge::Rollup;
use postroad_schemas::tables::Table;
use postroad_schemas::units::{BusinessDay, Timestamp};
use serde::{Deserialize, Serialize};

use super::draft::{DraftInput, Merged, month_of};
use super::manifest::Manifest;
use super::{history, parquet_file, rows};
use crate::config::IndicatorsConfig;
use crate::reference::ReferenceSet;

/// Indicators as of a day.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The last complete day.
    pub as_of: BusinessDay,
    /// Every indicator, ordered as [`evaluate`] has them.
    pub rows: Vec<Indicator>,
}

impl Evaluation {
    /// Evaluates the indicators as of a day. Later days are passed over.
    pub fn of(
        as_of: BusinessDay,
        rollup: &Rollup,
        reference: &ReferenceSet,
        settings: Settings,
    ) -> Self {
        let provinces = reference.provinces();
        let input = Input { provinces: &provinces, reference: &reference.figures, as_of, settings };
        let rows = evaluate(&input, rollup.cells().map(|(cell, measures)| (*cell, measures)));
        Self { as_of, rows }
    }

    /// The day as of which a publish tells the indicators: the last complete one, of those that have
    /// begun by the publish's own clock.
    pub fn last_day(manifest: &Manifest) -> Option<BusinessDay> {
        manifest.complete_through.map(|last| last.min(manifest.published_at.business_day()))
    }
}

/// What a manifest says of the indicators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndicatorsEntry {
    /// The first day as of which they are told; every day since is.
    pub told_from: Option<BusinessDay>,
    /// As of every day up to this one they are frozen, inclusive.
    pub frozen_through: Option<BusinessDay>,
    /// Whether figures have moved since they were evaluated, which is put right within
    /// [`IndicatorsConfig::interval`].
    pub behind: bool,
    /// What decided the lights.
    pub settings: Settings,
}

/// What a publisher knows of the indicators that it published last.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The publish that it made; 0 before it has made any.
    pub publish: u64,
    /// When they were evaluated.
    pub evaluated_at: Option<Timestamp>,
    /// As of the last complete day.
    pub newest: Option<Arc<Evaluation>>,
}

impl Known {
    /// Whether figures that have moved may be evaluated anew.
    pub fn is_due(&self, now: Timestamp, config: &IndicatorsConfig) -> bool {
        self.evaluated_at.is_none_or(|at| at + config.interval <= now)
    }
}

/// Days that are frozen, by month: what the history keeps of them, or the month's file.
pub type Frozen = BTreeMap<BusinessDay, Bytes>;

/// The days that are evaluated by a publish, and the months whose files it writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// As of which days, ascending; the last one is the last complete day.
    pub days: Vec<BusinessDay>,
    /// The months whose files are put together again.
    pub months: BTreeSet<BusinessDay>,
    /// Whether nothing is evaluated although figures have moved.
    pub behind: bool,
}

impl Plan {
    /// What a publish has to do.
    pub fn of(input: &DraftInput, merged: &Merged) -> Self {
        let Some(last_day) = last_day(input) else { return Self::default() };
        let last = input.last.as_deref();
        let entry = last.and_then(|last| last.indicators);
        let moved = merged.has_moved_through(last_day);
        let is_other = last.is_none_or(|last| {
            input.known.publish != last.publish
                || last.reference != input.reference.version
                || Evaluation::last_day(last) != Some(last_day)
                || last.final_through != input.horizon.final_through
        });
        let is_other = is_other
            || entry.is_none_or(|entry| entry.settings != input.indicators.settings)
            || input.damaged.iter().any(|key| is_of_table(key));
        let moved = moved || entry.is_some_and(|entry| entry.behind);
        let is_due = moved && input.known.is_due(input.now, &input.indicators);
        if !is_other && !is_due {
            return Self { behind: moved, ..Self::default() };
        }
        let days = days(input, merged, entry, last_day);
        let damaged = input.damaged.iter().filter(|key| is_of_table(key));
        let damaged =
            damaged.filter_map(|key| month_of(Table::Indicators, key).or_else(|| place_month(key)));
        let months = days.iter().map(|day| day.month_start()).chain(damaged).collect();
        Self { days, months, behind: false }
    }
}

/// The last complete day that has begun by the publish's own clock: a producer whose clock runs ahead
/// makes no tomorrow.
fn last_day(input: &DraftInput) -> Option<BusinessDay> {
    input.horizon.complete_through.map(|last| last.min(input.now.business_day()))
}

fn days(
    input: &DraftInput,
    merged: &Merged,
    told: Option<IndicatorsEntry>,
    last_day: BusinessDay,
) -> Vec<BusinessDay> {
    let Some((first_cell, _)) = merged.rollup().day_range() else { return Vec::new() };
    let history_days = i32::try_from(input.indicators.history_days).unwrap_or(i32::MAX);
    let history = last_day.plus_days(1_i32.saturating_sub(history_days)).max(first_cell);
    let first = told.and_then(|told| told.told_from).unwrap_or(history);
    let frozen_through = told.and_then(|told| told.frozen_through);
    let first = frozen_through.map_or(first, |frozen| first.max(frozen.plus_days(1)));
    (first.days()..=last_day.days()).map(BusinessDay::from_days).collect()
}

fn is_of_table(key: &str) -> bool {
    month_of(Table::Indicators, key).is_some() || place_month(key).is_some()
}

/// The month of a place of the history that keeps frozen days.
pub fn place_month(place: &str) -> Option<BusinessDay> {
    let (_, month) = place.split_once("business_month=")?;
    let month = postroad_schemas::time::parse_date(month)?;
    (place == history::indicators_place(month)).then_some(month)
}

/// A month of the table, and what of it is frozen by this publish.
pub struct Month {
    /// The whole file.
    pub file: parquet_file::Spliced,
    /// The days that are frozen, where there are more of them than before.
    pub frozen: Option<parquet_file::Spliced>,
}

/// Puts a month together: the days that were frozen before, and those that were evaluated.
///
/// # Errors
/// Where what was frozen is no table like this one.
pub fn month(
    frozen_before: Option<(&Bytes, BusinessDay)>,
    evaluated: &[(BusinessDay, Bytes)],
    final_through: Option<BusinessDay>,
    publish: u64,
) -> Result<Month, ParquetError> {
    let frozen: Vec<_> = frozen_before
        .map(|(bytes, through)| parquet_file::groups_through(bytes, through))
        .transpose()?
        .unwrap_or_default();
    let fresh = |days: &[(BusinessDay, Bytes)]| -> Result<Vec<_>, ParquetError> {
        let groups = days.iter().map(|(_, bytes)| parquet_file::groups(bytes));
        Ok(groups.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    };
    let newly = evaluated.iter().take_while(|(day, _)| Some(*day) <= final_through).count();
    let schema = Table::Indicators.schema();
    let file = [frozen.clone(), fresh(evaluated)?].concat();
    let frozen = if newly == 0 {
        None
    } else {
        let groups = [frozen, fresh(&evaluated[..newly])?].concat();
        Some(parquet_file::splice(&schema, &groups, publish)?)
    };
    Ok(Month { file: parquet_file::splice(&schema, &file, publish)?, frozen })
}

/// The rows as of a day, encoded.
///
/// # Errors
/// Where the writer refuses them.
pub fn encode(evaluation: &Evaluation, version: &str, publish: u64) -> Result<Bytes, ParquetError> {
    let batch = rows::indicators(evaluation.as_of, &evaluation.rows, version);
    parquet_file::encode(&batch, publish)
}
