//! Signing in and out.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segcdc_control::ControlError;
use segcdc_control::field::Findings;
use segcdc_control::id::TenantId;
use segcdc_model::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::{Address, Signed};
use crate::body::Json;
use crate::problem::ApiError;
use crate::routes::me::{self, Me};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// Their name.
    #[schema(max_length = 64, example = "ada")]
    user: String,
    /// Their password.
    #[schema(max_length = 1024, format = Password)]
    password: String,
    /// The tenant to look at; the first of theirs without it.
    #[schema(max_length = 64)]
    tenant: Option<String>,
}

/// Which tenant to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChoice {
    /// Its id.
    #[schema(format = Uuid)]
    tenant_id: String,
}

/// Begin a session. The cookie that comes with the answer goes with the browser's requests; those that change something
/// also carry the header X-CSRF-Token with `csrf_token`.
#[utoipa::path(
    post, path = "/auth/login", tag = "auth", request_body = Login,
    responses((status = 200, description = "Signed in; a cookie comes with it.", body = Me))
)]
pub(crate) async fn login(
    State(app): State<App>,
    Address(address): Address,
    Json(body): Json<Login>,
) -> Result<Response, ApiError> {
    let mut findings = Findings::default();
    let tenant = match body.tenant.as_deref().map(str::parse) {
        Some(name) => findings.take("tenant", name),
        None => None,
    };
    findings.finish().map_err(ControlError::from)?;
    let password = Secret::new(body.password);
    let signed_in = Box::pin(app.control().sign_in(&body.user, password, tenant.as_ref(), &address)).await?;
    Ok(me::signed_in(&app, &signed_in).await?.into_response())
}

/// End the session.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 204, description = "Ended.")))]
pub(crate) async fn logout(State(app): State<App>, Signed(actor): Signed) -> Result<Response, ApiError> {
    app.control().sign_out(&actor).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let gone = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", app.cookie());
    if let Ok(value) = HeaderValue::from_str(&if app.options().is_https { gone + "; Secure" } else { gone }) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// Have the session look at another tenant.
#[utoipa::path(
    put, path = "/auth/tenant", tag = "auth", request_body = TenantChoice, responses((status = 200, body = Me))
)]
pub(crate) async fn choose_tenant(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<TenantChoice>,
) -> Result<axum::Json<Me>, ApiError> {
    let id: TenantId = body.tenant_id.parse().map_err(|_form| ApiError::Id)?;
    let moved = Box::pin(app.control().choose_tenant(&actor, id)).await?;
    Ok(axum::Json(me::view(&app, &moved).await?))
}
