//! Reading a value: decoding its JSON, and judging what it says. One element is one event.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::Rules;
use postroad_aggregate::validate::validate;
use postroad_benches::workload::{Input, inputs};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::{Contract, Raw};
use postroad_schemas::json;

const EVENTS: usize = 1_000;
const CONTRACTS: [Contract; 2] = [Contract::Parcel, Contract::Finance];

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for contract in CONTRACTS {
        let inputs = inputs(contract, EVENTS);
        let bytes = inputs.iter().map(|input| input.value.len() as u64).sum();
        group.throughput(Throughput::ElementsAndBytes { elements: EVENTS as u64, bytes });
        group.bench_function(contract.as_str(), |b| {
            b.iter(|| {
                for input in &inputs {
                    let raw = json::decode(contract, black_box(&input.value));
                    let _ = black_box(raw);
                }
            });
        });
    }
}

fn judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for contract in CONTRACTS {
        let inputs = inputs(contract, EVENTS);
        judge_contract(&mut group, contract, &inputs);
    }
}

fn judge_contract(
    group: &mut BenchmarkGroup<'_, criterion::measurement::WallTime>,
    contract: Contract,
    inputs: &[Input],
) {
    let rules = Rules::with_defaults(&Codebook::liaoning());
    let id_key = IdKey([7; 16]);
    let raws: Vec<(Raw<'_>, _)> = inputs
        .iter()
        .map(|input| {
            let raw = json::decode(contract, &input.value).expect("the province's events are JSON");
            (raw, Some(input.timestamp))
        })
        .collect();
    group.bench_function(contract.as_str(), |b| {
        b.iter(|| {
            for (raw, timestamp) in &raws {
                let event = validate(contract, black_box(raw), *timestamp, &rules, &id_key);
                let _ = black_box(event);
            }
        });
    });
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = config(); targets = decode, judge }
criterion_main!(benches);
