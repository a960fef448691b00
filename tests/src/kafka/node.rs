//! One JVM of the cluster: its configuration, its storage, its life.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::faults::GROUP_PARTITIONS;
use crate::process::{Process, Signal, free_port};

/// How long a broker may take to stop after SIGTERM.
const STOP: Duration = Duration::from_secs(30);

/// Lines of a log that a panic shows.
const TAIL_LINES: usize = 40;

/// Heap and start-up flags: a broker of a test is small and lives for seconds, so the optimizing
/// compiler and the concurrent collectors cost more than they bring.
const JVM_FLAGS: [&str; 5] = [
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
];

/// Without log4j's own shutdown hook, because the console producer sends and fails in another one:
/// with both, the broker's refusal of a record is neither logged nor in the exit status.
const LOG4J: &str = "\
status = error
shutdownHook = disable
appender.out.type = Console
appender.out.name = out
appender.out.target = SYSTEM_ERR
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level = ${sys:harness.level}
rootLogger.appenderRef.out.ref = out
";

/// The ids and ports of a node, known before any node is configured: each one's configuration names
/// all controllers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: usize,
    pub(super) broker_port: u16,
    pub(super) controller_port: u16,
}

impl Place {
    /// Takes two free ports for the node with this id.
    pub(super) fn take(id: usize) -> Self {
        Self { id, broker_port: free_port(), controller_port: free_port() }
    }
}

/// A broker and controller in one JVM.
#[derive(Debug)]
pub(super) struct Node {
    config: PathBuf,
    log: PathBuf,
    /// The cluster's directory, which the leash removes when the test process dies without dropping
    /// the cluster.
    root: PathBuf,
    process: Option<Process>,
}

impl Node {
    /// Writes the configuration under `root` and formats the storage; the node does not run yet.
    /// `settings` come last, so that they win over the harness's own.
    pub(super) fn format(
        place: Place,
        all: &[Place],
        root: &Path,
        cluster_id: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let dir = root.join(format!("node-{}", place.id));
        fs::create_dir(&dir).expect("the cluster's directory is writable");
        let config = dir.join("server.properties");
        fs::write(&config, properties(place, all, &dir.join("data"), settings))
            .expect("the cluster's directory is writable");
        let config_arg = config.to_str().expect("temporary directories have UTF-8 names");
        run_tool(
            root,
            "kafka.tools.StorageTool",
            &["format", "--cluster-id", cluster_id, "--config", config_arg],
            b"",
        );
        Self { config, log: dir.join("broker.log"), root: root.to_path_buf(), process: None }
    }

    /// Starts the JVM, or lets it go on where it is frozen, without waiting for the broker to be
    /// ready.
    pub(super) fn start(&mut self) {
        if let Some(process) = &mut self.process
            && process.exited().is_none()
        {
            return process.signal(Signal::Cont);
        }
        let mut command = java(&self.root, "INFO");
        command.arg("kafka.Kafka").arg(&self.config);
        self.process = Some(Process::spawn(&mut command, &self.log, Some(&self.root)));
    }

    /// Stops the JVM cleanly, and by force when that takes too long.
    pub(super) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(STOP);
        }
    }

    /// Ends the JVM by force once `deadline` is over, and by SIGTERM before. For data that nobody
    /// will read again.
    pub(super) fn end_by(&mut self, deadline: Instant) {
        if let Some(mut process) = self.process.take() {
            process.end(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Sends a signal to the JVM, if it runs. After SIGKILL the process is gone when this returns.
    pub(super) fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
            if signal == Signal::Kill {
                process.wait(STOP);
            }
        }
    }

    /// Panics with the end of the broker's log when the JVM has ended.
    pub(super) fn assert_alive(&mut self) {
        if let Some(status) = self.process.as_mut().and_then(Process::exited) {
            panic!("the broker ended with {status}; {}", self.log_tail());
        }
    }

    /// The end of the broker's log, as a message.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        format!("its log ends with:\n{}", tail(&String::from_utf8_lossy(&text)))
    }
}

/// Runs a main class of Kafka with `input` on stdin.
///
/// # Panics
/// When it fails, or logs an error: the console tools exit with 0 after records that they could not
/// send.
pub(super) fn run_tool(root: &Path, class: &str, args: &[&str], input: &[u8]) {
    let mut child = java(root, "WARN")
        .arg(class)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start java: {error}; Java 17 or newer is needed"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let output = std::thread::scope(|scope| {
        // A tool that fails early closes its stdin; its exit status tells more than the broken
        // pipe.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("a child can be waited for")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    let failed = !output.status.success() || stderr.lines().any(|line| line.contains(" ERROR "));
    assert!(!failed, "{class} failed with {}:\n{}", output.status, tail(&stderr));
}

/// `java` with the flags and the class path of the harness; the main class comes next.
fn java(root: &Path, level: &str) -> Command {
    let log4j = root.join("log4j2.properties");
    if !log4j.exists() {
        fs::write(&log4j, LOG4J).expect("the cluster's directory is writable");
    }
    let mut log4j_flag = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
    log4j_flag.push(&log4j);
    let mut command = match env::var_os("JAVA_HOME") {
        Some(home) => Command::new(Path::new(&home).join("bin").join("java")),
        None => Command::new("java"),
    };
    command
        .args(JVM_FLAGS)
        .arg(format!("-Dharness.level={level}"))
        .arg(log4j_flag)
        .arg("-cp")
        .arg(jars().join("*"));
    command
}

/// The directory of Kafka's jars, resolved once per process.
fn jars() -> &'static Path {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join("resolve.sh");
        let output = Command::new("sh")
            .arg(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("a POSIX shell is present");
        assert!(output.status.success(), "{} failed; its messages are on stderr", script.display());
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    })
}

fn properties(place: Place, all: &[Place], data: &Path, settings: &[(&str, &str)]) -> String {
    let Place { id, broker_port, controller_port } = place;
    let voters: Vec<String> =
        all.iter().map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller_port)).collect();
    let replicas = all.len().min(3);
    let mut text = format!(
        "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
offsets.topic.num.partitions={GROUP_PARTITIONS}
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1
# A group assigns at once, and a member may be declared dead after a second.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A killed node may come back under its id as soon as its old session is over.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
# Retention and compaction act while a test waits for them.
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.cleaner.backoff.ms=500
log.segment.delete.delay.ms=500
# What a small heap and two cores can bear: the cleaner alone would take 128 MiB.
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=2
background.threads=2
",
        voters = voters.join(","),
        data = data.display(),
    );
    for (key, value) in settings {
        writeln!(text, "{key}={value}").expect("a String takes every write");
    }
    text
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
