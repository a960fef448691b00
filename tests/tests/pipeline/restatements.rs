//! A record for a day that was published as final moves its cell, in a table and in a metric.

use std::time::Duration;

use postroad_schemas::units::{Span, Timestamp};
use postroad_tests::mock::{Mock, PATIENCE, Site, rows, wall_clock_micros};
use postroad_tests::wait::wait_until;
use serde_json::json;

use super::{PARCELS, metrics, stop, wait_ready};

fn event(id: &str, at: Timestamp) -> Vec<u8> {
    let event = json!({
        "event_id": id, "event_type": "accepted", "product": "express", "prefecture": "210100",
        "occurred_at": at.to_string(), "revenue_fen": 100,
    });
    event.to_string().into_bytes()
}

#[test]
fn a_late_record_for_a_final_day_is_tabled_and_counted_once() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "restatements", &[PARCELS]);
    let mut postroad = site.run();
    wait_ready(&postroad);
    let now = Timestamp::from_micros(wall_clock_micros());
    let then = now - Span::hours(240);
    let send = |id: &str, occurred_at: Timestamp, recorded_at: Timestamp| {
        let timestamp_ms = Some(recorded_at.as_micros() / 1_000);
        mock.produce((PARCELS, 0), timestamp_ms, Some(&event(id, occurred_at)));
        mock.flush();
    };
    send("a", then, then);
    send("b", now, now);
    let day = then.business_day().to_string();
    wait_until(PATIENCE, "the day is final", || {
        let rollups = rows(&site.store(), "daily_rollups");
        rollups.iter().any(|row| row["business_date"] == day && row["status"] == "final")
    });
    send("c", then, now);
    let counted =
        |postroad: &_| metrics(postroad).map_or(0.0, |m| m.sum("postroad_restatements_total", &[]));
    wait_until(PATIENCE, "it is counted", || counted(&postroad) > 0.5);
    assert!(counted(&postroad) < 1.5);
    stop(&mut postroad);
    // Another process goes on with the same table.
    let mut postroad = site.run();
    wait_ready(&postroad);
    send("d", then, now);
    wait_until(Duration::from_secs(30), "the other process counts its own", || {
        counted(&postroad) > 0.5
    });
    assert!(counted(&postroad) < 1.5);
    stop(&mut postroad);
    let restated: Vec<_> = rows(&site.store(), "restatements")
        .into_iter()
        .map(|row| {
            [&row["business_date"], &row["volume_before"], &row["volume_after"]].map(String::clone)
        })
        .collect();
    let row = |before: &str, after: &str| [day.clone(), before.to_owned(), after.to_owned()];
    assert_eq!(restated, [row("1", "2"), row("2", "3")]);
}
