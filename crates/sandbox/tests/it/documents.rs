//! The type json: what is kept of a document, what is refused, and that documents have no order. Each expectation was seen by
//! others at SQL Server 2025.

use segcdc_sandbox::answer::OutColumn;
use segcdc_tds::{Collation, ColumnType, Datum, Len};

use crate::harness::{Sandbox, int, param, text};

#[tokio::test]
async fn a_document_is_kept_and_not_its_text() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (id int NOT NULL, j json NULL)").await;
    for (id, (document, kept)) in [
        (r#"{"z" : 1,  "a":[1, 2 ,{"c":null}]}"#, r#"{"z":1,"a":[1,2,{"c":null}]}"#),
        (r#"{"a":1,"b":{"x":1,"x":2},"a":3}"#, r#"{"a":1,"b":{"x":1}}"#),
        (r#"["\u0041\u00e9\/\n\ud83d\ude00"]"#, r#"["Aé/\n😀"]"#),
        ("[1.50, -0, -0.0, 0.10, 12345678901234567890123]", "[1.50,0,0.0,0.10,12345678901234567890123]"),
        ("[1e2, 1.5E+3, 1e-20]", "[100.0000000000,1500.0000000000,0.0000000000]"),
        ("[0.000000000000000000000000000000000000001]", "[0.0000000000]"),
        (" [ ] ", "[]"),
    ]
    .into_iter()
    .enumerate()
    {
        let values = [param("@P1", ColumnType::NVarChar(Len::Max), text(document))];
        let sql = format!("INSERT INTO t (id, j) VALUES ({id}, CAST(@P1 AS json))");
        client.ok_with(&sql, &values).await;
        let sql = format!("SELECT CAST(j AS nvarchar(max)) FROM t WHERE id = {id}");
        assert_eq!(client.value(&sql).await, text(kept), "{document}");
    }
    client.ok("UPDATE t SET j = N'{ }' WHERE id = 0").await;
    client
        .ok("INSERT INTO t SELECT 90, x FROM (VALUES (N'[ 1 ]')) AS v(x); INSERT INTO t VALUES (91, NULL)")
        .await;
    let answer = client.ok("SELECT j FROM t WHERE id IN (0, 90, 91) ORDER BY id").await;
    assert_eq!(answer.rows, [vec![text("{}")], vec![text("[1]")], vec![Datum::Null]]);
    // As clients that do not ask for the JSON extension see it.
    let column = &answer.columns[0][0];
    assert_eq!(
        (column.column_type, column.collation),
        (ColumnType::VarChar(Len::Max), Collation::LATIN1_GENERAL_100_BIN2_UTF8)
    );
}

#[tokio::test]
async fn text_that_is_no_document_has_its_number() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let items = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    for (document, number) in [
        ("abc".to_owned(), 13609),
        (String::new(), 13609),
        ("1".to_owned(), 13609),
        ("null".to_owned(), 13609),
        ("\"a\"".to_owned(), 13609),
        ("{\"a\":1,}".to_owned(), 13609),
        ("[1e308]".to_owned(), 1007),
        ("[12345678901234567890123456789012345678901234567890]".to_owned(), 1007),
        (deep(129), 13645),
        (items(65_536), 13647),
    ] {
        let values = [param("@P1", ColumnType::NVarChar(Len::Max), text(&document))];
        let answer = client.run_with("SELECT CAST(@P1 AS json)", &values).await;
        assert_eq!(answer.numbers(), [number], "{}", document.get(..20).unwrap_or(&document));
    }
    for document in [deep(128), items(65_535)] {
        let values = [param("@P1", ColumnType::NVarChar(Len::Max), text(&document))];
        client.ok_with("SELECT CAST(@P1 AS json)", &values).await;
    }
    assert_eq!(client.value("SELECT TRY_CAST(N'abc' AS json)").await, Datum::Null);
    client.fails("SELECT CAST(1 AS json)", &[529]).await;
    client.fails("SELECT CAST(0x7B7D AS json)", &[529]).await;
    client.fails("SELECT CAST(CAST(N'[1,2,3]' AS json) AS nvarchar(5))", &[13639]).await;
    client.fails("SELECT CAST(CAST(N'[1]' AS json) AS int)", &[529]).await;
}

#[tokio::test]
async fn documents_have_no_order_and_no_implicit_text() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (id int NOT NULL, j json NULL, n nvarchar(max) NULL)").await;
    client.ok("INSERT INTO t VALUES (1, N'[1]', N'[1]'), (2, NULL, NULL)").await;
    for (sql, number) in [
        ("SELECT 1 FROM t WHERE j = j", 13636),
        ("SELECT 1 FROM t WHERE j = NULL", 13636),
        ("SELECT 1 FROM t WHERE j = N'[1]'", 402),
        ("SELECT 1 FROM t WHERE n = j", 402),
        ("SELECT j FROM t ORDER BY j", 13636),
        ("SELECT j FROM t GROUP BY j", 13636),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY j ORDER BY id) FROM t", 13636),
        ("SELECT ROW_NUMBER() OVER (ORDER BY j) FROM t", 13636),
        ("SELECT DISTINCT j FROM t", 421),
        ("SELECT j FROM t UNION SELECT j FROM t", 5335),
        ("SELECT MAX(j) FROM t", 8117),
        ("SELECT COUNT(DISTINCT j) FROM t", 8117),
        ("UPDATE t SET n = j", 257),
        ("INSERT INTO t SELECT 3, 5, N'x'", 206),
        ("CREATE TABLE u (j json NOT NULL PRIMARY KEY)", 1919),
        ("CREATE TABLE u (j json COLLATE Latin1_General_100_BIN2 NULL)", 447),
        ("UPDATE t SET j = N'x'", 13609),
    ] {
        let answer = client.run(sql).await;
        assert!(answer.numbers().contains(&number), "{sql}: {:?}", answer.errors);
    }
    assert_eq!(client.value("SELECT COUNT(*) FROM t WHERE j IS NOT NULL").await, int(1));
    assert_eq!(client.value("SELECT COUNT(j) FROM t").await, int(1));
    assert_eq!(client.rows("SELECT j FROM t UNION ALL SELECT j FROM t").await.len(), 4);
    // No load names a column of the type, as long as not every server can do that.
    let columns = [OutColumn::new("id", ColumnType::Int), OutColumn::new("j", ColumnType::VarChar(Len::Max))];
    let rows = vec![vec![int(3), text("[]")]];
    let answer = client.bulk("INSERT BULK [t] ([id] INT , [j] VARCHAR(MAX) )", &columns, rows).await;
    assert_eq!(answer.unwrap_err().number, 4816);
}

#[tokio::test]
async fn the_catalog_knows_the_type() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (i int NOT NULL, j json NULL)").await;
    let known = "SELECT COUNT(*) FROM sys.types WHERE name = N'json' AND system_type_id = 244 AND is_user_defined = 0";
    assert_eq!(client.value(known).await, int(1));
    let column = "SELECT y.name, c.max_length, c.collation_name FROM sys.columns AS c JOIN sys.types AS y \
         ON y.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N't') AND c.name = N'j'";
    assert_eq!(client.rows(column).await, [vec![text("json"), int(-1), Datum::Null]]);
    client.ok("ALTER TABLE t ADD k json NULL").await;
    client.ok("INSERT INTO t VALUES (1, N'{}', N'[ 2 ]')").await;
    assert_eq!(client.rows("SELECT k FROM t").await, [vec![text("[2]")]]);
    client.ok("CREATE TABLE #s (c json NULL); INSERT INTO #s SELECT k FROM t").await;
    assert_eq!(client.value("SELECT CAST(c AS nvarchar(max)) FROM #s").await, text("[2]"));
}
