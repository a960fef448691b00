//! Folders of reference data: what is read, what is refused, and when it is read again.

use std::sync::Arc;

use postroad_schemas::codebook::Product;
use postroad_schemas::time::parse_date;

use super::*;

const BENCHMARKS: &str = "\
versus,level,code,line,measure,period_start,period_end,growth_pct,source
local,prefecture,210100,,revenue,2021-01-01,2021-06-30,8.5,synthetic
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    dir
}

fn faults(dir: &Path) -> Vec<String> {
    let faults = ReferenceSet::load(dir).expect_err("faults");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_folder_lacks_is_built_in_where_a_fold_needs_it_and_nothing_else() {
    let built_in = ReferenceSet::liaoning();
    assert!(!built_in.figures.plans.is_empty());
    let set = ReferenceSet::load(folder(&[("benchmarks.csv", BENCHMARKS)]).path()).expect("sound");
    assert_eq!(set.codebook, built_in.codebook);
    assert_eq!((set.figures.benchmarks.len(), set.figures.plans.len()), (1, 0));
    assert_ne!(set.version, built_in.version);
    let again = ReferenceSet::from_content(&set.content());
    assert_eq!(again, Ok(set), "the store keeps all of it");
}

#[test]
fn every_fault_of_every_file_is_told_with_its_place() {
    let unknown = BENCHMARKS.replace("210100", "219900");
    let dir = folder(&[("benchmarks.csv", &unknown), ("products.csv", "code\n")]);
    let found = faults(dir.path());
    let place = dir.path().display().to_string();
    assert!(found.iter().all(|fault| fault.starts_with(&place)), "{found:?}");
    assert!(found.iter().any(|fault| fault.contains("products.csv:1: line")), "{found:?}");
    let dir = folder(&[("benchmarks.csv", &unknown)]);
    let found = faults(dir.path());
    assert!(
        found[0].contains("benchmarks.csv:2: code: 219900 is not in prefectures.csv"),
        "{found:?}"
    );
    assert_eq!(found.len(), 1);
}

#[test]
fn a_misspelt_file_and_an_empty_folder_are_faults() {
    let found = faults(folder(&[("benchmark.csv", BENCHMARKS)]).path());
    assert!(found[0].contains("benchmark.csv is no file of the reference data"), "{found:?}");
    assert!(faults(folder(&[("notes.txt", "")]).path())[0].contains("holds no file"));
    assert!(faults(&folder(&[]).path().join("gone"))[0].contains("cannot be read"));
}

#[test]
fn a_folder_is_read_again_once_it_has_changed_and_come_to_rest() {
    let dir = folder(&[("benchmarks.csv", BENCHMARKS)]);
    let mut source = ReferenceSource::folder(dir.path().to_owned()).expect("sound");
    let first = Arc::clone(source.set());
    assert_eq!(source.look_again(), None, "nothing has changed");
    let path = dir.path().join("benchmarks.csv");
    std::fs::write(&path, BENCHMARKS.replace("8.5", "12.25")).expect("a file");
    assert_eq!(source.look_again(), None, "it may still be being written");
    assert_eq!(source.look_again(), None, "by somebody who is slow");
    assert_eq!(source.look_again(), Some(Ok(())));
    assert_ne!(source.set().version, first.version);
    let second = Arc::clone(source.set());
    std::fs::write(&path, "versus\n").expect("a file");
    assert_eq!([source.look_again(), source.look_again()], [None, None]);
    assert!(source.look_again().expect("it is read").is_err());
    assert_eq!(*source.set(), second, "the set in use stays");
    assert_eq!(source.look_again(), None, "a fault is told once");
}

/// What a release has built in may change with the next one; the version and the store say what was used.
#[test]
fn the_version_is_that_of_every_file_that_is_used() {
    let files = |set: &ReferenceSet| -> BTreeMap<String, String> {
        serde_json::from_slice(&set.content()).expect("texts by name")
    };
    let built_in = ReferenceSet::liaoning();
    let kept = files(&built_in);
    let of_names = [(PREFECTURES, Codebook::LIAONING_CSV), (PRODUCTS, Codebook::PRODUCTS_CSV)];
    let all = ReferenceFiles::LIAONING
        .texts()
        .chain(of_names)
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(kept, all.collect());
    let other = |name: &str, from: &str, to: &str| {
        let mut files = kept.clone();
        let text = files.get_mut(name).expect("it is there");
        assert!(text.contains(from), "{name}");
        *text = text.replace(from, to);
        ReferenceSet::from_files(files).expect("sound").version
    };
    assert_ne!(other("benchmarks.csv", "45.8", "45.9"), built_in.version);
    assert_ne!(other(PRODUCTS, "Premium", "Prime"), built_in.version);

    let set = ReferenceSet::load(folder(&[("benchmarks.csv", BENCHMARKS)]).path()).expect("sound");
    let names: Vec<String> = files(&set).into_keys().collect();
    assert_eq!(names, ["benchmarks.csv", PREFECTURES, PRODUCTS]);
    for set in [built_in, set] {
        assert_eq!(ReferenceSet::from_content(&set.content()), Ok(set), "it is read as it was");
    }
}

#[test]
fn what_earlier_releases_kept_is_read_under_its_version() {
    let plans = "code,line,measure,year,amount,source,weigth\n210100,,revenue,2021,0,x,1\n";
    let given = [("plans.csv".to_owned(), plans.to_owned())].into();
    assert!(ReferenceSet::from_files(given).is_err(), "today it is refused");
    let kept = serde_json::json!({ "plans.csv": plans }).to_string() + "\n";
    for (content, plans) in
        [("{}\n", ReferenceSet::liaoning().figures.plans.len()), (kept.as_str(), 1)]
    {
        let set = ReferenceSet::from_content(content.as_bytes()).expect("it was accepted once");
        assert_eq!(set.version, format!("{:032x}", xxh3_128(content.as_bytes()))[..16]);
        assert_eq!(set.codebook, Codebook::liaoning(), "what is not kept is built in");
        assert_eq!(set.figures.plans.len(), plans);
        assert_eq!(set.content(), content.as_bytes());
    }
}

#[test]
fn baselines_may_be_a_table() {
    use postroad_aggregate::event::CellKey;
    use postroad_aggregate::measures::Measures;
    use postroad_schemas::units::Fen;

    use crate::publish::{parquet_file, rows};

    let dir = folder(&[("benchmarks.csv", BENCHMARKS)]);
    let cell = CellKey {
        day: parse_date("2020-06-30").expect("a date"),
        prefecture: PrefectureCode::parse("210100").expect("a code"),
        product: Product::Express,
    };
    let measures = Measures { volume: 5, revenue: Fen::new(-125), ..Measures::default() };
    let batch = rows::daily_rollups(
        &[(&cell, &measures)],
        &Codebook::liaoning(),
        &postroad_aggregate::days::Horizon::default(),
    );
    let bytes = parquet_file::encode(&batch.expect("it fits"), 1).expect("encoded");
    // As DuckDB writes `COPY (SELECT …) TO 'baselines.parquet' (FORMAT parquet)`.
    let duckdb = include_bytes!("../../tests/golden/baselines-duckdb.parquet");
    for bytes in [&*bytes, duckdb] {
        std::fs::write(dir.path().join("baselines.parquet"), bytes).expect("a file");
        let set = ReferenceSet::load(dir.path()).expect("sound");
        let baseline = set.figures.baselines[&(cell.day, cell.prefecture, cell.product)];
        assert_eq!((baseline.volume, baseline.revenue), (5, Fen::new(-125)));
    }
    std::fs::write(dir.path().join("baselines.parquet"), "PAR1").expect("a file");
    assert!(faults(dir.path())[0].contains("baselines.parquet"));
}

#[test]
fn baselines_stand_in_one_file_only() {
    let text = "date,code,product,volume,revenue_yuan,balance_yuan\n";
    let dir = folder(&[("baselines.csv", text)]);
    let duckdb = include_bytes!("../../tests/golden/baselines-duckdb.parquet");
    std::fs::write(dir.path().join("baselines.parquet"), duckdb).expect("a file");
    let found = faults(dir.path());
    assert_eq!(found.len(), 1, "{found:?}");
    let remedy =
        "baselines.parquet stands beside baselines.csv, and only one of them is read; move one";
    assert!(found[0].contains(remedy), "{found:?}");
}

/// A column of another type would be read as another figure.
#[test]
fn a_table_of_baselines_has_exactly_the_types_of_the_daily_table() {
    use arrow::array::{
        ArrayRef, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
        LargeStringArray, StringArray, StringViewArray,
    };
    use arrow::datatypes::Int32Type;

    let money = |scale| -> ArrayRef {
        let values = Decimal128Array::from(vec![1_250_i128]);
        Arc::new(values.with_precision_and_scale(20, scale).expect("a type"))
    };
    let sound = |name: &str| -> ArrayRef {
        match name {
            "business_date" => Arc::new(Date32Array::from(vec![18_443])),
            "prefecture_code" => Arc::new(StringArray::from(vec!["210100"])),
            "product_code" => Arc::new(StringArray::from(vec!["express"])),
            "volume" => Arc::new(Int64Array::from(vec![5])),
            _ => money(2),
        }
    };
    let load = |name: &str, other: Option<ArrayRef>| {
        let names = baselines::COLUMNS.map(|(name, _)| name);
        let columns = names.into_iter().filter_map(|column| {
            if column == name {
                Some((column, other.clone()?))
            } else {
                Some((column, sound(column)))
            }
        });
        let batch = arrow::array::RecordBatch::try_from_iter(columns).expect("a batch");
        let bytes = crate::publish::parquet_file::encode(&batch, 1).expect("encoded");
        let dir = folder(&[]);
        std::fs::write(dir.path().join("baselines.parquet"), bytes).expect("a file");
        let loaded = ReferenceSet::load(dir.path());
        loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let codes: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["210100"]));
    for (name, other) in [
        ("business_date", sound("business_date")),
        ("prefecture_code", codes),
        ("product_code", Arc::new(LargeStringArray::from(vec!["express"]))),
        ("product_code", Arc::new(StringViewArray::from(vec!["express"]))),
    ] {
        let set = load(name, Some(other)).expect("it says the same");
        let baseline = set.figures.baselines.values().next().expect("one");
        assert_eq!((baseline.volume, baseline.revenue.get()), (5, 1_250), "{name}");
    }
    let (volumes, yuan): (ArrayRef, ArrayRef) =
        (Arc::new(Float64Array::from(vec![5.0])), Arc::new(Int64Array::from(vec![12])));
    for (name, other, problem) in [
        ("revenue_yuan", None, "the column is missing; export CAST(revenue_yuan AS DECIMAL(18,2))"),
        ("revenue_yuan", Some(money(4)), "is of the type Decimal128(20, 4); export CAST("),
        ("balance_yuan", Some(yuan), "is of the type Int64; export CAST("),
        (
            "volume",
            Some(volumes),
            "is of the type Float64; export CAST(volume AS BIGINT) AS volume",
        ),
        ("volume", Some(Arc::new(Int64Array::from(vec![None]))), "row 1 is null"),
        ("product_code", Some(Arc::new(StringArray::from(vec!["x"]))), "row 1: `x` is no product"),
        (
            "prefecture_code",
            Some(Arc::new(StringArray::from(vec!["1"]))),
            "row 1: `1` is not a GB/T",
        ),
        (
            "prefecture_code",
            Some(Arc::new(StringArray::from(vec!["\u{1b}[2J"]))),
            "row 1: `\\u{1b}[2J` is not a GB/T",
        ),
    ] {
        let found = load(name, other).expect_err("it says something else");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&format!("baselines.parquet: {name}: ")), "{found:?}");
        assert!(found[0].contains(problem), "{found:?}");
    }
    let unknown: ArrayRef = Arc::new(StringArray::from(vec!["110000"]));
    let found = load("prefecture_code", Some(unknown)).expect_err("it is not in prefectures.csv");
    assert!(found[0].contains("baselines.parquet:1: code: 110000 is not in"), "{found:?}");
}
