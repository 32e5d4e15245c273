//! Types of extensions that PostgreSQL does not bring, on servers that have them.

use anyhow::{Result, ensure};
use segcdc_testkit::values::{self, Entry};
use segcdc_testkit::{PgvectorServer, PostgresOptions};

use super::super::stage::{DATABASE, Stage};
use super::{cases, random, round_trip};

/// A source on a server.
async fn stage(name: &str, server: &PgvectorServer) -> Result<Stage> {
    let options = PostgresOptions { bin_dir: Some(server.bin_dir()), ..PostgresOptions::default() };
    Stage::start_with(name, options.setting("log_replication_commands", "on")).await
}

/// A server with pgvector; `None`, and said so, where there is none.
fn server() -> Result<Option<PgvectorServer>> {
    let found = PgvectorServer::find()?;
    if found.is_none() {
        eprintln!("skipped, there is no server with pgvector: `scripts/setup.sh test` says why");
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_pgvector_round_trip() -> Result<()> {
    let Some(server) = server()? else { return Ok(()) };
    let mut stage = stage("pgvector", &server).await?;
    let mut listed = cases::listed("types.txt")?;
    listed.retain(|case| case.is_of("vector"));
    let expected = listed.len();
    let shown = cases::prepare_some(&stage.source, DATABASE, listed).await?;
    ensure!(shown.len() == expected && expected > 3, "the server has not pgvector");
    round_trip(&mut stage, &shown, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_of_pgvector_arrive() -> Result<()> {
    let Some(server) = server()? else { return Ok(()) };
    let mut stage = stage("pgvector_random", &server).await?;
    let listed: Vec<Entry> =
        values::entries().into_iter().filter(|entry| entry.needs == "extension vector").collect();
    let expected = listed.len();
    let entries = cases::random_some(&stage.source, DATABASE, listed).await?;
    ensure!(entries.len() == expected && expected > 2, "the server has not pgvector");
    random::arrive(&mut stage, &entries, &mut random::drawer("pgvector")?, false).await
}
