//! Ranks: prefectures of a province in the order of their own figure.

use std::collections::BTreeMap;

use super::book::Unit;
use super::{Exact, Indicator, Input};

/// Ranks the prefectures of each province in each kind of row, the highest first: 1, 2, 2, 4. What is
/// not known has no rank.
pub(super) fn rank(input: &Input<'_>, rows: &mut [Indicator]) {
    let mut contests: BTreeMap<_, Vec<(Exact, usize)>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let (Unit::Prefecture(code), Some(own)) = (row.unit, row.own) else { continue };
        let Some(province) = input.provinces.get(&code) else { continue };
        let contest = (*province, row.scope, row.measure, row.period, row.comparison);
        contests.entry(contest).or_default().push((own, index));
    }
    for mut contest in contests.into_values() {
        contest.sort_by(|(a, _), (b, _)| b.cmp(a));
        let mut place = 0;
        let mut before = None;
        for (number, (own, index)) in (1..).zip(contest) {
            if before != Some(own) {
                (place, before) = (number, Some(own));
            }
            rows[index].rank = Some(place);
        }
    }
}
