//! Each gauge of the indicators, of rows that are made by hand.

use std::sync::Arc;

use postroad_aggregate::indicators::Exact;
use postroad_aggregate::indicators::period::Range;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::Product;
use postroad_schemas::units::Timestamp;

use super::*;
use crate::business::tests::{date, scrape, snapshot, value};

const SHENYANG: Unit = Unit::Prefecture(PrefectureCode::new(210_100).expect("six digits"));
const DALIAN: Unit = Unit::Prefecture(PrefectureCode::new(210_200).expect("six digits"));
const LIAONING: Unit = Unit::Province(PrefectureCode::new(210_000).expect("six digits"));
const PARCEL: Scope = Scope::Line(Line::Parcel);

/// A row of the year to date without any figure.
fn row(unit: Unit, scope: Scope, measure: Measure, comparison: Comparison) -> Indicator {
    Indicator {
        unit,
        scope,
        measure,
        period: Period::Ytd,
        days: Range { first: date("2021-01-01"), last: date("2021-06-30") },
        comparison,
        value: None,
        base: None,
        own: None,
        benchmark: None,
        gap: None,
        light: None,
        why: None,
        benchmark_level: None,
        source: None,
        rank: None,
        rank_change: None,
    }
}

fn page(rows: Vec<Indicator>) -> String {
    let mut snapshot = snapshot(Rollup::default(), &[None], Timestamp::from_micros(0));
    snapshot.evaluation = Some(Arc::new(Evaluation { as_of: date("2021-06-30"), rows }));
    scrape(&snapshot)
}

/// Tenths of a per cent.
fn tenths(number: i128) -> Exact {
    Exact::new(number, 10)
}

/// The gauge of a place has this value.
#[track_caller]
fn check(text: &str, name: &str, labels: &[&str], expect: Option<f64>) {
    assert_eq!(value(text, name, labels), expect, "{name} {labels:?}");
}

#[test]
fn a_gap_has_its_own_figure_and_its_light() {
    let industry = |unit, own, light| Indicator {
        own: Some(tenths(own)),
        gap: Some(tenths(own - 458)),
        light: Some(light),
        ..row(unit, PARCEL, Measure::Volume, Comparison::Industry)
    };
    let total = Indicator {
        own: Some(tenths(60)),
        gap: Some(tenths(-5)),
        light: Some(Light::Yellow),
        ..row(SHENYANG, Scope::Total, Measure::Revenue, Comparison::Local)
    };
    let product = Indicator {
        gap: Some(tenths(-99)),
        light: Some(Light::Red),
        ..row(SHENYANG, Scope::Product(Product::Express), Measure::Volume, Comparison::Industry)
    };
    let text = page(vec![
        industry(LIAONING, 392, Light::Red),
        industry(SHENYANG, 458, Light::Green),
        total,
        product,
    ]);
    let parcel = r#"line="parcel",measure="volume","#;
    for (prefix, place, own, gap, light) in [
        ("", r#"prefecture="210100",versus="industry""#, 45.8, 0.0, 0.0),
        ("province_", r#"province="210000",versus="industry""#, 39.2, -6.6, 2.0),
    ] {
        let labels = [parcel, place];
        check(&text, &format!("postroad_{prefix}own_growth_percent"), &labels, Some(own));
        check(&text, &format!("postroad_{prefix}gap_percentage_points"), &labels, Some(gap));
        check(&text, &format!("postroad_{prefix}light"), &labels, Some(light));
    }
    let total = [r#"line="total",measure="revenue",prefecture="210100",versus="local""#];
    check(&text, "postroad_gap_percentage_points", &total, Some(-0.5));
    check(&text, "postroad_light", &total, Some(1.0));
    assert_eq!(text.matches("\npostroad_light{").count(), 2, "a product has no light");
    check(&text, "postroad_lagging_prefectures", &[r#"versus="local""#], Some(1.0));
    check(&text, "postroad_lagging_prefectures", &[r#"versus="plan""#], None);
    check(&text, "postroad_laggards", &[], Some(1.0));
    let end = date("2021-07-01").start().as_seconds_f64();
    check(&text, "postroad_indicators_as_of_timestamp_seconds", &[], Some(end));
}

#[test]
fn what_is_unknown_has_a_reason_and_neither_gap_nor_light() {
    let unknown = |unit, why| Indicator {
        own: Some(tenths(30)),
        light: Some(Light::Unknown),
        why: Some(why),
        ..row(unit, PARCEL, Measure::Revenue, Comparison::Industry)
    };
    let text = page(vec![
        unknown(SHENYANG, Why::BenchmarkStale),
        unknown(DALIAN, Why::BenchmarkStale),
        unknown(LIAONING, Why::BenchmarkStale),
    ]);
    let why = |why, versus| [format!("why=\"{why}\""), format!("versus=\"{versus}\"")];
    for (labels, expect) in [
        (why("benchmark_stale", "industry"), 2.0),
        (why("benchmark_stale", "local"), 0.0),
        (why("benchmark_missing", "industry"), 0.0),
    ] {
        let labels = labels.each_ref().map(String::as_str);
        check(&text, "postroad_unknown_lights", &labels, Some(expect));
    }
    assert!(!text.contains("\npostroad_light{") && !text.contains("\npostroad_gap_"), "{text}");
    assert!(!text.contains("\npostroad_lagging_prefectures{"), "nobody knows who lags: {text}");
    assert!(!text.contains("\npostroad_laggards "), "{text}");
    check(&text, "postroad_own_growth_percent", &[r#"prefecture="210100""#], Some(3.0));
}

/// A plan is in fen where it is of revenue, and in pieces where it is of volume.
#[test]
fn a_plan_is_in_yuan_or_in_pieces() {
    let plan = |scope, measure, planned: i128| Indicator {
        base: Some(Exact::from_integer(planned)),
        benchmark: Some(tenths(460)),
        ..row(SHENYANG, scope, measure, Comparison::Plan)
    };
    let text = page(vec![
        plan(PARCEL, Measure::Revenue, 1_000_000_000),
        plan(PARCEL, Measure::Volume, 500),
        plan(Scope::Total, Measure::Revenue, 7),
    ]);
    let labels = [r#"line="parcel",prefecture="210100""#];
    check(&text, "postroad_annual_plan_revenue_yuan", &labels, Some(10_000_000.0));
    check(&text, "postroad_ytd_plan_revenue_yuan", &labels, Some(4_600_000.0));
    check(&text, "postroad_annual_plan_volume", &labels, Some(500.0));
    check(&text, "postroad_ytd_plan_volume", &labels, Some(230.0));
    assert!(!text.contains(r#"postroad_annual_plan_revenue_yuan{line="total""#), "it is summed");
}

#[test]
fn ranks_moves_and_the_spread_are_of_the_growth_of_the_year() {
    let growth = |unit, own, rank, change| Indicator {
        own: Some(tenths(own)),
        rank: Some(rank),
        rank_change: Some(change),
        ..row(unit, PARCEL, Measure::Revenue, Comparison::Yoy)
    };
    let of_month = Indicator { period: Period::Mtd, ..growth(SHENYANG, 990, 9, 9) };
    let text = page(vec![growth(SHENYANG, 120, 1, -2), growth(DALIAN, -10, 4, 3), of_month]);
    for (code, rank, change) in [(210_100, 1.0, -2.0), (210_200, 4.0, 3.0)] {
        let labels = format!(r#"line="parcel",measure="revenue",prefecture="{code}""#);
        check(&text, "postroad_rank", &[&labels], Some(rank));
        check(&text, "postroad_rank_change", &[&labels], Some(change));
    }
    let labels = [r#"line="parcel",measure="revenue",province="210000""#];
    check(&text, "postroad_growth_spread_percentage_points", &labels, Some(13.0));
}

/// A peak of 110 % above the mean day is 2.1 times that day; of the month it is none of the day's.
#[test]
fn a_peak_is_a_ratio_of_the_last_complete_day() {
    let peak = |scope, period, above| Indicator {
        period,
        own: Some(tenths(above)),
        ..row(SHENYANG, scope, Measure::Volume, Comparison::Peak)
    };
    let text = page(vec![
        peak(PARCEL, Period::Day, 1_100),
        peak(PARCEL, Period::Mtd, 50),
        peak(Scope::Product(Product::Express), Period::Day, 70),
    ]);
    check(&text, "postroad_peak_ratio", &[r#"prefecture="210100""#], Some(2.1));
}
