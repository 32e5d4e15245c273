//! [`router`]: all routes, each with what is around it.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use segcdc_control::Control;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, Options};
use crate::authenticate::authenticate;
use crate::frame::frame;
use crate::idempotent::idempotent;
use crate::problem::ApiError;
use crate::routes::{
    audit, auth, connections, events, health, me, metrics, operations, pipelines, probes, setup, tables,
    tenants, tokens, users,
};
use crate::{document, pages};

/// Where the resources are.
const BASE: &str = "/api/v1";

/// A server over a control plane.
pub fn router(control: Arc<Control>, options: Options) -> Router {
    let (routes, document) = parts();
    let app = App::new(control, options, document::complete(&document));
    routes
        .merge(pages::routes())
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(from_fn_with_state(app.clone(), idempotent))
        .layer(from_fn_with_state(app.clone(), authenticate))
        .layer(from_fn_with_state(app.clone(), frame))
        .with_state(app)
}

/// The description of the API as OpenAPI 3.1.
pub fn description() -> Value {
    document::complete(&parts().1)
}

/// All resources, and their description.
fn parts() -> (Router<App>, OpenApi) {
    let resources = OpenApiRouter::new()
        .routes(routes!(setup::get_setup, setup::create_setup))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::choose_tenant))
        .routes(routes!(me::get_me))
        .routes(routes!(me::change_password))
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(tenants::get_tenant, tenants::delete_tenant))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::get_user, users::change_user, users::delete_user))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::get_token, tokens::revoke_token))
        .routes(routes!(connections::list_connections, connections::create_connection))
        .routes(routes!(
            connections::get_connection,
            connections::change_connection,
            connections::delete_connection
        ))
        .routes(routes!(probes::test_new_connection))
        .routes(routes!(probes::test_connection))
        .routes(routes!(probes::list_source_tables))
        .routes(routes!(pipelines::create_plan))
        .routes(routes!(pipelines::list_pipelines, pipelines::create_pipeline))
        .routes(routes!(pipelines::get_pipeline, pipelines::change_pipeline, pipelines::delete_pipeline))
        .routes(routes!(pipelines::act_on_pipeline))
        .routes(routes!(pipelines::get_pipeline_status))
        .routes(routes!(tables::list_tables, tables::add_tables))
        .routes(routes!(tables::get_table))
        .routes(routes!(tables::act_on_table))
        .routes(routes!(tables::list_dead_letters))
        .routes(routes!(tables::get_dead_letter))
        .routes(routes!(tables::list_verifications, pipelines::create_verification))
        .routes(routes!(tables::list_mismatches))
        .routes(routes!(pipelines::create_resync))
        .routes(routes!(operations::list_operations))
        .routes(routes!(operations::get_operation))
        .routes(routes!(operations::cancel_operation))
        .routes(routes!(events::watch_events))
        .routes(routes!(audit::list_audit));
    OpenApiRouter::with_openapi(document::frame())
        .nest(BASE, resources)
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
        .routes(routes!(metrics::get_metrics))
        .split_for_parts()
}
