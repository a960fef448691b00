//! What rejected records would count for under other rules: after a prefecture was added to the
//! codebook, say. A replay is worked out here, recorded as an operator's decision, and adopted by the
//! shard ([`crate::decision::Replay`]).
//!
//! The log is read twice: first for the records that are wanted, then for all others, because a producer
//! may have sent an event again, corrected, after it had been rejected. A record whose id stands in any
//! other usable record of the log is a repetition and adds nothing, however far away that record is:
//! a replay is a repair, and must rather count too little than twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use postroad_schemas::contract::Contract;
use postroad_schemas::reject::Reject;
use postroad_schemas::units::Offset;

use crate::decision::Replay;
use crate::event::{CellKey, Event, EventId, IdKey};
use crate::measures::Measures;
use crate::rules::Rules;
use crate::shard::{Record, judge};

/// A replay in the making.
pub struct Proposal {
    contract: Contract,
    rules: Arc<Rules>,
    id_key: IdKey,
    wanted: BTreeSet<Offset>,
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
        let (ids, elsewhere) = (HashSet::default(), HashSet::default());
        Self { contract, rules, id_key, wanted, found: BTreeMap::new(), ids, elsewhere }
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
        Some(judged.map_err(|(reject, _)| reject))
    }
}

#[cfg(test)]
mod tests {
    use postroad_schemas::codebook::Codebook;
    use postroad_schemas::reject::Reason;
    use postroad_schemas::units::Timestamp;

    use super::*;

    fn value(id: &str, prefecture: u32) -> Vec<u8> {
        format!(
            r#"{{"event_id":"{id}","event_type":"accepted","product":"express",
            "prefecture":"{prefecture}","occurred_at":"2021-06-30T12:00:00+08:00","revenue_fen":7}}"#
        )
        .into_bytes()
    }

    /// The replay of offsets 0 to 9 of a log of ids and prefectures, all of which the rules know.
    #[track_caller]
    fn check(wanted: &[i64], log: &[(&str, u32)], expect: (&[i64], &[i64], &[i64], &[i64])) {
        let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
        let at = |offsets: &[i64]| offsets.iter().map(|at| Offset::new(*at)).collect::<Vec<_>>();
        let wanted = at(wanted).into_iter().collect();
        let mut proposal = Proposal::new(Contract::Parcel, rules, IdKey([3; 16]), wanted);
        let values: Vec<_> = log.iter().map(|(id, prefecture)| value(id, *prefecture)).collect();
        let record = |(offset, value): (usize, &'static [u8])| Record {
            offset: Offset::new(i64::try_from(offset).expect("small")),
            timestamp: Some(Timestamp::from_millis(1_625_025_600_000)),
            value: Some(value),
        };
        let values: Vec<&'static [u8]> = values.into_iter().map(|v| &*Vec::leak(v)).collect();
        values.iter().copied().enumerate().map(record).for_each(|r| proposal.find(&r));
        values.iter().copied().enumerate().map(record).for_each(|r| proposal.compare(&r));
        let proposed = proposal.finish();
        let (applied, duplicates, rejected, missing) = expect;
        assert_eq!(proposed.replay.applied, at(applied));
        assert_eq!(proposed.replay.duplicates, at(duplicates));
        let found: Vec<_> = proposed.rejected.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(found, at(rejected));
        assert!(proposed.rejected.iter().all(|(_, why)| why.reason == Reason::UnknownPrefecture));
        assert_eq!(proposed.missing, at(missing));
        let events: i64 = proposed.replay.cells.iter().map(|(_, cell)| cell.events).sum();
        assert_eq!(events, i64::try_from(applied.len()).expect("small"));
    }

    #[test]
    fn what_the_rules_accept_counts_once_and_the_rest_is_told() {
        let log = [("a", 210_100), ("b", 999_999), ("c", 210_100), ("d", 210_200), ("d", 210_200)];
        check(&[0, 1, 9], &log, (&[0], &[], &[1], &[9]));
        // Sent again, corrected, before or after it was rejected.
        check(&[3], &log, (&[], &[3], &[], &[]));
        check(&[4], &log, (&[], &[4], &[], &[]));
        // Both were rejected: one of them counts.
        check(&[3, 4], &log, (&[3], &[4], &[], &[]));
        // What is unusable elsewhere too is no repetition.
        check(&[0], &[("a", 210_100), ("a", 999_999)], (&[0], &[], &[], &[]));
    }
}
