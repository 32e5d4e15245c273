//! [`live`]: the life of one pipeline, from process to process, until everything is in the target.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use segcdc_model::fault::chain;
use segcdc_model::{Checkpoint, Disposition, Fault};
use segcdc_plan::BatchLimits;
use segcdc_postgres::{FieldForm, Publication, SlotState, SourceConfig, SourceIdentity};
use segcdc_sqlserver::TargetConfig;
use tokio_util::sync::CancellationToken;

use super::source::{SimSource, SimStream};
use super::target::SimTarget;
use super::world::{Database, Shared, TROUBLES, Trouble, World};
use crate::apply_loop::intake::Intake;
use crate::apply_loop::resume::Resume;
use crate::apply_loop::skips::Skips;
use crate::apply_loop::timeline::TimelineGuard;
use crate::apply_loop::{Loop, begin_at};
use crate::config::{EngineConfig, LargeTransactions};
use crate::context::{Context, Memory};
use crate::error::EngineError;
use crate::examine::Examiner;
use crate::ports::Ports;
use crate::progress::Progress;
use crate::run::Outcome;
use crate::slot_view::SlotView;
use crate::source_clock::SourceClock;
use crate::startup::decide::{ResumeFacts, SourceHistory, decide};

/// The servers of a simulation.
pub(super) struct Simulated;

impl Ports for Simulated {
    type Source = SimSource;
    type Stream = SimStream;
    type Target = SimTarget;
}

/// What a life has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Trouble by kind.
    pub(super) troubles: [u64; TROUBLES],
    /// Processes.
    pub(super) processes: u64,
    /// Attempts of processes.
    pub(super) attempts: u64,
    /// Commits of the target.
    pub(super) commits: u64,
    /// Transactions that came again and were left out.
    pub(super) skipped: u64,
    /// Transactions of which the first changes were applied already.
    pub(super) resumed: u64,
    /// Lives that ended because the source could not give what the target lacked.
    pub(super) halted: u64,
}

/// A life that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    /// What it has seen, or what must never happen and did.
    pub(super) end: Result<Tally, String>,
    /// What has happened, if that was to be kept.
    pub(super) told: String,
}

// === impl Tally ===

impl Tally {
    /// Adds those of another life.
    pub(super) fn add(&mut self, other: &Tally) {
        for (sum, count) in self.troubles.iter_mut().zip(other.troubles) {
            *sum += count;
        }
        self.processes += other.processes;
        self.attempts += other.attempts;
        self.commits += other.commits;
        self.skipped += other.skipped;
        self.resumed += other.resumed;
        self.halted += other.halted;
    }
}

/// How an attempt ended.
enum End {
    Died,
    Ended(Result<Outcome, EngineError>),
}

/// Attempts with trouble, at most.
const TROUBLED: u64 = 8;

/// Attempts without, at most: the first may find that the pipeline is another process's.
const CALM: u64 = 3;

/// Longer than any life, on its own clock.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Lives the life of a seed. With `is_told`, what happens is kept for people.
pub(super) async fn live(seed: u64, is_told: bool) -> Life {
    let world: Shared = Rc::new(RefCell::new(World::new(seed, is_told)));
    let mut tally = Tally::default();
    let lived = tokio::time::timeout(PATIENCE, processes(&world, &mut tally)).await;
    let world = world.borrow();
    let end = match (&world.violation, lived) {
        (Some(violation), _) => Err(violation.clone()),
        (None, Ok(Err(what))) => Err(what),
        (None, Err(_)) => Err("nothing happens any more".to_owned()),
        (None, Ok(Ok(()))) => Ok(Tally { troubles: world.troubles, commits: world.commits, ..tally }),
    };
    Life { end, told: world.told() }
}

/// One process after the other.
async fn processes(world: &Shared, tally: &mut Tally) -> Result<(), String> {
    let context = context(&mut world.borrow_mut());
    let troubled = world.borrow_mut().chance.below(TROUBLED + 1);
    let mut memory = Memory::default();
    tally.processes = 1;
    for attempt in 0..troubled + CALM {
        tally.attempts += 1;
        let is_calm = attempt >= troubled;
        if !is_calm && attempt > 0 {
            between(world);
        }
        world.borrow_mut().begin(is_calm);
        let before = world.borrow().database.clone();
        let has_gap = has_gap(world);
        let end = attempt_once(world, &context, &mut memory, tally).await;
        if world.borrow().violation.is_some() {
            return Ok(());
        }
        let goes_on = match end {
            End::Died => false,
            End::Ended(Ok(_)) => {
                caught_up(world)?;
                if is_calm {
                    return Ok(());
                }
                false
            }
            End::Ended(Err(error)) => {
                world.borrow_mut().tell(|| format!("ended: {} {}", error.code(), chain(&error)));
                match error.code() {
                    "TARGET_REWOUND" | "SLOT_AHEAD_OF_CHECKPOINT" if has_gap => {
                        tally.halted += 1;
                        return unwritten(world, &before);
                    }
                    "FENCED" if world.borrow().may_be_fenced => false,
                    _ if error.disposition() == Disposition::Retry => true,
                    _ => return Err(format!("the process ended: {} {}", error.code(), chain(&error))),
                }
            }
        };
        if has_gap && world.borrow().database.checkpoint.batch_seq != before.checkpoint.batch_seq {
            return Err("it went on although the source has let go of what the target lacks".to_owned());
        }
        if !goes_on {
            memory = Memory::default();
            world.borrow_mut().may_be_fenced = false;
            tally.processes += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("it does not catch up though nothing goes wrong any more".to_owned())
}

/// What may happen while no process is connected.
fn between(world: &Shared) {
    let mut world = world.borrow_mut();
    if !world.backups.is_empty() && world.happens(Trouble::TargetRestored, 12) {
        let count = world.backups.len();
        let place = world.chance.place(count);
        world.database = world.backups.swap_remove(place);
        world.backups.clear();
        // Whoever had it then has it again, and so has nobody: a process that lives knows a later epoch.
        let applied = world.database.checkpoint.applied_lsn;
        world.tell(|| format!("the target is that of {applied}"));
    }
    if world.happens(Trouble::SlotMadeAgain, 60) {
        world.confirmed = world.history.end;
        world.confirmed_on_disk = world.history.end;
    }
}

/// Whether the source has let go of something that the target lacks.
fn has_gap(world: &Shared) -> bool {
    let world = world.borrow();
    world.confirmed > world.database.checkpoint.applied_lsn
}

/// Nothing was written, but that the pipeline was taken over perhaps.
fn unwritten(world: &Shared, before: &Database) -> Result<(), String> {
    let after = &world.borrow().database;
    let checkpoint = Checkpoint { epoch: after.checkpoint.epoch, ..before.checkpoint.clone() };
    if after.checkpoint == checkpoint && after.tables.tables == before.tables.tables {
        return Ok(());
    }
    Err("it was written although the source has let go of what the target lacks".to_owned())
}

/// Everything is in the target.
fn caught_up(world: &Shared) -> Result<(), String> {
    let world = world.borrow();
    let (applied, end) = (world.database.checkpoint.applied_lsn, world.history.end);
    if applied < end {
        return Err(format!("it says that it has caught up, and is at {applied} of {end}"));
    }
    Ok(())
}

/// One attempt of a process, until it ends or dies.
async fn attempt_once(world: &Shared, context: &Context, memory: &mut Memory, tally: &mut Tally) -> End {
    let death = Arc::clone(&world.borrow().death);
    tokio::select! {
        biased;
        end = follow(world, context, memory, tally) => End::Ended(end),
        () = death.notified() => End::Died,
    }
}

/// What [`crate::apply_loop::Follow::run`] does, with what [`crate::startup`] does before it.
async fn follow(
    world: &Shared,
    context: &Context,
    memory: &mut Memory,
    tally: &mut Tally,
) -> Result<Outcome, EngineError> {
    memory.goal.get_or_insert(world.borrow().history.end);
    let (source, mut target) = (SimSource::connect(world), SimTarget::connect(world));
    let looked = world.borrow().database.checkpoint.clone();
    look(world, memory, &looked)?;
    memory.claim(&mut target, context).await?;
    let checkpoint = memory.checkpoint()?.clone();
    if (looked.applied_lsn, looked.batch_seq) != (checkpoint.applied_lsn, checkpoint.batch_seq) {
        look(world, memory, &checkpoint)?;
    }
    let partial = target.partial_transaction(&checkpoint);
    tally.resumed += u64::from(partial.is_some());
    let applied = begin_at(&checkpoint, memory);
    let stream = SimStream::start(world, applied).await?;
    let timeline = TimelineGuard::new(&context.config.source, "s", false).await?;
    let naming = context.naming();
    let mut following = Loop::<Simulated> {
        intake: Intake::new(stream, applied, context.config.batch, Resume::new(partial), Skips::default()),
        context,
        memory,
        source: &source,
        target: &mut target,
        tables: world.borrow().history.table_set(),
        moved: tokio::time::Instant::now(),
        catch_up_goal: world.borrow().history.end,
        clock: SourceClock::says(0),
        watch: (),
        timeline,
        partial,
        large_since: None,
        examiner: Examiner::new(&source, naming, FieldForm::Text, None),
        form: FieldForm::Text,
        beside: None,
        orders: Vec::new(),
        paused: HashMap::new(),
        wishes: None,
        gone: BTreeMap::new(),
        seen_new: Default::default(),
        has_looked: false,
    };
    let end = following.run(Vec::new()).await;
    tally.skipped += following.intake.skipped;
    following.close(end).await
}

/// What a start looks at before it goes on.
fn look(world: &Shared, memory: &Memory, checkpoint: &Checkpoint) -> Result<(), EngineError> {
    let world = world.borrow();
    let lineage = &checkpoint.lineage;
    let identity = SourceIdentity {
        system_identifier: lineage.system_identifier.clone(),
        timeline: lineage.timeline,
        database_oid: lineage.database_oid,
        database: "d".to_owned(),
        server_version_num: 180_000,
        flush_lsn: world.history.end,
        in_recovery: false,
        server_encoding: "UTF8".to_owned(),
        user: "u".to_owned(),
    };
    let slot = SlotState {
        name: lineage.slot.clone(),
        plugin: Some("pgoutput".to_owned()),
        database: Some("d".to_owned()),
        temporary: false,
        active_pid: None,
        confirmed_flush_lsn: Some(world.confirmed),
        restart_lsn: Some(world.confirmed),
        wal_status: Some("reserved".to_owned()),
        invalidation: None,
        safe_wal_size: None,
        retained_bytes: 0,
        source_lsn: world.history.end,
        limit_bytes: None,
    };
    let publication = Publication {
        oid: lineage.publication_oid,
        name: lineage.publication.clone(),
        owner: "u".to_owned(),
        all_tables: true,
        insert: true,
        update: true,
        delete: true,
        truncate: true,
        via_root: true,
        tables: Vec::new(),
    };
    let history = SourceHistory {
        timeline: lineage.timeline,
        left: Vec::new(),
        end: world.history.end,
        slot_restart: slot.restart_lsn,
    };
    let facts = ResumeFacts {
        checkpoint,
        seen: memory.seen,
        identity: &identity,
        watch: None,
        history: &history,
        slot: Some(&slot),
        publication: Some(&publication),
        tables: &[],
    };
    decide(&facts).map(drop)
}

/// What the processes of a life have been told by their user.
fn context(world: &mut World) -> Context {
    let source = SourceConfig::parse("postgres://u:p@127.0.0.1:1/d").unwrap();
    let target = TargetConfig::parse("sqlserver://u:p@127.0.0.1:1/d").unwrap();
    let chunked = world.chance.one_in(2);
    let config = EngineConfig {
        until_caught_up: true,
        batch: BatchLimits { max_changes: 1 + world.chance.place(12), max_bytes: usize::MAX },
        heartbeat: Duration::from_millis(20 + world.chance.below(100)),
        large_transactions: if chunked { LargeTransactions::Chunked } else { LargeTransactions::Atomic },
        ..EngineConfig::new(source, target, "p")
    };
    Context {
        config: Arc::new(config),
        progress: Arc::new(Progress::new("p")),
        shutdown: CancellationToken::new(),
        owner: "process".to_owned(),
        slot_view: Arc::new(SlotView::default()),
    }
}
