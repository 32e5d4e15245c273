//! Copying tables as of the position at which the stream begins.
//!
//! ```text
//! replication session   CREATE_REPLICATION_SLOT s (SNAPSHOT 'export') --> position P, snapshot name N, then silence
//! reader sessions       BEGIN; SET TRANSACTION SNAPSHOT N; COPY part of a table --> rows that committed before P
//! stream                START_REPLICATION s P                                   --> everything that commits after P
//! ```
//!
//! The exported snapshot dies with the next command on the session that exported it, or with that session. A reader
//! that has imported it keeps what it sees; only new readers are refused then, with the code `SNAPSHOT_GONE`.
//!
//! Rows are asked for in PostgreSQL's binary form. A column whose type has no exact decoder comes as the text that its
//! output function prints, which is also what the stream sends. That is not always what a cast to `text` gives
//! (`inet` casts with its netmask), so it is not a cast that is asked for.

use segcdc_model::Lsn;

use crate::config::SourceConfig;
use crate::error::SourceError;
use crate::replication::{CreatedSlot, Replication, SlotSnapshot};

mod count;
mod key_bound;
mod range;
mod request;
mod rewrite;
mod row_decoder;
mod row_stream;

pub use count::count_rows;
pub use key_bound::{KeyBound, key_bound, key_range_filter};
pub use range::{CopyRange, split};
pub(crate) use request::source;
pub use request::{CopyRequest, key_filter};
pub use row_decoder::{CopyDecodeError, RowDecoder};
pub use row_stream::{Reader, RowStream, copy};

/// A snapshot exported by creating a slot; lives as long as this value.
#[derive(Debug)]
pub struct ExportedSnapshot {
    session: Replication,
    created: CreatedSlot,
}

// === impl ExportedSnapshot ===

impl ExportedSnapshot {
    /// Makes the slot and exports the snapshot of its consistent point. The slot is durable on return unless
    /// `temporary`; a temporary one goes with the session.
    ///
    /// Waits until every transaction that is now running has ended; the caller bounds it by dropping the future, after
    /// which the server drops the half-made slot within seconds.
    pub async fn create(
        config: &SourceConfig,
        slot: &str,
        temporary: bool,
    ) -> Result<ExportedSnapshot, SourceError> {
        let mut session = Replication::connect(config).await?;
        let created = session.create_slot(slot, SlotSnapshot::Export, temporary).await?;
        Ok(ExportedSnapshot { session, created })
    }

    /// What readers import it by.
    pub fn name(&self) -> &str {
        let CreatedSlot { snapshot, .. } = &self.created;
        snapshot
    }

    /// The consistent point: the snapshot sees every transaction that committed at or before it, the stream begins
    /// behind it.
    pub fn lsn(&self) -> Lsn {
        self.created.consistent_point
    }

    /// Name of the slot.
    pub fn slot(&self) -> &str {
        &self.created.name
    }

    /// The session, for streaming from it: the snapshot ends with its next command. A temporary slot can be streamed
    /// from no other session.
    pub fn into_replication(self) -> Replication {
        self.session
    }

    /// Ends snapshot and session in an orderly way. Dropping the value ends them too.
    pub async fn close(self) {
        self.session.close().await;
    }
}
