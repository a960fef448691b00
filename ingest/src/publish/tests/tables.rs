//! The look of every file, and sums that do not fit their column.

use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::tables::MONEY_FEN_MAX;
use postroad_schemas::units::Fen;

use super::*;

/// A log in which every table has something to show.
fn full() -> Log {
    let mut log = Log::new(0);
    log.reject(Some(noon(date(5, 31))));
    for (day, prefecture, product) in [
        (date(6, 2), 211_400, "express"),
        (date(6, 1), 211_400, "standard"),
        (date(6, 1), 211_400, "economy"),
        (date(6, 2), 210_100, "standard"),
        (date(6, 1), 210_200, "logistics"),
        (date(7, 1), 210_100, "express"),
    ] {
        log.accept(day, prefecture, product, 1_234);
    }
    log
}

#[tokio::test]
async fn every_file_has_its_schema_one_row_group_zstd_and_the_stamp() {
    let mut desk = Desk::new();
    desk.settings.reference = Arc::new(ReferenceSet::liaoning());
    let mut log = full();
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    // A parcel more on a day that is final by now.
    log.accept(date(6, 1), 211_400, "economy", 1_234);
    desk.write(&log).await;
    let made = publish(&mut publisher, &[&log]).await.expect("something new");
    for table in Table::ALL {
        let folder = format!("tables/{}/", table.name());
        let keys: Vec<_> =
            made.manifest.files.keys().filter(|key| key.starts_with(&folder)).collect();
        assert!(!keys.is_empty(), "{folder}");
        for key in keys {
            let (metadata, rows) = desk.file(key).await;
            assert_eq!(rows.schema().fields(), table.schema().fields(), "{key}");
            // One, but for indicators, which have one for each day.
            let groups = if table == Table::Indicators { 2 } else { 1 };
            assert_eq!(metadata.num_row_groups(), groups, "{key}");
            let mut columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
            assert!(
                columns.all(|column| matches!(column.compression(), Compression::ZSTD(_))),
                "{key}"
            );
            let publish = made.manifest.files[key].publish;
            assert_eq!(stamp(&metadata), publish.to_string(), "{key}");
        }
    }
    desk.check_files().await;
}

#[tokio::test]
async fn rows_are_sorted_by_day_prefecture_and_product() {
    let mut desk = Desk::new();
    let log = full();
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let rows = desk.rows(&rollups_of(6)).await;
    let days = rows.column_by_name("business_date").expect("a column").as_primitive::<Date32Type>();
    let codes = texts(&rows, "prefecture_code");
    let products = texts(&rows, "product_code");
    let keys: Vec<_> = (0..rows.num_rows())
        .map(|row| {
            let day = BusinessDay::from_days(days.value(row)).to_string();
            [Some(day), codes[row].clone(), products[row].clone()].map(Option::unwrap_or_default)
        })
        .collect();
    let expected = [
        ["2021-06-01", "210200", "logistics"],
        ["2021-06-01", "211400", "economy"],
        ["2021-06-01", "211400", "standard"],
        ["2021-06-02", "210100", "standard"],
        ["2021-06-02", "211400", "express"],
    ];
    assert_eq!(keys, expected);
    assert_eq!(desk.rows(&rollups_of(7)).await.num_rows(), 1);
    let names = texts(&rows, "prefecture_name");
    assert_eq!(names[0].as_deref(), Some("Dalian"));
    let revenue = rows.column_by_name("revenue_yuan").expect("a column");
    assert_eq!(arrow::util::display::array_value_to_string(revenue, 0).expect("text"), "12.34");
}

#[tokio::test]
async fn the_table_of_publishes_has_a_row_for_each() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    let mut publisher = desk.take_over().await;
    for day in 1..=5 {
        log.express(date(6, day));
        desk.write(&log).await;
        publish(&mut publisher, &[&log]).await.expect("something new");
    }
    let rows = desk.rows("tables/publishes/data.parquet").await;
    let column = |name: &str| {
        let column = rows.column_by_name(name).expect("a column");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    let numbers: Vec<i64> = (1..=5).collect();
    assert_eq!((column("publish"), column("consumed")), (numbers.clone(), numbers));
    let numbers: Vec<u64> = desk.manifests().await.iter().map(|found| found.publish).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert!(publisher.manifests[0].files.is_empty(), "a thousand lists of files are much memory");
}

fn cell() -> CellKey {
    CellKey {
        day: date(6, 1),
        prefecture: PrefectureCode::new(210_200).expect("six digits"),
        product: Product::Express,
    }
}

#[tokio::test]
async fn a_sum_that_leaves_its_column_stops_publishing_until_events_correct_it() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.accept(date(6, 1), 210_200, "express", 100);
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");

    let mut checkpoint = log.checkpoint();
    let revenue = Fen::new(MONEY_FEN_MAX + 1);
    checkpoint.state.cells.insert(cell(), Measures { revenue, ..Measures::default() });
    desk.put(&checkpoint).await;
    for _ in 0..2 {
        let stopped = publisher.publish(&expected(&[&log]), today()).await;
        let error = stopped.expect_err("an overflow");
        assert_eq!(error.kind(), Kind::Data);
        let words = error.to_string();
        for part in ["revenue_yuan", "2021-06-01", "210200", "express", "1000000000000000000"] {
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(desk.manifests().await.len(), 1);
        desk.check_files().await;
    }
    // A refund brings the cell back to the very edge.
    let revenue = Fen::new(MONEY_FEN_MAX);
    checkpoint.state.cells.insert(cell(), Measures { revenue, ..Measures::default() });
    desk.put(&checkpoint).await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    let rows = desk.rows(&rollups_of(6)).await;
    let revenue = rows.column_by_name("revenue_yuan").expect("a column");
    let text = arrow::util::display::array_value_to_string(revenue, 0).expect("text");
    assert_eq!(text, "9999999999999999.99");
    desk.check_files().await;
}
