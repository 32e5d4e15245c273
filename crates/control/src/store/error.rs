//! [`StoreError`]: what can go wrong with the store.

use std::io;
use std::path::PathBuf;

use segcdc_model::{Disposition, Fault};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder of a SQLite store.
    #[error("the data folder {} cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another server has the folder.
    #[error("another server uses the data folder {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is no SQLite database.
    #[error("{} is not a database of SEG CDC", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error("the store has migration {found}, this version knows migrations up to {known}")]
    Newer {
        /// What the store has.
        found: i64,
        /// What this program has.
        known: i64,
    },
    /// A migration that was changed after it had been applied, or failed.
    #[error("the store cannot be migrated")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
    /// The database cannot be reached or does not let us in.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Box<sqlx::Error>),
    /// The disk below it has no room: nothing of the change was stored.
    #[error("the disk of the store is full")]
    Full(#[source] Box<sqlx::Error>),
    /// The database refused a statement.
    #[error("the store refused a statement")]
    Refused(#[source] Box<sqlx::Error>),
    /// A name that another object of the tenant has.
    #[error("the name is taken")]
    NameTaken,
    /// There is no such object in this tenant.
    #[error("there is no such object")]
    NotFound,
    /// It was changed since it was read.
    #[error("it was changed since it was read: it has version {found} now")]
    Changed {
        /// The version that it has.
        found: i64,
    },
    /// A connection that a pipeline still uses.
    #[error("it is still used by a pipeline")]
    InUseByPipeline,
    /// Nobody would be left who manages the tenant.
    #[error("nobody would be left who manages this tenant")]
    LastAdmin,
    /// The store holds a word or document that this version does not know.
    #[error("the store holds something in {what} that this version cannot read")]
    Unreadable {
        /// Column.
        what: &'static str,
    },
}

/// SQLITE_FULL, and PostgreSQL's `disk_full`.
const FULL: [&str; 2] = ["13", "53100"];

// === impl StoreError ===

impl StoreError {
    /// What a database's answer means here: by its kind or SQLSTATE, never by its text.
    pub(crate) fn of(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => return StoreError::NotFound,
            sqlx::Error::Database(answer) if answer.is_unique_violation() => return StoreError::NameTaken,
            sqlx::Error::Database(answer) if answer.is_foreign_key_violation() => {
                return StoreError::InUseByPipeline;
            }
            sqlx::Error::Database(answer) if answer.code().is_some_and(|code| FULL.contains(&&*code)) => {
                return StoreError::Full(Box::new(error));
            }
            sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. } => {}
            _ => return StoreError::Unreachable(Box::new(error)),
        }
        StoreError::Refused(Box::new(error))
    }
}

// === impl Fault for StoreError ===

impl Fault for StoreError {
    fn code(&self) -> &'static str {
        match self {
            StoreError::Folder { .. } => "STORE_FOLDER",
            StoreError::InUse { .. } => "STORE_IN_USE",
            StoreError::NotAStore { .. } => "STORE_NOT_A_DATABASE",
            StoreError::Newer { .. } => "STORE_NEWER",
            StoreError::Migration(_) => "STORE_MIGRATION",
            StoreError::Unreachable(_) => "STORE_UNREACHABLE",
            StoreError::Full(_) => "STORE_FULL",
            StoreError::Refused(_) | StoreError::Unreadable { .. } => "STORE_REFUSED",
            StoreError::NameTaken => "NAME_TAKEN",
            StoreError::NotFound => "NOT_FOUND",
            StoreError::Changed { .. } => "VERSION_CONFLICT",
            StoreError::InUseByPipeline => "CONNECTION_IN_USE",
            StoreError::LastAdmin => "LAST_ADMIN",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            StoreError::Unreachable(_) | StoreError::Full(_) => Disposition::Retry,
            _ => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            StoreError::Folder { .. } => "Give a folder that this user may write with --data-dir.",
            StoreError::InUse { .. } => "Stop the other server, or give this one another --data-dir.",
            StoreError::NotAStore { .. } => "Give another --data-dir, or bring back the file from a backup.",
            StoreError::Newer { .. } => {
                "Run the version that wrote it, or a newer one. A store never goes back."
            }
            StoreError::Migration(_) => "Bring back the store from a backup, and report this with the log.",
            StoreError::Unreachable(_) => {
                "See whether the store's database is up and its URL and password are right."
            }
            StoreError::Full(_) => "Make room on the disk of the store, and send it again.",
            StoreError::Refused(_) | StoreError::Unreadable { .. } => {
                "See whether the store's disk is read-only; else report this with the log."
            }
            StoreError::NameTaken => "Choose another name. Names that differ only by case are the same.",
            StoreError::NotFound => "List what there is; it may have been deleted.",
            StoreError::Changed { .. } => "Read it again, and change what you find.",
            StoreError::InUseByPipeline => "Delete the pipelines that use it first.",
            StoreError::LastAdmin => "Make somebody else an administrator first.",
        }
        .to_owned()
    }
}
