//! Pipelines: one source, one target, some tables; and what is asked of them.

mod wire;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segcdc_control::engine::VerifyRequest;
use segcdc_control::id::PipelineId;
use segcdc_control::lifecycle::Command;
use segcdc_control::service::PipelineView;
use serde::Deserialize;
use serde_json::Value;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::path::{Id, Words};
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::{Accepted, Created, IfMatch, List, Versioned};
use crate::routes::operations::Operation;

pub(crate) use wire::{
    ChangedPipeline, CompareBy, NewPipeline, NewPlan, NewResync, NewVerification, Pipeline, PlanReply,
};

/// How a pipeline is deleted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Deletion {
    /// True: forget it without touching either server, for when one of them is gone for good.
    pub(crate) forget: Option<bool>,
}

/// Say what a pipeline would do: checks of both servers, tables with their types, statements, and the `hash` by which the
/// plan can be agreed to. Changes nothing.
#[utoipa::path(
    post, path = "/plans", tag = "pipelines", request_body = NewPlan, responses((status = 200, body = PlanReply))
)]
pub(crate) async fn create_plan(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewPlan>,
) -> Result<axum::Json<PlanReply>, ApiError> {
    let plan = Box::pin(app.control().plan(&actor, &body.read()?)).await?;
    Ok(axum::Json(PlanReply::of(plan)))
}

/// List the tenant's pipelines, in the order of their names.
#[utoipa::path(
    get, path = "/pipelines", tag = "pipelines", params(Part), responses((status = 200, body = List<Pipeline>))
)]
pub(crate) async fn list_pipelines(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(part): Query<Part>,
) -> Result<List<Pipeline>, ApiError> {
    let page = app.control().pipelines(&actor, part.read()?.page()).await?;
    Ok(List::of(page, Pipeline::of))
}

/// Make a pipeline. Nothing is made at either server before it is started.
#[utoipa::path(
    post, path = "/pipelines", tag = "pipelines", request_body = NewPipeline,
    responses((status = 201, body = Pipeline))
)]
pub(crate) async fn create_pipeline(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewPipeline>,
) -> Result<Created<Pipeline>, ApiError> {
    let made = Box::pin(app.control().create_pipeline(&actor, body.read()?)).await?;
    Ok(Created { location: format!("/api/v1/pipelines/{}", made.stored.id), object: versioned(made) })
}

/// Show a pipeline: what is desired of it, where it stands, and what its engine says of itself.
#[utoipa::path(
    get, path = "/pipelines/{id}", tag = "pipelines", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = Pipeline))
)]
pub(crate) async fn get_pipeline(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
) -> Result<Versioned<Pipeline>, ApiError> {
    Ok(versioned(app.control().pipeline(&actor, id).await?))
}

/// Change what a pipeline replicates and how. One that runs begins anew with it, between two transactions; `observed_version` says
/// when. The tables of a pipeline that was started before stay those that it has.
#[utoipa::path(
    patch, path = "/pipelines/{id}", tag = "pipelines", request_body = ChangedPipeline,
    params(("id" = String, Path, description = "Its id.")), responses((status = 200, body = Pipeline))
)]
pub(crate) async fn change_pipeline(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    if_match: IfMatch,
    Json(body): Json<ChangedPipeline>,
) -> Result<Versioned<Pipeline>, ApiError> {
    let version = if_match.needed()?;
    let changed =
        Box::pin(app.control().change_pipeline(&actor, id, |spec| body.over(spec), version)).await?;
    Ok(versioned(changed))
}

/// Delete a pipeline that rests: its slot, its publication and its state in the target go; the target's tables stay. The
/// operation's result lists what went and what stays, with the SQL that removes it.
#[utoipa::path(
    delete, path = "/pipelines/{id}", tag = "pipelines",
    params(("id" = String, Path, description = "Its id."), Deletion),
    responses(
        (status = 202, description = "Being deleted; Location names the operation."),
        (status = 204, description = "Forgotten.")
    )
)]
pub(crate) async fn delete_pipeline(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Query(deletion): Query<Deletion>,
) -> Result<Response, ApiError> {
    if deletion.forget.unwrap_or(false) {
        Box::pin(app.control().forget_pipeline(&actor, id)).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let operation = Box::pin(app.control().delete_pipeline(&actor, id)).await?;
    let mut response = StatusCode::ACCEPTED.into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/operations/{operation}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Ask something of a pipeline: `start`, `pause`, `resume`, `stop` or `restart`. What is desired is stored when this answers;
/// that it comes about takes a while, and shows in `state`. Asking twice is no error.
#[utoipa::path(
    post, path = "/pipelines/{id}/actions/{action}", tag = "pipelines",
    params(
        ("id" = String, Path, description = "Its id."),
        ("action" = String, Path, description = "start, pause, resume, stop or restart.")
    ),
    responses((status = 202, body = Pipeline))
)]
pub(crate) async fn act_on_pipeline(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    words: Words,
) -> Result<Accepted<Versioned<Pipeline>>, ApiError> {
    let commands = [Command::Start, Command::Pause, Command::Resume, Command::Stop, Command::Restart];
    let command = commands.into_iter().find(|command| command.as_str() == words.get("action"));
    let view = Box::pin(app.control().command(&actor, id, command.ok_or(ApiError::NoRoute)?)).await?;
    let location = format!("/api/v1/pipelines/{id}");
    Ok(Accepted { location, object: versioned(view) })
}

/// Ask both servers where a pipeline stands: tables, lag, slot, and notes on what a person should know. The same object as
/// `segcdc status -o json`.
#[utoipa::path(
    get, path = "/pipelines/{id}/status", tag = "pipelines", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = Object))
)]
pub(crate) async fn get_pipeline_status(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
) -> Result<axum::Json<Value>, ApiError> {
    Ok(axum::Json(Box::pin(app.control().pipeline_status(&actor, id)).await?))
}

/// Compare source and target row by row, while changes flow.
#[utoipa::path(
    post, path = "/pipelines/{id}/verifications", tag = "verifications", request_body = NewVerification,
    params(("id" = String, Path, description = "Its id.")), responses((status = 202, body = Operation))
)]
pub(crate) async fn create_verification(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Json(body): Json<NewVerification>,
) -> Result<Accepted<axum::Json<Operation>>, ApiError> {
    let request = VerifyRequest {
        tables: body.tables.unwrap_or_default(),
        limit: usize::from(body.limit.unwrap_or(20)),
        by_count: body.by == Some(CompareBy::Count),
    };
    let begun = Box::pin(app.shared().verify_pipeline(&actor, id, request)).await?;
    Ok(accepted(&begun))
}

/// Have tables of a pipeline that rests copied again when it starts next: all that are quarantined, or those that are named.
#[utoipa::path(
    post, path = "/pipelines/{id}/resyncs", tag = "pipelines", request_body = NewResync,
    params(("id" = String, Path, description = "Its id.")), responses((status = 202, body = Operation))
)]
pub(crate) async fn create_resync(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Json(body): Json<NewResync>,
) -> Result<Accepted<axum::Json<Operation>>, ApiError> {
    let tables = body.tables.unwrap_or_default();
    let begun = Box::pin(app.shared().resync_pipeline(&actor, id, tables)).await?;
    Ok(accepted(&begun))
}

fn versioned(view: PipelineView) -> Versioned<Pipeline> {
    let version = view.stored.version;
    Versioned { value: Pipeline::of(view), version }
}

/// An operation that has begun.
pub(crate) fn accepted(operation: &segcdc_control::store::Operation) -> Accepted<axum::Json<Operation>> {
    let location = format!("/api/v1/operations/{}", operation.id);
    Accepted { location, object: axum::Json(Operation::of(operation)) }
}
