//! [`decide`]: whether a pipeline may go on from its checkpoint, and which of its tables may. Pure.
//!
//! The order of the checks is that of what they rest on: an LSN says nothing before the source is known to be the
//! same, a slot's position nothing before the WAL is known to reach it.

use std::sync::Arc;

use segcdc_model::{Checkpoint, Lsn, QualifiedName, TablePhase};
use segcdc_plan::{ColumnPlan, OnChange, PlanError, TableKey, TablePlan, ValuePolicy};
use segcdc_postgres::publication::PublishedTable;
use segcdc_postgres::{Publication, SlotState, SourceIdentity};
use segcdc_sqlserver::{SlotWatch, TableState};

use crate::context::is_recreated;
use crate::error::EngineError;
use crate::shape::{self, ShapeDifference};

/// Everything that is known before a pipeline goes on.
#[derive(Debug)]
pub(crate) struct ResumeFacts<'a> {
    /// What the target's state says.
    pub(crate) checkpoint: &'a Checkpoint,
    /// The highest position that this process has seen committed; [`Lsn::ZERO`] for a process that has seen none.
    pub(crate) seen: Lsn,
    /// Who the source is.
    pub(crate) identity: &'a SourceIdentity,
    /// What was last seen of the slot.
    pub(crate) watch: Option<&'a SlotWatch>,
    /// What the source has been through.
    pub(crate) history: &'a SourceHistory,
    /// The slot of the checkpoint's lineage.
    pub(crate) slot: Option<&'a SlotState>,
    /// The publication of the checkpoint's lineage.
    pub(crate) publication: Option<&'a Publication>,
    /// The tables of the state.
    pub(crate) tables: &'a [TableFacts],
}

/// What a source has been through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceHistory {
    /// Its timeline.
    pub(crate) timeline: u32,
    /// The timelines that this one descends from, each with the position at which it was left.
    pub(crate) left: Vec<(u32, Lsn)>,
    /// How far its WAL reaches.
    pub(crate) end: Lsn,
    /// The oldest WAL that the pipeline's slot needs.
    pub(crate) slot_restart: Option<Lsn>,
}

/// What is known of one table.
#[derive(Debug)]
pub(crate) struct TableFacts {
    /// What the target's state says.
    pub(crate) state: TableState,
    /// The source has it no more.
    pub(crate) is_gone: bool,
    /// The plan of the table as it is now; of one that is gone as it was, or as the one is that has its name, `None` when there
    /// is neither.
    pub(crate) plan: Option<Result<Arc<TablePlan>, PlanError>>,
    /// How the target table differs from the plan; empty when it does not, or was not looked at.
    pub(crate) target_differences: String,
    /// The condition that rows have to meet, as the source prints it; `None` where there is none, or it could not be asked.
    pub(crate) printed_filter: Option<String>,
}

// === impl TableFacts ===

impl TableFacts {
    /// Whether a policy of the table is counted, or sets rows aside.
    pub(crate) fn keeps_notes(&self) -> bool {
        let ignores = |plan: &TablePlan| plan.key == TableKey::AppendOnly(OnChange::Ignore);
        let counted = |column: &ColumnPlan| {
            matches!(column.policy, ValuePolicy::Null | ValuePolicy::Clamp | ValuePolicy::SetAside)
        };
        matches!(&self.plan, Some(Ok(plan)) if plan.columns.iter().any(counted) || ignores(plan))
    }
}

/// The tables that may not go on, each with its reason.
pub(crate) type Faulty = Vec<(u32, EngineError)>;

/// Decides whether the pipeline may go on. Returns the tables that may not, though the others may.
///
/// # Errors
/// What keeps the whole pipeline from going on.
pub(crate) fn decide(facts: &ResumeFacts<'_>) -> Result<Faulty, EngineError> {
    check_identity(facts.checkpoint, facts.identity)?;
    check_history(facts.checkpoint, facts.watch, facts.history)?;
    check_slot(facts)?;
    let publication = check_publication(facts.checkpoint, facts.publication)?;
    // What is wrong with a paused table is looked at when it goes on.
    let set_aside = |phase| matches!(phase, TablePhase::Paused | TablePhase::Quarantined);
    let live = facts.tables.iter().filter(|table| !set_aside(table.state.phase));
    Ok(live
        .filter_map(|table| {
            let error = check_table(table, publication).err()?;
            Some((table.state.source_oid, error))
        })
        .collect())
}

/// Steps 1: the same cluster and the same database.
pub(crate) fn check_identity(checkpoint: &Checkpoint, identity: &SourceIdentity) -> Result<(), EngineError> {
    let lineage = &checkpoint.lineage;
    let mismatch = |what, expected: String, found: String| {
        Err(EngineError::SourceIdentityMismatch { what, expected, found })
    };
    if lineage.system_identifier != identity.system_identifier {
        let (expected, found) = (lineage.system_identifier.clone(), identity.system_identifier.clone());
        return mismatch("system identifier", expected, found);
    }
    if lineage.database_oid != identity.database_oid {
        let (expected, found) = (lineage.database_oid.to_string(), identity.database_oid.to_string());
        return mismatch("database OID", expected, found);
    }
    Ok(())
}

/// Steps 2 and 3: the source's history holds what was applied.
///
/// A source that was put back by its disk keeps its timeline, and may have written beyond the checkpoint again. Its slot
/// is back where it was, behind what it had let go of for good before.
pub(crate) fn check_history(
    checkpoint: &Checkpoint,
    watch: Option<&SlotWatch>,
    source: &SourceHistory,
) -> Result<(), EngineError> {
    check_timeline(checkpoint, source.timeline, &source.left)?;
    let applied = checkpoint.applied_lsn;
    let rewound = |detail| Err(EngineError::SourceRewound { applied, detail });
    let end = source.end;
    if end < applied {
        return rewound(format!("its WAL ends at {end}"));
    }
    let lineage = &checkpoint.lineage;
    let same = |watch: &&SlotWatch| watch.slot == lineage.slot && watch.timeline == source.timeline;
    match (watch.filter(same).map(|watch| watch.restart_lsn), source.slot_restart) {
        (Some(seen), Some(found)) if found < seen => rewound(format!(
            "its slot needs WAL from {found} on, and had let go of everything before {seen} already"
        )),
        _ => Ok(()),
    }
}

/// Step 2: what was applied is part of the history of `timeline`, which descends from the timelines `left`, each left at
/// that position.
pub(crate) fn check_timeline(
    checkpoint: &Checkpoint,
    timeline: u32,
    left: &[(u32, Lsn)],
) -> Result<(), EngineError> {
    let (applied, known) = (checkpoint.applied_lsn, checkpoint.lineage.timeline);
    let rewound = |detail| Err(EngineError::SourceRewound { applied, detail });
    if timeline == known {
        return Ok(());
    }
    match left.iter().find(|(timeline, _)| *timeline == known) {
        None => rewound(format!("its timeline {timeline} does not descend from {known}")),
        Some((_, left)) if *left < applied => {
            rewound(format!("it left timeline {known} at {left}, before the checkpoint"))
        }
        Some(_) => Ok(()),
    }
}

/// Steps 4 to 6: the slot is there, is ours to read, and has kept everything behind the checkpoint.
fn check_slot(facts: &ResumeFacts<'_>) -> Result<(), EngineError> {
    let applied = facts.checkpoint.applied_lsn;
    let name = &facts.checkpoint.lineage.slot;
    let slot = facts.slot.ok_or_else(|| EngineError::SlotMissing { slot: name.clone() })?;
    check_slot_kind(slot, &facts.identity.database)?;
    if slot.is_lost() {
        let reason = slot.reason().to_owned();
        return Err(EngineError::SlotLost { slot: name.clone(), reason });
    }
    match slot.confirmed_flush_lsn {
        Some(confirmed) if confirmed > applied && facts.seen > applied => {
            Err(EngineError::TargetRewound { seen: facts.seen, found: applied })
        }
        Some(confirmed) if confirmed > applied => {
            Err(EngineError::SlotAheadOfCheckpoint { slot: name.clone(), confirmed, applied })
        }
        Some(_) => Ok(()),
        None => {
            Err(EngineError::SlotWrongPlugin { slot: name.clone(), found: "not completely made".to_owned() })
        }
    }
}

/// The slot is a lasting one of pgoutput in `database`.
pub(crate) fn check_slot_kind(slot: &SlotState, database: &str) -> Result<(), EngineError> {
    let wrong = |found: String| Err(EngineError::SlotWrongPlugin { slot: slot.name.clone(), found });
    match slot.plugin.as_deref() {
        None => return wrong("a physical slot".to_owned()),
        Some("pgoutput") => {}
        Some(other) => return wrong(format!("of the plugin {other}")),
    }
    if slot.temporary {
        return wrong("a temporary slot".to_owned());
    }
    match slot.database.as_deref() {
        Some(found) if found != database => Err(EngineError::SlotWrongDatabase {
            slot: slot.name.clone(),
            found: found.to_owned(),
            expected: database.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Step 7, as far as it concerns all tables: the publication is the one that was, and publishes every operation.
pub(crate) fn check_publication<'a>(
    checkpoint: &Checkpoint,
    publication: Option<&'a Publication>,
) -> Result<&'a Publication, EngineError> {
    let name = &checkpoint.lineage.publication;
    let publication =
        publication.ok_or_else(|| EngineError::PublicationMissing { publication: name.clone() })?;
    let changed = |detail: String| Err(EngineError::PublicationChanged { publication: name.clone(), detail });
    if publication.oid != checkpoint.lineage.publication_oid {
        return changed("it was dropped and made again".to_owned());
    }
    check_operations(publication)?;
    Ok(publication)
}

/// The publication publishes every operation.
pub(crate) fn check_operations(publication: &Publication) -> Result<(), EngineError> {
    let operations = [
        ("INSERT", publication.insert),
        ("UPDATE", publication.update),
        ("DELETE", publication.delete),
        ("TRUNCATE", publication.truncate),
    ];
    match operations.into_iter().find(|(_, published)| !published) {
        None => Ok(()),
        Some((operation, _)) => Err(EngineError::PublicationChanged {
            publication: publication.name.clone(),
            detail: format!("it does not publish {operation}"),
        }),
    }
}

/// Step 7 for one table: published, with all rows and all planned columns.
pub(crate) fn check_published(
    oid: u32,
    name: &QualifiedName,
    plan: Option<&TablePlan>,
    publication: &Publication,
) -> Result<(), EngineError> {
    let (table, publisher) = (name.clone(), publication.name.clone());
    let found = publication.tables.iter().find(|published| published.oid == oid);
    let Some(PublishedTable { columns, row_filter, .. }) = found else {
        return Err(EngineError::TableUnpublished { oid, table, publication: publisher });
    };
    let listed = |column: &str| columns.as_ref().is_none_or(|list| list.iter().any(|name| name == column));
    let is_left_out = |column: &&ColumnPlan| column.constant.is_none() && !listed(&column.source_name);
    let left_out = plan.and_then(|plan| plan.columns.iter().find(is_left_out));
    let is_filtered = plan.map(|plan| plan.filter.is_some());
    let detail = match (row_filter, is_filtered, left_out) {
        (Some(_), Some(false), _) => "it has a row filter".to_owned(),
        (None, Some(true), _) => "it has lost the row filter of --where".to_owned(),
        (_, _, Some(column)) => format!("its column \"{}\" is left out", column.source_name),
        (_, _, None) => return Ok(()),
    };
    Err(EngineError::TablePartlyPublished { oid, table, publication: publisher, detail })
}

/// Step 7: the rows that are sent are those of the condition.
fn check_filter(table: &TableFacts, publication: &Publication) -> Result<(), EngineError> {
    let oid = table.state.source_oid;
    let found = publication.tables.iter().find(|published| published.oid == oid);
    let found = found.and_then(|published| published.row_filter.as_ref());
    match (found, &table.printed_filter) {
        (Some(found), Some(wanted)) if found != wanted => Err(EngineError::TablePartlyPublished {
            oid,
            table: table.state.source.clone(),
            publication: publication.name.clone(),
            detail: "its row filter is not that of --where any more".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Steps 7 to 9 for one table: it is there, published, and what it was, and so is its target table.
fn check_table(table: &TableFacts, publication: &Publication) -> Result<(), EngineError> {
    let (oid, name) = (table.state.source_oid, || table.state.source.clone());
    let Some(plan) = &table.plan else { return Err(EngineError::TableDropped { oid, table: name() }) };
    if table.is_gone && is_recreated(&table.state) {
        return Ok(());
    }
    if !table.is_gone {
        check_published(oid, &table.state.source, plan.as_deref().ok(), publication)?;
        check_filter(table, publication)?;
    }
    let plan = plan.as_ref().map_err(Clone::clone)?;
    match shape::difference(&table.state.shape, plan) {
        None => {}
        Some(ShapeDifference::Columns) => {
            return Err(EngineError::SourceSchemaChanged { oid, table: name() });
        }
        Some(ShapeDifference::Key) => {
            let detail = "rows are identified by other columns than before".to_owned();
            return Err(PlanError::ReplicaIdentityChanged { oid, table: name(), detail }.into());
        }
    }
    if table.target_differences.is_empty() {
        return Ok(());
    }
    let detail = table.target_differences.clone();
    Err(EngineError::TargetSchemaDrift { oid, table: table.state.target.clone(), detail })
}

#[cfg(test)]
mod tests;
