//! What a reader finds at the end of a chain, and what a writer holds there.

use std::fmt;

use bytes::Bytes;

use crate::checkpoint::envelope::{Damage, Epoch, Nonce, Seq};

/// The newest whole object of a chain.
#[derive(Clone)]
pub struct Newest {
    /// Its place.
    pub seq: Seq,
    /// The reign in which it was written.
    pub epoch: Epoch,
    /// Its nonce.
    pub nonce: Nonce,
    /// What it carries.
    pub payload: Bytes,
    /// Damaged objects above it, newest first. Not empty means that acknowledged work may be lost: say so loudly.
    pub skipped: Vec<Corrupt>,
}

impl fmt::Debug for Newest {
    /// Says how long the payload is, and never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newest")
            .field("seq", &self.seq)
            .field("epoch", &self.epoch)
            .field("payload_bytes", &self.payload.len())
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

impl Newest {
    /// Counts an object above everything that was found as damaged: it is known to have been there.
    /// A claim then goes above its place. No change if what was found is as high.
    #[must_use]
    pub fn above_lost(mut self, lost: Seq) -> Self {
        let highest = self.skipped.first().map_or(self.seq, |corrupt| corrupt.seq);
        if lost > highest {
            self.skipped.insert(0, Corrupt { seq: lost, why: Damage::Gone });
        }
        self
    }
}

/// A damaged object that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt {
    /// Its place.
    pub seq: Seq,
    /// What is wrong with it.
    pub why: Damage,
}

/// The right to write the next object. It cannot be copied, and a commit consumes it: so one create is in flight at a
/// time. Dropping it, or the future of a commit, gives the chain up until the next claim.
#[derive(Debug, PartialEq, Eq)]
pub struct Tip {
    pub(super) seq: Seq,
    pub(super) epoch: Epoch,
    pub(super) nonce: Nonce,
}

impl Tip {
    /// The place of the newest object, which this writer wrote.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The reign of this writer.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// An object of which it is not yet known whether it was created; its place and bytes are settled.
pub struct Pending {
    pub(super) tip: Tip,
    pub(super) predecessor: Option<(Seq, Nonce)>,
    pub(super) bytes: Bytes,
}

impl fmt::Debug for Pending {
    /// Says how long the object is, and never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tip, bytes, .. } = self;
        f.debug_struct("Pending")
            .field("tip", tip)
            .field("bytes", &bytes.len())
            .finish_non_exhaustive()
    }
}
