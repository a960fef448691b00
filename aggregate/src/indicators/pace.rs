//! Pace: how a day that is not over yet stands, by the time of day. The one indicator that does not wait
//! for complete days.

use std::collections::BTreeMap;

use postroad_schemas::codebook::{Line, PrefectureCode};
use postroad_schemas::units::{BusinessDay, Timestamp};

use super::Exact;
use super::growth::to_f64;
use crate::merge::Rollup;

/// Acceptances by hour of the day, in per cent of the day. Source: DOMAIN, "Load to plan for".
pub const PARCEL_HOURS: [u8; 24] =
    [1, 1, 0, 0, 0, 0, 1, 2, 4, 6, 8, 8, 5, 5, 6, 7, 8, 9, 9, 8, 5, 4, 2, 1];
/// Counter transactions by hour of the day, in per cent of the day. Source: as above.
pub const COUNTER_HOURS: [u8; 24] =
    [0, 0, 0, 0, 0, 0, 0, 0, 6, 16, 17, 13, 8, 9, 12, 11, 6, 2, 0, 0, 0, 0, 0, 0];

/// How many weeks a day is held against.
const WEEKS: i32 = 4;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Volume of the day so far, of each prefecture, against what the same weekday of the last four weeks had by
/// this time of day on average, by the line's hourly profile. Weeks in which the line had nothing anywhere
/// do not count; a prefecture of which nothing is expected by now has no pace.
pub fn paces(rollup: &Rollup, line: Line, as_of: Timestamp) -> BTreeMap<PrefectureCode, f64> {
    let today = as_of.business_day();
    let volumes = |day: BusinessDay| {
        let mut volumes: BTreeMap<PrefectureCode, i128> = BTreeMap::new();
        for (cell, measures) in rollup.days(day, day.plus_days(1)) {
            if cell.product.line() == line {
                *volumes.entry(cell.prefecture).or_default() += i128::from(measures.volume);
            }
        }
        volumes
    };
    let weeks = (1..=WEEKS).map(|week| volumes(today.plus_days(-7 * week)));
    let weeks: Vec<_> = weeks.filter(|volumes| !volumes.is_empty()).collect();
    let mut before: BTreeMap<PrefectureCode, i128> = BTreeMap::new();
    for (prefecture, volume) in weeks.iter().flatten() {
        *before.entry(*prefecture).or_default() += volume;
    }
    let now = volumes(today);
    let (done, whole) = done(line, as_of);
    let pace = |(prefecture, before): (PrefectureCode, i128)| {
        let so_far = now.get(&prefecture).copied().unwrap_or_default();
        // Both sides multiplied by the number of weeks, and by the whole of the profile.
        let expected = before.checked_mul(done)?;
        let so_far = so_far.checked_mul(i128::try_from(weeks.len()).ok()?)?.checked_mul(whole)?;
        (expected > 0).then(|| (prefecture, to_f64(Exact::new_raw(so_far, expected))))
    };
    before.into_iter().filter_map(pace).collect()
}

/// How much of a day's business is expected by now, and how much in all: per cent × microseconds.
fn done(line: Line, as_of: Timestamp) -> (i128, i128) {
    let hours = match line {
        Line::Parcel => PARCEL_HOURS,
        Line::Finance | Line::Basic | Line::Retail => COUNTER_HOURS,
    };
    let elapsed = as_of.as_micros() - as_of.business_day().start().as_micros();
    let of_hour = |(hour, percent): (i64, u8)| {
        let within = (elapsed - hour * MICROS_PER_HOUR).clamp(0, MICROS_PER_HOUR);
        i128::from(percent) * i128::from(within)
    };
    ((0..).zip(hours).map(of_hour).sum(), 100 * i128::from(MICROS_PER_HOUR))
}

#[cfg(test)]
mod tests {
    use postroad_schemas::codebook::Product;
    use postroad_schemas::units::Span;

    use super::*;
    use crate::event::CellKey;
    use crate::measures::Measures;

    #[test]
    fn profiles_are_whole_days() {
        for hours in [PARCEL_HOURS, COUNTER_HOURS] {
            assert_eq!(hours.iter().map(|percent| u32::from(*percent)).sum::<u32>(), 100);
        }
    }

    #[test]
    fn today_is_held_against_the_same_weekday_by_the_time_of_day() {
        let prefecture = PrefectureCode::new(210_100).expect("a code");
        let today = BusinessDay::from_civil(2021, 11, 11).expect("a date");
        let mut rollup = Rollup::default();
        for (days, volume) in [(0, 35), (-7, 90), (-14, 110), (-1, 1_000)] {
            let day = today.plus_days(days);
            let key = CellKey { day, prefecture, product: Product::Express };
            rollup.add([(&key, &Measures { volume, ..Measures::default() })]);
        }
        // By half past eleven 27 % of a day's parcels have been accepted: 27 of 100.
        let at = |hours| today.start() + Span::hours(hours) + Span::minutes(30);
        let paces = |line, at| super::paces(&rollup, line, at);
        let pace = |hours| paces(Line::Parcel, at(hours)).get(&prefecture).copied();
        assert_eq!(pace(11), Some(35.0 / 27.0));
        assert!(paces(Line::Finance, at(11)).is_empty());
        assert!(paces(Line::Parcel, today.start()).is_empty(), "midnight");
        // A line that began two weeks ago has two weeks, however long others have been there.
        let day = today.plus_days(-21);
        let other = CellKey { day, prefecture, product: Product::Savings };
        rollup.add([(&other, &Measures { volume: 1, ..Measures::default() })]);
        let long_ago =
            CellKey { day: today.plus_days(-700), prefecture, product: Product::Express };
        rollup.add([(&long_ago, &Measures { volume: 1, ..Measures::default() })]);
        let paces = super::paces(&rollup, Line::Parcel, at(11));
        assert_eq!(paces.get(&prefecture), Some(&(35.0 / 27.0)));
    }
}
