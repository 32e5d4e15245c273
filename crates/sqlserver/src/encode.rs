//! Values of the source into the rows of a bulk load, checked against what the target's types can hold.
//!
//! Nothing is ever rounded, cut or clamped: a value either arrives exactly or is refused with a code. Rows are encoded
//! and checked before one byte of a load is sent, so that a refused value never leaves a half-written stream.

use std::sync::Arc;

use segcdc_model::{Length, MssqlType, Value};
use segcdc_plan::json_document::DocumentTrouble;
use segcdc_plan::{ValueError, json_array, json_document};
use segcdc_tds::{BulkColumn, Collation, ColumnType, Len, RowEncoder};

use crate::dialect::{self, Dialect, TimeForm};
use crate::error::RefusedValue;
use crate::large::LargeParts;

/// Days from 0001-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 730_119;
/// Days from 0001-01-01 to 9999-12-31.
const LAST_DAY: i64 = 3_652_058;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Digits of a second's fraction that PostgreSQL has.
const MICROSECONDS: u8 = 6;
/// The client's type for a target type.
pub fn column_type(mssql_type: MssqlType, time: TimeForm) -> ColumnType {
    let len = |length| match length {
        Length::Limited(units) => Len::Limited(units),
        Length::Max => Len::Max,
    };
    match mssql_type {
        MssqlType::Bit => ColumnType::Bit,
        MssqlType::TinyInt => ColumnType::TinyInt,
        MssqlType::SmallInt => ColumnType::SmallInt,
        MssqlType::Int => ColumnType::Int,
        MssqlType::BigInt => ColumnType::BigInt,
        MssqlType::Real => ColumnType::Real,
        MssqlType::Float => ColumnType::Float,
        MssqlType::Decimal { precision, scale } => ColumnType::Decimal { precision, scale },
        MssqlType::NVarChar { length, .. } => ColumnType::NVarChar(len(length)),
        MssqlType::VarChar { length: Length::Limited(bytes) } => ColumnType::VarChar(Len::Limited(bytes)),
        MssqlType::VarBinary { length } => ColumnType::VarBinary(len(length)),
        MssqlType::Date => ColumnType::Date,
        MssqlType::Time { scale } => dialect::time_type(time, scale),
        MssqlType::DateTime2 { scale } => ColumnType::DateTime2(scale),
        MssqlType::DateTimeOffset { scale } => ColumnType::DateTimeOffset(scale),
        MssqlType::UniqueIdentifier => ColumnType::UniqueIdentifier,
        // As they are staged: no load names a column of json itself, and long text travels in one form.
        MssqlType::Json | MssqlType::VarChar { length: Length::Max } => ColumnType::NVarChar(Len::Max),
    }
}

/// A column of a bulk load into a table of ours.
pub fn bulk_column(name: &str, mssql_type: MssqlType, nullable: bool, dialect: Dialect) -> BulkColumn {
    let collation = match mssql_type {
        MssqlType::NVarChar { binary_collation: true, .. } => Collation::LATIN1_GENERAL_100_BIN2,
        MssqlType::VarChar { length: Length::Limited(_) } => Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8,
        _ => dialect.collation,
    };
    BulkColumn {
        name: name.to_owned(),
        column_type: column_type(mssql_type, dialect.time),
        nullable,
        collation,
    }
}

/// Writes one value as the current column of the current row.
///
/// # Errors
/// When the column cannot hold the value exactly. The row must then be cancelled.
#[inline]
pub fn write(encoder: &mut RowEncoder, value: &Value<'_>) -> Result<(), RefusedValue> {
    match *value {
        Value::Null => encoder.null()?,
        Value::Bool(value) => encoder.bit(value)?,
        Value::Int(value) => encoder.int(value)?,
        Value::Float4(value) => encoder.real(value)?,
        Value::Float8(value) => encoder.float(value)?,
        Value::Decimal { negative, magnitude, scale } => encoder.decimal(negative, magnitude, scale)?,
        Value::NumericOutOfRange => {
            return Err(RefusedValue::Unrepresentable("NaN, infinity or a number of more than 38 digits"));
        }
        Value::Text(text) => encoder.text(text)?,
        Value::Array { text, element } => {
            let mut json = String::with_capacity(text.len() + 16);
            json_array::write(text, element, &mut json).map_err(|_| {
                RefusedValue::Unrepresentable(
                    "an array with a lower bound that is not 1, or with NaN or infinity,",
                )
            })?;
            encoder.text(&json)?;
        }
        Value::Document { text, array } => {
            let mut document = String::with_capacity(text.len());
            json_document::write_printed(text, array, &mut document).map_err(|trouble| match trouble {
                DocumentTrouble::TooLong => RefusedValue::Unreadable(ValueError::JsonTooLong),
                other => RefusedValue::Unrepresentable(other.describe()),
            })?;
            encoder.text(&document)?;
        }
        Value::Bytes(bytes) => encoder.bytes(bytes)?,
        Value::HexBytes(digits) => encoder.hex_bytes(digits)?,
        Value::Uuid(bytes) => encoder.uuid(bytes)?,
        Value::Date(days) => encoder.date(target_day(i64::from(days))?)?,
        Value::Time(time_us) => match u64::try_from(time_us) {
            Ok(time_us) if time_us < DAY_US.unsigned_abs() => {
                // Nothing else is sent as time(7): the type stands for the other form of sending.
                if encoder.next_type() == Some(dialect::time_type(TimeForm::MidMicrosecond, MICROSECONDS)) {
                    encoder.time_and_half(time_us)?;
                } else {
                    encoder.time(time_us)?;
                }
            }
            _ => return Err(RefusedValue::Unrepresentable("24:00:00")),
        },
        Value::Timestamp(timestamp_us) => {
            let (days, time_us) = split(timestamp_us)?;
            encoder.datetime2(days, time_us)?;
        }
        Value::TimestampTz(instant_us) => {
            let (days, time_us) = split(instant_us)?;
            encoder.datetimeoffset(days, time_us)?;
        }
        Value::Large(large) => encoder.long_value(Arc::new(LargeParts::new(large)))?,
    }
    Ok(())
}

/// Days since 0001-01-01 of days since 2000-01-01.
fn target_day(days_since_2000: i64) -> Result<u32, RefusedValue> {
    let days = days_since_2000 + DAYS_TO_2000;
    match u32::try_from(days) {
        Ok(day) if days <= LAST_DAY => Ok(day),
        _ => Err(RefusedValue::Unrepresentable("infinity, or a date outside of the years 1 to 9999,")),
    }
}

/// Day and microsecond of a PostgreSQL timestamp. The infinities fall outside of the years by themselves.
fn split(timestamp_us: i64) -> Result<(u32, u64), RefusedValue> {
    let day = target_day(timestamp_us.div_euclid(DAY_US))?;
    Ok((day, timestamp_us.rem_euclid(DAY_US).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use segcdc_model::{Field, PgType};
    use segcdc_plan::{ColumnPlan, Fitted, ValuePolicy, fit};

    /// Whether a policy and the encoder are of one mind on a field.
    fn agree(pg_type: PgType, mssql_type: MssqlType, field: Field<'_>) -> Result<(), TestCaseError> {
        let column = |policy| ColumnPlan {
            source_index: 0,
            source_name: "c".to_owned(),
            name: "c".to_owned(),
            pg_type: pg_type.clone(),
            mssql_type,
            nullable: true,
            policy,
            as_text: false,
            array: None,
            mask: None,
            constant: None,
            most_large_bytes: None,
        };
        let Ok(Fitted::Exact(value)) = fit(&column(ValuePolicy::Halt), field) else {
            return Err(TestCaseError::fail("a value of the type is decoded"));
        };
        let encoded = encode(mssql_type, value);
        match fit(&column(ValuePolicy::SetAside), field) {
            Ok(Fitted::Exact(_)) => prop_assert_eq!(encoded, Ok(()), "{:?}", value),
            Ok(Fitted::Aside(misfit)) => {
                let code = encoded.map_err(|refused| refused.code());
                // The key's code is given by whoever knows the key.
                let wanted = if misfit.code() == "KEY_TOO_LONG" { "VALUE_TOO_LONG" } else { misfit.code() };
                prop_assert_eq!(code, Err(wanted), "{:?}", value);
            }
            other => prop_assert!(false, "{:?}", other),
        }
        for policy in [ValuePolicy::Null, ValuePolicy::Clamp] {
            if let Ok(Fitted::Replaced(value)) = fit(&column(policy), field) {
                prop_assert_eq!(encode(mssql_type, value), Ok(()), "{:?} replaces", value);
            }
        }
        Ok(())
    }

    proptest! {
        /// What a policy leaves alone is taken, what it does not is refused for its reason, and what it puts in place is taken.
        #[test]
        fn policies_and_the_encoder_agree_on_what_fits(
            number in "-?(0|[1-9][0-9]{0,45})(\\.[0-9]{1,25})?|NaN|-?Infinity",
            (precision, scale) in (1_u8..=38).prop_flat_map(|precision| (Just(precision), 0..=precision)),
            us: i64,
            days: i32,
            time_us in 86_399_999_900_i64..=86_400_000_000,
            float: f64,
            real: f32,
            text in "[^\\x00]{0,12}",
            units in 1_u16..12,
            json in "[\\[{]?[\\[\\]{}\",:0-9e.\\-]{0,12}|\\[(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?(e-?[0-9]{1,3})?\\]",
        ) {
            let numeric = PgType::Numeric { bounds: None };
            agree(numeric, MssqlType::Decimal { precision, scale }, Field::Text(number.as_bytes()))?;
            agree(PgType::Timestamp, MssqlType::DATETIME2, Field::Binary(&us.to_be_bytes()))?;
            agree(PgType::TimestampTz, MssqlType::DATETIMEOFFSET, Field::Binary(&us.to_be_bytes()))?;
            agree(PgType::Date, MssqlType::Date, Field::Binary(&days.to_be_bytes()))?;
            agree(PgType::Date, MssqlType::Date, Field::Binary(&(days % 4_000_000).to_be_bytes()))?;
            agree(PgType::Time, MssqlType::Time { scale: scale % 8 }, Field::Binary(&time_us.to_be_bytes()))?;
            agree(PgType::Float8, MssqlType::Float, Field::Binary(&float.to_be_bytes()))?;
            agree(PgType::Float4, MssqlType::Real, Field::Binary(&real.to_be_bytes()))?;
            // Types that a user asks for.
            for kind in [MssqlType::TinyInt, MssqlType::SmallInt, MssqlType::Int, MssqlType::BigInt] {
                agree(PgType::Numeric { bounds: None }, kind, Field::Text(number.as_bytes()))?;
                agree(PgType::Int8, kind, Field::Binary(&us.to_be_bytes()))?;
                agree(PgType::Int8, kind, Field::Binary(&i64::from(days).to_be_bytes()))?;
            }
            agree(PgType::Int8, MssqlType::Decimal { precision, scale }, Field::Binary(&us.to_be_bytes()))?;
            agree(PgType::Float4, MssqlType::Float, Field::Binary(&real.to_be_bytes()))?;
            let (datetime2, offset) =
                (MssqlType::DateTime2 { scale: scale % 8 }, MssqlType::DateTimeOffset { scale: scale % 8 });
            for us in [us, us % 63_000_000_000_000_000, us / 1_000_000 % 63_000_000_000 * 1_000_000] {
                agree(PgType::Timestamp, datetime2, Field::Binary(&us.to_be_bytes()))?;
                agree(PgType::TimestampTz, datetime2, Field::Binary(&us.to_be_bytes()))?;
                agree(PgType::TimestampTz, offset, Field::Binary(&us.to_be_bytes()))?;
            }
            agree(PgType::Date, datetime2, Field::Binary(&days.to_be_bytes()))?;
            agree(PgType::Date, datetime2, Field::Binary(&(days % 4_000_000).to_be_bytes()))?;
            agree(PgType::Text, MssqlType::VarChar { length: Length::Limited(units) }, Field::Text(text.as_bytes()))?;
            agree(PgType::Json, MssqlType::Json, Field::Text(json.as_bytes()))?;
            for length in [Length::Limited(units), Length::Max] {
                let nvarchar = MssqlType::NVarChar { length, binary_collation: true };
                agree(PgType::Text, nvarchar, Field::Text(text.as_bytes()))?;
                agree(PgType::Bytea, MssqlType::VarBinary { length }, Field::Binary(text.as_bytes()))?;
            }
        }
    }

    fn encode(mssql_type: MssqlType, value: Value<'_>) -> Result<(), RefusedValue> {
        let column = bulk_column("c", mssql_type, true, Dialect::new(Collation::LATIN1_GENERAL_100_BIN2));
        let mut encoder = RowEncoder::new(&[column]);
        encoder.begin_row();
        write(&mut encoder, &value)
    }

    #[test]
    fn edges_of_the_calendar_fit_and_what_is_beyond_is_refused() {
        let first = -DAYS_TO_2000 * DAY_US;
        let last = (LAST_DAY - DAYS_TO_2000) * DAY_US + DAY_US - 1;
        for mssql_type in [MssqlType::DATETIME2, MssqlType::DATETIMEOFFSET] {
            let of = |us| {
                if mssql_type == MssqlType::DATETIME2 { Value::Timestamp(us) } else { Value::TimestampTz(us) }
            };
            assert_eq!(encode(mssql_type, of(first)), Ok(()));
            assert_eq!(encode(mssql_type, of(last)), Ok(()));
            for beyond in [first - 1, last + 1, i64::MIN, i64::MAX] {
                assert_eq!(encode(mssql_type, of(beyond)).unwrap_err().code(), "VALUE_UNREPRESENTABLE");
            }
        }
        assert!(encode(MssqlType::Date, Value::Date(i32::MAX)).is_err());
        assert!(encode(MssqlType::Date, Value::Date(i32::MIN)).is_err());
        assert!(encode(MssqlType::TIME, Value::Time(DAY_US)).is_err());
        assert_eq!(encode(MssqlType::TIME, Value::Time(DAY_US - 1)), Ok(()));
    }

    #[test]
    fn numbers_that_would_be_rounded_are_refused() {
        let money = MssqlType::Decimal { precision: 10, scale: 2 };
        let value = |magnitude, scale| Value::Decimal { negative: false, magnitude, scale };
        assert_eq!(encode(money, value(15, 1)), Ok(()));
        assert_eq!(encode(money, value(1_5000, 4)), Ok(()));
        assert_eq!(encode(money, value(1_5001, 4)).unwrap_err().code(), "VALUE_UNREPRESENTABLE");
        assert!(encode(money, value(10_u128.pow(10), 2)).is_err());
        assert!(encode(MssqlType::Float, Value::Float8(f64::NAN)).is_err());
        assert!(encode(MssqlType::Real, Value::Float4(f32::INFINITY)).is_err());
    }

    #[test]
    fn text_is_measured_in_utf16_units() {
        let column = MssqlType::NVarChar { length: Length::Limited(2), binary_collation: false };
        assert_eq!(encode(column, Value::Text("🦀")), Ok(()));
        assert_eq!(
            encode(column, Value::Text("🦀a")).unwrap_err(),
            RefusedValue::TooLong { length: 3, limit: 2 }
        );
    }
}
