//! What the runs came to: medians, ratios, a table.
#![expect(clippy::cast_precision_loss, reason = "figures for people, of three digits")]

use std::time::Duration;

use serde_json::{Value, json};

use crate::cpu::{CpuTime, Role};

/// One reading of everything, from the first record to the last.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Records read after the first look, with which the clock began.
    pub records: u64,
    /// Time from the first look to the last record.
    pub wall: Duration,
    /// CPU used in that time.
    pub cpu: CpuTime,
    /// Of the pipeline: time from the first look until the last checkpoint and publish were made
    /// and the group left.
    pub settled: Option<Duration>,
}

impl Run {
    fn per_second(&self) -> f64 {
        self.records as f64 / self.wall.as_secs_f64()
    }

    /// CPU of a record in nanoseconds, in one role.
    fn nanos(&self, role: Role) -> f64 {
        self.cpu.of(role) as f64 / self.records as f64
    }

    /// CPU of a record in nanoseconds, without the broker.
    fn consumer_nanos(&self) -> f64 {
        self.cpu.consumer() as f64 / self.records as f64
    }
}

/// One reading on each road, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// The drain of one shared queue.
    pub queue: Run,
    /// The drain by `BaseConsumer::poll`.
    pub poll: Run,
    /// The pipeline.
    pub pipeline: Run,
}

/// The rounds over one filling.
#[derive(Debug)]
pub struct Report {
    /// The producer's `compression.type`.
    pub compression: String,
    /// Records over all topics.
    pub records: u64,
    /// Partitions over all topics.
    pub partitions: i32,
    /// Mean length of a value in bytes.
    pub value_bytes: u64,
    /// The rounds, at least one.
    pub rounds: Vec<Round>,
}

type Pick = fn(&Round) -> &Run;

const ROADS: [(&str, Pick); 3] = [
    ("drain by queue", |round| &round.queue),
    ("drain by poll", |round| &round.poll),
    ("pipeline", |round| &round.pipeline),
];

impl Report {
    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        if figures.len().is_multiple_of(2) {
            f64::midpoint(figures[middle - 1], figures[middle])
        } else {
            figures[middle]
        }
    }

    /// The pipeline's speed against a drain's: medians of the ratios of each round.
    fn ratios(&self, drain: Pick) -> (f64, f64) {
        let wall = |round: &Round| round.pipeline.per_second() / drain(round).per_second();
        let cpu = |round: &Round| drain(round).consumer_nanos() / round.pipeline.consumer_nanos();
        (self.median(wall), self.median(cpu))
    }

    fn settled_seconds(&self) -> f64 {
        self.median(|round| round.pipeline.settled.unwrap_or_default().as_secs_f64())
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut lines = vec![
            format!(
                "{} records of {} bytes (mean) in {} partitions, {}; medians of {} rounds",
                self.records,
                self.value_bytes,
                self.partitions,
                self.compression,
                self.rounds.len()
            ),
            format!(
                "{:<16}{:>12}{:>14}   of which{:>8}{:>8}{:>8}{:>8}",
                "", "records/s", "CPU ns/record", "client", "reader", "fold", "rest"
            ),
        ];
        for (name, pick) in ROADS {
            let role = |role| self.median(|round| pick(round).nanos(role));
            lines.push(format!(
                "{name:<16}{:>12.0}{:>14.0}{:>19.0}{:>8.0}{:>8.0}{:>8.0}",
                self.median(|round| pick(round).per_second()),
                self.median(|round| pick(round).consumer_nanos()),
                role(Role::Client),
                role(Role::Reader),
                role(Role::Fold),
                role(Role::Rest),
            ));
        }
        for (name, pick) in &ROADS[..2] {
            let (wall, cpu) = self.ratios(*pick);
            lines.push(format!("pipeline against {name}: {wall:.2} of its speed, {cpu:.2} by CPU"));
        }
        lines.push(format!(
            "broker: {:.0} ns/record, in no figure above but on the same cores; last record to \
             last publish: {:.2} s",
            self.median(|round| round.pipeline.nanos(Role::Broker)),
            self.settled_seconds() - self.median(|round| round.pipeline.wall.as_secs_f64()),
        ));
        lines.join("\n")
    }

    /// Every figure of every round.
    pub fn json(&self) -> Value {
        let run = |run: &Run| {
            let cpu: serde_json::Map<_, _> = Role::ALL
                .iter()
                .map(|role| (role.as_str().to_owned(), json!(run.nanos(*role))))
                .collect();
            json!({
                "records": run.records,
                "wall_s": run.wall.as_secs_f64(),
                "records_per_s": run.per_second(),
                "cpu_ns_per_record": cpu,
                "settled_s": run.settled.map(|settled| settled.as_secs_f64()),
            })
        };
        let rounds = self.rounds.iter().map(|round| {
            let roads = ROADS.iter().map(|(name, pick)| ((*name).to_owned(), run(pick(round))));
            roads.collect::<serde_json::Map<_, _>>().into()
        });
        let ratio = |pick| {
            let (wall, cpu) = self.ratios(pick);
            json!({ "wall": wall, "cpu": cpu })
        };
        json!({
            "compression": self.compression,
            "records": self.records,
            "partitions": self.partitions,
            "value_bytes": self.value_bytes,
            "ratio_to_drain_by_queue": ratio(ROADS[0].1),
            "ratio_to_drain_by_poll": ratio(ROADS[1].1),
            "rounds": rounds.collect::<Vec<Value>>(),
        })
    }
}
