//! [`EngineError`]: why a pipeline does not start, or stopped.

mod fix;
mod from;
mod rules_error;

use std::io::ErrorKind;

use segcdc_model::{Disposition, Fault, Finding, Lsn, QualifiedName};
use segcdc_plan::PlanError;
use segcdc_postgres::SourceError;
use segcdc_postgres::slot::Loss;
use segcdc_sqlserver::TargetError;

pub(crate) use rules_error::version;
pub use rules_error::{RulesError, Unreadable};

/// Why a pipeline does not start, or stopped. Nothing was written after it was found.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The source's.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// The target's.
    #[error(transparent)]
    Target(Box<TargetError>),
    /// A table or a batch that cannot be planned.
    #[error(transparent)]
    Plan(Box<PlanError>),
    /// The rules that a user gave, now or before.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The pipeline's name cannot be used.
    #[error("\"{name}\" is not a pipeline name")]
    PipelineName {
        /// The name.
        name: String,
    },
    /// Preflight found what keeps the pipeline from starting.
    #[error("preflight failed: {}", summary(.findings))]
    Preflight {
        /// The failures among the findings.
        findings: Vec<Finding>,
    },
    /// No table is left to replicate.
    #[error("there is no table to replicate")]
    NoTables,
    /// The pipeline exists with another slot or publication than asked for.
    #[error("pipeline \"{pipeline}\" exists with the {what} \"{found}\", not \"{wanted}\"")]
    PipelineConflict {
        /// The pipeline.
        pipeline: String,
        /// `slot` or `publication`.
        what: &'static str,
        /// What its state says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The pipeline was made for another engine.
    #[error("pipeline \"{pipeline}\" is run by the engine {found}, not by {wanted}")]
    EngineMismatch {
        /// The pipeline.
        pipeline: String,
        /// What its state says.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The source is another server or database than the one that the checkpoint speaks of.
    #[error("the source has the {what} {found}; the checkpoint is of {expected}")]
    SourceIdentityMismatch {
        /// `system identifier` or `database OID`.
        what: &'static str,
        /// What the checkpoint says.
        expected: String,
        /// What the source says.
        found: String,
    },
    /// The source has lost or never had what was applied already.
    #[error("the source does not reach the checkpoint {applied}: {detail}")]
    SourceRewound {
        /// The checkpoint.
        applied: Lsn,
        /// How that was found.
        detail: String,
    },
    /// The target's checkpoint is behind what this process has seen committed, and the slot has let go of the rest.
    #[error("the target's checkpoint went back from {seen} to {found}")]
    TargetRewound {
        /// What was seen committed.
        seen: Lsn,
        /// What the target says now.
        found: Lsn,
    },
    /// The slot is not there.
    #[error("the slot \"{slot}\" does not exist")]
    SlotMissing {
        /// The slot.
        slot: String,
    },
    /// A slot of the name that a new pipeline would take.
    #[error("a slot \"{slot}\" exists already, and no pipeline of this target knows of it")]
    SlotExists {
        /// The slot.
        slot: String,
    },
    /// A publication of the name that a new pipeline would take.
    #[error("a publication \"{publication}\" exists already, and no pipeline of this target knows of it")]
    PublicationExists {
        /// The publication.
        publication: String,
    },
    /// The slot is physical, temporary, or of another plugin.
    #[error("the slot \"{slot}\" is not a lasting logical slot of pgoutput: it is {found}")]
    SlotWrongPlugin {
        /// The slot.
        slot: String,
        /// What it is.
        found: String,
    },
    /// The slot belongs to another database.
    #[error("the slot \"{slot}\" belongs to the database \"{found}\", not \"{expected}\"")]
    SlotWrongDatabase {
        /// The slot.
        slot: String,
        /// Its database.
        found: String,
        /// Ours.
        expected: String,
    },
    /// The server has given the slot up.
    #[error("the slot \"{slot}\" was invalidated: {} ({reason})", Loss::by(.reason).meaning)]
    SlotLost {
        /// The slot.
        slot: String,
        /// `wal_status` or the invalidation's reason.
        reason: String,
    },
    /// The slot has let go of what the target has not.
    #[error(
        "the slot \"{slot}\" has let go of everything up to {confirmed}; the target has applied up to {applied}"
    )]
    SlotAheadOfCheckpoint {
        /// The slot.
        slot: String,
        /// Its `confirmed_flush_lsn`.
        confirmed: Lsn,
        /// The checkpoint.
        applied: Lsn,
    },
    /// Making the slot waited too long for open transactions.
    #[error(
        "making the slot waited more than {after_s} s for transactions that are open at the source{blockers}"
    )]
    SlotCreationTimeout {
        /// The bound.
        after_s: u64,
        /// `: ` and the oldest of them; empty when they are not known.
        blockers: String,
    },
    /// The publication is not there.
    #[error("the publication \"{publication}\" does not exist")]
    PublicationMissing {
        /// The publication.
        publication: String,
    },
    /// The publication is not what it was, or does not publish what is needed.
    #[error("the publication \"{publication}\" does not fit: {detail}")]
    PublicationChanged {
        /// The publication.
        publication: String,
        /// The first difference.
        detail: String,
    },
    /// A table of the pipeline is not in the publication (any more).
    #[error("{table} is not in the publication \"{publication}\"")]
    TableUnpublished {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The publication.
        publication: String,
    },
    /// The publication leaves out columns or rows of a table.
    #[error("the publication \"{publication}\" publishes {table} in part: {detail}")]
    TablePartlyPublished {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The publication.
        publication: String,
        /// Column list or row filter.
        detail: String,
    },
    /// A table of the pipeline is gone at the source.
    #[error("{table} was dropped at the source")]
    TableDropped {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
    },
    /// A table that the source does not let us copy.
    #[error("{table} cannot be copied")]
    SourceTable {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// Why not.
        #[source]
        error: Box<SourceError>,
    },
    /// A table is not of the shape that its target table was made for.
    #[error("{table} was changed at the source while the pipeline was not running")]
    SourceSchemaChanged {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
    },
    /// A column was added whose type the stream, as it was opened, does not carry. The next one does.
    #[error(
        "the stream has to be opened anew, since column \"{column}\" of {table} has a type without an exact binary form"
    )]
    StreamFormChanged {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
    },
    /// The target table is gone or has not the columns that were made.
    #[error("the target table {table} is not what was made for the pipeline: {detail}")]
    TargetSchemaDrift {
        /// OID of the source table.
        oid: u32,
        /// The target table.
        table: QualifiedName,
        /// The first difference.
        detail: String,
    },
    /// A part of a large transaction cannot be read back from disk. The source sends it again.
    #[error("a part of the large transaction {xid} cannot be read back from disk")]
    SpillUnreadable {
        /// Source transaction id.
        xid: u32,
        /// `InvalidData` when it is not what was written.
        #[source]
        cause: std::io::Error,
    },
    /// A slot that was given is to be given up by policy.
    #[error("the slot \"{slot}\" was given by the user, and a given slot is never dropped")]
    SlotNotOurs {
        /// The slot.
        slot: String,
    },
    /// The slot kept more WAL than the pipeline may, and was given up.
    #[error("the slot \"{slot}\" held back {} MiB of WAL, the limit is {} MiB: it was given up", retained_bytes >> 20, limit_bytes >> 20)]
    WalLimitReached {
        /// The slot.
        slot: String,
        /// What it kept, bytes.
        retained_bytes: u64,
        /// What it may keep, bytes.
        limit_bytes: u64,
    },
    /// A batch was given up because the run was to end. Never leaves the engine.
    #[error("a batch was abandoned because the run was to end")]
    Abandoned,
    /// Trouble that did not pass within the attempts that were allowed.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// Attempts in a row without any progress.
        attempts: u32,
        /// The last trouble.
        #[source]
        last: Box<EngineError>,
    },
    /// A task of the engine ended in a way that it cannot.
    #[error("the task \"{task}\" of the engine broke down")]
    TaskBroken {
        /// What it did.
        task: &'static str,
    },
}

/// See [`EngineError::SpillUnreadable`].
const SPILL_HINT: &str = "nothing of it was committed, and the source sends it again; if this repeats, check the disk below \
                          --spill-dir, or name another";

/// The first failures, for a message.
fn summary(findings: &[Finding]) -> String {
    let details: Vec<&str> = findings.iter().take(3).map(|finding| finding.detail.as_str()).collect();
    let more = findings.len().saturating_sub(details.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", details.join("; "))
}

// === impl EngineError ===

impl EngineError {
    /// OID of the source table that is at fault alone, so that the others can go on without it.
    pub fn table_oid(&self) -> Option<u32> {
        match self {
            EngineError::Target(error) => error.table_oid(),
            EngineError::Plan(error) => error.table_oid(),
            EngineError::TableUnpublished { oid, .. }
            | EngineError::TablePartlyPublished { oid, .. }
            | EngineError::TableDropped { oid, .. }
            | EngineError::SourceTable { oid, .. }
            | EngineError::SourceSchemaChanged { oid, .. }
            | EngineError::TargetSchemaDrift { oid, .. } => Some(*oid),
            _ => None,
        }
    }

    /// Whether it takes a new stream to pass: what was received cannot be read any more.
    pub(crate) fn is_of_the_source(&self) -> bool {
        matches!(self, EngineError::SpillUnreadable { .. } | EngineError::StreamFormChanged { .. })
    }

    /// Whether the outcome of a commit is open.
    pub(crate) fn is_commit_unknown(&self) -> bool {
        matches!(self, EngineError::Target(error) if matches!(**error, TargetError::CommitUnknown { .. }))
    }
}

impl Fault for EngineError {
    fn code(&self) -> &'static str {
        match self {
            EngineError::Source(error) => error.code(),
            EngineError::Target(error) => error.code(),
            EngineError::Plan(error) => error.code(),
            EngineError::Rules(error) => error.code(),
            EngineError::PipelineName { .. } => "PIPELINE_NAME",
            // One failure speaks for itself; its code is one of preflight's.
            EngineError::Preflight { .. } => "PREFLIGHT_FAILED",
            EngineError::NoTables => "NO_TABLES",
            EngineError::PipelineConflict { .. } => "PIPELINE_CONFLICT",
            EngineError::EngineMismatch { .. } => "ENGINE_MISMATCH",
            EngineError::SourceIdentityMismatch { .. } => "SOURCE_IDENTITY_MISMATCH",
            EngineError::SourceRewound { .. } => "SOURCE_REWOUND",
            EngineError::TargetRewound { .. } => "TARGET_REWOUND",
            EngineError::SlotMissing { .. } => "SLOT_MISSING",
            EngineError::SlotExists { .. } => "SLOT_EXISTS",
            EngineError::PublicationExists { .. } => "PUBLICATION_EXISTS",
            EngineError::SlotWrongPlugin { .. } => "SLOT_WRONG_PLUGIN",
            EngineError::SlotWrongDatabase { .. } => "SLOT_WRONG_DATABASE",
            EngineError::SlotLost { .. } => "SLOT_LOST",
            EngineError::SlotAheadOfCheckpoint { .. } => "SLOT_AHEAD_OF_CHECKPOINT",
            EngineError::SlotCreationTimeout { .. } => "SLOT_CREATION_TIMEOUT",
            EngineError::PublicationMissing { .. } => "PUBLICATION_MISSING",
            EngineError::PublicationChanged { .. } => "PUBLICATION_CHANGED",
            EngineError::TableUnpublished { .. } => "TABLE_UNPUBLISHED",
            EngineError::TablePartlyPublished { .. } => "TABLE_PARTLY_PUBLISHED",
            EngineError::TableDropped { .. } => "TABLE_NOT_FOUND",
            EngineError::SourceTable { error, .. } => error.code(),
            EngineError::SourceSchemaChanged { .. } => "SCHEMA_CHANGED",
            EngineError::StreamFormChanged { .. } => "STREAM_FORM_CHANGED",
            EngineError::TargetSchemaDrift { .. } => "TARGET_SCHEMA_DRIFT",
            EngineError::SlotNotOurs { .. } => "SLOT_NOT_OURS",
            EngineError::WalLimitReached { .. } => "WAL_LIMIT_REACHED",
            EngineError::SpillUnreadable { cause, .. } if cause.kind() == ErrorKind::InvalidData => {
                "SPILL_DAMAGED"
            }
            EngineError::SpillUnreadable { .. } => "SPILL_FAILED",
            EngineError::GaveUp { last, .. } => last.code(),
            EngineError::Abandoned | EngineError::TaskBroken { .. } => "INTERNAL",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            EngineError::Source(error) => error.disposition(),
            EngineError::Target(error) => error.disposition(),
            EngineError::Plan(error) => error.disposition(),
            EngineError::Rules(error) => error.disposition(),
            // The source sends it again.
            EngineError::StreamFormChanged { .. } | EngineError::SpillUnreadable { .. } => Disposition::Retry,
            EngineError::TableUnpublished { .. }
            | EngineError::TablePartlyPublished { .. }
            | EngineError::TableDropped { .. }
            | EngineError::SourceTable { .. }
            | EngineError::SourceSchemaChanged { .. }
            | EngineError::TargetSchemaDrift { .. } => Disposition::HaltTable,
            EngineError::PipelineName { .. }
            | EngineError::Preflight { .. }
            | EngineError::NoTables
            | EngineError::PipelineConflict { .. }
            | EngineError::EngineMismatch { .. }
            | EngineError::SourceIdentityMismatch { .. }
            | EngineError::SourceRewound { .. }
            | EngineError::TargetRewound { .. }
            | EngineError::SlotMissing { .. }
            | EngineError::SlotExists { .. }
            | EngineError::PublicationExists { .. }
            | EngineError::SlotWrongPlugin { .. }
            | EngineError::SlotWrongDatabase { .. }
            | EngineError::SlotLost { .. }
            | EngineError::SlotAheadOfCheckpoint { .. }
            | EngineError::SlotCreationTimeout { .. }
            | EngineError::PublicationMissing { .. }
            | EngineError::PublicationChanged { .. }
            | EngineError::SlotNotOurs { .. }
            | EngineError::WalLimitReached { .. }
            | EngineError::GaveUp { .. }
            | EngineError::Abandoned
            | EngineError::TaskBroken { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            EngineError::Source(error) => return error.hint(),
            EngineError::Target(error) => return error.hint(),
            EngineError::Plan(error) => return error.hint(),
            EngineError::Rules(error) => return error.hint(),
            EngineError::GaveUp { last, .. } => return last.hint(),
            EngineError::Preflight { findings } => {
                return findings.first().map(|finding| finding.hint.clone()).unwrap_or_default();
            }
            EngineError::PipelineName { .. } => "a pipeline name has 1 to 100 characters, none of them a control character",
            EngineError::NoTables => "check the table patterns, and what preflight says of the tables that were left out",
            EngineError::PipelineConflict { .. } => {
                "leave the option away to go on with what the pipeline has, or choose another pipeline name"
            }
            EngineError::EngineMismatch { .. } => {
                "give --engine as the pipeline was made with, or hand it over with `segcdc migrate --engine ...`"
            }
            EngineError::SourceIdentityMismatch { .. } => {
                "give the source URL that the pipeline was made with; for another source, remove the pipeline and copy anew"
            }
            EngineError::SourceRewound { .. } => {
                "the source was restored, or a standby was promoted that lacked the last changes: \
                 the target is ahead of it and the tables must be copied again"
            }
            EngineError::TargetRewound { .. } => {
                "the target was restored from a backup, or failed over to a replica that lacked the last changes: \
                 the tables must be copied again"
            }
            EngineError::SlotNotOurs { .. } => "take --wal-policy alert, or have the pipeline make a slot",
            EngineError::WalLimitReached { .. } => {
                "the next `segcdc up` with --wal-policy give-up copies the tables again: see first why the target did not keep up"
            }
            EngineError::SlotMissing { .. } => {
                "it was dropped or lost in a failover: `segcdc up --wal-policy give-up` makes another and copies all tables again"
            }
            EngineError::SlotExists { .. } => {
                "another pipeline of the same name may use it: choose another pipeline name, or drop the slot if nobody needs it"
            }
            EngineError::PublicationExists { .. } => {
                "choose another pipeline name, give the publication with --publication, or drop it if nobody needs it"
            }
            EngineError::SlotWrongPlugin { .. } => {
                "give a slot made with pg_create_logical_replication_slot('...', 'pgoutput'), or none"
            }
            EngineError::SlotWrongDatabase { .. } => "give a slot of the database in the source URL, or none",
            EngineError::SlotLost { reason, .. } => {
                let advice = Loss::by(reason).advice;
                return format!("{advice}, then remove the pipeline and copy the tables again");
            }
            EngineError::SlotAheadOfCheckpoint { .. } => {
                "something else has consumed the slot, or it was dropped and made again: changes are lost to it, \
                 and the tables must be copied again"
            }
            EngineError::SlotCreationTimeout { .. } => {
                "end old transactions at the source (pg_stat_activity, pg_prepared_xacts), then start again"
            }
            EngineError::PublicationMissing { .. } => {
                "the publication was dropped; making it again does not mend the slot: remove the pipeline and copy again"
            }
            EngineError::PublicationChanged { .. } => {
                "set the publication back to what it was; if changes were made in between, copy the tables again"
            }
            EngineError::TableUnpublished { .. } => {
                "add the table to the publication, then copy it again: changes made meanwhile are not in the stream"
            }
            EngineError::TablePartlyPublished { .. } => {
                "remove column list and row filter of the table from the publication, then copy it again"
            }
            EngineError::SourceTable { error, .. } => return error.hint(),
            EngineError::TableDropped { .. } => "the target's rows are kept; remove the table from the pipeline",
            EngineError::SourceSchemaChanged { .. } => {
                "bring the target table to the new shape, then copy the table again"
            }
            EngineError::StreamFormChanged { .. } => "the pipeline opens it anew by itself",
            EngineError::TargetSchemaDrift { .. } => "set the target table back to what it was, or copy the table again",
            EngineError::SpillUnreadable { .. } => SPILL_HINT,
            EngineError::Abandoned | EngineError::TaskBroken { .. } => "start again; it goes on from its checkpoint. If it happens again, report it",
        }
        .to_owned()
    }

    fn fix_sql(&self) -> Option<String> {
        fix::sql(self)
    }
}
