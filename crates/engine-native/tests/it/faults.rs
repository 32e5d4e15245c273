//! Trouble while the engine runs: it comes back by itself, and nothing is lost or done twice.

use segcdc_testkit::{Direction, Proxy, Rule, StopMode, Then, When};

use crate::rig::{Rig, Running};
use crate::workload::{NAMES, TABLES, Workload};

/// Ends a test: the workload stops, everything is applied, both sides are equal.
async fn finish(rig: &Rig, running: Running, workload: Workload) {
    workload.more(20).await;
    workload.stop().await;
    rig.settle(&running).await;
    rig.assert_equal(&NAMES).await;
    running.stop().await;
}

/// # Fault F1
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_walsender_is_survived() {
    let rig = Rig::shared("fault_walsender", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let workload = Workload::start(&rig);
    for round in 1..=5 {
        workload.more(15).await;
        let kill = "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots \
                    WHERE database = 'fault_walsender' AND active_pid IS NOT NULL";
        rig.ask(kill).await;
        running.until("it tries again", |snapshot| snapshot.retries >= round).await;
        running.until_streaming().await;
    }
    finish(&rig, running, workload).await;
}

/// # Fault F1
#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_source_are_survived() {
    let mut rig = Rig::private("fault_source", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let workload = Workload::start(&rig);
    for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Fast] {
        workload.more(20).await;
        rig.own().postgres.restart(mode).await.unwrap();
        workload.more(20).await;
    }
    rig.reconnect().await;
    finish(&rig, running, workload).await;
}

/// # Fault F42
#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_target_are_survived() {
    let mut rig = Rig::private("fault_target", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let workload = Workload::start(&rig);
    for round in 0..3 {
        workload.more(20).await;
        if round == 1 {
            rig.own().sandbox.restart().await.unwrap();
        } else {
            rig.own().sandbox.kill().unwrap();
            rig.own().sandbox.start_again().await.unwrap();
        }
    }
    finish(&rig, running, workload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_survived() {
    let mut rig = Rig::shared("fault_cut", TABLES).await;
    let source = Proxy::start(rig.servers.postgres.port()).await.unwrap();
    let target = Proxy::start(rig.servers.sandbox.port()).await.unwrap();
    let direct = rig.config.clone();
    rig.config.source = segcdc_postgres::SourceConfig::parse(&format!(
        "postgres://postgres@127.0.0.1:{}/fault_cut?sslmode=disable",
        source.port()
    ))
    .unwrap();
    rig.config.target.port = target.port();
    let running = rig.start();
    running.until_streaming().await;
    rig.config = direct;
    let workload = Workload::start(&rig);
    for round in 0..8 {
        running.until_streaming().await;
        workload.more(10).await;
        let before = running.progress.snapshot().retries;
        if round % 2 == 0 {
            source.reset_all()
        } else {
            target.reset_all()
        }
        running.until("it tries again", |snapshot| snapshot.retries > before).await;
    }
    finish(&rig, running, workload).await;
}

/// # Fault F40
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_takes_effect_once() {
    let mut rig = Rig::shared("fault_commit", TABLES).await;
    let target = Proxy::start(rig.servers.sandbox.port()).await.unwrap();
    let direct = rig.config.clone();
    // Without TLS, the words can be seen on their way.
    let (password, port) = (rig.servers.sandbox.password(), target.port());
    let url = format!(
        "sqlserver://sa:{password}@127.0.0.1:{port}/sandbox\
         ?encrypt=false&trust_server_certificate=true&schema=fault_commit"
    );
    rig.config.target = segcdc_sqlserver::TargetConfig::parse(&url).unwrap();
    let running = rig.start();
    running.until_streaming().await;
    rig.config = direct;
    let workload = Workload::start(&rig);
    for _ in 0..6 {
        workload.more(5).await;
        let mut met = target.met();
        let before = *met.borrow_and_update();
        target.arm(Rule {
            direction: Direction::ToServer,
            when: When::Seen(Box::new(|chunk| {
                let commit: Vec<u8> = "COMMIT".encode_utf16().flat_map(u16::to_le_bytes).collect();
                chunk.windows(commit.len()).any(|window| window == commit)
            })),
            then: Then::LoseAnswer,
        });
        met.wait_for(|met| *met > before).await.unwrap();
    }
    assert!(running.progress.snapshot().retries >= 1);
    finish(&rig, running, workload).await;
}

/// # Fault F51
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_answer_does_not_keep_a_run_from_ending() {
    let mut rig = Rig::shared("fault_silent", TABLES).await;
    let target = Proxy::start(rig.servers.sandbox.port()).await.unwrap();
    let direct = rig.config.clone();
    rig.config.target.port = target.port();
    let running = rig.start();
    running.until_streaming().await;
    let mut met = target.met();
    let before = *met.borrow_and_update();
    target.arm(Rule {
        direction: Direction::ToClient,
        when: When::Seen(Box::new(|_| true)),
        then: Then::Swallow,
    });
    rig.sql("UPDATE item SET amount = amount + 1").await;
    met.wait_for(|met| *met > before).await.unwrap();
    let asked = std::time::Instant::now();
    running.stop().await;
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
    // Whether the batch was committed is the next run's to find out.
    rig.config = direct;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&NAMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_in_the_middle_of_a_copy_is_survived() {
    let mut rig = Rig::shared(
        "fault_copy",
        "CREATE TABLE big (id int PRIMARY KEY, filler text);
         INSERT INTO big SELECT n, repeat(md5(n::text), 12) FROM generate_series(1, 40000) n;
         CREATE TABLE plain (n int NOT NULL, filler text); ALTER TABLE plain REPLICA IDENTITY FULL;
         INSERT INTO plain SELECT n % 100, repeat('y', 200) FROM generate_series(1, 20000) n; ANALYZE",
    )
    .await;
    let target = Proxy::start(rig.servers.sandbox.port()).await.unwrap();
    let direct = rig.config.clone();
    rig.config.target.port = target.port();
    let running = rig.start();
    for _ in 0..2 {
        let before = running.progress.snapshot().copied.rows;
        running.until("rows are being copied", |snapshot| snapshot.copied.rows > before).await;
        target.reset_all();
    }
    rig.config = direct;
    running.until_streaming().await;
    rig.settle(&running).await;
    rig.assert_equal(&["big", "plain"]).await;
    running.stop().await;
}

/// # Fault F61
#[tokio::test(flavor = "multi_thread")]
async fn the_second_engine_wins_and_the_first_stops() {
    let rig = Rig::shared("fault_second", TABLES).await;
    let first = rig.start();
    first.until_streaming().await;
    let workload = Workload::start(&rig);
    workload.more(10).await;
    let second = rig.start();
    assert_eq!(first.error_code().await, "FENCED");
    second.until_streaming().await;
    finish(&rig, second, workload).await;
    assert_eq!(rig.state().await.unwrap().checkpoint.epoch, 2);
}

/// # Fault F43, F70
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_sets_its_table_aside_and_no_other() {
    let rig = Rig::shared(
        "fault_row",
        "CREATE TABLE good (id int PRIMARY KEY, n numeric(10, 2)); CREATE TABLE bad (id int PRIMARY KEY, n numeric);
         INSERT INTO good VALUES (1, 1); INSERT INTO bad VALUES (1, 1)",
    )
    .await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("BEGIN; INSERT INTO good VALUES (2, 2); INSERT INTO bad VALUES (2, 'NaN'); COMMIT").await;
    rig.sql("INSERT INTO good VALUES (3, 3); INSERT INTO bad VALUES (3, 3)").await;
    rig.settle(&running).await;
    assert_eq!(rig.target_rows("good").await.len(), 3);
    assert_eq!(rig.target_rows("bad").await.len(), 1);
    let state = rig.state().await.unwrap();
    let bad = state.tables.iter().find(|table| table.source.name == "bad").unwrap();
    assert_eq!(bad.phase, segcdc_model::TablePhase::Quarantined);
    assert_eq!(bad.error.as_ref().unwrap().0, "VALUE_UNREPRESENTABLE");
    let status = segcdc_engine_native::status(&rig.config).await.unwrap();
    assert_eq!(status.state, segcdc_engine_native::PipelineStateWord::Degraded);
    running.stop().await;
    // It stays aside over a restart, and the others still go on.
    rig.sql("INSERT INTO good VALUES (4, 4); INSERT INTO bad VALUES (4, 4)").await;
    rig.catch_up().await.unwrap();
    assert_eq!((rig.target_rows("good").await.len(), rig.target_rows("bad").await.len()), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_copied_sets_its_table_aside() {
    let rig = Rig::shared(
        "fault_copied_row",
        "CREATE TABLE good (id int PRIMARY KEY, n int); CREATE TABLE bad (id int PRIMARY KEY, n numeric);
         INSERT INTO good VALUES (1, 1); INSERT INTO bad VALUES (1, 'NaN')",
    )
    .await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("INSERT INTO good VALUES (2, 2); INSERT INTO bad VALUES (2, 2)").await;
    rig.settle(&running).await;
    rig.assert_equal(&["good"]).await;
    assert_eq!(rig.target_rows("bad").await.len(), 0);
    running.stop().await;
}

/// # Fault F48
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_write_to_the_target_stops_the_pipeline() {
    let rig = Rig::shared("fault_foreign", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let plan = rig.plan("item").await;
    let mut target = segcdc_sqlserver::Target::connect(&rig.config.target).await.unwrap();
    target.empty_table(&plan).await.unwrap();
    rig.sql("UPDATE item SET amount = 0 WHERE id = 5").await;
    assert_eq!(running.error_code().await, "TARGET_DIVERGED");
}

/// # Fault F17
/// Somebody alters the publication: takes a table out, publishes fewer kinds of changes, fewer columns or rows.
/// - Happens: a table that was taken out is set aside as `TABLE_UNPUBLISHED`, the others go on. What publishes less of a table
///   stops the pipeline as `PUBLICATION_CHANGED`.
/// - Do: put it back, then `segcdc table resync`.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_taken_out_of_the_publication_is_set_aside() {
    let rig = Rig::shared("fault_unpublished", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("ALTER PUBLICATION segcdc_fault_unpublished DROP TABLE account").await;
    running
        .until("the table is set aside", |snapshot| {
            let of = |name: &str| snapshot.tables.iter().find(|table| table.source.name == name);
            of("account").is_some_and(|table| {
                table.error.as_ref().is_some_and(|(code, _)| code == "TABLE_UNPUBLISHED")
            })
        })
        .await;
    rig.sql("INSERT INTO item VALUES (800001, 'x', 1)").await;
    rig.settle(&running).await;
    rig.assert_equal(&["item"]).await;
    running.stop().await;
}
