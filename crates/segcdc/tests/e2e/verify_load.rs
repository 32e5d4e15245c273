//! `verify` under load: nothing is found wrong while all moves, and what is wrong is found among it.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tokio_postgres::Client;

use super::product::{COMMAND_LIMIT, Running};
use super::stage::{DATABASE, PATIENCE, Stage};
use super::workload::{self, Writer};

/// Rows that may change in each of the windows in which they are looked at: a fifth of all.
const HOT_ROWS: u64 = 40;

/// The report of a running `verify -o json`, while `writer` writes without a pause.
async fn while_writing(mut verify: Running, writer: &mut Writer, client: &mut Client) -> Result<Value> {
    while verify.ensure_runs().is_ok() {
        writer.step(client).await?;
    }
    let finished = verify.wait(COMMAND_LIMIT).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_is_right_while_all_moves() -> Result<()> {
    let mut stage = Stage::start("moving").await?;
    let mut client = stage.source.connect(DATABASE).await?;
    workload::create(&client).await?;
    client
        .batch_execute("CREATE TABLE still (id int PRIMARY KEY, v text); INSERT INTO still VALUES (1, 'a')")
        .await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    // Before the stream is open, a pipeline looks like one that does not run.
    let is_read = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE active)";
    running
        .until("the slot is read", PATIENCE, || async {
            client.query_one(is_read, &[]).await.ok()?.get::<_, bool>(0).then_some(())
        })
        .await?;
    let mut writer = Writer::new(7);
    let verify = stage.product.start(&["verify", "-o", "json"])?;
    let report = while_writing(verify, &mut writer, &mut client).await?;
    ensure!(writer.committed() > 0, "nothing was written meanwhile");
    // The counter and both markers are changed by each transaction, and so never rest; nor, on a slow machine, do accounts.
    ensure!(report["undecided"].as_u64() <= Some(HOT_ROWS), "{report:#}");
    ensure!(report["differences"] == 0 && report["running"] == true, "{report:#}");
    let sql = format!("UPDATE {} SET [v] = N'b' WHERE [id] = 1", stage.target_table("still"));
    stage.target().await?.batch(&sql).await?;
    let verify = stage.product.start(&["verify", "-o", "json"])?;
    let report = while_writing(verify, &mut writer, &mut client).await?;
    ensure!(report["differences"] == 1, "{report:#}");
    let tables = report["tables"].as_array().context("tables")?;
    let still = tables.iter().find(|table| table["source"]["name"] == "still").context("the table")?;
    ensure!(still["differences"][0]["columns"][0] == "v", "{still:#}");
    running.ensure_runs()?;
    running.signal(Signal::TERM)?;
    running.wait(COMMAND_LIMIT).await?;
    // A pipeline that does not run is compared as it stands, and that is said.
    client.batch_execute("INSERT INTO still VALUES (2, 'late')").await?;
    let stopped = stage.product.run(&["verify", "--tables", "still"]).await?;
    ensure!(stopped.status.code() == Some(5), "{stopped}");
    for words in ["the pipeline does not run", "id=2: missing in target", "id=1: different (columns: v)"] {
        ensure!(stopped.stdout.contains(words), "{words}: {stopped}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_larger_than_the_memory_are_compared_in_parts() -> Result<()> {
    let mut stage = Stage::start("parts").await?;
    // Never analysed, so the number of rows comes as a surprise; 1 MiB holds less than half of them.
    let sql = "
        CREATE TABLE keyed (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off);
        CREATE TABLE keyless (v int, w text) WITH (autovacuum_enabled = off);
        ALTER TABLE keyless REPLICA IDENTITY FULL;
        INSERT INTO keyed SELECT i, 'v ' || i FROM generate_series(1, 30000) i;
        INSERT INTO keyless SELECT i, 'w' FROM generate_series(1, 30000) i;";
    stage.source.execute(DATABASE, sql).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let equal = stage.product.succeed(&["verify", "--memory", "1", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&equal.stdout)?;
    for table in 0..2 {
        let table = &report["tables"][table];
        let rows = (table["source_rows"].as_u64(), table["target_rows"].as_u64());
        ensure!(rows == (Some(30_000), Some(30_000)), "{table:#}");
        ensure!(table["source_checksum"] == table["target_checksum"], "{table:#}");
    }
    let keyed = stage.target_table("keyed");
    let keyless = stage.target_table("keyless");
    for sql in [
        format!("UPDATE {keyed} SET [v] = N'foreign' WHERE [id] = 17"),
        format!("DELETE FROM {keyed} WHERE [id] = 29999"),
        format!("DELETE FROM {keyless} WHERE [v] = 29999"),
    ] {
        stage.target().await?.batch(&sql).await?;
    }
    let different = stage.product.run(&["verify", "--memory", "1"]).await?;
    ensure!(different.status.code() == Some(5), "{different}");
    for words in [
        "id=17: different (columns: v)",
        "id=29999: missing in target",
        "v=29999, w=w: missing in target",
        "differences: 3",
    ] {
        ensure!(different.stdout.contains(words), "{words}: {different}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_table_is_neither_equal_nor_different() -> Result<()> {
    let mut stage = Stage::start("quarantined").await?;
    let sql = "
        CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1);
        CREATE TABLE bad (id int PRIMARY KEY, n numeric); INSERT INTO bad VALUES (1, 1);";
    stage.source.execute(DATABASE, sql).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.source.execute(DATABASE, "UPDATE bad SET n = 'NaN'; INSERT INTO good VALUES (2)").await?;
    stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    let verify = stage.product.run(&["verify"]).await?;
    assert_eq!(verify.status.code(), Some(1), "{verify}");
    for words in ["not compared: it is quarantined", "1 table not compared", "differences: 0"] {
        ensure!(verify.stdout.contains(words), "{words}: {verify}");
    }
    let good = stage.product.run(&["verify", "--tables", "good"]).await?;
    ensure!(good.status.success() && good.stdout.contains("equal"), "{good}");
    Ok(())
}
