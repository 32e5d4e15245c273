//! Statements without rows: options, transactions, errors, USE, INSERT BULK, EXEC.

use segcdc_tds::{ColumnType, Datum};

use super::Session;
use super::flow::{Flow, Frame};
use super::session::Translated;
use crate::answer::{Replies, Reply, SqlError, command};
use crate::sql::ast::{Argument, Definition, Expr, Statement, StatementKind};

// === impl Session ===

impl Session {
    /// Runs one of the statements that this module is for.
    pub(super) async fn simple_statement(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Flow, SqlError> {
        let mut done = Some(command::OTHER);
        match &statement.kind {
            StatementKind::SetOption(option) => {
                self.set_option(option).await?;
                done = None;
            }
            StatementKind::Definition(definition) => {
                let begins = self.options.implicit_transactions && begins_transaction(definition);
                if begins && !self.transaction.is_open() {
                    self.begin_transaction(out).await?;
                }
                self.define(definition, frame, out).await?;
                self.row_count = 0;
            }
            StatementKind::Begin => self.begin_transaction(out).await?,
            StatementKind::Commit => self.commit_transaction(out).await?,
            StatementKind::Rollback(name) => {
                let name = name.as_deref().filter(|name| !name.starts_with('@'));
                self.rollback_transaction(name, out).await?;
            }
            StatementKind::Save(name) => self.save_transaction(name).await?,
            StatementKind::Use(name) => self.use_database(name, out).await?,
            StatementKind::Throw(None) => {
                return match frame.caught() {
                    Some(error) => Err(error.clone()),
                    None => Err(SqlError::new(
                        10704,
                        15,
                        "To rethrow an error, a THROW statement must be used inside a CATCH block. Insert the THROW statement inside a CATCH block, or add error parameters to the THROW statement.",
                    )),
                };
            }
            StatementKind::Throw(Some(_)) => {
                let values = self.values(statement, plans, frame).await?;
                return Err(thrown(&values));
            }
            StatementKind::Raiserror { .. } => {
                let values = self.values(statement, plans, frame).await?;
                let error = raised(&values).at_line(statement.line);
                done = None;
                if error.class > 10 {
                    return Err(error);
                }
                out.send(Reply::Info(error)).await.ok();
            }
            StatementKind::Print(_) => {
                let values = self.values(statement, plans, frame).await?;
                let text = values.first().and_then(Datum::as_text).unwrap_or(" ").to_owned();
                out.send(Reply::Info(SqlError::new(0, 0, text).at_line(statement.line))).await.ok();
                done = None;
            }
            StatementKind::BulkInsert(bulk) => {
                self.bulk = Some(self.bulk_target(bulk).await?);
                done = None;
            }
            StatementKind::Execute { procedure, arguments } => {
                let values = self.argument_values(statement, plans, frame).await?;
                return self.execute(procedure, arguments, values, frame, out).await;
            }
            _ => done = None,
        }
        if let Some(command) = done
            && !self.options.no_count
        {
            out.send(Reply::Done { count: None, command }).await.ok();
        }
        Ok(Flow::Next)
    }

    /// The values of a procedure's arguments, with their types.
    pub(super) async fn argument_values(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &Frame,
    ) -> Result<Vec<(ColumnType, Datum)>, SqlError> {
        let Some(plan) = self.plan(statement, plans, frame).await? else { return Ok(Vec::new()) };
        let values = self.run_values(&plan, frame).await?;
        Ok(plan.columns.iter().flatten().map(|column| column.column_type).zip(values).collect())
    }

    /// EXEC of a procedure; values of OUTPUT arguments go into their variables.
    async fn execute(
        &mut self,
        procedure: &str,
        arguments: &[Argument],
        values: Vec<(ColumnType, Datum)>,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Flow, SqlError> {
        let given = arguments.iter().zip(values).map(|(argument, (column_type, value))| {
            (argument.name.clone().unwrap_or_default(), column_type, value)
        });
        let (flow, outputs) = self.call(procedure, given.collect(), frame, out).await?;
        for argument in arguments.iter().filter(|argument| argument.output) {
            let Expr::Variable(variable) = &argument.value else { continue };
            let name = argument.name.as_deref().unwrap_or_default();
            let found = outputs.iter().find(|(output, _)| output.eq_ignore_ascii_case(name));
            if let Some((_, value)) = found {
                frame.set(&variable.to_lowercase(), value.clone());
            }
        }
        Ok(flow)
    }
}

/// Whether a definition begins a transaction under IMPLICIT_TRANSACTIONS.
fn begins_transaction(definition: &Definition) -> bool {
    !matches!(
        definition,
        Definition::CreateDatabase(_) | Definition::DropDatabase(..) | Definition::AlterDatabase(..)
    )
}

/// THROW number, text, state: class 16.
fn thrown(values: &[Datum]) -> SqlError {
    let int = |index: usize| values.get(index).and_then(Datum::as_int).unwrap_or_default();
    let text = values.get(1).and_then(Datum::as_text).unwrap_or_default();
    let number = i32::try_from(int(0)).unwrap_or(50_000);
    SqlError::new(number, 16, text).with_state(u8::try_from(int(2)).unwrap_or(1))
}

/// RAISERROR(text, class, state, arguments): number 50000.
fn raised(values: &[Datum]) -> SqlError {
    let int = |index: usize| values.get(index).and_then(Datum::as_int).unwrap_or_default();
    let text = values.first().and_then(Datum::as_text).unwrap_or_default();
    let class = u8::try_from(int(1)).unwrap_or(16).min(25);
    let mut message = text.to_owned();
    for value in values.iter().skip(3) {
        let shown = match value {
            Datum::Int(number) => number.to_string(),
            Datum::Text(text) => text.clone(),
            _ => "(null)".to_owned(),
        };
        let place = ["%d", "%s", "%i", "%u"].iter().filter_map(|mark| message.find(mark)).min();
        if let Some(place) = place {
            message.replace_range(place..place + 2, &shown);
        }
    }
    SqlError::new(50_000, class, message).with_state(u8::try_from(int(2)).unwrap_or(1))
}
