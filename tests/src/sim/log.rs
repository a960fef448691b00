//! The log: topics that grow, are cut by retention, truncated, deleted and made anew.
//!
//! A partition has *lives*. A truncation begins another one, which holds the records below the cut
//! and goes on differently above it; a topic made anew begins one that shares nothing. Old lives are
//! kept, because whoever has read one may still say so.
//!
//! Which offsets hold no record (transaction markers, aborted records) is the same in every life, so
//! that the place of a record is never a gap in the next life: there the comparison of the last
//! record would be skipped, by design, and nobody could tell the lives apart. For the same reason
//! retention leaves a partition alone once it has lived twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroad_ingest::source::kafka::{Signal, TopicPartition};
use tokio::sync::Notify;

use super::dice::{Dice, mix};
use super::records::Producer;
use crate::oracle::OracleRecord;

/// The log of a cluster. Clones are the same one.
#[derive(Clone)]
pub(super) struct Log(Arc<Shared>);

struct Shared {
    seed: u64,
    /// Whether the brokers tell the identity of a topic; if not, whoever reads one that is made anew is
    /// told.
    tells_ids: bool,
    topics: Mutex<BTreeMap<Arc<str>, Topic>>,
    /// Those who wait for changes, in order: a watch channel would wake them by a lot of its own.
    waiting: Mutex<Vec<Arc<Notify>>>,
}

struct Topic {
    id: u128,
    /// Between its deletion and its next life a topic does not exist.
    exists: bool,
    count: i32,
    partitions: Vec<Partition>,
}

struct Partition {
    producer: Producer,
    lives: Vec<Life>,
    low: i64,
    /// Every low and high watermark that there was, in this and earlier lives.
    ends: BTreeSet<i64>,
    /// The last stable offset: what lies above is part of an open transaction.
    high: i64,
    tail: i64,
}

/// One content of a partition.
#[derive(Clone, Default)]
pub(super) struct Life {
    pub(super) records: Arc<Vec<OracleRecord>>,
    /// Below this offset it holds what the life before held.
    forked_at: i64,
    /// Whether those who were reading the life before are told.
    is_noticed: bool,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Records from the position on, and the end of the log if they reach it.
    Records { life: usize, records: Vec<OracleRecord>, end: Option<i64> },
    /// Why nothing can be read there.
    Failed(Signal),
}

/// A position in one life of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    /// `None` for a reader that has read nothing yet.
    pub(super) life: Option<usize>,
    pub(super) offset: i64,
}

impl Log {
    pub(super) fn new(
        seed: u64,
        tells_ids: bool,
        topics: &[(&'static str, &'static str, i32)],
    ) -> Self {
        let topics_of = Mutex::default();
        let log = Self(Arc::new(Shared {
            seed,
            tells_ids,
            topics: topics_of,
            waiting: Mutex::default(),
        }));
        for (name, contract, count) in topics {
            let partitions = (0..*count).map(|p| Partition::new(seed, contract, p)).collect();
            let topic = Topic { id: 1, exists: true, count: *count, partitions };
            log.topics().insert((*name).into(), topic);
        }
        log
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Topic>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For those who wait for a change.
    pub(super) fn changes(&self) -> Arc<Notify> {
        let notify = Arc::<Notify>::default();
        self.waiting().push(Arc::clone(&notify));
        notify
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<Notify>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, tp: &TopicPartition, act: impl FnOnce(&mut Partition) -> T) -> Option<T> {
        let mut topics = self.topics();
        let topic = topics.get_mut(&tp.topic).filter(|topic| topic.exists)?;
        let at = usize::try_from(tp.partition).ok().filter(|_| tp.partition < topic.count)?;
        Some(act(&mut topic.partitions[at]))
    }

    /// The partitions that exist.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let topics = self.topics();
        let existing = topics.iter().filter(|(_, topic)| topic.exists);
        existing
            .flat_map(|(name, topic)| {
                (0..topic.count).map(|p| TopicPartition::new(Arc::clone(name), p))
            })
            .collect()
    }

    /// How many partitions the topics have that exist.
    pub(super) fn counts(&self) -> BTreeMap<String, i32> {
        let topics = self.topics();
        let existing = topics.iter().filter(|(_, topic)| topic.exists);
        existing.map(|(name, topic)| (name.to_string(), topic.count)).collect()
    }

    /// The identity of a topic that exists; 0 from brokers that do not tell it.
    pub(super) fn topic_id(&self, topic: &str) -> Option<u128> {
        let topics = self.topics();
        let topic = topics.get(topic).filter(|topic| topic.exists)?;
        Some(if self.0.tells_ids { topic.id } else { 0 })
    }

    /// The offsets kept, `[low, high)`.
    pub(super) fn range(&self, tp: &TopicPartition) -> Option<(i64, i64)> {
        self.with(tp, |partition| (partition.low, partition.high))
    }

    /// All that was ever in a partition, life by life, whether or not its topic exists now.
    pub(super) fn lives(&self, topic: &str, partition: i32) -> Vec<Life> {
        let topics = self.topics();
        let at = usize::try_from(partition).expect("partitions are counted from 0");
        let found = topics.get(topic).and_then(|topic| topic.partitions.get(at));
        found.map(|partition| partition.lives.clone()).unwrap_or_default()
    }

    /// Whether a log ever began or ended at an offset.
    pub(super) fn began_at(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let topics = self.topics();
        let at = usize::try_from(partition).expect("partitions are counted from 0");
        let found = topics.get(topic).and_then(|topic| topic.partitions.get(at));
        found.is_some_and(|partition| partition.ends.contains(&offset))
    }

    /// Reads on from a position.
    pub(super) fn fetch(&self, tp: &TopicPartition, at: Position, count: usize) -> Fetched {
        let fetched = self.with(tp, |partition| partition.fetch(at, count));
        fetched.unwrap_or(Fetched::Failed(Signal::UnknownTopic))
    }

    /// Writes records; an open transaction hides them, and what was hidden before appears.
    pub(super) fn append(&self, tp: &TopicPartition, count: i64, in_transaction: bool) {
        let seed = self.0.seed;
        self.with(tp, |partition| {
            partition.append(count, |offset| {
                mix(&(seed, &*tp.topic, tp.partition, offset)).is_multiple_of(9)
            });
            if !in_transaction {
                partition.move_high();
            }
        });
        self.changed();
    }

    /// Ends the open transactions.
    pub(super) fn settle(&self) {
        for tp in self.partitions() {
            self.with(&tp, Partition::move_high);
        }
        self.changed();
    }

    /// Deletes what lies below an offset, as retention does. Returns whether it did.
    pub(super) fn cut(&self, tp: &TopicPartition, low: i64) -> bool {
        let cut = self.with(tp, |partition| {
            if partition.lives.len() > 1 || low <= partition.low || low > partition.high {
                return false;
            }
            partition.move_low(low);
            true
        });
        self.changed();
        cut.unwrap_or(false)
    }

    /// Takes back what lies at and above an offset, as an unclean election does.
    pub(super) fn truncate(&self, tp: &TopicPartition, at: i64) {
        self.with(tp, |partition| partition.begin_life(at.max(partition.low), true));
        self.changed();
    }

    /// Deletes a topic.
    pub(super) fn delete(&self, topic: &str) {
        if let Some(topic) = self.topics().get_mut(topic) {
            topic.exists = false;
        }
        self.changed();
    }

    /// Makes a deleted topic anew, empty; leaves one alone that exists.
    pub(super) fn recreate(&self, topic: &str, dice: &Dice) -> bool {
        let is_noticed = !self.0.tells_ids || dice.one_in(2);
        let mut topics = self.topics();
        let gone = topics.get_mut(topic).filter(|topic| !topic.exists);
        let is_made = gone.is_some();
        if let Some(topic) = gone {
            topic.id = dice.bits();
            topic.exists = true;
            for partition in &mut topic.partitions {
                partition.begin_life(0, is_noticed);
                partition.move_low(0);
            }
        }
        drop(topics);
        self.changed();
        is_made
    }

    /// Gives a topic one more partition.
    pub(super) fn add_partition(&self, topic: &str, contract: &'static str) {
        let seed = self.0.seed;
        if let Some(topic) = self.topics().get_mut(topic).filter(|topic| topic.exists) {
            if topic.partitions.len() == usize::try_from(topic.count).expect("not negative") {
                topic.partitions.push(Partition::new(seed, contract, topic.count));
            }
            topic.count += 1;
        }
        self.changed();
    }

    fn changed(&self) {
        let mut waiting = self.waiting();
        waiting.retain(|notify| Arc::strong_count(notify) > 1);
        waiting.iter().for_each(|notify| notify.notify_one());
    }
}

impl Partition {
    fn new(seed: u64, contract: &'static str, partition: i32) -> Self {
        let producer = Producer::new(seed, contract, partition);
        let lives = vec![Life::default()];
        Self { producer, lives, low: 0, ends: BTreeSet::from([0]), high: 0, tail: 0 }
    }

    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("a partition has a life")
    }

    fn append(&mut self, count: i64, is_gap: impl Fn(i64) -> bool) {
        for _ in 0..count {
            while is_gap(self.tail) {
                self.tail += 1;
            }
            let (timestamp_ms, value) = self.producer.next();
            let record = OracleRecord { offset: self.tail, timestamp_ms, value };
            Arc::make_mut(&mut self.life().records).push(record);
            self.tail += 1;
        }
        while is_gap(self.tail) {
            self.tail += 1;
        }
    }

    fn move_low(&mut self, low: i64) {
        self.low = low;
        self.ends.insert(low);
    }

    fn move_high(&mut self) {
        self.high = self.tail;
        self.ends.insert(self.high);
    }

    fn begin_life(&mut self, at: i64, is_noticed: bool) {
        let records = self.life().records.iter().filter(|record| record.offset < at).cloned();
        let records = Arc::new(records.collect());
        self.lives.push(Life { records, forked_at: at, is_noticed });
        self.tail = self.tail.min(at);
        self.high = self.high.min(at);
        self.ends.insert(self.high);
    }

    /// The lowest offset at which the content has changed since a life, as far as readers are told.
    fn changed_since(&self, life: usize) -> Option<i64> {
        let later = self.lives[life + 1..].iter().filter(|later| later.is_noticed);
        later.map(|later| later.forked_at).min()
    }

    fn fetch(&self, at: Position, count: usize) -> Fetched {
        let changed = at.life.and_then(|life| self.changed_since(life));
        if changed.is_some_and(|changed| changed < at.offset) {
            return Fetched::Failed(Signal::Truncated);
        }
        if at.offset < self.low || at.offset > self.high {
            return Fetched::Failed(Signal::OutOfRange);
        }
        let life = self.lives.len() - 1;
        let records = &self.lives[life].records;
        let from = records.partition_point(|record| record.offset < at.offset);
        let stable = records.partition_point(|record| record.offset < self.high);
        let until = stable.min(from + count);
        let end = (until == stable).then_some(self.high);
        Fetched::Records { life, records: records[from..until].to_vec(), end }
    }
}
