//! Who one is, and one's own password.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use segcdc_control::access::Right;
use segcdc_control::service::{SignedIn, Way};
use segcdc_control::{Actor, ControlError};
use segcdc_model::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::problem::ApiError;
use crate::words::Role;

/// Who one is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// Their id.
    #[schema(format = Uuid)]
    id: String,
    /// Their name.
    name: String,
    /// The tenant that is looked at.
    tenant: TenantOf,
    /// What they may do there.
    rights: Vec<String>,
    /// Whether they manage tenants.
    manages_tenants: bool,
    /// The tenants that they belong to.
    tenants: Vec<TenantOf>,
    /// What a session's requests that change something carry as X-CSRF-Token; null for a token.
    csrf_token: Option<String>,
}

/// A tenant, and what somebody is there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantOf {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Its name.
    name: String,
    /// What they are there.
    role: Role,
}

/// A change of one's own password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    /// The password that is in force.
    #[schema(max_length = 1024, format = Password)]
    current_password: String,
    /// The new one: 8 characters or more.
    #[schema(max_length = 1024, format = Password)]
    new_password: String,
}

/// Who one is, in which tenant, and what one may do there.
#[utoipa::path(get, path = "/me", tag = "auth", responses((status = 200, body = Me)))]
pub(crate) async fn get_me(
    State(app): State<App>,
    Signed(actor): Signed,
) -> Result<axum::Json<Me>, ApiError> {
    Ok(axum::Json(view(&app, &actor).await?))
}

/// Change one's own password. All other sessions end.
#[utoipa::path(
    post, path = "/me/password", tag = "auth", request_body = PasswordChange,
    responses((status = 204, description = "Changed."))
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    let (current, new) = (Secret::new(body.current_password), Secret::new(body.new_password));
    Box::pin(app.control().change_password(&actor, current, new)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who one is.
pub(crate) async fn view(app: &App, actor: &Actor) -> Result<Me, ControlError> {
    let tenant =
        TenantOf { id: actor.tenant.id.text(), name: actor.tenant.name.to_string(), role: actor.role.into() };
    let mine = app.control().my_tenants(actor).await?;
    let tenants = mine.into_iter().map(|(tenant, role)| TenantOf {
        id: tenant.id.text(),
        name: tenant.name.to_string(),
        role: role.into(),
    });
    let rights = Right::ALL.into_iter().filter(|right| actor.role.may(*right));
    Ok(Me {
        id: actor.person.text(),
        name: actor.name.to_string(),
        tenant,
        rights: rights.map(|right| right.as_str().to_owned()).collect(),
        manages_tenants: actor.is_super,
        tenants: tenants.collect(),
        csrf_token: match &actor.way {
            Way::Session { csrf, .. } => Some(csrf.clone()),
            Way::Token { .. } => None,
        },
    })
}

/// The answer to who has just signed in: the cookie, and who they are.
pub(crate) async fn signed_in(
    app: &App,
    signed_in: &SignedIn,
) -> Result<(HeaderMap, axum::Json<Me>), ApiError> {
    let secure = if app.options().is_https { "; Secure" } else { "" };
    let cookie =
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict{secure}", app.cookie(), signed_in.token.expose());
    let mut value = HeaderValue::from_str(&cookie).map_err(|_form| ApiError::Internal)?;
    value.set_sensitive(true);
    let headers = HeaderMap::from_iter([(header::SET_COOKIE, value)]);
    Ok((headers, axum::Json(view(app, &signed_in.actor).await?)))
}
