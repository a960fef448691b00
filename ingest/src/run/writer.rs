//! Writing the checkpoints of a shard: segments, the brokers' confirmation, the object, and cleaning up.

use postroad_aggregate::seal::Segment;
use prometheus::Histogram;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::checkpoint::chain::{Chain, CommitError, Pending, Tip};
use crate::checkpoint::{ShardId, segments};
use crate::error::chain;
use crate::failpoint::Point;
use crate::shards::lifecycle::{Event, Frozen};
use crate::source::identity::{Confirmation, TopicIdentities};
use crate::store::Store;

/// Old checkpoints of a shard are deleted after every so many new ones.
const COLLECT_EVERY: u64 = 8;

/// Makes the writers of an instance's shards.
#[derive(Clone)]
pub(super) struct Writers {
    pub(super) store: Store,
    pub(super) identities: TopicIdentities,
    /// How many checkpoints of a shard are kept.
    pub(super) keep: usize,
    pub(super) duration: Histogram,
}

impl Writers {
    /// The writer of a shard.
    pub(super) fn of(&self, shard: ShardId) -> Writer {
        Writer { chain: self.store.chain(&shard), shard, shared: self.clone() }
    }
}

/// Writes the checkpoints of one shard.
pub(super) struct Writer {
    shard: ShardId,
    chain: Chain,
    shared: Writers,
}

impl Writer {
    /// Writes a frozen state: its segments, which it lists; then, once the brokers have said that its
    /// topic still is the one that was read, the checkpoint.
    pub(super) async fn commit(self, tip: Tip, frozen: Frozen) -> Event {
        let frozen_by = Instant::now();
        let timer = self.shared.duration.start_timer();
        if let Err(error) = segments::put(&self.shared.store, &self.shard, &frozen.segments).await {
            let error = chain(&error);
            return Event::SegmentsFailed { tip, frozen, error };
        }
        if !frozen.segments.is_empty() {
            Point::AfterSegments.pass();
        }
        if let Some(id) = frozen.topic_id {
            match self.shared.identities.confirm(&self.shard.topic, id, frozen_by).await {
                Confirmation::Same => {}
                Confirmation::Another => return Event::Recreated,
                Confirmation::Unknown(error) => {
                    debug!(shard = %self.shard, %error, "not confirmed by the brokers");
                    return Event::Unconfirmed(tip);
                }
            }
        }
        Point::BeforeCheckpoint.pass();
        let outcome = self.chain.commit(tip, frozen.payload).await;
        Point::AfterCheckpoint.pass();
        timer.observe_duration();
        if let Ok(tip) = &outcome {
            self.collect(tip, &frozen.listed).await;
        }
        told(outcome)
    }

    /// Goes on with a put that was left unresolved.
    pub(super) async fn resume(self, pending: Pending) -> Event {
        told(self.chain.resume(pending).await)
    }

    /// Deletes old checkpoints, and the segments that only those listed, now and then.
    pub(super) async fn collect(&self, tip: &Tip, listed: &[Segment]) {
        if !tip.seq().get().is_multiple_of(COLLECT_EVERY) {
            return;
        }
        Point::BeforeCollection.pass();
        if let Some(error) = self.chain.collect(tip, self.shared.keep).await.stopped {
            warn!(error = %chain(&error), "old checkpoints could not be deleted; trying again later");
        } else if let Err(error) =
            segments::collect(&self.shared.store, &self.shard, tip, listed).await
        {
            warn!(error = %chain(&error), "old segments could not be deleted; trying again later");
        }
    }
}

fn told(outcome: Result<Tip, CommitError>) -> Event {
    match outcome {
        Ok(tip) => Event::Committed(tip),
        Err(CommitError::Unresolved { pending, source, .. }) => {
            Event::Unresolved { pending, error: chain(&source) }
        }
        Err(error) => Event::Fenced(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use object_store::memory::InMemory;
    use postroad_schemas::units::NextOffset;

    use super::*;
    use crate::metrics::Metrics;
    use crate::source::kafka::{QueryError, TopicPartition};
    use crate::source::{Cluster, LogRange, TopicId};

    /// Brokers that know one topic, by this id.
    struct Brokers(TopicId);

    #[async_trait]
    impl Cluster for Brokers {
        async fn log_range(&self, tp: &TopicPartition) -> Result<LogRange, QueryError> {
            Err(QueryError::Unknown(tp.to_string()))
        }

        async fn partition_counts(
            &self,
            topics: &[String],
        ) -> Result<BTreeMap<String, i32>, QueryError> {
            Err(QueryError::Unknown(topics.join(", ")))
        }

        async fn topic_id(&self, _: &str) -> Result<Option<TopicId>, QueryError> {
            Ok(Some(self.0))
        }
    }

    #[tokio::test]
    async fn what_may_be_of_another_topic_is_not_put() {
        let id = |number| TopicId::new(number).expect("not zero");
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        let shard = ShardId::kafka("parcel.events", 0);
        let writers = Writers {
            store: store.clone(),
            identities: TopicIdentities::new(Arc::new(Brokers(id(2)))),
            keep: 2,
            duration: Metrics::default().checkpoint_duration,
        };
        let claimed = store.chain(&shard).claim(None, Bytes::new()).await.expect("a sound store");
        let tip = claimed.expect("a chain of our own");
        let before = tip.seq();
        let frozen = Frozen {
            payload: Bytes::from_static(b"state"),
            next_offset: NextOffset::new(7),
            segments: Vec::new(),
            listed: Vec::new(),
            topic_id: Some(id(1)),
        };
        let told = writers.of(shard.clone()).commit(tip, frozen).await;
        assert!(matches!(told, Event::Recreated), "{told:?}");
        let newest = store.chain(&shard).newest().await.expect("a sound store");
        assert_eq!(newest.map(|newest| newest.seq), Some(before));
    }
}
