//! The native engine as the control plane runs it: the same checks and the same run as `segcdc up`.

use std::sync::Arc;
use std::time::Duration;

use segcdc_control::engine::{Ended, Job, Seen, Watch};
use segcdc_control::report::ErrorReport;
use segcdc_engine_native::{
    Activity, EngineConfig, Outcome, Progress, ProgressSnapshot, preflight, run as run_engine,
};
use segcdc_model::TablePhase;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::servers::Servers;
use super::trouble::{report, report_of};
use crate::commands::up::refuse_failures;

/// Time between two looks at a run.
const LOOK: Duration = Duration::from_millis(300);

/// Time between two looks at where the hosts are: names move when a database fails over.
const MOVED: Duration = Duration::from_secs(30);

/// Pauses before a server that could not be reached is tried again.
const PAUSES: [u64; 5] = [1, 2, 5, 10, 30];

/// Runs a pipeline until it is done, told to stop, or a person is needed.
pub(super) async fn run(
    servers: Servers,
    job: Job,
    watch: Arc<Watch>,
    stop: CancellationToken,
) -> Result<Ended, ErrorReport> {
    let mut attempt = 0;
    while !stop.is_cancelled() {
        let error = match Box::pin(attempt_run(&servers, &job, &watch, &stop)).await {
            // A host that has moved is no end.
            Ok(None) => continue,
            Ok(Some(ended)) => return Ok(ended),
            Err(error) => error,
        };
        if !error.may_pass {
            return Err(error);
        }
        let seconds = PAUSES.get(attempt).or(PAUSES.last()).copied().unwrap_or(30);
        attempt += 1;
        tracing::warn!(pipeline = %job.name, code = %error.code, error = %error.sentence(), seconds, "a pipeline waits");
        let waits = json!({"state": "WAITING", "attempt": attempt, "pause_ms": seconds * 1000});
        let progress = json!({"pipeline": job.name, "activity": waits, "last_retry": error});
        watch.show(Seen { progress, ..Seen::default() });
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(Ended::Stopped)
}

/// Checks both servers and runs the engine; `None` when it is to begin anew because a host has moved.
async fn attempt_run(
    servers: &Servers,
    job: &Job,
    watch: &Watch,
    stop: &CancellationToken,
) -> Result<Option<Ended>, ErrorReport> {
    let config = servers.pipeline(job).await?;
    tokio::select! {
        checked = check(&config) => checked?,
        () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
    }
    let progress = Arc::new(Progress::new(config.name.clone()));
    let token = stop.child_token();
    // A task of its own, so that what it does is not slowed down by who looks at it.
    let mut engine = tokio::spawn(Box::pin(run_engine(config.clone(), Arc::clone(&progress), token.clone())));
    let _cut = AbortOnDrop(engine.abort_handle());
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut moves = interval_at(Instant::now() + MOVED, MOVED);
    let mut has_moved = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut engine => break outcome,
            _ = looks.tick() => watch.show(seen(&progress.snapshot())),
            _ = moves.tick(), if !has_moved => {
                has_moved = is_elsewhere(servers, job, &config).await;
                if has_moved {
                    tracing::info!(pipeline = %job.name, "a host has moved; the pipeline connects anew");
                    token.cancel();
                }
            }
        }
    };
    watch.show(seen(&progress.snapshot()));
    match outcome {
        Ok(Ok(Outcome::Stopped { .. })) if has_moved && !stop.is_cancelled() => Ok(None),
        Ok(Ok(Outcome::Stopped { .. })) => Ok(Some(Ended::Stopped)),
        Ok(Ok(Outcome::CaughtUp { .. } | Outcome::Copied { .. })) => Ok(Some(Ended::Done)),
        Ok(Err(error)) => Err(ErrorReport { may_pass: false, ..report(&error) }),
        Err(_panic) => Err(report(&segcdc_control::ControlError::TaskBroken)),
    }
}

/// What `segcdc up` checks before it begins.
async fn check(config: &EngineConfig) -> Result<(), ErrorReport> {
    let checked = Box::pin(preflight(config)).await.map_err(|error| report(&error))?;
    refuse_failures(&checked.findings).map_err(|error| report_of(&error))
}

/// Whether the addresses that are connected to are not those of the hosts any more. A name that cannot be looked up now says
/// nothing.
async fn is_elsewhere(servers: &Servers, job: &Job, config: &EngineConfig) -> bool {
    let Ok(now) = servers.pipeline(job).await else { return false };
    let same_source = config.source.hosts.iter().all(|host| now.source.hosts.contains(host));
    !same_source || now.target.host != config.target.host
}

/// A run as the control plane sees it.
fn seen(snapshot: &ProgressSnapshot) -> Seen {
    let quarantined = snapshot.tables.iter().filter(|table| table.phase == TablePhase::Quarantined).count();
    Seen {
        progress: serde_json::to_value(snapshot).unwrap_or_default(),
        is_up: snapshot.activity == Activity::Running && !snapshot.tables.is_empty(),
        quarantined,
    }
}

/// Ends a task when whoever began it is gone.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
