//! Types of extensions that PostgreSQL does not bring, on servers that have them.

use anyhow::{Result, ensure};
use segcdc_testkit::extension_server::Extension;
use segcdc_testkit::values::{self, Entry};
use segcdc_testkit::{ExtensionServer, PGVECTOR, POSTGIS, PostgresOptions};

use super::super::stage::{DATABASE, Stage};
use super::{cases, random, round_trip};

/// A source on a server with the extension, which lives as long as the stage needs it; `None`, and said so, where there is none.
async fn stage(name: &str, extension: Extension) -> Result<Option<(Stage, ExtensionServer)>> {
    let Some(server) = ExtensionServer::find(extension)? else {
        eprintln!("skipped, there is no server with {}: `scripts/setup.sh test` says why", extension.name);
        return Ok(None);
    };
    let options = PostgresOptions { bin_dir: Some(server.bin_dir()), ..PostgresOptions::default() };
    let stage = Stage::start_with(name, options.setting("log_replication_commands", "on")).await?;
    Ok(Some((stage, server)))
}

/// Sends the listed values of the extension's types, and changes them by the stream.
async fn listed(name: &str, extension: Extension, at_least: usize) -> Result<()> {
    let Some((mut stage, _server)) = stage(name, extension).await? else { return Ok(()) };
    let mut listed = cases::listed("types.txt")?;
    listed.retain(|case| case.is_of(extension.name));
    let expected = listed.len();
    let shown = cases::prepare_some(&stage.source, DATABASE, listed).await?;
    ensure!(shown.len() == expected && expected >= at_least, "the server has not {}", extension.name);
    round_trip(&mut stage, &shown, false).await
}

/// Sends random values of the extension's types.
async fn drawn(name: &str, extension: Extension, at_least: usize) -> Result<()> {
    let Some((mut stage, _server)) = stage(name, extension).await? else { return Ok(()) };
    let needed = format!("extension {}", extension.name);
    let listed: Vec<Entry> = values::entries().into_iter().filter(|entry| entry.needs == needed).collect();
    let expected = listed.len();
    let entries = cases::random_some(&stage.source, DATABASE, listed).await?;
    ensure!(entries.len() == expected && expected >= at_least, "the server has not {}", extension.name);
    random::arrive(&mut stage, &entries, &mut random::drawer(extension.name)?, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_pgvector_round_trip() -> Result<()> {
    listed("pgvector", PGVECTOR, 4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_of_pgvector_arrive() -> Result<()> {
    drawn("pgvector_random", PGVECTOR, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_postgis_round_trip() -> Result<()> {
    listed("postgis", POSTGIS, 7).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_values_of_postgis_arrive() -> Result<()> {
    drawn("postgis_random", POSTGIS, 5).await
}
