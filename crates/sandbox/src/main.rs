//! `segcdc-sandbox`: the development sandbox as a process.
//!
//! Starts its private PostgreSQL in the data directory, prints one line of JSON on standard output when it is ready,
//! logs to standard error, and stops both on SIGTERM, SIGINT or, if asked to, at the end of standard input.

use std::io::{IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use segcdc_sandbox::engine::{Discard, Engine, EngineOptions};
use segcdc_sandbox::server::certificate::Certificates;
use segcdc_sandbox::server::{GREETING, Policy, Route, Server};
use segcdc_testkit::{PostgresCluster, PostgresOptions, StopMode};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A development-only server that speaks SQL Server's protocol and runs a small part of T-SQL on a private PostgreSQL.
/// It is not SQL Server.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Directory for the private PostgreSQL and the certificates; made if it does not exist.
    #[arg(long)]
    data_dir: PathBuf,
    /// Database to make, and to start in when a login names none.
    #[arg(long, default_value = "sandbox")]
    database: String,
    /// The only login.
    #[arg(long, default_value = "sa")]
    user: String,
    /// File with the login's password.
    #[arg(long, conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// The login's password.
    #[arg(long, env = "SEGCDC_SANDBOX_PASSWORD", hide_env_values = true, default_value = "Sandbox-1")]
    password: String,
    /// What is encrypted of TDS 7; TDS 8.0 is always spoken, too.
    #[arg(long, value_enum, default_value = "optional")]
    encryption: Policy,
    /// Refuse bulk loads, as a server does whose login lacks the permission.
    #[arg(long)]
    refuse_bulk: bool,
    /// Count the rows of users' tables and throw them away: a sink to measure what is in front of it. Answers each COMMIT so
    /// many milliseconds late.
    #[arg(long, value_name = "MILLISECONDS")]
    discard: Option<u64>,
    /// Send every login on to another server, `HOST:PORT`, as Azure SQL does in redirect mode.
    #[arg(long)]
    send_on_to: Option<Route>,
    /// Stop at the end of standard input: with the process that holds its other end.
    #[arg(long)]
    stop_at_eof: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    tracing::info!("{GREETING}");
    run(arguments).await
}

/// Starts everything, waits for the end, stops everything.
async fn run(arguments: Arguments) -> Result<()> {
    let password = match &arguments.password_file {
        Some(path) => {
            std::fs::read_to_string(path).context(path.display().to_string())?.trim_end().to_owned()
        }
        None => arguments.password.clone(),
    };
    // Armed before anything is started: a signal during the start must not leave PostgreSQL behind.
    let ended = ended(arguments.stop_at_eof)?;
    let data_dir = std::path::absolute(&arguments.data_dir)?;
    std::fs::create_dir_all(&data_dir)?;
    let certificates = Certificates::load_or_make(&data_dir.join("tls"))?;
    let mut postgres = PostgresCluster::start(postgres_options(data_dir.join("postgres"))).await?;
    let engine = Engine::start(EngineOptions {
        postgres_port: postgres.port(),
        database: arguments.database.clone(),
        user: arguments.user.clone(),
        password: password.clone(),
        refuse_bulk: arguments.refuse_bulk,
        discard: arguments.discard.map(|delay| Discard { commit_delay: Duration::from_millis(delay) }),
    })
    .await?;
    let (policy, route) = (arguments.encryption, arguments.send_on_to.clone());
    let server = Server::bind(arguments.listen, engine, policy, &certificates, route).await?;
    let port = server.address()?.port();
    let ready = serde_json::json!({
        "port": port,
        "ca_file": certificates.ca_file,
        "url": url(&arguments, &password, port, &certificates),
        "postgres_port": postgres.port(),
        "process_id": std::process::id(),
    });
    writeln!(std::io::stdout(), "{ready}")?;
    tracing::info!(port, postgres_port = postgres.port(), "ready");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    ended.await;
    tracing::info!("stopping");
    stop.cancel();
    serving.await?;
    postgres.stop(StopMode::Fast)
}

/// The private PostgreSQL: fast, no replication; what is committed outlives a crash of the process, not of the machine.
fn postgres_options(data_dir: PathBuf) -> PostgresOptions {
    PostgresOptions { data_dir: Some(data_dir), ..PostgresOptions::default() }
        .setting("synchronous_commit", "on")
        .setting("shared_buffers", "256MB")
        .setting("max_wal_size", "4GB")
        .setting("wal_level", "minimal")
        .setting("max_wal_senders", "0")
        .setting("max_replication_slots", "0")
        .setting("checkpoint_timeout", "30min")
        .setting("autovacuum_max_workers", "1")
        .setting("autovacuum_naptime", "5min")
        .setting("max_connections", "600")
}

/// Ends with the first reason to stop.
fn ended(at_eof: bool) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let end_of_input = at_eof.then(end_of_input);
    Ok(async move {
        let eof = async {
            match end_of_input {
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = eof => {}
        }
    })
}

/// Ends with standard input. A thread of its own waits for it: it cannot be cancelled, and need not be.
fn end_of_input() -> tokio::sync::oneshot::Receiver<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut discarded = [0u8; 256];
        while std::io::stdin().read(&mut discarded).is_ok_and(|count| count > 0) {}
        sender.send(()).ok();
    });
    receiver
}

/// The URL for clients.
fn url(arguments: &Arguments, password: &str, port: u16, certificates: &Certificates) -> String {
    let mut url = url::Url::parse("sqlserver://127.0.0.1").expect("a constant that is a URL");
    let encrypt = arguments.encryption != Policy::Unsupported;
    url.set_username(&arguments.user).ok();
    url.set_password(Some(password)).ok();
    url.set_port(Some(port)).ok();
    url.set_path(&arguments.database);
    url.query_pairs_mut()
        .append_pair("encrypt", if encrypt { "true" } else { "false" })
        .append_pair("ca_file", &certificates.ca_file.display().to_string());
    url.to_string()
}
