//! The naive oracle reads the log as well. What the reference says is the core's own fold; this is
//! what the contract says.

use std::panic::{AssertUnwindSafe, catch_unwind};

use postroad_schemas::reject::Reason;

use super::Broken;
use super::chains::{Chains, Object};
use super::reference::Start;
use crate::oracle::OracleShard;
use crate::pair::assert_same;
use crate::sim::panicked;

/// A clock that no record is ahead of.
const LATE_MICROS: i64 = i64::MAX / 2;

impl Chains {
    /// Compares the newest checkpoint of every shard that was read under one set of rules, through a
    /// window that retention left whole.
    pub(super) fn ask_the_oracle(&self) -> Result<(), Broken> {
        for id in self.shards() {
            let Some(newest) = self.newest(id) else { continue };
            if !matches!(newest.start, Start::First(_)) || newest.state.rules.len() > 1 {
                continue;
            }
            let compared = catch_unwind(AssertUnwindSafe(|| self.compare(newest)));
            if compared.is_err() {
                let why = panicked().unwrap_or_default();
                return Err(format!("S1: the oracle says otherwise of {id}: {why}"));
            }
            self.journal.count("shards read by the oracle");
        }
        Ok(())
    }

    fn compare(&self, shard: &Object) {
        let (state, id) = (&shard.state, &shard.standing.id);
        let content = &self.log.lives(&id.topic, id.partition)[shard.life];
        let (_, rules) = &self.rules[&state.rules[0].1];
        let (first, next) = (state.ledger.first.get(), state.ledger.next.get());
        let mut oracle = OracleShard::new(state.contract.as_str(), first);
        let read = content.records.iter().filter(|record| (first..next).contains(&record.offset));
        for record in read {
            let ahead = state.dead_letters.iter().find(|letter| {
                letter.offset.get() == record.offset && letter.reason == Reason::ClockAhead
            });
            let clock = ahead.map_or(LATE_MICROS, |letter| letter.judged_at.as_micros());
            oracle.step(rules, record, clock);
        }
        oracle.gaps += next - oracle.next_offset;
        oracle.next_offset = next;
        assert_same(state, &oracle, &content.records, &id.to_string());
    }
}
