//! Statements without rows: options, transactions, errors, USE, INSERT BULK, EXEC.

use segcdc_tds::{ColumnType, Datum};

use super::Session;
use super::flow::{Flow, Frame};
use super::session::Translated;
use crate::answer::{Replies, Reply, SqlError, command};
use crate::sql::ast::{Statement, StatementKind};

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
                let values = match self.plan(statement, plans, frame).await? {
                    Some(plan) => {
                        let values = self.run_values(&plan, frame).await?;
                        let types = plan.columns.iter().flatten().map(|column| column.column_type);
                        types.zip(values).collect()
                    }
                    None => Vec::new(),
                };
                let given = arguments.iter().zip(values).map(|(argument, (column_type, value))| {
                    (argument.name.clone().unwrap_or_default(), column_type, value)
                });
                let given: Vec<(String, ColumnType, Datum)> = given.collect();
                let flow = self.call(procedure, given, frame, out).await?;
                return Ok(flow);
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
