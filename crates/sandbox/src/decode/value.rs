//! Values of parameters and bulk rows: taken off the wire ([`take`]), then checked and decoded ([`decode`]) as SQL
//! Server does: a value that its type does not have is refused, not repaired.

use std::borrow::Cow;

use segcdc_tds::datum::swap_uuid;
use segcdc_tds::reader::{DecodeError, Reader};
use segcdc_tds::types::{PLP_NULL, time_len};
use segcdc_tds::{ColumnType, Datum, Len};

use crate::code_page;
use crate::decode::type_info::{Declared, Framing, malformed};

/// Days from 0001-01-01 to 1900-01-01, where datetime counts from.
const DAYS_TO_1900: i64 = 693_595;

/// Days from 0001-01-01 to 9999-12-31.
const LAST_DAY: u32 = 3_652_058;

/// Days from 1900-01-01 back to 1753-01-01, the first that datetime has.
const FIRST_DATETIME_DAY: i32 = -53_690;

/// Ticks of 1/300 s of a day.
const DATETIME_TICKS: u32 = 25_920_000;

/// Minutes east or west of UTC.
const MAX_OFFSET_MINUTES: i16 = 840;

/// Longest value of a max type.
pub const MAX_VALUE_BYTES: usize = 0x7FFF_FFFF;

/// Why a value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Longer or shorter than its type.
    Length,
    /// Not a value of its type: NaN, a day too late, a digit too many.
    Value,
}

/// Takes the bytes of one value; `None` is NULL.
pub fn take<'a>(framing: Framing, reader: &mut Reader<'a>) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
    let whole = |bytes: &'a [u8]| Some(Cow::Borrowed(bytes));
    match framing {
        Framing::Bytes(0) => Ok(None),
        Framing::Bytes(length) => reader.take(usize::from(length)).map(whole),
        Framing::Length1 => match reader.u8()? {
            0 => Ok(None),
            length => reader.take(usize::from(length)).map(whole),
        },
        Framing::Length2 => match reader.u16()? {
            u16::MAX => Ok(None),
            length => reader.take(usize::from(length)).map(whole),
        },
        Framing::Length4 => match reader.u32()? {
            u32::MAX => Ok(None),
            length => reader.take(size(length)?).map(whole),
        },
        Framing::Pointer => match reader.u8()? {
            0 => Ok(None),
            pointer => {
                reader.take(usize::from(pointer) + 8)?;
                let length = reader.u32()?;
                reader.take(size(length)?).map(whole)
            }
        },
        Framing::Pieces => take_pieces(reader),
    }
}

/// Takes a value in pieces. What it says of its whole length is only believed when it is NULL.
fn take_pieces<'a>(reader: &mut Reader<'a>) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
    if reader.u64()? == PLP_NULL {
        return Ok(None);
    }
    let mut joined: Cow<'a, [u8]> = Cow::Borrowed(&[]);
    loop {
        let length = reader.u32()?;
        let piece = reader.take(size(length)?)?;
        if piece.is_empty() {
            return Ok(Some(joined));
        }
        if joined.is_empty() {
            joined = Cow::Borrowed(piece);
        } else {
            joined.to_mut().extend_from_slice(piece);
        }
    }
}

/// A 4-byte length.
pub(crate) fn size(length: u32) -> Result<usize, DecodeError> {
    match usize::try_from(length) {
        Ok(length) if length <= MAX_VALUE_BYTES => Ok(length),
        _ => malformed(format!("a value of {length} bytes")),
    }
}

/// The value in `bytes`.
pub fn decode(declared: &Declared, bytes: Option<&[u8]>) -> Result<Datum, Invalid> {
    let Some(bytes) = bytes else { return Ok(Datum::Null) };
    let within = |limit: usize| if bytes.len() <= limit { Ok(()) } else { Err(Invalid::Length) };
    Ok(match declared.column_type {
        ColumnType::NVarChar(Len::Max) | ColumnType::NText => Datum::Text(utf16(bytes)?),
        ColumnType::Xml => Datum::Text(utf16(bytes.strip_prefix(&[0xFF, 0xFE]).unwrap_or(bytes))?),
        ColumnType::NVarChar(Len::Limited(units)) | ColumnType::NChar(units) => {
            within(usize::from(units) * 2)?;
            Datum::Text(utf16(bytes)?)
        }
        ColumnType::VarChar(Len::Max) | ColumnType::Text => {
            Datum::Text(code_page::decode(declared.collation, bytes))
        }
        ColumnType::VarChar(Len::Limited(limit)) | ColumnType::Char(limit) => {
            within(usize::from(limit))?;
            Datum::Text(code_page::decode(declared.collation, bytes))
        }
        ColumnType::VarBinary(Len::Limited(limit)) | ColumnType::Binary(limit) => {
            within(usize::from(limit))?;
            Datum::Bytes(bytes.to_vec())
        }
        ColumnType::VarBinary(Len::Max) | ColumnType::Image | ColumnType::SqlVariant => {
            Datum::Bytes(bytes.to_vec())
        }
        ColumnType::Date | ColumnType::Time(_) | ColumnType::DateTime2(_) | ColumnType::DateTimeOffset(_) => {
            temporal(declared.column_type, bytes)?
        }
        ColumnType::DateTime => datetime(exact(bytes)?)?,
        ColumnType::SmallDateTime => small_datetime(exact(bytes)?)?,
        number => decode_number(number, bytes)?,
    })
}

/// Numbers, bits and GUIDs.
fn decode_number(column_type: ColumnType, bytes: &[u8]) -> Result<Datum, Invalid> {
    Ok(match column_type {
        ColumnType::Bit => Datum::Bit(exact::<1>(bytes)? != [0]),
        ColumnType::TinyInt => Datum::Int(i64::from(u8::from_le_bytes(exact(bytes)?))),
        ColumnType::SmallInt => Datum::Int(i64::from(i16::from_le_bytes(exact(bytes)?))),
        ColumnType::Int => Datum::Int(i64::from(i32::from_le_bytes(exact(bytes)?))),
        ColumnType::BigInt => Datum::Int(i64::from_le_bytes(exact(bytes)?)),
        ColumnType::Real => match f32::from_le_bytes(exact(bytes)?) {
            value if value.is_finite() => Datum::Real(value),
            _ => return Err(Invalid::Value),
        },
        ColumnType::Float => match f64::from_le_bytes(exact(bytes)?) {
            value if value.is_finite() => Datum::Float(value),
            _ => return Err(Invalid::Value),
        },
        ColumnType::Decimal { precision, scale } => decimal(bytes, precision, scale)?,
        ColumnType::SmallMoney => money(i64::from(i32::from_le_bytes(exact(bytes)?)), 10),
        ColumnType::Money => {
            let [e, f, g, h, a, b, c, d] = exact(bytes)?;
            money(i64::from_le_bytes([a, b, c, d, e, f, g, h]), 19)
        }
        ColumnType::UniqueIdentifier => Datum::Uuid(swap_uuid(exact(bytes)?)),
        _ => return Err(Invalid::Value),
    })
}

/// Exactly `N` bytes.
fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Invalid> {
    bytes.try_into().map_err(|_| Invalid::Length)
}

/// UTF-16 text; lone surrogates become U+FFFD.
fn utf16(bytes: &[u8]) -> Result<String, Invalid> {
    let (units, []) = bytes.as_chunks::<2>() else { return Err(Invalid::Length) };
    if units.iter().all(|[low, high]| *high == 0 && low.is_ascii()) {
        let ascii = units.iter().map(|[low, _]| *low).collect();
        return String::from_utf8(ascii).map_err(|_| Invalid::Value);
    }
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    Ok(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// A sign byte and a magnitude of 4, 8, 12 or 16 bytes.
fn decimal(bytes: &[u8], precision: u8, scale: u8) -> Result<Datum, Invalid> {
    let (sign, digits) = bytes.split_first().ok_or(Invalid::Length)?;
    // SQL Server takes any number of bytes here, and mssql-jdbc sends no more than the value has.
    if !(1..=16).contains(&digits.len()) {
        return Err(Invalid::Length);
    }
    let mut wide = [0u8; 16];
    for (place, byte) in wide.iter_mut().zip(digits) {
        *place = *byte;
    }
    let magnitude = u128::from_le_bytes(wide);
    if *sign > 1 || magnitude >= 10u128.pow(u32::from(precision.min(38))) {
        return Err(Invalid::Value);
    }
    Ok(Datum::Decimal { negative: *sign == 0 && magnitude != 0, magnitude, precision, scale })
}

/// An amount in ten-thousandths.
fn money(amount: i64, precision: u8) -> Datum {
    let magnitude = u128::from(amount.unsigned_abs());
    Datum::Decimal { negative: amount < 0, magnitude, precision, scale: 4 }
}

/// date, time, datetime2 and datetimeoffset: time, days and offset, whichever there are, in this order.
fn temporal(column_type: ColumnType, bytes: &[u8]) -> Result<Datum, Invalid> {
    let short = |_: DecodeError| Invalid::Length;
    let mut reader = Reader::new(bytes);
    let ticks = |scale: u8, reader: &mut Reader<'_>| {
        let mut wide = [0u8; 8];
        for (place, byte) in wide.iter_mut().zip(reader.take(usize::from(time_len(scale))).map_err(short)?) {
            *place = *byte;
        }
        let ticks = u64::from_le_bytes(wide);
        if ticks < 86_400 * 10u64.pow(u32::from(scale)) { Ok(ticks) } else { Err(Invalid::Value) }
    };
    let datum = match column_type {
        ColumnType::Time(scale) => Datum::Time { ticks: ticks(scale, &mut reader)?, scale },
        ColumnType::DateTime2(scale) => {
            let ticks = ticks(scale, &mut reader)?;
            Datum::DateTime2 { ticks, days: days(&mut reader)?, scale }
        }
        ColumnType::DateTimeOffset(scale) => {
            let ticks = ticks(scale, &mut reader)?;
            let days = days(&mut reader)?;
            let offset_minutes = i16::from_le_bytes(reader.array().map_err(short)?);
            if !(-MAX_OFFSET_MINUTES..=MAX_OFFSET_MINUTES).contains(&offset_minutes) {
                return Err(Invalid::Value);
            }
            Datum::DateTimeOffset { days, ticks, scale, offset_minutes }
        }
        _ => Datum::Date(days(&mut reader)?),
    };
    if reader.is_empty() { Ok(datum) } else { Err(Invalid::Length) }
}

/// Days since 0001-01-01.
fn days(reader: &mut Reader<'_>) -> Result<u32, Invalid> {
    let [a, b, c] = reader.array().map_err(|_| Invalid::Length)?;
    match u32::from_le_bytes([a, b, c, 0]) {
        days @ 0..=LAST_DAY => Ok(days),
        _ => Err(Invalid::Value),
    }
}

/// datetime, to the millisecond as SQL Server prints it.
fn datetime(bytes: [u8; 8]) -> Result<Datum, Invalid> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let days = i32::from_le_bytes([a, b, c, d]);
    let ticks = u32::from_le_bytes([e, f, g, h]);
    let days_since_1 = u32::try_from(i64::from(days) + DAYS_TO_1900).map_err(|_| Invalid::Value)?;
    if days < FIRST_DATETIME_DAY || days_since_1 > LAST_DAY || ticks >= DATETIME_TICKS {
        return Err(Invalid::Value);
    }
    Ok(Datum::DateTime2 { days: days_since_1, ticks: (u64::from(ticks) * 10 + 1) / 3, scale: 3 })
}

/// smalldatetime.
fn small_datetime(bytes: [u8; 4]) -> Result<Datum, Invalid> {
    let [a, b, c, d] = bytes;
    let days = u32::from(u16::from_le_bytes([a, b]));
    let minutes = u64::from(u16::from_le_bytes([c, d]));
    if minutes >= 24 * 60 {
        return Err(Invalid::Value);
    }
    let days = days + u32::try_from(DAYS_TO_1900).map_err(|_| Invalid::Value)?;
    Ok(Datum::DateTime2 { days, ticks: minutes * 60, scale: 0 })
}
