//! What a table is now that is to be copied beside the stream, and which way its rows take.
//!
//! ```text
//! target table          rows go into       and then
//! missing, unfinished   it                 -
//! in use                its shadow         it gets the shadow's rows (merge), or the shadow its place (swap)
//! ```

use std::sync::Arc;

use segcdc_model::{Checkpoint, QualifiedName};
use segcdc_plan::TablePlan;
use segcdc_plan::table_plan::check_target_names;
use segcdc_postgres::{Session, catalog};
use segcdc_sqlserver::tables::differences;
use segcdc_sqlserver::{ExistingRows, PipelineState, Replacement, TableState, Target};

use crate::beside::order::Order;
use crate::context::Context;
use crate::error::EngineError;
use crate::ports::TablesPort;
use crate::preflight::judge;
use crate::resync;
use crate::shape;
use crate::startup::decide::check_published;
use crate::wish::By;

/// A table that can be copied.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) order: Order,
    pub(crate) plan: Arc<TablePlan>,
    /// The row that says that it is to be copied.
    pub(crate) state: TableState,
    /// Its target table is made together with the row.
    is_missing: bool,
    way: Way,
}

/// The way that rows take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    InPlace,
    Shadow(By),
}

/// Why a table is not copied.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It stays what it is.
    Refused(String),
    Error(EngineError),
}

impl<E: Into<EngineError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble::Error(error.into())
    }
}

/// Finds out what a table is, and puts it into our publication, last of all: one that is refused is not published. Nothing else
/// is changed.
pub(crate) async fn prepare(
    context: &Context,
    (source, target): (&Session, &mut Target),
    order: &Order,
) -> Result<Prepared, Trouble> {
    let state = target.known_state(&context.config.name).await?;
    let known =
        state.tables.iter().find(|known| known.source_oid == order.source_oid).or(order.known.as_ref());
    let plan = match (&order.plan, known) {
        (Some(plan), _) => Arc::clone(plan),
        (None, Some(known)) => Arc::new(resync::current_plan(&context.config, source, known).await?),
        (None, None) => Arc::new(new_plan(context, source, order.source_oid).await?),
    };
    let row = known.cloned().unwrap_or_else(|| shape::queued(&plan, false));
    let existing = target.existing_table(&plan.target).await?;
    let is_missing = existing.is_none();
    let Some(known) = known else {
        check_name_is_free(&state, &plan)?;
        target.ensure_schema(&plan.target.schema).await?;
        if !is_missing {
            // Its rows are nobody's to add to.
            target.prepare_table(&plan, ExistingRows::Refuse).await?;
        }
        publish(context, source, &state, (&row, &plan)).await?;
        let state = row_of(&plan, is_missing, order);
        return Ok(Prepared { order: order.clone(), plan, state, is_missing, way: Way::InPlace });
    };
    if resync::is_moved(known, &plan) {
        return Err(Trouble::Refused(format!(
            "its target table is {}, and would be {} now: stop the pipeline, and run `segcdc table resync` then",
            known.target, plan.target
        )));
    }
    let (way, is_ours) = match existing {
        Some(existing) if !order.in_place => {
            let differs: Vec<String> =
                differences(&existing, &plan).iter().map(ToString::to_string).collect();
            let by = way(order.by, &differs, known)?;
            if by == By::Swap {
                let replaced = replaced_columns(context, target, known, &plan).await?;
                let losses = losses(target, &existing, &plan, &replaced).await?;
                if !losses.is_empty() {
                    return Err(Trouble::Refused(format!(
                        "a swap would lose what its target table {} has: {}; take `--by merge`, or drop them before and \
                         make them anew behind it",
                        known.target,
                        losses.join(", ")
                    )));
                }
            }
            (Way::Shadow(by), known.table_is_ours)
        }
        _ if is_missing => {
            target.ensure_schema(&plan.target.schema).await?;
            (Way::InPlace, true)
        }
        _ => {
            let shaped = resync::shape_target(target, known, &plan).await?;
            (Way::InPlace, shaped.is_ours)
        }
    };
    publish(context, source, &state, (&row, &plan)).await?;
    let state = row_of(&plan, is_ours, order);
    Ok(Prepared { order: order.clone(), plan, state, is_missing, way })
}

/// The row that says that a table is to be copied, and what has kept it from that so far.
fn row_of(plan: &TablePlan, table_is_ours: bool, order: &Order) -> TableState {
    TableState { error: order.reason(), ..shape::queued(plan, table_is_ours) }
}

/// How a target table in use gets its rows: as it is wished, or so that nothing is lost.
fn way(by: Option<By>, differs: &[String], known: &TableState) -> Result<By, Trouble> {
    let differs = differs.join("; ");
    match by {
        Some(By::Merge) if !differs.is_empty() => Err(Trouble::Refused(format!(
            "its target table has not the columns that the source has now ({differs}): take `--by swap`"
        ))),
        Some(by) => Ok(by),
        None if differs.is_empty() => Ok(By::Merge),
        None if known.table_is_ours => Ok(By::Swap),
        None => Err(EngineError::TargetSchemaDrift {
            oid: known.source_oid,
            table: known.target.clone(),
            detail: differs,
        }
        .into()),
    }
}

/// The columns of a target table that it has of a table that was dropped and made again: they go with their rows.
async fn replaced_columns(
    context: &Context,
    target: &mut Target,
    known: &TableState,
    plan: &TablePlan,
) -> Result<Vec<String>, EngineError> {
    if plan.source.oid == known.source_oid {
        return Ok(Vec::new());
    }
    let mut followed = target.known_tables(&context.config.name).await?;
    let Some(followed) = followed.remove(&known.source_oid) else { return Ok(Vec::new()) };
    let columns = followed.columns.into_iter().filter_map(|column| Some(column.target?.name));
    Ok(columns.chain(followed.kept).collect())
}

/// What a target table would lose if another one took its place: what belongs to it, and columns that are neither planned nor
/// among those that are to be `replaced`.
async fn losses(
    target: &mut Target,
    existing: &segcdc_sqlserver::catalog::ExistingTable,
    plan: &TablePlan,
    replaced: &[String],
) -> Result<Vec<String>, EngineError> {
    let mut losses = target.losses_by_swap(existing.object_id).await?;
    let is_planned = |name: &str| {
        let mut names = plan.columns.iter().map(|column| &column.name).chain(replaced);
        names.any(|planned| planned.to_lowercase() == name.to_lowercase())
    };
    let others = existing.columns.iter().filter(|column| !is_planned(&column.name));
    losses.extend(others.map(|column| format!("column {}", column.name)));
    Ok(losses)
}

/// The plan of a table that is none of the pipeline.
async fn new_plan(context: &Context, source: &Session, oid: u32) -> Result<TablePlan, Trouble> {
    let Some(found) = catalog::table(source, oid).await? else {
        return Err(Trouble::Refused("the source has it no more".to_owned()));
    };
    judge(&found, &context.naming(), None).map_err(|left_out| resync::refused(*left_out).into())
}

/// Puts a table into our publication, and makes sure that it is in there as a whole.
async fn publish(
    context: &Context,
    source: &Session,
    state: &PipelineState,
    (row, plan): (&TableState, &Arc<TablePlan>),
) -> Result<(), EngineError> {
    let wanted = [(row.clone(), Arc::clone(plan))];
    let rules = &context.config.rules;
    let Some(published) = resync::publish(source, state, &wanted, rules).await? else { return Ok(()) };
    check_published(plan.source.oid, &plan.source.name, Some(plan), &published)
}

/// Checks that no table of the pipeline has the target table that a new one would get.
fn check_name_is_free(state: &PipelineState, plan: &TablePlan) -> Result<(), EngineError> {
    let had = state.tables.iter().map(|known| (&known.source, &known.target));
    Ok(check_target_names(had.chain([(&plan.source.name, &plan.target)]))?)
}

/// Stores that the table is to be copied, and makes its target table with it where it is missing: so none is left that no
/// state knows. Durable on return.
///
/// # Errors
/// `FENCED`, and the target's.
pub(crate) async fn store<T: TablesPort>(
    target: &mut T,
    checkpoint: &Checkpoint,
    table: &Prepared,
) -> Result<(), EngineError> {
    let replacement = Replacement {
        before: table.order.before,
        after: &table.state,
        made: table.is_missing.then_some(table.plan.as_ref()),
        dropped: None,
    };
    Ok(target.replace_table(checkpoint, &replacement).await?)
}

/// The plan by which the rows are copied: of the target table, or of its shadow, which is made.
///
/// # Errors
/// The target's.
pub(crate) async fn copy_plan(target: &mut Target, table: &Prepared) -> Result<TablePlan, EngineError> {
    match table.way {
        Way::InPlace => Ok(TablePlan::clone(&table.plan)),
        Way::Shadow(_) => Ok(target.make_shadow(&table.plan).await?),
    }
}

/// Has the target table get the rows of its copy. Returns how, for people.
///
/// # Errors
/// `FENCED`, and what the target refuses, which concerns the table.
pub(crate) async fn replace(
    target: &mut Target,
    checkpoint: &Checkpoint,
    table: &Prepared,
) -> Result<&'static str, EngineError> {
    match table.way {
        Way::InPlace => return Ok("copied"),
        Way::Shadow(By::Merge) => target.merge_shadow(checkpoint, &table.plan).await?,
        Way::Shadow(By::Swap) => {
            let replaced: &QualifiedName = &table.plan.target;
            target.swap_shadow(checkpoint, &table.plan, replaced).await?;
        }
    }
    Ok(if table.way == Way::Shadow(By::Merge) {
        "copied again and merged"
    } else {
        "copied again and swapped in"
    })
}
