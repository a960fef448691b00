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

use std::collections::{BTreeMap, BTreeSet};

use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::reference::{Benchmark, CurveKey, Level, Measure, Percent, Plan, Versus};
use postroad_schemas::units::BusinessDay;

use super::book::{Book, Scope, Unit};
use super::growth::{Growth, exact, minus, share, sum};
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
    let as_of = input.as_of;
    let mut ranges = Vec::new();
    for benchmark in &input.reference.benchmarks {
        let own = range_of(benchmark);
        ranges.extend([own, Period::Ytd.year_before(own)]);
    }
    ranges.extend(last_year(as_of));
    for days in input.reference.balances.values() {
        ranges.extend(days.keys().map(|day| since(*day, as_of)));
    }
    ranges
}

fn range_of(benchmark: &Benchmark) -> Range {
    Range { first: benchmark.period_start, last: benchmark.period_end }
}

/// Last year's days up to the same day, and all of them.
fn last_year(as_of: BusinessDay) -> [Range; 2] {
    let first = as_of.year_start().year_before();
    [
        Range { first, last: as_of.year_before() },
        Range { first, last: as_of.year_start().plus_days(-1) },
    ]
}

/// The days after a day; an empty range is the day after it alone, of which nothing is known yet.
fn since(day: BusinessDay, as_of: BusinessDay) -> Range {
    let first = day.plus_days(1);
    Range { first, last: as_of.max(first) }
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
        rows.push(balance_share(input, book, unit));
    }
    for measure in [Measure::Volume, Measure::Revenue] {
        rows.extend(attainment(input, book, unit, scope, measure));
    }
}

/// Growth over a benchmark's period, against it.
fn grown(input: &Input<'_>, book: &Book, of: (Unit, Scope, Measure), versus: Versus) -> Indicator {
    let newest = newest(input, of, versus);
    let days = newest.as_ref().map_or_else(
        |_| Period::Ytd.range(input.as_of).expect("every day has a year to date"),
        |(days, _)| *days,
    );
    let growth = Growth::between(book, of, days, Period::Ytd.year_before(days));
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

/// The benchmark of the newest period that is over: of the finest level that has any, of the word that
/// was published last. Of several places, as peers are, it is the weighted mean.
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
    let candidates: Vec<&Benchmark> = input.reference.benchmarks.iter().filter(fits).collect();
    let level = candidates.iter().map(|benchmark| benchmark.level).min();
    let level = level.ok_or(Why::BenchmarkMissing)?;
    let of_level = candidates.into_iter().filter(|benchmark| benchmark.level == level);
    let of_level: Vec<&Benchmark> = of_level.collect();
    // Of two that end together the longer one counts: the year to date, not its last quarter.
    let newness = |range: &Range| (range.last, -range.first.days());
    let days = of_level.iter().map(|benchmark| range_of(benchmark)).max_by_key(newness);
    let days = days.ok_or(Why::BenchmarkMissing)?;
    if is_stale(input, days, measure) {
        return Err(Why::BenchmarkStale);
    }
    let mut words: BTreeMap<Option<PrefectureCode>, &Benchmark> = BTreeMap::new();
    for benchmark in of_level.into_iter().filter(|benchmark| range_of(benchmark) == days) {
        let word = words.entry(benchmark.code).or_insert(benchmark);
        if word.published_at <= benchmark.published_at {
            *word = benchmark;
        }
    }
    Ok((days, mean(words.into_values(), level)))
}

/// Whether a period ended too long ago. A share is held against that at the year's start.
fn is_stale(input: &Input<'_>, days: Range, measure: Measure) -> bool {
    if measure == Measure::Share {
        return days.last < input.as_of.year_start().plus_days(-1);
    }
    input.as_of.days() - days.last.days() > input.settings.stale_after_days
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
        source: sources.into_iter().collect::<Vec<_>>().join("; "),
    }
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
            province.is_some() && benchmark.code != province
        }
        Level::Province => {
            let is_own = prefecture.is_none() || versus != Versus::Local;
            is_own && benchmark.code == province
        }
        Level::Nation => versus != Versus::Local,
    }
}

/// The savings balance's part of all banks' deposits, against that at the year's start.
fn balance_share(input: &Input<'_>, book: &Book, unit: Unit) -> Indicator {
    let of = (unit, Scope::Line(Line::Finance), Measure::Share);
    let days = Period::Ytd.range(input.as_of).expect("every day has a year to date");
    let year_end = days.first.plus_days(-1);
    let codes: Vec<PrefectureCode> = match unit {
        Unit::Prefecture(code) => vec![code],
        Unit::Province(province) => book.members(province).to_vec(),
    };
    let mut start = Some((0, 0));
    let mut now = Some((0, 0));
    for code in codes {
        let balances = input.reference.balances.get(&code);
        let at_start = balances.and_then(|days| days.range(..=year_end).next_back());
        let newest = balances.and_then(|days| days.range(..=input.as_of).next_back());
        start = start.zip(at_start).map(|((own, market), (_, balance))| {
            (own + balance.own.get(), market + balance.market.get())
        });
        now = now.zip(at_start).zip(newest).map(|(((own, market), (day, begun)), (_, newest))| {
            let savings = Scope::Product(Product::Savings);
            let moved = if *day < input.as_of {
                book.sum(Unit::Prefecture(code), savings, since(*day, input.as_of)).balance
            } else {
                0
            };
            (own + begun.own.get() + moved, market + newest.market.get())
        });
    }
    let percent = |parts: Option<(i128, i128)>| parts.and_then(|(own, market)| share(own, market));
    // The share at the year's start as it was published, else as the balances have it.
    let reckoned = percent(start).ok_or(Why::BenchmarkMissing);
    let reckoned = || {
        let source = "balances.csv".to_owned();
        reckoned.map(|benchmark| Held { benchmark, level: None, source })
    };
    let held = newest(input, of, Versus::Industry).map(|(_, held)| held).or_else(|_| reckoned());
    let (value, base) = (percent(now), held.as_ref().map(|held| held.benchmark).ok());
    let growth = Growth { value, base, growth: value.ok_or(Why::BenchmarkMissing) };
    let row = Indicator::plain((of, Period::Ytd, days), Comparison::Industry, growth);
    row.against(held, input.settings)
}

/// The year to date against the annual plan; nothing where nothing is planned.
fn attainment(
    input: &Input<'_>,
    book: &Book,
    unit: Unit,
    scope: Scope,
    measure: Measure,
) -> Option<Indicator> {
    let line = match scope {
        Scope::Total => None,
        Scope::Line(line) => Some(line),
        Scope::Product(_) => return None,
    };
    let (year, _, _) = input.as_of.civil();
    let is_meant =
        |plan: &&Plan| plan.line == line && plan.measure == measure && i64::from(plan.year) == year;
    let plans = input.reference.plans.iter().filter(is_meant);
    let plans: Vec<&Plan> = match unit {
        Unit::Prefecture(code) => plans.filter(|plan| plan.code == code).collect(),
        Unit::Province(province) => {
            plans.filter(|plan| input.provinces.get(&plan.code) == Some(&province)).collect()
        }
    };
    let planned: i128 = plans.iter().map(|plan| i128::from(plan.amount)).sum();
    let source = plans.first()?.source.clone();
    let days = Period::Ytd.range(input.as_of)?;
    let figures = book.sum(unit, scope, days);
    let done = if measure == Measure::Volume { figures.volume } else { figures.revenue };
    let own = share(done, planned);
    let growth = Growth {
        value: Some(done.into()),
        base: Some(planned.into()),
        growth: own.ok_or(Why::BaseNotPositive),
    };
    let held = expected(input, book, (unit, scope, measure), line).map(|benchmark| Held {
        benchmark,
        level: None,
        source,
    });
    let row =
        Indicator::plain(((unit, scope, measure), Period::Ytd, days), Comparison::Plan, growth);
    Some(row.against(held, input.settings))
}

/// Which part of the year's plan is expected by now, in per cent.
fn expected(
    input: &Input<'_>,
    book: &Book,
    (unit, scope, measure): (Unit, Scope, Measure),
    line: Option<Line>,
) -> Result<Exact, Why> {
    let as_of = input.as_of;
    let (year, _, _) = as_of.civil();
    let code = match unit {
        Unit::Prefecture(code) => Some(code),
        Unit::Province(_) => None,
    };
    let curve = [code, None]
        .into_iter()
        .find_map(|code| input.reference.curves.get(&CurveKey { code, line, measure, year }));
    if let Some(curve) = curve.map(|curve| &curve.shares) {
        let before = curve.range(..=as_of).next_back();
        let begin = (as_of.year_start().plus_days(-1), Percent::from_millionths(0));
        let (from, reached) = before.map_or(begin, |(day, share)| (*day, *share));
        let Some((to, next)) = curve.range(as_of.plus_days(1)..).next() else {
            return Ok(exact(reached));
        };
        // Straight from one given day to the next.
        let elapsed =
            Exact::new((as_of.days() - from.days()).into(), (to.days() - from.days()).into());
        let rise = (exact(*next) - exact(reached)) * elapsed;
        return sum(exact(reached), rise);
    }
    let [to_date, whole] = last_year(as_of);
    if book.knows(whole) {
        let part = |range| {
            let figures = book.sum(unit, scope, range);
            if measure == Measure::Volume { figures.volume } else { figures.revenue }
        };
        if let Some(share) = share(part(to_date), part(whole)) {
            return Ok(share);
        }
    }
    let year_days = Range { first: as_of.year_start(), last: year_end(as_of) }.days();
    let elapsed = as_of.days() - as_of.year_start().days() + 1;
    Ok(Exact::new(i128::from(elapsed) * 100, year_days.into()))
}

/// The last day of a day's year.
fn year_end(day: BusinessDay) -> BusinessDay {
    day.year_start().plus_days(366).year_start().plus_days(-1)
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
