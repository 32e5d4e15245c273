//! [`steer`]: has the connectors of a pipeline wait, go on, end their tasks, or start again.
//!
//! ```text
//! pause    RUNNING ----> PAUSED     tasks stay where they are, and hold slot and consumer group
//! stop     RUNNING ----> STOPPED    tasks end, and let go of both; progress can be removed
//! resume   PAUSED, STOPPED ----> RUNNING
//! restart  RUNNING, FAILED ----> RUNNING, by new tasks
//! ```
//!
//! The source ends before the sinks and begins after them, so that what is in Kafka flows off.

use std::time::Duration;

use segcdc_sqlserver::Target;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::config::{ConnectConfig, Spec};
use crate::error::ConnectError;
use crate::property::Role;
use crate::reach::{PAUSE, reach};
use crate::rest::{ConnectorWord, Rest};
use crate::status::{ConnectorReport, connectors};

/// How long new tasks may take until all of them run.
const TASKS_PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done with the connectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Have the tasks wait.
    Pause,
    /// Let them go on.
    Resume,
    /// End them.
    Stop,
    /// End them and start new ones.
    Restart {
        /// Only those that have failed.
        only_failed: bool,
    },
}

/// What became of the connectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SteerReport {
    /// The pipeline.
    pub pipeline: String,
    /// The connectors, in the order in which they were told.
    pub connectors: Vec<Steered>,
}

/// What became of one connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steered {
    /// Its name.
    pub name: String,
    /// Its state before.
    pub was: ConnectorWord,
    /// Its state after.
    pub is: ConnectorWord,
    /// Whether it was told anything.
    pub told: bool,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    connector: String,
    was: ConnectorWord,
    /// Whether it is made; a connector that is as it should be is left alone.
    made: bool,
}

/// Tells the connectors, and waits until they have done it.
///
/// # Errors
/// `STATE_MISSING`, `ENGINE_MISMATCH`, `CONNECTOR_MISSING`; `CONNECTOR_STATE` when one does not get there; what keeps the
/// target or the worker from being asked. Can be repeated after any error.
pub async fn steer(config: &ConnectConfig, rest: &Rest, order: Order) -> Result<SteerReport, ConnectError> {
    let pipeline = &config.engine.name;
    let mut target = Target::connect(&config.engine.target).await?;
    let state = target.known_state(pipeline).await?;
    let calls = calls(&connectors(rest, &Spec::of(&state)?).await?, order)?;
    for call in calls.iter().filter(|call| call.made) {
        let connector = &call.connector;
        tracing::info!(connector, ?order, "telling a connector");
        match order {
            Order::Pause => rest.pause(connector).await?,
            Order::Resume => rest.resume(connector).await?,
            Order::Stop => rest.stop(connector).await?,
            Order::Restart { only_failed: true } => rest.restart_failed(connector).await?,
            Order::Restart { only_failed: false } => rest.restart(connector).await?,
        }
        if order == Order::Resume {
            reach(rest, connector, ConnectorWord::Running).await?;
        }
    }
    let mut reached = Vec::with_capacity(calls.len());
    for call in calls {
        let is = match (call.made, order) {
            (false, _) => call.was,
            (true, Order::Pause) => settled(rest, &call.connector, ConnectorWord::Paused).await?,
            (true, Order::Stop) => settled(rest, &call.connector, ConnectorWord::Stopped).await?,
            (true, Order::Resume | Order::Restart { .. }) => all_tasks_run(rest, &call.connector).await?,
        };
        reached.push(Steered { name: call.connector, was: call.was, is, told: call.made });
    }
    Ok(SteerReport { pipeline: pipeline.clone(), connectors: reached })
}

async fn settled(rest: &Rest, connector: &str, word: ConnectorWord) -> Result<ConnectorWord, ConnectError> {
    reach(rest, connector, word).await?;
    Ok(word)
}

/// Waits until a connector and all its tasks run, or one of them has failed.
async fn all_tasks_run(rest: &Rest, connector: &str) -> Result<ConnectorWord, ConnectError> {
    let started = Instant::now();
    loop {
        // The role does not matter here.
        let found = rest.status(connector).await?;
        let report = crate::status::connector(connector, Role::Sink, found.as_ref());
        match report.word {
            Some(ConnectorWord::Failed) => return Ok(ConnectorWord::Failed),
            Some(ConnectorWord::Running) if report.tasks.1 > 0 && report.tasks.0 == report.tasks.1 => {
                return Ok(ConnectorWord::Running);
            }
            found if started.elapsed() > TASKS_PATIENCE => {
                return Err(ConnectError::ConnectorState {
                    connector: connector.to_owned(),
                    wanted: "RUNNING with all tasks",
                    found: found.map_or("not known to the worker", ConnectorWord::as_str).to_owned(),
                    after_s: started.elapsed().as_secs(),
                });
            }
            _ => sleep(PAUSE).await,
        }
    }
}

/// The calls, in order. Pure.
///
/// # Errors
/// `CONNECTOR_MISSING` for one that the worker does not have.
fn calls(found: &[ConnectorReport], order: Order) -> Result<Vec<Call>, ConnectError> {
    let mut calls = Vec::with_capacity(found.len());
    for report in found {
        let missing = || ConnectError::ConnectorMissing { connector: report.name.clone() };
        let was = report.word.ok_or_else(missing)?;
        let made = match order {
            // One that is stopped does less than one that waits.
            Order::Pause => !matches!(was, ConnectorWord::Paused | ConnectorWord::Stopped),
            Order::Resume => matches!(was, ConnectorWord::Paused | ConnectorWord::Stopped),
            Order::Stop => was != ConnectorWord::Stopped,
            Order::Restart { only_failed: true } => was == ConnectorWord::Failed,
            Order::Restart { only_failed: false } => {
                !matches!(was, ConnectorWord::Paused | ConnectorWord::Stopped)
            }
        };
        calls.push(Call { connector: report.name.clone(), was, made });
    }
    // Found with the source first.
    if matches!(order, Order::Resume | Order::Restart { .. }) {
        calls.reverse();
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Fault;

    fn found(words: [Option<ConnectorWord>; 2]) -> Vec<ConnectorReport> {
        let report = |(name, role): (&str, Role), word| ConnectorReport {
            name: name.to_owned(),
            role,
            word,
            tasks: (1, 1),
            cause: None,
            lag_messages: None,
        };
        [("source", Role::Source), ("sink", Role::Sink)]
            .into_iter()
            .zip(words)
            .map(|(connector, word)| report(connector, word))
            .collect()
    }

    #[test]
    fn the_source_ends_first_and_begins_last_and_what_is_right_is_left_alone() {
        use ConnectorWord::{Failed, Paused, Running, Stopped};
        let told = |order, words: [ConnectorWord; 2]| -> Vec<String> {
            let calls = calls(&found(words.map(Some)), order).unwrap();
            calls.into_iter().filter(|call| call.made).map(|call| call.connector).collect()
        };
        let (all, failed) = (Order::Restart { only_failed: false }, Order::Restart { only_failed: true });
        assert_eq!(told(Order::Pause, [Running, Running]), ["source", "sink"]);
        assert_eq!(told(Order::Pause, [Stopped, Failed]), ["sink"]);
        assert_eq!(told(Order::Stop, [Paused, Stopped]), ["source"]);
        assert_eq!(told(Order::Stop, [Failed, Running]), ["source", "sink"]);
        assert_eq!(told(Order::Resume, [Stopped, Paused]), ["sink", "source"]);
        // A failed one is started again by a restart, and not by going on.
        assert_eq!(told(Order::Resume, [Failed, Running]), [""; 0]);
        assert_eq!(told(all, [Running, Failed]), ["sink", "source"]);
        assert_eq!(told(all, [Paused, Stopped]), [""; 0]);
        assert_eq!(told(failed, [Running, Failed]), ["sink"]);
    }

    #[test]
    fn a_connector_that_is_gone_is_named() {
        let error = calls(&found([Some(ConnectorWord::Running), None]), Order::Stop).unwrap_err();
        assert_eq!(error.code(), "CONNECTOR_MISSING");
        assert!(error.to_string().contains("sink"), "{error}");
    }
}
