//! Twenty deaths, and proof afterwards: instances are killed at random moments, and brokers too, while
//! producers go on; and then `postroad verify` reads the log again and finds nothing amiss, unless
//! something was altered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use postroad_tests::process::postroad_binary;
use postroad_tests::wait::wait_until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{Bed, SOON, arg, three_brokers, timed};
use crate::group::running_shards;
use crate::produce::Stream;

/// How often an instance is killed and started again.
const CYCLES: usize = 20;

fn verify(config: &Path) -> Output {
    let args = ["verify", "-c", arg(config)];
    Command::new(postroad_binary()).args(args).output().expect("the binary runs")
}

#[track_caller]
fn assert_verdict(config: &Path, code: i32, when: &str) {
    let output = verify(config);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{when}:\n{out}\n{err}");
}

/// Flips a bit in the midst of a file, sees that `verify` finds it, and puts the file back.
#[track_caller]
fn assert_found_out(config: &Path, file: &Path) {
    let whole = fs::read(file).expect("it can be read");
    let mut altered = whole.clone();
    let midst = altered.len() / 2;
    altered[midst] ^= 1;
    fs::write(file, altered).expect("it can be written");
    assert_verdict(config, 1, &format!("{} was altered", file.display()));
    fs::write(file, whole).expect("it can be written");
}

/// The files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() { &mut folders } else { &mut found }.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn twenty_deaths_later_the_log_proves_every_figure_and_every_alteration() {
    let mut cluster = three_brokers();
    let bed = Bed::new(&cluster, "soak", &[("parcel", "parcel", 3), ("finance", "finance", 2)]);
    let [parcel, finance] = &*bed.topics else { unreachable!("two topics were asked for") };
    let parcels = Stream::start(&cluster, &parcel.name, "parcel", 3, 80);
    let transactions = Stream::transactions(&cluster, &finance.name, "finance", 2, 81);
    let mut instances = [bed.start(&cluster, "a"), bed.start(&cluster, "b")];
    let seed = rand::random();
    eprintln!("soak: seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for cycle in 0..CYCLES {
        // Every fifth time all shards are read first, so that some deaths meet a group at work.
        if cycle % 5 == 0 {
            wait_until(SOON, "every shard is read", || {
                (instances.iter().map(running_shards).sum::<f64>() - 5.0).abs() < 0.5
            });
        }
        // One broker of three goes, now and then, and is back three deaths later.
        match cycle % 5 {
            1 => cluster.kill_node(rng.random_range(0..3)),
            4 => cluster.start_broker(),
            _ => {}
        }
        parcels.wait_for(rng.random_range(10..120));
        let victim = rng.random_range(0..2);
        let fresh = bed.start(&cluster, ["a", "b"][victim]);
        std::mem::replace(&mut instances[victim], fresh).kill();
    }
    let sent = parcels.finish() + transactions.finish();
    eprintln!("soak: {sent} records, {CYCLES} deaths");
    let expected = timed("soak: caught up", || bed.wait_for_oracle(&cluster));
    let config = bed.configure(cluster.bootstrap(), "verify", 1);
    timed("soak: verified beside the running instances", || {
        assert_verdict(&config, 0, "while two instances run");
    });
    for instance in instances {
        instance.stop();
    }
    bed.assert_tables(&expected);
    timed("soak: verified at rest", || assert_verdict(&config, 0, "at rest"));

    let tables = bed.store.join("tables");
    for table in ["daily_rollups", "dead_letters", "ledger"] {
        let file = files(&tables.join(table)).pop().expect("it was published");
        assert_found_out(&config, &file);
    }
    let chain = bed.store.join("state/kafka").join(&parcel.name).join("00000/0000");
    assert_found_out(&config, &files(&chain).pop().expect("a checkpoint"));
    assert_verdict(&config, 0, "everything was put back");
}
