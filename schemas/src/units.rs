//! Units as types: no bare integer crosses a module.
//!
//! Money is integer fen and weight is integer grams, both in 128 bits: an event carries at most
//! 10¹² of either, so a sum over every record that a partition can ever hold (2⁶³) fits, and
//! addition can neither wrap nor saturate. That is what makes merging exact.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg};

use serde::{Deserialize, Serialize};

macro_rules! additive {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i128);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            /// This many units.
            pub const fn new(units: i128) -> Self {
                Self(units)
            }

            /// The number of units.
            pub const fn get(self) -> i128 {
                self.0
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Add::add)
            }
        }
    };
}

additive! {
    /// Money in fen (1 yuan = 100 fen), signed.
    Fen
}

additive! {
    /// Weight in grams, signed (a voided acceptance takes its weight back).
    Grams
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
/// China keeps one time, UTC+08:00, without daylight saving since 1991.
const BUSINESS_OFFSET_MICROS: i64 = 8 * MICROS_PER_HOUR;

/// A span of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// A span of whole hours.
    pub const fn hours(hours: u32) -> Self {
        Self(hours as i64 * MICROS_PER_HOUR)
    }

    /// A span of milliseconds.
    pub const fn millis(millis: u32) -> Self {
        Self(millis as i64 * 1_000)
    }

    /// A span of whole seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds as i64 * MICROS_PER_SECOND)
    }

    /// A span of whole minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self(minutes as i64 * 60 * MICROS_PER_SECOND)
    }
}

/// An instant: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Arithmetic saturates: the ends lie 292,000 years away, where only a broken clock points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant this many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant this many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, for metrics.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double; 2^53 µs is year 2255")]
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The shard hour that holds this instant: `[hour, hour + 1)` since the epoch.
    pub const fn hour(self) -> Hour {
        Hour(self.0.div_euclid(MICROS_PER_HOUR))
    }

    /// The business day that holds this instant in UTC+08:00.
    #[expect(clippy::cast_possible_truncation, reason = "i64 µs are at most 1.1e8 days")]
    pub const fn business_day(self) -> BusinessDay {
        BusinessDay(self.0.saturating_add(BUSINESS_OFFSET_MICROS).div_euclid(MICROS_PER_DAY) as i32)
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl std::ops::Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        )
    }
}

/// A shard hour: whole hours since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hour(i64);

impl Hour {
    /// The hour with this number.
    pub const fn new(hours: i64) -> Self {
        Self(hours)
    }

    /// Hours since the epoch.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The oldest hour that a window of `window_h` hours still remembers at this hour, inclusive.
    pub const fn window_start(self, window_h: u32) -> Self {
        Self(self.0.saturating_sub(window_h as i64))
    }
}

/// A natural day in UTC+08:00, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BusinessDay(i32);

impl BusinessDay {
    /// The day this many days after 1970-01-01.
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// The day of a proleptic Gregorian date, or `None` where there is no such date.
    #[expect(clippy::cast_possible_truncation, reason = "four-digit years are few days")]
    pub const fn from_civil(year: i32, month: u32, day: u32) -> Option<Self> {
        if month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        Some(Self(days_from_civil(year as i64, month, day) as i32))
    }

    /// Days since 1970-01-01: what Arrow's `Date32` holds.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// Year, month, day.
    pub const fn civil(self) -> (i64, u32, u32) {
        civil_from_days(self.0 as i64)
    }

    /// The first instant of the day (inclusive).
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 as i64 * MICROS_PER_DAY - BUSINESS_OFFSET_MICROS)
    }

    /// The first instant after the day (exclusive end).
    pub const fn end(self) -> Timestamp {
        Timestamp((self.0 as i64 + 1) * MICROS_PER_DAY - BUSINESS_OFFSET_MICROS)
    }

    /// The first day of this day's month.
    #[expect(clippy::cast_possible_wrap, reason = "a day of month is at most 31")]
    pub const fn month_start(self) -> Self {
        let (_, _, day) = self.civil();
        Self(self.0 - (day as i32 - 1))
    }

    /// The first day of this day's quarter.
    pub const fn quarter_start(self) -> Self {
        let (_, month, _) = self.civil();
        self.at_month((month - 1) / 3 * 3 + 1)
    }

    /// The first day of this day's year.
    pub const fn year_start(self) -> Self {
        self.at_month(1)
    }

    /// The same day a year before; 29 February maps to 28 February.
    pub const fn year_before(self) -> Self {
        let (year, month, day) = self.civil();
        let day = if month == 2 && day == 29 { 28 } else { day };
        Self::at(year - 1, month, day)
    }

    /// This many days later (earlier, if negative).
    pub const fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    const fn at_month(self, month: u32) -> Self {
        let (year, _, _) = self.civil();
        Self::at(year, month, 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "derived from another day of that range")]
    const fn at(year: i64, month: u32, day: u32) -> Self {
        Self(days_from_civil(year, month, day) as i32)
    }
}

impl fmt::Display for BusinessDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Days in a month of the proleptic Gregorian calendar; `month` is 1 to 12.
pub const fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month as i64 + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The proleptic Gregorian date of a day since 1970-01-01: the inverse of [`days_from_civil`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "month and day are small and positive by construction"
)]
pub const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

/// The position of one record in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(i64);

impl Offset {
    /// The position with this number; Kafka's are never negative.
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The boundary right after this record.
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0.saturating_add(1))
    }
}

/// A boundary between records: everything below it has been read, nothing from it on has.
///
/// Every interval of offsets is half open, `[from, next)`. The order of a shard's boundaries, once
/// and for all: `first ≤ window_begin ≤ last_delivered < next ≤ end`.
///
/// | record at offset | against boundary `n` |
/// |---|---|
/// | `n − 1` | below: already accounted for, skipped and not counted |
/// | `n` | the one expected next: no gap |
/// | `n + g` | `g` offsets that the log does not deliver lie between: gaps |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextOffset(i64);

impl NextOffset {
    /// The boundary below the record with this number.
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The number of the first record that lies beyond.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether the record lies below this boundary, that is, has been accounted for.
    pub const fn is_past(self, record: Offset) -> bool {
        record.0 < self.0
    }

    /// The number of offsets in `[self, other)`; zero where `other` lies below.
    #[expect(clippy::cast_sign_loss, reason = "the maximum with zero is not negative")]
    pub const fn distance_to(self, other: NextOffset) -> u64 {
        if other.0 > self.0 { (other.0 - self.0) as u64 } else { 0 }
    }
}

impl From<Offset> for NextOffset {
    /// The boundary right below the record.
    fn from(offset: Offset) -> Self {
        Self(offset.0)
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
display_number!(Offset, NextOffset, Hour);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn day(year: i32, month: u32, day: u32) -> BusinessDay {
        BusinessDay::from_civil(year, month, day).expect("a date")
    }

    #[test]
    fn civil_dates_round_trip_over_twelve_thousand_years() {
        for days in (-800_000..3_700_000).step_by(13) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(day(1970, 1, 1).days(), 0);
        assert_eq!(day(2000, 2, 29).days(), 11_016);
        assert_eq!(BusinessDay::from_civil(2023, 2, 29), None);
        assert_eq!(BusinessDay::from_civil(2023, 13, 1), None);
    }

    /// Canonical case 9: the last second of 30 June in UTC+08:00, and the one after it.
    #[test]
    fn business_day_turns_at_sixteen_hundred_utc() {
        let last = Timestamp::from_micros(1_625_068_799_000_000);
        assert_eq!(last.to_string(), "2021-06-30T15:59:59Z");
        assert_eq!(last.business_day(), day(2021, 6, 30));
        assert_eq!((last + Span(MICROS_PER_SECOND)).business_day(), day(2021, 7, 1));
        assert_eq!(day(2021, 6, 30).end(), day(2021, 7, 1).start());
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let date = day(2024, 8, 29);
        assert_eq!(date.month_start(), day(2024, 8, 1));
        assert_eq!(date.quarter_start(), day(2024, 7, 1));
        assert_eq!(date.year_start(), day(2024, 1, 1));
        assert_eq!(day(2024, 2, 29).year_before(), day(2023, 2, 28));
        assert_eq!(day(2025, 2, 28).year_before(), day(2024, 2, 28));
    }

    /// The truth table of [`NextOffset`].
    #[test]
    fn boundaries_are_half_open() {
        let next = NextOffset::new(7);
        assert!(next.is_past(Offset::new(6)));
        assert!(!next.is_past(Offset::new(7)));
        assert_eq!(next.distance_to(Offset::new(9).into()), 2);
        assert_eq!(next.distance_to(Offset::new(3).into()), 0);
        assert_eq!(Offset::new(6).next(), next);
    }
}
