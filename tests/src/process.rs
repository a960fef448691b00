//! Starting programs as a user would: by their binaries, with signals and HTTP, never through a
//! function call.

mod metrics;

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub use self::metrics::Metrics;
use crate::wait::holds_within;

/// How long a program may take to end after SIGTERM before Drop kills it.
const GRACE: Duration = Duration::from_secs(10);

/// How long an HTTP answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Ports are taken from `[PORT_FIRST, PORT_FIRST + PORT_COUNT)`: below the ephemeral range of Linux
/// and macOS. A port inside that range can be lost while its server is down, even to a client that
/// reconnects to it and meets itself.
const PORT_FIRST: u16 = 20_000;
const PORT_COUNT: u16 = 12_000;

/// A port of 127.0.0.1 on which nobody listens, never the same twice in one process.
///
/// # Panics
/// When all ports are taken.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run side by side begin far from each other: 7919 is prime to the number of
    // ports.
    let start = std::process::id().wrapping_mul(7919) % u32::from(PORT_COUNT);
    for _ in 0..PORT_COUNT {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let place =
            u16::try_from((start + step) % u32::from(PORT_COUNT)).expect("less than PORT_COUNT");
        let port = PORT_FIRST + place;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in [{PORT_FIRST}, {})", PORT_FIRST + PORT_COUNT);
}

/// The signals that suites send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks for a clean stop.
    Term,
    /// Ends the process where it is.
    Kill,
    /// Freezes the process: its connections stay open and silent.
    Stop,
    /// Lets a frozen process go on.
    Cont,
    /// Asks for reference data to be read again.
    Hup,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Hup => "HUP",
        }
    }
}

/// A child process that does not outlive its owner: Drop ends it, and when the owner dies without
/// dropping anything (a kill, an abort, a value in a static), its leash does.
#[derive(Debug)]
pub struct Process {
    child: Child,
    leash: Child,
    status: Option<ExitStatus>,
}

/// Waits for the end of its stdin, which the owner holds: a line says that all went well, silence
/// that the owner died.
const LEASH: &str = r#"trap '' INT TERM HUP
read -r line && exit
kill -s KILL "$0"
[ -z "$1" ] || rm -rf -- "$1""#;

impl Process {
    /// Starts `command` with stdout and stderr appended to `log`. When the owner dies, `doomed_dir`
    /// is removed, too.
    ///
    /// # Panics
    /// When the program or its log cannot be opened.
    pub fn spawn(command: &mut Command, log: &Path, doomed_dir: Option<&Path>) -> Self {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log file can be opened");
        let err = out.try_clone().expect("a file handle can be cloned");
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap_or_else(|error| {
                panic!("cannot start {}: {error}", command.get_program().display())
            });
        let leash = Command::new("sh")
            .args(["-c", LEASH, &child.id().to_string()])
            .arg(doomed_dir.unwrap_or_else(|| Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a POSIX shell is present");
        Self { child, leash, status: None }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; nothing happens when the process has already been waited for, since its id
    /// may be another's by then.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_some() {
            return;
        }
        // The shell's own kill: a slim image may lack the program.
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, signal.name(), &self.pid().to_string()])
            .status()
            .expect("a POSIX shell is present");
        assert!(sent.success(), "cannot send {} to process {}", signal.name(), self.pid());
    }

    /// Whether the process is frozen, by whomever.
    pub fn is_frozen(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The name in brackets may hold anything; the state follows it.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// The exit status, if the process has ended.
    ///
    /// # Panics
    /// When the operating system refuses to say.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child can be asked");
        }
        self.status
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    /// When it still runs after `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = holds_within(deadline, || self.exited().is_some());
        assert!(ended, "process {} still runs after {deadline:?}", self.pid());
        self.status.expect("it has ended")
    }

    /// Ends the process: SIGTERM (and SIGCONT, should it be frozen), then SIGKILL after `grace`.
    pub fn end(&mut self, grace: Duration) -> ExitStatus {
        if self.exited().is_none() {
            self.signal(Signal::Term);
            self.signal(Signal::Cont);
            if !holds_within(grace, || self.exited().is_some()) {
                self.signal(Signal::Kill);
            }
        }
        self.wait(GRACE)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(GRACE);
        if let Some(mut stdin) = self.leash.stdin.take() {
            // A leash that is gone already needs no word.
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.leash.wait();
    }
}

/// The `postroad` binary of this workspace, built once per process, in the profile and target
/// directory of the caller.
///
/// # Panics
/// When the build fails; cargo's messages are on stderr.
pub fn postroad_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build_postroad).clone()
}

fn build_postroad() -> PathBuf {
    let (target_dir, profile) = own_build();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    // Profiles without debug assertions have failpoints only where they are asked for.
    let failpoints: &[&str] = if profile == "dev" { &[] } else { &["--features", "failpoints"] };
    let output = Command::new(cargo)
        .args(["build", "--package", "postroad-ingest", "--bin", "postroad"])
        .args(failpoints)
        .args(["--message-format", "json-render-diagnostics", "--profile", &profile])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo build of postroad failed; its messages are on stderr");
    // Cargo says where the binary is: with CARGO_BUILD_TARGET or `--target` that is one directory
    // deeper.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "postroad")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the binary that it built")
}

/// The target directory and the profile of the running test: it is `<target>/<profile
/// directory>/deps/<name>-<hash>`.
fn own_build() -> (PathBuf, String) {
    let exe = env::current_exe().expect("the path of a running test is known");
    let profile_dir = exe
        .ancestors()
        .find(|dir| dir.file_name().is_some_and(|name| name == "deps" || name == "examples"))
        .and_then(Path::parent)
        .or_else(|| exe.parent())
        .expect("a binary is in a directory");
    let target_dir = profile_dir.parent().expect("a profile directory is in a target directory");
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    (target_dir.to_path_buf(), profile.to_owned())
}

/// A running `postroad`.
#[derive(Debug)]
pub struct Postroad {
    process: Process,
    port: u16,
}

impl Postroad {
    /// Starts `postroad` with `args`; stdout and stderr are appended to `log`. `port` is the one of
    /// its `[http] listen`, on 127.0.0.1.
    pub fn spawn<S: AsRef<std::ffi::OsStr>>(args: &[S], port: u16, log: &Path) -> Self {
        let process = Process::spawn(Command::new(postroad_binary()).args(args), log, None);
        Self { process, port }
    }

    /// Starts `postroad` with an order for one of its failpoints: `POINT:PASSAGE:kill`, or `freeze`
    /// instead of `kill`.
    pub fn spawn_armed<S: AsRef<std::ffi::OsStr>>(
        args: &[S],
        order: &str,
        port: u16,
        log: &Path,
    ) -> Self {
        let mut command = Command::new(postroad_binary());
        command.args(args).env("POSTROAD_FAILPOINT", order);
        Self { process: Process::spawn(&mut command, log, None), port }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.process.is_frozen()
    }

    /// The exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// When it still runs after `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        self.process.wait(deadline)
    }

    /// Status and body of `GET path`, whatever the status; `None` when there was no answer.
    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER))
            .build()
            .into();
        let mut response =
            agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_string().ok()?;
        Some((response.status().as_u16(), body))
    }

    /// Status and body of `GET path`, whatever the status.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path)
            .unwrap_or_else(|| panic!("no answer to GET {path} from port {}", self.port))
    }

    /// The samples of `/metrics`.
    ///
    /// # Panics
    /// When there is no answer, another status than 200, or a line that is not of the text format.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "GET /metrics");
        Metrics::parse(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;

    #[test]
    fn ports_are_not_handed_out_twice() {
        let ports: std::collections::BTreeSet<u16> = (0..100).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 100);
    }

    #[test]
    fn a_frozen_process_is_ended_by_drop() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let process = Process::spawn(
            Command::new("sh").args(["-c", "exec cat /dev/zero >/dev/null"]),
            &dir.path().join("log"),
            None,
        );
        process.signal(Signal::Stop);
        wait_until(GRACE, "it is frozen", || process.is_frozen());
        let pid = process.pid();
        drop(process);
        assert!(!Path::new("/proc").join(pid.to_string()).exists());
    }
}
