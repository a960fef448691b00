//! Rules that change on the way: the state depends on where, and not on who was interrupted when.

use std::collections::BTreeSet;

use postroad_aggregate::shard::ShardState;
use postroad_schemas::units::NextOffset;
use postroad_tests::logs::{pick, random_log, rules};
use postroad_tests::oracle::{OracleRecord, OracleRules, OracleShard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::pair::{CONTRACTS, assert_same, once_each, real_rules, rules_id};
use crate::script::Script;

const HOUR_MICROS: i64 = 3_600_000_000;

fn some_rules(rng: &mut StdRng) -> OracleRules {
    let mut some = rules();
    some.dedupe_window_h = pick(rng, &[0, 1, 2, 6, 24, 24, 48, 400]);
    some.late_after_h = pick(rng, &[0, 1, 5]);
    some.final_after_h = pick(rng, &[24, 72]);
    some.value_bytes_max = pick(rng, &[250, 4096, 4096]);
    if rng.random() {
        some.prefectures.remove("211300");
    }
    some
}

/// A log under rules that change at a few places.
fn script(name: &'static str, seed: u64, records: usize) -> Script {
    let mut rng = StdRng::seed_from_u64(seed);
    let log = once_each(random_log(seed, name, records));
    let mut script =
        Script::plain(format!("{name} log of seed {seed}"), name, log, some_rules(&mut rng));
    for _ in 0..rng.random_range(1..8) {
        let place = rng.random_range(0..=script.log.len());
        script.rules.insert(place, some_rules(&mut rng));
    }
    script
}

/// The oracle under rules that change.
///
/// The window of ids is what the rules before a change remembered at that moment; wider rules widen
/// it only from then on, because nobody could tell what narrower ones had let go. The oracle itself
/// forgets nothing, so it is told the window that reaches back as far: which one that is depends on
/// the shard hour of the record, which depends on no window.
fn oracle(script: &Script) -> OracleShard {
    let mut oracle = OracleShard::new(script.contract, 0);
    let mut remembered_since = i64::MIN;
    let mut rules = &script.rules[&0];
    for (place, record) in script.log.iter().enumerate() {
        if let Some(changed) = script.rules.get(&place) {
            if let Some(hour) = hour(&oracle) {
                remembered_since = remembered_since.max(hour - rules.dedupe_window_h);
            }
            rules = changed;
        }
        let clock = script.clock(place).as_micros();
        let mut ahead = oracle.clone();
        ahead.step(rules, record, clock);
        let reach = hour(&ahead).map_or(0, |now| now.saturating_sub(remembered_since));
        let dedupe_window_h = rules.dedupe_window_h.min(reach);
        oracle.step(&OracleRules { dedupe_window_h, ..rules.clone() }, record, clock);
    }
    oracle
}

/// Shard time in whole hours.
fn hour(oracle: &OracleShard) -> Option<i64> {
    oracle.watermark_micros.map(|now| now.div_euclid(HOUR_MICROS))
}

#[track_caller]
fn check_rules_are_listed(script: &Script, state: &ShardState) {
    let mut expected: Vec<(NextOffset, _)> = Vec::new();
    for (place, rules) in &script.rules {
        let next = place.checked_sub(1).map_or(0, |last| script.log[last].offset + 1);
        let id = rules_id(&real_rules(rules));
        if expected.last().is_none_or(|(_, newest)| *newest != id) {
            expected.push((NextOffset::new(next), id));
        }
    }
    assert_eq!(state.rules, expected, "{}", script.case);
}

#[test]
fn rules_hold_from_the_offset_at_which_they_were_adopted() {
    for seed in 0..40 {
        for name in CONTRACTS {
            let script = script(name, seed, 250);
            let state = script.run(&BTreeSet::new());
            assert_same(&state, &oracle(&script), &script.log, &script.case);
            check_rules_are_listed(&script, &state);
        }
    }
}

#[test]
fn interruptions_do_not_move_a_change_of_rules() {
    for seed in 100..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        for name in CONTRACTS {
            let script = script(name, seed, 200);
            let whole = script.run(&BTreeSet::new());
            let at_changes: BTreeSet<usize> = script.rules.keys().copied().collect();
            let after_changes = at_changes.iter().map(|at| (at + 1).min(script.log.len()));
            let mut patterns = vec![after_changes.collect(), at_changes];
            for often in [3, 20] {
                let cuts = (0..=script.log.len()).filter(|_| rng.random_ratio(1, often));
                patterns.push(cuts.collect::<BTreeSet<usize>>());
            }
            for cuts in patterns {
                assert_eq!(script.run(&cuts), whole, "{}: interrupted at {cuts:?}", script.case);
            }
        }
    }
}

#[test]
fn a_log_with_changing_rules_is_interrupted_at_every_offset() {
    for seed in 200..204 {
        for name in CONTRACTS {
            let script = script(name, seed, 100);
            let whole = script.run(&BTreeSet::new());
            let mut prefix = script.begin();
            for place in 0..=script.log.len() {
                let resumed = script.resume(prefix.state(), place);
                let state = script.finish(resumed, place);
                assert_eq!(state, whole, "{}: interrupted at record {place}", script.case);
                script.step(&mut prefix, place);
            }
        }
    }
}

/// Rules that were in force at no record have judged nothing, so they leave nothing behind: a
/// setting that is taken back before the next record comes was never there.
#[test]
fn rules_without_a_record_leave_no_trace() {
    for seed in 300..320 {
        let mut rng = StdRng::seed_from_u64(seed);
        for name in CONTRACTS {
            let mut script = script(name, seed, 150);
            let whole = script.run(&BTreeSet::new());
            let place = rng.random_range(1..script.log.len());
            let changes: Vec<usize> = script.rules.keys().copied().filter(|at| *at > 0).collect();
            for at in changes.into_iter().chain([place]) {
                let narrow = OracleRules { dedupe_window_h: 0, late_after_h: 9, ..rules() };
                script.tried.insert(at, narrow);
            }
            let tried = script.tried.keys().copied().collect();
            assert_eq!(script.run(&BTreeSet::new()), whole, "{}: uninterrupted", script.case);
            assert_eq!(script.run(&tried), whole, "{}: interrupted", script.case);
        }
    }
}

/// A code that becomes known makes only the records from there on valid.
#[test]
fn a_new_prefecture_counts_from_its_adoption() {
    let mut narrow = rules();
    narrow.prefectures.remove("211300");
    for name in CONTRACTS {
        let log = once_each(random_log(7, name, 200));
        let half = log.len() / 2;
        let mut script = Script::plain(format!("{name} log of seed 7"), name, log, narrow.clone());
        script.rules.insert(half, rules());
        let state = script.run(&BTreeSet::from([half, half + 20]));
        assert_same(&state, &oracle(&script), &script.log, &script.case);
        let adopted_at = NextOffset::new(script.log[half - 1].offset + 1);
        let unknown = |record: &OracleRecord| {
            let letters = &state.dead_letters;
            letters.iter().any(|letter| {
                letter.offset.get() == record.offset
                    && letter.reason.as_str() == "unknown_prefecture"
            })
        };
        let before = script.log[..half].iter().filter(|record| unknown(record)).count();
        let after = script.log[half..].iter().filter(|record| unknown(record)).count();
        assert!(before > 10 && after < 5, "{before} before {adopted_at}, {after} after");
    }
}
