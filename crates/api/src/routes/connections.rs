//! Connections: where sources and targets are, and who one is there.

mod wire;

use axum::extract::State;
use axum::http::StatusCode;
use segcdc_control::id::ConnectionId;
use segcdc_control::service::ConnectionView;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::path::Id;
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::{Created, IfMatch, List, Versioned};

pub(crate) use wire::{ChangedConnection, Connection, NewConnection};

/// List the tenant's connections, in the order of their names.
#[utoipa::path(
    get, path = "/connections", tag = "connections", params(Part),
    responses((status = 200, body = List<Connection>))
)]
pub(crate) async fn list_connections(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(part): Query<Part>,
) -> Result<List<Connection>, ApiError> {
    let page = app.control().connections(&actor, part.read()?.page()).await?;
    Ok(List::of(page, |view| Connection::of(&view)))
}

/// Make a connection. Its password is sealed and never shown again.
#[utoipa::path(
    post, path = "/connections", tag = "connections", request_body = NewConnection,
    responses((status = 201, body = Connection))
)]
pub(crate) async fn create_connection(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewConnection>,
) -> Result<Created<Connection>, ApiError> {
    let new = body.read()?;
    let made = app.control().create_connection(&actor, new.name, new.kind, &new.draft, new.password).await?;
    Ok(Created { location: format!("/api/v1/connections/{}", made.id), object: versioned(&made) })
}

/// Show a connection.
#[utoipa::path(
    get, path = "/connections/{id}", tag = "connections", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = Connection))
)]
pub(crate) async fn get_connection(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<ConnectionId>,
) -> Result<Versioned<Connection>, ApiError> {
    Ok(versioned(&app.control().connection(&actor, id).await?))
}

/// Change a connection. What is left away stays, null empties. A change of where it leads, of who one is there, or of its
/// protection needs the password again.
#[utoipa::path(
    patch, path = "/connections/{id}", tag = "connections", request_body = ChangedConnection,
    params(("id" = String, Path, description = "Its id.")), responses((status = 200, body = Connection))
)]
pub(crate) async fn change_connection(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<ConnectionId>,
    if_match: IfMatch,
    Json(body): Json<ChangedConnection>,
) -> Result<Versioned<Connection>, ApiError> {
    let version = if_match.needed()?;
    let changed = Box::pin(app.control().change_connection(&actor, id, body.read()?, version)).await?;
    Ok(versioned(&changed))
}

/// Delete a connection that no pipeline uses.
#[utoipa::path(
    delete, path = "/connections/{id}", tag = "connections", params(("id" = String, Path, description = "Its id.")),
    responses((status = 204, description = "Deleted."))
)]
pub(crate) async fn delete_connection(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<ConnectionId>,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    app.control().delete_connection(&actor, id, if_match.version()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn versioned(view: &ConnectionView) -> Versioned<Connection> {
    Versioned { value: Connection::of(view), version: view.version }
}
