//! DELETE through a query of FROM, and comparing lists of values by INTERSECT: what a delete of some of several equal
//! rows needs.

use std::sync::Arc;

use super::{Translator, unsupported};
use crate::answer::SqlError;
use crate::sql::ast::{Delete, Expr, ObjectName, Query, QueryBody, Select, SelectItem, TableSource};
use crate::sql::table::{Table, same_name};

// === impl Translator ===

impl Translator<'_> {
    /// DELETE of the rows that a query of FROM finds: by their place, which the query carries along. `None` when the
    /// target is no such query.
    pub(super) fn derived_delete(
        &mut self,
        delete: &Delete,
    ) -> Result<Option<(String, Arc<Table>)>, SqlError> {
        let Some(base) = base_of(&delete.from, &delete.target) else { return Ok(None) };
        if delete.top.is_some() || delete.output.is_some() {
            return Err(unsupported("TOP or OUTPUT of a DELETE through a query"));
        }
        let table = self.writable(base)?;
        let mut scope = super::Scope::new();
        self.place_of = Some(delete.target.name.clone());
        let sql = self.source_list(&delete.from, &mut scope);
        self.place_of = None;
        let sql = sql?;
        let found = scope.iter().find(|found| same_name(&found.name, &delete.target.name));
        let place = found.map(|found| format!("{}.c{}", found.alias, found.columns.len() + 1));
        let place = place.ok_or_else(|| unsupported("this DELETE through a query"))?;
        self.scopes.push(scope);
        let filter = delete.filter.as_ref().map(|filter| self.predicate(filter)).transpose();
        self.scopes.pop();
        let filter = filter?.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let alias = self.new_alias();
        let sql = format!(
            "DELETE FROM {} AS {alias} WHERE {alias}.ctid = ANY (ARRAY(SELECT {place} FROM {sql}{filter}))",
            table.relation
        );
        Ok(Some((sql, table)))
    }
}

/// The only table of the query of FROM that goes by this name.
fn base_of<'q>(from: &'q [TableSource], name: &ObjectName) -> Option<&'q ObjectName> {
    let found = |source: &'q TableSource| match source {
        TableSource::Derived { query, alias, .. }
            if name.schema.is_none() && same_name(alias, &name.name) =>
        {
            match &query.body {
                QueryBody::Select(select) => only_table(select),
                QueryBody::Combine(..) | QueryBody::Nested(_) => None,
            }
        }
        _ => None,
    };
    from.iter().find_map(|source| match source {
        TableSource::Join { left, right, .. } => found(left).or_else(|| found(right)),
        other => found(other),
    })
}

fn only_table(select: &Select) -> Option<&ObjectName> {
    match select.from.as_slice() {
        [TableSource::Table { name, .. }] => Some(name),
        _ => None,
    }
}

/// Whether each row of a SELECT is one row of its only table (T-SQL manual, "Updatable Views").
pub(super) fn is_updatable(select: &Select) -> bool {
    only_table(select).is_some()
        && select.group.is_empty()
        && select.having.is_none()
        && select.top.is_none()
        && !select.distinct
}

/// `EXISTS (SELECT a, b INTERSECT SELECT c, d)` without any table as the condition that it is: each pair is equal, or
/// both are NULL.
pub(super) fn same_values(query: &Query) -> Option<Result<Expr, SqlError>> {
    let QueryBody::Combine("INTERSECT", left, right) = &query.body else { return None };
    let (left, right) = (bare_values(left)?, bare_values(right)?);
    if left.len() != right.len() {
        let message = "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.";
        return Some(Err(SqlError::new(205, 16, message)));
    }
    let pairs = left.into_iter().zip(right).map(|(left, right)| {
        let null = |value: &Expr| Expr::IsNull(Box::new(value.clone()), false);
        let equal = Expr::Compare("=", Box::new(left.clone()), Box::new(right.clone()));
        Expr::Or(vec![equal, Expr::And(vec![null(left), null(right)])])
    });
    Some(Ok(Expr::And(pairs.collect())))
}

/// The values of a SELECT that has nothing else.
fn bare_values(body: &QueryBody) -> Option<Vec<&Expr>> {
    let QueryBody::Select(select) = body else { return None };
    let plain = select.from.is_empty() && select.filter.is_none() && select.top.is_none() && !select.distinct;
    if !plain || !select.group.is_empty() || select.having.is_some() {
        return None;
    }
    let values = select.items.iter().map(|item| match item {
        SelectItem::Value(expr, _) => Some(expr),
        SelectItem::Star(_) | SelectItem::Assign(..) => None,
    });
    values.collect()
}
