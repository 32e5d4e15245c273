//! [`fit`]: what becomes of a source's field in its target column, the column's policy included.
//!
//! One function for everyone who carries or compares values: the stream, the copy and `verify`. A value that the column
//! holds is never touched, whatever the policy; and what happens to another one is said, so that it can be counted.
//!
//! ```text
//! policy      a value that the column cannot hold
//! halt        is handed on; whoever writes it refuses it by name
//! text        does not exist: the column is text
//! null        is NULL, where NULL is allowed
//! clamp       is the nearest value that the column holds; what has none (NaN, too many digits behind the point, text)
//!             is handed on and refused
//! set_aside   keeps its row out of the table
//! ```

use segcdc_model::{Field, LargeRef, Length, MssqlType, PgType, Value};

use crate::convert::{self, NumericExtent, ValueError};
use crate::json_array::{self, ArrayTrouble};
use crate::json_document::{self, DocumentTrouble};
use crate::rules::ValuePolicy;
use crate::table_plan::ColumnPlan;
use crate::type_map;

/// Days from 2000-01-01 to 0001-01-01.
const FIRST_DAY: i32 = -730_119;
/// Days from 2000-01-01 to 9999-12-31.
const LAST_DAY: i32 = 2_921_939;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Microseconds from 2000-01-01 to the first instant of SQL Server's calendar.
const FIRST_US: i64 = FIRST_DAY as i64 * DAY_US;
/// Microseconds from 2000-01-01 to the last one.
const LAST_US: i64 = (LAST_DAY as i64 + 1) * DAY_US - 1;
/// Bytes that a `max` type holds.
const MAX_BYTES: u64 = 0x7FFF_FFFF;
/// Largest power of ten below 2^128.
const MAX_POWER: u32 = 38;

/// What a field becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fitted<'a> {
    /// Itself: the column holds it, or its policy is not to do anything about it.
    Exact(Value<'a>),
    /// Another value, as the policy says. To be counted.
    Replaced(Value<'a>),
    /// Nothing: the row has to be set aside. To be counted.
    Aside(Misfit),
}

/// Why a column cannot hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// NaN, of which nothing is the nearest.
    NotANumber,
    /// Above everything that the column holds, infinity included.
    Above,
    /// Below everything that the column holds, minus infinity included.
    Below,
    /// More digits behind the point than the column keeps.
    TooPrecise,
    /// Longer than the column.
    TooLong,
    /// Longer than the column's share of an index key.
    KeyTooLong,
    /// Of more bytes than the target takes as a whole, where it takes no pieces.
    TooLarge,
    /// Bytes that are no text.
    NotUtf8,
    /// An array that JSON has no place for, or JSON that the type `json` has none for.
    NoJson,
    /// NULL, where the target does not allow it.
    Null,
}

// === impl Fitted ===

impl<'a> Fitted<'a> {
    /// The value to write or to compare with; `None` for a row that is set aside.
    pub fn value(self) -> Option<Value<'a>> {
        match self {
            Fitted::Exact(value) | Fitted::Replaced(value) => Some(value),
            Fitted::Aside(_) => None,
        }
    }

    /// Whether the policy had something to do.
    pub fn is_use(self) -> bool {
        !matches!(self, Fitted::Exact(_))
    }
}

// === impl Misfit ===

impl Misfit {
    /// The code under which the value is refused where no policy helps.
    pub const fn code(self) -> &'static str {
        match self {
            Misfit::NotANumber | Misfit::Above | Misfit::Below | Misfit::TooPrecise | Misfit::NoJson => {
                "VALUE_UNREPRESENTABLE"
            }
            Misfit::TooLong => "VALUE_TOO_LONG",
            Misfit::KeyTooLong => "KEY_TOO_LONG",
            Misfit::TooLarge => "VALUE_TOO_LARGE",
            Misfit::NotUtf8 => "VALUE_NOT_UTF8",
            Misfit::Null => "VALUE_NULL",
        }
    }

    /// The same of a column that is part of the key, where what is too long is too long for an index.
    #[must_use]
    pub const fn of_key(self, in_key: bool) -> Self {
        match self {
            Misfit::TooLong if in_key => Misfit::KeyTooLong,
            other => other,
        }
    }
}

/// What a field of the source becomes in its column.
///
/// # Errors
/// [`ValueError::NotSent`], [`ValueError::Malformed`], and [`ValueError::NotUtf8`] where the policy does not help.
#[inline]
pub fn fit<'a>(column: &ColumnPlan, field: Field<'a>) -> Result<Fitted<'a>, ValueError> {
    if is_plain(column) {
        return convert::decode(&column.pg_type, field).map(Fitted::Exact);
    }
    fit_by_rules(column, field)
}

/// Whether [`fit`] does nothing but [`convert::decode`] for the column: nearly every one. On the hottest path that is called instead, because
/// a value that is handed on inside of two more enums is copied twice, and waits each time for what was just written.
#[inline]
pub fn is_plain(column: &ColumnPlan) -> bool {
    let becomes_another = match column.mssql_type {
        MssqlType::Json => true,
        MssqlType::DateTime2 { .. } => column.pg_type != PgType::Timestamp,
        MssqlType::Float => column.pg_type != PgType::Float8,
        MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt => {
            !matches!(column.pg_type, PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid)
        }
        _ => false,
    };
    matches!(column.policy, ValuePolicy::Halt | ValuePolicy::Text)
        && column.array.is_none()
        && !becomes_another
}

/// As [`fit`], of any column.
fn fit_by_rules<'a>(column: &ColumnPlan, field: Field<'a>) -> Result<Fitted<'a>, ValueError> {
    let decoded = convert::decode(&column.pg_type, field).map(|value| of_kind(column.mssql_type, value));
    let is_document = column.mssql_type == MssqlType::Json;
    let decoded = match (decoded, column.array) {
        (Ok(Value::Text(text)), array) if is_document => Ok(Value::Document { text, array }),
        (Ok(Value::Text(text)), Some(element)) => Ok(Value::Array { text, element }),
        (Ok(Value::Large(_)), array) if is_document || array.is_some() => Err(ValueError::JsonTooLong),
        (decoded, _) => decoded,
    };
    if matches!(column.policy, ValuePolicy::Halt | ValuePolicy::Text) {
        return decoded.map(Fitted::Exact);
    }
    let (value, misfit) = match decoded {
        Ok(value) => match misfit(column, value, field) {
            Some(misfit) => (value, misfit),
            None => return Ok(Fitted::Exact(value)),
        },
        Err(error @ (ValueError::NotUtf8 | ValueError::JsonTooLong)) => {
            let misfit = if error == ValueError::NotUtf8 { Misfit::NotUtf8 } else { Misfit::TooLong };
            return match column.policy {
                ValuePolicy::Null if column.nullable => Ok(Fitted::Replaced(Value::Null)),
                ValuePolicy::SetAside => Ok(Fitted::Aside(misfit)),
                _ => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    Ok(match column.policy {
        ValuePolicy::Null if column.nullable => Fitted::Replaced(Value::Null),
        ValuePolicy::Clamp => {
            nearest(column.mssql_type, value, misfit).map_or(Fitted::Exact(value), Fitted::Replaced)
        }
        ValuePolicy::SetAside => Fitted::Aside(misfit),
        ValuePolicy::Null | ValuePolicy::Halt | ValuePolicy::Text => Fitted::Exact(value),
    })
}

/// A value as the target's type spells it, where a rule gave the column a type of another kind. What has no place there
/// stays as it is, to be refused.
fn of_kind(mssql_type: MssqlType, value: Value<'_>) -> Value<'_> {
    match (mssql_type, value) {
        (MssqlType::DateTime2 { .. }, Value::TimestampTz(us)) => Value::Timestamp(us),
        (MssqlType::DateTime2 { .. }, Value::Date(days)) => Value::Timestamp(match days {
            i32::MIN => i64::MIN,
            i32::MAX => i64::MAX,
            // PostgreSQL has dates that are beyond its timestamps, and far beyond SQL Server's.
            days => i64::from(days).saturating_mul(DAY_US),
        }),
        (MssqlType::Float, Value::Float4(value)) => Value::Float8(value.into()),
        (
            MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt,
            Value::Decimal { negative, magnitude, scale },
        ) => whole(negative, magnitude, scale).map_or(value, Value::Int),
        _ => value,
    }
}

/// A decimal as a whole number of 64 bits, if it is one.
fn whole(negative: bool, magnitude: u128, scale: u8) -> Option<i64> {
    let unit = power(scale);
    let number = i128::try_from(magnitude / unit).ok().filter(|_| magnitude.is_multiple_of(unit))?;
    i64::try_from(if negative { -number } else { number }).ok()
}

/// Why the column cannot hold the value, if it cannot. Agrees with what the encoder of the target takes; values of another
/// kind than the column's are the encoder's to refuse.
fn misfit(column: &ColumnPlan, value: Value<'_>, field: Field<'_>) -> Option<Misfit> {
    let too_long = |length: MssqlType| match length {
        MssqlType::NVarChar { binary_collation: true, .. } => Misfit::KeyTooLong,
        _ => Misfit::TooLong,
    };
    match (value, column.mssql_type) {
        (Value::Null, _) => (!column.nullable).then_some(Misfit::Null),
        (Value::Int(value), kind @ (MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int)) => {
            type_map::integer_range(&kind).and_then(|(low, high)| outside(value, low, high))
        }
        (Value::Int(value), MssqlType::Decimal { precision, scale }) => {
            decimal(value < 0, value.unsigned_abs().into(), 0, precision, scale)
        }
        (Value::Float4(value), _) => not_finite(value.into()),
        (Value::Float8(value), _) => not_finite(value),
        (Value::Decimal { negative, magnitude, scale: digits }, MssqlType::Decimal { precision, scale }) => {
            decimal(negative, magnitude, digits, precision, scale)
        }
        // Not a whole number of 64 bits.
        (
            Value::Decimal { negative, magnitude, scale },
            kind @ (MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt),
        ) => not_whole(negative, magnitude / power(scale), kind),
        (Value::NumericOutOfRange, MssqlType::Decimal { precision, scale }) => {
            Some(out_of_range(field, precision.saturating_sub(scale)))
        }
        // More than 38 digits: those behind the point are too many, or those before it.
        (Value::NumericOutOfRange, MssqlType::TinyInt) => Some(out_of_range(field, 3)),
        (Value::NumericOutOfRange, MssqlType::SmallInt) => Some(out_of_range(field, 5)),
        (Value::NumericOutOfRange, MssqlType::Int) => Some(out_of_range(field, 10)),
        (Value::NumericOutOfRange, MssqlType::BigInt) => Some(out_of_range(field, 19)),
        (Value::Text(text), kind @ MssqlType::NVarChar { length: Length::Limited(units), .. }) => {
            (!fits_units(text, units.into())).then(|| too_long(kind))
        }
        // A varchar(max) travels as nvarchar(max).
        (
            Value::Text(text),
            MssqlType::NVarChar { length: Length::Max, .. } | MssqlType::VarChar { length: Length::Max },
        ) => (!fits_units(text, MAX_BYTES / 2)).then_some(Misfit::TooLong),
        (Value::Text(text), MssqlType::VarChar { length: Length::Limited(bytes) }) => {
            (text.len() > usize::from(bytes)).then_some(Misfit::TooLong)
        }
        (Value::Array { text, element }, _) => match json_array::check(text, element) {
            Ok(()) => None,
            Err(ArrayTrouble::NotANumber) => Some(Misfit::NotANumber),
            Err(ArrayTrouble::LowerBound | ArrayTrouble::Malformed) => Some(Misfit::NoJson),
        },
        (Value::Document { text, array }, _) => {
            match json_document::write_printed(text, array, &mut String::new()) {
                Ok(()) => None,
                Err(DocumentTrouble::TooLong) => Some(Misfit::TooLong),
                Err(_) => Some(Misfit::NoJson),
            }
        }
        (Value::Bytes(bytes), MssqlType::VarBinary { length }) => binary(bytes.len() as u64, length),
        (Value::HexBytes(digits), MssqlType::VarBinary { length }) => binary(digits.len() as u64 / 2, length),
        (
            Value::Large(large),
            MssqlType::NVarChar { length: Length::Max, .. } | MssqlType::VarChar { length: Length::Max },
        ) => {
            let units = large.value.facts().utf16_units.unwrap_or_default();
            (units > MAX_BYTES / 2).then_some(Misfit::TooLong).or_else(|| too_large(column, large))
        }
        (Value::Large(large), MssqlType::VarBinary { length: Length::Max }) => too_large(column, large),
        // A large value is longer than any type with a length.
        (Value::Large(_), kind @ MssqlType::NVarChar { length: Length::Limited(_), .. }) => {
            Some(too_long(kind))
        }
        (
            Value::Large(_),
            MssqlType::VarBinary { length: Length::Limited(_) }
            | MssqlType::VarChar { length: Length::Limited(_) },
        ) => Some(Misfit::TooLong),
        (Value::Date(days), MssqlType::Date) => outside(days.into(), FIRST_DAY.into(), LAST_DAY.into()),
        (Value::Time(time_us), MssqlType::Time { scale }) => outside(time_us, 0, DAY_US - 1)
            .or_else(|| (time_us % unit_us(scale) != 0).then_some(Misfit::TooPrecise)),
        (Value::Timestamp(us), MssqlType::DateTime2 { scale })
        | (Value::TimestampTz(us), MssqlType::DateTimeOffset { scale }) => outside(us, FIRST_US, LAST_US)
            .or_else(|| (us.rem_euclid(unit_us(scale)) != 0).then_some(Misfit::TooPrecise)),
        _ => None,
    }
}

/// A value that has no place in one parameter, where the column's large values have to.
fn too_large(column: &ColumnPlan, large: LargeRef<'_>) -> Option<Misfit> {
    column.most_large_bytes.filter(|most| large.target_bytes() > *most).map(|_| Misfit::TooLarge)
}

/// The value of the column that is nearest to one that it cannot hold, if there is one.
fn nearest(mssql_type: MssqlType, value: Value<'_>, misfit: Misfit) -> Option<Value<'static>> {
    let above = match misfit {
        Misfit::Above => true,
        Misfit::Below => false,
        _ => return None,
    };
    let bound = |low: i64, high: i64| if above { high } else { low };
    Some(match (mssql_type, value) {
        (kind @ (MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt), _) => {
            let (low, high) = type_map::integer_range(&kind)?;
            Value::Int(bound(low, high))
        }
        (MssqlType::Decimal { precision, scale }, _) => {
            let power = u32::from(precision).min(MAX_POWER);
            Value::Decimal { negative: !above, magnitude: 10_u128.pow(power) - 1, scale }
        }
        (_, Value::Float4(_)) => Value::Float4(if above { f32::MAX } else { f32::MIN }),
        (_, Value::Float8(_)) => Value::Float8(if above { f64::MAX } else { f64::MIN }),
        (MssqlType::Date, _) => Value::Date(if above { LAST_DAY } else { FIRST_DAY }),
        (MssqlType::Time { scale }, _) => Value::Time(bound(0, DAY_US - unit_us(scale))),
        (MssqlType::DateTime2 { scale }, _) => Value::Timestamp(bound(FIRST_US, last_us(scale))),
        (MssqlType::DateTimeOffset { scale }, _) => Value::TimestampTz(bound(FIRST_US, last_us(scale))),
        _ => return None,
    })
}

/// Microseconds of the last digit of a second that a type of this scale keeps.
fn unit_us(scale: u8) -> i64 {
    10_i64.pow(u32::from(6_u8.saturating_sub(scale)))
}

/// The last instant of SQL Server's calendar that a type of this scale keeps.
fn last_us(scale: u8) -> i64 {
    LAST_US + 1 - unit_us(scale)
}

/// Why an integer type cannot hold a number whose digits before the point are these, and which is no whole number of
/// 64 bits.
fn not_whole(negative: bool, whole: u128, mssql_type: MssqlType) -> Option<Misfit> {
    let (low, high) = type_map::integer_range(&mssql_type)?;
    let bound = if negative { low } else { high }.unsigned_abs();
    Some(if whole > u128::from(bound) { beyond(negative) } else { Misfit::TooPrecise })
}

/// A power of ten; 10^38 is the largest that there is, and a number has no more digits anyway.
fn power(exponent: u8) -> u128 {
    10_u128.checked_pow(exponent.into()).unwrap_or(u128::MAX)
}

fn outside(value: i64, low: i64, high: i64) -> Option<Misfit> {
    match value {
        value if value > high => Some(Misfit::Above),
        value if value < low => Some(Misfit::Below),
        _ => None,
    }
}

fn beyond(negative: bool) -> Misfit {
    if negative { Misfit::Below } else { Misfit::Above }
}

fn not_finite(value: f64) -> Option<Misfit> {
    if value.is_nan() {
        Some(Misfit::NotANumber)
    } else if value.is_infinite() {
        Some(beyond(value < 0.0))
    } else {
        None
    }
}

/// Why a decimal of `precision` and `scale` cannot hold a number of `digits` digits behind the point.
fn decimal(negative: bool, magnitude: u128, digits: u8, precision: u8, scale: u8) -> Option<Misfit> {
    if magnitude / power(digits) >= power(precision.saturating_sub(scale)) {
        return Some(beyond(negative));
    }
    let dropped = digits.saturating_sub(scale);
    (!magnitude.is_multiple_of(power(dropped))).then_some(Misfit::TooPrecise)
}

/// Why a decimal with `whole` digits before the point cannot hold a numeric that was decoded as out of range.
fn out_of_range(field: Field<'_>, whole: u8) -> Misfit {
    match convert::numeric_extent(field) {
        NumericExtent::Infinite { negative } => beyond(negative),
        NumericExtent::Finite { negative, whole_digits } if whole_digits > usize::from(whole) => {
            beyond(negative)
        }
        NumericExtent::Finite { .. } => Misfit::TooPrecise,
        NumericExtent::NotANumber => Misfit::NotANumber,
    }
}

/// Whether text has at most so many UTF-16 units. Each unit takes at least one byte of UTF-8 and at most three.
fn fits_units(text: &str, units: u64) -> bool {
    text.len() as u64 <= units || text.encode_utf16().count() as u64 <= units
}

fn binary(length: u64, limit: Length) -> Option<Misfit> {
    match limit {
        Length::Limited(limit) => (length > u64::from(limit)).then_some(Misfit::TooLong),
        Length::Max => (length > MAX_BYTES).then_some(Misfit::TooLong),
    }
}

#[cfg(test)]
mod tests;
