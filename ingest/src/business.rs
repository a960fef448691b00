//! The business figures as gauges: a snapshot of the committed publish, computed anew for each, so that
//! series which vanish do vanish, and once for each, however many ask ([`Page`]).
//!
//! Two days matter. Sums run to the as-of day, which is the day of [`as_of`]: today so far, by the log's
//! own clock. Who lags is told as of the last complete day, by the indicators of the publish; sums of
//! complete days end there, too.

mod complete;
mod figures;
mod lights;

use std::sync::Arc;

use bytes::Bytes;
use postroad_aggregate::indicators::pace;
use postroad_schemas::codebook::{Codebook, Line};
use postroad_schemas::units::Timestamp;
use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, Opts, Registry, TextEncoder};
use tokio::sync::Mutex;

pub use self::figures::Figures;
use self::figures::Table;
use crate::offload::offload;
use crate::publish::Snapshot;
use crate::publish::manifest::Manifest;

/// The moment that the figures are of: the newest shard time, and not after the publish itself, so
/// that one producer whose clock runs ahead does not begin tomorrow.
pub fn as_of(snapshot: &Snapshot) -> Option<Timestamp> {
    let newest = snapshot.manifest.shards.iter().filter_map(|shard| shard.watermark).max();
    newest.map(|newest| newest.min(snapshot.manifest.published_at))
}

/// The page that is scraped: made at the first question after a publish, away from the loop that reads
/// records, and kept until the next publish.
#[derive(Debug, Clone, Default)]
pub struct Page(Arc<Mutex<Option<Made>>>);

/// The gauges of the publish that a manifest is of.
#[derive(Debug)]
struct Made {
    manifest: Arc<Manifest>,
    text: Bytes,
}

impl Page {
    /// The gauges of a publish; nothing where nothing was published. Whoever asks while they are made
    /// waits for them.
    ///
    /// # Errors
    /// Where a gauge cannot be made or encoded, which is a defect.
    pub async fn text(&self, snapshot: Option<Snapshot>) -> prometheus::Result<Bytes> {
        let Some(snapshot) = snapshot else { return Ok(Bytes::new()) };
        let mut made = self.0.lock().await;
        if let Some(Made { manifest, text }) = &*made
            && Arc::ptr_eq(manifest, &snapshot.manifest)
        {
            return Ok(text.clone());
        }
        let manifest = Arc::clone(&snapshot.manifest);
        let text = offload(move || text(&snapshot)).await;
        let text = text.map_err(|error| prometheus::Error::Msg(error.to_string()))??;
        let text = Bytes::from(text);
        *made = Some(Made { manifest, text: text.clone() });
        Ok(text)
    }
}

/// The gauges of a publish, in Prometheus' text format 0.0.4.
///
/// # Errors
/// Where a gauge cannot be made or encoded, which is a defect.
fn text(snapshot: &Snapshot) -> prometheus::Result<String> {
    let gauges = Gauges(Registry::new());
    info(&gauges, &snapshot.reference.codebook)?;
    ledger(&gauges, snapshot)?;
    let table = Table::new(snapshot);
    if let Some(as_of) = as_of(snapshot) {
        let help = "The moment that the figures are of, by the log's own clock.";
        gauges.one("postroad_as_of_timestamp_seconds", help, as_of.as_seconds_f64())?;
        figures::add(&gauges, &table, as_of.business_day())?;
        paces(&gauges, snapshot, as_of)?;
    }
    if let Some(evaluation) = &snapshot.evaluation {
        complete::add(&gauges, &table, evaluation.as_of)?;
        lights::add(&gauges, evaluation, &snapshot.reference)?;
    }
    TextEncoder::new().encode_to_string(&gauges.0.gather())
}

/// Where gauges are collected.
struct Gauges(Registry);

impl Gauges {
    fn one(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.register(gauge)
    }

    fn labelled(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        self.register(gauge.clone())?;
        Ok(gauge)
    }

    fn register(&self, gauge: impl Collector + 'static) -> prometheus::Result<()> {
        self.0.register(Box::new(gauge))
    }
}

fn info(gauges: &Gauges, codebook: &Codebook) -> prometheus::Result<()> {
    let gauge = gauges.labelled(
        "postroad_prefecture_info",
        "Always 1; the labels name a prefecture.",
        &["prefecture", "name", "name_zh", "province", "province_name", "province_name_zh"],
    )?;
    for prefecture in codebook.prefectures() {
        let (code, province) = (prefecture.code.to_string(), prefecture.province_code.to_string());
        let labels = [
            &*code,
            &prefecture.name,
            &prefecture.name_zh,
            &province,
            &prefecture.province,
            &prefecture.province_zh,
        ];
        gauge.with_label_values(&labels).set(1.0);
    }
    let count = f64::from(u32::try_from(codebook.prefectures().len()).unwrap_or(u32::MAX));
    gauges.one("postroad_prefectures", "Prefectures in the codebook.", count)
}

/// The ledger's word on the table: each applied record is one event of one cell.
fn ledger(gauges: &Gauges, snapshot: &Snapshot) -> prometheus::Result<()> {
    let events: i128 = snapshot.rollup.cells().map(|(_, cell)| i128::from(cell.events)).sum();
    let difference = events - i128::from(snapshot.manifest.totals.applied);
    let help =
        "Events in the published table less the records that the ledger says were applied: 0.";
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    gauges.one("postroad_ledger_difference_records", help, difference as f64)
}

/// How today stands against the same weekday of the last four weeks, at this time of day.
fn paces(gauges: &Gauges, snapshot: &Snapshot, as_of: Timestamp) -> prometheus::Result<()> {
    let gauge = gauges.labelled(
        "postroad_pace_ratio",
        "Volume of today so far, against what the same weekday of the last four weeks had by this \
         time of day on average; by the hourly profile of the line.",
        &["prefecture", "line"],
    )?;
    for line in [Line::Parcel, Line::Finance] {
        for (prefecture, pace) in pace::paces(&snapshot.rollup, line, as_of) {
            let labels = [&*prefecture.to_string(), line.as_str()];
            gauge.with_label_values(&labels).set(pace);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
