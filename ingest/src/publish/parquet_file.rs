//! One Parquet file: how it is encoded, stamped, and told from another.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use postroad_schemas::units::BusinessDay;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::guarded;

/// The metadata key of the publish that wrote a file.
pub const STAMP: &str = "postroad.publish";

/// Encodes a batch as one row group, compressed with ZSTD and stamped with the publish's number.
///
/// # Errors
/// Where the writer refuses the batch, which no batch of ours should make it do.
pub fn encode(batch: &RecordBatch, publish: u64) -> Result<Bytes, ParquetError> {
    let properties = Some(properties(publish)?);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), properties)?;
    writer.write(batch)?;
    writer.into_inner().map(Bytes::from)
}

fn properties(publish: u64) -> Result<WriterProperties, ParquetError> {
    let stamp = KeyValue::new(STAMP.to_owned(), publish.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("postroad ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![stamp]));
    Ok(properties.build())
}

/// A row group of an encoded file.
#[derive(Debug, Clone)]
pub struct Group {
    file: Bytes,
    /// Its place in the file.
    index: usize,
    metadata: RowGroupMetaData,
}

impl Group {
    /// The least date of the first column, of which [`encode`] keeps statistics.
    fn first_day(&self) -> Option<BusinessDay> {
        match self.metadata.column(0).statistics()? {
            Statistics::Int32(days) => days.min_opt().map(|day| BusinessDay::from_days(*day)),
            _ => None,
        }
    }

    /// The group as one of this schema: itself, or where an earlier release had fewer columns, the same
    /// rows with nulls for what has been added since.
    fn fitted(&self, schema: &SchemaRef, descriptor: &SchemaDescriptor) -> ParquetResult<Self> {
        if self.metadata.schema_descr().root_schema() == descriptor.root_schema() {
            return Ok(self.clone());
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(self.file.clone())?;
        let batch = first_batch(builder.with_row_groups(vec![self.index]), self.rows())?;
        let read = batch.schema();
        if let Some(field) = read.fields().iter().find(|f| schema.index_of(f.name()).is_err()) {
            let problem = "is of a newer release; run that one, since this one would lose it";
            return Err(ParquetError::General(format!("the column {} {problem}", field.name())));
        }
        let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let columns = schema.fields().iter().map(column).collect();
        let fitted = encode(&RecordBatch::try_new(Arc::clone(schema), columns)?, 0)?;
        let group = groups(&fitted)?.into_iter().next();
        group.ok_or_else(|| ParquetError::General("a group without rows".to_owned()))
    }

    fn rows(&self) -> u64 {
        u64::try_from(self.metadata.num_rows()).unwrap_or_default()
    }
}

/// The row groups of a file that [`encode`] or [`splice`] has made.
///
/// # Errors
/// Where the bytes are no Parquet file.
pub fn groups(file: &Bytes) -> Result<Vec<Group>, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file)?;
    let groups = metadata.row_groups().iter().enumerate();
    let group = |(index, metadata): (usize, &RowGroupMetaData)| Group {
        file: file.clone(),
        index,
        metadata: metadata.clone(),
    };
    Ok(groups.map(group).collect())
}

/// Those of days up to one, inclusive.
///
/// # Errors
/// Where the bytes are no Parquet file.
pub fn groups_through(file: &Bytes, through: BusinessDay) -> Result<Vec<Group>, ParquetError> {
    let mut groups = groups(file)?;
    groups.retain(|group| group.first_day().is_some_and(|day| day <= through));
    Ok(groups)
}

/// A file that was put together.
#[derive(Debug)]
pub struct Spliced {
    /// The file.
    pub bytes: Bytes,
    /// Its rows.
    pub rows: u64,
    /// A hash of its row groups, encoded as they are.
    pub hash: u128,
}

/// Puts a file together from row groups as they are encoded, whatever files they are of. Those that an
/// earlier release has written with fewer columns are encoded again.
///
/// # Errors
/// Where a group has a column that is not in this schema, or is of another type there, or lacks one that
/// cannot be null.
pub fn splice(schema: &SchemaRef, groups: &[Group], publish: u64) -> Result<Spliced, ParquetError> {
    let properties = Arc::new(properties(publish)?);
    let descriptor = ArrowSchemaConverter::new().convert(schema)?;
    let mut writer =
        SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), properties)?;
    let (mut rows, mut hash) = (0, Xxh3::new());
    for group in groups {
        let group = group.fitted(schema, &descriptor)?;
        let (group_rows, Group { file, metadata, .. }) = (group.rows(), group);
        let mut group = writer.next_row_group()?;
        for column in metadata.columns() {
            let (start, length) = column.byte_range();
            let range = usize::try_from(start).unwrap_or_default()..;
            let chunk = file.slice(range).slice(..usize::try_from(length).unwrap_or_default());
            hash.update(&chunk);
            let closed = ColumnCloseResult {
                bytes_written: length,
                rows_written: group_rows,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            group.append_column(&file, closed)?;
        }
        group.close()?;
        rows += group_rows;
    }
    Ok(Spliced { bytes: writer.into_inner()?.into(), rows, hash: hash.digest128() })
}

/// Decodes a file that [`encode`] has made, to the bit.
///
/// # Errors
/// Where the bytes are no Parquet file.
pub fn decode(bytes: Bytes) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let rows = builder.metadata().file_metadata().num_rows();
    first_batch(builder, u64::try_from(rows).unwrap_or_default())
}

/// The first so many rows.
fn first_batch(
    builder: ParquetRecordBatchReaderBuilder<Bytes>,
    rows: u64,
) -> ParquetResult<RecordBatch> {
    let schema = builder.schema().clone();
    let all = builder.with_batch_size(usize::try_from(rows).unwrap_or(0).max(1));
    match all.build()?.next() {
        Some(batch) => Ok(batch?),
        None => Ok(RecordBatch::new_empty(schema)),
    }
}

/// Decodes what may have been altered since: the decoder is not made for that, and may panic.
///
/// # Errors
/// Where the bytes are no Parquet file.
pub fn decode_untrusted(bytes: Bytes) -> Result<RecordBatch, ParquetError> {
    let nonsense = || ParquetError::General("it makes no sense to the decoder".to_owned());
    guarded(|| decode(bytes)).ok_or_else(nonsense)?
}

/// A hash of the rows of a freshly built batch: of every buffer of every column.
pub fn rows_hash(batch: &RecordBatch) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&(batch.num_rows() as u64).to_le_bytes());
    for column in batch.columns() {
        let data = column.to_data();
        for buffer in data.buffers() {
            hash.update(&(buffer.len() as u64).to_le_bytes());
            hash.update(buffer.as_slice());
        }
        if let Some(nulls) = data.nulls() {
            hash.update(&nulls.iter().map(u8::from).collect::<Vec<_>>());
        }
    }
    hash.digest128()
}

/// A hash of a file's bytes.
pub fn file_hash(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}
