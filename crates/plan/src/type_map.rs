//! PostgreSQL type to T-SQL type, and what the target type cannot hold.
//!
//! A target type is chosen so that it holds every value of the source type exactly. Where SQL Server has no such type,
//! the nearest one is taken, [`narrowing`] says what it lacks, and a value that does not fit is refused by the encoder
//! with a named error: it is never rounded, cut or clamped.

use std::borrow::Cow;

use segcdc_model::{Length, MssqlType, PgType, SourceColumn};

/// Digits that a T-SQL decimal can hold.
pub const MAX_PRECISION: u8 = 38;

/// Scale of the target column of a numeric without bounds: 20 digits before the point are more than bigint has, and
/// 18 behind it cover money, coordinates and the smallest unit of every currency.
pub const UNBOUNDED_SCALE: u8 = 18;

/// Digits of a 64-bit integer, which is what a money is.
const MONEY_DIGITS: u8 = 19;

/// UTF-16 units of the longest nvarchar that is not `max`.
const MAX_NVARCHAR_UNITS: u32 = 4000;

/// UTF-16 units that a name or an enum label needs at most: it has 63 bytes.
const NAME_UNITS: u16 = 63;

/// Bytes that a character takes in UTF-8 at most.
pub(crate) const UTF8_BYTES: u32 = 4;

/// Bytes of a clustered index key.
pub const KEY_BYTES: u16 = 900;

/// The target type of a column.
///
/// Text in a key gets a binary collation, for which different text is different, and as many units as a key has room
/// for; [`crate::table_plan()`] shares the room where several columns of a key need some.
pub fn map(column: &SourceColumn, in_key: bool) -> MssqlType {
    match &column.pg_type {
        PgType::Bool | PgType::Bit => MssqlType::Bit,
        PgType::Int2 => MssqlType::SmallInt,
        PgType::Int4 => MssqlType::Int,
        PgType::Int8 | PgType::Oid => MssqlType::BigInt,
        PgType::Float4 => MssqlType::Real,
        PgType::Float8 => MssqlType::Float,
        PgType::Numeric { bounds } => decimal(*bounds),
        PgType::Money { fraction_digits } => {
            MssqlType::Decimal { precision: MONEY_DIGITS, scale: (*fraction_digits).min(MONEY_DIGITS) }
        }
        PgType::Varchar { length: Some(length) } | PgType::Char { length } => {
            text(code_points(*length), in_key)
        }
        PgType::Name | PgType::Enum => text(Length::Limited(NAME_UNITS), in_key),
        // No plan has money of unknown digits.
        PgType::Text
        | PgType::Varchar { length: None }
        | PgType::Json
        | PgType::Jsonb
        | PgType::MoneyOfUnknownDigits
        | PgType::Other => text(Length::Max, in_key),
        PgType::Bytea if in_key => MssqlType::VarBinary { length: Length::Limited(KEY_BYTES) },
        PgType::Bytea => MssqlType::VarBinary { length: Length::Max },
        PgType::Uuid => MssqlType::UniqueIdentifier,
        PgType::Date => MssqlType::Date,
        PgType::Time => MssqlType::TIME,
        PgType::Timestamp => MssqlType::DATETIME2,
        PgType::TimestampTz => MssqlType::DATETIMEOFFSET,
    }
}

/// What the target type refuses of the source type's values, for people; `None` when it holds them all.
pub fn narrowing(pg_type: &PgType, mssql_type: &MssqlType, in_key: bool) -> Option<Cow<'static, str>> {
    let text = match (pg_type, mssql_type) {
        (PgType::Numeric { bounds }, MssqlType::Decimal { precision, scale }) => {
            return Some(numeric_narrowing(*bounds, *precision, *scale));
        }
        (PgType::Numeric { .. }, _) => {
            let (low, high) = integer_range(mssql_type)?;
            let text = format!(
                "numbers outside of {low} to {high} or with digits behind the point, NaN and infinities"
            );
            return Some(format!("{text} are refused").into());
        }
        (PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid | PgType::Money { .. }, _) => {
            return whole_narrowing(pg_type, mssql_type);
        }
        (PgType::Float4 | PgType::Float8, _) => "NaN and infinities are refused",
        (PgType::Date | PgType::Timestamp | PgType::TimestampTz, _) => match mssql_type {
            MssqlType::DateTime2 { scale } | MssqlType::DateTimeOffset { scale } if *scale < 6 => {
                let text = format!(
                    "years outside of 1 to 9999, infinities and more than {scale} digits of a second are refused"
                );
                return Some(text.into());
            }
            _ => "years outside of 1 to 9999 and infinities are refused",
        },
        (PgType::Json | PgType::Jsonb, MssqlType::Json) => {
            return Some(format!("{DOCUMENT_LOSS} is refused").into());
        }
        (PgType::Time, MssqlType::Time { scale }) if *scale < 6 => {
            return Some(format!("24:00:00 and more than {scale} digits of a second are refused").into());
        }
        (PgType::Time, _) => "24:00:00 is refused",
        (_, MssqlType::NVarChar { length: Length::Limited(units), .. }) => {
            let needed = match pg_type {
                PgType::Varchar { length: Some(length) } | PgType::Char { length } => {
                    length.saturating_mul(2)
                }
                PgType::Name | PgType::Enum => u32::from(NAME_UNITS),
                _ => u32::MAX,
            };
            if u32::from(*units) >= needed {
                return None;
            }
            if !in_key {
                return Some(format!("texts of more than {units} UTF-16 units are refused").into());
            }
            LONG_KEYS
        }
        (_, MssqlType::VarChar { length: Length::Limited(bytes) }) => {
            let needed = match pg_type {
                PgType::Varchar { length: Some(length) } | PgType::Char { length } => {
                    length.saturating_mul(UTF8_BYTES)
                }
                PgType::Name | PgType::Enum => u32::from(NAME_UNITS),
                _ => u32::MAX,
            };
            return (u32::from(*bytes) < needed)
                .then(|| format!("texts of more than {bytes} bytes of UTF-8 are refused").into());
        }
        (PgType::Bytea, MssqlType::VarBinary { length: Length::Limited(_) }) if in_key => LONG_KEYS,
        (PgType::Bytea, MssqlType::VarBinary { length: Length::Limited(bytes) }) => {
            return Some(format!("values of more than {bytes} bytes are refused").into());
        }
        _ => return None,
    };
    Some(Cow::Borrowed(text))
}

/// What the type `json` lacks.
pub const DOCUMENT_LOSS: &str = "JSON that is no object or array, has a name twice in one object or \\u0000, has numbers of more than 38 digits, is nested \
     more than 128 deep, has more than 65,535 items in one object or array or 32,768 names, or is of more than 1 MiB";

/// What a JSON array lacks.
pub const ARRAY_LOSS: &str =
    "arrays with a lower bound that is not 1, with NaN or infinity, or of more than 1 MiB of text";

/// What a key refuses.
const LONG_KEYS: &str = "longer keys are refused: a SQL Server key has 900 bytes";

/// What a decimal refuses of a numeric.
fn numeric_narrowing(bounds: Option<(u16, i16)>, precision: u8, scale: u8) -> Cow<'static, str> {
    let usual = decimal(bounds) == MssqlType::Decimal { precision, scale };
    match bounds {
        Some(bounds) if holds_numeric(bounds, precision, scale) => "NaN and infinities are refused".into(),
        Some(_) if usual => "more than 38 digits, NaN and infinities are refused".into(),
        _ => {
            let whole = precision.saturating_sub(scale);
            format!(
                "more than {whole} digits before or {scale} behind the point, NaN and infinities are refused"
            )
            .into()
        }
    }
}

/// What a target type refuses of integers and amounts of money.
fn whole_narrowing(pg_type: &PgType, mssql_type: &MssqlType) -> Option<Cow<'static, str>> {
    if let MssqlType::Decimal { precision, scale } = mssql_type {
        let digits = match pg_type {
            PgType::Int2 => (5, 0),
            PgType::Int4 | PgType::Oid => (10, 0),
            PgType::Money { fraction_digits } => (MONEY_DIGITS.into(), i16::from(*fraction_digits)),
            _ => (19, 0),
        };
        let whole = precision.saturating_sub(*scale);
        return (!holds_numeric(digits, *precision, *scale)).then(|| {
            format!("more than {whole} digits before or {scale} behind the point are refused").into()
        });
    }
    let (low, high) = integer_range(mssql_type)?;
    let fits = match pg_type {
        PgType::Int2 => low <= i16::MIN.into(),
        PgType::Int4 => low <= i32::MIN.into(),
        PgType::Oid => high >= u32::MAX.into(),
        _ => low == i64::MIN,
    };
    (!fits).then(|| format!("numbers outside of {low} to {high} are refused").into())
}

/// Whether a decimal holds every finite value of `numeric(bounds)`.
pub fn holds_numeric(bounds: (u16, i16), precision: u8, scale: u8) -> bool {
    let (source_precision, source_scale) = (i32::from(bounds.0), i32::from(bounds.1));
    i32::from(precision.saturating_sub(scale)) >= source_precision - source_scale
        && i32::from(scale) >= source_scale
}

/// The lowest and highest number of an integer type.
pub fn integer_range(mssql_type: &MssqlType) -> Option<(i64, i64)> {
    Some(match mssql_type {
        MssqlType::TinyInt => (0, u8::MAX.into()),
        MssqlType::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        MssqlType::Int => (i32::MIN.into(), i32::MAX.into()),
        MssqlType::BigInt => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

/// Whether values of the type can have a nearest one where they do not fit.
pub fn can_clamp(pg_type: &PgType) -> bool {
    matches!(
        pg_type,
        PgType::Numeric { .. }
            | PgType::Money { .. }
            | PgType::Float4
            | PgType::Float8
            | PgType::Int2
            | PgType::Int4
            | PgType::Int8
            | PgType::Oid
            | PgType::Date
            | PgType::Time
            | PgType::Timestamp
            | PgType::TimestampTz
    )
}

/// Bytes that a value of the type takes in an index key; for a type with a length, at most.
pub(crate) fn key_bytes(mssql_type: &MssqlType) -> u16 {
    match mssql_type {
        MssqlType::Bit | MssqlType::TinyInt => 1,
        MssqlType::SmallInt => 2,
        MssqlType::Int | MssqlType::Real => 4,
        MssqlType::BigInt | MssqlType::Float => 8,
        MssqlType::Decimal { precision, .. } => match precision {
            0..=9 => 5,
            10..=19 => 9,
            20..=28 => 13,
            _ => 17,
        },
        MssqlType::NVarChar { length: Length::Limited(units), .. } => units.saturating_mul(2),
        MssqlType::VarBinary { length: Length::Limited(bytes) }
        | MssqlType::VarChar { length: Length::Limited(bytes) } => *bytes,
        MssqlType::NVarChar { length: Length::Max, .. }
        | MssqlType::VarBinary { length: Length::Max }
        | MssqlType::VarChar { length: Length::Max }
        | MssqlType::Json => u16::MAX,
        MssqlType::Date => 3,
        MssqlType::Time { scale } => time_bytes(*scale),
        // Bytes of the date, of the offset, and of the time for so many digits.
        MssqlType::DateTime2 { scale } => 3 + time_bytes(*scale),
        MssqlType::DateTimeOffset { scale } => 5 + time_bytes(*scale),
        MssqlType::UniqueIdentifier => 16,
    }
}

/// Bytes of a time of day with so many digits of a second's fraction.
fn time_bytes(scale: u8) -> u16 {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
}

/// Units for `length` code points: two each, since those beyond the basic plane need a surrogate pair.
fn code_points(length: u32) -> Length {
    match u16::try_from(length.saturating_mul(2)) {
        Ok(units) if u32::from(units) <= MAX_NVARCHAR_UNITS => Length::Limited(units.max(1)),
        _ => Length::Max,
    }
}

fn text(length: Length, in_key: bool) -> MssqlType {
    let length = match length {
        Length::Limited(units) if in_key => Length::Limited(units.min(KEY_BYTES / 2)),
        Length::Max if in_key => Length::Limited(KEY_BYTES / 2),
        Length::Limited(_) | Length::Max => length,
    };
    MssqlType::NVarChar { length, binary_collation: in_key }
}

/// The decimal for a numeric's bounds. PostgreSQL allows 1000 digits, a negative scale (rounded to hundreds and so on)
/// and a scale above the precision (zeros behind the point).
fn decimal(bounds: Option<(u16, i16)>) -> MssqlType {
    let Some((precision, scale)) = bounds else {
        return MssqlType::Decimal { precision: MAX_PRECISION, scale: UNBOUNDED_SCALE };
    };
    let digits = digits_needed(precision, scale).clamp(1, i32::from(MAX_PRECISION));
    let scale = i32::from(scale).clamp(0, i32::from(MAX_PRECISION));
    MssqlType::Decimal {
        precision: u8::try_from(digits).unwrap_or(MAX_PRECISION),
        scale: u8::try_from(scale).unwrap_or(MAX_PRECISION),
    }
}

/// Whether a decimal holds every finite value of `numeric(precision,scale)`.
pub fn exact_decimal(precision: u16, scale: i16) -> bool {
    digits_needed(precision, scale) <= i32::from(MAX_PRECISION)
}

/// Decimal digits that `numeric(precision,scale)` needs when the point is among them.
fn digits_needed(precision: u16, scale: i16) -> i32 {
    let (precision, scale) = (i32::from(precision), i32::from(scale));
    if scale < 0 { precision - scale } else { precision.max(scale) }
}
