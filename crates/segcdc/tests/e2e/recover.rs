//! `up --recover`: a slot that is lost, and a target that was restored, without loading everything again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::independent;
use super::stage::{DATABASE, Stage};

/// Rows of the large table.
const ROWS: u64 = 40_000;

/// Runs `up` until it has caught up; returns the rows and bytes that its copy wrote, and how long it took.
async fn up(stage: &mut Stage, how: &str) -> Result<(u64, u64, Duration)> {
    let begun = Instant::now();
    let finished =
        stage.product.succeed(&["up", "--yes", "--until-caught-up", "--recover", how, "-o", "json"]).await?;
    let elapsed = begun.elapsed();
    ensure!(finished.stdout.contains("COPIED_AGAIN"), "what is done to the tables is said: {finished}");
    let last = finished.stdout.lines().last().context("no summary")?;
    let summary: Value = serde_json::from_str(last).with_context(|| last.to_owned())?;
    let copied = |what: &str| summary["copied"][what].as_u64().with_context(|| summary.to_string());
    Ok((copied("rows")?, copied("bytes")?, elapsed))
}

/// Drops the pipeline's slot, as somebody might.
async fn lose_slot(stage: &Stage) -> Result<()> {
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    stage.source.execute(DATABASE, drop).await
}

/// `up` stops with a code.
async fn ensure_stops(stage: &mut Stage, code: &str) -> Result<()> {
    let stopped = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(!stopped.status.success() && stopped.stderr.contains(code), "{stopped}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_costs_what_differs() -> Result<()> {
    let mut stage = Stage::start("recover").await?;
    let create = format!(
        "CREATE TABLE large (id int PRIMARY KEY, part text NOT NULL, v text, at timestamptz);
         INSERT INTO large SELECT i, 'p' || i % 7, repeat(md5(i::text), 4), '2024-01-01Z' FROM generate_series(1, {ROWS}) i;
         CREATE TABLE bag (v text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES ('a'), ('a'), ('b');
         CREATE TABLE price (id int PRIMARY KEY, n numeric); INSERT INTO price VALUES (1, 'NaN'), (2, 2)"
    );
    stage.source.execute(DATABASE, &create).await?;
    let rule = ["--on-value", "public.price.n=set_aside"];
    stage.product.succeed(&["up", "--yes", "--until-caught-up", rule[0], rule[1]]).await?;
    lose_slot(&stage).await?;
    // Nobody has a stream of these any more.
    let lost = "UPDATE large SET v = v || 'x' WHERE id % 4000 = 1; DELETE FROM large WHERE id BETWEEN 100 AND 109;
        INSERT INTO large SELECT i, 'new', NULL, now() FROM generate_series(100001, 100015) i;
        UPDATE large SET id = 200000 WHERE id = 7; DELETE FROM bag WHERE v = 'b'; UPDATE price SET n = 3 WHERE id = 2";
    stage.source.execute(DATABASE, lost).await?;
    let large = stage.target_table("large");
    let planted = [(format!("UPDATE {large} SET [v] = [v] + N' ' WHERE [id] = 8"), 1)];
    independent::plant(&stage.target, &planted).await?;
    ensure_stops(&mut stage, "SLOT_MISSING").await?;

    let (rows, bytes, repair) = up(&mut stage, "repair").await?;
    // What differs of the large table, and what is copied as a whole: the bag, and of the table with a policy what fits.
    let differing = 10 + 10 + 15 + 2 + 1;
    ensure!(rows == differing + 2 + 1, "{rows} rows were written");
    let equal = stage.compare(&["large", "bag"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    let letters = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL";
    ensure!(stage.target_number(letters).await? == 1, "the row that does not fit is set aside again");

    // The new slot goes on.
    let more = "UPDATE large SET part = 'later' WHERE id % 1000 = 1; DELETE FROM large WHERE id = 200000;
        INSERT INTO large VALUES (100, 'again', NULL, NULL)";
    stage.source.execute(DATABASE, more).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let equal = stage.compare(&["large", "bag"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);

    // The same loss, with everything loaded again.
    lose_slot(&stage).await?;
    stage.source.execute(DATABASE, "UPDATE large SET v = 'y' WHERE id % 4000 = 1").await?;
    let (all_rows, all_bytes, copy) = up(&mut stage, "copy").await?;
    let equal = stage.compare(&["large", "bag"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    ensure!(all_rows >= ROWS && rows * 100 < all_rows, "{rows} of {all_rows}");
    println!(
        "of {ROWS} rows {differing} differ: repair wrote {rows} rows, {bytes} bytes in {repair:?}; \
         loading wrote {all_rows} rows, {all_bytes} bytes in {copy:?}: {} times the rows, {} times the bytes",
        all_rows / rows,
        all_bytes / bytes.max(1)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_target_is_repaired() -> Result<()> {
    let mut stage = Stage::start("recover_restored").await?;
    let create = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 500) i";
    stage.source.execute(DATABASE, create).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let before = stage.state().await?.context("the state")?;
    let changes =
        "UPDATE t SET v = 'w' WHERE id <= 5; DELETE FROM t WHERE id = 6; INSERT INTO t VALUES (501, 'new')";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    // As a backup of the target from before would have it.
    let table = stage.target_table("t");
    let restored = [
        (format!("UPDATE {table} SET [v] = N'v' WHERE [id] <= 5"), 5),
        (format!("INSERT INTO {table} ([id], [v]) VALUES (6, N'v')"), 1),
        (format!("DELETE FROM {table} WHERE [id] = 501"), 1),
        (
            format!(
                "UPDATE [segcdc].[pipeline] SET [applied_lsn] = {}, [batch_seq] = {}, [epoch] = {}",
                before.applied_lsn, before.batch_seq, before.epoch
            ),
            1,
        ),
    ];
    independent::plant(&stage.target, &restored).await?;
    ensure_stops(&mut stage, "SLOT_AHEAD_OF_CHECKPOINT").await?;
    let (rows, ..) = up(&mut stage, "repair").await?;
    ensure!(rows == 7, "{rows} rows were written");
    let equal = stage.compare(&["t"]).await?;
    ensure!(equal.equal, "{equal:#?}");

    // A row that somebody removed halts the pipeline when the source changes it; a resync that compares mends the table.
    independent::plant(&stage.target, &[(format!("DELETE FROM {table} WHERE [id] IN (10, 11)"), 2)]).await?;
    stage.source.execute(DATABASE, "UPDATE t SET v = 'x' WHERE id BETWEEN 10 AND 12").await?;
    ensure_stops(&mut stage, "TARGET_DIVERGED").await?;
    stage.product.succeed(&["table", "resync", "--tables", "public.t", "--yes"]).await?;
    let (rows, ..) = up(&mut stage, "repair").await?;
    ensure!(rows == 3, "{rows} rows were written");
    let equal = stage.compare(&["t"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    ensure!(stage.slots().await?.len() == 1, "{:?}", stage.slots().await?);
    Ok(())
}
