//! Going on from a checkpoint: gather what is there, decide whether it fits, make the pipeline ours.
//!
//! ```text
//!  1  system identifier and database OID are those of the checkpoint      SOURCE_IDENTITY_MISMATCH
//!  2  the timeline descends from the checkpoint's, left behind it         SOURCE_REWOUND
//!  3  the WAL reaches the checkpoint, and the slot has not gone back      SOURCE_REWOUND
//!  4  the slot is there, of pgoutput, in this database                    SLOT_MISSING, SLOT_WRONG_...
//!  5  it was not invalidated                                              SLOT_LOST
//!  6  it has let go of nothing behind the checkpoint                      SLOT_AHEAD_OF_CHECKPOINT
//!  7  the publication is the same one and publishes everything            PUBLICATION_MISSING, PUBLICATION_CHANGED
//!     each table is there, and in it as a whole                           TABLE_NOT_FOUND, TABLE_UNPUBLISHED, ...
//!  8  each table identifies rows as before                                REPLICA_IDENTITY_CHANGED    (the table)
//!     and had, as far as it was followed, the columns that were made      SCHEMA_CHANGED              (the table)
//!  9  each target table has the columns that were made                    TARGET_SCHEMA_DRIFT         (the table)
//! 10  take over: a new epoch                                              FENCED
//! 11  START_REPLICATION
//! ```
//!
//! What concerns one table quarantines it; the others go on. Nothing is written before step 10.

use std::sync::Arc;

use segcdc_model::{Disposition, Fault, Lineage, QualifiedName, TablePhase};
use segcdc_plan::{Naming, TablePlan, table_plan};
use segcdc_postgres::{
    Replication, Session, SourceConfig, SourceError, catalog, publication, row_filter, slot,
};
use segcdc_sqlserver::{PipelineState, TableState, Target};

use crate::context::{Context, Memory, is_recreated};
use crate::error::EngineError;
use crate::known::{current_plan, tables_now};
use crate::provision::decide::is_copy_only;
use crate::provision::{self, Provisioned};
use crate::quarantine;
use crate::rules_in_force;
use crate::startup::decide::{Faulty, ResumeFacts, SourceHistory, TableFacts};
use crate::target_shape;

pub(crate) mod decide;

/// Checks everything and makes the pipeline ours.
///
/// # Errors
/// What keeps the pipeline from going on; nothing was written then.
pub(crate) async fn resume(
    context: &Context,
    memory: &mut Memory,
    source: &Session,
    target: &mut Target,
    state: PipelineState,
) -> Result<Provisioned, EngineError> {
    let in_use = rules_in_force::is_in_use;
    rules_in_force::check_shapes(source, &state, &context.config, &in_use).await?;
    let mut checked = look(context, memory, source, target, state.checkpoint.lineage.slot.clone()).await?;
    memory.claim(target, context).await?;
    let now = load(context, target).await?;
    if has_moved(&checked.state, &now) {
        // Another process wrote between our look and our claim: what was checked is not what is there.
        checked = look(context, memory, source, target, now.checkpoint.lineage.slot).await?;
    }
    target.ensure_schema_changes().await?;
    if checked.tables.iter().any(TableFacts::keeps_notes) {
        // The state may be of a version that kept none.
        target.ensure_state_schema().await?;
    }
    provision::store_rules(context, memory, target, &state).await?;
    let Checked { tables, faulty, timeline, .. } = checked;
    if timeline != memory.checkpoint()?.lineage.timeline {
        let applied = memory.checkpoint()?.applied_lsn;
        let lineage = Lineage { timeline, ..memory.checkpoint()?.lineage.clone() };
        memory.set_lineage(target, &lineage, applied).await?;
    }
    let states: Vec<TableState> = tables.iter().map(|table| table.state.clone()).collect();
    context.show_tables(&states);
    let mut ready = Vec::with_capacity(tables.len());
    for facts in tables {
        let TableFacts { mut state, plan, .. } = facts;
        if let Some((_, error)) = faulty.iter().find(|(oid, _)| *oid == state.source_oid) {
            quarantine::quarantine(context, memory.checkpoint()?, target, state.source_oid, error).await?;
            state.phase = TablePhase::Quarantined;
        }
        // A table without a plan is quarantined, now or before, and takes no part.
        if let Some(Ok(plan)) = plan {
            ready.push((plan, state));
        }
    }
    Ok(Provisioned { tables: ready, snapshot: None })
}

/// Whether somebody wrote between two looks at the state, but to take it over.
fn has_moved(before: &PipelineState, now: &PipelineState) -> bool {
    let position = |state: &PipelineState| (state.checkpoint.applied_lsn, state.checkpoint.batch_seq);
    position(before) != position(now) || before.tables != now.tables
}

/// What was looked at, and what the checks have found.
#[derive(Debug)]
struct Checked {
    /// The state that was checked.
    state: PipelineState,
    /// Its tables.
    tables: Vec<TableFacts>,
    /// Tables that cannot go on.
    faulty: Faulty,
    /// The source's timeline.
    timeline: u32,
}

/// Steps 1 to 9.
///
/// Another process may be running the pipeline at this moment. So the slot is read before the checkpoint, which is
/// ahead of it at all times, and the source's position is read last, which is ahead of both.
async fn look(
    context: &Context,
    memory: &Memory,
    source: &Session,
    target: &mut Target,
    mut slot_name: String,
) -> Result<Checked, EngineError> {
    let (slot, state) = loop {
        let slot = slot::inspect(source, &slot_name).await?;
        let state = load(context, target).await?;
        if state.checkpoint.lineage.slot == slot_name {
            break (slot, state);
        }
        slot_name = state.checkpoint.lineage.slot;
    };
    let tables = table_facts(context, source, target, &state).await?;
    let lineage = &state.checkpoint.lineage;
    if is_copy_only(&state) {
        let timeline = lineage.timeline;
        decide::check_identity(&state.checkpoint, &catalog::identity(source).await?)?;
        return Ok(Checked { state, tables, faulty: Vec::new(), timeline });
    }
    let publication = publication::inspect(source, &lineage.publication).await?;
    let watch = target.slot_watch(&context.config.name).await?;
    let history = read_history(&context.config.source, source, lineage).await?;
    let identity = catalog::identity(source).await?;
    let facts = ResumeFacts {
        checkpoint: &state.checkpoint,
        seen: memory.seen,
        identity: &identity,
        watch: watch.as_ref(),
        history: &history,
        slot: slot.as_ref(),
        publication: publication.as_ref(),
        tables: &tables,
    };
    let faulty = decide::decide(&facts)?;
    Ok(Checked { state, tables, faulty, timeline: history.timeline })
}

/// What the source has been through since the lineage was written down.
///
/// # Errors
/// The source's.
pub(crate) async fn read_history(
    config: &SourceConfig,
    source: &Session,
    lineage: &Lineage,
) -> Result<SourceHistory, SourceError> {
    let mut replication = Replication::connect(config).await?;
    let timeline = replication.identify_system().await?.timeline;
    let left = match timeline == lineage.timeline {
        true => Vec::new(),
        false => replication.timeline_history(timeline).await?,
    };
    replication.close().await;
    let slot_restart = slot::inspect(source, &lineage.slot).await?.and_then(|slot| slot.restart_lsn);
    Ok(SourceHistory { timeline, left, end: catalog::identity(source).await?.flush_lsn, slot_restart })
}

/// The state, which must be there.
async fn load(context: &Context, target: &mut Target) -> Result<PipelineState, EngineError> {
    Ok(target.known_state(&context.config.name).await?)
}

/// What is known of each table of the state.
async fn table_facts(
    context: &Context,
    source: &Session,
    target: &mut Target,
    state: &PipelineState,
) -> Result<Vec<TableFacts>, EngineError> {
    let followed = target.known_tables(&context.config.name).await?;
    let naming = context.naming();
    let now = tables_now(source, &state.tables).await?;
    let plan = |known: &TableState| {
        let followed = followed.get(&known.source_oid);
        match now.get(&known.source_oid) {
            Some(table) => Some(current_plan(known, table, followed, &naming).map(Arc::new)),
            // What it had until it was dropped may be on its way still: see `apply_loop::gone`.
            None if known.phase == TablePhase::Streaming => {
                Some(followed?.plan(&naming, &known.target).map(Arc::new))
            }
            None => None,
        }
    };
    let mut facts: Vec<TableFacts> = state
        .tables
        .iter()
        .map(|known| TableFacts {
            state: known.clone(),
            is_gone: !now.contains_key(&known.source_oid),
            plan: plan(known),
            target_differences: String::new(),
            printed_filter: None,
        })
        .collect();
    note_differences(target, &mut facts).await?;
    take_recreated(source, &naming, &mut facts).await?;
    for facts in facts.iter_mut().filter(|facts| !facts.is_gone) {
        if let Some(Ok(plan)) = &facts.plan {
            facts.printed_filter = printed_filter(source, plan).await?;
        }
    }
    Ok(facts)
}

/// Plans tables that were made again under their name, and stopped for that: what is copied is the new table.
async fn take_recreated(
    source: &Session,
    naming: &Naming,
    facts: &mut [TableFacts],
) -> Result<(), EngineError> {
    let is_one = |facts: &&mut TableFacts| facts.is_gone && is_recreated(&facts.state);
    let mut waiting: Vec<&mut TableFacts> = facts.iter_mut().filter(is_one).collect();
    let names: Vec<&QualifiedName> = waiting.iter().map(|facts| &facts.state.source).collect();
    let namesakes = catalog::named(source, &names).await?;
    let oids: Vec<u32> = namesakes.values().copied().collect();
    let tables = catalog::tables_by_oid(source, &oids).await?;
    for facts in &mut waiting {
        let found = tables.iter().find(|table| table.name == facts.state.source);
        facts.plan = found.map(|table| table_plan(table, naming).map(Arc::new));
    }
    Ok(())
}

/// The condition that rows of a table have to meet, as the source prints it; `None` where there is none. A column may have
/// another name since, which the publication knows and the rule does not: then nothing can be said.
async fn printed_filter(source: &Session, plan: &TablePlan) -> Result<Option<String>, EngineError> {
    let Some(filter) = &plan.filter else { return Ok(None) };
    match row_filter::read(source, &plan.source.name, filter).await {
        Ok(read) => Ok(read.map(|read| read.printed)),
        Err(error) if error.disposition() == Disposition::Retry => Err(error.into()),
        Err(error) => {
            tracing::warn!(table = %plan.source.name, code = error.code(), "the condition of --where cannot be compared with the publication's");
            Ok(None)
        }
    }
}

/// Notes how target tables differ from what was made for the plans, of those tables that take part.
async fn note_differences(target: &mut Target, facts: &mut [TableFacts]) -> Result<(), EngineError> {
    let mut looked_at: Vec<(&TablePlan, &mut String)> = facts
        .iter_mut()
        .filter(|facts| !matches!(facts.state.phase, TablePhase::Paused | TablePhase::Quarantined))
        .filter_map(|facts| {
            Some((facts.plan.as_ref()?.as_ref().ok()?.as_ref(), &mut facts.target_differences))
        })
        .collect();
    let plans: Vec<&TablePlan> = looked_at.iter().map(|(plan, _)| *plan).collect();
    let found = target_shape::differences(target, &plans).await?;
    for ((_, differences), found) in looked_at.iter_mut().zip(found) {
        **differences = found;
    }
    Ok(())
}
