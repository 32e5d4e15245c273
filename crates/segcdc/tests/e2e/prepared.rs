//! Two-phase commit at the source: what is prepared takes effect when it is committed, whatever dies in between.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use segcdc_testkit::{PostgresOptions, StopMode};

use super::product::COMMAND_LIMIT;
use super::stage::{DATABASE, PATIENCE, Stage};

/// Rows of the prepared transaction that is too large for the source's memory: it is sent while it runs.
const LARGE: i32 = 20_000;

/// Prepares three transactions: a small one, a large one, and one that is never committed.
async fn prepare(stage: &Stage) -> Result<()> {
    let transactions = [
        (
            "small",
            "INSERT INTO t VALUES (10, 'small'); UPDATE t SET note = 'prepared' WHERE id = 1".to_owned(),
        ),
        (
            "large",
            format!("INSERT INTO t SELECT 1000 + i, repeat('x', 50) FROM generate_series(1, {LARGE}) i"),
        ),
        ("undone", "INSERT INTO t VALUES (20, 'undone'); DELETE FROM t WHERE id = 2".to_owned()),
    ];
    for (name, sql) in transactions {
        let client = stage.source().await?;
        client.batch_execute(&format!("BEGIN; {sql}; PREPARE TRANSACTION '{name}'")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions_take_effect_when_they_are_committed() -> Result<()> {
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() }
        .setting("max_prepared_transactions", "5")
        .setting("logical_decoding_work_mem", "64kB");
    let mut stage = Stage::start_with("prepared", options).await?;
    let table = "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a'), (2, 'b')";
    stage.source.execute(DATABASE, table).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;

    prepare(&stage).await?;
    // What is committed behind them does not wait for them, and nothing of them is there.
    stage.caught_up(&mut running, "INSERT INTO t VALUES (3, 'behind')").await?;
    let arrived = || async { (stage.target_count("t").await.ok()? == 3).then_some(()) };
    running.until("the row behind them has arrived", PATIENCE, arrived).await?;
    let before = "SELECT COUNT(*) FROM {} WHERE [note] IN (N'small', N'prepared', N'undone')";
    let before = before.replace("{}", &stage.target_table("t"));
    ensure!(stage.target_number(&before).await? == 0, "something took effect before its COMMIT PREPARED");

    // They outlive both: the engine reads all of them again, from where the slot stands.
    running.kill().await?;
    stage.source.stop(StopMode::Immediate)?;
    stage.source.start_server().await?;
    stage.source.execute(DATABASE, "COMMIT PREPARED 'large'").await?;
    let mut running = stage.product.up()?;
    let arrived = || async { (stage.target_count("t").await.ok()? == i64::from(LARGE) + 3).then_some(()) };
    running.until("the large one has arrived", PATIENCE, arrived).await?;
    for end in ["ROLLBACK PREPARED 'undone'", "COMMIT PREPARED 'small'"] {
        stage.source.execute(DATABASE, end).await?;
    }
    stage.caught_up(&mut running, "UPDATE t SET note = 'last' WHERE id = 3").await?;
    let both = "SELECT COUNT(*) FROM {} WHERE [id] = 1 AND [note] = N'prepared' OR [id] = 10 OR [id] = 2 AND [note] = N'b'";
    let both = both.replace("{}", &stage.target_table("t"));
    ensure!(
        stage.target_number(&both).await? == 3,
        "the small one has not taken effect, or what was undone has"
    );
    running.signal(Signal::TERM)?;
    let ended = running.wait(COMMAND_LIMIT).await?;
    ensure!(ended.status.code() == Some(143), "{ended}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    let comparison = stage.compare(&["t"]).await?;
    ensure!(comparison.equal, "{comparison:?}");
    Ok(())
}
