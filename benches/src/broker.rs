//! librdkafka's in-process broker, filled with a province's records before anything is measured.
//!
//! It speaks the real protocol over loopback, but keeps only 5 MiB, compressed, of each partition:
//! hence many partitions, and a look at the watermarks once it is filled.

use std::time::Duration;

use postroad_ingest::simulate::topic_of;
use postroad_schemas::contract::Contract;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use crate::workload;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What to fill a broker with.
#[derive(Debug, Clone)]
pub struct Filling {
    /// Records over both topics.
    pub records: u64,
    /// Partitions over both topics, four or more: a quarter of them for finance.
    pub partitions: i32,
    /// The producer's `compression.type`.
    pub compression: String,
    /// The producer's `batch.size`, in bytes before compression.
    pub batch_bytes: u32,
    /// Seed of the province.
    pub seed: u64,
}

/// A broker that holds every record of its filling.
pub struct FilledBroker {
    held: Held,
    /// Ends when dropped.
    _cluster: MockCluster<'static, DefaultProducerContext>,
}

/// Where a filling is found, and what it came to.
#[derive(Debug, Clone)]
pub struct Held {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topics with their numbers of partitions.
    pub topics: [(&'static str, i32); 2],
    /// Records over all topics.
    pub records: u64,
    /// The mean length of a value, in bytes; a tombstone has none.
    pub value_bytes_mean: u64,
}

/// Why a broker could not be filled, or not be emptied.
#[derive(Debug)]
pub struct BrokerError(String);

impl std::fmt::Display for BrokerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BrokerError {}

impl BrokerError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<KafkaError> for BrokerError {
    fn from(error: KafkaError) -> Self {
        Self(error.to_string())
    }
}

impl FilledBroker {
    /// Starts a broker and fills it.
    ///
    /// # Errors
    /// Where the broker has dropped records because a partition is full.
    pub fn fill(filling: &Filling) -> Result<Self, BrokerError> {
        let cluster = MockCluster::new(1)?;
        let finance = (filling.partitions / 4).max(1);
        let parcel = (filling.partitions - finance).max(1);
        let topics = [(topic_of(Contract::Parcel), parcel), (topic_of(Contract::Finance), finance)];
        for (topic, partitions) in topics {
            cluster.create_topic(topic, partitions, 1)?;
        }
        let mut held = Held {
            brokers: cluster.bootstrap_servers(),
            topics,
            records: filling.records,
            value_bytes_mean: 0,
        };
        held.value_bytes_mean = produce(&held.brokers, filling)? / filling.records.max(1);
        held.check()?;
        Ok(Self { held, _cluster: cluster })
    }

    /// What the broker holds, as long as it lives.
    pub fn held(&self) -> &Held {
        &self.held
    }
}

impl Held {
    /// Compares what the broker holds with what it was given.
    fn check(&self) -> Result<(), BrokerError> {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let mut held = 0;
        for (topic, partitions) in self.topics {
            for partition in 0..partitions {
                let (low, high) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
                held += (high - low).unsigned_abs();
            }
        }
        if held == self.records {
            return Ok(());
        }
        Err(BrokerError(format!(
            "the in-process broker kept {held} of {} records, since it keeps 5 MiB a partition: use \
             fewer records, more partitions or another compression",
            self.records
        )))
    }
}

/// Produces a filling, and returns the sum of the lengths of its values in bytes.
fn produce(brokers: &str, filling: &Filling) -> Result<u64, BrokerError> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.type", &filling.compression)
        .set("batch.size", filling.batch_bytes.to_string())
        .set("linger.ms", "1000")
        .set("queue.buffering.max.kbytes", "1000000")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let mut value_bytes = 0;
    let records = usize::try_from(filling.records)
        .map_err(|_| BrokerError::new("so many records fit no memory"))?;
    for event in workload::events(filling.seed).take(records) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic_of(event.contract))
            .key(&event.key)
            .timestamp(event.timestamp_ms);
        record.payload = event.value.as_deref();
        value_bytes += event.value.as_ref().map_or(0, Vec::len) as u64;
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(20));
            record = back;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(TIMEOUT)?;
    Ok(value_bytes)
}
