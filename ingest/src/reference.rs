//! Reference data of an instance: built in, or read from a folder; always as a whole, and known by the
//! hash of its content, under which the store keeps what publishes were made with.

mod baselines;
mod folder;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use postroad_schemas::codebook::{Codebook, CsvFault, PrefectureCode};
use postroad_schemas::reference::{FAULTS_MAX, Reference, ReferenceFiles, without_own};
use xxhash_rust::xxh3::xxh3_128;

use self::folder::Folder;
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
    /// The text of every file that it was read from by name, the built-in ones included, without the
    /// columns that nobody reads.
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
        let read = read(&files, Codebook::from_csv, Reference::from_csv)?;
        // Who checked a row is nobody's business but theirs who noted it.
        let kept = files.into_iter().map(|(name, text)| (name, without_own(&text).into_owned()));
        Ok(Self::new(read, kept.collect()))
    }

    fn new((codebook, figures): (Codebook, Reference), files: BTreeMap<String, String>) -> Self {
        let hash = format!("{:032x}", xxh3_128(&content(&files)));
        Self { codebook, figures, version: hash[..16].to_owned(), files }
    }

    /// Reads the files of a folder.
    ///
    /// # Errors
    /// The faults of the files, those that cannot be read or have no known name included: the first
    /// [`FAULTS_MAX`], and then that there are more.
    pub fn load(dir: &Path) -> Result<Self, Vec<Fault>> {
        let Folder { files, has_table, unread, mut faults } = Folder::read(dir);
        let place = |fault: CsvFault| {
            let (file, line) = if has_table && fault.file == BASELINES {
                (BASELINES_TABLE, fault.line.saturating_sub(1))
            } else {
                (&*fault.file, fault.line)
            };
            let file = dir.join(file).display().to_string();
            let remedy = CsvFault { file, line, ..fault }.to_string();
            Fault { key: String::new(), value: String::new(), remedy }
        };
        if faults.is_empty() {
            let read = Self::from_files(files);
            return read.map_err(|faults| bounded(faults.into_iter().map(place).collect()));
        }
        // What is wrong with the others is told as well, except for the prefectures that nobody could read.
        let figures = |files: ReferenceFiles<'_>, codebook: Option<&Codebook>| {
            let codebook = codebook.filter(|_| !unread.contains(PREFECTURES));
            Reference::from_csv(files, codebook)
        };
        let read = read(&with_built_in(files), Codebook::from_csv, figures);
        faults.extend(read.err().into_iter().flatten().map(place));
        Err(bounded(faults))
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

/// The first faults, and that there are more.
fn bounded(mut faults: Vec<Fault>) -> Vec<Fault> {
    if faults.len() > FAULTS_MAX {
        faults.truncate(FAULTS_MAX);
        let remedy = "there are more faults; mend these first".to_owned();
        faults.push(Fault { key: String::new(), value: String::new(), remedy });
    }
    faults
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

#[cfg(test)]
mod tests;
