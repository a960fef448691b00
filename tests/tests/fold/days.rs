//! Which days are complete: published once, true for ever.

use postroad_aggregate::days::{DayStatus, Horizon, ShardClock};
use postroad_schemas::units::{BusinessDay, Span, Timestamp};
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
    (option::of(instant()), option::of(instant()), prop::bool::weighted(0.2)).prop_map(
        |(watermark, caught_up_at, closed)| ShardClock { watermark, caught_up_at, closed },
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
    /// Day by day, the definition: every open shard is past the day's end by the delay.
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
