//! The report itself: what is said, before anybody has decided in which words and in which form.
//!
//! Its JSON is stable and described in `docs/REPORT.md`. Where a field is a column of `indicators` it has
//! the column's name.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::headline::COMMENSURATES;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light, Why};
use postroad_schemas::codebook::{Codebook, Line, PrefectureCode, Product};
use postroad_schemas::reference::Measure;
use postroad_schemas::units::BusinessDay;
use serde::Serialize;

use super::headline::{Headline, headline};
use super::rows::{Row, text};
use super::{Origin, Span, figures};

/// A daily or a monthly report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The last day that counts.
    #[serde(serialize_with = "text")]
    pub as_of: BusinessDay,
    /// Daily or monthly.
    pub period: Span,
    /// What its columns are of.
    pub periods: Vec<Period>,
    /// `complete`, or `final`.
    pub status: &'static str,
    /// The publish that it was taken from.
    pub publish: u64,
    /// Who evaluated the indicators.
    pub origin: Origin,
    /// The version of the reference data that they are held against.
    pub reference_version: String,
    /// Below which gap a light is red, in percentage points.
    pub red_below_pp: f64,
    /// Whether figures have moved since, which the publisher puts right before long.
    pub behind: bool,
    /// The first day that the tables have any figure of, which need not be the first complete one.
    #[serde(serialize_with = "text")]
    pub first_day: BusinessDay,
    /// Whether the growth of some period is unknown because the data begin too late.
    pub base_incomplete: bool,
    /// Whether a benchmark is one that nobody has published.
    pub synthetic: bool,
    /// Prefectures that have figures of the year to date and are not in the reference data, and so in no sum.
    pub unlisted_codes: Vec<String>,
    /// Each province that has any business.
    pub provinces: Vec<Province>,
}

impl Report {
    /// A gap as it is shown.
    pub fn gap(&self, gap_pp: f64, light: Option<Light>) -> String {
        figures::gap(gap_pp, light, self.red_below_pp)
    }
}

/// A province and its prefectures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Province {
    /// GB/T 2260 code.
    #[serde(serialize_with = "text")]
    pub code: PrefectureCode,
    /// Romanised name.
    pub name: String,
    /// Chinese name.
    pub name_zh: String,
    /// What the meeting is told first.
    pub headline: Headline,
    /// Year-on-year figures of the province, for each business one row a period; last the balance share,
    /// which is held against that at the year's start.
    pub figures: Vec<Row>,
    /// Its prefectures: by rank, those without one last, ties by code.
    pub prefectures: Vec<Prefecture>,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// A prefecture's place and lights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prefecture {
    /// GB/T 2260 code.
    #[serde(serialize_with = "text")]
    pub code: PrefectureCode,
    /// Romanised name.
    pub name: String,
    /// Chinese name.
    pub name_zh: String,
    /// Its place in growth of total revenue, year to date.
    pub rank: Option<i32>,
    /// Places gained since the end of the month before.
    pub rank_change: Option<i32>,
    /// Total revenue, one row a period.
    pub figures: Vec<Row>,
    /// The balance share, against that at the year's start.
    pub share: Option<Row>,
    /// Of each commensurate the indicator that is furthest behind; an unknown one where none is known.
    pub worst: BTreeMap<&'static str, Row>,
    /// What lags, red first, then the furthest behind first.
    pub lagging: Vec<Row>,
    /// Delivered and on-time rates, one row a period.
    pub service: Vec<Row>,
}

/// Lights that are unknown for one reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unknown {
    /// Against what.
    pub comparison: Comparison,
    /// Its line; `None` for the total.
    pub line_code: Option<Line>,
    /// Of what.
    pub measure: Measure,
    /// Why.
    pub why: Option<Why>,
    /// Of which prefectures.
    pub prefecture_codes: Vec<String>,
    /// Whether it is so of the province, too.
    pub province: bool,
}

impl Unknown {
    /// Its business.
    pub fn scope(&self) -> Scope {
        self.line_code.map_or(Scope::Total, Scope::Line)
    }
}

/// The business that a province's figures are of.
const FIGURES: [(Scope, Measure); 10] = [
    (Scope::Total, Measure::Revenue),
    (Scope::Line(Line::Parcel), Measure::Revenue),
    (Scope::Line(Line::Parcel), Measure::Volume),
    (Scope::Line(Line::Parcel), Measure::Yield),
    (Scope::Product(Product::Express), Measure::Revenue),
    (Scope::Line(Line::Finance), Measure::Revenue),
    (Scope::Line(Line::Finance), Measure::Balance),
    (Scope::Line(Line::Basic), Measure::Revenue),
    (Scope::Line(Line::Retail), Measure::Revenue),
    (Scope::Line(Line::Parcel), Measure::OnTimeRate),
];
const SERVICE: [Measure; 2] = [Measure::DeliveredRate, Measure::OnTimeRate];

/// The rows of one province.
pub(super) struct Of<'r> {
    pub(super) unit: Unit,
    pub(super) rows: Vec<&'r Row>,
}

impl<'r> Of<'r> {
    pub(super) fn find(
        &self,
        unit: Unit,
        comparison: Comparison,
        of: (Scope, Measure, Period),
    ) -> Option<&'r Row> {
        let is_it = |row: &&&Row| {
            row.unit == unit
                && row.comparison == comparison
                && (row.scope(), row.measure, row.period) == of
        };
        self.rows.iter().find(is_it).copied()
    }

    /// A year-on-year figure of the year to date.
    pub(super) fn ytd(&self, unit: Unit, scope: Scope, measure: Measure) -> Option<&'r Row> {
        self.find(unit, Comparison::Yoy, (scope, measure, Period::Ytd))
    }

    /// The balance share, if it is known.
    fn share(&self, unit: Unit) -> Option<&'r Row> {
        let of = (Scope::Line(Line::Finance), Measure::Share, Period::Ytd);
        self.find(unit, Comparison::Industry, of).filter(|row| row.value.is_some())
    }

    pub(super) fn codes(&self) -> BTreeSet<PrefectureCode> {
        self.rows.iter().filter_map(|row| prefecture_of(row)).collect()
    }
}

pub(super) fn prefecture_of(row: &Row) -> Option<PrefectureCode> {
    match row.unit {
        Unit::Prefecture(code) => Some(code),
        Unit::Province(_) => None,
    }
}

/// The provinces that have had any business, in the order of their codes.
pub(super) fn provinces(rows: &[Row], codebook: &Codebook, periods: &[Period]) -> Vec<Province> {
    let mut parts: BTreeMap<PrefectureCode, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let province = match row.unit {
            Unit::Province(code) => code,
            Unit::Prefecture(code) => province_code(codebook, code),
        };
        parts.entry(province).or_default().push(row);
    }
    // Of a place where nothing happened there is no growth, only lights that are unknown.
    parts.retain(|_, rows| rows.iter().any(|row| row.comparison == Comparison::Yoy));
    parts.into_iter().map(|(code, rows)| province(code, rows, codebook, periods)).collect()
}

/// The province of a prefecture; of one that the codebook no longer has, what the first digits say.
fn province_code(codebook: &Codebook, code: PrefectureCode) -> PrefectureCode {
    codebook.prefecture(code).map_or(code.province(), |prefecture| prefecture.province_code)
}

fn province(
    code: PrefectureCode,
    rows: Vec<&Row>,
    codebook: &Codebook,
    periods: &[Period],
) -> Province {
    let of = Of { unit: Unit::Province(code), rows };
    let named = codebook.prefectures().find(|prefecture| prefecture.province_code == code);
    let name = |get: fn(&postroad_schemas::codebook::Prefecture) -> &str| {
        named.map_or_else(|| code.to_string(), |prefecture| get(prefecture).to_owned())
    };
    let figures = FIGURES.iter().flat_map(|(scope, measure)| {
        let find = |period: &Period| {
            of.find(of.unit, Comparison::Yoy, (*scope, *measure, *period)).cloned()
        };
        periods.iter().filter_map(find).collect::<Vec<_>>()
    });
    let figures = figures.chain(of.share(of.unit).cloned()).collect();
    let mut prefectures: Vec<Prefecture> =
        of.codes().into_iter().map(|code| prefecture(&of, code, codebook, periods)).collect();
    // Stable: ties stay in the order of the codes.
    prefectures.sort_by_key(|prefecture| prefecture.rank.unwrap_or(i32::MAX));
    Province {
        code,
        name: name(|prefecture| &prefecture.province),
        name_zh: name(|prefecture| &prefecture.province_zh),
        headline: headline(&of),
        figures,
        prefectures,
        unknown: unknown(&of.rows),
    }
}

fn prefecture(
    of: &Of<'_>,
    code: PrefectureCode,
    codebook: &Codebook,
    periods: &[Period],
) -> Prefecture {
    let unit = Unit::Prefecture(code);
    let named = codebook.prefecture(code);
    let figure = |scope, measure| {
        let find = move |period: &Period| {
            of.find(unit, Comparison::Yoy, (scope, measure, *period)).cloned()
        };
        periods.iter().filter_map(find)
    };
    let total = of.ytd(unit, Scope::Total, Measure::Revenue);
    let own = of.rows.iter().filter(|row| row.unit == unit);
    let mut lagging: Vec<Row> =
        own.filter(|row| row.is_lagging()).map(|row| (*row).clone()).collect();
    lagging.sort_by(|a, b| {
        (b.light, gap(a)).partial_cmp(&(a.light, gap(b))).unwrap_or(Ordering::Equal)
    });
    let worst = COMMENSURATES.iter().filter_map(|versus| {
        let held = of.rows.iter().filter(|row| row.unit == unit && row.comparison == *versus);
        let lit = held.filter(|row| row.light.is_some());
        let worst = lit.min_by(|a, b| gap(a).total_cmp(&gap(b)))?;
        Some((versus.as_str(), (*worst).clone()))
    });
    Prefecture {
        code,
        name: named.map_or_else(|| code.to_string(), |named| named.name.clone()),
        name_zh: named.map_or_else(|| code.to_string(), |named| named.name_zh.clone()),
        rank: total.and_then(|row| row.rank),
        rank_change: total.and_then(|row| row.rank_change),
        figures: figure(Scope::Total, Measure::Revenue).collect(),
        share: of.share(unit).cloned(),
        worst: worst.collect(),
        lagging,
        service: SERVICE
            .iter()
            .flat_map(|measure| figure(Scope::Line(Line::Parcel), *measure))
            .collect(),
    }
}

/// How far behind something is; what is not known comes after all that is.
fn gap(row: &Row) -> f64 {
    row.gap_pp.unwrap_or(f64::INFINITY)
}

/// Unknown lights, those of one indicator and one reason together.
fn unknown(rows: &[&Row]) -> Vec<Unknown> {
    let mut found: Vec<Unknown> = Vec::new();
    for row in rows.iter().filter(|row| row.light == Some(Light::Unknown)) {
        let key = (row.comparison, row.line_code, row.measure, row.why);
        let is_same =
            |other: &Unknown| (other.comparison, other.line_code, other.measure, other.why) == key;
        let at = found.iter().position(is_same).unwrap_or_else(|| {
            let (comparison, line_code, measure, why) = key;
            let prefecture_codes = Vec::new();
            found.push(Unknown {
                comparison,
                line_code,
                measure,
                why,
                prefecture_codes,
                province: false,
            });
            found.len() - 1
        });
        match row.unit {
            Unit::Province(_) => found[at].province = true,
            Unit::Prefecture(code) => found[at].prefecture_codes.push(code.to_string()),
        }
    }
    found.sort_by_key(|unknown| (unknown.comparison, unknown.line_code, unknown.measure));
    found
}
