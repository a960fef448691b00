//! The two event contracts, and what a value says before anybody has judged it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which vocabulary a topic speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// `parcel.events`: the life of a parcel.
    Parcel,
    /// `finance.transactions`: agency finance, and the sales of the basic and retail lines.
    Finance,
}

impl Contract {
    /// The contract that a built-in topic name implies.
    pub fn of_topic(topic: &str) -> Option<Self> {
        match topic {
            "parcel.events" => Some(Self::Parcel),
            "finance.transactions" => Some(Self::Finance),
            _ => None,
        }
    }

    /// The name used in configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parcel => "parcel",
            Self::Finance => "finance",
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Contract {
    type Err = UnknownContract;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "parcel" => Ok(Self::Parcel),
            "finance" => Ok(Self::Finance),
            _ => Err(UnknownContract),
        }
    }
}

/// A name that is neither `parcel` nor `finance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown contract: expected `parcel` or `finance`")]
pub struct UnknownContract;

/// The fields of one value that its contract knows, with the types that the contract gives them,
/// and nothing judged: a string here may name no product, an integer may be out of range.
///
/// One struct serves both contracts; fields of the other contract stay `None`, because on this
/// topic they are unknown fields. A JSON `null` is an absent field. Strings borrow from the value
/// unless an escape had to be resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw<'a> {
    /// `event_id`, 1 to 64 bytes (a length outside that is already `malformed`).
    pub event_id: Option<Cow<'a, str>>,
    /// `event_type` of a parcel event, `txn_type` of a finance transaction.
    pub kind: Option<Cow<'a, str>>,
    /// `product`.
    pub product: Option<Cow<'a, str>>,
    /// `prefecture`, a GB/T 2260 code.
    pub prefecture: Option<Cow<'a, str>>,
    /// `occurred_at`, RFC 3339.
    pub occurred_at: Option<Cow<'a, str>>,
    /// `due_at`, RFC 3339 (parcel).
    pub due_at: Option<Cow<'a, str>>,
    /// `accounting_date`, `YYYY-MM-DD` (finance).
    pub accounting_date: Option<Cow<'a, str>>,
    /// `reverses`, when it is an object (finance).
    pub reverses: Option<RawReverses<'a>>,
    /// `revenue_fen`.
    pub revenue_fen: Option<i64>,
    /// `amount_fen` (finance).
    pub amount_fen: Option<i64>,
    /// `weight_g` (parcel).
    pub weight_g: Option<i64>,
    /// `attempt` (parcel).
    pub attempt: Option<i64>,
    /// `agri`.
    pub agri: Option<bool>,
}

/// The object under `reverses`; its other keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawReverses<'a> {
    /// `reverses.txn_type`.
    pub txn_type: Option<Cow<'a, str>>,
}
