//! Where reference data come from while an instance runs: a folder that is looked at again, and read
//! again as a whole when it has changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use super::ReferenceSet;
use crate::config::Fault;

/// Where reference data come from, and the set in use.
#[derive(Debug, Clone)]
pub struct ReferenceSource {
    dir: Option<PathBuf>,
    set: Arc<ReferenceSet>,
    /// Whether that is another than the folder's, which was faulty from the start.
    stands_in: bool,
    asked: Arc<Notify>,
    /// What the folder looked like when it was last read, whatever came of that.
    read: Option<Look>,
    /// What it looked like when it was last looked at.
    seen: Option<Look>,
}

/// What came of reading a folder again: a new set in use, or every fault of it.
pub type Reread = Result<(), Vec<Fault>>;

/// Names, lengths, numbers and times of change, in seconds and nanoseconds, of a folder's files.
type Look = Vec<(PathBuf, u64, u64, (i64, i64))>;

impl ReferenceSource {
    /// A set that does not change.
    pub fn fixed(set: ReferenceSet) -> Self {
        let (set, asked) = (Arc::new(set), Arc::new(Notify::new()));
        Self { dir: None, set, stands_in: false, asked, read: None, seen: None }
    }

    /// A folder, read now.
    ///
    /// # Errors
    /// Every fault of its files.
    pub fn folder(dir: PathBuf) -> Result<Self, Vec<Fault>> {
        let (source, faults) = Self::folder_or(dir, ReferenceSet::liaoning);
        if faults.is_empty() { Ok(source) } else { Err(faults) }
    }

    /// A folder, read now. Where it is faulty, another set stands in until it is mended.
    pub fn folder_or(dir: PathBuf, stand_in: impl FnOnce() -> ReferenceSet) -> (Self, Vec<Fault>) {
        let read = Some(look(&dir));
        let (set, faults) = match ReferenceSet::load(&dir) {
            Ok(set) => (set, Vec::new()),
            Err(faults) => (stand_in(), faults),
        };
        (Self { dir: Some(dir), seen: read.clone(), read, ..Self::fixed(set) }, faults)
    }

    /// Has another set stand in until the folder is mended.
    pub fn stand_in(&mut self, set: ReferenceSet) {
        self.set = Arc::new(set);
        self.stands_in = true;
    }

    /// Whether the set in use stands in for that of a folder that was faulty from the start.
    pub fn stands_in(&self) -> bool {
        self.stands_in
    }

    /// The set in use.
    pub fn set(&self) -> &Arc<ReferenceSet> {
        &self.set
    }

    /// Whether there is a folder to be looked at.
    pub fn has_folder(&self) -> bool {
        self.dir.is_some()
    }

    /// Whoever is notified of a wish to read the folder again, whether it looks changed or not.
    pub fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Looks at the folder, and reads it where it has changed and has come to rest, which a file that
    /// somebody is writing has not. `None` where there is nothing new.
    pub fn look_again(&mut self) -> Option<Reread> {
        let dir = self.dir.clone()?;
        let found = look(&dir);
        let is_at_rest = self.seen.as_ref() == Some(&found);
        self.seen = Some(found.clone());
        if !is_at_rest || self.read.as_ref() == Some(&found) {
            return None;
        }
        self.read = Some(found);
        Some(self.read_again(&dir))
    }

    /// Reads the folder, whatever it looks like. `None` where there is none.
    pub fn reload(&mut self) -> Option<Reread> {
        let dir = self.dir.clone()?;
        self.read = Some(look(&dir));
        Some(self.read_again(&dir))
    }

    fn read_again(&mut self, dir: &Path) -> Reread {
        self.set = Arc::new(ReferenceSet::load(dir)?);
        self.stands_in = false;
        Ok(())
    }
}

/// What a folder looks like; nothing where it cannot be read.
fn look(dir: &Path) -> Look {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // Through links, as they are replaced where configurations are mounted.
    let seen = entries.filter_map(|entry| {
        let metadata = std::fs::metadata(entry.path()).ok()?;
        let changed_at = (metadata.mtime(), metadata.mtime_nsec());
        Some((entry.path(), metadata.len(), metadata.ino(), changed_at))
    });
    let mut look: Look = seen.collect();
    look.sort();
    look
}
