//! [`Slots`]: replication slots that all begin at one position, so that the same changes can be drained again and again.

use anyhow::{Context, Result};
use segcdc_model::Lsn;
use segcdc_plan::{Naming, table_plan};
use segcdc_postgres::{FieldForm, Pattern, SourceConfig, catalog, session};
use segcdc_testkit::PostgresCluster;
use tokio_postgres::Client;

/// The slot that the others are copies of.
const BASE: &str = "bench_base";

/// Where a drain begins and ends, and what is asked for.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    pub(super) slot: String,
    pub(super) publication: String,
    pub(super) from: Lsn,
    pub(super) end: Lsn,
    /// The form of the fields that the engine asks for, of these tables.
    pub(super) fields: FieldForm,
}

/// The slots of one backlog.
pub(super) struct Slots<'a> {
    client: &'a Client,
    publication: String,
    fields: FieldForm,
    from: Lsn,
    copies: u32,
}

// === impl Drain ===

impl Drain {
    /// Whether fields come in binary form.
    pub(super) fn is_binary(&self) -> bool {
        self.fields == FieldForm::Binary
    }
}

// === impl Slots ===

impl<'a> Slots<'a> {
    /// Makes the slot that the others begin with, at what commits from now on.
    pub(super) async fn begin(
        source: &PostgresCluster,
        database: &str,
        client: &'a Client,
    ) -> Result<Slots<'a>> {
        let sql = format!(
            "SELECT lsn::text, (SELECT min(pubname)::text FROM pg_publication) FROM pg_create_logical_replication_slot('{BASE}', 'pgoutput')"
        );
        let row = client.query_one(&sql, &[]).await?;
        let (from, publication): (String, Option<String>) = (row.get(0), row.get(1));
        let publication = publication.context("the pipeline has a publication")?;
        let fields = field_form(source, database).await?;
        Ok(Slots { client, publication, fields, from: from.parse()?, copies: 0 })
    }

    /// A new slot that begins where the others do; its end is where the source is now.
    pub(super) async fn next(&mut self) -> Result<Drain> {
        self.copies += 1;
        let slot = format!("bench_{}", self.copies);
        let sql = format!("SELECT pg_copy_logical_replication_slot('{BASE}', '{slot}')");
        self.client.batch_execute(&sql).await?;
        let end: String = self.client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.get(0);
        let Slots { publication, fields, from, .. } = self;
        Ok(Drain { slot, publication: publication.clone(), from: *from, end: end.parse()?, fields: *fields })
    }

    /// Removes all of them.
    pub(super) async fn end(self) -> Result<()> {
        let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'bench\\_%'";
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// The form in which the engine asks for fields: binary when it reads the binary form of each column exactly.
async fn field_form(source: &PostgresCluster, database: &str) -> Result<FieldForm> {
    let config = SourceConfig::parse(&source.url(database))?;
    let session = session::connect(&config).await?;
    let tables = catalog::tables(&session, &[Pattern::parse("public.*")?]).await?;
    let naming = Naming::new("dbo");
    let mut exact = true;
    for table in &tables {
        let plan = table_plan(table, &naming)?;
        exact &= plan.source.columns.iter().all(|column| column.pg_type.has_exact_binary_form());
    }
    Ok(if exact { FieldForm::Binary } else { FieldForm::Text })
}
