//! A real Apache Kafka for the suites: `KRaft`, on 127.0.0.1, in a directory that goes away with
//! it.
//!
//! The jars come from Maven Central by `tests/kafka/resolve.sh`; Java 17 and Maven must be present.
//! Everything panics on failure, since a suite can do nothing else about a broker that does not
//! work.

mod admin;
mod faults;
mod node;

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

use self::admin::{block_on, expect_done, options};
use self::node::{Node, Place};
use crate::process::Signal;
use crate::wait::{holds_within, wait_until};

/// How long a cluster may take to come up: seconds on an idle machine, more beside a build.
const START: Duration = Duration::from_secs(240);

/// How long one request, or a topic's appearance, may take.
const REQUEST: Duration = Duration::from_secs(30);

/// How long the JVMs may take to leave when a cluster is dropped; its data is lost anyway.
const LEAVE: Duration = Duration::from_secs(3);

/// How long one metadata request may take while a cluster comes up, and one poll of a reader.
const PROBE: Duration = Duration::from_millis(500);

/// A record as it is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset within the partition.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since the epoch, if it carries one.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; none is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A running cluster. Drop ends its JVMs and removes their data.
pub struct Cluster {
    // In this order: the JVMs end before their directory goes.
    nodes: Vec<Node>,
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    /// Asks where logs end, as a consumer sees it.
    reader: BaseConsumer,
    dir: TempDir,
}

impl Cluster {
    /// Starts one node that is broker and controller, and waits until it serves.
    ///
    /// # Panics
    /// When it does not come up; the message ends with the broker's log.
    pub fn start() -> Self {
        Self::start_with(1, &[])
    }

    /// Starts `brokers` nodes, each broker and controller, with `settings` over those of the
    /// harness.
    ///
    /// # Panics
    /// When they do not come up; the message ends with a broker's log.
    pub fn start_with(brokers: usize, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("postroad-kafka-")
            .tempdir()
            .expect("the temporary directory is writable");
        let places: Vec<Place> = (1..=brokers).map(Place::take).collect();
        let bootstrap: Vec<String> =
            places.iter().map(|place| format!("127.0.0.1:{}", place.broker_port)).collect();
        let bootstrap = bootstrap.join(",");
        // 22 characters of base64, as Kafka's own ids are; no two clusters share one.
        let number = u64::from(std::process::id()) * 100_000 + u64::from(places[0].broker_port);
        let cluster_id = format!("postroad{number:014}");
        let nodes = places
            .iter()
            .map(|place| Node::format(*place, &places, dir.path(), &cluster_id, settings))
            .collect();
        let admin =
            base_config(&bootstrap).create().expect("the admin client's settings are valid");
        let reader = base_config(&bootstrap)
            .set("isolation.level", "read_committed")
            .create()
            .expect("the reader's settings are valid");
        let mut cluster = Self { nodes, bootstrap, admin, reader, dir };
        cluster.start_broker();
        cluster
    }

    /// `host:port` of every broker, comma-separated; stays the same over stops and starts.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Settings of a client of this cluster that notices soon when a stopped broker is back.
    pub fn client_config(&self) -> ClientConfig {
        base_config(&self.bootstrap)
    }

    /// Creates a topic and waits until every partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic with configuration overrides and waits until every partition has a leader.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn create_topic_with(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let replicas = i32::try_from(self.nodes.len().min(3)).expect("at most 3");
        self.create(name, partitions, TopicReplication::Fixed(replicas), config);
    }

    /// Creates a topic of one partition with a replica on each of these nodes, the first of which
    /// leads, and waits until it does.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn create_topic_on(&self, name: &str, nodes: &[usize], config: &[(&str, &str)]) {
        let replicas: Vec<i32> = nodes.iter().map(|node| broker_id(*node)).collect();
        self.create(name, 1, TopicReplication::Variable(&[&replicas]), config);
    }

    fn create(
        &self,
        name: &str,
        partitions: i32,
        replication: TopicReplication<'_>,
        config: &[(&str, &str)],
    ) {
        let mut topic = NewTopic::new(name, partitions, replication);
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        expect_done("create", block_on(self.admin.create_topics([&topic], &options())));
        self.wait_for_partitions(name, partitions);
    }

    /// Raises the number of partitions to `total` and waits until every one has a leader.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn add_partitions(&self, name: &str, total: i32) {
        let count = usize::try_from(total).expect("a number of partitions is not negative");
        let more = NewPartitions::new(name, count);
        expect_done("grow", block_on(self.admin.create_partitions([&more], &options())));
        self.wait_for_partitions(name, total);
    }

    /// Deletes a topic and waits until the cluster does not know it any more.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn delete_topic(&self, name: &str) {
        expect_done("delete", block_on(self.admin.delete_topics(&[name], &options())));
        wait_until(REQUEST, "a deleted topic is unknown", || {
            self.topic_error(name) == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
        });
    }

    /// Deletes the records of a partition in `[low, before)`, as retention would.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut ends = TopicPartitionList::new();
        ends.add_partition_offset(topic, partition, Offset::Offset(before))
            .expect("an offset is a valid end");
        let done =
            block_on(self.admin.delete_records(&ends, &options())).expect("records can be deleted");
        for element in done.elements() {
            element.error().expect("records can be deleted");
        }
    }

    /// Sends each line as one value, by Kafka's own console producer.
    ///
    /// # Panics
    /// When a line holds a line break, or a record could not be sent.
    pub fn console_produce(&self, topic: &str, lines: &[String]) {
        self.run_console_producer(topic, &[], lines.iter().map(String::as_str));
    }

    /// Sends each pair as key and value, by Kafka's own console producer.
    ///
    /// # Panics
    /// When a key holds a tab, anything holds a line break, or a record could not be sent.
    pub fn console_produce_keyed(&self, topic: &str, pairs: &[(String, String)]) {
        assert!(pairs.iter().all(|(key, _)| !key.contains('\t')), "a tab ends a key");
        let lines: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{key}\t{value}")).collect();
        let reader =
            ["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"];
        self.run_console_producer(topic, &reader, lines.iter().map(String::as_str));
    }

    /// `(partition, low, high)` of every partition: the first offset in the log, and the one before
    /// which every transaction has ended, which is where the next record goes unless one is open.
    ///
    /// # Panics
    /// When the cluster does not answer.
    pub fn end_offsets(&self, topic: &str) -> Vec<(i32, i64, i64)> {
        let client = self.reader.client();
        partitions(client, topic)
            .into_iter()
            .map(|partition| {
                let mut answer = Err(KafkaError::Canceled);
                // A leader that was elected just now may not know it yet.
                let _ = holds_within(REQUEST, || {
                    answer = client.fetch_watermarks(topic, partition, REQUEST);
                    answer.is_ok()
                });
                let (low, high) = answer.unwrap_or_else(|error| {
                    panic!("no watermarks of {topic}/{partition}: {error}")
                });
                (partition, low, high)
            })
            .collect()
    }

    /// Every committed record of a topic by partition and offset, up to the ends at the time of the
    /// call or later: what an oracle reads, by a plain consumer with a manual assignment and no
    /// group.
    ///
    /// # Panics
    /// When the cluster does not answer.
    pub fn dump(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer = base_config(&self.bootstrap)
            .set("group.id", "postroad-harness")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // The end of a partition is known when a fetch comes back empty.
            .set("fetch.wait.max.ms", "10")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .create()
            .expect("the consumer's settings are valid");
        // A client that knows the leaders looks up the beginnings at once; another one tries again
        // after half a second.
        let mut open = partitions(consumer.client(), topic);
        let mut assignment = TopicPartitionList::new();
        for partition in &open {
            assignment
                .add_partition_offset(topic, *partition, Offset::Beginning)
                .expect("the beginning is a valid offset");
        }
        consumer.assign(&assignment).expect("partitions that exist can be assigned");
        let mut records = Vec::new();
        let mut silent_since = Instant::now();
        while !open.is_empty() {
            assert!(silent_since.elapsed() < REQUEST, "no records and no ends of {topic}/{open:?}");
            match consumer.poll(PROBE) {
                Some(Ok(message)) => {
                    silent_since = Instant::now();
                    records.push(Record {
                        partition: message.partition(),
                        offset: message.offset(),
                        timestamp_ms: message.timestamp().to_millis(),
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.retain(|other| *other != partition);
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => panic!("cannot read {topic}: {error}"),
                None => {}
            }
        }
        records.sort_unstable_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Stops every node cleanly; data and ports stay.
    pub fn stop_broker(&mut self) {
        self.nodes.iter_mut().for_each(Node::stop);
    }

    /// Ends every node by SIGKILL, as the out-of-memory killer would; data and ports stay.
    pub fn kill_broker(&mut self) {
        self.signal_broker(Signal::Kill);
    }

    /// Sends a signal to every node: `Stop` and `Cont` make an outage in which connections stay
    /// open.
    pub fn signal_broker(&mut self, signal: Signal) {
        self.nodes.iter_mut().for_each(|node| node.signal(signal));
    }

    /// Starts every node that does not run, or lets it go on where it is frozen, and waits until all
    /// serve, every partition has a leader, and every replica is in sync.
    ///
    /// # Panics
    /// When they do not come up; the message ends with a broker's log.
    pub fn start_broker(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
        let Self { nodes, admin, .. } = self;
        let ready = holds_within(START, || {
            nodes.iter_mut().for_each(Node::assert_alive);
            let Ok(metadata) = admin.inner().fetch_metadata(None, PROBE) else {
                return false;
            };
            metadata.brokers().len() == nodes.len()
                && metadata.topics().iter().all(|topic| serves(admin.inner(), topic))
        });
        assert!(ready, "the cluster is not ready after {START:?}; {}", nodes[0].log_tail());
    }

    fn run_console_producer<'a>(
        &self,
        topic: &str,
        more: &[&str],
        lines: impl Iterator<Item = &'a str>,
    ) {
        let mut input = Vec::new();
        for line in lines {
            assert!(!line.contains(['\n', '\r']), "the console producer reads one record a line");
            input.extend_from_slice(line.as_bytes());
            input.push(b'\n');
        }
        let mut args = vec!["--bootstrap-server", &self.bootstrap, "--topic", topic];
        args.extend_from_slice(more);
        node::run_tool(self.dir.path(), "org.apache.kafka.tools.ConsoleProducer", &args, &input);
    }

    fn wait_for_partitions(&self, topic: &str, count: i32) {
        wait_until(REQUEST, "every partition of a topic has a leader", || {
            let Ok(metadata) = self.admin.inner().fetch_metadata(Some(topic), REQUEST) else {
                return false;
            };
            let topic = &metadata.topics()[0];
            i32::try_from(topic.partitions().len()) == Ok(count)
                && serves(self.admin.inner(), topic)
        });
    }

    fn topic_error(&self, topic: &str) -> Option<RDKafkaErrorCode> {
        let metadata = self.admin.inner().fetch_metadata(Some(topic), REQUEST).ok()?;
        metadata.topics()[0].error().map(RDKafkaErrorCode::from)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once: the last one of several would wait for a quorum that is gone.
        self.signal_broker(Signal::Term);
        let deadline = Instant::now() + LEAVE;
        self.nodes.iter_mut().for_each(|node| node.end_by(deadline));
    }
}

fn base_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        // A frozen broker is given up after this, and another is asked.
        .set("socket.timeout.ms", "3000");
    config
}

/// Whether every partition of a topic has all its replicas, and a leader that knows so: metadata is
/// ahead of it.
fn serves<C: ClientContext>(client: &Client<C>, topic: &MetadataTopic) -> bool {
    topic.partitions().iter().all(|partition| {
        partition.leader() >= 0
            && partition.isr().len() == partition.replicas().len()
            && client.fetch_watermarks(topic.name(), partition.id(), PROBE).is_ok()
    })
}

/// The id by which brokers know a node; nodes count from 0.
fn broker_id(node: usize) -> i32 {
    i32::try_from(node + 1).expect("a cluster is small")
}

/// The partitions of a topic, in order.
#[track_caller]
fn partitions<C: ClientContext>(client: &Client<C>, topic: &str) -> Vec<i32> {
    let metadata = client
        .fetch_metadata(Some(topic), REQUEST)
        .unwrap_or_else(|error| panic!("no metadata of {topic}: {error}"));
    let mut partitions: Vec<i32> =
        metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect();
    assert!(!partitions.is_empty(), "there is no topic {topic}");
    partitions.sort_unstable();
    partitions
}

/// Errors that librdkafka reports and mends by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
