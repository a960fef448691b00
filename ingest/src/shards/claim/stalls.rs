//! Writing down that a shard is stalled: into its chain, where the publisher and whoever comes next find
//! it.

use bytes::Bytes;
use tracing::warn;

use super::{ClaimContext, ClaimError, Life};
use crate::checkpoint::chain::Newest;
use crate::checkpoint::{Checkpoint, Phase, ShardId, format};
use crate::error::chain;
use crate::failpoint::Point;
use crate::shards::stall::Stall;
use crate::source::kafka::TopicPartition;

impl ClaimContext {
    /// Writes into a life's newest checkpoint that its log is another one, for the publisher and whoever
    /// comes next, unless it says so. If that fails the shard is stalled all the same. Returns whether the
    /// life has ended meanwhile, closed by a claim of somebody who does not read it.
    pub async fn record_divergence(&self, id: &ShardId, stall: &Stall) -> bool {
        match self.newest(id).await {
            Ok(Some((_, closed))) if closed.phase == Phase::Closed => return true,
            Ok(Some((newest, mut checkpoint))) => {
                checkpoint.phase = stall.phase();
                self.write_stall(checkpoint, Some(&newest)).await;
            }
            Ok(None) => {}
            Err(error) => complain(id, &error),
        }
        false
    }

    /// Looks after the shard of a partition that its topic does not have any more, which the group
    /// therefore gives to nobody: has it say so, or closes it if an operator decided that. Returns the
    /// stall while it is one.
    pub async fn settle_gone(&self, tp: &TopicPartition, partitions: i32) -> Option<Stall> {
        let stall = Stall::PartitionGone { partitions };
        let settled = async {
            let Life { found: Some((newest, mut checkpoint)), .. } = self.life(tp).await? else {
                return Ok(None);
            };
            self.adopt(&mut checkpoint).await?;
            let is_closed = checkpoint.phase == Phase::Closed;
            if !is_closed {
                checkpoint.phase = stall.phase();
            }
            self.write_stall(checkpoint, Some(&newest)).await;
            Ok::<_, ClaimError>((!is_closed).then_some(stall.clone()))
        };
        settled.await.unwrap_or_else(|error| {
            complain(tp, &error);
            Some(stall.clone())
        })
    }

    /// Claims a chain for a checkpoint that says that the shard is stalled, unless the newest object
    /// says the same. Whoever is faster finds the stall by itself. A shard that stalls before its first
    /// checkpoint gets one: a decision is about a checkpoint.
    pub(super) async fn write_stall(&self, stalled: Checkpoint, newest: Option<&Newest>) {
        let payload = Bytes::from(format::encode(&stalled));
        if newest.is_some_and(|newest| newest.payload == payload) {
            return;
        }
        Point::BeforeStall.pass();
        if let Err(error) = self.store.chain(&stalled.id).claim(newest, payload).await {
            complain(&stalled.id, &error);
        }
    }
}

fn complain(shard: impl std::fmt::Display, error: &dyn std::error::Error) {
    warn!(%shard, error = %chain(error), "the ledger does not show the stall");
}
