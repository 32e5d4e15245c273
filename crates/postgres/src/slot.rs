//! Replication slots: where the server keeps our place in its WAL.

use segcdc_model::Lsn;

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;

/// A replication slot as `pg_replication_slots` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Name.
    pub name: String,
    /// Output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database; `None` for a physical slot.
    pub database: Option<String>,
    /// Goes away with its session.
    pub temporary: bool,
    /// Process that consumes it.
    pub active_pid: Option<i32>,
    /// What the consumer has acknowledged. Stays after the slot was lost.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// Oldest WAL that it needs.
    pub restart_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it was invalidated; known from PostgreSQL 17 on.
    pub invalidation: Option<String>,
    /// Bytes that can still be written before it is in danger; `None` when unlimited or lost.
    pub safe_wal_size: Option<i64>,
    /// WAL that it keeps the server from removing, bytes.
    pub retained_bytes: u64,
    /// How far the server has written; on a standby, how far it was replayed.
    pub source_lsn: Lsn,
    /// WAL that slots may keep (`max_slot_wal_keep_size`), bytes; `None` for any amount.
    pub limit_bytes: Option<u64>,
}

/// What `wal_status` or `invalidation_reason` of a lost slot means, and what keeps the next slot from the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// What happened, as the rest of a sentence that begins with the slot.
    pub meaning: &'static str,
    /// What to change at the server.
    pub advice: &'static str,
    /// SQL that does it.
    pub fix_sql: Option<&'static str>,
}

/// First version that tells why a slot was invalidated.
const INVALIDATION_VERSION: u32 = 170_000;

// === impl SlotState ===

impl SlotState {
    /// Whether it was invalidated for good: WAL that it needs is gone.
    pub fn is_lost(&self) -> bool {
        self.invalidation.is_some() || self.wal_status.as_deref() == Some("lost")
    }

    /// Why a lost slot is lost: the server's word for it, as far as it has one.
    pub fn reason(&self) -> &str {
        self.invalidation.as_deref().or(self.wal_status.as_deref()).unwrap_or_default()
    }
}

// === impl Loss ===

impl Loss {
    /// By the server's word: `invalidation_reason` of PostgreSQL 17 and later, else `wal_status`.
    pub fn by(reason: &str) -> Self {
        match reason {
            "idle_timeout" => Loss {
                meaning: "nobody read it for longer than idle_replication_slot_timeout",
                advice: "set idle_replication_slot_timeout to 0, or above the longest pause",
                fix_sql: Some("ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()"),
            },
            "wal_level_insufficient" => Loss {
                meaning: "the server ran with a wal_level below logical",
                advice: "set wal_level = logical for good (restart needed)",
                fix_sql: Some("ALTER SYSTEM SET wal_level = 'logical'"),
            },
            "rows_removed" => Loss {
                meaning: "rows of the catalog that it needs were removed, as happens to slots of a standby",
                advice: "make the slot at the primary, or set hot_standby_feedback = on at the standby",
                fix_sql: None,
            },
            // "lost" of earlier versions, whose usual cause this is.
            "wal_removed" | "lost" => Loss {
                meaning: "WAL that it needs was removed",
                advice: "raise max_slot_wal_keep_size at the source",
                fix_sql: Some("ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf()"),
            },
            _ => Loss {
                meaning: "the server has invalidated it",
                advice: "look at invalidation_reason in pg_replication_slots and at the server's log",
                fix_sql: None,
            },
        }
    }
}

/// The slot, `None` when there is none of this name.
pub async fn inspect(session: &Session, name: &str) -> Result<Option<SlotState>, SourceError> {
    let mut row = session.row(Operation::Query, "SELECT current_setting('server_version_num')").await?;
    let version: u32 = row.value()?;
    let invalidation = if version >= INVALIDATION_VERSION { "invalidation_reason" } else { "NULL" };
    let sql = format!(
        "SELECT slot_name, plugin, database, temporary, active_pid, confirmed_flush_lsn, restart_lsn, wal_status, \
         {invalidation}, safe_wal_size, \
         greatest(coalesce(written - restart_lsn, 0), 0)::int8, coalesce(written, '0/0'), \
         (SELECT setting::int8 * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size' AND setting::int8 >= 0) \
         FROM pg_replication_slots, (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
           ELSE pg_current_wal_lsn() END AS written) AS position WHERE slot_name = {}",
        quote::literal(name)?
    );
    let Some(mut row) = session.rows(Operation::Query, &sql).await?.pop() else { return Ok(None) };
    Ok(Some(SlotState {
        name: row.text()?,
        plugin: row.optional()?,
        database: row.optional()?,
        temporary: row.flag()?,
        active_pid: row.optional_value()?,
        confirmed_flush_lsn: row.optional_value()?,
        restart_lsn: row.optional_value()?,
        wal_status: row.optional()?,
        invalidation: row.optional()?,
        safe_wal_size: row.optional_value()?,
        retained_bytes: row.value()?,
        source_lsn: row.lsn()?,
        limit_bytes: row.optional_value()?,
    }))
}

/// Drops the slot; false when it was not there. A slot in use is an error with the code `SLOT_IN_USE`.
pub async fn drop(session: &Session, name: &str) -> Result<bool, SourceError> {
    quote::slot_name(name)?;
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {}",
        quote::literal(name)?
    );
    Ok(!session.rows(Operation::DropSlot, &sql).await?.is_empty())
}
