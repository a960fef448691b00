//! What the witness knows of publishes and of the files that readers read: S3 and S4.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;
use postroad_aggregate::ledger::Ledger;
use postroad_aggregate::merge::Rollup;
use postroad_ingest::checkpoint::ShardId;
use postroad_ingest::publish::manifest::Manifest;
use postroad_ingest::publish::parquet_file::file_hash;
use postroad_schemas::units::Timestamp;

use super::Broken;
use super::chains::{Chains, Object};
use crate::oracle::{OracleCell, OracleKey, OracleShard};
use crate::pair::oracle_cells;
use crate::sim::journal::Journal;
use crate::tables::{OracleShards, RestatementRow, Tables};

/// All publishes of a store.
pub(super) struct Publishes {
    journal: Journal,
    newest: Option<Published>,
    /// The hashes that any manifest gives for a file.
    described: BTreeMap<String, BTreeSet<String>>,
    /// What the files are now.
    files: BTreeMap<String, (String, Bytes)>,
    /// Every final cell that a publish moved.
    restated: Vec<RestatementRow>,
}

struct Published {
    manifest: Manifest,
    shards: OracleShards,
    /// All cells that it shows.
    cells: BTreeMap<OracleKey, OracleCell>,
    compared: bool,
}

impl Publishes {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            newest: None,
            described: BTreeMap::new(),
            files: BTreeMap::new(),
            restated: Vec::new(),
        }
    }

    /// A manifest was created.
    pub(super) fn manifest(&mut self, content: &Bytes, chains: &mut Chains) -> Result<(), Broken> {
        let broken = |why: &str| format!("S3: {why}");
        let manifest: Manifest =
            serde_json::from_slice(content).map_err(|error| broken(&error.to_string()))?;
        let number = manifest.publish;
        let broken = |why: String| format!("S3: publish {number}: {why}");
        let before = self.newest.as_ref().map(|newest| &newest.manifest);
        check_line(before, &manifest).map_err(broken)?;
        let (mut shards, mut rollup) = (OracleShards::new(), Rollup::default());
        for entry in &manifest.shards {
            let (Some(seq), Some(next)) = (entry.seq, entry.next_offset) else { continue };
            let shown = chains.published(&entry.id(), seq, next);
            let shown = shown.map_err(|why| broken(format!("{}: {why}", entry.id())))?;
            rollup.add(&shown.state.cells);
            shards.extend([expected(&shown)]);
        }
        let cells = oracle_cells(rollup.cells());
        self.journal.count("publishes");
        if let Some(before) = &self.newest {
            let moved = restatements(before, &cells, number);
            for _ in &moved {
                self.journal.count("final cells restated");
            }
            self.restated.extend(moved);
        }
        for (key, entry) in &manifest.files {
            self.described.entry(key.clone()).or_default().insert(entry.file_hash.clone());
        }
        self.newest = Some(Published { manifest, shards, cells, compared: false });
        self.compare_if_whole()
    }

    /// A table file was put in its place.
    pub(super) fn file(&mut self, key: &str, content: &Bytes) -> Result<(), Broken> {
        let hash = format!("{:032x}", file_hash(content));
        if !self.described.get(key).is_some_and(|hashes| hashes.contains(&hash)) {
            return Err(format!("S4: no manifest describes the file {key}"));
        }
        self.files.insert(key.to_owned(), (hash, content.clone()));
        self.compare_if_whole()
    }

    /// A table file was deleted.
    pub(super) fn file_deleted(&mut self, key: &str) -> Result<(), Broken> {
        self.files.remove(key);
        self.compare_if_whole()
    }

    /// Why the files are not those of the newest manifest.
    fn differing_file(&self) -> Option<String> {
        let Some(newest) = &self.newest else { return Some("nothing was published".to_owned()) };
        let described = &newest.manifest.files;
        let differs = described.iter().find(|(key, entry)| {
            self.files.get(*key).is_none_or(|(hash, _)| *hash != entry.file_hash)
        });
        let stray = self.files.keys().find(|key| !described.contains_key(*key));
        let key = differs.map(|(key, _)| key).or(stray)?;
        Some(format!("{key} is not as publish {} says", newest.manifest.publish))
    }

    fn compare_if_whole(&mut self) -> Result<(), Broken> {
        if self.newest.as_ref().is_none_or(|newest| newest.compared)
            || self.differing_file().is_some()
        {
            return Ok(());
        }
        let Some(newest) = &mut self.newest else { return Ok(()) };
        newest.compared = true;
        self.journal.count("tables compared");
        let files = self.files.iter().map(|(key, (_, content))| (key.into(), content.clone()));
        let files: Vec<(PathBuf, Bytes)> = files.collect();
        let number = newest.manifest.publish;
        let tables =
            Tables::of(&files).map_err(|fault| format!("S4: publish {number}: {fault}"))?;
        self.restated.sort();
        if tables.restatements != self.restated {
            let (found, expected) = (&tables.restatements, &self.restated);
            return Err(format!(
                "S8: publish {number}: restatements are {found:?}, expected {expected:?}"
            ));
        }
        match tables.differences(&newest.shards).first() {
            Some(first) => Err(format!("S4: publish {number}: {first}")),
            None => Ok(()),
        }
    }

    /// Why the tables do not show what the newest checkpoints hold; nothing if they do. Their places in
    /// the chain may differ: a claim that was under way at a stop may land after the last publish, and
    /// holds what the object before it held.
    pub(super) fn unfinished(&self, chains: &Chains) -> Option<String> {
        if let Some(differs) = self.differing_file() {
            return Some(differs);
        }
        let newest = self.newest.as_ref()?;
        let number = newest.manifest.publish;
        chains.shards().find_map(|id| {
            let (shard, content) = expected(chains.newest(id)?);
            let Some(shown) = newest.shards.get(&shard) else {
                return Some(format!("publish {number} does not show {id}"));
            };
            (*shown != content).then(|| {
                let (shown, next) = (shown.next_offset, content.next_offset);
                format!(
                    "publish {number} shows {id} up to {shown}, its newest checkpoint holds {next}"
                )
            })
        })
    }
}

/// The cells of days that had been final which a publish shows otherwise than the one before.
fn restatements(
    before: &Published,
    now: &BTreeMap<OracleKey, OracleCell>,
    publish: u64,
) -> Vec<RestatementRow> {
    let Some(last) = before.manifest.final_through else { return Vec::new() };
    let last = last.to_string();
    let final_cells = now.iter().filter(|(key, _)| key.0 <= last);
    let publish = i64::try_from(publish).expect("few publishes");
    let moved = final_cells.filter_map(|(key, after)| {
        let before = before.cells.get(key).cloned().unwrap_or_default();
        let (key, after) = (key.clone(), after.clone());
        (before != after).then_some(RestatementRow { publish, key, before, after })
    });
    moved.collect()
}

/// Whether a publish goes on from the one before, and takes nothing back.
fn check_line(before: Option<&Manifest>, now: &Manifest) -> Result<(), String> {
    let expected = before.map_or(1, |before| before.publish + 1);
    if now.publish != expected {
        return Err(format!("it ought to be publish {expected}"));
    }
    let Some(before) = before else { return Ok(()) };
    let goes_back = now.complete_without_through < before.complete_without_through
        || now.complete_through < before.complete_through
        || now.final_through < before.final_through;
    if goes_back {
        return Err("the status of a day goes back".to_owned());
    }
    for old in &before.shards {
        let found = now.shards.iter().find(|new| new.id() == old.id());
        let new = found.ok_or_else(|| format!("{} is lost", old.id()))?;
        if new.seq < old.seq || new.next_offset < old.next_offset {
            return Err(format!("{} goes back from {:?} to {:?}", old.id(), old.seq, new.seq));
        }
    }
    Ok(())
}

/// What the tables ought to show of a shard: its checkpoint was compared with the log when it landed.
fn expected(shard: &Object) -> ((String, i32), OracleShard) {
    let state = &shard.state;
    let Ledger { first, next, applied, duplicates, rejected, ignored, gaps, lost, .. } =
        &state.ledger;
    let count = |n: &u64| i64::try_from(*n).expect("short logs");
    let mut oracle = OracleShard::new(state.contract.as_str(), first.get());
    oracle.cells = oracle_cells(&state.cells);
    oracle.next_offset = next.get();
    oracle.consumed = count(&state.ledger.consumed());
    oracle.applied = count(applied);
    oracle.duplicates = count(duplicates);
    oracle.rejected = count(rejected);
    oracle.ignored = count(ignored);
    oracle.gaps = count(gaps);
    oracle.lost = count(lost);
    oracle.watermark_micros = state.watermark.map(Timestamp::as_micros);
    let letters = state.dead_letters.iter().map(|letter| {
        let at = letter.timestamp.map(Timestamp::as_micros);
        (letter.offset.get(), at, letter.reason.as_str().to_owned(), None)
    });
    oracle.rejects = letters.collect();
    let ShardId { topic, partition, incarnation, .. } = &shard.standing.id;
    let life = if *incarnation == 0 { String::new() } else { format!("#{incarnation}") };
    ((format!("{topic}{life}"), *partition), oracle)
}
