//! How a stream begins, waits, breaks and ends.

use std::sync::Arc;
use std::time::Duration;

use segcdc_model::{Change, Disposition, Fault, Lsn, QualifiedName, Transaction};
use segcdc_postgres::{
    PreflightRequest, Replication, SlotSnapshot, SourceConfig, SourceError, StreamEvent, StreamOptions,
    TransactionStream, heartbeat, publication, slot,
};
use segcdc_testkit::{Direction, PostgresOptions, Proxy, Rule, StopMode, Then, When, until};

use crate::fixture::{PATIENCE, Source, bytes, next_transaction, problems, with_code};

/// A table with a permanent slot and a publication; returns where the slot begins.
async fn prepare(name: &str) -> (Source, Lsn) {
    let source = Source::shared(name, "CREATE TABLE t (id int PRIMARY KEY)").await;
    source.publish().await;
    let position = make_slot(&source).await;
    (source, position)
}

async fn make_slot(source: &Source) -> Lsn {
    let mut replication = Replication::connect(&source.config).await.unwrap();
    let slot = replication.create_slot(&source.name, SlotSnapshot::None, false).await.unwrap();
    replication.close().await;
    slot.consistent_point
}

/// The error with which a stream cannot begin.
async fn refusal(source: &Source, slot: &str, from: Lsn) -> SourceError {
    let replication = Replication::connect(&source.config).await.unwrap();
    replication.start(slot, from, &[&source.name]).await.unwrap_err()
}

/// The error with which a stream ends.
async fn end(stream: &mut TransactionStream) -> SourceError {
    let end = async {
        loop {
            if let Err(error) = stream.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the stream ends in time")
}

/// The id that a transaction of one insert has inserted.
async fn next_id(stream: &mut TransactionStream) -> (i32, Lsn) {
    let transaction = next_transaction(stream).await;
    assert_eq!(transaction.changes.len(), 1);
    (first_id(&transaction), transaction.end_lsn)
}

#[tokio::test]
async fn killed_walsender_is_retried_from_the_acknowledged_position() {
    let (source, position) = prepare("killed").await;
    let mut stream = source.stream("killed", position).await;
    for id in 1..=3 {
        source.run(&format!("INSERT INTO t VALUES ({id})")).await;
    }
    let (first, applied) = next_id(&mut stream).await;
    assert_eq!(first, 1);
    stream.acknowledge(applied);
    source
        .run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'killed'")
        .await;
    let error = end(&mut stream).await;
    assert_eq!((error.code(), error.disposition()), ("SOURCE_RESTARTING", Disposition::Retry));
    assert_eq!(stream.next().await.unwrap_err().disposition(), Disposition::Retry, "and stays ended");
    let again = async || {
        let replication = Replication::connect(&source.config).await.ok()?;
        replication.start("killed", applied, &["killed"]).await.ok()
    };
    let mut stream = until("the slot is free", PATIENCE, again).await.unwrap();
    assert_eq!(next_id(&mut stream).await.0, 2, "not lost, and the first one not repeated");
    assert_eq!(next_id(&mut stream).await.0, 3);
    stream.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_stops_is_retried() {
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let mut source = Source::private("stopped", options, "CREATE TABLE t (id int PRIMARY KEY)").await;
    source.publish().await;
    let position = make_slot(&source).await;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let mut stream = source.stream("stopped", position).await;
        let cluster = Arc::get_mut(&mut source.cluster).unwrap();
        // The stream is read while the server stops: a fast stop waits until walsenders have sent everything.
        let reader = tokio::spawn(async move { end(&mut stream).await });
        tokio::task::block_in_place(|| cluster.stop(mode)).unwrap();
        let error = reader.await.unwrap();
        assert_eq!(error.disposition(), Disposition::Retry, "{mode:?}: {error}");
        let error = Replication::connect(&source.config).await.unwrap_err();
        assert_eq!((error.code(), error.disposition()), ("SOURCE_UNREACHABLE", Disposition::Retry));
        Arc::get_mut(&mut source.cluster).unwrap().start_server().await.unwrap();
    }
    source.cluster.execute("stopped", "INSERT INTO t VALUES (7)").await.unwrap();
    let mut stream = source.stream("stopped", position).await;
    assert_eq!(next_id(&mut stream).await.0, 7);
}

/// # Fault F10
/// The slot is in use: by another process, or by a walsender whose client is gone.
/// - Happens: `SLOT_IN_USE`, which names the process of the source that has it; it is tried again with growing pauses. Nobody
///   else's session is ended.
/// - Do: end the other one, or wait until the source gives up its client (`wal_sender_timeout`).
#[tokio::test]
async fn slot_that_is_missing_taken_or_ahead_is_refused() {
    let (source, position) = prepare("refused").await;
    let error = refusal(&source, "no_such_slot", position).await;
    assert_eq!((error.code(), error.disposition()), ("SLOT_MISSING", Disposition::Halt));
    let stream = source.stream("refused", position).await;
    let error = refusal(&source, "refused", position).await;
    assert_eq!((error.code(), error.disposition()), ("SLOT_IN_USE", Disposition::Retry));
    stream.close().await.unwrap();
    // Something else consumes the slot: a stream that began at the old position would lack what it has consumed.
    source.run("INSERT INTO t VALUES (1)").await;
    source.run("SELECT pg_replication_slot_advance('refused', pg_current_wal_lsn())").await;
    let error = refusal(&source, "refused", position).await;
    assert_eq!((error.code(), error.disposition()), ("SLOT_AHEAD_OF_CHECKPOINT", Disposition::Halt));
    // The same when it was dropped and made again.
    assert!(slot::drop(&source.session, "refused").await.unwrap());
    assert!(!slot::drop(&source.session, "refused").await.unwrap());
    make_slot(&source).await;
    assert_eq!(refusal(&source, "refused", position).await.code(), "SLOT_AHEAD_OF_CHECKPOINT");
    let error = {
        let mut replication = Replication::connect(&source.config).await.unwrap();
        replication.create_slot("refused", SlotSnapshot::None, false).await.unwrap_err()
    };
    assert_eq!(error.code(), "SLOT_EXISTS");
}

/// # Fault F5
#[tokio::test]
async fn lost_slot_is_named_by_preflight_and_stream() {
    let options = PostgresOptions::default()
        .setting("max_slot_wal_keep_size", "1MB")
        .setting("min_wal_size", "32MB")
        .setting("max_wal_size", "32MB");
    let source = Source::private("lost", options, "CREATE TABLE t (id int PRIMARY KEY)").await;
    source.publish().await;
    let position = make_slot(&source).await;
    let lost = async || {
        source.run("INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t").await;
        source.session.query_text("SELECT pg_switch_wal()").await.unwrap();
        source.session.query_text("CHECKPOINT").await.unwrap();
        let state = slot::inspect(&source.session, "lost").await.unwrap().unwrap();
        state.is_lost().then_some(state)
    };
    let state = until("the slot is lost", PATIENCE, lost).await.unwrap();
    assert!(state.confirmed_flush_lsn.is_some(), "it looks usable but for its status: {state:?}");
    let error = refusal(&source, "lost", position).await;
    assert_eq!((error.code(), error.disposition()), ("SLOT_LOST", Disposition::Halt));
    let request = PreflightRequest { slot: Some("lost".to_owned()), ..source.request(&["t"]).await };
    let found = problems(&source.session, &request).await;
    source.mend(with_code(&found, "SLOT_LOST").unwrap()).await;
    assert!(with_code(&problems(&source.session, &request).await, "SLOT_LOST").is_none());
}

/// From PostgreSQL 18 on, the server leaves out changes of a missing publication without an error: that it is the same
/// publication has to be compared by its OID.
///
/// # Fault F18
#[tokio::test]
async fn dropped_publication_ends_the_stream_for_good() {
    let (source, position) = prepare("unpublished").await;
    if source.ask("SELECT current_setting('server_version_num')::int >= 180000").await == "t" {
        return;
    }
    let mut stream = source.stream("unpublished", position).await;
    publication::drop(&source.session, "unpublished").await.unwrap();
    source.run("INSERT INTO t VALUES (1)").await;
    let error = end(&mut stream).await;
    assert_eq!((error.code(), error.disposition()), ("PUBLICATION_MISSING", Disposition::Halt));
    // Making it again does not help: the slot is still before the change that was made without it.
    let tables = [QualifiedName::new("public", "t")];
    publication::create(&source.session, "unpublished", &tables).await.unwrap();
    let mut stream =
        until("the slot is free", PATIENCE, async || resume(&source, position).await).await.unwrap();
    assert_eq!(end(&mut stream).await.code(), "PUBLICATION_MISSING");
    let dropped = async || slot::drop(&source.session, "unpublished").await.ok();
    assert!(until("the slot is free", PATIENCE, dropped).await.unwrap());
}

/// A stream from the slot that is named as the database, unless it is still in use.
async fn resume(source: &Source, from: Lsn) -> Option<TransactionStream> {
    let replication = Replication::connect(&source.config).await.unwrap();
    match replication.start(&source.name, from, &[&source.name]).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            assert_eq!(error.code(), "SLOT_IN_USE", "{error}");
            None
        }
    }
}

/// Wherever the connection is cut, what is received before and after the cut is every transaction once.
///
/// # Fault F8
#[tokio::test]
async fn connection_may_be_cut_at_any_byte() {
    let (source, mut position) = prepare("cut").await;
    let proxy = Proxy::start(source.cluster.port()).await.unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/cut?sslmode=disable", proxy.port());
    let through = SourceConfig::parse(&url).unwrap();
    for id in 1..=40 {
        source.run(&format!("INSERT INTO t SELECT i FROM generate_series({id}000, {id}000 + 9) i")).await;
    }
    let (mut next, mut cuts) = (1, 0);
    while next <= 40 {
        // Each time after some more bytes of the whole connection: in the start-up, between and inside of messages.
        let when = When::Bytes(700 + cuts * 397);
        proxy.arm(Rule { direction: Direction::ToClient, when, then: Then::Reset });
        cuts += 1;
        let mut stream = match start_at(&through, "cut", position).await {
            Ok(stream) => stream,
            Err(error) => {
                assert_eq!(error.disposition(), Disposition::Retry, "{error}");
                continue;
            }
        };
        while next <= 40 {
            match stream.next().await {
                Ok(StreamEvent::Transaction(transaction)) if !transaction.changes.is_empty() => {
                    assert_eq!(transaction.changes.len(), 10, "never a part of a transaction");
                    assert_eq!(first_id(&transaction), next * 1000);
                    (next, position) = (next + 1, transaction.end_lsn);
                    stream.acknowledge(position);
                }
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.disposition(), Disposition::Retry, "{error}");
                    break;
                }
            }
        }
    }
    assert!(cuts > 5, "it was cut {cuts} times");
}

/// A stream from a slot that is named as its publication.
async fn start_at(config: &SourceConfig, slot: &str, from: Lsn) -> Result<TransactionStream, SourceError> {
    Replication::connect(config).await?.start(slot, from, &[slot]).await
}

/// The id of the first row that a transaction has inserted.
fn first_id(transaction: &Transaction) -> i32 {
    let Some(Change::Insert { new, .. }) = transaction.changes.first() else {
        panic!("not an insert: {transaction:?}")
    };
    std::str::from_utf8(bytes(new.get(0)).unwrap()).unwrap().parse().unwrap()
}

/// # Fault F9
#[tokio::test]
async fn peer_that_vanished_without_a_word_is_given_up() {
    let (source, position) = prepare("vanished").await;
    source.run("ALTER DATABASE vanished SET wal_sender_timeout = '900ms'").await;
    let proxy = Proxy::start(source.cluster.port()).await.unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/vanished?sslmode=disable", proxy.port());
    let replication = Replication::connect(&SourceConfig::parse(&url).unwrap()).await.unwrap();
    let options = StreamOptions { silence: Duration::from_secs(2), ..StreamOptions::default() };
    let mut stream = replication.start_with("vanished", position, &["vanished"], options).await.unwrap();
    let anything = Box::new(|_: &[u8]| true);
    proxy.arm(Rule { direction: Direction::ToClient, when: When::Seen(anything), then: Then::Swallow });
    let error = end(&mut stream).await;
    assert_eq!((error.code(), error.disposition()), ("SOURCE_SILENT", Disposition::Retry));
}

/// The consumer stands still for longer than the server waits for a sign of life.
///
/// # Fault F7
/// The target is slower than `wal_sender_timeout`.
/// - Happens: the source gets its signs of life all the same; the queue is bounded, and the source keeps the rest.
/// - Do: nothing.
#[tokio::test]
async fn slow_consumer_is_not_taken_for_a_dead_one() {
    let (source, position) = prepare("slow").await;
    source.run("ALTER DATABASE slow SET wal_sender_timeout = '1500ms'").await;
    source.run("ALTER TABLE t ADD filler text").await;
    let options = StreamOptions { queue_bytes: 64 * 1024, ..StreamOptions::default() };
    let replication = Replication::connect(&source.config).await.unwrap();
    let mut stream = replication.start_with("slow", position, &["slow"], options).await.unwrap();
    // Eight megabytes in small transactions: the queue is full, and then the sockets' buffers.
    source
        .run("DO $$ BEGIN FOR i IN 1..800 LOOP INSERT INTO t VALUES (i, repeat('x', 10000)); COMMIT; END LOOP; END $$")
        .await;
    let consumer = "SELECT pid FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
         WHERE s.slot_name = 'slow'";
    let pid = source.ask(consumer).await;
    let old = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE pid = {pid} AND now() > backend_start + interval '5 seconds'"
    );
    let is_old = async || (source.ask(&old).await == "1").then_some(());
    until("three time-outs have passed", PATIENCE, is_old).await.unwrap();
    assert!(stream.buffered_bytes() < 1024 * 1024, "{}", stream.buffered_bytes());
    for id in 1..=800 {
        assert_eq!(next_id(&mut stream).await.0, id);
    }
    assert_eq!(source.ask(consumer).await, pid, "it is still the same walsender");
    stream.close().await.unwrap();
}

#[tokio::test]
async fn heartbeats_and_idle_positions_let_go_of_what_others_write() {
    let (source, position) = prepare("idle").await;
    let neighbour = Source::shared("idle_neighbour", "CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut stream = source.stream("idle", position).await;
    neighbour.run("INSERT INTO t SELECT * FROM generate_series(1, 1000)").await;
    let written: Lsn = source.ask("SELECT pg_current_wal_lsn()").await.parse().unwrap();
    let beat = heartbeat::emit(&source.session).await.unwrap();
    assert!(beat > written);
    let (mut heard, mut idle) = (None, Lsn::ZERO);
    while heard.is_none() || idle < beat {
        match tokio::time::timeout(PATIENCE, stream.next()).await.expect("an event in time").unwrap() {
            StreamEvent::Message { prefix, lsn } => {
                assert_eq!(prefix, heartbeat::PREFIX);
                heard = Some(lsn);
            }
            StreamEvent::Idle { wal_end } => {
                assert!(wal_end > idle, "positions never go back");
                idle = wal_end;
            }
            StreamEvent::Transaction(transaction) => panic!("nobody has written here: {transaction:?}"),
        }
    }
    assert!(heard.unwrap() <= beat);
    stream.acknowledge(idle);
    let confirmed = async || {
        let state = slot::inspect(&source.session, "idle").await.unwrap().unwrap();
        (state.confirmed_flush_lsn >= Some(idle)).then_some(())
    };
    until("the server has heard of it", PATIENCE, confirmed).await.unwrap();
    stream.close().await.unwrap();
}

#[tokio::test]
async fn close_reports_the_last_acknowledgement_and_frees_the_slot() {
    let (source, position) = prepare("closed").await;
    let mut stream = source.stream("closed", position).await;
    source.run("INSERT INTO t VALUES (1)").await;
    let (_, applied) = next_id(&mut stream).await;
    stream.acknowledge(applied);
    stream.acknowledge(position);
    assert_eq!(stream.acknowledged(), applied, "an earlier position has no effect");
    stream.close().await.unwrap();
    let state = slot::inspect(&source.session, "closed").await.unwrap().unwrap();
    assert_eq!((state.confirmed_flush_lsn, state.active_pid), (Some(applied), None));
    assert!(slot::drop(&source.session, "closed").await.unwrap());
}
