//! Adds shards up: the rollup of all shards is the sum of theirs, cell by cell.
//!
//! Addition of integers is associative and commutative, so neither the order of shards nor their
//! grouping can be seen in the result (property-tested).

use std::collections::BTreeMap;

use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::units::BusinessDay;

use crate::event::CellKey;
use crate::measures::Measures;

/// The measures of every cell, in the order of the published rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollup {
    cells: BTreeMap<CellKey, Measures>,
}

impl Rollup {
    /// Adds the cells of one shard.
    pub fn add<'a>(&mut self, cells: impl IntoIterator<Item = (&'a CellKey, &'a Measures)>) {
        for (key, measures) in cells {
            *self.cells.entry(*key).or_default() += measures;
        }
    }

    /// Every cell with at least one event, in the order of the published rows.
    pub fn cells(&self) -> impl Iterator<Item = (&CellKey, &Measures)> {
        self.cells.iter()
    }

    /// One cell, if it has any event.
    pub fn get(&self, key: &CellKey) -> Option<&Measures> {
        self.cells.get(key)
    }

    /// The cells of the days `[from, until)`, in the order of the published rows.
    pub fn days(
        &self,
        from: BusinessDay,
        until: BusinessDay,
    ) -> impl Iterator<Item = (&CellKey, &Measures)> {
        let first_of =
            |day| CellKey { day, prefecture: PrefectureCode::MIN, product: Product::ALL[0] };
        self.cells.range(first_of(from)..first_of(until.max(from)))
    }

    /// The first and the last day that has a cell, both inclusive.
    pub fn day_range(&self) -> Option<(BusinessDay, BusinessDay)> {
        let (first, _) = self.cells.first_key_value()?;
        let (last, _) = self.cells.last_key_value()?;
        Some((first.day, last.day))
    }

    /// The number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

#[cfg(test)]
mod tests;
