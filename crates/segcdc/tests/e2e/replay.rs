//! Dead letters that are tried again by other rules, and letters that are discarded.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, Stage};

/// The letters of a list, by the key of their row: state and number.
async fn letters(stage: &mut Stage) -> Result<Vec<(Option<String>, String, i64)>> {
    let listed = stage.product.succeed(&["deadletter", "list", "--closed", "-o", "json"]).await?.stdout;
    let listed: Value = serde_json::from_str(&listed)?;
    let letters = listed["letters"].as_array().context("letters")?.iter().map(|letter| {
        let key = letter["personal_data"]["key"][0].as_str().map(str::to_owned);
        let state = letter["state"].as_str().unwrap_or_default().to_owned();
        (key, state, letter["number"].as_i64().unwrap_or_default())
    });
    Ok(letters.collect())
}

/// How many letters are in a state.
fn count(letters: &[(Option<String>, String, i64)], state: &str) -> usize {
    letters.iter().filter(|letter| letter.1 == state).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_tried_again_and_discarded() -> Result<()> {
    let mut stage = Stage::start("replay").await?;
    let create = "CREATE TABLE price (id int PRIMARY KEY, n numeric, note text);
        INSERT INTO price VALUES (1, 1, 'a'), (2, 'NaN', 'b'), (3, 'NaN', 'c'), (4, 'NaN', 'd'), (5, 5, 'e'), (6, 'NaN', 'f')";
    stage.source.execute(DATABASE, create).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--on-value", "set_aside"]).await?;
    stage.source.execute(DATABASE, "UPDATE price SET n = 'NaN', note = 'e2' WHERE id = 5").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let open = letters(&mut stage).await?;
    ensure!(count(&open, "OPEN") == 5, "{open:?}");
    let number = |key: &str| {
        let found = open.iter().find(|letter| letter.0.as_deref() == Some(key));
        found.map(|letter| letter.2.to_string()).with_context(|| key.to_owned())
    };

    // What is discarded is erased, counts as open no more, and stays kept out.
    let asked = stage.product.run(&["deadletter", "discard", &number("4")?]).await?;
    ensure!(asked.stderr.contains("CONFIRMATION_REQUIRED"), "{asked}");
    stage.product.succeed(&["deadletter", "discard", &number("4")?, &number("6")?, "--yes"]).await?;
    let again = stage.product.run(&["deadletter", "discard", &number("4")?, "--yes"]).await?;
    ensure!(again.stderr.contains("DEAD_LETTER_NOT_OPEN"), "{again}");
    let found = letters(&mut stage).await?;
    ensure!((count(&found, "OPEN"), count(&found, "DISCARDED")) == (3, 2), "{found:?}");
    let kept = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [payload] IS NOT NULL";
    ensure!(stage.target_number(kept).await? == 3, "a discarded letter keeps no values");

    // A version that is as bad opens its letter again.
    stage.source.execute(DATABASE, "UPDATE price SET note = 'f2' WHERE id = 6").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let found = letters(&mut stage).await?;
    ensure!((count(&found, "OPEN"), count(&found, "DISCARDED")) == (4, 1), "{found:?}");
    ensure!(found.iter().any(|letter| letter.0.as_deref() == Some("6") && letter.1 == "OPEN"), "{found:?}");

    // Nothing fits yet.
    stage.product.succeed(&["deadletter", "replay", "--yes"]).await?;
    ensure!(count(&letters(&mut stage).await?, "OPEN") == 4, "{:?}", letters(&mut stage).await?);

    // Another rule lets the rows in; one of them was changed by the source since, and is left to the stream.
    let mut running = stage.product.start(&["up", "--yes", "--on-value", "public.price.n=null"])?;
    stage.caught_up(&mut running, "UPDATE price SET note = 'a2' WHERE id = 1").await?;
    let refused = stage.product.run(&["deadletter", "replay", "--yes"]).await?;
    ensure!(!refused.status.success() && refused.stderr.contains("55006"), "while it runs: {refused}");
    running.kill().await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.source.execute(DATABASE, "UPDATE price SET note = 'c2' WHERE id = 3").await?;
    let replayed = stage.product.succeed(&["deadletter", "replay", "--yes", "-o", "json"]).await?.stdout;
    let report: Value = serde_json::from_str(&replayed)?;
    let table = &report["tables"][0];
    let counts =
        ["tried", "letters", "inserted", "updated", "left"].map(|name| table[name].as_u64().unwrap_or(0));
    ensure!(counts == [4, 3, 2, 1, 1], "{report:#}");
    let found = letters(&mut stage).await?;
    let states = ["OPEN", "REPLAYED", "DISCARDED"].map(|state| count(&found, state));
    ensure!(states == [1, 3, 1], "{found:?}");
    let written = format!(
        "SELECT COUNT(*) FROM {} WHERE [n] IS NULL AND ([id] = 2 AND [note] = N'b' OR [id] = 5 AND [note] = N'e2')",
        stage.target_table("price")
    );
    ensure!(stage.target_number(&written).await? == 2, "both rows are as the source has them");

    // The stream brings what was left, and rows whose letters were discarded.
    stage
        .source
        .execute(DATABASE, "UPDATE price SET n = 4 WHERE id = 4; DELETE FROM price WHERE id = 6")
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);
    let found = letters(&mut stage).await?;
    let states = ["OPEN", "HEALED", "DELETED", "DISCARDED"].map(|state| count(&found, state));
    ensure!(states == [0, 2, 0, 0], "{found:?}");
    ensure!(stage.target_count("price").await? == 5, "{} rows", stage.target_count("price").await?);
    let verify = stage.product.succeed(&["verify", "-o", "json"]).await?.stdout;
    let verify: Value = serde_json::from_str(&verify)?;
    ensure!(verify["equal"] == true && verify["tables"][0]["set_aside"] == 0, "{verify:#}");
    Ok(())
}
