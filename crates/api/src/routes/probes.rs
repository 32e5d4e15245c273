//! Questions to the servers of connections.

use axum::extract::State;
use segcdc_control::engine::TableQuery;
use segcdc_control::id::ConnectionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::path::Id;
use crate::problem::ApiError;
use crate::query::Query;
use crate::routes::connections::NewConnection;

/// Tables that are listed when nothing is said about it.
const USUAL_LIMIT: u16 = 500;

/// A server that answers and lets us in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionTest {
    /// What it says it is.
    #[schema(example = "PostgreSQL 16.4")]
    server: String,
    /// Who we are there.
    user: String,
    /// The database.
    database: String,
    /// SQL Server: how rows are written, `bulk_load` or, slower, `insert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    write_path: Option<String>,
}

/// Tables of a source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceTables {
    /// The tables: schema, name, kind, columns, whether they have a primary key, replica identity, estimated rows, size.
    #[schema(value_type = Vec<Object>)]
    items: Value,
    /// How many match in all.
    total: u64,
}

/// Which tables are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// Part of the name, whatever its case.
    search: Option<String>,
    /// Of one schema only.
    schema: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 10000, default = 500)]
    limit: Option<u16>,
}

/// Try a connection before it is made: look its host up, connect, sign in.
#[utoipa::path(
    post, path = "/connections/test", tag = "connections", request_body = NewConnection,
    responses((status = 200, body = ConnectionTest))
)]
pub(crate) async fn test_new_connection(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewConnection>,
) -> Result<axum::Json<ConnectionTest>, ApiError> {
    let new = body.read()?;
    let said = Box::pin(app.control().test_draft(&actor, new.kind, &new.draft, new.password)).await?;
    Ok(axum::Json(ConnectionTest::of(&said)))
}

/// Try a connection: look its host up, connect, sign in.
#[utoipa::path(
    post, path = "/connections/{id}/test", tag = "connections", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = ConnectionTest))
)]
pub(crate) async fn test_connection(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<ConnectionId>,
) -> Result<axum::Json<ConnectionTest>, ApiError> {
    let said = Box::pin(app.control().test_connection(&actor, id)).await?;
    Ok(axum::Json(ConnectionTest::of(&said)))
}

/// List the tables of a source, in the order of their names.
#[utoipa::path(
    get, path = "/connections/{id}/tables", tag = "connections",
    params(("id" = String, Path, description = "Its id."), Search), responses((status = 200, body = SourceTables))
)]
pub(crate) async fn list_source_tables(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<ConnectionId>,
    Query(search): Query<Search>,
) -> Result<axum::Json<SourceTables>, ApiError> {
    let limit = search.limit.unwrap_or(USUAL_LIMIT);
    if !(1..=10_000).contains(&limit) {
        return Err(ApiError::Query { reason: "limit is a number from 1 to 10000".to_owned() });
    }
    let query = TableQuery {
        search: search.search.unwrap_or_default(),
        schema: search.schema,
        limit: usize::from(limit),
    };
    let mut found = Box::pin(app.control().source_tables(&actor, id, &query)).await?;
    Ok(axum::Json(SourceTables {
        total: found.get("total").and_then(Value::as_u64).unwrap_or(0),
        items: found.get_mut("items").map(Value::take).unwrap_or_default(),
    }))
}

// === impl ConnectionTest ===

impl ConnectionTest {
    fn of(said: &Value) -> Self {
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
        ConnectionTest {
            server: text("server").unwrap_or_default(),
            user: text("user").unwrap_or_default(),
            database: text("database").unwrap_or_default(),
            write_path: text("write_path"),
        }
    }
}
