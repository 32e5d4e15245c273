//! The same pipeline on Kafka Connect: a real broker, worker, Debezium, Microsoft's driver, and the target.

mod faults;
mod secrets;
mod types;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::connect::Guest;
use segcdc_testkit::{ConnectCluster, connect, until};
use serde_json::Value;

use super::product::Finished;
use super::stage::{DATABASE, PATIENCE, Stage};

/// Tables of the kinds that the route carries.
const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, note text, amount numeric(18,4), at timestamptz, code uuid, extra jsonb,
        raw bytea, day date, ratio float8, done bool, big text);
    INSERT INTO orders SELECT g, 'note ä 你 😀 ' || g, g * 1.5, '2026-01-02 03:04:05.123456+00', gen_random_uuid(), '{\"a\": 1}',
        '\\x0102', '2026-01-02', g / 3.0, g % 2 = 0,
        (SELECT string_agg(md5((g * n)::text), '') FROM generate_series(1, 200) n) FROM generate_series(1, 200) g;
    CREATE TABLE items (id bigint PRIMARY KEY, name varchar(50));
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 200) g;";

/// Large values that an UPDATE leaves alone, changed keys, deleted rows, a transaction over two tables.
const CHANGES: &str = "
    UPDATE orders SET note = 'changed' WHERE id <= 10; UPDATE orders SET id = 900 WHERE id = 11;
    DELETE FROM orders WHERE id BETWEEN 20 AND 30; INSERT INTO orders (id, note) VALUES (901, ''), (902, NULL);
    BEGIN; UPDATE items SET name = 'x ' || id; UPDATE orders SET amount = -0.0001 WHERE id = 40; COMMIT;";

/// What a command wrote, as JSON.
pub(crate) fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// Sets up or goes on until everything that was committed before has arrived; then both sides must be equal, to a foreign
/// client and to the product.
async fn catch_up(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    let up = stage.product.run(&["up", "--yes", "--until-caught-up"]).await;
    let finished = up.with_context(|| errors_of(&cluster.worker_log()))?;
    ensure!(finished.status.success(), "{finished}\n{}", errors_of(&cluster.worker_log()));
    let compared = stage.compare(&["orders", "items"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    stage.product.succeed(&["verify"]).await?;
    Ok(())
}

/// The worker's complaints, the last ones.
pub(crate) fn errors_of(log: &str) -> String {
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("ERROR") || line.starts_with("Caused by")).collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}

/// The target as a worker can use it: its driver does not know the sandbox's authority.
fn target_url(stage: &Stage) -> Result<String> {
    let (base, _) = stage.target_url.split_once('?').context("a URL with parameters")?;
    Ok(format!("{base}?encrypt=true&trust_server_certificate=true"))
}

/// Both servers, a cluster that other tests use too, and the product that is to use it.
async fn start(name: &str) -> Result<(Stage, Guest)> {
    let (stage, cluster) = tokio::join!(Stage::start(name), connect::shared(name));
    let (mut stage, cluster) = (stage?, cluster?);
    tell_of(&mut stage, &cluster)?;
    stage.product.set("SEGCDC_ENGINE", "kafka-connect");
    Ok((stage, cluster))
}

/// Tells the product of a cluster, and of a target that its worker can use.
pub(crate) fn tell_of(stage: &mut Stage, cluster: &ConnectCluster) -> Result<()> {
    let target = target_url(stage)?;
    let secrets = format!("file:{}", secrets_file(stage, cluster).display());
    for (name, value) in [
        ("SEGCDC_TARGET_URL", target),
        ("SEGCDC_CONNECT_URL", cluster.url()),
        ("SEGCDC_KAFKA_BOOTSTRAP", cluster.bootstrap()),
        ("SEGCDC_CONNECT_SECRETS", secrets),
    ] {
        stage.product.set(name, &value);
    }
    Ok(())
}

/// Where the worker reads the pipeline's passwords.
fn secrets_file(stage: &Stage, cluster: &ConnectCluster) -> PathBuf {
    cluster.secrets_dir().join(format!("{}.properties", stage.name))
}

/// The pipeline's connectors, topics, consumer groups, stored progress and passwords in the cluster, by the word of the worker
/// and of Kafka's own commands.
pub(crate) async fn left_in(stage: &Stage, cluster: &ConnectCluster) -> Result<Vec<String>> {
    let connectors = cluster.rest().get("/connectors").await?.json()?;
    let connectors = connectors.as_array().context("a list of connectors")?;
    let connectors = connectors.iter().filter_map(Value::as_str).map(|name| format!("connector {name}"));
    let mut found: Vec<String> = connectors.collect();
    found.extend([cluster.topics()?, cluster.consumer_groups()?, cluster.stored_offsets()?].concat());
    let ours = format!("segcdc_{}", stage.name);
    found.retain(|name| name.contains(&ours));
    if secrets_file(stage, cluster).exists() {
        found.push("the file with the passwords".to_owned());
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_runs_on_kafka_connect_and_leaves_nothing() -> Result<()> {
    if let Some(reason) = connect::skipped() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut stage, cluster) = start("routed").await?;
    stage.source.execute(DATABASE, TABLES).await?;

    let plan = json(&stage.product.succeed(&["plan", "-o", "json"]).await?)?;
    ensure!(plan["connectors"].as_array().is_some_and(|connectors| connectors.len() == 2), "{plan:#}");
    catch_up(&mut stage, &cluster).await?;
    stage.source.execute(DATABASE, CHANGES).await?;
    catch_up(&mut stage, &cluster).await?;
    stage.source.execute(DATABASE, "TRUNCATE items; INSERT INTO items VALUES (1, 'after')").await?;
    catch_up(&mut stage, &cluster).await?;

    let status = json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
    assert_eq!(
        (&status["state"], &status["engine"]),
        (&"RUNNING".into(), &"kafka-connect".into()),
        "{status:#}"
    );
    a_changed_property_is_a_diff_and_an_update(&mut stage, &cluster).await?;
    a_stall_has_a_name(&mut stage).await?;
    let shown = [status.to_string(), cluster.worker_log()].concat();
    ensure!(!shown.contains(stage.target.password.expose().as_str()), "the target's password is shown");
    stage.remove().await?;
    nothing_is_left(&stage, &cluster).await
}

/// `plan` shows what would be changed of connectors that are there, `up` changes it, and what somebody has written there by
/// hand is put back without being shown if it is a password.
async fn a_changed_property_is_a_diff_and_an_update(
    stage: &mut Stage,
    cluster: &ConnectCluster,
) -> Result<()> {
    let nothing = json(&stage.product.succeed(&["plan", "-o", "json"]).await?)?;
    ensure!(nothing["exists"] == true && nothing["changes"].is_null(), "{nothing:#}");
    let wanted = ["--connect-property", "sink.batch.size=77"];
    let planned = stage.product.succeed(&[&["plan"], &wanted[..]].concat()).await?;
    let diff = "Changes of connector segcdc_routed_sink_dbo:\n  batch.size: 2000 -> 77\n";
    ensure!(planned.stdout.contains(diff), "{planned}");
    let config = "/connectors/segcdc_routed_sink_dbo/config";
    ensure!(
        cluster.rest().get(config).await?.json()?["batch.size"] == "2000",
        "a look has changed something"
    );
    stage.product.succeed(&[&["up", "--yes", "--until-caught-up"], &wanted[..]].concat()).await?;
    let mut found = cluster.rest().get(config).await?.json()?;
    ensure!(found["batch.size"] == "77", "{found:#}");

    let placeholder = found["connection.password"].clone();
    found["connection.password"] = stage.target.password.expose().as_str().into();
    let answer = cluster.rest().put(config, Some(&found)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    for arguments in
        [&["plan"][..], &["plan", "-o", "json"], &["up", "--yes", "--until-caught-up", "-o", "json"]]
    {
        let finished = stage.product.succeed(arguments).await?;
        let said = [finished.stdout.as_str(), &finished.stderr].concat();
        ensure!(!said.contains(stage.target.password.expose().as_str()), "{arguments:?} shows the password");
        ensure!(said.contains("connection.password") && said.contains("***"), "{finished}");
    }
    let found = cluster.rest().get(config).await?.json()?;
    ensure!(found["batch.size"] == "2000" && found["connection.password"] == placeholder, "{found:#}");
    Ok(())
}

/// The connectors say RUNNING whatever arrives: a pipeline whose heartbeats do not come through is not running well.
async fn a_stall_has_a_name(stage: &mut Stage) -> Result<()> {
    let heartbeat = "segcdc.segcdc_routed_heartbeat";
    // None is written any more, and the newest that has arrived is old.
    let stop = format!(
        "CREATE FUNCTION keep_still() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER keep_still BEFORE UPDATE ON {heartbeat} FOR EACH ROW EXECUTE FUNCTION keep_still()"
    );
    stage.source.execute(DATABASE, &stop).await?;
    let old = format!("UPDATE {} SET [at_us] = 1", stage.target_table("segcdc_routed_heartbeat"));
    let status = state_becomes(stage, "DEGRADED", Some(&old)).await?;
    let words: Vec<_> =
        status["connectors"].as_array().into_iter().flatten().map(|connector| &connector["word"]).collect();
    ensure!(words == ["RUNNING", "RUNNING"] && status["health"] == "WARN", "{status:#}");
    let stalled = |note: &&Value| note["code"] == "CONNECT_STALLED";
    let note = status["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .find(stalled)
        .with_context(|| format!("{status:#}"))?;
    ensure!(note["detail"].as_str().is_some_and(|text| text.contains("do not come through")), "{note}");
    ensure!(note["hint"].as_str().is_some_and(|text| text.contains("segcdc restart")), "{note}");
    let shown = stage.product.succeed(&["status"]).await?;
    ensure!(shown.stdout.contains("degraded") && shown.stdout.contains("[CONNECT_STALLED]"), "{shown}");
    let go_on = format!("DROP TRIGGER keep_still ON {heartbeat}; DROP FUNCTION keep_still");
    stage.source.execute(DATABASE, &go_on).await?;
    let status = state_becomes(stage, "RUNNING", None).await?;
    ensure!(
        status["health"] == "OK" && !status["notes"].to_string().contains("CONNECT_STALLED"),
        "{status:#}"
    );
    Ok(())
}

/// Waits for a state of the pipeline; before each look a statement of the target may be run.
async fn state_becomes(stage: &mut Stage, state: &str, before: Option<&str>) -> Result<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(sql) = before {
            stage.target().await?.batch(sql).await?;
        }
        let status = json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
        if status["state"] == state {
            return Ok(status);
        }
        ensure!(Instant::now() < end, "not {state}: {status:#}");
    }
}

/// Neither server nor the cluster has anything of the pipeline.
async fn nothing_is_left(stage: &Stage, cluster: &ConnectCluster) -> Result<()> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT count(*) FROM pg_publication) || ' ' \
               || (SELECT count(*) FROM pg_namespace WHERE nspname = 'segcdc')";
    let left = stage.source.psql(DATABASE, sql)?;
    ensure!(left.trim() == "0 0 0", "slots, publications, schemas at the source: {left}");
    let found = left_in(stage, cluster).await?;
    ensure!(found.is_empty(), "left in the cluster: {found:?}");
    let tables = "SELECT COUNT(*) FROM sys.tables WHERE [name] IN (N'orders', N'items', N'pipeline') \
                  OR [name] LIKE N'%heartbeat%'";
    until("the target has nothing", PATIENCE, || async {
        (stage.target_number(tables).await.ok()? == 0).then_some(())
    })
    .await?;
    Ok(())
}
