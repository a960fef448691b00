//! What is missing for an instance to be ready, in words.

use postroad_schemas::units::NextOffset;

use super::*;
use crate::shards::stall::Stall;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("parcel.events", partition)
}

fn progress(next_offset: i64, restoring: bool) -> Progress {
    Progress {
        next_offset,
        watermark: None,
        caught_up_at: None,
        gaps: 0,
        at_end: false,
        restoring,
        cells: 0,
        dedupe_ids: 0,
    }
}

/// An instance that has one shard, and reads it.
fn well() -> View {
    let mut view = View { joined: true, ..View::default() };
    view.phases.insert(tp(0), ShardPhase::Running { unresolved: None });
    view.progress.insert(tp(0), progress(5, false));
    view
}

#[track_caller]
fn check(change: impl FnOnce(&mut View), expect: &[&str]) {
    let mut view = well();
    change(&mut view);
    assert_eq!(view.not_ready(), expect);
}

#[test]
fn an_instance_is_ready_once_it_reads_what_it_was_given() {
    check(|_| {}, &[]);
    let nothing_assigned = View { joined: true, ..View::default() };
    assert_eq!(nothing_assigned.not_ready(), [""; 0], "a spare instance is ready, too");
}

#[test]
fn what_is_missing_is_said() {
    check(|view| view.joined = false, &["the consumer group has not assigned partitions yet"]);
    check(
        |view| view.brokers_down = Some("refused".to_owned()),
        &["no broker can be reached: refused"],
    );
    check(|view| view.store_failing = Some("full".to_owned()), &["the store fails: full"]);
    check(
        |view| view.progress.values_mut().for_each(|shard| shard.restoring = true),
        &["parcel.events[0] is loading"],
    );
    check(|view| view.progress.clear(), &["parcel.events[0] is loading"]);
    let failure = Some("no answer".to_owned());
    check(
        |view| drop(view.phases.insert(tp(1), ShardPhase::Loading { failure })),
        &["parcel.events[1] is loading; the last try failed: no answer"],
    );
    let unconfirmed = Unconfirmed { in_a_row: 3, error: "no answer".to_owned() };
    check(
        |view| drop(view.unconfirmed.insert(tp(0), unconfirmed)),
        &[
            "parcel.events[0] is not checkpointed: the brokers have not confirmed its topic 3 times \
           in a row: no answer",
        ],
    );
    let stall = Stall::Truncated { next: NextOffset::new(9), high: NextOffset::new(4) };
    check(
        |view| drop(view.phases.insert(tp(1), ShardPhase::Stalled(stall))),
        &["parcel.events[1] is stalled: the log ends at offset 4, but had been read up to 9: it \
           was truncated or the topic was recreated"],
    );
    // The group gives nobody anything of a topic that is gone: whoever asks is told by the brokers.
    check(
        |view| view.missing_topics.extend(["parcel.events".to_owned()]),
        &[
            "the topic `parcel.events` does not exist (any more); create it, or correct kafka.topics",
        ],
    );
    // Nobody is given a partition that is gone, so it has no phase.
    check(
        |view| drop(view.gone.insert(tp(7), Stall::PartitionGone { partitions: 4 })),
        &["parcel.events[7] is stalled: the topic has only 4 partitions now, so this one is gone"],
    );
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let mut view = View { brokers_down: Some("refused".to_owned()), ..View::default() };
    view.phases.insert(tp(0), ShardPhase::Loading { failure: None });
    view.store_failing = Some("full".to_owned());
    assert_eq!(view.not_ready().len(), 4, "{:?}", view.not_ready());
}

/// A publish that fails is no reason to restart: the shards are read and checkpointed.
#[test]
fn a_failing_publish_leaves_the_instance_ready() {
    check(|view| view.publish_failing = Some("an overflow".to_owned()), &[]);
}

#[test]
fn lag_is_known_once_both_ends_are_and_never_negative() {
    let mut view = well();
    assert_eq!(view.lag(&tp(0)), None);
    view.log_ends.insert(tp(0), 12);
    assert_eq!(view.lag(&tp(0)), Some(7));
    view.log_ends.insert(tp(0), 3);
    assert_eq!(view.lag(&tp(0)), Some(0));
    view.log_ends.insert(tp(1), 3);
    assert_eq!(view.lag(&tp(1)), None);
}
