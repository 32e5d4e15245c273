//! Death at every named point of the engine, and what the next process makes of it.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};

use super::stage::{DATABASE, PATIENCE, Stage};

/// The signal of `abort`.
const ABORTED: i32 = 6;

/// Names a point for the process to die at.
const VARIABLE: &str = "SEGCDC_FAILPOINT";

/// The engine's list: every word in it must be died at.
const SOURCE: &str = include_str!("../../../engine-native/src/failpoint.rs");

/// Points that a new pipeline passes.
const SETUP: [&str; 11] = [
    "after_state_row",
    "after_table_rows",
    "after_publication",
    "after_target_tables",
    "after_slot",
    "after_lineage",
    "after_copy_begun",
    "mid_copy",
    "after_copy_before_key",
    "before_mark_streaming",
    "after_table_finished",
];

/// Points that are passed while changes are followed.
const STREAM: [&str; 5] =
    ["before_apply", "after_commit_before_ack", "after_ack", "before_idle_advance", "after_idle_advance"];

/// The point that is passed between two parts of a transaction that is too large for memory.
const PARTS: &str = "between_parts";

/// Such a transaction: some 25 MB, so that it has more than two parts.
const MUCH: &str = "BEGIN; UPDATE item SET id = -id WHERE id < 100; \
                    INSERT INTO item SELECT 1000000 + i, repeat('y', 500) FROM generate_series(1, 40000) i; \
                    UPDATE item SET id = -id, v = 'back' WHERE id < 0; COMMIT";

/// Another one, of which a half would show in a table without a key too.
const MUCH_MORE: &str = "BEGIN; INSERT INTO entry SELECT i % 7, 'much' FROM generate_series(1, 3000) i; \
                         UPDATE item SET id = -id WHERE id < 100; SAVEPOINT undone; \
                         INSERT INTO item SELECT 3000000 + i, 'undone' FROM generate_series(1, 2000) i; ROLLBACK TO undone; \
                         INSERT INTO item SELECT 2000000 + i, repeat('y', 500) FROM generate_series(1, 40000) i; \
                         UPDATE item SET id = -id, v = 'back' WHERE id < 0; DELETE FROM entry WHERE w = 'much' AND v = 3; COMMIT";

/// Points that are passed when a target table follows a change of its source table, and one that is passed then too.
const ALTER: [&str; 2] = ["before_alter", "after_alter"];
const ALTERED: &str = "after_commit_before_ack";

/// Points that are passed when a table is set aside.
const QUARANTINE: [&str; 2] = ["before_quarantine", "after_quarantine"];

/// The point that is passed when a part of a refused batch is tried, and points behind the search.
const TRIAL: &str = "in_trial";
const SEARCHED: [&str; 3] = ["in_trial:3", "before_apply:2", "after_commit_before_ack"];

/// The point that is passed when a set-up was interrupted behind [`SLOT_MADE`].
const SLOT_DROPPED: &str = "after_slot_dropped";
const SLOT_MADE: &str = "after_slot";

/// Points that are passed when a table is to be copied again.
const RESYNC: [&str; 2] = ["before_resync_stored", "after_resync_stored"];

/// The point that is passed when a slot is given up: the target knows, the slot is still there.
const GIVEN_UP: &str = "after_given_up";

const TABLES: &str = "
    CREATE TABLE item (id int PRIMARY KEY, v text NOT NULL);
    CREATE TABLE entry (v int NOT NULL, w text);
    ALTER TABLE entry REPLICA IDENTITY FULL;
    CREATE TABLE day (id int PRIMARY KEY, d date);
    CREATE TABLE price (id int PRIMARY KEY, n numeric, at timestamptz);
    INSERT INTO price SELECT i, CASE WHEN i % 10 = 0 THEN 'NaN'::numeric ELSE i END, CASE WHEN i % 3 = 0 THEN 'infinity'::timestamptz
        ELSE '2024-01-01 00:00:00+00' END FROM generate_series(1, 60) i;
    INSERT INTO item SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i;
    INSERT INTO entry SELECT i % 7, 'w' FROM generate_series(1, 500) i;";

const ADD: &str = "BEGIN; INSERT INTO item SELECT max(id) + 1, 'added' FROM item; \
                   INSERT INTO entry SELECT max(v) + 1 FROM entry; DELETE FROM item WHERE id = 5; \
                   INSERT INTO price SELECT max(id) + 1, 'NaN', 'infinity' FROM price; \
                   INSERT INTO price SELECT max(id) + 1, 1, 'infinity' FROM price; COMMIT";

/// What becomes of the values of `price`.
const RULES: &str = "public.price.n=set_aside,public.price.at=clamp";

/// The words of the engine's list.
fn all_points() -> BTreeSet<&'static str> {
    let words = SOURCE.lines().filter_map(|line| line.trim().strip_prefix("Failpoint::"));
    words.filter_map(|line| line.split_once("=> \"")?.1.split('"').next()).collect()
}

/// Runs `up` with a point to die at, and makes changes until it has died there.
async fn dies_at(stage: &mut Stage, point: &str, change: Option<&str>) -> Result<()> {
    stage.product.set(VARIABLE, point);
    let mut running = stage.product.up()?;
    if let Some(change) = change {
        running.until("the pipeline runs", PATIENCE, async || live(stage).await).await.ok();
        stage.source.execute(DATABASE, change).await?;
    }
    let ended = running.wait(PATIENCE).await.with_context(|| format!("it never came to {point}"))?;
    stage.product.set(VARIABLE, "");
    ensure!(ended.status.signal() == Some(ABORTED), "it did not die at {point}: {ended}");
    Ok(())
}

async fn live(stage: &Stage) -> Option<()> {
    (stage.target_number(&super::stage::live_sql(&stage.name)).await.ok()? == 1).then_some(())
}

/// The next process makes it right.
async fn recovers(stage: &mut Stage, point: &str) -> Result<()> {
    stage.source.execute(DATABASE, ADD).await?;
    let context = || format!("after dying at {point}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await.with_context(context)?;
    let comparison = stage.compare(&["item", "entry"]).await?;
    ensure!(comparison.equal, "{}: {comparison:#?}", context());
    policies_are_exact(stage).await.with_context(context)
}

/// Each row that does not fit has its letter, and each value that was replaced is counted once: no row is ever updated.
async fn policies_are_exact(stage: &Stage) -> Result<()> {
    let source = stage.source().await?;
    let count = async |condition: &str| -> Result<i64> {
        Ok(source.query_one(&format!("SELECT count(*) FROM price WHERE {condition}"), &[]).await?.get(0))
    };
    let (bad, replaced) = (count("n = 'NaN'").await?, count("n <> 'NaN' AND at = 'infinity'").await?);
    let uses = |policy| format!("SELECT [uses] FROM [segcdc].[policy_use] WHERE [policy] = N'{policy}'");
    let open = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL";
    assert_eq!(stage.target_number(open).await?, bad, "open letters");
    assert_eq!(stage.target_number(&uses("set_aside")).await?, bad, "rows set aside");
    assert_eq!(stage.target_number(&uses("clamp")).await?, replaced, "values replaced");
    assert_eq!(stage.target_count("price").await?, count("n <> 'NaN'").await?, "rows");
    Ok(())
}

/// # Fault F60
#[test]
fn every_point_of_the_engine_is_died_at() {
    let single = [SLOT_DROPPED, GIVEN_UP, PARTS, TRIAL];
    let single = single.into_iter().chain(super::tables_online::POINTS.map(|(point, _)| point));
    let ours: BTreeSet<&str> =
        SETUP.into_iter().chain(STREAM).chain(ALTER).chain(QUARANTINE).chain(single).chain(RESYNC).collect();
    assert_eq!(all_points(), ours);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_while_setting_up_is_recovered_from() -> Result<()> {
    let mut stage = Stage::start("die_in_setup").await?;
    stage.product.set("SEGCDC_ON_VALUE", RULES);
    stage.source.execute(DATABASE, TABLES).await?;
    for point in SETUP {
        dies_at(&mut stage, point, None).await?;
        if point == SLOT_MADE {
            dies_at(&mut stage, SLOT_DROPPED, None).await?;
        }
        recovers(&mut stage, point).await?;
        stage.remove().await?;
        ensure!(stage.slots().await?.is_empty(), "a slot is left after dying at {point}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_while_following_is_recovered_from() -> Result<()> {
    let mut stage = Stage::start("die_in_stream").await?;
    stage.product.set("SEGCDC_ON_VALUE", RULES);
    stage.source.execute(DATABASE, TABLES).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    for point in STREAM {
        dies_at(&mut stage, point, Some(ADD)).await?;
        recovers(&mut stage, point).await?;
    }
    for (id, point) in QUARANTINE.iter().enumerate() {
        let bad = format!("INSERT INTO day VALUES ({id}, 'infinity')");
        dies_at(&mut stage, point, Some(&bad)).await?;
        recovers(&mut stage, point).await?;
        let quarantined = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [phase] = N'QUARANTINED'";
        ensure!(
            stage.target_number(quarantined).await? == 1,
            "day is not quarantined after dying at {point}"
        );
        // A fresh pipeline for the next point.
        stage.remove().await?;
        stage.source.execute(DATABASE, "DELETE FROM day").await?;
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    }
    for (number, point) in ALTER.into_iter().chain([ALTERED]).enumerate() {
        let column = format!("added_{number}");
        let change = format!(
            "BEGIN; INSERT INTO item (id, v) SELECT max(id) + 1, 'before' FROM item; \
             ALTER TABLE item ADD COLUMN {column} text NOT NULL DEFAULT 'was there'; \
             INSERT INTO item (id, v, {column}) SELECT max(id) + 1, 'behind', 'new' FROM item; \
             ALTER TABLE item RENAME COLUMN {column} TO re{column}; UPDATE item SET re{column} = 'renamed' WHERE v = 'behind'; COMMIT"
        );
        dies_at(&mut stage, point, Some(&change)).await?;
        let there = format!("SELECT COUNT(*) FROM sys.columns WHERE [name] = N're{column}'");
        let wanted = i64::from(point == ALTERED);
        ensure!(stage.target_number(&there).await? == wanted, "the column, after dying at {point}");
        recovers(&mut stage, point).await?;
        let recorded = "SELECT COUNT(*) FROM [segcdc].[schema_change]";
        ensure!(
            stage.target_number(recorded).await? == 2 * (i64::try_from(number)? + 1),
            "changes after {point}"
        );
    }
    let before = stage.target_count("item").await?;
    dies_at(&mut stage, &format!("{PARTS}:2"), Some(MUCH)).await?;
    ensure!(stage.target_count("item").await? == before, "a part of a transaction is in the target");
    recovers(&mut stage, PARTS).await?;
    ensure!(stage.target_count("item").await? >= before + 40_000, "not all of the transaction is there");
    dies_inside(&mut stage).await
}

/// Dies twice between parts that are committed, each time the next process goes on behind them: as it was, and in one
/// target transaction.
async fn dies_inside(stage: &mut Stage) -> Result<()> {
    let before = stage.target_count("item").await?;
    stage.product.set("SEGCDC_LARGE_TRANSACTIONS", "chunked");
    dies_at(stage, &format!("{PARTS}:2"), Some(MUCH_MORE)).await?;
    let position = stage.state().await?.context("a state")?.applied_lsn;
    let changes = "SELECT [changes] FROM [segcdc].[partial_transaction]";
    let first = stage.target_number(changes).await?;
    let seen = stage.target_count("item").await?;
    ensure!(seen > before && seen < before + 40_000, "{seen} rows, {before} before");
    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    ensure!(status.stdout.contains("PARTIAL_TRANSACTION"), "{status}");
    ensure!(status.stdout.contains(&format!("the first {first} changes of")), "{status}");
    dies_at(stage, &format!("{PARTS}:1"), None).await?;
    let second = stage.target_number(changes).await?;
    ensure!(second > first, "it has not gone on behind {first} changes: {second}");
    let state = stage.state().await?.context("a state")?;
    ensure!(state.applied_lsn == position, "the checkpoint is inside of a transaction");
    stage.product.set("SEGCDC_LARGE_TRANSACTIONS", "atomic");
    recovers(stage, "between_parts, chunked").await?;
    ensure!(stage.target_count("item").await? >= before + 40_000, "not all of the transaction is there");
    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    ensure!(!status.stdout.contains("PARTIAL_TRANSACTION"), "{status}");
    Ok(())
}

/// The slot keeps too much because of a transaction that nobody ends. Whatever the dying process left of it, the next one
/// copies the tables again, by itself, and one slot is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_while_a_slot_is_given_up_is_recovered_from() -> Result<()> {
    let mut stage = Stage::start("die_given_up").await?;
    stage.product.set("SEGCDC_MAX_RETAINED_WAL", "8MiB");
    stage.product.set("SEGCDC_WAL_POLICY", "give-up");
    stage.source.execute(DATABASE, TABLES).await?;
    stage.source.execute(DATABASE, "DELETE FROM price WHERE n = 'NaN' OR at = 'infinity'").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let holder = stage.source().await?;
    holder.batch_execute("BEGIN; UPDATE item SET v = 'held' WHERE id = 1").await?;
    let noise = "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1 << 20))) FROM generate_series(1, 16)";
    dies_at(&mut stage, GIVEN_UP, Some(noise)).await?;
    ensure!(stage.slots().await?.len() == 1, "the slot is dropped after the target knows, not before");
    let copied = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [phase] = N'QUEUED'";
    ensure!(stage.target_number(copied).await? == 4, "the target does not know");
    holder.batch_execute("COMMIT").await?;
    stage
        .source
        .execute(DATABASE, "DELETE FROM item WHERE id = 5; INSERT INTO entry VALUES (99, 'behind')")
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let comparison = stage.compare(&["item", "entry"]).await?;
    ensure!(comparison.equal, "{comparison:#?}");
    ensure!(stage.slots().await?.len() == 1, "slots: {:?}", stage.slots().await?);
    stage.remove().await
}

/// Whether the target has a table of this name.
async fn is_there(stage: &Stage, name: &str) -> Result<bool> {
    let sql = format!(
        "SELECT COUNT(*) FROM sys.objects WHERE [object_id] = OBJECT_ID(N'{}')",
        stage.target_table(name)
    );
    Ok(stage.target_number(&sql).await? == 1)
}

/// A table gets another name: whenever the resync dies, one of the two target tables is left and not both, once it is
/// repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_in_a_resync_leaves_no_table_behind() -> Result<()> {
    let mut stage = Stage::start("die_in_resync").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let up = ["up", "--yes", "--until-caught-up"];
    stage.product.succeed(&up).await?;
    let mut names = ["item".to_owned(), String::new()];
    for point in RESYNC {
        names = [format!("{point}_item"), std::mem::take(&mut names[0])];
        let rule = format!("public.item={}", names[0]);
        let resync = ["table", "resync", "--yes", "--tables", "item", "--rename", &rule];
        stage.product.set(VARIABLE, point);
        let ended = stage.product.run(&resync).await?;
        stage.product.set(VARIABLE, "");
        ensure!(ended.status.signal() == Some(ABORTED), "it did not die at {point}: {ended}");
        let stored = point == "after_resync_stored";
        ensure!(is_there(&stage, &names[1]).await? != stored, "the old table, after dying at {point}");
        if !stored {
            stage.product.succeed(&resync).await?;
        }
        stage.product.succeed(&up).await?;
        ensure!(
            !is_there(&stage, &names[1]).await? && is_there(&stage, &names[0]).await?,
            "the tables after {point}"
        );
        let pairs = [["public", "item", "dbo", names[0].as_str()]];
        ensure!(stage.compare_pairs(&pairs).await?.equal, "after {point}");
    }
    stage.remove().await
}

/// Rows that the target refuses have their letters once, and the others are there once, wherever the search for them was cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_while_refused_rows_are_searched_for_is_recovered_from() -> Result<()> {
    let mut stage = Stage::start("die_in_search").await?;
    stage.source.execute(DATABASE, "CREATE TABLE item (id int PRIMARY KEY, n int)").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--on-refused", "set_aside"]).await?;
    let item = stage.target_table("item");
    let constrain = format!("ALTER TABLE {item} ADD CONSTRAINT [positive] CHECK ([n] > 0)");
    stage.target().await?.batch(&constrain).await?;
    for (round, point) in (1_i64..).zip(SEARCHED) {
        let rows = format!(
            "INSERT INTO item SELECT {round} * 100 + i, CASE WHEN i IN (9, 31) THEN -1 ELSE i END FROM generate_series(1, 50) i"
        );
        dies_at(&mut stage, point, Some(&rows)).await?;
        let committed = point == SEARCHED[2];
        let before = 48 * (round - 1 + i64::from(committed));
        ensure!(stage.target_count("item").await? == before, "a part of a batch, after dying at {point}");
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        ensure!(stage.target_count("item").await? == 48 * round, "after dying at {point}");
        let open = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL AND [source_column] IS NULL";
        ensure!(stage.target_number(open).await? == 2 * round, "letters after dying at {point}");
        let uses = "SELECT [uses] FROM [segcdc].[policy_use] WHERE [source_column] = N'*'";
        ensure!(stage.target_number(uses).await? == 2 * round, "uses after dying at {point}");
    }
    Ok(())
}
