//! [`Engine`] and [`Session`]: T-SQL on a private PostgreSQL.
//!
//! ```text
//! Session::batch: parse -> translate all (207 before anything runs) -> run one by one
//!   a missing table defers its statement to its own turn (208 then), as SQL Server's deferred name resolution does
//! T-SQL transaction = PostgreSQL transaction
//!   XACT_ABORT ON    an error rolls all back and ends the batch
//!   XACT_ABORT OFF   each statement runs in a savepoint: an error undoes it alone
//! ```
//!
//! A database is a PostgreSQL database made from a template that holds `tsql` (helpers) and `sys` (the catalog's views).
//! A table is `u.t<object_id>` with columns `c<column_id>`, so that names of any length and spelling work.

mod alter;
mod binary;
mod bulk;
mod catalog_procedure;
mod compile;
mod databases;
mod define;
mod discard;
mod failure;
mod flow;
mod key;
mod lookup;
mod make_table;
mod procedure;
mod run;
mod session;
mod statement;
mod table_variable;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use segcdc_tds::{Collation, ColumnType, Datum};
use tokio::sync::mpsc;

pub use discard::Discard;
pub use session::Session;

use crate::answer::SqlError;
use databases::Databases;

/// What an engine is started with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Port of the private PostgreSQL on 127.0.0.1, superuser `postgres`, no password.
    pub postgres_port: u16,
    /// Database that is made at start, and the default of logins that name none.
    pub database: String,
    /// Name of the only login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The login may not load in bulk (4834).
    pub refuse_bulk: bool,
    /// Rows of users' tables are counted and thrown away.
    pub discard: Option<Discard>,
}

/// One per sandbox: the private PostgreSQL, databases and logins.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    databases: Databases,
    /// Counts changes of any catalog: what sessions know of tables is as old as the count that they saw.
    version: AtomicU64,
    /// The last transaction descriptor given out.
    descriptor: AtomicU64,
}

/// What a client says in LOGIN7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// Login.
    pub user: String,
    /// Password, clear.
    pub password: String,
    /// Database; empty for the default.
    pub database: String,
    /// Name of the application.
    pub application: String,
    /// Name of the client's machine.
    pub host: String,
    /// Negotiated packet size.
    pub packet_size: u32,
    /// The session's @@SPID.
    pub spid: u16,
}

/// A parameter of `sp_executesql` or of a procedure.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// `@name`; empty when it is given by position (only to [`Session::procedure`]).
    pub name: String,
    /// Declared type.
    pub column_type: ColumnType,
    /// Collation of character types.
    pub collation: Collation,
    /// Its value, of any type that converts to the declared one.
    pub value: Datum,
    /// Whether the caller wants it back, by [`crate::answer::Reply::ReturnValue`].
    pub output: bool,
}

/// Rows of a bulk load. The channel's end is the end of the load: a load that is given up is dropped instead.
pub type BulkRows = mpsc::Receiver<Vec<Vec<Datum>>>;

// === impl Engine ===

impl Engine {
    /// Prepares the PostgreSQL server: databases, helper functions. Also on one that has been prepared before.
    pub async fn start(options: EngineOptions) -> anyhow::Result<Arc<Self>> {
        let databases = Databases::prepare(options.postgres_port, &options.database).await?;
        Ok(Arc::new(Engine { options, databases, version: AtomicU64::new(1), descriptor: AtomicU64::new(0) }))
    }

    /// Opens a session. 18456: wrong user or password. 4060: no such database.
    pub async fn login(self: &Arc<Self>, request: &LoginRequest) -> Result<Session, SqlError> {
        if request.user != self.options.user || request.password != self.options.password {
            return Err(SqlError::new(18456, 14, format!("Login failed for user '{}'.", request.user)));
        }
        let database = if request.database.is_empty() { &self.options.database } else { &request.database };
        let Some(found) = self.databases.find(database) else {
            let message =
                format!("Cannot open database \"{database}\" requested by the login. The login failed.");
            return Err(SqlError::new(4060, 11, message));
        };
        Session::open(Arc::clone(self), found, request.clone()).await
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Says that a catalog changed.
    fn touch(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    fn new_descriptor(&self) -> u64 {
        self.descriptor.fetch_add(1, Ordering::Relaxed) + 1
    }
}
