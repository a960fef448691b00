//! CONTRACT's tables, row by row: effects, and which type goes with which product.

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_schemas::time::parse_timestamp;
use postroad_schemas::units::{NextOffset, Offset, Span, Timestamp};
use postroad_tests::logs::rules;
use postroad_tests::oracle::{OracleCell, OracleRules, Verdict};
use serde_json::{Value, json};

use crate::pair::{contract, oracle_cells, real_rules, rules_id, verdict};

/// Noon of 30 June 2021 in UTC+08:00.
pub(crate) const NOON: &str = "2021-06-30T12:00:00+08:00";

/// The measures other than zero that a single event leaves behind, without `events`.
pub(crate) type Effect<'a> = &'a [(&'a str, i128)];

/// The effect of an event, or the reason and the field of its reject.
pub(crate) type Expected<'a> = Result<Effect<'a>, (&'a str, Option<&'a str>)>;

/// A shard that numbers its records and has a clock that no event can outrun.
pub(crate) struct Bench {
    name: &'static str,
    shard: Shard,
}

impl Bench {
    pub(crate) fn new(name: &'static str) -> Self {
        let rules = OracleRules { value_bytes_max: 1 << 20, ..rules() };
        let rules = Arc::new(real_rules(&rules));
        let state = ShardState::new(contract(name), NextOffset::new(0), rules_id(&rules));
        Self { name, shard: Shard::resume(state, vec![rules], IdKey([1; 16]), false) }
    }

    pub(crate) fn state(&self) -> &ShardState {
        self.shard.state()
    }

    /// Judges the contract's valid event with some fields replaced, or left out where null.
    pub(crate) fn feed(&mut self, recorded_at: Option<Timestamp>, patch: &Value) -> Verdict {
        self.feed_at(recorded_at, patch, at("2100-01-01T00:00:00Z"))
    }

    pub(crate) fn feed_at(
        &mut self,
        recorded_at: Option<Timestamp>,
        patch: &Value,
        clock: Timestamp,
    ) -> Verdict {
        let value = event(self.name, patch).to_string();
        let record = Record {
            offset: Offset::new(self.shard.state().ledger.next.get()),
            timestamp: recorded_at,
            value: Some(value.as_bytes()),
        };
        verdict(self.shard.step(&record, clock).expect("there is no other log"))
    }

    /// The cell of a day in Shenyang.
    pub(crate) fn cell(&self, day: &str, product: &str) -> OracleCell {
        let key = (day.to_owned(), "210100".to_owned(), product.to_owned());
        oracle_cells(&self.state().cells).remove(&key).unwrap_or_default()
    }
}

/// An instant written as in an event.
pub(crate) fn at(text: &str) -> Timestamp {
    parse_timestamp(text).expect("it is a timestamp")
}

/// A valid event with some fields replaced, or left out where null.
fn event(name: &str, patch: &Value) -> Value {
    let mut event = json!({
        "event_id": "e",
        "prefecture": "210100",
        "occurred_at": NOON,
        "revenue_fen": 7,
    });
    let own = if name == "parcel" {
        json!({"event_type": "accepted", "product": "express", "weight_g": 250})
    } else {
        json!({"txn_type": "deposit", "product": "savings", "amount_fen": 1000})
    };
    let fields = event.as_object_mut().expect("it is an object");
    for (key, value) in own.as_object().into_iter().chain(patch.as_object()).flatten() {
        fields.insert(key.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
    event
}

/// One event in an empty shard.
#[track_caller]
pub(crate) fn check(
    name: &'static str,
    recorded_at: Timestamp,
    patch: &Value,
    expect: Expected<'_>,
) {
    let mut bench = Bench::new(name);
    let found = bench.feed(Some(recorded_at), patch);
    assert_eq!(bench.state().check(), Ok(()));
    let expected = match expect {
        Ok(_) => Verdict::Applied,
        Err((reason, field)) => {
            Verdict::Rejected { reason: reason.to_owned(), field: field.map(str::to_owned) }
        }
    };
    assert_eq!(found, expected, "{patch}");
    let cells = oracle_cells(&bench.state().cells);
    assert_eq!(cells.len(), usize::from(expect.is_ok()), "{patch}");
    for cell in cells.values() {
        assert_eq!(cell.events, 1, "{patch}");
        let mut left: Vec<_> = cell.measures().into_iter().collect();
        left.retain(|(name, sum)| *sum != 0 && *name != "events");
        let mut measures = expect.unwrap_or_default().to_vec();
        left.sort_unstable();
        measures.sort_unstable();
        assert_eq!(left, measures, "{patch}");
    }
}

#[test]
fn the_effects_of_parcel_events() {
    let row = |patch: Value, effect: &[(&str, i128)]| check("parcel", at(NOON), &patch, Ok(effect));
    let typed = |event_type: &str| json!({"event_type": event_type});
    row(typed("accepted"), &[("volume", 1), ("revenue_fen", 7), ("weight_g", 250)]);
    row(json!({"weight_g": null}), &[("volume", 1), ("revenue_fen", 7)]);
    row(typed("voided"), &[("volume", -1), ("revenue_fen", -7), ("weight_g", -250), ("voided", 1)]);
    row(typed("dispatched"), &[("scans", 1)]);
    row(typed("arrived"), &[("scans", 1)]);
    row(typed("out_for_delivery"), &[("due", 1)]);
    row(json!({"event_type": "out_for_delivery", "attempt": 1}), &[("due", 1)]);
    row(json!({"event_type": "out_for_delivery", "attempt": 2}), &[]);
    row(json!({"event_type": "out_for_delivery", "attempt": i64::MAX}), &[]);
    let due = |due_at: &str| json!({"event_type": "delivered", "due_at": due_at});
    row(typed("delivered"), &[("delivered", 1)]);
    row(due(NOON), &[("delivered", 1), ("on_time", 1)]);
    row(due("2021-06-30T04:00:00.0000009Z"), &[("delivered", 1), ("on_time", 1)]);
    row(due("2021-06-30T03:59:59.9999999Z"), &[("delivered", 1)]);
    row(typed("delivery_failed"), &[("failed_attempts", 1)]);
    row(typed("returned"), &[("returned", 1), ("revenue_fen", 7)]);
    row(json!({"event_type": "returned", "revenue_fen": null}), &[("returned", 1)]);
}

/// Each type that is no reversal, a product that it goes with, and its effect.
const TRANSACTIONS: [(&str, &str, Effect<'_>); 12] = [
    ("opened", "savings", &[("accounts_opened", 1)]),
    ("deposit", "savings", INFLOW),
    ("transfer_in", "settlement", INFLOW),
    ("purchase", "fund", INFLOW),
    ("premium", "insurance", INFLOW),
    ("withdrawal", "savings", OUTFLOW),
    ("transfer_out", "savings", OUTFLOW),
    ("redemption", "bond", OUTFLOW),
    ("fee", "wealth", &[("revenue_fen", 7)]),
    ("fee_accrual", "savings", &[("revenue_fen", 7)]),
    ("sale", "press", &[("volume", 1), ("turnover_fen", 1000), ("revenue_fen", 7)]),
    ("refund", "value_added", &[("revenue_fen", -7), ("reversals", 1)]),
];
const INFLOW: Effect<'_> =
    &[("balance_fen", 1000), ("turnover_fen", 1000), ("volume", 1), ("revenue_fen", 7)];
const OUTFLOW: Effect<'_> =
    &[("balance_fen", -1000), ("turnover_fen", 1000), ("volume", 1), ("revenue_fen", 7)];

#[test]
fn the_effects_of_finance_events_and_of_their_reversals() {
    for (txn_type, product, effect) in TRANSACTIONS {
        let patch = json!({"txn_type": txn_type, "product": product});
        check("finance", at(NOON), &patch, Ok(effect));
        let mut undone: Vec<(&str, i128)> = effect
            .iter()
            .filter(|(name, _)| matches!(*name, "balance_fen" | "revenue_fen" | "accounts_opened"))
            .map(|(name, sum)| (*name, -sum))
            .collect();
        undone.push(("reversals", 1));
        let reverses = json!({"txn_type": txn_type, "event_id": 5});
        let patch = json!({"txn_type": "reversal", "product": product, "reverses": reverses});
        check("finance", at(NOON), &patch, Ok(&undone));
    }
}

#[test]
fn the_agri_tag_copies_volume_and_revenue_and_nothing_else() {
    let parcel = |event_type: &str, effect: &[(&str, i128)]| {
        let patch = json!({"event_type": event_type, "agri": true, "weight_g": null});
        check("parcel", at(NOON), &patch, Ok(effect));
    };
    let tagged = [("volume", 1), ("revenue_fen", 7), ("agri_volume", 1), ("agri_revenue_fen", 7)];
    parcel("accepted", &tagged);
    let mut voided = tagged.map(|(name, sum)| (name, -sum)).to_vec();
    voided.push(("voided", 1));
    parcel("voided", &voided);
    parcel("arrived", &[("scans", 1)]);
    parcel("returned", &[("returned", 1), ("revenue_fen", 7), ("agri_revenue_fen", 7)]);
    let undone = json!({"txn_type": "reversal", "agri": true, "reverses": {"txn_type": "deposit"}});
    let effect =
        [("balance_fen", -1000), ("revenue_fen", -7), ("reversals", 1), ("agri_revenue_fen", -7)];
    check("finance", at(NOON), &undone, Ok(&effect));
    let plain = json!({"agri": false, "amount_fen": 0, "revenue_fen": 0});
    check("finance", at(NOON), &plain, Ok(&[("volume", 1)]));
}

/// CONTRACT's allowed pairs.
const PAIRS: [(&[&str], &[&str]); 5] = [
    (
        &["savings"],
        &["opened", "deposit", "withdrawal", "transfer_in", "transfer_out", "fee", "fee_accrual"],
    ),
    (&["insurance"], &["premium", "fee"]),
    (&["wealth", "fund", "bond"], &["purchase", "redemption", "fee"]),
    (&["settlement"], &["transfer_in", "transfer_out", "fee"]),
    (
        &["letter", "press", "philately", "registered", "distribution", "value_added"],
        &["sale", "refund"],
    ),
];

#[test]
fn a_type_goes_with_the_products_that_contract_lists_and_with_no_other() {
    let mut allowed_pairs = 0;
    for (products, allowed) in PAIRS {
        for product in products {
            for (txn_type, _, effect) in TRANSACTIONS {
                let plain = json!({"txn_type": txn_type, "product": product});
                let undo = json!({
                    "txn_type": "reversal", "product": product, "reverses": {"txn_type": txn_type}
                });
                if allowed.contains(&txn_type) {
                    allowed_pairs += 1;
                    check("finance", at(NOON), &plain, Ok(effect));
                    let mut bench = Bench::new("finance");
                    assert_eq!(bench.feed(Some(at(NOON)), &undo), Verdict::Applied);
                } else {
                    let mismatch = Err(("type_product_mismatch", Some("product")));
                    check("finance", at(NOON), &plain, mismatch);
                    check("finance", at(NOON), &undo, mismatch);
                }
            }
        }
    }
    assert_eq!(allowed_pairs, 33);
}

#[test]
fn a_parcel_product_goes_with_every_type() {
    let types = [
        "accepted",
        "voided",
        "dispatched",
        "arrived",
        "out_for_delivery",
        "delivered",
        "delivery_failed",
        "returned",
    ];
    for product in ["express", "standard", "economy", "international", "logistics"] {
        for event_type in types {
            let patch = json!({"event_type": event_type, "product": product});
            let mut bench = Bench::new("parcel");
            assert_eq!(bench.feed(Some(at(NOON)), &patch), Verdict::Applied, "{patch}");
            assert_eq!(bench.cell("2021-06-30", product).events, 1, "{patch}");
        }
        let elsewhere = json!({"product": product});
        let unknown = Err(("unknown_product", Some("product")));
        check("finance", at(NOON), &elsewhere, unknown);
    }
}

/// The end of a business day is where the lateness of its events is counted from, to the
/// millisecond, whichever way the day was found.
#[test]
fn late_and_restated_begin_exactly_at_their_hours() {
    let end = at("2021-07-01T00:00:00+08:00");
    let booked =
        json!({"accounting_date": "2021-06-30", "occurred_at": "2021-07-01T00:30:00+08:00"});
    let millisecond = |at: Timestamp| Timestamp::from_micros(at.as_micros() - 1000);
    for patch in [json!({}), booked] {
        let row = |recorded_at: Timestamp, late: i128, restated: i128| {
            let mut effect = INFLOW.to_vec();
            effect.extend([("late_events", late), ("restated_events", restated)]);
            effect.retain(|(_, sum)| *sum != 0);
            check("finance", recorded_at, &patch, Ok(&effect));
        };
        row(millisecond(end + Span::hours(1)), 0, 0);
        row(end + Span::hours(1), 1, 0);
        row(millisecond(end + Span::hours(72)), 1, 0);
        row(end + Span::hours(72), 1, 1);
    }
}
