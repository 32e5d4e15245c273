//! Sessions of browsers: found by the hash of their token, ended by time, by their owner, or with their password.

use super::work::{Work, execute};
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

// === impl Work ===

impl Work {
    /// Stores a new session, which looks at this tenant.
    pub async fn insert_session(&mut self, hash: &str, person: UserId) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO session (token_hash, person_id, tenant_id, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)",
            hash,
            person.text(),
            self.tenant.text(),
            Millis::now().0,
        )
        .map(drop)
    }

    /// Has a session look at this tenant.
    pub async fn move_session(&mut self, hash: &str) -> Result<(), StoreError> {
        let sql = "UPDATE session SET tenant_id = $2 WHERE token_hash = $1";
        execute!(self, sql, hash, self.tenant.text()).map(drop)
    }

    /// Ends a session.
    pub async fn delete_session(&mut self, hash: &str) -> Result<(), StoreError> {
        execute!(self, "DELETE FROM session WHERE token_hash = $1", hash).map(drop)
    }

    /// Ends all sessions of a person but one.
    pub async fn delete_sessions_of(&mut self, person: UserId, but: Option<&str>) -> Result<(), StoreError> {
        let sql = "DELETE FROM session WHERE person_id = $1 AND token_hash <> $2";
        execute!(self, sql, person.text(), but.unwrap_or_default()).map(drop)
    }
}

// === impl Store ===

impl Store {
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

    /// Ends a session whose time is over.
    pub async fn delete_session(&self, hash: &str) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("DELETE FROM session WHERE token_hash = $1")
            .bind(hash)
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
