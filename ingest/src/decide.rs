//! `postroad decide`: an operator's word on a shard that must not go on by itself.
//!
//! The command looks at the shard's newest checkpoint, refuses what cannot fit, and records the
//! decision. The owner of the shard adopts it within seconds; nothing is written here but that one
//! object. It needs the store and nothing else.

use postroad_schemas::units::BusinessDay;

use crate::checkpoint::{Checkpoint, Phase, ShardId, StallReason};
use crate::clock::now;
use crate::decisions::{self, Decision, Recorded, RestartFrom};
use crate::error::{Exit, Failure, chain};
use crate::store::Store;

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Give up what retention deleted: the offsets that the stall names.
    AcceptLoss,
    /// Close the shard as it is and begin anew; unless given, where the stall's reason allows it.
    Restart(Option<RestartFrom>),
    /// Let days up to this one be complete without the shard.
    ReleaseDay(BusinessDay),
}

/// Records a decision about a partition's shard. Returns what was decided, and the key of the record.
///
/// # Errors
/// Where the shard is not in need of such a decision, or the store fails.
pub async fn decide(
    store: &Store,
    (topic, partition): (&str, i32),
    wish: Wish,
    reason: &str,
) -> Result<(Decision, String), Failure> {
    let checkpoint = newest_life(store, topic, partition).await?;
    let decision = resolve(&checkpoint, wish, now().business_day()).map_err(|why| {
        Failure::new(Exit::DataErr, format!("{}: {why}; nothing was decided", checkpoint.id))
    })?;
    let decided_at = now();
    let recorded = Recorded { decision, reason: reason.to_owned(), decided_at };
    let key = decisions::record(store, &checkpoint.id, &recorded)
        .await
        .map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
    Ok((recorded.decision, key.to_string()))
}

/// The newest checkpoint of a partition's newest life.
pub(crate) async fn newest_life(
    store: &Store,
    topic: &str,
    partition: i32,
) -> Result<Checkpoint, Failure> {
    let mut id = ShardId::kafka(topic, partition);
    let mut newest: Option<Checkpoint> = None;
    loop {
        let found = store.newest_checkpoint(&id).await.map_err(|error| {
            Failure::new(Exit::of(error.kind()), format!("{id}: {}", chain(&error)))
        })?;
        match found {
            Some((_, checkpoint)) if checkpoint.phase == Phase::Closed => {
                id = id.next_incarnation();
                newest = Some(checkpoint);
            }
            Some((_, checkpoint)) => return Ok(checkpoint),
            None => break,
        }
    }
    newest.ok_or_else(|| {
        let message = format!(
            "{topic}[{partition}]: the store {} holds no checkpoint of it; check --topic and \
             --partition",
            store.name()
        );
        Failure::new(Exit::DataErr, message)
    })
}

/// What a wish means for a shard that stands like this.
fn resolve(checkpoint: &Checkpoint, wish: Wish, today: BusinessDay) -> Result<Decision, String> {
    if let Wish::ReleaseDay(through) = wish {
        if through > today {
            return Err(format!(
                "{through} has not come yet; a release cannot be taken back, so it is about days \
                 that are over or today"
            ));
        }
        return Ok(Decision::ReleaseDay { through });
    }
    let (reason, lost) = match checkpoint.phase {
        Phase::Stalled { reason, lost } => (reason, lost),
        Phase::Closed => return Err("it was restarted already".to_owned()),
        Phase::Running => return Err("it is not stalled".to_owned()),
    };
    let next_offset = checkpoint.state.ledger.next.get();
    let restart = |from| Decision::Restart { from, next_offset, stalled_by: reason };
    match wish {
        Wish::ReleaseDay(through) => Ok(Decision::ReleaseDay { through }),
        Wish::AcceptLoss => match lost {
            Some((from, to)) => Ok(Decision::AcceptLoss { from: from.get(), to: to.get() }),
            None => Err(format!(
                "it is stalled because of {}, and not because of records that retention deleted; \
                 see `decide restart`",
                reason.as_str()
            )),
        },
        Wish::Restart(_)
            if matches!(reason, StallReason::OtherContract | StallReason::Unreadable) =>
        {
            Err(format!(
                "it is stalled because of {}, which is not the log's fault: correct the \
                 configuration, or restore the store; a restart would read the same log again and \
                 count it twice",
                reason.as_str()
            ))
        }
        Wish::Restart(Some(from)) => Ok(restart(from)),
        // Nothing of a topic that was made anew has been read; of one that is gone nothing is left.
        Wish::Restart(None)
            if matches!(reason, StallReason::Recreated | StallReason::PartitionGone) =>
        {
            Ok(restart(RestartFrom::Earliest))
        }
        Wish::Restart(None) => Err(format!(
            "it is stalled because of {}: say where its next life begins, with --from earliest, \
             --from latest or --from OFFSET; what lies before that and was not read is not counted, \
             and what was read and lies after it is counted twice",
            reason.as_str()
        )),
    }
}

#[cfg(test)]
mod tests {
    use postroad_aggregate::rules::RulesId;
    use postroad_aggregate::shard::ShardState;
    use postroad_schemas::contract::Contract;
    use postroad_schemas::units::NextOffset;

    use super::*;
    use crate::checkpoint::Standing;

    #[track_caller]
    fn check(phase: Phase, wish: Wish, expect: Result<Decision, &str>) {
        let state = ShardState::new(Contract::Parcel, NextOffset::new(5), RulesId::of(b""));
        let mut checkpoint = Standing::new(ShardId::kafka("parcel.events", 0)).with(state);
        checkpoint.phase = phase;
        match (resolve(&checkpoint, wish, BusinessDay::from_days(9)), expect) {
            (Err(said), Err(expect)) => assert!(said.contains(expect), "{said}"),
            (found, expect) => assert_eq!(found, expect.map_err(str::to_owned)),
        }
    }

    #[test]
    fn a_wish_is_resolved_by_how_the_shard_stands() {
        let lost = Some((NextOffset::new(5), NextOffset::new(9)));
        let overrun = Phase::Stalled { reason: StallReason::RetentionOverrun, lost };
        let recreated = Phase::Stalled { reason: StallReason::Recreated, lost: None };
        let truncated = Phase::Stalled { reason: StallReason::Truncated, lost: None };
        let restart = |from, stalled_by| Ok(Decision::Restart { from, next_offset: 5, stalled_by });
        check(overrun, Wish::AcceptLoss, Ok(Decision::AcceptLoss { from: 5, to: 9 }));
        check(truncated, Wish::AcceptLoss, Err("because of truncated"));
        let from_earliest = restart(RestartFrom::Earliest, StallReason::Recreated);
        check(recreated, Wish::Restart(None), from_earliest);
        check(truncated, Wish::Restart(None), Err("--from"));
        let four = RestartFrom::Offset(4);
        check(truncated, Wish::Restart(Some(four)), restart(four, StallReason::Truncated));
        for reason in [StallReason::OtherContract, StallReason::Unreadable] {
            let ours = Phase::Stalled { reason, lost: None };
            check(ours, Wish::Restart(Some(four)), Err("count it twice"));
        }
        check(Phase::Running, Wish::AcceptLoss, Err("not stalled"));
        check(Phase::Running, Wish::Restart(None), Err("not stalled"));
        check(Phase::Closed, Wish::AcceptLoss, Err("restarted already"));
        let through = BusinessDay::from_days(9);
        let release = || Ok(Decision::ReleaseDay { through });
        check(overrun, Wish::ReleaseDay(through), release());
        check(Phase::Running, Wish::ReleaseDay(through), release());
        let tomorrow = Wish::ReleaseDay(through.plus_days(1));
        check(overrun, tomorrow, Err("has not come yet"));
    }
}
