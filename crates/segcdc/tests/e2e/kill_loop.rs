//! Kill anything at any time, and the target is still right.
//!
//! ```text
//! writers --> source ==> segcdc up (killed again and again) ==> sandbox <-- readers: I4 I5 I6 at every commit
//!                |                                                 |
//!                +------- I1: confirmed before applied ------------+-- trigger: I2 I7 for every batch
//! at the end: I8 it catches up, I3 all rows are equal (by us, and by psql and python-tds), nothing is left behind
//! ```
//!
//! Decisions come from one seed, which is printed: `SEGCDC_SEED=7 SEGCDC_KILLS=25` repeats them. What the machine
//! makes of the same times is not repeated, so that every run also tries something new.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use segcdc_testkit::{PostgresOptions, StopMode};

use super::load::Load;
use super::observer::{Audit, Observers, watched};
use super::product::Running;
use super::stage::{DATABASE, PATIENCE, Stage, StateSeen};
use super::workload::{self, TABLES};

/// Kills of a short run.
const SHORT_KILLS: u32 = 25;

/// Rows of the table that makes the copy long enough to be killed in the middle.
const BULK_ROWS: u32 = 40_000;

/// Kills that come while the tables are being copied, as long as they are.
const COPY_KILLS: u32 = 4;

/// Kills after which the product may catch up.
const REST_AFTER: u32 = 50;

/// The table of [`BULK_ROWS`].
const BULK: &str = "bulk";

/// What happens in a round, before the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing else.
    Kill,
    /// The source ends the session that it sends changes by.
    Walsender,
    /// The source crashes and recovers.
    Source,
    /// The target crashes and recovers.
    Target,
}

/// What a run saw, for its closing line.
#[derive(Debug, Default)]
struct Score {
    kills: u32,
    copy_kills: u32,
    walsenders: u32,
    source_crashes: u32,
    target_crashes: u32,
    /// Processes that ended because a server crashed while they looked at it for the first time.
    failed_starts: u32,
    /// Kills after which the source had to send again what it had sent already.
    resent: u32,
    /// Kills while a batch was open in the target.
    open_batches: u32,
}

/// # Fault F60
/// The process is killed at any moment, and so are the servers.
/// - Happens: the next one reads the checkpoint and goes on; nothing is lost, nothing comes twice.
/// - Do: nothing; have a service manager start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_anything_at_any_time() -> Result<()> {
    let seed = number("SEGCDC_SEED").unwrap_or_else(rand::random);
    let kills = number("SEGCDC_KILLS").and_then(|kills| u32::try_from(kills).ok()).unwrap_or(SHORT_KILLS);
    eprintln!("kill loop: SEGCDC_SEED={seed} SEGCDC_KILLS={kills}");
    run(seed, kills).await.with_context(|| format!("SEGCDC_SEED={seed} SEGCDC_KILLS={kills}"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn run(seed: u64, kills: u32) -> Result<()> {
    let begun = Instant::now();
    // Little memory for decoding: transactions are spilled and streamed.
    let options = PostgresOptions::default().setting("logical_decoding_work_mem", "64kB");
    let mut stage = Stage::start_with("kill_loop", options).await?;
    if stage.sandbox_or_skip("the kill loop crashes its target").is_none() {
        return Ok(());
    }
    prepare(&stage).await?;
    let load = Load::start(&stage.source, DATABASE, seed);
    let mut observers = Observers::start(&stage);
    let mut random = StdRng::seed_from_u64(seed);
    let mut score = Score::default();
    let mut audit = None;
    let mut rested = 0;
    while score.kills < kills {
        watched(&mut observers, round(&mut stage, &mut random, &mut score, &mut audit)).await?;
        if score.kills - rested >= REST_AFTER {
            rested = score.kills;
            watched(&mut observers, rest(&mut stage)).await?;
        }
    }
    let mut running = stage.product.up()?;
    watched(&mut observers, stage.live(&mut running)).await?;
    let committed = load.stop().await?;
    watched(&mut observers, stage.caught_up(&mut running, workload::TOUCH)).await?;
    let observed = observers.stop().await?;
    // I3, first while the pipeline runs, then with both sides quiet.
    let verified = stage.product.run(&["verify"]).await?;
    ensure!(verified.status.success(), "verify finds differences: {verified}");
    running.signal(Signal::TERM)?;
    let ended = running.wait(PATIENCE).await?;
    ensure!(ended.status.code() == Some(143), "up did not end as asked: {ended}");
    let tables: Vec<&str> = TABLES.into_iter().chain([BULK]).collect();
    let comparison = stage.compare(&tables).await?;
    ensure!(comparison.equal, "source and target differ: {comparison:#?}");
    let history = audit.context("the state row was never seen")?.history(&stage).await?;
    nothing_is_left(&mut stage).await?;
    eprintln!(
        "kill loop: {score:?}; {committed} transactions, {} batches in {} epochs, {} readings ({} moves), {} looks at \
         the slot; {:?}",
        history.batches(),
        history.takeovers(),
        observed.readings.count(),
        observed.readings.moves(),
        observed.looks,
        begun.elapsed()
    );
    // A loop in which nothing was at stake proves nothing.
    ensure!(score.resent > 0, "no kill came while changes were under way: {score:?}");
    // Of a run of 25 kills more than 10, of a shorter one as many of them: a round may be over after its first batch.
    ensure!(
        observed.readings.moves() * 25 > 10 * u64::from(kills.min(25)),
        "the readers saw a target at rest: {:?}",
        observed.readings
    );
    ensure!(observed.looks > 10, "slot and checkpoint were not compared");
    ensure!(history.batches() > u64::from(kills), "{history:?}");
    Ok(())
}

/// The workload's tables, and one that takes time to copy.
async fn prepare(stage: &Stage) -> Result<()> {
    let source = stage.source().await?;
    workload::create(&source).await?;
    let bulk = format!(
        "CREATE TABLE {BULK} (id int PRIMARY KEY, a text NOT NULL, b bytea, c numeric(12, 3), d timestamptz);
         INSERT INTO {BULK} SELECT i, md5(i::text), decode(md5(i::text), 'hex'), i / 7.0, now() + i * interval '1 s'
           FROM generate_series(1, {BULK_ROWS}) i"
    );
    Ok(source.batch_execute(&bulk).await?)
}

/// Starts the product, lets it work for a while, breaks something perhaps, kills it.
async fn round(
    stage: &mut Stage,
    random: &mut StdRng,
    score: &mut Score,
    audit: &mut Option<Audit>,
) -> Result<()> {
    let in_copy = score.kills < COPY_KILLS;
    // Read before it starts, which may be fast; there is none before the first one.
    let before = stage.state().await.ok().flatten();
    let mut running = stage.product.up()?;
    if in_copy {
        copying(stage, &mut running).await?;
        pass(random.random_range(0..300)).await;
    } else if score.kills == COPY_KILLS {
        stage.live(&mut running).await?;
    } else if random.random_bool(0.7) {
        applying(stage, &mut running, before.context("the pipeline's state")?).await?;
        pass(random.random_range(0..1_000)).await;
    } else {
        pass(random.random_range(50..1_500)).await;
    }
    if audit.is_none() {
        *audit = Audit::install(stage).await?;
    }
    let fault = match random.random_range(0..10) {
        _ if in_copy => Fault::Kill,
        0 => Fault::Walsender,
        1 => Fault::Source,
        2 => Fault::Target,
        _ => Fault::Kill,
    };
    match fault {
        Fault::Kill => {}
        Fault::Walsender => score.walsenders += terminate_walsenders(stage).await?,
        Fault::Source => {
            stage.source.restart(StopMode::Immediate).await?;
            score.source_crashes += 1;
        }
        Fault::Target => {
            let sandbox = stage.sandbox.as_mut().context("the sandbox")?;
            sandbox.kill()?;
            sandbox.start_again().await?;
            score.target_crashes += 1;
        }
    }
    if fault != Fault::Kill {
        pass(random.random_range(0..1_500)).await;
    }
    if fault != Fault::Kill && running.has_ended()? {
        score.failed_starts += 1;
        return gave_up_at_start(running).await;
    }
    running.ensure_runs()?;
    let sent = sent_lsn(stage).await?;
    let open_batch = open_batches(stage).await?;
    running.kill().await?;
    score.kills += 1;
    score.copy_kills += u32::from(in_copy);
    score.open_batches += u32::from(open_batch > 0);
    let applied = stage.state().await.ok().flatten().map_or(0, |state| state.applied_lsn);
    // What had been sent and is not applied has to come again, or the end of the loop finds it missing.
    score.resent += u32::from(sent.is_some_and(|sent| sent > applied));
    Ok(())
}

/// Lets the product catch up with the writers, who do not wait for it: else what it is behind by grows with the kills, and so
/// does everything that is left to the end.
async fn rest(stage: &mut Stage) -> Result<()> {
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.caught_up_within(&mut running, workload::TOUCH, 2 * PATIENCE).await?;
    running.kill().await.map(drop)
}

/// A server that is away when `up` looks at it first is an error of its user's; once it works, it waits.
async fn gave_up_at_start(running: Running) -> Result<()> {
    let ended = running.wait(PATIENCE).await?;
    let worked = ["following", "copying begins"].iter().any(|word| ended.stderr.contains(word));
    ensure!(ended.status.code() == Some(3) && !worked, "up gave up: {ended}");
    Ok(())
}

/// Time that the product is left to work before it is killed: the one thing here that is not a condition, because a
/// kill at any time is what the loop is for.
async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Waits until tables are being copied, or have been.
async fn copying(stage: &Stage, running: &mut Running) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [phase] <> N'QUEUED'";
    running
        .until("tables are being copied", PATIENCE, || async {
            (stage.target_number(sql).await.ok()? > 0).then_some(())
        })
        .await
}

/// Waits until the new process has applied a batch; `before` is the state that it found.
async fn applying(stage: &Stage, running: &mut Running, before: StateSeen) -> Result<()> {
    running
        .until("a batch is applied", PATIENCE, || async {
            let now = stage.state().await.ok()??;
            (now.epoch > before.epoch && now.batch_seq > before.batch_seq).then_some(())
        })
        .await
}

/// Ends all walsenders; returns how many there were.
async fn terminate_walsenders(stage: &Stage) -> Result<u32> {
    let sql = "SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_replication";
    let count: i32 = stage.source().await?.query_one(sql, &[]).await?.get(0);
    Ok(u32::try_from(count)?)
}

/// How far the source has sent changes; `None` when nobody takes them.
async fn sent_lsn(stage: &Stage) -> Result<Option<u64>> {
    let sql = "SELECT max(sent_lsn - '0/0')::bigint FROM pg_stat_replication";
    let lsn: Option<i64> = stage.source().await?.query_one(sql, &[]).await?.get(0);
    Ok(lsn.and_then(|lsn| u64::try_from(lsn).ok()))
}

/// Transactions that are open in the sandbox with something written.
async fn open_batches(stage: &Stage) -> Result<i64> {
    let client = stage.back_door("postgres").await?;
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// I8: `down --drop` leaves no slot, no publication and no state, and the SQL that it prints removes the tables.
async fn nothing_is_left(stage: &mut Stage) -> Result<()> {
    stage.remove().await?;
    let slots = stage.slots().await?;
    ensure!(slots.is_empty(), "slots are left: {slots:?}");
    let publications: i64 =
        stage.source().await?.query_one("SELECT count(*) FROM pg_publication", &[]).await?.get(0);
    ensure!(publications == 0, "a publication is left");
    let sql = format!(
        "SELECT COUNT(*) FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         WHERE s.name = N'{}' OR s.name = N'segcdc'",
        stage.target.default_schema
    );
    let tables = stage.target_number(&sql).await?;
    ensure!(tables == 0, "{tables} tables are left in the target");
    Ok(())
}
