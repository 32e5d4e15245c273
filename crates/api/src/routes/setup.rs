//! The first tenant and its administrator.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use segcdc_control::ControlError;
use segcdc_control::field::Findings;
use segcdc_control::service::Founding;
use segcdc_model::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Address;
use crate::body::Json;
use crate::problem::ApiError;
use crate::routes::me::{self, Me};

/// Whether the server waits for its first administrator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SetupState {
    /// Whether nobody has been made yet, and the set-up token is awaited.
    needed: bool,
}

/// The first tenant and its administrator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The token that `segcdc serve` printed when it started.
    #[schema(max_length = 200)]
    token: String,
    /// Name of the first tenant; `default` without it.
    #[schema(max_length = 64, example = "acme")]
    tenant: Option<String>,
    /// Name of the administrator.
    #[schema(max_length = 64, example = "ada")]
    user: String,
    /// Their password: 8 characters or more.
    #[schema(max_length = 1024, format = Password)]
    password: String,
}

/// Whether the first administrator is still to be made.
#[utoipa::path(get, path = "/setup", tag = "setup", responses((status = 200, body = SetupState)))]
pub(crate) async fn get_setup(State(app): State<App>) -> Result<axum::Json<SetupState>, ApiError> {
    Ok(axum::Json(SetupState { needed: app.control().needs_founding().await? }))
}

/// Make the first tenant and its administrator, with the token that the server printed. Signs them in.
#[utoipa::path(
    post, path = "/setup", tag = "setup", request_body = Setup,
    responses((status = 201, description = "Made; the cookie of a session comes with it.", body = Me))
)]
pub(crate) async fn create_setup(
    State(app): State<App>,
    Address(address): Address,
    Json(body): Json<Setup>,
) -> Result<Response, ApiError> {
    let mut findings = Findings::default();
    let tenant = findings.take("tenant", body.tenant.as_deref().unwrap_or("default").parse());
    let user = findings.take("user", body.user.parse());
    findings.finish().map_err(ControlError::from)?;
    let (Some(tenant), Some(user)) = (tenant, user) else { return Err(ApiError::Internal) };
    let founding =
        Founding { token: Secret::new(body.token), tenant, user, password: Secret::new(body.password) };
    let signed_in = Box::pin(app.control().found(founding, &address)).await?;
    let mut response = me::signed_in(&app, &signed_in).await?.into_response();
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}
