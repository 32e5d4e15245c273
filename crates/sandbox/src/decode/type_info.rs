//! TYPE_INFO as clients send it ([MS-TDS] 2.2.5.6).

use segcdc_tds::reader::{DecodeError, Reader};
use segcdc_tds::types::{MAX_MARKER, type_id};
use segcdc_tds::{Collation, ColumnType, Len};

/// How values of a type are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Always this many bytes.
    Bytes(u8),
    /// Behind a 1-byte length; 0 is NULL.
    Length1,
    /// Behind a 2-byte length; 0xFFFF is NULL.
    Length2,
    /// Behind a 4-byte length; 0xFFFFFFFF (parameters) or 0 (sql_variant) is NULL.
    Length4,
    /// Behind a text pointer, a timestamp and a 4-byte length: text, ntext and image in rows.
    Pointer,
    /// In pieces.
    Pieces,
}

/// Where a TYPE_INFO stands: text, ntext and image are framed differently in rows and in parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// COLMETADATA of a bulk load.
    Row,
    /// A parameter.
    Parameter,
}

/// A decoded TYPE_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// What values mean.
    pub column_type: ColumnType,
    /// Collation, of character types.
    pub collation: Collation,
    /// Where values end.
    pub framing: Framing,
}

/// Shorthand for a failure.
pub(crate) fn malformed<T>(detail: impl Into<String>) -> Result<T, DecodeError> {
    Err(DecodeError::Malformed(detail.into()))
}

// === impl Declared ===

impl Declared {
    /// Reads a TYPE_INFO.
    pub fn decode(reader: &mut Reader<'_>, place: Place) -> Result<Self, DecodeError> {
        let id = reader.u8()?;
        let by_length = |column_type| Declared {
            column_type,
            collation: Collation::default(),
            framing: Framing::Length1,
        };
        let fixed = |column_type, bytes| Declared {
            column_type,
            collation: Collation::default(),
            framing: Framing::Bytes(bytes),
        };
        Ok(match id {
            type_id::NULL => fixed(ColumnType::NVarChar(Len::Limited(1)), 0),
            type_id::INT1 => fixed(ColumnType::TinyInt, 1),
            type_id::BIT => fixed(ColumnType::Bit, 1),
            type_id::INT2 => fixed(ColumnType::SmallInt, 2),
            type_id::INT4 => fixed(ColumnType::Int, 4),
            type_id::INT8 => fixed(ColumnType::BigInt, 8),
            type_id::FLT4 => fixed(ColumnType::Real, 4),
            type_id::FLT8 => fixed(ColumnType::Float, 8),
            type_id::MONEY4 => fixed(ColumnType::SmallMoney, 4),
            type_id::MONEY => fixed(ColumnType::Money, 8),
            type_id::DATETIM4 => fixed(ColumnType::SmallDateTime, 4),
            type_id::DATETIME => fixed(ColumnType::DateTime, 8),
            type_id::BITN | type_id::INTN | type_id::FLTN | type_id::MONEYN | type_id::DATETIMN => {
                by_length(family(id, reader.u8()?)?)
            }
            type_id::GUID => match reader.u8()? {
                // 0: what mssql-jdbc says when the value is NULL.
                0 | 16 => by_length(ColumnType::UniqueIdentifier),
                other => return malformed(format!("a uniqueidentifier of {other} bytes")),
            },
            type_id::DATEN => by_length(ColumnType::Date),
            type_id::TIMEN => by_length(ColumnType::Time(scale(reader)?)),
            type_id::DATETIME2N => by_length(ColumnType::DateTime2(scale(reader)?)),
            type_id::DATETIMEOFFSETN => by_length(ColumnType::DateTimeOffset(scale(reader)?)),
            type_id::DECIMALN | type_id::NUMERICN => {
                let [_bytes, precision, scale] = reader.array()?;
                if !(1..=38).contains(&precision) || scale > precision {
                    return malformed(format!("decimal({precision},{scale})"));
                }
                by_length(ColumnType::Decimal { precision, scale })
            }
            _ => Self::decode_long(id, reader, place)?,
        })
    }

    /// The character and binary types.
    fn decode_long(id: u8, reader: &mut Reader<'_>, place: Place) -> Result<Self, DecodeError> {
        if id == type_id::XML {
            if reader.u8()? != 0 {
                return malformed("an xml schema");
            }
            let (column_type, collation) = (ColumnType::Xml, Collation::default());
            return Ok(Declared { column_type, collation, framing: Framing::Pieces });
        }
        if matches!(id, type_id::TEXT | type_id::NTEXT | type_id::IMAGE | type_id::SSVARIANT) {
            reader.u32()?;
            let column_type = match id {
                type_id::TEXT => ColumnType::Text,
                type_id::NTEXT => ColumnType::NText,
                type_id::IMAGE => ColumnType::Image,
                _ => return malformed("sql_variant is not taken by the sandbox"),
            };
            let collation = collation(reader, column_type)?;
            let framing = if place == Place::Row { Framing::Pointer } else { Framing::Length4 };
            return Ok(Declared { column_type, collation, framing });
        }
        let (old, length) = match id {
            type_id::VARCHAR | type_id::CHAR | type_id::BINARY | type_id::VARBINARY => {
                (true, u16::from(reader.u8()?))
            }
            _ => (false, reader.u16()?),
        };
        let limit = |units: u16| if length == MAX_MARKER { Len::Max } else { Len::Limited(units) };
        let column_type = match id {
            type_id::BIGVARBINARY | type_id::VARBINARY => ColumnType::VarBinary(limit(length)),
            type_id::BIGBINARY | type_id::BINARY => ColumnType::Binary(length),
            type_id::BIGVARCHAR | type_id::VARCHAR => ColumnType::VarChar(limit(length)),
            type_id::BIGCHAR | type_id::CHAR => ColumnType::Char(length),
            type_id::NVARCHAR => ColumnType::NVarChar(limit(length / 2)),
            type_id::NCHAR => ColumnType::NChar(length / 2),
            other => return malformed(format!("data type 0x{other:02X} is not taken by the sandbox")),
        };
        let collation =
            if old { Collation::SQL_LATIN1_GENERAL_CP1_CI_AS } else { collation(reader, column_type)? };
        let framing = match (old, column_type.is_plp()) {
            (true, _) => Framing::Length1,
            (false, true) => Framing::Pieces,
            (false, false) => Framing::Length2,
        };
        Ok(Declared { column_type, collation, framing })
    }
}

/// The collation behind the length of a character type.
fn collation(reader: &mut Reader<'_>, column_type: ColumnType) -> Result<Collation, DecodeError> {
    if column_type.has_collation() { Ok(Collation(reader.array()?)) } else { Ok(Collation::default()) }
}

/// A type of a family that differs by length.
fn family(id: u8, length: u8) -> Result<ColumnType, DecodeError> {
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
        _ => return malformed(format!("data type 0x{id:02X} of {length} bytes")),
    })
}

/// Digits of a second.
fn scale(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.u8()? {
        scale @ 0..=7 => Ok(scale),
        other => malformed(format!("a scale of {other}")),
    }
}
