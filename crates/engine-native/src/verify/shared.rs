//! What the comparisons of one run share: [`Shared`], and [`TableWork`] of one table.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use segcdc_plan::{KnownTable, TablePlan};
use segcdc_sqlserver::TableState;
use tokio::sync::Mutex;

use crate::config::EngineConfig;
use crate::throttle::{Account, Throttle};
use crate::verify::{RepairMode, VerifyOptions, passes};

/// Keys that are looked at again at most, of one table and between two repairs. A table with more differences is beyond mending
/// row by row.
pub(crate) const MAX_CANDIDATES: usize = 20_000;

/// Rows that are compared at a time at least, however slowly.
const LEAST_ROWS: u64 = 100;

/// What all comparisons of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Both servers.
    pub(crate) config: EngineConfig,
    /// What the user wants.
    pub(crate) options: VerifyOptions,
    /// What was read of the source, and of the target, where that is bounded.
    pub(crate) paces: Option<[Account; 2]>,
    /// Held while rows are repaired: the target's fence is for one at a time.
    pub(crate) repairing: Mutex<()>,
}

/// A table that is compared.
#[derive(Debug)]
pub(crate) struct TableWork {
    /// Its place among all, from 0.
    pub(crate) at: usize,
    /// What the state said of it when its comparison began.
    pub(crate) state: TableState,
    /// What the pipeline knew of it then.
    pub(crate) known: Option<KnownTable>,
    /// Its plan.
    pub(crate) plan: TablePlan,
    /// Keys that were looked at again.
    pub(crate) looked_at: AtomicUsize,
    /// Rows of the source that were compared.
    pub(crate) rows_done: AtomicU64,
}

// === impl Shared ===

impl Shared {
    /// For comparisons of a pipeline.
    pub(crate) fn new(config: EngineConfig, options: VerifyOptions) -> Self {
        let paces = options.throttle.map(|throttle| [throttle; 2].map(Account::new));
        Shared { config, options, paces, repairing: Mutex::new(()) }
    }

    /// Comparisons at a time, at least one.
    pub(crate) fn jobs(&self) -> usize {
        self.options.jobs.max(1)
    }

    /// Memory of each comparison, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.options.memory_bytes / self.jobs()
    }

    /// Rows of a table that are compared at a time, where it can be divided: what fits into memory, and, since rows of the
    /// target come without a pause between them, what may be read in about a second.
    pub(crate) fn range_rows(&self) -> u64 {
        let paced = match self.options.throttle {
            Some(Throttle::RowsPerSecond(rows)) => rows.max(LEAST_ROWS),
            Some(Throttle::BytesPerSecond(_)) | None => u64::MAX,
        };
        self.options.range_rows.max(1).min(passes::max_rows(self.memory_bytes())).min(paced)
    }

    /// Waits until as much may be read of the target as was now.
    pub(crate) async fn pace_target(&self, rows: u64, bytes: u64) {
        if let Some([_, target]) = &self.paces {
            target.pass(rows, bytes).await;
        }
    }
}

// === impl TableWork ===

impl TableWork {
    /// Keys that may still be looked at again. A repair gives room for as many again.
    pub(crate) fn room(&self, repair: RepairMode) -> usize {
        match repair {
            RepairMode::Write => MAX_CANDIDATES,
            RepairMode::Report | RepairMode::DryRun => {
                MAX_CANDIDATES.saturating_sub(self.looked_at.load(Ordering::Relaxed))
            }
        }
    }
}
