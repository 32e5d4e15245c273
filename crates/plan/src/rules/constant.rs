//! [`Constant`]: a column that only the target has, with one value in every row.

use segcdc_model::{Field, Length, MssqlType, PgType, Value};
use serde::{Deserialize, Serialize};

use crate::convert;
use crate::target_type::{self, TargetType};
use crate::type_map;

/// UTF-16 units that a constant without a type has room for at least.
const USUAL_UNITS: u16 = 100;

/// UTF-16 units of the longest `nvarchar(n)`.
const MOST_UNITS: usize = 4000;

/// A column that only the target has. Stored with what is known of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constant {
    /// Its name.
    pub name: String,
    /// Its type.
    pub mssql_type: MssqlType,
    /// Its value, as PostgreSQL would print it.
    pub value: String,
}

// === impl Constant ===

impl Constant {
    /// A column with this value, of a type as T-SQL spells it; without one `nvarchar` with room for the value.
    ///
    /// # Errors
    /// What is wrong with type or value, for people.
    pub(crate) fn new(name: String, wanted: Option<&str>, value: &str) -> Result<Self, &'static str> {
        let mssql_type = match wanted.map(target_type::parse).transpose()? {
            Some(TargetType::Plain(mssql_type)) => mssql_type,
            Some(TargetType::JsonArray) => return Err(NO_TYPE),
            None => {
                let units = value.encode_utf16().count();
                let units = u16::try_from(units).ok().filter(|units| usize::from(*units) <= MOST_UNITS);
                let units = units.ok_or("a value of more than 4000 characters is too long for every row")?;
                MssqlType::NVarChar {
                    length: Length::Limited(units.max(USUAL_UNITS)),
                    binary_collation: false,
                }
            }
        };
        if value.len() > 4 * MOST_UNITS || value.contains('\0') {
            return Err("a value of more than 4000 characters is too long for every row");
        }
        let value = match (mssql_type, value) {
            (MssqlType::Bit, "1") => "t",
            (MssqlType::Bit, "0") => "f",
            (_, value) => value,
        };
        let constant = Constant { name, mssql_type, value: value.to_owned() };
        let pg_type = constant.pg_type().ok_or(NO_TYPE)?;
        if !holds(mssql_type, &pg_type, &constant.value) {
            return Err("the type does not hold the value");
        }
        Ok(constant)
    }

    /// The type of the source that the value is read as; `None` for a type that has no constants.
    pub(crate) fn pg_type(&self) -> Option<PgType> {
        Some(match self.mssql_type {
            MssqlType::NVarChar { .. } | MssqlType::VarChar { .. } => PgType::Text,
            MssqlType::Bit => PgType::Bool,
            MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt => PgType::Int8,
            MssqlType::Decimal { .. } => PgType::Numeric { bounds: None },
            MssqlType::Date => PgType::Date,
            MssqlType::DateTime2 { .. } => PgType::Timestamp,
            MssqlType::UniqueIdentifier => PgType::Uuid,
            MssqlType::Real
            | MssqlType::Float
            | MssqlType::VarBinary { .. }
            | MssqlType::Time { .. }
            | MssqlType::DateTimeOffset { .. }
            | MssqlType::Json => return None,
        })
    }
}

/// Whether a type holds a value as it is.
fn holds(mssql_type: MssqlType, pg_type: &PgType, text: &str) -> bool {
    let Ok(value) = convert::decode(pg_type, Field::Text(text.as_bytes())) else { return false };
    let has_room = |length: Length, needed: usize| match length {
        Length::Limited(length) => needed <= usize::from(length),
        Length::Max => true,
    };
    match (mssql_type, value) {
        (MssqlType::NVarChar { length, .. }, Value::Text(text)) => {
            has_room(length, text.encode_utf16().count())
        }
        (MssqlType::VarChar { length }, Value::Text(text)) => has_room(length, text.len()),
        (MssqlType::Bit, Value::Bool(_)) | (MssqlType::UniqueIdentifier, Value::Uuid(_)) => true,
        (_, Value::Int(number)) => {
            type_map::integer_range(&mssql_type).is_some_and(|(low, high)| (low..=high).contains(&number))
        }
        (MssqlType::Decimal { precision, scale }, Value::Decimal { magnitude, scale: digits, .. }) => {
            let whole = 10_u128.checked_pow(u32::from(digits)).map_or(0, |unit| magnitude / unit);
            let room = 10_u128.checked_pow(u32::from(precision.saturating_sub(scale)));
            digits <= scale && room.is_none_or(|room| whole < room)
        }
        // Years of four digits are those that both have.
        (MssqlType::Date, Value::Date(_)) => text.len() == DATE_BYTES,
        (MssqlType::DateTime2 { scale }, Value::Timestamp(_)) => {
            let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            text.as_bytes().get(DATE_BYTES) == Some(&b' ')
                && !text.ends_with("BC")
                && fraction <= usize::from(scale)
        }
        _ => false,
    }
}

/// Bytes of `2024-02-29`.
const DATE_BYTES: usize = 10;

/// Which types a constant can have.
const NO_TYPE: &str = "a constant can be nvarchar(n), varchar(n), bit, tinyint, smallint, int, bigint, decimal(p,s), date, datetime2(n) \
     or uniqueidentifier";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_nvarchar_with_room_or_of_the_type_that_is_asked_for() {
        let check = |wanted: Option<&str>, value: &str, expected: Option<(&str, &str)>| {
            let found = Constant::new("c".to_owned(), wanted, value).ok();
            let found = found.map(|found| (found.mssql_type.to_string(), found.value));
            assert_eq!(
                found,
                expected.map(|(kind, value)| (kind.to_owned(), value.to_owned())),
                "{wanted:?} {value}"
            );
        };
        check(None, "eu-west", Some(("nvarchar(100)", "eu-west")));
        check(None, &"x".repeat(120), Some(("nvarchar(120)", &"x".repeat(120))));
        check(None, &"x".repeat(4001), None);
        check(Some("nvarchar(50)"), "eu-west", Some(("nvarchar(50)", "eu-west")));
        check(Some("bit"), "1", Some(("bit", "t")));
        check(Some("int"), "7", Some(("int", "7")));
        check(Some("decimal(5,2)"), "-123.45", Some(("decimal(5,2)", "-123.45")));
        check(Some("date"), "2024-02-29", Some(("date", "2024-02-29")));
        check(
            Some("datetime2(3)"),
            "2024-02-29 10:20:30.123",
            Some(("datetime2(3)", "2024-02-29 10:20:30.123")),
        );
        for (wanted, value) in [
            ("int", "x"),
            ("tinyint", "300"),
            ("tinyint", "-1"),
            ("bit", "2"),
            ("nvarchar(2)", "abc"),
            ("varchar(2)", "\u{20AC}"),
            ("decimal(5,2)", "1234.5"),
            ("decimal(5,2)", "1.234"),
            ("decimal(5,2)", "NaN"),
            ("date", "2000-13-01"),
            ("date", "infinity"),
            ("date", "10000-01-01"),
            ("datetime2(3)", "2024-02-29 10:20:30.1234"),
            ("datetime2(3)", "2024-02-29 10:20:30 BC"),
            ("uniqueidentifier", "x"),
        ] {
            check(Some(wanted), value, None);
        }
        for wanted in ["json", "varbinary(3)", "float", "json_array", "nvarchar", "x"] {
            check(Some(wanted), "7", None);
        }
    }
}
