//! Operations: what takes a while and was asked for.

use super::work::{Work, execute, within};
use super::{Store, StoreError, TenantStore, on};
use crate::clock::Millis;
use crate::id::{OperationId, PipelineId, TenantId};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Compares source and target.
    Verify,
    /// Has tables copied again.
    Resync,
    /// Asks something of tables.
    Tables,
    /// Removes a pipeline.
    Delete,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// Under way.
    Running,
    /// Done; there is a result.
    Succeeded,
    /// It failed; there is an error.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// An operation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The pipeline; it may be gone by now.
    pub pipeline: Option<PipelineId>,
    /// What it does.
    pub kind: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// Its progress, as JSON.
    pub progress: Option<String>,
    /// What came of it, as JSON.
    pub result: Option<String>,
    /// Why it failed, as JSON.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it was heard of last.
    pub updated_at: Millis,
}

/// A row of `select!`.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    pipeline_id: Option<String>,
    kind: String,
    state: String,
    progress: Option<String>,
    result: Option<String>,
    error: Option<String>,
    created_at: i64,
    updated_at: i64,
}

/// A row of the SELECT over all tenants.
#[derive(sqlx::FromRow)]
struct OwnedRow {
    tenant_id: String,
    #[sqlx(flatten)]
    row: Row,
}

/// What is selected of an operation.
macro_rules! select {
    ($more:literal, $where:literal) => {
        concat!(
            "SELECT ",
            $more,
            "id, pipeline_id, kind, state, progress, result, error, created_at, updated_at FROM operation WHERE ",
            $where
        )
    };
}

// === impl Store ===

impl Store {
    /// The operations of every tenant that were heard of at a moment or since, in that order: for those who watch.
    pub(crate) async fn operations_since(
        &self,
        since: Millis,
    ) -> Result<Vec<(TenantId, Operation)>, StoreError> {
        let rows: Vec<OwnedRow> = on!(self, |pool| sqlx::query_as(select!(
            "tenant_id, ",
            "updated_at >= $1 ORDER BY updated_at LIMIT 1000"
        ))
        .bind(since.0)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter()
            .map(|owned| {
                let tenant = owned.tenant_id.parse();
                let unreadable = StoreError::Unreadable { what: "operation.tenant_id" };
                Ok((tenant.map_err(|_form| unreadable)?, owned.row.read()?))
            })
            .collect()
    }

    /// Marks operations that were under way as failed: their process is gone.
    pub async fn fail_operations(&self, error: &str) -> Result<u64, StoreError> {
        on!(self, |pool| sqlx::query(
            "UPDATE operation SET state = 'FAILED', error = $1, updated_at = $2 WHERE state = 'RUNNING' AND kind <> 'delete'"
        )
        .bind(error)
        .bind(Millis::now().0)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(StoreError::of)
    }
}

// === impl Work ===

impl Work {
    /// Stores an operation that begins.
    pub async fn insert_operation(
        &mut self,
        id: OperationId,
        pipeline: PipelineId,
        kind: OperationKind,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO operation (tenant_id, id, pipeline_id, kind, state, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
            self.tenant.text(),
            id.text(),
            pipeline.text(),
            kind.as_str(),
            OperationState::Running.as_str(),
            Millis::now().0,
        )
        .map(drop)
    }

    /// The operation that deletes a pipeline and is under way.
    pub async fn deletion(&mut self, pipeline: PipelineId) -> Result<Option<OperationId>, StoreError> {
        let row: Option<(String,)> = within!(self, |connection| sqlx::query_as(
            "SELECT id FROM operation WHERE tenant_id = $1 AND pipeline_id = $2 AND kind = 'delete' AND state = 'RUNNING'
             ORDER BY id LIMIT 1"
        )
        .bind(self.tenant.text())
        .bind(pipeline.text())
        .fetch_optional(connection)
        .await)
        .map_err(StoreError::of)?;
        let unreadable = StoreError::Unreadable { what: "operation.id" };
        row.map(|(id,)| id.parse().map_err(|_form| unreadable)).transpose()
    }

    /// Ends the operation that deletes a pipeline, if one is under way: nothing is left of it.
    pub async fn end_deletion(&mut self, pipeline: PipelineId, result: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "UPDATE operation SET state = 'SUCCEEDED', result = $3, updated_at = $4
             WHERE tenant_id = $1 AND pipeline_id = $2 AND kind = 'delete' AND state = 'RUNNING'",
            self.tenant.text(),
            pipeline.text(),
            result,
            Millis::now().0,
        )
        .map(drop)
    }
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// Stores the progress of an operation that is under way.
    pub async fn progress_operation(&self, id: OperationId, progress: &str) -> Result<(), StoreError> {
        on!(self.store, |pool| sqlx::query(
            "UPDATE operation SET progress = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2 AND state = 'RUNNING'"
        )
        .bind(self.tenant.text())
        .bind(id.text())
        .bind(progress)
        .bind(Millis::now().0)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// Ends an operation that is under way; whether it was.
    pub async fn end_operation(
        &self,
        id: OperationId,
        state: OperationState,
        result: Option<&str>,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let touched = on!(self.store, |pool| sqlx::query(
            "UPDATE operation SET state = $3, result = $4, error = $5, updated_at = $6
             WHERE tenant_id = $1 AND id = $2 AND state = 'RUNNING'"
        )
        .bind(self.tenant.text())
        .bind(id.text())
        .bind(state.as_str())
        .bind(result)
        .bind(error)
        .bind(Millis::now().0)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(StoreError::of)?;
        Ok(touched == 1)
    }

    /// One operation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn operation(&self, id: OperationId) -> Result<Operation, StoreError> {
        let row: Row = on!(self.store, |pool| sqlx::query_as(select!("", "tenant_id = $1 AND id = $2"))
            .bind(self.tenant.text())
            .bind(id.text())
            .fetch_one(pool)
            .await)
        .map_err(StoreError::of)?;
        row.read()
    }

    /// The operations before `before` (an id), newest first, at most `limit`; of one pipeline and one kind only, if they are
    /// given.
    pub async fn operations(
        &self,
        pipeline: Option<PipelineId>,
        kind: Option<OperationKind>,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Operation>, StoreError> {
        // Every id is less than the first text that is none.
        let rows: Vec<Row> = on!(self.store, |pool| sqlx::query_as(select!(
            "",
            "tenant_id = $1 AND id < $2 AND ($3 = '' OR pipeline_id = $3) AND ($4 = '' OR kind = $4) ORDER BY id DESC LIMIT $5"
        ))
        .bind(self.tenant.text())
        .bind(before.unwrap_or("g"))
        .bind(pipeline.map(PipelineId::text).unwrap_or_default())
        .bind(kind.map_or("", OperationKind::as_str))
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter().map(Row::read).collect()
    }
}

// === impl Row ===

impl Row {
    fn read(self) -> Result<Operation, StoreError> {
        let unreadable = |what| StoreError::Unreadable { what };
        let pipeline = self.pipeline_id.map(|id| id.parse()).transpose();
        Ok(Operation {
            id: self.id.parse().map_err(|_form| unreadable("operation.id"))?,
            pipeline: pipeline.map_err(|_form| unreadable("operation.pipeline_id"))?,
            kind: OperationKind::from_word(&self.kind).ok_or(unreadable("operation.kind"))?,
            state: OperationState::from_word(&self.state).ok_or(unreadable("operation.state"))?,
            progress: self.progress,
            result: self.result,
            error: self.error,
            created_at: Millis(self.created_at),
            updated_at: Millis(self.updated_at),
        })
    }
}

// === impl OperationKind ===

impl OperationKind {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            OperationKind::Verify => "verify",
            OperationKind::Resync => "resync",
            OperationKind::Tables => "tables",
            OperationKind::Delete => "delete",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        let all =
            [OperationKind::Verify, OperationKind::Resync, OperationKind::Tables, OperationKind::Delete];
        all.into_iter().find(|kind| kind.as_str() == word)
    }
}

// === impl OperationState ===

impl OperationState {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            OperationState::Running => "RUNNING",
            OperationState::Succeeded => "SUCCEEDED",
            OperationState::Failed => "FAILED",
            OperationState::Cancelled => "CANCELLED",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        let all = [
            OperationState::Running,
            OperationState::Succeeded,
            OperationState::Failed,
            OperationState::Cancelled,
        ];
        all.into_iter().find(|state| state.as_str() == word)
    }
}
