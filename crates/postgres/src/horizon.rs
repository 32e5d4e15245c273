//! [`Horizon`]: what keeps vacuum from removing rows, and how fast the source goes through transaction ids.

use crate::error::{Operation, SourceError};
use crate::session::Session;

/// What the server says at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// The id that the next transaction will get, counted without wrapping around.
    pub next_xid: u64,
    /// Age of the oldest snapshot that a session, a slot or a prepared transaction holds, transactions. Sessions of others
    /// count only where the role may see them (`pg_read_all_stats`).
    pub oldest_age: u64,
    /// `autovacuum_freeze_max_age`
    pub freeze_max_age: u64,
    /// When it was, microseconds since the Unix epoch, by the server's clock.
    pub at_us: i64,
}

/// Asks. What the asking session itself holds does not count.
///
/// # Errors
/// The server's.
pub async fn look(session: &Session) -> Result<Horizon, SourceError> {
    let sql = "SELECT pg_snapshot_xmax(pg_current_snapshot()), greatest(0, \
         (SELECT max(age(backend_xmin)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()), \
         (SELECT max(age(xmin)) FROM pg_replication_slots), \
         (SELECT max(age(transaction)) FROM pg_prepared_xacts)), \
         current_setting('autovacuum_freeze_max_age'), \
         (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
    let mut row = session.row(Operation::Query, sql).await?;
    Ok(Horizon {
        next_xid: row.value()?,
        oldest_age: row.value()?,
        freeze_max_age: row.value()?,
        at_us: row.value()?,
    })
}
