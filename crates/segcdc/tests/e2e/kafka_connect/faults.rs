//! Faults of everything that a pipeline on Kafka Connect stands on: each passes by itself, or has a name and a fix.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use segcdc_testkit::{ConnectCluster, ConnectOptions, StopMode, connect, until};
use serde_json::Value;

use super::super::stage::{DATABASE, PATIENCE, Stage};

/// A table, and the role of the pipeline with its password.
const SETUP: &str = "CREATE TABLE item (id int PRIMARY KEY, v text); INSERT INTO item SELECT i, 'row ' || i FROM generate_series(1, 50) i; \
     CREATE ROLE cdc LOGIN SUPERUSER PASSWORD 'first-password'";

/// One more row.
const ADD: &str =
    "INSERT INTO item SELECT max(id) + 1, 'added' FROM item; UPDATE item SET v = v || '.' WHERE id % 7 = 0";

const UP: [&str; 3] = ["up", "--yes", "--until-caught-up"];

/// Everything that was committed has arrived, once.
async fn goes_on(stage: &mut Stage, cluster: &ConnectCluster, after: &str) -> Result<()> {
    let started = Instant::now();
    stage.source.execute(DATABASE, ADD).await?;
    let up = stage.product.run(&UP).await?;
    ensure!(up.status.success(), "after {after}: {up}\n{}", super::errors_of(&cluster.worker_log()));
    let compared = stage.compare(&["item"]).await?;
    ensure!(compared.equal, "after {after}: {compared:#?}");
    eprintln!("{:?} after {after}", started.elapsed());
    Ok(())
}

/// Waits until `status` has a note of this code.
async fn noted(stage: &mut Stage, code: &str) -> Result<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = stage.product.run(&["status", "-o", "json"]).await?;
        if let Ok(status) = super::json(&status) {
            let notes = status["notes"].as_array().context("notes")?;
            if let Some(note) = notes.iter().find(|note| note["code"] == code) {
                ensure!(note["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{note}");
                return Ok(status);
            }
            ensure!(Instant::now() < end, "no note of {code}: {status:#}");
        } else {
            ensure!(Instant::now() < end, "no status with {code}: {status}");
        }
    }
}

/// Both servers, and a cluster of its own: it is to be killed.
async fn start() -> Result<(Stage, ConnectCluster)> {
    let options = ConnectOptions::impatient(Duration::from_secs(2));
    let (stage, cluster) = tokio::join!(Stage::start("faulty"), ConnectCluster::start(options));
    let (mut stage, cluster) = (stage?, cluster?);
    super::tell_of(&mut stage, &cluster)?;
    stage.product.set("SEGCDC_ENGINE", "kafka-connect");
    Ok((stage, cluster))
}

/// # Fault F69
/// With the engine kafka-connect: the worker is killed, a task fails, the broker restarts, topics forget too soon.
/// - Happens: failed tasks are restarted with growing pauses and a limit; what does not heal is named, with the first line of the
///   trace.
/// - Do: what the name says; see the guide of Kafka Connect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_pass_or_are_named() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, mut cluster) = start().await?;
    stage.source.execute(DATABASE, SETUP).await?;
    ask_for_passwords(&mut stage).await?;
    set_source_password(&mut stage, "first-password");
    goes_on(&mut stage, &cluster, "nothing").await?;

    cluster.kill_worker()?;
    stage.source.execute(DATABASE, ADD).await?;
    cluster.start_worker().await?;
    goes_on(&mut stage, &cluster, "a killed worker").await?;

    cluster.kill_broker()?;
    stage.source.execute(DATABASE, ADD).await?;
    cluster.start_broker().await?;
    goes_on(&mut stage, &cluster, "a killed broker").await?;

    stage.source.restart(StopMode::Immediate).await?;
    goes_on(&mut stage, &cluster, "a crash of the source").await?;

    if let Some(sandbox) = stage.sandbox_or_skip("a crash of the target") {
        sandbox.kill()?;
        sandbox.start_again().await?;
        goes_on(&mut stage, &cluster, "a crash of the target").await?;
    }
    failed_task_is_started_again(&mut stage, &cluster).await?;
    worker_has_another_password(&mut stage, &cluster).await?;
    source_password_changes(&mut stage, &cluster).await?;
    target_password_changes(&mut stage, &cluster).await?;
    slot_is_dropped(&mut stage).await?;
    source_removes_what_was_not_read(&mut stage, &cluster).await?;
    kafka_deletes_what_was_not_read(&mut stage, &cluster).await
}

/// Has the source ask the pipeline's role for its password.
pub(super) async fn ask_for_passwords(stage: &mut Stage) -> Result<()> {
    let rules = stage.source.data_dir().join("pg_hba.conf");
    let known = std::fs::read_to_string(&rules)?;
    std::fs::write(
        &rules,
        format!("host all cdc all scram-sha-256\nhost replication cdc all scram-sha-256\n{known}"),
    )?;
    stage.source.restart(StopMode::Fast).await
}

fn set_source_password(stage: &mut Stage, password: &str) {
    let url =
        format!("postgres://cdc:{password}@127.0.0.1:{}/{DATABASE}?sslmode=disable", stage.source.port());
    stage.product.set("SEGCDC_SOURCE_URL", &url);
}

/// Kafka Connect leaves a task alone that has failed; `up` does not.
async fn failed_task_is_started_again(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    // The connector would try again by itself.
    let mut up =
        stage.product.start(&["up", "--yes", "--connect-property", "source.errors.max.retries=0"])?;
    let log = up.log_file().to_owned();
    let source = &stage.source;
    up.until("a failed task is started again", PATIENCE, || async {
        // Whatever reads the slot, again and again: the connector may just have been given its property.
        let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active";
        source.execute(DATABASE, end).await.ok()?;
        let said = std::fs::read_to_string(&log).ok()?;
        said.contains("started again: segcdc_faulty_source").then_some(())
    })
    .await
    .with_context(|| super::errors_of(&cluster.worker_log()))?;
    up.ensure_runs()?;
    up.kill().await?;
    goes_on(stage, cluster, "a task that failed").await
}

/// A connector that cannot log in says RUNNING for ever, and nothing of the reason; the worker says it when it is asked.
async fn worker_has_another_password(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    let file = super::secrets_file(stage, cluster);
    let known = std::fs::read_to_string(&file)?;
    std::fs::write(&file, known.replace("first-password", "another"))?;
    let path = "/connectors/segcdc_faulty_source/restart?includeTasks=true&onlyFailed=false";
    let answer = cluster.rest().post(path, None).await?;
    ensure!(answer.status == 202, "{answer:?}");
    let status = noted(stage, "AUTH_FAILED").await?;
    let source = &status["connectors"][0];
    ensure!(source["word"] == "RUNNING" && source["cause"].is_null(), "{status:#}");
    ensure!(status["notes"].to_string().contains("says that it runs, and does nothing"), "{status:#}");
    goes_on(stage, cluster, "another password in the worker's file").await
}

/// The tasks are told apart by what failed; the right password in the URL mends it.
async fn source_password_changes(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    stage.source.execute("postgres", "ALTER ROLE cdc PASSWORD 'second-password'").await?;
    stage
        .source
        .execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cdc'")
        .await?;
    let refused = stage.product.run(&UP).await?;
    ensure!(refused.error_code() == Some("AUTH_FAILED") && refused.status.code() == Some(4), "{refused}");
    noted(stage, "AUTH_FAILED").await?;
    set_source_password(stage, "second-password");
    goes_on(stage, cluster, "another password of the source").await
}

/// Nothing is copied anew without notice: the pipeline is lost, and says so.
async fn slot_is_dropped(stage: &mut Stage) -> Result<()> {
    let mut target = stage.target().await?;
    // A row that only a new copy would bring back.
    target.batch(&format!("DELETE FROM {} WHERE [id] = 1", stage.target_table("item"))).await?;
    let slot = stage.slots().await?.pop().context("a slot")?;
    let drop = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL; \
         DO $$ BEGIN LOOP BEGIN PERFORM pg_drop_replication_slot('{slot}'); EXIT; EXCEPTION WHEN object_in_use THEN \
         PERFORM pg_sleep(0.01); END; END LOOP; END $$"
    );
    stage.source.execute(DATABASE, &drop).await?;
    stage.source.execute(DATABASE, ADD).await?;
    let refused = stage.product.run(&UP).await?;
    ensure!(refused.error_code() == Some("SLOT_MISSING") && refused.status.code() == Some(2), "{refused}");
    // Debezium has tried it too, and made nothing anew.
    let end = Instant::now() + PATIENCE;
    let status = loop {
        let status = noted(stage, "SLOT_LOST").await?;
        let cause = &status["connectors"][0]["cause"]["code"];
        if cause == "SLOT_LOST" {
            break status;
        }
        ensure!(Instant::now() < end, "{status:#}");
    };
    ensure!(status["state"] == "FAILED", "{status:#}");
    ensure!(stage.slots().await?.is_empty(), "a slot was made anew");
    let copied = format!("SELECT COUNT(*) FROM {} WHERE [id] = 1", stage.target_table("item"));
    ensure!(stage.target_number(&copied).await? == 0, "the table was copied anew");
    stage.product.succeed(&["down", "--drop", "--yes"]).await?;
    Ok(())
}

/// The sink's login fails; the right password in the URL mends it.
async fn target_password_changes(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    let old = stage.target.password.expose().clone();
    let Some(sandbox) = stage.sandbox_or_skip("another password of the target") else { return Ok(()) };
    sandbox.change_password("Another-2").await?;
    let refused = stage.product.run(&UP).await?;
    ensure!(refused.error_code() == Some("AUTH_FAILED") && refused.status.code() == Some(4), "{refused}");
    stage.target_url = stage.target_url.replace(&old, "Another-2");
    stage.target = segcdc_sqlserver::TargetConfig::parse(&stage.target_url)?;
    stage.product.set("SEGCDC_TARGET_URL", &super::target_url(stage)?);
    goes_on(stage, cluster, "another password of the target").await
}

/// A source connector that stood still for longer than the source keeps WAL. Debezium would wait for half an hour, and say
/// RUNNING: the product says it at once.
async fn source_removes_what_was_not_read(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    stage.product.set("SEGCDC_NAME", "outrun");
    stage
        .source
        .execute(DATABASE, "CREATE TABLE slow (id int PRIMARY KEY); INSERT INTO slow VALUES (1)")
        .await?;
    let up = ["up", "--yes", "--until-caught-up", "--tables", "slow"];
    stage.product.succeed(&up).await.with_context(|| super::errors_of(&cluster.worker_log()))?;
    stage.product.succeed(&["stop"]).await?;
    stage.source.execute("postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await?;
    stage.source.execute("postgres", "SELECT pg_reload_conf()").await?;
    stage.source.execute(DATABASE, "INSERT INTO slow VALUES (2)").await?;
    for _ in 0..4 {
        let fill = "CREATE TABLE ballast (id int); DROP TABLE ballast; SELECT pg_switch_wal()";
        stage.source.execute(DATABASE, fill).await?;
    }
    let source = &stage.source;
    until("the slot is invalidated", PATIENCE, || async {
        source.execute("postgres", "CHECKPOINT").await.ok()?;
        let status = source.psql("postgres", "SELECT wal_status FROM pg_replication_slots").ok()?;
        (status.trim() == "lost").then_some(())
    })
    .await?;
    let status = noted(stage, "SLOT_LOST").await?;
    ensure!(status["state"] == "FAILED" && status["health"] == "ERROR", "{status:#}");
    let refused = stage.product.run(&up).await?;
    ensure!(refused.error_code() == Some("SLOT_LOST"), "{refused}");
    ensure!(stage.target_count("slow").await? == 1, "a row came past the slot");
    stage.source.execute("postgres", "ALTER SYSTEM RESET max_slot_wal_keep_size").await?;
    stage.source.execute("postgres", "SELECT pg_reload_conf()").await?;
    stage.product.succeed(&["down", "--drop", "--yes"]).await?;
    Ok(())
}

/// A sink that stood still for longer than Kafka keeps messages stops, instead of going on without them.
async fn kafka_deletes_what_was_not_read(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    stage.product.set("SEGCDC_NAME", "late");
    stage
        .source
        .execute(DATABASE, "CREATE TABLE entry (id int PRIMARY KEY); INSERT INTO entry VALUES (1)")
        .await?;
    let up = ["up", "--yes", "--until-caught-up", "--tables", "entry"];
    stage.product.succeed(&up).await.with_context(|| super::errors_of(&cluster.worker_log()))?;
    ensure!(cluster.partitions("segcdc_late.dbo") == 1, "the topic was made by its reader");
    let answer = cluster.rest().put("/connectors/segcdc_late_sink_dbo/stop", None).await?;
    ensure!(answer.status == 204, "{answer:?}");
    let read = cluster.delete_records("segcdc_late.dbo").await?;
    stage.source.execute(DATABASE, "INSERT INTO entry SELECT generate_series(2, 20)").await?;
    until("the rows are in Kafka, and are deleted", PATIENCE, || async {
        let first = cluster.delete_records("segcdc_late.dbo").await.ok()?;
        (first >= read + 19).then_some(())
    })
    .await?;
    let refused = stage.product.run(&up).await?;
    ensure!(
        refused.error_code() == Some("CONNECTOR_TASK_FAILED"),
        "{refused}\n{}",
        super::errors_of(&cluster.worker_log())
    );
    ensure!(refused.stderr.contains("[KAFKA_RETENTION]"), "{refused}");
    let status = noted(stage, "KAFKA_RETENTION").await?;
    ensure!(status["health"] == "ERROR", "{status:#}");
    ensure!(stage.target_count("entry").await? == 1);
    stage.product.succeed(&["down", "--drop", "--yes"]).await?;
    Ok(())
}
