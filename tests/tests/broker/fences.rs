//! Instances that are stopped, killed and frozen at the worst moments, and what fences them.

use postroad_tests::process::Signal;
use postroad_tests::tables::Tables;
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, lines_with, shared_cluster, timed};
use crate::group::{running_shards, wait_for_shares};
use crate::produce::{Producer, Stream};

fn wait_frozen(instance: &Instance, point: &str) {
    wait_until(SOON, &format!("the instance freezes at {point}"), || {
        lines_with(&instance.log(), &format!("failpoint {point}")) == 1
            && instance.process.is_frozen()
    });
}

/// Waits until an instance reads all of a bed's shards.
fn wait_for_all(instance: &Instance, shards: f64) {
    wait_until(SOON, "the other has taken everything over", || {
        (running_shards(instance) - shards).abs() < 0.5
    });
}

/// An instance that sleeps right before its put, longer than the group waits for it, wakes up and
/// puts what it had frozen: at a place that its successor has taken, or, after a long sleep, at one
/// that is free again because what stood there was collected.
#[test]
fn a_put_that_comes_too_late_is_fenced_and_changes_nothing() {
    let cluster = shared_cluster();
    let mut bed = Bed::new(cluster, "late", &[("parcel", "parcel", 1)]);
    bed.keep = 2;
    bed.checkpoint_ms = 100;
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    producer.random(&topic, 0, "parcel", 600, 100);
    let first = bed.start(cluster, "first");
    bed.wait_for_oracle(cluster);
    first.stop();
    for (name, is_collected) in [("taken", false), ("free", true)] {
        let order = format!("before-checkpoint:{}:freeze", if is_collected { 2 } else { 1 });
        let sleeper = bed.start_armed(cluster, name, &order);
        let stream = Stream::start(cluster, &topic, "parcel", 1, 601);
        wait_frozen(&sleeper, "before-checkpoint");
        let place = bed.chain(&topic, 0).last().expect("it claimed") + 1;
        let other = bed.start(cluster, "other");
        timed(&format!("late: {name}, taken over"), || wait_for_all(&other, 1.0));
        timed(&format!("late: {name}, the place is so"), || {
            wait_until(SOON, "the chain has gone on", || {
                let seqs = bed.chain(&topic, 0);
                let is_free = seqs.first().is_some_and(|oldest| *oldest > place);
                if is_collected { is_free } else { seqs.contains(&place) }
            });
        });
        // Nobody collects what the sleeper leaves before it is seen.
        other.process.signal(Signal::Stop);
        sleeper.process.signal(Signal::Cont);
        timed(&format!("late: {name}, fenced"), || {
            wait_until(SOON, "the sleeper's put is refused", || {
                sleeper.sum("postroad_checkpoints_total", &[("outcome", "fenced")]) > 0.5
            });
        });
        // It may have heard of its revocation first: then there is no shard that it could lose.
        let lost = "fenced: another instance owns the shard";
        assert!(lines_with(&sleeper.log(), lost) <= 1, "{}", sleeper.log());
        let oldest = bed.chain(&topic, 0).first().copied();
        assert!(oldest == Some(place) || !is_collected, "the late put landed: {oldest:?}");
        other.process.signal(Signal::Cont);
        stream.wait_for(50);
        stream.finish();
        timed(&format!("late: {name}, caught up"), || bed.wait_for_oracle(cluster));
        sleeper.stop();
        other.stop();
        bed.assert_tables(&bed.expected(cluster));
        // Whoever comes next lists, and is not led astray by what the sleeper left.
        let next = bed.start(cluster, "next");
        producer.random(&topic, 0, "parcel", 602, 50);
        let expected = bed.wait_for_oracle(cluster);
        next.stop();
        bed.assert_tables(&expected);
    }
}

/// A publisher that sleeps between two steps of a publish while another publishes on.
#[test]
fn a_publisher_that_wakes_up_late_does_no_lasting_harm() {
    let cluster = shared_cluster();
    for (number, point) in
        ["before-manifest", "after-manifest", "before-replace"].iter().enumerate()
    {
        let name = format!("late-{point}");
        let mut bed = Bed::new(cluster, &name, &[("parcel", "parcel", 1)]);
        bed.publish_ms = 100;
        let topic = bed.topics[0].name.clone();
        let producer = Producer::new(cluster);
        producer.random(&topic, 0, "parcel", 610 + number as u64, 100);
        let sleeper = bed.start_armed(cluster, "sleeper", &format!("{point}:2:freeze"));
        wait_until(SOON, "it publishes for the first time", || {
            Tables::read(&bed.store).is_ok_and(|tables| !tables.publishes.is_empty())
                || sleeper.process.is_frozen()
        });
        producer.random(&topic, 0, "parcel", 620, 100);
        wait_frozen(&sleeper, point);
        let other = bed.start(cluster, "other");
        timed(&format!("{name}: taken over"), || wait_for_all(&other, 1.0));
        producer.random(&topic, 0, "parcel", 621, 100);
        timed(&format!("{name}: the other publishes"), || bed.wait_for_oracle(cluster));
        sleeper.process.signal(Signal::Cont);
        wait_until(SOON, "the sleeper has lost the role", || {
            lines_with(&sleeper.log(), "no longer the publisher") == 1
        });
        producer.random(&topic, 0, "parcel", 622, 100);
        let expected = timed(&format!("{name}: mended"), || bed.wait_for_oracle(cluster));
        sleeper.stop();
        other.stop();
        bed.assert_tables(&expected);
    }
}

#[test]
fn a_stop_in_the_middle_of_a_flush_ends_it_first() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "mid-flush", &[("parcel", "parcel", 1)]);
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    for (number, point) in ["mid-freeze", "before-checkpoint", "before-replace"].iter().enumerate()
    {
        let instance = bed.start_armed(cluster, "only", &format!("{point}:1:freeze"));
        producer.random(&topic, 0, "parcel", 630 + number as u64, 100);
        wait_frozen(&instance, point);
        let before = bed.chain(&topic, 0).last().copied();
        instance.process.signal(Signal::Term);
        instance.process.signal(Signal::Cont);
        timed(&format!("mid-flush: stopped at {point}"), || instance.stop());
        let after = bed.chain(&topic, 0).last().copied();
        assert!(after > before || *point == "before-replace", "{point}: {before:?}, {after:?}");
        let instance = bed.start(cluster, "only");
        let expected = timed("mid-flush: the rest", || bed.wait_for_oracle(cluster));
        instance.stop();
        bed.assert_tables(&expected);
    }
}

#[test]
fn instances_killed_stopped_and_replaced_together_change_no_total() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "together", &[("parcel", "parcel", 4), ("finance", "finance", 2)]);
    let [parcel, finance] = &*bed.topics else { unreachable!("two topics were asked for") };
    let parcels = Stream::start(cluster, &parcel.name, "parcel", 4, 640);
    let transactions = Stream::transactions(cluster, &finance.name, "finance", 2, 641);
    let pair = || [bed.start(cluster, "a"), bed.start(cluster, "b")];
    let both_read = |pair: &[Instance; 2]| wait_for_shares(&pair[0], &pair[1], 6.0);

    let mut instances = pair();
    timed("together: both read", || both_read(&instances));
    parcels.wait_for(200);
    for instance in &instances {
        instance.process.signal(Signal::Kill);
    }
    for instance in &mut instances {
        instance.process.wait(SOON);
    }

    let instances = pair();
    timed("together: both read after both were killed", || both_read(&instances));
    parcels.wait_for(200);
    for instance in &instances {
        instance.process.signal(Signal::Term);
    }
    let [mut a, mut b] = instances;
    timed("together: both stop at once", || {
        for instance in [&mut a, &mut b] {
            let status = instance.process.wait(SOON);
            assert_eq!(status.code(), Some(0), "{status}; its log:\n{}", instance.log());
        }
    });

    // A third comes, and each is replaced in its turn.
    let mut three = ["a", "b", "c"].map(|name| Some(bed.start(cluster, name)));
    let all_read = |three: &[Option<Instance>; 3]| {
        wait_until(SOON, "every shard is read, by all three", || {
            let counts = three.iter().flatten().map(running_shards);
            let counts: Vec<f64> = counts.collect();
            counts.iter().all(|count| *count > 0.5)
                && (counts.iter().sum::<f64>() - 6.0).abs() < 0.5
        });
    };
    timed("together: all three read", || all_read(&three));
    for (at, name) in ["a", "b", "c"].iter().enumerate() {
        let old = three[at].take().expect("it runs");
        timed(&format!("together: {name} stops"), || old.stop());
        three[at] = Some(bed.start(cluster, name));
        timed(&format!("together: {name} is replaced"), || all_read(&three));
        parcels.wait_for(100);
    }
    let sent = parcels.finish() + transactions.finish();
    eprintln!("together: {sent} records");
    let expected = timed("together: caught up", || bed.wait_for_oracle(cluster));
    three.into_iter().flatten().for_each(Instance::stop);
    let tables = bed.assert_tables(&expected);
    assert!(tables.ledger.values().all(|row| row.state == "running"));
}
