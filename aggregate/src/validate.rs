//! Judges what a value says, and assigns it to its cell.
//!
//! The checks stand in the contract's order, because the first that fails is the reason. Whatever
//! leaves this module is an [`Event`] that cannot be wrong, so nothing downstream checks again.
//! [`Reason::ClockAhead`] is not here: it is the one judgement that depends on a wall clock, and
//! [`crate::shard`] makes it, last, on records that are otherwise usable.

use std::borrow::Cow;

use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::contract::{Contract, Raw};
use postroad_schemas::reject::{Field, Reason, Reject};
use postroad_schemas::time::{parse_date, parse_timestamp};
use postroad_schemas::units::{BusinessDay, Fen, Grams, Span, Timestamp};

use crate::event::{CellKey, Event, EventId, EventKind, IdKey, Transaction};
use crate::rules::Rules;

/// The largest amount that one event may carry, in fen, inclusive.
pub const FEN_MAX: i64 = 1_000_000_000_000;
/// The largest weight that one event may carry, in grams, inclusive.
pub const GRAMS_MAX: i64 = 1_000_000_000;
/// How far `occurred_at` may lie after the record's timestamp, inclusive.
pub const FUTURE_MAX: Span = Span::minutes(10);
/// How far `accounting_date` may lie from the day of `occurred_at`, in days, inclusive.
pub const ACCOUNTING_DAYS_MAX: u32 = 31;
/// The first business day that is accepted, inclusive: 2000-01-01.
pub const FIRST_DAY: BusinessDay = BusinessDay::from_days(10_957);

/// The types of `event_type`, as the contract names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParcelType {
    Accepted,
    Voided,
    Dispatched,
    Arrived,
    OutForDelivery,
    Delivered,
    DeliveryFailed,
    Returned,
}

impl ParcelType {
    fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "accepted" => Self::Accepted,
            "voided" => Self::Voided,
            "dispatched" => Self::Dispatched,
            "arrived" => Self::Arrived,
            "out_for_delivery" => Self::OutForDelivery,
            "delivered" => Self::Delivered,
            "delivery_failed" => Self::DeliveryFailed,
            "returned" => Self::Returned,
            _ => return None,
        })
    }

    fn required(self) -> Option<Field> {
        matches!(self, Self::Accepted | Self::Voided).then_some(Field::RevenueFen)
    }
}

/// The types of `txn_type` that are not a reversal, as the contract names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TxnType {
    Opened,
    Deposit,
    Withdrawal,
    TransferIn,
    TransferOut,
    Purchase,
    Redemption,
    Premium,
    Fee,
    FeeAccrual,
    Sale,
    Refund,
}

const REVERSAL: &str = "reversal";

impl TxnType {
    fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "opened" => Self::Opened,
            "deposit" => Self::Deposit,
            "withdrawal" => Self::Withdrawal,
            "transfer_in" => Self::TransferIn,
            "transfer_out" => Self::TransferOut,
            "purchase" => Self::Purchase,
            "redemption" => Self::Redemption,
            "premium" => Self::Premium,
            "fee" => Self::Fee,
            "fee_accrual" => Self::FeeAccrual,
            "sale" => Self::Sale,
            "refund" => Self::Refund,
            _ => return None,
        })
    }

    fn required(self) -> Option<Field> {
        match self {
            Self::Opened => None,
            Self::Deposit
            | Self::Withdrawal
            | Self::TransferIn
            | Self::TransferOut
            | Self::Purchase
            | Self::Redemption
            | Self::Premium => Some(Field::AmountFen),
            Self::Fee | Self::FeeAccrual | Self::Sale | Self::Refund => Some(Field::RevenueFen),
        }
    }

    fn is_allowed_for(self, product: Product) -> bool {
        use TxnType as T;
        match product {
            Product::Savings => matches!(
                self,
                T::Opened
                    | T::Deposit
                    | T::Withdrawal
                    | T::TransferIn
                    | T::TransferOut
                    | T::Fee
                    | T::FeeAccrual
            ),
            Product::Insurance => matches!(self, T::Premium | T::Fee),
            Product::Wealth | Product::Fund | Product::Bond => {
                matches!(self, T::Purchase | T::Redemption | T::Fee)
            }
            Product::Settlement => matches!(self, T::TransferIn | T::TransferOut | T::Fee),
            _ => {
                matches!(product.line(), Line::Basic | Line::Retail)
                    && matches!(self, T::Sale | T::Refund)
            }
        }
    }

    fn transaction(self) -> Transaction {
        match self {
            Self::Opened => Transaction::Opened,
            Self::Deposit | Self::TransferIn | Self::Purchase | Self::Premium => {
                Transaction::Inflow
            }
            Self::Withdrawal | Self::TransferOut | Self::Redemption => Transaction::Outflow,
            Self::Fee | Self::FeeAccrual => Transaction::Fee,
            Self::Sale => Transaction::Sale,
            Self::Refund => Transaction::Refund,
        }
    }
}

/// A type that is known, and for a reversal the type that it undoes, if that one is known.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Parcel(ParcelType),
    Finance(TxnType),
    /// `None`: of an unknown type or of a reversal.
    Reversal(Option<TxnType>),
}

/// Judges one decoded value. `timestamp` is the record's, `None` where the record has none.
///
/// # Errors
/// The first reason, in the contract's order, for which the record cannot be used.
pub fn validate(
    contract: Contract,
    raw: &Raw<'_>,
    timestamp: Option<Timestamp>,
    rules: &Rules,
    id_key: &IdKey,
) -> Result<Event, Reject> {
    let required = require_always(contract, raw)?;
    let kind = require_by_type(contract, raw, required.kind)?;
    let kind_field = kind_field(contract);
    let kind = kind.ok_or(Reject::field(Reason::UnknownType, kind_field))?;
    let product = Product::from_code(required.product)
        .filter(|product| product.contract() == contract)
        .ok_or(Reject::field(Reason::UnknownProduct, Field::Product))?;
    check_pair(kind, product)?;
    let prefecture = PrefectureCode::parse(required.prefecture)
        .filter(|code| rules.prefectures.contains(code))
        .ok_or(Reject::field(Reason::UnknownPrefecture, Field::Prefecture))?;

    let times = Times::parse(raw, required.occurred_at)?;
    let recorded_at = timestamp.unwrap_or(times.occurred_at);
    if times.occurred_at > recorded_at + FUTURE_MAX {
        return Err(Reject::field(Reason::Future, Field::OccurredAt));
    }
    let day = times.business_day()?;
    check_amounts(raw)?;

    Ok(Event {
        id: EventId::new(required.event_id, id_key),
        cell: CellKey { day, prefecture, product },
        kind: judged_kind(kind, raw, &times)?,
        occurred_at: times.occurred_at,
        recorded_at,
        revenue: Fen::new(raw.revenue_fen.unwrap_or(0).into()),
        amount: Fen::new(raw.amount_fen.unwrap_or(0).into()),
        weight: Grams::new(raw.weight_g.unwrap_or(0).into()),
        agri: raw.agri.unwrap_or(false),
    })
}

struct Required<'a> {
    event_id: &'a str,
    kind: &'a str,
    product: &'a str,
    prefecture: &'a str,
    occurred_at: &'a str,
}

fn kind_field(contract: Contract) -> Field {
    match contract {
        Contract::Parcel => Field::EventType,
        Contract::Finance => Field::TxnType,
    }
}

fn require<'a>(value: Option<&'a Cow<'_, str>>, field: Field) -> Result<&'a str, Reject> {
    value.map(AsRef::as_ref).ok_or(Reject::field(Reason::MissingField, field))
}

fn require_always<'a>(contract: Contract, raw: &'a Raw<'_>) -> Result<Required<'a>, Reject> {
    Ok(Required {
        event_id: require(raw.event_id.as_ref(), Field::EventId)?,
        kind: require(raw.kind.as_ref(), kind_field(contract))?,
        product: require(raw.product.as_ref(), Field::Product)?,
        prefecture: require(raw.prefecture.as_ref(), Field::Prefecture)?,
        occurred_at: require(raw.occurred_at.as_ref(), Field::OccurredAt)?,
    })
}

/// Reads the type, `None` where it is unknown, and requires what it, or the type being reversed,
/// requires.
fn require_by_type(contract: Contract, raw: &Raw<'_>, code: &str) -> Result<Option<Kind>, Reject> {
    let (kind, required) = match contract {
        Contract::Parcel => {
            let kind = ParcelType::from_code(code);
            (kind.map(Kind::Parcel), kind.and_then(ParcelType::required))
        }
        Contract::Finance if code == REVERSAL => {
            let code = raw.reverses.as_ref().and_then(|reverses| reverses.txn_type.as_ref());
            let undone = TxnType::from_code(require(code, Field::Reverses)?);
            (Some(Kind::Reversal(undone)), undone.and_then(TxnType::required))
        }
        Contract::Finance => {
            let kind = TxnType::from_code(code);
            (kind.map(Kind::Finance), kind.and_then(TxnType::required))
        }
    };
    let absent = match required {
        Some(Field::RevenueFen) => raw.revenue_fen.is_none(),
        Some(Field::AmountFen) => raw.amount_fen.is_none(),
        _ => false,
    };
    match required {
        Some(field) if absent => Err(Reject::field(Reason::MissingField, field)),
        _ => Ok(kind),
    }
}

fn check_pair(kind: Kind, product: Product) -> Result<(), Reject> {
    let transaction = match kind {
        Kind::Parcel(_) => return Ok(()),
        Kind::Finance(transaction) | Kind::Reversal(Some(transaction)) => transaction,
        Kind::Reversal(None) => {
            return Err(Reject::field(Reason::InvalidReversal, Field::Reverses));
        }
    };
    if transaction.is_allowed_for(product) {
        return Ok(());
    }
    Err(Reject::field(Reason::TypeProductMismatch, Field::Product))
}

/// The times of an event, parsed once.
struct Times {
    occurred_at: Timestamp,
    due_at: Option<Timestamp>,
    accounting_date: Option<BusinessDay>,
}

impl Times {
    fn parse(raw: &Raw<'_>, occurred_at: &str) -> Result<Self, Reject> {
        fn parsed<T>(
            text: Option<&str>,
            field: Field,
            parse: fn(&str) -> Option<T>,
        ) -> Result<Option<T>, Reject> {
            let invalid = Reject::field(Reason::InvalidTime, field);
            text.map(|text| parse(text).ok_or(invalid)).transpose()
        }
        let invalid = Reject::field(Reason::InvalidTime, Field::OccurredAt);
        Ok(Self {
            occurred_at: parse_timestamp(occurred_at).ok_or(invalid)?,
            due_at: parsed(raw.due_at.as_deref(), Field::DueAt, parse_timestamp)?,
            accounting_date: parsed(
                raw.accounting_date.as_deref(),
                Field::AccountingDate,
                parse_date,
            )?,
        })
    }

    /// `accounting_date` wins over the day of `occurred_at`.
    fn business_day(&self) -> Result<BusinessDay, Reject> {
        let occurred = self.occurred_at.business_day();
        let day = self.accounting_date.unwrap_or(occurred);
        if day.days().abs_diff(occurred.days()) > ACCOUNTING_DAYS_MAX {
            return Err(Reject::field(Reason::DateOutOfRange, Field::AccountingDate));
        }
        if day < FIRST_DAY {
            let field = match self.accounting_date {
                Some(_) => Field::AccountingDate,
                None => Field::OccurredAt,
            };
            return Err(Reject::field(Reason::DateOutOfRange, field));
        }
        Ok(day)
    }
}

/// Ranges are checked whether or not the type uses the field.
fn check_amounts(raw: &Raw<'_>) -> Result<(), Reject> {
    let ranges = [
        (raw.amount_fen, 0..=FEN_MAX, Field::AmountFen),
        (raw.revenue_fen, 0..=FEN_MAX, Field::RevenueFen),
        (raw.weight_g, 0..=GRAMS_MAX, Field::WeightG),
        (raw.attempt, 1..=i64::MAX, Field::Attempt),
    ];
    for (value, range, field) in ranges {
        if value.is_some_and(|value| !range.contains(&value)) {
            return Err(Reject::field(Reason::AmountOutOfRange, field));
        }
    }
    Ok(())
}

fn judged_kind(kind: Kind, raw: &Raw<'_>, times: &Times) -> Result<EventKind, Reject> {
    Ok(match kind {
        Kind::Parcel(ParcelType::Accepted) => EventKind::Accepted,
        Kind::Parcel(ParcelType::Voided) => EventKind::Voided,
        Kind::Parcel(ParcelType::Dispatched | ParcelType::Arrived) => EventKind::Scanned,
        Kind::Parcel(ParcelType::OutForDelivery) => {
            EventKind::OutForDelivery { first_attempt: raw.attempt.unwrap_or(1) == 1 }
        }
        Kind::Parcel(ParcelType::Delivered) => EventKind::Delivered {
            on_time: times.due_at.is_some_and(|due_at| times.occurred_at <= due_at),
        },
        Kind::Parcel(ParcelType::DeliveryFailed) => EventKind::DeliveryFailed,
        Kind::Parcel(ParcelType::Returned) => EventKind::Returned,
        Kind::Finance(transaction) => EventKind::Transaction(transaction.transaction()),
        Kind::Reversal(Some(reversed)) => EventKind::Reversal(reversed.transaction()),
        Kind::Reversal(None) => {
            return Err(Reject::field(Reason::InvalidReversal, Field::Reverses));
        }
    })
}
