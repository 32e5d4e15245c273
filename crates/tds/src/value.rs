//! Values of rows, output parameters and sql_variants: first framed, then decoded.
//!
//! Framing ([`frame`]) finds the end of a value without looking into it, so that a row that has not arrived in full
//! costs nothing but a walk over lengths. Decoding ([`decode`]) never reads past the frame.

use crate::datum::{Datum, swap_uuid};
use crate::reader::{DecodeError, Reader, to_usize, utf16};
use crate::type_info::{Layout, TypeInfo};
use crate::types::{Collation, ColumnType, Len, PLP_NULL, type_id};

/// Days from 0001-01-01 to 1900-01-01, where datetime counts from.
pub(crate) const DAYS_TO_1900: i64 = 693_595;

/// Days from 0001-01-01 to 9999-12-31, the last date of every type.
pub(crate) const LAST_DAY: u32 = 3_652_058;

/// The bytes of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// NULL.
    Null,
    /// All bytes together.
    Whole(&'a [u8]),
    /// The pieces of a PLP value: each a 4-byte length and bytes; the terminator included.
    Pieces(&'a [u8]),
}

/// Takes one value off the reader.
pub fn frame<'a>(layout: Layout, reader: &mut Reader<'a>) -> Result<Frame<'a>, DecodeError> {
    let not_empty = |bytes: &'a [u8]| if bytes.is_empty() { Frame::Null } else { Frame::Whole(bytes) };
    match layout {
        Layout::Fixed(length) => reader.take(usize::from(length)).map(Frame::Whole),
        Layout::Byte => reader.b_bytes().map(not_empty),
        Layout::Short => match reader.u16()? {
            u16::MAX => Ok(Frame::Null),
            length => reader.take(usize::from(length)).map(Frame::Whole),
        },
        Layout::Long => match reader.u32()? {
            0 => Ok(Frame::Null),
            length => reader.take(to_usize(u64::from(length))?).map(Frame::Whole),
        },
        Layout::TextPointer => {
            if reader.b_bytes()?.is_empty() {
                return Ok(Frame::Null);
            }
            reader.take(8)?;
            reader.long_bytes().map(Frame::Whole)
        }
        Layout::Plp => frame_pieces(reader),
    }
}

/// Takes one PLP value off the reader. The total length in front is only a hint and is not looked at.
fn frame_pieces<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, DecodeError> {
    if reader.u64()? == PLP_NULL {
        return Ok(Frame::Null);
    }
    let all = reader.rest();
    while !reader.long_bytes()?.is_empty() {}
    let length = all.len().saturating_sub(reader.remaining());
    Ok(Frame::Pieces(all.get(..length).unwrap_or_default()))
}

/// What a framed value means.
///
/// A value that is shorter than its type is malformed, never [`DecodeError::Incomplete`]: more packets would not help.
pub fn decode(info: &TypeInfo, frame: Frame<'_>) -> Result<Datum, DecodeError> {
    let datum = match frame {
        Frame::Null => Ok(Datum::Null),
        Frame::Whole(bytes) => decode_whole(info, bytes),
        Frame::Pieces(pieces) => join(pieces).and_then(|bytes| decode_bytes(info, bytes)),
    };
    datum.map_err(|error| match error {
        DecodeError::Incomplete => {
            DecodeError::malformed(format!("{} value that is too short", info.column_type))
        }
        malformed @ DecodeError::Malformed(_) => malformed,
    })
}

/// The pieces put together.
fn join(pieces: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(pieces);
    let mut joined = Vec::with_capacity(pieces.len());
    loop {
        match reader.long_bytes()? {
            [] => return Ok(joined),
            piece => joined.extend_from_slice(piece),
        }
    }
}

/// The value of a character or binary type.
fn decode_bytes(info: &TypeInfo, bytes: Vec<u8>) -> Result<Datum, DecodeError> {
    Ok(match info.column_type {
        ColumnType::NVarChar(_) | ColumnType::NChar(_) | ColumnType::NText => Datum::Text(utf16(&bytes)),
        ColumnType::Xml => Datum::Text(utf16(bytes.strip_prefix(&[0xFF, 0xFE]).unwrap_or(&bytes))),
        ColumnType::VarChar(_) | ColumnType::Char(_) | ColumnType::Text => {
            code_page_text(info.collation, bytes)
        }
        _ => Datum::Bytes(bytes),
    })
}

/// The value of any type that is not PLP.
fn decode_whole(info: &TypeInfo, bytes: &[u8]) -> Result<Datum, DecodeError> {
    let wrong_length =
        || DecodeError::malformed(format!("{} value of {} bytes", info.column_type, bytes.len()));
    let mut reader = Reader::new(bytes);
    let datum = match info.column_type {
        ColumnType::Bit => Datum::Bit(reader.u8()? != 0),
        ColumnType::TinyInt | ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt => {
            return integer(bytes).map(Datum::Int).ok_or_else(wrong_length);
        }
        ColumnType::Real | ColumnType::Float if bytes.len() == 4 => {
            Datum::Real(f32::from_le_bytes(reader.array()?))
        }
        ColumnType::Real | ColumnType::Float => Datum::Float(f64::from_le_bytes(reader.array()?)),
        ColumnType::Decimal { precision, scale } => return decimal(bytes, precision, scale),
        ColumnType::SmallMoney | ColumnType::Money => return money(bytes).ok_or_else(wrong_length),
        ColumnType::Date => Datum::Date(days(&mut reader)?),
        ColumnType::Time(scale) => Datum::Time { ticks: ticks(&mut reader, bytes.len(), scale)?, scale },
        ColumnType::DateTime2(scale) => {
            let ticks = ticks(&mut reader, bytes.len().saturating_sub(3), scale)?;
            Datum::DateTime2 { days: days(&mut reader)?, ticks, scale }
        }
        ColumnType::DateTimeOffset(scale) => {
            let ticks = ticks(&mut reader, bytes.len().saturating_sub(5), scale)?;
            let days = days(&mut reader)?;
            Datum::DateTimeOffset { days, ticks, scale, offset_minutes: i16::from_le_bytes(reader.array()?) }
        }
        ColumnType::DateTime | ColumnType::SmallDateTime => {
            return old_datetime(bytes).ok_or_else(wrong_length);
        }
        ColumnType::UniqueIdentifier => Datum::Uuid(swap_uuid(reader.array()?)),
        ColumnType::SqlVariant => return variant(bytes),
        _ => return decode_bytes(info, bytes.to_vec()),
    };
    if reader.is_empty() { Ok(datum) } else { Err(wrong_length()) }
}

/// A little-endian integer of 1 (unsigned), 2, 4 or 8 bytes.
fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        1 => i64::from(*bytes.first()?),
        2 => i64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        8 => i64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// A sign byte (1 is positive) and a little-endian magnitude of up to 16 bytes.
fn decimal(bytes: &[u8], precision: u8, scale: u8) -> Result<Datum, DecodeError> {
    let Some((sign, digits)) = bytes.split_first() else { return Ok(Datum::Null) };
    if digits.len() > 16 {
        return Err(DecodeError::malformed(format!("decimal value of {} bytes", bytes.len())));
    }
    let magnitude = digits.iter().rev().fold(0u128, |magnitude, byte| (magnitude << 8) | u128::from(*byte));
    Ok(Datum::Decimal { negative: *sign == 0 && magnitude != 0, magnitude, precision, scale })
}

/// Ten-thousandths: 4 bytes, or 8 with the upper half first.
fn money(bytes: &[u8]) -> Option<Datum> {
    let (amount, precision) = match bytes.len() {
        4 => (i64::from(i32::from_le_bytes(bytes.try_into().ok()?)), 10),
        8 => {
            let (high, low) = bytes.split_first_chunk::<4>()?;
            let low = u32::from_le_bytes(low.try_into().ok()?);
            ((i64::from(i32::from_le_bytes(*high)) << 32) | i64::from(low), 19)
        }
        _ => return None,
    };
    Some(Datum::Decimal {
        negative: amount < 0,
        magnitude: u128::from(amount.unsigned_abs()),
        precision,
        scale: 4,
    })
}

/// Three bytes of days since 0001-01-01.
fn days(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let [a, b, c] = reader.array()?;
    match u32::from_le_bytes([a, b, c, 0]) {
        days @ 0..=LAST_DAY => Ok(days),
        days => Err(DecodeError::malformed(format!("a date {days} days after 0001-01-01"))),
    }
}

/// A time of day in `length` bytes.
fn ticks(reader: &mut Reader<'_>, length: usize, scale: u8) -> Result<u64, DecodeError> {
    let bytes = reader.take(length)?;
    if !(3..=5).contains(&length) {
        return Err(DecodeError::malformed(format!("a time of {length} bytes")));
    }
    let ticks = bytes.iter().rev().fold(0u64, |ticks, byte| (ticks << 8) | u64::from(*byte));
    if ticks >= 86_400 * 10u64.pow(u32::from(scale.min(7))) {
        return Err(DecodeError::malformed("a time of 24 hours or more"));
    }
    Ok(ticks)
}

/// datetime (days since 1900, 1/300 s) or smalldatetime (days since 1900, minutes).
fn old_datetime(bytes: &[u8]) -> Option<Datum> {
    let mut reader = Reader::new(bytes);
    let (days, ticks, scale) = match bytes.len() {
        4 => (i64::from(reader.u16().ok()?), u64::from(reader.u16().ok()?) * 60, 0),
        8 => {
            let days = i64::from(reader.i32().ok()?);
            (days, (u64::from(reader.u32().ok()?) * 10 + 1) / 3, 3)
        }
        _ => return None,
    };
    let days = u32::try_from(days.checked_add(DAYS_TO_1900)?).ok()?;
    Some(Datum::DateTime2 { days, ticks, scale })
}

/// sql_variant: base type, its properties, the value without a length ([MS-TDS] 2.2.5.5.4).
fn variant(bytes: &[u8]) -> Result<Datum, DecodeError> {
    let mut reader = Reader::new(bytes);
    let id = reader.u8()?;
    let mut properties = Reader::new(reader.b_bytes()?);
    let value = reader.rest();
    let limited = Len::Limited(u16::MAX - 1);
    let mut collation = Collation::default();
    let column_type = match id {
        type_id::TIMEN => ColumnType::Time(properties.u8()?),
        type_id::DATETIME2N => ColumnType::DateTime2(properties.u8()?),
        type_id::DATETIMEOFFSETN => ColumnType::DateTimeOffset(properties.u8()?),
        type_id::DECIMALN | type_id::NUMERICN => {
            ColumnType::Decimal { precision: properties.u8()?, scale: properties.u8()? }
        }
        type_id::BIGVARBINARY | type_id::BIGBINARY => ColumnType::VarBinary(limited),
        type_id::BIGVARCHAR | type_id::BIGCHAR => {
            collation = Collation(properties.array()?);
            ColumnType::VarChar(limited)
        }
        type_id::NVARCHAR | type_id::NCHAR => ColumnType::NVarChar(limited),
        type_id::GUID => ColumnType::UniqueIdentifier,
        type_id::DATEN => ColumnType::Date,
        other => {
            let mut one = Reader::new(std::slice::from_ref(&id));
            TypeInfo::decode(&mut one)
                .map_err(|_| DecodeError::malformed(format!("a sql_variant of data type 0x{other:02X}")))?
                .column_type
        }
    };
    decode_whole(&TypeInfo { column_type, collation, layout: Layout::Short }, value)
}

/// Text of a varchar. What is neither ASCII, nor of a UTF-8 collation, nor of code page 1252 stays bytes: wrong
/// characters would be worse than none.
fn code_page_text(collation: Collation, bytes: Vec<u8>) -> Datum {
    if bytes.is_ascii() || collation.is_utf8() {
        return match String::from_utf8(bytes) {
            Ok(text) => Datum::Text(text),
            Err(error) => Datum::Bytes(error.into_bytes()),
        };
    }
    if !is_code_page_1252(collation) {
        return Datum::Bytes(bytes);
    }
    Datum::Text(bytes.iter().map(|byte| windows_1252(*byte)).collect())
}

/// Whether a collation's varchar is in code page 1252: the Western European languages.
fn is_code_page_1252(collation: Collation) -> bool {
    const WESTERN: [u32; 12] =
        [0x0409, 0x0407, 0x0406, 0x040A, 0x040B, 0x040C, 0x0410, 0x0413, 0x0414, 0x0416, 0x041D, 0x0809];
    match collation.sort_id() {
        0 => WESTERN.contains(&collation.lcid()),
        sort_id => (50..=54).contains(&sort_id) || (71..=75).contains(&sort_id),
    }
}

/// A character of code page 1252.
fn windows_1252(byte: u8) -> char {
    const UPPER: [u16; 32] = [
        0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152,
        0x8D, 0x017D, 0x8F, 0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122,
        0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178,
    ];
    let index = usize::from(byte.wrapping_sub(0x80));
    UPPER.get(index).and_then(|unit| char::from_u32(u32::from(*unit))).unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A type without a collation.
    fn info(column_type: ColumnType, layout: Layout) -> TypeInfo {
        TypeInfo { column_type, collation: Collation::SQL_LATIN1_GENERAL_CP1_CI_AS, layout }
    }

    /// Checks the value in whole bytes.
    fn check(column_type: ColumnType, bytes: &[u8], expected: Datum) {
        let decoded = decode(&info(column_type, Layout::Byte), Frame::Whole(bytes));
        assert_eq!(decoded, Ok(expected), "{column_type}");
    }

    #[test]
    fn values_decode_as_the_manual_says() {
        check(ColumnType::TinyInt, &[200], Datum::Int(200));
        check(ColumnType::SmallInt, &[0xFE, 0xFF], Datum::Int(-2));
        let price = Datum::Decimal { negative: true, magnitude: 12345, precision: 19, scale: 4 };
        check(ColumnType::Money, &[0xFF, 0xFF, 0xFF, 0xFF, 0xC7, 0xCF, 0xFF, 0xFF], price);
        // 2026-01-02 03:04:05.997 is 46022 days and 3313799 ticks after 1900-01-01.
        let bytes = [0xC6, 0xB3, 0, 0, 0x87, 0x90, 0x32, 0];
        check(ColumnType::DateTime, &bytes, Datum::DateTime2 { days: 739_617, ticks: 11_045_997, scale: 3 });
        check(
            ColumnType::SmallDateTime,
            &[1, 0, 61, 0],
            Datum::DateTime2 { days: 693_596, ticks: 3660, scale: 0 },
        );
        let text = Datum::Text("a\u{20AC}\u{E9}".to_owned());
        check(ColumnType::VarChar(Len::Limited(9)), &[b'a', 0x80, 0xE9], text);
    }

    #[test]
    fn variants_carry_their_own_type() {
        let variant = |bytes: &[u8]| decode(&info(ColumnType::SqlVariant, Layout::Long), Frame::Whole(bytes));
        assert_eq!(variant(&[0x38, 0, 5, 0, 0, 0]), Ok(Datum::Int(5)));
        let text = [0xE7, 7, 9, 4, 0xD0, 0, 0x34, 0, 2, b'E', 0, b'x', 0];
        assert_eq!(variant(&text), Ok(Datum::Text("Ex".to_owned())));
        assert!(variant(&[0x62, 0, 1]).is_err());
    }

    #[test]
    fn unknown_code_pages_stay_bytes() {
        let greek = TypeInfo {
            column_type: ColumnType::VarChar(Len::Max),
            collation: Collation([0x08, 0x04, 0xD0, 0, 0]),
            layout: Layout::Short,
        };
        assert_eq!(decode(&greek, Frame::Whole(&[0xE1])), Ok(Datum::Bytes(vec![0xE1])));
        assert_eq!(decode(&greek, Frame::Whole(b"a")), Ok(Datum::Text("a".to_owned())));
    }

    #[test]
    fn endless_piece_lengths_allocate_nothing() {
        let mut bytes = vec![0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(frame(Layout::Plp, &mut Reader::new(&bytes)), Err(DecodeError::Incomplete));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(
            type_bytes in proptest::collection::vec(any::<u8>(), 1..16),
            value in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(info) = TypeInfo::decode(&mut Reader::new(&type_bytes)) {
                if let Ok(frame) = frame(info.layout, &mut Reader::new(&value)) {
                    let _decoded = decode(&info, frame);
                }
                let _decoded = decode(&info, Frame::Whole(&value));
            }
        }
    }
}
