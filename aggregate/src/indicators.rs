//! Who lags: growth, and what it is held against.
//!
//! A pure function of the daily table, of reference data and of a day: [`evaluate`]. Money, pieces and
//! percentages are integers up to the last division, which makes the `f64` of a row; whether something
//! lags is decided before that, exactly. Sums over prefectures come first and rates last: the growth of
//! a province is that of its sum, never a mean of growths.
//!
//! In the order of a figure's way: [`period`] says which days are held against which, [`known`] which of
//! them are there, [`book`] adds them up, [`growth`] divides, [`commensurate`] finds what a figure is held against and which light that
//! is, [`rank`] orders prefectures, [`headline`] counts who lags; [`pace`] says how today stands.
//!
//! What is not known is `unknown` with a reason ([`Why`]), never 0: a base that is not positive or that
//! begins before the data do, a benchmark that is missing or stale.

pub mod book;
pub mod commensurate;
pub mod growth;
pub mod headline;
pub mod known;
pub mod pace;
pub mod period;
pub mod rank;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use postroad_schemas::closed_names;
use postroad_schemas::codebook::PrefectureCode;
use postroad_schemas::reference::{Level, Measure, Percent, Reference};
use postroad_schemas::units::BusinessDay;

use serde::{Deserialize, Serialize};

use self::book::{Book, Scope, Unit};
use self::growth::Compared;
use self::period::{Period, Range};
use crate::event::CellKey;
use crate::measures::Measures;

closed_names! {
    /// What a figure is held against.
    Comparison {
        /// 同比: the same elapsed period a year before.
        Yoy = "yoy",
        /// 环比: the preceding equal period.
        Pop = "pop",
        /// 日均同比: averages over the days of both periods, which a 29 February does not distort.
        DailyAverage = "daily_average",
        /// 两年平均: √((1 + g₁)(1 + g₂)) − 1 over this year's growth and last year's.
        TwoYear = "two_year",
        /// 春节同比: the days of the year before that are as far from its Spring Festival.
        Festival = "festival",
        /// 旺季系数: the period's daily average against that of the year to date.
        Peak = "peak",
        /// 地市差距: the highest less the lowest growth of the year to date of a province's prefectures.
        Spread = "spread",
        /// Growth of the economy.
        Local = "local",
        /// Growth of the industry; for the balance share, the share at the year's start.
        Industry = "industry",
        /// Growth of the peers.
        Peer = "peer",
        /// What the plan expects by now.
        Plan = "plan",
        /// Any of the four; of the prefectures that lag.
        Any = "any",
    }
}

closed_names! {
    /// How a figure stands against its benchmark.
    Light {
        /// As fast as it ought to be.
        Green = "green",
        /// Below, by no more than [`Settings::red_below`].
        Yellow = "yellow",
        /// Below that.
        Red = "red",
        /// Not known; the row says why.
        Unknown = "unknown",
    }
}

closed_names! {
    /// Why a light is unknown.
    Why {
        /// There is no figure: it would divide by nothing, or no balance is given.
        FigureMissing = "figure_missing",
        /// The base is 0 or below.
        BaseNotPositive = "base_not_positive",
        /// A part of the base is missing, or of the period itself, as far as can be told ([`known`]).
        BaseIncomplete = "base_incomplete",
        /// There is nothing to hold the figure against.
        BenchmarkMissing = "benchmark_missing",
        /// The newest benchmark's period ended too long ago.
        BenchmarkStale = "benchmark_stale",
        /// Numbers beyond 38 digits.
        Overflow = "overflow",
    }
}

/// An exact fraction.
pub type Exact = num_rational::Ratio<i128>;

/// What decides a light, all configurable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// A gap below this is red, in percentage points; a gap below 0 is yellow.
    pub red_below: Percent,
    /// Days after its period's end at which a benchmark is stale.
    pub stale_after_days: i32,
    /// The first day of which the log has everything. Unless given, [`known`] finds out.
    pub data_from: Option<BusinessDay>,
}

impl Default for Settings {
    /// DOMAIN's defaults; a benchmark is stale after two quarters and a month to publish the second.
    fn default() -> Self {
        Self {
            red_below: Percent::from_millionths(-2 * Percent::SCALE),
            stale_after_days: 215,
            data_from: None,
        }
    }
}

/// One row of the table `indicators`, its numbers still exact where that is possible.
#[derive(Debug, Clone, PartialEq)]
pub struct Indicator {
    /// Whose it is.
    pub unit: Unit,
    /// Of what business.
    pub scope: Scope,
    /// What is measured.
    pub measure: Measure,
    /// Over which period.
    pub period: Period,
    /// Its days.
    pub days: Range,
    /// What it is held against.
    pub comparison: Comparison,
    /// The figure: pieces, fen, fen a piece, or per cent.
    pub value: Option<Exact>,
    /// What growth is reckoned from, in the same unit.
    pub base: Option<Exact>,
    /// Growth, attainment or share, in per cent.
    pub own: Option<Exact>,
    /// What it is held against, in per cent.
    pub benchmark: Option<Exact>,
    /// `own − benchmark`, in percentage points.
    pub gap: Option<Exact>,
    /// How it stands. Comparisons without a benchmark have no light.
    pub light: Option<Light>,
    /// Why something is not known.
    pub why: Option<Why>,
    /// How fine the benchmark is.
    pub benchmark_level: Option<Level>,
    /// Who published it.
    pub source: Option<String>,
    /// Place among the province's prefectures by `own`, the highest first: 1, 2, 2, 4.
    pub rank: Option<u32>,
    /// Places gained since the end of the month before, in year-on-year growth: below 0 where they were
    /// lost.
    pub rank_change: Option<i32>,
}

/// What indicators are made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The province of each prefecture.
    pub provinces: &'a BTreeMap<PrefectureCode, PrefectureCode>,
    /// What figures are held against.
    pub reference: &'a Reference,
    /// The last day that counts. It has to be complete.
    pub as_of: BusinessDay,
    /// What decides a light.
    pub settings: Settings,
}

/// Every indicator as of a day, ordered by unit, scope, period, measure and comparison, and then what each
/// province's prefectures come to. Cells of later days are passed over, and so are prefectures that no
/// province has.
pub fn evaluate<'m>(
    input: &Input<'_>,
    cells: impl IntoIterator<Item = (CellKey, &'m Measures)>,
) -> Vec<Indicator> {
    let book = Book::add_up(input, cells);
    let periods = Compared::all(&book);
    let mut rows = Vec::new();
    for unit in book.units() {
        for scope in Scope::all() {
            if book.has(unit, scope) {
                for compared in &periods {
                    growth::rows(&book, unit, scope, compared, &mut rows);
                }
            }
            commensurate::rows(input, &book, unit, scope, &mut rows);
        }
    }
    rank::rank(input, &book, &mut rows);
    let provinces = headline::rows(input, &book, &rows);
    rows.extend(provinces);
    rows
}
