//! [`CopyEstimate`]: what copying would be: ranges, readers, time, and what it does to vacuum at the source.
//!
//! Sizes are the source's statistics. How fast a target takes rows is not known before it was tried: without a throttle the
//! time is that of [`ASSUMED_READER_PACE`], and says so.

use std::sync::Arc;
use std::time::Duration;

use segcdc_model::SourceTable;
use segcdc_plan::TablePlan;
use segcdc_postgres::horizon::{self, Horizon};
use segcdc_postgres::{session, snapshot};
use serde::Serialize;

use crate::config::{EngineConfig, SnapshotMode};
use crate::context::needs_copy;
use crate::error::EngineError;
use crate::preflight::Preflight;

/// What a reader is assumed to carry where nothing bounds it, bytes a second. No more than a number to reckon with: targets
/// differ by a factor of a hundred, and the lines of `up` show the real pace within seconds.
pub const ASSUMED_READER_PACE: u64 = 10 << 20;

/// Time between two looks at the source's transaction ids.
const LOOK: Duration = Duration::from_secs(1);

/// What copying would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyEstimate {
    /// Sessions that copy at the same time.
    pub readers: usize,
    /// Tables that would be copied.
    pub tables: usize,
    /// Pieces in which they are copied.
    pub ranges: usize,
    /// Rows, as the source's statistics have them.
    pub rows: u64,
    /// Bytes of the tables, TOAST included, without indexes.
    pub bytes: u64,
    /// Bytes a second of all readers that the time is reckoned with; `None` where `--throttle` bounds rows.
    pub bytes_per_second: Option<u64>,
    /// That pace is assumed, and not bounded by `--throttle`.
    pub is_assumed: bool,
    /// How long reading and sending the rows takes then, seconds. Keys are built behind that.
    pub seconds: u64,
    /// What is held back from vacuum; `None` where the source does not tell.
    pub xmin: Option<XminAge>,
}

/// How old the oldest snapshot at the source is: rows that were deleted or changed since cannot be removed by vacuum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct XminAge {
    /// Age of the oldest snapshot that anything at the source holds now, transactions.
    pub now: u64,
    /// Transactions that the source begins in a second.
    pub per_second: u64,
    /// Age of the copy's own snapshot at its end, at that pace, transactions.
    pub at_end: u64,
    /// From this age on autovacuum begins to freeze whole tables, whatever they need: `autovacuum_freeze_max_age`.
    pub freeze_max_age: u64,
}

/// The estimate for what a pipeline would copy; `None` when that is nothing.
///
/// # Errors
/// The source's.
pub async fn copy_estimate(
    config: &EngineConfig,
    checked: &Preflight,
) -> Result<Option<CopyEstimate>, EngineError> {
    let tables = to_copy(config, checked);
    if tables.is_empty() {
        return Ok(None);
    }
    let source = session::connect(&config.source).await?;
    let first = horizon::look(&source).await?;
    tokio::time::sleep(LOOK).await;
    let second = horizon::look(&source).await?;
    source.close().await;
    let mut estimate = estimate(config, &tables);
    estimate.xmin = Some(xmin_age(&first, &second, estimate.seconds));
    Ok(Some(estimate))
}

/// The pieces in which a table is copied.
pub fn ranges(table: &SourceTable, readers: usize) -> usize {
    snapshot::split(table, readers).len()
}

/// The tables that would be copied.
fn to_copy<'a>(config: &EngineConfig, checked: &'a Preflight) -> Vec<&'a Arc<TablePlan>> {
    let all = checked.plans.iter();
    match &checked.existing {
        None if config.snapshot == SnapshotMode::None => Vec::new(),
        None => all.collect(),
        Some(state) => all
            .filter(|plan| {
                let found = state.tables.iter().find(|table| table.source_oid == plan.source.oid);
                found.is_some_and(needs_copy)
            })
            .collect(),
    }
}

/// Sizes and time. Pure.
fn estimate(config: &EngineConfig, tables: &[&Arc<TablePlan>]) -> CopyEstimate {
    let readers = config.readers.max(1);
    let mut sizes = Vec::new();
    let mut rows = 0_u64;
    for plan in tables {
        let ranges = ranges(&plan.source, readers);
        let size = plan.source.size_bytes.div_ceil(ranges as u64);
        sizes.extend(std::iter::repeat_n(size, ranges));
        rows = rows.saturating_add(plan.source.estimated_rows);
    }
    let bytes = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
    let assumed = ASSUMED_READER_PACE.saturating_mul(readers as u64);
    // Whatever the others do, the largest piece is one reader's.
    let busiest = busiest(&sizes, readers).div_ceil(ASSUMED_READER_PACE);
    let least = config.throttle.map(|throttle| throttle.least(rows, bytes).as_secs());
    let (bytes_per_second, is_assumed) = match config.throttle {
        Some(crate::Throttle::BytesPerSecond(limit)) if limit <= assumed => (Some(limit), false),
        Some(crate::Throttle::RowsPerSecond(_)) if least >= Some(busiest) => (None, false),
        _ => (Some(assumed), true),
    };
    CopyEstimate {
        readers,
        tables: tables.len(),
        ranges: sizes.len(),
        rows,
        bytes,
        bytes_per_second,
        is_assumed,
        seconds: busiest.max(least.unwrap_or_default()),
        xmin: None,
    }
}

/// Bytes of the reader that has most to do, when each takes the next piece once it is done, the largest first.
fn busiest(sizes: &[u64], readers: usize) -> u64 {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    let mut loads = vec![0_u64; readers];
    for size in sizes {
        if let Some(least) = loads.iter_mut().min() {
            *least = least.saturating_add(size);
        }
    }
    loads.into_iter().max().unwrap_or_default()
}

/// What two looks at the source say. Pure.
fn xmin_age(first: &Horizon, second: &Horizon, seconds: u64) -> XminAge {
    let elapsed_us = u64::try_from(second.at_us.saturating_sub(first.at_us)).unwrap_or_default().max(1);
    let begun = second.next_xid.saturating_sub(first.next_xid);
    let per_second = begun.saturating_mul(1_000_000) / elapsed_us;
    XminAge {
        now: second.oldest_age,
        per_second,
        at_end: per_second.saturating_mul(seconds),
        freeze_max_age: second.freeze_max_age,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reader_to_end_counts() {
        assert_eq!(busiest(&[], 4), 0);
        assert_eq!(busiest(&[7], 4), 7);
        assert_eq!(busiest(&[5, 5, 5, 5, 5], 4), 10);
        assert_eq!(busiest(&[1, 9, 1, 1, 1], 2), 9);
    }

    #[test]
    fn pace_and_age_are_those_of_the_time_between_two_looks() {
        let look = |next_xid, at_us| Horizon { next_xid, oldest_age: 70, freeze_max_age: 9, at_us };
        let age = xmin_age(&look(100, 1_000_000), &look(350, 1_500_000), 60);
        assert_eq!((age.now, age.per_second, age.at_end), (70, 500, 30_000));
        // A clock that was set back.
        assert_eq!(xmin_age(&look(100, 5), &look(100, 3), 60).per_second, 0);
    }
}
