//! The ids that a shard has seen within its window.
//!
//! An id last seen in shard hour *h* is a duplicate at hour *n* while `n − h ≤ window`. Whether it
//! is one or not, it is then remembered at *n*: so the window is a function of the records in it,
//! and re-reading them rebuilds it. Ids are never persisted.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use postroad_schemas::units::Hour;

use crate::event::EventId;

/// The ids of the window, each with the hour in which it was last seen.
///
/// Entries that have left the window stay until they are half of the table and are then swept out
/// at once: amortised constant work an insertion, and at most twice the memory of the live ids.
#[derive(Debug, Default)]
pub struct Window {
    ids: HashMap<u128, Hour, RandomState>,
    /// How many ids were last seen in each hour, oldest first; sums to `ids.len()`.
    last_seen: VecDeque<(Hour, usize)>,
}

impl Window {
    /// Remembers an id at an hour, and says whether it was a duplicate. Hours never go back.
    pub fn observe(&mut self, id: EventId, hour: Hour, window_h: u32) -> bool {
        let oldest = hour.window_start(window_h);
        let duplicate = match self.ids.entry(id.get()) {
            Entry::Occupied(mut entry) => {
                let before = entry.insert(hour);
                Self::forget_one(&mut self.last_seen, before);
                before >= oldest
            }
            Entry::Vacant(entry) => {
                entry.insert(hour);
                false
            }
        };
        match self.last_seen.back_mut() {
            Some((newest, count)) if *newest == hour => *count += 1,
            _ => {
                self.last_seen.push_back((hour, 1));
                self.sweep(oldest);
            }
        }
        duplicate
    }

    /// How many ids are held, expired ones that were not yet swept out included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no id is held.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn forget_one(last_seen: &mut VecDeque<(Hour, usize)>, hour: Hour) {
        if let Ok(index) = last_seen.binary_search_by_key(&hour, |(hour, _)| *hour) {
            last_seen[index].1 -= 1;
        }
    }

    /// Drops what was last seen before `oldest`, once that is half of all.
    fn sweep(&mut self, oldest: Hour) {
        let expired: usize =
            self.last_seen.iter().take_while(|(hour, _)| *hour < oldest).map(|(_, n)| n).sum();
        if expired * 2 >= self.ids.len() {
            self.forget_before(oldest);
        }
    }

    /// Drops every id last seen before `oldest`, so that a wider window that is adopted later
    /// cannot see what a narrower one had already let go.
    pub fn forget_before(&mut self, oldest: Hour) {
        self.ids.retain(|_, hour| *hour >= oldest);
        self.last_seen.retain(|(hour, _)| *hour >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::IdKey;

    fn id(number: u32) -> EventId {
        EventId::new(&number.to_string(), &IdKey([1; 16]))
    }

    #[track_caller]
    fn check(window_h: u32, hours: &[i64], expect: &[bool]) {
        let mut window = Window::default();
        let seen: Vec<bool> =
            hours.iter().map(|hour| window.observe(id(1), Hour::new(*hour), window_h)).collect();
        assert_eq!(seen, expect);
    }

    #[test]
    fn the_window_is_inclusive_and_each_sighting_renews_it() {
        check(24, &[100, 124], &[false, true]);
        check(24, &[100, 125], &[false, false]);
        check(24, &[100, 120, 140, 164, 189], &[false, true, true, true, false]);
        check(0, &[5, 5, 6], &[false, true, false]);
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let mut window = Window::default();
        for number in 0..10_000 {
            window.observe(id(number), Hour::new(i64::from(number / 10)), 24);
        }
        assert!(window.len() <= 2 * 25 * 10 + 10, "{} ids for 250 in the window", window.len());
        let counted: usize = window.last_seen.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, window.len());
    }
}
