//! The life of one process: it runs, stands still, or has ended. What stands between it and the world
//! asks here before anything has an effect.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use postroad_ingest::clock::Clock;
use postroad_schemas::units::Timestamp;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::group::Member;
use super::odds::Knob;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    Runs,
    StandsStill,
    Ended,
}

/// One process from its start to its end. Clones are the same one.
#[derive(Clone)]
pub(super) struct Life {
    number: u32,
    pulse: Knob<Pulse>,
    /// Those who wait for it to go on, in order.
    waiting: Arc<Notify>,
    /// Who it is to the group.
    member: Knob<Option<Member>>,
    /// The task to be ended with it.
    task: Arc<Mutex<Option<AbortHandle>>>,
    /// What its clock said when it started.
    born_at: (Instant, Timestamp),
}

impl Life {
    pub(super) fn new(number: u32, clock: Timestamp) -> Self {
        let born_at = (Instant::now(), clock);
        Self {
            number,
            pulse: Knob::new(Pulse::Runs),
            waiting: Arc::default(),
            member: Knob::new(None),
            task: Arc::default(),
            born_at,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The group knows it by another name.
    pub(super) fn is_member(&self, member: Member) {
        self.member.set(Some(member));
    }

    /// Who it is to the group, once it has joined.
    pub(super) fn member(&self) -> Option<Member> {
        self.member.get()
    }

    /// The process's own idea of the time.
    pub(super) fn clock(&self) -> Clock {
        let (born, at) = self.born_at;
        Clock::of(move || {
            let micros = i64::try_from(born.elapsed().as_micros()).expect("a short run");
            Timestamp::from_micros(at.as_micros() + micros)
        })
    }

    /// The task that is the process.
    pub(super) fn is_task(&self, task: AbortHandle) {
        if self.has_ended() {
            return task.abort();
        }
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Kills it, here and now: nothing that it has not sent yet is ever sent.
    pub(super) fn end(&self) {
        self.pulse.set(Pulse::Ended);
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Stops it, as SIGSTOP does.
    pub(super) fn stand_still(&self) {
        self.change(Pulse::StandsStill);
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        self.change(Pulse::Runs);
    }

    fn change(&self, to: Pulse) {
        if !self.has_ended() {
            self.pulse.set(to);
            self.waiting.notify_waiters();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.pulse.get() == Pulse::Ended
    }

    pub(super) fn stands_still(&self) -> bool {
        self.pulse.get() == Pulse::StandsStill
    }

    /// Waits until it runs. For a process that has ended that is for ever.
    pub(super) async fn runs(&self) {
        while self.pulse.get() != Pulse::Runs {
            self.waiting.notified().await;
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.number)
    }
}
