//! stub
use crate::{Session, SourceError};
use segcdc_model::{Finding, SourceTable};
/// What the pipeline wants of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreflightRequest {
    /// A publication that the user named: it must be there and fit.
    pub publication: Option<String>,
    /// A slot that the user named: it must be there and fit.
    pub slot: Option<String>,
    /// Name of the publication that will be made when none was named; for the SQL of findings.
    pub publication_to_create: String,
    /// Name of the slot that will be made when none was named; for the SQL of findings.
    pub slot_to_create: String,
    /// The tables that are wanted, as [`crate::catalog::tables`] found them.
    pub tables: Vec<SourceTable>,
}
/// check
pub async fn check(session: &Session, request: &PreflightRequest) -> Result<Vec<Finding>, SourceError> {
    let _ = (session, request);
    unimplemented!()
}
