//! Source transactions that a person wants not to be applied, and what became of that.

use segcdc_model::Lsn;

use crate::quote;
use crate::sql::state::shortened;
use crate::state::{SkippedTransaction, WishOutcome};

/// Its name in the schema of the state.
pub const TABLE: &str = "skipped_transaction";

/// One row a transaction, which stays: it says why the two sides differ. Pipelines of older versions have no such table.
pub const CREATE_SKIPPED_TRANSACTION: &str = "CREATE TABLE [segcdc].[skipped_transaction] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [end_lsn] bigint NOT NULL,
    [outcome] nvarchar(20) NOT NULL,
    [detail] nvarchar(2000) NULL,
    [asked_at] datetime2(6) NOT NULL,
    [settled_at] datetime2(6) NULL,
    [xid] bigint NULL,
    [commit_time_us] bigint NULL,
    [changes] bigint NULL,
    [tables] nvarchar(max) NULL,
    CONSTRAINT [PK_segcdc_skipped_transaction] PRIMARY KEY CLUSTERED ([pipeline], [end_lsn])
)";

/// What is read of each, in this order.
const COLUMNS: &str =
    "[end_lsn], [outcome], [detail], [asked_at], [xid], [commit_time_us], [changes], [tables]";

/// Stores that a transaction is not to be applied, in two statements: one that was refused before may be asked for again.
pub fn ask(pipeline: &str, end_lsn: Lsn) -> [String; 2] {
    let (name, end) = (quote::text(pipeline), end_lsn.as_u64());
    let [asked, refused] =
        [WishOutcome::Asked, WishOutcome::Refused].map(|outcome| quote::text(outcome.as_str()));
    [
        format!(
            "DELETE FROM [segcdc].[skipped_transaction] \
             WHERE [pipeline] = {name} AND [end_lsn] = {end} AND [outcome] = {refused}"
        ),
        format!(
            "INSERT INTO [segcdc].[skipped_transaction] ([pipeline], [end_lsn], [outcome], [asked_at]) \
             SELECT {name}, {end}, {asked}, SYSUTCDATETIME() WHERE NOT EXISTS \
             (SELECT 1 FROM [segcdc].[skipped_transaction] WHERE [pipeline] = {name} AND [end_lsn] = {end})"
        ),
    ]
}

/// Takes that back, if it is not done.
pub fn withdraw(pipeline: &str, end_lsn: Lsn) -> String {
    format!("DELETE FROM [segcdc].[skipped_transaction] WHERE {}", is_asked(pipeline, end_lsn))
}

/// All of them, by position.
pub fn select(pipeline: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM [segcdc].[skipped_transaction] WHERE [pipeline] = {} ORDER BY [end_lsn]",
        quote::text(pipeline)
    )
}

/// Says that a transaction will be applied after all, and why.
pub fn refuse(pipeline: &str, end_lsn: Lsn, why: &str) -> String {
    format!(
        "UPDATE [segcdc].[skipped_transaction] SET [outcome] = {}, [detail] = {}, [settled_at] = SYSUTCDATETIME() WHERE {}",
        quote::text(WishOutcome::Refused.as_str()),
        quote::text(&shortened(why)),
        is_asked(pipeline, end_lsn)
    )
}

/// Records that a transaction is not applied, if that is still asked for.
pub fn record(pipeline: &str, skipped: &SkippedTransaction) -> String {
    format!(
        "UPDATE [segcdc].[skipped_transaction] SET [outcome] = {}, [settled_at] = SYSUTCDATETIME(), [xid] = {}, \
         [commit_time_us] = {}, [changes] = {}, [tables] = {} WHERE {}",
        quote::text(WishOutcome::Done.as_str()),
        skipped.xid,
        skipped.commit_time_us,
        skipped.changes,
        quote::text(&serde_json::json!(skipped.tables).to_string()),
        is_asked(pipeline, skipped.end_lsn)
    )
}

fn is_asked(pipeline: &str, end_lsn: Lsn) -> String {
    format!(
        "[pipeline] = {} AND [end_lsn] = {} AND [outcome] = {}",
        quote::text(pipeline),
        end_lsn.as_u64(),
        quote::text(WishOutcome::Asked.as_str())
    )
}
