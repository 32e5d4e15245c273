//! [`status`]: where a pipeline stands, as the two servers tell. Disturbs nothing.

use segcdc_model::{Lsn, Phase, QualifiedName, TablePhase};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::error::EngineError;

/// Where a pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// The pipeline.
    pub pipeline: String,
    /// Whether it runs.
    pub state: PipelineStateWord,
    /// How far it has come.
    pub phase: Phase,
    /// Whether a person should look.
    pub health: Health,
    /// The process that runs it or last ran it.
    pub owner: String,
    /// How often it was taken over.
    pub epoch: i64,
    /// Batches applied in all.
    pub batch_seq: i64,
    /// Everything that committed at or below it is in the target.
    pub applied_lsn: Lsn,
    /// How far the source has written; `None` when it cannot be asked.
    pub source_lsn: Option<Lsn>,
    /// WAL between the two, bytes. Most of it may belong to other databases or tables.
    pub lag_bytes: Option<u64>,
    /// Age of the last applied transaction by the source's clock, milliseconds, when the lag is not zero.
    pub lag_ms: Option<u64>,
    /// The slot; `None` when the source cannot be asked.
    pub slot: Option<SlotReport>,
    /// The publication.
    pub publication: String,
    /// The tables, ordered by source name.
    pub tables: Vec<TableReport>,
    /// What a person should know, worst first.
    pub notes: Vec<StatusNote>,
}

/// Whether a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PipelineStateWord {
    /// Something reads its slot, and all tables are well.
    Running,
    /// Something reads its slot, or copies, but a table is quarantined.
    Degraded,
    /// Tables are being set up or copied and the slot is not read yet; whether a process does so cannot be seen.
    Starting,
    /// Nothing reads its slot.
    Stopped,
    /// It cannot go on: the slot is gone or lost, or the publication is gone.
    Failed,
}

/// Whether a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Health {
    /// No.
    Ok,
    /// The source cannot be asked.
    Unknown,
    /// Soon.
    Warn,
    /// Now.
    Error,
}

/// Where one table stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Where it stands.
    pub phase: TablePhase,
    /// Rows copied so far, or in all.
    pub rows_copied: u64,
    /// Changes at or below it are in the copy.
    pub sync_lsn: Lsn,
    /// Code and words, when it is quarantined.
    pub error: Option<StatusNote>,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusNote {
    /// Stable code.
    pub code: String,
    /// What is the matter.
    pub detail: String,
    /// What a person can do.
    pub hint: String,
}

/// A pipeline's slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotReport {
    /// Name.
    pub name: String,
    /// It was made by us, and `down` removes it.
    pub ours: bool,
    /// Whether it is there.
    pub exists: bool,
    /// Process that reads it.
    pub active_pid: Option<i32>,
    /// What was acknowledged.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// Oldest WAL that it needs.
    pub restart_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it was invalidated, where the version tells.
    pub invalidation: Option<String>,
    /// WAL that it keeps the source from removing, bytes.
    pub retained_bytes: u64,
    /// Bytes that can still be written before it is in danger; `None` when unlimited or lost.
    pub safe_wal_bytes: Option<i64>,
}

/// Where the pipeline stands, as the two servers tell.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline, and what keeps the target from being asked. A source
/// that cannot be asked is a note, not an error.
pub async fn status(config: &EngineConfig) -> Result<StatusReport, EngineError> {
    let _ = config;
    Err(EngineError::NoTables)
}

/// The pipeline's slot.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline, and what keeps either server from being asked.
pub async fn slot(config: &EngineConfig) -> Result<SlotReport, EngineError> {
    let _ = config;
    Err(EngineError::NoTables)
}
