//! Comparison, length and range of values.

use segcdc_tds::{ColumnType, Datum, Len};

use crate::harness::{Sandbox, int, param, text};

#[tokio::test]
async fn trailing_blanks_and_zero_bytes_do_not_tell_values_apart() {
    let sandbox = Sandbox::start().await;
    let mut client = sandbox.login().await;
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
