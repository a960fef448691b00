//! What commands say of what is wrong: one line for each fault, and the code of `sysexits.h`.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use postroad_tests::mock::{Mock, Site, data_files};
use postroad_tests::process::{free_port, postroad_binary};

use super::{FINANCE, PARCELS};

/// Nobody listens there: discard's port needs a privilege to be opened.
const NOBODY: &str = "127.0.0.1:9";

fn postroad(arguments: &[&str]) -> Output {
    Command::new(postroad_binary()).args(arguments).output().unwrap()
}

/// Expects a code, and that so many lines of complaint contain all of the words between them.
#[track_caller]
fn expect(output: &Output, code: i32, complaints: usize, words: &[&str]) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let is_complaint =
        |line: &&str| line.starts_with("postroad: ") && !line.starts_with("postroad: warning: ");
    let lines: Vec<_> = said.lines().filter(is_complaint).collect();
    assert_eq!(lines.len(), complaints, "{said}");
    for word in words {
        assert!(lines.iter().any(|line| line.contains(word)), "nothing about {word}: {said}");
    }
    assert!(!said.contains("panicked") && !said.contains("a defect at"), "{said}");
    said
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn every_fault_of_a_configuration_is_one_line() {
    let site = Site::new(NOBODY, "faulty", &[PARCELS]);
    let text = fs::read_to_string(site.config()).unwrap();
    let faulty = text
        .replace("[checkpoint]\n", "[checkpoint]\nintervall_ms = 3\n")
        .replace("interval_ms = 250", "interval_ms = \"soon\"")
        .replace("file://", "ftp://")
        .replace("contract = \"parcel\"", "contract = \"parcels\"")
        .replace("\"heartbeat.interval.ms\"", "\"enable.auto.commit\"")
        .replace("127.0.0.1:", "localhost");
    let faulty = faulty.replace("brokers = \"localhost", "brokers = \"127.0.0.1:");
    site.configure(&faulty);
    let config = path(&site.config());
    let words = [
        "checkpoint.intervall_ms",
        "publish.interval_ms",
        "store.url",
        "contract",
        "enable.auto.commit",
        "http.listen",
    ];
    expect(&postroad(&["run", "-c", &config]), 78, words.len(), &words);
    expect(&postroad(&["check", "-c", &config]), 78, words.len(), &words);
    expect(&postroad(&["check", "-c", &config, "--offline"]), 78, words.len(), &words);
    assert!(!site.store().exists(), "a faulty configuration makes no store");

    // Properties that are at odds with each other are found by making a client, which needs no broker.
    let text = text.replace(
        "[kafka.properties]",
        "[kafka.properties]\n\"ssl.ca.location\" = \"/no/such/file\"\n\"security.protocol\" = \"ssl\"",
    );
    site.configure(&text);
    let words = ["kafka.properties: creating the Kafka client", "ssl.ca.location failed"];
    expect(&postroad(&["check", "-c", &config, "--offline"]), 78, 1, &words);

    site.configure("brokers = [");
    expect(&postroad(&["run", "-c", &config]), 78, 1, &["not TOML"]);
    let missing = path(&site.dir.path().join("missing.toml"));
    expect(&postroad(&["run", "-c", &missing]), 78, 1, &["missing.toml", "cannot be read"]);
    expect(&postroad(&["check", "-c", &missing]), 78, 1, &["missing.toml"]);
}

/// A variable in another encoding is none of our business, unless it bears our prefix.
#[test]
fn variables_that_are_no_text_are_passed_over_or_named() {
    let site = Site::new(NOBODY, "encoded", &[PARCELS]);
    let config = path(&site.config());
    let check = |name: &str| {
        let mut command = Command::new(postroad_binary());
        command.args(["check", "-c", &config, "--offline"]);
        command.env(name, OsStr::from_bytes(b"\xd6\xd0")).output().unwrap()
    };
    expect(&check("DISPLAY_NAME"), 0, 0, &[]);
    let words = ["the variable POSTROAD__KAFKA__GROUP is not UTF-8"];
    expect(&check("POSTROAD__KAFKA__GROUP"), 78, 1, &words);
}

#[test]
fn a_decision_without_a_reason_is_a_usage_error() {
    let decide = ["decide", "accept-loss", "--store", "x", "--topic", "t", "--partition", "0"];
    let output = postroad(&[&decide[..], &["--reason", "  "]].concat());
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("say why"));
}

#[test]
fn a_check_looks_at_what_the_configuration_points_at() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "checked", &[PARCELS]);
    let config = path(&site.config());
    let sound = postroad(&["check", "-c", &config]);
    expect(&sound, 0, 0, &[]);
    assert!(String::from_utf8(sound.stdout).unwrap().contains("no fault found"));
    assert!(!site.store().exists(), "a check changes nothing");

    // Neither topic nor store.
    let unknown = Site::new(&mock.brokers(), "checked", &[FINANCE]);
    fs::write(unknown.store(), "a file").unwrap();
    let config = path(&unknown.config());
    let faults = postroad(&["check", "-c", &config]);
    expect(&faults, 78, 2, &["kafka.topics = finance.transactions", "store.url"]);
    expect(&postroad(&["check", "-c", &config, "--offline"]), 0, 0, &[]);
    assert_eq!(data_files(unknown.dir.path()).len(), 2);

    let away = Site::new(NOBODY, "checked", &[PARCELS]);
    let config = path(&away.config());
    expect(&postroad(&["check", "-c", &config]), 78, 1, &["kafka.brokers = 127.0.0.1:9"]);
}

#[test]
fn a_topic_that_does_not_exist_is_refused() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "unknown", &[PARCELS, FINANCE]);
    let refused = postroad(&["run", "-c", &path(&site.config())]);
    expect(&refused, 78, 1, &["`finance.transactions`", &mock.brokers()]);
}

#[test]
fn an_address_in_use_is_one_line() {
    let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let site = Site::new(NOBODY, "taken", &[PARCELS]);
    let address = taken.local_addr().unwrap().to_string();
    let mut text = fs::read_to_string(site.config()).unwrap();
    text = text.replace(&format!("127.0.0.1:{}", site.port), &address);
    site.configure(&text);
    let refused = postroad(&["run", "-c", &path(&site.config())]);
    expect(&refused, 69, 1, &[&address, "http.listen"]);
    let root = path(&site.dir.path().join("demo"));
    let demo = postroad(&["demo", "--store", &root, "--listen", &address, "--duration", "1"]);
    let said = expect(&demo, 69, 1, &[&address]);
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_store_that_cannot_be_made_is_refused() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "nowhere", &[PARCELS]);
    fs::write(site.store(), "a file").unwrap();
    let refused = postroad(&["run", "-c", &path(&site.config())]);
    expect(&refused, 73, 1, &[&path(&site.store())]);
}

#[test]
fn a_backfill_names_the_file_and_the_line() {
    let site = Site::new(NOBODY, "backfill", &[PARCELS]);
    let store = path(&site.store());
    let missing = path(&site.dir.path().join("missing.json"));
    let backfill = |file: &str| postroad(&["backfill", "--store", &store, file]);
    expect(&backfill(&missing), 66, 1, &["missing.json"]);
    assert!(!site.store().exists(), "what cannot be read makes no store");

    let file = site.dir.path().join("events.json");
    let envelope =
        r#"{"topic":"parcel.events","partition":0,"offset":0,"ts":1,"payload":"SECRET"}"#;
    fs::write(&file, format!("{envelope}\n{{\"SECRET\": 1}}\n")).unwrap();
    let said = expect(&backfill(&path(&file)), 65, 1, &["events.json:2"]);
    assert!(!said.contains("SECRET"), "{said}");

    fs::write(&file, envelope.replace("parcel.events", "elsewhere")).unwrap();
    expect(&backfill(&path(&file)), 64, 1, &["events.json:1", "elsewhere"]);
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    for arguments in
        [&["nothing"][..], &[], &["run"], &["run", "--config"], &["demo", "--rate", "0"]]
    {
        let output = postroad(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty(), "what is wrong is said on standard error");
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let output = postroad(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty());
    }
}

/// Whoever asked for an answer and did not get it is told so by the exit code.
#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let site = Site::new(NOBODY, "full", &[PARCELS]);
    let (store, file) = (path(&site.store()), site.dir.path().join("events.json"));
    let envelope = r#"{"topic":"parcel.events","partition":0,"offset":0,"ts":1,"payload":"x"}"#;
    fs::write(&file, envelope).unwrap();
    let (config, file) = (path(&site.config()), path(&file));
    let demo = path(&site.dir.path().join("demo"));
    let listen = format!("127.0.0.1:{}", free_port());
    for arguments in [
        &["backfill", "--store", &store, &file][..],
        &["inspect", "--store", &store, "shards"],
        &["inspect", "--store", &store, "manifest", "--format", "json"],
        &["check", "--offline", "-c", &config],
        &["verify", "-c", &config],
        &["simulate", "--events", "20", "--seed", "1"],
        &["demo", "--store", &demo, "--listen", &listen, "--duration", "60"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(postroad_binary());
        let output = command.args(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        expect(&output, 74, 1, &["standard output cannot be written"]);
    }
}

/// A full disk of logs ends nothing: neither a line of the log nor a complaint has to be written.
#[test]
fn a_line_that_cannot_be_written_changes_no_exit_code() {
    let code = |arguments: &[&str]| {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(postroad_binary());
        command.args(arguments).stdout(Stdio::null()).stderr(full);
        command.status().unwrap().code()
    };
    assert_eq!(code(&["simulate", "--events", "20", "--seed", "1"]), Some(0));
    assert_eq!(code(&["check", "-c", "no-such-file.toml"]), Some(78));
}

/// What follows is folded and published; what lies before cannot be, and the exit code says so.
#[test]
fn a_backfill_that_cannot_count_everything_says_so_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let lines = |offsets: std::ops::Range<i64>| -> String {
        let line =
            |n| format!(r#"{{"topic":"parcel.events","partition":0,"offset":{n},"payload":null}}"#);
        offsets.map(line).collect::<Vec<_>>().join("\n")
    };
    let store = path(&dir.path().join("store"));
    let fold = |name: &str, offsets| {
        let file = dir.path().join(name);
        fs::write(&file, lines(offsets)).unwrap();
        postroad(&["backfill", "--store", &store, &path(&file)])
    };
    expect(&fold("tail", 5..9), 0, 0, &[]);
    let output = fold("whole", 0..12);
    expect(&output, 65, 1, &["5 records", "NOT COUNTED"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("3 ignored (tombstones), 4 accounted for before"), "{said}");
}
