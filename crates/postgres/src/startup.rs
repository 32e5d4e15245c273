//! Starting a session: transport, start-up message, authentication, settings.
//!
//! Both kinds of session begin here, so both have the same settings. They are pinned in the start-up message, because
//! what the server prints depends on them (`DateStyle`, `TimeZone`, ...) and because `ALTER ROLE ... SET` and
//! `ALTER DATABASE ... SET` would change them otherwise: a client's start-up settings take precedence over both
//! (PostgreSQL manual, "Parameter Interaction via the Configuration File").

use std::error::Error;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::authentication::authenticate;
use crate::config::{ServerRole, SourceConfig, TlsMode};
use crate::error::{LinkError, Operation, SourceError};
use crate::socket::{Place, Protection, Transport};
use crate::wire::{Wire, lost, protocol};
use crate::{hosts, passfile};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// Ordinary SQL.
    Ordinary,
    /// Replication commands, and SQL of the simple protocol.
    Replication,
}

/// How the settings of a session are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SettingsForm {
    /// Each a parameter of the start-up message.
    Parameters,
    /// All of them in the parameter `options`.
    Options,
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

/// Connects, authenticates and pins the settings. Each address has the configured time.
pub(crate) async fn connect(config: &SourceConfig, kind: SessionKind) -> Result<Wire, SourceError> {
    // Boxed: a TLS handshake's state is large, and this future is awaited deep inside others.
    Box::pin(hosts::first_that_fits(config, &kind)).await
}

impl hosts::Attempt for SessionKind {
    type Session = Wire;

    async fn at(&self, config: &SourceConfig, place: &Place, role: ServerRole) -> Result<Wire, SourceError> {
        open(config, *self, place, role).await
    }
}

/// One session of one place, without a bound.
async fn open(
    config: &SourceConfig,
    kind: SessionKind,
    place: &Place,
    role: ServerRole,
) -> Result<Wire, SourceError> {
    let config = &passfile::with_password(config)?;
    let mut refused = None;
    for protection in protections(config.tls.mode, place) {
        match pinned(config, kind, place, *protection).await {
            Ok(mut wire) => {
                check_role(&mut wire, config, role).await?;
                return Ok(wire);
            }
            // Without, or with, TLS the server may think otherwise. Of two refusals the first is worth telling.
            Err(error) if refused.is_none() && asks_for_another(*protection, &error) => refused = Some(error),
            Err(error) => return Err(refused.unwrap_or(error)),
        }
    }
    Err(refused.unwrap_or_else(|| protocol("there was no way to connect")))
}

/// What is tried one after the other, as libpq does.
fn protections(mode: TlsMode, place: &Place) -> &'static [Protection] {
    match (place, mode) {
        (Place::Unix(_), _) | (_, TlsMode::Disable) => &[Protection::Plain],
        (_, TlsMode::Allow) => &[Protection::Plain, Protection::Tls],
        (_, TlsMode::Prefer) => &[Protection::TlsIfOffered, Protection::Plain],
        (_, TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull) => &[Protection::Tls],
    }
}

/// Whether an attempt failed in a way that another protection may mend. A wrong password is not one: it would only be
/// sent a second time, unprotected.
fn asks_for_another(tried: Protection, error: &SourceError) -> bool {
    match (tried, error) {
        (Protection::TlsIfOffered, SourceError::Tls { .. }) => true,
        (Protection::TlsIfOffered | Protection::Plain, SourceError::Server { error, .. }) => {
            error.sqlstate == "28000"
        }
        _ => false,
    }
}

/// A session with its settings, in whichever form they reach the server. PgBouncer, from version 1.23 on, hands the `options` of
/// a replication session on, and refuses parameters that it does not know.
async fn pinned(
    config: &SourceConfig,
    kind: SessionKind,
    place: &Place,
    protection: Protection,
) -> Result<Wire, SourceError> {
    match begin(config, kind, place, protection, SettingsForm::Parameters).await {
        Err(error) if kind == SessionKind::Replication && is_unknown_parameter(&error) => {
            // Of two refusals the first is worth telling.
            begin(config, kind, place, protection, SettingsForm::Options).await.map_err(|_| error)
        }
        outcome => outcome,
    }
}

/// Whether something in between does not know a parameter of the start-up message.
fn is_unknown_parameter(error: &SourceError) -> bool {
    matches!(error, SourceError::Server { error, .. } if error.sqlstate == "08P01")
}

/// The settings as `options`, behind those of the user, so that what is pinned wins.
fn as_options(given: Option<&str>) -> String {
    let setting = |(name, value): &(&str, &str)| format!("-c {name}={}", value.replace(' ', "\\ "));
    let pinned = PINNED.iter().map(setting);
    given.map(str::to_owned).into_iter().chain(pinned).collect::<Vec<_>>().join(" ")
}

/// A session up to its settings.
async fn begin(
    config: &SourceConfig,
    kind: SessionKind,
    place: &Place,
    protection: Protection,
    form: SettingsForm,
) -> Result<Wire, SourceError> {
    let operation = match kind {
        SessionKind::Ordinary => Operation::Connect,
        SessionKind::Replication => Operation::ConnectReplication,
    };
    let mut wire = Wire::new(Transport::open(config, place, protection).await?);
    let mut parameters = vec![
        ("user", config.user.as_str()),
        ("database", config.database.as_str()),
        ("application_name", config.application_name.as_str()),
    ];
    let options = as_options(config.options.as_deref());
    match form {
        SettingsForm::Parameters => {
            // The server reads these first, so that what is pinned wins.
            parameters.extend(config.options.as_deref().map(|options| ("options", options)));
            parameters.extend(PINNED);
        }
        SettingsForm::Options => parameters.push(("options", options.as_str())),
    }
    if kind == SessionKind::Replication {
        parameters.push(("replication", "database"));
    }
    wire.queue(|buffer| frontend::startup_message(parameters, buffer)).map_err(lost)?;
    wire.flush().await.map_err(lost)?;
    let ready = wait_until_ready(&mut wire, config, operation).await;
    ready.map_err(|error| of_startup(config, error))?;
    wire.lift_limit();
    // One request for both: each round trip counts where many sessions begin.
    let rows = wire.query(operation, &format!("{PIN_LATER}; {}", settings_in_force())).await?;
    check_settings(rows.last().map(Vec::as_slice).unwrap_or_default(), config)?;
    Ok(wire)
}

/// Asks for the values of [`PINNED`], in one row.
fn settings_in_force() -> String {
    let values = PINNED.map(|(name, _)| format!("pg_catalog.current_setting('{name}')"));
    format!("SELECT {}", values.join(", "))
}

/// Refuses a session that has not what it asked for: a pooler may be told to ignore settings
/// (`ignore_startup_parameters`), and values would be read in another form than they are in.
fn check_settings(found: &[Option<String>], config: &SourceConfig) -> Result<(), SourceError> {
    let differs = |(place, (_, pinned)): &(usize, (&str, &str))| {
        found.get(*place).and_then(Option::as_deref) != Some(*pinned)
    };
    match PINNED.into_iter().enumerate().find(differs) {
        None => Ok(()),
        Some((_, (setting, _))) => Err(LinkError::SettingIgnored { server: config.server(), setting }.into()),
    }
}

/// Refuses a server that is not what it has to be.
async fn check_role(wire: &mut Wire, config: &SourceConfig, role: ServerRole) -> Result<(), SourceError> {
    let wanted = match role {
        ServerRole::Any | ServerRole::PreferStandby => return Ok(()),
        ServerRole::Primary => "primary",
        ServerRole::Standby => "standby",
    };
    let rows = wire.query(Operation::Query, "SELECT pg_catalog.pg_is_in_recovery()").await?;
    let in_recovery = rows.first().and_then(|row| row.first()).and_then(Option::as_deref) == Some("t");
    let found = if in_recovery { "standby" } else { "primary" };
    if found == wanted {
        return Ok(());
    }
    Err(LinkError::WrongRole { server: config.server(), found, wanted }.into())
}

/// Authenticates and waits for the first ReadyForQuery.
async fn wait_until_ready(
    wire: &mut Wire,
    config: &SourceConfig,
    operation: Operation,
) -> Result<(), SourceError> {
    let method = authenticate(wire, config, operation).await?;
    wire.set_method(method);
    loop {
        match wire.next_message(operation).await? {
            Message::ReadyForQuery(_) => return Ok(()),
            Message::BackendKeyData(body) => wire.set_process(body.process_id()),
            _ => return Err(protocol("a message that does not belong to the start of a session")),
        }
    }
}

/// What an error means that came before the session has begun.
fn of_startup(config: &SourceConfig, error: SourceError) -> SourceError {
    match error {
        // Whatever breaks the protocol here was never PostgreSQL.
        SourceError::Protocol { .. } => SourceError::NotPostgres {
            server: config.server(),
            problem: "the start-up message was not answered as PostgreSQL does",
        },
        // With TLS 1.3 the server's verdict about our certificate comes behind the handshake.
        SourceError::ConnectionLost { cause }
            if cause.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) =>
        {
            SourceError::Tls { server: config.server(), cause }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerError;

    #[test]
    fn what_is_tried_follows_the_mode() {
        use Protection::{Plain, Tls, TlsIfOffered};
        let tcp = Place::Tcp("127.0.0.1:1".parse().unwrap());
        let check = |mode, expected: &[Protection]| assert_eq!(protections(mode, &tcp), expected, "{mode:?}");
        check(TlsMode::Disable, &[Plain]);
        check(TlsMode::Allow, &[Plain, Tls]);
        check(TlsMode::Prefer, &[TlsIfOffered, Plain]);
        for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
            check(mode, &[Tls]);
            assert_eq!(protections(mode, &Place::Unix("/s".into())), [Plain]);
        }
    }

    #[test]
    fn settings_can_be_options() {
        let options = as_options(Some("-c work_mem=7MB"));
        assert!(
            options.starts_with("-c work_mem=7MB -c client_encoding=UTF8 -c DateStyle=ISO,\\ YMD -c "),
            "{options}"
        );
        assert_eq!(as_options(None).matches("-c ").count(), PINNED.len());
    }

    #[test]
    fn setting_that_did_not_arrive_is_named() {
        let config = SourceConfig::parse("postgres://u@h/d").unwrap();
        let mut found: Vec<_> = PINNED.iter().map(|(_, value)| Some((*value).to_owned())).collect();
        check_settings(&found, &config).unwrap();
        found[4] = Some("1".to_owned());
        let error = check_settings(&found, &config).unwrap_err();
        assert!(error.to_string().contains("extra_float_digits"), "{error}");
        check_settings(&[], &config).unwrap_err();
    }

    #[test]
    fn nothing_is_tried_again_with_a_wrong_password() {
        let server = |sqlstate: &str| SourceError::Server {
            operation: Operation::Connect,
            error: ServerError { sqlstate: sqlstate.to_owned(), message: String::new(), fatal: true },
        };
        for tried in [Protection::Plain, Protection::TlsIfOffered] {
            assert!(asks_for_another(tried, &server("28000")));
            assert!(!asks_for_another(tried, &server("28P01")));
        }
        assert!(!asks_for_another(Protection::Tls, &server("28000")));
    }
}
