//! What of the tables rests on more than the log: names, and the lights with what they were held against.
//! What of it cannot be made again is counted as not compared, and never as agreeing.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Date32Type;
use bytes::Bytes;
use postroad_schemas::tables::Table;
use postroad_schemas::time::parse_date;
use postroad_schemas::units::BusinessDay;

use super::compare::Difference;
use super::pinned::{Pinned, hash, table_of};
use crate::publish::draft::{file_key, month_of};
use crate::publish::indicators::{Frozen, place_month};
use crate::publish::parquet_file::decode_untrusted;
use crate::publish::restatements::next_month;

/// The tables that reference data make.
const OF_REFERENCE: [&str; 4] = ["prefectures", "products", "benchmarks", "plans"];

/// What of a publish is not compared.
#[derive(Debug, Default)]
pub(super) struct Uncompared {
    /// Whether the reference data at hand are not those of the publish.
    pub(super) other_reference: bool,
    /// Whether the publish itself says that its lights are behind its figures.
    behind: bool,
    frozen_through: Option<BusinessDay>,
    /// Months whose frozen days have no other copy to be held against.
    alone: BTreeSet<BusinessDay>,
    /// How many frozen days are kept nowhere: both copies were lost, and whoever published next went on
    /// without them.
    pub(super) lost_days: usize,
}

impl Uncompared {
    /// What can be compared of a publish, and the frozen days that it is to be held against.
    pub(super) fn of(pinned: &Pinned, other_reference: bool) -> (Self, Frozen) {
        let entry = pinned.manifest.indicators;
        let mut uncompared = Self {
            other_reference,
            behind: entry.is_some_and(|entry| entry.behind),
            frozen_through: entry.and_then(|entry| entry.frozen_through),
            alone: BTreeSet::new(),
            lost_days: 0,
        };
        let (mut frozen, mut kept) = (Frozen::new(), BTreeSet::new());
        for (place, entry) in &pinned.manifest.history {
            let Some(month) = place_month(place) else { continue };
            if let Some((bytes, days)) = whole(pinned, &entry.key, &entry.file_hash) {
                frozen.insert(month, bytes);
                kept.extend(days);
                continue;
            }
            uncompared.alone.insert(month);
            let file = file_key(Table::Indicators, Some(month));
            let shown = pinned.manifest.files.get(&file);
            let shown = shown.and_then(|entry| whole(pinned, &file, &entry.file_hash));
            frozen.extend(shown.map(|(bytes, _)| (month, bytes)));
        }
        if let Some((first, last)) =
            entry.and_then(|entry| entry.told_from.zip(entry.frozen_through))
        {
            let all = (first.days()..=last.days()).map(BusinessDay::from_days);
            let is_known = |day: &BusinessDay| uncompared.alone.contains(&day.month_start());
            let lost = all.filter(|day| !kept.contains(day) && !is_known(day));
            uncompared.lost_days = lost.count();
        }
        (uncompared, frozen)
    }

    /// Whether the lights as of a day cannot be made again.
    fn is_uncompared(&self, day: BusinessDay) -> bool {
        if Some(day) <= self.frozen_through {
            return self.alone.contains(&day.month_start());
        }
        self.other_reference || self.behind
    }

    /// How many rows of a file are not compared, apart from names that stand beside figures.
    pub(super) fn rows(&self, table: &str, found: &RecordBatch) -> usize {
        if table == "indicators" {
            let is_uncompared = |day: &BusinessDay| self.is_uncompared(*day);
            return days(found).into_iter().filter(is_uncompared).count();
        }
        let all = self.other_reference && OF_REFERENCE.contains(&table);
        if all { found.num_rows() } else { 0 }
    }

    /// Whether a difference is of what is not compared.
    pub(super) fn covers(&self, difference: &Difference) -> bool {
        let Difference { place, key, column, .. } = difference;
        match &**place {
            "indicators" => {
                let day = key.split(' ').next().and_then(parse_date);
                day.is_some_and(|day| self.is_uncompared(day))
            }
            "daily_rollups" => {
                let names = ["prefecture_name", "province_code", "product_name"];
                self.other_reference && names.contains(&&**column)
            }
            "manifest" if column == "reference" => self.other_reference,
            "manifest" if column == "indicators" => self.behind,
            "manifest" => self.covers_entry(key),
            table => {
                let of_rows = column != "file_hash" && column != "file" && column != "content";
                self.other_reference && OF_REFERENCE.contains(&table) && of_rows
            }
        }
    }

    /// Whether what a manifest says of a file, or of a place of the history, is not compared.
    fn covers_entry(&self, key: &str) -> bool {
        if let Some(month) = month_of(Table::Indicators, key).or_else(|| place_month(key)) {
            let is_fresh = Some(next_month(month).plus_days(-1)) > self.frozen_through;
            let has_fresh = is_fresh && (self.other_reference || self.behind);
            return self.alone.contains(&month) || has_fresh;
        }
        self.other_reference && OF_REFERENCE.contains(&table_of(key))
    }
}

/// The day as of which each row is told.
fn days(indicators: &RecordBatch) -> Vec<BusinessDay> {
    let column = indicators.column_by_name("as_of_date");
    let column = column.and_then(|column| column.as_primitive_opt::<Date32Type>());
    let days = column.map(|column| column.iter().flatten().map(BusinessDay::from_days).collect());
    days.unwrap_or_default()
}

/// The bytes of a file that is what the manifest says, and its days.
fn whole(pinned: &Pinned, key: &str, expected: &str) -> Option<(Bytes, Vec<BusinessDay>)> {
    let bytes = pinned.files.get(key).filter(|bytes| hash(bytes) == expected)?;
    let table = decode_untrusted(bytes.clone()).ok()?;
    Some((bytes.clone(), days(&table)))
}
