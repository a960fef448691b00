//! What the benches work on: the events of the simulated province, and cells as a year of them
//! would leave behind.

use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::{MEASURES, Measures};
use postroad_aggregate::shard::Cells;
use postroad_ingest::simulate::province::{Province, ProvinceOptions, Simulated};
use postroad_schemas::codebook::{Codebook, Product};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{BusinessDay, Timestamp};

/// The business day on which every workload begins: 2021-06-01.
pub const FIRST_DAY: BusinessDay = BusinessDay::from_days(18_779);

/// The mean distance of two events of one province, in milliseconds: about five million a day.
const EVENT_EVERY_MS: i64 = 17;

/// The endless stream of a province with all its faults: duplicates, late and broken records.
pub fn events(seed: u64) -> impl Iterator<Item = Simulated> {
    simulate(ProvinceOptions { seed, ..ProvinceOptions::default() })
}

fn simulate(options: ProvinceOptions) -> impl Iterator<Item = Simulated> {
    let start_ms = FIRST_DAY.start().as_micros() / 1_000;
    let mut province = Province::new(options);
    (0..).map(move |index: i64| province.next(start_ms + index * EVENT_EVERY_MS))
}

/// One value with its record's timestamp.
#[derive(Debug)]
pub struct Input {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The value.
    pub value: Vec<u8>,
}

/// Usable events of one contract, each with an id of its own.
pub fn inputs(contract: Contract, count: usize) -> Vec<Input> {
    let options = ProvinceOptions { seed: 1, faults: false, ..ProvinceOptions::default() };
    simulate(options)
        .filter(|event| event.contract == contract)
        .filter_map(|event| {
            let timestamp = Timestamp::from_millis(event.timestamp_ms);
            event.value.map(|value| Input { timestamp, value })
        })
        .take(count)
        .collect()
}

/// A cell for each prefecture of a codebook, product and day, filled with figures of a plausible
/// size.
pub fn cells(codebook: &Codebook, days: u16) -> Cells {
    let mut noise = Noise(1);
    let mut cells = Cells::default();
    for day in (0..days).map(|day| FIRST_DAY.plus_days(day.into())) {
        for prefecture in codebook.prefectures() {
            for product in Product::ALL {
                let key = CellKey { day, prefecture: prefecture.code, product: *product };
                cells.insert(key, noise.measures(product.contract()));
            }
        }
    }
    cells
}

/// The largest figure of each measure in the order of [`Measures::to_array`], by contract.
const PARCEL_MAX: [u64; MEASURES] = [
    20_000, 9_000_000, 16_000_000, 80_000, 18_000, 19_000, 18_000, 800, 300, 100, 0, 0, 0, 0,
    3_000, 1_300_000, 130_000, 900, 40,
];
const FINANCE_MAX: [u64; MEASURES] = [
    20_000,
    400_000,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    9_000_000_000,
    20_000_000_000,
    400,
    30,
    500,
    60_000,
    21_000,
    200,
    9,
];

/// A splitmix generator: figures that do not compress, the same in every run.
struct Noise(u64);

impl Noise {
    fn measures(&mut self, contract: Contract) -> Measures {
        let max = match contract {
            Contract::Parcel => &PARCEL_MAX,
            Contract::Finance => &FINANCE_MAX,
        };
        let row = max.map(|max| i128::from(self.up_to(max)));
        Measures::from_array(&row).expect("64 bits fit 64 bits")
    }

    /// A number in `[0, max]`.
    fn up_to(&mut self, max: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % (max + 1)
    }
}
