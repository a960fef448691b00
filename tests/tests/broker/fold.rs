//! One instance, and everything that producers do to a log.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use postroad_tests::kafka::Cluster;
use postroad_tests::logs::{random_log, valid_event};
use postroad_tests::process::Metrics;
use postroad_tests::tables::{LedgerRow, OracleShards, Tables, merged};
use postroad_tests::wait::wait_until;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::bed::{Bed, Instance, SOON, shared_cluster, timed};
use crate::produce::Producer;

/// 2021-06-30T12:00:00+08:00, in microseconds.
const NOON_MICROS: i64 = 1_625_025_600_000_000;

/// Valid events, one a line, as the console producer takes them.
fn lines(contract: &str, count: usize, seed: u64) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|_| Value::Object(valid_event(&mut rng, contract, NOON_MICROS)).to_string())
        .collect()
}

#[test]
fn whatever_producers_do_the_tables_are_the_oracles() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "fold", &[("parcel", "parcel", 3), ("finance", "finance", 2)])
        .undisturbed();
    let [parcel, finance] = &*bed.topics else { unreachable!("two topics were asked for") };
    timed("console producer", || {
        cluster.console_produce(&parcel.name, &lines("parcel", 300, 1));
        let keyed: Vec<(String, String)> = lines("finance", 300, 2)
            .into_iter()
            .enumerate()
            .map(|(at, line)| (format!("key-{}", at % 7), line))
            .collect();
        cluster.console_produce_keyed(&finance.name, &keyed);
    });
    let producer = Producer::new(cluster);
    timed("random logs", || {
        for (partition, seed) in [(0, 10), (1, 11), (2, 12)] {
            producer.random(&parcel.name, partition, "parcel", seed, 600);
        }
        for (partition, seed) in [(0, 20), (1, 21)] {
            producer.random(&finance.name, partition, "finance", seed, 600);
        }
    });
    let instance = bed.start(cluster, "only");
    timed("caught up", || bed.wait_for_oracle(cluster));
    instance.wait_ready();
    timed("transactions", || transactions(cluster, &bed));
    let expected = timed("caught up behind transactions", || bed.wait_for_oracle(cluster));
    let gaps: i64 = expected.values().map(|shard| shard.gaps).sum();
    assert!(gaps > 60, "aborted records and markers are gaps: {gaps}");
    let applied: i64 = expected.values().map(|shard| shard.applied).sum();
    let duplicates: i64 = expected.values().map(|shard| shard.duplicates).sum();
    assert!(applied > 500 && duplicates > 100, "{applied} applied, {duplicates} duplicates");

    let tables = Tables::read(&bed.store).expect("the tables can be read");
    assert_eq!(tables.ledger.len(), 5);
    timed("metrics", || check_metrics(&instance, &tables));
    timed("business gauges", || check_gauges(&instance, &expected));
    assert_eq!(instance.process.get("/-/healthy").0, 200);
    timed("clean stop", || instance.stop());
    let tables = bed.assert_tables(&expected);
    let committed: BTreeMap<_, _> =
        tables.ledger.iter().map(|(shard, row)| (shard.clone(), row.next_offset)).collect();
    assert_eq!(group_offsets(cluster, &bed), committed, "what lag tools see");
}

/// Committed and aborted transactions on every partition: one ends with an aborted one, one with a
/// committed one, and in between plain records follow.
fn transactions(cluster: &Cluster, bed: &Bed) {
    let producer = Producer::transactional(cluster, &bed.name);
    let plain = Producer::new(cluster);
    for (number, topic) in bed.topics.iter().enumerate() {
        let log = random_log(30 + number as u64, topic.contract, 60);
        for (partition, commits) in [(0, [true, false]), (1, [false, true])] {
            for (round, commit) in commits.into_iter().enumerate() {
                let records = &log[round * 30..][..30];
                producer.transaction(&topic.name, partition, records, commit);
            }
        }
        plain.random(&topic.name, 1, topic.contract, 40 + number as u64, 20);
        producer.transaction(&topic.name, 0, &log[..5], false);
    }
}

/// The counters of an instance that judged everything are the ledger.
fn check_metrics(instance: &Instance, tables: &Tables) {
    let metrics = instance.metrics();
    let mut lag = None;
    wait_until(SOON, "the lag is known and 0", || {
        let now = instance.metrics();
        lag = tables
            .ledger
            .keys()
            .map(|(topic, partition)| {
                let labels = [("topic", topic.as_str()), ("partition", &*partition.to_string())];
                now.value("postroad_consumer_lag_records", &labels)
            })
            .sum::<Option<f64>>();
        lag == Some(0.0)
    });
    for ((topic, partition), row) in &tables.ledger {
        let partition = partition.to_string();
        let labels = [("topic", topic.as_str()), ("partition", &*partition)];
        assert_eq!(counts(&metrics, &labels), counts_of(row), "{topic}/{partition}");
        let watermark = metrics.value("postroad_watermark_timestamp_seconds", &labels);
        let expected = row.watermark_micros.map(|micros| micros as f64 / 1e6);
        assert_eq!(watermark, expected, "watermark of {topic}/{partition}");
    }
    let mut by_reason: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for letter in &tables.dead_letters {
        *by_reason.entry((&letter.topic, &letter.reason)).or_default() += 1.0;
    }
    for ((topic, reason), count) in &by_reason {
        let labels = [("topic", *topic), ("reason", *reason)];
        assert_eq!(metrics.value("postroad_records_rejected_total", &labels), Some(*count));
    }
    let total: f64 = by_reason.values().sum();
    assert_eq!(metrics.sum("postroad_records_rejected_total", &[]), total);
    assert_eq!(metrics.value("postroad_shards", &[("state", "running")]), Some(5.0));
    assert_eq!(metrics.value("postroad_publisher", &[]), Some(1.0));
    assert_eq!(metrics.sum("postroad_store_errors_total", &[]), 0.0);
    assert_eq!(metrics.sum("postroad_fenced_total", &[]), 0.0);
}

/// Applied, duplicates, rejected, ignored, gaps.
fn counts(metrics: &Metrics, shard: &[(&str, &str); 2]) -> [Option<f64>; 5] {
    let outcome = |outcome| {
        metrics.value("postroad_records_total", &[shard[0], shard[1], ("outcome", outcome)])
    };
    [
        outcome("applied"),
        outcome("duplicate"),
        outcome("rejected"),
        outcome("ignored"),
        metrics.value("postroad_offset_gaps_total", shard),
    ]
}

fn counts_of(row: &LedgerRow) -> [Option<f64>; 5] {
    [row.applied, row.duplicates, row.rejected, row.ignored, row.gaps]
        .map(|count| Some(count as f64))
}

/// The figures on the publisher are the oracle's sums over the same days.
fn check_gauges(instance: &Instance, expected: &OracleShards) {
    // The page follows the tables, at the end of the turn that put them in place.
    let seen = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    wait_until(SOON, "the publisher has ended a turn since", || {
        instance.sum("postroad_publish_last_success_timestamp_seconds", &[]) > seen
    });
    let (status, body) = instance.process.get("/metrics/business");
    assert_eq!(status, 200);
    let metrics = Metrics::parse(&body);
    let as_of = metrics.value("postroad_as_of_timestamp_seconds", &[]);
    let watermark = expected.values().filter_map(|shard| shard.watermark_micros).max();
    assert_eq!(as_of, watermark.map(|micros| micros as f64 / 1e6));
    assert_eq!(metrics.matching("postroad_prefecture_info", &[]).count(), 14);
    let as_of = china_date(watermark.expect("something was applied"));
    let quarter = (as_of[5..7].parse::<u8>().expect("a month is a number") - 1) / 3 * 3 + 1;
    let mut series = 0;
    for (period, start) in [
        ("day", as_of.clone()),
        ("mtd", format!("{}-01", &as_of[..7])),
        ("qtd", format!("{}-{quarter:02}-01", &as_of[..4])),
        ("ytd", format!("{}-01-01", &as_of[..4])),
    ] {
        let sums = sums_of(expected, &start, &as_of);
        for (measure, index, unit) in [("volume", 0, 1.0), ("revenue_yuan", 1, 100.0)] {
            let name = format!("postroad_{period}_{measure}");
            assert_eq!(metrics.matching(&name, &[]).count(), sums.len(), "series of {name}");
            for ((prefecture, product), sum) in &sums {
                let labels = [("prefecture", prefecture.as_str()), ("product", product.as_str())];
                let value = metrics.matching(&name, &labels).next().map(|(_, value)| value);
                assert_eq!(value, Some(sum[index] / unit), "{name} of {prefecture} {product}");
                series += 1;
            }
        }
    }
    assert!(series > 20, "only {series} series");
}

/// Volume, and revenue in fen, of the days `[start, end]`, by prefecture and product.
fn sums_of(
    expected: &OracleShards,
    start: &str,
    end: &str,
) -> BTreeMap<(String, String), [f64; 2]> {
    let mut sums: BTreeMap<(String, String), [i128; 2]> = BTreeMap::new();
    for ((date, prefecture, product), measures) in merged(expected) {
        if (start..=end).contains(&date.as_str()) {
            let sum = sums.entry((prefecture, product)).or_default();
            sum[0] += measures[0].1;
            sum[1] += measures[1].1;
        }
    }
    sums.into_iter().map(|(key, sum)| (key, sum.map(|number| number as f64))).collect()
}

/// The date of an instant in UTC+08:00, as the dead letters' oracle would spell it.
fn china_date(micros: i64) -> String {
    let mut rng = StdRng::seed_from_u64(0);
    loop {
        // The generator spells instants with random offsets; the one at +08:00 begins with the
        // date that is asked for.
        let text = postroad_tests::logs::rfc3339(&mut rng, micros);
        if text.ends_with("+08:00") {
            return text[..10].to_owned();
        }
    }
}

/// The group's committed offsets, of every partition.
fn group_offsets(cluster: &Cluster, bed: &Bed) -> BTreeMap<(String, i32), i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = cluster
        .client_config()
        .set("group.id", &bed.name)
        .create()
        .expect("the consumer's settings are valid");
    let mut asked = rdkafka::TopicPartitionList::new();
    for topic in &bed.topics {
        for (partition, _, _) in cluster.end_offsets(&topic.name) {
            asked.add_partition(&topic.name, partition);
        }
    }
    let committed = consumer.committed_offsets(asked, SOON).expect("the brokers answer");
    committed
        .elements()
        .iter()
        .filter_map(|element| {
            let offset = element.offset().to_raw().filter(|offset| *offset >= 0)?;
            Some(((element.topic().to_owned(), element.partition()), offset))
        })
        .collect()
}

#[test]
fn latest_begins_at_the_first_start_and_new_partitions_at_their_beginning() {
    let cluster = shared_cluster();
    let mut bed = Bed::new(cluster, "latest", &[("parcel", "parcel", 2)]);
    bed.topics[0].start = "latest";
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    producer.random(&topic, 0, "parcel", 50, 100);
    producer.random(&topic, 1, "parcel", 51, 70);
    let starts: BTreeMap<(String, i32), i64> = cluster
        .end_offsets(&topic)
        .into_iter()
        .map(|(partition, _, high)| ((topic.clone(), partition), high))
        .collect();
    let instance = bed.start(cluster, "only");
    timed("latest: nothing of before", || {
        bed.wait_for(&bed.expected_from(cluster, &starts));
    });
    producer.random(&topic, 0, "parcel", 52, 100);
    cluster.add_partitions(&topic, 3);
    producer.random(&topic, 2, "parcel", 53, 100);
    let expected = bed.expected_from(cluster, &starts);
    assert_eq!(expected[&(topic.clone(), 2)].first_offset, 0);
    assert_eq!(expected[&(topic.clone(), 2)].consumed, 100);
    timed("latest: a partition added", || bed.wait_for(&expected));
    timed("latest: clean stop", || instance.stop());
    bed.assert_tables(&expected);

    producer.random(&topic, 1, "parcel", 54, 100);
    let again = bed.start(cluster, "only");
    let expected = bed.expected_from(cluster, &starts);
    assert_eq!(expected[&(topic, 1)].consumed, 100, "the first start counts, not this one");
    timed("latest: started again", || bed.wait_for(&expected));
    again.stop();
    bed.assert_tables(&expected);
}
