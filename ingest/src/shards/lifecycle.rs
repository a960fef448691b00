//! What happens to the shards of one instance: events in, effects out, no input or output here.

mod event;
mod phase;

use std::collections::BTreeMap;
use std::time::Duration;

use postroad_schemas::units::NextOffset;

pub use self::event::{Effect, Event, Frozen};
pub use self::phase::{ShardPhase, Unconfirmed};

use super::claim::Claimed;
use super::stall::Stall;
use crate::checkpoint::ShardId;
use crate::checkpoint::chain::Tip;
use crate::checkpoint::envelope::{Epoch, Seq};
use crate::source::kafka::{Generation, Signal, TopicPartition};

/// How long to wait before claiming again after a failure; doubled with each up to the maximum.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// How often a stalled shard is looked at again.
const STALLED_RETRY: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Owned {
    generation: Generation,
    failures: u32,
    state: State,
    claim: Claim,
    /// How many claims were put off so far.
    claims_put_off: u64,
    /// What was not written since the last checkpoint.
    unconfirmed: Option<Unconfirmed>,
    /// The life that is read, or was read last.
    read: Option<ShardId>,
}

/// The claim that a shard needs before it can go on. There is one at a time: the second of two that
/// succeed would fence the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It needs none: it is being read, or waits for a decision.
    None,
    /// The poll thread has to say first that it stopped reading.
    AfterSignal,
    /// It was put off; those with other numbers were put off before, and are not made any more.
    PutOff(u64),
    /// It is being made.
    UnderWay {
        /// Whether something was decided meanwhile, which it may not have seen.
        decided: bool,
    },
}

/// A shard that is due for a checkpoint, and where that will stand.
pub type Due = (TopicPartition, Generation, (Epoch, Seq));

#[derive(Debug)]
enum State {
    Loading { failure: Option<String> },
    Running { shard: ShardId, writing: Writing },
    Stalled(Stall),
}

/// What is being written of a running shard: one thing at a time. The end of its chain is held
/// here, or by the put that is under way.
#[derive(Debug)]
enum Writing {
    Nothing(Tip),
    /// The worker was asked for the state.
    Freezing(Tip),
    /// A put is under way.
    Putting(NextOffset),
    /// A put was left unresolved, and is being gone on with.
    Unresolved {
        next_offset: NextOffset,
        error: String,
    },
    /// Between two of these, within one step.
    Taken,
}

/// The shards of one instance.
#[derive(Debug, Default)]
pub struct Lifecycle {
    shards: BTreeMap<TopicPartition, Owned>,
}

impl Lifecycle {
    /// Takes an event of one generation of a shard; events of other generations are stale and have
    /// no effect.
    pub fn step(
        &mut self,
        tp: &TopicPartition,
        generation: Generation,
        event: Event,
    ) -> Vec<Effect> {
        if matches!(event, Event::Granted) {
            let (owned, effects) = Owned::granted(generation);
            self.shards.insert(tp.clone(), owned);
            return effects;
        }
        let Some(owned) = self.shards.get_mut(tp).filter(|owned| owned.generation == generation)
        else {
            return Vec::new();
        };
        if matches!(event, Event::Revoked) {
            self.shards.remove(tp);
            return vec![Effect::Drop];
        }
        owned.step(event)
    }

    /// Whether a claim that was put off is still to be made, which begins it: a claim by somebody who no
    /// longer owns the shard would fence the one who does.
    pub fn begin_claim(
        &mut self,
        tp: &TopicPartition,
        generation: Generation,
        number: u64,
    ) -> bool {
        let owned = self
            .shards
            .get_mut(tp)
            .filter(|owned| owned.generation == generation && owned.claim == Claim::PutOff(number));
        let Some(owned) = owned else { return false };
        owned.claim = Claim::UnderWay { decided: false };
        true
    }

    /// Whether the answer to a put of this generation is waited for. What comes after the state was
    /// dropped says nothing of whoever owns the shard now.
    pub fn awaits_put(&self, tp: &TopicPartition, generation: Generation) -> bool {
        let owned = self.shards.get(tp).filter(|owned| owned.generation == generation);
        owned.is_some_and(|owned| {
            let State::Running { writing, .. } = &owned.state else { return false };
            matches!(writing, Writing::Putting(_) | Writing::Unresolved { .. })
        })
    }

    /// A checkpoint is due: every running shard that is not being written is to be frozen.
    pub fn freeze_all(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        for (tp, owned) in &mut self.shards {
            if let Some(place) = owned.begin_freezing() {
                due.push((tp.clone(), owned.generation, place));
            }
        }
        due
    }

    /// The generation of a shard, if this instance owns it.
    pub fn generation(&self, tp: &TopicPartition) -> Option<Generation> {
        self.shards.get(tp).map(|owned| owned.generation)
    }

    /// Whether nothing is being written.
    pub fn is_settled(&self) -> bool {
        self.shards.values().all(|owned| {
            !matches!(&owned.state, State::Running { writing, .. } if !matches!(writing, Writing::Nothing(_)))
        })
    }

    /// Whether the store leaves a put unresolved: then nothing more ought to be read.
    pub fn is_store_failing(&self) -> bool {
        self.shards.values().any(|owned| {
            matches!(owned.state, State::Running { writing: Writing::Unresolved { .. }, .. })
        })
    }

    /// The lives whose log was found to be another one, for which an operator is waited for.
    pub fn diverged(
        &self,
    ) -> impl Iterator<Item = (&TopicPartition, Generation, &ShardId, &Stall)> {
        self.shards.iter().filter_map(|(tp, owned)| match (&owned.state, &owned.read) {
            (State::Stalled(stall @ Stall::Diverged(_)), Some(id)) => {
                Some((tp, owned.generation, id, stall))
            }
            _ => None,
        })
    }

    /// The running shards whose last checkpoint was not written because the brokers did not confirm it.
    pub fn unconfirmed(&self) -> impl Iterator<Item = (&TopicPartition, &Unconfirmed)> {
        self.shards.iter().filter_map(|(tp, owned)| match owned.state {
            State::Running { .. } => Some((tp, owned.unconfirmed.as_ref()?)),
            _ => None,
        })
    }

    /// Every shard with its state.
    pub fn phases(&self) -> impl Iterator<Item = (&TopicPartition, ShardPhase)> {
        self.shards.iter().map(|(tp, owned)| (tp, owned.phase()))
    }
}

impl Owned {
    /// A shard that the group gave, and what to do first.
    fn granted(generation: Generation) -> (Self, Vec<Effect>) {
        let state = State::Loading { failure: None };
        let claim = Claim::UnderWay { decided: false };
        let owned = Self {
            generation,
            failures: 0,
            state,
            claim,
            claims_put_off: 0,
            unconfirmed: None,
            read: None,
        };
        (owned, vec![Effect::Claim])
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Granted | Event::Revoked => Vec::new(),
            Event::Signal { next, signal } => self.signal(next, &signal),
            Event::Claimed(_) | Event::ClaimFailed(_) | Event::ClaimStalled(_) => {
                // What was not asked for is void: such a put fences nobody but us.
                let Claim::UnderWay { decided } = self.claim else { return Vec::new() };
                self.claim = Claim::None;
                self.claim_answered(event, decided)
            }
            Event::Diverged(diverged) => {
                let stall = Stall::Diverged(diverged);
                self.state = State::Stalled(stall.clone());
                let mut effects = self.stop_reading();
                effects.push(Effect::RecordStall(stall));
                effects
            }
            Event::Frozen(_)
            | Event::Committed(_)
            | Event::Unresolved { .. }
            | Event::Unconfirmed { .. }
            | Event::SegmentsFailed { .. } => self.checkpoint(event),
            Event::Decided => self.decided(),
            Event::Fenced(_) | Event::Recreated => {
                // Its own stall, written into the chain, fences a put that was under way.
                let State::Running { .. } = self.state else { return Vec::new() };
                self.failures += 1;
                self.state = State::Loading { failure: None };
                self.stop_reading()
            }
        }
    }

    /// What comes of a claim; `decided` says that it may not have seen everything that was decided.
    fn claim_answered(&mut self, event: Event, decided: bool) -> Vec<Effect> {
        match event {
            Event::Claimed(_) if decided => {
                self.state = State::Loading { failure: None };
                self.claim_now()
            }
            Event::Claimed(claimed) => {
                let Claimed { shard, tip } = *claimed;
                let id = shard.standing.id.clone();
                self.read = Some(id.clone());
                self.unconfirmed = None;
                self.state = State::Running { shard: id, writing: Writing::Nothing(tip) };
                vec![Effect::Load(shard)]
            }
            Event::ClaimStalled(stall) => {
                self.state = State::Stalled(stall);
                if decided { self.claim_now() } else { self.claim_later(STALLED_RETRY) }
            }
            Event::ClaimFailed(failure) => {
                self.failures += 1;
                self.state = State::Loading { failure: Some(failure) };
                self.claim_later(backoff(self.failures))
            }
            _ => Vec::new(),
        }
    }

    fn claim_now(&mut self) -> Vec<Effect> {
        self.claim = Claim::UnderWay { decided: false };
        vec![Effect::Claim]
    }

    /// Puts a claim off; one that was put off before is not made any more.
    fn claim_later(&mut self, after: Duration) -> Vec<Effect> {
        self.claims_put_off += 1;
        let number = self.claims_put_off;
        self.claim = Claim::PutOff(number);
        vec![Effect::ClaimLater { number, after }]
    }

    /// Nobody is to have it any more; the poll thread says when it is so.
    fn stop_reading(&mut self) -> Vec<Effect> {
        self.claim = Claim::AfterSignal;
        vec![Effect::Drop, Effect::Unassign]
    }

    /// Reading ended, though the partition is still ours.
    fn signal(&mut self, next: Generation, signal: &Signal) -> Vec<Effect> {
        self.generation = next;
        if matches!(self.state, State::Stalled(_)) {
            self.claim = Claim::None;
            return vec![Effect::Drop];
        }
        self.failures += 1;
        let failure = (*signal != Signal::Requested).then(|| signal.to_string());
        self.state = State::Loading { failure };
        let mut effects = self.claim_later(backoff(self.failures));
        effects.insert(0, Effect::Drop);
        effects
    }

    /// A claim that begins after this is to adopt what was decided.
    fn decided(&mut self) -> Vec<Effect> {
        let was_running = matches!(self.state, State::Running { .. });
        match &mut self.claim {
            Claim::UnderWay { decided } => {
                *decided = true;
                Vec::new()
            }
            // It is made soon.
            Claim::PutOff(_) if matches!(self.state, State::Loading { .. }) => Vec::new(),
            Claim::AfterSignal => {
                self.state = State::Loading { failure: None };
                Vec::new()
            }
            Claim::PutOff(_) | Claim::None => {
                self.state = State::Loading { failure: None };
                if was_running { self.stop_reading() } else { self.claim_now() }
            }
        }
    }

    /// Where the checkpoint of a freeze that begins now will stand; `None` while one is being written.
    fn begin_freezing(&mut self) -> Option<(Epoch, Seq)> {
        let State::Running { writing, .. } = &mut self.state else { return None };
        let Writing::Nothing(tip) = writing else { return None };
        let place = (tip.epoch(), tip.seq().next()?);
        let idle = std::mem::replace(writing, Writing::Taken);
        if let Writing::Nothing(tip) = idle {
            *writing = Writing::Freezing(tip);
        }
        Some(place)
    }

    fn checkpoint(&mut self, event: Event) -> Vec<Effect> {
        let State::Running { shard, writing } = &mut self.state else { return Vec::new() };
        match &event {
            Event::Committed(_) => self.unconfirmed = None,
            Event::Unconfirmed { error, .. } => {
                let before = self.unconfirmed.as_ref().map_or(0, |before| before.in_a_row);
                let in_a_row = before.saturating_add(1);
                self.unconfirmed = Some(Unconfirmed { in_a_row, error: error.clone() });
            }
            _ => {}
        }
        let before = std::mem::replace(writing, Writing::Taken);
        let (after, effects) = write(shard, &mut self.failures, before, event);
        *writing = after;
        effects
    }

    fn phase(&self) -> ShardPhase {
        match &self.state {
            State::Loading { failure } => ShardPhase::Loading { failure: failure.clone() },
            State::Running { writing: Writing::Unresolved { error, .. }, .. } => {
                ShardPhase::Running { unresolved: Some(error.clone()) }
            }
            State::Running { .. } => ShardPhase::Running { unresolved: None },
            State::Stalled(stall) => ShardPhase::Stalled(stall.clone()),
        }
    }
}

/// The next step of writing a checkpoint.
fn write(
    shard: &ShardId,
    failures: &mut u32,
    writing: Writing,
    event: Event,
) -> (Writing, Vec<Effect>) {
    match (writing, event) {
        (Writing::Freezing(tip), Event::Frozen(None)) => (Writing::Nothing(tip), Vec::new()),
        (Writing::Freezing(tip), Event::Frozen(Some(frozen))) => {
            let writing = Writing::Putting(frozen.next_offset);
            let (shard, after) = (shard.clone(), Duration::ZERO);
            (writing, vec![Effect::Commit { shard, tip, frozen, after }])
        }
        (
            Writing::Putting(next_offset) | Writing::Unresolved { next_offset, .. },
            Event::Committed(tip),
        ) => {
            *failures = 0;
            (Writing::Nothing(tip), vec![Effect::CommitGroupOffset(next_offset)])
        }
        (Writing::Putting(_) | Writing::Unresolved { .. }, Event::Unconfirmed { tip, .. }) => {
            (Writing::Nothing(tip), vec![Effect::Thaw])
        }
        (
            Writing::Putting(next_offset) | Writing::Unresolved { next_offset, .. },
            Event::SegmentsFailed { tip, frozen, error },
        ) => {
            *failures += 1;
            let (shard, after) = (shard.clone(), backoff(*failures));
            let again = Effect::Commit { shard, tip, frozen, after };
            (Writing::Unresolved { next_offset, error }, vec![again])
        }
        (
            Writing::Putting(next_offset) | Writing::Unresolved { next_offset, .. },
            Event::Unresolved { pending, error },
        ) => {
            *failures += 1;
            let (shard, after) = (shard.clone(), backoff(*failures));
            let resume = Effect::Resume { shard, pending, after };
            (Writing::Unresolved { next_offset, error }, vec![resume])
        }
        (writing, _) => (writing, Vec::new()),
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    RETRY_MAX.min(RETRY_FIRST * 2_u32.pow(doublings))
}

#[cfg(test)]
mod tests;
