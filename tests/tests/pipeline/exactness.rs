//! Tables, ledger and dead letters equal the oracle's, whatever happens to the process.

use std::time::Duration;

use postroad_tests::logs::random_log;
use postroad_tests::mock::{Mock, PATIENCE, Site};
use postroad_tests::oracle::{OracleRecord, OracleShard};
use postroad_tests::process::{Metrics, Postroad, Signal};
use postroad_tests::wait::{holds_within, wait_until};

use super::{FINANCE, PARCELS, float, judged, metrics, stop, wait_ready};

/// A hostile log for each of eight partitions, in chunks that a test produces at moments of its
/// choice.
struct Logs(Vec<((&'static str, i32), Vec<OracleRecord>)>);

impl Logs {
    fn new(seed: u64, records: usize) -> Self {
        let log = |(topic, contract): (&'static str, &str), partition: i32| {
            let seed = seed * 1000 + u64::from(partition.unsigned_abs());
            ((topic, partition), random_log(seed, contract, records))
        };
        let topics = [(PARCELS, "parcel"), (FINANCE, "finance")];
        Self(topics.into_iter().flat_map(|topic| (0..4).map(move |p| log(topic, p))).collect())
    }

    /// Produces the part `[part, part + 1)` of so many equal ones.
    fn produce(&self, mock: &Mock, part: usize, parts: usize) {
        for (to, log) in &self.0 {
            mock.produce_all(*to, &log[log.len() * part / parts..log.len() * (part + 1) / parts]);
        }
    }
}

/// A moment in the life of an instance.
type Moment<'a> = &'a dyn Fn(&Postroad) -> bool;

fn mock() -> Mock {
    Mock::start(&[(PARCELS, 4), (FINANCE, 4)])
}

#[test]
fn hostile_logs_become_the_oracles_tables_and_a_restart_reads_only_what_is_new() {
    let (mock, logs) = (mock(), Logs::new(1, 600));
    let site = Site::new(&mock.brokers(), "exact", &[PARCELS, FINANCE]);
    logs.produce(&mock, 0, 3);
    let mut postroad = site.run();
    wait_ready(&postroad);
    // While it runs, too.
    logs.produce(&mock, 1, 3);
    let expected = mock.judge();
    assert!(expected.values().all(|shard| shard.ignored > 0 && shard.rejected > 0));
    site.assert_published(&expected);
    assert_counted(&postroad.metrics(), &mock);
    stop(&mut postroad);

    // Nothing new: nothing is counted again, and the figures are there all the same.
    let mut postroad = site.run();
    wait_ready(&postroad);
    let has_figures = || {
        let figures = postroad.try_get("/metrics/business").map(|(_, body)| Metrics::parse(&body));
        figures.is_some_and(|figures| figures.sum("postroad_prefectures", &[]) > 0.0)
    };
    wait_until(PATIENCE, "the figures of the last publish are shown", has_figures);
    assert!(judged(&postroad) < 0.5, "records were judged again");
    let before = mock.sent();
    logs.produce(&mock, 2, 3);
    site.assert_published(&mock.judge());
    let again = judged(&postroad) - float(mock.sent() - before);
    assert!(again.abs() < 0.5, "{again} more records were judged than are new");
    stop(&mut postroad);
    site.assert_published(&mock.judge());
}

fn assert_counted(metrics: &Metrics, mock: &Mock) {
    let total = |outcome| metrics.sum("postroad_records_total", &[("outcome", outcome)]);
    let judged = mock.judge();
    let sum = |get: fn(&OracleShard) -> i64| {
        let sum: i64 = judged.values().map(get).sum();
        float(usize::try_from(sum).unwrap())
    };
    let found = ["applied", "duplicate", "rejected", "ignored"].map(total);
    let expected =
        [sum(|s| s.applied), sum(|s| s.duplicates), sum(|s| s.rejected), sum(|s| s.ignored)];
    assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits), "{found:?} {expected:?}");
    let by_reason = metrics.sum("postroad_records_rejected_total", &[]);
    assert!((by_reason - expected[2]).abs() < 0.5, "reasons do not add up to the rejected");
}

#[test]
fn a_kill_at_any_moment_loses_and_repeats_nothing() {
    let (mock, logs) = (mock(), Logs::new(2, 500));
    let site = Site::new(&mock.brokers(), "killed", &[PARCELS, FINANCE]);
    // Killed before it is assigned anything, at the first records, after the first checkpoints,
    // and after the first publish of that life.
    let moments: [Moment<'_>; 4] = [
        &|postroad| metrics(postroad).is_some(),
        &|postroad| judged(postroad) > 0.0,
        &|postroad| {
            metrics(postroad).is_some_and(|m| m.sum("postroad_checkpoints_total", &[]) > 0.0)
        },
        &|postroad| {
            let committed = [("outcome", "committed")];
            metrics(postroad).is_some_and(|m| m.sum("postroad_publishes_total", &committed) > 0.0)
        },
    ];
    let parts = moments.len();
    for (part, moment) in moments.into_iter().enumerate() {
        let mut postroad = site.run();
        logs.produce(&mock, part, parts);
        wait_until(PATIENCE, "the moment to be killed at", || moment(&postroad));
        postroad.signal(Signal::Kill);
        postroad.wait(PATIENCE);
    }
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    stop(&mut postroad);
}

#[test]
fn a_topic_added_to_the_configuration_is_read_from_its_beginning() {
    let (mock, logs) = (mock(), Logs::new(3, 120));
    let site = Site::new(&mock.brokers(), "added", &[PARCELS]);
    logs.produce(&mock, 0, 1);
    // Nothing but tombstones beside them.
    for _ in 0..5 {
        mock.produce((FINANCE, 0), Some(1_624_579_200_000), None);
    }
    let mut expected = mock.judge();
    expected.retain(|(topic, _), _| topic == PARCELS);
    let mut postroad = site.run();
    site.assert_published(&expected);
    stop(&mut postroad);

    let text = postroad_tests::mock::config(
        &mock.brokers(),
        "added",
        &site.store(),
        site.port,
        &[PARCELS, FINANCE],
    );
    site.configure(&text);
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    let ignored = postroad.metrics().sum(
        "postroad_records_total",
        &[("topic", FINANCE), ("partition", "0"), ("outcome", "ignored")],
    );
    assert!(ignored >= 5.0, "tombstones are ignored, and counted: {ignored}");
    // Stopped at once after a record: the last publish has it.
    let before = judged(&postroad);
    mock.produce((PARCELS, 0), None, None);
    mock.flush();
    assert!(holds_within(Duration::from_secs(20), || judged(&postroad) > before), "not read");
    stop(&mut postroad);
    site.assert_published(&mock.judge());
}
