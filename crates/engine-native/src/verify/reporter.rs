//! [`Reporter`]: tells whoever waits how far a comparison is.

use segcdc_model::QualifiedName;
use tokio::sync::mpsc::UnboundedSender;

use crate::verify::{VerifyProgress, VerifyStage};

/// Rows between two reports.
const EVERY_ROWS: u64 = 10_000;

/// Tells whoever waits how far the comparison of one range of a table is, not more often than is of use.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    listener: UnboundedSender<VerifyProgress>,
    progress: VerifyProgress,
}

// === impl Reporter ===

impl Reporter {
    /// For a comparison of so many tables.
    pub(crate) fn new(listener: UnboundedSender<VerifyProgress>, tables: usize) -> Self {
        let progress = VerifyProgress {
            table: None,
            number: 0,
            tables,
            stage: VerifyStage::Waiting,
            rows: 0,
            expected_rows: 0,
        };
        Reporter { listener, progress }
    }

    /// One that tells about a table, the `number`th of all.
    pub(crate) fn of_table(&self, name: &QualifiedName, number: usize) -> Self {
        let progress = VerifyProgress { table: Some(name.clone()), number, ..self.progress.clone() };
        Reporter { listener: self.listener.clone(), progress }
    }

    /// Another stage begins.
    pub(crate) fn stage(&mut self, stage: VerifyStage, expected_rows: u64) {
        self.stage_from(stage, 0, expected_rows);
    }

    /// Another stage begins, of which so many rows are done already.
    pub(crate) fn stage_from(&mut self, stage: VerifyStage, rows: u64, expected_rows: u64) {
        (self.progress.stage, self.progress.rows, self.progress.expected_rows) = (stage, rows, expected_rows);
        self.tell();
    }

    /// One more row is done.
    pub(crate) fn row(&mut self) {
        self.progress.rows += 1;
        if self.progress.rows.is_multiple_of(EVERY_ROWS) {
            self.tell();
        }
    }

    fn tell(&self) {
        // Nobody listens any more once the comparison has ended, with an error say.
        let _gone = self.listener.send(self.progress.clone());
    }
}
