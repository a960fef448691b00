//! One Parquet file: how it is encoded, stamped, and told from another.

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::guarded;

/// The metadata key of the publish that wrote a file.
pub const STAMP: &str = "postroad.publish";

/// Encodes a batch as one row group, compressed with ZSTD and stamped with the publish's number.
///
/// # Errors
/// Where the writer refuses the batch, which no batch of ours should make it do.
pub fn encode(batch: &RecordBatch, publish: u64) -> Result<Bytes, ParquetError> {
    let stamp = KeyValue::new(STAMP.to_owned(), publish.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("postroad ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![stamp]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner().map(Bytes::from)
}

/// Decodes a file that [`encode`] has made, to the bit.
///
/// # Errors
/// Where the bytes are no Parquet file.
pub fn decode(bytes: Bytes) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = builder.schema().clone();
    let rows = builder.metadata().file_metadata().num_rows();
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
