//! Stores in buckets: the same promises, on a real S3 server and with failures injected in front
//! of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::future::join_all;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutMode, UpdateVersion};
use postroad_tests::kafka::Record;
use postroad_tests::logs::random_log;
use postroad_tests::process::{Signal, postroad_binary};
use postroad_tests::proxy::{Fate, Head, Proxy};
use postroad_tests::s3::{Certificate, Place, Server};
use postroad_tests::tables::{OracleShards, compare};
use postroad_tests::wait::wait_until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{Bed, Instance, SOON, Topic, arg, block_on, lines_with, shared_cluster, timed};
use crate::files::envelope;
use crate::produce::{Producer, Stream};

/// Nobody is asked for brokers by a backfill.
const NO_BROKER: &str = "127.0.0.1:9";

/// The newest timestamp in the files, year 2200, as producers have it.
const NEWEST_MS: i64 = 7_258_118_400_000;

fn shared_server() -> &'static Server {
    static SERVER: LazyLock<Server> = LazyLock::new(|| timed("S3 server", Server::start));
    &SERVER
}

/// Runs `postroad` to its end.
fn postroad(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(postroad_binary());
    command.args(arguments).envs(variables.iter().copied()).output().expect("it can be started")
}

/// Expects an exit code and words on standard error, and returns all that was said.
#[track_caller]
fn expect(output: &Output, code: i32, words: &[&str]) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word} in: {said}");
    }
    assert!(!said.contains("correct horse"), "a secret is shown: {said}");
    said
}

/// A bed of the built-in topics in a bucket, the files of their records, and the oracle's fold.
fn filled(name: &str, place: Place) -> (Bed, Vec<PathBuf>, OracleShards) {
    let contracts = [("parcel.events", "parcel"), ("finance.transactions", "finance")];
    let topics = contracts.map(|(name, contract)| Topic {
        name: name.to_owned(),
        contract,
        start: "earliest",
    });
    let bed = Bed::of(name, topics.to_vec()).in_bucket(place);
    let (mut files, mut expected) = (Vec::new(), OracleShards::new());
    for (topic, contract) in contracts {
        let mut records = Vec::new();
        for (partition, seed) in [(0, 300), (1, 301)] {
            let log = random_log(seed, contract, 500);
            records.extend(log.into_iter().map(|record| Record {
                partition,
                offset: record.offset,
                timestamp_ms: Some(record.timestamp_ms.unwrap_or(1).clamp(1, NEWEST_MS)),
                key: None,
                value: record.value,
            }));
        }
        let text: Vec<u8> = records.iter().flat_map(|record| envelope(topic, record)).collect();
        let path = bed.dir.path().join(format!("{topic}.kcat"));
        fs::write(&path, text).expect("the test's directory is writable");
        files.push(path);
        for partition in 0..2 {
            let first = records.iter().find(|record| record.partition == partition);
            let first = first.expect("it has records").offset;
            let shard = bed.fold(contract, first, &records, partition);
            expected.insert((topic.to_owned(), partition), shard);
        }
    }
    (bed, files, expected)
}

fn backfill(bed: &Bed, files: &[PathBuf], variables: &[(&str, &str)]) -> Output {
    let place = bed.bucket.as_ref().expect("it is in a bucket");
    let config = bed.configure(NO_BROKER, "backfill", 1);
    let mut arguments = vec!["backfill", "--store", &place.url, "--config", arg(&config)];
    arguments.extend(files.iter().map(|file| arg(file)));
    postroad(&arguments, variables)
}

/// Every object of a store, by its key, with what it holds.
fn objects(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    block_on(place.download("", folder.path()));
    let mut found = BTreeMap::new();
    let mut open = vec![folder.path().to_owned()];
    while let Some(folder_below) = open.pop() {
        for entry in fs::read_dir(folder_below).expect("a folder").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let key = entry.path().strip_prefix(folder.path()).expect("below").to_owned();
                found.insert(arg(&key).to_owned(), fs::read(entry.path()).expect("a file"));
            }
        }
    }
    found
}

/// More contention than the product's own probe makes: the server is what the rest here rests on.
#[test]
fn of_many_conditional_puts_the_server_lets_one_succeed() {
    let store = shared_server().place("contention").open();
    // No two puts are alike: an e-tag is often the hash of what was put.
    let mut put_before = 0_u64;
    let mut contend = async |key: &Key, mode: PutMode| {
        let first = put_before;
        put_before += 32;
        let content = |put: u64| put.to_le_bytes().repeat(600);
        let puts = (first..put_before)
            .map(|put| store.objects().put_opts(key, content(put).into(), mode.clone().into()));
        let answers = (first..put_before).zip(join_all(puts).await);
        let winners: Vec<u64> =
            answers.filter_map(|(put, answer)| answer.ok().map(|_| put)).collect();
        let [winner] = *winners else { panic!("{} succeeded at {key}", winners.len()) };
        let stored = store.objects().get(key).await.expect("it is there").bytes().await;
        assert_eq!(stored.expect("its bytes"), content(winner));
    };
    block_on(async {
        store.prepare(1).await.expect("the product's own probe passes");
        for round in 0..12 {
            let key = Key::from(format!("round-{round}"));
            contend(&key, PutMode::Create).await;
            for _ in 0..3 {
                let found = store.objects().head(&key).await.expect("it is there");
                let version = UpdateVersion { e_tag: found.e_tag, version: found.version };
                contend(&key, PutMode::Update(version)).await;
            }
        }
    });
}

#[test]
fn a_backfill_into_a_bucket_equals_the_oracle_and_again_changes_nothing() {
    let place = shared_server().place("backfill/some/prefix");
    let (bed, files, expected) = filled("bucket-files", place.clone());
    expect(
        &timed("bucket: backfill", || backfill(&bed, &files, &[])),
        0,
        &["publish 1 in s3://signed/backfill/some/prefix/tables"],
    );
    bed.assert_tables(&expected);
    let before = objects(&place);
    assert!(before.keys().all(|key| !key.starts_with("_tmp")), "{:?}", before.keys());
    assert!(before.contains_key("store.json"), "{:?}", before.keys());
    expect(&backfill(&bed, &files, &[]), 0, &["nothing changed"]);
    assert!(objects(&place) == before, "running it again changes nothing");

    // Without a configuration the cloud's variables say how the bucket is reached.
    let other = shared_server().place("backfill/other");
    let arguments = ["backfill", "--store", &other.url, arg(&files[0])];
    expect(&postroad(&arguments, &other.variables()), 0, &["publish 1"]);
    let strangers = [("AWS_SECRET_ACCESS_KEY", "wrong")];
    let variables = [&other.variables()[..], &strangers].concat();
    expect(&postroad(&arguments, &variables), 78, &["permission denied", "SignatureDoesNotMatch"]);
}

#[test]
fn a_check_of_a_bucket_tries_it_and_leaves_nothing_behind() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "bucket-check", &[("parcel", "parcel", 1)]);
    let check = |place: &Place| {
        let bed = Bed::of("bucket-check", bed.topics.clone()).in_bucket(place.clone());
        let config = bed.configure(cluster.bootstrap(), "check", 1);
        postroad(&["check", "-c", arg(&config)], &[])
    };
    let place = shared_server().place("check");
    expect(&check(&place), 0, &["no fault found"]);
    assert_eq!(objects(&place), BTreeMap::new());

    let mut missing = place.clone();
    missing.url = "s3://missing/check".to_owned();
    expect(&check(&missing), 78, &["store.url = s3://missing/check", "no such bucket"]);
    let silent = place.through(NO_BROKER);
    expect(&check(&silent), 78, &["store.url", "could not create"]);
}

/// A proxy that does not know a header and drops it makes the server behind it unsafe.
#[test]
fn a_server_that_ignores_conditions_is_refused_at_the_start() {
    let server = shared_server();
    let cluster = shared_cluster();
    let topics = Bed::new(cluster, "bucket-heedless", &[("parcel", "parcel", 1)]).topics.clone();
    let cases = [
        ("if-none-match", "does not honour put-if-absent (If-None-Match)"),
        ("if-match", "does not honour put-if-unchanged (If-Match)"),
    ];
    for (header, told) in cases {
        let proxy = Proxy::start(server.address());
        proxy.set_rule(move |head| {
            if head.is_conditional_put() { Fate::Without(header) } else { Fate::Through }
        });
        let place = server.open_place(header).through(proxy.address());
        let bed = Bed::of("bucket-heedless", topics.clone()).in_bucket(place);
        let config = bed.configure(cluster.bootstrap(), "heedless", 1);
        for command in ["run", "check"] {
            let said = expect(&postroad(&[command, "-c", arg(&config)], &[]), 78, &[told]);
            assert!(said.contains("no proxy before it drops the condition"), "{said}");
        }
        proxy.heal();
        expect(&postroad(&["check", "-c", arg(&config)], &[]), 0, &["no fault found"]);
    }
}

/// What the proxy holds back until its client has given up must not be waited for longer than a
/// put may take before the reading stops.
#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let proxy = Proxy::start(shared_server().address());
    proxy.set_rule(|_| Fate::Late);
    let store = shared_server().place("silent").through(proxy.address()).open();
    let started = Instant::now();
    let key = Key::from("key");
    block_on(store.get(&key)).expect_err("nobody answers");
    block_on(store.create(&key, vec![1].into())).expect_err("nobody answers");
    // One to the first call; the put's, and that of the look at what became of it.
    assert!(started.elapsed() < Duration::from_secs(30), "three answers: {:?}", started.elapsed());
}

/// A server with a certificate of its own is trusted only by whoever was told of it.
#[test]
fn a_server_is_spoken_to_by_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::self_signed(folder.path());
    let server = Server::start_with(Some(&certificate));
    let (bed, files, expected) = filled("bucket-tls", server.place("tls"));
    expect(&backfill(&bed, &files, &[]), 75, &["could not create", "certificate"]);
    let trusted = [("SSL_CERT_FILE", arg(&certificate.certificate))];
    expect(&backfill(&bed, &files, &trusted), 0, &["publish 1"]);
    compare(&server.folder("tls"), &expected).expect("the tables are the oracle's");
}

/// Which fate a request meets while everything fails: about one in seven does not go through.
fn misfortune(rng: &mut StdRng, head: &Head) -> Fate {
    let conditional = head.is_conditional_put();
    match rng.random_range(0..100) {
        0..3 => Fate::LostBefore,
        3..6 => Fate::LostAfter,
        6..8 => Fate::Answered(500),
        8..10 => Fate::Answered(503),
        10..12 => Fate::DoneAndAnswered(503),
        12..15 if conditional => Fate::Answered(409),
        15..17 if conditional => Fate::Answered(412),
        17 if conditional => Fate::Late,
        _ => Fate::Through,
    }
}

/// Starts an instance until the store lets it: a supervisor does the same.
fn start_until_ready(bed: &Bed, name: &str) -> Instance {
    let mut instance = bed.start(shared_cluster(), name);
    wait_until(SOON, "an instance is ready", || {
        if let Some(status) = instance.process.exited() {
            assert_eq!(status.code(), Some(75), "{status}; its log:\n{}", instance.log());
            instance = bed.start(shared_cluster(), name);
        }
        instance.readiness().is_some_and(|(status, _)| status == 200)
    });
    instance
}

/// A publisher that slept between its last question and a put, while another one published. The put
/// must not be made good by the inspection, which comes every minute: it must not take effect.
#[test]
fn a_publisher_that_sleeps_before_a_put_replaces_nothing_newer() {
    let cluster = shared_cluster();
    let place = shared_server().place("sleeper");
    let bed = Bed::new(cluster, "bucket-sleeper", &[("parcel", "parcel", 2)]).in_bucket(place);
    let topic = &bed.topics[0].name;
    let producer = Producer::new(cluster);
    // The first publish puts some ten files; this is one of a later.
    let sleeper = bed.start_armed(cluster, "sleeper", "before-replace:15:freeze");
    let mut seed = 410;
    wait_until(SOON, "the publisher sleeps", || {
        producer.random(topic, 0, "parcel", seed, 20);
        seed += 1;
        lines_with(&sleeper.log(), "failpoint before-replace") == 1
    });
    let heir = bed.start(cluster, "heir");
    producer.random(topic, 1, "parcel", seed, 100);
    let expected = timed("bucket: the heir publishes", || bed.wait_for_oracle(cluster));
    sleeper.process.signal(Signal::Cont);
    wait_until(SOON, "the sleeper learns that it is not the publisher", || {
        lines_with(&sleeper.log(), "another instance has made publish") > 0
    });
    bed.assert_tables(&expected);
    sleeper.stop();
    heir.stop();
    bed.assert_tables(&expected);
}

/// Waits until one of the two instances publishes, and the other does not.
fn the_publisher(instances: &[Instance; 2]) -> usize {
    let mut roles = [false; 2];
    wait_until(SOON, "one of the two publishes", || {
        roles = instances.each_ref().map(Instance::is_publisher);
        roles[0] != roles[1]
    });
    usize::from(roles[1])
}

#[test]
fn killed_and_frozen_instances_on_a_failing_server_change_no_total() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(shared_server().address());
    let place = shared_server().place("faults").through(proxy.address());
    let topics = [("parcel", "parcel", 3), ("finance", "finance", 1)];
    let bed = Bed::new(cluster, "bucket-faults", &topics).in_bucket(place);
    let [parcel, finance] = &*bed.topics else { unreachable!("two topics were asked for") };
    let parcels = Stream::start(cluster, &parcel.name, "parcel", 3, 400);
    let transactions = Stream::start(cluster, &finance.name, "finance", 1, 401);
    let seed = rand::random();
    eprintln!("bucket: seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    proxy.set_rule(move |head| misfortune(&mut rng, head));

    let mut instances = [start_until_ready(&bed, "a"), start_until_ready(&bed, "b")];
    for round in 0..4 {
        parcels.wait_for(300);
        let publisher = the_publisher(&instances);
        let (name, victim) = (["a", "b"][publisher], &mut instances[publisher]);
        if round % 2 == 0 {
            victim.process.signal(Signal::Kill);
            victim.process.wait(SOON);
            timed(&format!("bucket: {name} was killed and is back"), || {
                *victim = start_until_ready(&bed, name);
            });
        } else {
            victim.process.signal(Signal::Stop);
            timed(&format!("bucket: {name} is frozen and replaced"), || {
                wait_until(SOON, "the other one publishes", || {
                    instances[1 - publisher].is_publisher()
                });
            });
            parcels.wait_for(300);
            instances[publisher].process.signal(Signal::Cont);
        }
    }
    let fates = [
        Fate::LostBefore,
        Fate::LostAfter,
        Fate::Answered(503),
        Fate::DoneAndAnswered(503),
        Fate::Answered(409),
        Fate::Answered(412),
        Fate::Late,
    ];
    wait_until(SOON, "everything that can fail has failed", || {
        let dealt = proxy.dealt();
        fates.iter().all(|fate| dealt.contains_key(fate))
    });
    eprintln!("bucket: {:?}", proxy.dealt());
    let sent = parcels.finish() + transactions.finish();
    eprintln!("bucket: {sent} records");
    proxy.heal();
    timed("bucket: caught up", || bed.wait_for_oracle(cluster));
    for instance in instances {
        instance.stop();
    }
    Producer::new(cluster).random(&parcel.name, 0, "parcel", 402, 100);
    let last = start_until_ready(&bed, "last");
    let expected = timed("bucket: one that came later", || bed.wait_for_oracle(cluster));
    last.stop();
    bed.assert_tables(&expected);
}
