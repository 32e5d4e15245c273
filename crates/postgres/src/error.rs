//! [`SourceError`]: everything that can go wrong with the source.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use segcdc_model::{Disposition, Fault, Lsn};

use crate::config::ConfigError;
use crate::error::tls_problem::TlsProblem;
use crate::sqlstate::{self, Cause};

pub use crate::error::link::LinkError;

mod link;
mod tls_problem;

/// What was being done when the server answered with an error. The same SQLSTATE means different things in different
/// places: 42704 is a missing slot at START_REPLICATION and a missing publication afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starting a session: authentication and everything before the first query.
    Connect,
    /// The same for a replication session.
    ConnectReplication,
    /// An ordinary query.
    Query,
    /// IDENTIFY_SYSTEM or another question to the walsender.
    Identify,
    /// Creating a replication slot.
    CreateSlot,
    /// Dropping a replication slot.
    DropSlot,
    /// START_REPLICATION.
    StartReplication,
    /// Receiving the stream.
    Stream,
    /// Importing an exported snapshot.
    ImportSnapshot,
    /// Copying a table.
    Copy,
    /// Creating, changing or dropping a publication.
    Publication,
    /// Writing a heartbeat.
    Heartbeat,
}

/// An ErrorResponse of the server, without its DETAIL, which may quote rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate})")]
pub struct ServerError {
    /// The five characters of PostgreSQL manual, appendix A.
    pub sqlstate: String,
    /// The primary message; withheld for data exceptions, whose messages quote values.
    pub message: String,
    /// Whether the server ended the session (severity FATAL or PANIC).
    pub fatal: bool,
}

/// Everything that can go wrong with the source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The URL cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The way to the source cannot be used as it was asked for.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No connection could be made.
    #[error("cannot connect to PostgreSQL at {server}")]
    Unreachable {
        /// `host:port` or the socket's path.
        server: String,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// Connecting took too long.
    #[error("PostgreSQL at {server} did not complete the connection within {}", seconds(*.after))]
    ConnectTimeout {
        /// `host:port` or the socket's path.
        server: String,
        /// The bound.
        after: Duration,
    },
    /// The server does not offer TLS.
    #[error("PostgreSQL at {server} does not offer TLS")]
    TlsRefused {
        /// `host:port`.
        server: String,
    },
    /// The TLS handshake failed.
    #[error("no trusted TLS connection to PostgreSQL at {server}")]
    Tls {
        /// `host:port`.
        server: String,
        /// What rustls said.
        #[source]
        cause: io::Error,
    },
    /// A certificate or key file cannot be used.
    #[error("cannot use {} as {role}: {problem}", .path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What it was meant to be.
        role: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system has no trusted authorities.
    #[error("the operating system has no trusted certificate authorities")]
    NoRootCertificates,
    /// The server wants a password, and none was given.
    #[error("PostgreSQL at {server} asks for a password for user \"{user}\", and none was given")]
    PasswordMissing {
        /// `host:port` or the socket's path.
        server: String,
        /// The role.
        user: String,
    },
    /// The server wants a way of authentication that we do not have, or that would disclose the password.
    #[error("PostgreSQL at {server} asks for {method} authentication")]
    AuthenticationMethod {
        /// `host:port` or the socket's path.
        server: String,
        /// What it asks for.
        method: &'static str,
    },
    /// The server could not prove that it knows the password.
    #[error("PostgreSQL at {server} failed to prove its identity")]
    ServerNotAuthentic {
        /// `host:port` or the socket's path.
        server: String,
        /// What is wrong with its answer.
        #[source]
        cause: io::Error,
    },
    /// Whatever listens there does not speak PostgreSQL's protocol.
    #[error("what listens at {server} is not PostgreSQL: {problem}")]
    NotPostgres {
        /// `host:port` or the socket's path.
        server: String,
        /// What it sent instead.
        problem: &'static str,
    },
    /// The server answered with an error.
    #[error("{}", operation.failure())]
    Server {
        /// What was being done.
        operation: Operation,
        /// The answer.
        #[source]
        error: ServerError,
    },
    /// The connection ended.
    #[error("the connection to PostgreSQL was lost")]
    ConnectionLost {
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// Nothing came from the server for too long.
    #[error("PostgreSQL has been silent for {}", seconds(*.after))]
    PeerSilent {
        /// How long.
        after: Duration,
    },
    /// The server sent what its protocol does not allow at this point.
    #[error("PostgreSQL sent an unexpected message: {problem}")]
    Protocol {
        /// What is wrong.
        problem: String,
    },
    /// A change of a table that was never announced.
    #[error("the stream has a change of relation {oid}, which it never described")]
    UnknownRelation {
        /// Its OID.
        oid: u32,
    },
    /// Something that the replication command returned is not what is needed.
    #[error("the server is too old: version {found}, needed is {needed}")]
    VersionUnsupported {
        /// `server_version_num`.
        found: u32,
        /// The first version that works.
        needed: u32,
    },
    /// A slot name that PostgreSQL does not allow.
    #[error("\"{name}\" is not a slot name")]
    SlotName {
        /// The name.
        name: String,
    },
    /// A name with a NUL or of no length, which no SQL can express.
    #[error("a name of the {what} is empty or holds a NUL")]
    InvalidName {
        /// What it names.
        what: &'static str,
    },
    /// A table pattern that cannot be understood.
    #[error("\"{pattern}\" is not a table pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A table that is not there (any more), or has not the columns that were asked for.
    #[error("the table {table} does not exist in the asked-for form")]
    TableNotFound {
        /// Its name.
        table: String,
    },
    /// What happened to partitions of a table is not in the stream: the table, and what happened.
    #[error("the partitions of {0} have changed: {1}")]
    PartitionsChanged(String, String),
    /// A table got a new file after the snapshot, which sees it as empty or its rows at other places.
    #[error(
        "the table {table} was truncated or rewritten after the snapshot, which cannot be trusted with it"
    )]
    TableRewritten {
        /// Its name.
        table: String,
    },
    /// A value or a transaction that is too large for memory cannot be kept on disk.
    #[error("cannot keep what is too large for memory in {}", .directory.display())]
    Spill {
        /// The directory.
        directory: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// What is too large for memory does not fit into the limit on disk, even when nothing else is there.
    #[error(
        "{needed} more bytes would be needed in {}, where --spill-limit allows {limit} in all",
        .directory.display()
    )]
    SpillLimit {
        /// The directory.
        directory: PathBuf,
        /// Bytes that may be there at once.
        limit: u64,
        /// Bytes that had to be added.
        needed: u64,
    },
    /// The position to start at lies behind what the slot has already let go: rows would be lost silently.
    #[error("the slot \"{slot}\" has moved to {confirmed}, past the wanted start {wanted}")]
    SlotAheadOfCheckpoint {
        /// The slot.
        slot: String,
        /// Its `confirmed_flush_lsn`.
        confirmed: Lsn,
        /// Where the stream was to begin.
        wanted: Lsn,
    },
}

/// A duration for a message.
fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

// === impl Operation ===

impl Operation {
    /// All operations, for tests and tables.
    pub const ALL: [Operation; 12] = [
        Operation::Connect,
        Operation::ConnectReplication,
        Operation::Query,
        Operation::Identify,
        Operation::CreateSlot,
        Operation::DropSlot,
        Operation::StartReplication,
        Operation::Stream,
        Operation::ImportSnapshot,
        Operation::Copy,
        Operation::Publication,
        Operation::Heartbeat,
    ];

    /// The first half of the message.
    const fn failure(self) -> &'static str {
        match self {
            Operation::Connect => "PostgreSQL refused the session",
            Operation::ConnectReplication => "PostgreSQL refused the replication session",
            Operation::Query => "a query of PostgreSQL failed",
            Operation::Identify => "asking PostgreSQL for its identity failed",
            Operation::CreateSlot => "creating the replication slot failed",
            Operation::DropSlot => "dropping the replication slot failed",
            Operation::StartReplication => "starting replication failed",
            Operation::Stream => "the replication stream failed",
            Operation::ImportSnapshot => "importing the snapshot failed",
            Operation::Copy => "copying a table failed",
            Operation::Publication => "changing the publication failed",
            Operation::Heartbeat => "writing a heartbeat failed",
        }
    }
}

// === impl SourceError ===

impl SourceError {
    /// The SQLSTATE of the server's answer, if the server answered.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            SourceError::Server { error, .. } => Some(&error.sqlstate),
            _ => None,
        }
    }

    /// What the server's answer means, if the server answered.
    fn cause(&self) -> Option<Cause> {
        match self {
            SourceError::Server { operation, error } => Some(sqlstate::cause(*operation, &error.sqlstate)),
            _ => None,
        }
    }
}

impl Fault for SourceError {
    fn code(&self) -> &'static str {
        match self {
            SourceError::Config(error) => error.code(),
            SourceError::Link(error) => error.code(),
            SourceError::Unreachable { .. } => "SOURCE_UNREACHABLE",
            SourceError::ConnectTimeout { .. } => "SOURCE_CONNECT_TIMEOUT",
            SourceError::TlsRefused { .. } => "TLS_NOT_OFFERED",
            SourceError::Tls { cause, .. } => TlsProblem::of(cause).code(),
            SourceError::CertificateFile { .. } => "CA_INVALID",
            SourceError::NoRootCertificates => "CA_MISSING",
            SourceError::PasswordMissing { .. } => "AUTH_PASSWORD_MISSING",
            SourceError::AuthenticationMethod { .. } => "AUTH_METHOD_UNSUPPORTED",
            SourceError::ServerNotAuthentic { .. } => "AUTH_SERVER_NOT_AUTHENTIC",
            SourceError::NotPostgres { .. } => "PROTOCOL_MISMATCH",
            SourceError::Server { .. } => self.cause().map_or("SOURCE_ERROR", Cause::code),
            SourceError::ConnectionLost { .. } => "SOURCE_CONNECTION_LOST",
            SourceError::PeerSilent { .. } => "SOURCE_SILENT",
            SourceError::Protocol { .. } => "PROTOCOL_VIOLATION",
            SourceError::UnknownRelation { .. } => "PROTOCOL_UNKNOWN_RELATION",
            SourceError::VersionUnsupported { .. } => "SOURCE_VERSION_UNSUPPORTED",
            SourceError::SlotName { .. } => "SLOT_NAME",
            SourceError::InvalidName { .. } => "NAME_INVALID",
            SourceError::Pattern { .. } => "TABLE_PATTERN",
            SourceError::TableNotFound { .. } => "TABLE_NOT_FOUND",
            SourceError::PartitionsChanged(..) => "PARTITIONS_CHANGED",
            SourceError::TableRewritten { .. } => "TABLE_REWRITTEN",
            SourceError::SlotAheadOfCheckpoint { .. } => "SLOT_AHEAD_OF_CHECKPOINT",
            SourceError::Spill { cause, .. } if is_full(cause) => "SPILL_DISK_FULL",
            SourceError::Spill { .. } => "SPILL_FAILED",
            SourceError::SpillLimit { .. } => "SPILL_LIMIT",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            SourceError::Unreachable { .. }
            | SourceError::ConnectTimeout { .. }
            | SourceError::ConnectionLost { .. }
            | SourceError::PeerSilent { .. }
            | SourceError::TableRewritten { .. } => Disposition::Retry,
            SourceError::TableNotFound { .. } | SourceError::PartitionsChanged(..) => Disposition::HaltTable,
            // Others may give the space back.
            SourceError::Spill { cause, .. } if is_full(cause) => Disposition::Retry,
            // A server that goes down in the middle of a handshake says nothing about certificates.
            SourceError::Tls { cause, .. } if is_cut(cause) => Disposition::Retry,
            SourceError::Server { .. } => self.cause().map_or(Disposition::Halt, Cause::disposition),
            SourceError::Link(error) => error.disposition(),
            SourceError::Tls { cause, .. } => TlsProblem::of(cause).disposition(),
            SourceError::Config(_)
            | SourceError::TlsRefused { .. }
            | SourceError::CertificateFile { .. }
            | SourceError::NoRootCertificates
            | SourceError::PasswordMissing { .. }
            | SourceError::AuthenticationMethod { .. }
            | SourceError::ServerNotAuthentic { .. }
            | SourceError::NotPostgres { .. }
            | SourceError::Protocol { .. }
            | SourceError::UnknownRelation { .. }
            | SourceError::VersionUnsupported { .. }
            | SourceError::SlotName { .. }
            | SourceError::Spill { .. }
            | SourceError::SpillLimit { .. }
            | SourceError::InvalidName { .. }
            | SourceError::Pattern { .. }
            | SourceError::SlotAheadOfCheckpoint { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            SourceError::Config(error) => return error.hint(),
            SourceError::Link(error) => return error.hint(),
            SourceError::Server { .. } => return self.cause().map_or("", Cause::hint).to_owned(),
            SourceError::Unreachable { .. } | SourceError::ConnectTimeout { .. } => {
                "check host and port, that the server runs and listens there, and firewalls in between"
            }
            SourceError::TlsRefused { .. } => {
                "set ssl = on at the server, or give sslmode=disable if the network is trusted"
            }
            SourceError::Tls { cause, .. } => TlsProblem::of(cause).hint(),
            SourceError::CertificateFile { .. } => "give a PEM file of the right kind",
            SourceError::NoRootCertificates => "give the authority's certificate with sslrootcert=FILE",
            SourceError::PasswordMissing { .. } => "put the password into the source URL, or name a file of passwords with passfile=FILE; PGPASSWORD and ~/.pgpass \
                 are not read by themselves",
            SourceError::AuthenticationMethod { .. } => {
                "let pg_hba.conf ask for scram-sha-256, or for md5, trust or cert; a password in clear is \
                 sent only over TLS"
            }
            SourceError::ServerNotAuthentic { .. } => {
                "the password is wrong at one side, or something between us and the server reads along"
            }
            SourceError::NotPostgres { .. } => "check host and port",
            SourceError::ConnectionLost { .. } | SourceError::PeerSilent { .. } => {
                "the connection is made again; if this repeats, check the network and the server's log"
            }
            SourceError::Protocol { .. } | SourceError::UnknownRelation { .. } => {
                "connect to PostgreSQL directly, without a proxy; if it persists, report it"
            }
            SourceError::VersionUnsupported { .. } => "upgrade PostgreSQL to 14 or later",
            SourceError::SlotName { .. } => {
                "a slot name has 1 to 63 characters, all of them a-z, 0-9 or _, and does not begin with pg_"
            }
            SourceError::InvalidName { .. } => "correct the name",
            SourceError::Pattern { .. } => {
                "write schema.table with * and ? as wildcards, or table for public.table; \
                 quote names with a dot or wildcard: \"my.schema\".\"t*\""
            }
            SourceError::TableNotFound { .. } => {
                "the table was dropped, renamed or changed; look at the source"
            }
            SourceError::PartitionsChanged(..) => "copy the table again: segcdc table resync; the others go on",
            SourceError::TableRewritten { .. } => "the table is copied again with a new snapshot",
            SourceError::Spill { cause, .. } if is_full(cause) => {
                "give the directory space for the largest transactions, or name another with --spill-dir"
            }
            SourceError::Spill { .. } => {
                "the directory must exist or be creatable, and be writable; name another with --spill-dir"
            }
            SourceError::SpillLimit { .. } => {
                "give a larger --spill-limit: one row, or one transaction of the source, needs more; nothing is lost, and \
                 the next start goes on from the checkpoint"
            }
            SourceError::SlotAheadOfCheckpoint { .. } => {
                "something else has consumed the slot, or it was made again; the tables must be copied again"
            }
        }
        .to_owned()
    }
}

// === impl ServerError ===

impl ServerError {
    /// The answer with its SQLSTATE and primary message.
    pub(crate) fn new(sqlstate: &str, message: &str, fatal: bool) -> Self {
        // Class 22 is "data exception": the only class whose primary messages quote what the row held.
        let message = if sqlstate.starts_with("22") && sqlstate != "22023" {
            "data exception".to_owned()
        } else {
            message.to_owned()
        };
        ServerError { sqlstate: sqlstate.to_owned(), message, fatal }
    }
}

/// Whether the disk, or the user's share of it, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether a connection ended under its user, whatever it was used for.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_handshake_may_pass_and_a_bad_certificate_does_not() {
        let tls = |cause: io::Error| SourceError::Tls { server: "h".to_owned(), cause }.disposition();
        assert_eq!(tls(io::ErrorKind::ConnectionReset.into()), Disposition::Retry);
        assert_eq!(tls(io::ErrorKind::UnexpectedEof.into()), Disposition::Retry);
        assert_eq!(tls(io::ErrorKind::InvalidData.into()), Disposition::Halt);
    }
}
