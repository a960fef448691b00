//! Ranks: prefectures of a province in the order of their own figure, and how they have moved.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use postroad_schemas::units::BusinessDay;

use super::book::{Book, Unit};
use super::growth::{Growth, order};
use super::known::Base;
use super::period::{Period, Range};
use super::{Comparison, Exact, Indicator, Input, Light};

/// The day as of which ranks are compared: the end of the month before.
pub(super) fn earlier(as_of: BusinessDay) -> BusinessDay {
    as_of.month_start().plus_days(-1)
}

/// Ranks the prefectures of each province in each kind of row, the highest first. What is not known
/// has no rank, nor has anybody where figures are of different days: as against economies of which some
/// have been published later.
pub(super) fn rank(input: &Input<'_>, book: &Book, rows: &mut [Indicator]) {
    let mut contests: HashMap<_, Vec<usize>, RandomState> = HashMap::default();
    for (index, row) in rows.iter().enumerate() {
        let Unit::Prefecture(code) = row.unit else { continue };
        let Some(province) = input.provinces.get(&code) else { continue };
        let contest = (*province, row.scope, row.measure, row.period, row.comparison);
        contests.entry(contest).or_default().push(index);
    }
    let earlier = earlier_periods(book);
    for ((province, scope, measure, period, comparison), contest) in contests {
        let own = |index: &usize| {
            let row = &rows[*index];
            row.own.filter(|_| row.light != Some(Light::Unknown))
        };
        let known = contest.iter().filter(|index| own(index).is_some());
        let mut days = known.map(|index| rows[*index].days);
        let first = days.next();
        if days.any(|days| Some(days) != first) {
            continue;
        }
        let now = places(contest.iter().map(own));
        for (index, place) in contest.iter().zip(now) {
            rows[*index].rank = place;
        }
        if let (Comparison::Yoy, Some((days, base))) = (comparison, earlier.get(&period)) {
            // Whoever has no row today may have had a place then.
            let units = || book.members(province).iter().map(|code| Unit::Prefecture(*code));
            let units = || units().filter(|unit| book.has(*unit, scope));
            let before =
                |unit| Growth::between(book, (unit, scope, measure), *days, *base).growth.ok();
            let before: BTreeMap<_, _> = units().zip(places(units().map(before))).collect();
            for index in &contest {
                let row = &mut rows[*index];
                let before = before.get(&row.unit).copied().flatten();
                row.rank_change = before.zip(row.rank).map(|(before, now)| {
                    i32::try_from(i64::from(before) - i64::from(now)).unwrap_or_default()
                });
            }
        }
    }
}

/// The periods as of the end of the month before.
fn earlier_periods(book: &Book) -> BTreeMap<Period, (Range, Base)> {
    let compared = |period: &Period| {
        let days = period.range(earlier(book.as_of()))?;
        Some((*period, (days, book.known().base(days, period.year_before(days)))))
    };
    Period::ALL.iter().filter_map(compared).collect()
}

/// The place of each figure, the highest first: 1, 2, 2, 4. What is not known has none.
fn places(own: impl Iterator<Item = Option<Exact>>) -> Vec<Option<u32>> {
    let own: Vec<_> = own.collect();
    let mut order_of: Vec<_> =
        own.iter().enumerate().filter_map(|(index, own)| Some((index, (*own)?))).collect();
    order_of.sort_by(|(_, a), (_, b)| order(b, a));
    let mut places = vec![None; own.len()];
    let (mut place, mut before): (u32, Option<Exact>) = (0, None);
    for (number, (index, own)) in (1..).zip(order_of) {
        if before.is_none_or(|before| order(&before, &own) != Ordering::Equal) {
            (place, before) = (number, Some(own));
        }
        places[index] = Some(place);
    }
    places
}
