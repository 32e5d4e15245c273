//! [`Session`]: the state of one client, and its public face.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_tds::{Collation, ColumnType, Datum};
use tokio_postgres::{CancelToken, Client, Statement};

use super::bulk::BulkTarget;
use super::databases::Database;
use super::discard::Staged;
use super::flow::Frame;
use super::transaction::Transaction;
use super::{BulkRows, Engine, LoginRequest, Param};
use crate::answer::{EnvChange, OutColumn, Replies, Reply, SqlError};
use crate::sql::ast::{Batch, Isolation, ObjectName};
use crate::sql::collation::Collate;
use crate::sql::table::Table;
use crate::sql::translate::Plan;

/// Batches whose translation is kept.
const KEPT_BATCHES: usize = 200;
/// Bytes of the longest batch that is kept.
const LONGEST_BATCH: usize = 256 * 1024;
/// Statements that stay prepared in PostgreSQL.
const KEPT_STATEMENTS: usize = 500;

/// One per TDS connection, with one PostgreSQL session behind it.
pub struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) client: Client,
    pub(super) cancel: CancelToken,
    pub(super) database: Database,
    pub(super) request: LoginRequest,
    pub(super) options: Options,
    pub(super) transaction: Transaction,
    /// Temporary tables by folded name.
    pub(super) temporary: Arc<HashMap<String, Arc<Table>>>,
    /// Ids given to temporary tables.
    pub(super) temporary_ids: i32,
    /// Changes of [`Session::temporary`].
    pub(super) temporary_version: u64,
    /// Tables by folded schema and name; `None` for what does not exist.
    pub(super) tables: HashMap<(String, String), Option<Arc<Table>>>,
    /// The engine's version that [`Session::tables`] is of.
    pub(super) seen_version: u64,
    pub(super) statements: HashMap<String, Statement>,
    pub(super) batches: HashMap<String, Compiled>,
    pub(super) row_count: u64,
    pub(super) last_error: i32,
    pub(super) identity: Option<i64>,
    /// Where the rows of the next bulk load go.
    pub(super) bulk: Option<BulkTarget>,
    /// What was staged and thrown away, by the folded name of the temporary table.
    pub(super) staged: HashMap<String, Staged>,
}

/// SET options.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) xact_abort: bool,
    pub(super) no_count: bool,
    pub(super) format_only: bool,
    pub(super) implicit_transactions: bool,
    pub(super) lock_timeout: i64,
    pub(super) isolation: Isolation,
    /// ROWCOUNT; 0 for all.
    pub(super) row_limit: u64,
    /// The table with IDENTITY_INSERT.
    pub(super) identity_insert: Option<i32>,
}

/// A parsed batch and the plans of its statements, by id.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) batch: Arc<Batch>,
    pub(super) plans: Vec<Option<Translated>>,
}

/// A plan, and the versions of the catalogs that it was made with.
#[derive(Debug, Clone)]
pub(super) struct Translated {
    pub(super) plan: Arc<Plan>,
    pub(super) versions: (u64, u64),
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Options {
            xact_abort: false,
            no_count: false,
            format_only: false,
            implicit_transactions: false,
            lock_timeout: -1,
            isolation: Isolation::ReadCommitted,
            row_limit: 0,
            identity_insert: None,
        }
    }
}

// === impl Session ===

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("database", &self.database.name)
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session after login.
    pub(super) async fn open(
        engine: Arc<Engine>,
        database: Database,
        request: LoginRequest,
    ) -> Result<Self, SqlError> {
        let (client, cancel) = engine.databases.connect(&database).await.map_err(|error| {
            SqlError::new(17803, 20, format!("the sandbox's PostgreSQL cannot be reached: {error:#}"))
        })?;
        let session = Session {
            seen_version: engine.version(),
            engine,
            client,
            cancel,
            database,
            request,
            options: Options::default(),
            transaction: Transaction::default(),
            temporary: Arc::new(HashMap::new()),
            temporary_ids: 0,
            temporary_version: 0,
            tables: HashMap::new(),
            statements: HashMap::new(),
            batches: HashMap::new(),
            row_count: 0,
            last_error: 0,
            identity: None,
            bulk: None,
            staged: HashMap::new(),
        };
        session.prepare_postgres().await?;
        Ok(session)
    }

    /// Settings of the PostgreSQL session.
    async fn prepare_postgres(&self) -> Result<(), SqlError> {
        let name = self.database.name.replace('\'', "''");
        let settings = format!(
            "SET jit = off; SET work_mem = '64MB'; SET temp_buffers = '64MB'; SET timezone = 'UTC'; \
             SET client_min_messages = error; SET extra_float_digits = 1; SET max_parallel_workers_per_gather = 0; \
             SET tsql.database = '{name}'"
        );
        self.client.batch_execute(&settings).await.map_err(|error| self.postgres_error(&error, None))
    }

    /// The current database.
    pub fn database(&self) -> &str {
        &self.database.name
    }

    /// The current database's collation.
    pub fn collation(&self) -> Collation {
        Collate::database_default().wire
    }

    /// Descriptor of the open transaction, 0 if none is open.
    pub fn transaction(&self) -> u64 {
        self.transaction.descriptor
    }

    /// Runs a batch; with parameters, the body of `sp_executesql` or `sp_execute`. Errors are replies.
    ///
    /// A future that is dropped before its end must be followed by [`Session::interrupt`].
    pub async fn batch(&mut self, sql: &str, params: &[Param], out: &Replies) {
        let mut frame = Frame::default();
        for param in params {
            frame.declare(&param.name, param.column_type, param.value.clone());
        }
        self.run_batch(sql, &mut frame, out).await;
        self.end_batch(out).await;
        for param in params.iter().filter(|param| param.output) {
            let value = frame.value(&param.name).cloned().unwrap_or(Datum::Null);
            let column = OutColumn { collation: param.collation, ..OutColumn::new("", param.column_type) };
            out.send(Reply::ReturnValue { name: param.name.clone(), column, value }).await.ok();
        }
    }

    /// Calls a procedure by name, in any spelling (`sys.sp_x`, `[sp_x]`). 2812: not known.
    pub async fn procedure(&mut self, name: &str, params: &[Param], out: &Replies) {
        let bare = name.rsplit('.').next().unwrap_or(name).trim_matches(['[', ']', '"']).to_owned();
        let arguments =
            params.iter().map(|param| (param.name.clone(), param.column_type, param.value.clone())).collect();
        let mut frame = Frame::default();
        if let Err(error) = self.call(&bare, arguments, &mut frame, out).await {
            self.raise(error, out).await;
        }
        self.end_batch(out).await;
    }

    /// Begins a transaction. `isolation`: 0 as it is, 1 read uncommitted, 2 read committed, 3 repeatable read,
    /// 4 serializable, 5 snapshot.
    pub async fn begin(&mut self, isolation: u8, _name: &str, out: &Replies) -> Result<(), SqlError> {
        let level = match isolation {
            1 => Some(Isolation::ReadUncommitted),
            2 => Some(Isolation::ReadCommitted),
            3 => Some(Isolation::RepeatableRead),
            4 => Some(Isolation::Serializable),
            5 => Some(Isolation::Snapshot),
            _ => None,
        };
        if let Some(level) = level {
            self.set_isolation(level).await?;
        }
        self.begin_transaction(out).await
    }

    /// Commits (3902: none is open).
    pub async fn commit(&mut self, out: &Replies) -> Result<(), SqlError> {
        self.commit_transaction(out).await
    }

    /// Rolls back all, or to the savepoint `name` unless it is empty (3903: none is open).
    pub async fn rollback(&mut self, name: &str, out: &Replies) -> Result<(), SqlError> {
        self.rollback_transaction(Some(name).filter(|name| !name.is_empty()), out).await
    }

    /// Sets a savepoint.
    pub async fn save(&mut self, name: &str, _out: &Replies) -> Result<(), SqlError> {
        self.save_transaction(name).await
    }

    /// Loads rows into the table of the INSERT BULK that the last [`Session::batch`] ran; `columns` are those of the
    /// client's COLMETADATA. Returns the row count.
    ///
    /// A future that is dropped before its end must be followed by [`Session::interrupt`]; nothing is loaded then.
    /// `out` takes changes of the session only (a transaction that the error ended); the server answers with the result.
    pub async fn bulk(
        &mut self,
        columns: &[OutColumn],
        rows: BulkRows,
        out: &Replies,
    ) -> Result<u64, SqlError> {
        let Some(target) = self.bulk.take() else {
            return Err(SqlError::new(4022, 16, "Bulk load data was expected but not sent."));
        };
        let result = self.load(target, columns, rows).await;
        match &result {
            Ok(count) => {
                self.row_count = *count;
                self.last_error = 0;
            }
            Err(error) => {
                self.last_error = error.number;
                self.undo_for(error, out).await;
            }
        }
        self.end_batch(out).await;
        result
    }

    /// After an attention, or a future that was dropped: cancels what PostgreSQL still runs and, with XACT_ABORT ON,
    /// rolls the transaction back (told by `out`). The session is usable afterwards.
    pub async fn interrupt(&mut self, out: &Replies) {
        // A cancellation that is still on its way would hit a statement that comes later.
        self.engine.databases.cancel(&self.cancel).await.ok();
        // Answers of the cancelled statement come before that of this one.
        self.client.batch_execute("").await.ok();
        self.after_interrupt(out).await;
    }

    /// Back to the state after login (RESETCONNECTION): temporary tables, SET options and, unless `keep_transaction`,
    /// the transaction.
    pub async fn reset(&mut self, keep_transaction: bool, out: &Replies) {
        if !keep_transaction && self.transaction.count > 0 {
            self.rollback_transaction(None, out).await.ok();
        }
        self.options = Options::default();
        self.bulk = None;
        self.staged.clear();
        self.row_count = 0;
        self.last_error = 0;
        if !self.transaction.is_open() {
            let dropped: Vec<String> = self.temporary.values().map(|table| table.relation.clone()).collect();
            if !dropped.is_empty() {
                self.client.batch_execute(&format!("DROP TABLE {}", dropped.join(", "))).await.ok();
            }
            self.replace_temporary(Arc::new(HashMap::new()));
        }
        self.apply_isolation().await.ok();
        self.set_lock_timeout(-1).await.ok();
    }

    /// USE (911: no such database).
    pub(super) async fn use_database(&mut self, name: &str, out: &Replies) -> Result<(), SqlError> {
        let Some(found) = self.engine.databases.find(name) else {
            let message =
                format!("Database '{name}' does not exist. Make sure that the name is entered correctly.");
            return Err(SqlError::new(911, 16, message));
        };
        if found.physical != self.database.physical {
            if self.transaction.is_open() || !self.temporary.is_empty() {
                return Err(crate::sql::translate::unsupported(
                    "USE in a transaction or with temporary tables",
                ));
            }
            let (client, cancel) = self.engine.databases.connect(&found).await.map_err(|error| {
                SqlError::new(911, 16, format!("the sandbox's PostgreSQL cannot be reached: {error:#}"))
            })?;
            (self.client, self.cancel) = (client, cancel);
            self.tables.clear();
            self.statements.clear();
            self.batches.clear();
        }
        self.database = found;
        self.prepare_postgres().await?;
        self.apply_isolation().await?;
        self.set_lock_timeout(self.options.lock_timeout).await?;
        out.send(Reply::Env(EnvChange::Database(self.database.name.clone()))).await.ok();
        let message = format!("Changed database context to '{}'.", self.database.name);
        out.send(Reply::Info(SqlError::new(5701, 0, message).with_state(2))).await.ok();
        Ok(())
    }

    /// A prepared statement of PostgreSQL's.
    pub(super) async fn prepared(
        &mut self,
        sql: &str,
        types: &[tokio_postgres::types::Type],
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql)
            && statement.params() == types
        {
            return Ok(statement.clone());
        }
        if self.statements.len() >= KEPT_STATEMENTS {
            self.statements.clear();
        }
        let statement = self.client.prepare_typed(sql, types).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Keeps a batch for the next time.
    pub(super) fn keep_batch(&mut self, key: String, compiled: Compiled) {
        if key.len() > LONGEST_BATCH {
            return;
        }
        if self.batches.len() >= KEPT_BATCHES {
            self.batches.clear();
        }
        self.batches.insert(key, compiled);
    }

    /// Both versions of what is known of tables.
    pub(super) fn versions(&mut self) -> (u64, u64) {
        let version = self.engine.version();
        if version != self.seen_version {
            self.seen_version = version;
            self.tables.clear();
            self.statements.clear();
        }
        (self.seen_version, self.temporary_version)
    }

    /// Sets the temporary tables: after CREATE, DROP, or a rollback of one.
    pub(super) fn replace_temporary(&mut self, tables: Arc<HashMap<String, Arc<Table>>>) {
        if !Arc::ptr_eq(&tables, &self.temporary) {
            self.temporary = tables;
            self.temporary_version += 1;
        }
    }

    /// The folded schema and name under which a table is kept.
    pub(super) fn table_key(name: &ObjectName) -> (String, String) {
        let schema = name.schema.as_deref().filter(|schema| !schema.is_empty()).unwrap_or("dbo");
        (crate::sql::table::fold(schema), crate::sql::table::fold(&name.name))
    }
}

/// The key under which a batch is kept: its text and the types of its parameters.
pub(super) fn batch_key(sql: &str, frame: &Frame) -> String {
    let mut types: Vec<(&String, ColumnType)> = frame.types().collect();
    if types.is_empty() {
        return sql.to_owned();
    }
    types.sort_by(|a, b| a.0.cmp(b.0));
    format!("{types:?}{sql}")
}
