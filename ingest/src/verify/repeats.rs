//! Event ids that stand in more than one partition of a topic.
//!
//! Duplicates are recognised within a partition, because producers key stably. Where they do not, the
//! same event is counted in two partitions; this counts how often. Ids are held in memory only while
//! a topic is read, and never shown.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

use postroad_aggregate::event::EventId;

/// How many ids are held at most: some 140 MB.
const IDS_MAX: usize = 3_500_000;

/// Counts ids that are seen in more than one partition, in bounded memory: when the bound is reached,
/// half of the ids are let go and from then on one in two is looked at, then one in four.
#[derive(Debug)]
pub struct Repeats {
    seen: HashMap<EventId, Seen>,
    bound: usize,
    /// An id is looked at if this many low bits of its hash are zero.
    zero_bits: u32,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    In(i32),
    InSeveral,
}

impl Default for Repeats {
    fn default() -> Self {
        Self::bounded(IDS_MAX)
    }
}

impl Repeats {
    fn bounded(bound: usize) -> Self {
        Self { seen: HashMap::new(), bound, zero_bits: 0, hasher: RandomState::new() }
    }

    /// Looks at the id of a valid record in a partition.
    pub fn observe(&mut self, id: EventId, partition: i32) {
        if !is_looked_at(&self.hasher, id, self.zero_bits) {
            return;
        }
        match self.seen.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(Seen::In(partition));
            }
            Entry::Occupied(mut entry) if *entry.get() != Seen::In(partition) => {
                entry.insert(Seen::InSeveral);
            }
            Entry::Occupied(_) => {}
        }
        while self.seen.len() > self.bound {
            self.zero_bits += 1;
            let (hasher, zero_bits) = (&self.hasher, self.zero_bits);
            self.seen.retain(|id, _| is_looked_at(hasher, *id, zero_bits));
        }
    }

    /// How many ids stand in more than one partition, of those looked at.
    pub fn repeated(&self) -> usize {
        self.seen.values().filter(|seen| **seen == Seen::InSeveral).count()
    }

    /// One id in so many was looked at: 1 while the bound has not been reached.
    pub fn one_in(&self) -> u64 {
        1 << self.zero_bits
    }
}

fn is_looked_at(hasher: &RandomState, id: EventId, zero_bits: u32) -> bool {
    hasher.hash_one(id).trailing_zeros() >= zero_bits
}

#[cfg(test)]
mod tests {
    use postroad_aggregate::event::IdKey;

    use super::*;

    fn observe(repeats: &mut Repeats, id: u32, partition: i32) {
        repeats.observe(EventId::new(&id.to_string(), &IdKey([1; 16])), partition);
    }

    #[test]
    fn an_id_counts_once_however_often_and_in_however_many_partitions_it_stands() {
        let mut repeats = Repeats::default();
        for (id, partition) in [(1, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 0), (3, 1), (3, 2)] {
            observe(&mut repeats, id, partition);
        }
        assert_eq!((repeats.repeated(), repeats.one_in()), (2, 1));
    }

    #[test]
    fn memory_is_bounded_and_the_share_that_is_looked_at_is_told() {
        let mut repeats = Repeats::bounded(1_000);
        for id in 0..20_000 {
            observe(&mut repeats, id, 0);
            assert!(repeats.seen.len() <= 1_000);
        }
        for id in 0..20_000 {
            observe(&mut repeats, id, 1);
        }
        let (repeated, one_in) = (repeats.repeated() as u64, repeats.one_in());
        assert!(one_in >= 16, "one in {one_in}");
        assert_eq!(repeated, repeats.seen.len() as u64, "every id stands in both");
        let estimate = repeated * one_in;
        assert!((10_000..40_000).contains(&estimate), "{repeated} of one in {one_in}");
    }
}
