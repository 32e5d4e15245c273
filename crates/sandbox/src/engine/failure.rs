//! PostgreSQL's errors as SQL Server's.

use std::sync::Arc;

use tokio_postgres::error::{DbError, SqlState};

use crate::answer::{SqlError, command};
use crate::sql::table::{Index, Table};

/// What an error ends, when XACT_ABORT is OFF (T-SQL manual, "SET XACT_ABORT" and the observed behaviour of each).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The statement; the batch goes on.
    Statement,
    /// The batch; the transaction stays.
    Batch,
    /// The batch and the transaction.
    Transaction,
}

/// What an error ends, by its number.
pub(super) fn reach(error: &SqlError) -> Reach {
    match error.number {
        1205 | 3960 | 245 | 248 | 241 | 242 | 244 | 8114 | 8169 | 3930 | 3998 => Reach::Transaction,
        208 | 207 | 102 | 156 | 137 | 257 | 3952 | 206 | 529 | 1007 | 13609 | 13639 | 40510 | 195 => {
            Reach::Batch
        }
        _ if error.class >= 20 => Reach::Transaction,
        _ => Reach::Statement,
    }
}

/// Where a statement failed: names for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Current database.
    pub(super) database: &'a str,
    /// The table that it writes.
    pub(super) table: Option<&'a Arc<Table>>,
    /// Its kind, of [`command`].
    pub(super) command: u16,
    /// SNAPSHOT is the isolation level.
    pub(super) snapshot: bool,
}

// === impl Place ===

impl Place<'_> {
    fn verb(&self) -> &'static str {
        match self.command {
            command::UPDATE => "UPDATE",
            command::DELETE => "DELETE",
            command::MERGE => "MERGE",
            _ => "INSERT",
        }
    }

    fn table_name(&self) -> String {
        let Some(table) = self.table else { return String::new() };
        if table.name.starts_with('#') {
            format!("tempdb.dbo.{}", table.name)
        } else {
            format!("{}.{}", self.database, table.shown())
        }
    }

    /// The index with a name of PostgreSQL's.
    fn index(&self, physical: &str) -> Option<&Index> {
        self.table?.indexes.iter().find(|index| index.physical == physical)
    }
}

/// Translates an error of PostgreSQL.
pub(super) fn from_postgres(error: &tokio_postgres::Error, place: Place<'_>) -> SqlError {
    let Some(db) = error.as_db_error() else {
        let message = format!("the sandbox lost its PostgreSQL session: {error}");
        return SqlError::new(596, 21, message);
    };
    let state = db.code();
    if let Some(number) = own_number(state) {
        return SqlError::new(number, 16, db.message());
    }
    match *state {
        SqlState::UNIQUE_VIOLATION => duplicate(db, place),
        SqlState::NOT_NULL_VIOLATION => not_null(db, place),
        SqlState::CHECK_VIOLATION => check(db, place),
        SqlState::FOREIGN_KEY_VIOLATION => foreign_key(db, place),
        SqlState::T_R_DEADLOCK_DETECTED => deadlock(),
        SqlState::T_R_SERIALIZATION_FAILURE if place.snapshot => SqlError::new(
            3960,
            16,
            format!(
                "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access \
                 table '{}' directly or indirectly in database '{}' to update, delete, or insert the row that has been \
                 modified or deleted by another transaction. Retry the transaction or change the isolation level for the \
                 update/delete statement.",
                place.table.map_or(String::new(), |table| table.shown()),
                place.database
            ),
        ),
        SqlState::T_R_SERIALIZATION_FAILURE => deadlock(),
        SqlState::IN_FAILED_SQL_TRANSACTION => super::transaction::doomed(),
        SqlState::LOCK_NOT_AVAILABLE => {
            SqlError::new(1222, 16, "Lock request time out period exceeded.").with_state(51)
        }
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
            SqlError::new(8115, 16, overflow_text(db.message())).with_state(2)
        }
        SqlState::DIVISION_BY_ZERO => SqlError::new(8134, 16, "Divide by zero error encountered."),
        SqlState::INVALID_TEXT_REPRESENTATION => {
            SqlError::new(8114, 16, "Error converting data type nvarchar to the type of the expression.")
        }
        SqlState::CARDINALITY_VIOLATION if place.command == command::MERGE => SqlError::new(
            8672,
            16,
            "The MERGE statement attempted to UPDATE or DELETE the same row more than once. This happens when a target row \
             matches more than one source row. A MERGE statement cannot UPDATE/DELETE the same row of the target table \
             multiple times. Refine the ON clause to ensure a target row matches at most one source row, or use the GROUP BY \
             clause to group the source rows.",
        ),
        SqlState::CARDINALITY_VIOLATION => SqlError::new(
            512,
            16,
            "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when \
             the subquery is used as an expression.",
        ),
        SqlState::PROGRAM_LIMIT_EXCEEDED => too_wide(db.message(), place),
        SqlState::DISK_FULL => {
            SqlError::new(1105, 17, "Could not allocate space: the disk of the sandbox is full.")
        }
        SqlState::UNDEFINED_TABLE => {
            SqlError::new(208, 16, format!("Invalid object name '{}'.", place.table_name()))
        }
        SqlState::QUERY_CANCELED => SqlError::new(3617, 11, "The statement was cancelled by the client."),
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            SqlError::new(596, 21, "Cannot continue the execution because the session is in the kill state.")
        }
        _ => {
            let message = format!("the sandbox failed in PostgreSQL: {} ({})", db.message(), state.code());
            SqlError::new(8180, 16, message)
        }
    }
}

/// The number that a helper function raised: SQLSTATE M and four digits, or J and the last four of one above 10,000.
fn own_number(state: &SqlState) -> Option<i32> {
    if let Some(digits) = state.code().strip_prefix('J') {
        return digits.parse::<i32>().ok().map(|number| 10_000 + number);
    }
    state.code().strip_prefix('M')?.parse().ok()
}

fn deadlock() -> SqlError {
    let message = "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.";
    SqlError::new(1205, 13, message).with_state(51)
}

fn overflow_text(message: &str) -> String {
    let word = match message.split_whitespace().next() {
        Some("smallint") => "smallint",
        Some("integer") => "int",
        Some("bigint") => "bigint",
        _ => return "Arithmetic overflow error converting numeric to data type numeric.".to_owned(),
    };
    format!("Arithmetic overflow error converting expression to data type {word}.")
}

/// The values in `Key (a, b)=(1, x) already exists.`
fn key_values(db: &DbError) -> String {
    let detail = db.detail().unwrap_or_default();
    let values = detail.split_once(")=(").map(|(_, rest)| rest).unwrap_or_default();
    let end = [") already exists.", ") is duplicated."].iter().find_map(|end| values.rfind(end));
    let values = end.and_then(|end| values.get(..end)).unwrap_or(values);
    format!("({values})")
}

fn duplicate(db: &DbError, place: Place<'_>) -> SqlError {
    let physical = db.constraint().unwrap_or_default();
    let shown = place.table.map_or(String::new(), |table| table.shown());
    let values = key_values(db);
    // A key that a FOREIGN KEY refers to stands for the one that it copies.
    let copied =
        physical.strip_prefix('f').and_then(|_| place.table?.indexes.iter().find(|index| index.unique));
    match place.index(physical).or(copied) {
        Some(index) if index.constraint => {
            let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE KEY" };
            let message = format!(
                "Violation of {kind} constraint '{}'. Cannot insert duplicate key in object '{shown}'. The duplicate key value \
                 is {values}.",
                index.name
            );
            SqlError::new(2627, 14, message)
        }
        index => {
            let name = index.map_or(physical, |index| index.name.as_str());
            let message = format!(
                "Cannot insert duplicate key row in object '{shown}' with unique index '{name}'. The duplicate key value is \
                 {values}."
            );
            SqlError::new(2601, 14, message)
        }
    }
}

fn not_null(db: &DbError, place: Place<'_>) -> SqlError {
    let physical = db.column().unwrap_or_default();
    let column =
        place.table.and_then(|table| table.columns.iter().find(|column| column.physical == physical));
    let column = column.map_or(physical, |column| column.name.as_str());
    let message = format!(
        "Cannot insert the value NULL into column '{column}', table '{}'; column does not allow nulls. {} fails.",
        place.table_name(),
        place.verb()
    );
    SqlError::new(515, 16, message).with_state(2)
}

/// Check constraints named `w..` are the limits of keys, others are the user's.
fn check(db: &DbError, place: Place<'_>) -> SqlError {
    let name = db.constraint().unwrap_or_default();
    if name.starts_with('w') {
        return too_wide(db.message(), place);
    }
    let message = format!(
        "The {} statement conflicted with the CHECK constraint \"{name}\". The conflict occurred in database \"{}\", table \
         \"{}\".",
        place.verb(),
        place.database,
        place.table.map_or(String::new(), |table| table.shown())
    );
    SqlError::new(547, 16, message)
}

fn foreign_key(db: &DbError, place: Place<'_>) -> SqlError {
    let kind = if place.command == command::DELETE { "REFERENCE" } else { "FOREIGN KEY" };
    let message = format!(
        "The {} statement conflicted with the {kind} constraint \"{}\". The conflict occurred in database \"{}\", table \"{}\".",
        place.verb(),
        db.constraint().unwrap_or_default(),
        place.database,
        place.table.map_or(String::new(), |table| table.shown())
    );
    SqlError::new(547, 16, message)
}

fn too_wide(detail: &str, place: Place<'_>) -> SqlError {
    let index = place.table.and_then(|table| table.indexes.first());
    let name = index.map_or("", |index| index.name.as_str());
    let message = format!(
        "Operation failed. The index entry for the index '{name}' exceeds the maximum length of {} bytes for {} indexes ({detail}).",
        if index.is_some_and(|index| index.index_id != 1) { 1700 } else { 900 },
        if index.is_some_and(|index| index.index_id != 1) { "nonclustered" } else { "clustered" }
    );
    SqlError::new(1946, 16, message).with_state(3)
}
