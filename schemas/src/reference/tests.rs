//! Sets that are sound, and every fault that a set may have.

use super::*;

const BENCHMARKS: &str = "\
versus,level,code,line,measure,period_start,period_end,growth_pct,basis,published_at,source
local,prefecture,210100,,revenue,2021-01-01,2021-06-30,12.5,comparable prices,2021-07-20,synthetic
industry,nation,,parcel,volume,2021-01-01,2021-06-30,45.8,,2021-07-14,State Post Bureau
";

fn faults(files: ReferenceFiles<'_>) -> Vec<String> {
    let faults = Reference::from_csv(files).expect_err("faults");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_set_is_read() {
    let reference = Reference::from_csv(ReferenceFiles {
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
    });
    let reference = reference.expect("it is sound");
    assert_eq!(reference.benchmarks.len(), 2);
    assert_eq!(reference.benchmarks[1].growth, Percent::from_millionths(45_800_000));
    assert_eq!(
        (reference.benchmarks[1].level, reference.benchmarks[1].code),
        (Level::Nation, None)
    );
    assert_eq!(reference.plans[0].amount, 10_000_000, "fen");
    let baseline = reference.baselines.values().next().expect("one");
    assert_eq!(baseline.revenue, Fen::new(-125));
    assert_eq!(Reference::from_csv(ReferenceFiles::default()), Ok(Reference::default()));
}

#[test]
fn every_fault_is_told_with_its_place_and_a_remedy() {
    let benchmarks = BENCHMARKS
        .replace("12.5", "a lot")
        .replace("210100", "21010")
        .replace("industry,nation", "weather,nation")
        .replace("2021-07-14", "");
    let found = faults(ReferenceFiles { benchmarks: Some(&benchmarks), ..Default::default() });
    assert_eq!(
        found,
        [
            "benchmarks.csv:2: code: `21010` is not a GB/T 2260 code; write six digits",
            "benchmarks.csv:2: growth_pct: `a lot` is no number; write a decimal of at most 6 decimals",
            "benchmarks.csv:3: versus: `weather` is not known; write one of local, industry, peer, plan",
            "benchmarks.csv:3: published_at: is empty; write YYYY-MM-DD",
        ]
    );
    let curves =
        "code,line,measure,date,share_pct\n,,revenue,2021-06-30,46\n,,revenue,2021-07-31,45\n";
    let found = faults(ReferenceFiles { plan_curves: Some(curves), ..Default::default() });
    assert_eq!(
        found,
        ["plan_curves.csv:3: share_pct: the curve falls; a cumulative share never does"]
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
fn percentages_are_exact() {
    for (text, millionths) in [
        ("45.8", 45_800_000),
        ("-0.000001", -1),
        ("0", 0),
        ("100", 100_000_000),
        ("7.10", 7_100_000),
    ] {
        assert_eq!(Percent::parse(text), Some(Percent::from_millionths(millionths)), "{text}");
    }
    for text in ["", "-", ".", "1.", ".5", "1e3", "+1", "0.0000001", "1000000000", "NaN"] {
        assert_eq!(Percent::parse(text), None, "{text}");
    }
    assert_eq!(Percent::from_millionths(-2_500_000).to_string(), "-2.5");
    assert_eq!(Percent::from_millionths(45_000_000).to_string(), "45");
}
