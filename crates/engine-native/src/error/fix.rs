//! The SQL that mends what an error names.

use segcdc_model::Fault;
use segcdc_postgres::quote;
use segcdc_postgres::slot::Loss;

use super::EngineError;

/// SQL for the server that the error is about; `None` when there is none.
pub(super) fn sql(error: &EngineError) -> Option<String> {
    match error {
        EngineError::Source(error) => error.fix_sql(),
        EngineError::Target(error) => error.fix_sql(),
        EngineError::Plan(error) => error.fix_sql(),
        EngineError::Rules(error) => error.fix_sql(),
        EngineError::GaveUp { last, .. } => last.fix_sql(),
        EngineError::SourceTable { error, .. } => error.fix_sql(),
        EngineError::Preflight { findings } => {
            let statements: Vec<&str> =
                findings.iter().flat_map(|finding| finding.fix_sql.iter().map(String::as_str)).collect();
            (!statements.is_empty()).then(|| statements.join("\n"))
        }
        EngineError::SlotExists { slot } => Some(format!("SELECT pg_drop_replication_slot('{slot}')")),
        EngineError::SlotLost { reason, .. } => Loss::by(reason).fix_sql.map(str::to_owned),
        EngineError::TableUnpublished { table, publication, .. } => quote::qualified(table)
            .and_then(|table| Ok((table, quote::identifier(publication)?)))
            .map(|(table, publication)| format!("ALTER PUBLICATION {publication} ADD TABLE ONLY {table}"))
            .ok(),
        EngineError::PipelineName { .. }
        | EngineError::NoTables
        | EngineError::PipelineConflict { .. }
        | EngineError::EngineMismatch { .. }
        | EngineError::SourceIdentityMismatch { .. }
        | EngineError::SourceRewound { .. }
        | EngineError::TargetRewound { .. }
        | EngineError::SlotMissing { .. }
        | EngineError::PublicationExists { .. }
        | EngineError::SlotWrongPlugin { .. }
        | EngineError::SlotWrongDatabase { .. }
        | EngineError::SlotAheadOfCheckpoint { .. }
        | EngineError::SlotCreationTimeout { .. }
        | EngineError::PublicationMissing { .. }
        | EngineError::PublicationChanged { .. }
        | EngineError::TablePartlyPublished { .. }
        | EngineError::TableDropped { .. }
        | EngineError::SourceSchemaChanged { .. }
        | EngineError::StreamFormChanged { .. }
        | EngineError::TargetSchemaDrift { .. }
        | EngineError::SpillUnreadable { .. }
        | EngineError::SlotNotOurs { .. }
        | EngineError::WalLimitReached { .. }
        | EngineError::Abandoned
        | EngineError::TaskBroken { .. } => None,
    }
}
