//! The type matrix, value by value: what `tests/matrix/types.txt` lists arrives exactly, or is refused by name.

pub(super) mod cases;
mod documents;
mod encodings;
mod extensions;
mod hostile;
mod keys;
mod overrides;
mod random;
mod refused;

use std::fs;

use anyhow::{Result, ensure};
use segcdc_testkit::PostgresOptions;

use super::independent;
use super::stage::{DATABASE, Stage};
use cases::{Case, Columns};

/// A label that an enum gets after its table was copied, and a table that it is used in.
const LATE_LABEL: &str = "ALTER TYPE matrix.mood ADD VALUE 'later'";

/// A source with everything that the types need, and the cases that it can show.
pub(super) async fn stage(name: &str) -> Result<(Stage, Vec<Case>)> {
    // The server's log is where it can be seen in which form the stream was asked for.
    let options = PostgresOptions::default().setting("log_replication_commands", "on");
    let stage = Stage::start_with(name, options).await?;
    let cases = cases::prepare(&stage.source, DATABASE).await?;
    Ok((stage, cases))
}

/// Copies a table with a column a type, then changes it by the stream; clients of others compare both times.
async fn round_trip(stage: &mut Stage, cases: &[Case], binary: bool) -> Result<()> {
    let columns = Columns::new(cases);
    let (create, fill) = (columns.create("matrix_types"), columns.fill("matrix_types", 0));
    stage.source().await?.batch_execute(&format!("{create}; {fill}")).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&["matrix_types"]).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");

    // The large values have gone by the stream with the UPDATE already.
    let mut again = cases.to_vec();
    cases::leave_out_large(&mut again);
    stage.source.execute(DATABASE, LATE_LABEL).await?;
    let changes = format!(
        "{}; {}; {}",
        columns.rotate("matrix_types"),
        Columns::new(&again).fill("matrix_types", 1000),
        columns.use_label("matrix_types", "later"),
    );
    stage.source().await?.batch_execute(&changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&["matrix_types"]).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    // FreeTDS reads what the other client reads, by code of its own.
    let tables = ["matrix_types"];
    let again = independent::compare_by("pymssql", &stage.source, DATABASE, &stage.target, &tables).await?;
    ensure!(again.equal, "by pymssql: {again:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    ensure_streamed(stage, binary)
}

/// Every stream that was started asked for values in this form.
fn ensure_streamed(stage: &Stage, binary: bool) -> Result<()> {
    let log = fs::read_to_string(stage.source.data_dir().join("server.log"))?;
    let started = log.lines().filter(|line| line.contains("START_REPLICATION")).collect::<Vec<_>>();
    ensure!(!started.is_empty(), "no stream was started");
    ensure!(started.iter().all(|line| line.contains("binary 'true'") == binary), "{started:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_round_trips_as_text() -> Result<()> {
    let (mut stage, cases) = stage("matrix_text").await?;
    round_trip(&mut stage, &cases, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_with_a_binary_decoder_round_trips_as_binary() -> Result<()> {
    let (mut stage, mut cases) = stage("matrix_binary").await?;
    cases.retain(|case| case.has_binary_form);
    round_trip(&mut stage, &cases, true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renamed_label_is_found_by_verify_and_mended_by_resync() -> Result<()> {
    let mut stage = Stage::start("matrix_label").await?;
    let setup = "CREATE TYPE mood AS ENUM ('sad', 'ok'); \
         CREATE TABLE people (id int PRIMARY KEY, feeling mood); INSERT INTO people VALUES (1, 'sad'), (2, 'ok')";
    stage.source.execute(DATABASE, setup).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    // What PostgreSQL prints for row 1 is another text now, and nothing of it is in the stream.
    stage.source.execute(DATABASE, "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let found = stage.product.run(&["verify"]).await?;
    ensure!(found.status.code() == Some(5) && found.stdout.contains("differences: 1"), "{found}");
    stage.product.succeed(&["table", "resync", "--tables", "people", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let mended = stage.compare(&["people"]).await?;
    ensure!(mended.equal, "{mended:#?}");
    Ok(())
}
