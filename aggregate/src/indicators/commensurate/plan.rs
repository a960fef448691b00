//! Attainment: the year to date against the annual plan, beside what the plan expects by now.
//!
//! A total is that of its lines, and a province's that of its prefectures: of those that have a plan, in
//! what was planned, what was done and what is expected alike.

use std::collections::{BTreeMap, BTreeSet};

use num_traits::CheckedAdd;
use postroad_schemas::codebook::{Line, PrefectureCode};
use postroad_schemas::reference::{CurveKey, Measure, Percent, Plan};
use postroad_schemas::units::BusinessDay;

use super::super::book::{Book, Scope, Unit};
use super::super::growth::{Growth, exact, share, sum};
use super::super::period::{Period, Range};
use super::super::{Comparison, Exact, Indicator, Input, Why};
use super::{Held, joined};

/// Parts of a fen or piece in which what is expected is added up where fractions get too fine.
const PARTS: i128 = 1_000_000;
/// The finest fraction that what is expected is added up in. Curves and elapsed days stay below it.
const DENOMINATOR_MAX: i128 = 1_000_000_000_000_000;

/// Plans, and what has come of them.
struct Planned<'a> {
    /// Fen or pieces, of the year.
    amount: i128,
    /// The same, of the year to date.
    done: i128,
    /// The same, by the end of the as-of day.
    expected: Result<Exact, Why>,
    sources: BTreeSet<&'a str>,
}

impl Planned<'_> {
    fn add(&mut self, other: Self) {
        self.amount += other.amount;
        self.done += other.done;
        self.expected = self.expected.and_then(|sum| added(sum, other.expected?));
        self.sources.extend(other.sources);
    }
}

/// The sum: exact up to a denominator of [`DENOMINATOR_MAX`], and beyond it of millionths of a fen or
/// piece.
fn added(a: Exact, b: Exact) -> Result<Exact, Why> {
    let in_parts = |exact: Exact| {
        let scaled = exact.numer().checked_mul(PARTS)?.checked_add(exact.denom() / 2)?;
        Some(scaled.div_euclid(*exact.denom()))
    };
    let exactly = a.checked_add(&b).filter(|sum| *sum.denom() <= DENOMINATOR_MAX);
    let rounded = || Some(Exact::new(in_parts(a)?.checked_add(in_parts(b)?)?, PARTS));
    exactly.or_else(rounded).ok_or(Why::Overflow)
}

/// Last year's days up to the same day, and all of them.
pub(super) fn last_year(as_of: BusinessDay) -> [Range; 2] {
    let first = as_of.year_start().year_before();
    [
        Range { first, last: as_of.year_before() },
        Range { first, last: as_of.year_start().plus_days(-1) },
    ]
}

/// The year to date against the annual plan; nothing where nothing is planned, but for revenue of the total,
/// which somebody ought to have planned. Unknown where the year is not
/// known from its start: half of what was done is no attainment.
pub(super) fn attainment(
    input: &Input<'_>,
    book: &Book,
    of: (Unit, Scope, Measure),
) -> Option<Indicator> {
    let (unit, scope, measure) = of;
    let planned = match unit {
        Unit::Prefecture(code) => planned(input, book, code, scope, measure),
        Unit::Province(province) => {
            let members = book.members(province).iter();
            all(members.filter_map(|code| planned(input, book, *code, scope, measure)))
        }
    };
    let days = Period::Ytd.range(input.as_of)?;
    let Some(planned) = planned else {
        let why = Why::BenchmarkMissing;
        let missing = Growth { value: None, base: None, growth: Err(why) };
        let row = Indicator::plain((of, Period::Ytd, days), Comparison::Plan, missing);
        let is_missed = (scope, measure) == (Scope::Total, Measure::Revenue);
        return is_missed.then(|| row.against(Err(why), input.settings));
    };
    let whole = book.known().has_from_start(days).then_some(()).ok_or(Why::BaseIncomplete);
    let attained = || share(planned.done, planned.amount).ok_or(Why::BaseNotPositive);
    let growth = Growth {
        value: Some(planned.done.into()),
        base: Some(planned.amount.into()),
        growth: whole.and_then(|()| attained()),
    };
    let held = whole.and(planned.expected).and_then(|expected| {
        let whole = expected.denom().checked_mul(planned.amount).ok_or(Why::Overflow)?;
        let benchmark = share(*expected.numer(), whole).ok_or(Why::BaseNotPositive)?;
        Ok(Held { benchmark, level: None, source: joined(planned.sources) })
    });
    let row = Indicator::plain((of, Period::Ytd, days), Comparison::Plan, growth);
    Some(row.against(held, input.settings))
}

fn all<'a>(planned: impl Iterator<Item = Planned<'a>>) -> Option<Planned<'a>> {
    planned.reduce(|mut sum, planned| {
        sum.add(planned);
        sum
    })
}

/// What is planned for a prefecture's line; of the total what somebody has planned for it, and else the
/// sum over the lines, where each line that it does business in has a plan.
fn planned<'a>(
    input: &Input<'a>,
    book: &Book,
    code: PrefectureCode,
    scope: Scope,
    measure: Measure,
) -> Option<Planned<'a>> {
    let line = match scope {
        Scope::Total => None,
        Scope::Line(line) => Some(line),
        Scope::Product(_) => return None,
    };
    let (year, _, _) = input.as_of.civil();
    let is_meant = |plan: &&Plan| {
        (plan.code, plan.line, plan.measure) == (code, line, measure)
            && i64::from(plan.year) == year
    };
    let unit = Unit::Prefecture(code);
    let Some(plan) = input.reference.plans.iter().find(is_meant) else {
        if line.is_some() {
            return None;
        }
        let lines = Line::ALL.iter().map(|line| Scope::Line(*line));
        let lines = lines.map(|line| (line, planned(input, book, code, line, measure)));
        let lines: Vec<_> = lines.collect();
        let is_whole = lines.iter().all(|(line, plan)| plan.is_some() || !book.has(unit, *line));
        return is_whole.then(|| all(lines.into_iter().filter_map(|(_, plan)| plan))).flatten();
    };
    let figures = book.sum(unit, scope, Period::Ytd.range(input.as_of)?);
    let done = if measure == Measure::Volume { figures.volume } else { figures.revenue };
    let amount = i128::from(plan.amount);
    let curve = [Some(code), None]
        .into_iter()
        .find_map(|code| input.reference.curves.get(&CurveKey { code, line, measure, year }));
    let progress = match curve {
        Some(curve) => along(&curve.shares, input.as_of),
        None => Ok(as_last_year(input.as_of, book, (code, scope, measure))),
    };
    let curve_sources = curve.into_iter().flat_map(|curve| &curve.sources).map(String::as_str);
    Some(Planned {
        amount,
        done,
        expected: progress.and_then(|percent| {
            let numerator = percent.numer().checked_mul(amount).ok_or(Why::Overflow)?;
            Ok(Exact::new(numerator, percent.denom().checked_mul(100).ok_or(Why::Overflow)?))
        }),
        sources: curve_sources.chain([&*plan.source]).collect(),
    })
}

/// Which part of the year's plan a curve expects by a day, in per cent: straight from one given day to the
/// next, from nothing at the year's beginning to all of it at its end, which the reader of curves sees to.
fn along(shares: &BTreeMap<BusinessDay, Percent>, as_of: BusinessDay) -> Result<Exact, Why> {
    let begin = (as_of.year_start().plus_days(-1), Percent::from_millionths(0));
    let given = |(day, share): (&BusinessDay, &Percent)| (*day, *share);
    let (from, reached) = shares.range(..=as_of).next_back().map_or(begin, given);
    let Some((to, next)) = shares.range(as_of.plus_days(1)..).next().map(given) else {
        return Ok(exact(reached));
    };
    let elapsed = Exact::new((as_of.days() - from.days()).into(), (to.days() - from.days()).into());
    sum(exact(reached), (exact(next) - exact(reached)) * elapsed)
}

/// The same as last year's business has it; where that says nothing, the part of the year that has passed.
fn as_last_year(
    as_of: BusinessDay,
    book: &Book,
    (code, scope, measure): (PrefectureCode, Scope, Measure),
) -> Exact {
    let year_to_date = Range { first: as_of.year_start(), last: as_of };
    let [to_date, whole] = last_year(as_of);
    if book.known().has_base(year_to_date, whole) {
        let part = |range| {
            let figures = book.sum(Unit::Prefecture(code), scope, range);
            if measure == Measure::Volume { figures.volume } else { figures.revenue }
        };
        // Business that began after this day last year says nothing of how a year goes.
        let part_by_now = Some(part(to_date)).filter(|part| *part > 0);
        if let Some(share) = part_by_now.and_then(|by_now| share(by_now, part(whole))) {
            return share;
        }
    }
    let year = Range { first: as_of.year_start(), last: year_end(as_of) };
    Exact::new(i128::from(year_to_date.days()) * 100, year.days().into())
}

/// The last day of a day's year.
fn year_end(day: BusinessDay) -> BusinessDay {
    day.year_start().plus_days(366).year_start().plus_days(-1)
}
