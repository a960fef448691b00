//! Looking whether the store holds what the newest manifest says, and nothing else that a reader or
//! a later publisher would find.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use object_store::path::Path;
use tracing::warn;

use super::manifest::Manifest;
use super::{PublishError, Publisher, file_hash, history};
use crate::store::failed;

impl Publisher {
    /// Compares every file with the newest manifest; the next publish writes again those that
    /// differ, and deletes those that nobody names. An old publisher that woke up late, or one that
    /// ended too early, may have left such files. An object of the history that is damaged is treated
    /// as one that is gone: what it held is kept anew, under another key, from the tables.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn inspect_files(&mut self) -> Result<(), PublishError> {
        let Some(newest) = self.newest().cloned() else { return Ok(()) };
        let mut damaged = BTreeSet::new();
        for (key, entry) in &newest.files {
            if !self.is_whole(key, &entry.file_hash).await? {
                damaged.insert(key.clone());
            }
        }
        self.damaged = damaged;
        let tables = Path::from("tables");
        let listing = self.store.objects().list(Some(&tables));
        let found: Vec<_> = listing.try_collect().await.map_err(failed("listing", &tables))?;
        let keys = found.into_iter().map(|object| object.location.to_string());
        self.stray = keys.filter(|key| !newest.files.contains_key(key)).collect();
        self.inspect_history(&newest).await?;
        self.is_unseen = false;
        Ok(())
    }

    /// Whether an object is there, and what a manifest says.
    async fn is_whole(&self, key: &str, hash: &str) -> Result<bool, PublishError> {
        match self.store.get(&Path::from(key)).await {
            Ok(bytes) => Ok(file_hash(&bytes) == hash),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Compares every object with the newest manifest, and deletes those that neither of
    /// the two newest names and no later one will.
    async fn inspect_history(&mut self, newest: &Manifest) -> Result<(), PublishError> {
        let listing = self.store.objects().list(Some(&history::folder()));
        let found: Vec<_> =
            listing.try_collect().await.map_err(failed("listing", &history::folder()))?;
        for (place, entry) in &newest.history {
            if !self.is_whole(&entry.key, &entry.file_hash).await? {
                self.damaged.insert(place.clone());
            }
        }
        let named = self.named();
        let is_left = |key: &&str| {
            !named.contains(*key)
                && history::number(key).is_some_and(|made_for| made_for <= newest.publish)
        };
        let keys = found.iter().map(|object| object.location.as_ref());
        self.discard(keys.filter(is_left)).await;
        Ok(())
    }

    /// Deletes what the two newest manifests name no longer, of what the one before them named.
    pub(super) async fn discard_replaced(&self) {
        let named = self.named();
        let old = self.manifests.iter().rev().nth(2).into_iter();
        let keys = old.flat_map(|old| old.history.values()).map(|entry| &*entry.key);
        self.discard(keys.filter(|key| !named.contains(key))).await;
    }

    /// The objects that the two newest manifests name. Should the newest be lost, its publish can be
    /// made again from the one before.
    fn named(&self) -> BTreeSet<&str> {
        let newest = self.manifests.iter().rev().take(2);
        newest.flat_map(|manifest| manifest.history.values()).map(|entry| &*entry.key).collect()
    }

    /// Deletes objects of the history that are of no use any more. They do no harm either, so a
    /// failure is no more than said: the next inspection finds them again.
    async fn discard<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        for key in keys {
            if let Err(error) = self.delete(&Path::from(key)).await {
                return warn!(%error, "an old object of the history could not be deleted");
            }
        }
    }
}
