//! Values that nobody can have meant, and rows that no light would ever be held against.

use crate::codebook::Codebook;
use crate::reference::{Reference, ReferenceFiles};

const COLUMNS: &str =
    "versus,level,code,line,measure,period_start,period_end,growth_pct,share_pct,source\n";

/// What is wrong with a row that begins so, of Liaoning or of all China.
fn faults(codebook: &Codebook, row: &str) -> Vec<String> {
    let text = format!("{COLUMNS}{row},x\n");
    let files = ReferenceFiles { benchmarks: Some(&text), ..Default::default() };
    let faults = Reference::from_csv(files, Some(codebook)).err().unwrap_or_default();
    let kept = Reference::from_kept_csv(files, Some(codebook)).expect("it was accepted once");
    assert_eq!(kept.benchmarks.len(), 1);
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(row: &str, fault: &str) {
    let found = faults(&Codebook::liaoning(), row);
    let expected = format!("benchmarks.csv:2: {fault}");
    assert_eq!(found, if fault.is_empty() { vec![] } else { vec![expected] });
}

#[test]
fn a_percentage_is_one_that_there_can_be() {
    let growth = |percent: &str| {
        format!("local,prefecture,210100,,revenue,2021-01-01,2021-06-30,{percent},")
    };
    let share = |percent: &str| {
        format!("industry,prefecture,210100,finance,share,2021-01-01,2021-12-31,,{percent}")
    };
    for sound in ["-100", "+5.6", "250"] {
        check(&growth(sound), "");
    }
    let remedy = "since nothing falls below 0; write -100 or more";
    check(&growth("-100.5"), &format!("growth_pct: -100.5 is no growth, {remedy}"));
    for sound in ["0", "100", "5.13"] {
        check(&share(sound), "");
    }
    for share_pct in ["-0.1", "100.1"] {
        let fault = format!("share_pct: {share_pct} is no share; write 0 to 100");
        check(&share(share_pct), &fault);
    }
}

#[test]
fn a_row_is_of_a_place_that_there_is() {
    let check = |place: &str, fault: &str| {
        check(&format!("{place},revenue,2021-01-01,2021-06-30,7.1,"), fault);
    };
    check("local,province,210000,", "");
    let remedy = "is no province_code of prefectures.csv; correct it, or the level";
    check("local,province,210100,", &format!("code: 210100 {remedy}"));
    check("industry,province,220000,parcel", &format!("code: 220000 {remedy}"));
    check("peer,province,220000,", "");
    check("peer,province,220100,", "code: 220100 is no province; write a code that ends in 0000");
    check("peer,nation,,", "level: the nation is nobody's peer; write province");
}

#[test]
fn the_only_province_has_no_peer_in_itself() {
    let row = "peer,province,210000,,revenue,2021-01-01,2021-06-30,7.1,";
    check(
        row,
        "code: 210000 is the only province here, and no province is its own peer; name another",
    );
    assert_eq!(faults(&Codebook::china(), row), [""; 0], "others have it as theirs");
}
