//! What follows reading: the fold of a record, the dedupe window, checkpoints and tables.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postroad_aggregate::days::Horizon;
use postroad_aggregate::dedupe::Window;
use postroad_aggregate::event::{CellKey, EventId, IdKey};
use postroad_aggregate::measures::Measures;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_benches::workload::{Input, cells, inputs};
use postroad_ingest::checkpoint::{ShardId, Standing, format};
use postroad_ingest::publish::{parquet_file, rows};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{Hour, NextOffset, Offset, Timestamp};

const ID_KEY: IdKey = IdKey([7; 16]);
/// Ids in the window before a step is measured, and steps until it is made anew.
const WARM: usize = 200_000;

/// One whole step of a shard that holds ids and cells already. One element is one record.
fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(1));
    for contract in [Contract::Parcel, Contract::Finance] {
        let inputs = inputs(contract, 2 * WARM);
        let (before, measured) = inputs.split_at(WARM);
        let mut warm = warm_shard(contract, before);
        let mut taken = 0;
        group.bench_function(contract.as_str(), |b| {
            b.iter_custom(|steps| {
                let mut elapsed = Duration::ZERO;
                let mut left = usize::try_from(steps).expect("fewer than fit");
                while left > 0 {
                    if taken == measured.len() {
                        warm = warm_shard(contract, before);
                        taken = 0;
                    }
                    let run = left.min(measured.len() - taken);
                    let began = Instant::now();
                    for (input, offset) in measured[taken..][..run].iter().zip(WARM + taken..) {
                        take(&mut warm, input, offset);
                    }
                    elapsed += began.elapsed();
                    (taken, left) = (taken + run, left - run);
                }
                elapsed
            });
        });
    }
}

fn warm_shard(contract: Contract, inputs: &[Input]) -> Shard {
    let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
    let state = ShardState::new(contract, NextOffset::new(0), RulesId::of(b""));
    let mut shard = Shard::resume(state, vec![rules], ID_KEY, false);
    for (input, offset) in inputs.iter().zip(0..) {
        take(&mut shard, input, offset);
    }
    shard
}

fn take(shard: &mut Shard, input: &Input, offset: usize) {
    let offset = Offset::new(i64::try_from(offset).expect("fewer than fit"));
    let timestamp = Some(input.timestamp);
    let record = Record { offset, timestamp, value: Some(&input.value) };
    let step = shard.step(black_box(&record), Timestamp::from_micros(i64::MAX / 2));
    black_box(step).expect("a fresh log does not diverge");
}

/// An insertion of a fresh id into a window that holds between half a million and a million.
fn dedupe(c: &mut Criterion) {
    const IDS: usize = 1 << 21;
    const PER_HOUR: usize = 20_000;
    let ids: Vec<EventId> = (0..IDS).map(|id| EventId::new(&id.to_string(), &ID_KEY)).collect();
    let mut window = Window::default();
    let mut at = 0;
    let mut observe = move |window: &mut Window| {
        let hour = Hour::new(i64::try_from(at / PER_HOUR).expect("fewer than fit"));
        let duplicate = window.observe(ids[at % IDS], hour, 24);
        at += 1;
        duplicate
    };
    for _ in 0..IDS {
        observe(&mut window);
    }
    let mut group = c.benchmark_group("dedupe");
    group.throughput(Throughput::Elements(1));
    group.bench_function("fresh", |b| b.iter(|| observe(&mut window)));
}

/// A month of the rollup table, as rows and as a file. One element is one row.
fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.sample_size(10);
    for (name, codebook) in [("liaoning", Codebook::liaoning()), ("china", Codebook::china())] {
        let cells = cells(&codebook, 31);
        let mut sorted: Vec<(&CellKey, &Measures)> = cells.iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| **key);
        let rows = || {
            let batch = rows::daily_rollups(&sorted, &codebook, &Horizon::default());
            batch.expect("the figures are small")
        };
        let batch = rows();
        group.throughput(Throughput::Elements(sorted.len() as u64));
        group.bench_function(format!("month rows/{name}"), |b| b.iter(rows));
        group.bench_function(format!("month hash/{name}"), |b| {
            b.iter(|| parquet_file::rows_hash(black_box(&batch)));
        });
        group.bench_function(format!("month parquet/{name}"), |b| {
            b.iter(|| parquet_file::encode(black_box(&batch), 1).expect("a batch of ours"));
        });
    }
}

/// The checkpoint of a shard that has seen a year of one province. One element is one cell.
fn checkpoint(c: &mut Criterion) {
    let mut state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b""));
    state.cells = cells(&Codebook::liaoning(), 365);
    let count = state.cells.len() as u64;
    let checkpoint = Standing::new(ShardId::kafka("parcel.events", 0)).with(state);
    let bytes = format::encode(&checkpoint);
    let mut group = c.benchmark_group("checkpoint");
    group.sample_size(10);
    group.throughput(Throughput::ElementsAndBytes { elements: count, bytes: bytes.len() as u64 });
    group.bench_function("year clone", |b| b.iter(|| black_box(&checkpoint).clone()));
    group.bench_function("year encode", |b| b.iter(|| format::encode(black_box(&checkpoint))));
    group.bench_function("year decode", |b| {
        b.iter(|| format::decode(black_box(&bytes)).expect("just encoded"));
    });
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = benches; config = config(); targets = step, dedupe, publish, checkpoint
}
criterion_main!(benches);
