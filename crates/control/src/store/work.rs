//! [`Work`]: changes of one tenant that come about together, with the line of the audit log that tells of them, or not at all.

use std::sync::Arc;

use sqlx::{Postgres, Sqlite, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Pool, StoreError, TenantStore};
use crate::id::TenantId;

/// Runs the same expression within a work, on whichever database it is.
macro_rules! within {
    ($work:expr, |$connection:ident| $body:expr) => {
        match &mut $work.open {
            $crate::store::work::Open::Sqlite(open) => {
                let $connection = &mut **open;
                $body
            }
            $crate::store::work::Open::Postgres(open) => {
                let $connection = &mut **open;
                $body
            }
        }
    };
}
pub(crate) use within;

/// Carries a statement out within a work: how many rows it touched.
macro_rules! execute {
    ($work:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::work::within!($work, |connection| sqlx::query($sql)
            $(.bind($value))*
            .execute(connection)
            .await
            .map(|done| done.rows_affected()))
        .map_err($crate::store::StoreError::of)
    };
}
pub(crate) use execute;

/// Whose turn it is to change a SQLite database: who waits here holds no connection.
pub(crate) type Turn = Arc<Mutex<()>>;

/// Changes of one tenant that come about together. What is dropped has not happened.
#[derive(Debug)]
#[must_use = "what is not committed has not happened"]
pub struct Work {
    pub(crate) tenant: TenantId,
    pub(crate) open: Open,
    _turn: Option<OwnedMutexGuard<()>>,
}

/// An open transaction.
#[derive(Debug)]
pub(crate) enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// Begins changes of this tenant. Whoever changes something of the same tenant waits until they are over, so that what
    /// is counted stays true, and lines of its audit log come one after the other.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(&self) -> Result<Work, StoreError> {
        let tenant = self.tenant;
        match &self.store.pool {
            Pool::Sqlite(pool) => {
                let turn = Arc::clone(&self.store.turn).lock_owned().await;
                // A transaction that begins by reading could not become one that writes once another has written.
                let open = pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::of)?;
                Ok(Work { tenant, open: Open::Sqlite(open), _turn: Some(turn) })
            }
            Pool::Postgres(pool) => {
                let mut open = pool.begin().await.map_err(StoreError::of)?;
                sqlx::query("SELECT id FROM tenant WHERE id = $1 FOR NO KEY UPDATE")
                    .bind(tenant.text())
                    .execute(&mut *open)
                    .await
                    .map_err(StoreError::of)?;
                Ok(Work { tenant, open: Open::Postgres(open), _turn: None })
            }
        }
    }
}

// === impl Work ===

impl Work {
    /// Has it happen: all of it is stored when this returns.
    ///
    /// # Errors
    /// The store's; then nothing has happened, unless the answer was lost on its way.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.open {
            Open::Sqlite(open) => open.commit().await,
            Open::Postgres(open) => open.commit().await,
        }
        .map_err(StoreError::of)
    }
}
