//! Segments in the store: what left a shard's state, each an object that never changes.
//!
//! A segment is written before the checkpoint that first lists it, so that a checkpoint never lists
//! what is not there. Its name begins with the reign of its writer, and whoever cleans up deletes only
//! names of reigns up to its own which no retained checkpoint lists: a later owner inherits names from
//! a retained checkpoint, or makes new ones of a later reign, so it cannot come to need one of those.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::seal::{Leaving, Part, Segment};
use postroad_aggregate::shard::{Cells, ShardState};
use postroad_schemas::units::BusinessDay;
use xxhash_rust::xxh3::xxh3_128;

use super::chain::{ChainError, Tip};
use super::envelope::{Epoch, Seq};
use super::format::segment::{Sealed, decode, encode_cells, encode_dead_letters};
use super::{ShardId, format};
use crate::failpoint::Point;
use crate::store::{Store, StoreError, failed};

/// Above how many segments of one month, or of dead letters, a claim folds them into one.
const SEGMENTS_MAX: usize = 8;
/// Segments of dead letters with at least this many are left as they are.
const DEAD_LETTERS_LARGE: u64 = 100_000;

/// A segment and its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// How checkpoints list it.
    pub segment: Segment,
    /// What is stored.
    pub bytes: Bytes,
}

impl fmt::Debug for Encoded {
    /// Says how long it is, and never what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.len();
        f.debug_struct("Encoded").field("segment", &self.segment).field("bytes", &bytes).finish()
    }
}

/// Encodes what left a state, for the checkpoint at this place.
pub fn seal(leaving: &Leaving, (epoch, seq): (Epoch, Seq)) -> Vec<Encoded> {
    let cells =
        leaving.cells.iter().map(|(month, cells)| encode_month(*month, cells, (epoch, seq)));
    let letters = (!leaving.dead_letters.is_empty())
        .then(|| encode_letters(&leaving.dead_letters, (epoch, seq)));
    cells.chain(letters).collect()
}

fn encode_month(
    month: BusinessDay,
    cells: &BTreeMap<CellKey, Measures>,
    place: (Epoch, Seq),
) -> Encoded {
    let events: i64 = cells.values().map(|measures| measures.events).sum();
    encoded(Part::Cells(month), events.cast_unsigned(), encode_cells(cells), place)
}

fn encode_letters(letters: &[DeadLetter], place: (Epoch, Seq)) -> Encoded {
    encoded(Part::DeadLetters, letters.len() as u64, encode_dead_letters(letters), place)
}

fn encoded(part: Part, records: u64, bytes: Vec<u8>, (epoch, seq): (Epoch, Seq)) -> Encoded {
    let (epoch, seq, hash) = (epoch.get(), seq.get(), xxh3_128(&bytes));
    Encoded { segment: Segment { part, epoch, seq, records, hash }, bytes: bytes.into() }
}

fn folder(id: &ShardId) -> Path {
    id.folder("segments")
}

/// The key of a segment: reign, place, part and hash.
pub fn key(id: &ShardId, segment: &Segment) -> Path {
    let Segment { part, epoch, seq, hash, .. } = segment;
    let part = match part {
        Part::Cells(month) => month.to_string(),
        Part::DeadLetters => "dead-letters".to_owned(),
    };
    folder(id).join(format!("{epoch:020}-{seq:020}-{part}-{hash:032x}.bin"))
}

/// The reign in the name of a segment; `None` for a name that is not one's.
fn epoch_of(key: &Path) -> Option<u64> {
    key.filename()?.split('-').next()?.parse().ok()
}

/// Stores segments. Their names hold the hash of their bytes, so one that exists is the same, or
/// damaged: no checkpoint may list it then.
///
/// # Errors
/// Where the store fails, or holds other bytes under a segment's name; the same again may succeed.
pub async fn put(store: &Store, id: &ShardId, segments: &[Encoded]) -> Result<(), StoreError> {
    for Encoded { segment, bytes } in segments {
        let key = key(id, segment);
        if !store.create(&key, bytes.clone()).await? {
            let reason = "its bytes are not those that its name says; it is damaged: remove it";
            return Err(StoreError::Unreadable { key: key.to_string(), reason: reason.to_owned() });
        }
    }
    Ok(())
}

/// The keys of the segments that a state lists and the store does not hold: nobody goes on from such
/// a state, whose old days are lost.
///
/// # Errors
/// Where the store fails.
pub async fn missing(
    store: &Store,
    id: &ShardId,
    listed: &[Segment],
) -> Result<Vec<Path>, StoreError> {
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let there: BTreeSet<Path> = all(store, id).await?.into_iter().collect();
    Ok(listed.iter().map(|segment| key(id, segment)).filter(|key| !there.contains(key)).collect())
}

/// The keys of all segments of a shard.
async fn all(store: &Store, id: &ShardId) -> Result<Vec<Path>, StoreError> {
    store.list(&folder(id)).await
}

/// Reads a segment.
///
/// # Errors
/// Where the store fails, or the segment is not the one that was listed.
pub async fn load(store: &Store, id: &ShardId, segment: &Segment) -> Result<Sealed, StoreError> {
    let key = key(id, segment);
    let bytes = store.get(&key).await?;
    let unreadable = |reason: &str| StoreError::Unreadable {
        key: key.to_string(),
        reason: format!("{reason}; restore the object from a copy of the store"),
    };
    if xxh3_128(&bytes) != segment.hash {
        return Err(unreadable("its bytes are not those that the checkpoint lists"));
    }
    decode(&bytes).map_err(|error: format::FormatError| unreadable(&error.to_string()))
}

/// What a shard's segments hold together, kept while they stay the same.
#[derive(Debug, Default)]
pub struct Unsealed {
    listed: Vec<Segment>,
    cells: Cells,
    dead_letters: Vec<DeadLetter>,
}

impl Unsealed {
    /// Reads the segments that a checkpoint lists, those that are new.
    ///
    /// # Errors
    /// Where the store fails, or a segment is damaged. The next update begins anew.
    pub async fn update(
        &mut self,
        store: &Store,
        id: &ShardId,
        listed: &[Segment],
    ) -> Result<(), StoreError> {
        let mut before = std::mem::take(self);
        if !listed.starts_with(&before.listed) {
            before = Self::default();
        }
        for segment in &listed[before.listed.len()..] {
            match load(store, id, segment).await? {
                Sealed::Cells(cells) => add(&mut before.cells, cells),
                Sealed::DeadLetters(letters) => before.dead_letters.extend(letters),
            }
            before.listed.push(*segment);
        }
        *self = before;
        Ok(())
    }

    /// A state as if nothing of it had ever been sealed, and without the dead letters that count
    /// after all.
    pub fn whole(&self, state: &ShardState) -> ShardState {
        let mut whole = ShardState { sealed: Vec::new(), replayed: Vec::new(), ..state.clone() };
        add(&mut whole.cells, self.cells.iter().map(|(key, measures)| (*key, *measures)));
        whole.dead_letters.extend(self.dead_letters.iter().cloned());
        whole.dead_letters.retain(|letter| state.replayed.binary_search(&letter.offset).is_err());
        whole.dead_letters.sort_by_key(|letter| letter.offset);
        whole
    }
}

fn add(sum: &mut Cells, cells: impl IntoIterator<Item = (CellKey, Measures)>) {
    for (key, measures) in cells {
        *sum.entry(key).or_default() += &measures;
    }
}

/// Folds the segments of a part into one where they have become many. Returns what has to be stored
/// before the checkpoint at `place`, which then lists the new ones instead.
///
/// # Errors
/// Where the store fails, or a segment is damaged.
pub async fn fold_together(
    store: &Store,
    id: &ShardId,
    state: &mut ShardState,
    place: (Epoch, Seq),
) -> Result<Vec<Encoded>, StoreError> {
    let mut parts: BTreeMap<Part, Vec<Segment>> = BTreeMap::new();
    let is_small = |segment: &&Segment| {
        segment.part != Part::DeadLetters || segment.records < DEAD_LETTERS_LARGE
    };
    for segment in state.sealed.iter().filter(is_small) {
        parts.entry(segment.part).or_default().push(*segment);
    }
    let mut folded = Vec::new();
    for (part, segments) in parts.into_iter().filter(|(_, many)| many.len() > SEGMENTS_MAX) {
        let mut cells: BTreeMap<CellKey, Measures> = BTreeMap::new();
        let mut letters = Vec::new();
        for segment in &segments {
            match load(store, id, segment).await? {
                Sealed::Cells(more) => {
                    for (key, measures) in more {
                        *cells.entry(key).or_default() += &measures;
                    }
                }
                Sealed::DeadLetters(more) => letters.extend(more),
            }
        }
        letters.sort_by_key(|letter: &DeadLetter| letter.offset);
        let whole = match part {
            Part::Cells(month) => encode_month(month, &cells, place),
            Part::DeadLetters => encode_letters(&letters, place),
        };
        state.sealed.retain(|segment| !segments.contains(segment));
        state.sealed.push(whole.segment);
        folded.push(whole);
    }
    Ok(folded)
}

/// Deletes segments that no retained checkpoint lists; `listed` are those of the one at `tip`.
///
/// # Errors
/// Where the store fails; the next collection goes on.
pub async fn collect(
    store: &Store,
    id: &ShardId,
    tip: &Tip,
    listed: &[Segment],
) -> Result<usize, CollectError> {
    let listed: BTreeSet<Path> = listed.iter().map(|segment| key(id, segment)).collect();
    let mut unlisted: BTreeSet<Path> = all(store, id)
        .await?
        .into_iter()
        .filter(|key| epoch_of(key).is_some_and(|epoch| epoch <= tip.epoch().get()))
        .filter(|key| !listed.contains(key))
        .collect();
    if unlisted.is_empty() {
        return Ok(0);
    }
    // Whoever else may still go on from an older checkpoint needs what that one lists.
    let chain = store.chain(id);
    for payload in chain.retained(tip).await? {
        if let Ok(checkpoint) = format::decode(&payload) {
            for segment in &checkpoint.state.sealed {
                unlisted.remove(&key(id, segment));
            }
        }
    }
    Point::BeforeSegmentCollection.pass();
    for key in &unlisted {
        match store.objects().delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed("deleting", key)(error).into()),
        }
    }
    Ok(unlisted.len())
}

/// Segments could not be cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain could not be read, or has gone on without this writer.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use postroad_aggregate::rules::RulesId;
    use postroad_schemas::contract::Contract;
    use postroad_schemas::reject::Reason;
    use postroad_schemas::units::{NextOffset, Offset, Timestamp};

    use super::*;
    use crate::checkpoint::Standing;

    /// A segment of one dead letter, stored.
    async fn stored(store: &Store, id: &ShardId, offset: i64) -> Segment {
        let letter = DeadLetter {
            offset: Offset::new(offset),
            timestamp: None,
            judged_at: Timestamp::from_micros(0),
            reason: Reason::TooLarge,
            field: None,
            payload: None,
        };
        let encoded = encode_letters(&[letter], (Epoch::FIRST, Seq::FIRST));
        put(store, id, std::slice::from_ref(&encoded)).await.expect("a sound store");
        encoded.segment
    }

    fn listing(id: &ShardId, segment: Segment) -> Bytes {
        let mut state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b""));
        state.sealed.push(segment);
        Bytes::from(format::encode(&Standing::new(id.clone()).with(state)))
    }

    /// A claim that folded segments together lists the whole instead of the parts, which whoever falls
    /// back to the checkpoint before needs.
    #[tokio::test]
    async fn what_a_retained_checkpoint_lists_is_not_collected() {
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        let id = ShardId::kafka("parcel.events", 0);
        let (part, whole) = (stored(&store, &id, 1).await, stored(&store, &id, 2).await);
        let nobodys = stored(&store, &id, 3).await;
        let chain = store.chain(&id);
        let tip = chain.claim(None, listing(&id, part)).await.expect("a sound store");
        let tip = tip.expect("a chain of our own");
        let tip = chain.commit(tip, listing(&id, whole)).await.expect("a chain of our own");
        let deleted = collect(&store, &id, &tip, &[whole]).await.expect("a sound store");
        assert_eq!(deleted, 1);
        load(&store, &id, &part).await.expect("it is listed by the one before");
        load(&store, &id, &whole).await.expect("it is listed");
        load(&store, &id, &nobodys).await.expect_err("nobody lists it");
    }
}
