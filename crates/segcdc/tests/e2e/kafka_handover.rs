//! Who carries a change, when two could: a full load and the connectors behind it, and the two engines of a pipeline that is
//! handed from one to the other. All of it while an application writes.
//!
//! The witness is a slot of `test_decoding` that was there before: it says where each row of `journal` committed. The topic
//! says which of them went through Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use segcdc_tds::Datum;
use segcdc_testkit::connect::Guest;
use segcdc_testkit::{ConnectCluster, connect, until};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::kafka_connect::{errors_of, json, left_in, tell_of};
use super::product::{Finished, Running};
use super::stage::{DATABASE, PATIENCE, Stage};

/// What the application writes. `filler` makes the copy last.
const TABLES: &str = "
    CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO account SELECT i, 1000 FROM generate_series(1, 50) i;
    CREATE TABLE journal (id bigint PRIMARY KEY, writer int NOT NULL);
    CREATE TABLE doc (id int PRIMARY KEY, title text, body text);
    ALTER TABLE doc ALTER COLUMN body SET STORAGE EXTERNAL;
    INSERT INTO doc SELECT i, 'title', repeat(md5(i::text), 100) FROM generate_series(1, 20) i;
    CREATE TABLE scratch (id int PRIMARY KEY, v int);
    CREATE TABLE filler (id bigint PRIMARY KEY, at timestamptz NOT NULL, amount numeric(12,2), note text);
    INSERT INTO filler SELECT i, '2026-01-02 03:04:05+00', i / 7.0, repeat(md5(i::text), 8) FROM generate_series(1, 60000) i;
    CREATE SEQUENCE journal_id;";

/// Before anything is written to the journal.
const WITNESS: &str = "SELECT pg_create_logical_replication_slot('witness', 'test_decoding')";

const COMPARED: [&str; 5] = ["account", "journal", "doc", "scratch", "filler"];

/// One transaction: money moves, rows come, change and go, and several rows of the journal in between.
const TRANSACTION: &str = "BEGIN;
    INSERT INTO journal VALUES (nextval('journal_id'), $W);
    UPDATE account SET balance = balance - 1 WHERE id = $A;
    UPDATE doc SET title = 't' || $A WHERE id = 1 + $A % 20;
    INSERT INTO journal VALUES (nextval('journal_id'), $W);
    DELETE FROM scratch WHERE id = $W;
    INSERT INTO scratch VALUES ($W, $A) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
    UPDATE filler SET amount = amount + 1 WHERE id = $A * 7;
    UPDATE account SET balance = balance + 1 WHERE id = 1 + $A % 50;
    INSERT INTO journal VALUES (nextval('journal_id'), $W);
    COMMIT";

/// An application that writes until it is told to stop.
struct Application {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Result<()>>>,
}

// === impl Application ===

impl Application {
    /// Two writers of twenty-five transactions a second each: some five hundred changes, which connectors that write row by row
    /// follow on a busy machine too.
    async fn start(stage: &Stage) -> Result<Self> {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut writers = Vec::new();
        for writer in 1..=2_u64 {
            let client = stage.source().await?;
            let (stop, committed) = (Arc::clone(&stop), Arc::clone(&committed));
            writers.push(tokio::spawn(async move {
                let mut at = writer;
                let mut pace = tokio::time::interval(Duration::from_millis(40));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::SeqCst) {
                    pace.tick().await;
                    // Both writers go through the accounts in the same order, so that they do not lock each other out.
                    at = (at * 31 + 7) % 49;
                    let sql =
                        TRANSACTION.replace("$W", &writer.to_string()).replace("$A", &(at + 1).to_string());
                    match client.batch_execute(&sql).await {
                        Ok(()) => {
                            committed.fetch_add(1, Ordering::SeqCst);
                        }
                        // Two writers of this test that lock each other out are no fault of the product's.
                        Err(error) if is_own_deadlock(&error) => client.batch_execute("ROLLBACK").await?,
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(())
            }));
        }
        Ok(Application { stop, committed, writers })
    }

    /// Waits until so many more transactions have committed.
    async fn commits(&self, more: u64) -> Result<()> {
        let goal = self.committed.load(Ordering::SeqCst) + more;
        until("the application writes", PATIENCE, || async {
            (self.committed.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await?;
        Ok(())
    }

    /// Stops it; says how often it committed.
    async fn end(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await??;
        }
        Ok(self.committed.load(Ordering::SeqCst))
    }
}

fn is_own_deadlock(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "40P01")
}

/// A stage and a cluster, the product told of both.
async fn set(name: &str) -> Result<(Stage, Guest)> {
    let (stage, cluster) = tokio::join!(Stage::start(name), connect::shared(name));
    let (mut stage, cluster) = (stage?, cluster?);
    stage.source.execute(DATABASE, TABLES).await?;
    stage.source.execute(DATABASE, WITNESS).await?;
    tell_of(&mut stage, &cluster)?;
    Ok((stage, cluster))
}

/// What the pipeline's state says of its engine.
async fn spec(stage: &Stage) -> Result<Value> {
    let sql = format!("SELECT [spec] FROM [segcdc].[pipeline] WHERE [pipeline] = N'{}'", stage.name);
    let response = stage.target().await?.batch(&sql).await?;
    match response.first_row() {
        Some([Datum::Text(spec)]) => Ok(serde_json::from_str(spec)?),
        row => anyhow::bail!("no specification: {row:?}"),
    }
}

/// A position as the state writes it.
fn lsn(text: &Value) -> Result<u64> {
    let (high, low) =
        text.as_str().and_then(|text| text.split_once('/')).with_context(|| text.to_string())?;
    Ok(u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?)
}

/// Where each row of the journal committed: the end of its commit, as `test_decoding` tells it.
async fn witnessed(stage: &Stage) -> Result<BTreeMap<i64, u64>> {
    let sql = "SELECT (lsn - '0/0')::bigint, data FROM pg_logical_slot_peek_changes('witness', NULL, NULL, \
               'skip-empty-xacts', '1') WHERE data LIKE 'COMMIT%' OR data LIKE 'table public.journal: INSERT%'";
    let mut open = Vec::new();
    let mut found = BTreeMap::new();
    for row in stage.source().await?.query(sql, &[]).await? {
        let (at, data): (i64, String) = (row.get(0), row.get(1));
        if data.starts_with("COMMIT") {
            found.extend(open.drain(..).map(|id| (id, u64::try_from(at).unwrap_or_default())));
            continue;
        }
        let (_, rest) = data.split_once("id[bigint]:").with_context(|| data.clone())?;
        open.push(rest.split(' ').next().unwrap_or_default().parse()?);
    }
    Ok(found)
}

/// The rows of the journal that a topic holds, in its order, each with the kind of its message.
async fn sent(cluster: &ConnectCluster, topic: &str) -> Result<Vec<(i64, String)>> {
    let mut found = Vec::new();
    for text in cluster.messages(topic).await? {
        let message: Value = serde_json::from_str(&text)?;
        let payload = &message["payload"];
        if payload["source"]["table"] == "journal" {
            let id = payload["after"]["id"].as_i64().with_context(|| text.clone())?;
            found.push((id, payload["op"].as_str().unwrap_or_default().to_owned()));
        }
    }
    Ok(found)
}

/// Rows that committed at or below `start` are not in the topic, those behind it are, once each and in the order of
/// commits. Returns how many there are of both.
async fn began_exactly_at(
    stage: &Stage,
    cluster: &ConnectCluster,
    topic: &str,
    start: u64,
) -> Result<(usize, usize)> {
    // First the topic: of what is committed meanwhile it need not have everything.
    let sent = sent(cluster, topic).await?;
    let witnessed = witnessed(stage).await?;
    let last = sent.last().and_then(|(id, _)| witnessed.get(id)).copied().context("the topic has no row")?;
    let before = witnessed.values().filter(|at| **at <= start).count();
    let mut expected: Vec<i64> =
        witnessed.iter().filter(|(_, at)| **at > start && **at <= last).map(|(id, _)| *id).collect();
    let mut found: Vec<i64> = sent.iter().map(|(id, _)| *id).collect();
    ensure!(sent.iter().all(|(_, op)| op == "c"), "something was copied by Debezium");
    let commits: Vec<u64> = found.iter().filter_map(|id| witnessed.get(id)).copied().collect();
    ensure!(commits.is_sorted(), "not in the order of commits");
    expected.sort_unstable();
    found.sort_unstable();
    // The last transaction may be there in part.
    let in_last = |id: &i64| witnessed.get(id) == Some(&last);
    expected.retain(|id| !in_last(id));
    found.retain(|id| !in_last(id));
    ensure!(found == expected, "{} rows in the topic, {} expected", found.len(), expected.len());
    Ok((before, found.len()))
}

/// Both sides are equal, to a foreign client and to the product.
async fn equal(stage: &mut Stage) -> Result<()> {
    let compared = stage.compare(&COMPARED).await?;
    ensure!(compared.equal, "{compared:#?}");
    stage.product.succeed(&["verify"]).await?;
    Ok(())
}

/// Runs `up` with the connectors until everything has arrived that was committed before.
async fn catch_up(stage: &mut Stage, cluster: &ConnectCluster, arguments: &[&str]) -> Result<()> {
    let all = [&["up", "--yes", "--engine", "kafka-connect", "--until-caught-up"], arguments].concat();
    let finished = stage.product.run(&all).await.with_context(|| errors_of(&cluster.worker_log()))?;
    ensure!(finished.status.success(), "{finished}\n{}", errors_of(&cluster.worker_log()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_load_and_the_connectors_behind_it_carry_each_row_once() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = set("loaded").await?;
    // A reset empties this one, and leaves it.
    let account = "CREATE TABLE [dbo].[account] ([id] int NOT NULL PRIMARY KEY, [balance] bigint NOT NULL)";
    stage.target().await?.batch(account).await?;
    let application = Application::start(&stage).await?;
    // A load that dies while it copies.
    let mut running = stage.product.start(&["up", "--yes", "--engine", "kafka-connect"])?;
    let copying = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [phase] <> N'QUEUED'";
    running
        .until("tables are copied", PATIENCE, || async {
            (stage.target_number(copying).await.ok()? > 0).then_some(())
        })
        .await?;
    running.kill().await?;
    let status = json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
    assert_eq!(status["state"], "STARTING", "{status:#}");
    not_compared(&mut stage, "COPYING").await?;
    // What was begun can be forgotten, and begun anew.
    stage.product.succeed(&["reset", "--drop", "--yes"]).await?;
    ensure!(stage.target_count("account").await? == 0, "the table that was there before has rows");
    stage.target().await?.batch("DROP TABLE [dbo].[account]").await?;
    forgotten(&stage, &cluster).await?;
    let mut running = stage.product.start(&["up", "--yes", "--engine", "kafka-connect"])?;
    running
        .until("tables are copied again", PATIENCE, || async {
            (stage.target_number(copying).await.ok()? > 0).then_some(())
        })
        .await?;
    running.kill().await?;

    catch_up(&mut stage, &cluster, &[]).await?;
    application.commits(200).await?;
    catch_up(&mut stage, &cluster, &[]).await?;
    let state = spec(&stage).await?;
    let (loaded, streamed) =
        began_exactly_at(&stage, &cluster, "segcdc_loaded.dbo", lsn(&state["start_lsn"])?).await?;
    ensure!(loaded > 0 && streamed > 0, "{loaded} rows before, {streamed} behind: nothing was tested");
    eprintln!("native: {loaded} rows of the journal by the load, {streamed} by the stream");
    application.end().await?;
    catch_up(&mut stage, &cluster, &[]).await?;
    equal(&mut stage).await?;
    stage.remove().await?;

    // The same by Debezium, with fewer rows: it takes its time.
    stage.source.execute(DATABASE, "DELETE FROM filler WHERE id > 500; TRUNCATE journal").await?;
    let application = Application::start(&stage).await?;
    let by_debezium = ["up", "--yes", "--engine", "kafka-connect", "--full-load", "debezium"];
    let mut running = stage.product.start(&by_debezium)?;
    while_debezium_copies(&mut stage).await?;
    running.ensure_runs()?;
    running.kill().await?;
    catch_up(&mut stage, &cluster, &["--full-load", "debezium"]).await?;
    application.commits(200).await?;
    let committed = application.end().await?;
    catch_up(&mut stage, &cluster, &[]).await?;
    equal(&mut stage).await?;
    let copied = sent(&cluster, "segcdc_loaded.dbo").await?.iter().filter(|(_, op)| op == "r").count();
    ensure!(copied > 0 && committed > 0, "Debezium copied {copied} rows");
    stage.remove().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_pipeline_is_handed_over_both_ways_without_a_difference() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = set("handed").await?;
    let application = Application::start(&stage).await?;
    let mut native = stage.product.up()?;
    stage.live(&mut native).await?;

    // To the connectors. The process that ran the pipeline ends.
    let to_connect = ["migrate", "--engine", "kafka-connect"];
    let planned = stage.product.succeed(&[&to_connect[..], &["--dry-run"]].concat()).await?;
    ensure!(planned.stdout.contains("4. note in the state"), "{planned}");
    native.ensure_runs()?;
    let comparing = half_a_comparison(&mut stage).await?;
    stage.product.succeed(&[&to_connect[..], &["--yes"]].concat()).await?;
    let ended = native.wait(PATIENCE).await?;
    assert_eq!(ended.error_code(), Some("FENCED"), "{ended}");
    let refused = stage.product.run(&["up", "--yes"]).await?;
    assert_eq!(refused.error_code(), Some("ENGINE_MISMATCH"), "{refused}");
    application.commits(200).await?;
    catch_up(&mut stage, &cluster, &[]).await?;
    let state = spec(&stage).await?;
    let topic = state["topics"][0].as_str().context("a topic")?.to_owned();
    let (before, behind) = began_exactly_at(&stage, &cluster, &topic, lsn(&state["start_lsn"])?).await?;
    ensure!(before > 0 && behind > 0, "{before} rows before, {behind} behind: nothing was tested");
    eprintln!("to connectors: {before} rows of the journal by the native engine, {behind} by the connectors");
    // What it had read is of one engine, the rest of another.
    comparing.signal(Signal::CONT)?;
    says(&comparing.wait(PATIENCE).await?, "HANDED_OVER")?;

    // Back, and the call dies half-way, behind the cut.
    let to_native = ["migrate", "--engine", "native", "--yes"];
    let mut dies = stage.product.start(&to_native)?;
    let cut = "SELECT COUNT(*) FROM [segcdc].[pipeline] WHERE [spec] LIKE N'%\"cut\":\"%'";
    dies.until("the stream is cut", PATIENCE, || async {
        (stage.target_number(cut).await.ok()? == 1).then_some(())
    })
    .await?;
    dies.kill().await?;
    let refused = stage.product.run(&["up", "--yes", "--engine", "kafka-connect"]).await?;
    assert_eq!(refused.error_code(), Some("MIGRATION_UNFINISHED"), "{refused}");
    not_compared(&mut stage, "MIGRATION_UNFINISHED").await?;
    stage.product.succeed(&to_native).await?;
    application.commits(100).await?;
    let mut native = stage.product.up()?;
    application.commits(200).await?;
    application.end().await?;
    stage.caught_up(&mut native, "UPDATE account SET balance = balance WHERE id = 1").await?;
    equal(&mut stage).await?;
    native.ensure_runs()?;

    nothing_of_connectors_is_left(&stage, &cluster).await?;
    native.kill().await?;
    until("the slot is free", PATIENCE, || async {
        let sql = "SELECT count(*)::text FROM pg_replication_slots WHERE active";
        (stage.source.psql(DATABASE, sql).ok()?.trim() == "0").then_some(())
    })
    .await?;
    stage.remove().await
}

/// Until Debezium has copied everything, and a heartbeat behind it has arrived, the tables are being copied, whatever the
/// connectors say.
async fn while_debezium_copies(stage: &mut Stage) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let status = loop {
        // There may be no state yet, or none of the tables.
        let finished = stage.product.run(&["status", "-o", "json"]).await?;
        let status = if finished.status.success() { json(&finished)? } else { Value::Null };
        if status["tables"].as_array().is_some_and(|tables| tables.len() == COMPARED.len()) {
            break status;
        }
        ensure!(Instant::now() < end, "{finished}");
    };
    let mut tables = status["tables"].as_array().context("tables")?.iter();
    let all = tables.all(|table| table["phase"] == "COPYING");
    ensure!(all && status["state"] == "STARTING", "{status:#}");
    not_compared(stage, "COPYING").await
}

/// A comparison that stands still in the middle of a table.
async fn half_a_comparison(stage: &mut Stage) -> Result<Running> {
    let mut comparing = stage.product.start(&["verify", "-o", "json"])?;
    let reads =
        "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'COPY%filler%' AND state = 'active'";
    comparing
        .until("the comparison reads the largest table", PATIENCE, || async {
            (stage.source.psql(DATABASE, reads).ok()?.trim() != "0").then_some(())
        })
        .await?;
    comparing.signal(Signal::STOP)?;
    Ok(comparing)
}

/// `verify` says of each table why it compares nothing, instead of differences that are none.
async fn not_compared(stage: &mut Stage, code: &str) -> Result<()> {
    let verdict = stage.product.run(&["verify", "-o", "json"]).await?;
    says(&verdict, code)
}

/// A verdict has this reason for each table, and no difference.
fn says(verdict: &Finished, code: &str) -> Result<()> {
    ensure!(verdict.status.code() == Some(1), "{verdict}");
    let report = json(verdict)?;
    let tables = report["tables"].as_array().context("tables")?;
    let all = tables.iter().all(|table| table["not_compared"]["code"] == code);
    ensure!(all && tables.len() == COMPARED.len() && report["differences"] == 0, "{report:#}");
    Ok(())
}

/// Neither side has anything of the pipeline, the tables that it made in the target included.
async fn forgotten(stage: &Stage, cluster: &ConnectCluster) -> Result<()> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'witness') || ' ' \
               || (SELECT count(*) FROM pg_publication) || ' ' \
               || (SELECT count(*) FROM pg_namespace WHERE nspname = 'segcdc')";
    let left = stage.source.psql(DATABASE, sql)?;
    ensure!(left.trim() == "0 0 0", "slots, publications, schemas at the source: {left}");
    let kept = left_in(stage, cluster).await?;
    ensure!(kept.is_empty(), "{kept:?}");
    let tables = stage.target_number("SELECT COUNT(*) FROM sys.tables").await?;
    ensure!(tables == 0, "{tables} tables are left in the target");
    Ok(())
}

async fn nothing_of_connectors_is_left(stage: &Stage, cluster: &ConnectCluster) -> Result<()> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'witness') || ' ' \
               || (SELECT count(*) FROM pg_publication) || ' ' \
               || (SELECT count(*) FROM pg_namespace WHERE nspname = 'segcdc')";
    let left = stage.source.psql(DATABASE, sql)?;
    ensure!(left.trim() == "1 1 0", "slots, publications, schemas at the source: {left}");
    let kept = left_in(stage, cluster).await?;
    ensure!(kept.is_empty(), "{kept:?}");
    let heartbeats = "SELECT COUNT(*) FROM sys.tables WHERE [name] LIKE N'%heartbeat%'";
    ensure!(stage.target_number(heartbeats).await? == 0, "heartbeat tables are left in the target");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_was_handed_over_is_reset_and_made_anew() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = set("forgotten").await?;
    stage.source.execute(DATABASE, "DELETE FROM filler WHERE id > 500").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.product.succeed(&["migrate", "--engine", "kafka-connect", "--yes"]).await?;
    catch_up(&mut stage, &cluster, &[]).await?;
    // On its way back it has two slots and two publications.
    let mut dies = stage.product.start(&["migrate", "--engine", "native", "--yes"])?;
    let cut = "SELECT COUNT(*) FROM [segcdc].[pipeline] WHERE [spec] LIKE N'%\"cut\":\"%'";
    dies.until("the stream is cut", PATIENCE, || async {
        (stage.target_number(cut).await.ok()? == 1).then_some(())
    })
    .await?;
    dies.kill().await?;
    stage.product.succeed(&["reset", "--drop", "--yes"]).await?;
    forgotten(&stage, &cluster).await?;
    stage
        .source
        .execute(DATABASE, "UPDATE account SET balance = balance + id; DELETE FROM doc WHERE id > 15")
        .await?;
    catch_up(&mut stage, &cluster, &[]).await?;
    equal(&mut stage).await?;

    // Handed over, and nothing begun since.
    stage.product.succeed(&["reset", "--drop", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.product.succeed(&["migrate", "--engine", "kafka-connect", "--yes"]).await?;
    stage.product.succeed(&["reset", "--drop", "--yes"]).await?;
    forgotten(&stage, &cluster).await
}
