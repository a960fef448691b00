//! An unclean election: a replica that missed acknowledged records becomes the leader, and others are
//! written at the same offsets. What was read is not in the log any more.

use postroad_tests::kafka::Cluster;
use postroad_tests::logs::random_log;
use postroad_tests::process::Signal;
use postroad_tests::wait::wait_until;

use crate::bed::{ANY_TIME, Bed, SOON, Topic, create_topic, lines_with, three_brokers, timed};
use crate::produce::Producer;
use crate::stalls::{standing, wait_for_stall};

/// The node that acknowledged the records alone, and the one that missed them.
const AHEAD: usize = 0;
const BEHIND: usize = 1;

/// Topics of one partition on [`AHEAD`] and [`BEHIND`], either of which may lead, whatever it missed.
fn bed(cluster: &Cluster, name: &str, suffixes: &[&str]) -> Bed {
    let mut config = ANY_TIME.to_vec();
    config.extend([("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")]);
    let mut topics: Vec<Topic> = suffixes
        .iter()
        .map(|suffix| {
            let name = format!("{name}.{suffix}");
            cluster.create_topic_on(&name, &[AHEAD, BEHIND], &config);
            Topic { name, contract: "parcel", start: "earliest" }
        })
        .collect();
    let safe = Topic { name: format!("{name}.safe"), contract: "parcel", start: "earliest" };
    create_topic(cluster, &safe.name, 1);
    topics.push(safe);
    Bed::of(name, topics)
}

/// Replaces what only [`AHEAD`] had by the log of [`BEHIND`].
fn elect_uncleanly(cluster: &mut Cluster, topics: &[String]) {
    cluster.kill_node(AHEAD);
    cluster.start_node(BEHIND);
    for topic in topics {
        cluster.wait_for_leader(topic, 0, &[BEHIND]);
        assert_eq!(cluster.end_offsets(topic), [(0, 0, 200)], "{topic} lost what was acknowledged");
    }
}

/// Records whose offsets are never delivered, beyond where the log once ended, and some that are.
fn write_around(cluster: &Cluster, topic: &str, seed: u64) {
    let producer = Producer::transactional(cluster, &format!("{topic}-{seed}"));
    producer.transaction(topic, 0, &random_log(seed, "parcel", 120), false);
    producer.transaction(topic, 0, &random_log(seed + 1, "parcel", 50), true);
}

#[test]
fn an_unclean_election_stalls_what_it_cut_and_nothing_else() {
    let mut cluster = three_brokers();
    let mut bed = bed(&cluster, "unclean", &["shorter", "longer", "hidden"]);
    // The instance sleeps through the election and keeps its place in the group: what it notices,
    // it notices by reading on.
    bed.properties.insert("session.timeout.ms", "60000".to_owned());
    bed.properties.insert("max.poll.interval.ms", "120000".to_owned());
    let names: Vec<String> = bed.topics.iter().map(|topic| topic.name.clone()).collect();
    let [shorter, longer, hidden, safe] = &*names else { unreachable!("three and the safe one") };
    let producer = Producer::new(&cluster);
    for name in &names {
        producer.random(name, 0, "parcel", 300, 200);
    }
    let instance = bed.start(&cluster, "only");
    timed("unclean: caught up", || bed.wait_for_oracle(&cluster));
    cluster.kill_node(BEHIND);
    for name in &names {
        cluster.wait_for_leader(name, 0, &[AHEAD, 2]);
        producer.random(name, 0, "parcel", 301, 100);
    }
    let before =
        timed("unclean: caught up with what will be lost", || bed.wait_for_oracle(&cluster));
    instance.process.signal(Signal::Stop);
    timed("unclean: elected", || elect_uncleanly(&mut cluster, &names[..3]));
    // A producer that knew the logs as they were is not what is tested.
    let producer = Producer::new(&cluster);
    producer.random(longer, 0, "parcel", 302, 150);
    write_around(&cluster, hidden, 303);
    producer.random(safe, 0, "parcel", 305, 50);
    instance.process.signal(Signal::Cont);
    timed("unclean: said", || {
        wait_for_stall(&instance, (shorter, 0), "truncated");
        wait_for_stall(&instance, (longer, 0), "diverged");
        wait_for_stall(&instance, (hidden, 0), "diverged");
    });
    assert_eq!(lines_with(&instance.log(), "revokes"), 0, "it was the log that told");
    let mut expected = before.clone();
    expected.extend(bed.expected(&cluster).remove_entry(&(safe.clone(), 0)));
    timed("unclean: the safe shard goes on", || bed.wait_for(&expected));
    // The log grows past where it was cut, and the place of the last record read stays empty.
    write_around(&cluster, shorter, 306);
    timed("unclean: a longer log does not end the stall", || {
        let labels = [("topic", shorter.as_str()), ("reason", "diverged")];
        wait_until(SOON, "the shard is stalled for the better reason", || {
            instance.sum("postroad_shard_stalled", &labels) > 0.5
        });
    });
    instance.stop();
    let tables = bed.assert_tables(&expected);
    for name in [shorter, longer, hidden] {
        assert_eq!(standing(&tables, name, 0), ("stalled", Some("diverged")), "{name}");
    }
    cluster.start_broker();
}
