//! Following the source: next transactions, plan, apply, acknowledge.
//!
//! ```text
//! stream --> Batch --> plan --> apply (data and checkpoint in one target transaction) --> acknowledge
//!    |   |-> a table was changed ([`describe`])       \
//!    |   \-> a transaction is too large for memory     > planned and applied in parts ([`parts`])
//!    |                  |          |
//!    |                  +----------+--> one table at fault: QUARANTINED in the state, then planned again without it
//!    +--> idle --> checkpoint --> acknowledge
//! ```
//!
//! While a batch is being applied, the next one grows ([`intake`]): one transaction under light load, thousands under
//! heavy load. Batches are applied one after the other.
//!
//! Nothing is acknowledged that the target's checkpoint row does not hold ([`segcdc_plan::acknowledgeable`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{Checkpoint, Lsn, Phase, TablePhase};
use segcdc_plan::{ChangeKind, ChangePolicy, PlanError, StreamState, TablePlan, TableSet, acknowledgeable};
use segcdc_postgres::{FieldForm, Replication, Session, StreamOptions, catalog};
use segcdc_sqlserver::{PartialTransaction, TableState, Target};
use tokio::time::{MissedTickBehavior, interval};

use crate::apply_loop::gone::Gone;
use crate::apply_loop::intake::Intake;
use crate::apply_loop::resume::Resume;
use crate::apply_loop::timeline::TimelineGuard;
use crate::apply_loop::watch::Watch;
use crate::beside::Beside;
use crate::beside::order::Order;
use crate::context::{Context, Memory};
use crate::error::EngineError;
use crate::examine::Examiner;
use crate::failpoint::{Failpoint, hit};
use crate::known;
use crate::ports::{Live, Ports, SourcePort, StreamPort, TargetPort};
use crate::progress::LargeTransaction;
use crate::quarantine::table_at_fault;
use crate::run::Outcome;
use crate::source_clock::SourceClock;

mod apply;
mod chunked;
mod describe;
mod gone;
mod hand_over;
mod intake;
mod large_report;
mod parts;
mod pick_up;
mod refused;
mod resume;
#[cfg(test)]
mod simulation;
mod skip;
mod skips;
mod slot_watch;
mod source;
mod timeline;
mod watch;
mod wishes;

/// Time between two looks at how large the transaction is that is being received.
const LOOK: Duration = Duration::from_millis(50);

/// Time between two looks at what is asked of tables.
const WISHES: Duration = Duration::from_secs(1);

/// How long a batch that is being applied may go on when the run is to end.
const LAST_BATCH: Duration = Duration::from_secs(4);

/// How long the end of the stream may take.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// A table that is to be copied, and what the state says of it.
pub(crate) type Unfinished = (Arc<TablePlan>, TableState);

/// What following needs.
pub(crate) struct Follow<'a> {
    pub(crate) context: &'a Context,
    pub(crate) memory: &'a mut Memory,
    pub(crate) source: &'a Session,
    pub(crate) target: &'a mut Target,
    pub(crate) tables: TableSet,
    /// Tables that are to be copied meanwhile.
    pub(crate) unfinished: Vec<Unfinished>,
    /// Paused tables, and whether changes of them were left out.
    pub(crate) paused: HashMap<u32, bool>,
}

/// The state of the loop.
struct Loop<'a, P: Ports> {
    context: &'a Context,
    memory: &'a mut Memory,
    source: &'a P::Source,
    target: &'a mut P::Target,
    tables: TableSet,
    intake: Intake<P::Stream>,
    /// When the checkpoint last moved.
    moved: tokio::time::Instant,
    /// The source's position when catching up began.
    catch_up_goal: Lsn,
    clock: SourceClock,
    watch: <P::Source as SourcePort>::Watch,
    timeline: TimelineGuard,
    /// The transaction of which the first changes are committed in the target, in front of whose end the checkpoint is.
    partial: Option<PartialTransaction>,
    /// The large transaction that was seen last, and when it was first seen.
    large_since: Option<(u32, Instant)>,
    examiner: Examiner<'a, P::Source>,
    /// The form in which the stream sends fields.
    form: FieldForm,
    /// What is being copied beside the stream.
    beside: Option<Beside>,
    /// What is to be copied next.
    orders: Vec<Order>,
    /// Paused tables, and whether changes of them were left out.
    paused: HashMap<u32, bool>,
    /// Wishes for tables that were not settled when they were last looked at; `None` before the first time.
    wishes: Option<usize>,
    /// Tables that the source has no more, of which something may be on its way still.
    gone: BTreeMap<u32, Gone>,
    /// New tables that were seen.
    seen_new: pick_up::Seen,
    /// Whether the source's catalog has been looked at since the stream began.
    has_looked: bool,
}

// === impl Follow ===

impl Follow<'_> {
    /// Follows until the run is to end, everything asked for is applied, or something goes wrong.
    ///
    /// # Errors
    /// Trouble to wait out, and what a person has to act on. What was acknowledged is in the target in any case.
    pub(crate) async fn run(self) -> Result<Outcome, EngineError> {
        let Follow { context, memory, source, target, mut tables, unfinished, paused } = self;
        let checkpoint = memory.checkpoint()?.clone();
        read_letters(target, &checkpoint.pipeline, &mut tables).await?;
        known::complete(context, memory, (source, target), &mut tables).await?;
        target.ensure_slot_watch().await?;
        target.begin_large_transactions(&checkpoint.pipeline, checkpoint.epoch).await?;
        target.ensure_partial_transactions().await?;
        target.ensure_table_wishes().await?;
        let partial = target.partial_transaction(&checkpoint).await?;
        let skips = skip::read(target, &checkpoint, partial).await?;
        let applied = begin_at(&checkpoint, memory);
        let (slot, publication) = (&checkpoint.lineage.slot, &checkpoint.lineage.publication);
        let watch = Watch::new(source, publication).await?;
        let naming = context.naming();
        let form = watch.field_form(source, &tables, &naming).await?;
        let options = StreamOptions {
            fields: form,
            queue_bytes: context.config.memory.queue_bytes,
            open_bytes: context.config.memory.open_bytes,
            // What is sent as it is written need not be written to the source's disk first, nor read at its commit.
            streaming: true,
            ..StreamOptions::default()
        };
        let mut replication = Replication::connect(&context.config.source).await?;
        // It may have been promoted since the start was checked.
        timeline::note(&mut replication, context, memory, target).await?;
        let is_standby = replication.is_standby();
        let stream = replication.start_with(slot, applied, &[publication], options).await?;
        let timeline = TimelineGuard::new(&context.config.source, slot, is_standby).await?;
        let clock = SourceClock::read(source).await?;
        let catch_up_goal = catalog::current_lsn(source).await?;
        context.progress.update(|snapshot| {
            snapshot.phase = Phase::CatchUp;
            snapshot.applied_lsn = applied;
            snapshot.source_lsn = snapshot.source_lsn.max(catch_up_goal);
        });
        tracing::info!(slot, lsn = %applied, "following");
        let write_path = target.write_path();
        let examiner = Examiner::new(source, naming, form, write_path.most_large_bytes());
        let mut following = Loop::<Live> {
            intake: Intake::new(stream, applied, context.config.batch, Resume::new(partial), skips),
            context,
            memory,
            source,
            target,
            tables,
            moved: tokio::time::Instant::now(),
            catch_up_goal,
            clock,
            watch,
            timeline,
            partial,
            large_since: None,
            examiner,
            form,
            beside: None,
            orders: Vec::new(),
            paused,
            wishes: None,
            gone: BTreeMap::new(),
            seen_new: pick_up::Seen::default(),
            has_looked: false,
        };
        let end = tokio::select! {
            end = following.run(unfinished) => end,
            never = large_report::report(context, write_path, checkpoint.epoch) => match never {},
        };
        following.close(end).await
    }
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Follows until there is a reason to stop. The stream is still open then.
    async fn run(&mut self, unfinished: Vec<Unfinished>) -> Result<Outcome, EngineError> {
        self.take_up(unfinished).await?;
        let shutdown = self.context.shutdown.clone();
        let mut wishes = interval(WISHES);
        wishes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeats = interval(self.context.config.heartbeat);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    return Ok(Outcome::Stopped { applied_lsn: self.applied()? });
                }
                _ = heartbeats.tick() => self.heartbeat().await?,
                _ = wishes.tick() => self.look_at_wishes().await?,
                _ = looks.tick() => self.look(),
                () = self.intake.receive(), if self.intake.has_room() => {}
                () = std::future::ready(()), if !self.intake.has_room() => {}
            }
            self.intake.drain();
            self.apply_next().await?;
            self.look_beside().await?;
            self.settle_idle().await?;
            self.settle_gone().await?;
            self.intake.check_end()?;
            if let Some(outcome) = self.reached()? {
                return Ok(outcome);
            }
        }
    }

    /// Writes an idle position to the checkpoint when it is time, and acknowledges what the checkpoint holds.
    async fn settle_idle(&mut self) -> Result<(), EngineError> {
        let applied = self.applied()?;
        let state = StreamState {
            acknowledged: self.intake.stream.acknowledged(),
            idle_wal_end: self.intake.idle_wal_end,
            buffered_transactions: self.intake.pending(),
            batches_in_flight: 0,
        };
        let decided = acknowledgeable(applied, state);
        if let Some(lsn) = decided.report {
            self.intake.stream.acknowledge(lsn);
            hit(Failpoint::AfterAck);
        }
        let Some(lsn) = decided.advance else { return Ok(()) };
        // Every keepalive would be a write to the target; the goal is worth one at once.
        let goal = self.memory.goal.is_some_and(|goal| applied < goal && goal <= lsn);
        let asked = self.intake.asked.is_some_and(|asked| applied < asked && asked <= lsn);
        if goal || asked || self.moved.elapsed() >= self.context.config.heartbeat {
            self.advance(lsn).await?;
        }
        Ok(())
    }

    /// Writes an idle position to the checkpoint, then acknowledges it.
    async fn advance(&mut self, lsn: Lsn) -> Result<(), EngineError> {
        hit(Failpoint::BeforeIdleAdvance);
        self.look_at_timeline().await?;
        let before = self.memory.checkpoint()?.clone();
        let next = Checkpoint { applied_lsn: lsn, batch_seq: before.batch_seq + 1, ..before.clone() };
        self.memory.begin(next);
        let next = self.target.advance(&before, lsn).await?;
        self.memory.commit(next);
        hit(Failpoint::AfterIdleAdvance);
        self.moved = tokio::time::Instant::now();
        self.intake.stream.acknowledge(lsn);
        self.show_position();
        Ok(())
    }

    /// Takes note of a new timeline of a standby, before the checkpoint moves.
    async fn look_at_timeline(&mut self) -> Result<(), EngineError> {
        self.timeline.look(self.context, self.memory, self.target).await
    }

    /// Whether everything that was asked for is applied; moves the phase on when catching up is over.
    fn reached(&mut self) -> Result<Option<Outcome>, EngineError> {
        let applied = self.applied()?;
        if self.covered(applied) >= self.catch_up_goal {
            self.context.progress.update(|snapshot| {
                if snapshot.phase != Phase::Streaming {
                    snapshot.phase = Phase::Streaming;
                    tracing::info!(lsn = %applied, "caught up");
                }
            });
        }
        let wanted = self.context.config.until_caught_up || self.context.config.until_loaded;
        let all_done = self.beside.is_none() && self.orders.is_empty() && self.wishes == Some(0);
        let all_done = all_done && self.has_looked && self.gone.is_empty();
        let reached = self.memory.goal.is_some_and(|goal| applied >= goal) && all_done;
        Ok((wanted && reached).then_some(Outcome::CaughtUp { applied_lsn: applied }))
    }

    /// Keeps the slot moving while nothing happens, looks after clock and publication, and tells `status`.
    async fn heartbeat(&mut self) -> Result<(), EngineError> {
        let position = self.source.emit_heartbeat().await?;
        self.clock = self.source.read_clock().await?;
        self.context.progress.update(|snapshot| snapshot.source_lsn = snapshot.source_lsn.max(position));
        self.show_position();
        let checkpoint = self.memory.checkpoint()?;
        let found = self.source.look(&mut self.watch, checkpoint, &self.tables).await?;
        let is_gone = |(oid, error): &(u32, EngineError)| {
            gone::kind_of(error).is_some() && !self.paused.contains_key(oid)
        };
        let (gone, found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_gone);
        self.note_gone(gone).await?;
        self.has_looked = true;
        for (oid, error) in found {
            let Some(error) = self.as_wished(oid, error) else { continue };
            if table_at_fault(&error).is_none() {
                return Err(error);
            }
            if self.paused.contains_key(&oid) {
                self.fall_behind(oid, &error.to_string()).await?;
            } else {
                self.set_aside(oid, &error).await?;
            }
        }
        self.pick_up().await?;
        self.write_lag().await?;
        self.write_slot_watch().await
    }

    /// What was found of a table, by what its user wants done about it: `None` where it is let pass.
    fn as_wished(&self, oid: u32, error: EngineError) -> Option<EngineError> {
        let EngineError::Plan(plan) = &error else { return Some(error) };
        let PlanError::ReplicaIdentityChanged { detail, table, .. } = plan.as_ref() else {
            return Some(error);
        };
        let kind = ChangeKind::DropIdentity;
        let Some(entry) = self.tables.get(oid) else { return Some(error) };
        match self.examiner.policy(&entry.plan, kind) {
            ChangePolicy::Apply | ChangePolicy::Ignore => None,
            ChangePolicy::Halt => Some(error),
            ChangePolicy::HaltAll => {
                let (table, detail) = (table.clone(), detail.clone());
                Some(PlanError::SchemaChangeHalted { oid, table, kind, detail, all: true }.into())
            }
        }
    }

    /// Looks at what is being received.
    fn look(&mut self) {
        let open = self.intake.stream.largest_open();
        let large = open.map(|open| LargeTransaction {
            xid: open.xid,
            is_complete: false,
            changes: open.changes,
            applied: 0,
            part: 0,
            parts: 0,
            disk_bytes: open.spilled_bytes,
            begun_ms: self.large_begun_ms(open.xid),
            committed: self.partial.filter(|partial| partial.xid == open.xid).map(|partial| partial.changes),
        });
        self.context.progress.update(|snapshot| snapshot.large = large);
        self.show_position();
    }

    /// When a large transaction was first seen, milliseconds after the engine began.
    fn large_begun_ms(&mut self, xid: u32) -> u64 {
        let known = self.large_since.filter(|(known, _)| *known == xid);
        let (_, since) = *self.large_since.insert(known.unwrap_or_else(|| (xid, Instant::now())));
        self.context.progress.milliseconds_at(since)
    }

    /// Shows positions and lag.
    fn show_position(&self) {
        let applied = self.memory.checkpoint().map_or(Lsn::ZERO, |checkpoint| checkpoint.applied_lsn);
        let received = self.intake.stream.server_wal_end();
        let covered = self.covered(applied);
        let (idle, skipped) = (self.intake.pending() == 0, self.intake.skipped);
        self.context.progress.update(|snapshot| {
            snapshot.applied_lsn = applied;
            snapshot.received_lsn = received;
            snapshot.source_lsn = snapshot.source_lsn.max(received);
            snapshot.lag_bytes = snapshot.source_lsn.bytes_since(covered);
            snapshot.applied.skipped_transactions = skipped;
            if idle {
                snapshot.lag_ms = 0;
            }
        });
    }

    /// Up to where nothing is left to apply: what is idle is as good as applied, though its position is written down only
    /// now and then.
    fn covered(&self, applied: Lsn) -> Lsn {
        let idle = self.intake.idle_wal_end.filter(|_| self.intake.pending() == 0);
        idle.map_or(applied, |idle| applied.max(idle))
    }

    /// What the target's checkpoint holds.
    fn applied(&self) -> Result<Lsn, EngineError> {
        Ok(self.memory.checkpoint()?.applied_lsn)
    }

    /// Ends the stream, whatever the reason: the last acknowledgement is sent and the slot is free.
    async fn close(mut self, end: Result<Outcome, EngineError>) -> Result<Outcome, EngineError> {
        if let Some(beside) = self.beside.take() {
            beside.give_up().await;
        }
        let applied = self.applied()?;
        let covered = self.covered(applied);
        if end.is_ok() && covered > applied {
            self.advance(covered).await?;
        }
        if !matches!(end, Err(EngineError::Source(_))) {
            match tokio::time::timeout(LAST_WORDS, self.intake.stream.close()).await {
                Ok(Ok(())) if end.is_ok() => {
                    slot_watch::leave(self.context, self.memory, self.source, self.target).await;
                }
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = %error, "the stream did not end in an orderly way"),
                Err(_) => {
                    tracing::warn!("the stream did not end in time; the source frees the slot by itself")
                }
            }
        }
        let applied = self.memory.checkpoint()?.applied_lsn;
        match end {
            Ok(Outcome::Stopped { .. }) | Err(EngineError::Abandoned) => {
                Ok(Outcome::Stopped { applied_lsn: applied })
            }
            Ok(Outcome::CaughtUp { .. }) => Ok(Outcome::CaughtUp { applied_lsn: applied }),
            other => other,
        }
    }
}

/// Where the stream has to begin: where the checkpoint is, whatever else was seen.
fn begin_at(checkpoint: &Checkpoint, memory: &Memory) -> Lsn {
    match is_planted(Mutant::HighestLsn) {
        true => checkpoint.applied_lsn.max(memory.seen),
        false => checkpoint.applied_lsn,
    }
}

/// Reads which rows are set aside; as the target holds them, whatever became of the batch that a run before was writing.
async fn read_letters(target: &mut Target, pipeline: &str, tables: &mut TableSet) -> Result<(), EngineError> {
    let counts = target.letter_counts(pipeline).await?;
    let open: Vec<u32> = counts
        .iter()
        .filter(|count| count.open + count.discarded > 0)
        .map(|count| count.source_oid)
        .collect();
    for oid in open {
        let Some(mut entry) = tables.get(oid).cloned() else { continue };
        entry.letters = target.open_letters(pipeline, &entry.plan).await?;
        tables.insert(entry);
    }
    Ok(())
}

/// The tables that are paused, and whether changes of them were left out.
pub(crate) fn paused(tables: &[Unfinished]) -> HashMap<u32, bool> {
    let paused = tables.iter().filter(|(_, state)| state.phase == TablePhase::Paused);
    paused.map(|(_, state)| (state.source_oid, state.error.is_some())).collect()
}

/// The tables as the planner wants them.
pub(crate) fn table_set(tables: &[Unfinished]) -> TableSet {
    tables
        .iter()
        .map(|(plan, state)| segcdc_plan::TableEntry {
            plan: Arc::clone(plan),
            sync_lsn: state.sync_lsn,
            phase: state.phase,
            letters: segcdc_plan::OpenLetters::new(),
            known: None,
        })
        .collect()
}
