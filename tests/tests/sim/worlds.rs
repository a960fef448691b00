//! Worlds by the thousand: while everything fails no promise is broken, and once nothing fails any more
//! everything comes right.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use postroad_tests::sim::{Report, run};

use crate::{failure, replay_it, scenarios};

/// Worlds that the suite runs, unless `POSTROAD_SIM_SEEDS` says otherwise: `POSTROAD_SIM_SEEDS=1200 cargo
/// sim` makes a million steps, and `POSTROAD_SIM_SEEDS=1200..2400` another million.
const SEEDS: u64 = 400;
/// Fewer worlds than these are too few to ask what they were like.
const SEEDS_JUDGED: u64 = 200;
/// Steps of a world at least, on average.
const STEPS_MIN: u64 = 700;
/// More broken worlds than these tell nothing new.
const BROKEN_MAX: usize = 5;

/// What has to happen in each thousand of them, or they prove nothing.
const COUNTS_MIN: [(&str, u64); 21] = [
    ("claims", 10_000),
    ("claims above a cut", 200),
    ("commits", 7_000),
    ("late puts below the newest", 50),
    ("segments", 1_000),
    ("stalls recorded", 500),
    ("lives closed", 400),
    ("decisions", 500),
    ("publishes", 4_000),
    ("tables compared", 3_000),
    ("final cells restated", 30),
    ("shards read by the oracle", 200),
    ("crashes", 600),
    ("kills", 1_000),
    ("freezes", 1_500),
    ("storms", 2_000),
    ("members thrown out", 1_500),
    ("logs cut", 200),
    ("logs truncated", 400),
    ("topics made anew", 400),
    ("checkpoints damaged", 60),
];

#[test]
fn hostile_worlds_break_no_promise_and_heal() {
    let seeds = seeds();
    let began = Instant::now();
    let (next, totals) = (AtomicU64::new(seeds.start), Mutex::new(Totals::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let totals = || totals.lock().unwrap_or_else(PoisonError::into_inner);
            if seed >= seeds.end || totals().broken.len() >= BROKEN_MAX {
                return;
            }
            let report = run(seed, &scenarios::of(seed), false);
            totals().add(report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let Totals { worlds, steps, counts, broken } =
        totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = began.elapsed().as_secs();
    println!("{worlds} worlds, {steps} steps in {seconds} s: {counts:?}");
    if let Some(first) = broken.first() {
        let shown = failure(first, &scenarios::of(first.seed));
        let again: Vec<String> = broken.iter().map(replay_it).collect();
        panic!(
            "{shown}\n\n{} of {worlds} worlds broke a promise:\n{}",
            broken.len(),
            again.join("\n")
        );
    }
    if worlds < SEEDS_JUDGED {
        return;
    }
    assert!(steps >= worlds * STEPS_MIN, "{steps} steps are few: the worlds hardly live");
    for (what, min) in COUNTS_MIN {
        let (count, min) = (counts.get(what).copied().unwrap_or_default(), min * worlds / 1_000);
        assert!(count >= min, "{count} {what}, expected {min} or more: the worlds are too tame");
    }
}

/// Which worlds to run.
fn seeds() -> Range<u64> {
    let Ok(seeds) = std::env::var("POSTROAD_SIM_SEEDS") else { return 0..SEEDS };
    let number = |seed: &str| seed.parse().expect("POSTROAD_SIM_SEEDS is 1200 or 1200..2400");
    match seeds.split_once("..") {
        None => 0..number(&seeds),
        Some((first, end)) => number(first)..number(end),
    }
}

/// What the worlds were like together.
#[derive(Default)]
struct Totals {
    worlds: u64,
    steps: u64,
    counts: BTreeMap<&'static str, u64>,
    broken: Vec<Report>,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.worlds += 1;
        self.steps += report.steps;
        for (what, count) in &report.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if report.violation.is_some() {
            self.broken.push(report);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in 0..8 {
        let scenario = scenarios::of(seed);
        let (first, again) = (run(seed, &scenario, false), run(seed, &scenario, false));
        assert_eq!((first.steps, first.hash), (again.steps, again.hash), "seed {seed}");
    }
    let (one, other) = (run(2, &scenarios::of(2), false), run(2, &scenarios::of(1), false));
    assert_ne!(one.hash, other.hash, "the hash tells worlds apart");
}

/// Shows one world, whole: that of `POSTROAD_SIM_SEED`, or the first.
#[test]
fn replay() {
    let seed = std::env::var("POSTROAD_SIM_SEED");
    let seed = seed.map_or(0, |seed| seed.parse().expect("POSTROAD_SIM_SEED is a number"));
    let report = run(seed, &scenarios::of(seed), true);
    println!("{report}");
    assert_eq!(report.violation, None, "seed {seed}");
}
