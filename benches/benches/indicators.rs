//! The indicators of the whole nation: 337 prefectures, 17 products, three years of days.

use std::collections::BTreeMap;

use criterion::{Criterion, criterion_group, criterion_main};
use postroad_aggregate::event::CellKey;
use postroad_aggregate::indicators::{Input, Settings, evaluate};
use postroad_aggregate::measures::Measures;
use postroad_schemas::codebook::{Codebook, Product};
use postroad_schemas::reference::{Reference, ReferenceFiles};
use postroad_schemas::units::{BusinessDay, Fen};

/// Days of data: this year's and two years before.
const DAYS: i32 = 3 * 365;

fn national() -> (Codebook, Vec<(CellKey, Measures)>, BusinessDay) {
    let codebook = Codebook::china();
    let last = BusinessDay::from_civil(2021, 12, 31).expect("a date");
    let mut cells = Vec::new();
    for day in (0..DAYS).map(|number| last.plus_days(number - DAYS + 1)) {
        for prefecture in codebook.prefectures().map(|prefecture| prefecture.code) {
            for product in Product::ALL.iter().copied() {
                let volume = i64::from(day.days()) % 97 + i64::from(prefecture.get()) % 89;
                let revenue = Fen::new(i128::from(volume) * 1_031);
                let measures = Measures {
                    volume,
                    revenue,
                    balance: revenue,
                    due: volume,
                    delivered: volume,
                    ..Measures::default()
                };
                cells.push((CellKey { day, prefecture, product }, measures));
            }
        }
    }
    (codebook, cells, last)
}

/// A local benchmark for every prefecture, and the industry's for the nation.
fn benchmarks(codebook: &Codebook) -> String {
    let head = "versus,level,code,line,measure,period_start,period_end,growth_pct,basis,published_at,source\n\
        industry,nation,,parcel,volume,2021-01-01,2021-12-31,29.9,,2022-01-14,SPB\n\
        industry,nation,,parcel,revenue,2021-01-01,2021-12-31,17.5,,2022-01-14,SPB\n";
    let local = codebook.prefectures().map(|prefecture| {
        let code = prefecture.code;
        format!(
            "local,prefecture,{code},,revenue,2021-01-01,2021-09-30,6.1,,2021-10-20,synthetic\n"
        )
    });
    std::iter::once(head.to_owned()).chain(local).collect()
}

fn evaluated(criterion: &mut Criterion) {
    let (codebook, cells, as_of) = national();
    let benchmarks = benchmarks(&codebook);
    let files = ReferenceFiles { benchmarks: Some(&benchmarks), ..ReferenceFiles::default() };
    let reference = Reference::from_csv(files, None).expect("sound");
    let provinces: BTreeMap<_, _> = codebook
        .prefectures()
        .map(|prefecture| (prefecture.code, prefecture.province_code))
        .collect();
    let input = Input {
        provinces: &provinces,
        reference: &reference,
        as_of,
        settings: Settings::default(),
    };
    let mut group = criterion.benchmark_group("indicators");
    group.sample_size(10);
    group.bench_function("nation", |bencher| {
        bencher.iter(|| evaluate(&input, cells.iter().map(|(key, measures)| (*key, measures))));
    });
    group.finish();
}

criterion_group!(benches, evaluated);
criterion_main!(benches);
