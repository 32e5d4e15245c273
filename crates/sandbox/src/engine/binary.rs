//! Values in PostgreSQL's binary format: of parameters, COPY and results.

use std::error::Error;

use bytes::BytesMut;
use segcdc_tds::{ColumnType, Datum};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::answer::SqlError;
use crate::sql::physical::{self, DAY_TICKS, Family};

mod number;

/// Days from 0001-01-01 to 9999-12-31.
const LAST_DAY: u32 = 3_652_058;
/// Days from 0001-01-01 to 1753-01-01, where datetime begins.
const FIRST_DATETIME_DAY: u32 = 639_905;
/// OID of int8, the element of a datetimeoffset.
const INT8_OID: i32 = 20;

/// A parameter in binary form; `None` is NULL.
#[derive(Debug)]
pub(super) struct Raw(pub(super) Option<Vec<u8>>);

/// A column of a result in binary form.
pub(super) struct RawColumn<'a>(pub(super) &'a [u8]);

// === impl Raw ===

impl ToSql for Raw {
    fn to_sql(&self, _type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_type: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

// === impl RawColumn ===

impl<'a> FromSql<'a> for RawColumn<'a> {
    fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(RawColumn(raw))
    }

    fn accepts(_type: &Type) -> bool {
        true
    }
}

/// A value of another kind than the type's.
fn wrong_kind(column_type: ColumnType) -> SqlError {
    let message = format!("Error converting data type sql_variant to {}.", physical::type_word(column_type));
    SqlError::new(8114, 16, message)
}

/// 8115
fn overflow(column_type: ColumnType) -> SqlError {
    let word = physical::type_word(column_type);
    let word = if word == "decimal" { "numeric" } else { word };
    SqlError::new(8115, 16, format!("Arithmetic overflow error converting expression to data type {word}."))
}

/// 8023
fn invalid_value(column_type: ColumnType) -> SqlError {
    let word = physical::type_word(column_type);
    let message = format!(
        "The incoming tabular data stream (TDS) remote procedure call (RPC) protocol stream is incorrect. The supplied \
         value is not a valid instance of data type {word}. Check the source data for invalid values. An example of an \
         invalid value is data of numeric type with scale greater than precision."
    );
    SqlError::new(8023, 16, message)
}

/// Appends a value that is not NULL; false for NULL.
///
/// # Errors
/// 8114: another kind of value; 8115: out of range; 8023: NaN, infinity, a date that no calendar has.
pub(super) fn encode(datum: &Datum, column_type: ColumnType, out: &mut Vec<u8>) -> Result<bool, SqlError> {
    if datum.is_null() {
        return Ok(false);
    }
    match physical::family(column_type) {
        Family::Integer => number::encode_integer(datum, column_type, out)?,
        Family::Decimal => number::encode_decimal(datum, column_type, out)?,
        Family::Float => number::encode_float(datum, column_type, out)?,
        Family::Text | Family::Json => match datum {
            Datum::Text(text) if text.contains('\0') => {
                return Err(crate::sql::translate::unsupported("text with the character U+0000"));
            }
            Datum::Text(text) => out.extend_from_slice(text.as_bytes()),
            _ => return Err(wrong_kind(column_type)),
        },
        Family::Binary => match datum {
            Datum::Bytes(bytes) => out.extend_from_slice(bytes),
            _ => return Err(wrong_kind(column_type)),
        },
        Family::Uuid => match datum {
            Datum::Uuid(bytes) => out.extend_from_slice(bytes),
            _ => return Err(wrong_kind(column_type)),
        },
        Family::Date | Family::Time | Family::DateTime | Family::Offset => {
            encode_temporal(datum, column_type, out)?;
        }
    }
    Ok(true)
}

/// Units of 100 ns of `ticks` units of 10^-scale seconds.
fn to_ticks(ticks: u64, scale: u8, column_type: ColumnType) -> Result<i64, SqlError> {
    let step = 10_i64.checked_pow(u32::from(7_u8.saturating_sub(scale))).unwrap_or(1);
    let ticks = i64::try_from(ticks).ok().and_then(|ticks| ticks.checked_mul(step));
    ticks.filter(|ticks| *ticks < DAY_TICKS).ok_or_else(|| invalid_value(column_type))
}

fn encode_temporal(datum: &Datum, column_type: ColumnType, out: &mut Vec<u8>) -> Result<(), SqlError> {
    let (days, ticks, offset) = match datum {
        Datum::Date(days) => (*days, 0, 0),
        Datum::Time { ticks, scale } => (0, to_ticks(*ticks, *scale, column_type)?, 0),
        Datum::DateTime2 { days, ticks, scale } => (*days, to_ticks(*ticks, *scale, column_type)?, 0),
        Datum::DateTimeOffset { days, ticks, scale, offset_minutes } => {
            (*days, to_ticks(*ticks, *scale, column_type)?, *offset_minutes)
        }
        _ => return Err(wrong_kind(column_type)),
    };
    if days > LAST_DAY || !(-840..=840).contains(&offset) {
        return Err(invalid_value(column_type));
    }
    let instant = i64::from(days) * DAY_TICKS + ticks;
    match column_type {
        ColumnType::Date => {
            let days = i32::try_from(days).map_err(|_| invalid_value(column_type))?;
            out.extend_from_slice(&days.to_be_bytes());
        }
        ColumnType::Time(scale) => {
            out.extend_from_slice(&round(ticks, scale).min(DAY_TICKS - 1).to_be_bytes());
        }
        ColumnType::DateTime2(scale) => out.extend_from_slice(&round(instant, scale).to_be_bytes()),
        ColumnType::DateTime if days < FIRST_DATETIME_DAY => return Err(invalid_value(column_type)),
        ColumnType::DateTime => {
            // Three hundredths of a second, shown in milliseconds.
            let parts = (ticks * 3 + 50_000) / 100_000;
            let shown = (parts * 10 + 1) / 3 * 10_000;
            out.extend_from_slice(&(i64::from(days) * DAY_TICKS + shown).to_be_bytes());
        }
        ColumnType::SmallDateTime => out.extend_from_slice(&instant.to_be_bytes()),
        ColumnType::DateTimeOffset(scale) => {
            let local = instant + i64::from(offset) * physical::MINUTE_TICKS;
            if !(0..(i64::from(LAST_DAY) + 1) * DAY_TICKS).contains(&local) {
                return Err(invalid_value(column_type));
            }
            for number in [1, 0, INT8_OID, 2, 1, 8] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            out.extend_from_slice(&round(instant, scale).to_be_bytes());
            out.extend_from_slice(&8_i32.to_be_bytes());
            out.extend_from_slice(&i64::from(offset).to_be_bytes());
        }
        _ => return Err(wrong_kind(column_type)),
    }
    Ok(())
}

/// Rounded to `scale` digits of a second.
fn round(ticks: i64, scale: u8) -> i64 {
    let step = 10_i64.checked_pow(u32::from(7_u8.saturating_sub(scale))).unwrap_or(1);
    if ticks % step == 0 { ticks } else { (ticks + step / 2) / step * step }
}

/// The value of a column; `None` bytes are NULL.
///
/// # Errors
/// When PostgreSQL sent something that the type cannot have: a fault of the translation.
pub(super) fn decode(raw: Option<&[u8]>, column_type: ColumnType) -> Result<Datum, SqlError> {
    let Some(raw) = raw else { return Ok(Datum::Null) };
    let decoded = match physical::family(column_type) {
        Family::Integer => number::decode_integer(raw).map(|value| match column_type {
            ColumnType::Bit => Datum::Bit(value != 0),
            _ => Datum::Int(value),
        }),
        Family::Decimal => number::decode_decimal(raw, column_type),
        Family::Float => match raw.len() {
            4 => raw.try_into().ok().map(|bytes| Datum::Real(f32::from_be_bytes(bytes))),
            _ => raw.try_into().ok().map(|bytes| Datum::Float(f64::from_be_bytes(bytes))),
        },
        Family::Text | Family::Json => std::str::from_utf8(raw).ok().map(|text| Datum::Text(text.to_owned())),
        Family::Binary => Some(Datum::Bytes(raw.to_vec())),
        Family::Uuid => raw.try_into().ok().map(Datum::Uuid),
        Family::Date | Family::Time | Family::DateTime | Family::Offset => decode_temporal(raw, column_type),
    };
    decoded.ok_or_else(|| {
        let message = format!("the sandbox cannot read a value of type {column_type}");
        SqlError::new(8180, 16, message)
    })
}

fn decode_temporal(raw: &[u8], column_type: ColumnType) -> Option<Datum> {
    let int8 = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
    let shown = |ticks: i64, scale: u8| {
        let step = 10_i64.pow(u32::from(7_u8.saturating_sub(scale)));
        u64::try_from(ticks / step).ok()
    };
    let split = |instant: i64| {
        let days = u32::try_from(instant.div_euclid(DAY_TICKS)).ok()?;
        Some((days, instant.rem_euclid(DAY_TICKS)))
    };
    Some(match column_type {
        ColumnType::Date => {
            let days = i32::from_be_bytes(raw.try_into().ok()?);
            Datum::Date(u32::try_from(days).ok()?)
        }
        ColumnType::Time(scale) => Datum::Time { ticks: shown(int8(raw)?, scale)?, scale },
        ColumnType::DateTime2(scale) => {
            let (days, ticks) = split(int8(raw)?)?;
            Datum::DateTime2 { days, ticks: shown(ticks, scale)?, scale }
        }
        ColumnType::DateTime => {
            let (days, ticks) = split(int8(raw)?)?;
            Datum::DateTime2 { days, ticks: shown(ticks, 3)?, scale: 3 }
        }
        ColumnType::SmallDateTime => {
            let (days, ticks) = split(int8(raw)?)?;
            Datum::DateTime2 { days, ticks: shown(ticks, 0)?, scale: 0 }
        }
        ColumnType::DateTimeOffset(scale) => {
            let (days, ticks) = split(int8(raw.get(24..32)?)?)?;
            let offset_minutes = i16::try_from(int8(raw.get(36..44)?)?).ok()?;
            Datum::DateTimeOffset { days, ticks: shown(ticks, scale)?, scale, offset_minutes }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(datum: &Datum, column_type: ColumnType) -> Datum {
        let mut out = Vec::new();
        let is_value = encode(datum, column_type, &mut out).unwrap();
        decode(is_value.then_some(out.as_slice()), column_type).unwrap()
    }

    proptest! {
        #[test]
        fn decimals_come_back(digits in any::<u128>(), negative in any::<bool>(), precision in 1_u8..=38, scale in 0_u8..=38) {
            let scale = scale.min(precision);
            let magnitude = digits % 10_u128.pow(u32::from(precision));
            let negative = negative && magnitude != 0;
            let datum = Datum::Decimal { negative, magnitude, precision, scale };
            prop_assert_eq!(round_trip(&datum, ColumnType::Decimal { precision, scale }), datum);
        }

        #[test]
        fn instants_come_back(days in 0_u32..=LAST_DAY, part in 0_u64..86_400_000_000, offset_minutes in -840_i16..=840) {
            let datetime2 = Datum::DateTime2 { days, ticks: part, scale: 6 };
            prop_assert_eq!(round_trip(&datetime2, ColumnType::DateTime2(6)), datetime2);
            let time = Datum::Time { ticks: part, scale: 6 };
            prop_assert_eq!(round_trip(&time, ColumnType::Time(6)), time);
            let days = days.clamp(1, LAST_DAY - 1);
            let offset = Datum::DateTimeOffset { days, ticks: part, scale: 6, offset_minutes };
            prop_assert_eq!(round_trip(&offset, ColumnType::DateTimeOffset(6)), offset);
        }
    }

    #[test]
    fn what_a_type_cannot_hold_has_its_number() {
        let check = |datum: Datum, column_type, number| {
            assert_eq!(encode(&datum, column_type, &mut Vec::new()).unwrap_err().number, number, "{datum:?}");
        };
        check(Datum::Int(256), ColumnType::TinyInt, 8115);
        check(Datum::Int(40_000), ColumnType::SmallInt, 8115);
        check(Datum::Float(f64::NAN), ColumnType::Float, 8023);
        check(Datum::Real(f32::INFINITY), ColumnType::Real, 8023);
        check(Datum::Date(LAST_DAY + 1), ColumnType::Date, 8023);
        check(Datum::DateTime2 { days: 0, ticks: 0, scale: 3 }, ColumnType::DateTime, 8023);
        check(Datum::Text("x".into()), ColumnType::Int, 8114);
        let thousand = Datum::Decimal { negative: false, magnitude: 1000, precision: 4, scale: 0 };
        check(thousand, ColumnType::Decimal { precision: 5, scale: 2 }, 8115);
        let edge = Datum::DateTimeOffset { days: LAST_DAY, ticks: 86_399, scale: 0, offset_minutes: 60 };
        check(edge, ColumnType::DateTimeOffset(0), 8023);
    }

    #[test]
    fn datetime_has_three_hundredths_of_a_second() {
        let given = Datum::DateTime2 { days: 700_000, ticks: 12_345_678, scale: 7 };
        let shown = Datum::DateTime2 { days: 700_000, ticks: 1_233, scale: 3 };
        assert_eq!(round_trip(&given, ColumnType::DateTime), shown);
    }
}
