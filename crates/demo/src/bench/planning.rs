//! [`Sample`]: transactions as the stream gave them, planned again and again in this process.

use std::sync::Arc;

use anyhow::{Result, ensure};
use segcdc_model::{Lsn, TablePhase, Transaction};
use segcdc_plan::{BatchLimits, Naming, OpenLetters, TableEntry, TableSet, plan, table_plan};
use segcdc_postgres::{Pattern, Replication, SourceConfig, StreamEvent, StreamOptions, catalog, session};
use segcdc_testkit::PostgresCluster;

use super::slot::Drain;
use super::yardstick::{Yardstick, per_cpu_second};

/// One full batch.
pub(super) struct Sample {
    transactions: Vec<Transaction>,
    tables: TableSet,
    changes: usize,
}

// === impl Sample ===

impl Sample {
    /// Reads the first transactions of a slot, as many as a batch of the engine holds.
    pub(super) async fn read(source: &PostgresCluster, database: &str, drain: &Drain) -> Result<Self> {
        let wanted = BatchLimits::default().max_changes;
        let config = SourceConfig::parse(&source.url(database))?;
        let tables = all_tables(&config).await?;
        let options = StreamOptions { fields: drain.fields, streaming: true, ..StreamOptions::default() };
        let publications = [drain.publication.as_str()];
        let replication = Replication::connect(&config).await?;
        let mut stream = replication.start_with(&drain.slot, drain.from, &publications, options).await?;
        let (mut transactions, mut changes) = (Vec::new(), 0);
        while changes < wanted {
            match stream.next().await? {
                StreamEvent::Transaction(transaction) => {
                    ensure!(transaction.spilled.is_none(), "a transaction of the benchmark fits into memory");
                    changes += transaction.changes.len();
                    transactions.push(transaction);
                }
                StreamEvent::Idle { wal_end } => {
                    ensure!(wal_end < drain.end, "the slot has {changes} changes only")
                }
                StreamEvent::Message { .. } => {}
            }
        }
        stream.close().await?;
        Ok(Sample { transactions, tables, changes })
    }

    /// Changes per CPU second that become plans.
    pub(super) fn plan(&self) -> Result<f64> {
        per_cpu_second(self.count(), || Ok(plan(&self.transactions, &self.tables)?))
    }

    /// Changes per CPU second whose values are hashed.
    pub(super) fn hash(&self) -> Result<f64> {
        per_cpu_second(self.count(), || {
            let mut hash = Yardstick::new();
            let changes = self.transactions.iter().flat_map(|transaction| &transaction.changes);
            changes.for_each(|change| hash.add_change(change));
            Ok(hash)
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a count, far below 2^52")]
    fn count(&self) -> f64 {
        self.changes as f64
    }
}

/// The tables of a source, all of them followed.
async fn all_tables(config: &SourceConfig) -> Result<TableSet> {
    let session = session::connect(config).await?;
    let mut tables = TableSet::new();
    for table in &catalog::tables(&session, &[Pattern::parse("public.*")?]).await? {
        tables.insert(TableEntry {
            plan: Arc::new(table_plan(table, &Naming::new("dbo"))?),
            sync_lsn: Lsn::ZERO,
            phase: TablePhase::Streaming,
            letters: OpenLetters::new(),
            known: None,
        });
    }
    Ok(tables)
}
