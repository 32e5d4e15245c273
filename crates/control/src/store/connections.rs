//! Connections: credentials to one database. Secrets are here in their sealed form only.

use serde::{Deserialize, Serialize};

use super::work::{Work, execute, within};
use super::{StoreError, TenantStore, on};
use crate::clock::Millis;
use crate::id::ConnectionId;
use crate::name::ResourceName;

/// What a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// A source.
    Postgres,
    /// A target.
    SqlServer,
}

/// A connection as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Its name, unique in the tenant.
    pub name: ResourceName,
    /// What it leads to.
    pub kind: ConnectionKind,
    /// Address and options as JSON, without any secret.
    pub settings: String,
    /// The sealed secrets, if it has some.
    pub sealed: Option<String>,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
}

/// A connection that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnection {
    /// Its id, which its secrets are already sealed for.
    pub id: ConnectionId,
    /// Its name.
    pub name: ResourceName,
    /// What it leads to.
    pub kind: ConnectionKind,
    /// Address and options as JSON.
    pub settings: String,
    /// The sealed secrets.
    pub sealed: Option<String>,
}

/// A row, in the order of `select!`.
type Row = (String, String, String, String, Option<String>, i64, i64, i64);

/// What is selected of a connection, in the order of `Row`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, kind, settings, secret, version, created_at, updated_at FROM connection WHERE tenant_id = $1 ",
            $rest
        )
    };
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// One connection.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn connection(&self, id: ConnectionId) -> Result<Connection, StoreError> {
        let row: Row = on!(self.store, |pool| sqlx::query_as(select!("AND id = $2"))
            .bind(self.tenant.text())
            .bind(id.text())
            .fetch_one(pool)
            .await)
        .map_err(StoreError::of)?;
        Connection::from_row(row)
    }

    /// The connections behind `after` in the order of their names, at most `limit`.
    pub async fn connections(&self, after: Option<&str>, limit: i64) -> Result<Vec<Connection>, StoreError> {
        let rows: Vec<Row> =
            on!(self.store, |pool| sqlx::query_as(select!("AND name_key > $2 ORDER BY name_key LIMIT $3"))
                .bind(self.tenant.text())
                .bind(after.unwrap_or_default())
                .bind(limit)
                .fetch_all(pool)
                .await)
            .map_err(StoreError::of)?;
        rows.into_iter().map(Connection::from_row).collect()
    }
}

// === impl Work ===

impl Work {
    /// Stores a new connection.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn insert_connection(&mut self, new: &NewConnection) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO connection
                 (tenant_id, id, name, name_key, kind, settings, secret, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)",
            self.tenant.text(),
            new.id.text(),
            new.name.as_str(),
            new.name.key(),
            new.kind.as_str(),
            &new.settings,
            &new.sealed,
            Millis::now().0,
        )
        .map(drop)
    }

    /// Replaces name, settings and secrets of the connection that has version `version`.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when it has another version by now, [`StoreError::NotFound`], [`StoreError::NameTaken`].
    pub async fn update_connection(
        &mut self,
        changed: &NewConnection,
        version: i64,
    ) -> Result<i64, StoreError> {
        let touched = execute!(
            self,
            "UPDATE connection
             SET name = $3, name_key = $4, settings = $5, secret = $6, version = version + 1, updated_at = $7
             WHERE tenant_id = $1 AND id = $2 AND version = $8",
            self.tenant.text(),
            changed.id.text(),
            changed.name.as_str(),
            changed.name.key(),
            &changed.settings,
            &changed.sealed,
            Millis::now().0,
            version,
        )?;
        if touched == 1 {
            return Ok(version + 1);
        }
        let (found,): (i64,) = within!(self, |connection| sqlx::query_as(
            "SELECT version FROM connection WHERE tenant_id = $1 AND id = $2"
        )
        .bind(self.tenant.text())
        .bind(changed.id.text())
        .fetch_one(connection)
        .await)
        .map_err(StoreError::of)?;
        Err(StoreError::Changed { found })
    }

    /// Deletes a connection.
    ///
    /// # Errors
    /// [`StoreError::InUseByPipeline`], [`StoreError::NotFound`].
    pub async fn delete_connection(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        let sql = "DELETE FROM connection WHERE tenant_id = $1 AND id = $2";
        match execute!(self, sql, self.tenant.text(), id.text())? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }
}

// === impl Connection ===

impl Connection {
    fn from_row(row: Row) -> Result<Self, StoreError> {
        let (id, name, kind, settings, sealed, version, created_at, updated_at) = row;
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Connection {
            id: id.parse().map_err(|_form| unreadable("connection.id"))?,
            name: name.parse().map_err(|_form| unreadable("connection.name"))?,
            kind: ConnectionKind::from_word(&kind).ok_or(unreadable("connection.kind"))?,
            settings,
            sealed,
            version,
            created_at: Millis(created_at),
            updated_at: Millis(updated_at),
        })
    }
}

// === impl ConnectionKind ===

impl ConnectionKind {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnectionKind::Postgres => "postgres",
            ConnectionKind::SqlServer => "sqlserver",
        }
    }

    /// What a stored word means.
    pub fn from_word(word: &str) -> Option<Self> {
        [ConnectionKind::Postgres, ConnectionKind::SqlServer].into_iter().find(|kind| kind.as_str() == word)
    }
}
