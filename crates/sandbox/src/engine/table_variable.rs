//! Table variables, and INSERT of what a procedure returns.
//!
//! A table variable is a temporary table that only the batch which declares it can see. It is there from the batch's
//! beginning to its end.

use std::sync::Arc;

use futures_util::FutureExt;
use segcdc_tds::Datum;
use tokio::sync::mpsc;

use super::Session;
use super::flow::{Flow, Frame};
use super::lookup::Sight;
use super::session::Translated;
use crate::answer::{OutColumn, Replies, Reply, SqlError, command};
use crate::sql::ast::{
    CreateTable, Definition, Expr, Insert, InsertExecute, InsertSource, Statement, StatementKind,
};
use crate::sql::table::fold;
use crate::sql::translate::{self, Plan};

/// Replies of a procedure on their way.
const REPLIES: usize = 8;

/// The rows of one result, with their columns.
type Rows = (Vec<OutColumn>, Vec<Vec<Datum>>);

// === impl Session ===

impl Session {
    /// Makes a table variable (134: declared twice).
    pub(super) async fn declare_table(
        &mut self,
        create: &CreateTable,
        frame: &mut Frame,
    ) -> Result<(), SqlError> {
        let name = &create.name.name;
        if frame.table(&create.name).is_some() || frame.variable_type(&name.to_lowercase()).is_some() {
            let message = format!(
                "The variable name '{name}' has already been declared. Variable names must be unique within a query batch or \
                 stored procedure."
            );
            return Err(SqlError::new(134, 15, message));
        }
        let (ignored, _) = mpsc::channel(1);
        self.define(&Definition::CreateTable(Box::new(create.clone())), frame, &ignored).await?;
        // Only this batch knows it; another version, so that no translation uses the table of a batch before.
        if let Some(table) = self.temporary.get(&fold(name)).cloned() {
            self.remove_temporary(name);
            frame.tables.insert(fold(name), table);
        }
        Ok(())
    }

    /// Removes the table variables of a batch that has ended.
    pub(super) async fn drop_table_variables(&mut self, frame: &mut Frame) {
        let relations: Vec<String> = frame.tables.drain().map(|(_, table)| table.relation.clone()).collect();
        if relations.is_empty() {
            return;
        }
        // A ROLLBACK may have taken them already.
        let drop = format!("DROP TABLE IF EXISTS {}", relations.join(", "));
        if let Ok(guard) = self.guard(false, false).await {
            let result = self.own(&drop).await;
            self.unguard(guard, result.is_ok()).await.ok();
        }
    }

    /// `INSERT .. EXEC`: all rows of all results (8164: nested).
    pub(super) async fn insert_execute(
        &mut self,
        insert: &InsertExecute,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Flow, SqlError> {
        let values = self.argument_values(statement, plans, frame).await?;
        let given = insert.arguments.iter().zip(values).map(|(argument, (column_type, value))| {
            (argument.name.clone().unwrap_or_default(), column_type, value)
        });
        let given: Vec<_> = given.collect();
        let (sender, mut replies) = mpsc::channel(REPLIES);
        let call = async {
            let result = self.call(&insert.procedure, given, frame, &sender).boxed().await;
            drop(sender);
            result
        };
        let collect = async {
            let mut results: Vec<Rows> = Vec::new();
            let mut failure = None;
            while let Some(reply) = replies.recv().await {
                match reply {
                    Reply::Columns(columns) => results.push((columns, Vec::new())),
                    Reply::Rows(rows) => {
                        if let Some((_, all)) = results.last_mut() {
                            all.extend(rows);
                        }
                    }
                    Reply::Error(error) => failure = Some(error),
                    _ => {}
                }
            }
            (results, failure)
        };
        let (called, (results, failure)) = futures_util::future::join(call, collect).await;
        let (flow, _) = called?;
        if let Some(error) = failure {
            return Err(error);
        }
        let mut count = 0;
        for result in &results {
            count += self.insert_rows(insert, statement, result, frame, out).await?;
        }
        self.row_count = count;
        if !self.options.no_count {
            out.send(Reply::Done { count: Some(count), command: command::INSERT }).await.ok();
        }
        Ok(flow)
    }

    /// Inserts the rows of one result, all or none; returns how many.
    async fn insert_rows(
        &mut self,
        insert: &InsertExecute,
        statement: &Statement,
        (columns, rows): &Rows,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<u64, SqlError> {
        let names: Vec<String> = (1..=columns.len()).map(|number| format!("@{number}")).collect();
        let mut values = Frame::default();
        values.tables.clone_from(&frame.tables);
        for (name, column) in names.iter().zip(columns) {
            values.declare(name, column.column_type, Datum::Null);
        }
        let plan = self.insert_plan(insert, statement, &names, &values).await?;
        let guard = self.guard(true, frame.in_try()).await?;
        let mut result = Ok(());
        for row in rows {
            for (name, value) in names.iter().zip(row) {
                values.set(name, value.clone());
            }
            result = self.run_guarded(&plan, &mut values, out).await.map(|_| ());
            if result.is_err() {
                break;
            }
        }
        let released = self.unguard(guard, result.is_ok()).await;
        result?;
        released?;
        Ok(u64::try_from(rows.len()).unwrap_or_default())
    }

    /// The plan of `INSERT t VALUES (@1, ..)`.
    async fn insert_plan(
        &mut self,
        insert: &InsertExecute,
        statement: &Statement,
        names: &[String],
        values: &Frame,
    ) -> Result<Arc<Plan>, SqlError> {
        self.look_up(std::slice::from_ref(&insert.table)).await?;
        let row = names.iter().map(|name| Expr::Variable(name.clone())).collect();
        let kind = StatementKind::Insert(Box::new(Insert {
            with: Vec::new(),
            table: insert.table.clone(),
            columns: insert.columns.clone(),
            output: None,
            source: InsertSource::Values(vec![row]),
        }));
        let tables = vec![insert.table.clone()];
        let statement = Statement { id: statement.id, line: statement.line, kind, tables };
        let plan = translate::translate(&Sight { session: self, frame: values }, &statement);
        let plan = plan.map_err(|error| match error.number {
            // There are no VALUES that anybody has written.
            109 | 110 => SqlError::new(
                213,
                16,
                "Column name or number of supplied values does not match table definition.",
            )
            .with_state(7),
            _ => error,
        });
        plan.map(Arc::new)
    }
}
