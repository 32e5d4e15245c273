//! INSERT and DELETE.

use std::sync::Arc;

use segcdc_tds::ColumnType;

use super::output::Images;
use super::update::Target;
use super::{Plan, Purpose, Translator, Value, invalid_column};
use crate::answer::{SqlError, command};
use crate::sql::ast::{Delete, Expr, Insert, InsertSource};
use crate::sql::physical;
use crate::sql::table::{Column, Table};

/// Rows of one VALUES (T-SQL manual, "Table Value Constructor").
const MAX_ROWS: usize = 1000;

// === impl Translator ===

impl Translator<'_> {
    /// INSERT
    pub(super) fn insert_plan(mut self, insert: &Insert) -> Result<Plan, SqlError> {
        let table = self.writable(&insert.table)?;
        let with = self.with(&insert.with)?;
        let columns = self.insert_columns(&table, &insert.columns)?;
        let alias = self.new_alias();
        let names: Vec<&str> = columns.iter().map(|column| column.physical.as_str()).collect();
        let into = format!("{with}INSERT INTO {} AS {alias} ({})", table.relation, names.join(", "));
        let sql = match &insert.source {
            InsertSource::Values(rows) => {
                format!("{into} VALUES {}", self.insert_rows(&table, &columns, rows)?)
            }
            InsertSource::Query(query) => {
                let query = self.insert_query(&table, &columns, query)?;
                format!("{into} {query}")
            }
            InsertSource::Defaults => {
                format!("{with}INSERT INTO {} AS {alias} DEFAULT VALUES", table.relation)
            }
        };
        let inserted = self.scope_of(&table, None, &alias);
        let images = Images { inserted: Some(inserted), deleted: None, others: Vec::new() };
        let returning = self.returning(insert.output.as_ref(), images)?;
        let plan = self.change_plan(sql, command::INSERT, insert.output.as_ref(), returning)?;
        Ok(Plan { target: Some(table), ..plan })
    }

    /// A table that can be written (259: a view of the catalog).
    pub(super) fn writable(&mut self, name: &crate::sql::ast::ObjectName) -> Result<Arc<Table>, SqlError> {
        let table = self.table(name)?;
        if table.system {
            return Err(SqlError::new(259, 16, "Ad hoc updates to system catalogs are not allowed."));
        }
        Ok(table)
    }

    /// The columns that an INSERT fills (544, 545: identity; 264: named twice).
    pub(super) fn insert_columns(
        &self,
        table: &Arc<Table>,
        names: &[String],
    ) -> Result<Vec<Column>, SqlError> {
        let identity_insert = self.names.identity_insert(table);
        if names.is_empty() {
            let all = table.columns.iter().filter(|column| !column.identity || identity_insert);
            return Ok(all.cloned().collect());
        }
        let mut columns: Vec<Column> = Vec::new();
        for name in names {
            let column = table.column(name).ok_or_else(|| invalid_column(name))?;
            if columns.iter().any(|other| other.column_id == column.column_id) {
                let message = format!(
                    "The column name '{name}' is specified more than once in the SET clause or column list of an INSERT. \
                     A column cannot be assigned more than one value in the same clause."
                );
                return Err(SqlError::new(264, 16, message));
            }
            if column.identity && !identity_insert {
                let message = format!(
                    "Cannot insert explicit value for identity column in table '{}' when IDENTITY_INSERT is set to OFF.",
                    table.name
                );
                return Err(SqlError::new(544, 16, message));
            }
            columns.push(column.clone());
        }
        let missing = table.columns.iter().any(|column| column.identity) && identity_insert;
        if missing && !columns.iter().any(|column| column.identity) {
            let message = format!(
                "Explicit value must be specified for identity column in table '{}' either when IDENTITY_INSERT is set to ON \
                 or when a replication user is inserting into a NOT FOR REPLICATION identity column.",
                table.name
            );
            return Err(SqlError::new(545, 16, message));
        }
        Ok(columns)
    }

    fn insert_rows(
        &mut self,
        table: &Table,
        columns: &[Column],
        rows: &[Vec<Expr>],
    ) -> Result<String, SqlError> {
        if rows.len() > MAX_ROWS {
            let message = "The number of row value expressions in the INSERT statement exceeds the maximum allowed number of 1000 row values.";
            return Err(SqlError::new(10738, 15, message));
        }
        let mut texts = Vec::new();
        for row in rows {
            check_count(row.len(), columns.len())?;
            texts.push(format!("({})", self.assigned(table, columns, row)?));
        }
        Ok(texts.join(", "))
    }

    /// Values for columns, separated by commas.
    pub(super) fn assigned(
        &mut self,
        table: &Table,
        columns: &[Column],
        row: &[Expr],
    ) -> Result<String, SqlError> {
        let mut cells = Vec::new();
        for (column, expr) in columns.iter().zip(row) {
            cells.push(self.assigned_value(table, column, expr)?);
        }
        Ok(cells.join(", "))
    }

    /// One value for a column.
    pub(super) fn assigned_value(
        &mut self,
        table: &Table,
        column: &Column,
        expr: &Expr,
    ) -> Result<String, SqlError> {
        if *expr == Expr::Default {
            return Ok("DEFAULT".to_owned());
        }
        let value = self.value(expr)?;
        self.fitted(table, column, &value)
    }

    fn fitted(&mut self, table: &Table, column: &Column, value: &Value) -> Result<String, SqlError> {
        let shown = table.shown();
        let shown = format!("{}.{shown}", self.names.database());
        let shown = if table.name.starts_with('#') { format!("tempdb.dbo.{}", table.name) } else { shown };
        let utf8 = column.collation.as_ref().is_some_and(|collate| collate.utf8);
        let purpose = Purpose::Column { table: &shown, column: &column.name, utf8 };
        self.convert(value, column.column_type, purpose)
    }

    fn insert_query(
        &mut self,
        table: &Table,
        columns: &[Column],
        query: &crate::sql::ast::Query,
    ) -> Result<String, SqlError> {
        let result = self.query(query)?;
        check_count(result.columns.len(), columns.len())?;
        let alias = self.new_alias();
        let mut converted = Vec::new();
        let mut differs = false;
        for (index, (column, (_, value))) in columns.iter().zip(&result.columns).enumerate() {
            let inner = super::from::inner_value(value, &alias, index);
            let inner = Value { is_null: value.is_null, ..inner };
            let sql = self.fitted(table, column, &inner)?;
            differs |= sql != inner.sql || needs_cast(value.column_type, column.column_type);
            converted.push(sql);
        }
        if !differs {
            return Ok(result.sql);
        }
        let list = super::from::column_list(result.columns.len());
        Ok(format!("SELECT {} FROM ({}) AS {alias}{list}", converted.join(", "), result.sql))
    }

    /// DELETE
    pub(super) fn delete_plan(mut self, delete: &Delete) -> Result<Plan, SqlError> {
        let with = self.with(&delete.with)?;
        if let Some((sql, table)) = self.derived_delete(delete)? {
            let plan = self.into_plan(format!("{with}{sql}"), None);
            return Ok(Plan { command: command::DELETE, target: Some(table), ..plan });
        }
        let target = self.target(&delete.target, &delete.from)?;
        let table = Arc::clone(&target.table);
        let (sql, target) = if delete.top.is_none()
            && let Some(flat) = target.flat(&delete.from)
        {
            self.flat_delete(target, &flat, delete.filter.as_ref())?
        } else {
            self.nested_delete(target, delete)?
        };
        let Target { entry, others, .. } = target;
        let images = Images { inserted: None, deleted: Some(entry), others };
        let returning = self.returning(delete.output.as_ref(), images)?;
        let plan =
            self.change_plan(format!("{with}{sql}"), command::DELETE, delete.output.as_ref(), returning)?;
        Ok(Plan { target: Some(table), ..plan })
    }

    fn flat_delete(
        &mut self,
        mut target: Target,
        flat: &super::update::Flat<'_>,
        filter: Option<&Expr>,
    ) -> Result<(String, Target), SqlError> {
        let (others, conditions) = self.flatten(&mut target, flat, filter)?;
        let using = if others.is_empty() { String::new() } else { format!(" USING {}", others.join(", ")) };
        let filter = where_clause(&conditions);
        let sql = format!("DELETE FROM {} AS {}{using}{filter}", target.table.relation, target.entry.alias);
        Ok((sql, target))
    }

    /// With TOP or outer joins: rows are found first, and deleted by their place.
    fn nested_delete(&mut self, target: Target, delete: &Delete) -> Result<(String, Target), SqlError> {
        let inner = self.found_rows(&target, &delete.from, delete.filter.as_ref(), delete.top.as_ref())?;
        let alias = self.new_alias();
        let sql = format!(
            "DELETE FROM {} AS {alias} WHERE {alias}.ctid = ANY (ARRAY({inner}))",
            target.table.relation
        );
        let entry = self.scope_of(&target.table, None, &alias);
        Ok((sql, Target { entry, others: Vec::new(), ..target }))
    }
}

/// ` WHERE a AND b`, or nothing.
pub(super) fn where_clause(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

fn check_count(values: usize, columns: usize) -> Result<(), SqlError> {
    let (number, message) = match values.cmp(&columns) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => (
            109,
            "There are more columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.",
        ),
        std::cmp::Ordering::Greater => (
            110,
            "There are fewer columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.",
        ),
    };
    Err(SqlError::new(number, 15, message))
}

fn needs_cast(from: ColumnType, to: ColumnType) -> bool {
    physical::value_sql(from) != physical::value_sql(to)
}
