//! The rollup of all shards is the sum of the oracle's, whoever adds up what first.

use std::collections::{BTreeMap, BTreeSet};

use postroad_aggregate::merge::Rollup;
use postroad_aggregate::shard::ShardState;
use postroad_tests::logs::{WALL_CLOCK_MICROS, random_log, rules};
use postroad_tests::oracle::{OracleCell, OracleKey, OracleShard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::pair::{CONTRACTS, once_each, oracle_cells};
use crate::script::Script;

/// The sum of the oracle's cells, measure by measure in 128 bits.
fn sum(shards: &[OracleShard]) -> BTreeMap<OracleKey, [i128; 19]> {
    let mut sums: BTreeMap<OracleKey, [i128; 19]> = BTreeMap::new();
    for (key, cell) in shards.iter().flat_map(|shard| &shard.cells) {
        let row = sums.entry(key.clone()).or_default();
        for (sum, (_, value)) in row.iter_mut().zip(cell.measures()) {
            *sum += value;
        }
    }
    sums
}

fn row(cell: &OracleCell) -> [i128; 19] {
    cell.measures().map(|(_, value)| value)
}

#[test]
fn the_rollup_is_the_sum_of_the_oracles_shards() {
    let mut shards: Vec<ShardState> = Vec::new();
    let mut oracles: Vec<OracleShard> = Vec::new();
    for seed in 0..5 {
        for name in CONTRACTS {
            let log = once_each(random_log(seed, name, 250));
            let mut oracle = OracleShard::new(name, 0);
            for record in &log {
                oracle.step(&rules(), record, WALL_CLOCK_MICROS);
            }
            oracles.push(oracle);
            let script = Script::plain(format!("{name} log of seed {seed}"), name, log, rules());
            shards.push(script.run(&BTreeSet::new()));
        }
    }
    let expected = sum(&oracles);
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..10 {
        shards.shuffle(&mut rng);
        let mut rollup = Rollup::default();
        let mut half = Rollup::default();
        let (left, right) = shards.split_at(shards.len() / 2);
        for shard in left {
            rollup.add(&shard.cells);
        }
        for shard in right {
            half.add(&shard.cells);
        }
        rollup.add(half.cells());
        let merged = oracle_cells(rollup.cells());
        let merged: BTreeMap<_, _> =
            merged.iter().map(|(key, cell)| (key.clone(), row(cell))).collect();
        assert_eq!(merged, expected);
    }
}
