//! Integers, texts, options and lists as bytes: zigzag LEB128, and lengths in front.

use postroad_schemas::units::Timestamp;

use super::FormatError;

/// Writes values one after another.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn unsigned(&mut self, value: impl Into<u128>) {
        let mut value = value.into();
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(super) fn signed(&mut self, value: i128) {
        self.unsigned(((value << 1) ^ (value >> 127)).cast_unsigned());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.push(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.unsigned(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

/// Reads what a [`Writer`] wrote, and never past the end.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// What is being read, for the error.
    pub(super) part: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of all the bytes; `part` names what comes first.
    pub(super) fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { rest: bytes, part }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn unreadable(&self) -> FormatError {
        FormatError::Unreadable(self.part)
    }

    fn byte(&mut self) -> Result<u8, FormatError> {
        let (first, rest) = self.rest.split_first().ok_or(self.unreadable())?;
        self.rest = rest;
        Ok(*first)
    }

    fn raw_unsigned(&mut self) -> Result<u128, FormatError> {
        let mut value = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if shift == 126 && bits > 3 {
                return Err(self.unreadable());
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.unreadable())
    }

    pub(super) fn unsigned<T: TryFrom<u128>>(&mut self) -> Result<T, FormatError> {
        let value = self.raw_unsigned()?;
        T::try_from(value).map_err(|_| self.unreadable())
    }

    pub(super) fn signed<T: TryFrom<i128>>(&mut self) -> Result<T, FormatError> {
        let bits = self.raw_unsigned()?;
        let value = (bits >> 1).cast_signed() ^ -((bits & 1).cast_signed());
        T::try_from(value).map_err(|_| self.unreadable())
    }

    pub(super) fn timestamp(&mut self) -> Result<Timestamp, FormatError> {
        self.signed().map(Timestamp::from_micros)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length: usize = self.unsigned()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(self.unreadable())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, FormatError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.unreadable())
    }

    pub(super) fn named<T: Copy>(&mut self, names: &[T]) -> Result<T, FormatError> {
        let index: usize = self.unsigned()?;
        names.get(index).copied().ok_or(self.unreadable())
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.unreadable()),
        }
    }

    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let length: usize = self.unsigned()?;
        // Every item takes at least one byte, so a length from garbage reserves no memory.
        let mut items = Vec::with_capacity(length.min(self.rest.len()));
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(items)
    }
}
