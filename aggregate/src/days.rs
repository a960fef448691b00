//! Which days are complete, and which final.
//!
//! A shard has a clock: its watermark, or the moment at which it was last seen to have nothing
//! more to read, whichever is later (an idle partition must not hold a day open for ever). A day
//! is complete once the clock of every shard has passed its end plus grace, final once it has
//! passed its end plus the finalisation delay. Both therefore are boundaries in time, and a
//! boundary that has been published never goes back.

use std::fmt;

use postroad_schemas::units::{BusinessDay, Span, Timestamp};

/// What readers may expect of a day's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DayStatus {
    /// Records for the day are still expected.
    Open,
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
}

impl ShardClock {
    /// A shard of which nothing is known yet: it holds every day open.
    pub const UNKNOWN: Self = Self { watermark: None, caught_up_at: None, closed: false };

    fn now(&self) -> Option<Timestamp> {
        self.watermark.max(self.caught_up_at)
    }
}

/// The last complete and the last final day, both inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizon {
    /// Every day up to this one is complete.
    pub complete_through: Option<BusinessDay>,
    /// Every day up to this one is final.
    pub final_through: Option<BusinessDay>,
}

impl Horizon {
    /// How far all shards together have come; `grace` and `final_after` are counted from the end
    /// of a day. Without an open shard it is the furthest closed one that tells the time.
    pub fn of(shards: &[ShardClock], grace: Span, final_after: Span) -> Self {
        let open: Vec<_> = shards.iter().filter(|shard| !shard.closed).collect();
        let furthest = shards.iter().filter_map(ShardClock::now).max();
        let slowest = match open.iter().map(|shard| shard.now()).min() {
            Some(slowest) => slowest,
            None => furthest,
        };
        let complete = if open.is_empty() {
            furthest.map(Timestamp::business_day)
        } else {
            last_day_ended(slowest, grace)
        };
        let final_through = last_day_ended(slowest, final_after);
        Self { complete_through: complete.max(final_through), final_through }
    }

    /// The later of two horizons: what was published never goes back.
    #[must_use]
    pub fn advanced_to(self, other: Self) -> Self {
        Self {
            complete_through: self.complete_through.max(other.complete_through),
            final_through: self.final_through.max(other.final_through),
        }
    }

    /// The status of a day.
    pub fn status(&self, day: BusinessDay) -> DayStatus {
        if self.final_through.is_some_and(|last| day <= last) {
            DayStatus::Final
        } else if self.complete_through.is_some_and(|last| day <= last) {
            DayStatus::Complete
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
    fn what_was_published_never_goes_back() {
        let before = Horizon { complete_through: Some(day(9)), final_through: Some(day(6)) };
        let after = before.advanced_to(Horizon::of(&[ShardClock::UNKNOWN], GRACE, FINAL));
        assert_eq!(after, before);
        assert_eq!(after.status(day(6)), DayStatus::Final);
        assert_eq!(after.status(day(7)), DayStatus::Complete);
        assert_eq!(after.status(day(10)), DayStatus::Open);
    }
}
