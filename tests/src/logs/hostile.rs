//! Values that are not what they ought to be: one field spoilt, or bytes changed at random.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::{pick, render};

const TYPES: [&str; 9] =
    ["", "Accepted", "accepted ", "deposit", "accepted", "reversal", "txn", "fee_", "transfer_"];
const PRODUCTS: [&str; 7] = ["", "express", "savings", "Express", "letters", "parcel", "letter"];
const CODES: [&str; 8] =
    ["", "999999", "21010", "2101000", "210100 ", "\u{ff12}10100", "310100", "Shenyang"];
const PAIRED_TYPES: [&str; 6] = ["opened", "deposit", "premium", "fee_accrual", "sale", "purchase"];

/// What follows a date in a timestamp; a few of these are in order.
const TIME_ENDINGS: [&str; 24] = [
    "",
    "T",
    "T00:00:00",
    "T00:00Z",
    "T24:00:00Z",
    "T23:59:60Z",
    "T00:60:00Z",
    "T00:00:00.Z",
    "T00:00:00,5Z",
    "T00:00:00+24:00",
    "T00:00:00+23:60",
    "T00:00:00+08",
    "T00:00:00+0800",
    "T00:00:00 Z",
    "  00:00:00Z",
    "_00:00:00Z",
    "T00:00:00Zz",
    "T0:00:00Z",
    "T00:00:00\u{2212}08:00",
    "T00:00:00.\u{661}Z",
    "T00:00:00+23:59",
    "T00:00:00-00:00",
    "t00:00:00.0000000000z",
    " 00:00:00Z",
];
/// Days at midnight UTC that do not exist, or are hard to believe.
const DAYS: [&str; 12] = [
    "2021-02-29",
    "2021-13-01",
    "2021-00-01",
    "2021-06-31",
    "2021-06-00",
    "0000-02-29",
    "9999-12-31",
    "10000-01-01",
    "-001-01-01",
    "2020-02-29",
    "1900-02-29",
    "21-06-30",
];
/// Accounting dates that are no dates, or are far from any event.
const DATES: [&str; 14] = [
    "",
    "2021-6-30",
    "2021-06-31",
    "20210630",
    "2021/06/30",
    "2021-06-30 ",
    "+021-06-30",
    "0000-01-01",
    "9999-12-31",
    "\u{661}21-06-30",
    "2021-06-3\u{660}",
    "2021-06-30T00:00:00Z",
    "2021-02-29",
    "1999-12-31",
];

/// What can be wrong with a single field.
#[derive(Clone, Copy)]
enum Spoil {
    Id,
    Type,
    Product,
    Prefecture,
    Time,
    Due,
    AccountingDate,
    Money,
    Weight,
    Attempt,
    Reverses,
    Pair,
    Absent,
    WrongKind,
}

const PARCEL_SPOILS: [Spoil; 11] = [
    Spoil::Id,
    Spoil::Type,
    Spoil::Product,
    Spoil::Prefecture,
    Spoil::Time,
    Spoil::Due,
    Spoil::Money,
    Spoil::Weight,
    Spoil::Attempt,
    Spoil::Absent,
    Spoil::WrongKind,
];

const FINANCE_SPOILS: [Spoil; 11] = [
    Spoil::Id,
    Spoil::Type,
    Spoil::Product,
    Spoil::Prefecture,
    Spoil::Time,
    Spoil::AccountingDate,
    Spoil::Money,
    Spoil::Reverses,
    Spoil::Pair,
    Spoil::Absent,
    Spoil::WrongKind,
];

/// Spoils one field, mostly beyond what the contract allows, sometimes only to its very edge.
///
/// Around `clock_micros` lie the dates and times that are out of range or no times at all.
pub(super) fn spoil(
    rng: &mut StdRng,
    contract: &str,
    event: &mut Map<String, Value>,
    clock_micros: i64,
) {
    let parcel = contract == "parcel";
    let spoils = if parcel { PARCEL_SPOILS } else { FINANCE_SPOILS };
    let (key, value): (&str, Value) = match pick(rng, &spoils) {
        Spoil::Id => ("event_id", no_id(rng).into()),
        Spoil::Type => (if parcel { "event_type" } else { "txn_type" }, pick(rng, &TYPES).into()),
        Spoil::Product => ("product", pick(rng, &PRODUCTS).into()),
        Spoil::Prefecture => ("prefecture", pick(rng, &CODES).into()),
        Spoil::Time => ("occurred_at", no_time(rng, clock_micros).into()),
        Spoil::Due => ("due_at", no_time(rng, clock_micros).into()),
        Spoil::AccountingDate => ("accounting_date", no_date(rng, clock_micros).into()),
        Spoil::Money if !parcel && rng.random() => ("amount_fen", number(rng, 1_000_000_000_000)),
        Spoil::Money => ("revenue_fen", number(rng, 1_000_000_000_000)),
        Spoil::Weight => ("weight_g", number(rng, 1_000_000_000)),
        Spoil::Attempt => ("attempt", number(rng, 1)),
        Spoil::Reverses => {
            event.insert("txn_type".into(), "reversal".into());
            ("reverses", no_reversal(rng))
        }
        Spoil::Pair => ("txn_type", pick(rng, &PAIRED_TYPES).into()),
        Spoil::Absent => {
            // Half of the time a field that only some types require.
            let conditional = pick(rng, &["revenue_fen", "revenue_fen", "amount_fen", "reverses"]);
            let key = if rng.random() { some_key(rng, event) } else { conditional.to_owned() };
            if rng.random() {
                event.remove(&key);
            } else {
                event.insert(key, Value::Null);
            }
            return;
        }
        Spoil::WrongKind => {
            let key = some_key(rng, event);
            event.insert(key, of_some_kind(rng));
            return;
        }
    };
    event.insert(key.into(), value);
}

/// Ids of 0, 65, 66 and 63 bytes: the last is allowed.
fn no_id(rng: &mut StdRng) -> String {
    pick(rng, &[String::new(), "i".repeat(65), "驿".repeat(22), "驿".repeat(21)])
}

fn of_some_kind(rng: &mut StdRng) -> Value {
    let kinds = [
        json!("1"),
        json!(1),
        json!(true),
        json!([]),
        json!({}),
        json!(0.5),
        json!(""),
        json!("true"),
    ];
    pick(rng, &kinds)
}

fn some_key(rng: &mut StdRng, event: &Map<String, Value>) -> String {
    let keys: Vec<&String> = event.keys().collect();
    keys[rng.random_range(0..keys.len())].clone()
}

fn number(rng: &mut StdRng, most: i64) -> Value {
    let values = [
        json!(most),
        json!(most + 1),
        json!(0),
        json!(-1),
        json!(1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(9_223_372_036_854_775_808_u64),
        json!(1.0),
        json!(-0.0),
        json!("1"),
    ];
    pick(rng, &values)
}

fn no_time(rng: &mut StdRng, clock_micros: i64) -> String {
    match rng.random_range(0..4) {
        0 => format!("{}T00:00:00Z", pick(rng, &DAYS)),
        1 => pick(rng, &["", " ", "now", "0", "1624579200", "\u{ff12}021-06-30T00:00:00Z"])
            .to_owned(),
        _ => format!("{}{}", render::china_date(clock_micros, 0), pick(rng, &TIME_ENDINGS)),
    }
}

fn no_date(rng: &mut StdRng, clock_micros: i64) -> String {
    if rng.random_ratio(1, 2) {
        let days = pick(rng, &[31, 32, -31, -32, 366, -30]);
        return render::china_date(clock_micros, days);
    }
    pick(rng, &DATES).to_owned()
}

fn no_reversal(rng: &mut StdRng) -> Value {
    let reversals = [
        Value::Null,
        json!({}),
        json!({"txn_type": null}),
        json!({"txn_type": "reversal"}),
        json!({"txn_type": "accepted"}),
        json!({"txn_type": ""}),
        json!({"txn_type": 1}),
        json!({"txn_type": ["fee"]}),
        json!({"txn_type": "deposit", "event_id": 5}),
        json!({"txn_type": "sale"}),
        json!({"txn_type": "opened"}),
        json!({"event_id": "a"}),
        json!([{"txn_type": "fee"}]),
        json!("fee"),
    ];
    pick(rng, &reversals)
}

/// Changes a document in one to three places: a byte, a bit, a slice lost, doubled or cut off.
pub fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..=3) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        let end = at + rng.random_range(0..=(bytes.len() - at).min(12));
        match rng.random_range(0..7) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = pick(rng, b"\"\\{}[]:,0-+.eE \tnull\x00\xff\x80u"),
            2 => bytes.insert(at, pick(rng, b"\"\\{}[]:,0-+.eE \tnull\x00\xff\x80u")),
            3 => drop(bytes.remove(at)),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let slice = bytes[at..end].to_vec();
                bytes.splice(at..at, slice);
            }
            _ => bytes[at] = rng.random_range(b'0'..=b'9'),
        }
    }
    if rng.random_ratio(1, 10) {
        bytes.truncate(rng.random_range(0..=bytes.len()));
    }
}
