//! What a world is like: how large, and how often which part of it fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use crate::faulty_store::Odds as StoreOdds;

/// A kind of world. Together with a seed it decides everything.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Partitions of the parcels' topic and of the finance topic; there is a first one of parcels.
    pub partitions: (i32, i32),
    /// How many processes there are at most.
    pub processes: usize,
    /// For how long things go wrong.
    pub trouble: Duration,
    /// About how many records are written meanwhile, over all partitions.
    pub records: i64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether the naive oracle reads the log, too, once all is over: it is slow.
    pub ask_the_oracle: bool,
}

/// How often things go wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The store.
    pub store: StoreOdds,
    /// The brokers' answers.
    pub cluster: ClusterOdds,
    /// The consumers.
    pub consumer: ConsumerOdds,
    /// When processes end of themselves.
    pub crashes: Crashes,
    /// What else happens, each by its weight among the others.
    pub fates: &'static [(Fate, u32)],
    /// Whether clocks are wrong, by minutes or by years.
    pub skewed_clocks: bool,
    /// Whether processes are configured with different rules.
    pub mixed_rules: bool,
}

/// How often a question to the brokers fails, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClusterOdds {
    /// Nobody answers in time.
    pub fail: u32,
    /// The answer comes up to eight seconds after it was true.
    pub late: u32,
}

/// How often a consumer fails, in thousandths of its turns.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsumerOdds {
    /// It does nothing for up to three seconds: commands come late.
    pub slow: u32,
    /// A batch stays under way for up to two seconds.
    pub late_batch: u32,
    /// Reading a partition ends for no good reason.
    pub signal: u32,
    /// The consumer cannot go on, which ends its process.
    pub fatal: u32,
}

/// When a process ends of itself, at an effect on the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Crashes {
    /// Never.
    #[default]
    Never,
    /// At any effect, so many times in a thousand.
    PerMille(u32),
    /// At the effect of this number, counted over all processes from 0, in this way.
    At(u64, Manner),
}

/// What becomes of the effect at which a process crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is never sent.
    Before,
    /// It is sent, and lands some seconds later.
    UnderWay,
    /// It lands, and nobody hears the answer.
    After,
}

/// Every manner.
pub const MANNERS: [Manner; 3] = [Manner::Before, Manner::UnderWay, Manner::After];

/// What befalls a world by lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing, but that records are written.
    Calm,
    /// A process is killed.
    Kill,
    /// A process stands still for a while, often longer than a session.
    Freeze,
    /// A process is stopped properly.
    Stop,
    /// The group divides everything anew.
    Storm,
    /// A member is thrown out and does not learn of it for a while.
    ThrowOut,
    /// Retention cuts a log, now and then beyond what was read.
    Cut,
    /// A log is truncated, and goes on differently.
    Truncate,
    /// A topic is deleted and made anew.
    Recreate,
    /// A topic gets one more partition.
    AddPartition,
    /// A checkpoint is damaged where it lies.
    Damage,
    /// The store has no space for a while.
    Fill,
    /// An operator decides about the shards that stand still.
    Decide,
}

impl Fate {
    /// Whether it may befall a world of one disaster. A log that was cut or made anew cannot mend a
    /// checkpoint that was damaged: the shard then stays below what was published until somebody
    /// restores the object. So a world has the one or the other.
    pub(super) fn suits(self, is_damage: bool) -> bool {
        match self {
            Self::Damage => is_damage,
            Self::Cut | Self::Truncate | Self::Recreate => !is_damage,
            _ => true,
        }
    }
}

/// A setting that a world changes while it runs. Clones are the same one.
#[derive(Debug, Default)]
pub(super) struct Knob<T>(Arc<Mutex<T>>);

impl<T> Clone for Knob<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Copy> Knob<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    pub(super) fn get(&self) -> T {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}
