//! What is persisted, on SQLite or PostgreSQL.
//!
//! Both speak the same statements: parameters are `$1`, types are text and 64-bit integers, and what differs (how a
//! database is opened, its migrations) is in [`open`]. All that belongs to a tenant is reached through [`Store::tenant`]
//! only: a query without its tenant cannot be written down. What a person changes is a [`Work`].

mod audit;
mod connections;
mod error;
mod idempotency;
mod members;
mod open;
mod operations;
mod people;
mod pipelines;
mod sessions;
mod tokens;
mod work;

use sqlx::{PgPool, SqlitePool};

use crate::id::TenantId;

pub use audit::{AuditEntry, NewAudit};
pub use connections::{Connection, ConnectionKind, NewConnection};
pub use error::StoreError;
pub use idempotency::{KeyOf, KeyState};
pub use members::{Member, MemberChange};
pub use open::{FolderLock, Location};
pub use operations::{Operation, OperationKind, OperationState};
pub use people::{Person, Tenant};
pub use pipelines::{EngineName, NewPipeline, Pipeline};
pub use sessions::Session;
pub use tokens::{ApiToken, NewApiToken};
pub use work::Work;

/// Runs the same expression on whichever database it is.
macro_rules! on {
    ($store:expr, |$pool:ident| $body:expr) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite($pool) => $body,
            $crate::store::Pool::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on;

/// The store of a server, or one that several servers share.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    turn: work::Turn,
}

#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The store as one tenant sees it.
#[derive(Debug, Clone, Copy)]
pub struct TenantStore<'a> {
    store: &'a Store,
    tenant: TenantId,
}

// === impl Store ===

impl Store {
    /// What belongs to one tenant.
    pub const fn tenant(&self, tenant: TenantId) -> TenantStore<'_> {
        TenantStore { store: self, tenant }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("SELECT 1").execute(pool).await.map(drop)).map_err(StoreError::of)
    }
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// Whose it is.
    pub const fn id(&self) -> TenantId {
        self.tenant
    }
}

#[cfg(test)]
mod tests;
