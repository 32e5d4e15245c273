//! FROM: tables, joins, subqueries, VALUES.

use super::query::QueryResult;
use super::{Label, Scope, ScopeTable, Translator, Value, invalid_column};
use crate::answer::SqlError;
use crate::sql::ast::{Expr, ObjectName, TableSource};
use crate::sql::system;
use crate::sql::table::same_name;

// === impl Translator ===

impl Translator<'_> {
    /// The items of FROM, separated by commas; their tables go into `scope`.
    pub(super) fn source_list(
        &mut self,
        sources: &[TableSource],
        scope: &mut Scope,
    ) -> Result<String, SqlError> {
        let mut items = Vec::new();
        for source in sources {
            items.push(self.source(source, scope)?);
        }
        Ok(items.join(", "))
    }

    /// One item of FROM.
    pub(super) fn source(&mut self, source: &TableSource, scope: &mut Scope) -> Result<String, SqlError> {
        match source {
            TableSource::Table { name, alias, .. } => self.table_source(name, alias.as_deref(), scope),
            TableSource::Derived { query, alias, columns } => {
                // A derived table does not see its neighbours.
                let hidden = std::mem::take(&mut self.scopes);
                let place = self.place_of.take_if(|wanted| same_name(wanted, alias)).is_some();
                self.wants_place = place;
                let result = self.query(query);
                self.scopes = hidden;
                self.derived(result?, alias, columns, scope, place)
            }
            TableSource::Values { rows, alias, columns } => self.values(rows, alias, columns, scope),
            TableSource::Join { kind, left, right, on } => {
                let first = scope.len();
                let (left, right) = (self.source(left, scope)?, self.source(right, scope)?);
                let Some(on) = on else { return Ok(format!("({left} CROSS JOIN {right})")) };
                // ON sees the tables of this join only.
                let visible = scope.get(first..).unwrap_or_default().to_vec();
                self.scopes.push(visible);
                let on = self.predicate(on);
                self.scopes.pop();
                mark_outer(kind, scope.get_mut(first..).unwrap_or_default());
                Ok(format!("({left} {kind} JOIN {right} ON {})", on?))
            }
        }
    }

    fn table_source(
        &mut self,
        name: &ObjectName,
        alias: Option<&str>,
        scope: &mut Scope,
    ) -> Result<String, SqlError> {
        let physical_alias = self.new_alias();
        let shown = alias.unwrap_or(&name.name);
        if scope
            .iter()
            .any(|table| same_name(&table.name, shown) && (alias.is_some() || table.schema.is_none()))
        {
            let message =
                format!("The correlation name '{shown}' is specified multiple times in a FROM clause.");
            return Err(SqlError::new(1011, 16, message));
        }
        let common = self
            .common
            .iter()
            .rev()
            .find(|(found, ..)| name.schema.is_none() && same_name(found, &name.name));
        if let Some((_, relation, columns)) = common {
            let (sql, columns) =
                (format!("{relation} AS {physical_alias}"), requalified(columns, &physical_alias));
            scope.push(ScopeTable {
                name: shown.to_owned(),
                schema: None,
                columns,
                alias: physical_alias,
                table: None,
            });
            return Ok(sql);
        }
        let table = self.table(name)?;
        let relation =
            if table.relation == system::DATABASES { self.names.databases() } else { table.relation.clone() };
        let entry = self.scope_of(&table, alias, &physical_alias);
        scope.push(entry);
        Ok(format!("{relation} AS {physical_alias}"))
    }

    /// A subquery as an item of FROM.
    pub(super) fn derived(
        &mut self,
        result: QueryResult,
        alias: &str,
        names: &[String],
        scope: &mut Scope,
        place: bool,
    ) -> Result<String, SqlError> {
        let physical_alias = self.new_alias();
        if !names.is_empty() && names.len() != result.columns.len() {
            let word = if names.len() > result.columns.len() { "more" } else { "fewer" };
            let number = if names.len() > result.columns.len() { 8158 } else { 8159 };
            let message = format!("'{alias}' has {word} columns than were specified in the column list.");
            return Err(SqlError::new(number, 16, message));
        }
        let mut columns = Vec::new();
        for (index, (name, value)) in result.columns.iter().enumerate() {
            let name = names.get(index).unwrap_or(name).clone();
            if name.is_empty() {
                let message = format!("No column name was specified for column {} of '{alias}'.", index + 1);
                return Err(SqlError::new(8155, 16, message));
            }
            columns.push((name, inner_value(value, &physical_alias, index)));
        }
        // The rows' places come behind the columns.
        let list = column_list(columns.len() + usize::from(place));
        let sql = format!("({}) AS {physical_alias}{list}", result.sql);
        scope.push(ScopeTable {
            name: alias.to_owned(),
            schema: None,
            columns,
            alias: physical_alias,
            table: None,
        });
        Ok(sql)
    }

    fn values(
        &mut self,
        rows: &[Vec<Expr>],
        alias: &str,
        names: &[String],
        scope: &mut Scope,
    ) -> Result<String, SqlError> {
        let physical_alias = self.new_alias();
        let mut table = Vec::new();
        for row in rows {
            if row.len() != names.len() {
                return Err(SqlError::new(
                    10709,
                    16,
                    "The number of columns for each row in a table value constructor must be the same.",
                ));
            }
            table.push(row.iter().map(|value| self.value(value)).collect::<Result<Vec<_>, _>>()?);
        }
        let mut columns = Vec::new();
        let mut texts: Vec<Vec<String>> = vec![Vec::new(); rows.len()];
        for (index, name) in names.iter().enumerate() {
            let cells: Vec<Value> = table.iter().filter_map(|row| row.get(index).cloned()).collect();
            let (converted, value) = self.alike(&cells, "VALUES")?;
            let cast = crate::sql::physical::value_sql(value.column_type);
            for (row, text) in texts.iter_mut().zip(converted) {
                row.push(format!("{text}::{cast}"));
            }
            columns.push((name.clone(), inner_value(&value, &physical_alias, index)));
        }
        let rows: Vec<String> = texts.iter().map(|row| format!("({})", row.join(", "))).collect();
        let sql = format!("(VALUES {}) AS {physical_alias}{}", rows.join(", "), column_list(columns.len()));
        scope.push(ScopeTable {
            name: alias.to_owned(),
            schema: None,
            columns,
            alias: physical_alias,
            table: None,
        });
        Ok(sql)
    }

    /// All columns of `*` or `t.*`.
    pub(super) fn star(&self, qualifier: Option<&str>) -> Result<Vec<(String, Value)>, SqlError> {
        let scope = self.scopes.last().map(Vec::as_slice).unwrap_or_default();
        let meant = scope.iter().filter(|table| qualifier.is_none_or(|name| same_name(&table.name, name)));
        let columns: Vec<_> = meant.flat_map(|table| table.columns.iter().cloned()).collect();
        match (qualifier, columns.is_empty()) {
            (Some(name), true) => Err(SqlError::new(
                107,
                15,
                format!(
                    "The column prefix '{name}' does not match with a table name or alias name used in the query."
                ),
            )),
            (None, true) => Err(SqlError::new(263, 16, "Must specify table to select from.")),
            _ => Ok(columns),
        }
    }

    /// The column of a scope's table, for OUTPUT.
    pub(super) fn column_of(&self, table: &ScopeTable, name: &str) -> Result<Value, SqlError> {
        let found = table.columns.iter().find(|(column, _)| same_name(column, name));
        found.map(|(_, value)| value.clone()).ok_or_else(|| invalid_column(name))
    }
}

/// `(c1, c2, ..)`
pub(super) fn column_list(count: usize) -> String {
    let names: Vec<String> = (1..=count).map(|number| format!("c{number}")).collect();
    format!(" ({})", names.join(", "))
}

/// A column of a subquery, seen from outside: COLLATE no longer is explicit there.
pub(super) fn inner_value(value: &Value, alias: &str, index: usize) -> Value {
    let label = match &value.label {
        Label::Explicit(collate) => Label::Implicit(collate.clone()),
        other => other.clone(),
    };
    Value { sql: format!("{alias}.c{}", index + 1), label, is_null: false, simple: true, ..value.clone() }
}

/// Columns of a common table expression under another alias.
fn requalified(columns: &[(String, Value)], alias: &str) -> Vec<(String, Value)> {
    let values = columns.iter().enumerate();
    values.map(|(index, (name, value))| (name.clone(), inner_value(value, alias, index))).collect()
}

/// Columns of the side that may have no row may be NULL.
fn mark_outer(kind: &str, tables: &mut [ScopeTable]) {
    if kind == "INNER" {
        return;
    }
    for table in tables {
        for (_, value) in &mut table.columns {
            value.nullable = true;
        }
    }
}
