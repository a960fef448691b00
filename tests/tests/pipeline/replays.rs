//! `postroad dead-letters replay`: what was rejected under an old codebook counts under a new one, once.

use std::fs;
use std::process::{Command, Output};

use postroad_tests::logs::valid_event;
use postroad_tests::mock::{Mock, PATIENCE, Site, assert_published, data_files, rows};
use postroad_tests::process::postroad_binary;
use postroad_tests::wait::wait_until;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{PARCELS, stop, wait_ready};

const CODEBOOK: &str = include_str!("../../../schemas/data/liaoning.csv");
/// 2021-06-30T12:00:00+08:00.
const NOON_MS: i64 = 1_625_025_600_000;
/// One that an old codebook lacks.
const NEW_PREFECTURE: &str = "210300";

/// A site whose codebook lacks a prefecture.
fn site_of_old_codebook(mock: &Mock) -> Site {
    let site = Site::new(&mock.brokers(), "replays", &[PARCELS]);
    let reference = site.dir.path().join("reference");
    fs::create_dir(&reference).unwrap();
    let text = fs::read_to_string(site.config()).unwrap();
    site.configure(&format!("{text}\n[reference]\ndir = \"{}\"\n", reference.display()));
    let old = CODEBOOK.lines().filter(|line| !line.starts_with(NEW_PREFECTURE));
    write_codebook(&site, &old.collect::<Vec<_>>().join("\n"));
    site
}

fn write_codebook(site: &Site, text: &str) {
    fs::write(site.dir.path().join("reference/prefectures.csv"), text).unwrap();
}

fn produce(mock: &Mock, partition: i32, rng: &mut StdRng, id: &str, prefecture: &str) {
    let mut event = valid_event(rng, "parcel", NOON_MS * 1000);
    event.insert("event_id".to_owned(), id.into());
    event.insert("prefecture".to_owned(), prefecture.into());
    let value = Value::Object(event).to_string();
    mock.produce((PARCELS, partition), Some(NOON_MS), Some(value.as_bytes()));
}

fn ask(site: &Site, more: &[&str]) -> Output {
    let config = site.config().display().to_string();
    Command::new(postroad_binary())
        .args(["dead-letters", "replay", "-c", &config, "--topic", PARCELS, "--format", "json"])
        .args(more)
        .output()
        .unwrap()
}

/// The report of a replay, as machines read it.
fn replay(site: &Site, more: &[&str]) -> Value {
    let output = ask(site, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A term of each partition's report.
fn term(report: &Value, name: &str) -> Vec<Value> {
    let partitions = report["partitions"].as_array().unwrap();
    partitions.iter().map(|partition| partition[name].clone()).collect()
}

fn wait_for_ledger(site: &Site, term: &str, values: &[&str]) {
    wait_until(PATIENCE, "the ledger says so", || {
        let rows = rows(&site.store(), "ledger");
        rows.iter().map(|row| row[term].as_str()).collect::<Vec<_>>() == values
    });
}

#[test]
fn records_of_a_prefecture_that_was_unknown_count_once_it_is_known() {
    let mock = Mock::start(&[(PARCELS, 2)]);
    let site = site_of_old_codebook(&mock);
    let mut rng = StdRng::seed_from_u64(31);
    for partition in 0..2 {
        for number in 0..40 {
            let prefecture = if number % 4 == 0 { NEW_PREFECTURE } else { "210100" };
            produce(&mock, partition, &mut rng, &format!("{partition}-{number}"), prefecture);
        }
        // Of no use whatever is known.
        mock.produce((PARCELS, partition), Some(NOON_MS), Some(b"no JSON"));
    }
    mock.flush();
    let mut postroad = site.run();
    wait_for_ledger(&site, "rejected", &["11", "11"]);
    stop(&mut postroad);
    let still = replay(&site, &["--dry-run"]);
    assert_eq!(
        term(&still, "applied"),
        [json!(0), json!(0)],
        "the old codebook has no use for them"
    );
    assert_eq!(still["partitions"][0]["rejected"][1]["reason"], "unknown_prefecture");

    write_codebook(&site, CODEBOOK);
    let mut postroad = site.run();
    wait_ready(&postroad);
    let would = replay(&site, &["--dry-run"]);
    assert_eq!(term(&would, "applied"), [json!(10), json!(10)]);
    assert_eq!(term(&would, "decision"), [Value::Null, Value::Null]);
    assert!(data_files(&site.store().join("decisions")).is_empty(), "a dry run records nothing");
    let events = would["cells"].as_array().unwrap().iter().map(|cell| cell["events"].as_i64());
    assert_eq!(events.sum::<Option<i64>>(), Some(20));
    assert!(
        would["cells"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cell| cell["prefecture_code"] == NEW_PREFECTURE)
    );

    let reason = ["--reason", "a prefecture was missing", "--rejected-for", "unknown_prefecture"];
    let done = replay(&site, &reason);
    assert_eq!(done["cells"], would["cells"], "what the dry run said");
    assert_eq!(term(&done, "dead_letters"), [json!(10), json!(10)]);
    wait_for_ledger(&site, "rejected", &["1", "1"]);
    // As if they had never been rejected.
    assert_published(&site.store(), &mock.judge());
    // Once is enough.
    let again = replay(&site, &reason);
    assert_eq!(term(&again, "dead_letters"), [json!(0), json!(0)]);
    assert_eq!(again["cells"], json!([]));
    assert_eq!(data_files(&site.store().join("decisions")).len(), 2);
    stop(&mut postroad);
    let config = site.config().display().to_string();
    let verify = Command::new(postroad_binary()).args(["verify", "-c", &config]).output().unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn what_was_sent_again_corrected_is_not_counted_twice_by_a_replay() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = site_of_old_codebook(&mock);
    let mut rng = StdRng::seed_from_u64(32);
    for (id, prefecture) in [
        ("corrected", NEW_PREFECTURE),
        ("twice", NEW_PREFECTURE),
        ("corrected", "210100"),
        ("twice", NEW_PREFECTURE),
    ] {
        produce(&mock, 0, &mut rng, id, prefecture);
    }
    mock.flush();
    let mut postroad = site.run();
    wait_for_ledger(&site, "rejected", &["3"]);
    stop(&mut postroad);
    write_codebook(&site, CODEBOOK);
    let one = replay(&site, &["--partition", "0", "--offset", "3", "--dry-run"]);
    assert_eq!(term(&one, "applied"), [json!(1)], "its twin counts nowhere");
    let no_letter = ["--partition", "0", "--offset", "3", "--offset", "2", "--reason", "typing"];
    let refused = ask(&site, &no_letter);
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(65), "{complaint}");
    assert!(complaint.contains("is at offset 2; see"), "{complaint}");
    let all = replay(&site, &["--reason", "a prefecture was missing"]);
    assert_eq!(term(&all, "applied"), [json!(1)]);
    assert_eq!(term(&all, "duplicates"), [json!(2)]);
    let mut postroad = site.run();
    wait_for_ledger(&site, "rejected", &["0"]);
    stop(&mut postroad);
    let ledger = rows(&site.store(), "ledger").remove(0);
    assert_eq!((&*ledger["applied"], &*ledger["duplicates"]), ("2", "2"));
}
