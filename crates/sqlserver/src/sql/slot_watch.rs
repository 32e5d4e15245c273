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

/// What was last seen.
pub fn select(pipeline: &str) -> String {
    format!(
        "SELECT [slot], [timeline], [restart_lsn], [seen_at_us], [source_lsn], [retained_bytes], [limit_bytes] \
         FROM [segcdc].[slot_watch] WHERE [pipeline] = {}",
        quote::text(pipeline)
    )
}

/// Writes what was seen, if the process still owns the pipeline.
pub fn update(pipeline: &str, epoch: i64, seen: &SlotWatch) -> String {
    let limit = seen.limit_bytes.map_or("NULL".to_owned(), |bytes| bytes.to_string());
    format!(
        "UPDATE [segcdc].[slot_watch] SET [slot] = {}, [timeline] = {}, [restart_lsn] = {}, [seen_at_us] = {}, \
         [source_lsn] = {}, [retained_bytes] = {}, [limit_bytes] = {limit} WHERE [pipeline] = {} AND {}",
        quote::text(&seen.slot),
        seen.timeline,
        seen.restart_lsn.as_u64(),
        seen.seen_at_us,
        seen.source_lsn.as_u64(),
        seen.retained_bytes,
        quote::text(pipeline),
        owned(pipeline, epoch)
    )
}

/// The same for a pipeline of which nothing was seen yet.
pub fn insert_where_missing(pipeline: &str, epoch: i64, seen: &SlotWatch) -> String {
    let limit = seen.limit_bytes.map_or("NULL".to_owned(), |bytes| bytes.to_string());
    format!(
        "INSERT INTO [segcdc].[slot_watch] ([pipeline], [slot], [timeline], [restart_lsn], [seen_at_us], \
         [source_lsn], [retained_bytes], [limit_bytes]) SELECT {name}, {}, {}, {}, {}, {}, {}, {limit} \
         WHERE NOT EXISTS (SELECT 1 FROM [segcdc].[slot_watch] WHERE [pipeline] = {name}) AND {}",
        quote::text(&seen.slot),
        seen.timeline,
        seen.restart_lsn.as_u64(),
        seen.seen_at_us,
        seen.source_lsn.as_u64(),
        seen.retained_bytes,
        owned(pipeline, epoch),
        name = quote::text(pipeline)
    )
}

/// The pipeline is still of this epoch.
fn owned(pipeline: &str, epoch: i64) -> String {
    format!(
        "EXISTS (SELECT 1 FROM [segcdc].[pipeline] WHERE [pipeline] = {} AND [epoch] = {epoch})",
        quote::text(pipeline)
    )
}
