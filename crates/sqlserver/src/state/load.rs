//! The fence of loads: what a process that was taken over has loaded is never committed.

use segcdc_model::Checkpoint;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;
use crate::state::check_fence;

// === impl Target ===

impl Target {
    /// Begins the transaction of a load; [`crate::Loader::begin`] comes next.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin_load(&mut self) -> Result<(), TargetError> {
        self.batch("beginning a load", sql::session::BEGIN).await.map(drop)
    }

    /// Proves the epoch and commits what [`crate::Loader::finish`] has left in the transaction. The state row is locked
    /// for that moment only: loads run side by side, and a take-over waits for none of them longer.
    ///
    /// # Errors
    /// [`TargetError::Fenced`] when another process took over; then nothing of the load is in the table.
    pub async fn commit_load(&mut self, checkpoint: &Checkpoint) -> Result<(), TargetError> {
        let committed = async {
            let response = self.batch("ending a load", &sql::state::hold(checkpoint)).await?;
            check_fence(checkpoint, &response.row_counts)?;
            self.commit().await
        };
        let committed = committed.await;
        if committed.is_err() {
            self.roll_back().await;
        }
        committed
    }

    /// Rolls the transaction of a load back.
    pub async fn roll_back_load(&mut self) {
        self.roll_back().await;
    }
}
