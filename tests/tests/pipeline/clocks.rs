//! Producers whose clocks run ahead of the consumer's: the one judgement that depends on a wall
//! clock, made once.

use std::time::Duration;

use postroad_tests::mock::{Mock, PATIENCE, Site, rows, wall_clock_micros};
use postroad_tests::wait::wait_until;
use serde_json::json;

use super::{PARCELS, metrics, stop, wait_ready};

const DAY_MS: i64 = 86_400_000;
/// How much more than a day the bad clock is ahead: long enough to be judged in that time, short
/// enough to wait for its end.
const AHEAD_MS: i64 = 15_000;

fn event(id: &str, at_ms: i64) -> Vec<u8> {
    let at = postroad_schemas::units::Timestamp::from_millis(at_ms);
    let (year, month, day) = (at - postroad_schemas::units::Span::hours(8)).business_day().civil();
    let (hour, minute) = (at_ms / 3_600_000 % 24, at_ms / 60_000 % 60);
    let event = json!({
        "event_id": id, "event_type": "accepted", "product": "express", "prefecture": "210100",
        "occurred_at": format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z"),
        "revenue_fen": 100,
    });
    event.to_string().into_bytes()
}

#[test]
fn a_record_ahead_of_the_clock_stays_rejected_when_the_clock_has_come() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "clocks", &[PARCELS]);
    let mut postroad = site.run();
    wait_ready(&postroad);
    let now_ms = wall_clock_micros() / 1_000;
    let ahead_ms = now_ms + DAY_MS + AHEAD_MS;
    let send = |id: &str, timestamp_ms: i64| {
        mock.produce((PARCELS, 0), Some(timestamp_ms), Some(&event(id, now_ms)));
        mock.flush();
    };
    send("a", now_ms);
    send("b", ahead_ms);
    send("c", now_ms);
    let rejected = || {
        let reason = [("reason", "clock_ahead")];
        metrics(&postroad).is_some_and(|m| m.sum("postroad_records_rejected_total", &reason) > 0.5)
    };
    wait_until(Duration::from_secs(14), "the record is rejected", rejected);
    stop(&mut postroad);

    // Now the clock would have nothing against it. The window is read again, and must not learn
    // the id: the next record of that id is no duplicate.
    wait_until(PATIENCE, "the clock comes near", || {
        wall_clock_micros() / 1_000 + DAY_MS > ahead_ms + 100
    });
    let mut postroad = site.run();
    wait_ready(&postroad);
    send("b", now_ms);
    send("a", now_ms);
    wait_until(PATIENCE, "all is published", || {
        rows(&site.store(), "ledger").iter().any(|row| row["next_offset"] == "5")
    });
    stop(&mut postroad);
    let ledger = rows(&site.store(), "ledger").pop().unwrap();
    let counts = ["applied", "duplicates", "rejected"].map(|name| ledger[name].as_str());
    assert_eq!(counts, ["3", "1", "1"]);
    // The clock that ran ahead moved no clock of ours.
    let watermark: i64 = ledger["watermark"].parse().unwrap();
    assert_eq!(watermark, now_ms * 1_000);
    let letters = rows(&site.store(), "dead_letters");
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0]["offset"].as_str(), letters[0]["reason"].as_str()),
        ("1", "clock_ahead")
    );
}
