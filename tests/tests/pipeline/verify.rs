//! `postroad verify`: what it proves of a sound store, beside a running instance and of files, and that
//! it names whatever is altered.

mod alter;
mod damaged;
mod references;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::replay::Proposal;
use postroad_aggregate::shard::Record;
use postroad_ingest::checkpoint::ShardId;
use postroad_ingest::config::Config;
use postroad_ingest::decisions::{self, Decision, Recorded, ReplayRecord};
use postroad_ingest::verify::report::Report;
use postroad_ingest::verify::{VerifyOptions, verify};
use postroad_schemas::contract::Contract;
use postroad_schemas::tables::Table;
use postroad_schemas::units::{Offset, Timestamp};
use postroad_tests::logs::{random_log, valid_event};
use postroad_tests::mock::{Mock, PATIENCE, Site, VALUE_BYTES_MAX, config, data_files, rows};
use postroad_tests::oracle::OracleRecord;
use postroad_tests::process::{Signal, postroad_binary};
use postroad_tests::wait::wait_until;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use self::alter::Store;
use super::{FINANCE, PARCELS, judged, stop, wait_ready};

const TOPICS: [&str; 2] = [PARCELS, FINANCE];

/// 2021-06-30T12:00:00+08:00.
const NOON_MS: i64 = 1_625_025_600_000;

fn produce(mock: &Mock, seed: u64, records: usize) {
    for (topic, contract) in [(PARCELS, "parcel"), (FINANCE, "finance")] {
        for partition in 0..2_i32 {
            let seed = seed * 10 + u64::from(partition.unsigned_abs());
            mock.produce_all((topic, partition), &random_log(seed, contract, records));
        }
    }
}

/// Verifies a store, without waiting for a publisher that is not there.
fn report(mock: &Mock, group: &str, store: &Path) -> Report {
    let text = config(&mock.brokers(), group, store, 1, &TOPICS);
    report_of(&text)
}

fn report_of(text: &str) -> Report {
    let config = Config::parse(text, std::iter::empty()).unwrap();
    let options = VerifyOptions { patience: std::time::Duration::ZERO };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(verify(&config, options)).unwrap();
    runtime.shutdown_background();
    report
}

fn differences(report: &Report) -> Vec<String> {
    report.differences().map(ToString::to_string).collect()
}

fn run_verify(config: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(postroad_binary());
    command.args(["verify", "-c", config.to_str().unwrap()]).args(more).output().unwrap()
}

#[test]
fn a_sound_store_is_proven() {
    let mock = Mock::start(&[(PARCELS, 2), (FINANCE, 2)]);
    let site = Site::new(&mock.brokers(), "verified", &TOPICS);
    produce(&mock, 1, 300);
    let mut postroad = site.run();
    wait_ready(&postroad);
    produce(&mock, 2, 200);
    site.assert_published(&mock.judge());
    stop(&mut postroad);
    // A restart in between, and records that nobody has read yet.
    let mut postroad = site.run();
    wait_ready(&postroad);
    produce(&mock, 3, 100);
    let expected = mock.judge();
    site.assert_published(&expected);
    stop(&mut postroad);
    // One that has nothing to read, and claims all the same.
    let shown = || {
        let shards = Store::at(&site.store()).manifest().shards;
        shards.iter().find(|entry| entry.id() == ShardId::kafka(PARCELS, 0)).unwrap().seq
    };
    let before = shown();
    let mut postroad = site.run();
    wait_until(PATIENCE, "its claim is published", || shown() > before);
    stop(&mut postroad);
    produce(&mock, 4, 20);

    let sound = report(&mock, "verified", &site.store());
    assert_eq!(differences(&sound), [""; 0]);
    assert_eq!(sound.shards.len(), 4);
    for shard in &sound.shards {
        let judged = &expected[&(shard.id.topic.to_string(), shard.id.partition)];
        let (from, to) = shard.proven.unwrap();
        assert_eq!((from.get(), to.get()), (0, judged.next_offset), "{}", shard.id);
        assert_eq!(i64::try_from(shard.consumed).unwrap(), judged.consumed, "{}", shard.id);
        assert_eq!(shard.unread, None);
    }
    assert_eq!(sound.tables.tables.len(), Table::ALL.len());
    let repeats: Vec<_> = sound.repeats.iter().map(|topic| topic.one_in).collect();
    assert_eq!(repeats, [1, 1]);
    assert!(sound.repeats.iter().all(|topic| topic.ids > 0), "{:?}", sound.repeats);
    check_commands(&site);
    check_lost_claim(&|store| report(&mock, "verified", store), &site.store());
    alter::check_history(&|store| report(&mock, "verified", store), &site.store());
}

#[test]
fn whatever_is_altered_is_named() {
    let mock = Mock::start(&[(PARCELS, 2), (FINANCE, 2)]);
    let site = Site::new(&mock.brokers(), "altered", &TOPICS);
    // Few days, and so few files: they are written and read many times.
    let mut rng = StdRng::seed_from_u64(1);
    let mut produce = |records: i64| {
        for (topic, contract) in [(PARCELS, "parcel"), (FINANCE, "finance")] {
            for record in 0..records {
                let event = Value::Object(valid_event(&mut rng, contract, NOON_MS * 1000));
                let value = if record % 50 == 7 { "{".to_owned() } else { event.to_string() };
                for partition in 0..2 {
                    let at_ms = NOON_MS + record * 60_000;
                    mock.produce((topic, partition), Some(at_ms), Some(value.as_bytes()));
                }
            }
        }
        mock.flush();
    };
    produce(100);
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    // So that there is a publish, and a checkpoint, between others.
    for records in [30, 30] {
        produce(records);
        site.assert_published(&mock.judge());
    }
    stop(&mut postroad);
    let sound = report(&mock, "altered", &site.store());
    assert_eq!(differences(&sound), [""; 0]);
    alter::check_all(&|store| report(&mock, "altered", store), &site.store());
}

/// A checkpoint that was published is gone, and the one before it says the same of the log.
fn check_lost_claim(report: &dyn Fn(&Path) -> Report, store: &Path) {
    let copy = Store::copy(store);
    let shard = ShardId::kafka(PARCELS, 0);
    let shown = copy.manifest().shards.into_iter().find(|entry| entry.id() == shard).unwrap();
    let published =
        copy.root().join(shard.prefix().join(format!("{:020}", shown.seq.unwrap())).as_ref());
    let chain = published.parent().unwrap();
    for path in data_files(chain).into_iter().filter(|path| *path >= published) {
        fs::remove_file(path).unwrap();
    }
    let found = differences(&report(copy.root()));
    let named = |line: &String| line.starts_with("checkpoints ") && line.contains("seq is ");
    assert!(found.iter().any(named), "{found:#?}");
}

/// Exit codes and what stands on standard output.
fn check_commands(site: &Site) {
    let output = run_verify(&site.config(), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let shard = format!("{PARCELS}[1] offsets [0, ");
    assert!(said.lines().any(|line| line.starts_with(&shard) && line.ends_with("digest agrees")));
    assert!(said.lines().last().unwrap().contains("agrees with the log"), "{said}");

    let copy = Store::copy(&site.store());
    copy.checkpoint(&ShardId::kafka(PARCELS, 0), |state| state.ledger.digest ^= 1);
    let config = site.dir.path().join("altered.toml");
    let text = fs::read_to_string(site.config()).unwrap();
    let text = text.replace(site.store().to_str().unwrap(), copy.root().to_str().unwrap());
    fs::write(&config, text).unwrap();
    let output = run_verify(&config, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["agrees"], &report["whole"]), (&false.into(), &true.into()));
    assert_eq!(report["differences"][0]["column"], "digest");
    assert_eq!(report["shards"].as_array().unwrap().len(), 4);
}

/// An instance reads, checkpoints and publishes all the time.
#[test]
fn a_running_instance_does_not_get_in_the_way_nor_is_it_disturbed() {
    let mock = Mock::start(&[(PARCELS, 2), (FINANCE, 2)]);
    let site = Site::new(&mock.brokers(), "live", &TOPICS);
    let mut postroad = site.run();
    wait_ready(&postroad);
    for round in 0..6 {
        produce(&mock, 20 + round, 150);
        let output = run_verify(&site.config(), &[]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    site.assert_published(&mock.judge());
    assert_eq!(site.log().matches("revoked").count(), 0, "{}", site.log());
    stop(&mut postroad);
}

/// The checkpoints that the newest publish shows are collected, because nothing has been published
/// for long: only the log still says what its tables ought to be.
#[test]
fn tables_are_proven_although_their_checkpoints_are_collected() {
    let mock = Mock::start(&[(PARCELS, 2), (FINANCE, 2)]);
    let site = Site::new(&mock.brokers(), "slow", &TOPICS);
    produce(&mock, 31, 200);
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    stop(&mut postroad);
    let text = fs::read_to_string(site.config()).unwrap();
    let text = text.replace("interval_ms = 250", "interval_ms = 80000000");
    site.configure(&text.replace("interval_ms = 200", "interval_ms = 20\nkeep = 2"));
    let mut postroad = site.run();
    wait_ready(&postroad);
    let chain = site.store().join("state/kafka/parcel.events/00000/0000");
    let oldest = || {
        let names = fs::read_dir(&chain).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.parse::<u64>().ok()).min().unwrap()
    };
    let shown = Store::at(&site.store()).manifest().shards;
    let shown = shown.iter().find(|shard| shard.topic == PARCELS && shard.partition == 0);
    let shown = shown.unwrap().seq.unwrap();
    let mut rng = StdRng::seed_from_u64(5);
    wait_until(PATIENCE, "the published checkpoint is collected", || {
        let event = Value::Object(valid_event(&mut rng, "parcel", NOON_MS * 1000)).to_string();
        let before = judged(&postroad);
        mock.produce((PARCELS, 0), Some(NOON_MS), Some(event.as_bytes()));
        wait_until(PATIENCE, "it is read", || judged(&postroad) > before);
        oldest() > shown
    });
    postroad.signal(Signal::Kill);
    postroad.wait(PATIENCE);
    let sound = report(&mock, "slow", &site.store());
    assert_eq!(differences(&sound), [""; 0]);
    assert!(sound.shards.iter().any(|shard| shard.published.is_some()));

    let copy = Store::copy(&site.store());
    copy.rewrite("daily_rollups", |batch| alter::add_one(batch, "volume"), true);
    let found = differences(&report(&mock, "slow", copy.root()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("daily_rollups 2") && found[0].contains("volume"), "{found:?}");
}

/// Nearly everything has left the states for segments.
#[test]
fn what_is_sealed_is_proven_and_a_damaged_segment_is_named() {
    let mock = Mock::start(&[(PARCELS, 2), (FINANCE, 2)]);
    let site = Site::new(&mock.brokers(), "sealed", &TOPICS);
    let text = fs::read_to_string(site.config()).unwrap();
    site.configure(&format!("{text}\n[days]\nopen_days = 1\n"));
    produce(&mock, 51, 150);
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    produce(&mock, 52, 150);
    site.assert_published(&mock.judge());
    stop(&mut postroad);
    let segments = data_files(&site.store().join("segments"));
    assert!(segments.len() > 4, "{segments:?}");
    let sound = report(&mock, "sealed", &site.store());
    assert_eq!(differences(&sound), [""; 0]);
    assert!(sound.shards.iter().all(|shard| shard.proven.unwrap().0.get() == 0));

    let copy = Store::copy(&site.store());
    let newest = data_files(&copy.root().join("segments/kafka/parcel.events/00001")).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let found = differences(&report(&mock, "sealed", copy.root()));
    let named = |line: &String| {
        line.contains("of parcel.events[1]: a segment is segments/kafka/parcel.events/00001/")
    };
    assert!(found.iter().any(named), "{found:#?}");
}

/// Records that had been too long count after all, by a decision that says what they add.
#[test]
fn a_replay_is_worked_out_again_and_one_that_adds_too_much_is_named() {
    let mock = Mock::start(&[(PARCELS, 2), (FINANCE, 2)]);
    let site = Site::new(&mock.brokers(), "replays", &TOPICS);
    let wide = fs::read_to_string(site.config()).unwrap();
    let longest = format!("value_bytes_max = {VALUE_BYTES_MAX}");
    site.configure(&wide.replace(&longest, "value_bytes_max = 240"));
    let mut rng = StdRng::seed_from_u64(9);
    for partition in 0..2 {
        for record in 0..60 {
            let mut event = valid_event(&mut rng, "parcel", NOON_MS * 1000);
            if record % 3 == 0 {
                event.insert("note".to_owned(), "x".repeat(240).into());
            }
            let value = Value::Object(event).to_string();
            mock.produce((PARCELS, partition), Some(NOON_MS), Some(value.as_bytes()));
        }
    }
    mock.flush();
    let mut postroad = site.run();
    wait_until(PATIENCE, "everything is published", || {
        let rows = rows(&site.store(), "ledger");
        rows.iter().filter(|row| row["next_offset"] == "60").count() == 2
    });
    stop(&mut postroad);
    let config = Config::parse(&wide, std::iter::empty()).unwrap();
    for partition in 0..2_i32 {
        let rules = Arc::new(config.rules.clone());
        let log = mock.read().remove(&(PARCELS.to_owned(), partition)).unwrap();
        let wanted = log.iter().filter(|record| record.value.as_ref().unwrap().len() > 240);
        let wanted: BTreeSet<_> = wanted.map(|record| Offset::new(record.offset)).collect();
        let mut proposal = Proposal::new(Contract::Parcel, rules, IdKey([1; 16]), wanted);
        for OracleRecord { offset, timestamp_ms, value } in &log {
            let timestamp = timestamp_ms.map(Timestamp::from_millis);
            let value = value.as_deref();
            proposal.find(&Record { offset: Offset::new(*offset), timestamp, value });
        }
        let mut replay = proposal.finish().replay;
        assert!(replay.applied.len() > 5, "{:?}", replay.applied);
        // The second decision adds one parcel too many.
        replay.cells[0].1.volume += i64::from(partition);
        let decision = Decision::Replay(ReplayRecord::new(&replay, 0));
        let decided_at = Timestamp::from_micros(1);
        let reason = "the limit was too low".to_owned();
        let recorded = Recorded { decision, reason, decided_at };
        let store = postroad_ingest::store::Store::open_local(&site.store()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let shard = ShardId::kafka(PARCELS, partition);
        runtime.block_on(decisions::record(&store, &shard, &recorded)).unwrap();
    }
    site.configure(&wide);
    let mut postroad = site.run();
    let rejected =
        || rows(&site.store(), "ledger").iter().filter(|row| row["rejected"] != "0").count();
    wait_until(PATIENCE, "the decisions are adopted and published", || rejected() == 0);
    stop(&mut postroad);

    let found = report_of(&wide);
    let lines = differences(&found);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("decision ") && lines[0].contains("volume is "), "{lines:#?}");
    // One that nobody can read takes no other with it.
    let copy = Store::copy(&site.store());
    let folder = copy.root().join("decisions/kafka/parcel.events/00000/0000");
    fs::write(folder.join("000001.json"), "{\"decision\": \"none\"}").unwrap();
    let found = differences(&report_of(
        &wide.replace(site.store().to_str().unwrap(), copy.root().to_str().unwrap()),
    ));
    let named = |line: &String| {
        line.starts_with("decisions parcel.events[0]: a decision is decisions/kafka/")
            && line.contains("/000001.json cannot be understood")
    };
    assert_eq!(
        (found.len(), found.iter().filter(|line| named(line)).count()),
        (2, 1),
        "{found:#?}"
    );
    // A decision that is gone, or says something else than it did when it was adopted.
    let copy = Store::copy(&site.store());
    let decision = data_files(&copy.root().join("decisions/kafka/parcel.events/00000")).remove(0);
    let text = fs::read_to_string(&decision).unwrap();
    fs::write(&decision, text.replace("too low", "too high")).unwrap();
    let found = differences(&report(&mock, "replays", copy.root()));
    let named = |line: &String| {
        line.starts_with("decisions parcel.events[0]: decision ")
            && line.contains("not in the store")
    };
    assert!(found.iter().any(named), "{found:#?}");
}

/// Neither Kafka nor a group: the log of a backfill is its files.
#[test]
fn a_store_filled_from_files_is_verified_against_them() {
    let site = Site::new("127.0.0.1:9", "files", &TOPICS);
    let store = site.store();
    let (values, envelopes) = (site.dir.path().join("june.ndjson"), site.dir.path().join("e.kcat"));
    let mut rng = StdRng::seed_from_u64(3);
    let mut event = || Value::Object(valid_event(&mut rng, "parcel", NOON_MS * 1000)).to_string();
    let lines: Vec<String> = (0..50).map(|_| event()).collect();
    fs::write(&values, lines.join("\n\n")).unwrap();
    let envelope = |offset: usize, payload: &str| {
        let record = serde_json::json!({
            "topic": PARCELS, "partition": 1, "offset": offset, "ts": NOON_MS, "payload": payload,
        });
        record.to_string()
    };
    let lines: Vec<String> = (5..60).map(|offset| envelope(offset, &event())).collect();
    fs::write(&envelopes, lines.join("\n")).unwrap();
    for (input, file) in [("ndjson", &values), ("kcat", &envelopes)] {
        let mut command = Command::new(postroad_binary());
        command.args(["backfill", "--store", store.to_str().unwrap(), "--input", input]);
        let output = command.args(["--contract", "parcel"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(site.config()).unwrap();
    let sound = report_of(&text);
    assert_eq!(differences(&sound), [""; 0]);
    let proven: Vec<_> = sound.shards.iter().map(|shard| shard.proven.unwrap()).collect();
    let proven: Vec<_> = proven.iter().map(|(from, to)| (from.get(), to.get())).collect();
    assert_eq!(proven, [(5, 60), (0, 99)]);
    assert_eq!(rows(&store, "ledger").len(), 2);

    let whole = fs::read_to_string(&values).unwrap();
    fs::write(&values, whole.replacen("\"event_type\":\"", "\"event_type\":\"x", 1)).unwrap();
    let found = differences(&report_of(&text));
    assert!(
        found.iter().any(|line| line.contains("of june.ndjson ledger: rejected is 0")),
        "{found:?}"
    );
    fs::write(&values, &whole[..whole.len() / 2]).unwrap();
    let found = differences(&report_of(&text));
    assert!(found.iter().any(|line| line.contains("where the log ends")), "{found:?}");
    fs::remove_file(&values).unwrap();
    let gone = report_of(&text);
    assert_eq!(differences(&gone), [""; 0]);
    assert!(
        gone.to_text().contains("june.ndjson offsets [0, 99) not read again"),
        "{}",
        gone.to_text()
    );
    assert!(gone.verdict().contains("1 shard"), "{}", gone.verdict());
    // Nothing is proved by finding no difference where nothing is left to be compared.
    fs::remove_file(&envelopes).unwrap();
    let output = run_verify(&site.config(), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(66), "{said}");
    assert!(said.contains("was not proved: nothing of its log could be read again"), "{said}");
}
