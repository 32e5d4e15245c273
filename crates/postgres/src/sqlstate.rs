//! What a SQLSTATE means for us (PostgreSQL manual, appendix A). Texts are never looked at: they change with the
//! server's language and version.

use segcdc_model::Disposition;

use crate::error::Operation;

/// The meaning of a server's error, coarser than SQLSTATE and finer than its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// User, password or certificate was refused.
    AuthenticationFailed,
    /// The database is not there.
    DatabaseMissing,
    /// The server is starting, stopping, failing over or ended the session.
    ServerRestarting,
    /// The connection broke.
    ConnectionBroken,
    /// Too many connections or walsenders.
    TooManyConnections,
    /// All slots are in use.
    NoFreeSlots,
    /// Memory, disk or another resource is short.
    ResourcesShort,
    /// A deadlock, serialization failure or lock time-out.
    Contention,
    /// A query was cancelled or ran out of time.
    Cancelled,
    /// A right is missing.
    PermissionDenied,
    /// The role may not replicate.
    ReplicationDenied,
    /// The slot is being used by another session.
    SlotInUse,
    /// The slot is not there.
    SlotMissing,
    /// A slot of this name is already there.
    SlotExists,
    /// The slot was invalidated: WAL that it needs is gone.
    SlotLost,
    /// The slot was made by another output plugin, or is a physical one.
    SlotUnusable,
    /// `wal_level` is below `logical`, or the server cannot decode here.
    DecodingUnavailable,
    /// The publication is not there, as of the position that is being decoded.
    PublicationMissing,
    /// A publication of this name is already there.
    PublicationExists,
    /// The exported snapshot is gone.
    SnapshotGone,
    /// A table or column is not there (any more).
    TableMissing,
    /// The server does not know the command or option: an older version or something in between.
    NotSupported,
    /// The server does not know an SQL statement of ours, or does not allow it for what it names.
    QueryUnsupported,
    /// The server is older than what is supported.
    VersionUnsupported,
    /// Text that cannot be expressed in UTF-8.
    Encoding,
    /// A database whose encoding has no conversion to UTF-8.
    EncodingUnsupported,
    /// Text of a table that is copied, that cannot be expressed in UTF-8.
    TextUntranslatable,
    /// The server found its data damaged.
    Corrupted,
    /// Anything else.
    Other,
}

/// What `sqlstate` means while `operation` was running.
pub(crate) fn cause(operation: Operation, sqlstate: &str) -> Cause {
    if let Some(cause) = of_operation(operation, sqlstate) {
        return cause;
    }
    match sqlstate {
        "3D000" => Cause::DatabaseMissing,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" => Cause::ServerRestarting,
        "57P04" => Cause::DatabaseMissing,
        "57014" => Cause::Cancelled,
        "53300" => Cause::TooManyConnections,
        "53400" => Cause::NoFreeSlots,
        "55P03" => Cause::Contention,
        "42501" => Cause::PermissionDenied,
        "42P01" | "42703" | "3F000" => Cause::TableMissing,
        "0A000" | "42601" => Cause::NotSupported,
        "22021" | "22P05" => Cause::Encoding,
        "XX001" | "XX002" => Cause::Corrupted,
        _ => of_class(sqlstate),
    }
}

/// Meanings that depend on what was being done.
fn of_operation(operation: Operation, sqlstate: &str) -> Option<Cause> {
    Some(match (operation, sqlstate) {
        // START_REPLICATION looks the slot up; the publication is looked up at the first change (`LoadPublications`).
        (Operation::StartReplication | Operation::DropSlot, "42704") => Cause::SlotMissing,
        (Operation::Stream, "42704") => Cause::PublicationMissing,
        (Operation::StartReplication | Operation::DropSlot | Operation::CreateSlot, "55006") => {
            Cause::SlotInUse
        }
        // "can no longer get changes from replication slot": invalidated, by the one SQLSTATE that all versions use.
        (Operation::StartReplication | Operation::Stream, "55000") => Cause::SlotLost,
        (Operation::StartReplication, "42809" | "0A000") => Cause::SlotUnusable,
        (Operation::CreateSlot, "55000") => Cause::DecodingUnavailable,
        (Operation::CreateSlot, "42710") => Cause::SlotExists,
        (Operation::CreateSlot | Operation::StartReplication | Operation::ConnectReplication, "42501") => {
            Cause::ReplicationDenied
        }
        // PgBouncer says so about start-up parameters that it does not know, "replication" among them.
        (Operation::Connect | Operation::ConnectReplication, "08P01") => Cause::NotSupported,
        // The first setting that a server looks at, and the one thing of a session's start that it may not support.
        (Operation::Connect, "0A000") => Cause::EncodingUnsupported,
        (Operation::Copy, "22021" | "22P05") => Cause::TextUntranslatable,
        (
            Operation::Query
            | Operation::Copy
            | Operation::ImportSnapshot
            | Operation::Publication
            | Operation::Heartbeat,
            "0A000" | "42601",
        ) => Cause::QueryUnsupported,
        // A setting of ours that versions before 14 do not have.
        (Operation::Connect | Operation::ConnectReplication, "42704") => Cause::VersionUnsupported,
        (Operation::Publication, "42710") => Cause::PublicationExists,
        (Operation::Publication, "42704") => Cause::PublicationMissing,
        // 22023 up to PostgreSQL 16, 42704 from 17 on.
        (Operation::ImportSnapshot, "22023" | "42704" | "55000") => Cause::SnapshotGone,
        _ => return None,
    })
}

/// Meanings of whole classes, the first two characters.
fn of_class(sqlstate: &str) -> Cause {
    match sqlstate.get(..2).unwrap_or_default() {
        "08" => Cause::ConnectionBroken,
        "28" => Cause::AuthenticationFailed,
        "40" => Cause::Contention,
        "53" | "58" => Cause::ResourcesShort,
        _ => Cause::Other,
    }
}

// === impl Cause ===

impl Cause {
    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Cause::AuthenticationFailed => "AUTH_FAILED",
            Cause::DatabaseMissing => "DATABASE_MISSING",
            Cause::ServerRestarting => "SOURCE_RESTARTING",
            Cause::ConnectionBroken => "SOURCE_CONNECTION_LOST",
            Cause::TooManyConnections => "SOURCE_TOO_MANY_CONNECTIONS",
            Cause::NoFreeSlots => "NO_FREE_SLOTS",
            Cause::ResourcesShort => "SOURCE_RESOURCES_SHORT",
            Cause::Contention => "SOURCE_CONTENTION",
            Cause::Cancelled => "SOURCE_QUERY_CANCELLED",
            Cause::PermissionDenied => "PERMISSION_DENIED",
            Cause::ReplicationDenied => "PERMISSION_REPLICATION",
            Cause::SlotInUse => "SLOT_IN_USE",
            Cause::SlotMissing => "SLOT_MISSING",
            Cause::SlotExists => "SLOT_EXISTS",
            Cause::SlotLost => "SLOT_LOST",
            Cause::SlotUnusable => "SLOT_WRONG_PLUGIN",
            Cause::DecodingUnavailable => "WAL_LEVEL",
            Cause::PublicationMissing => "PUBLICATION_MISSING",
            Cause::PublicationExists => "PUBLICATION_EXISTS",
            Cause::SnapshotGone => "SNAPSHOT_GONE",
            Cause::TableMissing => "TABLE_NOT_FOUND",
            Cause::NotSupported => "REPLICATION_CONNECTION_REFUSED",
            Cause::QueryUnsupported => "SOURCE_QUERY_UNSUPPORTED",
            Cause::VersionUnsupported => "SOURCE_VERSION_UNSUPPORTED",
            Cause::Encoding | Cause::EncodingUnsupported | Cause::TextUntranslatable => "SOURCE_ENCODING",
            Cause::Corrupted => "SOURCE_CORRUPTED",
            Cause::Other => "SOURCE_ERROR",
        }
    }

    /// What is to be done.
    pub(crate) fn disposition(self) -> Disposition {
        match self {
            Cause::ServerRestarting
            | Cause::ConnectionBroken
            | Cause::TooManyConnections
            | Cause::ResourcesShort
            | Cause::Contention
            | Cause::Cancelled
            | Cause::SlotInUse
            | Cause::SnapshotGone => Disposition::Retry,
            Cause::TableMissing | Cause::TextUntranslatable => Disposition::HaltTable,
            Cause::AuthenticationFailed
            | Cause::DatabaseMissing
            | Cause::NoFreeSlots
            | Cause::PermissionDenied
            | Cause::ReplicationDenied
            | Cause::SlotMissing
            | Cause::SlotExists
            | Cause::SlotLost
            | Cause::SlotUnusable
            | Cause::DecodingUnavailable
            | Cause::PublicationMissing
            | Cause::PublicationExists
            | Cause::NotSupported
            | Cause::QueryUnsupported
            | Cause::VersionUnsupported
            | Cause::Encoding
            | Cause::EncodingUnsupported
            | Cause::Corrupted
            | Cause::Other => Disposition::Halt,
        }
    }

    /// What a person can do.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Cause::AuthenticationFailed => {
                "check user and password, and that the server's pg_hba.conf admits this user from here"
            }
            Cause::DatabaseMissing => "check the database name in the source URL",
            Cause::ServerRestarting | Cause::ConnectionBroken => "the connection is made again by itself",
            Cause::TooManyConnections => {
                "raise max_connections or max_wal_senders at the source, or end other sessions"
            }
            Cause::NoFreeSlots => {
                "raise max_replication_slots (restart needed), or drop a slot that nobody uses"
            }
            Cause::ResourcesShort => "the source is short of memory or disk; see its log",
            Cause::Contention | Cause::Cancelled => "it is tried again by itself",
            Cause::PermissionDenied => "grant the right that the message names",
            Cause::ReplicationDenied => {
                "ALTER ROLE ... REPLICATION, or on a managed service grant its replication role \
                 (rds_replication, cloudsqlreplication, azure_pg_admin)"
            }
            Cause::SlotInUse => {
                "another session consumes the slot; after a crash the server frees it within wal_sender_timeout"
            }
            Cause::SlotMissing => {
                "the slot was dropped or lost in a failover; the tables must be copied again with a new slot"
            }
            Cause::SlotExists => "choose another slot name, or drop the slot if nobody needs it",
            Cause::SlotLost => {
                "the server removed WAL that the slot needs (max_slot_wal_keep_size); \
                 the tables must be copied again with a new slot"
            }
            Cause::SlotUnusable => "give a logical slot with the plugin pgoutput, or let one be created",
            Cause::DecodingUnavailable => "ALTER SYSTEM SET wal_level = 'logical', then restart the server",
            Cause::PublicationMissing => {
                "the publication was dropped; making it again does not mend the slot: \
                 the tables must be copied again with a new slot"
            }
            Cause::PublicationExists => "choose another publication name",
            Cause::SnapshotGone => "unfinished tables are copied again with a new snapshot",
            Cause::TableMissing => "the table was dropped, renamed or changed; look at the source",
            Cause::NotSupported => {
                "connect directly to a PostgreSQL server of version 14 or later, not through a pooler"
            }
            Cause::QueryUnsupported => {
                "the message says what the source does not allow: an extension or a service's restriction, or a server that is not \
                 PostgreSQL 14 to 18; its log has the whole statement. Allow it there, or connect to PostgreSQL itself"
            }
            Cause::VersionUnsupported => "upgrade PostgreSQL to 14 or later",
            Cause::Encoding => {
                "the source holds text that its encoding cannot turn into Unicode, and its log says which bytes; mend the \
                 value there, then take the pipeline down with `down` and make it anew: the slot cannot pass the change"
            }
            Cause::EncodingUnsupported => {
                "the text of a database with this encoding cannot be turned into Unicode; \
                 dump the database and restore it into one with ENCODING 'UTF8'"
            }
            Cause::TextUntranslatable => {
                "the table holds text that its encoding cannot turn into Unicode, and the source's log says which bytes; \
                 mend the value there, then run `table resync`"
            }
            Cause::Corrupted => "the source reports damaged data; see its log",
            Cause::Other => "see the message and the source's log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Disposition::{Halt, HaltTable, Retry};

    #[test]
    fn sqlstates_mean_what_the_table_says() {
        use Operation::*;
        let check = |operation, sqlstate, code, disposition| {
            let found = cause(operation, sqlstate);
            assert_eq!((found.code(), found.disposition()), (code, disposition), "{operation:?} {sqlstate}");
        };
        check(Connect, "28P01", "AUTH_FAILED", Halt);
        check(Connect, "28000", "AUTH_FAILED", Halt);
        check(Connect, "3D000", "DATABASE_MISSING", Halt);
        check(Connect, "53300", "SOURCE_TOO_MANY_CONNECTIONS", Retry);
        check(Connect, "0A000", "SOURCE_ENCODING", Halt);
        check(Copy, "22P05", "SOURCE_ENCODING", HaltTable);
        check(Stream, "22P05", "SOURCE_ENCODING", Halt);
        check(Connect, "57P03", "SOURCE_RESTARTING", Retry);
        check(Connect, "42501", "PERMISSION_DENIED", Halt);
        check(ConnectReplication, "42501", "PERMISSION_REPLICATION", Halt);
        check(ConnectReplication, "08P01", "REPLICATION_CONNECTION_REFUSED", Halt);
        check(Connect, "08P01", "REPLICATION_CONNECTION_REFUSED", Halt);
        check(Connect, "42704", "SOURCE_VERSION_UNSUPPORTED", Halt);
        check(Query, "42501", "PERMISSION_DENIED", Halt);
        for operation in [Query, Copy, ImportSnapshot, Publication, Heartbeat] {
            check(operation, "0A000", "SOURCE_QUERY_UNSUPPORTED", Halt);
            check(operation, "42601", "SOURCE_QUERY_UNSUPPORTED", Halt);
        }
        for operation in [ConnectReplication, Identify, CreateSlot, DropSlot] {
            check(operation, "42601", "REPLICATION_CONNECTION_REFUSED", Halt);
        }
        check(Query, "57014", "SOURCE_QUERY_CANCELLED", Retry);
        check(Query, "40P01", "SOURCE_CONTENTION", Retry);
        check(CreateSlot, "53400", "NO_FREE_SLOTS", Halt);
        check(CreateSlot, "42710", "SLOT_EXISTS", Halt);
        check(CreateSlot, "55000", "WAL_LEVEL", Halt);
        check(StartReplication, "55006", "SLOT_IN_USE", Retry);
        check(StartReplication, "42704", "SLOT_MISSING", Halt);
        check(StartReplication, "55000", "SLOT_LOST", Halt);
        check(Stream, "42704", "PUBLICATION_MISSING", Halt);
        check(Stream, "57P01", "SOURCE_RESTARTING", Retry);
        check(Stream, "53200", "SOURCE_RESOURCES_SHORT", Retry);
        check(ImportSnapshot, "22023", "SNAPSHOT_GONE", Retry);
        check(ImportSnapshot, "42704", "SNAPSHOT_GONE", Retry);
        check(Copy, "42P01", "TABLE_NOT_FOUND", HaltTable);
        check(Copy, "XX001", "SOURCE_CORRUPTED", Halt);
        check(Publication, "42710", "PUBLICATION_EXISTS", Halt);
    }

    #[test]
    fn unknown_sqlstates_halt() {
        for operation in Operation::ALL {
            for sqlstate in ["", "9", "99999", "XX000", "é"] {
                assert_eq!(cause(operation, sqlstate).disposition(), Halt, "{operation:?} {sqlstate}");
            }
        }
    }
}
