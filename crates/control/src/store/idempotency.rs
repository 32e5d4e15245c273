//! Requests that carry a key, so that one that is sent twice is carried out once.

use super::{Store, StoreError, on};
use crate::clock::Millis;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// Nobody has used it: it is ours now.
    Ours,
    /// The first request with it has not been answered yet.
    UnderWay {
        /// SHA-256 of its body.
        body_hash: String,
    },
    /// It was answered.
    Answered {
        /// SHA-256 of its body.
        body_hash: String,
        /// The answer, sealed.
        reply: String,
    },
}

/// Which key: it is good for one person or token and one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOf<'a> {
    /// Who sent it.
    pub principal: &'a str,
    /// Method and path.
    pub route: &'a str,
    /// The key.
    pub key: &'a str,
}

// === impl Store ===

impl Store {
    /// Takes a key, or says what became of the request that had it first.
    pub async fn take_key(&self, of: KeyOf<'_>, body_hash: &str) -> Result<KeyState, StoreError> {
        let inserted = on!(self, |pool| sqlx::query(
            "INSERT INTO idempotency (principal, route, key, body_hash, created_at) VALUES ($1, $2, $3, $4, $5)"
        )
        .bind(of.principal)
        .bind(of.route)
        .bind(of.key)
        .bind(body_hash)
        .bind(Millis::now().0)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of);
        match inserted {
            Ok(()) => return Ok(KeyState::Ours),
            Err(StoreError::NameTaken) => {}
            Err(error) => return Err(error),
        }
        let (body_hash, reply): (String, Option<String>) = on!(self, |pool| sqlx::query_as(
            "SELECT body_hash, reply FROM idempotency WHERE principal = $1 AND route = $2 AND key = $3"
        )
        .bind(of.principal)
        .bind(of.route)
        .bind(of.key)
        .fetch_one(pool)
        .await)
        .map_err(StoreError::of)?;
        Ok(match reply {
            Some(reply) => KeyState::Answered { body_hash, reply },
            None => KeyState::UnderWay { body_hash },
        })
    }

    /// Keeps the answer for who sends the key again.
    pub async fn answer_key(&self, of: KeyOf<'_>, status: u16, reply: &str) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query(
            "UPDATE idempotency SET status = $4, reply = $5 WHERE principal = $1 AND route = $2 AND key = $3"
        )
        .bind(of.principal)
        .bind(of.route)
        .bind(of.key)
        .bind(i64::from(status))
        .bind(reply)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// Lets go of a key whose request did nothing.
    pub async fn release_key(&self, of: KeyOf<'_>) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query(
            "DELETE FROM idempotency WHERE principal = $1 AND route = $2 AND key = $3"
        )
        .bind(of.principal)
        .bind(of.route)
        .bind(of.key)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// Forgets keys that were used before `answered`, and those since `under_way` whose request never ended: its process
    /// died.
    pub async fn forget_keys(&self, answered: Millis, under_way: Millis) -> Result<u64, StoreError> {
        on!(self, |pool| sqlx::query(
            "DELETE FROM idempotency WHERE created_at < $1 OR (reply IS NULL AND created_at < $2)"
        )
        .bind(answered.0)
        .bind(under_way.0)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(StoreError::of)
    }
}
