//! Names of types, with their lengths.

use segcdc_tds::{ColumnType, Len};

use super::Parser;
use crate::answer::SqlError;
use crate::sql::lexer::TokenKind;

/// What stands in parentheses behind a type.
enum Size {
    None,
    Max,
    One(u16),
    Two(u16, u16),
}

/// Units that a character type without a length has: 1 in a declaration, 30 in CAST and CONVERT.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unsized {
    /// A column or a variable.
    Declared,
    /// CAST and CONVERT.
    Cast,
}

// === impl Parser ===

impl Parser<'_> {
    /// A type: `nvarchar(50)`, `[decimal](10, 2)`, `double precision`, `sys.sysname`.
    pub(super) fn type_name(&mut self, default: Unsized) -> Result<ColumnType, SqlError> {
        let line = self.line();
        let mut name = self.name()?.to_ascii_lowercase();
        if name == "sys" && self.eat_symbol(".") {
            name = self.name()?.to_ascii_lowercase();
        }
        if name == "double" {
            self.expect_word("PRECISION")?;
        }
        for first in ["national", "character", "char", "nchar", "binary"] {
            if name == first && self.eat_word("VARYING") {
                name.push_str(" varying");
            }
        }
        let size = self.size()?;
        let units = |size: &Size, limit: u16| match (size, default) {
            (Size::None, Unsized::Declared) => Some(Len::Limited(1)),
            (Size::None, Unsized::Cast) => Some(Len::Limited(30)),
            (Size::Max, _) => Some(Len::Max),
            (Size::One(units), _) if (1..=limit).contains(units) => Some(Len::Limited(*units)),
            _ => None,
        };
        let fixed = |size: &Size, limit: u16| match units(size, limit) {
            Some(Len::Limited(units)) => Some(units),
            _ => None,
        };
        let scale = |size: &Size| match size {
            Size::None => Some(7),
            Size::One(scale) => u8::try_from(*scale).ok().filter(|scale| *scale <= 7),
            _ => None,
        };
        let plain = |column_type| matches!(size, Size::None).then_some(column_type);
        let found = match name.as_str() {
            "bit" => plain(ColumnType::Bit),
            "tinyint" => plain(ColumnType::TinyInt),
            "smallint" => plain(ColumnType::SmallInt),
            "int" | "integer" => plain(ColumnType::Int),
            "bigint" => plain(ColumnType::BigInt),
            "real" => plain(ColumnType::Real),
            "double" => plain(ColumnType::Float),
            "float" => match size {
                Size::None => Some(ColumnType::Float),
                Size::One(bits @ 1..=53) => {
                    Some(if bits <= 24 { ColumnType::Real } else { ColumnType::Float })
                }
                _ => None,
            },
            "decimal" | "numeric" | "dec" => decimal(&size),
            "money" => plain(ColumnType::Money),
            "smallmoney" => plain(ColumnType::SmallMoney),
            "nvarchar" | "national varying" | "nchar varying" => units(&size, 4000).map(ColumnType::NVarChar),
            "varchar" | "char varying" | "character varying" => units(&size, 8000).map(ColumnType::VarChar),
            "varbinary" | "binary varying" => units(&size, 8000).map(ColumnType::VarBinary),
            "nchar" => fixed(&size, 4000).map(ColumnType::NChar),
            "char" | "character" => fixed(&size, 8000).map(ColumnType::Char),
            "binary" => fixed(&size, 8000).map(ColumnType::Binary),
            "sysname" => plain(ColumnType::NVarChar(Len::Limited(128))),
            "xml" => plain(ColumnType::Xml),
            "json" => plain(ColumnType::Json),
            "date" => plain(ColumnType::Date),
            "time" => scale(&size).map(ColumnType::Time),
            "datetime2" => scale(&size).map(ColumnType::DateTime2),
            "datetimeoffset" => scale(&size).map(ColumnType::DateTimeOffset),
            "datetime" => plain(ColumnType::DateTime),
            "smalldatetime" => plain(ColumnType::SmallDateTime),
            "uniqueidentifier" => plain(ColumnType::UniqueIdentifier),
            "text" => plain(ColumnType::VarChar(Len::Max)),
            "ntext" => plain(ColumnType::NVarChar(Len::Max)),
            "image" => plain(ColumnType::VarBinary(Len::Max)),
            _ => {
                let message = format!("Cannot find data type {name}.");
                return Err(SqlError::new(2715, 16, message).at_line(line));
            }
        };
        found.ok_or_else(|| {
            let message = format!("The size given to the type '{name}' is not possible for it.");
            SqlError::new(131, 15, message).at_line(line)
        })
    }

    fn size(&mut self) -> Result<Size, SqlError> {
        if !self.eat_symbol("(") {
            return Ok(Size::None);
        }
        if self.eat_word("MAX") {
            self.expect_symbol(")")?;
            return Ok(Size::Max);
        }
        let first = self.small_number()?;
        let size =
            if self.eat_symbol(",") { Size::Two(first, self.small_number()?) } else { Size::One(first) };
        self.expect_symbol(")")?;
        Ok(size)
    }

    fn small_number(&mut self) -> Result<u16, SqlError> {
        let TokenKind::Integer(digits) = self.peek() else { return Err(self.unexpected()) };
        let Ok(value) = digits.parse() else { return Err(self.unexpected()) };
        self.bump();
        Ok(value)
    }
}

fn decimal(size: &Size) -> Option<ColumnType> {
    let (precision, scale) = match size {
        Size::None => (18, 0),
        Size::One(precision) => (*precision, 0),
        Size::Two(precision, scale) => (*precision, *scale),
        Size::Max => return None,
    };
    let (precision, scale) = (u8::try_from(precision).ok()?, u8::try_from(scale).ok()?);
    ((1..=38).contains(&precision) && scale <= precision).then_some(ColumnType::Decimal { precision, scale })
}
