//! Who used how much CPU: the threads of this process, by what they do.
//!
//! Linux tells the time of each thread in nanoseconds, and librdkafka names its threads. So the
//! in-process broker, which shares the cores with what is measured, can be told from it.

use std::collections::HashMap;
use std::fs;

/// What a thread works for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The in-process broker: no part of what is measured.
    Broker,
    /// librdkafka's client: fetching, decompressing, checking.
    Client,
    /// Taking records out of librdkafka's queues.
    Reader,
    /// Decoding, judging and applying; freezing checkpoints.
    Fold,
    /// Everything else of the pipeline: claims, checkpoints, publishes, HTTP.
    Rest,
}

impl Role {
    /// All roles, in the order in which a record meets them.
    pub const ALL: [Self; 5] = [Self::Broker, Self::Client, Self::Reader, Self::Fold, Self::Rest];

    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Client => "client",
            Self::Reader => "reader",
            Self::Fold => "fold",
            Self::Rest => "rest",
        }
    }

    fn of_thread(name: &str) -> Self {
        match name {
            "rdk:mock" => Self::Broker,
            DRAIN_THREAD | "kafka-poll" => Self::Reader,
            name if name.starts_with("rdk:") => Self::Client,
            name if name.starts_with("worker-") => Self::Fold,
            _ => Self::Rest,
        }
    }
}

/// The name of the thread on which a drain reads.
pub(crate) const DRAIN_THREAD: &str = "drain";

/// The time that each thread has used so far; the main thread, which only looks on, is left out.
#[derive(Debug, Default)]
pub struct Snapshot(HashMap<u32, (Role, u64)>);

impl Snapshot {
    /// Looks at every thread that is alive.
    pub fn take() -> Self {
        let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Self::default() };
        let main = std::process::id();
        let threads = tasks.filter_map(|task| {
            let task = task.ok()?;
            let id: u32 = task.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanos = times.split_whitespace().next()?.parse().ok()?;
            (id != main).then_some((id, (Role::of_thread(name.trim_end()), nanos)))
        });
        Self(threads.collect())
    }

    /// What was used since an earlier snapshot, by the threads that are alive in this one.
    pub fn since(&self, earlier: &Self) -> CpuTime {
        let mut used = CpuTime::default();
        for (id, (role, nanos)) in &self.0 {
            let before = earlier.0.get(id).map_or(0, |(_, nanos)| *nanos);
            used.nanos[*role as usize] += nanos.saturating_sub(before);
        }
        used
    }
}

/// Nanoseconds of CPU by role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    nanos: [u64; Role::ALL.len()],
}

impl CpuTime {
    /// What one role used, in nanoseconds.
    pub fn of(&self, role: Role) -> u64 {
        self.nanos[role as usize]
    }

    /// What all but the broker used, in nanoseconds.
    pub fn consumer(&self) -> u64 {
        self.nanos.iter().sum::<u64>() - self.of(Role::Broker)
    }
}
