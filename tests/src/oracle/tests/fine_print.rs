//! Reasons, their order, and the fine print of decoding.

use serde_json::{Value, json};

use super::{Bench, HOUR_MS, NOON_MS, event};
use crate::oracle::{Verdict, json, time};

/// The reason for which a document is rejected, or "" where it is not.
fn reason_at(
    contract: &str,
    timestamp_ms: Option<i64>,
    document: &[u8],
) -> (String, Option<String>) {
    match Bench::new(contract).feed(timestamp_ms, document) {
        Verdict::Applied => (String::new(), None),
        Verdict::Rejected { reason, field } => (reason, field),
        other => panic!("the first record cannot be {other:?}"),
    }
}

#[track_caller]
fn check(contract: &str, patch: &Value, reason: &str, field: Option<&str>) {
    let document = event(contract, patch).to_string();
    let expected = (reason.to_owned(), field.map(str::to_owned));
    assert_eq!(reason_at(contract, Some(NOON_MS), document.as_bytes()), expected, "{document}");
}

#[test]
fn each_reason_and_the_field_at_fault() {
    let parcel =
        |patch: Value, reason: &str, field: &str| check("parcel", &patch, reason, Some(field));
    let finance =
        |patch: Value, reason: &str, field: &str| check("finance", &patch, reason, Some(field));
    check("parcel", &json!({"note": "n".repeat(1_048_576)}), "too_large", None);
    parcel(json!({"event_id": ""}), "malformed", "event_id");
    parcel(json!({"event_id": "驿".repeat(22)}), "malformed", "event_id");
    parcel(json!({"agri": 1}), "malformed", "agri");
    parcel(json!({"weight_g": 1.0}), "malformed", "weight_g");
    finance(json!({"reverses": "fee"}), "malformed", "reverses");
    finance(json!({"reverses": {"txn_type": 1}}), "malformed", "reverses");
    parcel(json!({"occurred_at": null}), "missing_field", "occurred_at");
    parcel(json!({"revenue_fen": null}), "missing_field", "revenue_fen");
    finance(json!({"amount_fen": null}), "missing_field", "amount_fen");
    finance(json!({"txn_type": "reversal"}), "missing_field", "reverses");
    let undo = |reversed: &str| json!({"txn_type": "reversal", "reverses": {"txn_type": reversed}});
    finance(json!({"txn_type": "fee", "revenue_fen": null}), "missing_field", "revenue_fen");
    parcel(json!({"event_type": "deposit"}), "unknown_type", "event_type");
    finance(json!({"txn_type": "", "amount_fen": null}), "unknown_type", "txn_type");
    parcel(json!({"product": "savings"}), "unknown_product", "product");
    finance(json!({"product": "express"}), "unknown_product", "product");
    finance(undo("reversal"), "invalid_reversal", "reverses");
    finance(undo("accepted"), "invalid_reversal", "reverses");
    finance(undo("premium"), "type_product_mismatch", "product");
    finance(json!({"txn_type": "premium"}), "type_product_mismatch", "product");
    parcel(json!({"prefecture": "999999"}), "unknown_prefecture", "prefecture");
    parcel(json!({"occurred_at": "2021-06-30T12:00:00"}), "invalid_time", "occurred_at");
    parcel(json!({"due_at": ""}), "invalid_time", "due_at");
    finance(json!({"accounting_date": "2021-06-31"}), "invalid_time", "accounting_date");
    parcel(json!({"occurred_at": "2021-06-30T12:10:00.000001+08:00"}), "future", "occurred_at");
    check("parcel", &json!({"occurred_at": "2021-06-30T12:10:00.0000009+08:00"}), "", None);
    finance(json!({"accounting_date": "2021-05-29"}), "date_out_of_range", "accounting_date");
    finance(json!({"accounting_date": "2021-08-01"}), "date_out_of_range", "accounting_date");
    check("finance", &json!({"accounting_date": "2021-05-30"}), "", None);
    check("finance", &json!({"accounting_date": "2021-07-31"}), "", None);
    parcel(
        json!({"occurred_at": "1999-12-31T23:59:59.999999+08:00"}),
        "date_out_of_range",
        "occurred_at",
    );
    check("parcel", &json!({"occurred_at": "2000-01-01T00:00:00+08:00"}), "", None);
    parcel(json!({"revenue_fen": -1}), "amount_out_of_range", "revenue_fen");
    parcel(json!({"weight_g": 1_000_000_001}), "amount_out_of_range", "weight_g");
    parcel(json!({"attempt": 0}), "amount_out_of_range", "attempt");
    finance(json!({"amount_fen": 1_000_000_000_001_i64}), "amount_out_of_range", "amount_fen");
    let fen = 1_000_000_000_000_i64;
    let edge = json!({"revenue_fen": fen, "weight_g": 1_000_000_000, "attempt": i64::MAX});
    check("parcel", &edge, "", None);
}

#[test]
fn the_first_reason_in_order_wins() {
    // Each fault is heard only when those before it are mended.
    let mut faults = json!({
        "event_id": "", "txn_type": "reversal", "product": "express", "prefecture": "0",
        "occurred_at": "now", "accounting_date": "1999-01-01", "amount_fen": -1,
        "reverses": {"txn_type": "x"}, "revenue_fen": null,
    });
    let mut mend = |reason: &str, patch: Value| {
        check_reason(&faults, reason);
        for (key, value) in patch.as_object().expect("a patch is an object") {
            faults[key] = value.clone();
        }
    };
    mend("malformed", json!({"event_id": "e", "reverses": {"txn_type": "fee"}}));
    mend("missing_field", json!({"revenue_fen": -1, "txn_type": "x"}));
    mend("unknown_type", json!({"txn_type": "reversal", "reverses": {"txn_type": "x"}}));
    mend("unknown_product", json!({"product": "letter"}));
    mend("invalid_reversal", json!({"reverses": {"txn_type": "fee"}}));
    mend("type_product_mismatch", json!({"product": "savings"}));
    mend("unknown_prefecture", json!({"prefecture": "210100"}));
    mend("invalid_time", json!({"occurred_at": "2022-06-30T12:00:00Z"}));
    mend("future", json!({"occurred_at": "2021-06-30T12:00:00+08:00"}));
    mend("date_out_of_range", json!({"accounting_date": "2021-06-30"}));
    mend("amount_out_of_range", json!({"revenue_fen": 0}));
    mend("amount_out_of_range", json!({"amount_fen": 0}));
    mend("", json!({}));
}

#[track_caller]
fn check_reason(patch: &Value, reason: &str) {
    let document = event("finance", patch).to_string();
    assert_eq!(reason_at("finance", Some(NOON_MS), document.as_bytes()).0, reason, "{document}");
}

#[test]
fn fields_of_the_other_contract_are_unknown() {
    check(
        "parcel",
        &json!({"txn_type": 1, "amount_fen": -0.5, "reverses": [], "accounting_date": "x"}),
        "",
        None,
    );
    check(
        "finance",
        &json!({"event_type": {}, "weight_g": "w", "attempt": 0, "due_at": 5}),
        "",
        None,
    );
}

#[test]
fn unused_fields_are_judged_all_the_same() {
    let scan = |patch: Value| {
        let mut patch = patch;
        patch["event_type"] = json!("arrived");
        reason_at("parcel", Some(NOON_MS), event("parcel", &patch).to_string().as_bytes()).0
    };
    assert_eq!(scan(json!({})), "");
    assert_eq!(scan(json!({"revenue_fen": -1})), "amount_out_of_range");
    assert_eq!(scan(json!({"attempt": 0})), "amount_out_of_range");
    assert_eq!(scan(json!({"due_at": "tomorrow"})), "invalid_time");
    check("finance", &json!({"reverses": {"txn_type": "reversal"}}), "", None);
    check("finance", &json!({"reverses": {"txn_type": "x", "event_id": []}}), "", None);
}

#[test]
fn a_record_without_a_timestamp_has_its_events() {
    let document =
        event("parcel", &json!({"occurred_at": "2021-06-30T12:00:00.123456789+08:00"})).to_string();
    for absent in [None, Some(-1), Some(i64::MIN)] {
        let mut bench = Bench::new("parcel");
        assert_eq!(bench.feed(absent, document.as_bytes()), Verdict::Applied);
        assert_eq!(bench.shard.watermark_micros, Some(NOON_MS * 1000 + 123_456));
    }
    assert_eq!(reason_at("parcel", Some(0), document.as_bytes()).0, "future");
    let mut bench = Bench::new("parcel");
    bench.wall_clock_micros = (NOON_MS - 24 * HOUR_MS) * 1000 + 123_455;
    let ahead = Verdict::Rejected { reason: "clock_ahead".into(), field: None };
    assert_eq!(bench.feed(None, document.as_bytes()), ahead);
}

#[test]
fn ids_are_alike_when_their_unescaped_bytes_are() {
    let second = |first: &str, second: &str| {
        let document = |id: &str| {
            event("parcel", &json!({"event_id": "E"}))
                .to_string()
                .replace("\"E\"", &format!("\"{id}\""))
        };
        let mut bench = Bench::new("parcel");
        assert_eq!(bench.feed(Some(NOON_MS), document(first).as_bytes()), Verdict::Applied);
        bench.feed(Some(NOON_MS), document(second).as_bytes())
    };
    assert_eq!(second("a/b", r"\u0061\/b"), Verdict::Duplicate);
    assert_eq!(second("📮", r"\ud83d\udcee"), Verdict::Duplicate);
    assert_eq!(second("\u{e9}", "e\u{301}"), Verdict::Applied);
    assert_eq!(second("abcdef01", "ABCDEF01"), Verdict::Applied);
    assert_eq!(second("a", r"a\u0000"), Verdict::Applied);
}

#[test]
fn timestamps() {
    let noon = Some(i128::from(NOON_MS) * 1000);
    for written in [
        "2021-06-30T04:00:00Z",
        "2021-06-30t04:00:00z",
        "2021-06-30 04:00:00-00:00",
        "2021-06-30T12:00:00.000000999999999999+08:00",
        "2021-07-01T03:59:00+23:59",
        "2021-06-29T04:01:00-23:59",
    ] {
        assert_eq!(time::parse_timestamp(written), noon, "{written}");
    }
    for written in [
        "",
        "2021-06-30",
        "2021-06-30T04:00Z",
        "2021-06-30T04:00:00",
        "2021-06-30T24:00:00Z",
        "2021-06-30T23:59:60Z",
        "2021-06-30T04:60:00Z",
        "2021-06-30T04:00:00.Z",
        "2021-06-30T04:00:00,0Z",
        "2021-06-30T04:00:00+24:00",
        "2021-06-30T04:00:00+08:60",
        "2021-06-30T04:00:00+0800",
        "2021-06-30T04:00:00+08",
        "2021-06-30T04:00:00 Z",
        "2021-06-30  04:00:00Z",
        "2021-06-30_04:00:00Z",
        " 2021-06-30T04:00:00Z",
        "2021-06-30T04:00:00Z ",
        "2021-06-31T04:00:00Z",
        "2021-02-29T04:00:00Z",
        "1900-02-29T04:00:00Z",
        "2021-00-30T04:00:00Z",
        "10000-06-30T04:00:00Z",
        "+2021-06-30T04:00:00Z",
        "2021-06-30T04:00:00\u{2212}08:00",
        "2021-06-30T04:00:0\u{660}Z",
        "2021-06-30T04:00:00ZZ",
        "2021-06-30T4:00:00Z",
        "2021-06-30T04:00:00.1",
    ] {
        assert_eq!(time::parse_timestamp(written), None, "{written}");
    }
    assert_eq!(time::parse_timestamp("1969-12-31T23:59:59.9999999Z"), Some(-1));
    assert_eq!(time::parse_timestamp("0000-01-01T00:00:00Z"), Some(-62_167_219_200 * time::SECOND));
    assert_eq!(time::parse_timestamp("9999-12-31T23:59:59Z"), Some(253_402_300_799 * time::SECOND));
}

#[test]
fn days_are_counted_both_ways() {
    for (day, text) in [
        (0, "1970-01-01"),
        (-1, "1969-12-31"),
        (10_957, "2000-01-01"),
        (11_016, "2000-02-29"),
        (18_808, "2021-06-30"),
    ] {
        assert_eq!(time::date_text(day), text);
        assert_eq!(time::parse_date(text), Some(day));
    }
    for day in (-719_528..2_950_000).step_by(9973) {
        assert_eq!(time::parse_date(&time::date_text(day)), (day < 2_932_897).then_some(day));
    }
}

/// What `serde_json` also decides: whether a mutilated document is JSON, apart from what the two
/// mean to differ in.
#[test]
fn the_reader_agrees_with_serde_json_on_what_json_is() {
    use crate::logs::{mutate, serialise, valid_event};
    use rand::SeedableRng;

    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let mut faulty = 0;
    for _ in 0..4000 {
        let event = valid_event(&mut rng, "finance", NOON_MS * 1000);
        let mut bytes = serialise(&mut rng, &event);
        mutate(&mut rng, &mut bytes);
        let ours = std::str::from_utf8(&bytes).ok().and_then(json::parse);
        let theirs = serde_json::from_slice::<Value>(&bytes);
        let document = String::from_utf8_lossy(&bytes);
        match (&ours, &theirs) {
            // Exponents beyond a double and lone surrogates are JSON, but no `serde_json::Value`.
            (Some(_), Err(error)) => {
                let beyond = ["out of range", "surrogate", "hex escape"];
                assert!(
                    beyond.iter().any(|allowed| error.to_string().contains(allowed)),
                    "{error}: {document}"
                );
            }
            (None, Ok(_)) => panic!("not accepted: {document}"),
            (None, Err(_)) => faulty += 1,
            (Some(_), Ok(_)) => {}
        }
    }
    assert!((1000..3500).contains(&faulty), "{faulty} of 4000 documents were not JSON");
}
