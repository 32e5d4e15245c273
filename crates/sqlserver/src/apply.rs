//! One batch in one target transaction.
//!
//! ```text
//!            small batch (direct)                       any batch (staged)
//!
//!   values are encoded and checked             values are encoded and checked
//!   one request:                               missing #s<n> are created
//!     BEGIN; fence                             BEGIN; fence
//!     dead letters, uses of policies           dead letters by #letters, uses of policies
//!     DELETE, UPDATE, INSERT of single rows    for each table: rows into #s<n>; one request: TRUNCATE, fill,
//!     checkpoint                                 DELETE, UPDATE, INSERT of all its rows, emptying of #s<n>;
//!     COMMIT                                     behind the last table the checkpoint
//!                                              COMMIT
//! ```
//!
//! Every row count is compared with what the plan wants before COMMIT, by the request itself or by us; any other count,
//! and any error, rolls back. The fence is a compare-and-set on epoch, applied LSN and batch number: it comes first, so
//! that a process that has been taken over does nothing at all. It counts the batch, and the checkpoint looks for that
//! count: it is gone when the server has rolled the transaction back behind our back.

mod alter;
mod direct;
mod parts;
mod repair;
mod staged;
mod staged_rows;

use segcdc_model::{Checkpoint, Lsn};
use segcdc_plan::{ApplyPlan, TablePlan};

use direct::Outcome;

pub use alter::Alteration;
pub use direct::MAX_ROWS as MAX_DIRECT_ROWS;
pub use parts::PartsApply;
pub use repair::RepairApply;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::state::Totals;
use crate::state::check_fence;

/// What became of a batch whose COMMIT got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It took effect; the checkpoint that the target holds now.
    Committed(Checkpoint),
    /// It left no trace: apply it again with this checkpoint.
    NotCommitted(Checkpoint),
}

/// A row count that a statement must have.
#[derive(Debug, Clone, Copy)]
struct Expected<'p> {
    table: &'p TablePlan,
    /// What kind of statement it is, for the error.
    statement: &'static str,
    /// `None` for any number.
    rows: Option<u64>,
}

/// Applies a batch: data and checkpoint in one transaction, or nothing. Returns the checkpoint that the target holds
/// afterwards.
///
/// # Errors
/// [`TargetError::Fenced`], [`TargetError::Diverged`], [`TargetError::KeyCollision`], [`TargetError::Value`] and the
/// server's, all of which left nothing behind; [`TargetError::CommitUnknown`], after which [`settle`] on a new session
/// tells what happened.
pub async fn apply(
    target: &mut Target,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Checkpoint, TargetError> {
    if plan.is_empty() {
        return target.advance_by(expected, plan.end_lsn, &totals(plan)).await;
    }
    if let Some(request) = direct::build(plan, target.dialect())? {
        match direct::run(target, &request, plan, expected).await? {
            Outcome::Applied(checkpoint) => return Ok(checkpoint),
            Outcome::Unexplained => tracing::debug!("a batch is applied again to learn what is at fault"),
        }
    }
    apply_staged(target, plan, expected).await
}

/// As [`apply`], through staging tables whatever the size of the batch: to measure where this way becomes the faster
/// one.
///
/// # Errors
/// As [`apply`].
pub async fn apply_staged(
    target: &mut Target,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Checkpoint, TargetError> {
    if plan.is_empty() {
        return target.advance_by(expected, plan.end_lsn, &totals(plan)).await;
    }
    let applied = Box::pin(staged::run(target, plan, expected)).await;
    if applied.is_err() {
        target.roll_back().await;
    }
    applied
}

/// As [`apply`], in one request whatever the number of rows: to measure up to where this way is the faster one. `None`, and
/// nothing was sent, when the plan does not fit into one request, or has values that only staging can take.
///
/// # Errors
/// As [`apply`]; [`TargetError::Answer`] where that would go on to staging to learn what is at fault.
pub async fn apply_direct(
    target: &mut Target,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Option<Checkpoint>, TargetError> {
    let Some(request) = direct::build_up_to(usize::MAX, plan, target.dialect())? else { return Ok(None) };
    match direct::run(target, &request, plan, expected).await? {
        Outcome::Applied(checkpoint) => Ok(Some(checkpoint)),
        Outcome::Unexplained => {
            let detail = "a statement did not touch the rows that it should".to_owned();
            Err(TargetError::Answer { during: "applying a batch", detail })
        }
    }
}

/// Settles an unknown COMMIT on a new session: waits for the in-doubt transaction and reads the checkpoint.
///
/// `before` is the checkpoint that was given to [`apply`], `end_lsn` the end of the plan.
///
/// # Errors
/// [`TargetError::Fenced`] when the checkpoint is neither the one before the batch nor the one behind it.
pub async fn settle(target: &mut Target, before: &Checkpoint, end_lsn: Lsn) -> Result<Settled, TargetError> {
    let found = target.read_checkpoint_locked(&before.pipeline).await?;
    decide(before, found, end_lsn)
}

/// What the checkpoint that was found says of the batch.
fn decide(before: &Checkpoint, found: Checkpoint, end_lsn: Lsn) -> Result<Settled, TargetError> {
    if found == *before {
        return Ok(Settled::NotCommitted(found));
    }
    if found == behind(before, end_lsn) {
        return Ok(Settled::Committed(found));
    }
    Err(TargetError::Fenced { pipeline: before.pipeline.clone(), epoch: before.epoch })
}

/// The checkpoint behind a batch.
fn behind(before: &Checkpoint, end_lsn: Lsn) -> Checkpoint {
    Checkpoint { applied_lsn: end_lsn, batch_seq: before.batch_seq + 1, ..before.clone() }
}

/// What a batch adds to the totals of its pipeline.
fn totals(plan: &ApplyPlan) -> Totals {
    Totals {
        commit_time_us: Some(plan.commit_time_us),
        transactions: plan.transactions,
        changes: plan.changes,
    }
}

/// Begins the transaction and proves that this process still owns the pipeline.
async fn begin(target: &mut Target, expected: &Checkpoint) -> Result<(), TargetError> {
    let sql = format!("{}; {}", sql::session::BEGIN, sql::state::fence(expected));
    let response = target.batch("taking the fence", &sql).await?;
    check_fence(expected, &response.row_counts)
}

/// Compares row counts with what they must be.
fn check_counts(counts: &[u64], expected: &[Expected<'_>], end_lsn: Lsn) -> Result<(), TargetError> {
    for (expected, found) in expected.iter().zip(counts) {
        if let Some(rows) = expected.rows.filter(|rows| rows != found) {
            return Err(TargetError::Diverged {
                table: Box::new(expected.table.target.clone()),
                statement: expected.statement,
                expected: rows,
                found: *found,
                lsn: end_lsn,
                oid: expected.table.source.oid,
            });
        }
    }
    if counts.len() == expected.len() {
        return Ok(());
    }
    // A trigger without SET NOCOUNT ON adds counts of its own.
    let detail = format!("{} row counts came for {} statements", counts.len(), expected.len());
    Err(TargetError::Answer { during: "applying a batch", detail })
}

/// Where the values of a plan come from, for errors.
fn place(plan: &ApplyPlan) -> String {
    format!("batch ending at {}", plan.end_lsn)
}

/// Names the table of a statement's error.
fn at_table(error: TargetError, table: &TablePlan, plan: &ApplyPlan) -> TargetError {
    error.at_table(table, &place(plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::{Fault, Lineage};

    fn checkpoint(epoch: i64, batch_seq: i64, lsn: u64) -> Checkpoint {
        Checkpoint {
            pipeline: "p".to_owned(),
            epoch,
            batch_seq,
            applied_lsn: Lsn::new(lsn),
            lineage: Lineage {
                system_identifier: "7".to_owned(),
                timeline: 1,
                database_oid: 5,
                slot: "s".to_owned(),
                publication: "p".to_owned(),
                publication_oid: 6,
            },
        }
    }

    #[test]
    fn unknown_commit_is_settled_by_the_checkpoint() {
        let before = checkpoint(3, 10, 100);
        let settle = |found: Checkpoint| decide(&before, found, Lsn::new(200)).map_err(|error| error.code());
        assert_eq!(settle(checkpoint(3, 10, 100)), Ok(Settled::NotCommitted(before.clone())));
        assert_eq!(settle(checkpoint(3, 11, 200)), Ok(Settled::Committed(checkpoint(3, 11, 200))));
        for other in [
            checkpoint(4, 10, 100),
            checkpoint(4, 11, 200),
            checkpoint(3, 11, 300),
            checkpoint(3, 12, 200),
            checkpoint(3, 9, 100),
        ] {
            assert_eq!(settle(other), Err("FENCED"));
        }
    }
}
