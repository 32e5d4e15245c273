//! [`status`]: where a pipeline on Kafka Connect stands, as the worker and the two servers tell. Disturbs nothing.
//!
//! A worker says RUNNING of a connector whose tasks have all failed, and of a task that cannot reach its database. So a
//! connector counts as failed when one of its tasks is, and what has arrived is judged by the heartbeat rows.

use std::time::Duration;

use segcdc_engine_native::heartbeat_row::{self, Arrived};
use segcdc_engine_native::{EngineError, Health, PipelineStateWord, SlotReport, StatusNote, TableReport};
use segcdc_model::{Fault, Lsn, TablePhase};
use segcdc_postgres::{catalog, publication, session};
use segcdc_sqlserver::{PipelineState, Target};
use serde::Serialize;

use crate::config::{ConnectConfig, Spec};
use crate::error::ConnectError;
use crate::offset;
use crate::property::Role;
use crate::remove::brokers;
use crate::rest::{ConnectorStatus, ConnectorWord, Rest};
use crate::stall::{self, Beats};
use crate::trace::{self, Cause};

/// Where a pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectStatus {
    /// The pipeline.
    pub pipeline: String,
    /// `kafka-connect`.
    pub engine: &'static str,
    /// Whether it runs.
    pub state: PipelineStateWord,
    /// Whether a person should look.
    pub health: Health,
    /// The worker.
    pub connect_url: String,
    /// The connectors, the source first.
    pub connectors: Vec<ConnectorReport>,
    /// How far the source has written; `None` when it cannot be asked.
    pub source_lsn: Option<Lsn>,
    /// Up to where Kafka has the changes, as the source connector stored it: up to a minute old.
    pub stored_lsn: Option<Lsn>,
    /// Up to where the target has them, by the heartbeat rows; `None` before the first has arrived, while tables are
    /// copied.
    pub applied_lsn: Option<Lsn>,
    /// WAL between source and target, bytes.
    pub lag_bytes: Option<u64>,
    /// Age of the heartbeat that has arrived, milliseconds by the source's clock. Up to five seconds are nothing but the
    /// time between two of them.
    pub lag_ms: Option<u64>,
    /// The slot; `None` when the source cannot be asked.
    pub slot: Option<SlotReport>,
    /// The tables, ordered by source name.
    pub tables: Vec<TableReport>,
    /// What a person should know, worst first.
    pub notes: Vec<StatusNote>,
}

/// Where one connector stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorReport {
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its state; FAILED when one of its tasks is; `None` when there is no such connector.
    pub word: Option<ConnectorWord>,
    /// Tasks that run, and tasks in all.
    pub tasks: (usize, usize),
    /// Why it failed.
    pub cause: Option<Cause>,
    /// Of a sink: messages of its topic that it has not written yet, marks of Kafka's transactions among them; `None` when
    /// the brokers cannot be asked.
    pub lag_messages: Option<u64>,
}

/// What the servers say, before anything is concluded from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) source_lsn: Option<Lsn>,
    pub(crate) stored_lsn: Option<Lsn>,
    pub(crate) applied_lsn: Option<Lsn>,
    pub(crate) beats: Beats,
    pub(crate) slot: Option<SlotReport>,
    /// The publication, if it is gone.
    pub(crate) lost_publication: Option<String>,
    /// A connector that says that it runs and does nothing, and why.
    pub(crate) trouble: Option<(String, Cause)>,
}

// === impl Seen ===

impl Seen {
    /// Whether the slot is there and nobody reads it.
    fn is_unread(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.exists && slot.active_pid.is_none())
    }
}

/// Where a pipeline stands.
///
/// # Errors
/// `STATE_MISSING`, `ENGINE_MISMATCH`, and what keeps the target or the worker from being asked. A source that cannot be
/// asked is a note.
pub async fn status(config: &ConnectConfig, rest: &Rest) -> Result<ConnectStatus, ConnectError> {
    let mut target = Target::connect_to_look(&config.engine.target).await?;
    let pipeline = &config.engine.name;
    let state = target.known_state(pipeline).await?;
    let spec = Spec::of(&state)?;
    // First: a worker that is being started answers it when it knows its connectors; of their states it says before that
    // there are none.
    let properties = rest.config(&spec.source_connector).await?;
    let mut connectors = connectors(rest, &spec).await?;
    let offsets = match rest.offsets(&spec.source_connector).await {
        Ok(offsets) => offsets,
        // No such connector: said below.
        Err(ConnectError::Answer { status: 404, .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    // A row that has arrived before the copy was over would be none: it is left out of the copy.
    let arrived = heartbeat_row::read(&mut target, &spec.heartbeats).await?.filter(|row| row.lsn > Lsn::ZERO);
    let mut notes = Vec::new();
    if let Err(error) = measure_sinks(config, rest, &spec, &mut connectors).await {
        notes.push(note(&error));
    }
    let mut seen = match look_at_source(config, &state, &spec, arrived).await {
        Ok(seen) => seen,
        Err(error) => {
            notes.push(note(&error));
            Seen::default()
        }
    };
    seen.stored_lsn = offset::source_position(&offsets, &spec.topic_prefix);
    seen.applied_lsn = arrived.map(|arrived| arrived.lsn);
    seen.beats.limit = stall::limit(properties.as_ref());
    if arrived.is_none() && !spec.needs_load() && !spec.debezium_copies() {
        // None has ever arrived, and nothing is copied that it waits for.
        seen.beats.arrived = micros(state.read_at_us - state.updated_at_us);
    }
    let idle = |report: &&ConnectorReport| {
        report.word == Some(ConnectorWord::Running)
            && (report.tasks.1 == 0 || report.role == Role::Source && seen.is_unread())
    };
    if let Some(idle) = connectors.iter().find(idle) {
        seen.trouble = trouble(rest, &idle.name).await.map(|cause| (idle.name.clone(), cause));
    }
    Ok(report(&state, &spec, connectors, seen, notes))
}

/// Why a connector cannot do its work, by the worker's word.
///
/// One that cannot log in when it starts tries again for ever and says RUNNING, without a trace; of one whose passwords
/// cannot be read the worker makes no task, and says nothing either. But it reads them and logs in when it validates the
/// configuration, and answers what it was told.
pub async fn trouble(rest: &Rest, connector: &str) -> Option<Cause> {
    let mut properties = rest.config(connector).await.ok()??;
    let class = properties.get("connector.class")?.clone();
    properties.insert("name".to_owned(), connector.to_owned());
    let said: Vec<String> = match rest.validate(&class, &properties).await {
        Ok(found) => found.errors.into_iter().map(|error| error.message).collect(),
        Err(ConnectError::Answer { message, .. }) => vec![message],
        Err(_) => Vec::new(),
    };
    said.iter().map(|text| trace::cause(text)).find(|cause| cause.code != trace::UNKNOWN)
}

/// How far the sinks are behind, if there are brokers that can be asked.
async fn measure_sinks(
    config: &ConnectConfig,
    rest: &Rest,
    spec: &Spec,
    reports: &mut [ConnectorReport],
) -> Result<(), ConnectError> {
    let Some(brokers) = brokers(config, spec)? else { return Ok(()) };
    // Sinks and their topics have the same order.
    let topics = spec.topics.get(..spec.sink_connectors.len()).unwrap_or_default();
    let ends = brokers.ends(topics).await?;
    for ((sink, topic), end) in spec.sink_connectors.iter().zip(topics).zip(ends) {
        let Some(report) = reports.iter_mut().find(|report| report.name == *sink && report.word.is_some())
        else {
            continue;
        };
        let written = offset::sink_position(&rest.offsets(sink).await?, topic).unwrap_or(0);
        report.lag_messages = end.map(|end| end.saturating_sub(written));
    }
    Ok(())
}

/// What the worker says of all connectors, the source first.
pub(crate) async fn connectors(rest: &Rest, spec: &Spec) -> Result<Vec<ConnectorReport>, ConnectError> {
    let source = (&spec.source_connector, Role::Source);
    let sinks = spec.sink_connectors.iter().map(|sink| (sink, Role::Sink));
    let mut reports = Vec::new();
    for (name, role) in [source].into_iter().chain(sinks) {
        reports.push(connector(name, role, rest.status(name).await?.as_ref()));
    }
    Ok(reports)
}

/// What one connector's state comes to.
pub(crate) fn connector(name: &str, role: Role, status: Option<&ConnectorStatus>) -> ConnectorReport {
    let mut report = ConnectorReport {
        name: name.to_owned(),
        role,
        word: None,
        tasks: (0, 0),
        cause: None,
        lag_messages: None,
    };
    let Some(status) = status else { return report };
    let failed = status.tasks.iter().find(|task| task.state == ConnectorWord::Failed);
    let trace = failed.map(|task| task.trace.as_deref()).or_else(|| {
        (status.connector.state == ConnectorWord::Failed).then_some(status.connector.trace.as_deref())
    });
    report.cause = trace.map(|trace| trace::cause(trace.unwrap_or_default()));
    report.word = Some(if report.cause.is_some() { ConnectorWord::Failed } else { status.connector.state });
    let running = status.tasks.iter().filter(|task| task.state == ConnectorWord::Running).count();
    report.tasks = (running, status.tasks.len());
    report
}

/// How far the source is, by its clock how old the heartbeats are, the slot, and whether the publication is there.
async fn look_at_source(
    config: &ConnectConfig,
    state: &PipelineState,
    spec: &Spec,
    arrived: Option<Arrived>,
) -> Result<Seen, ConnectError> {
    let publication = &state.checkpoint.lineage.publication;
    let slot = segcdc_engine_native::slot(&config.engine).await?;
    let source = session::connect(&config.engine.source).await?;
    let found = publication::inspect(&source, publication).await?;
    let source_lsn = catalog::current_lsn(&source).await?;
    // Where somebody has dropped the tables none is written.
    let written_us = heartbeat_row::written_us(&source, &spec.heartbeats).await.ok().flatten();
    let now_us = heartbeat_row::now_us(&source).await?;
    source.close().await;
    Ok(Seen {
        source_lsn: Some(source_lsn),
        slot: Some(slot),
        lost_publication: found.is_none().then(|| publication.clone()),
        beats: Beats {
            arrived: arrived.and_then(|arrived| micros(now_us - arrived.at_us)),
            written: written_us.and_then(|written_us| micros(now_us - written_us)),
            ..Beats::default()
        },
        ..Seen::default()
    })
}

/// A number of microseconds; `None` for one below zero.
fn micros(number: i64) -> Option<Duration> {
    u64::try_from(number).ok().map(Duration::from_micros)
}

/// Names connectors that are missing or have failed.
fn note_connectors(connectors: &[ConnectorReport], notes: &mut Vec<StatusNote>) {
    for report in connectors {
        match (report.word, &report.cause) {
            (None, _) => {
                let detail = format!("the worker has no connector {}", report.name);
                notes.push(named(
                    "CONNECTOR_MISSING",
                    detail,
                    "run `segcdc up` again, which makes what is missing",
                ));
            }
            (_, Some(cause)) => {
                let detail = format!("connector {} failed: {}", report.name, cause.detail);
                notes.push(named(cause.code, detail, cause.advice));
            }
            (Some(_), None) => {}
        }
    }
}

/// Names a connector that says that it runs, and does nothing; whether there is one.
fn note_idle(word: PipelineStateWord, seen: &Seen, notes: &mut Vec<StatusNote>) -> bool {
    let unread = word == PipelineStateWord::Running && seen.is_unread() && seen.applied_lsn.is_some();
    if let Some((connector, cause)) = &seen.trouble {
        let detail = format!("connector {connector} says that it runs, and does nothing: {}", cause.detail);
        notes.push(named(cause.code, detail, cause.advice));
    } else if unread {
        let detail =
            "the source connector says that it runs, and nothing reads the slot: it may try again and again";
        let hint =
            "look at the worker's log; after a password was changed, `segcdc up` starts the connector again";
        notes.push(named("CONNECT_SOURCE_NOT_READING", detail.to_owned(), hint));
    }
    unread || seen.trouble.is_some()
}

/// What it all comes to. Pure.
pub(crate) fn report(
    state: &PipelineState,
    spec: &Spec,
    connectors: Vec<ConnectorReport>,
    seen: Seen,
    mut notes: Vec<StatusNote>,
) -> ConnectStatus {
    // While it is set up, what is not there yet is not lost.
    let set_up = state.checkpoint.applied_lsn > Lsn::ZERO && !spec.needs_load();
    let slot_lost = seen.slot.as_ref().is_some_and(|slot| !slot.exists && set_up || slot.lost().is_some());
    if slot_lost {
        let lost = seen.slot.as_ref().and_then(|slot| Some((slot.name.clone(), slot.lost()?.to_owned())));
        let what = match lost {
            Some((slot, reason)) => EngineError::SlotLost { slot, reason }.to_string(),
            None => "the slot is gone".to_owned(),
        };
        let detail = format!("{what}; what was committed behind it is lost to the pipeline");
        let hint =
            "remove the pipeline with `segcdc down --drop`, empty the target's tables, and make it anew";
        notes.insert(0, named("SLOT_LOST", detail, hint));
    }
    // PostgreSQL 18 sends nothing then, and says so in its own log only.
    if let Some(publication) = seen.lost_publication.as_ref().filter(|_| set_up) {
        let error = EngineError::PublicationMissing { publication: publication.clone() };
        notes.insert(0, named(error.code(), error.to_string(), &error.hint()));
    }
    if spec.needs_load() {
        let detail = "the tables are being copied, or that was interrupted; connectors come after it";
        notes.push(named("FULL_LOAD", detail.to_owned(), "`segcdc up` goes on with what was interrupted"));
    } else if !set_up {
        let detail = "the pipeline is being set up, or that was interrupted";
        notes.push(named("SET_UP", detail.to_owned(), "`segcdc up` goes on with what was interrupted"));
    }
    if spec.leaving.is_some() {
        let detail = "the pipeline is being handed to the native engine, or that was interrupted";
        let hint = "`segcdc migrate --engine native` goes on with what was interrupted";
        notes.push(named("MIGRATION_UNFINISHED", detail.to_owned(), hint));
    }
    if set_up {
        note_connectors(&connectors, &mut notes);
    }
    let word = match set_up {
        false => PipelineStateWord::Starting,
        true => state_word(&connectors, slot_lost || seen.lost_publication.is_some()),
    };
    let idle = note_idle(word, &seen, &mut notes);
    let stalled = word == PipelineStateWord::Running && seen.beats.have_stopped();
    if stalled {
        notes.push(seen.beats.note());
    }
    let word = stall::settle(word, seen.applied_lsn.is_some(), idle, stalled);
    let health = match word {
        PipelineStateWord::Failed => Health::Error,
        PipelineStateWord::Degraded | PipelineStateWord::Paused | PipelineStateWord::Stopped => Health::Warn,
        PipelineStateWord::Running | PipelineStateWord::Starting if seen.source_lsn.is_none() => {
            Health::Unknown
        }
        PipelineStateWord::Running | PipelineStateWord::Starting => Health::Ok,
    };
    let copied = seen.applied_lsn.is_some();
    ConnectStatus {
        pipeline: state.checkpoint.pipeline.clone(),
        engine: "kafka-connect",
        state: word,
        health,
        connect_url: spec.connect_url.clone(),
        connectors,
        source_lsn: seen.source_lsn,
        stored_lsn: seen.stored_lsn,
        applied_lsn: seen.applied_lsn,
        lag_bytes: seen.source_lsn.zip(seen.applied_lsn).map(|(source, applied)| source.bytes_since(applied)),
        lag_ms: seen.applied_lsn.and(seen.beats.arrived).and_then(|age| u64::try_from(age.as_millis()).ok()),
        slot: seen.slot,
        tables: state
            .tables
            .iter()
            .map(|table| table_report(table, copied || !spec.debezium_copies()))
            .collect(),
        notes,
    }
}

/// One word for all connectors.
fn state_word(connectors: &[ConnectorReport], is_lost: bool) -> PipelineStateWord {
    let has = |word| connectors.iter().any(|report| report.word == Some(word));
    let all = |word| connectors.iter().all(|report| report.word == Some(word));
    if is_lost || has(ConnectorWord::Failed) || connectors.iter().any(|report| report.word.is_none()) {
        PipelineStateWord::Failed
    } else if all(ConnectorWord::Running) {
        let busy = connectors.iter().all(|report| report.tasks.0 > 0 && report.tasks.0 == report.tasks.1);
        if busy { PipelineStateWord::Running } else { PipelineStateWord::Starting }
    } else if all(ConnectorWord::Paused) {
        PipelineStateWord::Paused
    } else if connectors
        .iter()
        .all(|report| matches!(report.word, Some(ConnectorWord::Stopped | ConnectorWord::Paused)))
    {
        PipelineStateWord::Stopped
    } else if has(ConnectorWord::Stopped) || has(ConnectorWord::Paused) {
        PipelineStateWord::Degraded
    } else {
        PipelineStateWord::Starting
    }
}

fn table_report(table: &segcdc_sqlserver::TableState, copied: bool) -> TableReport {
    TableReport {
        source: table.source.clone(),
        target: table.target.clone(),
        phase: if copied { table.phase } else { TablePhase::Copying },
        rows_copied: table.rows_copied,
        estimated_rows: table.estimated_rows,
        sync_lsn: table.sync_lsn,
        error: None,
        set_aside: 0,
        policy_uses: Vec::new(),
    }
}

fn named(code: &str, detail: String, hint: &str) -> StatusNote {
    StatusNote { code: code.to_owned(), detail, hint: hint.to_owned() }
}

fn note(error: &ConnectError) -> StatusNote {
    named(error.code(), segcdc_model::fault::chain(error), &error.hint())
}

#[cfg(test)]
mod tests;
