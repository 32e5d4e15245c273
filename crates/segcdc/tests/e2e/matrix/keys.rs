//! Every type that PostgreSQL can index also finds its rows again as a key of the target.

use std::fmt::Write;

use anyhow::{Result, ensure};

use super::super::stage::{DATABASE, Stage};

/// Bytes of a value's text that are sure to fit into a key.
const KEY_TEXT_BYTES: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_found_again_as_a_key() -> Result<()> {
    let (mut stage, cases) = super::stage("matrix_keys").await?;
    let client = stage.source().await?;
    let mut tables = Vec::new();
    let mut changes = String::new();
    for (index, case) in cases.iter().enumerate() {
        let table = format!("key_{index:03}");
        let create = format!("CREATE TABLE {table} (k {} PRIMARY KEY, n int)", case.pg_type);
        if client.batch_execute(&create).await.is_err() {
            // No order, no index, no key: json, xml, point.
            continue;
        }
        let values = case.values.iter().map(|value| format!("(CAST({value} AS {}))", case.pg_type));
        // Values that differ by trailing blanks or zero bytes only are one key in SQL Server; that has tests of its own.
        let fill = format!(
            "INSERT INTO {table} SELECT DISTINCT v, 1 FROM (VALUES {}) t(v) \
             WHERE octet_length(concat(v)) <= {KEY_TEXT_BYTES} AND concat(v) !~ '( |00)$' AND concat(v) <> ''",
            values.collect::<Vec<_>>().join(", ")
        );
        client.batch_execute(&fill).await?;
        write!(
            changes,
            "CREATE TEMP TABLE kept_{index} ON COMMIT DROP AS TABLE {table}; UPDATE {table} SET n = 2; \
             DELETE FROM {table}; INSERT INTO {table} SELECT k, 3 FROM kept_{index}; UPDATE {table} SET n = 4;"
        )?;
        tables.push(table);
    }
    ensure!(tables.len() > 50, "hardly any type can be a key: {tables:?}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let names: Vec<&str> = tables.iter().map(String::as_str).collect();
    let copied = stage.compare(&names).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    stage.source.execute(DATABASE, &format!("BEGIN; {changes} COMMIT")).await?;
    let again = tables.iter().map(|table| format!("UPDATE {table} SET n = 5;")).collect::<String>();
    stage.source.execute(DATABASE, &again).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&names).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    differences_are_found_by_key(&mut stage, &names).await
}

/// Takes a row from each table of the target and changes another one: `verify` looks both up at the source by their keys.
async fn differences_are_found_by_key(stage: &mut Stage, tables: &[&str]) -> Result<()> {
    let mut planted = 0;
    let mut target = stage.target().await?;
    for table in tables {
        let rows = stage.target_count(table).await?;
        let place = stage.target_table(table);
        target.batch(&format!("DELETE TOP (1) FROM {place}")).await?;
        target.batch(&format!("UPDATE TOP (1) {place} SET [n] = 9")).await?;
        planted += rows.min(2);
    }
    let found = stage.product.run(&["verify"]).await?;
    ensure!(found.status.code() == Some(5), "{found}");
    ensure!(found.stdout.contains(&format!("differences: {planted}")), "{planted} were planted: {found}");
    Ok(())
}
