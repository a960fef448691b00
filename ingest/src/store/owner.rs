//! What a store is, and whose: its format, and the group on the cluster that it belongs to.

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, from_json};

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

fn store_key() -> Path {
    Path::from("store.json")
}

fn check_format(found: &StoreJson) -> Result<(), StoreError> {
    if found.format > STORE_FORMAT {
        return Err(StoreError::Newer { found: found.format });
    }
    Ok(())
}
