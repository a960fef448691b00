//! `postroad simulate`: the events of a simulated province, to Kafka or to standard output.
//!
//! [`province`] decides what happens, from a seed and nothing else; this module decides when, and
//! where the events go.

mod faults;
mod half_year;
mod outage;
pub mod province;
mod shapes;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use postroad_schemas::contract::Contract;
use postroad_schemas::units::{BusinessDay, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::time::{Instant, sleep_until};
use tracing::info;

use self::outage::Outages;
use self::province::{Province, ProvinceOptions, Simulated};
use crate::clock::now;
use crate::error::{Exit, Failure};

/// Events a second of simulated time where no rate is given: about five million a day.
const DEFAULT_RATE: u32 = 50;
/// After how many events the pace is looked after.
const BURST: u64 = 64;
/// How long the last events may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// Partitions of an envelope's topic: the key decides.
const PARTITIONS: u32 = 4;

/// What to simulate.
#[derive(Debug)]
pub struct SimulateOptions {
    /// Where the events go.
    pub sink: Sink,
    /// Only events of this contract.
    pub contract: Option<Contract>,
    /// Events a second; as fast as possible if `None`.
    pub rate: Option<u32>,
    /// How many; without end if `None`.
    pub events: Option<u64>,
    /// The first record's timestamp; such that the last is made now if `None`.
    pub start: Option<Timestamp>,
    /// Seed.
    pub seed: u64,
    /// Whether some events are late, repeated or broken.
    pub faults: bool,
}

/// Where simulated events go.
#[derive(Debug)]
pub enum Sink {
    /// To the built-in topics.
    Kafka {
        /// Bootstrap servers.
        brokers: String,
        /// librdkafka's properties.
        properties: Vec<(String, String)>,
    },
    /// To standard output, as `kcat -J` would print them.
    Envelopes,
    /// To standard output, values only.
    Values,
}

/// Plants a half-year meeting's findings: the events of the year through a day and of the year before,
/// and the reference data that they are held against, where a folder is given for them.
///
/// # Errors
/// Where the events cannot be delivered, or something cannot be written.
pub async fn plant(
    sink: &Sink,
    through: BusinessDay,
    reference: Option<&Path>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    if let Some(dir) = reference {
        half_year::write_reference(dir, through)?;
    }
    let mut output = Output::open(sink)?;
    tokio::pin!(stop);
    for (made, event) in (1_u64..).zip(half_year::events(through)) {
        if !output.write(&event)? {
            return Ok(());
        }
        if made.is_multiple_of(BURST) {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = std::future::ready(()) => {}
            }
        }
    }
    output.finish()
}

/// The topic of a contract.
pub fn topic_of(contract: Contract) -> &'static str {
    match contract {
        Contract::Parcel => "parcel.events",
        Contract::Finance => "finance.transactions",
    }
}

/// Produces events until enough are made, or `stop` is ready.
///
/// # Errors
/// Where the events cannot be delivered or written.
pub async fn simulate(
    options: SimulateOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut output = Output::open(&options.sink)?;
    let province_options = ProvinceOptions {
        seed: options.seed,
        faults: options.faults,
        ..ProvinceOptions::default()
    };
    let mut province = Province::new(province_options);
    info!(seed = options.seed, "simulating");
    // Events that are made at once are those of the time up to now: the future would be refused.
    let ahead = options.events.filter(|_| options.rate.is_none()).unwrap_or_default();
    let ahead = i64::try_from(elapsed(ahead, DEFAULT_RATE).as_micros()).unwrap_or_default();
    let latest = Timestamp::from_micros(now().as_micros() - ahead);
    let start = options.start.unwrap_or(latest);
    let mut made = 0_u64;
    let began = Instant::now();
    tokio::pin!(stop);
    while options.events.is_none_or(|events| made < events) {
        let simulated = simulated_time(&options, start, made);
        let event = province.next(simulated);
        if options.contract.is_none_or(|contract| contract == event.contract) {
            if !output.write(&event)? {
                return Ok(());
            }
            made += 1;
        }
        if made.is_multiple_of(BURST) {
            let due = options.rate.map(|rate| began + elapsed(made, rate));
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = sleep_until(due.unwrap_or(began)) => {}
            }
        }
    }
    output.finish()
}

fn elapsed(events: u64, rate: u32) -> Duration {
    Duration::from_micros(events.saturating_mul(1_000_000) / u64::from(rate.max(1)))
}

/// The timestamp of the next record, in milliseconds: the wall clock while events are made at a
/// rate and from now on, else the clock of the simulation.
fn simulated_time(options: &SimulateOptions, start: Timestamp, made: u64) -> i64 {
    if options.start.is_none() && options.rate.is_some() {
        return now().as_micros() / 1_000;
    }
    let since = elapsed(made, options.rate.unwrap_or(DEFAULT_RATE));
    start.as_micros() / 1_000 + i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2)
}

enum Output {
    Kafka(Box<BaseProducer<Outages>>),
    Envelopes { out: BufWriter<io::Stdout>, offsets: BTreeMap<(Contract, u32), i64> },
    Values(BufWriter<io::Stdout>),
}

impl Output {
    fn open(sink: &Sink) -> Result<Self, Failure> {
        Ok(match sink {
            Sink::Envelopes => {
                Self::Envelopes { out: BufWriter::new(io::stdout()), offsets: BTreeMap::new() }
            }
            Sink::Values => Self::Values(BufWriter::new(io::stdout())),
            Sink::Kafka { brokers, properties } => {
                let mut config = ClientConfig::new();
                config.set("bootstrap.servers", brokers).set("linger.ms", "20");
                config.set("enable.idempotence", "true").set("compression.type", "zstd");
                for (key, value) in properties {
                    config.set(key, value);
                }
                let made = config.create_with_context(Outages::of(brokers));
                let producer = made.map_err(|error: KafkaError| {
                    Failure::new(Exit::Config, format!("the producer cannot be made: {error}"))
                })?;
                Self::Kafka(Box::new(producer))
            }
        })
    }

    /// Writes one event; false where nobody reads any more.
    fn write(&mut self, event: &Simulated) -> Result<bool, Failure> {
        let written = match self {
            Self::Kafka(producer) => return send(producer, event).map(|()| true),
            Self::Values(out) => write_value(out, event),
            Self::Envelopes { out, offsets } => write_envelope(out, offsets, event),
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(output_failure(&error)),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Kafka(producer) => producer.flush(FLUSH_TIMEOUT).map_err(|error| {
                Failure::new(Exit::TempFail, format!("some events were not acknowledged: {error}"))
            }),
            Self::Envelopes { mut out, .. } | Self::Values(mut out) => match out.flush() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(output_failure(&error))
                }
                _ => Ok(()),
            },
        }
    }
}

fn output_failure(error: &io::Error) -> Failure {
    Failure::new(Exit::IoErr, format!("standard output cannot be written: {error}"))
}

/// Hands an event to the producer, waiting while its queue is full.
fn send(producer: &BaseProducer<Outages>, event: &Simulated) -> Result<(), Failure> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic_of(event.contract))
        .key(&event.key)
        .timestamp(event.timestamp_ms);
    record.payload = event.value.as_deref();
    loop {
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(50));
                record = back;
            }
            Err((error, _)) => {
                let topic = topic_of(event.contract);
                let message = format!("an event for {topic} cannot be produced: {error}");
                return Err(Failure::new(Exit::Unavailable, message));
            }
        }
    }
}

fn write_value(out: &mut impl Write, event: &Simulated) -> io::Result<()> {
    if let Some(value) = &event.value {
        out.write_all(value)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes an envelope as `kcat -J` does: control characters, quotes and backslashes are escaped,
/// other bytes are copied as they are.
fn write_envelope(
    out: &mut impl Write,
    offsets: &mut BTreeMap<(Contract, u32), i64>,
    event: &Simulated,
) -> io::Result<()> {
    let hash = event
        .key
        .iter()
        .fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let partition = hash % PARTITIONS;
    let offset = offsets.entry((event.contract, partition)).or_default();
    let topic = topic_of(event.contract);
    let ts = event.timestamp_ms;
    write!(
        out,
        "{{\"topic\":\"{topic}\",\"partition\":{partition},\"offset\":{offset},\
         \"tstype\":\"create\",\"ts\":{ts},\"broker\":0,\"key\":"
    )?;
    write_string(out, &event.key)?;
    out.write_all(b",\"payload\":")?;
    match &event.value {
        Some(value) => write_string(out, value)?,
        None => out.write_all(b"null")?,
    }
    *offset += 1;
    out.write_all(b"}\n")
}

fn write_string(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.write_all(&[b'\\', *byte])?,
            0..=0x1f => write!(out, "\\u{byte:04x}")?,
            _ => out.write_all(&[*byte])?,
        }
    }
    out.write_all(b"\"")
}
