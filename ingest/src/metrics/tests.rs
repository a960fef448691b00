//! The names and labels that the contract promises, in the text that is scraped.

use std::collections::BTreeSet;

use postroad_schemas::reject::Reject;
use postroad_schemas::units::{NextOffset, Timestamp};

use super::*;
use crate::shards::stall::Stall;

/// CONTRACT's pipeline metrics with their labels; the first group is there from the start.
const FROM_THE_START: [(&str, &[&str]); 19] = [
    ("postroad_checkpoints_total", &["outcome"]),
    ("postroad_publishes_total", &["outcome"]),
    ("postroad_store_errors_total", &["operation"]),
    ("postroad_shards", &["state"]),
    ("postroad_rebalances_total", &[]),
    ("postroad_checkpoint_duration_seconds", &[]),
    ("postroad_checkpoint_last_success_timestamp_seconds", &[]),
    ("postroad_fenced_total", &[]),
    ("postroad_publish_duration_seconds", &[]),
    ("postroad_publish_last_success_timestamp_seconds", &[]),
    ("postroad_publisher", &[]),
    ("postroad_restatements_total", &[]),
    ("postroad_restatements_unknown_total", &[]),
    ("postroad_queue_bytes", &[]),
    ("postroad_state_cells", &[]),
    ("postroad_dedupe_ids", &[]),
    ("postroad_reference_last_reload_success_timestamp_seconds", &[]),
    ("postroad_reference_last_reload_successful", &[]),
    ("postroad_build_info", &["version", "revision"]),
];

/// The second is made by the event that it counts.
const ONCE_SOMETHING_HAPPENED: [(&str, &[&str]); 7] = [
    ("postroad_records_total", &["topic", "partition", "outcome"]),
    ("postroad_records_rejected_total", &["topic", "reason"]),
    ("postroad_consumer_lag_records", &["topic", "partition"]),
    ("postroad_shard_stalled", &["topic", "partition", "reason"]),
    ("postroad_offset_gaps_total", &["topic", "partition"]),
    ("postroad_watermark_timestamp_seconds", &["topic", "partition"]),
    ("postroad_reference_info", &["version"]),
];

type Series = (String, BTreeMap<String, String>, f64);

/// The series of an exposition; the parts of a histogram count as the histogram.
fn series(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part).filter(|name| name.ends_with("_seconds")))
                .unwrap_or(name);
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (name, value) = label.split_once('=').expect("a label");
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            let labels = labels.filter(|(name, _)| name != "le").collect();
            (name.to_owned(), labels, value.parse().expect("a number"))
        })
        .collect()
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("parcel.events", partition)
}

fn progress() -> Progress {
    Progress {
        next_offset: 70,
        watermark: Some(Timestamp::from_millis(1_622_520_000_500)),
        caught_up_at: None,
        gaps: 0,
        at_end: false,
        restoring: false,
        cells: 5,
        dedupe_ids: 9,
    }
}

/// An instance to which everything has happened once.
fn eventful() -> (Metrics, Status) {
    let (metrics, status) = (Metrics::new(), Status::default());
    let mut shard = metrics.shard(&tp(0));
    shard.count(Outcome::Applied, 0);
    shard.count(Outcome::Applied, 3);
    shard.count(Outcome::Duplicate, 0);
    shard.count(Outcome::Rejected(Reject::whole(Reason::Malformed)), 0);
    shard.count(Outcome::Ignored, 0);
    shard.count_gap(4);
    shard.emit();
    for outcome in ["committed", "fenced"] {
        metrics.count_checkpoint(outcome);
        metrics.count_publish(outcome);
    }
    metrics.count_store_error("publish");
    for version in ["0123456789abcdef", "fedcba9876543210"] {
        metrics.use_reference(version);
    }
    let stall = Stall::RetentionOverrun { from: NextOffset::new(1), low: NextOffset::new(2) };
    status.update(|view| {
        view.phases.insert(tp(0), ShardPhase::Running { unresolved: None });
        view.phases.insert(tp(1), ShardPhase::Stalled(stall));
        view.phases.insert(tp(2), ShardPhase::Loading { failure: None });
        view.gone.insert(tp(7), Stall::PartitionGone { partitions: 4 });
        view.log_ends.insert(tp(0), 100);
    });
    status.progress(&tp(0), progress());
    (metrics, status)
}

fn scrape(metrics: &Metrics, status: &Status) -> Vec<Series> {
    series(&metrics.text(status, 17).expect("an exposition"))
}

#[track_caller]
fn value(series: &[Series], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |found: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
    };
    let mut values = series.iter().filter(|(of, found, _)| of == name && fits(found));
    let value = values.next().map(|(_, _, value)| *value);
    assert!(values.next().is_none(), "{name} {labels:?} is ambiguous");
    value
}

#[test]
fn a_fresh_instance_shows_what_needs_no_event() {
    let series = scrape(&Metrics::new(), &Status::default());
    let names: BTreeSet<&str> = series.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, FROM_THE_START.iter().map(|(name, _)| *name).collect());
    for state in ["loading", "running", "stalled"] {
        assert_eq!(value(&series, "postroad_shards", &[("state", state)]), Some(0.0));
    }
}

#[test]
fn every_name_of_the_contract_is_there_with_its_labels_and_no_other() {
    let (metrics, status) = eventful();
    let series = scrape(&metrics, &status);
    let promised: BTreeMap<&str, &[&str]> =
        FROM_THE_START.into_iter().chain(ONCE_SOMETHING_HAPPENED).collect();
    let names: BTreeSet<&str> = series.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, promised.keys().copied().collect());
    for (name, labels, _) in &series {
        let labels: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(labels, promised[&**name].iter().copied().collect(), "{name}");
    }
}

#[test]
fn values_are_what_was_counted() {
    let (metrics, status) = eventful();
    let series = scrape(&metrics, &status);
    let of = |name: &str, labels: &[(&str, &str)]| value(&series, name, labels);
    for (outcome, count) in
        [("applied", 2.0), ("duplicate", 1.0), ("rejected", 1.0), ("ignored", 1.0)]
    {
        let labels = [("topic", "parcel.events"), ("partition", "0"), ("outcome", outcome)];
        assert_eq!(of("postroad_records_total", &labels), Some(count), "{outcome}");
    }
    assert_eq!(of("postroad_records_rejected_total", &[("reason", "malformed")]), Some(1.0));
    assert_eq!(of("postroad_offset_gaps_total", &[("partition", "0")]), Some(7.0));
    assert_eq!(of("postroad_consumer_lag_records", &[("partition", "0")]), Some(30.0));
    let watermark = of("postroad_watermark_timestamp_seconds", &[("partition", "0")]);
    assert_eq!(watermark, Some(1_622_520_000.5));
    for state in ["loading", "running", "stalled"] {
        assert_eq!(of("postroad_shards", &[("state", state)]), Some(1.0), "{state}");
    }
    let labels = [("partition", "1"), ("reason", "retention_overrun")];
    assert_eq!(of("postroad_shard_stalled", &labels), Some(1.0));
    let labels = [("partition", "7"), ("reason", "partition_gone")];
    assert_eq!(of("postroad_shard_stalled", &labels), Some(1.0));
    assert_eq!(of("postroad_queue_bytes", &[]), Some(17.0));
    assert_eq!(of("postroad_state_cells", &[]), Some(5.0));
    assert_eq!(of("postroad_dedupe_ids", &[]), Some(9.0));
    assert_eq!(of("postroad_build_info", &[]), Some(1.0));
    assert_eq!(of("postroad_reference_info", &[("version", "fedcba987654")]), Some(1.0));
    assert_eq!(of("postroad_reference_info", &[]), Some(1.0), "only what is in use");
    // Told once: a second scrape without events counts nothing anew.
    assert_eq!(scrape(&metrics, &status), series);
}

/// Every reason of a reject is a label value of the contract, and the only ones there are.
#[test]
fn reasons_are_a_closed_set() {
    let (metrics, status) = (Metrics::new(), Status::default());
    let mut shard = metrics.shard(&tp(0));
    for reason in Reason::ALL {
        shard.count(Outcome::Rejected(Reject::whole(*reason)), 0);
    }
    shard.emit();
    let series = scrape(&metrics, &status);
    let found = series.iter().filter(|(name, ..)| name == "postroad_records_rejected_total");
    let found: BTreeSet<&str> = found.map(|(_, labels, _)| &*labels["reason"]).collect();
    let contract = "too_large malformed unknown_schema missing_field unknown_type unknown_product \
        invalid_reversal type_product_mismatch unknown_prefecture invalid_time future \
        date_out_of_range amount_out_of_range clock_ahead";
    assert_eq!(found, contract.split_whitespace().collect());
}

#[test]
fn a_shard_that_went_takes_its_gauges_along_and_leaves_its_counters() {
    let (metrics, status) = eventful();
    scrape(&metrics, &status);
    status.forget(&tp(0));
    status.update(|view| {
        view.phases.clear();
        view.gone.clear();
    });
    metrics.forget_shard(&tp(0));
    let series = scrape(&metrics, &status);
    for name in [
        "postroad_consumer_lag_records",
        "postroad_watermark_timestamp_seconds",
        "postroad_shard_stalled",
    ] {
        assert!(series.iter().all(|(found, ..)| found != name), "{name}");
    }
    let applied = value(&series, "postroad_records_total", &[("outcome", "applied")]);
    assert_eq!(applied, Some(2.0));
    assert_eq!(value(&series, "postroad_shards", &[("state", "running")]), Some(0.0));
    assert_eq!(value(&series, "postroad_state_cells", &[]), Some(0.0));
    // It comes back: the counter goes on where it was.
    let mut again = metrics.shard(&tp(0));
    again.count(Outcome::Applied, 0);
    again.emit();
    let series = scrape(&metrics, &status);
    let applied = value(&series, "postroad_records_total", &[("outcome", "applied")]);
    assert_eq!(applied, Some(3.0));
}

#[test]
fn a_shard_is_loading_until_its_window_is_whole() {
    let running = ShardPhase::Running { unresolved: None };
    let whole = progress();
    let restoring = Progress { restoring: true, ..whole };
    assert_eq!(state_label(&running, Some(&whole)), "running");
    assert_eq!(state_label(&running, Some(&restoring)), "loading");
    assert_eq!(state_label(&running, None), "loading");
}
