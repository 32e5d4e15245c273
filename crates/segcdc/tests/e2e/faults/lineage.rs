//! Slot, publication, source or target are not what the checkpoint speaks of: the pipeline stops with a named error
//! before another write.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::{PostgresCluster, PostgresOptions, Sandbox, SandboxOptions, StopMode};

use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::{ADD, TOUCH, ends_by_itself, ensure_failed, goes_on, held, live, refuses, stop};

/// Name of the pipeline's slot.
async fn slot(stage: &Stage) -> Result<String> {
    Ok(stage.state().await?.context("the pipeline's state")?.slot)
}

/// # Fault F4
/// The slot is gone, or was dropped and made again.
/// - Happens: the pipeline stops as `SLOT_MISSING` or `SLOT_AHEAD_OF_CHECKPOINT`. No slot is made under an old checkpoint.
/// - Do: `segcdc down --drop`, then `segcdc up`, which copies all tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_slot_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("slot_dropped", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    // While it runs: the walsender is ended and the slot dropped before the process can take it again.
    let slot = slot(&stage).await?;
    let drop = format!(
        "DO $$ BEGIN
           PERFORM pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '{slot}';
           PERFORM pg_drop_replication_slot('{slot}');
         END $$"
    );
    let source = stage.source().await?;
    let dropped = || async { source.batch_execute(&drop).await.ok() };
    running.until("the slot is dropped", PATIENCE, dropped).await?;
    source.batch_execute(ADD).await?;
    let ended = ends_by_itself(running).await?;
    ensure_failed(&ended, &["SLOT_MISSING"])?;
    refuses(&mut stage, "SLOT_MISSING").await?;
    ensure!(stage.slots().await?.is_empty(), "a slot was made under an old checkpoint");
    Ok(())
}

/// # Fault F4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_made_again_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("slot_again", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    let slot = slot(&stage).await?;
    let source = stage.source().await?;
    source.execute("SELECT pg_drop_replication_slot($1)", &[&slot]).await?;
    // A change that only the old slot would have sent.
    source.batch_execute(ADD).await?;
    source.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await?;
    source.batch_execute(ADD).await?;
    refuses(&mut stage, "SLOT_AHEAD_OF_CHECKPOINT").await
}

/// # Fault F5
/// The source has removed log that the slot still needs (`wal_status` is `lost`).
/// - Happens: `segcdc status` and `segcdc slot` warn before, with a forecast. Then the pipeline stops as `SLOT_LOST`.
/// - Do: `segcdc down --drop`, then `segcdc up`; raise `max_slot_wal_keep_size` before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_that_lost_its_log_stops_the_pipeline() -> Result<()> {
    let options = PostgresOptions::default().setting("max_slot_wal_keep_size", "1MB");
    let (mut stage, mut running) = live("slot_lost", options).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    let source = stage.source().await?;
    let lost = || async {
        source.batch_execute(ADD).await.ok()?;
        source.batch_execute("SELECT pg_switch_wal()").await.ok()?;
        source.batch_execute("CHECKPOINT").await.ok()?;
        let status = source.query_one("SELECT wal_status FROM pg_replication_slots", &[]).await.ok()?;
        (status.get::<_, Option<&str>>(0) == Some("lost")).then_some(())
    };
    segcdc_testkit::until("the slot has lost its log", PATIENCE, lost).await?;
    refuses(&mut stage, "SLOT_LOST").await
}

/// # Fault F18
/// The publication is dropped. From PostgreSQL 18 on, the server says nothing and leaves changes out.
/// - Happens: the pipeline stops as `PUBLICATION_MISSING`; one that was made again is told by its OID, `PUBLICATION_CHANGED`.
/// - Do: `segcdc down --drop`, then `segcdc up`: what was changed in between is not in the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_publication_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("publication", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    let source = stage.source().await?;
    let publication: String = source.query_one("SELECT pubname::text FROM pg_publication", &[]).await?.get(0);
    source.batch_execute(&format!("DROP PUBLICATION {publication}")).await?;
    let before = held(&stage).await?;
    source.batch_execute(ADD).await?;
    let ended = ends_by_itself(running).await?;
    ensure_failed(&ended, &["PUBLICATION_MISSING"])?;
    let after = held(&stage).await?;
    ensure!(
        (before.items, before.entries) == (after.items, after.entries),
        "rows of a dropped publication were written: {before:?}, {after:?}"
    );
    refuses(&mut stage, "PUBLICATION_MISSING").await?;
    // Making it again does not heal: what was changed in between would be missing.
    source.batch_execute(&format!("CREATE PUBLICATION {publication} FOR TABLE item, entry")).await?;
    refuses(&mut stage, "PUBLICATION_CHANGED").await
}

/// Copies a directory with all that belongs to it.
fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::remove_dir_all(to).ok();
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "could not copy {} to {}", from.display(), to.display());
    Ok(())
}

/// A directory in which servers of other users may work.
fn open_dir() -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::Builder::new().prefix("segcdc-e2e-").tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// # Fault F30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewound_source_stops_the_pipeline() -> Result<()> {
    let dir = open_dir()?;
    let (data, saved) = (dir.path().join("data"), dir.path().join("saved"));
    let options = PostgresOptions { data_dir: Some(data.clone()), ..PostgresOptions::default() };
    let (mut stage, mut running) = live("source_rewound", options).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    stage.source.stop(StopMode::Fast)?;
    copy_dir(&data, &saved)?;
    stage.source.start_server().await?;
    let mut running = stage.product.up()?;
    let wide = "INSERT INTO item SELECT 5000 + i, repeat('x', 500) FROM generate_series(1, 2000) i";
    stage.source.execute(DATABASE, wide).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    stage.source.stop(StopMode::Fast)?;
    copy_dir(&saved, &data)?;
    stage.source.start_server().await?;
    stage.source.execute(DATABASE, ADD).await?;
    refuses(&mut stage, "SOURCE_REWOUND").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_source_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("other_source", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    let other =
        PostgresCluster::start(PostgresOptions { own_identity: true, ..PostgresOptions::default() }).await?;
    other.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
    other.execute(DATABASE, super::TABLES).await?;
    stage.product.set("SEGCDC_SOURCE_URL", &other.url(DATABASE));
    refuses(&mut stage, "SOURCE_IDENTITY_MISMATCH").await
}

/// # Fault F46
/// The target was restored from a backup, or fails over to a replica that lacks the last batches.
/// - Happens: the slot has already let go of changes that the target now lacks: `SLOT_AHEAD_OF_CHECKPOINT`, and nothing is written.
/// - Do: `segcdc down --drop`, then `segcdc up`.
/// - Not run: a failover of an availability group to a replica that is behind; the checkpoint is set back by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewound_target_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("target_rewound", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip("rewound_target_stops_the_pipeline").is_none() {
        return Ok(());
    }
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    let old = stage.state().await?.context("state")?;
    let dir = open_dir()?;
    let saved = dir.path().join("saved");
    let sandbox = stage.sandbox.as_mut().context("the sandbox")?;
    let data = sandbox.data_dir().to_owned();
    sandbox.stop()?;
    copy_dir(&data, &saved)?;
    sandbox.start_again().await?;
    let mut running = stage.product.up()?;
    goes_on(&stage, &mut running).await?;
    stage.caught_up(&mut running, TOUCH).await?;
    let source = stage.source().await?;
    let acknowledged = || async {
        let sql =
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = $1";
        let lsn: i64 = source.query_one(sql, &[&old.slot]).await.ok()?.get(0);
        (u64::try_from(lsn).ok()? > old.applied_lsn).then_some(())
    };
    running.until("the changes are acknowledged", PATIENCE, acknowledged).await?;
    stop(running).await?;
    let sandbox = stage.sandbox.as_mut().context("the sandbox")?;
    sandbox.stop()?;
    copy_dir(&saved, &data)?;
    sandbox.start_again().await?;
    refuses(&mut stage, "SLOT_AHEAD_OF_CHECKPOINT").await
}

/// Two sandboxes never share anything: what is in one is not in the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_target_is_a_new_pipeline_that_finds_its_slot_taken() -> Result<()> {
    let (mut stage, mut running) = live("other_target", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip("other_target_is_a_new_pipeline_that_finds_its_slot_taken").is_none() {
        return Ok(());
    }
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    let other = Sandbox::start(SandboxOptions::default()).await?;
    stage.product.set("SEGCDC_TARGET_URL", other.url());
    let ended = stage.product.run(&["up", "--yes"]).await?;
    ensure_failed(&ended, &["SLOT_EXISTS", "PUBLICATION_EXISTS", "PREFLIGHT_FAILED"])
}
