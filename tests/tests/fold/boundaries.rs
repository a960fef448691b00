//! Each reason at both sides of its boundary, and the order in which reasons are tried.

use postroad_schemas::units::{Span, Timestamp};
use postroad_tests::oracle::Verdict;
use serde_json::{Value, json};

use crate::contract::{Bench, Expected, NOON, at, check};

const FEN: i64 = 1_000_000_000_000;

/// Judges a parcel event recorded at noon: `None` is valid, else the reason and the field, if any.
#[track_caller]
fn parcel(patch: &Value, reject: Option<(&str, &str)>) {
    judged("parcel", patch, reject);
}

#[track_caller]
fn finance(patch: &Value, reject: Option<(&str, &str)>) {
    judged("finance", patch, reject);
}

/// Of a valid event only that counts here: the effect has its own table.
#[track_caller]
fn judged(name: &'static str, patch: &Value, reject: Option<(&str, &str)>) {
    if let Some((reason, field)) = reject {
        let field = Some(field).filter(|field| !field.is_empty());
        check(name, at(NOON), patch, Err((reason, field)));
    } else {
        let found = Bench::new(name).feed(Some(at(NOON)), patch);
        assert_eq!(found, Verdict::Applied, "{patch}");
    }
}

#[test]
fn a_value_is_too_large_above_the_limit() {
    let length = |patch: &Value| {
        let mut bench = Bench::new("parcel");
        bench.feed(Some(at(NOON)), patch)
    };
    // The longest note that still fits in a mebibyte with the rest of the event.
    let rest = json!({
        "event_id": "e", "event_type": "accepted", "note": "", "occurred_at": NOON,
        "prefecture": "210100", "product": "express", "revenue_fen": 7, "weight_g": 250,
    });
    let room = (1 << 20) - rest.to_string().len();
    assert_eq!(length(&json!({"note": "n".repeat(room)})), Verdict::Applied);
    parcel(&json!({"note": "n".repeat(room + 1)}), Some(("too_large", "")));
}

#[test]
fn an_id_has_1_to_64_bytes() {
    parcel(&json!({"event_id": ""}), Some(("malformed", "event_id")));
    parcel(&json!({"event_id": "i".repeat(64)}), None);
    parcel(&json!({"event_id": "i".repeat(65)}), Some(("malformed", "event_id")));
    parcel(&json!({"event_id": "驿".repeat(21)}), None);
    parcel(&json!({"event_id": "驿".repeat(22)}), Some(("malformed", "event_id")));
}

#[test]
fn an_event_may_lie_ten_minutes_ahead_of_its_record() {
    let ahead = |text: &str| json!({"occurred_at": text});
    parcel(&ahead("2021-06-30T12:10:00+08:00"), None);
    parcel(&ahead("2021-06-30T12:10:00.0000009+08:00"), None);
    parcel(&ahead("2021-06-30T12:10:00.000001+08:00"), Some(("future", "occurred_at")));
    // Without a timestamp an event is never ahead of its record; at the epoch nearly all are.
    let mut bench = Bench::new("parcel");
    assert_eq!(bench.feed(None, &json!({})), Verdict::Applied);
    assert_eq!(bench.state().watermark, Some(at(NOON)));
    let future = Err(("future", Some("occurred_at")));
    check("parcel", Timestamp::from_micros(0), &json!({}), future);
}

#[test]
fn an_accounting_date_lies_within_31_days() {
    let booked = |date: &str| json!({"accounting_date": date});
    let far = Some(("date_out_of_range", "accounting_date"));
    finance(&booked("2021-05-30"), None);
    finance(&booked("2021-05-29"), far);
    finance(&booked("2021-07-31"), None);
    finance(&booked("2021-08-01"), far);
    // The day of the event is that of UTC+08:00.
    let late = |date: &str| json!({"accounting_date": date, "occurred_at": "2021-06-29T16:00:00Z"});
    finance(&late("2021-05-30"), None);
    finance(&late("2021-05-29"), far);
}

#[test]
fn business_days_begin_in_2000() {
    let before = json!({"occurred_at": "1999-12-31T23:59:59.9999999+08:00"});
    parcel(&before, Some(("date_out_of_range", "occurred_at")));
    parcel(&json!({"occurred_at": "2000-01-01T00:00:00+08:00"}), None);
    parcel(&json!({"occurred_at": "1999-12-31T16:00:00Z"}), None);
    let booked = |date: &str, occurred_at: &str| json!({"accounting_date": date, "occurred_at": occurred_at});
    finance(&booked("2000-01-01", "1999-12-31T12:00:00+08:00"), None);
    finance(
        &booked("1999-12-31", "2000-01-01T12:00:00+08:00"),
        Some(("date_out_of_range", "accounting_date")),
    );
}

#[test]
fn amounts_have_a_largest_and_a_smallest() {
    let edges = [
        ("parcel", "revenue_fen", 0, FEN),
        ("parcel", "weight_g", 0, 1_000_000_000),
        ("parcel", "attempt", 1, i64::MAX),
        ("finance", "revenue_fen", 0, FEN),
        ("finance", "amount_fen", 0, FEN),
    ];
    for (name, field, least, most) in edges {
        judged(name, &json!({field: least}), None);
        judged(name, &json!({field: most}), None);
        judged(name, &json!({field: least - 1}), Some(("amount_out_of_range", field)));
        judged(name, &json!({field: i64::MIN}), Some(("amount_out_of_range", field)));
        if let Some(above) = most.checked_add(1) {
            judged(name, &json!({field: above}), Some(("amount_out_of_range", field)));
        }
        judged(name, &json!({field: u64::MAX}), Some(("malformed", field)));
        judged(name, &json!({field: 1.5}), Some(("malformed", field)));
    }
    // Also where the type has no use for the field.
    parcel(
        &json!({"event_type": "arrived", "attempt": 0}),
        Some(("amount_out_of_range", "attempt")),
    );
}

#[test]
fn a_required_field_may_not_be_absent() {
    let missing = |name: &'static str, patch: Value, field: &str| {
        judged(name, &patch, Some(("missing_field", field)));
    };
    for field in ["event_id", "event_type", "product", "prefecture", "occurred_at"] {
        missing("parcel", json!({field: null}), field);
    }
    for field in ["event_id", "txn_type", "product", "prefecture", "occurred_at"] {
        missing("finance", json!({field: null}), field);
    }
    for event_type in ["accepted", "voided"] {
        missing("parcel", json!({"event_type": event_type, "revenue_fen": null}), "revenue_fen");
    }
    let by_type: [(&str, &[&str]); 2] = [
        (
            "amount_fen",
            &[
                "deposit",
                "withdrawal",
                "transfer_in",
                "transfer_out",
                "purchase",
                "redemption",
                "premium",
            ],
        ),
        ("revenue_fen", &["fee", "fee_accrual", "sale", "refund"]),
    ];
    for (field, types) in by_type {
        for txn_type in types {
            missing("finance", json!({"txn_type": txn_type, field: null}), field);
            let reverses = json!({"txn_type": txn_type});
            let undo = json!({"txn_type": "reversal", "reverses": reverses, field: null});
            missing("finance", undo, field);
        }
    }
    missing("finance", json!({"txn_type": "reversal"}), "reverses");
    missing("finance", json!({"txn_type": "reversal", "reverses": {}}), "reverses");
    finance(&json!({"txn_type": "opened", "amount_fen": null, "revenue_fen": null}), None);
    parcel(&json!({"event_type": "arrived", "revenue_fen": null, "weight_g": null}), None);
}

#[test]
fn what_has_no_meaning_is_named() {
    parcel(&json!({"event_type": "deposit"}), Some(("unknown_type", "event_type")));
    parcel(&json!({"event_type": "Accepted"}), Some(("unknown_type", "event_type")));
    finance(&json!({"txn_type": "accepted"}), Some(("unknown_type", "txn_type")));
    parcel(&json!({"product": "savings"}), Some(("unknown_product", "product")));
    finance(&json!({"product": "cash"}), Some(("unknown_product", "product")));
    for reversed in ["reversal", "accepted", ""] {
        let patch = json!({"txn_type": "reversal", "reverses": {"txn_type": reversed}});
        finance(&patch, Some(("invalid_reversal", "reverses")));
    }
    for code in ["210101", "21010", "2101000", "２１０１００", "", " 210100"] {
        parcel(&json!({"prefecture": code}), Some(("unknown_prefecture", "prefecture")));
    }
    parcel(&json!({"occurred_at": "2021-06-30T12:00:00"}), Some(("invalid_time", "occurred_at")));
    parcel(&json!({"event_type": "arrived", "due_at": "soon"}), Some(("invalid_time", "due_at")));
    let invalid = Some(("invalid_time", "accounting_date"));
    finance(&json!({"accounting_date": "2021-06-31"}), invalid);
}

/// A record with every fault: each mend uncovers the next reason.
#[test]
fn the_first_reason_that_holds_is_the_reason() {
    let mut faults = json!({
        "note": "n".repeat(1 << 20), "event_id": "", "txn_type": "x", "product": "express",
        "prefecture": "0", "occurred_at": "now", "accounting_date": "1999-01-01",
        "amount_fen": -1, "revenue_fen": null,
    });
    let mut mend = |reason: &str, field: &str, patch: Value| {
        finance(&faults, Some((reason, field)));
        for (key, value) in patch.as_object().into_iter().flatten() {
            faults[key] = value.clone();
        }
    };
    mend("too_large", "", json!({"note": 1}));
    mend("malformed", "event_id", json!({"event_id": null}));
    mend("missing_field", "event_id", json!({"event_id": "e"}));
    mend("unknown_type", "txn_type", json!({"txn_type": "reversal"}));
    mend("missing_field", "reverses", json!({"reverses": {"txn_type": "fee"}}));
    mend("missing_field", "revenue_fen", json!({"revenue_fen": -1, "reverses": {"txn_type": "x"}}));
    mend("unknown_product", "product", json!({"product": "letter"}));
    mend("invalid_reversal", "reverses", json!({"reverses": {"txn_type": "fee"}}));
    mend("type_product_mismatch", "product", json!({"product": "savings"}));
    mend("unknown_prefecture", "prefecture", json!({"prefecture": "210100"}));
    mend("invalid_time", "occurred_at", json!({"occurred_at": "2022-06-30T12:00:00Z"}));
    mend("future", "occurred_at", json!({"occurred_at": NOON}));
    mend("date_out_of_range", "accounting_date", json!({"accounting_date": "2021-06-30"}));
    mend("amount_out_of_range", "amount_fen", json!({"amount_fen": 0}));
    mend("amount_out_of_range", "revenue_fen", json!({"revenue_fen": 0}));
    finance(&faults, None);
}

/// The one judgement that needs a clock comes last: what is faulty anyway says so.
#[test]
fn a_record_may_lie_24_hours_ahead_of_the_clock() {
    let ahead: Expected<'_> = Err(("clock_ahead", None));
    let clock = at("2100-01-01T00:00:00Z");
    let accepted = [("volume", 1), ("revenue_fen", 7), ("weight_g", 250)];
    let mut late = accepted.to_vec();
    late.extend([("late_events", 1), ("restated_events", 1)]);
    let limit = clock + Span::hours(24);
    check("parcel", limit, &json!({}), Ok(&late));
    check("parcel", Timestamp::from_micros(limit.as_micros() + 1), &json!({}), ahead);
    check("parcel", Timestamp::from_micros(i64::MAX), &json!({}), ahead);
    let unknown: Expected<'_> = Err(("unknown_product", Some("product")));
    check("parcel", Timestamp::from_micros(i64::MAX), &json!({"product": "x"}), unknown);
    // A record without a timestamp has that of its event.
    let mut bench = Bench::new("parcel");
    let verdict = bench.feed_at(None, &json!({}), at("2021-06-29T12:00:00+08:00"));
    assert_eq!(verdict, Verdict::Applied);
    let verdict = bench.feed_at(None, &json!({}), at("2021-06-29T11:59:59.999999+08:00"));
    assert!(matches!(verdict, Verdict::Rejected { reason, .. } if reason == "clock_ahead"));
}
