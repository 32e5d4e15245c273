//! Two processes that want the same pipeline.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use segcdc_testkit::PostgresOptions;

use super::super::stage::{DATABASE, PATIENCE};
use super::{ADD, ends_by_itself, ends_well, ensure_failed, goes_on, live};

/// # Fault F61
/// Two processes run one pipeline.
/// - Happens: the second takes over; the next batch of the first meets the fence, and it ends as `FENCED`, with nothing written
///   and without trying again.
/// - Do: run one. Which one it was stands in the target's `segcdc.pipeline`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_process_takes_over_and_the_first_ends_fenced() -> Result<()> {
    let (mut stage, mut first) = live("second_process", PostgresOptions::default()).await?;
    goes_on(&stage, &mut first).await?;
    let epoch = stage.state().await?.context("state")?.epoch;
    // The first one is stopped in the middle of its work, as a machine that hangs is.
    first.signal(Signal::STOP)?;
    let mut second = stage.product.up()?;
    let taken = || async { (stage.state().await.ok()??.epoch > epoch).then_some(()) };
    second.until("the pipeline is taken over", PATIENCE, taken).await?;
    first.signal(Signal::CONT)?;
    stage.source.execute(DATABASE, ADD).await?;
    let ended = ends_by_itself(first).await?;
    ensure_failed(&ended, &["FENCED"])?;
    goes_on(&stage, &mut second).await?;
    let after = stage.state().await?.context("state")?.epoch;
    ensure!(after == epoch + 1, "the epoch went from {epoch} to {after}: somebody took it back");
    ends_well(&stage, second).await
}
