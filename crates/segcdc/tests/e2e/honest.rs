//! `verify` is honest: one byte that is not the same is found, by us and by `compare.py`, whatever its type.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, Stage};

/// A column, the source's value of every row, and a statement of a value that differs as little as can be.
struct Plant {
    column: &'static str,
    pg_type: &'static str,
    value: &'static str,
    planted: &'static str,
}

/// Each common type; text several times, since comparing it has most ways to go wrong.
const PLANTS: [Plant; 35] = [
    plant("flag", "boolean", "true", "0"),
    plant("i2", "smallint", "-32768", "-32767"),
    plant("i4", "integer", "2147483647", "2147483646"),
    plant("i8", "bigint", "9223372036854775807", "9223372036854775806"),
    plant("f4", "real", "1", "CAST(1.0000001192092896E0 AS real)"),
    plant("f8", "double precision", "0.1", "0.10000000000000002E0"),
    plant("f8_zero", "double precision", "'-0'", "0E0"),
    plant("n20_6", "numeric(20,6)", "12345.678901", "12345.678902"),
    plant("n", "numeric", "1.5", "1.500000000000000001"),
    plant("t_blank", "text", "'abc'", "N'abc '"),
    plant("t_case", "text", "'abc'", "N'Abc'"),
    plant("t_accent", "text", "'cafe'", "N'café'"),
    plant("t_form", "text", "U&'caf\\00E9'", "N'cafe\u{301}'"),
    plant("t_empty", "text", "''", "NULL"),
    plant("t_null", "text", "NULL", "N''"),
    plant("t_tab", "text", "'a b'", "N'a\tb'"),
    plant("t_wide", "text", "'🦀 ß Ť'", "N'🦁 ß Ť'"),
    plant("t_long", "text", "repeat('x', 9000)", "REPLICATE(CAST(N'x' AS nvarchar(max)), 8999) + N'y'"),
    plant("v", "varchar(20)", "'x'", "N'y'"),
    plant("c", "char(5)", "'ab'", "N'ab'"),
    plant("b_last", "bytea", "'\\x0102'", "0x0103"),
    plant("b_zero", "bytea", "'\\x0102'", "0x010200"),
    plant("b_empty", "bytea", "''", "NULL"),
    plant("u", "uuid", "'00112233-4455-6677-8899-aabbccddeeff'", "'00112233-4455-6677-8899-aabbccddeefe'"),
    plant(
        "u_order",
        "uuid",
        "'00112233-4455-6677-8899-aabbccddeeff'",
        "'33221100-4455-6677-8899-aabbccddeeff'",
    ),
    plant("d", "date", "'2024-02-29'", "'2024-03-01'"),
    plant("tm", "time", "'23:59:59.999999'", "'23:59:59.999998'"),
    plant("ts", "timestamp", "'2024-02-29 12:00:00.000001'", "'2024-02-29 12:00:00.000002'"),
    plant("tz", "timestamptz", "'2024-02-29 12:00:00.000001+02'", "'2024-02-29 10:00:00.000002 +00:00'"),
    plant("m", "money", "'-1234.56'", "-1234.55"),
    plant("bt", "bit(1)", "B'1'", "0"),
    plant("j", "jsonb", "'{\"a\": 1}'", "N'{\"a\":1}'"),
    plant("ar", "int[]", "'{1,2}'", "N'{1,3}'"),
    plant("iv", "interval", "'1 day 02:00'", "N'1 day 02:00:01'"),
    plant("ip", "inet", "'10.0.0.1'", "N'10.0.0.2'"),
];

const fn plant(
    column: &'static str,
    pg_type: &'static str,
    value: &'static str,
    planted: &'static str,
) -> Plant {
    Plant { column, pg_type, value, planted }
}

/// Rows of `common` that stay as they are, behind those that differ.
const UNTOUCHED: usize = 20;

/// The table of all types: row n has its difference in the column of the plant n.
fn common() -> String {
    let columns: Vec<String> =
        PLANTS.iter().map(|plant| format!("{} {}", plant.column, plant.pg_type)).collect();
    let values: Vec<&str> = PLANTS.iter().map(|plant| plant.value).collect();
    format!(
        "CREATE TABLE common (id int PRIMARY KEY, {});
         INSERT INTO common SELECT i, {} FROM generate_series(0, {}) i",
        columns.join(", "),
        values.join(", "),
        PLANTS.len() + UNTOUCHED
    )
}

/// What `verify` says.
async fn verify(stage: &mut Stage) -> Result<(i32, Value)> {
    let finished = stage.product.run(&["verify", "-o", "json", "--limit", "1000"]).await?;
    let code = finished.status.code().context("verify was killed")?;
    ensure!(matches!(code, 0 | 5), "verify failed: {finished}");
    let report: Value = serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())?;
    ensure!(report["equal"] == (code == 0), "verify contradicts itself: {finished}");
    Ok((code, report))
}

/// Rows that `verify` lists for a table, by the text of their key: kind and columns.
fn listed(report: &Value, table: &str) -> Result<BTreeMap<String, (String, Vec<String>)>> {
    let tables = report["tables"].as_array().context("tables")?;
    let found = tables
        .iter()
        .find(|found| found["source"]["name"] == table || found["source"] == format!("public.{table}"));
    let differences = found.with_context(|| format!("{table} is not in {report}"))?["differences"].as_array();
    let mut rows = BTreeMap::new();
    for difference in differences.context("differences")? {
        let fields = difference["key"].as_array().context("key")?;
        let key: Vec<&str> = fields.iter().map(|field| field["value"].as_str().unwrap_or("NULL")).collect();
        let columns = difference["columns"].as_array().cloned().unwrap_or_default();
        let columns = columns.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        rows.insert(key.join(","), (difference["kind"].as_str().unwrap_or_default().to_owned(), columns));
    }
    Ok(rows)
}

/// Runs a statement at the target that must change one row.
async fn plant_at(stage: &Stage, sql: &str) -> Result<()> {
    let response = stage.target().await?.batch(sql).await.with_context(|| sql.to_owned())?;
    ensure!(response.total_row_count() == 1, "{} rows: {sql}", response.total_row_count());
    Ok(())
}

/// A stage whose tables are copied, and proven equal by both.
async fn equal_stage(name: &str, sql: &str, tables: &[&str]) -> Result<Stage> {
    let mut stage = Stage::start(name).await?;
    stage.source.execute(DATABASE, sql).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let (code, report) = verify(&mut stage).await?;
    ensure!(code == 0, "verify finds differences that nobody planted: {report:#}");
    let comparison = stage.compare(tables).await?;
    ensure!(comparison.equal, "{comparison:#?}");
    Ok(stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_difference_of_every_type_is_found() -> Result<()> {
    let mut stage = equal_stage("planted", &common(), &["common"]).await?;
    let table = stage.target_table("common");
    for (id, plant) in PLANTS.iter().enumerate() {
        plant_at(
            &stage,
            &format!("UPDATE {table} SET [{}] = {} WHERE [id] = {id}", plant.column, plant.planted),
        )
        .await?;
    }
    let (code, report) = verify(&mut stage).await?;
    let found = listed(&report, "common")?;
    for (id, plant) in PLANTS.iter().enumerate() {
        let expected = ("different".to_owned(), vec![plant.column.to_owned()]);
        let row = found.get(&id.to_string());
        ensure!(row == Some(&expected), "{} in row {id}: verify says {row:?}", plant.column);
    }
    ensure!((code, found.len()) == (5, PLANTS.len()), "verify finds more than was planted: {report:#}");
    let comparison = stage.compare(&["common"]).await?;
    let planted = u64::try_from(PLANTS.len())?;
    let verdict = comparison.tables.first().context("one table")?;
    ensure!((verdict.missing, verdict.extra) == (planted, planted), "compare.py found {verdict:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_and_extra_rows_are_found() -> Result<()> {
    let tables = "
        CREATE TABLE keyed (k text PRIMARY KEY, v text);
        INSERT INTO keyed SELECT 'key ' || i, 'value ' || i FROM generate_series(1, 300) i;
        CREATE TABLE keyless (v int, w text);
        ALTER TABLE keyless REPLICA IDENTITY FULL;
        INSERT INTO keyless SELECT i % 10, CASE WHEN i % 3 = 0 THEN NULL ELSE 'w' END FROM generate_series(1, 60) i;
        CREATE TABLE empty (id int PRIMARY KEY);";
    let mut stage = equal_stage("rows", tables, &["keyed", "keyless", "empty"]).await?;
    let (keyed, keyless) = (stage.target_table("keyed"), stage.target_table("keyless"));
    plant_at(&stage, &format!("DELETE FROM {keyed} WHERE [k] = N'key 7'")).await?;
    plant_at(&stage, &format!("INSERT INTO {keyed} ([k], [v]) VALUES (N'key 7 ', N'value 7')")).await?;
    plant_at(&stage, &format!("INSERT INTO {keyed} ([k], [v]) VALUES (N'new', NULL)")).await?;
    plant_at(&stage, &format!("DELETE TOP (1) FROM {keyless} WHERE [v] = 1 AND [w] IS NULL")).await?;
    plant_at(&stage, &format!("INSERT INTO {keyless} ([v], [w]) VALUES (2, N'w')")).await?;
    plant_at(&stage, &format!("INSERT INTO {} ([id]) VALUES (1)", stage.target_table("empty"))).await?;
    let (code, report) = verify(&mut stage).await?;
    let kinds = |table: &str| -> Result<BTreeMap<String, String>> {
        Ok(listed(&report, table)?.into_iter().map(|(key, (kind, _))| (key, kind)).collect())
    };
    let expected = |rows: &[(&str, &str)]| -> BTreeMap<String, String> {
        rows.iter().map(|(key, kind)| ((*key).to_owned(), (*kind).to_owned())).collect()
    };
    let (missing, extra) = ("missing_in_target", "extra_in_target");
    ensure!(code == 5, "verify finds nothing");
    assert_eq!(kinds("keyed")?, expected(&[("key 7", missing), ("key 7 ", extra), ("new", extra)]));
    assert_eq!(kinds("keyless")?, expected(&[("1,NULL", missing), ("2,w", extra)]));
    assert_eq!(kinds("empty")?, expected(&[("1", extra)]));
    let comparison = stage.compare(&["keyed", "keyless", "empty"]).await?;
    let counts: Vec<(u64, u64)> =
        comparison.tables.iter().map(|table| (table.missing, table.extra)).collect();
    assert_eq!(counts, [(1, 2), (1, 1), (0, 1)]);
    Ok(())
}
