//! Source, connector and worker are restarted again and again while an application writes, and what the connectors carry is
//! compared each time.
//!
//! A question to a version of Debezium: whether its restarts lose changes, and what the product says of it. A loss that
//! heartbeats pass over is found by `verify` alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use segcdc_engine_kafka_connect::rest::ConnectorWord;
use segcdc_engine_kafka_connect::{overrides, status};
use segcdc_engine_native::{VerifyOptions, VerifyReport, verify};
use segcdc_postgres::Pattern;
use segcdc_testkit::{StopMode, connect};

use crate::rig::{NAME, Rig, becomes};

const SOURCE: &str = "segcdc_shop_source";

/// Restarts when nothing else is said.
const ROUNDS: usize = 5;

/// What is restarted.
#[derive(Debug, Clone, Copy)]
enum Restart {
    /// The server, as a crash would.
    Crash,
    /// The server, in order.
    Shutdown,
    /// The connector's task, by the worker's own command.
    Task,
    /// The connector, by an end and a new beginning.
    StopAndResume,
    /// The worker, as a crash would.
    Worker,
}

const KINDS: [Restart; 5] =
    [Restart::Crash, Restart::StopAndResume, Restart::Shutdown, Restart::Task, Restart::Worker];

/// Transactions of one and of several rows, and statements whose rows share a position.
const TRANSACTIONS: [&str; 3] = [
    "INSERT INTO item (v) VALUES ('one')",
    "BEGIN; INSERT INTO item (v) VALUES ('first'); UPDATE other SET n = n + 1; INSERT INTO item (v) VALUES ('last'); COMMIT",
    "INSERT INTO item (v) SELECT 'many ' || g FROM generate_series(1, 20) g",
];

/// A connector gives up at once, and is started again by whoever looks after it.
const HASTE: [&str; 2] = ["source.errors.max.retries=0", "source.slot.retry.delay.ms=200"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: run it for new versions of Debezium; SEGCDC_ROUNDS says how often"]
async fn restarts_lose_nothing() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let tables = "CREATE TABLE item (id bigserial PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY, n bigint NOT NULL);
        INSERT INTO other SELECT g, 0 FROM generate_series(1, 5) g";
    let mut rig = Rig::start(tables).await;
    rig.config.overrides = HASTE.map(|text| overrides::parse(text).unwrap()).into();
    rig.deploy().await;
    rig.equal("public.*").await;
    let rounds = std::env::var("SEGCDC_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut lost = Vec::new();
    for round in 1..=rounds {
        let started = Instant::now();
        let kind = KINDS[round % KINDS.len()];
        let written = match round % 2 {
            0 => written_through_a_restart(&mut rig, kind).await,
            // One transaction before it and one behind it: the first and the last of what is sent.
            _ => {
                rig.sql_anew(TRANSACTIONS[round % TRANSACTIONS.len()]).await;
                restart(&mut rig, kind).await;
                rig.sql_anew(TRANSACTIONS[(round + 1) % TRANSACTIONS.len()]).await;
                2
            }
        };
        goes_on(&rig).await;
        let report = compared(&rig).await;
        println!(
            "{round}: {kind:?}, {written} transactions, {} differences, {:?}",
            report.differences(),
            started.elapsed()
        );
        if report.differences() > 0 {
            let stands = status(&rig.config, &rig.rest).await.unwrap();
            println!("{report:#?}\n{:?} {:?} {:?}", stands.state, stands.connectors, stands.notes);
            lost.push(round);
            break;
        }
    }
    assert!(lost.is_empty(), "changes were lost in round {lost:?}");
}

/// Has an application write before, while and after something is restarted; says how often it committed.
async fn written_through_a_restart(rig: &mut Rig, kind: Restart) -> u32 {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, port) = (Arc::clone(&stop), rig.postgres.port());
    let writing = tokio::spawn(async move {
        let url = format!("host=127.0.0.1 port={port} user=postgres dbname={NAME}");
        let mut written = 0;
        while !stopped.load(Ordering::SeqCst) {
            let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let driver = tokio::spawn(connection);
            for transaction in TRANSACTIONS.iter().cycle() {
                if stopped.load(Ordering::SeqCst) || client.batch_execute(transaction).await.is_err() {
                    break;
                }
                written += 1;
            }
            driver.abort();
        }
        written
    });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    restart(rig, kind).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap()
}

async fn restart(rig: &mut Rig, kind: Restart) {
    match kind {
        Restart::Crash => rig.postgres.restart(StopMode::Immediate).await.unwrap(),
        Restart::Shutdown => rig.postgres.restart(StopMode::Fast).await.unwrap(),
        Restart::Task => rig.rest.restart(SOURCE).await.unwrap(),
        Restart::StopAndResume => {
            rig.rest.stop(SOURCE).await.unwrap();
            becomes("the connector has stopped", || async {
                let found = rig.rest.status(SOURCE).await.unwrap();
                found.is_some_and(|found| found.connector.state == ConnectorWord::Stopped)
            })
            .await;
            rig.rest.resume(SOURCE).await.unwrap();
        }
        Restart::Worker => {
            rig.cluster.kill_worker().unwrap();
            rig.cluster.start_worker().await.unwrap();
        }
    }
}

/// The connector runs, started again where it has failed, and a heartbeat from behind everything has arrived.
async fn goes_on(rig: &Rig) {
    let client = rig.postgres.connect(NAME).await.unwrap();
    let row = client.query_one("SELECT (pg_current_wal_insert_lsn() - '0/0')::text", &[]).await.unwrap();
    let goal: u64 = row.get::<_, String>(0).parse().unwrap();
    becomes("a heartbeat from behind the restart has arrived", || async {
        let found = status(&rig.config, &rig.rest).await.unwrap();
        if found.connectors.iter().any(|connector| connector.word == Some(ConnectorWord::Failed)) {
            rig.rest.restart_failed(SOURCE).await.unwrap();
        }
        found.applied_lsn.is_some_and(|lsn| lsn.as_u64() >= goal)
    })
    .await;
}

async fn compared(rig: &Rig) -> VerifyReport {
    let options =
        VerifyOptions { patterns: vec![Pattern::parse("public.*").unwrap()], ..VerifyOptions::default() };
    Box::pin(verify(&rig.config.engine, &options, &mut |_| {})).await.unwrap()
}
