//! The rows of `indicators` as of a day, read from a batch: the one way into a report, whether the rows
//! were published or have just been evaluated.

use std::fmt::Display;

use arrow::array::{Array, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray};
use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light, Why};
use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::reference::{Level, Measure};
use postroad_schemas::units::BusinessDay;
use serde::{Serialize, Serializer};

/// A row of `indicators`, with the names of its columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Whose it is.
    #[serde(skip)]
    pub unit: Unit,
    /// Its line; `None` for the total.
    pub line_code: Option<Line>,
    /// Its product; `None` for a line or the total.
    pub product_code: Option<Product>,
    /// What is measured.
    pub measure: Measure,
    /// What it is held against.
    pub comparison: Comparison,
    /// Over which period.
    pub period: Period,
    /// Its first day, inclusive.
    #[serde(serialize_with = "text")]
    pub period_start: BusinessDay,
    /// Its last day, inclusive.
    #[serde(serialize_with = "text")]
    pub period_end: BusinessDay,
    /// Pieces, yuan, yuan a piece, or per cent.
    pub value: Option<f64>,
    /// What growth is reckoned from, in the same unit.
    pub base: Option<f64>,
    /// Growth, attainment or share, in per cent; of a percentage its change, in percentage points.
    pub own_growth: Option<f64>,
    /// What that is held against, in per cent.
    pub benchmark: Option<f64>,
    /// The one less the other, in percentage points.
    pub gap_pp: Option<f64>,
    /// How it stands, as it was decided before anything became a float.
    pub light: Option<Light>,
    /// Why something is not known.
    pub why: Option<Why>,
    /// How fine the benchmark is.
    pub benchmark_level: Option<Level>,
    /// Who published it.
    pub source: Option<String>,
    /// Place among the province's prefectures.
    pub rank: Option<i32>,
    /// Places gained since the end of the month before.
    pub rank_change: Option<i32>,
}

impl Row {
    /// Its business.
    pub fn scope(&self) -> Scope {
        match (self.line_code, self.product_code) {
            (_, Some(product)) => Scope::Product(product),
            (Some(line), None) => Scope::Line(line),
            (None, None) => Scope::Total,
        }
    }

    /// Whether it is below its benchmark.
    pub fn is_lagging(&self) -> bool {
        matches!(self.light, Some(Light::Red | Light::Yellow))
    }
}

/// Days and codes as text.
pub(super) fn text<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// The rows as of a day, in their order, and the version of the reference data that they were made
/// with; no rows where there are none.
///
/// # Errors
/// Which column is missing, is of another type, or says what this program does not know.
pub fn read(batch: &RecordBatch, as_of: BusinessDay) -> Result<(Vec<Row>, String), String> {
    let table = Columns::of(batch)?;
    let mut rows = Vec::new();
    let mut version = String::new();
    for index in 0..batch.num_rows() {
        if table.dates[0].value(index) == as_of.days() {
            rows.push(table.row(index)?);
            table.texts[10].value(index).clone_into(&mut version);
        }
    }
    Ok((rows, version))
}

const DATES: [&str; 3] = ["as_of_date", "period_start", "period_end"];
const TEXTS: [&str; 12] = [
    "period",
    "level",
    "prefecture_code",
    "line_code",
    "product_code",
    "measure",
    "comparison",
    "light",
    "why",
    "benchmark_level",
    "reference_version",
    "source",
];
const NUMBERS: [&str; 5] = ["value", "base", "own_growth", "benchmark", "gap_pp"];
const RANKS: [&str; 2] = ["rank", "rank_change"];

/// The columns by type, in the order of the names above.
struct Columns<'a> {
    dates: Vec<&'a Date32Array>,
    texts: Vec<&'a StringArray>,
    numbers: Vec<&'a Float64Array>,
    ranks: Vec<&'a Int32Array>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        Ok(Self {
            dates: columns(batch, &DATES)?,
            texts: columns(batch, &TEXTS)?,
            numbers: columns(batch, &NUMBERS)?,
            ranks: columns(batch, &RANKS)?,
        })
    }

    fn row(&self, index: usize) -> Result<Row, String> {
        let word = |at: usize| {
            let column = self.texts[at];
            column.is_valid(index).then(|| column.value(index))
        };
        let number = |at: usize| {
            let column = self.numbers[at];
            column.is_valid(index).then(|| column.value(index))
        };
        let rank = |at: usize| {
            let column = self.ranks[at];
            column.is_valid(index).then(|| column.value(index))
        };
        let code = word(2).and_then(PrefectureCode::parse);
        let code = code.ok_or_else(|| unknown("prefecture_code", word(2)))?;
        let unit = match word(1) {
            Some("province") => Unit::Province(code),
            Some("prefecture") => Unit::Prefecture(code),
            other => return Err(unknown("level", other)),
        };
        Ok(Row {
            unit,
            line_code: named("line_code", word(3), Line::ALL, Line::as_str)?,
            product_code: named("product_code", word(4), Product::ALL, Product::as_str)?,
            measure: required("measure", word(5), Measure::ALL, Measure::as_str)?,
            comparison: required("comparison", word(6), Comparison::ALL, Comparison::as_str)?,
            period: required("period", word(0), Period::ALL, Period::as_str)?,
            period_start: BusinessDay::from_days(self.dates[1].value(index)),
            period_end: BusinessDay::from_days(self.dates[2].value(index)),
            value: number(0),
            base: number(1),
            own_growth: number(2),
            benchmark: number(3),
            gap_pp: number(4),
            light: named("light", word(7), Light::ALL, Light::as_str)?,
            why: named("why", word(8), Why::ALL, Why::as_str)?,
            benchmark_level: named("benchmark_level", word(9), Level::ALL, Level::as_str)?,
            source: word(11).map(str::to_owned),
            rank: rank(0),
            rank_change: rank(1),
        })
    }
}

fn columns<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    names: &[&str],
) -> Result<Vec<&'a A>, String> {
    let column = |name: &&str| {
        let found = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
        found.ok_or_else(|| format!("it lacks the column {name}, or has it of another type"))
    };
    names.iter().map(column).collect()
}

/// The value of a closed set that a column names; `None` where it is null.
fn named<T: Copy>(
    column: &str,
    word: Option<&str>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, String> {
    let Some(word) = word else { return Ok(None) };
    let found = all.iter().copied().find(|value| name(*value) == word);
    found.map(Some).ok_or_else(|| unknown(column, Some(word)))
}

fn required<T: Copy>(
    column: &str,
    word: Option<&str>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    named(column, word, all, name)?.ok_or_else(|| unknown(column, None))
}

fn unknown(column: &str, word: Option<&str>) -> String {
    let word = word.unwrap_or("nothing");
    format!("its column {column} says `{word}`, which this program does not know")
}
