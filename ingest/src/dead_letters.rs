//! `postroad dead-letters replay`: rejected records that would be accepted today, counted after all.
//!
//! After a prefecture was added to the codebook, say, the records that had named it are in the log
//! still, and in `dead_letters`. This reads them again by their coordinates, judges them by the rules
//! of the configuration, shows which cells would move and by how much, and records that as a decision,
//! which the owner of the shard adopts once. Of Kafka it reads the log and nothing else; the store gains
//! one object for each partition.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use postroad_aggregate::event::{CellKey, IdKey};
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::replay::{Proposal, Proposed};
use postroad_schemas::reject::Reason;
use postroad_schemas::units::{NextOffset, Offset, Timestamp};
use serde_json::{Value, json};

use crate::checkpoint::segments::Unsealed;
use crate::checkpoint::{Checkpoint, Phase, ShardId};
use crate::clock::now;
use crate::config::Config;
use crate::decide::newest_life;
use crate::decisions::{self, Decision, Recorded, ReplayRecord};
use crate::error::{Exit, Failure, chain};
use crate::inspect::grid::{Grid, fields};
use crate::offload::offload;
use crate::run::prepare::kafka_settings;
use crate::source::kafka::{
    KafkaQueries, LogReader, QUERY_TIMEOUT, QueryError, RereadError, SourceError, TopicPartition,
};
use crate::store::{Store, StoreError};

/// Which records to look at, and what to do.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The topic.
    pub topic: String,
    /// The partition; every partition of the topic unless given.
    pub partition: Option<i32>,
    /// Only records that were rejected for one of these; all of them if there is none.
    pub rejected_for: Vec<Reason>,
    /// Only records at one of these offsets; all of them if there is none.
    pub offsets: Vec<i64>,
    /// Why they are to count, in the operator's words; nothing is recorded without.
    pub reason: Option<String>,
}

/// What a replay does, or would do, to each partition.
#[derive(Debug)]
pub struct ReplayReport {
    partitions: Vec<PartitionReport>,
}

#[derive(Debug)]
struct PartitionReport {
    tp: TopicPartition,
    shard: ShardId,
    /// Dead letters that had been replayed before.
    after: usize,
    /// The offsets of those that were asked for.
    dead_letters: BTreeSet<Offset>,
    proposed: Proposed,
    /// The key of the decision; none in a dry run, or where nothing would change.
    decision: Option<String>,
}

/// Works out a replay and, if it has a reason, records it.
///
/// # Errors
/// Where the store or the brokers fail, or the store holds no checkpoint of a partition.
pub async fn replay(config: &Config, options: &ReplayOptions) -> Result<ReplayReport, Failure> {
    let location = &config.store.location;
    let store = Store::open_existing(location)
        .await
        .map_err(|error| store_failure(&error))?
        .ok_or_else(|| {
            let message = format!("{location}: there is no store; check store.url");
            Failure::new(Exit::NoInput, message)
        })?;
    let settings = kafka_settings(config);
    let log = Arc::new(Log {
        queries: KafkaQueries::new(&settings).map_err(|error| client_failure(&error))?,
        reader: LogReader::new(&settings).map_err(|error| client_failure(&error))?,
    });
    let partitions = match options.partition {
        Some(partition) => partition..partition + 1,
        None => 0..log.partitions(&options.topic)?,
    };
    let mut report = ReplayReport { partitions: Vec::new() };
    for partition in partitions {
        let tp = TopicPartition::new(&*options.topic, partition);
        report.partitions.push(propose(&store, config, options, tp, &log).await?);
    }
    report.has_all(options)?;
    // Nothing is recorded before all of it is known.
    if let Some(reason) = &options.reason {
        for partition in &mut report.partitions {
            partition.decision = partition.record(&store, reason).await?;
        }
    }
    Ok(report)
}

/// What a replay would do to a partition.
async fn propose(
    store: &Store,
    config: &Config,
    options: &ReplayOptions,
    tp: TopicPartition,
    log: &Arc<Log>,
) -> Result<PartitionReport, Failure> {
    let checkpoint = newest_life(store, &tp.topic, tp.partition).await?;
    log.is_of(&checkpoint)?;
    let letters = dead_letters(store, &checkpoint).await?;
    let (wanted, passed_over): (Vec<_>, Vec<_>) =
        letters.into_iter().partition(|letter| options.asks_for(letter));
    let offsets = |letters: &[DeadLetter]| -> BTreeSet<Offset> {
        letters.iter().map(|letter| letter.offset).collect()
    };
    let rules = Arc::new(config.rules.clone());
    let contract = checkpoint.state.contract;
    let dead_letters = offsets(&wanted);
    let proposal = Proposal::new(contract, rules, IdKey(rand::random()), dead_letters.clone())
        .judged_at(now())
        .passing_over(offsets(&passed_over));
    let span = wanted.first().map(|first| first.offset).zip(wanted.last().map(|last| last.offset));
    let times = wanted.iter().map(|letter| (letter.offset, letter.timestamp)).collect();
    let (log, of, next) = (Arc::clone(log), tp.clone(), checkpoint.state.ledger.next);
    let proposed = match span {
        None => proposal.finish(),
        Some(span) => offload(move || log.read_twice(&of, span, next, &times, proposal))
            .await
            .map_err(|error| Failure::new(Exit::Software, error.to_string()))??,
    };
    let (shard, after) = (checkpoint.id, checkpoint.state.replayed.len());
    Ok(PartitionReport { tp, shard, after, dead_letters, proposed, decision: None })
}

/// Every dead letter of a shard that counts nowhere, by offset.
async fn dead_letters(store: &Store, checkpoint: &Checkpoint) -> Result<Vec<DeadLetter>, Failure> {
    let mut unsealed = Unsealed::default();
    let id = &checkpoint.id;
    unsealed.update(store, id, &checkpoint.state.sealed).await.map_err(|error| {
        let message = format!("{id}: its dead letters are not known: {}", chain(&error));
        Failure::new(error.exit(), message)
    })?;
    Ok(unsealed.whole(&checkpoint.state).dead_letters)
}

impl ReplayOptions {
    fn asks_for(&self, letter: &DeadLetter) -> bool {
        (self.rejected_for.is_empty() || self.rejected_for.contains(&letter.reason))
            && (self.offsets.is_empty() || self.offsets.contains(&letter.offset.get()))
    }
}

/// The brokers, asked and read without a group.
struct Log {
    queries: KafkaQueries,
    reader: LogReader,
}

impl Log {
    fn partitions(&self, topic: &str) -> Result<i32, Failure> {
        let counts = self.queries.partition_counts(&[topic.to_owned()], QUERY_TIMEOUT);
        counts.map_err(|error| query_failure(topic, &error))?.get(topic).copied().ok_or_else(|| {
            let message = format!("{topic}: the brokers do not have this topic; check --topic");
            Failure::new(Exit::DataErr, message)
        })
    }

    /// Finds that the log is the one that a shard reads. The offsets of a topic that was made anew are
    /// those of other records.
    fn is_of(&self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let id = &checkpoint.id;
        let refused =
            |why: &str| Failure::new(Exit::DataErr, format!("{id}: {why}; nothing was decided"));
        if checkpoint.phase != Phase::Running {
            let reason = checkpoint.reason().unwrap_or_default();
            return Err(refused(&format!(
                "it is {} ({reason}), and only what runs adopts a replay; see `postroad decide`",
                checkpoint.phase.as_str()
            )));
        }
        // Brokers that have never told it cannot be asked.
        let Some(was) = checkpoint.topic_id else { return Ok(()) };
        let is = self.queries.topic_id(&id.topic, QUERY_TIMEOUT);
        match is.map_err(|error| query_failure(id, &error))? {
            Some(is) if is != was => Err(refused(&format!(
                "the topic was made anew since (its id was {was}, and is {is}), so that what was \
                 rejected cannot be read any more"
            ))),
            _ => Ok(()),
        }
    }

    /// Reads the log for the records that are wanted, `[first, last]` and no others, and then, up to
    /// its end, for those that repeat them.
    fn read_twice(
        &self,
        tp: &TopicPartition,
        (first, last): (Offset, Offset),
        next: NextOffset,
        times: &BTreeMap<Offset, Option<Timestamp>>,
        mut proposal: Proposal,
    ) -> Result<Proposed, Failure> {
        let marks = self.queries.watermarks(tp, QUERY_TIMEOUT);
        let (low, high) = marks.map_err(|error| query_failure(tp, &error))?;
        let (low, high) = (NextOffset::new(low), NextOffset::new(high));
        if high < next {
            let message = format!(
                "{tp}: the log ends at offset {high}, but had been read up to {next}: it was truncated \
                 or the topic was recreated; nothing was decided"
            );
            return Err(Failure::new(Exit::DataErr, message));
        }
        let failed = |error: RereadError| {
            let message = format!("{}; nothing was decided", chain(&error));
            Failure::new(Exit::Unavailable, message)
        };
        let mut stranger = None;
        self.reader
            .read(tp, low.max(first.into()), last.next(), |record| {
                let known = times.get(&record.offset).copied().flatten();
                if record.timestamp.is_some() && known.is_some() && record.timestamp != known {
                    stranger = Some(record.offset);
                    return ControlFlow::Break(());
                }
                proposal.find(record);
                ControlFlow::Continue(())
            })
            .map_err(failed)?;
        if let Some(offset) = stranger {
            let message = format!(
                "{tp}: the record at offset {offset} is not the one that was rejected there, by its \
                 timestamp: the log was altered, or is another's; nothing was decided"
            );
            return Err(Failure::new(Exit::DataErr, message));
        }
        self.reader
            .read(tp, low, high, |record| {
                proposal.compare(record);
                ControlFlow::Continue(())
            })
            .map_err(failed)?;
        Ok(proposal.finish())
    }
}

impl ReplayReport {
    /// Finds that there is a dead letter at each offset that was asked for.
    fn has_all(&self, options: &ReplayOptions) -> Result<(), Failure> {
        let found: BTreeSet<i64> =
            self.partitions.iter().flat_map(|of| &of.dead_letters).map(|at| at.get()).collect();
        let missing: Vec<String> = options
            .offsets
            .iter()
            .filter(|offset| !found.contains(offset))
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{}: no dead letter that counts nowhere yet and was rejected for what --rejected-for says is at \
             offset {}; see `postroad inspect dead-letters`; nothing was decided",
            options.topic,
            missing.join(", ")
        );
        Err(Failure::new(Exit::DataErr, message))
    }

    /// For people: a line for each partition, then the cells that move.
    pub fn to_text(&self) -> String {
        let mut partitions = Grid::new(&["topic", "partition", "dead_letters", "applied"], &[])
            .with(&["duplicates", "rejected", "missing", "decision"]);
        for partition in &self.partitions {
            partitions.push(fields(partition.to_json()));
        }
        let mut cells = Grid::new(&["business_date", "prefecture_code", "product_code"], &[])
            .with(&["events", "volume", "revenue_fen", "balance_fen"]);
        let moved = self.moved_cells();
        for cell in &moved {
            cells.push(fields(cell_json(cell)));
        }
        let moved = if moved.is_empty() { "no cell moves\n".to_owned() } else { cells.to_text() };
        [partitions.to_text(), moved].join("\n")
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        json!({
            "partitions": self.partitions.iter().map(PartitionReport::to_json).collect::<Vec<_>>(),
            "cells": self.moved_cells().iter().map(cell_json).collect::<Vec<_>>(),
        })
    }

    /// What every cell gains over all partitions.
    fn moved_cells(&self) -> Vec<(CellKey, Measures)> {
        let mut sum: BTreeMap<CellKey, Measures> = BTreeMap::new();
        for (key, measures) in self.partitions.iter().flat_map(|of| &of.proposed.replay.cells) {
            *sum.entry(*key).or_default() += measures;
        }
        sum.into_iter().collect()
    }
}

impl PartitionReport {
    /// Records the decision, where anything would change, and returns its key.
    async fn record(&self, store: &Store, reason: &str) -> Result<Option<String>, Failure> {
        if self.proposed.replay.offsets().is_empty() {
            return Ok(None);
        }
        let decision = Decision::Replay(ReplayRecord::new(&self.proposed.replay, self.after));
        let recorded = Recorded { decision, reason: reason.to_owned(), decided_at: now() };
        let key = decisions::record(store, &self.shard, &recorded).await;
        let failed = |error: StoreError| {
            let message = format!("{}: nothing was decided: {}", self.shard, chain(&error));
            Failure::new(error.exit(), message)
        };
        Ok(Some(key.map_err(failed)?.to_string()))
    }

    fn to_json(&self) -> Value {
        let mut rejected: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, reject) in &self.proposed.rejected {
            *rejected.entry(reject.reason.as_str()).or_default() += 1;
        }
        let rejected: Vec<_> = rejected
            .into_iter()
            .map(|(reason, records)| json!({ "reason": reason, "records": records }))
            .collect();
        json!({
            "topic": &*self.tp.topic,
            "partition": self.tp.partition,
            "dead_letters": self.dead_letters.len(),
            "applied": self.proposed.replay.applied.len(),
            "duplicates": self.proposed.replay.duplicates.len(),
            "rejected": rejected,
            "missing": self.proposed.missing.len(),
            "decision": self.decision,
        })
    }
}

fn cell_json((key, measures): &(CellKey, Measures)) -> Value {
    json!({
        "business_date": key.day.to_string(),
        "prefecture_code": key.prefecture.to_string(),
        "product_code": key.product.as_str(),
        "events": measures.events,
        "volume": measures.volume,
        "revenue_fen": measures.revenue.get(),
        "balance_fen": measures.balance.get(),
    })
}

fn store_failure(error: &StoreError) -> Failure {
    Failure::from_error(error.exit(), error)
}

fn query_failure(about: impl std::fmt::Display, error: &QueryError) -> Failure {
    let message = format!(
        "{about}: {}; check kafka.brokers, and the rights of its user; nothing was decided",
        chain(error)
    );
    Failure::new(Exit::Unavailable, message)
}

fn client_failure(error: &SourceError) -> Failure {
    let message = format!("kafka.properties: {}; see `postroad check`", chain(error));
    Failure::new(Exit::Config, message)
}
