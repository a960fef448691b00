//! The source through the real client against librdkafka's mock cluster.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka_sys as sys;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, timeout};

use super::*;

mod group;
mod reading;
mod reread;
mod settings;
mod storm;

const TOPIC: &str = "parcels";
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome = Result<(), Box<dyn Error>>;

/// A mock cluster with one topic, living in its producer.
struct Broker {
    producer: BaseProducer,
}

impl Broker {
    fn new(partitions: i32) -> Result<Self, Box<dyn Error>> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1");
        let broker = Self { producer: config.set("linger.ms", "1").create()? };
        broker.cluster(|cluster| cluster.create_topic(TOPIC, partitions, 1))?;
        broker.let_the_first_join_at_once();
        Ok(broker)
    }

    fn cluster<T>(
        &self,
        ask: impl FnOnce(&MockCluster<'_, DefaultProducerContext>) -> KafkaResult<T>,
    ) -> KafkaResult<T> {
        ask(&self.producer.client().mock_cluster().expect("the producer was given one"))
    }

    /// A new group waits three seconds for more members, which no test here is about.
    #[expect(unsafe_code, reason = "rdkafka has no call for it")]
    fn let_the_first_join_at_once(&self) {
        // SAFETY: the producer lives, and with it the cluster that its configuration made.
        unsafe {
            let cluster = sys::rd_kafka_handle_mock_cluster(self.producer.client().native_ptr());
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 10);
        }
    }

    /// Produces records whose values are their offsets, `[from, next)`.
    fn produce(&self, partition: i32, from: i64, next: i64) -> Outcome {
        self.send(partition, from, next)?;
        self.producer.flush(PATIENCE)?;
        Ok(())
    }

    fn send(&self, partition: i32, from: i64, next: i64) -> Outcome {
        for offset in from..next {
            let value = offset.to_string();
            let record = BaseRecord::<(), str>::to(TOPIC).partition(partition);
            let sent = self.producer.send(record.payload(&value));
            sent.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    fn settings(&self) -> KafkaSettings {
        let properties = [
            // A rebalance of the mock takes a second less than this.
            ("session.timeout.ms", "2000"),
            ("heartbeat.interval.ms", "100"),
            ("reconnect.backoff.max.ms", "200"),
        ];
        KafkaSettings {
            brokers: self.cluster(|cluster| Ok(cluster.bootstrap_servers())).expect("never fails"),
            group: "postroad-test".to_owned(),
            topics: vec![TOPIC.to_owned()],
            properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }
}

/// A source whose events and batches a test waits for.
struct Member {
    source: KafkaSource,
    events: UnboundedReceiver<SourceEvent>,
    batches: UnboundedReceiver<Batch>,
}

impl Member {
    fn join(broker: &Broker, budget: &ByteBudget) -> Result<Self, SourceError> {
        let (told, events) = mpsc::unbounded_channel();
        let (delivered, batches) = mpsc::unbounded_channel();
        let sink = move |batch: Batch| drop(delivered.send(batch));
        let source = KafkaSource::start(&broker.settings(), budget.clone(), sink, told)?;
        Ok(Self { source, events, batches })
    }

    async fn event(&mut self) -> Result<SourceEvent, Box<dyn Error>> {
        let event = timeout(PATIENCE, self.events.recv()).await?;
        event.ok_or_else(|| "the poll thread has ended".into())
    }

    async fn batch(&mut self) -> Result<Batch, Box<dyn Error>> {
        let batch = timeout(PATIENCE, self.batches.recv()).await?;
        batch.ok_or_else(|| "the poll thread has ended".into())
    }

    async fn granted(&mut self) -> Result<(TopicPartition, Generation), Box<dyn Error>> {
        loop {
            if let SourceEvent::Granted { tp, generation } = self.event().await? {
                return Ok((tp, generation));
            }
        }
    }

    fn assign(&self, tp: &TopicPartition, generation: Generation, offset: i64) {
        self.source.command(Command::Assign { tp: tp.clone(), generation, offset });
    }

    /// Reads the offsets up to an end of partition: what came, and the end.
    async fn read_to_end(&mut self) -> Result<(Vec<i64>, i64), Box<dyn Error>> {
        let mut offsets = Vec::new();
        loop {
            let batch = self.batch().await?;
            for (offset, timestamp_ms, value) in batch.iter() {
                assert_eq!(value, Some(offset.to_string().as_bytes()));
                assert!(timestamp_ms.is_some());
                offsets.push(offset);
            }
            assert_eq!(batch.delivered_total, offsets.len() as u64);
            if let Some(end) = batch.end {
                return Ok((offsets, end));
            }
        }
    }
}

/// The next offset after a batch that must begin at `next` and have no holes.
fn follow(next: i64, batch: &Batch) -> Result<i64, String> {
    let after = batch.iter().try_fold(next, |next, (offset, _, value)| {
        let written = value.and_then(|value| std::str::from_utf8(value).ok());
        if offset == next && written == Some(&*offset.to_string()) {
            Ok(next + 1)
        } else {
            Err(format!("{offset} came where {next} was expected"))
        }
    })?;
    match batch.end {
        Some(end) if end != after => Err(format!("the end came at {end}, not at {after}")),
        _ => Ok(after),
    }
}
