//! The savings balance's part of all banks' deposits, against that at the year's start.
//!
//! Both parts are of one day, that of the newest market: today's balance over a market of months ago would be
//! too much wherever deposits grow.

use std::collections::BTreeSet;

use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::reference::{Balance, Benchmark, Level, Measure, Versus};
use postroad_schemas::units::BusinessDay;

use super::super::book::{Book, Scope, Unit};
use super::super::growth::{Growth, exact, share};
use super::super::period::{Period, Range};
use super::super::{Comparison, Exact, Indicator, Input, Why};
use super::{Held, joined};

/// Balances of one prefecture as they were published: of the day that the year starts from, and the
/// newest.
struct Published<'a> {
    start_day: BusinessDay,
    start: &'a Balance,
    newest_day: BusinessDay,
    newest: &'a Balance,
}

impl Published<'_> {
    /// The days between the two.
    fn between(&self) -> Range {
        Range { first: self.start_day.plus_days(1), last: self.newest_day }
    }
}

/// The ranges that a book is asked for.
pub(super) fn ranges(input: &Input<'_>) -> Vec<Range> {
    let codes = input.reference.balances.keys();
    let published = codes.filter_map(|code| published(input, *code).ok());
    published.map(|published| published.between()).collect()
}

/// The last day before the as-of day's year.
fn year_end(input: &Input<'_>) -> BusinessDay {
    input.as_of.year_start().plus_days(-1)
}

/// What has been published of a prefecture, neither of it stale, and some of it since the year began.
fn published<'a>(input: &Input<'a>, code: PrefectureCode) -> Result<Published<'a>, Why> {
    let days = input.reference.balances.get(&code).ok_or(Why::BenchmarkMissing)?;
    let newest = |until: BusinessDay| {
        let (day, balance) = days.range(..=until).next_back().ok_or(Why::BenchmarkMissing)?;
        let is_fresh = until.days() - day.days() <= input.settings.stale_after_days;
        is_fresh.then_some((*day, balance)).ok_or(Why::BenchmarkStale)
    };
    let (start_day, start) = newest(year_end(input))?;
    let (newest_day, newest) = newest(input.as_of)?;
    if newest_day <= year_end(input) {
        return Err(Why::BenchmarkMissing);
    }
    Ok(Published { start_day, start, newest_day, newest })
}

/// Own balances over those of all banks.
#[derive(Default)]
struct Sums<'a> {
    start: (i128, i128),
    now: (i128, i128),
    /// The day that the newest of them are of: of several places the last.
    day: Option<BusinessDay>,
    sources: BTreeSet<&'a str>,
}

impl<'a> Sums<'a> {
    /// One's own newest balance is the one that the year starts from with what the log has moved until the
    /// newest market's day.
    fn of(input: &Input<'a>, book: &Book, unit: Unit) -> Result<Self, Why> {
        let codes: &[PrefectureCode] = match &unit {
            Unit::Prefecture(code) => std::slice::from_ref(code),
            Unit::Province(province) => book.members(*province),
        };
        let mut sums = Self::default();
        for code in codes {
            let published = published(input, *code)?;
            let days = published.between();
            if !book.known().may_have(days) {
                return Err(Why::BaseIncomplete);
            }
            let savings = Scope::Product(Product::Savings);
            let moved = book.sum(Unit::Prefecture(*code), savings, days).balance;
            let Published { start, newest, .. } = published;
            sums.start.0 += start.own.get();
            sums.start.1 += start.market.get();
            sums.now.0 += start.own.get() + moved;
            sums.now.1 += newest.market.get();
            sums.day = sums.day.max(Some(days.last));
            sums.sources.extend([&*start.source, &*newest.source]);
        }
        Ok(sums)
    }
}

/// The newest share against that at the year's start: as it was published, else as the balances have it.
pub(super) fn share_row(input: &Input<'_>, book: &Book, unit: Unit) -> Indicator {
    let of = (unit, Scope::Line(Line::Finance), Measure::Share);
    let sums = Sums::of(input, book, unit);
    let newest = sums.as_ref().ok().and_then(|sums| sums.day).unwrap_or(input.as_of);
    let days = Period::Ytd.range(newest).expect("every day has a year to date");
    let share_of = |parts: fn(&Sums<'_>) -> (i128, i128)| -> Result<Exact, Why> {
        let (own, market) = parts(sums.as_ref().map_err(|why| *why)?);
        share(own, market).ok_or(Why::FigureMissing)
    };
    let held = published_share(input, unit).map_or_else(
        || {
            let source = sums.as_ref().map(|sums| joined(sums.sources.clone()));
            let source = source.unwrap_or_default();
            share_of(|sums| sums.start).map(|benchmark| Held { benchmark, level: None, source })
        },
        Ok,
    );
    let own = share_of(|sums| sums.now);
    let base = held.as_ref().map(|held| held.benchmark).ok();
    let growth = Growth { value: own.ok(), base, growth: own };
    let row = Indicator::plain((of, Period::Ytd, days), Comparison::Industry, growth);
    row.against(held, input.settings)
}

/// The very unit's share on the last day of the year before, in its newest word.
fn published_share(input: &Input<'_>, unit: Unit) -> Option<Held> {
    let (level, code) = match unit {
        Unit::Prefecture(code) => (Level::Prefecture, code),
        Unit::Province(code) => (Level::Province, code),
    };
    let year_end = year_end(input);
    let fits = |benchmark: &&Benchmark| {
        (benchmark.versus, benchmark.measure) == (Versus::Industry, Measure::Share)
            && benchmark.line == Some(Line::Finance)
            && (benchmark.level, benchmark.code) == (level, Some(code))
            && benchmark.period_end == year_end
    };
    let fitting = input.reference.benchmarks.iter().filter(fits);
    let newest = fitting.max_by_key(|benchmark| benchmark.published_at)?;
    let benchmark = exact(newest.percent);
    Some(Held { benchmark, level: Some(level), source: newest.source.clone() })
}
