//! Every object of a chain, for those who look at it without taking part.

use super::{Chain, ChainError};
use crate::checkpoint::envelope::{Envelope, Seq, Unreadable};

/// One object of a chain as it was found.
#[derive(Debug)]
pub struct Surveyed {
    /// Its place.
    pub seq: Seq,
    /// Its length in bytes.
    pub bytes: usize,
    /// What it is, or what is wrong with it.
    pub envelope: Result<Envelope, Unreadable>,
}

impl Chain {
    /// Every object, oldest first. One that is collected meanwhile is left out.
    ///
    /// # Errors
    /// [`ChainError`]: the store fails.
    pub async fn survey(&self) -> Result<Vec<Surveyed>, ChainError> {
        let mut found = Vec::new();
        for seq in self.list(None).await? {
            found.extend(self.look_at(seq).await?);
        }
        Ok(found)
    }

    /// The object at a place; `None` if there is none.
    ///
    /// # Errors
    /// [`ChainError`]: the store fails.
    pub async fn look_at(&self, seq: Seq) -> Result<Option<Surveyed>, ChainError> {
        let Some(bytes) = self.read(&self.key(seq), None).await? else { return Ok(None) };
        let envelope = Envelope::decode(&bytes, seq);
        Ok(Some(Surveyed { seq, bytes: bytes.len(), envelope }))
    }
}
