//! What a test stands on: topics, a store, a configuration, instances, and the oracle's opinion.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postroad_schemas::codebook::Codebook;
use postroad_schemas::time::parse_timestamp;
use postroad_schemas::units::Timestamp;
use postroad_tests::kafka::{Cluster, Record};
use postroad_tests::logs;
use postroad_tests::oracle::{OracleRecord, OracleRules, OracleShard};
use postroad_tests::process::{Metrics, Postroad, Signal, free_port};
use postroad_tests::s3::Place;
use postroad_tests::tables::{OracleShards, Tables, compare, none_of, strays};
use postroad_tests::wait::{holds_within, wait_until};
use tempfile::TempDir;

/// How long anything that is waited for may take: seconds on an idle machine, and once or twice the
/// minute after which librdkafka gives a silent broker up, or the store is inspected.
pub(crate) const SOON: Duration = Duration::from_secs(300);

/// Lines of an instance's log that a failure shows.
const LOG_TAIL: usize = 60;

/// Records of any time are taken and kept, in one segment.
pub(crate) const ANY_TIME: [(&str, &str); 3] = [
    ("retention.ms", "-1"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("segment.ms", "9223372036854775807"),
];

/// The cluster that tests share which leave it running. It takes values of 12 MB.
pub(crate) fn shared_cluster() -> &'static Cluster {
    const SETTINGS: [(&str, &str); 1] = [("message.max.bytes", "12000000")];
    static CLUSTER: LazyLock<Cluster> =
        LazyLock::new(|| timed("cluster", || Cluster::start_with(1, &SETTINGS)));
    &CLUSTER
}

/// Three brokers, two of which have each record before it is acknowledged. They are one test's at a
/// time, which may do to them what it likes: the next one finds all of them running and in sync.
pub(crate) fn three_brokers() -> MutexGuard<'static, Cluster> {
    const SETTINGS: [(&str, &str); 1] = [("min.insync.replicas", "2")];
    static CLUSTER: LazyLock<Mutex<Cluster>> =
        LazyLock::new(|| Mutex::new(timed("three brokers", || Cluster::start_with(3, &SETTINGS))));
    let mut cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.start_broker();
    cluster
}

/// Runs a step and prints how long it took.
pub(crate) fn timed<T>(step: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = run();
    eprintln!("{:>7} ms  {step}", start.elapsed().as_millis());
    outcome
}

/// A topic of a test.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) contract: &'static str,
    /// `earliest` or `latest`.
    pub(crate) start: &'static str,
}

/// Topics, store and configuration of one test.
pub(crate) struct Bed {
    pub(crate) name: String,
    pub(crate) topics: Vec<Topic>,
    /// Replaces settings of librdkafka in the configuration.
    pub(crate) properties: BTreeMap<&'static str, String>,
    pub(crate) checkpoint_ms: u32,
    pub(crate) keep: u32,
    pub(crate) open_days: u32,
    pub(crate) publish_ms: u32,
    pub(crate) value_bytes_max: usize,
    pub(crate) allow_compacted: bool,
    pub(crate) store: PathBuf,
    /// Where the store lies, unless it lies in that folder.
    pub(crate) bucket: Option<Place>,
    /// Lines of `[rules]` besides the length of values.
    pub(crate) rules: &'static str,
    pub(crate) dir: TempDir,
}

impl Bed {
    /// A bed with a topic for each `(suffix, contract, partitions)`, made on the cluster.
    pub(crate) fn new(cluster: &Cluster, name: &str, topics: &[(&str, &'static str, i32)]) -> Self {
        let topics = topics
            .iter()
            .map(|(suffix, contract, partitions)| {
                let topic = Topic { name: format!("{name}.{suffix}"), contract, start: "earliest" };
                create_topic(cluster, &topic.name, *partitions);
                topic
            })
            .collect();
        Self::of(name, topics)
    }

    /// A bed on topics that exist.
    pub(crate) fn of(name: &str, topics: Vec<Topic>) -> Self {
        let properties = [
            ("session.timeout.ms", "3000"),
            ("heartbeat.interval.ms", "500"),
            ("max.poll.interval.ms", "30000"),
            ("topic.metadata.refresh.interval.ms", "1000"),
            ("reconnect.backoff.max.ms", "1000"),
        ];
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        Self {
            name: name.to_owned(),
            topics,
            properties: properties.map(|(key, value)| (key, value.to_owned())).into(),
            checkpoint_ms: 200,
            keep: 8,
            open_days: 45,
            publish_ms: 300,
            rules: "",
            value_bytes_max: logs::rules().value_bytes_max,
            allow_compacted: false,
            store: dir.path().join("store"),
            bucket: None,
            dir,
        }
    }

    /// The same bed, whose members are not put out of the group because the machine is slow. For tests
    /// in which nobody is killed or frozen, and that say how often something happens.
    pub(crate) fn undisturbed(mut self) -> Self {
        self.properties.insert("session.timeout.ms", "60000".to_owned());
        self.properties.insert("max.poll.interval.ms", "120000".to_owned());
        self
    }

    /// The same bed with its store in a bucket.
    pub(crate) fn in_bucket(mut self, place: Place) -> Self {
        self.bucket = Some(place);
        self
    }

    /// The rules of its configurations: the built-in prefectures, and otherwise those around which
    /// the random logs are dense.
    pub(crate) fn rules(&self) -> OracleRules {
        let places = Codebook::liaoning();
        let codes: BTreeSet<String> =
            places.prefectures().map(|place| place.code.to_string()).collect();
        OracleRules { prefectures: codes, value_bytes_max: self.value_bytes_max, ..logs::rules() }
    }

    /// A folder with the tables as they are now: the store's, or a copy of those in its bucket.
    pub(crate) fn tables(&self) -> PathBuf {
        let Some(bucket) = &self.bucket else { return self.store.clone() };
        let copy = self.dir.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        block_on(bucket.download("tables", &copy));
        copy
    }

    /// Where the checkpoints of a shard are.
    pub(crate) fn chain_folder(&self, topic: &str, partition: i32) -> PathBuf {
        self.store.join(format!("state/kafka/{topic}/{partition:05}/0000"))
    }

    /// The places that are taken in the chain of a shard, ascending.
    pub(crate) fn chain(&self, topic: &str, partition: i32) -> Vec<u64> {
        let names =
            fs::read_dir(self.chain_folder(topic, partition)).into_iter().flatten().flatten();
        let mut seqs: Vec<u64> =
            names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        seqs.sort_unstable();
        seqs
    }

    /// Where an instance's standard error goes; kept over its restarts.
    pub(crate) fn log(&self, instance: &str) -> String {
        fs::read_to_string(self.log_path(instance)).unwrap_or_default()
    }

    fn log_path(&self, instance: &str) -> PathBuf {
        self.dir.path().join(format!("{instance}.log"))
    }

    /// Writes the configuration of an instance that listens on `port`.
    pub(crate) fn configure(&self, bootstrap: &str, instance: &str, port: u16) -> PathBuf {
        let mut text = format!(
            "[kafka]\nbrokers = \"{bootstrap}\"\ngroup = \"{name}\"\nallow_compacted = {compacted}\n\
             [checkpoint]\ninterval_ms = {checkpoint}\nkeep = {keep}\n[days]\nopen_days = {open}\n[indicators]\nhistory_days = 3\n[publish]\ninterval_ms = {publish}\n\
             [rules]\nvalue_bytes_max = {bytes}\n{more}\n\
             [store]\n{store}[http]\nlisten = \"127.0.0.1:{port}\"\n\
             [kafka.properties]\n",
            name = self.name,
            compacted = self.allow_compacted,
            checkpoint = self.checkpoint_ms,
            keep = self.keep,
            open = self.open_days,
            publish = self.publish_ms,
            bytes = self.value_bytes_max,
            more = self.rules,
            store = match &self.bucket {
                Some(bucket) => bucket.settings(),
                None => format!("url = \"file://{}\"\n", self.store.display()),
            },
        );
        for (key, value) in &self.properties {
            writeln!(text, "\"{key}\" = \"{value}\"").expect("a String takes every write");
        }
        for Topic { name, contract, start } in &self.topics {
            writeln!(
                text,
                "[[kafka.topics]]\nname = \"{name}\"\ncontract = \"{contract}\"\n\
                 start = \"{start}\""
            )
            .expect("a String takes every write");
        }
        let path = self.dir.path().join(format!("{instance}.toml"));
        fs::write(&path, text).expect("the test's directory is writable");
        path
    }

    /// Starts an instance, without waiting for anything.
    pub(crate) fn start(&self, cluster: &Cluster, instance: &str) -> Instance {
        let port = free_port();
        let config = self.configure(cluster.bootstrap(), instance, port);
        let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
        let process = Postroad::spawn(&args, port, &self.log_path(instance));
        Instance { process, log: self.log_path(instance) }
    }

    /// Starts an instance with an order for one of its failpoints.
    pub(crate) fn start_armed(&self, cluster: &Cluster, instance: &str, order: &str) -> Instance {
        let port = free_port();
        let config = self.configure(cluster.bootstrap(), instance, port);
        let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
        let process = Postroad::spawn_armed(&args, order, port, &self.log_path(instance));
        Instance { process, log: self.log_path(instance) }
    }

    /// The fold of every topic's log by the oracle, from its beginning to its end as of now.
    pub(crate) fn expected(&self, cluster: &Cluster) -> OracleShards {
        self.expected_from(cluster, &BTreeMap::new())
    }

    /// The same, where some shards begin later than their logs.
    pub(crate) fn expected_from(
        &self,
        cluster: &Cluster,
        starts: &BTreeMap<(String, i32), i64>,
    ) -> OracleShards {
        self.topics.iter().flat_map(|topic| self.fold_topic(cluster, topic, starts)).collect()
    }

    fn fold_topic(
        &self,
        cluster: &Cluster,
        topic: &Topic,
        starts: &BTreeMap<(String, i32), i64>,
    ) -> OracleShards {
        // What is read has to lie between two equal answers.
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        wait_until(SOON, "a log rests while it is read", || {
            ends = cluster.end_offsets(&topic.name);
            records = cluster.dump(&topic.name);
            cluster.end_offsets(&topic.name) == ends
        });
        let mut shards = OracleShards::new();
        for (partition, low, high) in ends {
            let key = (topic.name.clone(), partition);
            let first = starts.get(&key).copied().unwrap_or(low);
            let mut shard = self.fold(topic.contract, first, &records, partition);
            // Transaction markers, and aborted records, at the end of the log.
            shard.gaps += high - shard.next_offset;
            shard.next_offset = high;
            shards.insert(key, shard);
        }
        shards
    }

    /// The fold of one partition's records from `first` on.
    pub(crate) fn fold(
        &self,
        contract: &str,
        first: i64,
        records: &[Record],
        partition: i32,
    ) -> OracleShard {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        let clock = i64::try_from(since.as_micros()).expect("the clock is not far beyond 1970");
        let rules = self.rules();
        let mut shard = OracleShard::new(contract, first);
        for record in records.iter().filter(|record| record.partition == partition) {
            let record = OracleRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                value: record.value.clone(),
            };
            shard.step(&rules, &record, clock);
        }
        for (offset, at, reason, _) in &mut shard.rejects {
            let record = records.iter().find(|r| (r.partition, r.offset) == (partition, *offset));
            *at = at.or_else(|| own_time(record?.value.as_deref()?, reason));
        }
        shard
    }

    /// Waits until the tables are what the oracle makes of the logs, and returns that.
    #[track_caller]
    pub(crate) fn wait_for_oracle(&self, cluster: &Cluster) -> OracleShards {
        // The marker that ends a transaction may be written after its producer was answered.
        let ends = || -> Vec<_> {
            self.topics.iter().map(|topic| cluster.end_offsets(&topic.name)).collect()
        };
        let (mut seen, mut expected) = (ends(), self.expected(cluster));
        let mut differences = None;
        let held = holds_within(SOON, || {
            differences = compare(&self.tables(), &expected).err();
            let now = differences.as_ref().map(|_| ends());
            if let Some(now) = now.filter(|now| *now != seen) {
                (seen, expected) = (now, self.expected(cluster));
            }
            differences.is_none()
        });
        assert_agree(held, differences);
        expected
    }

    /// Waits until the tables are as expected.
    #[track_caller]
    pub(crate) fn wait_for(&self, expected: &OracleShards) {
        let mut differences = None;
        let held = holds_within(SOON, || {
            differences = compare(&self.tables(), expected).err();
            differences.is_none()
        });
        assert_agree(held, differences);
    }

    /// Asserts that the tables, at rest, are as expected and nothing else lies among them.
    #[track_caller]
    pub(crate) fn assert_tables(&self, expected: &OracleShards) -> Tables {
        let folder = self.tables();
        assert_eq!(strays(&folder), Vec::<PathBuf>::new(), "files that a glob could count");
        let tables = Tables::read(&folder).expect("the tables can be read");
        if let Err(differences) = none_of(&tables.differences(expected)) {
            panic!("the tables at rest differ from the oracle: {differences}");
        }
        tables
    }
}

#[track_caller]
fn assert_agree(held: bool, differences: Option<String>) {
    let differences = differences.unwrap_or_default();
    assert!(held, "the tables differ from the oracle after {SOON:?}: {differences}");
}

/// A test that fails shows what its instances said.
impl Drop for Bed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let log = fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n");
                eprintln!("{} ends with:\n{tail}", entry.path().display());
            }
        }
    }
}

/// A running `postroad run`.
pub(crate) struct Instance {
    pub(crate) process: Postroad,
    log: PathBuf,
}

impl Instance {
    pub(crate) fn metrics(&self) -> Metrics {
        self.process.metrics()
    }

    /// Status and text of `/-/ready`; `None` where it does not answer.
    pub(crate) fn readiness(&self) -> Option<(u16, String)> {
        self.process.try_get("/-/ready")
    }

    /// Waits until `/-/ready` is 200.
    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        let mut last = None;
        let ready = holds_within(SOON, || {
            last = self.readiness();
            last.as_ref().is_some_and(|(status, _)| *status == 200)
        });
        assert!(ready, "not ready after {SOON:?}: {last:?}; its log:\n{}", self.log());
    }

    /// The value of a gauge or counter with these labels; 0 where the series is not there, or
    /// nobody answers.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.process.try_get("/metrics") {
            Some((200, body)) => Metrics::parse(&body).sum(name, labels),
            _ => 0.0,
        }
    }

    pub(crate) fn is_publisher(&self) -> bool {
        self.sum("postroad_publisher", &[]) > 0.5
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks for a clean stop and expects exit code 0.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::Term);
        let status = self.process.wait(SOON);
        assert_eq!(status.code(), Some(0), "{status}; its log:\n{}", self.log());
    }

    /// Ends it where it is.
    pub(crate) fn kill(mut self) {
        self.process.signal(Signal::Kill);
        self.process.wait(SOON);
    }
}

/// Makes a topic that takes and keeps records of any time.
pub(crate) fn create_topic(cluster: &Cluster, name: &str, partitions: i32) {
    cluster.create_topic_with(name, partitions, &ANY_TIME);
}

/// The time under which a record without a timestamp is tabled where it is rejected: the one that it
/// gives itself, if it can be read that far.
fn own_time(value: &[u8], reason: &str) -> Option<i64> {
    if matches!(reason, "too_large" | "malformed") {
        return None;
    }
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    parse_timestamp(value.get("occurred_at")?.as_str()?).map(Timestamp::as_micros)
}

/// How many lines of a log hold a text.
pub(crate) fn lines_with(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

/// The checkpoints that a log calls damaged; whoever reads one says so.
pub(crate) fn damaged(log: &str) -> BTreeSet<&str> {
    let said = log.lines().filter(|line| line.contains("a checkpoint is damaged"));
    said.filter_map(|line| Some(line.split_once("shard=")?.1)).collect()
}

/// Runs what asks an object store.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(work)
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("temporary directories have UTF-8 names")
}
