//! Files in the order of their offsets, and what becomes of those that are not.
//!
//! A fold only goes forward. A file that begins beyond what was folded jumps over offsets, which count
//! as a gap; what holds them can never be counted in this store again. A shell names `part-10` before
//! `part-2`, so files that are given in a wrong order are refused before anything is folded, and one
//! that comes a day too late is refused by what the store notes of jumps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use postroad_schemas::units::{NextOffset, Offset};

use super::{BackfillOptions, file_failure};
use crate::checkpoint::ShardId;
use crate::error::{Exit, Failure};
use crate::source::file::{LineFormat, Lines};

/// Refuses names that cannot be known again, two files of bare values of one name, and envelopes in an
/// order other than that of their offsets.
pub(super) fn check_files(options: &BackfillOptions) -> Result<(), Failure> {
    for path in &options.files {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if absolute.to_str().is_none_or(|text| text.chars().any(char::is_control)) {
            let message = format!(
                "{}: the name is not UTF-8, or holds control characters; rename it",
                path.display().to_string().escape_debug()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    match options.format {
        LineFormat::Ndjson => check_names(options),
        LineFormat::Kcat => check_order(options),
    }
}

/// Files of bare values are known by their base names, which therefore must differ.
fn check_names(options: &BackfillOptions) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    for path in &options.files {
        if !names.insert(path.file_name()) {
            let message = format!(
                "{}: another file of this base name is given too, and a file is known by its base \
                 name; rename one",
                path.display()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    Ok(())
}

/// Compares the first envelopes of the files, as far as they are of one shard.
fn check_order(options: &BackfillOptions) -> Result<(), Failure> {
    let mut begun: BTreeMap<ShardId, (i64, &Path)> = BTreeMap::new();
    // What is no file, such as a pipe, can be read but once.
    for path in options.files.iter().filter(|path| path.is_file()) {
        let mut lines = Lines::open(path).map_err(|error| file_failure(&error))?;
        if lines.next_line().map_err(|error| file_failure(&error))?.is_none() {
            continue;
        }
        let envelope = lines.envelope().map_err(|error| file_failure(&error))?;
        let id = ShardId::kafka(envelope.topic.as_str(), envelope.partition);
        let offset = envelope.offset;
        if let Some((before, other)) = begun.get(&id).filter(|(before, _)| *before > offset) {
            let message = format!(
                "{}: it begins at offset {offset} of {id}, and is named after {}, which begins at \
                 {before}; name the files in the order of their offsets, as `ls -v` lists them",
                path.display(),
                other.display()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        begun.insert(id, (offset, path));
    }
    Ok(())
}

/// Offsets `[from, to)` of a shard that a file jumped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) from: NextOffset,
    pub(super) to: NextOffset,
}

impl Jump {
    pub(super) fn holds(self, offset: Offset) -> bool {
        self.to.is_past(offset) && !self.from.is_past(offset)
    }

    /// Refuses a record that was jumped over: it is in no table, and can come into none.
    pub(super) fn refuse(
        jumps: &[Self],
        id: &ShardId,
        path: &Path,
        offset: Offset,
    ) -> Result<(), Failure> {
        let Some(Self { from, to }) = jumps.iter().find(|jump| jump.holds(offset)) else {
            return Ok(());
        };
        let message = format!(
            "{}: {id}: offset {offset} lies in [{from}, {to}), which a file that was folded before \
             jumped over; it was NOT COUNTED and cannot be any more in this store; fold all files into \
             a new store, named in the order of their offsets",
            path.display()
        );
        Err(Failure::new(Exit::DataErr, message))
    }
}
