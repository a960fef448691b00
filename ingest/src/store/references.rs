//! Reference data in the store: each set once, under its version, so that what a publish was held against
//! can be looked up for ever.

use object_store::path::Path;

use super::error::unreadable;
use super::{Store, StoreError};
use crate::reference::ReferenceSet;

impl Store {
    /// Keeps a set under its version.
    ///
    /// # Errors
    /// Where the store fails, or holds something else there.
    pub async fn put_reference(&self, set: &ReferenceSet) -> Result<(), StoreError> {
        let key = key(&set.version);
        if self.create(&key, set.content()).await? {
            return Ok(());
        }
        Err(unreadable(&key, "its content is not what its name says; restore it, or move it away"))
    }

    /// The set of a version; `None` where the store does not keep it.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what its name says.
    pub async fn reference(&self, version: &str) -> Result<Option<ReferenceSet>, StoreError> {
        let key = key(version);
        let content = match self.get(&key).await {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let set = ReferenceSet::from_content(&content).map_err(|why| unreadable(&key, &why))?;
        if set.version != version {
            return Err(unreadable(&key, "its content is not what its name says"));
        }
        Ok(Some(set))
    }
}

fn key(version: &str) -> Path {
    Path::from("references").join(format!("{version}.json"))
}
