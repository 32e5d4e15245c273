//! The state of pipelines: checkpoint, fence and phases of tables.
//!
//! Two fences keep a process that has been taken over from writing:
//!
//! ```text
//! checkpoint   epoch, applied LSN and batch number are those that this process knows    batches, advances, lineage
//! epoch        the epoch is the one that this process took                              phases and progress of tables
//! ```
//!
//! When a fenced statement changes no row, somebody else has taken the pipeline over, and nothing more is written.
//! Epoch-fenced writes may come from several sessions of one process at a time; they wait for an open batch.

mod large_transaction;
mod load;
mod partial_transaction;
mod read;
mod remove;
mod schema_changes;
mod skipped_transaction;
mod slot_watch;
mod table_wish;
mod write;

use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{Checkpoint, Lineage, Lsn, QualifiedName, TablePhase};
use segcdc_plan::TablePlan;

use crate::error::TargetError;

pub(crate) use read::Fields;
pub use schema_changes::RecordedChange;
pub(crate) use schema_changes::written;

pub use large_transaction::SaidOfLarge;
pub use skipped_transaction::{SkipWish, SkippedTransaction};
pub use table_wish::{TableWish, WishOutcome};

/// Longest name of a pipeline, in characters.
pub const MAX_PIPELINE_NAME: usize = 100;

/// Everything that the target knows of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineState {
    /// Position, fence and lineage.
    pub checkpoint: Checkpoint,
    /// Who runs or last ran it.
    pub owner: String,
    /// Commit time of the last applied transaction, microseconds since 2000-01-01 UTC, by the source's clock.
    pub commit_time_us: Option<i64>,
    /// The slot was made by us, so that `down --drop` removes it.
    pub slot_is_ours: bool,
    /// The publication was made by us.
    pub publication_is_ours: bool,
    /// Source transactions applied since the pipeline was made.
    pub transactions_applied: u64,
    /// Source changes applied since the pipeline was made.
    pub changes_applied: u64,
    /// Settings of the engine, JSON. What they mean is the engine's matter.
    pub spec: Option<String>,
    /// How far behind the pipeline was when its process last said so.
    pub lag: Option<Lag>,
    /// When the state was last written, microseconds since 2000-01-01 UTC, by the target's clock.
    pub updated_at_us: i64,
    /// The target's clock when the state was read, as `updated_at_us`.
    pub read_at_us: i64,
    /// Its tables, by name.
    pub tables: Vec<TableState>,
}

// === impl PipelineState ===

impl PipelineState {
    /// Whether the table with this OID is paused.
    pub fn is_paused(&self, source_oid: u32) -> bool {
        let is_paused = |table: &TableState| table.phase == TablePhase::Paused;
        self.tables.iter().any(|table| table.source_oid == source_oid && is_paused(table))
    }
}

/// How far behind its source a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// End of the source's WAL as last seen.
    pub source_lsn: Lsn,
    /// Age of the oldest change that is not applied, microseconds; 0 when all is applied.
    pub lag_us: i64,
}

/// What was last seen of a pipeline's slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotWatch {
    /// The slot.
    pub slot: String,
    /// The source's timeline.
    pub timeline: u32,
    /// A position that the slot had let go of for good: on the same timeline it never needs WAL from before it again.
    pub restart_lsn: Lsn,
    /// When it was seen, microseconds since 2000-01-01 UTC, by the source's clock.
    pub seen_at_us: i64,
    /// How far the source had written.
    pub source_lsn: Lsn,
    /// WAL that the slot kept, bytes.
    pub retained_bytes: u64,
    /// How much it may keep by the pipeline's own setting, bytes.
    pub limit_bytes: Option<u64>,
}

/// How far a source transaction is that is too large for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeTransaction {
    /// Source transaction id.
    pub xid: u32,
    /// All of it has come, and it is being applied.
    pub is_complete: bool,
    /// Changes that have come.
    pub changes: u64,
    /// Bytes of it on disk.
    pub disk_bytes: u64,
    /// Changes in the open target transaction.
    pub applied: u64,
    /// The part that is being applied, from 1; 0 while it is being received.
    pub part: u64,
    /// Parts in all; 0 while it is being received.
    pub parts: u64,
    /// Since its first change has come, milliseconds.
    pub elapsed_ms: u64,
}

/// How much of a source transaction is committed in the target while the checkpoint is still in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialTransaction {
    /// Source transaction id.
    pub xid: u32,
    /// Position behind its COMMIT record.
    pub end_lsn: Lsn,
    /// Its first changes, in source order and without those that were rolled back: they are applied.
    pub changes: u64,
}

/// What the target knows of one table of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// OID in the source.
    pub source_oid: u32,
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Fingerprint of the columns and key that the table was made for, at most 64 characters.
    pub shape: String,
    /// Where it stands.
    pub phase: TablePhase,
    /// Changes at or below it are in the copy.
    pub sync_lsn: Lsn,
    /// Rows of the copy so far.
    pub rows_copied: u64,
    /// Bytes of the copy so far.
    pub bytes_copied: u64,
    /// Rows that the source was thought to have when the copy began.
    pub estimated_rows: u64,
    /// The target table was made by us.
    pub table_is_ours: bool,
    /// Why it is quarantined: code and detail. Details over 1000 characters are cut.
    pub error: Option<(String, String)>,
}

/// How far the copy of one table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableProgress {
    /// OID in the source.
    pub source_oid: u32,
    /// Rows of the copy so far.
    pub rows_copied: u64,
    /// Bytes of the copy so far.
    pub bytes_copied: u64,
}

/// A table in the place of another one.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'a> {
    /// OID of the one that goes.
    pub before: u32,
    /// The state of the one that comes.
    pub after: &'a TableState,
    /// Its target table, if that is to be made.
    pub made: Option<&'a TablePlan>,
    /// The target table that goes, if there is one.
    pub dropped: Option<&'a QualifiedName>,
}

/// What a new pipeline begins with. It is stored before anything exists at the source, so that whatever is made there
/// can be found and removed; [`crate::Target::set_lineage`] completes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPipeline {
    /// Its name, at most [`MAX_PIPELINE_NAME`] characters.
    pub pipeline: String,
    /// Who creates it.
    pub owner: String,
    /// Identity of the source, with the names that slot and publication will have; 0 for a publication without an OID
    /// yet.
    pub lineage: Lineage,
    /// The slot is to be made, or was made, by us.
    pub slot_is_ours: bool,
    /// The publication is to be made, or was made, by us.
    pub publication_is_ours: bool,
    /// Everything at or below it is in the copy; zero when there is no slot yet.
    pub start_lsn: Lsn,
    /// Settings of the engine, JSON.
    pub spec: Option<String>,
}

/// The first count of a fenced batch must be one row.
///
/// # Errors
/// [`TargetError::Fenced`] when it is not.
pub fn check_fence(checkpoint: &Checkpoint, counts: &[u64]) -> Result<(), TargetError> {
    if counts.first() == Some(&1) || is_planted(Mutant::NoFence) {
        return Ok(());
    }
    Err(TargetError::Fenced { pipeline: checkpoint.pipeline.clone(), epoch: checkpoint.epoch })
}
