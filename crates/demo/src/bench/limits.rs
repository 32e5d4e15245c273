//! What bounds the engine whatever it does: reading rows, decoding changes and sending bytes, each to nowhere.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use segcdc_sqlserver::TargetConfig;
use segcdc_tds::{BulkOptions, BulkTarget, Connection};
use segcdc_testkit::PostgresCluster;
use tokio::process::Command;
use tokio::time::Instant;

use super::inside::Rows;
use super::slot::Drain;

/// Rows a second that COPY in binary form gives to a client that throws them away.
pub(super) async fn copy_to_nowhere(
    source: &PostgresCluster,
    database: &str,
    table: &str,
    rows: f64,
) -> Result<f64> {
    let begun = Instant::now();
    let mut command = client_program(source, "psql", database);
    command.args(["-X", "-q", "-c", &format!("COPY {table} TO STDOUT (FORMAT binary)")]);
    ensure!(command.stdout(Stdio::null()).status().await?.success(), "psql could not copy {table}");
    Ok(rows / begun.elapsed().as_secs_f64())
}

/// Seconds that `pg_recvlogical` takes for the changes of a slot, with the options that the engine reads with.
pub(super) async fn receive_to_nowhere(
    source: &PostgresCluster,
    database: &str,
    drain: &Drain,
) -> Result<f64> {
    let mut command = client_program(source, "pg_recvlogical", database);
    command.args(["--dbname", database, "--slot", &drain.slot, "--start", "--no-loop"]);
    command.args(["--endpos", &drain.end.to_string(), "--file", "/dev/null"]);
    let publications = format!("publication_names=\"{}\"", drain.publication);
    for option in ["proto_version=2", "messages=true", "streaming=on", &publications] {
        command.args(["-o", option]);
    }
    if drain.is_binary() {
        command.args(["-o", "binary=true"]);
    }
    let begun = Instant::now();
    ensure!(command.status().await?.success(), "pg_recvlogical failed");
    Ok(begun.elapsed().as_secs_f64())
}

/// Rows a second of a bulk load of rows that are encoded already, on one connection, encrypted as the target wants it.
pub(super) async fn bare_bulk_load(target_url: &str, rows: &mut Rows) -> Result<f64> {
    let config = TargetConfig::parse(target_url)?;
    let mut connection = Connection::connect(&config.to_tds()).await?;
    let mut chunks = rows.encode_all(connection.server().collation)?;
    let (table, columns) = rows.target();
    connection.batch(&format!("IF OBJECT_ID(N'{table}') IS NULL {}", rows.create_table())).await?;
    let options = BulkOptions { table_lock: true, keep_nulls: true, ..BulkOptions::default() };
    let begun = Instant::now();
    let target = BulkTarget { table: &table, columns: &columns, options: &options };
    let mut load = connection.bulk_load(&target).await.context("INSERT BULK")?;
    for chunk in &mut chunks {
        load.send(chunk).await?;
    }
    let loaded = load.finish().await?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(loaded == rows.total(), "the sink took {loaded} rows of {}", rows.total());
    #[expect(clippy::cast_precision_loss, reason = "a count, far below 2^52")]
    let loaded = loaded as f64;
    Ok(loaded / seconds)
}

/// A client program with the source's address.
fn client_program(source: &PostgresCluster, name: &str, database: &str) -> Command {
    let mut command = Command::new(source.client_program(name));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", source.port().to_string());
    command.env("PGUSER", "postgres").env("PGDATABASE", database);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
