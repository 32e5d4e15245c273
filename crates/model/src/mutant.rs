//! [`Mutant`]: mistakes that tests can plant, to see that the net of the other tests holds them.
//!
//! Compiled in with the cargo feature `mutants`, which only manifests' parts for tests name (`cargo xtask layers`). Without it
//! [`is_planted`] is a constant, and nothing of a mistake is left.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// What a keepalive says is acknowledged before the target's checkpoint holds it.
    AcknowledgeEarly,
    /// The stream begins at the highest position that was ever seen, not at the checkpoint's.
    HighestLsn,
    /// Transactions are left out by the position of a record of theirs, not by that of their end.
    SkipByRecordLsn,
    /// An unchanged TOAST value is NULL.
    ToastAsNull,
    /// Nobody looks whether the fence has found its row.
    NoFence,
    /// A batch is committed without its checkpoint.
    CommitWithoutCheckpoint,
    /// Nobody compares what was spilled with its checksum.
    NoSpillChecksum,
    /// Keys are compared by their first column.
    KeysByFirstColumn,
    /// Rows that are there have NULL in a column that is added, whatever the source gave them.
    AddedAsNull,
}

#[cfg(feature = "mutants")]
thread_local! {
    /// The mistake of this thread.
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether this mistake is to be made.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn is_planted(_: Mutant) -> bool {
    false
}

/// Whether this mistake is to be made.
#[cfg(feature = "mutants")]
pub fn is_planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Has this thread make a mistake from now on, or none.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}
