//! Random logs, dense in the cases on which implementations disagree, and the helpers that they are
//! made of.
//!
//! A log is a function of its seed and contract, and a shorter log is a prefix of a longer one: a
//! failing case shrinks by asking for fewer records, and further by leaving records out, since a
//! missing offset is only a gap. The thresholds that are hit exactly are those of [`rules`] and
//! [`WALL_CLOCK_MICROS`]; a suite with other settings still gets a valid log, but one that is dense
//! around the wrong places.

mod documents;
mod hostile;
mod render;
mod schedule;
#[cfg(test)]
mod tests;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use crate::oracle::{OracleRecord, OracleRules};
pub use documents::{Document, hostile_documents};
pub use hostile::mutate;
pub use render::{rfc3339, serialise};
use schedule::Schedule;

/// The consumer's clock for which the logs are made: 2030-01-01T00:00:00Z, in microseconds.
///
/// Some records lie exactly 24 hours ahead of it, and some a millisecond more.
pub const WALL_CLOCK_MICROS: i64 = 1_893_456_000_000_000;

/// The prefectures that the events name: few, so that cells are shared.
pub const PREFECTURES: [&str; 3] = ["210100", "210200", "211300"];

/// Ids of which many are alike in all but what must not be ignored: case, hyphens, normalisation,
/// escapes, ends.
pub const ID_POOL: [&str; 24] = [
    "a",
    "A",
    "a ",
    "0",
    "00",
    "1e2",
    "null",
    "\u{0}",
    "a\u{0}",
    "\"\\/",
    "\u{e9}",
    "e\u{301}",
    "\u{feff}a",
    "\u{1f4ee}",
    "驿道",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "0F8FAD5B-D9CB-469F-A165-70867728950E",
    "0f8fad5bd9cb469fa16570867728950e",
    "{0f8fad5b-d9cb-469f-a165-70867728950e}",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0f8fad5b-d9cb-469f-a165-70867728950f",
    "0123456789012345678901234567890123456789012345678901234567890123",
    "012345678901234567890123456789012345678901234567890123456789012",
];

/// The finance topic's types, each with the products that it may go with.
const FINANCE_TYPES: [(&str, &[&str]); 12] = [
    ("opened", &["savings"]),
    ("deposit", &["savings"]),
    ("withdrawal", &["savings"]),
    ("transfer_in", &["savings", "settlement"]),
    ("transfer_out", &["savings", "settlement"]),
    ("purchase", &["wealth", "fund", "bond"]),
    ("redemption", &["wealth", "fund", "bond"]),
    ("premium", &["insurance"]),
    ("fee", &["savings", "insurance", "wealth", "fund", "bond", "settlement"]),
    ("fee_accrual", &["savings"]),
    ("sale", &["letter", "press", "philately", "registered", "distribution", "value_added"]),
    ("refund", &["letter", "press", "philately", "registered", "distribution", "value_added"]),
];

const PARCEL_TYPES: [&str; 8] = [
    "accepted",
    "voided",
    "dispatched",
    "arrived",
    "out_for_delivery",
    "delivered",
    "delivery_failed",
    "returned",
];

/// The rules around whose thresholds the logs are dense: CONTRACT's defaults, but for values of at
/// most 4096 bytes.
pub fn rules() -> OracleRules {
    OracleRules {
        prefectures: PREFECTURES.iter().map(|&code| code.to_owned()).collect(),
        dedupe_window_h: 24,
        late_after_h: 1,
        final_after_h: 72,
        value_bytes_max: 4096,
    }
}

/// A log of `records` records of the contract `parcel` or `finance`; offsets begin at 0 or a little
/// above.
///
/// # Panics
/// When the contract is neither.
pub fn random_log(seed: u64, contract: &str, records: usize) -> Vec<OracleRecord> {
    assert!(matches!(contract, "parcel" | "finance"), "there is no contract {contract:?}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut schedule = Schedule::new(&mut rng);
    let mut next_offset = 0;
    let mut log = Vec::with_capacity(records);
    while log.len() < records {
        next_offset += gap(&mut rng);
        let (timestamp_ms, value) = schedule.record(&mut rng, contract);
        log.push(OracleRecord { offset: next_offset, timestamp_ms, value });
        // Now and then a record comes again, as after a seek: it must not even be counted.
        next_offset += i64::from(!rng.random_ratio(1, 100));
    }
    log
}

fn gap(rng: &mut StdRng) -> i64 {
    match rng.random_range(0..100) {
        0..5 => 1,
        5..8 => rng.random_range(2..1000),
        _ => 0,
    }
}

/// A valid event of the contract at an instant, in microseconds since the epoch, from 2000-02-02
/// on.
///
/// Optional fields come and go; amounts and dates are often exactly at the end of their range. The
/// id is from [`ID_POOL`] half of the time, and otherwise one that hardly ever comes again.
pub fn valid_event(
    rng: &mut StdRng,
    contract: &str,
    occurred_at_micros: i64,
) -> Map<String, Value> {
    let mut event = Map::new();
    let id = if rng.random_ratio(1, 2) { pick(rng, &ID_POOL).to_owned() } else { fresh_id(rng) };
    event.insert("event_id".into(), id.into());
    event.insert("prefecture".into(), pick(rng, &PREFECTURES).into());
    event.insert("occurred_at".into(), rfc3339(rng, occurred_at_micros).into());
    if rng.random_ratio(1, 3) {
        event.insert(
            "agri".into(),
            pick(rng, &[json!(true), json!(true), json!(false), Value::Null]),
        );
    }
    if contract == "parcel" {
        parcel_part(rng, &mut event, occurred_at_micros);
    } else {
        finance_part(rng, &mut event, occurred_at_micros);
    }
    if rng.random_ratio(1, 5) {
        foreign_part(rng, contract, &mut event);
    }
    event
}

/// An id that hardly ever comes again, in one of the shapes that producers use.
pub fn fresh_id(rng: &mut StdRng) -> String {
    let bits: u128 = rng.random();
    let hex = format!("{bits:032x}");
    match rng.random_range(0..4) {
        0 => format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        ),
        1 => format!("P{}", bits % 1_000_000_000_000),
        2 => hex,
        _ => format!("{hex}{hex}"),
    }
}

/// One of the values, each as likely as the others.
pub fn pick<T: Clone>(rng: &mut StdRng, values: &[T]) -> T {
    values[rng.random_range(0..values.len())].clone()
}

fn fen(rng: &mut StdRng) -> Value {
    match rng.random_range(0..10) {
        0 => json!(0),
        1 => json!(1_000_000_000_000_i64),
        2 => json!(999_999_999_999_i64),
        _ => json!(rng.random_range(1..1_000_000)),
    }
}

fn parcel_part(rng: &mut StdRng, event: &mut Map<String, Value>, occurred_at: i64) {
    let event_type = pick(rng, &PARCEL_TYPES);
    event.insert("event_type".into(), event_type.into());
    let product = pick(
        rng,
        &["express", "express", "economy", "economy", "standard", "international", "logistics"],
    );
    event.insert("product".into(), product.into());
    if matches!(event_type, "accepted" | "voided") || rng.random_ratio(1, 4) {
        event.insert("revenue_fen".into(), fen(rng));
    }
    if rng.random_ratio(1, 2) {
        let grams = pick(
            rng,
            &[
                json!(0),
                json!(1),
                json!(250),
                json!(999_999_999),
                json!(1_000_000_000),
                Value::Null,
            ],
        );
        event.insert("weight_g".into(), grams);
    }
    if rng.random_ratio(1, 3) {
        event.insert(
            "attempt".into(),
            pick(rng, &[json!(1), json!(1), json!(2), json!(i64::MAX), Value::Null]),
        );
    }
    if rng.random_ratio(1, 2) {
        // Around the instant itself, where only the microsecond, or what is cut below it, decides.
        let distance = pick(rng, &[0, 0, 1, -1, 999, -1000, 3_600_000_000, -3_600_000_000]);
        let due_at: Value = if rng.random_ratio(1, 6) {
            Value::Null
        } else {
            rfc3339(rng, occurred_at + distance).into()
        };
        event.insert("due_at".into(), due_at);
    }
}

fn finance_part(rng: &mut StdRng, event: &mut Map<String, Value>, occurred_at: i64) {
    let (effective, products) = pick(rng, &FINANCE_TYPES);
    event.insert("product".into(), pick(rng, products).into());
    if rng.random_ratio(1, 6) {
        event.insert("txn_type".into(), "reversal".into());
        event.insert("reverses".into(), json!({ "txn_type": effective }));
    } else {
        event.insert("txn_type".into(), effective.into());
        if rng.random_ratio(1, 12) {
            let unread = [
                json!({}),
                json!({"txn_type": "reversal"}),
                json!({"txn_type": null, "x": [1]}),
                Value::Null,
            ];
            event.insert("reverses".into(), pick(rng, &unread));
        }
    }
    let by_revenue = matches!(effective, "fee" | "fee_accrual" | "sale" | "refund");
    if by_revenue || rng.random_ratio(1, 3) {
        event.insert("revenue_fen".into(), fen(rng));
    }
    if (!by_revenue && effective != "opened") || rng.random_ratio(1, 3) {
        event.insert("amount_fen".into(), fen(rng));
    }
    if rng.random_ratio(1, 4) {
        let days = pick(rng, &[0, 0, 1, -1, 2, 30, 31, -31]);
        event.insert("accounting_date".into(), render::china_date(occurred_at, days).into());
    }
}

/// Fields that mean nothing to this contract, among them those of the other one with values that
/// would be faults there.
fn foreign_part(rng: &mut StdRng, contract: &str, event: &mut Map<String, Value>) {
    let (name, value) = if contract == "parcel" {
        pick(
            rng,
            &[
                ("txn_type", json!("reversal")),
                ("reverses", json!([])),
                ("amount_fen", json!(-1)),
                ("accounting_date", json!("never")),
                ("waybill", json!({"deep": [[{"er": null}]]})),
            ],
        )
    } else {
        pick(
            rng,
            &[
                ("event_type", json!(7)),
                ("weight_g", json!("heavy")),
                ("attempt", json!(0)),
                ("due_at", json!(false)),
                ("Amount_fen", json!(1.5)),
            ],
        )
    };
    event.insert(name.into(), value);
}
