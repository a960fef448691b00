//! Which final cells a publish moves, and by how much.
//!
//! A restatement is the difference between two publishes, so it is no function of the log: it
//! depends on when publishes were made. [`Before`] is what a publisher knows of the one before, and
//! [`super::history`] how it knows that after a take-over.

use std::collections::BTreeSet;
use std::sync::Arc;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::units::{BusinessDay, Timestamp};

/// A cell of a final day, and the publish that moved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restatement {
    /// The publish that moved it.
    pub publish: u64,
    /// When that was made.
    pub published_at: Timestamp,
    /// Which cell.
    pub cell: CellKey,
    /// What the publish before showed; zeros where it had no such cell.
    pub before: Measures,
    /// What this one shows; zeros where it has no such cell any more.
    pub after: Measures,
}

/// What is known of the cells of the publish before.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Its number; 0 before the first.
    pub publish: u64,
    /// Its cells: all of them, or after a take-over those of its final days.
    pub cells: Arc<Rollup>,
    /// Months whose final cells could not be learned.
    pub unknown: BTreeSet<BusinessDay>,
    /// Whether this very publisher made it, so that every file of it is of this program's making.
    pub is_own: bool,
}

impl Before {
    /// What a publisher knows once it has made a publish.
    pub fn own(publish: u64, cells: Arc<Rollup>) -> Self {
        Self { publish, cells, unknown: BTreeSet::new(), is_own: true }
    }
}

/// How the cells of a publish differ from those of the one before.
#[derive(Debug, Default)]
pub struct Changes {
    /// The months that have other cells.
    pub months: BTreeSet<BusinessDay>,
    /// The cells that were final and moved, in the order of the published rows.
    pub restated: Vec<Restatement>,
}

impl Changes {
    /// What publish `(publish, published_at)` changes by showing `after`, where days up to
    /// `final_through` were final before. A cell may go where the log was read again under other rules,
    /// from an older checkpoint: that is told, too.
    pub fn between(
        before: &Before,
        after: &Rollup,
        final_through: Option<BusinessDay>,
        (publish, published_at): (u64, Timestamp),
    ) -> Self {
        let mut changes = Self::default();
        let all: BTreeSet<_> = months(after).into_iter().chain(months(&before.cells)).collect();
        for month in all {
            let until = next_month(month);
            if before.cells.days(month, until).eq(after.days(month, until)) {
                continue;
            }
            changes.months.insert(month);
            if before.unknown.contains(&month) {
                continue;
            }
            let now = final_cells(after, month, final_through).map(|(cell, _)| *cell);
            let gone = final_cells(&before.cells, month, final_through).map(|(cell, _)| *cell);
            let gone = gone.filter(|cell| after.get(cell).is_none());
            let restatement = |cell| {
                let shown = |rollup: &Rollup| rollup.get(&cell).copied().unwrap_or_default();
                let (before, after) = (shown(&before.cells), shown(after));
                let moved = Restatement { publish, published_at, cell, before, after };
                (before != after).then_some(moved)
            };
            let mut moved: Vec<_> = now.chain(gone).filter_map(restatement).collect();
            moved.sort_by_key(|moved| moved.cell);
            changes.restated.extend(moved);
        }
        changes
    }
}

/// The months that have cells.
pub fn months(rollup: &Rollup) -> Vec<BusinessDay> {
    let mut months = Vec::new();
    let Some((first, last)) = rollup.day_range() else { return months };
    let mut month = first.month_start();
    while month <= last {
        let next = next_month(month);
        if rollup.days(month, next).next().is_some() {
            months.push(month);
        }
        month = next;
    }
    months
}

/// The first day after a month.
pub fn next_month(month: BusinessDay) -> BusinessDay {
    month.plus_days(31).month_start()
}

/// The cells of those days of a month that are final.
pub fn final_cells(
    rollup: &Rollup,
    month: BusinessDay,
    final_through: Option<BusinessDay>,
) -> impl Iterator<Item = (&CellKey, &Measures)> {
    let until = final_through.map_or(month, |last| last.plus_days(1).min(next_month(month)));
    rollup.days(month, until)
}
