//! [`TargetSession`]: asks the target by the wire protocol, beside the pipeline and not through it.

use anyhow::{Context, Result};
use segcdc_tds::{Config, Connection, Datum};
use segcdc_testkit::sandbox::Sandbox;

/// A session of its own.
pub(crate) struct TargetSession(Connection);

// === impl TargetSession ===

impl TargetSession {
    /// Logs in at the sandbox, in the database that it made.
    pub(crate) async fn connect(sandbox: &Sandbox) -> Result<Self> {
        let database = part(sandbox.url(), &format!("{}/", sandbox.port()), '?');
        Self::connect_to(sandbox, &database.context("a URL with a database")?).await
    }

    /// Logs in at the sandbox, in a database.
    pub(crate) async fn connect_to(sandbox: &Sandbox, database: &str) -> Result<Self> {
        let config = Config {
            host: "127.0.0.1".to_owned(),
            port: sandbox.port(),
            database: database.to_owned(),
            user: part(sandbox.url(), "://", ':').context("a URL with a user")?,
            password: sandbox.password().to_owned(),
            trust_server_certificate: true,
            application_name: "segcdc-demo".to_owned(),
            ..Config::default()
        };
        Ok(TargetSession(Connection::connect(&config).await?))
    }

    /// The one number that a query answers; `None` for no row and for NULL.
    ///
    /// # Errors
    /// The server's, such as for a table that is not there yet.
    pub(crate) async fn number(&mut self, sql: &str) -> Result<Option<i64>> {
        let response = self.0.batch(sql).await?;
        Ok(response.first_row().and_then(|row| row.first()).and_then(Datum::as_int))
    }

    /// Runs statements whose answer does not matter.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<()> {
        self.0.batch(sql).await?;
        Ok(())
    }
}

/// What stands in a text between one thing and another.
fn part(text: &str, before: &str, after: char) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split(after).next()?.to_owned())
}
