//! The rows of every published table, as Arrow batches.
//!
//! Each function here is pure: merged state in, one batch out, sorted as the contract says. A sum
//! that a column cannot hold is an error that names its cell; it is never rounded or wrapped. What
//! a later publish has to know of an earlier one is read back here, too.

mod indicators;
mod measures;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use postroad_aggregate::days::Horizon;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::measures::Measures;
use postroad_schemas::calendar::{iso_weekday, spring_festival};
use postroad_schemas::codebook::{Codebook, Product};
use postroad_schemas::tables::Table;
use postroad_schemas::units::{BusinessDay, Timestamp};

pub use self::indicators::{benchmarks, indicators, plans, shown};
use super::draft::is_tabled;
use super::manifest::Manifest;
use super::restatements::Restatement;
use crate::checkpoint::{Checkpoint, ShardId};

/// A sum that its column cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{measure} of {day}, prefecture {prefecture}, product {product} is {value}, which its column \
     cannot hold; nothing is published until it is corrected by events"
)]
pub struct Overflow {
    measure: &'static str,
    day: BusinessDay,
    prefecture: String,
    product: Product,
    value: i128,
}

impl Overflow {
    fn new(key: &CellKey, measure: &'static str, value: i128) -> Self {
        Self {
            measure,
            day: key.day,
            prefecture: key.prefecture.to_string(),
            product: key.product,
            value,
        }
    }
}

/// A cell and what it adds up to.
pub type Cell<'a> = (&'a CellKey, &'a Measures);

/// `daily_rollups`: one row for each cell, in the order given.
///
/// # Errors
/// The first cell with a sum that leaves `Decimal(18,2)` or 64 bits.
pub fn daily_rollups(
    cells: &[Cell<'_>],
    codebook: &Codebook,
    horizon: &Horizon,
) -> Result<RecordBatch, Overflow> {
    let place = |key: &CellKey| codebook.prefecture(key.prefecture);
    let text = |get: &dyn Fn(&CellKey) -> String| -> ArrayRef {
        Arc::new(cells.iter().map(|(key, _)| Some(get(key))).collect::<StringArray>())
    };
    let days: Date32Array = cells.iter().map(|(key, _)| Some(key.day.days())).collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(days),
        text(&|key| key.prefecture.to_string()),
        // A code that has left the codebook keeps its rows; the code stands in for the name.
        text(&|key| place(key).map_or(key.prefecture.to_string(), |p| p.name.clone())),
        text(&|key| place(key).map_or(key.prefecture.province(), |p| p.province_code).to_string()),
        text(&|key| key.product.line().to_string()),
        text(&|key| key.product.to_string()),
        text(&|key| codebook.product_name(key.product).to_owned()),
    ];
    columns.extend(measures::columns(cells)?);
    columns.push(text(&|key| horizon.status(key.day).to_string()));
    Ok(batch(Table::DailyRollups, columns))
}

/// What [`daily_rollups`] has written; `None` where it is something else.
pub fn read_daily_rollups(batch: &RecordBatch) -> Option<Vec<(CellKey, Measures)>> {
    Some(measures::read_keys(batch)?.into_iter().zip(measures::read(batch, "")?).collect())
}

/// `restatements`: one row for each, in the order given.
///
/// # Errors
/// The first sum that leaves its column.
///
/// # Panics
/// Never: a publish's number is a count of publishes.
pub fn restatements(restated: &[Restatement]) -> Result<RecordBatch, Overflow> {
    let text = |get: fn(&CellKey) -> String| -> ArrayRef {
        Arc::new(restated.iter().map(|row| Some(get(&row.cell))).collect::<StringArray>())
    };
    let sides = |get: fn(&Restatement) -> &Measures| {
        measures::columns(&restated.iter().map(|row| (&row.cell, get(row))).collect::<Vec<_>>())
    };
    let (before, after) = (sides(|row| &row.before)?, sides(|row| &row.after)?);
    let publish = |row: &Restatement| i64::try_from(row.publish).expect("few");
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(restated.iter().map(publish).collect::<Int64Array>()),
        instants(restated.iter().map(|row| Some(row.published_at))),
        Arc::new(restated.iter().map(|row| Some(row.cell.day.days())).collect::<Date32Array>()),
        text(|cell| cell.prefecture.to_string()),
        text(|cell| cell.product.to_string()),
    ];
    columns.extend(before.into_iter().zip(after).flat_map(|(before, after)| [before, after]));
    Ok(batch(Table::Restatements, columns))
}

/// What [`restatements`] has written; `None` where it is something else.
pub fn read_restatements(batch: &RecordBatch) -> Option<Vec<Restatement>> {
    let publishes = batch.column_by_name("publish")?.as_primitive_opt::<Int64Type>()?;
    let times = batch.column_by_name("published_at")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
    let stamps = publishes.values().iter().zip(times.values());
    let sides = measures::read(batch, "_before")?.into_iter().zip(measures::read(batch, "_after")?);
    let row = |((cell, (publish, at)), (before, after)): ((CellKey, (&i64, &i64)), _)| {
        let publish = u64::try_from(*publish).ok()?;
        Some(Restatement {
            publish,
            published_at: Timestamp::from_micros(*at),
            cell,
            before,
            after,
        })
    };
    measures::read_keys(batch)?.into_iter().zip(stamps).zip(sides).map(row).collect()
}

/// `ledger`: one row for each shard that has a checkpoint.
///
/// # Panics
/// Never: counts are bounded by offsets, which are 63 bits wide.
pub fn ledger(shards: &[&Checkpoint]) -> RecordBatch {
    let text = |get: &dyn Fn(&Checkpoint) -> String| -> ArrayRef {
        Arc::new(shards.iter().map(|shard| Some(get(shard))).collect::<StringArray>())
    };
    let number = |get: fn(&Checkpoint) -> i32| -> ArrayRef {
        Arc::new(shards.iter().map(|shard| get(shard)).collect::<Int32Array>())
    };
    let count = |get: fn(&Checkpoint) -> u64| -> ArrayRef {
        let get = |shard: &&Checkpoint| i64::try_from(get(shard)).expect("bounded by offsets");
        Arc::new(shards.iter().map(get).collect::<Int64Array>())
    };
    let offset = |get: fn(&Checkpoint) -> i64| -> ArrayRef {
        Arc::new(shards.iter().map(|shard| get(shard)).collect::<Int64Array>())
    };
    let columns = vec![
        text(&|shard| shard.id.source.as_str().to_owned()),
        text(&|shard| shard.id.topic.to_string()),
        number(|shard| shard.id.partition),
        number(|shard| shard.id.incarnation),
        offset(|shard| shard.state.ledger.first.get()),
        offset(|shard| shard.state.ledger.next.get()),
        count(|shard| shard.state.ledger.consumed()),
        count(|shard| shard.state.ledger.applied),
        count(|shard| shard.state.ledger.duplicates),
        count(|shard| shard.state.ledger.rejected),
        count(|shard| shard.state.ledger.ignored),
        count(|shard| shard.state.ledger.gaps),
        count(|shard| shard.state.ledger.lost),
        text(&|shard| format!("{:032x}", shard.state.ledger.digest)),
        instants(shards.iter().map(|shard| shard.state.watermark)),
        text(&|shard| shard.phase.as_str().to_owned()),
        Arc::new(shards.iter().map(|shard| shard.reason()).collect::<StringArray>()),
    ];
    batch(Table::Ledger, columns)
}

/// `dead_letters`: one row for each record given.
pub fn dead_letters(letters: &[(&ShardId, &DeadLetter)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(letters.iter().map(|(id, _)| Some(&*id.topic)).collect::<StringArray>()),
        Arc::new(letters.iter().map(|(id, _)| id.partition).collect::<Int32Array>()),
        Arc::new(letters.iter().map(|(id, _)| id.incarnation).collect::<Int32Array>()),
        Arc::new(letters.iter().map(|(_, letter)| letter.offset.get()).collect::<Int64Array>()),
        instants(letters.iter().map(|(_, letter)| letter.timestamp.filter(|at| is_tabled(*at)))),
        Arc::new(letters.iter().map(|(_, l)| Some(l.reason.as_str())).collect::<StringArray>()),
        Arc::new(
            letters
                .iter()
                .map(|(_, l)| l.field.map(postroad_schemas::reject::Field::as_str))
                .collect::<StringArray>(),
        ),
        Arc::new(letters.iter().map(|(_, l)| l.payload.as_deref()).collect::<BinaryArray>()),
    ];
    batch(Table::DeadLetters, columns)
}

/// `publishes`: one row for each manifest given.
///
/// # Panics
/// Never: a manifest's counts are sums over partitions of counts that are bounded by offsets.
pub fn publishes(manifests: &[Arc<Manifest>]) -> RecordBatch {
    let count = |get: fn(&Manifest) -> u64| -> ArrayRef {
        let get = |manifest: &Arc<Manifest>| i64::try_from(get(manifest)).expect("bounded");
        Arc::new(manifests.iter().map(get).collect::<Int64Array>())
    };
    let day = |get: fn(&Manifest) -> Option<BusinessDay>| -> ArrayRef {
        Arc::new(manifests.iter().map(|m| get(m).map(BusinessDay::days)).collect::<Date32Array>())
    };
    let watermarks = |manifest: &Manifest| -> (Option<Timestamp>, Option<Timestamp>) {
        let known = || manifest.shards.iter().filter_map(|shard| shard.watermark);
        (known().min(), known().max())
    };
    let shards = manifests.iter().map(|m| i32::try_from(m.shards.len()).expect("few"));
    let columns = vec![
        count(|manifest| manifest.publish),
        instants(manifests.iter().map(|manifest| Some(manifest.published_at))),
        Arc::new(shards.collect::<Int32Array>()),
        count(|manifest| manifest.totals.consumed),
        count(|manifest| manifest.totals.rejected),
        count(|manifest| manifest.totals.cells),
        instants(manifests.iter().map(|manifest| watermarks(manifest).0)),
        instants(manifests.iter().map(|manifest| watermarks(manifest).1)),
        day(|manifest| manifest.complete_without_through),
        day(|manifest| manifest.complete_through),
        day(|manifest| manifest.final_through),
    ];
    batch(Table::Publishes, columns)
}

/// `prefectures`: the codebook's, as used.
pub fn prefectures(codebook: &Codebook) -> RecordBatch {
    let text = |get: fn(&postroad_schemas::codebook::Prefecture) -> String| -> ArrayRef {
        Arc::new(codebook.prefectures().map(|p| Some(get(p))).collect::<StringArray>())
    };
    let days = |get: fn(&postroad_schemas::codebook::Prefecture) -> Option<BusinessDay>| {
        let days = codebook.prefectures().map(|p| get(p).map(BusinessDay::days));
        Arc::new(days.collect::<Date32Array>()) as ArrayRef
    };
    let columns = vec![
        text(|prefecture| prefecture.code.to_string()),
        text(|prefecture| prefecture.name.clone()),
        text(|prefecture| prefecture.name_zh.clone()),
        text(|prefecture| prefecture.province_code.to_string()),
        text(|prefecture| prefecture.province.clone()),
        text(|prefecture| prefecture.province_zh.clone()),
        days(|prefecture| prefecture.valid_from),
        days(|prefecture| prefecture.valid_to),
    ];
    batch(Table::Prefectures, columns)
}

/// `products`: the contract's, with the codebook's names.
pub fn products(codebook: &Codebook) -> RecordBatch {
    let text = |get: &dyn Fn(Product) -> String| -> ArrayRef {
        Arc::new(Product::ALL.iter().map(|p| Some(get(*p))).collect::<StringArray>())
    };
    let columns = vec![
        text(&|product| product.to_string()),
        text(&|product| product.line().to_string()),
        text(&|product| codebook.product_name(product).to_owned()),
        text(&|product| codebook.product_name_zh(product).to_owned()),
    ];
    batch(Table::Products, columns)
}

/// `calendar`: one row for each of the days `[from, until)`.
///
/// # Panics
/// Where a day's year does not fit 32 bits, which no accepted event can bring about.
pub fn calendar(from: BusinessDay, until: BusinessDay, horizon: &Horizon) -> RecordBatch {
    let days: Vec<_> = (from.days()..until.days()).map(BusinessDay::from_days).collect();
    let number = |get: &dyn Fn(BusinessDay) -> i32| -> ArrayRef {
        Arc::new(days.iter().map(|day| get(*day)).collect::<Int32Array>())
    };
    let date = |get: &dyn Fn(BusinessDay) -> Option<BusinessDay>| -> ArrayRef {
        Arc::new(days.iter().map(|day| get(*day).map(BusinessDay::days)).collect::<Date32Array>())
    };
    let year = |day: BusinessDay| i32::try_from(day.civil().0).expect("a year of a valid day");
    let month = |day: BusinessDay| day.civil().1.cast_signed();
    let since = |day: BusinessDay, start: BusinessDay| day.days() - start.days();
    let year_length =
        |day: BusinessDay| since(day.year_start().plus_days(366).year_start(), day.year_start());
    let festival = |day: BusinessDay| spring_festival(year(day));
    let columns = vec![
        date(&Some),
        number(&year),
        number(&|day| (month(day) + 5) / 6),
        number(&|day| (month(day) + 2) / 3),
        number(&month),
        number(&|day| day.civil().2.cast_signed()),
        number(&iso_weekday),
        number(&|day| since(day, day.year_start()) + 1),
        number(&year_length),
        date(&|day| Some(day.year_before())),
        date(&festival),
        Arc::new(
            days.iter()
                .map(|day| festival(*day).map(|festival| since(*day, festival)))
                .collect::<Int32Array>(),
        ),
        Arc::new(
            days.iter().map(|day| Some(horizon.status(*day).as_str())).collect::<StringArray>(),
        ),
    ];
    batch(Table::Calendar, columns)
}

fn instants(times: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let micros = times.map(|time| time.map(Timestamp::as_micros));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(table.schema(), columns).expect("the columns are built for the schema")
}

#[cfg(test)]
mod tests;
