//! DOMAIN's canonical cases, by their numbers.

mod held;
mod incomplete;
mod summed;

use std::collections::BTreeMap;
use std::sync::Arc;

use postroad_schemas::codebook::{Codebook, Line, PrefectureCode, Product};
use postroad_schemas::contract::Contract;
use postroad_schemas::reference::{Measure, Reference, ReferenceFiles};
use postroad_schemas::time::parse_date;
use postroad_schemas::units::{BusinessDay, Fen, NextOffset, Offset, Timestamp};

use super::book::{Scope, Unit};
use super::headline::{Headline, spread};
use super::period::Period;
use super::*;
use crate::event::IdKey;
use crate::rules::{Rules, RulesId};
use crate::shard::{Record, Shard, ShardState};

const PROVINCE: u32 = 210_000;
const BENCHMARK_COLUMNS: &str = "versus,level,code,line,measure,period_start,period_end,growth_pct,basis,published_at,source,weight,share_pct\n";
const PLAN_COLUMNS: &str = "code,line,measure,year,amount,source\n";

fn day(text: &str) -> BusinessDay {
    parse_date(text).expect("a date")
}

fn code(number: u32) -> PrefectureCode {
    PrefectureCode::new(number).expect("six digits")
}

fn percent(text: &str) -> Exact {
    growth::exact(Percent::parse(text).expect("a percentage"))
}

/// A daily table and the reference data beside it.
#[derive(Default)]
struct Case {
    cells: BTreeMap<CellKey, Measures>,
    benchmarks: String,
    plans: String,
    curves: String,
    balances: String,
    baselines: String,
    data_from: Option<BusinessDay>,
}

impl Case {
    fn add(
        &mut self,
        on: &str,
        prefecture: u32,
        product: Product,
        volume: i64,
        yuan: i64,
    ) -> &mut Self {
        let key = CellKey { day: day(on), prefecture: code(prefecture), product };
        let cell = self.cells.entry(key).or_default();
        cell.volume += volume;
        cell.revenue += Fen::new(i128::from(yuan) * 100);
        self
    }

    fn benchmark(&mut self, row: &str) -> &mut Self {
        self.benchmarks += row;
        self.benchmarks += ",,2021-07-20,synthetic,,\n";
        self
    }

    fn evaluate(&self, as_of: &str) -> Vec<Indicator> {
        let has_columns = self.benchmarks.starts_with("versus");
        let columns = if has_columns { "" } else { BENCHMARK_COLUMNS };
        let benchmarks = [columns, &self.benchmarks].concat();
        let plans = [PLAN_COLUMNS, &self.plans].concat();
        let curves = ["code,line,measure,date,share_pct\n", &self.curves].concat();
        let balances = ["code,date,own_yuan,market_yuan,source\n", &self.balances].concat();
        let baselines =
            ["date,code,product,volume,revenue_yuan,balance_yuan\n", &self.baselines].concat();
        let reference = Reference::from_csv(
            ReferenceFiles {
                benchmarks: Some(&benchmarks),
                plans: Some(&plans),
                plan_curves: Some(&curves),
                balances: Some(&balances),
                baselines: Some(&baselines),
            },
            None,
        )
        .expect("sound reference data");
        let provinces = (1..=14).map(|n| (code(PROVINCE + 100 * n), code(PROVINCE))).collect();
        let settings = Settings { data_from: self.data_from, ..Settings::default() };
        let as_of = day(as_of);
        let input = Input { provinces: &provinces, reference: &reference, as_of, settings };
        evaluate(&input, self.cells.iter().map(|(key, measures)| (*key, measures)))
    }
}

/// The one row of a kind.
#[track_caller]
fn row(
    rows: &[Indicator],
    unit: Unit,
    (scope, measure): (Scope, Measure),
    (period, comparison): (Period, Comparison),
) -> Indicator {
    let is_meant = |row: &&Indicator| {
        (row.unit, row.scope, row.measure) == (unit, scope, measure)
            && (row.period, row.comparison) == (period, comparison)
    };
    let mut found = rows.iter().filter(is_meant);
    let one = found.next().expect("a row of this kind");
    assert_eq!(found.next(), None);
    one.clone()
}

fn prefecture(number: u32) -> Unit {
    Unit::Prefecture(code(number))
}

const PARCEL: Scope = Scope::Line(Line::Parcel);
const YTD: Period = Period::Ytd;

#[track_caller]
fn check_gap(row: &Indicator, own: &str, gap: &str, light: Light) {
    assert_eq!(
        (row.own, row.gap, row.light),
        (Some(percent(own)), Some(percent(gap)), Some(light))
    );
}

/// Cases 1 and 2.
#[test]
fn growth_below_the_local_economy_lags_and_rounding_does_not_hide_it() {
    let gap = |revenue| {
        let mut case = Case::default();
        case.add("2020-01-01", 210_100, Product::Express, 1, 1_000_000);
        case.add("2021-06-30", 210_100, Product::Express, 1, revenue);
        case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-06-30,8.5");
        let rows = case.evaluate("2021-07-31");
        row(&rows, prefecture(210_100), (Scope::Total, Measure::Revenue), (YTD, Comparison::Local))
    };
    check_gap(&gap(1_050_000), "5", "-3.5", Light::Red);
    check_gap(&gap(1_085_000), "8.5", "0", Light::Green);
    let barely = gap(1_084_999);
    check_gap(&barely, "8.4999", "-0.0001", Light::Yellow);
    assert_eq!(format!("{:.1}", growth::to_f64(barely.own.expect("known"))), "8.5");
}

/// Case 3.
#[test]
fn volume_and_revenue_are_held_against_the_industry_each_and_yield_falls() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_100, Product::Economy, 1_000, 1_000);
    case.add("2021-03-01", 210_100, Product::Economy, 1_458, 1_200);
    case.benchmark("industry,nation,,parcel,volume,2021-01-01,2021-06-30,45.8");
    case.benchmark("industry,nation,,parcel,revenue,2021-01-01,2021-06-30,26.6");
    let rows = case.evaluate("2021-06-30");
    let of =
        |measure| row(&rows, prefecture(210_100), (PARCEL, measure), (YTD, Comparison::Industry));
    check_gap(&of(Measure::Volume), "45.8", "0", Light::Green);
    check_gap(&of(Measure::Revenue), "20", "-6.6", Light::Red);
    assert_eq!(of(Measure::Revenue).benchmark_level, Some(Level::Nation));

    let mut nation = Case::default();
    nation.add("2020-01-01", 210_100, Product::Economy, 3_388, 38_238);
    nation.add("2021-03-01", 210_100, Product::Economy, 4_939, 48_421);
    let rows = nation.evaluate("2021-06-30");
    let fallen = row(&rows, prefecture(210_100), (PARCEL, Measure::Yield), (YTD, Comparison::Yoy));
    let shown =
        |exact: Option<Exact>| format!("{:.2}", growth::to_f64(exact.expect("known")) / 100.0);
    assert_eq!((shown(fallen.value), shown(fallen.base)), ("9.80".to_owned(), "11.29".to_owned()));
    assert_eq!(format!("{:.1}", growth::to_f64(fallen.own.expect("known"))), "-13.1");
}

/// Case 4.
#[test]
fn a_quarter_shows_what_the_year_to_date_hides() {
    let mut case = Case::default();
    for (on, pieces) in
        [("2020-01-01", 1_253), ("2020-05-01", 2_135), ("2021-02-01", 2_193), ("2021-05-01", 2_746)]
    {
        case.add(on, 210_100, Product::Economy, pieces, 1);
    }
    let rows = case.evaluate("2021-06-30");
    let shown = |period| {
        let row =
            row(&rows, prefecture(210_100), (PARCEL, Measure::Volume), (period, Comparison::Yoy));
        format!("{:.1}", growth::to_f64(row.own.expect("known")))
    };
    assert_eq!([shown(Period::Qtd), shown(YTD), shown(Period::H1)], ["28.6", "45.8", "45.8"]);
}

/// Case 5.
#[test]
fn attainment_is_held_against_the_curve_and_else_against_elapsed_days() {
    let mut case = Case::default();
    case.add("2021-06-30", 210_100, Product::Express, 1, 4_800_000);
    case.plans = "210100,total,revenue,2021,10000000,plan\n".to_owned();
    let plan = |case: &Case| {
        let rows = case.evaluate("2021-06-30");
        row(&rows, prefecture(210_100), (Scope::Total, Measure::Revenue), (YTD, Comparison::Plan))
    };
    let linear = plan(&case);
    assert_eq!(linear.own, Some(percent("48")));
    assert_eq!(linear.benchmark, Some(Exact::new(181 * 100, 365)));
    assert_eq!(format!("{:.2}", growth::to_f64(linear.gap.expect("known"))), "-1.59");
    assert_eq!(linear.light, Some(Light::Yellow));
    case.curves = ",,revenue,2021-06-30,46.0\n".to_owned();
    check_gap(&plan(&case), "48", "2", Light::Green);
    // Half of the way from nothing to 46 %.
    case.curves = ",,revenue,2021-12-28,92.0\n".to_owned();
    check_gap(&plan(&case), "48", "2", Light::Green);
    // Two thirds of the way from 20 % to all of it at the year's end, 276 days later.
    case.curves = ",,revenue,2021-03-30,20\n".to_owned();
    assert_eq!(plan(&case).benchmark, Some(Exact::new(20 * 276 + 80 * 92, 276)));
}

/// Case 6.
#[test]
fn a_leap_day_is_growth_but_not_of_the_daily_average() {
    let mut case = Case::default();
    let (first, last) = (day("2022-01-01"), day("2024-12-31"));
    for number in 0..=last.days() - first.days() {
        let on = first.plus_days(number).to_string();
        case.add(&on, 210_100, Product::Express, 100, 1);
    }
    let of = |as_of, comparison| {
        let rows = case.evaluate(as_of);
        row(&rows, prefecture(210_100), (Scope::Total, Measure::Volume), (YTD, comparison))
    };
    let february = of("2024-02-29", Comparison::Yoy);
    assert_eq!((february.value, february.base), (Some(6_000.into()), Some(5_900.into())));
    assert_eq!(format!("{:.2}", growth::to_f64(february.own.expect("known"))), "1.69");
    assert_eq!(of("2024-02-29", Comparison::DailyAverage).own, Some(percent("0")));
    let year = of("2024-12-31", Comparison::Yoy);
    assert_eq!((year.value, year.base), (Some(36_600.into()), Some(36_500.into())));
    let average = of("2024-02-29", Comparison::TwoYear).own.expect("known");
    assert_eq!(format!("{:.2}", growth::to_f64(average)), "0.84");
}

/// Folds events, and evaluates what comes of them.
fn fold(contract: Contract, events: &[(&str, &str)]) -> Case {
    let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
    let state = ShardState::new(contract, NextOffset::new(0), RulesId::of(b""));
    let mut shard = Shard::resume(state, vec![rules], IdKey([1; 16]), false);
    for (offset, (recorded_at, value)) in (0..).zip(events) {
        let timestamp = postroad_schemas::time::parse_timestamp(recorded_at);
        let record =
            Record { offset: Offset::new(offset), timestamp, value: Some(value.as_bytes()) };
        shard.step(&record, Timestamp::from_millis(1_900_000_000_000)).expect("one log");
    }
    assert_eq!(shard.state().ledger.rejected, 0);
    Case {
        cells: shard.state().cells.iter().map(|(key, cell)| (*key, *cell)).collect(),
        ..Case::default()
    }
}

fn value(case: &Case, as_of: &str, scope: Scope, measure: Measure, period: Period) -> i128 {
    let rows = case.evaluate(as_of);
    let mut found = rows.iter().filter(|row| {
        (row.unit, row.scope, row.measure) == (prefecture(210_100), scope, measure)
            && (row.period, row.comparison) == (period, Comparison::Yoy)
    });
    found.next().map_or(0, |row| row.value.expect("a sum").to_integer())
}

/// Case 7.
#[test]
fn a_reversal_posts_on_its_own_day() {
    let case = fold(
        Contract::Finance,
        &[
            (
                "2021-06-30T10:00:00+08:00",
                r#"{"event_id":"a","txn_type":"purchase","product":"fund","prefecture":"210100","occurred_at":"2021-06-30T10:00:00+08:00","amount_fen":100000,"revenue_fen":12000}"#,
            ),
            (
                "2021-07-01T10:00:00+08:00",
                r#"{"event_id":"b","txn_type":"reversal","product":"fund","prefecture":"210100","occurred_at":"2021-07-01T10:00:00+08:00","amount_fen":100000,"revenue_fen":12000,"reverses":{"txn_type":"purchase"}}"#,
            ),
        ],
    );
    let revenue = |as_of, period| value(&case, as_of, Scope::Total, Measure::Revenue, period);
    assert_eq!(revenue("2021-06-30", Period::Mtd), 12_000);
    assert_eq!(revenue("2021-07-31", Period::Mtd), -12_000);
    assert_eq!(revenue("2021-07-31", YTD), 0);
    let (volume, reversals): (i64, i64) =
        case.cells.values().fold((0, 0), |(v, r), cell| (v + cell.volume, r + cell.reversals));
    assert_eq!((volume, reversals), (1, 1));
}

/// Cases 8 and 9.
#[test]
fn an_acceptance_counts_once_until_it_is_voided_and_on_its_own_day_however_late() {
    let event = |id: &str, kind: &str, at: &str| {
        format!(
            r#"{{"event_id":"{id}","event_type":"{kind}","product":"express","prefecture":"210100","occurred_at":"{at}","revenue_fen":1000}}"#
        )
    };
    let (late, next) = ("2021-06-30T15:59:59Z", "2021-06-30T16:00:00Z");
    let accepted = event("a", "accepted", late);
    let returned = event("b", "returned", "2021-07-01T07:00:00+08:00");
    let voided = event("c", "voided", late);
    let (day_after, two_days_after) = ("2021-07-01T08:00:00+08:00", "2021-07-02T23:59:59+08:00");
    let volume = |events: &[(&str, &str)], as_of| {
        value(&fold(Contract::Parcel, events), as_of, PARCEL, Measure::Volume, Period::Day)
    };
    let thrice = [(day_after, &*accepted), (day_after, &*accepted), (day_after, &*accepted)];
    assert_eq!(volume(&thrice, "2021-06-30"), 1);
    let back = [(day_after, &*accepted), (day_after, &*returned)];
    assert_eq!(volume(&back, "2021-06-30"), 1);
    assert_eq!(volume(&[(day_after, &*accepted), (day_after, &*voided)], "2021-06-30"), 0);
    let second = event("d", "accepted", next);
    let both = [(day_after, &*second), (two_days_after, &*accepted)];
    assert_eq!((volume(&both, "2021-06-30"), volume(&both, "2021-07-01")), (1, 1));
}

/// Case 10.
#[test]
fn growth_from_nothing_is_unknown_and_the_province_counts_it_all_the_same() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_100, Product::Express, 1, 100);
    case.add("2021-01-01", 210_100, Product::Express, 1, 110);
    case.add("2021-01-01", 210_200, Product::Express, 1, 10);
    case.benchmark("local,prefecture,210200,,revenue,2021-01-01,2021-06-30,5");
    let rows = case.evaluate("2021-06-30");
    let of = (Scope::Total, Measure::Revenue);
    let new = row(&rows, prefecture(210_200), of, (YTD, Comparison::Yoy));
    assert_eq!((new.own, new.rank, new.why), (None, None, Some(Why::BaseNotPositive)));
    let local = row(&rows, prefecture(210_200), of, (YTD, Comparison::Local));
    assert_eq!((local.gap, local.light, local.rank), (None, Some(Light::Unknown), None));
    assert_eq!(local.why, Some(Why::BaseNotPositive));
    let province = row(&rows, Unit::Province(code(PROVINCE)), of, (YTD, Comparison::Yoy));
    assert_eq!(province.own, Some(percent("20")));
}

/// Case 11.
#[test]
fn the_balance_share_is_held_against_that_at_the_years_start() {
    let mut case = Case::default();
    for (on, yuan) in
        [("2021-02-01", 5_000_000), ("2021-03-01", -3_000_000), ("2021-04-01", -200_000)]
    {
        let key = CellKey { day: day(on), prefecture: code(210_100), product: Product::Savings };
        case.cells.entry(key).or_default().balance = Fen::new(i128::from(yuan) * 100);
    }
    case.balances = "210100,2020-12-31,100000000,1950000000,bank\n\
                     210100,2021-06-30,1,2036000000,bank\n"
        .to_owned();
    let rows = case.evaluate("2021-06-30");
    let finance = Scope::Line(Line::Finance);
    let of = |measure, comparison| {
        row(&rows, prefecture(210_100), (finance, measure), (YTD, comparison))
    };
    assert_eq!(of(Measure::Balance, Comparison::Yoy).value, Some(180_000_000.into()), "fen");
    let share = of(Measure::Share, Comparison::Industry);
    assert_eq!((share.own, share.light), (Some(percent("5")), Some(Light::Yellow)));
    assert_eq!(format!("{:.2}", growth::to_f64(share.base.expect("known"))), "5.13");
    assert_eq!(format!("{:.2}", growth::to_f64(share.gap.expect("known"))), "-0.13");
}

/// Case 12.
#[test]
fn the_province_grows_as_its_sum_does_and_three_of_four_lag() {
    let mut case = Case::default();
    let four = [(210_100, 400, 448), (210_200, 300, 324), (210_300, 200, 210), (210_400, 100, 99)];
    for (prefecture, before, now) in four {
        case.add("2020-01-01", prefecture, Product::Express, 1, before);
        case.add("2021-01-01", prefecture, Product::Express, 1, now);
        case.benchmark(&format!(
            "local,prefecture,{prefecture},,revenue,2021-01-01,2021-06-30,8.1"
        ));
    }
    let rows = case.evaluate("2021-06-30");
    let of = (Scope::Total, Measure::Revenue);
    let province = row(&rows, Unit::Province(code(PROVINCE)), of, (YTD, Comparison::Yoy));
    assert_eq!(province.own, Some(percent("8.1")));
    let local = |number| row(&rows, prefecture(number), of, (YTD, Comparison::Local));
    check_gap(&local(210_100), "12", "3.9", Light::Green);
    check_gap(&local(210_200), "8", "-0.1", Light::Yellow);
    check_gap(&local(210_300), "5", "-3.1", Light::Red);
    check_gap(&local(210_400), "-1", "-9.1", Light::Red);
    let ranks = four.map(|(number, ..)| local(number).rank);
    assert_eq!(ranks, [Some(1), Some(2), Some(3), Some(4)]);
    let headline = Headline::of(&rows);
    assert_eq!(headline.lagging[&Comparison::Local].len(), 3);
    assert_eq!(headline.laggards.len(), 3);
    let locals = rows.iter().filter(|row| {
        matches!(row.unit, Unit::Prefecture(_))
            && (row.scope, row.comparison) == (Scope::Total, Comparison::Local)
    });
    assert_eq!(spread(locals), Some(percent("13")));
    let province = Unit::Province(code(PROVINCE));
    let apart = row(&rows, province, of, (YTD, Comparison::Spread));
    assert_eq!(apart.own, Some(percent("13")));
    for (comparison, lag) in [(Comparison::Local, 3), (Comparison::Any, 3)] {
        let counted = (Scope::Total, Measure::Laggards);
        let counted = row(&rows, province, counted, (YTD, comparison));
        assert_eq!((counted.value, counted.base), (Some(lag.into()), Some(14.into())));
    }
}

/// Sums are differences of running totals; here each is added up again, day by day.
#[test]
fn every_sum_is_that_of_its_days() {
    let mut case = Case::default();
    let last = day("2024-03-15");
    for (index, number) in (0..900_usize).zip(0..) {
        let on = last.plus_days(-(number * 37 % 1_100)).to_string();
        let prefecture = [210_100, 210_200][index % 2];
        let product = Product::ALL[index % Product::ALL.len()];
        case.add(&on, prefecture, product, i64::from(number % 7 + 1), 1);
    }
    case.benchmark("local,prefecture,210100,,revenue,2023-11-05,2024-01-20,8.1");
    let in_scope = |scope, product: Product| match scope {
        Scope::Total => true,
        Scope::Line(line) => product.line() == line,
        Scope::Product(one) => product == one,
    };
    let naive = |unit, scope, days: period::Range| -> i128 {
        let cells = case.cells.iter().filter(|(cell, _)| {
            days.contains(cell.day)
                && in_scope(scope, cell.product)
                && (unit == Unit::Province(code(PROVINCE))
                    || unit == Unit::Prefecture(cell.prefecture))
        });
        cells.map(|(_, measures)| i128::from(measures.volume)).sum()
    };
    let mut checked: BTreeMap<Comparison, u32> = BTreeMap::new();
    // The second day is within the season of the festival of 10 February.
    let rows = [case.evaluate("2024-03-15"), case.evaluate("2024-03-01")].concat();
    for row in rows.iter().filter(|row| row.measure == Measure::Volume) {
        let base = match row.comparison {
            Comparison::Yoy => row.period.year_before(row.days),
            Comparison::Pop => row.period.preceding(row.days).expect("it has one"),
            Comparison::Festival => row.period.festival_before(row.days).expect("it has one"),
            _ => continue,
        };
        assert_eq!(row.value, Some(naive(row.unit, row.scope, row.days).into()), "{row:?}");
        if let Some(found) = row.base {
            assert_eq!(found, naive(row.unit, row.scope, base).into(), "{row:?}");
        }
        *checked.entry(row.comparison).or_default() += 1;
    }
    assert!(checked.len() == 3 && checked.values().all(|checked| *checked > 50), "{checked:?}");
}

#[test]
fn equal_figures_share_a_place() {
    let mut case = Case::default();
    for (prefecture, now) in [(210_100, 110), (210_200, 120), (210_300, 110), (210_400, 101)] {
        case.add("2020-01-01", prefecture, Product::Express, 1, 100);
        case.add("2021-01-01", prefecture, Product::Express, 1, now);
    }
    let rows = case.evaluate("2021-06-30");
    let rank = |number| {
        let of = (Scope::Total, Measure::Revenue);
        row(&rows, prefecture(number), of, (YTD, Comparison::Yoy)).rank
    };
    assert_eq!(
        [210_100, 210_200, 210_300, 210_400].map(rank),
        [Some(2), Some(1), Some(2), Some(4)]
    );
}

#[test]
fn what_cannot_be_known_is_unknown_and_says_why() {
    let mut case = Case::default();
    case.add("2020-03-01", 210_100, Product::Express, 1, 100);
    case.add("2021-03-01", 210_100, Product::Express, 1, 110);
    let why = |case: &Case, as_of| {
        let rows = case.evaluate(as_of);
        let of = (Scope::Total, Measure::Revenue);
        let row = row(&rows, prefecture(210_100), of, (YTD, Comparison::Local));
        assert_eq!(row.light, Some(Light::Unknown));
        row.why
    };
    // Of January and February of last year nothing is known: 10 % would be a guess.
    case.data_from = Some(day("2020-03-01"));
    assert_eq!(why(&case, "2021-06-30"), Some(Why::BaseIncomplete));
    case.data_from = None;
    // Nor of the year before the log.
    assert_eq!(why(&case, "2020-06-30"), Some(Why::BaseIncomplete));
    assert_eq!(why(&case, "2021-06-30"), Some(Why::BenchmarkMissing));
    case.benchmark("local,prefecture,210200,,revenue,2021-01-01,2021-03-31,5");
    case.benchmark("local,province,210000,,revenue,2021-01-01,2021-03-31,5");
    assert_eq!(why(&case, "2021-06-30"), Some(Why::BenchmarkMissing), "an economy is its own");
    case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-03-31,5");
    case.benchmark("local,prefecture,210100,,revenue,2021-01-01,2021-09-30,50");
    let rows = case.evaluate("2021-06-30");
    let of = (Scope::Total, Measure::Revenue);
    let frozen = row(&rows, prefecture(210_100), of, (YTD, Comparison::Local));
    assert_eq!(frozen.days.last, day("2021-03-31"), "of the newest period that is over");
    check_gap(&frozen, "10", "5", Light::Green);
    case.benchmarks.truncate(case.benchmarks.rfind("local,prefecture").expect("the last row"));
    assert_eq!(why(&case, "2021-12-31"), Some(Why::BenchmarkStale));
}

#[test]
fn peers_are_the_other_provinces_by_their_weights() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_100, Product::Express, 1, 100);
    case.add("2021-01-01", 210_100, Product::Express, 1, 110);
    for row in [
        "220000,total,revenue,2021-01-01,2021-06-30,9.1",
        "210000,total,revenue,2021-01-01,2021-06-30,50",
    ] {
        case.benchmark(&format!("peer,province,{row}"));
    }
    // Heilongjiang has been revised; the later word counts.
    for (growth, published) in [("30", "2021-07-01"), ("13.1", "2021-08-01")] {
        let row = format!(
            "peer,province,230000,total,revenue,2021-01-01,2021-06-30,{growth},,{published},synthetic,3,\n"
        );
        case.benchmarks += &row;
    }
    let rows = case.evaluate("2021-06-30");
    let of = (Scope::Total, Measure::Revenue);
    for unit in [prefecture(210_100), Unit::Province(code(PROVINCE))] {
        // (9.1 + 3 × 13.1) ÷ 4
        check_gap(&row(&rows, unit, of, (YTD, Comparison::Peer)), "10", "-2.1", Light::Red);
    }
}

#[test]
fn ranks_move_since_the_end_of_the_month_before() {
    let mut case = Case::default();
    for (prefecture, may, june) in [(210_100, 120, 0), (210_200, 110, 40), (210_300, 100, 5)] {
        case.add("2020-05-31", prefecture, Product::Express, 1, 100);
        case.add("2021-05-31", prefecture, Product::Express, 1, may);
        case.add("2021-06-15", prefecture, Product::Express, 1, june);
    }
    let rows = case.evaluate("2021-06-30");
    let moved = |number| {
        let of = (Scope::Total, Measure::Revenue);
        let row = row(&rows, prefecture(number), of, (YTD, Comparison::Yoy));
        (row.rank, row.rank_change)
    };
    assert_eq!(moved(210_100), (Some(2), Some(-1)));
    assert_eq!(moved(210_200), (Some(1), Some(1)));
    assert_eq!(moved(210_300), (Some(3), Some(0)));
}

#[test]
fn the_festival_week_is_held_against_the_festival_week() {
    let mut case = Case::default();
    // The festival of 2023 was on 22 January, that of 2024 on 10 February.
    for (on, pieces) in [("2023-01-25", 100), ("2023-02-13", 300), ("2024-02-13", 110)] {
        case.add(on, 210_100, Product::Express, pieces, 1);
    }
    let rows = case.evaluate("2024-02-16");
    let of = |comparison| {
        let kind = (Scope::Total, Measure::Volume);
        row(&rows, prefecture(210_100), kind, (Period::Days7, comparison)).own
    };
    assert_eq!(of(Comparison::Festival), Some(percent("10")));
    assert_eq!(format!("{:.1}", growth::to_f64(of(Comparison::Yoy).expect("known"))), "-63.3");
}

#[test]
fn structure_concentration_and_peak_are_shares_of_a_whole() {
    let mut case = Case::default();
    case.add("2021-11-01", 210_100, Product::Express, 10, 300);
    case.add("2021-11-01", 210_200, Product::Savings, 0, 100);
    case.add("2021-01-01", 210_200, Product::Savings, 0, 0);
    case.add("2021-11-10", 210_100, Product::Express, 20, 0);
    let rows = case.evaluate("2021-11-10");
    let province = Unit::Province(code(PROVINCE));
    let of = |scope, measure, period, comparison| {
        row(&rows, province, (scope, measure), (period, comparison))
    };
    let structure = of(PARCEL, Measure::Structure, YTD, Comparison::Yoy);
    assert_eq!(structure.value, Some(percent("75")));
    let concentration = of(Scope::Total, Measure::Concentration, YTD, Comparison::Yoy);
    assert_eq!(concentration.value, Some(percent("62.5")), "0.75² + 0.25²");
    // 3 a day in November, 30 in 314 days of the year.
    let peak = of(PARCEL, Measure::Volume, Period::Mtd, Comparison::Peak);
    assert_eq!(peak.own, Some(percent("3040")));
}

/// A year that nobody has seen the end of is nobody's shame: the days after the as-of day count nothing.
#[test]
fn days_after_the_as_of_day_are_passed_over() {
    let mut case = Case::default();
    case.add("2020-01-01", 210_100, Product::Express, 1, 100);
    case.add("2021-01-01", 210_100, Product::Express, 1, 100);
    case.add("2021-07-01", 210_100, Product::Express, 1, 900);
    assert_eq!(value(&case, "2021-06-30", Scope::Total, Measure::Revenue, YTD), 10_000);
}
