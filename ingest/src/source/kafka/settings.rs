//! What the consumer is told at its start, and questions about the cluster that claims and checks
//! ask through a client of their own, so that they never wait for the poll thread.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::properties::without_value;
use super::{SourceError, TopicPartition, context, topic_id};
use crate::source::TopicId;

/// What no user may change: the accounting of records rests on each of them.
const FIXED: [(&str, &str); 10] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "false"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("group.protocol", "classic"),
    ("enable.partition.eof", "true"),
    // The only word from librdkafka that brokers are back.
    ("statistics.interval.ms", "1000"),
];

/// What has a setting of its own, under all of librdkafka's names for it, and what undoes FIXED.
const ELSEWHERE: [(&str, &str); 6] = [
    ("bootstrap.servers", "use the setting for the brokers instead"),
    ("metadata.broker.list", "use the setting for the brokers instead"),
    ("group.id", "use the setting for the group instead"),
    ("auto.commit.enable", "remove it: offsets live with the state"),
    ("offset.store.method", "remove it: offsets live with the state"),
    ("test.mock.num.brokers", "remove it: it replaces the brokers with a mock"),
];

const REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// What users may change.
const DEFAULTS: [(&str, &str); 4] = [
    ("client.id", "postroad"),
    // Partitions that were added are seen this soon.
    (REFRESH, "10000"),
    // How long a partition rests after its queue was found full. librdkafka's second of rest leaves
    // the workers idle, since they drain a full queue in a tenth of that.
    ("fetch.queue.backoff.ms", "20"),
    ("socket.keepalive.enable", "true"),
];

/// How the consumer joins its group.
#[derive(Clone)]
pub struct KafkaSettings {
    /// Host and port of some brokers, separated by commas.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// The topics to read; the publisher is elected by the first.
    pub topics: Vec<String>,
    /// librdkafka's own properties, such as those of TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

/// Names the properties but not their values, some of which are secret.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("properties", &keys)
            .finish()
    }
}

/// A property that is refused, and what to do about it. Its value may be secret and is not named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyFault {
    /// The property.
    pub key: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for PropertyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.fix)
    }
}

/// All properties that are refused, in the order of their names.
pub fn forbidden_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyFault> {
    let fault = |(key, value): (&String, &String)| {
        let fixed = FIXED.iter().find(|(name, _)| name == key);
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| name == key);
        let fix = match (fixed, elsewhere) {
            (Some((_, needed)), _) => format!("remove it: Postroad needs {needed} and sets it"),
            (_, Some((_, fix))) => (*fix).to_owned(),
            _ if key == REFRESH && !value.parse().is_ok_and(|ms: i64| ms > 0) => {
                "set it above 0: without it new partitions are never seen".to_owned()
            }
            _ => return None,
        };
        let key = key.clone();
        Some(PropertyFault { key, fix })
    };
    properties.iter().filter_map(fault).collect()
}

impl KafkaSettings {
    /// The whole configuration of the group's consumer.
    pub(super) fn consumer_config(&self) -> Result<ClientConfig, Vec<PropertyFault>> {
        let faults = forbidden_properties(&self.properties);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut config = self.client_config();
        config.set("group.id", &self.group);
        for (key, value) in DEFAULTS {
            if !self.properties.contains_key(key) {
                config.set(key, value);
            }
        }
        for (key, value) in FIXED {
            config.set(key, value);
        }
        Ok(config)
    }

    /// A consumer without a group, which joins nothing and commits nothing.
    pub(super) fn lone_consumer(&self) -> Result<BaseConsumer<QueryContext>, SourceError> {
        let mut config = self.consumer_config().map_err(SourceError::Properties)?;
        // A group would need polling; without one, log lines wait until the next question.
        for key in ["group.id", "statistics.interval.ms"] {
            config.remove(key);
        }
        // A fetch that waits at the end of one partition would hold up the next one.
        config.set("fetch.wait.max.ms", "10");
        BaseConsumer::from_config_and_context(&config, QueryContext).map_err(creation_error)
    }

    /// Tries whether a client can be made that knows no broker: properties may be at odds with each other,
    /// or name files that cannot be read.
    ///
    /// # Errors
    /// Where it cannot.
    pub fn try_client(&self) -> Result<(), SourceError> {
        let nobody = Self { brokers: String::new(), ..self.clone() };
        nobody.lone_consumer().map(drop)
    }

    /// What every client needs to reach the brokers.
    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        if !self.brokers.is_empty() {
            config.set("bootstrap.servers", &self.brokers);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

pub(super) fn creation_error(error: KafkaError) -> SourceError {
    match error {
        KafkaError::ClientConfig(_, reason, key, value) => {
            SourceError::Property { key, reason: without_value(&reason, &value) }
        }
        error => SourceError::Create(error),
    }
}

/// A question to the cluster that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The topic or partition does not exist.
    #[error("{0} does not exist")]
    Unknown(String),
    /// These brokers cannot answer such a question.
    #[error("the brokers do not support {0}")]
    Unsupported(&'static str),
    /// No answer, or an error in its place.
    #[error("asking Kafka for {what}: {code}")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// librdkafka's code.
        code: RDKafkaErrorCode,
    },
}

impl QueryError {
    fn new(what: &'static str, about: impl fmt::Display, code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => Self::Unknown(about.to_string()),
            RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::UnsupportedVersion
            | RDKafkaErrorCode::NotImplemented => Self::Unsupported(what),
            code => Self::Failed { what, code },
        }
    }
}

fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

/// The context of a consumer without a group: what librdkafka says goes to the log.
pub(super) struct QueryContext;

impl ClientContext for QueryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the client for queries reports an error");
    }
}

impl ConsumerContext for QueryContext {}

/// Questions to the cluster. Every one of them blocks: for blocking tasks only.
pub struct KafkaQueries {
    consumer: BaseConsumer<QueryContext>,
    admin: ClientConfig,
}

impl KafkaQueries {
    /// A client without a group. Whether a broker answers is not known yet.
    ///
    /// # Errors
    /// If a property is refused or the client cannot be created.
    pub fn new(settings: &KafkaSettings) -> Result<Self, SourceError> {
        Ok(Self { consumer: settings.lone_consumer()?, admin: settings.client_config() })
    }

    /// The offsets `[low, high)` that the partition can deliver now; `high` is the last stable
    /// offset, before which no transaction is open.
    ///
    /// # Errors
    /// If the partition does not exist or nobody answers in time.
    pub fn watermarks(
        &self,
        tp: &TopicPartition,
        timeout: Duration,
    ) -> Result<(i64, i64), QueryError> {
        let answer = self.consumer.fetch_watermarks(&tp.topic, tp.partition, timeout);
        self.drain();
        answer.map_err(|error| QueryError::new("watermarks", tp, code_of(&error)))
    }

    /// How many partitions each topic has. Topics that do not exist are left out.
    ///
    /// # Errors
    /// If nobody answers in time, counted over all topics, or a topic may not be described.
    pub fn partition_counts(
        &self,
        topics: &[String],
        timeout: Duration,
    ) -> Result<BTreeMap<String, i32>, QueryError> {
        const WHAT: &str = "partition counts";
        let deadline = Instant::now() + timeout;
        let mut counts = BTreeMap::new();
        for topic in topics {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.consumer.fetch_metadata(Some(topic), left);
            self.drain();
            let answer = answer.map_err(|error| QueryError::new(WHAT, topic, code_of(&error)))?;
            for found in answer.topics().iter().filter(|found| found.name() == topic) {
                match found.error().map(RDKafkaErrorCode::from) {
                    None => {
                        let count = i32::try_from(found.partitions().len());
                        counts.insert(topic.clone(), count.unwrap_or(i32::MAX));
                    }
                    Some(code) => match QueryError::new(WHAT, topic, code) {
                        QueryError::Unknown(_) => {}
                        error => return Err(error),
                    },
                }
            }
        }
        Ok(counts)
    }

    /// The identity of a topic; `None` where the brokers are too old to give it one.
    ///
    /// # Errors
    /// If the topic does not exist or nobody answers in time.
    pub fn topic_id(&self, topic: &str, timeout: Duration) -> Result<Option<TopicId>, QueryError> {
        let answer = topic_id::describe(self.consumer.client(), topic, timeout);
        self.drain();
        answer.map_err(|code| QueryError::new("a topic's id", topic, code))
    }

    /// The cluster's id.
    ///
    /// # Errors
    /// If nobody answers in time.
    pub fn cluster_id(&self, timeout: Duration) -> Result<String, QueryError> {
        let answer = self.consumer.client().fetch_cluster_id(timeout);
        self.drain();
        let code = RDKafkaErrorCode::OperationTimedOut;
        answer.ok_or_else(|| QueryError::new("the cluster's id", "the cluster", code))
    }

    /// The topic's configuration, such as `cleanup.policy`; values that brokers hide are left out.
    ///
    /// # Errors
    /// If the topic does not exist, nobody answers in time, or the brokers cannot describe topics.
    pub fn topic_configs(
        &self,
        topic: &str,
        timeout: Duration,
    ) -> Result<BTreeMap<String, String>, QueryError> {
        const WHAT: &str = "a topic's configuration";
        let failed = |code| QueryError::new(WHAT, topic, code);
        // librdkafka calls this client a producer, and warns about properties that producers lack.
        let mut config = self.admin.clone();
        config.set_log_level(RDKafkaLogLevel::Error);
        let client: AdminClient<DefaultClientContext> =
            config.create().map_err(|error| failed(code_of(&error)))?;
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let resources = [ResourceSpecifier::Topic(topic)];
        let answer = block_on(client.describe_configs(&resources, &options), timeout);
        let answer = answer.ok_or_else(|| failed(RDKafkaErrorCode::OperationTimedOut))?;
        let resources = answer.map_err(|error| failed(code_of(&error)))?;
        let mut configs = BTreeMap::new();
        for resource in resources {
            for entry in resource.map_err(failed)?.entries {
                configs.extend(entry.value.map(|value| (entry.name, value)));
            }
        }
        Ok(configs)
    }

    /// Serves the log lines and errors that have gathered, which nobody else does.
    fn drain(&self) {
        for _ in 0..1_000 {
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, "the client for queries reports an error");
            }
        }
    }
}

impl fmt::Debug for KafkaQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQueries").finish_non_exhaustive()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, whose work another thread does; nothing after the timeout.
fn block_on<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    let deadline = Instant::now() + timeout;
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}
