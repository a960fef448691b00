//! The calendar: days of the week, and the feast that moves through the others.

use crate::units::BusinessDay;

/// The day of the week, 1 for Monday to 7 for Sunday. 1970-01-01 was a Thursday.
pub fn iso_weekday(day: BusinessDay) -> i32 {
    (day.days() + 3).rem_euclid(7) + 1
}

/// The first day of the Spring Festival in a year; `None` outside the years that are listed.
///
/// Source: the Chinese calendar, GB/T 33661-2017; the dates are common knowledge.
pub fn spring_festival(year: i32) -> Option<BusinessDay> {
    let (month, day) = match year {
        2019 => (2, 5),
        2020 => (1, 25),
        2021 => (2, 12),
        2022 => (2, 1),
        2023 => (1, 22),
        2024 => (2, 10),
        2025 => (1, 29),
        2026 => (2, 17),
        2027 => (2, 6),
        2028 => (1, 26),
        2029 => (2, 13),
        2030 => (2, 3),
        _ => return None,
    };
    BusinessDay::from_civil(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_are_those_of_the_calendar() {
        let weekday = |y, m, d| iso_weekday(BusinessDay::from_civil(y, m, d).expect("a date"));
        assert_eq!(weekday(1970, 1, 1), 4);
        assert_eq!(weekday(2021, 11, 11), 4);
        assert_eq!(weekday(2024, 2, 25), 7);
        assert_eq!(weekday(2024, 2, 26), 1);
    }
}
