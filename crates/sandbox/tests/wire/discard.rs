//! The null sink.

use std::time::{Duration, Instant};

use segcdc_tds::{BulkColumn, BulkOptions, BulkTarget, Collation, ColumnType, Connection, Datum, RowEncoder};
use segcdc_testkit::{Sandbox, SandboxOptions};

use crate::{connect, numbers};

/// How late a COMMIT is answered.
const DELAY: Duration = Duration::from_millis(40);

async fn sink() -> (Sandbox, Connection) {
    let options = SandboxOptions { discard: Some(DELAY), ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let mut connection = connect(&sandbox).await;
    let sql = "SET XACT_ABORT ON; CREATE TABLE [dbo].[t] ([id] int NOT NULL PRIMARY KEY, [v] int NULL)";
    connection.batch(sql).await.unwrap();
    (sandbox, connection)
}

/// Loads rows of integers.
async fn load(connection: &mut Connection, table: &str, names: &[&str], rows: &[&[i64]]) -> u64 {
    let column = |name: &&str| BulkColumn {
        name: (*name).to_owned(),
        column_type: ColumnType::Int,
        nullable: true,
        collation: Collation::SQL_LATIN1_GENERAL_CP1_CI_AS,
    };
    let columns: Vec<BulkColumn> = names.iter().map(column).collect();
    let options = BulkOptions::default();
    let mut load =
        connection.bulk_load(&BulkTarget { table, columns: &columns, options: &options }).await.unwrap();
    let mut encoder = RowEncoder::new(&columns);
    for row in rows {
        encoder.begin_row();
        row.iter().for_each(|value| encoder.int(*value).unwrap());
        encoder.end_row().unwrap();
    }
    load.send(&mut encoder).await.unwrap();
    load.finish().await.unwrap()
}

async fn counts(connection: &mut Connection, sql: &str) -> Vec<u64> {
    connection.batch(sql).await.unwrap().row_counts
}

#[tokio::test]
async fn loaded_rows_are_counted_and_gone() {
    let (_sandbox, mut connection) = sink().await;
    let begun = Instant::now();
    // No key is looked at either.
    assert_eq!(load(&mut connection, "[dbo].[t]", &["id", "v"], &[&[1, 2], &[1, 3]]).await, 2);
    assert!(begun.elapsed() >= DELAY, "the load was its own transaction");
    let found = connection.batch("SELECT COUNT(*) FROM [dbo].[t]").await.unwrap();
    assert_eq!(found.first_row(), Some([Datum::Int(0)].as_slice()));
}

#[tokio::test]
async fn statements_count_what_was_staged_for_them() {
    let (_sandbox, mut connection) = sink().await;
    let names = ["op", "grp", "k1", "c1", "c2"];
    connection
        .batch("CREATE TABLE [#s1] ([op] tinyint NOT NULL, [grp] int NOT NULL, [k1] int NULL, [c1] int NULL, [c2] int NULL)")
        .await
        .unwrap();
    connection.batch("BEGIN TRANSACTION").await.unwrap();
    let rows: [&[i64]; 4] = [&[2, 0, 1, 1, 1], &[2, 1, 2, 2, 2], &[3, 0, 0, 3, 3], &[1, 0, 4, 0, 0]];
    assert_eq!(load(&mut connection, "[#s1]", &names, &rows).await, 4);
    let update = "UPDATE t SET t.[v] = s.[c2] FROM [dbo].[t] AS t JOIN [#s1] AS s ON t.[id] = s.[k1] WHERE s.[op] = 2 AND s.[grp] = 0";
    let delete = "DELETE t FROM [dbo].[t] AS t JOIN [#s1] AS s ON t.[id] = s.[k1] WHERE s.[op] = 1";
    let insert =
        "INSERT INTO [dbo].[t] ([id], [v]) SELECT s.[c1], s.[c2] FROM [#s1] AS s WHERE s.[op] IN (2, 3)";
    let all = format!("{update}; {delete}; {insert}");
    assert_eq!(counts(&mut connection, &all).await, [1, 1, 3]);
    assert_eq!(counts(&mut connection, &format!("TRUNCATE TABLE [#s1]; {all}")).await, [0, 0, 0]);
    let begun = Instant::now();
    connection.batch("COMMIT").await.unwrap();
    assert!(begun.elapsed() >= DELAY);
}

#[tokio::test]
async fn statements_on_single_rows_count_them_and_the_state_is_kept() {
    let (_sandbox, mut connection) = sink().await;
    let sql = "INSERT INTO [dbo].[t] ([id], [v]) VALUES (1, 1), (2, 2); UPDATE [dbo].[t] SET [v] = 3 WHERE [id] = 9; \
        DELETE FROM [dbo].[t] WHERE [id] = 9";
    assert_eq!(counts(&mut connection, sql).await, [2, 1, 1]);
    connection.batch("CREATE SCHEMA [segcdc]").await.unwrap();
    connection.batch("CREATE TABLE [segcdc].[pipeline] ([n] int NOT NULL)").await.unwrap();
    let sql = "INSERT INTO [segcdc].[pipeline] ([n]) VALUES (1); UPDATE [segcdc].[pipeline] SET [n] = 2 WHERE [n] = 9";
    assert_eq!(counts(&mut connection, sql).await, [1, 0]);
    let refused = connection.batch("DELETE TOP (1) FROM [dbo].[t] WHERE [id] = 9").await.unwrap_err();
    assert_eq!(numbers(&refused), [40510], "{refused}");
}
