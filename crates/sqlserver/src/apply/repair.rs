//! Rows that are written outside of the stream: in target transactions that hold the pipeline's fence.
//!
//! ```text
//! missing #s<n> is created
//! BEGIN; the pipeline's row is locked and read      no batch can begin, no process can take the pipeline over
//!   rows are read back, and changed as by a batch
//! COMMIT                                            the checkpoint is what it was
//! ```
//!
//! Epoch, position and batch number stay, so that a process that runs the pipeline meanwhile waits for a moment and goes
//! on. What is written has to be what the source says of the rows at the checkpoint that is returned.

use segcdc_model::Checkpoint;
use segcdc_plan::{ApplyPlan, TablePlan};

use super::staged;
use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

/// A target transaction that is open and holds the fence of a pipeline.
///
/// One that is dropped leaves the transaction open: the session must go too.
#[derive(Debug)]
pub struct RepairApply<'t> {
    target: &'t mut Target,
    checkpoint: Checkpoint,
}

// === impl RepairApply ===

impl<'t> RepairApply<'t> {
    /// Begins the transaction, and waits for a batch that is under way.
    ///
    /// # Errors
    /// [`TargetError::StateMissing`] and the server's; nothing is open then.
    pub async fn begin(
        target: &'t mut Target,
        pipeline: &str,
        table: &TablePlan,
    ) -> Result<Self, TargetError> {
        staged::create_staging(target, [table]).await?;
        let begun = async {
            target.batch("holding the fence", sql::session::BEGIN).await?;
            target.read_checkpoint_locked(pipeline).await
        };
        match begun.await {
            Ok(checkpoint) => Ok(RepairApply { target, checkpoint }),
            Err(error) => {
                target.roll_back().await;
                Err(error)
            }
        }
    }

    /// What the target holds for as long as the transaction is open.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The session, to read in the transaction.
    pub fn session(&mut self) -> &mut Target {
        self.target
    }

    /// Changes the rows of a plan, and commits. Nothing of it moves the checkpoint.
    ///
    /// # Errors
    /// As [`super::apply`]; nothing is left behind then, but for [`TargetError::CommitUnknown`].
    pub async fn commit(self, plan: &ApplyPlan) -> Result<(), TargetError> {
        let RepairApply { target, checkpoint } = self;
        let written = async {
            Box::pin(staged::run_part(target, plan, &checkpoint)).await?;
            target.commit().await
        };
        let written = written.await;
        if written.is_err() {
            target.roll_back().await;
        }
        written
    }

    /// Ends the transaction: nothing was changed.
    pub async fn roll_back(self) {
        self.target.roll_back().await;
    }
}
