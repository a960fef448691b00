//! What librdkafka calls back, and the bookkeeping of grants that those calls change.
//!
//! All of it runs on the poll thread: librdkafka calls back only from within `poll` and from within
//! the consumer's drop. The mutexes are there because rdkafka wants a context that is `Sync`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys::types::RDKafkaRespErr;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedSender;

use super::poller::Lane;
use super::queue::SharedQueue;
use super::{BrokerState, Generation, Signal, SourceEvent, TopicPartition};

/// The consumer that the poll thread owns.
pub(super) type SourceConsumer = BaseConsumer<SourceContext>;

/// The consumer's context.
pub(super) struct SourceContext {
    events: UnboundedSender<SourceEvent>,
    grants: Mutex<Grants>,
    brokers: Mutex<Brokers>,
}

/// Which partitions are ours, which of them are read, and where their messages arrive.
#[derive(Default)]
pub(super) struct Grants {
    generations: u64,
    granted: BTreeMap<TopicPartition, Generation>,
    /// The partitions that are really assigned: those being read.
    pub(super) lanes: Vec<Lane>,
    /// Absent before the start and once closing has begun.
    pub(super) queue: Option<SharedQueue<SourceContext>>,
}

#[derive(Default)]
struct Brokers {
    all_down: bool,
    last_error: String,
}

impl Grants {
    fn begin(&mut self, tp: &TopicPartition) -> Generation {
        self.generations += 1;
        let generation = Generation(self.generations);
        self.granted.insert(tp.clone(), generation);
        generation
    }

    /// Whether the partition is ours, under whatever generation.
    pub(super) fn holds(&self, tp: &TopicPartition) -> bool {
        self.granted.contains_key(tp)
    }

    /// The generation under which the partition is read now.
    fn reading(&self, tp: &TopicPartition) -> Option<Generation> {
        let lane = self.lanes.iter().find(|lane| lane.tp() == tp)?;
        Some(lane.generation())
    }

    /// Leads the partitions being read to the shared queue, once more: librdkafka clears the
    /// forwarding when a partition stops, which may come after it was set for its next life.
    pub(super) fn forward_all(&self, only_unheard: bool) {
        let Some(queue) = &self.queue else { return };
        for lane in &self.lanes {
            if !(only_unheard && lane.heard()) {
                queue.forward(lane.tp());
            }
        }
    }
}

impl SourceContext {
    pub(super) fn new(events: UnboundedSender<SourceEvent>) -> Self {
        Self { events, grants: Mutex::default(), brokers: Mutex::default() }
    }

    /// The bookkeeping. Never held over `poll`, which calls back into this context.
    pub(super) fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn brokers(&self) -> MutexGuard<'_, Brokers> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the rest. Nobody listening means that the process is ending.
    pub(super) fn tell(&self, event: SourceEvent) {
        let _ = self.events.send(event);
    }

    pub(super) fn fatal(&self, error: String) {
        self.tell(SourceEvent::Fatal { error });
    }

    /// Begins reading where a claim says, if its generation still holds.
    pub(super) fn assign(
        &self,
        consumer: &SourceConsumer,
        tp: &TopicPartition,
        generation: Generation,
        offset: i64,
    ) {
        let mut grants = self.grants();
        let stale = grants.granted.get(tp) != Some(&generation);
        if stale || grants.reading(tp).is_some() {
            tracing::debug!(%tp, generation = generation.0, "a late or repeated claim is dropped");
            return;
        }
        if let Err(signal) = start_reading(&grants, consumer, tp, offset) {
            drop(grants);
            self.end_life(consumer, tp, generation, signal);
            return;
        }
        let lane = Lane::new(tp.clone(), generation, offset);
        grants.lanes.push(lane);
        grants.forward_all(true);
    }

    /// Ends this life of the assignment, if it has not ended yet, and begins the next.
    pub(super) fn end_life(
        &self,
        consumer: &SourceConsumer,
        tp: &TopicPartition,
        generation: Generation,
        signal: Signal,
    ) {
        let mut grants = self.grants();
        if grants.granted.get(tp) != Some(&generation) {
            return;
        }
        self.stop_reading(&mut grants, consumer, |other| other == tp, false);
        let next = grants.begin(tp);
        self.tell(SourceEvent::Signal { tp: tp.clone(), generation, next, signal });
    }

    /// Ends all lives, after the consumer has gone.
    pub(super) fn revoke_all(&self) {
        let mut grants = self.grants();
        grants.lanes.clear();
        for (tp, generation) in std::mem::take(&mut grants.granted) {
            self.tell(SourceEvent::Revoked { tp, generation });
        }
    }

    /// Unassigns what is really assigned among the chosen, in one call. A revocation calls even if
    /// that is nothing: without the call the group would wait for it.
    fn stop_reading(
        &self,
        grants: &mut Grants,
        consumer: &SourceConsumer,
        mut chosen: impl FnMut(&TopicPartition) -> bool,
        even_if_empty: bool,
    ) {
        let mut list = TopicPartitionList::new();
        grants.lanes.retain(|lane| {
            let stop = chosen(lane.tp());
            if stop {
                list.add_partition(&lane.tp().topic, lane.tp().partition);
            }
            !stop
        });
        if list.count() == 0 && !even_if_empty {
            return;
        }
        if let Err(error) = consumer.incremental_unassign(&list) {
            self.fatal(format!("unassigning {} partitions: {error}", list.count()));
        }
        grants.forward_all(false);
    }

    fn on_assign(&self, consumer: &SourceConsumer, tps: &[TopicPartition]) {
        self.tell(SourceEvent::Rebalanced);
        let mut grants = self.grants();
        // The group never gives what it has not taken back; should it, the old life ends first.
        self.stop_reading(&mut grants, consumer, |tp| tps.contains(tp), false);
        for tp in tps {
            let generation = grants.begin(tp);
            let tp = tp.clone();
            self.tell(SourceEvent::Granted { tp, generation });
        }
        // The group goes on at once; the partitions follow one by one as they are claimed.
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            self.fatal(format!("accepting an assignment: {error}"));
        }
    }

    fn on_revoke(&self, consumer: &SourceConsumer, tps: &[TopicPartition]) {
        self.tell(SourceEvent::Rebalanced);
        let mut grants = self.grants();
        self.stop_reading(&mut grants, consumer, |tp| tps.contains(tp), true);
        for tp in tps {
            if let Some(generation) = grants.granted.remove(tp) {
                let tp = tp.clone();
                self.tell(SourceEvent::Revoked { tp, generation });
            }
        }
    }

    fn on_all_brokers_down(&self, reason: &str) {
        let mut brokers = self.brokers();
        if !std::mem::replace(&mut brokers.all_down, true) {
            let error = match &*brokers.last_error {
                "" => reason.to_owned(),
                last => format!("{reason}; the last error before: {last}"),
            };
            self.tell(SourceEvent::Brokers(BrokerState::AllDown { error }));
        }
    }

    /// The last error that librdkafka reported, for the events that carry only a code.
    pub(super) fn last_error(&self) -> String {
        self.brokers().last_error.clone()
    }
}

fn start_reading(
    grants: &Grants,
    consumer: &SourceConsumer,
    tp: &TopicPartition,
    offset: i64,
) -> Result<(), Signal> {
    // librdkafka gives negative offsets meanings of their own, such as "the end".
    if offset < 0 {
        return Err(Signal::OutOfRange);
    }
    let queue = grants.queue.as_ref();
    let queue = queue.ok_or_else(|| Signal::Other("closing".to_owned()))?;
    // Forwarded before it is read, so that no message takes the road of events; and again by the
    // caller, and by the poll loop until the first message has come.
    queue.forward(tp);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(offset))
        .and_then(|()| consumer.incremental_assign(&list))
        .map_err(|error| Signal::Other(error.to_string()))
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.on_all_brokers_down(reason);
        } else {
            tracing::debug!(%error, reason, "librdkafka reports an error");
            reason.clone_into(&mut self.brokers().last_error);
        }
    }

    /// librdkafka says when the last broker goes, never when the first comes back: only its
    /// statistics tell. They are not even parsed while all is well.
    fn stats_raw(&self, statistics: &[u8]) {
        let mut brokers = self.brokers();
        if brokers.all_down && any_broker_up(statistics) {
            brokers.all_down = false;
            self.tell(SourceEvent::Brokers(BrokerState::Up));
        }
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(
        &self,
        consumer: &SourceConsumer,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let mut topics: HashMap<String, Arc<str>> = HashMap::new();
        let mut tps = Vec::with_capacity(list.count());
        for element in list.elements() {
            let name = element.topic().to_owned();
            let topic = topics.entry(name).or_insert_with_key(|name| name.as_str().into());
            tps.push(TopicPartition::new(Arc::clone(topic), element.partition()));
        }
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = tps.len(), "the group grants partitions");
            self.on_assign(consumer, &tps);
        } else {
            tracing::info!(partitions = tps.len(), "the group revokes partitions");
            self.on_revoke(consumer, &tps);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "group offsets were not committed; only lag tools miss them");
        }
    }
}

/// Passes a line of librdkafka's log on. It repeats itself with every attempt to connect, so what is
/// not an emergency is for those who look for it; operators learn of changes by events.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, message);
        }
        _ => tracing::debug!(target: "librdkafka", facility, message),
    }
}

fn any_broker_up(statistics: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Statistics {
        brokers: HashMap<String, Broker>,
    }
    #[derive(Deserialize)]
    struct Broker {
        state: String,
    }
    let statistics: Result<Statistics, _> = serde_json::from_slice(statistics);
    statistics.is_ok_and(|all| all.brokers.values().any(|broker| broker.state == "UP"))
}
