//! Whether a shard may go on: its store is whole, and its log still is the one that was read.

use object_store::path::Path;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::NextOffset;

use super::ClaimContext;
use crate::checkpoint::{Checkpoint, Phase, StallReason, segments};
use crate::error::{Kind, chain};
use crate::shards::stall::Stall;
use crate::source::{LogRange, TopicId};
use crate::store::StoreError;

impl ClaimContext {
    /// Whether the store holds all that a checkpoint refers to: nobody goes on without its old days, or
    /// without the rules that what is read again is judged by.
    pub(super) async fn check_whole(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<Result<(), Stall>, StoreError> {
        let Checkpoint { id, state, .. } = checkpoint;
        let missing = segments::missing(&self.store, id, &state.sealed).await?;
        if !missing.is_empty() {
            return Ok(Err(missing_segments(&missing)));
        }
        match self.store.rules_of(state).await {
            Err(error) if error.kind() == Kind::Data || error.is_not_found() => {
                Ok(Err(unknown_rules(&error)))
            }
            read => Ok(Ok(read.map(drop)?)),
        }
    }
}

/// Old days of a shard are gone from the store.
fn missing_segments(keys: &[Path]) -> Stall {
    let first = keys.first().map(ToString::to_string).unwrap_or_default();
    Stall::Unreadable(format!(
        "{} of the segments that its checkpoint lists are gone, {first} among them; restore the \
         folder segments from a copy of the store",
        keys.len()
    ))
}

/// Rules that records were judged by are gone from the store, or are not those any more.
fn unknown_rules(error: &StoreError) -> Stall {
    let why = chain(error);
    Stall::Unreadable(format!(
        "rules that it was read under are not known: {why}; restore the object from a copy of the store"
    ))
}

/// Whether the log still is the one that was read, and holds what follows: `low ≤ next ≤ high`. A shard
/// that is stalled because it is not is read again only where that would be found again.
pub(super) fn check_continues(
    Checkpoint { state, topic_id: was, phase, .. }: &Checkpoint,
    configured: Contract,
    is: Option<TopicId>,
    LogRange { low, high }: LogRange,
) -> Result<(), Stall> {
    let next = state.ledger.next;
    if state.contract != configured {
        return Err(Stall::OtherContract { stored: state.contract, configured });
    }
    if let (Some(was), Some(is)) = (*was, is)
        && was != is
    {
        return Err(Stall::Recreated { was, is });
    }
    if next < low {
        return Err(Stall::RetentionOverrun { from: next, low });
    }
    if next > high {
        return Err(Stall::Truncated { next, high });
    }
    let diverged = matches!(phase, Phase::Stalled { reason: StallReason::Diverged, .. });
    let last = state.last_delivered.map(|last| NextOffset::from(last.offset));
    if diverged && last.is_none_or(|last| last < low) {
        return Err(Stall::DivergedBefore { low });
    }
    Ok(())
}
