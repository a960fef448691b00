//! The whole pipeline on librdkafka's mock cluster: records in, tables out, judged by the oracle;
//! and the bad days. Needs neither Java nor a network.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod brokers;
mod clocks;
mod commands;
mod demo;
mod exactness;
mod indicators;
mod instances;
mod privacy;
mod replays;
mod reports;
mod restatements;
mod stores;
mod verify;

use std::time::Duration;

use postroad_tests::mock::PATIENCE;
use postroad_tests::process::{Metrics, Postroad, Signal};
use postroad_tests::wait::wait_until;

const PARCELS: &str = "parcel.events";
const FINANCE: &str = "finance.transactions";

/// How long a clean stop may take: it has 25 s for the last checkpoints.
const STOP: Duration = Duration::from_secs(40);

/// Stops cleanly.
#[track_caller]
fn stop(postroad: &mut Postroad) {
    postroad.signal(Signal::Term);
    let status = postroad.wait(STOP);
    assert!(status.success(), "after SIGTERM: {status}");
}

/// The metrics, if the instance listens already.
fn metrics(postroad: &Postroad) -> Option<Metrics> {
    let (status, body) = postroad.try_get("/metrics")?;
    (status == 200).then(|| Metrics::parse(&body))
}

/// Records judged by this instance since it started.
fn judged(postroad: &Postroad) -> f64 {
    metrics(postroad).map_or(0.0, |metrics| metrics.sum("postroad_records_total", &[]))
}

#[track_caller]
fn wait_ready(postroad: &Postroad) {
    wait_until(PATIENCE, "the instance is ready", || {
        postroad.try_get("/-/ready").is_some_and(|(status, _)| status == 200)
    });
}

/// How often a line of the log contains a text.
fn lines_with(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

/// Whole small numbers, as the metrics have them.
#[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
fn float(count: usize) -> f64 {
    count as f64
}
