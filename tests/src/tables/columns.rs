//! Columns of a batch by name, of exactly the type that CONTRACT says.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use crate::oracle::{OracleCell, time};

/// Values that may be null, row by row.
type Optional<T> = Vec<Option<T>>;

fn column<'a>(
    batch: &'a RecordBatch,
    name: &str,
    data_type: &DataType,
) -> Result<&'a dyn Array, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("there is no column {name}"))?;
    if column.data_type() == data_type {
        return Ok(column.as_ref());
    }
    Err(format!("column {name} is {}, not {data_type}", column.data_type()))
}

pub(super) fn texts(batch: &RecordBatch, name: &str) -> Result<Optional<String>, String> {
    let column = column(batch, name, &DataType::Utf8)?.as_string::<i32>();
    Ok(column.iter().map(|text| text.map(str::to_owned)).collect())
}

pub(super) fn required(texts: &[Option<String>], row: usize) -> Result<String, String> {
    texts[row].clone().ok_or_else(|| format!("a null in row {row}"))
}

/// The values of a column without nulls.
fn whole<T>(values: impl Iterator<Item = Option<T>>, name: &str) -> Result<Vec<T>, String> {
    values.collect::<Option<_>>().ok_or_else(|| format!("a null in column {name}"))
}

pub(super) fn counts(batch: &RecordBatch, name: &str) -> Result<Vec<i64>, String> {
    let column = column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>();
    whole(column.iter(), name)
}

pub(super) fn small(batch: &RecordBatch, name: &str) -> Result<Vec<i32>, String> {
    let column = column(batch, name, &DataType::Int32)?.as_primitive::<Int32Type>();
    whole(column.iter(), name)
}

fn fen(batch: &RecordBatch, name: &str) -> Result<Vec<i128>, String> {
    let money = DataType::Decimal128(18, 2);
    let column = column(batch, name, &money)?.as_primitive::<Decimal128Type>();
    whole(column.iter(), name)
}

pub(super) fn instants(batch: &RecordBatch, name: &str) -> Result<Optional<i64>, String> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = column(batch, name, &instant)?.as_primitive::<TimestampMicrosecondType>();
    Ok(column.iter().collect())
}

pub(super) fn dates(batch: &RecordBatch, name: &str) -> Result<Optional<String>, String> {
    let column = column(batch, name, &DataType::Date32)?.as_primitive::<Date32Type>();
    Ok(column.iter().map(|day| day.map(|day| time::date_text(day.into()))).collect())
}

pub(super) fn binaries(batch: &RecordBatch, name: &str) -> Result<Optional<Vec<u8>>, String> {
    let column = column(batch, name, &DataType::Binary)?.as_binary::<i32>();
    Ok(column.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect())
}

/// The measures of every row, from the columns with these endings of their names; money columns hold
/// fen as their unscaled value.
pub(super) fn cells(batch: &RecordBatch, ending: &str) -> Result<Vec<OracleCell>, String> {
    let count = |name: &str| -> Result<Vec<i128>, String> {
        let values = counts(batch, &format!("{name}{ending}"))?;
        Ok(values.into_iter().map(i128::from).collect())
    };
    let fen = |name: &str| fen(batch, &format!("{name}{ending}"));
    let mut cells = vec![OracleCell::default(); batch.num_rows()];
    /// Fills one field of every cell from its column.
    macro_rules! fill {
        ($($field:ident: $values:expr,)*) => {
            $(for (cell, value) in cells.iter_mut().zip($values) {
                cell.$field = value;
            })*
        };
    }
    fill! {
        volume: count("volume")?,
        revenue_fen: fen("revenue_yuan")?,
        weight_g: count("weight_g")?,
        scans: count("scans")?,
        due: count("due")?,
        delivered: count("delivered")?,
        on_time: count("on_time")?,
        failed_attempts: count("failed_attempts")?,
        returned: count("returned")?,
        voided: count("voided")?,
        balance_fen: fen("balance_yuan")?,
        turnover_fen: fen("turnover_yuan")?,
        accounts_opened: count("accounts_opened")?,
        reversals: count("reversals")?,
        agri_volume: count("agri_volume")?,
        agri_revenue_fen: fen("agri_revenue_yuan")?,
        events: count("events")?,
        late_events: count("late_events")?,
        restated_events: count("restated_events")?,
    }
    Ok(cells)
}
