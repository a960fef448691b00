//! Files that spreadsheets, terminals and strangers have had in hand.

use super::*;
use crate::reference::{Reference, ReferenceFiles};

const PLANS: &str = "code,line,measure,year,amount,source\n";

/// The faults of a file of plans.
fn faults(text: &str) -> Vec<String> {
    let files = ReferenceFiles { plans: Some(text), ..Default::default() };
    let faults = Reference::from_csv(files, None).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(rows: &str, fault: &str) {
    assert_eq!(faults(&[PLANS, rows].concat()), [fault]);
}

#[test]
fn a_row_of_other_fields_than_the_header_says_how_many() {
    check(
        "210100,,revenue,2021,5\n",
        "plans.csv:2: the row has 5 fields, the header has 6; is a comma missing or a quote open?",
    );
    check(
        "210100,,revenue,2021,5,plan, of 2021\n",
        "plans.csv:2: the row has 7 fields, the header has 6; is a comma too many, or does a text with a \
         comma have no quotes?",
    );
    check(
        "210100,\"\n210200,,revenue,2021,5,x\n",
        "plans.csv:2: the row has 2 fields, the header has 6; is a comma missing or a quote open?",
    );
}

#[test]
fn other_separators_are_recognised() {
    for (separator, name) in [(";", "`;`"), ("\t", "tabs")] {
        let text = format!("{PLANS}210100,,revenue,2021,5,x\n").replace(',', separator);
        let fault =
            format!("plans.csv:1: the columns seem to be separated by {name}; write commas");
        assert_eq!(faults(&text), [fault]);
    }
}

#[test]
fn a_value_that_is_none_is_told_with_its_remedy() {
    check(
        "210100,,revenue,26,5,x\n",
        "plans.csv:2: year: `26` is no year; write four digits such as 2026",
    );
    let twice = "210100,,revenue,2026,5,x\n";
    check(
        &[twice, twice].concat(),
        "plans.csv:3: code: the same plan stands in line 2; keep one row",
    );
    let text =
        "date,code,product,volume,revenue_yuan,balance_yuan\n2020-06-30,210100,expres,5,1,0\n";
    let files = ReferenceFiles { baselines: Some(text), ..Default::default() };
    let faults = Reference::from_csv(files, None).expect_err("a fault");
    let found = faults[0].to_string();
    assert!(
        found.contains("`expres` is no product of the contract; write one of bond, "),
        "{found}"
    );
    let text = "versus,level,code,line,measure,period_start,period_end,growth_pct,source\n\
                local,prefecture,210100,,revenue,soon,,1,x\nlocal,prefecture,210100,,revenue,,soon,1,x\n";
    let files = ReferenceFiles { benchmarks: Some(text), ..Default::default() };
    let faults = Reference::from_csv(files, None).expect_err("faults");
    let found: Vec<_> = faults.iter().map(|fault| fault.problem.as_str()).collect();
    let (no_date, empty) = ("`soon` is not a date; write YYYY-MM-DD", "is empty; write YYYY-MM-DD");
    assert_eq!(found, [no_date, empty, empty, no_date], "neither may be left empty");
}

/// A report would carry it to a terminal, and so would a fault that quotes it.
#[test]
fn a_control_character_is_a_fault_and_is_never_shown() {
    for (character, name) in
        [('\u{0}', "0000"), ('\u{1b}', "001B"), ('\u{7f}', "007F"), ('\u{9b}', "009B")]
    {
        check(
            &format!("210100,,revenue,2021,5,\"a{character}b\"\n"),
            &format!("plans.csv:2: source: has the control character U+{name}; delete it"),
        );
    }
    check(
        "210100,,revenue,2021,5,\"a\nb\"\r\n",
        "plans.csv:2: source: has a line break; write it in one line",
    );
    let found = faults(&[PLANS, "210100,\u{1b}[2J,revenue,2021,5,x\r\n"].concat());
    assert_eq!(found.len(), 2, "{found:?}");
    let found = [found, faults(&format!("a\u{1b}b,{PLANS}\u{1b},,,,,,\n"))].concat();
    assert!(!found.iter().any(|fault| fault.contains('\u{1b}')), "{found:?}");
    let own = "code,line,measure,year,amount,source,x_note\n210100,,revenue,2021,5,x,\"a\nb\"\n";
    assert_eq!(faults(own), [""; 0], "nobody reads it");
    let names = crate::codebook::Codebook::LIAONING_CSV.replace("Anshan", "An\u{8}shan");
    let found = crate::codebook::Codebook::from_csv("prefectures.csv", &names, None);
    let found = found.expect_err("a fault")[0].to_string();
    assert!(found.contains("name: has the control character U+0008; delete it"), "{found}");
}

#[test]
fn what_somebody_keeps_for_themselves_is_left_out() {
    assert!(matches!(without_own(PLANS), Cow::Borrowed(PLANS)), "as it is");
    let text = "\u{feff}code, x_by ,line,measure,year,amount,source,\r\n\
                210100,Wang,,revenue,2021,5,\"plan, 2021\",Li\r\n";
    let kept = without_own(text);
    assert_eq!(kept, [PLANS, "210100,,revenue,2021,5,\"plan, 2021\"\n"].concat());
    let read = |text| {
        Reference::from_csv(ReferenceFiles { plans: Some(text), ..Default::default() }, None)
    };
    assert_eq!(read(&kept), read(text));
}

#[test]
fn faults_are_told_up_to_a_limit() {
    let rows = "210100,,revenue,2021,five,x\n".repeat(FAULTS_MAX);
    assert_eq!(faults(&[PLANS, &rows].concat()).len(), FAULTS_MAX);
    let found = faults(&[PLANS, &rows, &rows].concat());
    assert_eq!(found.len(), FAULTS_MAX + 1);
    let last = "plans.csv:1002: there are more faults from here on; mend those above first";
    assert_eq!(found.last().map(String::as_str), Some(last));
}

/// That a set has many rows which are refused today must not hide one that cannot be read at all.
#[test]
fn what_was_kept_is_read_to_its_end_however_much_is_refused() {
    let row = |n: usize, amount: &str| format!("{:06},,revenue,2021,{amount},x\n", n + 1);
    let refused: String = (0..2 * FAULTS_MAX).map(|n| row(n, "0")).collect();
    let text = [PLANS, &refused].concat();
    let read = |text| {
        Reference::from_kept_csv(ReferenceFiles { plans: Some(text), ..Default::default() }, None)
    };
    assert_eq!(read(&text).map(|read| read.plans.len()), Ok(2 * FAULTS_MAX));
    assert_eq!(faults(&text).len(), FAULTS_MAX + 1);
    assert!(read(&[&*text, "210100,,revenue,2021,five,x\n"].concat()).is_err());
}
