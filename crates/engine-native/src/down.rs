//! [`down`]: taking a pipeline away.

use segcdc_model::Side;
use segcdc_postgres::{Operation, ServerError, SlotState, SourceError, publication, quote, session, slot};
use segcdc_sqlserver::{PipelineState, Target, sql};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::provision::decide::is_copy_only;

/// Whether anything is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing: the report says what would be.
    DryRun,
    /// Slot, publication and state.
    Drop,
}

/// What was taken away, or would be, and what stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DownReport {
    /// The pipeline.
    pub pipeline: String,
    /// Whether it was done.
    pub done: bool,
    /// What is taken away, in order.
    pub removed: Vec<Thing>,
    /// What stays, with the SQL that removes it.
    pub left: Vec<Thing>,
}

/// Something at one of the servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// What it is, `slot "segcdc_orders_g1"`.
    pub what: String,
    /// Where it is.
    pub side: Side,
    /// The statement that removes it.
    pub sql: String,
}

/// Takes a pipeline away: its slot and publication if we made them, and its state. The target's tables stay.
///
/// A process that copies tables at this moment loses its fence first, and one that reads the slot keeps it from being
/// dropped.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline; `SLOT_IN_USE` when a process still runs it. Can be
/// repeated after any error: the state goes last.
pub async fn down(config: &EngineConfig, removal: Removal) -> Result<DownReport, EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let state = target.known_state(&config.name).await?;
    EngineKind::Native.require(&state)?;
    let others = target.pipelines().await?.into_iter().any(|name| name != config.name);
    let things = plan(&state, others)?;
    if removal == Removal::DryRun {
        return Ok(report(&state, things, false));
    }
    if !is_copy_only(&state) {
        let source = session::connect(&config.source).await?;
        let identity = segcdc_postgres::catalog::identity(&source).await?;
        crate::startup::decide::check_identity(&state.checkpoint, &identity)?;
        let lineage = &state.checkpoint.lineage;
        refuse_in_use(slot::inspect(&source, &lineage.slot).await?)?;
        target.take_over(&config.name, "down").await?;
        if state.slot_is_ours {
            slot::drop(&source, &lineage.slot).await?;
        }
        if state.publication_is_ours {
            publication::drop(&source, &lineage.publication).await?;
        }
        source.close().await;
    }
    target.remove_pipeline(&config.name).await?;
    if !others {
        target.remove_state_schema().await?;
    }
    Ok(report(&state, things, true))
}

/// Refuses a slot that somebody reads, before anything is changed: taking the pipeline over would end that process.
///
/// # Errors
/// `SLOT_IN_USE`.
pub(crate) fn refuse_in_use(slot: Option<SlotState>) -> Result<(), EngineError> {
    let Some((name, pid)) = slot.and_then(|slot| Some((slot.name, slot.active_pid?))) else { return Ok(()) };
    let message = format!("replication slot \"{name}\" is active for PID {pid}");
    // What the source itself would answer (ERRCODE_OBJECT_IN_USE).
    let error = ServerError { sqlstate: "55006".to_owned(), message, fatal: false };
    Err(SourceError::Server { operation: Operation::DropSlot, error }.into())
}

/// What goes and what stays.
struct Things {
    removed: Vec<Thing>,
    left: Vec<Thing>,
}

/// Sorts everything that belongs to the pipeline into what goes and what stays. Pure.
fn plan(state: &PipelineState, others: bool) -> Result<Things, EngineError> {
    let mut things = Things { removed: Vec::new(), left: Vec::new() };
    let lineage = &state.checkpoint.lineage;
    if !is_copy_only(state) {
        let slot = Thing {
            what: format!("slot \"{}\"", lineage.slot),
            side: Side::Source,
            sql: format!("SELECT pg_drop_replication_slot({})", quote::literal(&lineage.slot)?),
        };
        things.put(state.slot_is_ours, slot);
        let publication = Thing {
            what: format!("publication \"{}\"", lineage.publication),
            side: Side::Source,
            sql: format!("DROP PUBLICATION {}", quote::identifier(&lineage.publication)?),
        };
        things.put(state.publication_is_ours, publication);
    }
    let pipeline = &state.checkpoint.pipeline;
    let what = format!("state of pipeline \"{pipeline}\"");
    things.put(true, Thing { what, side: Side::Target, sql: sql::state::remove(pipeline) });
    if !others {
        let what = "schema \"segcdc\"".to_owned();
        let sql = format!("{}; {}", sql::state::DROP_TABLES.join("; "), sql::state::DROP_SCHEMA);
        things.put(true, Thing { what, side: Side::Target, sql });
    }
    for table in &state.tables {
        let made = if table.table_is_ours { "made by the pipeline" } else { "was there before" };
        let what = format!("table {} ({made})", table.target);
        let sql = sql::create_table::drop_table(&table.target);
        things.put(false, Thing { what, side: Side::Target, sql });
    }
    Ok(things)
}

/// The report.
fn report(state: &PipelineState, things: Things, done: bool) -> DownReport {
    let Things { removed, left } = things;
    DownReport { pipeline: state.checkpoint.pipeline.clone(), done, removed, left }
}

// === impl Things ===

impl Things {
    /// Something goes, or stays.
    fn put(&mut self, goes: bool, thing: Thing) {
        if goes { self.removed.push(thing) } else { self.left.push(thing) }
    }
}
