//! Sums do not depend on who adds what to what.

use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::units::{Fen, Grams};
use proptest::array::uniform19;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::measures::MEASURES;

type Shard = Vec<(CellKey, Measures)>;

/// Few keys, so that shards share cells.
fn key() -> impl Strategy<Value = CellKey> {
    let prefectures = [210_100, 210_200].map(|code| PrefectureCode::new(code).expect("a code"));
    (18_800..18_803_i32, prop::sample::select(prefectures.to_vec()), 0..3_usize).prop_map(
        |(day, prefecture, product)| CellKey {
            day: BusinessDay::from_days(day),
            prefecture,
            product: Product::ALL[product],
        },
    )
}

/// Counts as large as a few shards can add up, money and weight as large as nothing can.
fn measures() -> impl Strategy<Value = Measures> {
    let largest = i64::MAX / 64;
    uniform19(-largest..=largest).prop_map(|row| {
        let mut row = row.map(i128::from);
        for wide in [1, 2, 10, 11, 15] {
            row[wide] <<= 50;
        }
        Measures::from_array(&row).expect("counts fit 64 bits")
    })
}

fn shards() -> impl Strategy<Value = Vec<Shard>> {
    vec(vec((key(), measures()), 0..8), 0..6)
}

fn rollup<'a>(shards: impl IntoIterator<Item = &'a Shard>) -> Rollup {
    let mut rollup = Rollup::default();
    for shard in shards {
        rollup.add(shard.iter().map(|(key, measures)| (key, measures)));
    }
    rollup
}

proptest! {
    #[test]
    fn merging_is_commutative(
        (shards, shuffled) in shards().prop_flat_map(|shards| {
            (Just(shards.clone()), Just(shards).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(rollup(&shards), rollup(&shuffled));
    }

    #[test]
    fn merging_is_associative(shards in shards(), at in any::<prop::sample::Index>()) {
        let (left, right) = shards.split_at(at.index(shards.len() + 1));
        let mut grouped = rollup(left);
        grouped.add(rollup(right).cells());
        prop_assert_eq!(grouped, rollup(&shards));
        let mut from_right = rollup(right);
        from_right.add(rollup(left).cells());
        prop_assert_eq!(from_right, rollup(&shards));
    }

    /// Cell by cell and measure by measure, the sum is that of 128-bit integers.
    #[test]
    fn merging_is_exact(shards in shards()) {
        let mut sums: BTreeMap<CellKey, [i128; MEASURES]> = BTreeMap::new();
        for (key, measures) in shards.iter().flatten() {
            let sum = sums.entry(*key).or_default();
            sum.iter_mut().zip(measures.to_array()).for_each(|(sum, value)| *sum += value);
        }
        let merged = rollup(&shards);
        let merged: Vec<_> = merged.cells().map(|(key, cell)| (*key, cell.to_array())).collect();
        prop_assert_eq!(merged, sums.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn days_are_a_half_open_part(shards in shards(), from in 18_799..18_805, days in 0..4) {
        let rollup = rollup(&shards);
        let (from, until) = (BusinessDay::from_days(from), BusinessDay::from_days(from + days));
        let part: Vec<_> = rollup.days(from, until).collect();
        let inside = |key: &CellKey| from <= key.day && key.day < until;
        let expected: Vec<_> = rollup.cells().filter(|(key, _)| inside(key)).collect();
        prop_assert_eq!(part, expected);
    }
}

/// The sums of a hundred thousand of the largest events, which do not fit 64 bits.
#[test]
fn sums_beyond_64_bits_are_exact() {
    let key = CellKey {
        day: BusinessDay::from_days(18_800),
        prefecture: PrefectureCode::new(210_100).expect("a code"),
        product: Product::Savings,
    };
    let shard = Measures {
        revenue: Fen::new(i64::MAX.into()),
        balance: Fen::new(i64::MIN.into()),
        weight: Grams::new(i64::MAX.into()),
        ..Measures::default()
    };
    let mut rollup = Rollup::default();
    for _ in 0..100_000 {
        rollup.add([(&key, &shard)]);
    }
    let (_, sum) = rollup.cells().next().expect("there is one cell");
    assert_eq!(sum.revenue.get(), i128::from(i64::MAX) * 100_000);
    assert_eq!(sum.balance.get(), i128::from(i64::MIN) * 100_000);
    assert_eq!(sum.weight.get(), i128::from(i64::MAX) * 100_000);
    assert_eq!((rollup.len(), rollup.is_empty()), (1, false));
    assert_eq!(rollup.day_range(), Some((key.day, key.day)));
}
