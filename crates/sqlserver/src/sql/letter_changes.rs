//! What a batch or a copy does to dead letters and counters, behind the fence: of many rows from a staging table of the
//! session, and of single ones with parameters.
//!
//! ```text
//! [#letters]   [grp] int   which statement the row belongs to; a column for each value of a letter
//! ```
//!
//! A key has at most one open letter: a second one changes the row count of the statement that would open it, and so
//! ends the batch. Rows without a key may have several.

use crate::quote;
use crate::sql::create_table::KEY_COLLATION;

/// The staging table, quoted.
pub const STAGING: &str = "[#letters]";

/// Removes the staging table.
pub const DROP_STAGING: &str = "DROP TABLE [#letters]";

/// The values of a letter that a batch brings, in the order of the staging table's columns behind `[grp]`.
pub const VALUES: [&str; 11] = [
    "source_oid",
    "key_hash",
    "source_schema",
    "source_name",
    "row_key",
    "commit_lsn",
    "code",
    "source_column",
    "payload",
    "in_target",
    "behind",
];

/// Those of [`VALUES`] that a newer version of the row replaces. The key is one of them: a letter that was discarded has none.
const RENEWED: std::ops::Range<usize> = 4..11;

/// What `closed_by` of a discarded letter says, whose `closed_at` is NULL.
pub const DISCARDED: &str = "discarded";

/// Creates the staging table, in the transaction that drops it.
pub fn create_staging() -> String {
    format!(
        "CREATE TABLE {STAGING} ([grp] int NOT NULL, [source_oid] bigint NULL, [key_hash] varbinary(32) NULL, \
         [source_schema] nvarchar(63) COLLATE {KEY_COLLATION} NULL, [source_name] nvarchar(63) COLLATE {KEY_COLLATION} NULL, \
         [row_key] nvarchar(max) COLLATE {KEY_COLLATION} NULL, [commit_lsn] bigint NULL, \
         [code] nvarchar(64) COLLATE {KEY_COLLATION} NULL, [source_column] nvarchar(63) COLLATE {KEY_COLLATION} NULL, \
         [payload] nvarchar(max) COLLATE {KEY_COLLATION} NULL, [in_target] bit NULL, \
         [behind] nvarchar(max) COLLATE {KEY_COLLATION} NULL)"
    )
}

/// Opens the letters of a group, whose keys, if they have one, have no open letter yet.
pub fn open_staged(pipeline: &str, group: usize, keyed: bool) -> String {
    let values = VALUES.map(|value| format!("s.[{value}]"));
    let pipeline = quote::text(pipeline);
    let mut sql = format!(
        "{} SELECT {pipeline}, {}, SYSUTCDATETIME(), SYSUTCDATETIME() FROM {STAGING} AS s WHERE s.[grp] = {group}",
        insert_into(),
        values.join(", ")
    );
    if keyed {
        sql.push_str(" AND ");
        sql.push_str(&no_open_letter(&pipeline, "s.[source_oid]", "s.[key_hash]"));
    }
    sql
}

/// Gives the open letters of a group's keys their newest version.
pub fn renew_staged(pipeline: &str, group: usize) -> String {
    let set = renewed().map(|(_, name)| format!("d.[{name}] = s.[{name}], ")).collect::<String>();
    format!(
        "UPDATE d SET {set}d.[closed_by] = NULL, d.[updated_at] = SYSUTCDATETIME() {}",
        open_ones_of(pipeline, group)
    )
}

/// Closes the open letters of a group's keys.
pub fn close_staged(pipeline: &str, group: usize, end: &str) -> String {
    let set = closed("d.", "s.[commit_lsn]", end);
    format!("UPDATE d SET {set} {}", open_ones_of(pipeline, group))
}

/// Closes `rows` open letters of one content, of a table without a key.
pub fn close_equal(
    pipeline: &str,
    source_oid: u32,
    digest: &[u8; 32],
    rows: u64,
    lsn: u64,
    end: &str,
) -> String {
    format!(
        "UPDATE TOP ({rows}) [segcdc].[dead_letter] SET {} WHERE [pipeline] = {} AND [source_oid] = {source_oid} \
         AND [key_hash] = {} AND [closed_at] IS NULL",
        closed("", &lsn.to_string(), end),
        quote::text(pipeline),
        quote::bytes(digest)
    )
}

/// Closes all open letters of a table, however many there are.
pub fn close_all(pipeline: &str, source_oid: u32, lsn: u64, end: &str) -> String {
    format!(
        "UPDATE [segcdc].[dead_letter] SET {} \
         WHERE [pipeline] = {} AND [source_oid] = {source_oid} AND [closed_at] IS NULL",
        closed("", &lsn.to_string(), end),
        quote::text(pipeline)
    )
}

/// Discards an open letter: what it holds of its row is erased, and it is not shown as open any more. The row stays known as
/// kept out, so that what the source does to it later is still understood.
pub fn discard(pipeline: &str, number: i64) -> String {
    format!(
        "UPDATE [segcdc].[dead_letter] SET [row_key] = NULL, [payload] = NULL, [closed_by] = {}, \
         [updated_at] = SYSUTCDATETIME() WHERE [pipeline] = {} AND [number] = {number} AND [closed_at] IS NULL \
         AND [closed_by] IS NULL",
        quote::text(DISCARDED),
        quote::text(pipeline)
    )
}

/// Makes a counter where it is missing; the count of rows says nothing.
pub fn make_counter(pipeline: &str, source_oid: u32, column: &str, policy: &str) -> String {
    counter_where_missing(
        &quote::text(pipeline),
        &source_oid.to_string(),
        &quote::text(column),
        &quote::text(policy),
    )
}

/// Adds to a counter.
pub fn add_to_counter(pipeline: &str, source_oid: u32, column: &str, policy: &str, uses: u64) -> String {
    format!(
        "UPDATE [segcdc].[policy_use] SET [uses] = [uses] + {uses}, [updated_at] = SYSUTCDATETIME() WHERE {}",
        counter(&quote::text(pipeline), &source_oid.to_string(), &quote::text(column), &quote::text(policy))
    )
}

/// Forgets the counts of a table.
pub fn forget_counters(pipeline: &str, source_oid: u32) -> String {
    format!(
        "DELETE FROM [segcdc].[policy_use] WHERE [pipeline] = {} AND [source_oid] = {source_oid}",
        quote::text(pipeline)
    )
}

/// Opens one letter, whose values are parameters that follow each other from `first` on; `@P5` is the pipeline.
pub fn open_single(first: usize, keyed: bool) -> String {
    let values: Vec<String> =
        (first..first + VALUES.len()).map(|parameter| format!("@P{parameter}")).collect();
    let mut sql =
        format!("{} SELECT @P5, {}, SYSUTCDATETIME(), SYSUTCDATETIME()", insert_into(), values.join(", "));
    if keyed {
        sql.push_str(" WHERE ");
        sql.push_str(&no_open_letter("@P5", &format!("@P{first}"), &format!("@P{}", first + 1)));
    }
    sql
}

/// Gives one open letter its newest version; parameters as [`open_single`].
pub fn renew_single(first: usize) -> String {
    let set = renewed().map(|(index, name)| format!("[{name}] = @P{}, ", first + index)).collect::<String>();
    format!(
        "UPDATE [segcdc].[dead_letter] SET {set}[closed_by] = NULL, [updated_at] = SYSUTCDATETIME() WHERE {}",
        single_open(first)
    )
}

/// Closes `rows` open letters of one key. Parameters from `first` on: source OID, hash, commit LSN; `@P5` is the
/// pipeline.
pub fn close_single(first: usize, rows: u64, end: &str) -> String {
    format!(
        "UPDATE TOP ({rows}) [segcdc].[dead_letter] SET {} WHERE {}",
        closed("", &format!("@P{}", first + 2), end),
        single_open(first)
    )
}

/// Closes all open letters of a table. Parameters from `first` on: source OID, commit LSN; `@P5` is the pipeline.
pub fn close_all_single(first: usize, end: &str) -> String {
    format!(
        "UPDATE [segcdc].[dead_letter] SET {} WHERE [pipeline] = @P5 AND [source_oid] = @P{first} AND [closed_at] IS NULL",
        closed("", &format!("@P{}", first + 1), end),
    )
}

/// Makes a counter where it is missing. Parameters from `first` on: source OID, column, policy, uses; `@P5` is the
/// pipeline.
pub fn make_counter_single(first: usize) -> String {
    let [oid, column, policy] = [0, 1, 2].map(|index| format!("@P{}", first + index));
    counter_where_missing("@P5", &oid, &column, &policy)
}

/// Adds to a counter; parameters as [`make_counter_single`].
pub fn add_to_counter_single(first: usize) -> String {
    let [oid, column, policy] = [0, 1, 2].map(|index| format!("@P{}", first + index));
    format!(
        "UPDATE [segcdc].[policy_use] SET [uses] = [uses] + @P{}, [updated_at] = SYSUTCDATETIME() WHERE {}",
        first + 3,
        counter("@P5", &oid, &column, &policy)
    )
}

fn insert_into() -> String {
    let names = VALUES.map(|value| format!("[{value}]"));
    format!(
        "INSERT INTO [segcdc].[dead_letter] ([pipeline], {}, [opened_at], [updated_at])",
        names.join(", ")
    )
}

fn no_open_letter(pipeline: &str, source_oid: &str, hash: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM [segcdc].[dead_letter] AS d WHERE d.[pipeline] = {pipeline} \
         AND d.[source_oid] = {source_oid} AND d.[key_hash] = {hash} AND d.[closed_at] IS NULL)"
    )
}

fn open_ones_of(pipeline: &str, group: usize) -> String {
    format!(
        "FROM [segcdc].[dead_letter] AS d JOIN {STAGING} AS s ON d.[source_oid] = s.[source_oid] \
         AND d.[key_hash] = s.[key_hash] WHERE d.[pipeline] = {} AND d.[closed_at] IS NULL AND s.[grp] = {group}",
        quote::text(pipeline)
    )
}

fn single_open(first: usize) -> String {
    format!(
        "[pipeline] = @P5 AND [source_oid] = @P{first} AND [key_hash] = @P{} AND [closed_at] IS NULL",
        first + 1
    )
}

fn renewed() -> impl Iterator<Item = (usize, &'static str)> {
    RENEWED.filter_map(|index| Some((index, *VALUES.get(index)?)))
}

/// What a letter becomes when it is closed: values of the row stay nowhere.
fn closed(prefix: &str, lsn: &str, end: &str) -> String {
    format!(
        "{prefix}[commit_lsn] = {lsn}, {prefix}[row_key] = NULL, {prefix}[payload] = NULL, {prefix}[behind] = NULL, \
         {prefix}[updated_at] = SYSUTCDATETIME(), {prefix}[closed_at] = SYSUTCDATETIME(), {prefix}[closed_by] = {}",
        quote::text(end)
    )
}

fn counter_where_missing(pipeline: &str, source_oid: &str, column: &str, policy: &str) -> String {
    format!(
        "INSERT INTO [segcdc].[policy_use] ([pipeline], [source_oid], [source_column], [policy], [uses], [updated_at]) \
         SELECT {pipeline}, {source_oid}, {column}, {policy}, 0, SYSUTCDATETIME() \
         WHERE NOT EXISTS (SELECT 1 FROM [segcdc].[policy_use] WHERE {})",
        counter(pipeline, source_oid, column, policy)
    )
}

fn counter(pipeline: &str, source_oid: &str, column: &str, policy: &str) -> String {
    format!(
        "[pipeline] = {pipeline} AND [source_oid] = {source_oid} AND [source_column] = {column} AND [policy] = {policy}"
    )
}
