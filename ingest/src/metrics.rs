//! The pipeline's own metrics: one struct of handles, made in one place and passed in.
//!
//! Names, types and labels are those of the contract. Workers count locally and emit once a batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use postroad_aggregate::ledger::Outcome;
use postroad_schemas::reject::Reason;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::shards::lifecycle::ShardPhase;
use crate::source::kafka::TopicPartition;
use crate::status::{Progress, Status};

/// The outcomes of a record, in the order of the local counts.
const OUTCOMES: [&str; 4] = ["applied", "duplicate", "rejected", "ignored"];

/// How many digits of a version of the reference data a label shows.
const REFERENCE_DIGITS: usize = 12;

/// Handles of every metric, sharing one registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Held over one scrape: gauges that are derived are reset and set again.
    scrape: Arc<Mutex<()>>,
    records: IntCounterVec,
    rejected: IntCounterVec,
    gaps: IntCounterVec,
    lag: IntGaugeVec,
    watermark: prometheus::GaugeVec,
    shards: IntGaugeVec,
    stalled: IntGaugeVec,
    store_errors: IntCounterVec,
    checkpoints: IntCounterVec,
    publishes: IntCounterVec,
    state_cells: IntGauge,
    dedupe_ids: IntGauge,
    queue_bytes: IntGauge,
    /// Changes of the group's assignment.
    pub rebalances: IntCounter,
    /// Chains that turned out to be somebody else's.
    pub fenced: IntCounter,
    /// One try to write a checkpoint: its segments, the confirmation, the put and its checks.
    pub checkpoint_duration: Histogram,
    /// When a put last landed.
    pub checkpoint_last_success: Gauge,
    /// From reading the checkpoints to the last file being in place.
    pub publish_duration: Histogram,
    /// When a publish was last made, or found to be unnecessary.
    pub publish_last_success: Gauge,
    /// 1 while this instance publishes.
    pub publisher: IntGauge,
    /// 1 while the reference data in use are what their folder held when it was last read.
    pub reference_reloaded: IntGauge,
    /// When the reference data in use were read.
    pub reference_last_success: Gauge,
    reference_info: IntGaugeVec,
    /// Final cells that a publish moved.
    pub restatements: IntCounter,
    /// Months of which a publisher could not learn what had been final, or restated.
    pub restatements_unknown: IntCounter,
}

/// Registers everything that a vector of definitions asks for.
struct Builder(Registry);

impl Builder {
    fn add<T: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<T>,
    ) -> T {
        let collector = made.expect("names and labels are literals, checked by a test");
        self.0.register(Box::new(collector.clone())).expect("each name is registered once");
        collector
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        let buckets = vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }
}

impl Metrics {
    /// Makes and registers every metric: a list, and therefore long.
    ///
    /// # Panics
    /// Never: names and labels are literals, and a test makes them.
    #[expect(clippy::too_many_lines, reason = "one entry for each metric")]
    pub fn new() -> Self {
        let build = Builder(Registry::new());
        let info = build.gauges(
            "postroad_build_info",
            "Always 1; the labels say which program this is.",
            &["version", "revision"],
        );
        let revision = option_env!("POSTROAD_REVISION").unwrap_or("unknown");
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let metrics = Self {
            records: build.counters(
                "postroad_records_total",
                "Records judged, by outcome.",
                &["topic", "partition", "outcome"],
            ),
            rejected: build.counters(
                "postroad_records_rejected_total",
                "Records that cannot be used, by reason.",
                &["topic", "reason"],
            ),
            gaps: build.counters(
                "postroad_offset_gaps_total",
                "Offsets that the log does not deliver.",
                &["topic", "partition"],
            ),
            lag: build.gauges(
                "postroad_consumer_lag_records",
                "Offsets between the shard and the end of its log.",
                &["topic", "partition"],
            ),
            watermark: build.add(prometheus::GaugeVec::new(
                Opts::new(
                    "postroad_watermark_timestamp_seconds",
                    "Shard time: the clock of the log, not of the wall.",
                ),
                &["topic", "partition"],
            )),
            shards: build.gauges(
                "postroad_shards",
                "Shards of this instance, by state.",
                &["state"],
            ),
            stalled: build.gauges(
                "postroad_shard_stalled",
                "1 while a shard waits for an operator.",
                &["topic", "partition", "reason"],
            ),
            store_errors: build.counters(
                "postroad_store_errors_total",
                "Operations on the store that failed or whose result is unknown.",
                &["operation"],
            ),
            checkpoints: build.counters(
                "postroad_checkpoints_total",
                "Checkpoints, by outcome.",
                &["outcome"],
            ),
            publishes: build.counters(
                "postroad_publishes_total",
                "Publishes, by outcome.",
                &["outcome"],
            ),
            state_cells: build.gauge("postroad_state_cells", "Rollup cells held by shards."),
            dedupe_ids: build.gauge("postroad_dedupe_ids", "Event ids held by dedupe windows."),
            queue_bytes: build.gauge(
                "postroad_queue_bytes",
                "Bytes read from Kafka that no worker has folded yet.",
            ),
            rebalances: build.counter(
                "postroad_rebalances_total",
                "Changes of the partitions assigned to this instance.",
            ),
            fenced: build.counter(
                "postroad_fenced_total",
                "Shards dropped because another instance had claimed them.",
            ),
            checkpoint_duration: build.histogram(
                "postroad_checkpoint_duration_seconds",
                "One try to write a checkpoint: segments, confirmation, put and checks.",
            ),
            checkpoint_last_success: build.seconds(
                "postroad_checkpoint_last_success_timestamp_seconds",
                "When a checkpoint last landed.",
            ),
            publish_duration: build.histogram(
                "postroad_publish_duration_seconds",
                "From reading the checkpoints to the last file being in place.",
            ),
            publish_last_success: build.seconds(
                "postroad_publish_last_success_timestamp_seconds",
                "When the tables were last published, or found up to date.",
            ),
            publisher: build.gauge("postroad_publisher", "1 while this instance publishes."),
            reference_reloaded: build.gauge(
                "postroad_reference_last_reload_successful",
                "Whether the reference data were valid when last read.",
            ),
            reference_last_success: build.seconds(
                "postroad_reference_last_reload_success_timestamp_seconds",
                "When the reference data in use were read.",
            ),
            reference_info: build.gauges(
                "postroad_reference_info",
                "Always 1; the label says which reference data this instance uses.",
                &["version"],
            ),
            restatements: build.counter(
                "postroad_restatements_total",
                "Cells of final days that a publish moved.",
            ),
            restatements_unknown: build.counter(
                "postroad_restatements_unknown_total",
                "Months whose restatements may be incomplete: what had been published is lost.",
            ),
            scrape: Arc::default(),
            registry: build.0,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Shows every outcome from the start on, so that `increase()` sees the first of each.
    fn begin_at_zero(&self) {
        for outcome in ["committed", "unresolved", "fenced", "unconfirmed", "recreated"] {
            self.checkpoints.with_label_values(&[outcome]);
        }
        for outcome in ["committed", "unchanged", "superseded", "failed"] {
            self.publishes.with_label_values(&[outcome]);
        }
        for operation in ["checkpoint", "publish"] {
            self.store_errors.with_label_values(&[operation]);
        }
    }

    /// The metrics in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// Where the encoder refuses a family, which is a defect.
    pub fn text(&self, status: &Status, queue_bytes: usize) -> prometheus::Result<String> {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(status, queue_bytes);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Shows which reference data are in use.
    pub fn use_reference(&self, version: &str) {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.reference_info.reset();
        let version = version.get(..REFERENCE_DIGITS).unwrap_or(version);
        self.reference_info.with_label_values(&[version]).set(1);
    }

    /// Counts a checkpoint.
    pub fn count_checkpoint(&self, outcome: &str) {
        self.checkpoints.with_label_values(&[outcome]).inc();
    }

    /// Counts a publish.
    pub fn count_publish(&self, outcome: &str) {
        self.publishes.with_label_values(&[outcome]).inc();
    }

    /// Counts an operation on the store that failed.
    pub fn count_store_error(&self, operation: &str) {
        self.store_errors.with_label_values(&[operation]).inc();
    }

    /// The handles of one shard.
    pub fn shard(&self, tp: &TopicPartition) -> ShardMetrics {
        let partition = tp.partition.to_string();
        let labels = [&*tp.topic, &partition];
        ShardMetrics {
            outcomes: OUTCOMES.map(|outcome| {
                (0, self.records.with_label_values(&[&*tp.topic, &partition, outcome]))
            }),
            rejected: BTreeMap::new(),
            rejected_total: self.rejected.clone(),
            topic: Arc::clone(&tp.topic),
            gaps: (0, self.gaps.with_label_values(&labels)),
        }
    }

    /// Takes back the gauges of a shard that this instance no longer owns. Its counters stay:
    /// a counter that vanishes and returns looks like a restart.
    pub fn forget_shard(&self, tp: &TopicPartition) {
        let partition = tp.partition.to_string();
        let _ = self.lag.remove_label_values(&[&*tp.topic, &partition]);
        let _ = self.watermark.remove_label_values(&[&*tp.topic, &partition]);
    }

    /// Sets the gauges that are derived from what the instance knows of itself.
    #[expect(clippy::cast_possible_wrap, reason = "gauges of things that fit in memory")]
    fn refresh(&self, status: &Status, queue_bytes: usize) {
        let view = status.view();
        self.queue_bytes.set(queue_bytes as i64);
        self.stalled.reset();
        let mut counts = BTreeMap::from([("loading", 0), ("running", 0), ("stalled", 0)]);
        for (tp, phase) in &view.phases {
            let progress = view.progress.get(tp);
            *counts.entry(state_label(phase, progress)).or_default() += 1;
        }
        for (tp, stall) in view.stalled() {
            let partition = tp.partition.to_string();
            self.stalled
                .with_label_values(&[&*tp.topic, &partition, stall.reason().as_str()])
                .set(1);
        }
        for (state, count) in counts {
            self.shards.with_label_values(&[state]).set(count);
        }
        self.lag.reset();
        self.watermark.reset();
        for (tp, progress) in &view.progress {
            let partition = tp.partition.to_string();
            let labels = [&*tp.topic, &partition];
            if let Some(lag) = view.lag(tp) {
                self.lag.with_label_values(&labels).set(lag);
            }
            if let Some(watermark) = progress.watermark {
                self.watermark.with_label_values(&labels).set(watermark.as_seconds_f64());
            }
        }
        self.state_cells.set(view.progress.values().map(|p| p.cells as i64).sum());
        self.dedupe_ids.set(view.progress.values().map(|p| p.dedupe_ids as i64).sum());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A shard whose window is being rebuilt is loading still: nothing new has been read.
pub fn state_label(phase: &ShardPhase, progress: Option<&Progress>) -> &'static str {
    match phase {
        ShardPhase::Running { .. } if progress.is_some_and(|progress| !progress.restoring) => {
            "running"
        }
        ShardPhase::Running { .. } | ShardPhase::Loading { .. } => "loading",
        ShardPhase::Stalled(_) => "stalled",
    }
}

/// The handles of one shard, and what was counted since they were last told.
pub struct ShardMetrics {
    outcomes: [(u64, IntCounter); 4],
    rejected: BTreeMap<Reason, u64>,
    rejected_total: IntCounterVec,
    topic: Arc<str>,
    gaps: (u64, IntCounter),
}

impl ShardMetrics {
    /// Counts a record and the gap before it.
    pub fn count(&mut self, outcome: Outcome, gap: u64) {
        let index = match outcome {
            Outcome::Applied => 0,
            Outcome::Duplicate => 1,
            Outcome::Rejected(reject) => {
                *self.rejected.entry(reject.reason).or_default() += 1;
                2
            }
            Outcome::Ignored => 3,
        };
        self.outcomes[index].0 += 1;
        self.gaps.0 += gap;
    }

    /// Counts offsets at the end of the log.
    pub fn count_gap(&mut self, gap: u64) {
        self.gaps.0 += gap;
    }

    /// Tells the registry.
    pub fn emit(&mut self) {
        for (count, counter) in self.outcomes.iter_mut().chain([&mut self.gaps]) {
            counter.inc_by(std::mem::take(count));
        }
        for (reason, count) in std::mem::take(&mut self.rejected) {
            self.rejected_total.with_label_values(&[&self.topic, reason.as_str()]).inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests;
