//! [`Reader`]: takes numbers and strings from the front of a message.

use bytes::Bytes;
use segcdc_model::{LargeValue, Lsn};

use super::DecodeError;

/// A message and how far it was read. The position never passes the end.
pub(super) struct Reader<'l> {
    bytes: Bytes,
    at: usize,
    /// Fields that were taken out of it.
    large: &'l [LargeValue],
}

// === impl Reader ===

impl<'l> Reader<'l> {
    /// Reads from the beginning of `bytes`.
    pub(super) fn new(bytes: Bytes) -> Self {
        Reader { bytes, at: 0, large: &[] }
    }

    /// The same for a message out of which fields were taken.
    pub(super) fn with_large(bytes: Bytes, large: &'l [LargeValue]) -> Self {
        Reader { bytes, at: 0, large }
    }

    /// Whether fields were taken out of the message.
    pub(super) fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// A field that was taken out, by its place.
    pub(super) fn large(&mut self) -> Result<LargeValue, DecodeError> {
        let at = self.at;
        let place = self.u32()? as usize;
        self.large.get(place).cloned().ok_or(DecodeError::Truncated { at })
    }

    /// The whole message.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes that were not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        if length > self.remaining() {
            return Err(DecodeError::Truncated { at: self.at });
        }
        self.at += length;
        Ok(())
    }

    /// The next `length` bytes, sharing the message's memory.
    pub(super) fn slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let start = self.at;
        self.skip(length)?;
        Ok(self.bytes.slice(start..start + length))
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes as a number.
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes as a number.
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next four bytes as a signed number.
    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// The next eight bytes as a signed number.
    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// The next eight bytes as a position.
    pub(super) fn lsn(&mut self) -> Result<Lsn, DecodeError> {
        self.array().map(|bytes| Lsn::new(u64::from_be_bytes(bytes)))
    }

    /// A string up to a NUL.
    pub(super) fn string(&mut self) -> Result<String, DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == 0).ok_or(DecodeError::Truncated { at: self.at })?;
        let text = std::str::from_utf8(rest.get(..length).unwrap_or_default())
            .map_err(|_| DecodeError::NotUtf8 { at: self.at })?
            .to_owned();
        self.at += length + 1;
        Ok(text)
    }

    /// Checks that nothing is left.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::Trailing { at: self.at }) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .ok_or(DecodeError::Truncated { at: self.at })?;
        self.at += N;
        Ok(bytes)
    }
}
