//! [`load`]: the native engine copies the tables, and the source connector begins where that ended.
//!
//! ```text
//! slot with its exported snapshot, at P        WAL is kept from here on
//! several readers copy as of P                 straight into the target, each table marked when it is whole
//! P into the pipeline's state                  from here on the pipeline is set up like any other
//! ...
//! source connector, stopped; its progress: P   rows up to P came by the copy, rows behind it come by the stream
//! ```
//!
//! An interrupted load is gone on with by the next one: whole tables stay, the others are copied from a newer snapshot, and
//! the native engine follows the slot until all of them are as of one position. That is P then.

use std::sync::Arc;

use segcdc_engine_native::{EngineConfig, EngineKind, Outcome, Progress, SnapshotMode, names, run};
use segcdc_model::{Lsn, TablePhase};
use segcdc_plan::Rules;
use segcdc_postgres::session;
use segcdc_sqlserver::{ExistingRows, PipelineState, Target};
use tokio_util::sync::CancellationToken;

use crate::config::{ConnectConfig, Spec};
use crate::deploy::{create_state, lineage, write_secrets};
use crate::error::ConnectError;
use crate::prepare::Prepared;
use crate::rest::Rest;
use crate::validate::validate;

/// Copies the tables of a pipeline that needs it ([`Spec::needs_load`]), and notes where the source connector is to begin.
/// Dropping the future ends the copy; the next call goes on.
///
/// # Errors
/// What either server or the worker refuses; `FULL_LOAD_INCOMPLETE` for tables with values that the target cannot hold;
/// `FENCED` when another process copies for the same pipeline.
pub async fn load(
    config: &ConnectConfig,
    rest: &Rest,
    prepared: &Prepared,
    progress: Arc<Progress>,
) -> Result<Lsn, ConnectError> {
    // Before hours of copying: can the worker do its part?
    write_secrets(config, &prepared.spec)?;
    validate(rest, &prepared.connectors, &prepared.spec.secrets).await?;
    let mut target = Target::connect(&config.engine.target).await?;
    match target.load_state(&config.engine.name).await? {
        None => begin(config, rest, prepared, &mut target).await?,
        Some(state) => try_again(config, &mut target, &state).await?,
    }
    let engine = EngineConfig {
        engine: EngineKind::KafkaConnect,
        patterns: Vec::new(),
        rules: Rules::default(),
        snapshot: SnapshotMode::Initial,
        until_caught_up: false,
        until_loaded: true,
        ..config.engine.clone()
    };
    let outcome = Box::pin(run(engine, progress, CancellationToken::new())).await?;
    let state = state(config, &mut target).await?;
    refuse_incomplete(&state)?;
    let Outcome::CaughtUp { applied_lsn } = outcome else {
        return Err(ConnectError::SpecUnreadable { pipeline: config.engine.name.clone() });
    };
    let spec = Spec { start_lsn: Some(applied_lsn), ..Spec::of(&state)? };
    target.set_spec(&state.checkpoint, &spec.to_json()).await?;
    Ok(applied_lsn)
}

/// Writes the state of a new pipeline, and makes its target tables, which must be empty.
async fn begin(
    config: &ConnectConfig,
    rest: &Rest,
    prepared: &Prepared,
    target: &mut Target,
) -> Result<(), ConnectError> {
    for connector in &prepared.connectors {
        if rest.config(&connector.name).await?.is_some() {
            return Err(ConnectError::ConnectorExists { connector: connector.name.clone() });
        }
    }
    let source = session::connect(&config.engine.source).await?;
    // The native engine makes the slot under the next generation of the name that it finds.
    let slot = names::slot(&config.engine.name, 0);
    let lineage = lineage(&source, slot, prepared.layout.publication.clone(), 0).await?;
    source.close().await;
    create_state(config, prepared, target, lineage).await?;
    for plan in prepared.layout.tables() {
        target.prepare_table(plan, ExistingRows::Refuse).await?;
    }
    Ok(())
}

/// Has tables that could not be copied the last time copied once more.
async fn try_again(
    config: &ConnectConfig,
    target: &mut Target,
    state: &PipelineState,
) -> Result<(), ConnectError> {
    let refused: Vec<u32> = quarantined(state).map(|table| table.source_oid).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let checkpoint = target.take_over(&config.engine.name, "kafka connect").await?;
    for oid in refused {
        target.set_table_phase(&checkpoint, oid, TablePhase::Queued, None).await?;
    }
    Ok(())
}

fn quarantined(state: &PipelineState) -> impl Iterator<Item = &segcdc_sqlserver::TableState> {
    state.tables.iter().filter(|table| table.phase == TablePhase::Quarantined)
}

/// A table that was set aside would be missing on this route: it has no such thing.
fn refuse_incomplete(state: &PipelineState) -> Result<(), ConnectError> {
    let tables: Vec<String> = quarantined(state)
        .map(|table| match &table.error {
            Some((code, detail)) => format!("{} ({code}: {detail})", table.source),
            None => table.source.to_string(),
        })
        .collect();
    if tables.is_empty() { Ok(()) } else { Err(ConnectError::LoadIncomplete { tables: tables.join("; ") }) }
}

async fn state(config: &ConnectConfig, target: &mut Target) -> Result<PipelineState, ConnectError> {
    Ok(target.known_state(&config.engine.name).await?)
}
