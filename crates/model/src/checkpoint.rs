//! [`Checkpoint`]: what the target has durably applied, and of which source.

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;

/// Which history an [`Lsn`] belongs to. An LSN means nothing without it: a restored backup, a promoted standby or a
/// slot that was dropped and made again give the same numbers another meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// `system_identifier` of the cluster, as decimal text (PostgreSQL prints it so).
    pub system_identifier: String,
    /// Timeline at the time of the checkpoint.
    pub timeline: u32,
    /// OID of the source database.
    pub database_oid: u32,
    /// Slot name, its generation included.
    pub slot: String,
    /// Publication name.
    pub publication: String,
    /// OID of the publication: one that was dropped and made again has another.
    pub publication_oid: u32,
}

/// The checkpoint row. Written in the same target transaction as the data that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The pipeline's name.
    pub pipeline: String,
    /// Fencing token: raised by each process that takes the pipeline over.
    pub epoch: i64,
    /// Batches applied in all; a compare-and-set on it makes a second application of one batch impossible.
    pub batch_seq: i64,
    /// Everything that committed at or below it has taken effect in the target.
    pub applied_lsn: Lsn,
    /// The history that `applied_lsn` belongs to.
    pub lineage: Lineage,
}
