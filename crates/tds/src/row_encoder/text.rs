//! Text and long values: UTF-16 with a fast path for ASCII, pieces for `max` types.

use std::sync::Arc;

use super::{ColumnType, EncodeError, Len, RowEncoder};
use crate::plp::LongValue;
use crate::types::PLP_UNKNOWN_LENGTH;

/// Bytes that a `max` value holds.
const MAX_BYTES: usize = 0x7FFF_FFFF;

/// Bytes in front of the one piece of a `max` value: total length (unknown) and piece length.
const PIECE_HEADER_LEN: usize = 12;

impl RowEncoder {
    /// `nvarchar`, `nchar`, `xml`; `varchar` and `char` when their collation is UTF-8, or the text ASCII.
    pub fn text(&mut self, value: &str) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::NVarChar(Len::Limited(limit)) | ColumnType::NChar(limit) => {
                self.put_utf16_limited(value, limit, index)
            }
            ColumnType::NVarChar(Len::Max) | ColumnType::Xml => self.put_utf16_pieces(value, index),
            ColumnType::VarChar(_) | ColumnType::Char(_) if !column.utf8 && !value.is_ascii() => {
                Err(EncodeError::WrongKind { column: index })
            }
            ColumnType::VarChar(Len::Max) => self.put_pieces(value.as_bytes(), index),
            ColumnType::VarChar(Len::Limited(limit)) | ColumnType::Char(limit) => {
                self.put_limited(value.as_bytes(), limit, index)
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `varbinary`, `binary`, from pairs of hexadecimal digits without a prefix.
    pub fn hex_bytes(&mut self, digits: &str) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        let wrong_kind = EncodeError::WrongKind { column: index };
        let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
        if !odd.is_empty() {
            return Err(wrong_kind);
        }
        let start = self.buffer.len();
        match column.column_type {
            ColumnType::VarBinary(Len::Max) => self.open_piece(pairs.len(), index)?,
            ColumnType::VarBinary(Len::Limited(limit)) | ColumnType::Binary(limit) => {
                let too_long =
                    EncodeError::TooLong { column: index, length: pairs.len(), limit: usize::from(limit) };
                let length =
                    u16::try_from(pairs.len()).ok().filter(|length| *length <= limit).ok_or(too_long)?;
                self.buffer.extend_from_slice(&length.to_le_bytes());
            }
            _ => return Err(wrong_kind),
        }
        let mut invalid = false;
        self.buffer.extend(pairs.iter().map(|[high, low]| {
            let (high, low) = (nibble(*high), nibble(*low));
            invalid |= (high | low) > 0x0F;
            (high << 4) | (low & 0x0F)
        }));
        if invalid {
            self.buffer.truncate(start);
            return Err(wrong_kind);
        }
        self.close_piece(column.column_type, start);
        Ok(())
    }

    /// A value for a `max` type that is read when it is sent, by [`crate::BulkLoad::send`].
    pub fn long_value(&mut self, value: Arc<dyn LongValue>) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        let length = usize::try_from(value.byte_len()).unwrap_or(usize::MAX);
        let (units, limit) = match (column.column_type, value.is_text()) {
            (ColumnType::NVarChar(Len::Max) | ColumnType::Xml, true)
            | (ColumnType::VarBinary(Len::Max), false) => (length, MAX_BYTES),
            (ColumnType::NVarChar(Len::Limited(limit)) | ColumnType::NChar(limit), true) => {
                (length / 2, usize::from(limit))
            }
            (ColumnType::VarBinary(Len::Limited(limit)) | ColumnType::Binary(limit), false)
            | (ColumnType::VarChar(Len::Limited(limit)), true) => (length, usize::from(limit)),
            _ => return Err(EncodeError::WrongKind { column: index }),
        };
        // What fits into a short type is no long value, and not sent as one.
        if units > limit || !column.column_type.is_plp() {
            return Err(EncodeError::TooLong { column: index, length: units, limit });
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&PLP_UNKNOWN_LENGTH.to_le_bytes());
        self.long_values.push((self.buffer.len(), value));
        self.close_piece(column.column_type, start);
        Ok(())
    }

    /// Writes bytes in one piece.
    pub(super) fn put_pieces(&mut self, value: &[u8], index: usize) -> Result<(), EncodeError> {
        let start = self.buffer.len();
        self.open_piece(value.len(), index)?;
        self.buffer.extend_from_slice(value);
        self.close_piece(ColumnType::VarBinary(Len::Max), start);
        Ok(())
    }

    /// Writes the length in front of the only piece of `length` bytes. An empty value has no piece.
    fn open_piece(&mut self, length: usize, index: usize) -> Result<(), EncodeError> {
        let too_long = EncodeError::TooLong { column: index, length, limit: MAX_BYTES };
        let length = u32::try_from(length).ok().filter(|length| *length <= 0x7FFF_FFFF).ok_or(too_long)?;
        self.buffer.extend_from_slice(&PLP_UNKNOWN_LENGTH.to_le_bytes());
        if length > 0 {
            self.buffer.extend_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }

    /// Ends a value that was written from `start` on: the terminator of a `max` type, then the next column.
    fn close_piece(&mut self, column_type: ColumnType, start: usize) {
        if column_type.is_plp() {
            self.buffer.extend_from_slice(&0u32.to_le_bytes());
        }
        self.starts.push(start);
    }

    /// UTF-16 behind a 2-byte length in bytes.
    fn put_utf16_limited(&mut self, value: &str, limit: u16, index: usize) -> Result<(), EncodeError> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0, 0]);
        let units = push_utf16(&mut self.buffer, value);
        let limit = usize::from(limit);
        if units > limit {
            self.buffer.truncate(start);
            return Err(EncodeError::TooLong { column: index, length: units, limit });
        }
        let bytes = u16::try_from(units * 2).expect("an nvarchar(n) has at most 4000 units");
        if let Some(place) = self.buffer.get_mut(start..start + 2) {
            place.copy_from_slice(&bytes.to_le_bytes());
        }
        self.starts.push(start);
        Ok(())
    }

    /// UTF-16 in one piece.
    fn put_utf16_pieces(&mut self, value: &str, index: usize) -> Result<(), EncodeError> {
        let start = self.buffer.len();
        if value.is_empty() {
            return self.put_pieces(&[], index);
        }
        self.buffer.extend_from_slice(&PLP_UNKNOWN_LENGTH.to_le_bytes());
        self.buffer.extend_from_slice(&[0; 4]);
        let bytes = push_utf16(&mut self.buffer, value).saturating_mul(2);
        let Some(length) = u32::try_from(bytes).ok().filter(|length| *length <= 0x7FFF_FFFF) else {
            self.buffer.truncate(start);
            return Err(EncodeError::TooLong { column: index, length: bytes, limit: MAX_BYTES });
        };
        if let Some(place) = self.buffer.get_mut(start + 8..start + PIECE_HEADER_LEN) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self.close_piece(ColumnType::NVarChar(Len::Max), start);
        Ok(())
    }
}

/// Appends little-endian UTF-16 and returns its units.
fn push_utf16(out: &mut Vec<u8>, value: &str) -> usize {
    let start = out.len();
    if value.is_ascii() {
        // Widened by whole slices, which the compiler turns into vector instructions.
        out.resize(start + value.len() * 2, 0);
        let (units, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
        for (unit, byte) in units.iter_mut().zip(value.bytes()) {
            *unit = [byte, 0];
        }
        return value.len();
    }
    out.reserve(value.len() * 2);
    for unit in value.encode_utf16() {
        out.extend_from_slice(&unit.to_le_bytes());
    }
    (out.len() - start) / 2
}

/// The value of a hexadecimal digit; over 15 for anything else.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0xFF,
    }
}
