//! The null sink: a sandbox that throws the rows of users' tables away, to measure what is in front of a target.
//!
//! ```text
//! INSERT BULK into a table           rows are walked over and counted
//! INSERT BULK into a staging table   the same, counted by [op] and [grp], its first two columns
//! UPDATE, DELETE, INSERT             not run: as many rows as were staged for it; without staging, the rows of its VALUES, or one
//! COMMIT                             answered after a pause, as a server answers that waits for its log
//! all the rest                       as ever: the catalog, the state of pipelines (schema `segcdc`), transactions
//! ```
//!
//! So a client that compares the counts of what it wrote finds what it expects, and nothing can be read back.

use std::collections::HashMap;
use std::time::Duration;

use segcdc_tds::Datum;

use super::bulk::BulkTarget;
use super::{BulkRows, Session};
use crate::answer::SqlError;
use crate::sql::ast::{Expr, InsertSource, Literal, ObjectName, QueryBody, Statement, StatementKind};
use crate::sql::table::{Table, fold};
use crate::sql::translate::{Plan, unsupported};

/// The schema whose tables are kept: what a pipeline knows of itself.
const KEPT_SCHEMA: &str = "segcdc";
/// The first columns of a staging table: what is to be done with a row, and among which rows.
const STAGING_COLUMNS: [&str; 2] = ["op", "grp"];

/// How rows are thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discard {
    /// Between a COMMIT, or a bulk load outside of a transaction, and its answer.
    pub commit_delay: Duration,
}

/// What becomes of the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// They are loaded.
    Kept,
    /// They are counted.
    Counted,
    /// They are counted by the first two columns.
    CountedByOperation,
}

/// How many rows a staging table would hold, by the values of [`STAGING_COLUMNS`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Staged(HashMap<(i64, i64), u64>);

// === impl Staged ===

impl Staged {
    fn add(&mut self, row: &[Datum]) {
        let at = |index: usize| row.get(index).and_then(Datum::as_int).unwrap_or_default();
        *self.0.entry((at(0), at(1))).or_default() += 1;
    }

    /// Rows that a WHERE chooses, of whose conditions only those on [`STAGING_COLUMNS`] are looked at.
    fn count(&self, filter: Option<&Expr>) -> u64 {
        let chosen = self.0.iter().filter(|((op, group), _)| {
            let row = [*op, *group];
            STAGING_COLUMNS.iter().zip(row).all(|(name, value)| allows(filter, name, value))
        });
        chosen.map(|(_, count)| count).sum()
    }
}

// === impl Session ===

impl Session {
    /// How many of a row's first columns the next bulk load has to decode.
    pub fn kept_columns(&self) -> usize {
        match self.bulk.as_ref().map(|target| self.fate(target.table())) {
            None | Some(Fate::Kept) => usize::MAX,
            Some(Fate::Counted) => 0,
            Some(Fate::CountedByOperation) => STAGING_COLUMNS.len(),
        }
    }

    /// Counts the rows of a load instead of loading them; gives them back when they are to be loaded.
    pub(super) async fn discard(&mut self, target: &BulkTarget, mut rows: BulkRows) -> Result<u64, BulkRows> {
        let table = target.table();
        let fate = self.fate(table);
        if fate == Fate::Kept {
            return Err(rows);
        }
        let mut staged = Staged::default();
        let mut count = 0;
        while let Some(group) = rows.recv().await {
            count += group.len() as u64;
            if fate == Fate::CountedByOperation {
                group.iter().for_each(|row| staged.add(row));
            }
        }
        if fate == Fate::CountedByOperation {
            let kept = self.staged.entry(fold(&table.name)).or_default();
            for (key, rows) in staged.0 {
                *kept.0.entry(key).or_default() += rows;
            }
        } else if !self.transaction.is_open() {
            self.wait_for_log().await;
        }
        Ok(count)
    }

    /// Empties a table of which nothing is kept; `false` for any other.
    pub(super) fn truncate_discarded(&mut self, table: &Table) -> bool {
        self.staged.remove(&fold(&table.name));
        self.fate(table) != Fate::Kept
    }

    /// The row count of a statement that is not run; `None` for one that is to be run.
    ///
    /// # Errors
    /// A statement whose count cannot be told (40510).
    pub(super) fn discarded_count(
        &self,
        statement: &Statement,
        plan: &Plan,
    ) -> Result<Option<u64>, SqlError> {
        let Some(table) = plan.target.as_deref().filter(|table| self.fate(table) != Fate::Kept) else {
            return Ok(None);
        };
        let (filter, single) = match &statement.kind {
            StatementKind::Update(update) if update.top.is_none() => (update.filter.as_ref(), Some(1)),
            StatementKind::Delete(delete) if delete.top.is_none() => (delete.filter.as_ref(), Some(1)),
            StatementKind::Insert(insert) => match &insert.source {
                InsertSource::Values(rows) => (None, Some(rows.len() as u64)),
                InsertSource::Query(query) => match &query.body {
                    QueryBody::Select(select) => (select.filter.as_ref(), None),
                    _ => (None, None),
                },
                InsertSource::Defaults => (None, Some(1)),
            },
            _ => (None, None),
        };
        let staged = statement.tables.iter().find(|name| self.is_staging(name));
        let count = match staged {
            Some(name) => self.staged.get(&fold(&name.name)).map(|staged| staged.count(filter)).or(Some(0)),
            None => single,
        };
        let refused =
            || unsupported(&format!("this statement on {}, whose rows are thrown away,", table.shown()));
        count.map(Some).ok_or_else(refused)
    }

    /// Waits as a server does for its log.
    pub(super) async fn wait_for_log(&self) {
        if let Some(Discard { commit_delay }) = self.engine.options.discard
            && !commit_delay.is_zero()
        {
            tokio::time::sleep(commit_delay).await;
        }
    }

    fn is_staging(&self, name: &ObjectName) -> bool {
        let table = self.temporary.get(&fold(&name.name));
        table.is_some_and(|table| self.fate(table) == Fate::CountedByOperation)
    }

    fn fate(&self, table: &Table) -> Fate {
        if self.engine.options.discard.is_none() || table.system {
            return Fate::Kept;
        }
        if table.name.starts_with('#') {
            let mut first = table.columns.iter().map(|column| column.name.as_str());
            let is_staging = STAGING_COLUMNS.iter().all(|name| first.next() == Some(name));
            return if is_staging { Fate::CountedByOperation } else { Fate::Kept };
        }
        if fold(&table.schema) == KEPT_SCHEMA { Fate::Kept } else { Fate::Counted }
    }
}

/// Whether a WHERE lets rows pass that have this integer in this column; conditions on anything else let all pass.
fn allows(filter: Option<&Expr>, column: &str, value: i64) -> bool {
    let is_column = |expression: &Expr| match expression {
        Expr::Column(name) => name.last().is_some_and(|name| name == column),
        _ => false,
    };
    let is_value = |expression: &Expr| match expression {
        Expr::Literal(Literal::Integer(digits)) => digits.parse() == Ok(value),
        _ => false,
    };
    match filter {
        Some(Expr::And(all)) => all.iter().all(|part| allows(Some(part), column, value)),
        Some(Expr::Compare("=", left, right)) if is_column(left) => is_value(right),
        Some(Expr::In(left, list, false)) if is_column(left) => list.iter().any(is_value),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Box<Expr> {
        Box::new(Expr::Column(vec!["s".to_owned(), name.to_owned()]))
    }

    fn integer(value: i64) -> Expr {
        Expr::Literal(Literal::Integer(value.to_string()))
    }

    #[test]
    fn staged_rows_are_counted_by_what_a_statement_chooses() {
        let mut staged = Staged::default();
        for (op, group) in [(2, 0), (2, 0), (2, 1), (3, 0), (4, 0)] {
            staged.add(&[Datum::Int(op), Datum::Int(group)]);
        }
        let is = |name: &str, value| Expr::Compare("=", column(name), Box::new(integer(value)));
        assert_eq!(staged.count(None), 5);
        assert_eq!(staged.count(Some(&is("op", 2))), 3);
        assert_eq!(staged.count(Some(&Expr::And(vec![is("op", 2), is("grp", 1)]))), 1);
        assert_eq!(staged.count(Some(&Expr::In(column("op"), vec![integer(3), integer(4)], false))), 2);
        let other = Expr::And(vec![is("op", 3), is("c1", 9)]);
        assert_eq!(staged.count(Some(&other)), 1);
    }
}
