//! `baselines.parquet`: prior-year days as a table, whoever has written it.
//!
//! The six columns are looked at by name, and each has to have exactly the type that `daily_rollups` gives
//! it: money of another scale, or as whole numbers, would be read as something else.

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::reference::{shown, yuan};
use postroad_schemas::units::{BusinessDay, Fen};

use crate::publish::parquet_file;

/// The columns, and as what SQL exports them.
pub(super) const COLUMNS: [(&str, &str); 6] = [
    ("business_date", "DATE"),
    ("prefecture_code", "VARCHAR"),
    ("product_code", "VARCHAR"),
    ("volume", "BIGINT"),
    ("revenue_yuan", "DECIMAL(18,2)"),
    ("balance_yuan", "DECIMAL(18,2)"),
];

/// The days of a table as the text of `baselines.csv`, whose line *n* + 1 is the table's row *n*.
///
/// # Errors
/// Every column that is at fault, with its remedy.
pub(super) fn read(bytes: Vec<u8>) -> Result<String, Vec<String>> {
    let batch = parquet_file::decode_untrusted(bytes.into());
    let batch = batch.map_err(|error| vec![format!("it cannot be decoded: {error}")])?;
    let faults: Vec<String> = COLUMNS.iter().filter_map(|column| fault(&batch, *column)).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    text(&batch).map_err(|fault| vec![fault])
}

/// What is wrong with a column.
fn fault(batch: &RecordBatch, (name, sql): (&str, &str)) -> Option<String> {
    let remedy = format!("export CAST({name} AS {sql}) AS {name}");
    let Some(column) = batch.column_by_name(name) else {
        return Some(format!("{name}: the column is missing; {remedy}"));
    };
    let found = column.data_type();
    if !is_of(found, sql) {
        return Some(format!("{name}: is of the type {found}; {remedy}"));
    }
    let values = column.logical_nulls()?;
    let row = (0..values.len()).find(|row| values.is_null(*row))? + 1;
    Some(format!("{name}: row {row} is null; give it a value, or leave the row out"))
}

/// Whether a column is read as what SQL calls it. Programs encode texts in several ways, and sums of
/// money with more digits.
fn is_of(found: &DataType, sql: &str) -> bool {
    match found {
        DataType::Date32 => sql == "DATE",
        DataType::Int64 => sql == "BIGINT",
        DataType::Decimal128(_, scale) => sql.starts_with("DECIMAL") && *scale == 2,
        DataType::Dictionary(_, values) => is_of(values, sql) && sql == "VARCHAR",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => sql == "VARCHAR",
        _ => false,
    }
}

/// The rows of a table whose columns are sound.
fn text(batch: &RecordBatch) -> Result<String, String> {
    let [days, codes, products, volumes, revenues, balances] =
        COLUMNS.map(|(name, _)| &batch[name]);
    let as_text = |column| cast(column, &DataType::Utf8).map_err(|error| error.to_string());
    let (codes, products) = (as_text(codes)?, as_text(products)?);
    let (codes, products) = (codes.as_string::<i32>(), products.as_string::<i32>());
    let (days, volumes) = (days.as_primitive::<Date32Type>(), volumes.as_primitive::<Int64Type>());
    let revenues = revenues.as_primitive::<Decimal128Type>();
    let balances = balances.as_primitive::<Decimal128Type>();
    let mut text = "date,code,product,volume,revenue_yuan,balance_yuan\n".to_owned();
    for row in 0..batch.num_rows() {
        let (code, product) = (codes.value(row), products.value(row));
        let code = PrefectureCode::parse(code).ok_or_else(|| {
            let code = shown(code);
            format!(
                "prefecture_code: row {}: `{code}` is not a GB/T 2260 code; write six digits",
                row + 1
            )
        })?;
        let product = Product::from_code(product).ok_or_else(|| {
            format!("product_code: row {}: {}", row + 1, Product::unknown(&shown(product)))
        })?;
        let (day, volume) = (BusinessDay::from_days(days.value(row)), volumes.value(row));
        let money = [revenues, balances].map(|money| yuan(Fen::new(money.value(row))));
        let _ = writeln!(text, "{day},{code},{product},{volume},{},{}", money[0], money[1]);
    }
    Ok(text)
}
