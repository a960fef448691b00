//! What the witness knows of the chains of checkpoints and of their segments: S1, S2, S5, S6 and S7.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use object_store::memory::InMemory;
use postroad_aggregate::shard::ShardState;
use postroad_ingest::checkpoint::envelope::{Envelope, Link, Nonce, Seq};
use postroad_ingest::checkpoint::segments::{self, Unsealed};
use postroad_ingest::checkpoint::{Adopted, Checkpoint, Phase, ShardId, Standing, format};
use postroad_ingest::source::kafka::TopicPartition;
use postroad_ingest::store::Store;
use postroad_schemas::units::NextOffset;

use super::reference::{Reference, Start, ahead_before, difference, rules_before};
use super::{Broken, KnownRules};
use crate::sim::dice::Dice;
use crate::sim::journal::Journal;
use crate::sim::log::Log;

/// All chains of a store.
pub(super) struct Chains {
    pub(super) log: Log,
    /// For segments, which a checkpoint lists and does not hold.
    store: Store,
    pub(super) rules: KnownRules,
    pub(super) journal: Journal,
    /// Who drew which nonce.
    writers: HashMap<Nonce, u32>,
    by_shard: BTreeMap<ShardId, Chain>,
}

#[derive(Default)]
struct Chain {
    /// Everything that ever landed.
    all: HashMap<Nonce, Arc<Object>>,
    /// In the order of landing.
    order: Vec<Nonce>,
    /// What is there now.
    stored: BTreeMap<u64, Nonce>,
    /// What somebody believed in, by place.
    held: BTreeMap<u64, Nonce>,
    /// What was damaged where it lay.
    damaged: BTreeSet<u64>,
    reference: Reference,
}

/// One checkpoint that landed.
pub(super) struct Object {
    pub(super) seq: u64,
    pub(super) standing: Standing,
    /// The state with what was sealed.
    pub(super) state: Arc<ShardState>,
    /// The keys of the segments that it lists.
    segments: BTreeSet<String>,
    epoch: u64,
    link: Link,
    writer: Option<u32>,
    predecessor: Option<Nonce>,
    pub(super) start: Start,
    /// The life of the log that it is a fold of; the newest that fits.
    pub(super) life: usize,
}

impl Chains {
    pub(super) fn new(log: Log, store: Arc<InMemory>, rules: KnownRules, journal: Journal) -> Self {
        let store = Store::over(store, "the witness's".to_owned());
        let (writers, by_shard) = (HashMap::new(), BTreeMap::new());
        Self { log, store, rules, journal, writers, by_shard }
    }

    pub(super) fn belongs_to(&mut self, nonce: u128, writer: u32) {
        self.writers.insert(Nonce::new(nonce), writer);
    }

    /// A checkpoint was created.
    pub(super) fn landed(&mut self, key: &str, content: &Bytes) -> Result<String, Broken> {
        let broken = |why: String| format!("S1: {key}: {why}");
        let seq = seq_of(key).ok_or_else(|| broken("this is no place in a chain".to_owned()))?;
        let envelope = Envelope::decode(content, Seq::new(seq));
        let envelope = envelope.map_err(|error| broken(error.to_string()))?;
        let checkpoint = format::decode(&envelope.payload);
        let checkpoint = checkpoint.map_err(|error| broken(error.to_string()))?;
        let id = checkpoint.id.clone();
        if !key.starts_with(id.prefix().as_ref()) {
            return Err(broken(format!("it is of {id}")));
        }
        let whole = self.whole(&checkpoint);
        let chain = self.by_shard.entry(id.clone()).or_default();
        let is_newest = chain.stored.last_key_value().is_none_or(|(newest, _)| *newest < seq);
        let state = match whole {
            Ok(state) => state,
            // A late put below the newest, where its segments were already tidied away, with which
            // nobody goes on.
            Err(_) if !is_newest => return Ok("below the newest, and not to be read".to_owned()),
            Err(why) => return Err(format!("S7: {key}: {why}")),
        };
        let mut object = Object {
            seq,
            epoch: envelope.epoch.get(),
            link: envelope.link,
            writer: self.writers.get(&envelope.nonce).copied(),
            predecessor: envelope.predecessor,
            start: chain.start(&envelope, &checkpoint, &state).map_err(broken)?,
            segments: listed(&checkpoint),
            standing: checkpoint.with(()),
            state: Arc::new(state),
            life: 0,
        };
        if chain.stored.insert(seq, envelope.nonce).is_some() {
            return Err(broken("there is an object at its place".to_owned()));
        }
        chain.continues(&object).map_err(broken)?;
        let first = object.state.ledger.first.get();
        if object.predecessor.is_none() && !self.log.began_at(&id.topic, id.partition, first) {
            return Err(broken(format!("it begins at {first}, where no log ever began or ended")));
        }
        let lives = self.log.lives(&id.topic, id.partition);
        object.life = chain.check_fold(&object, &lives, &self.rules).map_err(broken)?;
        self.journal.count(kind(&object, is_newest));
        let shown = object.to_string();
        chain.all.insert(envelope.nonce, Arc::new(object));
        chain.order.push(envelope.nonce);
        Ok(shown)
    }

    /// A checkpoint's state together with what its segments hold.
    fn whole(&self, checkpoint: &Checkpoint) -> Result<ShardState, String> {
        let mut unsealed = Unsealed::default();
        let update = unsealed.update(&self.store, &checkpoint.id, &checkpoint.state.sealed);
        let updated = update.now_or_never().expect("memory answers at once");
        updated.map_err(|error| format!("it lists a segment that cannot be read: {error}"))?;
        Ok(unsealed.whole(&checkpoint.state))
    }

    pub(super) fn deleted(&mut self, key: &str) -> Result<(), Broken> {
        let chain = self.by_shard.iter_mut().find(|(id, _)| key.starts_with(id.prefix().as_ref()));
        let (Some((_, chain)), Some(seq)) = (chain, seq_of(key)) else { return Ok(()) };
        chain.stored.remove(&seq);
        if chain.stored.range(seq..).count() < 2 {
            return Err(format!("S5: {key} was deleted, and less than two are above"));
        }
        Ok(())
    }

    pub(super) fn segment_deleted(&self, key: &str) -> Result<(), Broken> {
        for (id, chain) in &self.by_shard {
            // The newest, and one to fall back to.
            for (seq, nonce) in chain.stored.iter().rev().take(2) {
                if chain.all[nonce].segments.contains(key) {
                    return Err(format!("S7: {key} was deleted, and {seq} of {id} lists it"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn claimed(&mut self, writer: u32, tp: &TopicPartition) -> Result<(), Broken> {
        let of =
            |object: &Object| object.link == Link::Claim && object.standing.phase == Phase::Running;
        self.hold_newest_of(writer, tp, of)
            .map_err(|why| format!("S6: p{writer} reads {tp}: {why}"))
    }

    pub(super) fn acknowledged(
        &mut self,
        writer: u32,
        tp: &TopicPartition,
        next: i64,
    ) -> Result<(), Broken> {
        let of =
            |object: &Object| object.link == Link::Commit && object.state.ledger.next.get() == next;
        self.hold_newest_of(writer, tp, of)
            .map_err(|why| format!("S2: p{writer} acknowledged {tp} up to {next}: {why}"))
    }

    /// The highest one: a claim that was given up for that of a later generation may land after it, below,
    /// and nobody believes in it.
    fn hold_newest_of(
        &mut self,
        writer: u32,
        tp: &TopicPartition,
        of: impl Fn(&Object) -> bool,
    ) -> Result<(), String> {
        for (_, chain) in self.by_shard.iter_mut().rev().filter(|(id, _)| is_of(id, tp)) {
            let own = chain.order.iter().filter(|nonce| {
                let object = &chain.all[*nonce];
                object.writer == Some(writer) && of(object)
            });
            if let Some(newest) = own.max_by_key(|nonce| chain.all[*nonce].seq) {
                return chain.hold(*newest);
            }
        }
        Err("there is no such object of its own".to_owned())
    }

    /// A publish shows a checkpoint.
    pub(super) fn published(
        &mut self,
        id: &ShardId,
        seq: u64,
        next: i64,
    ) -> Result<Arc<Object>, String> {
        let chain = self.by_shard.get_mut(id).ok_or("there is no such chain")?;
        let candidates = chain.order.iter().rev().copied().filter(|nonce| {
            let object = &chain.all[nonce];
            object.seq == seq && object.state.ledger.next.get() == next
        });
        let mut why = "there never was such a checkpoint".to_owned();
        for shown in candidates.collect::<Vec<_>>() {
            match chain.hold(shown) {
                Ok(()) => return Ok(Arc::clone(&chain.all[&shown])),
                Err(lost) => why = lost,
            }
        }
        Err(why)
    }

    /// The newest checkpoint of a shard.
    pub(super) fn newest(&self, id: &ShardId) -> Option<&Arc<Object>> {
        let chain = self.by_shard.get(id)?;
        let whole = chain.stored.iter().rev().find(|(seq, _)| !chain.damaged.contains(seq));
        whole.map(|(_, nonce)| &chain.all[nonce])
    }

    /// The newest checkpoint of the newest life of a partition.
    pub(super) fn newest_life(&self, tp: &TopicPartition) -> Option<(&ShardId, &Arc<Object>)> {
        let (id, _) = self.by_shard.iter().rev().find(|(id, _)| is_of(id, tp))?;
        Some((id, self.newest(id)?))
    }

    /// Every shard.
    pub(super) fn shards(&self) -> impl Iterator<Item = &ShardId> {
        self.by_shard.keys()
    }

    /// Chooses a newest checkpoint that is to be damaged. Nobody can be held to have believed in it any
    /// more: what it held is read again, and told otherwise where clocks or rules differ.
    pub(super) fn damage(&mut self, dice: &Dice) -> Option<String> {
        let id = dice.pick(&self.by_shard.keys().cloned().collect::<Vec<_>>())?;
        let chain = self.by_shard.get_mut(&id)?;
        // Never two in a row: one to fall back to is what collection leaves.
        let mut newest = chain.stored.keys().rev().copied();
        let (seq, before) = (newest.next()?, newest.next()?);
        if chain.damaged.contains(&seq) || chain.damaged.contains(&before) {
            return None;
        }
        chain.damaged.insert(seq);
        chain.held.remove(&seq);
        Some(id.prefix().join(Seq::new(seq).to_string()).to_string())
    }

    /// Which shard has not come to the end of its log.
    pub(super) fn unfinished(&self, log: &Log) -> Option<String> {
        log.partitions().iter().find_map(|tp| {
            let (_, high) = log.range(tp)?;
            let Some((id, newest)) = self.newest_life(tp) else {
                return Some(format!("{tp} was never claimed"));
            };
            let next = newest.state.ledger.next.get();
            let is_done = newest.standing.phase == Phase::Running && next == high;
            let phase = newest.standing.phase;
            (!is_done).then(|| format!("{id} is {phase:?} at {next} of a log up to {high}"))
        })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writer = self.writer.map_or("nobody".to_owned(), |writer| format!("p{writer}"));
        let (next, phase) = (self.state.ledger.next, self.standing.phase);
        write!(f, "{:?} of {writer}, epoch {}, up to {next}, {phase:?}", self.link, self.epoch)
    }
}

impl Chain {
    /// Where the reading begins whose fold an object is.
    fn start(
        &self,
        envelope: &Envelope,
        checkpoint: &Checkpoint,
        state: &ShardState,
    ) -> Result<Start, String> {
        let before = match envelope.predecessor {
            None => None,
            Some(nonce) => Some(self.all.get(&nonce).ok_or("it continues what never landed")?),
        };
        let begin = state.window_begin().map(NextOffset::from);
        let cut = checkpoint.window_cut.filter(|cut| begin.is_some_and(|begin| begin < *cut));
        let lost = before.is_some_and(|before| !new_losses(before, checkpoint).is_empty());
        if envelope.link == Link::Claim && (cut.is_some() || lost) {
            let mut state = state.clone();
            let next = state.ledger.next;
            state.rules.retain(|(at, _)| *at < next);
            return Ok(Start::Cut(Arc::new(state), cut.unwrap_or(next)));
        }
        Ok(before.map_or(Start::First(state.ledger.first), |before| before.start.clone()))
    }

    /// An object says nothing else about the past than the one that it continues.
    fn continues(&self, object: &Object) -> Result<(), String> {
        let Some(nonce) = object.predecessor else { return Ok(()) };
        let before = &self.all[&nonce];
        let boundary = before.state.ledger.next;
        let same_reign = match object.link {
            Link::Claim => object.epoch > before.epoch,
            Link::Commit => object.epoch == before.epoch && object.seq == before.seq + 1,
        };
        if !same_reign {
            return Err("it does not follow the one that it continues".to_owned());
        }
        if object.state.ledger.next < boundary {
            return Err(format!("it goes back behind {boundary}"));
        }
        let (now, then) = (&object.state, &before.state);
        if !rules_before(now, boundary).eq(rules_before(then, boundary)) {
            return Err(format!("it has other rules before {boundary}"));
        }
        if !ahead_before(now, boundary).eq(ahead_before(then, boundary)) {
            return Err(format!("it judges clocks otherwise before {boundary}"));
        }
        Ok(())
    }

    /// S1, against every life that the log has had, the newest first. What a claim holds is what the
    /// object that it continues held, and what decisions make of it.
    fn check_fold(
        &mut self,
        object: &Object,
        lives: &[crate::sim::log::Life],
        rules: &KnownRules,
    ) -> Result<usize, String> {
        if let Some(nonce) = object.predecessor.filter(|_| object.link == Link::Claim) {
            let before = &self.all[&nonce];
            let mut expected = ShardState::clone(&before.state);
            for Adopted { id, to, .. } in new_losses(before, &object.standing) {
                expected.lose(to, id).map_err(|error| error.to_string())?;
            }
            return match difference(&object.state, &expected) {
                Some(differs) => Err(format!("it claims another state: {differs}")),
                None => Ok(before.life),
            };
        }
        let mut why = "there is no log".to_owned();
        for life in lives.iter().enumerate().rev() {
            let expected = self.reference.state(&object.start, life, &object.state, rules);
            match expected.map(|expected| difference(&object.state, &expected)) {
                Ok(None) => return Ok(life.0),
                Ok(Some(differs)) => why = differs,
                Err(error) => why = error,
            }
        }
        Err(format!("it is no fold of the log: {why}"))
    }

    /// S2: what somebody believes in continues, or is continued by, all that anybody believed in.
    fn hold(&mut self, nonce: Nonce) -> Result<(), String> {
        let seq = self.all[&nonce].seq;
        if self.damaged.contains(&seq) {
            return Ok(());
        }
        if let Some(other) = self.held.get(&seq).filter(|held| **held != nonce) {
            let other = self.all[other].writer;
            return Err(format!("p{other:?} believes in another object at {seq}"));
        }
        let below = self.held.range(..seq).next_back().map(|(_, nonce)| *nonce);
        let above = self.held.range(seq + 1..).next().map(|(_, nonce)| *nonce);
        if let Some(below) = below.filter(|below| !self.continued(*below, nonce)) {
            let lost = &self.all[&below];
            return Err(format!("{seq} does not continue {}, which is lost", lost.seq));
        }
        if let Some(above) = above.filter(|above| !self.continued(nonce, *above)) {
            return Err(format!("{seq} is lost: {} does not continue it", self.all[&above].seq));
        }
        self.held.insert(seq, nonce);
        Ok(())
    }

    /// Whether an object is continued, over any number of others, by a later one.
    fn continued(&self, earlier: Nonce, mut later: Nonce) -> bool {
        let place = self.all[&earlier].seq;
        loop {
            if later == earlier {
                return true;
            }
            match self.all[&later].predecessor {
                Some(before) if self.all[&before].seq >= place => later = before,
                _ => return false,
            }
        }
    }
}

/// What kind of object landed, for the count.
fn kind(object: &Object, is_newest: bool) -> &'static str {
    match (object.link, object.standing.phase, &object.start) {
        _ if !is_newest => "late puts below the newest",
        (Link::Commit, ..) => "commits",
        (Link::Claim, Phase::Stalled { .. }, _) => "stalls recorded",
        (Link::Claim, Phase::Closed, _) => "lives closed",
        (Link::Claim, Phase::Running, Start::Cut(..)) => "claims above a cut",
        (Link::Claim, Phase::Running, Start::First(_)) => "claims",
    }
}

/// The losses that a checkpoint has adopted since the one that it continues.
fn new_losses<S>(before: &Object, now: &Checkpoint<S>) -> Vec<Adopted> {
    let known = &before.standing.decisions;
    let losses = now.decisions.iter().filter(|adopted| adopted.at < adopted.to);
    losses.filter(|adopted| !known.contains(adopted)).copied().collect()
}

/// The keys of the segments that a checkpoint lists.
fn listed(checkpoint: &Checkpoint) -> BTreeSet<String> {
    let listed = checkpoint.state.sealed.iter();
    listed.map(|segment| segments::key(&checkpoint.id, segment).to_string()).collect()
}

fn is_of(id: &ShardId, tp: &TopicPartition) -> bool {
    id.topic == tp.topic && id.partition == tp.partition
}

/// The place behind a key.
fn seq_of(key: &str) -> Option<u64> {
    key.rsplit_once('/')?.1.parse().ok()
}
