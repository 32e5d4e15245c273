//! System procedures.

use futures_util::FutureExt;
use segcdc_tds::{ColumnType, Datum};

use super::flow::{Flow, Frame};
use super::{Session, catalog_procedure};
use crate::answer::{OutColumn, Replies, Reply, SqlError, command};
use crate::decode::declaration;

/// Name (empty by position), type and value of an argument.
pub(super) type Given = (String, ColumnType, Datum);

/// How a call ended, and the parameters as it left them.
pub(super) type Called = (Flow, Vec<(String, Datum)>);

// === impl Session ===

impl Session {
    /// Calls a procedure by its bare name (2812: not known).
    pub(super) async fn call(
        &mut self,
        name: &str,
        arguments: Vec<Given>,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Called, SqlError> {
        match name.to_ascii_lowercase().as_str() {
            "sp_executesql" => self.execute_sql(arguments, frame, out).await,
            "sp_tablecollations_100" | "sp_tablecollations_90" | "sp_tablecollations" => {
                self.table_collations(&arguments, out).await?;
                Ok((Flow::Next, Vec::new()))
            }
            "sp_rename" => {
                self.rename(&arguments).await?;
                Ok((Flow::Next, Vec::new()))
            }
            "sp_unprepare" | "sp_reset_connection" => Ok((Flow::Next, Vec::new())),
            other if catalog_procedure::find(other).is_some() => {
                self.catalog_procedure(other, arguments, frame, out).await
            }
            _ => {
                let message = format!("Could not find stored procedure '{name}'.");
                Err(SqlError::new(2812, 16, message).with_state(62))
            }
        }
    }

    /// `sp_executesql text, declarations, values`
    async fn execute_sql(
        &mut self,
        arguments: Vec<Given>,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Called, SqlError> {
        let mut arguments = arguments.into_iter();
        let text = arguments.next().and_then(|(_, _, value)| value.as_text().map(str::to_owned));
        let text = text.ok_or_else(|| {
            SqlError::new(214, 16, "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.")
        })?;
        let declared = arguments.next().and_then(|(_, _, value)| value.as_text().map(str::to_owned));
        let mut inner = frame.nested()?;
        let declarations = declaration::parse(declared.as_deref().unwrap_or_default());
        let given: Vec<Given> = arguments.collect();
        for (index, declaration) in declarations.iter().enumerate() {
            let by_name = given.iter().find(|(name, ..)| name.eq_ignore_ascii_case(&declaration.name));
            let by_position = given.get(index).filter(|(name, ..)| name.is_empty());
            let found = by_name.or(by_position);
            let value = found.map_or(Datum::Null, |(_, _, value)| value.clone());
            let given_type = found.map_or(ColumnType::Int, |(_, column_type, _)| *column_type);
            inner.declare(&declaration.name, declaration.column_type.unwrap_or(given_type), value);
        }
        let format_only = self.options.format_only;
        let flow = self.run_text(&text, &mut inner, out).boxed().await;
        // SET within the text ends with it.
        self.options.format_only = format_only;
        let outputs = declarations.iter().filter_map(|declaration| {
            Some((declaration.name.clone(), inner.value(&declaration.name)?.clone()))
        });
        let flow = match flow? {
            Flow::Caught(error) => Flow::Caught(error),
            _ => Flow::Next,
        };
        Ok((flow, outputs.collect()))
    }

    /// What bulk copies ask for: one row a column.
    async fn table_collations(&mut self, arguments: &[Given], out: &Replies) -> Result<(), SqlError> {
        let name = arguments.first().and_then(|(_, _, value)| value.as_text()).unwrap_or_default();
        let name = object_name(name);
        let table = self.find_table(&name).await?;
        let text = ColumnType::NVarChar(segcdc_tds::Len::Limited(128));
        let columns = vec![
            OutColumn::new("colid", ColumnType::Int),
            OutColumn::new("name", text),
            OutColumn::new("tds_collation_28", ColumnType::VarBinary(segcdc_tds::Len::Limited(5))),
            OutColumn::new("collation_28", text),
            OutColumn::new("tds_collation_90", ColumnType::VarBinary(segcdc_tds::Len::Limited(5))),
            OutColumn::new("collation_90", text),
            OutColumn::new("tds_collation_100", ColumnType::VarBinary(segcdc_tds::Len::Limited(5))),
            OutColumn::new("collation_100", text),
        ];
        let rows = table.iter().flat_map(|table| &table.columns).map(|column| {
            let collation = column.collation.as_ref();
            let wire = collation.map_or(Datum::Null, |collate| Datum::Bytes(collate.wire.0.to_vec()));
            let name = collation.map_or(Datum::Null, |collate| Datum::Text(collate.name.clone()));
            vec![
                Datum::Int(i64::from(column.column_id)),
                Datum::Text(column.name.clone()),
                wire.clone(),
                name.clone(),
                wire.clone(),
                name.clone(),
                wire,
                name,
            ]
        });
        let rows: Vec<Vec<Datum>> = rows.collect();
        let count = u64::try_from(rows.len()).ok();
        out.send(Reply::Columns(columns)).await.ok();
        if !rows.is_empty() {
            out.send(Reply::Rows(rows)).await.ok();
        }
        out.send(Reply::Done { count, command: command::SELECT }).await.ok();
        Ok(())
    }

    /// `sp_rename 'table', 'new'` and `sp_rename 'table.column', 'new', 'COLUMN'`
    async fn rename(&mut self, arguments: &[Given]) -> Result<(), SqlError> {
        let text = |index: usize| arguments.get(index).and_then(|(_, _, value)| value.as_text());
        let (Some(old), Some(new)) = (text(0), text(1)) else {
            return Err(SqlError::new(
                201,
                16,
                "Procedure or function 'sp_rename' expects parameter '@objname', which was not supplied.",
            ));
        };
        let is_column = text(2).is_some_and(|kind| kind.eq_ignore_ascii_case("COLUMN"));
        let mut name = object_name(old);
        let column = if is_column {
            let column = std::mem::take(&mut name.name);
            name.name = name.schema.take().unwrap_or_default();
            name.schema = name.database.take();
            Some(column)
        } else {
            None
        };
        self.rename_object(&name, column.as_deref(), new).await
    }
}

/// A name as a text, delimited or not.
pub(super) fn object_name(text: &str) -> crate::sql::ast::ObjectName {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let close = match rest.chars().next() {
            Some('[') => Some(']'),
            Some('"') => Some('"'),
            _ => None,
        };
        let mut part = String::new();
        let mut chars = rest.chars();
        if let Some(close) = close {
            chars.next();
            while let Some(char) = chars.next() {
                if char != close {
                    part.push(char);
                } else if chars.as_str().starts_with(close) {
                    chars.next();
                    part.push(close);
                } else {
                    break;
                }
            }
            if chars.as_str().starts_with('.') {
                chars.next();
            }
        } else {
            for char in chars.by_ref() {
                if char == '.' {
                    break;
                }
                part.push(char);
            }
        }
        rest = chars.as_str();
        parts.push(part);
    }
    let name = parts.pop().unwrap_or_default();
    let schema = parts.pop().filter(|part| !part.is_empty());
    let database = parts.pop().filter(|part| !part.is_empty());
    crate::sql::ast::ObjectName { database, schema, name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let check = |text: &str, database: Option<&str>, schema: Option<&str>, name: &str| {
            let found = object_name(text);
            assert_eq!(
                (found.database.as_deref(), found.schema.as_deref(), found.name.as_str()),
                (database, schema, name)
            );
        };
        check("t", None, None, "t");
        check("dbo.t", None, Some("dbo"), "t");
        check("[a.b].[c]]d]", None, Some("a.b"), "c]d");
        check("db..[t]", Some("db"), None, "t");
    }
}
