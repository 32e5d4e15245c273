//! What was last seen of a pipeline's slot: how fast the source writes, and a position that the slot cannot go back behind.

use crate::quote;
use crate::state::SlotWatch;

/// Its name in the schema of the state.
pub const TABLE: &str = "slot_watch";

/// One row a pipeline that follows, or has. Pipelines of older versions have no such table.
pub const CREATE_SLOT_WATCH: &str = "CREATE TABLE [segcdc].[slot_watch] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [slot] nvarchar(63) NOT NULL,
    [timeline] int NOT NULL,
    [restart_lsn] bigint NOT NULL,
    [seen_at_us] bigint NOT NULL,
    [source_lsn] bigint NOT NULL,
    [retained_bytes] bigint NOT NULL,
    [limit_bytes] bigint NULL,
    CONSTRAINT [PK_segcdc_slot_watch] PRIMARY KEY CLUSTERED ([pipeline])
)";

/// What is kept of a slot.
const COLUMNS: [&str; 7] = [
    "[slot]",
    "[timeline]",
    "[restart_lsn]",
    "[seen_at_us]",
    "[source_lsn]",
    "[retained_bytes]",
    "[limit_bytes]",
];

/// What was last seen, in the order of [`COLUMNS`].
pub fn select(pipeline: &str) -> String {
    let columns = COLUMNS.join(", ");
    format!("SELECT {columns} FROM [segcdc].[slot_watch] WHERE [pipeline] = {}", quote::text(pipeline))
}

/// Writes what was seen, if the process still owns the pipeline.
pub fn update(pipeline: &str, epoch: i64, seen: &SlotWatch) -> String {
    let values = values(seen);
    let set: Vec<_> =
        COLUMNS.iter().zip(&values).map(|(column, value)| format!("{column} = {value}")).collect();
    format!(
        "UPDATE [segcdc].[slot_watch] SET {} WHERE [pipeline] = {} AND {}",
        set.join(", "),
        quote::text(pipeline),
        owned(pipeline, epoch)
    )
}

/// The same for a pipeline of which nothing was seen yet.
pub fn insert_where_missing(pipeline: &str, epoch: i64, seen: &SlotWatch) -> String {
    format!(
        "INSERT INTO [segcdc].[slot_watch] ([pipeline], {columns}) SELECT {name}, {values} \
         WHERE NOT EXISTS (SELECT 1 FROM [segcdc].[slot_watch] WHERE [pipeline] = {name}) AND {owned}",
        columns = COLUMNS.join(", "),
        values = values(seen).join(", "),
        owned = owned(pipeline, epoch),
        name = quote::text(pipeline)
    )
}

/// The values of [`COLUMNS`].
fn values(seen: &SlotWatch) -> [String; 7] {
    [
        quote::text(&seen.slot),
        seen.timeline.to_string(),
        seen.restart_lsn.as_u64().to_string(),
        seen.seen_at_us.to_string(),
        seen.source_lsn.as_u64().to_string(),
        seen.retained_bytes.to_string(),
        seen.limit_bytes.map_or("NULL".to_owned(), |bytes| bytes.to_string()),
    ]
}

/// The pipeline is still of this epoch.
fn owned(pipeline: &str, epoch: i64) -> String {
    format!(
        "EXISTS (SELECT 1 FROM [segcdc].[pipeline] WHERE [pipeline] = {} AND [epoch] = {epoch})",
        quote::text(pipeline)
    )
}
