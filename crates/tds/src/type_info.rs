//! TYPE_INFO: how a column or parameter says what it holds ([MS-TDS] 2.2.5.6).

use crate::reader::{DecodeError, Reader};
use crate::types::{Collation, ColumnType, DECIMAL_LEN, Len, MAX_MARKER, type_id};

/// Bytes of the largest value of a non-PLP long type, for TYPE_INFO.
const VARIANT_MAX_LEN: u32 = 8009;

/// Where a value's length is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Always this many bytes, never NULL.
    Fixed(u8),
    /// A 1-byte length; 0 is NULL.
    Byte,
    /// A 2-byte length; 0xFFFF is NULL.
    Short,
    /// A 4-byte length; 0 is NULL.
    Long,
    /// A text pointer (0 long is NULL), a timestamp, a 4-byte length.
    TextPointer,
    /// Pieces.
    Plp,
}

/// A decoded TYPE_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeInfo {
    /// What values mean.
    pub column_type: ColumnType,
    /// Their collation, zero for types without one.
    pub collation: Collation,
    /// How they are framed.
    pub layout: Layout,
}

// === impl TypeInfo ===

impl TypeInfo {
    /// Reads a TYPE_INFO as servers send it.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.u8()?;
        if let Some((column_type, length)) = fixed_type(id) {
            return Ok(Self::plain(column_type, Layout::Fixed(length)));
        }
        let byte = |column_type| Self::plain(column_type, Layout::Byte);
        Ok(match id {
            type_id::INTN | type_id::FLTN | type_id::MONEYN | type_id::DATETIMN | type_id::BITN => {
                byte(sized_type(id, reader.u8()?)?)
            }
            type_id::GUID => {
                reader.u8()?;
                byte(ColumnType::UniqueIdentifier)
            }
            type_id::DATEN => byte(ColumnType::Date),
            type_id::TIMEN => byte(ColumnType::Time(scale(reader)?)),
            type_id::DATETIME2N => byte(ColumnType::DateTime2(scale(reader)?)),
            type_id::DATETIMEOFFSETN => byte(ColumnType::DateTimeOffset(scale(reader)?)),
            type_id::DECIMALN | type_id::NUMERICN => {
                let [_length, precision, scale] = reader.array()?;
                if precision > 38 || scale > precision {
                    return Err(DecodeError::malformed(format!("decimal({precision},{scale})")));
                }
                byte(ColumnType::Decimal { precision, scale })
            }
            type_id::BIGVARBINARY | type_id::BIGBINARY | type_id::BIGVARCHAR | type_id::BIGCHAR => {
                Self::decode_short(id, reader)?
            }
            type_id::NVARCHAR | type_id::NCHAR => Self::decode_short(id, reader)?,
            type_id::XML => {
                if reader.u8()? != 0 {
                    reader.b_varchar()?;
                    reader.b_varchar()?;
                    reader.us_varchar()?;
                }
                Self::plain(ColumnType::Xml, Layout::Plp)
            }
            type_id::UDT => {
                reader.u16()?;
                for _ in 0..3 {
                    reader.b_varchar()?;
                }
                reader.us_varchar()?;
                Self::plain(ColumnType::VarBinary(Len::Max), Layout::Plp)
            }
            type_id::SSVARIANT => {
                reader.u32()?;
                Self::plain(ColumnType::SqlVariant, Layout::Long)
            }
            type_id::IMAGE => {
                reader.u32()?;
                Self::plain(ColumnType::Image, Layout::TextPointer)
            }
            type_id::TEXT | type_id::NTEXT => {
                reader.u32()?;
                let column_type = if id == type_id::TEXT { ColumnType::Text } else { ColumnType::NText };
                TypeInfo { column_type, collation: Collation(reader.array()?), layout: Layout::TextPointer }
            }
            other => return Err(DecodeError::malformed(format!("unknown data type 0x{other:02X}"))),
        })
    }

    /// The types with a 2-byte length.
    fn decode_short(id: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = reader.u16()?;
        let is_max = bytes == MAX_MARKER;
        let limit = |units: u16| if is_max { Len::Max } else { Len::Limited(units) };
        let column_type = match id {
            type_id::BIGVARBINARY => ColumnType::VarBinary(limit(bytes)),
            type_id::BIGBINARY => ColumnType::Binary(bytes),
            type_id::BIGVARCHAR => ColumnType::VarChar(limit(bytes)),
            type_id::BIGCHAR => ColumnType::Char(bytes),
            type_id::NCHAR => ColumnType::NChar(bytes / 2),
            _ => ColumnType::NVarChar(limit(bytes / 2)),
        };
        let collation =
            if column_type.has_collation() { Collation(reader.array()?) } else { Collation::default() };
        let layout = if column_type.is_plp() { Layout::Plp } else { Layout::Short };
        Ok(TypeInfo { column_type, collation, layout })
    }

    /// A type without a collation.
    fn plain(column_type: ColumnType, layout: Layout) -> Self {
        TypeInfo { column_type, collation: Collation::default(), layout }
    }
}

/// The types whose values are never NULL, and their lengths.
fn fixed_type(id: u8) -> Option<(ColumnType, u8)> {
    Some(match id {
        type_id::INT1 => (ColumnType::TinyInt, 1),
        type_id::BIT => (ColumnType::Bit, 1),
        type_id::INT2 => (ColumnType::SmallInt, 2),
        type_id::INT4 => (ColumnType::Int, 4),
        type_id::INT8 => (ColumnType::BigInt, 8),
        type_id::FLT4 => (ColumnType::Real, 4),
        type_id::FLT8 => (ColumnType::Float, 8),
        type_id::MONEY4 => (ColumnType::SmallMoney, 4),
        type_id::MONEY => (ColumnType::Money, 8),
        type_id::DATETIM4 => (ColumnType::SmallDateTime, 4),
        type_id::DATETIME => (ColumnType::DateTime, 8),
        _ => return None,
    })
}

/// The types that share an id and differ by length.
fn sized_type(id: u8, length: u8) -> Result<ColumnType, DecodeError> {
    Ok(match (id, length) {
        (type_id::BITN, 1) => ColumnType::Bit,
        (type_id::INTN, 1) => ColumnType::TinyInt,
        (type_id::INTN, 2) => ColumnType::SmallInt,
        (type_id::INTN, 4) => ColumnType::Int,
        (type_id::INTN, 8) => ColumnType::BigInt,
        (type_id::FLTN, 4) => ColumnType::Real,
        (type_id::FLTN, 8) => ColumnType::Float,
        (type_id::MONEYN, 4) => ColumnType::SmallMoney,
        (type_id::MONEYN, 8) => ColumnType::Money,
        (type_id::DATETIMN, 4) => ColumnType::SmallDateTime,
        (type_id::DATETIMN, 8) => ColumnType::DateTime,
        _ => return Err(DecodeError::malformed(format!("data type 0x{id:02X} of {length} bytes"))),
    })
}

/// A scale of 0 to 7.
fn scale(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.u8()? {
        scale @ 0..=7 => Ok(scale),
        other => Err(DecodeError::malformed(format!("a time scale of {other}"))),
    }
}

/// The type as it is declared and sent where the server refuses it itself: xml travels as nvarchar(max), as with
/// Microsoft's drivers, and so does json.
pub fn sent_as(column_type: ColumnType) -> ColumnType {
    match column_type {
        ColumnType::Xml | ColumnType::Json => ColumnType::NVarChar(Len::Max),
        other => other,
    }
}

/// Appends the TYPE_INFO of a value that this client sends: always the nullable form, decimals always 17 bytes.
pub fn put_type_info(out: &mut Vec<u8>, column_type: ColumnType, collation: Collation) {
    let column_type = sent_as(column_type);
    out.push(column_type.wire_id());
    let put_len = |out: &mut Vec<u8>, length: Len, unit: u16| match length {
        Len::Max => out.extend_from_slice(&MAX_MARKER.to_le_bytes()),
        Len::Limited(units) => out.extend_from_slice(&units.saturating_mul(unit).to_le_bytes()),
    };
    match column_type {
        ColumnType::Bit | ColumnType::TinyInt => out.push(1),
        ColumnType::SmallInt => out.push(2),
        ColumnType::Int | ColumnType::Real | ColumnType::SmallMoney | ColumnType::SmallDateTime => {
            out.push(4)
        }
        ColumnType::BigInt | ColumnType::Float | ColumnType::Money | ColumnType::DateTime => out.push(8),
        ColumnType::UniqueIdentifier => out.push(16),
        ColumnType::Decimal { precision, scale } => out.extend_from_slice(&[DECIMAL_LEN, precision, scale]),
        ColumnType::NVarChar(length) => put_len(out, length, 2),
        ColumnType::NChar(units) => put_len(out, Len::Limited(units), 2),
        ColumnType::VarChar(length) | ColumnType::VarBinary(length) => put_len(out, length, 1),
        ColumnType::Char(bytes) | ColumnType::Binary(bytes) => put_len(out, Len::Limited(bytes), 1),
        ColumnType::Time(scale) | ColumnType::DateTime2(scale) | ColumnType::DateTimeOffset(scale) => {
            out.push(scale)
        }
        ColumnType::Date | ColumnType::Xml | ColumnType::Json => {}
        ColumnType::SqlVariant => out.extend_from_slice(&VARIANT_MAX_LEN.to_le_bytes()),
        ColumnType::Text | ColumnType::NText | ColumnType::Image => {
            out.extend_from_slice(&i32::MAX.to_le_bytes());
        }
    }
    if column_type.has_collation() {
        out.extend_from_slice(&collation.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every type that can be sent.
    fn sendable() -> impl Strategy<Value = ColumnType> {
        let len = |max: u16| prop_oneof![(1..=max).prop_map(Len::Limited), Just(Len::Max)];
        prop_oneof![
            Just(ColumnType::Bit),
            Just(ColumnType::TinyInt),
            Just(ColumnType::SmallInt),
            Just(ColumnType::Int),
            Just(ColumnType::BigInt),
            Just(ColumnType::Real),
            Just(ColumnType::Float),
            (1u8..=38)
                .prop_flat_map(|p| (Just(p), 0..=p))
                .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale }),
            Just(ColumnType::SmallMoney),
            Just(ColumnType::Money),
            len(4000).prop_map(ColumnType::NVarChar),
            (1u16..=4000).prop_map(ColumnType::NChar),
            len(8000).prop_map(ColumnType::VarChar),
            (1u16..=8000).prop_map(ColumnType::Char),
            len(8000).prop_map(ColumnType::VarBinary),
            (1u16..=8000).prop_map(ColumnType::Binary),
            Just(ColumnType::Date),
            (0u8..=7).prop_map(ColumnType::Time),
            (0u8..=7).prop_map(ColumnType::DateTime2),
            (0u8..=7).prop_map(ColumnType::DateTimeOffset),
            Just(ColumnType::DateTime),
            Just(ColumnType::SmallDateTime),
            Just(ColumnType::UniqueIdentifier),
        ]
    }

    #[test]
    fn xml_travels_as_nvarchar_max() {
        let mut out = Vec::new();
        put_type_info(&mut out, ColumnType::Xml, Collation::SQL_LATIN1_GENERAL_CP1_CI_AS);
        assert_eq!(out, [0xE7, 0xFF, 0xFF, 0x09, 0x04, 0xD0, 0x00, 0x34]);
    }

    proptest! {
        #[test]
        fn type_info_round_trips(column_type in sendable(), collation in any::<[u8; 5]>()) {
            let mut out = Vec::new();
            put_type_info(&mut out, column_type, Collation(collation));
            let mut reader = Reader::new(&out);
            let info = TypeInfo::decode(&mut reader).unwrap();
            prop_assert!(reader.is_empty());
            prop_assert_eq!(info.column_type, column_type);
            prop_assert_eq!(info.collation.0, if column_type.has_collation() { collation } else { [0; 5] });
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _decoded = TypeInfo::decode(&mut Reader::new(&bytes));
        }
    }
}
