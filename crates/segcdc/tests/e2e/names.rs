//! Names: whatever PostgreSQL allows works through the whole path, or is refused by name.

mod random;

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

/// # Fault F50
/// Names hold quotes, brackets, dots, blanks, or differ by case alone.
/// - Happens: they work; those that the target cannot tell apart are refused before anything is made, with a rule that renames.
/// - Do: take the rule that is offered.
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

/// Tables that the target cannot have under their own names, and the rules that give them others.
const RENAMED: [(&str, &str, &str); 7] = [
    ("public", "#temp", "public.\"#temp\"=temp_2"),
    ("public", " ", "public.\" \"=\"a ]'blank\""),
    ("segcdc", "pipeline", "segcdc.pipeline=ours.pipeline"),
    ("Sys", "objects", "Sys.*=ours.objects"),
    ("public", "by_case", "public.by_case.Id=Id_2"),
    ("public", "by_blank", "public.by_*.\"id \"=\"i]d'2\""),
    ("public", "Good", "public.Good=\"Better, 1=1\""),
];

/// Where they are in the target; the first of them in the default schema.
const TARGETS: [(&str, &str); 7] = [
    ("", "temp_2"),
    ("", "a ]'blank"),
    ("ours", "pipeline"),
    ("ours", "objects"),
    ("", "by_case"),
    ("", "by_blank"),
    ("", "Better, 1=1"),
];

/// Tables of [`RENAMED`], and one more.
fn renamed_setup() -> String {
    let tables: String = RENAMED[..4]
        .iter()
        .map(|(schema, name, _)| {
            let table = format!("{}.{}", quoted(schema), quoted(name));
            format!("CREATE TABLE {table} (id int PRIMARY KEY, v text); INSERT INTO {table} VALUES (1, 'a'), (2, 'b');")
        })
        .collect();
    format!(
        "CREATE SCHEMA segcdc; CREATE SCHEMA \"Sys\"; {tables}
         CREATE TABLE by_case (\"Id\" int PRIMARY KEY, id int); INSERT INTO by_case VALUES (1, 10), (2, 20);
         CREATE TABLE by_blank (id text, \"id \" int); ALTER TABLE by_blank REPLICA IDENTITY FULL;
         INSERT INTO by_blank VALUES ('x', 1), ('x', 1), (NULL, 2);
         CREATE TABLE good (id int PRIMARY KEY, v text); CREATE TABLE \"Good\" (id int PRIMARY KEY, v text);
         INSERT INTO good VALUES (1, 'small'); INSERT INTO \"Good\" VALUES (2, 'large')"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_give_tables_and_columns_names_that_work_through_the_whole_path() -> Result<()> {
    let mut stage = Stage::start("names_renamed").await?;
    stage.source.execute(DATABASE, &renamed_setup()).await?;
    let default_schema = stage.target.default_schema.clone();
    let schema = |name: &'static str| if name.is_empty() { default_schema.clone() } else { name.to_owned() };
    let schemas: Vec<String> = TARGETS.iter().map(|(name, _)| schema(name)).collect();
    let mut pairs: Vec<Pair<'_>> = RENAMED
        .iter()
        .zip(&TARGETS)
        .zip(&schemas)
        .map(|(((schema, name, _), (_, target)), target_schema)| [*schema, *name, target_schema, *target])
        .collect();
    pairs.push(["public", "good", &default_schema, "good"]);

    let mut up = vec!["up", "--yes", "--until-caught-up"];
    for (.., rule) in &RENAMED {
        up.extend(["--rename", rule]);
    }
    stage.product.succeed(&up).await?;
    let copied = stage.compare_pairs(&pairs).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    for (table, column) in [("by_case", "Id_2"), ("by_blank", "i]d'2")] {
        let sql = format!(
            "SELECT COUNT(*) FROM sys.columns WHERE [object_id] = OBJECT_ID(N'{}') AND [name] = N'{}'",
            stage.target_table(table),
            column.replace('\'', "''")
        );
        ensure!(stage.target_number(&sql).await? == 1, "{table} has no {column}");
    }
    // The rules are remembered. Many rows at once, then one by one: both ways of applying.
    let change = |value: &str| {
        let tables = RENAMED[..4].iter().chain(&RENAMED[6..]).map(|(schema, name, _)| {
            let table = format!("{}.{}", quoted(schema), quoted(name));
            format!(
                "UPDATE {table} SET v = v || '{value}'; UPDATE {table} SET id = id + {value}00 WHERE id = (SELECT min(id) FROM {table}); \
                 INSERT INTO {table} SELECT max(id) + 1, '{value}' FROM {table}"
            )
        });
        tables.collect::<Vec<_>>().join(";")
    };
    let others = "UPDATE by_case SET \"Id\" = \"Id\" + 10, id = id + 1; DELETE FROM by_blank WHERE ctid = (SELECT min(ctid) FROM by_blank); \
                  UPDATE by_blank SET \"id \" = 9 WHERE id IS NULL";
    for statements in [format!("BEGIN; {}; {others}; COMMIT", change("1")), change("2"), others.to_owned()] {
        stage.source().await?.batch_execute(&statements).await?;
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        let streamed = stage.compare_pairs(&pairs).await?;
        ensure!(streamed.equal, "by the stream: {streamed:#?}");
    }
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    // A difference is told by the source's names.
    let spoil = format!("UPDATE {} SET [Id_2] = 0 WHERE [id] = 12", stage.target_table("by_case"));
    stage.target_number(&format!("{spoil}; SELECT COUNT(*) FROM {}", stage.target_table("by_case"))).await?;
    let found = stage.product.run(&["verify"]).await?;
    ensure!(found.status.code() == Some(5) && found.stdout.contains("public.by_case"), "{found}");

    // Another name: refused while the table is live, taken over by a resync, which drops the table of the old one.
    let refused = stage.product.run(&[&up[..], &["--rename", "public.by_case=Cases"]].concat()).await?;
    ensure!(
        refused.stderr.contains("target tables of public.by_case, which are live [RULES_CHANGE_SHAPE]"),
        "{refused}"
    );
    let mut taken = vec!["--rename", "public.by_case=good"];
    let keep: Vec<&str> = RENAMED.iter().map(|(.., rule)| *rule).collect();
    taken.extend(keep.iter().flat_map(|rule| ["--rename", rule]));
    let resync = ["table", "resync", "--yes", "--tables", "by_case"];
    let refused = stage.product.run(&[&resync, &taken[..]].concat()).await?;
    ensure!(refused.error_code() == Some("DUPLICATE_MAPPING"), "{refused}");
    taken[1] = "public.by_case=Cases";
    let done = stage.product.succeed(&[&resync, &taken[..]].concat()).await?;
    ensure!(done.stdout.contains("Cases now, and"), "{done}");
    stage.product.succeed(&up[..3]).await?;
    pairs[4][3] = "Cases";
    ensure!(stage.compare_pairs(&pairs).await?.equal, "by a resync");
    let left = format!(
        "SELECT COUNT(*) FROM sys.objects WHERE [object_id] = OBJECT_ID(N'{}')",
        stage.target_table("by_case")
    );
    ensure!(stage.target_number(&left).await? == 0, "the table of the old name is left");
    stage.remove().await?;
    Ok(())
}

/// What only the database's collation holds equal is asked of the database, before anything is made.
///
/// # Fault F50
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
    ensure!(refused.stderr.contains("--rename 'public.columns.①=①_2'"), "{refused}");
    stage.product.set("SEGCDC_NAME", "names_alike_2");
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up", "--tables", "t*"]).await?;
    ensure!(refused.error_code() == Some("DUPLICATE_MAPPING"), "{refused}");
    let schema = &stage.target.default_schema;
    let rule = format!("public.t①={schema}.t①_2");
    ensure!(refused.stderr.contains(&format!("--rename '{rule}'")), "{refused}");
    // Before anything was made, so that the rule is all that it takes.
    let up = ["up", "--yes", "--until-caught-up", "--tables", "t*", "--rename", &rule];
    stage.product.succeed(&up).await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}
