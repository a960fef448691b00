//! Lots from a seed. Each part of the world throws dice of its own, so that one more throw in one part
//! leaves the others as they were.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Dice that several tasks of one world share. Clones throw the same ones.
#[derive(Clone)]
pub(super) struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    pub(super) fn new(seed: u64, part: &str) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(mix(&(seed, part))))))
    }

    fn throw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(super) fn per_mille(&self, odds: u32) -> bool {
        odds > 0 && self.throw(|rng| rng.random_range(0..1000) < odds)
    }

    pub(super) fn one_in(&self, n: u32) -> bool {
        self.throw(|rng| rng.random_range(0..n) == 0)
    }

    pub(super) fn number(&self, range: Range<i64>) -> i64 {
        self.throw(|rng| rng.random_range(range))
    }

    pub(super) fn index(&self, len: usize) -> usize {
        self.throw(|rng| rng.random_range(0..len))
    }

    pub(super) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.throw(|rng| rng.random_range(range)))
    }

    pub(super) fn bits(&self) -> u128 {
        self.throw(StdRng::random)
    }

    /// One of them, if there is any.
    pub(super) fn pick<T: Clone>(&self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.index(of.len())].clone())
    }

    /// One of the indices, each as likely as its weight.
    pub(super) fn weighted(&self, weights: &[u32]) -> usize {
        let mut lot = self.throw(|rng| rng.random_range(0..weights.iter().sum::<u32>()));
        weights
            .iter()
            .position(|weight| {
                let hit = lot < *weight;
                lot = lot.saturating_sub(*weight);
                hit
            })
            .expect("the lot is below the sum")
    }
}

/// A number that depends on all of this and on nothing else.
pub(super) fn mix(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
