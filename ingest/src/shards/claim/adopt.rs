//! Adopting operators' decisions: which of them fit what a shard holds, and what they do to it.

use postroad_aggregate::decision::Refused;
use postroad_schemas::units::NextOffset;
use tracing::{info, warn};

use crate::checkpoint::{Adopted, Checkpoint, Phase, StallReason};
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
    /// It was made about another stall than this one, if the shard is stalled at all.
    #[error("it ends a stall of reason {} at offset {next_offset}, which is not how the shard stands", stalled_by.as_str())]
    OtherStall {
        /// Where the shard stood.
        next_offset: i64,
        /// Why it was stalled.
        stalled_by: StallReason,
    },
    /// A product or a number of a replay means nothing to this program.
    #[error("it cannot be understood; it was recorded by a newer program, or changed by hand")]
    NotUnderstood,
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
    match &found.recorded.decision {
        &Decision::AcceptLoss { from, to } => {
            let next = checkpoint.state.ledger.next;
            if next.get() != from {
                return Err(Unfit::Elsewhere { from, next });
            }
            checkpoint.state.lose(NextOffset::new(to), found.id)?;
        }
        &Decision::Restart { next_offset, stalled_by, .. } => {
            let is_meant = matches!(checkpoint.phase, Phase::Stalled { reason, .. } if reason == stalled_by)
                && checkpoint.state.ledger.next.get() == next_offset;
            if !is_meant {
                return Err(Unfit::OtherStall { next_offset, stalled_by });
            }
            checkpoint.phase = Phase::Closed;
        }
        Decision::Replay(record) => {
            let replay = record.replay().ok_or(Unfit::NotUnderstood)?;
            checkpoint.state.replay(&replay, found.id)?;
        }
        &Decision::ReleaseDay { through } => {
            checkpoint.released_through = checkpoint.released_through.max(Some(through));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::path::Path;
    use postroad_aggregate::decision::{DecisionId, Replay};
    use postroad_aggregate::event::{CellKey, IdKey};
    use postroad_aggregate::measures::Measures;
    use postroad_aggregate::rules::{Rules, RulesId};
    use postroad_aggregate::shard::{Record, Shard, ShardState};
    use postroad_schemas::codebook::{Codebook, PrefectureCode, Product};
    use postroad_schemas::contract::Contract;
    use postroad_schemas::units::{BusinessDay, Offset, Timestamp};

    use super::*;
    use crate::checkpoint::segments::Unsealed;
    use crate::checkpoint::{ShardId, Standing};
    use crate::decisions::{Recorded, ReplayRecord, RestartFrom};

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

    fn restart(id: u128, next_offset: i64, stalled_by: StallReason) -> Found {
        decided(id, Decision::Restart { from: RestartFrom::Earliest, next_offset, stalled_by })
    }

    #[test]
    fn a_restart_ends_the_stall_that_it_was_made_about_and_no_other() {
        let decisions =
            [restart(1, 4, StallReason::RetentionOverrun), restart(2, 5, StallReason::Diverged)];
        let mut stalled = stalled_at(5);
        let before = stalled.phase;
        adopt(&mut stalled, &decisions);
        assert_eq!((stalled.phase, stalled.decisions.len()), (before, 0));
        adopt(&mut stalled, &[restart(3, 5, StallReason::RetentionOverrun)]);
        assert_eq!((stalled.phase, stalled.decisions.len()), (Phase::Closed, 1));
    }

    #[test]
    fn only_a_stalled_shard_is_closed_and_nothing_is_adopted_after() {
        let restart = restart(1, 5, StallReason::RetentionOverrun);
        let release = decided(2, Decision::ReleaseDay { through: BusinessDay::from_days(9) });
        let mut running = stalled_at(5);
        running.phase = Phase::Running;
        adopt(&mut running, std::slice::from_ref(&restart));
        assert_eq!((running.phase, running.decisions.len()), (Phase::Running, 0));
        let mut stalled = stalled_at(5);
        adopt(&mut stalled, &[restart, release]);
        assert_eq!((stalled.phase, stalled.released_through), (Phase::Closed, None));
    }

    /// A shard that has rejected records at offsets 0 to 2.
    fn rejecting() -> Checkpoint {
        let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
        let state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b""));
        let mut shard = Shard::resume(state, vec![rules], IdKey([1; 16]), false);
        for offset in 0..3 {
            let offset = Offset::new(offset);
            let record = Record { offset, timestamp: None, value: Some(b"no JSON") };
            shard.step(&record, Timestamp::from_micros(0)).expect("a first reading");
        }
        Standing::new(ShardId::kafka("parcel.events", 0)).with(shard.state().clone())
    }

    fn replay(applied: &[i64], duplicates: &[i64]) -> Decision {
        let key = CellKey {
            day: BusinessDay::from_days(18_808),
            prefecture: PrefectureCode::new(210_100).expect("six digits"),
            product: Product::Express,
        };
        let events = i64::try_from(applied.len()).expect("few");
        let at = |offsets: &[i64]| offsets.iter().map(|at| Offset::new(*at)).collect();
        let cells = vec![(key, Measures { volume: events, events, ..Measures::default() })];
        let replay = Replay { applied: at(applied), duplicates: at(duplicates), cells };
        Decision::Replay(ReplayRecord::new(&replay))
    }

    #[test]
    fn dead_letters_count_after_all_and_only_once() {
        let mut checkpoint = rejecting();
        adopt(&mut checkpoint, &[decided(1, replay(&[0], &[2])), decided(2, replay(&[0, 1], &[]))]);
        let ledger = &checkpoint.state.ledger;
        assert_eq!((ledger.applied, ledger.duplicates, ledger.rejected), (1, 1, 1));
        assert_eq!(checkpoint.decisions.len(), 1, "offset 0 had been replayed before");
        checkpoint.state.check().expect("the account is exact");
        // The same decision again, and one about what was not read.
        adopt(&mut checkpoint, &[decided(1, replay(&[0], &[2])), decided(3, replay(&[7], &[]))]);
        assert_eq!(checkpoint.decisions.len(), 1);
        let whole = Unsealed::default().whole(&checkpoint.state);
        assert_eq!(whole.dead_letters.len(), 1, "no table shows what counts after all");
        whole.check().expect("as if it had never been rejected");
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
