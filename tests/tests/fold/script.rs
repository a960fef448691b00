//! A shard driven through its log with interruptions, changes of rules and ends of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Resumption, Shard, ShardState, Step};
use postroad_ingest::checkpoint::{ShardId, Standing, format};
use postroad_schemas::units::{NextOffset, Timestamp};
use postroad_tests::logs::WALL_CLOCK_MICROS;
use postroad_tests::oracle::{OracleRecord, OracleRules};

use crate::pair::{contract, real_record, real_rules, rules_id};

/// A log and what happens to it: places are indices of records, and whatever happens at a place
/// happens before that record.
pub(crate) struct Script {
    /// Named in failures.
    pub(crate) case: String,
    /// Name of the contract.
    pub(crate) contract: &'static str,
    /// The log, one record an offset.
    pub(crate) log: Vec<OracleRecord>,
    /// The rules from each place on; there are some at place 0.
    pub(crate) rules: BTreeMap<usize, OracleRules>,
    /// Rules that are adopted at a place too, but replaced before its record comes.
    pub(crate) tried: BTreeMap<usize, OracleRules>,
    /// Places at which the log, for a while, ends right before the record.
    pub(crate) ends: BTreeSet<usize>,
    /// The consumer's clock from each place on.
    pub(crate) clocks: BTreeMap<usize, Timestamp>,
}

impl Script {
    /// A log that is read under one set of rules by a clock that stands still.
    pub(crate) fn plain(
        case: String,
        contract: &'static str,
        log: Vec<OracleRecord>,
        rules: OracleRules,
    ) -> Self {
        Self {
            case,
            contract,
            log,
            rules: BTreeMap::from([(0, rules)]),
            tried: BTreeMap::new(),
            ends: BTreeSet::new(),
            clocks: BTreeMap::from([(0, Timestamp::from_micros(WALL_CLOCK_MICROS))]),
        }
    }

    /// A shard that has read nothing.
    pub(crate) fn begin(&self) -> Shard {
        let rules = Arc::new(real_rules(&self.rules[&0]));
        let state = ShardState::new(contract(self.contract), NextOffset::new(0), rules_id(&rules));
        Shard::resume(state, vec![rules], IdKey([9; 16]), false)
    }

    /// Reads the log to its end, interrupted before each of these places.
    #[track_caller]
    pub(crate) fn run(&self, cuts: &BTreeSet<usize>) -> ShardState {
        let mut shard = self.begin();
        for place in 0..=self.log.len() {
            if cuts.contains(&place) {
                shard = self.resume(shard.state(), place);
            }
            self.step(&mut shard, place);
        }
        shard.state().clone()
    }

    /// Reads on from a place, with whatever happens there.
    #[track_caller]
    pub(crate) fn finish(&self, mut shard: Shard, place: usize) -> ShardState {
        for place in place..=self.log.len() {
            self.step(&mut shard, place);
        }
        shard.state().clone()
    }

    /// What happens at one place: rules are adopted, the log ends for a while, a record comes.
    #[track_caller]
    pub(crate) fn step(&self, shard: &mut Shard, place: usize) {
        self.try_rules(shard, place);
        self.adopt(shard, place);
        let Some(record) = self.log.get(place) else { return };
        if self.ends.contains(&place) {
            let end = NextOffset::new(record.offset);
            shard.end_of_log(end).expect("the log does not end before it");
        }
        let step = shard.step(&real_record(record), self.clock(place)).expect("it is the same log");
        assert!(matches!(step, Step::Consumed { .. }), "{}: record {place}", self.case);
    }

    fn try_rules(&self, shard: &mut Shard, place: usize) {
        if let Some(tried) = self.tried.get(&place) {
            adopt(shard, tried);
        }
    }

    /// Adopts the rules in force, as every process does whether or not they have changed.
    fn adopt(&self, shard: &mut Shard, place: usize) {
        let (_, rules) = self.rules.range(..=place).next_back().expect("there are some from 0 on");
        adopt(shard, rules);
    }

    /// The clock at a place.
    pub(crate) fn clock(&self, place: usize) -> Timestamp {
        *self.clocks.range(..=place).next_back().expect("there is one from 0 on").1
    }

    /// Another process goes on from a checkpoint that was written before this place. Half of the
    /// time it adopts its rules before it reads again, as a claim does.
    #[track_caller]
    pub(crate) fn resume(&self, state: &ShardState, place: usize) -> Shard {
        let mut shard = self.reload(state, place);
        if self.tried.contains_key(&place) {
            self.try_rules(&mut shard, place);
            shard = self.reload(shard.state(), place);
        }
        if place.is_multiple_of(2) {
            self.adopt(&mut shard, place);
        }
        self.read_again(&mut shard, place);
        shard
    }

    #[track_caller]
    fn reload(&self, state: &ShardState, place: usize) -> Shard {
        let kept = through_a_checkpoint(state);
        assert_eq!(kept, *state, "{}: a checkpoint keeps all", self.case);
        let known: BTreeMap<RulesId, Arc<Rules>> = self
            .rules
            .values()
            .chain(self.tried.values())
            .map(real_rules)
            .map(|rules| (rules_id(&rules), Arc::new(rules)))
            .collect();
        let rules = kept.rules.iter().map(|(_, id)| Arc::clone(&known[id])).collect();
        let key = u8::try_from(place % 256).expect("a remainder of 256 is a byte");
        Shard::resume(kept, rules, IdKey([key; 16]), false)
    }

    /// Reads again up to a place, and checks what the shard says of itself meanwhile.
    #[track_caller]
    fn read_again(&self, shard: &mut Shard, place: usize) {
        let case = format!("{}: resumed at record {place}", self.case);
        let before = shard.state().clone();
        let from = before.resume_from();
        let last = before.last_delivered.map(|last| last.offset.get());
        for record in self.log[..place].iter().filter(|record| record.offset >= from.get()) {
            assert_eq!(shard.resumption(), Resumption::Pending, "{case}");
            assert!(!shard.is_window_whole(), "{case}");
            let step = shard.step(&real_record(record), self.clock(self.log.len()));
            assert_eq!(step, Ok(Step::Skipped), "{case}");
            let found = if Some(record.offset) == last {
                Resumption::Verified
            } else {
                Resumption::Pending
            };
            assert_eq!(shard.resumption(), found, "{case}");
        }
        assert_eq!(shard.resumption(), Resumption::Verified, "{case}");
        assert!(shard.is_window_whole(), "{case}");
        assert_eq!(*shard.state(), before, "{case}: reading again changes nothing");
    }
}

fn adopt(shard: &mut Shard, rules: &OracleRules) {
    let rules = real_rules(rules);
    shard.adopt(rules_id(&rules), Arc::new(rules));
}

fn through_a_checkpoint(state: &ShardState) -> ShardState {
    let checkpoint = Standing::new(ShardId::kafka("t", 0)).with(state.clone());
    format::decode(&format::encode(&checkpoint)).expect("it was encoded just now").state
}
