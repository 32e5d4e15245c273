//! How far a large transaction is, seen from outside before anything of it is.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresOptions;
use serde_json::Value;

use super::product::Running;
use super::stage::{DATABASE, PATIENCE, Stage};

/// Rows of the transaction: several parts.
const ROWS: u64 = 160_000;

/// What `status` says of the large transaction; `None` while it says nothing.
async fn said(stage: &mut Stage) -> Result<Option<Value>> {
    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&status.stdout).with_context(|| status.to_string())?;
    Ok(Some(report["large_transaction"].clone()).filter(|large| !large.is_null()))
}

/// Asks until what `status` says is as wanted, and returns it.
async fn until_said(
    stage: &mut Stage,
    running: &mut Running,
    wanted: impl Fn(Option<&Value>) -> bool,
) -> Result<Option<Value>> {
    let begun = Instant::now();
    loop {
        running.ensure_runs()?;
        let large = said(stage).await?;
        if wanted(large.as_ref()) {
            return Ok(large);
        }
        ensure!(begun.elapsed() < PATIENCE, "status says nothing else than {large:?}:\n{}", running.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_how_far_a_large_transaction_is() -> Result<()> {
    let options = PostgresOptions::default().setting("logical_decoding_work_mem", "64kB");
    let mut stage = Stage::start_with("largestatus", options).await?;
    let tables = "CREATE TABLE many (id bigint PRIMARY KEY, w text); CREATE TABLE late (id int PRIMARY KEY)";
    stage.source.execute(DATABASE, tables).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    ensure!(said(&mut stage).await?.is_none());

    let open = stage.source().await?;
    open.batch_execute("BEGIN").await?;
    let xid: i64 = open.query_one("SELECT pg_current_xact_id()::text::bigint", &[]).await?.get(0);
    open.batch_execute(&format!("INSERT INTO many SELECT i, md5(i::text) FROM generate_series(1, {ROWS}) i"))
        .await?;
    let received = until_said(&mut stage, &mut running, |large| large.is_some()).await?.unwrap_or_default();
    ensure!(received["is_complete"] == false && received["xid"] == xid, "{received:#}");
    ensure!(
        received["changes"].as_u64() > Some(0) && received["disk_bytes"].as_u64() > Some(0),
        "{received:#}"
    );
    ensure!(received["part"] == 0 && received["parts"] == 0, "{received:#}");
    let words = stage.product.succeed(&["status"]).await?;
    ensure!(words.stdout.contains(&format!("large     transaction {xid}: receiving, ")), "{words}");

    // Somebody else holds the table that it comes to last, so that it stays as it is while it is looked at.
    let mut other = stage.target().await?;
    other.batch("BEGIN TRANSACTION").await?;
    other
        .batch(&format!("SELECT COUNT(*) FROM {} WITH (TABLOCKX, HOLDLOCK)", stage.target_table("late")))
        .await?;
    open.batch_execute("INSERT INTO late VALUES (1); COMMIT").await?;
    let half = |large: Option<&Value>| large.is_some_and(|large| large["applied"].as_u64() >= Some(ROWS / 2));
    let applied = until_said(&mut stage, &mut running, half).await?.unwrap_or_default();
    ensure!(applied["is_complete"] == true && applied["xid"] == xid, "{applied:#}");
    ensure!(applied["changes"].as_u64() == Some(ROWS + 1), "{applied:#}");
    ensure!(applied["parts"].as_u64() > Some(1) && applied["part"].as_u64() > Some(1), "{applied:#}");
    ensure!(applied["part"].as_u64() <= applied["parts"].as_u64(), "{applied:#}");
    ensure!(applied["elapsed_ms"].as_u64() >= received["elapsed_ms"].as_u64(), "{applied:#}");
    ensure!(stage.target_count("many").await? == 0, "a part of a transaction is seen");
    let words = stage.product.succeed(&["status"]).await?;
    ensure!(words.stdout.contains(&format!("large     transaction {xid}: applying part ")), "{words}");
    ensure!(running.log().contains(&format!("large transaction {xid}: applying part ")), "{}", running.log());

    other.batch("ROLLBACK TRANSACTION").await?;
    let arrived = || async { (stage.target_count("late").await.ok()? == 1).then_some(()) };
    running.until("the transaction is applied", PATIENCE, arrived).await?;
    ensure!(stage.target_count("many").await? == i64::try_from(ROWS)?);
    until_said(&mut stage, &mut running, |large| large.is_none()).await?;
    running.kill().await?;
    stage.remove().await?;
    Ok(())
}
