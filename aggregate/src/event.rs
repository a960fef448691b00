//! An event that has been judged usable, in types that cannot be wrong.

use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::units::{BusinessDay, Fen, Grams, Timestamp};
use siphasher::sip128::SipHasher13;

/// What an event says about one cell of the rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identity for the dedupe window.
    pub id: EventId,
    /// The cell that the event belongs to.
    pub cell: CellKey,
    /// What happened.
    pub kind: EventKind,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The record's timestamp, or `occurred_at` where the record has none.
    pub recorded_at: Timestamp,
    /// Revenue in fen, not negative; zero where the contract lets it be absent.
    pub revenue: Fen,
    /// Amount in fen, not negative.
    pub amount: Fen,
    /// Weight in grams, not negative.
    pub weight: Grams,
    /// Whether the event carries the 惠农 tag.
    pub agri: bool,
}

/// The address of a rollup cell, ordered as the rows of the published tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// Business day.
    pub day: BusinessDay,
    /// Prefecture of the office.
    pub prefecture: PrefectureCode,
    /// Product.
    pub product: Product,
}

impl std::hash::Hash for CellKey {
    /// One 64-bit word: the day in the upper half, then 20 bits of code and 8 of product.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let day = u64::from(self.day.days().cast_unsigned());
        let place = u64::from(self.prefecture.get()) << 8 | self.product as u64;
        state.write_u64(day << 32 | place);
    }
}

/// What happened. Where a judgement depends on more than the type (the first attempt, the
/// deadline), the variant carries its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// 收寄
    Accepted,
    /// 撤销
    Voided,
    /// 封发 or 到达
    Scanned,
    /// 下段; `due` on the first attempt
    OutForDelivery {
        /// Whether this is the first attempt.
        first_attempt: bool,
    },
    /// 妥投
    Delivered {
        /// Whether there was a deadline and it was met, inclusive.
        on_time: bool,
    },
    /// 未妥投
    DeliveryFailed,
    /// 退回
    Returned,
    /// A finance transaction.
    Transaction(Transaction),
    /// 冲正 of a transaction.
    Reversal(Transaction),
}

/// A finance transaction that is not itself a reversal, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// `opened`
    Opened,
    /// `deposit`, `transfer_in`, `purchase`, `premium`: money comes in.
    Inflow,
    /// `withdrawal`, `transfer_out`, `redemption`: money goes out.
    Outflow,
    /// `fee`, `fee_accrual`
    Fee,
    /// `sale`
    Sale,
    /// `refund`
    Refund,
}

/// The identity of an event within a shard: the bits of a UUID in canonical lower-case form, or
/// else a keyed 128-bit hash of the id's bytes.
///
/// Never persisted and never shown: an id is an identifier (promise P5), and its hash is as good
/// as one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(u128);

impl std::fmt::Debug for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventId(…)")
    }
}

/// The key of the id hash. Random in each process, so that nobody can prepare collisions.
#[derive(Clone, Copy)]
pub struct IdKey(pub [u8; 16]);

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey(…)")
    }
}

impl EventId {
    /// The identity of an `event_id`'s unescaped bytes.
    pub fn new(text: &str, key: &IdKey) -> Self {
        if let Some(bits) = uuid_bits(text.as_bytes()) {
            return Self(bits);
        }
        Self(SipHasher13::new_with_key(&key.0).hash(text.as_bytes()).as_u128())
    }

    pub(crate) const fn get(self) -> u128 {
        self.0
    }
}

/// The bits of a UUID in canonical form: 36 bytes, lower-case hexadecimal, hyphens in place.
///
/// Nearly every id is one, so this is on the hot path: whole bytes by table instead of digits
/// shifted into 128 bits, which took a fifth of a record's time.
fn uuid_bits(text: &[u8]) -> Option<u128> {
    /// Where the two digits of each byte stand.
    const DIGITS_AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let text: &[u8; 36] = text.try_into().ok()?;
    if [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut bytes = [0; 16];
    let mut seen = 0;
    for (byte, at) in bytes.iter_mut().zip(DIGITS_AT) {
        let (high, low) = (HEX[usize::from(text[at])], HEX[usize::from(text[at + 1])]);
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (seen < 16).then_some(u128::from_be_bytes(bytes))
}

/// The value of each lower-case hexadecimal digit; 255 for every other byte.
const HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_canonical_uuid_is_taken_by_its_bits() {
        let canonical = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(
            uuid_bits(canonical.as_bytes()),
            Some(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)
        );
        for other in [
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeef",
            "0-1122334455-6677-8899-aabbccddeeff0",
        ] {
            assert_eq!(uuid_bits(other.as_bytes()), None, "{other}");
        }
    }

    /// An upper-case twin is another id: identity is that of the bytes, unnormalised.
    #[test]
    fn ids_differ_where_their_bytes_do() {
        let key = IdKey([7; 16]);
        let lower = EventId::new("00112233-4455-6677-8899-aabbccddeeff", &key);
        let upper = EventId::new("00112233-4455-6677-8899-AABBCCDDEEFF", &key);
        assert_ne!(lower, upper);
        assert_eq!(EventId::new("a", &key), EventId::new("a", &key));
        assert_ne!(EventId::new("a", &key), EventId::new("b", &key));
    }
}
