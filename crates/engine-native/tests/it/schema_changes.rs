//! Tables of the source that are changed while they are followed.

use segcdc_engine_native::{StatusReport, VerifyOptions, resync, status, verify};
use segcdc_model::TablePhase;
use segcdc_sqlserver::Target;

use crate::rig::{Rig, Running};
use crate::workload::{NAMES, TABLES, Workload};

/// A pipeline that follows these tables.
async fn following(name: &str, tables: &str) -> (Rig, Running) {
    let rig = Rig::shared(name, tables).await;
    let running = rig.start();
    running.until_streaming().await;
    (rig, running)
}

/// The last changes that the state has recorded, newest first.
async fn recorded(rig: &Rig) -> Vec<(String, String)> {
    let StatusReport { schema_changes, .. } = status(&rig.config).await.unwrap();
    schema_changes.into_iter().map(|change| (change.source.name, change.kind)).collect()
}

/// The code that halted a table.
async fn code(rig: &Rig, name: &str) -> Option<String> {
    let state = rig.state().await.unwrap();
    let table = state.tables.into_iter().find(|table| table.source.name == name).unwrap();
    assert_eq!(table.error.is_some(), table.phase == TablePhase::Quarantined, "{table:?}");
    table.error.map(|(code, _)| code)
}

/// `verify` says that all tables are equal.
async fn assert_verified(rig: &Rig) {
    let options =
        VerifyOptions { patterns: Vec::new(), limit: 9, memory_bytes: 8 << 20, ..VerifyOptions::default() };
    let report = verify(&rig.config, &options, &mut |_| {}).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn added_columns_arrive_while_changes_flow() {
    let (rig, running) = following("change_add", TABLES).await;
    let workload = Workload::start(&rig);
    workload.more(30).await;
    rig.sql("ALTER TABLE item ADD COLUMN plain text").await;
    workload.more(30).await;
    rig.sql("ALTER TABLE item ADD COLUMN n int DEFAULT 7, ADD COLUMN word2 text NOT NULL DEFAULT 'it''s'")
        .await;
    workload.more(30).await;
    // In one transaction, with rows in each shape. The workload begins with `item` too, so that the two wait in one order.
    rig.sql(
        "BEGIN; LOCK TABLE item; INSERT INTO item (id, amount) VALUES (-1, 1); UPDATE account SET balance = balance + 1;
         ALTER TABLE account ADD COLUMN first int DEFAULT 1; UPDATE account SET balance = balance - 1 WHERE id < 5;
         ALTER TABLE account ADD COLUMN second int DEFAULT 2; UPDATE account SET second = 3 WHERE id = 1;
         ALTER TABLE log ADD COLUMN third int DEFAULT 3; INSERT INTO log VALUES (5, 'new', NULL);
         DELETE FROM log WHERE line = 5 AND third = 3; COMMIT",
    )
    .await;
    workload.more(30).await;
    workload.stop().await;
    rig.sql("ALTER TABLE item ALTER COLUMN n SET DEFAULT 8; UPDATE item SET plain = 'set' WHERE id = 3")
        .await;
    rig.settle(&running).await;
    rig.assert_equal(&NAMES).await;
    let changes = recorded(&rig).await;
    assert_eq!(changes.len(), 6, "{changes:?}");
    assert!(changes.iter().all(|(_, kind)| kind == "add-column"), "{changes:?}");
    assert_verified(&rig).await;
    running.stop().await;
}

/// # Fault F11
/// A table is altered, in the middle of a transaction that writes it too: columns are added, renamed, dropped, get another type or
/// NOT NULL.
/// - Happens: rows arrive in the shape that they were written in, and the target's table is altered between them, in the same
///   transaction, as `--on-schema-change` says. What was done is in `segcdc status`.
/// - Do: nothing; the guide on schema changes has what is done usually.
#[tokio::test(flavor = "multi_thread")]
async fn several_additions_are_followed_in_the_order_of_the_rows() {
    let rig = Rig::shared("change_behind", TABLES).await;
    rig.catch_up().await.unwrap();
    // The catalog is far ahead of the stream when it is read.
    rig.sql(
        "UPDATE item SET word = 'before'; INSERT INTO item VALUES (-1, 'before', 1);
         ALTER TABLE item ADD COLUMN a int DEFAULT 1; UPDATE item SET a = 5 WHERE id < 10; INSERT INTO item VALUES (-2, 'a', 2);
         ALTER TABLE item ADD COLUMN b text; UPDATE item SET b = 'b' WHERE id BETWEEN 5 AND 20; DELETE FROM item WHERE id = 7;
         ALTER TABLE item ADD COLUMN c text NOT NULL DEFAULT 'c'",
    )
    .await;
    rig.catch_up().await.unwrap();
    // No row has come behind the last one, so that the stream has not shown it.
    assert_eq!(recorded(&rig).await.len(), 2);
    rig.sql("INSERT INTO item (id, amount, c) VALUES (-3, 3, 'given')").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["item"]).await;
    assert_eq!(recorded(&rig).await.len(), 3);
    assert_verified(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_stream_cannot_carry_in_binary_open_it_anew() {
    let (rig, running) = following("change_form", TABLES).await;
    rig.sql("ALTER TABLE item ADD COLUMN tags text[] DEFAULT '{a,\"b c\"}'; UPDATE item SET tags = '{x}' WHERE id = 1").await;
    rig.settle(&running).await;
    rig.assert_equal(&["item"]).await;
    let note = running.progress.snapshot().last_retry.unwrap();
    assert_eq!(note.code, "STREAM_FORM_CHANGED");
    rig.sql("UPDATE item SET amount = 9 WHERE id = 2").await;
    rig.settle(&running).await;
    rig.assert_equal(&["item"]).await;
    running.stop().await;
}

/// # Fault F11
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_changes_a_table_in_its_middle() {
    let small = format!("ALTER DATABASE change_large SET logical_decoding_work_mem = '64kB'; {TABLES}");
    let mut rig = Rig::shared("change_large", &small).await;
    rig.config.memory.open_bytes = 48 << 10;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql(
        "BEGIN; INSERT INTO item SELECT n, repeat('a', 100), n FROM generate_series(10001, 12000) n;
         SAVEPOINT undone; ALTER TABLE item ADD COLUMN gone int; INSERT INTO item SELECT n, 'x', n, n FROM generate_series(20001, 22000) n;
         ROLLBACK TO undone; ALTER TABLE item ADD COLUMN kept int DEFAULT 4;
         INSERT INTO item SELECT n, repeat('b', 100), n, n FROM generate_series(30001, 32000) n;
         UPDATE item SET kept = 5 WHERE id BETWEEN 11000 AND 12000; COMMIT",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["item"]).await;
    assert_eq!(recorded(&rig).await, [("item".to_owned(), "add-column".to_owned())]);
    running.stop().await;
}

/// # Fault F12
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_source_wrote_anew_halt_their_table_alone() {
    let (rig, running) = following("change_rewrite", TABLES).await;
    rig.sql("ALTER TABLE item ADD COLUMN token text DEFAULT md5(random()::text)").await;
    rig.sql("UPDATE item SET amount = 0 WHERE id = 1; INSERT INTO log VALUES (7, 'goes on')").await;
    rig.settle(&running).await;
    rig.assert_equal(&["log", "account"]).await;
    assert_eq!(code(&rig, "item").await.as_deref(), Some("SCHEMA_CHANGED"));
    running.stop().await;
    resync(&rig.config, &[]).await.unwrap();
    rig.sql("UPDATE item SET token = 'mine' WHERE id = 3").await;
    rig.catch_up().await.unwrap();
    rig.sql("ALTER TABLE item ADD COLUMN later int DEFAULT 1; UPDATE item SET amount = 1 WHERE id = 2").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&NAMES).await;
    assert_verified(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_written_anew_far_ahead_halt_their_table_too() {
    let rig = Rig::shared("change_ahead", TABLES).await;
    rig.catch_up().await.unwrap();
    // When the first of these is described, the catalog has the file of the last already.
    rig.sql("UPDATE item SET amount = 1 WHERE id = 1; UPDATE log SET what = 'x' WHERE line = 1").await;
    rig.sql("ALTER TABLE item ADD COLUMN token text DEFAULT md5(random()::text)").await;
    rig.sql("UPDATE item SET amount = 2 WHERE id = 1").await;
    rig.catch_up().await.unwrap();
    assert_eq!(code(&rig, "item").await.as_deref(), Some("SCHEMA_CHANGED"));
    rig.assert_equal(&["log"]).await;
}

/// # Fault F12
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_dropped_and_added_again_is_another_one() {
    let (rig, running) = following("change_again", TABLES).await;
    rig.sql("UPDATE item SET word = 'seen' WHERE id = 1").await;
    rig.settle(&running).await;
    rig.sql("BEGIN; ALTER TABLE item DROP COLUMN word; ALTER TABLE item ADD COLUMN word text; COMMIT").await;
    rig.sql("UPDATE item SET amount = 0, word = 'new' WHERE id = 1; INSERT INTO log VALUES (7, 'goes on')")
        .await;
    rig.settle(&running).await;
    rig.assert_equal(&["item", "log"]).await;
    // Of the last column nothing tells whether it is the old or the new one, as far as the catalog may be ahead.
    rig.sql("BEGIN; ALTER TABLE log DROP COLUMN what; ALTER TABLE log ADD COLUMN what text; COMMIT").await;
    rig.sql("INSERT INTO log VALUES (8, 'new'); UPDATE item SET amount = 1 WHERE id = 1").await;
    rig.settle(&running).await;
    rig.assert_equal(&["item"]).await;
    assert_eq!(code(&rig, "log").await.as_deref(), Some("SCHEMA_CHANGED"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_an_older_version_goes_on() {
    let rig = Rig::shared("change_older", TABLES).await;
    rig.catch_up().await.unwrap();
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let checkpoint = rig.state().await.unwrap().checkpoint;
    let known = target.known_tables(&rig.name).await.unwrap();
    assert_eq!(known.len(), 3);
    // Such a version has not stored what it knows.
    let tables = rig.state().await.unwrap().tables;
    target.set_tables(&checkpoint, &tables).await.unwrap();
    assert_eq!(target.known_tables(&rig.name).await.unwrap().len(), 0);
    rig.catch_up().await.unwrap();
    assert_eq!(target.known_tables(&rig.name).await.unwrap(), known);
    rig.sql("ALTER TABLE item ADD COLUMN n int DEFAULT 7; UPDATE item SET n = 8 WHERE id = 1").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&NAMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_say_what_their_rows_have() {
    let (rig, running) = following(
        "change_partitions",
        "CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
         CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (1000);
         INSERT INTO part SELECT n, 'v' FROM generate_series(1, 200) n",
    )
    .await;
    rig.sql("ALTER TABLE part ADD COLUMN n int DEFAULT 3; ALTER TABLE part ADD COLUMN m text; UPDATE part SET v = 'w' WHERE id = 150").await;
    rig.settle(&running).await;
    rig.assert_equal(&["part"]).await;
    running.stop().await;
}
