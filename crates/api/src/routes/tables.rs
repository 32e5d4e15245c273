//! What is inside a pipeline: its tables, rows that are set aside, comparisons and rows that differ.

use axum::extract::State;
use segcdc_control::engine::{CopyBy, DeadLetterQuery, TableRequest, TableVerb, VerifyRequest};
use segcdc_control::id::{OperationId, PipelineId};
use segcdc_control::service::TablesWanted;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::authenticate::Signed;
use crate::body::Json;
use crate::path::{Id, Words};
use crate::problem::ApiError;
use crate::query::{Part, Query};
use crate::reply::{Accepted, List};
use crate::routes::operations::Operation;
use crate::routes::pipelines::accepted;

/// A table's name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TableName {
    /// Its schema.
    schema: String,
    /// Its own name.
    name: String,
}

/// Something that a person should know.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Note {
    /// Stable code.
    code: String,
    /// What is the matter.
    detail: String,
    /// What to do.
    hint: String,
}

/// How often a policy decided what became of a column's values.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PolicyUse {
    /// The column.
    column: String,
    /// The policy, as it is written in a rule.
    policy: String,
    /// How often.
    uses: u64,
}

/// A table of a pipeline.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PipelineTable {
    /// By what it is asked for: `schema.table`, a part that could mean something else in double quotes.
    #[schema(example = "public.orders")]
    name: String,
    /// Its name in the source.
    source: TableName,
    /// Its name in the target.
    target: TableName,
    /// Where it stands: `QUEUED`, `COPYING`, `STREAMING`, `PAUSED` or `QUARANTINED`.
    phase: String,
    /// Rows copied so far, or in all.
    rows_copied: u64,
    /// Rows that the source was thought to have when the copy began.
    estimated_rows: u64,
    /// Changes at or below it are in the copy.
    sync_lsn: String,
    /// Why it is quarantined.
    error: Option<Note>,
    /// Rows that are set aside now, as dead letters.
    set_aside: u64,
    /// How often policies decided what became of a value.
    policy_uses: Vec<PolicyUse>,
}

/// Which tables are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableSearch {
    /// At most so many items.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the part before.
    cursor: Option<String>,
    /// Part of the name, whatever its case.
    search: Option<String>,
    /// In this phase only.
    phase: Option<String>,
}

/// A row that is set aside because a value of it does not fit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeadLetter {
    /// What it is called by.
    number: i64,
    /// The source table.
    source: TableName,
    /// `OPEN`, or why it is closed: `HEALED`, `DELETED` or `TRUNCATED`.
    state: String,
    /// Code of the error that the row would be.
    code: String,
    /// The column that does not fit.
    column: Option<String>,
    /// The commit that touched it last.
    commit_lsn: String,
    /// The target holds an older version of the row.
    in_target: bool,
    /// The columns of that version that are behind the source.
    behind: Vec<String>,
    /// When it was opened, by the target's clock.
    opened_at: String,
    /// When it was written last, by the target's clock.
    updated_at: String,
    /// When it was closed, by the target's clock.
    closed_at: Option<String>,
    /// What it holds of its row, for those who may see rows: `key`, and of a letter that is shown alone `payload`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    personal_data: Option<Value>,
}

/// Rows that are set aside.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeadLetters {
    /// The letters, by number.
    #[serde(rename(deserialize = "letters"))]
    items: Vec<DeadLetter>,
    /// Open letters of the tables and code that were asked for.
    open: u64,
    /// Closed ones of them.
    closed: u64,
    /// There are more: send the last `number` as `after`.
    more: bool,
}

/// Which rows that are set aside are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LetterSearch {
    /// Of this table only, `schema.table` with `*` and `?`.
    table: Option<String>,
    /// Of this code only.
    code: Option<String>,
    /// True: the closed ones too.
    closed: Option<bool>,
    /// Those with a higher number.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
}

/// How something is done that is asked of a table.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableWay {
    /// Of `resync`: how the rows get into the target table, `merge` or `swap`. Left to the engine without it.
    by: Option<Way>,
    /// Of `remove`: true has the target table dropped too, if the pipeline made it.
    drop_target: Option<bool>,
}

/// How the rows of a new copy get into a target table.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// Rows that differ are changed.
    Merge,
    /// The copy takes the table's place.
    Swap,
}

/// Tables that are to become tables of a pipeline.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTables {
    /// As `schema.table` with `*` and `?`.
    #[schema(min_items = 1, max_items = 1000)]
    tables: Vec<String>,
}

/// List the tables of a pipeline, as both servers know them now, in the order of their names.
#[utoipa::path(
    get, path = "/pipelines/{id}/tables", tag = "tables",
    params(("id" = String, Path, description = "The pipeline's id."), TableSearch),
    responses((status = 200, body = List<PipelineTable>))
)]
pub(crate) async fn list_tables(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Query(search): Query<TableSearch>,
) -> Result<List<PipelineTable>, ApiError> {
    let part = Part { limit: search.limit, cursor: search.cursor }.read()?;
    let wanted = TablesWanted { search: search.search.unwrap_or_default(), phase: search.phase };
    let page = Box::pin(app.control().pipeline_tables(&actor, id, &wanted, part.page())).await?;
    List::read(page)
}

/// Show a table of a pipeline.
#[utoipa::path(
    get, path = "/pipelines/{id}/tables/{table}", tag = "tables",
    params(
        ("id" = String, Path, description = "The pipeline's id."),
        ("table" = String, Path, description = "The table's `name`.")
    ),
    responses((status = 200, body = PipelineTable))
)]
pub(crate) async fn get_table(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    words: Words,
) -> Result<axum::Json<PipelineTable>, ApiError> {
    let table = Box::pin(app.control().pipeline_table(&actor, id, words.get("table"))).await?;
    read(table).map(axum::Json)
}

/// Ask something of one table. `verify` compares it row by row while changes flow. `pause` has its changes left out, `resume` goes on
/// with it or copies it again, `resync` copies it again, `remove` takes it out of the pipeline, for which the right to edit is needed:
/// while the pipeline runs, none of which the other tables wait for, or when it starts next.
#[utoipa::path(
    post, path = "/pipelines/{id}/tables/{table}/actions/{action}", tag = "tables",
    params(
        ("id" = String, Path, description = "The pipeline's id."),
        ("table" = String, Path, description = "The table's `name`."),
        ("action" = String, Path, description = "verify, pause, resume, resync or remove."), TableWay
    ),
    responses((status = 202, body = Operation))
)]
pub(crate) async fn act_on_table(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    words: Words,
    Query(way): Query<TableWay>,
) -> Result<Accepted<axum::Json<Operation>>, ApiError> {
    let tables = vec![words.get("table").to_owned()];
    let verb = match words.get("action") {
        "verify" => {
            let request = VerifyRequest { tables, limit: 20, by_count: false };
            return Ok(accepted(&Box::pin(app.shared().verify_pipeline(&actor, id, request)).await?));
        }
        "pause" => TableVerb::Pause,
        "resume" => TableVerb::Resume,
        "resync" => TableVerb::Resync(way.by.map(|by| match by {
            Way::Merge => CopyBy::Merge,
            Way::Swap => CopyBy::Swap,
        })),
        "remove" => TableVerb::Remove { drop_target: way.drop_target.unwrap_or_default() },
        _ => return Err(ApiError::NoRoute),
    };
    let request = TableRequest { verb, tables };
    Ok(accepted(&Box::pin(app.shared().ask_tables(&actor, id, request)).await?))
}

/// Add tables to a pipeline: each is copied beside the stream and followed from there on, now or when the pipeline starts next.
#[utoipa::path(
    post, path = "/pipelines/{id}/tables", tag = "tables", request_body = NewTables,
    params(("id" = String, Path, description = "The pipeline's id.")),
    responses((status = 202, body = Operation))
)]
pub(crate) async fn add_tables(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Json(body): Json<NewTables>,
) -> Result<Accepted<axum::Json<Operation>>, ApiError> {
    let request = TableRequest { verb: TableVerb::Add, tables: body.tables };
    Ok(accepted(&Box::pin(app.shared().ask_tables(&actor, id, request)).await?))
}

/// List rows that are set aside because a value of them does not fit (`--on-value set_aside`).
#[utoipa::path(
    get, path = "/pipelines/{id}/dead-letters", tag = "dead letters",
    params(("id" = String, Path, description = "The pipeline's id."), LetterSearch),
    responses((status = 200, body = DeadLetters))
)]
pub(crate) async fn list_dead_letters(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Query(search): Query<LetterSearch>,
) -> Result<axum::Json<DeadLetters>, ApiError> {
    let part = Part { limit: search.limit, cursor: None }.read()?;
    let query = DeadLetterQuery {
        tables: search.table.into_iter().collect(),
        code: search.code,
        with_closed: search.closed.unwrap_or(false),
        after: search.after.unwrap_or(0),
        limit: part.page().limit.into(),
    };
    read(Box::pin(app.control().dead_letters(&actor, id, &query)).await?).map(axum::Json)
}

/// Show a row that is set aside, with what it holds for those who may see rows.
#[utoipa::path(
    get, path = "/pipelines/{id}/dead-letters/{number}", tag = "dead letters",
    params(
        ("id" = String, Path, description = "The pipeline's id."),
        ("number" = i64, Path, description = "The letter's number.")
    ),
    responses((status = 200, body = DeadLetter))
)]
pub(crate) async fn get_dead_letter(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    words: Words,
) -> Result<axum::Json<DeadLetter>, ApiError> {
    let number = words.get("number").parse().map_err(|_form| ApiError::NoRoute)?;
    read(Box::pin(app.control().dead_letter(&actor, id, number)).await?).map(axum::Json)
}

/// List the comparisons of a pipeline, newest first.
#[utoipa::path(
    get, path = "/pipelines/{id}/verifications", tag = "verifications",
    params(("id" = String, Path, description = "The pipeline's id."), Part),
    responses((status = 200, body = List<Operation>))
)]
pub(crate) async fn list_verifications(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    Query(part): Query<Part>,
) -> Result<List<Operation>, ApiError> {
    let page = app.control().verifications(&actor, id, part.read()?.page()).await?;
    Ok(List::of(page, |operation| Operation::of(&operation)))
}

/// List the rows that a comparison found to differ, as far as it lists them. Needs the right to see rows.
#[utoipa::path(
    get, path = "/pipelines/{id}/verifications/{verification}/mismatches", tag = "verifications",
    params(
        ("id" = String, Path, description = "The pipeline's id."),
        ("verification" = String, Path, description = "The id of the comparison's operation."),
        Part
    ),
    responses((status = 200, body = List<Object>))
)]
pub(crate) async fn list_mismatches(
    State(app): State<App>,
    Signed(actor): Signed,
    Id(id): Id<PipelineId>,
    words: Words,
    Query(part): Query<Part>,
) -> Result<List<Value>, ApiError> {
    let verification: OperationId = words.get("verification").parse().map_err(|_form| ApiError::Id)?;
    let page = app.control().mismatches(&actor, id, verification, part.read()?.page()).await?;
    Ok(List::of(page, |row| row))
}

/// What an engine says, as it is described.
fn read<T: serde::de::DeserializeOwned>(said: Value) -> Result<T, ApiError> {
    serde_json::from_value(said).map_err(|error| {
        tracing::error!(error = %error, "an engine says something that is not described");
        ApiError::Internal
    })
}

// === impl List ===

impl<T: serde::de::DeserializeOwned> List<T> {
    /// A part of a list of what an engine says.
    fn read(page: segcdc_control::service::Page<Value>) -> Result<Self, ApiError> {
        let items = page.items.into_iter().map(read::<T>).collect::<Result<Vec<T>, _>>()?;
        Ok(List::of(segcdc_control::service::Page { items, next: page.next }, |item| item))
    }
}
