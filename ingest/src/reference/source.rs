//! Where reference data come from while an instance runs: a folder that is looked at again, and read
//! again as a whole when it has changed and come to rest.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use super::ReferenceSet;
use crate::config::Fault;

/// How often in a row a folder has to look the same for nobody to be writing in it.
const REST_LOOKS: u32 = 3;

/// After how many looks a folder at fault is read again though it looks the same: a file may be behind a
/// mount that has come back. Half a minute, at two looks a second.
const RETRY_LOOKS: u32 = 60;

/// Where reference data come from, and the set in use.
#[derive(Debug, Clone)]
pub struct ReferenceSource {
    dir: Option<PathBuf>,
    set: Arc<ReferenceSet>,
    /// Whether that is another than the folder's, which was faulty from the start.
    stands_in: bool,
    asked: Arc<Notify>,
    /// What the folder looked like when it was last read, whatever came of that. `None` where somebody
    /// has asked for it to be read, whether it looks changed or not.
    read: Option<Look>,
    /// What it looked like when it was last looked at.
    seen: Option<Look>,
    /// How often in a row it has looked like that since.
    looks: u32,
    /// The faults that were told of it last; none where it is sound.
    told: Arc<Vec<Fault>>,
}

/// What came of reading a folder again: a new set in use, or every fault of it.
pub type Reread = Result<(), Vec<Fault>>;

/// What a folder's files look like, by name.
type Look = Vec<(PathBuf, Option<FileLook>)>;

/// What tells a file from what it was before. The time of the last change is set by the kernel alone, at
/// each write and at each change of who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileLook {
    length: u64,
    device_and_number: (u64, u64),
    mode: u32,
    /// In seconds and nanoseconds.
    written_at: (i64, i64),
    /// In seconds and nanoseconds.
    changed_at: (i64, i64),
}

impl ReferenceSource {
    /// A set that does not change.
    pub fn fixed(set: ReferenceSet) -> Self {
        let (set, asked, told) = (Arc::new(set), Arc::new(Notify::new()), Arc::default());
        Self { dir: None, set, stands_in: false, asked, read: None, seen: None, looks: 0, told }
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
        let told = Arc::new(faults.clone());
        (Self { dir: Some(dir), seen: read.clone(), read, told, ..Self::fixed(set) }, faults)
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

    /// Has the folder read once it is at rest, whatever it looks like. Nothing is read now, since whoever
    /// asks may do so while a file is still being written.
    pub fn reload(&mut self) -> Option<Reread> {
        (self.read, self.seen) = (None, None);
        None
    }

    /// Looks at the folder, and reads it where it has changed and has come to rest, which a file that
    /// somebody is writing has not; and now and then where it is at fault. `None` where there is nothing
    /// new to tell.
    pub fn look_again(&mut self) -> Option<Reread> {
        let dir = self.dir.clone()?;
        let found = look(&dir);
        if self.seen.as_ref() != Some(&found) {
            (self.seen, self.looks) = (Some(found), 1);
            return None;
        }
        self.looks = self.looks.saturating_add(1);
        let is_new = self.read != self.seen;
        let is_due = if is_new {
            self.looks >= REST_LOOKS
        } else {
            self.looks >= RETRY_LOOKS && !self.told.is_empty()
        };
        if !is_due {
            return None;
        }
        (self.read, self.looks) = (Some(found), 0);
        let reread = self.read_again(&dir);
        let faults = reread.as_ref().err().cloned().unwrap_or_default();
        let is_told = !is_new && faults == *self.told;
        self.told = Arc::new(faults);
        (!is_told).then_some(reread)
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
    let seen = entries.map(|entry| {
        let file = std::fs::metadata(entry.path()).ok().map(|metadata| FileLook {
            length: metadata.len(),
            device_and_number: (metadata.dev(), metadata.ino()),
            mode: metadata.mode(),
            written_at: (metadata.mtime(), metadata.mtime_nsec()),
            changed_at: (metadata.ctime(), metadata.ctime_nsec()),
        });
        (entry.path(), file)
    });
    let mut look: Look = seen.collect();
    look.sort();
    look
}

#[cfg(test)]
mod tests;
