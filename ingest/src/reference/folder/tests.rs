//! What lies in a folder and is no sound file of ours.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::reference::ReferenceSet;

const PLANS: &str = "code,line,measure,year,amount,source\n210100,,revenue,2021,5,x\n";

/// A folder with a sound plan.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("plans.csv"), PLANS).expect("a file");
    dir
}

fn faults(dir: &Path) -> Vec<String> {
    let faults = ReferenceSet::load(dir).expect_err("faults");
    faults.iter().map(ToString::to_string).collect()
}

/// The only fault of a folder.
#[track_caller]
fn check(dir: &Path, problem: &str) {
    let found = faults(dir);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(problem), "{found:?}");
}

/// To open a pipe that nobody writes to takes for ever.
#[test]
fn only_regular_files_are_read() {
    let dir = folder();
    let pipe = dir.path().join("benchmarks.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let (sender, receiver) = mpsc::channel();
    let path = dir.path().to_owned();
    std::thread::spawn(move || sender.send(faults(&path)));
    let found = receiver.recv_timeout(Duration::from_secs(20)).expect("it does not wait");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("benchmarks.csv cannot be read: it is a pipe; put a file"));

    for (name, target, kind) in [
        ("benchmarks.csv", "/dev/zero", "a device"),
        ("baselines.parquet", "/dev/zero", "a device"),
        ("prefectures.csv", "/", "a folder"),
    ] {
        let dir = folder();
        symlink(target, dir.path().join(name)).expect("a link");
        check(dir.path(), &format!("{name} cannot be read: it is {kind}; put a file"));
    }
    let dir = folder();
    fs::rename(dir.path().join("plans.csv"), dir.path().join("..data")).expect("renamed");
    symlink("..data", dir.path().join("plans.csv")).expect("a link");
    assert!(ReferenceSet::load(dir.path()).is_ok(), "a link to a file is one");
}

#[test]
fn what_is_listed_and_cannot_be_opened_is_a_fault() {
    for name in ["benchmarks.csv", "prefectures.csv", "baselines.parquet"] {
        let dir = folder();
        symlink("nowhere", dir.path().join(name)).expect("a link");
        let problem = format!("{name} is listed but cannot be opened: ");
        check(dir.path(), &problem);
        check(dir.path(), "; a link that leads nowhere?");
    }
}

#[test]
fn a_file_of_another_name_does_not_hide_the_faults_of_the_others() {
    for (name, problem) in [
        ("benchmark.csv", "benchmark.csv is no file of the reference data; rename it to one of"),
        ("baseline.parquet", "baseline.parquet is no file of the reference data"),
        ("notes.CSV", "notes.CSV is no file of the reference data"),
        ("Benchmarks.CSV", "Benchmarks.CSV is spelt otherwise than benchmarks.csv; rename it"),
        ("\u{1b}[2J.csv", "\\u{1b}[2J.csv is no file"),
    ] {
        let dir = folder();
        fs::write(dir.path().join(name), "").expect("a file");
        check(dir.path(), problem);
        fs::write(dir.path().join("plans.csv"), PLANS.replace("2021", "21")).expect("a file");
        let found = faults(dir.path());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].contains("plans.csv:2: year: "), "{found:?}");
    }
}

#[test]
fn prefectures_that_cannot_be_read_are_not_taken_for_those_of_liaoning() {
    let dir = folder();
    symlink("nowhere", dir.path().join("prefectures.csv")).expect("a link");
    let text = PLANS.replace("210100", "220100").replace(",5,", ",five,");
    fs::write(dir.path().join("plans.csv"), text).expect("a file");
    let found = faults(dir.path());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("prefectures.csv is listed"), "{found:?}");
    assert!(found[1].contains("plans.csv:2: amount: "), "{found:?}");
}

#[test]
fn a_file_of_another_encoding_is_told_with_its_line() {
    for (rest, line, encoding) in [
        (&b"210200,,revenue,2021,5,\xd5\xfd\xca\xbd\n"[..], 3, "another encoding, GBK perhaps"),
        (b"\xff\xfec\0o\0", 3, "another encoding"),
    ] {
        let dir = folder();
        let text = [PLANS.as_bytes(), rest].concat();
        fs::write(dir.path().join("plans.csv"), text).expect("a file");
        check(
            dir.path(),
            &format!("plans.csv:{line}: save it as CSV UTF-8 (it looks like {encoding}"),
        );
    }
    let dir = folder();
    fs::write(dir.path().join("plans.csv"), b"\xff\xfec\0o\0d\0e\0").expect("a file");
    check(dir.path(), "plans.csv:1: save it as CSV UTF-8 (it looks like UTF-16)");
}

#[test]
fn a_file_has_a_limit() {
    let dir = folder();
    for (name, bytes_max, mb) in [
        ("plans.csv", FILE_BYTES_MAX, 16),
        ("baselines.csv", BASELINES_BYTES_MAX, 256),
        ("baselines.parquet", BASELINES_BYTES_MAX, 256),
    ] {
        let path = dir.path().join(name);
        let before = fs::read(&path).ok();
        File::create(&path).and_then(|file| file.set_len(bytes_max + 1)).expect("a sparse file");
        check(dir.path(), &format!("{name} has more than {mb} MB; leave out"));
        match before {
            Some(before) => fs::write(&path, before).expect("a file"),
            None => fs::remove_file(&path).expect("it is there"),
        }
    }
    fs::write(dir.path().join("plans.csv"), "").expect("a file");
    let file = File::options().write(true).open(dir.path().join("plans.csv")).expect("a file");
    file.set_len(FILE_BYTES_MAX).expect("a sparse file");
    assert!(!faults(dir.path())[0].contains("MB"), "as much as is allowed");
}

#[test]
fn the_faults_of_all_files_have_one_limit() {
    use postroad_schemas::reference::FAULTS_MAX;

    let dir = folder();
    let row = PLANS.lines().nth(1).expect("a row").replace("2021", "21") + "\n";
    let text = [PLANS, &row.repeat(FAULTS_MAX)].concat();
    fs::write(dir.path().join("plans.csv"), &text).expect("a file");
    assert_eq!(faults(dir.path()).len(), FAULTS_MAX);
    fs::write(dir.path().join("products.csv"), "code\n").expect("a file");
    let found = faults(dir.path());
    assert_eq!(found.len(), FAULTS_MAX + 1);
    assert_eq!(found[FAULTS_MAX], "there are more faults; mend these first");
    fs::remove_file(dir.path().join("products.csv")).expect("it is there");
    fs::write(dir.path().join("plan.csv"), "").expect("a file");
    assert_eq!(faults(dir.path()).len(), FAULTS_MAX + 1);
}

/// A note may name a person.
#[test]
fn notes_are_neither_kept_nor_part_of_the_version() {
    let dir = folder();
    let version = ReferenceSet::load(dir.path()).expect("sound").version;
    let noted = PLANS.replace("source\n", "source,x_checked_by,\n").replace(",x\n", ",x,Wang,Li\n");
    fs::write(dir.path().join("plans.csv"), noted).expect("a file");
    let set = ReferenceSet::load(dir.path()).expect("sound");
    let content = String::from_utf8(set.content().to_vec()).expect("text");
    assert!(!["Wang", "Li\\n", "x_checked_by"].iter().any(|note| content.contains(note)));
    assert_eq!(set.version, version);
    assert_eq!(ReferenceSet::from_content(&set.content()), Ok(set), "it is read as it was");
}
