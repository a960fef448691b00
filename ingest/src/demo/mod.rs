//! `postroad demo`: the whole pipeline on one machine, with nothing else installed.
//!
//! The broker is librdkafka's own mock cluster in this process, reached by the real client over
//! loopback. The province's last week passes in a minute, and then goes on live. The mock keeps
//! only 5 MiB a partition, so the producer waits for the consumer, and a gap ends the demo: it
//! would mean that the mock had dropped records.

mod screen;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroad_aggregate::rules::Rules;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{BusinessDay, Span, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::clock::{Clock, now};
use crate::config::{
    CheckpointConfig, Config, DaysConfig, DeadLettersConfig, HttpConfig, IndicatorsConfig,
    KafkaConfig, PublishConfig, Start, StoreConfig, TopicConfig,
};
use crate::error::{Exit, Failure, print};
use crate::http;
use crate::reference::{ReferenceSet, ReferenceSource};
use crate::run::{Shown, run_by};
use crate::simulate::province::{Province, ProvinceOptions, Simulated};
use crate::simulate::{half_year, topic_of};
use crate::status::Status;
use crate::store::open::Location;

/// Many partitions, because the mock keeps 5 MiB of each.
const PARTITIONS: i32 = 16;
/// Records that may be under way between producer and consumer: some 12 MB over all partitions.
const UNDER_WAY_MAX: u64 = 50_000;
/// The simulation begins this long ago.
const HISTORY: Duration = Duration::from_secs(7 * 86_400);
/// How long it takes to catch up with the present.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Events a second of the real province: five million a day.
const REAL_RATE: f64 = 58.0;
/// Events a second of a planted scenario: as fast as they are read.
const PLANTED_RATE: f64 = 50_000.0;
/// Signs of life a second once all is planted.
const LIFE_RATE: f64 = 100.0;
/// How often events are produced.
const TURN: Duration = Duration::from_millis(20);
/// Marks a folder as one that a demo made, and that the next may replace.
const MARKER: &str = "made-by-postroad-demo";

/// How to run the demo.
#[derive(Debug)]
pub struct DemoOptions {
    /// Where the store is made.
    pub root: PathBuf,
    /// Where metrics are served.
    pub listen: SocketAddr,
    /// Events a second, on average.
    pub rate: u32,
    /// End after this long.
    pub duration: Option<Duration>,
    /// Seed of the province.
    pub seed: u64,
    /// Whether a half-year meeting's findings are planted instead, up to yesterday.
    pub half_year: bool,
}

/// Runs the demo until `stop` is ready, its time is over, or somebody presses `q`.
///
/// # Errors
/// Where the folder is somebody else's, the port is in use, or the pipeline fails.
pub async fn demo(options: DemoOptions, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    // Before anything is replaced: the address may be another demo's.
    drop(http::bind(options.listen).await?);
    let (root, _lock) = make_folder(&options.root)?;
    let broken = |what: &str, error: KafkaError| {
        Failure::new(Exit::Software, format!("the in-process broker {what}: {error}"))
    };
    let mock = MockCluster::new(1).map_err(|error| broken("does not start", error))?;
    for contract in [Contract::Parcel, Contract::Finance] {
        mock.create_topic(topic_of(contract), PARTITIONS, 1)
            .map_err(|error| broken("makes no topic", error))?;
    }
    let mut config = config(&options, root.clone(), mock.bootstrap_servers());
    let shown = Shown::default();
    let clock = if options.half_year { Clock::wall() } else { simulated_clock() };
    if options.half_year {
        let dir = root.join("reference");
        half_year::write_reference(&dir, yesterday())?;
        config.reference = ReferenceSource::folder(dir)
            .map_err(|faults| Failure::new(Exit::Software, format!("{faults:?}")))?;
    }
    let (end, ended) = watch::channel(false);
    let producer =
        produce(&options, &config.kafka.brokers, &clock, shown.status.clone(), ended.clone())?;
    let screen =
        screen::Screen::open(&options, &root, shown.clone(), &config.reference.set().codebook);
    let screen = tokio::spawn(screen.run(ended.clone()));
    let mut pipeline = Box::pin(run_by(clock, config, shown, until(ended)));
    tokio::pin!(stop);
    let over = async {
        match options.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let screen_task = &mut { screen };
    let outcome = tokio::select! {
        outcome = &mut pipeline => Some(outcome),
        () = &mut stop => None,
        () = over => None,
        shown = &mut *screen_task => shown.unwrap_or(Ok(())).err().map(Err),
        failure = producer => Some(Err(failure)),
    };
    let _ = end.send(true);
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => pipeline.await,
    };
    if !screen_task.is_finished() {
        let _ = screen_task.await;
    }
    outcome?;
    print(&(screen::farewell(&root) + "\n"))
}

/// Ready once the demo is to end.
async fn until(mut ended: watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

/// The last day that is over, by the wall's clock.
fn yesterday() -> BusinessDay {
    now().business_day().plus_days(-1)
}

/// The demo's clock, for the province and for the pipeline: a week ago at first, and the present
/// after [`CATCH_UP`].
fn simulated_clock() -> Clock {
    let began = Instant::now();
    Clock::of(move || {
        let behind = 1.0 - began.elapsed().as_secs_f64() / CATCH_UP.as_secs_f64();
        let behind = HISTORY.mul_f64(behind.max(0.0)).as_micros();
        let behind = i64::try_from(behind).unwrap_or_default();
        Timestamp::from_micros(now().as_micros() - behind)
    })
}

/// An empty folder for the store: a new one, or one that an earlier demo made. It is locked while
/// the demo runs.
fn make_folder(root: &Path) -> Result<(PathBuf, File), Failure> {
    let failure = |what: &str, error: std::io::Error| {
        Failure::new(Exit::CantCreate, format!("{} {what}: {error}", root.display()))
    };
    if let Ok(marker) = File::open(root.join(MARKER)) {
        if marker.try_lock().is_err() {
            let message = format!(
                "{} belongs to a demo that is running; end it, or name another folder with --store",
                root.display()
            );
            return Err(Failure::new(Exit::CantCreate, message));
        }
        std::fs::remove_dir_all(root).map_err(|error| failure("cannot be replaced", error))?;
    }
    std::fs::create_dir_all(root).map_err(|error| failure("cannot be made", error))?;
    let mut entries = root.read_dir().map_err(|error| failure("cannot be read", error))?;
    if entries.next().is_some() {
        let message = format!(
            "{} is not empty and was not made by a demo; name another folder with --store",
            root.display()
        );
        return Err(Failure::new(Exit::CantCreate, message));
    }
    let mut marker =
        File::create(root.join(MARKER)).map_err(|error| failure("cannot be written to", error))?;
    marker
        .write_all(b"the next demo replaces this folder\n")
        .and_then(|()| marker.lock())
        .map_err(|error| failure("cannot be written to", error))?;
    let root = root.canonicalize().map_err(|error| failure("cannot be found", error))?;
    Ok((root, marker))
}

fn config(options: &DemoOptions, root: PathBuf, brokers: String) -> Config {
    let reference = ReferenceSet::liaoning();
    let topic = |contract| TopicConfig {
        name: topic_of(contract).to_owned(),
        contract,
        start: Start::Earliest,
    };
    Config {
        kafka: KafkaConfig {
            brokers,
            group: "postroad-demo".to_owned(),
            properties: BTreeMap::new(),
            topics: vec![topic(Contract::Parcel), topic(Contract::Finance)],
            // The mock does not tell its topics' settings, and asking takes long.
            allow_compacted: true,
        },
        store: StoreConfig { location: Location::Folder(root) },
        checkpoint: CheckpointConfig { interval: Duration::from_secs(1), keep: 4 },
        rules: Rules::with_defaults(&reference.codebook),
        days: DaysConfig { open_days: 45, grace: Span::hours(1) },
        dead_letters: DeadLettersConfig { keep_payload: false, retention_days: 90 },
        publish: PublishConfig { interval: Duration::from_secs(1) },
        reference: ReferenceSource::fixed(reference),
        indicators: IndicatorsConfig::default(),
        http: HttpConfig { listen: options.listen },
    }
}

/// Produces until the demo ends. The future is ready only when something is wrong.
fn produce(
    options: &DemoOptions,
    brokers: &str,
    clock: &Clock,
    status: Status,
    ended: watch::Receiver<bool>,
) -> Result<impl Future<Output = Failure> + use<>, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("compression.type", "zstd");
    config.set("linger.ms", "50").set("batch.num.messages", "2000");
    // Its own thread takes the acknowledgements, which come faster than turns.
    let producer: ThreadedProducer<_> = config.create().map_err(|error: KafkaError| {
        Failure::new(Exit::Software, format!("the producer cannot be made: {error}"))
    })?;
    let average = f64::from(options.rate);
    let scale = average * CATCH_UP.as_secs_f64() / HISTORY.as_secs_f64() / REAL_RATE;
    let source = if options.half_year {
        Source::HalfYear { planted: Box::new(half_year::events(yesterday())), signs: None }
    } else {
        let seed = options.seed;
        let province = ProvinceOptions { seed, scale, ..ProvinceOptions::default() };
        Source::Province(Box::new(Province::new(province)))
    };
    let mut work = Production { producer, source, waiting: None, status, produced: 0 };
    let clock = clock.clone();
    Ok(async move {
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut owed = 0.0;
        let mut last = Instant::now();
        loop {
            let at = turn.tick().await;
            if *ended.borrow() {
                std::future::pending::<()>().await;
            }
            let at_ms = clock.now().as_micros() / 1_000;
            let elapsed = at.saturating_duration_since(last).as_secs_f64();
            last = at;
            let rate = work.source.rate(average, at_ms);
            // What a second owes at most, so that a pause is not made good in one burst.
            owed = (owed + rate * elapsed).min(rate);
            if let Err(failure) = work.produce(&mut owed, at_ms) {
                return failure;
            }
        }
    })
}

/// What happens in the demo.
enum Source {
    /// A random province, at any time.
    Province(Box<Province>),
    /// Planted events, one after the other; then signs of life, which add to no figure that is compared.
    HalfYear { planted: Box<dyn Iterator<Item = Simulated> + Send>, signs: Option<u64> },
}

impl Source {
    fn next(&mut self, at_ms: i64) -> Simulated {
        match self {
            Self::Province(province) => province.next(at_ms),
            Self::HalfYear { planted, signs } => {
                let event = if signs.is_none() { planted.next() } else { None };
                event.unwrap_or_else(|| {
                    let number = signs.map_or(0, |number| number + 1);
                    *signs = Some(number);
                    half_year::sign_of_life(number, at_ms)
                })
            }
        }
    }

    /// Events a second at a moment, where so many are wished for on average.
    fn rate(&self, average: f64, at_ms: i64) -> f64 {
        match self {
            Self::Province(_) => average * Province::intensity(at_ms).clamp(0.2, 2.0),
            Self::HalfYear { signs: None, .. } => PLANTED_RATE,
            Self::HalfYear { signs: Some(_), .. } => LIFE_RATE,
        }
    }
}

struct Production {
    producer: ThreadedProducer<DefaultProducerContext>,
    source: Source,
    /// An event that the producer had no room for.
    waiting: Option<Simulated>,
    status: Status,
    produced: u64,
}

impl Production {
    /// Produces as many events as are owed, unless too many are under way.
    fn produce(&mut self, owed: &mut f64, at_ms: i64) -> Result<(), Failure> {
        let consumed = self.consumed()?;
        while *owed >= 1.0 && self.produced < consumed + UNDER_WAY_MAX {
            let event = self.waiting.take().unwrap_or_else(|| self.source.next(at_ms));
            let mut record = BaseRecord::<[u8], [u8]>::to(topic_of(event.contract))
                .key(&event.key)
                .timestamp(event.timestamp_ms);
            record.payload = event.value.as_deref();
            match self.producer.send(record) {
                Ok(()) => self.produced += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.waiting = Some(event);
                    break;
                }
                Err((error, _)) => {
                    let message = format!("the in-process broker takes no event: {error}");
                    return Err(Failure::new(Exit::Software, message));
                }
            }
            *owed -= 1.0;
        }
        Ok(())
    }

    /// Records read so far, by the offsets of the shards. The mock's offsets have no gaps of their
    /// own, so one would be a record that it dropped.
    fn consumed(&self) -> Result<u64, Failure> {
        let view = self.status.view();
        if view.progress.values().any(|progress| progress.gaps > 0) {
            let message = "the in-process broker dropped records before they were read; this \
                           machine is too slow for the rate: try --rate 500";
            return Err(Failure::new(Exit::TempFail, message));
        }
        let read = view.progress.values().map(|progress| progress.next_offset.unsigned_abs());
        Ok(read.sum())
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        let _ = self.producer.flush(Duration::from_secs(1));
    }
}
