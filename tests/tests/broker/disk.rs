//! What happens to a store on a disk: it is full, read-only, deleted; its bytes rot; an older state is
//! restored by hand.

use std::fs;
use std::path::{Path, PathBuf};

use postroad_tests::tables::{OracleShards, rows};
use postroad_tests::tmpfs::{Tmpfs, as_root};
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, damaged, lines_with, shared_cluster, timed};
use crate::produce::{Producer, Stream};
use crate::stalls::{standing, wait_for_stall};

/// Waits until a failing store is said in readiness and counted, while the process itself works.
fn wait_for_failing_store(instance: &Instance) {
    wait_until(SOON, "the instance is not ready, because of its store", || {
        instance.readiness().is_some_and(|(status, body)| status == 503 && body.contains("store"))
    });
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
            let filler = (fault == "full").then(|| disk.fill());
            if filler.is_none() {
                disk.set_read_only(true);
            }
            timed(&format!("full: {fault}, said"), || wait_for_failing_store(&instance));
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
        let complaint = "a checkpoint cannot be written; reading stops until it can";
        assert_eq!(lines_with(&instance.log(), complaint), 2, "once each:\n{}", instance.log());
        // One that is killed while the disk is full, and one that starts on a full disk.
        let stream = Stream::start(cluster, &topic, "parcel", 2, 702);
        stream.wait_for(50);
        disk.fill();
        wait_for_failing_store(&instance);
        instance.kill();
        // What it was about to put in place of an older file may have left some space.
        let filler = disk.fill();
        let mut late = bed.start(cluster, "late");
        let status = late.process.wait(SOON);
        assert_eq!(status.code(), Some(75), "{}", late.log());
        assert_eq!(lines_with(&late.log(), "no space is left; make room"), 1, "{}", late.log());
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

/// What an instance holds in memory is written again; what was sealed is gone, and says so.
#[test]
fn a_store_deleted_under_a_running_instance_is_written_again_unless_old_days_are_lost() {
    let cluster = shared_cluster();
    for is_sealed in [false, true] {
        let name = if is_sealed { "deleted-sealed" } else { "deleted" };
        let mut bed = Bed::new(cluster, name, &[("parcel", "parcel", 1)]).undisturbed();
        bed.open_days = if is_sealed { 1 } else { 36_500 };
        let topic = bed.topics[0].name.clone();
        let producer = Producer::new(cluster);
        let instance = bed.start(cluster, "only");
        producer.random(&topic, 0, "parcel", 710, 100);
        timed(&format!("{name}: caught up before"), || bed.wait_for_oracle(cluster));
        assert_eq!(bed.store.join("segments").exists(), is_sealed);
        fs::remove_dir_all(&bed.store).expect("it is there");
        producer.random(&topic, 0, "parcel", 711, 100);
        if is_sealed {
            wait_for_stall(&instance, (&topic, 0), "unreadable");
            let said = "of the segments that its checkpoint lists are gone";
            assert_eq!(lines_with(&instance.log(), said), 1, "{}", instance.log());
            instance.stop();
            continue;
        }
        timed(&format!("{name}: caught up"), || bed.wait_for_oracle(cluster));
        let removed = "the object before it was removed";
        assert!(lines_with(&instance.log(), removed) > 0, "{}", instance.log());
        instance.stop();
        bed.assert_tables(&bed.expected(cluster));
        let instance = bed.start(cluster, "only");
        producer.random(&topic, 0, "parcel", 712, 100);
        let expected = timed(&format!("{name}: started again"), || bed.wait_for_oracle(cluster));
        instance.stop();
        bed.assert_tables(&expected);
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Changes one bit in the middle of a file.
fn flip(path: &Path, bit: u8) {
    let mut bytes = fs::read(path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1 << bit;
    fs::write(path, bytes).expect("it is writable");
}

fn objects(bed: &Bed, topic: &str, partition: i32) -> Vec<PathBuf> {
    let folder = bed.chain_folder(topic, partition);
    bed.chain(topic, partition).into_iter().map(|seq| folder.join(format!("{seq:020}"))).collect()
}

#[test]
fn bytes_that_rot_are_noticed_and_cost_nothing_while_anything_is_whole() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "rot", &[("parcel", "parcel", 2)]).undisturbed();
    let topic = bed.topics[0].name.clone();
    let producer = Producer::new(cluster);
    let instance = bed.start(cluster, "only");
    for seed in 720..723 {
        for partition in 0..2 {
            producer.random(&topic, partition, "parcel", seed, 60);
        }
        bed.wait_for_oracle(cluster);
    }
    instance.stop();

    // The newest checkpoint of one shard; of the tables one file flipped, one gone, one too many.
    flip(objects(&bed, &topic, 0).last().expect("it has checkpoints"), 0);
    let tables = walk(&bed.store.join("tables/daily_rollups"));
    flip(&tables[0], 0);
    fs::remove_file(bed.store.join("tables/ledger/data.parquet")).expect("it is there");
    let stray = bed.store.join("tables/daily_rollups/business_month=1999-01-01/data.parquet");
    fs::create_dir_all(stray.parent().expect("it has one")).expect("the store is writable");
    fs::copy(&tables[1], &stray).expect("the store is writable");
    let instance = bed.start(cluster, "only");
    producer.random(&topic, 1, "parcel", 723, 60);
    let expected = timed("rot: mended", || bed.wait_for_oracle(cluster));
    assert_eq!(damaged(&instance.log()).len(), 1, "{}", instance.log());
    wait_until(SOON, "what nobody names is deleted", || !stray.exists());
    instance.stop();
    bed.assert_tables(&expected);

    // All checkpoints of one shard: it does not begin anew, and the other goes on.
    let all = objects(&bed, &topic, 0);
    let copies: Vec<Vec<u8>> =
        all.iter().map(|path| fs::read(path).expect("it is there")).collect();
    for path in &all {
        flip(path, 1);
    }
    let instance = bed.start(cluster, "only");
    timed("rot: stalled", || wait_for_stall(&instance, (&topic, 0), "unreadable"));
    instance.stop();
    for (path, copy) in all.iter().zip(copies) {
        fs::write(path, copy).expect("the store is writable");
    }
    let instance = bed.start(cluster, "only");
    producer.random(&topic, 0, "parcel", 724, 60);
    let expected = timed("rot: restored", || bed.wait_for_oracle(cluster));
    instance.stop();
    let tables = bed.assert_tables(&expected);
    assert_eq!(standing(&tables, &topic, 0), ("running", None));
}

/// Tables that say the same of the same log, to the bit.
const SAME: [&str; 3] = ["daily_rollups", "ledger", "dead_letters"];

/// What readers are shown of a store, to the bit, apart from the stamps of its publishes.
fn assert_same_tables(bed: &Bed, other: &Bed) {
    for table in SAME {
        let [one, two] = [bed, other].map(|bed| rows(&bed.store, table).expect("it can be read"));
        assert_eq!(one, two, "{table}");
    }
}

fn wait_for_same_tables(bed: &Bed, other: &Bed) {
    wait_until(SOON, "two stores show the same", || {
        SAME.iter().all(|table| {
            // A file may be replaced while it is read.
            let [one, two] = [bed, other].map(|bed| rows(&bed.store, table).ok());
            one.is_some() && one == two
        })
    });
}

#[test]
fn an_older_checkpoint_restored_by_hand_leads_to_the_same_tables() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "restored", &[("parcel", "parcel", 2)]).undisturbed();
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
        eprintln!("restored: {kept} of {} checkpoints are left", all.len());
        all[kept..].iter().for_each(|path| fs::remove_file(path).expect("it is there"));
        let instance = bed.start(cluster, "only");
        // Once with more to read, once without.
        if round == 0 {
            producer.random(&topic, 0, "parcel", 740, 50);
            producer.random(&topic, 1, "parcel", 740, 50);
        }
        expected = timed(&format!("restored: round {round}"), || bed.wait_for_oracle(cluster));
        instance.wait_ready();
        if round == 1 {
            untouched.wait_for(&expected);
            // Days become final where an idle log is asked for its end, at any time of these seconds.
            timed("restored: both show the same", || wait_for_same_tables(&bed, &untouched));
        }
        instance.stop();
        bed.assert_tables(&expected);
        assert_eq!(damaged(&bed.log("only")).len(), round + 1, "{}", bed.log("only"));
    }
    reference.stop();
    untouched.assert_tables(&expected);
    assert_same_tables(&bed, &untouched);
}
