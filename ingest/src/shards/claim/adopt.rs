//! Adopting operators' decisions: which of them fit what a shard holds, and what they do to it.

use postroad_aggregate::decision::Refused;
use postroad_schemas::units::NextOffset;
use tracing::{info, warn};

use crate::checkpoint::{Adopted, Checkpoint, Phase};
use crate::decisions::{Decision, Found};

/// Why a decision was not adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unfit {
    /// It was made about a shard that stood elsewhere.
    #[error("it gives up offsets from {from} on, but the shard was read up to {next}")]
    Elsewhere {
        /// Where the decision begins.
        from: i64,
        /// Where the shard stands.
        next: NextOffset,
    },
    /// The shard goes on by itself.
    #[error("the shard is not stalled")]
    NotStalled,
    /// The core refuses it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Adopts every decision about a shard that it has not adopted yet and that fits, in their order.
/// Those that do not fit are said, and left alone.
pub(super) fn adopt(checkpoint: &mut Checkpoint, decisions: &[Found]) {
    for found in decisions {
        if checkpoint.phase == Phase::Closed {
            return;
        }
        if checkpoint.decisions.iter().any(|adopted| adopted.id == found.id) {
            continue;
        }
        let at = checkpoint.state.ledger.next;
        match apply(checkpoint, found) {
            Ok(()) => {
                let to = checkpoint.state.ledger.next;
                checkpoint.decisions.push(Adopted { id: found.id, at, to });
                info!(
                    shard = %checkpoint.id,
                    decision = %found.key,
                    at = at.get(),
                    to = to.get(),
                    "an operator's decision was adopted"
                );
            }
            Err(unfit) => warn!(
                shard = %checkpoint.id,
                decision = %found.key,
                reason = %unfit,
                "an operator's decision does not fit, and was not adopted"
            ),
        }
    }
}

fn apply(checkpoint: &mut Checkpoint, found: &Found) -> Result<(), Unfit> {
    match found.recorded.decision {
        Decision::AcceptLoss { from, to } => {
            let next = checkpoint.state.ledger.next;
            if next.get() != from {
                return Err(Unfit::Elsewhere { from, next });
            }
            checkpoint.state.lose(NextOffset::new(to), found.id)?;
        }
        Decision::Restart { .. } => {
            if !matches!(checkpoint.phase, Phase::Stalled { .. }) {
                return Err(Unfit::NotStalled);
            }
            checkpoint.phase = Phase::Closed;
        }
        Decision::ReleaseDay { through } => {
            checkpoint.released_through = checkpoint.released_through.max(Some(through));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use postroad_aggregate::decision::DecisionId;
    use postroad_aggregate::rules::RulesId;
    use postroad_aggregate::shard::ShardState;
    use postroad_schemas::contract::Contract;
    use postroad_schemas::units::{BusinessDay, Timestamp};

    use super::*;
    use crate::checkpoint::{ShardId, StallReason, Standing};
    use crate::decisions::{Recorded, RestartFrom};

    fn stalled_at(next: i64) -> Checkpoint {
        let state = ShardState::new(Contract::Parcel, NextOffset::new(next), RulesId::of(b""));
        let mut checkpoint = Standing::new(ShardId::kafka("parcel.events", 0)).with(state);
        checkpoint.phase = Phase::Stalled { reason: StallReason::RetentionOverrun, lost: None };
        checkpoint
    }

    fn decided(id: u128, decision: Decision) -> Found {
        let decided_at = Timestamp::from_micros(0);
        let recorded = Recorded { decision, reason: String::new(), decided_at };
        Found { id: DecisionId(id), key: Path::from(id.to_string()), recorded }
    }

    #[test]
    fn a_loss_is_counted_once_and_only_where_it_was_seen() {
        let decisions = [
            decided(1, Decision::AcceptLoss { from: 4, to: 9 }),
            decided(2, Decision::AcceptLoss { from: 5, to: 9 }),
            decided(3, Decision::AcceptLoss { from: 5, to: 8 }),
        ];
        let mut checkpoint = stalled_at(5);
        adopt(&mut checkpoint, &decisions);
        adopt(&mut checkpoint, &decisions);
        assert_eq!((checkpoint.state.ledger.lost, checkpoint.state.ledger.next.get()), (4, 9));
        let (at, to) = (NextOffset::new(5), NextOffset::new(9));
        assert_eq!(checkpoint.decisions, [Adopted { id: DecisionId(2), at, to }]);
        checkpoint.state.check().expect("the account covers every offset");
    }

    #[test]
    fn the_digest_tells_a_decided_loss_from_none() {
        let mut one = stalled_at(5);
        adopt(&mut one, &[decided(1, Decision::AcceptLoss { from: 5, to: 9 })]);
        let mut other = stalled_at(5);
        adopt(&mut other, &[decided(2, Decision::AcceptLoss { from: 5, to: 9 })]);
        assert_ne!(one.state.ledger.digest, other.state.ledger.digest);
    }

    #[test]
    fn only_a_stalled_shard_is_closed_and_nothing_is_adopted_after() {
        let restart = decided(1, Decision::Restart { from: RestartFrom::Earliest });
        let release = decided(2, Decision::ReleaseDay { through: BusinessDay::from_days(9) });
        let mut running = stalled_at(5);
        running.phase = Phase::Running;
        adopt(&mut running, std::slice::from_ref(&restart));
        assert_eq!((running.phase, running.decisions.len()), (Phase::Running, 0));
        let mut stalled = stalled_at(5);
        adopt(&mut stalled, &[restart, release]);
        assert_eq!((stalled.phase, stalled.released_through), (Phase::Closed, None));
    }

    #[test]
    fn a_release_never_goes_back() {
        let release =
            |id, day| decided(id, Decision::ReleaseDay { through: BusinessDay::from_days(day) });
        let mut checkpoint = stalled_at(5);
        adopt(&mut checkpoint, &[release(1, 9), release(2, 7)]);
        assert_eq!(checkpoint.released_through, Some(BusinessDay::from_days(9)));
    }
}
