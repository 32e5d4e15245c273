//! What a pipeline wants of the source, and the statements that make it.

use std::sync::Arc;

use segcdc_plan::TablePlan;
use segcdc_postgres::{Session, publication};
use segcdc_sqlserver::PipelineState;

use crate::config::{EngineConfig, SnapshotMode};
use crate::error::EngineError;
use crate::names;
use crate::published;

/// What the pipeline wants of the source. Of what an interrupted set-up has made nothing need be there, and nothing is
/// in the way.
pub(super) async fn request(
    config: &EngineConfig,
    source: &Session,
    existing: Option<&PipelineState>,
    anew: bool,
    plans: &[Arc<TablePlan>],
) -> Result<segcdc_postgres::PreflightRequest, EngineError> {
    let interrupted = existing.filter(|_| anew);
    let purpose = match (existing, interrupted) {
        (Some(_), None) => segcdc_postgres::Purpose::KnownPipeline,
        (None, _) | (_, Some(_)) => segcdc_postgres::Purpose::NewPipeline,
    };
    let lineage = existing.map(|state| &state.checkpoint.lineage);
    // What is wrong with a paused table is looked at when it goes on.
    let rests = |plan: &TablePlan| existing.is_some_and(|state| state.is_paused(plan.source.oid));
    let published: Vec<Arc<TablePlan>> = plans.iter().filter(|plan| !rests(plan)).cloned().collect();
    let publication_is_remade = interrupted.is_some_and(|state| state.publication_is_ours);
    let slot_is_remade = interrupted.is_some_and(|state| state.slot_is_ours);
    let named = |given: &Option<String>, known: Option<&String>, is_remade: bool| {
        given.as_ref().or(known.filter(|_| !is_remade)).filter(|name| !name.is_empty()).cloned()
    };
    let mut publication_to_create = names::publication(&config.name);
    if publication_is_remade && publication::inspect(source, &publication_to_create).await?.is_some() {
        publication_to_create.clear();
    }
    let slot_to_create = if slot_is_remade { String::new() } else { names::slot(&config.name, 1) };
    Ok(segcdc_postgres::PreflightRequest {
        purpose,
        publication: named(
            &config.publication,
            lineage.map(|lineage| &lineage.publication),
            publication_is_remade,
        ),
        slot: named(&config.slot, lineage.map(|lineage| &lineage.slot), slot_is_remade),
        publication_to_create,
        slot_to_create,
        tables: published.iter().map(|plan| plan.source.clone()).collect(),
        columns: published.iter().map(|plan| (plan.source.oid, column_names(plan))).collect(),
        narrowed: published::wanted(source, &plans_of(&published), &config.rules).await?,
    })
}

/// The statements that make publication and slot, for people. The slot is made by a command of the replication
/// protocol, which this one stands for.
pub(super) async fn statements(
    config: &EngineConfig,
    source: &Session,
    plans: &[Arc<TablePlan>],
) -> Result<Vec<String>, EngineError> {
    let mut statements = Vec::new();
    if config.snapshot == SnapshotMode::Only {
        return Ok(statements);
    }
    if config.publication.is_none() && !plans.is_empty() {
        let tables = published::wanted(source, &plans_of(plans), &config.rules).await?;
        statements.push(publication::create_sql(&names::publication(&config.name), &tables)?);
    }
    if config.slot.is_none() {
        let slot = names::slot(&config.name, 1);
        statements.push(format!("CREATE_REPLICATION_SLOT \"{slot}\" LOGICAL pgoutput (SNAPSHOT 'export')"));
    }
    Ok(statements)
}

/// The plans themselves.
fn plans_of(plans: &[Arc<TablePlan>]) -> Vec<&TablePlan> {
    plans.iter().map(AsRef::as_ref).collect()
}

/// Names of the columns that are replicated.
fn column_names(plan: &Arc<TablePlan>) -> Vec<String> {
    let sent = plan.columns.iter().filter(|column| column.constant.is_none());
    sent.map(|column| column.source_name.clone()).collect()
}
