//! What an instance is made of, and how the real ones start.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Shown;
use super::prepare::Prepared;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::shards::claim::ClaimContext;
use crate::shards::worker::{FromWorker, ToWorker, WorkerContext, Workers};
use crate::source::Consumer;
use crate::source::kafka::{Batch, ByteBudget, KafkaSource, SourceEvent};
use crate::store::Owner;

/// Starts the threads of a real instance: its workers and its poll thread.
pub(super) fn start_parts(
    config: &Config,
    clock: &Clock,
    shown: &Shown,
    budget: &ByteBudget,
    prepared: Prepared,
) -> Result<(Parts, Vec<JoinHandle<()>>), Failure> {
    let Prepared { claims, settings, partitions, owner } = prepared;
    let os_error = |error: std::io::Error| {
        Failure::new(Exit::Software, format!("a worker thread cannot be started: {error}"))
    };
    let (context, worker_events) = worker_context(config, clock, shown);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (workers, threads) = Workers::start(cores, &context).map_err(os_error)?;
    let (source_sender, source_events) = unbounded_channel();
    let sink = workers.clone();
    let deliver = move |batch: Batch| {
        let tp = batch.tp.clone();
        sink.tell(&tp, ToWorker::Batch(batch));
    };
    let source = KafkaSource::start(&settings, budget.clone(), deliver, source_sender)
        .map_err(|error| Failure::from_error(Exit::Config, &error))?;
    let consumer = Box::new(source);
    let owner = Some(owner);
    let parts =
        Parts { claims, owner, partitions, consumer, source_events, workers, worker_events };
    Ok((parts, threads))
}

/// What the workers of an instance share, and where they answer.
pub fn worker_context(
    config: &Config,
    clock: &Clock,
    shown: &Shown,
) -> (WorkerContext, UnboundedReceiver<FromWorker>) {
    let (events, worker_events) = unbounded_channel();
    let context = WorkerContext {
        events,
        metrics: shown.metrics.clone(),
        status: shown.status.clone(),
        grace: config.days.grace,
        open_days: config.days.open_days,
        allow_compacted: config.kafka.allow_compacted,
        clock: clock.clone(),
    };
    (context, worker_events)
}

/// What an instance is made of besides its configuration: real in production, simulated in the
/// simulation, and the same [`Instance`](super::Instance) in between.
pub struct Parts {
    /// How shards are claimed, and in which store.
    pub claims: ClaimContext,
    /// Whose the store has to be; nobody looks where there is none.
    pub owner: Option<Owner>,
    /// The number of partitions of each topic.
    pub partitions: BTreeMap<String, i32>,
    /// Whoever delivers records, to the workers.
    pub consumer: Box<dyn Consumer>,
    /// What it tells.
    pub source_events: UnboundedReceiver<SourceEvent>,
    /// Whoever folds records.
    pub workers: Workers,
    /// What they tell.
    pub worker_events: UnboundedReceiver<FromWorker>,
}
