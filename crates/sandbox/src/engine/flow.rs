//! Batches: compilation, then one statement after the other.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use segcdc_tds::{ColumnType, Datum};

use super::Session;
use super::failure::{self, Reach};
use super::session::{Compiled, Translated, batch_key};
use crate::answer::{Replies, Reply, SqlError, command};
use crate::sql::ast::{ObjectName, SetOption, Statement, StatementKind};
use crate::sql::parser;
use crate::sql::table::{Table, fold};

/// Most parameters of a request.
const MAX_PARAMETERS: usize = 2100;
/// How deep EXEC may nest (T-SQL manual, "@@NESTLEVEL").
const MAX_NESTING: usize = 32;

/// Variables and the error being handled, of one batch.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) variables: HashMap<String, (ColumnType, Datum)>,
    /// Table variables by folded name.
    pub(super) tables: HashMap<String, Arc<Table>>,
    caught: Vec<SqlError>,
    tries: usize,
    nesting: usize,
}

/// How a statement ended.
#[derive(Debug)]
pub(super) enum Flow {
    /// The next one runs.
    Next,
    /// RETURN, or an error that ended the batch.
    End,
    /// BREAK
    Break,
    /// CONTINUE
    Continue,
    /// An error within TRY.
    Caught(SqlError),
}

// === impl Frame ===

impl Frame {
    /// Adds a variable.
    pub(super) fn declare(&mut self, name: &str, column_type: ColumnType, value: Datum) {
        self.variables.insert(name.to_lowercase(), (column_type, value));
    }

    /// Sets a variable by its folded name.
    pub(super) fn set(&mut self, name: &str, value: Datum) {
        if let Some((_, old)) = self.variables.get_mut(name) {
            *old = value;
        }
    }

    /// The value of a variable.
    pub(super) fn value(&self, name: &str) -> Option<&Datum> {
        self.variables.get(name).or_else(|| self.variables.get(&name.to_lowercase())).map(|(_, value)| value)
    }

    /// The type of a variable by its folded name.
    pub(super) fn variable_type(&self, name: &str) -> Option<ColumnType> {
        self.variables.get(name).map(|(column_type, _)| *column_type)
    }

    /// All variables and their types.
    pub(super) fn types(&self) -> impl Iterator<Item = (&String, ColumnType)> {
        self.variables.iter().map(|(name, (column_type, _))| (name, *column_type))
    }

    /// A table variable.
    pub(super) fn table(&self, name: &ObjectName) -> Option<Arc<Table>> {
        self.tables.get(&fold(&name.name)).cloned()
    }

    /// Whether an error would be caught.
    pub(super) fn in_try(&self) -> bool {
        self.tries > 0
    }

    /// The error that the current CATCH handles.
    pub(super) fn caught(&self) -> Option<&SqlError> {
        self.caught.last()
    }

    /// A frame for EXEC: its own variables, the same TRY.
    pub(super) fn nested(&self) -> Result<Self, SqlError> {
        if self.nesting >= MAX_NESTING {
            let message =
                "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).";
            return Err(SqlError::new(217, 16, message));
        }
        Ok(Frame {
            tries: self.tries,
            nesting: self.nesting + 1,
            caught: self.caught.clone(),
            ..Frame::default()
        })
    }
}

// === impl Session ===

impl Session {
    /// Runs a batch; errors are replies.
    pub(super) async fn run_batch(&mut self, sql: &str, frame: &mut Frame, out: &Replies) {
        match self.run_text(sql, frame, out).await {
            Ok(_) => {}
            Err(error) => self.raise(error, out).await,
        }
    }

    /// Runs a text: of a batch, of EXEC, of sp_executesql. An error of compilation is returned; later ones are replies,
    /// or [`Flow::Caught`].
    pub(super) async fn run_text(
        &mut self,
        sql: &str,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Flow, SqlError> {
        if frame.variables.len() > MAX_PARAMETERS {
            let message = format!(
                "The incoming request has too many parameters. The server supports a maximum of {MAX_PARAMETERS} parameters. \
                 Reduce the number of parameters and resend the request."
            );
            return Err(SqlError::new(8003, 16, message));
        }
        let key = batch_key(sql, frame);
        let mut compiled = match self.batches.remove(&key) {
            Some(compiled) => compiled,
            None => {
                let batch = Arc::new(parser::parse(sql)?);
                let plans = vec![None; batch.count];
                Compiled { batch, plans }
            }
        };
        let batch = Arc::clone(&compiled.batch);
        let mut result =
            self.compile(&batch.statements, &mut compiled.plans, frame).await.map(|()| Flow::Next);
        if result.is_ok() {
            result = Ok(self.run_list(&batch.statements, &mut compiled.plans, frame, out).await);
            self.keep_batch(key, compiled);
        }
        self.drop_table_variables(frame).await;
        result
    }

    /// Runs statements until one ends the list.
    fn run_list<'a>(
        &'a mut self,
        statements: &'a [Statement],
        plans: &'a mut [Option<Translated>],
        frame: &'a mut Frame,
        out: &'a Replies,
    ) -> BoxFuture<'a, Flow> {
        async move {
            for statement in statements {
                let flow = self.run_statement(statement, plans, frame, out).await;
                if !matches!(flow, Flow::Next) {
                    return flow;
                }
            }
            Flow::Next
        }
        .boxed()
    }

    async fn run_statement(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &mut Frame,
        out: &Replies,
    ) -> Flow {
        match self.try_statement(statement, plans, frame, out).await {
            Ok(flow) => {
                if matches!(flow, Flow::Next) && resets_error(&statement.kind) {
                    self.last_error = 0;
                }
                flow
            }
            Err(error) => {
                let error = if error.line <= 1 { error.at_line(statement.line) } else { error };
                self.fail(error, statement, frame, out).await
            }
        }
    }

    /// What an error does: caught, told, the transaction rolled back, the batch ended.
    async fn fail(&mut self, error: SqlError, statement: &Statement, frame: &Frame, out: &Replies) -> Flow {
        self.last_error = error.number;
        self.row_count = 0;
        if frame.in_try() && error.class < 20 && error.number != 3617 {
            self.transaction.doomed |= self.transaction.is_open()
                && (self.options.xact_abort || failure::reach(&error) == Reach::Transaction);
            return Flow::Caught(error);
        }
        let ends = self.options.xact_abort || failure::reach(&error) != Reach::Statement;
        let is_raised = matches!(statement.kind, StatementKind::Raiserror { .. });
        self.raise_only(error.clone(), out).await;
        if is_raised {
            return Flow::Next;
        }
        self.undo_for(&error, out).await;
        if ends || matches!(statement.kind, StatementKind::Throw(_)) {
            return Flow::End;
        }
        let command = statement_command(&statement.kind);
        out.send(Reply::Done { count: None, command }).await.ok();
        Flow::Next
    }

    /// Tells an error of compilation, which ends the batch but no transaction.
    pub(super) async fn raise(&mut self, error: SqlError, out: &Replies) {
        self.last_error = error.number;
        self.raise_only(error, out).await;
    }

    async fn raise_only(&self, error: SqlError, out: &Replies) {
        // CREATE INDEX of a constraint fails in two sentences.
        let follows = error.number == 1505 && error.procedure == super::key::CONSTRAINT;
        let error = SqlError { procedure: String::new(), ..error };
        let line = error.line;
        out.send(Reply::Error(error)).await.ok();
        if follows {
            let message = "Could not create constraint or index. See previous errors.";
            out.send(Reply::Error(SqlError::new(1750, 16, message).at_line(line))).await.ok();
        }
    }

    async fn try_statement(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Flow, SqlError> {
        match &statement.kind {
            StatementKind::Select(_)
            | StatementKind::Insert(_)
            | StatementKind::Update(_)
            | StatementKind::Delete(_)
            | StatementKind::Merge(_) => self.run_rows(statement, plans, frame, out).await,
            StatementKind::If { condition: _, then, otherwise } => {
                let chosen = if self.condition(statement, plans, frame).await? {
                    Some(then)
                } else {
                    otherwise.as_ref()
                };
                match chosen {
                    Some(chosen) => Ok(self.run_list(std::slice::from_ref(chosen), plans, frame, out).await),
                    None => Ok(Flow::Next),
                }
            }
            StatementKind::While { condition: _, body } => {
                while self.condition(statement, plans, frame).await? {
                    match self.run_list(std::slice::from_ref(body), plans, frame, out).await {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => break,
                        other => return Ok(other),
                    }
                }
                Ok(Flow::Next)
            }
            StatementKind::Block(body) => Ok(self.run_list(body, plans, frame, out).await),
            StatementKind::TryCatch { body, handler } => {
                frame.tries += 1;
                let flow = self.run_list(body, plans, frame, out).await;
                frame.tries -= 1;
                let Flow::Caught(error) = flow else { return Ok(flow) };
                frame.caught.push(error);
                let flow = self.run_list(handler, plans, frame, out).await;
                frame.caught.pop();
                Ok(flow)
            }
            StatementKind::InsertExecute(insert) => {
                self.insert_execute(insert, statement, plans, frame, out).await
            }
            StatementKind::Return => Ok(Flow::End),
            StatementKind::Break => Ok(Flow::Break),
            StatementKind::Continue => Ok(Flow::Continue),
            StatementKind::Declare(_) | StatementKind::Assign { .. } => {
                self.assign(statement, plans, frame).await?;
                Ok(Flow::Next)
            }
            StatementKind::ExecuteText(_) => {
                let values = self.values(statement, plans, frame).await?;
                let text = values.first().and_then(Datum::as_text).unwrap_or_default().to_owned();
                let mut inner = frame.nested()?;
                let flow = self.run_text(&text, &mut inner, out).boxed().await?;
                Ok(match flow {
                    Flow::Caught(error) => Flow::Caught(error),
                    _ => Flow::Next,
                })
            }
            _ => self.simple_statement(statement, plans, frame, out).await,
        }
    }

    /// SELECT, INSERT, UPDATE, DELETE, MERGE.
    async fn run_rows(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<Flow, SqlError> {
        let Some(plan) = self.plan(statement, plans, frame).await? else { return Ok(Flow::Next) };
        if self.options.format_only {
            if let Some(columns) = plan.columns.as_ref().filter(|_| plan.assign.is_empty()) {
                out.send(Reply::Columns(columns.clone())).await.ok();
                out.send(Reply::Done { count: Some(0), command: plan.command }).await.ok();
            }
            return Ok(Flow::Next);
        }
        if self.options.implicit_transactions
            && (plan.target.is_some() || plan.reads_data)
            && !self.transaction.is_open()
        {
            self.begin_transaction(out).await?;
        }
        let count = match self.discarded_count(statement, &plan)? {
            Some(count) => count,
            None => self.run_plan(&plan, frame, out).await?,
        };
        self.note_identity(&plan).await;
        self.row_count = count;
        let hides = self.options.no_count && plan.columns.is_none();
        if plan.assign.is_empty() {
            // NOCOUNT hides the count; a SELECT still ends with DONE.
            let count = Some(count).filter(|_| !self.options.no_count);
            if !hides {
                out.send(Reply::Done { count, command: plan.command }).await.ok();
            }
        }
        Ok(Flow::Next)
    }

    /// The value of a condition.
    async fn condition(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &Frame,
    ) -> Result<bool, SqlError> {
        let values = self.values(statement, plans, frame).await?;
        Ok(matches!(values.first(), Some(Datum::Bit(true))))
    }

    /// The values of a statement's expressions.
    pub(super) async fn values(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &Frame,
    ) -> Result<Vec<Datum>, SqlError> {
        match self.plan(statement, plans, frame).await? {
            Some(plan) => self.run_values(&plan, frame).await,
            None => Ok(Vec::new()),
        }
    }

    /// DECLARE and SET.
    async fn assign(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &mut Frame,
    ) -> Result<(), SqlError> {
        let values = self.values(statement, plans, frame).await?;
        match &statement.kind {
            StatementKind::Assign { variable, .. } => {
                let value = values.into_iter().next().unwrap_or(Datum::Null);
                frame.set(&variable.to_lowercase(), value);
            }
            StatementKind::Declare(declarations) => {
                let given = declarations.iter().filter(|declaration| declaration.value.is_some());
                for (declaration, value) in given.zip(values) {
                    frame.set(&declaration.name.to_lowercase(), value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `IDENTITY_INSERT` and the other options.
    pub(super) async fn set_option(&mut self, option: &SetOption) -> Result<(), SqlError> {
        match option {
            SetOption::XactAbort(on) => self.options.xact_abort = *on,
            SetOption::NoCount(on) => self.options.no_count = *on,
            SetOption::FormatOnly(on) => self.options.format_only = *on,
            SetOption::ImplicitTransactions(on) => self.options.implicit_transactions = *on,
            SetOption::RowCount(count) => self.options.row_limit = *count,
            SetOption::LockTimeout(timeout_ms) => self.set_lock_timeout(*timeout_ms).await?,
            SetOption::Isolation(level) => self.set_isolation(*level).await?,
            SetOption::IdentityInsert(name, on) => {
                let table = self.find_table(name).await?;
                let table = table.ok_or_else(|| {
                    let message = format!(
                        "Cannot find the object \"{name}\" because it does not exist or you do not have permissions."
                    );
                    SqlError::new(1088, 16, message)
                })?;
                self.options.identity_insert = on.then_some(table.object_id);
                // Translations depend on it.
                self.temporary_version += 1;
            }
            SetOption::Accepted => {}
        }
        Ok(())
    }
}

/// For the DONE of a failed statement.
fn statement_command(kind: &StatementKind) -> u16 {
    match kind {
        StatementKind::Select(_) => command::SELECT,
        StatementKind::Insert(_) | StatementKind::InsertExecute(_) => command::INSERT,
        StatementKind::Update(_) => command::UPDATE,
        StatementKind::Delete(_) => command::DELETE,
        StatementKind::Merge(_) => command::MERGE,
        _ => command::OTHER,
    }
}

/// Whether a statement that succeeds sets @@ERROR to 0: the ones with bodies have left that to these.
fn resets_error(kind: &StatementKind) -> bool {
    !matches!(
        kind,
        StatementKind::If { .. }
            | StatementKind::While { .. }
            | StatementKind::Block(_)
            | StatementKind::TryCatch { .. }
            | StatementKind::Raiserror { .. }
    )
}
