//! What the meeting is told first: how many prefectures lag, on what, and how far they are apart.

use std::collections::{BTreeMap, BTreeSet};

use postroad_schemas::codebook::PrefectureCode;
use postroad_schemas::reference::Measure;

use super::book::{Book, Scope, Unit};
use super::growth::{Growth, minus, share};
use super::period::Period;
use super::{Comparison, Exact, Indicator, Input, Light, Why};

/// The four commensurates, as comparisons.
pub const COMMENSURATES: [Comparison; 4] =
    [Comparison::Local, Comparison::Industry, Comparison::Peer, Comparison::Plan];

/// Who lags, as far as anything is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headline {
    /// The prefectures that lag on one of its indicators, for each of the commensurates.
    pub lagging: BTreeMap<Comparison, BTreeSet<PrefectureCode>>,
    /// Those that lag on any.
    pub laggards: BTreeSet<PrefectureCode>,
    /// The commensurates of which any prefecture has a light that is known: of the others nobody knows who
    /// lags, which is not the same as that nobody does.
    pub known: BTreeSet<Comparison>,
}

impl Headline {
    /// Counts over rows of [`evaluate`](super::evaluate).
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r Indicator>) -> Self {
        let mut headline = Self::default();
        for comparison in COMMENSURATES {
            headline.lagging.insert(comparison, BTreeSet::new());
        }
        for row in rows {
            let Unit::Prefecture(code) = row.unit else { continue };
            let Some(Light::Red | Light::Yellow | Light::Green) = row.light else { continue };
            headline.known.insert(row.comparison);
            if row.light != Some(Light::Green) {
                headline.lagging.entry(row.comparison).or_default().insert(code);
                headline.laggards.insert(code);
            }
        }
        headline
    }
}

/// The difference between the highest and the lowest own figure, in percentage points; `None` where
/// fewer than two are known: one alone is apart from nobody.
pub fn spread<'r>(rows: impl IntoIterator<Item = &'r Indicator>) -> Option<Exact> {
    let own: Vec<Exact> = rows.into_iter().filter_map(|row| row.own).collect();
    (own.len() > 1).then_some(())?;
    minus(*own.iter().max()?, *own.iter().min()?)
}

/// How many prefectures of each province lag, on each of the commensurates and on any, and how far the
/// growths of their years to date are apart.
pub(super) fn rows(input: &Input<'_>, book: &Book, rows: &[Indicator]) -> Vec<Indicator> {
    let mut of_province: BTreeMap<PrefectureCode, Vec<&Indicator>> = BTreeMap::new();
    for row in rows {
        if let Unit::Prefecture(code) = row.unit
            && let Some(province) = input.provinces.get(&code)
        {
            of_province.entry(*province).or_default().push(row);
        }
    }
    let summary = |(province, rows): (PrefectureCode, Vec<&Indicator>)| {
        let laggards = laggards(book, province, rows.iter().copied());
        laggards.into_iter().chain(spreads(book, province, &rows))
    };
    of_province.into_iter().flat_map(summary).collect()
}

fn laggards<'r>(
    book: &Book,
    province: PrefectureCode,
    rows: impl Iterator<Item = &'r Indicator>,
) -> Vec<Indicator> {
    let Headline { lagging, laggards, known } = Headline::of(rows);
    let of = (Unit::Province(province), Scope::Total, Measure::Laggards);
    let days = Period::Ytd.range(book.as_of()).expect("every day has a year to date");
    let members = book.members(province).len() as i128;
    let row = |(comparison, prefectures): (Comparison, BTreeSet<PrefectureCode>)| {
        let is_any = comparison == Comparison::Any && !known.is_empty();
        let lagging = (is_any || known.contains(&comparison)).then_some(prefectures.len() as i128);
        let part = |lagging| share(lagging, members).ok_or(Why::BaseNotPositive);
        let growth = Growth {
            value: lagging.map(Exact::from_integer),
            base: Some(members.into()),
            growth: lagging.ok_or(Why::BenchmarkMissing).and_then(part),
        };
        Indicator::plain((of, Period::Ytd, days), comparison, growth)
    };
    lagging.into_iter().chain([(Comparison::Any, laggards)]).map(row).collect()
}

fn spreads(book: &Book, province: PrefectureCode, rows: &[&Indicator]) -> Vec<Indicator> {
    let days = Period::Ytd.range(book.as_of()).expect("every day has a year to date");
    let mut growths: BTreeMap<(Scope, Measure), Vec<&Indicator>> = BTreeMap::new();
    for row in rows {
        let is_growth = (row.period, row.comparison) == (Period::Ytd, Comparison::Yoy);
        if is_growth && matches!(row.measure, Measure::Revenue | Measure::Volume) {
            growths.entry((row.scope, row.measure)).or_default().push(*row);
        }
    }
    let row = |((scope, measure), rows): (_, Vec<&Indicator>)| {
        let growth = spread(rows).ok_or(Why::FigureMissing);
        let of = (Unit::Province(province), scope, measure);
        let growth = Growth { value: None, base: None, growth };
        Indicator::plain((of, Period::Ytd, days), Comparison::Spread, growth)
    };
    growths.into_iter().map(row).collect()
}
