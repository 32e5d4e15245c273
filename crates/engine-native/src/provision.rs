//! Setting a pipeline up, so that a death between any two steps leaves nothing that cannot be found.
//!
//! ```text
//! state row (names of slot and publication, position 0)     from here on, what is made can be found and removed
//! rows of the tables, QUEUED
//! publication
//! target schemas and tables
//! slot with its exported snapshot                           WAL is kept from here on
//! lineage and consistent point into the state row           the set-up is complete
//! ```
//!
//! A start that finds the position 0, or no finished table, drops the slot that we made and begins anew under the next
//! generation of its name. A slot or publication that was given is used and never dropped.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{Finding, Lineage, Lsn, QualifiedName, Severity, TablePhase};
use segcdc_plan::{TableKey, TablePlan};
use segcdc_postgres::{
    ExportedSnapshot, Publication, Replication, Session, SlotSnapshot, SlotState, SourceError,
    SourceIdentity, catalog, publication, session, slot,
};
use segcdc_sqlserver::catalog::ExistingTable;
use segcdc_sqlserver::state::MAX_PIPELINE_NAME;
use segcdc_sqlserver::{ExistingRows, NewPipeline, PipelineState, TableState, Target, TargetError};

use crate::config::{EngineConfig, SnapshotMode};
use crate::context::{Context, Memory, needs_copy};
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::preflight::{self, Selection};
use crate::published;
use crate::rules_in_force;
use crate::shape;
use crate::startup::decide::{check_operations, check_slot_kind};

pub(crate) mod decide;

/// A pipeline that is completely set up.
#[derive(Debug)]
pub(crate) struct Provisioned {
    /// Its tables and where they stand.
    pub(crate) tables: Vec<(Arc<TablePlan>, TableState)>,
    /// The snapshot of the slot's consistent point, when tables are to be copied from it.
    pub(crate) snapshot: Option<ExportedSnapshot>,
}

/// Checks a pipeline's name.
///
/// # Errors
/// [`EngineError::PipelineName`].
pub(crate) fn check_name(name: &str) -> Result<(), EngineError> {
    let length = name.chars().count();
    let fits = (1..=MAX_PIPELINE_NAME).contains(&length) && name.trim() == name;
    if fits && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(EngineError::PipelineName { name: name.chars().take(MAX_PIPELINE_NAME).collect() })
    }
}

/// Makes a pipeline that the target does not know.
///
/// # Errors
/// Preflight's failures, before anything is made; what either server refuses.
pub(crate) async fn create(
    context: &Context,
    memory: &mut Memory,
    source: &Session,
    target: &mut Target,
) -> Result<Provisioned, EngineError> {
    let config = &context.config;
    let found = preflight::preflight(config).await?;
    let failures: Vec<Finding> =
        found.findings.into_iter().filter(|finding| finding.severity == Severity::Failure).collect();
    if found.plans.is_empty() {
        return Err(EngineError::NoTables);
    }
    if !failures.is_empty() {
        return Err(EngineError::Preflight { findings: failures });
    }
    let identity = identify(config, source).await?;
    let (slot, publication) = decide::slot_and_publication(config, None);
    let follows = config.snapshot != SnapshotMode::Only;
    target.ensure_state_schema().await?;
    let new = NewPipeline {
        pipeline: config.name.clone(),
        owner: context.owner.clone(),
        lineage: lineage(&identity, slot, publication, 0),
        slot_is_ours: follows && config.slot.is_none(),
        publication_is_ours: follows && config.publication.is_none(),
        start_lsn: Lsn::ZERO,
        spec: rules_in_force::specification(&config.rules, config.mask_salt.as_ref()),
    };
    let checkpoint = target.create_pipeline(&new).await.map_err(|error| match error.number() {
        // 2627: another process has made the pipeline since we looked. It has it.
        Some(2627) => TargetError::Fenced { pipeline: config.name.clone(), epoch: 1 },
        _ => error,
    })?;
    memory.commit(checkpoint);
    hit(Failpoint::AfterStateRow);
    let owned = Owned { slot: new.slot_is_ours, publication: new.publication_is_ours };
    let setup = Setup { context, source, lineage: new.lineage, owned, known: &[] };
    setup.run(memory, target, found.plans).await
}

/// Makes a pipeline whose set-up was interrupted, after doing away with what is left of it.
///
/// # Errors
/// What either server refuses.
pub(crate) async fn begin_anew(
    context: &Context,
    memory: &mut Memory,
    servers: (&Session, &mut Target),
    state: &PipelineState,
    next_slot: String,
) -> Result<Provisioned, EngineError> {
    let (source, target) = servers;
    let identity = identify(&context.config, source).await?;
    crate::startup::decide::check_identity(&state.checkpoint, &identity)?;
    // New wishes count, for one of the old ones may be what interrupted the set-up.
    let Selection { mut plans, .. } = match context.config.patterns.is_empty() && !state.tables.is_empty() {
        true => preflight::select_known(source, state, &context.naming(), &HashMap::new()).await?,
        false => preflight::select(&context.config, source).await?,
    };
    // To publish a table that nothing identifies would break the application's own UPDATE and DELETE.
    plans.retain(|plan| plan.key != TableKey::Unidentified);
    if plans.is_empty() {
        return Err(EngineError::NoTables);
    }
    segcdc_plan::table_plan::check_targets(plans.iter().map(AsRef::as_ref))?;
    let old = &state.checkpoint.lineage;
    if state.slot_is_ours {
        slot::drop(source, &old.slot).await?;
        hit(Failpoint::AfterSlotDropped);
    }
    let lineage = lineage(&identity, next_slot, old.publication.clone(), 0);
    memory.set_lineage(target, &lineage, Lsn::ZERO).await?;
    store_rules(context, memory, target, state).await?;
    for table in &state.tables {
        if !plans.iter().any(|plan| plan.source.oid == table.source_oid) {
            target.remove_table(memory.checkpoint()?, table.source_oid).await?;
        }
    }
    if state.publication_is_ours {
        publication::drop(source, &old.publication).await?;
    }
    let owned = Owned { slot: state.slot_is_ours, publication: state.publication_is_ours };
    Setup { context, source, lineage, owned, known: &state.tables }.run(memory, target, plans).await
}

/// Stores the rules that count from now on, if they are others than before.
///
/// # Errors
/// `FENCED`, and the target's.
pub(crate) async fn store_rules(
    context: &Context,
    memory: &Memory,
    target: &mut Target,
    state: &PipelineState,
) -> Result<(), EngineError> {
    let EngineConfig { rules, mask_salt, .. } = &*context.config;
    if rules_in_force::stored(state)? == *rules {
        return Ok(());
    }
    let spec = rules_in_force::specification(rules, mask_salt.as_ref()).unwrap_or_default();
    Ok(target.set_spec(memory.checkpoint()?, &spec).await?)
}

/// The steps behind the state row.
struct Setup<'a> {
    context: &'a Context,
    source: &'a Session,
    /// With the names of slot and publication that are to be made, or were given.
    lineage: Lineage,
    owned: Owned,
    /// What an interrupted set-up has stored of the tables.
    known: &'a [TableState],
}

/// What is ours to make, and to drop.
#[derive(Debug, Clone, Copy)]
struct Owned {
    slot: bool,
    publication: bool,
}

// === impl Setup ===

impl Setup<'_> {
    /// Takes the steps, in the order of the drawing above.
    async fn run(
        self,
        memory: &mut Memory,
        target: &mut Target,
        plans: Vec<Arc<TablePlan>>,
    ) -> Result<Provisioned, EngineError> {
        let states = self.table_states(target, &plans).await?;
        target.set_tables(memory.checkpoint()?, &states).await?;
        self.context.show_tables(&states);
        let mut tables: Vec<(Arc<TablePlan>, TableState)> = plans.into_iter().zip(states).collect();
        hit(Failpoint::AfterTableRows);
        let mode = self.context.config.snapshot;
        let publication_oid = match mode {
            SnapshotMode::Only => 0,
            SnapshotMode::Initial | SnapshotMode::None => self.publication(&tables).await?.oid,
        };
        hit(Failpoint::AfterPublication);
        let prepared: Vec<(&TablePlan, ExistingRows)> = tables
            .iter()
            .map(|(plan, state)| {
                let known = self.known.iter().any(|known| known.source_oid == state.source_oid);
                let rows = match mode {
                    SnapshotMode::Initial | SnapshotMode::Only if !known => ExistingRows::Refuse,
                    SnapshotMode::Initial | SnapshotMode::Only | SnapshotMode::None => ExistingRows::Allow,
                };
                (plan.as_ref(), rows)
            })
            .collect();
        target.prepare_tables(&prepared).await?;
        hit(Failpoint::AfterTargetTables);
        let (start, snapshot) = self.slot(mode).await?;
        hit(Failpoint::AfterSlot);
        let lineage = Lineage { publication_oid, ..self.lineage };
        memory.set_lineage(target, &lineage, start).await?;
        hit(Failpoint::AfterLineage);
        if mode == SnapshotMode::None {
            make_live(self.context, memory, target, (&mut tables, start), &[]).await?;
        }
        Ok(Provisioned { tables, snapshot })
    }

    /// The rows of tables that are to be copied. They say that the target tables are ours before those are made.
    async fn table_states(
        &self,
        target: &mut Target,
        plans: &[Arc<TablePlan>],
    ) -> Result<Vec<TableState>, EngineError> {
        let names: Vec<&QualifiedName> = plans.iter().map(|plan| &plan.target).collect();
        let existing = target.existing_tables(&names).await?;
        let state = |(plan, existing): (&Arc<TablePlan>, Option<ExistingTable>)| {
            let known = self.known.iter().find(|known| known.source_oid == plan.source.oid);
            shape::queued(plan, existing.is_none() || known.is_some_and(|known| known.table_is_ours))
        };
        Ok(plans.iter().zip(existing).map(state).collect())
    }

    /// The publication: made, or found to fit.
    async fn publication(&self, tables: &[(Arc<TablePlan>, TableState)]) -> Result<Publication, EngineError> {
        let name = &self.lineage.publication;
        if self.owned.publication {
            let plans: Vec<&TablePlan> = tables.iter().map(|(plan, _)| plan.as_ref()).collect();
            let wanted = published::wanted(self.source, &plans, &self.context.config.rules).await?;
            return Ok(publication::create(self.source, name, &wanted).await?);
        }
        let found = publication::inspect(self.source, name).await?;
        let found = found.ok_or_else(|| EngineError::PublicationMissing { publication: name.clone() })?;
        check_operations(&found)?;
        for (plan, state) in tables {
            crate::startup::decide::check_published(state.source_oid, &state.source, Some(plan), &found)?;
        }
        Ok(found)
    }

    /// The slot, made or given: where the stream begins, and the snapshot of that position if it was just made.
    async fn slot(&self, mode: SnapshotMode) -> Result<(Lsn, Option<ExportedSnapshot>), EngineError> {
        let config = &self.context.config;
        let name = &self.lineage.slot;
        if mode == SnapshotMode::Only {
            let snapshot = export_temporary(self.context).await?;
            return Ok((snapshot.lsn(), Some(snapshot)));
        }
        if !self.owned.slot {
            let found = slot::inspect(self.source, name).await?;
            let found = found.ok_or_else(|| EngineError::SlotMissing { slot: name.clone() })?;
            return Ok((given_slot_start(&found, &config.source.database)?, None));
        }
        if catalog::identity(self.source).await?.in_recovery {
            tracing::warn!(
                "on a standby the slot waits for a record of running transactions of the primary, which comes by itself within \
                 a while if the primary is in use; at once by this at the primary: SELECT pg_log_standby_snapshot()"
            );
        }
        if mode == SnapshotMode::None {
            let making = async {
                let mut replication = Replication::connect(&config.source).await?;
                let created = replication.create_slot(name, SlotSnapshot::None, false).await?;
                replication.close().await;
                Ok(created.consistent_point)
            };
            return Ok((within_patience(config, making).await?, None));
        }
        let making = ExportedSnapshot::create(&config.source, name, false);
        let snapshot = within_patience(config, making).await?;
        Ok((snapshot.lsn(), Some(snapshot)))
    }
}

/// A snapshot of now, by a slot that goes away with its session.
///
/// # Errors
/// [`EngineError::SlotCreationTimeout`], and the source's.
pub(crate) async fn export_temporary(context: &Context) -> Result<ExportedSnapshot, EngineError> {
    let config = &context.config;
    // Four random bytes: two processes that copy for one pipeline at once must not disturb each other here; that is
    // what the fence is for.
    let token = uuid::Uuid::new_v4().as_fields().0;
    let name = crate::names::temporary_slot(&config.name, token);
    within_patience(config, ExportedSnapshot::create(&config.source, &name, true)).await
}

/// Bounds the making of a slot, which waits for transactions that are open at the source.
///
/// # Errors
/// [`EngineError::SlotCreationTimeout`], and the source's.
pub(crate) async fn within_patience<T>(
    config: &EngineConfig,
    making: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(config.slot_patience, making).await {
        Ok(made) => Ok(made?),
        Err(_) => {
            let blockers = blockers(config).await.map(|text| format!(": {text}")).unwrap_or_default();
            Err(EngineError::SlotCreationTimeout { after_s: config.slot_patience.as_secs(), blockers })
        }
    }
}

/// The oldest transactions that a slot waits for: running ones that write, and prepared ones.
const BLOCKERS: &str = "SELECT string_agg(what, ', ' ORDER BY since) FROM ( \
       (SELECT format('process %s since %s', pid, date_trunc('second', xact_start)) AS what, xact_start AS since \
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 5) \
       UNION ALL \
       (SELECT format('prepared transaction %L since %s', gid, date_trunc('second', prepared)), prepared \
        FROM pg_prepared_xacts ORDER BY prepared LIMIT 5) \
       UNION ALL \
       (SELECT 'the next record of running transactions of the primary: SELECT pg_log_standby_snapshot() there', NULL \
        WHERE pg_is_in_recovery())) AS blockers";

/// Who keeps a slot from being made, as far as the role may see.
async fn blockers(config: &EngineConfig) -> Option<String> {
    let source = session::connect(&config.source).await.ok()?;
    let rows = source.query_text(BLOCKERS).await.ok()?;
    rows.into_iter().next()?.into_iter().next()?
}

/// Where the stream of a given slot begins.
fn given_slot_start(slot: &SlotState, database: &str) -> Result<Lsn, EngineError> {
    check_slot_kind(slot, database)?;
    if slot.is_lost() {
        let reason = slot.reason().to_owned();
        return Err(EngineError::SlotLost { slot: slot.name.clone(), reason });
    }
    slot.confirmed_flush_lsn.ok_or_else(|| EngineError::SlotWrongPlugin {
        slot: slot.name.clone(),
        found: "not completely made".to_owned(),
    })
}

/// Who the source is, on which timeline now. That of the last checkpoint, which an ordinary session sees, is the old one
/// for a while after a promotion.
async fn identify(config: &EngineConfig, source: &Session) -> Result<SourceIdentity, EngineError> {
    let mut replication = Replication::connect(&config.source).await?;
    let timeline = replication.identify_system().await?.timeline;
    replication.close().await;
    Ok(SourceIdentity { timeline, ..catalog::identity(source).await? })
}

/// Declares tables live that are not copied: the target is taken to hold them as of `start`. Those stay what they are that
/// are live, paused or quarantined already, and those of which a copy is `asked`.
///
/// # Errors
/// The target's.
pub(crate) async fn make_live(
    context: &Context,
    memory: &Memory,
    target: &mut Target,
    (tables, start): (&mut [(Arc<TablePlan>, TableState)], Lsn),
    asked: &[u32],
) -> Result<(), EngineError> {
    let mut states = Vec::new();
    let is_meant = |state: &TableState| needs_copy(state) && !asked.contains(&state.source_oid);
    for (plan, state) in tables.iter_mut().filter(|(_, state)| is_meant(state)) {
        target.build_key(plan).await?;
        state.phase = TablePhase::Streaming;
        (state.sync_lsn, state.error) = (start, None);
        states.push(state.clone());
    }
    target.set_tables(memory.checkpoint()?, &states).await?;
    for state in &states {
        context.show_phase(state.source_oid, state.phase, None);
    }
    Ok(())
}

/// The lineage of a pipeline at this source.
fn lineage(identity: &SourceIdentity, slot: String, publication: String, publication_oid: u32) -> Lineage {
    Lineage {
        system_identifier: identity.system_identifier.clone(),
        timeline: identity.timeline,
        database_oid: identity.database_oid,
        slot,
        publication,
        publication_oid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Fault;

    #[test]
    fn names_that_cannot_be_shown_or_kept_are_refused() {
        for name in ["shop", "é shop", &"x".repeat(MAX_PIPELINE_NAME)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", " shop", "shop ", "a\nb", "a\u{7f}", &"x".repeat(MAX_PIPELINE_NAME + 1)] {
            assert_eq!(check_name(name).unwrap_err().code(), "PIPELINE_NAME", "{name:?}");
        }
    }
}
