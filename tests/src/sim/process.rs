//! A process: the real instance over the simulated log and store, from its start to its end.

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::Rules;
use postroad_ingest::config::Config;
use postroad_ingest::error::{Exit, Failure};
use postroad_ingest::run::{Instance, Parts, Shown, worker_context};
use postroad_ingest::shards::claim::{ClaimContext, Complaints};
use postroad_ingest::shards::worker::Workers;
use postroad_ingest::source::kafka::ByteBudget;
use postroad_ingest::store::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cluster::SimCluster;
use super::consumer::{self, Seat};
use super::dice::Dice;
use super::gate::Gates;
use super::group::Group;
use super::journal::Journal;
use super::life::Life;
use super::log::Log;
use super::odds::{ClusterOdds, ConsumerOdds, Knob};
use super::witness::Witness;

/// Bytes of values between the log and the workers: a few batches.
const QUEUE_BYTES: usize = 8 << 10;

/// What every process of a world is given.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) config: Arc<Config>,
    /// Whether the store is a disk, where files are renamed, or a bucket, where they are replaced if they
    /// are what they were.
    pub(super) is_disk: bool,
    pub(super) log: Log,
    pub(super) group: Group,
    pub(super) gates: Gates,
    pub(super) witness: Witness,
    pub(super) journal: Journal,
    pub(super) dice: Dice,
    pub(super) cluster_odds: Knob<ClusterOdds>,
    pub(super) consumer_odds: Knob<ConsumerOdds>,
}

/// A process that was started.
pub(super) struct Process {
    pub(super) life: Life,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Process {
    /// Starts a process under these rules.
    pub(super) fn start(around: &Surroundings, life: Life, rules: Arc<Rules>) -> Self {
        around.journal.note(format_args!("{life} starts, its clock at {}", life.clock().now()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(around.clone(), life.clone(), rules, stopped));
        life.is_task(task.abort_handle());
        Self { life, stop: Some(stop), task }
    }

    /// Asks it to stop, as SIGTERM does.
    pub(super) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Whether it was asked to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_none()
    }

    /// How it ended, once it has: `None` if it was killed.
    pub(super) async fn ended(&mut self) -> Option<Option<Result<(), Failure>>> {
        if !self.task.is_finished() {
            return self.life.has_ended().then_some(None);
        }
        self.life.end();
        Some((&mut self.task).await.ok())
    }
}

async fn run(
    around: Surroundings,
    life: Life,
    rules: Arc<Rules>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    let Surroundings { config, log, group, gates, witness, journal, dice, .. } = around;
    let gate = Arc::new(gates.gate(&life));
    let mut store = Store::over(gate, life.to_string()).with_nonces(witness.nonces(&life));
    if around.is_disk {
        store = store.with_renames();
    }
    let rules_id = store.put_rules(&rules).await;
    let rules_id = rules_id.map_err(|error| Failure::new(Exit::IoErr, error.to_string()))?;
    let topics = config.kafka.topics.iter();
    let claims = ClaimContext {
        store,
        cluster: Arc::new(SimCluster {
            life: life.clone(),
            log: log.clone(),
            dice: dice.clone(),
            odds: around.cluster_odds,
            journal: journal.clone(),
        }),
        rules: (rules_id, rules),
        id_key: IdKey(dice.bits().to_le_bytes()),
        keep_payload: false,
        topics: Arc::new(topics.map(|t| (t.name.clone(), (t.contract, t.start))).collect()),
        complaints: Complaints::default(),
    };
    let shown = Shown::default();
    let clock = life.clock();
    let budget = ByteBudget::new(QUEUE_BYTES);
    let (context, worker_events) = worker_context(&config, &clock, &shown);
    let workers = Workers::start_task(&context);
    let partitions = log.counts();
    let (consumer, source_events) = consumer::start(Seat {
        life,
        log,
        group,
        dice,
        odds: around.consumer_odds,
        journal,
        witness,
        budget: budget.clone(),
        workers: workers.clone(),
    });
    let consumer = Box::new(consumer);
    let owner = None;
    let parts =
        Parts { claims, owner, partitions, consumer, source_events, workers, worker_events };
    let stop = Box::pin(async move {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    Instance::new(&config, &clock, shown, budget, parts).run(stop).await
}
