//! [`Reporter`]: tells whoever waits how far a comparison is.

use segcdc_model::QualifiedName;

use crate::verify::{VerifyProgress, VerifyStage};

/// Rows between two reports.
const EVERY_ROWS: u64 = 10_000;

/// Tells whoever waits, not more often than is of use.
pub(crate) struct Reporter<'a> {
    on_progress: &'a mut (dyn FnMut(&VerifyProgress) + Send),
    progress: VerifyProgress,
}

// === impl Reporter ===

impl<'a> Reporter<'a> {
    /// For a comparison of so many tables.
    pub(crate) fn new(on_progress: &'a mut (dyn FnMut(&VerifyProgress) + Send), tables: usize) -> Self {
        let progress = VerifyProgress {
            table: None,
            number: 0,
            tables,
            stage: VerifyStage::Waiting,
            rows: 0,
            expected_rows: 0,
        };
        Reporter { on_progress, progress }
    }

    /// Another table begins.
    pub(crate) fn table(&mut self, name: &QualifiedName) {
        self.progress.table = Some(name.clone());
        self.progress.number += 1;
    }

    /// Another stage begins.
    pub(crate) fn stage(&mut self, stage: VerifyStage, expected_rows: u64) {
        (self.progress.stage, self.progress.rows, self.progress.expected_rows) = (stage, 0, expected_rows);
        (self.on_progress)(&self.progress);
    }

    /// One more row is done.
    pub(crate) fn row(&mut self) {
        self.progress.rows += 1;
        if self.progress.rows.is_multiple_of(EVERY_ROWS) {
            (self.on_progress)(&self.progress);
        }
    }
}
