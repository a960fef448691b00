//! Records from files: `kcat -J` envelopes, or bare values, one a line.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use postroad_aggregate::shard::Record;
use postroad_schemas::units::{Offset, Timestamp};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::config::is_topic_name;

/// The longest line that is read, in bytes: a value of 10 MB of which every byte is escaped fits.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// How compressed files begin, and what unpacks them.
const COMPRESSED: [(&[u8], &str); 3] =
    [(b"\x1f\x8b", "zcat"), (b"\x28\xb5\x2f\xfd", "zstdcat"), (b"\xfd7zXZ", "xzcat")];

/// How the lines of a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Envelopes as `kcat -J` prints them: topic, partition, offset, timestamp and payload.
    Kcat,
    /// One value a line; its line number, from 0, is its offset.
    Ndjson,
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("{} cannot be opened: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("{}:{line}: cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// It is compressed.
    #[error(
        "{} is compressed; give what `{with}` makes of it, under a name of its own",
        path.display()
    )]
    Compressed {
        /// Which.
        path: PathBuf,
        /// What unpacks it.
        with: &'static str,
    },
    /// A line is too long to be a record.
    #[error(
        "{}:{line}: the line has more than {LINE_BYTES_MAX} bytes; this is no file of records",
        path.display()
    )]
    Long {
        /// Which.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A line is no envelope. What it holds is not repeated.
    #[error(
        "{}:{line}: this is no envelope of `kcat -J` (column {column}: {problem}); use \
         --input ndjson for bare values",
        path.display()
    )]
    Envelope {
        /// Which.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column, counted from 1.
        column: usize,
        /// What is wrong, without the text itself.
        problem: &'static str,
    },
}

/// One line of an envelope file.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since the epoch; absent or negative where the record has no timestamp.
    #[serde(default)]
    pub ts: Option<i64>,
    /// The value's bytes as they are, UTF-8 or not; `None` for a tombstone.
    #[serde(deserialize_with = "payload")]
    pub payload: Option<Vec<u8>>,
}

/// A JSON string as bytes: kcat escapes quotes and control characters and copies the rest, so what
/// lies between the quotes need not be UTF-8.
fn payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    struct Payload;
    impl<'de> Visitor<'de> for Payload {
        type Value = Option<Vec<u8>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or null")
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
            inner.deserialize_bytes(Bytes).map(Some)
        }
    }

    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.to_vec())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.as_bytes().to_vec())
        }
    }

    deserializer.deserialize_option(Payload)
}

impl Envelope {
    /// The record in the envelope.
    pub fn record(&self) -> Record<'_> {
        Record {
            offset: Offset::new(self.offset),
            timestamp: self.ts.filter(|ts| *ts >= 0).map(Timestamp::from_millis),
            value: self.payload.as_deref(),
        }
    }

    fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        // The library would take an array for an object whose fields are told by their places.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(de::Error::custom("not an object"));
        }
        let mut input = serde_json::Deserializer::from_slice(line);
        let envelope = Self::deserialize(&mut input)?;
        input.end()?;
        if envelope.offset < 0 || envelope.offset == i64::MAX || envelope.partition < 0 {
            return Err(de::Error::custom("no offset or partition"));
        }
        if !is_topic_name(&envelope.topic) {
            return Err(de::Error::custom("no topic of Kafka"));
        }
        Ok(envelope)
    }
}

/// A line: its number, counted from 0, its bytes without the line break, and how many bytes of the
/// file were taken for it.
pub type NumberedLine<'a> = (u64, &'a [u8], u64);

/// A file, read line by line.
pub struct Lines {
    path: PathBuf,
    input: BufReader<File>,
    line: Vec<u8>,
    /// The number of the current line, counted from 1.
    number: u64,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it cannot be opened, or is compressed.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let open = |source| FileError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(open)?;
        if file.metadata().map_err(open)?.is_dir() {
            return Err(open(io::ErrorKind::IsADirectory.into()));
        }
        let mut input = BufReader::with_capacity(1 << 20, file);
        let begin = input.fill_buf().map_err(open)?;
        if let Some((_, with)) = COMPRESSED.iter().find(|(magic, _)| begin.starts_with(magic)) {
            return Err(FileError::Compressed { path: path.to_owned(), with });
        }
        Ok(Self { path: path.to_owned(), input, line: Vec::new(), number: 0 })
    }

    /// The next line that is not blank; blank ones before it count as taken.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line is too long to be a record.
    pub fn next_line(&mut self) -> Result<Option<NumberedLine<'_>>, FileError> {
        let mut taken = 0;
        loop {
            self.line.clear();
            self.number += 1;
            let mut bounded = (&mut self.input).take(LINE_BYTES_MAX + 1);
            let read = bounded.read_until(b'\n', &mut self.line).map_err(|source| {
                FileError::Read { path: self.path.clone(), line: self.number, source }
            })?;
            if read as u64 > LINE_BYTES_MAX {
                return Err(FileError::Long { path: self.path.clone(), line: self.number });
            }
            if read == 0 {
                return Ok(None);
            }
            taken += read as u64;
            while matches!(self.line.last(), Some(b'\n' | b'\r')) {
                self.line.pop();
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.number - 1, &self.line, taken)));
            }
        }
    }

    /// Reads the current line as an envelope.
    ///
    /// # Errors
    /// Where it is none.
    pub fn envelope(&self) -> Result<Envelope, FileError> {
        Envelope::parse(&self.line).map_err(|error| FileError::Envelope {
            path: self.path.clone(),
            line: self.number,
            column: error.column(),
            problem: match error.classify() {
                serde_json::error::Category::Data => {
                    "a field is missing, of the wrong type, or not one of Kafka's"
                }
                serde_json::error::Category::Eof => "the line ends too early",
                _ => "it is not JSON",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ENVELOPE: &[u8] = b"no envelope";
    const TOMBSTONE: &[u8] = b"tombstone";

    #[track_caller]
    fn check(line: &[u8], expect: &[u8]) {
        let payload = match Envelope::parse(line) {
            Err(_) => NO_ENVELOPE.to_vec(),
            Ok(envelope) => envelope.payload.unwrap_or(TOMBSTONE.to_vec()),
        };
        assert_eq!(payload, expect);
    }

    #[test]
    fn the_payload_is_the_bytes_between_the_quotes() {
        let with = |payload: &[u8]| {
            let head = br#"{"topic":"t","partition":0,"offset":1,"ts":5,"key":null,"payload":"#;
            [head, payload, b"}"].concat()
        };
        check(&with(br#""{\"a\":1}""#), br#"{"a":1}"#);
        check(&with(b"null"), TOMBSTONE);
        check(&with(b"\"\""), b"");
        check(&with(b"\"\xff\xfe\""), b"\xff\xfe");
        check(&with(br#""\u0001\n""#), b"\x01\n");
        check(&with(b"17"), NO_ENVELOPE);
        check(&[with(b"null"), b"x".to_vec()].concat(), NO_ENVELOPE);
        check(br#"{"topic":"t","partition":0,"offset":1}"#, NO_ENVELOPE);
        check(br#"{"topic":"t","partition":0,"offset":-1,"payload":null}"#, NO_ENVELOPE);
        check(br#"["t",0,1,5,null]"#, NO_ENVELOPE);
    }
}
