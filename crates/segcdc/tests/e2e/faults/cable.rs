//! The network between the product and its servers is gone without a word: packets vanish, and no one is told.

use anyhow::{Context, Result, ensure};
use segcdc_testkit::{Network, PostgresOptions, Proxy};

use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::{TABLES, batch_waits, ends_well, goes_on, held, target_url_by};

/// Changes the row that [`HOLD`] keeps from being changed, and adds one that would show if it came twice.
const CHANGE: &str = "BEGIN; UPDATE item SET v = 'changed' WHERE id = 1; \
                      INSERT INTO entry SELECT max(v) + 1 FROM entry; COMMIT";

/// Behind a cable that is pulled while a batch waits in the target. Both servers keep sessions of a client that is gone; that
/// of the target holds the pipeline's row and ends by itself much later, with a COMMIT.
///
/// # Fault F9
/// Packets vanish between SEG CDC and the source, and nothing is refused or reset.
/// - Happens: within a minute the connection is given up, and new ones are tried with growing pauses; a slot that still
///   belongs to the old one is waited for.
/// - Do: nothing. Parameters of the URL, `keepalives_idle` and `tcp_user_timeout`, make it sooner or later.
/// # Fault F52
/// Packets vanish between SEG CDC and the target in the middle of a batch; a session that nobody uses holds locks there.
/// - Happens: within a minute the connection is given up (`COMMIT_UNKNOWN`). A new one waits for the locks, 30 s at a time
///   (`TARGET_LOCK_TIMEOUT`), until the target has ended the old session; then it reads whether the batch was committed.
/// - Do: nothing; ending the old session at the target (`KILL`) makes it sooner.
/// - Not run: locks that an orphaned session of SQL Server holds, and `KILL`.
/// # Fault F51
/// A batch was sent and no answer comes.
/// - Happens: the connection is never used again; the next one reads the checkpoint, and the batch takes effect once.
/// - Do: nothing.
/// - Not run: what SQL Server keeps of a session whose client gave up: the sandbox's sessions are PostgreSQL's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_vanish_in_the_middle_of_a_batch_are_given_up() -> Result<()> {
    let mut stage = Stage::start_with("cable", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip("peers_that_vanish_in_the_middle_of_a_batch_are_given_up").is_none() {
        return Ok(());
    }
    let Some(network) = Network::start()? else {
        eprintln!("skipped: this user may not make a network, so no cable can be pulled");
        return Ok(());
    };
    stage.source.execute(DATABASE, TABLES).await?;
    let (host, servers) = (network.host(), [stage.source.port(), stage.target.port]);
    let source = Proxy::start_at(host, servers[0]).await?;
    let target = Proxy::start_at(host, servers[1]).await?;
    let url = format!("postgres://postgres@{host}:{}/{DATABASE}?sslmode=disable", source.port());
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    let url = target_url_by(&stage, &host.to_string(), target.port());
    stage.product.set("SEGCDC_TARGET_URL", &url);
    stage.product.move_to(network);
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    goes_on(&stage, &mut running).await?;

    let before = held(&stage).await?;
    let mut holder = stage.target().await?;
    let hold =
        format!("BEGIN TRANSACTION; UPDATE {} SET [v] = [v] WHERE [id] = 1", stage.target_table("item"));
    holder.batch(&hold).await?;
    stage.source.execute(DATABASE, CHANGE).await?;
    batch_waits(&stage, &mut running).await?;
    let pull = |out| stage.product.network().context("the network")?.pull(out);
    pull(true)?;
    running.says("COMMIT_UNKNOWN", 1, PATIENCE).await?;
    pull(false)?;
    // The session that nobody uses still waits for the row, and holds the pipeline's.
    running.says("TARGET_LOCK_TIMEOUT", 1, PATIENCE).await?;
    holder.batch("ROLLBACK TRANSACTION").await?;
    goes_on(&stage, &mut running).await?;
    let after = held(&stage).await?;
    ensure!(after.entries == before.entries + 2, "{before:?} became {after:?}");
    ends_well(&stage, running).await
}
