//! What every object of a checkpoint chain looks like: a header of 64 bytes, the payload, a checksum of 16.
//!
//! | offset | size | field (integers are little-endian)                     |
//! |-------:|-----:|--------------------------------------------------------|
//! |      0 |    4 | magic `PRCK`                                           |
//! |      4 |    2 | format version                                         |
//! |      6 |    1 | link: 1 claim, 2 commit                                |
//! |      7 |    1 | zero                                                   |
//! |      8 |    8 | seq, the same as in the object's name                  |
//! |     16 |    8 | epoch                                                  |
//! |     24 |   16 | nonce of this object                                   |
//! |     40 |   16 | nonce of the object that it continues; 0 if none       |
//! |     56 |    8 | length of the payload in bytes, *n*                    |
//! |     64 |  *n* | payload                                                |
//! | 64+*n* |   16 | xxh3-128 of everything before                          |
//!
//! Every future version keeps the first six bytes and the last sixteen as they are: so a damaged object is never taken
//! for a newer one, nor a newer one for a damaged one that may be passed over.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

/// The version that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 64;

const MAGIC: [u8; 4] = *b"PRCK";
const CHECKSUM_LEN: usize = 16;

/// The place of an object in its chain, counted from 0; the object's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// Where every chain begins.
    pub const FIRST: Self = Self(0);

    /// The place numbered `seq`.
    pub const fn new(seq: u64) -> Self {
        Self(seq)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one, unless numbers are used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Seq {
    /// Twenty digits, so that names sort as numbers do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// The reign of one writer: every claim begins a higher one, and commits stay in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The reign that the first claim of a chain begins.
    pub const FIRST: Self = Self(1);

    /// The reign numbered `epoch`.
    pub const fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The reign `reigns` later, unless numbers are used up.
    pub fn later(self, reigns: usize) -> Option<Self> {
        u64::try_from(reigns).ok().and_then(|reigns| self.0.checked_add(reigns)).map(Self)
    }
}

/// A random number drawn for one object. It tells two objects of one name apart even when their payloads agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(u128);

impl Nonce {
    /// The nonce with these bits; 0 is kept for "none" and becomes 1.
    pub const fn new(bits: u128) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    const fn from_wire(bits: u128) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }
}

/// Why an object was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A writer took the chain over; the payload is the one before.
    Claim,
    /// The writer went on.
    Commit,
}

/// One object of a chain.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Why it was written.
    pub link: Link,
    /// Its place.
    pub seq: Seq,
    /// The reign in which it was written.
    pub epoch: Epoch,
    /// Its own nonce.
    pub nonce: Nonce,
    /// The nonce of the object that it continues; `None` where a chain begins.
    pub predecessor: Option<Nonce>,
    /// What it carries.
    pub payload: Bytes,
}

impl fmt::Debug for Envelope {
    /// Says how long the payload is, and never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("link", &self.link)
            .field("seq", &self.seq)
            .field("epoch", &self.epoch)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// What is wrong with an object that fails its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Damage {
    /// Shorter than a header and a checksum.
    #[error("it is {len} bytes long, too short to be whole")]
    Short {
        /// Its length in bytes.
        len: usize,
    },
    /// The first four bytes are not the magic.
    #[error("it does not begin with the magic bytes")]
    Magic,
    /// The last sixteen bytes are not the checksum of the rest.
    #[error("its checksum does not match")]
    Checksum,
    /// The checksum holds, but a field has no meaning: a fault of the program that wrote it.
    #[error("its header makes no sense")]
    Header,
    /// It was there once, and is there no more.
    #[error("it is gone")]
    Gone,
    /// It says that it belongs at another place.
    #[error("it belongs at seq {says}")]
    Misplaced {
        /// The seq in its header.
        says: Seq,
    },
}

/// Why an object could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It is damaged; the object before it may serve.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// It is whole, and written by a newer build: it must be neither used nor passed over.
    #[error("it has format version {version}; this build reads up to {FORMAT_VERSION}")]
    Newer {
        /// Its version.
        version: u16,
    },
}

impl Envelope {
    /// The bytes to store.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + self.payload.len() + CHECKSUM_LEN);
        out.put_slice(&MAGIC);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u8(match self.link {
            Link::Claim => 1,
            Link::Commit => 2,
        });
        out.put_u8(0);
        out.put_u64_le(self.seq.0);
        out.put_u64_le(self.epoch.0);
        out.put_u128_le(self.nonce.0);
        out.put_u128_le(self.predecessor.map_or(0, |nonce| nonce.0));
        out.put_u64_le(self.payload.len() as u64);
        out.put_slice(&self.payload);
        out.put_u128_le(xxh3_128(&out));
        out.freeze()
    }

    /// Reads the object that was found at `seq`. The payload shares memory with `bytes`.
    ///
    /// # Errors
    /// [`Unreadable`]: damaged, at the wrong place, or of a newer format.
    pub fn decode(bytes: &Bytes, seq: Seq) -> Result<Self, Unreadable> {
        let body_len = check_frame(bytes).map_err(Unreadable::Damaged)?;
        let version = u16::from_le_bytes(field(bytes, 4));
        if version > FORMAT_VERSION {
            return Err(Unreadable::Newer { version });
        }
        let envelope =
            decode_fields(bytes, body_len, version).ok_or(Unreadable::Damaged(Damage::Header))?;
        if envelope.seq != seq {
            return Err(Unreadable::Damaged(Damage::Misplaced { says: envelope.seq }));
        }
        Ok(envelope)
    }
}

/// The nonce in the first [`HEADER_LEN`] bytes of an object, unverified: enough to tell whose object it is.
/// `None` if these bytes begin no object of a chain.
pub fn peek_nonce(header: &[u8]) -> Option<Nonce> {
    if header.len() < HEADER_LEN || header[..4] != MAGIC {
        return None;
    }
    Nonce::from_wire(u128::from_le_bytes(field(header, 24)))
}

/// Checks what all versions share, and returns the length of header and payload in bytes.
fn check_frame(bytes: &[u8]) -> Result<usize, Damage> {
    let len = bytes.len();
    if len < HEADER_LEN + CHECKSUM_LEN {
        return Err(Damage::Short { len });
    }
    if bytes[..4] != MAGIC {
        return Err(Damage::Magic);
    }
    let body_len = len - CHECKSUM_LEN;
    if xxh3_128(&bytes[..body_len]) != u128::from_le_bytes(field(bytes, body_len)) {
        return Err(Damage::Checksum);
    }
    Ok(body_len)
}

fn decode_fields(bytes: &Bytes, body_len: usize, version: u16) -> Option<Envelope> {
    let link = match (version, bytes[6], bytes[7]) {
        (FORMAT_VERSION, 1, 0) => Link::Claim,
        (FORMAT_VERSION, 2, 0) => Link::Commit,
        _ => return None,
    };
    if u64::from_le_bytes(field(bytes, 56)) != (body_len - HEADER_LEN) as u64 {
        return None;
    }
    Some(Envelope {
        link,
        seq: Seq(u64::from_le_bytes(field(bytes, 8))),
        epoch: Epoch(u64::from_le_bytes(field(bytes, 16))),
        nonce: Nonce::from_wire(u128::from_le_bytes(field(bytes, 24)))?,
        predecessor: Nonce::from_wire(u128::from_le_bytes(field(bytes, 40))),
        payload: bytes.slice(HEADER_LEN..body_len),
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests;
