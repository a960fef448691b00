//! What a report is made of, taken from a store: the newest publish, and of its files those that are
//! needed, each compared with its hash.
//!
//! A publisher may be at work. Its manifest comes first and its files after it, so a file that is not
//! what the newest manifest says is looked at again for a while, under whatever manifest is the newest
//! by then.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::PrefectureCode;
use postroad_schemas::tables::Table;
use postroad_schemas::units::BusinessDay;
use tokio::time::sleep;

use super::model::prefecture_of;
use super::rows::{self, Row};
use super::{Given, Origin};
use crate::error::{Exit, Failure};
use crate::offload::offload;
use crate::publish::draft::{file_key, month_of};
use crate::publish::indicators::Evaluation;
use crate::publish::manifest::{self, Manifest, ShardEntry};
use crate::publish::{PublishError, parquet_file, rows as table_rows};
use crate::reference::ReferenceSet;
use crate::store::{Store, StoreError, failed};

/// How long to wait between two looks at a publish whose files are being replaced.
const PAUSE: Duration = Duration::from_millis(200);
/// How often such a publish is looked at.
const LOOKS: u32 = 25;

/// What a report is made of.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    pub(super) as_of: BusinessDay,
    /// The indicators as of the day.
    pub(super) rows: Vec<Row>,
    /// The version of the reference data that they were made with.
    pub(super) version: String,
    /// Who made them.
    pub(super) origin: Origin,
    /// Names, and which prefecture is of which province.
    pub(super) reference: ReferenceSet,
    /// The first day that the tables have.
    pub(super) first_day: BusinessDay,
    /// Prefectures with figures of the year to date that the reference data do not have.
    pub(super) unlisted: BTreeSet<PrefectureCode>,
}

/// Reads what the report as of a day is made of; as of the last complete day unless one is given.
pub(super) async fn load(
    store: &Store,
    date: Option<BusinessDay>,
    given: Option<Given>,
) -> Result<Loaded, Failure> {
    let mut replaced = manifest::folder().to_string();
    for look in 0..LOOKS {
        if look > 0 {
            sleep(PAUSE).await;
        }
        let Some(manifest) = newest(store).await? else { continue };
        match at(store, manifest, date, given.as_ref()).await {
            Ok(loaded) => return Ok(loaded),
            Err(Trouble::Replaced(key)) => replaced = key,
            Err(Trouble::Failed(failure)) => return Err(failure),
        }
    }
    let message = format!(
        "{replaced} is not what the newest publish says of it; see what `postroad verify` says. A running \
         instance writes it again"
    );
    Err(Failure::new(Exit::DataErr, message))
}

/// Why a look at a publish came to nothing.
enum Trouble {
    /// This file is gone, or another one than the manifest describes.
    Replaced(String),
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The newest manifest; `None` where it was deleted meanwhile.
async fn newest(store: &Store) -> Result<Option<Manifest>, Failure> {
    let folder = manifest::folder();
    let listed: Result<Vec<_>, _> = store.objects().list(Some(&folder)).try_collect().await;
    let listed = listed.map_err(|error| of_store(&failed("listing", &folder)(error)))?;
    let numbers = listed.iter().filter_map(|object| manifest::number(&object.location));
    let Some(number) = numbers.max() else {
        let message = format!(
            "{}: nothing has been published yet; let `postroad run` or `postroad backfill` publish",
            store.name()
        );
        return Err(Failure::new(Exit::NoInput, message));
    };
    match manifest::read(store, number).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(PublishError::Store(error)) if error.is_not_found() => Ok(None),
        Err(error) => Err(Failure::from_error(Exit::of(error.kind()), &error)),
    }
}

async fn at(
    store: &Store,
    manifest: Manifest,
    date: Option<BusinessDay>,
    given: Option<&Given>,
) -> Result<Loaded, Trouble> {
    let as_of = day(store.name(), &manifest, date)?;
    let months = manifest.files.keys().filter_map(|key| month_of(Table::DailyRollups, key));
    let months: BTreeSet<BusinessDay> = months.collect();
    let Some(first_month) = months.first().copied() else {
        let message = "the newest publish has no figures; a report needs some days of them";
        return Err(Failure::new(Exit::DataErr, message).into());
    };
    let first_cells = cells(store, &manifest, first_month).await?;
    let first_day = first_cells.iter().map(|(cell, _)| cell.day).min().unwrap_or(first_month);
    if as_of < first_day {
        let message = format!("--date {as_of}: the data begin on {first_day}; ask for a later day");
        return Err(Failure::new(Exit::DataErr, message).into());
    }
    let reference = match given {
        Some(given) => given.set.clone(),
        None => reference(store, &manifest.reference).await?,
    };
    let key = file_key(Table::Indicators, Some(as_of.month_start()));
    let mut published = None;
    if given.is_none() && manifest.files.contains_key(&key) {
        let batch = batch(&key, file(store, &manifest, &key).await?)?;
        let read = rows::read(&batch, as_of).map_err(|why| unreadable(&key, &why))?;
        published = Some(read).filter(|(rows, _)| !rows.is_empty());
    }
    // Of what is published the figures tell only whose they are; what is evaluated is made of them all.
    let from = if published.is_some() { as_of.year_start() } else { first_month };
    let mut rollup = Rollup::default();
    rollup.add(first_cells.iter().map(|(cell, measures)| (cell, measures)));
    for month in months.range(from..=as_of).filter(|month| **month != first_month) {
        let found = cells(store, &manifest, *month).await?;
        rollup.add(found.iter().map(|(cell, measures)| (cell, measures)));
    }
    if let Some(given) = given {
        refuse_another_province(given, &rollup)?;
    }
    let is_listed = |code: &PrefectureCode| reference.codebook.prefecture(*code).is_some();
    let year = rollup.days(as_of.year_start(), as_of.plus_days(1));
    let mut unlisted: BTreeSet<PrefectureCode> = year.map(|(cell, _)| cell.prefecture).collect();
    unlisted.retain(|code| !is_listed(code));
    if let Some((rows, version)) = published {
        // Frozen rows may be of reference data that still had them.
        for code in rows.iter().filter_map(prefecture_of) {
            unlisted.remove(&code);
        }
        let origin = Origin::Published;
        let loaded =
            Loaded { manifest, as_of, rows, version, origin, reference, first_day, unlisted };
        return Ok(loaded);
    }
    let settings = manifest.indicators.map(|entry| entry.settings).unwrap_or_default();
    let evaluated = offload(move || {
        let evaluation = Evaluation::of(as_of, &rollup, &reference, settings);
        (table_rows::indicators(as_of, &evaluation.rows, &reference.version), reference)
    });
    let (batch, reference) = evaluated.await.map_err(|error| {
        Failure::new(Exit::Software, format!("the indicators could not be evaluated: {error}"))
    })?;
    let (rows, version) = rows::read(&batch, as_of).map_err(|why| unreadable(&key, &why))?;
    let origin = Origin::Evaluated;
    Ok(Loaded { manifest, as_of, rows, version, origin, reference, first_day, unlisted })
}

/// Reference data that have none of the prefectures that the tables are of.
fn refuse_another_province(given: &Given, rollup: &Rollup) -> Result<(), Failure> {
    let mut codes = rollup.cells().map(|(cell, _)| cell.prefecture);
    if codes.any(|code| given.set.codebook.prefecture(code).is_some()) {
        return Ok(());
    }
    let message = format!(
        "no prefecture of these tables is in {}; name the reference data of their province",
        given.folder.join("prefectures.csv").display()
    );
    Err(Failure::new(Exit::DataErr, message))
}

/// The day that is asked for, if it is complete.
fn day(
    store: &str,
    manifest: &Manifest,
    date: Option<BusinessDay>,
) -> Result<BusinessDay, Failure> {
    let Some(last) = Evaluation::last_day(manifest) else {
        let message = format!(
            "no day is complete as of publish {}; wait until every shard has passed the end of a day: {}",
            manifest.publish,
            standing(store, manifest)
        );
        return Err(Failure::new(Exit::DataErr, message));
    };
    match date {
        Some(date) if date > last => {
            let message = format!(
                "--date {date}: that day is not complete; the last complete day is {last}. Ask for that one, \
                 or wait until every shard has passed the end of {date}: {}",
                standing(store, manifest)
            );
            Err(Failure::new(Exit::DataErr, message))
        }
        date => Ok(date.unwrap_or(last)),
    }
}

/// How many shards are named at most.
const NAMED_MAX: usize = 8;

/// How to see where the shards stand, and which of them have no time to pass a day with.
fn standing(store: &str, manifest: &Manifest) -> String {
    let store = quoted(store);
    let mut text = format!("`postroad inspect --store {store} shards` shows where each stands");
    let timeless = || manifest.shards.iter().filter(|shard| shard.watermark.is_none());
    // One that is closed holds no day open, unless no shard has any time.
    let none_has = timeless().count() == manifest.shards.len();
    let shards: Vec<&ShardEntry> = timeless().filter(|shard| none_has || !shard.closed).collect();
    if shards.is_empty() {
        return text;
    }
    let mut names: Vec<String> =
        shards.iter().take(NAMED_MAX).map(|shard| shard.id().to_string()).collect();
    if shards.len() > NAMED_MAX {
        names.push(format!("{} more", shards.len() - NAMED_MAX));
    }
    text.extend([
        ". Without a watermark, and so behind every day: ",
        &names.join(", "),
        ". Most likely no record there was valid: `postroad inspect --store ",
        &store,
        " dead-letters` shows what was rejected",
    ]);
    text
}

/// A text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain =
        |character: char| character.is_alphanumeric() || "/._-:=@%+,".contains(character);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The reference data of a version: those that the store keeps, or the built-in ones.
async fn reference(store: &Store, version: &str) -> Result<ReferenceSet, Failure> {
    if let Some(kept) = store.reference(version).await.map_err(|error| of_store(&error))? {
        return Ok(kept);
    }
    let built_in = ReferenceSet::liaoning();
    if built_in.version == version {
        return Ok(built_in);
    }
    let message = format!(
        "{}: the store does not keep the reference data {version} that its newest publish was made with; \
         restore references/{version}.json, start an instance that uses them, which writes them again, or \
         name a folder with them: --reference DIR",
        store.name()
    );
    Err(Failure::new(Exit::NoInput, message))
}

async fn cells(
    store: &Store,
    manifest: &Manifest,
    month: BusinessDay,
) -> Result<Vec<(CellKey, Measures)>, Trouble> {
    let key = file_key(Table::DailyRollups, Some(month));
    let batch = batch(&key, file(store, manifest, &key).await?)?;
    let cells = table_rows::read_daily_rollups(&batch);
    Ok(cells.ok_or_else(|| unreadable(&key, "its columns are not those of `daily_rollups`"))?)
}

/// A file, if it is what the manifest says.
async fn file(store: &Store, manifest: &Manifest, key: &str) -> Result<Bytes, Trouble> {
    let replaced = || Trouble::Replaced(key.to_owned());
    let entry = manifest.files.get(key).ok_or_else(replaced)?;
    match store.get(&Path::from(key)).await {
        Ok(bytes) if format!("{:032x}", parquet_file::file_hash(&bytes)) == entry.file_hash => {
            Ok(bytes)
        }
        Ok(_) => Err(replaced()),
        Err(error) if error.is_not_found() => Err(replaced()),
        Err(error) => Err(of_store(&error).into()),
    }
}

fn batch(key: &str, bytes: Bytes) -> Result<RecordBatch, Failure> {
    parquet_file::decode_untrusted(bytes).map_err(|error| unreadable(key, &error.to_string()))
}

fn unreadable(key: &str, why: &str) -> Failure {
    let message =
        format!("{key} cannot be read: {why}; see that the program is as new as the store");
    Failure::new(Exit::DataErr, message)
}

fn of_store(error: &StoreError) -> Failure {
    Failure::from_error(error.exit(), error)
}
