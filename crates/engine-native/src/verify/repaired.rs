//! What a repair was asked for, and has done.

use serde::{Deserialize, Serialize};

use crate::verify::NotCompared;

/// What is done about rows that are not the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepairMode {
    /// Nothing: they are reported.
    #[default]
    Report,
    /// It is reported what would be written.
    DryRun,
    /// They are written anew, and compared again.
    Write,
}

/// What was done about the differences of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepairReport {
    /// Rows that were written; that would be, in a dry run.
    #[serde(flatten)]
    pub rows: RepairedRows,
    /// Nothing was written: it was only asked what would be.
    pub dry_run: bool,
    /// Why it ended before all was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<NotCompared>,
}

/// Rows of the target that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepairedRows {
    /// Rows that were missing.
    pub inserted: u64,
    /// Rows that had other values.
    pub updated: u64,
    /// Rows that the source has not.
    pub deleted: u64,
    /// Rows that were left alone, because the source was changing them, they are set aside, or they do not fit. A row may be
    /// counted once for each time that it was tried.
    pub left: u64,
    /// Dead letters that were closed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub letters: u64,
}

/// Whether a count is left out, which serde hands over as a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl RepairReport ===

impl RepairReport {
    /// Adds what was done about the differences of other rows of the table.
    pub(crate) fn add(&mut self, other: RepairReport) {
        self.rows.add(&other.rows);
        self.dry_run |= other.dry_run;
        self.stopped = self.stopped.take().or(other.stopped);
    }
}

// === impl RepairedRows ===

impl RepairedRows {
    /// Rows that were written.
    pub fn written(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// Adds what another transaction has done.
    pub(crate) fn add(&mut self, other: &RepairedRows) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.left += other.left;
        self.letters += other.letters;
    }
}
