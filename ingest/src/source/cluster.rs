//! What the loop needs of the log, as traits, so that it runs unchanged over a simulated one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use postroad_schemas::units::NextOffset;

use super::kafka::{CloseTimedOut, Command, QueryError, TopicPartition};

/// The identity of one life of a topic: Kafka gives a topic that is made anew another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(u128);

impl TopicId {
    /// The id with these bits; `None` for zero, which is how brokers say that they have none.
    pub const fn new(bits: u128) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// Its bits.
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TopicId {
    /// As Kafka's own tools print it: base64 for URLs, without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digit = |shifted: u128| char::from(DIGITS[(shifted & 63) as usize]);
        for place in (0..21).rev() {
            write!(f, "{}", digit(self.0 >> (2 + 6 * place)))?;
        }
        write!(f, "{}", digit(self.0 << 4))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// What the log of a partition holds, as of one answer: the offsets `[low, high)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// The first offset that is kept.
    pub low: NextOffset,
    /// The last stable offset, before which no transaction is open.
    pub high: NextOffset,
}

/// Questions to the log, each answered by those who lead it.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// What the log of a partition holds now.
    ///
    /// # Errors
    /// If the partition does not exist or nobody answers in time.
    async fn log_range(&self, tp: &TopicPartition) -> Result<LogRange, QueryError>;

    /// How many partitions each topic has. Topics that do not exist are left out.
    ///
    /// # Errors
    /// If nobody answers in time, or a topic may not be described.
    async fn partition_counts(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, i32>, QueryError>;

    /// The identity of a topic; `None` where the brokers are too old to give it one.
    ///
    /// # Errors
    /// If the topic does not exist or nobody answers in time.
    async fn topic_id(&self, topic: &str) -> Result<Option<TopicId>, QueryError>;
}

/// Whoever delivers records. It sends events and batches by the channels that it was made with.
#[async_trait]
pub trait Consumer: Send {
    /// Asks something of it; nothing is answered but by events.
    fn command(&self, command: Command);

    /// The end of each log that is being read, as last seen.
    fn log_ends(&self) -> HashMap<TopicPartition, i64>;

    /// Leaves the group and ends.
    ///
    /// # Errors
    /// If it has not ended within the deadline; it is left behind.
    async fn close(self: Box<Self>, deadline: Duration) -> Result<(), CloseTimedOut>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's own example: the id of the metadata topic is a one in the last bit.
    #[test]
    fn ids_look_as_kafka_prints_them() {
        let check = |bits, expect: &str| {
            assert_eq!(TopicId::new(bits).expect("not zero").to_string(), expect);
        };
        check(1, "AAAAAAAAAAAAAAAAAAAAAQ");
        check(u128::MAX, "_____________________w");
        check(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f, "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(TopicId::new(0), None);
    }
}
