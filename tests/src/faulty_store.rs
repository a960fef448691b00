//! An object store that fails in all the ways that stores fail: by script, or by lot from a seed.
//!
//! It wraps a sound store. Every call first lets overdue writes land, then meets at most one [`Fault`]. A seeded store
//! also takes (virtual) time for every call, so that concurrent callers interleave; run it under a paused clock.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, GetResultPayload, ListResult, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use crate::station::{Station, list, object_store_of};
use plan::Plan;
pub use plan::{Fault, Odds, Op};

mod plan;

/// The store. Clones share everything.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
    /// Told when a call is held, and when it may go on.
    held: Arc<Notify>,
    released: Arc<Notify>,
}

impl FaultyStore {
    /// A store that fails only where [`fail_next`](Self::fail_next) says so.
    pub fn scripted(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, plan: Arc::default(), held: Arc::default(), released: Arc::default() }
    }

    /// A store that fails by lot; the same seed and the same calls give the same faults.
    pub fn seeded(inner: Arc<dyn ObjectStore>, seed: u64, odds: Odds) -> Self {
        let store = Self::scripted(inner);
        store.plan().lots = Some((StdRng::seed_from_u64(seed), odds));
        store
    }

    /// Lets the next `op` that has no fault in store yet meet `fault`.
    ///
    /// # Panics
    /// If such a call cannot fail in that way.
    pub fn fail_next(&self, op: Op, fault: Fault) {
        assert!(fault.suits(op), "{op:?} cannot meet {fault:?}");
        self.plan().script.push_back((op, fault));
    }

    /// Lets `calls` more calls pass and holds the one after them, before it has any effect: its
    /// caller is stopped, as a process may be, until [`release`](Self::release).
    pub fn hold_after(&self, calls: usize) {
        let mut plan = self.plan();
        plan.hold = Some(plan.calls.len() + calls + 1);
    }

    /// Waits until a call is held.
    pub async fn held(&self) {
        self.held.notified().await;
    }

    /// Lets the call that is held go on.
    pub fn release(&self) {
        self.released.notify_one();
    }

    /// No more faults, no more latency; late writes stay under way.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.lots = None;
        plan.script.clear();
        plan.is_full = false;
    }

    /// Whether there is no space left, from now on.
    pub fn set_full(&self, is_full: bool) {
        self.plan().is_full = is_full;
    }

    /// Lets every late write land now.
    pub async fn land_late_writes(&self) {
        self.land(u64::MAX).await;
    }

    /// How often `op` was called.
    pub fn calls(&self, op: Op) -> usize {
        self.plan().calls.iter().filter(|called| **called == op).count()
    }

    /// How many calls were made.
    pub fn calls_of_all(&self) -> usize {
        self.plan().calls.len()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn land(&self, now: u64) {
        let mut due = Vec::new();
        {
            let mut plan = self.plan();
            let (landing, late) =
                std::mem::take(&mut plan.late).into_iter().partition(|(at, _)| *at <= now);
            plan.late = late;
            due.extend::<Vec<(u64, BoxFuture<'static, ()>)>>(landing);
        }
        for (_, write) in due {
            write.await;
        }
    }

    /// Begins a call: what is due lands, time passes, a lot is drawn.
    async fn begin(&self, op: Op) -> Option<Fault> {
        let (now, latency, fault, is_held) = {
            let mut plan = self.plan();
            plan.calls.push(op);
            let now = plan.calls.len();
            let is_held = plan.hold.take_if(|hold| *hold == now).is_some();
            (now as u64, plan.latency(), plan.draw(op), is_held)
        };
        if is_held {
            self.held.notify_one();
            self.released.notified().await;
        }
        pass(latency).await;
        self.land(now).await;
        fault
    }

    async fn end(&self) {
        let latency = self.plan().latency();
        pass(latency).await;
    }

    /// Has a write land some calls later; whoever waits for it gives up.
    fn postpone<T>(&self, calls: u32, write: BoxFuture<'static, ()>) -> Result<T> {
        let mut plan = self.plan();
        let due = plan.calls.len() as u64 + u64::from(calls);
        plan.late.push((due, write));
        Err(lost())
    }

    async fn corrupt(&self, answer: Result<GetResult>) -> Result<GetResult> {
        let answer = answer?;
        let (meta, range, attributes) =
            (answer.meta.clone(), answer.range.clone(), answer.attributes.clone());
        let extensions = answer.extensions.clone();
        let mut bytes = answer.bytes().await?.to_vec();
        if !bytes.is_empty() {
            let bit = match self.plan().lots.as_mut() {
                Some((rng, _)) => rng.random_range(0..bytes.len() * 8),
                None => bytes.len() * 4,
            };
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let payload =
            GetResultPayload::Stream(stream::once(async { Ok(Bytes::from(bytes)) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    /// Answers a call that has no effect.
    async fn refuse<T>(&self, fault: Fault, location: &Path) -> Result<T> {
        Err(match fault {
            Fault::Hang => std::future::pending().await,
            Fault::Conflict => exists(location),
            Fault::Full => Error::Generic {
                store: STORE,
                source: std::io::Error::from(std::io::ErrorKind::StorageFull).into(),
            },
            Fault::Denied => {
                Error::PermissionDenied { path: location.to_string(), source: "injected".into() }
            }
            _ => lost(),
        })
    }
}

const STORE: &str = "FaultyStore";

/// Simulated time, not a wait for anything: the clock of a simulation is paused and jumps.
async fn pass(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

fn lost() -> Error {
    Error::Generic { store: STORE, source: "injected: the connection was lost".into() }
}

fn exists(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "injected".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.inner)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({:?})", self.inner)
    }
}

#[async_trait]
impl Station for FaultyStore {
    fn behind(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner)
    }

    async fn put(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let answer = match self.begin(Op::Put).await {
            None => self.inner.put_opts(at, payload, opts).await,
            Some(Fault::After) => {
                self.inner.put_opts(at, payload, opts).await.and_then(|_| Err(lost()))
            }
            Some(Fault::ExistsAfter) => {
                self.inner.put_opts(at, payload, opts).await.and_then(|_| Err(exists(at)))
            }
            Some(Fault::Heedless) => {
                let opts = PutOptions { mode: PutMode::Overwrite, ..opts };
                self.inner.put_opts(at, payload, opts).await
            }
            Some(Fault::Late(calls)) => {
                let (inner, at) = (Arc::clone(&self.inner), at.clone());
                let write = async move { inner.put_opts(&at, payload, opts).await };
                self.postpone(calls, write.map(drop).boxed())
            }
            Some(fault) => self.refuse(fault, at).await,
        };
        self.end().await;
        answer
    }

    async fn get(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.begin(if options.head { Op::Head } else { Op::Get }).await;
        // Never twice in a row.
        let is_damaged = fault == Some(Fault::Corrupt) && self.plan().corrupted.insert(at.clone());
        let answer = match fault {
            Some(Fault::Corrupt) if is_damaged => {
                let answer = self.inner.get_opts(at, options).await;
                self.corrupt(answer).await
            }
            None | Some(Fault::Corrupt) => {
                self.plan().corrupted.remove(at);
                self.inner.get_opts(at, options).await
            }
            Some(fault) => self.refuse(fault, at).await,
        };
        self.end().await;
        answer
    }

    async fn delete(&self, at: &Path) -> Result<()> {
        let answer = match self.begin(Op::Delete).await {
            None => self.inner.delete(at).await,
            Some(Fault::After) => self.inner.delete(at).await.and(Err(lost())),
            Some(Fault::Late(calls)) => {
                let (inner, at) = (Arc::clone(&self.inner), at.clone());
                let delete = async move { inner.delete(&at).await };
                self.postpone(calls, delete.map(drop).boxed())
            }
            Some(fault) => self.refuse(fault, at).await,
        };
        self.end().await;
        answer
    }

    async fn list(&self, prefix: Option<&Path>, offset: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        if let Some(fault) = self.begin(Op::List).await {
            return self.refuse(fault, prefix.unwrap_or(&Path::default())).await;
        }
        let listed = list(&self.inner, prefix, offset).await;
        self.end().await;
        listed
    }

    async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if let Some(fault) = self.begin(Op::List).await {
            return self.refuse(fault, prefix.unwrap_or(&Path::default())).await;
        }
        self.inner.list_with_delimiter(prefix).await
    }

    async fn rename(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let answer = match self.begin(Op::Rename).await {
            None => self.inner.rename_opts(from, to, options).await,
            Some(Fault::After) => self.inner.rename_opts(from, to, options).await.and(Err(lost())),
            Some(Fault::Late(calls)) => {
                let (inner, from, to) = (Arc::clone(&self.inner), from.clone(), to.clone());
                let rename = async move { inner.rename_opts(&from, &to, options).await };
                self.postpone(calls, rename.map(drop).boxed())
            }
            Some(fault) => self.refuse(fault, to).await,
        };
        self.end().await;
        answer
    }
}

object_store_of!(FaultyStore);
