//! The reference data that a publish names: what it was made with, and what its frozen lights were held
//! against. The store keeps each version for ever, so one that is gone or damaged is a difference.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::compare::{Difference, Differences};
use super::pinned::{Pinned, table_of};
use super::store_failure;
use crate::error::{Failure, Kind, guarded};
use crate::publish::indicators::place_month;
use crate::publish::manifest::REFERENCES_SINCE;
use crate::reference::ReferenceSet;
use crate::store::{Store, reference_key};

/// What the store keeps of the reference data that a publish names.
pub(super) struct KeptReferences {
    /// The set that it was made with, where that is whole.
    pub(super) set: Option<Arc<ReferenceSet>>,
    /// Versions that are gone or damaged.
    pub(super) differences: Vec<Difference>,
}

/// Looks at every version that the manifest or a row of `indicators` names.
pub(super) async fn read_references(
    store: &Store,
    pinned: &Pinned,
) -> Result<KeptReferences, Failure> {
    let mut kept = KeptReferences { set: None, differences: Vec::new() };
    if pinned.manifest.format < REFERENCES_SINCE {
        return Ok(kept);
    }
    let newest = &pinned.manifest.reference;
    let mut versions = BTreeSet::from([newest.clone()]);
    for bytes in files_of_lights(pinned) {
        // Files that cannot be read are differences already.
        let named = guarded(|| versions_in(bytes)).flatten();
        versions.extend(named.into_iter().flatten());
    }
    let mut of_versions = Differences::at("references");
    for version in &versions {
        let whole = if version == newest {
            store.reference(version).await.map(|set| {
                kept.set = set.map(Arc::new);
                kept.set.is_some()
            })
        } else {
            store.reference_content(version).await.map(|content| content.is_some())
        };
        let found = match whole {
            Ok(true) => continue,
            Ok(false) => "gone".to_owned(),
            Err(error) if error.kind() == Kind::Data => format!("damaged: {error}"),
            Err(error) => return Err(store_failure(&error)),
        };
        of_versions.check(reference_key(version).as_ref(), "object", found, "whole");
    }
    kept.differences = of_versions.into_vec();
    Ok(kept)
}

/// The files of `indicators`, and the frozen days that the history keeps.
fn files_of_lights(pinned: &Pinned) -> Vec<Bytes> {
    let tables = pinned.manifest.files.keys().filter(|key| table_of(key) == "indicators");
    let history = pinned.manifest.history.iter();
    let history = history.filter(|(place, _)| place_month(place).is_some());
    let keys = tables.chain(history.map(|(_, entry)| &entry.key));
    keys.filter_map(|key| pinned.files.get(key)).cloned().collect()
}

/// The distinct values of `reference_version`; `None` where the bytes are no such table.
fn versions_in(file: Bytes) -> Option<BTreeSet<String>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    let column = ProjectionMask::columns(builder.parquet_schema(), ["reference_version"]);
    let mut versions = BTreeSet::new();
    for batch in builder.with_projection(column).build().ok()? {
        let batch = batch.ok()?;
        let texts = batch.column_by_name("reference_version")?.as_string_opt::<i32>()?;
        for text in texts.iter().flatten() {
            if !versions.contains(text) {
                versions.insert(text.to_owned());
            }
        }
    }
    Some(versions)
}
