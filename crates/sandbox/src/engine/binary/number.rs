//! Numbers in PostgreSQL's binary format.

use segcdc_tds::{ColumnType, Datum};

use super::{invalid_value, overflow, wrong_kind};
use crate::answer::SqlError;
use crate::sql::physical;

/// Base of a digit of numeric.
const BASE: u128 = 10_000;
/// Sign of numeric below zero.
const NEGATIVE: u16 = 0x4000;

/// The whole number that a value is, cut towards zero.
fn whole(datum: &Datum, column_type: ColumnType) -> Result<i128, SqlError> {
    Ok(match datum {
        Datum::Int(value) => i128::from(*value),
        Datum::Bit(value) => i128::from(*value),
        Datum::Decimal { negative, magnitude, scale, .. } => {
            let magnitude = magnitude / power(u32::from(*scale));
            let magnitude = i128::try_from(magnitude).map_err(|_| overflow(column_type))?;
            if *negative { -magnitude } else { magnitude }
        }
        _ => return Err(wrong_kind(column_type)),
    })
}

/// 10^exponent, at most 10^38.
fn power(exponent: u32) -> u128 {
    10_u128.checked_pow(exponent).unwrap_or(u128::MAX)
}

pub(super) fn encode_integer(
    datum: &Datum,
    column_type: ColumnType,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    let value = whole(datum, column_type)?;
    let overflow = |_| overflow(column_type);
    match column_type {
        ColumnType::Bit => out.extend_from_slice(&i16::from(value != 0).to_be_bytes()),
        ColumnType::TinyInt => {
            let value = u8::try_from(value).map_err(overflow)?;
            out.extend_from_slice(&i16::from(value).to_be_bytes());
        }
        ColumnType::SmallInt => out.extend_from_slice(&i16::try_from(value).map_err(overflow)?.to_be_bytes()),
        ColumnType::Int => out.extend_from_slice(&i32::try_from(value).map_err(overflow)?.to_be_bytes()),
        _ => out.extend_from_slice(&i64::try_from(value).map_err(overflow)?.to_be_bytes()),
    }
    Ok(())
}

pub(super) fn encode_float(
    datum: &Datum,
    column_type: ColumnType,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    let value = match datum {
        Datum::Float(value) => *value,
        Datum::Real(value) => f64::from(*value),
        #[expect(clippy::cast_precision_loss, reason = "as SQL Server converts bigint to float")]
        Datum::Int(value) => *value as f64,
        Datum::Decimal { negative, magnitude, scale, .. } => {
            let text = crate::sql::translate::decimal_text(*negative, *magnitude, *scale);
            text.parse().map_err(|_| wrong_kind(column_type))?
        }
        _ => return Err(wrong_kind(column_type)),
    };
    if !value.is_finite() {
        return Err(invalid_value(column_type));
    }
    if column_type == ColumnType::Float {
        out.extend_from_slice(&value.to_be_bytes());
        return Ok(());
    }
    #[expect(clippy::cast_possible_truncation, reason = "real keeps 24 bits, as SQL Server does")]
    let value = value as f32;
    if !value.is_finite() {
        return Err(overflow(column_type));
    }
    out.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

/// `ndigits weight sign dscale digit..`, a digit being four decimal ones.
pub(super) fn encode_decimal(
    datum: &Datum,
    column_type: ColumnType,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    let (precision, scale) = physical::digits(column_type).unwrap_or((38, 0));
    let (negative, magnitude) = match datum {
        Datum::Decimal { negative, magnitude, scale: from, .. } => {
            (*negative, rescale(*magnitude, *from, scale).ok_or_else(|| overflow(column_type))?)
        }
        Datum::Int(value) => {
            let magnitude = u128::from(value.unsigned_abs()).checked_mul(power(u32::from(scale)));
            (*value < 0, magnitude.ok_or_else(|| overflow(column_type))?)
        }
        _ => return Err(wrong_kind(column_type)),
    };
    if magnitude >= power(u32::from(precision)) {
        return Err(overflow(column_type));
    }
    let unit = power(u32::from(scale));
    let (mut rest, mut fraction) = (magnitude / unit, magnitude % unit);
    let mut digits: Vec<u128> = Vec::with_capacity(12);
    while rest > 0 {
        digits.push(rest % BASE);
        rest /= BASE;
    }
    digits.reverse();
    let mut weight = i16::try_from(digits.len()).unwrap_or_default() - 1;
    let mut left = u32::from(scale);
    while left > 0 {
        if left >= 4 {
            left -= 4;
            digits.push(fraction / power(left));
            fraction %= power(left);
        } else {
            digits.push(fraction * power(4 - left));
            left = 0;
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    weight -= i16::try_from(leading).unwrap_or_default();
    let digits = digits.get(leading..).unwrap_or_default();
    let count = i16::try_from(digits.len()).unwrap_or_default();
    let weight = if count == 0 { 0 } else { weight };
    let sign = if negative && count > 0 { NEGATIVE } else { 0 };
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::from(scale).to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&u16::try_from(*digit).unwrap_or_default().to_be_bytes());
    }
    Ok(())
}

/// Digits for another scale, rounded half away from zero.
fn rescale(magnitude: u128, from: u8, to: u8) -> Option<u128> {
    if to >= from {
        return magnitude.checked_mul(power(u32::from(to - from)));
    }
    let divisor = power(u32::from(from - to));
    Some(magnitude / divisor + u128::from(magnitude % divisor >= divisor / 2))
}

pub(super) fn decode_integer(raw: &[u8]) -> Option<i64> {
    match raw.len() {
        2 => Some(i64::from(i16::from_be_bytes(raw.try_into().ok()?))),
        4 => Some(i64::from(i32::from_be_bytes(raw.try_into().ok()?))),
        _ => Some(i64::from_be_bytes(raw.try_into().ok()?)),
    }
}

pub(super) fn decode_decimal(raw: &[u8], column_type: ColumnType) -> Option<Datum> {
    let (precision, scale) = physical::digits(column_type)?;
    let word = |index: usize| Some(u16::from_be_bytes(raw.get(index * 2..index * 2 + 2)?.try_into().ok()?));
    let count = usize::from(word(0)?);
    let weight = i32::from(i16::from_be_bytes(word(1)?.to_be_bytes()));
    let sign = word(2)?;
    if sign > NEGATIVE {
        return None;
    }
    // Power of ten of the first decimal digit of the first group.
    let mut exponent = weight * 4 + 3;
    let lowest = -i32::from(scale);
    let mut magnitude = 0_u128;
    for index in 0..count {
        let group = u128::from(word(4 + index)?);
        for divisor in [1000, 100, 10, 1] {
            if exponent >= lowest {
                magnitude = magnitude.checked_mul(10)?.checked_add(group / divisor % 10)?;
            }
            exponent -= 1;
        }
    }
    if exponent >= lowest {
        let missing = u32::try_from(exponent - lowest + 1).ok()?;
        magnitude = if magnitude == 0 { 0 } else { magnitude.checked_mul(10_u128.checked_pow(missing)?)? };
    }
    Some(Datum::Decimal { negative: sign == NEGATIVE, magnitude, precision, scale })
}
