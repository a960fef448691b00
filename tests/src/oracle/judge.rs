//! From the bytes of a value to a valid event, or to the first reason why there is none.
//!
//! Every reason of CONTRACT's list is one block of code here, and the blocks stand in that list's
//! order.

use std::collections::BTreeMap;

use super::json::{self, Json, Text};
use super::time;
use super::{OracleRecord, OracleRules};

/// The reason, and the known field at fault where one is.
pub(super) type Fault = (&'static str, Option<&'static str>);

const FEN_MAX: i64 = 1_000_000_000_000;
const GRAMS_MAX: i64 = 1_000_000_000;
const ACCOUNTING_DAYS_MAX: i64 = 31;
const FUTURE_MINUTES_MAX: i128 = 10;
const EVENT_ID_BYTES_MAX: usize = 64;

const PARCEL_FIELDS: [(&str, Kind); 10] = [
    ("event_id", Kind::Text),
    ("event_type", Kind::Text),
    ("product", Kind::Text),
    ("prefecture", Kind::Text),
    ("occurred_at", Kind::Text),
    ("revenue_fen", Kind::Integer),
    ("weight_g", Kind::Integer),
    ("attempt", Kind::Integer),
    ("due_at", Kind::Text),
    ("agri", Kind::Bool),
];

const FINANCE_FIELDS: [(&str, Kind); 10] = [
    ("event_id", Kind::Text),
    ("prefecture", Kind::Text),
    ("occurred_at", Kind::Text),
    ("agri", Kind::Bool),
    ("txn_type", Kind::Text),
    ("product", Kind::Text),
    ("accounting_date", Kind::Text),
    ("amount_fen", Kind::Integer),
    ("revenue_fen", Kind::Integer),
    ("reverses", Kind::Reverses),
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

const FINANCE_TYPES: [&str; 13] = [
    "opened",
    "deposit",
    "withdrawal",
    "transfer_in",
    "transfer_out",
    "purchase",
    "redemption",
    "premium",
    "fee",
    "fee_accrual",
    "sale",
    "refund",
    "reversal",
];

const PARCEL_PRODUCTS: [&str; 5] = ["express", "standard", "economy", "international", "logistics"];

/// The finance topic's products, each with the types that may go with it.
const FINANCE_PAIRS: [(&str, &[&str]); 12] = [
    (
        "savings",
        &["opened", "deposit", "withdrawal", "transfer_in", "transfer_out", "fee", "fee_accrual"],
    ),
    ("insurance", &["premium", "fee"]),
    ("wealth", &["purchase", "redemption", "fee"]),
    ("fund", &["purchase", "redemption", "fee"]),
    ("bond", &["purchase", "redemption", "fee"]),
    ("settlement", &["transfer_in", "transfer_out", "fee"]),
    ("letter", &["sale", "refund"]),
    ("press", &["sale", "refund"]),
    ("philately", &["sale", "refund"]),
    ("registered", &["sale", "refund"]),
    ("distribution", &["sale", "refund"]),
    ("value_added", &["sale", "refund"]),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Bool,
    Reverses,
}

/// An event that breaks none of the rules; the clock of the consumer has not been asked yet.
#[derive(Debug, Clone)]
pub(super) struct Valid {
    pub(super) event_id: String,
    pub(super) event_type: String,
    /// Empty unless the event is a reversal.
    pub(super) reversed_type: String,
    pub(super) product: String,
    pub(super) prefecture: String,
    pub(super) occurred_at: i128,
    pub(super) due_at: Option<i128>,
    pub(super) business_day: i64,
    pub(super) amount_fen: i64,
    pub(super) revenue_fen: i64,
    pub(super) weight_g: i64,
    pub(super) attempt: i64,
    pub(super) agri: bool,
    /// The record's timestamp, or `occurred_at` where it has none, in microseconds.
    pub(super) t: i128,
}

/// The known fields that are present, by kind. The type inside `reverses` goes by
/// `reverses.txn_type`.
#[derive(Default)]
struct Fields {
    texts: BTreeMap<&'static str, String>,
    integers: BTreeMap<&'static str, i64>,
    bools: BTreeMap<&'static str, bool>,
}

/// Judges a value that is not a tombstone.
pub(super) fn judge(
    contract: &str,
    rules: &OracleRules,
    record: &OracleRecord,
    value: &[u8],
) -> Result<Valid, Fault> {
    if value.len() > rules.value_bytes_max {
        return Err(("too_large", None));
    }
    let fields = read_fields(contract, value)?;
    let type_field = if contract == "parcel" { "event_type" } else { "txn_type" };
    missing(contract, type_field, &fields)?;

    let text = |field: &str| fields.texts.get(field).cloned().unwrap_or_default();
    let (event_type, product) = (text(type_field), text("product"));
    let reversed_type =
        if event_type == "reversal" { text("reverses.txn_type") } else { String::new() };
    vocabulary(contract, type_field, &event_type, &reversed_type, &product)?;
    let prefecture = text("prefecture");
    if !rules.prefectures.contains(&prefecture) {
        return Err(("unknown_prefecture", Some("prefecture")));
    }

    let occurred_at =
        time::parse_timestamp(&text("occurred_at")).ok_or(("invalid_time", Some("occurred_at")))?;
    let mut due_at = None;
    if let Some(written) = fields.texts.get("due_at") {
        due_at = Some(time::parse_timestamp(written).ok_or(("invalid_time", Some("due_at")))?);
    }
    let mut accounting_day = None;
    if let Some(written) = fields.texts.get("accounting_date") {
        accounting_day =
            Some(time::parse_date(written).ok_or(("invalid_time", Some("accounting_date")))?);
    }

    let t = match record.timestamp_ms {
        Some(ms) if ms >= 0 => i128::from(ms) * 1000,
        _ => occurred_at,
    };
    if occurred_at > t + FUTURE_MINUTES_MAX * time::MINUTE {
        return Err(("future", Some("occurred_at")));
    }
    let business_day = business_day(occurred_at, accounting_day)?;
    amounts(&fields)?;

    let integer =
        |field: &str, default: i64| fields.integers.get(field).copied().unwrap_or(default);
    Ok(Valid {
        event_id: text("event_id"),
        event_type,
        reversed_type,
        product,
        prefecture,
        occurred_at,
        due_at,
        business_day,
        amount_fen: integer("amount_fen", 0),
        revenue_fen: integer("revenue_fen", 0),
        weight_g: integer("weight_g", 0),
        attempt: integer("attempt", 1),
        agri: fields.bools.get("agri").copied().unwrap_or(false),
        t,
    })
}

/// Everything that is `malformed`, apart from which nothing can be said about a record.
fn read_fields(contract: &str, value: &[u8]) -> Result<Fields, Fault> {
    let not_json = ("malformed", None);
    let document = String::from_utf8(value.to_vec()).map_err(|_| not_json)?;
    let Some(Json::Object(members)) = json::parse(&document) else {
        return Err(not_json);
    };
    if members.iter().any(|(key, _)| key.lone_surrogate) {
        return Err(not_json);
    }
    let known = if contract == "parcel" { PARCEL_FIELDS } else { FINANCE_FIELDS };
    let mut fields = Fields::default();
    for (name, kind) in known {
        let malformed = ("malformed", Some(name));
        let Some(given) = only_member(&members, name, malformed)? else { continue };
        match (kind, given) {
            (Kind::Text, Json::Text(Text { text, lone_surrogate: false })) => {
                fields.texts.insert(name, text.clone());
            }
            (Kind::Integer, Json::Number(spelled)) => {
                fields.integers.insert(name, int64(spelled).ok_or(malformed)?);
            }
            (Kind::Bool, Json::Bool(yes)) => {
                fields.bools.insert(name, *yes);
            }
            (Kind::Reverses, Json::Object(inner)) => {
                if let Some(reversed_type) = reversed_type(inner, malformed)? {
                    fields.texts.insert("reverses.txn_type", reversed_type);
                }
            }
            _ => return Err(malformed),
        }
    }
    if fields.texts.get("event_id").is_some_and(|id| id.is_empty() || id.len() > EVENT_ID_BYTES_MAX)
    {
        return Err(("malformed", Some("event_id")));
    }
    Ok(fields)
}

/// The value of a key, `None` where it is absent or null; a key given twice is the fault.
fn only_member<'a>(
    members: &'a [(Text, Json)],
    name: &str,
    fault: Fault,
) -> Result<Option<&'a Json>, Fault> {
    let mut found = None;
    for (key, value) in members {
        if key.text == name {
            if found.is_some() {
                return Err(fault);
            }
            found = Some(value);
        }
    }
    Ok(found.filter(|value| **value != Json::Null))
}

fn reversed_type(inner: &[(Text, Json)], fault: Fault) -> Result<Option<String>, Fault> {
    if inner.iter().any(|(key, _)| key.lone_surrogate) {
        return Err(fault);
    }
    match only_member(inner, "txn_type", fault)? {
        None => Ok(None),
        Some(Json::Text(Text { text, lone_surrogate: false })) => Ok(Some(text.clone())),
        Some(_) => Err(fault),
    }
}

fn int64(spelled: &str) -> Option<i64> {
    if spelled == "-0" || spelled.contains(['.', 'e', 'E']) { None } else { spelled.parse().ok() }
}

fn missing(contract: &str, type_field: &'static str, fields: &Fields) -> Result<(), Fault> {
    let absent = |field: &'static str| Err(("missing_field", Some(field)));
    let in_table_order = if contract == "parcel" {
        ["event_id", "event_type", "product", "prefecture", "occurred_at"]
    } else {
        ["event_id", "prefecture", "occurred_at", "txn_type", "product"]
    };
    for field in in_table_order {
        if !fields.texts.contains_key(field) {
            return absent(field);
        }
    }
    let mut in_effect = fields.texts[type_field].as_str();
    if in_effect == "reversal" && contract == "finance" {
        match fields.texts.get("reverses.txn_type") {
            None => return absent("reverses"),
            Some(reversed) => in_effect = reversed,
        }
    }
    let required = match (contract, in_effect) {
        ("parcel", "accepted" | "voided")
        | ("finance", "fee" | "fee_accrual" | "sale" | "refund") => "revenue_fen",
        (
            "finance",
            "deposit" | "withdrawal" | "transfer_in" | "transfer_out" | "purchase" | "redemption"
            | "premium",
        ) => "amount_fen",
        _ => return Ok(()),
    };
    if fields.integers.contains_key(required) { Ok(()) } else { absent(required) }
}

/// Types, products, what is reversed, and what goes with what.
fn vocabulary(
    contract: &str,
    type_field: &'static str,
    event_type: &str,
    reversed_type: &str,
    product: &str,
) -> Result<(), Fault> {
    let parcel = contract == "parcel";
    let known_type = if parcel {
        PARCEL_TYPES.contains(&event_type)
    } else {
        FINANCE_TYPES.contains(&event_type)
    };
    if !known_type {
        return Err(("unknown_type", Some(type_field)));
    }
    if parcel {
        return if PARCEL_PRODUCTS.contains(&product) {
            Ok(())
        } else {
            Err(("unknown_product", Some("product")))
        };
    }
    let Some((_, allowed)) = FINANCE_PAIRS.iter().find(|(name, _)| *name == product) else {
        return Err(("unknown_product", Some("product")));
    };
    let mut in_effect = event_type;
    if event_type == "reversal" {
        if reversed_type == "reversal" || !FINANCE_TYPES.contains(&reversed_type) {
            return Err(("invalid_reversal", Some("reverses")));
        }
        in_effect = reversed_type;
    }
    if allowed.contains(&in_effect) {
        Ok(())
    } else {
        Err(("type_product_mismatch", Some("product")))
    }
}

fn business_day(occurred_at: i128, accounting_day: Option<i64>) -> Result<i64, Fault> {
    let occurred_day = time::china_day(occurred_at);
    let (business_day, source) = match accounting_day {
        Some(day) => (day, "accounting_date"),
        None => (occurred_day, "occurred_at"),
    };
    let distance = (business_day - occurred_day).abs();
    if distance > ACCOUNTING_DAYS_MAX || business_day < time::day_number(2000, 1, 1) {
        return Err(("date_out_of_range", Some(source)));
    }
    Ok(business_day)
}

fn amounts(fields: &Fields) -> Result<(), Fault> {
    let ranges = [
        ("amount_fen", 0, FEN_MAX),
        ("revenue_fen", 0, FEN_MAX),
        ("weight_g", 0, GRAMS_MAX),
        ("attempt", 1, i64::MAX),
    ];
    for (field, least, most) in ranges {
        if fields.integers.get(field).is_some_and(|given| !(least..=most).contains(given)) {
            return Err(("amount_out_of_range", Some(field)));
        }
    }
    Ok(())
}
