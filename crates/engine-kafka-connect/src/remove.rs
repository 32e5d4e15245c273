//! [`remove`]: takes a pipeline away, and leaves nothing of it but the target's tables.
//!
//! ```text
//! stop the connectors                     nothing is written any more
//! forget their progress, delete them      the consumer groups go with the sinks' progress
//! topics                                  by a broker; Kafka Connect cannot
//! slot, publication, heartbeat tables
//! file with the passwords
//! state                                   last: until then everything can be found again
//! ```

use std::time::Duration;

use segcdc_engine_native::down::{DownReport, Removal, Thing};
use segcdc_model::Side;
use segcdc_postgres::{Session, catalog, publication, quote, session, slot};
use segcdc_sqlserver::{PipelineState, Target, sql};
use tokio::time::{Instant, sleep};

use crate::config::{ConnectConfig, Spec};
use crate::error::ConnectError;
use crate::heartbeat;
use crate::kafka::{Bootstrap, KafkaAdmin};
use crate::reach::{PAUSE, reach};
use crate::rest::{ConnectorWord, Rest};
use crate::secrets::Secrets;

/// How long the source may take to notice that a stopped connector has let go of its slot.
const SLOT_PATIENCE: Duration = Duration::from_secs(30);

/// Takes a pipeline away, or says what would go.
///
/// # Errors
/// `STATE_MISSING`, `ENGINE_MISMATCH`, and what a server or the worker refuses. Can be repeated after any error.
pub async fn remove(
    config: &ConnectConfig,
    rest: &Rest,
    removal: Removal,
) -> Result<DownReport, ConnectError> {
    take_away(config, rest, removal, Rows::Stay).await
}

/// What becomes of the target's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// They stay as they are.
    Stay,
    /// Tables that the pipeline made are dropped, those that were there before are emptied.
    Go,
}

/// Takes a pipeline away.
pub(crate) async fn take_away(
    config: &ConnectConfig,
    rest: &Rest,
    removal: Removal,
    rows: Rows,
) -> Result<DownReport, ConnectError> {
    let engine = &config.engine;
    let mut target = Target::connect(&engine.target).await?;
    let state = target.known_state(&engine.name).await?;
    let spec = Spec::of(&state)?;
    let others = target.pipelines().await?.into_iter().any(|name| name != engine.name);
    let brokers = brokers(config, &spec)?;
    let report = plan(&state, &spec, brokers.is_some(), others)?;
    if removal == Removal::DryRun {
        return Ok(report);
    }
    let source = session::connect(&engine.source).await?;
    refuse_other_source(&state, &catalog::identity(&source).await?)?;
    if spec.needs_load() {
        // A process that copies tables at this moment loses its fence first.
        target.take_over(&engine.name, "down").await?;
    }
    remove_connectors(rest, &spec).await?;
    if let Some(brokers) = brokers {
        brokers.delete_topics(&spec.topics).await?;
    }
    let lineage = &state.checkpoint.lineage;
    remove_from_source(&source, &lineage.slot, &lineage.publication, &spec).await?;
    if let Some(leaving) = &spec.leaving {
        remove_from_source(&source, &leaving.slot, &leaving.publication, &spec).await?;
    }
    source.close().await;
    for heartbeat in &spec.heartbeats {
        target.drop_table(&heartbeat.target).await?;
    }
    // Behind the slot: a pipeline without one does not go on by mistake.
    for table in state.tables.iter().filter(|_| rows == Rows::Go) {
        match table.table_is_ours {
            true => target.drop_table(&table.target).await?,
            false => target.empty_named(&table.target).await?,
        }
    }
    spec.secrets.remove()?;
    target.remove_pipeline(&engine.name).await?;
    if !others {
        target.remove_state_schema().await?;
    }
    Ok(DownReport { done: true, ..report })
}

/// The brokers that are given, or stored.
///
/// # Errors
/// `KAFKA_BOOTSTRAP` for stored addresses that cannot be read, `KAFKA_TLS` for certificates that cannot be used.
pub(crate) fn brokers(config: &ConnectConfig, spec: &Spec) -> Result<Option<KafkaAdmin>, ConnectError> {
    let bootstrap = match (&config.bootstrap, &spec.bootstrap) {
        (Some(bootstrap), _) => bootstrap.clone(),
        (None, Some(text)) => Bootstrap::parse(text)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(KafkaAdmin::new(bootstrap, &config.security)?))
}

/// Refuses a source that is not the one that slot and publication were made at.
fn refuse_other_source(
    state: &PipelineState,
    found: &segcdc_postgres::SourceIdentity,
) -> Result<(), ConnectError> {
    let lineage = &state.checkpoint.lineage;
    if lineage.system_identifier == found.system_identifier && lineage.database_oid == found.database_oid {
        return Ok(());
    }
    Err(segcdc_engine_native::EngineError::SourceIdentityMismatch {
        what: "system identifier and database OID",
        expected: format!("{} and {}", lineage.system_identifier, lineage.database_oid),
        found: format!("{} and {}", found.system_identifier, found.database_oid),
    }
    .into())
}

/// Stops all connectors, then removes them with their progress. The source first: what it has written is then no more.
///
/// # Errors
/// `CONNECTOR_STATE`; when the worker cannot be asked.
pub(crate) async fn remove_connectors(rest: &Rest, spec: &Spec) -> Result<(), ConnectError> {
    let connectors: Vec<&String> =
        [&spec.source_connector].into_iter().chain(&spec.sink_connectors).collect();
    let mut there = Vec::with_capacity(connectors.len());
    for connector in connectors {
        if rest.config(connector).await?.is_some() {
            rest.stop(connector).await?;
            there.push(connector);
        }
    }
    for connector in &there {
        reach(rest, connector, ConnectorWord::Stopped).await?;
    }
    for connector in there {
        forget(rest, connector).await?;
        rest.delete(connector).await?;
    }
    Ok(())
}

/// Has a connector forget its progress. A worker says that it stopped a moment before its tasks have, and refuses then.
async fn forget(rest: &Rest, connector: &str) -> Result<(), ConnectError> {
    let started = Instant::now();
    loop {
        match rest.delete_offsets(connector).await {
            Ok(()) => return Ok(()),
            Err(error @ ConnectError::Answer { status: 400 | 500, .. }) => {
                if started.elapsed() > rest.patience(SLOT_PATIENCE) {
                    return Err(error);
                }
                tracing::debug!(connector, error = %error, "its progress cannot be removed yet");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Slot, publication and heartbeat tables.
///
/// # Errors
/// The source's.
pub(crate) async fn remove_from_source(
    source: &Session,
    slot_name: &str,
    publication_name: &str,
    spec: &Spec,
) -> Result<(), ConnectError> {
    let started = Instant::now();
    while let Some(pid) = slot::inspect(source, slot_name).await?.and_then(|slot| slot.active_pid) {
        if started.elapsed() > SLOT_PATIENCE {
            // The reader is a task of ours that does not exist any more.
            source.query_text(&format!("SELECT pg_terminate_backend({pid})")).await?;
            sleep(PAUSE).await;
            break;
        }
        sleep(PAUSE).await;
    }
    slot::drop(source, slot_name).await?;
    publication::drop(source, publication_name).await?;
    for sql in heartbeat::drop_sql(&spec.heartbeats)? {
        source.query_text(&sql).await?;
    }
    source.query_text(heartbeat::DROP_EMPTY_SCHEMA).await?;
    Ok(())
}

/// What goes and what stays. Pure.
fn plan(
    state: &PipelineState,
    spec: &Spec,
    has_brokers: bool,
    others: bool,
) -> Result<DownReport, ConnectError> {
    let thing = |what: String, side, sql: String| Thing { what, side, sql };
    let mut removed = Vec::new();
    let mut left = Vec::new();
    let source = (&spec.source_connector, Side::Source);
    for (connector, side) in
        [source].into_iter().chain(spec.sink_connectors.iter().map(|sink| (sink, Side::Target)))
    {
        let call = format!("DELETE {}/connectors/{connector}", spec.connect_url);
        removed.push(thing(format!("connector {connector} with its offsets"), side, call));
    }
    for sink in &spec.sink_connectors {
        let call = format!("DELETE {}/connectors/{sink}/offsets", spec.connect_url);
        removed.push(thing(format!("consumer group connect-{sink}"), Side::Source, call));
    }
    for topic in &spec.topics {
        let command =
            format!("kafka-topics.sh --bootstrap-server HOST:9092 --delete --if-exists --topic {topic}");
        let list = if has_brokers { &mut removed } else { &mut left };
        list.push(thing(format!("topic {topic}"), Side::Source, command));
    }
    let lineage = &state.checkpoint.lineage;
    let leaving = spec.leaving.as_ref().map(|leaving| (&leaving.slot, &leaving.publication));
    for (slot, publication) in [(&lineage.slot, &lineage.publication)].into_iter().chain(leaving) {
        let sql = format!("SELECT pg_drop_replication_slot({})", quote::literal(slot)?);
        removed.push(thing(format!("slot \"{slot}\""), Side::Source, sql));
        let sql = format!("DROP PUBLICATION {}", quote::identifier(publication)?);
        removed.push(thing(format!("publication \"{publication}\""), Side::Source, sql));
    }
    for (heartbeat, sql) in spec.heartbeats.iter().zip(heartbeat::drop_sql(&spec.heartbeats)?) {
        removed.push(thing(format!("table {}", heartbeat.source), Side::Source, sql));
        let sql = sql::create_table::drop_table(&heartbeat.target);
        removed.push(thing(format!("table {}", heartbeat.target), Side::Target, sql));
    }
    if let Secrets::File { path } = &spec.secrets {
        let command = format!("rm {}", path.display());
        removed.push(thing(format!("file {} with the passwords", path.display()), Side::Source, command));
    }
    let pipeline = &state.checkpoint.pipeline;
    let what = format!("state of pipeline \"{pipeline}\"");
    removed.push(thing(what, Side::Target, sql::state::remove(pipeline)));
    if !others {
        let sql = format!("{}; {}", sql::state::DROP_TABLES.join("; "), sql::state::DROP_SCHEMA);
        removed.push(thing("schema \"segcdc\"".to_owned(), Side::Target, sql));
    }
    for table in &state.tables {
        let made = if table.table_is_ours { "made by the pipeline" } else { "was there before" };
        let sql = sql::create_table::drop_table(&table.target);
        left.push(thing(format!("table {} ({made})", table.target), Side::Target, sql));
    }
    Ok(DownReport { pipeline: pipeline.clone(), done: false, removed, left })
}
