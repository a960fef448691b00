//! The same records by another road: files of envelopes, and Kafka from where they end.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use postroad_tests::kafka::{Cluster, Record};
use postroad_tests::process::postroad_binary;
use postroad_tests::tables::Tables;

use crate::bed::{Bed, Topic, arg, create_topic, shared_cluster, timed};
use crate::produce::Producer;

/// The built-in topics, which imply their contracts.
const TOPICS: [(&str, &str, i32); 2] =
    [("parcel.events", "parcel", 2), ("finance.transactions", "finance", 2)];

/// One line of `kcat -J`: quotes, backslashes and control characters escaped, every other byte of
/// the payload as it is.
pub(crate) fn envelope(topic: &str, record: &Record) -> Vec<u8> {
    let Record { partition, offset, timestamp_ms, .. } = record;
    let timestamp_ms = timestamp_ms.unwrap_or(-1);
    let mut line = format!(
        "{{\"topic\":\"{topic}\",\"partition\":{partition},\"offset\":{offset},\
         \"tstype\":\"create\",\"ts\":{timestamp_ms},\"broker\":1,\"key\":null,\"payload\":"
    )
    .into_bytes();
    match &record.value {
        None => line.extend_from_slice(b"null"),
        Some(value) => {
            line.push(b'"');
            for byte in value {
                match byte {
                    b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
                    0..0x20 => {
                        let mut escaped = String::new();
                        write!(escaped, "\\u{byte:04x}").expect("a String takes every write");
                        line.extend_from_slice(escaped.as_bytes());
                    }
                    _ => line.push(*byte),
                }
            }
            line.push(b'"');
        }
    }
    line.extend_from_slice(b"}\n");
    line
}

/// Runs `postroad backfill` and returns what it printed.
fn backfill(store: &Path, config: &Path, files: &[&Path]) -> String {
    let mut command = Command::new(postroad_binary());
    command.args(["backfill", "--store", arg(store), "--config", arg(config)]);
    let output = command.args(files).output().expect("postroad can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "backfill failed with {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_backfill_gives_the_same_tables_and_run_goes_on_from_it() {
    let cluster = shared_cluster();
    let topics = TOPICS.map(|(name, contract, partitions)| {
        create_topic(cluster, name, partitions);
        Topic { name: name.to_owned(), contract, start: "earliest" }
    });
    let by_run = Bed::of("files", topics.to_vec());
    let producer = Producer::new(cluster);
    for (name, contract, partitions) in TOPICS {
        for partition in 0..partitions {
            let seed = 100 + u64::from(partition.unsigned_abs());
            producer.random(name, partition, contract, seed, 700);
        }
    }
    let instance = by_run.start(cluster, "only");
    let expected = timed("files: run caught up", || by_run.wait_for_oracle(cluster));
    instance.stop();
    let of_run = by_run.assert_tables(&expected);

    let by_files = Bed::of("files-goes-on", topics.to_vec());
    let paths = write_envelopes(&by_files, cluster);
    let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
    let config = by_files.configure(cluster.bootstrap(), "only", 1);
    timed("files: backfill", || backfill(&by_files.store, &config, &paths));
    let of_files = Tables::read(&by_files.store).expect("the tables can be read");
    assert_eq!(of_files.rollups, of_run.rollups);
    assert_eq!(of_files.dead_letters, of_run.dead_letters);
    assert!(!of_files.dead_letters.is_empty());
    let again = timed("files: backfill again", || backfill(&by_files.store, &config, &paths));
    assert!(again.contains("nothing changed"), "{again}");
    let unchanged = Tables::read(&by_files.store).expect("the tables can be read");
    assert_eq!(unchanged, of_files, "running it again changes nothing");

    // A copied half: ids of before come again, and must be recognised across the change of road.
    for (name, contract, _) in TOPICS {
        producer.random(name, 0, contract, 100, 720);
        producer.random(name, 1, contract, 110, 100);
    }
    let instance = by_files.start(cluster, "only");
    let expected = timed("files: run goes on", || by_files.wait_for_oracle(cluster));
    instance.stop();
    by_files.assert_tables(&expected);
}

/// A file for each topic; the records of its partitions alternate, as kcat prints them.
fn write_envelopes(bed: &Bed, cluster: &Cluster) -> Vec<PathBuf> {
    bed.topics
        .iter()
        .map(|topic| {
            let mut records = cluster.dump(&topic.name);
            records.sort_by_key(|record| (record.offset / 50, record.partition, record.offset));
            let text: Vec<u8> =
                records.iter().flat_map(|record| envelope(&topic.name, record)).collect();
            let path = bed.dir.path().join(format!("{}.kcat", topic.name));
            fs::write(&path, text).expect("the test's directory is writable");
            path
        })
        .collect()
}
