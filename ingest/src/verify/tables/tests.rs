//! Tables that differ in one thing.

use arrow::array::{BinaryArray, Int64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};

use super::*;

/// Three rows of a table with the key of `publishes`.
fn table(rows: &[(i64, i64, Option<&str>, &[u8])]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("publish", DataType::Int64, false),
        Field::new("consumed", DataType::Int64, false),
        Field::new("reason", DataType::Utf8, true),
        Field::new("payload", DataType::Binary, true),
    ]);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.3)).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("columns of the schema")
}

const ROWS: [(i64, i64, Option<&str>, &[u8]); 3] =
    [(1, 10, None, b"a"), (2, 20, Some("late"), b"b"), (10, 30, None, b"c")];

#[track_caller]
fn check(found: &RecordBatch, expect: &[&str]) {
    let differences = compare_batches("publishes", found, &table(&ROWS));
    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expect);
}

#[test]
fn every_cell_that_differs_is_named_by_key_and_column() {
    check(&table(&ROWS), &[]);
    let mut rows = ROWS;
    (rows[1].1, rows[2].2) = (21, Some("new"));
    check(
        &table(&rows),
        &["publishes 10: reason is new, expected null", "publishes 2: consumed is 21, expected 20"],
    );
}

#[test]
fn rows_are_matched_by_key_wherever_they_stand() {
    check(&table(&[ROWS[2], ROWS[0], ROWS[1]]), &[]);
    check(&table(&ROWS[..2]), &["publishes 10: row is missing, expected there"]);
    let twice = concat_batches(&table(&ROWS).schema(), [&table(&ROWS), &table(&ROWS[1..2])]);
    check(&twice.expect("one schema"), &["publishes 2: row is there, expected none"]);
}

#[test]
fn a_payload_is_compared_and_never_shown() {
    let mut rows = ROWS;
    rows[0].3 = b"secret";
    check(&table(&rows), &["publishes 1: payload is another value, expected the record's"]);
}

#[test]
fn a_column_of_another_type_or_name_is_told_once() {
    let batch = table(&ROWS);
    let schema = Schema::new(vec![
        Field::new("publish", DataType::Int64, false),
        Field::new("consumed", DataType::Utf8, false),
        Field::new("why", DataType::Utf8, true),
        Field::new("payload", DataType::Binary, true),
    ]);
    let texts = StringArray::from(vec!["10", "20", "30"]);
    let mut columns = batch.columns().to_vec();
    columns[1] = Arc::new(texts);
    let found = RecordBatch::try_new(Arc::new(schema), columns).expect("columns of the schema");
    check(
        &found,
        &[
            "publishes consumed: type is Utf8, expected Int64",
            "publishes reason: type is none, expected Utf8",
            "publishes why: type is Utf8, expected none",
        ],
    );
}
