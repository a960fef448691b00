//! Pace: how a day that is not over yet stands, by the time of day. The one indicator that does not wait
//! for complete days.

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

/// Volume of the day so far against what the same weekday of the last four weeks had by this time of day on
/// average, by the line's hourly profile; `None` where nothing is expected by now or nothing was there.
pub fn pace(
    rollup: &Rollup,
    prefecture: PrefectureCode,
    line: Line,
    as_of: Timestamp,
) -> Option<f64> {
    let today = as_of.business_day();
    let volume = |day: BusinessDay| -> i128 {
        let cells = rollup.days(day, day.plus_days(1));
        let own =
            cells.filter(|(cell, _)| cell.prefecture == prefecture && cell.product.line() == line);
        own.map(|(_, measures)| i128::from(measures.volume)).sum()
    };
    let (first, _) = rollup.day_range()?;
    let days = (1..=WEEKS).map(|week| today.plus_days(-7 * week)).filter(|day| *day >= first);
    let days: Vec<BusinessDay> = days.collect();
    let before: i128 = days.iter().map(|day| volume(*day)).sum();
    // Both sides multiplied by the number of days, and by the whole of the profile.
    let (done, whole) = done(line, as_of);
    let expected = before.checked_mul(done)?;
    let so_far = volume(today).checked_mul(i128::try_from(days.len()).ok()?)?.checked_mul(whole)?;
    (expected > 0).then(|| to_f64(Exact::new_raw(so_far, expected)))
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
        let pace = |hours| pace(&rollup, prefecture, Line::Parcel, at(hours));
        assert_eq!(pace(11), Some(35.0 / 27.0));
        assert_eq!(super::pace(&rollup, prefecture, Line::Finance, at(11)), None);
        assert_eq!(super::pace(&rollup, prefecture, Line::Parcel, today.start()), None, "midnight");
    }
}
