//! Operations: what takes a while. They are begun by a request, go on without it, and are asked for by their id.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::record::Line;
use super::{Actor, Control, Page, PageOf};
use crate::access::Right;
use crate::engine::{Job, TableRequest, TableVerb, VerifyRequest};
use crate::error::ControlError;
use crate::id::{OperationId, PipelineId};
use crate::lifecycle::State;
use crate::report::{ErrorReport, Trouble};
use crate::store::{Operation, OperationKind, OperationState};

/// Time between two stored progresses of an operation.
const PERIOD: Duration = Duration::from_secs(1);

/// What an operation does, and with what.
#[derive(Debug, Clone)]
enum Order {
    Verify(VerifyRequest),
    Resync(Vec<String>),
    Ask(TableRequest),
}

// === impl Control ===

impl Control {
    /// The tenant's operations, newest first; of one pipeline, if one is given.
    ///
    /// # Errors
    /// The store's.
    pub async fn operations(
        &self,
        actor: &Actor,
        pipeline: Option<PipelineId>,
        page: PageOf<'_>,
    ) -> Result<Page<Operation>, ControlError> {
        actor.may(Right::View)?;
        self.operations_of(actor, pipeline, None, page).await
    }

    /// Operations of a pipeline and of a kind, where they are given.
    pub(super) async fn operations_of(
        &self,
        actor: &Actor,
        pipeline: Option<PipelineId>,
        kind: Option<OperationKind>,
        page: PageOf<'_>,
    ) -> Result<Page<Operation>, ControlError> {
        let found = self.of(actor).operations(pipeline, kind, page.after, page.rows()).await?;
        let shown = found.into_iter().map(|operation| without_rows(actor, operation)).collect();
        Ok(Page::of(shown, page, |operation| operation.id.text()))
    }

    /// One operation. What came of a comparison names rows by their keys, and is shown to who may see rows.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn operation(&self, actor: &Actor, id: OperationId) -> Result<Operation, ControlError> {
        actor.may(Right::View)?;
        Ok(without_rows(actor, self.of(actor).operation(id).await?))
    }

    /// Ends an operation that is under way. A deletion goes on.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `OPERATION_OVER`.
    pub async fn cancel_operation(&self, actor: &Actor, id: OperationId) -> Result<(), ControlError> {
        let line = Line::of(actor, "operation.cancel", format!("operation/{id}"));
        let outcome = async {
            actor.may(Right::Operate)?;
            let found = self.of(actor).operation(id).await?;
            let known = self.ordered.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
            match known {
                Some(token) if found.state == OperationState::Running => {
                    token.cancel();
                    Ok(())
                }
                _ => Err(ControlError::OperationOver),
            }
        }
        .await;
        self.record(line, outcome).await
    }

    /// Begins to compare source and target of a pipeline.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn verify_pipeline(
        self: &Arc<Self>,
        actor: &Actor,
        id: PipelineId,
        request: VerifyRequest,
    ) -> Result<Operation, ControlError> {
        self.order(actor, id, "pipeline.verify", Order::Verify(request)).await
    }

    /// Has tables of a pipeline that rests copied again when it starts next. One that runs is asked ([`Control::ask_tables`]).
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `INVALID_STATE` while it runs.
    pub async fn resync_pipeline(
        self: &Arc<Self>,
        actor: &Actor,
        id: PipelineId,
        tables: Vec<String>,
    ) -> Result<Operation, ControlError> {
        self.order(actor, id, "pipeline.resync", Order::Resync(tables)).await
    }

    /// Asks something of tables of a pipeline, which is done while it runs, or when it starts next.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn ask_tables(
        self: &Arc<Self>,
        actor: &Actor,
        id: PipelineId,
        request: TableRequest,
    ) -> Result<Operation, ControlError> {
        let action = match request.verb {
            TableVerb::Pause => "pipeline.tables.pause",
            TableVerb::Resume => "pipeline.tables.resume",
            TableVerb::Resync(_) => "pipeline.tables.resync",
            TableVerb::Add => "pipeline.tables.add",
            TableVerb::Remove { .. } => "pipeline.tables.remove",
        };
        self.order(actor, id, action, Order::Ask(request)).await
    }

    async fn order(
        self: &Arc<Self>,
        actor: &Actor,
        id: PipelineId,
        action: &'static str,
        order: Order,
    ) -> Result<Operation, ControlError> {
        let mut line = Line::of(actor, action, format!("pipeline/{id}"));
        let outcome = async {
            actor.may(order.right())?;
            let store = self.of(actor);
            let stored = store.pipeline(id).await?;
            let kind = match &order {
                Order::Verify(request) => {
                    line.after = Some(json!({"tables": request.tables}));
                    OperationKind::Verify
                }
                Order::Resync(tables) => {
                    line.after = Some(json!({"tables": tables}));
                    if !matches!(stored.state, State::Stopped | State::Paused | State::Failed) {
                        return Err(ControlError::NotAtRest { state: stored.state.as_str() });
                    }
                    OperationKind::Resync
                }
                Order::Ask(request) => {
                    line.after = Some(asked(request));
                    OperationKind::Tables
                }
            };
            let job = self.job(actor.tenant.id, &stored).await?;
            let operation = OperationId::generate();
            let mut work = store.begin().await?;
            work.insert_operation(operation, id, kind).await?;
            self.commit(work, &mut line).await?;
            self.begin(actor, operation, job, order);
            Ok(store.operation(operation).await?)
        }
        .await;
        self.record(line, outcome).await
    }

    /// Begins the work of an operation, under supervision: one that panics has failed.
    fn begin(self: &Arc<Self>, actor: &Actor, id: OperationId, job: Job, order: Order) {
        let token = CancellationToken::new();
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner).insert(id, token.clone());
        let (control, tenant) = (Arc::clone(self), actor.tenant.id);
        let progress: Arc<Mutex<Option<Value>>> = Arc::default();
        let (shown, engines) = (Arc::clone(&progress), Arc::clone(&self.engines));
        let mut work = tokio::spawn(async move {
            match order {
                Order::Verify(request) => {
                    let show =
                        move |value| *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                    engines.verify(&job, &request, &show).await
                }
                Order::Resync(tables) => engines.resync(&job, &tables).await,
                Order::Ask(request) => engines.ask(&job, &request).await,
            }
        });
        tokio::spawn(async move {
            let store = control.store.tenant(tenant);
            let mut ticks = tokio::time::interval(PERIOD);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut work => break Some(outcome),
                    () = token.cancelled() => break None,
                    _ = ticks.tick() => {
                        let seen = progress.lock().unwrap_or_else(PoisonError::into_inner).take();
                        if let Some(seen) = seen {
                            // A progress that could not be stored is followed by another one.
                            store.progress_operation(id, &seen.to_string()).await.ok();
                        }
                    }
                }
            };
            let broken = || ErrorReport::of(&ControlError::TaskBroken, Trouble::Failed);
            let ended = match outcome.map(|joined| joined.unwrap_or_else(|_panic| Err(broken()))) {
                None => {
                    work.abort();
                    store.end_operation(id, OperationState::Cancelled, None, None).await
                }
                Some(Ok(result)) => {
                    let text = result.to_string();
                    store.end_operation(id, OperationState::Succeeded, Some(&text), None).await
                }
                Some(Err(error)) => {
                    store.end_operation(id, OperationState::Failed, None, Some(&error.to_json())).await
                }
            };
            if let Err(error) = ended {
                tracing::error!(operation = %id, error = %segcdc_model::fault::chain(&error), "the end of an operation could not be stored");
            }
            control.ordered.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }
}

// === impl Order ===

impl Order {
    /// What it takes: other tables are another pipeline.
    fn right(&self) -> Right {
        match self {
            Order::Ask(TableRequest { verb: TableVerb::Add | TableVerb::Remove { .. }, .. }) => Right::Edit,
            Order::Verify(_) | Order::Resync(_) | Order::Ask(_) => Right::Operate,
        }
    }
}

/// What is asked of tables, for the audit log.
fn asked(request: &TableRequest) -> Value {
    match request.verb {
        TableVerb::Remove { drop_target: true } => json!({"tables": request.tables, "drop_target": true}),
        TableVerb::Pause
        | TableVerb::Resume
        | TableVerb::Resync(_)
        | TableVerb::Add
        | TableVerb::Remove { drop_target: false } => json!({"tables": request.tables}),
    }
}

/// An operation without what names rows, for who may not see them.
fn without_rows(actor: &Actor, operation: Operation) -> Operation {
    if operation.kind == OperationKind::Verify && !actor.role.may(Right::ViewRows) {
        return Operation { result: None, ..operation };
    }
    operation
}
