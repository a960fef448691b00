//! What rejected records would count for under other rules: after a prefecture was added to the
//! codebook, say. A replay is worked out here, recorded as an operator's decision, and adopted by the
//! shard ([`crate::decision::Replay`]).
//!
//! The log is read twice: first for the records that are wanted, then for all others, because a producer
//! may have sent an event again, corrected, after it had been rejected. A record whose id stands in any
//! other usable record of the log that counts is a repetition and adds nothing, however far away that
//! record is: a replay is a repair, and must rather count too little than twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use postroad_schemas::contract::Contract;
use postroad_schemas::reject::{Reason, Reject};
use postroad_schemas::units::{Offset, Timestamp};

use crate::decision::Replay;
use crate::event::{CellKey, Event, EventId, IdKey};
use crate::measures::Measures;
use crate::rules::Rules;
use crate::shard::{CLOCK_AHEAD_MAX, Record, judge};

/// A replay in the making.
pub struct Proposal {
    contract: Contract,
    rules: Arc<Rules>,
    id_key: IdKey,
    /// Records dated later are rejected still.
    latest: Option<Timestamp>,
    wanted: BTreeSet<Offset>,
    /// Records that were rejected and are not wanted: they count nowhere.
    uncounted: BTreeSet<Offset>,
    found: BTreeMap<Offset, Result<Event, Reject>>,
    /// The ids of those that were found usable, and which of them stand elsewhere, too.
    ids: HashSet<EventId, RandomState>,
    elsewhere: HashSet<EventId, RandomState>,
}

/// What a replay would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The records that would count, and what they add.
    pub replay: Replay,
    /// The records that are rejected by these rules, too.
    pub rejected: Vec<(Offset, Reject)>,
    /// The records that the log does not hold any more.
    pub missing: Vec<Offset>,
}

impl Proposal {
    /// A replay of the records at these offsets under these rules.
    pub fn new(
        contract: Contract,
        rules: Arc<Rules>,
        id_key: IdKey,
        wanted: BTreeSet<Offset>,
    ) -> Self {
        Self {
            contract,
            rules,
            id_key,
            latest: None,
            wanted,
            uncounted: BTreeSet::new(),
            found: BTreeMap::new(),
            ids: HashSet::default(),
            elsewhere: HashSet::default(),
        }
    }

    /// Rejects what lies more than [`CLOCK_AHEAD_MAX`] ahead of this clock.
    #[must_use]
    pub fn judged_at(self, clock: Timestamp) -> Self {
        Self { latest: Some(clock + CLOCK_AHEAD_MAX), ..self }
    }

    /// Passes over records that were rejected: what they repeat, or would repeat, is not counted by
    /// them.
    #[must_use]
    pub fn passing_over(self, rejected: BTreeSet<Offset>) -> Self {
        Self { uncounted: rejected, ..self }
    }

    /// Takes a record of the first reading.
    pub fn find(&mut self, record: &Record<'_>) {
        if self.wanted.contains(&record.offset)
            && let Some(judged) = self.judge(record)
        {
            self.ids.extend(judged.as_ref().ok().map(|event| event.id));
            self.found.insert(record.offset, judged);
        }
    }

    /// Takes a record of the second reading.
    pub fn compare(&mut self, record: &Record<'_>) {
        if !self.wanted.contains(&record.offset)
            && !self.uncounted.contains(&record.offset)
            && let Some(Ok(event)) = self.judge(record)
            && self.ids.contains(&event.id)
        {
            self.elsewhere.insert(event.id);
        }
    }

    /// What the replay would do, once the log was read twice.
    pub fn finish(self) -> Proposed {
        let mut seen = self.elsewhere;
        let mut cells: BTreeMap<CellKey, Measures> = BTreeMap::new();
        let mut proposed = Proposed {
            replay: Replay::default(),
            rejected: Vec::new(),
            missing: self
                .wanted
                .iter()
                .filter(|at| !self.found.contains_key(at))
                .copied()
                .collect(),
        };
        for (offset, judged) in self.found {
            match judged {
                Err(reject) => proposed.rejected.push((offset, reject)),
                Ok(event) if seen.insert(event.id) => {
                    *cells.entry(event.cell).or_default() += &Measures::of(&event, &self.rules);
                    proposed.replay.applied.push(offset);
                }
                Ok(_) => proposed.replay.duplicates.push(offset),
            }
        }
        proposed.replay.cells = cells.into_iter().collect();
        proposed
    }

    /// `None` for a tombstone.
    fn judge(&self, record: &Record<'_>) -> Option<Result<Event, Reject>> {
        let value = record.value?;
        let judged = judge(self.contract, value, record.timestamp, &self.rules, &self.id_key);
        Some(match judged {
            Ok(event) if self.latest.is_some_and(|latest| event.recorded_at > latest) => {
                Err(Reject::whole(Reason::ClockAhead))
            }
            Ok(event) => Ok(event),
            Err((reject, _)) => Err(reject),
        })
    }
}

#[cfg(test)]
mod tests {
    use postroad_schemas::codebook::Codebook;
    use postroad_schemas::units::Span;

    use super::*;

    fn value(id: &str, prefecture: u32) -> Vec<u8> {
        format!(
            r#"{{"event_id":"{id}","event_type":"accepted","product":"express",
            "prefecture":"{prefecture}","occurred_at":"2021-06-30T12:00:00+08:00","revenue_fen":7}}"#
        )
        .into_bytes()
    }

    const RECORDED_AT: Timestamp = Timestamp::from_millis(1_625_025_600_000);

    fn at(offsets: &[i64]) -> Vec<Offset> {
        offsets.iter().map(|at| Offset::new(*at)).collect()
    }

    /// A replay of some offsets, by the rules of Liaoning.
    fn proposal(wanted: &[i64]) -> Proposal {
        let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
        let wanted = at(wanted).into_iter().collect();
        Proposal::new(Contract::Parcel, rules, IdKey([3; 16]), wanted)
    }

    /// The offsets that a proposal applies, takes for repetitions, rejects for a reason, and misses.
    #[derive(Debug, Default, PartialEq)]
    struct Fates {
        applied: Vec<i64>,
        duplicates: Vec<i64>,
        rejected: Vec<(i64, Reason)>,
        missing: Vec<i64>,
    }

    fn applied(offsets: &[i64]) -> Fates {
        Fates { applied: offsets.to_vec(), ..Fates::default() }
    }

    fn duplicates(offsets: &[i64]) -> Fates {
        Fates { duplicates: offsets.to_vec(), ..Fates::default() }
    }

    /// What a proposal makes of a log of ids and prefectures.
    #[track_caller]
    fn check(mut proposal: Proposal, log: &[(&str, u32)], expect: &Fates) {
        let values: Vec<_> = log.iter().map(|(id, prefecture)| value(id, *prefecture)).collect();
        let records = || {
            (0..).zip(&values).map(|(offset, value)| Record {
                offset: Offset::new(offset),
                timestamp: Some(RECORDED_AT),
                value: Some(value),
            })
        };
        records().for_each(|record| proposal.find(&record));
        records().for_each(|record| proposal.compare(&record));
        let proposed = proposal.finish();
        let plain = |offsets: &[Offset]| offsets.iter().map(|at| at.get()).collect();
        let fates = Fates {
            applied: plain(&proposed.replay.applied),
            duplicates: plain(&proposed.replay.duplicates),
            rejected: proposed.rejected.iter().map(|(at, why)| (at.get(), why.reason)).collect(),
            missing: plain(&proposed.missing),
        };
        assert_eq!(&fates, expect);
        let events: i64 = proposed.replay.cells.iter().map(|(_, cell)| cell.events).sum();
        assert_eq!(events, i64::try_from(expect.applied.len()).expect("small"));
    }

    #[test]
    fn what_the_rules_accept_counts_once_and_the_rest_is_told() {
        let log = [("a", 210_100), ("b", 999_999), ("c", 210_100), ("d", 210_200), ("d", 210_200)];
        let rejected = vec![(1, Reason::UnknownPrefecture)];
        let fates = Fates { rejected, missing: vec![9], ..applied(&[0]) };
        check(proposal(&[0, 1, 9]), &log, &fates);
        // Sent again, corrected, before or after it was rejected.
        check(proposal(&[3]), &log, &duplicates(&[3]));
        check(proposal(&[4]), &log, &duplicates(&[4]));
        // Both were rejected: one of them counts.
        check(proposal(&[3, 4]), &log, &Fates { duplicates: vec![4], ..applied(&[3]) });
        // Both were rejected and one is asked for: the other counts nowhere.
        let rejected = at(&[3]).into_iter().collect();
        check(proposal(&[4]).passing_over(rejected), &log, &applied(&[4]));
        // What is unusable elsewhere too is no repetition.
        check(proposal(&[0]), &[("a", 210_100), ("a", 999_999)], &applied(&[0]));
    }

    #[test]
    fn what_still_lies_in_the_future_is_rejected_still() {
        let log = [("a", 210_100)];
        let soon = RECORDED_AT - CLOCK_AHEAD_MAX;
        check(proposal(&[0]).judged_at(soon), &log, &applied(&[0]));
        let sooner = soon - Span::hours(1);
        let rejected = vec![(0, Reason::ClockAhead)];
        let fates = Fates { rejected, ..Fates::default() };
        check(proposal(&[0]).judged_at(sooner), &log, &fates);
    }
}
