//! Rows of a snapshot into a target table, each load a transaction of its own, or in one that the caller has begun.
//!
//! A row is encoded and checked before it is sent, and what has been encoded is sent in pieces of [`SEND_BYTES`], so
//! that memory stays the same whatever the size of the table. The load goes into a heap under TABLOCK: bulk update
//! locks of several loads agree with each other, and the log is minimal where the recovery model allows it (T-SQL
//! manual, "Prerequisites for minimal logging in bulk import").

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segcdc_model::{Field, Tuple};
use segcdc_plan::{TablePlan, convert};
use segcdc_tds::{BulkOptions, Error as TdsError};

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
}

/// One load in progress. Dropped before [`Loader::finish`] or [`Loader::abort`], it leaves a session that cannot be used
/// any more; the server undoes the load when that session ends.
#[derive(Debug)]
pub struct Loader<'t> {
    sink: RowSink<'t>,
    /// The load began the transaction that it runs in, and commits it.
    owns_transaction: bool,
    table: Arc<TablePlan>,
    buffer: RowBuffer,
    /// Rows in `buffer`.
    buffered: u64,
    /// Rows sent.
    sent: u64,
    progress: Arc<LoadProgress>,
}

// === impl LoadProgress ===

impl LoadProgress {
    /// Rows sent.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Encoded bytes sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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
        let dialect = target.dialect();
        let columns = table
            .columns
            .iter()
            .map(|column| encode::bulk_column(&column.name, column.mssql_type, column.nullable, dialect));
        let buffer = RowBuffer::new(columns.collect(), target.write_path());
        // A bulk load is all or nothing by itself; a series of INSERTs needs a transaction for that.
        let owns_transaction =
            target.write_path() == WritePath::Insert && !target.connection().in_transaction();
        if owns_transaction {
            target.batch("beginning a load", sql::session::BEGIN).await?;
        }
        let options = BulkOptions { table_lock: true, keep_nulls: true, ..BulkOptions::default() };
        let name = quote::qualified(&table.target);
        let sink = RowSink::begin(target, &name, buffer.columns(), &options)
            .await
            .map_err(|error| at_table(table, error))?;
        Ok(Loader {
            sink,
            owns_transaction,
            table: Arc::clone(table),
            buffer,
            buffered: 0,
            sent: 0,
            progress,
        })
    }

    /// Adds a row: its fields are the plan's columns, in their order. Sends when enough have come together.
    ///
    /// # Errors
    /// [`TargetError::Value`] for a value that the target cannot hold, and the server's. The load has to be aborted
    /// then; a session that is not usable any more has to be given up.
    pub async fn push(&mut self, row: &Tuple) -> Result<(), TargetError> {
        self.encode(row)?;
        self.buffered += 1;
        // What a large value is kept in is let go as soon as it is sent.
        if self.buffer.byte_len() >= SEND_BYTES || self.buffer.large_bytes() > 0 {
            self.send().await?;
        }
        Ok(())
    }

    /// Rows pushed so far.
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
        let Loader { sink, owns_transaction, table, sent, .. } = self;
        match sink {
            RowSink::Insert { target, rows, .. } => {
                let counted = check_count(rows, sent);
                if counted.is_err() {
                    target.roll_back().await;
                } else if owns_transaction {
                    target.commit().await?;
                }
                counted
            }
            bulk @ RowSink::Bulk(_) => {
                let taken = bulk.finish().await.map_err(|error| at_table(&table, error))?;
                check_count(taken, sent)
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

    fn encode(&mut self, row: &Tuple) -> Result<(), TargetError> {
        let Loader { table, buffer, .. } = self;
        buffer.begin_row();
        for (index, column) in table.columns.iter().enumerate() {
            let field = row.get(index).unwrap_or(Field::UnchangedToast);
            let decoded = convert::decode(&column.pg_type, field).map_err(RefusedValue::from);
            if let Err(refused) = decoded.and_then(|value| buffer.value(value)) {
                buffer.cancel_row();
                return Err(TargetError::refused(refused, table, index, PLACE));
            }
        }
        buffer.end_row().map_err(|refused| TargetError::refused(refused, table, 0, PLACE))
    }
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
    TargetError::from_tds("loading", error).at_table(&table.target, table.source.oid, PLACE)
}
