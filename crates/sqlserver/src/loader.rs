//! Rows of a snapshot into a target table, each load a transaction of its own, or in one that the caller has begun.
//!
//! A row is encoded and checked before it is sent, and what has been encoded is sent in pieces of [`SEND_BYTES`], so
//! that memory stays the same whatever the size of the table. The load goes into a heap under TABLOCK: bulk update
//! locks of several loads agree with each other, and the log is minimal where the recovery model allows it (T-SQL
//! manual, "Prerequisites for minimal logging in bulk import"). A table with a column of the type `json` is loaded through a
//! temporary table of the session, see [`crate::sql::form`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segcdc_model::{Field, Lsn, Tuple, Value};
use segcdc_plan::letters::{self, LetterChange};
use segcdc_plan::{
    Binding, ColumnPlan, Fitted, Held, PolicyUse, Rewriter, RowImage, TablePlan, ValuePolicy, convert, fit,
    is_plain,
};
use segcdc_tds::{BulkColumn, BulkOptions, Connection, Error as TdsError};

use crate::dialect::Dialect;
use crate::encode;
use crate::error::{RefusedValue, TargetError};
use crate::quote;
use crate::session::{Target, WritePath};
use crate::sink::{RowBuffer, RowSink};
use crate::sql;

/// Encoded bytes that are collected before they are sent: some eight packets of the largest size, and small beside the
/// memory bound for each of several loaders.
const SEND_BYTES: usize = 256 * 1024;

/// Where refused values of a load came from.
const PLACE: &str = "snapshot";

/// What the loads of one table have sent so far, for whoever shows it. Shared by all loaders of the table.
#[derive(Debug, Default)]
pub struct LoadProgress {
    rows: AtomicU64,
    bytes: AtomicU64,
    set_aside: AtomicU64,
}

/// What a load notes beside its rows: to be written in its transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LoadNotes {
    /// Rows that are set aside.
    pub letters: Vec<LetterChange>,
    /// How often policies were used.
    pub uses: Vec<PolicyUse>,
}

/// One load in progress. Dropped before [`Loader::finish`] or [`Loader::abort`], it leaves a session that cannot be used
/// any more; the server undoes the load when that session ends.
#[derive(Debug)]
pub struct Loader<'t> {
    sink: RowSink<'t>,
    /// The load began the transaction that it runs in, and commits it.
    owns_transaction: bool,
    /// What moves the rows from the temporary table that they are loaded into; `None` when that is the target.
    store: Option<String>,
    table: Arc<TablePlan>,
    /// What rows become before anything else; `None` where they stay as they are.
    rewriter: Option<Rewriter>,
    buffer: RowBuffer,
    /// Rows in `buffer`.
    buffered: u64,
    /// Rows sent.
    sent: u64,
    progress: Arc<LoadProgress>,
    /// How often each column's policy was used.
    uses: Vec<u64>,
    letters: Vec<LetterChange>,
    /// Where the copy stands.
    position: Lsn,
    /// Columns of the row at hand whose value was replaced.
    replaced: Vec<usize>,
}

/// What became of a row.
enum Encoded {
    Row,
    /// It is not in the buffer: a column has no place for its value.
    Aside {
        column: usize,
        code: &'static str,
    },
}

// === impl LoadProgress ===

impl LoadProgress {
    /// Counts rows that were written otherwise.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Rows sent.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Encoded bytes sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rows that were left out, to be set aside.
    pub fn set_aside(&self) -> u64 {
        self.set_aside.load(Ordering::Relaxed)
    }
}

// === impl Loader ===

impl<'t> Loader<'t> {
    /// Starts a load of `table`, whose target exists and is empty or holds earlier loads. Several loaders of one table
    /// may run at once, each with a session of its own, as long as the target has no key yet: with one, they wait for
    /// each other.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn begin(
        target: &'t mut Target,
        table: &Arc<TablePlan>,
        progress: Arc<LoadProgress>,
    ) -> Result<Self, TargetError> {
        let staged = sql::form::has_documents(table);
        let buffer = RowBuffer::new(columns(table, target.dialect(), staged), target.write_path());
        // A bulk load is all or nothing by itself; a series of INSERTs needs a transaction for that.
        let owns_transaction =
            target.write_path() == WritePath::Insert && !target.connection().in_transaction();
        if owns_transaction {
            target.batch("beginning a load", sql::session::BEGIN).await?;
        }
        let options = BulkOptions { table_lock: true, keep_nulls: true, ..BulkOptions::default() };
        let (name, store) = if staged {
            target.staging_count += 1;
            let number = target.staging_count;
            target.batch("creating a staging table", &sql::form::create_load(number, table)).await?;
            (sql::staging::name(number), Some(sql::form::store_load(number, table)))
        } else {
            (quote::qualified(&table.target), None)
        };
        let sink = RowSink::begin(target, &name, buffer.columns(), &options)
            .await
            .map_err(|error| at_table(table, error))?;
        Ok(Loader {
            sink,
            owns_transaction,
            store,
            table: Arc::clone(table),
            rewriter: Rewriter::in_order(table),
            buffer,
            buffered: 0,
            sent: 0,
            progress,
            uses: vec![0; table.columns.len()],
            letters: Vec::new(),
            position: Lsn::ZERO,
            replaced: Vec::new(),
        })
    }

    /// The position of the copy, for what is noted of rows.
    #[must_use]
    pub fn at(self, position: Lsn) -> Self {
        Loader { position, ..self }
    }

    /// Adds a row as the source sends it: its fields are the plan's columns of the source, in their order. Sends when enough have come together. A row that the
    /// target cannot hold, and whose policy is to set it aside, is noted instead.
    ///
    /// # Errors
    /// [`TargetError::Value`] for a value that the target cannot hold, and the server's. The load has to be aborted
    /// then; a session that is not usable any more has to be given up.
    pub async fn push(&mut self, row: &Tuple) -> Result<(), TargetError> {
        let rewritten =
            match &self.rewriter {
                None => None,
                Some(rewriter) => Some(rewriter.rewrite(row).map_err(|(column, error)| {
                    TargetError::refused(error.into(), &self.table, column, PLACE)
                })?),
            };
        let row = rewritten.as_ref().unwrap_or(row);
        if let Encoded::Aside { column, code } = self.encode(row)? {
            return self.set_aside(row, column, code);
        }
        self.buffered += 1;
        // What a large value is kept in is let go as soon as it is sent.
        if self.buffer.byte_len() >= SEND_BYTES || self.buffer.large_bytes() > 0 {
            self.send().await?;
        }
        Ok(())
    }

    /// Takes what was noted so far.
    pub fn take_notes(&mut self) -> LoadNotes {
        let source = &self.table.source;
        let used = self.uses.iter_mut().zip(&self.table.columns).filter(|(count, _)| **count > 0);
        let uses = used.map(|(count, column)| PolicyUse {
            oid: source.oid,
            table: source.name.clone(),
            column: column.source_name.clone(),
            policy: match column.policy {
                policy @ (ValuePolicy::Null | ValuePolicy::Clamp) => policy,
                ValuePolicy::Halt | ValuePolicy::Text | ValuePolicy::SetAside => ValuePolicy::SetAside,
            }
            .word(),
            count: std::mem::take(count),
        });
        LoadNotes { uses: uses.collect(), letters: std::mem::take(&mut self.letters) }
    }

    /// Rows pushed so far, those that are set aside not counted.
    pub fn rows(&self) -> u64 {
        self.sent + self.buffered
    }

    /// Sends what is left and ends the load: committed, unless a transaction was open when it began. Returns its rows.
    ///
    /// # Errors
    /// The server's; then nothing of the load is in the table, unless the connection broke.
    pub async fn finish(mut self) -> Result<u64, TargetError> {
        if let Err(error) = self.send().await {
            // The first error says more than a failed clean-up.
            let _given_up = self.abort().await;
            return Err(error);
        }
        let Loader { sink, owns_transaction, store, table, sent, .. } = self;
        match sink {
            RowSink::Insert { target, rows, .. } => {
                let mut counted = check_count(rows, sent);
                if counted.is_ok() {
                    counted = move_rows(target.connection(), store.as_deref(), &table, sent).await;
                }
                if counted.is_err() {
                    target.roll_back().await;
                } else if owns_transaction {
                    target.commit().await?;
                }
                counted
            }
            RowSink::Bulk(load) => {
                let loaded = load.finish_and_go_on().await;
                let (taken, connection) = loaded.map_err(|error| at_table(&table, error))?;
                check_count(taken, sent)?;
                move_rows(connection, store.as_deref(), &table, sent).await
            }
        }
    }

    /// Gives the load up: nothing of it stays, and the session can be used again. A transaction that was open when the
    /// load began is the caller's to roll back.
    ///
    /// # Errors
    /// A broken connection; the server undoes the load then too.
    pub async fn abort(self) -> Result<(), TargetError> {
        let given_up = match self.sink {
            RowSink::Insert { target, .. } => {
                target.roll_back().await;
                Ok(())
            }
            bulk @ RowSink::Bulk(_) => bulk.abort().await,
        };
        given_up.map_err(|error| TargetError::from_tds("giving a load up", error))
    }

    async fn send(&mut self) -> Result<(), TargetError> {
        let bytes = self.buffer.byte_len() as u64 + self.buffer.large_bytes();
        self.sink.send(&mut self.buffer).await.map_err(|error| at_table(&self.table, error))?;
        self.progress.rows.fetch_add(self.buffered, Ordering::Relaxed);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sent += self.buffered;
        self.buffered = 0;
        Ok(())
    }

    fn encode(&mut self, row: &Tuple) -> Result<Encoded, TargetError> {
        let Loader { table, buffer, uses, replaced, .. } = self;
        buffer.begin_row();
        replaced.clear();
        for (index, column) in table.columns.iter().enumerate() {
            let field = row.get(index).unwrap_or(Field::UnchangedToast);
            let written = if is_plain(column) {
                match &convert::decode(&column.pg_type, field) {
                    Ok(value) => write(buffer, column, value),
                    Err(error) => Err(error.clone().into()),
                }
            } else {
                match fit(column, field) {
                    Ok(Fitted::Exact(value)) => write(buffer, column, &value),
                    Ok(Fitted::Replaced(value)) => {
                        replaced.push(index);
                        buffer.value(&value)
                    }
                    Ok(Fitted::Aside(misfit)) => {
                        buffer.cancel_row();
                        let code = misfit.of_key(table.is_key(index)).code();
                        return Ok(Encoded::Aside { column: index, code });
                    }
                    Err(error) => Err(error.into()),
                }
            };
            if let Err(refused) = written {
                buffer.cancel_row();
                return Err(TargetError::refused(refused, table, index, PLACE));
            }
        }
        buffer.end_row().map_err(|refused| TargetError::refused(refused, table, 0, PLACE))?;
        for index in replaced {
            if let Some(count) = uses.get_mut(*index) {
                *count += 1;
            }
        }
        Ok(Encoded::Row)
    }

    fn set_aside(&mut self, row: &Tuple, column: usize, code: &str) -> Result<(), TargetError> {
        let image = RowImage::new(Arc::new(Binding::in_order(&self.table)), row.clone());
        let letter = letters::of_row(&self.table, &image, (column, code), self.position, Held::Nothing)
            .map_err(|(column, error)| TargetError::refused(error.into(), &self.table, column, PLACE))?;
        self.letters.push(LetterChange::Open(letter));
        self.progress.set_aside.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.uses.get_mut(column) {
            *count += 1;
        }
        Ok(())
    }
}

/// Adds a value that is the source's own.
#[inline]
fn write(buffer: &mut RowBuffer, column: &ColumnPlan, value: &Value<'_>) -> Result<(), RefusedValue> {
    match value {
        // A staging table would let it through.
        Value::Null if !column.nullable => Err(RefusedValue::Null),
        value => buffer.value(value),
    }
}

/// The columns of a load: those of the target, or of the staging table in front of it.
fn columns(table: &TablePlan, dialect: Dialect, staged: bool) -> Vec<BulkColumn> {
    let columns = table.columns.iter().enumerate();
    let columns = columns.map(|(index, column)| {
        let (name, nullable) = if staged {
            (sql::form::load_column(index), true)
        } else {
            (column.name.clone(), column.nullable)
        };
        encode::bulk_column(&name, sql::form::staged_type(column.mssql_type), nullable, dialect)
    });
    columns.collect()
}

/// Moves the `sent` rows of a load from its temporary table into the target, if it has one.
async fn move_rows(
    connection: &mut Connection,
    store: Option<&str>,
    table: &TablePlan,
    sent: u64,
) -> Result<u64, TargetError> {
    let Some(store) = store else { return Ok(sent) };
    let response = connection.batch(store).await.map_err(|error| at_table(table, error))?;
    check_count(response.row_counts.first().copied().unwrap_or_default(), sent)
}

/// The rows of a load, when the server took as many as were sent.
fn check_count(taken: u64, sent: u64) -> Result<u64, TargetError> {
    if taken == sent {
        return Ok(sent);
    }
    let detail = format!("the server took {taken} rows of {sent}");
    Err(TargetError::Answer { during: "loading", detail })
}

/// Names the table that a load's error belongs to.
fn at_table(table: &TablePlan, error: TdsError) -> TargetError {
    TargetError::from_tds("loading", error).at_table(table, PLACE)
}
