//! Logs that lost what was not read yet, or are not the logs that they were.

use postroad_tests::kafka::Cluster;
use postroad_tests::tables::Tables;
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, create_topic, lines_with, shared_cluster, timed};
use crate::produce::Producer;

/// Waits until a shard is stalled for a reason, in the metrics, in readiness and in the log.
#[track_caller]
pub(crate) fn wait_for_stall(instance: &Instance, shard: (&str, i32), reason: &str) {
    let (topic, partition) = shard;
    let partition = partition.to_string();
    let labels = [("topic", topic), ("partition", partition.as_str()), ("reason", reason)];
    wait_until(SOON, &format!("{topic}/{partition} is stalled: {reason}"), || {
        instance.sum("postroad_shard_stalled", &labels) > 0.5
    });
    let (status, body) = instance.readiness().expect("it answers");
    assert_eq!(status, 503, "{body}");
    let shard = format!("{topic}[{partition}]");
    let named = |line: &&str| line.contains(&shard) && line.contains("stalled");
    assert_eq!(body.lines().filter(named).count(), 1, "readiness does not name {shard}: {body}");
    let log = instance.log();
    let said = log.lines().filter(named).count();
    // Once for each time that the group gave it to this instance.
    let revoked = log.lines().filter(|line| line.contains(&shard) && line.contains("revoked"));
    let times = 1 + revoked.count();
    assert!((1..=times).contains(&said), "{said} times {shard} is said to be stalled:\n{log}");
}

/// State and reason of a shard in the ledger.
pub(crate) fn standing<'a>(
    tables: &'a Tables,
    topic: &str,
    partition: i32,
) -> (&'a str, Option<&'a str>) {
    let row = &tables.ledger[&(topic.to_owned(), partition)];
    (&row.state, row.reason.as_deref())
}

fn recreate(cluster: &Cluster, topic: &str, partitions: i32) {
    cluster.delete_topic(topic);
    create_topic(cluster, topic, partitions);
}

#[test]
fn a_log_that_lost_records_stops_its_shard_and_no_other() {
    let cluster = shared_cluster();
    let topics = [("overrun", "parcel", 2), ("shorter", "parcel", 1), ("longer", "finance", 1)];
    let bed = Bed::new(cluster, "stalls", &topics).undisturbed();
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
        wait_for_stall(&instance, (&overrun.name, 0), "retention_overrun");
        wait_for_stall(&instance, (&shorter.name, 0), "recreated");
        wait_for_stall(&instance, (&longer.name, 0), "recreated");
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
    assert_eq!(standing(&tables, &overrun.name, 0), ("stalled", Some("retention_overrun")));
    assert_eq!(standing(&tables, &shorter.name, 0), ("stalled", Some("recreated")));
    assert_eq!(standing(&tables, &longer.name, 0), ("stalled", Some("recreated")));
    assert_eq!(standing(&tables, &overrun.name, 1), ("running", None));
    let log = bed.log("only");
    assert_eq!(lines_with(&log, "stalled"), 3, "each stall is said once:\n{log}");
}

#[test]
fn a_topic_recreated_under_a_running_instance_is_not_taken_for_the_old_one() {
    let cluster = shared_cluster();
    let topics = [("other", "parcel", 1), ("anew", "parcel", 2), ("fewer", "finance", 3)];
    let bed = Bed::new(cluster, "lives", &topics).undisturbed();
    let [other, anew, fewer] = &*bed.topics else { unreachable!("three were asked for") };
    let producer = Producer::new(cluster);
    for (topic, _, partitions) in topics {
        let topic = format!("lives.{topic}");
        let contract = bed.topics.iter().find(|known| known.name == topic).expect("it is").contract;
        for partition in 0..partitions {
            producer.random(&topic, partition, contract, 130, 100);
        }
    }
    let instance = bed.start(cluster, "only");
    let before = timed("lives: caught up before", || bed.wait_for_oracle(cluster));
    timed("lives: made anew", || {
        recreate(cluster, &anew.name, 2);
        recreate(cluster, &fewer.name, 2);
    });
    // The same records as before and more: only the topic's id tells the two lives apart.
    let producer = Producer::new(cluster);
    for topic in [anew, fewer] {
        for partition in 0..2 {
            producer.random(&topic.name, partition, topic.contract, 130, 250);
        }
    }
    timed("lives: said", || {
        for partition in 0..2 {
            wait_for_stall(&instance, (&anew.name, partition), "recreated");
            wait_for_stall(&instance, (&fewer.name, partition), "recreated");
        }
    });
    producer.random(&other.name, 0, "parcel", 131, 100);
    let mut expected = before.clone();
    expected.extend(bed.expected(cluster).remove_entry(&(other.name.clone(), 0)));
    timed("lives: the other topic goes on", || bed.wait_for(&expected));
    timed("lives: the partition that is gone says so", || {
        wait_until(SOON, "the ledger says that the partition is gone", || {
            Tables::read(&bed.store).is_ok_and(|tables| {
                standing(&tables, &fewer.name, 2) == ("stalled", Some("partition_gone"))
            })
        });
    });
    instance.stop();
    let tables = bed.assert_tables(&expected);
    for topic in [anew, fewer] {
        for partition in 0..2 {
            let standing = standing(&tables, &topic.name, partition);
            assert_eq!(standing, ("stalled", Some("recreated")), "{}/{partition}", topic.name);
        }
    }
}
