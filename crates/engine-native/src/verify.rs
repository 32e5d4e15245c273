//! [`verify()`]: whether source and target hold the same rows, found out while changes flow.
//!
//! ```text
//! barrier: the target has applied all that the source had at the start
//!    |
//! pass     read all rows of both sides, hash them          equal hashes are equal rows
//!    |                                                     the rest are candidates: maybe only late
//! window   source row, position P, target has applied P, target row, source row again
//!    |     the same version twice: it stands               else once more
//! report   missing in the target, extra in the target, different (columns)
//! ```
//!
//! No snapshot of the target is needed (SNAPSHOT isolation is off in most databases), no lock is held, and nothing is
//! written unless it is asked for. What the two sides are compared by is the canonical text of each planned column
//! ([`segcdc_plan::canonical`]), so the comparison is exactly as fine as the pipeline's promise.
//!
//! - `aside`: rows that are set aside, and so are not compared
//! - `fingerprint`: hashes of rows, the same for both sides
//! - `planned`: the columns that are compared
//! - `passes`: how a table that is larger than the memory is compared part by part
//! - `keyed`, `unkeyed`: what a pass finds, for tables with and without a key
//! - `window`: when a difference stands
//! - `barrier`, `read`: questions to the servers; `readiness`: whether an answer would mean anything
//! - `table`, `unkeyed_table`: rows of one table compared from beginning to end
//! - `key_range`: the rows of a table that are compared at a time; `found`: what was found of them, added up
//! - `schedule`: which are compared at once; `shared`: what they share; `saved`: how far it has come
//! - `count`: numbers of rows compared, and nothing else
//! - `repair`: rows of standing differences written anew; `touched`, `mend`: which may be, and what has to be
//! - [`mod@replay`]: rows that are set aside, tried again
//! - `reconcile`: a table made that of a snapshot, where a load of all its rows would do it too
//! - `one_table`: one table compared, repaired and compared again

use std::sync::Arc;

use segcdc_model::{Lsn, QualifiedName};
use segcdc_postgres::{Pattern, catalog};
use segcdc_sqlserver::TableState;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::unbounded_channel;

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::rules_in_force;
use crate::throttle::Throttle;
use crate::verify::barrier::Barrier;
use crate::verify::readiness::{Carrier, not_ready};
use crate::verify::reporter::Reporter;
use crate::verify::schedule::Schedule;
use crate::verify::shared::Shared;

mod aside;
mod barrier;
mod count;
mod fingerprint;
mod found;
mod key_range;
mod keyed;
mod mend;
mod one_table;
mod passes;
mod planned;
mod read;
mod readiness;
pub(crate) mod reconcile;
mod repair;
mod repaired;
pub mod replay;
mod reporter;
mod saved;
mod schedule;
mod shared;
mod table;
mod touched;
mod unkeyed;
mod unkeyed_table;
mod window;

pub use repaired::{RepairMode, RepairReport, RepairedRows};
pub use saved::SavedVerify;

/// Bytes that a comparison may hold when nothing else is asked for.
pub const DEFAULT_MEMORY_BYTES: usize = 128 << 20;

/// Differences that are listed for each table when nothing else is asked for.
pub const DEFAULT_LIMIT: usize = 20;

/// Rows of a table that are compared at a time when nothing else is asked for, where the table can be divided.
pub const DEFAULT_RANGE_ROWS: u64 = 500_000;

/// Why a table is not compared that keeps what the source has changed, as its user wants it.
const APPEND_ONLY: &str = "APPEND_ONLY";

/// What to compare, and how much of it to show.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Tables of the pipeline; empty means all of them.
    pub patterns: Vec<Pattern>,
    /// Differences that are listed with their key, for each table. All are counted.
    pub limit: usize,
    /// Memory for the hashes of rows, bytes, of all comparisons together. Rows that need more are read in several passes.
    pub memory_bytes: usize,
    /// What is done about differences.
    pub repair: RepairMode,
    /// What is compared.
    pub by: VerifyBy,
    /// Tables, and ranges of them, that are compared at once; at least one. Each takes two or three sessions at either side.
    pub jobs: usize,
    /// Rows of a table that are compared at a time, about; at least one. Of a table whose key does not begin with an integer, all
    /// are.
    pub range_rows: u64,
    /// What may be read in a second, of each side; `None` for what the servers give.
    pub throttle: Option<Throttle>,
    /// What another comparison of the pipeline has saved: it is gone on with.
    pub saved: Option<SavedVerify>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyBy {
    /// All values of all rows.
    #[default]
    Rows,
    /// How many rows there are.
    Count,
}

/// What is told while a comparison goes on.
#[derive(Debug)]
pub enum VerifyEvent<'a> {
    /// How far it is.
    Progress(&'a VerifyProgress),
    /// It has come so far for good: one that is given this goes on from there.
    Saved(&'a SavedVerify),
}

/// What was compared, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The pipeline.
    pub pipeline: String,
    /// What was compared.
    pub by: VerifyBy,
    /// Whether the pipeline ran to the end. If not, changes that it had not applied show as differences.
    pub running: bool,
    /// The target's checkpoint when the comparison began.
    pub applied_lsn: Lsn,
    /// The source's position when the comparison began.
    pub source_lsn: Lsn,
    /// The tables, ordered by source name.
    pub tables: Vec<TableVerdict>,
}

/// What was found about one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableVerdict {
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Why it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<NotCompared>,
    /// Rows that were read from the source.
    pub source_rows: u64,
    /// Rows that were read from the target.
    pub target_rows: u64,
    /// Sum of the hashes of the source's rows, hexadecimal: the same whatever their order. The two sums were not taken
    /// at one moment, so they differ while changes flow.
    pub source_checksum: String,
    /// The same of the target's rows.
    pub target_checksum: String,
    /// Rows of the source that the target lacks.
    pub missing: u64,
    /// Rows of the target that the source lacks.
    pub extra: u64,
    /// Rows that are on both sides with different values.
    pub different: u64,
    /// Rows that changed in each of the windows in which they were looked at, so that nothing can be said.
    pub unstable: u64,
    /// Candidates beyond the number that is looked at again: the table has far too many to go on.
    pub unchecked: u64,
    /// Values of the source that a policy replaces (null, clamp): compared as what they are replaced by.
    pub replaced: u64,
    /// Rows of the source that are set aside as dead letters: not compared, nor the older versions of them in the target.
    pub set_aside: u64,
    /// The first differences, by key; those that are left, where rows were repaired.
    pub differences: Vec<Difference>,
    /// What was done about differences, where there were any and that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairReport>,
    /// What was found range by range, in the order of the keys; empty for a table that was compared as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<RangeVerdict>,
}

/// What was found of the rows whose key begins with an integer in `from..to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeVerdict {
    /// The first value; `None` for the beginning.
    pub from: Option<i64>,
    /// The value behind the last; `None` for the end.
    pub to: Option<i64>,
    /// Rows that were read from the source.
    pub source_rows: u64,
    /// Rows that were read from the target.
    pub target_rows: u64,
    /// Sum of the hashes of the source's rows, hexadecimal.
    pub source_checksum: String,
    /// The same of the target's rows.
    pub target_checksum: String,
    /// Rows that are not the same on both sides.
    pub differences: u64,
    /// Rows of which nothing could be said.
    pub undecided: u64,
}

/// Why a table was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCompared {
    /// Stable code.
    pub code: String,
    /// Why, without a row's value.
    pub detail: String,
}

/// One row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// What identifies it: the key's columns, or all of them where there is no key. Values are those of the row.
    pub key: Vec<KeyField>,
    /// What is the matter.
    pub kind: DifferenceKind,
    /// The columns that differ, when the row is on both sides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// How many rows of this content, where there is no key; else 1.
    pub rows: u64,
}

/// One column of what identifies a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyField {
    /// The column.
    pub column: String,
    /// Its canonical text; `None` for NULL.
    pub value: Option<String>,
}

/// What is the matter with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The source has it, the target has not.
    MissingInTarget,
    /// The target has it, the source has not.
    ExtraInTarget,
    /// Both have it, with different values.
    Different,
}

/// What a running comparison is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The table; `None` while the first barrier is waited for.
    pub table: Option<QualifiedName>,
    /// Its number, from 1.
    pub number: usize,
    /// Tables in all.
    pub tables: usize,
    /// What is being done.
    pub stage: VerifyStage,
    /// Rows done in this stage.
    pub rows: u64,
    /// Rows expected in this stage, an estimate.
    pub expected_rows: u64,
}

/// What a running comparison is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyStage {
    /// Waiting until the target has applied what the source had.
    Waiting,
    /// Reading the source.
    Source,
    /// Reading the target.
    Target,
    /// Looking at candidates again.
    Window,
    /// Writing rows anew.
    Repair,
}

/// Compares the tables of a pipeline; with [`RepairMode::Write`] mends what differs and compares again. Else it changes
/// nothing. Dropping the future ends it; rows that were repaired by then stay so.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline, `ENGINE_MISMATCH` when rows are to be repaired of one that
/// another engine runs, and what keeps either server from being asked. What
/// keeps one table from being compared is in its verdict.
pub async fn verify(
    config: &EngineConfig,
    options: &VerifyOptions,
    on_event: &mut (dyn FnMut(VerifyEvent<'_>) + Send),
) -> Result<VerifyReport, EngineError> {
    let (mut barrier, state) = Barrier::open(config).await?;
    if options.repair != RepairMode::Report {
        // Only the native engine has a checkpoint that says what the target holds.
        EngineKind::Native.require(&state)?;
    }
    let config = rules_in_force::with_rules(config, Some(&state))?;
    let wanted = |table: &&TableState| {
        options.patterns.is_empty() || options.patterns.iter().any(|pattern| pattern.matches(&table.source))
    };
    let tables: Vec<TableState> = state.tables.iter().filter(wanted).cloned().collect();
    if tables.is_empty() {
        return Err(EngineError::NoTables);
    }
    let shared = Arc::new(Shared::new(config, options.clone()));
    let carrier = Carrier::of(&state);
    if let Some(reason) = not_ready(&carrier, &carrier, barrier.has_arrived().await?) {
        return nothing_compared(&shared, &mut barrier, &tables, &reason).await;
    }
    let (sender, mut progress) = unbounded_channel();
    let mut reporter = Reporter::new(sender, tables.len());
    reporter.stage(VerifyStage::Waiting, 0);
    if let Ok(waiting) = progress.try_recv() {
        on_event(VerifyEvent::Progress(&waiting));
    }
    let source_lsn = barrier.pass().await?;
    let applied_lsn = barrier.applied().await?;
    let mut schedule = Schedule::new(Arc::clone(&shared), &mut barrier, reporter, &tables);
    let verdicts = schedule.run(&mut progress, on_event).await?;
    let ran = schedule.running;
    drop(schedule);
    // A pipeline that was handed over meanwhile was not followed to the end.
    let now = Carrier::of(&barrier.state().await?);
    if let Some(reason) = not_ready(&carrier, &now, true) {
        return nothing_compared(&shared, &mut barrier, &tables, &reason).await;
    }
    let running = ran && barrier.is_running();
    let (pipeline, by) = (shared.config.name.clone(), options.by);
    Ok(VerifyReport { pipeline, by, running, applied_lsn, source_lsn, tables: verdicts })
}

/// The report on a pipeline of which nothing can be said.
async fn nothing_compared(
    shared: &Shared,
    barrier: &mut Barrier,
    tables: &[TableState],
    reason: &NotCompared,
) -> Result<VerifyReport, EngineError> {
    let source_lsn = catalog::current_lsn(barrier.source()).await?;
    let verdict = |table: &TableState| TableVerdict {
        not_compared: Some(reason.clone()),
        ..TableVerdict::new(table.source.clone(), table.target.clone())
    };
    Ok(VerifyReport {
        pipeline: shared.config.name.clone(),
        by: shared.options.by,
        running: barrier.is_running(),
        applied_lsn: barrier.state().await?.checkpoint.applied_lsn,
        source_lsn,
        tables: tables.iter().map(verdict).collect(),
    })
}

// === impl VerifyOptions ===

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            patterns: Vec::new(),
            limit: DEFAULT_LIMIT,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            repair: RepairMode::Report,
            by: VerifyBy::Rows,
            jobs: 1,
            range_rows: DEFAULT_RANGE_ROWS,
            throttle: None,
            saved: None,
        }
    }
}

// === impl VerifyReport ===

impl VerifyReport {
    /// Rows that are not the same on both sides, of all tables.
    pub fn differences(&self) -> u64 {
        self.tables.iter().map(TableVerdict::differences_found).sum()
    }

    /// Rows of which nothing could be said, of all tables.
    pub fn undecided(&self) -> u64 {
        self.tables.iter().map(TableVerdict::undecided).sum()
    }

    /// Whether all tables were compared and are the same, but for those that are to differ.
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| match &table.not_compared {
            Some(reason) => reason.is_wanted(),
            None => table.is_equal(),
        })
    }
}

// === impl NotCompared ===

impl NotCompared {
    /// Whether the user wants the two sides to differ.
    pub fn is_wanted(&self) -> bool {
        self.code == APPEND_ONLY
    }
}

// === impl TableVerdict ===

impl TableVerdict {
    /// A table of which nothing is known yet.
    pub(crate) fn new(source: QualifiedName, target: QualifiedName) -> Self {
        let zero = fingerprint::Checksum::default().to_string();
        TableVerdict {
            source,
            target,
            not_compared: None,
            source_rows: 0,
            target_rows: 0,
            source_checksum: zero.clone(),
            target_checksum: zero,
            missing: 0,
            extra: 0,
            different: 0,
            unstable: 0,
            unchecked: 0,
            replaced: 0,
            set_aside: 0,
            differences: Vec::new(),
            repair: None,
            ranges: Vec::new(),
        }
    }

    /// Rows that are not the same on both sides.
    pub fn differences_found(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    /// Rows of which nothing could be said.
    pub fn undecided(&self) -> u64 {
        self.unstable + self.unchecked
    }

    /// Whether nothing differs and nothing is in doubt.
    pub fn is_equal(&self) -> bool {
        self.differences_found() == 0 && self.undecided() == 0
    }
}
