//! Heartbeats: WAL of our own, so that a quiet database lets go of what a busy neighbour writes.

use segcdc_model::Lsn;

use crate::error::{Operation, SourceError};
use crate::session::Session;

/// The prefix of our logical messages.
pub const PREFIX: &str = "segcdc";

/// The prefix of a message that asks whoever follows the stream to store how far it is, now and not when it is time.
pub const BARRIER: &str = "segcdc_barrier";

/// Writes a logical message that is no part of a transaction, and returns the position behind it. Needs no right but
/// to connect, and leaves nothing behind. It reaches the stream once the server has flushed it, which nobody waits for:
/// `wal_writer_delay` (200 ms by default), or sooner when something else commits.
///
/// A standby writes no WAL of its own: there it is nothing but the position up to which WAL was replayed. What its primary
/// writes moves the slot on.
pub async fn emit(session: &Session) -> Result<Lsn, SourceError> {
    let sql = message(&format!("'{PREFIX}', 'heartbeat'"));
    session.row(Operation::Heartbeat, &sql).await?.lsn()
}

/// As [`emit`], and asks the pipeline that follows the stream to store its position as soon as it is past it.
pub async fn emit_barrier(session: &Session) -> Result<Lsn, SourceError> {
    let sql = message(&format!("'{BARRIER}', ''"));
    session.row(Operation::Heartbeat, &sql).await?.lsn()
}

/// Writes a message where WAL can be written.
fn message(of: &str) -> String {
    format!(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
         ELSE pg_logical_emit_message(false, {of}) END"
    )
}
