//! The stream against the shapes it claims, over enough events that chance cannot hide a fault.

mod check;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use postroad_schemas::contract::Contract;

use self::check::{Event, check};
use super::super::faults::Damage;
use super::super::shapes::{FINANCE_MIX, PARCEL_PRODUCTS, PREFECTURES};
use super::{Province, ProvinceOptions, Simulated};

/// 2021-06-30 10:00 in UTC+08:00.
const TEN_MS: i64 = 1_625_018_400_000;
const EVENTS: i64 = 200_000;

fn province(seed: u64, faults: bool) -> Province {
    Province::new(ProvinceOptions { seed, faults, ..ProvinceOptions::default() })
}

/// A stream of records, `step_ms` apart.
fn stream(mut province: Province, step_ms: i64, count: i64) -> impl Iterator<Item = Simulated> {
    (0..count).map(move |index| province.next(TEN_MS + index * step_ms))
}

fn event(record: &Simulated) -> Event {
    let value = record.value.as_deref().expect("a value");
    check(record.contract, value, record.timestamp_ms).expect("a valid event")
}

/// One stream without faults, read by several tests.
static GOOD: LazyLock<Vec<(Simulated, Event)>> = LazyLock::new(|| {
    let records = stream(province(7, false), 20, EVENTS);
    records.map(|record| (event(&record), record)).map(|(event, record)| (record, event)).collect()
});

/// One stream with faults; `None` for what cannot be used.
static FAULTY: LazyLock<Vec<(Simulated, Option<Event>)>> = LazyLock::new(|| {
    let records = stream(province(5, true), 20, EVENTS);
    let judge = |record: Simulated| {
        let value = record.value.as_deref().unwrap_or_default();
        let event = check(record.contract, value, record.timestamp_ms).ok();
        (record, event)
    };
    records.map(judge).collect()
});

#[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[track_caller]
fn near(what: &str, actual: f64, expect: f64, tolerance: f64) {
    assert!(
        (actual - expect).abs() <= tolerance,
        "{what}: {actual}, expected {expect} ± {tolerance}"
    );
}

/// As [`near`], four standard deviations of a share of `n`.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
fn near_share(what: &str, part: usize, n: usize, expect: f64) {
    let tolerance = 4.0 * (expect * (1.0 - expect) / n as f64).sqrt();
    near(what, ratio(part, n), expect, tolerance);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| stream(province(seed, true), 20, 10_000).collect::<Vec<_>>();
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}

#[test]
fn without_faults_every_record_is_prompt_valid_and_new() {
    let mut ids = HashSet::new();
    for (record, event) in GOOD.iter() {
        let delay_ms = record.timestamp_ms - event.occurred_ms;
        assert!((0..2_000).contains(&delay_ms), "delay {delay_ms}");
        assert_eq!(event.id.len(), 36);
        assert_eq!(&event.id[14..15], "4");
        assert!(matches!(&event.id[19..20], "8" | "9" | "a" | "b"));
        assert!(!event.id.contains(|c: char| c.is_ascii_uppercase()));
        assert_ne!(event.kind, "reversal");
        assert!(ids.insert(&event.id));
    }
}

#[test]
fn the_mix_is_the_domain_page_s() {
    let events = &*GOOD;
    let count = |test: &dyn Fn(&Simulated, &Event) -> bool| {
        events.iter().filter(|(record, event)| test(record, event)).count()
    };
    let finance = count(&|record, _| record.contract == Contract::Finance);
    near_share("finance", finance, events.len(), 0.2);

    let accepted = count(&|_, event| event.kind == "accepted");
    for product in &PARCEL_PRODUCTS {
        let part = count(&|_, event| event.kind == "accepted" && event.product == product.code);
        near_share(product.code, part, accepted, f64::from(product.share) / 100.0);
    }
    for prefecture in &PREFECTURES {
        let weight = f64::from(prefecture.weight) / 1_000.0;
        let here = |event: &Event| event.prefecture == prefecture.code;
        let part = count(&|_, event| event.kind == "accepted" && here(event));
        near_share(prefecture.code, part, accepted, weight);
        let part = count(&|record, event| record.contract == Contract::Finance && here(event));
        near(prefecture.code, ratio(part, finance), weight, 0.012);
    }

    let kinds = |kinds: &[&str], products: &[&str]| {
        count(&|record, event| {
            record.contract == Contract::Finance
                && kinds.contains(&event.kind.as_str())
                && (products.is_empty() || products.contains(&event.product.as_str()))
        })
    };
    let counted = [
        kinds(&["deposit"], &[]),
        kinds(&["withdrawal"], &[]),
        kinds(&["transfer_in", "transfer_out"], &[]),
        kinds(&["purchase", "redemption"], &["wealth"]),
        kinds(&["purchase", "redemption"], &["fund"]),
        kinds(&["opened"], &[]),
        kinds(&["premium"], &[]),
        kinds(&["purchase", "redemption"], &["bond"]),
        kinds(&["fee"], &[]),
        kinds(&["sale", "refund"], &[]),
    ];
    for ((business, share), counted) in FINANCE_MIX.into_iter().zip(counted) {
        near_share(&format!("{business:?}"), counted, finance, f64::from(share) / 1_000.0);
    }
    assert_eq!(counted.iter().sum::<usize>() + kinds(&["fee_accrual"], &[]), finance);
}

#[test]
fn amounts_lie_around_their_medians() {
    let events = &*GOOD;
    let median = |kind: &str, product: &str, field: fn(&Event) -> Option<i64>| {
        let mut all: Vec<i64> = events
            .iter()
            .filter(|(_, event)| event.kind == kind && event.product == product)
            .map(|(_, event)| field(event).expect("an amount"))
            .collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let around = |actual: i64, expect: i64| (actual - expect).abs() * 100 / expect;
    assert!(around(median("accepted", "economy", |event| event.revenue_fen), 450) < 3);
    assert!(around(median("accepted", "express", |event| event.revenue_fen), 1_800) < 6);
    assert!(around(median("accepted", "standard", |event| event.revenue_fen), 900) < 10);
    assert!(around(median("accepted", "international", |event| event.revenue_fen), 8_000) < 30);
    assert!(around(median("deposit", "savings", |event| event.amount_fen), 300_000) < 8);
    assert!(around(median("premium", "insurance", |event| event.amount_fen), 2_000_000) < 30);
    for (_, event) in events.iter().filter(|(_, event)| event.kind == "premium") {
        assert_eq!(event.amount_fen.expect("an amount") % 100_000, 0);
    }
}

#[test]
fn quality_and_the_number_of_scans_look_like_a_post() {
    let events: Vec<&Event> = GOOD
        .iter()
        .filter(|(record, _)| record.contract == Contract::Parcel)
        .map(|(_, event)| event)
        .collect();
    let quality = |prefectures: &[&str]| {
        let here: Vec<&Event> = events
            .iter()
            .filter(|event| {
                prefectures.is_empty() || prefectures.contains(&event.prefecture.as_str())
            })
            .copied()
            .collect();
        let of = |kind: &str| here.iter().filter(|event| event.kind == kind).count();
        let due = here.iter().filter(|e| e.kind == "out_for_delivery" && e.attempt == 1).count();
        let on_time = here.iter().filter(|e| e.due_ms.is_some_and(|due| e.occurred_ms <= due));
        (ratio(of("delivered"), due), ratio(on_time.count(), due))
    };
    let (delivered, on_time) = quality(&[]);
    near("delivered", delivered, 0.99, 0.008);
    near("on time", on_time, 0.95, 0.01);
    let best = quality(&["210100", "210200"]).1;
    let worst = quality(&["210900", "211300", "211400"]).1;
    assert!(best > worst + 0.01, "on time {best} and {worst}");
    assert!(events.iter().all(|event| event.due_ms.is_some() == (event.kind == "delivered")));
    let accepted = events.iter().filter(|event| event.kind == "accepted").count();
    let scans = ratio(events.len(), accepted);
    assert!((8.5..9.7).contains(&scans), "{scans} events a parcel");
    let voided = events.iter().filter(|event| event.kind == "voided").count();
    near("voided", ratio(voided, accepted), 0.003, 0.002);
}

/// From the first thousands of records on, and at any rate.
#[test]
fn the_mix_is_in_equilibrium() {
    for step_ms in [0, 1, 60_000] {
        let kinds = stream(province(11, false), step_ms, 80_000)
            .filter(|record| record.contract == Contract::Parcel)
            .map(|record| event(&record).kind)
            .collect::<Vec<_>>();
        for part in kinds.chunks_exact(20_000) {
            let of = |kind: &str| ratio(part.iter().filter(|k| *k == kind).count(), part.len());
            near("accepted", of("accepted"), 0.11, 0.012);
            near("delivered", of("delivered"), 0.11, 0.012);
            near("dispatched and arrived", of("dispatched") + of("arrived"), 0.66, 0.03);
        }
    }
}

/// Whole lives, by key: the order of the steps, one product, one revenue, two ends.
#[test]
fn a_parcel_lives_in_order_and_ends_elsewhere() {
    let mut lives: HashMap<&[u8], Vec<&Event>> = HashMap::new();
    for (record, event) in GOOD.iter() {
        if record.contract == Contract::Parcel {
            lives.entry(&record.key).or_default().push(event);
        }
    }
    let mut complete = 0;
    for life in lives.into_values() {
        let (first, last) = (life[0], life[life.len() - 1]);
        assert!(life.iter().all(|event| event.product == first.product));
        assert!(life.iter().skip(1).all(|event| event.kind != "accepted"));
        assert!(life.is_sorted_by_key(|event| event.occurred_ms));
        if first.kind != "accepted" {
            continue;
        }
        match last.kind.as_str() {
            "delivered" => {
                assert!(matches!(life.len(), 8..=12), "{} events", life.len());
                assert_ne!(first.prefecture, last.prefecture);
                assert_eq!(last.attempt == 2, life.iter().any(|e| e.kind == "delivery_failed"));
                complete += 1;
            }
            "returned" => assert!(life.iter().all(|event| event.kind != "delivered")),
            "voided" => {
                assert_eq!(life.len(), 2);
                assert_eq!(first.revenue_fen, last.revenue_fen);
                assert_eq!(first.weight_g, last.weight_g);
            }
            _ => assert!(life.iter().all(|event| event.kind != "delivered")),
        }
    }
    assert!(complete > 5_000, "{complete} whole lives");
}

#[test]
fn farm_produce_comes_from_farming_prefectures() {
    let farming: Vec<&str> =
        PREFECTURES.iter().filter(|p| p.agri > 0.0).map(|prefecture| prefecture.code).collect();
    let accepted: Vec<&Event> =
        GOOD.iter().map(|(_, event)| event).filter(|event| event.kind == "accepted").collect();
    let tagged = accepted.iter().filter(|event| event.agri);
    assert!(
        tagged.clone().all(|e| farming.contains(&e.prefecture.as_str()) && e.product == "economy")
    );
    near("agri", ratio(tagged.count(), accepted.len()), 0.045, 0.01);
}

#[test]
fn savings_accrue_once_for_each_prefecture_and_day() {
    let mut accrued = HashSet::new();
    for record in stream(province(3, true), 4_000, 60_000) {
        let Some(value) = record.value.as_deref() else {
            continue;
        };
        let Ok(event) = check(record.contract, value, record.timestamp_ms) else {
            continue;
        };
        if event.kind == "fee_accrual" {
            let day = event.accounting_date.expect("a date");
            accrued.insert((event.id, day, event.prefecture));
        }
    }
    let days: HashSet<&str> = accrued.iter().map(|(_, day, _)| day.as_str()).collect();
    assert_eq!(days, HashSet::from(["2021-06-29", "2021-06-30", "2021-07-01", "2021-07-02"]));
    assert_eq!(accrued.len(), 4 * PREFECTURES.len());
    let offices: HashSet<_> = accrued.iter().map(|(_, day, place)| (day, place)).collect();
    assert_eq!(offices.len(), accrued.len());
}

#[test]
fn faults_come_at_their_rates() {
    let mut seen: HashMap<&str, &Simulated> = HashMap::new();
    let [mut finance, mut late_h, mut late_d, mut reversed, mut repeated] = [0_usize; 5];
    let [mut rejected, mut tombstones, mut events] = [0_usize; 3];
    for (record, event) in FAULTY.iter() {
        let Some(event) = event else {
            rejected += usize::from(record.value.is_some());
            tombstones += usize::from(record.value.is_none());
            continue;
        };
        if let Some(first) = seen.insert(&event.id, record) {
            assert_eq!((&first.key, &first.value), (&record.key, &record.value));
            assert!(first.timestamp_ms < record.timestamp_ms);
            repeated += 1;
            continue;
        }
        events += 1;
        finance += usize::from(record.contract == Contract::Finance);
        reversed += usize::from(event.kind == "reversal");
        let late_ms = record.timestamp_ms - event.occurred_ms;
        late_h += usize::from((3_600_000..86_400_000).contains(&late_ms));
        late_d += usize::from(late_ms >= 86_400_000);
    }
    near_share("duplicates", repeated, FAULTY.len(), 0.005);
    near_share("malformed", rejected, FAULTY.len(), 0.000_5);
    near_share("tombstones", tombstones, FAULTY.len(), 0.000_1);
    near_share("late by hours", late_h, events, 0.01);
    near_share("late by days", late_d, events, 0.001);
    near_share("reversals", reversed, finance, 0.002);
}

/// A reversal says again what it undoes, under the same key.
#[test]
fn a_reversal_repeats_what_it_reverses() {
    let mut posted = HashSet::new();
    let mut reversed = 0;
    let good = FAULTY.iter().filter_map(|(record, event)| Some((record, event.as_ref()?)));
    for (record, event) in good.filter(|(record, _)| record.contract == Contract::Finance) {
        let money = (&event.product, event.amount_fen, event.revenue_fen);
        if event.kind == "reversal" {
            let undone = event.reverses.as_ref().expect("what it reverses");
            assert!(posted.contains(&(&record.key, undone, money)));
            reversed += 1;
        } else {
            posted.insert((&record.key, &event.kind, money));
        }
    }
    assert!(reversed > 40, "{reversed} reversals");
}

#[test]
fn every_damage_ends_in_its_reject() {
    let reasons = [
        "malformed",
        "malformed",
        "malformed",
        "malformed",
        "malformed",
        "missing_field",
        "unknown_type",
        "unknown_product",
        "unknown_prefecture",
        "invalid_time",
    ];
    for record in stream(province(1, false), 20, 2_000) {
        let value = record.value.as_deref().expect("a value");
        for (damage, reason) in Damage::ALL.into_iter().zip(reasons) {
            let verdict = check(record.contract, &damage.apply(value), record.timestamp_ms);
            assert_eq!(verdict.map(|event| event.kind), Err(reason), "{damage:?}");
        }
    }
}

#[test]
fn the_finance_share_is_the_caller_s() {
    for (share, contract) in [(0.0, Contract::Parcel), (1.0, Contract::Finance)] {
        let options = ProvinceOptions { seed: 9, faults: true, finance_share: share, scale: 1.0 };
        let records = stream(Province::new(options), 20, 5_000);
        assert!(records.map(|record| record.contract).all(|each| each == contract));
    }
}
