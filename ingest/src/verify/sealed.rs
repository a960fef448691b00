//! What left the states of a shard for segments, put back where it came from.

use std::collections::HashMap;

use postroad_aggregate::seal::Segment;
use postroad_aggregate::shard::ShardState;

use super::store_failure;
use crate::checkpoint::format::segment::Sealed;
use crate::checkpoint::{ShardId, segments};
use crate::error::{Failure, Kind};
use crate::store::Store;

/// The segments that the checkpoints of a shard list, each read once; or what is wrong with one.
#[derive(Debug, Default)]
pub struct Segments(HashMap<Segment, Result<Sealed, String>>);

impl Segments {
    /// Reads those that a state lists and that are not known yet.
    ///
    /// # Errors
    /// Where the store fails. A segment that is damaged or missing is no error.
    pub(super) async fn load(
        &mut self,
        store: &Store,
        id: &ShardId,
        state: &ShardState,
    ) -> Result<(), Failure> {
        for segment in &state.sealed {
            if self.0.contains_key(segment) {
                continue;
            }
            let found = match segments::load(store, id, segment).await {
                Ok(sealed) => Ok(sealed),
                Err(error) if error.is_not_found() || error.kind() == Kind::Data => {
                    Err(format!("{}: {error}", segments::key(id, segment)))
                }
                Err(error) => return Err(store_failure(&error)),
            };
            self.0.insert(*segment, found);
        }
        Ok(())
    }

    /// A state as if nothing of it had ever been sealed. The dead letters that count after all are
    /// still among the others, and in its list.
    ///
    /// # Errors
    /// What is wrong with a segment that it lists.
    pub fn unseal(&self, state: &ShardState) -> Result<ShardState, String> {
        let mut whole = ShardState { sealed: Vec::new(), ..state.clone() };
        for segment in &state.sealed {
            match self.0.get(segment) {
                Some(Ok(Sealed::Cells(cells))) => {
                    for (key, measures) in cells {
                        *whole.cells.entry(*key).or_default() += measures;
                    }
                }
                Some(Ok(Sealed::DeadLetters(letters))) => {
                    whole.dead_letters.extend(letters.iter().cloned());
                }
                Some(Err(damage)) => return Err(damage.clone()),
                None => return Err("a segment was not read".to_owned()),
            }
        }
        whole.dead_letters.sort_by_key(|letter| letter.offset);
        Ok(whole)
    }
}
