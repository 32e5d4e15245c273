//! The TDS server: listener, PRELOGIN, TLS, login, requests, answers.
//!
//! ```text
//! accept -> handshake (TDS 8.0: TLS first; TDS 7: PRELOGIN, TLS inside PRELOGIN packets) -> login -> connection
//! connection: reader task -> packets -> request -> Session (engine) -> Reply -> AnswerWriter -> packets
//! ```
//!
//! - [`certificate`]: the authority and the certificate in the data directory
//! - [`handshake`], [`prelogin`], `wrapped`: from TCP to a stream that speaks LOGIN7
//! - [`login`]: LOGIN7 and its answer
//! - [`packets`]: packets in and out
//! - [`answer_writer`]: replies of the engine as tokens and packets
//! - `connection`, `procedures`, `bulk_load`: requests

pub mod answer_writer;
mod bulk_load;
pub mod certificate;
mod connection;
pub mod handshake;
pub mod login;
pub mod packets;
pub mod prelogin;
mod procedures;
mod wrapped;

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::server::certificate::Certificates;
use crate::server::handshake::Acceptors;
pub use crate::server::prelogin::Policy;

/// Version that the server claims, at login and in SERVERPROPERTY: SQL Server 2025, whose T-SQL it runs a part of.
pub const SERVER_VERSION: (u8, u8, u16) = (17, 0, 1000);

/// Name of the program in LOGINACK. FreeTDS tells SQL Server from Sybase by its first words.
pub const PROGRAM_NAME: &str = "Microsoft SQL Server protocol; SEG CDC sandbox, not SQL Server";

/// What each login is told.
pub const GREETING: &str = "This is the SEG CDC development sandbox. It is NOT SQL Server: it runs a small part of T-SQL on PostgreSQL.";

/// The first process id; below are the system's own.
const FIRST_SPID: u16 = 51;

/// Another server, to which logins are sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A listening server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) policy: Policy,
    pub(crate) acceptors: Acceptors,
    /// Where every login is sent on to, as Azure SQL's gateway does in redirect mode.
    pub(crate) route: Option<Route>,
    next_spid: AtomicU16,
}

// === impl Server ===

impl Server {
    /// Listens on `address`. With a route it answers logins and nothing else.
    pub async fn bind(
        address: SocketAddr,
        engine: Arc<Engine>,
        policy: Policy,
        certificates: &Certificates,
        route: Option<Route>,
    ) -> anyhow::Result<Self> {
        let acceptors = Acceptors::new(certificates)?;
        let listener = TcpListener::bind(address).await?;
        let shared = Shared { engine, policy, acceptors, route, next_spid: AtomicU16::new(FIRST_SPID) };
        Ok(Server { listener, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; connections end then too.
    pub async fn serve(self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = serve_one(tcp, peer, shared) => {}
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, "could not accept a connection"),
            }
        }
    }
}

// === impl Route ===

/// Reads `host:port`.
impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or("a server is HOST:PORT")?;
        Ok(Route { host: host.to_owned(), port })
    }
}

// === impl Shared ===

impl Shared {
    /// A process id that no running session has, as long as there are fewer than 30,000.
    fn spid(&self) -> u16 {
        let spid = self.next_spid.fetch_add(1, Ordering::Relaxed);
        FIRST_SPID + (spid - FIRST_SPID.min(spid)) % 30_000
    }
}

/// One connection from its first byte to its last.
async fn serve_one(tcp: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let spid = shared.spid();
    tracing::debug!(%peer, spid, "connected");
    match Box::pin(connection::run(tcp, shared, spid)).await {
        Ok(()) => tracing::debug!(%peer, spid, "disconnected"),
        Err(error) => tracing::info!(%peer, spid, error = format!("{error:#}"), "the connection failed"),
    }
}
