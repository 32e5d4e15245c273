//! Literals as PostgreSQL's text, where parameters cannot be.

use segcdc_tds::{ColumnType, Datum};

use crate::sql::physical;

/// A text literal of PostgreSQL.
pub(crate) fn quote(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A literal with its type.
pub(crate) fn literal(datum: &Datum, column_type: ColumnType) -> String {
    let value_type = physical::value_sql(column_type);
    let plain = match datum {
        Datum::Null => "NULL".to_owned(),
        Datum::Bit(value) => i32::from(*value).to_string(),
        Datum::Int(value) => format!("'{value}'"),
        Datum::Real(value) => format!("'{value}'"),
        Datum::Float(value) => format!("'{value}'"),
        Datum::Decimal { negative, magnitude, scale, .. } => {
            format!("'{}'", decimal_text(*negative, *magnitude, *scale))
        }
        Datum::Text(text) => quote(text),
        Datum::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'\\x{digits}'")
        }
        // No literal of T-SQL has these types.
        Datum::Date(_)
        | Datum::Time { .. }
        | Datum::DateTime2 { .. }
        | Datum::DateTimeOffset { .. }
        | Datum::Uuid(_)
        | Datum::Long { .. } => "NULL".to_owned(),
    };
    format!("{plain}::{value_type}")
}

/// Digits with a point.
pub(crate) fn decimal_text(negative: bool, magnitude: u128, scale: u8) -> String {
    let sign = if negative { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{magnitude:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_doubled() {
        assert_eq!(quote("it's"), "'it''s'");
        assert_eq!(quote("a\\'b"), " E'a\\\\''b'");
    }

    #[test]
    fn decimals_have_their_point() {
        assert_eq!(decimal_text(true, 5, 3), "-0.005");
        assert_eq!(decimal_text(false, 12345, 2), "123.45");
        assert_eq!(decimal_text(false, 7, 0), "7");
    }
}
