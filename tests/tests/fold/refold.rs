//! `verify` folds a log again: what it makes is what was made, whatever had happened on the way, and
//! whatever is altered afterwards is named.

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::Rules;
use postroad_aggregate::shard::ShardState;
use postroad_ingest::checkpoint::{ShardId, Standing};
use postroad_ingest::verify::compare::Difference;
use postroad_ingest::verify::refold::{Beginning, Change, Proof, Refold, Target, What};
use postroad_ingest::verify::sealed::Segments;
use postroad_schemas::reject::Reason;
use postroad_schemas::units::{NextOffset, Span, Timestamp};
use postroad_tests::logs::{pick, random_log, rules};
use postroad_tests::oracle::OracleRules;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::pair::{CONTRACTS, once_each, real_record, real_rules, rules_id};
use crate::script::Script;

/// A log that is read under changing rules by changing clocks, and that ends for a while now and
/// then; and the states in which it was checkpointed on the way.
struct Written {
    script: Script,
    states: Vec<ShardState>,
}

impl Written {
    fn new(name: &'static str, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let log = once_each(random_log(seed, name, 160));
        let case = format!("{name} log of seed {seed}");
        let mut script = Script::plain(case, name, log, rules());
        let places = script.log.len();
        for _ in 0..4 {
            let dedupe_window_h = pick(&mut rng, &[0, 2, 24, 48]);
            let changed = OracleRules { dedupe_window_h, ..rules() };
            script.rules.insert(rng.random_range(0..=places), changed.clone());
            script.tried.insert(rng.random_range(0..places), changed);
        }
        script.ends = (0..places).filter(|_| rng.random_ratio(1, 6)).collect();
        // A clock so early that some records are ahead of it, and later the real one.
        let early = script.log[places / 4].timestamp_ms.unwrap_or_default();
        let early = Timestamp::from_millis(early) - Span::hours(24);
        let late = script.clocks[&0];
        script.clocks = [(0, early), (places / 2, late)].into();
        let mut shard = script.begin();
        let mut states = Vec::new();
        for place in 0..=places {
            if rng.random_ratio(1, 10) || place == places {
                if rng.random() {
                    shard = script.resume(shard.state(), place);
                }
                states.push(shard.state().clone());
            }
            script.step(&mut shard, place);
        }
        states.push(shard.state().clone());
        Self { script, states }
    }

    fn newest(&self) -> &ShardState {
        self.states.last().expect("there is one at the end")
    }

    /// Folds again from a state of the past, or from nothing, up to each later one.
    fn refold(&self, anchor: Option<usize>) -> Proof {
        let (anchor, after) = match anchor {
            None => (self.nothing(), 0),
            Some(index) => (self.states[index].clone(), index + 1),
        };
        let from = anchor.resume_from();
        let mut refold = self.begin(anchor, self.states[after..].iter().map(target).collect());
        for record in self.script.log.iter().filter(|record| record.offset >= from.get()) {
            refold.take(&real_record(record)).expect("it is the same log");
        }
        refold.finish(self.newest().ledger.next).expect("it is the same log")
    }

    fn nothing(&self) -> ShardState {
        let newest = self.newest();
        ShardState::new(newest.contract, newest.ledger.first, newest.rules[0].1)
    }

    fn begin(&self, anchor: ShardState, targets: Vec<Target>) -> Refold {
        let (newest, begin) = (self.newest(), anchor.ledger.next);
        let listed = newest.rules.iter().zip(self.rules_of(newest));
        let held = newest.rules.iter().rposition(|(from, _)| *from <= begin).unwrap_or_default();
        let changes = listed.skip(held).map(|((from, id), rules)| Change {
            at: begin.max(*from),
            what: What::Rules(*id, rules),
        });
        let letters = newest.dead_letters.iter();
        let beginning = Beginning {
            rules: self.rules_of(&anchor),
            changes: changes.collect(),
            judged: letters.map(|letter| (letter.offset, letter.judged_at)).collect(),
            keep_payload: false,
            anchor,
        };
        Refold::begin(beginning, targets, Segments::default(), IdKey([77; 16]))
    }

    fn rules_of(&self, state: &ShardState) -> Vec<Arc<Rules>> {
        let known = || self.script.rules.values().chain(self.script.tried.values());
        let content = |id| known().map(real_rules).find(|rules| rules_id(rules) == id);
        state.rules.iter().map(|(_, id)| Arc::new(content(*id).expect("known"))).collect()
    }
}

fn target(state: &ShardState) -> Target {
    let found = Standing::new(ShardId::kafka("t", 0)).with(state.clone());
    let next = state.ledger.next;
    Target { place: "checkpoint".to_owned(), found: Some(Arc::new(found)), next, published: false }
}

#[test]
fn every_checkpoint_is_made_again_from_nothing_and_from_every_one_before() {
    let (mut ahead, mut anchored) = (0, 0);
    for seed in 400..412 {
        for name in CONTRACTS {
            let written = Written::new(name, seed);
            let case = &written.script.case;
            let letters = &written.newest().dead_letters;
            ahead += letters.iter().filter(|l| l.reason == Reason::ClockAhead).count();
            assert_eq!(written.refold(None).differences, [], "{case}");
            for anchor in 0..written.states.len() {
                let proof = written.refold(Some(anchor));
                assert_eq!(proof.differences, [], "{case}: from state {anchor}");
                assert_eq!(proof.reached, written.newest().ledger.next);
                anchored += 1;
            }
        }
    }
    assert!(ahead > 40 && anchored > 200, "{ahead} ahead of the clock, {anchored} anchors");
}

/// Alters the newest state after it was written, and expects just this difference, whether or not an
/// older state vouches for the beginning.
#[track_caller]
fn check(alter: impl Fn(&mut ShardState), column: &str, key: &str) {
    let mut written = Written::new("parcel", 420);
    alter(written.states.last_mut().expect("there is one"));
    for anchor in [None, Some(0), Some(written.states.len() / 2)] {
        let found: Vec<Difference> = written.refold(anchor).differences;
        let named: Vec<_> = found.iter().map(|d| (d.column.as_str(), d.key.as_str())).collect();
        assert!(named.contains(&(column, key)), "{anchor:?}: {found:#?}");
        assert!(named.len() <= 3, "{found:#?}");
    }
}

#[test]
fn whatever_is_altered_in_a_checkpoint_is_named() {
    check(|state| state.ledger.applied += 1, "applied", "ledger");
    check(|state| state.ledger.digest ^= 1, "digest", "ledger");
    check(|state| state.ledger.gaps += 1, "gaps", "ledger");
    check(|state| state.watermark = None, "watermark", "position");
    let written = Written::new("parcel", 420);
    let (hour, _) = written.newest().window_hours.back().expect("the log has valid records");
    let hour = format!("window hour {}", hour.get());
    check(|state| state.window_hours.clear(), &hour, "position");
    let (cell, _) = written.newest().cells.iter().min_by_key(|(key, _)| **key).expect("some");
    let (cell, key) = (*cell, format!("{} {} {}", cell.day, cell.prefecture, cell.product));
    let altered = |state: &mut ShardState| state.cells.get_mut(&cell).expect("it").volume += 1;
    check(altered, "volume", &key);
    check(|state| assert!(state.cells.remove(&cell).is_some()), "cell", &key);
    let malformed = |state: &ShardState| {
        state
            .dead_letters
            .iter()
            .position(|letter| letter.reason == Reason::Malformed)
            .expect("one")
    };
    let offset = written.newest().dead_letters[malformed(written.newest())].offset;
    let key = format!("dead letter at offset {offset}");
    check(
        |state| {
            let index = malformed(state);
            state.dead_letters[index].reason = Reason::TooLarge;
        },
        "reason",
        &key,
    );
    check(
        |state| {
            let index = malformed(state);
            state.dead_letters.remove(index);
        },
        "dead letter",
        &key,
    );
}

/// A judgement by the clock is obeyed only as far as the record's own timestamp bears it out.
#[test]
fn a_clock_ahead_that_was_none_is_named() {
    let mut written = Written::new("parcel", 421);
    let newest = written.states.last_mut().expect("there is one");
    let ahead =
        |letter: &&mut postroad_aggregate::ledger::DeadLetter| letter.reason == Reason::ClockAhead;
    let letter = newest.dead_letters.iter_mut().find(ahead).expect("one is ahead of the clock");
    letter.judged_at = Timestamp::from_micros(i64::MAX);
    let key = format!("dead letter at offset {}", letter.offset);
    let found = written.refold(None).differences;
    assert!(found.iter().any(|d| d.key == key && d.found == "there"), "{found:#?}");
    assert!(found.iter().any(|d| d.column == "digest"), "{found:#?}");
}

#[test]
fn a_log_that_ends_too_early_or_lost_what_an_anchor_names_is_told() {
    let written = Written::new("finance", 422);
    let newest = written.newest().clone();
    let targets = written.states.iter().map(target).collect();
    let refold = written.begin(written.nothing(), targets);
    let found = refold.finish(NextOffset::new(0)).expect("nothing was read").differences;
    let last = found.last().expect("it ends too early");
    assert_eq!(
        (last.column.as_str(), last.found.clone()),
        ("next_offset", newest.ledger.next.to_string())
    );

    let middle = written.states.len() / 2;
    let anchor = &written.states[middle];
    let named = anchor.resume_from().get();
    let mut shorter = Written::new("finance", 422);
    shorter.script.log.retain(|record| record.offset != named);
    let found = shorter.refold(Some(middle)).differences;
    assert!(found.iter().any(|d| d.place == "log" && d.found == "missing"), "{found:#?}");
}
