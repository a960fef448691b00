//! The witness sits right above the sound store and sees every effect that lands, in order, whoever
//! sent it and whenever. It checks each against the promises:
//!
//! - S1 Every checkpoint in a chain is the fold of what the log holds below its offset.
//! - S2 Whatever an instance believed in (a commit that it acknowledged, a claim that it went on from, a
//!   checkpoint that was published) is one line of history: of any two, one continues the other.
//! - S3 Publishes are numbered without gaps; no shard, and no day's status, goes back in them or is lost.
//! - S4 Every table file is one that some manifest describes. Whenever all are those of the newest, the
//!   tables are the sum of the shards at its vector.
//! - S5 A collection leaves two checkpoints above what it deletes.
//! - S6 A shard is read only after its claim is in its chain.
//! - S7 The segments that a checkpoint lists are there, as long as somebody may go on from it.
//! - S8 Whenever the tables are whole, `restatements` tells every final cell that any publish moved.

mod chains;
mod oracle;
mod publishes;
mod reference;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_ingest::checkpoint::chain::Nonces;
use postroad_ingest::checkpoint::{Phase, ShardId};
use postroad_ingest::source::kafka::TopicPartition;
use postroad_schemas::units::NextOffset;

use self::chains::Chains;
use self::publishes::Publishes;
use super::dice::Dice;
use super::journal::Journal;
use super::life::Life;
use super::log::Log;
use crate::oracle::OracleRules;
use crate::station::{Station, object_store_of};

/// The witness. Clones are the same one.
#[derive(Clone)]
pub(super) struct Witness {
    store: Arc<InMemory>,
    seen: Arc<Mutex<Seen>>,
    journal: Journal,
    dice: Dice,
}

struct Seen {
    chains: Chains,
    publishes: Publishes,
}

/// A broken promise, in words.
type Broken = String;

/// Rules by their addresses, as the fold and as the oracle know them.
pub(super) type KnownRules = BTreeMap<RulesId, (Arc<Rules>, OracleRules)>;

impl Witness {
    pub(super) fn new(log: Log, rules: KnownRules, dice: Dice, journal: Journal) -> Self {
        let store = Arc::new(InMemory::new());
        let chains = Chains::new(log, Arc::clone(&store), rules, journal.clone());
        let seen = Seen { chains, publishes: Publishes::new(journal.clone()) };
        Self { store, seen: Arc::new(Mutex::new(seen)), journal, dice }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge<T>(
        &self,
        judge: impl FnOnce(&mut Seen) -> std::result::Result<T, Broken>,
    ) -> Option<T> {
        let judged = judge(&mut self.seen());
        judged.map_err(|broken| self.journal.violated(&broken)).ok()
    }

    /// Where a process draws its nonces, by which its checkpoints are known to be its own.
    pub(super) fn nonces(&self, life: &Life) -> Nonces {
        let (witness, writer) = (self.clone(), life.number());
        Arc::new(move || {
            let nonce = witness.dice.bits();
            witness.seen().chains.belongs_to(nonce, writer);
            nonce
        })
    }

    /// A process goes on from its claim of a shard.
    pub(super) fn claimed(&self, life: &Life, tp: &TopicPartition) {
        self.judge(|seen| seen.chains.claimed(life.number(), tp));
    }

    /// A process believes that its commit up to an offset has landed.
    pub(super) fn acknowledged(&self, life: &Life, tp: &TopicPartition, next: i64) {
        self.judge(|seen| seen.chains.acknowledged(life.number(), tp, next));
    }

    fn landed(&self, location: &Path, content: &Bytes) {
        let shown = location.as_ref();
        self.journal.note(format_args!("landed: {shown}"));
        if shown.starts_with("state/") {
            let told = self.judge(|seen| seen.chains.landed(shown, content));
            self.journal.note(format_args!("        {}", told.unwrap_or_default()));
        } else if shown.starts_with("publishes/") {
            self.judge(|seen| seen.publishes.manifest(content, &mut seen.chains));
        } else if shown.starts_with("tables/") {
            self.judge(|seen| seen.publishes.file(shown, content));
        } else if shown.starts_with("segments/") {
            self.journal.count("segments");
        }
    }

    fn deleted(&self, location: &Path) {
        let shown = location.as_ref();
        self.journal.note(format_args!("deleted: {shown}"));
        if shown.starts_with("state/") {
            self.judge(|seen| seen.chains.deleted(shown));
        } else if shown.starts_with("segments/") {
            self.journal.count("segments deleted");
            self.judge(|seen| seen.chains.segment_deleted(shown));
        } else if shown.starts_with("tables/") {
            self.judge(|seen| seen.publishes.file_deleted(shown));
        }
    }

    async fn read(&self, location: &Path) -> Result<Bytes> {
        self.store.get(location).await?.bytes().await
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

#[async_trait]
impl Station for Witness {
    fn behind(&self) -> Arc<dyn ObjectStore> {
        self.sound()
    }

    async fn put(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let content = Bytes::from(payload.clone());
        let put = self.store.put_opts(at, payload, opts).await?;
        self.landed(at, &content);
        Ok(put)
    }

    async fn delete(&self, at: &Path) -> Result<()> {
        let existed = self.store.head(at).await.is_ok();
        self.store.delete(at).await?;
        if existed {
            self.deleted(at);
        }
        Ok(())
    }

    async fn copy(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await?;
        let content = self.read(to).await?;
        self.landed(to, &content);
        Ok(())
    }

    /// As on a disk: in one step.
    async fn rename(&self, from: &Path, to: &Path, _: RenameOptions) -> Result<()> {
        let content = self.read(from).await?;
        self.store.copy(from, to).await?;
        self.store.delete(from).await?;
        self.landed(to, &content);
        Ok(())
    }
}

object_store_of!(Witness);

impl Witness {
    /// The store without any faults, for those who look and change nothing.
    pub(super) fn sound(&self) -> Arc<InMemory> {
        Arc::clone(&self.store)
    }

    /// Damages one of the newest checkpoints of some chain where it lies.
    pub(super) fn damage_a_checkpoint(&self, dice: &Dice) {
        let Some(key) = self.seen().chains.damage(dice) else { return };
        self.journal.count("checkpoints damaged");
        self.journal.note(format_args!("damaged: {key}"));
        let key = Path::from(key);
        let damage = async {
            let mut content = self.read(&key).await?.to_vec();
            let at = dice.index(content.len());
            content[at] ^= 1 << dice.index(8);
            self.store.put(&key, content.into()).await
        };
        // Nothing in memory has to be waited for.
        damage.now_or_never().expect("at once").expect("a sound store");
    }

    /// How the newest life of a partition's shard stands, and what it has read up to.
    pub(super) fn phase(&self, tp: &TopicPartition) -> Option<(ShardId, NextOffset, Phase)> {
        let seen = self.seen();
        let (id, newest) = seen.chains.newest_life(tp)?;
        Some((id.clone(), newest.state.ledger.next, newest.standing.phase))
    }

    /// What is not as it ought to be once everything is well again; nothing if all is.
    pub(super) fn unfinished(&self, log: &Log) -> Option<String> {
        let seen = self.seen();
        seen.chains.unfinished(log).or_else(|| seen.publishes.unfinished(&seen.chains))
    }

    /// Has the naive oracle read what the newest checkpoints hold.
    pub(super) fn ask_the_oracle(&self) {
        self.judge(|seen| seen.chains.ask_the_oracle());
    }
}
