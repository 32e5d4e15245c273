//! What each session begins with, and what preflight asks.

use segcdc_model::QualifiedName;

use crate::quote;

/// Options of every session (T-SQL manual, "SET options that affect results"). `XACT_ABORT` makes any failed statement
/// roll the whole transaction back; `NOCOUNT OFF` because row counts are checked; `LOCK_TIMEOUT` so that a foreign
/// lock becomes an error that is retried and shown; `TEXTSIZE` because a login that is not ODBC's gets 4 KiB of a long
/// value. None is left to the defaults of a database or login.
pub const OPTIONS: &str = "SET XACT_ABORT ON; SET NOCOUNT OFF; SET ANSI_NULLS ON; SET QUOTED_IDENTIFIER ON; \
     SET ANSI_WARNINGS ON; SET ANSI_PADDING ON; SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; \
     SET NUMERIC_ROUNDABORT OFF; SET IMPLICIT_TRANSACTIONS OFF; SET LOCK_TIMEOUT 30000; SET TEXTSIZE 2147483647; \
     SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// For sessions that only look at the state: they see what an open transaction has written, and do not wait for it (T-SQL
/// manual, "SET TRANSACTION ISOLATION LEVEL"). A large source transaction holds the pipeline's row for minutes.
pub const READ_UNCOMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";

/// Ends a transaction that may be open. XACT_ABORT has usually done it already.
pub const ROLLBACK_IF_OPEN: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION";

/// Begins a transaction. Never inside `sp_executesql`, which must end with as many transactions as it began with
/// (error 266).
pub const BEGIN: &str = "BEGIN TRANSACTION";

/// Ends the transaction for good.
pub const COMMIT: &str = "COMMIT TRANSACTION";

/// A name with a closing bracket, to see whether the server's parser knows them.
pub const CLOSING_BRACKET: &str = "SELECT 1 AS [a]]b]";

/// Which of some names are one to the database: numbers of the first and the last of each such group. A name comes with the
/// number of those that it must differ from, and a table's with its schema.
///
/// `CATALOG_DEFAULT` is what the server compares names of tables and columns by, which is not always what it compares text by
/// (T-SQL manual, "Contained database collations").
pub fn alike(names: &[(usize, &str, &str)]) -> String {
    let rows: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(number, (group, schema, name))| {
            format!("({number}, {group}, {}, {})", quote::text(schema), quote::text(name))
        })
        .collect();
    format!(
        "SELECT MIN(n.[number]), MAX(n.[number]) FROM (VALUES {}) AS n ([number], [group], [schema], [name]) \
         GROUP BY n.[group], n.[schema] COLLATE CATALOG_DEFAULT, n.[name] COLLATE CATALOG_DEFAULT HAVING COUNT(*) > 1 \
         ORDER BY 1",
        rows.join(", ")
    )
}

/// Has times of day back, to see whether they arrive as they are: `SELECT @P1, @P2`.
pub fn times(count: usize) -> String {
    let parameters: Vec<String> = (1..=count).map(|number| format!("@P{number}")).collect();
    format!("SELECT {}", parameters.join(", "))
}

/// Version, edition, kind of engine, database, user, the version of Babelfish, a property that only Babelfish knows (for what
/// a server does not know, SERVERPROPERTY is NULL), and whether there is the type `json`: the list of types tells, while
/// versions and editions of Azure do not (a managed instance has it by its update policy).
pub const SERVER: &str = "SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(128)), \
     CAST(SERVERPROPERTY(N'Edition') AS nvarchar(128)), CAST(SERVERPROPERTY(N'EngineEdition') AS int), DB_NAME(), \
     USER_NAME(), CAST(SERVERPROPERTY(N'BabelfishVersion') AS nvarchar(128)), \
     (SELECT COUNT(*) FROM [sys].[types] WHERE [system_type_id] = 244 AND [is_user_defined] = 0)";

/// Switches of the database that matter to replication, and whether it can be written to.
pub const DATABASE: &str = "SELECT [compatibility_level], [collation_name], [is_read_only], [delayed_durability_desc], \
     [snapshot_isolation_state_desc], [is_read_committed_snapshot_on], [recovery_model_desc], \
     CAST(DATABASEPROPERTYEX(DB_NAME(), N'Updateability') AS nvarchar(60)) \
     FROM [sys].[databases] WHERE [name] = DB_NAME()";

/// Rights of the user in the database.
pub const DATABASE_RIGHTS: &str = "SELECT HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE TABLE'), \
     HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE SCHEMA')";

/// Rights of the user in a schema, in the order of [`RIGHTS`].
pub fn schema_rights(schema: &str) -> String {
    rights(&quote::name(schema), "SCHEMA")
}

/// Rights of the user on a table, in the order of [`RIGHTS`].
pub fn table_rights(table: &QualifiedName) -> String {
    rights(&quote::qualified(table), "OBJECT")
}

/// What is needed of schemas and tables: rows to read and write, and TRUNCATE and keys, which take ALTER.
pub const RIGHTS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "ALTER"];

fn rights(securable: &str, class: &str) -> String {
    let securable = quote::text(securable);
    let rights = RIGHTS.map(|right| format!("HAS_PERMS_BY_NAME({securable}, N'{class}', N'{right}')"));
    format!("SELECT {}", rights.join(", "))
}
