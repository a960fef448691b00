//! The brokers' answers: late, wrong by a moment, or none.

use std::collections::BTreeMap;

use async_trait::async_trait;
use postroad_ingest::source::kafka::{QueryError, TopicPartition};
use postroad_ingest::source::{Cluster, LogRange, TopicId};
use postroad_schemas::units::NextOffset;
use rdkafka::error::RDKafkaErrorCode;

use super::dice::Dice;
use super::journal::Journal;
use super::life::Life;
use super::log::Log;
use super::odds::{ClusterOdds, Knob};
use super::time::pass;

/// The brokers, asked by one process.
pub(super) struct SimCluster {
    pub(super) life: Life,
    pub(super) log: Log,
    pub(super) dice: Dice,
    pub(super) odds: Knob<ClusterOdds>,
    pub(super) journal: Journal,
}

impl SimCluster {
    /// Asks: the answer is true at some moment between the question and its arrival.
    async fn ask<T>(
        &self,
        what: &'static str,
        answer: impl FnOnce(&Log) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        self.life.runs().await;
        let odds = self.odds.get();
        pass(self.dice.millis(0..15)).await;
        let answer = if self.dice.per_mille(odds.fail) {
            Err(QueryError::Failed { what, code: RDKafkaErrorCode::OperationTimedOut })
        } else {
            answer(&self.log)
        };
        if self.dice.per_mille(odds.late) {
            pass(self.dice.millis(1..8_000)).await;
        }
        self.life.runs().await;
        answer
    }

    fn told(&self, answer: std::fmt::Arguments<'_>) {
        self.journal.step(format_args!("{}: the brokers say {answer}", self.life));
    }
}

#[async_trait]
impl Cluster for SimCluster {
    async fn log_range(&self, tp: &TopicPartition) -> Result<LogRange, QueryError> {
        let range = |log: &Log| log.range(tp).ok_or_else(|| QueryError::Unknown(tp.to_string()));
        let range = self.ask("watermarks", range).await;
        self.told(format_args!("{tp} holds {range:?}"));
        let (low, high) = range?;
        Ok(LogRange { low: NextOffset::new(low), high: NextOffset::new(high) })
    }

    async fn partition_counts(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, i32>, QueryError> {
        let mut counts = self.ask("partition counts", |log| Ok(log.counts())).await;
        if let Ok(counts) = &mut counts {
            counts.retain(|topic, _| topics.contains(topic));
        }
        self.told(format_args!("there are {counts:?}"));
        counts
    }

    async fn topic_id(&self, topic: &str) -> Result<Option<TopicId>, QueryError> {
        let id = |log: &Log| log.topic_id(topic).ok_or_else(|| QueryError::Unknown(topic.into()));
        let id = self.ask("a topic's id", id).await?;
        self.told(format_args!("{topic} is {id}"));
        Ok(TopicId::new(id))
    }
}
