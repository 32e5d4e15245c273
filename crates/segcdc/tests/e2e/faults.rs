//! One fault each, with its outcome: what passes by itself is waited out, what cannot be mended stops the pipeline
//! with a named error before another write, and a bad table stays alone.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use segcdc_testkit::{PostgresOptions, StopMode};

use super::product::{COMMAND_LIMIT, Finished, Running};
use super::stage::{DATABASE, PATIENCE, Stage, StateSeen};

mod cable;
mod clock;
mod connection;
mod lineage;
mod servers;
mod space;
mod takeover;

/// `item` is keyed; `entry` has no key, so that a row that is applied twice is there twice.
const TABLES: &str = "
    CREATE TABLE item (id int PRIMARY KEY, v text NOT NULL);
    CREATE TABLE entry (v int NOT NULL);
    ALTER TABLE entry REPLICA IDENTITY FULL;
    INSERT INTO item SELECT i, 'row ' || i FROM generate_series(1, 50) i;
    INSERT INTO entry SELECT i FROM generate_series(1, 50) i;";

/// Changes a row and no value.
const TOUCH: &str = "UPDATE item SET v = v WHERE id = 1";

/// One more row in both tables, in one transaction.
const ADD: &str = "BEGIN; INSERT INTO item SELECT max(id) + 1, 'added' FROM item; \
                   INSERT INTO entry SELECT max(v) + 1 FROM entry; COMMIT";

/// What the target holds: rows of both tables, and the state row but for its epoch.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    items: i64,
    entries: i64,
    batch_seq: i64,
    applied_lsn: u64,
}

/// A stage with a pipeline that is live.
async fn live(name: &str, options: PostgresOptions) -> Result<(Stage, Running)> {
    let mut stage = Stage::start_with(name, options).await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    Ok((stage, running))
}

/// Adds rows and waits for them; nothing may be doubled or missing.
async fn goes_on(stage: &Stage, running: &mut Running) -> Result<()> {
    stage.source.execute(DATABASE, ADD).await?;
    stage.caught_up(running, TOUCH).await?;
    let source = stage.source().await?;
    for table in ["item", "entry"] {
        let expected: i64 = source.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0);
        let found = stage.target_count(table).await?;
        ensure!(found == expected, "{table} has {found} rows in the target, {expected} in the source");
    }
    running.ensure_runs()
}

/// Stops the pipeline as a service manager does, and proves that both sides are equal.
async fn ends_well(stage: &Stage, running: Running) -> Result<()> {
    stop(running).await?;
    let comparison = stage.compare(&["item", "entry"]).await?;
    ensure!(comparison.equal, "source and target differ: {comparison:#?}");
    Ok(())
}

/// Stops the pipeline as a service manager does.
async fn stop(running: Running) -> Result<()> {
    running.signal(Signal::TERM)?;
    let ended = running.wait(PATIENCE).await?;
    ensure!(ended.status.code() == Some(143), "up did not end as asked: {ended}");
    Ok(())
}

/// What the target holds now.
async fn held(stage: &Stage) -> Result<Held> {
    let StateSeen { applied_lsn, batch_seq, .. } = stage.state().await?.context("the pipeline's state")?;
    let (items, entries) = (stage.target_count("item").await?, stage.target_count("entry").await?);
    Ok(Held { items, entries, batch_seq, applied_lsn })
}

/// A process that ended by itself has failed with this code.
fn ensure_failed(ended: &Finished, codes: &[&str]) -> Result<()> {
    let code = ended.error_code().unwrap_or_default();
    ensure!(codes.contains(&code), "expected one of {codes:?}, found \"{code}\": {ended}");
    ensure!(ended.status.code().is_some_and(|code| code != 0), "it failed with success: {ended}");
    Ok(())
}

/// Starts the stopped pipeline: it must fail with this code and write nothing.
async fn refuses(stage: &mut Stage, code: &str) -> Result<()> {
    let before = held(stage).await?;
    let ended = stage.product.run(&["up", "--yes"]).await?;
    ensure_failed(&ended, &[code])?;
    let after = held(stage).await?;
    ensure!(before == after, "it wrote after {code}: {before:?}, {after:?}");
    Ok(())
}

/// # Fault F1
/// The source crashes, or is restarted.
/// - Happens: it tries again with growing pauses, 200 ms to 30 s, and goes on from the checkpoint; what the source sends again
///   is left out.
/// - Do: nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_restart_is_waited_out() -> Result<()> {
    let (mut stage, mut running) = live("source_restart", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        stage.source.restart(mode).await?;
        goes_on(&stage, &mut running).await.with_context(|| format!("after {mode:?}"))?;
    }
    ends_well(&stage, running).await
}

/// # Fault F1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_walsender_is_waited_out() -> Result<()> {
    let (stage, mut running) = live("walsender", PostgresOptions::default()).await?;
    let source = stage.source().await?;
    for _ in 0..3 {
        // The one that was killed before may have sent the row of `goes_on`, and the next not be there yet.
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication";
        let kill = || async { (source.query_one(kill, &[]).await.ok()?.get::<_, i64>(0) == 1).then_some(()) };
        running.until("a walsender is there and killed", PATIENCE, kill).await?;
        goes_on(&stage, &mut running).await?;
    }
    ends_well(&stage, running).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_restart_is_waited_out() -> Result<()> {
    let (mut stage, mut running) = live("target_restart", PostgresOptions::default()).await?;
    let Some(sandbox) = stage.sandbox_or_skip("target_restart_is_waited_out") else { return Ok(()) };
    sandbox.kill()?;
    // Changes pile up while the target is away.
    stage.source.execute(DATABASE, ADD).await?;
    stage.sandbox.as_mut().context("the sandbox")?.start_again().await?;
    goes_on(&stage, &mut running).await?;
    stage.sandbox.as_mut().context("the sandbox")?.restart().await?;
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}

/// # Fault F43
/// A row breaks a rule of its table in the target: a value that has no form there, NULL, a constraint, a length.
/// - Happens: the table is set aside with the code of the reason, at once and without a loop; the others get the same
///   transaction and go on. No row is left out in silence.
/// - Do: mend the cause or choose a policy (`--on-value`), then `segcdc table resync`.
/// # Fault F70
/// One row fails a batch again whenever it is applied.
/// - Happens: as F43: what depends on the row is not tried again. What does not depend on it is tried with growing pauses, 30 s
///   apart in the end.
/// - Do: as F43.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_that_the_target_cannot_hold_quarantines_its_table_only() -> Result<()> {
    let mut stage = Stage::start("quarantine").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    stage.source.execute(DATABASE, "CREATE TABLE day (id int PRIMARY KEY, d date)").await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let source = stage.source().await?;
    source.batch_execute("INSERT INTO day VALUES (1, '2024-02-29')").await?;
    goes_on(&stage, &mut running).await?;
    ensure!(stage.target_count("day").await? == 1, "the first row of day is not there");
    // The bad value comes in one transaction with good rows of other tables.
    source
        .batch_execute(
            "BEGIN; INSERT INTO entry SELECT max(v) + 1 FROM entry; INSERT INTO day VALUES (2, 'infinity'); COMMIT",
        )
        .await?;
    let phase = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [source_name] = N'day' \
                 AND [phase] = N'QUARANTINED' AND [error_code] = N'VALUE_UNREPRESENTABLE'";
    let quarantined = || async { (stage.target_number(phase).await.ok()? == 1).then_some(()) };
    running.until("day is quarantined", PATIENCE, quarantined).await?;
    source.batch_execute("INSERT INTO day VALUES (3, '2024-03-01')").await?;
    goes_on(&stage, &mut running).await?;
    ensure!(stage.target_count("day").await? == 1, "a quarantined table was written");
    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    for word in ["DEGRADED", "QUARANTINED", "VALUE_UNREPRESENTABLE"] {
        ensure!(status.stdout.contains(word), "status does not say {word}: {status}");
    }
    ends_well(&stage, running).await
}

/// Waits until a batch waits in the target for a lock that another session holds.
async fn batch_waits(stage: &Stage, running: &mut Running) -> Result<()> {
    let back_door = stage.back_door("postgres").await?;
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
    let waits = || async { back_door.query_one(waits, &[]).await.ok()?.get::<_, bool>(0).then_some(()) };
    running.until("the batch waits in the target", PATIENCE, waits).await
}

/// The target by another address, unencrypted so that what is on the way can read it.
fn target_url_by(stage: &Stage, host: &str, port: u16) -> String {
    let target = &stage.target;
    format!(
        "sqlserver://{}:{}@{host}:{port}/{}?encrypt=false&trust_server_certificate=true&schema={}",
        target.user,
        target.password.expose(),
        target.database,
        target.default_schema
    )
}

/// Waits for a process that must end by itself.
async fn ends_by_itself(running: Running) -> Result<Finished> {
    running.wait(COMMAND_LIMIT).await
}

/// # Fault F48
/// Somebody else changes replicated rows in the target.
/// - Happens: the first batch that touches such a row finds another count of rows than it must, is rolled back, and the pipeline
///   stops as `TARGET_DIVERGED`. Rows that no batch touches are found by `segcdc verify`.
/// - Do: `segcdc verify` shows the rows; `segcdc table resync` copies the table again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_write_stops_the_pipeline_at_the_first_row_count() -> Result<()> {
    let (mut stage, mut running) = live("foreign_write", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    let delete = format!("DELETE FROM {} WHERE [id] = 7", stage.target_table("item"));
    stage.target().await?.batch(&delete).await?;
    let before = held(&stage).await?;
    stage.source.execute(DATABASE, "UPDATE item SET v = 'new' WHERE id IN (6, 7, 8)").await?;
    let ended = ends_by_itself(running).await?;
    ensure_failed(&ended, &["TARGET_DIVERGED"])?;
    let new = format!("SELECT COUNT(*) FROM {} WHERE [v] = N'new'", stage.target_table("item"));
    ensure!(stage.target_number(&new).await? == 0, "a part of the batch was written");
    ensure!(held(&stage).await? == before, "it wrote after TARGET_DIVERGED");
    refuses(&mut stage, "TARGET_DIVERGED").await
}
