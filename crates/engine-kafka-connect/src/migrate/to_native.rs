//! [`to_native`]: from connectors to the native engine.
//!
//! ```text
//! state: what will be made                 names, so that `segcdc down` finds all of it
//! publication, slot                        the native engine's own; the slot keeps the WAL from before the cut
//! cut at P                                 the connectors' publication loses its tables ([`cut`]); P into the state
//! drain                                    a heartbeat from behind P has arrived in every group
//! connectors, topics, their slot and publication, heartbeat tables: removed
//! state: native, begins at P               one statement
//! ```
//!
//! What committed at or below P is in Kafka as a whole before any heartbeat from behind P, and what committed above is not
//! in it at all, however often messages are sent again. The native engine's slot is older than P, and its first
//! transaction is the first one above P.

use std::time::Duration;

use segcdc_engine_native::{EngineKind, names};
use segcdc_model::{Lineage, Lsn, QualifiedName, TablePhase};
use segcdc_postgres::{Replication, publication, session, slot};
use segcdc_sqlserver::{PipelineState, Target};
use tokio::time::{Instant, sleep};

use crate::config::{ConnectConfig, Leaving, Spec};
use crate::deploy::create_slot;
use crate::error::ConnectError;
use crate::migrate::cut::cut;
use crate::migrate::{MigrationStep, load, refuse};
use crate::remove::{brokers, remove_connectors, remove_from_source};
use crate::rest::{ConnectorWord, Rest};
use crate::run::run;
use crate::status::{ConnectorReport, connectors};

/// How long connectors that were just told to run may take to do so.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at them.
const PAUSE: Duration = Duration::from_millis(500);

/// A hand-over to the native engine that is planned and can be carried out.
#[derive(Debug, Clone)]
pub struct ToNative {
    /// It is the native engine's already: nothing is left to do.
    pub is_done: bool,
    /// What was made, or will be, and how far it is.
    pub leaving: Leaving,
    /// What will be done, in order.
    pub steps: Vec<MigrationStep>,
    /// Topics that have to be deleted by hand, because no broker is known.
    pub topics_left: Vec<String>,
}

/// Plans the hand-over. Changes nothing.
///
/// # Errors
/// `MIGRATE_REFUSED` with what stands in the way; when a server or the worker cannot be asked.
pub async fn plan_to_native(config: &ConnectConfig, rest: &Rest) -> Result<ToNative, ConnectError> {
    let mut target = Target::connect(&config.engine.target).await?;
    let (engine, state) = load(config, &mut target).await?;
    let lineage = &state.checkpoint.lineage;
    let name = &config.engine.name;
    let new = || Leaving {
        slot: names::next_slot(name, &lineage.slot),
        publication: names::next_publication(name, &lineage.publication),
        cut: None,
        drained: false,
    };
    if engine == EngineKind::Native {
        return Ok(ToNative { is_done: true, leaving: new(), steps: Vec::new(), topics_left: Vec::new() });
    }
    let spec = Spec::of(&state)?;
    let begun = spec.leaving.is_some();
    if !begun {
        let reports = connectors(rest, &spec).await?;
        refuse(config, EngineKind::Native, &reasons(&state, &spec, &reports))?;
    }
    let leaving = spec.leaving.clone().unwrap_or_else(new);
    let steps = steps(&lineage.publication, begun, &leaving);
    let topics_left = if brokers(config, &spec)?.is_some() { Vec::new() } else { spec.topics };
    Ok(ToNative { is_done: false, leaving, steps, topics_left })
}

/// What is left to do. Pure.
fn steps(publication: &str, begun: bool, leaving: &Leaving) -> Vec<MigrationStep> {
    let mut steps = Vec::new();
    if !begun {
        steps.push(MigrationStep::Announce);
    }
    if leaving.cut.is_none() {
        steps.extend([
            MigrationStep::CreatePublication { publication: leaving.publication.clone() },
            MigrationStep::CreateSlot { slot: leaving.slot.clone() },
            MigrationStep::Cut { publication: publication.to_owned() },
        ]);
    }
    if !leaving.drained {
        steps.push(MigrationStep::Drain);
    }
    steps.extend([MigrationStep::RemoveConnectors, MigrationStep::HandToNative]);
    steps
}

/// What stands in the way. Pure.
fn reasons(state: &PipelineState, spec: &Spec, reports: &[ConnectorReport]) -> Vec<String> {
    if spec.needs_load() || state.checkpoint.applied_lsn == Lsn::ZERO {
        return vec![
            "it is not completely set up: `segcdc up --engine kafka-connect` goes on with it".to_owned(),
        ];
    }
    let mut reasons = connector_reasons(reports);
    for table in state.tables.iter().filter(|table| table.phase != TablePhase::Streaming) {
        reasons.push(format!("table {} is not followed", table.source));
    }
    reasons
}

/// Which connectors do not carry what is in Kafka.
fn connector_reasons(reports: &[ConnectorReport]) -> Vec<String> {
    let mut reasons = Vec::new();
    for report in reports {
        // One that is about to begin is waited for.
        let runs = matches!(
            report.word,
            Some(ConnectorWord::Running | ConnectorWord::Restarting | ConnectorWord::Unassigned)
        );
        if !runs {
            let word = report.word.map_or("not there", ConnectorWord::as_str);
            reasons.push(format!(
                "connector {} is {word}, and what is in Kafka has to arrive: see `segcdc status`, and run `segcdc up`",
                report.name
            ));
        }
    }
    reasons
}

/// Hands the pipeline over. `on_step` hears of each step before it is taken. Returns where the native engine begins.
///
/// # Errors
/// What a server or the worker refuses; `MIGRATE_TABLES_BUSY`; `CONNECTOR_TASK_FAILED` when what is in Kafka does not
/// arrive. Whatever it was interrupted behind, the same call goes on.
pub async fn to_native(
    config: &ConnectConfig,
    rest: &Rest,
    plan: &ToNative,
    on_step: &mut (dyn FnMut(&MigrationStep) + Send),
) -> Result<Lsn, ConnectError> {
    let mut target = Target::connect(&config.engine.target).await?;
    // From here on another call like this one ends as FENCED.
    let checkpoint = target.take_over(&config.engine.name, "migrate").await?;
    let (_, state) = load(config, &mut target).await?;
    let spec = Spec { leaving: Some(plan.leaving.clone()), ..Spec::of(&state)? };
    let mut departure = Departure { config, rest, target, state, spec };
    departure.state.checkpoint = checkpoint;
    for step in &plan.steps {
        on_step(step);
        tracing::info!(%step, "handing the pipeline over");
        departure.take(step).await?;
    }
    departure.cut_at()
}

/// A hand-over in progress.
struct Departure<'a> {
    config: &'a ConnectConfig,
    rest: &'a Rest,
    target: Target,
    state: PipelineState,
    /// As it is stored, or about to be.
    spec: Spec,
}

// === impl Departure ===

impl Departure<'_> {
    async fn take(&mut self, step: &MigrationStep) -> Result<(), ConnectError> {
        match step {
            MigrationStep::Announce => self.store().await,
            MigrationStep::CreatePublication { publication } => self.create_publication(publication).await,
            MigrationStep::CreateSlot { slot } => self.create_slot(slot).await,
            MigrationStep::Cut { publication } => self.cut(publication).await,
            MigrationStep::Drain => self.drain().await,
            MigrationStep::RemoveConnectors => self.remove().await,
            MigrationStep::HandToNative => self.hand_over().await,
            // Steps of the other way.
            MigrationStep::ValidateConnectors
            | MigrationStep::TakeOver
            | MigrationStep::WaitForSlot { .. }
            | MigrationStep::HandToConnect
            | MigrationStep::SetUp { .. } => Ok(()),
        }
    }

    /// Stores how far it is.
    async fn store(&mut self) -> Result<(), ConnectError> {
        Ok(self.target.set_spec(&self.state.checkpoint, &self.spec.to_json()).await?)
    }

    fn leaving(&self) -> Result<&Leaving, ConnectError> {
        let pipeline = || self.config.engine.name.clone();
        self.spec.leaving.as_ref().ok_or_else(|| ConnectError::SpecUnreadable { pipeline: pipeline() })
    }

    fn cut_at(&self) -> Result<Lsn, ConnectError> {
        let pipeline = || self.config.engine.name.clone();
        self.leaving()?.cut.ok_or_else(|| ConnectError::SpecUnreadable { pipeline: pipeline() })
    }

    fn tables(&self) -> Vec<QualifiedName> {
        self.state.tables.iter().map(|table| table.source.clone()).collect()
    }

    async fn create_publication(&self, name: &str) -> Result<(), ConnectError> {
        let source = session::connect(&self.config.engine.source).await?;
        if publication::inspect(&source, name).await?.is_none() {
            publication::create(&source, name, &self.tables()).await?;
        }
        source.close().await;
        Ok(())
    }

    async fn create_slot(&self, name: &str) -> Result<(), ConnectError> {
        let source = session::connect(&self.config.engine.source).await?;
        let found = slot::inspect(&source, name).await?;
        // One whose making was interrupted has no position, and never gets one.
        let is_whole = found.as_ref().is_some_and(|slot| slot.confirmed_flush_lsn.is_some());
        if !is_whole {
            slot::drop(&source, name).await?;
            create_slot(self.config, name).await?;
        }
        source.close().await;
        Ok(())
    }

    async fn cut(&mut self, publication: &str) -> Result<(), ConnectError> {
        let engine = &self.config.engine;
        let successor = self.leaving()?.slot.clone();
        let at = cut(&engine.source, &engine.name, publication, &self.tables(), &successor).await?;
        tracing::info!(%at, "the connectors carry nothing behind this position");
        if let Some(leaving) = &mut self.spec.leaving {
            leaving.cut = Some(at);
        }
        self.store().await
    }

    /// Waits until a heartbeat from behind the cut has arrived in each group.
    async fn drain(&mut self) -> Result<(), ConnectError> {
        self.start_connectors().await?;
        Box::pin(run(self.config, self.rest, &self.spec, true, &mut |_| {})).await?;
        if let Some(leaving) = &mut self.spec.leaving {
            leaving.drained = true;
        }
        self.store().await
    }

    /// Lets connectors run that somebody has paused or stopped meanwhile.
    async fn start_connectors(&self) -> Result<(), ConnectError> {
        let started = Instant::now();
        loop {
            let reports = connectors(self.rest, &self.spec).await?;
            let idle: Vec<&ConnectorReport> = reports
                .iter()
                .filter(|report| matches!(report.word, Some(ConnectorWord::Paused | ConnectorWord::Stopped)))
                .collect();
            if idle.is_empty() || started.elapsed() > START_PATIENCE {
                return Ok(());
            }
            for report in idle {
                self.rest.resume(&report.name).await?;
            }
            sleep(PAUSE).await;
        }
    }

    /// Everything that only the connectors needed.
    async fn remove(&mut self) -> Result<(), ConnectError> {
        remove_connectors(self.rest, &self.spec).await?;
        if let Some(brokers) = brokers(self.config, &self.spec)? {
            brokers.delete_topics(&self.spec.topics).await?;
        }
        let source = session::connect(&self.config.engine.source).await?;
        let lineage = &self.state.checkpoint.lineage;
        remove_from_source(&source, &lineage.slot, &lineage.publication, &self.spec).await?;
        source.close().await;
        for heartbeat in &self.spec.heartbeats {
            self.target.drop_table(&heartbeat.target).await?;
        }
        self.spec.secrets.remove()
    }

    async fn hand_over(&mut self) -> Result<(), ConnectError> {
        let (leaving, at) = (self.leaving()?.clone(), self.cut_at()?);
        let source = session::connect(&self.config.engine.source).await?;
        let found = publication::inspect(&source, &leaving.publication).await?;
        let missing = || segcdc_engine_native::EngineError::PublicationMissing {
            publication: leaving.publication.clone(),
        };
        let publication_oid = found.ok_or_else(missing)?.oid;
        source.close().await;
        // An ordinary session would name the timeline of the last checkpoint, which is the old one for a while after a
        // promotion.
        let mut replication = Replication::connect(&self.config.engine.source).await?;
        let timeline = replication.identify_system().await?.timeline;
        replication.close().await;
        let Leaving { slot, publication, .. } = leaving;
        let before = self.state.checkpoint.lineage.clone();
        let lineage = Lineage { timeline, slot, publication, publication_oid, ..before };
        self.target.hand_over(&self.state.checkpoint, &lineage, at, "").await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(cut: Option<u64>, drained: bool) -> Leaving {
        let (slot, publication) = ("s2".to_owned(), "p2".to_owned());
        Leaving { slot, publication, cut: cut.map(Lsn::new), drained }
    }

    #[test]
    fn connectors_that_do_not_run_stand_in_the_way() {
        let report = |word, done| ConnectorReport {
            name: "c".to_owned(),
            role: crate::property::Role::Sink,
            word,
            tasks: (done, 1),
            cause: None,
            lag_messages: None,
        };
        let stands = |report| !connector_reasons(&[report]).is_empty();
        assert!(!stands(report(Some(ConnectorWord::Running), 1)));
        assert!(!stands(report(Some(ConnectorWord::Running), 0)));
        assert!(stands(report(Some(ConnectorWord::Failed), 0)));
        assert!(stands(report(Some(ConnectorWord::Paused), 0)));
        assert!(stands(report(None, 0)));
    }

    #[test]
    fn an_interrupted_hand_over_goes_on_where_it_was() {
        let words = |begun, leaving: &Leaving| -> Vec<String> {
            steps("p", begun, leaving).iter().map(ToString::to_string).collect()
        };
        insta::assert_snapshot!("to_native", words(false, &leaving(None, false)).join("\n"));
        let count = |begun, leaving: &Leaving| words(begun, leaving).len();
        assert_eq!(count(false, &leaving(None, false)), 7);
        assert_eq!(count(true, &leaving(None, false)), 6);
        assert_eq!(count(true, &leaving(Some(5), false)), 3);
        assert_eq!(count(true, &leaving(Some(5), true)), 2);
    }
}
