//! Rows that a table of the target refuses, by what somebody has added to it: found one by one, and set aside or named.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, Stage};

const UP: [&str; 3] = ["up", "--yes", "--until-caught-up"];

const TABLES: &str = "
    CREATE TABLE lenient (id int PRIMARY KEY, n int, note text);
    CREATE TABLE strict (LIKE lenient INCLUDING ALL);
    CREATE TABLE bag (n int, note text);
    ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE good (id int PRIMARY KEY);
    INSERT INTO lenient VALUES (1, 1, 'a'), (2, 2, 'b'); INSERT INTO strict VALUES (1, 1, 'a');";

/// What a command says as JSON.
async fn json(stage: &mut Stage, words: &[&str]) -> Result<Value> {
    let finished = stage.product.run(&[words, &["-o", "json"]].concat()).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// How many open letters each table has, by `verify`, which has to find its other rows equal.
async fn aside(stage: &mut Stage, tables: &[&str]) -> Result<Vec<u64>> {
    let verify = json(stage, &["verify"]).await?;
    let all = verify["tables"].as_array().context("tables")?;
    let mut aside = Vec::new();
    for name in tables {
        let table = all.iter().find(|table| table["source"]["name"] == *name);
        let table = table.with_context(|| format!("{name}: {verify:#}"))?;
        let is_equal = ["different", "missing", "extra", "undecided"].iter().all(|count| {
            let count = &table[*count];
            count.is_null() || *count == 0
        });
        ensure!(is_equal && table["not_compared"].is_null(), "{table:#}");
        aside.push(table["set_aside"].as_u64().context("set_aside")?);
    }
    Ok(aside)
}

/// Gives tables of the target a constraint that their pipeline knows nothing of.
async fn constrain(stage: &Stage, tables: &[&str]) -> Result<()> {
    for name in tables {
        let table = stage.target_table(name);
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT [{name}_positive] CHECK ([n] > 0)");
        stage.target().await?.batch(&sql).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_target_refuses_are_set_aside_or_named() -> Result<()> {
    let mut stage = Stage::start("refused").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let rules = ["--on-refused", "set_aside,public.strict=halt"];
    stage.product.succeed(&[&UP[..], &rules].concat()).await?;
    constrain(&stage, &["lenient", "strict", "bag"]).await?;
    // Of each table more rows than go in one request, and few of them at fault.
    let burst = "BEGIN;
        INSERT INTO lenient SELECT i, CASE WHEN i % 20 = 3 THEN -i ELSE i END, 'sekret' || i FROM generate_series(3, 62) i;
        UPDATE lenient SET n = -1 WHERE id = 1; UPDATE lenient SET n = 22 WHERE id = 2;
        INSERT INTO strict SELECT i, CASE WHEN i IN (7, 50) THEN -1 ELSE i END, 'sekret' || i FROM generate_series(2, 61) i;
        INSERT INTO bag SELECT CASE WHEN i % 30 = 0 THEN -1 ELSE i END, 'sekret' FROM generate_series(1, 60) i;
        INSERT INTO good VALUES (1); COMMIT";
    stage.source.execute(DATABASE, burst).await?;
    let finished = stage.product.succeed(&UP).await?;
    ensure!(!finished.to_string().contains("sekret"), "{finished}");
    assert_eq!(stage.quarantined().await?, [("strict".to_owned(), "CONSTRAINT_VIOLATION".to_owned())]);
    let status = json(&mut stage, &["status"]).await?.to_string();
    ensure!(
        status.contains("2 of 60 changes of public.strict in the batch are refused: INSERT at 0/"),
        "{status}"
    );
    ensure!(status.contains("of key hash ") && !status.contains("sekret"), "{status}");
    ensure!(stage.compare(&["good"]).await?.equal, "the good table went on");
    assert_eq!(stage.target_count("lenient").await?, 59, "the rest came in");
    assert_eq!(stage.target_count("strict").await?, 1, "nothing of the batch came in");
    let old = format!("SELECT [n] FROM {} WHERE [id] = 1", stage.target_table("lenient"));
    assert_eq!(stage.target_number(&old).await?, 1, "the last good version stays");
    assert_eq!(aside(&mut stage, &["lenient", "bag", "good"]).await?, [4, 2, 0]);
    ensure_letters_are_shown(&mut stage).await?;

    // They heal, go away and stay as rows do whose values do not fit.
    let changes = "UPDATE lenient SET n = 3 WHERE id = 3; DELETE FROM lenient WHERE id = 23; UPDATE lenient SET n = -2 WHERE id = 1;
        DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE n = -1 LIMIT 1)";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&UP).await?;
    assert_eq!(aside(&mut stage, &["lenient", "bag"]).await?, [2, 1]);
    let healed = format!("SELECT [n] FROM {} WHERE [id] = 3", stage.target_table("lenient"));
    assert_eq!(stage.target_number(&healed).await?, 3);

    // Nothing is lost of the table that was halted.
    let dropped = format!("ALTER TABLE {} DROP CONSTRAINT [strict_positive]", stage.target_table("strict"));
    stage.target().await?.batch(&dropped).await?;
    stage.product.succeed(&["table", "resync", "--tables", "public.strict", "--yes"]).await?;
    stage.product.succeed(&UP).await?;
    ensure!(stage.compare(&["strict"]).await?.equal, "copied again");
    Ok(())
}

/// Letters of refused rows say so, with no column, and no value but where the row is shown.
async fn ensure_letters_are_shown(stage: &mut Stage) -> Result<()> {
    let list = json(stage, &["deadletter", "list", "--table", "public.lenient"]).await?;
    let letters = list["letters"].as_array().or_else(|| list.as_array()).with_context(|| list.to_string())?;
    assert_eq!(letters.len(), 4, "{list:#}");
    for letter in letters {
        ensure!(letter["code"] == "CONSTRAINT_VIOLATION" && letter["column"].is_null(), "{letter:#}");
    }
    let number = letters.first().and_then(|letter| letter["number"].as_i64()).context("a number")?;
    let shown = stage.product.succeed(&["deadletter", "show", &number.to_string()]).await?;
    ensure!(shown.stdout.contains("CONSTRAINT_VIOLATION of the row as a whole"), "{shown}");
    let status = json(stage, &["status"]).await?;
    let table = status["tables"].as_array().context("tables")?;
    let table = table.iter().find(|table| table["source"]["name"] == "lenient").context("lenient")?;
    let uses = table["policy_uses"].to_string();
    ensure!(uses.contains("\"*\"") && uses.contains("set_aside"), "{uses}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_meets_a_unique_index_is_set_aside_until_there_is_room() -> Result<()> {
    let mut stage = Stage::start("refused_index").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    stage
        .product
        .succeed(&[&UP[..], &["--on-refused", "set_aside", "--dead-letter-limit", "2"]].concat())
        .await?;
    let table = stage.target_table("lenient");
    stage.target().await?.batch(&format!("CREATE UNIQUE INDEX [own] ON {table} ([n])")).await?;
    // 4 is free for the target once 2 has given it up, which comes behind it in the batch.
    let swap = "INSERT INTO lenient VALUES (3, 2, 'c'), (4, 1, 'd'), (5, 5, 'e'); UPDATE lenient SET n = 9 WHERE id = 2";
    stage.source.execute(DATABASE, &format!("BEGIN; {swap}; COMMIT")).await?;
    stage.product.succeed(&UP).await?;
    ensure!(stage.quarantined().await?.is_empty());
    assert_eq!(stage.target_count("lenient").await?, 4);
    assert_eq!(aside(&mut stage, &["lenient"]).await?, [1], "that of 4, whose n the row 1 has");
    // There is room, and the row comes in with its next version.
    stage
        .source
        .execute(
            DATABASE,
            "UPDATE lenient SET n = 8 WHERE id = 1; UPDATE lenient SET note = 'D' WHERE id = 4",
        )
        .await?;
    stage.product.succeed(&UP).await?;
    ensure!(stage.compare(&["lenient"]).await?.equal, "it has healed");
    // Too many of them trip the limit.
    stage
        .source
        .execute(DATABASE, "INSERT INTO lenient SELECT i, 5, 'x' FROM generate_series(10, 60) i")
        .await?;
    stage.product.succeed(&UP).await?;
    assert_eq!(stage.quarantined().await?, [("lenient".to_owned(), "DEAD_LETTER_LIMIT".to_owned())]);
    assert_eq!(stage.target_count("lenient").await?, 5);
    Ok(())
}
