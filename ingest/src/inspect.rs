//! `postroad inspect`: what a store holds, as it stands, for people and for machines.
//!
//! It reads the store and asks nobody else. Whatever is damaged is shown as damaged: a store that
//! needs to be looked at is rarely whole.

pub mod grid;

use std::collections::BTreeSet;

use object_store::path::Path;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::seal::{Part, Segment};
use postroad_schemas::reject::Field;
use postroad_schemas::units::{NextOffset, Offset};
use serde_json::{Map, Value, json};

use self::grid::{Grid, Page, fields, instant};
use crate::checkpoint::chain::Surveyed;
use crate::checkpoint::envelope::{Epoch, Link, Seq};
use crate::checkpoint::format::segment::Sealed;
use crate::checkpoint::{Adopted, Checkpoint, Phase, ShardId, format, segments};
use crate::error::{Exit, Failure, Kind, chain};
use crate::publish::manifest;
use crate::store::{Store, StoreError};

/// Which dead letters to show.
#[derive(Debug, Default)]
pub struct Letters {
    /// Of this topic, or of the file of this base name.
    pub topic: Option<String>,
    /// Of this partition.
    pub partition: Option<i32>,
    /// Rejected for this reason.
    pub reason: Option<String>,
}

/// The columns that name a shard.
const NAME: [&str; 4] = ["source", "topic", "partition", "incarnation"];

/// Where every shard stands, by its newest whole checkpoint.
///
/// # Errors
/// Where the store fails.
pub async fn shards(store: &Store) -> Result<Page, Failure> {
    let mut grid = Grid::new(&NAME, &["seq", "epoch", "state", "reason"])
        .with(&["first_offset", "next_offset"])
        .with(&["consumed", "applied", "duplicates", "rejected", "ignored", "gaps", "lost"])
        .with(&["watermark", "caught_up_at", "cells", "dead_letters", "segments", "replayed"])
        .with(&["window_from", "window_hours", "window_cut", "topic_id", "released_through"])
        .with(&["lost_if_accepted", "rules", "decisions", "damage"])
        .brief(&["topic", "partition", "incarnation", "state", "reason", "next_offset"])
        .brief(&["consumed", "rejected", "lost", "watermark", "lost_if_accepted", "damage"]);
    for chain in chains(store).await? {
        let mut row = chain.row();
        if let Some(Whole { seq, epoch, checkpoint, .. }) = chain.newest() {
            let state = &checkpoint.state;
            let rules = state.rules.iter();
            let rules = rules.map(|(from, id)| json!({"from": from.get(), "is": id.to_string()}));
            let decisions = checkpoint.decisions.iter();
            let decisions = decisions.map(|Adopted { id, at, to }| {
                json!({"from": at.get(), "to": to.get(), "is": format!("{:032x}", id.0)})
            });
            row.extend(account(checkpoint));
            row.extend(fields(json!({
                "seq": seq.get(),
                "epoch": epoch.get(),
                "caught_up_at": instant(checkpoint.caught_up_at),
                "cells": state.cells.len(),
                "dead_letters": state.dead_letters.len(),
                "segments": state.sealed.len(),
                "replayed": state.replayed.len(),
                "topic_id": checkpoint.topic_id.map(|id| id.to_string()),
                "released_through": checkpoint.released_through.map(|day| day.to_string()),
                "lost_if_accepted": match checkpoint.phase {
                    Phase::Stalled { lost: Some((from, to)), .. } => json!([from.get(), to.get()]),
                    _ => Value::Null,
                },
                "window_from": state.window_begin().map(Offset::get),
                "window_hours": state.window_hours.len(),
                "window_cut": checkpoint.window_cut.map(NextOffset::get),
                "rules": list(rules),
                "decisions": list(decisions),
            })));
        }
        grid.push(row);
    }
    Ok(Page::Grid(grid))
}

/// Every object of every chain.
///
/// # Errors
/// Where the store fails.
pub async fn checkpoints(store: &Store) -> Result<Page, Failure> {
    let mut grid =
        Grid::new(&NAME, &["seq", "epoch", "link", "bytes", "next_offset", "state", "damage"]);
    for chain in chains(store).await? {
        for (seq, bytes, object) in &chain.objects {
            let mut row = chain.name();
            row.extend(fields(json!({ "seq": seq.get(), "bytes": bytes })));
            row.extend(fields(match object {
                Ok(whole) => json!({
                    "epoch": whole.epoch.get(),
                    "link": match whole.link {
                        Link::Claim => "claim",
                        Link::Commit => "commit",
                    },
                    "next_offset": whole.checkpoint.state.ledger.next.get(),
                    "state": "whole",
                }),
                Err(damage) => json!({ "state": "damaged", "damage": damage }),
            }));
            grid.push(row);
        }
    }
    Ok(Page::Grid(grid))
}

/// Every segment that the newest whole checkpoints list: what left the states because it is old.
///
/// # Errors
/// Where the store fails.
pub async fn segments(store: &Store) -> Result<Page, Failure> {
    let mut grid = Grid::new(&NAME, &["part", "epoch", "seq", "records", "state", "damage"]);
    for chain in chains(store).await? {
        let Some(Whole { checkpoint, .. }) = chain.newest() else {
            grid.push(chain.row());
            continue;
        };
        for segment in &checkpoint.state.sealed {
            let mut row = chain.name();
            let damage = sealed(store, &checkpoint.id, segment).await?.err();
            row.extend(fields(json!({
                "part": match segment.part {
                    Part::Cells(month) => format!("cells of {month}"),
                    Part::DeadLetters => "dead letters".to_owned(),
                },
                "epoch": segment.epoch,
                "seq": segment.seq,
                "records": segment.records,
                "state": if damage.is_none() { "whole" } else { "damaged" },
                "damage": damage,
            })));
            grid.push(row);
        }
    }
    Ok(Page::Grid(grid))
}

/// What a segment holds, or what is wrong with it.
async fn sealed(
    store: &Store,
    id: &ShardId,
    segment: &Segment,
) -> Result<Result<Sealed, String>, Failure> {
    match segments::load(store, id, segment).await {
        Ok(sealed) => Ok(Ok(sealed)),
        Err(error) if error.kind() == Kind::Data || error.is_not_found() => Ok(Err(chain(&error))),
        Err(error) => Err(store_failure(&error)),
    }
}

/// The account of every shard, by its newest whole checkpoint: the columns of the table.
///
/// # Errors
/// Where the store fails.
pub async fn ledger(store: &Store) -> Result<Page, Failure> {
    let mut grid = Grid::new(&NAME, &["first_offset", "next_offset"])
        .with(&["consumed", "applied", "duplicates", "rejected", "ignored", "gaps", "lost"])
        .with(&["digest", "watermark", "state", "reason", "damage"]);
    for chain in chains(store).await? {
        let mut row = chain.row();
        if let Some(Whole { checkpoint, .. }) = chain.newest() {
            row.extend(account(checkpoint));
        }
        grid.push(row);
    }
    Ok(Page::Grid(grid))
}

/// What a checkpoint says of its ledger.
fn account(checkpoint: &Checkpoint) -> Map<String, Value> {
    let ledger = &checkpoint.state.ledger;
    fields(json!({
        "first_offset": ledger.first.get(),
        "next_offset": ledger.next.get(),
        "consumed": ledger.consumed(),
        "applied": ledger.applied,
        "duplicates": ledger.duplicates,
        "rejected": ledger.rejected,
        "ignored": ledger.ignored,
        "gaps": ledger.gaps,
        "lost": ledger.lost,
        "digest": format!("{:032x}", ledger.digest),
        "watermark": instant(checkpoint.state.watermark),
        "state": checkpoint.phase.as_str(),
        "reason": checkpoint.reason(),
    }))
}

/// A publish; the newest unless its number is given.
///
/// # Errors
/// Where the store fails, or there is no such publish.
pub async fn manifest(store: &Store, publish: Option<u64>) -> Result<Page, Failure> {
    let nothing = |what: &str| Failure::new(Exit::NoInput, format!("{}: {what}", store.name()));
    let listed = list_below(store, &manifest::folder()).await?;
    let newest = listed.iter().filter_map(manifest::number).max();
    let number = publish.or(newest).ok_or_else(|| nothing("nothing is published"))?;
    let content = match store.get(&manifest::key(number)).await {
        Ok(content) => content,
        Err(error) if error.is_not_found() => {
            return Err(nothing(&format!("there is no publish {number} (any more)")));
        }
        Err(error) => return Err(store_failure(&error)),
    };
    Ok(match serde_json::from_slice::<Map<String, Value>>(&content) {
        Ok(mut shown) => {
            if let Err(damage) = manifest::Manifest::decode(&content) {
                shown.insert("damage".to_owned(), damage.into());
            }
            Page::Manifest(shown.into())
        }
        Err(error) => {
            let mut grid = Grid::new(&[], &["publish", "damage"]);
            grid.push(fields(json!({ "publish": number, "damage": error.to_string() })));
            Page::Grid(grid)
        }
    })
}

/// Where the records stand that could not be used, by the newest whole checkpoints.
///
/// # Errors
/// Where the store fails.
pub async fn dead_letters(store: &Store, wanted: &Letters) -> Result<Page, Failure> {
    let mut grid = Grid::new(&NAME, &["offset", "record_timestamp", "judged_at"])
        .with(&["reason", "field", "replayed", "damage"]);
    for chain in chains(store).await? {
        let Some(Whole { checkpoint, .. }) = chain.newest() else {
            grid.push(chain.row());
            continue;
        };
        let mut letters = checkpoint.state.dead_letters.clone();
        let parts = checkpoint.state.sealed.iter();
        for segment in parts.filter(|segment| segment.part == Part::DeadLetters) {
            match sealed(store, &checkpoint.id, segment).await? {
                Ok(Sealed::DeadLetters(more)) => letters.extend(more),
                Ok(Sealed::Cells(_)) => {}
                Err(damage) => {
                    let mut row = chain.name();
                    row.extend(fields(json!({ "damage": damage })));
                    grid.push(row);
                }
            }
        }
        letters.sort_by_key(|letter| letter.offset);
        for letter in letters.iter().filter(|letter| wanted.are(&checkpoint.id, letter)) {
            let replayed = checkpoint.state.replayed.binary_search(&letter.offset).is_ok();
            let mut row = chain.name();
            row.extend(fields(json!({
                "offset": letter.offset.get(),
                "record_timestamp": instant(letter.timestamp),
                "judged_at": instant(Some(letter.judged_at)),
                "reason": letter.reason.as_str(),
                "field": letter.field.map(Field::as_str),
                "replayed": replayed.then_some(true),
            })));
            grid.push(row);
        }
    }
    Ok(Page::Grid(grid))
}

impl Letters {
    fn are(&self, id: &ShardId, letter: &DeadLetter) -> bool {
        self.topic.as_ref().is_none_or(|topic| **topic == *id.topic)
            && self.partition.is_none_or(|partition| partition == id.partition)
            && self.reason.as_ref().is_none_or(|reason| reason == letter.reason.as_str())
    }
}

/// One chain of checkpoints: each object with its place and its length in bytes.
struct FoundChain {
    prefix: Path,
    objects: Vec<(Seq, usize, Result<Whole, String>)>,
}

/// A whole object of a chain.
struct Whole {
    seq: Seq,
    epoch: Epoch,
    link: Link,
    checkpoint: Checkpoint,
}

impl FoundChain {
    /// The newest whole object.
    fn newest(&self) -> Option<&Whole> {
        self.objects.iter().rev().find_map(|(_, _, object)| object.as_ref().ok())
    }

    /// Source, topic, partition and incarnation: as a checkpoint says, or else as the folders do.
    fn name(&self) -> Map<String, Value> {
        if let Some(Whole { checkpoint, .. }) = self.newest() {
            let ShardId { source, topic, partition, incarnation } = &checkpoint.id;
            return fields(json!({
                "source": source.as_str(), "topic": &**topic,
                "partition": partition, "incarnation": incarnation,
            }));
        }
        let parts = self.prefix.parts().skip(1);
        let named = NAME.iter().zip(parts);
        named.map(|(name, part)| ((*name).to_owned(), json!(part.as_ref()))).collect()
    }

    /// The beginning of a row: the name, and what is wrong with objects that are not whole.
    fn row(&self) -> Map<String, Value> {
        let mut row = self.name();
        let damage = self.objects.iter().rev().filter_map(|(seq, _, object)| {
            let damage = object.as_ref().err()?;
            Some(json!(format!("{}: {damage}", seq.get())))
        });
        row.insert("damage".to_owned(), list(damage));
        if self.newest().is_none() {
            row.insert("state".to_owned(), json!("unreadable"));
        }
        row
    }
}

fn open(object: &Surveyed) -> Result<Whole, String> {
    let envelope = object.envelope.as_ref().map_err(ToString::to_string)?;
    let checkpoint = format::decode(&envelope.payload).map_err(|error| error.to_string())?;
    let (seq, epoch, link) = (envelope.seq, envelope.epoch, envelope.link);
    Ok(Whole { seq, epoch, link, checkpoint })
}

/// Every chain of the store, in the order of its folders.
async fn chains(store: &Store) -> Result<Vec<FoundChain>, Failure> {
    let mut prefixes: BTreeSet<Path> = BTreeSet::new();
    for key in list_below(store, &Path::from("state")).await? {
        let parts: Vec<_> = key.parts().collect();
        prefixes.insert(parts[..parts.len() - 1].iter().cloned().collect());
    }
    let mut chains = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        let surveyed = store.chain_at(prefix.clone()).survey().await;
        let surveyed =
            surveyed.map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
        let objects = surveyed.iter().map(|object| (object.seq, object.bytes, open(object)));
        chains.push(FoundChain { prefix, objects: objects.collect() });
    }
    Ok(chains)
}

async fn list_below(store: &Store, folder: &Path) -> Result<Vec<Path>, Failure> {
    store.list(folder).await.map_err(|error| store_failure(&error))
}

/// A list, or nothing in its place where it is empty.
fn list(items: impl Iterator<Item = Value>) -> Value {
    let items: Vec<Value> = items.collect();
    if items.is_empty() { Value::Null } else { Value::Array(items) }
}

fn store_failure(error: &StoreError) -> Failure {
    Failure::from_error(Exit::of(error.kind()), error)
}

#[cfg(test)]
mod tests;
