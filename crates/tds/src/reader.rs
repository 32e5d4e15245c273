//! [`Reader`]: takes little-endian things off the front of a byte slice, never past its end.

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes are needed. Inside a message that goes on, not an error.
    #[error("the data ends too early")]
    Incomplete,
    /// The bytes cannot be what they claim to be.
    #[error("{0}")]
    Malformed(String),
}

/// What remains of a byte slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

// === impl DecodeError ===

impl DecodeError {
    /// A [`DecodeError::Malformed`].
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        DecodeError::Malformed(detail.into())
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Bytes that have not been read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes behind a 1-byte length.
    pub fn b_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// Bytes behind a 2-byte length.
    pub fn us_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// A 4-byte length.
    pub fn long_len(&mut self) -> Result<usize, DecodeError> {
        to_usize(u64::from(self.u32()?))
    }

    /// Bytes behind a 4-byte length.
    pub fn long_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.long_len()?;
        self.take(length)
    }

    /// B_VARCHAR: UTF-16 behind a 1-byte count of units.
    pub fn b_varchar(&mut self) -> Result<String, DecodeError> {
        let units = self.u8()?;
        self.take(usize::from(units) * 2).map(utf16)
    }

    /// US_VARCHAR: UTF-16 behind a 2-byte count of units.
    pub fn us_varchar(&mut self) -> Result<String, DecodeError> {
        let units = self.u16()?;
        self.take(usize::from(units) * 2).map(utf16)
    }
}

/// A length on the wire as a `usize`.
pub(crate) fn to_usize(length: u64) -> Result<usize, DecodeError> {
    usize::try_from(length).map_err(|_| DecodeError::malformed(format!("a length of {length} bytes")))
}

/// Text from little-endian UTF-16; lone surrogates become U+FFFD, an odd last byte is dropped.
pub fn utf16(bytes: &[u8]) -> String {
    let (units, _odd) = bytes.as_chunks::<2>();
    if units.iter().all(|[low, high]| *high == 0 && low.is_ascii()) {
        return units.iter().map(|[low, _]| char::from(*low)).collect();
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[3, b'a', 0]);
        assert_eq!(reader.b_varchar(), Err(DecodeError::Incomplete));
        assert_eq!(Reader::new(&[255, 255, 255, 255]).long_bytes(), Err(DecodeError::Incomplete));
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        assert_eq!(utf16(&[0x3D, 0xD8, b'x', 0]), "\u{FFFD}x");
    }

    proptest! {
        #[test]
        fn utf16_text_round_trips(text in "\\PC*") {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            prop_assert_eq!(utf16(&bytes), text);
        }
    }
}
