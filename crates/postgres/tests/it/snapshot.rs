//! Copying from exported snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use segcdc_model::{Change, Disposition, Fault, Field};
use segcdc_postgres::snapshot::{copy, key_filter, split};
use segcdc_postgres::{CopyRange, CopyRequest, ExportedSnapshot, RowStream};
use segcdc_testkit::until;

use crate::fixture::{PATIENCE, Source, bytes, drain, int, next_transaction};

/// A table of about 40 MiB, far more than all buffers between the server and a reader that stands still.
const LARGE: &str = "CREATE TABLE large AS SELECT i AS id, repeat(md5(i::text), 12) AS filler \
     FROM generate_series(1, 90000) i";

#[tokio::test]
async fn two_readers_copy_one_table_at_the_same_time() {
    let source = Source::shared("two_readers", LARGE).await;
    let snapshot = ExportedSnapshot::create(&source.config, "two_readers", true).await.unwrap();
    // Rows behind the last known page belong to the open-ended range, and not to the snapshot.
    let table = source.table("large").await;
    source.run("INSERT INTO large SELECT i, 'late' FROM generate_series(90001, 95000) i").await;
    let ranges = split(&table, 2);
    assert!(ranges.len() >= 4, "{ranges:?}");
    let request =
        |range| CopyRequest { snapshot: Some(snapshot.name()), range, ..CopyRequest::new(&table, &[0]) };
    let mut first =
        copy(&source.config, CopyRequest { columns: &[0, 1], ..request(ranges[0]) }).await.unwrap();
    let mut second =
        copy(&source.config, CopyRequest { columns: &[0, 1], ..request(ranges[1]) }).await.unwrap();
    let mut rows = first.next_batch().await.unwrap();
    rows.extend(second.next_batch().await.unwrap());
    let copying = "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = 'two_readers' AND state = 'active' AND query LIKE 'COPY%'";
    assert_eq!(source.ask(copying).await, "2", "both are in the middle of their range");
    rows.extend(drain(&mut first).await);
    rows.extend(drain(&mut second).await);
    for range in &ranges[2..] {
        rows.extend(drain(&mut copy(&source.config, request(*range)).await.unwrap()).await);
    }
    let mut ids: Vec<i32> = rows.iter().map(|row| int(row.get(0))).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=90_000), "each row once, and none of the late ones: {}", ids.len());
}

#[tokio::test]
async fn range_is_read_by_its_pages() {
    let source = Source::shared("by_pages", LARGE).await;
    let table = source.table("large").await;
    let range = CopyRange::Pages { from: 7, to: Some(9) };
    let mut rows =
        copy(&source.config, CopyRequest { range, ..CopyRequest::new(&table, &[0]) }).await.unwrap();
    let found = drain(&mut rows).await.len().to_string();
    let expected = "SELECT count(*) FROM large WHERE (ctid::text::point)[0] IN (7, 8)";
    assert_eq!(source.ask(expected).await, found);
}

/// Several writers change rows all the while; snapshot and stream together must give the table, each change once.
#[tokio::test]
async fn snapshot_and_stream_meet_without_gap_or_overlap() {
    let setup = "CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL); \
         INSERT INTO account SELECT i, 0 FROM generate_series(1, 500) i";
    let source = Source::shared("handover", setup).await;
    source.publish().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..3).map(|seed| tokio::spawn(write(source.config.clone(), seed, Arc::clone(&stop)))).collect();
    let written = async || source.ask("SELECT sum(n) FROM account").await.parse::<i32>().unwrap();
    let more_than = async |enough: i32| {
        until("writers are at work", PATIENCE, async || (written().await > enough).then_some(()))
            .await
            .unwrap();
    };
    more_than(50).await;
    let snapshot = ExportedSnapshot::create(&source.config, "handover", false).await.unwrap();
    let position = snapshot.lsn();
    more_than(written().await + 100).await;
    let table = source.table("account").await;
    let request = CopyRequest { snapshot: Some(snapshot.name()), ..CopyRequest::new(&table, &[0, 1]) };
    let rows = drain(&mut copy(&source.config, request).await.unwrap()).await;
    let mut replica: BTreeMap<i32, i32> = rows.iter().map(|row| (int(row.get(0)), int(row.get(1)))).collect();
    let copied = replica.clone();
    snapshot.close().await;
    more_than(written().await + 50).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    source.run("INSERT INTO account VALUES (-1, 0)").await;
    let mut stream = source.stream("handover", position).await;
    while !replica.contains_key(&-1) {
        let transaction = next_transaction(&mut stream).await;
        assert!(transaction.end_lsn > position);
        for change in transaction.changes {
            apply(&mut replica, &change);
        }
    }
    let text = "SELECT string_agg(id || '=' || n, ' ' ORDER BY id) FROM account";
    let found = replica.iter().map(|(id, n)| format!("{id}={n}")).collect::<Vec<_>>().join(" ");
    assert_eq!(found, source.ask(text).await);
    assert_ne!(copied, replica, "the stream had something to add");
    assert!(copied.values().any(|n| *n > 0), "the snapshot had something that the writers did");
}

/// A writer: small transactions, one after another, until it is told to stop.
async fn write(config: segcdc_postgres::SourceConfig, seed: i32, stop: Arc<AtomicBool>) {
    let session = segcdc_postgres::session::connect(&config).await.unwrap();
    session.query_text("SET search_path = public").await.unwrap();
    for step in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
        // Each id belongs to one writer, so that there are no deadlocks.
        let id = (step * 7 % 166) * 3 + seed + 1;
        let sql = match step % 10 {
            3 => format!("DELETE FROM account WHERE id = {id}"),
            4 => format!("INSERT INTO account VALUES ({}, 1)", 1000 + step * 3 + seed),
            _ => format!("UPDATE account SET n = n + 1 WHERE id IN ({id}, {})", id + 3),
        };
        session.query_text(&sql).await.unwrap();
    }
}

/// Applies a change in a way that fails when it is applied twice or the one before it is missing.
fn apply(replica: &mut BTreeMap<i32, i32>, change: &Change) {
    let number = |field: Option<Field<'_>>| -> i32 {
        std::str::from_utf8(bytes(field).unwrap()).unwrap().parse().unwrap()
    };
    match change {
        Change::Insert { new, .. } => {
            assert_eq!(replica.insert(number(new.get(0)), number(new.get(1))), None);
        }
        Change::Update { new, .. } => {
            let (id, n) = (number(new.get(0)), number(new.get(1)));
            assert_eq!(replica.insert(id, n), Some(n - 1), "account {id}");
        }
        Change::Delete { old, .. } => {
            assert!(replica.remove(&number(old.tuple().get(0))).is_some());
        }
        Change::Truncate { .. } => panic!("nobody truncates"),
    }
}

#[tokio::test]
async fn snapshot_ends_with_its_session_but_not_for_who_has_it() {
    let source = Source::shared("snapshot_gone", LARGE).await;
    let snapshot = ExportedSnapshot::create(&source.config, "snapshot_gone", true).await.unwrap();
    let table = source.table("large").await;
    let name = snapshot.name().to_owned();
    let request = CopyRequest { snapshot: Some(&name), ..CopyRequest::new(&table, &[0, 1]) };
    let mut before = copy(&source.config, request).await.unwrap();
    snapshot.close().await;
    let error = until("the snapshot is gone", PATIENCE, async || copy(&source.config, request).await.err());
    let error = error.await.unwrap();
    assert_eq!((error.code(), error.disposition()), ("SNAPSHOT_GONE", Disposition::Retry));
    assert_eq!(drain(&mut before).await.len(), 90_000);
}

#[tokio::test]
async fn table_with_a_new_file_since_the_snapshot_is_refused_not_copied_as_empty() {
    let setup = "CREATE TABLE altered AS SELECT 1 AS id; CREATE TABLE emptied AS SELECT 1 AS id; \
         CREATE TABLE packed AS SELECT 1 AS id; CREATE TABLE untouched AS SELECT 1 AS id; CREATE TABLE again AS SELECT 1 AS id; \
         CREATE TABLE renamed AS SELECT 1 AS id; CREATE TABLE root (id int, part int) PARTITION BY LIST (part); \
         CREATE TABLE leaf PARTITION OF root DEFAULT; INSERT INTO root VALUES (1)";
    let source = Source::shared("rewritten", setup).await;
    let snapshot = ExportedSnapshot::create(&source.config, "rewritten", true).await.unwrap();
    let mut tables = BTreeMap::new();
    for name in ["altered", "emptied", "packed", "untouched", "again", "renamed", "root"] {
        tables.insert(name, source.table(name).await);
    }
    source
        .run("ALTER TABLE altered ALTER id TYPE int8; TRUNCATE emptied; ALTER TABLE root ALTER id TYPE int8")
        .await;
    source.run("VACUUM FULL packed").await;
    source
        .run("DROP TABLE again; CREATE TABLE again AS SELECT 1 AS id; ALTER TABLE renamed RENAME TO other")
        .await;
    let outcome = async |name: &str| {
        let request =
            CopyRequest { snapshot: Some(snapshot.name()), ..CopyRequest::new(&tables[name], &[0]) };
        match copy(&source.config, request).await {
            Ok(mut rows) => drain(&mut rows).await.len().to_string(),
            Err(error) => format!("{} {:?}", error.code(), error.disposition()),
        }
    };
    assert_eq!(outcome("altered").await, "TABLE_REWRITTEN Retry");
    assert_eq!(outcome("root").await, "TABLE_REWRITTEN Retry");
    assert_eq!(outcome("emptied").await, "TABLE_REWRITTEN Retry");
    assert_eq!(outcome("packed").await, "TABLE_REWRITTEN Retry");
    assert_eq!(outcome("untouched").await, "1");
    assert_eq!(outcome("again").await, "TABLE_NOT_FOUND HaltTable");
    assert_eq!(outcome("renamed").await, "TABLE_NOT_FOUND HaltTable");
}

#[tokio::test]
async fn roots_come_with_partitions_and_parents_without_children() {
    let setup = "CREATE TABLE root (id int, part int) PARTITION BY LIST (part); \
         CREATE TABLE leaf1 PARTITION OF root FOR VALUES IN (1); \
         CREATE TABLE leaf2 PARTITION OF root FOR VALUES IN (2); \
         INSERT INTO root SELECT i, 1 + i % 2 FROM generate_series(1, 10) i; \
         CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent); \
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2); \
         CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; CREATE TABLE empty (id int)";
    let source = Source::shared("roots", setup).await;
    let count = async |name: &str, columns: &[usize]| {
        let table = source.table(name).await;
        drain(&mut copy(&source.config, CopyRequest::new(&table, columns)).await.unwrap()).await.len()
    };
    assert_eq!(count("root", &[1, 0]).await, 10);
    assert_eq!(count("leaf1", &[0]).await, 5);
    assert_eq!(count("parent", &[0]).await, 1);
    assert_eq!(count("nothing", &[]).await, 1);
    assert_eq!(count("empty", &[0]).await, 0);
}

#[tokio::test]
async fn rows_come_in_order_and_by_key() {
    let setup = "CREATE TABLE word (w text, n int, PRIMARY KEY (w, n)); \
         INSERT INTO word VALUES ('b', 1), ('B', 2), ('a', 3), ('a''b', 4), ('ä', 5), ('', 6), ('a', 7)";
    let source = Source::shared("ordered", setup).await;
    let table = source.table("word").await;
    let numbers = async |request: CopyRequest<'_>| {
        let rows = drain(&mut copy(&source.config, request).await.unwrap()).await;
        rows.iter().map(|row| int(row.get(0))).collect::<Vec<_>>()
    };
    let ordered = CopyRequest { order_by: &[0, 1], ..CopyRequest::new(&table, &[1]) };
    assert_eq!(numbers(ordered).await, [6, 2, 3, 7, 4, 1, 5], "text by its bytes");
    let keys = [("a", "7"), ("a'b", "4"), ("", "6"), ("a", "99")];
    let keys: Vec<_> = keys.iter().map(|(w, n)| vec![(*w).to_owned(), (*n).to_owned()]).collect();
    let filter = key_filter(&table, &[0, 1], &keys).unwrap();
    assert_eq!(numbers(CopyRequest { filter: Some(&filter), ..ordered }).await, [6, 7, 4]);
    let none = key_filter(&table, &[0, 1], &[]).unwrap();
    assert_eq!(numbers(CopyRequest { filter: Some(&none), ..ordered }).await, [0; 0]);
}

#[tokio::test]
async fn copy_that_fails_never_looks_complete() {
    let source = Source::shared("copy_fails", LARGE).await;
    let table = source.table("large").await;
    let request = CopyRequest { filter: Some("1 / (id - 80000) < 2"), ..CopyRequest::new(&table, &[0, 1]) };
    let mut rows = copy(&source.config, request).await.unwrap();
    let end = async |rows: &mut RowStream| loop {
        match rows.next().await {
            Ok(Some(_)) => {}
            end => return end,
        }
    };
    let error = end(&mut rows).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"));
    assert!(rows.next().await.is_err());
    // The session is ended under the reader.
    let mut rows = copy(&source.config, CopyRequest::new(&table, &[0, 1])).await.unwrap();
    rows.next().await.unwrap();
    source
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
              WHERE datname = 'copy_fails' AND query LIKE 'COPY%' AND pid <> pg_backend_pid()",
        )
        .await;
    let error = end(&mut rows).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
    assert!(rows.next().await.is_err());
}

#[tokio::test]
async fn temporary_slot_streams_from_the_session_that_made_it() {
    let source = Source::shared("temporary_slot", "CREATE TABLE t (id int PRIMARY KEY)").await;
    source.publish().await;
    let snapshot = ExportedSnapshot::create(&source.config, "temporary_slot", true).await.unwrap();
    let position = snapshot.lsn();
    source.run("INSERT INTO t VALUES (1)").await;
    let replication = snapshot.into_replication();
    let mut stream = replication.start("temporary_slot", position, &["temporary_slot"]).await.unwrap();
    assert_eq!(next_transaction(&mut stream).await.changes.len(), 1);
    stream.close().await.unwrap();
    until("the slot is gone", PATIENCE, async || {
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'temporary_slot'";
        (source.ask(sql).await == "0").then_some(())
    })
    .await
    .unwrap();
}
