//! The columns of the measures, and back: written only where every sum fits, read exactly.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};
use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::{MEASURES, Measures};
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::tables::{self, MONEY_FEN_MAX, MONEY_PRECISION, MONEY_SCALE, is_money};
use postroad_schemas::units::BusinessDay;

use super::{Cell, Overflow};

/// One column for each measure, in the order of [`tables::MEASURES`].
///
/// # Errors
/// The first sum that its column cannot hold.
pub(super) fn columns(cells: &[Cell<'_>]) -> Result<Vec<ArrayRef>, Overflow> {
    let rows: Vec<_> = cells.iter().map(|(_, measures)| measures.to_array()).collect();
    let column = |(index, measure): (usize, &&'static str)| -> Result<ArrayRef, Overflow> {
        let values = rows.iter().map(|row| row[index]);
        let overflow = |row: usize| Overflow::new(cells[row].0, measure, rows[row][index]);
        if is_money(measure) {
            let fits = |fen: &i128| fen.abs() <= MONEY_FEN_MAX;
            if let Some(row) = values.clone().position(|fen| !fits(&fen)) {
                return Err(overflow(row));
            }
            let yuan = Decimal128Array::from_iter_values(values)
                .with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)
                .expect("precision and scale are those of a valid type");
            return Ok(Arc::new(yuan));
        }
        let counts =
            values.enumerate().map(|(row, value)| i64::try_from(value).map_err(|_| overflow(row)));
        Ok(Arc::new(counts.collect::<Result<Int64Array, _>>()?))
    };
    tables::MEASURES.iter().enumerate().map(column).collect()
}

/// The cell of every row; `None` where a column is missing or holds something else.
pub(super) fn read_keys(batch: &RecordBatch) -> Option<Vec<CellKey>> {
    let days = batch.column_by_name("business_date")?.as_primitive_opt::<Date32Type>()?;
    let codes = batch.column_by_name("prefecture_code")?.as_string_opt::<i32>()?;
    let products = batch.column_by_name("product_code")?.as_string_opt::<i32>()?;
    let key = |row| {
        Some(CellKey {
            day: BusinessDay::from_days(days.value(row)),
            prefecture: PrefectureCode::parse(codes.value(row))?,
            product: Product::from_code(products.value(row))?,
        })
    };
    (0..batch.num_rows()).map(key).collect()
}

/// The measures of every row, from the columns whose names end in `suffix`; `None` where one holds
/// something else. A measure that the file's version did not have is zero, as in a checkpoint.
pub(super) fn read(batch: &RecordBatch, suffix: &str) -> Option<Vec<Measures>> {
    let mut rows = vec![[0_i128; MEASURES]; batch.num_rows()];
    for (index, measure) in tables::MEASURES.iter().enumerate() {
        let Some(column) = batch.column_by_name(&format!("{measure}{suffix}")) else { continue };
        if let Some(fen) = column.as_primitive_opt::<Decimal128Type>() {
            rows.iter_mut().zip(fen.values()).for_each(|(row, value)| row[index] = *value);
        } else {
            let counts = column.as_primitive_opt::<Int64Type>()?;
            rows.iter_mut()
                .zip(counts.values())
                .for_each(|(row, value)| row[index] = (*value).into());
        }
    }
    rows.iter().map(Measures::from_array).collect()
}
