//! The text that PostgreSQL prints under the pinned settings, whichever form a field was sent in.
//!
//! For what is shown and kept of rows that do not reach their table, values that the target has no place for among them:
//! nothing is ever parsed from it again.

use std::borrow::Cow;

use segcdc_model::{Field, PgType, Value};

use crate::canonical;
use crate::convert;

/// Bytes of a field up to which its value is spelled out.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// What can be said of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spelling<'a> {
    /// NULL.
    Null,
    /// It was not sent.
    Unknown,
    /// PostgreSQL's text.
    Text(Cow<'a, str>),
    /// Bytes that are no text, of a database whose encoding is SQL_ASCII, or of another type than the column's.
    Bytes(&'a [u8]),
    /// Too long to be spelled out; its bytes.
    Long(u64),
}

/// Spells a field, unless it is long.
pub(crate) fn spell<'a>(pg_type: &PgType, field: Field<'a>) -> Spelling<'a> {
    match field {
        Field::Text(bytes) | Field::Binary(bytes) if bytes.len() > MAX_BYTES => {
            Spelling::Long(bytes.len() as u64)
        }
        field => spell_whole(pg_type, field),
    }
}

/// Spells a field that is in memory, however long it is.
pub(crate) fn spell_whole<'a>(pg_type: &PgType, field: Field<'a>) -> Spelling<'a> {
    match field {
        Field::Null => Spelling::Null,
        Field::UnchangedToast => Spelling::Unknown,
        Field::Large(value) => Spelling::Long(value.facts().length),
        Field::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Spelling::Text(Cow::Borrowed(text)),
            Err(_) => Spelling::Bytes(bytes),
        },
        Field::Binary(bytes) => match binary(pg_type, field, bytes) {
            Some(text) => Spelling::Text(text),
            None => Spelling::Bytes(bytes),
        },
    }
}

/// The text of a binary field; `None` when it is not of the type.
fn binary<'a>(pg_type: &PgType, field: Field<'a>, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    if let PgType::Numeric { .. } = pg_type {
        return convert::numeric_text(bytes).map(Cow::Owned);
    }
    let value = convert::decode(pg_type, field).ok()?;
    Some(match value {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Float4(value) => Cow::Owned(float(value.into(), &format!("{value:e}"), 6)),
        Value::Float8(value) => Cow::Owned(float(value, &format!("{value:e}"), 15)),
        value => {
            let mut text = String::new();
            canonical::write_text(&value, &mut text);
            let text = canonical::source_text(pg_type, &text).into_owned();
            Cow::Owned(match value {
                Value::Date(_) | Value::Timestamp(_) | Value::TimestampTz(_) => with_era(&text),
                _ => text,
            })
        }
    })
}

/// As PostgreSQL prints floats: in full while the exponent is at least -4 and below `digits`
/// (`src/common/d2s.c` and `f2s.c`).
fn float(value: f64, scientific: &str, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let Ok(exponent) = usize::try_from(exponent) else {
        let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
        return format!("{sign}0.{}{digits}", "0".repeat(zeros));
    };
    match digits.split_at_checked(exponent + 1) {
        None | Some((_, "")) => format!("{sign}{digits:0<width$}", width = exponent + 1),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
    }
}

/// A date or timestamp with an astronomical year, as PostgreSQL writes it: 0000 is 1 BC, -0001 is 2 BC.
fn with_era(text: &str) -> String {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) if !rest.starts_with("infinity") => (true, rest),
        _ => (false, text),
    };
    let Some((year, rest)) = rest.split_once('-') else { return text.to_owned() };
    match year.parse::<i64>() {
        Ok(year) if negative || year == 0 => format!("{:04}-{rest} BC", if negative { year + 1 } else { 1 }),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_are_spelled_as_postgresql_prints_them() {
        let check = |pg_type: PgType, bytes: &[u8], expected: &str| {
            let found = spell(&pg_type, Field::Binary(bytes));
            assert_eq!(found, Spelling::Text(Cow::Borrowed(expected)), "{pg_type:?}");
        };
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (-123_456.75, "-123456.75"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.25e300, "1.25e+300"),
            (0.0001, "0.0001"),
            (0.000_123, "0.000123"),
            (1e-5, "1e-05"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            check(PgType::Float8, &f64::to_be_bytes(value), text);
        }
        check(PgType::Float4, &1e6_f32.to_be_bytes(), "1e+06");
        check(PgType::Float4, &100_000_f32.to_be_bytes(), "100000");
        check(PgType::Date, &i32::MAX.to_be_bytes(), "infinity");
        check(PgType::Date, &i32::MIN.to_be_bytes(), "-infinity");
        check(PgType::Date, &(-730_120_i32).to_be_bytes(), "0001-12-31 BC");
        check(PgType::Date, &(-730_120_i32 - 366).to_be_bytes(), "0002-12-31 BC");
        check(PgType::Timestamp, &0_i64.to_be_bytes(), "2000-01-01 00:00:00");
        check(
            PgType::Timestamp,
            &(-730_119 * 86_400_000_000_i64 - 500_000).to_be_bytes(),
            "0001-12-31 23:59:59.5 BC",
        );
        check(
            PgType::TimestampTz,
            &(-730_119 * 86_400_000_000_i64 - 500_000).to_be_bytes(),
            "0001-12-31 23:59:59.5+00 BC",
        );
        check(PgType::TimestampTz, &i64::MIN.to_be_bytes(), "-infinity");
        check(PgType::Time, &86_400_000_000_i64.to_be_bytes(), "24:00:00");
        check(PgType::Bytea, &[0, 255], "\\x00ff");
        check(PgType::Bool, &[1], "t");
        check(PgType::Jsonb, b"\x01{}", "{}");
        let numeric = |sign: u16, weight: i16, scale: u16, groups: &[u16]| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&u16::try_from(groups.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(&weight.to_be_bytes());
            bytes.extend_from_slice(&sign.to_be_bytes());
            bytes.extend_from_slice(&scale.to_be_bytes());
            groups.iter().for_each(|group| bytes.extend_from_slice(&group.to_be_bytes()));
            bytes
        };
        let number = PgType::Numeric { bounds: None };
        check(number.clone(), &numeric(0, 0, 0, &[]), "0");
        check(number.clone(), &numeric(0, 0, 2, &[]), "0.00");
        check(number.clone(), &numeric(0x4000, 1, 3, &[12, 3456, 7500]), "-123456.750");
        check(number.clone(), &numeric(0, -2, 8, &[12]), "0.00000012");
        check(number.clone(), &numeric(0, 12, 0, &[1]), &format!("1{}", "0".repeat(48)));
        check(number.clone(), &numeric(0xC000, 0, 0, &[]), "NaN");
        check(number.clone(), &numeric(0xD000, 0, 0, &[]), "Infinity");
        check(number, &numeric(0xF000, 0, 0, &[]), "-Infinity");
    }

    #[test]
    fn what_cannot_be_spelled_is_named() {
        assert_eq!(spell(&PgType::Text, Field::Null), Spelling::Null);
        assert_eq!(spell(&PgType::Text, Field::UnchangedToast), Spelling::Unknown);
        assert_eq!(spell(&PgType::Text, Field::Text(b"\xff")), Spelling::Bytes(b"\xff"));
        assert_eq!(spell(&PgType::Int4, Field::Binary(b"x")), Spelling::Bytes(b"x"));
        let long = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(spell(&PgType::Text, Field::Text(&long)), Spelling::Long(MAX_BYTES as u64 + 1));
    }
}
