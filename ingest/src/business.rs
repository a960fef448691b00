//! The business figures as gauges, computed anew from the committed publish at each scrape, so
//! that series which vanish do vanish.
//!
//! Periods run from their first day to the as-of day, which is the day of [`as_of`]: today so far, by
//! the log's own clock.

use std::collections::BTreeMap;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_schemas::codebook::{Codebook, PrefectureCode, Product};
use postroad_schemas::units::{BusinessDay, Fen, Timestamp};
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};

use crate::publish::Snapshot;

/// A period that ends with the as-of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Day,
    MonthToDate,
    QuarterToDate,
    YearToDate,
}

impl Period {
    const ALL: [Self; 4] = [Self::Day, Self::MonthToDate, Self::QuarterToDate, Self::YearToDate];

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::MonthToDate => "mtd",
            Self::QuarterToDate => "qtd",
            Self::YearToDate => "ytd",
        }
    }

    /// The first day, inclusive.
    fn start(self, as_of: BusinessDay) -> BusinessDay {
        match self {
            Self::Day => as_of,
            Self::MonthToDate => as_of.month_start(),
            Self::QuarterToDate => as_of.quarter_start(),
            Self::YearToDate => as_of.year_start(),
        }
    }
}

/// Volume and revenue of one prefecture and product over one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Accepted volume.
    pub volume: i64,
    /// Revenue.
    pub revenue: Fen,
}

impl Figures {
    /// Adds the measures of a cell.
    pub fn add(&mut self, measures: &Measures) {
        self.volume += measures.volume;
        self.revenue += measures.revenue;
    }

    /// Revenue in yuan, for display and for gauges, which are doubles.
    #[expect(clippy::cast_precision_loss, reason = "shown, never summed further")]
    pub fn revenue_yuan(&self) -> f64 {
        self.revenue.get() as f64 / 100.0
    }
}

/// The moment that the figures are of: the newest shard time, and not after the publish itself, so
/// that one producer whose clock runs ahead does not begin tomorrow.
pub fn as_of(snapshot: &Snapshot) -> Option<Timestamp> {
    let newest = snapshot.manifest.shards.iter().filter_map(|shard| shard.watermark).max();
    newest.map(|newest| newest.min(snapshot.manifest.published_at))
}

/// The gauges in Prometheus' text format 0.0.4; nothing where nothing was published.
///
/// # Errors
/// Where a gauge cannot be made or encoded, which is a defect.
pub fn text(snapshot: Option<&Snapshot>, codebook: &Codebook) -> prometheus::Result<String> {
    let registry = Registry::new();
    if let Some(snapshot) = snapshot {
        info(&registry, codebook)?;
        if let Some(as_of) = as_of(snapshot) {
            let gauge = prometheus::Gauge::new(
                "postroad_as_of_timestamp_seconds",
                "The moment that the figures are of, by the log's own clock.",
            )?;
            gauge.set(as_of.as_seconds_f64());
            registry.register(Box::new(gauge))?;
            for period in Period::ALL {
                figures(&registry, snapshot, period, as_of.business_day())?;
            }
        }
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn info(registry: &Registry, codebook: &Codebook) -> prometheus::Result<()> {
    let gauge = GaugeVec::new(
        Opts::new("postroad_prefecture_info", "Always 1; the labels name a prefecture."),
        &["prefecture", "name", "name_zh", "province"],
    )?;
    for prefecture in codebook.prefectures() {
        let code = prefecture.code.to_string();
        let labels = [&*code, &prefecture.name, &prefecture.name_zh, &prefecture.province];
        gauge.with_label_values(&labels).set(1.0);
    }
    let count = prometheus::IntGauge::new("postroad_prefectures", "Prefectures in the codebook.")?;
    count.set(i64::try_from(codebook.prefectures().len()).unwrap_or(i64::MAX));
    registry.register(Box::new(count))?;
    registry.register(Box::new(gauge))
}

fn figures(
    registry: &Registry,
    snapshot: &Snapshot,
    period: Period,
    as_of: BusinessDay,
) -> prometheus::Result<()> {
    let mut sums: BTreeMap<(PrefectureCode, Product), Figures> = BTreeMap::new();
    let cells = snapshot.rollup.days(period.start(as_of), as_of.plus_days(1));
    for (CellKey { prefecture, product, .. }, measures) in cells {
        sums.entry((*prefecture, *product)).or_default().add(measures);
    }
    let gauges = |measure: &str, help: &str| {
        let name = format!("postroad_{}_{measure}", period.name());
        let gauge = GaugeVec::new(Opts::new(name, help), &["prefecture", "line", "product"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok::<_, prometheus::Error>(gauge)
    };
    let volume = gauges("volume", "Accepted volume from the period's first day to the as-of day.")?;
    let revenue = gauges("revenue_yuan", "Revenue from the period's first day to the as-of day.")?;
    for ((prefecture, product), sum) in sums {
        let prefecture = prefecture.to_string();
        let labels = [&*prefecture, product.line().as_str(), product.as_str()];
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
        volume.with_label_values(&labels).set(sum.volume as f64);
        revenue.with_label_values(&labels).set(sum.revenue_yuan());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
