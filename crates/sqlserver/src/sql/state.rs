//! The state of pipelines, in schema `segcdc` of the target database: the only place where a pipeline that `up` started
//! keeps anything.

use segcdc_model::{Checkpoint, Lsn};

use crate::quote;

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
    [table_is_ours] bit NOT NULL,
    [error_code] nvarchar(64) NULL,
    [error_detail] nvarchar(2000) NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_pipeline_table] PRIMARY KEY CLUSTERED ([pipeline], [source_oid])
)";

/// Columns of [`CREATE_PIPELINE`] in the order in which they are read.
const PIPELINE_COLUMNS: [&str; 14] = [
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
];

fn columns(prefix: &str) -> String {
    PIPELINE_COLUMNS.map(|column| format!("{prefix}[{column}]")).join(", ")
}

/// The state row of a pipeline.
pub fn select_pipeline(pipeline: &str) -> String {
    format!("SELECT {} FROM [segcdc].[pipeline] WHERE [pipeline] = {}", columns(""), quote::text(pipeline))
}

/// The state row, read with a lock that waits for a writer's open transaction: a versioned read would not.
pub fn select_pipeline_locked(pipeline: &str) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [updated_at] = SYSUTCDATETIME() OUTPUT {} WHERE [pipeline] = {}",
        columns("inserted."),
        quote::text(pipeline)
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

/// The first statement of a batch: proves that this process still owns the pipeline, and locks the row.
pub fn fence(checkpoint: &Checkpoint) -> String {
    format!(
        "UPDATE [segcdc].[pipeline] SET [updated_at] = SYSUTCDATETIME() WHERE {}",
        compare(checkpoint)
    )
}

/// The last statement of a batch: moves the checkpoint, if nobody else has.
pub fn advance(checkpoint: &Checkpoint, lsn: Lsn, commit_time_us: Option<i64>) -> String {
    let commit_time = commit_time_us.map_or(String::new(), |time| format!(", [commit_time_us] = {time}"));
    format!(
        "UPDATE [segcdc].[pipeline] SET [applied_lsn] = {}, [batch_seq] = [batch_seq] + 1{commit_time}, \
         [updated_at] = SYSUTCDATETIME() WHERE {}",
        lsn.as_u64(),
        compare(checkpoint)
    )
}

/// Names the slot that a pipeline reads from now on, and where it begins.
pub fn set_lineage(checkpoint: &Checkpoint, lineage: &segcdc_model::Lineage, lsn: Lsn) -> String {
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

fn compare(checkpoint: &Checkpoint) -> String {
    format!(
        "[pipeline] = {} AND [epoch] = {} AND [applied_lsn] = {} AND [batch_seq] = {}",
        quote::text(&checkpoint.pipeline),
        checkpoint.epoch,
        checkpoint.applied_lsn.as_u64(),
        checkpoint.batch_seq
    )
}
