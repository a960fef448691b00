//! The poll thread: events about every millisecond, data while the budget lasts.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc::UnboundedSender;

use super::context::{SourceConsumer, SourceContext};
use super::queue::{Content, Message, SharedQueue, TopicHandle};
use super::settings::creation_error;
use super::{
    Batch, ByteBudget, Command, Deliver, Generation, KafkaSettings, Signal, SourceError,
    SourceEvent, TopicPartition, Watermarks,
};

/// How long the thread waits for data, or for the budget, before it looks at events again. At ten
/// milliseconds the partitions kept through a rebalance were seen to pause for up to a second.
const TICK_MS: u8 = 1;
/// Records read between two looks at the events: some milliseconds' worth.
const ROUND_RECORDS: usize = 4_096;
/// Bytes read between two looks at the events.
const ROUND_BYTES: usize = 1 << 20;
/// Events served before data get their turn; a guard against events that breed.
const EVENTS_PER_TICK: usize = 1_000;
/// How often the forwarding of a partition that has not been heard of is renewed.
const FORWARD_EVERY: Duration = Duration::from_millis(20);
/// How often the watermarks are read out.
const WATERMARKS_EVERY: Duration = Duration::from_secs(1);

/// A partition being read, from one assignment to its end.
pub(super) struct Lane {
    tp: TopicPartition,
    generation: Generation,
    /// The lowest offset that may come next.
    next: i64,
    delivered: u64,
    handle: Option<TopicHandle>,
    open: Option<Batch>,
    failed: Option<Signal>,
}

impl Lane {
    pub(super) fn new(tp: TopicPartition, generation: Generation, offset: i64) -> Self {
        Self { tp, generation, next: offset, delivered: 0, handle: None, open: None, failed: None }
    }

    pub(super) fn tp(&self) -> &TopicPartition {
        &self.tp
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether any message has come: then the forwarding stands until the partition is unassigned.
    pub(super) fn heard(&self) -> bool {
        self.handle.is_some()
    }

    fn matches(&self, message: &Message<'_>) -> bool {
        self.tp.partition == message.partition()
            && (self.handle == Some(message.topic_handle())
                || self.tp.topic.as_bytes() == message.topic())
    }

    fn open(&mut self) -> &mut Batch {
        self.open.get_or_insert_with(|| Batch::new(self.tp.clone(), self.generation))
    }

    fn record(&mut self, offset: i64, timestamp_ms: Option<i64>, value: Option<&[u8]>) {
        if offset < self.next {
            self.failed = Some(Signal::OutOfOrder);
            return;
        }
        self.next = offset.saturating_add(1);
        self.delivered += 1;
        self.open().push(offset, timestamp_ms, value);
    }

    /// Closes the batch being filled, if there is one.
    fn close(&mut self, budget: &ByteBudget) -> Option<Batch> {
        let mut batch = self.open.take()?;
        batch.delivered_total = self.delivered;
        Some(batch.charged_to(budget))
    }
}

/// One turn of reading data: fills the lanes' batches until nothing is left or the turn is over.
struct Round<'a> {
    lanes: &'a mut [Lane],
    budget: &'a ByteBudget,
    bytes_left: usize,
    records_left: usize,
    /// The lane of the last message: messages come in runs of one partition.
    current: Option<usize>,
    ready: Vec<Batch>,
}

impl<'a> Round<'a> {
    fn new(lanes: &'a mut [Lane], budget: &'a ByteBudget) -> Self {
        Self {
            lanes,
            budget,
            bytes_left: budget.available().min(ROUND_BYTES),
            records_left: ROUND_RECORDS,
            current: None,
            ready: Vec::new(),
        }
    }

    fn take(&mut self, message: &Message<'_>) -> ControlFlow<()> {
        let at = self.current.filter(|&at| self.lanes[at].matches(message));
        let at = at.or_else(|| self.lanes.iter().position(|lane| lane.matches(message)));
        self.current = at;
        // A message of a partition that is not read any more is nobody's.
        if let Some(at) = at {
            self.take_into(at, message);
        }
        if self.bytes_left == 0 || self.records_left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn take_into(&mut self, at: usize, message: &Message<'_>) {
        let lane = &mut self.lanes[at];
        if lane.failed.is_some() {
            return; // What follows an error may have a hole before it.
        }
        lane.handle = Some(message.topic_handle());
        match message.content() {
            Content::Record(timestamp_ms, value) => {
                lane.record(message.offset(), timestamp_ms, value);
                let bytes = value.map_or(0, <[u8]>::len) + size_of::<super::RecordMeta>();
                self.bytes_left = self.bytes_left.saturating_sub(bytes);
                self.records_left -= 1;
            }
            // An end below what was read says nothing new.
            Content::End if message.offset() < lane.next => {}
            Content::End => {
                lane.next = message.offset();
                lane.open().end = Some(message.offset());
                self.ready.extend(lane.close(self.budget));
            }
            Content::Failed(signal) => lane.failed = Some(signal),
        }
    }

    /// The batches in order of delivery, and the lives that ended.
    fn finish(mut self) -> (Vec<Batch>, Vec<(TopicPartition, Generation, Signal)>) {
        let mut failed = Vec::new();
        for lane in self.lanes {
            self.ready.extend(lane.close(self.budget));
            if let Some(signal) = &lane.failed {
                failed.push((lane.tp.clone(), lane.generation, signal.clone()));
            }
        }
        (self.ready, failed)
    }
}

/// The state of the poll thread.
pub(super) struct Poller<S> {
    consumer: Arc<SourceConsumer>,
    context: Arc<SourceContext>,
    commands: Receiver<Command>,
    budget: ByteBudget,
    sink: S,
    watermarks: Watermarks,
    forward_at: Instant,
    watermarks_at: Instant,
}

/// Runs the poll thread to its end. A panic ends the process: nobody else could serve the group.
pub(super) fn run_or_abort<S: Deliver>(poller: Poller<S>) {
    if catch_unwind(AssertUnwindSafe(|| poller.run())).is_err() {
        tracing::error!("the Kafka poll thread panicked; the process ends");
        std::process::abort();
    }
}

impl<S: Deliver> Poller<S> {
    pub(super) fn new(
        settings: &KafkaSettings,
        budget: ByteBudget,
        sink: S,
        events: UnboundedSender<SourceEvent>,
        commands: Receiver<Command>,
        watermarks: &Watermarks,
    ) -> Result<Self, SourceError> {
        let config = settings.consumer_config().map_err(SourceError::Properties)?;
        let context = SourceContext::new(events);
        let consumer = SourceConsumer::from_config_and_context(&config, context);
        let consumer = Arc::new(consumer.map_err(creation_error)?);
        let queue = SharedQueue::new(Arc::clone(&consumer)).ok_or_else(|| {
            SourceError::Create(KafkaError::ClientCreation("no queue".to_owned()))
        })?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(SourceError::Subscribe)?;
        let context = Arc::clone(consumer.context());
        context.grants().queue = Some(queue);
        Ok(Self {
            consumer,
            context,
            commands,
            budget,
            sink,
            watermarks: watermarks.clone(),
            forward_at: Instant::now(),
            watermarks_at: Instant::now(),
        })
    }

    fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let open = self.receive(&mut waiting);
            // Before any assignment: one after a revocation not yet seen would bring the partition
            // back from the dead and hide from librdkafka that it was lost.
            self.serve_events();
            for command in waiting.drain(..) {
                if command == Command::Close {
                    return self.close();
                }
                self.obey(command);
            }
            if !open {
                return self.close();
            }
            self.keep_house();
            if self.budget.available() > 0 {
                self.read_data();
            } else if let Some(command) = self.wait() {
                waiting.push(command);
            }
        }
    }

    /// Takes what is there; false once nobody can send any more.
    fn receive(&self, waiting: &mut Vec<Command>) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => waiting.push(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Waits a tick for a command, while the budget is spent.
    fn wait(&self) -> Option<Command> {
        let tick = Duration::from_millis(u64::from(TICK_MS));
        self.commands.recv_timeout(tick).ok()
    }

    fn serve_events(&self) {
        for _ in 0..EVENTS_PER_TICK {
            if let Some(result) = self.consumer.poll(Duration::ZERO) {
                self.on_polled(result);
            }
            let grants = self.context.grants();
            if !grants.queue.as_ref().is_some_and(SharedQueue::has_events) {
                return;
            }
        }
    }

    fn on_polled(&self, result: KafkaResult<BorrowedMessage<'_>>) {
        match result {
            // Every partition's queue is forwarded before it is read. Should librdkafka ever take
            // one back, the order of what came is unknown.
            Ok(message) => self.on_stray(message.topic(), message.partition()),
            Err(KafkaError::PartitionEOF(partition)) => {
                tracing::warn!(partition, "an end of partition came by the road of events");
            }
            Err(KafkaError::MessageConsumptionFatal(code)) => {
                let fatal = self.consumer.client().fatal_error();
                let words = fatal.map_or_else(|| self.context.last_error(), |(_, words)| words);
                self.context.fatal(format!("{code}: {words}"));
            }
            Err(error) if is_about_connections(&error) => {}
            Err(_) => {
                let error = self.context.last_error();
                self.context.tell(SourceEvent::Trouble { error });
            }
        }
    }

    fn on_stray(&self, topic: &str, partition: i32) {
        let tp = TopicPartition::new(topic, partition);
        tracing::error!(%tp, "a record came by the road of events");
        let grants = self.context.grants();
        let lane = grants.lanes.iter().find(|lane| *lane.tp() == tp);
        if let Some(generation) = lane.map(Lane::generation) {
            drop(grants);
            let signal = Signal::OutOfOrder;
            self.context.end_life(&self.consumer, &tp, generation, signal);
        }
    }

    fn obey(&self, command: Command) {
        let (context, consumer) = (&self.context, &self.consumer);
        match command {
            Command::Assign { tp, generation, offset } => {
                context.assign(consumer, &tp, generation, offset);
            }
            Command::Unassign { tp, generation } => {
                context.end_life(consumer, &tp, generation, Signal::Requested);
            }
            Command::CommitGroupOffsets(offsets) => self.commit(&offsets),
            Command::Close => {} // The loop's own.
        }
    }

    fn commit(&self, offsets: &[(TopicPartition, i64)]) {
        let mut list = TopicPartitionList::new();
        let grants = self.context.grants();
        for (tp, next) in offsets.iter().filter(|(tp, _)| grants.holds(tp)) {
            let offset = Offset::Offset(*next);
            if let Err(error) = list.add_partition_offset(&tp.topic, tp.partition, offset) {
                tracing::debug!(%tp, %error, "a group offset cannot be committed");
            }
        }
        drop(grants);
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "group offsets cannot be committed");
        }
    }

    fn read_data(&mut self) {
        let mut guard = self.context.grants();
        let grants = &mut *guard;
        let Some(queue) = &grants.queue else { return };
        let mut round = Round::new(&mut grants.lanes, &self.budget);
        queue.read(i32::from(TICK_MS), |message| round.take(message));
        let (ready, failed) = round.finish();
        drop(guard);
        for batch in ready {
            self.sink.deliver(batch);
        }
        for (tp, generation, signal) in failed {
            self.context.end_life(&self.consumer, &tp, generation, signal);
        }
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        if now >= self.forward_at {
            self.forward_at = now + FORWARD_EVERY;
            self.context.grants().forward_all(true);
        }
        if now >= self.watermarks_at {
            self.watermarks_at = now + WATERMARKS_EVERY;
            let grants = self.context.grants();
            let Some(queue) = &grants.queue else { return };
            let known = grants.lanes.iter().filter_map(|lane| {
                let range = queue.watermarks(lane.tp())?;
                Some((lane.tp().clone(), range))
            });
            self.watermarks.replace(known.collect::<HashMap<_, _>>());
        }
    }

    /// Leaves the group. What waits in the shared queue goes first, since librdkafka would wait for
    /// it for ever; then the consumer, whose drop still calls back and has no deadline.
    fn close(self) {
        let queue = self.context.grants().queue.take();
        drop(queue);
        drop(self.consumer);
        self.watermarks.replace(HashMap::new());
        self.context.revoke_all();
    }
}

/// Connections come and go; the state of the brokers tells what matters of it.
fn is_about_connections(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
