//! What becomes of a pipeline when its settings change while it runs, when the store is lost, and when it was another's before.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::{Served, arrived, connections, curl, left, verify};

/// A table and a server, with a pipeline over it that follows: the server, the pipeline's path, the connections' ids.
async fn followed(stage: &mut Stage, folder: &Path, rows: u32) -> Result<(Served, String)> {
    let sql = format!(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, 'v' FROM generate_series(1, {rows}) g"
    );
    stage.source.execute(DATABASE, &sql).await?;
    let mut served = Served::first(stage, folder).await?;
    let path = registered(&served, stage).await?;
    served.until_state(&path, "RUNNING").await?;
    served.until("it follows", &path, streams).await?;
    Ok((served, path))
}

fn streams(_status: u16, seen: &Value) -> Option<()> {
    (seen["progress"]["phase"] == "STREAMING").then_some(())
}

/// Makes the stage's connections and its pipeline known to a server, which begins to run it: the pipeline's path.
async fn registered(served: &Served, stage: &Stage) -> Result<String> {
    let (source, target) = connections(stage)?;
    let from = served.expect(201, "POST", "/api/v1/connections", Some(&source)).await?["id"].clone();
    let to = served.expect(201, "POST", "/api/v1/connections", Some(&target)).await?["id"].clone();
    let wanted = json!({
        "name": stage.name, "source_id": from, "target_id": to, "tables": ["public.t"], "start": true,
    });
    let made = served.expect(201, "POST", "/api/v1/pipelines", Some(&wanted)).await?;
    Ok(format!("/api/v1/pipelines/{}", made["id"].as_str().context("an id")?))
}

/// # Fault F65
/// Settings are changed while the pipeline runs, by two people at once.
/// - Happens: each change says of which version it is (`If-Match`); the second is refused as `VERSION_CONFLICT`. The run ends
///   between two transactions and begins anew with what is stored; `observed_version` says when. Nothing is copied again.
/// - Do: after `VERSION_CONFLICT`, look at what the other one changed, and send the change again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_change_under_a_running_pipeline() -> Result<()> {
    let mut stage = Stage::start("served_change").await?;
    let folder = tempfile::tempdir()?;
    let (mut served, path) = followed(&mut stage, folder.path(), 300).await?;
    let before = served.expect(200, "GET", &path, None).await?;
    assert_eq!(before["observed_version"], before["version"], "{before:#}");
    let writing =
        stage.source.execute(DATABASE, "INSERT INTO t SELECT g, 'w' FROM generate_series(301, 600) g");
    let tag = format!("If-Match: \"{}\"", before["version"]);
    let bearer = format!("Authorization: Bearer {}", served.token);
    let place = format!("{}{path}", served.url);
    let arguments = ["-H", &tag, "-H", &bearer, &place];
    let (one, other) = (json!({"readers": 2}), json!({"readers": 3}));
    let (written, one, other) =
        tokio::join!(writing, curl(&arguments, Some(&one), "PATCH"), curl(&arguments, Some(&other), "PATCH"));
    written?;
    let (one, other) = (one?, other?);
    let (changed, refused) = if one.0 == 200 { (one.1, other) } else { (other.1, one) };
    assert_eq!((refused.0, &refused.1["code"]), (412, &json!("VERSION_CONFLICT")), "{changed:#}");
    let observed = |_, seen: &Value| {
        let is_new = seen["observed_version"] == seen["version"] && seen["version"] == changed["version"];
        (is_new && seen["state"] == "RUNNING").then(|| seen.clone())
    };
    let seen = served.until("it runs with the new settings", &path, observed).await?;
    assert_eq!(seen["readers"], changed["readers"]);
    served.until("it follows", &path, streams).await?;
    stage.source.execute(DATABASE, "DELETE FROM t WHERE id <= 10").await?;
    served.running.until("all has arrived", PATIENCE, || arrived(&stage, 590)).await?;
    let log = std::fs::read_to_string(served.running.log_file())?;
    let copies = log.matches("copying begins").count();
    ensure!(copies == 1, "{copies} copies:\n{log}");
    verify(&mut served, &path).await
}

/// # Fault F63
/// The control plane's store is lost.
/// - Happens: what runs goes on, as long as its server lives. What a pipeline has done is kept in its target; a new server over a
///   new store that is told the same connections and a pipeline of the same name goes on behind the checkpoint and copies nothing
///   again.
/// - Do: bring back a copy of the store; or make connections and pipelines again, under their names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_store_loses_no_position() -> Result<()> {
    let mut stage = Stage::start("served_lost").await?;
    let lost = tempfile::tempdir()?;
    let (mut served, _path) = followed(&mut stage, lost.path(), 300).await?;
    lost.close()?;
    stage.source.execute(DATABASE, "INSERT INTO t SELECT g, 'w' FROM generate_series(301, 400) g").await?;
    served.running.until("rows arrive without a store", PATIENCE, || arrived(&stage, 400)).await?;
    served.running.kill().await?;
    let before = stage.state().await?.context("the pipeline's state")?;
    stage
        .source
        .execute(DATABASE, "UPDATE t SET v = 'x' WHERE id <= 7; DELETE FROM t WHERE id > 395")
        .await?;
    goes_on_elsewhere(&mut stage, before.applied_lsn, 395).await
}

/// The pipeline of the stage, made known to a server over a new store, goes on behind a position without a copy.
async fn goes_on_elsewhere(stage: &mut Stage, behind: u64, rows: i64) -> Result<()> {
    // A row that only the target has would be gone after a copy.
    let mark = format!("UPDATE {} SET [v] = N'not copied again' WHERE [id] = 100", stage.target_table("t"));
    stage.target().await?.batch(&mark).await?;
    let folder = tempfile::tempdir()?;
    let mut served = Served::first(stage, folder.path()).await?;
    let path = registered(&served, stage).await?;
    served.until_state(&path, "RUNNING").await?;
    served.running.until("it goes on", PATIENCE, || arrived(stage, rows)).await?;
    let after = stage.state().await?.context("the pipeline's state")?;
    ensure!(after.applied_lsn > behind, "{behind} {}", after.applied_lsn);
    let marked = format!("SELECT COUNT(*) FROM {} WHERE [v] = N'not copied again'", stage.target_table("t"));
    assert_eq!(stage.target_number(&marked).await?, 1, "it was copied again");
    let mended = format!("UPDATE {} SET [v] = N'v' WHERE [id] = 100", stage.target_table("t"));
    stage.target().await?.batch(&mended).await?;
    verify(&mut served, &path).await?;
    served.act(&path, "stop").await?;
    served.until_state(&path, "STOPPED").await?;
    served.expect(202, "DELETE", &path, None).await?;
    served.until("it is gone", &path, |status, _| (status == 404).then_some(())).await?;
    assert_eq!(left(stage).await?, "0 slots, 0 publications, 0 state tables");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipeline_of_the_command_line_goes_on_in_a_server() -> Result<()> {
    let mut stage = Stage::start("served_adopted").await?;
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, 'v' FROM generate_series(1, 300) g";
    stage.source.execute(DATABASE, sql).await?;
    stage.product.succeed(&["up", "--yes", "--tables", "public.t", "--until-caught-up"]).await?;
    let before = stage.state().await?.context("the pipeline's state")?;
    stage.source.execute(DATABASE, "DELETE FROM t WHERE id > 290").await?;
    goes_on_elsewhere(&mut stage, before.applied_lsn, 290).await
}
