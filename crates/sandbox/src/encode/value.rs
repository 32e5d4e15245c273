//! Values and TYPE_INFO as SQL Server sends them: columns that are never NULL in the fixed form, decimals in as many
//! bytes as their precision needs, `max` types in pieces.

use segcdc_tds::datum::swap_uuid;
use segcdc_tds::types::{MAX_MARKER, PLP_NULL, PLP_UNKNOWN_LENGTH, decimal_len, time_len, type_id};
use segcdc_tds::{Collation, ColumnType, Datum, Len};

use crate::answer::OutColumn;
use crate::code_page;

/// Bytes of a piece of a PLP value: small enough that values of some length have several.
const PIECE_BYTES: usize = 32_000;

/// Longest value of a type with a 2-byte length.
const SHORT_BYTES: usize = 8_000;

/// TYPE_INFO length of sql_variant.
const VARIANT_MAX_LEN: u32 = 8_009;

/// Days from 0001-01-01 to 1900-01-01, where datetime counts from.
const DAYS_TO_1900: i64 = 693_595;

/// A value that its column cannot hold: a mistake of the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the column [{column}] of type {column_type} cannot hold a {datum}")]
pub struct Mismatch {
    /// Name of the column.
    pub column: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Kind of value.
    pub datum: &'static str,
}

/// Appends TYPE_INFO.
pub fn put_type_info(out: &mut Vec<u8>, column: &OutColumn) {
    if let Some(id) = fixed_id(column) {
        out.push(id);
        return;
    }
    let column_type = column.column_type;
    out.push(column_type.wire_id());
    match column_type {
        ColumnType::Bit | ColumnType::TinyInt => out.push(1),
        ColumnType::SmallInt => out.push(2),
        ColumnType::Int | ColumnType::Real | ColumnType::SmallMoney | ColumnType::SmallDateTime => {
            out.push(4);
        }
        ColumnType::BigInt | ColumnType::Float | ColumnType::Money | ColumnType::DateTime => out.push(8),
        ColumnType::UniqueIdentifier => out.push(16),
        ColumnType::Decimal { precision, scale } => {
            out.extend_from_slice(&[decimal_len(precision), precision, scale]);
        }
        ColumnType::NVarChar(Len::Max)
        | ColumnType::VarChar(Len::Max)
        | ColumnType::VarBinary(Len::Max)
        | ColumnType::Json => {
            out.extend_from_slice(&MAX_MARKER.to_le_bytes());
        }
        ColumnType::NVarChar(Len::Limited(units)) | ColumnType::NChar(units) => {
            out.extend_from_slice(&units.saturating_mul(2).to_le_bytes());
        }
        ColumnType::VarChar(Len::Limited(bytes))
        | ColumnType::Char(bytes)
        | ColumnType::VarBinary(Len::Limited(bytes))
        | ColumnType::Binary(bytes) => out.extend_from_slice(&bytes.to_le_bytes()),
        ColumnType::Time(scale) | ColumnType::DateTime2(scale) | ColumnType::DateTimeOffset(scale) => {
            out.push(scale);
        }
        ColumnType::Date => {}
        ColumnType::Xml => out.push(0), // no schema
        ColumnType::SqlVariant => out.extend_from_slice(&VARIANT_MAX_LEN.to_le_bytes()),
        ColumnType::Text | ColumnType::NText | ColumnType::Image => {
            out.extend_from_slice(&i32::MAX.to_le_bytes());
        }
    }
    if column_type.has_collation() {
        out.extend_from_slice(&column.collation.0);
    }
}

/// Appends a value in the form that [`put_type_info`] announced. On error, `out` is as it was.
pub fn put_value(out: &mut Vec<u8>, column: &OutColumn, datum: &Datum) -> Result<(), Mismatch> {
    let start = out.len();
    let written = if datum.is_null() { put_null(out, column) } else { put_some(out, column, datum) };
    written.ok_or_else(|| {
        out.truncate(start);
        Mismatch { column: column.name.clone(), column_type: column.column_type, datum: kind(datum) }
    })
}

/// The type id of a column that is never NULL, of the types that have one.
fn fixed_id(column: &OutColumn) -> Option<u8> {
    if column.nullable {
        return None;
    }
    Some(match column.column_type {
        ColumnType::Bit => type_id::BIT,
        ColumnType::TinyInt => type_id::INT1,
        ColumnType::SmallInt => type_id::INT2,
        ColumnType::Int => type_id::INT4,
        ColumnType::BigInt => type_id::INT8,
        ColumnType::Real => type_id::FLT4,
        ColumnType::Float => type_id::FLT8,
        ColumnType::SmallMoney => type_id::MONEY4,
        ColumnType::Money => type_id::MONEY,
        ColumnType::SmallDateTime => type_id::DATETIM4,
        ColumnType::DateTime => type_id::DATETIME,
        _ => return None,
    })
}

/// Appends NULL.
fn put_null(out: &mut Vec<u8>, column: &OutColumn) -> Option<()> {
    if fixed_id(column).is_some() {
        return None;
    }
    match column.column_type {
        plp if plp.is_plp() => out.extend_from_slice(&PLP_NULL.to_le_bytes()),
        ColumnType::NVarChar(_)
        | ColumnType::NChar(_)
        | ColumnType::VarChar(_)
        | ColumnType::Char(_)
        | ColumnType::VarBinary(_)
        | ColumnType::Binary(_) => out.extend_from_slice(&MAX_MARKER.to_le_bytes()),
        ColumnType::SqlVariant => out.extend_from_slice(&0u32.to_le_bytes()),
        _ => out.push(0),
    }
    Some(())
}

/// Appends a value that is not NULL; `None` when it does not fit.
fn put_some(out: &mut Vec<u8>, column: &OutColumn, datum: &Datum) -> Option<()> {
    match (column.column_type, datum) {
        (ColumnType::SqlVariant, datum) => put_variant(out, column.collation, datum),
        (ColumnType::NVarChar(Len::Max) | ColumnType::Xml, Datum::Text(text)) => {
            put_pieces(out, &utf16(text));
            Some(())
        }
        (ColumnType::VarChar(Len::Max) | ColumnType::VarBinary(Len::Max), datum) => {
            put_pieces(out, &bytes_of(column.collation, datum)?);
            Some(())
        }
        (ColumnType::NVarChar(_) | ColumnType::NChar(_), Datum::Text(text)) => put_short(out, &utf16(text)),
        (
            ColumnType::VarChar(_) | ColumnType::Char(_) | ColumnType::VarBinary(_) | ColumnType::Binary(_),
            datum,
        ) => put_short(out, &bytes_of(column.collation, datum)?),
        (ColumnType::NText, Datum::Text(text)) => put_behind_pointer(out, &utf16(text)),
        (ColumnType::Text | ColumnType::Image, datum) => {
            put_behind_pointer(out, &bytes_of(column.collation, datum)?)
        }
        (column_type, datum) => {
            if fixed_id(column).is_some() {
                return put_plain(out, column_type, datum);
            }
            let length_at = out.len();
            out.push(0);
            put_plain(out, column_type, datum)?;
            let length = u8::try_from(out.len() - length_at - 1).ok()?;
            *out.get_mut(length_at)? = length;
            Some(())
        }
    }
}

/// Appends a value of a type with a 1-byte length, without the length.
fn put_plain(out: &mut Vec<u8>, column_type: ColumnType, datum: &Datum) -> Option<()> {
    match (column_type, datum) {
        (ColumnType::Bit, datum) => out.push(u8::from(datum.as_int()? != 0)),
        (ColumnType::TinyInt, datum) => out.push(u8::try_from(datum.as_int()?).ok()?),
        (ColumnType::SmallInt, datum) => {
            out.extend_from_slice(&i16::try_from(datum.as_int()?).ok()?.to_le_bytes());
        }
        (ColumnType::Int, datum) => {
            out.extend_from_slice(&i32::try_from(datum.as_int()?).ok()?.to_le_bytes());
        }
        (ColumnType::BigInt, datum) => out.extend_from_slice(&datum.as_int()?.to_le_bytes()),
        (ColumnType::Real, Datum::Real(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (ColumnType::Float, Datum::Float(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (ColumnType::Decimal { precision, scale }, datum) => put_decimal(out, datum, precision, scale)?,
        (ColumnType::SmallMoney, datum) => {
            out.extend_from_slice(&i32::try_from(ten_thousandths(datum)?).ok()?.to_le_bytes());
        }
        (ColumnType::Money, datum) => {
            // The upper half comes first.
            let [a, b, c, d, e, f, g, h] = ten_thousandths(datum)?.to_le_bytes();
            out.extend_from_slice(&[e, f, g, h, a, b, c, d]);
        }
        (ColumnType::UniqueIdentifier, Datum::Uuid(bytes)) => out.extend_from_slice(&swap_uuid(*bytes)),
        (ColumnType::Date, Datum::Date(days)) => put_days(out, *days),
        (ColumnType::Time(to), Datum::Time { ticks, scale }) => put_ticks(out, *ticks, *scale, to)?,
        (ColumnType::DateTime2(to), Datum::DateTime2 { days, ticks, scale }) => {
            put_ticks(out, *ticks, *scale, to)?;
            put_days(out, *days);
        }
        (ColumnType::DateTimeOffset(to), Datum::DateTimeOffset { days, ticks, scale, offset_minutes }) => {
            put_ticks(out, *ticks, *scale, to)?;
            put_days(out, *days);
            out.extend_from_slice(&offset_minutes.to_le_bytes());
        }
        (ColumnType::DateTime, Datum::DateTime2 { days, ticks, scale }) => {
            let days = i32::try_from(i64::from(*days) - DAYS_TO_1900).ok()?;
            let nanoseconds = u128::from(rescale(*ticks, *scale, 9)?);
            let ticks = u32::try_from((nanoseconds * 3 + 5_000_000) / 10_000_000).ok()?;
            out.extend_from_slice(&days.to_le_bytes());
            out.extend_from_slice(&ticks.to_le_bytes());
        }
        (ColumnType::SmallDateTime, Datum::DateTime2 { days, ticks, scale }) => {
            let days = u16::try_from(i64::from(*days) - DAYS_TO_1900).ok()?;
            let minutes = u16::try_from(rescale(*ticks, *scale, 0)? / 60).ok()?;
            out.extend_from_slice(&days.to_le_bytes());
            out.extend_from_slice(&minutes.to_le_bytes());
        }
        _ => return None,
    }
    Some(())
}

/// Appends a decimal of `precision` digits, `scale` of them behind the point. Digits that would be lost are an error.
fn put_decimal(out: &mut Vec<u8>, datum: &Datum, precision: u8, scale: u8) -> Option<()> {
    let (negative, magnitude) = match datum {
        Datum::Decimal { negative, magnitude, scale: from, .. } => {
            (*negative, rescale_decimal(*magnitude, *from, scale)?)
        }
        Datum::Int(value) => (*value < 0, rescale_decimal(u128::from(value.unsigned_abs()), 0, scale)?),
        _ => return None,
    };
    if magnitude >= 10u128.checked_pow(u32::from(precision))? {
        return None;
    }
    out.push(u8::from(!negative));
    out.extend_from_slice(magnitude.to_le_bytes().get(..usize::from(decimal_len(precision)) - 1)?);
    Some(())
}

/// A magnitude with another number of digits behind the point.
fn rescale_decimal(magnitude: u128, from: u8, to: u8) -> Option<u128> {
    if to >= from {
        return magnitude.checked_mul(10u128.checked_pow(u32::from(to - from))?);
    }
    let divisor = 10u128.checked_pow(u32::from(from - to))?;
    magnitude.is_multiple_of(divisor).then_some(magnitude / divisor)
}

/// An amount of money.
fn ten_thousandths(datum: &Datum) -> Option<i64> {
    let Datum::Decimal { negative, magnitude, scale, .. } = datum else { return None };
    let magnitude = i128::try_from(rescale_decimal(*magnitude, *scale, 4)?).ok()?;
    i64::try_from(if *negative { -magnitude } else { magnitude }).ok()
}

/// Ticks of another scale, cut.
fn rescale(ticks: u64, from: u8, to: u8) -> Option<u64> {
    let power = |digits: u8| 10u64.checked_pow(u32::from(digits));
    if to >= from { ticks.checked_mul(power(to - from)?) } else { Some(ticks / power(from - to)?) }
}

/// Appends a time of day.
fn put_ticks(out: &mut Vec<u8>, ticks: u64, from: u8, to: u8) -> Option<()> {
    let ticks = rescale(ticks, from, to)?.to_le_bytes();
    out.extend_from_slice(ticks.get(..usize::from(time_len(to)))?);
    Some(())
}

/// Appends days since 0001-01-01.
fn put_days(out: &mut Vec<u8>, days: u32) {
    let [a, b, c, _] = days.to_le_bytes();
    out.extend_from_slice(&[a, b, c]);
}

/// Appends bytes behind a 2-byte length.
fn put_short(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    if bytes.len() > SHORT_BYTES {
        return None;
    }
    out.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

/// Appends bytes behind a text pointer and a timestamp, which nobody looks at, and a 4-byte length.
fn put_behind_pointer(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.push(16);
    out.extend_from_slice(&[0xEE; 24]);
    out.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

/// Appends bytes in pieces.
fn put_pieces(out: &mut Vec<u8>, bytes: &[u8]) {
    let total = u64::try_from(bytes.len()).unwrap_or(PLP_UNKNOWN_LENGTH);
    out.extend_from_slice(&total.to_le_bytes());
    for piece in bytes.chunks(PIECE_BYTES) {
        let length = u32::try_from(piece.len()).expect("a piece is at most 32,000 bytes");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&0u32.to_le_bytes());
}

/// Appends a sql_variant: length, base type, properties, value ([MS-TDS] 2.2.5.5.4).
fn put_variant(out: &mut Vec<u8>, collation: Collation, datum: &Datum) -> Option<()> {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let put_properties = |out: &mut Vec<u8>, id: u8, properties: &[u8]| {
        out.push(id);
        out.push(u8::try_from(properties.len()).unwrap_or(0));
        out.extend_from_slice(properties);
    };
    match datum {
        Datum::Null | Datum::Date(_) => {
            put_properties(out, type_id::DATEN, &[]);
            put_plain(out, ColumnType::Date, datum)?;
        }
        Datum::Bit(_) => {
            put_properties(out, type_id::BIT, &[]);
            put_plain(out, ColumnType::Bit, datum)?;
        }
        Datum::Int(value) => {
            let (id, column_type) = match i32::try_from(*value) {
                Ok(_) => (type_id::INT4, ColumnType::Int),
                Err(_) => (type_id::INT8, ColumnType::BigInt),
            };
            put_properties(out, id, &[]);
            put_plain(out, column_type, datum)?;
        }
        Datum::Real(_) => {
            put_properties(out, type_id::FLT4, &[]);
            put_plain(out, ColumnType::Real, datum)?;
        }
        Datum::Float(_) => {
            put_properties(out, type_id::FLT8, &[]);
            put_plain(out, ColumnType::Float, datum)?;
        }
        Datum::Decimal { precision, scale, .. } => {
            put_properties(out, type_id::NUMERICN, &[*precision, *scale]);
            put_decimal(out, datum, *precision, *scale)?;
        }
        Datum::Text(text) => {
            let bytes = utf16(text);
            let max = u16::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= SHORT_BYTES)?;
            let mut properties = collation.0.to_vec();
            properties.extend_from_slice(&max.to_le_bytes());
            put_properties(out, type_id::NVARCHAR, &properties);
            out.extend_from_slice(&bytes);
        }
        Datum::Bytes(bytes) => {
            let max = u16::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= SHORT_BYTES)?;
            put_properties(out, type_id::BIGVARBINARY, &max.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        Datum::Time { scale, .. } => {
            put_properties(out, type_id::TIMEN, &[*scale]);
            put_plain(out, ColumnType::Time(*scale), datum)?;
        }
        Datum::DateTime2 { scale, .. } => {
            put_properties(out, type_id::DATETIME2N, &[*scale]);
            put_plain(out, ColumnType::DateTime2(*scale), datum)?;
        }
        Datum::DateTimeOffset { scale, .. } => {
            put_properties(out, type_id::DATETIMEOFFSETN, &[*scale]);
            put_plain(out, ColumnType::DateTimeOffset(*scale), datum)?;
        }
        Datum::Uuid(_) => {
            put_properties(out, type_id::GUID, &[]);
            put_plain(out, ColumnType::UniqueIdentifier, datum)?;
        }
        Datum::Long { .. } => return None,
    }
    let length = u32::try_from(out.len() - length_at - 4).ok()?;
    out.get_mut(length_at..length_at + 4)?.copy_from_slice(&length.to_le_bytes());
    Some(())
}

/// The bytes of a varchar, char, varbinary, binary, text or image value.
fn bytes_of(collation: Collation, datum: &Datum) -> Option<std::borrow::Cow<'_, [u8]>> {
    match datum {
        Datum::Text(text) => Some(code_page::encode(collation, text)),
        Datum::Bytes(bytes) => Some(bytes.as_slice().into()),
        _ => None,
    }
}

/// Little-endian UTF-16.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    if text.is_ascii() {
        let mut bytes = vec![0; text.len() * 2];
        for ([low, _], byte) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(text.as_bytes()) {
            *low = *byte;
        }
        return bytes;
    }
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// What a value is, for messages.
fn kind(datum: &Datum) -> &'static str {
    match datum {
        Datum::Null => "NULL",
        Datum::Bit(_) => "bit",
        Datum::Int(_) => "integer of this size",
        Datum::Real(_) => "real",
        Datum::Float(_) => "float",
        Datum::Decimal { .. } => "decimal of this size",
        Datum::Text(_) => "text of this length",
        Datum::Bytes(_) => "binary of this length",
        Datum::Date(_) => "date",
        Datum::Time { .. } => "time",
        Datum::DateTime2 { .. } => "datetime2",
        Datum::DateTimeOffset { .. } => "datetimeoffset",
        Datum::Uuid(_) => "uniqueidentifier",
        Datum::Long { .. } => "value that came in parts",
    }
}
