//! Keys as canonical text into parameters.

use segcdc_model::{Field, MssqlType};
use segcdc_plan::{ColumnPlan, TablePlan, canonical, convert};
use segcdc_tds::{BulkColumn, RowEncoder};

use super::DURING;
use crate::dialect::Dialect;
use crate::encode;
use crate::error::TargetError;

/// Whether the first column of the key is an integer in the target: then [`super::Selection::KeyRange`] can be read.
pub fn has_integer(table: &TablePlan) -> bool {
    let first = table.key_columns().first().and_then(|index| table.columns.get(*index));
    first.is_some_and(|column| {
        matches!(
            column.mssql_type,
            MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt
        )
    })
}

/// The parameters of a list of keys.
///
/// # Errors
/// [`TargetError::Answer`] for a key that is not of the key's types, or has another number of columns.
pub(super) fn encode(
    table: &TablePlan,
    keys: &[Vec<String>],
    dialect: Dialect,
) -> Result<Vec<(BulkColumn, Vec<u8>)>, TargetError> {
    let columns: Vec<&ColumnPlan> =
        table.key_columns().iter().filter_map(|index| table.columns.get(*index)).collect();
    let unfit =
        || TargetError::Answer { during: DURING, detail: format!("a key is not one of {}", table.target) };
    let mut encoded = Vec::with_capacity(keys.len() * columns.len());
    for key in keys {
        if columns.is_empty() || key.len() != columns.len() {
            return Err(unfit());
        }
        for (text, column) in key.iter().zip(&columns) {
            let bulk = encode::bulk_column(&column.name, column.mssql_type, false, dialect);
            let value = encode_one(column, text, &bulk).ok_or_else(unfit)?;
            encoded.push((bulk, value));
        }
    }
    Ok(encoded)
}

fn encode_one(column: &ColumnPlan, canonical: &str, bulk: &BulkColumn) -> Option<Vec<u8>> {
    let text = canonical::source_text(&column.pg_type, canonical);
    let value = convert::decode(&column.pg_type, Field::Text(text.as_bytes())).ok()?;
    let mut encoder = RowEncoder::new(std::slice::from_ref(bulk));
    encoder.begin_row();
    encode::write(&mut encoder, &value).ok()?;
    encoder.end_row().ok()?;
    let range = encoder.value_ranges().next()?;
    encoder.encoded().get(range).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use segcdc_model::{PgType, Value};

    /// Decodes the canonical text of a value as the source's.
    fn round_trip(pg_type: &PgType, value: Value<'_>) {
        let mut text = String::new();
        canonical::write_text(&value, &mut text);
        let source = canonical::source_text(pg_type, &text);
        let decoded = convert::decode(pg_type, Field::Text(source.as_bytes()));
        let mut again = String::new();
        canonical::write_text(&decoded.unwrap(), &mut again);
        assert_eq!(text, again, "{source}");
    }

    #[test]
    fn whole_seconds_keep_their_zeros() {
        round_trip(&PgType::Time, Value::Time(0));
        round_trip(&PgType::Time, Value::Time(36_000_000_000));
        round_trip(&PgType::Timestamp, Value::Timestamp(0));
        round_trip(&PgType::TimestampTz, Value::TimestampTz(600_000_000));
    }

    proptest! {
        #[test]
        fn every_key_type_round_trips(
            flag in any::<bool>(), int in any::<i64>(), float in -1e300f64..1e300, real in any::<f32>(),
            magnitude in 0u128..10u128.pow(38), scale in 0u8..=38, uuid in any::<[u8; 16]>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..20), text in "\\PC{0,20}",
            days in -730_119i32..2_921_939, time in 0i64..86_400_000_000, instant in -63_082_281_600_000_000i64..252_455_616_000_000_000,
        ) {
            round_trip(&PgType::Bool, Value::Bool(flag));
            round_trip(&PgType::Int8, Value::Int(int));
            round_trip(&PgType::Float8, Value::Float8(float));
            if real.is_finite() {
                round_trip(&PgType::Float4, Value::Float4(real));
            }
            round_trip(&PgType::Numeric { bounds: None }, Value::Decimal { negative: flag, magnitude, scale });
            round_trip(&PgType::Uuid, Value::Uuid(uuid));
            round_trip(&PgType::Bytea, Value::Bytes(&bytes));
            round_trip(&PgType::Text, Value::Text(&text));
            round_trip(&PgType::Date, Value::Date(days));
            round_trip(&PgType::Time, Value::Time(time));
            round_trip(&PgType::Timestamp, Value::Timestamp(instant));
            round_trip(&PgType::TimestampTz, Value::TimestampTz(instant));
        }
    }
}
