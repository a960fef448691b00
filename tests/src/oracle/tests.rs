//! The oracle against CONTRACT, example by example: nothing else judges the judge.

mod fine_print;

use serde_json::{Map, Value, json};

use super::*;

/// 2021-06-30T04:00:00Z, noon at UTC+08:00, in milliseconds.
const NOON_MS: i64 = 1_625_025_600_000;
const HOUR_MS: i64 = 3_600_000;

fn rules() -> OracleRules {
    OracleRules {
        prefectures: ["210100", "210200"].map(str::to_owned).into(),
        dedupe_window_h: 24,
        late_after_h: 1,
        final_after_h: 72,
        value_bytes_max: 1_048_576,
    }
}

/// A shard under test: it numbers the records and knows no wall clock, unless it is told one.
struct Bench {
    shard: OracleShard,
    wall_clock_micros: i64,
}

impl Bench {
    fn new(contract: &str) -> Self {
        Self { shard: OracleShard::new(contract, 0), wall_clock_micros: i64::MAX }
    }

    fn feed(&mut self, timestamp_ms: Option<i64>, value: &[u8]) -> Verdict {
        let record = OracleRecord {
            offset: self.shard.next_offset,
            timestamp_ms,
            value: Some(value.to_vec()),
        };
        self.shard.step(&rules(), &record, self.wall_clock_micros)
    }

    fn event(&mut self, timestamp_ms: i64, event: &Value) -> Verdict {
        self.feed(Some(timestamp_ms), event.to_string().as_bytes())
    }

    #[track_caller]
    fn cell(&self, day: &str, product: &str) -> OracleCell {
        let key = (day.to_owned(), "210100".to_owned(), product.to_owned());
        self.shard.cells.get(&key).cloned().unwrap_or_default()
    }
}

/// A valid event at noon, with fields replaced; a field replaced by null is left out.
fn event(contract: &str, patch: &Value) -> Value {
    let mut event = json!({
        "event_id": "e",
        "product": if contract == "parcel" { "express" } else { "savings" },
        "prefecture": "210100",
        "occurred_at": "2021-06-30T12:00:00+08:00",
        "revenue_fen": 7,
    });
    let fields = event.as_object_mut().expect("it is an object");
    if contract == "parcel" {
        fields.insert("event_type".into(), "accepted".into());
        fields.insert("weight_g".into(), 250.into());
    } else {
        fields.insert("txn_type".into(), "deposit".into());
        fields.insert("amount_fen".into(), 1000.into());
    }
    merge(fields, patch);
    event
}

fn merge(fields: &mut Map<String, Value>, patch: &Value) {
    for (key, value) in patch.as_object().expect("a patch is an object") {
        if value.is_null() {
            fields.remove(key);
        } else {
            fields.insert(key.clone(), value.clone());
        }
    }
}

/// The one cell that an event at noon leaves behind, without the measures that are zero and without
/// `events`.
#[track_caller]
fn check_effect(contract: &str, patch: &Value, expected: &[(&str, i128)]) {
    let mut bench = Bench::new(contract);
    assert_eq!(bench.event(NOON_MS, &event(contract, patch)), Verdict::Applied);
    assert_eq!(bench.shard.cells.len(), 1);
    let cell = bench.shard.cells.values().next().expect("it has one cell");
    assert_eq!(cell.events, 1);
    let mut left: Vec<(&str, i128)> =
        cell.measures().into_iter().filter(|(name, sum)| *sum != 0 && *name != "events").collect();
    let mut expected = expected.to_vec();
    left.sort_unstable();
    expected.sort_unstable();
    assert_eq!(left, expected, "{patch}");
}

#[test]
fn effects_of_parcel_events() {
    let check = |patch: Value, expected: &[(&str, i128)]| check_effect("parcel", &patch, expected);
    check(json!({}), &[("volume", 1), ("revenue_fen", 7), ("weight_g", 250)]);
    check(json!({"weight_g": null}), &[("volume", 1), ("revenue_fen", 7)]);
    check(
        json!({"event_type": "voided"}),
        &[("volume", -1), ("revenue_fen", -7), ("weight_g", -250), ("voided", 1)],
    );
    check(json!({"event_type": "dispatched"}), &[("scans", 1)]);
    check(json!({"event_type": "arrived"}), &[("scans", 1)]);
    check(json!({"event_type": "out_for_delivery"}), &[("due", 1)]);
    check(json!({"event_type": "out_for_delivery", "attempt": 1}), &[("due", 1)]);
    check(json!({"event_type": "out_for_delivery", "attempt": 2}), &[]);
    let delivered = |due_at: Value| json!({"event_type": "delivered", "due_at": due_at});
    check(delivered(Value::Null), &[("delivered", 1)]);
    check(delivered(json!("2021-06-30T04:00:00Z")), &[("delivered", 1), ("on_time", 1)]);
    check(delivered(json!("2021-06-30T04:00:00.0000009Z")), &[("delivered", 1), ("on_time", 1)]);
    check(delivered(json!("2021-06-30T03:59:59.999999Z")), &[("delivered", 1)]);
    check(json!({"event_type": "delivery_failed"}), &[("failed_attempts", 1)]);
    check(json!({"event_type": "returned"}), &[("returned", 1), ("revenue_fen", 7)]);
    check(json!({"event_type": "returned", "revenue_fen": null}), &[("returned", 1)]);
}

#[test]
fn effects_of_finance_events() {
    let check = |txn_type: &str, product: &str, expected: &[(&str, i128)]| {
        check_effect("finance", &json!({"txn_type": txn_type, "product": product}), expected);
    };
    check("opened", "savings", &[("accounts_opened", 1)]);
    let inward = [("balance_fen", 1000), ("turnover_fen", 1000), ("volume", 1), ("revenue_fen", 7)];
    let outward =
        [("balance_fen", -1000), ("turnover_fen", 1000), ("volume", 1), ("revenue_fen", 7)];
    check("deposit", "savings", &inward);
    check("transfer_in", "settlement", &inward);
    check("purchase", "fund", &inward);
    check("premium", "insurance", &inward);
    check("withdrawal", "savings", &outward);
    check("transfer_out", "settlement", &outward);
    check("redemption", "bond", &outward);
    check("fee", "wealth", &[("revenue_fen", 7)]);
    check("fee_accrual", "savings", &[("revenue_fen", 7)]);
    check("sale", "press", &[("volume", 1), ("turnover_fen", 1000), ("revenue_fen", 7)]);
    check("refund", "letter", &[("revenue_fen", -7), ("reversals", 1)]);
}

#[test]
fn effects_of_reversals() {
    let check = |reversed: &str, product: &str, expected: &[(&str, i128)]| {
        let patch =
            json!({"txn_type": "reversal", "product": product, "reverses": {"txn_type": reversed}});
        check_effect("finance", &patch, expected);
    };
    check("opened", "savings", &[("accounts_opened", -1), ("reversals", 1)]);
    check("deposit", "savings", &[("balance_fen", -1000), ("revenue_fen", -7), ("reversals", 1)]);
    check("redemption", "fund", &[("balance_fen", 1000), ("revenue_fen", -7), ("reversals", 1)]);
    check("fee", "bond", &[("revenue_fen", -7), ("reversals", 1)]);
    check("sale", "philately", &[("revenue_fen", -7), ("reversals", 1)]);
    check("refund", "value_added", &[("revenue_fen", 7), ("reversals", 1)]);
}

#[test]
fn effects_of_the_agri_tag() {
    check_effect(
        "parcel",
        &json!({"event_type": "voided", "agri": true, "weight_g": null}),
        &[
            ("volume", -1),
            ("revenue_fen", -7),
            ("voided", 1),
            ("agri_volume", -1),
            ("agri_revenue_fen", -7),
        ],
    );
    check_effect("parcel", &json!({"event_type": "arrived", "agri": true}), &[("scans", 1)]);
    check_effect(
        "finance",
        &json!({"txn_type": "reversal", "agri": true, "reverses": {"txn_type": "withdrawal"}}),
        &[("balance_fen", 1000), ("revenue_fen", -7), ("reversals", 1), ("agri_revenue_fen", -7)],
    );
}

#[test]
fn canonical_case_7_a_reversal_posts_on_its_own_day() {
    let mut bench = Bench::new("finance");
    let bought =
        json!({"event_id": "1", "txn_type": "purchase", "product": "fund", "revenue_fen": 12_000});
    assert_eq!(bench.event(NOON_MS, &event("finance", &bought)), Verdict::Applied);
    let undone = json!({
        "event_id": "2", "txn_type": "reversal", "product": "fund", "revenue_fen": 12_000,
        "reverses": {"txn_type": "purchase"}, "occurred_at": "2021-07-01T12:00:00+08:00",
    });
    assert_eq!(bench.event(NOON_MS + 24 * HOUR_MS, &event("finance", &undone)), Verdict::Applied);
    let (june, july) = (bench.cell("2021-06-30", "fund"), bench.cell("2021-07-01", "fund"));
    assert_eq!((june.revenue_fen, july.revenue_fen), (12_000, -12_000));
    assert_eq!((june.volume, july.volume), (1, 0));
    assert_eq!((june.reversals, july.reversals), (0, 1));
}

#[test]
fn canonical_case_8_one_acceptance_sent_three_times() {
    let mut bench = Bench::new("parcel");
    let accepted = event("parcel", &json!({}));
    assert_eq!(bench.event(NOON_MS, &accepted), Verdict::Applied);
    assert_eq!(bench.event(NOON_MS + 1, &accepted), Verdict::Duplicate);
    assert_eq!(bench.event(NOON_MS + 2, &accepted), Verdict::Duplicate);
    let returned = event("parcel", &json!({"event_id": "r", "event_type": "returned"}));
    assert_eq!(bench.event(NOON_MS + 3, &returned), Verdict::Applied);
    assert_eq!(bench.cell("2021-06-30", "express").volume, 1);
    let voided = event("parcel", &json!({"event_id": "v", "event_type": "voided"}));
    assert_eq!(bench.event(NOON_MS + 4, &voided), Verdict::Applied);
    assert_eq!(bench.cell("2021-06-30", "express").volume, 0);
    assert_eq!((bench.shard.applied, bench.shard.duplicates, bench.shard.consumed), (3, 2, 5));
}

#[test]
fn canonical_case_9_the_business_day_boundary() {
    let mut bench = Bench::new("parcel");
    let next = event("parcel", &json!({"event_id": "n", "occurred_at": "2021-06-30T16:00:00Z"}));
    assert_eq!(bench.event(NOON_MS + 12 * HOUR_MS, &next), Verdict::Applied);
    let last = event("parcel", &json!({"event_id": "l", "occurred_at": "2021-06-30T15:59:59Z"}));
    assert_eq!(bench.event(NOON_MS + (12 + 48) * HOUR_MS, &last), Verdict::Applied);
    let (june, july) = (bench.cell("2021-06-30", "express"), bench.cell("2021-07-01", "express"));
    assert_eq!((june.events, june.late_events, june.restated_events), (1, 1, 0));
    assert_eq!((july.events, july.late_events, july.restated_events), (1, 0, 0));
}

#[test]
fn late_and_restated_begin_exactly_at_their_thresholds() {
    let counts = |hours: i64, ms: i64, patch: &Value| {
        let mut bench = Bench::new("finance");
        // Noon and twelve hours is the end of 30 June.
        let t = NOON_MS + (12 + hours) * HOUR_MS + ms;
        assert_eq!(bench.event(t, &event("finance", patch)), Verdict::Applied);
        let cell = bench.cell("2021-06-30", "savings");
        (cell.late_events, cell.restated_events)
    };
    assert_eq!(counts(1, -1, &json!({})), (0, 0));
    assert_eq!(counts(1, 0, &json!({})), (1, 0));
    assert_eq!(counts(72, -1, &json!({})), (1, 0));
    assert_eq!(counts(72, 0, &json!({})), (1, 1));
    // The books' day decides, whichever day the clock showed.
    let booked =
        json!({"accounting_date": "2021-06-30", "occurred_at": "2021-07-01T00:30:00+08:00"});
    assert_eq!(counts(1, 0, &booked), (1, 0));
}

#[test]
fn the_window_is_counted_in_whole_hours_of_shard_time() {
    let twice = |first_ms: i64, later_ms: i64| {
        let mut bench = Bench::new("parcel");
        assert_eq!(bench.event(first_ms, &event("parcel", &json!({}))), Verdict::Applied);
        let at = time::date_text(time::china_day(i128::from(later_ms) * 1000));
        let later = json!({"occurred_at": format!("{at}T00:00:00+08:00")});
        bench.event(later_ms, &event("parcel", &later))
    };
    assert_eq!(twice(NOON_MS, NOON_MS + 25 * HOUR_MS - 1), Verdict::Duplicate);
    assert_eq!(twice(NOON_MS, NOON_MS + 25 * HOUR_MS), Verdict::Applied);
    assert_eq!(twice(NOON_MS + HOUR_MS - 1, NOON_MS + 25 * HOUR_MS), Verdict::Applied);
    assert_eq!(twice(NOON_MS + HOUR_MS, NOON_MS + 26 * HOUR_MS - 1), Verdict::Duplicate);
}

#[test]
fn shard_time_outruns_no_event_by_more_than_a_day() {
    let mut bench = Bench::new("parcel");
    let accepted = event("parcel", &json!({}));
    assert_eq!(bench.event(NOON_MS + 1000 * HOUR_MS, &accepted), Verdict::Applied);
    assert_eq!(bench.shard.watermark_micros, Some((NOON_MS + 24 * HOUR_MS) * 1000));
    // An id is remembered at shard time, and a duplicate refreshes it, also when its own time lies
    // far back.
    let earlier = event("parcel", &json!({"occurred_at": "2021-06-29T12:00:00+08:00"}));
    assert_eq!(bench.event(NOON_MS - 24 * HOUR_MS, &earlier), Verdict::Duplicate);
    assert_eq!(bench.shard.watermark_micros, Some((NOON_MS + 24 * HOUR_MS) * 1000));
    let later = event("parcel", &json!({"occurred_at": "2021-07-02T12:00:00+08:00"}));
    assert_eq!(bench.event(NOON_MS + 48 * HOUR_MS, &later), Verdict::Duplicate);
    let last = event("parcel", &json!({"occurred_at": "2021-07-03T13:00:00+08:00"}));
    assert_eq!(bench.event(NOON_MS + 73 * HOUR_MS, &last), Verdict::Applied);
}

#[test]
fn a_rejected_record_leaves_no_id_and_moves_no_clock() {
    let mut bench = Bench::new("parcel");
    bench.wall_clock_micros = NOON_MS * 1000;
    let unknown = event("parcel", &json!({"product": "savings"}));
    assert!(matches!(bench.event(NOON_MS, &unknown), Verdict::Rejected { .. }));
    let accepted = event("parcel", &json!({}));
    let ahead = Verdict::Rejected { reason: "clock_ahead".into(), field: None };
    assert_eq!(bench.event(NOON_MS + 24 * HOUR_MS + 1, &accepted), ahead);
    assert_eq!(bench.shard.watermark_micros, None);
    assert_eq!(bench.event(NOON_MS + 24 * HOUR_MS, &accepted), Verdict::Applied);
    // A duplicate under a broken clock is no duplicate but a fault.
    assert_eq!(bench.event(i64::MAX, &accepted), ahead);
    let rejects: Vec<(i64, Option<i64>, &str)> = bench
        .shard
        .rejects
        .iter()
        .map(|(offset, t, reason, _)| (*offset, *t, reason.as_str()))
        .collect();
    let noon = NOON_MS * 1000;
    let ahead_micros = noon + 24 * HOUR_MS * 1000 + 1000;
    assert_eq!(
        rejects,
        [
            (0, Some(noon), "unknown_product"),
            (1, Some(ahead_micros), "clock_ahead"),
            (3, None, "clock_ahead")
        ]
    );
}

#[test]
fn offsets_below_the_next_are_skipped_and_missing_ones_are_gaps() {
    let mut shard = OracleShard::new("parcel", 10);
    let mut step = |offset: i64| {
        let tombstone = OracleRecord { offset, timestamp_ms: None, value: None };
        (shard.step(&rules(), &tombstone, 0), shard.next_offset, shard.consumed, shard.gaps)
    };
    assert_eq!(step(9), (Verdict::Skipped, 10, 0, 0));
    assert_eq!(step(12), (Verdict::Ignored, 13, 1, 2));
    assert_eq!(step(12), (Verdict::Skipped, 13, 1, 2));
    assert_eq!(step(13), (Verdict::Ignored, 14, 2, 2));
}
