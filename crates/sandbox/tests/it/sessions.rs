//! What outlives a request, and what does not: interrupted statements, resets, logins, databases.

use std::time::Duration;

use segcdc_sandbox::answer::EnvChange;
use segcdc_sandbox::engine::{LoginRequest, Param};
use tokio::sync::mpsc;

use crate::harness::{Client, Sandbox, int, login, text};

/// Runs a statement that waits for a lock, gives it up, and tells the session. Returns what the session said.
async fn interrupted(client: &mut Client, sql: &str) -> Vec<EnvChange> {
    let (sender, mut replies) = mpsc::channel(64);
    let none: &[Param] = &[];
    let waiting =
        tokio::time::timeout(Duration::from_millis(300), client.session.batch(sql, none, &sender)).await;
    assert!(waiting.is_err(), "{sql} did not wait");
    client.session.interrupt(&sender).await;
    drop(sender);
    let mut changes = Vec::new();
    while let Some(reply) = replies.recv().await {
        if let segcdc_sandbox::answer::Reply::Env(change) = reply {
            changes.push(change);
        }
    }
    changes
}

#[tokio::test]
async fn an_interrupted_statement_leaves_a_usable_session() {
    let sandbox = Sandbox::shared().await;
    let (mut holder, name) = sandbox.new_database().await;
    let mut client = sandbox.login_to(&name).await;
    holder
        .ok("CREATE TABLE t (k int NOT NULL PRIMARY KEY, v int NULL); INSERT INTO t VALUES (1, 0), (2, 0)")
        .await;
    holder.ok("BEGIN TRAN; UPDATE t SET v = 1 WHERE k = 1").await;
    // Without a transaction.
    assert!(interrupted(&mut client, "UPDATE t SET v = 2 WHERE k = 1").await.is_empty());
    assert_eq!(client.value("SELECT v FROM t WHERE k = 1").await, int(0));
    // A definition has a transaction of PostgreSQL's own.
    interrupted(&mut client, "ALTER TABLE t ADD x int NULL").await;
    client.fails("SELECT x FROM t", &[207]).await;
    // With XACT_ABORT OFF the transaction stays, with ON it goes.
    client.ok("BEGIN TRAN; UPDATE t SET v = 5 WHERE k = 2").await;
    assert!(interrupted(&mut client, "UPDATE t SET v = 2 WHERE k = 1").await.is_empty());
    assert_eq!(client.rows("SELECT @@TRANCOUNT, v FROM t WHERE k = 2").await, [[int(1), int(5)]]);
    client.ok("ROLLBACK; SET XACT_ABORT ON; BEGIN TRAN; UPDATE t SET v = 5 WHERE k = 2").await;
    assert_eq!(interrupted(&mut client, "UPDATE t SET v = 2 WHERE k = 1").await, [EnvChange::Rollback]);
    assert_eq!(client.rows("SELECT @@TRANCOUNT, v FROM t WHERE k = 2").await, [[int(0), int(0)]]);
    holder.ok("COMMIT").await;
}

#[tokio::test]
async fn a_reset_session_is_as_after_login() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL)").await;
    client.ok("CREATE TABLE #x (a int); SET XACT_ABORT ON; SET NOCOUNT ON; BEGIN TRAN; INSERT INTO t VALUES (1)").await;
    let (sender, mut replies) = mpsc::channel(64);
    client.session.reset(false, &sender).await;
    drop(sender);
    let mut changes = Vec::new();
    while let Some(reply) = replies.recv().await {
        changes.push(reply);
    }
    assert_eq!(changes, [segcdc_sandbox::answer::Reply::Env(EnvChange::Rollback)]);
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(0));
    client.fails("SELECT * FROM #x", &[208]).await;
    assert_eq!(client.ok("INSERT INTO t VALUES (1)").await.counts, [1]);
}

#[tokio::test]
async fn logins_and_databases_are_refused_with_their_numbers() {
    let sandbox = Sandbox::shared().await;
    let refused = async |request: LoginRequest| sandbox.engine.login(&request).await.unwrap_err().number;
    assert_eq!(refused(LoginRequest { password: "wrong".to_owned(), ..login("shop") }).await, 18456);
    assert_eq!(refused(login("nowhere")).await, 4060);
    let (mut client, name) = sandbox.new_database().await;
    client.fails("USE nowhere", &[911]).await;
    client.fails(&format!("CREATE DATABASE [{name}]"), &[1801]).await;
    client.fails("DROP DATABASE nowhere", &[3701]).await;
    client.fails("BEGIN TRAN; CREATE DATABASE another", &[226]).await;
    client.ok("ROLLBACK").await;
    client.ok("USE shop").await;
    assert_eq!(client.value("SELECT DB_NAME()").await, text("shop"));
    client.ok(&format!("DROP DATABASE [{name}]")).await;
    let version = client.value("SELECT @@VERSION").await;
    assert!(version.as_text().unwrap().contains("not SQL Server"));
}

#[tokio::test]
async fn temporary_tables_are_the_sessions_own() {
    let sandbox = Sandbox::shared().await;
    let (mut one, name) = sandbox.new_database().await;
    let mut two = sandbox.login_to(&name).await;
    one.ok("CREATE TABLE #t (a nvarchar(5) NOT NULL PRIMARY KEY)").await;
    two.fails("SELECT * FROM #t", &[208]).await;
    two.ok("CREATE TABLE #t (b int); INSERT INTO #t VALUES (1)").await;
    one.fails("CREATE TABLE #t (a int)", &[2714]).await;
    let answer = one.fails("INSERT INTO #t VALUES (N'abcdef')", &[2628]).await;
    assert!(answer.errors[0].message.contains("'tempdb.dbo.#t'"), "{:?}", answer.errors);
    one.ok("INSERT INTO #t VALUES (N'a')").await;
    one.fails("INSERT INTO #t VALUES (N'A ')", &[2627]).await;
    // The batch is compiled with the columns that the table has before it runs.
    one.fails("ALTER TABLE #t ADD c int NULL; SELECT c FROM #t", &[207]).await;
    one.ok("ALTER TABLE #t ADD c int NULL").await;
    one.ok("SELECT c FROM #t").await;
    one.ok("DROP TABLE #t; CREATE TABLE #t (z int)").await;
    one.ok("INSERT INTO #t (z) VALUES (1)").await;
    assert_eq!(one.value("SELECT z FROM #t").await, int(1));
}
