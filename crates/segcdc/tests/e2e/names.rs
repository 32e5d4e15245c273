//! Names: whatever PostgreSQL allows works through the whole path, or is refused by name.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::independent::Pair;
use super::stage::{DATABASE, Stage};

/// Names of schemas, tables and columns.
const NAMES: [&str; 33] = [
    "a b",
    " leading",
    "trailing ",
    "dot.ted",
    "..",
    "br]ack[et",
    "]",
    "qu\"ote",
    "\"",
    "apo'strophe",
    "''",
    "semi;colon--",
    "/*c*/",
    "select",
    "TABLE",
    "@var",
    "$x",
    "%s{}",
    "tab\tnew\nline\r",
    "control\u{1}\u{1b}[31m",
    "😀",
    "日本語",
    "=eq",
    "*",
    "?",
    "back\\slash",
    "null",
    "sys",
    "ñññññññññññññññññññññññññññññññx",
    "\u{202e}rtl",
    "zero\u{200b}width",
    "[dbo].[t]",
    "inserted",
];

/// A column only: as the name of a table it is refused.
const BLANK: &str = "   ";

/// Schemas beside `public`, each with one table.
const SCHEMAS: [&str; 8] =
    ["a b", "br]ack[et", "qu\"ote", "dot.ted", "apo'strophe", "#hash", "日本語😀", "Select"];

/// A name as PostgreSQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tables, each with columns of all the names, a key of the first two of them, and a value that is moved out.
fn create() -> Result<String> {
    let mut sql = String::new();
    let columns: Vec<String> =
        NAMES.iter().skip(2).chain([&BLANK]).map(|name| format!("{} int", quoted(name))).collect();
    let mut table = |name: String| {
        write!(
            sql,
            "CREATE TABLE {name} ({} text, {} int, {}, PRIMARY KEY ({}, {})); \
             INSERT INTO {name} ({}, {}, {}) SELECT 'k' || i, i, i FROM generate_series(1, 50) i;",
            quoted(NAMES[0]),
            quoted(NAMES[1]),
            columns.join(", "),
            quoted(NAMES[1]),
            quoted(NAMES[0]),
            quoted(NAMES[0]),
            quoted(NAMES[1]),
            quoted(NAMES[6]),
        )
    };
    for name in NAMES {
        table(format!("public.{}", quoted(name)))?;
    }
    for schema in SCHEMAS {
        table(format!("{}.{}", quoted(schema), quoted("t")))?;
    }
    // Without a key: the whole row finds it.
    write!(
        sql,
        "CREATE TABLE public.{0} ({0} text, {1} int); ALTER TABLE public.{0} REPLICA IDENTITY FULL; \
                 INSERT INTO public.{0} VALUES ('x', 1), ('x', 1), (NULL, 2);",
        quoted("no ]key\""),
        quoted("b]")
    )?;
    let schemas: String = SCHEMAS.iter().map(|schema| format!("CREATE SCHEMA {};", quoted(schema))).collect();
    Ok(schemas + &sql)
}

/// Changes of some rows of all tables.
fn change(rows: &str) -> Result<String> {
    let mut sql = String::new();
    let tables = NAMES.iter().map(|name| ("public", *name)).chain(SCHEMAS.iter().map(|name| (*name, "t")));
    for (schema, name) in tables {
        let (table, key, number) =
            (format!("{}.{}", quoted(schema), quoted(name)), quoted(NAMES[0]), quoted(NAMES[1]));
        write!(
            sql,
            "UPDATE {table} SET {} = 7 WHERE {number} % 5 = 1 AND {rows}; DELETE FROM {table} WHERE {number} % 5 = 2 AND {rows}; \
             UPDATE {table} SET {key} = {key} || 'x' WHERE {number} % 5 = 3 AND {rows}; \
             INSERT INTO {table} ({key}, {number}) SELECT 'new', {number} + 1000 FROM {table} WHERE {rows};",
            quoted(NAMES[5]),
        )?;
    }
    write!(
        sql,
        "DELETE FROM public.{0} WHERE ctid = (SELECT min(ctid) FROM public.{0}); UPDATE public.{0} SET {1} = 9 WHERE {1} = 2;",
        quoted("no ]key\""),
        quoted("b]")
    )?;
    Ok(sql)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_work_through_the_whole_path() -> Result<()> {
    let mut stage = Stage::start("names").await?;
    stage.source.execute(DATABASE, &create()?).await?;
    let plan = stage.product.succeed(&["plan", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
    ensure!(report["left_out"].as_array().is_some_and(Vec::is_empty), "{:#}", report["left_out"]);
    let default_schema = stage.target.default_schema.clone();
    let mut pairs: Vec<Pair<'_>> = NAMES.iter().map(|name| ["public", name, &default_schema, name]).collect();
    pairs.extend(SCHEMAS.iter().map(|name| [*name, "t", *name, "t"]));
    pairs.push(["public", "no ]key\"", &default_schema, "no ]key\""]);

    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare_pairs(&pairs).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    // Few rows of each table in one transaction, then many: both ways of applying.
    let number = quoted(NAMES[1]);
    for rows in [format!("{number} <= 5"), format!("{number} > 5")] {
        stage.source.execute(DATABASE, &format!("BEGIN; {} COMMIT", change(&rows)?)).await?;
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        let streamed = stage.compare_pairs(&pairs).await?;
        ensure!(streamed.equal, "by the stream, {rows}: {streamed:#?}");
    }
    // One table a transaction takes the way of single statements.
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let client = stage.source().await?;
    for [schema, name, ..] in &pairs[..pairs.len() - 1] {
        let table = format!("{}.{}", quoted(schema), quoted(name));
        let (key, other) = (quoted(NAMES[0]), quoted(NAMES[9]));
        client.batch_execute(&format!("UPDATE {table} SET {other} = 3 WHERE {number} = 10")).await?;
        client.batch_execute(&format!("UPDATE {table} SET {key} = 'moved' WHERE {number} = 11")).await?;
        client.batch_execute(&format!("DELETE FROM {table} WHERE {number} = 14")).await?;
    }
    client
        .batch_execute(&format!("DELETE FROM public.{} WHERE {} = 9", quoted("no ]key\""), quoted("b]")))
        .await?;
    stage
        .caught_up(
            &mut running,
            &format!("UPDATE public.{} SET {} = 4 WHERE {number} = 10", quoted("a b"), quoted("]")),
        )
        .await?;
    drop(running);
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare_pairs(&pairs).await?;
    ensure!(streamed.equal, "by the stream, one by one: {streamed:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    let status: Value = serde_json::from_str(&status.stdout)?;
    assert_eq!(status["tables"].as_array().map(Vec::len), Some(pairs.len()));
    stage
        .product
        .succeed(&["table", "resync", "--yes", "--tables", "public.*", "--tables", "\"br]ack[et\".*"])
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare_pairs(&pairs).await?.equal, "by a resync");
    stage.product.succeed(&["doctor", "--scan-keys"]).await?;
    stage.remove().await?;
    for [.., schema, name] in &pairs {
        let text = |name: &str| format!("N'{}'", name.replace('\'', "''"));
        let sql = format!(
            "SELECT COUNT(*) FROM sys.objects AS o JOIN sys.schemas AS s ON s.[schema_id] = o.[schema_id] \
             WHERE s.[name] = {} AND o.[name] = {}",
            text(schema),
            text(name)
        );
        ensure!(stage.target_number(&sql).await? == 0, "{schema}.{name} is left");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_the_target_cannot_have_are_refused_by_name() -> Result<()> {
    let mut stage = Stage::start("names_refused").await?;
    stage.source.execute(DATABASE, "
        CREATE SCHEMA segcdc; CREATE SCHEMA \"Sys\"; CREATE SCHEMA \"INFORMATION_SCHEMA\";
        CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1);
        CREATE TABLE \"#temp\" (id int PRIMARY KEY); CREATE TABLE \"##temp\" (id int PRIMARY KEY);
        CREATE TABLE \"SysObjects\" (id int PRIMARY KEY); CREATE TABLE \" \" (id int PRIMARY KEY);
        CREATE TABLE by_format (id int PRIMARY KEY, \"i\u{200b}d\" int);
        CREATE TABLE segcdc.pipeline (id int PRIMARY KEY); CREATE TABLE \"Sys\".objects (id int PRIMARY KEY);
        CREATE TABLE \"INFORMATION_SCHEMA\".tables (id int PRIMARY KEY);
        CREATE TABLE by_case (\"Id\" int PRIMARY KEY, id int); CREATE TABLE by_blank (id int PRIMARY KEY, \"id \" int);
        CREATE TABLE by_width (id int PRIMARY KEY, \"ＩＤ\" int)").await?;
    let plan = stage.product.succeed(&["plan", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
    let mut found: Vec<(String, String)> = report["left_out"]
        .as_array()
        .context("left_out")?
        .iter()
        .map(|left| {
            (
                left["table"]["name"].as_str().unwrap_or_default().to_owned(),
                left["code"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    found.sort();
    let mut expected = [
        ("##temp", "IDENTIFIER_INVALID"),
        ("#temp", "IDENTIFIER_INVALID"),
        (" ", "IDENTIFIER_INVALID"),
        ("by_format", "COLUMN_NAME_CLASH"),
        ("SysObjects", "IDENTIFIER_INVALID"),
        ("by_blank", "COLUMN_NAME_CLASH"),
        ("by_case", "COLUMN_NAME_CLASH"),
        ("by_width", "COLUMN_NAME_CLASH"),
        ("objects", "SCHEMA_RESERVED"),
        ("pipeline", "SCHEMA_RESERVED"),
        ("tables", "SCHEMA_RESERVED"),
    ]
    .map(|(name, code)| (name.to_owned(), code.to_owned()))
    .to_vec();
    expected.sort();
    if stage.target.default_schema != "dbo" {
        expected.retain(|(name, _)| name != "SysObjects");
    }
    assert_eq!(found, expected);
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["good"]).await?.equal, "the others are replicated");

    // Two tables that are one name: both are named, and nothing is begun.
    stage.source.execute(DATABASE, "CREATE TABLE \"Good\" (id int PRIMARY KEY)").await?;
    stage.product.set("SEGCDC_NAME", "names_refused_2");
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(refused.status.code() == Some(2), "{refused}");
    ensure!(refused.stderr.contains("public.good and public.Good would both become"), "{refused}");
    let doctor = stage.product.run(&["doctor", "-o", "json"]).await?;
    ensure!(doctor.stdout.contains("DUPLICATE_MAPPING"), "{doctor}");
    Ok(())
}

/// What only the database's collation holds equal is found when the tables are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_the_databases_collation_holds_equal_are_refused_by_name() -> Result<()> {
    let mut stage = Stage::start("names_alike").await?;
    if stage.sandbox_or_skip("needs a database whose collation holds 1 and ① equal").is_none() {
        return Ok(());
    }
    let sql = "CREATE TABLE columns (\"1\" int PRIMARY KEY, \"①\" int); CREATE TABLE t1 (id int PRIMARY KEY); \
               CREATE TABLE \"t①\" (id int PRIMARY KEY); INSERT INTO t1 VALUES (1); INSERT INTO \"t①\" VALUES (2)";
    stage.source.execute(DATABASE, sql).await?;
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up", "--tables", "columns"]).await?;
    ensure!(refused.error_code() == Some("COLUMN_NAME_CLASH"), "{refused}");
    ensure!(refused.stderr.contains("dbo.columns"), "{refused}");
    stage.product.set("SEGCDC_NAME", "names_alike_2");
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up", "--tables", "t*"]).await?;
    ensure!(refused.error_code() == Some("TARGET_TABLE_MISMATCH"), "{refused}");
    ensure!(refused.stderr.contains("dbo.t1") && refused.stderr.contains("dbo.t①"), "{refused}");
    Ok(())
}
