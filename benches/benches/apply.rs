//! What follows reading: the fold of a record, the dedupe window, checkpoints and tables.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postroad_aggregate::days::Horizon;
use postroad_aggregate::dedupe::Window;
use postroad_aggregate::event::{CellKey, EventId, IdKey};
use postroad_aggregate::measures::Measures;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Cells, Record, Shard, ShardState};
use postroad_benches::workload::{Input, cells, inputs};
use postroad_ingest::checkpoint::envelope::Seq;
use postroad_ingest::checkpoint::{Checkpoint, ShardId, Standing, format};
use postroad_ingest::config::IndicatorsConfig;
use postroad_ingest::publish::draft::{self, DraftInput, Earlier};
use postroad_ingest::publish::indicators::Known;
use postroad_ingest::publish::manifest::Manifest;
use postroad_ingest::publish::restatements::Before;
use postroad_ingest::publish::{parquet_file, rows};
use postroad_ingest::reference::ReferenceSet;
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

/// A publish that changes one cell of three months: by a publisher that made the one before, and by
/// one that has taken over and compares rows. One element is one cell.
fn quarter(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.sample_size(10);
    for (name, prefectures) in
        [("liaoning", Codebook::LIAONING_CSV), ("china", Codebook::CHINA_CSV)]
    {
        let files = [("prefectures.csv".to_owned(), prefectures.to_owned())].into();
        let reference = Arc::new(ReferenceSet::from_files(files).expect("they are sound"));
        let cells = cells(&reference.codebook, 92);
        group.throughput(Throughput::Elements(cells.len() as u64));
        let first = draft_input(&reference, cells.clone(), None);
        let made = draft::merge(&first, Before::default());
        let made = draft::draft(&first, made, Earlier::default()).expect("the figures are small");
        let (last, rollup) = (Arc::new(made.manifest), Arc::new(made.rollup));
        let mut changed = cells;
        changed.values_mut().next().expect("a cell").volume += 1;
        let input = draft_input(&reference, changed, Some(last));
        for (how, is_own) in [("own", true), ("taken over", false)] {
            let before = Before { is_own, ..Before::own(1, Arc::clone(&rollup)) };
            group.bench_function(format!("quarter {how}/{name}"), |b| {
                b.iter(|| {
                    let merged = draft::merge(&input, before.clone());
                    draft::draft(&input, merged, Earlier::default()).expect("the figures are small")
                });
            });
        }
    }
}

fn draft_input(
    reference: &Arc<ReferenceSet>,
    cells: Cells,
    last: Option<Arc<Manifest>>,
) -> DraftInput {
    let checkpoint = checkpoint_of(cells);
    DraftInput {
        shards: vec![(checkpoint.id.clone(), Some((Seq::FIRST, Arc::new(checkpoint))))],
        horizon: Horizon::default(),
        reference: Arc::clone(reference),
        indicators: IndicatorsConfig::default(),
        known: Known::default(),
        retention_days: 90,
        manifests: last.iter().cloned().collect(),
        last,
        damaged: BTreeSet::new(),
        nonce: 0,
        now: Timestamp::from_micros(0),
    }
}

fn checkpoint_of(cells: Cells) -> Checkpoint {
    let mut state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b""));
    state.cells = cells;
    Standing::new(ShardId::kafka("parcel.events", 0)).with(state)
}

/// The checkpoint of a shard that has seen a year of one province. One element is one cell.
fn checkpoint(c: &mut Criterion) {
    let checkpoint = checkpoint_of(cells(&Codebook::liaoning(), 365));
    let count = checkpoint.state.cells.len() as u64;
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
    name = benches; config = config(); targets = step, dedupe, publish, quarter, checkpoint
}
criterion_main!(benches);
