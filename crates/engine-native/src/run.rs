//! [`run`]: the life of one pipeline.

use std::sync::Arc;
use std::time::Duration;

use segcdc_model::fault::chain;
use segcdc_model::{Disposition, Fault, Lsn, Phase, TablePhase};
use segcdc_plan::TablePlan;
use segcdc_postgres::{catalog, publication, session, slot};
use segcdc_sqlserver::Target;
use tokio_util::sync::CancellationToken;

use crate::apply_loop::{Follow, paused, table_set};
use crate::config::{EngineConfig, SnapshotMode};
use crate::context::{Context, Memory, needs_copy};
use crate::error::EngineError;
use crate::give_up;
use crate::progress::{Activity, Progress, RetryNote};
use crate::provision::decide::{SetupAction, SetupFacts, decide, slot_and_publication};
use crate::provision::{self, Provisioned};
use crate::retry::Pauses;
use crate::rules_in_force;
use crate::slot_view::SlotView;
use crate::slot_watch;
use crate::startup;
use crate::table_sync::{CopyEnd, Live, Reading, copy_tables};
use crate::wish;

/// How long a run may take to end: what following needs for its last batch and its last words, and a second.
const END: Duration = Duration::from_secs(9);

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is applied that had committed when the run began (`until_caught_up`), or all tables are as of the
    /// checkpoint (`until_loaded`).
    CaughtUp {
        /// What the target's checkpoint holds.
        applied_lsn: Lsn,
    },
    /// All tables are copied, and nothing else was asked for ([`crate::SnapshotMode::Only`]).
    Copied {
        /// The position as of which the last of them were copied.
        snapshot_lsn: Lsn,
    },
    /// The token was cancelled. The slot is free, and the next run goes on from the checkpoint.
    Stopped {
        /// What the target's checkpoint holds.
        applied_lsn: Lsn,
    },
}

/// Runs a pipeline until it is done, the token is cancelled, or a person is needed: sets it up when the target does
/// not know it, and goes on from its checkpoint when it does.
///
/// A cancelled token ends the run within ten seconds. What may pass by itself is waited out inside
/// ([`crate::config::RetryPolicy`]) and shown in `progress`.
///
/// # Errors
/// What a person has to act on; its code, hint and SQL are those of [`segcdc_model::Fault`]. An error with the code
/// `FENCED` means that another process runs the pipeline now: it must not be started again.
pub async fn run(
    config: EngineConfig,
    progress: Arc<Progress>,
    shutdown: CancellationToken,
) -> Result<Outcome, EngineError> {
    let slot_view = Arc::new(SlotView::default());
    let context = Context { config: Arc::new(config), progress, shutdown, owner: owner(), slot_view };
    let outcome = match provision::check_name(&context.config.name) {
        Ok(()) => supervise(&context).await,
        Err(error) => Err(error),
    };
    context.progress.update(|snapshot| snapshot.activity = Activity::Stopped);
    outcome
}

/// Runs until an attempt ends for good, or the slot keeps more WAL than it may.
async fn supervise(context: &Context) -> Result<Outcome, EngineError> {
    let mut memory = Memory::default();
    let reached = tokio::select! {
        outcome = Box::pin(attempts(context, &mut memory)) => return outcome,
        reached = Box::pin(slot_watch::watch(context)) => reached,
    };
    Err(give_up::give_up(context, &mut memory, reached).await)
}

/// Attempts until one ends for good.
async fn attempts(context: &Context, memory: &mut Memory) -> Result<Outcome, EngineError> {
    let mut pauses = Pauses::new(context.config.retry);
    loop {
        memory.advanced = false;
        context.progress.update(|snapshot| snapshot.activity = Activity::Starting);
        let error = match bounded_attempt(context, memory).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        if error.disposition() != Disposition::Retry {
            return Err(error);
        }
        if context.shutdown.is_cancelled() {
            return Ok(Outcome::Stopped { applied_lsn: memory.seen });
        }
        if memory.advanced {
            pauses = Pauses::new(context.config.retry);
        }
        let Some(pause) = pauses.next() else {
            return Err(EngineError::GaveUp { attempts: pauses.taken(), last: Box::new(error) });
        };
        let text = chain(&error);
        tracing::warn!(code = error.code(), error = %text, attempt = pauses.taken(), "trying again");
        context.progress.update(|snapshot| {
            snapshot.retries += 1;
            let (code, hint) = (error.code().to_owned(), error.hint());
            snapshot.last_retry = Some(RetryNote { code, message: text, hint });
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            snapshot.activity = Activity::Waiting { attempt: pauses.taken(), pause_ms };
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.shutdown.cancelled() => return Ok(Outcome::Stopped { applied_lsn: memory.seen }),
        }
    }
}

/// One attempt, which ends in time when the run is to end. Copying and following end by themselves, in order; what
/// hangs on a server that does not answer is cut off, and its sessions with it.
async fn bounded_attempt(context: &Context, memory: &mut Memory) -> Result<Outcome, EngineError> {
    let patience = async {
        context.shutdown.cancelled().await;
        tokio::time::sleep(END).await;
    };
    let seen = memory.seen;
    tokio::select! {
        outcome = Box::pin(attempt(context, memory)) => outcome,
        () = patience => {
            tracing::warn!("a server does not answer; the run ends without it");
            Ok(Outcome::Stopped { applied_lsn: seen })
        }
    }
}

/// From two new connections to the end, or to the next trouble.
async fn attempt(context: &Context, memory: &mut Memory) -> Result<Outcome, EngineError> {
    let shutdown = &context.shutdown;
    let prepared = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(Outcome::Stopped { applied_lsn: memory.seen }),
        prepared = prepare(context, memory) => prepared?,
    };
    let Prepared { context, source, mut target, mut provisioned } = prepared;
    let context = &context;
    let config = &context.config;
    context.slot_view.follow(&memory.checkpoint()?.lineage);
    context
        .progress
        .update(|snapshot| (snapshot.activity, snapshot.phase) = (Activity::Running, Phase::CatchUp));
    let tables = &mut provisioned.tables;
    if tables.iter().any(|(_, state)| needs_copy(state)) && config.snapshot == SnapshotMode::None {
        let applied = memory.checkpoint()?.applied_lsn;
        let asked = wish::copies(&mut target, &config.name).await?;
        provision::make_live(context, memory, &mut target, (tables, applied), &asked).await?;
    }
    if tables.iter().any(|(_, state)| needs_copy(state)) && !can_be_beside(config, tables) {
        context.progress.update(|snapshot| snapshot.phase = Phase::Snapshot);
        let snapshot = match provisioned.snapshot.take() {
            Some(snapshot) => snapshot,
            None => tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(Outcome::Stopped { applied_lsn: memory.seen }),
                snapshot = provision::export_temporary(context) => snapshot?,
            },
        };
        let finished = count_finished(tables);
        let checkpoint = memory.checkpoint()?.clone();
        let servers = (&source, &mut target);
        let end =
            copy_tables(context, &checkpoint, servers, tables, Reading::of(&snapshot), Live::AtOnce).await;
        memory.advanced |= count_finished(tables) > finished;
        let snapshot_lsn = snapshot.lsn();
        snapshot.close().await;
        match (end?, config.snapshot) {
            (CopyEnd::Stopped, _) => return Ok(Outcome::Stopped { applied_lsn: memory.seen }),
            (CopyEnd::Finished, SnapshotMode::Only) => return Ok(Outcome::Copied { snapshot_lsn }),
            (CopyEnd::Finished, SnapshotMode::Initial | SnapshotMode::None) => {}
        }
    }
    if config.snapshot == SnapshotMode::Only {
        return Ok(Outcome::Copied { snapshot_lsn: memory.checkpoint()?.applied_lsn });
    }
    if config.until_loaded {
        let applied = memory.checkpoint()?.applied_lsn;
        let goal = tables.iter().map(|(_, state)| state.sync_lsn).max().unwrap_or_default();
        if applied >= goal {
            return Ok(Outcome::CaughtUp { applied_lsn: applied });
        }
        memory.goal = Some(goal);
    }
    let unfinished = tables.iter().filter(|(_, state)| needs_copy(state)).cloned().collect();
    let (paused, tables) = (paused(tables), table_set(tables));
    let target = &mut target;
    Box::pin(Follow { context, memory, source: &source, target, tables, unfinished, paused }.run()).await
}

/// Whether tables that are to be copied are copied while the others are followed: if there are others.
fn can_be_beside(config: &EngineConfig, tables: &[(Arc<TablePlan>, segcdc_sqlserver::TableState)]) -> bool {
    let follows = config.snapshot != SnapshotMode::Only && !config.until_loaded;
    follows
        && tables.iter().any(|(_, state)| matches!(state.phase, TablePhase::Streaming | TablePhase::Paused))
}

/// A pipeline that is set up and ours, and the sessions in which it is so.
struct Prepared {
    /// With the rules that count.
    context: Context,
    source: segcdc_postgres::Session,
    target: Target,
    provisioned: Provisioned,
}

/// Connects, looks, decides, and sets the pipeline up or goes on with it.
async fn prepare(context: &Context, memory: &mut Memory) -> Result<Prepared, EngineError> {
    let config = &context.config;
    let source = session::connect(&config.source).await?;
    if config.until_caught_up && memory.goal.is_none() {
        memory.goal = Some(catalog::current_lsn(&source).await?);
    }
    let mut target = Target::connect(&config.target).await?;
    let state = target.load_state(&config.name).await?;
    let rules = rules_in_force::with_rules(config, state.as_ref())?;
    let context = &Context { config: Arc::new(rules), ..context.clone() };
    let config = &context.config;
    let (slot_name, publication_name) = slot_and_publication(config, state.as_ref());
    let (slot, publication) = if slot_name.is_empty() {
        (None, None)
    } else {
        (slot::inspect(&source, &slot_name).await?, publication::inspect(&source, &publication_name).await?)
    };
    let facts = SetupFacts { state: state.as_ref(), slot: slot.as_ref(), publication: publication.as_ref() };
    let mut provisioned = match (decide(config, facts)?, state) {
        (SetupAction::Resume, Some(state)) => {
            startup::resume(context, memory, &source, &mut target, state).await?
        }
        (SetupAction::BeginAnew { slot }, Some(state)) => {
            memory.claim(&mut target, context).await?;
            target.ensure_schema_changes().await?;
            provision::begin_anew(context, memory, (&source, &mut target), &state, slot).await?
        }
        (SetupAction::Create | SetupAction::Resume | SetupAction::BeginAnew { .. }, _) => {
            provision::create(context, memory, &source, &mut target).await?
        }
    };
    if let Some(most) = target.write_path().most_large_bytes() {
        for (plan, _) in &mut provisioned.tables {
            Arc::make_mut(plan).bound_large(Some(most));
        }
    }
    Ok(Prepared { context: context.clone(), source, target, provisioned })
}

/// Tables that need no copy any more.
fn count_finished(tables: &[(Arc<TablePlan>, segcdc_sqlserver::TableState)]) -> usize {
    tables.iter().filter(|(_, state)| !needs_copy(state)).count()
}

/// What the state calls this process: host, process id, and a word that is new at each start.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown",
        host => host,
    };
    let token = uuid::Uuid::new_v4().as_fields().0;
    format!("{host}/{}/{token:08x}", std::process::id())
}
