//! Transactions, errors within them, control of flow.

use segcdc_sandbox::answer::EnvChange;

use crate::harness::{Sandbox, int, text};

#[tokio::test]
async fn without_xact_abort_a_failed_statement_is_undone_alone() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL CONSTRAINT pk_t PRIMARY KEY)").await;
    client.ok("BEGIN TRAN; INSERT INTO t VALUES (1)").await;
    let answer = client.fails("INSERT INTO t VALUES (2), (1); INSERT INTO t VALUES (3)", &[2627]).await;
    assert_eq!(
        answer.errors[0].message,
        "Violation of PRIMARY KEY constraint 'pk_t'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (1)."
    );
    assert_eq!(answer.counts, [1]);
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(1));
    client.ok("COMMIT").await;
    assert_eq!(client.rows("SELECT k FROM t ORDER BY k").await, [[int(1)], [int(3)]]);
}

#[tokio::test]
async fn with_xact_abort_an_error_rolls_all_back_and_ends_the_batch() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("SET XACT_ABORT ON; CREATE TABLE t (k int NOT NULL PRIMARY KEY)").await;
    client.ok("BEGIN TRAN; INSERT INTO t VALUES (1)").await;
    let answer = client.fails("INSERT INTO t VALUES (1); INSERT INTO t VALUES (3)", &[2627]).await;
    assert!(answer.changes.contains(&EnvChange::Rollback));
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(0));
    assert_eq!(client.value("SELECT COUNT(*) FROM t").await, int(0));
    client.fails("COMMIT", &[3902]).await;
    client.fails("ROLLBACK", &[3903]).await;
}

#[tokio::test]
async fn transactions_nest_and_have_savepoints() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL)").await;
    client.ok("BEGIN TRAN; BEGIN TRAN; INSERT INTO t VALUES (1); COMMIT").await;
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(1));
    client
        .ok("SAVE TRAN a; INSERT INTO t VALUES (2); ROLLBACK TRAN a; INSERT INTO t VALUES (3); COMMIT")
        .await;
    assert_eq!(client.rows("SELECT k FROM t ORDER BY k").await, [[int(1)], [int(3)]]);
    client.ok("BEGIN TRAN; CREATE TABLE u (a int); CREATE TABLE #x (a int); ROLLBACK").await;
    client.fails("SELECT * FROM u", &[208]).await;
    client.fails("SELECT * FROM #x", &[208]).await;
}

#[tokio::test]
async fn names_are_checked_before_anything_runs_but_missing_tables_later() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL)").await;
    client.fails("INSERT INTO t VALUES (1); SELECT nope FROM t", &[207]).await;
    assert_eq!(client.value("SELECT COUNT(*) FROM t").await, int(0));
    client
        .fails("INSERT INTO t VALUES (1); SELECT nope FROM nowhere; INSERT INTO t VALUES (2)", &[208])
        .await;
    assert_eq!(client.value("SELECT COUNT(*) FROM t").await, int(1));
    let answer = client.fails("SELECT 1\nSELEC 2", &[102]).await;
    assert_eq!((answer.errors[0].line, answer.rows.len()), (2, 0));
    client.fails("SELECT FROM t", &[156]).await;
    client.fails("SELECT x.k FROM t", &[4104]).await;
    client.ok("CREATE TABLE v (a int); INSERT INTO v VALUES (1); DROP TABLE v").await;
    client.fails("SELECT @nope", &[137]).await;
}

#[tokio::test]
async fn errors_are_caught_and_thrown_again() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let caught = "BEGIN TRY INSERT INTO t VALUES (1); SELECT 'not here'; END TRY \
                  BEGIN CATCH SELECT ERROR_NUMBER(), XACT_STATE(); END CATCH";
    assert_eq!(client.rows(caught).await, [vec![int(2627), int(0)]]);
    assert_eq!(client.ok(&format!("BEGIN TRAN; {caught}; COMMIT")).await.rows, [vec![int(2627), int(1)]]);
    client.ok("SET XACT_ABORT ON").await;
    let answer = client.fails(&format!("BEGIN TRAN; {caught}"), &[3998]).await;
    assert_eq!(answer.rows, [vec![int(2627), int(-1)]]);
    client
        .fails("BEGIN TRY INSERT INTO t VALUES (1); END TRY BEGIN CATCH IF @@TRANCOUNT > 0 ROLLBACK; THROW; END CATCH", &[2627])
        .await;
    client.fails("THROW 50001, N'own words', 3", &[50001]).await;
    let answer = client.fails("RAISERROR(N'number %d of %s', 16, 1, 5, N'x'); SELECT 1", &[50000]).await;
    assert_eq!((answer.errors[0].message.as_str(), answer.rows.len()), ("number 5 of x", 1));
    let answer = client.ok("PRINT N'hello'").await;
    assert_eq!(answer.messages[0].message, "hello");
}

#[tokio::test]
async fn batches_have_variables_and_flow() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    let sql = "DECLARE @i int = 0, @s nvarchar(100) = N''; WHILE @i < 5 BEGIN SET @i += 1; IF @i = 2 CONTINUE; \
               IF @i = 4 BREAK; SET @s = @s + CAST(@i AS nvarchar(10)) + N','; END; SELECT @i, @s";
    assert_eq!(client.rows(sql).await, [vec![int(4), text("1,3,")]]);
    assert_eq!(client.rows("IF 1 = 0 SELECT 1 ELSE SELECT 2; RETURN; SELECT 3").await, [[int(2)]]);
    client.ok("CREATE TABLE t (k int NOT NULL); INSERT INTO t VALUES (1), (2)").await;
    assert_eq!(client.rows("DECLARE @n int; SELECT @n = COUNT(*) FROM t; SELECT @n").await, [[int(2)]]);
    assert_eq!(client.rows("UPDATE t SET k = k + 1; SELECT @@ROWCOUNT").await, [[int(2)]]);
    let dynamic = "EXEC sp_executesql N'SELECT k FROM t WHERE k = @p', N'@p int', @p = 3";
    assert_eq!(client.rows(dynamic).await, [[int(3)]]);
    client.ok("IF SCHEMA_ID(N'other') IS NULL EXEC(N'CREATE SCHEMA [other]')").await;
    client.ok("IF SCHEMA_ID(N'other') IS NULL EXEC(N'CREATE SCHEMA [other]')").await;
    client.fails("CREATE SCHEMA [other]", &[2714]).await;
    let answer = client.ok("SET NOCOUNT ON; UPDATE t SET k = 1").await;
    assert!(answer.counts.is_empty());
    client.fails("EXEC sp_nothing 1", &[2812]).await;
}

#[tokio::test]
async fn snapshot_isolation_is_off_until_it_is_allowed() {
    let sandbox = Sandbox::shared().await;
    let (mut client, name) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL); INSERT INTO t VALUES (1)").await;
    client.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT").await;
    client.fails("BEGIN TRAN; SELECT k FROM t", &[3952]).await;
    client.ok("IF @@TRANCOUNT > 0 ROLLBACK").await;
    client.ok(&format!("ALTER DATABASE [{name}] SET ALLOW_SNAPSHOT_ISOLATION ON")).await;
    client.ok("BEGIN TRAN; SELECT k FROM t").await;
    let mut other = sandbox.login_to(&name).await;
    other.ok("UPDATE t SET k = 2").await;
    assert_eq!(client.value("SELECT k FROM t").await, int(1));
    client.fails("UPDATE t SET k = 3", &[3960]).await;
}

#[tokio::test]
async fn locks_time_out_and_deadlocks_have_a_victim() {
    let sandbox = Sandbox::shared().await;
    let (mut one, name) = sandbox.new_database().await;
    let mut two = sandbox.login_to(&name).await;
    one.ok("CREATE TABLE t (k int NOT NULL PRIMARY KEY, v int NULL); INSERT INTO t VALUES (1, 0), (2, 0)")
        .await;
    two.ok("SET LOCK_TIMEOUT 50").await;
    one.ok("BEGIN TRAN; UPDATE t SET v = 1 WHERE k = 1").await;
    two.fails("UPDATE t SET v = 2 WHERE k = 1", &[1222]).await;
    two.fails("SELECT v FROM t WITH (UPDLOCK, HOLDLOCK) WHERE k = 1", &[1222]).await;
    two.ok("SET LOCK_TIMEOUT -1; BEGIN TRAN; UPDATE t SET v = 2 WHERE k = 2").await;
    let (a, b) = tokio::join!(
        one.run("UPDATE t SET v = 1 WHERE k = 2"),
        two.run("UPDATE t SET v = 2 WHERE k = 1; COMMIT")
    );
    let mut numbers = a.numbers();
    numbers.extend(b.numbers());
    assert_eq!(numbers, [1205]);
}

#[tokio::test]
async fn implicit_transactions_begin_by_themselves_and_outputs_come_back() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("SET IMPLICIT_TRANSACTIONS ON").await;
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(0));
    client.ok("CREATE TABLE t (k int NOT NULL)").await;
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(1));
    client.ok("COMMIT; INSERT INTO t VALUES (1); ROLLBACK; SET IMPLICIT_TRANSACTIONS OFF").await;
    assert_eq!(client.value("SELECT COUNT(*) FROM t").await, int(0));
    let sql = "DECLARE @n int; EXEC sp_executesql N'SET @p = @q + 1', N'@p int OUTPUT, @q int', @p = @n OUTPUT, @q = 4; SELECT @n";
    assert_eq!(client.value(sql).await, int(5));
    let permissions = "SELECT HAS_PERMS_BY_NAME(N'[dbo]', N'SCHEMA', N'SELECT'), HAS_PERMS_BY_NAME(N'[none]', N'SCHEMA', N'SELECT'), \
        HAS_PERMS_BY_NAME(N'[dbo].[t]', N'OBJECT', N'INSERT'), HAS_PERMS_BY_NAME(N'[dbo].[u]', N'OBJECT', N'INSERT'), \
        HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE TABLE')";
    let null = segcdc_tds::Datum::Null;
    assert_eq!(client.rows(permissions).await, [vec![int(1), null.clone(), int(1), null, int(1)]]);
}
