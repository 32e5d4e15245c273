//! [`Reply`]: what the engine says and the server encodes as tokens.
//!
//! The engine sends, for each statement, in this order: [`Reply::Columns`] and [`Reply::Rows`] if it returns rows,
//! [`Reply::Error`] if it failed, [`Reply::Done`] unless NOCOUNT hides it. The server chooses the token (DONE or
//! DONEINPROC), sets the bits MORE, ERROR, COUNT and IN_TRANSACTION, and ends the request, so that the engine need not
//! know what is the last statement nor whether it runs in a procedure. A statement that fails and ends its batch needs
//! no `Done`.

use segcdc_tds::types::column_flag;
use segcdc_tds::{Collation, ColumnType, Datum};

/// How the engine answers: bounded, so that a slow client slows the engine down.
pub type Replies = tokio::sync::mpsc::Sender<Reply>;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Columns of the rows that follow, also when none follow.
    Columns(Vec<OutColumn>),
    /// Rows; values in the order of the columns. Send many at once, but not more than a few hundred KiB.
    Rows(Vec<Vec<Datum>>),
    /// End of a statement.
    Done {
        /// Rows returned or changed; `None` for statements that count nothing.
        count: Option<u64>,
        /// Kind of statement: see [`command`].
        command: u16,
    },
    /// An error, class 11 or more.
    Error(SqlError),
    /// A message, class 10 or less.
    Info(SqlError),
    /// A change of the session.
    Env(EnvChange),
    /// RETURN of a procedure; the server says 0 when the engine says nothing.
    ReturnStatus(i32),
    /// An output parameter.
    ReturnValue {
        /// `@name`
        name: String,
        /// Type and value.
        column: OutColumn,
        /// Its value.
        value: Datum,
    },
}

/// An error or message of SQL Server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error {number}, level {class}, state {state}, line {line}: {message}")]
pub struct SqlError {
    /// SQL Server's number, 50000 for RAISERROR.
    pub number: i32,
    /// Where in the server's code.
    pub state: u8,
    /// Severity: up to 10 a message, 11 to 16 an error of the statement, 20 and up ends the session.
    pub class: u8,
    /// Text, as SQL Server words it.
    pub message: String,
    /// Line in the batch, from 1.
    pub line: i32,
    /// Procedure, empty in a batch.
    pub procedure: String,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutColumn {
    /// Name, empty for an expression without an alias.
    pub name: String,
    /// What it holds.
    pub column_type: ColumnType,
    /// Collation of character types.
    pub collation: Collation,
    /// Whether it may be NULL; true for expressions.
    pub nullable: bool,
    /// An identity column.
    pub identity: bool,
    /// A computed column or an expression.
    pub computed: bool,
}

/// A change of the session that the client must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvChange {
    /// The current database is this one now.
    Database(String),
    /// A transaction with this descriptor began.
    Begin(u64),
    /// The transaction committed.
    Commit,
    /// The transaction was rolled back.
    Rollback,
}

/// Values of [`Reply::Done`]'s command.
pub mod command {
    /// Anything that counts no rows.
    pub const OTHER: u16 = 0x00FD;
    /// SELECT
    pub const SELECT: u16 = 0x00C1;
    /// INSERT
    pub const INSERT: u16 = 0x00C3;
    /// DELETE
    pub const DELETE: u16 = 0x00C4;
    /// UPDATE
    pub const UPDATE: u16 = 0x00C5;
    /// INSERT BULK
    pub const BULK: u16 = 0x00F0;
    /// MERGE
    pub const MERGE: u16 = 0x0117;
    /// EXECUTE
    pub const EXECUTE: u16 = 0x00E0;
}

// === impl SqlError ===

impl SqlError {
    /// An error of state 1 on line 1.
    pub fn new(number: i32, class: u8, message: impl Into<String>) -> Self {
        SqlError { number, state: 1, class, message: message.into(), line: 1, procedure: String::new() }
    }

    /// The same with another state.
    pub fn with_state(mut self, state: u8) -> Self {
        self.state = state;
        self
    }

    /// The same on another line.
    pub fn at_line(mut self, line: i32) -> Self {
        self.line = line;
        self
    }
}

// === impl OutColumn ===

impl OutColumn {
    /// A nullable column in the default collation.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Self {
        OutColumn {
            name: name.into(),
            column_type,
            collation: Collation::SQL_LATIN1_GENERAL_CP1_CI_AS,
            nullable: true,
            identity: false,
            computed: false,
        }
    }

    /// The bits of [`column_flag`].
    pub fn flags(&self) -> u16 {
        let nullable = if self.nullable { column_flag::NULLABLE } else { 0 };
        let kind = match (self.identity, self.computed) {
            (true, _) => column_flag::IDENTITY,
            (_, true) => column_flag::COMPUTED,
            _ => column_flag::UPDATEABLE_UNKNOWN,
        };
        nullable | kind
    }
}
