//! Declarations of parameters, as `sp_executesql` and its kin take them: `@P1 int, @P2 nvarchar(50) OUTPUT`.

use segcdc_tds::{ColumnType, Len};

/// One declared parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// `@name`
    pub name: String,
    /// Its type; `None` when it is not one that the sandbox knows: then the caller's type counts.
    pub column_type: Option<ColumnType>,
    /// Whether it is an output parameter.
    pub output: bool,
}

/// The parameters of a declaration, in order. What is not understood is left to the engine to refuse.
pub fn parse(text: &str) -> Vec<Declaration> {
    split(text).into_iter().filter_map(declaration).collect()
}

/// The pieces between commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0i32, 0);
    let mut pieces = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                pieces.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.extend(text.get(start..));
    pieces
}

/// One piece.
fn declaration(piece: &str) -> Option<Declaration> {
    let (name, rest) = piece.trim().split_once(char::is_whitespace)?;
    let rest = rest.trim().to_ascii_lowercase();
    let stripped = rest.strip_suffix("output").or_else(|| rest.strip_suffix("out"));
    let type_text = stripped.unwrap_or(&rest);
    Some(Declaration {
        name: name.to_owned(),
        column_type: column_type(type_text),
        output: stripped.is_some(),
    })
}

/// The type that is spelled like this.
fn column_type(text: &str) -> Option<ColumnType> {
    let text = text.trim();
    let text = text.strip_prefix("as ").unwrap_or(text).trim();
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix(')')?.trim()),
        None => (text, ""),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let length = |default: u16| match arguments {
        "" => Some(Len::Limited(default)),
        "max" => Some(Len::Max),
        number => number.parse().ok().map(Len::Limited),
    };
    let fixed = || if arguments.is_empty() { Some(1) } else { arguments.parse().ok() };
    let scale = || if arguments.is_empty() { Some(7) } else { arguments.parse().ok().filter(|s| *s <= 7) };
    Some(match name {
        "bit" => ColumnType::Bit,
        "tinyint" => ColumnType::TinyInt,
        "smallint" => ColumnType::SmallInt,
        "int" | "integer" => ColumnType::Int,
        "bigint" => ColumnType::BigInt,
        "real" => ColumnType::Real,
        "float" => match arguments.parse::<u8>() {
            Ok(1..=24) => ColumnType::Real,
            _ => ColumnType::Float,
        },
        "decimal" | "numeric" => decimal(arguments)?,
        "smallmoney" => ColumnType::SmallMoney,
        "money" => ColumnType::Money,
        "nvarchar" => ColumnType::NVarChar(length(1)?),
        "nchar" => ColumnType::NChar(fixed()?),
        "varchar" => ColumnType::VarChar(length(1)?),
        "char" => ColumnType::Char(fixed()?),
        "varbinary" => ColumnType::VarBinary(length(1)?),
        "binary" => ColumnType::Binary(fixed()?),
        "sysname" => ColumnType::NVarChar(Len::Limited(128)),
        "xml" => ColumnType::Xml,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time(scale()?),
        "datetime2" => ColumnType::DateTime2(scale()?),
        "datetimeoffset" => ColumnType::DateTimeOffset(scale()?),
        "datetime" => ColumnType::DateTime,
        "smalldatetime" => ColumnType::SmallDateTime,
        "uniqueidentifier" => ColumnType::UniqueIdentifier,
        "text" => ColumnType::VarChar(Len::Max),
        "ntext" => ColumnType::NVarChar(Len::Max),
        "image" => ColumnType::VarBinary(Len::Max),
        _ => return None,
    })
}

/// decimal's precision (18 by default) and scale (0 by default).
fn decimal(arguments: &str) -> Option<ColumnType> {
    if arguments.is_empty() {
        return Some(ColumnType::Decimal { precision: 18, scale: 0 });
    }
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    (scale <= precision && (1..=38).contains(&precision)).then_some(ColumnType::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_of_all_drivers_are_read() {
        let parsed = parse("@P0 decimal(38, 10),@P1 nvarchar(4000) OUTPUT, @p2 varbinary(max), @x dbo.mine");
        let types: Vec<_> =
            parsed.iter().map(|one| (one.name.as_str(), one.column_type, one.output)).collect();
        assert_eq!(
            types,
            [
                ("@P0", Some(ColumnType::Decimal { precision: 38, scale: 10 }), false),
                ("@P1", Some(ColumnType::NVarChar(Len::Limited(4000))), true),
                ("@p2", Some(ColumnType::VarBinary(Len::Max)), false),
                ("@x", None, false),
            ]
        );
        assert!(parse("").is_empty());
    }
}
