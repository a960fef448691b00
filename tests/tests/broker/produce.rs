//! Producers: random logs at rest, and a stream that does not stop by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use postroad_tests::kafka::Cluster;
use postroad_tests::logs::random_log;
use postroad_tests::oracle::OracleRecord;
use postroad_tests::wait::wait_until;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::bed::SOON;

/// How long a stream waits for its end between two batches: what the oracle folds has to stay small.
const PACE: Duration = Duration::from_millis(30);

/// The newest timestamp that is sent, the last of the year 9999: a batch that holds all 64 bits'
/// worth of time is one that no producer makes.
const NEWEST_MS: i64 = 253_402_300_799_999;

/// A producer that keeps the order of each partition.
pub(crate) struct Producer(ThreadedProducer<DefaultProducerContext>);

impl Producer {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let mut config = cluster.client_config();
        // An outage of the brokers ends before a record is given up.
        config.set("message.timeout.ms", "300000");
        Self::with(config)
    }

    /// A producer whose records come in transactions. It ends what another of its name left open.
    pub(crate) fn transactional(cluster: &Cluster, id: &str) -> Self {
        Self::transactional_with(&cluster.client_config(), id)
    }

    fn transactional_with(config: &ClientConfig, id: &str) -> Self {
        let mut config = config.clone();
        config.set("transactional.id", id);
        // A test that holds one open decides when it ends.
        config.set("transaction.timeout.ms", "600000");
        let producer = Self::with(config);
        wait_until(SOON, "transactions can be initialised", || {
            producer.0.init_transactions(SOON).is_ok()
        });
        producer
    }

    fn with(mut config: ClientConfig) -> Self {
        config.set("enable.idempotence", "true").set("linger.ms", "2");
        config.set("message.max.bytes", "12000000");
        // Partitions that were added are known soon.
        config.set("topic.metadata.refresh.interval.ms", "500");
        Self(config.create().expect("the producer's settings are valid"))
    }

    /// Hands a record over; it is in the log once [`Self::flush`] returns.
    pub(crate) fn send(&self, topic: &str, partition: i32, record: &OracleRecord) {
        self.try_send(topic, partition, None, record).expect("the producer takes a record");
    }

    /// Hands a record with a key over.
    pub(crate) fn send_keyed(&self, topic: &str, key: &str, record: &OracleRecord) {
        let sent = self.try_send(topic, 0, Some(key.as_bytes()), record);
        sent.expect("the producer takes a record");
    }

    fn try_send(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        record: &OracleRecord,
    ) -> Result<(), KafkaError> {
        let mut refused = None;
        wait_until(SOON, "the producer takes the record", || {
            let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
            message.timestamp = Some(timestamp(record.timestamp_ms));
            message.payload = record.value.as_deref();
            message.key = key;
            match self.0.send(message) {
                Ok(()) => true,
                Err((
                    KafkaError::MessageProduction(
                        RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::UnknownPartition,
                    ),
                    _,
                )) => false,
                Err((error, _)) => {
                    refused = Some(error);
                    true
                }
            }
        });
        refused.map_or(Ok(()), Err)
    }

    pub(crate) fn flush(&self) {
        self.0.flush(SOON).expect("every record reaches the log");
    }

    /// Sends a random log to a partition and waits until it is there.
    pub(crate) fn random(
        &self,
        topic: &str,
        partition: i32,
        contract: &str,
        seed: u64,
        records: usize,
    ) {
        for record in random_log(seed, contract, records) {
            self.send(topic, partition, &record);
        }
        self.flush();
    }

    /// Sends records in a transaction, which is then committed or aborted; those of an aborted one
    /// are in the log all the same.
    pub(crate) fn transaction(
        &self,
        topic: &str,
        partition: i32,
        records: &[OracleRecord],
        commit: bool,
    ) {
        self.begin(topic, partition, records);
        self.end(commit);
    }

    /// Sends records in a transaction and leaves it open.
    pub(crate) fn begin(&self, topic: &str, partition: i32, records: &[OracleRecord]) {
        self.try_begin(topic, partition, records).expect("a transaction begins");
    }

    /// Ends the transaction.
    pub(crate) fn end(&self, commit: bool) {
        self.try_end(commit).expect("a transaction ends");
    }

    fn try_begin(
        &self,
        topic: &str,
        partition: i32,
        records: &[OracleRecord],
    ) -> Result<(), KafkaError> {
        self.0.begin_transaction()?;
        for record in records {
            self.try_send(topic, partition, None, record)?;
        }
        self.0.flush(SOON)
    }

    fn try_end(&self, commit: bool) -> Result<(), KafkaError> {
        let mut outcome = Ok(());
        wait_until(SOON, "the transaction ends", || {
            outcome = if commit {
                self.0.commit_transaction(SOON)
            } else {
                self.0.abort_transaction(SOON)
            };
            !matches!(&outcome, Err(KafkaError::Transaction(error)) if error.is_retriable())
        });
        outcome
    }
}

/// A timestamp as librdkafka takes it: 0 would mean "now" to it, and none is -1.
fn timestamp(ms: Option<i64>) -> i64 {
    match ms {
        Some(0) => 1,
        Some(ms) if ms > 0 => ms.min(NEWEST_MS),
        _ => -1,
    }
}

/// A thread that produces random logs to every partition of a topic, in small batches, until it is
/// told to stop.
pub(crate) struct Stream {
    sent: Arc<AtomicU64>,
    partitions: Arc<AtomicI32>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Stream {
    pub(crate) fn start(
        cluster: &Cluster,
        topic: &str,
        contract: &'static str,
        partitions: i32,
        seed: u64,
    ) -> Self {
        let producer = Producer::new(cluster);
        let topic = topic.to_owned();
        Self::of(contract, partitions, seed, move |partition, records| {
            for record in records {
                producer.send(&topic, partition, record);
            }
            producer.flush();
        })
    }

    /// A stream whose batches are transactions, every fourth of which is aborted. Where brokers that
    /// went away have spoilt one, another producer of the same name goes on; the oracle reads in the
    /// log what became of it.
    pub(crate) fn transactions(
        cluster: &Cluster,
        topic: &str,
        contract: &'static str,
        partitions: i32,
        seed: u64,
    ) -> Self {
        let (config, id) = (cluster.client_config(), format!("{topic}-{seed}"));
        let mut producer = Producer::transactional_with(&config, &id);
        let topic = topic.to_owned();
        let mut number = 0;
        Self::of(contract, partitions, seed, move |partition, records| {
            number += 1;
            let sent = producer
                .try_begin(&topic, partition, records)
                .and_then(|()| producer.try_end(number % 4 != 0));
            if let Err(error) = sent {
                eprintln!("{id}: {error}");
                producer = Producer::transactional_with(&config, &id);
            }
        })
    }

    fn of(
        contract: &'static str,
        partitions: i32,
        seed: u64,
        mut put: impl FnMut(i32, &[OracleRecord]) + Send + 'static,
    ) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = channel();
        let partitions = Arc::new(AtomicI32::new(partitions));
        let (counter, count) = (sent.clone(), partitions.clone());
        let thread = std::thread::spawn(move || {
            let log = random_log(seed, contract, 4_000);
            let mut batches = log.chunks(5).cycle();
            while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
                for partition in 0..count.load(Ordering::Relaxed) {
                    let records = batches.next().expect("it goes round for ever");
                    put(partition, records);
                    counter.fetch_add(records.len() as u64, Ordering::Relaxed);
                }
            }
        });
        Self { sent, partitions, stop, thread }
    }

    /// Produces to so many partitions from now on.
    pub(crate) fn widen(&self, partitions: i32) {
        self.partitions.store(partitions, Ordering::Relaxed);
    }

    /// Waits until `records` more have been sent.
    #[track_caller]
    pub(crate) fn wait_for(&self, records: u64) {
        let target = self.sent.load(Ordering::Relaxed) + records;
        wait_until(SOON, "the stream goes on", || self.sent.load(Ordering::Relaxed) >= target);
    }

    /// Ends the stream; everything sent is in the log then.
    pub(crate) fn finish(self) -> u64 {
        drop(self.stop);
        self.thread.join().expect("the stream did not panic");
        self.sent.load(Ordering::Relaxed)
    }
}
