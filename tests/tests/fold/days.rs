//! Which days are complete: published once, true for ever.

use std::sync::Arc;

use postroad_aggregate::days::{DayStatus, Horizon, ShardClock};
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{BusinessDay, NextOffset, Offset, Span, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const HOUR_MICROS: i64 = 3_600_000_000;

/// Instants of a few weeks, on and around the hour.
fn instant() -> impl Strategy<Value = Timestamp> {
    let base = BusinessDay::from_days(18_800).start().as_micros();
    (0..1000_i64, -1..=1_i64)
        .prop_map(move |(hour, micro)| Timestamp::from_micros(base + hour * HOUR_MICROS + micro))
}

fn clock() -> impl Strategy<Value = ShardClock> {
    let released = option::weighted(0.3, (18_795..18_845_i32).prop_map(BusinessDay::from_days));
    let closed = prop::bool::weighted(0.2);
    (option::of(instant()), option::of(instant()), closed, released).prop_map(
        |(watermark, caught_up_at, closed, released_through)| ShardClock {
            watermark,
            caught_up_at,
            closed,
            released_through,
        },
    )
}

fn horizon(shards: &[ShardClock], grace_h: u32, final_h: u32) -> Horizon {
    Horizon::of(shards, Span::hours(grace_h), Span::hours(final_h))
}

/// Whether one shard is past the end of a day by so many hours; a closed one always is.
fn is_past(shard: &ShardClock, day: BusinessDay, hours: u32) -> bool {
    let limit = day.end() + Span::hours(hours);
    let told = [shard.watermark, shard.caught_up_at];
    shard.closed || told.into_iter().flatten().any(|time| time >= limit)
}

proptest! {
    /// Day by day, the definition: every open shard is past the day's end by the delay; one that
    /// an operator has released need not be, and the day says so.
    #[test]
    fn a_day_is_complete_when_every_open_shard_has_passed_it(
        mut shards in vec(clock(), 1..6),
        day in 18_795..18_845_i32,
        grace_h in 0..30_u32,
        more_h in 0..80_u32,
    ) {
        shards[0].closed = false;
        let final_h = grace_h + more_h;
        let day = BusinessDay::from_days(day);
        let status = horizon(&shards, grace_h, final_h).status(day);
        let expected = if shards.iter().all(|shard| is_past(shard, day, final_h)) {
            DayStatus::Final
        } else if shards.iter().all(|shard| is_past(shard, day, grace_h)) {
            DayStatus::Complete
        } else if shards.iter().all(|shard| {
            is_past(shard, day, grace_h) || shard.released_through.is_some_and(|last| day <= last)
        }) {
            DayStatus::CompleteWithout
        } else {
            DayStatus::Open
        };
        prop_assert_eq!(status, expected);
    }

    #[test]
    fn what_was_published_never_goes_back(
        before in vec(clock(), 0..5),
        after in vec(clock(), 0..5),
        day in 18_795..18_845_i32,
    ) {
        let (before, after) = (horizon(&before, 1, 72), horizon(&after, 1, 72));
        let published = before.advanced_to(after);
        prop_assert!(published.complete_without_through >= before.complete_without_through);
        prop_assert!(published.complete_without_through >= before.complete_without_through);
        prop_assert!(published.complete_through >= before.complete_through);
        prop_assert!(published.final_through >= before.final_through);
        let day = BusinessDay::from_days(day);
        prop_assert_eq!(published.status(day), before.status(day).max(after.status(day)));
        prop_assert_eq!(published.advanced_to(before), published);
        prop_assert_eq!(after.advanced_to(before), published);
    }

    #[test]
    fn a_missing_shard_holds_everything_open(
        mut shards in vec(clock(), 0..6),
        place in any::<prop::sample::Index>(),
    ) {
        shards.insert(place.index(shards.len() + 1), ShardClock::UNKNOWN);
        let horizon = horizon(&shards, 1, 72);
        prop_assert_eq!(horizon, Horizon::default());
        prop_assert_eq!(horizon.status(BusinessDay::from_days(0)), DayStatus::Open);
    }

    /// More time on any clock can only complete more days, and the order of shards is nothing.
    #[test]
    fn a_later_clock_completes_no_fewer_days(
        mut shards in vec(clock(), 1..6),
        place in any::<prop::sample::Index>(),
        later in instant(),
    ) {
        let before = horizon(&shards, 1, 72);
        let shard = place.get_mut(&mut shards);
        shard.watermark = shard.watermark.max(Some(later));
        let after = horizon(&shards, 1, 72);
        prop_assert_eq!(before.advanced_to(after), after);
        shards.reverse();
        prop_assert_eq!(horizon(&shards, 1, 72), after);
    }
}

/// A shard that has read one parcel, accepted at noon of each of these days, at these offsets.
fn shard(parcels: &[(i64, BusinessDay)]) -> Shard {
    let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
    let state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b"rules"));
    let mut shard = Shard::resume(state, vec![rules], IdKey([3; 16]), false);
    for &(offset, day) in parcels {
        let noon = day.start() + Span::hours(12);
        let value = format!(
            r#"{{"event_id":"{offset}","event_type":"accepted","product":"express",
            "prefecture":"210100","occurred_at":"{day}T12:00:00+08:00","revenue_fen":1}}"#
        );
        let (offset, value) = (Offset::new(offset), Some(value.as_bytes()));
        let record = Record { offset, timestamp: Some(noon), value };
        shard.step(&record, noon).expect("a log of its own");
    }
    shard
}

/// The clock of a shard, once the brokers have said at `asked_at` that its log ends at `end`.
fn asked(shard: &Shard, end: i64, asked_at: Timestamp) -> ShardClock {
    let state = shard.state();
    let is_caught_up = state.ledger.next == NextOffset::new(end);
    let caught_up_at = is_caught_up.then_some(asked_at);
    ShardClock { watermark: state.watermark, caught_up_at, ..ShardClock::UNKNOWN }
}

/// The last offsets of a partition may be markers of transactions, which no consumer is ever given.
/// They are gaps, so a partition that ends with them is caught up, and holds no day open for ever.
#[test]
fn neither_an_idle_partition_nor_transaction_markers_at_its_end_hold_a_day_open() {
    let first = BusinessDay::from_days(18_800);
    let now = first.plus_days(9).end() + Span::hours(1);
    let busy = shard(&[(0, first), (1, first.plus_days(10))]);
    let (mut ended, mut idle) = (shard(&[(0, first)]), shard(&[]));
    let clocks = |ended: &Shard, idle: &Shard| {
        [asked(&busy, 2, now), asked(ended, 3, now), asked(idle, 4, now)]
    };
    let status = |clocks: &[ShardClock]| horizon(clocks, 1, 72).status(first.plus_days(9));
    assert_eq!(status(&clocks(&ended, &idle)), DayStatus::Open, "the markers were not passed yet");

    // Two markers after a record, and four in a partition that never held one.
    assert_eq!(ended.end_of_log(NextOffset::new(3)), Ok(2));
    assert_eq!(status(&clocks(&ended, &idle)), DayStatus::Open, "one partition is not enough");
    assert_eq!(idle.end_of_log(NextOffset::new(4)), Ok(4));
    assert_eq!(status(&clocks(&ended, &idle)), DayStatus::Complete);
    for (shard, consumed, gaps) in [(&ended, 1, 2), (&idle, 0, 4)] {
        let ledger = &shard.state().ledger;
        assert_eq!((ledger.consumed(), ledger.gaps), (consumed, gaps));
        assert_eq!(consumed + gaps, ledger.first.distance_to(ledger.next));
    }
    // What was asked before the day was over says nothing about the day.
    let early = first.plus_days(9).start();
    let before = [asked(&busy, 2, now), asked(&ended, 3, early), asked(&idle, 4, now)];
    assert_eq!(status(&before), DayStatus::Open);
}
