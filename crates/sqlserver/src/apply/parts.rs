//! A source transaction that is too large for memory, or that changes tables: part by part in one target transaction, or
//! in one for each part.
//!
//! ```text
//! missing #s<n> are created
//! BEGIN; fence
//!   each part as a staged batch: rows into #s<n>, statements with their counts, emptying of #s<n>
//!   between two parts, where a table was changed: ALTER TABLE, another #s<n>, what is known of the table
//! checkpoint
//! COMMIT
//! ```
//!
//! Nothing of it can be seen before the last step, and until then a kill leaves nothing behind. Where the user wants
//! the parts in target transactions of their own, the count of what is applied stands in the place of the checkpoint:
//! [`PartsApply::commit_inside`].

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{Checkpoint, Lsn};
use segcdc_plan::{ApplyPlan, TableKey, TablePlan};

use super::{begin, behind, staged};
use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::state::Totals;
use crate::state::{PartialTransaction, check_fence};

/// A target transaction that is open and takes parts.
///
/// Each function that fails has rolled back. One that is dropped leaves the transaction open: the session must go too.
#[derive(Debug)]
pub struct PartsApply<'t> {
    pub(super) target: &'t mut Target,
    pub(super) expected: Checkpoint,
    changes: u64,
    /// The session's staging tables when the transaction began: what became of them since goes with it.
    staging: HashMap<u32, (usize, String)>,
}

// === impl PartsApply ===

impl<'t> PartsApply<'t> {
    /// Begins the transaction and takes the fence. `tables` are all that the parts may change.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] and the server's.
    pub async fn begin(
        target: &'t mut Target,
        expected: &Checkpoint,
        tables: &[Arc<TablePlan>],
    ) -> Result<Self, TargetError> {
        Self::prepare(target, tables).await?;
        if let Err(error) = begin(target, expected).await {
            target.roll_back().await;
            return Err(error);
        }
        let staging = target.staging.clone();
        Ok(PartsApply { target, expected: expected.clone(), changes: 0, staging })
    }

    /// Begins a transaction beside the pipeline's own, for a table that only the caller writes: the epoch is proved when it
    /// is committed, by [`PartsApply::commit_beside`], so that it waits for no batch of other tables and none for it.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin_beside(
        target: &'t mut Target,
        expected: &Checkpoint,
        tables: &[Arc<TablePlan>],
    ) -> Result<Self, TargetError> {
        Self::prepare(target, tables).await?;
        target.begin_load().await?;
        let staging = target.staging.clone();
        Ok(PartsApply { target, expected: expected.clone(), changes: 0, staging })
    }

    /// Proves the epoch and commits; the checkpoint stays where it is.
    ///
    /// # Errors
    /// As [`super::apply`].
    pub async fn commit_beside(mut self) -> Result<(), TargetError> {
        let committed = self.target.commit_load(&self.expected).await;
        if committed.is_err() {
            self.undo().await;
        }
        committed
    }

    /// What cannot be done inside of a transaction.
    async fn prepare(target: &mut Target, tables: &[Arc<TablePlan>]) -> Result<(), TargetError> {
        if tables.iter().any(|table| table.key == TableKey::WholeRow) {
            // Asked here: an answer that is an error would end the transaction.
            target.deletes_numbered().await?;
        }
        staged::create_staging(target, tables.iter().map(|table| &**table)).await
    }

    /// Applies the next part.
    ///
    /// # Errors
    /// As [`super::apply`]; nothing is left of the parts before either.
    pub async fn add(&mut self, part: &ApplyPlan) -> Result<(), TargetError> {
        self.changes += part.changes;
        let applied = Box::pin(staged::run_part(self.target, part, &self.expected)).await;
        if applied.is_err() {
            self.undo().await;
        }
        applied
    }

    /// Rolls back. Staging tables that were made meanwhile are gone, and those that were dropped are there again.
    pub(super) async fn undo(&mut self) {
        self.target.roll_back().await;
        self.target.staging.clone_from(&self.staging);
    }

    /// Gives the transaction up: nothing is left of it.
    pub async fn roll_back(mut self) {
        self.undo().await;
    }

    /// Moves the checkpoint and commits. `commit_time_us` is the time of the source's commit, microseconds since
    /// 2000-01-01 UTC.
    ///
    /// # Errors
    /// As [`super::apply`].
    pub async fn commit(self, end_lsn: Lsn, commit_time_us: i64) -> Result<Checkpoint, TargetError> {
        let totals = Totals { commit_time_us: Some(commit_time_us), transactions: 1, changes: self.changes };
        let finish = sql::state::finish(&self.expected, end_lsn, &totals);
        self.finish(finish, 0, end_lsn).await
    }

    /// Commits what was added so far. The checkpoint stays in front of the source transaction, only its batch counts;
    /// the state says how much of the source transaction is applied.
    ///
    /// # Errors
    /// As [`super::apply`].
    pub async fn commit_inside(self, partial: &PartialTransaction) -> Result<Checkpoint, TargetError> {
        let (pipeline, end_lsn) = (&self.expected.pipeline, self.expected.applied_lsn);
        let totals = Totals { changes: self.changes, ..Totals::default() };
        let statements = [
            sql::state::finish(&self.expected, end_lsn, &totals),
            sql::partial_transaction::update(pipeline, partial),
            sql::partial_transaction::insert_where_missing(pipeline, partial),
        ];
        self.finish(statements.join("; "), 1, end_lsn).await
    }

    /// Writes what comes last, and commits. `rows` is how many it writes beside that of the checkpoint.
    async fn finish(mut self, sql: String, rows: u64, lsn: Lsn) -> Result<Checkpoint, TargetError> {
        let during = "applying a transaction in parts";
        let committed = async {
            let counts = self.target.batch(during, &sql).await?.row_counts;
            check_fence(&self.expected, &counts)?;
            let written: u64 = counts.iter().skip(1).sum();
            if written != rows {
                let detail = format!("{written} rows of its state were written instead of {rows}");
                return Err(TargetError::Answer { during, detail });
            }
            self.target.commit().await
        };
        let committed = committed.await;
        if committed.is_err() {
            self.undo().await;
        }
        committed.map(|()| behind(&self.expected, lsn))
    }
}
