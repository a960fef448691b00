//! Which call fails, and how: by script first, else by lot.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures::future::BoxFuture;
use object_store::path::Path;
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
    /// Putting one object in the place of another.
    Rename,
}

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing happened. Any call.
    Before,
    /// It happened, and the answer was lost. Puts, deletes and renames.
    After,
    /// It happened, and a retry inside the client met its own success: *already exists*. Puts.
    ExistsAfter,
    /// No answer; it happens only after this many further calls. Puts, deletes and renames.
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
            Self::After | Self::Late(_) => matches!(op, Op::Put | Op::Delete | Op::Rename),
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
    /// Each of these times is much longer: an effect comes late, or an answer is old when it comes.
    pub slow: u32,
    /// How long at most, in milliseconds.
    pub slow_ms_max: u64,
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) lots: Option<(StdRng, Odds)>,
    pub(super) script: VecDeque<(Op, Fault)>,
    pub(super) late: Vec<(u64, BoxFuture<'static, ()>)>,
    pub(super) calls: Vec<Op>,
    /// The number of the call that is to be held.
    pub(super) hold: Option<usize>,
    /// Whether no put finds any space.
    pub(super) is_full: bool,
    /// What was damaged on its way at the last reading: never twice in a row, which would be damage.
    pub(super) corrupted: BTreeSet<Path>,
}

impl Plan {
    pub(super) fn draw(&mut self, op: Op) -> Option<Fault> {
        if self.is_full && op == Op::Put {
            return Some(Fault::Full);
        }
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
        let is_slow = odds.slow > 0 && rng.random_range(0..1000) < odds.slow;
        let max = if is_slow { odds.slow_ms_max } else { odds.latency_ms_max };
        Duration::from_millis(rng.random_range(0..=max))
    }
}
