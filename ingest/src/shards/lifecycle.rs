//! What happens to the shards of one instance: events in, effects out, no input or output here.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use postroad_aggregate::seal::Segment;
use postroad_aggregate::shard::Diverged;
use postroad_schemas::units::NextOffset;

use super::claim::{Claimed, ClaimedShard};
use super::stall::Stall;
use crate::checkpoint::chain::{Pending, Tip};
use crate::checkpoint::envelope::{Epoch, Seq};
use crate::checkpoint::{ShardId, segments};
use crate::source::TopicId;
use crate::source::kafka::{Generation, Signal, TopicPartition};

/// How long to wait before claiming again after a failure; doubled with each up to the maximum.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// How often a stalled shard is looked at again.
const STALLED_RETRY: Duration = Duration::from_secs(30);

/// Something that happened to a shard.
#[derive(Debug)]
pub enum Event {
    /// The group gave the partition to this instance.
    Granted,
    /// The group took it away.
    Revoked,
    /// The poll thread stopped reading it, though it is still ours, and `next` begins.
    Signal {
        /// The generation under which to claim again.
        next: Generation,
        /// Why.
        signal: Signal,
    },
    /// The claim succeeded.
    Claimed(Box<Claimed>),
    /// The claim failed for a reason that may pass.
    ClaimFailed(String),
    /// The claim found a log that the shard cannot go on from.
    ClaimStalled(Stall),
    /// The worker froze the state; `None` where nothing changed since the last time.
    Frozen(Option<Frozen>),
    /// The put landed; this is the new end of the chain.
    Committed(Tip),
    /// The brokers did not say in time that the log is still the one that was read, so nothing was put.
    Unconfirmed(Tip),
    /// The topic was made anew since: what was frozen may be of another log, and nothing was put.
    Recreated,
    /// The store did not take the segments, so nothing was put.
    SegmentsFailed {
        /// The end of the chain.
        tip: Tip,
        /// What is still to be written.
        frozen: Frozen,
        /// What the store said.
        error: String,
    },
    /// An operator has decided something about the shard.
    Decided,
    /// Somebody else owns the chain.
    Fenced(String),
    /// The store does not say whether the put landed.
    Unresolved {
        /// What to go on with.
        pending: Box<Pending>,
        /// What the store said.
        error: String,
    },
    /// The log is not the one that the state was folded from.
    Diverged(Diverged),
}

/// A frozen state, encoded.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The checkpoint's bytes.
    pub payload: Bytes,
    /// Everything below is in it.
    pub next_offset: NextOffset,
    /// What has to be stored before it, since it lists them.
    pub segments: Vec<segments::Encoded>,
    /// Every segment that it lists.
    pub listed: Vec<Segment>,
    /// The life of the topic that its records are of, where that is known.
    pub topic_id: Option<TopicId>,
}

/// Something to be done for a shard.
#[derive(Debug)]
pub enum Effect {
    /// Claim it, after a while.
    Claim(Duration),
    /// Give it to its worker, then read from where it resumes.
    Load(Box<ClaimedShard>),
    /// Write the next object of its chain, after a while.
    Commit {
        /// Whose.
        shard: ShardId,
        /// The end of the chain.
        tip: Tip,
        /// What the object holds.
        frozen: Frozen,
        /// How long to wait.
        after: Duration,
    },
    /// Go on with a put that was left unresolved, after a while.
    Resume {
        /// Whose.
        shard: ShardId,
        /// The put.
        pending: Box<Pending>,
        /// How long to wait.
        after: Duration,
    },
    /// Tell the group how far the shard is, for lag tools.
    CommitGroupOffset(NextOffset),
    /// Have the log say that it is stalled, and the store: see [`Lifecycle::diverged`].
    RecordStall(Stall),
    /// Have the worker freeze it again though nothing has changed.
    Thaw,
    /// Have the worker forget it.
    Drop,
    /// Have the poll thread stop reading it; it answers with a signal.
    Unassign,
}

/// The state of a shard, as metrics and operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardPhase {
    /// Being claimed.
    Loading {
        /// The last failure, if the claim is being tried again.
        failure: Option<String>,
    },
    /// Being read.
    Running {
        /// What the store said, if the last put is unresolved.
        unresolved: Option<String>,
    },
    /// Waiting for an operator, or for the log to hold again what is needed.
    Stalled(Stall),
}

#[derive(Debug)]
struct Owned {
    generation: Generation,
    failures: u32,
    state: State,
    /// The life that is read, or was read last.
    read: Option<ShardId>,
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
            let state = State::Loading { failure: None };
            self.shards.insert(tp.clone(), Owned { generation, failures: 0, state, read: None });
            return vec![Effect::Claim(Duration::ZERO)];
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

    /// Whether a claim that was put off may still be made: a claim by somebody who no longer owns the
    /// shard would fence the one who does.
    pub fn awaits_claim(&self, tp: &TopicPartition, generation: Generation) -> bool {
        self.shards.get(tp).is_some_and(|owned| {
            owned.generation == generation && !matches!(owned.state, State::Running { .. })
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

    /// Every shard with its state.
    pub fn phases(&self) -> impl Iterator<Item = (&TopicPartition, ShardPhase)> {
        self.shards.iter().map(|(tp, owned)| (tp, owned.phase()))
    }
}

impl Owned {
    fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Granted | Event::Revoked => Vec::new(),
            Event::Signal { next, signal } => self.signal(next, &signal),
            // A claim that was made for a state which is over is void: the put fences nobody but us.
            Event::Claimed(_) | Event::ClaimFailed(_) | Event::ClaimStalled(_)
                if matches!(self.state, State::Running { .. }) =>
            {
                Vec::new()
            }
            Event::Claimed(claimed) => {
                let Claimed { shard, tip } = *claimed;
                let id = shard.standing.id.clone();
                self.read = Some(id.clone());
                self.state = State::Running { shard: id, writing: Writing::Nothing(tip) };
                vec![Effect::Load(shard)]
            }
            Event::ClaimFailed(failure) => {
                self.failures += 1;
                self.state = State::Loading { failure: Some(failure) };
                vec![Effect::Claim(backoff(self.failures))]
            }
            Event::ClaimStalled(stall) => {
                self.state = State::Stalled(stall);
                vec![Effect::Claim(STALLED_RETRY)]
            }
            Event::Diverged(diverged) => {
                let stall = Stall::Diverged(diverged);
                self.state = State::Stalled(stall.clone());
                vec![Effect::Drop, Effect::Unassign, Effect::RecordStall(stall)]
            }
            Event::Frozen(_)
            | Event::Committed(_)
            | Event::Unresolved { .. }
            | Event::Unconfirmed(_)
            | Event::SegmentsFailed { .. } => self.checkpoint(event),
            Event::Decided => self.claim_anew(),
            // Its own stall, written into the chain, fences a put that was under way.
            Event::Fenced(_) | Event::Recreated if matches!(self.state, State::Stalled(_)) => {
                Vec::new()
            }
            Event::Fenced(_) | Event::Recreated => {
                self.failures += 1;
                self.state = State::Loading { failure: None };
                vec![Effect::Drop, Effect::Unassign]
            }
        }
    }

    /// Reading ended, though the partition is still ours.
    fn signal(&mut self, next: Generation, signal: &Signal) -> Vec<Effect> {
        self.generation = next;
        if matches!(self.state, State::Stalled(_)) {
            return vec![Effect::Drop];
        }
        self.failures += 1;
        let failure = (*signal != Signal::Requested).then(|| signal.to_string());
        self.state = State::Loading { failure };
        vec![Effect::Drop, Effect::Claim(backoff(self.failures))]
    }

    /// A new claim is to adopt what was decided.
    fn claim_anew(&mut self) -> Vec<Effect> {
        match self.state {
            // A claim is on its way.
            State::Loading { .. } => Vec::new(),
            State::Stalled(_) => {
                self.state = State::Loading { failure: None };
                vec![Effect::Claim(Duration::ZERO)]
            }
            State::Running { .. } => {
                self.state = State::Loading { failure: None };
                vec![Effect::Drop, Effect::Unassign]
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
        (Writing::Putting(_) | Writing::Unresolved { .. }, Event::Unconfirmed(tip)) => {
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
