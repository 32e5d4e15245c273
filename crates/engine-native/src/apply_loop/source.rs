//! PostgreSQL, as the loop asks it.

use segcdc_model::fault::chain;
use segcdc_model::{CatalogTable, Checkpoint, Lineage, Lsn, QualifiedName, SourceTable};
use segcdc_plan::TableSet;
use segcdc_postgres::{Session, SourceError, catalog, heartbeat, publication};
use segcdc_sqlserver::SlotWatch;

use super::watch::Watch;
use crate::error::EngineError;
use crate::ports::SourcePort;
use crate::slot_watch::look_at_rest;
use crate::source_clock::SourceClock;

impl SourcePort for Session {
    type Watch = Watch;

    async fn emit_heartbeat(&self) -> Result<Lsn, SourceError> {
        heartbeat::emit(self).await
    }

    async fn read_clock(&self) -> Result<SourceClock, SourceError> {
        SourceClock::read(self).await
    }

    async fn look(
        &self,
        watch: &mut Watch,
        checkpoint: &Checkpoint,
        tables: &TableSet,
    ) -> Result<Vec<(u32, EngineError)>, EngineError> {
        watch.look(self, checkpoint, tables).await
    }

    async fn table_in_detail(&self, oid: u32) -> Result<Option<CatalogTable>, SourceError> {
        catalog::table_in_detail(self, oid, None).await
    }

    async fn unpublish(
        &self,
        publication: &str,
        oid: u32,
        name: &QualifiedName,
    ) -> Result<String, EngineError> {
        let found = publication::inspect(self, publication).await?;
        let published = found.iter().flat_map(|found| &found.tables).find(|table| table.oid == oid);
        let Some(published) = published else { return Ok("it was not published any more".to_owned()) };
        // Its name may have changed since.
        let dropped = publication::drop_tables(self, publication, std::slice::from_ref(&published.name));
        Ok(match dropped.await {
            Ok(()) => format!("{name} is published no more"),
            Err(error) => format!("{name} is still published: {}", chain(&error)),
        })
    }

    async fn new_tables(
        &self,
        is_wanted: &(dyn Fn(u32, &QualifiedName) -> bool + Sync),
    ) -> Result<Vec<SourceTable>, SourceError> {
        let names = catalog::all_names(self).await?;
        let oids: Vec<u32> =
            names.iter().filter(|(oid, name)| is_wanted(*oid, name)).map(|(oid, _)| *oid).collect();
        match oids.is_empty() {
            true => Ok(Vec::new()),
            false => catalog::tables_by_oid(self, &oids).await,
        }
    }

    async fn look_at_rest(
        &self,
        lineage: &Lineage,
        limit_bytes: Option<u64>,
    ) -> Result<Option<SlotWatch>, EngineError> {
        look_at_rest(self, lineage, limit_bytes).await
    }
}
