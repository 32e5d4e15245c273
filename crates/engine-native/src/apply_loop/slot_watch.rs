//! What the target's state holds of the slot: written with each heartbeat, and once more at the end of a run.

use super::{LAST_WORDS, Loop};
use crate::context::{Context, Memory};
use crate::error::EngineError;
use crate::ports::{Ports, SourcePort, TargetPort};

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Writes what is seen of the slot, for `status` and for the next start.
    pub(super) async fn write_slot_watch(&mut self) -> Result<(), EngineError> {
        let limit = self.context.config.wal.max_retained_bytes;
        let Some(seen) = self.context.slot_view.to_store(limit) else { return Ok(()) };
        Ok(self.target.set_slot_watch(self.memory.checkpoint()?, &seen).await?)
    }
}

/// Writes how the slot was left, if it can be done soon: nothing depends on it.
pub(super) async fn leave<S: SourcePort, T: TargetPort>(
    context: &Context,
    memory: &Memory,
    source: &S,
    target: &mut T,
) {
    let written = async {
        let checkpoint = memory.checkpoint()?;
        let limit = context.config.wal.max_retained_bytes;
        match source.look_at_rest(&checkpoint.lineage, limit).await? {
            Some(seen) => Ok(target.set_slot_watch(checkpoint, &seen).await?),
            None => Ok::<(), EngineError>(()),
        }
    };
    match tokio::time::timeout(LAST_WORDS, written).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %error, "what was seen of the slot was not stored"),
        Err(_) => tracing::debug!("what was seen of the slot was not stored in time"),
    }
}
