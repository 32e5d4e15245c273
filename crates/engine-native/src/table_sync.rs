//! Copying tables as of one snapshot.
//!
//! ```text
//!               +--> reader: COPY of a range --> loader of that range --+
//! one snapshot -+--> reader: COPY of a range --> loader of that range --+--> key --> STREAMING with sync_lsn
//!               +--> reader: another table ...                          |    (one target transaction)
//!
//! QUEUED --> COPYING, emptied --> loads --> key --> STREAMING
//!              ^                    |
//!              +--- trouble that may pass: emptied and begun again, while the exporting session lives
//! ```
//!
//! A table that was truncated or rewritten since the snapshot waits for the next one, and the others are finished first.
//! A finished table is never copied again. An unfinished one holds rows of unknown origin to whoever comes next: it is
//! emptied and copied from a new snapshot, whose position becomes its sync LSN. Memory: a read buffer and a send buffer
//! for each reader, whatever the size of the tables.

use std::sync::Arc;
use std::time::Duration;

use segcdc_model::{Checkpoint, Disposition, Fault, Lsn, TablePhase};
use segcdc_plan::TablePlan;
use segcdc_postgres::snapshot::Reader;
use segcdc_postgres::{ExportedSnapshot, RowStream, Session, SourceError, slot};
use segcdc_sqlserver::{LoadProgress, TableState, Target, WritePath};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Recover;
use crate::context::Context;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::quarantine::{quarantine, table_at_fault};
use crate::table_sync::job::{Job, Next};
use crate::table_sync::work::{Done, Work};
use crate::throttle::Account;
use crate::verify::reconcile::can_be_reconciled;

mod job;
mod work;

/// Time between two looks at how far the copies are.
const LOOK: Duration = Duration::from_millis(250);

/// Looks between two writes of the progress into the target's state.
const LOOKS_A_WRITE: u32 = 4;

/// Looks at the copies between two looks at the slot.
const LOOKS_A_SLOT: u32 = 40;

/// When a table that is copied becomes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live {
    /// As soon as it is copied.
    AtOnce,
    /// When whoever has it copied says so: for the state it is being copied until then.
    Later,
}

/// What is read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// As of which everything is read.
    snapshot: &'a ExportedSnapshot,
    /// The rows of the only table, where reading them has begun.
    begun: Option<RowStream>,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyEnd {
    /// Every table is copied or quarantined; with [`Live::Later`], one that was rewritten behind the snapshot is neither.
    Finished,
    /// The run is to end; unfinished tables are copied by the next one.
    Stopped,
}

/// Copies every table of `tables` that is not finished, and notes in it what became of each.
///
/// The sessions are for the slot and for the state; loads have sessions of their own. The snapshot must stay silent meanwhile.
///
/// # Errors
/// `FENCED`, and trouble that is not one table's alone.
pub(crate) async fn copy_tables(
    context: &Context,
    checkpoint: &Checkpoint,
    servers: (&Session, &mut Target),
    tables: &mut [(Arc<TablePlan>, TableState)],
    reading: Reading<'_>,
    live: Live,
) -> Result<CopyEnd, EngineError> {
    let (source, target) = servers;
    let Reading { snapshot, begun } = reading;
    let jobs = job::largest_first(tables, context.config.readers);
    let write_path = target.write_path();
    let mut copier = Copier {
        context,
        checkpoint,
        slot_session: source,
        state_session: target,
        source: Source { snapshot: snapshot.name().to_owned(), sync_lsn: snapshot.lsn() },
        write_path,
        account: context.config.throttle.map(|throttle| Arc::new(Account::new(throttle))),
        idle: Vec::new(),
        jobs,
        tasks: JoinSet::new(),
        postponed: None,
        live,
        begun,
    };
    let end = copier.run().await;
    copier.show();
    // Loads that are cut off end with their sessions; the server undoes them.
    copier.tasks.shutdown().await;
    for job in copier.jobs {
        if let Some((_, state)) = tables.get_mut(job.index) {
            *state = job.state;
        }
    }
    end
}

/// What all copies read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Name of the exported snapshot.
    snapshot: String,
    /// Its position.
    sync_lsn: Lsn,
}

/// Hands out work and takes note of what was done. The only one that changes jobs.
struct Copier<'a> {
    context: &'a Context,
    checkpoint: &'a Checkpoint,
    slot_session: &'a Session,
    state_session: &'a mut Target,
    source: Source,
    write_path: WritePath,
    /// What all readers together have taken, where that is bounded.
    account: Option<Arc<Account>>,
    /// Sessions without work.
    idle: Vec<Target>,
    jobs: Vec<Job>,
    tasks: JoinSet<Done>,
    /// Why a table waits for a newer snapshot.
    postponed: Option<EngineError>,
    live: Live,
    /// The rows of the only table, where reading them has begun.
    begun: Option<RowStream>,
}

// === impl Reading ===

impl<'a> Reading<'a> {
    /// Nothing is read yet.
    pub(crate) fn of(snapshot: &'a ExportedSnapshot) -> Self {
        Reading { snapshot, begun: None }
    }

    /// Begins at once to read the only table that is copied: it is locked against being rewritten from here on.
    ///
    /// # Errors
    /// The source's; `TABLE_REWRITTEN` when the table got a new file behind the snapshot.
    pub(crate) async fn of_one(
        snapshot: &'a ExportedSnapshot,
        reader: Reader,
        plan: &TablePlan,
    ) -> Result<Self, EngineError> {
        let begun = Some(work::begin_to_read(reader, snapshot.name(), plan).await?);
        Ok(Reading { snapshot, begun })
    }
}

// === impl Copier ===

impl Copier<'_> {
    /// Works until nothing is left to do.
    async fn run(&mut self) -> Result<CopyEnd, EngineError> {
        let mut ticker = interval(LOOK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.context.shutdown.clone();
        let mut looks: u32 = 0;
        loop {
            self.hand_out().await?;
            if self.tasks.is_empty() {
                return match (self.postponed.take(), self.live) {
                    (Some(error), Live::AtOnce) => Err(error),
                    // Who hands the tables over sees which of them are not copied, and goes on with the others.
                    (Some(_), Live::Later) | (None, _) => Ok(CopyEnd::Finished),
                };
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(CopyEnd::Stopped),
                done = self.tasks.join_next() => {
                    let done = done.ok_or(EngineError::TaskBroken { task: "copy" })?;
                    self.take(done.map_err(|_| EngineError::TaskBroken { task: "copy" })?).await?;
                }
                _ = ticker.tick() => {
                    self.show();
                    looks += 1;
                    if looks.is_multiple_of(LOOKS_A_WRITE) {
                        self.write_progress().await?;
                    }
                    if looks.is_multiple_of(LOOKS_A_SLOT) {
                        self.look_at_slot().await?;
                    }
                }
            }
        }
    }

    /// Gives work to readers that have none.
    async fn hand_out(&mut self) -> Result<(), EngineError> {
        while self.tasks.len() < self.context.config.readers.max(1) {
            let Some((at, next)) = job::next(&self.jobs) else { return Ok(()) };
            match next {
                Next::Begin => self.begin(at).await?,
                Next::Load => {
                    let Some(job) = self.jobs.get_mut(at) else { continue };
                    let reconciles = job.reconciles();
                    if let Some(range) = job.take_range() {
                        self.spawn(at, if reconciles { Work::Reconcile } else { Work::Load(range) });
                    }
                }
                Next::Finish => {
                    if let Some(job) = self.jobs.get_mut(at) {
                        job.finishing();
                    }
                    self.spawn(at, Work::Finish);
                }
            }
        }
        Ok(())
    }

    /// Marks a table as being copied, then empties it, unless it is to be compared.
    async fn begin(&mut self, at: usize) -> Result<(), EngineError> {
        let Some(job) = self.jobs.get_mut(at) else { return Ok(()) };
        let is_begun = self.begun.is_some();
        let wanted =
            self.context.config.recover == Recover::Repair && can_be_reconciled(&job.plan) && !is_begun;
        // Without a key, which an interrupted load has dropped, nothing is known of the rows that are there.
        let reconciles = match wanted {
            true => self
                .state_session
                .existing_table(&job.plan.target)
                .await?
                .is_some_and(|existing| existing.has_rows && !existing.key.is_empty()),
            false => false,
        };
        match (reconciles, is_begun) {
            (true, _) => job.begin_to_reconcile(),
            (false, true) => job.begin_whole(),
            (false, false) => job.begin(self.context.config.readers),
        }
        self.state_session.set_table(self.checkpoint, &job.state).await?;
        let (table, oid) = (&job.plan.source.name, job.state.source_oid);
        self.state_session.clear_letters(self.checkpoint, table, oid).await?;
        let cleared = match reconciles {
            true => Ok(()),
            false => self.state_session.clear_for_copy(&job.plan).await,
        };
        hit(Failpoint::AfterCopyBegun);
        self.context.show_phase(oid, TablePhase::Copying, None);
        if let Err(error) = cleared {
            return self.fail(at, error.into()).await;
        }
        tracing::info!(table = %job.plan.source.name, "copying begins");
        Ok(())
    }

    /// Starts a task with a session.
    fn spawn(&mut self, at: usize, work: Work) {
        let Some(job) = self.jobs.get(at) else { return };
        let assignment = work::Assignment {
            config: Arc::clone(&self.context.config),
            checkpoint: self.checkpoint.clone(),
            source: self.source.clone(),
            write_path: self.write_path,
            account: self.account.clone(),
            job: at,
            plan: Arc::clone(&job.plan),
            progress: Arc::clone(&job.progress),
            rows_loaded: job.rows_loaded,
            live: self.live,
            begun: match work {
                Work::Load(_) => self.begun.take(),
                Work::Reconcile | Work::Finish => None,
            },
            work,
        };
        self.tasks.spawn(work::run(assignment, self.idle.pop()));
    }

    /// Takes note of what a task has done.
    async fn take(&mut self, done: Done) -> Result<(), EngineError> {
        let Done { job: at, work, result, session } = done;
        self.idle.extend(session.filter(Target::is_usable));
        let Some(job) = self.jobs.get_mut(at) else { return Ok(()) };
        match (work, result) {
            (Work::Load(_) | Work::Reconcile, Ok(rows)) => job.loaded(rows),
            (Work::Finish, Ok(_)) => {
                job.finished(self.source.sync_lsn);
                let (oid, rows, bytes) =
                    (job.state.source_oid, job.state.rows_copied, job.state.bytes_copied);
                tracing::info!(table = %job.plan.source.name, rows, "copied");
                let live = self.live;
                self.context.progress.update_table(oid, |table| {
                    if live == Live::AtOnce {
                        table.phase = TablePhase::Streaming;
                    }
                    (table.rows_copied, table.bytes_copied) = (rows, bytes);
                });
                hit(Failpoint::AfterTableFinished);
            }
            (_, Err(error)) => return self.fail(at, error).await,
        }
        Ok(())
    }

    /// Decides what becomes of a table whose copy failed. It waits for its other readers, whatever it is.
    async fn fail(&mut self, at: usize, error: EngineError) -> Result<(), EngineError> {
        let Some(job) = self.jobs.get_mut(at) else { return Ok(()) };
        if job.is_given_up() {
            job.reader_ended();
            return Ok(());
        }
        if table_at_fault(&error) == Some(job.state.source_oid) {
            let oid = job.state.source_oid;
            quarantine(self.context, self.checkpoint, self.state_session, oid, &error).await?;
            job.give_up((error.code().to_owned(), error.to_string()));
            return Ok(());
        }
        if is_rewritten(&error) {
            let table = &job.plan.source.name;
            tracing::warn!(%table, code = error.code(), error = %error, "copying waits for the next snapshot");
            job.postpone();
            self.postponed = Some(error);
            return Ok(());
        }
        let may_pass = error.disposition() == Disposition::Retry && error.code() != "SNAPSHOT_GONE";
        if may_pass && job.may_begin_again() {
            tracing::warn!(table = %job.plan.source.name, code = error.code(), error = %error, "copying begins again");
            self.context.progress.update(|snapshot| snapshot.retries += 1);
            job.begin_again();
            return Ok(());
        }
        Err(error)
    }

    /// A slot that is lost while tables are copied makes the whole copy worthless: better known now than at its end.
    async fn look_at_slot(&self) -> Result<(), EngineError> {
        let name = &self.checkpoint.lineage.slot;
        if name.is_empty() {
            return Ok(());
        }
        match slot::inspect(self.slot_session, name).await? {
            None => Err(EngineError::SlotMissing { slot: name.clone() }),
            Some(found) if found.is_lost() => {
                let reason = found.reason().to_owned();
                Err(EngineError::SlotLost { slot: name.clone(), reason })
            }
            Some(_) => Ok(()),
        }
    }

    /// Shows how far the copies are.
    fn show(&self) {
        self.context.progress.update(|snapshot| {
            snapshot.copied = Default::default();
            for job in &self.jobs {
                let (rows, bytes) = job.rows_and_bytes();
                snapshot.copied.rows += rows;
                snapshot.copied.bytes += bytes;
                let oid = job.state.source_oid;
                if let Some(table) = snapshot.tables.iter_mut().find(|table| table.source_oid == oid) {
                    (table.rows_copied, table.bytes_copied) = (rows, bytes);
                }
            }
        });
    }

    /// Writes how far the copies are into the state, for `status`; a sign of life too, and the moment at which a
    /// process that was taken over learns it.
    async fn write_progress(&mut self) -> Result<(), EngineError> {
        let progress: Vec<_> =
            self.jobs.iter().filter(|job| job.is_loading()).map(Job::table_progress).collect();
        Ok(self.state_session.set_table_progress(self.checkpoint, &progress).await?)
    }
}

/// Whether only a newer snapshot helps, and only the table needs one.
pub(crate) fn is_rewritten(error: &EngineError) -> bool {
    matches!(error, EngineError::Source(source) if matches!(**source, SourceError::TableRewritten { .. }))
}

/// A counter of rows and bytes that starts at zero.
fn new_progress() -> Arc<LoadProgress> {
    Arc::new(LoadProgress::default())
}
