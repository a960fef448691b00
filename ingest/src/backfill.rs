//! `postroad backfill`: the same fold over files of events.
//!
//! Envelopes keep their topic, partition and offset, so that the shards are those of Kafka and
//! `run` can go on from there. A file of bare values is a shard of its own, known by its base name.
//! Running again over the same files finds every record accounted for and changes nothing. A record that
//! the fold has passed without counting it is never called accounted for.

pub(crate) mod inputs;
mod open;
mod order;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use postroad_aggregate::event::IdKey;
use postroad_aggregate::ledger::Outcome;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Record, Resumption, Shard, ShardState, Step};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{NextOffset, Offset, Timestamp};

use self::inputs::Input;
use self::open::{Open, check_contract};
use self::order::{Jump, check_files};
use crate::checkpoint::{Phase, ShardId, Standing};
use crate::clock::now;
use crate::error::{Exit, Failure, Kind, chain};
use crate::publish::{PublishError, PublishSettings, Publisher};
use crate::source::file::{FileError, LineFormat, Lines};
use crate::store::Store;

/// How often a publish that a running instance was faster with is made again.
const PUBLISH_TRIES: u32 = 10;
/// How often the shards are checkpointed on the way.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// What to read, and how.
#[derive(Debug)]
pub struct BackfillOptions {
    /// The files, in the order in which they are read.
    pub files: Vec<PathBuf>,
    /// How their lines are read.
    pub format: LineFormat,
    /// The contract of topics whose name implies none, and of bare values.
    pub contract: Option<Contract>,
    /// Read only this topic; for bare values, the topic that implies the contract.
    pub topic: Option<String>,
    /// The rules.
    pub rules: Rules,
    /// Names, and when days are complete.
    pub publish: PublishSettings,
    /// Whether payloads of dead letters are kept.
    pub keep_payload: bool,
}

/// What a backfill did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records whose effect was added.
    pub applied: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Records that cannot be used.
    pub rejected: u64,
    /// Tombstones.
    pub ignored: u64,
    /// Records that had been accounted for before.
    pub skipped: u64,
    /// Records below the offset at which their shard began, which nobody has accounted for.
    pub before_first: u64,
    /// The publish that was made, if anything changed.
    pub publish: Option<u64>,
}

/// Folds files into a store and publishes.
///
/// # Errors
/// Where a file cannot be read or is not of its format, a shard cannot go on, or the store fails.
pub async fn backfill(store: &Store, options: &BackfillOptions) -> Result<Summary, Failure> {
    check_files(options)?;
    let rules_id = store
        .put_rules(&options.rules)
        .await
        .map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
    let mut backfill = Backfill {
        store,
        options,
        rules: (rules_id, Arc::new(options.rules.clone())),
        id_key: IdKey(rand::random()),
        shards: BTreeMap::new(),
        inputs: inputs::recorded(store)
            .await
            .map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?,
        summary: Summary::default(),
        committed: Instant::now(),
    };
    let bar = progress_bar(&options.files);
    for path in &options.files {
        backfill.read(path, &bar).await?;
    }
    bar.finish_and_clear();
    backfill.commit_all().await?;
    backfill.publish().await
}

fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let sizes = files.iter().filter_map(|path| std::fs::metadata(path).ok());
    let bar = ProgressBar::new(sizes.map(|metadata| metadata.len()).sum());
    let style = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

struct Backfill<'a> {
    store: &'a Store,
    options: &'a BackfillOptions,
    rules: (RulesId, Arc<Rules>),
    id_key: IdKey,
    shards: BTreeMap<ShardId, Open>,
    /// The files of earlier backfills, and those that this one has read.
    inputs: Vec<Input>,
    summary: Summary,
    committed: Instant,
}

impl Backfill<'_> {
    async fn read(&mut self, path: &Path, bar: &ProgressBar) -> Result<(), Failure> {
        let mut lines = Lines::open(path).map_err(|error| file_failure(&error))?;
        let clock = now();
        match self.options.format {
            LineFormat::Kcat => self.read_envelopes(path, &mut lines, clock, bar).await,
            LineFormat::Ndjson => self.read_values(path, &mut lines, clock, bar).await,
        }
    }

    async fn read_envelopes(
        &mut self,
        path: &Path,
        lines: &mut Lines,
        clock: Timestamp,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut input = Input::new(path);
        while let Some((line, _, bytes)) = lines.next_line().map_err(|e| file_failure(&e))? {
            bar.inc(bytes);
            let envelope = lines.envelope().map_err(|error| file_failure(&error))?;
            if self.options.topic.as_ref().is_some_and(|topic| *topic != envelope.topic) {
                continue;
            }
            let id = ShardId::kafka(envelope.topic.as_str(), envelope.partition);
            let first = Offset::new(envelope.offset);
            if !self.shards.contains_key(&id) {
                let contract = self.contract_of(&envelope.topic).ok_or_else(|| {
                    let place = format!("{}:{}", path.display(), line + 1);
                    unknown_contract(&place, &envelope.topic)
                })?;
                self.open(&id, contract, first.into()).await?;
                self.rebuild_window(&id, first, clock)?;
            }
            self.refuse_partial_window(&id, path, first)?;
            self.forget_jump(&id, first).await?;
            if !input.holds(&id) {
                self.note_jump(&id, path, first).await?;
            }
            input.note(&envelope.topic, envelope.partition, first);
            self.step(&id, path, &envelope.record(), clock)?;
            self.commit_now_and_then().await?;
        }
        self.record(input).await
    }

    /// Notes that a file begins beyond what was folded of a shard.
    async fn note_jump(&mut self, id: &ShardId, path: &Path, first: Offset) -> Result<(), Failure> {
        let shard = self.shards.get_mut(id).expect("opened before its first record");
        let jump = Jump { from: shard.fold.state().ledger.next, to: first.into() };
        if jump.from < jump.to {
            shard.jumps.push(jump);
            self.record(Input::of_jump(path, id, jump)).await?;
        }
        Ok(())
    }

    /// Takes a jump back over an offset that is about to be counted: whoever noted it ended before a
    /// checkpoint had it.
    async fn forget_jump(&mut self, id: &ShardId, offset: Offset) -> Result<(), Failure> {
        let shard = self.shards.get_mut(id).expect("opened before its first record");
        let is_known = shard.fold.state().ledger.next.is_past(offset);
        if is_known || !shard.jumps.iter().any(|jump| jump.holds(offset)) {
            return Ok(());
        }
        shard.jumps.retain(|jump| !jump.holds(offset));
        let is_void = |input: &Input| input.jump(id).is_some_and(|jump| jump.holds(offset));
        for input in self.inputs.extract_if(.., |input| is_void(input)) {
            inputs::forget(self.store, &input)
                .await
                .map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
        }
        Ok(())
    }

    /// Notes in the store that a file has been read.
    async fn record(&mut self, input: Input) -> Result<(), Failure> {
        if !self.inputs.contains(&input) {
            inputs::record(self.store, &input)
                .await
                .map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
            self.inputs.push(input);
        }
        Ok(())
    }

    async fn read_values(
        &mut self,
        path: &Path,
        lines: &mut Lines,
        clock: Timestamp,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
        let id = ShardId::file(&*name);
        let named = self.options.topic.as_deref().and_then(Contract::of_topic);
        let contract = self.options.contract.or(named).ok_or_else(|| {
            let message = "bare values do not say which contract they follow; name it with \
                           --contract parcel or --contract finance";
            Failure::new(Exit::Usage, message)
        })?;
        self.open(&id, contract, NextOffset::new(0)).await?;
        while let Some((line, value, bytes)) = lines.next_line().map_err(|e| file_failure(&e))? {
            bar.inc(bytes);
            let offset = Offset::new(i64::try_from(line).unwrap_or(i64::MAX));
            let record = Record { offset, timestamp: None, value: Some(value) };
            self.step(&id, path, &record, clock)?;
            self.commit_now_and_then().await?;
        }
        let shard = self.shards.get_mut(&id).expect("opened above");
        if shard.fold.resumption() == Resumption::Pending {
            let message = format!(
                "{}: it ends before line {}, up to which it had been read; use a new store for \
                 another file of this name",
                path.display(),
                shard.fold.state().ledger.next
            );
            return Err(Failure::new(Exit::DataErr, message));
        }
        shard.standing.phase = Phase::Closed;
        let next = shard.fold.state().ledger.next;
        self.record(Input::of_values(path, next)).await
    }

    fn contract_of(&self, topic: &str) -> Option<Contract> {
        Contract::of_topic(topic).or(self.options.contract)
    }

    /// Opens a shard at its newest checkpoint, or as a new one that begins at `first`.
    async fn open(
        &mut self,
        id: &ShardId,
        contract: Contract,
        first: NextOffset,
    ) -> Result<(), Failure> {
        let fail = |kind: Kind, error: &dyn std::error::Error| {
            Failure::new(Exit::of(kind), format!("{id}: {}", chain(error)))
        };
        let found =
            self.store.newest_checkpoint(id).await.map_err(|error| fail(error.kind(), &error))?;
        let (rules_id, rules) = &self.rules;
        let jumps = self.inputs.iter().filter_map(|input| input.jump(id)).collect();
        let open = match found {
            None => {
                let state = ShardState::new(contract, first, *rules_id);
                let rules = vec![Arc::clone(rules)];
                let keep_payload = self.options.keep_payload;
                Open {
                    fold: Shard::resume(state, rules, self.id_key, keep_payload),
                    found: None,
                    tip: None,
                    standing: Standing::new(id.clone()),
                    written: None,
                    jumps,
                }
            }
            Some((newest, checkpoint)) => {
                check_contract(id, &checkpoint.state, contract)?;
                let loaded = self.store.rules_of(&checkpoint.state).await;
                let loaded = loaded.map_err(|error| fail(error.kind(), &error))?;
                let written = (checkpoint.state.ledger.next, checkpoint.phase);
                let keep_payload = self.options.keep_payload;
                let standing = checkpoint.with(());
                let mut fold = Shard::resume(checkpoint.state, loaded, self.id_key, keep_payload);
                fold.adopt(*rules_id, Arc::clone(rules));
                let written = Some(written);
                Open { fold, found: Some(newest), tip: None, standing, written, jumps }
            }
        };
        self.shards.insert(id.clone(), open);
        Ok(())
    }

    fn step(
        &mut self,
        id: &ShardId,
        path: &Path,
        record: &Record<'_>,
        clock: Timestamp,
    ) -> Result<(), Failure> {
        let shard = self.shards.get_mut(id).expect("opened before its first record");
        let step = shard.fold.step(record, clock).map_err(|diverged| {
            let message = format!(
                "{}: {id}: {diverged}; the store was filled from another file or topic: use a new \
                 store for this one",
                path.display()
            );
            Failure::new(Exit::DataErr, message)
        })?;
        match step {
            Step::Skipped if shard.fold.state().ledger.first > record.offset.into() => {
                self.summary.before_first += 1;
            }
            Step::Skipped => {
                Jump::refuse(&shard.jumps, id, path, record.offset)?;
                self.summary.skipped += 1;
            }
            Step::Consumed { outcome: Outcome::Applied, .. } => self.summary.applied += 1,
            Step::Consumed { outcome: Outcome::Duplicate, .. } => self.summary.duplicates += 1,
            Step::Consumed { outcome: Outcome::Rejected(_), .. } => self.summary.rejected += 1,
            Step::Consumed { outcome: Outcome::Ignored, .. } => self.summary.ignored += 1,
        }
        Ok(())
    }

    async fn commit_now_and_then(&mut self) -> Result<(), Failure> {
        if self.committed.elapsed() < CHECKPOINT_INTERVAL {
            return Ok(());
        }
        self.commit_all().await?;
        self.committed = Instant::now();
        Ok(())
    }

    /// Checkpoints every shard that has changed.
    async fn commit_all(&mut self) -> Result<(), Failure> {
        for (id, shard) in &mut self.shards {
            let reached = (shard.fold.state().ledger.next, shard.standing.phase);
            if shard.written == Some(reached) {
                continue;
            }
            shard.commit(self.store, id).await?;
            shard.written = Some(reached);
        }
        Ok(())
    }

    async fn publish(mut self) -> Result<Summary, Failure> {
        let expected: BTreeSet<ShardId> = self.shards.keys().cloned().collect();
        let settings = self.options.publish.clone();
        let published = async {
            let mut publisher = Publisher::take_over(self.store.clone(), settings).await?;
            for _ in 1..PUBLISH_TRIES {
                match publisher.publish(&expected, now()).await {
                    // A running instance was faster; its next publish would not know these shards.
                    Err(PublishError::Superseded(_)) => {}
                    outcome => return outcome,
                }
            }
            publisher.publish(&expected, now()).await
        };
        let published =
            published.await.map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
        self.summary.publish = published.map(|snapshot| snapshot.manifest.publish);
        Ok(self.summary)
    }
}

fn unknown_contract(place: &str, topic: &str) -> Failure {
    let message = format!(
        "{place}: the topic `{topic}` is none of the built-in ones; name its contract with \
         --contract parcel or --contract finance"
    );
    Failure::new(Exit::Usage, message)
}

fn file_failure(error: &FileError) -> Failure {
    let exit = match error {
        FileError::Open { .. } => Exit::NoInput,
        FileError::Read { .. } => Exit::IoErr,
        FileError::Envelope { .. } | FileError::Compressed { .. } | FileError::Long { .. } => {
            Exit::DataErr
        }
    };
    Failure::from_error(exit, error)
}

#[cfg(test)]
mod tests;
