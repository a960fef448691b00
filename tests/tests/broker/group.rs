//! Several instances in one group, and what may happen to any of them at any moment.

use postroad_tests::kafka::Cluster;
use postroad_tests::process::{Metrics, Signal};
use postroad_tests::wait::wait_until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{Bed, Instance, SOON, lines_with, shared_cluster, timed};
use crate::produce::{Producer, Stream};

/// How often an instance is killed.
const KILLS: usize = 4;

pub(crate) fn running_shards(instance: &Instance) -> f64 {
    instance.sum("postroad_shards", &[("state", "running")])
}

/// Waits until the two instances read `shards` shards between them, each at least one.
pub(crate) fn wait_for_shares(one: &Instance, other: &Instance, shards: f64) {
    wait_until(SOON, "both instances have their share", || {
        let counts = [running_shards(one), running_shards(other)];
        counts[0] > 0.0 && counts[1] > 0.0 && (counts[0] + counts[1] - shards).abs() < 0.5
    });
}

#[test]
fn killed_instances_and_new_partitions_change_no_total() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "kills", &[("parcel", "parcel", 4), ("finance", "finance", 2)]);
    let [parcel, finance] = &*bed.topics else { unreachable!("two topics were asked for") };
    let parcels = Stream::start(cluster, &parcel.name, "parcel", 4, 60);
    let transactions = Stream::start(cluster, &finance.name, "finance", 2, 61);
    let mut instances = [bed.start(cluster, "a"), bed.start(cluster, "b")];
    timed("kills: both have their share", || {
        wait_for_shares(&instances[0], &instances[1], 6.0);
    });
    let seed = rand::random();
    eprintln!("kills: seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..KILLS {
        let victim = rng.random_range(0..2);
        parcels.wait_for(rng.random_range(50..800));
        let name = ["a", "b"][victim];
        let fresh = bed.start(cluster, name);
        let old = std::mem::replace(&mut instances[victim], fresh);
        old.kill();
        timed(&format!("kills: round {round}, {name} is back"), || {
            wait_for_shares(&instances[0], &instances[1], 6.0);
        });
    }
    timed("kills: partitions added while running", || {
        cluster.add_partitions(&parcel.name, 6);
        parcels.widen(6);
        wait_for_shares(&instances[0], &instances[1], 8.0);
    });
    parcels.wait_for(300);
    let sent = parcels.finish() + transactions.finish();
    eprintln!("kills: {sent} records");
    let expected = timed("kills: caught up", || bed.wait_for_oracle(cluster));
    assert!(expected.len() == 8 && expected.values().all(|shard| shard.consumed > 0));
    finish(cluster, &bed, instances);
}

/// A last burst, then the publisher is stopped in the middle of it; the other takes over, reads the
/// rest, and publishes all of it at its own stop or before.
pub(crate) fn finish(cluster: &Cluster, bed: &Bed, instances: [Instance; 2]) {
    let mut publisher = None;
    wait_until(SOON, "one of the two publishes", || {
        let roles = instances.each_ref().map(Instance::is_publisher);
        publisher = roles.iter().position(|role| *role);
        roles.iter().filter(|role| **role).count() == 1
    });
    let [a, b] = instances;
    let (first, last) = if publisher == Some(0) { (a, b) } else { (b, a) };
    let producer = Producer::new(cluster);
    let topic = &bed.topics[0];
    for (partition, _, _) in cluster.end_offsets(&topic.name) {
        producer.random(&topic.name, partition, topic.contract, 70, 200);
    }
    timed("clean stop of the publisher", || first.stop());
    let expected = bed.expected(cluster);
    wait_until(SOON, "the other has taken over everything", || {
        let shards = expected_shards(bed, cluster);
        (running_shards(&last) - shards).abs() < 0.5 && has_read_all(&last, shards)
    });
    timed("clean stop of the other", || last.stop());
    let tables = bed.assert_tables(&expected);
    assert!(tables.ledger.values().all(|row| row.state == "running" && row.reason.is_none()));
}

/// Whether the lag of so many shards is known, and nothing.
fn has_read_all(instance: &Instance, shards: f64) -> bool {
    const LAG: &str = "postroad_consumer_lag_records";
    let Some((200, body)) = instance.process.try_get("/metrics") else { return false };
    let metrics = Metrics::parse(&body);
    let known = metrics.matching(LAG, &[]).count() as f64;
    (known - shards).abs() < 0.5 && metrics.sum(LAG, &[]) < 0.5
}

fn expected_shards(bed: &Bed, cluster: &Cluster) -> f64 {
    bed.topics.iter().map(|topic| cluster.end_offsets(&topic.name).len()).sum::<usize>() as f64
}

#[test]
fn an_instance_that_wakes_up_late_does_no_harm() {
    let cluster = shared_cluster();
    let mut bed = Bed::new(cluster, "frozen", &[("finance", "finance", 4)]);
    bed.properties.insert("max.poll.interval.ms", "3000".to_owned());
    // It publishes nearly all the time, and so is likely to be frozen while it does.
    bed.publish_ms = 20;
    let topic = bed.topics[0].name.clone();
    let mut instances = [bed.start(cluster, "a"), bed.start(cluster, "b")];
    timed("frozen: both have their share", || {
        wait_for_shares(&instances[0], &instances[1], 4.0);
    });
    for round in 0..2 {
        let stream = Stream::start(cluster, &topic, "finance", 4, 80 + round);
        stream.wait_for(300);
        wait_until(SOON, "one instance publishes", || instances.iter().any(Instance::is_publisher));
        if instances[1].is_publisher() {
            instances.swap(0, 1);
        }
        let [sleeper, other] = &instances;
        let before = lines_with(&sleeper.log(), "revoked") + lines_with(&sleeper.log(), "fenced");
        sleeper.process.signal(Signal::Stop);
        timed("frozen: the other takes over", || {
            wait_until(SOON, "the other has everything", || {
                other.is_publisher() && (running_shards(other) - 4.0).abs() < 0.5
            });
        });
        stream.wait_for(200);
        sleeper.process.signal(Signal::Cont);
        stream.wait_for(200);
        stream.finish();
        timed("frozen: the sleeper drops its shards", || {
            wait_until(SOON, "the sleeper says that it lost its shards", || {
                let log = sleeper.log();
                lines_with(&log, "revoked") + lines_with(&log, "fenced") > before
            });
        });
        timed("frozen: caught up", || bed.wait_for_oracle(cluster));
        timed("frozen: both have their share again", || {
            wait_for_shares(sleeper, other, 4.0);
        });
        wait_until(SOON, "one instance publishes", || {
            instances.iter().filter(|instance| instance.is_publisher()).count() == 1
        });
    }
    finish(cluster, &bed, instances);
}
