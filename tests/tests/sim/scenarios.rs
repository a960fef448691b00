//! Which kind of world a seed is.

use std::time::Duration;

use postroad_tests::sim::{ClusterOdds, ConsumerOdds, Crashes, Fate, Faults, Scenario, StoreOdds};

/// Everything fails now and then.
const STORE: StoreOdds = StoreOdds {
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
};

/// A store that is sound, and takes its time.
const SOUND: StoreOdds = StoreOdds {
    before: 0,
    after: 0,
    exists_after: 0,
    late: 0,
    late_calls_max: 0,
    conflict: 0,
    full: 0,
    corrupt: 0,
    hang: 0,
    latency_ms_max: 30,
    slow: 10,
    slow_ms_max: 5_000,
};

const ALL: &[(Fate, u32)] = &[
    (Fate::Calm, 60),
    (Fate::Kill, 2),
    (Fate::Freeze, 3),
    (Fate::Stop, 2),
    (Fate::Storm, 3),
    (Fate::ThrowOut, 3),
    (Fate::Cut, 2),
    (Fate::Truncate, 1),
    (Fate::Recreate, 1),
    (Fate::AddPartition, 1),
    (Fate::Damage, 2),
    (Fate::Fill, 1),
    (Fate::Decide, 3),
];

const GROUP: &[(Fate, u32)] = &[
    (Fate::Calm, 20),
    (Fate::Freeze, 4),
    (Fate::Storm, 6),
    (Fate::ThrowOut, 6),
    (Fate::AddPartition, 1),
];

const LOG: &[(Fate, u32)] = &[
    (Fate::Calm, 30),
    (Fate::Kill, 2),
    (Fate::ThrowOut, 1),
    (Fate::Cut, 4),
    (Fate::Truncate, 2),
    (Fate::Recreate, 2),
    (Fate::Decide, 6),
];

/// The world of a seed: half of them fail in every way, the others in one way all the more.
pub(crate) fn of(seed: u64) -> Scenario {
    let faults = match seed % 8 {
        1 => storms(),
        3 => logs(),
        5 => deaths(),
        _ => all(),
    };
    Scenario {
        partitions: (2, 1),
        processes: if seed.is_multiple_of(16) { 1 } else { 3 },
        trouble: Duration::from_secs(25),
        records: 110,
        faults,
        ask_the_oracle: seed.is_multiple_of(5),
    }
}

/// A world in which nothing happens.
pub(crate) fn quiet() -> Scenario {
    Scenario {
        partitions: (1, 1),
        processes: 2,
        trouble: Duration::from_secs(5),
        records: 30,
        faults: Faults::default(),
        ask_the_oracle: true,
    }
}

fn all() -> Faults {
    Faults {
        store: STORE,
        cluster: ClusterOdds { fail: 40, late: 60 },
        consumer: ConsumerOdds { slow: 30, late_batch: 40, signal: 3, fatal: 1 },
        crashes: Crashes::PerMille(4),
        fates: ALL,
        skewed_clocks: true,
        mixed_rules: true,
    }
}

/// The group gives and takes all the time, and is late to say so.
fn storms() -> Faults {
    Faults {
        store: SOUND,
        cluster: ClusterOdds { fail: 5, late: 30 },
        consumer: ConsumerOdds { slow: 60, late_batch: 150, signal: 5, fatal: 0 },
        crashes: Crashes::Never,
        fates: GROUP,
        skewed_clocks: false,
        mixed_rules: true,
    }
}

/// The log is not what it was.
fn logs() -> Faults {
    Faults {
        store: SOUND,
        cluster: ClusterOdds { fail: 10, late: 60 },
        consumer: ConsumerOdds { slow: 30, late_batch: 60, signal: 2, fatal: 0 },
        crashes: Crashes::PerMille(2),
        fates: LOG,
        skewed_clocks: false,
        mixed_rules: false,
    }
}

/// Processes die all the time.
fn deaths() -> Faults {
    Faults {
        store: SOUND,
        cluster: ClusterOdds { fail: 5, late: 5 },
        consumer: ConsumerOdds { slow: 5, late_batch: 30, signal: 1, fatal: 2 },
        crashes: Crashes::PerMille(15),
        fates: &[],
        skewed_clocks: true,
        mixed_rules: true,
    }
}
