//! What a province's prefectures come to where little is known of them, and how they have moved.

use super::*;

const REVENUE: (Scope, Measure) = (Scope::Total, Measure::Revenue);

fn laggards(case: &Case, comparison: Comparison) -> Indicator {
    let of = (Scope::Total, Measure::Laggards);
    row(&case.evaluate("2021-06-30"), Unit::Province(code(PROVINCE)), of, (YTD, comparison))
}

#[test]
fn nobody_is_counted_as_not_lagging_where_no_light_is_known() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_100, Product::Express, 1, 100);
    case.add("2021-01-01", 210_100, Product::Express, 1, 110);
    for comparison in [Comparison::Local, Comparison::Plan, Comparison::Any] {
        let counted = laggards(&case, comparison);
        assert_eq!((counted.value, counted.own), (None, None), "{comparison}");
        assert_eq!(counted.why, Some(Why::BenchmarkMissing), "{comparison}");
    }
    case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-06-30,8.1");
    for (comparison, lag) in
        [(Comparison::Local, Some(0)), (Comparison::Plan, None), (Comparison::Any, Some(0))]
    {
        let lag = lag.map(Exact::from_integer);
        assert_eq!(laggards(&case, comparison).value, lag, "{comparison}");
    }
}

#[test]
fn a_spread_takes_two() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_100, Product::Express, 1, 100);
    case.add("2021-01-01", 210_100, Product::Express, 1, 110);
    case.add("2021-01-01", 210_200, Product::Express, 1, 110);
    let apart = |case: &Case| {
        let province = Unit::Province(code(PROVINCE));
        row(&case.evaluate("2021-06-30"), province, REVENUE, (YTD, Comparison::Spread))
    };
    assert_eq!((apart(&case).own, apart(&case).why), (None, Some(Why::FigureMissing)));
    case.add("2020-01-01", 210_200, Product::Express, 1, 110);
    assert_eq!(apart(&case).own, Some(percent("10")));
}

/// A prefecture that had business last month, and has none this month, had a place last month.
#[test]
fn earlier_places_are_those_among_all_prefectures_of_the_province() {
    let mut case = Case::default();
    for (prefecture, may, june) in [(210_100, 200, 0), (210_200, 120, 120), (210_300, 110, 110)] {
        for (on, yuan) in [("2020-05-01", 100), ("2021-05-01", may)] {
            case.add(on, prefecture, Product::Express, 1, yuan);
        }
        if june > 0 {
            for (on, yuan) in [("2020-06-01", 100), ("2021-06-01", june)] {
                case.add(on, prefecture, Product::Express, 1, yuan);
            }
        }
    }
    let rows = case.evaluate("2021-06-30");
    let moved = |number| {
        let row = row(&rows, prefecture(number), REVENUE, (Period::Mtd, Comparison::Yoy));
        (row.rank, row.rank_change)
    };
    assert_eq!(moved(210_200), (Some(1), Some(1)), "it was second in May");
    assert_eq!(moved(210_300), (Some(2), Some(1)), "it was third in May");
}
