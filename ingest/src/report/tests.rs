//! On a small province that is evaluated in memory.

mod forms;

use std::collections::BTreeMap;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::indicators::book::Unit;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light, Settings, Why};
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::reference::{Measure, Percent};
use postroad_schemas::units::{BusinessDay, Fen};

use super::document::{Block, Document};
use super::model::{Prefecture, Province, Report};
use super::rows::Row;
use super::words::Language;
use super::{Origin, Span, figures, html, league, markdown, model, rows, table};
use crate::publish::indicators::Evaluation;
use crate::publish::rows::indicators;
use crate::reference::ReferenceSet;

/// Growth of 8.4999 %, twice 10 %, 12 %; and something where there was nothing.
const REVENUE: [(u32, i64, i64); 5] = [
    (210_100, 1_000_000, 1_084_999),
    (210_200, 1_000_000, 1_100_000),
    (210_300, 2_000_000, 2_200_000),
    (210_400, 1_000_000, 1_120_000),
    (210_500, 0, 50_000),
];

fn as_of() -> BusinessDay {
    BusinessDay::from_civil(2021, 6, 30).expect("a date")
}

fn reference(others: &[(&str, &str)]) -> ReferenceSet {
    let mut text =
        "versus,level,code,line,measure,period_start,period_end,growth_pct,source\n".to_owned();
    for (code, _, _) in REVENUE {
        let row = format!("local,prefecture,{code},,revenue,2021-01-01,2021-06-30,8.5,synthetic\n");
        text.push_str(&row);
    }
    let mut files = BTreeMap::from([("benchmarks.csv".to_owned(), text)]);
    for (name, rows) in others {
        files.entry((*name).to_owned()).or_default().push_str(rows);
    }
    ReferenceSet::from_files(files).expect("a valid set")
}

fn report(span: Span) -> Report {
    report_with(span, as_of(), &[])
}

/// The way of every report: evaluated, put into a batch, read from it. The figures are of one day, and
/// the reference data have more rows.
fn report_with(span: Span, day: BusinessDay, others: &[(&str, &str)]) -> Report {
    let mut rollup = Rollup::default();
    for (code, before, now) in REVENUE {
        for (day, yuan) in [(day.year_before(), before), (day, now)] {
            let prefecture = PrefectureCode::new(code).expect("a code");
            let key = CellKey { day, prefecture, product: Product::Express };
            let revenue = Fen::new(i128::from(yuan) * 100);
            let service =
                Measures { due: 200, delivered: 190, on_time: 151, ..Measures::default() };
            rollup.add([(&key, &Measures { revenue, volume: yuan / 10, ..service })]);
        }
    }
    let reference = reference(others);
    let evaluation = Evaluation::of(as_of(), &rollup, &reference, Settings::default());
    let batch = indicators(as_of(), &evaluation.rows, &reference.version);
    let (rows, version) = rows::read(&batch, as_of()).expect("they are of this program");
    assert_eq!(rows.len(), evaluation.rows.len());
    assert_eq!(version, reference.version);
    let other_day = rows::read(&batch, as_of().plus_days(1)).expect("they are of this program");
    assert_eq!(other_day.0, []);
    Report {
        as_of: as_of(),
        period: span,
        periods: span.periods(as_of()),
        status: "complete",
        publish: 7,
        origin: Origin::Published,
        reference_version: version,
        red_below_pp: -2.0,
        behind: false,
        first_day: as_of().year_before(),
        base_incomplete: false,
        synthetic: true,
        unlisted_codes: Vec::new(),
        provinces: model::provinces(&rows, &reference.codebook, &span.periods(as_of())),
    }
}

fn province() -> Province {
    let [province] = <[Province; 1]>::try_from(report(Span::Day).provinces).expect("one province");
    province
}

fn of(province: &Province, code: u32) -> &Prefecture {
    let mut prefectures = province.prefectures.iter();
    prefectures.find(|prefecture| prefecture.code.get() == code).expect("it is there")
}

/// Every form in both languages.
fn forms(report: &Report) -> Vec<String> {
    let documents = Language::ALL.iter().map(|language| Document::of(report, *language));
    let forms = documents.flat_map(|document| {
        [table::render(&document, false), markdown::render(&document), html::render(&document)]
    });
    forms.collect()
}

#[test]
fn the_league_is_in_the_order_of_its_ranks() {
    let province = province();
    assert_eq!(province.code.get(), 210_000);
    let league: Vec<_> =
        province.prefectures.iter().map(|of| (of.code.get(), of.rank)).take(7).collect();
    let expected = [
        (210_400, Some(1)),
        (210_200, Some(2)),
        (210_300, Some(2)),
        (210_100, Some(4)),
        (210_500, None),
        (210_600, None),
        (210_700, None),
    ];
    assert_eq!(league, expected, "ties and those without a rank by code");
    assert_eq!(province.headline.prefectures, 14);
    let spread = province.headline.spread.expect("four are known");
    assert_eq!((spread.highest_code.get(), spread.lowest_code.get()), (210_400, 210_100));
    assert_eq!((spread.highest, spread.lowest), (12.0, 8.4999));
}

#[test]
fn a_month_shows_the_half_year_that_it_is_in() {
    let half = |month| {
        let day = BusinessDay::from_civil(2021, month, 15).expect("a date");
        Span::Month.periods(day)[2]
    };
    assert_eq!([1, 6, 7, 12].map(half), [Period::H1, Period::H1, Period::H2, Period::H2]);
}

#[test]
fn a_gap_that_would_round_to_nothing_is_shown() {
    let province = province();
    let lagging = &of(&province, 210_100).lagging;
    // In total and in parcels, which are all there is.
    let held: Vec<_> = lagging.iter().map(|row| (row.comparison, row.light)).collect();
    assert_eq!(held, [(Comparison::Local, Some(Light::Yellow)); 2]);
    assert_eq!((province.headline.laggards, province.headline.lagging["local"]), (1, 1));
    for form in forms(&report(Span::Month)) {
        assert!(form.contains("-0.0001"), "{form}");
        assert!(!form.contains("yellow 0.0") && !form.contains("黄 0.0"), "{form}");
    }
}

#[track_caller]
fn check_gap(gap: f64, light: Light, expected: &str) {
    assert_eq!(figures::gap(gap, Some(light), -2.0), expected);
}

#[test]
fn gaps_have_as_many_digits_as_they_need() {
    check_gap(-0.0001, Light::Yellow, "-0.0001");
    check_gap(-0.04, Light::Yellow, "-0.04");
    check_gap(-0.05, Light::Yellow, "-0.1");
    check_gap(-3.5, Light::Red, "-3.5");
    check_gap(-1e-12, Light::Yellow, "-0.000000000001");
    check_gap(-1e-20, Light::Yellow, "-1e-20");
    check_gap(0.0, Light::Green, "0.0");
    check_gap(0.04, Light::Green, "0.0");
    check_gap(2.04, Light::Green, "+2.0");
    check_gap(-2.0, Light::Yellow, "-2.0");
    check_gap(-1.98, Light::Yellow, "-1.98");
    check_gap(-1.9996, Light::Yellow, "-1.9996");
    check_gap(-2.03, Light::Red, "-2.03");
    check_gap(-2.000_004, Light::Red, "-2.000004");
    check_gap(-2.06, Light::Red, "-2.1");
    // A setting of another number of decimals.
    let red_below = figures::double(Percent::parse("-2.15").expect("a percentage"));
    let of = |gap| figures::gap(gap, Some(Light::Yellow), red_below);
    assert_eq!([-2.0, -2.14, -2.149].map(of), ["-2.0", "-2.1", "-2.1"]);
    assert_eq!([-2.15, -2.16, -2.2].map(of), ["-2.15", "-2.2", "-2.2"]);
    assert_eq!(figures::points(-0.04), "0.0", "a change that is none has no sign");
}

#[test]
fn figures_are_in_the_units_of_the_language() {
    assert_eq!(Language::En.money(1_234_567.4), "1,234,567 yuan");
    assert_eq!(Language::En.money(-12_345_678.0), "-12.35 million yuan");
    assert_eq!(Language::Zh.money(1_234_567.0), "123.46 万元");
    assert_eq!(Language::Zh.money(484_210_000_000.0), "4,842.10 亿元");
    assert_eq!(Language::Zh.growth(45.8), "+45.8%");
    assert_eq!(Language::En.growth(-13.14), "-13.1 %");
}

#[test]
fn what_is_unknown_has_a_reason_and_no_number() {
    let report = report(Span::Day);
    let province = &report.provinces[0];
    let worst = &of(province, 210_500).worst["local"];
    assert_eq!((worst.light, worst.why), (Some(Light::Unknown), Some(Why::BaseNotPositive)));
    assert_eq!((worst.gap_pp, worst.own_growth), (None, None));
    assert!(of(province, 210_500).lagging.is_empty(), "what is unknown does not lag");
    assert_eq!((province.headline.unknown["local"], province.headline.unknown["plan"]), (10, 14));
    let missing = province.unknown.iter().find(|unknown| {
        (unknown.comparison, unknown.measure) == (Comparison::Industry, Measure::Volume)
    });
    let missing = missing.expect("nobody has published it");
    assert_eq!(missing.why, Some(Why::BenchmarkMissing));
    assert_eq!(missing.prefecture_codes.len() + usize::from(missing.province), 5);

    let text = table::render(&Document::of(&report, Language::En), false);
    let shown = |word: &str| text.lines().any(|line| line.contains("Benxi") && line.contains(word));
    assert!(shown("? unknown: the base is 0 or below"), "{text}");
    assert!(text.contains("1 of 14 prefectures lag, 10 unknown"), "{text}");
    assert!(text.contains("industry, parcel volume"), "what is missing is named: {text}");
}

/// "1 of 14 behind" is no good news where nobody knows of ten of the others.
#[test]
fn the_first_sentence_says_of_how_many_nothing_is_known() {
    let mut report = report(Span::Day);
    let first = |report: &Report, language| {
        let document = Document::of(report, language);
        let Block::List(items) = &document.sections[0].parts[0].block else { panic!("a list") };
        items[0].text.clone()
    };
    let check = |report: &Report, en: &str, zh: &str| {
        assert_eq!(first(report, Language::En), en);
        assert_eq!(first(report, Language::Zh), zh);
    };
    check(
        &report,
        "1 of 14 prefectures behind their local economy (10 unknown); 1 of 14 with a lagging indicator",
        "14 个地市中，1 个与当地经济社会发展水平不相当（10 个未知），1 个有落后指标",
    );
    report.provinces[0].headline.unknown.insert("local", 0);
    check(
        &report,
        "1 of 14 prefectures behind their local economy; 1 of 14 with a lagging indicator",
        "14 个地市中，1 个与当地经济社会发展水平不相当，1 个有落后指标",
    );
    report.provinces[0].headline.unknown.insert("local", 14);
    check(
        &report,
        "Whether prefectures are behind their local economy is unknown; 1 of 14 with a lagging indicator",
        "14 个地市是否与当地经济社会发展水平相当未知，1 个有落后指标",
    );
}

/// Rows of `benchmarks.csv`: the industry's parcels up to the end of March.
const INDUSTRY: &str = "\
industry,province,210000,parcel,volume,2021-01-01,2021-03-31,45.8,synthetic
industry,province,210000,parcel,revenue,2021-01-01,2021-03-31,26.6,synthetic
";

/// Growth is held against a benchmark over the benchmark's own period, and that is what is said.
#[test]
fn growth_of_an_earlier_period_is_not_said_to_be_of_the_year_to_date() {
    let march = BusinessDay::from_civil(2021, 3, 31).expect("a date");
    let report = report_with(Span::Day, march, &[("benchmarks.csv", INDUSTRY)]);
    let text = markdown::render(&Document::of(&report, Language::En));
    let told = "Against the industry, parcel volume, to 2021-03-31: ";
    assert!(text.contains(told), "{text}");
    assert!(text.contains("| ✗ red -37.3 volume, to 2021-03-31 |"), "the worst gap, too: {text}");
    assert!(!text.contains("Against the industry, parcel volume, year to date"), "{text}");
    let text = markdown::render(&Document::of(&report, Language::Zh));
    assert!(text.contains("寄递收寄量（至 2021-03-31）同比"), "{text}");
    // One that is of the year to date is said to be.
    let industry = INDUSTRY.replace("2021-03-31", "2021-06-30");
    let report = report_with(Span::Day, as_of(), &[("benchmarks.csv", &industry)]);
    let text = markdown::render(&Document::of(&report, Language::En));
    assert!(text.contains("Against the industry, parcel volume, year to date: "), "{text}");
    assert!(!text.contains("to 2021-06-30"), "{text}");
}

#[test]
fn an_indicator_of_a_part_of_the_year_has_both_its_ends() {
    let mut row = province().headline.revenue.expect("it is known");
    let period = |row: &Row, language| league::period(row, as_of(), language);
    assert_eq!(period(&row, Language::En), None, "the year to date goes without saying");
    row.period_start = BusinessDay::from_civil(2021, 4, 1).expect("a date");
    assert_eq!(period(&row, Language::En).as_deref(), Some("2021-04-01 to 2021-06-30"));
    assert_eq!(period(&row, Language::Zh).as_deref(), Some("2021-04-01 至 2021-06-30"));
}

/// Ends are those of the ranks: two growths that are the same double need not be the same.
#[test]
fn the_ends_of_a_spread_are_the_first_and_the_last_of_the_ranks() {
    let growth = province().headline.revenue.expect("it is known");
    let of = |code, rank, own| Row {
        unit: Unit::Prefecture(PrefectureCode::new(code).expect("a code")),
        rank: Some(rank),
        own_growth: Some(own),
        ..growth.clone()
    };
    let ranked =
        [of(210_100, 1, 12.0), of(210_200, 2, 12.0), of(210_300, 4, 8.0), of(210_400, 3, 8.0)];
    let [province] = <[Province; 1]>::try_from(model::provinces(
        &ranked,
        &reference(&[]).codebook,
        &Span::Day.periods(as_of()),
    ))
    .expect("one province");
    let spread = province.headline.spread.expect("four are known");
    assert_eq!((spread.highest_code.get(), spread.lowest_code.get()), (210_100, 210_300));
}

/// Case 11 of the domain: 5.00 % against 100 ÷ 1,950 at the year's start, and no movement.
#[test]
fn the_balance_share_is_among_the_figures() {
    let balances = "\
code,date,own_yuan,market_yuan,source
210100,2020-12-31,100000000,1950000000,synthetic
210100,2021-06-29,100000000,2000000000,synthetic
";
    let report = report_with(Span::Day, as_of(), &[("balances.csv", balances)]);
    let province = &report.provinces[0];
    let share = of(province, 210_100).share.as_ref().expect("it is known");
    assert_eq!((share.measure, share.value), (Measure::Share, Some(5.0)));
    assert_eq!(of(province, 210_200).share, None, "nobody has told its balances");
    let text = markdown::render(&Document::of(&report, Language::En));
    let league = text.lines().find(|line| line.starts_with("| 4 | Shenyang")).expect("its row");
    assert!(league.contains("| 5.0 % | -0.1 pp |"), "{league}");
    // A province has a share where every prefecture has one.
    let mut all = balances.to_owned();
    for code in (2..=14).map(|number| (210_000 + number * 100).to_string()) {
        let rows = balances.lines().skip(1).map(|row| row.replace("210100", &code) + "\n");
        all.extend(rows);
    }
    let report = report_with(Span::Day, as_of(), &[("balances.csv", &all)]);
    let figures = &report.provinces[0].figures;
    assert_eq!(figures.last().expect("some").measure, Measure::Share);
    let text = markdown::render(&Document::of(&report, Language::En));
    let shown = "| Finance balance share, and its change since the year began | – | – | – | – | 5.0 % | -0.1 pp |";
    assert!(text.contains(shown), "{text}");
}

#[test]
fn service_is_told_of_every_prefecture() {
    let report = report(Span::Day);
    let rates: Vec<_> = of(&report.provinces[0], 210_100)
        .service
        .iter()
        .map(|row| (row.measure, row.period, row.value))
        .collect();
    let of_day = |measure, rate| (measure, Period::Day, Some(rate));
    assert!(rates.contains(&of_day(Measure::DeliveredRate, 95.0)), "{rates:?}");
    assert!(rates.contains(&of_day(Measure::OnTimeRate, 75.5)), "{rates:?}");
    let text = markdown::render(&Document::of(&report, Language::En));
    let line = "| Shenyang | 95.0 % | 95.0 % | 95.0 % | 75.5 % | 75.5 % | 75.5 % |";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("| Huludao | – |"), "nothing was due there: {text}");
    assert!(!text.contains("100 %"), "{text}");
}

/// A parcel is due on one day and delivered on another, so a day may deliver more than was due on it.
#[test]
fn a_rate_above_100_per_cent_is_explained() {
    let mut report = report(Span::Day);
    let service = &mut report.provinces[0].prefectures[0].service;
    service[0].value = Some(100.0);
    assert!(forms(&report).iter().all(|form| !form.contains("of its first attempt")));
    report.provinces[0].prefectures[0].service[0].value = Some(104.2);
    let told = forms(&report);
    let told = told.iter().filter(|form| {
        let form = form.split_whitespace().collect::<Vec<_>>().join(" ");
        form.contains("Rates above 100 %: a parcel is due")
            || form.contains("比率可超过 100%：应投")
    });
    assert_eq!(told.count(), 6);
}

/// Without a year before every growth is unknown for the same reason, which is said once.
#[test]
fn what_lacks_its_base_is_told_in_one_note() {
    let mut report = report(Span::Day);
    report.base_incomplete = true;
    for prefecture in &mut report.provinces[0].prefectures {
        for row in prefecture.figures.iter_mut().chain(prefecture.worst.values_mut()) {
            (row.own_growth, row.gap_pp) = (None, None);
            (row.light, row.why) = (Some(Light::Unknown), Some(Why::BaseIncomplete));
        }
    }
    let text = markdown::render(&Document::of(&report, Language::En));
    let fushun = text.lines().find(|line| line.starts_with("| 1 | Fushun ")).expect("its row");
    assert_eq!(
        fushun,
        "| 1 | Fushun | – | 1,120,000 | – | 1,120,000 | – | 1,120,000 | – | – | – | – | – |"
    );
    let revenue = report.provinces[0].headline.revenue.as_mut().expect("it is there");
    (revenue.own_growth, revenue.why) = (None, Some(Why::BaseIncomplete));
    let told = table::render(&Document::of(&report, Language::En), false);
    assert!(told.contains("yuan; year on year unknown\n"), "{told}");
    assert!(text.contains("growth is unknown, and shown as –, where its base begins"), "{text}");
}
