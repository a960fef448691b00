//! `postroad verify` on a log that has everything: transactions, aborted and committed, duplicates,
//! rejects, shards that moved between instances, rules that changed, and a beginning that is gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use postroad_ingest::checkpoint::envelope::{Envelope, Seq};
use postroad_ingest::checkpoint::{Checkpoint, ShardId, format};
use postroad_tests::kafka::Cluster;
use postroad_tests::logs::random_log;
use postroad_tests::process::postroad_binary;
use postroad_tests::tables::Tables;
use postroad_tests::wait::wait_until;
use serde_json::Value;

use crate::bed::{Bed, Instance, SOON, arg, shared_cluster, timed};
use crate::produce::{Producer, Stream};

/// Waits until the published ledger is at the end of every log.
#[track_caller]
fn wait_for_ends(bed: &Bed, cluster: &Cluster) {
    let ends: BTreeMap<(String, i32), i64> = bed
        .topics
        .iter()
        .flat_map(|topic| {
            let ends = cluster.end_offsets(&topic.name).into_iter();
            ends.map(|(partition, _, high)| ((topic.name.clone(), partition), high))
        })
        .collect();
    wait_until(SOON, "everything is published", || {
        let Ok(tables) = Tables::read(&bed.store) else { return false };
        ends.iter()
            .all(|(shard, end)| tables.ledger.get(shard).is_some_and(|row| row.next_offset == *end))
    });
}

/// Runs `postroad verify`: its exit code and its report.
fn verify(config: &Path) -> (Option<i32>, Value) {
    let mut command = Command::new(postroad_binary());
    let output = command.args(["verify", "-c", arg(config), "--format", "json"]).output();
    let output = output.expect("postroad can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// Expects that everything agrees, and returns what was proven of each shard.
#[track_caller]
fn proven(config: &Path) -> BTreeMap<(String, i64), [i64; 2]> {
    let (code, report) = verify(config);
    assert_eq!(code, Some(0), "{:#}", report["differences"]);
    let shards = report["shards"].as_array().expect("an array").iter();
    shards
        .filter_map(|shard| {
            let [from, to] = shard["proven"].as_array()?.as_slice() else { return None };
            let topic = shard["topic"].as_str()?.to_owned();
            Some(((topic, shard["partition"].as_i64()?), [from.as_i64()?, to.as_i64()?]))
        })
        .collect()
}

fn running(instance: &Instance) -> bool {
    instance.sum("postroad_shards", &[("state", "running")]) > 0.5
}

fn transactions(cluster: &Cluster, bed: &Bed, id: &str) {
    let producer = Producer::transactional(cluster, id);
    for topic in &bed.topics {
        let log = random_log(7, topic.contract, 60);
        for (round, commit) in [true, false, true, false].into_iter().enumerate() {
            producer.transaction(&topic.name, 0, &log[round * 15..][..15], commit);
        }
    }
}

/// The checkpoints of a shard, oldest first.
fn chain(bed: &Bed, id: &ShardId) -> Vec<(std::path::PathBuf, Envelope, Checkpoint)> {
    let folder = bed.store.join(id.prefix().as_ref());
    let names = fs::read_dir(folder).expect("the chain is there");
    let mut paths: Vec<_> = names.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let open = |path: std::path::PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let bytes = Bytes::from(fs::read(&path).expect("it stays"));
        let envelope = Envelope::decode(&bytes, Seq::new(name.parse().expect("a number")));
        let envelope = envelope.expect("it is whole");
        let checkpoint = format::decode(&envelope.payload).expect("it is a checkpoint");
        (path, envelope, checkpoint)
    };
    paths.into_iter().map(open).collect()
}

#[test]
fn a_log_of_every_kind_is_proven_and_what_retention_left_of_it() {
    let cluster = shared_cluster();
    let mut bed =
        Bed::new(cluster, "verify", &[("parcel", "parcel", 2), ("finance", "finance", 2)]);
    let [parcel, finance] = [0, 1].map(|index| bed.topics[index].name.clone());
    let producer = Producer::new(cluster);
    for partition in 0..2 {
        producer.random(&parcel, partition, "parcel", 200, 400);
        producer.random(&finance, partition, "finance", 201, 400);
    }
    transactions(cluster, &bed, "verify-1");
    let [a, b] = ["a", "b"].map(|name| bed.start(cluster, name));
    wait_until(SOON, "both instances have their share", || running(&a) && running(&b));
    let stream = Stream::start(cluster, &parcel, "parcel", 2, 202);
    stream.wait_for(200);
    let config = bed.configure(cluster.bootstrap(), "verify", 1);
    timed("verify: beside two running instances", || proven(&config));
    stream.finish();
    wait_for_ends(&bed, cluster);
    b.stop();
    a.stop();

    // One instance with new rules and one with the old: whoever owns a shard adopts its own.
    let old = bed.start(cluster, "old");
    bed.rules = "dedupe_window_h = 2\nlate_after_h = 3";
    let new = bed.start(cluster, "new");
    wait_until(SOON, "both instances have their share", || running(&old) && running(&new));
    for partition in 0..2 {
        producer.random(&parcel, partition, "parcel", 203, 200);
        producer.random(&finance, partition, "finance", 204, 200);
    }
    wait_for_ends(&bed, cluster);
    old.stop();
    for partition in 0..2 {
        producer.random(&finance, partition, "finance", 205, 100);
    }
    transactions(cluster, &bed, "verify-2");
    wait_for_ends(&bed, cluster);
    new.stop();
    let all = timed("verify: at rest", || proven(&config));
    let ends = |topic: &str| cluster.end_offsets(topic).into_iter();
    for topic in [&parcel, &finance] {
        for (partition, _, end) in ends(topic) {
            assert_eq!(all[&(topic.clone(), i64::from(partition))], [0, end], "{topic}");
        }
    }
    retention(cluster, &bed, &config, &parcel);
}

/// Retention takes the beginning, then more, and then all of it.
fn retention(cluster: &Cluster, bed: &Bed, config: &Path, topic: &str) {
    let id = ShardId::kafka(topic, 1);
    let checkpoints = chain(bed, &id);
    let (path, envelope, newest) = checkpoints.last().expect("there are some");
    assert!(newest.state.rules.len() > 1, "the rules have changed: {:?}", newest.state.rules);
    let (_, _, oldest) = &checkpoints[0];
    let (low, end) = (oldest.state.resume_from().get(), newest.state.ledger.next.get());
    assert!(0 < low && oldest.state.ledger.next < newest.state.ledger.next, "{low} of {end}");
    cluster.delete_records(topic, 1, low);
    let left = proven(config)[&(topic.to_owned(), 1)];
    assert_eq!(left, [oldest.state.ledger.next.get(), end]);

    // What is left is enough to tell that the newest was altered.
    let whole = fs::read(path).expect("it stays");
    let mut altered = newest.clone();
    let key = *altered.state.cells.keys().max().expect("it has cells");
    altered.state.cells.get_mut(&key).expect("it is there").scans += 1;
    let payload = format::encode(&altered).into();
    fs::write(path, Envelope { payload, ..envelope.clone() }.encode()).expect("it is ours");
    let (code, report) = verify(config);
    assert_eq!(code, Some(1));
    let found = report["differences"].as_array().expect("an array");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["column"], "scans", "{found:#?}");
    fs::write(path, whole).expect("it is ours");

    cluster.delete_records(topic, 1, end);
    assert_eq!(proven(config).get(&(topic.to_owned(), 1)), None);
    let (_, report) = verify(config);
    assert_eq!(report["whole"], false);
}
