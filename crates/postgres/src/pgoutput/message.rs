//! [`Message`]: one variant per message of pgoutput.

use bytes::Bytes;
use segcdc_model::{Lsn, OldTuple, Relation, Tuple};

/// Where and when a transaction was committed, prepared or rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Position of the COMMIT, PREPARE or ROLLBACK record.
    pub lsn: Lsn,
    /// Position behind it.
    pub end_lsn: Lsn,
    /// Its time, microseconds since 2000-01-01 UTC, by the source's clock.
    pub time_us: i64,
}

/// A message. `xid` is the subtransaction that made the change, and is there only inside of a streamed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A committed transaction begins.
    Begin {
        /// Position of its COMMIT record.
        final_lsn: Lsn,
        /// Commit time, microseconds since 2000-01-01 UTC.
        commit_time_us: i64,
        /// Transaction id.
        xid: u32,
    },
    /// The transaction is complete.
    Commit(Position),
    /// The transaction came from another node.
    Origin,
    /// The shape of a table.
    Relation {
        /// Subtransaction.
        xid: Option<u32>,
        /// The table.
        relation: Relation,
    },
    /// The name of a type that is not built in.
    Type,
    /// A new row.
    Insert {
        /// Subtransaction.
        xid: Option<u32>,
        /// OID of the table.
        oid: u32,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// Subtransaction.
        xid: Option<u32>,
        /// OID of the table.
        oid: u32,
        /// What was sent of the row before.
        old: Option<OldTuple>,
        /// The row afterwards.
        new: Tuple,
    },
    /// A removed row.
    Delete {
        /// Subtransaction.
        xid: Option<u32>,
        /// OID of the table.
        oid: u32,
        /// What was sent of the row.
        old: OldTuple,
    },
    /// Tables that were emptied.
    Truncate {
        /// Subtransaction.
        xid: Option<u32>,
        /// OIDs of the tables.
        oids: Vec<u32>,
    },
    /// A message written with `pg_logical_emit_message`.
    Logical {
        /// Subtransaction.
        xid: Option<u32>,
        /// Whether it is a part of its transaction; if not, it comes at once and outside of any.
        transactional: bool,
        /// Its position.
        lsn: Lsn,
        /// Who it is for.
        prefix: String,
        /// Anything.
        content: Bytes,
    },
    /// A block of a transaction in progress begins.
    StreamStart {
        /// The top transaction.
        xid: u32,
        /// Whether it is its first block.
        first: bool,
    },
    /// The block ends.
    StreamStop,
    /// A streamed transaction is committed.
    StreamCommit {
        /// The top transaction.
        xid: u32,
        /// Where.
        position: Position,
    },
    /// A streamed transaction or one of its subtransactions is rolled back.
    StreamAbort {
        /// The top transaction.
        xid: u32,
        /// What is rolled back; the same as `xid` for the whole transaction.
        subxid: u32,
    },
    /// A message of two-phase commit, which is never asked for.
    TwoPhase {
        /// The message's type byte.
        kind: u8,
    },
}
