//! The transitions of the table in [`crate::shards`], one by one, and a world of random events.

use std::cell::Cell;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Shard, ShardState};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::Offset;
use postroad_tests::faulty_store::{Fault, FaultyStore, Op};

use super::*;
use crate::checkpoint::chain::{Chain, CommitError, Pace};
use crate::checkpoint::{ShardId, Standing};

mod world;

/// Makes what only a chain can make: ends of chains, and puts that were left unresolved.
struct Forge {
    store: FaultyStore,
    runtime: tokio::runtime::Runtime,
    chains: Cell<u32>,
}

impl Forge {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self {
            store: FaultyStore::scripted(Arc::new(InMemory::new())),
            runtime: runtime.expect("a runtime"),
            chains: Cell::new(0),
        }
    }

    fn chain(&self) -> Chain {
        self.chains.set(self.chains.get() + 1);
        let number = self.chains.get();
        let pace = Pace { tries: 1, ..Pace::default() };
        let prefix = Path::from(number.to_string());
        Chain::new(Arc::new(self.store.clone()), prefix, Arc::new(move || u128::from(number)), pace)
    }

    fn tip(&self) -> Tip {
        let claim = self.runtime.block_on(self.chain().claim(None, Bytes::new()));
        claim.expect("a sound store").expect("a chain of our own")
    }

    fn pending(&self) -> Pending {
        let chain = self.chain();
        let put = async {
            let tip = chain.claim(None, Bytes::new()).await.expect("a sound store");
            self.store.fail_next(Op::Put, Fault::Before);
            chain.commit(tip.expect("a chain of our own"), Bytes::new()).await
        };
        match self.runtime.block_on(put) {
            Err(CommitError::Unresolved { pending, .. }) => *pending,
            other => panic!("{other:?}"),
        }
    }

    fn claimed(&self) -> Claimed {
        let rules = Rules::with_defaults(&Codebook::liaoning());
        let state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b""));
        let shard = Box::new(ClaimedShard {
            standing: Standing::new(ShardId::kafka("parcels", 0)),
            fold: Shard::resume(state, vec![Arc::new(rules)], IdKey([0; 16]), false),
            resume_from: NextOffset::new(0),
            window_lost: 0,
        });
        Claimed { tip: self.tip(), shard }
    }
}

fn frozen(next_offset: i64) -> Event {
    Event::Frozen(Some(Frozen {
        payload: Bytes::from_static(b"state"),
        next_offset: NextOffset::new(next_offset),
        segments: Vec::new(),
        listed: Vec::new(),
        topic_id: None,
    }))
}

fn stall() -> Stall {
    Stall::RetentionOverrun { from: NextOffset::new(1), low: NextOffset::new(2) }
}

fn diverged() -> Event {
    Event::Diverged(Diverged::OtherRecord(Offset::new(3)))
}

/// Effects as words, so that a table can name them.
fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Claim(after) => format!("claim {}", after.as_millis()),
        Effect::Load(_) => "load".to_owned(),
        Effect::Commit { after, .. } if after.is_zero() => "commit".to_owned(),
        Effect::Commit { after, .. } => format!("commit {}", after.as_millis()),
        Effect::Thaw => "thaw".to_owned(),
        Effect::Resume { after, .. } => format!("resume {}", after.as_millis()),
        Effect::CommitGroupOffset(next) => format!("tell {next}"),
        Effect::Drop => "drop".to_owned(),
        Effect::Unassign => "unassign".to_owned(),
        Effect::RecordStall(stall) => format!("record {}", stall.reason().as_str()),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// One shard of a lifecycle, in a state of one's choice.
struct Bench {
    forge: Forge,
    shards: Lifecycle,
    tp: TopicPartition,
    generation: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            forge: Forge::new(),
            shards: Lifecycle::default(),
            tp: TopicPartition::new("parcels", 0),
            generation: 1,
        }
    }

    /// A shard that came to `state` by the shortest way.
    fn at(state: &str) -> Self {
        let mut bench = Self::new();
        let way: &[&str] = match state {
            "unowned" => &[],
            "loading" => &["granted"],
            "idle" => &["granted", "claimed"],
            "freezing" => &["granted", "claimed", "freeze"],
            "putting" => &["granted", "claimed", "freeze", "frozen"],
            "unresolved" => &["granted", "claimed", "freeze", "frozen", "unresolved"],
            "stalled" => &["granted", "claim stalled"],
            other => panic!("{other}"),
        };
        for event in way {
            bench.tell(event);
        }
        assert_eq!(bench.state(), state);
        bench
    }

    fn event(&self, name: &str) -> Event {
        let next = Generation::new(self.generation + 1);
        match name {
            "granted" => Event::Granted,
            "revoked" => Event::Revoked,
            "requested" => Event::Signal { next, signal: Signal::Requested },
            "out of range" => Event::Signal { next, signal: Signal::OutOfRange },
            "claimed" => Event::Claimed(Box::new(self.forge.claimed())),
            "claim failed" => Event::ClaimFailed("no answer".to_owned()),
            "claim stalled" => Event::ClaimStalled(stall()),
            "nothing new" => Event::Frozen(None),
            "frozen" => frozen(7),
            "committed" => Event::Committed(self.forge.tip()),
            "fenced" => Event::Fenced("another".to_owned()),
            "unresolved" => Event::Unresolved {
                pending: Box::new(self.forge.pending()),
                error: "no space".to_owned(),
            },
            "unconfirmed" => Event::Unconfirmed(self.forge.tip()),
            "recreated" => Event::Recreated,
            "segments failed" => Event::SegmentsFailed {
                tip: self.forge.tip(),
                frozen: match frozen(7) {
                    Event::Frozen(Some(frozen)) => frozen,
                    other => panic!("{other:?}"),
                },
                error: "no space".to_owned(),
            },
            "decided" => Event::Decided,
            "diverged" => diverged(),
            other => panic!("{other}"),
        }
    }

    fn tell(&mut self, name: &str) -> String {
        if name == "freeze" {
            return format!("{} to freeze", self.shards.freeze_all().len());
        }
        let event = self.event(name);
        let signal = matches!(event, Event::Signal { .. });
        let effects = self.step(event);
        self.generation += u64::from(signal);
        words(&effects)
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        self.shards.step(&self.tp, Generation::new(self.generation), event)
    }

    fn state(&self) -> &'static str {
        match self.shards.shards.get(&self.tp).map(|owned| &owned.state) {
            None => "unowned",
            Some(State::Loading { .. }) => "loading",
            Some(State::Running { writing: Writing::Nothing(_), .. }) => "idle",
            Some(State::Running { writing: Writing::Freezing(_), .. }) => "freezing",
            Some(State::Running { writing: Writing::Putting(_), .. }) => "putting",
            Some(State::Running { writing: Writing::Unresolved { .. }, .. }) => "unresolved",
            Some(State::Running { writing: Writing::Taken, .. }) => "taken",
            Some(State::Stalled(_)) => "stalled",
        }
    }

    fn phase(&self) -> Option<ShardPhase> {
        self.shards.phases().find(|(tp, _)| **tp == self.tp).map(|(_, phase)| phase)
    }
}

const STATES: [&str; 7] =
    ["unowned", "loading", "idle", "freezing", "putting", "unresolved", "stalled"];

#[track_caller]
fn check(from: &str, event: &str, effects: &str, to: &str) {
    let mut bench = Bench::at(from);
    assert_eq!(bench.tell(event), effects, "{from}, {event}");
    assert_eq!(bench.state(), to, "{from}, {event}");
    let writing = matches!(to, "freezing" | "putting" | "unresolved");
    assert_eq!(bench.shards.is_settled(), !writing, "{to}");
    assert_eq!(bench.shards.is_store_failing(), to == "unresolved", "{to}");
}

#[test]
fn a_grant_loads_and_a_revocation_drops_whatever_is_under_way() {
    check("unowned", "granted", "claim 0", "loading");
    check("unowned", "revoked", "", "unowned");
    for state in &STATES[1..] {
        check(state, "revoked", "drop", "unowned");
    }
}

#[test]
fn a_claims_answer_decides_between_reading_waiting_and_trying_again() {
    check("loading", "claimed", "load", "idle");
    check("loading", "claim failed", "claim 500", "loading");
    check("loading", "claim stalled", "claim 30000", "stalled");
    // The retry of a stalled shard answers likewise.
    check("stalled", "claimed", "load", "idle");
    check("stalled", "claim stalled", "claim 30000", "stalled");
    check("stalled", "claim failed", "claim 500", "loading");
}

#[test]
fn a_running_shard_writes_one_object_at_a_time() {
    check("idle", "freeze", "1 to freeze", "freezing");
    check("freezing", "nothing new", "", "idle");
    check("freezing", "frozen", "commit", "putting");
    check("putting", "committed", "tell 7", "idle");
    check("putting", "unresolved", "resume 500", "unresolved");
    check("unresolved", "committed", "tell 7", "idle");
    check("unresolved", "unresolved", "resume 1000", "unresolved");
    for state in ["unowned", "loading", "freezing", "putting", "unresolved", "stalled"] {
        check(state, "freeze", "0 to freeze", state);
    }
}

#[test]
fn a_shard_that_is_not_running_writes_nothing_whatever_answers_come() {
    for state in ["unowned", "loading", "stalled"] {
        for late in ["nothing new", "frozen", "committed", "unresolved"] {
            check(state, late, "", state);
        }
    }
    // Nor does one that was not asked.
    check("idle", "frozen", "", "idle");
    check("putting", "frozen", "", "putting");
    check("unresolved", "frozen", "", "unresolved");
}

#[test]
fn a_fence_drops_the_state_and_asks_the_poll_thread_to_stop() {
    for state in ["putting", "unresolved"] {
        check(state, "fenced", "drop, unassign", "loading");
    }
}

/// No checkpoint is written of a topic that the brokers do not say is still the one that was read.
#[test]
fn what_is_not_confirmed_is_not_written_and_frozen_again() {
    check("putting", "unconfirmed", "thaw", "idle");
    check("putting", "recreated", "drop, unassign", "loading");
    let mut bench = Bench::at("putting");
    bench.tell("recreated");
    assert_eq!(bench.tell("requested"), "drop, claim 1000", "the claim finds the topic anew");
}

#[test]
fn segments_that_the_store_does_not_take_are_tried_again_before_their_checkpoint() {
    check("putting", "segments failed", "commit 500", "unresolved");
    let mut bench = Bench::at("putting");
    bench.tell("segments failed");
    assert_eq!(bench.tell("segments failed"), "commit 1000");
    assert_eq!(bench.tell("committed"), "tell 7");
    assert_eq!(bench.state(), "idle");
}

#[test]
fn a_decision_has_its_shard_claimed_anew() {
    check("stalled", "decided", "claim 0", "loading");
    check("loading", "decided", "", "loading");
    for state in ["idle", "freezing", "putting", "unresolved"] {
        check(state, "decided", "drop, unassign", "loading");
    }
}

#[test]
fn a_signal_begins_a_new_life_whatever_is_being_written() {
    for state in ["idle", "freezing", "putting", "loading"] {
        check(state, "out of range", "drop, claim 500", "loading");
        check(state, "requested", "drop, claim 500", "loading");
    }
    // The store has failed once already.
    check("unresolved", "out of range", "drop, claim 1000", "loading");
    check("stalled", "out of range", "drop", "stalled");
}

#[test]
fn a_signal_that_was_not_asked_for_is_shown_as_the_failure() {
    let mut bench = Bench::at("idle");
    bench.tell("out of range");
    let failure = Some(Signal::OutOfRange.to_string());
    assert_eq!(bench.phase(), Some(ShardPhase::Loading { failure }));
    let mut bench = Bench::at("idle");
    bench.tell("requested");
    assert_eq!(bench.phase(), Some(ShardPhase::Loading { failure: None }));
}

#[test]
fn a_divergence_stays_stalled_through_the_signal_that_it_asked_for() {
    for state in ["idle", "freezing", "putting", "unresolved"] {
        check(state, "diverged", "drop, unassign, record diverged", "stalled");
    }
    let mut bench = Bench::at("putting");
    bench.tell("diverged");
    let stalled = bench.phase();
    assert_eq!(
        stalled,
        Some(ShardPhase::Stalled(Stall::Diverged(Diverged::OtherRecord(Offset::new(3)))))
    );
    // The put that was under way ends, fenced by the stall that was recorded; the poll thread
    // answers; nothing is claimed again.
    assert_eq!(bench.tell("committed"), "");
    assert_eq!(bench.tell("fenced"), "");
    assert_eq!(bench.tell("requested"), "drop");
    assert_eq!(bench.phase(), stalled);
    assert_eq!(bench.tell("revoked"), "drop");
}

/// Whoever records a divergence has to know of which life it is.
#[test]
fn a_divergence_is_known_by_its_life_until_something_is_decided() {
    let mut bench = Bench::at("idle");
    assert_eq!(bench.shards.diverged().count(), 0);
    bench.tell("diverged");
    bench.tell("requested");
    let found: Vec<_> = bench.shards.diverged().collect();
    let [(tp, generation, id, Stall::Diverged(_))] = found[..] else { panic!("{found:?}") };
    assert_eq!((tp, generation.get()), (&bench.tp, bench.generation));
    assert_eq!(*id, ShardId::kafka("parcels", 0));
    assert_eq!(bench.tell("decided"), "claim 0");
    assert_eq!(bench.shards.diverged().count(), 0);
}

#[test]
fn what_another_generation_says_has_no_effect() {
    let all = [
        "revoked",
        "requested",
        "out of range",
        "claimed",
        "claim failed",
        "claim stalled",
        "nothing new",
        "frozen",
        "committed",
        "fenced",
        "unconfirmed",
        "recreated",
        "segments failed",
        "decided",
        "unresolved",
        "diverged",
    ];
    for state in STATES {
        for stale in [0, 2] {
            for name in all {
                let mut bench = Bench::at(state);
                let (phase, event) = (bench.phase(), bench.event(name));
                let effects = bench.shards.step(&bench.tp, Generation::new(stale), event);
                assert!(effects.is_empty(), "{state}, {name} of generation {stale}: {effects:?}");
                assert_eq!(
                    (bench.phase(), bench.state()),
                    (phase, state),
                    "{name} of generation {stale}"
                );
            }
        }
    }
}

#[test]
fn a_life_that_ended_cannot_answer_for_the_one_that_followed() {
    let mut bench = Bench::at("putting");
    bench.tell("out of range");
    bench.generation -= 1;
    assert_eq!(bench.tell("committed"), "");
    assert_eq!(bench.tell("claimed"), "");
    bench.generation += 1;
    assert_eq!(bench.state(), "loading");
    assert_eq!(bench.tell("claimed"), "load");
}

#[test]
fn a_revocation_during_a_put_makes_its_answer_stale() {
    let mut bench = Bench::at("putting");
    assert_eq!(bench.tell("revoked"), "drop");
    assert_eq!(bench.tell("committed"), "");
    bench.generation = 9;
    assert_eq!(bench.tell("granted"), "claim 0");
    bench.generation = 1;
    assert_eq!(bench.tell("unresolved"), "");
    assert_eq!(bench.state(), "loading");
}

#[test]
fn an_unresolved_put_is_gone_on_with_unchanged() {
    let mut bench = Bench::at("putting");
    let pending = Box::new(bench.forge.pending());
    let (place, looks) = (std::ptr::from_ref(&*pending), format!("{pending:?}"));
    let error = "no space".to_owned();
    let effects = bench.step(Event::Unresolved { pending, error: error.clone() });
    let [Effect::Resume { pending, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((std::ptr::from_ref(&**pending), format!("{pending:?}")), (place, looks));
    assert!(bench.shards.is_store_failing());
    assert_eq!(bench.phase(), Some(ShardPhase::Running { unresolved: Some(error) }));
    bench.tell("committed");
    assert!(!bench.shards.is_store_failing());
    assert_eq!(bench.phase(), Some(ShardPhase::Running { unresolved: None }));
}

#[test]
fn the_end_of_the_chain_goes_through_the_freeze_into_the_put() {
    let mut bench = Bench::at("loading");
    let claimed = Box::new(bench.forge.claimed());
    let tip = format!("{:?}", claimed.tip);
    bench.step(Event::Claimed(claimed));
    bench.tell("freeze");
    bench.tell("nothing new");
    bench.tell("freeze");
    let effects = bench.step(frozen(7));
    let [Effect::Commit { tip: used, frozen, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((format!("{used:?}"), &frozen.payload[..]), (tip, &b"state"[..]));
}

#[test]
fn tries_grow_rarer_up_to_a_bound_and_success_begins_anew() {
    let mut bench = Bench::at("loading");
    let waits: Vec<String> = (0..8).map(|_| bench.tell("claim failed")).collect();
    let expect = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];
    assert_eq!(waits, expect.map(|wait| format!("claim {wait}")));
    // A claim alone is no success: reading may fail each time, and a claim is a whole object.
    bench.tell("claimed");
    assert_eq!(bench.tell("out of range"), "drop, claim 15000");
    for failures in [0, 1, 5, 17, 100, u32::MAX] {
        assert!((RETRY_FIRST..=RETRY_MAX).contains(&backoff(failures)), "{failures}");
    }
    // A put that landed shows that the store is well again.
    let mut bench = Bench::at("unresolved");
    bench.tell("committed");
    bench.tell("freeze");
    bench.tell("frozen");
    assert_eq!(bench.tell("unresolved"), "resume 500");
}

#[test]
fn only_idle_shards_are_frozen_each_under_its_generation() {
    let mut bench = Bench::at("idle");
    let other = TopicPartition::new("parcels", 1);
    bench.shards.step(&other, Generation::new(5), Event::Granted);
    let due = |shards: &mut Lifecycle| -> Vec<_> {
        shards.freeze_all().into_iter().map(|(tp, life, _)| (tp, life)).collect()
    };
    assert_eq!(due(&mut bench.shards), [(bench.tp.clone(), Generation::new(1))]);
    let claimed = Event::Claimed(Box::new(bench.forge.claimed()));
    bench.shards.step(&other, Generation::new(5), claimed);
    assert_eq!(due(&mut bench.shards), [(other, Generation::new(5))]);
    assert_eq!(due(&mut bench.shards), []);
    assert!(!bench.shards.is_settled());
}

/// A claim that was put off is not made for a shard that has gone, moved on, or runs already.
#[test]
fn a_claim_that_was_put_off_is_made_only_where_it_is_still_wanted() {
    for state in STATES {
        let bench = Bench::at(state);
        let awaits = |generation| bench.shards.awaits_claim(&bench.tp, Generation::new(generation));
        assert_eq!(awaits(1), matches!(state, "loading" | "stalled"), "{state}");
        assert!(!awaits(0) && !awaits(2), "{state}");
    }
}
