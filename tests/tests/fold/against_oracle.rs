//! Record by record, the fold says what the oracle says.

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::shard::{Shard, ShardState, Step};
use postroad_schemas::units::{NextOffset, Timestamp};
use postroad_tests::logs::{WALL_CLOCK_MICROS, random_log, rules};
use postroad_tests::oracle::{OracleRecord, OracleShard};

use crate::pair::{
    CONTRACTS, agreed, assert_same, contract, real_record, real_rules, rules_id, verdict,
};

const CLOCK: Timestamp = Timestamp::from_micros(WALL_CLOCK_MICROS);

#[track_caller]
fn check(name: &str, seed: u64, log: &[OracleRecord]) {
    let oracle_rules = rules();
    let real = Arc::new(real_rules(&oracle_rules));
    let state = ShardState::new(contract(name), NextOffset::new(0), rules_id(&real));
    let mut shard = Shard::resume(state, vec![real], IdKey([3; 16]), false);
    let mut oracle = OracleShard::new(name, 0);
    for (at, record) in log.iter().enumerate() {
        let gaps = oracle.gaps;
        let expected = oracle.step(&oracle_rules, record, WALL_CLOCK_MICROS);
        let step = shard.step(&real_record(record), CLOCK).expect("it is the same log");
        let case = format!("{name} log of seed {seed}, record {at}");
        if let Step::Consumed { gap, .. } = step {
            assert_eq!(i64::try_from(gap), Ok(oracle.gaps - gaps), "{case}: gap");
        }
        assert_eq!(agreed(name, verdict(step)), agreed(name, expected), "{case}: {record:?}");
        if at % 97 == 0 {
            assert_same(shard.state(), &oracle, log, &case);
        }
    }
    assert_same(shard.state(), &oracle, log, &format!("{name} log of seed {seed}"));
}

#[test]
fn the_fold_is_the_oracles() {
    for seed in 0..60 {
        for name in CONTRACTS {
            check(name, seed, &random_log(seed, name, 400));
        }
    }
}

/// Few logs, but so long that most ids leave the window and many are swept out of it.
#[test]
fn a_long_fold_is_the_oracles() {
    for name in CONTRACTS {
        check(name, 1_000_003, &random_log(1_000_003, name, 4_000));
    }
}
