//! Columns of the type `json`: what arrives, what `verify` holds equal and what it does not, and servers without the type.

use anyhow::{Context, Result, ensure};
use segcdc_tds::Datum;

use super::super::observer::back_door;
use super::super::product::Finished;
use super::super::stage::{DATABASE, Stage};

/// Tables whose documents go every way: by key, without a key, as large values that an UPDATE leaves alone, and beside other
/// long values, so that they are read back in parts.
const SETUP: &str = r#"
    CREATE TABLE docs (id int PRIMARY KEY, doc jsonb, raw json, list int[], note text);
    ALTER TABLE docs ALTER doc SET STORAGE EXTERNAL;
    INSERT INTO docs SELECT i, jsonb_build_object('n', i, 'x', i / 4.0), '{ "a" : 1e2, "b" : [ ] }', ARRAY[i, NULL], 'n' FROM generate_series(1, 60) i;
    INSERT INTO docs VALUES (100, NULL, NULL, NULL, NULL), (101, '{}', '[]', '{}', ''),
        (102, jsonb_build_object('long', repeat('ä', 300000), 'n', 1.5), '["é"]', '{1}', repeat('z', 900000));
    CREATE TABLE bag (doc jsonb, n int);
    ALTER TABLE bag REPLICA IDENTITY FULL;
    INSERT INTO bag SELECT jsonb_build_object('v', i % 3), i % 2 FROM generate_series(1, 12) i;
    INSERT INTO bag VALUES (NULL, NULL), ('{"v": 1.0}', 1)"#;

/// The rules that make the documents json.
const RULES: [&str; 6] = [
    "--type=public.docs.doc=json",
    "--type=public.docs.raw=json",
    "--type=public.docs.list=json",
    "--type=public.bag.doc=json",
    "--on-value=public.docs=set_aside",
    "--on-value=public.bag=halt",
];

/// Runs `up` until everything is there, with further arguments.
async fn up(stage: &mut Stage, rules: &[&str]) -> Result<Finished> {
    stage.product.succeed(&[&["up", "--yes", "--until-caught-up"], rules].concat()).await
}

/// The text that the target prints of a document.
async fn printed(stage: &Stage, column: &str, id: i32) -> Result<String> {
    let table = stage.target_table("docs");
    let sql = format!("SELECT CAST([{column}] AS nvarchar(max)) FROM {table} WHERE [id] = {id}");
    let response = stage.target().await?.batch(&sql).await?;
    let text = response.first_row().and_then(|row| row.first()).and_then(Datum::as_text);
    Ok(text.with_context(|| format!("{column} of {id} is not there"))?.to_owned())
}

async fn ensure_equal(stage: &mut Stage, when: &str) -> Result<()> {
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{when}: {verify}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_arrive_by_the_copy_and_by_the_stream() -> Result<()> {
    let mut stage = Stage::start("documents").await?;
    stage.source().await?.batch_execute(SETUP).await?;
    let refused = stage.product.run(&["plan", "--type=public.docs.doc=json"]).await?;
    let shown = format!("{}{}", refused.stdout, refused.stderr);
    ensure!(shown.contains("TYPE_NARROWS") && shown.contains("more than 38 digits"), "{shown}");
    up(&mut stage, &RULES).await?;
    ensure!(printed(&stage, "doc", 7).await? == r#"{"n":7,"x":1.75}"#);
    ensure!(printed(&stage, "raw", 7).await? == r#"{"a":100,"b":[]}"#);
    ensure!(printed(&stage, "list", 7).await? == "[7,null]");
    ensure!(stage.target_count("docs").await? == 63 && stage.target_count("bag").await? == 14);
    ensure_equal(&mut stage, "by the copy").await?;

    // Few rows, then many; a changed key takes along a document that the stream does not send.
    for change in [
        "UPDATE docs SET doc = doc || '{\"k\": [1, {\"z\": 0.10}]}' WHERE id = 7; DELETE FROM docs WHERE id = 8;
         UPDATE docs SET id = 202, note = 'moved' WHERE id = 102; INSERT INTO docs VALUES (203, '[true]', '{\"\\u00e9\": -0}', NULL, NULL);
         UPDATE bag SET doc = '[]' WHERE doc IS NULL; DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE doc = '{\"v\": 1}' LIMIT 1)",
        "UPDATE docs SET doc = jsonb_build_object('id', id, 'was', doc) WHERE id < 100; UPDATE docs SET note = 'x' WHERE id = 202;
         INSERT INTO bag SELECT jsonb_build_object('w', i % 20), i FROM generate_series(1, 200) i; DELETE FROM bag WHERE doc ->> 'v' = '2';
         UPDATE bag SET doc = doc || '{\"more\": true}' WHERE jsonb_typeof(doc) = 'object' AND n % 3 = 0",
    ] {
        stage.source().await?.batch_execute(&format!("BEGIN; {change}; COMMIT")).await?;
        up(&mut stage, &[]).await?;
        ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);
        ensure_equal(&mut stage, "by the stream").await?;
    }
    let kept = format!("{{\"n\":1.5,\"long\":\"{}\"}}", "ä".repeat(300_000));
    ensure!(printed(&stage, "doc", 202).await? == kept, "the value that was not sent is the old one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_compares_documents_by_their_value() -> Result<()> {
    let mut stage = Stage::start("documents_verify").await?;
    stage.source().await?.batch_execute(SETUP).await?;
    up(&mut stage, &RULES).await?;
    let table = stage.target_table("docs");
    let set = |column: &str, document: &str, id: i32| {
        format!("UPDATE {table} SET [{column}] = CAST(N'{document}' AS json) WHERE [id] = {id}")
    };
    let mut target = stage.target().await?;
    // Another order, other zeros, another spelling of a character: the same value.
    target.batch(&set("doc", r#"{ "x" : 1.750, "\u006e" : 7.0 }"#, 7)).await?;
    target.batch(&set("raw", r#"{"b":[],"a":100.0}"#, 7)).await?;
    ensure_equal(&mut stage, "spelled otherwise").await?;
    // The least that can differ: a digit, a name, an element, a type, the side of a member.
    let planted = [
        ("doc", r#"{"n":1,"x":0.2500000000000000000000000000000000001}"#, 1),
        ("doc", r#"{"n":2,"X":0.5}"#, 2),
        ("list", "[3]", 3),
        ("doc", r#"{"n":"4","x":1}"#, 4),
        ("raw", r#"{"a":[],"b":100}"#, 5),
        ("doc", r#"{"long":"","n":1.5}"#, 102),
    ];
    for (column, document, id) in planted {
        target.batch(&set(column, document, id)).await?;
    }
    let found = stage.product.run(&["verify", "-o", "json"]).await?;
    ensure!(found.status.code() == Some(5), "{found}");
    let report: serde_json::Value = serde_json::from_str(&found.stdout)?;
    let tables = report["tables"].as_array().context("no tables")?;
    let differences = tables.iter().filter_map(|table| table["differences"].as_array()).flatten();
    let mut seen: Vec<(String, String)> = differences
        .filter_map(|row| {
            Some((row["key"][0]["value"].as_str()?.to_owned(), row["columns"][0].as_str()?.to_owned()))
        })
        .collect();
    let mut expected: Vec<(String, String)> =
        planted.iter().map(|(column, _, id)| (id.to_string(), (*column).to_owned())).collect();
    seen.sort();
    expected.sort();
    ensure!(seen == expected, "{seen:?} {found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_json_has_no_place_for_are_set_aside_and_heal() -> Result<()> {
    let mut stage = Stage::start("documents_aside").await?;
    stage.source().await?.batch_execute(SETUP).await?;
    up(&mut stage, &RULES).await?;
    let change = "UPDATE docs SET doc = '1' WHERE id = 1; UPDATE docs SET raw = '{\"a\": 1, \"a\": 2}' WHERE id = 2;
         INSERT INTO docs VALUES (300, '[1e-50]', NULL, NULL, NULL), (301, NULL, '[\"\\u0000\"]', NULL, NULL)";
    stage.source().await?.batch_execute(change).await?;
    up(&mut stage, &[]).await?;
    let open = "SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL";
    ensure!(stage.target_number(open).await? == 4);
    ensure!(printed(&stage, "doc", 1).await? == r#"{"n":1,"x":0.25}"#, "the last good version stays");
    stage
        .source
        .execute(DATABASE, "UPDATE docs SET doc = '[1]', raw = '[2]' WHERE id IN (1, 2, 300, 301)")
        .await?;
    up(&mut stage, &[]).await?;
    ensure!(stage.target_number(open).await? == 0);
    ensure!(printed(&stage, "doc", 300).await? == "[1]");
    ensure_equal(&mut stage, "healed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_without_the_type_are_told_before_anything_is_made() -> Result<()> {
    let mut stage = Stage::start("documents_old").await?;
    if stage.sandbox_or_skip("it is made to lack the type").is_none() {
        return Ok(());
    }
    stage.source().await?.batch_execute(SETUP).await?;
    let back = back_door(&stage).await?;
    back.batch_execute("DELETE FROM tsql.types WHERE name = 'json'").await?;
    let refused =
        stage.product.run(&[&["up", "--yes", "--until-caught-up"], RULES.as_slice()].concat()).await?;
    ensure!(!refused.status.success(), "{refused}");
    ensure!(refused.stderr.contains("TARGET_TYPE_UNKNOWN"), "{refused}");
    ensure!(refused.stderr.contains("SQL Server 2025"), "{refused}");
    ensure!(stage.slots().await?.is_empty(), "something was made");
    Ok(())
}
