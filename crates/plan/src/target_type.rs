//! Target types as a user writes them: `--type 'public.orders.total=decimal(28,6)'`.
//!
//! Spelled as T-SQL spells them. What SQL Server has, but what would change values or their spelling, is refused with the
//! reason; whether a source type can become a target type is [`crate::type_override`]'s question.

use std::fmt;
use std::sync::LazyLock;

use segcdc_model::{Length, MssqlType};

/// Digits of a second's fraction that PostgreSQL has, and that a type without digits gets.
const MICROSECONDS: u8 = 6;

/// Every type that can be asked for: as a person writes it, and one of it. The command line's help, the reference and refusals list
/// these.
pub const CHOICES: [(&str, &str); 20] = [
    ("bit", "bit"),
    ("tinyint", "tinyint"),
    ("smallint", "smallint"),
    ("int", "int"),
    ("bigint", "bigint"),
    ("decimal(p,s)", "decimal(38,2)"),
    ("real", "real"),
    ("float", "float"),
    ("nvarchar(n)", "nvarchar(40)"),
    ("nvarchar(max)", "nvarchar(max)"),
    ("varchar(n)", "varchar(40)"),
    ("varchar(max)", "varchar(max)"),
    ("varbinary(n)", "varbinary(40)"),
    ("varbinary(max)", "varbinary(max)"),
    ("date", "date"),
    ("time(n)", "time(6)"),
    ("datetime2(n)", "datetime2(6)"),
    ("datetimeoffset(n)", "datetimeoffset(6)"),
    ("uniqueidentifier", "uniqueidentifier"),
    ("json", "json"),
];

/// [`CHOICES`] as a sentence has them, with the one that is no type of T-SQL.
static LISTED: LazyLock<String> = LazyLock::new(|| {
    let shown: Vec<&str> = CHOICES.iter().map(|(shown, _)| *shown).collect();
    format!("the target types are {}; and json_array for an array", shown.join(", "))
});

/// The sentence that lists every type that can be asked for.
pub fn listed() -> &'static str {
    &LISTED
}

/// What a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetType {
    /// A type of T-SQL.
    Plain(MssqlType),
    /// `json_array`: an array as a JSON array, in an `nvarchar(max)`.
    JsonArray,
}

impl fmt::Display for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetType::Plain(mssql_type) => mssql_type.fmt(f),
            TargetType::JsonArray => f.write_str("json_array"),
        }
    }
}

/// Reads what a user asks for.
///
/// # Errors
/// Why it cannot be the type of a target column, for people.
pub fn parse(text: &str) -> Result<TargetType, &'static str> {
    if text.trim().eq_ignore_ascii_case("json_array") {
        return Ok(TargetType::JsonArray);
    }
    plain(text).map(TargetType::Plain)
}

/// Reads a T-SQL type.
fn plain(text: &str) -> Result<MssqlType, &'static str> {
    let lower = text.to_ascii_lowercase();
    let (name, arguments) = split(&lower).ok_or("the parentheses of the type cannot be read")?;
    let bare = |mssql_type| if arguments.is_empty() { Ok(mssql_type) } else { Err(NO_LENGTH) };
    match name {
        "bit" => bare(MssqlType::Bit),
        "tinyint" => bare(MssqlType::TinyInt),
        "smallint" => bare(MssqlType::SmallInt),
        "int" | "integer" => bare(MssqlType::Int),
        "bigint" => bare(MssqlType::BigInt),
        "real" => bare(MssqlType::Real),
        "float" if matches!(arguments.as_slice(), [] | ["53"]) => Ok(MssqlType::Float),
        "decimal" | "numeric" => decimal(&arguments),
        "nvarchar" => Ok(MssqlType::NVarChar { length: length(&arguments, 4000)?, binary_collation: false }),
        "varchar" => Ok(MssqlType::VarChar { length: length(&arguments, 8000)? }),
        "varbinary" => Ok(MssqlType::VarBinary { length: length(&arguments, 8000)? }),
        "date" => bare(MssqlType::Date),
        "time" => Ok(MssqlType::Time { scale: scale(&arguments)? }),
        "datetime2" => Ok(MssqlType::DateTime2 { scale: scale(&arguments)? }),
        "datetimeoffset" => Ok(MssqlType::DateTimeOffset { scale: scale(&arguments)? }),
        "uniqueidentifier" => bare(MssqlType::UniqueIdentifier),
        "json" => bare(MssqlType::Json),
        other => Err(refusal(other)),
    }
}

/// Said of digits or a length where the type takes none.
const NO_LENGTH: &str = "the type takes nothing in parentheses";

/// Why a type that is not made cannot be had.
fn refusal(name: &str) -> &'static str {
    match name {
        "xml" => {
            "SQL Server's xml does not keep the text: white space, the declaration and the spelling of entities change; \
             nvarchar(max) holds the exact text, and CAST(... AS xml) in a view reads it"
        }
        "float" => "float has 53 bits here; real is the one with 24",
        "datetime" | "smalldatetime" => "it rounds: datetime2(n) keeps what the source has",
        "money" | "smallmoney" => {
            "it has four digits and a small range: decimal(19,4) holds the same numbers"
        }
        "char" | "nchar" | "binary" => {
            "it fills values up: nvarchar(n) or varbinary(n) keep them as they are"
        }
        "text" | "ntext" | "image" => "it is deprecated: nvarchar(max) or varbinary(max)",
        _ => listed(),
    }
}

/// The name, and what stands in parentheses behind it, between commas.
fn split(text: &str) -> Option<(&str, Vec<&str>)> {
    let text = text.trim();
    let Some((name, behind)) = text.split_once('(') else { return Some((text, Vec::new())) };
    let arguments = behind.strip_suffix(')')?.split(',').map(str::trim).collect();
    Some((name.trim(), arguments))
}

fn decimal(arguments: &[&str]) -> Result<MssqlType, &'static str> {
    const MALFORMED: &str =
        "a decimal has 1 to 38 digits, and no more of them behind the point: decimal(28,6)";
    let (precision, scale) = match arguments {
        [precision, scale] => (number(precision), number(scale)),
        [precision] => (number(precision), Some(0)),
        _ => return Err(MALFORMED),
    };
    match (precision, scale) {
        (Some(precision @ 1..=38), Some(scale)) if scale <= precision => {
            Ok(MssqlType::Decimal { precision, scale })
        }
        _ => Err(MALFORMED),
    }
}

fn length(arguments: &[&str], longest: u16) -> Result<Length, &'static str> {
    match arguments {
        ["max"] => Ok(Length::Max),
        [text] => match number(text) {
            Some(length) if length > 0 && length <= longest => Ok(Length::Limited(length)),
            _ => Err("the length is 1 to 4000 for nvarchar, 1 to 8000 for varchar and varbinary, or max"),
        },
        // T-SQL would take it for a length of 1.
        _ => Err("the type needs a length: nvarchar(100), nvarchar(max)"),
    }
}

fn scale(arguments: &[&str]) -> Result<u8, &'static str> {
    match arguments {
        [] => Ok(MICROSECONDS),
        [text] => {
            number(text).filter(|scale| *scale <= 7).ok_or("a second has 0 to 7 digits of its fraction")
        }
        _ => Err("a second has 0 to 7 digits of its fraction"),
    }
}

/// Decimal digits without a sign.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_spelled() {
        for text in [
            "bit",
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "real",
            "float",
            "decimal(28,6)",
            "decimal(38,38)",
            "nvarchar(1)",
            "nvarchar(4000)",
            "nvarchar(max)",
            "varchar(8000)",
            "varchar(max)",
            "varbinary(8000)",
            "varbinary(max)",
            "date",
            "time(0)",
            "time(6)",
            "time(7)",
            "datetime2(0)",
            "datetime2(7)",
            "datetimeoffset(3)",
            "uniqueidentifier",
            "json",
        ] {
            assert_eq!(parse(text).map(|found| found.to_string()), Ok(text.to_owned()));
        }
        for (text, meant) in [
            (" Decimal ( 28 , 6 ) ", "decimal(28,6)"),
            ("NUMERIC(5)", "decimal(5,0)"),
            ("float(53)", "float"),
            ("VarChar(40)", "varchar(40)"),
            ("JSON_ARRAY", "json_array"),
            ("INTEGER", "int"),
            ("datetime2", "datetime2(6)"),
            ("datetimeoffset", "datetimeoffset(6)"),
            ("time", "time(6)"),
        ] {
            assert_eq!(parse(text).map(|found| found.to_string()), Ok(meant.to_owned()));
        }
    }

    #[test]
    fn every_type_of_a_target_column_is_listed() {
        // A new variant has to be numbered here, and then to be listed.
        let number = |mssql_type: MssqlType| match mssql_type {
            MssqlType::Bit => 0,
            MssqlType::TinyInt => 1,
            MssqlType::SmallInt => 2,
            MssqlType::Int => 3,
            MssqlType::BigInt => 4,
            MssqlType::Decimal { .. } => 5,
            MssqlType::Real => 6,
            MssqlType::Float => 7,
            MssqlType::NVarChar { length: Length::Limited(_), .. } => 8,
            MssqlType::NVarChar { length: Length::Max, .. } => 9,
            MssqlType::VarChar { length: Length::Limited(_) } => 10,
            MssqlType::VarChar { length: Length::Max } => 11,
            MssqlType::VarBinary { length: Length::Limited(_) } => 12,
            MssqlType::VarBinary { length: Length::Max } => 13,
            MssqlType::Date => 14,
            MssqlType::Time { .. } => 15,
            MssqlType::DateTime2 { .. } => 16,
            MssqlType::DateTimeOffset { .. } => 17,
            MssqlType::UniqueIdentifier => 18,
            MssqlType::Json => 19,
        };
        let numbers: Vec<usize> = CHOICES
            .iter()
            .map(|(shown, one)| {
                let TargetType::Plain(found) = parse(one).unwrap() else { panic!("{one}") };
                let digits = one.replace("(38,2)", "(p,s)").replace("(40)", "(n)").replace("(6)", "(n)");
                assert_eq!((found.to_string().as_str(), digits.as_str()), (*one, *shown));
                number(found)
            })
            .collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert!(
            listed().contains("tinyint, ") && listed().ends_with("json_array for an array"),
            "{}",
            listed()
        );
    }

    #[test]
    fn what_is_no_target_type_is_refused_with_the_reason() {
        for (text, part) in [
            ("xml", "white space"),
            ("json(max)", "parentheses"),
            ("decimal", "decimal(28,6)"),
            ("decimal(39,0)", "38 digits"),
            ("decimal(5,6)", "no more of them"),
            ("decimal(-1,0)", "38 digits"),
            ("decimal(5,2,1)", "38 digits"),
            ("nvarchar", "needs a length"),
            ("nvarchar(0)", "1 to 4000"),
            ("nvarchar(4001)", "1 to 4000"),
            ("varbinary(8001)", "8000"),
            ("varchar(8001)", "8000"),
            ("varchar", "needs a length"),
            ("datetime2(8)", "0 to 7"),
            ("int(4)", "parentheses"),
            ("decimal(5", "parentheses"),
            ("datetime", "rounds"),
            ("money", "decimal(19,4)"),
            ("nchar(5)", "fills"),
            ("ntext", "deprecated"),
            ("time(8)", "0 to 7"),
            ("tinyint(3)", "parentheses"),
            ("float(24)", "real"),
            ("varchr(9)", "target types are"),
            ("", "target types are"),
        ] {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
