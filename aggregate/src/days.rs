//! Which days are complete, and which final.
//!
//! A shard has a clock: its watermark, or the moment at which it was last seen to have nothing
//! more to read, whichever is later (an idle partition must not hold a day open for ever). A day
//! is complete once the clock of every shard has passed its end plus grace, final once it has
//! passed its end plus the finalisation delay. An operator may release the days of a shard that
//! cannot go on: they are then complete without it. All three therefore are boundaries in time,
//! and a boundary that has been published never goes back.

use std::fmt;

use postroad_schemas::units::{BusinessDay, Span, Timestamp};

/// What readers may expect of a day's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DayStatus {
    /// Records for the day are still expected.
    Open,
    /// An operator has released the day, and every shard that was not released has passed it. The
    /// figures lack what the released ones still have to read.
    CompleteWithout,
    /// Every shard has passed the day; late records may still revise it.
    Complete,
    /// The finalisation delay is over; a record that still comes is shown as a restatement.
    Final,
}

impl DayStatus {
    /// The value of the column `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::CompleteWithout => "complete_without",
            Self::Complete => "complete",
            Self::Final => "final",
        }
    }
}

impl fmt::Display for DayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far one shard has come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardClock {
    /// Shard time; `None` before the first valid record.
    pub watermark: Option<Timestamp>,
    /// When the shard was last seen to have nothing more to read.
    pub caught_up_at: Option<Timestamp>,
    /// Whether nothing can be added to it any more: it holds no day open.
    pub closed: bool,
    /// The last day that an operator has decided not to wait for, inclusive.
    pub released_through: Option<BusinessDay>,
}

impl ShardClock {
    /// A shard of which nothing is known yet: it holds every day open.
    pub const UNKNOWN: Self =
        Self { watermark: None, caught_up_at: None, closed: false, released_through: None };

    fn now(&self) -> Option<Timestamp> {
        self.watermark.max(self.caught_up_at)
    }
}

/// The last day of each status; all inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizon {
    /// Every day up to this one is complete, or was released by an operator.
    pub complete_without_through: Option<BusinessDay>,
    /// Every day up to this one is complete.
    pub complete_through: Option<BusinessDay>,
    /// Every day up to this one is final.
    pub final_through: Option<BusinessDay>,
}

impl Horizon {
    /// How far all shards together have come; `grace` and `final_after` are counted from the end
    /// of a day. Without an open shard it is the furthest closed one that tells the time. A release
    /// makes no day complete or final: that takes the shard's own clock.
    pub fn of(shards: &[ShardClock], grace: Span, final_after: Span) -> Self {
        let open: Vec<_> = shards.iter().filter(|shard| !shard.closed).collect();
        let furthest = shards.iter().filter_map(ShardClock::now).max();
        let slowest = match open.iter().map(|shard| shard.now()).min() {
            Some(slowest) => slowest,
            None => furthest,
        };
        let final_through = last_day_ended(slowest, final_after);
        let complete = if open.is_empty() {
            furthest.map(Timestamp::business_day)
        } else {
            last_day_ended(slowest, grace)
        };
        let complete_through = complete.max(final_through);
        let released =
            |shard: &&ShardClock| last_day_ended(shard.now(), grace).max(shard.released_through);
        let released = open.iter().map(released).min().flatten();
        Self {
            complete_without_through: released.max(complete_through),
            complete_through,
            final_through,
        }
    }

    /// The later of two horizons: what was published never goes back.
    #[must_use]
    pub fn advanced_to(self, other: Self) -> Self {
        Self {
            complete_without_through: self
                .complete_without_through
                .max(other.complete_without_through),
            complete_through: self.complete_through.max(other.complete_through),
            final_through: self.final_through.max(other.final_through),
        }
    }

    /// The status of a day.
    pub fn status(&self, day: BusinessDay) -> DayStatus {
        let reaches = |last: Option<BusinessDay>| last.is_some_and(|last| day <= last);
        if reaches(self.final_through) {
            DayStatus::Final
        } else if reaches(self.complete_through) {
            DayStatus::Complete
        } else if reaches(self.complete_without_through) {
            DayStatus::CompleteWithout
        } else {
            DayStatus::Open
        }
    }
}

/// The last day whose end lies at least `delay` before `now`.
fn last_day_ended(now: Option<Timestamp>, delay: Span) -> Option<BusinessDay> {
    now.map(|now| (now - delay).business_day().plus_days(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Span = Span::hours(1);
    const FINAL: Span = Span::hours(72);

    fn day(day: u32) -> BusinessDay {
        BusinessDay::from_civil(2021, 6, day).expect("a date")
    }

    fn at(watermark: Timestamp) -> ShardClock {
        ShardClock { watermark: Some(watermark), ..ShardClock::UNKNOWN }
    }

    #[track_caller]
    fn check(shards: &[ShardClock], complete: Option<u32>, final_: Option<u32>) {
        let horizon = Horizon::of(shards, GRACE, FINAL);
        assert_eq!(horizon.complete_through, complete.map(day), "complete");
        assert_eq!(horizon.final_through, final_.map(day), "final");
    }

    #[test]
    fn a_day_waits_for_its_slowest_shard() {
        let past = at(day(10).end() + GRACE);
        check(&[past], Some(10), Some(7));
        check(&[at(day(10).end() + GRACE - Span::minutes(1))], Some(9), Some(7));
        check(&[past, at(day(4).end() + FINAL)], Some(6), Some(4));
        check(&[past, ShardClock::UNKNOWN], None, None);
    }

    #[test]
    fn an_idle_shard_that_was_caught_up_holds_nothing_open() {
        let idle = ShardClock { caught_up_at: Some(day(10).end() + GRACE), ..ShardClock::UNKNOWN };
        check(&[at(day(10).end() + GRACE), idle], Some(10), Some(7));
    }

    #[test]
    fn closed_shards_release_every_day() {
        let closed = ShardClock { closed: true, ..at(day(3).start()) };
        check(&[closed, at(day(10).end() + GRACE)], Some(10), Some(7));
        let alone = Horizon::of(&[closed], GRACE, FINAL);
        assert_eq!(alone.complete_through, Some(day(3)));
        assert!(alone.final_through < Some(day(1)));
    }

    #[test]
    fn released_days_are_complete_without_the_shard_until_it_has_passed_them() {
        let others = at(day(20).end() + FINAL);
        let stalled = at(day(4).end() + FINAL);
        let released = ShardClock { released_through: Some(day(15)), ..stalled };
        let status = |shards: &[ShardClock], of: u32| {
            let horizon = Horizon::of(shards, GRACE, FINAL);
            horizon.status(day(of)).as_str()
        };
        assert_eq!(status(&[others, stalled], 7), "open");
        for (of, expect) in [
            (4, "final"),
            (6, "complete"),
            (7, "complete_without"),
            (15, "complete_without"),
            (16, "open"),
        ] {
            assert_eq!(status(&[others, released], of), expect, "the {of}th");
            assert_eq!(status(&[released, others], of), expect, "the {of}th");
        }
        // A release speaks for its own shard only, and never for one of which nothing is known.
        assert_eq!(status(&[others, released, stalled], 7), "open");
        assert_eq!(status(&[others, released, ShardClock::UNKNOWN], 4), "open");
        let new = ShardClock { released_through: Some(day(15)), ..ShardClock::UNKNOWN };
        assert_eq!(status(&[others, new], 15), "complete_without");
        // It holds nothing back either: a shard that has passed the day has passed it.
        let caught_up = ShardClock { released_through: Some(day(15)), ..others };
        check(&[caught_up], Some(22), Some(20));
        assert_eq!(status(&[caught_up], 20), "final");
    }

    #[test]
    fn what_was_published_never_goes_back() {
        let before = Horizon {
            complete_without_through: Some(day(12)),
            complete_through: Some(day(9)),
            final_through: Some(day(6)),
        };
        let after = before.advanced_to(Horizon::of(&[ShardClock::UNKNOWN], GRACE, FINAL));
        assert_eq!(after, before);
        assert_eq!(after.status(day(6)), DayStatus::Final);
        assert_eq!(after.status(day(7)), DayStatus::Complete);
        assert_eq!(after.status(day(12)), DayStatus::CompleteWithout);
        assert_eq!(after.status(day(13)), DayStatus::Open);
    }
}
