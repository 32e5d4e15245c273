//! One piece of work of a copy, in a task of its own.

use std::sync::Arc;

use segcdc_model::Checkpoint;
use segcdc_plan::{PlanError, TablePlan};
use segcdc_postgres::snapshot::{Reader, copy};
use segcdc_postgres::{CopyRange, CopyRequest, RowStream, session};
use segcdc_sqlserver::{LoadNotes, LoadProgress, Loader, TableProgress, Target, WritePath};

use super::{Live, Source};
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::known;
use crate::throttle::Account;
use crate::verify::RepairedRows;
use crate::verify::reconcile::Reconciliation;

/// What a task is to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Copy a range.
    Load(CopyRange),
    /// Write what differs from the snapshot; load all of it if that cannot be.
    Reconcile,
    /// Build the key and make the table live.
    Finish,
}

/// What a task needs.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) config: Arc<EngineConfig>,
    /// The fence of what is written to the state.
    pub(super) checkpoint: Checkpoint,
    pub(super) source: Source,
    pub(super) write_path: WritePath,
    /// What all readers have taken, where that is bounded.
    pub(super) account: Option<Arc<Account>>,
    /// Which job it is for.
    pub(super) job: usize,
    pub(super) plan: Arc<TablePlan>,
    pub(super) progress: Arc<LoadProgress>,
    /// Rows of the table's committed loads.
    pub(super) rows_loaded: u64,
    /// When the table becomes live.
    pub(super) live: Live,
    /// The rows of the range, where reading them has begun already.
    pub(super) begun: Option<RowStream>,
    pub(super) work: Work,
}

/// What a task has done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: usize,
    pub(super) work: Work,
    /// Rows that were loaded.
    pub(super) result: Result<u64, EngineError>,
    /// The target session, for the next task.
    pub(super) session: Option<Target>,
}

/// Does one piece of work, on an idle session or a new one.
pub(super) async fn run(mut assignment: Assignment, session: Option<Target>) -> Done {
    let (job, work) = (assignment.job, assignment.work);
    let connected = match session {
        Some(session) => Ok(session),
        None => Target::connect_with(&assignment.config.target, assignment.write_path).await,
    };
    let mut session = match connected {
        Ok(session) => session,
        Err(error) => return Done { job, work, result: Err(error.into()), session: None },
    };
    let result = match work {
        Work::Load(range) => {
            let begun = assignment.begun.take();
            load(&assignment, (range, begun), &mut session).await
        }
        Work::Reconcile => reconcile(&assignment, &mut session).await,
        Work::Finish => finish(&assignment, &mut session).await.map(|()| 0),
    };
    Done { job, work, result, session: Some(session) }
}

/// Writes what differs. Returns the rows that are committed.
async fn reconcile(assignment: &Assignment, session: &mut Target) -> Result<u64, EngineError> {
    let Assignment { config, plan, checkpoint, progress, source, .. } = assignment;
    let reconciliation =
        Reconciliation { config, table: plan, checkpoint, snapshot: &source.snapshot, progress };
    if let Some(rows) = Box::pin(reconciliation.run(session)).await? {
        let (table, RepairedRows { inserted, updated, deleted, .. }) = (&plan.source.name, rows);
        tracing::info!(%table, inserted, updated, deleted, "what differed was written");
        return Ok(rows.written());
    }
    session.clear_for_copy(plan).await?;
    load(assignment, (CopyRange::Whole, None), session).await
}

/// Begins to read a table as a whole, from a snapshot that nobody else has begun to read.
///
/// # Errors
/// The source's; `TABLE_REWRITTEN` when the table got a new file behind the snapshot.
pub(super) async fn begin_to_read(
    reader: Reader,
    snapshot: &str,
    plan: &TablePlan,
) -> Result<RowStream, EngineError> {
    let columns = plan.source_columns();
    let request = request(plan, &columns, (snapshot, CopyRange::Whole));
    reader.copy(request).await.map_err(|error| at_table(error, plan))
}

/// What is read of a table.
fn request<'a>(
    plan: &'a TablePlan,
    columns: &'a [usize],
    (snapshot, range): (&'a str, CopyRange),
) -> CopyRequest<'a> {
    CopyRequest {
        snapshot: Some(snapshot),
        range,
        filter: plan.filter.as_deref(),
        ..CopyRequest::new(&plan.source, columns)
    }
}

/// Copies a range, of which reading may have begun. Returns the rows that are committed.
async fn load(
    assignment: &Assignment,
    (range, begun): (CopyRange, Option<RowStream>),
    session: &mut Target,
) -> Result<u64, EngineError> {
    let plan = &assignment.plan;
    let mut rows = match begun {
        Some(rows) => rows,
        None => {
            let columns = plan.source_columns();
            let request = request(plan, &columns, (&assignment.source.snapshot, range));
            copy(&assignment.config.source, request).await.map_err(|error| at_table(error, plan))?
        }
    };
    session.begin_load().await?;
    let loaded = fill(assignment, session, &mut rows).await;
    match loaded {
        // A process that was taken over meanwhile must not add to a table that its successor has emptied.
        Ok((rows, notes)) => {
            let LoadNotes { letters, uses } = &notes;
            session.commit_load_with(&assignment.checkpoint, letters, uses).await?;
            Ok(rows)
        }
        Err(error) => {
            session.roll_back_load().await;
            Err(error)
        }
    }
}

/// Fills the table with the rows of a range, in the open transaction.
async fn fill(
    assignment: &Assignment,
    session: &mut Target,
    rows: &mut RowStream,
) -> Result<(u64, LoadNotes), EngineError> {
    let plan = &assignment.plan;
    let loader = Loader::begin(session, plan, Arc::clone(&assignment.progress)).await?;
    let mut loader = loader.at(assignment.source.sync_lsn);
    match pump(rows, &mut loader, assignment).await {
        Ok(()) => {
            let notes = loader.take_notes();
            Ok((loader.finish().await?, notes))
        }
        Err(error) => {
            if let Err(error) = loader.abort().await {
                tracing::debug!(error = %error, "the session of a failed load is given up");
            }
            Err(error)
        }
    }
}

/// Rows from the source into the load, until the last one.
async fn pump(
    rows: &mut RowStream,
    loader: &mut Loader<'_>,
    assignment: &Assignment,
) -> Result<(), EngineError> {
    let plan = &assignment.plan;
    loop {
        let batch = rows.next_batch().await.map_err(|error| at_table(error, plan))?;
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(account) = &assignment.account {
            let bytes = batch.iter().map(|row| row.memory_bytes() as u64 + row.large_bytes()).sum();
            account.pass(batch.len() as u64, bytes).await;
        }
        for row in &batch {
            loader.push(row).await?;
        }
        if assignment.progress.set_aside() > plan.letter_limit {
            return Err(PlanError::DeadLetterLimit {
                oid: plan.source.oid,
                table: plan.source.name.clone(),
                limit: plan.letter_limit,
            }
            .into());
        }
        hit(Failpoint::MidCopy);
    }
}

/// Builds the key, then makes the table live, if that is to be at once.
async fn finish(assignment: &Assignment, target: &mut Target) -> Result<(), EngineError> {
    hit(Failpoint::AfterCopyBeforeKey);
    target.build_key(&assignment.plan).await?;
    if assignment.live == Live::Later {
        return Ok(());
    }
    let source = session::connect(&assignment.config.source).await?;
    let known = known::as_of(&source, &assignment.plan, &assignment.source.snapshot).await?;
    source.close().await;
    hit(Failpoint::BeforeMarkStreaming);
    let progress = TableProgress {
        source_oid: assignment.plan.source.oid,
        rows_copied: assignment.rows_loaded,
        bytes_copied: assignment.progress.bytes(),
    };
    let Source { sync_lsn, .. } = assignment.source;
    Ok(target.finish_copy(&assignment.checkpoint, &progress, sync_lsn, &known).await?)
}

/// Says which table a missing table is.
fn at_table(error: segcdc_postgres::SourceError, plan: &TablePlan) -> EngineError {
    use segcdc_model::{Disposition, Fault};
    if error.disposition() == Disposition::HaltTable {
        let (oid, table) = (plan.source.oid, plan.source.name.clone());
        return EngineError::SourceTable { oid, table, error: Box::new(error) };
    }
    error.into()
}
