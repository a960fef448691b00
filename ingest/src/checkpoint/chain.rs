//! A chain of immutable objects with one writer at a time, over any store that creates a key at most once.
//!
//! The objects are `<prefix>/<seq>`, each created by *put-if-absent* and never changed. Whoever creates the next one owns
//! the chain; everyone else is *fenced*. A *claim* takes the chain over, a *commit* extends it, and old objects are
//! *collected*. The chain knows bytes, not what they mean.
//!
//! # Why an acknowledged commit is never lost
//! - C1 **Ambiguity is settled by reading.** Any error of a create, *already exists* included, may hide its success or
//!   follow from it. The object is read back: own bytes are a success, others' mean fenced, absent means that the same
//!   bytes are put again. Until that is settled, neither place nor contents change: [`Tip`] is consumed, and what comes
//!   back is a [`Tip`] or a [`Pending`].
//! - C2 **Nothing is above.** An old writer may create an object where one was collected. Collection leaves the newest
//!   objects, so a listing then shows a higher one: fenced.
//! - C3 **The object before is the one continued,** by its nonce: fenced otherwise. C2 is blind to a store
//!   that was emptied or restored behind a running writer's back; that the place before is merely occupied proves nothing,
//!   since the occupant may be the stray object of another old writer.
//! - C4 **A claim is an object.** It occupies the place that the writer before wants next.
//! - C5 **A checksum covers every byte.** A damaged object is passed over for the one before, and its place is not used again.
//!
//! Each has a test that fails without it. Required of the store: creates at most once, reads and lists what was created.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::envelope::{
    Damage, Envelope, Epoch, HEADER_LEN, Link, Nonce, Seq, Unreadable, peek_nonce,
};
use crate::failpoint::Point;

pub use error::{ChainError, CommitError, Fence};
pub use survey::Surveyed;
pub use tip::{Corrupt, Newest, Pending, Tip};

mod error;
mod survey;
#[cfg(test)]
mod tests;
mod tip;

/// Where nonces come from: a generator of random numbers in production, a seeded one in simulations. If two writers
/// draw the same numbers, C1 takes the one's object for the other's.
pub type Nonces = Arc<dyn Fn() -> u128 + Send + Sync>;

/// How long the store is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For one answer of the store.
    pub call: Duration,
    /// For one claim or commit, all tries together.
    pub deadline: Duration,
    /// Most tries of one claim or commit.
    pub tries: u32,
    /// Between the first try and the second; doubled each time after.
    pub backoff_first: Duration,
    /// Between any two tries, at most.
    pub backoff_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(20),
            deadline: Duration::from_secs(60),
            tries: 10,
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// What a collection did.
#[derive(Debug)]
pub struct Collected {
    /// How many objects it deleted.
    pub deleted: usize,
    /// Why it ended early, if it did. The next collection goes on.
    pub stopped: Option<ChainError>,
}

/// One chain of a store.
#[derive(Clone)]
pub struct Chain {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    nonces: Nonces,
    pace: Pace,
}

impl Chain {
    /// The chain under `prefix`, which holds nothing else.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, nonces: Nonces, pace: Pace) -> Self {
        Self { store, prefix, nonces, pace }
    }

    /// The newest whole object; `None` if there is no object at all. It always lists: guessing the next name from an old
    /// one would end at a collected gap.
    ///
    /// # Errors
    /// [`ChainError`]: the store fails, a newer build wrote the object, or all are damaged.
    pub async fn newest(&self) -> Result<Option<Newest>, ChainError> {
        for _ in 0..self.pace.tries {
            let seqs = self.list(None).await?;
            if seqs.is_empty() {
                return Ok(None);
            }
            if let Some(newest) = self.newest_of(&seqs).await? {
                return Ok(Some(newest));
            }
        }
        Err(self.contended("read"))
    }

    /// The highest place above `seq`, damaged or not; `None` if `seq` is still the newest. It costs one listing.
    ///
    /// # Errors
    /// [`ChainError`]: the store fails.
    pub async fn newest_after(&self, seq: Seq) -> Result<Option<Seq>, ChainError> {
        Ok(self.list(Some(seq)).await?.last().copied())
    }

    /// Takes the chain over: reads the newest object, asks `begin` for the payload that continues it, and claims. It is
    /// asked again whenever another writer was faster, because what it continued is then not the newest any more.
    ///
    /// # Errors
    /// What `begin` refuses with, and [`ChainError`].
    pub async fn take_over<E: From<ChainError>>(
        &self,
        mut begin: impl AsyncFnMut(Option<&Newest>) -> Result<Bytes, E>,
    ) -> Result<(Tip, Option<Newest>), E> {
        for _ in 0..self.pace.tries {
            let found = self.newest().await?;
            let payload = begin(found.as_ref()).await?;
            if let Some(tip) = self.claim(found.as_ref(), payload).await? {
                return Ok((tip, found));
            }
        }
        Err(self.contended("claim").into())
    }

    /// Where a claim goes, and the reign that it begins.
    ///
    /// # Errors
    /// [`ChainError::UsedUp`].
    pub fn place_of_claim(&self, found: Option<&Newest>) -> Result<(Epoch, Seq), ChainError> {
        let Some(newest) = found else { return Ok((Epoch::FIRST, Seq::FIRST)) };
        // Each damaged object may have been a claim: epochs never repeat, whatever those held.
        let epoch = newest.epoch.later(newest.skipped.len() + 1);
        let highest = newest.skipped.first().map_or(newest.seq, |corrupt| corrupt.seq);
        epoch.zip(highest.next()).ok_or_else(|| self.used_up())
    }

    /// Claims the chain in a new epoch, above everything that was listed, damaged or not. `None` if another writer was
    /// faster: then `found`, and a payload made from it, are out of date.
    ///
    /// # Errors
    /// [`ChainError`]: the store fails. The claim may exist even so; that harms nobody, and the next one goes above it.
    pub async fn claim(
        &self,
        found: Option<&Newest>,
        payload: Bytes,
    ) -> Result<Option<Tip>, ChainError> {
        let (epoch, seq) = self.place_of_claim(found)?;
        let predecessor = found.map(|newest| (newest.seq, newest.nonce));
        match self.settle(self.draft(Link::Claim, seq, epoch, predecessor, payload)).await {
            Ok(tip) => Ok(Some(tip)),
            Err(CommitError::Fenced { .. }) => Ok(None),
            Err(CommitError::Unresolved { source, .. } | CommitError::Impossible(source)) => {
                Err(source)
            }
        }
    }

    /// Writes the next object.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] if another writer owns the chain; [`CommitError::Unresolved`] if the store does not say.
    pub async fn commit(&self, tip: Tip, payload: Bytes) -> Result<Tip, CommitError> {
        let seq = tip.seq.next().ok_or_else(|| self.used_up())?;
        let pending = self.draft(Link::Commit, seq, tip.epoch, Some((tip.seq, tip.nonce)), payload);
        self.settle(pending).await
    }

    /// Goes on with a commit that was left unresolved: the same place, the same bytes.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn resume(&self, pending: Pending) -> Result<Tip, CommitError> {
        self.settle(pending).await
    }

    /// The payload of every whole object up to `tip`, ascending.
    ///
    /// # Errors
    /// [`ChainError`]: the store fails, one of them is damaged, or the chain has gone on above `tip`, so that it is not
    /// this writer's any more.
    pub async fn retained(&self, tip: &Tip) -> Result<Vec<Bytes>, ChainError> {
        let seqs = self.list(None).await?;
        if seqs.last().is_none_or(|newest| *newest > tip.seq) {
            return Err(self.contended("keep"));
        }
        let mut payloads = Vec::with_capacity(seqs.len());
        for seq in seqs {
            match self.load(seq).await? {
                Some(Ok(envelope)) => payloads.push(envelope.payload),
                Some(Err(damage)) => {
                    return Err(ChainError::Damaged { key: self.key(seq), damage });
                }
                None => {}
            }
        }
        Ok(payloads)
    }

    /// Deletes old objects, oldest first, and leaves at least the `keep` newest up to `tip`, and never fewer than two: one
    /// to fall back to. It stops at the first failure, so that no gap opens below what is left.
    pub async fn collect(&self, tip: &Tip, keep: usize) -> Collected {
        let mut deleted = 0;
        let stopped = self.delete_old(tip.seq, keep.max(2), &mut deleted).await.err();
        Collected { deleted, stopped }
    }

    fn draft(
        &self,
        link: Link,
        seq: Seq,
        epoch: Epoch,
        predecessor: Option<(Seq, Nonce)>,
        payload: Bytes,
    ) -> Pending {
        let nonce = Nonce::new((self.nonces)());
        let continued = predecessor.map(|(_, nonce)| nonce);
        let bytes = Envelope { link, seq, epoch, nonce, predecessor: continued, payload }.encode();
        Pending { tip: Tip { seq, epoch, nonce }, predecessor, bytes }
    }

    /// Tries until it is known whether `pending` extends the chain, or patience ends.
    async fn settle(&self, pending: Pending) -> Result<Tip, CommitError> {
        let key = self.key(pending.tip.seq);
        let deadline = Instant::now() + self.pace.deadline;
        let mut backoff = self.pace.backoff_first;
        let mut tries = 0;
        loop {
            tries += 1;
            let source = match timeout_at(deadline, self.try_once(&key, &pending)).await {
                Ok(Ok(None)) => return Ok(pending.tip),
                Ok(Ok(Some(fence))) => return Err(CommitError::Fenced { key, fence }),
                Ok(Err(error)) => error,
                Err(_) => ChainError::NoAnswer {
                    operation: "create",
                    key: key.clone(),
                    limit: self.pace.deadline,
                },
            };
            if tries >= self.pace.tries || Instant::now() + backoff >= deadline {
                return Err(CommitError::Unresolved {
                    key,
                    tries,
                    pending: Box::new(pending),
                    source,
                });
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(self.pace.backoff_max);
        }
    }

    /// One try: `Ok(None)` if `pending` extends the chain, `Err` if that is still open.
    async fn try_once(&self, key: &Path, pending: &Pending) -> Result<Option<Fence>, ChainError> {
        let create = self.store.put_opts(key, pending.bytes.clone().into(), PutMode::Create.into());
        if let Err(error) = self.call("create", key, create).await {
            match self.read(key, None).await? {
                Some(bytes) if bytes == pending.bytes => {}
                Some(_) => return Ok(Some(Fence::Taken)),
                None => return Err(error),
            }
        }
        let (above, before) =
            tokio::join!(self.newest_after(pending.tip.seq), self.check_before(pending));
        let (above, before) = (above?.map(|newest| Fence::Overtaken { newest }), before?);
        Ok(above.or(before))
    }

    /// C3, from the header alone: payloads may be large.
    async fn check_before(&self, pending: &Pending) -> Result<Option<Fence>, ChainError> {
        let Some((seq, nonce)) = pending.predecessor else {
            return Ok(None);
        };
        let header = self.read(&self.key(seq), Some(0..HEADER_LEN as u64)).await?;
        Ok(match header.map(|header| peek_nonce(&header)) {
            Some(found) if found == Some(nonce) => None,
            Some(_) => Some(Fence::Replaced),
            None => Some(Fence::Removed),
        })
    }

    /// The newest whole object among `seqs`; `None` if one was collected under our eyes.
    async fn newest_of(&self, seqs: &[Seq]) -> Result<Option<Newest>, ChainError> {
        let mut skipped = Vec::new();
        for &seq in seqs.iter().rev() {
            match self.load(seq).await? {
                None => return Ok(None),
                Some(Err(why)) => skipped.push(Corrupt { seq, why }),
                Some(Ok(Envelope { epoch, nonce, payload, .. })) => {
                    return Ok(Some(Newest { seq, epoch, nonce, payload, skipped }));
                }
            }
        }
        let Corrupt { seq: newest, why: damage } = skipped[0];
        Err(ChainError::AllDamaged {
            prefix: self.prefix.clone(),
            count: seqs.len(),
            newest,
            damage,
        })
    }

    /// Reads one object, and reads it again if it looks damaged: a damaged answer is not yet a damaged object.
    async fn load(&self, seq: Seq) -> Result<Option<Result<Envelope, Damage>>, ChainError> {
        let key = self.key(seq);
        let mut damage = None;
        for _ in 0..2 {
            let Some(bytes) = self.read(&key, None).await? else {
                return Ok(None);
            };
            match Envelope::decode(&bytes, seq) {
                Ok(envelope) => return Ok(Some(Ok(envelope))),
                Err(Unreadable::Newer { version }) => {
                    return Err(ChainError::Newer { key, version });
                }
                Err(Unreadable::Damaged(why)) => damage = Some(Err(why)),
            }
        }
        Ok(damage)
    }

    async fn delete_old(
        &self,
        tip: Seq,
        keep: usize,
        deleted: &mut usize,
    ) -> Result<(), ChainError> {
        let mut seqs = self.list(None).await?;
        seqs.retain(|&seq| seq <= tip);
        seqs.truncate(seqs.len().saturating_sub(keep));
        for seq in seqs {
            let key = self.key(seq);
            match self.call("delete", &key, self.store.delete(&key)).await {
                Err(ChainError::Store { source: object_store::Error::NotFound { .. }, .. }) => {}
                other => other?,
            }
            *deleted += 1;
            Point::MidCollection.pass();
        }
        Ok(())
    }

    /// The places that are taken, ascending: all, or those above `after`.
    async fn list(&self, after: Option<Seq>) -> Result<Vec<Seq>, ChainError> {
        let listing = match after {
            None => self.store.list(Some(&self.prefix)),
            Some(seq) => self.store.list_with_offset(Some(&self.prefix), &self.key(seq)),
        };
        let seqs = listing.try_filter_map(async |meta| Ok(self.seq_of(&meta.location))).boxed();
        let mut seqs: Vec<Seq> = self.call("list", &self.prefix, seqs.try_collect()).await?;
        seqs.sort_unstable();
        Ok(seqs)
    }

    async fn read(
        &self,
        key: &Path,
        range: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, ChainError> {
        let options = GetOptions::new().with_range(range.map(GetRange::Bounded));
        let read = async { self.store.get_opts(key, options).await?.bytes().await };
        match self.call("read", key, read).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ChainError::Store { source: object_store::Error::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        key: &Path,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, ChainError> {
        let limit = self.pace.call;
        match timeout(limit, call).await {
            Ok(answer) => {
                answer.map_err(|source| ChainError::Store { operation, key: key.clone(), source })
            }
            Err(_) => Err(ChainError::NoAnswer { operation, key: key.clone(), limit }),
        }
    }

    fn key(&self, seq: Seq) -> Path {
        self.prefix.clone().join(seq.to_string())
    }

    /// The place of a listed object; `None` for a name that this module would never give.
    fn seq_of(&self, key: &Path) -> Option<Seq> {
        let seq = Seq::new(key.filename()?.parse().ok()?);
        (self.key(seq) == *key).then_some(seq)
    }

    fn contended(&self, operation: &'static str) -> ChainError {
        ChainError::Contended { operation, prefix: self.prefix.clone(), tries: self.pace.tries }
    }

    fn used_up(&self) -> ChainError {
        ChainError::UsedUp { prefix: self.prefix.clone() }
    }
}
