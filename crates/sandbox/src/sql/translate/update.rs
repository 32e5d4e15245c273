//! UPDATE, and what it shares with DELETE: finding the rows through FROM.
//!
//! A FROM of inner joins becomes PostgreSQL's own `UPDATE .. FROM` with the ON conditions in WHERE, which lets its
//! planner drive the join from the small staging table into the index of the big one. Everything else (TOP, outer
//! joins, OUTPUT of deleted) finds rows in a subquery first and changes them by their place (ctid).

use std::sync::Arc;

use super::modify::where_clause;
use super::output::{Images, names_deleted};
use super::{Plan, Scope, ScopeTable, Translator, Value, invalid_column};
use crate::answer::{SqlError, command};
use crate::sql::ast::{Expr, ObjectName, TableSource, Update};
use crate::sql::table::{Column, Table, same_name};

/// The table that a statement changes.
pub(super) struct Target {
    pub(super) table: Arc<Table>,
    /// It, as names refer to it.
    pub(super) entry: ScopeTable,
    /// Its name in FROM; `None` when it is not there.
    pub(super) name: Option<String>,
    /// The other tables of FROM, once they are translated.
    pub(super) others: Vec<ScopeTable>,
}

/// FROM as a list of tables and conditions.
pub(super) struct Flat<'q> {
    sources: Vec<&'q TableSource>,
    conditions: Vec<&'q Expr>,
}

// === impl Target ===

impl Target {
    /// FROM without the target, when it has inner joins only.
    pub(super) fn flat<'q>(&self, from: &'q [TableSource]) -> Option<Flat<'q>> {
        let mut flat = Flat { sources: Vec::new(), conditions: Vec::new() };
        for source in from {
            flat.add(source)?;
        }
        let mut met = 0;
        if let Some(name) = &self.name {
            flat.sources.retain(|source| {
                let is_target = is_named(source, name);
                met += usize::from(is_target);
                !is_target
            });
        }
        (self.name.is_none() || met == 1).then_some(flat)
    }
}

// === impl Flat ===

impl<'q> Flat<'q> {
    fn add(&mut self, source: &'q TableSource) -> Option<()> {
        match source {
            TableSource::Join { kind: "INNER" | "CROSS", left, right, on } => {
                self.add(left)?;
                self.add(right)?;
                self.conditions.extend(on.as_ref());
                Some(())
            }
            TableSource::Join { .. } => None,
            other => {
                self.sources.push(other);
                Some(())
            }
        }
    }
}

/// Whether a table of FROM goes by this name.
fn is_named(source: &TableSource, wanted: &str) -> bool {
    match source {
        TableSource::Table { name, alias, .. } => same_name(alias.as_ref().unwrap_or(&name.name), wanted),
        _ => false,
    }
}

/// The table of FROM that `name` means: by alias, else by its own name.
fn find<'q>(from: &'q [TableSource], name: &ObjectName) -> Option<(&'q ObjectName, String)> {
    fn walk<'q>(source: &'q TableSource, found: &mut Vec<(&'q ObjectName, Option<&'q str>)>) {
        match source {
            TableSource::Table { name, alias, .. } => found.push((name, alias.as_deref())),
            TableSource::Join { left, right, .. } => {
                walk(left, found);
                walk(right, found);
            }
            TableSource::Derived { .. } | TableSource::Values { .. } => {}
        }
    }
    let mut found = Vec::new();
    for source in from {
        walk(source, &mut found);
    }
    let by_alias = found
        .iter()
        .find(|(_, alias)| name.schema.is_none() && alias.is_some_and(|alias| same_name(alias, &name.name)));
    let by_name = found.iter().find(|(table, _)| {
        let same_schema = match (&table.schema, &name.schema) {
            (Some(a), Some(b)) => same_name(a, b),
            (a, b) => a.as_deref().unwrap_or("dbo").eq_ignore_ascii_case(b.as_deref().unwrap_or("dbo")),
        };
        same_name(&table.name, &name.name) && same_schema
    });
    by_alias.or(by_name).map(|(table, alias)| (*table, alias.unwrap_or(&table.name).to_owned()))
}

// === impl Translator ===

impl Translator<'_> {
    /// The table that UPDATE or DELETE names, directly or through FROM.
    pub(super) fn target(&mut self, name: &ObjectName, from: &[TableSource]) -> Result<Target, SqlError> {
        let found = find(from, name);
        let table = self.writable(found.as_ref().map_or(name, |(table, _)| table))?;
        let alias = self.new_alias();
        let shown = found.as_ref().map(|(_, shown)| shown.clone());
        let is_alias = shown.as_ref().is_some_and(|shown| !same_name(shown, &table.name));
        let entry = self.scope_of(&table, shown.as_deref().filter(|_| is_alias), &alias);
        Ok(Target { table, entry, name: shown, others: Vec::new() })
    }

    /// The other tables of a flat FROM, and all conditions. Leaves the scope pushed and popped as it was.
    pub(super) fn flatten(
        &mut self,
        target: &mut Target,
        flat: &Flat<'_>,
        filter: Option<&Expr>,
    ) -> Result<(Vec<String>, Vec<String>), SqlError> {
        let mut scope: Scope = vec![target.entry.clone()];
        let mut others = Vec::new();
        for source in &flat.sources {
            others.push(self.source(source, &mut scope)?);
        }
        target.others = scope.iter().skip(1).cloned().collect();
        self.scopes.push(scope);
        let conditions = flat.conditions.iter().copied().chain(filter);
        let conditions = conditions.map(|condition| self.predicate(condition)).collect::<Result<Vec<_>, _>>();
        self.scopes.pop();
        Ok((others, conditions?))
    }

    /// A query for the places of the rows to change.
    pub(super) fn found_rows(
        &mut self,
        target: &Target,
        from: &[TableSource],
        filter: Option<&Expr>,
        top: Option<&Expr>,
    ) -> Result<String, SqlError> {
        let (sql, alias, scope) = self.found_from(target, from)?;
        self.scopes.push(scope);
        let filter = filter.map(|filter| self.predicate(filter)).transpose();
        let top = top.map(|top| self.row_count(top)).transpose();
        self.scopes.pop();
        let filter = filter?.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let limit = top?.map_or(String::new(), |top| format!(" LIMIT {top}"));
        Ok(format!("SELECT {alias}.ctid FROM {sql}{filter}{limit}"))
    }

    /// FROM with the target in it: its SQL, the target's alias there, its tables.
    fn found_from(
        &mut self,
        target: &Target,
        from: &[TableSource],
    ) -> Result<(String, String, Scope), SqlError> {
        let mut scope = Scope::new();
        let mut sql = self.source_list(from, &mut scope)?;
        let wanted = target.name.as_deref();
        let found = wanted.and_then(|name| scope.iter().find(|table| same_name(&table.name, name)));
        let alias = match found {
            Some(table) => table.alias.clone(),
            None => {
                let alias = self.new_alias();
                let entry = self.scope_of(&target.table, None, &alias);
                scope.push(entry);
                let item = format!("{} AS {alias}", target.table.relation);
                sql = if sql.is_empty() { item } else { format!("{item}, {sql}") };
                alias
            }
        };
        Ok((sql, alias, scope))
    }

    /// UPDATE
    pub(super) fn update_plan(mut self, update: &Update) -> Result<Plan, SqlError> {
        let with = self.with(&update.with)?;
        let mut target = self.target(&update.target, &update.from)?;
        let table = Arc::clone(&target.table);
        let columns = set_columns(&table, &update.set)?;
        let wants_old = names_deleted(update.output.as_ref());
        let flat = if update.top.is_none() && !wants_old { target.flat(&update.from) } else { None };
        let (sql, images) = if let Some(flat) = flat {
            let (others, conditions) = self.flatten(&mut target, &flat, update.filter.as_ref())?;
            let mut scope: Scope = vec![target.entry.clone()];
            scope.extend(target.others.iter().cloned());
            self.scopes.push(scope);
            let set = self.set_list(&table, &columns, &update.set);
            self.scopes.pop();
            let from = if others.is_empty() { String::new() } else { format!(" FROM {}", others.join(", ")) };
            let (relation, alias) = (&table.relation, &target.entry.alias);
            let sql = format!("UPDATE {relation} AS {alias} SET {}{from}{}", set?, where_clause(&conditions));
            (sql, Images { inserted: Some(target.entry), deleted: None, others: target.others })
        } else {
            self.nested_update(&target, &columns, update, wants_old)?
        };
        let returning = self.returning(update.output.as_ref(), images)?;
        let plan =
            self.change_plan(format!("{with}{sql}"), command::UPDATE, update.output.as_ref(), returning)?;
        Ok(Plan { target: Some(table), ..plan })
    }

    /// `column = value, ..`
    pub(super) fn set_list(
        &mut self,
        table: &Table,
        columns: &[Column],
        set: &[(String, Expr)],
    ) -> Result<String, SqlError> {
        let mut items = Vec::new();
        for (column, (_, expr)) in columns.iter().zip(set) {
            items.push(format!("{} = {}", column.physical, self.assigned_value(table, column, expr)?));
        }
        Ok(items.join(", "))
    }

    /// Rows, their new and their old values are found in a subquery, which locks them.
    fn nested_update(
        &mut self,
        target: &Target,
        columns: &[Column],
        update: &Update,
        wants_old: bool,
    ) -> Result<(String, Images), SqlError> {
        let table = &target.table;
        let (from, inner_alias, scope) = self.found_from(target, &update.from)?;
        self.scopes.push(scope);
        let values = columns.iter().zip(&update.set).map(|(column, (_, expr))| {
            let value = self.assigned_value(table, column, expr)?;
            Ok(if value == "DEFAULT" { "NULL".to_owned() } else { value })
        });
        let values = values.collect::<Result<Vec<_>, SqlError>>();
        let filter = update.filter.as_ref().map(|filter| self.predicate(filter)).transpose();
        let top = update.top.as_ref().map(|top| self.row_count(top)).transpose();
        self.scopes.pop();
        let (values, filter, top) = (values?, filter?, top?);
        let (alias, found) = (self.new_alias(), self.new_alias());
        let mut list = vec![format!("{inner_alias}.ctid AS id")];
        list.extend(values.iter().enumerate().map(|(index, value)| format!("{value} AS n{index}")));
        let mut deleted = None;
        if wants_old {
            let mut old = self.scope_of(table, None, &found);
            for ((_, value), column) in old.columns.iter_mut().zip(&table.columns) {
                list.push(format!("{inner_alias}.{} AS o{}", column.physical, column.column_id));
                *value = Value { sql: format!("{found}.o{}", column.column_id), ..value.clone() };
            }
            deleted = Some(old);
        }
        let set: Vec<String> = columns
            .iter()
            .zip(&update.set)
            .enumerate()
            .map(|(index, (column, (_, expr)))| match expr {
                Expr::Default => format!("{} = DEFAULT", column.physical),
                _ => format!("{} = {found}.n{index}", column.physical),
            })
            .collect();
        let filter = filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let limit = top.map_or(String::new(), |top| format!(" LIMIT {top}"));
        let sql = format!(
            "UPDATE {} AS {alias} SET {} FROM (SELECT {} FROM {from}{filter}{limit} FOR UPDATE OF {inner_alias}) AS {found} \
             WHERE {alias}.ctid = {found}.id",
            table.relation,
            set.join(", "),
            list.join(", ")
        );
        let inserted = self.scope_of(table, None, &alias);
        Ok((sql, Images { inserted: Some(inserted), deleted, others: Vec::new() }))
    }
}

/// The columns that SET names (264: twice; 8102: identity).
pub(super) fn set_columns(table: &Table, set: &[(String, Expr)]) -> Result<Vec<Column>, SqlError> {
    let mut columns: Vec<Column> = Vec::new();
    for (name, _) in set {
        let column = table.column(name).ok_or_else(|| invalid_column(name))?;
        if column.identity {
            return Err(SqlError::new(8102, 16, format!("Cannot update identity column '{name}'.")));
        }
        if columns.iter().any(|other| other.column_id == column.column_id) {
            let message = format!(
                "The column name '{name}' is specified more than once in the SET clause or column list of an INSERT. \
                 A column cannot be assigned more than one value in the same clause."
            );
            return Err(SqlError::new(264, 16, message));
        }
        columns.push(column.clone());
    }
    Ok(columns)
}
