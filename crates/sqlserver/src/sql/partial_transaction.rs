//! How much of a source transaction is in the target already, where it is applied part by part.
//!
//! The row is written in the target transaction of the part that it counts. It means something only while the checkpoint
//! is before the end of its transaction; nobody removes it behind that.

use crate::quote;
use crate::state::PartialTransaction;

/// Its name in the schema of the state.
pub const TABLE: &str = "partial_transaction";

/// One row a pipeline that applies large transactions part by part. Pipelines of older versions have no such table.
pub const CREATE_PARTIAL_TRANSACTION: &str = "CREATE TABLE [segcdc].[partial_transaction] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [xid] bigint NOT NULL,
    [end_lsn] bigint NOT NULL,
    [changes] bigint NOT NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_partial_transaction] PRIMARY KEY CLUSTERED ([pipeline])
)";

/// The transaction that was applied in part, and how many of its changes.
pub fn select(pipeline: &str) -> String {
    format!(
        "SELECT [xid], [end_lsn], [changes] FROM [segcdc].[partial_transaction] WHERE [pipeline] = {}",
        quote::text(pipeline)
    )
}

/// Counts a part.
pub fn update(pipeline: &str, partial: &PartialTransaction) -> String {
    format!(
        "UPDATE [segcdc].[partial_transaction] SET [xid] = {}, [end_lsn] = {}, [changes] = {}, \
         [updated_at] = SYSUTCDATETIME() WHERE [pipeline] = {}",
        partial.xid,
        partial.end_lsn.as_u64(),
        partial.changes,
        quote::text(pipeline)
    )
}

/// The same for the first part of a pipeline's first such transaction.
pub fn insert_where_missing(pipeline: &str, partial: &PartialTransaction) -> String {
    let name = quote::text(pipeline);
    format!(
        "INSERT INTO [segcdc].[partial_transaction] ([pipeline], [xid], [end_lsn], [changes], [updated_at]) \
         SELECT {name}, {}, {}, {}, SYSUTCDATETIME() \
         WHERE NOT EXISTS (SELECT 1 FROM [segcdc].[partial_transaction] WHERE [pipeline] = {name})",
        partial.xid,
        partial.end_lsn.as_u64(),
        partial.changes
    )
}
