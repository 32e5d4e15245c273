//! String functions.

use segcdc_tds::{ColumnType, Len};

use super::compare::postgres_collation;
use super::convert::{Purpose, text_type};
use super::{Label, Translator, Value};
use crate::answer::SqlError;
use crate::sql::physical::{self, Family};

// === impl Translator ===

impl Translator<'_> {
    /// A string function; `None` for any other function.
    pub(super) fn text_function(
        &mut self,
        name: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, SqlError> {
        let Some(first) = arguments.first() else { return Ok(None) };
        if let Some(value) = self.measure(name, arguments)? {
            return Ok(Some(value));
        }
        let is_text = first.family() == Family::Text;
        let label = if is_text { first.label.clone() } else { Label::Default };
        let column_type = if is_text { first.column_type } else { text_type(true, 4000) };
        let number = |index: usize| arguments.get(index).map_or("0", |value| value.sql.as_str());
        let word = name.to_lowercase();
        let (sql, column_type) = match (name, arguments) {
            ("SUBSTRING", [value, ..]) if value.family() == Family::Binary => {
                let sql = format!("substr({}, ({})::int4, ({})::int4)", value.sql, number(1), number(2));
                return Ok(Some(Value::new(sql, ColumnType::VarBinary(Len::Limited(8000)))));
            }
            ("UPPER" | "LOWER", [value]) => {
                let text = self.plain(value)?;
                (format!("{word}(({text}) COLLATE \"C.utf8\")"), column_type)
            }
            ("LTRIM" | "RTRIM", [value]) => (format!("{word}({}, ' ')", self.plain(value)?), column_type),
            ("TRIM", [value]) => (format!("btrim({}, ' ')", self.plain(value)?), column_type),
            ("REVERSE", [value]) => (format!("reverse({})", self.plain(value)?), column_type),
            ("LEFT" | "RIGHT", [value, _]) => {
                (format!("{word}({}, ({})::int4)", self.plain(value)?, number(1)), column_type)
            }
            ("SUBSTRING", [value, _, _]) => {
                let text = self.plain(value)?;
                (format!("substr({text}, ({})::int4, ({})::int4)", number(1), number(2)), column_type)
            }
            ("REPLICATE", [value, _]) => {
                let text = self.plain(value)?;
                (format!("repeat({text}, ({})::int4)", number(1)), grown(column_type))
            }
            ("REPLACE", [value, from, to]) => {
                let (text, from, to) = (self.plain(value)?, self.plain(from)?, self.plain(to)?);
                (format!("replace({text}, {from}, {to})"), grown(column_type))
            }
            ("CONCAT", _) => {
                let mut parts = Vec::new();
                for argument in arguments {
                    parts.push(format!("coalesce({}, '')", self.plain(argument)?));
                }
                (parts.join(" || "), text_type(true, 4000))
            }
            ("QUOTENAME", [value]) => {
                let text = self.plain(value)?;
                (format!("'[' || replace({text}, ']', ']]') || ']'"), text_type(true, 258))
            }
            ("NCHAR" | "CHAR", [value]) => {
                let column_type = if name == "CHAR" { ColumnType::Char(1) } else { ColumnType::NChar(1) };
                (format!("chr(({})::int4)", value.sql), column_type)
            }
            _ => return Ok(None),
        };
        let sql = format!("(({sql})::bpchar COLLATE {})", postgres_collation(&label));
        let nullable =
            name != "CONCAT" && arguments.iter().any(|argument| argument.nullable || argument.is_null);
        Ok(Some(Value { nullable, ..Value::new(sql, column_type).labelled(label) }))
    }

    /// The argument as text of PostgreSQL that keeps its blanks, compared by code.
    pub(super) fn plain(&mut self, value: &Value) -> Result<String, SqlError> {
        let sql = self.convert(value, text_type(true, usize::MAX), Purpose::Implicit)?;
        Ok(format!("tsql.text_of({sql}) COLLATE \"C\""))
    }

    /// The functions of strings that return numbers.
    fn measure(&mut self, name: &str, arguments: &[Value]) -> Result<Option<Value>, SqlError> {
        let sql = match (name, arguments) {
            ("DATALENGTH", [value]) => return self.data_length(value).map(Some),
            ("LEN", [value]) if value.family() == Family::Binary => format!("octet_length({})", value.sql),
            ("LEN", [value]) => {
                format!("tsql.len({})", self.convert(value, text_type(true, usize::MAX), Purpose::Implicit)?)
            }
            ("CHARINDEX", [needle, value]) => {
                let (needle, text) = (self.plain(needle)?, self.plain(value)?);
                format!("strpos(lower({text}), lower({needle}))")
            }
            ("UNICODE" | "ASCII", [value]) => format!("ascii({})", self.plain(value)?),
            _ => return Ok(None),
        };
        Ok(Some(Value::new(sql, ColumnType::Int)))
    }

    /// DATALENGTH: bytes that the value has on SQL Server.
    fn data_length(&mut self, value: &Value) -> Result<Value, SqlError> {
        let sql = match value.family() {
            // Written out where it can be: a call for each row of a join would cost more than the join.
            Family::Text if physical::is_national(value.column_type) && value.simple => {
                let x = &value.sql;
                format!(
                    "(2 * CASE WHEN octet_length({x}) = char_length(tsql.text_of_raw({x}, -1, false)) THEN octet_length({x}) \
                     ELSE tsql.units({x}) END)"
                )
            }
            Family::Text if physical::is_national(value.column_type) => {
                format!("(2 * tsql.units({}))", value.sql)
            }
            Family::Text if is_utf8(&value.label) => format!("octet_length({})", value.sql),
            Family::Text => format!("tsql.bytes({})", value.sql),
            Family::Binary => format!("octet_length({})", value.sql),
            Family::Json => {
                return Err(super::unsupported("DATALENGTH of json, whose binary form is not known"));
            }
            _ => {
                let size = physical::catalog_numbers(value.column_type).0;
                format!("(CASE WHEN ({}) IS NULL THEN NULL ELSE {size} END)", value.sql)
            }
        };
        let column_type = match value.column_type {
            ColumnType::NVarChar(Len::Max)
            | ColumnType::VarChar(Len::Max)
            | ColumnType::VarBinary(Len::Max) => ColumnType::BigInt,
            _ => ColumnType::Int,
        };
        let nullable = value.nullable || value.is_null;
        Ok(Value { nullable, ..Value::new(sql, column_type) })
    }
}

/// The type of a text that may be longer than the one it is made of.
fn grown(column_type: ColumnType) -> ColumnType {
    let is_max = matches!(column_type, ColumnType::NVarChar(Len::Max) | ColumnType::VarChar(Len::Max));
    let national = physical::is_national(column_type);
    let limit = if national { 4000 } else { 8000 };
    text_type(national, if is_max { usize::MAX } else { limit })
}

/// Whether varchar of this collation is UTF-8.
fn is_utf8(label: &Label) -> bool {
    matches!(label, Label::Implicit(collate) | Label::Explicit(collate) if collate.utf8)
}
