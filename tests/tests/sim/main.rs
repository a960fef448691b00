//! The simulation: thousands of seeds, each a world in which things go wrong.

use std::time::Duration;

use postroad_tests::sim::{
    ClusterOdds, ConsumerOdds, Crashes, Events, Faults, Report, Scenario, StoreOdds, run,
};

fn quiet() -> Scenario {
    Scenario {
        partitions: (2, 1),
        processes: 1,
        trouble: Duration::from_secs(20),
        records: 120,
        faults: Faults::default(),
    }
}

fn hostile() -> Scenario {
    Scenario {
        partitions: (2, 1),
        processes: 3,
        trouble: Duration::from_secs(40),
        records: 150,
        faults: Faults {
            store: StoreOdds {
                before: 15,
                after: 15,
                exists_after: 15,
                late: 15,
                late_calls_max: 60,
                conflict: 10,
                full: 5,
                corrupt: 12,
                hang: 4,
                latency_ms_max: 30,
                slow: 15,
                slow_ms_max: 15_000,
            },
            cluster: ClusterOdds { fail: 40, late: 60 },
            consumer: ConsumerOdds { slow: 30, late_batch: 40, signal: 3 },
            crashes: Crashes::PerMille(4),
            events: Events {
                calm: 60,
                kill: 2,
                freeze: 3,
                stop: 2,
                storm: 3,
                throw_out: 3,
                retention: 2,
                truncate: 1,
                recreate: 1,
                add_partition: 1,
                damage: 1,
                fill: 1,
                decide: 3,
            },
            skewed_clocks: true,
            mixed_rules: true,
        },
    }
}

#[test]
fn a_world_without_faults_comes_to_the_end_of_its_log() {
    let report = run(1, &quiet(), true);
    assert_eq!(report.violation, None, "{report}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let hash = |seed| run(seed, &hostile(), false).hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

/// Shows one world, step by step: `POSTROAD_SIM_SEED=N cargo test -p postroad-tests --test sim replay --
/// --nocapture`.
#[test]
fn replay() {
    let seed = std::env::var("POSTROAD_SIM_SEED").map_or(1, |seed| seed.parse().expect("a seed"));
    let report = run(seed, &hostile(), true);
    println!("{report}");
    assert_eq!(report.violation, None);
}

/// `POSTROAD_SIM_SEEDS` worlds, ninety unless set; a thousand are a million steps.
#[test]
fn hostile_worlds_break_no_promise_and_heal() {
    let seeds: u64 =
        std::env::var("POSTROAD_SIM_SEEDS").map_or(90, |seeds| seeds.parse().expect("a number"));
    let half = |first: u64| {
        std::thread::spawn(move || {
            let seeds = (first..=seeds).step_by(2);
            seeds.map(|seed| run(seed, &hostile(), false)).collect::<Vec<Report>>()
        })
    };
    let halves = [half(1), half(2)];
    let reports: Vec<Report> = halves
        .into_iter()
        .flat_map(|half| half.join().expect("a simulation does not panic"))
        .collect();
    let broken: Vec<&Report> = reports.iter().filter(|report| report.violation.is_some()).collect();
    for report in &broken {
        eprintln!("{report}");
        eprintln!(
            "replay it: POSTROAD_SIM_SEED={} cargo test -p postroad-tests --test sim replay -- --nocapture",
            report.seed
        );
    }
    let steps: u64 = reports.iter().map(|report| report.steps).sum();
    let compared: u64 = reports.iter().map(|report| report.tables_compared).sum();
    eprintln!("{seeds} worlds, {steps} steps, tables compared {compared} times");
    assert!(broken.is_empty(), "{} of {seeds} worlds broke a promise", broken.len());
    assert!(steps >= seeds * 1_000, "{steps} steps are few: the worlds hardly live");
    assert!(compared >= seeds * 2, "the tables were hardly ever compared");
}
