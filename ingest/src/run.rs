//! `postroad run`: the loop that joins the poll thread, the workers, the store and the publisher.
//!
//! The loop receives, steps the [`Lifecycle`] and performs its effects. It waits for nothing but
//! messages: claims and puts are tasks, which answer it.

mod answers;
mod effects;
mod parts;
pub mod prepare;
mod publisher;
mod question;
mod reference;
pub mod stand_in;
mod stop;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use postroad_schemas::units::Span;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

pub use self::parts::{Parts, worker_context};

use self::parts::start_parts;
use self::publisher::PublisherTask;
use self::question::Questions;
use self::stop::{CLOSE_DEADLINE, STOP_GRACE, ending, too_slow};
use self::writer::Writers;
use crate::business;
use crate::clock::Clock;
use crate::config::Config;
use crate::decisions;
use crate::error::{Exit, Failure};
use crate::http;
use crate::metrics::Metrics;
use crate::shards::claim::ClaimContext;
use crate::shards::lifecycle::{Event, Lifecycle};
use crate::shards::worker::{FromWorker, ToWorker, Workers};
use crate::source::Consumer;
use crate::source::identity::TopicIdentities;
use crate::source::kafka::{BrokerState, ByteBudget, Generation, SourceEvent, TopicPartition};
use crate::status::Status;
use crate::store::{Owner, StoreError};

/// Bytes of values between the poll thread and the workers.
const QUEUE_BYTES: usize = 64 << 20;
/// How often idle partitions are looked for, and whose the store is.
const IDLE_CHECK: Duration = Duration::from_secs(10);
/// How often new partitions are looked for.
const PARTITIONS_CHECK: Duration = Duration::from_secs(5);
/// How often operators' decisions are looked for.
const DECISIONS_CHECK: Duration = Duration::from_secs(5);
/// How often the state of the shards is told to the rest.
const SHOW_INTERVAL: Duration = Duration::from_millis(250);

/// What an instance shows of itself while it runs.
#[derive(Clone, Default)]
pub struct Shown {
    /// State of shards, brokers and store.
    pub status: Status,
    /// Counters and gauges.
    pub metrics: Metrics,
}

/// Runs an instance until `stop` is ready, then checkpoints, publishes and leaves the group.
///
/// # Errors
/// Where it cannot start, cannot go on, or cannot stop cleanly within its grace period.
pub async fn run(
    config: Config,
    shown: Shown,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    run_by(Clock::wall(), config, shown, stop).await
}

/// [`run`], by another clock than the wall's.
///
/// # Errors
/// As [`run`].
pub async fn run_by(
    clock: Clock,
    config: Config,
    shown: Shown,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let budget = ByteBudget::new(QUEUE_BYTES);
    let listener = http::bind(config.http.listen).await?;
    let pages = http::Pages {
        metrics: shown.metrics.clone(),
        status: shown.status.clone(),
        budget: budget.clone(),
        business: business::Page::default(),
    };
    let _server = AbortOnDrop(tokio::spawn(http::serve(listener, pages)));
    tokio::pin!(stop);
    let prepared = tokio::select! {
        prepared = prepare::prepare(&config, &shown.status) => prepared?,
        () = &mut stop => return Ok(()),
    };
    let (parts, threads) = start_parts(&config, &clock, &shown, &budget, prepared)?;
    let outcome = Instance::new(&config, &clock, shown, budget, parts).run(stop).await;
    // Every worker was told to end, unless the process is about to.
    for thread in threads.into_iter().filter(|_| outcome.is_ok()) {
        let _ = thread.join();
    }
    outcome
}

/// A task that ends with whoever started it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Waiting for the puts that were under way.
    Settling,
    /// Waiting for the puts of the last freeze.
    LastFreeze,
}

/// Answers of tasks, by shard and generation.
type Answer = (TopicPartition, Generation, Event);
/// A claim that was put off, and its number.
type ClaimDue = (TopicPartition, Generation, u64);

/// The loop and what it steers.
pub struct Instance {
    lifecycle: Lifecycle,
    consumer: Box<dyn Consumer>,
    workers: Workers,
    publisher: PublisherTask,
    claims: ClaimContext,
    budget: ByteBudget,
    shown: Shown,
    stopping: Stopping,
    /// Whether the group has told which partitions are ours.
    joined: bool,
    /// What is asked of the brokers and of the store now and then.
    questions: Questions,
    /// The decisions that shards were claimed after.
    decisions_seen: BTreeSet<Path>,
    writers: Writers,
    first_topic: Arc<str>,
    /// The bootstrap servers, to be named where they cannot be reached.
    brokers: String,
    checkpoint_interval: Duration,
    grace: Span,
    clock: Clock,
    source_events: UnboundedReceiver<SourceEvent>,
    worker_events: UnboundedReceiver<FromWorker>,
    answers: (UnboundedSender<Answer>, UnboundedReceiver<Answer>),
    claims_due: (UnboundedSender<ClaimDue>, UnboundedReceiver<ClaimDue>),
    decisions: (UnboundedSender<Vec<Path>>, UnboundedReceiver<Vec<Path>>),
    /// Whose the store has to be, and that it is not any more.
    owner: Option<Owner>,
    disowned: (UnboundedSender<StoreError>, UnboundedReceiver<StoreError>),
}

impl Instance {
    /// An instance of these parts; it does nothing until it is run.
    pub fn new(
        config: &Config,
        clock: &Clock,
        shown: Shown,
        budget: ByteBudget,
        parts: Parts,
    ) -> Self {
        let Parts { claims, owner, partitions, consumer, source_events, workers, worker_events } =
            parts;
        let publisher = PublisherTask::start(config, clock, &claims.store, partitions, &shown);
        let writers = Writers {
            store: claims.store.clone(),
            identities: TopicIdentities::new(Arc::clone(&claims.cluster)),
            keep: config.checkpoint.keep,
            duration: shown.metrics.checkpoint_duration.clone(),
        };
        Self {
            lifecycle: Lifecycle::default(),
            consumer,
            workers,
            publisher,
            claims,
            budget,
            shown,
            stopping: Stopping::No,
            joined: false,
            questions: Questions::default(),
            decisions_seen: BTreeSet::new(),
            writers,
            first_topic: config.kafka.topics[0].name.as_str().into(),
            brokers: config.kafka.brokers.clone(),
            checkpoint_interval: config.checkpoint.interval,
            grace: config.days.grace,
            clock: clock.clone(),
            source_events,
            worker_events,
            answers: unbounded_channel(),
            claims_due: unbounded_channel(),
            decisions: unbounded_channel(),
            owner,
            disowned: unbounded_channel(),
        }
    }

    /// Runs until `stop` is ready, then checkpoints, publishes and leaves the group.
    ///
    /// # Errors
    /// Where it cannot go on, or cannot stop cleanly within its grace period.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Unpin) -> Result<(), Failure> {
        // Those that are there before the first claim are adopted by it.
        self.decisions_seen =
            decisions::all_keys(&self.claims.store).await.unwrap_or_default().into_iter().collect();
        let result = self.drive(stop).await;
        let closed = self.close(result.is_ok()).await;
        result.and(closed)
    }

    /// Receives, steps, performs; until told to stop, and then until every put has landed.
    async fn drive(&mut self, mut stop: impl Future<Output = ()> + Unpin) -> Result<(), Failure> {
        let mut checkpoint = interval(self.checkpoint_interval);
        checkpoint.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = interval(IDLE_CHECK);
        let mut partitions = interval(PARTITIONS_CHECK);
        let mut decisions = interval(DECISIONS_CHECK);
        let mut show = interval(SHOW_INTERVAL);
        let deadline = sleep(Duration::MAX);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                // In order, so that a simulation can be repeated. None of these is told often.
                biased;
                () = &mut stop, if self.stopping == Stopping::No => {
                    info!("stopping: the last checkpoints are being written");
                    self.stopping = Stopping::Settling;
                    deadline.as_mut().reset(Instant::now() + STOP_GRACE);
                }
                Some(event) = self.source_events.recv() => self.on_source(event)?,
                Some(event) = self.worker_events.recv() => self.on_worker(event)?,
                Some(answer) = self.answers.1.recv() => self.on_answer(answer),
                Some(due) = self.claims_due.1.recv() => self.claim_due(due),
                Some(keys) = self.decisions.1.recv() => self.on_decisions(keys),
                _ = checkpoint.tick() => self.freeze_all(),
                Some(error) = self.disowned.1.recv() => {
                    return Err(Failure::from_error(Exit::Unavailable, &error));
                }
                _ = idle.tick() => self.ask_now_and_then(),
                _ = partitions.tick() => self.ask_for_partitions(),
                _ = decisions.tick() => self.ask_for_decisions(),
                _ = show.tick() => self.show(),
                () = &mut deadline => return Err(too_slow()),
            }
            let reading = self.stopping == Stopping::No && !self.lifecycle.is_store_failing();
            self.budget.set_open(reading);
            if self.stopping != Stopping::No && self.lifecycle.is_settled() {
                if self.stopping == Stopping::LastFreeze {
                    return Ok(());
                }
                self.stopping = Stopping::LastFreeze;
                self.freeze_all();
            }
        }
    }

    fn on_source(&mut self, event: SourceEvent) -> Result<(), Failure> {
        match event {
            SourceEvent::Granted { tp, generation } => self.step(&tp, generation, Event::Granted),
            SourceEvent::Revoked { tp, generation } => {
                info!(shard = %tp, "revoked");
                self.step(&tp, generation, Event::Revoked);
            }
            SourceEvent::Signal { tp, generation, next, signal } => {
                self.step(&tp, generation, Event::Signal { next, signal });
            }
            SourceEvent::Rebalanced => {
                self.shown.metrics.rebalances.inc();
                self.joined = true;
            }
            SourceEvent::Brokers(BrokerState::Up) => {
                info!("the brokers can be reached");
                self.shown.status.update(|view| view.brokers_down = None);
            }
            SourceEvent::Brokers(BrokerState::AllDown { error }) => {
                let brokers = &self.brokers;
                warn!(%brokers, %error, "no broker can be reached; trying again until one can");
                let reason = format!("{brokers}: {error}");
                self.shown.status.update(|view| view.brokers_down = Some(reason));
            }
            SourceEvent::Trouble { error } => warn!(%error, "the consumer has a difficulty"),
            SourceEvent::Fatal { error } => {
                let message = format!("the consumer cannot go on: {error}");
                return Err(Failure::new(Exit::Unavailable, message));
            }
        }
        Ok(())
    }

    fn on_worker(&mut self, event: FromWorker) -> Result<(), Failure> {
        match event {
            FromWorker::Shard(tp, generation, event) => {
                self.step(&tp, generation, event);
                Ok(())
            }
            FromWorker::Broken(tp, violation) => {
                Err(Failure::new(Exit::Software, format!("{tp}: {violation}")))
            }
        }
    }

    fn freeze_all(&mut self) {
        for (tp, generation, place) in self.lifecycle.freeze_all() {
            let freeze = ToWorker::Freeze { tp: tp.clone(), generation, place };
            self.workers.tell(&tp, freeze);
        }
    }

    fn step(&mut self, tp: &TopicPartition, generation: Generation, event: Event) {
        let generation_after = match &event {
            Event::Signal { next, .. } => *next,
            _ => generation,
        };
        for effect in self.lifecycle.step(tp, generation, event) {
            self.perform(tp, generation_after, effect);
        }
    }

    /// Publishes once more, leaves the group and ends the threads.
    async fn close(mut self, cleanly: bool) -> Result<(), Failure> {
        let mut in_time = true;
        if cleanly {
            let (store, owner) = (self.claims.store.clone(), self.owner.take());
            let publisher = &mut self.publisher;
            let last = async move {
                if let Some(owner) = owner {
                    let _ = store.stay_with(&owner).await;
                }
                publisher.finish().await;
            };
            in_time = timeout(STOP_GRACE, last).await.is_ok();
        }
        let closed = self.consumer.close(CLOSE_DEADLINE).await;
        self.workers.stop();
        let unwritten: Vec<_> = self.lifecycle.unconfirmed().map(|(tp, _)| tp).collect();
        ending(&unwritten, in_time, closed.is_ok())
    }
}
