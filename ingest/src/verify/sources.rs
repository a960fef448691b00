//! Where each shard can be read again: the partitions that Kafka has, and the files that backfills
//! have noted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::path::Path;
use postroad_schemas::units::NextOffset;

use super::compare::{Difference, Differences};
use super::log::{Log, Partition};
use super::store_failure;
use crate::backfill::inputs::Input;
use crate::checkpoint::{ShardId, Source};
use crate::config::Config;
use crate::error::{Exit, Failure, Kind, chain};
use crate::run::prepare::{MOCK_CLUSTER, kafka_settings};
use crate::source::kafka::{
    KafkaCluster, KafkaQueries, LogReader, QUERY_TIMEOUT, QueryError, TopicPartition,
};
use crate::source::{Cluster, LogRange};
use crate::store::{Owner, Store};

/// Everything that may be read again.
pub(super) struct Sources {
    /// Absent where no `run` has ever used the store: it was filled from files.
    kafka: Option<Kafka>,
    inputs: Vec<Input>,
}

struct Kafka {
    cluster: KafkaCluster,
    reader: Arc<LogReader>,
    /// The number of partitions of each configured topic.
    partitions: BTreeMap<String, i32>,
}

impl Sources {
    /// Connects, and reads which files there are. A note of one that is damaged is a difference.
    pub(super) async fn open(
        config: &Config,
        store: &Store,
        differences: &mut Vec<Difference>,
    ) -> Result<Self, Failure> {
        let owner = store.owner().await.map_err(|error| store_failure(&error))?;
        let kafka = match owner {
            Some(owner) => Some(Kafka::connect(config, owner).await?),
            None => None,
        };
        let mut inputs = Vec::new();
        let mut of_inputs = Differences::at("inputs");
        let keys =
            store.list(&Path::from("inputs")).await.map_err(|error| store_failure(&error))?;
        for key in keys {
            match store.read_json::<Input>(&key).await {
                Ok(input) => inputs.push(input),
                Err(error) if error.kind() == Kind::Data => {
                    of_inputs.check(key.as_ref(), "object", format!("damaged: {error}"), "whole");
                }
                Err(error) => return Err(store_failure(&error)),
            }
        }
        differences.extend(of_inputs.into_vec());
        Ok(Self { kafka, inputs })
    }

    /// The shards of the partitions that Kafka has.
    pub(super) fn partitions(&self) -> BTreeSet<ShardId> {
        let topics = self.kafka.iter().flat_map(|kafka| &kafka.partitions);
        topics
            .flat_map(|(topic, count)| (0..*count).map(|number| ShardId::kafka(&**topic, number)))
            .collect()
    }

    /// The log of a shard, or why there is none.
    pub(super) async fn log(&self, id: &ShardId) -> Result<Result<Log, String>, Failure> {
        let kafka = match (&self.kafka, id.source) {
            (Some(kafka), Source::Kafka) => kafka.partition(id).await?,
            _ => None,
        };
        let (files, files_hold) = self.files(id);
        let log = Log { id: id.clone(), files, files_hold, kafka };
        if log.low().is_some() {
            return Ok(Ok(log));
        }
        Ok(Err(match id.source {
            Source::File => "its file is not where it was, or was read by an older program",
            Source::Kafka if self.kafka.is_none() => "its files are not where they were",
            Source::Kafka => "Kafka does not have the partition (any more)",
        }
        .to_owned()))
    }

    /// The files of a shard that are still there, in the order of their offsets, and the range that
    /// they span.
    fn files(&self, id: &ShardId) -> (Vec<std::path::PathBuf>, Option<(NextOffset, NextOffset)>) {
        let mut holding: Vec<(i64, i64, _)> = self
            .inputs
            .iter()
            .filter(|input| input.path.is_file())
            .filter_map(|input| input.range(id).map(|(from, next)| (from, next, &input.path)))
            .collect();
        holding.sort();
        let first = holding.first().map(|(from, ..)| NextOffset::new(*from));
        let next = holding.iter().map(|(_, next, _)| NextOffset::new(*next)).max();
        let files = holding.into_iter().map(|(.., path)| path.clone()).collect();
        (files, first.zip(next))
    }
}

impl Kafka {
    async fn connect(config: &Config, owner: Owner) -> Result<Self, Failure> {
        let settings = kafka_settings(config);
        let refused = |error| Failure::from_error(Exit::Config, &error);
        let unanswered = |error: &QueryError| {
            let message = format!(
                "{}: {}; the log cannot be read again without a broker",
                config.kafka.brokers,
                chain(error)
            );
            Failure::new(Exit::Unavailable, message)
        };
        let queries = Arc::new(KafkaQueries::new(&settings).map_err(refused)?);
        let reader = Arc::new(LogReader::new(&settings).map_err(refused)?);
        let asking = Arc::clone(&queries);
        let asked = tokio::task::spawn_blocking(move || asking.cluster_id(QUERY_TIMEOUT)).await;
        let cluster_id = asked
            .map_err(|error| Failure::new(Exit::Software, error.to_string()))?
            .map_err(|error| unanswered(&error))?;
        let asking = Owner { cluster_id, group: config.kafka.group.clone() };
        owner.check(&asking).map_err(|error| store_failure(&error))?;
        let cluster = KafkaCluster::new(queries, !owner.cluster_id.starts_with(MOCK_CLUSTER));
        let partitions = cluster.partition_counts(&settings.topics).await;
        let partitions = partitions.map_err(|error| unanswered(&error))?;
        Ok(Self { cluster, reader, partitions })
    }

    /// The partition of a shard, if Kafka has it: the present life of its topic.
    async fn partition(&self, id: &ShardId) -> Result<Option<Partition>, Failure> {
        let tp = TopicPartition::new(Arc::clone(&id.topic), id.partition);
        let asked = async {
            let topic_id = self.cluster.topic_id(&id.topic).await?;
            let LogRange { low, high } = self.cluster.log_range(&tp).await?;
            Ok(Partition { reader: Arc::clone(&self.reader), low, high, topic_id })
        };
        match asked.await {
            Ok(partition) => Ok(Some(partition)),
            Err(QueryError::Unknown(_)) => Ok(None),
            Err(error) => Err(Failure::from_error(Exit::Unavailable, &error)),
        }
    }
}
