//! API tokens.

use axum::extract::State;
use axum::http::StatusCode;
use segcdc_control::ControlError;
use segcdc_control::field::{FieldError, FieldProblems};
use segcdc_control::id::TokenId;
use segcdc_control::name::NameError;
use segcdc_control::store::ApiToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::moment;
use crate::path::Id;
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::{Created, List, Versioned};
use crate::words::Role;

/// Life of a token when nothing is said about it, days.
const USUAL_DAYS: u16 = 90;

/// A token, without the token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Its name.
    name: String,
    /// Whose it is.
    user: String,
    /// The most that it may.
    role: Role,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// From when on it is not good any more.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it was used last, to a minute.
    #[schema(format = DateTime)]
    used_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// A token that has just been made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeToken {
    /// What is known of it.
    #[serde(flatten)]
    stored: Token,
    /// The token. It is shown now and never again.
    #[schema(example = "segcdc_pat_...")]
    token: String,
}

/// A token that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Its name.
    #[schema(max_length = 64, example = "ci")]
    name: String,
    /// The most that it may: no more than its owner.
    role: Role,
    /// Its life in days.
    #[schema(minimum = 1, maximum = 366, default = 90)]
    expires_in_days: Option<u16>,
}

/// List one's own tokens; an administrator lists everybody's.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(Part), responses((status = 200, body = List<Token>)))]
pub(crate) async fn list_tokens(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(part): Query<Part>,
) -> Result<List<Token>, ApiError> {
    let page = app.control().tokens(&actor, part.read()?.page()).await?;
    Ok(List::of(page, |token| Token::of(&token)))
}

/// Make a token for the tenant that is looked at. Needs a session.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", request_body = NewToken, responses((status = 201, body = MadeToken))
)]
pub(crate) async fn create_token(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewToken>,
) -> Result<Created<MadeToken>, ApiError> {
    let name = body.name.parse().map_err(|error: NameError| {
        ControlError::from(FieldProblems::one("name", FieldError::from(error)))
    })?;
    let days = body.expires_in_days.unwrap_or(USUAL_DAYS);
    let made = app.control().create_token(&actor, name, body.role.into(), days).await?;
    let value = MadeToken { stored: Token::of(&made.stored), token: made.token.expose().clone() };
    let location = format!("/api/v1/tokens/{}", made.stored.id);
    Ok(Created { location, object: Versioned { value, version: 1 } })
}

/// Show a token, without the token.
#[utoipa::path(
    get, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = Token))
)]
pub(crate) async fn get_token(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<TokenId>,
) -> Result<Versioned<Token>, ApiError> {
    let found = app.control().token(&actor, id).await?;
    let version = if found.revoked_at.is_some() { 2 } else { 1 };
    Ok(Versioned { value: Token::of(&found), version })
}

/// Revoke a token: it is good for nothing from now on, and stays listed.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "Its id.")),
    responses((status = 204, description = "Revoked."))
)]
pub(crate) async fn revoke_token(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<TokenId>,
) -> Result<StatusCode, ApiError> {
    app.control().revoke_token(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

// === impl Token ===

impl Token {
    fn of(token: &ApiToken) -> Self {
        Token {
            id: token.id.text(),
            name: token.name.to_string(),
            user: token.person_name.to_string(),
            role: token.role.into(),
            created_at: moment::text(token.created_at),
            expires_at: moment::text(token.expires_at),
            used_at: token.used_at.map(moment::text),
            revoked_at: token.revoked_at.map(moment::text),
        }
    }
}
