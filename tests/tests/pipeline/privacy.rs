//! Promise P5: nobody's data leaks, not even from records that cannot be used, and not even to
//! whoever turns the log up.

use std::fs;
use std::path::Path;
use std::process::Command;

use postroad_tests::mock::{Mock, PATIENCE, Site, data_files, rows, wall_clock_micros};
use postroad_tests::process::{Process, Signal, postroad_binary};
use postroad_tests::wait::wait_until;
use serde_json::json;

use super::{FINANCE, PARCELS, STOP};

/// Stands in every identifier and free text that is produced.
const MARK: &str = "Zx9Secret";

/// Valid and invalid records, each with the mark where a person's, parcel's or account's data
/// might stand.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    let parcel = json!({
        "event_id": format!("{MARK}-parcel"), "event_type": "accepted", "product": "express",
        "prefecture": "210100", "occurred_at": "2021-06-30T08:00:00+08:00", "revenue_fen": 1200,
        "waybill": format!("{MARK}-waybill"), "sender": {"name": MARK, "phone": [MARK]},
        format!("{MARK}_field"): 1,
    });
    let finance = json!({
        "event_id": format!("{MARK}-finance"), "txn_type": "deposit", "product": "savings",
        "prefecture": "210200", "occurred_at": "2021-06-30T08:00:00+08:00", "amount_fen": 77,
        "account": format!("{MARK}-account"),
    });
    let mut values = vec![(PARCELS, parcel.to_string()), (FINANCE, finance.to_string())];
    for field in ["event_type", "product", "prefecture", "occurred_at", "due_at"] {
        let mut event = parcel.clone();
        event["event_id"] = format!("{MARK}-{field}").into();
        event[field] = MARK.into();
        values.push((PARCELS, event.to_string()));
    }
    for (field, value) in [
        ("txn_type", json!(MARK)),
        ("accounting_date", json!(MARK)),
        ("amount_fen", json!(MARK)),
        ("agri", json!(MARK)),
        ("reverses", json!({ MARK: MARK })),
        ("reverses", json!(MARK)),
        ("event_id", json!(format!("{MARK}{}", "x".repeat(64)))),
    ] {
        let mut event = finance.clone();
        event[field] = value;
        values.push((FINANCE, event.to_string()));
    }
    let shapes = [
        MARK.to_owned(),
        format!("\"{MARK}\""),
        format!("{{\"{MARK}\": "),
        format!("{{\"event_id\": \"{MARK}\", \"event_id\": \"{MARK}\"}}"),
        format!("{parcel}{MARK}"),
        format!("{{\"event_id\": \"{MARK}{}\"}}", " ".repeat(5_000)),
    ];
    values.extend(shapes.map(|shape| (PARCELS, shape)));
    let mut values: Vec<_> =
        values.into_iter().map(|(topic, value)| (topic, value.into_bytes())).collect();
    values.push((PARCELS, [MARK.as_bytes(), b"\xff\xfe"].concat()));
    values
}

#[test]
fn no_event_leaves_a_trace_of_a_person() {
    let mock = Mock::start(&[(PARCELS, 1), (FINANCE, 1)]);
    let site = Site::new(&mock.brokers(), "private", &[PARCELS, FINANCE]);
    let now_ms = wall_clock_micros() / 1_000;
    // One of them ahead of the clock, and each one twice.
    for timestamp in [now_ms, now_ms, now_ms + 100 * 3_600_000] {
        for (topic, value) in values() {
            mock.produce((topic, 0), Some(timestamp), Some(&value));
        }
    }
    let expected = mock.judge();
    let config = site.config().display().to_string();
    let mut command = Command::new(postroad_binary());
    // As talkative as can be.
    command.args(["run", "-c", &config]).env("RUST_LOG", "trace");
    let mut process = Process::spawn(&mut command, &site.log_path(), None);
    site.assert_published(&expected);
    let pages = ["/metrics", "/metrics/business", "/-/ready", "/"].map(|page| {
        let url = format!("http://127.0.0.1:{}{page}", site.port);
        ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
    });
    process.signal(Signal::Term);
    assert!(process.wait(STOP).success());
    for page in pages {
        assert!(!page.contains(MARK), "{page}");
    }
    let log = site.log();
    assert!(log.contains("DEBUG"), "the log was not turned up");
    let leaks: Vec<_> = log.lines().filter(|line| line.contains(MARK)).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    search(&site.store());

    // A restart decodes checkpoints and reads the window again.
    let said = log.len();
    let mut process = Process::spawn(&mut command, &site.log_path(), None);
    wait_until(PATIENCE, "shards are claimed again", || {
        site.log()[said..].matches("claimed").count() >= 2
    });
    process.signal(Signal::Term);
    assert!(process.wait(STOP).success());
    assert!(!site.log().contains(MARK));
    search(&site.store());
    look_at(&site);
}

/// Whoever verifies the store, or looks into it, sees no more; not even of what differs.
fn look_at(site: &Site) {
    let (config, store) = (site.config(), site.store());
    let (config, store) = (config.to_str().unwrap(), store.to_str().unwrap());
    let mut runs = vec![vec!["verify", "-c", config]];
    for what in ["shards", "checkpoints", "ledger", "manifest", "dead-letters"] {
        runs.push(vec!["inspect", "--store", store, what]);
        runs.push(vec!["inspect", what, "--store", store, "--format", "json"]);
    }
    for run in &runs {
        let output = Command::new(postroad_binary()).args(run).env("RUST_LOG", "trace").output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{run:?}");
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            assert!(!said.contains(MARK), "{run:?}: {said}");
        }
    }
    for file in data_files(&site.store().join("tables")) {
        fs::write(file, MARK).unwrap();
    }
    let output = Command::new(postroad_binary()).args(&runs[0]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stdout).contains(MARK));
}

/// No file of the store holds the mark, compressed columns and escapes included.
fn search(store: &Path) {
    let files = data_files(store);
    for kind in ["state/", "tables/", "publishes/", "rules/", "owner.json"] {
        let found = files.iter().any(|file| file.to_str().unwrap().contains(kind));
        assert!(found, "no file of {kind} was searched");
    }
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let leaks = bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
        assert!(!leaks, "{}", file.display());
    }
    let tables: Vec<_> = fs::read_dir(store.join("tables")).unwrap().collect();
    for table in tables {
        let name = table.unwrap().file_name().into_string().unwrap();
        for row in rows(store, &name) {
            // Binary columns are rendered as hexadecimal digits.
            let hex: Vec<_> = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
            let hex = hex.concat();
            let leaks = row.values().any(|text| text.contains(MARK) || text.contains(&hex));
            assert!(!leaks, "{name}: {row:?}");
        }
    }
}
