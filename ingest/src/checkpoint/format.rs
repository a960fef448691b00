//! The bytes of a checkpoint: a shard's state, whole, in a format that can be told from its
//! successors.
//!
//! Integers are zigzag LEB128, so that a cell costs about thirty bytes. Products, reasons and
//! fields are written as names in a table at the front and referred to by index, so that adding
//! one to the code moves nothing in old checkpoints. The envelope around these bytes (magic,
//! checksum, place in the chain) belongs to [`super::envelope`].
//!
//! Nothing in here identifies a person, parcel or account: no event id, no key, and no payload
//! unless the operator chose to keep those of dead letters.

mod bytes;
pub mod segment;

use postroad_aggregate::decision::DecisionId;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::{DeadLetter, Delivered, Ledger};
use postroad_aggregate::measures::{MEASURES, Measures};
use postroad_aggregate::rules::RulesId;
use postroad_aggregate::seal::{Part, Segment};
use postroad_aggregate::shard::ShardState;
use postroad_schemas::codebook::{PrefectureCode, Product};
use postroad_schemas::contract::Contract;
use postroad_schemas::reject::{Field, Reason};
use postroad_schemas::units::{BusinessDay, Hour, NextOffset, Offset, Timestamp};

use self::bytes::{Reader, Writer};
use super::{Adopted, Checkpoint, Phase, ShardId, Source, StallReason, Standing};
use crate::source::TopicId;

/// The version that this program writes. It reads all up to this one.
pub const FORMAT_VERSION: u64 = 2;

/// Why bytes are not a checkpoint that this program can go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Written by a newer program: refused, never overwritten.
    #[error(
        "it has format version {0}, this program reads up to {FORMAT_VERSION}; use the newer program"
    )]
    Newer(u64),
    /// Not what the format says, although the checksum holds.
    #[error("its {0} cannot be read")]
    Unreadable(&'static str),
}

/// Encodes a checkpoint. Equal checkpoints give equal bytes.
pub fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut out = Writer::with_capacity(1024 + checkpoint.state.cells.len() * 48);
    out.unsigned(FORMAT_VERSION);
    write_names(&mut out);
    write_shard(&mut out, checkpoint);
    write_ledger(&mut out, &checkpoint.state.ledger);
    write_position(&mut out, &checkpoint.state);
    let mut cells: Vec<_> = checkpoint.state.cells.iter().collect();
    cells.sort_unstable_by_key(|(key, _)| **key);
    write_cells(&mut out, cells.into_iter());
    write_dead_letters(&mut out, &checkpoint.state.dead_letters);
    write_sealed(&mut out, &checkpoint.state);
    out.into_bytes()
}

/// Decodes what [`encode`] wrote, in this or an older version of the program.
///
/// # Errors
/// A newer version, or bytes that are not of the format.
pub fn decode(bytes: &[u8]) -> Result<Checkpoint, FormatError> {
    let mut input = Reader::new(bytes, "version");
    let version: u64 = input.unsigned()?;
    if version > FORMAT_VERSION {
        return Err(FormatError::Newer(version));
    }
    let names = Names::read(&mut input)?;
    let (standing, contract) = read_shard(&mut input, version)?;
    let ledger = read_ledger(&mut input)?;
    let position = read_position(&mut input)?;
    let mut state = ShardState {
        contract,
        ledger,
        last_delivered: position.last_delivered,
        watermark: position.watermark,
        window_hours: position.window_hours.into(),
        rules: position.rules,
        cells: postroad_aggregate::shard::Cells::default(),
        dead_letters: Vec::new(),
        sealed: Vec::new(),
        replayed: Vec::new(),
    };
    read_cells(&mut input, &names, |key, measures| {
        state.cells.insert(key, measures);
    })?;
    state.dead_letters = read_dead_letters(&mut input, &names)?;
    if version >= 2 {
        read_sealed(&mut input, &mut state)?;
    }
    input.part = "end";
    if !input.is_empty() {
        return Err(input.unreadable());
    }
    Ok(standing.with(state))
}

/// The names behind the indices of one checkpoint.
struct Names {
    products: Vec<Product>,
    reasons: Vec<Reason>,
    fields: Vec<Field>,
}

fn write_names(out: &mut Writer) {
    fn table<T: Copy>(out: &mut Writer, all: &[T], name: fn(T) -> &'static str) {
        out.list(all.iter(), |out, value| out.text(name(*value)));
    }
    table(out, Product::ALL, Product::as_str);
    table(out, Reason::ALL, Reason::as_str);
    table(out, Field::ALL, Field::as_str);
}

impl Names {
    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        fn table<T: Copy>(
            input: &mut Reader<'_>,
            all: &[T],
            name: fn(T) -> &'static str,
        ) -> Result<Vec<T>, FormatError> {
            input.list(|input| {
                let text = input.text()?;
                let known = all.iter().find(|value| name(**value) == text);
                known.copied().ok_or(input.unreadable())
            })
        }
        input.part = "table of names";
        Ok(Self {
            products: table(input, Product::ALL, Product::as_str)?,
            reasons: table(input, Reason::ALL, Reason::as_str)?,
            fields: table(input, Field::ALL, Field::as_str)?,
        })
    }
}

fn write_shard(out: &mut Writer, checkpoint: &Checkpoint) {
    let id = &checkpoint.id;
    out.text(id.source.as_str());
    out.text(&id.topic);
    out.signed(id.partition.into());
    out.signed(id.incarnation.into());
    out.text(checkpoint.state.contract.as_str());
    out.text(checkpoint.phase.as_str());
    if let Phase::Stalled { reason, lost } = checkpoint.phase {
        out.text(reason.as_str());
        out.optional(lost, |out, (from, to)| {
            out.signed(from.get().into());
            out.signed(to.get().into());
        });
    }
    out.optional(checkpoint.caught_up_at, |out, at| out.signed(at.as_micros().into()));
    out.optional(checkpoint.window_cut, |out, cut| out.signed(cut.get().into()));
    out.list(checkpoint.decisions.iter(), |out, adopted| {
        out.signed(adopted.at.get().into());
        out.unsigned(adopted.id.0);
        out.signed(adopted.to.get().into());
    });
    out.optional(checkpoint.topic_id, |out, id| out.unsigned(id.get()));
    out.optional(checkpoint.released_through, |out, day| out.signed(day.days().into()));
}

/// How the shard stands, and which contract it follows. Version 1 knew neither what a stall would
/// lose, nor topic ids, nor any decision.
fn read_shard(input: &mut Reader<'_>, version: u64) -> Result<(Standing, Contract), FormatError> {
    input.part = "shard";
    let source = Source::from_name(input.text()?).ok_or(input.unreadable())?;
    let mut standing = Standing::new(ShardId {
        source,
        topic: input.text()?.into(),
        partition: input.signed()?,
        incarnation: input.signed()?,
    });
    let contract = input.text()?.parse().map_err(|_| input.unreadable())?;
    standing.phase = match input.text()? {
        "running" => Phase::Running,
        "closed" => Phase::Closed,
        "stalled" => {
            let name = input.text()?;
            let reason = StallReason::ALL.iter().find(|reason| reason.as_str() == name);
            let reason = *reason.ok_or(input.unreadable())?;
            let range = |input: &mut Reader<'_>| {
                Ok((NextOffset::new(input.signed()?), NextOffset::new(input.signed()?)))
            };
            let lost = if version >= 2 { input.optional(range)? } else { None };
            Phase::Stalled { reason, lost }
        }
        _ => return Err(input.unreadable()),
    };
    standing.caught_up_at = input.optional(Reader::timestamp)?;
    standing.window_cut = input.optional(|input| input.signed().map(NextOffset::new))?;
    standing.decisions = input.list(|input| {
        let at = NextOffset::new(input.signed()?);
        let id = DecisionId(input.unsigned()?);
        let to = if version >= 2 { NextOffset::new(input.signed()?) } else { at };
        Ok(Adopted { id, at, to })
    })?;
    if version >= 2 {
        standing.topic_id = input.optional(Reader::unsigned)?.and_then(TopicId::new);
        let day = input.optional(Reader::signed)?;
        standing.released_through = day.map(BusinessDay::from_days);
    }
    Ok((standing, contract))
}

fn write_ledger(out: &mut Writer, ledger: &Ledger) {
    out.signed(ledger.first.get().into());
    out.signed(ledger.next.get().into());
    for count in [
        ledger.applied,
        ledger.duplicates,
        ledger.rejected,
        ledger.ignored,
        ledger.gaps,
        ledger.lost,
    ] {
        out.unsigned(count);
    }
    out.unsigned(ledger.digest);
}

fn read_ledger(input: &mut Reader<'_>) -> Result<Ledger, FormatError> {
    input.part = "ledger";
    Ok(Ledger {
        first: NextOffset::new(input.signed()?),
        next: NextOffset::new(input.signed()?),
        applied: input.unsigned()?,
        duplicates: input.unsigned()?,
        rejected: input.unsigned()?,
        ignored: input.unsigned()?,
        gaps: input.unsigned()?,
        lost: input.unsigned()?,
        digest: input.unsigned()?,
    })
}

/// Where the shard stands: what is needed to go on from it.
struct Position {
    last_delivered: Option<Delivered>,
    watermark: Option<Timestamp>,
    window_hours: Vec<(Hour, Offset)>,
    rules: Vec<(NextOffset, RulesId)>,
}

fn write_position(out: &mut Writer, state: &ShardState) {
    out.optional(state.last_delivered, |out, last| {
        out.signed(last.offset.get().into());
        out.optional(last.timestamp, |out, at| out.signed(at.as_micros().into()));
        out.unsigned(last.hash);
    });
    out.optional(state.watermark, |out, at| out.signed(at.as_micros().into()));
    out.list(state.window_hours.iter(), |out, (hour, offset)| {
        out.signed(hour.get().into());
        out.signed(offset.get().into());
    });
    out.list(state.rules.iter(), |out, (from, id)| {
        out.signed(from.get().into());
        out.unsigned(id.get());
    });
}

fn read_position(input: &mut Reader<'_>) -> Result<Position, FormatError> {
    input.part = "position";
    let position = Position {
        last_delivered: input.optional(|input| {
            Ok(Delivered {
                offset: Offset::new(input.signed()?),
                timestamp: input.optional(Reader::timestamp)?,
                hash: input.unsigned()?,
            })
        })?,
        watermark: input.optional(Reader::timestamp)?,
        window_hours: input
            .list(|input| Ok((Hour::new(input.signed()?), Offset::new(input.signed()?))))?,
        rules: input.list(|input| {
            Ok((NextOffset::new(input.signed()?), RulesId::from_u128(input.unsigned()?)))
        })?,
    };
    if position.rules.is_empty() { Err(input.unreadable()) } else { Ok(position) }
}

fn write_sealed(out: &mut Writer, state: &ShardState) {
    out.list(state.sealed.iter(), |out, segment| {
        let month = match segment.part {
            Part::Cells(month) => Some(month),
            Part::DeadLetters => None,
        };
        out.optional(month, |out, month| out.signed(month.days().into()));
        out.unsigned(segment.epoch);
        out.unsigned(segment.seq);
        out.unsigned(segment.records);
        out.unsigned(segment.hash);
    });
    out.list(state.replayed.iter(), |out, offset| out.signed(offset.get().into()));
}

fn read_sealed(input: &mut Reader<'_>, state: &mut ShardState) -> Result<(), FormatError> {
    input.part = "segments";
    state.sealed = input.list(|input| {
        let month = input.optional(Reader::signed)?.map(BusinessDay::from_days);
        Ok(Segment {
            part: month.map_or(Part::DeadLetters, Part::Cells),
            epoch: input.unsigned()?,
            seq: input.unsigned()?,
            records: input.unsigned()?,
            hash: input.unsigned()?,
        })
    })?;
    state.replayed = input.list(|input| input.signed().map(Offset::new))?;
    Ok(())
}

fn write_cells<'a>(
    out: &mut Writer,
    cells: impl ExactSizeIterator<Item = (&'a CellKey, &'a Measures)>,
) {
    out.list(cells, |out, (key, measures)| {
        out.signed(key.day.days().into());
        out.unsigned(key.prefecture.get());
        out.unsigned(key.product as u8);
        let row = measures.to_array();
        let present = row.iter().enumerate().filter(|(_, value)| **value != 0);
        out.unsigned(present.fold(0_u32, |bits, (index, _)| bits | 1 << index));
        for value in row.into_iter().filter(|value| *value != 0) {
            out.signed(value);
        }
    });
}

fn read_cells(
    input: &mut Reader<'_>,
    names: &Names,
    mut take: impl FnMut(CellKey, Measures),
) -> Result<(), FormatError> {
    input.part = "cells";
    for _ in 0..input.unsigned::<u64>()? {
        let day = BusinessDay::from_days(input.signed()?);
        let prefecture = PrefectureCode::new(input.unsigned()?).ok_or(input.unreadable())?;
        let product = input.named(&names.products)?;
        let present: u32 = input.unsigned()?;
        let mut row = [0; MEASURES];
        for (index, value) in row.iter_mut().enumerate() {
            if present & 1 << index != 0 {
                *value = input.signed()?;
            }
        }
        let measures = Measures::from_array(&row).ok_or(input.unreadable())?;
        take(CellKey { day, prefecture, product }, measures);
    }
    Ok(())
}

fn write_dead_letters(out: &mut Writer, letters: &[DeadLetter]) {
    out.list(letters.iter(), |out, letter| {
        out.signed(letter.offset.get().into());
        out.optional(letter.timestamp, |out, at| out.signed(at.as_micros().into()));
        out.signed(letter.judged_at.as_micros().into());
        out.unsigned(letter.reason as u8);
        out.optional(letter.field, |out, field| out.unsigned(field as u8));
        out.optional(letter.payload.as_deref(), Writer::bytes);
    });
}

fn read_dead_letters(
    input: &mut Reader<'_>,
    names: &Names,
) -> Result<Vec<DeadLetter>, FormatError> {
    input.part = "dead letters";
    input.list(|input| {
        Ok(DeadLetter {
            offset: Offset::new(input.signed()?),
            timestamp: input.optional(Reader::timestamp)?,
            judged_at: input.timestamp()?,
            reason: input.named(&names.reasons)?,
            field: input.optional(|input| input.named(&names.fields))?,
            payload: input.optional(|input| input.bytes().map(Box::from))?,
        })
    })
}

#[cfg(test)]
mod tests;
