//! JSON values of both contracts.
//!
//! [`decode`] reads a value once, from left to right, and builds no tree: a known field goes
//! straight into [`Raw`], an unknown one is passed over, checked only to be JSON. The first fault
//! that it meets is the one reported. Every reject here is `malformed`; whether the fields make an
//! event is judged elsewhere.

mod cursor;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::mem;

use crate::contract::{Contract, Raw, RawReverses};
use crate::reject::{Field, Reason, Reject};

use cursor::{Broken, Cursor, Token};

/// The longest `event_id`, in bytes of its unescaped UTF-8.
const EVENT_ID_BYTES_MAX: usize = 64;

/// Decodes one JSON value: UTF-8, one object, and the fields of `contract` of the right types.
///
/// Nothing is allocated unless a key or a known string contains an escape.
///
/// # Errors
///
/// Always [`Reason::Malformed`]. The field is named where its value is JSON but not what the
/// contract asks for, or where it is given twice; everything inside `reverses` is about `reverses`.
/// It is `None` where the value is no JSON object, or a key is no string.
pub fn decode(contract: Contract, value: &[u8]) -> Result<Raw<'_>, Reject> {
    let text = std::str::from_utf8(value).map_err(|_| Broken)?;
    let mut cursor = Cursor::new(text);
    let raw = record(contract, &mut cursor)?;
    cursor.end()?;
    Ok(raw)
}

impl From<Broken> for Reject {
    fn from(_: Broken) -> Self {
        Self::whole(Reason::Malformed)
    }
}

/// The field that a key of the record's object names, with its escapes resolved. Fields of the
/// other contract are unknown.
fn known_field(contract: Contract, key: &str) -> Option<Field> {
    let field = match (key, contract) {
        ("event_id", _) => Field::EventId,
        ("product", _) => Field::Product,
        ("prefecture", _) => Field::Prefecture,
        ("occurred_at", _) => Field::OccurredAt,
        ("revenue_fen", _) => Field::RevenueFen,
        ("agri", _) => Field::Agri,
        ("event_type", Contract::Parcel) => Field::EventType,
        ("due_at", Contract::Parcel) => Field::DueAt,
        ("weight_g", Contract::Parcel) => Field::WeightG,
        ("attempt", Contract::Parcel) => Field::Attempt,
        ("txn_type", Contract::Finance) => Field::TxnType,
        ("accounting_date", Contract::Finance) => Field::AccountingDate,
        ("amount_fen", Contract::Finance) => Field::AmountFen,
        ("reverses", Contract::Finance) => Field::Reverses,
        _ => return None,
    };
    Some(field)
}

/// The known fields given so far, also as `null`: one bit each.
#[derive(Default)]
struct Given(u16);

impl Given {
    /// Notes a field; false if it was there before.
    fn insert(&mut self, field: Field) -> bool {
        let bit = 1 << field as u8;
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

fn record<'a>(contract: Contract, cursor: &mut Cursor<'a>) -> Result<Raw<'a>, Reject> {
    let Token::Object = cursor.value()? else {
        return Err(Reject::whole(Reason::Malformed));
    };
    let mut raw = Raw::default();
    let mut given = Given::default();
    let mut next = cursor.first_key()?;
    while let Some(key) = next {
        let key = key.resolve().ok_or(Broken)?;
        match known_field(contract, &key) {
            Some(field) if !given.insert(field) => return Err(malformed(field)),
            Some(field) => member(cursor, field, &mut raw)?,
            None => cursor.skip()?,
        }
        next = cursor.next_key()?;
    }
    Ok(raw)
}

/// Reads the value of a known field into its place.
fn member<'a>(cursor: &mut Cursor<'a>, field: Field, raw: &mut Raw<'a>) -> Result<(), Reject> {
    match field {
        Field::EventId => raw.event_id = event_id(cursor)?,
        Field::EventType | Field::TxnType => raw.kind = string(cursor, field)?,
        Field::Product => raw.product = string(cursor, field)?,
        Field::Prefecture => raw.prefecture = string(cursor, field)?,
        Field::OccurredAt => raw.occurred_at = string(cursor, field)?,
        Field::DueAt => raw.due_at = string(cursor, field)?,
        Field::AccountingDate => raw.accounting_date = string(cursor, field)?,
        Field::Reverses => raw.reverses = reverses(cursor)?,
        Field::RevenueFen => raw.revenue_fen = integer(cursor, field)?,
        Field::AmountFen => raw.amount_fen = integer(cursor, field)?,
        Field::WeightG => raw.weight_g = integer(cursor, field)?,
        Field::Attempt => raw.attempt = integer(cursor, field)?,
        Field::Agri => raw.agri = boolean(cursor, field)?,
    }
    Ok(())
}

fn event_id<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, Reject> {
    let id = string(cursor, Field::EventId)?;
    match &id {
        Some(id) if id.is_empty() || id.len() > EVENT_ID_BYTES_MAX => {
            Err(malformed(Field::EventId))
        }
        _ => Ok(id),
    }
}

/// Reads the object under `reverses`, whose other keys are ignored.
fn reverses<'a>(cursor: &mut Cursor<'a>) -> Result<Option<RawReverses<'a>>, Reject> {
    const FIELD: Field = Field::Reverses;
    match cursor.value()? {
        Token::Null => return Ok(None),
        Token::Object => {}
        other => return Err(wrong_type(cursor, other, FIELD)),
    }
    let mut reversed = RawReverses::default();
    let mut is_given = false;
    let mut next = cursor.first_key()?;
    while let Some(key) = next {
        if key.resolve().ok_or(malformed(FIELD))? == "txn_type" {
            if mem::replace(&mut is_given, true) {
                return Err(malformed(FIELD));
            }
            reversed.txn_type = string(cursor, FIELD)?;
        } else {
            cursor.skip()?;
        }
        next = cursor.next_key()?;
    }
    Ok(Some(reversed))
}

fn string<'a>(cursor: &mut Cursor<'a>, field: Field) -> Result<Option<Cow<'a, str>>, Reject> {
    match cursor.value()? {
        Token::Null => Ok(None),
        Token::Text(text) => text.resolve().map(Some).ok_or(malformed(field)),
        other => Err(wrong_type(cursor, other, field)),
    }
}

fn integer(cursor: &mut Cursor<'_>, field: Field) -> Result<Option<i64>, Reject> {
    match cursor.value()? {
        Token::Null => Ok(None),
        Token::Number(number) => number.as_i64().map(Some).ok_or(malformed(field)),
        other => Err(wrong_type(cursor, other, field)),
    }
}

fn boolean(cursor: &mut Cursor<'_>, field: Field) -> Result<Option<bool>, Reject> {
    match cursor.value()? {
        Token::Null => Ok(None),
        Token::Bool(value) => Ok(Some(value)),
        other => Err(wrong_type(cursor, other, field)),
    }
}

/// The field is at fault only if its value is JSON at all.
#[cold]
fn wrong_type<'a>(cursor: &mut Cursor<'a>, token: Token<'a>, field: Field) -> Reject {
    match cursor.skip_rest(token) {
        Ok(()) => malformed(field),
        Err(broken) => broken.into(),
    }
}

fn malformed(field: Field) -> Reject {
    Reject::field(Reason::Malformed, field)
}
