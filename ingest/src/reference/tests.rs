//! Folders of reference data: what is read, what is refused, and when it is read again.

use std::sync::Arc;

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
    assert_eq!(source.look_again(), Some(Ok(())));
    assert_ne!(source.set().version, first.version);
    let second = Arc::clone(source.set());
    std::fs::write(&path, "versus\n").expect("a file");
    assert_eq!(source.look_again(), None);
    assert!(source.look_again().expect("it is read").is_err());
    assert_eq!(*source.set(), second, "the set in use stays");
    assert_eq!(source.look_again(), None, "a fault is told once");
    assert!(source.reload().expect("asked for").is_err(), "unless somebody asks");
}

#[test]
fn baselines_may_be_a_table() {
    use postroad_aggregate::event::CellKey;
    use postroad_aggregate::measures::Measures;
    use postroad_schemas::codebook::Product;
    use postroad_schemas::time::parse_date;
    use postroad_schemas::units::Fen;

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
    std::fs::write(dir.path().join("baselines.parquet"), bytes).expect("a file");
    let set = ReferenceSet::load(dir.path()).expect("sound");
    let baseline = set.figures.baselines[&(cell.day, cell.prefecture, cell.product)];
    assert_eq!((baseline.volume, baseline.revenue), (5, Fen::new(-125)));
    std::fs::write(dir.path().join("baselines.parquet"), "PAR1").expect("a file");
    assert!(faults(dir.path())[0].contains("baselines.parquet"));
}
