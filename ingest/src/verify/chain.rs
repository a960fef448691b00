//! The chain of a shard's checkpoints as it stands in the store, with the segments that they list.

use std::sync::Arc;

use super::compare::{Difference, Differences};
use super::sealed::Segments;
use crate::checkpoint::chain::Surveyed;
use crate::checkpoint::envelope::{Seq, Unreadable};
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
    /// Reads a chain. What is damaged is a difference, and left out.
    pub(super) async fn read(
        store: &Store,
        id: &ShardId,
        differences: &mut Vec<Difference>,
    ) -> Result<Self, Failure> {
        let mut found = Self::default();
        let surveyed = store.chain(id).survey().await.map_err(|error| failed(&error))?;
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
