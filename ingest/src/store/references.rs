//! Reference data in the store: each set once, under its version, so that what a publish was held against
//! can be looked up for ever.

use bytes::Bytes;
use object_store::path::Path;
use xxhash_rust::xxh3::xxh3_128;

use super::error::unreadable;
use super::{Store, StoreError};
use crate::reference::ReferenceSet;

impl Store {
    /// Keeps a set under its version.
    ///
    /// # Errors
    /// Where the store fails, or holds something else there.
    pub async fn put_reference(&self, set: &ReferenceSet) -> Result<(), StoreError> {
        let key = reference_key(&set.version);
        if self.create(&key, set.content()).await? {
            return Ok(());
        }
        Err(unreadable(&key, "its content is not what its name says"))
    }

    /// The set of a version; `None` where the store does not keep it.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what its name says.
    pub async fn reference(&self, version: &str) -> Result<Option<ReferenceSet>, StoreError> {
        let Some(content) = self.reference_content(version).await? else { return Ok(None) };
        let read = ReferenceSet::from_content(&content);
        read.map(Some).map_err(|why| unreadable(&reference_key(version), &why))
    }

    /// What is kept of a version, whether this program would still read it or not.
    ///
    /// # Errors
    /// Where it is not what its name says.
    pub async fn reference_content(&self, version: &str) -> Result<Option<Bytes>, StoreError> {
        let key = reference_key(version);
        match self.get(&key).await {
            Ok(content) if format!("{:032x}", xxh3_128(&content)).starts_with(version) => {
                Ok(Some(content))
            }
            Ok(_) => Err(unreadable(&key, "its content is not what its name says")),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where the set of a version is kept.
pub fn reference_key(version: &str) -> Path {
    Path::from("references").join(format!("{version}.json"))
}
