//! A source transaction that is too large for memory, in one target transaction: part by part.
//!
//! ```text
//! missing #s<n> are created
//! BEGIN; fence
//!   each part as a staged batch: rows into #s<n>, statements with their counts, emptying of #s<n>
//! checkpoint
//! COMMIT
//! ```
//!
//! Nothing of it can be seen before the last step, and until then a kill leaves nothing behind.

use std::sync::Arc;

use segcdc_model::{Checkpoint, Lsn};
use segcdc_plan::{ApplyPlan, TableKey, TablePlan};

use super::{begin, behind, staged};
use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::sql::state::Totals;
use crate::state::check_fence;

/// A target transaction that is open and takes parts.
///
/// Each function that fails has rolled back. One that is dropped leaves the transaction open: the session must go too.
#[derive(Debug)]
pub struct PartsApply<'t> {
    target: &'t mut Target,
    expected: Checkpoint,
    changes: u64,
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
        if tables.iter().any(|table| table.key == TableKey::WholeRow) {
            // Asked here: an answer that is an error would end the transaction.
            target.deletes_numbered().await?;
        }
        staged::create_staging(target, tables.iter().map(|table| &**table)).await?;
        if let Err(error) = begin(target, expected).await {
            target.roll_back().await;
            return Err(error);
        }
        Ok(PartsApply { target, expected: expected.clone(), changes: 0 })
    }

    /// Applies the next part.
    ///
    /// # Errors
    /// As [`super::apply`]; nothing is left of the parts before either.
    pub async fn add(&mut self, part: &ApplyPlan) -> Result<(), TargetError> {
        self.changes += part.changes;
        let applied = Box::pin(staged::run_part(self.target, part, &self.expected)).await;
        if applied.is_err() {
            self.target.roll_back().await;
        }
        applied
    }

    /// Gives the transaction up: nothing is left of it.
    pub async fn roll_back(self) {
        self.target.roll_back().await;
    }

    /// Moves the checkpoint and commits. `commit_time_us` is the time of the source's commit, microseconds since
    /// 2000-01-01 UTC.
    ///
    /// # Errors
    /// As [`super::apply`].
    pub async fn commit(self, end_lsn: Lsn, commit_time_us: i64) -> Result<Checkpoint, TargetError> {
        let PartsApply { target, expected, changes } = self;
        let totals = Totals { commit_time_us: Some(commit_time_us), transactions: 1, changes };
        let committed = async {
            let sql = sql::state::finish(&expected, end_lsn, &totals);
            let response = target.batch("applying a large transaction", &sql).await?;
            check_fence(&expected, &response.row_counts)?;
            target.commit().await
        };
        let committed = committed.await;
        if committed.is_err() {
            target.roll_back().await;
        }
        committed.map(|()| behind(&expected, end_lsn))
    }
}
