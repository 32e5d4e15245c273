//! The breadth of statements.

use segcdc_tds::{ColumnType, Datum, Len};

use crate::harness::{Sandbox, int, param, text};

#[tokio::test]
async fn queries_join_group_and_combine() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE a (k int NOT NULL, n nvarchar(10) NULL); CREATE TABLE b (k int NOT NULL, v decimal(10,2) NULL)").await;
    client.ok("INSERT INTO a VALUES (1, N'x'), (2, N'y'), (3, NULL); INSERT INTO b VALUES (1, 1.5), (1, 2.5), (2, NULL)").await;
    let check = async |client: &mut crate::harness::Client, sql: &str, expected: Vec<Vec<Datum>>| {
        assert_eq!(client.rows(sql).await, expected, "{sql}");
    };
    let decimal = |magnitude: u128, precision: u8, scale: u8| Datum::Decimal {
        negative: false,
        magnitude,
        precision,
        scale,
    };
    check(
        &mut client,
        "SELECT a.k, COUNT(b.v), SUM(b.v) FROM a LEFT JOIN b ON a.k = b.k GROUP BY a.k HAVING COUNT(*) > 1 ORDER BY a.k",
        vec![vec![int(1), int(2), decimal(400, 38, 2)]],
    )
    .await;
    check(
        &mut client,
        "SELECT n FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k) ORDER BY 1",
        vec![vec![text("x")], vec![text("y")]],
    )
    .await;
    check(&mut client, "SELECT k FROM a WHERE k NOT IN (SELECT k FROM b)", vec![vec![int(3)]]).await;
    check(
        &mut client,
        "SELECT k FROM a UNION SELECT k FROM b ORDER BY k DESC",
        vec![vec![int(3)], vec![int(2)], vec![int(1)]],
    )
    .await;
    check(&mut client, "SELECT k FROM a EXCEPT SELECT k FROM b", vec![vec![int(3)]]).await;
    check(&mut client, "WITH c (x) AS (SELECT MAX(k) FROM a) SELECT x + 1 AS y FROM c", vec![vec![int(4)]])
        .await;
    check(&mut client, "SELECT CASE n WHEN N'X' THEN 1 ELSE 0 END, ISNULL(n, N'?'), COALESCE(n, N'-') FROM a WHERE k <> 2 ORDER BY k", vec![
        vec![int(1), text("x"), text("x")],
        vec![int(0), text("?"), text("-")],
    ])
    .await;
    check(
        &mut client,
        "SELECT (SELECT COUNT(*) FROM b), IIF(1 = 1, 'a', 'b')",
        vec![vec![int(3), text("a")]],
    )
    .await;
    check(
        &mut client,
        "SELECT k FROM a WHERE n LIKE N'X%' OR n BETWEEN N'y' AND N'z' ORDER BY k",
        vec![vec![int(1)], vec![int(2)]],
    )
    .await;
    check(
        &mut client,
        "SELECT x.k FROM (SELECT k, ROW_NUMBER() OVER (ORDER BY k DESC) AS r FROM a) AS x WHERE x.r = 1",
        vec![vec![int(3)]],
    )
    .await;
    check(&mut client, "SELECT DISTINCT k FROM b ORDER BY k", vec![vec![int(1)], vec![int(2)]]).await;
    check(
        &mut client,
        "SELECT v.a FROM (VALUES (1), (2)) AS v(a) CROSS JOIN (SELECT 1 AS one) AS o WHERE v.a > o.one",
        vec![vec![int(2)]],
    )
    .await;
    check(&mut client, "SELECT SUBSTRING(N'hello', 2, 3), REPLACE(N'aXa', N'X', N'-'), LEFT(N'hello', 2), CHARINDEX(N'l', N'hello'), UPPER(N'é')", vec![
        vec![text("ell"), text("a-a"), text("he"), int(3), text("É")],
    ])
    .await;
    client.fails("SELECT k FROM a, b", &[209]).await;
    client.fails("SELECT k, n FROM a UNION SELECT k FROM b", &[205]).await;
    client.fails("SELECT (SELECT k FROM a)", &[512]).await;
    client.fails("SELECT nofunction(1)", &[195]).await;
}

#[tokio::test]
async fn changes_join_limit_and_report() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL PRIMARY KEY, v int NULL); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)").await;
    client.ok("CREATE TABLE #s (k int NOT NULL, v int NULL); INSERT INTO #s VALUES (1, 10), (2, 20)").await;
    assert_eq!(client.ok("UPDATE t SET v = s.v FROM t INNER JOIN #s s ON t.k = s.k").await.counts, [2]);
    assert_eq!(
        client
            .ok("UPDATE x SET x.v = 0 FROM t AS x LEFT JOIN #s AS s ON s.k = x.k WHERE s.k IS NULL")
            .await
            .counts,
        [2]
    );
    let answer =
        client.ok("UPDATE t SET v = v + 1 OUTPUT deleted.v, inserted.v, inserted.k WHERE k = 1").await;
    assert_eq!((answer.rows, answer.counts), (vec![vec![int(10), int(11), int(1)]], vec![1]));
    let answer = client.ok("DELETE TOP (1) FROM t OUTPUT deleted.k WHERE k > 2").await;
    assert_eq!(answer.counts, [1]);
    assert_eq!(client.ok("UPDATE TOP (1) t SET v = -1").await.counts, [1]);
    let answer = client.ok("INSERT INTO t (k, v) OUTPUT inserted.k SELECT k + 10, v FROM #s").await;
    assert_eq!(answer.counts, [2]);
    client.ok("DELETE t FROM t JOIN #s AS s ON t.k = s.k + 10").await;
    client.ok("CREATE TABLE log (k int NULL); DELETE FROM t OUTPUT deleted.k INTO log WHERE k = 1").await;
    assert_eq!(client.rows("SELECT k FROM log").await, [[int(1)]]);
    client.ok("CREATE TABLE bag (a int NULL, b nvarchar(max) NULL, f float NULL, x varbinary(9) NULL)").await;
    client.ok("INSERT INTO bag VALUES (1, N'x', 1, 0x01), (1, N'x', 1, 0x01), (1, N'x', 1, 0x01), (1, N'x ', 1, 0x01), (1, N'X', 1, 0x01), (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL)").await;
    let numbered = "DELETE d FROM (SELECT t.a AS e1, t.b COLLATE Latin1_General_100_BIN2 AS e2, DATALENGTH(t.b) AS e3, \
        CONVERT(binary(8), t.f) AS e4, t.x AS e5, ROW_NUMBER() OVER (PARTITION BY t.a, t.b COLLATE Latin1_General_100_BIN2, \
        DATALENGTH(t.b), CONVERT(binary(8), t.f), t.x ORDER BY (SELECT NULL)) AS n FROM bag AS t) AS d JOIN (VALUES (2, 1, N'x', 1e0), \
        (1, NULL, NULL, NULL)) AS s (n, a, b, f) ON EXISTS (SELECT d.e1, d.e2, d.e3, d.e4 INTERSECT SELECT s.a, \
        s.b, DATALENGTH(s.b), CONVERT(binary(8), CAST(s.f AS float))) WHERE d.n <= s.n";
    assert_eq!(client.ok(numbered).await.counts, [3]);
    let left = "SELECT a, b, COUNT(*) FROM bag GROUP BY a, b, DATALENGTH(b) ORDER BY a, DATALENGTH(b)";
    let left = client.rows(left).await;
    assert_eq!(left.len(), 3, "{left:?}");
    client.fails("DELETE d FROM (SELECT DISTINCT a FROM bag) AS d", &[40510]).await;
    client.fails("SELECT a FROM bag WHERE EXISTS (SELECT a INTERSECT SELECT 1, 2)", &[205]).await;
    client.fails("UPDATE t SET v = 1, v = 2", &[264]).await;
    client.fails("INSERT INTO t (k, v) VALUES (1)", &[109]).await;
    client.fails("INSERT INTO t (k) VALUES (1, 2)", &[110]).await;
    client.fails("DELETE FROM sys.objects", &[259]).await;
}

#[tokio::test]
async fn merge_updates_or_inserts() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE [dbo].[t] ([id] int NOT NULL PRIMARY KEY, [n] nvarchar(20) NULL)").await;
    let merge = "MERGE INTO [dbo].[t] WITH (HOLDLOCK) AS TARGET USING (SELECT @P0 AS [id], @P1 AS [n]) AS INCOMING \
        ON (TARGET.[id]=INCOMING.[id]) WHEN MATCHED THEN UPDATE SET TARGET.[n]=INCOMING.[n] \
        WHEN NOT MATCHED THEN INSERT ([id],[n]) VALUES (INCOMING.[id],INCOMING.[n]);";
    let params = |id: i64, n: &str| {
        [
            param("@P0", ColumnType::Int, int(id)),
            param("@P1", ColumnType::NVarChar(Len::Limited(4000)), text(n)),
        ]
    };
    assert_eq!(client.ok_with(merge, &params(1, "a")).await.counts, [1]);
    assert_eq!(client.ok_with(merge, &params(1, "b")).await.counts, [1]);
    assert_eq!(client.rows("SELECT [id], [n] FROM [dbo].[t]").await, [vec![int(1), text("b")]]);
    client.fails("MERGE t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE", &[10713]).await;
    let twice =
        "MERGE t USING (VALUES (1), (1)) AS s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = N'x';";
    client.fails(twice, &[8672]).await;
}

#[tokio::test]
async fn what_foreign_clients_send_at_login_runs() {
    let sandbox = Sandbox::shared().await;
    let (mut client, name) = sandbox.new_database().await;
    for sql in [
        "SET ARITHABORT ON;SET CONCAT_NULL_YIELDS_NULL ON;SET ANSI_NULLS ON;SET ANSI_NULL_DFLT_ON ON;SET ANSI_PADDING ON;\
         SET ANSI_WARNINGS ON;SET ANSI_NULL_DFLT_ON ON;SET CURSOR_CLOSE_ON_COMMIT ON;SET QUOTED_IDENTIFIER ON;SET TEXTSIZE 2147483647;",
        "set implicit_transactions on",
        "IF @@TRANCOUNT > 0 COMMIT TRAN",
        "set implicit_transactions off",
        "set transaction isolation level  read committed ",
        "SET ROWCOUNT 0",
        "SET TEXTSIZE 4096",
        "set lock_timeout 1000",
        "SELECT SCHEMA_NAME()",
        "SELECT 1",
        "SELECT CAST(SERVERPROPERTY('EngineEdition') as INT)",
        "select @@version",
        "SET LANGUAGE us_english",
        "SET DATEFORMAT mdy",
        "exec sp_unprepare 1",
        "SELECT @@SPID, @@SERVERNAME, @@LANGUAGE, @@MAX_PRECISION, SUSER_SNAME(), HOST_NAME(), APP_NAME()",
    ] {
        client.ok(sql).await;
    }
    client.ok(&format!("use [{name}]")).await;
    client.ok("CREATE TABLE [dbo].[t] ([a] int NULL, [b] nvarchar(50) NULL)").await;
    let answer = client.ok("sp_executesql N'SET FMTONLY ON SELECT * FROM [dbo].[t] '").await;
    assert_eq!((answer.columns[0].len(), answer.rows.len()), (2, 0));
    assert_eq!(client.rows("SELECT 1").await.len(), 1);
    let answer = client.ok("set fmtonly on select a from t \nset fmtonly off").await;
    assert_eq!((answer.columns[0].len(), answer.rows.len()), (1, 0));
    assert_eq!(client.ok("SELECT TOP 0 * FROM [dbo].[t]").await.columns[0].len(), 2);
    let rows = client.rows("exec sp_tablecollations_100 N'[dbo].[t]'").await;
    assert_eq!(rows.len(), 2);
    let rows = client
        .rows("select collation_name, is_computed from sys.columns where object_id=OBJECT_ID('[dbo].[t]') order by column_id ASC")
        .await;
    assert_eq!(rows[1][0], text("SQL_Latin1_General_CP1_CI_AS"));
    client.rows("select collation_name, is_computed, encryption_type from sys.columns where object_id=OBJECT_ID('[dbo].[t]')").await;
    let rows =
        client.rows("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'dbo'").await;
    assert_eq!(rows, [[text("t")]]);
}
