//! Figures of days of which a part is missing: neither growth nor attainment nor a peak can be told.

use super::*;

const REVENUE: (Scope, Measure) = (Scope::Total, Measure::Revenue);

/// Adds a parcel a day, both days inclusive.
fn daily(case: &mut Case, first: &str, last: &str, yuan: i64) {
    let first = day(first);
    for number in 0..=day(last).days() - first.days() {
        let on = first.plus_days(number).to_string();
        case.add(&on, 210_100, Product::Express, 1, yuan);
    }
}

fn baselines(case: &mut Case, first: &str, last: &str) {
    let first = day(first);
    for number in 0..=day(last).days() - first.days() {
        let row = format!("{},210100,express,1,10000,0\n", first.plus_days(number));
        case.baselines += &row;
    }
}

#[track_caller]
fn check_yoy(case: &Case, as_of: &str, period: Period, expect: Result<&str, Why>) {
    let rows = case.evaluate(as_of);
    let row = row(&rows, prefecture(210_100), REVENUE, (period, Comparison::Yoy));
    let found = row.own.ok_or_else(|| row.why.expect("a reason"));
    assert_eq!(found, expect.map(percent), "{period}");
}

#[test]
fn a_hole_between_baselines_and_log_is_in_the_own_period_as_in_the_base() {
    for data_from in [None, Some(day("2021-03-01"))] {
        let mut case = Case { data_from, ..Case::default() };
        baselines(&mut case, "2020-01-01", "2020-12-31");
        daily(&mut case, "2021-03-01", "2021-06-30", 11_000);
        check_yoy(&case, "2021-06-30", YTD, Err(Why::BaseIncomplete));
        check_yoy(&case, "2021-06-30", Period::H1, Err(Why::BaseIncomplete));
        check_yoy(&case, "2021-06-30", Period::Qtd, Ok("10"));
        check_yoy(&case, "2021-06-30", Period::Mtd, Ok("10"));
    }
}

#[test]
fn an_own_period_that_begins_before_everything_that_is_given_is_incomplete() {
    // The log has a part of January, baselines have February, and from March on the log has everything.
    let mut case = Case { data_from: Some(day("2021-03-01")), ..Case::default() };
    baselines(&mut case, "2021-02-01", "2021-02-28");
    daily(&mut case, "2020-01-01", "2021-01-31", 10_000);
    daily(&mut case, "2021-03-01", "2021-06-30", 11_000);
    check_yoy(&case, "2021-06-30", YTD, Err(Why::BaseIncomplete));
}
