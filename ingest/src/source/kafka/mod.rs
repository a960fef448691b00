//! The Kafka source: one poll thread owns the consumer, copies records out of librdkafka and hands
//! them on; claims and commits happen elsewhere and answer by message.
//!
//! A partition that the group gives us is *granted* under a [`Generation`]; the owner of its shard
//! claims it and answers with [`Command::Assign`] and the offset of the checkpoint; only then is it
//! read. Everything that reaches a shard carries the generation, one life of an assignment:
//!
//! | what happens | event | the generation | what the receiver does |
//! |---|---|---|---|
//! | the group grants the partition | [`SourceEvent::Granted`] | begins | claims, answers `Assign` |
//! | the group takes it back | [`SourceEvent::Revoked`] | ends | drops the shard |
//! | reading fails, or `Unassign` asked | [`SourceEvent::Signal`] | ends, `next` begins | claims again under `next` |
//! | `Assign` under an ended generation | none | | |
//!
//! Batches travel on another path than events, so a batch may arrive after the end of its
//! generation: the receiver drops what is stale. Within a generation the batches of a partition come
//! in order, from exactly the assigned offset.

mod cluster;
mod context;
mod poller;
mod properties;
mod queue;
mod reread;
mod settings;
#[cfg(test)]
mod tests;
mod topic_id;

use std::collections::HashMap;
use std::fmt;
use std::mem::size_of;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

pub use self::cluster::{KafkaCluster, QUERY_TIMEOUT};
pub(crate) use self::context::log as log_of_librdkafka;
pub use self::properties::{invalid_properties, is_broker_list, unknown_properties};
pub use self::reread::{LogReader, RereadError};
pub use self::settings::{
    KafkaQueries, KafkaSettings, PropertyFault, QueryError, forbidden_properties,
};

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of this number of this topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// One life of an assignment. Never used twice by one [`KafkaSource`], for any partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u64);

impl Generation {
    /// The generation of this number, for sources that are not Kafka.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for logs.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What the poll thread tells the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// The group gave us the partition: claim it and answer [`Command::Assign`].
    Granted {
        /// The partition.
        tp: TopicPartition,
        /// The life that begins.
        generation: Generation,
    },
    /// The group took the partition back; nothing of it is read any more.
    Revoked {
        /// The partition.
        tp: TopicPartition,
        /// The life that ended.
        generation: Generation,
    },
    /// Reading ended although the partition is still ours: claim it again under `next`.
    Signal {
        /// The partition.
        tp: TopicPartition,
        /// The life that ended.
        generation: Generation,
        /// The life under which to claim again.
        next: Generation,
        /// Why reading ended.
        signal: Signal,
    },
    /// The group has told which partitions are given or taken; the events of those, if there are
    /// any, come with it.
    Rebalanced,
    /// The brokers went away or came back; once per change.
    Brokers(BrokerState),
    /// The consumer as a whole has a difficulty from which librdkafka recovers, if anybody does.
    Trouble {
        /// librdkafka's words: names of topics and brokers, never a payload.
        error: String,
    },
    /// The consumer cannot go on: end the process.
    Fatal {
        /// librdkafka's words.
        error: String,
    },
}

/// Why a partition that is still ours stopped being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The offset asked for is below the low watermark or above the high one.
    OutOfRange,
    /// The topic or partition does not exist (any more).
    UnknownTopic,
    /// The log was cut below what had been read.
    Truncated,
    /// An offset came again or by the wrong road: what was read cannot be relied on.
    OutOfOrder,
    /// [`Command::Unassign`] asked for it.
    Requested,
    /// Another error of librdkafka's, by its name.
    Other(String),
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the log does not hold the offset asked for",
            Self::UnknownTopic => "the topic or partition does not exist",
            Self::Truncated => "the log was cut below what had been read",
            Self::OutOfOrder => "the log was not delivered in order",
            Self::Requested => "reading was ended on request",
            Self::Other(error) => error,
        })
    }
}

/// Whether any broker can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerState {
    /// At least one is connected.
    Up,
    /// None is connected.
    AllDown {
        /// The last reason that librdkafka gave.
        error: String,
    },
}

/// What others ask of the poll thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The claim is done: read from `offset`. Dropped in silence if the generation has ended.
    Assign {
        /// The partition.
        tp: TopicPartition,
        /// The generation that was granted.
        generation: Generation,
        /// The first offset to read, 0 or more.
        offset: i64,
    },
    /// Stop reading; answered by [`SourceEvent::Signal`] unless the generation has ended.
    Unassign {
        /// The partition.
        tp: TopicPartition,
        /// The generation to end.
        generation: Generation,
    },
    /// Tell the group the next offsets, for lag tools only: nothing reads them back.
    CommitGroupOffsets(Vec<(TopicPartition, i64)>),
    /// Leave the group and end the thread.
    Close,
}

/// Where one record of a batch lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMeta {
    /// The record's offset.
    pub offset: i64,
    /// Milliseconds since the epoch, absent if Kafka has none.
    pub timestamp_ms: Option<i64>,
    /// The value's bytes within the batch's arena, absent for a tombstone.
    pub value: Option<Range<usize>>,
}

/// Records of one partition, in order, copied out of librdkafka.
#[derive(Debug)]
pub struct Batch {
    /// The partition.
    pub tp: TopicPartition,
    /// The life of the assignment that they belong to.
    pub generation: Generation,
    /// The records; may be empty if `end` is there.
    pub records: Vec<RecordMeta>,
    /// Set if the end of the partition was reached after these records: the next offset expected.
    pub end: Option<i64>,
    /// Records delivered in this generation so far, these included, as the poller counted them.
    pub delivered_total: u64,
    arena: Vec<u8>,
    charge: Option<Charge>,
}

impl Batch {
    /// A batch without records.
    pub fn new(tp: TopicPartition, generation: Generation) -> Self {
        Self {
            tp,
            generation,
            records: Vec::new(),
            end: None,
            delivered_total: 0,
            arena: Vec::new(),
            charge: None,
        }
    }

    /// Copies a record in after those already there.
    pub fn push(&mut self, offset: i64, timestamp_ms: Option<i64>, value: Option<&[u8]>) {
        let value = value.map(|bytes| {
            let start = self.arena.len();
            self.arena.extend_from_slice(bytes);
            start..self.arena.len()
        });
        self.records.push(RecordMeta { offset, timestamp_ms, value });
    }

    /// Takes the batch's bytes from the budget until the batch is dropped.
    #[must_use]
    pub fn charged_to(mut self, budget: &ByteBudget) -> Self {
        self.charge = Some(budget.charge(self.bytes()));
        self
    }

    /// The records: offset, timestamp in milliseconds, value.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Option<i64>, Option<&[u8]>)> {
        self.records.iter().map(|record| {
            let value = record.value.clone().map(|range| &self.arena[range]);
            (record.offset, record.timestamp_ms, value)
        })
    }

    /// What the batch counts for in the budget: its values and the records' bookkeeping.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.records.len() * size_of::<RecordMeta>()
    }
}

/// A budget of bytes, shared by the poll thread, which takes, and the workers, who give back by
/// dropping batches. While it is spent the poll thread reads no data and goes on serving events.
#[derive(Debug, Clone)]
pub struct ByteBudget(Arc<Purse>);

#[derive(Debug)]
struct Purse {
    limit: usize,
    used: AtomicUsize,
    open: AtomicBool,
}

impl ByteBudget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Self {
        let (used, open) = (AtomicUsize::new(0), AtomicBool::new(true));
        Self(Arc::new(Purse { limit, used, open }))
    }

    /// The whole budget in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes taken now. May exceed the limit by one record.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    /// Bytes that may still be taken: none while the budget is closed.
    pub fn available(&self) -> usize {
        if self.0.open.load(Ordering::Acquire) {
            self.0.limit.saturating_sub(self.used())
        } else {
            0
        }
    }

    /// Opens or closes the budget. While it is closed no data are read, whatever was spent, and
    /// events are served as ever: so a failing store stops the reading and keeps the group.
    pub fn set_open(&self, open: bool) {
        self.0.open.store(open, Ordering::Release);
    }

    fn charge(&self, bytes: usize) -> Charge {
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
        let purse = Arc::clone(&self.0);
        Charge { purse, bytes }
    }
}

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
struct Charge {
    purse: Arc<Purse>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.purse.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Where batches go. Called on the poll thread: it must not block, or the group thinks us dead.
pub trait Deliver: Send {
    /// Takes a batch.
    fn deliver(&mut self, batch: Batch);
}

impl<F: FnMut(Batch) + Send> Deliver for F {
    fn deliver(&mut self, batch: Batch) {
        self(batch);
    }
}

/// Low and high watermarks of the partitions being read, as their last fetches told, refreshed
/// every second. For gauges: the high one counts records of open transactions, too.
#[derive(Debug, Clone, Default)]
pub struct Watermarks(Arc<Mutex<HashMap<TopicPartition, (i64, i64)>>>);

impl Watermarks {
    /// All of them: the first offset kept and the one after the last, `[low, high)`.
    pub fn snapshot(&self) -> HashMap<TopicPartition, (i64, i64)> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.clone()
    }

    fn replace(&self, new: HashMap<TopicPartition, (i64, i64)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }
}

/// Sends commands to the poll thread; cheap to clone, for the claim tasks.
#[derive(Debug, Clone)]
pub struct Commands(mpsc::Sender<Command>);

impl Commands {
    /// Sends a command. Once the thread has ended, commands go nowhere, as stale ones do.
    pub fn send(&self, command: Command) {
        if self.0.send(command).is_err() {
            tracing::debug!("a command came after the poll thread had ended");
        }
    }
}

/// Why a source could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Properties that Postroad sets itself, or that it cannot work with.
    #[error("Kafka properties refused: {}", join(.0))]
    Properties(Vec<PropertyFault>),
    /// librdkafka does not know a property, or not this value. The value is not repeated.
    #[error("Kafka property `{key}`: {reason}")]
    Property {
        /// The property.
        key: String,
        /// librdkafka's words.
        reason: String,
    },
    /// librdkafka could not create the client.
    #[error("creating the Kafka client")]
    Create(#[source] rdkafka::error::KafkaError),
    /// librdkafka refused the subscription.
    #[error("subscribing to the topics")]
    Subscribe(#[source] rdkafka::error::KafkaError),
    /// The operating system refused a thread.
    #[error("starting the poll thread")]
    Thread(#[source] std::io::Error),
}

fn join(faults: &[PropertyFault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// The poll thread did not end in time. Leaving a group has no deadline of its own in librdkafka:
/// end the process.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka consumer did not close within {deadline:?}")]
pub struct CloseTimedOut {
    /// How long was waited.
    pub deadline: Duration,
}

/// A running poll thread. Dropping it asks the thread to close without waiting.
#[derive(Debug)]
pub struct KafkaSource {
    commands: Commands,
    watermarks: Watermarks,
    done: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaSource {
    /// Joins the group and starts the poll thread.
    ///
    /// # Errors
    /// If a property is refused, or the client or the thread cannot be created. Whether a broker
    /// answers is not known yet: that comes as [`SourceEvent::Brokers`].
    pub fn start(
        settings: &KafkaSettings,
        budget: ByteBudget,
        sink: impl Deliver + 'static,
        events: UnboundedSender<SourceEvent>,
    ) -> Result<Self, SourceError> {
        let (commands, inbox) = mpsc::channel();
        let (ended, done) = mpsc::channel();
        let watermarks = Watermarks::default();
        let poller = poller::Poller::new(settings, budget, sink, events, inbox, &watermarks)?;
        let thread = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || {
                poller::run_or_abort(poller);
                drop(ended);
            })
            .map_err(SourceError::Thread)?;
        Ok(Self { commands: Commands(commands), watermarks, done, thread: Some(thread) })
    }

    /// Sends a command to the poll thread.
    pub fn command(&self, command: Command) {
        self.commands.send(command);
    }

    /// A sender of commands for other threads and tasks.
    pub fn commands(&self) -> Commands {
        self.commands.clone()
    }

    /// The watermarks of what is being read.
    pub fn watermarks(&self) -> Watermarks {
        self.watermarks.clone()
    }

    /// Leaves the group and waits for the thread to end. Blocks: not for an async task.
    ///
    /// # Errors
    /// If the thread has not ended within the deadline; it is left behind.
    pub fn close(mut self, deadline: Duration) -> Result<(), CloseTimedOut> {
        self.command(Command::Close);
        if self.done.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            return Err(CloseTimedOut { deadline });
        }
        if let Some(thread) = self.thread.take() {
            // A panic on that thread has already ended the process.
            let _ = thread.join();
        }
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.command(Command::Close);
    }
}
