//! [`RowDecoder`]: rows of COPY in binary form (PostgreSQL manual, COPY, "Binary Format").
//!
//! ```text
//! header   "PGCOPY\n" 0xFF "\r\n" 0x00 | flags i32 | length of extension i32, extension
//! row      number of fields i16 | for each: length i32 (-1 for NULL), bytes
//! trailer  -1 i16
//! ```
//!
//! The server sends one CopyData message per row; the header shares one with the first row. Here a message may hold
//! any number of whole rows. The bytes are untrusted: nothing is reserved for what a length only announces, and no
//! field is copied.

use bytes::Bytes;
use segcdc_model::{LargeValue, Tuple, TupleBuilder};

use crate::replication::FieldForm;

/// What a binary COPY begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Flags whose meaning a reader must know: bits 16 to 31.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;

/// Why bytes are not rows of COPY.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyDecodeError {
    /// A message ends too early.
    #[error("a message of COPY ends at byte {at} in the middle of a row")]
    Truncated {
        /// Where the part begins that is cut.
        at: usize,
    },
    /// The header is not that of the binary format.
    #[error("the header of COPY is not that of its binary format")]
    Header,
    /// A row has another number of fields than was asked for.
    #[error("a row of COPY has {found} fields instead of {expected}")]
    FieldCount {
        /// What it has.
        found: i16,
        /// What was asked for.
        expected: usize,
    },
    /// A field has a negative length that does not stand for NULL.
    #[error("a field of COPY at byte {at} has the length {length}")]
    FieldLength {
        /// Where the field begins.
        at: usize,
        /// The length.
        length: i32,
    },
    /// Something follows the trailer.
    #[error("COPY goes on behind its end")]
    BehindEnd,
}

/// Decodes the messages of one COPY, in order.
#[derive(Debug)]
pub struct RowDecoder {
    forms: Box<[FieldForm]>,
    place: Place,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Rows,
    End,
}

// === impl RowDecoder ===

impl RowDecoder {
    /// A decoder of rows whose fields have these forms.
    pub fn new(forms: impl Into<Box<[FieldForm]>>) -> Self {
        RowDecoder { forms: forms.into(), place: Place::Header }
    }

    /// Whether the trailer was read.
    pub fn is_at_end(&self) -> bool {
        self.place == Place::End
    }

    /// Appends the rows of one message, which share its memory. After an error the decoder is of no use any more.
    pub fn decode(&mut self, message: &Bytes, rows: &mut impl Extend<Tuple>) -> Result<(), CopyDecodeError> {
        self.decode_with(message, &[], rows)
    }

    /// As [`RowDecoder::decode`], of a message out of which large fields were taken: instead of its bytes, such a field
    /// has the length -2 less its place in `large`.
    pub(crate) fn decode_with(
        &mut self,
        message: &Bytes,
        large: &[LargeValue],
        rows: &mut impl Extend<Tuple>,
    ) -> Result<(), CopyDecodeError> {
        let mut cursor = Cursor { bytes: message, at: 0 };
        if self.place == Place::Header {
            header(&mut cursor)?;
            self.place = Place::Rows;
        }
        while cursor.at < message.len() {
            if self.place == Place::End {
                return Err(CopyDecodeError::BehindEnd);
            }
            match i16::from_be_bytes(cursor.array()?) {
                -1 => self.place = Place::End,
                found if usize::try_from(found) == Ok(self.forms.len()) => {
                    rows.extend([row(&mut cursor, message, large, &self.forms)?]);
                }
                found => return Err(CopyDecodeError::FieldCount { found, expected: self.forms.len() }),
            }
        }
        Ok(())
    }
}

/// Reads the header.
fn header(cursor: &mut Cursor<'_>) -> Result<(), CopyDecodeError> {
    if &cursor.array::<11>()? != SIGNATURE || u32::from_be_bytes(cursor.array()?) & CRITICAL_FLAGS != 0 {
        return Err(CopyDecodeError::Header);
    }
    let extension = u32::from_be_bytes(cursor.array()?);
    cursor.skip(usize::try_from(extension).unwrap_or(usize::MAX))
}

/// Reads a row behind its number of fields.
fn row(
    cursor: &mut Cursor<'_>,
    message: &Bytes,
    large: &[LargeValue],
    forms: &[FieldForm],
) -> Result<Tuple, CopyDecodeError> {
    let base = cursor.at;
    let mut ahead = Cursor { bytes: message, at: base };
    for _ in forms {
        field(&mut ahead, large)?;
    }
    let mut builder = TupleBuilder::new(message.slice(base..ahead.at), forms.len());
    for form in forms {
        match (field(cursor, large)?, form) {
            (CopyField::Null, _) => builder.null(),
            (CopyField::Bytes(start, length), FieldForm::Text) => builder.text(start - base, length),
            (CopyField::Bytes(start, length), FieldForm::Binary) => builder.binary(start - base, length),
            (CopyField::Large(value), FieldForm::Text) => builder.large(value.clone().in_text_form()),
            (CopyField::Large(value), FieldForm::Binary) => builder.large(value.clone()),
        }
    }
    Ok(builder.build())
}

/// A field of a message.
enum CopyField<'l> {
    Null,
    /// Where its bytes begin, and how many there are.
    Bytes(usize, usize),
    Large(&'l LargeValue),
}

/// Passes over a field.
fn field<'l>(cursor: &mut Cursor<'_>, large: &'l [LargeValue]) -> Result<CopyField<'l>, CopyDecodeError> {
    let at = cursor.at;
    let length = i32::from_be_bytes(cursor.array()?);
    match usize::try_from(length) {
        Ok(length) => {
            let start = cursor.at;
            cursor.skip(length)?;
            Ok(CopyField::Bytes(start, length))
        }
        Err(_) if length == -1 => Ok(CopyField::Null),
        Err(_) => {
            let place = usize::try_from(-2 - i64::from(length)).ok();
            let value = place.and_then(|place| large.get(place));
            value.map(CopyField::Large).ok_or(CopyDecodeError::FieldLength { at, length })
        }
    }
}

/// A message and how far it was read. The position never passes the end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl Cursor ===

impl Cursor<'_> {
    /// The next `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], CopyDecodeError> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let array = rest.copied().ok_or(CopyDecodeError::Truncated { at: self.at })?;
        self.at += N;
        Ok(array)
    }

    /// Passes over `length` bytes.
    fn skip(&mut self, length: usize) -> Result<(), CopyDecodeError> {
        if length > self.bytes.len() - self.at {
            return Err(CopyDecodeError::Truncated { at: self.at });
        }
        self.at += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
