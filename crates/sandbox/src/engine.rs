//! [`Engine`] and [`Session`]: T-SQL on a private PostgreSQL.

use std::sync::Arc;

use segcdc_tds::{Collation, ColumnType, Datum};
use tokio::sync::mpsc;

use crate::answer::{OutColumn, Replies, Reply, SqlError};

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
}

/// One per sandbox: the private PostgreSQL, databases and logins.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
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

/// One per TDS connection, with one PostgreSQL session behind it.
#[derive(Debug)]
pub struct Session {
    database: String,
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
    /// Whether the caller wants it back, by [`Reply::ReturnValue`].
    pub output: bool,
}

/// Rows of a bulk load. The channel's end is the end of the load: a load that is given up is dropped instead.
pub type BulkRows = mpsc::Receiver<Vec<Vec<Datum>>>;

// === impl Engine ===

impl Engine {
    /// Prepares the PostgreSQL server: databases, helper functions. Also on one that has been prepared before.
    pub async fn start(options: EngineOptions) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Engine { options }))
    }

    /// Opens a session. 18456: wrong user or password. 4060: no such database.
    pub async fn login(self: &Arc<Self>, request: &LoginRequest) -> Result<Session, SqlError> {
        if request.user != self.options.user || request.password != self.options.password {
            return Err(SqlError::new(18456, 14, format!("Login failed for user '{}'.", request.user)));
        }
        let database = if request.database.is_empty() { &self.options.database } else { &request.database };
        Ok(Session { database: database.clone() })
    }
}

// === impl Session ===

impl Session {
    /// The current database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The current database's collation.
    pub fn collation(&self) -> Collation {
        Collation::SQL_LATIN1_GENERAL_CP1_CI_AS
    }

    /// Descriptor of the open transaction, 0 if none is open.
    pub fn transaction(&self) -> u64 {
        0
    }

    /// Runs a batch; with parameters, the body of `sp_executesql` or `sp_execute`. Errors are replies.
    ///
    /// A future that is dropped before its end must be followed by [`Session::interrupt`].
    pub async fn batch(&mut self, _sql: &str, _params: &[Param], out: &Replies) {
        let error = SqlError::new(102, 15, "Incorrect syntax near ''.");
        out.send(Reply::Error(error)).await.ok();
    }

    /// Calls a procedure by name, in any spelling (`sys.sp_x`, `[sp_x]`). 2812: not known.
    pub async fn procedure(&mut self, name: &str, _params: &[Param], out: &Replies) {
        let error = SqlError::new(2812, 16, format!("Could not find stored procedure '{name}'."));
        out.send(Reply::Error(error)).await.ok();
    }

    /// Begins a transaction. `isolation`: 0 as it is, 1 read uncommitted, 2 read committed, 3 repeatable read,
    /// 4 serializable, 5 snapshot.
    pub async fn begin(&mut self, _isolation: u8, _name: &str, _out: &Replies) -> Result<(), SqlError> {
        Ok(())
    }

    /// Commits (3902: none is open).
    pub async fn commit(&mut self, _out: &Replies) -> Result<(), SqlError> {
        Ok(())
    }

    /// Rolls back all, or to the savepoint `name` unless it is empty (3903: none is open).
    pub async fn rollback(&mut self, _name: &str, _out: &Replies) -> Result<(), SqlError> {
        Ok(())
    }

    /// Sets a savepoint.
    pub async fn save(&mut self, _name: &str, _out: &Replies) -> Result<(), SqlError> {
        Ok(())
    }

    /// Loads rows into the table of the INSERT BULK that the last [`Session::batch`] ran; `columns` are those of the
    /// client's COLMETADATA. Returns the row count.
    ///
    /// A future that is dropped before its end must be followed by [`Session::interrupt`]; nothing is loaded then.
    /// `out` takes changes of the session only (a transaction that the error ended); the server answers with the result.
    pub async fn bulk(
        &mut self,
        _columns: &[OutColumn],
        _rows: BulkRows,
        _out: &Replies,
    ) -> Result<u64, SqlError> {
        Err(SqlError::new(4022, 16, "Bulk load data was expected but not sent."))
    }

    /// After an attention, or a future that was dropped: cancels what PostgreSQL still runs and, with XACT_ABORT ON,
    /// rolls the transaction back (told by `out`). The session is usable afterwards.
    pub async fn interrupt(&mut self, _out: &Replies) {}

    /// Back to the state after login (RESETCONNECTION): temporary tables, SET options and, unless `keep_transaction`,
    /// the transaction.
    pub async fn reset(&mut self, _keep_transaction: bool, _out: &Replies) {}
}
