//! Three brokers, any of which may go: the leader of a partition, the coordinator of the group, all of
//! them.

use postroad_tests::kafka::Cluster;
use postroad_tests::process::Signal;
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, lines_with, three_brokers, timed};
use crate::group::{finish, running_shards, wait_for_shares};
use crate::produce::Stream;

/// Two instances on two topics, with producers of both kinds.
struct Traffic {
    bed: Bed,
    instances: [Instance; 2],
    parcels: Stream,
    transactions: Stream,
}

impl Traffic {
    fn start(cluster: &Cluster, name: &str, seed: u64) -> Self {
        let bed = Bed::new(cluster, name, &[("parcel", "parcel", 3), ("finance", "finance", 2)]);
        let [parcel, finance] = &*bed.topics else { unreachable!("two topics were asked for") };
        let parcels = Stream::start(cluster, &parcel.name, "parcel", 3, seed);
        let transactions = Stream::transactions(cluster, &finance.name, "finance", 2, seed + 1);
        let instances = [bed.start(cluster, "a"), bed.start(cluster, "b")];
        timed(&format!("{name}: both have their share"), || {
            wait_for_shares(&instances[0], &instances[1], 5.0);
        });
        Self { bed, instances, parcels, transactions }
    }

    /// Waits until so many more records of each kind were sent, and shards of both are read.
    fn go_on(&self, records: u64) {
        self.parcels.wait_for(records);
        self.transactions.wait_for(records / 2);
        wait_until(SOON, "every shard is read", || {
            let running: f64 = self.instances.iter().map(running_shards).sum();
            (running - 5.0).abs() < 0.5
        });
    }

    /// Ends the traffic. No shard may have stalled, and the tables are the oracle's.
    fn finish(self, cluster: &Cluster) {
        let Self { bed, instances, parcels, transactions } = self;
        let sent = parcels.finish() + transactions.finish();
        eprintln!("{}: {sent} records", bed.name);
        timed(&format!("{}: caught up", bed.name), || bed.wait_for_oracle(cluster));
        for instance in &instances {
            assert_eq!(lines_with(&instance.log(), "stalled"), 0, "{}", instance.log());
        }
        finish(cluster, &bed, instances);
    }
}

#[test]
fn a_leader_that_dies_stops_or_freezes_changes_no_total() {
    let mut cluster = three_brokers();
    let traffic = Traffic::start(&cluster, "leaders", 200);
    let topic = traffic.bed.topics[0].name.clone();
    for fault in ["killed", "stopped", "frozen"] {
        let old = cluster.wait_for_leader(&topic, 0, &[0, 1, 2]);
        match fault {
            "killed" => cluster.kill_node(old),
            "stopped" => cluster.stop_node(old),
            // It believes that it leads until it wakes up.
            _ => cluster.signal_node(old, Signal::Stop),
        }
        let others: Vec<usize> = (0..3).filter(|node| *node != old).collect();
        timed(&format!("leaders: one is {fault}, another leads"), || {
            cluster.wait_for_leader(&topic, 0, &others);
        });
        timed(&format!("leaders: {fault}, it goes on"), || traffic.go_on(200));
        timed("leaders: all are back", || cluster.start_broker());
        traffic.go_on(100);
    }
    traffic.finish(&cluster);
}

#[test]
fn the_loss_of_the_coordinator_changes_no_total() {
    let mut cluster = three_brokers();
    let traffic = Traffic::start(&cluster, "coordinator", 210);
    let old = cluster.coordinator(&traffic.bed.name);
    cluster.kill_node(old);
    timed("coordinator: another coordinates", || {
        wait_until(SOON, "another node coordinates the group", || {
            cluster.coordinator(&traffic.bed.name) != old
        });
    });
    timed("coordinator: it goes on", || traffic.go_on(200));
    timed("coordinator: all are back", || cluster.start_broker());
    traffic.go_on(100);
    traffic.finish(&cluster);
}

#[test]
fn all_brokers_killed_at_once_cost_nothing() {
    let mut cluster = three_brokers();
    let traffic = Traffic::start(&cluster, "blackout", 220);
    traffic.go_on(200);
    cluster.kill_broker();
    timed("blackout: both instances say so", || {
        wait_until(SOON, "both instances say that no broker is there", || {
            let says = |instance: &Instance| {
                instance.readiness().is_some_and(|(status, body)| {
                    status == 503 && body.lines().any(|line| line.contains(cluster.bootstrap()))
                })
            };
            traffic.instances.iter().all(says)
        });
    });
    timed("blackout: all are back", || cluster.start_broker());
    timed("blackout: ready", || traffic.instances.iter().for_each(Instance::wait_ready));
    traffic.go_on(200);
    traffic.finish(&cluster);
}
