//! Sums of complete days, and that they are what the indicators divide.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::growth::to_f64;
use postroad_aggregate::indicators::{Comparison, Settings};
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::Product;
use postroad_schemas::reference::Measure;
use postroad_schemas::units::{Fen, Span};

use super::*;
use crate::business::tests::{code, date, scrape, snapshot, value};
use crate::publish::indicators::Evaluation;

/// The figures of these cells, while the log has reached the noon after the last complete day.
fn page(cells: &[(BusinessDay, u32, Product, i64)], as_of: BusinessDay) -> (String, Evaluation) {
    let mut rollup = Rollup::default();
    for (day, prefecture, product, volume) in cells {
        let key = CellKey { day: *day, prefecture: code(*prefecture), product: *product };
        let revenue = Fen::new(i128::from(volume * 101));
        rollup.add([(&key, &Measures { volume: *volume, revenue, ..Measures::default() })]);
    }
    let noon = as_of.end() + Span::hours(12);
    let mut snapshot = snapshot(rollup, &[Some(noon)], noon);
    let of = Evaluation::of(as_of, &snapshot.rollup, &snapshot.reference, Settings::default());
    snapshot.evaluation = Some(Arc::new(of.clone()));
    (scrape(&snapshot), of)
}

/// Case 6 of the domain: 100 a day in both years; today so far and its counterpart are in no sum.
#[test]
fn on_29_february_growth_is_that_of_6000_against_5900() {
    let days = |from: &str, to: &str| date(from).days()..=date(to).days();
    let days = days("2023-01-01", "2023-03-01").chain(days("2024-01-01", "2024-03-01"));
    let cell = |day| (BusinessDay::from_days(day), 210_100, Product::Express, 100);
    let (text, _) = page(&days.map(cell).collect::<Vec<_>>(), date("2024-02-29"));
    for (period, now, before) in [("ytd", 6000.0, 5900.0), ("mtd", 2900.0, 2800.0)] {
        let gauge = |name: &str| value(&text, &format!("postroad_complete_{period}_{name}"), &[]);
        assert_eq!(gauge("volume"), Some(now), "{period}");
        assert_eq!(gauge("volume_baseline"), Some(before), "{period}");
        assert_eq!(gauge("revenue_yuan"), Some(now * 101.0 / 100.0), "{period}");
        assert_eq!(gauge("revenue_yuan_baseline"), Some(before * 101.0 / 100.0), "{period}");
    }
    // The other sums go on until noon.
    assert_eq!(value(&text, "postroad_ytd_volume", &[]), Some(6100.0));
}

#[test]
fn what_came_in_one_year_only_is_nothing_in_the_other() {
    let cells = [
        (date("2020-06-01"), 210_100, Product::Letter, 3),
        (date("2021-06-01"), 210_100, Product::Express, 5),
    ];
    let (text, _) = page(&cells, date("2021-06-30"));
    for (product, now, before) in [("letter", 0.0, 3.0), ("express", 5.0, 0.0)] {
        let product = format!(r#"product="{product}""#);
        let gauge = |name| value(&text, &format!("postroad_complete_qtd_{name}"), &[&product]);
        assert_eq!(gauge("volume"), Some(now), "{product}");
        assert_eq!(gauge("revenue_yuan_baseline"), Some(before * 101.0 / 100.0), "{product}");
    }
}

#[test]
fn a_baseline_before_the_data_is_absent() {
    let (text, _) = page(&[(date("2021-06-01"), 210_100, Product::Express, 5)], date("2021-06-30"));
    assert_eq!(value(&text, "postroad_complete_ytd_volume", &[]), Some(5.0));
    assert!(!text.contains("postroad_complete_ytd_volume_baseline"), "not known, which is not 0");
}

/// Sums of the gauges of a page by prefecture and by province, of the total and of each line.
fn sums_of(text: &str, name: &str) -> BTreeMap<(Unit, Scope), f64> {
    let mut sums = BTreeMap::new();
    for series in text.lines().filter(|line| line.starts_with(&format!("{name}{{"))) {
        let label = |name: &str| {
            let (_, rest) = series.split_once(&format!("{name}=\"")).expect("it has the label");
            rest.split('"').next().expect("a value").to_owned()
        };
        let prefecture = label("prefecture").parse().map(code).expect("a code");
        let province = code(prefecture.get() / 10_000 * 10_000);
        let line = label("line");
        let mut lines = postroad_schemas::codebook::Line::ALL.iter();
        let line = *lines.find(|known| known.as_str() == line).expect("a line");
        let number: f64 = series.rsplit(' ').next().expect("a value").parse().expect("a number");
        for unit in [Unit::Prefecture(prefecture), Unit::Province(province)] {
            for scope in [Scope::Total, Scope::Line(line)] {
                *sums.entry((unit, scope)).or_default() += number;
            }
        }
    }
    sums
}

/// Whatever growth the indicators have is a division of sums of these gauges, of all units and lines.
#[test]
fn the_gauges_divide_to_the_growth_of_the_indicators() {
    let mut cells = Vec::new();
    let mut seed = 7_i64;
    for day in ["2020-01-01", "2020-02-29", "2020-05-31", "2021-01-01", "2021-02-28", "2021-06-01"]
    {
        for prefecture in [210_100, 210_200, 210_300] {
            for product in [Product::Express, Product::Economy, Product::Savings, Product::Press] {
                seed = seed * 1_103 % 9_973;
                cells.push((date(day), prefecture, product, seed));
            }
        }
    }
    let mut compared = 0;
    for as_of in ["2021-02-28", "2021-06-01"] {
        let (text, evaluation) = page(&cells, date(as_of));
        let all = [Period::Mtd, Period::Qtd, Period::Ytd].into_iter().flat_map(|period| {
            [(period, Measure::Volume, "volume"), (period, Measure::Revenue, "revenue_yuan")]
        });
        for (period, measure, name) in all {
            let name = format!("postroad_complete_{period}_{name}");
            let (now, before) =
                (sums_of(&text, &name), sums_of(&text, &format!("{name}_baseline")));
            let rows = evaluation.rows.iter().filter(|row| {
                (row.period, row.measure, row.comparison) == (period, measure, Comparison::Yoy)
                    && !matches!(row.scope, Scope::Product(_))
            });
            for row in rows {
                let of = (row.unit, row.scope);
                let base = before.get(&of).copied().filter(|base| *base > 0.0);
                let growth = base.map(|base| (now[&of] / base - 1.0) * 100.0);
                let own = row.own.map(to_f64);
                let is_same = match (growth, own) {
                    (Some(growth), Some(own)) => (growth - own).abs() < 1e-9 * (1.0 + own.abs()),
                    (growth, own) => growth == own,
                };
                assert!(is_same, "{of:?} {name} as of {as_of}: {growth:?}, not {own:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared} growths were compared");
}
