//! Batches, procedure calls, transactions and attentions.

use std::time::Duration;

use segcdc_tds::{Datum, Encryption, Parameter};

use crate::{config, connect, numbers, sandbox};

#[tokio::test]
async fn requests_and_answers_of_many_packets_arrive() {
    let sandbox = sandbox().await;
    let mut config = config(&sandbox, Encryption::Required);
    config.packet_size = 512;
    let mut connection = segcdc_tds::Connection::connect(&config).await.unwrap();
    connection
        .batch("CREATE TABLE [dbo].[t] ([x] nvarchar(max) NULL, [b] varbinary(max) NULL)")
        .await
        .unwrap();
    let text = "h\u{E9}llo \u{1F600} ".repeat(30_000);
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let parameters = [Parameter::NVarChar(Some(&text)), Parameter::VarBinary(Some(&bytes))];
    let inserted = connection.execute("INSERT INTO [dbo].[t] VALUES (@P1, @P2)", &parameters).await.unwrap();
    assert_eq!(inserted.row_counts, [1]);
    let found = connection.batch("SELECT [x], [b] FROM [dbo].[t]").await.unwrap();
    assert_eq!(found.sets[0].rows, [[Datum::Text(text), Datum::Bytes(bytes)]]);
}

#[tokio::test]
async fn transaction_is_known_to_both_sides() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    connection.batch("CREATE TABLE [dbo].[t] ([id] int NOT NULL)").await.unwrap();
    connection.begin().await.unwrap();
    assert!(connection.in_transaction());
    connection.batch("INSERT INTO [dbo].[t] VALUES (1)").await.unwrap();
    connection.rollback().await.unwrap();
    assert!(!connection.in_transaction());
    connection.begin().await.unwrap();
    connection.batch("INSERT INTO [dbo].[t] VALUES (2)").await.unwrap();
    connection.commit().await.unwrap();
    connection.batch("BEGIN TRAN; INSERT INTO [dbo].[t] VALUES (3)").await.unwrap();
    assert!(connection.in_transaction());
    connection.batch("COMMIT").await.unwrap();
    assert!(!connection.in_transaction());
    let found = connection.batch("SELECT [id] FROM [dbo].[t] ORDER BY [id]").await.unwrap();
    assert_eq!(found.sets[0].rows, [[Datum::Int(2)], [Datum::Int(3)]]);
}

#[tokio::test]
async fn errors_leave_the_connection_usable() {
    let sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    let failed = connection.batch("SELECT * FROM [dbo].[nothing]").await.unwrap_err();
    assert_eq!(numbers(&failed), [208]);
    let failed = connection.batch("SELEC 1").await.unwrap_err();
    assert!(numbers(&failed).iter().all(|number| [102, 156, 2812].contains(number)), "{failed}");
    let found = connection.execute("SELECT @P1", &[Parameter::Int(Some(7))]).await.unwrap();
    assert_eq!(found.sets[0].rows, [[Datum::Int(7)]]);
}

#[tokio::test]
async fn a_connection_that_was_lost_says_so() {
    let mut sandbox = sandbox().await;
    let mut connection = connect(&sandbox).await;
    sandbox.kill().unwrap();
    assert_eq!(connection.batch("SELECT 1").await.unwrap_err().code(), "TARGET_CONNECTION_LOST");
    // Nothing is sent any more.
    assert_eq!(connection.batch("SELECT 1").await.unwrap_err().code(), "TARGET_CONNECTION_CLOSED");
}

#[tokio::test]
async fn attention_stops_a_request_that_waits_for_a_lock() {
    let sandbox = sandbox().await;
    let mut holder = connect(&sandbox).await;
    holder
        .batch("CREATE TABLE [dbo].[t] ([id] int NOT NULL); INSERT INTO [dbo].[t] VALUES (1)")
        .await
        .unwrap();
    holder.begin().await.unwrap();
    holder.batch("UPDATE [dbo].[t] SET [id] = 2").await.unwrap();
    let mut waiter = connect(&sandbox).await;
    let waiting = waiter.batch("UPDATE [dbo].[t] SET [id] = 3");
    let gave_up = tokio::time::timeout(Duration::from_millis(300), waiting).await;
    assert!(gave_up.is_err(), "nothing waited: {gave_up:?}");
    tokio::time::timeout(Duration::from_secs(20), waiter.cancel()).await.unwrap().unwrap();
    let usable = waiter.batch("SELECT 1").await.unwrap();
    assert_eq!(usable.sets[0].rows, [[Datum::Int(1)]]);
    holder.commit().await.unwrap();
    let found = waiter.batch("SELECT [id] FROM [dbo].[t]").await.unwrap();
    assert_eq!(found.sets[0].rows, [[Datum::Int(2)]]);
}

#[tokio::test]
async fn client_that_goes_away_leaves_no_lock_behind() {
    let sandbox = sandbox().await;
    let mut holder = connect(&sandbox).await;
    holder
        .batch("CREATE TABLE [dbo].[t] ([id] int NOT NULL); INSERT INTO [dbo].[t] VALUES (1)")
        .await
        .unwrap();
    holder.begin().await.unwrap();
    holder.batch("UPDATE [dbo].[t] SET [id] = 2").await.unwrap();
    drop(holder);
    let mut other = connect(&sandbox).await;
    let update = other.batch("UPDATE [dbo].[t] SET [id] = [id] + 10");
    let updated = tokio::time::timeout(Duration::from_secs(20), update).await.unwrap().unwrap();
    assert_eq!(updated.row_counts, [1]);
    let found = other.batch("SELECT [id] FROM [dbo].[t]").await.unwrap();
    assert_eq!(found.sets[0].rows, [[Datum::Int(11)]]);
}
