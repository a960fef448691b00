//! DOMAIN's canonical cases that one shard can show, computed there by hand.

use postroad_schemas::units::Span;
use postroad_tests::oracle::Verdict;
use serde_json::json;

use crate::contract::{Bench, NOON, at};

#[test]
fn case_7_a_reversal_posts_on_its_own_day() {
    let mut bench = Bench::new("finance");
    let bought =
        json!({"event_id": "1", "txn_type": "purchase", "product": "fund", "revenue_fen": 12_000});
    assert_eq!(bench.feed(Some(at(NOON)), &bought), Verdict::Applied);
    let undone = json!({
        "event_id": "2", "txn_type": "reversal", "product": "fund", "revenue_fen": 12_000,
        "reverses": {"txn_type": "purchase"}, "occurred_at": "2021-07-01T12:00:00+08:00",
    });
    assert_eq!(bench.feed(Some(at(NOON) + Span::hours(24)), &undone), Verdict::Applied);
    let (june, july) = (bench.cell("2021-06-30", "fund"), bench.cell("2021-07-01", "fund"));
    assert_eq!((june.revenue_fen, july.revenue_fen), (12_000, -12_000));
    assert_eq!((june.balance_fen, july.balance_fen), (1000, -1000));
    assert_eq!((june.volume, july.volume), (1, 0));
    assert_eq!((june.reversals, july.reversals), (0, 1));
}

#[test]
fn case_8_one_acceptance_sent_three_times() {
    let mut bench = Bench::new("parcel");
    let accepted = json!({});
    assert_eq!(bench.feed(Some(at(NOON)), &accepted), Verdict::Applied);
    assert_eq!(bench.feed(Some(at(NOON)), &accepted), Verdict::Duplicate);
    assert_eq!(bench.feed(Some(at(NOON) + Span::hours(24)), &accepted), Verdict::Duplicate);
    assert_eq!(bench.cell("2021-06-30", "express").volume, 1);
    let returned = json!({"event_id": "r", "event_type": "returned"});
    assert_eq!(bench.feed(Some(at(NOON)), &returned), Verdict::Applied);
    assert_eq!(bench.cell("2021-06-30", "express").volume, 1);
    let voided = json!({"event_id": "v", "event_type": "voided"});
    assert_eq!(bench.feed(Some(at(NOON)), &voided), Verdict::Applied);
    let cell = bench.cell("2021-06-30", "express");
    assert_eq!((cell.volume, cell.returned, cell.voided, cell.events), (0, 1, 1, 3));
    let ledger = &bench.state().ledger;
    assert_eq!((ledger.applied, ledger.duplicates, ledger.consumed()), (3, 2, 5));
}

#[test]
fn case_9_the_last_second_of_june_arrives_two_days_late() {
    let mut bench = Bench::new("parcel");
    let midnight = at("2021-06-30T16:00:00Z");
    let july = json!({"event_id": "j", "occurred_at": "2021-06-30T16:00:00Z"});
    assert_eq!(bench.feed(Some(midnight), &july), Verdict::Applied);
    let june = json!({"event_id": "i", "occurred_at": "2021-06-30T15:59:59Z"});
    assert_eq!(bench.feed(Some(midnight + Span::hours(48)), &june), Verdict::Applied);
    let (june, july) = (bench.cell("2021-06-30", "express"), bench.cell("2021-07-01", "express"));
    assert_eq!((june.volume, june.late_events, june.restated_events), (1, 1, 0));
    assert_eq!((july.volume, july.late_events, july.restated_events), (1, 0, 0));
}

/// The movements of case 11; the balance at the end of the year is not an event.
#[test]
fn case_11_the_balance_moves_by_what_came_in_less_what_went_out() {
    let mut bench = Bench::new("finance");
    let yuan = |yuan: i64| yuan * 100;
    let movements = [
        json!({"event_id": "1", "txn_type": "deposit", "amount_fen": yuan(4_800_000)}),
        json!({"event_id": "2", "txn_type": "deposit", "amount_fen": yuan(200_000)}),
        json!({"event_id": "3", "txn_type": "withdrawal", "amount_fen": yuan(3_000_000)}),
        json!({
            "event_id": "4", "txn_type": "reversal", "amount_fen": yuan(200_000),
            "reverses": {"txn_type": "deposit"},
        }),
    ];
    for movement in &movements {
        assert_eq!(bench.feed(Some(at(NOON)), movement), Verdict::Applied, "{movement}");
    }
    let cell = bench.cell("2021-06-30", "savings");
    assert_eq!(cell.balance_fen, i128::from(yuan(1_800_000)));
    assert_eq!(cell.turnover_fen, i128::from(yuan(8_000_000)));
    assert_eq!((cell.volume, cell.reversals), (3, 1));
}
