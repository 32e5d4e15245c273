//! [`Job`]: the copy of one table, and which work comes next. No I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use segcdc_model::{Lsn, TablePhase};
use segcdc_plan::TablePlan;
use segcdc_postgres::CopyRange;
use segcdc_postgres::snapshot::split;
use segcdc_sqlserver::{LoadProgress, TableProgress, TableState};

use super::new_progress;
use crate::context::needs_copy;

/// How often the copy of one table is begun while one snapshot lives.
const MAX_ATTEMPTS: u32 = 5;

/// The copy of one table.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place among the tables of the pipeline.
    pub(super) index: usize,
    pub(super) plan: Arc<TablePlan>,
    /// What the target's state says of it.
    pub(super) state: TableState,
    /// What its readers have sent since it was begun.
    pub(super) progress: Arc<LoadProgress>,
    /// Rows of the loads that are committed.
    pub(super) rows_loaded: u64,
    ranges: VecDeque<CopyRange>,
    /// Readers at work.
    readers: usize,
    stage: Stage,
    attempts: u32,
    /// What is there is compared instead of being emptied.
    reconciles: bool,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To be emptied and begun, once no reader is at work any more.
    Waiting,
    Loading,
    /// The key is being built.
    Finishing,
    Finished,
    /// To be copied from a newer snapshot.
    Postponed,
    /// Quarantined.
    GivenUp,
}

/// What comes next for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Mark it, empty it.
    Begin,
    /// Load its next range.
    Load,
    /// Build its key and make it live.
    Finish,
}

/// The jobs for all tables that are not finished, the largest first: the time of the whole is least so.
pub(super) fn largest_first(tables: &[(Arc<TablePlan>, TableState)], readers: usize) -> Vec<Job> {
    let mut jobs: Vec<Job> = tables
        .iter()
        .enumerate()
        .filter(|(_, (_, state))| needs_copy(state))
        .map(|(index, (plan, state))| Job::new(index, Arc::clone(plan), state.clone(), readers))
        .collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(job.plan.source.size_bytes));
    jobs
}

/// The next work, and for which job. A finished load comes first, so that the table is live soon; then ranges of
/// tables that were begun, then the next table.
pub(super) fn next(jobs: &[Job]) -> Option<(usize, Next)> {
    let of = |wanted: Next| jobs.iter().position(|job| job.next() == Some(wanted)).map(|at| (at, wanted));
    of(Next::Finish).or_else(|| of(Next::Load)).or_else(|| of(Next::Begin))
}

// === impl Job ===

impl Job {
    fn new(index: usize, plan: Arc<TablePlan>, state: TableState, readers: usize) -> Self {
        let ranges = split(&plan.source, readers).into();
        Job {
            index,
            plan,
            state,
            progress: new_progress(),
            rows_loaded: 0,
            ranges,
            readers: 0,
            stage: Stage::Waiting,
            attempts: 0,
            reconciles: false,
        }
    }

    /// What comes next, if anything can be done now.
    pub(super) fn next(&self) -> Option<Next> {
        match self.stage {
            Stage::Waiting if self.readers == 0 => Some(Next::Begin),
            Stage::Loading if !self.ranges.is_empty() => Some(Next::Load),
            Stage::Loading if self.readers == 0 => Some(Next::Finish),
            Stage::Waiting
            | Stage::Loading
            | Stage::Finishing
            | Stage::Finished
            | Stage::Postponed
            | Stage::GivenUp => None,
        }
    }

    /// It is about to be emptied: nothing is loaded, everything is to be read.
    pub(super) fn begin(&mut self, readers: usize) {
        self.ranges = split(&self.plan.source, readers).into();
        self.progress = new_progress();
        self.rows_loaded = 0;
        self.reconciles = false;
        self.attempts += 1;
        self.stage = Stage::Loading;
        self.state.phase = TablePhase::Copying;
        (self.state.rows_copied, self.state.bytes_copied, self.state.error) = (0, 0, None);
    }

    /// It is about to be emptied, and to be read as a whole by one reader.
    pub(super) fn begin_whole(&mut self) {
        self.begin(1);
        self.ranges = [CopyRange::Whole].into();
    }

    /// It is about to be compared with what is there, by one reader.
    pub(super) fn begin_to_reconcile(&mut self) {
        self.begin_whole();
        self.reconciles = true;
    }

    /// Whether what is there is compared.
    pub(super) fn reconciles(&self) -> bool {
        self.reconciles
    }

    /// A range for a reader that begins.
    pub(super) fn take_range(&mut self) -> Option<CopyRange> {
        let range = self.ranges.pop_front()?;
        self.readers += 1;
        Some(range)
    }

    /// A reader has committed its rows.
    pub(super) fn loaded(&mut self, rows: u64) {
        self.reader_ended();
        // Rows of a copy that is to begin again count for nothing.
        if self.stage == Stage::Loading {
            self.rows_loaded += rows;
        }
    }

    /// Its key is about to be built.
    pub(super) fn finishing(&mut self) {
        self.stage = Stage::Finishing;
        self.readers += 1;
    }

    /// It is live.
    pub(super) fn finished(&mut self, sync_lsn: Lsn) {
        self.reader_ended();
        self.stage = Stage::Finished;
        self.state.phase = TablePhase::Streaming;
        self.state.sync_lsn = sync_lsn;
        (self.state.rows_copied, self.state.bytes_copied) = self.rows_and_bytes();
    }

    /// A reader has ended, with whatever outcome.
    pub(super) fn reader_ended(&mut self) {
        self.readers = self.readers.saturating_sub(1);
    }

    /// A reader has failed: everything is to be done again, once the other readers have ended.
    pub(super) fn begin_again(&mut self) {
        self.reader_ended();
        self.ranges.clear();
        self.stage = Stage::Waiting;
    }

    /// Whether the copy may begin once more.
    pub(super) fn may_begin_again(&self) -> bool {
        self.attempts < MAX_ATTEMPTS
    }

    /// The snapshot cannot be trusted with it: it stays unfinished.
    pub(super) fn postpone(&mut self) {
        self.reader_ended();
        self.ranges.clear();
        self.stage = Stage::Postponed;
    }

    /// It is quarantined.
    pub(super) fn give_up(&mut self, error: (String, String)) {
        self.reader_ended();
        self.ranges.clear();
        self.stage = Stage::GivenUp;
        self.state.phase = TablePhase::Quarantined;
        self.state.error = Some(error);
    }

    /// Whether the outcome of a reader changes nothing any more.
    pub(super) fn is_given_up(&self) -> bool {
        match self.stage {
            Stage::GivenUp | Stage::Postponed => true,
            Stage::Waiting => self.readers > 0,
            Stage::Loading | Stage::Finishing | Stage::Finished => false,
        }
    }

    /// Whether rows are being loaded.
    pub(super) fn is_loading(&self) -> bool {
        self.stage == Stage::Loading
    }

    /// Rows and bytes that were sent since it was begun.
    pub(super) fn rows_and_bytes(&self) -> (u64, u64) {
        (self.progress.rows(), self.progress.bytes())
    }

    /// The same for the target's state.
    pub(super) fn table_progress(&self) -> TableProgress {
        let (rows_copied, bytes_copied) = self.rows_and_bytes();
        TableProgress { source_oid: self.state.source_oid, rows_copied, bytes_copied }
    }
}

#[cfg(test)]
mod tests;
