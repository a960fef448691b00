//! What figures are held against, where the reference data are late, partial or of several opinions.

use super::*;

const FINANCE: Scope = Scope::Line(Line::Finance);
const REVENUE: (Scope, Measure) = (Scope::Total, Measure::Revenue);

/// A case in which each of some prefectures had 100 yuan on 1 January 2020, and has others a year later.
fn grown(now: &[(u32, i64)]) -> Case {
    let mut case = Case::default();
    for (prefecture, now) in now {
        case.add("2020-01-01", *prefecture, Product::Express, 1, 100);
        case.add("2021-01-01", *prefecture, Product::Express, 1, *now);
    }
    case
}

fn ytd(case: &Case, as_of: &str, unit: Unit, comparison: Comparison) -> Indicator {
    row(&case.evaluate(as_of), unit, REVENUE, (YTD, comparison))
}

#[test]
fn baselines_are_the_base_of_a_log_that_has_none() {
    let mut case = Case::default();
    for month in 1..=12 {
        let row = format!("2020-{month:02}-01,210100,express,10,100.50,0\n");
        case.baselines += &row;
    }
    case.baselines += "2020-12-31,210100,express,0,0,0\n";
    case.add("2021-01-01", 210_100, Product::Express, 66, 663);
    let growth = |case: &Case| ytd(case, "2021-06-30", prefecture(210_100), Comparison::Yoy);
    let clean = growth(&case);
    assert_eq!((clean.base, clean.own), (Some(60_300.into()), Some(Exact::new(600, 603) * 10)));
    // A bank's day of New Year's Eve, and an event that somebody's clock has put into 2019.
    case.add("2020-12-31", 210_100, Product::Savings, 1, 1);
    case.add("2019-06-01", 210_100, Product::Express, 1, 1);
    assert_eq!(growth(&case).own, clean.own);
}

#[test]
fn a_log_that_began_in_july_has_no_first_half_to_grow_from() {
    let mut case = Case::default();
    for (on, yuan) in [("2020-07-01", 100), ("2021-01-01", 100), ("2021-07-01", 100)] {
        case.add(on, 210_100, Product::Express, 1, yuan);
    }
    let growth = ytd(&case, "2021-12-31", prefecture(210_100), Comparison::Yoy);
    assert_eq!((growth.own, growth.why), (None, Some(Why::BaseIncomplete)));
    let rows = case.evaluate("2021-12-31");
    let second = row(&rows, prefecture(210_100), REVENUE, (Period::H2, Comparison::Yoy));
    assert_eq!(second.own, Some(percent("0")));
}

#[test]
fn a_yield_of_no_pieces_is_no_figure() {
    let mut case = grown(&[(210_100, 110)]);
    let key =
        CellKey { day: day("2021-01-01"), prefecture: code(210_100), product: Product::Express };
    case.cells.entry(key).or_default().volume = 0;
    let rows = case.evaluate("2021-06-30");
    let of_yield =
        row(&rows, prefecture(210_100), (PARCEL, Measure::Yield), (YTD, Comparison::Yoy));
    assert_eq!((of_yield.own, of_yield.why), (None, Some(Why::FigureMissing)));
}

#[test]
fn a_fresh_figure_of_the_nation_counts_beside_a_stale_one_of_the_city() {
    let mut case = grown(&[(210_100, 110)]);
    case.benchmark("industry,prefecture,210100,parcel,revenue,2020-01-01,2020-06-30,50");
    case.benchmark("industry,nation,,parcel,revenue,2021-01-01,2021-06-30,8");
    let rows = case.evaluate("2021-06-30");
    let of = (PARCEL, Measure::Revenue);
    let held = row(&rows, prefecture(210_100), of, (YTD, Comparison::Industry));
    check_gap(&held, "10", "2", Light::Green);
    assert_eq!(held.benchmark_level, Some(Level::Nation));
}

#[test]
fn a_year_to_date_counts_rather_than_a_quarter_that_ends_later() {
    let mut case = grown(&[(210_100, 110)]);
    case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-03-31,8");
    case.benchmark("local,prefecture,210100,,revenue,2021-04-01,2021-06-30,50");
    let held = ytd(&case, "2021-06-30", prefecture(210_100), Comparison::Local);
    check_gap(&held, "10", "2", Light::Green);
}

#[test]
fn a_figure_of_the_very_line_counts_rather_than_a_later_one_of_all() {
    let mut case = grown(&[(210_100, 110)]);
    for (line, growth, published) in [("parcel", "8", "2021-07-01"), ("", "50", "2021-08-01")] {
        let row = format!(
            "local,prefecture,210100,{line},revenue,2021-01-01,2021-06-30,{growth},,{published},synthetic,,\n"
        );
        case.benchmarks += &row;
    }
    let rows = case.evaluate("2021-06-30");
    let local = |scope| {
        row(&rows, prefecture(210_100), (scope, Measure::Revenue), (YTD, Comparison::Local)).gap
    };
    assert_eq!((local(PARCEL), local(Scope::Total)), (Some(percent("2")), Some(percent("-40"))));
}

#[test]
fn peers_count_over_the_newest_period_that_all_have() {
    let mut case = grown(&[(210_100, 110)]);
    for row in [
        "220000,total,revenue,2021-01-01,2021-06-30,8",
        "230000,total,revenue,2021-01-01,2021-06-30,10",
        "220000,total,revenue,2021-01-01,2021-09-30,50",
    ] {
        case.benchmark(&format!("peer,province,{row}"));
    }
    let peer = |case: &Case| ytd(case, "2021-09-30", prefecture(210_100), Comparison::Peer);
    check_gap(&peer(&case), "10", "1", Light::Green);
    let first = case.benchmarks.find('\n').expect("a row") + 1;
    case.benchmarks.drain(..first);
    assert_eq!(peer(&case).why, Some(Why::BenchmarkMissing), "one of two is no mean of both");
}

#[test]
fn growths_of_different_periods_are_not_ranked() {
    let mut case = grown(&[(210_100, 110), (210_200, 120)]);
    case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-03-31,8");
    case.benchmark("local,prefecture,210200,,revenue,2021-01-01,2021-03-31,8");
    let ranks = |case: &Case| {
        [210_100, 210_200]
            .map(|code| ytd(case, "2021-06-30", prefecture(code), Comparison::Local).rank)
    };
    assert_eq!(ranks(&case), [Some(2), Some(1)]);
    case.benchmark("local,prefecture,210200,,revenue,2021-01-01,2021-06-30,8");
    assert_eq!(ranks(&case), [None, None]);
}

/// Plans for one of two, with a curve of its own: the other counts neither as planned nor as done.
#[test]
fn a_provinces_attainment_is_that_of_the_prefectures_that_have_plans() {
    let mut case = grown(&[(210_100, 40), (210_200, 1_000)]);
    case.plans = "210100,total,revenue,2021,100,plan\n".to_owned();
    case.curves = "210100,,revenue,2021-06-30,50\n".to_owned();
    let province =
        |case: &Case| ytd(case, "2021-06-30", Unit::Province(code(PROVINCE)), Comparison::Plan);
    check_gap(&province(&case), "40", "-10", Light::Red);
    // 40 + 1,000 of 1,100, where 50 % of 100 and 95.5 % of 1,000 are expected.
    case.plans += "210200,total,revenue,2021,1000,office\n";
    case.curves += "210200,,revenue,2021-06-30,95.5\n";
    let both = province(&case);
    assert_eq!(both.benchmark, Some(Exact::new(1_005 * 100, 1_100)));
    assert_eq!(both.own, Some(Exact::new(1_040 * 100, 1_100)));
    assert_eq!(both.source.as_deref(), Some("office; plan"));
}

#[test]
fn what_many_prefectures_expect_adds_up_however_odd_their_fractions() {
    let mut case = Case::default();
    for number in 1..=14 {
        let (code, yuan) = (PROVINCE + number * 100, 1_000_003 + i64::from(number) * 7_919);
        case.add("2020-01-01", code, Product::Express, 1, yuan);
        case.add("2020-12-31", code, Product::Express, 1, 2 * yuan + i64::from(number));
        case.add("2021-01-01", code, Product::Express, 1, 500_000);
        let row = format!("{code},total,revenue,2021,1000000,plan\n");
        case.plans += &row;
    }
    let row = ytd(&case, "2021-06-30", Unit::Province(code(PROVINCE)), Comparison::Plan);
    let expected = growth::to_f64(row.benchmark.expect("known"));
    assert!((expected - 33.333).abs() < 0.001, "{expected}");
    assert_eq!((row.own, row.light), (Some(percent("50")), Some(Light::Green)));
}

#[test]
fn a_total_without_a_plan_has_that_of_its_lines() {
    let mut case = Case::default();
    case.add("2021-01-01", 210_100, Product::Express, 1, 60);
    case.add("2021-01-01", 210_100, Product::Savings, 1, 30);
    case.plans = "210100,parcel,revenue,2021,100,plan\n".to_owned();
    let without = ytd(&case, "2021-06-30", prefecture(210_100), Comparison::Plan);
    assert_eq!(without.why, Some(Why::BenchmarkMissing), "finance has business and no plan");
    case.plans += "210100,finance,revenue,2021,100,plan\n";
    let total = ytd(&case, "2021-06-30", prefecture(210_100), Comparison::Plan);
    assert_eq!((total.own, total.base), (Some(percent("45")), Some(20_000.into())));
}

#[test]
fn business_that_began_last_autumn_says_nothing_of_the_first_half() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_200, Product::Express, 1, 100);
    case.add("2020-12-31", 210_100, Product::Savings, 1, 100);
    case.add("2021-01-01", 210_100, Product::Savings, 1, 40);
    case.plans = "210100,finance,revenue,2021,100,plan\n".to_owned();
    let rows = case.evaluate("2021-06-30");
    let of = (FINANCE, Measure::Revenue);
    let plan = row(&rows, prefecture(210_100), of, (YTD, Comparison::Plan));
    assert_eq!(plan.benchmark, Some(Exact::new(181 * 100, 365)), "elapsed days, not 0 %");
    assert_eq!(plan.light, Some(Light::Red));
}

fn share(case: &Case, as_of: &str, unit: Unit) -> Indicator {
    row(&case.evaluate(as_of), unit, (FINANCE, Measure::Share), (YTD, Comparison::Industry))
}

#[test]
fn balances_of_long_ago_are_stale() {
    let mut case = grown(&[(210_100, 110)]);
    case.balances = "210100,2020-12-31,100,1000,bank\n210100,2021-06-30,1,2000,synthetic\n".into();
    let fresh = share(&case, "2021-12-31", prefecture(210_100));
    assert_eq!((fresh.own, fresh.light), (Some(percent("5")), Some(Light::Red)));
    assert_eq!(fresh.source.as_deref(), Some("bank; synthetic"));
    let stale = share(&case, "2022-06-30", prefecture(210_100));
    assert_eq!((stale.light, stale.why), (Some(Light::Unknown), Some(Why::BenchmarkStale)));
}

#[test]
fn movements_that_the_log_does_not_have_make_no_loss() {
    let mut case = grown(&[(210_100, 110)]);
    case.balances = "210100,2020-12-31,100,2000,bank\n210100,2021-06-30,1,2000,bank\n".into();
    assert_eq!(share(&case, "2021-06-30", prefecture(210_100)).light, Some(Light::Green));
    case.data_from = Some(day("2021-04-01"));
    let unknown = share(&case, "2021-06-30", prefecture(210_100));
    assert_eq!((unknown.light, unknown.why), (Some(Light::Unknown), Some(Why::BaseIncomplete)));
}

#[test]
fn a_published_share_counts_where_it_is_the_places_own_at_the_years_start() {
    let mut case = grown(&[(210_100, 110)]);
    case.balances = "210100,2020-12-31,100,2000,bank\n210100,2021-07-31,1,2000,bank\n".into();
    for (place, period, share) in [
        ("prefecture,210100", "2020-01-01,2020-12-31", "5.13"),
        ("prefecture,210100", "2021-01-01,2021-06-30", "5.02"),
        ("province,210000", "2020-01-01,2020-12-31", "9"),
    ] {
        let row =
            format!("industry,{place},finance,share,{period},,,2021-07-20,synthetic,,{share}\n");
        case.benchmarks += &row;
    }
    let published = share(&case, "2021-07-31", prefecture(210_100));
    check_gap(&published, "5", "-0.13", Light::Yellow);
    assert_eq!(published.benchmark_level, Some(Level::Prefecture));
}

#[test]
fn a_peer_of_another_province_is_none_and_one_of_the_very_province_counts_first() {
    let mut case = grown(&[(210_100, 110)]);
    let columns = BENCHMARK_COLUMNS.trim_end().to_owned() + ",province\n";
    for (code, growth, province) in
        [(220_000, 8, ""), (220_000, 9, "210000"), (230_000, 50, "440000")]
    {
        let row = format!(
            "peer,province,{code},total,revenue,2021-01-01,2021-06-30,{growth},,2021-07-20,s,,,{province}\n"
        );
        case.benchmarks += &row;
    }
    case.benchmarks.insert_str(0, &columns);
    check_gap(
        &ytd(&case, "2021-06-30", prefecture(210_100), Comparison::Peer),
        "10",
        "1",
        Light::Green,
    );
}

#[test]
fn a_published_share_of_another_line_is_none_of_the_balance() {
    let mut case = grown(&[(210_100, 110)]);
    case.balances = "210100,2020-12-31,100,2000,bank\n210100,2021-06-30,1,2000,bank\n".into();
    for line in ["parcel", "total"] {
        let row = format!(
            "industry,prefecture,210100,{line},share,2020-01-01,2020-12-31,,,2021-07-20,s,,30\n"
        );
        case.benchmarks += &row;
    }
    check_gap(&share(&case, "2021-06-30", prefecture(210_100)), "5", "0", Light::Green);
}

#[test]
fn the_share_at_the_years_start_is_that_of_new_years_eve() {
    let mut case = grown(&[(210_100, 110)]);
    case.balances = "210100,2020-12-31,100,2000,bank\n210100,2021-06-30,1,2000,bank\n".into();
    case.benchmarks +=
        "industry,prefecture,210100,finance,share,2020-01-01,2020-09-30,,,2021-07-20,s,,9\n";
    check_gap(&share(&case, "2021-06-30", prefecture(210_100)), "5", "0", Light::Green);
}

/// Deposits of July are held against no market of June.
#[test]
fn the_own_balance_is_that_of_the_newest_markets_day() {
    let mut case = grown(&[(210_100, 110)]);
    for (on, yuan) in [("2021-06-30", 2), ("2021-07-01", 50)] {
        let key = CellKey { day: day(on), prefecture: code(210_100), product: Product::Savings };
        case.cells.entry(key).or_default().balance = Fen::new(yuan * 100);
    }
    case.balances = "210100,2020-12-31,100,2000,bank\n".into();
    for unit in [prefecture(210_100), Unit::Province(code(PROVINCE))] {
        let alone = share(&case, "2021-07-10", unit);
        assert_eq!((alone.own, alone.why), (None, Some(Why::BenchmarkMissing)));
    }
    case.balances += "210100,2021-06-30,1,2040,bank\n";
    let held = share(&case, "2021-07-31", prefecture(210_100));
    check_gap(&held, "5", "0", Light::Green);
    assert_eq!(held.days, Period::Ytd.range(day("2021-06-30")).expect("a year to date"));
    // A market of the same year's July counts from its day on.
    case.balances += "210100,2021-07-31,1,2040,bank\n";
    check_gap(&share(&case, "2021-07-30", prefecture(210_100)), "5", "0", Light::Green);
    assert_eq!(
        share(&case, "2021-07-31", prefecture(210_100)).own,
        Some(Exact::new(152 * 100, 2_040))
    );
}

#[test]
fn a_peer_whose_figure_is_stale_leaves_no_mean_of_the_others() {
    let mut case = grown(&[(210_100, 110)]);
    for row in [
        "220000,total,revenue,2021-01-01,2021-03-31,20",
        "230000,total,revenue,2021-01-01,2021-03-31,8",
        "230000,total,revenue,2021-01-01,2021-09-30,8",
    ] {
        case.benchmark(&format!("peer,province,{row}"));
    }
    let peer = |case: &Case, as_of| ytd(case, as_of, prefecture(210_100), Comparison::Peer);
    check_gap(&peer(&case, "2021-10-31"), "10", "-4", Light::Red);
    let stale = peer(&case, "2021-12-31");
    assert_eq!((stale.light, stale.why), (Some(Light::Unknown), Some(Why::BenchmarkStale)));
    // Both have told something since, though nothing of one period.
    case.benchmark("peer,province,220000,total,revenue,2021-01-01,2021-06-30,20");
    assert_eq!(peer(&case, "2021-12-31").why, Some(Why::BenchmarkStale));
}

#[test]
fn a_total_without_any_plan_is_unknown() {
    let case = grown(&[(210_100, 110)]);
    for unit in [prefecture(210_100), Unit::Province(code(PROVINCE))] {
        let row = ytd(&case, "2021-06-30", unit, Comparison::Plan);
        assert_eq!((row.own, row.benchmark, row.base), (None, None, None));
        assert_eq!((row.light, row.why), (Some(Light::Unknown), Some(Why::BenchmarkMissing)));
    }
    let rows = case.evaluate("2021-06-30");
    let mut plans = rows.iter().filter(|row| {
        matches!(row.unit, Unit::Prefecture(_)) && row.comparison == Comparison::Plan
    });
    assert!(plans.all(|row| (row.scope, row.measure) == REVENUE), "of the total only");
}

/// A published month, or year to date, that ends with February has all of last year's February for a base.
#[test]
fn a_benchmark_to_the_end_of_february_is_held_against_all_of_a_leap_years() {
    let mut case = Case::default();
    let first = day("2020-01-01");
    for number in 0..=day("2021-03-31").days() - first.days() {
        case.add(&first.plus_days(number).to_string(), 210_100, Product::Express, 1, 100);
    }
    case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-02-28,0");
    let held = ytd(&case, "2021-03-31", prefecture(210_100), Comparison::Local);
    assert_eq!((held.value, held.base), (Some(590_000.into()), Some(600_000.into())));
    // The year to date keeps to the same day, whatever the month.
    let year = ytd(&case, "2021-02-28", prefecture(210_100), Comparison::Yoy);
    assert_eq!(year.base, Some(590_000.into()));
}
