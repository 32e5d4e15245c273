//! Comparison, length and range of values.

use segcdc_tds::{ColumnType, Datum, Len};

use crate::harness::{Sandbox, int, param, text};

#[tokio::test]
async fn trailing_blanks_and_zero_bytes_do_not_tell_values_apart() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client
        .ok("CREATE TABLE t (a nvarchar(20) NOT NULL PRIMARY KEY, b varbinary(20) NULL UNIQUE, \
             c nvarchar(20) COLLATE Latin1_General_100_BIN2 NULL)")
        .await;
    client.ok("INSERT INTO t VALUES (N'a ', 0x0100, N'a '), (N'b', 0x02, N'b')").await;
    let count = async |client: &mut crate::harness::Client, condition: &str, expected: i64| {
        let sql = format!("SELECT COUNT(*) FROM t WHERE {condition}");
        assert_eq!(client.value(&sql).await, int(expected), "{condition}");
    };
    count(&mut client, "a = N'a'", 1).await;
    count(&mut client, "a = N'A   '", 1).await;
    count(&mut client, "a <> N'A'", 1).await;
    count(&mut client, "a IN (N'x', N'a')", 1).await;
    count(&mut client, "c = N'a'", 1).await;
    count(&mut client, "c = N'A'", 0).await;
    count(&mut client, "b = 0x01", 1).await;
    count(&mut client, "b = 0x010000", 1).await;
    count(&mut client, "b IN (SELECT x FROM (VALUES (0x01), (0x03)) AS v(x))", 1).await;
    count(&mut client, "a = N'a' AND DATALENGTH(a) = DATALENGTH(N'a')", 0).await;
    count(&mut client, "DATALENGTH(a) = 4 AND LEN(a) = 1 AND DATALENGTH(b) = 2", 1).await;
    client.fails("INSERT INTO t (a) VALUES (N'A')", &[2627]).await;
    client.fails("INSERT INTO t (a, b) VALUES (N'c', 0x01)", &[2627]).await;
    let value = param("@P1", ColumnType::NVarChar(Len::Limited(4000)), text("A "));
    let answer = client.ok_with("SELECT a, b FROM t WHERE a = @P1", &[value]).await;
    assert_eq!(answer.rows, [vec![text("a "), Datum::Bytes(vec![1, 0])]]);
    let distinct = client.rows("SELECT DISTINCT x FROM (VALUES (N'a'), (N'A '), (N'b')) AS v(x)").await;
    assert_eq!(distinct.len(), 2);
    let grouped = client
        .rows("SELECT UPPER(x), COUNT(*) FROM (VALUES (N'a'), (N'A '), (N'b')) AS v(x) GROUP BY UPPER(x)")
        .await;
    assert_eq!(grouped.len(), 2);
    client.fails("SELECT 1 FROM t WHERE a = c", &[468]).await;
    client.ok("SELECT 1 FROM t WHERE a COLLATE Latin1_General_100_BIN2 = c").await;
    client.fails("INSERT INTO t VALUES (N'a', 0x, N'')", &[2627]).await;
}

#[tokio::test]
async fn lengths_are_utf16_units_and_bytes() {
    let sandbox = Sandbox::shared().await;
    let (mut client, name) = sandbox.new_database().await;
    client
        .ok("CREATE TABLE t (n nvarchar(3) NULL, v varchar(3) NULL, b varbinary(2) NULL, f nchar(4) NULL)")
        .await;
    client.ok("INSERT INTO t (n) VALUES (N'a🦀'), (N'abc   ')").await;
    let answer = client.fails("INSERT INTO t (n) VALUES (N'🦀🦀')", &[2628]).await;
    assert_eq!(
        answer.errors[0].message,
        format!(
            "String or binary data would be truncated in table '{name}.dbo.t', column 'n'. Truncated value: '🦀'."
        )
    );
    client.fails("INSERT INTO t (v) VALUES ('abcd')", &[2628]).await;
    client.fails("INSERT INTO t (b) VALUES (0x010203)", &[2628]).await;
    client.ok("INSERT INTO t (b, v, f) VALUES (0x01020000, N'aé漢', N'ab')").await;
    let row =
        client.rows("SELECT b, v, f, DATALENGTH(v), DATALENGTH(f), LEN(f) FROM t WHERE b IS NOT NULL").await;
    assert_eq!(row, [vec![Datum::Bytes(vec![1, 2]), text("aé?"), text("ab  "), int(3), int(8), int(2)]]);
    client.ok("UPDATE t SET n = N'xyz' WHERE n = N'abc'").await;
    client.fails("UPDATE t SET n = N'wxyz' WHERE n = N'xyz'", &[2628]).await;
    assert_eq!(client.value("SELECT CAST(N'abcdef' AS nvarchar(3))").await, text("abc"));
    assert_eq!(client.value("DECLARE @x nvarchar(2) = N'abc'; SELECT @x").await, text("ab"));
    assert_eq!(client.value("SELECT LEN(N'🦀a  ')").await, int(3));
    assert_eq!(client.value("SELECT N'a ' + N'b'").await, text("a b"));
}

#[tokio::test]
async fn numbers_and_dates_keep_their_ranges() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client
        .ok("CREATE TABLE t (i int NULL, t tinyint NULL, d decimal(5,2) NULL, f float NULL, m datetime NULL, x datetime2(6) NULL, \
             o datetimeoffset(6) NULL)")
        .await;
    client.fails("INSERT INTO t (i) VALUES (3000000000)", &[8115]).await;
    client.fails("INSERT INTO t (t) VALUES (256)", &[220]).await;
    client.fails("INSERT INTO t (d) VALUES (1000)", &[8115]).await;
    client.fails("INSERT INTO t (i) VALUES (N'abc')", &[245]).await;
    client.fails("INSERT INTO t (d) VALUES (N'abc')", &[8114]).await;
    client.fails("INSERT INTO t (x) VALUES (N'2024-02-30')", &[241]).await;
    client.fails("INSERT INTO t (m) VALUES (N'1752-12-31')", &[242]).await;
    client.fails("SELECT 1 / 0", &[8134]).await;
    client.ok("INSERT INTO t (d, x, o) VALUES (1.235, N'9999-12-31 23:59:59.999999', N'2024-01-01 12:00:00 +02:00')").await;
    let row = client.rows("SELECT d, x, o FROM t WHERE d IS NOT NULL").await;
    assert_eq!(row[0][0], Datum::Decimal { negative: false, magnitude: 124, precision: 5, scale: 2 });
    assert_eq!(row[0][1], Datum::DateTime2 { days: 3_652_058, ticks: 86_399_999_999, scale: 6 });
    let Datum::DateTimeOffset { ticks, offset_minutes, .. } = row[0][2] else { panic!("{row:?}") };
    assert_eq!((ticks, offset_minutes), (36_000_000_000, 120));
    let nan = param("@P1", ColumnType::Float, Datum::Float(f64::NAN));
    let answer = client.run_with("INSERT INTO t (f) VALUES (@P1)", &[nan]).await;
    assert_eq!(answer.numbers(), [8023]);
    let count = client.value("SELECT COUNT(*) FROM t WHERE o = N'2024-01-01 10:00:00 +00:00'").await;
    assert_eq!(count, int(1));
    assert_eq!(client.value("SELECT CAST(2.5 AS int)").await, int(2));
    assert_eq!(client.value("SELECT 7 / 2").await, int(3));
    assert_eq!(
        client.value("SELECT CONVERT(nvarchar(30), CAST(N'2024-02-29T01:02:03' AS datetime2(3)), 121)").await,
        text("2024-02-29 01:02:03.000")
    );
    assert_eq!(client.value("SELECT TRY_CAST(N'x' AS int)").await, Datum::Null);
    assert_eq!(client.value("SELECT TRY_CAST(N'12' AS int)").await, int(12));
    assert_eq!(client.value("SELECT DATEDIFF(day, '2024-02-28', '2024-03-01')").await, int(2));
}

#[tokio::test]
async fn varchar_in_utf8_keeps_all_characters_and_counts_bytes() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    let utf8 = "COLLATE Latin1_General_100_CI_AS_SC_UTF8 NULL";
    client
        .ok(&format!("CREATE TABLE t (v varchar(6) {utf8}, m varchar(max) {utf8}, c varchar(6) NULL)"))
        .await;
    client.ok("INSERT INTO t VALUES (N'ĀĀĀ', REPLICATE(N'Ā🦀', 5000), N'ĀĀĀ')").await;
    let row = client.rows("SELECT v, CAST(m AS nvarchar(max)), c, DATALENGTH(v), DATALENGTH(m) FROM t").await;
    let long = text(&"Ā🦀".repeat(5000));
    assert_eq!(row, [vec![text("ĀĀĀ"), long, text("???"), int(6), int(30_000)]]);
    client.fails("INSERT INTO t (v) VALUES (N'ĀĀĀa')", &[2628]).await;
    client.fails("INSERT INTO t (v) VALUES ('äääa')", &[2628]).await;
    client.ok("UPDATE t SET v = N'ĀĀ    '; UPDATE t SET v = CAST(m AS nvarchar(1))").await;
    assert_eq!(client.value("SELECT v FROM t").await, text("Ā"));
}

#[tokio::test]
async fn order_puts_null_first_and_follows_the_collation() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (a nvarchar(10) NULL)").await;
    client.ok("INSERT INTO t VALUES (N'b'), (NULL), (N'A'), (N'a'), (N'C')").await;
    let rows = client.rows("SELECT a FROM t ORDER BY a").await;
    assert_eq!(rows[0], [Datum::Null]);
    assert_eq!(rows[3..], [vec![text("b")], vec![text("C")]]);
    let rows = client
        .rows("SELECT a FROM t WHERE a IS NOT NULL ORDER BY a COLLATE Latin1_General_100_BIN2 DESC")
        .await;
    assert_eq!(rows, [vec![text("b")], vec![text("a")], vec![text("C")], vec![text("A")]]);
    let rows = client.rows("SELECT a FROM t ORDER BY a OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY").await;
    assert_eq!(rows.len(), 2);
    assert_eq!(client.rows("SELECT TOP (2) a FROM t").await.len(), 2);
}

#[tokio::test]
async fn keys_that_are_too_wide_are_refused_at_the_row() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client
        .ok("CREATE TABLE t (a nvarchar(400) NOT NULL, b nvarchar(400) NOT NULL, PRIMARY KEY (a, b))")
        .await;
    client.ok("INSERT INTO t VALUES (REPLICATE(N'a', 225), REPLICATE(N'b', 225))").await;
    client.fails("INSERT INTO t VALUES (REPLICATE(N'a', 225), REPLICATE(N'b', 226))", &[1946]).await;
    client.fails("CREATE TABLE u (a nvarchar(max) NOT NULL PRIMARY KEY)", &[1919]).await;
}

#[tokio::test]
async fn joins_pad_and_collate_as_comparisons_do() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE a (n nvarchar(10) NULL, b varbinary(10) NULL); CREATE TABLE #b (n nvarchar(10) NULL, b varbinary(10) NULL)").await;
    client.ok("INSERT INTO a VALUES (N'x ', 0x01), (N'Y', 0x0200); INSERT INTO #b VALUES (N'X', 0x0100), (N'y  ', 0x02), (NULL, NULL)").await;
    assert_eq!(client.value("SELECT COUNT(*) FROM a JOIN #b AS b ON a.n = b.n").await, int(2));
    assert_eq!(client.value("SELECT COUNT(*) FROM a JOIN #b AS b ON a.b = b.b").await, int(2));
    assert_eq!(
        client
            .value("SELECT COUNT(*) FROM a LEFT JOIN #b AS b ON a.n = b.n COLLATE Latin1_General_100_BIN2")
            .await,
        int(2)
    );
    assert_eq!(
        client.value("SELECT COUNT(DISTINCT n) FROM (SELECT n FROM a UNION ALL SELECT n FROM #b) AS u").await,
        int(2)
    );
    assert_eq!(
        client.value("SELECT COUNT(DISTINCT b) FROM (SELECT b FROM a UNION ALL SELECT b FROM #b) AS u").await,
        int(2)
    );
    assert_eq!(client.value("SELECT COUNT(*) FROM a WHERE n IN (SELECT n FROM #b)").await, int(2));
    assert_eq!(client.rows("SELECT n FROM a UNION SELECT n FROM #b").await.len(), 3);
    assert_eq!(client.ok("UPDATE a SET b = NULL FROM a JOIN #b AS b ON a.n = b.n").await.counts, [2]);
}
