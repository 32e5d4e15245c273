//! Starting a session: transport, start-up message, authentication, settings.
//!
//! Both kinds of session begin here, so both have the same settings. They are pinned in the start-up message, because
//! what the server prints depends on them (`DateStyle`, `TimeZone`, ...) and because `ALTER ROLE ... SET` and
//! `ALTER DATABASE ... SET` would change them otherwise: a client's start-up settings take precedence over both
//! (PostgreSQL manual, "Parameter Interaction via the Configuration File").

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::authentication::authenticate;
use crate::config::SourceConfig;
use crate::error::{Operation, SourceError};
use crate::socket::Transport;
use crate::wire::{Wire, lost, protocol};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// Ordinary SQL.
    Ordinary,
    /// Replication commands, and SQL of the simple protocol.
    Replication,
}

/// Settings of every session, all of them known to every supported version.
const PINNED: [(&str, &str); 21] = [
    // What values look like.
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    // What names look like, inside of values too (`regclass`), and which functions our SQL calls.
    ("search_path", "pg_catalog"),
    ("quote_all_identifiers", "off"),
    // What our own SQL means.
    ("standard_conforming_strings", "on"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // Fail rather than see fewer rows.
    ("row_security", "off"),
    // Nothing may end a session that waits, copies for hours or keeps a snapshot.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    // Catalog queries are short; compiling them takes longer than running them.
    ("jit", "off"),
    ("client_min_messages", "warning"),
    // A commit that has not reached the disk may vanish; nothing of ours may rest on one.
    ("synchronous_commit", "on"),
];

/// Settings that are pinned once the session has begun: one that older versions do not know, and `lc_monetary`, whose
/// value before that says what `money` means in the database ([`crate::catalog`]).
const PIN_LATER: &str = "SELECT pg_catalog.set_config(name, CASE name WHEN 'lc_monetary' THEN 'C' ELSE '0' END, false) \
     FROM pg_catalog.pg_settings WHERE name IN ('transaction_timeout', 'lc_monetary')";

/// Connects, authenticates and pins the settings, all within the configured time.
pub(crate) async fn connect(config: &SourceConfig, kind: SessionKind) -> Result<Wire, SourceError> {
    let after = config.connect_timeout;
    // Boxed: a TLS handshake's state is large, and this future is awaited deep inside others.
    match tokio::time::timeout(after, Box::pin(open(config, kind))).await {
        Ok(result) => result,
        Err(_) => Err(SourceError::ConnectTimeout { server: config.server(), after }),
    }
}

/// [`connect`] without a bound.
async fn open(config: &SourceConfig, kind: SessionKind) -> Result<Wire, SourceError> {
    let operation = match kind {
        SessionKind::Ordinary => Operation::Connect,
        SessionKind::Replication => Operation::ConnectReplication,
    };
    let mut wire = Wire::new(Transport::open(config).await?);
    let mut parameters = vec![
        ("user", config.user.as_str()),
        ("database", config.database.as_str()),
        ("application_name", config.application_name.as_str()),
    ];
    parameters.extend(PINNED);
    if kind == SessionKind::Replication {
        parameters.push(("replication", "database"));
    }
    wire.queue(|buffer| frontend::startup_message(parameters, buffer)).map_err(lost)?;
    wire.flush().await.map_err(lost)?;
    wait_until_ready(&mut wire, config, operation).await.map_err(|error| not_postgres(config, error))?;
    wire.lift_limit();
    wire.query(operation, PIN_LATER).await?;
    Ok(wire)
}

/// Authenticates and waits for the first ReadyForQuery.
async fn wait_until_ready(
    wire: &mut Wire,
    config: &SourceConfig,
    operation: Operation,
) -> Result<(), SourceError> {
    authenticate(wire, config, operation).await?;
    loop {
        match wire.next_message(operation).await? {
            Message::ReadyForQuery(_) => return Ok(()),
            Message::BackendKeyData(body) => wire.set_process(body.process_id()),
            _ => return Err(protocol("a message that does not belong to the start of a session")),
        }
    }
}

/// Whatever breaks the protocol before the session has begun was never PostgreSQL.
fn not_postgres(config: &SourceConfig, error: SourceError) -> SourceError {
    match error {
        SourceError::Protocol { .. } => SourceError::NotPostgres {
            server: config.server(),
            problem: "the start-up message was not answered as PostgreSQL does",
        },
        error => error,
    }
}
