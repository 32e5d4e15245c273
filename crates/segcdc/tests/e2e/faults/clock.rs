//! The clock of the machine on which the product runs is wrong.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresOptions;

use super::super::stage::DATABASE;
use super::{ADD, ends_well, goes_on, live, stop};

/// Longest lag, in ms, of a pipeline that has caught up on a slow machine; far below the error of the clock.
const LAG_MS: u64 = 600_000;

/// libfaketime, which tells a process another time; `None`, and said so, where it is not installed.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: libfaketime is not installed");
    }
    found
}

/// # Fault F62
/// The clock where SEG CDC runs is wrong by a day, or jumps.
/// - Happens: nothing. What is decided is decided by LSNs; lag is the difference of two readings of the source's clock.
/// - Do: nothing; times in its log are wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_clock_changes_nothing() -> Result<()> {
    let Some(library) = faketime() else { return Ok(()) };
    let (mut stage, mut running) = live("clock", PostgresOptions::default()).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    stage.product.set("LD_PRELOAD", library.to_str().context("a path in UTF-8")?);
    stage.product.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    for (round, wrong) in ["+1d", "-1d", "+30y"].into_iter().enumerate() {
        stage.product.set("FAKETIME", wrong);
        let mut running = stage.product.up()?;
        goes_on(&stage, &mut running).await.with_context(|| format!("{wrong}, round {round}"))?;
        stage.source.execute(DATABASE, ADD).await?;
        goes_on(&stage, &mut running).await?;
        let status = stage.product.succeed(&["status", "-o", "json"]).await?;
        let report: serde_json::Value = serde_json::from_str(&status.stdout)?;
        let lag = report["lag_ms"].as_u64().with_context(|| format!("no lag: {status}"))?;
        ensure!(lag < LAG_MS, "{wrong}: a lag of {lag} ms: {status}");
        stop(running).await?;
    }
    let mut running = stage.product.up()?;
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}
