//! Logs that lost what was not read yet, or are not the logs that they were.

use postroad_tests::kafka::Cluster;
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, create_topic, lines_with, shared_cluster, timed};
use crate::produce::Producer;

/// Waits until a shard is stalled for a reason, in the metrics, in readiness and in the log.
#[track_caller]
pub(crate) fn wait_for_stall(bed: &Bed, instance: &Instance, shard: (&str, i32), reason: &str) {
    let (topic, partition) = shard;
    let partition = partition.to_string();
    let labels = [("topic", topic), ("partition", partition.as_str()), ("reason", reason)];
    wait_until(SOON, &format!("{topic}/{partition} is stalled: {reason}"), || {
        instance.sum("postroad_shard_stalled", &labels) > 0.5
    });
    let (status, body) = instance.readiness().expect("it answers");
    assert_eq!(status, 503, "{body}");
    let named = |line: &str| line.contains(topic) && line.contains("stalled");
    assert!(body.lines().any(named), "readiness does not name {topic}/{partition}: {body}");
    let log = bed.log("only");
    let said = log.lines().filter(|line| line.contains(topic) && line.contains("stalled"));
    assert_eq!(said.count(), 1, "how often the log says that {topic} is stalled:\n{log}");
}

fn recreate(cluster: &Cluster, topic: &str, partitions: i32) {
    cluster.delete_topic(topic);
    create_topic(cluster, topic, partitions);
}

#[test]
fn a_log_that_lost_records_stops_its_shard_and_no_other() {
    let cluster = shared_cluster();
    let topics = [("overrun", "parcel", 2), ("shorter", "parcel", 1), ("longer", "finance", 1)];
    let bed = Bed::new(cluster, "stalls", &topics);
    let [overrun, shorter, longer] = &*bed.topics else { unreachable!("three were asked for") };
    let producer = Producer::new(cluster);
    producer.random(&overrun.name, 0, "parcel", 120, 200);
    producer.random(&overrun.name, 1, "parcel", 121, 200);
    producer.random(&shorter.name, 0, "parcel", 122, 200);
    producer.random(&longer.name, 0, "finance", 123, 200);
    let instance = bed.start(cluster, "only");
    let before = timed("stalls: caught up before", || bed.wait_for_oracle(cluster));
    instance.stop();
    bed.assert_tables(&before);

    // Retention overtakes partition 0 of the first topic: the one whose owner publishes.
    producer.random(&overrun.name, 0, "parcel", 124, 100);
    let ends = cluster.end_offsets(&overrun.name);
    cluster.delete_records(&overrun.name, 0, ends[0].2 - 10);
    producer.random(&overrun.name, 1, "parcel", 125, 100);
    recreate(cluster, &shorter.name, 1);
    recreate(cluster, &longer.name, 1);
    // A producer that knew the topics in their first lives is not what is tested.
    let producer = Producer::new(cluster);
    producer.random(&shorter.name, 0, "parcel", 126, 50);
    producer.random(&longer.name, 0, "finance", 127, 400);

    let instance = bed.start(cluster, "only");
    timed("stalls: said", || {
        wait_for_stall(&bed, &instance, (&overrun.name, 0), "retention_overrun");
        wait_for_stall(&bed, &instance, (&shorter.name, 0), "recreated");
        wait_for_stall(&bed, &instance, (&longer.name, 0), "recreated");
    });
    let mut expected = before.clone();
    let goes_on = (overrun.name.clone(), 1);
    let fold = bed.expected(cluster).remove(&goes_on).expect("it is there");
    assert_eq!(fold.consumed, 300);
    expected.insert(goes_on, fold);
    wait_until(SOON, "the healthy shard has judged its records", || {
        instance.sum("postroad_records_total", &[("topic", &overrun.name), ("partition", "1")])
            > 99.5
    });
    assert!((instance.sum("postroad_shards", &[("state", "stalled")]) - 3.0).abs() < 0.5);
    assert!((instance.sum("postroad_shards", &[("state", "running")]) - 1.0).abs() < 0.5);
    timed("stalls: the healthy shard is published", || bed.wait_for(&expected));
    instance.stop();
    let tables = bed.assert_tables(&expected);
    let standing = |topic: &str, partition| {
        let row = &tables.ledger[&(topic.to_owned(), partition)];
        (row.state.clone(), row.reason.clone().unwrap_or_default())
    };
    let stalled = |reason: &str| ("stalled".to_owned(), reason.to_owned());
    assert_eq!(standing(&overrun.name, 0), stalled("retention_overrun"));
    assert_eq!(standing(&shorter.name, 0), stalled("recreated"));
    assert_eq!(standing(&longer.name, 0), stalled("recreated"));
    assert_eq!(standing(&overrun.name, 1), ("running".to_owned(), String::new()));
    let log = bed.log("only");
    assert_eq!(lines_with(&log, "stalled"), 3, "each stall is said once:\n{log}");
}
