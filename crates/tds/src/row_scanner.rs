//! [`RowScanner`]: one row of a result, read piece by piece, because it is too long to be held.
//!
//! Values of `nvarchar(max)` and `varbinary(max)` are handed on as they come, and are no more than a
//! [`Datum::Long`] in the row itself. All others are short, and are decoded as those of any row.

use std::sync::Arc;

use crate::datum::Datum;
use crate::reader::{DecodeError, Reader};
use crate::token::Column;
use crate::type_info::Layout;
use crate::types::{ColumnType, PLP_NULL, token_id};
use crate::value;

/// A part of a long value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongPart<'a> {
    /// Of a character type. Lone surrogates have become U+FFFD.
    Text(&'a str),
    /// Of a binary type.
    Bytes(&'a [u8]),
}

/// Gets the rows of a query one by one, and values that are too long for memory in parts before their row.
pub trait RowHandler: Send {
    /// The next part of the value in column `column`, from 0, of the row that is being read. Parts of two values never
    /// mix, and an empty value has none.
    fn part(&mut self, column: usize, part: LongPart<'_>);

    /// A row. [`Datum::Long`] stands for what came in parts.
    fn row(&mut self, row: &[Datum]);
}

/// Reads one row.
#[derive(Debug)]
pub(crate) struct RowScanner {
    columns: Arc<[Column]>,
    /// Bits of the columns that are NULL; `None` until they have come, empty for a row without them.
    nulls: Option<Vec<u8>>,
    row: Vec<Datum>,
    open: Option<OpenValue>,
    text: String,
}

/// A long value of which a part has come.
#[derive(Debug, Default)]
struct OpenValue {
    /// Bytes of the piece that have not come.
    piece_left: usize,
    byte_len: u64,
    /// The low byte of a unit whose high byte has not come.
    odd: Option<u8>,
    /// The first half of a surrogate pair whose second half has not come.
    surrogate: Option<u16>,
}

// === impl RowScanner ===

impl RowScanner {
    /// A scanner of the row that begins with the byte `token`; `None` when that begins no row.
    pub(crate) fn new(token: u8, columns: &Arc<[Column]>) -> Option<Self> {
        let nulls = match token {
            token_id::ROW => Some(Vec::new()),
            token_id::NBCROW => None,
            _ => return None,
        };
        let row = Vec::with_capacity(columns.len());
        Some(RowScanner { columns: Arc::clone(columns), nulls, row, open: None, text: String::new() })
    }

    /// Takes what is there of the row; returns how many bytes of `bytes` that was, and the row if that was the last
    /// of it. Parts go to `on_part` with their column.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        on_part: &mut dyn FnMut(usize, LongPart<'_>),
    ) -> Result<(usize, Option<Vec<Datum>>), DecodeError> {
        let mut reader = Reader::new(bytes);
        while self.row.len() < self.columns.len() || self.nulls.is_none() {
            let mut ahead = reader;
            match self.step(&mut ahead, on_part) {
                Ok(()) => reader = ahead,
                Err(DecodeError::Incomplete) => return Ok((bytes.len() - reader.remaining(), None)),
                Err(malformed) => return Err(malformed),
            }
        }
        Ok((bytes.len() - reader.remaining(), Some(std::mem::take(&mut self.row))))
    }

    /// Takes the next thing that has come in full, or as much of a piece as has come.
    fn step(
        &mut self,
        reader: &mut Reader<'_>,
        on_part: &mut dyn FnMut(usize, LongPart<'_>),
    ) -> Result<(), DecodeError> {
        let index = self.row.len();
        let Some(nulls) = &self.nulls else {
            self.nulls = Some(reader.take(self.columns.len().div_ceil(8))?.to_vec());
            return Ok(());
        };
        let Some(column) = self.columns.get(index) else { return Ok(()) };
        if let Some(open) = &mut self.open {
            let is_text = matches!(column.info.column_type, ColumnType::NVarChar(_));
            if open.piece_left > 0 {
                let bytes = reader.take(open.piece_left.min(reader.remaining().max(1)))?;
                open.piece_left -= bytes.len();
                open.byte_len += bytes.len() as u64;
                if is_text {
                    open.decode(bytes, &mut self.text);
                    hand_on(index, &mut self.text, on_part);
                } else {
                    on_part(index, LongPart::Bytes(bytes));
                }
                return Ok(());
            }
            open.piece_left = reader.long_len()?;
            if open.piece_left == 0 {
                open.finish(&mut self.text);
                hand_on(index, &mut self.text, on_part);
                self.row.push(Datum::Long { byte_len: open.byte_len });
                self.open = None;
            }
            return Ok(());
        }
        let is_null = nulls.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0);
        if is_null {
            self.row.push(Datum::Null);
        } else if is_long(column) {
            match reader.u64()? {
                PLP_NULL => self.row.push(Datum::Null),
                _ => self.open = Some(OpenValue::default()),
            }
        } else {
            let frame = value::frame(column.info.layout, reader)?;
            self.row.push(value::decode(&column.info, frame)?);
        }
        Ok(())
    }
}

/// Whether a column's values are handed on in parts.
fn is_long(column: &Column) -> bool {
    column.info.layout == Layout::Plp
        && matches!(column.info.column_type, ColumnType::NVarChar(_) | ColumnType::VarBinary(_))
}

/// Hands decoded text on, if there is some.
fn hand_on(column: usize, text: &mut String, on_part: &mut dyn FnMut(usize, LongPart<'_>)) {
    if !text.is_empty() {
        on_part(column, LongPart::Text(text));
        text.clear();
    }
}

// === impl OpenValue ===

impl OpenValue {
    /// Appends the characters that end in these bytes of little-endian UTF-16.
    fn decode(&mut self, mut bytes: &[u8], text: &mut String) {
        if let (Some(low), Some((high, rest))) = (self.odd, bytes.split_first()) {
            self.odd = None;
            bytes = rest;
            self.unit(u16::from_le_bytes([low, *high]), text);
        }
        let (units, odd) = bytes.as_chunks::<2>();
        for unit in units {
            self.unit(u16::from_le_bytes(*unit), text);
        }
        if let [low] = odd {
            self.odd = Some(*low);
        }
    }

    fn unit(&mut self, unit: u16, text: &mut String) {
        let first = self.surrogate.take();
        if first.is_none() && !(0xD800..0xDC00).contains(&unit) {
            text.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            return;
        }
        let Some(first) = first else {
            self.surrogate = Some(unit);
            return;
        };
        if (0xDC00..0xE000).contains(&unit) {
            let pair = char::decode_utf16([first, unit]).next().and_then(Result::ok);
            text.push(pair.unwrap_or(char::REPLACEMENT_CHARACTER));
        } else {
            text.push(char::REPLACEMENT_CHARACTER);
            self.unit(unit, text);
        }
    }

    /// Appends what is left. An odd last byte is dropped, as it is of a value that comes as a whole.
    fn finish(&mut self, text: &mut String) {
        if self.surrogate.take().is_some() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::utf16;
    use crate::token::{self, Token};
    use proptest::prelude::*;

    /// COLMETADATA of an int, an nvarchar(max), a varbinary(max) and an nvarchar(5).
    fn columns() -> Arc<[Column]> {
        let mut bytes = vec![token_id::COLMETADATA, 4, 0];
        bytes.extend_from_slice(&[0, 0, 0, 0, 8, 0, 0x38, 1, b'a', 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0xE7, 0xFF, 0xFF, 9, 4, 0xD0, 0, 0x34, 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0xA5, 0xFF, 0xFF, 0]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0xE7, 10, 0, 9, 4, 0xD0, 0, 0x34, 0]);
        match token::decode(&bytes, &[]) {
            Ok((Token::Columns(columns), _)) => columns,
            other => panic!("{other:?}"),
        }
    }

    /// A PLP value in pieces of `piece` bytes.
    fn plp(value: Option<&[u8]>, piece: usize) -> Vec<u8> {
        let Some(value) = value else { return vec![0xFF; 8] };
        let mut bytes = vec![0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        for piece in value.chunks(piece) {
            bytes.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(piece);
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    /// Reads a row that comes in parts that end at `cuts`, a token behind it; the row and what came of each column.
    fn scan(row: &[u8], cuts: &[usize]) -> (Vec<Datum>, String, Vec<u8>) {
        let mut scanner = RowScanner::new(row[0], &columns()).unwrap();
        let stream = [&row[1..], &[token_id::DONE; 3]].concat();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        let (mut text, mut binary, mut from) = (String::new(), Vec::new(), 0);
        let mut on_part = |column, part: LongPart<'_>| match (column, part) {
            (1, LongPart::Text(part)) => text.push_str(part),
            (2, LongPart::Bytes(part)) => binary.extend_from_slice(part),
            other => panic!("{other:?}"),
        };
        for end in ends {
            let (taken, found) = scanner.take(&stream[from..end], &mut on_part).unwrap();
            from += taken;
            if let Some(found) = found {
                assert_eq!(from + 3, stream.len(), "nothing of what follows is taken");
                return (found, text, binary);
            }
        }
        panic!("the row did not end");
    }

    #[test]
    fn only_rows_are_scanned() {
        assert!(RowScanner::new(token_id::DONE, &columns()).is_none());
    }

    #[test]
    fn value_of_no_part_is_not_null() {
        let row =
            [&[token_id::ROW, 7, 0, 0, 0][..], &plp(Some(&[]), 1), &plp(None, 1), &[0xFF, 0xFF]].concat();
        let expected = vec![Datum::Int(7), Datum::Long { byte_len: 0 }, Datum::Null, Datum::Null];
        assert_eq!(scan(&row, &[]), (expected, String::new(), Vec::new()));
    }

    proptest! {
        #[test]
        fn parts_are_those_of_the_whole_row(
            units in proptest::collection::vec(prop_oneof![any::<u16>(), 0xD800..0xE000_u16, 32..127_u16], 0..30),
            binary in proptest::collection::vec(any::<u8>(), 0..30),
            (text_piece, binary_piece) in (1..9_usize, 1..9_usize),
            with_bitmap in any::<bool>(),
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let wire: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let mut row = if with_bitmap { vec![token_id::NBCROW, 0b1000] } else { vec![token_id::ROW] };
            row.extend_from_slice(&[7, 0, 0, 0]);
            row.extend(plp(Some(&wire), text_piece));
            row.extend(plp(Some(&binary), binary_piece));
            if !with_bitmap {
                row.extend_from_slice(&[0xFF, 0xFF]);
            }
            let (found, text, bytes) = scan(&row, &cuts);
            let long = |byte_len: usize| Datum::Long { byte_len: byte_len as u64 };
            prop_assert_eq!(found, vec![Datum::Int(7), long(wire.len()), long(binary.len()), Datum::Null]);
            prop_assert_eq!(text, utf16(&wire));
            prop_assert_eq!(bytes, binary);
        }

        #[test]
        fn any_bytes_are_scanned_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 1..200), null in any::<bool>()) {
            bytes[0] = if null { token_id::NBCROW } else { token_id::ROW };
            let mut scanner = RowScanner::new(bytes[0], &columns()).unwrap();
            if let Ok((taken, _)) = scanner.take(&bytes[1..], &mut |_, _| ()) {
                prop_assert!(taken < bytes.len());
            }
        }
    }
}
