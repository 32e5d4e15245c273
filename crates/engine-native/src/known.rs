//! What is known of source tables: what they were when they were copied, and are at the checkpoint.
//!
//! The catalog of the source is ahead of the stream. What it says of a table counts in two moments only: as of the
//! snapshot that the table is copied from, and, for a pipeline whose state is of a version that kept nothing, when it is
//! first followed. From then on the stream leads, and the state keeps what it has shown.

use std::collections::HashMap;

use segcdc_model::{CatalogTable, PgType, SourceTable, TablePhase};
use segcdc_plan::{KnownTable, Naming, PlanError, TablePlan, TableSet, table_plan};
use segcdc_postgres::{Session, SourceError, catalog};
use segcdc_sqlserver::{TableState, Target};

use crate::context::{Context, Memory};
use crate::error::EngineError;
use crate::quarantine::{quarantine, table_at_fault};

/// What a table was as of a snapshot, from which it was copied by `plan`.
///
/// # Errors
/// `SCHEMA_CHANGED` when the plan is of another moment; the source's.
pub(crate) async fn as_of(
    source: &Session,
    plan: &TablePlan,
    snapshot: &str,
) -> Result<KnownTable, EngineError> {
    let found = catalog::table_in_detail(source, plan.source.oid, Some(snapshot)).await?;
    of(found, plan)
}

/// The plan of a table of the state: of a live one as far as it was followed, since the source may be ahead; of another one
/// as the source has it now. How many digits a `money` has is no matter of the table's history but of the session that
/// prints it, so that a live table whose source says something else of that now is planned by what it says.
///
/// # Errors
/// What keeps it from being planned.
pub(crate) fn current_plan(
    state: &TableState,
    table: &SourceTable,
    followed: Option<&KnownTable>,
    naming: &Naming,
) -> Result<TablePlan, PlanError> {
    match followed.filter(|_| keeps_its_place(state.phase)) {
        Some(followed) if is_money_as_known(&followed.source, table) => followed.plan(naming, &state.target),
        _ => table_plan(table, naming),
    }
}

/// What the source's catalog says now of the tables of a pipeline, by OID; those that were dropped are left out. A pipeline
/// may have thousands of tables: they are asked for at once.
///
/// # Errors
/// The source's.
pub(crate) async fn tables_now<'a>(
    source: &Session,
    tables: impl IntoIterator<Item = &'a TableState>,
) -> Result<HashMap<u32, SourceTable>, SourceError> {
    let oids: Vec<u32> = tables.into_iter().map(|table| table.source_oid).collect();
    Ok(catalog::tables_by_oid(source, &oids).await?.into_iter().map(|table| (table.oid, table)).collect())
}

/// Whether changes of a table are applied, or will be from where it stands.
fn keeps_its_place(phase: TablePhase) -> bool {
    matches!(phase, TablePhase::Streaming | TablePhase::Paused)
}

/// Whether each column that is `money` in both has as many digits now as it is known to have.
fn is_money_as_known(known: &SourceTable, now: &SourceTable) -> bool {
    let is_money = |of: &PgType| matches!(of, PgType::Money { .. } | PgType::MoneyOfUnknownDigits);
    known.columns.iter().filter(|column| is_money(&column.pg_type)).all(|column| {
        let found = now.columns.iter().find(|found| found.attnum == column.attnum);
        found.is_none_or(|found| !is_money(&found.pg_type) || found.pg_type == column.pg_type)
    })
}

/// Reads what is known of the tables that are followed, and takes what the catalog says for those of which the state knows
/// nothing. A table that is not what its plan says is quarantined.
///
/// # Errors
/// `FENCED`, and what either server refuses.
pub(crate) async fn complete(
    context: &Context,
    memory: &Memory,
    (source, target): (&Session, &mut Target),
    tables: &mut TableSet,
) -> Result<(), EngineError> {
    let checkpoint = memory.checkpoint()?;
    let mut stored = target.known_tables(&checkpoint.pipeline).await?;
    let live = tables.iter().filter(|entry| keeps_its_place(entry.phase));
    let live: Vec<_> = live.map(|entry| std::sync::Arc::clone(&entry.plan)).collect();
    for plan in live {
        let oid = plan.source.oid;
        if let Some(known) = stored.remove(&oid) {
            tables.set_known(oid, known);
            continue;
        }
        match of(catalog::table_in_detail(source, oid, None).await?, &plan) {
            Ok(known) => {
                target.set_known(checkpoint, oid, &known).await?;
                tables.set_known(oid, known);
            }
            Err(error) if table_at_fault(&error) == Some(oid) => {
                quarantine(context, checkpoint, target, oid, &error).await?;
                tables.set_phase(oid, TablePhase::Quarantined);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What the catalog says, if it is what the plan was made of.
fn of(found: Option<CatalogTable>, plan: &TablePlan) -> Result<KnownTable, EngineError> {
    let (oid, table) = (plan.source.oid, plan.source.name.clone());
    let Some(found) = found else { return Err(EngineError::TableDropped { oid, table }) };
    if !is_of(&found, plan) {
        return Err(EngineError::SourceSchemaChanged { oid, table });
    }
    Ok(KnownTable::new(&found, plan))
}

/// Whether a table has the columns that a plan was made of.
pub(crate) fn is_of(found: &CatalogTable, plan: &TablePlan) -> bool {
    let (found, planned) = (&found.table.columns, &plan.source.columns);
    found.len() == planned.len()
        && found.iter().zip(planned).all(|(found, planned)| {
            (found.attnum, &found.name, &found.type_name, found.not_null, found.generated)
                == (planned.attnum, &planned.name, &planned.type_name, planned.not_null, planned.generated)
        })
}
