//! Everything that chance decides, from one seeded generator.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::simulate::shapes::Lognormal;

/// The simulator's only source of randomness: the same seed and the same questions give the same
/// answers (within one version of `rand`).
#[derive(Debug)]
pub(in crate::simulate) struct Dice(StdRng);

impl Dice {
    pub(in crate::simulate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// An integer in `[0, end)`; `end` is positive.
    pub(in crate::simulate) fn below(&mut self, end: u32) -> u32 {
        self.0.random_range(0..end)
    }

    /// An integer in `[from, to)`, which is not empty.
    pub(in crate::simulate) fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..to)
    }

    /// A position in a table of `len` entries, which is not empty.
    pub(in crate::simulate) fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }

    /// True with this probability.
    pub(in crate::simulate) fn chance(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// A position in a table, by the weight that `weight` reads from each of its entries.
    pub(in crate::simulate) fn pick<T>(&mut self, table: &[T], weight: fn(&T) -> u32) -> usize {
        let mut left = self.below(table.iter().map(weight).sum());
        for (index, entry) in table.iter().enumerate() {
            match left.checked_sub(weight(entry)) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        unreachable!("the draw is below the sum of the weights")
    }

    /// A positive integer by a lognormal distribution, never over `max`.
    ///
    /// The normal deviate is by Box and Muller.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped to a range that i64 holds exactly"
    )]
    #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
    pub(in crate::simulate) fn lognormal(&mut self, shape: Lognormal, max: i64) -> i64 {
        let radius = (-2.0 * (1.0 - self.0.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.0.random::<f64>()).cos();
        let drawn = shape.median * (shape.sigma * normal).exp();
        drawn.round().clamp(1.0, max as f64) as i64
    }

    /// The bytes of a UUID of version 4.
    pub(in crate::simulate) fn uuid(&mut self) -> [u8; 16] {
        let mut bytes: [u8; 16] = self.0.random();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }
}
