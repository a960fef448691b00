//! Ranks: prefectures of a province in the order of their own figure.

use std::cmp::Ordering;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::book::Unit;
use super::growth::order;
use super::{Exact, Indicator, Input};

/// Ranks the prefectures of each province in each kind of row, the highest first: 1, 2, 2, 4. What is
/// not known has no rank.
pub(super) fn rank(input: &Input<'_>, rows: &mut [Indicator]) {
    let mut contests: HashMap<_, Vec<(Exact, usize)>, RandomState> = HashMap::default();
    for (index, row) in rows.iter().enumerate() {
        let (Unit::Prefecture(code), Some(own)) = (row.unit, row.own) else { continue };
        let Some(province) = input.provinces.get(&code) else { continue };
        let contest = (*province, row.scope, row.measure, row.period, row.comparison);
        contests.entry(contest).or_default().push((own, index));
    }
    for mut contest in contests.into_values() {
        contest.sort_by(|(a, _), (b, _)| order(b, a));
        let mut place = 0;
        let mut before: Option<Exact> = None;
        for (number, (own, index)) in (1..).zip(contest) {
            if before.is_none_or(|before| order(&before, &own) != Ordering::Equal) {
                (place, before) = (number, Some(own));
            }
            rows[index].rank = Some(place);
        }
    }
}
