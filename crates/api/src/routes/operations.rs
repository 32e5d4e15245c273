//! Operations: what takes a while.

use axum::extract::State;
use axum::http::StatusCode;
use segcdc_control::id::{OperationId, PipelineId};
use segcdc_control::store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::moment;
use crate::path::Id;
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::List;
use crate::words::EngineError;

/// Something that takes a while and was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// The pipeline; it may be gone by now.
    #[schema(format = Uuid)]
    pipeline_id: Option<String>,
    /// What it does: `verify`, `resync`, `tables` (something was asked of them) or `delete`.
    kind: String,
    /// How far it is: `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`.
    state: String,
    /// Its progress, with `done`, `total` and `unit` where they are known.
    #[schema(value_type = Option<Object>)]
    progress: Option<Value>,
    /// What came of it: of `verify`, the object of `segcdc verify -o json` with `is_equal`, `differences` and `undecided`, for
    /// those who may see rows; of `delete`, what was removed and what is left.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// Why it failed.
    error: Option<EngineError>,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was heard of last.
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Which operations are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// At most so many items.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the part before.
    cursor: Option<String>,
    /// Of one pipeline only.
    pipeline_id: Option<String>,
}

/// List the tenant's operations, newest first.
#[utoipa::path(
    get, path = "/operations", tag = "operations", params(Wanted), responses((status = 200, body = List<Operation>))
)]
pub(crate) async fn list_operations(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(wanted): Query<Wanted>,
) -> Result<List<Operation>, ApiError> {
    let pipeline: Option<PipelineId> = match wanted.pipeline_id.as_deref().map(str::parse) {
        Some(Ok(id)) => Some(id),
        Some(Err(_form)) => return Err(ApiError::Query { reason: "pipeline_id is not an id".to_owned() }),
        None => None,
    };
    let part = Part { limit: wanted.limit, cursor: wanted.cursor };
    let page = app.control().operations(&actor, pipeline, part.read()?.page()).await?;
    Ok(List::of(page, |operation| Operation::of(&operation)))
}

/// Show an operation.
#[utoipa::path(
    get, path = "/operations/{id}", tag = "operations", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = Operation))
)]
pub(crate) async fn get_operation(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<OperationId>,
) -> Result<axum::Json<Operation>, ApiError> {
    Ok(axum::Json(Operation::of(&app.control().operation(&actor, id).await?)))
}

/// End an operation that is under way. A deletion goes on.
#[utoipa::path(
    post, path = "/operations/{id}/cancel", tag = "operations", params(("id" = String, Path, description = "Its id.")),
    responses((status = 202, description = "It will end."))
)]
pub(crate) async fn cancel_operation(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<OperationId>,
) -> Result<StatusCode, ApiError> {
    app.control().cancel_operation(&actor, id).await?;
    Ok(StatusCode::ACCEPTED)
}

// === impl Operation ===

impl Operation {
    /// As it is shown.
    pub(crate) fn of(operation: &store::Operation) -> Self {
        let json = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let error = operation.error.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Operation {
            id: operation.id.text(),
            pipeline_id: operation.pipeline.map(PipelineId::text),
            kind: operation.kind.as_str().to_owned(),
            state: operation.state.as_str().to_owned(),
            progress: json(&operation.progress),
            result: json(&operation.result),
            error: error.map(EngineError::of),
            created_at: moment::text(operation.created_at),
            updated_at: moment::text(operation.updated_at),
        }
    }
}
