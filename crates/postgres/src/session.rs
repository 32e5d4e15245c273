//! [`Session`]: an ordinary SQL session with pinned settings.

use std::str::FromStr;

use segcdc_model::{Lsn, TlsFacts};
use tokio::sync::Mutex;

use crate::config::SourceConfig;
use crate::error::{Operation, SourceError};
use crate::startup::{self, SessionKind};
use crate::wire::{Method, Wire, protocol};

/// An ordinary session. Its requests run one after another.
///
/// A request whose future is dropped leaves the session unusable: the next one fails as a lost connection.
#[derive(Debug)]
pub struct Session {
    wire: Mutex<Wire>,
}

/// One row of a result, all fields as text.
#[derive(Debug)]
pub(crate) struct Row {
    fields: std::vec::IntoIter<Option<String>>,
}

/// Opens an ordinary session.
pub async fn connect(config: &SourceConfig) -> Result<Session, SourceError> {
    Ok(Session { wire: Mutex::new(startup::connect(config, SessionKind::Ordinary).await?) })
}

// === impl Session ===

impl Session {
    /// Runs one or more statements in one implicit transaction, and returns the rows of all of them in text form.
    /// Names and literals in it must come from [`crate::quote`].
    pub async fn query_text(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        self.run(Operation::Query, sql).await
    }

    /// Ends the session in an orderly way. Dropping it ends it too.
    pub async fn close(self) {
        self.wire.into_inner().terminate().await;
    }

    /// How the way to the server is protected; `None` without TLS.
    pub async fn tls_facts(&self) -> Option<TlsFacts> {
        self.wire.lock().await.transport().tls_facts()
    }

    /// Whether the proof of the password was bound to the TLS session (SCRAM-SHA-256-PLUS); `None` where no password was
    /// asked for.
    pub async fn is_channel_bound(&self) -> Option<bool> {
        match self.wire.lock().await.method()? {
            Method::NotAsked => None,
            Method::Password | Method::Md5 | Method::Scram => Some(false),
            Method::ScramBound => Some(true),
        }
    }

    /// The process that serves the session, as its start announced it; differs from `pg_backend_pid()` where something
    /// in between speaks the protocol itself.
    pub(crate) async fn announced_process(&self) -> Option<i32> {
        self.wire.lock().await.process()
    }

    /// The rows of a statement.
    pub(crate) async fn rows(&self, operation: Operation, sql: &str) -> Result<Vec<Row>, SourceError> {
        let rows = self.run(operation, sql).await?;
        Ok(rows.into_iter().map(|fields| Row { fields: fields.into_iter() }).collect())
    }

    /// The one row of a statement that always returns one.
    pub(crate) async fn row(&self, operation: Operation, sql: &str) -> Result<Row, SourceError> {
        self.rows(operation, sql).await?.pop().ok_or_else(|| protocol("a row is missing"))
    }

    /// Runs a statement without a result.
    pub(crate) async fn execute(&self, operation: Operation, sql: &str) -> Result<(), SourceError> {
        self.run(operation, sql).await.map(drop)
    }

    async fn run(&self, operation: Operation, sql: &str) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        self.wire.lock().await.query(operation, sql).await
    }
}

// === impl Row ===

impl Row {
    /// The next field, as text; `None` for NULL.
    pub(crate) fn optional(&mut self) -> Result<Option<String>, SourceError> {
        self.fields.next().ok_or_else(|| protocol("a row has too few fields"))
    }

    /// The next field, as text, which cannot be NULL.
    pub(crate) fn text(&mut self) -> Result<String, SourceError> {
        self.optional()?.ok_or_else(|| protocol("a field is unexpectedly NULL"))
    }

    /// The next field, as a boolean.
    pub(crate) fn flag(&mut self) -> Result<bool, SourceError> {
        Ok(self.text()? == "t")
    }

    /// The next field, as a number or another value with a text form.
    pub(crate) fn value<T: FromStr>(&mut self) -> Result<T, SourceError> {
        self.text()?.parse().map_err(|_| protocol("a field has not the expected form"))
    }

    /// The next field, as a value with a text form; `None` for NULL.
    pub(crate) fn optional_value<T: FromStr>(&mut self) -> Result<Option<T>, SourceError> {
        self.optional()?
            .map(|text| text.parse().map_err(|_| protocol("a field has not the expected form")))
            .transpose()
    }

    /// The next field, as a position.
    pub(crate) fn lsn(&mut self) -> Result<Lsn, SourceError> {
        self.value()
    }

    /// The next field, numbers separated by commas; empty for NULL.
    pub(crate) fn numbers<T: FromStr>(&mut self) -> Result<Vec<T>, SourceError> {
        let text = self.optional()?.unwrap_or_default();
        text.split([',', ' '])
            .filter(|member| !member.is_empty())
            .map(|member| member.parse().map_err(|_| protocol("a list has not the expected form")))
            .collect()
    }
}
