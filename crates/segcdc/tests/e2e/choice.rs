//! What is replicated: tables and columns that are left out.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, Stage};

/// Each table with a view of what the target is to have of it.
const TABLES: &str = "
    CREATE TABLE people (id int PRIMARY KEY, secret text, name text, note text);
    CREATE VIEW people_wanted AS SELECT id, name FROM people;
    CREATE TABLE full_people (id int PRIMARY KEY, secret text, name text); ALTER TABLE full_people REPLICA IDENTITY FULL;
    CREATE VIEW full_people_wanted AS SELECT id, name FROM full_people;
    CREATE TABLE orders (id int PRIMARY KEY, secret text, total int);
    CREATE TABLE bag (secret text, note text); ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE VIEW bag_wanted AS SELECT note FROM bag;
    CREATE TABLE tmp_import (id int PRIMARY KEY); CREATE TABLE tmp_more (id int PRIMARY KEY); CREATE TABLE audit (id int PRIMARY KEY);
    INSERT INTO people SELECT n, 'plaintext', 'name ' || n, 'note' FROM generate_series(1, 50) n;
    INSERT INTO full_people SELECT n, 'plaintext', 'name ' || n FROM generate_series(1, 50) n;
    INSERT INTO orders SELECT n, 'plaintext', n FROM generate_series(1, 50) n;
    INSERT INTO bag SELECT 'plaintext ' || n, 'note ' || n % 5 FROM generate_series(1, 50) n;";

const CHANGES: &str = "
    UPDATE people SET secret = 'plaintext2' WHERE id < 10; UPDATE people SET name = 'changed' WHERE id = 11;
    UPDATE people SET id = 1000, name = 'moved' WHERE id = 12; DELETE FROM people WHERE id = 13;
    INSERT INTO people VALUES (51, 'plaintext3', 'new', 'n');
    UPDATE full_people SET secret = 'plaintext2' WHERE id < 10; UPDATE full_people SET name = 'changed' WHERE id = 11;
    DELETE FROM full_people WHERE id = 13; UPDATE orders SET total = 7, secret = 'plaintext4' WHERE id = 1;
    UPDATE bag SET secret = 'plaintext' WHERE note = 'note 1'; DELETE FROM bag WHERE secret = 'plaintext 7';
    UPDATE bag SET note = 'changed' WHERE secret = 'plaintext 10'; INSERT INTO bag VALUES ('plaintext', 'note 1');
    INSERT INTO tmp_import VALUES (1); INSERT INTO audit VALUES (1);";

/// Names that change, and columns that come.
const SHAPES: &str = "
    DROP VIEW orders_wanted; ALTER VIEW people_wanted RENAME COLUMN name TO called;
    ALTER TABLE people RENAME COLUMN name TO called; UPDATE people SET called = 'renamed' WHERE id = 20;
    ALTER TABLE people ADD COLUMN later int; UPDATE people SET later = 1, called = 'twice' WHERE id = 21;
    ALTER TABLE orders RENAME COLUMN secret TO open; ALTER TABLE orders ADD COLUMN paid boolean DEFAULT true;
    UPDATE orders SET paid = false, open = 'plaintext5' WHERE id = 2;
    CREATE VIEW orders_wanted AS SELECT id, total, paid FROM orders;";

const RULES: [&str; 8] = [
    "--exclude",
    "public.tmp_*,audit",
    "--columns",
    "public.people=(id, name),public.full_people=(name, id)",
    "--exclude-columns",
    "public.*.secret",
    "--tables",
    "public.*",
];

/// Codes of the tables that `plan` leaves out by these rules, and all of what it says.
async fn left_out(stage: &mut Stage, rules: &[&str]) -> Result<(Vec<String>, Value)> {
    let plan = stage.product.run(&[&["plan", "-o", "json"], rules].concat()).await?;
    let report: Value = serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
    let tables = report["left_out"].as_array().context("what is left out")?;
    let codes = tables.iter().filter_map(|table| table["code"].as_str()).map(str::to_owned);
    Ok((codes.collect(), report))
}

/// The columns that the pipeline's publication lists of a table; empty for all, and where no version can list them.
async fn listed(stage: &Stage, table: &str) -> Result<Vec<String>> {
    if !lists(stage).await? {
        return Ok(Vec::new());
    }
    let source = stage.source().await?;
    let sql = "SELECT a.attname::text FROM pg_publication_rel r JOIN pg_attribute a ON a.attrelid = r.prrelid \
         AND a.attnum = ANY (r.prattrs::int2[]) WHERE r.prrelid = $1::text::regclass ORDER BY a.attnum";
    Ok(source.query(sql, &[&table]).await?.iter().map(|row| row.get(0)).collect())
}

/// Whether the server can list columns.
async fn lists(stage: &Stage) -> Result<bool> {
    let version: String = stage.source().await?.query_one("SHOW server_version_num", &[]).await?.get(0);
    Ok(version.parse::<u32>()? >= 150_000)
}

async fn ensure_as_wanted(stage: &Stage, tables: &[&str]) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let names: Vec<(String, &str)> = tables.iter().map(|table| (format!("{table}_wanted"), *table)).collect();
    let pairs: Vec<_> = names.iter().map(|(view, table)| ["public", view.as_str(), schema, table]).collect();
    let compared = stage.compare_pairs(&pairs).await?;
    ensure!(compared.equal && stage.quarantined().await?.is_empty(), "{compared:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_columns_that_are_left_out_never_arrive() -> Result<()> {
    let mut stage = Stage::start("choice").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let impossible = ["--tables", "people", "--columns", "public.people=(name)"];
    let (codes, report) = left_out(&mut stage, &impossible).await?;
    ensure!(codes == ["COLUMN_CHOICE_IMPOSSIBLE"], "{report:#}");
    let misspelt = stage.product.run(&["plan", "-o", "json", "--exclude", "audits"]).await?;
    ensure!(misspelt.stdout.contains("TABLE_NOT_FOUND"), "{misspelt}");

    let up = ["up", "--yes", "--until-caught-up"];
    stage.product.succeed(&[&up[..], &RULES].concat()).await?;
    stage.source.execute(DATABASE, "CREATE VIEW orders_wanted AS SELECT id, total FROM orders").await?;
    ensure_as_wanted(&stage, &["people", "full_people", "orders", "bag"]).await?;
    let expected: &[&str] = if lists(&stage).await? { &["id", "name"] } else { &[] };
    assert_eq!(listed(&stage, "people").await?, expected);
    assert!(listed(&stage, "full_people").await?.is_empty(), "the application's UPDATE would fail");
    assert!(listed(&stage, "orders").await?.is_empty(), "later columns are wanted");
    let tables = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME IN ('tmp_import', 'tmp_more', 'audit')";
    assert_eq!(stage.target_number(tables).await?, 0);

    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, CHANGES).await?;
    stage.caught_up(&mut running, "INSERT INTO orders VALUES (901, 'plaintext', 1)").await?;
    ensure_as_wanted(&stage, &["people", "full_people", "orders", "bag"]).await?;
    stage.source.execute(DATABASE, SHAPES).await?;
    stage.caught_up(&mut running, "INSERT INTO orders VALUES (902, 'plaintext', 1, true)").await?;
    drop(running);
    stage.product.succeed(&up).await?;
    ensure_as_wanted(&stage, &["people", "full_people", "orders", "bag"]).await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");

    // Other columns need another copy, and the publication then sends those.
    let wider = "public.people=(id, called, note),public.full_people=(id, name)";
    let refused = stage.product.run(&[&up[..], &["--columns", wider]].concat()).await?;
    ensure!(refused.stderr.contains("RULES_CHANGE_SHAPE"), "{refused}");
    stage.product.succeed(&["table", "resync", "--yes", "--tables", "people", "--columns", wider]).await?;
    let expected: &[&str] = if lists(&stage).await? { &["id", "called", "note"] } else { &[] };
    assert_eq!(listed(&stage, "people").await?, expected);
    stage.source.execute(DATABASE, "UPDATE people SET note = 'streamed' WHERE id = 30").await?;
    stage.product.succeed(&up).await?;
    stage
        .source
        .execute(DATABASE, "UPDATE people SET note = 'again', secret = 'plaintext6' WHERE id = 31")
        .await?;
    stage.product.succeed(&up).await?;
    let view = "CREATE OR REPLACE VIEW people_wanted AS SELECT id, called, note FROM people";
    stage.source.execute(DATABASE, view).await?;
    ensure_as_wanted(&stage, &["people", "full_people", "orders", "bag"]).await
}
