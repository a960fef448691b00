//! The chain of a shard's checkpoints as it stands in the store, with the segments that they list.

use std::sync::Arc;

use super::compare::{Difference, Differences};
use super::sealed::Segments;
use crate::checkpoint::chain::Surveyed;
use crate::checkpoint::envelope::{Link, Seq, Unreadable};
use crate::checkpoint::format::{self, FormatError};
use crate::checkpoint::{Checkpoint, ShardId};
use crate::error::{Exit, Failure};
use crate::store::Store;

/// A checkpoint and its place.
pub(super) type Placed = (Seq, Arc<Checkpoint>);

/// Every whole checkpoint of a shard, oldest first, and their segments.
#[derive(Debug, Default)]
pub(super) struct FoundChain {
    pub(super) checkpoints: Vec<Placed>,
    pub(super) segments: Segments,
}

impl FoundChain {
    /// Reads a chain. What is damaged is a difference, and left out; so is a hole that no collection has
    /// made, which leaves the `keep` newest.
    pub(super) async fn read(
        store: &Store,
        id: &ShardId,
        keep: usize,
        differences: &mut Vec<Difference>,
    ) -> Result<Self, Failure> {
        let mut found = Self::default();
        let surveyed = store.chain(id).survey().await.map_err(|error| failed(&error))?;
        for (before, after) in holes(&surveyed, keep) {
            let found =
                format!("broken: nothing stands between {} and {}", before.get(), after.get());
            let mut of_chain = Differences::at("checkpoints");
            of_chain.check(&id.to_string(), "chain", found, "whole");
            differences.extend(of_chain.into_vec());
        }
        for object in surveyed {
            match open(id, &object)? {
                Ok(checkpoint) => found.add(store, object.seq, checkpoint, differences).await?,
                Err(damage) => note(differences, id, object.seq, "object", damage, "whole"),
            }
        }
        Ok(found)
    }

    async fn add(
        &mut self,
        store: &Store,
        seq: Seq,
        checkpoint: Checkpoint,
        differences: &mut Vec<Difference>,
    ) -> Result<(), Failure> {
        let id = &checkpoint.id;
        self.segments.load(store, id, &checkpoint.state).await?;
        if let Err(damage) = self.segments.unseal(&checkpoint.state) {
            // Segments go after the checkpoints that list them.
            let collected = store.chain(id).look_at(seq).await.map_err(|error| failed(&error))?;
            if collected.is_some() {
                note(differences, id, seq, "a segment", damage, "whole");
            }
            return Ok(());
        }
        if let Err(violation) = checkpoint.state.check() {
            note(differences, id, seq, "account", violation.to_string(), "balanced");
        }
        self.checkpoints.push((seq, Arc::new(checkpoint)));
        Ok(())
    }

    /// Adds a checkpoint of which nothing is sealed, unless it is there.
    pub(super) fn include(&mut self, placed: &Placed) {
        if !self.checkpoints.iter().any(|(seq, _)| *seq == placed.0) {
            self.checkpoints.push(placed.clone());
            self.checkpoints.sort_by_key(|(seq, _)| *seq);
        }
    }

    /// The newest of them.
    pub(super) fn newest(&self) -> Option<&Placed> {
        self.checkpoints.last()
    }
}

/// Where objects are missing between two that are there, given by those. A collection takes the oldest
/// and leaves at least `keep`, but a twin of a put may land late below them; and a claim goes above
/// places that were lost with what they held, which was read again.
fn holes(objects: &[Surveyed], keep: usize) -> Vec<(Seq, Seq)> {
    let newest = &objects[objects.len().saturating_sub(keep.max(2))..];
    let is_hole = |before: &Surveyed, after: &Surveyed| {
        let continues = after.envelope.as_ref().is_ok_and(|found| found.link == Link::Commit);
        continues && before.seq.next() != Some(after.seq)
    };
    let pairs = newest.iter().zip(newest.iter().skip(1));
    pairs.filter(|(one, two)| is_hole(one, two)).map(|(one, two)| (one.seq, two.seq)).collect()
}

/// The checkpoint at a place with nothing of it sealed; `None` where it is not there or not whole.
pub(super) async fn read_whole(
    store: &Store,
    id: &ShardId,
    seq: Seq,
) -> Result<Option<Checkpoint>, Failure> {
    let found = store.chain(id).look_at(seq).await.map_err(|error| failed(&error))?;
    let Some(surveyed) = found else { return Ok(None) };
    let Ok(checkpoint) = open(id, &surveyed)? else { return Ok(None) };
    let mut segments = Segments::default();
    segments.load(store, id, &checkpoint.state).await?;
    Ok(segments.unseal(&checkpoint.state).ok().map(|state| checkpoint.with(state)))
}

/// How a difference names a checkpoint.
pub(super) fn place(id: &ShardId, seq: Seq) -> String {
    format!("checkpoint {} of {id}", seq.get())
}

fn note(
    differences: &mut Vec<Difference>,
    id: &ShardId,
    seq: Seq,
    column: &str,
    found: String,
    expected: &str,
) {
    let place = place(id, seq);
    let mut of_checkpoint = Differences::at(&place);
    of_checkpoint.check("", column, found, expected);
    differences.extend(of_checkpoint.into_vec());
}

fn failed(error: &crate::checkpoint::chain::ChainError) -> Failure {
    Failure::from_error(Exit::of(error.kind()), error)
}

/// The checkpoint in an object of a shard's chain, or what is wrong with it. One of a newer format,
/// which this program must not judge, is a failure.
fn open(id: &ShardId, object: &Surveyed) -> Result<Result<Checkpoint, String>, Failure> {
    let newer =
        |what: String| Failure::new(Exit::Config, format!("{}: {what}", place(id, object.seq)));
    let envelope = match &object.envelope {
        Ok(envelope) => envelope,
        Err(error @ Unreadable::Newer { .. }) => return Err(newer(error.to_string())),
        Err(error @ Unreadable::Damaged(_)) => return Ok(Err(error.to_string())),
    };
    match format::decode(&envelope.payload) {
        Ok(checkpoint) if checkpoint.id == *id => Ok(Ok(checkpoint)),
        Ok(checkpoint) => Ok(Err(format!("one of {}", checkpoint.id))),
        Err(error @ FormatError::Newer(_)) => Err(newer(error.to_string())),
        Err(error) => Ok(Err(format!("damaged: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::checkpoint::envelope::{Damage, Envelope, Epoch, Nonce};

    /// Objects at these places: commits, the places of `claims` apart.
    #[track_caller]
    fn check(places: &[u64], claims: &[u64], keep: usize, expect: &[(u64, u64)]) {
        let object = |place: &u64| {
            let seq = Seq::new(*place);
            let link = if claims.contains(place) { Link::Claim } else { Link::Commit };
            let (epoch, nonce) = (Epoch::FIRST, Nonce::new(1));
            let payload = Bytes::new();
            let envelope = Ok(Envelope { link, seq, epoch, nonce, predecessor: None, payload });
            Surveyed { seq, bytes: 0, envelope }
        };
        let objects: Vec<Surveyed> = places.iter().map(object).collect();
        let found = holes(&objects, keep).into_iter().map(|(one, two)| (one.get(), two.get()));
        assert_eq!(found.collect::<Vec<_>>(), expect, "{places:?}");
    }

    #[test]
    fn a_hole_is_one_that_no_collection_and_no_claim_has_made() {
        check(&[], &[], 4, &[]);
        check(&[7], &[], 4, &[]);
        check(&[7, 8, 9], &[], 4, &[]);
        check(&[6, 8, 9], &[], 4, &[(6, 8)]);
        check(&[1, 4, 7, 9], &[], 4, &[(1, 4), (4, 7), (7, 9)]);
        // A claim above places that were lost.
        check(&[6, 8, 9], &[8], 4, &[]);
        // A twin that landed late, below what a collection had left.
        check(&[3, 6, 7, 8, 9], &[], 4, &[]);
        check(&[3, 6, 7, 8, 9], &[], 5, &[(3, 6)]);
    }

    #[test]
    fn what_is_damaged_does_not_say_whether_it_continued_what_is_missing() {
        let damaged = |seq| Surveyed {
            seq: Seq::new(seq),
            bytes: 0,
            envelope: Err(Unreadable::Damaged(Damage::Checksum)),
        };
        assert_eq!(holes(&[damaged(3), damaged(5)], 8), []);
    }
}
