//! `postroad demo` as somebody without a terminal would run it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::thread;

use postroad_tests::mock::{PATIENCE, Row, rows};
use postroad_tests::process::{Metrics, free_port, postroad_binary};
use postroad_tests::wait::wait_until;
use serde_json::Value;

fn demo(store: &Path, port: u16, seconds: u32) -> Output {
    Command::new(postroad_binary())
        .args(["demo", "--seed", "7", "--duration", &seconds.to_string(), "--store"])
        .arg(store)
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .output()
        .unwrap()
}

fn scrape(port: u16, path: &str) -> Option<Metrics> {
    let mut response = ureq::get(format!("http://127.0.0.1:{port}{path}")).call().ok()?;
    Some(Metrics::parse(&response.body_mut().read_to_string().ok()?))
}

fn newest_manifest(store: &Path) -> Value {
    let mut manifests: Vec<_> =
        fs::read_dir(store.join("publishes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    manifests.sort();
    serde_json::from_slice(&fs::read(manifests.pop().unwrap()).unwrap()).unwrap()
}

fn sum(rows: &[Row], column: &str) -> i64 {
    rows.iter().map(|row| row[column].parse::<i64>().unwrap()).sum()
}

#[test]
fn the_demo_publishes_tables_and_figures_and_replaces_its_own_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("demo");
    let port = free_port();
    let (send, receive) = channel();
    let runner = thread::spawn({
        let store = store.clone();
        move || send.send(demo(&store, port, 30))
    });
    let mut figures = None;
    wait_until(PATIENCE, "the demo shows figures", || {
        figures = scrape(port, "/metrics/business");
        figures.as_ref().is_some_and(|all| all.sum("postroad_day_volume", &[]) > 0.0)
    });
    let pipeline = scrape(port, "/metrics").unwrap();
    assert!(pipeline.sum("postroad_records_total", &[("outcome", "applied")]) > 0.0);
    let output = receive.recv_timeout(PATIENCE).unwrap();
    runner.join().unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{complained}");
    for part in [&format!("127.0.0.1:{port}"), store.canonicalize().unwrap().to_str().unwrap()] {
        assert!(said.contains(part), "nothing about {part}: {said}");
    }
    assert!(!complained.contains("WARN") && !complained.contains("ERROR"), "{complained}");

    let (manifest, rollups) = (newest_manifest(&store), rows(&store, "daily_rollups"));
    let totals = &manifest["totals"];
    let total = |name: &str| totals[name].as_i64().unwrap();
    assert!(total("applied") > 1_000, "{totals}");
    assert_eq!(sum(&rollups, "events"), total("applied"));
    assert_eq!(i64::try_from(rollups.len()).unwrap(), total("cells"));
    let ledger = rows(&store, "ledger");
    for (column, expected) in [("consumed", "consumed"), ("rejected", "rejected")] {
        assert_eq!(sum(&ledger, column), total(expected));
    }
    assert_eq!(
        total("consumed"),
        total("applied") + total("duplicates") + total("rejected") + total("ignored")
    );
    assert_eq!(i64::try_from(rows(&store, "dead_letters").len()).unwrap(), total("rejected"));
    let days: BTreeSet<_> = rollups.iter().map(|row| &row["business_date"]).collect();
    assert!(days.len() > 1, "history passes first");

    // The second demo begins anew in the same folder.
    fs::write(store.join("stale"), "of the first").unwrap();
    let again = demo(&store, free_port(), 1);
    assert!(again.status.success());
    assert!(!store.join("stale").exists());
}

#[test]
fn the_demo_spares_a_folder_that_it_did_not_make() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "kept").unwrap();
    let output = demo(dir.path(), free_port(), 1);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("--store"), "{said}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(fs::read(dir.path().join("mine")).unwrap(), b"kept");
}
