//! [`run`]: looks after a pipeline that was deployed, until it is stopped or has caught up.

use std::time::Duration;

use segcdc_engine_native::{EngineError, heartbeat_row};
use segcdc_model::{Disposition, Fault, Lsn};
use segcdc_postgres::session;
use segcdc_sqlserver::{Target, WritePath};
use tokio::time::{Instant, sleep};

use crate::begin::begin;
use crate::config::{ConnectConfig, Spec};
use crate::error::ConnectError;
use crate::look_after::Caretaker;
use crate::property::Role;
use crate::rest::{ConnectorWord, Rest};
use crate::stall;
use crate::status::{ConnectorReport, connectors};

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Pause between two looks at the heartbeat rows while somebody waits for them.
const EAGER_PERIOD: Duration = Duration::from_millis(300);

/// Pause between two looks at the slot while nothing arrives.
const PAUSE_OF_QUESTIONS: Duration = Duration::from_secs(60);

/// How long the worker may be gone before that ends the run; connectors run on without us.
const WORKER_PATIENCE: Duration = Duration::from_secs(300);

/// What is seen in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The connectors.
    pub connectors: Vec<ConnectorReport>,
    /// Up to where the target has everything; `None` before the first heartbeat.
    pub applied_lsn: Option<Lsn>,
    /// Connectors that were started again.
    pub restarted: Vec<String>,
    /// The worker could not be asked.
    pub worker_is_gone: bool,
    /// How long no heartbeat has arrived, if that is too long and all connectors say that they run.
    pub stalled_for: Option<Duration>,
}

/// When the newest heartbeat has arrived.
struct Newest {
    lsn: Option<Lsn>,
    at: Instant,
    /// How long none may arrive.
    limit: Duration,
    /// When it was last asked why none arrives.
    asked: Option<Instant>,
}

/// Looks after the connectors until everything that had committed when it was called is in the target, or for ever.
/// Dropping the future ends it; the connectors run on.
///
/// # Errors
/// `CONNECTOR_TASK_FAILED`; `SLOT_LOST` and `SLOT_MISSING` when nothing arrives any more; what keeps the worker from being
/// asked for more than five minutes.
pub async fn run(
    config: &ConnectConfig,
    rest: &Rest,
    spec: &Spec,
    until_caught_up: bool,
    on_round: &mut (dyn FnMut(&Round) + Send),
) -> Result<Lsn, ConnectError> {
    let goal = match until_caught_up {
        true => {
            let source = session::connect(&config.engine.source).await?;
            let goal = heartbeat_row::write(&source, &spec.heartbeats).await?;
            source.close().await;
            Some(goal)
        }
        false => None,
    };
    // A worker that is gone is noticed here, and shown.
    let rest = &rest.at_once();
    let mut caretaker = Caretaker::new();
    let mut target: Option<Target> = None;
    let mut waiting: Option<Vec<String>> = None;
    let started = Instant::now();
    let mut seen = Instant::now();
    let mut next_look = Duration::ZERO;
    let mut round = Round {
        connectors: Vec::new(),
        applied_lsn: None,
        restarted: Vec::new(),
        worker_is_gone: false,
        stalled_for: None,
    };
    let mut newest = Newest { lsn: None, at: Instant::now(), limit: stall::limit(None), asked: None };
    if let Ok(properties) = rest.config(&spec.source_connector).await {
        newest.limit = stall::limit(properties.as_ref());
    }
    loop {
        if started.elapsed() >= next_look {
            round.restarted.clear();
            match look(rest, spec, &mut caretaker, &mut waiting, started.elapsed()).await {
                Ok((connectors, restarted)) => {
                    seen = Instant::now();
                    round = Round { connectors, restarted, worker_is_gone: false, ..round };
                }
                Err(error) if error.disposition() == Disposition::Retry => {
                    tracing::warn!(code = error.code(), error = %segcdc_model::fault::chain(&error), "the worker cannot be asked");
                    round.worker_is_gone = true;
                    if seen.elapsed() > WORKER_PATIENCE {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            round.applied_lsn = applied(config, spec, &mut target).await;
            round.stalled_for = newest.stalled_for(&round, spec);
            on_round(&round);
            newest.explain(config, &round).await?;
            next_look = started.elapsed() + PERIOD;
        } else if goal.is_some() {
            round.applied_lsn = applied(config, spec, &mut target).await;
        }
        if let (Some(goal), Some(applied)) = (goal, round.applied_lsn)
            && applied >= goal
        {
            return Ok(applied);
        }
        sleep(if goal.is_some() { EAGER_PERIOD } else { PERIOD }).await;
    }
}

// === impl Newest ===

impl Newest {
    /// How long no heartbeat has arrived, if that is too long.
    fn stalled_for(&mut self, round: &Round, spec: &Spec) -> Option<Duration> {
        // Before the first there may be much to copy.
        let waits = round.applied_lsn.is_none() && spec.debezium_copies();
        let all_run = round.connectors.iter().all(|connector| connector.word == Some(ConnectorWord::Running));
        if round.applied_lsn != self.lsn || waits || !all_run {
            (self.lsn, self.at) = (round.applied_lsn, Instant::now());
        }
        Some(self.at.elapsed()).filter(|elapsed| *elapsed > self.limit)
    }

    /// Looks now and then whether the slot is why none arrives: Debezium waits for half an hour for one that was invalidated,
    /// without a word.
    ///
    /// # Errors
    /// `SLOT_LOST`, `SLOT_MISSING`.
    async fn explain(&mut self, config: &ConnectConfig, round: &Round) -> Result<(), ConnectError> {
        if round.stalled_for.is_none() || self.asked.is_some_and(|asked| asked.elapsed() < PAUSE_OF_QUESTIONS)
        {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        let Ok(slot) = segcdc_engine_native::slot(&config.engine).await else { return Ok(()) };
        if !slot.exists {
            return Err(EngineError::SlotMissing { slot: slot.name }.into());
        }
        match slot.lost() {
            Some(reason) => {
                Err(EngineError::SlotLost { reason: reason.to_owned(), slot: slot.name.clone() }.into())
            }
            None => Ok(()),
        }
    }
}

/// The sinks that wait for their topic: the set-up has let all others run.
fn stopped_sinks(connectors: &[ConnectorReport]) -> Vec<String> {
    let stopped = connectors
        .iter()
        .filter(|connector| connector.role == Role::Sink && connector.word == Some(ConnectorWord::Stopped));
    stopped.map(|connector| connector.name.clone()).collect()
}

/// Lets those begin whose topic is there now.
async fn begin_waiting(rest: &Rest, spec: &Spec, waiting: &mut Vec<String>) -> Result<(), ConnectError> {
    if waiting.is_empty() {
        return Ok(());
    }
    for sink in waiting.clone() {
        if begin(rest, spec, &sink).await? {
            waiting.retain(|other| *other != sink);
        }
    }
    Ok(())
}

/// Asks for the connectors, and starts again what has failed.
async fn look(
    rest: &Rest,
    spec: &Spec,
    caretaker: &mut Caretaker,
    waiting: &mut Option<Vec<String>>,
    elapsed: Duration,
) -> Result<(Vec<ConnectorReport>, Vec<String>), ConnectError> {
    let mut reports = connectors(rest, spec).await?;
    if reports.iter().any(|report| report.word.is_none()) {
        // A worker that is being started says this of all; it answers the other question when it knows its connectors.
        rest.config(&spec.source_connector).await?;
        reports = connectors(rest, spec).await?;
    }
    let waiting = waiting.get_or_insert_with(|| stopped_sinks(&reports));
    begin_waiting(rest, spec, waiting).await?;
    let restarts = caretaker.restarts(&reports, elapsed)?;
    for connector in &restarts {
        tracing::warn!(connector, "a task failed and is started again");
        rest.restart_failed(connector).await?;
    }
    Ok((reports, restarts))
}

/// What has arrived. A target that cannot be asked is asked again in the next round: the sinks have their own say.
async fn applied(config: &ConnectConfig, spec: &Spec, target: &mut Option<Target>) -> Option<Lsn> {
    if target.as_ref().is_none_or(|target| !target.is_usable()) {
        *target = Target::connect_with(&config.engine.target, WritePath::Insert).await.ok();
    }
    let arrived = heartbeat_row::read(target.as_mut()?, &spec.heartbeats).await;
    match arrived {
        Ok(arrived) => arrived.map(|arrived| arrived.lsn),
        Err(error) => {
            tracing::warn!(error = %error, "the target cannot be asked how far it is");
            *target = None;
            None
        }
    }
}
