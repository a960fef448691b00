//! Growth: what a figure is, and by how much it differs from another period's.

use std::cmp::Ordering;

use num_traits::{CheckedAdd, ToPrimitive};
use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::reference::{Measure, Percent};

use super::book::{Book, Scope, Unit};
use super::known::Base;
use super::period::{Period, Range};
use super::{Comparison, Exact, Indicator, Why};

/// Per cent of one.
const HUNDRED: i128 = 100;

/// A figure beside what it is reckoned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// The figure.
    pub value: Option<Exact>,
    /// The same of the period that it is held against.
    pub base: Option<Exact>,
    /// `(value − base) ÷ base` in per cent; of measures that are per cents themselves the difference,
    /// in percentage points.
    pub growth: Result<Exact, Why>,
}

impl Growth {
    /// The growth of a measure from one value to another.
    pub fn of(measure: Measure, value: Option<Exact>, base: Option<Exact>) -> Self {
        let growth = match (value, base) {
            (Some(value), Some(base)) if is_percent(measure) => {
                minus(value, base).ok_or(Why::Overflow)
            }
            (Some(value), Some(base)) => relative(value, base),
            (None, _) => Err(Why::FigureMissing),
            (_, None) => Err(Why::BaseNotPositive),
        };
        Self { value, base, growth }
    }

    /// Growth of a unit's business from one range to another; unknown where a part of the base is
    /// missing. Baselines tell nothing of deliveries.
    pub(super) fn between(
        book: &Book,
        (unit, scope, measure): (Unit, Scope, Measure),
        value: Range,
        base: Base,
    ) -> Self {
        let figure = |range| figure(book, (unit, scope, measure), range);
        let growth = Self::of(measure, figure(value), figure(base.days));
        let is_rate = matches!(measure, Measure::DeliveredRate | Measure::OnTimeRate);
        let is_told = |days| !is_rate || !book.known().has_baselines(days);
        let is_whole = base.is_whole && is_told(value) && is_told(base.days);
        if is_whole { growth } else { growth.incomplete() }
    }

    /// The same where a part of what it is reckoned from is missing.
    fn incomplete(self) -> Self {
        Self { base: None, growth: Err(Why::BaseIncomplete), ..self }
    }
}

/// `(value − base) ÷ base` in per cent.
///
/// # Errors
/// Where the base is not positive, or the numbers are beyond 38 digits.
pub fn relative(value: Exact, base: Exact) -> Result<Exact, Why> {
    if base <= Exact::from_integer(0) {
        return Err(Why::BaseNotPositive);
    }
    let relative = || {
        let risen = minus(value, base)?;
        let numerator = risen.numer().checked_mul(*base.denom())?.checked_mul(HUNDRED)?;
        Some(Exact::new_raw(numerator, risen.denom().checked_mul(*base.numer())?))
    };
    relative().ok_or(Why::Overflow)
}

/// `a − b`, exactly and not reduced: reducing takes longer than all the rest, and nothing here is
/// reckoned on far enough to need it. `None` beyond 38 digits.
pub(super) fn minus(a: Exact, b: Exact) -> Option<Exact> {
    let left = a.numer().checked_mul(*b.denom())?;
    let right = b.numer().checked_mul(*a.denom())?;
    Some(Exact::new_raw(left.checked_sub(right)?, a.denom().checked_mul(*b.denom())?))
}

/// The order of two fractions: by multiplication, which is fast, where the products fit.
pub(super) fn order(a: &Exact, b: &Exact) -> Ordering {
    let products =
        || Some((a.numer().checked_mul(*b.denom())?, b.numer().checked_mul(*a.denom())?));
    products().map_or_else(|| a.cmp(b), |(left, right)| left.cmp(&right))
}

/// `part ÷ whole` in per cent; `None` where the whole is not positive.
pub fn share(part: i128, whole: i128) -> Option<Exact> {
    if whole <= 0 {
        return None;
    }
    Some(Exact::new_raw(part.checked_mul(HUNDRED)?, whole))
}

/// A percentage as a fraction, in per cent.
pub fn exact(percent: Percent) -> Exact {
    Exact::new_raw(percent.millionths().into(), Percent::SCALE.into())
}

/// The nearest `f64`, for display and tables.
pub fn to_f64(exact: Exact) -> f64 {
    let (numerator, denominator) = (exact.numer().to_f64(), exact.denom().to_f64());
    numerator.unwrap_or(f64::NAN) / denominator.unwrap_or(f64::NAN)
}

/// Whether a measure is a percentage itself.
pub fn is_percent(measure: Measure) -> bool {
    !matches!(
        measure,
        Measure::Volume | Measure::Revenue | Measure::Balance | Measure::Yield | Measure::Laggards
    )
}

/// The measures that a unit's scope has, but for the balance share, which needs balances.
pub(super) fn measures(unit: Unit, scope: Scope) -> impl Iterator<Item = Measure> {
    let is_parcel = scope.line() == Some(Line::Parcel);
    let has_balances = matches!(scope.line(), None | Some(Line::Finance));
    let is_finance = scope == Scope::Line(Line::Finance);
    Measure::ALL.iter().copied().filter(move |measure| match measure {
        Measure::Volume | Measure::Revenue => true,
        Measure::Yield | Measure::DeliveredRate | Measure::OnTimeRate => is_parcel,
        Measure::Balance => has_balances,
        Measure::Mix => is_finance,
        Measure::Structure => scope != Scope::Total,
        Measure::Concentration => {
            matches!(unit, Unit::Province(_)) && !matches!(scope, Scope::Product(_))
        }
        Measure::Share | Measure::Laggards => false,
    })
}

/// A measure of some days of a unit's business; `None` where it would divide by nothing.
fn figure(
    book: &Book,
    (unit, scope, measure): (Unit, Scope, Measure),
    range: Range,
) -> Option<Exact> {
    let figures = book.sum(unit, scope, range);
    match measure {
        Measure::Volume => Some(figures.volume.into()),
        Measure::Revenue => Some(figures.revenue.into()),
        Measure::Balance => Some(figures.balance.into()),
        Measure::Yield => {
            (figures.volume > 0).then(|| Exact::new_raw(figures.revenue, figures.volume))
        }
        Measure::Mix => {
            let deposits = book.sum(unit, Scope::Product(Product::Savings), range).revenue;
            share(figures.revenue - deposits, figures.revenue)
        }
        Measure::DeliveredRate => share(figures.delivered, figures.due),
        Measure::OnTimeRate => share(figures.on_time, figures.due),
        Measure::Structure => share(figures.revenue, book.sum(unit, Scope::Total, range).revenue),
        Measure::Concentration => concentration(book, unit, scope, range, figures.revenue),
        Measure::Share | Measure::Laggards => None,
    }
}

/// The Herfindahl–Hirschman index of a province's revenue, in per cent: the sum of the squares of its
/// prefectures' shares. Rounded to a millionth of a per cent, since nothing is decided by it.
fn concentration(
    book: &Book,
    unit: Unit,
    scope: Scope,
    range: Range,
    whole: i128,
) -> Option<Exact> {
    let Unit::Province(province) = unit else { return None };
    let revenue = |code: &PrefectureCode| book.sum(Unit::Prefecture(*code), scope, range).revenue;
    let squares = book.members(province).iter().map(revenue).map(|own| own.checked_mul(own));
    let squares = squares.sum::<Option<i128>>()?;
    let index = share(squares, whole.checked_mul(whole)?)?;
    rounded(to_f64(index)).map(exact)
}

/// The nearest millionth of a per cent; `None` where that is beyond measure.
fn rounded(percent: f64) -> Option<Percent> {
    let millionths = (percent * 1e6).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
    (millionths.abs() < 1e15).then(|| Percent::from_millionths(millionths as i64))
}

/// A period, and what it is held against.
pub(super) struct Compared {
    period: Period,
    days: Range,
    year_before: Base,
    /// What the year before is held against itself.
    two_years_before: Base,
    preceding: Option<Base>,
    festival: Option<Base>,
}

impl Compared {
    /// Every period that has begun.
    pub(super) fn all(book: &Book) -> Vec<Self> {
        let compared = |period: &Period| {
            let days = period.range(book.as_of())?;
            let base = |base| book.known().base(days, base);
            let year_before = period.year_before(days);
            let two_years_before = period.year_before(year_before);
            Some(Self {
                period: *period,
                days,
                year_before: base(year_before),
                two_years_before: book.known().base(year_before, two_years_before),
                preceding: period.preceding(days).map(base),
                festival: period.festival_before(days).map(base),
            })
        };
        Period::ALL.iter().filter_map(compared).collect()
    }
}

/// The comparisons of a unit's business with itself in other periods.
pub(super) fn rows(
    book: &Book,
    unit: Unit,
    scope: Scope,
    compared: &Compared,
    rows: &mut Vec<Indicator>,
) {
    let Compared { period, days, year_before, .. } = *compared;
    for measure in measures(unit, scope) {
        let of = (unit, scope, measure);
        let yoy = Growth::between(book, of, days, year_before);
        // Nothing ever happened there: a row would say nothing, too.
        let nothing = |figure: Option<Exact>| figure.is_none_or(|figure| *figure.numer() == 0);
        if nothing(yoy.value) && nothing(yoy.base) {
            continue;
        }
        let mut row = |comparison, growth| {
            rows.push(Indicator::plain((of, period, days), comparison, growth));
        };
        row(Comparison::Yoy, yoy);
        if let Some(preceding) = compared.preceding {
            row(Comparison::Pop, Growth::between(book, of, days, preceding));
        }
        if let Some(festival) = compared.festival {
            row(Comparison::Festival, Growth::between(book, of, days, festival));
        }
        if matches!(measure, Measure::Volume | Measure::Revenue) {
            row(Comparison::DailyAverage, daily_average(yoy, (days, year_before.days)));
            let earlier = Growth::between(book, of, year_before.days, compared.two_years_before);
            row(Comparison::TwoYear, two_year(yoy, earlier));
        }
        let is_short = matches!(period, Period::Day | Period::Days7 | Period::Days30 | Period::Mtd);
        if is_short
            && measure == Measure::Volume
            && scope.line() == Some(Line::Parcel)
            && let Some(peak) = peak(book, of, days)
        {
            row(Comparison::Peak, peak);
        }
    }
}

/// The growth of the averages over the days of both ranges.
fn daily_average(growth: Growth, (value, base): (Range, Range)) -> Growth {
    let average = |figure: Option<Exact>, range: Range| {
        figure.map(|sum| Exact::new_raw(*sum.numer(), i128::from(range.days())))
    };
    let (value, base) = (average(growth.value, value), average(growth.base, base));
    let averages = Growth::of(Measure::Volume, value, base);
    Growth { growth: growth.growth.and(averages.growth), ..averages }
}

/// How busy a period is: its daily average against that of the year to date, of which it has to be a part.
/// Unknown in a year that is not known from its start: its average would be of days that nobody saw.
fn peak(book: &Book, of: (Unit, Scope, Measure), days: Range) -> Option<Growth> {
    let year = Period::Ytd.range(book.as_of())?;
    if days.first < year.first {
        return None;
    }
    let average = |range: Range| {
        figure(book, of, range).map(|sum| Exact::new_raw(*sum.numer(), range.days().into()))
    };
    let peak = Growth::of(of.2, average(days), average(year));
    Some(if book.known().has_from_start(year) { peak } else { peak.incomplete() })
}

/// √((1 + g₁)(1 + g₂)) − 1: the one figure that is no fraction. It is rounded to a millionth of a per
/// cent, and nothing is decided by it.
fn two_year(growth: Growth, earlier: Growth) -> Growth {
    let factor = |growth: Result<Exact, Why>| growth.map(|percent| 1.0 + to_f64(percent) / 100.0);
    let both = factor(growth.growth).and_then(|now| Ok(now * factor(earlier.growth)?));
    let average = both.and_then(|product| {
        let average = Some(product).filter(|product| *product >= 0.0);
        let average = average.and_then(|product| rounded((product.sqrt() - 1.0) * 100.0));
        average.map(exact).ok_or(Why::BaseNotPositive)
    });
    Growth { growth: average, ..growth }
}

impl Indicator {
    /// A row without a benchmark.
    pub(super) fn plain(
        ((unit, scope, measure), period, days): ((Unit, Scope, Measure), Period, Range),
        comparison: Comparison,
        growth: Growth,
    ) -> Self {
        Self {
            unit,
            scope,
            measure,
            period,
            days,
            comparison,
            value: growth.value,
            base: growth.base,
            own: growth.growth.ok(),
            benchmark: None,
            gap: None,
            light: None,
            why: growth.growth.err(),
            benchmark_level: None,
            source: None,
            rank: None,
            rank_change: None,
        }
    }
}

/// The sum of two fractions, or that it is beyond 38 digits.
pub(super) fn sum(a: Exact, b: Exact) -> Result<Exact, Why> {
    a.checked_add(&b).ok_or(Why::Overflow)
}
