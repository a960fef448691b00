//! The rows of `indicators`, and of what they are held against.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::growth::to_f64;
use postroad_aggregate::indicators::{Exact, Indicator, Light, Why};
use postroad_schemas::codebook::Line;
use postroad_schemas::reference::{Benchmark, Level, Measure, Percent, Plan};
use postroad_schemas::tables::{MONEY_PRECISION, MONEY_SCALE, Table};
use postroad_schemas::units::BusinessDay;

use super::batch;
use crate::reference::ReferenceSet;

/// `indicators`: one row for each, as of one day. Money is in yuan, growth and shares in per cent.
pub fn indicators(as_of: BusinessDay, rows: &[Indicator], version: &str) -> RecordBatch {
    let days = |get: fn(&Indicator) -> BusinessDay| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(get(row).days())).collect::<Date32Array>())
    };
    let text = |get: fn(&Indicator) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    };
    let number = |get: fn(&Indicator) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<Float64Array>())
    };
    let codes = rows.iter().map(|row| match row.unit {
        Unit::Province(code) | Unit::Prefecture(code) => Some(code.to_string()),
    });
    let level = |row: &Indicator| match row.unit {
        Unit::Province(_) => "province",
        Unit::Prefecture(_) => "prefecture",
    };
    let product = |row: &Indicator| match row.scope {
        Scope::Product(product) => Some(product.as_str()),
        Scope::Total | Scope::Line(_) => None,
    };
    let rank = rows.iter().map(|row| row.rank.and_then(|rank| i32::try_from(rank).ok()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|_| Some(as_of.days())).collect::<Date32Array>()),
        days(|row| row.days.first),
        days(|row| row.days.last),
        text(|row| Some(row.period.as_str())),
        Arc::new(rows.iter().map(|row| Some(level(row))).collect::<StringArray>()),
        Arc::new(codes.collect::<StringArray>()),
        text(|row| row.scope.line().map(Line::as_str)),
        Arc::new(rows.iter().map(product).collect::<StringArray>()),
        text(|row| Some(row.measure.as_str())),
        text(|row| Some(row.comparison.as_str())),
        number(|row| shown(row, row.value)),
        number(|row| shown(row, row.base)),
        number(|row| row.own.map(to_f64)),
        number(|row| row.benchmark.map(to_f64)),
        number(|row| row.gap.map(to_f64)),
        text(|row| row.light.map(Light::as_str)),
        text(|row| row.why.map(Why::as_str)),
        text(|row| row.benchmark_level.map(Level::as_str)),
        text(|row| row.source.as_deref()),
        Arc::new(rank.collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.rank_change).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|_| Some(version)).collect::<StringArray>()),
    ];
    batch(Table::Indicators, columns)
}

/// A figure in the unit in which it is shown: fen become yuan.
pub fn shown(row: &Indicator, figure: Option<Exact>) -> Option<f64> {
    let is_money = matches!(row.measure, Measure::Revenue | Measure::Balance | Measure::Yield);
    figure.map(|figure| to_f64(figure) / if is_money { 100.0 } else { 1.0 })
}

/// `benchmarks`: those of a set, in its order.
pub fn benchmarks(set: &ReferenceSet) -> RecordBatch {
    let rows = &set.figures.benchmarks;
    let text = |get: fn(&Benchmark) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    };
    let day = |get: fn(&Benchmark) -> Option<BusinessDay>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| get(row).map(BusinessDay::days)).collect::<Date32Array>())
    };
    let percent = |of_share: bool| -> ArrayRef {
        let percents = rows
            .iter()
            .map(|row| ((row.measure == Measure::Share) == of_share).then(|| as_f64(row.percent)));
        Arc::new(percents.collect::<Float64Array>())
    };
    let codes = rows.iter().map(|row| row.code.map(|code| code.to_string()));
    let provinces = rows.iter().map(|row| row.province.map(|code| code.to_string()));
    let columns: Vec<ArrayRef> = vec![
        text(|row| Some(row.versus.as_str())),
        text(|row| Some(row.level.as_str())),
        Arc::new(codes.collect::<StringArray>()),
        text(|row| row.line.map(Line::as_str)),
        text(|row| Some(row.measure.as_str())),
        day(|row| Some(row.period_start)),
        day(|row| Some(row.period_end)),
        percent(false),
        percent(true),
        Arc::new(rows.iter().map(|row| row.weight).collect::<Int64Array>()),
        text(|row| Some(&row.basis)),
        day(|row| row.published_at),
        text(|row| Some(&row.source)),
        Arc::new(rows.iter().map(|_| Some(&*set.version)).collect::<StringArray>()),
        Arc::new(provinces.collect::<StringArray>()),
    ];
    batch(Table::Benchmarks, columns)
}

#[expect(clippy::cast_precision_loss, reason = "a published percentage has few digits")]
fn as_f64(percent: Percent) -> f64 {
    percent.millionths() as f64 / Percent::SCALE as f64
}

/// `plans`: those of a set, in its order.
///
/// # Panics
/// Never: an amount is of fifteen digits at most, which the reader sees to.
pub fn plans(set: &ReferenceSet) -> RecordBatch {
    let rows = &set.figures.plans;
    let text = |get: fn(&Plan) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    };
    let amount = |row: &Plan, measure| (row.measure == measure).then_some(row.amount);
    let volumes = rows.iter().map(|row| amount(row, Measure::Volume));
    let revenue = rows.iter().map(|row| amount(row, Measure::Revenue).map(i128::from));
    let revenue = revenue
        .collect::<Decimal128Array>()
        .with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)
        .expect("precision and scale are those of a valid type");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.code.to_string())).collect::<StringArray>()),
        text(|row| row.line.map(Line::as_str)),
        text(|row| Some(row.measure.as_str())),
        Arc::new(rows.iter().map(|row| row.year).collect::<Int32Array>()),
        Arc::new(volumes.collect::<Int64Array>()),
        Arc::new(revenue),
        text(|row| Some(&row.source)),
        Arc::new(rows.iter().map(|_| Some(&*set.version)).collect::<StringArray>()),
    ];
    batch(Table::Plans, columns)
}
