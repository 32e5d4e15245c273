//! The same pipeline on Kafka Connect: a real broker, worker, Debezium, Microsoft's driver, and the target.

mod faults;
mod types;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::{ConnectCluster, ConnectOptions, connect, until};
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

/// Both servers, a worker, and the product that is to use it.
async fn start(name: &str) -> Result<(Stage, ConnectCluster)> {
    // Progress is stored every two seconds instead of every minute, and the tasks of a worker that was killed are missed
    // after six seconds instead of 45.
    let settings = [
        ("offset.flush.interval.ms", "2000"),
        ("consumer.session.timeout.ms", "6000"),
        ("consumer.heartbeat.interval.ms", "2000"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = ConnectOptions { worker_settings: settings, ..ConnectOptions::default() };
    let (stage, cluster) = tokio::join!(Stage::start(name), ConnectCluster::start(options));
    let (mut stage, cluster) = (stage?, cluster?);
    let target = target_url(&stage)?;
    stage.product.set("SEGCDC_TARGET_URL", &target);
    stage.product.set("SEGCDC_ENGINE", "kafka-connect");
    stage.product.set("SEGCDC_CONNECT_URL", &cluster.url());
    stage.product.set("SEGCDC_KAFKA_BOOTSTRAP", &cluster.bootstrap());
    let secrets = format!("file:{}", cluster.secrets_dir().join(format!("{name}.properties")).display());
    stage.product.set("SEGCDC_CONNECT_SECRETS", &secrets);
    Ok((stage, cluster))
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
    let shown = [status.to_string(), cluster.worker_log()].concat();
    ensure!(!shown.contains(stage.target.password.expose().as_str()), "the target's password is shown");
    stage.remove().await?;
    nothing_is_left(&stage, &cluster).await
}

/// Neither server nor the cluster has anything of the pipeline.
async fn nothing_is_left(stage: &Stage, cluster: &ConnectCluster) -> Result<()> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT count(*) FROM pg_publication) || ' ' \
               || (SELECT count(*) FROM pg_namespace WHERE nspname = 'segcdc')";
    let left = stage.source.psql(DATABASE, sql)?;
    ensure!(left.trim() == "0 0 0", "slots, publications, schemas at the source: {left}");
    let connectors = cluster.rest().get("/connectors").await?;
    ensure!(connectors.body.trim() == "[]", "{}", connectors.body);
    ensure!(
        std::fs::read_dir(cluster.secrets_dir())?.next().is_none(),
        "the file with the passwords is left"
    );
    let tables = "SELECT COUNT(*) FROM sys.tables WHERE [name] IN (N'orders', N'items', N'pipeline') \
                  OR [name] LIKE N'%heartbeat%'";
    until("the target has nothing", PATIENCE, || async {
        (stage.target_number(tables).await.ok()? == 0).then_some(())
    })
    .await?;
    Ok(())
}
