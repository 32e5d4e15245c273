//! How much of the disk a stream and a copy take.

use segcdc_model::{Disposition, Fault, Lsn};
use segcdc_postgres::{
    CopyRequest, Replication, SlotSnapshot, SourceConfig, SourceError, SpillSpace, StreamEvent,
    StreamOptions, TransactionStream, snapshot,
};
use segcdc_testkit::until;

use crate::fixture::{PATIENCE, Source, next_transaction};

/// Bytes of one value, and so about those of the message of its row.
const VALUE: u64 = 3 << 20;

/// Two values and a half.
const LIMIT: u64 = 15 << 19;

/// A table with a slot, and a configuration of its own space.
async fn prepare(name: &str, limit: Option<u64>) -> (Source, SourceConfig, Lsn, tempfile::TempDir) {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL";
    let source = Source::shared(name, sql).await;
    source.publish().await;
    let mut replication = Replication::connect(&source.config).await.unwrap();
    let slot = replication.create_slot(&source.name, SlotSnapshot::None, false).await.unwrap();
    replication.close().await;
    let directory = tempfile::tempdir().unwrap();
    let config = SourceConfig { spill: SpillSpace::new(directory.path(), limit), ..source.config.clone() };
    (source, config, slot.consistent_point, directory)
}

async fn stream(config: &SourceConfig, name: &str, from: Lsn, options: StreamOptions) -> TransactionStream {
    let replication = Replication::connect(config).await.unwrap();
    replication.start_with(name, from, &[name], options).await.unwrap()
}

/// Inserts rows with these ids, in one transaction.
async fn insert(source: &Source, from: u32, to: u32) {
    let rows =
        format!("INSERT INTO t SELECT id, repeat('x', {VALUE}) FROM generate_series({from}, {to}) AS id");
    source.run(&rows).await;
}

/// Waits until the walsender cannot send because nobody reads.
async fn nobody_reads(source: &Source) {
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity a JOIN pg_replication_slots s ON s.active_pid = a.pid \
         WHERE s.slot_name = '{}' AND a.wait_event = 'WalSenderWriteData'",
        source.name
    );
    let waits = async || (source.ask(&waits).await == "1").then_some(());
    until("the walsender cannot send", PATIENCE, waits).await.unwrap();
}

/// Receives these transactions of one row each, one after the other, never with more on disk than `most`.
async fn receive(stream: &mut TransactionStream, space: &SpillSpace, number: u32, most: u64) {
    for _ in 0..number {
        let transaction = next_transaction(stream).await;
        assert_eq!(transaction.large_bytes, VALUE);
        assert!(space.used() <= most, "{} bytes on disk", space.used());
    }
}

#[tokio::test]
async fn queue_counts_what_is_on_disk() {
    let (source, config, position, _directory) = prepare("spill_queue", None).await;
    let options = StreamOptions { queue_large_bytes: 4 << 20, ..StreamOptions::default() };
    let mut stream = stream(&config, "spill_queue", position, options).await;
    for id in 1..=8 {
        insert(&source, id, id).await;
    }
    nobody_reads(&source).await;
    // Two in the queue; the message that comes next is not read.
    assert_eq!(config.spill.used() / VALUE, 2);
    receive(&mut stream, &config.spill, 8, 4 * VALUE).await;
    stream.close().await.unwrap();
    assert_eq!(config.spill.used(), 0);
}

#[tokio::test]
async fn stream_waits_for_room_that_the_consumer_gives_back() {
    let (source, config, position, _directory) = prepare("spill_room", Some(LIMIT)).await;
    let mut stream = stream(&config, "spill_room", position, StreamOptions::default()).await;
    for id in 1..=8 {
        insert(&source, id, id).await;
    }
    nobody_reads(&source).await;
    let held = next_transaction(&mut stream).await;
    receive(&mut stream, &config.spill, 7, LIMIT).await;
    drop(held);
    stream.close().await.unwrap();
    assert_eq!(config.spill.used(), 0);
}

#[tokio::test]
async fn transaction_that_has_no_room_for_itself_is_named_behind_what_came_before() {
    let (source, config, position, _directory) = prepare("spill_limit", Some(LIMIT)).await;
    let mut stream = stream(&config, "spill_limit", position, StreamOptions::default()).await;
    insert(&source, 1, 1).await;
    insert(&source, 2, 4).await;
    receive(&mut stream, &config.spill, 1, LIMIT).await;
    let error = loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await.expect("an end in time") {
            Ok(StreamEvent::Transaction(transaction)) => assert!(transaction.changes.is_empty()),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.disposition()), ("SPILL_LIMIT", Disposition::Halt));
    assert!(matches!(error, SourceError::SpillLimit { limit: LIMIT, .. }), "{error:?}");
    drop(stream);
    let given_back = async || (config.spill.used() == 0).then_some(());
    until("everything is given back", PATIENCE, given_back).await.unwrap();
}

/// Two copies at once, with room for the rows of one and a half.
#[tokio::test]
async fn copies_wait_for_each_other() {
    let (source, config, ..) = prepare("spill_copies", Some(VALUE * 3 / 2)).await;
    insert(&source, 1, 4).await;
    let table = source.table("t").await;
    let copy = async || {
        let mut rows = snapshot::copy(&config, CopyRequest::new(&table, &[0, 1])).await.unwrap();
        let mut number = 0;
        while let Some(row) = rows.next().await.unwrap() {
            assert_eq!(row.large_bytes(), VALUE);
            assert!(config.spill.used() <= VALUE * 3 / 2);
            number += 1;
            drop(row);
            tokio::task::yield_now().await;
        }
        number
    };
    let both = async { tokio::join!(copy(), copy()) };
    assert_eq!(tokio::time::timeout(PATIENCE, both).await.expect("an end in time"), (4, 4));
    let small =
        SourceConfig { spill: SpillSpace::new(config.spill.directory(), Some(VALUE)), ..config.clone() };
    let mut rows = snapshot::copy(&small, CopyRequest::new(&table, &[0, 1])).await.unwrap();
    assert_eq!(rows.next().await.unwrap_err().code(), "SPILL_LIMIT");
}
