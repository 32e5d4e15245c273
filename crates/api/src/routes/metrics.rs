//! What is measured, for Prometheus and its like.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::authenticate::Signed;
use crate::metrics::CONTENT_TYPE;
use crate::problem::ApiError;

/// Measure this server and its pipelines, as OpenMetrics text: those of the tenant, and of all tenants for who manages them.
/// Prometheus sends an API token as its bearer token.
#[utoipa::path(
    get, path = "/metrics", tag = "server", responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) async fn get_metrics(State(app): State<App>, Signed(actor): Signed) -> Result<Response, ApiError> {
    let pipelines = app.control().observed(&actor).await?;
    let text = app.metrics().render(&pipelines);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
