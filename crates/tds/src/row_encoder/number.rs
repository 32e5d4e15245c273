//! Numbers: ranges are checked, decimals rescaled exactly, nothing is rounded.

use super::{ColumnType, DECIMAL_LEN, EncodeError, RowEncoder};

/// 10^38 is the largest power of ten in a `u128`.
const MAX_POWER: u8 = 38;

impl RowEncoder {
    /// `tinyint` to `bigint`, checked against the column's range; also decimal and money columns.
    pub fn int(&mut self, value: i64) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        let out_of_range = EncodeError::OutOfRange { column: index };
        match column.column_type {
            ColumnType::BigInt => {
                let mut bytes = [8; 9];
                bytes[1..].copy_from_slice(&value.to_le_bytes());
                self.put(bytes)
            }
            ColumnType::Int => {
                let [a, b, c, d] = i32::try_from(value).map_err(|_| out_of_range)?.to_le_bytes();
                self.put([4, a, b, c, d])
            }
            ColumnType::SmallInt => {
                let [a, b] = i16::try_from(value).map_err(|_| out_of_range)?.to_le_bytes();
                self.put([2, a, b])
            }
            ColumnType::TinyInt => self.put([1, u8::try_from(value).map_err(|_| out_of_range)?]),
            ColumnType::Decimal { .. } | ColumnType::Money | ColumnType::SmallMoney => {
                self.decimal(value < 0, u128::from(value.unsigned_abs()), 0)
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `real`, and `float` (which holds every `real`); finite only.
    pub fn real(&mut self, value: f32) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::Real if value.is_finite() => {
                let [a, b, c, d] = value.to_le_bytes();
                self.put([4, a, b, c, d])
            }
            ColumnType::Real => Err(EncodeError::NotFinite { column: index }),
            _ => self.float(f64::from(value)),
        }
    }

    /// `float`; finite only.
    pub fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::Float if value.is_finite() => {
                let mut bytes = [8; 9];
                bytes[1..].copy_from_slice(&value.to_le_bytes());
                self.put(bytes)
            }
            ColumnType::Float => Err(EncodeError::NotFinite { column: index }),
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// `decimal`, `money`: `magnitude` * 10^-`scale`, rescaled exactly to the column's scale, or refused.
    pub fn decimal(&mut self, negative: bool, magnitude: u128, scale: u8) -> Result<(), EncodeError> {
        let (column, index) = self.column()?;
        match column.column_type {
            ColumnType::Decimal { precision, scale: kept } => {
                let magnitude = rescale(magnitude, scale, kept, index)?;
                if magnitude >= 10u128.pow(u32::from(precision.min(MAX_POWER))) {
                    return Err(EncodeError::OutOfRange { column: index });
                }
                let mut bytes = [DECIMAL_LEN; 18];
                bytes[1] = u8::from(!negative || magnitude == 0);
                bytes[2..].copy_from_slice(&magnitude.to_le_bytes());
                self.put(bytes)
            }
            ColumnType::Money | ColumnType::SmallMoney => {
                let magnitude = rescale(magnitude, scale, 4, index)?;
                self.money(negative, magnitude, index)
            }
            _ => Err(EncodeError::WrongKind { column: index }),
        }
    }

    /// Ten-thousandths: 4 bytes, or 8 with the upper half first.
    fn money(&mut self, negative: bool, magnitude: u128, index: usize) -> Result<(), EncodeError> {
        let out_of_range = EncodeError::OutOfRange { column: index };
        let magnitude = i128::try_from(magnitude).map_err(|_| out_of_range)?;
        let amount =
            i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| out_of_range)?;
        if self.column()?.0.column_type == ColumnType::SmallMoney {
            let [a, b, c, d] = i32::try_from(amount).map_err(|_| out_of_range)?.to_le_bytes();
            return self.put([4, a, b, c, d]);
        }
        let [a, b, c, d, e, f, g, h] = amount.to_le_bytes();
        self.put([8, e, f, g, h, a, b, c, d])
    }
}

/// The digits at another scale, exactly.
fn rescale(magnitude: u128, from: u8, to: u8, index: usize) -> Result<u128, EncodeError> {
    if magnitude == 0 || from == to {
        return Ok(magnitude);
    }
    let power = from.abs_diff(to);
    if power > MAX_POWER {
        return Err(if from > to {
            EncodeError::Inexact { column: index }
        } else {
            EncodeError::OutOfRange { column: index }
        });
    }
    let factor = 10u128.pow(u32::from(power));
    if from < to {
        return magnitude.checked_mul(factor).ok_or(EncodeError::OutOfRange { column: index });
    }
    if magnitude.is_multiple_of(factor) {
        Ok(magnitude / factor)
    } else {
        Err(EncodeError::Inexact { column: index })
    }
}
