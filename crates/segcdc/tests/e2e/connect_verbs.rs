//! A pipeline on Kafka Connect is paused, stopped, restarted and reset from the command line; whatever was changed meanwhile
//! arrives, and what is removed is gone by the word of Kafka's own commands.

use anyhow::{Context, Result, ensure};
use segcdc_testkit::connect::Guest;
use segcdc_testkit::{ConnectCluster, connect, until};
use serde_json::Value;

use super::kafka_connect::{json, left_in, tell_of};
use super::stage::{DATABASE, PATIENCE, Stage};

const TABLES: &str = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(50));
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 300) g;";

/// A source, the target, and a worker that the product knows by its environment.
async fn start() -> Result<(Stage, Guest)> {
    let (stage, cluster) = tokio::join!(Stage::start("steered"), connect::shared("steered"));
    let (mut stage, cluster) = (stage?, cluster?);
    stage.source.execute(DATABASE, TABLES).await?;
    tell_of(&mut stage, &cluster)?;
    Ok((stage, cluster))
}

/// `segcdc status`, and the states of the connectors in it, sorted.
async fn status(stage: &mut Stage) -> Result<(Value, Vec<String>)> {
    let status = json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
    let connectors = status["connectors"].as_array().context("connectors")?;
    let mut words: Vec<_> =
        connectors.iter().map(|connector| connector["word"].as_str().unwrap_or("gone").to_owned()).collect();
    words.sort();
    Ok((status, words))
}

/// Runs a verb, and says which connectors it told.
async fn tell(stage: &mut Stage, arguments: &[&str]) -> Result<Vec<String>> {
    let finished = stage.product.succeed(&[arguments, &["-o", "json"]].concat()).await?;
    let report = json(&finished)?;
    let connectors = report["connectors"].as_array().context("connectors")?;
    let told = connectors.iter().filter(|connector| connector["told"] == true);
    Ok(told.map(|connector| connector["name"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn active_pid(stage: &Stage) -> Result<String> {
    let sql = "SELECT coalesce(active_pid::text, 'nobody') FROM pg_replication_slots";
    Ok(stage.source.psql(DATABASE, sql)?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_are_steered_and_everything_can_be_forgotten() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = start().await?;
    a_native_pipeline_is_not_steered(&mut stage).await?;
    stage.product.set("SEGCDC_ENGINE", "kafka-connect");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.target_count("items").await?;
    ensure!(copied == 300, "{copied} rows were copied");
    paused_and_resumed(&mut stage).await?;
    stopped_and_restarted(&mut stage).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["items"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    nothing_to_write(&mut stage).await?;
    reset_and_made_anew(&mut stage, &cluster).await?;
    stage.remove().await?;
    let left = left_in(&stage, &cluster).await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// The native engine runs in the foreground: the verbs say so.
async fn a_native_pipeline_is_not_steered(stage: &mut Stage) -> Result<()> {
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    for verb in ["pause", "resume", "stop", "restart", "reset"] {
        let refused = stage.product.run(&[verb]).await?;
        ensure!(refused.status.code() == Some(2), "{verb}: {refused}");
        ensure!(refused.stderr.contains("NATIVE_IN_FOREGROUND"), "{verb}: {refused}");
    }
    stage.remove().await?;
    let missing = stage.product.run(&["pause"]).await?;
    ensure!(missing.stderr.contains("STATE_MISSING"), "{missing}");
    Ok(())
}

/// A paused pipeline holds its slot and writes nothing; what was changed arrives when it goes on.
async fn paused_and_resumed(stage: &mut Stage) -> Result<()> {
    let told = tell(stage, &["pause"]).await?;
    ensure!(told == ["segcdc_steered_source", "segcdc_steered_sink_dbo"], "{told:?}");
    let (report, words) = status(stage).await?;
    ensure!(report["state"] == "PAUSED" && words == ["PAUSED", "PAUSED"], "{report:#}");
    ensure!(active_pid(stage).await? != "nobody", "a pause lets go of the slot");
    ensure!(tell(stage, &["pause"]).await?.is_empty(), "a second pause finds something to do");
    stage
        .source
        .execute(DATABASE, "INSERT INTO items SELECT g, 'paused' FROM generate_series(301, 310) g")
        .await?;
    let told = tell(stage, &["resume"]).await?;
    ensure!(told == ["segcdc_steered_sink_dbo", "segcdc_steered_source"], "{told:?}");
    arrives(stage, 310).await
}

/// A stopped pipeline lets go of its slot; `restart` leaves it alone, and starts what runs anew.
async fn stopped_and_restarted(stage: &mut Stage) -> Result<()> {
    tell(stage, &["stop"]).await?;
    let (report, words) = status(stage).await?;
    ensure!(report["state"] == "STOPPED" && words == ["STOPPED", "STOPPED"], "{report:#}");
    let stage_ref = &*stage;
    until("nobody reads the slot", PATIENCE, || async {
        (active_pid(stage_ref).await.ok()? == "nobody").then_some(())
    })
    .await?;
    ensure!(tell(stage, &["restart"]).await?.is_empty(), "a stopped pipeline was restarted");
    stage
        .source
        .execute(DATABASE, "INSERT INTO items SELECT g, 'stopped' FROM generate_series(311, 320) g")
        .await?;
    tell(stage, &["resume"]).await?;
    let told = tell(stage, &["restart"]).await?;
    ensure!(told.len() == 2, "{told:?}");
    ensure!(tell(stage, &["restart", "--only-failed"]).await?.is_empty(), "something had failed");
    // A worker takes a connector away before it starts it anew.
    let begun = std::time::Instant::now();
    loop {
        let (report, words) = status(stage).await?;
        if report["state"] == "RUNNING" && words == ["RUNNING", "RUNNING"] {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "not all connectors run again: {report:#}");
    }
    arrives(stage, 320).await
}

/// The sink's lag is known, and goes down to nothing.
async fn nothing_to_write(stage: &mut Stage) -> Result<()> {
    for _ in 0..200 {
        let (report, _) = status(stage).await?;
        let connectors = report["connectors"].as_array().context("connectors")?;
        let sink = connectors.iter().find(|connector| connector["role"] == "sink").context("a sink")?;
        let lag = sink["lag_messages"].as_u64().with_context(|| format!("no lag: {report:#}"))?;
        // The mark that ends Kafka's last transaction is no message, and a heartbeat may be on its way.
        if lag <= 4 {
            return Ok(());
        }
    }
    anyhow::bail!("the sink does not come to the end of its topic")
}

/// Everything is forgotten, the next `up` copies anew.
async fn reset_and_made_anew(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    let before = left_in(stage, cluster).await?;
    ensure!(before.len() >= 3, "of a running pipeline one sees {before:?} only");
    let dry = json(&stage.product.succeed(&["reset", "-o", "json"]).await?)?;
    ensure!(dry["done"] == false && dry.to_string().contains("consumer group connect-"), "{dry:#}");
    ensure!(stage.target_count("items").await? == 320, "a look has removed rows");
    let done = json(&stage.product.succeed(&["reset", "--drop", "--yes", "-o", "json"]).await?)?;
    ensure!(done["done"] == true && done["left"].as_array().is_some_and(Vec::is_empty), "{done:#}");
    let left = left_in(stage, cluster).await?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(stage.slots().await?.is_empty(), "a slot is left");
    let tables = stage.target_number("SELECT COUNT(*) FROM sys.tables WHERE [name] = N'items'").await?;
    ensure!(tables == 0, "the table that the pipeline made is left");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["items"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    Ok(())
}

async fn arrives(stage: &Stage, rows: i64) -> Result<()> {
    until("all rows are in the target", PATIENCE, || async {
        (stage.target_count("items").await.ok()? == rows).then_some(())
    })
    .await?;
    Ok(())
}
