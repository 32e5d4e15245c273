//! [`Progress`]: what a running engine is doing, to be watched from outside.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use segcdc_model::{Lsn, Phase, QualifiedName, TablePhase};
use serde::Serialize;
use tokio::sync::watch;

use crate::progress::latency::Latency;
use crate::wal::SlotWal;

mod latency;

pub use latency::LatencySummary;

/// How long the window of the rates is.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// What a running engine is doing. Written by the engine, watched by whoever holds it.
#[derive(Debug)]
pub struct Progress {
    sender: watch::Sender<ProgressSnapshot>,
    latency: Mutex<Latency>,
    rates: Mutex<Rates>,
    started: Instant,
}

/// What the engine is doing at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgressSnapshot {
    /// The pipeline.
    pub pipeline: String,
    /// Where it stands.
    pub phase: Phase,
    /// Whether it works, waits or ends.
    pub activity: Activity,
    /// Its tables, in the order of their names.
    pub tables: Vec<TableProgress>,
    /// What the target's checkpoint holds.
    pub applied_lsn: Lsn,
    /// What was received from the stream.
    pub received_lsn: Lsn,
    /// How far the source has written, when it was last asked.
    pub source_lsn: Lsn,
    /// WAL between `applied_lsn` and the source's end, bytes. Most of it may belong to other databases or tables.
    pub lag_bytes: u64,
    /// Age of the oldest change that is not applied, milliseconds; 0 when nothing waits.
    pub lag_ms: u64,
    /// Commit at the source to visible in the target, over the whole run.
    pub latency: LatencySummary,
    /// The same over the last 10 to 20 seconds.
    pub latency_recent: LatencySummary,
    /// Applied since the engine began.
    pub applied: Totals,
    /// Copied since the engine began.
    pub copied: CopyTotals,
    /// What happens a second, over the last few seconds.
    pub rates: RateSnapshot,
    /// The transaction that is too large for memory and is being received or applied, the largest of them.
    pub large: Option<LargeTransaction>,
    /// New attempts after trouble, since the engine began.
    pub retries: u64,
    /// The last trouble that was waited out.
    pub last_retry: Option<RetryNote>,
    /// The WAL that the source keeps for the pipeline; `None` before it was looked at.
    pub wal: Option<SlotWal>,
    /// Highest resident memory of the process, bytes; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
    /// Time since the engine began.
    pub elapsed_ms: u64,
}

/// How far a transaction is that is too large for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LargeTransaction {
    /// Source transaction id.
    pub xid: u32,
    /// All of it has come, and it is being applied; else it is still being received.
    pub is_complete: bool,
    /// Changes that have come, those included that were rolled back or are of tables that are not replicated.
    pub changes: u64,
    /// Changes in the open target transaction.
    pub applied: u64,
    /// The part that is being applied, from 1; 0 while it is being received.
    pub part: u64,
    /// Parts in all; 0 while it is being received.
    pub parts: u64,
    /// Bytes of it on disk.
    pub disk_bytes: u64,
    /// When its first change had come, milliseconds after the engine began.
    pub begun_ms: u64,
    /// Its first changes that are committed in the target, where it is applied in target transactions of its own for each
    /// part; `None` while none is.
    pub committed: Option<u64>,
}

/// Whether the engine works, waits or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", tag = "state")]
pub enum Activity {
    /// Connecting and checking. Set by the engine at the start of each attempt.
    Starting,
    /// Copying or following.
    Running,
    /// Waiting before a new attempt; the reason is in `last_retry`.
    Waiting {
        /// Which attempt comes next, 1 for the first new one.
        attempt: u32,
        /// The pause.
        pause_ms: u64,
    },
    /// Finishing what is being applied. Set when the token is cancelled.
    Stopping,
    /// Ended, well or with an error.
    Stopped,
}

/// Where one table stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableProgress {
    /// OID in the source.
    pub source_oid: u32,
    /// Name in the source.
    pub source: QualifiedName,
    /// Name in the target.
    pub target: QualifiedName,
    /// Where it stands.
    pub phase: TablePhase,
    /// Rows copied, of an unfinished copy too.
    pub rows_copied: u64,
    /// Bytes copied, as they came from the source; counted since the engine began.
    pub bytes_copied: u64,
    /// What the source's statistics say of its rows: an estimate.
    pub estimated_rows: u64,
    /// Changes applied since the engine began.
    pub changes_applied: u64,
    /// Code and words, when it is quarantined.
    pub error: Option<(String, String)>,
}

/// What was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Batches: target transactions.
    pub batches: u64,
    /// Source transactions.
    pub transactions: u64,
    /// Source changes of live tables.
    pub changes: u64,
    /// Rows of the target that they came to.
    pub rows: u64,
    /// Transactions that came again after a reconnect and were left out, being applied already.
    pub skipped_transactions: u64,
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CopyTotals {
    /// Rows.
    pub rows: u64,
    /// Bytes, as they came from the source.
    pub bytes: u64,
}

/// What happens a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RateSnapshot {
    /// Transactions applied a second.
    pub transactions_per_second: u64,
    /// Changes applied a second.
    pub changes_per_second: u64,
    /// Rows copied a second.
    pub copied_rows_per_second: u64,
    /// Bytes copied a second.
    pub copied_bytes_per_second: u64,
}

/// Trouble that was waited out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetryNote {
    /// Stable code.
    pub code: String,
    /// What failed, all causes in one line.
    pub message: String,
    /// What a person can do.
    pub hint: String,
}

/// Totals at two moments, for rates between them.
#[derive(Debug)]
struct Rates {
    since: Instant,
    at_since: (Totals, CopyTotals),
    shown: RateSnapshot,
}

// === impl LargeTransaction ===

impl LargeTransaction {
    /// What is said of it to the target, so many milliseconds after the engine began.
    pub(crate) fn said(&self, elapsed_ms: u64) -> segcdc_sqlserver::LargeTransaction {
        segcdc_sqlserver::LargeTransaction {
            xid: self.xid,
            is_complete: self.is_complete,
            changes: self.changes,
            disk_bytes: self.disk_bytes,
            applied: self.applied,
            part: self.part,
            parts: self.parts,
            elapsed_ms: elapsed_ms.saturating_sub(self.begun_ms),
        }
    }
}

// === impl Progress ===

impl Progress {
    /// Nothing has happened yet.
    pub fn new(pipeline: impl Into<String>) -> Self {
        let now = Instant::now();
        let snapshot = ProgressSnapshot {
            pipeline: pipeline.into(),
            phase: Phase::Setup,
            activity: Activity::Starting,
            tables: Vec::new(),
            applied_lsn: Lsn::ZERO,
            received_lsn: Lsn::ZERO,
            source_lsn: Lsn::ZERO,
            lag_bytes: 0,
            lag_ms: 0,
            latency: LatencySummary::default(),
            latency_recent: LatencySummary::default(),
            applied: Totals::default(),
            copied: CopyTotals::default(),
            rates: RateSnapshot::default(),
            large: None,
            retries: 0,
            last_retry: None,
            wal: None,
            peak_rss_bytes: 0,
            elapsed_ms: 0,
        };
        let rates = Rates {
            since: now,
            at_since: (Totals::default(), CopyTotals::default()),
            shown: RateSnapshot::default(),
        };
        Progress {
            sender: watch::Sender::new(snapshot),
            latency: Mutex::new(Latency::new(now)),
            rates: Mutex::new(rates),
            started: now,
        }
    }

    /// What the engine is doing now, with latencies, rates and memory as of this call.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let mut snapshot = self.sender.borrow().clone();
        let now = Instant::now();
        {
            let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
            snapshot.latency = latency.total();
            snapshot.latency_recent = latency.recent(now);
        }
        snapshot.rates = self.rates(now, snapshot.applied, snapshot.copied);
        snapshot.peak_rss_bytes = peak_rss_bytes();
        snapshot.elapsed_ms = self.milliseconds_at(now);
        snapshot
    }

    /// Wakes whenever something has changed. Latencies, rates and memory are filled by [`Progress::snapshot`] only.
    pub fn subscribe(&self) -> watch::Receiver<ProgressSnapshot> {
        self.sender.subscribe()
    }

    /// Milliseconds from the engine's beginning to `at`.
    pub(crate) fn milliseconds_at(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Changes something and wakes the watchers.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ProgressSnapshot)) {
        self.sender.send_modify(change);
    }

    /// Changes something of one table and wakes the watchers.
    pub(crate) fn update_table(&self, source_oid: u32, change: impl FnOnce(&mut TableProgress)) {
        self.sender.send_modify(|snapshot| {
            if let Some(table) = snapshot.tables.iter_mut().find(|table| table.source_oid == source_oid) {
                change(table);
            }
        });
    }

    /// Adds the latencies of transactions that have just become visible.
    pub(crate) fn record_latencies(&self, latencies_us: impl Iterator<Item = u64>) {
        let now = Instant::now();
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latencies_us.for_each(|us| latency.record(us, now));
    }

    fn rates(&self, now: Instant, applied: Totals, copied: CopyTotals) -> RateSnapshot {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let span = now.saturating_duration_since(rates.since);
        if span >= RATE_WINDOW {
            let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
            let a_second = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1000) / span_ms;
            let (applied_before, copied_before) = rates.at_since;
            rates.shown = RateSnapshot {
                transactions_per_second: a_second(applied.transactions, applied_before.transactions),
                changes_per_second: a_second(applied.changes, applied_before.changes),
                copied_rows_per_second: a_second(copied.rows, copied_before.rows),
                copied_bytes_per_second: a_second(copied.bytes, copied_before.bytes),
            };
            (rates.since, rates.at_since) = (now, (applied, copied));
        }
        rates.shown
    }
}

/// `VmHWM` of this process, bytes; 0 where the system does not tell.
fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_are_woken_by_a_change() {
        let progress = Progress::new("p");
        let mut watcher = progress.subscribe();
        assert!(!watcher.has_changed().unwrap());
        progress.update(|snapshot| snapshot.phase = Phase::Streaming);
        assert!(watcher.has_changed().unwrap());
        assert_eq!(watcher.borrow_and_update().phase, Phase::Streaming);
        assert!(progress.snapshot().peak_rss_bytes > 0);
    }
}
