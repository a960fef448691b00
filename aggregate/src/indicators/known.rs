//! Which days are known: whether a day's figures are the log's or a baseline's, and whether a base is whole.
//!
//! A base of which a part is missing would make everybody a winner, and a period of which a part is missing a
//! loser, so both have to be found out:
//!
//! - Where the settings say from when on the log has everything (`data_from`), they are believed: of days
//!   before that only baselines tell anything.
//! - Baselines count on the days from their first to their last, and the log's own cells do not: of the
//!   days before a log begins it has stray events only. From `data_from` on all days are the log's. Days
//!   between the last baseline and the log are a hole, whether a period reaches into it or its base; a
//!   log of a single day, or of fewer than a tenth of its days, does not tell where it begins.
//! - Else a base is whole where anything happened as early in it as in the period that is held against it,
//!   or in the week before it, and on a tenth as many days at least. A log that began in July has no first
//!   half to grow from, nor does a record of long ago make one; a log that has a single day of each year
//!   has both.
//! - What is held against a whole year, as attainment is, needs something of the year's first week.

use postroad_schemas::units::BusinessDay;

use super::period::Range;
use super::{Reference, Settings};

const WEEK: i32 = 7;
/// How many times as many days a period may have as its base, before that is too thin to be whole.
const THIN: usize = 10;

/// The days that a period is held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    /// Which.
    pub(super) days: Range,
    /// Whether all of them are known.
    pub(super) is_whole: bool,
}

/// Which days are known.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The days of the baselines.
    baselines: Option<Range>,
    /// From when on the log has everything, where somebody has said so.
    data_from: Option<BusinessDay>,
    /// The days on which anything happened, ascending.
    days: Vec<BusinessDay>,
}

impl Known {
    /// What settings and baselines say, before anything of the log is known.
    pub fn new(settings: Settings, reference: &Reference) -> Self {
        let data_from = settings.data_from;
        let is_before = |day: &BusinessDay| data_from.is_none_or(|from| *day < from);
        let baselines = reference.baselines.keys().map(|(day, ..)| *day).filter(is_before);
        let mut days: Vec<BusinessDay> = baselines.collect();
        days.dedup();
        let baselines = days.first().zip(days.last());
        let baselines = baselines.map(|(first, last)| Range { first: *first, last: *last });
        Self { baselines, data_from, days }
    }

    /// Adds the days on which the log has anything, in any order.
    pub fn add_log(&mut self, days: impl IntoIterator<Item = BusinessDay>) {
        let baselines = self.baselines;
        let is_the_logs = |day: &BusinessDay| !baselines.is_some_and(|days| days.contains(*day));
        self.days.extend(days.into_iter().filter(is_the_logs));
        self.days.sort_unstable();
        self.days.dedup();
    }

    /// Whether a day's figures are those of the log's cells; else they are the baselines'.
    pub fn is_the_logs(&self, day: BusinessDay) -> bool {
        !self.baselines.is_some_and(|days| days.contains(day))
    }

    /// Whether some days reach into those of the baselines.
    pub(super) fn has_baselines(&self, days: Range) -> bool {
        self.baselines.is_some_and(|given| days.overlaps(given))
    }

    /// Some days as the base of a period.
    pub(super) fn base(&self, period: Range, days: Range) -> Base {
        Base { days, is_whole: self.has_base(period, days) }
    }

    /// Whether all of a period is known, and of a base that it is held against.
    pub fn has_base(&self, period: Range, base: Range) -> bool {
        if !self.may_have(period) || self.has_hole(base) {
            return false;
        }
        if let (Some(from), None) = (self.data_from, self.baselines) {
            return from <= base.first;
        }
        let (own, before) = (self.within(period), self.within(base));
        let Some(first) = own.first() else { return false };
        // The day of the base that corresponds to the first of the period: as far from the beginning, or
        // of the same date, from which a 29 February may be a day away.
        let as_far = base.first.plus_days(first.days() - period.first.days()).min(base.last);
        let of_date = Some(first.year_before()).filter(|day| base.contains(*day));
        let early = Range {
            first: base.first.plus_days(-WEEK),
            last: of_date.map_or(as_far, |of_date| of_date.max(as_far)),
        };
        !self.within(early).is_empty() && before.len().saturating_mul(THIN) >= own.len()
    }

    /// Whether the data begin in the year of a range's first day, or before: sums over it are of
    /// something.
    pub fn reaches(&self, days: Range) -> bool {
        let begin = self.data_from.filter(|_| self.baselines.is_none());
        let begin = begin.or_else(|| self.days.first().map(|day| day.year_start()));
        begin.is_some_and(|begin| begin <= days.first)
    }

    /// Whether nothing says that a part of some days is missing.
    pub fn may_have(&self, days: Range) -> bool {
        let is_given = self.data_from.is_none_or(|from| from <= days.first)
            || self.baselines.is_some_and(|baselines| baselines.first <= days.first);
        is_given && !self.has_hole(days)
    }

    /// Whether some days are known from the first of them on, so that they can be told of as a whole. Where
    /// nobody has said so, days of which the first week is silent are those of a log that began later.
    /// One with a single day, or of fewer than a tenth of the days since, says nothing by a silent week.
    pub fn has_from_start(&self, days: Range) -> bool {
        if !self.may_have(days) || self.data_from.is_some() {
            return self.may_have(days);
        }
        let seen = self.within(days);
        let Some(first) = seen.first() else { return false };
        first.days() - days.first.days() < WEEK || is_sparse(seen, days.last)
    }

    /// Whether some days reach into those between the last baseline and the log.
    fn has_hole(&self, days: Range) -> bool {
        self.hole().is_some_and(|hole| days.overlaps(hole))
    }

    /// The days between the last baseline and the first day of the log. Where nobody has said when that
    /// is, a sparse log says nothing of it.
    fn hole(&self) -> Option<Range> {
        let first = self.baselines?.last.plus_days(1);
        let begin = || {
            let log = &self.days[self.days.partition_point(|day| *day < first)..];
            (!is_sparse(log, *log.last()?)).then_some(log[0])
        };
        let last = self.data_from.or_else(begin)?.plus_days(-1);
        (first <= last).then_some(Range { first, last })
    }

    /// The days of a range on which anything happened.
    fn within(&self, range: Range) -> &[BusinessDay] {
        let from = self.days.partition_point(|day| *day < range.first);
        let to = self.days.partition_point(|day| *day <= range.last);
        &self.days[from..to]
    }
}

/// Whether days are too few to say anything by a silence before them: a single one, or fewer than a tenth
/// of those from the first of them until `last`.
fn is_sparse(days: &[BusinessDay], last: BusinessDay) -> bool {
    let Some(first) = days.first() else { return true };
    let since = usize::try_from(last.days() - first.days() + 1).unwrap_or_default();
    days.len() == 1 || days.len().saturating_mul(THIN) < since
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use postroad_schemas::codebook::{PrefectureCode, Product};
    use postroad_schemas::reference::Baseline;
    use postroad_schemas::time::parse_date;

    use super::*;

    fn day(text: &str) -> BusinessDay {
        parse_date(text).expect("a date")
    }

    fn range(first: &str, last: &str) -> Range {
        Range { first: day(first), last: day(last) }
    }

    fn days(first: &str, last: &str) -> impl Iterator<Item = BusinessDay> {
        let first = day(first);
        (0..=day(last).days() - first.days()).map(move |number| first.plus_days(number))
    }

    fn known(data_from: Option<&str>, baselines: &[(&str, &str)], log: &[(&str, &str)]) -> Known {
        let prefecture = PrefectureCode::new(210_100).expect("a code");
        let given = baselines.iter().flat_map(|(first, last)| days(first, last));
        let baselines: BTreeMap<_, _> =
            given.map(|day| ((day, prefecture, Product::Express), Baseline::default())).collect();
        let reference = Reference { baselines, ..Reference::default() };
        let settings = Settings { data_from: data_from.map(day), ..Settings::default() };
        let mut known = Known::new(settings, &reference);
        known.add_log(log.iter().flat_map(|(first, last)| days(first, last)));
        known
    }

    /// Whether the first half of 2020 is a whole base for that of 2021.
    fn has_half(known: &Known) -> bool {
        known.has_base(range("2021-01-01", "2021-06-30"), range("2020-01-01", "2020-06-30"))
    }

    #[test]
    fn a_base_is_whole_where_its_data_begin_as_early_as_the_periods() {
        assert!(has_half(&known(None, &[], &[("2020-01-01", "2021-06-30")])));
        assert!(!has_half(&known(None, &[], &[("2020-01-02", "2021-06-30")])), "a day is missing");
        let new_year = [("2019-12-25", "2019-12-31"), ("2020-01-03", "2021-06-30")];
        assert!(has_half(&known(None, &[], &new_year)), "nothing happened on New Year's Day");
        let strays = [("2019-12-30", "2019-12-30"), ("2020-05-20", "2020-05-20")];
        let log = [strays[0], strays[1], ("2021-01-01", "2021-06-30")];
        assert!(!has_half(&known(None, &[], &log)), "two records are no half-year");
        assert!(!has_half(&known(None, &[], &log[1..])), "nor is one");
        assert!(!has_half(&known(None, &[], &[("2020-07-01", "2021-06-30")])));
        let eve = [("2020-12-31", "2020-12-31"), ("2021-01-01", "2021-06-30")];
        assert!(!has_half(&known(None, &[], &eve)), "a bank's day of New Year's Eve");
        let sparse = [("2020-05-31", "2020-05-31"), ("2021-05-31", "2021-05-31")];
        assert!(has_half(&known(None, &[], &sparse)), "a day of each year");
        assert!(!has_half(&known(None, &[], &[("2020-05-31", "2020-05-31")])), "nothing to hold");
        assert!(!has_half(&known(None, &[], &[])));
    }

    #[test]
    fn the_settings_are_believed() {
        let log = [("2020-01-01", "2021-06-30")];
        assert!(!has_half(&known(Some("2020-03-01"), &[], &log)));
        assert!(has_half(&known(Some("2020-01-01"), &[], &[("2020-02-01", "2021-06-30")])));
    }

    #[test]
    fn a_stray_event_of_long_ago_takes_no_baseline_away() {
        let log = [("2019-06-01", "2019-06-01"), ("2020-12-31", "2021-06-30")];
        for data_from in [None, Some("2021-01-01")] {
            let known = known(data_from, &[("2020-01-01", "2020-12-31")], &log);
            assert!(has_half(&known));
            assert!(!known.is_the_logs(day("2020-12-31")), "the baseline has all of it");
            assert!(known.is_the_logs(day("2021-01-01")));
        }
        let known = known(Some("2020-12-01"), &[("2020-01-01", "2020-12-31")], &log);
        assert!(known.is_the_logs(day("2020-12-01")), "the log's from then on");
    }

    #[test]
    fn days_between_the_last_baseline_and_the_log_are_missing_wherever_they_are_asked_for() {
        let given = [("2020-01-01", "2020-12-31")];
        for data_from in [None, Some("2021-03-01")] {
            let known = known(data_from, &given, &[("2021-03-01", "2022-06-30")]);
            assert!(!has_half(&known), "of the period");
            let next = (range("2022-01-01", "2022-06-30"), range("2021-01-01", "2021-06-30"));
            assert!(!known.has_base(next.0, next.1), "of the base");
            assert!(!known.may_have(range("2020-12-01", "2021-01-01")));
            assert!(known.may_have(range("2020-12-01", "2020-12-31")));
            let after = (range("2021-03-01", "2021-06-30"), range("2020-03-01", "2020-06-30"));
            assert!(known.has_base(after.0, after.1) && known.may_have(after.0));
        }
        let first_day = [("2021-06-15", "2021-06-15")];
        assert!(has_half(&known(None, &given, &first_day)), "one day tells of no beginning");
        assert!(!has_half(&known(Some("2021-06-15"), &given, &first_day)));
    }

    #[test]
    fn baselines_of_a_quarter_are_no_base_of_a_half() {
        let log = [("2021-01-01", "2021-06-30")];
        let quarter = known(None, &[("2020-01-01", "2020-03-31")], &log);
        assert!(!has_half(&quarter));
        let first = |known: &Known| {
            known.has_base(range("2021-01-01", "2021-03-31"), range("2020-01-01", "2020-03-31"))
        };
        assert!(first(&quarter));
        let late = known(None, &[("2020-02-01", "2020-12-31")], &log);
        assert!(!has_half(&late) && !first(&late));
    }
}
