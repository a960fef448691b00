//! A folder of reference data as it lies on a disk: which of its files are ours, and what each holds.
//!
//! Whatever cannot be read is a fault, and the others are read all the same, so that every fault of a
//! folder is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileType};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use postroad_schemas::codebook::{CsvFault, Severity};
use postroad_schemas::reference::{ReferenceFiles, escaped};

use super::{BASELINES, BASELINES_TABLE, PREFECTURES, PRODUCTS, baselines};
use crate::config::Fault;

/// The largest file of baselines in bytes: two years of every product in all China.
pub(super) const BASELINES_BYTES_MAX: u64 = 256 << 20;
/// The largest of every other file in bytes: a hundred thousand rows.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// The text of each file that could be read; a table of baselines has its text under `baselines.csv`.
    pub(super) files: BTreeMap<String, String>,
    /// Whether the baselines are a table's.
    pub(super) has_table: bool,
    /// The files that are ours and could not be read.
    pub(super) unread: BTreeSet<String>,
    /// What is wrong with the folder.
    pub(super) faults: Vec<Fault>,
}

impl Folder {
    /// Reads every file of a folder that is ours. A CSV or Parquet file of another name is a fault: it was
    /// meant to be read.
    pub(super) fn read(dir: &Path) -> Self {
        let mut folder = Self::default();
        let names = match names(dir) {
            Ok(names) => names,
            Err(error) => {
                folder.faults.push(fault(dir, format!("the folder cannot be read: {error}")));
                return folder;
            }
        };
        for name in &names {
            if is_ours(name) {
                folder.add(dir, name, &names);
            } else if let Some(problem) = stray(name) {
                folder.faults.push(fault(dir, format!("{} {problem}", escaped(name))));
            }
        }
        if folder.files.is_empty() && folder.faults.is_empty() {
            let remedy = "holds no file of the reference data; see docs/REFERENCE.md for their names, or \
                          leave the key out for the built-in Liaoning set";
            folder.faults.push(fault(dir, remedy.to_owned()));
        }
        folder
    }

    fn add(&mut self, dir: &Path, name: &str, names: &BTreeSet<String>) {
        let path = dir.join(name);
        let read = if name != BASELINES_TABLE {
            text(&path, name).map_err(|problem| vec![problem])
        } else if names.contains(BASELINES) {
            let problem =
                "stands beside baselines.csv, and only one of them is read; move one away";
            Err(vec![fault(dir, format!("{name} {problem}"))])
        } else {
            table(&path, name)
        };
        match read {
            Ok(text) => {
                self.has_table |= name == BASELINES_TABLE;
                let name = if name == BASELINES_TABLE { BASELINES } else { name };
                self.files.insert(name.to_owned(), text);
            }
            Err(problems) => {
                self.unread.insert(name.to_owned());
                self.faults.extend(problems);
            }
        }
    }
}

fn names(dir: &Path) -> std::io::Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn ours() -> impl Iterator<Item = &'static str> {
    [PREFECTURES, PRODUCTS].into_iter().chain(ReferenceFiles::NAMES).chain([BASELINES_TABLE])
}

fn is_ours(name: &str) -> bool {
    ours().any(|ours| ours == name)
}

/// Why a file that is none of ours may not lie there, if so.
fn stray(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    if is_ours(&lower) {
        return Some(format!("is spelt otherwise than {lower}; rename it"));
    }
    let extension = Path::new(&lower).extension()?;
    if extension != "csv" && extension != "parquet" {
        return None;
    }
    let known: Vec<_> = ours().collect();
    let problem = "is no file of the reference data; rename it to one of";
    Some(format!("{problem} {}, or move it away", known.join(", ")))
}

/// Something wrong with a folder.
fn fault(dir: &Path, remedy: String) -> Fault {
    let value = format!("{:?}", dir.display().to_string());
    Fault { key: "reference.dir".to_owned(), value, remedy }
}

/// Something wrong with a file of a folder as a whole.
fn file_fault(path: &Path, name: &str, problem: &str) -> Fault {
    fault(path.parent().unwrap_or(path), format!("{name} {problem}"))
}

fn table(path: &Path, name: &str) -> Result<String, Vec<Fault>> {
    let bytes = bytes(path, BASELINES_BYTES_MAX)
        .map_err(|problem| vec![file_fault(path, name, &problem)])?;
    baselines::read(bytes).map_err(|problems| {
        let faults = problems.iter().map(|problem| format!("{name}: {problem}"));
        faults.map(|problem| fault(path.parent().unwrap_or(path), escaped(&problem))).collect()
    })
}

fn text(path: &Path, name: &str) -> Result<String, Fault> {
    let bytes_max = if name == BASELINES { BASELINES_BYTES_MAX } else { FILE_BYTES_MAX };
    let bytes = bytes(path, bytes_max).map_err(|problem| file_fault(path, name, &problem))?;
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let guess = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
            _ => "another encoding, GBK perhaps",
        };
        let fault = CsvFault {
            file: path.display().to_string(),
            line: 1 + bytes.iter().take(sound).filter(|byte| **byte == b'\n').count() as u64,
            column: String::new(),
            problem: format!("save it as CSV UTF-8 (it looks like {guess})"),
            severity: Severity::Unreadable,
        };
        Fault { key: String::new(), value: String::new(), remedy: fault.to_string() }
    })
}

/// The content of a regular file of at most so many bytes; else what is wrong with it. To open anything
/// else may take for ever, and so may its end.
fn bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| unopened(&error))?;
    if let Some(kind) = irregular(metadata.file_type()) {
        return Err(format!(
            "cannot be read: it is {kind}; put a file in its place, or move it away"
        ));
    }
    let mut bytes = Vec::new();
    if metadata.len() <= bytes_max {
        let file = File::open(path).map_err(|error| unopened(&error))?;
        let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot be read: {error}; copy it here again"))?;
    }
    if metadata.len().max(bytes.len() as u64) > bytes_max {
        let mb = bytes_max >> 20;
        return Err(format!(
            "has more than {mb} MB; leave out the rows that nothing is held against"
        ));
    }
    Ok(bytes)
}

fn unopened(error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "a link that leads nowhere?",
        ErrorKind::PermissionDenied => "let the user who runs postroad read it",
        _ => "put it there again, or move it away",
    };
    format!("is listed but cannot be opened: {error}; {remedy}")
}

/// What something is that is no file.
fn irregular(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

#[cfg(test)]
mod tests;
