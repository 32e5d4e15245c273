//! Whether the server lives, and whether it can work: for load balancers and supervisors.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::ApiError;

/// A server that is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// The process lives and answers. Restart it when it does not.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub(crate) async fn get_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The store answers too. Send no requests while it does not.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Health)))]
pub(crate) async fn get_readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    app.control().ready().await?;
    Ok(Json(Health { status: "ok" }))
}
