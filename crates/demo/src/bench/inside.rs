//! Parts of the engine alone, in this process: reading a slot to nowhere, and encoding rows for a bulk load.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use segcdc_model::{Field, Tuple};
use segcdc_plan::{Fitted, Naming, TablePlan, convert, fit, is_plain, table_plan};
use segcdc_postgres::snapshot::copy;
use segcdc_postgres::{
    CopyRequest, Pattern, Replication, SourceConfig, StreamEvent, StreamOptions, catalog, session,
};
use segcdc_sqlserver::dialect::Dialect;
use segcdc_sqlserver::{LoadProgress, Loader, Target, TargetConfig, encode, quote, sql};
use segcdc_tds::{BulkColumn, Collation, RowEncoder};
use segcdc_testkit::PostgresCluster;
use tokio::time::Instant;

use super::slot::Drain;
use super::yardstick::{Yardstick, per_cpu_second};
use crate::process;

/// Rows that are kept in memory and used again and again.
const SAMPLE_ROWS: usize = 20_000;
/// Bytes of encoded rows that are sent together: as much as the engine's loader collects.
const CHUNK_BYTES: usize = 256 * 1024;

/// Rows of a table as the source gave them, and the plan by which they are written.
pub(super) struct Rows {
    plan: Arc<TablePlan>,
    tuples: Vec<Tuple>,
    /// How often all of them are taken.
    times: u64,
}

/// What reading a slot came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drained {
    pub(super) transactions: u64,
    pub(super) changes: u64,
    pub(super) seconds: f64,
    /// CPU seconds of this process.
    pub(super) cpu: f64,
}

/// Reads a slot to nowhere.
pub(super) async fn drain(source: &PostgresCluster, database: &str, drain: &Drain) -> Result<Drained> {
    let config = SourceConfig::parse(&source.url(database))?;
    let options = StreamOptions { fields: drain.fields, streaming: true, ..StreamOptions::default() };
    let (begun, before) = (Instant::now(), process::cpu_seconds(std::process::id()));
    let replication = Replication::connect(&config).await?;
    let publications = [drain.publication.as_str()];
    let mut stream = replication.start_with(&drain.slot, drain.from, &publications, options).await?;
    let (mut transactions, mut changes) = (0, 0);
    loop {
        match stream.next().await? {
            StreamEvent::Transaction(transaction) => {
                transactions += 1;
                changes += transaction.changes.len() as u64;
                if transaction.end_lsn >= drain.end {
                    break;
                }
            }
            StreamEvent::Idle { wal_end } if wal_end >= drain.end => break,
            StreamEvent::Idle { .. } | StreamEvent::Message { .. } => {}
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process::cpu_seconds(std::process::id()) - before;
    stream.close().await?;
    Ok(Drained { transactions, changes, seconds, cpu })
}

// === impl Rows ===

impl Rows {
    /// Reads some rows of a table; `total` of them are written later, each several times.
    pub(super) async fn read(
        source: &PostgresCluster,
        database: &str,
        table: &str,
        total: u64,
    ) -> Result<Self> {
        let config = SourceConfig::parse(&source.url(database))?;
        let session = session::connect(&config).await?;
        let found = catalog::tables(&session, &[Pattern::parse(table)?]).await?;
        let plan = table_plan(found.first().context("the table is there")?, &Naming::new("dbo"))?;
        let columns: Vec<usize> = (0..plan.source.columns.len()).collect();
        let mut rows = copy(&config, CopyRequest::new(&plan.source, &columns)).await?;
        let mut tuples = Vec::with_capacity(SAMPLE_ROWS);
        while tuples.len() < SAMPLE_ROWS
            && let Some(row) = rows.next().await?
        {
            tuples.push(row);
        }
        ensure!(!tuples.is_empty(), "{table} has no rows");
        let times = total.div_ceil(tuples.len() as u64).max(1);
        Ok(Rows { plan: Arc::new(plan), tuples, times })
    }

    /// Rows that are written.
    pub(super) fn total(&self) -> u64 {
        self.tuples.len() as u64 * self.times
    }

    /// Name and columns for a bulk load.
    pub(super) fn target(&self) -> (String, Vec<BulkColumn>) {
        let dialect = Dialect::new(Collation::SQL_LATIN1_GENERAL_CP1_CI_AS);
        (quote::qualified(&self.plan.target), columns(&self.plan, dialect))
    }

    /// The statement that makes the table.
    pub(super) fn create_table(&self) -> String {
        sql::create_table::create_table(&self.plan)
    }

    /// All rows, encoded.
    pub(super) fn encode_all(&self, collation: Collation) -> Result<Vec<RowEncoder>> {
        let columns = columns(&self.plan, Dialect::new(collation));
        let mut chunks = Vec::new();
        let mut encoder = RowEncoder::new(&columns);
        for _ in 0..self.times {
            for tuple in &self.tuples {
                self.encode(tuple, &mut encoder)?;
                if encoder.byte_len() >= CHUNK_BYTES {
                    chunks.push(std::mem::replace(&mut encoder, RowEncoder::new(&columns)));
                }
            }
        }
        chunks.push(encoder);
        Ok(chunks)
    }

    /// Rows per CPU second of this process that are encoded and thrown away.
    pub(super) fn encode_only(&self) -> Result<f64> {
        let dialect = Dialect::new(Collation::SQL_LATIN1_GENERAL_CP1_CI_AS);
        let mut encoder = RowEncoder::new(&columns(&self.plan, dialect));
        let before = process::cpu_seconds(std::process::id());
        for _ in 0..self.times {
            for tuple in &self.tuples {
                self.encode(tuple, &mut encoder)?;
                if encoder.byte_len() >= CHUNK_BYTES {
                    encoder.clear();
                }
            }
        }
        Ok(self.rate(before))
    }

    /// Rows per CPU second of this process whose values are hashed.
    #[expect(clippy::cast_precision_loss, reason = "a count, far below 2^52")]
    pub(super) fn hash(&self) -> Result<f64> {
        per_cpu_second(self.tuples.len() as f64, || {
            let mut hash = Yardstick::new();
            self.tuples.iter().for_each(|tuple| hash.add_row(tuple));
            Ok(hash)
        })
    }

    /// Rows per CPU second of this process that the engine's loader encodes and sends into one bulk load.
    pub(super) async fn encode_and_send(&self, target_url: &str) -> Result<f64> {
        let mut target = Target::connect(&TargetConfig::parse(target_url)?).await?;
        let before = process::cpu_seconds(std::process::id());
        let mut loader = Loader::begin(&mut target, &self.plan, Arc::new(LoadProgress::default())).await?;
        for _ in 0..self.times {
            for tuple in &self.tuples {
                loader.push(tuple).await?;
            }
        }
        let loaded = loader.finish().await?;
        ensure!(loaded == self.total(), "the sink took {loaded} rows of {}", self.total());
        Ok(self.rate(before))
    }

    /// Rows per CPU second since `before`.
    #[expect(clippy::cast_precision_loss, reason = "a count, far below 2^52")]
    fn rate(&self, before: f64) -> f64 {
        self.total() as f64 / (process::cpu_seconds(std::process::id()) - before).max(0.01)
    }

    fn encode(&self, tuple: &Tuple, encoder: &mut RowEncoder) -> Result<()> {
        encoder.begin_row();
        for (index, column) in self.plan.columns.iter().enumerate() {
            let field = tuple.get(index).unwrap_or(Field::Null);
            // As the engine's loader does.
            if is_plain(column) {
                encode::write(encoder, &convert::decode(&column.pg_type, field)?)?;
                continue;
            }
            match fit(column, field)? {
                Fitted::Exact(value) | Fitted::Replaced(value) => encode::write(encoder, &value)?,
                Fitted::Aside(_) => bail!("a row of the benchmark does not fit its table"),
            }
        }
        Ok(encoder.end_row()?)
    }
}

/// The columns of a bulk load.
fn columns(plan: &TablePlan, dialect: Dialect) -> Vec<BulkColumn> {
    let column = |column: &segcdc_plan::ColumnPlan| {
        encode::bulk_column(&column.name, column.mssql_type, column.nullable, dialect)
    };
    plan.columns.iter().map(column).collect()
}
