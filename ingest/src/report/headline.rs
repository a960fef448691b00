//! What the meeting is told first: how many prefectures lag, how the province stands against the industry,
//! how far apart its prefectures are, and where its income comes from.
//!
//! The counts are of lights, and the ends of a spread those of the ranks: both were decided exactly. Of the
//! table's doubles only the points between the two ends are reckoned, to be shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::headline::COMMENSURATES;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light};
use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::reference::Measure;
use serde::Serialize;

use super::model::{Of, prefecture_of};
use super::rows::{Row, text};

const PARCEL: Scope = Scope::Line(Line::Parcel);
const EXPRESS: Scope = Scope::Product(Product::Express);

/// What the meeting is told first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Headline {
    /// How many prefectures there are.
    pub prefectures: usize,
    /// How many of them lag on any indicator.
    pub laggards: usize,
    /// How many lag on an indicator of each commensurate.
    pub lagging: BTreeMap<&'static str, usize>,
    /// Of how many not one light of each commensurate is known.
    pub unknown: BTreeMap<&'static str, usize>,
    /// Growth of total revenue, year to date.
    pub revenue: Option<Row>,
    /// Growth of parcel volume and of parcel revenue against the industry's.
    pub industry: Vec<Row>,
    /// Of total revenue.
    pub spread: Option<Spread>,
    /// Premium express beside all parcels: revenue, then volume.
    pub express: Vec<Express>,
    /// Fee income's part of finance revenue.
    pub fee_mix: Option<Row>,
    /// Each line's part of total revenue.
    pub structure: Vec<Row>,
    /// How much of the revenue a few prefectures make.
    pub concentration: Option<Row>,
}

/// How far apart the growth of prefectures is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// Who grows fastest.
    #[serde(serialize_with = "text")]
    pub highest_code: PrefectureCode,
    /// In per cent.
    pub highest: f64,
    /// Who grows slowest.
    #[serde(serialize_with = "text")]
    pub lowest_code: PrefectureCode,
    /// In per cent.
    pub lowest: f64,
    /// The difference, in percentage points.
    pub spread_pp: f64,
}

/// Growth of premium express beside that of all parcels, year to date.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Express {
    /// Revenue or volume.
    pub measure: Measure,
    /// Of premium express.
    pub express: Row,
    /// Of all parcels.
    pub parcel: Row,
    /// Of premium express between prefectures.
    pub spread: Option<Spread>,
}

/// The headline of a province.
pub(super) fn headline(of: &Of<'_>) -> Headline {
    let lagging = |row: &&&Row| row.is_lagging();
    let codes = |comparison: Option<Comparison>| {
        let rows = of.rows.iter().filter(lagging);
        let rows = rows.filter(|row| comparison.is_none_or(|versus| row.comparison == versus));
        rows.filter_map(|row| prefecture_of(row)).collect::<BTreeSet<_>>().len()
    };
    let all = of.codes();
    let unknown = |versus: Comparison| {
        let is_known = |row: &&&Row| {
            row.comparison == versus && row.light.is_some_and(|light| light != Light::Unknown)
        };
        let known = of.rows.iter().filter(is_known).filter_map(|row| prefecture_of(row));
        all.len() - known.collect::<BTreeSet<_>>().len()
    };
    let industry = [Measure::Volume, Measure::Revenue].into_iter().filter_map(|measure| {
        of.find(of.unit, Comparison::Industry, (PARCEL, measure, Period::Ytd)).cloned()
    });
    let express = [Measure::Revenue, Measure::Volume].into_iter().filter_map(|measure| {
        Some(Express {
            measure,
            express: of.ytd(of.unit, EXPRESS, measure)?.clone(),
            parcel: of.ytd(of.unit, PARCEL, measure)?.clone(),
            spread: spread(of, EXPRESS, measure),
        })
    });
    let finance = Scope::Line(Line::Finance);
    let lines = Line::ALL.iter().map(|line| Scope::Line(*line));
    let structure = lines.filter_map(|line| of.ytd(of.unit, line, Measure::Structure).cloned());
    Headline {
        prefectures: all.len(),
        laggards: codes(None),
        lagging: COMMENSURATES
            .iter()
            .map(|versus| (versus.as_str(), codes(Some(*versus))))
            .collect(),
        unknown: COMMENSURATES.iter().map(|versus| (versus.as_str(), unknown(*versus))).collect(),
        revenue: of.ytd(of.unit, Scope::Total, Measure::Revenue).cloned(),
        industry: industry.collect(),
        spread: spread(of, Scope::Total, Measure::Revenue),
        express: express.collect(),
        fee_mix: of.ytd(of.unit, finance, Measure::Mix).cloned(),
        structure: structure.collect(),
        concentration: of.ytd(of.unit, Scope::Total, Measure::Concentration).cloned(),
    }
}

/// How far apart the growth of prefectures is, year to date; `None` where fewer than two are known.
fn spread(of: &Of<'_>, scope: Scope, measure: Measure) -> Option<Spread> {
    let ranked = of.codes().into_iter().filter_map(|code| {
        let row = of.ytd(Unit::Prefecture(code), scope, measure)?;
        Some((row.rank?, code, row.own_growth?))
    });
    // Of those that share a rank, the first by code.
    let ranked: Vec<(i32, PrefectureCode, f64)> = ranked.collect();
    let (_, highest_code, highest) = *ranked.iter().min_by_key(|(rank, code, _)| (*rank, *code))?;
    let (_, lowest_code, lowest) =
        *ranked.iter().max_by_key(|(rank, code, _)| (*rank, Reverse(*code)))?;
    let spread_pp = highest - lowest;
    (ranked.len() > 1).then_some(Spread { highest_code, highest, lowest_code, lowest, spread_pp })
}
