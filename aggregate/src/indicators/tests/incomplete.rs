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

#[test]
fn attainment_is_unknown_where_the_year_is_not_known_from_its_start() {
    let plan = |case: &Case| {
        let rows = case.evaluate("2021-12-31");
        let of = |unit| row(&rows, unit, REVENUE, (YTD, Comparison::Plan));
        [of(prefecture(210_100)), of(Unit::Province(code(PROVINCE)))]
    };
    for data_from in [None, Some(day("2021-07-01"))] {
        let mut case = Case { data_from, ..Case::default() };
        case.plans = "210100,total,revenue,2021,36500,plan\n".to_owned();
        daily(&mut case, "2021-07-01", "2021-12-31", 100);
        for row in plan(&case) {
            assert_eq!((row.own, row.benchmark), (None, None));
            assert_eq!((row.light, row.why), (Some(Light::Unknown), Some(Why::BaseIncomplete)));
            assert_eq!(row.base, Some(3_650_000.into()), "what is planned is known");
        }
        // Baselines of the days before make the year whole.
        baselines(&mut case, "2021-01-01", "2021-06-30");
        assert!(plan(&case).iter().all(|row| row.own.is_some()));
    }
    let plans = "210100,total,revenue,2021,36500,plan\n".to_owned();
    let mut whole = Case { plans, ..Case::default() };
    daily(&mut whole, "2021-01-04", "2021-12-31", 100);
    assert!(
        plan(&whole).iter().all(|row| row.own.is_some()),
        "a long holiday is no mid-year start"
    );
}

#[test]
fn a_log_of_a_day_now_and_then_says_nothing_by_a_silent_january() {
    let plans = "210100,total,revenue,2021,100,plan\n".to_owned();
    let mut case = Case { plans, ..Case::default() };
    case.add("2021-03-20", 210_100, Product::Express, 1, 20);
    let plan = |case: &Case| {
        row(&case.evaluate("2021-06-30"), prefecture(210_100), REVENUE, (YTD, Comparison::Plan))
    };
    assert_eq!(plan(&case).own, Some(percent("20")));
    case.add("2021-05-20", 210_100, Product::Express, 1, 20);
    assert_eq!(plan(&case).own, Some(percent("40")));
}

#[test]
fn a_peak_is_unknown_where_the_year_is_not_known_from_its_start() {
    let mut case = Case::default();
    daily(&mut case, "2021-11-01", "2021-11-10", 1);
    let peak = |case: &Case| {
        let rows = case.evaluate("2021-11-10");
        let of = (PARCEL, Measure::Volume);
        row(&rows, prefecture(210_100), of, (Period::Day, Comparison::Peak))
    };
    assert_eq!((peak(&case).own, peak(&case).why), (None, Some(Why::BaseIncomplete)));
    daily(&mut case, "2021-01-01", "2021-10-31", 1);
    assert_eq!(peak(&case).own, Some(percent("0")));
}

#[test]
fn a_peak_is_of_days_of_the_year_that_it_is_held_against() {
    let mut case = Case::default();
    daily(&mut case, "2020-12-01", "2021-01-20", 1);
    let rows = case.evaluate("2021-01-20");
    let mut peaks: Vec<Period> = Vec::new();
    for row in rows.iter().filter(|row| row.comparison == Comparison::Peak) {
        if (row.unit, row.scope) == (prefecture(210_100), PARCEL) {
            peaks.push(row.period);
        }
    }
    assert_eq!(peaks, [Period::Day, Period::Days7, Period::Mtd], "30 days began in December");
}

#[test]
fn rates_of_delivery_have_no_base_in_baselines() {
    let mut case = Case::default();
    baselines(&mut case, "2020-01-01", "2020-02-29");
    daily(&mut case, "2020-03-01", "2021-06-30", 1);
    for cell in case.cells.values_mut() {
        (cell.due, cell.delivered, cell.on_time) = (100, 90, 80);
    }
    let rows = case.evaluate("2021-06-30");
    for measure in [Measure::DeliveredRate, Measure::OnTimeRate] {
        let of =
            |period| row(&rows, prefecture(210_100), (PARCEL, measure), (period, Comparison::Yoy));
        assert_eq!((of(YTD).own, of(YTD).why), (None, Some(Why::BaseIncomplete)));
        assert_eq!(of(Period::Qtd).own, Some(percent("0")), "from March on they are known");
    }
}
