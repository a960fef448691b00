//! The configuration: a TOML file, overridden by `POSTROAD__SECTION__KEY` in the environment.
//!
//! It is read here and nowhere else. Every key is taken out of its table once; what is left over is
//! unknown. So one pass finds every fault, and each says which key, which value and what to do.

mod indicators;
mod kafka;
mod section;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use postroad_aggregate::rules::{DECODER_VERSION, Rules};
use postroad_schemas::codebook::{Codebook, PrefectureCode};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::Span;
use toml::{Table, Value};

pub use self::indicators::IndicatorsConfig;
use self::indicators::{read_indicators, read_reference};
pub use self::kafka::is_topic_name;
use self::kafka::read_kafka;
pub(crate) use self::section::VARIABLE_PREFIX;
use self::section::{Section, name_variables, override_key};
use crate::reference::{ReferenceSet, ReferenceSource};
use crate::store::open::Location;

const STORE_URL: &str = "write file:///an/absolute/path, s3://bucket/prefix, gs://bucket/prefix or \
                         az://container/prefix, and nothing else in it";

/// Everything that `postroad run` is told, resolved and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where records come from.
    pub kafka: KafkaConfig,
    /// Where the store is.
    pub store: StoreConfig,
    /// How often a shard is checkpointed.
    pub checkpoint: CheckpointConfig,
    /// The rules that the shards adopt at their next checkpoint.
    pub rules: Rules,
    /// When days are complete.
    pub days: DaysConfig,
    /// What is kept of records that cannot be used.
    pub dead_letters: DeadLettersConfig,
    /// How often tables are published.
    pub publish: PublishConfig,
    /// Prefectures, products, and what figures are held against.
    pub reference: ReferenceSource,
    /// What decides who lags, and which days are told.
    pub indicators: IndicatorsConfig,
    /// Where metrics are served.
    pub http: HttpConfig,
}

/// The section `[kafka]`.
#[derive(Clone)]
pub struct KafkaConfig {
    /// Bootstrap servers, comma separated.
    pub brokers: String,
    /// Consumer group.
    pub group: String,
    /// Further librdkafka properties, secrets from files included.
    pub properties: BTreeMap<String, String>,
    /// Topics, in the order given; the owner of partition 0 of the first publishes.
    pub topics: Vec<TopicConfig>,
    /// Whether compacted topics are read nevertheless.
    pub allow_compacted: bool,
}

/// Names the properties but not their values, some of which are secret.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

/// One `[[kafka.topics]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// The topic's name.
    pub name: String,
    /// Which contract its values follow.
    pub contract: Contract,
    /// Where a new store begins to read.
    pub start: Start,
}

/// Where a new store begins to read a topic. Partitions that appear later begin at their first
/// record in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record.
    Earliest,
    /// With the first record after the store was made.
    Latest,
}

/// The section `[store]`.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where it is, and how it is reached.
    pub location: Location,
}

/// The section `[checkpoint]`.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointConfig {
    /// The longest that an applied record waits for its checkpoint.
    pub interval: Duration,
    /// How many checkpoints of a shard are kept, at least two.
    pub keep: usize,
}

/// The section `[days]`.
#[derive(Debug, Clone, Copy)]
pub struct DaysConfig {
    /// Days older than this are sealed.
    pub open_days: u32,
    /// How long after its end a day can be complete.
    pub grace: Span,
}

/// The section `[dead_letters]`.
#[derive(Debug, Clone, Copy)]
pub struct DeadLettersConfig {
    /// Whether values are kept.
    pub keep_payload: bool,
    /// For how many days after it was judged a dead letter is published.
    pub retention_days: u32,
}

/// The section `[publish]`.
#[derive(Debug, Clone, Copy)]
pub struct PublishConfig {
    /// The shortest time between two publishes.
    pub interval: Duration,
}

/// The section `[http]`.
#[derive(Debug, Clone, Copy)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: SocketAddr,
}

/// What was read: a configuration, or one that lacks nothing but reference data.
#[derive(Debug)]
pub enum Loaded {
    /// Everything.
    Whole(Box<Config>),
    /// The folder of the reference data is faulty.
    WithoutReference(Box<WithoutReference>),
}

/// A configuration whose folder of reference data is faulty: of use once another set stands in.
#[derive(Debug)]
pub struct WithoutReference {
    config: Config,
    faults: Vec<Fault>,
}

impl WithoutReference {
    /// Where the store is.
    pub fn location(&self) -> &Location {
        &self.config.store.location
    }

    /// Every fault of the folder.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The configuration with a set that stands in. Records are judged by its prefectures.
    pub fn with(self, set: ReferenceSet) -> Config {
        let mut config = self.config;
        config.rules.prefectures = prefectures(&set.codebook);
        config.reference.stand_in(set);
        config
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, with its section; empty where the file as a whole is at fault.
    pub key: String,
    /// The value found, as TOML; empty where there is none.
    pub value: String,
    /// What is wrong, and what to write instead.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), self.value.is_empty()) {
            (true, _) => f.write_str(&self.remedy),
            (false, true) => write!(f, "{}: {}", self.key, self.remedy),
            (false, false) => write!(f, "{} = {}: {}", self.key, self.value, self.remedy),
        }
    }
}

impl Config {
    /// Reads a file, with the overrides of an environment.
    ///
    /// # Errors
    /// Every fault found.
    pub fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        Self::load_any(path, environment).and_then(Loaded::into_whole)
    }

    /// As [`Self::load`], where a folder of reference data that is faulty need not be the end.
    ///
    /// # Errors
    /// Every other fault, and then those of the folder, too.
    pub fn load_any(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Vec<Fault>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![whole(format!("{} cannot be read: {error}; name a file with -c", path.display()))]
        })?;
        Self::parse_any(&text, environment)
    }

    /// Reads the text of a file, with the overrides of an environment.
    ///
    /// # Errors
    /// Every fault found.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        Self::parse_any(text, environment).and_then(Loaded::into_whole)
    }

    fn parse_any(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Vec<Fault>> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            vec![whole(format!("the file is not TOML{}: {}", place(text, &error), error.message()))]
        })?;
        let mut faults = Vec::new();
        let environment: Vec<_> = environment.collect();
        let overridden: Vec<_> = environment
            .iter()
            .filter_map(|(name, value)| override_key(&mut table, name, value, &mut faults))
            .collect();
        let mut of_folder = Vec::new();
        let config = read(&mut Section::root(table), environment, &mut faults, &mut of_folder);
        name_variables(&mut faults, &overridden);
        name_variables(&mut of_folder, &overridden);
        match config {
            Some(config) if faults.is_empty() && of_folder.is_empty() => {
                Ok(Loaded::Whole(Box::new(config)))
            }
            Some(config) if faults.is_empty() => {
                let without = WithoutReference { config, faults: of_folder };
                Ok(Loaded::WithoutReference(Box::new(without)))
            }
            _ => {
                faults.append(&mut of_folder);
                Err(faults)
            }
        }
    }
}

impl Loaded {
    fn into_whole(self) -> Result<Config, Vec<Fault>> {
        match self {
            Self::Whole(config) => Ok(*config),
            Self::WithoutReference(without) => Err(without.faults),
        }
    }
}

/// The line of a fault of syntax, but not the text that stands there.
fn place(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or(String::new(), |before| format!(" (line {})", before.matches('\n').count() + 1))
}

fn whole(remedy: String) -> Fault {
    Fault { key: String::new(), value: String::new(), remedy }
}

type Environment = Vec<(String, String)>;

fn read(
    root: &mut Section,
    environment: Environment,
    faults: &mut Vec<Fault>,
    of_folder: &mut Vec<Fault>,
) -> Option<Config> {
    let kafka = read_kafka(root.section("kafka", faults), faults);
    let store = read_store(root.section("store", faults), environment, faults);

    let mut section = root.section("checkpoint", faults);
    let interval_ms = section.number("interval_ms", 5_000_u64, 10..=3_600_000, faults);
    let keep = section.number("keep", 8_usize, 2..=1_000_000, faults);
    section.finish(faults);

    let mut section = root.section("publish", faults);
    let publish_ms = section.number("interval_ms", 5_000_u64, 10..=86_400_000, faults);
    section.finish(faults);

    let mut section = root.section("days", faults);
    let open_days = section.number("open_days", 45_u32, 1..=36_500, faults);
    let grace_h = section.number("grace_h", 1_u32, 0..=8_760, faults);
    section.finish(faults);

    let mut section = root.section("dead_letters", faults);
    let keep_payload = section.flag("keep_payload", false, faults);
    let retention_days = section.number("retention_days", 90_u32, 1..=36_500, faults);
    section.finish(faults);

    let mut section = root.section("http", faults);
    let remedy = "write an address and port, such as \"127.0.0.1:9464\"";
    let default = SocketAddr::from(([127, 0, 0, 1], 9464));
    let listen = section.take("listen", Some(default), remedy, faults, |value| {
        value.as_str().and_then(|text| text.parse().ok())
    });
    section.finish(faults);

    let reference = read_reference(root.section("reference", faults), faults);
    let reference = reference.map(|(reference, mut found)| {
        of_folder.append(&mut found);
        reference
    });
    let indicators = read_indicators(root.section("indicators", faults), faults);
    let codebook = reference.as_ref().map(|reference| &reference.set().codebook);
    let rules = read_rules(root.section("rules", faults), codebook, faults);
    Section::root(std::mem::take(&mut root.table)).finish(faults);

    Some(Config {
        kafka: kafka?,
        store: store?,
        checkpoint: CheckpointConfig { interval: Duration::from_millis(interval_ms?), keep: keep? },
        rules: rules?,
        days: DaysConfig { open_days: open_days?, grace: Span::hours(grace_h?) },
        dead_letters: DeadLettersConfig {
            keep_payload: keep_payload?,
            retention_days: retention_days?,
        },
        publish: PublishConfig { interval: Duration::from_millis(publish_ms?) },
        reference: reference?,
        indicators: indicators?,
        http: HttpConfig { listen: listen? },
    })
}

/// Variables of the cloud count least, then options, then secrets.
fn read_store(
    mut section: Section,
    environment: Environment,
    faults: &mut Vec<Fault>,
) -> Option<StoreConfig> {
    let url = section.text("url", None, STORE_URL, faults);
    let mut location = url.as_deref().and_then(Location::parse);
    if let Some(url) = url.filter(|_| location.is_none()) {
        // Credentials do not belong there, and are not shown if they are.
        let value = Some(Value::String(url)).filter(|url| !url.to_string().contains(['@', '?']));
        faults.push(section.fault("url", value.as_ref(), STORE_URL));
    }
    let options = section.map_with_secrets("options", faults, |map| {
        let Some(location) = &location else { return Vec::new() };
        let refused = map.keys().filter_map(|key| Some((key, location.refuse_option(key)?)));
        refused.map(|(key, fix)| (key.clone(), fix.to_owned())).collect()
    });
    section.finish(faults);
    let location = location.as_mut()?;
    location.set_variables(environment);
    location.set_options(options);
    Some(StoreConfig { location: location.clone() })
}

fn read_rules(
    mut section: Section,
    codebook: Option<&Codebook>,
    faults: &mut Vec<Fault>,
) -> Option<Rules> {
    let dedupe_window_h = section.number("dedupe_window_h", 24_u32, 0..=8_760, faults);
    let late_after_h = section.number("late_after_h", 1_u32, 0..=87_600, faults);
    let final_after_h = section.number("final_after_h", 72_u32, 0..=87_600, faults);
    let value_bytes_max = section.number("value_bytes_max", 1_u64 << 20, 1..=1 << 30, faults);
    section.finish(faults);
    Some(Rules {
        decoder_version: DECODER_VERSION,
        prefectures: prefectures(codebook?),
        dedupe_window_h: dedupe_window_h?,
        late_after_h: late_after_h?,
        final_after_h: final_after_h?,
        value_bytes_max: value_bytes_max?,
    })
}

/// By which records are judged.
fn prefectures(codebook: &Codebook) -> BTreeSet<PrefectureCode> {
    codebook.prefectures().map(|prefecture| prefecture.code).collect()
}

#[cfg(test)]
mod tests;
