//! The four commensurates: what a figure ought to be, and which light it shows.
//!
//! | against | own figure | benchmark |
//! |---|---|---|
//! | local | revenue growth: total, finance, parcel | growth of the economy, of the newest published period |
//! | industry | parcel volume and revenue growth; finance balance share | growth of the industry at the finest published level; the share at the year's start |
//! | peer | the same growths | growth of the peers |
//! | plan | attainment: the year to date ÷ the annual plan | expected progress: the plan's curve, else last year's share by that day, else elapsed days |
//!
//! Growth is held against a benchmark over the benchmark's own period, so that like is held against like.
//! Of benchmarks that are not stale the finest level counts, there the years to date rather than other
//! periods, of these the newest, and of that the word that was published last.

mod balance;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

use postroad_schemas::codebook::{Line, PrefectureCode};
use postroad_schemas::reference::{Benchmark, Level, Measure, Percent, Versus};
use postroad_schemas::units::BusinessDay;

use super::book::{Book, Scope, Unit};
use super::growth::{Growth, exact, minus};
use super::period::{Period, Range};
use super::{Comparison, Exact, Indicator, Input, Light, Settings, Why};

/// What something is held against, and whose word that is.
struct Held {
    benchmark: Exact,
    level: Option<Level>,
    source: String,
}

/// The ranges that the commensurates ask a book for.
pub(super) fn ranges(input: &Input<'_>) -> Vec<Range> {
    let mut ranges = Vec::new();
    let counting = input
        .reference
        .benchmarks
        .iter()
        .filter(|benchmark| benchmark.period_end <= input.as_of && is_fresh(input, benchmark));
    for benchmark in counting {
        let own = range_of(benchmark);
        ranges.extend([own, own.published_year_before()]);
    }
    ranges.extend(plan::last_year(input.as_of));
    ranges.extend(balance::ranges(input));
    ranges
}

fn range_of(benchmark: &Benchmark) -> Range {
    Range { first: benchmark.period_start, last: benchmark.period_end }
}

/// What a unit's business is held against.
pub(super) fn rows(
    input: &Input<'_>,
    book: &Book,
    unit: Unit,
    scope: Scope,
    rows: &mut Vec<Indicator>,
) {
    let is_line = |line| scope == Scope::Line(line);
    let parcel = is_line(Line::Parcel);
    let of_local = scope == Scope::Total || parcel || is_line(Line::Finance);
    if of_local {
        rows.push(grown(input, book, (unit, scope, Measure::Revenue), Versus::Local));
        rows.push(grown(input, book, (unit, scope, Measure::Revenue), Versus::Peer));
    }
    if parcel {
        for measure in [Measure::Volume, Measure::Revenue] {
            rows.push(grown(input, book, (unit, scope, measure), Versus::Industry));
        }
        rows.push(grown(input, book, (unit, scope, Measure::Volume), Versus::Peer));
    }
    if is_line(Line::Finance) {
        rows.push(balance::share_row(input, book, unit));
    }
    for measure in [Measure::Volume, Measure::Revenue] {
        rows.extend(plan::attainment(input, book, (unit, scope, measure)));
    }
}

/// Growth over a benchmark's period, against it.
fn grown(input: &Input<'_>, book: &Book, of: (Unit, Scope, Measure), versus: Versus) -> Indicator {
    let newest = newest(input, of, versus);
    let year = Period::Ytd.range(input.as_of).expect("every day has a year to date");
    let to_date = (year, Period::Ytd.year_before(year));
    let published = |(days, _): &(Range, Held)| (*days, days.published_year_before());
    let (days, before) = newest.as_ref().map_or(to_date, published);
    let growth = Growth::between(book, of, days, book.known().base(days, before));
    let held = newest.map(|(_, held)| held);
    let comparison = match versus {
        Versus::Local => Comparison::Local,
        Versus::Industry => Comparison::Industry,
        Versus::Peer => Comparison::Peer,
        Versus::Plan => Comparison::Plan,
    };
    let row = Indicator::plain((of, Period::Ytd, days), comparison, growth);
    row.against(held, input.settings)
}

/// The benchmark of the newest period that is over. Of several places, as peers are, it is the weighted
/// mean over the newest period of which all have published a figure: one whose figure has become stale
/// leaves no mean of the others.
fn newest(
    input: &Input<'_>,
    (unit, scope, measure): (Unit, Scope, Measure),
    versus: Versus,
) -> Result<(Range, Held), Why> {
    let fits = |benchmark: &&Benchmark| {
        benchmark.versus == versus
            && benchmark.measure == measure
            && benchmark.period_end <= input.as_of
            && benchmark.line.is_none_or(|line| Scope::Line(line) == scope)
            && (benchmark.line.is_some() || versus == Versus::Local || scope == Scope::Total)
            && is_of(input, benchmark, unit, versus)
    };
    let over: Vec<&Benchmark> = input.reference.benchmarks.iter().filter(fits).collect();
    if over.is_empty() {
        return Err(Why::BenchmarkMissing);
    }
    let fresh = over.iter().filter(|benchmark| is_fresh(input, benchmark));
    let level = fresh.map(|benchmark| benchmark.level).min().ok_or(Why::BenchmarkStale)?;
    let of_level = || over.iter().copied().filter(|benchmark| benchmark.level == level);
    let places = |is_meant: fn(&Input<'_>, &Benchmark) -> bool| -> BTreeSet<_> {
        let meant = of_level().filter(|benchmark| is_meant(input, benchmark));
        meant.map(|benchmark| benchmark.code).collect()
    };
    let (all, told) = (places(|_, _| true), places(is_fresh));
    let mut periods: BTreeMap<Range, BTreeMap<Option<PrefectureCode>, &Benchmark>> =
        BTreeMap::new();
    for benchmark in of_level() {
        let words = periods.entry(range_of(benchmark)).or_default();
        let word = words.entry(benchmark.code).or_insert(benchmark);
        // A figure of the very line, or for the very province, rather than one for all.
        let rank =
            |word: &Benchmark| (word.line.is_some(), word.province.is_some(), word.published_at);
        if rank(word) <= rank(benchmark) {
            *word = benchmark;
        }
    }
    let newness = |(days, _): &(&Range, _)| {
        (days.first == days.last.year_start(), days.last, -days.first.days())
    };
    let of_all = || periods.iter().filter(|(_, words)| words.len() == all.len());
    let is_stale = told.len() < all.len() || of_all().next().is_some();
    let why = if is_stale { Why::BenchmarkStale } else { Why::BenchmarkMissing };
    let fresh = of_all().filter(|(days, _)| !is_stale_at(input, days.last));
    let (days, words) = fresh.max_by_key(newness).ok_or(why)?;
    Ok((*days, mean(words.values().copied(), level)))
}

/// Whether its period ended recently enough.
fn is_fresh(input: &Input<'_>, benchmark: &Benchmark) -> bool {
    !is_stale_at(input, benchmark.period_end)
}

fn is_stale_at(input: &Input<'_>, end: BusinessDay) -> bool {
    input.as_of.days() - end.days() > input.settings.stale_after_days
}

/// The mean of benchmarks by their weights; of one, itself.
fn mean<'r>(benchmarks: impl Iterator<Item = &'r Benchmark>, level: Level) -> Held {
    let (mut sum, mut weights, mut sources) = (0_i128, 0_i128, BTreeSet::new());
    for benchmark in benchmarks {
        sum += i128::from(benchmark.percent.millionths()) * i128::from(benchmark.weight);
        weights += i128::from(benchmark.weight);
        sources.insert(benchmark.source.as_str());
    }
    Held {
        benchmark: Exact::new_raw(sum, weights.max(1) * i128::from(Percent::SCALE)),
        level: Some(level),
        source: joined(sources),
    }
}

/// Sources of which each is named once.
fn joined(sources: BTreeSet<&str>) -> String {
    sources.into_iter().collect::<Vec<_>>().join("; ")
}

/// Whether a benchmark is about a unit. An economy's growth is of the very place; an industry's may be
/// of the province or the nation; peers are those of the province.
fn is_of(input: &Input<'_>, benchmark: &Benchmark, unit: Unit, versus: Versus) -> bool {
    let (prefecture, province) = match unit {
        Unit::Province(code) => (None, Some(code)),
        Unit::Prefecture(code) => (Some(code), input.provinces.get(&code).copied()),
    };
    match benchmark.level {
        Level::Prefecture => prefecture.is_some() && benchmark.code == prefecture,
        // Peers are other provinces, whosever prefecture it is.
        Level::Province if versus == Versus::Peer => {
            let is_for = benchmark.province.is_none() || benchmark.province == province;
            province.is_some() && benchmark.code != province && is_for
        }
        Level::Province => {
            let is_own = prefecture.is_none() || versus != Versus::Local;
            is_own && benchmark.code == province
        }
        Level::Nation => versus != Versus::Local,
    }
}

impl Indicator {
    /// Holds the row's own figure against a benchmark.
    fn against(mut self, held: Result<Held, Why>, settings: Settings) -> Self {
        let held = held.map_err(|why| self.why.get_or_insert(why).to_owned()).ok();
        let gap = self.own.zip(held.as_ref()).map(|(own, held)| minus(own, held.benchmark));
        self.gap = gap.flatten();
        if gap == Some(None) {
            self.why = Some(Why::Overflow);
        }
        self.light = Some(light(self.gap, settings));
        if let Some(Held { benchmark, level, source }) = held {
            self.benchmark = Some(benchmark);
            self.benchmark_level = level;
            self.source = Some(source);
        }
        self
    }
}

/// The light of a gap in percentage points, which is not rounded before.
pub fn light(gap: Option<Exact>, settings: Settings) -> Light {
    match gap {
        None => Light::Unknown,
        Some(gap) if gap < exact(settings.red_below) => Light::Red,
        Some(gap) if gap < Exact::from_integer(0) => Light::Yellow,
        Some(_) => Light::Green,
    }
}
