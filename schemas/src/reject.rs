//! Why a record cannot be used. A reject is a value that is counted and tabled, never an error.

/// A closed set of names, each with its text on the wire, in tables and in labels.
#[macro_export]
macro_rules! closed_names {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord,
            ::serde::Serialize, ::serde::Deserialize,
        )]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire, in tables and in labels.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value with this position in [`Self::ALL`].
            pub fn from_index(index: u8) -> Option<Self> {
                Self::ALL.get(usize::from(index)).copied()
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub use closed_names;

closed_names! {
    /// The reasons, in the order in which they are tried: the first that holds is the reason.
    Reason {
        /// The value is longer than `rules.value_bytes_max`.
        TooLarge = "too_large",
        /// Not one JSON object of the contract's shape.
        Malformed = "malformed",
        /// An Avro or Protobuf value names a schema that is not known.
        UnknownSchema = "unknown_schema",
        /// A field that is always required, or that the type requires, is absent.
        MissingField = "missing_field",
        /// `event_type` or `txn_type` names no type.
        UnknownType = "unknown_type",
        /// `product` names no product of this contract.
        UnknownProduct = "unknown_product",
        /// A reversal of an unknown type, or of a reversal.
        InvalidReversal = "invalid_reversal",
        /// The product does not have transactions of this type.
        TypeProductMismatch = "type_product_mismatch",
        /// The prefecture's code is not in the rules.
        UnknownPrefecture = "unknown_prefecture",
        /// A time or date that is none.
        InvalidTime = "invalid_time",
        /// `occurred_at` is more than ten minutes after the record's timestamp.
        Future = "future",
        /// `accounting_date` far from `occurred_at`, or a business day before 2000-01-01.
        DateOutOfRange = "date_out_of_range",
        /// An amount, weight or attempt outside its range.
        AmountOutOfRange = "amount_out_of_range",
        /// The record's timestamp is more than 24 h ahead of the consumer's clock; tried last.
        ClockAhead = "clock_ahead",
    }
}

closed_names! {
    /// The field that a reject is about.
    Field {
        /// `event_id`
        EventId = "event_id",
        /// `event_type`
        EventType = "event_type",
        /// `txn_type`
        TxnType = "txn_type",
        /// `product`
        Product = "product",
        /// `prefecture`
        Prefecture = "prefecture",
        /// `occurred_at`
        OccurredAt = "occurred_at",
        /// `due_at`
        DueAt = "due_at",
        /// `accounting_date`
        AccountingDate = "accounting_date",
        /// `reverses`
        Reverses = "reverses",
        /// `revenue_fen`
        RevenueFen = "revenue_fen",
        /// `amount_fen`
        AmountFen = "amount_fen",
        /// `weight_g`
        WeightG = "weight_g",
        /// `attempt`
        Attempt = "attempt",
        /// `agri`
        Agri = "agri",
    }
}

/// A record that cannot be used: the first reason that holds, and the field that shows it, where
/// one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reject {
    /// Why.
    pub reason: Reason,
    /// About which field; `None` where the value as a whole is at fault.
    pub field: Option<Field>,
}

impl Reject {
    /// A reject of the value as a whole.
    pub fn whole(reason: Reason) -> Self {
        Self { reason, field: None }
    }

    /// A reject that one field shows.
    pub fn field(reason: Reason, field: Field) -> Self {
        Self { reason, field: Some(field) }
    }
}
