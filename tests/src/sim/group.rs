//! The group's coordinator: who is a member, who owns which partition, and who is told of it when.
//!
//! It hands a partition on once its owner has let go or has been thrown out. Somebody who was thrown
//! out may not know it for a while, and goes on reading and writing: a zombie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postroad_ingest::source::kafka::TopicPartition;
use tokio::sync::mpsc::UnboundedSender;

use super::dice::Dice;
use super::journal::Journal;
use super::life::Life;
use super::log::Log;
use super::time::pass;

/// How long the coordinator waits for a member that does not answer.
const SESSION: Duration = Duration::from_secs(8);

/// What a member is told.
#[derive(Debug)]
pub(super) enum Told {
    /// These partitions are yours.
    Assigned(Vec<TopicPartition>),
    /// Give these back.
    Revoked(Vec<TopicPartition>),
    /// You are no member any more.
    ThrownOut,
}

/// A member. Whoever joins again is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(u64);

/// The coordinator. Clones are the same one.
#[derive(Clone)]
pub(super) struct Group {
    state: Arc<Mutex<State>>,
    log: Log,
    dice: Dice,
    journal: Journal,
}

#[derive(Default)]
struct State {
    joined: u64,
    members: BTreeMap<Member, UnboundedSender<Told>>,
    slots: BTreeMap<TopicPartition, Slot>,
}

/// Whose a partition is, and whose it will be.
#[derive(Default)]
struct Slot {
    owner: Option<Member>,
    heir: Option<Member>,
}

impl Group {
    pub(super) fn new(log: Log, dice: Dice, journal: Journal) -> Self {
        Self { state: Arc::default(), log, dice, journal }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, inbox: UnboundedSender<Told>) -> Member {
        let member = {
            let mut state = self.state();
            state.joined += 1;
            let member = Member(state.joined);
            state.members.insert(member, inbox);
            member
        };
        self.journal.note(format_args!("group: {member:?} joins"));
        self.rebalance(false);
        member
    }

    /// Somebody leaves, or is thrown out and is told so `told_after`.
    pub(super) fn remove(&self, member: Member, told_after: Duration) {
        let Some(inbox) = self.state().members.remove(&member) else { return };
        self.journal.note(format_args!("group: {member:?} is out"));
        tokio::spawn(async move {
            pass(told_after).await;
            let _ = inbox.send(Told::ThrownOut);
        });
        {
            let mut state = self.state();
            for slot in state.slots.values_mut() {
                slot.owner = slot.owner.filter(|owner| *owner != member);
                slot.heir = slot.heir.filter(|heir| *heir != member);
            }
        }
        self.rebalance(false);
    }

    /// Throws out somebody who has died, once the session is over.
    pub(super) fn bury(&self, member: Member) {
        let group = self.clone();
        tokio::spawn(async move {
            pass(SESSION).await;
            group.remove(member, Duration::ZERO);
        });
    }

    /// Throws out whoever stands still for a session's length.
    pub(super) fn suspect(&self, member: Member, life: Life) {
        let group = self.clone();
        tokio::spawn(async move {
            pass(SESSION).await;
            if life.stands_still() {
                group.remove(member, Duration::ZERO);
            }
        });
    }

    /// A member has let go of partitions that it was told to give back.
    pub(super) fn let_go(&self, member: Member, tps: &[TopicPartition]) {
        let (mut assigned, mut without_heir) = (BTreeMap::new(), false);
        {
            let mut state = self.state();
            for tp in tps {
                let Some(slot) = state.slots.get_mut(tp) else { continue };
                if slot.owner == Some(member) {
                    hand_on(tp, slot, &mut assigned);
                    without_heir |= slot.owner.is_none();
                }
            }
        }
        self.tell_assigned(assigned);
        if without_heir {
            self.rebalance(false);
        }
    }

    /// Divides the partitions among the members; in a storm anew and by lot.
    pub(super) fn rebalance(&self, storm: bool) {
        let partitions = self.log.partitions();
        let (mut assigned, mut revoked) = (BTreeMap::new(), BTreeMap::<Member, Vec<_>>::new());
        {
            let mut state = self.state();
            let State { members, slots, .. } = &mut *state;
            slots.retain(|tp, slot| {
                let exists = partitions.contains(tp);
                if let Some(owner) = slot.owner.filter(|_| !exists) {
                    revoked.entry(owner).or_default().push(tp.clone());
                }
                exists
            });
            let all: Vec<Member> = members.keys().copied().collect();
            let share = partitions.len().div_ceil(all.len().max(1));
            let mut held: BTreeMap<Member, usize> = BTreeMap::new();
            for tp in partitions {
                let slot = slots.entry(tp.clone()).or_default();
                let keeps = slot
                    .owner
                    .filter(|owner| !storm && held.get(owner).copied().unwrap_or_default() < share);
                let Some(next) = keeps.or_else(|| self.dice.pick(&all)) else { continue };
                *held.entry(next).or_default() += 1;
                match slot.owner {
                    None => {
                        slot.heir = Some(next);
                        hand_on(&tp, slot, &mut assigned);
                    }
                    // Somebody who was told to let go will, and gets it back.
                    Some(owner) if owner == next => slot.heir = slot.heir.map(|_| next),
                    Some(owner) => {
                        // Told once; until it lets go only the heir may change.
                        if slot.heir.replace(next).is_none() {
                            revoked.entry(owner).or_default().push(tp);
                        }
                    }
                }
            }
        }
        for (member, tps) in revoked {
            self.tell(member, Told::Revoked(tps));
            self.suspect_if_silent(member);
        }
        self.tell_assigned(assigned);
    }

    /// A member that is told to give something back and does not answer loses its membership.
    fn suspect_if_silent(&self, member: Member) {
        let group = self.clone();
        tokio::spawn(async move {
            pass(SESSION).await;
            let silent = group
                .state()
                .slots
                .values()
                .any(|slot| slot.owner == Some(member) && slot.heir.is_some());
            if silent {
                group.remove(member, Duration::ZERO);
            }
        });
    }

    fn tell_assigned(&self, assigned: BTreeMap<Member, Vec<TopicPartition>>) {
        for (member, tps) in assigned {
            self.tell(member, Told::Assigned(tps));
        }
    }

    fn tell(&self, member: Member, told: Told) {
        self.journal.note(format_args!("group: {member:?} is told {told:?}"));
        if let Some(inbox) = self.state().members.get(&member) {
            let _ = inbox.send(told);
        }
    }

    /// The members, oldest first.
    pub(super) fn members(&self) -> Vec<Member> {
        self.state().members.keys().copied().collect()
    }
}

/// Gives a partition to its heir.
fn hand_on(
    tp: &TopicPartition,
    slot: &mut Slot,
    assigned: &mut BTreeMap<Member, Vec<TopicPartition>>,
) {
    slot.owner = slot.heir.take();
    if let Some(owner) = slot.owner {
        assigned.entry(owner).or_default().push(tp.clone());
    }
}
