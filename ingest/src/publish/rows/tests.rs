//! The edges of every column.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Int32Type, Int64Type};
use postroad_schemas::codebook::PrefectureCode;
use postroad_schemas::tables::MONEY_FEN_MAX;
use postroad_schemas::units::{Fen, Grams};

use super::*;

fn key(prefecture: u32) -> CellKey {
    CellKey {
        day: BusinessDay::from_civil(2024, 2, 29).expect("a date"),
        prefecture: PrefectureCode::new(prefecture).expect("six digits"),
        product: Product::Express,
    }
}

fn rollup(measures: &Measures) -> Result<RecordBatch, Overflow> {
    daily_rollups(&[(&key(210_100), measures)], &Codebook::liaoning(), &Horizon::default())
}

#[track_caller]
fn check_money(column: &str, with: fn(Fen) -> Measures) {
    for fen in [MONEY_FEN_MAX, -MONEY_FEN_MAX, 0, 1, -1] {
        let rows = rollup(&with(Fen::new(fen))).expect(column);
        let yuan = rows.column_by_name(column).expect("a column").as_primitive::<Decimal128Type>();
        assert_eq!(yuan.value(0), fen, "{column}");
    }
    for fen in [MONEY_FEN_MAX + 1, -MONEY_FEN_MAX - 1, i128::MAX, i128::MIN + 1] {
        let overflow = rollup(&with(Fen::new(fen))).expect_err(column);
        assert_eq!((overflow.measure, overflow.value), (column, fen));
        let words = overflow.to_string();
        assert!(words.contains("2024-02-29, prefecture 210100, product express"), "{words}");
    }
}

#[test]
fn money_fits_decimal_18_2_or_names_its_cell() {
    let none = Measures::default;
    check_money("revenue_yuan", |revenue| Measures { revenue, ..Measures::default() });
    check_money("balance_yuan", |balance| Measures { balance, ..Measures::default() });
    check_money("turnover_yuan", |turnover| Measures { turnover, ..Measures::default() });
    check_money("agri_revenue_yuan", |fen| Measures { agri_revenue: fen, ..Measures::default() });
    assert!(rollup(&none()).is_ok());
}

#[test]
fn weight_fits_64_bits_or_names_its_cell() {
    let heavy = |grams| rollup(&Measures { weight: Grams::new(grams), ..Measures::default() });
    for grams in [i64::MAX, i64::MIN] {
        let rows = heavy(grams.into()).expect("it fits");
        let weight = rows.column_by_name("weight_g").expect("a column");
        assert_eq!(weight.as_primitive::<Int64Type>().value(0), grams);
    }
    let overflow = heavy(i128::from(i64::MAX) + 1).expect_err("one gram too many");
    assert_eq!(overflow.measure, "weight_g");
}

/// Each measure differs, so that no two columns can be taken for each other.
#[test]
fn every_measure_stands_in_its_column() {
    let row = std::array::from_fn(|index| i128::try_from(index).expect("small") + 1);
    let rows = rollup(&Measures::from_array(&row).expect("counts")).expect("they fit");
    let columns = [
        "volume",
        "revenue_yuan",
        "weight_g",
        "scans",
        "due",
        "delivered",
        "on_time",
        "failed_attempts",
        "returned",
        "voided",
        "balance_yuan",
        "turnover_yuan",
        "accounts_opened",
        "reversals",
        "agri_volume",
        "agri_revenue_yuan",
        "events",
        "late_events",
        "restated_events",
    ];
    for (column, expect) in columns.iter().zip(row) {
        let found = rows.column_by_name(column).expect(column);
        let value = match found.as_primitive_opt::<Int64Type>() {
            Some(counts) => counts.value(0).into(),
            None => found.as_primitive::<Decimal128Type>().value(0),
        };
        assert_eq!(value, expect, "{column}");
    }
}

#[test]
fn a_code_that_left_the_codebook_stands_for_its_name() {
    let (here, gone) = (key(210_100), key(330_100));
    let measures = Measures::default();
    let cells = [(&here, &measures), (&gone, &measures)];
    let rows = daily_rollups(&cells, &Codebook::liaoning(), &Horizon::default()).expect("rows");
    let text = |column: &str| {
        let column = rows.column_by_name(column).expect("a column").as_string::<i32>();
        [column.value(0).to_owned(), column.value(1).to_owned()]
    };
    assert_eq!(text("prefecture_name"), ["Shenyang", "330100"]);
    assert_eq!(text("province_code"), ["210000", "330000"]);
    assert_eq!(text("line_code"), ["parcel", "parcel"]);
}

#[test]
fn the_calendar_knows_leap_years_quarters_and_festivals() {
    let from = BusinessDay::from_civil(2024, 2, 1).expect("a date");
    let rows = calendar(from, from.plus_days(29), &Horizon::default());
    assert_eq!(rows.num_rows(), 29);
    let number = |column: &str, row: usize| {
        let column = rows.column_by_name(column).expect("a column");
        assert!(!column.is_null(row));
        column.as_primitive::<Int32Type>().value(row)
    };
    let names = ["year", "half", "quarter", "month", "day", "day_of_year", "days_in_year"];
    assert_eq!(names.map(|name| number(name, 28)), [2024, 1, 1, 2, 29, 60, 366]);
    assert_eq!(number("iso_weekday", 28), 4);
    assert_eq!(
        (number("days_from_spring_festival", 8), number("days_from_spring_festival", 9)),
        (-1, 0)
    );
    let before = rows.column_by_name("year_before").expect("a column").as_primitive::<Date32Type>();
    let date = |days| BusinessDay::from_days(days).to_string();
    assert_eq!(
        (date(before.value(27)), date(before.value(28))),
        ("2023-02-28".into(), "2023-02-28".into())
    );
    let late = BusinessDay::from_civil(2031, 12, 31).expect("a date");
    let rows = calendar(late, late.plus_days(1), &Horizon::default());
    let festival = rows.column_by_name("spring_festival").expect("a column");
    assert_eq!(festival.null_count(), 1, "an unknown year has none");
    let half = rows.column_by_name("half").expect("a column").as_primitive::<Int32Type>().value(0);
    assert_eq!(half, 2);
}

/// What was final is read back from what was written, to the last fen; a measure that came later is
/// zero in what was written before.
#[test]
fn cells_are_read_back_as_they_were_written() {
    let row = std::array::from_fn(|index| -i128::try_from(index * index).expect("small"));
    let first = Measures::from_array(&row).expect("counts");
    let second = Measures { revenue: Fen::new(MONEY_FEN_MAX), ..first };
    let cells = vec![(key(210_100), first), (key(210_200), second)];
    let written: Vec<_> = cells.iter().map(|(key, measures)| (key, measures)).collect();
    let rows = daily_rollups(&written, &Codebook::liaoning(), &Horizon::default()).expect("rows");
    let file = crate::publish::parquet_file::encode(&rows, 1).expect("a batch of ours");
    let rows = crate::publish::parquet_file::decode(file).expect("a file of ours");
    assert_eq!(read_daily_rollups(&rows), Some(cells.clone()));

    let is_old = |index: &usize| rows.schema().field(*index).name() != "turnover_yuan";
    let old: Vec<_> = (0..rows.num_columns()).filter(is_old).collect();
    let old = rows.project(&old).expect("columns of its own");
    let older = |(key, measures): &(CellKey, Measures)| {
        (*key, Measures { turnover: Fen::default(), ..*measures })
    };
    assert_eq!(read_daily_rollups(&old), Some(cells.iter().map(older).collect()));
    assert_eq!(read_daily_rollups(&products(&Codebook::liaoning())), None);
}

#[test]
fn restatements_are_read_back_as_they_were_written() {
    let measures = |first: i128| {
        let row = std::array::from_fn(|index| first + i128::try_from(index).expect("small"));
        Measures::from_array(&row).expect("counts")
    };
    let restated = |publish: u64, at: i64| Restatement {
        publish,
        published_at: Timestamp::from_micros(at),
        cell: key(210_100),
        before: measures(at.into()),
        after: measures(-i128::from(at)),
    };
    let rows = vec![restated(3, 1_700_000_000_000_001), restated(9, 5)];
    let batch = restatements(&rows).expect("they fit");
    let file = crate::publish::parquet_file::encode(&batch, 1).expect("a batch of ours");
    let read = crate::publish::parquet_file::decode(file).expect("a file of ours");
    assert_eq!(read_restatements(&read), Some(rows));
    let none = restatements(&[]).expect("nothing to fit");
    let file = crate::publish::parquet_file::encode(&none, 1).expect("a batch of ours");
    let none = crate::publish::parquet_file::decode(file).expect("a file of ours");
    assert_eq!(read_restatements(&none), Some(Vec::new()));
}

/// The decoder was not made for such files: it panics on some, which must not end a verification.
#[test]
fn a_file_with_a_flipped_bit_is_read_or_refused() {
    let row = std::array::from_fn(|index| i128::try_from(index).expect("small"));
    let measures = Measures::from_array(&row).expect("counts");
    let cells = [(key(210_100), measures), (key(210_200), measures)];
    let written: Vec<_> = cells.iter().map(|(key, measures)| (key, measures)).collect();
    let rows = daily_rollups(&written, &Codebook::liaoning(), &Horizon::default()).expect("rows");
    let file = crate::publish::parquet_file::encode(&rows, 1).expect("a batch of ours");
    // Some of them: each takes a millisecond, and more where the decoder panics.
    let places: Vec<_> = (0..file.len()).step_by(3).collect();
    let refused = places.iter().filter(|at| {
        let mut damaged = file.to_vec();
        damaged[**at] ^= 1 << (**at % 8);
        crate::publish::parquet_file::decode_untrusted(damaged.into()).is_err()
    });
    let refused = refused.count();
    assert!(refused > 0 && refused < places.len(), "{refused} of {}", places.len());
}
