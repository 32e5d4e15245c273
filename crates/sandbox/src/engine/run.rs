//! Running a translated statement in PostgreSQL.

use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use segcdc_tds::{ColumnType, Datum};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, RowStream};

use super::Session;
use super::binary::{self, Raw, RawColumn};
use super::failure::{self, Place};
use super::flow::Frame;
use crate::answer::{OutColumn, Replies, Reply, SqlError};
use crate::sql::ast::Isolation;
use crate::sql::physical;
use crate::sql::translate::{Global, Plan, Slot};

/// Rows that are sent on together.
const ROWS_AT_ONCE: usize = 512;
/// Bytes of PostgreSQL's rows that are sent on together, about.
const BYTES_AT_ONCE: usize = 128 * 1024;

// === impl Session ===

impl Session {
    /// Runs a statement of rows; its rows go to `out` or into variables. Returns its row count.
    pub(super) async fn run_plan(
        &mut self,
        plan: &Arc<Plan>,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<u64, SqlError> {
        self.check_allowed(plan)?;
        let guard = self.guard(plan.lock.is_some(), frame.in_try()).await?;
        let result = self.run_guarded(plan, frame, out).await;
        let released = self.unguard(guard, result.is_ok()).await;
        let count = result?;
        released?;
        Ok(count)
    }

    /// 3952: SNAPSHOT is off; 3930: the transaction is doomed.
    fn check_allowed(&self, plan: &Plan) -> Result<(), SqlError> {
        if plan.target.is_some() {
            if self.options.row_limit > 0 {
                return Err(crate::sql::translate::unsupported("a change under SET ROWCOUNT"));
            }
            if self.transaction.doomed {
                return Err(super::transaction::doomed());
            }
            let now = self.engine.databases.find(&self.database.name);
            if now.is_some_and(|database| database.read_only) {
                let message = format!(
                    "Failed to update database \"{}\" because the database is read-only.",
                    self.database.name
                );
                return Err(SqlError::new(3906, 16, message));
            }
        }
        if plan.reads_data && self.options.isolation == Isolation::Snapshot {
            let now = self.engine.databases.find(&self.database.name);
            if !now.is_some_and(|database| database.snapshot) {
                let name = &self.database.name;
                let message = format!(
                    "Snapshot isolation transaction failed accessing database '{name}' because snapshot isolation is not allowed \
                     in this database. Use ALTER DATABASE to allow snapshot isolation."
                );
                return Err(SqlError::new(3952, 16, message));
            }
        }
        Ok(())
    }

    /// The same within a guard of the caller.
    pub(super) async fn run_guarded(
        &mut self,
        plan: &Arc<Plan>,
        frame: &mut Frame,
        out: &Replies,
    ) -> Result<u64, SqlError> {
        if let Some(lock) = &plan.lock {
            self.own(lock).await?;
        }
        let stream = self.start(plan, frame).await?;
        let mut stream = pin!(stream);
        let Some(columns) = &plan.columns else {
            while stream.try_next().await.map_err(|error| self.plan_error(&error, plan))?.is_some() {}
            return Ok(stream.rows_affected().unwrap_or_default());
        };
        let is_assignment = !plan.assign.is_empty();
        if !is_assignment {
            out.send(Reply::Columns(columns.clone())).await.ok();
        }
        let (mut count, mut bytes) = (0_u64, 0);
        let mut rows: Vec<Vec<Datum>> = Vec::new();
        while let Some(row) = stream.try_next().await.map_err(|error| self.plan_error(&error, plan))? {
            if self.options.row_limit > 0 && count >= self.options.row_limit {
                break;
            }
            count += 1;
            bytes += row.raw_size_bytes();
            let row = read_row(&row, columns)?;
            if is_assignment {
                rows = vec![row];
                continue;
            }
            rows.push(row);
            if rows.len() >= ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                bytes = 0;
                out.send(Reply::Rows(std::mem::take(&mut rows))).await.ok();
            }
        }
        if is_assignment {
            for (name, value) in plan.assign.iter().zip(rows.pop().into_iter().flatten()) {
                frame.set(name, value);
            }
        } else if !rows.is_empty() {
            out.send(Reply::Rows(rows)).await.ok();
        }
        Ok(count)
    }

    /// The only row of expressions that stand alone.
    pub(super) async fn run_values(
        &mut self,
        plan: &Arc<Plan>,
        frame: &Frame,
    ) -> Result<Vec<Datum>, SqlError> {
        if self.options.isolation == Isolation::Snapshot {
            self.check_allowed(plan)?;
        }
        let guard = self.guard(false, frame.in_try()).await?;
        let result = self.read_values(plan, frame).await;
        let released = self.unguard(guard, result.is_ok()).await;
        let values = result?;
        released?;
        Ok(values)
    }

    async fn read_values(&mut self, plan: &Arc<Plan>, frame: &Frame) -> Result<Vec<Datum>, SqlError> {
        let stream = self.start(plan, frame).await?;
        let rows: Vec<Row> = stream.try_collect().await.map_err(|error| self.plan_error(&error, plan))?;
        let columns = plan.columns.as_deref().unwrap_or_default();
        rows.first().map_or(Ok(vec![Datum::Null; columns.len()]), |row| read_row(row, columns))
    }

    async fn start(&mut self, plan: &Arc<Plan>, frame: &Frame) -> Result<RowStream, SqlError> {
        let types: Vec<Type> = plan.slots.iter().map(|slot| physical::value_type(slot_type(slot))).collect();
        let mut values = Vec::with_capacity(plan.slots.len());
        for slot in &plan.slots {
            values.push(self.bind(slot, frame)?);
        }
        let statement =
            self.prepared(&plan.sql, &types).await.map_err(|error| self.plan_error(&error, plan))?;
        let stream = self.client.query_raw(&statement, &values).await;
        stream.map_err(|error| self.plan_error(&error, plan))
    }

    fn plan_error(&self, error: &tokio_postgres::Error, plan: &Plan) -> SqlError {
        let place = Place {
            database: &self.database.name,
            table: plan.target.as_ref(),
            command: plan.command,
            snapshot: self.options.isolation == Isolation::Snapshot,
        };
        if error.as_db_error().is_some_and(|db| db.code().code().starts_with("42")) {
            tracing::debug!(sql = %plan.sql, error = %error, "a translation that PostgreSQL refuses");
        }
        failure::from_postgres(error, place)
    }

    /// A parameter's value.
    fn bind(&self, slot: &Slot, frame: &Frame) -> Result<Raw, SqlError> {
        let (value, column_type) = match slot {
            Slot::Literal(value, column_type) => (value.clone(), *column_type),
            Slot::Variable(name, column_type) => {
                (frame.value(name).cloned().unwrap_or(Datum::Null), *column_type)
            }
            Slot::Global(global, column_type) => (self.global(*global, frame), *column_type),
        };
        let mut bytes = Vec::new();
        let is_value = binary::encode(&value, column_type, &mut bytes)?;
        Ok(Raw(is_value.then_some(bytes)))
    }

    /// The value of a function of the session.
    fn global(&self, global: Global, frame: &Frame) -> Datum {
        let text = |text: &str| Datum::Text(text.to_owned());
        let caught = frame.caught();
        let of_error = |part: fn(&SqlError) -> Datum| caught.map_or(Datum::Null, part);
        match global {
            Global::RowCount => {
                Datum::Int(i64::try_from(self.row_count).unwrap_or(i64::MAX).min(i64::from(i32::MAX)))
            }
            Global::TransactionCount => Datum::Int(i64::from(self.transaction.count)),
            Global::TransactionState => Datum::Int(match (self.transaction.count, self.transaction.doomed) {
                (0, _) => 0,
                (_, true) => -1,
                (_, false) => 1,
            }),
            Global::Error => Datum::Int(i64::from(self.last_error)),
            Global::Spid => Datum::Int(i64::from(self.request.spid)),
            Global::Identity => self.identity.map_or(Datum::Null, Datum::Int),
            Global::ErrorNumber => of_error(|error| Datum::Int(i64::from(error.number))),
            Global::ErrorMessage => of_error(|error| Datum::Text(error.message.clone())),
            Global::ErrorSeverity => of_error(|error| Datum::Int(i64::from(error.class))),
            Global::ErrorState => of_error(|error| Datum::Int(i64::from(error.state))),
            Global::ErrorLine => of_error(|error| Datum::Int(i64::from(error.line))),
            Global::LockTimeout => Datum::Int(self.options.lock_timeout),
            Global::Options => Datum::Int(5496 + if self.options.xact_abort { 16384 } else { 0 }),
            Global::Database => text(&self.database.name),
            Global::User => text(&self.request.user),
            Global::Host => text(&self.request.host),
            Global::Application => text(&self.request.application),
        }
    }

    /// Remembers the identity value of an INSERT.
    pub(super) async fn note_identity(&mut self, plan: &Plan) {
        let has_identity =
            plan.target.as_ref().is_some_and(|table| table.columns.iter().any(|column| column.identity));
        if !has_identity || plan.command != crate::answer::command::INSERT {
            return;
        }
        let rows = self.catalog("SELECT lastval()", &[]).await.unwrap_or_default();
        self.identity = rows.first().and_then(|row| row.try_get(0).ok()).or(self.identity);
    }
}

fn slot_type(slot: &Slot) -> ColumnType {
    match slot {
        Slot::Variable(_, column_type) | Slot::Literal(_, column_type) | Slot::Global(_, column_type) => {
            *column_type
        }
    }
}

fn read_row(row: &Row, columns: &[OutColumn]) -> Result<Vec<Datum>, SqlError> {
    let mut values = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let raw: Option<RawColumn<'_>> = row.try_get(index).map_err(|error| {
            SqlError::new(8180, 16, format!("the sandbox cannot read column {index}: {error}"))
        })?;
        values.push(binary::decode(raw.map(|raw| raw.0), column.column_type)?);
    }
    Ok(values)
}
