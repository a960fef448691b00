//! The logs are worth something only while they are dense in what they promise.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::oracle::{OracleShard, Verdict};

const CONTRACTS: [&str; 2] = ["parcel", "finance"];
const NOON_MS: i64 = 1_625_025_600_000;

fn verdict_name(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applied => "applied".into(),
        Verdict::Duplicate => "duplicate".into(),
        Verdict::Ignored => "ignored".into(),
        Verdict::Skipped => "skipped".into(),
        Verdict::Rejected { reason, .. } => reason.clone(),
    }
}

#[test]
fn a_shorter_log_is_a_prefix_of_a_longer_one() {
    for contract in CONTRACTS {
        let long = random_log(7, contract, 300);
        assert_eq!(long.len(), 300);
        assert_eq!(random_log(7, contract, 123), long[..123]);
        assert_ne!(random_log(8, contract, 300), long);
    }
}

#[test]
fn every_verdict_and_every_reason_comes_up() {
    for contract in CONTRACTS {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for seed in 0..20 {
            let mut shard = OracleShard::new(contract, 0);
            for record in random_log(seed, contract, 500) {
                let verdict = shard.step(&rules(), &record, WALL_CLOCK_MICROS);
                *counts.entry(verdict_name(&verdict)).or_default() += 1;
            }
            assert_eq!(
                shard.consumed,
                shard.applied + shard.duplicates + shard.rejected + shard.ignored
            );
            assert_eq!(shard.consumed + shard.gaps, shard.next_offset - shard.first_offset);
            assert_eq!(
                shard.rejected,
                i64::try_from(shard.rejects.len()).expect("the log is short")
            );
            let events: i128 = shard.cells.values().map(|cell| cell.events).sum();
            assert_eq!(events, i128::from(shard.applied));
        }
        let mut expected: BTreeSet<&str> = [
            "applied",
            "duplicate",
            "ignored",
            "skipped",
            "too_large",
            "malformed",
            "missing_field",
            "unknown_type",
            "unknown_product",
            "unknown_prefecture",
            "invalid_time",
            "future",
            "date_out_of_range",
            "amount_out_of_range",
            "clock_ahead",
        ]
        .into();
        if contract == "finance" {
            expected.extend(["invalid_reversal", "type_product_mismatch"]);
        }
        assert_eq!(
            counts.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            expected,
            "{counts:?}"
        );
        assert!(counts.values().all(|count| *count >= 10), "{counts:?}");
        assert!(counts["applied"] > 4000 && counts["duplicate"] > 800, "{counts:?}");
    }
}

#[test]
fn valid_events_are_valid_in_every_spelling() {
    let mut rng = StdRng::seed_from_u64(3);
    for contract in CONTRACTS {
        let mut shard = OracleShard::new(contract, 0);
        for offset in 0..2000 {
            let event = valid_event(&mut rng, contract, NOON_MS * 1000);
            let value = Some(serialise(&mut rng, &event));
            let record = OracleRecord { offset, timestamp_ms: Some(NOON_MS), value };
            let verdict = shard.step(&rules(), &record, WALL_CLOCK_MICROS);
            assert!(
                matches!(verdict, Verdict::Applied | Verdict::Duplicate),
                "{verdict:?}: {event:?}"
            );
        }
        assert_eq!(shard.watermark_micros, Some(NOON_MS * 1000));
    }
}

#[test]
fn hostile_documents_have_the_reasons_that_they_claim() {
    let mut rng = StdRng::seed_from_u64(4);
    for contract in CONTRACTS {
        for _ in 0..50 {
            let mut event = valid_event(&mut rng, contract, NOON_MS * 1000);
            event.insert("event_id".into(), "a".into());
            for (document, reason) in hostile_documents(contract, &event) {
                let mut shard = OracleShard::new(contract, 0);
                let text = String::from_utf8_lossy(&document).into_owned();
                let record =
                    OracleRecord { offset: 0, timestamp_ms: Some(NOON_MS), value: Some(document) };
                let verdict = shard.step(&rules(), &record, WALL_CLOCK_MICROS);
                assert_eq!(verdict_name(&verdict), reason.unwrap_or("applied"), "{text}");
            }
        }
    }
}

#[test]
fn both_sides_of_every_threshold_are_hit_to_the_millisecond() {
    for contract in CONTRACTS {
        // For each rule, what it decides in the logs when it is moved by the least step, in either
        // direction.
        let mut decided: BTreeMap<&str, u32> = BTreeMap::new();
        for seed in 0..8 {
            let log = random_log(seed, contract, 500);
            let baseline = fold(contract, &log, &rules(), WALL_CLOCK_MICROS);
            let mut differs = |name: &'static str, rules: &OracleRules, wall_clock: i64| {
                let moved = fold(contract, &log, rules, wall_clock);
                *decided.entry(name).or_default() += u32::from(moved != baseline);
            };
            let (base, wall) = (rules(), WALL_CLOCK_MICROS);
            differs("window - 1", &OracleRules { dedupe_window_h: 23, ..base.clone() }, wall);
            differs("window + 1", &OracleRules { dedupe_window_h: 25, ..base.clone() }, wall);
            differs("late + 1", &OracleRules { late_after_h: 2, ..base.clone() }, wall);
            differs("final + 1", &OracleRules { final_after_h: 73, ..base.clone() }, wall);
            differs("bytes - 1", &OracleRules { value_bytes_max: 4095, ..base.clone() }, wall);
            differs("bytes + 1", &OracleRules { value_bytes_max: 4097, ..base.clone() }, wall);
            differs("clock - 1 ms", &base, wall - 1000);
            differs("clock + 1 ms", &base, wall + 1000);
        }
        assert_eq!(decided.len(), 8);
        assert!(decided.values().all(|logs| *logs >= 3), "{decided:?}");
    }
}

#[test]
fn days_and_their_lateness_begin_exactly_at_some_timestamps() {
    let hour_ms = 3_600_000;
    for contract in CONTRACTS {
        let log = random_log(5, contract, 2000);
        for of_day_ms in [0, -1, hour_ms, hour_ms - 1] {
            let hits = log.iter().filter_map(|record| record.timestamp_ms).filter(|ms| {
                ms.wrapping_add(8 * hour_ms).wrapping_sub(of_day_ms).rem_euclid(24 * hour_ms) == 0
            });
            assert!(hits.count() >= 8, "{of_day_ms} ms after midnight");
        }
    }
}

type Outcome = (Vec<Verdict>, BTreeMap<crate::oracle::OracleKey, crate::oracle::OracleCell>);

fn fold(
    contract: &str,
    log: &[OracleRecord],
    rules: &OracleRules,
    wall_clock_micros: i64,
) -> Outcome {
    let mut shard = OracleShard::new(contract, 0);
    let verdicts = log.iter().map(|record| shard.step(rules, record, wall_clock_micros)).collect();
    (verdicts, shard.cells)
}
