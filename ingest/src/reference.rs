//! Reference data of an instance: built in, or read from a folder; always as a whole, and known by the
//! hash of its content, under which the store keeps what publishes were made with.

mod baselines;
mod source;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use postroad_schemas::codebook::{Codebook, CsvFault, PrefectureCode};
use postroad_schemas::reference::{Reference, ReferenceFiles};
use xxhash_rust::xxh3::xxh3_128;

pub use self::source::{ReferenceSource, Reread};
use crate::config::Fault;

/// The file that says which prefectures there are.
const PREFECTURES: &str = "prefectures.csv";
/// The file that says what products are called.
const PRODUCTS: &str = "products.csv";
/// Prior-year days as a table instead of a CSV: any file with the columns of `daily_rollups`.
const BASELINES_TABLE: &str = "baselines.parquet";
const BASELINES: &str = "baselines.csv";

/// A set of reference data, whole and without contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceSet {
    /// Prefectures and products, with their names.
    pub codebook: Codebook,
    /// What figures are held against.
    pub figures: Reference,
    /// The first half of the hash of its content, in hexadecimal digits.
    pub version: String,
    /// The text of every file that it was read from by name, the built-in ones included.
    files: BTreeMap<String, String>,
}

impl ReferenceSet {
    /// The built-in set of Liaoning.
    ///
    /// # Panics
    /// Never: the shipped data are read by a test.
    pub fn liaoning() -> Self {
        Self::from_files(BTreeMap::new()).expect("the shipped reference data are valid")
    }

    /// Reads a set from the texts of its files. Without any file it is the built-in one; without
    /// prefectures or products it has the built-in ones; of all else it has what is given.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn from_files(given: BTreeMap<String, String>) -> Result<Self, Vec<CsvFault>> {
        let files = with_built_in(given);
        Ok(Self::new(read(&files, Codebook::from_csv, Reference::from_csv)?, files))
    }

    fn new((codebook, figures): (Codebook, Reference), files: BTreeMap<String, String>) -> Self {
        let hash = format!("{:032x}", xxh3_128(&content(&files)));
        Self { codebook, figures, version: hash[..16].to_owned(), files }
    }

    /// Reads the files of a folder.
    ///
    /// # Errors
    /// Every fault of the files, those that cannot be read or have no known name included.
    pub fn load(dir: &Path) -> Result<Self, Vec<Fault>> {
        let files = read_files(dir)?;
        let is_table = dir.join(BASELINES_TABLE).exists();
        let place = |fault: CsvFault| {
            let (file, line) = if is_table && fault.file == BASELINES {
                (BASELINES_TABLE, fault.line.saturating_sub(1))
            } else {
                (&*fault.file, fault.line)
            };
            let file = dir.join(file).display().to_string();
            CsvFault { file, line, ..fault }
        };
        let fault = |fault| Fault {
            key: String::new(),
            value: String::new(),
            remedy: place(fault).to_string(),
        };
        Self::from_files(files).map_err(|faults| faults.into_iter().map(fault).collect())
    }

    /// The province of each prefecture.
    pub fn provinces(&self) -> BTreeMap<PrefectureCode, PrefectureCode> {
        let prefectures = self.codebook.prefectures();
        prefectures.map(|prefecture| (prefecture.code, prefecture.province_code)).collect()
    }

    /// What the store keeps of it.
    pub fn content(&self) -> Bytes {
        content(&self.files).into()
    }

    /// The inverse of [`Self::content`], of this release's and of earlier ones, which did not keep the
    /// built-in files and knew fewer faults.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_content(content: &[u8]) -> Result<Self, String> {
        let kept: BTreeMap<String, String> =
            serde_json::from_slice(content).map_err(|error| error.to_string())?;
        let files = with_built_in(kept.clone());
        let read = read(&files, Codebook::from_kept_csv, Reference::from_kept_csv);
        let read = read.map_err(|faults| {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        });
        Ok(Self::new(read?, kept))
    }
}

/// What a set is read from: the files that are given, and the built-in ones that it uses besides.
fn with_built_in(mut files: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let codebook = [(PREFECTURES, Codebook::LIAONING_CSV), (PRODUCTS, Codebook::PRODUCTS_CSV)];
    let figures = files.is_empty().then(|| ReferenceFiles::LIAONING.texts());
    for (name, text) in figures.into_iter().flatten().chain(codebook) {
        files.entry(name.to_owned()).or_insert_with(|| text.to_owned());
    }
    files
}

fn read(
    files: &BTreeMap<String, String>,
    codebook: impl FnOnce(&str, &str, Option<&str>) -> Result<Codebook, Vec<CsvFault>>,
    figures: impl FnOnce(ReferenceFiles<'_>, Option<&Codebook>) -> Result<Reference, Vec<CsvFault>>,
) -> Result<(Codebook, Reference), Vec<CsvFault>> {
    let text = |name: &str| files.get(name).map(String::as_str);
    let mut faults = Vec::new();
    let prefectures = text(PREFECTURES).unwrap_or_default();
    let codebook = codebook(PREFECTURES, prefectures, text(PRODUCTS));
    let codebook = codebook.map_err(|mut found| faults.append(&mut found)).ok();
    let figures = figures(ReferenceFiles::by_name(text), codebook.as_ref());
    let figures = figures.map_err(|mut found| faults.append(&mut found)).ok();
    codebook.zip(figures).ok_or(faults)
}

fn content(files: &BTreeMap<String, String>) -> Vec<u8> {
    let mut content = serde_json::to_vec(files).expect("texts serialise");
    content.push(b'\n');
    content
}

/// The reference files of a folder by name. A CSV of another name is a fault: it was meant to be read.
fn read_files(dir: &Path) -> Result<BTreeMap<String, String>, Vec<Fault>> {
    let fault = |remedy: String| Fault {
        key: "reference.dir".to_owned(),
        value: format!("{:?}", dir.display().to_string()),
        remedy,
    };
    let unreadable = |name: &str, error: &std::io::Error| {
        let name = if name.is_empty() { "the folder" } else { name };
        fault(format!("{name} cannot be read: {error}"))
    };
    let entries = std::fs::read_dir(dir).map_err(|error| vec![unreadable("", &error)])?;
    let (mut files, mut faults) = (BTreeMap::new(), Vec::new());
    for entry in entries {
        let entry = entry.map_err(|error| vec![unreadable("", &error)])?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_known =
            [PREFECTURES, PRODUCTS].contains(&&*name) || ReferenceFiles::NAMES.contains(&&*name);
        if name == BASELINES_TABLE {
            if dir.join(BASELINES).exists() {
                let problem =
                    "stands beside baselines.csv, and only one of them is read; move one away";
                faults.push(fault(format!("{name} {problem}")));
                continue;
            }
            match baselines::read(&entry.path()) {
                Ok(text) => drop(files.insert(BASELINES.to_owned(), text)),
                Err(problems) => faults.extend(
                    problems.into_iter().map(|problem| fault(format!("{name}: {problem}"))),
                ),
            }
        } else if is_known {
            match std::fs::read_to_string(entry.path()) {
                Ok(text) => drop(files.insert(name, text)),
                // It was there a moment ago: whoever replaces files may be at work.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => faults.push(unreadable(&name, &error)),
            }
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "csv") {
            let known = [PREFECTURES, PRODUCTS].into_iter().chain(ReferenceFiles::NAMES);
            let known: Vec<_> = known.collect();
            let remedy = "is no file of the reference data; rename it to one of";
            faults.push(fault(format!("{name} {remedy} {}, or move it away", known.join(", "))));
        }
    }
    if files.is_empty() && faults.is_empty() {
        let remedy = "holds no file of the reference data; see docs/REFERENCE.md for their names, or \
                      leave the key out for the built-in Liaoning set";
        faults.push(fault(remedy.to_owned()));
    }
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
