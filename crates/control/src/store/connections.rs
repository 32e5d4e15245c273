//! Connections: credentials to one database. Secrets are here in their sealed form only.

use serde::{Deserialize, Serialize};

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

/// A row, in the order of the SELECTs below.
type Row = (String, String, String, String, Option<String>, i64, i64, i64);

// === impl TenantStore ===

impl TenantStore<'_> {
    /// Stores a new connection.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn insert_connection(&self, new: &NewConnection) -> Result<(), StoreError> {
        let now = Millis::now().0;
        on!(self.store, |pool| sqlx::query(
            "INSERT INTO connection
                 (tenant_id, id, name, name_key, kind, settings, secret, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)"
        )
        .bind(self.tenant.text())
        .bind(new.id.text())
        .bind(new.name.as_str())
        .bind(new.name.key())
        .bind(new.kind.as_str())
        .bind(&new.settings)
        .bind(&new.sealed)
        .bind(now)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// One connection.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn connection(&self, id: ConnectionId) -> Result<Connection, StoreError> {
        let row: Row = on!(self.store, |pool| sqlx::query_as(
            "SELECT id, name, kind, settings, secret, version, created_at, updated_at
             FROM connection WHERE tenant_id = $1 AND id = $2"
        )
        .bind(self.tenant.text())
        .bind(id.text())
        .fetch_one(pool)
        .await)
        .map_err(StoreError::of)?;
        Connection::from_row(row)
    }

    /// The connections behind `after` in the order of their names, at most `limit`.
    pub async fn connections(&self, after: Option<&str>, limit: i64) -> Result<Vec<Connection>, StoreError> {
        let rows: Vec<Row> = on!(self.store, |pool| sqlx::query_as(
            "SELECT id, name, kind, settings, secret, version, created_at, updated_at
             FROM connection WHERE tenant_id = $1 AND name_key > $2 ORDER BY name_key LIMIT $3"
        )
        .bind(self.tenant.text())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter().map(Connection::from_row).collect()
    }

    /// Replaces name, settings and secrets of the connection that has version `version`.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when it has another version by now, [`StoreError::NotFound`], [`StoreError::NameTaken`].
    pub async fn update_connection(&self, changed: &NewConnection, version: i64) -> Result<i64, StoreError> {
        let touched = on!(self.store, |pool| sqlx::query(
            "UPDATE connection
             SET name = $3, name_key = $4, settings = $5, secret = $6, version = version + 1, updated_at = $7
             WHERE tenant_id = $1 AND id = $2 AND version = $8"
        )
        .bind(self.tenant.text())
        .bind(changed.id.text())
        .bind(changed.name.as_str())
        .bind(changed.name.key())
        .bind(&changed.settings)
        .bind(&changed.sealed)
        .bind(Millis::now().0)
        .bind(version)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(StoreError::of)?;
        if touched == 1 {
            return Ok(version + 1);
        }
        Err(StoreError::Changed { found: self.connection(changed.id).await?.version })
    }

    /// Deletes a connection.
    ///
    /// # Errors
    /// [`StoreError::InUseByPipeline`], [`StoreError::NotFound`].
    pub async fn delete_connection(&self, id: ConnectionId) -> Result<(), StoreError> {
        let touched =
            on!(self.store, |pool| sqlx::query("DELETE FROM connection WHERE tenant_id = $1 AND id = $2")
                .bind(self.tenant.text())
                .bind(id.text())
                .execute(pool)
                .await
                .map(|done| done.rows_affected()))
            .map_err(StoreError::of)?;
        if touched == 1 { Ok(()) } else { Err(StoreError::NotFound) }
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
