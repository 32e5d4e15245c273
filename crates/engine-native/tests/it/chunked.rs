//! Transactions that are too large for memory, in target transactions of their own for each part.

use segcdc_engine_native::{EngineConfig, LargeTransactions, status};
use segcdc_model::TablePhase;
use segcdc_sqlserver::{PartialTransaction, Target};
use segcdc_tds::Connection;

use crate::large::{OPEN_BYTES, begin, rig, run, until_received};
use crate::rig::{Rig, Running};

const TABLES: &str = "
    CREATE TABLE item (id int PRIMARY KEY, word text);
    CREATE TABLE entry (n int NOT NULL, word text); ALTER TABLE entry REPLICA IDENTITY FULL;
    CREATE TABLE last (id int PRIMARY KEY);
    INSERT INTO item SELECT n, 'copied' FROM generate_series(1, 900) n;
    INSERT INTO entry SELECT n % 50, 'copied' FROM generate_series(1, 900) n;
    INSERT INTO last VALUES (0)";

/// What [`changes`] are without the last and those that are rolled back.
const CHANGES: u64 = 1906;

/// A transaction of several parts, `number` in its keys, whose last change is the only one of `last`. Its keys move, equal
/// rows come and go, and a subtransaction of some parts is rolled back.
fn changes(number: i32) -> String {
    let from = number * 10_000;
    format!(
        "INSERT INTO entry SELECT n % 40, repeat('e', 100) FROM generate_series(1, 400) n;
         UPDATE item SET id = -id WHERE id <= 300; SAVEPOINT undone;
         INSERT INTO item SELECT n, repeat('x', 300) FROM generate_series({from}, {from} + 600) n;
         DELETE FROM entry WHERE n < 20; ROLLBACK TO undone;
         INSERT INTO item SELECT n, repeat('a', 300) FROM generate_series({from}, {from} + 800) n;
         UPDATE item SET id = -id, word = '{number}' WHERE id < 0;
         DELETE FROM entry WHERE ctid IN (SELECT ctid FROM entry WHERE word LIKE 'e%' LIMIT 100);
         UPDATE entry SET word = word || '+' WHERE ctid IN (SELECT ctid FROM entry WHERE n = 7 LIMIT 5);
         INSERT INTO last VALUES ({number})"
    )
}

/// Whether the source sends transactions that changed no table of the pipeline: before version 15. They count too.
async fn sends_empty_transactions(rig: &Rig) -> bool {
    rig.ask("SELECT current_setting('server_version_num')::int < 150000").await == "t"
}

/// Holds a table of the target, so that what is to change it waits.
async fn hold(rig: &Rig, table: &str) -> Connection {
    let mut holder = Connection::connect(&rig.config.target.to_tds()).await.unwrap();
    let name = segcdc_sqlserver::quote::qualified(&rig.plan(table).await.target);
    let sql = format!("BEGIN TRANSACTION; SELECT COUNT(*) FROM {name} WITH (TABLOCKX, HOLDLOCK)");
    holder.batch(&sql).await.unwrap();
    holder
}

/// How much of a transaction is committed at the target.
async fn partial(rig: &Rig) -> Option<PartialTransaction> {
    let mut target = Target::connect_to_look(&rig.config.target).await.unwrap();
    let state = target.known_state(&rig.name).await.unwrap();
    target.partial_transaction(&state.checkpoint).await.unwrap()
}

/// Runs a transaction, whose last change alone is one of `last`, until all of its changes but that one are committed, which
/// are so many; then the process is gone.
async fn killed_inside(rig: &Rig, (changes, number): (&str, u64), running: Running) {
    let holder = hold(rig, "last").await;
    let open = begin(rig).await;
    run(&open, changes).await;
    until_received(&running).await;
    run(&open, "COMMIT").await;
    let all_but_last = |snapshot: &segcdc_engine_native::ProgressSnapshot| {
        snapshot.large.is_some_and(|large| large.committed == Some(number))
    };
    running.until("all changes but the last are committed", all_but_last).await;
    let report = status(&rig.config).await.unwrap();
    assert!(report.notes.iter().any(|note| note.code == "PARTIAL_TRANSACTION"), "{report:#?}");
    running.kill().await;
    drop(holder);
    let partial = partial(rig).await.expect("a part is committed");
    assert_eq!(partial.changes, number);
    let state = rig.state().await.unwrap();
    assert!(partial.end_lsn > state.checkpoint.applied_lsn, "{partial:?}, {state:?}");
    assert_eq!(rig.target_rows("last").await.len(), rig.source_rows("last").await.len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_on_inside_of_a_transaction_applies_the_rest_once() {
    let mut rig = rig("chunked_resume", TABLES).await;
    rig.config.large_transactions = LargeTransactions::Chunked;
    let tables = ["item", "entry", "last"];
    let running = rig.start();
    running.until_streaming().await;
    killed_inside(&rig, (&changes(1), CHANGES), running).await;
    let half = rig.target_rows("item").await;
    assert!(half.iter().any(|row| row[1].as_deref().is_some_and(|word| word.starts_with("aaa"))));
    rig.sql("INSERT INTO item VALUES (5000000, 'behind it')").await;

    // In parts of another size, committed one by one.
    let mut config = rig.config.clone();
    config.memory.open_bytes = OPEN_BYTES / 3;
    let running = rig.start_with(config);
    rig.settle(&running).await;
    rig.assert_equal(&tables).await;
    assert_eq!(partial(&rig).await, None);
    running.stop().await;

    // In one target transaction, as other processes would.
    let running = rig.start();
    running.until_streaming().await;
    killed_inside(&rig, (&changes(2), CHANGES), running).await;
    let config = EngineConfig { large_transactions: LargeTransactions::Atomic, ..rig.config.clone() };
    let running = rig.start_with(config);
    rig.settle(&running).await;
    rig.assert_equal(&tables).await;
    running.stop().await;

    // In memory, and not streamed: then rolled-back changes do not come at all.
    let running = rig.start();
    running.until_streaming().await;
    killed_inside(&rig, (&changes(3), CHANGES), running).await;
    rig.sql("ALTER DATABASE chunked_resume SET logical_decoding_work_mem = '64MB'").await;
    let mut config = rig.config.clone();
    config.memory.open_bytes = 64 << 20;
    let running = rig.start_with(config);
    rig.settle(&running).await;
    assert_eq!(running.progress.snapshot().large, None);
    rig.assert_equal(&tables).await;
    let state = rig.state().await.unwrap();
    running.stop().await;
    let (counted, empty) = (state.transactions_applied, sends_empty_transactions(&rig).await);
    assert!(counted == 4 || empty && counted > 4, "each counts once: {counted}");
}

/// The changes of tables are committed between the parts, and known to whoever goes on.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_change_inside_of_a_transaction_are_followed_once() {
    let mut rig = rig("chunked_change", TABLES).await;
    rig.config.large_transactions = LargeTransactions::Chunked;
    let running = rig.start();
    running.until_streaming().await;
    let changes = "
        INSERT INTO item SELECT n, repeat('a', 300) FROM generate_series(10000, 10500) n;
        INSERT INTO entry SELECT n % 40, repeat('e', 100) FROM generate_series(1, 400) n;
        ALTER TABLE item ADD COLUMN more text; ALTER TABLE entry ADD COLUMN m int DEFAULT 5;
        INSERT INTO item SELECT n, 'b', repeat('b', 300) FROM generate_series(20000, 20500) n;
        INSERT INTO entry SELECT n % 40, repeat('f', 100), n FROM generate_series(1, 400) n;
        ALTER TABLE item ADD COLUMN most int;
        INSERT INTO item SELECT n, 'c', repeat('c', 300), n FROM generate_series(30000, 30500) n;
        DELETE FROM entry WHERE ctid IN (SELECT ctid FROM entry WHERE word LIKE 'f%' LIMIT 100);
        INSERT INTO last VALUES (1)";
    killed_inside(&rig, (changes, 2403), running).await;
    rig.sql("INSERT INTO item VALUES (5000000, 'behind it', 'x', 1); INSERT INTO entry VALUES (1, 'g', 2)")
        .await;
    let running = rig.start();
    rig.settle(&running).await;
    let snapshot = running.progress.snapshot();
    assert!(snapshot.tables.iter().all(|table| table.error.is_none()), "{:?}", snapshot.tables);
    rig.assert_equal(&["item", "entry", "last"]).await;
    running.stop().await;
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let recorded = target.schema_changes(&rig.name, 10).await.unwrap();
    assert_eq!(recorded.len(), 3, "{recorded:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_at_fault_behind_committed_parts_is_set_aside_and_the_others_go_on() {
    let mut rig = rig(
        "chunked_fault",
        "CREATE TABLE good (n int, word text); ALTER TABLE good REPLICA IDENTITY FULL;
         CREATE TABLE bad (id int PRIMARY KEY, n numeric);
         INSERT INTO good VALUES (1, 'copied'); INSERT INTO bad VALUES (1, 1)",
    )
    .await;
    rig.config.large_transactions = LargeTransactions::Chunked;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql(
        "BEGIN; INSERT INTO bad VALUES (2, 2); INSERT INTO good SELECT n, repeat('g', 300) FROM generate_series(1, 900) n;
         INSERT INTO bad VALUES (3, 'NaN'); INSERT INTO good SELECT n, repeat('h', 300) FROM generate_series(1, 300) n; COMMIT",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["good"]).await;
    let bad =
        running.progress.snapshot().tables.into_iter().find(|table| table.source.name == "bad").unwrap();
    assert_eq!(bad.phase, TablePhase::Quarantined);
    assert_eq!(partial(&rig).await, None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_the_transaction_that_is_half_applied_is_rewound() {
    let mut rig = rig("chunked_rewound", TABLES).await;
    rig.config.large_transactions = LargeTransactions::Chunked;
    let running = rig.start();
    running.until_streaming().await;
    killed_inside(&rig, (&changes(1), CHANGES), running).await;
    let before = rig.target_rows("item").await;
    let other = format!(
        "UPDATE [segcdc].[partial_transaction] SET [xid] = [xid] + 1 WHERE [pipeline] = N'{}'",
        rig.name
    );
    let mut session = Connection::connect(&rig.config.target.to_tds()).await.unwrap();
    session.batch(&other).await.unwrap();
    assert_eq!(rig.start().error_code().await, "SOURCE_REWOUND");
    assert_eq!(rig.target_rows("item").await, before);
}
