//! Which shards a publish holds, and which checkpoint of each: a vector that never goes back.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::{ASKED_AT_ONCE, PublishError, Publisher};
use crate::checkpoint::chain::Newest;
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::{Checkpoint, Phase, ShardId, Source};
use crate::store::Store;

impl Publisher {
    /// Reads the newest checkpoints of the shards of the last publish and of those that are expected,
    /// and returns which shards these are.
    pub(super) async fn load_vector(
        &mut self,
        expected: &BTreeSet<ShardId>,
    ) -> Result<BTreeSet<ShardId>, PublishError> {
        let published = self.newest().into_iter().flat_map(|manifest| manifest.shard_ids());
        let mut ids: BTreeSet<_> = published.chain(expected.iter().cloned()).collect();
        self.load_shards(&ids).await?;
        while self.add_next_lives(&mut ids, expected) {
            self.load_shards(&ids).await?;
        }
        self.refuse_to_go_back()?;
        Ok(ids)
    }

    /// Adds the next life of each partition that Kafka has and whose life before was closed. Returns
    /// whether there is any to load.
    fn add_next_lives(&self, ids: &mut BTreeSet<ShardId>, expected: &BTreeSet<ShardId>) -> bool {
        let is_closed = |id: &&ShardId| {
            id.source == Source::Kafka
                && self.shards.get(*id).is_some_and(|(_, found)| found.phase == Phase::Closed)
        };
        let next = ids.iter().filter(is_closed).map(ShardId::next_incarnation);
        let known = |id: &ShardId| ShardId { incarnation: 0, ..id.clone() };
        let next: Vec<_> = next.filter(|id| expected.contains(&known(id))).collect();
        let before = ids.len();
        ids.extend(next);
        ids.len() > before
    }

    /// Brings every shard up to its newest checkpoint.
    async fn load_shards(&mut self, ids: &BTreeSet<ShardId>) -> Result<(), PublishError> {
        let known = |id: &ShardId| self.shards.get(id).map(|(seq, _)| *seq);
        let asked = ids.iter().map(|id| newer(self.store.clone(), id.clone(), known(id)));
        let asked: Vec<_> = asked.collect();
        let mut news = stream::iter(asked).buffered(ASKED_AT_ONCE);
        while let Some(found) = news.try_next().await? {
            let Some((newest, checkpoint)) = found else { continue };
            let id = &checkpoint.id;
            let unsealed = self.unsealed.entry(id.clone()).or_default();
            unsealed.update(&self.store, id, &checkpoint.state.sealed).await?;
            let whole = checkpoint.with(unsealed.whole(&checkpoint.state));
            self.shards.insert(checkpoint.id, (newest.seq, Arc::new(whole)));
        }
        Ok(())
    }

    /// Within a shard the vector of a publish never goes back, whether by a checkpoint that was lost
    /// or by one that was written above a damaged one.
    fn refuse_to_go_back(&self) -> Result<(), PublishError> {
        let Some(last) = self.newest() else { return Ok(()) };
        for entry in &last.shards {
            let shard = entry.id();
            let found = self.shards.get(&shard);
            let seq = found.map(|(seq, _)| seq.get());
            let next = found.map(|(_, checkpoint)| checkpoint.state.ledger.next.get());
            let first = found.map(|(_, checkpoint)| checkpoint.state.ledger.first.get());
            let is_another = entry.first_offset.is_some() && first != entry.first_offset;
            if seq < entry.seq || next < entry.next_offset || is_another {
                let found = seq.zip(next);
                let published =
                    (entry.seq.unwrap_or_default(), entry.next_offset.unwrap_or_default());
                return Err(PublishError::WentBack { shard, found, published });
            }
        }
        Ok(())
    }
}

/// The newest checkpoint of a shard of which one is known, if there is a newer one.
async fn newer(
    store: Store,
    id: ShardId,
    known: Option<Seq>,
) -> Result<Option<(Newest, Checkpoint)>, PublishError> {
    let fail = |source| PublishError::Load { shard: id.clone(), source: Box::new(source) };
    if let Some(known) = known {
        let found = store.chain(&id).newest_after(known).await;
        if found.map_err(|error| fail(error.into()))?.is_none() {
            return Ok(None);
        }
    }
    store.newest_checkpoint(&id).await.map_err(fail)
}
