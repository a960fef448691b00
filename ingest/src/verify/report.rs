//! What a verification has shown, as lines for people and as one object for machines.

use std::sync::Arc;

use serde_json::{Value, json};

use super::compare::Difference;
use super::repeats::Repeats;
use super::shards::ShardReport;
use super::tables::{TableReport, TablesProof};

/// Event ids that stand in more than one partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRepeats {
    /// The topic.
    pub topic: Arc<str>,
    /// How many, of those looked at.
    pub ids: usize,
    /// One id in so many was looked at.
    pub one_in: u64,
}

impl TopicRepeats {
    pub(super) fn of(topic: Arc<str>, repeats: &Repeats) -> Self {
        Self { topic, ids: repeats.repeated(), one_in: repeats.one_in() }
    }
}

/// What a verification has shown.
#[derive(Debug, Default)]
pub struct Report {
    /// The newest publish, if there is any.
    pub publish: Option<u64>,
    /// Every shard.
    pub shards: Vec<ShardReport>,
    /// The tables of the publish.
    pub tables: TablesProof,
    /// Whether the folder of the reference data is faulty, so that what the store keeps stands in.
    pub reference_stands_in: bool,
    /// Ids across the partitions of each topic. No difference: producers are to key stably.
    pub repeats: Vec<TopicRepeats>,
}

impl Report {
    /// Everything that is not as it ought to be.
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.shards.iter().flat_map(|shard| &shard.differences).chain(&self.tables.differences)
    }

    /// Whether nothing of any shard could be read again.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.proven.is_none())
    }

    /// One line, for whoever reads no other.
    pub fn verdict(&self) -> String {
        let publish = match self.publish {
            Some(number) => format!("publish {number}"),
            None => "the store, which holds no publish,".to_owned(),
        };
        let (differences, unread) = (self.differences().count(), self.unread());
        match (differences, unread) {
            (1.., _) => format!("{publish} differs: {}", count(differences, "difference")),
            _ if self.is_empty() => {
                format!("{publish} was not proved: nothing of its log could be read again")
            }
            (0, 0) => format!(
                "{publish} agrees with the log, which was read again from its beginning{}",
                self.but()
            ),
            (0, shards) => format!(
                "{publish} agrees with what can be read again; of {} that is not all{}",
                count(shards, "shard"),
                self.but()
            ),
        }
    }

    /// What an agreement does not cover.
    fn but(&self) -> String {
        match self.tables.tables.values().map(|report| report.uncompared).sum() {
            0 => String::new(),
            rows => format!("; {} were not compared", count(rows, "row")),
        }
    }

    /// Shards of which something could not be read again.
    fn unread(&self) -> usize {
        self.shards.iter().filter(|shard| shard.unread.is_some()).count()
    }

    /// A line for each shard, table and topic, then the differences, then the verdict.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = self.shards.iter().map(shard_line).collect();
        for (table, report) in &self.tables.tables {
            lines.push(table_line(table, report));
        }
        if self.reference_stands_in {
            let line = "the folder of the reference data is faulty (`postroad check` says where); what \
                        the store keeps stands in";
            lines.push(line.to_owned());
        }
        if self.tables.other_names {
            let line = "names, lights and what they are held against were not compared: the store does \
                         not keep the reference data of the publish, and those of the configuration \
                         are others; restore its references/, or set reference.dir to the folder that \
                         was in use";
            lines.push(line.to_owned());
        }
        if self.tables.lost_days > 0 {
            let days = count(self.tables.lost_days, "frozen day");
            lines.push(format!("indicators of {days} are lost: neither copy of them was left"));
        }
        for TopicRepeats { topic, ids, one_in } in &self.repeats {
            let share = if *one_in > 1 {
                format!(" (memory is bounded: one id in {one_in} was looked at)")
            } else {
                String::new()
            };
            let ids = count(*ids, "event id");
            lines.push(format!("{topic} {ids} in more than one partition{share}"));
        }
        for difference in self.differences() {
            lines.push(format!("DIFFERENCE {difference}"));
        }
        lines.push(self.verdict());
        lines.join("\n") + "\n"
    }

    /// The same as one object.
    pub fn to_json(&self) -> Value {
        let shards: Vec<Value> = self.shards.iter().map(shard_json).collect();
        let tables: Vec<Value> = self
            .tables
            .tables
            .iter()
            .map(|(table, report)| {
                json!({
                    "table": table, "files": report.files, "rows": report.rows,
                    "not_compared": report.uncompared, "differences": report.differences,
                })
            })
            .collect();
        let repeats: Vec<Value> = self
            .repeats
            .iter()
            .map(|repeats| {
                json!({ "topic": &*repeats.topic, "ids": repeats.ids, "one_in": repeats.one_in })
            })
            .collect();
        json!({
            "publish": self.publish,
            "agrees": self.differences().next().is_none(),
            "whole": self.unread() == 0,
            "names_compared": !self.tables.other_names,
            "lost_days": self.tables.lost_days,
            "shards": shards,
            "tables": tables,
            "ids_in_several_partitions": repeats,
            "differences": self.differences().collect::<Vec<_>>(),
        })
    }
}

fn table_line(table: &str, report: &TableReport) -> String {
    let TableReport { files, rows, uncompared, differences } = *report;
    let outcome = match (differences, uncompared) {
        (0, uncompared) if uncompared == rows && rows > 0 => "not compared".to_owned(),
        (0, 0) => "agrees".to_owned(),
        (0, uncompared) => format!("agrees, but {} not compared", count(uncompared, "row")),
        (differences, 0) => count(differences, "difference"),
        (differences, uncompared) => format!(
            "{}, and {} not compared",
            count(differences, "difference"),
            count(uncompared, "row")
        ),
    };
    format!("{table} {} in {}: {outcome}", count(rows, "row"), count(files, "file"))
}

fn shard_line(report: &ShardReport) -> String {
    let ShardReport { id, newest, proven, consumed, unread, differences, .. } = report;
    let mut parts = Vec::new();
    if let Some((from, to)) = proven {
        let is_digest = |difference: &Difference| difference.column == "digest";
        let digest = if differences.iter().any(is_digest) { "differs" } else { "agrees" };
        parts.push(format!("offsets [{from}, {to}) {consumed} consumed, digest {digest}"));
    } else if let Some((_, newest)) = newest {
        let ledger = &newest.state.ledger;
        parts.push(format!("offsets [{}, {}) not read again", ledger.first, ledger.next));
    }
    parts.extend(unread.clone());
    if !differences.is_empty() {
        parts.push(count(differences.len(), "difference"));
    }
    format!("{id} {}", parts.join("; "))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn shard_json(report: &ShardReport) -> Value {
    let id = &report.id;
    let checkpoint = report.newest.as_ref();
    let ledger = checkpoint.map(|(_, newest)| &newest.state.ledger);
    json!({
        "source": id.source.as_str(),
        "topic": &*id.topic,
        "partition": id.partition,
        "incarnation": id.incarnation,
        "seq": checkpoint.map(|(seq, _)| seq.get()),
        "first_offset": ledger.map(|ledger| ledger.first.get()),
        "next_offset": ledger.map(|ledger| ledger.next.get()),
        "proven": report.proven.map(|(from, to)| [from.get(), to.get()]),
        "consumed": report.consumed,
        "unread": report.unread,
        "differences": report.differences.len(),
    })
}
