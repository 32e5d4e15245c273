//! Sessions of browsers: found by the hash of their token, ended by time, by their owner, or with their password.

use super::{Store, StoreError, on};
use crate::clock::Millis;
use crate::id::{TenantId, UserId};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub person: UserId,
    /// Which tenant is looked at.
    pub tenant: TenantId,
    /// When it began.
    pub created_at: Millis,
    /// When it was used last, to a minute.
    pub seen_at: Millis,
}

/// A row, in the order of the SELECT below.
type Row = (String, String, i64, i64);

// === impl Store ===

impl Store {
    /// Stores a new session.
    pub async fn insert_session(
        &self,
        hash: &str,
        person: UserId,
        tenant: TenantId,
    ) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query(
            "INSERT INTO session (token_hash, person_id, tenant_id, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)"
        )
        .bind(hash)
        .bind(person.text())
        .bind(tenant.text())
        .bind(Millis::now().0)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// The session of a token's hash.
    pub async fn session(&self, hash: &str) -> Result<Option<Session>, StoreError> {
        let row: Option<Row> = on!(self, |pool| sqlx::query_as(
            "SELECT person_id, tenant_id, created_at, seen_at FROM session WHERE token_hash = $1"
        )
        .bind(hash)
        .fetch_optional(pool)
        .await)
        .map_err(StoreError::of)?;
        row.map(Session::from_row).transpose()
    }

    /// Notes that a session was used.
    pub async fn touch_session(&self, hash: &str, at: Millis) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("UPDATE session SET seen_at = $2 WHERE token_hash = $1")
            .bind(hash)
            .bind(at.0)
            .execute(pool)
            .await
            .map(drop))
        .map_err(StoreError::of)
    }

    /// Has a session look at another tenant.
    pub async fn move_session(&self, hash: &str, tenant: TenantId) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("UPDATE session SET tenant_id = $2 WHERE token_hash = $1")
            .bind(hash)
            .bind(tenant.text())
            .execute(pool)
            .await
            .map(drop))
        .map_err(StoreError::of)
    }

    /// Ends a session.
    pub async fn delete_session(&self, hash: &str) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("DELETE FROM session WHERE token_hash = $1")
            .bind(hash)
            .execute(pool)
            .await
            .map(drop))
        .map_err(StoreError::of)
    }

    /// Ends all sessions of a person but one.
    pub async fn delete_sessions_of(&self, person: UserId, but: Option<&str>) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("DELETE FROM session WHERE person_id = $1 AND token_hash <> $2")
            .bind(person.text())
            .bind(but.unwrap_or_default())
            .execute(pool)
            .await
            .map(drop))
        .map_err(StoreError::of)
    }

    /// Removes sessions that began before `created` or were used last before `seen`.
    pub async fn delete_old_sessions(&self, created: Millis, seen: Millis) -> Result<u64, StoreError> {
        on!(self, |pool| sqlx::query("DELETE FROM session WHERE created_at < $1 OR seen_at < $2")
            .bind(created.0)
            .bind(seen.0)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))
        .map_err(StoreError::of)
    }
}

// === impl Session ===

impl Session {
    fn from_row(row: Row) -> Result<Self, StoreError> {
        let (person, tenant, created_at, seen_at) = row;
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Session {
            person: person.parse().map_err(|_form| unreadable("session.person_id"))?,
            tenant: tenant.parse().map_err(|_form| unreadable("session.tenant_id"))?,
            created_at: Millis(created_at),
            seen_at: Millis(seen_at),
        })
    }
}
