//! [`Target`]: one session with the target, its options set.

use std::collections::HashMap;

use segcdc_model::{CertificateCheck, TlsFacts};
use segcdc_tds::{Connection, Datum, Error as TdsError, Response};

use crate::config::TargetConfig;
use crate::dialect::{Dialect, TimeForm};
use crate::error::TargetError;
use crate::sql;

/// Most bytes of a large value as a parameter, which is in memory as a whole, and more than once.
pub(crate) const MAX_PARAMETER_BYTES: u64 = 16 << 20;

/// How rows get into staging and target tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePath {
    /// INSERT BULK.
    Bulk,
    /// Parameterised INSERT of several rows: for servers and logins that refuse bulk load.
    Insert,
}

/// A session. One request at a time; staging tables live as long as it does.
#[derive(Debug)]
pub struct Target {
    connection: Connection,
    write_path: WritePath,
    time: TimeForm,
    /// Staging table number and shape (the CREATE statement) by source OID.
    pub(crate) staging: HashMap<u32, (usize, String)>,
    pub(crate) staging_count: usize,
    /// Whether the server deletes through a query that numbers rows, once it was asked.
    numbered: Option<bool>,
}

// === impl WritePath ===

impl WritePath {
    /// Bytes that a value may have which is too large for memory; `None` where it is sent in pieces.
    pub const fn most_large_bytes(self) -> Option<u64> {
        match self {
            WritePath::Bulk => None,
            WritePath::Insert => Some(MAX_PARAMETER_BYTES),
        }
    }
}

// === impl Target ===

impl Target {
    /// Connects, logs in, sets the session's options and finds out whether bulk load works.
    ///
    /// # Errors
    /// [`TargetError::Connection`] or [`TargetError::Login`]; the server's refusal of an option.
    pub async fn connect(config: &TargetConfig) -> Result<Self, TargetError> {
        let mut target = Self::connect_without_probe(config).await?;
        target.write_path = target.probe().await?;
        Ok(target)
    }

    /// As [`Target::connect`] for a session whose write path is known already.
    pub async fn connect_with(config: &TargetConfig, write_path: WritePath) -> Result<Self, TargetError> {
        let mut target = Self::connect_without_probe(config).await?;
        target.write_path = write_path;
        Ok(target)
    }

    /// Connects to look at the state without waiting for what others are writing. What is read may be a moment ahead of
    /// its commit: nothing may be decided by it.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub async fn connect_to_look(config: &TargetConfig) -> Result<Self, TargetError> {
        let mut target = Self::connect_without_probe(config).await?;
        target.batch("setting session options", sql::session::READ_UNCOMMITTED).await?;
        Ok(target)
    }

    async fn connect_without_probe(config: &TargetConfig) -> Result<Self, TargetError> {
        let connection = Connection::connect(&config.to_tds())
            .await
            .map_err(|error| TargetError::from_tds("connecting", error))?;
        let mut target = Target {
            connection,
            write_path: WritePath::Bulk,
            time: TimeForm::default(),
            staging: HashMap::new(),
            staging_count: 0,
            numbered: None,
        };
        target.batch("setting session options", sql::session::OPTIONS).await?;
        target.time = target.probe_time().await?;
        Ok(target)
    }

    /// How rows are written in this session.
    pub fn write_path(&self) -> WritePath {
        self.write_path
    }

    /// What the server calls itself, for people.
    pub fn server_name(&self) -> String {
        let server = self.connection.server();
        let (major, minor, build) = server.version;
        format!("{} {major}.{minor}.{build}", server.program_name)
    }

    /// How the way to the server is protected, and whether all of it is, not only the login; `None` where nothing is.
    pub fn tls_facts(&self) -> Option<(TlsFacts, bool)> {
        let server = self.connection.server();
        let tls = server.tls.as_ref()?;
        let check =
            if tls.is_checked { CertificateCheck::AuthorityAndName } else { CertificateCheck::Nothing };
        let facts = TlsFacts::named((tls.version, tls.cipher), check, tls.certificate.as_deref());
        Some((facts, server.encrypted))
    }

    /// How values are sent to this server.
    pub fn dialect(&self) -> Dialect {
        Dialect { collation: self.connection.server().collation, time: self.time }
    }

    /// Whether the server deletes through a query that numbers rows. Asked once a session, outside of a transaction.
    pub(crate) async fn deletes_numbered(&mut self) -> Result<bool, TargetError> {
        if let Some(known) = self.numbered {
            return Ok(known);
        }
        let answer = self.query("probing deletes of numbered rows", sql::apply::NUMBERED_PROBE).await;
        let numbered = match answer {
            Ok(rows) => matches!(rows.first().map(Vec::as_slice), Some([Datum::Int(1)])),
            Err(error) if !self.is_usable() => return Err(error),
            Err(error) => {
                tracing::debug!(error = %error, "rows without a key are deleted content by content");
                self.roll_back().await;
                false
            }
        };
        self.numbered = Some(numbered);
        Ok(numbered)
    }

    /// Whether the session can be used again after an error.
    pub fn is_usable(&self) -> bool {
        self.connection.is_usable()
    }

    /// Runs a batch.
    pub(crate) async fn batch(&mut self, during: &'static str, sql: &str) -> Result<Response, TargetError> {
        self.connection.batch(sql).await.map_err(|error| TargetError::from_tds(during, error))
    }

    /// The rows of the only result set of a batch.
    pub(crate) async fn query(
        &mut self,
        during: &'static str,
        sql: &str,
    ) -> Result<Vec<Vec<Datum>>, TargetError> {
        let response = self.batch(during, sql).await?;
        Ok(response.sets.into_iter().next().map(|set| set.rows).unwrap_or_default())
    }

    /// The rows of the result set of each of these questions, all asked in one request; none for no question.
    ///
    /// # Errors
    /// The server's, of whichever question: then nothing of the others is known.
    pub(crate) async fn query_each(
        &mut self,
        during: &'static str,
        questions: impl Iterator<Item = String>,
    ) -> Result<Vec<Vec<Vec<Datum>>>, TargetError> {
        let questions: Vec<String> = questions.collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let response = self.batch(during, &questions.join(";\n")).await?;
        if response.sets.len() != questions.len() {
            let detail = format!("{} questions had {} answers", questions.len(), response.sets.len());
            return Err(TargetError::Answer { during, detail });
        }
        Ok(response.sets.into_iter().map(|set| set.rows).collect())
    }

    /// The protocol connection, for loads.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Rolls back what may be open after an error. A session that cannot do even that is not used again, and the
    /// server rolls back when it goes.
    pub(crate) async fn roll_back(&mut self) {
        if self.connection.is_usable() {
            let outcome = self.connection.batch(sql::session::ROLLBACK_IF_OPEN).await;
            if let Err(error) = outcome {
                tracing::debug!(error = %error.code(), "rollback after an error failed; the session is given up");
            }
        }
    }

    /// Commits. When the session breaks here, nobody knows.
    pub(crate) async fn commit(&mut self) -> Result<(), TargetError> {
        match self.connection.batch(sql::session::COMMIT).await {
            Ok(_) => Ok(()),
            // A refusal that leaves the session alive is an answer; one that ends it may have come behind the commit.
            Err(TdsError::Server(errors)) if self.connection.is_usable() => {
                Err(TargetError::from_tds("committing", TdsError::Server(errors)))
            }
            Err(source) => Err(TargetError::CommitUnknown { source }),
        }
    }

    /// Loads one row into a temporary table, to learn whether this server and login take bulk loads.
    async fn probe(&mut self) -> Result<WritePath, TargetError> {
        use segcdc_tds::{BulkColumn, BulkOptions, BulkTarget, ColumnType, RowEncoder};
        self.batch("probing bulk load", "CREATE TABLE [#probe] ([c1] int NULL)").await?;
        let columns = [BulkColumn {
            name: "c1".to_owned(),
            column_type: ColumnType::Int,
            nullable: true,
            collation: self.dialect().collation,
        }];
        let mut rows = RowEncoder::new(&columns);
        rows.begin_row();
        let encoded = rows.int(1).and_then(|()| rows.end_row());
        encoded.map_err(|error| TargetError::from_tds("probing bulk load", error.into()))?;
        let options = BulkOptions { keep_nulls: true, ..BulkOptions::default() };
        let bulk = BulkTarget { table: "[#probe]", columns: &columns, options: &options };
        let loaded = async {
            let mut load = self.connection.bulk_load(&bulk).await?;
            load.send(&mut rows).await?;
            load.finish().await
        };
        let path = match loaded.await {
            Ok(_) => WritePath::Bulk,
            Err(TdsError::Server(errors)) => {
                tracing::info!(
                    number = errors.main().map_or(0, |error| error.number),
                    "bulk load is refused"
                );
                WritePath::Insert
            }
            Err(error) => return Err(TargetError::from_tds("probing bulk load", error)),
        };
        self.batch("probing bulk load", "DROP TABLE [#probe]").await?;
        Ok(path)
    }
}
