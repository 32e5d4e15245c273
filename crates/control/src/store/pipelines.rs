//! Pipelines: what is desired of them, and where they stand.

use serde::{Deserialize, Serialize};

use super::work::{Work, execute, within};
use super::{Store, StoreError, TenantStore, on};
use crate::clock::Millis;
use crate::id::{ConnectionId, PipelineId, TenantId};
use crate::lifecycle::{Desired, State};
use crate::name::ResourceName;

/// Who runs a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineName {
    /// This program.
    Native,
    /// Connectors on a Kafka Connect cluster.
    KafkaConnect,
}

/// A pipeline as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// Its name, unique in the tenant, and the key of its state in the target.
    pub name: ResourceName,
    /// Who runs it.
    pub engine: EngineName,
    /// Where rows come from.
    pub source: ConnectionId,
    /// Where they go.
    pub target: ConnectionId,
    /// Tables, rules and options, as JSON.
    pub spec: String,
    /// What was asked for last.
    pub desired: Desired,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Millis,
    /// Its last error, as the JSON of the one error object.
    pub error: Option<String>,
    /// What its engine reported last, as JSON.
    pub report: Option<String>,
    /// Grows with each change by a person; reports leave it.
    pub version: i64,
    /// When it was made.
    pub created_at: Millis,
    /// When a person changed it last.
    pub updated_at: Millis,
}

/// A pipeline that is to be stored, stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPipeline {
    /// Its id.
    pub id: PipelineId,
    /// Its name.
    pub name: ResourceName,
    /// Who runs it.
    pub engine: EngineName,
    /// Where rows come from.
    pub source: ConnectionId,
    /// Where they go.
    pub target: ConnectionId,
    /// Tables, rules and options, as JSON.
    pub spec: String,
}

/// A row of `select!`.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    engine: String,
    source_id: String,
    target_id: String,
    spec: String,
    desired: String,
    state: String,
    since: i64,
    error: Option<String>,
    report: Option<String>,
    version: i64,
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

/// What is selected of a pipeline.
macro_rules! select {
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $more,
            "id, name, engine, source_id, target_id, spec, desired, state, since, error, report, version, created_at, updated_at
             FROM pipeline ",
            $rest
        )
    };
}

// === impl Store ===

impl Store {
    /// Every pipeline of every tenant: for who makes true what is desired of them.
    pub(crate) async fn all_pipelines(&self) -> Result<Vec<(TenantId, Pipeline)>, StoreError> {
        let rows: Vec<OwnedRow> =
            on!(self, |pool| sqlx::query_as(select!("tenant_id, ", "ORDER BY tenant_id, id"))
                .fetch_all(pool)
                .await)
            .map_err(StoreError::of)?;
        rows.into_iter()
            .map(|owned| {
                let tenant = owned.tenant_id.parse();
                let unreadable = StoreError::Unreadable { what: "pipeline.tenant_id" };
                Ok((tenant.map_err(|_form| unreadable)?, owned.row.read()?))
            })
            .collect()
    }
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// One pipeline.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn pipeline(&self, id: PipelineId) -> Result<Pipeline, StoreError> {
        let row: Row =
            on!(self.store, |pool| sqlx::query_as(select!("", "WHERE tenant_id = $1 AND id = $2"))
                .bind(self.tenant.text())
                .bind(id.text())
                .fetch_one(pool)
                .await)
            .map_err(StoreError::of)?;
        row.read()
    }

    /// The pipelines behind `after` in the order of their names, at most `limit`.
    pub async fn pipelines(&self, after: Option<&str>, limit: i64) -> Result<Vec<Pipeline>, StoreError> {
        let rows: Vec<Row> = on!(self.store, |pool| sqlx::query_as(select!(
            "",
            "WHERE tenant_id = $1 AND name_key > $2 ORDER BY name_key LIMIT $3"
        ))
        .bind(self.tenant.text())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Stores what the engine of a pipeline says of itself.
    pub async fn note_report(&self, id: PipelineId, report: &str) -> Result<(), StoreError> {
        on!(self.store, |pool| sqlx::query(
            "UPDATE pipeline SET report = $3 WHERE tenant_id = $1 AND id = $2"
        )
        .bind(self.tenant.text())
        .bind(id.text())
        .bind(report)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// Stores an error of a pipeline that stays where it stands.
    pub async fn note_error(&self, id: PipelineId, error: Option<&str>) -> Result<(), StoreError> {
        on!(self.store, |pool| sqlx::query("UPDATE pipeline SET error = $3 WHERE tenant_id = $1 AND id = $2")
            .bind(self.tenant.text())
            .bind(id.text())
            .bind(error)
            .execute(pool)
            .await
            .map(drop))
        .map_err(StoreError::of)
    }

    /// Moves a pipeline as its run reports: [`Work::move_pipeline`] alone.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when it stands elsewhere by now: read it again and decide again.
    pub async fn move_pipeline(
        &self,
        id: PipelineId,
        from: (Desired, State),
        to: (Desired, State),
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut work = self.begin().await?;
        work.move_pipeline(id, from, to, error).await?;
        work.commit().await
    }
}

// === impl Work ===

impl Work {
    /// Stores a new pipeline; it is stopped.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::InUseByPipeline`] when a connection is none of this tenant's.
    pub async fn insert_pipeline(&mut self, new: &NewPipeline) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO pipeline
                 (tenant_id, id, name, name_key, engine, source_id, target_id, spec, desired, state, since, version,
                  created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $11, $11)",
            self.tenant.text(),
            new.id.text(),
            new.name.as_str(),
            new.name.key(),
            new.engine.as_str(),
            new.source.text(),
            new.target.text(),
            &new.spec,
            Desired::Stopped.as_str(),
            State::Stopped.as_str(),
            Millis::now().0,
        )
        .map(drop)
    }

    /// One pipeline, as it is within this work.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn pipeline(&mut self, id: PipelineId) -> Result<Pipeline, StoreError> {
        let row: Row =
            within!(self, |connection| sqlx::query_as(select!("", "WHERE tenant_id = $1 AND id = $2"))
                .bind(self.tenant.text())
                .bind(id.text())
                .fetch_one(connection)
                .await)
            .map_err(StoreError::of)?;
        row.read()
    }

    /// Replaces what the pipeline of version `version` replicates and how, unless it is being deleted.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when it was changed meanwhile, [`StoreError::NotFound`].
    pub async fn update_pipeline(
        &mut self,
        id: PipelineId,
        spec: &str,
        version: i64,
    ) -> Result<(), StoreError> {
        let touched = execute!(
            self,
            "UPDATE pipeline SET spec = $3, version = version + 1, updated_at = $4
             WHERE tenant_id = $1 AND id = $2 AND version = $5 AND state <> $6",
            self.tenant.text(),
            id.text(),
            spec,
            Millis::now().0,
            version,
            State::Deleting.as_str(),
        )?;
        self.one_or_changed(id, touched).await
    }

    /// Moves a pipeline from one state to another, if it still stands there. `desired` is stored with it when a person
    /// asked, and then its version grows.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when it stands elsewhere by now: read it again and decide again.
    pub async fn move_pipeline(
        &mut self,
        id: PipelineId,
        from: (Desired, State),
        to: (Desired, State),
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let by_person = i64::from(from.0 != to.0);
        let touched = execute!(
            self,
            "UPDATE pipeline
             SET desired = $5, state = $6, error = $7, version = version + $8,
                 since = CASE WHEN state = $6 THEN since ELSE $9 END,
                 updated_at = CASE WHEN $8 = 1 THEN $9 ELSE updated_at END
             WHERE tenant_id = $1 AND id = $2 AND desired = $3 AND state = $4",
            self.tenant.text(),
            id.text(),
            from.0.as_str(),
            from.1.as_str(),
            to.0.as_str(),
            to.1.as_str(),
            error,
            by_person,
            Millis::now().0,
        )?;
        self.one_or_changed(id, touched).await
    }

    /// Whether the one pipeline was touched; else what it is now.
    async fn one_or_changed(&mut self, id: PipelineId, touched: u64) -> Result<(), StoreError> {
        if touched == 1 {
            return Ok(());
        }
        Err(StoreError::Changed { found: self.pipeline(id).await?.version })
    }

    /// Deletes the row of a pipeline that is being removed and whose things are gone.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that is being removed.
    pub async fn forget_pipeline(&mut self, id: PipelineId) -> Result<(), StoreError> {
        let sql = "DELETE FROM pipeline WHERE tenant_id = $1 AND id = $2 AND state = $3";
        match execute!(self, sql, self.tenant.text(), id.text(), State::Deleting.as_str())? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }
}

// === impl Row ===

impl Row {
    fn read(self) -> Result<Pipeline, StoreError> {
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Pipeline {
            id: self.id.parse().map_err(|_form| unreadable("pipeline.id"))?,
            name: self.name.parse().map_err(|_form| unreadable("pipeline.name"))?,
            engine: EngineName::from_word(&self.engine).ok_or(unreadable("pipeline.engine"))?,
            source: self.source_id.parse().map_err(|_form| unreadable("pipeline.source_id"))?,
            target: self.target_id.parse().map_err(|_form| unreadable("pipeline.target_id"))?,
            spec: self.spec,
            desired: Desired::from_word(&self.desired).ok_or(unreadable("pipeline.desired"))?,
            state: State::from_word(&self.state).ok_or(unreadable("pipeline.state"))?,
            since: Millis(self.since),
            error: self.error,
            report: self.report,
            version: self.version,
            created_at: Millis(self.created_at),
            updated_at: Millis(self.updated_at),
        })
    }
}

// === impl EngineName ===

impl EngineName {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            EngineName::Native => "native",
            EngineName::KafkaConnect => "kafka-connect",
        }
    }

    /// What a stored word means.
    pub fn from_word(word: &str) -> Option<Self> {
        [EngineName::Native, EngineName::KafkaConnect].into_iter().find(|engine| engine.as_str() == word)
    }
}
