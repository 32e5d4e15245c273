//! Questions to the servers themselves: whether a connection works, which tables there are, what a pipeline would do.

use std::sync::Arc;

use segcdc_model::Secret;
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::connections::checked;
use super::pipelines::PipelineRequest;
use super::record::Line;
use super::{Actor, Control};
use crate::access::Right;
use crate::connection::Draft;
use crate::engine::{Endpoint, Engines, Job, TableQuery};
use crate::error::ControlError;
use crate::field::{FieldError, FieldProblems};
use crate::id::ConnectionId;
use crate::store::ConnectionKind;
use crate::token;

// === impl Control ===

impl Control {
    /// The engines.
    pub(crate) fn engines(&self) -> &Arc<dyn Engines> {
        &self.engines
    }

    /// Tries a connection that is not stored.
    ///
    /// # Errors
    /// `FORBIDDEN`, all that is wrong with its fields, and why the server cannot be reached or does not let us in.
    pub async fn test_draft(
        &self,
        actor: &Actor,
        kind: ConnectionKind,
        draft: &Draft,
        password: Option<Secret<String>>,
    ) -> Result<Value, ControlError> {
        let mut line = Line::of(actor, "connection.test", "connection");
        let outcome = async {
            actor.may(Right::Edit)?;
            let settings = checked(draft, kind, password.as_ref())?;
            line.after = Some(json!({"settings": settings}));
            self.test(&Endpoint { settings, password }).await
        }
        .await;
        self.record(line, outcome).await
    }

    /// Tries a connection.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, and why the server cannot be reached or does not let us in.
    pub async fn test_connection(&self, actor: &Actor, id: ConnectionId) -> Result<Value, ControlError> {
        let line = Line::of(actor, "connection.test", format!("connection/{id}"));
        let outcome = async {
            actor.may(Right::Operate)?;
            let endpoint = self.endpoint(actor.tenant.id, id).await?;
            self.test(&endpoint).await
        }
        .await;
        self.record(line, outcome).await
    }

    async fn test(&self, endpoint: &Endpoint) -> Result<Value, ControlError> {
        let _place = self.probe_place()?;
        Ok(self.engines.test(endpoint).await?)
    }

    /// The tables of a source.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONNECTION_KIND` for a target, and why the server cannot be asked.
    pub async fn source_tables(
        &self,
        actor: &Actor,
        id: ConnectionId,
        query: &TableQuery,
    ) -> Result<Value, ControlError> {
        actor.may(Right::View)?;
        let endpoint = self.endpoint(actor.tenant.id, id).await?;
        if endpoint.settings.kind() != ConnectionKind::Postgres {
            let error = FieldError::ConnectionKind { needed: ConnectionKind::Postgres.as_str() };
            return Err(FieldProblems::one("id", error).into());
        }
        let _place = self.probe_place()?;
        Ok(self.engines.tables(&endpoint, query).await?)
    }

    /// What a pipeline would do, with the hash by which it can be agreed to. Changes nothing.
    ///
    /// # Errors
    /// `FORBIDDEN`, all that is wrong with its fields, and why the servers cannot be asked.
    pub async fn plan(&self, actor: &Actor, request: &PipelineRequest) -> Result<Value, ControlError> {
        actor.may(Right::Edit)?;
        self.check_request(actor, request).await?;
        self.plan_of(actor, request).await
    }

    pub(super) async fn plan_of(
        &self,
        actor: &Actor,
        request: &PipelineRequest,
    ) -> Result<Value, ControlError> {
        let tenant = actor.tenant.id;
        let job = Job {
            name: request.name.clone(),
            engine: request.engine,
            source: self.endpoint(tenant, request.source).await?,
            target: self.endpoint(tenant, request.target).await?,
            spec: request.spec.clone(),
        };
        let _place = self.probe_place()?;
        let plan = self.engines.plan(&job).await?;
        let ready = plan.failures.is_empty();
        Ok(
            json!({"hash": hash_of(&plan.document), "ready": ready, "failures": plan.failures, "plan": plan.document}),
        )
    }

    /// A place among those that ask servers at once: each holds a connection, and may wait for it.
    pub(super) fn probe_place(&self) -> Result<SemaphorePermit<'_>, ControlError> {
        self.probes.try_acquire().map_err(|_full| ControlError::Busy)
    }
}

/// The hash of what a plan does: of tables, columns, names and statements, and not of how many rows there are just now.
fn hash_of(document: &Value) -> String {
    let parts = ["tables", "rules", "sql", "slot", "publication"];
    let part = |name: &str| (name.to_owned(), document.get(name).cloned().unwrap_or_default());
    let mut done = Value::Object(parts.map(part).into_iter().collect());
    for table in done.get_mut("tables").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = table.as_object_mut() {
            fields.remove("estimated_rows");
            fields.remove("size_bytes");
        }
    }
    token::hash_bytes(done.to_string().as_bytes())
}
