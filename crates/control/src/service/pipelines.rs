//! Pipelines: what is desired of them. The reconciler makes it true.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::record::Line;
use super::{Actor, Control, Page, PageOf};
use crate::access::Right;
use crate::engine::{Endpoint, Job, Watch};
use crate::error::ControlError;
use crate::field::{FieldError, Findings};
use crate::id::{ConnectionId, OperationId, PipelineId, TenantId};
use crate::lifecycle::{Command, Desired, Event, InvalidState, State, desired_after, next};
use crate::pipeline_spec::{PipelineSpec, check_name};
use crate::report::{ErrorReport, Trouble};
use crate::store::{ConnectionKind, EngineName, NewPipeline, OperationKind, Pipeline, StoreError, Work};

/// Attempts to move a pipeline that its reports move at the same time.
const ATTEMPTS: usize = 10;

/// A pipeline as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineView {
    /// As it is stored.
    pub stored: Pipeline,
    /// What it replicates and how.
    pub spec: PipelineSpec,
    /// Its last error.
    pub error: Option<ErrorReport>,
    /// What its engine says of itself, or said last.
    pub progress: Option<Value>,
    /// The version whose settings the run on this node has; less than [`Pipeline::version`] until a change of them has
    /// come about. `None` where nothing runs.
    pub observed_version: Option<i64>,
}

/// The run of a pipeline on this node.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    watch: Arc<Watch>,
    /// The settings with which it began, as JSON, and their version.
    spec: String,
    version: i64,
}

/// A pipeline that is to be made.
#[derive(Debug, Clone)]
pub struct PipelineRequest {
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub engine: EngineName,
    /// Where rows come from.
    pub source: ConnectionId,
    /// Where they go.
    pub target: ConnectionId,
    /// What it replicates and how.
    pub spec: PipelineSpec,
    /// The hash of the plan that was agreed to.
    pub plan_hash: Option<String>,
    /// Whether it shall run at once.
    pub start: bool,
}

// === impl Control ===

impl Control {
    /// The tenant's pipelines, in the order of their names.
    ///
    /// # Errors
    /// The store's.
    pub async fn pipelines(
        &self,
        actor: &Actor,
        page: PageOf<'_>,
    ) -> Result<Page<PipelineView>, ControlError> {
        actor.may(Right::View)?;
        let found = self.of(actor).pipelines(page.after, page.rows()).await?;
        let views = found.into_iter().map(|stored| self.view(stored)).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::of(views, page, |view| view.stored.name.key()))
    }

    /// One pipeline.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn pipeline(&self, actor: &Actor, id: PipelineId) -> Result<PipelineView, ControlError> {
        actor.may(Right::View)?;
        self.view(self.of(actor).pipeline(id).await?)
    }

    /// Makes a pipeline. Nothing is made at either server before it is started.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NAME_TAKEN`, `PLAN_STALE`, and all that is wrong with its fields.
    pub async fn create_pipeline(
        &self,
        actor: &Actor,
        request: PipelineRequest,
    ) -> Result<PipelineView, ControlError> {
        let id = PipelineId::generate();
        let mut line = Line::of(actor, "pipeline.create", format!("pipeline/{id}"));
        let outcome = async {
            actor.may(Right::Edit)?;
            self.check_request(actor, &request).await?;
            if let Some(agreed) = &request.plan_hash {
                let plan = self.plan_of(actor, &request).await?;
                if plan.get("hash").and_then(Value::as_str) != Some(agreed) {
                    return Err(ControlError::PlanStale);
                }
            }
            line.after = Some(json!({
                "name": request.name, "engine": request.engine, "source": request.source, "target": request.target,
                "spec": request.spec, "start": request.start,
            }));
            let new = NewPipeline {
                id,
                name: request.name.parse()?,
                engine: request.engine,
                source: request.source,
                target: request.target,
                spec: text_of(&request.spec)?,
            };
            let mut work = self.of(actor).begin().await?;
            work.insert_pipeline(&new).await?;
            if request.start {
                ask(&mut work, id, Command::Start).await?;
            }
            self.commit(work, &mut line).await?;
            self.pipeline(actor, id).await
        }
        .await;
        let made = self.record(line, outcome).await?;
        self.wake();
        Ok(made)
    }

    /// Whether a request can become a pipeline.
    pub(super) async fn check_request(
        &self,
        actor: &Actor,
        request: &PipelineRequest,
    ) -> Result<(), ControlError> {
        let mut findings = Findings::default();
        findings.take("name", check_name(&request.name));
        for (field, id, kind) in [
            ("source_id", request.source, ConnectionKind::Postgres),
            ("target_id", request.target, ConnectionKind::SqlServer),
        ] {
            match self.of(actor).connection(id).await {
                Ok(found) if found.kind == kind => {}
                Ok(_other) => findings.add(field, FieldError::ConnectionKind { needed: kind.as_str() }),
                Err(StoreError::NotFound) => findings.add(field, FieldError::NoConnection),
                Err(error) => return Err(error.into()),
            }
        }
        if let Err(problems) = request.spec.check() {
            problems.all().for_each(|problem| findings.push(problem.clone()));
        }
        Ok(findings.finish()?)
    }

    /// Changes what a pipeline replicates and how. One that runs ends at a transaction's end and begins anew with it; else it
    /// counts from the next start on.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `INVALID_STATE` while it is deleted, `VERSION_CONFLICT`, and all that is wrong with its fields.
    pub async fn change_pipeline(
        &self,
        actor: &Actor,
        id: PipelineId,
        change: impl FnOnce(PipelineSpec) -> PipelineSpec + Send,
        version: Option<i64>,
    ) -> Result<PipelineView, ControlError> {
        let mut line = Line::of(actor, "pipeline.change", format!("pipeline/{id}"));
        let outcome = async {
            actor.may(Right::Edit)?;
            let before = self.pipeline(actor, id).await?;
            let spec = change(before.spec.clone());
            line.before = Some(json!({"spec": before.spec}));
            line.after = Some(json!({"spec": spec}));
            spec.check()?;
            if before.stored.state == State::Deleting {
                let event = Event::Asked(Command::Restart);
                return Err(InvalidState { state: State::Deleting, event }.into());
            }
            let version = version.unwrap_or(before.stored.version);
            let mut work = self.of(actor).begin().await?;
            work.update_pipeline(id, &text_of(&spec)?, version).await?;
            self.commit(work, &mut line).await?;
            self.pipeline(actor, id).await
        }
        .await;
        let changed = self.record(line, outcome).await?;
        self.wake();
        Ok(changed)
    }

    /// Asks something of a pipeline. What is desired is stored when this returns; that it comes about takes a while.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `INVALID_STATE`.
    pub async fn command(
        &self,
        actor: &Actor,
        id: PipelineId,
        command: Command,
    ) -> Result<PipelineView, ControlError> {
        let mut line = Line::of(actor, action_of(command), format!("pipeline/{id}"));
        let outcome = async {
            actor.may(Right::Operate)?;
            let mut work = self.of(actor).begin().await?;
            asked(&mut line, ask(&mut work, id, command).await?);
            self.commit(work, &mut line).await?;
            self.pipeline(actor, id).await
        }
        .await;
        let view = self.record(line, outcome).await?;
        self.wake();
        Ok(view)
    }

    /// Deletes a pipeline that rests, with what was made for it at the source and its state in the target. The target's
    /// tables stay. Says which operation does it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `INVALID_STATE` while it runs.
    pub async fn delete_pipeline(&self, actor: &Actor, id: PipelineId) -> Result<OperationId, ControlError> {
        let mut line = Line::of(actor, action_of(Command::Delete), format!("pipeline/{id}"));
        let outcome = async {
            actor.may(Right::Edit)?;
            let mut work = self.of(actor).begin().await?;
            asked(&mut line, ask(&mut work, id, Command::Delete).await?);
            // Asking twice finds the first under way.
            let operation = match work.deletion(id).await? {
                Some(found) => found,
                None => {
                    let operation = OperationId::generate();
                    work.insert_operation(operation, id, OperationKind::Delete).await?;
                    operation
                }
            };
            self.commit(work, &mut line).await?;
            Ok(operation)
        }
        .await;
        let operation = self.record(line, outcome).await?;
        self.wake();
        Ok(operation)
    }

    /// Forgets a pipeline without touching either server, for when one of them is gone for good. It must rest, or be being
    /// deleted.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `INVALID_STATE` while it runs.
    pub async fn forget_pipeline(&self, actor: &Actor, id: PipelineId) -> Result<(), ControlError> {
        let mut line = Line::of(actor, "pipeline.forget", format!("pipeline/{id}"));
        let outcome = async {
            actor.may(Right::Edit)?;
            let mut work = self.of(actor).begin().await?;
            ask(&mut work, id, Command::Delete).await?;
            work.forget_pipeline(id).await?;
            work.end_deletion(id, &json!({"done": false, "forgotten": true}).to_string()).await?;
            self.commit(work, &mut line).await
        }
        .await;
        self.record(line, outcome).await
    }

    /// Nothing of a pipeline is left: its row goes, and the operation that deleted it ends.
    pub(crate) async fn pipeline_is_gone(
        &self,
        tenant: TenantId,
        id: PipelineId,
        report: &Value,
    ) -> Result<(), ControlError> {
        let mut work = self.store.tenant(tenant).begin().await?;
        work.forget_pipeline(id).await?;
        work.end_deletion(id, &report.to_string()).await?;
        Ok(work.commit().await?)
    }

    /// Where a pipeline stands, asked of both servers now.
    ///
    /// # Errors
    /// `NOT_FOUND`, and what keeps the servers from being asked.
    pub async fn pipeline_status(&self, actor: &Actor, id: PipelineId) -> Result<Value, ControlError> {
        actor.may(Right::View)?;
        let job = self.job_of(actor, id).await?;
        let _place = self.probe_place()?;
        Ok(self.engines.status(&job).await?)
    }

    /// All that it takes to work on a pipeline of the actor's tenant.
    pub(super) async fn job_of(&self, actor: &Actor, id: PipelineId) -> Result<Job, ControlError> {
        let stored = self.of(actor).pipeline(id).await?;
        Ok(self.job(actor.tenant.id, &stored).await?)
    }

    /// Every pipeline that somebody may see, with the name of its tenant: of all tenants for who manages them.
    ///
    /// # Errors
    /// The store's.
    pub async fn observed(&self, actor: &Actor) -> Result<Vec<(String, PipelineView)>, ControlError> {
        actor.may(Right::View)?;
        let names: HashMap<TenantId, String> = if actor.is_super {
            let all = self.store.tenants(None, i64::MAX).await?;
            all.into_iter().map(|tenant| (tenant.id, tenant.name.to_string())).collect()
        } else {
            HashMap::from([(actor.tenant.id, actor.tenant.name.to_string())])
        };
        let all = self.store.all_pipelines().await?.into_iter();
        all.filter_map(|(tenant, stored)| Some((names.get(&tenant)?.clone(), stored)))
            .map(|(tenant, stored)| Ok((tenant, self.view(stored)?)))
            .collect()
    }

    /// All that it takes to work on a pipeline.
    ///
    /// # Errors
    /// When a connection's secret does not open, or the store cannot be read.
    pub(crate) async fn job(&self, tenant: TenantId, pipeline: &Pipeline) -> Result<Job, ErrorReport> {
        let failed = |error: ControlError| ErrorReport::of(&error, Trouble::Failed);
        let spec = spec_of(&pipeline.spec).map_err(failed)?;
        let source = self.endpoint(tenant, pipeline.source).await.map_err(failed)?;
        let target = self.endpoint(tenant, pipeline.target).await.map_err(failed)?;
        Ok(Job { name: pipeline.name.to_string(), engine: pipeline.engine, source, target, spec })
    }

    /// A server, with its password opened.
    pub(super) async fn endpoint(
        &self,
        tenant: TenantId,
        id: ConnectionId,
    ) -> Result<Endpoint, ControlError> {
        let stored = self.store.tenant(tenant).connection(id).await?;
        let password = match &stored.sealed {
            Some(sealed) => Some(self.open_for(tenant, id, sealed)?),
            None => None,
        };
        let unreadable = StoreError::Unreadable { what: "connection.settings" };
        let settings = serde_json::from_str(&stored.settings).map_err(|_form| unreadable)?;
        Ok(Endpoint { settings, password })
    }

    /// A pipeline as it is shown.
    fn view(&self, stored: Pipeline) -> Result<PipelineView, ControlError> {
        Ok(PipelineView {
            spec: spec_of(&stored.spec)?,
            error: stored.error.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            progress: self.progress_of(&stored),
            observed_version: self.watched(stored.id).map(|watched| watched.version_of(&stored)),
            stored,
        })
    }

    /// What the engine of a pipeline says of itself, or said last.
    pub(crate) fn progress_of(&self, stored: &Pipeline) -> Option<Value> {
        let live = self
            .watched(stored.id)
            .map(|watched| watched.watch.seen().progress)
            .filter(|seen| !seen.is_null());
        live.or_else(|| stored.report.as_deref().and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Sets or removes what the run of a pipeline on this node shows of itself.
    pub(crate) fn watch(&self, id: PipelineId, watch: Option<Watched>) {
        let mut watches = self.watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match watch {
            Some(watch) => watches.insert(id, watch),
            None => watches.remove(&id),
        };
    }

    /// What the run of a pipeline on this node shows of itself.
    fn watched(&self, id: PipelineId) -> Option<Watched> {
        self.watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&id).cloned()
    }
}

// === impl Watched ===

impl Watched {
    /// A run that begins with what is stored.
    pub(crate) fn of(pipeline: &Pipeline, watch: Arc<Watch>) -> Self {
        Watched { watch, spec: pipeline.spec.clone(), version: pipeline.version }
    }

    /// The version of the stored pipeline whose settings it has. A change that leaves them as they are has come about at once.
    fn version_of(&self, stored: &Pipeline) -> i64 {
        if self.spec == stored.spec { stored.version } else { self.version }
    }
}

/// Where a pipeline stands, and what is desired of it.
type Standing = (Desired, State);

/// Moves a pipeline by a command, against whatever its reports do meanwhile.
async fn ask(
    work: &mut Work,
    id: PipelineId,
    command: Command,
) -> Result<(Standing, Standing), ControlError> {
    let mut last = StoreError::NotFound;
    for _attempt in 0..ATTEMPTS {
        let found = work.pipeline(id).await?;
        let from = (found.desired, found.state);
        let to = (desired_after(command), next(found.state, Event::Asked(command))?);
        // A pipeline that is started anew begins without its old error.
        let error = if to.1 == State::Unassigned { None } else { found.error.as_deref() };
        match work.move_pipeline(id, from, to, error).await {
            Ok(()) => return Ok((from, to)),
            Err(error @ StoreError::Changed { .. }) => last = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

/// Has a line say where a pipeline stood and stands.
fn asked(line: &mut Line, (before, after): (Standing, Standing)) {
    line.before = Some(json!({"desired": before.0, "state": before.1}));
    line.after = Some(json!({"desired": after.0, "state": after.1}));
}

/// What the audit log calls a command.
const fn action_of(command: Command) -> &'static str {
    match command {
        Command::Start => "pipeline.start",
        Command::Pause => "pipeline.pause",
        Command::Resume => "pipeline.resume",
        Command::Stop => "pipeline.stop",
        Command::Restart => "pipeline.restart",
        Command::Delete => "pipeline.delete",
    }
}

fn text_of(spec: &PipelineSpec) -> Result<String, ControlError> {
    serde_json::to_string(spec).map_err(|_form| StoreError::Unreadable { what: "pipeline.spec" }.into())
}

fn spec_of(text: &str) -> Result<PipelineSpec, ControlError> {
    serde_json::from_str(text).map_err(|_form| StoreError::Unreadable { what: "pipeline.spec" }.into())
}
