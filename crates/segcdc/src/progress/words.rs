//! Lines about a running pipeline.

use std::time::Duration;

use segcdc_engine_native::progress::Activity;
use segcdc_engine_native::{LargeReport, ProgressSnapshot, TableProgress};
use segcdc_model::{Phase, TablePhase};

use crate::large_transaction;
use crate::phases;
use crate::text;

/// Parts of a hundred of a copy that are done, as far as the estimate goes; `None` without an estimate.
pub(crate) fn percent(table: &TableProgress) -> Option<u64> {
    if table.phase == TablePhase::Streaming {
        return Some(100);
    }
    // Statistics lag behind: a copy that is past its estimate is nearly done, not beyond it.
    (table.estimated_rows > 0).then(|| (table.rows_copied.saturating_mul(100) / table.estimated_rows).min(99))
}

/// One line about a table.
pub(crate) fn table(table: &TableProgress) -> String {
    let name = &table.source;
    let words = phases::table(table.phase);
    let rows = text::count(table.rows_copied);
    match (table.phase, &table.error) {
        (_, Some((code, detail))) => format!("{name}: {words}: {detail} [{code}]"),
        (TablePhase::Copying, None) => match percent(table) {
            Some(percent) => format!(
                "{name}: copying, {rows} of about {} rows ({percent}%)",
                text::count(table.estimated_rows)
            ),
            None => format!("{name}: copying, {rows} rows"),
        },
        (TablePhase::Streaming, None) => format!("{name}: live, {rows} rows copied"),
        (TablePhase::Queued | TablePhase::Paused | TablePhase::Quarantined, None) => {
            format!("{name}: {words}")
        }
    }
}

/// One line about the whole pipeline.
pub(crate) fn whole(snapshot: &ProgressSnapshot) -> String {
    let state = match &snapshot.activity {
        Activity::Starting => "starting".to_owned(),
        Activity::Running => phases::pipeline(snapshot.phase).to_owned(),
        Activity::Waiting { attempt, pause_ms } => {
            let pause = text::duration(Duration::from_millis(*pause_ms));
            return format!("waiting {pause} before attempt {attempt}{}", held_back(snapshot));
        }
        Activity::Stopping => return "stopping: finishing what is being applied".to_owned(),
        Activity::Stopped => return "stopped".to_owned(),
    };
    match snapshot.phase {
        Phase::Setup => state,
        Phase::Snapshot => {
            let done = snapshot.tables.iter().filter(|table| table.phase == TablePhase::Streaming).count();
            format!(
                "{state}: {done} of {} tables, {} rows, {} rows/s, {}/s",
                snapshot.tables.len(),
                text::count(snapshot.copied.rows),
                text::count(snapshot.rates.copied_rows_per_second),
                text::bytes(snapshot.rates.copied_bytes_per_second)
            )
        }
        Phase::CatchUp | Phase::Streaming => {
            let latency = snapshot.latency_recent;
            let lag = if latency.count > 0 {
                format!("lag p50 {} p99 {}", milliseconds(latency.p50_ms), milliseconds(latency.p99_ms))
            } else {
                format!("lag {}", text::duration(Duration::from_millis(snapshot.lag_ms)))
            };
            let large = LargeReport::of_run(snapshot);
            let large =
                large.map(|large| format!("; large transaction {}", large_transaction::words(&large)));
            format!(
                "{state}: {lag}, {} tx/s, {} changes/s, applied {}{}{}",
                text::count(snapshot.rates.transactions_per_second),
                text::count(snapshot.rates.changes_per_second),
                snapshot.applied_lsn,
                held_back(snapshot),
                large.unwrap_or_default()
            )
        }
    }
}

/// How much WAL the source keeps, when that is something to know: while the target is away, and near a limit.
fn held_back(snapshot: &ProgressSnapshot) -> String {
    let waits = matches!(snapshot.activity, Activity::Waiting { .. });
    match &snapshot.wal {
        Some(wal) if waits || !wal.alerts.is_empty() => {
            let limit = wal.forecast.limit_bytes.map(|limit| format!(" of {}", text::bytes(limit)));
            let limit = limit.unwrap_or_default();
            format!(", {}{limit} of WAL held back", text::bytes(wal.retained_bytes))
        }
        _ => String::new(),
    }
}

/// The last trouble that was waited out.
pub(crate) fn retry(snapshot: &ProgressSnapshot) -> Option<String> {
    let note = snapshot.last_retry.as_ref()?;
    let hint = if note.hint.is_empty() { String::new() } else { format!(" ({})", note.hint) };
    Some(format!("trouble that may pass: {} [{}]{hint}", note.message, note.code))
}

/// Milliseconds with one digit behind the point where that says something.
pub(crate) fn milliseconds(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1}ms") } else { format!("{ms:.0}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::progress::{LargeTransaction, RetryNote};
    use segcdc_engine_native::{LatencySummary, Progress};
    use segcdc_model::{Lsn, QualifiedName};

    fn progress(phase: TablePhase, rows_copied: u64, estimated_rows: u64) -> TableProgress {
        TableProgress {
            source_oid: 1,
            source: QualifiedName::new("public", "orders"),
            target: QualifiedName::new("dbo", "orders"),
            phase,
            rows_copied,
            bytes_copied: 0,
            estimated_rows,
            changes_applied: 0,
            error: None,
        }
    }

    #[test]
    fn a_table_says_how_far_it_is() {
        let check = |phase, rows, estimate, expected: &str| {
            assert_eq!(table(&progress(phase, rows, estimate)), expected);
        };
        check(TablePhase::Queued, 0, 10, "public.orders: queued");
        check(TablePhase::Copying, 250, 1_000, "public.orders: copying, 250 of about 1,000 rows (25%)");
        check(TablePhase::Copying, 2_000, 1_000, "public.orders: copying, 2,000 of about 1,000 rows (99%)");
        check(TablePhase::Copying, 250, 0, "public.orders: copying, 250 rows");
        check(TablePhase::Streaming, 1_000, 900, "public.orders: live, 1,000 rows copied");
        let mut halted = progress(TablePhase::Quarantined, 0, 0);
        halted.error = Some(("VALUE_NULL".to_owned(), "column \"x\"".to_owned()));
        assert_eq!(table(&halted), "public.orders: QUARANTINED: column \"x\" [VALUE_NULL]");
    }

    #[test]
    fn a_large_transaction_says_how_far_it_is() {
        let mut transaction = LargeTransaction {
            xid: 7,
            is_complete: false,
            changes: 12_000,
            applied: 0,
            part: 0,
            parts: 0,
            disk_bytes: 3 << 20,
            begun_ms: 1_000,
            committed: None,
        };
        let mut snapshot = Progress::new("p").snapshot();
        (snapshot.activity, snapshot.phase) = (Activity::Running, Phase::Streaming);
        (snapshot.large, snapshot.elapsed_ms) = (Some(transaction), 6_000);
        let expected = "; large transaction 7: receiving, 12,000 changes so far, 3.0 MiB on disk, for 5.0s";
        assert!(whole(&snapshot).ends_with(expected), "{}", whole(&snapshot));
        (transaction.is_complete, transaction.applied) = (true, 4_000);
        (transaction.part, transaction.parts) = (2, 6);
        snapshot.large = Some(transaction);
        let expected = "; large transaction 7: applying part 2 of 6, 4,000 of 12,000 changes, 3.0 MiB on disk, for 5.0s, \
                        not committed yet";
        assert!(whole(&snapshot).ends_with(expected), "{}", whole(&snapshot));
        snapshot.large = Some(LargeTransaction { committed: Some(4_000), ..transaction });
        assert!(whole(&snapshot).ends_with("on disk, for 5.0s, 4,000 committed"), "{}", whole(&snapshot));
    }

    #[test]
    fn a_pipeline_says_what_it_does() {
        let mut snapshot = Progress::new("p").snapshot();
        let check = |snapshot: &ProgressSnapshot, expected: &str| assert_eq!(whole(snapshot), expected);
        check(&snapshot, "starting");
        snapshot.activity = Activity::Running;
        snapshot.phase = Phase::Snapshot;
        snapshot.tables = vec![progress(TablePhase::Streaming, 5, 5), progress(TablePhase::Copying, 5, 9)];
        snapshot.copied.rows = 10;
        snapshot.rates.copied_bytes_per_second = 5 << 20;
        check(&snapshot, "copying tables: 1 of 2 tables, 10 rows, 0 rows/s, 5.0 MiB/s");
        snapshot.phase = Phase::Streaming;
        snapshot.applied_lsn = Lsn::new(0x150_0000);
        snapshot.rates.changes_per_second = 12_345;
        check(&snapshot, "following: lag 0ms, 0 tx/s, 12,345 changes/s, applied 0/1500000");
        snapshot.latency_recent = LatencySummary { count: 9, p50_ms: 3.21, p99_ms: 120.4, max_ms: 200.0 };
        check(&snapshot, "following: lag p50 3.2ms p99 120ms, 0 tx/s, 12,345 changes/s, applied 0/1500000");
        snapshot.activity = Activity::Waiting { attempt: 2, pause_ms: 400 };
        check(&snapshot, "waiting 400ms before attempt 2");
        snapshot.last_retry = Some(RetryNote {
            code: "SOURCE_UNREACHABLE".to_owned(),
            message: "cannot connect".to_owned(),
            hint: "check it".to_owned(),
        });
        assert_eq!(
            retry(&snapshot).unwrap(),
            "trouble that may pass: cannot connect [SOURCE_UNREACHABLE] (check it)"
        );
    }
}
