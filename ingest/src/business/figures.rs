//! Sums by prefecture and product over the periods that end with the as-of day, and over the same
//! elapsed days of the year before.

use std::collections::BTreeMap;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::indicators::known::Known;
use postroad_aggregate::indicators::period::{Period, Range};
use postroad_aggregate::measures::Measures;
use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::units::{BusinessDay, Fen};

use super::Gauges;
use crate::publish::Snapshot;

/// What a prefecture and product came to over one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Accepted volume.
    pub volume: i64,
    /// Revenue.
    pub revenue: Fen,
    /// Net movement of balances.
    pub balance: Fen,
    /// Applied events.
    pub events: i64,
    /// Those that came late.
    pub late_events: i64,
    /// Reversals and refunds.
    pub reversals: i64,
}

impl Figures {
    /// Adds the measures of a cell.
    pub fn add(&mut self, measures: &Measures) {
        self.volume += measures.volume;
        self.revenue += measures.revenue;
        self.balance += measures.balance;
        self.events += measures.events;
        self.late_events += measures.late_events;
        self.reversals += measures.reversals;
    }

    /// Revenue in yuan, for display and for gauges, which are doubles.
    pub fn revenue_yuan(&self) -> f64 {
        yuan(self.revenue)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown, never summed further")]
fn yuan(fen: Fen) -> f64 {
    fen.get() as f64 / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
pub(super) fn count(number: i64) -> f64 {
    number as f64
}

/// A prefecture and a product.
pub(super) type Cell = (PrefectureCode, Product);
/// Sums of the figures of each cell.
pub(super) type Sums = BTreeMap<Cell, Figures>;

/// Adds the gauges. Volume and revenue are of the cells that have anything in the period; what is watched
/// by alerts besides is of every cell of this year or of the same elapsed year before, and 0 where it has
/// nothing: a silence has to be seen. A baseline is absent before the year in which the data begin; it
/// may lack a part of that year, which those of [`super::complete`] do not.
pub(super) fn add(
    gauges: &Gauges,
    table: &Table<'_>,
    as_of: BusinessDay,
) -> prometheus::Result<()> {
    let year = Period::Ytd.range(as_of).expect("every day has a year to date");
    let mut cells = table.sums(year);
    cells.extend(table.sums(Period::Ytd.year_before(year)));
    for period in [Period::Day, Period::Mtd, Period::Qtd, Period::Ytd] {
        let Some(range) = period.range(as_of) else { continue };
        let before = period.year_before(range);
        let now = table.sums(range);
        let since = format!("from the period's first day to the as-of day ({period})");
        let each = |name: &str, help: String, sums: &Sums, get: fn(&Figures) -> f64| {
            let name = format!("postroad_{period}_{name}");
            let gauge = gauges.labelled(&name, &help, &["prefecture", "line", "product"])?;
            for ((prefecture, product), figures) in sums {
                let labels = [&*prefecture.to_string(), product.line().as_str(), product.as_str()];
                gauge.with_label_values(&labels).set(get(figures));
            }
            Ok::<_, prometheus::Error>(())
        };
        let watched = with_zeros(&cells, &now);
        each("volume", format!("Accepted volume {since}."), &now, |f| count(f.volume))?;
        each("revenue_yuan", format!("Revenue {since}."), &now, Figures::revenue_yuan)?;
        if table.known.reaches(before) {
            let (baseline, elapsed) =
                (table.sums(before), "of the same elapsed days a year before");
            let help = format!("Accepted volume {elapsed}.");
            each("volume_baseline", help, &baseline, |f| count(f.volume))?;
            let help = format!("Revenue {elapsed}.");
            each("revenue_yuan_baseline", help, &baseline, Figures::revenue_yuan)?;
        }
        if period == Period::Day {
            let of = "of the as-of day so far";
            each("events", format!("Applied events {of}."), &watched, |f| count(f.events))?;
            each("reversals", format!("Reversals and refunds {of}."), &watched, |f| {
                count(f.reversals)
            })?;
        }
        // A late event is of a day that is over, and today's sum would not have it.
        if period == Period::Ytd {
            each("events", format!("Applied events {since}."), &watched, |f| count(f.events))?;
            each("late_events", format!("Late events {since}."), &watched, |f| {
                count(f.late_events)
            })?;
        }
        if matches!(period, Period::Mtd | Period::Ytd) {
            let finance = |(cell, _): &(&Cell, &Figures)| cell.1.line() == Line::Finance;
            let balances = watched.iter().filter(finance).map(|(cell, sum)| (*cell, *sum));
            let help = format!("Net movement of balances {since}.");
            each("balance_yuan", help, &balances.collect(), |f| yuan(f.balance))?;
        }
    }
    Ok(())
}

/// The sums of all cells, of those that have nothing, too.
pub(super) fn with_zeros(cells: &Sums, sums: &Sums) -> Sums {
    let zeros = cells.keys().map(|cell| (*cell, Figures::default()));
    zeros.chain(sums.iter().map(|(cell, figures)| (*cell, *figures))).collect()
}

/// The cells of a publish, and baselines on the days that are theirs.
pub(super) struct Table<'a> {
    snapshot: &'a Snapshot,
    known: Known,
}

impl<'a> Table<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let entry = snapshot.manifest.indicators;
        let settings = entry.map(|entry| entry.settings).unwrap_or_default();
        let mut known = Known::new(settings, &snapshot.reference.figures);
        let mut days: Vec<_> = snapshot.rollup.cells().map(|(cell, _)| cell.day).collect();
        days.dedup();
        known.add_log(days);
        Self { snapshot, known }
    }

    /// Whether all of a base is known that a period is held against.
    pub(super) fn has_base(&self, period: Range, base: Range) -> bool {
        self.known.has_base(period, base)
    }

    /// Sums over a range.
    pub(super) fn sums(&self, range: Range) -> Sums {
        let mut sums = Sums::new();
        let cells = self.snapshot.rollup.days(range.first, range.last.plus_days(1));
        let own = cells.filter(|(cell, _)| self.known.is_the_logs(cell.day));
        for (CellKey { prefecture, product, .. }, measures) in own {
            sums.entry((*prefecture, *product)).or_default().add(measures);
        }
        let baselines = self.snapshot.reference.figures.baselines.iter();
        let baselines = baselines
            .filter(|((day, ..), _)| range.contains(*day) && !self.known.is_the_logs(*day));
        for ((_, prefecture, product), baseline) in baselines {
            let figures = sums.entry((*prefecture, *product)).or_default();
            figures.volume += baseline.volume;
            figures.revenue += baseline.revenue;
            figures.balance += baseline.balance;
        }
        sums
    }
}
