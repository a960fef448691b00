//! The poll thread's twin: the same bookkeeping of grants, generations and lanes as the real one (see
//! the table in `postroad_ingest::source::kafka`), over the simulated log and group.
//!
//! It is worse than the real one in one respect that the table allows: a batch may stay under way
//! while its generation ends and the next one is already being read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use postroad_ingest::shards::worker::{ToWorker, Workers};
use postroad_ingest::source::Consumer;
use postroad_ingest::source::kafka::{
    Batch, BrokerState, ByteBudget, CloseTimedOut, Command, Generation, Signal, SourceEvent,
    TopicPartition,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::dice::Dice;
use super::group::{Group, Member, Told};
use super::journal::Journal;
use super::life::Life;
use super::log::{Fetched, Log, Position};
use super::odds::{ConsumerOdds, Knob};
use super::time::pass;
use super::witness::Witness;

/// The most records of one batch.
const BATCH_RECORDS: usize = 12;
/// How long the reader waits when it has nothing to do.
const IDLE: Duration = Duration::from_secs(2);

/// The loop's end of a consumer.
pub(super) struct SimConsumer {
    commands: UnboundedSender<Command>,
    ends: Arc<Mutex<HashMap<TopicPartition, i64>>>,
    done: oneshot::Receiver<()>,
    life: Life,
    witness: Witness,
}

#[async_trait]
impl Consumer for SimConsumer {
    fn command(&self, command: Command) {
        if self.life.has_ended() {
            return;
        }
        // What an instance does after a claim or a commit tells that it believes in it.
        match &command {
            Command::Assign { tp, .. } => self.witness.claimed(&self.life, tp),
            Command::CommitGroupOffsets(offsets) => {
                for (tp, next) in offsets {
                    self.witness.acknowledged(&self.life, tp, *next);
                }
            }
            Command::Unassign { .. } | Command::Close => {}
        }
        let _ = self.commands.send(command);
    }

    fn log_ends(&self) -> HashMap<TopicPartition, i64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn close(self: Box<Self>, deadline: Duration) -> Result<(), CloseTimedOut> {
        let _ = self.commands.send(Command::Close);
        let closed = timeout(deadline, self.done).await;
        closed.map(drop).map_err(|_| CloseTimedOut { deadline })
    }
}

/// What a consumer is made of.
pub(super) struct Seat {
    pub(super) life: Life,
    pub(super) log: Log,
    pub(super) group: Group,
    pub(super) dice: Dice,
    pub(super) odds: Knob<ConsumerOdds>,
    pub(super) journal: Journal,
    pub(super) witness: Witness,
    pub(super) budget: ByteBudget,
    pub(super) workers: Workers,
}

/// Joins the group and starts to read.
pub(super) fn start(seat: Seat) -> (SimConsumer, UnboundedReceiver<SourceEvent>) {
    let (commands, received) = unbounded_channel();
    let (events, source_events) = unbounded_channel();
    let (inbox, told) = unbounded_channel();
    let (ended, done) = oneshot::channel();
    let ends = Arc::<Mutex<HashMap<_, _>>>::default();
    let consumer = SimConsumer {
        commands,
        ends: Arc::clone(&ends),
        done,
        life: seat.life.clone(),
        witness: seat.witness.clone(),
    };
    let member = seat.group.join(inbox.clone());
    seat.life.is_member(member);
    let reader = Reader {
        seat,
        member,
        inbox,
        events,
        ends,
        generations: 0,
        granted: BTreeMap::new(),
        lanes: Vec::new(),
        under_way: VecDeque::new(),
    };
    tokio::spawn(reader.run(received, told, ended));
    (consumer, source_events)
}

/// A partition being read, from one assignment to its end.
struct Lane {
    tp: TopicPartition,
    generation: Generation,
    at: Position,
    delivered: u64,
    /// The end that was last told.
    end: Option<i64>,
}

struct Reader {
    seat: Seat,
    member: Member,
    inbox: UnboundedSender<Told>,
    events: UnboundedSender<SourceEvent>,
    ends: Arc<Mutex<HashMap<TopicPartition, i64>>>,
    generations: u64,
    granted: BTreeMap<TopicPartition, Generation>,
    lanes: Vec<Lane>,
    /// Batches that were read and have not arrived, in order.
    under_way: VecDeque<(Instant, Batch)>,
}

impl Reader {
    async fn run(
        mut self,
        mut commands: UnboundedReceiver<Command>,
        mut told: UnboundedReceiver<Told>,
        ended: oneshot::Sender<()>,
    ) {
        let changes = self.seat.log.changes();
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                Some(told) = told.recv() => {
                    self.seat.life.runs().await;
                    self.on_told(told);
                }
                Some(command) = commands.recv() => {
                    self.seat.life.runs().await;
                    if self.seat.dice.per_mille(self.odds().slow) {
                        pass(self.seat.dice.millis(1..3_000)).await;
                        self.seat.life.runs().await;
                    }
                    // Before any assignment, as the real one does.
                    while let Ok(told) = told.try_recv() {
                        self.on_told(told);
                    }
                    if command == Command::Close {
                        break;
                    }
                    self.obey(command);
                }
                () = changes.notified() => {}
                () = pass(wait), if !wait.is_zero() => {}
            }
            self.seat.life.runs().await;
            self.fail();
            let busy = self.read();
            self.arrive();
            wait = if busy || !self.under_way.is_empty() {
                self.seat.dice.millis(5..60)
            } else {
                IDLE
            };
        }
        self.seat.group.remove(self.member, Duration::ZERO);
        self.lanes.clear();
        self.revoke(&self.granted.keys().cloned().collect::<Vec<_>>());
        let _ = ended.send(());
    }

    /// The brokers go away or come back, or the consumer cannot go on.
    fn fail(&self) {
        let odds = self.odds();
        if self.seat.dice.per_mille(odds.fatal) {
            self.tell(SourceEvent::Fatal { error: "simulated".to_owned() });
        } else if self.seat.dice.per_mille(odds.signal) {
            let error = "simulated".to_owned();
            let state = BrokerState::AllDown { error: error.clone() };
            self.tell(SourceEvent::Brokers(state));
            self.tell(SourceEvent::Trouble { error });
            self.tell(SourceEvent::Brokers(BrokerState::Up));
        }
    }

    fn odds(&self) -> ConsumerOdds {
        self.seat.odds.get()
    }

    fn tell(&self, event: SourceEvent) {
        self.seat.journal.step(format_args!("{}: {event:?}", self.seat.life));
        let _ = self.events.send(event);
    }

    fn on_told(&mut self, told: Told) {
        match told {
            Told::Assigned(tps) => {
                self.tell(SourceEvent::Rebalanced);
                self.lanes.retain(|lane| !tps.contains(&lane.tp));
                for tp in tps {
                    let generation = self.begin(&tp);
                    self.tell(SourceEvent::Granted { tp, generation });
                }
            }
            Told::Revoked(tps) => {
                self.revoke(&tps);
                self.seat.group.let_go(self.member, &tps);
            }
            Told::ThrownOut => {
                self.revoke(&self.granted.keys().cloned().collect::<Vec<_>>());
                self.member = self.seat.group.join(self.inbox.clone());
                self.seat.life.is_member(self.member);
            }
        }
    }

    fn begin(&mut self, tp: &TopicPartition) -> Generation {
        self.generations += 1;
        let generation = Generation::new(self.generations);
        self.granted.insert(tp.clone(), generation);
        generation
    }

    fn revoke(&mut self, tps: &[TopicPartition]) {
        self.tell(SourceEvent::Rebalanced);
        self.lanes.retain(|lane| !tps.contains(&lane.tp));
        for tp in tps {
            if let Some(generation) = self.granted.remove(tp) {
                self.tell(SourceEvent::Revoked { tp: tp.clone(), generation });
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assign { tp, generation, offset } => {
                let stale = self.granted.get(&tp) != Some(&generation);
                if stale || self.lanes.iter().any(|lane| lane.tp == tp) {
                    return;
                }
                self.seat.journal.step(format_args!(
                    "{}: reads {tp} from {offset} in generation {}",
                    self.seat.life,
                    generation.get()
                ));
                let at = Position { life: None, offset };
                self.lanes.push(Lane { tp, generation, at, delivered: 0, end: None });
            }
            Command::Unassign { tp, generation } => {
                self.end_life(&tp, generation, Signal::Requested);
            }
            Command::CommitGroupOffsets(_) | Command::Close => {}
        }
    }

    /// Ends this life of the assignment, if it has not ended yet, and begins the next.
    fn end_life(&mut self, tp: &TopicPartition, generation: Generation, signal: Signal) {
        if self.granted.get(tp) != Some(&generation) {
            return;
        }
        self.lanes.retain(|lane| lane.tp != *tp);
        let next = self.begin(tp);
        self.tell(SourceEvent::Signal { tp: tp.clone(), generation, next, signal });
    }

    /// One turn of reading. Returns whether there is more to read.
    fn read(&mut self) -> bool {
        let odds = self.odds();
        let mut busy = false;
        let mut failed = Vec::new();
        for index in 0..self.lanes.len() {
            if self.seat.budget.available() == 0 {
                busy = true;
                break;
            }
            if self.seat.dice.per_mille(odds.signal) {
                let signal = self.seat.dice.pick(&[
                    Signal::OutOfOrder,
                    Signal::Other("simulated".to_owned()),
                    Signal::UnknownTopic,
                ]);
                let lane = &self.lanes[index];
                failed.push((lane.tp.clone(), lane.generation, signal.expect("one of three")));
                continue;
            }
            match self.read_lane(index) {
                Ok(more) => busy |= more,
                Err(signal) => {
                    let lane = &self.lanes[index];
                    failed.push((lane.tp.clone(), lane.generation, signal));
                }
            }
        }
        for (tp, generation, signal) in failed {
            self.end_life(&tp, generation, signal);
        }
        let ends = self.lanes.iter().filter_map(|lane| Some((lane.tp.clone(), lane.end?)));
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends.collect();
        busy
    }

    fn read_lane(&mut self, index: usize) -> Result<bool, Signal> {
        let lane = &mut self.lanes[index];
        let count = 1 + self.seat.dice.index(BATCH_RECORDS);
        let (life, records, end) = match self.seat.log.fetch(&lane.tp, lane.at, count) {
            Fetched::Failed(signal) => return Err(signal),
            Fetched::Records { life, records, end } => (life, records, end),
        };
        let more = end.is_none();
        // An end is told once.
        let end = end.filter(|end| lane.end != Some(*end));
        lane.at.life = Some(life);
        if records.is_empty() && end.is_none() {
            return Ok(more);
        }
        let mut batch = Batch::new(lane.tp.clone(), lane.generation);
        for record in &records {
            let timestamp_ms = record.timestamp_ms.filter(|ms| *ms >= 0);
            batch.push(record.offset, timestamp_ms, record.value.as_deref());
            lane.at.offset = record.offset + 1;
        }
        lane.delivered += records.len() as u64;
        batch.delivered_total = lane.delivered;
        if let Some(end) = end {
            lane.at.offset = end;
            lane.end = Some(end);
            batch.end = Some(end);
        }
        let delay = if self.seat.dice.per_mille(self.odds().late_batch) {
            self.seat.dice.millis(1..2_000)
        } else {
            Duration::ZERO
        };
        let batch = batch.charged_to(&self.seat.budget);
        self.under_way.push_back((Instant::now() + delay, batch));
        Ok(more)
    }

    /// Hands on what is due, in order.
    fn arrive(&mut self) {
        while self.under_way.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((_, batch)) = self.under_way.pop_front() else { return };
            let offsets = batch.records.first().zip(batch.records.last());
            self.seat.journal.step(format_args!(
                "{}: {} generation {} delivers {:?}, end {:?}",
                self.seat.life,
                batch.tp,
                batch.generation.get(),
                offsets.map(|(first, last)| (first.offset, last.offset)),
                batch.end
            ));
            let tp = batch.tp.clone();
            self.seat.workers.tell(&tp, ToWorker::Batch(batch));
        }
    }
}
