//! An interruption cannot be seen in the state.

use std::collections::{BTreeMap, BTreeSet};

use postroad_aggregate::shard::ShardState;
use postroad_schemas::units::{Span, Timestamp};
use postroad_tests::logs::{random_log, rules};
use postroad_tests::oracle::{OracleRecord, OracleRules, OracleShard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::pair::{CONTRACTS, assert_same, once_each};
use crate::script::Script;

fn script(name: &'static str, seed: u64, records: usize, rules: OracleRules) -> Script {
    let log = once_each(random_log(seed, name, records));
    let mut rng = StdRng::seed_from_u64(seed);
    let ends = (0..log.len()).filter(|_| rng.random_ratio(1, 6)).collect();
    let case = format!("{name} log of seed {seed}");
    Script { ends, ..Script::plain(case, name, log, rules) }
}

/// The oracle's state after the whole of a script with one set of rules, clock by clock.
fn oracle(script: &Script) -> OracleShard {
    let mut oracle = OracleShard::new(script.contract, 0);
    for (place, record) in script.log.iter().enumerate() {
        oracle.step(&script.rules[&0], record, script.clock(place).as_micros());
    }
    oracle
}

/// Interrupts the script once before each record and once at its end.
#[track_caller]
fn check_every_offset(script: &Script) -> ShardState {
    let whole = script.run(&BTreeSet::new());
    assert_same(&whole, &oracle(script), &script.log, &script.case);
    let mut prefix = script.begin();
    for place in 0..=script.log.len() {
        let resumed = script.resume(prefix.state(), place);
        let state = script.finish(resumed, place);
        assert_eq!(state, whole, "{}: interrupted at record {place}", script.case);
        script.step(&mut prefix, place);
    }
    whole
}

#[test]
fn a_log_interrupted_at_every_offset_folds_the_same() {
    for seed in 0..4 {
        for name in CONTRACTS {
            check_every_offset(&script(name, seed, 130, rules()));
        }
    }
}

/// Short windows expire within a log, so that the window begins far above the shard's own beginning.
#[test]
fn a_short_window_is_rebuilt_from_its_own_beginning() {
    for window in [0, 1, 3] {
        for name in CONTRACTS {
            let rules = OracleRules { dedupe_window_h: window, ..rules() };
            let state = check_every_offset(&script(name, 50, 130, rules));
            let hours = state.window_hours.len();
            assert!(i64::try_from(hours).is_ok_and(|hours| hours <= window + 1), "{hours} hours");
            let begin = state.window_begin().expect("the log has valid records").get();
            assert!(begin > state.ledger.next.get() / 2, "the window begins at {begin}");
        }
    }
}

#[test]
fn any_number_of_interruptions_folds_the_same() {
    for seed in 100..112 {
        let mut rng = StdRng::seed_from_u64(seed);
        for name in CONTRACTS {
            let script = script(name, seed, 300, rules());
            let whole = script.run(&BTreeSet::new());
            for _ in 0..3 {
                let often = rng.random_range(2..30);
                let cuts: BTreeSet<usize> =
                    (0..=script.log.len()).filter(|_| rng.random_ratio(1, often)).collect();
                assert_eq!(script.run(&cuts), whole, "{}: interrupted at {cuts:?}", script.case);
            }
        }
    }
}

/// An end of the log that is announced only makes gaps known sooner.
#[test]
fn announced_ends_leave_no_trace() {
    for seed in 200..206 {
        for name in CONTRACTS {
            let mut script = script(name, seed, 200, rules());
            let announced = script.run(&BTreeSet::new());
            script.ends.clear();
            assert_eq!(script.run(&BTreeSet::new()), announced, "{}", script.case);
        }
    }
}

/// The first half is judged by a clock so early that many of its records are ahead of it, and only
/// the second half by a later one. Whoever reads the first half again has the later clock, too.
#[test]
fn later_readings_obey_clock_ahead() {
    let mut told_apart = 0;
    for seed in 300..306 {
        for name in CONTRACTS {
            let mut script = script(name, seed, 130, rules());
            let half = script.log.len() / 2;
            let late = script.clocks[&0];
            let early = a_day_behind(&script.log[..half]);
            script.clocks = BTreeMap::from([(0, early), (half, late)]);
            let whole = check_every_offset(&script);
            let ahead = whole.dead_letters.iter().filter(|l| l.reason.as_str() == "clock_ahead");
            told_apart += ahead.filter(|letter| letter.judged_at == early).count();
        }
    }
    assert!(told_apart > 100, "only {told_apart} records were ahead of the early clock");
}

/// A clock that is a day behind the middle of these records' timestamps.
fn a_day_behind(log: &[OracleRecord]) -> Timestamp {
    let mut times: Vec<i64> =
        log.iter().filter_map(|record| record.timestamp_ms).filter(|ms| *ms > 0).collect();
    times.sort_unstable();
    Timestamp::from_millis(times[times.len() / 2]) - Span::hours(24)
}
