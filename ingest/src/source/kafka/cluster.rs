//! The real client behind the loop's traits: questions run where they may block.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postroad_schemas::units::NextOffset;
use rdkafka::error::RDKafkaErrorCode;

use super::{CloseTimedOut, Command, KafkaQueries, KafkaSource, QueryError, TopicPartition};
use crate::source::{Cluster, Consumer, LogRange, TopicId};

/// How long the brokers are waited for.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The brokers, to be asked from async tasks.
#[derive(Debug, Clone)]
pub struct KafkaCluster {
    queries: Arc<KafkaQueries>,
    tells_topic_ids: bool,
}

impl KafkaCluster {
    /// Asks by this client. `tells_topic_ids` is whether the brokers answer for a topic's id at all.
    pub fn new(queries: Arc<KafkaQueries>, tells_topic_ids: bool) -> Self {
        Self { queries, tells_topic_ids }
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        question: impl FnOnce(&KafkaQueries) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let queries = Arc::clone(&self.queries);
        let asked = tokio::task::spawn_blocking(move || question(&queries)).await;
        // The task can only have been ended with the runtime.
        asked.unwrap_or(Err(QueryError::Failed { what, code: RDKafkaErrorCode::Fail }))
    }
}

#[async_trait]
impl Cluster for KafkaCluster {
    async fn log_range(&self, tp: &TopicPartition) -> Result<LogRange, QueryError> {
        let tp = tp.clone();
        let question = move |queries: &KafkaQueries| queries.watermarks(&tp, QUERY_TIMEOUT);
        let (low, high) = self.ask("watermarks", question).await?;
        Ok(LogRange { low: NextOffset::new(low), high: NextOffset::new(high) })
    }

    async fn partition_counts(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, i32>, QueryError> {
        let topics = topics.to_vec();
        let question =
            move |queries: &KafkaQueries| queries.partition_counts(&topics, QUERY_TIMEOUT);
        self.ask("partition counts", question).await
    }

    async fn topic_id(&self, topic: &str) -> Result<Option<TopicId>, QueryError> {
        if !self.tells_topic_ids {
            return Ok(None);
        }
        let topic = topic.to_owned();
        let question = move |queries: &KafkaQueries| queries.topic_id(&topic, QUERY_TIMEOUT);
        self.ask("a topic's id", question).await
    }
}

#[async_trait]
impl Consumer for KafkaSource {
    fn command(&self, command: Command) {
        Self::command(self, command);
    }

    fn log_ends(&self) -> HashMap<TopicPartition, i64> {
        self.watermarks().snapshot().into_iter().map(|(tp, (_, end))| (tp, end)).collect()
    }

    async fn close(self: Box<Self>, deadline: Duration) -> Result<(), CloseTimedOut> {
        let closed = tokio::task::spawn_blocking(move || Self::close(*self, deadline)).await;
        closed.unwrap_or(Err(CloseTimedOut { deadline }))
    }
}
