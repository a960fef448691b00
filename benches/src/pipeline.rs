//! `postroad run` in this process, from its first record to its last.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use postroad_aggregate::rules::Rules;
use postroad_ingest::config::{
    CheckpointConfig, Config, DaysConfig, DeadLettersConfig, HttpConfig, IndicatorsConfig,
    KafkaConfig, PublishConfig, Start, StoreConfig, TopicConfig,
};
use postroad_ingest::reference::{ReferenceSet, ReferenceSource};
use postroad_ingest::run::{Shown, run};
use postroad_ingest::store::open::Location;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::Span;
use tokio::sync::oneshot;

use crate::broker::{BrokerError, Held};
use crate::cpu::Snapshot;
use crate::report::Run;

/// How often progress is looked at: the precision of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// No record for so long means that the pipeline has failed; joining the group takes three seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the pipeline is set.
#[derive(Debug, Clone, Copy)]
pub struct PipelineOptions {
    /// Time between two checkpoints of a shard, and between two publishes.
    pub interval: Duration,
}

/// Reads everything that the broker holds into a new store, which is then thrown away.
///
/// # Errors
/// Where the pipeline fails, or does not account for every record.
pub fn pipeline(held: &Held, options: PipelineOptions) -> Result<Run, BrokerError> {
    let failure = |error: std::io::Error| BrokerError::new(error.to_string());
    let store = tempfile::tempdir().map_err(failure)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(failure)?;
    let shown = Shown::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let instance = runtime.spawn(run(config(held, options, store.path()), shown.clone(), async {
        let _ = stopped.await;
    }));
    let mut first: Option<(Instant, u64, Snapshot)> = None;
    let (mut seen, mut progressed) = (0, Instant::now());
    while seen < held.records {
        std::thread::sleep(LOOK_EVERY);
        let consumed = consumed(&shown);
        if consumed > seen {
            (seen, progressed) = (consumed, Instant::now());
            first.get_or_insert_with(|| (progressed, consumed, Snapshot::take()));
        }
        if instance.is_finished() || progressed.elapsed() > PATIENCE {
            break;
        }
    }
    let measured = first.map(|(began, skipped, cpu)| {
        let cpu = Snapshot::take().since(&cpu);
        (began, Run { records: seen - skipped, wall: progressed - began, cpu, settled: None })
    });
    let _ = stop.send(());
    let ended = runtime.block_on(instance).map_err(|error| BrokerError::new(error.to_string()))?;
    ended.map_err(|failure| BrokerError::new(failure.to_string()))?;
    match measured {
        Some((began, run)) if seen == held.records => {
            Ok(Run { settled: Some(began.elapsed()), ..run })
        }
        _ => Err(BrokerError::new(format!(
            "the pipeline accounted for {seen} of {} records",
            held.records
        ))),
    }
}

/// Records accounted for so far: every log begins at offset 0 and has no gaps.
fn consumed(shown: &Shown) -> u64 {
    let view = shown.status.view();
    view.progress.values().map(|progress| progress.next_offset.unsigned_abs()).sum()
}

fn config(held: &Held, options: PipelineOptions, root: &Path) -> Config {
    let reference = ReferenceSet::liaoning();
    let topics = held.topics.into_iter().map(|(name, _)| TopicConfig {
        name: name.to_owned(),
        contract: Contract::of_topic(name).expect("the simulator's topics are built in"),
        start: Start::Earliest,
    });
    Config {
        kafka: KafkaConfig {
            brokers: held.brokers.clone(),
            // A group of its own each time: the in-process broker is slow to forget a member.
            group: root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned(),
            properties: BTreeMap::new(),
            topics: topics.collect(),
            // The in-process broker does not tell its topics' settings.
            allow_compacted: true,
        },
        store: StoreConfig { location: Location::Folder(root.to_owned()) },
        checkpoint: CheckpointConfig { interval: options.interval, keep: 8 },
        rules: Rules::with_defaults(&reference.codebook),
        days: DaysConfig { open_days: 45, grace: Span::hours(1) },
        dead_letters: DeadLettersConfig { keep_payload: false, retention_days: 90 },
        publish: PublishConfig { interval: options.interval },
        reference: ReferenceSource::fixed(reference),
        indicators: IndicatorsConfig::default(),
        http: HttpConfig { listen: ([127, 0, 0, 1], 0).into() },
    }
}
