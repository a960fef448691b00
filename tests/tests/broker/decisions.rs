//! What operators decide: shards that must not go on by themselves, and what becomes of them.

use std::process::{Command, Output};

use postroad_tests::kafka::Cluster;
use postroad_tests::oracle::OracleRecord;
use postroad_tests::process::postroad_binary;
use postroad_tests::tables::{OracleShards, Tables};
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, SOON, arg, create_topic, lines_with, shared_cluster, timed};
use crate::produce::Producer;
use crate::stalls::{standing, wait_for_stall};

/// Runs `postroad decide` about a partition.
fn decide(bed: &Bed, wish: &str, (topic, partition): (&str, i32), more: &[&str]) -> Output {
    let partition = partition.to_string();
    let args = ["decide", wish, "--store", arg(&bed.store), "--topic", topic];
    Command::new(postroad_binary())
        .args(args)
        .args(["--partition", &partition, "--reason", "a test"])
        .args(more)
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn decided(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn recreate(cluster: &Cluster, topic: &str, partitions: i32) {
    cluster.delete_topic(topic);
    create_topic(cluster, topic, partitions);
}

/// The new life of a topic holds more records than the old one did, and the instance goes on reading
/// where it stood: nothing but the topic's id tells the one from the other.
#[test]
fn a_topic_made_anew_under_a_running_instance_is_noticed_and_restarted_by_decision() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "anew", &[("events", "parcel", 1)]);
    let topic = bed.topics[0].name.clone();
    Producer::new(cluster).random(&topic, 0, "parcel", 140, 200);
    let instance = bed.start(cluster, "only");
    let before = bed.wait_for_oracle(cluster);
    let high = before[&(topic.clone(), 0)].next_offset;

    recreate(cluster, &topic, 1);
    let producer = Producer::new(cluster);
    producer.random(&topic, 0, "parcel", 141, 400);
    let end = cluster.end_offsets(&topic)[0].2;
    assert!(end > high + 100, "the new log is longer than the old one was");
    timed("anew: noticed", || wait_for_stall(&instance, (&topic, 0), "recreated"));
    timed("anew: the ledger says so", || {
        wait_until(SOON, "the ledger says so", || {
            Tables::read(&bed.store)
                .is_ok_and(|tables| standing(&tables, &topic, 0) == ("stalled", Some("recreated")))
        });
    });
    bed.assert_tables(&before);

    decided(&decide(&bed, "restart", (&topic, 0), &[]));
    let mut expected = before;
    let new_life = bed.expected(cluster).remove(&(topic.clone(), 0)).expect("it is there");
    expected.insert((format!("{topic}#1"), 0), new_life);
    timed("anew: both lives are published", || bed.wait_for(&expected));
    instance.stop();
    let tables = bed.assert_tables(&expected);
    assert_eq!(standing(&tables, &topic, 0), ("closed", Some("restarted")));
    assert_eq!(standing(&tables, &format!("{topic}#1"), 0).0, "running");
    let again = decide(&bed, "restart", (&topic, 0), &[]);
    assert_eq!(again.status.code(), Some(65), "a running shard is not restarted: {again:?}");

    // The next start goes on with the new life.
    producer.random(&topic, 0, "parcel", 142, 50);
    let new_life = bed.expected(cluster).remove(&(topic.clone(), 0)).expect("it is there");
    expected.insert((format!("{topic}#1"), 0), new_life);
    let instance = bed.start(cluster, "only");
    bed.wait_for(&expected);
    instance.stop();
    bed.assert_tables(&expected);
}

/// Sends deposits whose ids nobody repeats: retention takes the beginning of the dedupe window, too.
fn send_deposits(producer: &Producer, topic: &str, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let value = format!(
            r#"{{"event_id":"loss-{number}","txn_type":"deposit","product":"savings",
            "prefecture":"210100","occurred_at":"2021-06-30T12:00:00+08:00","amount_fen":{number}}}"#
        );
        let (offset, timestamp_ms) = (number, Some(1_625_025_600_000 + number));
        let record = OracleRecord { offset, timestamp_ms, value: Some(value.into_bytes()) };
        producer.send(topic, 0, &record);
    }
    producer.flush();
}

/// What retention took is counted as lost, no more and no less, and only once it was accepted.
#[test]
fn a_loss_that_an_operator_accepts_is_counted_and_reading_goes_on() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "loss", &[("events", "finance", 1)]);
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    send_deposits(&producer, &topic, 0..200);
    let instance = bed.start(cluster, "only");
    let mut expected: OracleShards = bed.wait_for_oracle(cluster);
    let early = decide(&bed, "accept-loss", (&topic, 0), &[]);
    assert_eq!(early.status.code(), Some(65), "nothing is lost yet: {early:?}");
    instance.stop();

    send_deposits(&producer, &topic, 200..300);
    let key = (topic.clone(), 0);
    let low = expected[&key].next_offset + 40;
    cluster.delete_records(&topic, 0, low);
    let instance = bed.start(cluster, "only");
    wait_for_stall(&instance, (&topic, 0), "retention_overrun");
    let output = decide(&bed, "accept-loss", (&topic, 0), &[]);
    decided(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("[{}, {low})", low - 40)), "the range is named: {said}");

    let rest = cluster.dump(&topic);
    let shard = expected.get_mut(&key).expect("it is there");
    shard.lost = low - shard.next_offset;
    shard.next_offset = low;
    let clock = i64::MAX / 2;
    for record in &rest {
        let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
        let record = OracleRecord { offset, timestamp_ms, value: record.value.clone() };
        shard.step(&bed.rules(), &record, clock);
    }
    timed("loss: accepted and read on", || bed.wait_for(&expected));
    instance.stop();
    let tables = bed.assert_tables(&expected);
    assert_eq!((tables.ledger[&key].lost, tables.ledger[&key].applied), (40, 260));
    assert_eq!(tables.ledger[&key].state, "running");
    // Whatever was decided is decided once.
    let instance = bed.start(cluster, "only");
    instance.wait_ready();
    instance.stop();
    bed.assert_tables(&expected);
}

/// A shard may stall before it has read anything: here its beginning was fixed, and retention was
/// faster than the first instance.
#[test]
fn a_shard_that_stalls_before_its_first_record_can_be_decided_about() {
    let cluster = shared_cluster();
    let mut bed = Bed::new(cluster, "late-start", &[("events", "finance", 1)]);
    bed.topics[0].start = "latest";
    let topic = bed.topics[0].name.clone();
    send_deposits(&Producer::new(cluster), &topic, 0..100);
    cluster.delete_records(&topic, 0, 40);
    let starts = bed.store.join("starts");
    std::fs::create_dir_all(&starts).expect("the folder is writable");
    std::fs::write(starts.join(format!("{topic}.json")), r#"{"0": 0}"#).expect("it is writable");
    let instance = bed.start(cluster, "only");
    wait_for_stall(&instance, (&topic, 0), "retention_overrun");
    let output = decide(&bed, "accept-loss", (&topic, 0), &[]);
    decided(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("[0, 40)"), "the range is named: {said}");
    timed("late-start: accepted and read on", || {
        wait_until(SOON, "the rest is published", || {
            Tables::read(&bed.store).is_ok_and(|tables| {
                let row = tables.ledger.get(&(topic.clone(), 0));
                row.is_some_and(|row| (row.lost, row.applied, row.next_offset) == (40, 60, 100))
            })
        });
    });
    instance.stop();
}

/// A partition that its topic does not have any more is given to nobody; the publisher has it say so,
/// and closes it when an operator decides that.
#[test]
fn a_partition_that_is_gone_is_said_to_be_and_can_be_closed() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "fewer", &[("events", "parcel", 2)]);
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    producer.random(&topic, 0, "parcel", 160, 100);
    producer.random(&topic, 1, "parcel", 161, 100);
    let instance = bed.start(cluster, "only");
    let before = bed.wait_for_oracle(cluster);
    recreate(cluster, &topic, 1);
    let stands = |partition, state: &str, reason: &str| {
        wait_until(SOON, &format!("{topic}/{partition} is {state}: {reason}"), || {
            Tables::read(&bed.store)
                .is_ok_and(|tables| standing(&tables, &topic, partition) == (state, Some(reason)))
        });
    };
    timed("fewer: gone", || stands(1, "stalled", "partition_gone"));
    let stalled = [("partition", "1"), ("reason", "partition_gone")];
    let is_said = |count: f64| {
        wait_until(SOON, "the metric says how many are gone", || {
            instance.sum("postroad_shard_stalled", &stalled) == count
        });
    };
    is_said(1.0);
    assert!(instance.readiness().is_some_and(|(_, body)| body.contains("only 1 partitions")));
    decided(&decide(&bed, "restart", (&topic, 1), &[]));
    timed("fewer: closed", || stands(1, "closed", "restarted"));
    is_said(0.0);
    let complaint = "so this one is gone";
    assert_eq!(lines_with(&instance.log(), complaint), 1, "once: {}", instance.log());
    bed.assert_tables(&before);
    instance.stop();
}
