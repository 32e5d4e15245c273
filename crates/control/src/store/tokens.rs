//! API tokens. Only the hash of a token is stored.

use super::work::{Work, execute};
use super::{Store, StoreError, TenantStore, on};
use crate::access::Role;
use crate::clock::Millis;
use crate::id::{TenantId, TokenId, UserId};
use crate::name::ResourceName;

/// A token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id, which the token itself carries.
    pub id: TokenId,
    /// The tenant that it is good for.
    pub tenant: TenantId,
    /// Whose it is.
    pub person: UserId,
    /// Their name.
    pub person_name: ResourceName,
    /// What it is called.
    pub name: ResourceName,
    /// The most that it may.
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: String,
    /// When it was made.
    pub created_at: Millis,
    /// From when on it is not good any more.
    pub expires_at: Millis,
    /// When it was used last, to a minute.
    pub used_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

/// A token that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiToken {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub person: UserId,
    /// What it is called.
    pub name: ResourceName,
    /// The most that it may.
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: String,
    /// From when on it is not good any more.
    pub expires_at: Millis,
}

/// A row of `select!`.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    person_id: String,
    person_name: String,
    name: String,
    role: String,
    token_hash: String,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    revoked_at: Option<i64>,
}

/// What is selected of a token.
macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT t.id, t.tenant_id, t.person_id, p.name AS person_name, t.name, t.role, t.token_hash, t.created_at,
                    t.expires_at, t.used_at, t.revoked_at
             FROM api_token t JOIN person p ON p.id = t.person_id WHERE ",
            $where
        )
    };
}

// === impl Store ===

impl Store {
    /// The token of an id, of whatever tenant: who shows a token does not say whose it is. Its hash is still to be
    /// compared.
    pub async fn token_shown(&self, id: TokenId) -> Result<Option<ApiToken>, StoreError> {
        let row: Option<Row> =
            on!(self, |pool| sqlx::query_as(select!("t.id = $1")).bind(id.text()).fetch_optional(pool).await)
                .map_err(StoreError::of)?;
        row.map(Row::read).transpose()
    }
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// One token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn token(&self, id: TokenId) -> Result<ApiToken, StoreError> {
        let found = self.store.token_shown(id).await?;
        found.filter(|token| token.tenant == self.tenant).ok_or(StoreError::NotFound)
    }

    /// The tokens behind `after` in the order of their ids, at most `limit`; of one person only, if one is given.
    pub async fn tokens(
        &self,
        person: Option<UserId>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<ApiToken>, StoreError> {
        let rows: Vec<Row> = on!(self.store, |pool| sqlx::query_as(select!(
            "t.tenant_id = $1 AND t.id > $2 AND ($3 = '' OR t.person_id = $3) ORDER BY t.id LIMIT $4"
        ))
        .bind(self.tenant.text())
        .bind(after.unwrap_or_default())
        .bind(person.map(UserId::text).unwrap_or_default())
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Notes that a token was used.
    pub async fn touch_token(&self, id: TokenId, at: Millis) -> Result<(), StoreError> {
        on!(self.store, |pool| sqlx::query(
            "UPDATE api_token SET used_at = $3 WHERE tenant_id = $1 AND id = $2"
        )
        .bind(self.tenant.text())
        .bind(id.text())
        .bind(at.0)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }
}

// === impl Work ===

impl Work {
    /// Stores a new token.
    pub async fn insert_token(&mut self, new: &NewApiToken) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO api_token (tenant_id, id, person_id, name, role, token_hash, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self.tenant.text(),
            new.id.text(),
            new.person.text(),
            new.name.as_str(),
            new.role.as_str(),
            &new.hash,
            Millis::now().0,
            new.expires_at.0,
        )
        .map(drop)
    }

    /// Makes a token good for nothing. It stays listed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_token(&mut self, id: TokenId) -> Result<(), StoreError> {
        let sql =
            "UPDATE api_token SET revoked_at = COALESCE(revoked_at, $3) WHERE tenant_id = $1 AND id = $2";
        match execute!(self, sql, self.tenant.text(), id.text(), Millis::now().0)? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }
}

// === impl Row ===

impl Row {
    fn read(self) -> Result<ApiToken, StoreError> {
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(ApiToken {
            id: self.id.parse().map_err(|_form| unreadable("api_token.id"))?,
            tenant: self.tenant_id.parse().map_err(|_form| unreadable("api_token.tenant_id"))?,
            person: self.person_id.parse().map_err(|_form| unreadable("api_token.person_id"))?,
            person_name: self.person_name.parse().map_err(|_form| unreadable("person.name"))?,
            name: self.name.parse().map_err(|_form| unreadable("api_token.name"))?,
            role: Role::from_word(&self.role).ok_or(unreadable("api_token.role"))?,
            hash: self.token_hash,
            created_at: Millis(self.created_at),
            expires_at: Millis(self.expires_at),
            used_at: self.used_at.map(Millis),
            revoked_at: self.revoked_at.map(Millis),
        })
    }
}
