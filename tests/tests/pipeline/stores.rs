//! Stores that fail, and stores that belong to somebody else.

use std::fs;
use std::process::Command;
use std::time::Duration;

use postroad_tests::logs::random_log;
use postroad_tests::mock::{Mock, PATIENCE, Site};
use postroad_tests::process::postroad_binary;
use postroad_tests::wait::{holds_within, wait_until};

use super::{FINANCE, PARCELS, judged, lines_with, metrics, stop, wait_ready};

/// A file in the place of a shard's folder fails every write to it, for root as for anybody.
#[test]
fn a_store_that_fails_stops_the_reading_and_nothing_else() {
    let mock = Mock::start(&[(PARCELS, 2)]);
    let site = Site::new(&mock.brokers(), "unwritable", &[PARCELS]);
    mock.produce_all((PARCELS, 0), &random_log(31, "parcel", 100));
    mock.produce_all((PARCELS, 1), &random_log(32, "parcel", 100));
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    wait_ready(&postroad);
    let rebalances = || metrics(&postroad).unwrap().sum("postroad_rebalances_total", &[]);
    let before = rebalances();

    let folder = site.store().join("state/kafka/parcel.events/00000");
    let aside = site.store().join("state/kafka/parcel.events/aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "").unwrap();
    mock.produce_all((PARCELS, 0), &random_log(33, "parcel", 20));
    wait_until(PATIENCE, "the store's failure shows", || {
        let failing = postroad
            .try_get("/-/ready")
            .is_some_and(|(status, body)| status == 503 && body.contains("the store fails"));
        let operation = [("operation", "checkpoint")];
        failing && metrics(&postroad).unwrap().sum("postroad_store_errors_total", &operation) > 0.0
    });
    assert_eq!(postroad.get("/-/healthy").0, 200);

    // Of the healthy shard, too: nothing is read that cannot be kept.
    let read = judged(&postroad);
    let more = random_log(34, "parcel", 1_500);
    mock.produce_all((PARCELS, 1), &more);
    let seen = || {
        let labels = [("topic", PARCELS), ("partition", "1")];
        metrics(&postroad).unwrap().sum("postroad_consumer_lag_records", &labels) > 100.0
    };
    wait_until(PATIENCE, "the lag grows", seen);
    // For longer than the group waits for a member that does not poll.
    let moved = || (judged(&postroad) - read).abs() > 0.5 || rebalances() > before;
    assert!(!holds_within(Duration::from_secs(8), moved), "read on, or left the group");
    let queued = metrics(&postroad).unwrap().sum("postroad_queue_bytes", &[]);
    assert!(queued <= 64.0 * 1024.0 * 1024.0, "{queued} bytes are queued");

    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    wait_ready(&postroad);
    site.assert_published(&mock.judge());
    let log = site.log();
    assert_eq!(lines_with(&log, "a checkpoint cannot be written"), 1, "{log}");
    assert!(rebalances() <= before, "the group was left");
    stop(&mut postroad);
}

/// Whoever deletes what says whose a store is, or writes another's name into it, is noticed while an
/// instance runs.
#[test]
fn a_running_instance_sees_that_its_store_stays_its_own() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "ours", &[PARCELS]);
    let mut postroad = site.run();
    wait_ready(&postroad);
    let files = ["owner.json", "store.json"].map(|name| site.store().join(name));
    let before = files.each_ref().map(|file| fs::read_to_string(file).unwrap());
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    let now = || files.each_ref().map(|file| fs::read_to_string(file).unwrap_or_default());
    wait_until(PATIENCE, "both are written again", || now() == before);
    wait_until(PATIENCE, "it is said", || site.log().contains("was gone from the store"));
    fs::write(&files[0], before[0].replace("ours", "theirs")).unwrap();
    assert_eq!(postroad.wait(PATIENCE).code(), Some(69));
    assert!(site.log().contains("postroad: the store belongs to group `theirs`"), "{}", site.log());
}

#[test]
fn a_store_is_one_groups_on_one_cluster() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "first", &[PARCELS]);
    mock.produce_all((PARCELS, 0), &random_log(35, "parcel", 30));
    let mut postroad = site.run();
    site.assert_published(&mock.judge());
    stop(&mut postroad);

    let other = Mock::start(&[(PARCELS, 1)]);
    for (brokers, group) in [(mock.brokers(), "second"), (other.brokers(), "first")] {
        let said = site.log().len();
        let text =
            postroad_tests::mock::config(&brokers, group, &site.store(), site.port, &[PARCELS]);
        site.configure(&text);
        let status = site.run().wait(PATIENCE);
        assert_eq!(status.code(), Some(78));
        let log = site.log();
        let complaints: Vec<_> =
            log[said..].lines().filter(|line| line.starts_with("postroad: ")).collect();
        assert_eq!(complaints.len(), 1, "{}", &log[said..]);
        for part in ["belongs to group `first`", group, "store.url"] {
            assert!(complaints[0].contains(part), "{}", complaints[0]);
        }
        // And whoever asks beforehand is told.
        let config = site.config().display().to_string();
        let check =
            Command::new(postroad_binary()).args(["check", "-c", &config]).output().unwrap();
        let told = String::from_utf8_lossy(&check.stderr);
        assert_eq!(check.status.code(), Some(78), "{told}");
        assert!(told.contains("belongs to group `first`"), "{told}");
    }
    // The rightful owner is not disturbed, and both topics of a store need not be there.
    let text = postroad_tests::mock::config(
        &mock.brokers(),
        "first",
        &site.store(),
        site.port,
        &[PARCELS],
    );
    site.configure(&text);
    mock.add_topic(FINANCE, 1);
    mock.produce_all((PARCELS, 0), &random_log(36, "parcel", 30));
    let mut postroad = site.run();
    let mut expected = mock.judge();
    expected.retain(|(topic, _), _| topic == PARCELS);
    site.assert_published(&expected);
    stop(&mut postroad);
}
