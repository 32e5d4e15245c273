//! MERGE, as sinks write it: one source, one WHEN MATCHED, one WHEN NOT MATCHED.

use std::sync::Arc;

use super::output::Images;
use super::update::set_columns;
use super::{Plan, Scope, Translator, unsupported};
use crate::answer::{SqlError, command};
use crate::sql::ast::{Merge, MergeAction, MergeClause, MergeMatch};
use crate::sql::table::Table;

// === impl Translator ===

impl Translator<'_> {
    /// MERGE becomes PostgreSQL's. The table is locked against other writers before: HOLDLOCK's promise that two
    /// sessions never insert one key.
    pub(super) fn merge_plan(mut self, merge: &Merge) -> Result<Plan, SqlError> {
        if merge.output.is_some() {
            return Err(unsupported("OUTPUT of MERGE"));
        }
        let table = self.writable(&merge.target)?;
        let alias = self.new_alias();
        let entry = self.scope_of(&table, merge.alias.as_deref(), &alias);
        let mut scope: Scope = Vec::new();
        let source = self.source(&merge.source, &mut scope)?;
        let source_only = scope.clone();
        scope.insert(0, entry);
        self.scopes.push(scope);
        let on = self.predicate(&merge.on);
        self.scopes.pop();
        let mut sql = format!("MERGE INTO {} AS {alias} USING {source} ON {}", table.relation, on?);
        for clause in &merge.clauses {
            let mut scope = source_only.clone();
            if clause.matched == MergeMatch::Matched {
                scope.insert(0, self.scope_of(&table, merge.alias.as_deref(), &alias));
            }
            self.scopes.push(scope);
            let text = self.merge_clause(&table, clause);
            self.scopes.pop();
            sql.push_str(&text?);
        }
        let none = Images { inserted: None, deleted: None, others: Vec::new() };
        let returning = self.returning(None, none)?;
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table.relation);
        let plan = self.change_plan(sql, command::MERGE, None, returning)?;
        Ok(Plan { target: Some(table), lock: Some(lock), ..plan })
    }

    fn merge_clause(&mut self, table: &Arc<Table>, clause: &MergeClause) -> Result<String, SqlError> {
        let condition = match &clause.condition {
            Some(condition) => format!(" AND {}", self.predicate(condition)?),
            None => String::new(),
        };
        let when = match clause.matched {
            MergeMatch::Matched => "MATCHED",
            MergeMatch::NotMatched => "NOT MATCHED",
        };
        let action = match &clause.action {
            MergeAction::Delete => "DELETE".to_owned(),
            MergeAction::Update(set) => {
                let columns = set_columns(table, set)?;
                format!("UPDATE SET {}", self.set_list(table, &columns, set)?)
            }
            MergeAction::Insert(names, values) => {
                let columns = self.insert_columns(table, names)?;
                if columns.len() != values.len() {
                    let message = "The number of columns in the INSERT clause of the MERGE statement does not match the number of values.";
                    return Err(SqlError::new(10710, 15, message));
                }
                let list: Vec<&str> = columns.iter().map(|column| column.physical.as_str()).collect();
                let values = self.assigned(table, &columns, values)?;
                format!("INSERT ({}) VALUES ({values})", list.join(", "))
            }
        };
        Ok(format!(" WHEN {when}{condition} THEN {action}"))
    }
}
