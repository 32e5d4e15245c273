//! Pipelines as they are sent and shown.

use segcdc_control::ControlError;
use segcdc_control::field::{FieldError, FieldProblems};
use segcdc_control::id::ConnectionId;
use segcdc_control::pipeline_spec::{PipelineSpec, SnapshotChoice};
use segcdc_control::service::{PipelineRequest, PipelineView};
use segcdc_control::store::EngineName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::moment;
use crate::words::{Change, DesiredState, EngineError, PipelineState, Snapshot};

/// A pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pipeline {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Its name, and the key of its state in the target.
    name: String,
    /// Who runs it: `native`.
    engine: String,
    /// The connection of its source.
    #[schema(format = Uuid)]
    source_id: String,
    /// The connection of its target.
    #[schema(format = Uuid)]
    target_id: String,
    /// Tables as `schema.table` with `*` and `?`; empty means all.
    tables: Vec<String>,
    /// What becomes of values that SQL Server cannot hold, as `--on-value`.
    on_value: Vec<String>,
    /// Types in the target, as `--type`.
    types: Vec<String>,
    /// Names in the target, as `--rename`.
    renames: Vec<String>,
    /// Unique indexes by which rows are identified, as `--key`.
    keys: Vec<String>,
    /// Tables that only grow in the target, as `--append-only`.
    append_only: Vec<String>,
    /// What becomes of rows that the target's tables refuse, as `--on-refused`.
    on_refused: Vec<String>,
    /// How many rows of a table may be set aside, as `--dead-letter-limit`: `N`, or `schema.table=N`.
    dead_letter_limit: Vec<String>,
    /// What is copied before changes are followed.
    snapshot: Snapshot,
    /// A publication that exists and is used.
    publication: Option<String>,
    /// A slot that exists and is used.
    slot: Option<String>,
    /// Sessions that copy at the same time.
    readers: Option<u8>,
    /// WAL that the source may keep, bytes.
    max_retained_wal_bytes: Option<u64>,
    /// Grows with each change by a person. The same as the ETag.
    version: i64,
    /// The version whose settings its run has: less than `version` until a change of them has come about. Absent where it does not
    /// run.
    observed_version: Option<i64>,
    /// What was asked for last.
    desired_state: DesiredState,
    /// Where it stands.
    state: PipelineState,
    /// Since when it stands there.
    #[schema(format = DateTime)]
    since: String,
    /// Why it failed, or could not be removed.
    error: Option<EngineError>,
    /// What its engine says of itself, or said last: phase, tables, lag, rates. The same object as `segcdc up -o json`.
    #[schema(value_type = Option<Object>)]
    progress: Option<Value>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When a person changed it last.
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A pipeline that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPipeline {
    /// Its name: 1 to 40 of a-z, 0-9 and _.
    #[schema(example = "orders")]
    name: String,
    /// The connection of its source, a PostgreSQL.
    #[schema(format = Uuid)]
    source_id: String,
    /// The connection of its target, a SQL Server.
    #[schema(format = Uuid)]
    target_id: String,
    /// Tables as `schema.table` with `*` and `?`; empty means all.
    tables: Option<Vec<String>>,
    /// What becomes of values that SQL Server cannot hold, as `--on-value`.
    on_value: Option<Vec<String>>,
    /// Types in the target, as `--type`.
    types: Option<Vec<String>>,
    /// Names in the target, as `--rename`.
    renames: Option<Vec<String>>,
    /// Unique indexes by which rows are identified, as `--key`.
    keys: Option<Vec<String>>,
    /// Tables that only grow in the target, as `--append-only`.
    append_only: Option<Vec<String>>,
    /// What becomes of rows that the target's tables refuse, as `--on-refused`.
    on_refused: Option<Vec<String>>,
    /// How many rows of a table may be set aside, as `--dead-letter-limit`: `N`, or `schema.table=N`.
    dead_letter_limit: Option<Vec<String>>,
    /// What is copied before changes are followed; `initial` without it.
    snapshot: Option<Snapshot>,
    /// A publication that exists and is used; one is made without it.
    publication: Option<String>,
    /// A slot that exists and is used, with snapshot `none`; one is made without it.
    slot: Option<String>,
    /// Sessions that copy at the same time; 4 without it.
    #[schema(minimum = 1, maximum = 32)]
    readers: Option<u8>,
    /// WAL that the source may keep, bytes; behind it an alert is raised.
    #[schema(minimum = 1_048_576)]
    max_retained_wal_bytes: Option<u64>,
    /// The hash of the plan that was agreed to; another plan is refused.
    #[schema(max_length = 64)]
    plan_hash: Option<String>,
    /// Whether it shall run at once.
    start: Option<bool>,
}

/// A pipeline whose plan is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPlan {
    /// Its name: 1 to 40 of a-z, 0-9 and _.
    #[schema(example = "orders")]
    name: String,
    /// The connection of its source, a PostgreSQL.
    #[schema(format = Uuid)]
    source_id: String,
    /// The connection of its target, a SQL Server.
    #[schema(format = Uuid)]
    target_id: String,
    /// Tables as `schema.table` with `*` and `?`; empty means all.
    tables: Option<Vec<String>>,
    /// What becomes of values that SQL Server cannot hold, as `--on-value`.
    on_value: Option<Vec<String>>,
    /// Types in the target, as `--type`.
    types: Option<Vec<String>>,
    /// Names in the target, as `--rename`.
    renames: Option<Vec<String>>,
    /// Unique indexes by which rows are identified, as `--key`.
    keys: Option<Vec<String>>,
    /// Tables that only grow in the target, as `--append-only`.
    append_only: Option<Vec<String>>,
    /// What becomes of rows that the target's tables refuse, as `--on-refused`.
    on_refused: Option<Vec<String>>,
    /// How many rows of a table may be set aside, as `--dead-letter-limit`: `N`, or `schema.table=N`.
    dead_letter_limit: Option<Vec<String>>,
    /// What is copied before changes are followed; `initial` without it.
    snapshot: Option<Snapshot>,
    /// A publication that exists and is used; one is made without it.
    publication: Option<String>,
    /// A slot that exists and is used, with snapshot `none`; one is made without it.
    slot: Option<String>,
}

/// What is to be changed of a pipeline. What is left away stays, null empties.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedPipeline {
    /// Tables; they count for a pipeline that was never started.
    tables: Option<Vec<String>>,
    /// What becomes of values that SQL Server cannot hold.
    on_value: Option<Vec<String>>,
    /// Types in the target.
    types: Option<Vec<String>>,
    /// Names in the target.
    renames: Option<Vec<String>>,
    /// Unique indexes by which rows are identified.
    keys: Option<Vec<String>>,
    /// Tables that only grow in the target.
    append_only: Option<Vec<String>>,
    /// What becomes of rows that the target's tables refuse, as `--on-refused`.
    on_refused: Option<Vec<String>>,
    /// How many rows of a table may be set aside, as `--dead-letter-limit`: `N`, or `schema.table=N`.
    dead_letter_limit: Option<Vec<String>>,
    /// What is copied before changes are followed.
    snapshot: Option<Snapshot>,
    /// A publication that exists and is used.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    publication: Change<String>,
    /// A slot that exists and is used.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    slot: Change<String>,
    /// Sessions that copy at the same time.
    #[serde(default)]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 32)]
    readers: Change<u8>,
    /// WAL that the source may keep, bytes.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1_048_576)]
    max_retained_wal_bytes: Change<u64>,
}

/// What is to be compared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVerification {
    /// Tables as `schema.table` with `*` and `?`; all of the pipeline without it.
    #[schema(max_items = 1000)]
    pub(crate) tables: Option<Vec<String>>,
    /// Differences that are listed for each table; all are counted.
    #[schema(minimum = 0, maximum = 1000, default = 20)]
    pub(crate) limit: Option<u16>,
    /// `rows` compares all values of all rows; `count` says how many rows there are, and nothing about what is in them.
    #[schema(default = "rows")]
    pub(crate) by: Option<CompareBy>,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CompareBy {
    /// All values of all rows.
    Rows,
    /// How many rows there are.
    Count,
}

/// What is to be copied again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewResync {
    /// Tables as `schema.table` with `*` and `?`; those that are quarantined without it.
    #[schema(max_items = 1000)]
    pub(crate) tables: Option<Vec<String>>,
}

/// What a pipeline would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanReply {
    /// Agrees to this plan, as `plan_hash` of a new pipeline.
    hash: String,
    /// Whether the pipeline could start.
    ready: bool,
    /// What keeps it from starting, each with the SQL that mends it.
    #[schema(value_type = Vec<EngineError>)]
    failures: Value,
    /// All of it: checks, tables with types, statements. The same object as `segcdc plan -o json`.
    #[schema(value_type = Object)]
    plan: Value,
}

// === impl Pipeline ===

impl Pipeline {
    /// As it is shown.
    pub(crate) fn of(view: PipelineView) -> Self {
        let PipelineView { stored, spec, error, progress, observed_version } = view;
        Pipeline {
            id: stored.id.text(),
            name: stored.name.to_string(),
            engine: stored.engine.as_str().to_owned(),
            source_id: stored.source.text(),
            target_id: stored.target.text(),
            tables: spec.tables,
            on_value: spec.on_value,
            types: spec.types,
            renames: spec.renames,
            keys: spec.keys,
            append_only: spec.append_only,
            on_refused: spec.on_refused,
            dead_letter_limit: spec.dead_letter_limit,
            snapshot: spec.snapshot.into(),
            publication: spec.publication,
            slot: spec.slot,
            readers: spec.readers,
            max_retained_wal_bytes: spec.max_retained_wal_bytes,
            version: stored.version,
            observed_version,
            desired_state: stored.desired.into(),
            state: stored.state.into(),
            since: moment::text(stored.since),
            error: error.map(EngineError::of),
            progress,
            created_at: moment::text(stored.created_at),
            updated_at: moment::text(stored.updated_at),
        }
    }
}

// === impl NewPipeline ===

impl NewPipeline {
    /// As the use case takes it.
    ///
    /// # Errors
    /// `CONNECTION_MISSING` for what is no id.
    pub(crate) fn read(self) -> Result<PipelineRequest, ControlError> {
        let spec = PipelineSpec {
            tables: self.tables.unwrap_or_default(),
            on_value: self.on_value.unwrap_or_default(),
            types: self.types.unwrap_or_default(),
            renames: self.renames.unwrap_or_default(),
            keys: self.keys.unwrap_or_default(),
            append_only: self.append_only.unwrap_or_default(),
            on_refused: self.on_refused.unwrap_or_default(),
            dead_letter_limit: self.dead_letter_limit.unwrap_or_default(),
            snapshot: self.snapshot.map_or(SnapshotChoice::Initial, Into::into),
            publication: self.publication,
            slot: self.slot,
            readers: self.readers,
            max_retained_wal_bytes: self.max_retained_wal_bytes,
        };
        Ok(PipelineRequest {
            name: self.name,
            engine: EngineName::Native,
            source: connection("source_id", &self.source_id)?,
            target: connection("target_id", &self.target_id)?,
            spec,
            plan_hash: self.plan_hash,
            start: self.start.unwrap_or(false),
        })
    }
}

// === impl NewPlan ===

impl NewPlan {
    /// As the use case takes it.
    ///
    /// # Errors
    /// `CONNECTION_MISSING` for what is no id.
    pub(crate) fn read(self) -> Result<PipelineRequest, ControlError> {
        let NewPlan {
            name,
            source_id,
            target_id,
            tables,
            on_value,
            types,
            renames,
            keys,
            append_only,
            on_refused,
            dead_letter_limit,
            snapshot,
            publication,
            slot,
        } = self;
        let whole = NewPipeline {
            name,
            source_id,
            target_id,
            tables,
            on_value,
            types,
            renames,
            keys,
            append_only,
            on_refused,
            dead_letter_limit,
            snapshot,
            publication,
            slot,
            readers: None,
            max_retained_wal_bytes: None,
            plan_hash: None,
            start: None,
        };
        whole.read()
    }
}

// === impl ChangedPipeline ===

impl ChangedPipeline {
    /// What it makes of a spec.
    pub(crate) fn over(self, before: PipelineSpec) -> PipelineSpec {
        PipelineSpec {
            tables: self.tables.unwrap_or(before.tables),
            on_value: self.on_value.unwrap_or(before.on_value),
            types: self.types.unwrap_or(before.types),
            renames: self.renames.unwrap_or(before.renames),
            keys: self.keys.unwrap_or(before.keys),
            append_only: self.append_only.unwrap_or(before.append_only),
            on_refused: self.on_refused.unwrap_or(before.on_refused),
            dead_letter_limit: self.dead_letter_limit.unwrap_or(before.dead_letter_limit),
            snapshot: self.snapshot.map_or(before.snapshot, Into::into),
            publication: self.publication.of(before.publication),
            slot: self.slot.of(before.slot),
            readers: self.readers.of(before.readers),
            max_retained_wal_bytes: self.max_retained_wal_bytes.of(before.max_retained_wal_bytes),
        }
    }
}

// === impl PlanReply ===

impl PlanReply {
    /// As it is shown.
    pub(crate) fn of(mut plan: Value) -> Self {
        let mut take = |key: &str| plan.get_mut(key).map(Value::take).unwrap_or_default();
        let (hash, ready) = (take("hash"), take("ready"));
        PlanReply {
            hash: hash.as_str().unwrap_or_default().to_owned(),
            ready: ready.as_bool().unwrap_or(false),
            failures: take("failures"),
            plan: take("plan"),
        }
    }
}

fn connection(field: &str, text: &str) -> Result<ConnectionId, ControlError> {
    text.parse().map_err(|_form| FieldProblems::one(field, FieldError::NoConnection).into())
}
