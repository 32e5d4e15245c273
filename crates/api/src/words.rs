//! Words of the API that are also words of `segcdc-control`, described for OpenAPI.

use segcdc_control::access;
use segcdc_control::connection;
use segcdc_control::lifecycle;
use segcdc_control::pipeline_spec::SnapshotChoice;
use segcdc_control::report::ErrorReport;
use segcdc_control::store::ConnectionKind;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Two enums of the same words.
macro_rules! same_words {
    ($ours:ident = $theirs:path { $($word:ident),+ $(,)? }) => {
        impl From<$theirs> for $ours {
            fn from(word: $theirs) -> Self {
                use $theirs as Theirs;
                match word { $(Theirs::$word => $ours::$word),+ }
            }
        }

        impl From<$ours> for $theirs {
            fn from(word: $ours) -> Self {
                use $theirs as Theirs;
                match word { $($ours::$word => Theirs::$word),+ }
            }
        }
    };
}

/// What somebody is in a tenant.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Sees everything but secrets, row values and the audit log.
    Viewer,
    /// Sees what a viewer sees and the audit log. Changes nothing.
    Auditor,
    /// A viewer who starts, stops, pauses, resyncs and verifies.
    Operator,
    /// An operator who makes and changes connections and pipelines.
    Editor,
    /// An editor who manages the tenant's users and tokens and reads its audit log.
    Admin,
}
same_words!(Role = access::Role { Viewer, Auditor, Operator, Editor, Admin });

/// What a connection leads to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// PostgreSQL, a source.
    Postgres,
    /// SQL Server, a target.
    SqlServer,
}
same_words!(Kind = ConnectionKind { Postgres, SqlServer });

/// How a connection to PostgreSQL is protected.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslMode {
    /// The certificate must be trusted and be the host's.
    VerifyFull,
    /// The certificate must be trusted; its name does not matter.
    VerifyCa,
    /// TLS with any certificate, or with one of the given authority.
    Require,
    /// No TLS.
    Disable,
}
same_words!(SslMode = connection::SslMode { VerifyFull, VerifyCa, Require, Disable });

/// How a connection to SQL Server is protected.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encrypt {
    /// TDS 7.4, all encrypted.
    True,
    /// TDS 8.0, TLS before anything else.
    Strict,
    /// The login is encrypted if the server can, the rest is not.
    False,
}
same_words!(Encrypt = connection::Encrypt { True, Strict, False });

/// What is copied before changes are followed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Snapshot {
    /// Copy, then follow.
    Initial,
    /// Only follow: the target holds the rows already.
    None,
    /// Only copy.
    Only,
}
same_words!(Snapshot = SnapshotChoice { Initial, None, Only });

/// What was asked for last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum DesiredState {
    /// Copy and follow.
    Running,
    /// Rest, to be resumed: slot and state stay.
    Paused,
    /// Rest until further notice: slot and state stay.
    Stopped,
    /// Be removed, with all that was made for it.
    Deleted,
}
same_words!(DesiredState = lifecycle::Desired { Running, Paused, Stopped, Deleted });

/// Where a pipeline stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PipelineState {
    /// It shall run and has not begun yet.
    Unassigned,
    /// It begins; its engine is not following yet.
    Starting,
    /// All tables are live or being copied.
    Running,
    /// It runs; at least one table is quarantined.
    Degraded,
    /// It shall pause; its engine has not ended yet.
    Pausing,
    /// Paused, and no engine runs.
    Paused,
    /// It shall stop; its engine has not ended yet.
    Stopping,
    /// Stopped, and no engine runs.
    Stopped,
    /// It ends to begin anew.
    Restarting,
    /// Its engine ended by an error that does not pass by itself.
    Failed,
    /// What was made for it is being removed; it goes last.
    Deleting,
}
same_words!(
    PipelineState = lifecycle::State {
        Unassigned,
        Starting,
        Running,
        Degraded,
        Pausing,
        Paused,
        Stopping,
        Stopped,
        Restarting,
        Failed,
        Deleting,
    }
);

/// An error of an engine or of a server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EngineError {
    /// Stable code.
    #[schema(example = "SLOT_LOST")]
    code: String,
    /// What failed on which named thing, and why.
    detail: String,
    /// What to do.
    hint: String,
    /// SQL that mends it.
    fix_sql: Vec<String>,
}

// === impl EngineError ===

impl EngineError {
    /// As it is shown.
    pub(crate) fn of(report: ErrorReport) -> Self {
        EngineError {
            detail: report.sentence(),
            code: report.code,
            hint: report.hint,
            fix_sql: report.fix_sql,
        }
    }
}

/// What a change does to a field that may be empty.
#[derive(Debug, Clone, Default)]
pub(crate) enum Change<T> {
    /// Nothing: the field was not sent.
    #[default]
    Keep,
    /// It becomes empty: `null` was sent.
    Clear,
    /// It becomes this.
    Set(T),
}

// === impl Change ===

impl<T> Change<T> {
    /// The field after the change.
    pub(crate) fn of(self, before: Option<T>) -> Option<T> {
        match self {
            Change::Keep => before,
            Change::Clear => None,
            Change::Set(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(reader)?.map_or(Change::Clear, Change::Set))
    }
}
