//! [`Error`]: everything that can go wrong between this client and a server. [`EncodeError`]: why a value was refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::browser::Unresolved;
use crate::error::tls_problem::TlsProblem;

mod tls_problem;

/// An ERROR or INFO token: what a server says ([MS-TDS] 2.2.7.10, 2.2.7.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMessage {
    /// `sys.messages.message_id`; the only thing to recognise a message by.
    pub number: i32,
    /// Where in the server it was raised.
    pub state: u8,
    /// Severity; over 10 is an error, 20 and up end the connection.
    pub class: u8,
    /// The text. May hold row values (2627): not for logs.
    pub message: String,
    /// Server name.
    pub server: String,
    /// Procedure, empty outside of one.
    pub procedure: String,
    /// Line of the batch, from 1.
    pub line: i32,
}

/// All errors of one request, in the server's order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerErrors {
    /// The errors.
    pub errors: Vec<ServerMessage>,
}

/// Why a request or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection.
    #[error("cannot connect to {host}:{port}")]
    Connect {
        /// Host asked for.
        host: String,
        /// Port asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The port of a named instance could not be found out.
    #[error("the port of the instance {instance} at {host} is not known: {problem}")]
    Instance {
        /// Host asked for.
        host: String,
        /// Name of the instance.
        instance: String,
        /// What is wrong.
        problem: Unresolved,
    },
    /// Servers sent the login on and on.
    #[error("the login was sent on {hops} times, at last to {host}:{port}")]
    Routing {
        /// Host of the last server.
        host: String,
        /// Port of the last server.
        port: u16,
        /// How often it was sent on.
        hops: usize,
    },
    /// TLS was begun before anything else, `encrypt=strict`, and the server hung up.
    #[error("{host}:{port} did not take TLS before anything else (TDS 8.0)")]
    StrictRefused {
        /// Host asked for.
        host: String,
        /// Port asked for.
        port: u16,
        /// What the TLS library said.
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed: wrong authority, wrong name, no common version.
    #[error("TLS with {host} failed")]
    Tls {
        /// Name that the certificate had to carry.
        host: String,
        /// What the TLS library said.
        #[source]
        source: io::Error,
    },
    /// The authorities' file cannot be read, or holds none.
    #[error("cannot use the certificate authorities in {path}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The server cannot encrypt, and encryption is required.
    #[error("{host}:{port} does not support encryption, which is required")]
    EncryptionRefused {
        /// Host asked for.
        host: String,
        /// Port asked for.
        port: u16,
    },
    /// The login was refused (18456 and its like).
    #[error("login refused: {0}")]
    Login(ServerErrors),
    /// A request failed. The connection stays usable unless a class is 20 or more.
    #[error("{0}")]
    Server(ServerErrors),
    /// The server said something that the protocol does not allow, or that this client does not know.
    #[error("protocol error: {detail}")]
    Protocol {
        /// What was found, where.
        detail: String,
    },
    /// The connection broke.
    #[error("connection lost while {during}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A [`crate::LongValue`] cannot be read. The bulk load has to be given up.
    #[error("a long value cannot be read back")]
    LongValue {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Connecting took longer than allowed.
    #[error("{host}:{port} did not complete {during} in {seconds} s")]
    Timeout {
        /// Host asked for.
        host: String,
        /// Port asked for.
        port: u16,
        /// Which step.
        during: &'static str,
        /// Time allowed.
        seconds: u64,
    },
    /// The connection is not usable: an earlier request broke it, or was abandoned half-way.
    #[error("the connection is closed")]
    Closed,
    /// A value or setting that cannot be sent.
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

/// Why [`crate::RowEncoder`] refused a value. Columns are counted from 0. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// More UTF-16 units or bytes than the column holds.
    #[error("column {column}: length {length} is over the limit {limit}")]
    TooLong {
        /// Column.
        column: usize,
        /// Units or bytes of the value.
        length: usize,
        /// Units or bytes that the column holds.
        limit: usize,
    },
    /// A number, date or time that the type cannot hold.
    #[error("column {column}: value out of the type's range")]
    OutOfRange {
        /// Column.
        column: usize,
    },
    /// More digits behind the point than the type keeps; nothing is ever rounded.
    #[error("column {column}: value has more digits behind the point than the type keeps")]
    Inexact {
        /// Column.
        column: usize,
    },
    /// NaN or infinity.
    #[error("column {column}: NaN and infinity cannot be stored")]
    NotFinite {
        /// Column.
        column: usize,
    },
    /// A method of [`crate::RowEncoder`] that does not fit the column's type, or malformed input such as odd hexadecimal.
    #[error("column {column}: this kind of value does not fit the column's type")]
    WrongKind {
        /// Column.
        column: usize,
    },
    /// NULL for a column that does not allow it.
    #[error("column {column}: NULL is not allowed")]
    NotNullable {
        /// Column.
        column: usize,
    },
    /// `end_row` before, or a value after, the last column; or a value outside of a row.
    #[error("a row has {expected} columns, but {found} values were given")]
    ColumnCount {
        /// Columns of the target.
        expected: usize,
        /// Values given.
        found: usize,
    },
}

// === impl ServerErrors ===

impl std::error::Error for ServerErrors {}

impl ServerErrors {
    /// The error that a person should see first: the first of the highest class.
    pub fn main(&self) -> Option<&ServerMessage> {
        self.errors.iter().rev().max_by_key(|error| error.class)
    }

    /// Whether one of the errors has this number.
    pub fn has(&self, number: i32) -> bool {
        self.errors.iter().any(|error| error.number == number)
    }
}

impl fmt::Display for ServerErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}error {} (class {}, state {})", error.number, error.class, error.state)?;
            if !error.procedure.is_empty() {
                write!(f, " in {}", error.procedure)?;
            }
            write!(f, " line {}: {}", error.line, error.message)?;
        }
        Ok(())
    }
}

// === impl Error ===

impl Error {
    /// A [`Error::Protocol`].
    pub(crate) fn protocol(detail: impl Into<String>) -> Self {
        Error::Protocol { detail: detail.into() }
    }

    /// Stable code of the case. What a server's error number means is the caller's to say.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Connect { .. } => "TARGET_UNREACHABLE",
            Error::Instance { .. } => "TARGET_INSTANCE",
            Error::Routing { .. } => "TARGET_ROUTING",
            Error::StrictRefused { .. } => "TARGET_STRICT_REFUSED",
            Error::Tls { source, .. } => TlsProblem::of(source).code(),
            Error::CaFile { .. } => "TARGET_CA_FILE",
            Error::EncryptionRefused { .. } => "TARGET_ENCRYPTION_REFUSED",
            Error::Login(_) => "TARGET_LOGIN_FAILED",
            Error::Server(_) => "TARGET_ERROR",
            Error::Protocol { .. } => "TARGET_PROTOCOL",
            Error::Io { .. } => "TARGET_CONNECTION_LOST",
            Error::Timeout { .. } => "TARGET_TIMEOUT",
            Error::Closed => "TARGET_CONNECTION_CLOSED",
            Error::Encode(_) => "VALUE_UNREPRESENTABLE",
            Error::LongValue { .. } => "SPILL_DAMAGED",
        }
    }

    /// Whether the same thing may succeed on a new connection, as far as this client can tell: errors of a server are
    /// the caller's to judge, by number.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Instance { problem, .. } => *problem != Unresolved::Name,
            // A server that goes down at this moment looks the same.
            Error::StrictRefused { .. } => true,
            Error::Connect { .. } | Error::Io { .. } | Error::Timeout { .. } | Error::Closed => true,
            // A server that goes down in the middle of a handshake says nothing about certificates.
            Error::Tls { source, .. } => is_cut(source),
            Error::Routing { .. }
            | Error::CaFile { .. }
            | Error::EncryptionRefused { .. }
            | Error::Login(_)
            | Error::Server(_)
            | Error::Protocol { .. }
            | Error::Encode(_)
            | Error::LongValue { .. } => false,
        }
    }

    /// The server's errors, of a refused login or a failed request.
    pub fn server_errors(&self) -> Option<&ServerErrors> {
        match self {
            Error::Login(errors) | Error::Server(errors) => Some(errors),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Connect { .. } => {
                "check host and port, that SQL Server listens on TCP (SQL Server Configuration Manager), and the firewall"
            }
            Error::Instance { .. } => {
                "give the instance's port in the URL, host:port, which needs no Browser; or start SQL Server Browser, let UDP port \
                 1434 through, and check the instance's name"
            }
            Error::Routing { .. } => {
                "the servers send logins in a circle: give the address of the right one, or mend its routing list"
            }
            Error::StrictRefused { .. } => {
                "encrypt=strict needs SQL Server 2022 or Azure SQL; give encrypt=true for others"
            }
            Error::Tls { source, .. } => TlsProblem::of(source).hint(),
            Error::CaFile { .. } => "give a readable PEM file that holds at least one certificate",
            Error::EncryptionRefused { .. } => {
                "install a certificate on the server, or consent to no encryption with encrypt=false"
            }
            Error::Login(_) => "check user, password and database, and that SQL Server authentication is on",
            Error::Server(_) => "look the error number up in the SQL Server manual",
            Error::Protocol { .. } => {
                "check that the other side is SQL Server 2017 or later; if it is, report this"
            }
            Error::Io { .. } | Error::Closed => {
                "the connection will be made again; look into the server's error log"
            }
            Error::Timeout { .. } => "check that the server is not overloaded, and the network between",
            Error::LongValue { .. } => {
                "look for faults of the disk under --spill-dir, then start again: the value is read from the source again"
            }
            Error::Encode(_) => "choose a wider target type or another policy for the column",
        }
    }
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
        let tls = |source: io::Error| Error::Tls { host: "h".to_owned(), source }.is_transient();
        assert!(tls(io::ErrorKind::ConnectionReset.into()) && tls(io::ErrorKind::UnexpectedEof.into()));
        assert!(!tls(io::ErrorKind::InvalidData.into()) && !tls(io::Error::other("no authorities")));
    }
}
