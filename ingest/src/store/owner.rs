//! What a store is, and whose: its format, and the group on the cluster that it belongs to.

use std::collections::BTreeMap;

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, from_json};
use crate::checkpoint::{LoadError, ShardId};
use crate::error::Kind;

/// The layout that this program reads and writes.
pub(super) const STORE_FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct StoreJson {
    format: u32,
}

/// Whose store it is. Written by the first `run`; a backfill has no group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Consumer group.
    pub group: String,
}

impl Owner {
    /// Whether the store is of whoever asks.
    ///
    /// # Errors
    /// That it is another's.
    pub fn check(&self, asking: &Self) -> Result<(), StoreError> {
        if self == asking {
            return Ok(());
        }
        Err(StoreError::Foreign {
            found_group: self.group.clone(),
            found_cluster: self.cluster_id.clone(),
            group: asking.group.clone(),
            cluster: asking.cluster_id.clone(),
        })
    }
}

impl Store {
    /// Proves that the store keeps its promises, and that this program reads its format.
    ///
    /// # Errors
    /// Where it is not writable, does not honour its conditions, or is of a newer format.
    pub async fn prepare(&self, nonce: u128) -> Result<(), StoreError> {
        self.prove(nonce).await?;
        let ours = StoreJson { format: STORE_FORMAT };
        check_format(&self.create_or_get(&store_key(), &ours).await?)
    }

    /// Whether there is a store already, of a format that this program reads.
    ///
    /// # Errors
    /// Where it cannot be read, or is of a newer format.
    pub async fn exists(&self) -> Result<bool, StoreError> {
        match self.get(&store_key()).await {
            Ok(content) => check_format(&from_json(&store_key(), &content)?).map(|()| true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the store this group's, or finds that it is.
    ///
    /// # Errors
    /// Where it is another's.
    pub async fn belong_to(&self, owner: &Owner) -> Result<(), StoreError> {
        let found: Owner = self.create_or_get(&Path::from("owner.json"), owner).await?;
        found.check(owner)
    }

    /// Sees that the store still is this group's, of a format that this program reads. What says so is
    /// written again where it is gone; returns whether it was.
    ///
    /// # Errors
    /// Where it is another's now, or of a newer format, or cannot be read.
    pub async fn stay_with(&self, owner: &Owner) -> Result<bool, StoreError> {
        let is_store = self.exists().await?;
        if !is_store {
            let ours = StoreJson { format: STORE_FORMAT };
            check_format(&self.create_or_get(&store_key(), &ours).await?)?;
        }
        match self.owner().await? {
            Some(found) => found.check(owner).map(|()| !is_store),
            None => self.belong_to(owner).await.map(|()| true),
        }
    }

    /// A shard that some group's `run` has written, if the store holds any of these partitions. A backfill
    /// knows no topic's id, nor does a `run` whose brokers give none.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn written_by_run(
        &self,
        partitions: &BTreeMap<String, i32>,
    ) -> Result<Option<ShardId>, LoadError> {
        for (topic, count) in partitions {
            for partition in 0..*count {
                let id = ShardId::kafka(topic.as_str(), partition);
                match self.newest_checkpoint(&id).await {
                    Ok(Some((_, found))) if found.topic_id.is_some() => return Ok(Some(id)),
                    // What is damaged does not tell; its claim will say so.
                    Err(error) if error.kind() != Kind::Data => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(None)
    }

    /// Whose store it is; `None` where no `run` has used it yet.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        let key = Path::from("owner.json");
        match self.get(&key).await {
            Ok(content) => from_json(&key, &content).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What `store.json` holds.
pub(super) fn store_content() -> String {
    let ours = StoreJson { format: STORE_FORMAT };
    serde_json::to_string(&ours).expect("a plain struct serialises")
}

fn store_key() -> Path {
    Path::from("store.json")
}

fn check_format(found: &StoreJson) -> Result<(), StoreError> {
    if found.format > STORE_FORMAT {
        return Err(StoreError::Newer { found: found.format });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use postroad_aggregate::rules::RulesId;
    use postroad_aggregate::shard::ShardState;
    use postroad_schemas::contract::Contract;
    use postroad_schemas::units::NextOffset;

    use super::*;
    use crate::checkpoint::{Standing, format};
    use crate::source::TopicId;

    fn owner(group: &str) -> Owner {
        Owner { cluster_id: "cluster".to_owned(), group: group.to_owned() }
    }

    #[tokio::test]
    async fn what_says_whose_a_store_is_is_written_again_and_another_group_is_noticed() {
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        let ours = owner("ours");
        assert!(store.stay_with(&ours).await.expect("a sound store"), "nothing was there");
        assert!(!store.stay_with(&ours).await.expect("a sound store"), "all is well");
        for key in ["owner.json", "store.json"] {
            let key = Path::from(key);
            let before = store.get(&key).await.expect("it is there");
            store.objects().delete(&key).await.expect("a sound store");
            assert!(store.stay_with(&ours).await.expect("a sound store"));
            assert_eq!(store.get(&key).await.expect("it is there again"), before);
        }
        let refused = store.stay_with(&owner("other")).await.expect_err("it is another's");
        assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
        let newer = br#"{"format": 9}"#.to_vec();
        store.objects().put(&store_key(), newer.into()).await.expect("a sound store");
        let refused = store.stay_with(&ours).await.expect_err("it is of a newer format");
        assert!(matches!(refused, StoreError::Newer { found: 9 }), "{refused}");
    }

    /// Only a `run` on brokers that give topics ids leaves one in a checkpoint.
    #[tokio::test]
    async fn a_checkpoint_of_a_run_is_told_from_one_of_a_backfill() {
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        let partitions = BTreeMap::from([("parcel.events".to_owned(), 3)]);
        let found = async || store.written_by_run(&partitions).await.expect("a sound store");
        let put = async |partition, topic_id| {
            let id = ShardId::kafka("parcel.events", partition);
            let state = ShardState::new(Contract::Parcel, NextOffset::new(5), RulesId::of(b""));
            let mut checkpoint = Standing::new(id.clone()).with(state);
            checkpoint.topic_id = topic_id;
            let payload = format::encode(&checkpoint).into();
            store.chain(&id).claim(None, payload).await.expect("a sound store");
        };
        assert_eq!(found().await, None);
        put(0, None).await;
        assert_eq!(found().await, None, "as a backfill writes it");
        put(2, TopicId::new(7)).await;
        assert_eq!(found().await, Some(ShardId::kafka("parcel.events", 2)));
    }
}
