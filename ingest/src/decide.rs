//! `postroad decide`: an operator's word on a shard that must not go on by itself.
//!
//! The command looks at the shard's newest checkpoint, refuses what cannot fit, and records the
//! decision. The owner of the shard adopts it within seconds; nothing is written here but that one
//! object. It needs the store and nothing else.

use postroad_schemas::units::BusinessDay;

use crate::checkpoint::{Checkpoint, Phase, ShardId, StallReason};
use crate::clock::now;
use crate::decisions::{self, Decision, Found, Recorded, RestartFrom};
use crate::error::{Exit, Failure, chain};
use crate::store::{Store, StoreError};

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

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The key of its record.
    pub key: String,
    /// Whether it was recorded now. The same decision may wait for the shard's owner already.
    pub is_new: bool,
}

/// Records a decision about a partition's shard, unless the same one waits for its owner already.
///
/// # Errors
/// Where the shard is not in need of such a decision, or the store fails.
pub async fn decide(
    store: &Store,
    (topic, partition): (&str, i32),
    wish: Wish,
    reason: &str,
) -> Result<Decided, Failure> {
    let checkpoint = newest_life(store, topic, partition).await?;
    let decision = resolve(&checkpoint, wish, now().business_day()).map_err(|why| {
        Failure::new(Exit::DataErr, format!("{}: {why}; nothing was decided", checkpoint.id))
    })?;
    let failed = |error: StoreError| {
        let message = format!("{}: {}; nothing was decided", checkpoint.id, chain(&error));
        Failure::new(Exit::of(error.kind()), message)
    };
    if let Some(key) = waiting(store, &checkpoint, &decision).await.map_err(failed)? {
        return Ok(Decided { decision, key, is_new: false });
    }
    let decided_at = now();
    let recorded = Recorded { decision, reason: reason.to_owned(), decided_at };
    let key = decisions::record(store, &checkpoint.id, &recorded).await.map_err(failed)?;
    Ok(Decided { decision: recorded.decision, key: key.to_string(), is_new: true })
}

/// The key of the same decision, if one was recorded that no checkpoint has adopted.
async fn waiting(
    store: &Store,
    checkpoint: &Checkpoint,
    decision: &Decision,
) -> Result<Option<String>, StoreError> {
    let found = decisions::survey(store, &checkpoint.id).await?;
    let is_adopted =
        |found: &Found| checkpoint.decisions.iter().any(|adopted| adopted.id == found.id);
    let mut same = found
        .into_iter()
        .flatten()
        .filter(|found| found.recorded.decision == *decision && !is_adopted(found));
    Ok(same.next().map(|found| found.key.to_string()))
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
        Phase::Closed => {
            return Err("it was restarted already, and its owner begins the next life".to_owned());
        }
        Phase::Running => {
            let why = "it is not stalled; `postroad inspect --store … shards` shows how every shard stands";
            return Err(why.to_owned());
        }
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

    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::{Adopted, Standing};

    /// An operator who types a command again, because nothing seems to happen, decides nothing twice.
    #[tokio::test]
    async fn the_same_decision_is_recorded_once_while_it_waits() {
        let objects = Arc::new(object_store::memory::InMemory::new());
        let store = Store::over(objects, "memory".to_owned());
        let id = ShardId::kafka("parcel.events", 3);
        let state = ShardState::new(Contract::Parcel, NextOffset::new(5), RulesId::of(b""));
        let mut checkpoint = Standing::new(id.clone()).with(state);
        let lost = Some((NextOffset::new(5), NextOffset::new(9)));
        checkpoint.phase = Phase::Stalled { reason: StallReason::RetentionOverrun, lost };
        let put = async |checkpoint: &Checkpoint| {
            let chain = store.chain(&id);
            let newest = chain.newest().await.expect("a sound store");
            let payload = crate::checkpoint::format::encode(checkpoint).into();
            chain.claim(newest.as_ref(), payload).await.expect("a sound store");
        };
        put(&checkpoint).await;
        let decide = async |wish| {
            let decided = decide(&store, ("parcel.events", 3), wish, "a disk was lost").await;
            let decided = decided.expect("it fits");
            (decided.key.rsplit('/').next().map(str::to_owned), decided.is_new)
        };
        let (first, second) = (Some("000000.json".to_owned()), Some("000001.json".to_owned()));
        assert_eq!(decide(Wish::AcceptLoss).await, (first.clone(), true));
        assert_eq!(decide(Wish::AcceptLoss).await, (first, false));
        let release = Wish::ReleaseDay(BusinessDay::from_days(9));
        assert_eq!(decide(release).await, (second, true), "another decision");
        // What was adopted is over, and may be decided once more.
        let adopted = decisions::about(&store, &id).await.expect("a sound store");
        let (at, to) = (NextOffset::new(5), NextOffset::new(5));
        checkpoint.decisions =
            adopted.iter().map(|found| Adopted { id: found.id, at, to }).collect();
        put(&checkpoint).await;
        assert_eq!(decide(release).await, (Some("000002.json".to_owned()), true));
    }

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
