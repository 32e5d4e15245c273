//! Tenants: the owners of connections and pipelines.

use axum::extract::State;
use axum::http::StatusCode;
use segcdc_control::ControlError;
use segcdc_control::field::FieldProblems;
use segcdc_control::id::TenantId;
use segcdc_control::store;
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

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Its name.
    name: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A tenant that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// Its name.
    #[schema(max_length = 64, example = "acme")]
    name: String,
}

/// List the tenants that one can look at.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(Part), responses((status = 200, body = List<Tenant>)))]
pub(crate) async fn list_tenants(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(part): Query<Part>,
) -> Result<List<Tenant>, ApiError> {
    let page = app.control().tenants(&actor, part.read()?.page()).await?;
    Ok(List::of(page, Tenant::of))
}

/// Make a tenant. Needs somebody who manages tenants.
#[utoipa::path(
    post, path = "/tenants", tag = "tenants", request_body = NewTenant, responses((status = 201, body = Tenant))
)]
pub(crate) async fn create_tenant(
    State(app): State<App>,
    Signed(actor): Signed,
    Json(body): Json<NewTenant>,
) -> Result<Created<Tenant>, ApiError> {
    let name = body.name.parse().map_err(|error: segcdc_control::name::NameError| {
        ControlError::from(FieldProblems::one("name", error))
    })?;
    let made = app.control().create_tenant(&actor, name).await?;
    let location = format!("/api/v1/tenants/{}", made.id);
    Ok(Created { location, object: Versioned { value: Tenant::of(made), version: 1 } })
}

/// Show a tenant.
#[utoipa::path(
    get, path = "/tenants/{id}", tag = "tenants", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, body = Tenant))
)]
pub(crate) async fn get_tenant(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<TenantId>,
) -> Result<Versioned<Tenant>, ApiError> {
    let found = app.control().tenant(&actor, id).await?;
    Ok(Versioned { value: Tenant::of(found), version: 1 })
}

/// Delete a tenant that has no connections and pipelines, with its people. Needs somebody who manages tenants.
#[utoipa::path(
    delete, path = "/tenants/{id}", tag = "tenants", params(("id" = String, Path, description = "Its id.")),
    responses((status = 204, description = "Deleted."))
)]
pub(crate) async fn delete_tenant(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<TenantId>,
) -> Result<StatusCode, ApiError> {
    app.control().delete_tenant(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

// === impl Tenant ===

impl Tenant {
    fn of(tenant: store::Tenant) -> Self {
        Tenant {
            id: tenant.id.text(),
            name: tenant.name.to_string(),
            created_at: moment::text(tenant.created_at),
        }
    }
}
