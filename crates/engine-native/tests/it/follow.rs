//! Copying and following when nothing goes wrong.

use std::time::Duration;

use segcdc_engine_native::{Outcome, SnapshotMode};
use segcdc_model::{Lsn, Phase, TablePhase};

use segcdc_testkit::until;

use crate::rig::{PATIENCE, Rig};
use crate::workload::{NAMES, TABLES, Workload};

#[tokio::test(flavor = "multi_thread")]
async fn copy_and_changes_make_both_sides_equal() {
    let rig = Rig::shared("follow_equal", TABLES).await;
    let workload = Workload::start(&rig);
    workload.more(20).await;
    let running = rig.start();
    running.until_streaming().await;
    workload.more(200).await;
    workload.stop().await;
    rig.sql("UPDATE item SET word = repeat('x', 5000) WHERE id % 10 = 0; DELETE FROM account WHERE id = 3")
        .await;
    rig.sql("TRUNCATE log; INSERT INTO log VALUES (1, NULL)").await;
    rig.settle(&running).await;
    rig.assert_equal(&NAMES).await;
    let snapshot = running.progress.snapshot();
    assert!(snapshot.latency.count > 0 && snapshot.latency.p99_ms > 0.0, "{snapshot:?}");
    assert!(snapshot.applied.transactions >= 100, "{snapshot:?}");
    assert!(snapshot.copied.rows >= 500, "{snapshot:?}");
    assert!(snapshot.tables.iter().all(|table| table.phase == TablePhase::Streaming), "{snapshot:?}");
    let applied = running.stop().await;
    // In order: the slot is free, and has let go of exactly what the checkpoint holds.
    let state = rig.state().await.unwrap();
    assert_eq!(state.checkpoint.applied_lsn, applied);
    let slot = rig.slot().await;
    let confirmed =
        format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'");
    assert_eq!(rig.ask(&confirmed).await.parse::<Lsn>().unwrap(), applied);
    assert_eq!(
        rig.ask("SELECT count(active_pid) FROM pg_replication_slots WHERE database = 'follow_equal'").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_it_has_caught_up() {
    let rig = Rig::shared("follow_caught_up", TABLES).await;
    assert!(matches!(rig.catch_up().await, Ok(Outcome::CaughtUp { .. })));
    rig.assert_equal(&NAMES).await;
    for round in 0..3 {
        rig.sql(&format!(
            "UPDATE item SET amount = amount + {round}; INSERT INTO log VALUES ({round}, 'again')"
        ))
        .await;
        let before: Lsn = rig.ask("SELECT pg_current_wal_insert_lsn()").await.parse().unwrap();
        match rig.catch_up().await {
            Ok(Outcome::CaughtUp { applied_lsn }) => assert!(applied_lsn >= before),
            other => panic!("{other:?}"),
        }
        rig.assert_equal(&NAMES).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_pipeline_lets_go_of_wal_of_its_neighbours() {
    // A server of its own: transactions that other tests leave open would hold the slot's position back.
    let rig =
        Rig::private("follow_idle", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    rig.servers.postgres.execute("postgres", "CREATE TABLE noise (n int, filler text)").await.unwrap();
    let running = rig.start();
    running.until_streaming().await;
    let written = rig.ask("SELECT pg_current_wal_insert_lsn() - '0/0'").await;
    let noise = "INSERT INTO noise SELECT n, repeat('x', 1000) FROM generate_series(1, 14000) n";
    for _ in 0..4 {
        rig.servers.postgres.execute("postgres", noise).await.unwrap();
        let lsn: Lsn = rig.ask("SELECT pg_current_wal_insert_lsn()").await.parse().unwrap();
        running.until("the checkpoint moves", |snapshot| snapshot.applied_lsn >= lsn).await;
    }
    let written = format!("SELECT (pg_current_wal_insert_lsn() - '0/0' - {written})::bigint >> 20");
    let written: i64 = rig.ask(&written).await.parse().unwrap();
    assert!(written >= 56, "the neighbour has written {written} MiB only");
    let slot = rig.slot().await;
    let kept = format!(
        "SELECT (pg_current_wal_insert_lsn() - restart_lsn)::bigint >> 20 FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    let let_go = || async {
        // A checkpoint writes down which transactions run, from where on WAL is needed no more.
        rig.sql("CHECKPOINT").await;
        (rig.ask(&kept).await == "0").then_some(())
    };
    until("the slot keeps nothing of it", PATIENCE, let_go).await.unwrap();
    assert_eq!(running.progress.snapshot().lag_ms, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_batch_is_applied_is_one_batch_and_else_each_transaction_is() {
    // Servers of its own: nobody else waits for a lock.
    let tables = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0)";
    let rig = Rig::private("follow_batches", tables).await;
    let running = rig.start();
    running.until_streaming().await;
    let applied = || running.progress.snapshot().applied;
    let one_by_one = async || {
        for _ in 0..5 {
            let before = applied();
            rig.sql("UPDATE t SET n = n + 1 WHERE id = 2").await;
            running.until("it is applied", |seen| seen.applied.transactions == before.transactions + 1).await;
            assert_eq!(applied().batches, before.batches + 1);
        }
    };
    one_by_one().await;

    // Somebody holds a row of the target: a batch of one transaction waits for it.
    let before = applied();
    let mut holder = segcdc_tds::Connection::connect(&rig.config.target.to_tds()).await.unwrap();
    let hold = "BEGIN TRANSACTION; UPDATE [follow_batches].[t] SET [n] = [n] WHERE [id] = 1";
    holder.batch(hold).await.unwrap();
    rig.sql("UPDATE t SET n = n + 1 WHERE id = 1").await;
    let address =
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", rig.servers.sandbox.postgres_port());
    let (inside, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let waiting = async || {
        let row = inside.query_one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", &[]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    };
    until("the batch waits in the target", PATIENCE, waiting).await.unwrap();
    // The rate goes up meanwhile.
    for _ in 0..30 {
        rig.sql("UPDATE t SET n = n + 1 WHERE id = 2").await;
    }
    let lsn = rig.ask("SELECT pg_current_wal_lsn()").await;
    let received = format!("SELECT write_lsn >= '{lsn}' FROM pg_stat_replication");
    let all_received = || async { (rig.ask(&received).await == "t").then_some(()) };
    until("all of it is received", PATIENCE, all_received).await.unwrap();
    assert_eq!(applied().batches, before.batches);
    holder.batch("ROLLBACK").await.unwrap();
    running.until("all is applied", |seen| seen.applied.transactions == before.transactions + 31).await;
    assert_eq!(applied().batches, before.batches + 2);

    // It is calm again.
    one_by_one().await;
    rig.assert_equal(&["t"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_never_lets_go_of_what_the_checkpoint_does_not_hold() {
    let rig = Rig::shared("follow_invariant", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let slot = rig.slot().await;
    let confirmed =
        format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'");
    let workload = Workload::start(&rig);
    let mut moved = 0;
    let mut last = Lsn::ZERO;
    while moved < 20 {
        workload.more(5).await;
        // The slot first: what it has let go of by then must be in the checkpoint that is read afterwards.
        let confirmed: Lsn = rig.ask(&confirmed).await.parse().unwrap();
        let applied = rig.state().await.unwrap().checkpoint.applied_lsn;
        assert!(confirmed <= applied, "{confirmed} > {applied}");
        moved += u32::from(confirmed > last);
        last = confirmed;
    }
    workload.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_one_table_copy_side_by_side() {
    let rig = Rig::shared(
        "follow_readers",
        "CREATE TABLE big (id int PRIMARY KEY, filler text);
         INSERT INTO big SELECT n, repeat(md5(n::text), 12) FROM generate_series(1, 60000) n;
         ANALYZE big; CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)",
    )
    .await;
    let running = rig.start();
    let readers =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'follow_readers' AND query ILIKE 'COPY%big%'";
    let seen = || async { (rig.ask(readers).await.parse::<u32>().unwrap() >= 2).then_some(()) };
    until("two readers are seen", PATIENCE, seen).await.unwrap();
    running.until_streaming().await;
    rig.assert_equal(&["big", "small"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_alone_leaves_nothing_at_the_source() {
    let mut rig = Rig::shared("follow_only", TABLES).await;
    rig.config.snapshot = SnapshotMode::Only;
    assert!(matches!(rig.start().end().await, Ok(Outcome::Copied { .. })));
    rig.assert_equal(&NAMES).await;
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) \
                + (SELECT count(*) FROM pg_publication)";
    assert_eq!(rig.ask(left).await, "0");
    // Everything is finished: nothing is copied again.
    rig.sql("DELETE FROM item").await;
    assert!(matches!(rig.start().end().await, Ok(Outcome::Copied { .. })));
    assert_eq!(rig.target_rows("item").await.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_copy_only_changes_are_followed() {
    let mut rig = Rig::shared("follow_none", TABLES).await;
    rig.config.snapshot = SnapshotMode::None;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("INSERT INTO item VALUES (900001, 'new', 1)").await;
    rig.settle(&running).await;
    assert_eq!(rig.target_rows("item").await.len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_slot_and_publication_are_used() {
    let mut rig = Rig::shared("follow_given", TABLES).await;
    rig.sql("CREATE PUBLICATION mine FOR TABLE item, account WITH (publish_via_partition_root = true)").await;
    rig.ask("SELECT pg_create_logical_replication_slot('mine_slot', 'pgoutput')").await;
    rig.config.publication = Some("mine".to_owned());
    rig.config.slot = Some("mine_slot".to_owned());
    // Between slot and copy: these changes are in both, and must take effect once.
    rig.sql("UPDATE account SET balance = balance + 1; INSERT INTO item VALUES (700001, 'x', 1)").await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("UPDATE account SET balance = balance + 1; DELETE FROM item WHERE id = 700001").await;
    rig.settle(&running).await;
    rig.assert_equal(&["item", "account"]).await;
    assert_eq!(rig.state().await.unwrap().tables.len(), 2);
    running.stop().await;
    let report = segcdc_engine_native::down(&rig.config, segcdc_engine_native::Removal::Drop).await.unwrap();
    let left: Vec<&str> = report.left.iter().map(|thing| thing.what.as_str()).collect();
    assert!(left.contains(&"slot \"mine_slot\"") && left.contains(&"publication \"mine\""), "{left:?}");
    assert_eq!(rig.ask("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'mine_slot'").await, "1");
    rig.ask("SELECT pg_drop_replication_slot('mine_slot')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_copy_is_quick() {
    let rig = Rig::shared(
        "follow_stop",
        "CREATE TABLE big (id int PRIMARY KEY, filler text);
         INSERT INTO big SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 60000) n; ANALYZE big",
    )
    .await;
    let running = rig.start();
    running.until("rows are being copied", |snapshot| snapshot.copied.rows > 0).await;
    let asked = std::time::Instant::now();
    running.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(matches!(rig.catch_up().await, Ok(Outcome::CaughtUp { .. })));
    rig.assert_equal(&["big"]).await;
    assert_eq!(rig.state().await.unwrap().tables[0].phase, TablePhase::Streaming);
    let phase = segcdc_engine_native::status(&rig.config).await.unwrap().phase;
    assert_eq!(phase, Phase::Streaming);
}
