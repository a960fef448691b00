//! What stands between one process and the store. Every effect passes here: it is counted, it may be
//! the last of its process, and it goes on when its process has ended.
//!
//! A write is sent off as a task of its own: whoever stops waiting for it does not take it back. So a
//! put may land long after its process has given up, or has died.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::dice::Dice;
use super::journal::Journal;
use super::life::Life;
use super::odds::{Crashes, Knob, MANNERS, Manner};
use super::time::pass;
use crate::station::{Station, list, object_store_of};

/// What the gates of all processes share.
#[derive(Clone)]
pub(super) struct Gates {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) crashes: Knob<Crashes>,
    pub(super) effects: Knob<u64>,
    pub(super) dice: Dice,
    pub(super) journal: Journal,
}

/// The gate of one process.
#[derive(Clone)]
pub(super) struct Gate {
    gates: Gates,
    life: Life,
}

impl Gates {
    pub(super) fn gate(&self, life: &Life) -> Gate {
        Gate { gates: self.clone(), life: life.clone() }
    }

    /// Whether this effect is the last of its process.
    fn crash(&self) -> Option<Manner> {
        let number = self.effects.get();
        self.effects.set(number + 1);
        match self.crashes.get() {
            Crashes::Never => None,
            Crashes::PerMille(odds) => {
                self.dice.per_mille(odds).then(|| self.dice.pick(&MANNERS)).flatten()
            }
            Crashes::At(at, manner) => (at == number).then_some(manner),
        }
    }
}

impl Gate {
    /// Lets a call through that has an effect.
    async fn effect<T: Send + 'static>(
        &self,
        what: String,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.life.runs().await;
        let crash = self.gates.crash();
        let manner = crash.map(|manner| format!(", its last: {manner:?}")).unwrap_or_default();
        self.gates.journal.step(format_args!("{}: {what}{manner}", self.life));
        if crash.is_some() {
            self.gates.journal.count("crashes");
        }
        match crash {
            None => {
                let sent = tokio::spawn(call);
                let answer = sent.await;
                self.life.runs().await;
                return answer.expect("an effect of the simulation does not panic");
            }
            Some(Manner::Before) => {}
            Some(Manner::UnderWay) => {
                let delay = self.gates.dice.millis(1..20_000);
                tokio::spawn(async move {
                    pass(delay).await;
                    call.await;
                });
            }
            Some(Manner::After) => {
                tokio::spawn(call);
            }
        }
        self.life.end();
        std::future::pending().await
    }

    /// Lets a call through that only asks.
    async fn question<T>(&self, what: String, call: impl Future<Output = T>) -> T {
        self.life.runs().await;
        let crash = self.gates.crash();
        let last = if crash.is_some() { ", its last" } else { "" };
        self.gates.journal.step(format_args!("{}: {what}{last}", self.life));
        if crash.is_some() {
            self.gates.journal.count("crashes");
            self.gates.journal.count("crashes at a question");
            self.life.end();
            std::future::pending::<()>().await;
        }
        let answer = call.await;
        self.life.runs().await;
        answer
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.life)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[async_trait]
impl Station for Gate {
    fn behind(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.gates.store)
    }

    async fn put(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let verb = if opts.mode == PutMode::Create { "create" } else { "put" };
        let (store, what, to) = (self.behind(), format!("{verb} {at}"), at.clone());
        self.effect(what, async move { store.put_opts(&to, payload, opts).await }).await
    }

    async fn get(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let store = self.behind();
        self.question(format!("get {at}"), store.get_opts(at, options)).await
    }

    async fn delete(&self, at: &Path) -> Result<()> {
        let (store, what, at) = (self.behind(), format!("delete {at}"), at.clone());
        self.effect(what, async move { store.delete(&at).await }).await
    }

    async fn list(&self, prefix: Option<&Path>, offset: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let name = prefix.map_or("", |prefix| prefix.as_ref());
        self.question(format!("list {name}"), list(&self.behind(), prefix, offset)).await
    }

    async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let name = prefix.map_or("", |prefix| prefix.as_ref());
        let store = self.behind();
        self.question(format!("list {name}"), store.list_with_delimiter(prefix)).await
    }

    async fn copy(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (store, what) = (self.behind(), format!("copy {from} to {to}"));
        let (from, to) = (from.clone(), to.clone());
        self.effect(what, async move { store.copy_opts(&from, &to, options).await }).await
    }

    async fn rename(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (store, what) = (self.behind(), format!("rename {from} to {to}"));
        let (from, to) = (from.clone(), to.clone());
        self.effect(what, async move { store.rename_opts(&from, &to, options).await }).await
    }
}

object_store_of!(Gate);
