//! Which call fails, and how: by script first, else by lot.

use std::collections::VecDeque;
use std::time::Duration;

use futures::future::BoxFuture;
use rand::RngExt;
use rand::rngs::StdRng;

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Writing an object, whatever the mode.
    Put,
    /// Reading an object or a part of it.
    Get,
    /// Asking for an object's size and e-tag.
    Head,
    /// Any listing.
    List,
    /// Deleting an object.
    Delete,
}

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing happened. Any call.
    Before,
    /// It happened, and the answer was lost. Puts and deletes.
    After,
    /// It happened, and a retry inside the client met its own success: *already exists*. Puts.
    ExistsAfter,
    /// No answer; it happens only after this many further calls. Puts and deletes.
    Late(u32),
    /// *Already exists*, and nothing was written (S3's 409 for concurrent requests). Puts.
    Conflict,
    /// The store pays no heed to put-if-absent: it overwrites. Puts.
    Heedless,
    /// No space left on the device; nothing was written. Puts.
    Full,
    /// No permission; nothing happened. Any call.
    Denied,
    /// One bit of the answer is flipped. Gets.
    Corrupt,
    /// No answer, ever; nothing happened. Any call.
    Hang,
}

impl Fault {
    pub(super) fn suits(self, op: Op) -> bool {
        match self {
            Self::Before | Self::Denied | Self::Hang => true,
            Self::After | Self::Late(_) => matches!(op, Op::Put | Op::Delete),
            Self::ExistsAfter | Self::Conflict | Self::Heedless | Self::Full => op == Op::Put,
            Self::Corrupt => op == Op::Get,
        }
    }
}

/// How often a seeded store fails, in thousandths of the calls that the fault suits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    /// [`Fault::Before`].
    pub before: u32,
    /// [`Fault::After`].
    pub after: u32,
    /// [`Fault::ExistsAfter`].
    pub exists_after: u32,
    /// [`Fault::Late`].
    pub late: u32,
    /// The longest delay of a late write, in calls.
    pub late_calls_max: u32,
    /// [`Fault::Conflict`].
    pub conflict: u32,
    /// [`Fault::Full`].
    pub full: u32,
    /// [`Fault::Corrupt`].
    pub corrupt: u32,
    /// [`Fault::Hang`].
    pub hang: u32,
    /// The longest time that a call takes before and again after its effect, in milliseconds.
    pub latency_ms_max: u64,
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) lots: Option<(StdRng, Odds)>,
    pub(super) script: VecDeque<(Op, Fault)>,
    pub(super) late: Vec<(u64, BoxFuture<'static, ()>)>,
    pub(super) calls: Vec<Op>,
    /// The number of the call that is to be held.
    pub(super) hold: Option<usize>,
}

impl Plan {
    pub(super) fn draw(&mut self, op: Op) -> Option<Fault> {
        if let Some(at) = self.script.iter().position(|(scripted, _)| *scripted == op) {
            return self.script.remove(at).map(|(_, fault)| fault);
        }
        let (rng, odds) = self.lots.as_mut()?;
        let delay = rng.random_range(1..=odds.late_calls_max.max(1));
        let mut lot = rng.random_range(0..1000);
        let faults = [
            (Fault::Before, odds.before),
            (Fault::After, odds.after),
            (Fault::ExistsAfter, odds.exists_after),
            (Fault::Late(delay), odds.late),
            (Fault::Conflict, odds.conflict),
            (Fault::Full, odds.full),
            (Fault::Corrupt, odds.corrupt),
            (Fault::Hang, odds.hang),
        ];
        for (fault, odds) in faults {
            if lot < odds {
                return fault.suits(op).then_some(fault);
            }
            lot -= odds;
        }
        None
    }

    pub(super) fn latency(&mut self) -> Duration {
        let Some((rng, odds)) = self.lots.as_mut() else {
            return Duration::ZERO;
        };
        Duration::from_millis(rng.random_range(0..=odds.latency_ms_max))
    }
}
