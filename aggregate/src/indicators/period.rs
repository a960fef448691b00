//! Periods, and which days of other years and months they are held against.

use postroad_schemas::calendar::spring_festival;
use postroad_schemas::closed_names;
use postroad_schemas::units::BusinessDay;

closed_names! {
    /// A period that ends with the as-of day, or the half-year before it.
    Period {
        /// 当日
        Day = "day",
        /// The last 7 days.
        Days7 = "7d",
        /// The last 30 days.
        Days30 = "30d",
        /// 本月累计
        Mtd = "mtd",
        /// 本季累计
        Qtd = "qtd",
        /// 上半年: to date, or whole once it is over.
        H1 = "h1",
        /// 下半年, to date.
        H2 = "h2",
        /// 本年累计
        Ytd = "ytd",
    }
}

/// How far from the Spring Festival the trade still feels it, in days: from the last weeks of work to
/// the Lantern Festival and the way back to it.
pub const FESTIVAL_SEASON_DAYS: i32 = 30;

/// Days, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first day.
    pub first: BusinessDay,
    /// The last day, not before the first.
    pub last: BusinessDay,
}

impl Range {
    /// Whether a day lies within.
    pub fn contains(self, day: BusinessDay) -> bool {
        self.first <= day && day <= self.last
    }

    /// Whether it shares a day with another.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// How many days it has.
    pub fn days(self) -> i32 {
        self.last.days() - self.first.days() + 1
    }

    /// The same days a year before, as whoever publishes growth means them: what ends with a month ends with
    /// that month then, too, so that growth to 28 February 2021 is over all 60 days of 2020.
    pub fn published_year_before(self) -> Self {
        let Self { first, last } = Period::Ytd.year_before(self);
        let ends_month = |day: BusinessDay| day.plus_days(1).month_start() == day.plus_days(1);
        let (of_month, next) = (ends_month(self.last), last.plus_days(1));
        Self { first, last: if of_month && !ends_month(last) { next } else { last } }
    }

    /// The days of this many that end with `last`.
    fn ending(last: BusinessDay, days: i32) -> Self {
        Self { first: last.plus_days(1 - days), last }
    }
}

impl Period {
    /// Its days as of a day; `None` for a half-year that has not begun.
    pub fn range(self, as_of: BusinessDay) -> Option<Range> {
        let since = |first| Some(Range { first, last: as_of });
        let july = as_of.year_start().plus_days(185).month_start();
        match self {
            Self::Day => since(as_of),
            Self::Days7 => Some(Range::ending(as_of, 7)),
            Self::Days30 => Some(Range::ending(as_of, 30)),
            Self::Mtd => since(as_of.month_start()),
            Self::Qtd => since(as_of.quarter_start()),
            Self::H1 => {
                Some(Range { first: as_of.year_start(), last: as_of.min(july.plus_days(-1)) })
            }
            Self::H2 => (july <= as_of).then_some(Range { first: july, last: as_of }),
            Self::Ytd => since(as_of.year_start()),
        }
    }

    /// The same elapsed period a year before: it ends with the same day of the same month (29 February:
    /// the 28th), and begins with its calendar period, or has as many days.
    pub fn year_before(self, of: Range) -> Range {
        let last = of.last.year_before();
        match self {
            Self::Day | Self::Days7 | Self::Days30 => Range::ending(last, of.days()),
            Self::Mtd | Self::Qtd | Self::H1 | Self::H2 | Self::Ytd => {
                Range { first: of.first.year_before(), last }
            }
        }
    }

    /// The days of the year before that are as far from its Spring Festival: of the periods that slide,
    /// within [`FESTIVAL_SEASON_DAYS`] of one. Of the others January and February together are held
    /// against those of the year before by [`Self::year_before`], which has both festivals in it.
    pub fn festival_before(self, of: Range) -> Option<Range> {
        if !matches!(self, Self::Day | Self::Days7 | Self::Days30) {
            return None;
        }
        let year = i32::try_from(of.last.civil().0).ok()?;
        // The season of an early festival begins in December.
        [year, year + 1].into_iter().find_map(|year| {
            let (festival, before) = (spring_festival(year)?, spring_festival(year - 1)?);
            let distance = of.last.days() - festival.days();
            (distance.abs() <= FESTIVAL_SEASON_DAYS)
                .then(|| Range::ending(before.plus_days(distance), of.days()))
        })
    }

    /// The preceding equal period: as many days of the calendar period before, where there are as many.
    /// A year's is that of [`Self::year_before`], and not given here.
    pub fn preceding(self, of: Range) -> Option<Range> {
        let before = of.first.plus_days(-1);
        let first = match self {
            Self::Day | Self::Days7 | Self::Days30 => {
                return Some(Range::ending(before, of.days()));
            }
            Self::Mtd => before.month_start(),
            Self::Qtd => before.quarter_start(),
            Self::H1 => before.month_start().plus_days(-150).month_start(),
            Self::H2 => before.year_start(),
            Self::Ytd => return None,
        };
        Some(Range { first, last: first.plus_days(of.days() - 1).min(before) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> BusinessDay {
        postroad_schemas::time::parse_date(text).expect("a date")
    }

    fn range(first: &str, last: &str) -> Range {
        Range { first: day(first), last: day(last) }
    }

    #[track_caller]
    fn check(
        period: Period,
        as_of: &str,
        own: (&str, &str),
        year: (&str, &str),
        pop: Option<(&str, &str)>,
    ) {
        let found = period.range(day(as_of)).expect("it has begun");
        assert_eq!(found, range(own.0, own.1), "{period}");
        assert_eq!(period.year_before(found), range(year.0, year.1), "{period}, a year before");
        let preceding = pop.map(|(first, last)| range(first, last));
        assert_eq!(period.preceding(found), preceding, "{period}, preceding");
    }

    #[test]
    fn a_period_is_held_against_the_same_elapsed_days() {
        use Period::{Day, Days7, H1, H2, Mtd, Qtd, Ytd};
        let on = "2024-02-29";
        check(Day, on, (on, on), ("2023-02-28", "2023-02-28"), Some(("2024-02-28", "2024-02-28")));
        check(
            Days7,
            on,
            ("2024-02-23", on),
            ("2023-02-22", "2023-02-28"),
            Some(("2024-02-16", "2024-02-22")),
        );
        check(
            Mtd,
            on,
            ("2024-02-01", on),
            ("2023-02-01", "2023-02-28"),
            Some(("2024-01-01", "2024-01-29")),
        );
        check(Ytd, on, ("2024-01-01", on), ("2023-01-01", "2023-02-28"), None);
        check(
            Mtd,
            "2023-03-30",
            ("2023-03-01", "2023-03-30"),
            ("2022-03-01", "2022-03-30"),
            Some(("2023-02-01", "2023-02-28")),
        );
        check(
            Qtd,
            "2021-05-10",
            ("2021-04-01", "2021-05-10"),
            ("2020-04-01", "2020-05-10"),
            Some(("2021-01-01", "2021-02-09")),
        );
        check(
            H1,
            "2021-08-01",
            ("2021-01-01", "2021-06-30"),
            ("2020-01-01", "2020-06-30"),
            Some(("2020-07-01", "2020-12-28")),
        );
        check(
            H2,
            "2024-07-02",
            ("2024-07-01", "2024-07-02"),
            ("2023-07-01", "2023-07-02"),
            Some(("2024-01-01", "2024-01-02")),
        );
        assert_eq!(
            Days7.festival_before(range("2024-02-10", "2024-02-16")),
            Some(range("2023-01-22", "2023-01-28")),
            "the week that begins with the festival"
        );
        assert_eq!(Days7.festival_before(range("2024-03-06", "2024-03-12")), None);
        assert_eq!(
            Day.festival_before(range("2022-12-31", "2022-12-31")),
            Some(range("2022-01-10", "2022-01-10")),
            "22 days before 2023-01-22, and before 2022-02-01"
        );
        assert_eq!(Mtd.festival_before(range("2024-02-01", "2024-02-16")), None);
        assert_eq!(H2.range(day("2024-06-30")), None);
        assert_eq!(H2.range(day("2023-07-01")), Some(range("2023-07-01", "2023-07-01")));
    }
}
