//! Sets that are sound, and every fault that a set may have.

use super::*;

const BENCHMARKS: &str = "\
versus,level,code,line,measure,period_start,period_end,growth_pct,basis,published_at,source
local,prefecture,210100,,revenue,2021-01-01,2021-06-30,12.5,comparable prices,2021-07-20,synthetic
industry,nation,,parcel,volume,2021-01-01,2021-06-30,45.8,,2021-07-14,State Post Bureau
";

fn faults(files: ReferenceFiles<'_>) -> Vec<String> {
    let faults = Reference::from_csv(files, None).expect_err("faults");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_set_is_read() {
    let reference = Reference::from_csv(
        ReferenceFiles {
            benchmarks: Some(BENCHMARKS),
            plans: Some(
                "code,line,measure,year,amount,source\n210100,total,revenue,2021,100000.00,plan\n",
            ),
            plan_curves: Some("code,line,measure,date,share_pct\n,,revenue,2021-06-30,46.0\n"),
            balances: Some(
                "code,date,own_yuan,market_yuan,source\n210100,2020-12-31,100000000,1950000000,bank\n",
            ),
            baselines: Some(
                "date,code,product,volume,revenue_yuan,balance_yuan\n2020-06-30,210100,express,5,-1.25,0\n",
            ),
        },
        None,
    );
    let reference = reference.expect("it is sound");
    assert_eq!(reference.benchmarks.len(), 2);
    assert_eq!(reference.benchmarks[1].percent, Percent::from_millionths(45_800_000));
    assert_eq!(
        (reference.benchmarks[1].level, reference.benchmarks[1].code),
        (Level::Nation, None)
    );
    assert_eq!(reference.plans[0].amount, 10_000_000, "fen");
    let baseline = reference.baselines.values().next().expect("one");
    assert_eq!(baseline.revenue, Fen::new(-125));
    assert_eq!(Reference::from_csv(ReferenceFiles::default(), None), Ok(Reference::default()));
}

#[test]
fn every_fault_is_told_with_its_place_and_a_remedy() {
    let benchmarks = BENCHMARKS
        .replace("12.5", "a lot")
        .replace("210100", "21010")
        .replace("industry,nation", "weather,nation")
        .replace("2021-07-14", "someday");
    let found = faults(ReferenceFiles { benchmarks: Some(&benchmarks), ..Default::default() });
    assert_eq!(
        found,
        [
            "benchmarks.csv:2: code: `21010` is not a GB/T 2260 code; write six digits",
            "benchmarks.csv:2: growth_pct: `a lot` is no number; write a decimal of at most 6 decimals",
            "benchmarks.csv:3: versus: `weather` is not known; write one of local, industry, peer",
            "benchmarks.csv:3: published_at: `someday` is not a date; write YYYY-MM-DD or leave it empty",
        ]
    );
    let curves =
        "code,line,measure,date,share_pct\n,,revenue,2021-06-30,46\n,,revenue,2021-07-31,45\n";
    let found = faults(ReferenceFiles { plan_curves: Some(curves), ..Default::default() });
    assert_eq!(
        found,
        [
            "plan_curves.csv:3: share_pct: the curve falls, from or to the 46 of 2021-06-30; write cumulative shares, which never do"
        ]
    );
    let balances = "code,date,own_yuan,market_yuan,source\n210100,2021-06-30,5,4,bank\n";
    let found = faults(ReferenceFiles { balances: Some(balances), ..Default::default() });
    assert!(found[0].contains("no less than own_yuan"), "{found:?}");
    let plans = "code,line,measure,year,amount,source\n210100,,revenue,2021,1.001,x\n210100,,share,2021,1,x\n";
    let found = faults(ReferenceFiles { plans: Some(plans), ..Default::default() });
    assert_eq!(found.len(), 2, "{found:?}");
    let found = faults(ReferenceFiles { plans: Some("code,line\n"), ..Default::default() });
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_share_is_no_growth_and_a_weight_no_fraction() {
    let columns = "versus,level,code,line,measure,period_start,period_end,growth_pct,share_pct,weight,source\n";
    let row = |rest: &str| {
        let text = format!(
            "{columns}industry,prefecture,210100,finance,share,2021-01-01,2021-12-31,{rest},x\n"
        );
        Reference::from_csv(ReferenceFiles { benchmarks: Some(&text), ..Default::default() }, None)
    };
    let share = row(",5.13,3").expect("it is sound").benchmarks;
    assert_eq!((share[0].percent, share[0].weight), (Percent::from_millionths(5_130_000), 3));
    let fault = |rest| row(rest).expect_err("a fault")[0].to_string();
    assert!(fault("5,,").contains("growth_pct: of the measure share the share_pct is given"));
    assert!(fault(",,").contains("share_pct: is empty; write a decimal"));
    assert!(fault(",5.13,0.5").contains("weight: `0.5` is no weight"));
}

#[test]
fn a_peer_may_be_the_peer_of_one_province_alone() {
    let columns =
        "versus,level,code,province,line,measure,period_start,period_end,growth_pct,source\n";
    let read = |place: &str| {
        let text = format!("{columns}{place},,revenue,2021-01-01,2021-06-30,7.1,synthetic\n");
        let files = ReferenceFiles { benchmarks: Some(&text), ..Default::default() };
        Reference::from_csv(files, Some(&Codebook::liaoning()))
    };
    let province = |place| read(place).expect("it is sound").benchmarks[0].province;
    assert_eq!(province("peer,province,220000,210000"), PrefectureCode::new(210_000));
    assert_eq!(province("peer,province,220000,"), None, "of every province");
    let fault = |place| read(place).expect_err("a fault")[0].to_string();
    for (place, problem) in [
        ("local,prefecture,210100,210000", "leave it empty where versus is local"),
        ("peer,province,220000,Liaoning", "`Liaoning` is not a GB/T 2260 code"),
        ("peer,province,220000,230000", "230000 is no province_code of prefectures.csv"),
        ("peer,province,210000,210000", "no province is its own peer"),
    ] {
        let fault = fault(place);
        assert!(
            fault.contains("benchmarks.csv:2: province: ") && fault.contains(problem),
            "{fault}"
        );
    }
}

#[test]
fn a_balance_and_a_curve_say_whose_word_they_are() {
    let reference = Reference::from_csv(ReferenceFiles::LIAONING, None).expect("it is sound");
    let mut balances = reference.balances.values().flat_map(BTreeMap::values);
    assert!(balances.all(|balance| balance.source == "synthetic"));
    let synthetic = BTreeSet::from(["synthetic".to_owned()]);
    assert!(reference.curves.values().all(|curve| curve.sources == synthetic));
    let text = "code,line,measure,date,share_pct\n,,revenue,2021-12-31,100\n";
    let files = ReferenceFiles { plan_curves: Some(text), ..Default::default() };
    let curves = Reference::from_csv(files, None).expect("no source is asked for").curves;
    assert!(curves.values().all(|curve| curve.sources.is_empty()));
}

/// A set of benchmarks alone, of which each row is held against something.
fn benchmarks(rows: &str) -> Result<Vec<Benchmark>, Vec<String>> {
    let columns =
        "versus,level,code,line,measure,period_start,period_end,growth_pct,published_at,source\n";
    let text = [columns, rows].concat();
    let files = ReferenceFiles { benchmarks: Some(&text), ..Default::default() };
    let read = Reference::from_csv(files, None).map(|reference| reference.benchmarks);
    read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn of_one_figure_there_is_one_row_unless_one_is_the_later_word() {
    let row = |line: &str, published: &str| {
        format!("peer,province,220000,{line},revenue,2021-01-01,2021-06-30,7,{published},x\n")
    };
    for (first, second) in [("", ""), ("2021-07-01", "2021-07-01")] {
        let found = benchmarks(&[row("", first), row("total", second)].concat());
        let found = found.expect_err("which of them counts?");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("benchmarks.csv:3: published_at: "), "{found:?}");
        assert!(found[0].contains("stands in line 2"), "{found:?}");
    }
    for (first, second) in [("", "2021-07-01"), ("2021-08-01", "2021-07-01")] {
        let found = benchmarks(&[row("", first), row("", second)].concat());
        assert_eq!(found.map(|rows| rows.len()), Ok(2), "the later word counts");
    }
    assert!(benchmarks(&[row("", ""), row("parcel", "")].concat()).is_ok(), "another line");
}

#[test]
fn a_figure_of_no_place_is_refused_and_one_that_nothing_is_held_against_is_not() {
    let more = "industry,nation,,basic,revenue,2021-01-01,2021-06-30,7,,x\n";
    assert_eq!(benchmarks(more).expect("statistics have more than is asked").len(), 1);
    for (row, column, remedy) in [
        ("local,nation,,,revenue", "level", "write prefecture or province"),
        ("peer,nation,,,revenue", "level", "write province"),
    ] {
        let found = benchmarks(&format!("{row},2021-01-01,2021-06-30,7,,x\n"));
        let found = found.expect_err("it would never be looked at");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("benchmarks.csv:2: {column}: ")), "{found:?}");
        assert!(found[0].contains(remedy), "{found:?}");
    }
}

#[test]
fn a_column_of_another_name_is_misspelt_unless_it_says_that_it_is_ones_own() {
    let read = |columns: &str| {
        let text = format!("code,date,own_yuan,market_yuan,source{columns}\n");
        Reference::from_csv(ReferenceFiles { balances: Some(&text), ..Default::default() }, None)
    };
    assert!(read(",x_checked_by, x_on,").is_ok(), "one's own, and what spreadsheets leave");
    let fault = |columns| read(columns).expect_err("a fault")[0].to_string();
    let misspelt = fault(",publised_at");
    assert!(misspelt.starts_with("balances.csv:1: publised_at: is no column"), "{misspelt}");
    assert!(misspelt.contains("code, date, own_yuan, market_yuan, source"), "{misspelt}");
    assert!(misspelt.contains("x_"), "{misspelt}");
    assert!(fault(",source").contains("stands twice"));
    let names = Codebook::LIAONING_CSV.replace("valid_to", "valid_until");
    let found = Codebook::from_csv("prefectures.csv", &names, None).expect_err("a fault");
    assert!(found[0].to_string().contains("prefectures.csv:1: valid_until"), "{found:?}");
}

#[test]
fn a_plan_is_of_something_and_its_curve_ends_with_the_year() {
    let columns = "code,line,measure,year,amount,source\n";
    for amount in ["0", "-1.5"] {
        let plans = format!("{columns}210100,,revenue,2021,{amount},x\n");
        let found = faults(ReferenceFiles { plans: Some(&plans), ..Default::default() });
        assert_eq!(found, ["plans.csv:2: amount: is no plan; write an amount above 0, or no row"]);
    }
    let curve = |rows: &str| {
        let text = format!("code,line,measure,date,share_pct\n{rows}");
        let files = ReferenceFiles { plan_curves: Some(&text), ..Default::default() };
        let read = Reference::from_csv(files, None).map(|reference| reference.curves);
        read.map_err(|faults| faults[0].to_string())
    };
    let shares = |rows: &str| -> Vec<_> {
        let curves = curve(rows).expect("it is sound");
        let shares = curves.into_values().flat_map(|curve| curve.shares);
        shares.map(|(day, share)| format!("{day} {share}")).collect()
    };
    let implied = ["2021-06-30 46", "2021-12-31 100"];
    assert_eq!(shares(",,revenue,2021-06-30,46\n"), implied, "the end of the year is implied");
    assert_eq!(shares(",,revenue,2021-06-30,46\n,,revenue,2021-12-31,100\n"), implied);
    assert_eq!(shares(",,revenue,2021-12-01,100\n").len(), 2, "met before the year's end");
    let fault = curve(",,revenue,2021-12-31,98.5\n").expect_err("it never is met");
    assert!(fault.starts_with("plan_curves.csv:2: share_pct: "), "{fault}");
    assert!(fault.contains("write 100 on 31 December"), "{fault}");
}

#[test]
fn what_an_earlier_release_accepted_is_read_as_it_was() {
    let plans = "code,line,measure,year,amount,source,weigth\n210100,,revenue,2021,0,x,1\n";
    let files = ReferenceFiles { plans: Some(plans), ..Default::default() };
    assert_eq!(faults(files).len(), 2);
    let kept = Reference::from_kept_csv(files, None).expect("it can be read");
    assert_eq!(kept.plans[0].amount, 0);
    let plans = plans.replace("210100", "21010");
    let files = ReferenceFiles { plans: Some(&plans), ..Default::default() };
    assert_eq!(Reference::from_kept_csv(files, None).map_err(|faults| faults.len()), Err(1));
}

#[test]
fn the_built_in_set_is_sound_and_says_what_nobody_has_published() {
    let reference = Reference::from_csv(ReferenceFiles::LIAONING, Some(&Codebook::liaoning()))
        .expect("it is sound");
    let published = |level, code: Option<u32>, measure, end: &str| {
        let found = reference.benchmarks.iter().find(|benchmark| {
            (benchmark.level, benchmark.measure) == (level, measure)
                && benchmark.code.map(PrefectureCode::get) == code
                && benchmark.period_end.to_string() == end
                && benchmark.source != "synthetic"
        });
        found.map(|benchmark| benchmark.percent.to_string())
    };
    // DOMAIN's figures, marked [F] there.
    for (level, code, measure, end, percent) in [
        (Level::Nation, None, Measure::Volume, "2021-06-30", "45.8"),
        (Level::Nation, None, Measure::Revenue, "2021-06-30", "26.6"),
        (Level::Nation, None, Measure::Volume, "2021-03-31", "75"),
        (Level::Nation, None, Measure::Volume, "2021-12-31", "29.9"),
        (Level::Nation, None, Measure::Revenue, "2021-12-31", "17.5"),
        (Level::Province, Some(210_000), Measure::Revenue, "2021-12-31", "5.8"),
        (Level::Prefecture, Some(211_200), Measure::Revenue, "2021-12-31", "6.1"),
        (Level::Prefecture, Some(210_100), Measure::Revenue, "2021-09-30", "8"),
        (Level::Prefecture, Some(210_300), Measure::Revenue, "2021-09-30", "7"),
    ] {
        assert_eq!(
            published(level, code, measure, end).as_deref(),
            Some(percent),
            "{code:?} {end}"
        );
    }
    let of_cities = reference.benchmarks.iter().filter(|row| row.level == Level::Prefecture);
    let published: Vec<_> = of_cities.filter(|row| row.source != "synthetic").collect();
    assert_eq!(published.len(), 3, "no other city's figure is published");
    assert!(reference.plans.iter().all(|plan| plan.source == "synthetic"));
}

#[test]
fn money_is_written_as_it_is_read() {
    for (fen, text) in
        [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-125, "-1.25"), (10_000, "100.00")]
    {
        assert_eq!(yuan(Fen::new(fen)), text);
        assert_eq!(numbers::YUAN.parse(text).map(i128::from), Some(fen));
    }
}

#[test]
fn percentages_are_exact() {
    for (text, millionths) in [
        ("45.8", 45_800_000),
        ("-0.000001", -1),
        ("0", 0),
        ("100", 100_000_000),
        ("7.10", 7_100_000),
        ("+5.6", 5_600_000),
        ("999999999.999999", 999_999_999_999_999),
    ] {
        assert_eq!(Percent::parse(text), Some(Percent::from_millionths(millionths)), "{text}");
    }
    for text in ["", "-", ".", "1.", ".5", "1e3", "+-1", "0.0000001", "1000000000", "NaN"] {
        assert_eq!(Percent::parse(text), None, "{text}");
    }
    assert_eq!(Percent::from_millionths(-2_500_000).to_string(), "-2.5");
    assert_eq!(Percent::from_millionths(45_000_000).to_string(), "45");
}
