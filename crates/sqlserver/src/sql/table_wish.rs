//! What people ask of single tables of a pipeline, until the process that runs it has done it.

use crate::quote;
use crate::sql::state::shortened;
use crate::state::{TableWish, WishOutcome};

/// Its name in the schema of the state.
pub const TABLE: &str = "table_wish";

/// One row a wish. Pipelines of older versions have no such table.
pub const CREATE_TABLE_WISH: &str = "CREATE TABLE [segcdc].[table_wish] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [id] nvarchar(36) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [source_oid] bigint NOT NULL,
    [source_schema] nvarchar(63) NOT NULL,
    [source_name] nvarchar(63) NOT NULL,
    [wish] nvarchar(max) NOT NULL,
    [outcome] nvarchar(20) NOT NULL,
    [detail] nvarchar(2000) NULL,
    [asked_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_table_wish] PRIMARY KEY CLUSTERED ([pipeline], [id])
)";

/// What is read of a wish, in this order.
const COLUMNS: &str =
    "[id], [source_oid], [source_schema], [source_name], [wish], [outcome], [detail], [asked_at]";

/// Stores a wish that nobody has seen yet.
pub fn insert(pipeline: &str, wish: &TableWish) -> String {
    format!(
        "INSERT INTO [segcdc].[table_wish] ([pipeline], {COLUMNS}) \
         VALUES ({}, {}, {}, {}, {}, {}, {}, NULL, SYSUTCDATETIME())",
        quote::text(pipeline),
        quote::text(&wish.id),
        wish.source_oid,
        quote::text(&wish.source.schema),
        quote::text(&wish.source.name),
        quote::text(&wish.wish),
        quote::text(WishOutcome::Asked.as_str()),
    )
}

/// Wishes that are settled are kept for a day from when they were asked for, for whoever waits for them.
pub fn delete_old(pipeline: &str) -> String {
    format!(
        "DELETE FROM [segcdc].[table_wish] WHERE [pipeline] = {} AND [outcome] IN ({}, {}) \
         AND [asked_at] < DATEADD(day, -1, SYSUTCDATETIME())",
        quote::text(pipeline),
        quote::text(WishOutcome::Done.as_str()),
        quote::text(WishOutcome::Refused.as_str())
    )
}

/// All wishes, in the order in which they were asked for.
pub fn select(pipeline: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM [segcdc].[table_wish] WHERE [pipeline] = {} ORDER BY [asked_at], [id]",
        quote::text(pipeline)
    )
}

/// Those that are not settled.
pub fn select_open(pipeline: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM [segcdc].[table_wish] WHERE [pipeline] = {} AND [outcome] IN ({}, {}) \
         ORDER BY [asked_at], [id]",
        quote::text(pipeline),
        quote::text(WishOutcome::Asked.as_str()),
        quote::text(WishOutcome::Begun.as_str())
    )
}

/// Says what became of a wish.
pub fn settle(pipeline: &str, id: &str, outcome: WishOutcome, detail: &str) -> String {
    format!(
        "UPDATE [segcdc].[table_wish] SET [outcome] = {}, [detail] = {} WHERE [pipeline] = {} AND [id] = {}",
        quote::text(outcome.as_str()),
        quote::text(&shortened(detail)),
        quote::text(pipeline),
        quote::text(id)
    )
}

/// Has the open wishes of a table follow it to the OID that it got when it was made anew.
pub fn follow(pipeline: &str, before: u32, after: u32) -> String {
    format!(
        "UPDATE [segcdc].[table_wish] SET [source_oid] = {after} WHERE [pipeline] = {} AND [source_oid] = {before} \
         AND [outcome] IN ({}, {})",
        quote::text(pipeline),
        quote::text(WishOutcome::Asked.as_str()),
        quote::text(WishOutcome::Begun.as_str())
    )
}
