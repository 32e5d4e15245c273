//! What each session begins with, and what preflight asks.

/// Options of every session (T-SQL manual, "SET options that affect results"). `XACT_ABORT` makes any failed statement
/// roll the whole transaction back; `NOCOUNT OFF` because row counts are checked; `LOCK_TIMEOUT` so that a foreign
/// lock becomes an error that is retried and shown.
pub const OPTIONS: &str = "SET XACT_ABORT ON; SET NOCOUNT OFF; SET ANSI_NULLS ON; SET QUOTED_IDENTIFIER ON; \
     SET ANSI_WARNINGS ON; SET ANSI_PADDING ON; SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; \
     SET LOCK_TIMEOUT 30000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Ends a transaction that may be open. XACT_ABORT has usually done it already.
pub const ROLLBACK_IF_OPEN: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION";

/// Ends the transaction for good.
pub const COMMIT: &str = "COMMIT TRANSACTION";

/// Edition, versions and collation of the server and its database.
pub const SERVER: &str = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), \
     CAST(SERVERPROPERTY('Edition') AS nvarchar(128)), CAST(SERVERPROPERTY('EngineEdition') AS int), DB_NAME()";

/// Switches of the database that matter to replication.
pub const DATABASE: &str = "SELECT [compatibility_level], [collation_name], [is_read_only], [delayed_durability_desc], \
     [snapshot_isolation_state_desc], [is_read_committed_snapshot_on], [recovery_model_desc] \
     FROM [sys].[databases] WHERE [name] = DB_NAME()";

/// Rights of the login in the database.
pub const RIGHTS: &str = "SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE TABLE'), \
     HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE SCHEMA')";
