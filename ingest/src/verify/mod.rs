//! `postroad verify`: reads the log again and proves that the store says what the log says.
//!
//! Three things are compared. The *log*, read by a consumer of its own without a group, is folded
//! again by the real core, as the checkpoints say it was folded ([`refold`]). The *checkpoints* of
//! every shard must hold what that makes: each term of the ledger and its digest, every cell, shard
//! time, the window and every dead letter (promises P1 and P2; a gap is proven by not being
//! delivered). The *tables* of the newest publish must be what the checkpoints make that it shows
//! ([`tables`]), file by file and row by row.
//!
//! Nothing is written, neither to the store nor to Kafka, so it works beside running instances: what
//! they add meanwhile lies beyond the boundaries that are compared.
//!
//! Which days are complete and final depends on the clocks of the shards that a publish shows, and on
//! the publish before (`horizon.rs`); where those are not kept any more the manifest is believed.
//!
//! What retention has deleted cannot be read again. The fold then begins with the oldest checkpoint
//! from which the log still goes on, and the report says which offsets were proven and which were not.

mod chain;
pub mod compare;
mod horizon;
mod lights;
pub mod log;
mod pinned;
mod recorded;
mod references;
pub mod refold;
pub mod repeats;
pub mod report;
pub mod sealed;
pub mod shards;
mod sources;
pub mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use postroad_aggregate::event::IdKey;
use postroad_aggregate::shard::ShardState;
use postroad_schemas::units::{NextOffset, Span};

use self::compare::Differences;
use self::pinned::{Pinned, pin};
use self::references::read_references;
use self::repeats::Repeats;
use self::report::{Report, TopicRepeats};
use self::shards::{Attempt, Bench, ShardReport, Shown};
use self::sources::Sources;
use self::tables::{TablesProof, compare_tables};
use crate::checkpoint::envelope::Seq;
use crate::checkpoint::segments::Unsealed;
use crate::checkpoint::{Checkpoint, Phase, ShardId, Source, Standing};
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::publish::PublishSettings;
use crate::publish::draft::Loaded;
use crate::publish::manifest::ShardEntry;
use crate::reference::ReferenceSet;
use crate::store::{Store, StoreError};

/// How often a shard is begun anew because retention was faster.
const ATTEMPTS: u32 = 3;

/// How to verify.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// How long a publisher that is replacing files is waited for.
    pub patience: Duration,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { patience: Duration::from_secs(10) }
    }
}

/// Reads the log again and compares.
///
/// # Errors
/// Where the store or the log cannot be read. A difference is no error, but in the report.
pub async fn verify(config: &Config, options: VerifyOptions) -> Result<Report, Failure> {
    let store = open_store(config).await?;
    let mut report =
        Report { reference_stands_in: config.reference.stands_in(), ..Report::default() };
    let sources = Sources::open(config, &store, &mut report.tables.differences).await?;
    let (number, pinned) = pin(&store, options.patience, &mut report.tables.differences).await?;
    report.publish = number;
    let bench = Bench {
        store: &store,
        rules: Arc::new(config.rules.clone()),
        keep: config.checkpoint.keep,
        id_key: IdKey(rand::random()),
        bar: progress_bar(),
    };
    let mut ids: BTreeSet<ShardId> = sources.partitions();
    ids.extend(pinned.iter().flat_map(|pinned| pinned.manifest.shard_ids()));
    let mut repeats = Repeats::default();
    while let Some(id) = ids.pop_first() {
        bench.bar.set_message(id.to_string());
        let shard = check_shard(&bench, &sources, pinned.as_ref(), &id, &mut repeats).await?;
        if shard.is_closed() && id.source == Source::Kafka {
            ids.insert(id.next_incarnation());
        }
        report.shards.push(shard);
        if ids.first().is_none_or(|next| next.topic != id.topic) {
            report.repeats.push(TopicRepeats::of(id.topic, &std::mem::take(&mut repeats)));
        }
    }
    bench.bar.finish_and_clear();
    if let Some(pinned) = &pinned {
        let mut kept = read_references(&store, pinned).await?;
        let reference = kept.set.unwrap_or_else(|| Arc::clone(config.reference.set()));
        let mut tables = check_tables(config, reference, pinned, &report.shards)?;
        tables.differences.append(&mut kept.differences);
        tables.differences.append(&mut report.tables.differences);
        report.tables = tables;
    }
    Ok(report)
}

/// Opens the store without making or changing anything.
async fn open_store(config: &Config) -> Result<Store, Failure> {
    let location = &config.store.location;
    let opened = Store::open_existing(location).await.map_err(|error| store_failure(&error))?;
    opened.ok_or_else(|| {
        let message = format!("{location}: there is no store; nothing has run yet");
        Failure::new(Exit::NoInput, message)
    })
}

async fn check_shard(
    bench: &Bench<'_>,
    sources: &Sources,
    pinned: Option<&Pinned>,
    id: &ShardId,
    repeats: &mut Repeats,
) -> Result<ShardReport, Failure> {
    let entry =
        pinned.and_then(|pinned| pinned.manifest.shards.iter().find(|entry| entry.id() == *id));
    let shown = Shown {
        seq: entry.and_then(|entry| entry.seq).map(Seq::new),
        next: entry.and_then(|entry| entry.next_offset).map(NextOffset::new),
        checkpoint: pinned.and_then(|pinned| pinned.checkpoints.get(id)),
    };
    for _ in 1..ATTEMPTS {
        let log = sources.log(id).await?;
        match bench.check(id, &shown, log, repeats).await {
            Ok(report) => return Ok(report),
            Err(Attempt::Failed(failure)) => return Err(failure),
            Err(Attempt::Again(_)) => {}
        }
    }
    match bench.check(id, &shown, sources.log(id).await?, repeats).await {
        Ok(report) => Ok(report),
        Err(Attempt::Failed(failure) | Attempt::Again(failure)) => Err(failure),
    }
}

/// Compares the tables with the shards as the publish shows them: their checkpoints, or where those
/// are not what the log makes, or not there any more, what the log makes.
fn check_tables(
    config: &Config,
    reference: Arc<ReferenceSet>,
    pinned: &Pinned,
    shards: &[ShardReport],
) -> Result<TablesProof, Failure> {
    let by_id: BTreeMap<&ShardId, &ShardReport> =
        shards.iter().map(|report| (&report.id, report)).collect();
    let (mut loaded, mut without_phase) = (Vec::new(), BTreeSet::new());
    for entry in &pinned.manifest.shards {
        let id = entry.id();
        let made = by_id.get(&id).and_then(|report| report.published.clone());
        let kept = pinned.checkpoints.get(&id);
        let shown = match (made, kept) {
            (Some(state), Some((_, kept))) => Some(kept.with(state)),
            (None, Some((_, kept))) => Some(Checkpoint::clone(kept)),
            (Some(state), None) => {
                without_phase.insert(tables::ledger_key(&id));
                Some(made_again(&id, entry, state))
            }
            (None, None) if entry.seq.is_some() => return Ok(lost(pinned, entry)),
            (None, None) => None,
        };
        // As the publisher has it: without the dead letters that count after all.
        let shown = shown.map(|shown| shown.with(Unsealed::default().whole(&shown.state)));
        let seq = Seq::new(entry.seq.unwrap_or_default());
        loaded.push((id, shown.map(|checkpoint| (seq, Arc::new(checkpoint)))) as Loaded);
    }
    let settings = PublishSettings {
        reference,
        indicators: config.indicators,
        grace: config.days.grace,
        final_after: Span::hours(config.rules.final_after_h),
        retention_days: config.dead_letters.retention_days,
    };
    compare_tables(pinned, loaded, &without_phase, &settings)
        .map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))
}

/// The checkpoint of a state that only the log has told.
fn made_again(id: &ShardId, entry: &ShardEntry, state: ShardState) -> Checkpoint {
    let mut standing = Standing::new(id.clone());
    standing.phase = if entry.closed { Phase::Closed } else { Phase::Running };
    standing.released_through = entry.released_through;
    standing.with(state)
}

/// A checkpoint that the publish shows is gone, and cannot be made again: its tables cannot be
/// compared beyond their hashes.
fn lost(pinned: &Pinned, entry: &ShardEntry) -> TablesProof {
    let mut differences = Differences::at("manifest");
    let seq = format!("checkpoint {}", entry.seq.unwrap_or_default());
    let found = "lost, and cannot be made again, so no row was compared";
    differences.check(&entry.id().to_string(), &seq, found, "whole");
    let mut proof = TablesProof { differences: pinned.differences.clone(), ..Default::default() };
    proof.differences.extend(differences.into_vec());
    proof
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

fn store_failure(error: &StoreError) -> Failure {
    Failure::from_error(Exit::of(error.kind()), error)
}
