//! What could keep a pipeline from running on this source, each finding with the SQL that mends it.
//!
//! Facts are read by a few queries of the catalog; what they mean is decided by functions without I/O. Nothing is
//! changed: no slot, publication or setting is made or touched to see whether it could be.

use std::collections::HashMap;

use segcdc_model::{Fault, Finding, QualifiedName, Side, SourceTable};

use crate::config::SourceConfig;
use crate::error::SourceError;
use crate::publication::WantedTable;
use crate::quote;
use crate::replication::Replication;
use crate::session::Session;

mod activity;
mod capacity;
mod publication;
mod role;
mod server;
mod slot;
mod table;

/// Whether a pipeline is to be made or goes on: what mends a missing slot for the one loses rows for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Nothing was copied yet.
    #[default]
    NewPipeline,
    /// The target holds what the named slot has sent, up to its checkpoint.
    KnownPipeline,
}

/// What the pipeline wants of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreflightRequest {
    /// Whether the pipeline is new. A known one names its publication and its slot.
    pub purpose: Purpose,
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
    /// Names of the columns that are wanted of tables, by OID; all columns of tables that are not among them.
    pub columns: HashMap<u32, Vec<String>>,
    /// What a publication that is made is to send of tables, where that is not all.
    pub narrowed: Vec<WantedTable>,
}

/// Checks everything that an ordinary session can see. All checks that pass say so too.
///
/// # Errors
/// When the questions themselves cannot be asked. What they find is never an error.
pub async fn check(session: &Session, request: &PreflightRequest) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    let server = server::read(session).await?;
    findings.extend(server::judge(&server));
    if !server.is_supported() {
        // The other questions are in the language of supported versions.
        return Ok(findings);
    }
    findings.extend(capacity::judge(&capacity::read(session).await?, request));
    if request.slot.is_none() {
        findings.extend(activity::judge(&activity::read(session).await?)?);
    }
    findings.extend(table::generated_identities(request, server.version)?);
    let unfit = table::read_partitions(session, request).await?;
    findings.extend(table::judge(request, &unfit, &table::read_parents(session, request).await?)?);
    findings.extend(role::judge(&role::read(session, request).await?, request)?);
    findings.extend(publication::check(session, request).await?);
    findings.extend(slot::check(session, request, &server.database).await?);
    Ok(findings)
}

/// Checks that a replication session can be opened: what `pg_hba.conf`, a pooler or the role's rights may refuse even
/// where an ordinary session is let in. A server that cannot be reached at all is a finding too.
pub async fn check_replication(config: &SourceConfig) -> Finding {
    const CHECK: &str = "pg.replication_session";
    match Replication::connect(config).await {
        Ok(replication) => {
            replication.close().await;
            Finding::ok(CHECK, Side::Source, "a replication session can be opened")
        }
        Err(error) => {
            let finding =
                Finding::failure(CHECK, Side::Source, error.code(), segcdc_model::fault::chain(&error));
            let finding = finding.hint(error.hint());
            match error.fix_sql() {
                Some(sql) => finding.fix(sql),
                None => finding,
            }
        }
    }
}

// === impl PreflightRequest ===

impl PreflightRequest {
    /// The tables that the stream can carry without breaking the application's UPDATE and DELETE.
    fn streamable(&self) -> impl Iterator<Item = &SourceTable> {
        self.tables.iter().filter(|table| table::kind_problem(table).is_none() && table::has_identity(table))
    }

    /// What a publication has to send of [`PreflightRequest::streamable`].
    fn to_publish(&self) -> Vec<WantedTable> {
        self.streamable().map(|table| self.wanted(&table.name)).collect()
    }

    /// What a publication has to send of a table.
    fn wanted(&self, table: &QualifiedName) -> WantedTable {
        let narrowed = self.narrowed.iter().find(|wanted| wanted.name == *table);
        narrowed.cloned().unwrap_or_else(|| table.clone().into())
    }
}

/// Names for people, the first few of them.
fn listed<'a>(names: impl IntoIterator<Item = &'a QualifiedName>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<_> = names.into_iter().map(ToString::to_string).collect();
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `ALTER TABLE name action`.
fn alter_table(name: &QualifiedName, action: &str) -> Result<String, SourceError> {
    Ok(format!("ALTER TABLE {} {action}", quote::qualified(name)?))
}
