//! Writing on a condition: objects that are created once, and files that are replaced.
//!
//! A condition that was not met may be one's own doing: a client that makes a request again after a
//! lost answer finds what the first had written. So what is there decides, not what the store says.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, UpdateVersion};
use tokio::time::sleep;

use super::{PACE, Store, StoreError, failed};
use crate::failpoint::Point;

/// How a file is put in the place of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacing {
    /// Written beside it and renamed over it, whatever is there: local disks have no conditions.
    ByRename,
    /// In place, if it is still the file that was looked at: object stores have no renames.
    IfUnchanged,
}

/// What a file has to be for another to be put in its place.
#[derive(Debug)]
pub struct Condition(PutMode);

/// What came of a conditional put.
enum Landed {
    /// What was put is there.
    Ours,
    /// Something else is.
    Others,
    /// Nothing is: the store turned down a put that met others.
    Nothing,
}

impl Store {
    /// Creates an object unless it exists. Returns whether it holds `content` now.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn create(&self, key: &Path, content: Bytes) -> Result<bool, StoreError> {
        let mut backoff = PACE.backoff_first;
        for _ in 0..PACE.tries {
            match self.put_if(key, content.clone(), PutMode::Create).await? {
                Landed::Ours => return Ok(true),
                Landed::Others => return Ok(false),
                Landed::Nothing => sleep(backoff).await,
            }
            backoff = (backoff * 2).min(PACE.backoff_max);
        }
        Err(StoreError::TurnedDown { key: key.to_string(), tries: PACE.tries })
    }

    /// Looks at a file that is to be replaced. Whatever is asked between this and
    /// [`replace`](Self::replace) is still true when the file is replaced, as far as the store has
    /// conditions.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn look(&self, key: &Path) -> Result<Condition, StoreError> {
        if self.replacing == Replacing::ByRename {
            return Ok(Condition(PutMode::Overwrite));
        }
        match self.objects.head(key).await {
            Ok(found) => {
                let version = UpdateVersion { e_tag: found.e_tag, version: found.version };
                Ok(Condition(PutMode::Update(version)))
            }
            Err(Error::NotFound { .. }) => Ok(Condition(PutMode::Create)),
            Err(error) => Err(failed("looking at", key)(error)),
        }
    }

    /// Puts a file in the place of the one that was looked at, whole: readers see the one or the
    /// other. Returns whether it is there; if not, somebody has put another one there since.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn replace(
        &self,
        key: &Path,
        content: Bytes,
        condition: Condition,
    ) -> Result<bool, StoreError> {
        let Condition(mode) = condition;
        if mode == PutMode::Overwrite {
            let scratch = Path::from("_tmp").join(format!("replacing-{:032x}", (self.nonces)()));
            self.objects
                .put(&scratch, content.into())
                .await
                .map_err(failed("writing", &scratch))?;
            Point::BeforeReplace.pass();
            self.objects.rename(&scratch, key).await.map_err(failed("replacing", key))?;
            return Ok(true);
        }
        Point::BeforeReplace.pass();
        Ok(matches!(self.put_if(key, content, mode).await?, Landed::Ours))
    }

    /// One put. Any error may hide its success or follow from it, so what is there decides.
    async fn put_if(
        &self,
        key: &Path,
        content: Bytes,
        mode: PutMode,
    ) -> Result<Landed, StoreError> {
        let put = self.objects.put_opts(key, content.clone().into(), mode.into()).await;
        let Err(error) = put else { return Ok(Landed::Ours) };
        let not_met = matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
        match self.get(key).await {
            Ok(found) if found == content => Ok(Landed::Ours),
            Ok(_) if not_met => Ok(Landed::Others),
            Err(missing) if not_met && missing.is_not_found() => Ok(Landed::Nothing),
            _ => Err(failed("writing", key)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use postroad_tests::faulty_store::{Fault, FaultyStore, Op};

    use super::*;

    fn stores() -> (FaultyStore, Store) {
        let faulty = FaultyStore::scripted(Arc::new(InMemory::new()));
        let store = Store::over(Arc::new(faulty.clone()), "memory".to_owned());
        (faulty, store)
    }

    const OLD: Bytes = Bytes::from_static(b"old");
    const NEW: Bytes = Bytes::from_static(b"new");

    #[tokio::test]
    async fn what_is_there_says_whether_a_create_succeeded() {
        let (faulty, store) = stores();
        let key = Path::from("key");
        faulty.fail_next(Op::Put, Fault::ExistsAfter);
        assert!(store.create(&key, OLD).await.expect("an answer"), "its own success");
        let lost = Path::from("lost");
        faulty.fail_next(Op::Put, Fault::After);
        assert!(store.create(&lost, OLD).await.expect("an answer"), "the answer was lost");
        faulty.fail_next(Op::Put, Fault::Before);
        store.create(&Path::from("never"), OLD).await.expect_err("nothing happened");
        assert!(store.create(&key, OLD).await.expect("an answer"), "the same bytes");
        assert!(!store.create(&key, NEW).await.expect("an answer"), "another's");
        assert_eq!(store.get(&key).await.expect("an object"), OLD);
    }

    /// S3 answers 409 to a create that met another, whether or not the other one comes to anything.
    #[tokio::test(start_paused = true)]
    async fn a_create_that_was_turned_down_with_nothing_there_is_made_again() {
        let (faulty, store) = stores();
        let key = Path::from("key");
        faulty.fail_next(Op::Put, Fault::Conflict);
        assert!(store.create(&key, NEW).await.expect("an answer"));
        assert_eq!(store.get(&key).await.expect("an object"), NEW);
        for _ in 0..PACE.tries {
            faulty.fail_next(Op::Put, Fault::Conflict);
        }
        let error = store.create(&Path::from("other"), NEW).await.expect_err("never");
        assert!(matches!(error, StoreError::TurnedDown { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_file_is_replaced_only_while_it_is_what_was_looked_at() {
        let (faulty, store) = stores();
        let key = Path::from("tables/t/data.parquet");
        let (first, second) = (store.look(&key).await, store.look(&key).await);
        assert!(store.replace(&key, OLD, first.expect("nothing there")).await.expect("an answer"));
        let late = store.replace(&key, NEW, second.expect("nothing there")).await;
        assert!(!late.expect("an answer"), "somebody else made it");
        let (first, second) = (store.look(&key).await, store.look(&key).await);
        assert!(store.replace(&key, NEW, first.expect("a file")).await.expect("an answer"));
        let late = store.replace(&key, OLD, second.expect("a file")).await;
        assert!(!late.expect("an answer"), "somebody else replaced it");
        assert_eq!(store.get(&key).await.expect("an object"), NEW);

        // A retry inside the client that met its own success.
        let seen = store.look(&key).await.expect("a file");
        faulty.fail_next(Op::Put, Fault::ExistsAfter);
        assert!(store.replace(&key, OLD, seen).await.expect("an answer"));

        // Deleted since: to be looked at again.
        let seen = store.look(&key).await.expect("a file");
        faulty.delete(&key).await.expect("deleted");
        assert!(!store.replace(&key, NEW, seen).await.expect("an answer"));
        assert!(store.get(&key).await.expect_err("nothing").is_not_found());
    }

    #[tokio::test]
    async fn on_a_local_disk_a_file_is_renamed_into_place_and_nothing_else_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open_local(folder.path()).expect("a store");
        let key = Path::from("tables/t/data.parquet");
        for content in [OLD, NEW] {
            let seen = store.look(&key).await.expect("no question");
            assert!(store.replace(&key, content.clone(), seen).await.expect("an answer"));
            assert_eq!(store.get(&key).await.expect("an object"), content);
        }
        let scratch = std::fs::read_dir(folder.path().join("_tmp")).expect("a folder");
        assert_eq!(scratch.count(), 0);
    }
}
