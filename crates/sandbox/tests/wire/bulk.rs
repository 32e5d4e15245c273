//! Bulk loads.

use segcdc_tds::{
    BulkColumn, BulkOptions, BulkTarget, Collation, ColumnType, Connection, Datum, Len, RowEncoder,
};

use crate::{connect, numbers, sandbox};

/// A nullable column.
fn column(name: &str, column_type: ColumnType) -> BulkColumn {
    let collation = Collation::SQL_LATIN1_GENERAL_CP1_CI_AS;
    BulkColumn { name: name.to_owned(), column_type, nullable: true, collation }
}

/// An id and a text.
fn columns() -> [BulkColumn; 2] {
    [column("id", ColumnType::Int), column("x", ColumnType::NVarChar(Len::Max))]
}

/// Makes a table for [`columns`].
async fn table(connection: &mut Connection) {
    let sql = "CREATE TABLE [dbo].[t] ([id] int NOT NULL, [x] nvarchar(max) NULL, CONSTRAINT [pk] PRIMARY KEY ([id]))";
    connection.batch(sql).await.unwrap();
}

/// Loads ids with a text each.
async fn load(
    connection: &mut Connection,
    ids: impl Iterator<Item = i64>,
    text: &str,
) -> Result<u64, segcdc_tds::Error> {
    let columns = columns();
    let options = BulkOptions { table_lock: true, ..BulkOptions::default() };
    let target = BulkTarget { table: "[dbo].[t]", columns: &columns, options: &options };
    let mut load = connection.bulk_load(&target).await?;
    let mut rows = RowEncoder::new(&columns);
    for id in ids {
        rows.begin_row();
        rows.int(id)?;
        rows.text(text)?;
        rows.end_row()?;
        if rows.byte_len() > 30_000 {
            load.send(&mut rows).await?;
        }
    }
    load.send(&mut rows).await?;
    load.finish().await
}

/// Rows in the table.
async fn count(connection: &mut Connection) -> Datum {
    let found = connection.batch("SELECT COUNT(*) FROM [dbo].[t]").await.unwrap();
    found.sets[0].rows[0][0].clone()
}

#[tokio::test]
async fn rows_of_many_packets_arrive() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    table(&mut connection).await;
    assert_eq!(load(&mut connection, 0..20_000, "some text").await.unwrap(), 20_000);
    assert_eq!(count(&mut connection).await, Datum::Int(20_000));
}

#[tokio::test]
async fn long_values_arrive() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    table(&mut connection).await;
    let text = "0123456789abcdef\u{E9}\u{1F600}".repeat(100_000);
    assert_eq!(load(&mut connection, 0..3, &text).await.unwrap(), 3);
    let found = connection.batch("SELECT [x] FROM [dbo].[t] WHERE [id] = 2").await.unwrap();
    assert_eq!(found.sets[0].rows, [[Datum::Text(text)]]);
}

#[tokio::test]
async fn failure_in_mid_stream_loads_nothing_and_leaves_the_connection_usable() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    table(&mut connection).await;
    let ids = (0..50_000).map(|id| if id == 20_000 { 7 } else { id });
    let failed = load(&mut connection, ids, "some text").await.unwrap_err();
    assert!(numbers(&failed).contains(&2627), "{failed}");
    assert_eq!(count(&mut connection).await, Datum::Int(0));
    assert_eq!(load(&mut connection, 0..10, "again").await.unwrap(), 10);
}

#[tokio::test]
async fn load_that_is_given_up_loads_nothing_and_leaves_the_connection_usable() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    table(&mut connection).await;
    let columns = columns();
    let options = BulkOptions::default();
    let target = BulkTarget { table: "[dbo].[t]", columns: &columns, options: &options };
    let mut started = connection.bulk_load(&target).await.unwrap();
    let mut rows = RowEncoder::new(&columns);
    for id in 0..5_000 {
        rows.begin_row();
        rows.int(id).unwrap();
        rows.text("some text").unwrap();
        rows.end_row().unwrap();
    }
    started.send(&mut rows).await.unwrap();
    started.abort().await.unwrap();
    assert_eq!(count(&mut connection).await, Datum::Int(0));
    assert_eq!(load(&mut connection, 0..10, "again").await.unwrap(), 10);
}

#[tokio::test]
async fn load_belongs_to_the_transaction() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    table(&mut connection).await;
    connection.begin().await.unwrap();
    assert_eq!(load(&mut connection, 0..100, "gone").await.unwrap(), 100);
    connection.rollback().await.unwrap();
    connection.begin().await.unwrap();
    assert_eq!(load(&mut connection, 0..50, "kept").await.unwrap(), 50);
    connection.commit().await.unwrap();
    assert_eq!(count(&mut connection).await, Datum::Int(50));
}
