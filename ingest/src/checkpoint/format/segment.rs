//! The bytes of a segment: the cells of one month of a shard, or some of its dead letters.
//!
//! The same words as in a checkpoint, behind a magic and a version of their own. Checkpoints that list
//! a segment hold the hash of its bytes, so it needs no checksum.

use std::collections::BTreeMap;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::DeadLetter;
use postroad_aggregate::measures::Measures;

use super::bytes::{Reader, Writer};
use super::{
    FormatError, Names, read_cells, read_dead_letters, write_cells, write_dead_letters, write_names,
};

const MAGIC: &[u8; 4] = b"PRSG";
const VERSION: u64 = 1;

/// What a segment holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Sealed {
    /// Cells, in the order of the published rows.
    Cells(Vec<(CellKey, Measures)>),
    /// Dead letters, ascending by offset.
    DeadLetters(Vec<DeadLetter>),
}

/// Encodes cells.
pub fn encode_cells(cells: &BTreeMap<CellKey, Measures>) -> Vec<u8> {
    let mut out = begin("cells");
    write_cells(&mut out, cells.iter());
    out.into_bytes()
}

/// Encodes dead letters.
pub fn encode_dead_letters(letters: &[DeadLetter]) -> Vec<u8> {
    let mut out = begin("dead_letters");
    write_dead_letters(&mut out, letters);
    out.into_bytes()
}

fn begin(part: &str) -> Writer {
    let mut out = Writer::with_capacity(4096);
    out.bytes(MAGIC);
    out.unsigned(VERSION);
    out.text(part);
    write_names(&mut out);
    out
}

/// Decodes either.
///
/// # Errors
/// A newer version, or bytes that are not of the format.
pub fn decode(bytes: &[u8]) -> Result<Sealed, FormatError> {
    let mut input = Reader::new(bytes, "magic");
    if input.bytes()? != MAGIC {
        return Err(input.unreadable());
    }
    let version: u64 = input.unsigned()?;
    if version > VERSION {
        return Err(FormatError::Newer(version));
    }
    input.part = "part";
    let part = input.text()?;
    let names = Names::read(&mut input)?;
    let sealed = match part {
        "cells" => {
            let mut cells = Vec::new();
            read_cells(&mut input, &names, |key, measures| cells.push((key, measures)))?;
            Sealed::Cells(cells)
        }
        "dead_letters" => Sealed::DeadLetters(read_dead_letters(&mut input, &names)?),
        _ => return Err(input.unreadable()),
    };
    input.part = "end";
    if input.is_empty() { Ok(sealed) } else { Err(input.unreadable()) }
}
