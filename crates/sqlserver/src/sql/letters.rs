//! Dead letters and counted uses of policies, in the schema of the state.
//!
//! ```text
//! [dead_letter]   a row of the source that the target cannot hold: open until the row fits, is deleted or truncated
//! [policy_use]    how often a policy other than halt decided, for each column
//! ```
//!
//! `row_key` is a JSON array of the key's values, `payload` a JSON object of the row's, `behind` a JSON array of the
//! columns whose values in the target are older than the source's.
//!
//! Letters are found by table and hash of the key, which the clustered key begins with; at most one of a key is open. A
//! letter that is closed keeps no value of its row, so that what was deleted at the source is not kept here.

use std::fmt::Write as _;

use crate::quote;

/// The letters of all pipelines.
pub const CREATE_DEAD_LETTER: &str = "CREATE TABLE [segcdc].[dead_letter] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [source_oid] bigint NOT NULL,
    [key_hash] varbinary(32) NOT NULL,
    [number] bigint IDENTITY(1, 1) NOT NULL,
    [source_schema] nvarchar(63) NOT NULL,
    [source_name] nvarchar(63) NOT NULL,
    [row_key] nvarchar(max) NULL,
    [commit_lsn] bigint NOT NULL,
    [code] nvarchar(64) NOT NULL,
    [source_column] nvarchar(63) NULL,
    [payload] nvarchar(max) NULL,
    [in_target] bit NOT NULL,
    [behind] nvarchar(max) NULL,
    [opened_at] datetime2(6) NOT NULL,
    [updated_at] datetime2(6) NOT NULL,
    [closed_at] datetime2(6) NULL,
    [closed_by] nvarchar(20) NULL,
    CONSTRAINT [PK_segcdc_dead_letter] PRIMARY KEY CLUSTERED ([pipeline], [source_oid], [key_hash], [number])
)";

/// Uses of policies of all pipelines.
pub const CREATE_POLICY_USE: &str = "CREATE TABLE [segcdc].[policy_use] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [source_oid] bigint NOT NULL,
    [source_column] nvarchar(63) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [policy] nvarchar(20) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [uses] bigint NOT NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_policy_use] PRIMARY KEY CLUSTERED ([pipeline], [source_oid], [source_column], [policy])
)";

/// The two tables, which pipelines of older versions do not have.
pub const TABLES: [(&str, &str); 2] =
    [("dead_letter", CREATE_DEAD_LETTER), ("policy_use", CREATE_POLICY_USE)];

/// What is read of a letter that is listed, in this order.
const LISTED: &str = "[number], [source_oid], [source_schema], [source_name], [commit_lsn], [code], [source_column], \
     [in_target], [behind], [opened_at], [updated_at], [closed_at], [closed_by], [row_key]";

/// Which letters are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these source tables; of all when it is `None`.
    pub tables: Option<Vec<u32>>,
    /// Of this code.
    pub code: Option<String>,
    /// The closed ones too.
    pub with_closed: bool,
    /// Those with a higher number; 0 for all.
    pub after: i64,
}

/// The first `limit` letters that a filter lets through, by number.
pub fn select_letters(pipeline: &str, filter: &Filter, limit: u32) -> String {
    let mut sql = format!(
        "SELECT TOP ({limit}) {LISTED} FROM [segcdc].[dead_letter] WHERE [pipeline] = {} AND [number] > {}",
        quote::text(pipeline),
        filter.after
    );
    // Writing to a String cannot fail.
    if let Some(tables) = &filter.tables {
        let oids: Vec<String> = tables.iter().map(u32::to_string).collect();
        let oids = if oids.is_empty() { "NULL".to_owned() } else { oids.join(", ") };
        let _infallible = write!(sql, " AND [source_oid] IN ({oids})");
    }
    if let Some(code) = &filter.code {
        let _infallible = write!(sql, " AND [code] = {}", quote::text(code));
    }
    if !filter.with_closed {
        sql.push_str(" AND [closed_at] IS NULL AND [closed_by] IS NULL");
    }
    sql.push_str(" ORDER BY [number]");
    sql
}

/// One letter as it is listed, and its payload.
pub fn select_letter(pipeline: &str, number: i64) -> String {
    format!(
        "SELECT {LISTED}, [payload] FROM [segcdc].[dead_letter] WHERE [pipeline] = {} AND [number] = {number}",
        quote::text(pipeline)
    )
}

/// How many letters there are, open, in all, and discarded, by table and code.
pub fn count_letters(pipeline: &str) -> String {
    format!(
        "SELECT [source_oid], [source_schema], [source_name], [code], \
         SUM(CASE WHEN [closed_at] IS NULL AND [closed_by] IS NULL THEN 1 ELSE 0 END), COUNT_BIG(*), \
         SUM(CASE WHEN [closed_at] IS NULL AND [closed_by] IS NOT NULL THEN 1 ELSE 0 END) \
         FROM [segcdc].[dead_letter] WHERE [pipeline] = {} \
         GROUP BY [source_oid], [source_schema], [source_name], [code] \
         ORDER BY [source_schema], [source_name], [source_oid], [code]",
        quote::text(pipeline)
    )
}

/// Hashes of the keys of a table's open letters, `limit` of those with a higher number.
pub fn select_open_keys(pipeline: &str, source_oid: u32, after: i64, limit: u32) -> String {
    format!(
        "SELECT TOP ({limit}) [number], [key_hash], [in_target], [behind] FROM [segcdc].[dead_letter] \
         WHERE [pipeline] = {} AND [source_oid] = {source_oid} AND [closed_at] IS NULL AND [number] > {after} \
         ORDER BY [number]",
        quote::text(pipeline)
    )
}

/// How often policies decided.
pub fn select_policy_uses(pipeline: &str) -> String {
    format!(
        "SELECT [source_oid], [source_column], [policy], [uses] FROM [segcdc].[policy_use] WHERE [pipeline] = {} \
         ORDER BY [source_oid], [source_column], [policy]",
        quote::text(pipeline)
    )
}

/// Removes what a pipeline has in a table of [`TABLES`], where that is there.
pub(crate) fn remove_if_there(table: &str, pipeline: &str) -> String {
    format!(
        "IF OBJECT_ID(N'segcdc.{table}') IS NOT NULL DELETE FROM [segcdc].[{table}] WHERE [pipeline] = {}",
        quote::text(pipeline)
    )
}
