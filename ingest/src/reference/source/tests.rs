//! When a folder is read again, and when that is told.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

const PLANS: &str = "code,line,measure,year,amount,source\n210100,,revenue,2021,5,x\n";

/// A folder with a sound plan, and a source that has read it.
fn source() -> (TempDir, PathBuf, ReferenceSource) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("plans.csv");
    fs::write(&path, PLANS).expect("a file");
    let source = ReferenceSource::folder(dir.path().to_owned()).expect("sound");
    (dir, path, source)
}

/// Looks as often as it takes for a folder to be at rest.
fn rest(source: &mut ReferenceSource) -> Option<Reread> {
    for _ in 1..REST_LOOKS {
        assert_eq!(source.look_again(), None, "it may still be being written");
    }
    source.look_again()
}

#[test]
fn whoever_asks_has_the_folder_read_once_it_is_at_rest() {
    let (_dir, path, mut source) = source();
    assert_eq!(source.look_again(), None, "nothing has changed");
    assert_eq!(source.reload(), None, "not at once");
    assert_eq!(rest(&mut source), Some(Ok(())), "whether it looks changed or not");
    assert_eq!(source.look_again(), None, "once");
    fs::write(&path, "code\n").expect("a file");
    assert!(rest(&mut source).expect("it is read").is_err());
    assert_eq!(source.reload(), None);
    fs::write(&path, PLANS.replace('5', "6")).expect("a file that is being written");
    assert_eq!(source.look_again(), None);
    fs::write(&path, PLANS.replace('5', "78")).expect("a file");
    assert_eq!(rest(&mut source), Some(Ok(())));
    assert_eq!(source.set().figures.plans[0].amount, 7_800);
}

/// As copies do that keep times, and as somebody does who mends who may read a file.
#[test]
fn a_change_that_leaves_length_and_time_of_writing_is_seen() {
    let (_dir, path, mut source) = source();
    let written_at = fs::metadata(&path).and_then(|file| file.modified()).expect("a file");
    fs::write(&path, PLANS.replace('5', "6")).expect("a file");
    let file = File::options().write(true).open(&path).expect("a file");
    file.set_modified(written_at).expect("its time");
    assert_eq!(rest(&mut source), Some(Ok(())));
    assert_eq!(source.set().figures.plans[0].amount, 600);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
    assert_eq!(rest(&mut source), Some(Ok(())));
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let (dir, path, mut source) = source();
    std::os::unix::fs::symlink("nowhere", dir.path().join("balances.csv")).expect("a link");
    assert!(rest(&mut source).expect("it is read").is_err());
    fs::rename(path, dir.path().join("nowhere")).expect("renamed");
    assert!(rest(&mut source).expect("it is read").is_err(), "a plan is no balance");
}

#[test]
fn a_folder_at_fault_is_tried_again_and_only_other_news_is_told() {
    let (_dir, path, mut source) = source();
    let again = |source: &mut ReferenceSource| -> Vec<Reread> {
        (0..RETRY_LOOKS).filter_map(|_| source.look_again()).collect()
    };
    assert!(again(&mut source).is_empty(), "a sound one is not read again");
    let fault = |remedy: &str| {
        let (key, value, remedy) = (String::new(), String::new(), remedy.to_owned());
        Arc::new(vec![Fault { key, value, remedy }])
    };
    source.told = fault("input/output error");
    assert_eq!(again(&mut source), [Ok(())], "what could not be read can be now");
    assert!(source.told.is_empty());
    fs::write(&path, "code\n").expect("a file");
    let told = rest(&mut source).expect("it is read");
    assert!(told.is_err());
    assert!(again(&mut source).is_empty(), "it is known already");
    source.told = fault("input/output error");
    assert_eq!(again(&mut source), [told], "another fault");
}
