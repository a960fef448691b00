//! The sums of every period at the edges of day, month, quarter and year.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::units::{BusinessDay, Fen, Span};

use super::*;
use crate::publish::manifest::{MANIFEST_FORMAT, Manifest, ShardEntry, Totals};
use crate::reference::ReferenceSet;

pub(super) fn date(text: &str) -> BusinessDay {
    let part = |range: std::ops::Range<usize>| text[range].parse().expect("digits");
    let year = text[..4].parse().expect("digits");
    BusinessDay::from_civil(year, part(5..7), part(8..10)).expect("a date")
}

pub(super) fn code(number: u32) -> PrefectureCode {
    PrefectureCode::new(number).expect("six digits")
}

/// Cells of Shenyang's express parcels, one parcel and 1.01 yuan for each day given.
fn rollup(days: &[&str]) -> Rollup {
    let mut rollup = Rollup::default();
    for day in days {
        let key = CellKey { day: date(day), prefecture: code(210_100), product: Product::Express };
        let measures = Measures { volume: 1, revenue: Fen::new(101), ..Measures::default() };
        rollup.add([(&key, &measures)]);
    }
    rollup
}

pub(super) fn snapshot(
    rollup: Rollup,
    watermarks: &[Option<Timestamp>],
    published_at: Timestamp,
) -> Snapshot {
    let shard = |(partition, watermark): (usize, &Option<Timestamp>)| ShardEntry {
        source: "kafka".to_owned(),
        topic: "parcel.events".to_owned(),
        partition: i32::try_from(partition).expect("few"),
        incarnation: 0,
        seq: Some(1),
        first_offset: None,
        next_offset: Some(1),
        watermark: *watermark,
        closed: false,
        released_through: None,
    };
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        publish: 1,
        published_at,
        shards: watermarks.iter().enumerate().map(shard).collect(),
        totals: Totals::default(),
        dead_letters: 0,
        complete_without_through: None,
        complete_through: None,
        final_through: None,
        reference: String::new(),
        indicators: None,
        files: BTreeMap::new(),
        history: BTreeMap::new(),
    };
    let reference = Arc::new(ReferenceSet::liaoning());
    Snapshot { manifest: Arc::new(manifest), rollup: Arc::new(rollup), reference, evaluation: None }
}

pub(super) fn scrape(snapshot: &Snapshot) -> String {
    text(snapshot).expect("an exposition")
}

/// The value of the one series of a metric that has these labels.
#[track_caller]
pub(super) fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut found = text.lines().filter(|line| {
        let series = line.strip_prefix(name);
        series.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let value = found.next().and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    assert!(found.next().is_none(), "{name} {labels:?} is ambiguous");
    value
}

/// Parcels on these days make these volumes on `as_of`: of the day, month, quarter and year.
#[track_caller]
fn check(as_of: &str, days: &[&str], volumes: [Option<i32>; 4]) {
    let noon = date(as_of).start() + Span::hours(12);
    let text = scrape(&snapshot(rollup(days), &[Some(noon)], noon + Span::hours(1)));
    for (period, expect) in ["day", "mtd", "qtd", "ytd"].into_iter().zip(volumes) {
        let volume = value(&text, &format!("postroad_{period}_volume"), &[]);
        assert_eq!(volume, expect.map(f64::from), "{period} volume on {as_of}");
        let revenue = value(&text, &format!("postroad_{period}_revenue_yuan"), &[]);
        let expect = expect.map(|count| f64::from(count * 101) / 100.0);
        assert_eq!(revenue, expect, "{period} revenue on {as_of}");
    }
}

#[test]
fn a_period_runs_from_its_first_day_to_the_as_of_day() {
    let days = [
        "2020-12-31",
        "2021-01-01",
        "2021-03-31",
        "2021-04-01",
        "2021-05-31",
        "2021-06-01",
        "2021-06-29",
        "2021-06-30",
        "2021-07-01",
    ];
    check("2021-06-30", &days, [Some(1), Some(3), Some(5), Some(7)]);
    check("2021-06-29", &days, [Some(1), Some(2), Some(4), Some(6)]);
    check("2021-07-01", &days, [Some(1), Some(1), Some(1), Some(8)]);
    check("2021-05-31", &days, [Some(1), Some(1), Some(2), Some(4)]);
    check("2021-01-01", &days, [Some(1), Some(1), Some(1), Some(1)]);
    check("2020-12-31", &days, [Some(1), Some(1), Some(1), Some(1)]);
}

#[test]
fn a_series_without_anything_in_its_period_is_absent() {
    check("2021-02-01", &["2021-01-01"], [None, None, Some(1), Some(1)]);
    check("2021-01-01", &["2020-12-31"], [None; 4]);
    check("2024-03-01", &["2024-02-29"], [None, None, Some(1), Some(1)]);
}

/// Nobody sees that nothing comes any more if the series is gone.
#[test]
fn what_alerts_watch_is_zero_where_nothing_came() {
    let noon = date("2021-02-01").start() + Span::hours(12);
    let text = scrape(&snapshot(rollup(&["2021-01-01"]), &[Some(noon)], noon + Span::hours(1)));
    for (name, expect) in [("day_events", 0.0), ("day_reversals", 0.0), ("ytd_late_events", 0.0)] {
        assert_eq!(value(&text, &format!("postroad_{name}"), &[]), Some(expect), "{name}");
    }
}

/// Of these days, the baselines on `as_of`: of the day, month, quarter and year.
#[track_caller]
fn check_baselines(as_of: &str, days: &[&str], volumes: [Option<i32>; 4]) {
    let noon = date(as_of).start() + Span::hours(12);
    let text = scrape(&snapshot(rollup(days), &[Some(noon)], noon + Span::hours(1)));
    for (period, expect) in ["day", "mtd", "qtd", "ytd"].into_iter().zip(volumes) {
        let volume = value(&text, &format!("postroad_{period}_volume_baseline"), &[]);
        assert_eq!(volume, expect.map(f64::from), "{period} baseline on {as_of}");
        let revenue = value(&text, &format!("postroad_{period}_revenue_yuan_baseline"), &[]);
        assert_eq!(revenue, expect.map(|count| f64::from(count * 101) / 100.0));
    }
}

#[test]
fn a_baseline_is_of_the_same_elapsed_days_a_year_before_or_absent() {
    let days = ["2020-01-01", "2020-04-01", "2020-06-01", "2020-06-30", "2020-07-01", "2021-06-30"];
    check_baselines("2021-06-30", &days, [Some(1), Some(2), Some(3), Some(4)]);
    check_baselines("2021-06-29", &days, [None, Some(1), Some(2), Some(3)]);
    // 29 February is held against the 28th.
    check_baselines("2024-02-29", &["2023-02-28", "2024-02-29"], [Some(1); 4]);
    // Of the year before the log nothing is known, which is not nothing.
    check_baselines("2021-06-30", &["2021-06-30"], [None; 4]);
}

#[test]
fn series_are_by_prefecture_line_and_product_and_never_summed() {
    let mut rollup = rollup(&["2021-06-01"]);
    let measures = Measures { volume: 2, revenue: Fen::new(-50), ..Measures::default() };
    for (prefecture, product) in [(210_100, Product::Savings), (210_200, Product::Express)] {
        let day = date("2021-06-01");
        rollup.add([(&CellKey { day, prefecture: code(prefecture), product }, &measures)]);
    }
    let noon = date("2021-06-01").start() + Span::hours(12);
    let text = scrape(&snapshot(rollup, &[Some(noon)], noon));
    let name = "postroad_day_volume";
    let labels = [r#"prefecture="210100""#, r#"line="finance""#, r#"product="savings""#];
    assert_eq!(value(&text, name, &labels), Some(2.0));
    let labels = [r#"prefecture="210100""#, r#"line="parcel""#, r#"product="express""#];
    assert_eq!(value(&text, name, &labels), Some(1.0));
    let dalian = [r#"prefecture="210200""#];
    assert_eq!(value(&text, "postroad_day_revenue_yuan", &dalian), Some(-0.5));
    assert_eq!(text.lines().filter(|line| line.starts_with("postroad_day_volume{")).count(), 3);
    assert!(!text.contains(r#"product="all""#) && !text.contains(r#"line="total""#));
}

#[test]
fn the_as_of_moment_is_the_newest_shard_time_but_not_after_the_publish() {
    let (noon, later) = (date("2021-06-01").start(), date("2021-06-03").start());
    let of = |watermarks: &[Option<Timestamp>], published_at| {
        as_of(&snapshot(Rollup::default(), watermarks, published_at))
    };
    assert_eq!(of(&[Some(noon), None, Some(later)], later + Span::hours(1)), Some(later));
    assert_eq!(of(&[Some(later)], noon), Some(noon));
    assert_eq!(of(&[None], noon), None);
    let text = scrape(&snapshot(Rollup::default(), &[Some(noon)], later));
    let seconds = value(&text, "postroad_as_of_timestamp_seconds", &[]);
    assert_eq!(seconds, Some(noon.as_seconds_f64()));
}

#[test]
fn prefectures_have_names_before_they_have_figures() {
    let text = scrape(&snapshot(Rollup::default(), &[None], Timestamp::from_micros(0)));
    assert_eq!(value(&text, "postroad_prefectures", &[]), Some(14.0));
    let labels = [
        r#"prefecture="210200""#,
        r#"name="Dalian""#,
        r#"name_zh="大连市""#,
        r#"province="210000""#,
        r#"province_name="Liaoning""#,
        r#"province_name_zh="辽宁省""#,
    ];
    assert_eq!(value(&text, "postroad_prefecture_info", &labels), Some(1.0));
    assert!(!text.contains("postroad_as_of_timestamp_seconds"));
}

#[tokio::test]
async fn the_page_is_made_once_for_each_publish_and_empty_without_one() {
    let page = Page::default();
    assert_eq!(page.text(None).await.expect("a page"), "");
    let publish = |volume_day| snapshot(rollup(&[volume_day]), &[None], Timestamp::from_micros(0));
    let (first, second) = (publish("2021-06-01"), publish("2021-06-02"));
    let made = page.text(Some(first.clone())).await.expect("a page");
    let again = page.text(Some(first)).await.expect("a page");
    assert_eq!(made.as_ptr(), again.as_ptr(), "the same page");
    let next = page.text(Some(second)).await.expect("a page");
    assert_ne!(made.as_ptr(), next.as_ptr(), "another publish");
    assert_eq!(page.text(None).await.expect("a page"), "", "it publishes no more");
}
