//! Connections that break at the worst moments.

use anyhow::{Context, Result, ensure};
use segcdc_testkit::{Direction, PostgresOptions, Proxy, Rule, Then, When};

use super::super::product::Running;
use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::{ADD, TABLES, TOUCH, ends_well, goes_on, held, target_url_by};

/// Rows of a transaction that is cut in the middle: some hundred kilobytes.
const WIDE: &str = "BEGIN; INSERT INTO item SELECT 1000 + i, repeat('w', 200) FROM generate_series(1, 1500) i; \
                    INSERT INTO entry SELECT max(v) + 1 FROM entry; DELETE FROM item WHERE id > 2400; COMMIT; \
                    DELETE FROM item WHERE id >= 1000";

/// Whether a chunk has the text that commits a batch in it. SQL travels as UTF-16, and a request of this size is
/// written at once.
fn is_commit(chunk: &[u8]) -> bool {
    let text: Vec<u8> = "COMMIT TRANSACTION".encode_utf16().flat_map(u16::to_le_bytes).collect();
    chunk.windows(text.len()).any(|window| window == text)
}

/// A live pipeline whose connections to the target pass a proxy, unencrypted so that the proxy can read them.
async fn through_target_proxy(name: &str) -> Result<(Stage, Running, Proxy)> {
    let mut stage = Stage::start_with(name, PostgresOptions::default()).await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let proxy = Proxy::start(stage.target.port).await?;
    let url = target_url_by(&stage, "127.0.0.1", proxy.port());
    stage.product.set("SEGCDC_TARGET_URL", &url);
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    Ok((stage, running, proxy))
}

/// Adds a row in a transaction on whose way to the target this fault waits; afterwards it is there once.
async fn survives(stage: &Stage, running: &mut Running, proxy: &Proxy, rule: Rule) -> Result<()> {
    let before = held(stage).await?;
    let mut met = proxy.met();
    met.mark_unchanged();
    proxy.arm(rule);
    stage.source.execute(DATABASE, ADD).await?;
    tokio::time::timeout(PATIENCE, met.changed()).await.context("the fault was never met")??;
    goes_on(stage, running).await?;
    let after = held(stage).await?;
    // goes_on adds one row of its own.
    ensure!(after.entries == before.entries + 2, "{before:?} became {after:?}");
    Ok(())
}

/// # Fault F40
/// The connection to the target breaks between COMMIT and its answer.
/// - Happens: the next connection reads the checkpoint by a locking read; the batch is there, or it is applied again. It takes
///   effect once.
/// - Do: nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_whose_answer_is_lost_is_applied_once() -> Result<()> {
    let (stage, mut running, proxy) = through_target_proxy("lost_answer").await?;
    for _ in 0..3 {
        let when = When::Seen(Box::new(is_commit));
        let rule = Rule { direction: Direction::ToServer, when, then: Then::LoseAnswer };
        survives(&stage, &mut running, &proxy, rule).await?;
    }
    ends_well(&stage, running).await
}

/// # Fault F40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_never_arrives_is_applied_once() -> Result<()> {
    let (stage, mut running, proxy) = through_target_proxy("lost_request").await?;
    for _ in 0..3 {
        let when = When::Seen(Box::new(is_commit));
        let rule = Rule { direction: Direction::ToServer, when, then: Then::Reset };
        survives(&stage, &mut running, &proxy, rule).await?;
    }
    ends_well(&stage, running).await
}

/// # Fault F42
/// The target is away, restarts, or breaks connections.
/// - Happens: it tries again with growing pauses; the source keeps its log meanwhile, and `segcdc status` tells how much.
/// - Do: nothing, unless the source runs out of the log that it may keep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_connection_cut_at_any_byte_loses_nothing() -> Result<()> {
    let (stage, mut running, proxy) = through_target_proxy("target_cut").await?;
    // From within the login of the next connection to within its batches.
    for bytes in [10, 100, 400, 1_000, 3_000, 9_000] {
        proxy.arm(Rule { direction: Direction::ToServer, when: When::Bytes(bytes), then: Then::Reset });
        proxy.reset_all();
        goes_on(&stage, &mut running).await.with_context(|| format!("cut after {bytes} bytes"))?;
    }
    proxy.refuse(true);
    proxy.reset_all();
    stage.source.execute(DATABASE, ADD).await?;
    proxy.refuse(false);
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}

/// # Fault F8
/// The connection to the source breaks in the middle of a transaction.
/// - Happens: nothing of it is applied; it connects again and goes on from the checkpoint.
/// - Do: nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_connection_cut_in_a_transaction_loses_nothing() -> Result<()> {
    let mut stage = Stage::start("source_cut").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let proxy = Proxy::start(stage.source.port()).await?;
    let url = format!("postgres://postgres@127.0.0.1:{}/{DATABASE}?sslmode=disable", proxy.port());
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    // The transaction is some 350 kB long: the cuts lie before, in and behind it, on the stream's connection or on
    // whichever comes to so many bytes first.
    for bytes in [20, 300, 5_000, 60_000, 200_000, 300_000] {
        proxy.arm(Rule { direction: Direction::ToClient, when: When::Bytes(bytes), then: Then::Reset });
        proxy.reset_all();
        stage.source.execute(DATABASE, WIDE).await?;
        goes_on(&stage, &mut running).await.with_context(|| format!("cut after {bytes} bytes"))?;
    }
    ensure!(*proxy.met().borrow() >= 5, "only {} cuts were made", *proxy.met().borrow());
    stage.caught_up(&mut running, TOUCH).await?;
    ends_well(&stage, running).await
}
