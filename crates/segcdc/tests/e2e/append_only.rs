//! Tables whose rows are only added, because somebody says so.

use anyhow::{Context, Result, ensure};

use super::stage::{DATABASE, PATIENCE, Stage};

/// Two logs without a key, one with, and a table that shows that the others go on.
const LOGS: &str = "
    CREATE TABLE log (at timestamptz DEFAULT now(), note text);
    CREATE TABLE archive (id int PRIMARY KEY, note text);
    CREATE TABLE plain (note text); ALTER TABLE plain REPLICA IDENTITY FULL;
    CREATE TABLE other (id int PRIMARY KEY);
    INSERT INTO log (note) SELECT 'copied' FROM generate_series(1, 50);
    INSERT INTO archive SELECT i, 'copied' FROM generate_series(1, 50) i;
    INSERT INTO plain VALUES ('a'), ('a');";

/// The rules, as an option takes several.
const RULES: &str = "public.log,public.archive=ignore,public.plain";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_only_added_where_it_is_said_so() -> Result<()> {
    let mut stage = Stage::start("append_only").await?;
    stage.source.execute(DATABASE, LOGS).await?;
    let plan = stage.product.run(&["plan", "-o", "json", "--append-only", RULES]).await?;
    let report: serde_json::Value = serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
    let left_out = &report["left_out"][0];
    ensure!(left_out["code"] == "NO_REPLICA_IDENTITY", "{report:#}");
    let fix = left_out["fix_sql"].as_str().context("the SQL that mends it")?;
    stage.source.execute(DATABASE, fix).await?;

    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--append-only", RULES]).await?;
    let copied = stage.compare(&["log", "archive", "plain"]).await?;
    ensure!(copied.equal, "{copied:#?}");
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage
        .source
        .execute(
            DATABASE,
            "INSERT INTO log (note) SELECT 'new' FROM generate_series(1, 50); TRUNCATE plain; INSERT INTO plain VALUES ('b');
             DELETE FROM archive WHERE id <= 10; UPDATE archive SET note = 'changed' WHERE id = 20;
             INSERT INTO archive VALUES (1, 'again'), (99, 'new');
             BEGIN; TRUNCATE archive; INSERT INTO archive VALUES (1, 'third'); COMMIT;",
        )
        .await?;
    stage.caught_up(&mut running, "INSERT INTO other VALUES (1)").await?;
    let streamed = stage.compare(&["log", "plain", "other"]).await?;
    ensure!(streamed.equal && stage.quarantined().await?.is_empty(), "{streamed:#?}");
    let archive = stage.target_table("archive");
    assert_eq!(stage.target_count("archive").await?, 53);
    let changed = format!("SELECT COUNT(*) FROM {archive} WHERE [note] = N'changed'");
    assert_eq!(stage.target_number(&changed).await?, 0);
    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    let status: serde_json::Value =
        serde_json::from_str(&status.stdout).with_context(|| status.to_string())?;
    let uses: Vec<String> = status["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|table| table["policy_uses"].as_array().into_iter().flatten())
        .map(|used| format!("{} {} {}", used["column"], used["policy"], used["uses"]))
        .collect();
    assert_eq!(uses, ["\"DELETE\" \"ignore\" 10", "\"TRUNCATE\" \"ignore\" 1", "\"UPDATE\" \"ignore\" 1"]);
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("[APPEND_ONLY]"), "{verify}");
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");

    // A change of a row halts the table that says nothing else, and no other.
    stage.source.execute(DATABASE, "UPDATE log SET note = 'x' WHERE note = 'new'").await?;
    let expected = [("log".to_owned(), "APPEND_ONLY_CHANGED".to_owned())];
    running
        .until("the table is halted", PATIENCE, || async {
            (stage.quarantined().await.ok()? == expected).then_some(())
        })
        .await?;
    stage.caught_up(&mut running, "INSERT INTO other VALUES (2)").await?;
    ensure!(stage.compare(&["other"]).await?.equal, "the others go on");
    drop(running);
    // Copied again, it is as the source; the choice is remembered.
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.source.execute(DATABASE, "INSERT INTO log (note) VALUES ('last')").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let mended = stage.compare(&["log", "plain", "other"]).await?;
    ensure!(mended.equal && stage.quarantined().await?.is_empty(), "{mended:#?}");
    Ok(())
}
