//! [`to_connect`]: from the native engine to connectors.
//!
//! ```text
//! worker checks the connectors             nothing was touched yet
//! take over                                `segcdc up` ends as FENCED; the checkpoint P is final
//! slot free
//! state: kafka-connect, begins at P        one statement; from here on `segcdc up --engine kafka-connect` goes on too
//! heartbeat tables, connectors, progress P, resume
//! ```
//!
//! P is the end of the last commit that is in the target, or a later position with nothing of ours before it. The
//! walsender begins behind P in the same slot, which was confirmed up to P at most, so nothing is sent twice and nothing
//! is left out.

use std::time::Duration;

use segcdc_engine_native::{EngineKind, LeftOut, SnapshotMode, table_state};
use segcdc_model::{Lsn, TablePhase};
use segcdc_plan::TablePlan;
use segcdc_postgres::{Operation, ServerError, SourceError, session, slot};
use segcdc_sqlserver::{PipelineState, Target};
use tokio::time::{Instant, sleep};

use crate::config::{ConnectConfig, FullLoad, Spec};
use crate::decide::Step;
use crate::deploy::{deploy, write_secrets};
use crate::error::ConnectError;
use crate::migrate::{MigrationStep, load, refuse};
use crate::prepare::{Prepared, prepare, prepare_from_native};
use crate::rest::Rest;
use crate::validate::validate;

/// How long a process that was fenced may keep its slot. An idle one notices with its next heartbeat, after ten seconds.
const SLOT_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at the slot.
const PAUSE: Duration = Duration::from_millis(300);

/// A hand-over to connectors that is planned and can be carried out.
#[derive(Debug, Clone)]
pub struct ToConnect {
    /// The pipeline as it will be.
    pub prepared: Prepared,
    /// The connectors carry it already; what is left is to set them up, where that was interrupted.
    pub is_handed_over: bool,
    /// What will be done, in order.
    pub steps: Vec<MigrationStep>,
}

/// Plans the hand-over. Changes nothing.
///
/// # Errors
/// `MIGRATE_REFUSED` with everything that stands in the way, by name; when a server or the worker cannot be asked.
pub async fn plan_to_connect(config: &ConnectConfig, rest: &Rest) -> Result<ToConnect, ConnectError> {
    let config = &wishes(config);
    let mut target = Target::connect(&config.engine.target).await?;
    let (engine, state) = load(config, &mut target).await?;
    if engine == EngineKind::KafkaConnect {
        let prepared = Box::pin(prepare(config, rest)).await?;
        refuse(config, EngineKind::KafkaConnect, &unfinished(&Spec::of(&state)?))?;
        let steps = vec![MigrationStep::SetUp { of: None }];
        return Ok(ToConnect { prepared, is_handed_over: true, steps });
    }
    let prepared = Box::pin(prepare_from_native(config, rest)).await?;
    let mut reasons = reasons(&state, &prepared);
    reasons.extend(half_applied(&mut target, &state).await?);
    for connector in &prepared.connectors {
        if rest.config(&connector.name).await?.is_some() {
            reasons.push(format!("the worker has a connector {} already", connector.name));
        }
    }
    refuse(config, EngineKind::KafkaConnect, &reasons)?;
    let slot = state.checkpoint.lineage.slot;
    let steps = vec![
        MigrationStep::ValidateConnectors,
        MigrationStep::TakeOver,
        MigrationStep::WaitForSlot { slot },
        MigrationStep::HandToConnect,
        MigrationStep::SetUp { of: None },
    ];
    Ok(ToConnect { prepared, is_handed_over: false, steps })
}

/// Hands the pipeline over. `on_step` hears of each step before it is taken. Returns where the connectors begin.
///
/// # Errors
/// What a server or the worker refuses. Whatever it was interrupted behind, the same call goes on.
pub async fn to_connect(
    config: &ConnectConfig,
    rest: &Rest,
    plan: &ToConnect,
    on_step: &mut (dyn FnMut(&MigrationStep) + Send),
) -> Result<Option<Lsn>, ConnectError> {
    let config = &wishes(config);
    if !plan.is_handed_over {
        hand_over(config, rest, &plan.prepared, on_step).await?;
    }
    let prepared = Box::pin(prepare(config, rest)).await?;
    let mut on_set_up = |step: &Step| on_step(&MigrationStep::SetUp { of: Some(step.clone()) });
    Box::pin(deploy(config, rest, &prepared, &mut on_set_up)).await?;
    Ok(prepared.spec.start_lsn)
}

/// Up to the moment from which on the state says that connectors carry the pipeline.
async fn hand_over(
    config: &ConnectConfig,
    rest: &Rest,
    prepared: &Prepared,
    on_step: &mut (dyn FnMut(&MigrationStep) + Send),
) -> Result<(), ConnectError> {
    let mut take = |step: MigrationStep| {
        on_step(&step);
        tracing::info!(%step, "handing the pipeline over");
    };
    let pipeline = &config.engine.name;
    take(MigrationStep::ValidateConnectors);
    write_secrets(config, &prepared.spec)?;
    validate(rest, &prepared.connectors, &prepared.spec.secrets).await?;
    take(MigrationStep::TakeOver);
    let mut target = Target::connect(&config.engine.target).await?;
    let checkpoint = target.take_over(pipeline, "migrate").await?;
    let lineage = &checkpoint.lineage;
    take(MigrationStep::WaitForSlot { slot: lineage.slot.clone() });
    let source = session::connect(&config.engine.source).await?;
    let started = Instant::now();
    while let Some(pid) = slot::inspect(&source, &lineage.slot).await?.and_then(|slot| slot.active_pid) {
        if started.elapsed() > SLOT_PATIENCE {
            let message = format!("replication slot \"{}\" is active for PID {pid}", lineage.slot);
            let error = ServerError { sqlstate: "55006".to_owned(), message, fatal: false };
            return Err(SourceError::Server { operation: Operation::Query, error }.into());
        }
        sleep(PAUSE).await;
    }
    source.close().await;
    // The process may have gone on between our look and our claim.
    let (_, state) = load(config, &mut target).await?;
    let mut reasons = reasons(&state, prepared);
    reasons.extend(half_applied(&mut target, &state).await?);
    refuse(config, EngineKind::KafkaConnect, &reasons)?;
    take(MigrationStep::HandToConnect);
    let spec = Spec { start_lsn: Some(checkpoint.applied_lsn), ..prepared.spec.clone() };
    target.hand_over(&checkpoint, lineage, checkpoint.applied_lsn, &spec.to_json()).await?;
    Ok(())
}

/// The pipeline's tables are those of its state, and rows are not copied.
fn wishes(config: &ConnectConfig) -> ConnectConfig {
    let mut config = config.clone();
    config.engine.patterns.clear();
    config.engine.snapshot = SnapshotMode::Initial;
    config
}

fn unfinished(spec: &Spec) -> Vec<String> {
    let loading = spec.needs_load() && spec.full_load == FullLoad::Native;
    let reason = "its full load is not over: `segcdc up --engine kafka-connect` goes on with it";
    loading.then(|| reason.to_owned()).into_iter().collect()
}

/// A transaction of which connectors would apply the first changes a second time.
async fn half_applied(target: &mut Target, state: &PipelineState) -> Result<Option<String>, ConnectError> {
    let partial = target.partial_transaction(&state.checkpoint).await?;
    Ok(partial.map(|partial| {
        format!("the source's transaction {} is applied in part; `segcdc up` goes on with it", partial.xid)
    }))
}

/// What stands in the way. Pure.
fn reasons(state: &PipelineState, prepared: &Prepared) -> Vec<String> {
    let mut reasons = Vec::new();
    let lineage = &state.checkpoint.lineage;
    if lineage.slot.is_empty() {
        return vec!["it only copies".to_owned()];
    }
    if !state.slot_is_ours {
        reasons.push(format!("its slot \"{}\" was given and is not ours to move", lineage.slot));
    }
    if !state.publication_is_ours {
        let name = &lineage.publication;
        reasons.push(format!(
            "its publication \"{name}\" was given, and heartbeat tables would have to be added to it"
        ));
    }
    if !prepared.preflight.rules.is_empty() {
        reasons.push("it has rules for values, types or names, which connectors do not follow".to_owned());
    }
    let failures = prepared.preflight.findings.iter();
    let failures = failures.filter(|finding| finding.severity == segcdc_model::Severity::Failure);
    reasons.extend(failures.map(|finding| format!("{} [{}]", finding.detail, finding.code)));
    for LeftOut { table, code, detail, .. } in &prepared.preflight.left_out {
        reasons.push(format!("table {table}: {detail} [{code}]"));
    }
    for table in &state.tables {
        let plan = prepared.preflight.plans.iter().find(|plan| plan.source.oid == table.source_oid);
        reasons.extend(table_reason(table, plan.map(AsRef::as_ref), state.checkpoint.applied_lsn));
    }
    reasons
}

/// What stands in the way of one table that could be carried.
fn table_reason(
    table: &segcdc_sqlserver::TableState,
    plan: Option<&TablePlan>,
    applied: Lsn,
) -> Option<String> {
    let name = &table.source;
    let reason = match table.phase {
        TablePhase::Quarantined => {
            let code = table.error.as_ref().map_or("", |(code, _)| code.as_str());
            format!("is set aside ({code}); `segcdc table resync` has it copied again")
        }
        TablePhase::Paused => "is paused; `segcdc table resume` lets it go on".to_owned(),
        TablePhase::Streaming if table.sync_lsn > applied => {
            "was copied a moment ago and has not caught up with the others".to_owned()
        }
        TablePhase::Streaming => {
            let plan = plan?;
            if table_state(plan, false).shape == table.shape {
                return None;
            }
            "has other columns or another key than its target table was made for".to_owned()
        }
        TablePhase::Queued | TablePhase::Copying => "is not copied yet".to_owned(),
    };
    Some(format!("table {name} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::plan;
    use segcdc_sqlserver::TableState;

    #[test]
    fn a_table_that_cannot_go_on_is_named() {
        let plan = plan("public", "orders", &[]);
        let live =
            TableState { phase: TablePhase::Streaming, sync_lsn: Lsn::new(5), ..table_state(&plan, true) };
        let check = |table: &TableState, expected: Option<&str>| {
            let found = table_reason(table, Some(&plan), Lsn::new(7));
            match expected {
                None => assert_eq!(found, None),
                Some(word) => assert!(found.as_ref().is_some_and(|found| found.contains(word)), "{found:?}"),
            }
        };
        check(&live, None);
        check(&TableState { sync_lsn: Lsn::new(8), ..live.clone() }, Some("caught up"));
        check(&TableState { shape: "x".to_owned(), ..live.clone() }, Some("columns"));
        check(
            &TableState { phase: TablePhase::Copying, ..live.clone() },
            Some("public.orders is not copied"),
        );
        let error = Some(("VALUE_REFUSED".to_owned(), String::new()));
        check(&TableState { phase: TablePhase::Quarantined, error, ..live }, Some("VALUE_REFUSED"));
    }
}
