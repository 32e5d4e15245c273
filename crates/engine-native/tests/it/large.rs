//! Transactions that are too large for the memory that they may have.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use segcdc_engine_native::{EngineConfig, VerifyOptions, verify};
use segcdc_model::TablePhase;
use segcdc_plan::{RuleTexts, Rules};
use segcdc_postgres::{Session, SpillSpace, session};

use crate::rig::{Rig, Running};

/// Memory of transactions that are not complete: some hundred rows.
pub(crate) const OPEN_BYTES: usize = 48 << 10;

const TABLES: &str = "
    CREATE TABLE item (id int PRIMARY KEY, word text, doc text);
    ALTER TABLE item ALTER doc SET STORAGE EXTERNAL;
    CREATE TABLE entry (n int NOT NULL, word text); ALTER TABLE entry REPLICA IDENTITY FULL;
    CREATE TABLE emptied (id int PRIMARY KEY, word text);
    CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, word text); ALTER TABLE late REPLICA IDENTITY FULL;
    INSERT INTO item SELECT n, 'copied', repeat(md5(n::text), 100) FROM generate_series(1, 900) n;
    INSERT INTO entry SELECT n % 50, 'copied' FROM generate_series(1, 900) n;
    INSERT INTO emptied SELECT n, 'copied' FROM generate_series(1, 50) n;
    INSERT INTO late SELECT n, repeat('l', 900) FROM generate_series(1, 120) n";

/// A pipeline whose transactions go to disk early, on either side.
pub(crate) async fn rig(name: &str, tables: &str) -> Rig {
    let small = format!("ALTER DATABASE {name} SET logical_decoding_work_mem = '64kB'; {tables}");
    let mut rig = Rig::shared(name, &small).await;
    rig.config.memory.open_bytes = OPEN_BYTES;
    rig
}

/// A session with the source whose transaction stays open.
pub(crate) async fn begin(rig: &Rig) -> Session {
    let session = session::connect(&rig.config.source).await.unwrap();
    session.query_text("SET search_path = public; BEGIN").await.unwrap();
    session
}

pub(crate) async fn run(session: &Session, sql: &str) {
    for sql in sql.split(';').filter(|sql| !sql.trim().is_empty()) {
        session.query_text(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

/// Waits until a transaction that is still open at the source is on our disk.
pub(crate) async fn until_received(running: &Running) {
    let received = |large: Option<segcdc_engine_native::progress::LargeTransaction>| {
        large.is_some_and(|large| !large.is_complete && large.disk_bytes > 0)
    };
    running.until("a transaction in progress is on disk", |snapshot| received(snapshot.large)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_transactions_take_effect_whole_between_short_ones() {
    let rig = rig("large_mix", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let (one, two) = (begin(&rig).await, begin(&rig).await);
    let first = "
        INSERT INTO item SELECT n, repeat('a', 300), 'one' FROM generate_series(10001, 11000) n;
        UPDATE item SET id = -id WHERE id <= 400;
        SAVEPOINT undone; INSERT INTO item SELECT n, repeat('x', 300), 'undone' FROM generate_series(11001, 12000) n;
        DELETE FROM item WHERE id BETWEEN 10001 AND 10400; SAVEPOINT inner_undone;
        INSERT INTO entry SELECT n, repeat('x', 300) FROM generate_series(1, 500) n; ROLLBACK TO undone;
        SELECT pg_logical_emit_message(true, 'other', repeat('m', 100000));
        UPDATE item SET word = 'kept its document' WHERE id BETWEEN -400 AND -300;
        DELETE FROM entry WHERE n < 10; UPDATE entry SET word = repeat('e', 200) WHERE n > 30";
    let second = "
        INSERT INTO emptied SELECT n, repeat('b', 300) FROM generate_series(101, 900) n; TRUNCATE emptied;
        ALTER TABLE emptied REPLICA IDENTITY FULL;
        INSERT INTO emptied SELECT n, repeat('c', 300) FROM generate_series(201, 900) n;
        UPDATE emptied SET word = 'changed' WHERE id % 3 = 0; UPDATE late SET id = id + 1";
    run(&one, first).await;
    run(&two, second).await;
    until_received(&running).await;
    // Short ones come in between, and nothing of the others.
    rig.sql("INSERT INTO item VALUES (5000, 'short', NULL); UPDATE item SET word = 'short' WHERE id = 700")
        .await;
    rig.settle(&running).await;
    let seen = rig.target_rows("item").await;
    assert_eq!(seen.len(), 901);
    assert!(seen.iter().any(|row| row[1].as_deref() == Some("short")));
    // Keys come back in another part than the one in which they went.
    run(&one, "INSERT INTO item SELECT n, repeat('d', 300), 'one' FROM generate_series(13001, 14000) n")
        .await;
    run(&one, "UPDATE item SET id = -id WHERE id < -200; DELETE FROM item WHERE id BETWEEN -100 AND -50")
        .await;
    run(&two, "COMMIT").await;
    rig.sql("DELETE FROM item WHERE id = 701").await;
    run(&one, "COMMIT").await;
    rig.settle(&running).await;
    let tables = ["item", "entry", "emptied", "late"];
    rig.assert_equal(&tables).await;
    let streamed = format!(
        "SELECT stream_txns >= 2 FROM pg_stat_replication_slots WHERE slot_name = '{}'",
        rig.slot().await
    );
    let reported = async || (rig.ask(&streamed).await == "t").then_some(());
    segcdc_testkit::until("the server has streamed", crate::rig::PATIENCE, reported).await.unwrap();
    let snapshot = running.progress.snapshot();
    assert!(
        snapshot.tables.iter().all(|table| table.phase == TablePhase::Streaming),
        "{:?}",
        snapshot.tables
    );
    running.until("nothing large is left", |snapshot| snapshot.large.is_none()).await;
    running.stop().await;
    // One that is rolled back as a whole leaves nothing, on disk either.
    let running = rig.start();
    running.until_streaming().await;
    let three = begin(&rig).await;
    run(&three, "INSERT INTO item SELECT n, repeat('a', 300), 'no' FROM generate_series(20001, 21000) n")
        .await;
    until_received(&running).await;
    run(&three, "ROLLBACK").await;
    running.until("nothing large is left", |snapshot| snapshot.large.is_none()).await;
    assert_eq!(rig.config.source.spill.used(), 0);
    rig.assert_equal(&tables).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_decide_of_each_value_once_across_parts() {
    let mut rig = rig(
        "large_policies",
        "CREATE TABLE odd (id int PRIMARY KEY, n numeric, at timestamptz, m float8, word text);
         INSERT INTO odd SELECT n, n, now(), n, 'copied' FROM generate_series(1, 300) n;
         CREATE TABLE bag (n numeric, word text); ALTER TABLE bag REPLICA IDENTITY FULL",
    )
    .await;
    let values =
        ["public.odd.n=set_aside", "public.bag.n=set_aside", "public.odd.at=clamp", "public.odd.m=null"]
            .map(str::to_owned)
            .to_vec();
    rig.config.rules = Rules::parse(&RuleTexts { values, ..RuleTexts::default() }).expect("rules");
    let running = rig.start();
    running.until_streaming().await;
    let rows = "INSERT INTO odd SELECT n, CASE WHEN n % 5 = 0 THEN 'NaN'::numeric ELSE n END, CASE WHEN n % 7 = 0
            THEN 'infinity'::timestamptz ELSE '2024-01-01' END, CASE WHEN n % 11 = 0 THEN 'NaN'::float8 ELSE n END, repeat('w', 200)
            FROM generate_series(1001, 2000) n;
        INSERT INTO bag SELECT CASE WHEN n % 5 = 0 THEN 'NaN'::numeric ELSE n END, repeat('b', 200) FROM generate_series(1, 400) n;
        UPDATE odd SET n = 'NaN' WHERE id <= 100; UPDATE odd SET word = repeat('v', 200) WHERE id <= 200;
        UPDATE odd SET n = 1 WHERE id BETWEEN 1200 AND 1500; DELETE FROM odd WHERE id BETWEEN 1900 AND 2000;
        UPDATE odd SET id = id + 5000 WHERE id BETWEEN 50 AND 150; UPDATE odd SET n = 2, word = 'healed' WHERE id < 20;
        DELETE FROM bag WHERE word LIKE 'b%' AND n = 'NaN' AND ctid IN (SELECT ctid FROM bag WHERE n = 'NaN' LIMIT 30)";
    let open = begin(&rig).await;
    run(&open, rows).await;
    until_received(&running).await;
    run(&open, "COMMIT").await;
    rig.settle(&running).await;
    let snapshot = running.progress.snapshot();
    assert!(snapshot.tables.iter().all(|table| table.error.is_none()), "{:?}", snapshot.tables);
    running.stop().await;
    let options =
        VerifyOptions { patterns: Vec::new(), limit: 9, memory_bytes: 8 << 20, ..VerifyOptions::default() };
    let report = verify(&rig.config, &options, &mut |_| {}).await.expect("a verdict");
    assert_eq!((report.differences(), report.undecided()), (0, 0), "{report:#?}");
    let (bad, odd) =
        (rig.ask("SELECT count(*) FROM odd WHERE n = 'NaN'").await, rig.target_rows("odd").await.len());
    let all: usize = rig.ask("SELECT count(*) FROM odd").await.parse().unwrap();
    let bad: usize = bad.parse().unwrap();
    assert!(bad > 50);
    // Rows that were in the target when they went bad stay there as they were.
    assert!(odd >= all - bad && odd < all, "{odd} of {all}, {bad} bad");
    let bags: usize = rig.ask("SELECT count(*) FROM bag WHERE n <> 'NaN'").await.parse().unwrap();
    assert_eq!(rig.target_rows("bag").await.len(), bags);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_at_fault_in_the_last_part_is_set_aside_and_the_others_get_the_transaction() {
    let rig = rig(
        "large_fault",
        "CREATE TABLE good (id int PRIMARY KEY, word text); CREATE TABLE bad (id int PRIMARY KEY, n numeric);
         INSERT INTO good VALUES (1, 'copied'); INSERT INTO bad VALUES (1, 1)",
    )
    .await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql(
        "BEGIN; INSERT INTO bad VALUES (2, 2); INSERT INTO good SELECT n, repeat('g', 300) FROM generate_series(2, 900) n;
         INSERT INTO bad VALUES (3, 'NaN'); COMMIT",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["good"]).await;
    assert_eq!(rig.target_rows("bad").await.len(), 1);
    let bad =
        running.progress.snapshot().tables.into_iter().find(|table| table.source.name == "bad").unwrap();
    assert_eq!(bad.phase, TablePhase::Quarantined);
    running.stop().await;
}

/// Changes a byte in the middle of each file without a name below a directory that this process has open.
fn damage(directory: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let ours =
        open.filter(|file| std::fs::read_link(file.path()).is_ok_and(|link| link.starts_with(directory)));
    let mut damaged = 0;
    for file in ours {
        let mut file = std::fs::OpenOptions::new().read(true).write(true).open(file.path()).unwrap();
        let middle = SeekFrom::Start(file.metadata().unwrap().len() / 2);
        let mut byte = [0];
        file.seek(middle).unwrap();
        file.read_exact(&mut byte).unwrap();
        file.seek(middle).unwrap();
        file.write_all(&[!byte[0]]).unwrap();
        damaged += 1;
    }
    damaged
}

/// # Fault F68
/// What was kept on disk is damaged.
/// - Happens: a checksum tells it (`SPILL_DAMAGED`); it is thrown away, and comes from the source again.
/// - Do: look after the disk.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_disk_is_named_and_comes_again() {
    let mut rig = rig("large_damage", TABLES).await;
    let directory = tempfile::tempdir().unwrap();
    rig.config.source.spill = SpillSpace::new(directory.path(), None);
    let running = rig.start();
    running.until_streaming().await;
    let open = begin(&rig).await;
    run(&open, "INSERT INTO item SELECT n, repeat('a', 300), 'one' FROM generate_series(10001, 11000) n")
        .await;
    until_received(&running).await;
    assert!(damage(directory.path()) > 0);
    run(&open, "COMMIT").await;
    running.until("it tries again", |snapshot| snapshot.retries > 0).await;
    assert_eq!(running.progress.snapshot().last_retry.unwrap().code, "SPILL_DAMAGED");
    rig.settle(&running).await;
    rig.assert_equal(&["item"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_disk_is_named_and_nothing_is_lost() {
    let mut rig = rig("large_limit", TABLES).await;
    let directory = tempfile::tempdir().unwrap();
    rig.config.source.spill = SpillSpace::new(directory.path(), Some(100 << 10));
    let running = rig.start();
    running.until_streaming().await;
    rig.settle(&running).await;
    let before = rig.target_rows("item").await;
    rig.sql("INSERT INTO item SELECT n, repeat('a', 300), 'one' FROM generate_series(10001, 11000) n").await;
    assert_eq!(running.error_code().await, "SPILL_LIMIT");
    assert_eq!(rig.target_rows("item").await, before);
    let spill = SpillSpace::new(directory.path(), Some(10 << 20));
    let source = segcdc_postgres::SourceConfig { spill, ..rig.config.source.clone() };
    let config = EngineConfig { source, until_caught_up: true, ..rig.config.clone() };
    rig.start_with(config).end().await.unwrap();
    rig.assert_equal(&["item"]).await;
}
