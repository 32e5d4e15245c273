//! How far a large source transaction is: what `status` shows of it before its commit.
//!
//! The row is written in transactions of its own, by a session of its own, and depends on no other table: while the large
//! transaction is being applied, it holds the row of its pipeline.

use crate::quote;
use crate::state::LargeTransaction;

/// Its name in the schema of the state.
pub const TABLE: &str = "large_transaction";

/// One row a pipeline that is at a large transaction, or was when its process died. Pipelines of older versions have no
/// such table.
pub const CREATE_LARGE_TRANSACTION: &str = "CREATE TABLE [segcdc].[large_transaction] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [epoch] bigint NOT NULL,
    [xid] bigint NOT NULL,
    [is_complete] bit NOT NULL,
    [changes] bigint NOT NULL,
    [disk_bytes] bigint NOT NULL,
    [applied] bigint NOT NULL,
    [part] bigint NOT NULL,
    [parts] bigint NOT NULL,
    [elapsed_ms] bigint NOT NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_large_transaction] PRIMARY KEY CLUSTERED ([pipeline])
)";

/// What is kept of a transaction.
const COLUMNS: [&str; 9] = [
    "[epoch]",
    "[xid]",
    "[is_complete]",
    "[changes]",
    "[disk_bytes]",
    "[applied]",
    "[part]",
    "[parts]",
    "[elapsed_ms]",
];

/// What was last said, in the order of [`COLUMNS`]; then when, and the server's time.
pub fn select(pipeline: &str) -> String {
    format!(
        "SELECT {}, [updated_at], SYSUTCDATETIME() FROM [segcdc].[large_transaction] WHERE [pipeline] = {}",
        COLUMNS.join(", "),
        quote::text(pipeline)
    )
}

/// Says how far it is, unless a process with a higher epoch has said something.
pub fn update(pipeline: &str, epoch: i64, large: &LargeTransaction) -> String {
    let values = values(epoch, large);
    let set: Vec<_> =
        COLUMNS.iter().zip(&values).map(|(column, value)| format!("{column} = {value}")).collect();
    format!(
        "UPDATE [segcdc].[large_transaction] SET {}, [updated_at] = SYSUTCDATETIME() WHERE {}",
        set.join(", "),
        not_newer(pipeline, epoch)
    )
}

/// The same where nothing was said yet.
pub fn insert_where_missing(pipeline: &str, epoch: i64, large: &LargeTransaction) -> String {
    let name = quote::text(pipeline);
    format!(
        "INSERT INTO [segcdc].[large_transaction] ([pipeline], {}, [updated_at]) SELECT {name}, {}, SYSUTCDATETIME() \
         WHERE NOT EXISTS (SELECT 1 FROM [segcdc].[large_transaction] WHERE [pipeline] = {name})",
        COLUMNS.join(", "),
        values(epoch, large).join(", ")
    )
}

/// Forgets what was said, unless a process with a higher epoch has said it.
pub fn delete(pipeline: &str, epoch: i64) -> String {
    format!("DELETE FROM [segcdc].[large_transaction] WHERE {}", not_newer(pipeline, epoch))
}

/// The values of [`COLUMNS`].
fn values(epoch: i64, large: &LargeTransaction) -> [String; 9] {
    [
        epoch.to_string(),
        large.xid.to_string(),
        u8::from(large.is_complete).to_string(),
        large.changes.to_string(),
        large.disk_bytes.to_string(),
        large.applied.to_string(),
        large.part.to_string(),
        large.parts.to_string(),
        large.elapsed_ms.to_string(),
    ]
}

/// The pipeline's row, if it is of this epoch or an older one.
fn not_newer(pipeline: &str, epoch: i64) -> String {
    format!("[pipeline] = {} AND [epoch] <= {epoch}", quote::text(pipeline))
}
