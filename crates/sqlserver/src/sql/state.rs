//! The state of pipelines, in schema `segcdc` of the target database: the only place where a pipeline that `up` started
//! keeps anything.

use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{Checkpoint, Lineage, Lsn, QualifiedName, TablePhase};

use crate::quote;
use crate::sql::{
    large_transaction, letters, partial_transaction, schema_changes, skipped_transaction, slot_watch,
    table_wish,
};
use crate::state::{Lag, NewPipeline, TableProgress, TableState};

/// Version of the layout below. A row with a higher one is refused.
pub const SCHEMA_VERSION: i64 = 1;

/// The schema of all state.
pub const SCHEMA: &str = "segcdc";

/// One row a pipeline: identity of the source, position, fence.
pub const CREATE_PIPELINE: &str = "CREATE TABLE [segcdc].[pipeline] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [epoch] bigint NOT NULL,
    [owner] nvarchar(200) NOT NULL,
    [batch_seq] bigint NOT NULL,
    [applied_lsn] bigint NOT NULL,
    [commit_time_us] bigint NULL,
    [system_identifier] nvarchar(20) NOT NULL,
    [timeline] int NOT NULL,
    [database_oid] bigint NOT NULL,
    [slot] nvarchar(63) NOT NULL,
    [slot_is_ours] bit NOT NULL,
    [publication] nvarchar(63) NOT NULL,
    [publication_oid] bigint NOT NULL,
    [publication_is_ours] bit NOT NULL,
    [schema_version] int NOT NULL,
    [transactions_applied] bigint NOT NULL,
    [changes_applied] bigint NOT NULL,
    [spec] nvarchar(max) NULL,
    [source_lsn] bigint NULL,
    [lag_us] bigint NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_pipeline] PRIMARY KEY CLUSTERED ([pipeline])
)";

/// One row a table of a pipeline.
pub const CREATE_PIPELINE_TABLE: &str = "CREATE TABLE [segcdc].[pipeline_table] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [source_oid] bigint NOT NULL,
    [source_schema] nvarchar(63) NOT NULL,
    [source_name] nvarchar(63) NOT NULL,
    [target_schema] nvarchar(128) NOT NULL,
    [target_name] nvarchar(128) NOT NULL,
    [shape] nvarchar(64) NOT NULL,
    [phase] nvarchar(20) NOT NULL,
    [sync_lsn] bigint NOT NULL,
    [rows_copied] bigint NOT NULL,
    [bytes_copied] bigint NOT NULL,
    [estimated_rows] bigint NOT NULL,
    [table_is_ours] bit NOT NULL,
    [error_code] nvarchar(64) NULL,
    [error_detail] nvarchar(2000) NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_pipeline_table] PRIMARY KEY CLUSTERED ([pipeline], [source_oid])
)";

/// Columns of [`CREATE_PIPELINE`] in the order in which they are read.
const PIPELINE_COLUMNS: [&str; 20] = [
    "epoch",
    "owner",
    "batch_seq",
    "applied_lsn",
    "commit_time_us",
    "system_identifier",
    "timeline",
    "database_oid",
    "slot",
    "slot_is_ours",
    "publication",
    "publication_oid",
    "publication_is_ours",
    "schema_version",
    "transactions_applied",
    "changes_applied",
    "spec",
    "source_lsn",
    "lag_us",
    "updated_at",
];

/// Columns of [`CREATE_PIPELINE_TABLE`] in the order in which they are read and written.
const TABLE_COLUMNS: &str = "[source_oid], [source_schema], [source_name], [target_schema], [target_name], [shape], \
     [phase], [sync_lsn], [rows_copied], [bytes_copied], [estimated_rows], [table_is_ours], [error_code], [error_detail]";

/// What a batch adds to the totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Commit time of the last transaction, microseconds since 2000-01-01 UTC; `None` for an idle advance.
    pub commit_time_us: Option<i64>,
    /// Source transactions.
    pub transactions: u64,
    /// Source changes.
    pub changes: u64,
}

fn columns(prefix: &str) -> String {
    PIPELINE_COLUMNS.map(|column| format!("{prefix}[{column}]")).join(", ")
}

/// The state row of a pipeline, and the server's time behind it.
pub fn select_pipeline(pipeline: &str) -> String {
    format!(
        "SELECT {}, SYSUTCDATETIME() FROM [segcdc].[pipeline] WHERE [pipeline] = {}",
        columns(""),
        quote::text(pipeline)
    )
}

/// The rows of a pipeline's tables.
pub fn select_tables(pipeline: &str) -> String {
    format!(
        "SELECT {TABLE_COLUMNS} FROM [segcdc].[pipeline_table] WHERE [pipeline] = {} \
         ORDER BY [source_schema], [source_name], [source_oid]",
        quote::text(pipeline)
    )
}

/// Position and time of a heartbeat table's one row.
pub fn select_heartbeat(table: &QualifiedName) -> String {
    format!("SELECT [lsn], [at_us] FROM {} WHERE [id] = 1", quote::qualified(table))
}

/// Names of all pipelines.
pub const SELECT_NAMES: &str = "SELECT [pipeline] FROM [segcdc].[pipeline] ORDER BY [pipeline]";

/// The newest layout of all state rows; NULL without any.
pub const SELECT_NEWEST_LAYOUT: &str = "SELECT MAX([schema_version]) FROM [segcdc].[pipeline]";

/// The state row, read with a lock that waits for a writer's open transaction: a versioned read would not.
pub fn select_pipeline_locked(pipeline: &str) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [updated_at] = SYSUTCDATETIME() OUTPUT {} WHERE [pipeline] = {}",
        columns("inserted."),
        quote::text(pipeline)
    )
}

/// The first row of a pipeline, epoch 1.
pub fn insert_pipeline(new: &NewPipeline) -> String {
    let lineage = &new.lineage;
    format!(
        "INSERT INTO [segcdc].[pipeline] ([pipeline], [epoch], [owner], [batch_seq], [applied_lsn], \
         [system_identifier], [timeline], [database_oid], [slot], [slot_is_ours], [publication], [publication_oid], \
         [publication_is_ours], [schema_version], [transactions_applied], [changes_applied], [spec], [updated_at]) \
         VALUES ({}, 1, {}, 0, {}, {}, {}, {}, {}, {}, {}, {}, {}, {SCHEMA_VERSION}, 0, 0, {}, SYSUTCDATETIME())",
        quote::text(&new.pipeline),
        quote::text(&new.owner),
        new.start_lsn.as_u64(),
        quote::text(&lineage.system_identifier),
        lineage.timeline,
        lineage.database_oid,
        quote::text(&lineage.slot),
        u8::from(new.slot_is_ours),
        quote::text(&lineage.publication),
        lineage.publication_oid,
        u8::from(new.publication_is_ours),
        text_or_null(new.spec.as_deref()),
    )
}

/// Takes the pipeline over: a new epoch. Waits behind the open batch of another process, so that the row that it
/// returns is final.
pub fn take_over(pipeline: &str, owner: &str) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [epoch] = [epoch] + 1, [owner] = {}, [updated_at] = SYSUTCDATETIME() \
         OUTPUT {} WHERE [pipeline] = {}",
        quote::text(owner),
        columns("inserted."),
        quote::text(pipeline)
    )
}

/// The first statement of a batch: proves that this process still owns the pipeline and that the checkpoint is where
/// the batch begins, locks the row, and counts the batch, so that [`finish`] finds out when the server has rolled the
/// transaction back behind our back.
pub fn fence(checkpoint: &Checkpoint) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [batch_seq] = [batch_seq] + 1 WHERE {} AND [batch_seq] = {}",
        compare_position(checkpoint),
        checkpoint.batch_seq
    )
}

/// The last statement of a batch: moves the checkpoint, if the transaction is still the one that [`fence`] began.
pub fn finish(checkpoint: &Checkpoint, lsn: Lsn, totals: &Totals) -> String {
    let moved = match is_planted(Mutant::CommitWithoutCheckpoint) {
        true => "[updated_at] = SYSUTCDATETIME()".to_owned(),
        false => moved(lsn, totals),
    };
    format!(
        "UPDATE [segcdc].[pipeline] SET {moved} WHERE {} AND [batch_seq] = {}",
        compare_position(checkpoint),
        checkpoint.batch_seq + 1
    )
}

/// Proves that this process still owns the pipeline, wherever its checkpoint is, and locks the row.
pub fn hold(checkpoint: &Checkpoint) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [updated_at] = SYSUTCDATETIME() WHERE {}",
        compare_epoch(checkpoint)
    )
}

/// Moves the checkpoint without a batch, if nobody else has moved it.
pub fn advance(checkpoint: &Checkpoint, lsn: Lsn, totals: &Totals) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [batch_seq] = [batch_seq] + 1, {} WHERE {}",
        moved(lsn, totals),
        compare(checkpoint)
    )
}

/// Names the slot and publication that a pipeline reads from now on, and where it begins.
pub fn set_lineage(checkpoint: &Checkpoint, lineage: &Lineage, lsn: Lsn) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [system_identifier] = {}, [timeline] = {}, [database_oid] = {}, [slot] = {}, \
         [publication] = {}, [publication_oid] = {}, [applied_lsn] = {}, [batch_seq] = [batch_seq] + 1, \
         [updated_at] = SYSUTCDATETIME() WHERE {}",
        quote::text(&lineage.system_identifier),
        lineage.timeline,
        lineage.database_oid,
        quote::text(&lineage.slot),
        quote::text(&lineage.publication),
        lineage.publication_oid,
        lsn.as_u64(),
        compare(checkpoint)
    )
}

/// Hands the pipeline to another engine, in one statement: what it reads, where it goes on, and what that engine has to
/// know. An empty `spec` is none.
pub fn hand_over(checkpoint: &Checkpoint, lineage: &Lineage, lsn: Lsn, spec: &str) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [timeline] = {}, [slot] = {}, [publication] = {}, [publication_oid] = {}, \
         [applied_lsn] = {}, [spec] = {}, [batch_seq] = [batch_seq] + 1, [updated_at] = SYSUTCDATETIME() WHERE {}",
        lineage.timeline,
        quote::text(&lineage.slot),
        quote::text(&lineage.publication),
        lineage.publication_oid,
        lsn.as_u64(),
        text_or_null(Some(spec).filter(|spec| !spec.is_empty())),
        compare(checkpoint)
    )
}

/// Says which of slot and publication are ours to remove.
pub fn set_ownership(checkpoint: &Checkpoint, slot_is_ours: bool, publication_is_ours: bool) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [slot_is_ours] = {}, [publication_is_ours] = {}, \
         [updated_at] = SYSUTCDATETIME() WHERE {}",
        u8::from(slot_is_ours),
        u8::from(publication_is_ours),
        compare_epoch(checkpoint)
    )
}

/// Stores the engine's settings.
pub fn set_spec(checkpoint: &Checkpoint, spec: &str) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [spec] = {}, [updated_at] = SYSUTCDATETIME() WHERE {}",
        quote::text(spec),
        compare_epoch(checkpoint)
    )
}

/// Stores how far behind the pipeline is.
pub fn set_lag(checkpoint: &Checkpoint, lag: &Lag) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [source_lsn] = {}, [lag_us] = {}, [updated_at] = SYSUTCDATETIME() WHERE {}",
        lag.source_lsn.as_u64(),
        lag.lag_us,
        compare_epoch(checkpoint)
    )
}

/// Removes the row of a table.
pub fn delete_table(pipeline: &str, source_oid: u32) -> String {
    format!(
        "DELETE FROM [segcdc].[pipeline_table] WHERE [pipeline] = {} AND [source_oid] = {source_oid}",
        quote::text(pipeline)
    )
}

/// Writes the row of a table that has none.
pub fn insert_table(pipeline: &str, table: &TableState) -> String {
    let error = table.error.as_ref();
    format!(
        "INSERT INTO [segcdc].[pipeline_table] ([pipeline], {TABLE_COLUMNS}, [updated_at]) \
         VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, SYSUTCDATETIME())",
        quote::text(pipeline),
        table.source_oid,
        quote::text(&table.source.schema),
        quote::text(&table.source.name),
        quote::text(&table.target.schema),
        quote::text(&table.target.name),
        quote::text(&table.shape),
        quote::text(table.phase.as_str()),
        table.sync_lsn.as_u64(),
        table.rows_copied,
        table.bytes_copied,
        table.estimated_rows,
        u8::from(table.table_is_ours),
        text_or_null(error.map(|(code, _)| code.as_str())),
        text_or_null(error.map(|(_, detail)| shortened(detail)).as_deref()),
    )
}

/// Moves a table to another phase, with the error that put it there.
pub fn set_phase(pipeline: &str, oid: u32, phase: TablePhase, error: Option<(&str, &str)>) -> String {
    format!(
        "UPDATE [segcdc].[pipeline_table] SET [phase] = {}, [error_code] = {}, [error_detail] = {}, \
         [updated_at] = SYSUTCDATETIME() WHERE [pipeline] = {} AND [source_oid] = {oid}",
        quote::text(phase.as_str()),
        text_or_null(error.map(|(code, _)| code)),
        text_or_null(error.map(|(_, detail)| shortened(detail)).as_deref()),
        quote::text(pipeline)
    )
}

/// Sets a table aside, which holds its source as of `lsn`.
pub fn pause(pipeline: &str, oid: u32, lsn: Lsn) -> String {
    format!(
        "UPDATE [segcdc].[pipeline_table] SET [phase] = {}, [sync_lsn] = {}, [error_code] = NULL, [error_detail] = NULL, \
         [updated_at] = SYSUTCDATETIME() WHERE [pipeline] = {} AND [source_oid] = {oid}",
        quote::text(TablePhase::Paused.as_str()),
        lsn.as_u64(),
        quote::text(pipeline)
    )
}

/// Stores how far the copy of a table is.
pub fn set_progress(pipeline: &str, progress: &TableProgress) -> String {
    format!(
        "UPDATE [segcdc].[pipeline_table] SET [rows_copied] = {}, [bytes_copied] = {}, \
         [updated_at] = SYSUTCDATETIME() WHERE [pipeline] = {} AND [source_oid] = {}",
        progress.rows_copied,
        progress.bytes_copied,
        quote::text(pipeline),
        progress.source_oid
    )
}

/// Makes a copied table live.
pub fn finish_copy(pipeline: &str, progress: &TableProgress, sync_lsn: Lsn) -> String {
    format!(
        "UPDATE [segcdc].[pipeline_table] SET [phase] = {}, [sync_lsn] = {}, [rows_copied] = {}, [bytes_copied] = {}, \
         [error_code] = NULL, [error_detail] = NULL, [updated_at] = SYSUTCDATETIME() \
         WHERE [pipeline] = {} AND [source_oid] = {}",
        quote::text(TablePhase::Streaming.as_str()),
        sync_lsn.as_u64(),
        progress.rows_copied,
        progress.bytes_copied,
        quote::text(pipeline),
        progress.source_oid
    )
}

/// Removes all rows of a pipeline, in one transaction.
pub fn remove(pipeline: &str) -> String {
    let name = quote::text(pipeline);
    let [letters, uses] = letters::TABLES.map(|(table, _)| letters::remove_if_there(table, pipeline));
    let [watch, large, partial, wishes, skipped] = [
        slot_watch::TABLE,
        large_transaction::TABLE,
        partial_transaction::TABLE,
        table_wish::TABLE,
        skipped_transaction::TABLE,
    ]
    .map(|table| letters::remove_if_there(table, pipeline));
    let [known, changes] = [schema_changes::KNOWN_TABLE, schema_changes::SCHEMA_CHANGE]
        .map(|(table, _)| letters::remove_if_there(table, pipeline));
    format!(
        "BEGIN TRANSACTION; {letters}; {uses}; {watch}; {large}; {partial}; {wishes}; {skipped}; {known}; {changes}; \
         DELETE FROM [segcdc].[pipeline_table] WHERE [pipeline] = {name}; \
         DELETE FROM [segcdc].[pipeline] WHERE [pipeline] = {name}; COMMIT TRANSACTION"
    )
}

/// Number of pipelines; keeps new ones out until the transaction ends.
pub const COUNT_LOCKED: &str = "SELECT COUNT_BIG(*) FROM [segcdc].[pipeline] WITH (UPDLOCK, HOLDLOCK)";

/// Remove the tables. Those that older versions did not have may be missing.
pub const DROP_TABLES: [&str; 11] = [
    "DROP TABLE IF EXISTS [segcdc].[skipped_transaction]",
    "DROP TABLE IF EXISTS [segcdc].[table_wish]",
    "DROP TABLE IF EXISTS [segcdc].[partial_transaction]",
    "DROP TABLE IF EXISTS [segcdc].[known_table]",
    "DROP TABLE IF EXISTS [segcdc].[schema_change]",
    "DROP TABLE IF EXISTS [segcdc].[large_transaction]",
    "DROP TABLE IF EXISTS [segcdc].[slot_watch]",
    "DROP TABLE IF EXISTS [segcdc].[dead_letter]",
    "DROP TABLE IF EXISTS [segcdc].[policy_use]",
    "DROP TABLE [segcdc].[pipeline_table]",
    "DROP TABLE [segcdc].[pipeline]",
];

/// Removes the schema.
pub const DROP_SCHEMA: &str = "DROP SCHEMA [segcdc]";

/// What changes when the checkpoint moves.
fn moved(lsn: Lsn, totals: &Totals) -> String {
    let commit_time =
        totals.commit_time_us.map_or(String::new(), |time| format!("[commit_time_us] = {time}, "));
    format!(
        "[applied_lsn] = {}, {commit_time}[transactions_applied] = [transactions_applied] + {}, \
         [changes_applied] = [changes_applied] + {}, [updated_at] = SYSUTCDATETIME()",
        lsn.as_u64(),
        totals.transactions,
        totals.changes
    )
}

fn compare(checkpoint: &Checkpoint) -> String {
    format!("{} AND [batch_seq] = {}", compare_position(checkpoint), checkpoint.batch_seq)
}

fn compare_position(checkpoint: &Checkpoint) -> String {
    format!("{} AND [applied_lsn] = {}", compare_epoch(checkpoint), checkpoint.applied_lsn.as_u64())
}

fn compare_epoch(checkpoint: &Checkpoint) -> String {
    format!("[pipeline] = {} AND [epoch] = {}", quote::text(&checkpoint.pipeline), checkpoint.epoch)
}

fn text_or_null(text: Option<&str>) -> String {
    text.map_or("NULL".to_owned(), quote::text)
}

/// What fits of a detail: 1000 characters have at most 2000 UTF-16 units.
pub(super) fn shortened(detail: &str) -> String {
    detail.chars().take(1000).collect()
}
