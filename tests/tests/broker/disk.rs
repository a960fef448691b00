//! What happens to a store on a disk: it is full, read-only, deleted; its bytes rot; an older state is
//! restored by hand.

use std::fs;
use std::path::{Path, PathBuf};

use postroad_tests::kafka::Cluster;
use postroad_tests::tables::{OracleShards, rows};
use postroad_tests::tmpfs::{Tmpfs, as_root};
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, shared_cluster, timed};
use crate::produce::{Producer, Stream};

/// What is read when a store fails, in readiness and in the metrics, while the process itself works.
fn wait_for_failing_store(instance: &Instance, store: &Path) {
    wait_until(SOON, "the instance is not ready, because of its store", || {
        instance.readiness().is_some_and(|(status, body)| status == 503 && body.contains("store"))
    });
    let _ = store;
    assert!(instance.sum("postroad_store_errors_total", &[]) > 0.5);
    assert_eq!(instance.process.get("/-/healthy").0, 200, "the process itself works");
}

#[test]
fn a_store_that_is_full_or_read_only_is_waited_for() {
    as_root("disk::a_store_that_is_full_or_read_only_is_waited_for", || {
        let cluster = shared_cluster();
        let mut bed = Bed::new(cluster, "full", &[("parcel", "parcel", 2)]);
        let mount = bed.dir.path().join("disk");
        let disk = Tmpfs::mount(&mount, 4096);
        bed.store = mount.join("store");
        let topic = bed.topics[0].name.clone();
        let instance = bed.start(cluster, "only");
        Producer::new(cluster).random(&topic, 0, "parcel", 700, 100);
        timed("full: caught up before", || bed.wait_for_oracle(cluster));
        for fault in ["full", "read-only"] {
            let stream = Stream::start(cluster, &topic, "parcel", 2, 701);
            stream.wait_for(50);
            let filler = if fault == "full" {
                Some(disk.fill())
            } else {
                disk.set_read_only(true);
                None
            };
            timed(&format!("full: {fault}, said"), || {
                wait_for_failing_store(&instance, &bed.store);
            });
            stream.wait_for(300);
            match filler {
                Some(filler) => fs::remove_file(filler).expect("it is there"),
                None => disk.set_read_only(false),
            }
            timed(&format!("full: {fault}, ready again"), || instance.wait_ready());
            stream.wait_for(50);
            stream.finish();
            timed(&format!("full: {fault}, caught up"), || bed.wait_for_oracle(cluster));
        }
        eprintln!("{}", instance.log());
        // One that is killed while the disk is full, and one that starts on a full disk.
        let stream = Stream::start(cluster, &topic, "parcel", 2, 702);
        stream.wait_for(50);
        let filler = disk.fill();
        wait_for_failing_store(&instance, &bed.store);
        instance.kill();
        let mut late = bed.start(cluster, "late");
        let status = late.process.wait(SOON);
        eprintln!("late: {status}\n{}", late.log());
        fs::remove_file(filler).expect("it is there");
        let instance = bed.start(cluster, "again");
        stream.wait_for(50);
        stream.finish();
        let expected = timed("full: started again", || bed.wait_for_oracle(cluster));
        instance.stop();
        bed.assert_tables(&expected);
        drop(disk);
    });
}

fn objects(bed: &Bed, topic: &str, partition: i32) -> Vec<PathBuf> {
    let folder = bed.chain_folder(topic, partition);
    bed.chain(topic, partition).into_iter().map(|seq| folder.join(format!("{seq:020}"))).collect()
}

/// What readers are shown of a store, to the bit, apart from the stamps of its publishes.
fn assert_same_tables(bed: &Bed, other: &Bed) {
    for table in ["daily_rollups", "ledger", "dead_letters"] {
        let [one, two] = [bed, other].map(|bed| rows(&bed.store, table).expect("it can be read"));
        assert_eq!(one, two, "{table}");
    }
}

#[test]
fn an_older_checkpoint_restored_by_hand_leads_to_the_same_tables() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "restored", &[("parcel", "parcel", 2)]);
    let untouched = Bed::of("untouched", bed.topics.clone());
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    let reference = untouched.start(cluster, "only");
    let instance = bed.start(cluster, "only");
    for seed in 730..736 {
        for partition in 0..2 {
            producer.random(&topic, partition, "parcel", seed, 50);
        }
        bed.wait_for_oracle(cluster);
    }
    instance.stop();
    let mut expected = OracleShards::new();
    for round in 0..2 {
        let all = objects(&bed, &topic, 0);
        let kept = all.len() / 2;
        eprintln!("restored: {kept} of {} checkpoints are kept", all.len());
        all[kept..].iter().for_each(|path| fs::remove_file(path).expect("it is there"));
        let instance = bed.start(cluster, "only");
        // Once with more to read, once without.
        if round == 0 {
            producer.random(&topic, 0, "parcel", 740, 50);
            producer.random(&topic, 1, "parcel", 740, 50);
        }
        expected = timed(&format!("restored: round {round}"), || bed.wait_for_oracle(cluster));
        instance.wait_ready();
        instance.stop();
        bed.assert_tables(&expected);
    }
    untouched.wait_for(&expected);
    reference.stop();
    untouched.assert_tables(&expected);
    assert_same_tables(&bed, &untouched);
}

#[allow(dead_code)]
fn _unused(_: &Cluster) {}
