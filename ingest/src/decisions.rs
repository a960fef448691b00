//! Operators' decisions: what a shard may do that it must not do by itself.
//!
//! A decision is an object that never changes, under `decisions/`, made by `postroad decide`. It writes
//! no shard's chain: the owner of the shard adopts it at its next claim, if it fits what the shard holds
//! by then, and its checkpoints list it from there on.

use object_store::path::Path;
use postroad_aggregate::decision::{DecisionId, Replay};
use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::units::{BusinessDay, Offset, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::checkpoint::{ShardId, Source, StallReason};
use crate::source::kafka::TopicPartition;
use crate::store::{Store, StoreError};

/// How often a decision that another was faster than is written again.
const TRIES: u32 = 16;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// The offsets `[from, to)` are given up: retention deleted them before they were read.
    AcceptLoss {
        /// What had been read up to.
        from: i64,
        /// Where the log began.
        to: i64,
    },
    /// What was read of the log is closed as it is, and a new life of the shard begins.
    Restart {
        /// Where it begins.
        from: RestartFrom,
        /// What had been read up to. With the reason it names the stall that was decided about, so
        /// that no later one is ended by a decision that nobody made about it.
        next_offset: i64,
        /// Why the shard was stalled.
        stalled_by: StallReason,
    },
    /// Days up to this one, inclusive, may be complete without the shard.
    ReleaseDay {
        /// The last of them.
        through: BusinessDay,
    },
    /// Dead letters count after all.
    Replay(ReplayRecord),
}

/// A replay as it is stored: offsets, and what each cell gains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRecord {
    /// How many dead letters had been replayed when it was worked out: what another replay adds since
    /// is not known to it.
    pub after: usize,
    /// The offsets of the records that are applied, ascending.
    pub applied: Vec<i64>,
    /// The offsets of those that repeat another record, ascending.
    pub duplicates: Vec<i64>,
    /// What the cells gain.
    pub cells: Vec<CellRecord>,
}

/// What one cell gains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRecord {
    /// Business day.
    pub business_date: BusinessDay,
    /// Prefecture.
    pub prefecture_code: PrefectureCode,
    /// Product.
    pub product_code: String,
    /// Every measure in the order of `Measures`, as decimal integers: fen, grams and counts. JSON
    /// numbers are too short for some.
    pub measures: Vec<String>,
}

impl ReplayRecord {
    /// The record of a replay that was worked out when so many dead letters had been replayed.
    pub fn new(replay: &Replay, after: usize) -> Self {
        let offsets = |list: &[Offset]| list.iter().map(|offset| offset.get()).collect();
        let cells = replay.cells.iter().map(|(key, measures)| CellRecord {
            business_date: key.day,
            prefecture_code: key.prefecture,
            product_code: key.product.as_str().to_owned(),
            measures: measures.to_array().iter().map(ToString::to_string).collect(),
        });
        Self {
            after,
            applied: offsets(&replay.applied),
            duplicates: offsets(&replay.duplicates),
            cells: cells.collect(),
        }
    }

    /// The replay that was recorded; `None` where a product or a number cannot be understood.
    pub fn replay(&self) -> Option<Replay> {
        let offsets = |list: &[i64]| list.iter().copied().map(Offset::new).collect();
        let cell = |cell: &CellRecord| {
            let product = Product::ALL.iter().find(|p| p.as_str() == cell.product_code)?;
            let key = CellKey {
                day: cell.business_date,
                prefecture: cell.prefecture_code,
                product: *product,
            };
            let row: Vec<i128> =
                cell.measures.iter().map(|number| number.parse().ok()).collect::<Option<_>>()?;
            Some((key, Measures::from_array(row.as_slice().try_into().ok()?)?))
        };
        Some(Replay {
            applied: offsets(&self.applied),
            duplicates: offsets(&self.duplicates),
            cells: self.cells.iter().map(cell).collect::<Option<_>>()?,
        })
    }
}

/// Where the next life of a shard begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartFrom {
    /// At the first record that the log holds when the decision is adopted.
    Earliest,
    /// At the end of the log when the decision is adopted.
    Latest,
    /// At an offset.
    Offset(i64),
}

/// A decision as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// Why, in the operator's words.
    pub reason: String,
    /// When.
    pub decided_at: Timestamp,
}

/// A decision, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its address: a hash of its content.
    pub id: DecisionId,
    /// Its key in the store.
    pub key: Path,
    /// Its content.
    pub recorded: Recorded,
}

fn folder(shard: &ShardId) -> Path {
    shard.folder("decisions")
}

/// Every decision about a shard, in the order in which they were made.
///
/// # Errors
/// Where the store fails or a decision cannot be understood.
pub async fn about(store: &Store, shard: &ShardId) -> Result<Vec<Found>, StoreError> {
    survey(store, shard).await?.into_iter().collect()
}

/// Every decision about a shard, each on its own: what cannot be understood takes no other with it.
///
/// # Errors
/// Where the store fails.
pub async fn survey(
    store: &Store,
    shard: &ShardId,
) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
    let mut found = Vec::new();
    for key in store.list(&folder(shard)).await? {
        let content = store.get(&key).await?;
        let recorded = serde_json::from_slice(&content).map_err(|error| {
            let reason =
                format!("{error}; it was not made by `postroad decide`, or by a newer one");
            StoreError::Unreadable { key: key.to_string(), reason }
        });
        let id = DecisionId(xxh3_128(&content));
        found.push(recorded.map(|recorded| Found { id, key, recorded }));
    }
    Ok(found)
}

/// The keys of all decisions about any shard, in order.
///
/// # Errors
/// Where the store fails.
pub async fn all_keys(store: &Store) -> Result<Vec<Path>, StoreError> {
    store.list(&Path::from("decisions")).await
}

/// The partition that a decision is about, by its key; `None` if it is about a file.
pub fn partition_of(key: &Path) -> Option<TopicPartition> {
    let parts: Vec<_> = key.parts().collect();
    let [_, source, topic, partition, _, _] = parts.as_slice() else { return None };
    (source.as_ref() == Source::Kafka.as_str()).then_some(())?;
    Some(TopicPartition::new(topic.as_ref(), partition.as_ref().parse().ok()?))
}

/// Records a decision. It is a defect to record the same one twice, but harmless: the second does not
/// fit what the first left.
///
/// # Errors
/// Where the store fails, or others record decisions about this shard all the time.
///
/// # Panics
/// Never: plain structs serialise.
pub async fn record(
    store: &Store,
    shard: &ShardId,
    recorded: &Recorded,
) -> Result<Path, StoreError> {
    let mut content = serde_json::to_vec_pretty(recorded).expect("plain structs serialise");
    content.push(b'\n');
    let mut number = store.list(&folder(shard)).await?.len();
    for _ in 0..TRIES {
        let key = folder(shard).join(format!("{number:06}.json"));
        if store.create(&key, content.clone().into()).await? {
            return Ok(key);
        }
        number += 1;
    }
    Err(StoreError::TurnedDown { key: folder(shard).to_string(), tries: TRIES })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    fn recorded(decision: Decision) -> Recorded {
        let decided_at = Timestamp::from_micros(7);
        Recorded { decision, reason: "the broker's disk was lost".to_owned(), decided_at }
    }

    fn restart(from: RestartFrom) -> Decision {
        Decision::Restart { from, next_offset: 5, stalled_by: StallReason::Recreated }
    }

    #[tokio::test]
    async fn decisions_are_kept_in_the_order_in_which_they_were_made() {
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        let shard = ShardId::kafka("parcel.events", 3);
        let made = [
            recorded(Decision::AcceptLoss { from: 5, to: 9 }),
            recorded(restart(RestartFrom::Offset(4))),
            recorded(restart(RestartFrom::Earliest)),
            recorded(Decision::ReleaseDay { through: BusinessDay::from_days(18_808) }),
            recorded(Decision::Replay(ReplayRecord::new(&replay(), 0))),
        ];
        for decision in &made {
            record(&store, &shard, decision).await.expect("memory takes it");
        }
        let found = about(&store, &shard).await.expect("they can be read");
        let again: Vec<_> = found.iter().map(|found| found.recorded.clone()).collect();
        assert_eq!(again, made);
        let other = ShardId::kafka("parcel.events", 4);
        assert_eq!(about(&store, &other).await.expect("an empty folder"), []);
        let keys = all_keys(&store).await.expect("a listing");
        assert_eq!(keys.len(), 5);
        assert_eq!(partition_of(&keys[0]), Some(TopicPartition::new("parcel.events", 3)));
    }

    fn replay() -> Replay {
        let key = CellKey {
            day: BusinessDay::from_days(18_808),
            prefecture: PrefectureCode::new(210_100).expect("six digits"),
            product: Product::Express,
        };
        let row = std::array::from_fn(|index| if index == 1 { i128::MIN } else { 1 });
        let measures = Measures::from_array(&row).expect("counts fit");
        let (applied, duplicates) = (vec![Offset::new(4)], vec![Offset::new(9)]);
        Replay { applied, duplicates, cells: vec![(key, measures)] }
    }

    #[test]
    fn a_replay_comes_back_as_it_was_recorded() {
        let record = ReplayRecord::new(&replay(), 0);
        assert_eq!(record.replay(), Some(replay()));
        let mut other = record.clone();
        other.cells[0].measures.pop();
        assert_eq!(other.replay(), None);
        let mut other = record;
        other.cells[0].product_code = "pigeon".to_owned();
        assert_eq!(other.replay(), None);
    }

    #[test]
    fn a_decision_reads_as_an_operator_would_expect() {
        let text = |decision| serde_json::to_string(&recorded(decision)).expect("it serialises");
        assert_eq!(
            text(Decision::AcceptLoss { from: 5, to: 9 }),
            r#"{"decision":"accept_loss","from":5,"to":9,"reason":"the broker's disk was lost","decided_at":7}"#
        );
        assert_eq!(
            text(restart(RestartFrom::Offset(4))),
            r#"{"decision":"restart","from":{"offset":4},"next_offset":5,"stalled_by":"recreated","reason":"the broker's disk was lost","decided_at":7}"#
        );
    }
}
