//! Opening a store: where it is, who else has it, and its migrations.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use segcdc_model::Secret;
use sqlx::Connection;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::work::Turn;
use super::{Pool, Store, StoreError};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a statement waits for another writer of SQLite, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections to the store.
const CONNECTIONS: u32 = 8;

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Location {
    /// A folder of this machine, for one server: `segcdc.db` and a lock file in it.
    Folder(PathBuf),
    /// A PostgreSQL database, which several servers can share.
    Postgres(Secret<String>),
}

/// Keeps a folder ours for as long as it lives; the system lets go of it when the process dies.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "the lock is held by the open file")] File);

// === impl Store ===

impl Store {
    /// Opens the store and brings its tables up to this version's.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another server has the folder, [`StoreError::Newer`] when a newer version wrote it, and
    /// whatever keeps a folder or a database from being opened.
    pub async fn open(location: &Location) -> Result<(Self, Option<FolderLock>), StoreError> {
        match location {
            Location::Folder(path) => {
                let lock = lock_folder(path)?;
                Ok((Store { pool: sqlite(path).await?, turn: Turn::default() }, Some(lock)))
            }
            Location::Postgres(url) => {
                Ok((Store { pool: postgres(url).await?, turn: Turn::default() }, None))
            }
        }
    }

    /// Closes all connections, after what they are doing.
    pub async fn close(&self) {
        super::on!(self, |pool| pool.close().await);
    }
}

fn lock_folder(path: &Path) -> Result<FolderLock, StoreError> {
    let failed = |cause| StoreError::Folder { path: path.to_owned(), cause };
    fs::create_dir_all(path).map_err(failed)?;
    let file = File::create(path.join("segcdc.lock")).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(FolderLock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}

async fn sqlite(folder: &Path) -> Result<Pool, StoreError> {
    let file = folder.join("segcdc.db");
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A command that was answered is on disk: WAL with NORMAL could lose the last ones when the machine loses power.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        // After SQLITE_FULL and its like SQLite has rolled back by itself. The pool's ROLLBACK is refused then, and the
        // connection would count as being in a transaction for ever, which refuses each BEGIN.
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }));
    let pool = pool.connect_with(options).await.map_err(|error| not_a_database(error, &file))?;
    let mut connection = pool.acquire().await.map_err(StoreError::of)?;
    migrate(&SQLITE, &mut *connection).await?;
    drop(connection);
    Ok(Pool::Sqlite(pool))
}

async fn postgres(url: &Secret<String>) -> Result<Pool, StoreError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(StoreError::of)?;
    let options = options.application_name("segcdc store").statement_cache_capacity(100);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
    let pool = pool.connect_with(options).await.map_err(StoreError::of)?;
    let mut connection = pool.acquire().await.map_err(StoreError::of)?;
    migrate(&POSTGRES, &mut *connection).await?;
    drop(connection);
    Ok(Pool::Postgres(pool))
}

/// SQLITE_NOTADB, the one answer that says that the file is something else.
fn not_a_database(error: sqlx::Error, file: &Path) -> StoreError {
    let code = error.as_database_error().and_then(|answer| answer.code().map(|code| code.into_owned()));
    match code.as_deref() {
        Some("26") => StoreError::NotAStore { path: file.to_owned() },
        _ => StoreError::of(error),
    }
}

/// Applies what is missing; refuses a store that has more than this version knows.
async fn migrate<C: Migrate>(migrations: &'static Migrator, connection: &mut C) -> Result<(), StoreError> {
    let failed = |error| StoreError::Migration(Box::new(error));
    connection.ensure_migrations_table(&migrations.table_name).await.map_err(failed)?;
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    let applied = connection.list_applied_migrations(&migrations.table_name).await.map_err(failed)?;
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    migrations.run_direct(None, connection, false).await.map_err(failed)
}
