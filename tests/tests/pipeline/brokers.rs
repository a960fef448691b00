//! Brokers that are away at the start and on the way.

use std::process::Command;
use std::time::Duration;

use postroad_tests::logs::random_log;
use postroad_tests::mock::{Mock, PATIENCE, Site};
use postroad_tests::process::{Postroad, Process, Signal, postroad_binary};
use postroad_tests::wait::{holds_within, wait_until};

use super::{PARCELS, STOP, lines_with, stop, wait_ready};

/// Away at the start: the question to them has ten seconds.
#[test]
fn brokers_that_are_away_are_waited_for_and_named() {
    let mock = Mock::start(&[(PARCELS, 2)]);
    mock.produce_all((PARCELS, 0), &random_log(21, "parcel", 50));
    let expected = mock.judge();
    mock.down();
    let site = Site::new(&mock.brokers(), "away", &[PARCELS]);
    let mut postroad = site.run();
    wait_unready(&postroad, &mock.brokers());
    assert_eq!(postroad.get("/-/healthy").0, 200);
    mock.up();
    wait_ready(&postroad);
    site.assert_published(&expected);
    let log = site.log();
    assert_eq!(lines_with(&log, "no broker answers"), 1, "{log}");

    // On the way.
    mock.down();
    wait_unready(&postroad, "no broker can be reached");
    assert_eq!(postroad.get("/-/healthy").0, 200);
    // Long enough for further complaints, were there any.
    let log_grows = || site.log().lines().count() > log.lines().count() + 12;
    assert!(!holds_within(Duration::from_secs(4), log_grows), "{}", site.log());
    mock.up();
    mock.produce_all((PARCELS, 1), &random_log(22, "parcel", 50));
    wait_ready(&postroad);
    site.assert_published(&mock.judge());
    let log = site.log();
    for change in ["no broker can be reached", "the brokers can be reached"] {
        assert_eq!(lines_with(&log, change), 1, "{change}: {log}");
    }
    stop(&mut postroad);
}

#[track_caller]
fn wait_unready(postroad: &Postroad, reason: &str) {
    let what = format!("not ready, because: {reason}");
    wait_until(PATIENCE, &what, || {
        postroad
            .try_get("/-/ready")
            .is_some_and(|(status, body)| status == 503 && body.contains(reason))
    });
}

/// Every instance says so, not only the publisher, and nothing of it is assigned to anybody by then.
#[test]
fn an_instance_whose_topic_is_deleted_is_not_ready() {
    let mock = Mock::start(&[(PARCELS, 2)]);
    mock.produce_all((PARCELS, 0), &random_log(23, "parcel", 50));
    let site = Site::new(&mock.brokers(), "deleted", &[PARCELS]);
    let mut postroad = site.run();
    wait_ready(&postroad);
    mock.delete_topic(PARCELS, true);
    let reason = "the topic `parcel.events` does not exist";
    wait_unready(&postroad, reason);
    mock.delete_topic(PARCELS, false);
    wait_ready(&postroad);
    site.assert_published(&mock.judge());
    assert_eq!(lines_with(&site.log(), "the topic does not exist"), 1, "{}", site.log());
    stop(&mut postroad);
}

/// librdkafka has a line for every connection that it tries.
#[test]
fn a_simulation_says_once_that_no_broker_can_be_reached() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = Command::new(postroad_binary());
    command.args(["simulate", "--brokers", "127.0.0.1:9", "-X", "reconnect.backoff.max.ms=100"]);
    let _simulation = Process::spawn(&mut command, &log, None);
    let said = || std::fs::read_to_string(&log).unwrap();
    wait_until(PATIENCE, "the outage is said", || said().contains("no broker can be reached"));
    // The seed is another line.
    assert!(!holds_within(Duration::from_secs(3), || said().lines().count() > 2), "{}", said());
    assert!(said().contains("127.0.0.1:9"), "{}", said());
}

/// Nobody has to wait for brokers that never come.
#[test]
fn a_start_without_brokers_can_be_stopped() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    mock.down();
    let site = Site::new(&mock.brokers(), "never", &[PARCELS]);
    let mut postroad = site.run();
    wait_until(PATIENCE, "it serves", || postroad.try_get("/-/healthy").is_some());
    assert_eq!(postroad.get("/-/ready").0, 503);
    postroad.signal(Signal::Term);
    assert!(postroad.wait(STOP).success());
}
