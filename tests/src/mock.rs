//! librdkafka's mock cluster for the suites that need a broker's protocol, not a broker: records
//! in, the same records out for the oracle, a `postroad` beside it, and its tables judged.
//!
//! The cluster lives in the test's process; `postroad` reaches it over loopback. It keeps 5 MiB a
//! partition, and its first rebalance takes three seconds.

mod judged;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroad_schemas::codebook::Codebook;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tempfile::TempDir;

pub use self::judged::{Row, assert_published, data_files, ledger_reached, rows};
use crate::oracle::{OracleRecord, OracleRules, OracleShard};
use crate::process::{Postroad, free_port};
use crate::wait::wait_until;

/// How long anything that ought to happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The longest value that the configurations of [`Site`] accept, in bytes.
pub const VALUE_BYTES_MAX: usize = 4096;

/// A partition of a topic.
pub type Partition = (String, i32);

/// A running mock cluster with a producer.
pub struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    sent: RefCell<BTreeMap<Partition, usize>>,
}

impl Mock {
    /// Starts a cluster of one broker with topics of so many partitions.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster starts");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "2");
        let producer = config.create().expect("a producer for the mock cluster");
        let mock = Self { cluster, producer, sent: RefCell::default() };
        for (topic, partitions) in topics {
            mock.add_topic(topic, *partitions);
        }
        mock
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// When it exists.
    pub fn add_topic(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1).expect("the mock cluster makes a topic");
        let mut sent = self.sent.borrow_mut();
        sent.extend((0..partitions).map(|partition| ((topic.to_owned(), partition), 0)));
    }

    /// Answers as if a topic had been deleted, or had not.
    ///
    /// # Panics
    /// When the mock cluster cannot.
    pub fn delete_topic(&self, topic: &str, is_deleted: bool) {
        let error = if is_deleted {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        } else {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        };
        self.cluster.topic_error(topic, error).expect("the mock cluster has the topic");
    }

    /// Host and port.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Closes every connection and refuses new ones.
    ///
    /// # Panics
    /// When the mock cluster cannot.
    pub fn down(&self) {
        self.cluster.broker_down(1).expect("the broker goes down");
    }

    /// Serves again.
    ///
    /// # Panics
    /// When the mock cluster cannot.
    pub fn up(&self) {
        self.cluster.broker_up(1).expect("the broker comes up");
    }

    /// Produces one record, and does not wait for it. A client cannot produce a record without a
    /// timestamp otherwise than by -1.
    ///
    /// # Panics
    /// When the record is refused.
    pub fn produce(
        &self,
        (topic, partition): (&str, i32),
        timestamp_ms: Option<i64>,
        value: Option<&[u8]>,
    ) {
        // Zero would mean "now" to librdkafka.
        let timestamp = timestamp_ms.filter(|ms| *ms != 0).unwrap_or(-1);
        loop {
            let mut record =
                BaseRecord::<[u8], [u8]>::to(topic).partition(partition).timestamp(timestamp);
            record.payload = value;
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => panic!("the mock cluster takes no record: {error}"),
            }
        }
        *self.sent.borrow_mut().entry((topic.to_owned(), partition)).or_default() += 1;
    }

    /// Produces records; their offsets are the log's to choose.
    pub fn produce_all(&self, to: (&str, i32), records: &[OracleRecord]) {
        for record in records {
            self.produce(to, record.timestamp_ms, record.value.as_deref());
        }
        self.flush();
    }

    /// Waits until everything produced is in the log.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).expect("the mock cluster takes what was produced");
    }

    /// How many records were produced.
    pub fn sent(&self) -> usize {
        self.sent.borrow().values().sum()
    }

    /// The logs as a plain consumer reads them: what the oracle is to judge.
    ///
    /// # Panics
    /// When the logs do not hold exactly what was produced.
    pub fn read(&self) -> BTreeMap<Partition, Vec<OracleRecord>> {
        self.flush();
        let sent = self.sent.borrow().clone();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("group.id", "the-oracle");
        let consumer: BaseConsumer = config.create().expect("a consumer for the mock cluster");
        let mut assignment = TopicPartitionList::new();
        for (topic, partition) in sent.keys() {
            assignment
                .add_partition_offset(topic, *partition, Offset::Beginning)
                .expect("a legal offset");
        }
        consumer.assign(&assignment).expect("partitions can be assigned");
        let mut logs: BTreeMap<Partition, Vec<OracleRecord>> =
            sent.keys().map(|partition| (partition.clone(), Vec::new())).collect();
        wait_until(PATIENCE, "a plain consumer reads every record", || {
            while let Some(message) = consumer.poll(Duration::from_millis(20)) {
                let message = message.expect("the mock cluster delivers");
                let log = logs
                    .get_mut(&(message.topic().to_owned(), message.partition()))
                    .expect("an assigned partition");
                log.push(OracleRecord {
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis(),
                    value: message.payload().map(<[u8]>::to_vec),
                });
            }
            logs.iter().all(|(partition, log)| log.len() >= sent[partition])
        });
        for (partition, log) in &logs {
            assert_eq!(log.len(), sent[partition], "records of {partition:?}");
        }
        logs
    }

    /// What the oracle makes of the logs, with the machine's clock as the consumer's.
    ///
    /// # Panics
    /// As [`Self::read`], and for topics of other names than the built-in ones.
    pub fn judge(&self) -> BTreeMap<Partition, OracleShard> {
        let (rules, clock) = (rules(), wall_clock_micros());
        let judge = |((topic, partition), log): (Partition, Vec<OracleRecord>)| {
            let mut shard = OracleShard::new(contract_of(&topic), 0);
            for record in &log {
                shard.step(&rules, record, clock);
            }
            ((topic, partition), shard)
        };
        self.read().into_iter().map(judge).collect()
    }
}

fn contract_of(topic: &str) -> &'static str {
    match topic {
        "parcel.events" => "parcel",
        "finance.transactions" => "finance",
        other => panic!("no contract is known for {other}"),
    }
}

/// The machine's clock, in microseconds since the epoch.
///
/// # Panics
/// When it is before the epoch.
pub fn wall_clock_micros() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("it is after 1970").as_micros()).expect("it is before 290000")
}

/// The rules of the configurations of [`Site`]: CONTRACT's defaults with the built-in prefectures,
/// but for short values.
pub fn rules() -> OracleRules {
    let prefectures = Codebook::liaoning();
    OracleRules {
        prefectures: prefectures.prefectures().map(|p| p.code.to_string()).collect(),
        value_bytes_max: VALUE_BYTES_MAX,
        ..crate::logs::rules()
    }
}

/// One installation: a store, a configuration, a log file and an address of its own.
pub struct Site {
    /// Everything of it; gone when it is dropped.
    pub dir: TempDir,
    /// The port of `[http] listen`.
    pub port: u16,
}

impl Site {
    /// An installation that reads these topics of the built-in names, with short intervals.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn new(brokers: &str, group: &str, topics: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let site = Self { dir, port: free_port() };
        site.configure(&config(brokers, group, &site.store(), site.port, topics));
        site
    }

    /// Replaces the configuration.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).expect("a file can be written");
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The configuration's path.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("postroad.toml")
    }

    /// The path of the file with what every `postroad` of this installation said.
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("postroad.log")
    }

    /// What every `postroad` of this installation said.
    ///
    /// # Panics
    /// When nothing was started yet.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).expect("the log can be read")
    }

    /// Starts `postroad run`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self) -> Postroad {
        let config = self.config().display().to_string();
        Postroad::spawn(&["run", "-c", &config], self.port, &self.log_path())
    }

    /// Waits until the published ledger has every record of the logs, then compares all tables.
    ///
    /// # Panics
    /// When a table is not what the oracle says.
    #[track_caller]
    pub fn assert_published(&self, judged: &BTreeMap<Partition, OracleShard>) {
        assert_published(&self.store(), judged);
    }
}

/// A configuration with intervals as short as a test's patience.
pub fn config(brokers: &str, group: &str, store: &Path, port: u16, topics: &[&str]) -> String {
    let store = store.display();
    let topics: Vec<String> = topics
        .iter()
        .map(|topic| {
            let contract = contract_of(topic);
            format!("[[kafka.topics]]\nname = \"{topic}\"\ncontract = \"{contract}\"\n\n")
        })
        .collect();
    let topics = topics.concat();
    format!(
        r#"[kafka]
brokers = "{brokers}"
group = "{group}"
# The mock cluster cannot be asked for its topics' settings.
allow_compacted = true

[kafka.properties]
"session.timeout.ms" = 4000
"max.poll.interval.ms" = 6000
"heartbeat.interval.ms" = 300
"reconnect.backoff.max.ms" = 300
"topic.metadata.refresh.interval.ms" = 1000

{topics}[store]
url = "file://{store}"

[checkpoint]
interval_ms = 200

[publish]
interval_ms = 250

[rules]
value_bytes_max = {VALUE_BYTES_MAX}

[http]
listen = "127.0.0.1:{port}"
"#
    )
}
