//! Rows of a snapshot into a target table, each load in a transaction of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segcdc_model::Tuple;
use segcdc_plan::TablePlan;

use crate::error::TargetError;
use crate::session::Target;

/// What the loads of one table have sent so far, for whoever shows it. Shared by all loaders of the table.
#[derive(Debug, Default)]
pub struct LoadProgress {
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// One load in progress. Dropped before [`Loader::finish`], it leaves the session unusable and the server undoes it.
#[derive(Debug)]
pub struct Loader<'t> {
    target: &'t mut Target,
    progress: Arc<LoadProgress>,
}

// === impl LoadProgress ===

impl LoadProgress {
    /// Rows sent.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Encoded bytes sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

// === impl Loader ===

impl<'t> Loader<'t> {
    /// Starts a load of `table`, whose target exists and is empty or holds earlier loads. Several loaders of one table
    /// may run at once, each with a session of its own, as long as the table has no key yet.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn begin(
        target: &'t mut Target,
        table: &Arc<TablePlan>,
        progress: Arc<LoadProgress>,
    ) -> Result<Self, TargetError> {
        let _ = table;
        Ok(Loader { target, progress })
    }

    /// Adds a row: its fields are the plan's columns, in their order. Sends when enough have come together.
    ///
    /// # Errors
    /// [`TargetError::Value`] for a value that the target cannot hold; the load has to be aborted then.
    pub async fn push(&mut self, row: &Tuple) -> Result<(), TargetError> {
        self.progress.rows.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(row.memory_bytes() as u64, Ordering::Relaxed);
        let _ = &self.target;
        Ok(())
    }

    /// Sends what is left and commits. Returns the rows of the load.
    ///
    /// # Errors
    /// The server's; then nothing of the load is in the table.
    pub async fn finish(self) -> Result<u64, TargetError> {
        Err(TargetError::Answer { during: "loading", detail: "not written yet".to_owned() })
    }

    /// Gives the load up: nothing of it stays, and the session can be used again.
    ///
    /// # Errors
    /// A broken connection; the server undoes the load then too.
    pub async fn abort(self) -> Result<(), TargetError> {
        Ok(())
    }
}
