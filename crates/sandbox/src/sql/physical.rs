//! How T-SQL types live in PostgreSQL.
//!
//! ```text
//! bit tinyint smallint    int2        a bit is 0 or 1
//! int bigint              int4 int8
//! real float              float4 float8
//! decimal money           numeric
//! character types, xml    bpchar      compares without trailing blanks, keeps them; collation "C" or an ICU one
//! binary types            bytea       compared through rtrim(x, '\x00')
//! date                    int4        days since 0001-01-01
//! time                    int8        units of 100 ns since midnight
//! datetime2 datetime ..   int8        units of 100 ns since 0001-01-01
//! datetimeoffset          int8[]      UTC as datetime2, offset in minutes; compared through x[1]
//! uniqueidentifier        uuid
//! json                    text        in the form that `tsql.json_of` gives it; never compared
//! ```

use segcdc_tds::{ColumnType, Len};
use tokio_postgres::types::Type;

/// Units of 100 ns in a day.
pub(crate) const DAY_TICKS: i64 = 864_000_000_000;
/// Units of 100 ns in a minute.
pub(crate) const MINUTE_TICKS: i64 = 600_000_000;

/// What a type has in common with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// bit to bigint
    Integer,
    /// decimal and money
    Decimal,
    /// real and float
    Float,
    /// Character types and xml
    Text,
    /// Binary types
    Binary,
    /// date
    Date,
    /// time
    Time,
    /// datetime2, datetime, smalldatetime
    DateTime,
    /// datetimeoffset
    Offset,
    /// uniqueidentifier
    Uuid,
    /// json
    Json,
}

/// The family of a type.
pub(crate) fn family(column_type: ColumnType) -> Family {
    match column_type {
        ColumnType::Bit
        | ColumnType::TinyInt
        | ColumnType::SmallInt
        | ColumnType::Int
        | ColumnType::BigInt => Family::Integer,
        ColumnType::Decimal { .. } | ColumnType::Money | ColumnType::SmallMoney => Family::Decimal,
        ColumnType::Real | ColumnType::Float => Family::Float,
        ColumnType::NVarChar(_)
        | ColumnType::NChar(_)
        | ColumnType::VarChar(_)
        | ColumnType::Char(_)
        | ColumnType::Xml
        | ColumnType::Text
        | ColumnType::NText
        | ColumnType::SqlVariant => Family::Text,
        ColumnType::VarBinary(_) | ColumnType::Binary(_) | ColumnType::Image => Family::Binary,
        ColumnType::Date => Family::Date,
        ColumnType::Time(_) => Family::Time,
        ColumnType::DateTime2(_) | ColumnType::DateTime | ColumnType::SmallDateTime => Family::DateTime,
        ColumnType::DateTimeOffset(_) => Family::Offset,
        ColumnType::UniqueIdentifier => Family::Uuid,
        ColumnType::Json => Family::Json,
    }
}

/// The family as the helper functions of PostgreSQL call it.
pub(crate) fn family_word(column_type: ColumnType) -> &'static str {
    match family(column_type) {
        Family::Integer => "integer",
        Family::Decimal => "decimal",
        Family::Float => "float",
        Family::Text => "text",
        Family::Binary => "binary",
        Family::Date => "date",
        Family::Time => "time",
        Family::DateTime => "datetime",
        Family::Offset => "offset",
        Family::Uuid => "uuid",
        Family::Json => "json",
    }
}

/// The PostgreSQL type that a column of this type has, without a collation.
pub(crate) fn column_sql(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnType::Money => "numeric(19,4)".to_owned(),
        ColumnType::SmallMoney => "numeric(10,4)".to_owned(),
        other => value_sql(other).to_owned(),
    }
}

/// The PostgreSQL type that values of this type have.
pub(crate) fn value_sql(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Bit | ColumnType::TinyInt | ColumnType::SmallInt => "int2",
        ColumnType::Int => "int4",
        ColumnType::BigInt => "int8",
        ColumnType::Real => "float4",
        ColumnType::Float => "float8",
        other => match family(other) {
            Family::Integer | Family::Decimal | Family::Float => "numeric",
            Family::Text => "bpchar",
            Family::Binary => "bytea",
            Family::Date => "int4",
            Family::Time | Family::DateTime => "int8",
            Family::Offset => "int8[]",
            Family::Uuid => "uuid",
            Family::Json => "text",
        },
    }
}

/// As [`value_sql`], for parameters.
pub(crate) fn value_type(column_type: ColumnType) -> Type {
    match value_sql(column_type) {
        "int2" => Type::INT2,
        "int4" => Type::INT4,
        "int8" => Type::INT8,
        "float4" => Type::FLOAT4,
        "float8" => Type::FLOAT8,
        "numeric" => Type::NUMERIC,
        "bytea" => Type::BYTEA,
        "uuid" => Type::UUID,
        "int8[]" => Type::INT8_ARRAY,
        "text" => Type::TEXT,
        _ => Type::BPCHAR,
    }
}

/// Whether it is one of the types that hold UTF-16.
pub(crate) fn is_national(column_type: ColumnType) -> bool {
    matches!(
        column_type,
        ColumnType::NVarChar(_) | ColumnType::NChar(_) | ColumnType::NText | ColumnType::Xml
    )
}

/// UTF-16 units or bytes that a character or binary type holds; `None` for max, and for other types.
pub(crate) fn limit(column_type: ColumnType) -> Option<u16> {
    match column_type {
        ColumnType::NVarChar(Len::Limited(units))
        | ColumnType::VarChar(Len::Limited(units))
        | ColumnType::VarBinary(Len::Limited(units))
        | ColumnType::NChar(units)
        | ColumnType::Char(units)
        | ColumnType::Binary(units) => Some(units),
        _ => None,
    }
}

/// Digits and digits behind the point of exact numbers, integers included.
pub(crate) fn digits(column_type: ColumnType) -> Option<(u8, u8)> {
    Some(match column_type {
        ColumnType::Bit => (1, 0),
        ColumnType::TinyInt => (3, 0),
        ColumnType::SmallInt => (5, 0),
        ColumnType::Int => (10, 0),
        ColumnType::BigInt => (19, 0),
        ColumnType::SmallMoney => (10, 4),
        ColumnType::Money => (19, 4),
        ColumnType::Decimal { precision, scale } => (precision, scale),
        _ => return None,
    })
}

/// The name that `sys.types` and error messages use.
pub(crate) fn type_word(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Bit => "bit",
        ColumnType::TinyInt => "tinyint",
        ColumnType::SmallInt => "smallint",
        ColumnType::Int => "int",
        ColumnType::BigInt => "bigint",
        ColumnType::Real => "real",
        ColumnType::Float => "float",
        ColumnType::Decimal { .. } => "decimal",
        ColumnType::SmallMoney => "smallmoney",
        ColumnType::Money => "money",
        ColumnType::NVarChar(_) => "nvarchar",
        ColumnType::NChar(_) => "nchar",
        ColumnType::VarChar(_) => "varchar",
        ColumnType::Char(_) => "char",
        ColumnType::VarBinary(_) => "varbinary",
        ColumnType::Binary(_) => "binary",
        ColumnType::Xml => "xml",
        ColumnType::Json => "json",
        ColumnType::Date => "date",
        ColumnType::Time(_) => "time",
        ColumnType::DateTime2(_) => "datetime2",
        ColumnType::DateTimeOffset(_) => "datetimeoffset",
        ColumnType::DateTime => "datetime",
        ColumnType::SmallDateTime => "smalldatetime",
        ColumnType::UniqueIdentifier => "uniqueidentifier",
        ColumnType::SqlVariant => "sql_variant",
        ColumnType::Text => "text",
        ColumnType::NText => "ntext",
        ColumnType::Image => "image",
    }
}

/// `max_length`, `precision` and `scale` of `sys.columns`.
pub(crate) fn catalog_numbers(column_type: ColumnType) -> (i16, u8, u8) {
    let bytes = |length: Len, unit: u16| match length {
        Len::Max => -1,
        Len::Limited(units) => i16::try_from(units * unit).unwrap_or(-1),
    };
    let fraction = |scale: u8| if scale == 0 { 0 } else { scale + 1 };
    match column_type {
        ColumnType::Bit => (1, 1, 0),
        ColumnType::TinyInt => (1, 3, 0),
        ColumnType::SmallInt => (2, 5, 0),
        ColumnType::Int => (4, 10, 0),
        ColumnType::BigInt => (8, 19, 0),
        ColumnType::Real => (4, 24, 0),
        ColumnType::Float => (8, 53, 0),
        ColumnType::SmallMoney => (4, 10, 4),
        ColumnType::Money => (8, 19, 4),
        ColumnType::Decimal { precision, scale } => {
            (i16::from(segcdc_tds::types::decimal_len(precision)), precision, scale)
        }
        ColumnType::NVarChar(length) => (bytes(length, 2), 0, 0),
        ColumnType::NChar(units) => (bytes(Len::Limited(units), 2), 0, 0),
        ColumnType::VarChar(length) | ColumnType::VarBinary(length) => (bytes(length, 1), 0, 0),
        ColumnType::Char(units) | ColumnType::Binary(units) => (bytes(Len::Limited(units), 1), 0, 0),
        ColumnType::Date => (3, 10, 0),
        ColumnType::Time(scale) => (i16::from(time_len(scale)), 8 + fraction(scale), scale),
        ColumnType::DateTime2(scale) => (i16::from(time_len(scale)) + 3, 19 + fraction(scale), scale),
        ColumnType::DateTimeOffset(scale) => (i16::from(time_len(scale)) + 5, 26 + fraction(scale), scale),
        ColumnType::DateTime => (8, 23, 3),
        ColumnType::SmallDateTime => (4, 16, 0),
        ColumnType::UniqueIdentifier => (16, 0, 0),
        ColumnType::SqlVariant => (8016, 0, 0),
        ColumnType::Xml | ColumnType::Json => (-1, 0, 0),
        ColumnType::Text | ColumnType::NText | ColumnType::Image => (16, 0, 0),
    }
}

/// `user_type_id` of `sys.types`.
pub(crate) fn type_id(column_type: ColumnType) -> i32 {
    match column_type {
        ColumnType::Bit => 104,
        ColumnType::TinyInt => 48,
        ColumnType::SmallInt => 52,
        ColumnType::Int => 56,
        ColumnType::BigInt => 127,
        ColumnType::Real => 59,
        ColumnType::Float => 62,
        ColumnType::Decimal { .. } => 106,
        ColumnType::SmallMoney => 122,
        ColumnType::Money => 60,
        ColumnType::NVarChar(_) => 231,
        ColumnType::NChar(_) => 239,
        ColumnType::VarChar(_) => 167,
        ColumnType::Char(_) => 175,
        ColumnType::VarBinary(_) => 165,
        ColumnType::Binary(_) => 173,
        ColumnType::Xml => 241,
        ColumnType::Json => 244,
        ColumnType::Date => 40,
        ColumnType::Time(_) => 41,
        ColumnType::DateTime2(_) => 42,
        ColumnType::DateTimeOffset(_) => 43,
        ColumnType::DateTime => 61,
        ColumnType::SmallDateTime => 58,
        ColumnType::UniqueIdentifier => 36,
        ColumnType::SqlVariant => 98,
        ColumnType::Text => 35,
        ColumnType::NText => 99,
        ColumnType::Image => 34,
    }
}

/// The type of a row of `sys.columns`.
pub(crate) fn from_catalog(type_id: i32, max_length: i16, precision: u8, scale: u8) -> Option<ColumnType> {
    let len = |unit: u16| match u16::try_from(max_length) {
        Ok(bytes) => Len::Limited(bytes / unit),
        Err(_) => Len::Max,
    };
    let units = |unit: u16| u16::try_from(max_length).unwrap_or_default() / unit;
    Some(match type_id {
        104 => ColumnType::Bit,
        48 => ColumnType::TinyInt,
        52 => ColumnType::SmallInt,
        56 => ColumnType::Int,
        127 => ColumnType::BigInt,
        59 => ColumnType::Real,
        62 => ColumnType::Float,
        106 | 108 => ColumnType::Decimal { precision, scale },
        122 => ColumnType::SmallMoney,
        60 => ColumnType::Money,
        231 => ColumnType::NVarChar(len(2)),
        239 => ColumnType::NChar(units(2)),
        167 => ColumnType::VarChar(len(1)),
        175 => ColumnType::Char(units(1)),
        165 => ColumnType::VarBinary(len(1)),
        173 => ColumnType::Binary(units(1)),
        241 => ColumnType::Xml,
        244 => ColumnType::Json,
        40 => ColumnType::Date,
        41 => ColumnType::Time(scale),
        42 => ColumnType::DateTime2(scale),
        43 => ColumnType::DateTimeOffset(scale),
        61 => ColumnType::DateTime,
        58 => ColumnType::SmallDateTime,
        36 => ColumnType::UniqueIdentifier,
        98 => ColumnType::SqlVariant,
        _ => return None,
    })
}

/// Bytes that a key column takes in an index at most (T-SQL manual, "Maximum capacity specifications").
pub(crate) fn key_bytes(column_type: ColumnType) -> Option<u32> {
    match family(column_type) {
        Family::Text => {
            let unit = if is_national(column_type) { 2 } else { 1 };
            limit(column_type).map(|units| u32::from(units) * unit)
        }
        Family::Binary => limit(column_type).map(u32::from),
        _ => u32::try_from(catalog_numbers(column_type).0).ok(),
    }
}

fn time_len(scale: u8) -> u8 {
    segcdc_tds::types::time_len(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_back_from_the_catalogs_numbers() {
        let types = [
            ColumnType::Bit,
            ColumnType::Decimal { precision: 38, scale: 10 },
            ColumnType::NVarChar(Len::Limited(450)),
            ColumnType::NVarChar(Len::Max),
            ColumnType::VarChar(Len::Limited(8000)),
            ColumnType::NChar(7),
            ColumnType::Binary(16),
            ColumnType::Time(6),
            ColumnType::DateTime2(6),
            ColumnType::DateTimeOffset(0),
            ColumnType::UniqueIdentifier,
            ColumnType::Json,
        ];
        for column_type in types {
            let (max_length, precision, scale) = catalog_numbers(column_type);
            assert_eq!(from_catalog(type_id(column_type), max_length, precision, scale), Some(column_type));
        }
    }
}
