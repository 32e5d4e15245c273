//! The target type that a rule gives a column, if it may.
//!
//! A column may have another type than the usual one when each value of the source has one value there that says the same:
//!
//! ```text
//! smallint, integer, bigint, oid     tinyint, smallint, int, bigint, decimal(p,s)
//! numeric                            decimal(p,s); outside of keys tinyint, smallint, int, bigint
//! money                              decimal(p,s)
//! real                               outside of keys float
//! text of any kind                   nvarchar(n), nvarchar(max); outside of keys varchar(n), varchar(max), in UTF-8
//! bytea                              varbinary(n), varbinary(max)
//! date                               outside of keys datetime2(n), at midnight
//! time                               time(n)
//! timestamp                          datetime2(n)
//! timestamptz                        datetimeoffset(n); outside of keys datetime2(n), the instant in UTC
//! json, jsonb                        outside of keys json
//! arrays of built-in types           outside of keys json, and json_array, as nvarchar(max)
//! anything                           nvarchar(n), nvarchar(max), outside of keys varchar(n), varchar(max): the text that
//!                                    PostgreSQL prints
//! ```
//!
//! A type that holds less than the usual one needs a policy that says what becomes of the rest.

use segcdc_model::{ArrayElement, Length, MssqlType, PgType, QualifiedName, SourceColumn};

use crate::error::PlanError;
use crate::json_array;
use crate::rules::{Rules, ValuePolicy, of_column};
use crate::target_type::{self, TargetType};
use crate::type_map::{self, KEY_BYTES};

/// What a column becomes by a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Override {
    /// Its type in the target.
    pub(crate) mssql_type: MssqlType,
    /// Its values are asked for as text, which they are not by themselves.
    pub(crate) as_text: bool,
    /// It is an array that becomes JSON.
    pub(crate) array: Option<ArrayElement>,
}

/// How a source type becomes a target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The canonical texts of its values stay the same: possible in a key.
    SameText,
    /// They change, one to one.
    OtherText,
    /// As the text that PostgreSQL prints.
    Printed,
}

/// The target type that the rules give a column; `None` for the usual one.
///
/// A rule that names a column has to be possible for it, and one for a source type for all but keys; one for tables counts
/// where it is possible.
///
/// # Errors
/// [`PlanError::TypeImpossible`], and [`PlanError::TypeNarrows`] where no policy says what becomes of values that do not fit.
pub(crate) fn decide(
    table: &QualifiedName,
    column: &SourceColumn,
    in_key: bool,
    rules: &Rules,
) -> Result<Option<Override>, PlanError> {
    let Some(rule) = rules.target_type(table, column) else { return Ok(None) };
    let wanted = rule.says;
    let impossible = |detail| PlanError::TypeImpossible {
        table: table.clone(),
        column: column.name.clone(),
        source_type: column.type_name.as_str().into(),
        target: wanted,
        detail,
    };
    let too_narrow = |target, lost| PlanError::TypeNarrows {
        table: table.clone(),
        column: column.name.clone(),
        target,
        lost,
        in_key,
    };
    let names_column = rule.selector.is_column();
    if let Some((mssql_type, lost)) = array_type(wanted, column) {
        return match json_array(column, in_key) {
            Ok(element) if policy_of_rest(rules, table, column).is_some() => {
                Ok(Some(Override { mssql_type, as_text: false, array: Some(element) }))
            }
            Ok(_) => Err(too_narrow(wanted, lost)),
            Err(detail) if names_column || (rule.selector.is_type() && !in_key) => Err(impossible(detail)),
            Err(_) => Ok(None),
        };
    }
    let TargetType::Plain(wanted) = wanted else { return Ok(None) };
    let Some(way) = way(&column.pg_type, &wanted) else {
        if !names_column && !rule.selector.is_type() {
            return Ok(None);
        }
        return Err(impossible(choices(&column.pg_type)));
    };
    if let Some(trouble) = in_key.then(|| key_trouble(way, &wanted)).flatten() {
        return if names_column { Err(impossible(trouble)) } else { Ok(None) };
    }
    let policy = rules.value_policy(table, column);
    let is_text = matches!(wanted, MssqlType::NVarChar { .. } | MssqlType::VarChar { .. });
    let text_wished = policy.filter(|rule| rule.says == ValuePolicy::Text);
    if text_wished.is_some_and(|policy| policy.selector.is_column()) && !is_text {
        return Err(impossible("--on-value says that it is text; of the two only one can be"));
    }
    let mssql_type = match wanted {
        MssqlType::NVarChar { length, .. } => MssqlType::NVarChar { length, binary_collation: in_key },
        other => other,
    };
    if let Some(lost) = narrows(column, &mssql_type, in_key)
        && policy_of_rest(rules, table, column).is_none()
    {
        return Err(too_narrow(TargetType::Plain(mssql_type), lost));
    }
    Ok(Some(Override { mssql_type, as_text: way == Way::Printed, array: None }))
}

/// What a column becomes by a type that makes arrays JSON, and what that loses; `None` for another type, and for `json` where the
/// column is no array.
fn array_type(wanted: TargetType, column: &SourceColumn) -> Option<(MssqlType, String)> {
    match wanted {
        TargetType::JsonArray => {
            let text = MssqlType::NVarChar { length: Length::Max, binary_collation: false };
            Some((text, type_map::ARRAY_LOSS.to_owned()))
        }
        TargetType::Plain(MssqlType::Json) if column.type_name.ends_with("[]") => {
            let lost = format!("{}, and {}", type_map::ARRAY_LOSS, type_map::DOCUMENT_LOSS);
            Some((MssqlType::Json, lost))
        }
        TargetType::Plain(_) => None,
    }
}

/// What the rules say of values of a column that do not fit; `text` says nothing of a type that is asked for.
fn policy_of_rest(rules: &Rules, table: &QualifiedName, column: &SourceColumn) -> Option<ValuePolicy> {
    let policy = rules.value_policy(table, column).map(|rule| rule.says);
    policy.filter(|policy| *policy != ValuePolicy::Text)
}

/// What the elements of a column's arrays become in JSON.
///
/// # Errors
/// Why the column cannot be JSON arrays.
fn json_array(column: &SourceColumn, in_key: bool) -> Result<ArrayElement, &'static str> {
    let element = json_array::element_of(&column.type_name).filter(|_| column.pg_type == PgType::Other);
    match element {
        Some(_) if in_key => {
            Err("it is part of the key, and rows are found by what the source's own type spells")
        }
        Some(element) => Ok(element),
        None if column.type_name.ends_with("[]") => {
            Err("of arrays of such a type it is not known how PostgreSQL separates the elements")
        }
        None => Err("only a column that is declared as an array can be json_array"),
    }
}

/// The rule that gives a column the type `found`, as an option of the command line; `None` where it cannot have it.
///
/// For whoever finds a column of another type than the planned one in the target.
pub fn offered(table: &QualifiedName, column: &SourceColumn, in_key: bool, found: &str) -> Option<String> {
    let TargetType::Plain(wanted) = target_type::parse(found).ok()? else { return None };
    let way = way(&column.pg_type, &wanted)?;
    if in_key && key_trouble(way, &wanted).is_some() {
        return None;
    }
    let flag = of_column("--type", table, &column.name, &wanted.to_string());
    Some(match narrows(column, &wanted, in_key) {
        Some(_) => format!("{flag} {}", of_column("--on-value", table, &column.name, "set_aside")),
        None => flag,
    })
}

/// How values of the one type become those of the other; `None` where they cannot without guessing.
fn way(pg_type: &PgType, mssql_type: &MssqlType) -> Option<Way> {
    use MssqlType as To;
    use PgType as From;
    Some(match (pg_type, mssql_type) {
        (From::Bool | From::Bit, To::Bit)
        | (
            From::Int2 | From::Int4 | From::Int8 | From::Oid,
            To::TinyInt | To::SmallInt | To::Int | To::BigInt,
        )
        | (From::Numeric { .. } | From::Money { .. }, To::Decimal { .. })
        | (From::Float4, To::Real)
        | (From::Float8, To::Float)
        | (From::Bytea, To::VarBinary { .. })
        | (From::Uuid, To::UniqueIdentifier)
        | (From::Date, To::Date)
        | (From::Time, To::Time { .. })
        | (From::Timestamp, To::DateTime2 { .. })
        | (From::TimestampTz, To::DateTimeOffset { .. }) => Way::SameText,
        (
            From::Text
            | From::Varchar { .. }
            | From::Char { .. }
            | From::Name
            | From::Enum
            | From::Json
            | From::Jsonb
            | From::Other,
            To::NVarChar { .. } | To::VarChar { .. },
        ) => Way::SameText,
        (From::Int2 | From::Int4 | From::Int8 | From::Oid, To::Decimal { .. })
        | (From::Numeric { .. }, To::TinyInt | To::SmallInt | To::Int | To::BigInt)
        | (From::Float4, To::Float)
        | (From::Json | From::Jsonb, To::Json)
        | (From::Date | From::TimestampTz, To::DateTime2 { .. }) => Way::OtherText,
        (_, To::NVarChar { .. } | To::VarChar { .. }) => Way::Printed,
        _ => return None,
    })
}

/// What a column of the type could become, for people.
fn choices(pg_type: &PgType) -> &'static str {
    match pg_type {
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => {
            "an integer can be tinyint, smallint, int, bigint, decimal(p,s) or nvarchar(n)"
        }
        PgType::Numeric { .. } => {
            "a numeric can be decimal(p,s), tinyint, smallint, int, bigint or nvarchar(n); float would round it"
        }
        PgType::Money { .. } | PgType::MoneyOfUnknownDigits => "a money can be decimal(p,s) or nvarchar(n)",
        PgType::Float4 => "a real can be real, float or nvarchar(n); a decimal would round it",
        PgType::Float8 => "a double precision can be float or nvarchar(n); real and decimal would round it",
        PgType::Bytea => "bytes can be varbinary(n), varbinary(max) or nvarchar(n)",
        PgType::Date => "a date can be date, datetime2(n) or nvarchar(n)",
        PgType::Timestamp => {
            "a timestamp can be datetime2(n) or nvarchar(n); it has no time zone, so that its instant is not known"
        }
        PgType::TimestampTz => "a timestamptz can be datetimeoffset(n), datetime2(n) in UTC, or nvarchar(n)",
        PgType::Bool | PgType::Bit => "it can be bit or nvarchar(n)",
        PgType::Uuid => "it can be uniqueidentifier or nvarchar(n)",
        PgType::Time => "a time can be time(n) or nvarchar(n)",
        PgType::Json | PgType::Jsonb => {
            "json can be json, of SQL Server 2025 and later, nvarchar(n), nvarchar(max), varchar(n) or varchar(max)"
        }
        PgType::Text
        | PgType::Varchar { .. }
        | PgType::Char { .. }
        | PgType::Name
        | PgType::Enum
        | PgType::Other => "text can be nvarchar(n), nvarchar(max), varchar(n) or varchar(max)",
    }
}

/// Why a column of a key cannot have the type.
fn key_trouble(way: Way, mssql_type: &MssqlType) -> Option<&'static str> {
    let exceeds = |length: &Length, most: u16| match length {
        Length::Max => true,
        Length::Limited(length) => *length > most,
    };
    match (way, mssql_type) {
        (Way::OtherText, _) => {
            Some("it is part of the key, and rows are found by what the source's own type spells")
        }
        (_, MssqlType::NVarChar { length, .. }) if exceeds(length, KEY_BYTES / 2) => {
            Some("it is part of the key, and a SQL Server key has 900 bytes: nvarchar(450) at most")
        }
        (_, MssqlType::VarBinary { length }) if exceeds(length, KEY_BYTES) => {
            Some("it is part of the key, and a SQL Server key has 900 bytes: varbinary(900) at most")
        }
        (_, MssqlType::VarChar { .. }) => Some(
            "it is part of the key, and rows are found by what nvarchar(n) tells apart: nvarchar(450) at most",
        ),
        _ => None,
    }
}

/// What the type loses of what the usual one holds, for people; `None` when it holds all of that.
pub(crate) fn narrows(column: &SourceColumn, mssql_type: &MssqlType, in_key: bool) -> Option<String> {
    let usual = type_map::map(column, in_key);
    match *mssql_type {
        MssqlType::TinyInt | MssqlType::SmallInt | MssqlType::Int | MssqlType::BigInt => {
            integer_loss(column, mssql_type)
        }
        MssqlType::Decimal { precision, scale } => {
            let (whole, fraction) = decimal_need(&column.pg_type, usual)?;
            let kept = precision.saturating_sub(scale);
            (kept < whole || scale < fraction)
                .then(|| format!("numbers with more than {kept} digits before or {scale} behind the point"))
        }
        MssqlType::NVarChar { length: Length::Limited(units), .. } => {
            let needed = match usual {
                MssqlType::NVarChar { length: Length::Limited(usual), .. } => u32::from(usual),
                MssqlType::NVarChar { length: Length::Max, .. } => u32::MAX,
                _ => printed_length(&column.pg_type),
            };
            (u32::from(units) < needed).then(|| format!("texts of more than {units} UTF-16 units"))
        }
        MssqlType::VarChar { length: Length::Limited(bytes) } => {
            let needed = match column.pg_type {
                PgType::Varchar { length: Some(length) } | PgType::Char { length } => {
                    length.saturating_mul(type_map::UTF8_BYTES)
                }
                PgType::Name | PgType::Enum => 63,
                _ => printed_length(&column.pg_type),
            };
            (u32::from(bytes) < needed).then(|| format!("texts of more than {bytes} bytes of UTF-8"))
        }
        MssqlType::VarBinary { length: Length::Limited(bytes) } => {
            let needed = match usual {
                MssqlType::VarBinary { length: Length::Limited(usual) } => usual,
                _ => u16::MAX,
            };
            (bytes < needed).then(|| format!("values of more than {bytes} bytes"))
        }
        MssqlType::Time { scale } | MssqlType::DateTime2 { scale } | MssqlType::DateTimeOffset { scale } => {
            (scale < fraction_digits(column))
                .then(|| format!("times with more than {scale} digits of a second"))
        }
        MssqlType::Json => Some(type_map::DOCUMENT_LOSS.to_owned()),
        MssqlType::Bit
        | MssqlType::Real
        | MssqlType::Float
        | MssqlType::NVarChar { length: Length::Max, .. }
        | MssqlType::VarChar { length: Length::Max }
        | MssqlType::VarBinary { length: Length::Max }
        | MssqlType::Date
        | MssqlType::UniqueIdentifier => None,
    }
}

/// What an integer type loses.
fn integer_loss(column: &SourceColumn, mssql_type: &MssqlType) -> Option<String> {
    let (low, high) = type_map::integer_range(mssql_type)?;
    let outside = format!("numbers outside of {low} to {high}");
    let holds = |least: i64, most: i64| low <= least && most <= high;
    match column.pg_type {
        PgType::Int2 => (!holds(i16::MIN.into(), i16::MAX.into())).then_some(outside),
        PgType::Int4 => (!holds(i32::MIN.into(), i32::MAX.into())).then_some(outside),
        PgType::Oid => (!holds(0, u32::MAX.into())).then_some(outside),
        PgType::Int8 => (!holds(i64::MIN, i64::MAX)).then_some(outside),
        PgType::Numeric { bounds } => {
            let whole = bounds
                .filter(|(_, scale)| *scale <= 0)
                .map(|(precision, scale)| u32::from(precision) + u32::from(scale.unsigned_abs()));
            let fits = whole.and_then(|digits| 10_i64.checked_pow(digits)).is_some_and(|end| end - 1 <= high);
            (!fits).then(|| format!("{outside}, and digits behind the point"))
        }
        _ => None,
    }
}

/// Digits before and behind the point that a decimal must have to hold what the usual one holds.
fn decimal_need(pg_type: &PgType, usual: MssqlType) -> Option<(u8, u8)> {
    let (whole, fraction) = match pg_type {
        PgType::Int2 => (5, 0),
        PgType::Int4 | PgType::Oid => (10, 0),
        PgType::Int8 => (19, 0),
        PgType::Money { fraction_digits } => {
            (19_i32 - i32::from(*fraction_digits), i32::from(*fraction_digits))
        }
        PgType::Numeric { bounds: Some((precision, scale)) } => {
            (i32::from(*precision) - i32::from(*scale), i32::from(*scale))
        }
        PgType::Numeric { bounds: None } => (i32::MAX, i32::MAX),
        _ => return None,
    };
    // No more than the usual type holds.
    let (most_whole, most_fraction) = match usual {
        MssqlType::Decimal { precision, scale } => (precision.saturating_sub(scale), scale),
        _ => (type_map::MAX_PRECISION, type_map::MAX_PRECISION),
    };
    let within = |digits: i32, most: u8| u8::try_from(digits.clamp(0, i32::from(most))).unwrap_or(most);
    Some((within(whole, most_whole), within(fraction, most_fraction)))
}

/// Characters that PostgreSQL prints at most for a value of a type that is not text.
fn printed_length(pg_type: &PgType) -> u32 {
    match pg_type {
        PgType::Bool | PgType::Bit => 1,
        PgType::Int2 => 6,
        PgType::Int4 => 11,
        PgType::Int8 => 20,
        PgType::Oid => 10,
        PgType::Uuid => 36,
        // 5874897-12-31, 4713-01-01 BC
        PgType::Date => 13,
        PgType::Time => 15,
        // 294276-12-31 23:59:59.999999, 4713-01-01 00:00:00.000001 BC; with +00 behind the seconds
        PgType::Timestamp => 29,
        PgType::TimestampTz => 32,
        // Sign, digits and point, and -1.17549435e-38 and -2.2250738585072014e-308.
        PgType::Float4 => 15,
        PgType::Float8 => 24,
        PgType::Numeric { bounds: Some((precision, scale)) } => {
            let zeros = u32::from(scale.unsigned_abs());
            // NaN and -Infinity are words of up to nine letters.
            (u32::from(*precision) + zeros + 3).max(9)
        }
        _ => u32::MAX,
    }
}

/// Digits of a second's fraction that the column's type keeps: `timestamp(3) with time zone` has three. What a domain keeps
/// is not known.
fn fraction_digits(column: &SourceColumn) -> u8 {
    let word = match column.pg_type {
        PgType::Time => "time(",
        PgType::Timestamp | PgType::TimestampTz => "timestamp(",
        _ => return 0,
    };
    let digits = column.type_name.strip_prefix(word).and_then(|rest| rest.split(')').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(6)
}

#[cfg(test)]
mod tests;
