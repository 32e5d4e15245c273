//! The audit log of the tenant.

use axum::extract::State;
use segcdc_control::store::AuditEntry;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::moment;
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::List;

/// Something that somebody did or was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLine {
    /// Its number in the tenant, from 1, without gaps.
    seq: i64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Who.
    actor: String,
    /// From which address.
    address: String,
    /// What.
    #[schema(example = "connection.create")]
    action: String,
    /// To which object.
    object: String,
    /// How it was before, secrets masked.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// How it was afterwards, secrets masked.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// `ok`, or the code of the error that it got.
    outcome: String,
    /// SHA-256 over this line and the hash of the one before.
    hash: String,
}

/// List the tenant's audit log, oldest line first. Needs the role auditor or admin.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Part), responses((status = 200, body = List<AuditLine>)))]
pub(crate) async fn list_audit(
    State(app): State<App>,
    Signed(actor): Signed,
    Query(part): Query<Part>,
) -> Result<List<AuditLine>, ApiError> {
    let page = app.control().audit_log(&actor, part.read()?.page()).await?;
    Ok(List::of(page, AuditLine::of))
}

// === impl AuditLine ===

impl AuditLine {
    fn of(entry: AuditEntry) -> Self {
        let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        AuditLine {
            seq: entry.seq,
            at: moment::text(entry.at),
            actor: entry.what.actor,
            address: entry.what.address,
            action: entry.what.action,
            object: entry.what.object,
            before: json(entry.what.before),
            after: json(entry.what.after),
            outcome: entry.what.outcome,
            hash: entry.hash,
        }
    }
}
