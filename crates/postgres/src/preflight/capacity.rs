//! Room for a slot, its consumers and the WAL that it keeps.

use segcdc_model::{Finding, Side};

use super::PreflightRequest;
use crate::error::{Operation, SourceError};
use crate::session::Session;

/// Walsenders that a new pipeline has at once: one that exports the snapshot, one that streams.
const SENDERS_OF_NEW: i64 = 2;

/// Walsenders of a pipeline that reads a standby: one that streams, one that is asked for the timeline.
const SENDERS_OF_STANDBY: i64 = 2;

/// Limits of retained WAL below this are small: a checkpoint's worth of a busy server.
const SMALL_KEEP_SIZE_MB: i64 = 1024;

/// A slot that may be invalidated sooner than this by the WAL that is written on average does not outlive an
/// operator's lunch.
const SHORT_OUTAGE_SECONDS: f64 = 3600.0;

/// Idle time after which a slot should not yet be invalidated: a paused pipeline is a matter of hours.
const SHORT_IDLE_SECONDS: i64 = 24 * 3600;

/// What the server has room for.
#[derive(Debug, Clone)]
pub(super) struct CapacityFacts {
    slots: i64,
    max_slots: i64,
    senders: i64,
    max_senders: i64,
    /// `max_slot_wal_keep_size`, MiB; -1 for no limit.
    keep_size_mb: i64,
    /// WAL written on average since the statistics were reset.
    wal_bytes_per_second: f64,
    /// `idle_replication_slot_timeout`, seconds; 0 for none, and where the server has no such setting.
    idle_timeout_seconds: i64,
    is_standby: bool,
}

/// Asks.
pub(super) async fn read(session: &Session) -> Result<CapacityFacts, SourceError> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots'), \
         (SELECT count(*) FROM pg_stat_get_wal_senders()), current_setting('max_wal_senders'), \
         (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), \
         (SELECT wal_bytes::float8 / greatest(extract(epoch FROM now() - stats_reset), 1)::float8 FROM pg_stat_wal), \
         coalesce((SELECT setting::int8 * CASE unit WHEN 'min' THEN 60 WHEN 'h' THEN 3600 ELSE 1 END \
           FROM pg_settings WHERE name = 'idle_replication_slot_timeout'), 0), pg_is_in_recovery()";
    let mut row = session.row(Operation::Query, sql).await?;
    Ok(CapacityFacts {
        slots: row.value()?,
        max_slots: row.value()?,
        senders: row.value()?,
        max_senders: row.value()?,
        keep_size_mb: row.value()?,
        wal_bytes_per_second: row.optional_value()?.unwrap_or(0.0),
        idle_timeout_seconds: row.value()?,
        is_standby: row.flag()?,
    })
}

/// What it means.
pub(super) fn judge(facts: &CapacityFacts, request: &PreflightRequest) -> Vec<Finding> {
    let is_new = request.slot.is_none();
    let mut findings = Vec::new();
    if is_new {
        findings.push(slots(facts));
    }
    let needed = match (is_new, facts.is_standby) {
        (true, _) => SENDERS_OF_NEW,
        (false, true) => SENDERS_OF_STANDBY,
        (false, false) => 1,
    };
    findings.push(senders(facts, needed));
    findings.push(keep_size(facts));
    findings.push(idle_timeout(facts));
    findings
}

fn slots(facts: &CapacityFacts) -> Finding {
    let (used, max) = (facts.slots, facts.max_slots);
    let detail = format!("{used} of {max} replication slots are in use");
    if used < max {
        return Finding::ok("pg.replication_slots", Side::Source, detail);
    }
    Finding::failure("pg.replication_slots", Side::Source, "NO_FREE_SLOTS", detail)
        .hint("raise max_replication_slots (restart needed), or drop a slot that nobody uses")
        .fix(format!("ALTER SYSTEM SET max_replication_slots = {}", used + 10))
}

fn senders(facts: &CapacityFacts, needed: i64) -> Finding {
    let (used, max) = (facts.senders, facts.max_senders);
    let detail = format!("{used} of {max} walsenders are in use");
    if used + needed <= max {
        return Finding::ok("pg.wal_senders", Side::Source, detail);
    }
    let detail = format!("{detail}, needed are {needed} more");
    Finding::failure("pg.wal_senders", Side::Source, "NO_FREE_WAL_SENDERS", detail)
        .hint("raise max_wal_senders (restart needed), or end a replication session that nobody needs")
        .fix(format!("ALTER SYSTEM SET max_wal_senders = {}", used + 10))
}

fn keep_size(facts: &CapacityFacts) -> Finding {
    const CHECK: &str = "pg.max_slot_wal_keep_size";
    let limit_mb = facts.keep_size_mb;
    if limit_mb < 0 {
        let detail =
            "max_slot_wal_keep_size is -1: a pipeline that stands still keeps WAL until the disk is full";
        return Finding::warning(CHECK, Side::Source, "SLOT_WAL_UNLIMITED", detail)
            .hint("set a limit that fits the disk; a slot that reaches it is lost, and its tables are copied again")
            .fix("ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'")
            .fix("SELECT pg_reload_conf()");
    }
    let seconds = seconds_to_fill(limit_mb, facts.wal_bytes_per_second);
    if limit_mb >= SMALL_KEEP_SIZE_MB && seconds >= SHORT_OUTAGE_SECONDS {
        let detail = format!("slots may keep {limit_mb} MiB of WAL");
        return Finding::ok(CHECK, Side::Source, detail);
    }
    let minutes = seconds / 60.0;
    let detail = format!(
        "slots may keep {limit_mb} MiB of WAL, which the server has written in {minutes:.0} minutes on average"
    );
    Finding::warning(CHECK, Side::Source, "SLOT_WAL_SMALL", detail)
        .hint("a pipeline that stands still for longer loses its slot, and its tables are copied again; raise it")
        .fix("ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'")
        .fix("SELECT pg_reload_conf()")
}

/// How long the average rate takes to write that much.
#[expect(clippy::cast_precision_loss, reason = "a forecast for people")]
fn seconds_to_fill(limit_mb: i64, bytes_per_second: f64) -> f64 {
    limit_mb as f64 * 1024.0 * 1024.0 / bytes_per_second.max(1.0)
}

fn idle_timeout(facts: &CapacityFacts) -> Finding {
    const CHECK: &str = "pg.idle_replication_slot_timeout";
    let seconds = facts.idle_timeout_seconds;
    if seconds == 0 {
        return Finding::ok(CHECK, Side::Source, "slots are not lost by being idle");
    }
    let detail = format!("a slot without a consumer is lost after {:.1} hours", hours(seconds));
    if seconds >= SHORT_IDLE_SECONDS {
        return Finding::ok(CHECK, Side::Source, detail);
    }
    Finding::warning(CHECK, Side::Source, "SLOT_IDLE_TIMEOUT", detail)
        .hint("a pipeline that is paused for longer has to copy its tables again; raise it, or set it to 0")
        .fix("ALTER SYSTEM SET idle_replication_slot_timeout = 0")
        .fix("SELECT pg_reload_conf()")
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn hours(seconds: i64) -> f64 {
    seconds as f64 / 3600.0
}

#[cfg(test)]
mod tests {
    use segcdc_model::Severity;

    use super::*;

    fn facts() -> CapacityFacts {
        CapacityFacts {
            slots: 3,
            max_slots: 10,
            senders: 8,
            max_senders: 10,
            keep_size_mb: 65_536,
            wal_bytes_per_second: 1_000_000.0,
            idle_timeout_seconds: 0,
            is_standby: false,
        }
    }

    fn problems(facts: CapacityFacts, slot: Option<&str>) -> Vec<String> {
        let request = PreflightRequest { slot: slot.map(str::to_owned), ..PreflightRequest::default() };
        let bad = judge(&facts, &request).into_iter().filter(|finding| finding.severity != Severity::Ok);
        bad.map(|finding| finding.code).collect()
    }

    #[test]
    fn each_shortage_is_named() {
        assert_eq!(problems(facts(), None), [""; 0]);
        assert_eq!(problems(CapacityFacts { slots: 10, ..facts() }, None), ["NO_FREE_SLOTS"]);
        assert_eq!(problems(CapacityFacts { senders: 9, ..facts() }, None), ["NO_FREE_WAL_SENDERS"]);
        assert_eq!(problems(CapacityFacts { keep_size_mb: -1, ..facts() }, None), ["SLOT_WAL_UNLIMITED"]);
        assert_eq!(problems(CapacityFacts { keep_size_mb: 512, ..facts() }, None), ["SLOT_WAL_SMALL"]);
        let fast = CapacityFacts { keep_size_mb: 2048, ..facts() };
        assert_eq!(problems(fast, None), ["SLOT_WAL_SMALL"], "36 minutes");
        assert_eq!(problems(CapacityFacts { keep_size_mb: 4096, ..facts() }, None), [""; 0]);
        let idle = |idle_timeout_seconds| CapacityFacts { idle_timeout_seconds, ..facts() };
        assert_eq!(problems(idle(7200), None), ["SLOT_IDLE_TIMEOUT"]);
        assert_eq!(problems(idle(SHORT_IDLE_SECONDS), None), [""; 0]);
    }

    #[test]
    fn slot_that_is_there_needs_less_room() {
        let full = CapacityFacts { slots: 10, senders: 9, ..facts() };
        assert_eq!(problems(full.clone(), Some("mine")), [""; 0]);
        let standby = CapacityFacts { is_standby: true, ..full };
        assert_eq!(problems(standby, Some("mine")), ["NO_FREE_WAL_SENDERS"]);
    }
}
