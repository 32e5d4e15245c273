//! [`Transaction`]: one committed source transaction.

use crate::change::Change;
use crate::lsn::Lsn;
use crate::spilled::SpilledChanges;

/// A committed transaction with its changes in order. Transactions arrive in commit order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Source transaction id.
    pub xid: u32,
    /// Position of the COMMIT record. For people and logs only.
    pub commit_lsn: Lsn,
    /// Position behind the COMMIT record: the one position that is stored and acknowledged.
    pub end_lsn: Lsn,
    /// Commit time, microseconds since 2000-01-01 UTC, by the source's clock.
    pub commit_time_us: i64,
    /// The first changes of a large transaction: those that were too many for memory.
    pub spilled: Option<SpilledChanges>,
    /// Changes of published tables, in source order; of a large transaction, those behind the spilled ones.
    pub changes: Vec<Change>,
    /// Memory that `changes` keeps alive, bytes.
    pub memory_bytes: usize,
    /// Bytes of values that are kept outside of memory.
    pub large_bytes: u64,
}
