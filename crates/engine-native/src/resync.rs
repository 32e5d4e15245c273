//! [`resync`]: having tables copied again while the others stay as they are.
//!
//! ```text
//! target table of the wanted shape (dropped and made again if it is ours)
//! source table in the publication, if that is ours
//! state row: QUEUED, with the new shape                                     the next run copies it
//!   in one transaction with it, when a rule gives it another name:
//!   the target table of that name made, the one of the old name dropped if it is ours
//! ```
//!
//! Until the last step the table stays what it was, so that an interruption changes nothing that counts.

use std::sync::Arc;

use segcdc_model::{Finding, QualifiedName, Side, TablePhase};
use segcdc_plan::table_plan::check_target_names;
use segcdc_plan::{Rules, TablePlan, target_name};
use segcdc_postgres::{Pattern, Publication, Session, catalog, publication, session, slot};
use segcdc_sqlserver::tables::{self, Difference};
use segcdc_sqlserver::{ExistingRows, PipelineState, Replacement, TableState, Target};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::context::naming;
use crate::down::refuse_in_use;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::preflight::{LeftOut, judge};
use crate::provision::decide::is_copy_only;
use crate::published;
use crate::rules_in_force;
use crate::shape;
use crate::startup::decide::{check_identity, check_published};

/// What will be copied again by the next run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResyncReport {
    /// The pipeline.
    pub pipeline: String,
    /// The tables, ordered by source name.
    pub tables: Vec<ResyncedTable>,
}

/// A table that will be copied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResyncedTable {
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Where it stood.
    pub was: TablePhase,
    /// Its target table was made anew, because it had another shape or name.
    pub made_anew: bool,
    /// The target table of the name that it had before, if it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<QualifiedName>,
}

/// Has tables copied again by the next run: those that match, or all that are quarantined when there is no pattern.
/// The pipeline must not run meanwhile.
///
/// # Errors
/// `STATE_MISSING`; `SLOT_IN_USE` when a process runs the pipeline; what keeps a table from being replicated. Can be
/// repeated after any error.
pub async fn resync(config: &EngineConfig, patterns: &[Pattern]) -> Result<ResyncReport, EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let state = target.known_state(&config.name).await?;
    EngineKind::Native.require(&state)?;
    let config = &rules_in_force::with_rules(config, Some(&state))?;
    let source = session::connect(&config.source).await?;
    check_identity(&state.checkpoint, &catalog::identity(&source).await?)?;
    refuse_in_use(slot::inspect(&source, &state.checkpoint.lineage.slot).await?)?;
    let stays = |table: &TableState| {
        rules_in_force::is_in_use(table)
            && !chosen(&state, patterns).any(|chosen| chosen.source_oid == table.source_oid)
    };
    rules_in_force::check_shapes(&source, &state, config, &stays).await?;
    let mut wanted = Vec::new();
    for known in chosen(&state, patterns) {
        let plan = current_plan(config, &source, known).await?;
        wanted.push((known.clone(), Arc::new(plan)));
    }
    check_names(&state, &wanted)?;
    let checkpoint = target.take_over(&config.name, "resync").await?;
    if rules_in_force::stored(&state)? != config.rules {
        let spec =
            rules_in_force::specification(&config.rules, config.mask_salt.as_ref()).unwrap_or_default();
        target.set_spec(&checkpoint, &spec).await?;
    }
    let published = publish(&source, &state, &wanted, &config.rules).await?;
    let mut report = ResyncReport { pipeline: config.name.clone(), tables: Vec::new() };
    for (known, plan) in &wanted {
        if let Some(published) = &published {
            check_published(plan.source.oid, &plan.source.name, Some(plan), published)?;
        }
        let Shaped { made_anew, is_ours, is_missing } = shape_target(&mut target, known, plan).await?;
        let queued = shape::queued(plan, is_ours);
        let dropped = (is_moved(known, plan) && known.table_is_ours).then(|| known.target.clone());
        hit(Failpoint::BeforeResyncStored);
        let replacement = Replacement {
            before: known.source_oid,
            after: &queued,
            made: is_missing.then_some(plan.as_ref()),
            dropped: dropped.as_ref(),
        };
        target.replace_table(&checkpoint, &replacement).await?;
        hit(Failpoint::AfterResyncStored);
        let (source, target) = (queued.source, queued.target);
        report.tables.push(ResyncedTable { source, target, was: known.phase, made_anew, dropped });
    }
    source.close().await;
    Ok(report)
}

/// The tables that are meant.
fn chosen<'a>(state: &'a PipelineState, patterns: &'a [Pattern]) -> impl Iterator<Item = &'a TableState> {
    state.tables.iter().filter(move |table| match patterns {
        [] => table.phase == TablePhase::Quarantined,
        patterns => patterns.iter().any(|pattern| pattern.matches(&table.source)),
    })
}

/// The plan of a table as it is now: the one with its OID, or the one that was made anew under its name.
pub(crate) async fn current_plan(
    config: &EngineConfig,
    source: &Session,
    known: &TableState,
) -> Result<TablePlan, EngineError> {
    let mut found = catalog::table(source, known.source_oid).await?;
    if found.is_none() {
        let all = catalog::tables(source, &[]).await?;
        found = all.into_iter().find(|table| table.name == known.source);
    }
    let (oid, table) = (known.source_oid, known.source.clone());
    let found = found.ok_or(EngineError::TableDropped { oid, table })?;
    judge(&found, &naming(config), None).map_err(|left_out| refused(*left_out))
}

/// A table that was named and cannot be replicated.
pub(crate) fn refused(left_out: LeftOut) -> EngineError {
    let detail = format!("{}: {}", left_out.table, left_out.detail);
    let mut finding = Finding::failure("engine.tables", Side::Source, &left_out.code, detail);
    finding = finding.hint(left_out.hint);
    finding.fix_sql.extend(left_out.fix_sql);
    EngineError::Preflight { findings: vec![finding] }
}

/// Puts tables that were taken out of our own publication, or were made anew, back into it, and has it send the columns that
/// are wanted now. Returns the publication, `None` for a pipeline that has none.
pub(crate) async fn publish(
    source: &Session,
    state: &PipelineState,
    wanted: &[(TableState, Arc<TablePlan>)],
    rules: &Rules,
) -> Result<Option<Publication>, EngineError> {
    if is_copy_only(state) {
        return Ok(None);
    }
    let name = &state.checkpoint.lineage.publication;
    let missing = || EngineError::PublicationMissing { publication: name.clone() };
    let found = publication::inspect(source, name).await?.ok_or_else(missing)?;
    if !state.publication_is_ours {
        return Ok(Some(found));
    }
    let plans: Vec<&TablePlan> = wanted.iter().map(|(_, plan)| plan.as_ref()).collect();
    let tables = published::wanted(source, &plans, rules).await?;
    let (mut absent, mut changed) = (Vec::new(), Vec::new());
    for (plan, table) in plans.iter().zip(tables) {
        match found.tables.iter().find(|published| published.oid == plan.source.oid) {
            None => absent.push(table),
            Some(published) if !published.is(&table) => changed.push(table),
            Some(_) => {}
        }
    }
    if absent.is_empty() && changed.is_empty() {
        return Ok(Some(found));
    }
    // Changes made before this are not in the stream, or with other columns; the copy that follows has them, since it begins
    // later and waits for transactions that are open now.
    if !absent.is_empty() {
        publication::add_tables(source, name, &absent).await?;
    }
    if !changed.is_empty() {
        publication::replace_tables(source, name, &changed).await?;
    }
    Ok(Some(publication::inspect(source, name).await?.ok_or_else(missing)?))
}

/// Whether the table gets another target table than it had.
pub(crate) fn is_moved(known: &TableState, plan: &TablePlan) -> bool {
    target_name::folded(&known.target) != target_name::folded(&plan.target)
}

/// Checks that no table gets the target table that another one has or had.
fn check_names(state: &PipelineState, wanted: &[(TableState, Arc<TablePlan>)]) -> Result<(), EngineError> {
    let planned = |known: &TableState| wanted.iter().find(|(table, _)| table.source_oid == known.source_oid);
    let had =
        state.tables.iter().filter(|known| planned(known).is_none_or(|(_, plan)| is_moved(known, plan)));
    let had = had.map(|known| (&known.source, &known.target));
    let gets = wanted.iter().map(|(_, plan)| (&plan.source.name, &plan.target));
    Ok(check_target_names(had.chain(gets))?)
}

/// What became of a target table.
pub(crate) struct Shaped {
    /// It has no rows of before.
    made_anew: bool,
    /// Made by us.
    pub(crate) is_ours: bool,
    /// It is still to be made, together with the state that knows it.
    is_missing: bool,
}

/// Gives the target table the wanted shape, unless it has a new name and is not there.
pub(crate) async fn shape_target(
    target: &mut Target,
    known: &TableState,
    plan: &TablePlan,
) -> Result<Shaped, EngineError> {
    let existing = target.existing_table(&plan.target).await?;
    if is_moved(known, plan) {
        let is_missing = existing.is_none();
        if is_missing {
            target.ensure_schema(&plan.target.schema).await?;
        } else {
            // Whatever has the new name is not ours, and its rows are nobody's to add to.
            target.prepare_table(plan, ExistingRows::Refuse).await?;
        }
        return Ok(Shaped { made_anew: is_missing, is_ours: is_missing, is_missing });
    }
    let differences = existing.as_ref().map(|found| tables::differences(found, plan)).unwrap_or_default();
    let differs = !differences.is_empty();
    // A table that only the collation takes for this one is another's, and must not be dropped.
    let is_other = differences.iter().any(|difference| matches!(difference, Difference::OtherName { .. }));
    if differs && (is_other || !known.table_is_ours) {
        let detail = differences.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (oid, table) = (known.source_oid, plan.target.clone());
        return Err(EngineError::TargetSchemaDrift { oid, table, detail: detail.join("; ") });
    }
    if differs {
        target.drop_table(&plan.target).await?;
    }
    target.prepare_table(plan, ExistingRows::Allow).await?;
    Ok(Shaped { made_anew: differs, is_ours: known.table_is_ours, is_missing: false })
}
