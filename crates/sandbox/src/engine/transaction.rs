//! Transactions: T-SQL's counted, nested and doomed ones on PostgreSQL's plain ones.

use std::collections::HashMap;
use std::sync::Arc;

use super::Session;
use super::failure::{self, Place, Reach};
use crate::answer::{EnvChange, Replies, Reply, SqlError};
use crate::sql::ast::Isolation;
use crate::sql::table::{Table, fold};

/// The savepoint around each statement while XACT_ABORT is OFF.
const STATEMENT_SAVEPOINT: &str = "tsql_statement";

/// The temporary tables at some moment.
type Temporary = Arc<HashMap<String, Arc<Table>>>;

/// Where a session stands in its transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// `@@TRANCOUNT`
    pub(super) count: u32,
    /// The wire's name of it; 0 when none is open.
    pub(super) descriptor: u64,
    /// `XACT_STATE() = -1`: only a rollback is possible.
    pub(super) doomed: bool,
    /// Savepoints by folded name with PostgreSQL's name and the temporary tables of that moment; the last one wins.
    savepoints: Vec<(String, String, Temporary)>,
    /// Temporary tables when it began.
    before: Option<Temporary>,
    /// It changed a catalog: others must hear of its end.
    pub(super) changed_catalog: bool,
    /// PostgreSQL is within a statement's savepoint or own transaction.
    guarded: bool,
}

/// What surrounds a statement in PostgreSQL.
#[derive(Debug, Clone)]
pub(super) enum Guard {
    /// Nothing: PostgreSQL's own atomicity is enough, or the whole transaction goes.
    None,
    /// A transaction of its own.
    Own(Temporary),
    /// A savepoint.
    Savepoint(Temporary),
}

// === impl Transaction ===

impl Transaction {
    /// Whether one is open.
    pub(super) fn is_open(&self) -> bool {
        self.count > 0
    }
}

// === impl Session ===

impl Session {
    /// An error of PostgreSQL in the terms of SQL Server.
    pub(super) fn postgres_error(
        &self,
        error: &tokio_postgres::Error,
        table: Option<&Arc<Table>>,
    ) -> SqlError {
        let place = Place {
            database: &self.database.name,
            table,
            command: crate::answer::command::INSERT,
            snapshot: self.options.isolation == Isolation::Snapshot,
        };
        failure::from_postgres(error, place)
    }

    /// Runs SQL of the engine's own.
    pub(super) async fn own(&self, sql: &str) -> Result<(), SqlError> {
        self.client.batch_execute(sql).await.map_err(|error| self.postgres_error(&error, None))
    }

    /// BEGIN TRANSACTION
    pub(super) async fn begin_transaction(&mut self, out: &Replies) -> Result<(), SqlError> {
        if self.transaction.count == 0 {
            self.own("BEGIN").await?;
            self.transaction = Transaction {
                descriptor: self.engine.new_descriptor(),
                before: Some(Arc::clone(&self.temporary)),
                ..Transaction::default()
            };
            out.send(Reply::Env(EnvChange::Begin(self.transaction.descriptor))).await.ok();
        }
        self.transaction.count += 1;
        Ok(())
    }

    /// COMMIT TRANSACTION (3902: none is open; 3930: doomed).
    pub(super) async fn commit_transaction(&mut self, out: &Replies) -> Result<(), SqlError> {
        match self.transaction.count {
            0 => {
                let message = "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.";
                return Err(SqlError::new(3902, 16, message));
            }
            _ if self.transaction.doomed => return Err(doomed()),
            1 => {}
            _ => {
                self.transaction.count -= 1;
                return Ok(());
            }
        }
        self.wait_for_log().await;
        // A failed COMMIT (a serialization failure) has rolled back.
        let result = self.own("COMMIT").await;
        if result.is_err() {
            self.own("ROLLBACK").await.ok();
            self.close_transaction(false, out).await;
            return result;
        }
        self.close_transaction(true, out).await;
        Ok(())
    }

    /// ROLLBACK TRANSACTION, of all or to a savepoint (3903: none is open; 6401: no such savepoint).
    pub(super) async fn rollback_transaction(
        &mut self,
        name: Option<&str>,
        out: &Replies,
    ) -> Result<(), SqlError> {
        if self.transaction.count == 0 {
            let message = "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.";
            return Err(SqlError::new(3903, 16, message));
        }
        if let Some(name) = name {
            let folded = fold(name);
            let found = self.transaction.savepoints.iter().rposition(|(saved, ..)| *saved == folded);
            if let Some(index) = found {
                if self.transaction.doomed {
                    return Err(doomed());
                }
                let Some((_, physical, temporary)) = self.transaction.savepoints.get(index).cloned() else {
                    return Err(doomed());
                };
                self.own(&format!("ROLLBACK TO SAVEPOINT {physical}")).await?;
                self.transaction.savepoints.truncate(index + 1);
                self.replace_temporary(temporary);
                self.tables.clear();
                return Ok(());
            }
            // The name of the transaction itself is not kept: any other name rolls all back.
        }
        self.own("ROLLBACK").await?;
        self.close_transaction(false, out).await;
        Ok(())
    }

    /// SAVE TRANSACTION (628: none is open).
    pub(super) async fn save_transaction(&mut self, name: &str) -> Result<(), SqlError> {
        if self.transaction.count == 0 {
            return Err(SqlError::new(
                628,
                16,
                "Cannot issue SAVE TRANSACTION when there is no active transaction.",
            ));
        }
        if self.transaction.doomed {
            return Err(doomed());
        }
        let physical = format!("save{}", self.transaction.savepoints.len());
        self.own(&format!("SAVEPOINT {physical}")).await?;
        self.transaction.savepoints.push((fold(name), physical, Arc::clone(&self.temporary)));
        Ok(())
    }

    /// The transaction is over in PostgreSQL: so it is here.
    async fn close_transaction(&mut self, committed: bool, out: &Replies) {
        let ended = std::mem::take(&mut self.transaction);
        if !committed {
            self.staged.clear();
            if let Some(before) = ended.before {
                self.replace_temporary(before);
            }
            // PostgreSQL takes back what SET did within the transaction; SQL Server does not.
            self.apply_isolation().await.ok();
            self.set_lock_timeout(self.options.lock_timeout).await.ok();
        }
        if ended.changed_catalog {
            self.tables.clear();
            self.engine.touch();
        }
        if ended.descriptor != 0 {
            let change = if committed { EnvChange::Commit } else { EnvChange::Rollback };
            out.send(Reply::Env(change)).await.ok();
        }
    }

    /// Surrounds a statement with what undoes it alone. `several`: it takes more than one statement of PostgreSQL's.
    pub(super) async fn guard(&mut self, several: bool, in_try: bool) -> Result<Guard, SqlError> {
        let temporary = Arc::clone(&self.temporary);
        let guard = match self.transaction.count {
            0 if several => {
                self.own("BEGIN").await?;
                Guard::Own(temporary)
            }
            0 => Guard::None,
            _ if !self.options.xact_abort || in_try => {
                self.own(&format!("SAVEPOINT {STATEMENT_SAVEPOINT}")).await?;
                Guard::Savepoint(temporary)
            }
            _ => Guard::None,
        };
        self.transaction.guarded = !matches!(guard, Guard::None);
        Ok(guard)
    }

    /// Ends what [`Session::guard`] began, after success or failure.
    pub(super) async fn unguard(&mut self, guard: Guard, success: bool) -> Result<(), SqlError> {
        self.transaction.guarded = false;
        let (sql, temporary) = match (guard, success) {
            (Guard::None, _) => return Ok(()),
            (Guard::Own(_), true) => ("COMMIT".to_owned(), None),
            (Guard::Savepoint(_), true) => (format!("RELEASE SAVEPOINT {STATEMENT_SAVEPOINT}"), None),
            (Guard::Own(before), false) => ("ROLLBACK".to_owned(), Some(before)),
            (Guard::Savepoint(before), false) => (
                format!(
                    "ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}; RELEASE SAVEPOINT {STATEMENT_SAVEPOINT}"
                ),
                Some(before),
            ),
        };
        if let Some(before) = temporary {
            self.replace_temporary(before);
            self.tables.clear();
        }
        let result = self.own(&sql).await;
        if result.is_err() && !success {
            return Ok(());
        }
        result
    }

    /// What an error does to the transaction, outside of TRY.
    pub(super) async fn undo_for(&mut self, error: &SqlError, out: &Replies) {
        let all = self.options.xact_abort || failure::reach(error) == Reach::Transaction;
        if self.transaction.is_open() && all {
            self.own("ROLLBACK").await.ok();
            self.close_transaction(false, out).await;
        }
    }

    /// The end of a batch: a doomed transaction does not outlive it (3998).
    pub(super) async fn end_batch(&mut self, out: &Replies) {
        if self.transaction.is_open() && self.transaction.doomed {
            self.own("ROLLBACK").await.ok();
            self.close_transaction(false, out).await;
            let message = "Uncommittable transaction is detected at the end of the batch. The transaction is rolled back.";
            out.send(Reply::Error(SqlError::new(3998, 16, message))).await.ok();
        }
    }

    /// Puts PostgreSQL's transaction and ours in step after a statement that was dropped half-way.
    pub(super) async fn after_interrupt(&mut self, out: &Replies) {
        self.bulk = None;
        self.tables.clear();
        if !self.transaction.is_open() {
            let guarded = std::mem::take(&mut self.transaction.guarded);
            if guarded {
                self.own("ROLLBACK").await.ok();
            }
            // Even without a guard: a ROLLBACK outside of a transaction is only a warning.
            self.own("ROLLBACK").await.ok();
            self.temporary_version += 1;
            return;
        }
        if self.options.xact_abort {
            self.own("ROLLBACK").await.ok();
            self.close_transaction(false, out).await;
        } else if std::mem::take(&mut self.transaction.guarded) {
            self.own(&format!("ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}")).await.ok();
        }
    }

    /// SET TRANSACTION ISOLATION LEVEL: of the transactions that begin from now on.
    pub(super) async fn set_isolation(&mut self, level: Isolation) -> Result<(), SqlError> {
        if self.transaction.is_open() && level == Isolation::Snapshot && self.options.isolation != level {
            let message = format!(
                "Transaction failed in database '{}' because the statement was run under snapshot isolation but the transaction \
                 did not start in snapshot isolation. You cannot change the isolation level of the transaction to snapshot \
                 after the transaction has started unless the transaction was originally started under snapshot isolation level.",
                self.database.name
            );
            return Err(SqlError::new(3951, 16, message));
        }
        self.options.isolation = level;
        self.apply_isolation().await
    }

    pub(super) async fn apply_isolation(&self) -> Result<(), SqlError> {
        let level = match self.options.isolation {
            Isolation::ReadUncommitted | Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead | Isolation::Snapshot => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        self.own(&format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")).await
    }

    /// SET LOCK_TIMEOUT: below zero waits for ever, zero not at all.
    pub(super) async fn set_lock_timeout(&mut self, timeout_ms: i64) -> Result<(), SqlError> {
        self.options.lock_timeout = timeout_ms;
        let timeout_ms = match timeout_ms {
            ..0 => 0,
            0 => 1,
            other => other,
        };
        self.own(&format!("SET lock_timeout = {timeout_ms}")).await
    }
}

/// 3930
pub(super) fn doomed() -> SqlError {
    let message = "The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.";
    SqlError::new(3930, 16, message)
}
