//! A target that takes no bulk loads: rows go by parameterised INSERT, and values are limited to what one parameter may have.

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresOptions;

use super::stage::{DATABASE, PATIENCE, Stage};

/// Bytes that a large value may have at the target as a parameter: 16 MiB, in UTF-16 for text.
const LIMIT: usize = 16 << 20;

/// Values of so many bytes at the target: one of bytes and one of text, each in a row of its own.
fn rows(table: &str, first: u32, bytes: usize) -> String {
    // The last character is of two units, and of four bytes at the source.
    format!(
        "INSERT INTO {table} VALUES ({first}, decode(repeat('a5', {bytes}), 'hex'), NULL); \
         INSERT INTO {table} VALUES ({}, NULL, repeat('x', {}) || '🦀');",
        first + 1,
        bytes / 2 - 2
    )
}

/// A table, and columns whose values are not compressed, which would make them small.
fn create(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, b bytea, t text); \
         ALTER TABLE {table} ALTER b SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL;"
    )
}

/// Table and code of those that are halted.
fn too_large(table: &str) -> Vec<(String, String)> {
    vec![(table.to_owned(), "VALUE_TOO_LARGE".to_owned())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_up_to_the_limit_of_a_parameter_arrive_and_larger_ones_halt_their_table() -> Result<()> {
    let Some(mut stage) = Stage::start_without_bulk("inserts", PostgresOptions::default()).await? else {
        return Ok(());
    };
    let fitting = [LIMIT, 1 << 20, (1 << 20) + 2];
    let fill = |table: &str, first: u32| {
        (first..).step_by(10).zip(fitting).map(|(first, bytes)| rows(table, first, bytes)).collect::<String>()
    };
    let setup = [create("fits"), create("bytes"), create("words"), fill("fits", 1)].concat();
    stage.source.execute(DATABASE, &setup).await?;
    let doctor = stage.product.succeed(&["doctor"]).await?;
    ensure!(doctor.stdout.contains("BULK_LOAD_REFUSED"), "{doctor}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&["fits"]).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");

    // By the stream: what fits arrives, and one byte or one character more halts its table and no other.
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, &fill("fits", 101)).await?;
    let more = format!("INSERT INTO bytes VALUES (1, decode(repeat('00', {}), 'hex'), NULL)", LIMIT + 1);
    stage.source.execute(DATABASE, &more).await?;
    let halted = || async { (stage.quarantined().await.ok()?.len() == 1).then_some(()) };
    running.until("the table is halted", PATIENCE, halted).await?;
    ensure!(stage.quarantined().await? == too_large("bytes"), "{:?}", stage.quarantined().await?);
    stage.caught_up(&mut running, "INSERT INTO fits VALUES (1000, 'behind', NULL)").await?;
    running.kill().await?;
    let streamed = stage.compare(&["fits"]).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    let status = stage.product.run(&["status"]).await?;
    let reason = format!("has {} bytes, and without bulk loads a parameter may have {LIMIT}", LIMIT + 1);
    ensure!(status.stdout.contains(&reason) && status.stdout.contains("public.bytes"), "{status}");

    // By the copy: text is counted as what it is at the target.
    let more = format!("INSERT INTO words VALUES (1, NULL, repeat('y', {}))", LIMIT / 2 + 1);
    stage.source.execute(DATABASE, &format!("{more}; DELETE FROM bytes")).await?;
    stage.product.succeed(&["table", "resync", "--yes", "--tables", "words,bytes"]).await?;
    let up = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.quarantined().await? == too_large("words"), "{up}");

    // Mended at the source and copied again, it is like any other.
    stage.source.execute(DATABASE, "UPDATE words SET t = left(t, -1)").await?;
    stage.product.succeed(&["table", "resync", "--yes", "--tables", "words"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let all = stage.compare(&["fits", "bytes", "words"]).await?;
    ensure!(all.equal && stage.quarantined().await?.is_empty(), "{all:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// Table, column and code of each open letter.
async fn letters(stage: &mut Stage) -> Result<Vec<[String; 3]>> {
    let list = stage.product.succeed(&["deadletter", "list", "-o", "json"]).await?;
    let list: serde_json::Value = serde_json::from_str(&list.stdout)?;
    let letters = list["letters"].as_array().with_context(|| format!("{list:#}"))?;
    let of = |letter: &serde_json::Value| {
        [&letter["source"]["name"], &letter["column"], &letter["code"]]
            .map(|value| value.as_str().unwrap_or_default().to_owned())
    };
    let mut found: Vec<_> = letters.iter().map(of).collect();
    found.sort();
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_beyond_the_limit_become_what_their_policy_says() -> Result<()> {
    let Some(mut stage) = Stage::start_without_bulk("insertsaside", PostgresOptions::default()).await? else {
        return Ok(());
    };
    let setup = format!(
        "{} {} CREATE SCHEMA expected; \
         CREATE VIEW expected.aside AS SELECT * FROM aside \
            WHERE coalesce(octet_length(b), 0) <= {LIMIT} AND coalesce(length(t), 0) <= {}; \
         CREATE VIEW expected.nulled AS SELECT id, CASE WHEN octet_length(b) <= {LIMIT} THEN b END AS b, t FROM nulled; \
         INSERT INTO aside VALUES (1, 'small', 'beside'); INSERT INTO nulled VALUES (1, 'small', 'beside')",
        create("aside"),
        create("nulled"),
        LIMIT / 2
    );
    stage.source.execute(DATABASE, &setup).await?;
    let more = |table: &str, id: u32| {
        format!("INSERT INTO {table} VALUES ({id}, decode(repeat('00', {}), 'hex'), 'beside');", LIMIT + 1)
    };
    let longer = format!("INSERT INTO aside VALUES (4, NULL, repeat('y', {}));", LIMIT / 2 + 1);
    stage.source.execute(DATABASE, &[more("aside", 3), more("nulled", 3), longer].concat()).await?;
    stage.product.set("SEGCDC_TABLES", "public.*");
    let rules = "public.aside=set_aside,public.nulled.b=null";
    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--on-value", rules]).await?;
    expect(&stage, "by the copy").await?;
    let letter = |column: &str| ["aside", column, "VALUE_TOO_LARGE"].map(str::to_owned);
    let found = letters(&mut stage).await?;
    ensure!(found == [letter("b"), letter("t")], "by the copy: {found:?}");

    // By the stream; what is mended heals.
    let changes =
        [&more("aside", 5), &more("nulled", 5), "UPDATE aside SET t = left(t, -1) WHERE id = 4"].concat();
    stage.source.execute(DATABASE, &changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    expect(&stage, "by the stream").await?;
    let found = letters(&mut stage).await?;
    ensure!(found == [letter("b"), letter("b")], "by the stream: {found:?}");
    ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// Compares the tables with the views that say what should be in the target.
async fn expect(stage: &Stage, when: &str) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let pairs = ["aside", "nulled"].map(|table| ["expected", table, schema, table]);
    let found = stage.compare_pairs(&pairs).await?;
    ensure!(found.equal, "{when}: {found:#?}");
    Ok(())
}
