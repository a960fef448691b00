//! A shard in the hands of a backfill: its fold, and the end of its chain.

use bytes::Bytes;
use postroad_aggregate::shard::{Shard, ShardState};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{NextOffset, Offset};

use super::order::Jump;
use crate::checkpoint::chain::{Newest, Tip};
use crate::checkpoint::{Phase, ShardId, Source, Standing, format};
use crate::error::{Exit, Failure, chain};
use crate::store::Store;

/// A shard that this backfill has opened.
pub(super) struct Open {
    pub(super) fold: Shard,
    /// The object that this backfill goes on from, until it has written one of its own.
    pub(super) found: Option<Newest>,
    pub(super) tip: Option<Tip>,
    pub(super) standing: Standing,
    /// What the newest checkpoint holds.
    pub(super) written: Option<(NextOffset, Phase)>,
    /// What files jumped over.
    pub(super) jumps: Vec<Jump>,
}

impl Open {
    /// Whether the record is new, but the dedupe window of which it may repeat something has not
    /// been rebuilt.
    pub(super) fn lacks_window(&self, offset: Offset) -> bool {
        let is_new = !self.fold.state().ledger.next.is_past(offset);
        self.written.is_some() && is_new && !self.fold.is_window_whole()
    }

    pub(super) async fn commit(&mut self, store: &Store, id: &ShardId) -> Result<(), Failure> {
        let state = self.fold.state();
        state
            .check()
            .map_err(|violation| Failure::new(Exit::Software, format!("{id}: {violation}")))?;
        let payload = Bytes::from(format::encode(&self.standing.with(state.clone())));
        let chain_of_shard = store.chain(id);
        let fail = |error: &dyn std::error::Error| {
            let message = format!("{id}: its checkpoint could not be written: {}", chain(error));
            Failure::new(Exit::TempFail, message)
        };
        let tip = if let Some(tip) = self.tip.take() {
            chain_of_shard.commit(tip, payload).await.map_err(|error| fail(&error))?
        } else {
            let claimed = chain_of_shard.claim(self.found.as_ref(), payload).await;
            claimed.map_err(|error| fail(&error))?.ok_or_else(|| {
                let message =
                    format!("{id}: another process writes it; end that one, then run this again");
                Failure::new(Exit::TempFail, message)
            })?
        };
        self.tip = Some(tip);
        Ok(())
    }
}

pub(super) fn check_contract(
    id: &ShardId,
    state: &ShardState,
    given: Contract,
) -> Result<(), Failure> {
    if state.contract == given {
        return Ok(());
    }
    let what = match id.source {
        Source::File => "a file of this base name",
        Source::Kafka => "this topic",
    };
    let message = format!(
        "{id}: the store holds {what} under the contract `{}`, not `{given}`; use a new store",
        state.contract
    );
    Err(Failure::new(Exit::DataErr, message))
}
