//! How wide a row is at least: what a table of many columns of fixed size may be refused for (error 1701). Pure.

use segcdc_model::{Finding, MssqlType, Side};
use segcdc_plan::TablePlan;
use segcdc_plan::rules::DELETED_AT_TYPE;

/// Bytes that a row may take in its page, values of variable length apart, which can be moved out of it (T-SQL manual,
/// "Maximum capacity specifications").
const ROW_BYTES: usize = 8_060;

/// Says when a row cannot fit its page; `None` when it can.
pub(super) fn check(table: &TablePlan) -> Option<Finding> {
    let key = table.key_columns().iter().filter_map(|index| table.columns.get(*index));
    let columns = table.columns.iter().chain(key).map(|column| column.mssql_type);
    let columns = columns.chain(table.marker().map(|_| DELETED_AT_TYPE));
    let bytes = row_bytes(columns);
    (bytes > ROW_BYTES).then(|| {
        let detail = format!("a row of {} takes at least {bytes} bytes with its staged key", table.target);
        Finding::failure("ms.row_width", Side::Target, "TARGET_ROW_TOO_WIDE", detail)
            .hint(format!("SQL Server takes {ROW_BYTES}: leave the table out, or split it at the source"))
    })
}

/// Bytes of a row of a staging table: header, `[op]` and `[grp]`, values of fixed size, bits of NULL, and where each value
/// of variable length ends.
fn row_bytes(columns: impl Iterator<Item = MssqlType>) -> usize {
    let (mut fixed, mut variable, mut bits, mut count) = (0, 0, 0, 2);
    for mssql_type in columns {
        count += 1;
        match mssql_type {
            MssqlType::Bit => bits += 1,
            MssqlType::TinyInt => fixed += 1,
            MssqlType::SmallInt => fixed += 2,
            MssqlType::Date => fixed += 3,
            MssqlType::Int | MssqlType::Real => fixed += 4,
            MssqlType::Time { scale } => fixed += time_bytes(scale),
            MssqlType::BigInt | MssqlType::Float => fixed += 8,
            MssqlType::DateTime2 { scale } => fixed += 3 + time_bytes(scale),
            MssqlType::DateTimeOffset { scale } => fixed += 5 + time_bytes(scale),
            MssqlType::UniqueIdentifier => fixed += 16,
            MssqlType::Decimal { precision, .. } => {
                fixed += match precision {
                    0..=9 => 5,
                    10..=19 => 9,
                    20..=28 => 13,
                    _ => 17,
                };
            }
            MssqlType::NVarChar { .. }
            | MssqlType::VarChar { .. }
            | MssqlType::VarBinary { .. }
            | MssqlType::Json => variable += 1,
        }
    }
    let bits = usize::div_ceil(bits, 8);
    let ends = if variable > 0 { 2 + 2 * variable } else { 0 };
    4 + 1 + 4 + fixed + bits + 2 + usize::div_ceil(count, 8) + ends
}

/// Bytes of a time of day with so many digits of a second's fraction.
fn time_bytes(scale: u8) -> usize {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use segcdc_model::PgType;

    fn found(count: usize, pg_type: &PgType) -> Option<Finding> {
        let names: Vec<String> = (0..count).map(|index| format!("c{index}")).collect();
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), pg_type.clone(), false)).collect();
        check(&fixture::table(1, "wide", 0, &columns))
    }

    #[test]
    fn rows_of_many_large_columns_do_not_fit() {
        let numeric = PgType::Numeric { bounds: Some((38, 0)) };
        assert!(found(465, &numeric).is_none());
        assert_eq!(found(480, &numeric).unwrap().code, "TARGET_ROW_TOO_WIDE");
        assert!(found(1_000, &PgType::Text).is_none());
        assert!(found(900, &PgType::Int8).is_none());
    }
}
