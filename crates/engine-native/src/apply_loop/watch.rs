//! [`Watch`]: whether the publication, the partitions and the replica identities are still what they were.
//!
//! PostgreSQL 18 silently skips changes while a publication is missing, and every version simply stops sending a table
//! that was taken out of one. Nor does any send what ATTACH and DETACH do, or that a
//! table has REPLICA IDENTITY NOTHING from now on. All of it is found here only, by looking.

use std::collections::HashMap;

use segcdc_model::{Checkpoint, Fault, QualifiedName, ReplicaIdentity, SourceTable, TableKind, TablePhase};
use segcdc_plan::{Naming, PlanError, TableEntry, TableSet, table_plan};
use segcdc_postgres::catalog::{self, Partitions};
use segcdc_postgres::publication::{self, Publication};
use segcdc_postgres::{FieldForm, Session};

use crate::error::EngineError;
use crate::startup::decide::{check_publication, check_published};

/// Time for a lock that a question takes: the functions that list a publication's tables, filters and partitions lock them (from
/// version 16 on, and for filters from 18 on), and whoever changes a table at the source may hold it for hours. Nothing is received
/// meanwhile, so it is short: there is a next time.
const LOCK_PATIENCE: &str = "20ms";

/// The publication as it was last seen.
#[derive(Debug)]
pub(crate) struct Watch {
    publication: Publication,
    /// Partitions of the partitioned tables that are live, as they were last seen.
    partitions: Partitions,
}

// === impl Watch ===

impl Watch {
    /// Looks at the publication.
    ///
    /// # Errors
    /// `PUBLICATION_MISSING`.
    pub(super) async fn new(source: &Session, name: &str) -> Result<Self, EngineError> {
        let found = publication::inspect(source, name).await?;
        let publication =
            found.ok_or_else(|| EngineError::PublicationMissing { publication: name.to_owned() })?;
        Ok(Watch { publication, partitions: Partitions::new() })
    }

    /// The form in which the stream can send fields: binary if each published column of each table has a decoder that
    /// reads its binary form exactly: those that the tables had, and those that they have by now. Tables that are published
    /// and not replicated could have any type.
    ///
    /// # Errors
    /// The source's.
    pub(super) async fn field_form(
        &self,
        source: &Session,
        tables: &TableSet,
        naming: &Naming,
    ) -> Result<FieldForm, EngineError> {
        let exact = |table: &SourceTable| {
            table.columns.iter().all(|column| column.generated || column.pg_type.has_exact_binary_form())
        };
        let oids: Vec<u32> = self.publication.tables.iter().map(|table| table.oid).collect();
        let known = |oid: &u32| tables.get(*oid).is_some_and(|entry| exact(&entry.plan.source));
        if !oids.iter().all(known) {
            return Ok(FieldForm::Text);
        }
        let now = catalog::tables_by_oid(source, &oids).await?;
        // A rule may ask for the text of any type.
        let exact_now = |table: &SourceTable| table_plan(table, naming).is_ok_and(|plan| exact(&plan.source));
        Ok(if now.iter().all(exact_now) { FieldForm::Binary } else { FieldForm::Text })
    }

    /// Looks again. Returns the live tables that cannot go on, and the paused ones of which something is not sent; none while a
    /// table is locked at the source, which is seen the next time. Waits for [`LOCK_PATIENCE`] at most for each question.
    ///
    /// # Errors
    /// `PUBLICATION_MISSING`, `PUBLICATION_CHANGED`.
    pub(super) async fn look(
        &mut self,
        source: &Session,
        checkpoint: &Checkpoint,
        tables: &TableSet,
    ) -> Result<Vec<(u32, EngineError)>, EngineError> {
        source.query_text(&format!("SET lock_timeout = '{LOCK_PATIENCE}'")).await?;
        let seen = self.look_now(source, checkpoint, tables).await;
        source.query_text("SET lock_timeout = 0").await?;
        match seen {
            Err(error) if error.code() == "SOURCE_CONTENTION" => {
                tracing::debug!(error = %error, "the publication is looked at later");
                Ok(Vec::new())
            }
            seen => seen,
        }
    }

    async fn look_now(
        &mut self,
        source: &Session,
        checkpoint: &Checkpoint,
        tables: &TableSet,
    ) -> Result<Vec<(u32, EngineError)>, EngineError> {
        let found = publication::inspect(source, &checkpoint.lineage.publication).await?;
        let publication = check_publication(checkpoint, found.as_ref())?;
        let sent = |phase| matches!(phase, TablePhase::Streaming | TablePhase::Paused);
        let sent = tables.iter().filter(|entry| sent(entry.phase));
        let mut faulty: Vec<_> = sent
            .filter_map(|entry| {
                let (oid, name) = (entry.plan.source.oid, &entry.plan.source.name);
                let published = check_published(oid, name, Some(&entry.plan), publication);
                published.err().map(|error| (oid, error))
            })
            .collect();
        self.publication = publication.clone();
        gone(source, tables, &mut faulty).await?;
        faulty.extend(unidentified(source, tables).await?);
        faulty.extend(self.look_at_partitions(source, tables).await?);
        Ok(faulty)
    }

    /// The live tables whose partitions have changed in a way that the stream does not tell. A table that is seen for the
    /// first time has the partitions that it was copied with.
    async fn look_at_partitions(
        &mut self,
        source: &Session,
        tables: &TableSet,
    ) -> Result<Vec<(u32, EngineError)>, EngineError> {
        let is_live = |entry: &&TableEntry| {
            entry.phase == TablePhase::Streaming && entry.plan.source.kind == TableKind::Partitioned
        };
        let live: HashMap<u32, &TableEntry> =
            tables.iter().filter(is_live).map(|entry| (entry.plan.source.oid, entry)).collect();
        let oids: Vec<u32> = live.keys().copied().collect();
        let found = catalog::partitions(source, &oids).await?;
        let mut faulty = Vec::new();
        for (oid, now) in &found {
            let (Some(entry), Some(before)) = (live.get(oid), self.partitions.get(oid)) else { continue };
            let table = &entry.plan.source.name;
            if let Some(error) = catalog::untold_change(source, table, before, now).await? {
                let (oid, table, error) = (*oid, table.clone(), Box::new(error));
                faulty.push((oid, EngineError::SourceTable { oid, table, error }));
            }
        }
        self.partitions = found;
        Ok(faulty)
    }
}

/// Tells those that are not published because they were dropped, or made again under their name, from those that somebody took
/// out of the publication.
async fn gone(
    source: &Session,
    tables: &TableSet,
    faulty: &mut [(u32, EngineError)],
) -> Result<(), EngineError> {
    let is_unpublished = |error: &EngineError| matches!(error, EngineError::TableUnpublished { .. });
    let oids: Vec<u32> =
        faulty.iter().filter(|(_, error)| is_unpublished(error)).map(|(oid, _)| *oid).collect();
    if oids.is_empty() {
        return Ok(());
    }
    let there = catalog::tables_by_oid(source, &oids).await?;
    let is_there = |oid: u32| there.iter().any(|table| table.oid == oid);
    let names: Vec<&QualifiedName> = oids
        .iter()
        .filter(|oid| !is_there(**oid))
        .filter_map(|oid| Some(&tables.get(*oid)?.plan.source.name))
        .collect();
    let namesakes = catalog::named(source, &names).await?;
    for (oid, error) in faulty.iter_mut().filter(|(oid, error)| is_unpublished(error) && !is_there(*oid)) {
        let Some(entry) = tables.get(*oid) else { continue };
        let (oid, table) = (*oid, entry.plan.source.name.clone());
        *error = match namesakes.contains_key(&table) {
            true => PlanError::TableRecreated { oid, table }.into(),
            false => EngineError::TableDropped { oid, table },
        };
    }
    Ok(())
}

/// The live tables of which PostgreSQL has been told to send nothing of old rows. Nothing in the stream says so: it refuses the
/// application's UPDATE and DELETE of them, until somebody takes them out of the publication.
async fn unidentified(source: &Session, tables: &TableSet) -> Result<Vec<(u32, EngineError)>, EngineError> {
    let is_live = |entry: &&TableEntry| {
        entry.phase == TablePhase::Streaming && entry.plan.source.replica_identity != ReplicaIdentity::Nothing
    };
    let live: HashMap<u32, &TableEntry> =
        tables.iter().filter(is_live).map(|entry| (entry.plan.source.oid, entry)).collect();
    let oids: Vec<u32> = live.keys().copied().collect();
    let found = catalog::without_identity(source, &oids).await?;
    let faulty = found.into_iter().filter_map(|oid| {
        let table = live.get(&oid)?.plan.source.name.clone();
        let detail = "its replica identity is NOTHING: PostgreSQL refuses UPDATE and DELETE of it".to_owned();
        Some((oid, PlanError::ReplicaIdentityChanged { oid, table, detail }.into()))
    });
    Ok(faulty.collect())
}
