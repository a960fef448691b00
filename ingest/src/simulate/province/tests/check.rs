//! The contract, said once more and differently, for what the simulator writes.

use postroad_schemas::contract::Contract;
use postroad_schemas::units::BusinessDay;
use serde_json::{Map, Value};

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
const PARCEL_PRODUCTS: [&str; 5] = ["express", "standard", "economy", "international", "logistics"];
/// Each finance product with the types it may have.
const FINANCE_PRODUCTS: [(&str, &str); 12] = [
    ("savings", "opened deposit withdrawal transfer_in transfer_out fee fee_accrual"),
    ("insurance", "premium fee"),
    ("wealth", "purchase redemption fee"),
    ("fund", "purchase redemption fee"),
    ("bond", "purchase redemption fee"),
    ("settlement", "transfer_in transfer_out fee"),
    ("letter", "sale refund"),
    ("press", "sale refund"),
    ("philately", "sale refund"),
    ("registered", "sale refund"),
    ("distribution", "sale refund"),
    ("value_added", "sale refund"),
];
const NEEDS_AMOUNT: &str =
    "deposit withdrawal transfer_in transfer_out purchase redemption premium";
const NEEDS_REVENUE: &str = "accepted voided fee fee_accrual sale refund";

fn one_of(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

/// What a test wants to know of a valid event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) product: String,
    pub(super) prefecture: String,
    pub(super) occurred_ms: i64,
    pub(super) due_ms: Option<i64>,
    pub(super) attempt: i64,
    pub(super) agri: bool,
    pub(super) amount_fen: Option<i64>,
    pub(super) revenue_fen: Option<i64>,
    pub(super) weight_g: Option<i64>,
    pub(super) accounting_date: Option<String>,
    pub(super) reverses: Option<String>,
}

/// The event that a value says, or the reason of its reject.
pub(super) fn check(contract: Contract, value: &[u8], t_ms: i64) -> Result<Event, &'static str> {
    let fields: Map<String, Value> = serde_json::from_slice(value).map_err(|_| "malformed")?;
    let (type_field, types) = match contract {
        Contract::Parcel => ("event_type", "event_id event_type product prefecture occurred_at"),
        Contract::Finance => ("txn_type", "event_id txn_type product prefecture occurred_at"),
    };
    for key in types.split(' ') {
        if fields.get(key).is_some_and(|field| !field.is_string()) {
            return Err("malformed");
        }
    }
    if types.split(' ').any(|key| !fields.contains_key(key)) {
        return Err("missing_field");
    }
    let text = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
    let int =
        |key: &str| fields.get(key).map(|field| field.as_i64().ok_or("malformed")).transpose();
    let kind = text(type_field);
    let product = text("product");
    let effective = match fields.get("reverses") {
        Some(reverses) if kind == "reversal" => {
            reverses["txn_type"].as_str().ok_or("missing_field")?.to_owned()
        }
        _ => kind.clone(),
    };
    if one_of(NEEDS_AMOUNT, &effective) && int("amount_fen")?.is_none()
        || one_of(NEEDS_REVENUE, &effective) && int("revenue_fen")?.is_none()
    {
        return Err("missing_field");
    }
    check_terms(contract, &effective, &product)?;
    if !text("prefecture").starts_with("21") || text("prefecture").len() != 6 {
        return Err("unknown_prefecture");
    }
    let occurred_ms = instant_ms(&text("occurred_at")).ok_or("invalid_time")?;
    let due_ms = match fields.get("due_at") {
        Some(due) => Some(due.as_str().and_then(instant_ms).ok_or("invalid_time")?),
        None => None,
    };
    if occurred_ms > t_ms + 600_000 {
        return Err("future");
    }
    for key in ["amount_fen", "revenue_fen", "weight_g"] {
        if !(0..=1_000_000_000_000).contains(&int(key)?.unwrap_or(0)) {
            return Err("amount_out_of_range");
        }
    }
    Ok(Event {
        id: text("event_id"),
        kind,
        product,
        prefecture: text("prefecture"),
        occurred_ms,
        due_ms,
        attempt: int("attempt")?.unwrap_or(1),
        agri: fields.get("agri").is_some_and(|agri| agri == &Value::Bool(true)),
        amount_fen: int("amount_fen")?,
        revenue_fen: int("revenue_fen")?,
        weight_g: int("weight_g")?,
        accounting_date: fields.contains_key("accounting_date").then(|| text("accounting_date")),
        reverses: fields.contains_key("reverses").then_some(effective),
    })
}

fn check_terms(contract: Contract, kind: &str, product: &str) -> Result<(), &'static str> {
    match contract {
        Contract::Parcel if !PARCEL_TYPES.contains(&kind) => Err("unknown_type"),
        Contract::Parcel if !PARCEL_PRODUCTS.contains(&product) => Err("unknown_product"),
        Contract::Parcel => Ok(()),
        Contract::Finance => {
            if !FINANCE_PRODUCTS.iter().any(|(_, types)| one_of(types, kind)) {
                return Err("unknown_type");
            }
            match FINANCE_PRODUCTS.iter().find(|(code, _)| *code == product) {
                None => Err("unknown_product"),
                Some((_, types)) if one_of(types, kind) => Ok(()),
                Some(_) => Err("type_product_mismatch"),
            }
        }
    }
}

/// Exactly `YYYY-MM-DDThh:mm:ss.mmm+08:00`.
fn instant_ms(text: &str) -> Option<i64> {
    let text = text.strip_suffix("+08:00").filter(|text| text.len() == 23)?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<u32>);
    let mut part = || date.next()?.ok();
    let day = BusinessDay::from_civil(i32::try_from(part()?).ok()?, part()?, part()?)?;
    let ms: Vec<i64> = time.split([':', '.']).map(|part| part.parse().unwrap_or(-1)).collect();
    let [hour @ 0..24, minute @ 0..60, second @ 0..60, ms @ 0..1_000] = ms[..] else {
        return None;
    };
    Some(day.start().as_micros() / 1_000 + ((hour * 60 + minute) * 60 + second) * 1_000 + ms)
}
