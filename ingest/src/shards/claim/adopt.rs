//! Adopting operators' decisions: which of them fit what a shard holds, and what they do to it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;
use postroad_aggregate::decision::Refused;
use postroad_schemas::units::{NextOffset, Offset};
use tracing::info;

use crate::checkpoint::{Adopted, Checkpoint, Phase, StallReason};
use crate::decisions::{Decision, Found};

/// Why a decision was not adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
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
    /// Another replay came in between.
    #[error(
        "it was worked out when {after} dead letters had been replayed, and now {replayed} have; \
         decide again"
    )]
    OtherReplay {
        /// How many had been replayed then.
        after: usize,
        /// How many have been now.
        replayed: usize,
    },
    /// The record counts, or is not there: the state is another one than it was worked out for.
    #[error("the record at offset {0} is no dead letter of this shard; decide again")]
    NotRejected(Offset),
    /// A product or a number of a replay means nothing to this program.
    #[error("it cannot be understood; it was recorded by a newer program, or changed by hand")]
    NotUnderstood,
    /// The core refuses it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The decisions that were said not to fit. Every claim looks at them again, and each is said once.
#[derive(Debug, Clone, Default)]
pub struct Complaints(Arc<Mutex<BTreeSet<Path>>>);

impl Complaints {
    pub(super) fn is_news(&self, decision: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(decision.clone())
    }
}

/// Whether any decision lets dead letters count that has not been adopted yet.
pub(super) fn has_replay(checkpoint: &Checkpoint, decisions: &[Found]) -> bool {
    decisions.iter().any(|found| {
        matches!(found.recorded.decision, Decision::Replay(_)) && !is_adopted(checkpoint, found)
    })
}

fn is_adopted(checkpoint: &Checkpoint, found: &Found) -> bool {
    checkpoint.decisions.iter().any(|adopted| adopted.id == found.id)
}

/// Adopts every decision about a shard that it has not adopted yet and that fits, in their order.
/// Those that do not fit are left alone, and returned. `rejected` are the offsets of its dead letters, as
/// far as a replay asks for them ([`has_replay`]).
pub(super) fn adopt(
    checkpoint: &mut Checkpoint,
    decisions: &[Found],
    rejected: &BTreeSet<Offset>,
) -> Vec<(Path, Unfit)> {
    let mut left = Vec::new();
    for found in decisions {
        if checkpoint.phase == Phase::Closed {
            break;
        }
        if is_adopted(checkpoint, found) {
            continue;
        }
        let at = checkpoint.state.ledger.next;
        match apply(checkpoint, found, rejected) {
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
            Err(unfit) => left.push((found.key.clone(), unfit)),
        }
    }
    left
}

fn apply(
    checkpoint: &mut Checkpoint,
    found: &Found,
    rejected: &BTreeSet<Offset>,
) -> Result<(), Unfit> {
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
            let (after, replayed) = (record.after, checkpoint.state.replayed.len());
            if after != replayed {
                return Err(Unfit::OtherReplay { after, replayed });
            }
            if let Some(counted) = replay.offsets().iter().find(|at| !rejected.contains(at)) {
                return Err(Unfit::NotRejected(*counted));
            }
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

    use postroad_aggregate::decision::{DecisionId, Replay};
    use postroad_aggregate::event::{CellKey, IdKey};
    use postroad_aggregate::measures::Measures;
    use postroad_aggregate::rules::{Rules, RulesId};
    use postroad_aggregate::shard::{Record, Shard, ShardState};
    use postroad_schemas::codebook::{Codebook, PrefectureCode, Product};
    use postroad_schemas::contract::Contract;
    use postroad_schemas::units::{BusinessDay, Timestamp};

    use super::*;
    use crate::checkpoint::segments::Unsealed;
    use crate::checkpoint::{ShardId, Standing};
    use crate::decisions::{Recorded, ReplayRecord, RestartFrom};

    /// Adopts decisions about a shard whose dead letters are those of its state.
    fn adopt(checkpoint: &mut Checkpoint, decisions: &[Found]) {
        let whole = Unsealed::default().whole(&checkpoint.state);
        let rejected = whole.dead_letters.iter().map(|letter| letter.offset).collect();
        super::adopt(checkpoint, decisions, &rejected);
    }

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

    fn replay(after: usize, applied: &[i64], duplicates: &[i64]) -> Decision {
        let key = CellKey {
            day: BusinessDay::from_days(18_808),
            prefecture: PrefectureCode::new(210_100).expect("six digits"),
            product: Product::Express,
        };
        let events = i64::try_from(applied.len()).expect("few");
        let at = |offsets: &[i64]| offsets.iter().map(|at| Offset::new(*at)).collect();
        let cells = vec![(key, Measures { volume: events, events, ..Measures::default() })];
        let replay = Replay { applied: at(applied), duplicates: at(duplicates), cells };
        Decision::Replay(ReplayRecord::new(&replay, after))
    }

    #[test]
    fn dead_letters_count_after_all_and_only_once() {
        let mut checkpoint = rejecting();
        let first = decided(1, replay(0, &[0], &[2]));
        // Worked out beside the first, and so it knows nothing of what that one lets count.
        let second = decided(2, replay(0, &[1], &[]));
        adopt(&mut checkpoint, &[first.clone(), second]);
        let ledger = &checkpoint.state.ledger;
        assert_eq!((ledger.applied, ledger.duplicates, ledger.rejected), (1, 1, 1));
        assert_eq!(checkpoint.decisions.len(), 1);
        checkpoint.state.check().expect("the account is exact");
        // The same decision again, one about what counts already, and one about what was not read.
        let others = [first, decided(3, replay(2, &[0], &[])), decided(4, replay(2, &[7], &[]))];
        adopt(&mut checkpoint, &others);
        assert_eq!(checkpoint.decisions.len(), 1);
        let whole = Unsealed::default().whole(&checkpoint.state);
        assert_eq!(whole.dead_letters.len(), 1, "no table shows what counts after all");
        whole.check().expect("as if it had never been rejected");
        adopt(&mut checkpoint, &[decided(5, replay(2, &[1], &[]))]);
        assert_eq!((checkpoint.decisions.len(), checkpoint.state.ledger.rejected), (2, 0));
    }

    /// A state that was made again under rules that accept what had been rejected.
    #[test]
    fn what_was_never_rejected_in_this_state_is_not_replayed() {
        let mut checkpoint = rejecting();
        let accepted = BTreeSet::from([Offset::new(0), Offset::new(2)]);
        super::adopt(&mut checkpoint, &[decided(1, replay(0, &[1], &[]))], &accepted);
        assert_eq!((checkpoint.decisions.len(), checkpoint.state.ledger.applied), (0, 0));
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
