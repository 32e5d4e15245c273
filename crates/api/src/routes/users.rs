//! The people of the tenant.

use axum::extract::State;
use axum::http::StatusCode;
use segcdc_control::ControlError;
use segcdc_control::field::{FieldError, FieldProblems};
use segcdc_control::id::UserId;
use segcdc_control::name::NameError;
use segcdc_control::service::{NewPerson, PersonChange};
use segcdc_control::store::Member;
use segcdc_model::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::moment;
use crate::path::Id;
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::{Created, IfMatch, List, Versioned};
use crate::words::Role;

/// A person of the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// Their id.
    #[schema(format = Uuid)]
    id: String,
    /// Their name, by which they sign in.
    name: String,
    /// What they are in the tenant.
    role: Role,
    /// Whether they may not sign in.
    disabled: bool,
    /// Whether they manage tenants.
    manages_tenants: bool,
    /// When they were made.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A person that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// Their name, by which they sign in.
    #[schema(max_length = 64, example = "grace")]
    name: String,
    /// Their first password: 8 characters or more.
    #[schema(max_length = 1024, format = Password)]
    password: String,
    /// What they are in the tenant.
    role: Role,
}

/// What is to be changed of a person. What is left away stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// What they are in the tenant.
    role: Option<Role>,
    /// Whether they may not sign in; true ends their sessions.
    disabled: Option<bool>,
    /// A new password; it ends their sessions.
    #[schema(max_length = 1024, format = Password)]
    password: Option<String>,
}

/// List the people of the tenant.
#[utoipa::path(get, path = "/users", tag = "users", params(Part), responses((status = 200, body = List<User>)))]
pub(crate) async fn list_users(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(part): Query<Part>,
) -> Result<List<User>, ApiError> {
    let page = app.control().people(&actor, part.read()?.page()).await?;
    Ok(List::of(page, |member| User::of(&member)))
}

/// Make a person of the tenant.
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUser, responses((status = 201, body = User)))]
pub(crate) async fn create_user(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewUser>,
) -> Result<Created<User>, ApiError> {
    let name = body.name.parse().map_err(|error: NameError| {
        ControlError::from(FieldProblems::one("name", FieldError::from(error)))
    })?;
    let new = NewPerson { name, password: Secret::new(body.password), role: body.role.into() };
    let made = Box::pin(app.control().create_person(&actor, new)).await?;
    Ok(Created { location: format!("/api/v1/users/{}", made.person.id), object: versioned(&made) })
}

/// Show a person.
#[utoipa::path(
    get, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "Their id.")),
    responses((status = 200, body = User))
)]
pub(crate) async fn get_user(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<UserId>,
) -> Result<Versioned<User>, ApiError> {
    Ok(versioned(&app.control().person(&actor, id).await?))
}

/// Change a person's role, password, or whether they may sign in.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "users", request_body = UserChange,
    params(("id" = String, Path, description = "Their id.")), responses((status = 200, body = User))
)]
pub(crate) async fn change_user(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<UserId>,
    if_match: IfMatch,
    Json(body): Json<UserChange>,
) -> Result<Versioned<User>, ApiError> {
    let change = PersonChange {
        role: body.role.map(Into::into),
        disabled: body.disabled,
        password: body.password.map(Secret::new),
    };
    let changed = Box::pin(app.control().change_person(&actor, id, change, if_match.needed()?)).await?;
    Ok(versioned(&changed))
}

/// Take a person out of the tenant. One who is in no other is deleted.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "Their id.")),
    responses((status = 204, description = "Taken out."))
)]
pub(crate) async fn delete_user(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<UserId>,
) -> Result<StatusCode, ApiError> {
    app.control().remove_person(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn versioned(member: &Member) -> Versioned<User> {
    Versioned { value: User::of(member), version: member.person.version }
}

// === impl User ===

impl User {
    fn of(member: &Member) -> Self {
        User {
            id: member.person.id.text(),
            name: member.person.name.to_string(),
            role: member.role.into(),
            disabled: member.person.disabled,
            manages_tenants: member.person.is_super,
            created_at: moment::text(member.person.created_at),
        }
    }
}
