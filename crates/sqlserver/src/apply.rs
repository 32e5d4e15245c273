//! One batch in one target transaction.

use segcdc_model::{Checkpoint, Lsn};
use segcdc_plan::ApplyPlan;

use crate::error::TargetError;
use crate::session::Target;

/// What became of a batch whose COMMIT got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It took effect; the checkpoint that the target holds now.
    Committed(Checkpoint),
    /// It left no trace: apply it again with this checkpoint.
    NotCommitted(Checkpoint),
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
    let _ = (target, plan, expected);
    Err(TargetError::Answer { during: "applying", detail: "not written yet".to_owned() })
}

/// Settles an unknown COMMIT on a new session: waits for the in-doubt transaction and reads the checkpoint.
///
/// `before` is the checkpoint that was given to [`apply`], `end_lsn` the end of the plan.
///
/// # Errors
/// [`TargetError::Fenced`] when the checkpoint is neither the one before the batch nor the one behind it.
pub async fn settle(target: &mut Target, before: &Checkpoint, end_lsn: Lsn) -> Result<Settled, TargetError> {
    let found = target.read_checkpoint_locked(&before.pipeline).await?;
    if found == *before {
        return Ok(Settled::NotCommitted(found));
    }
    let behind = Checkpoint { applied_lsn: end_lsn, batch_seq: before.batch_seq + 1, ..before.clone() };
    if found == behind {
        return Ok(Settled::Committed(found));
    }
    Err(TargetError::Fenced { pipeline: before.pipeline.clone(), epoch: before.epoch })
}
