//! From a [`Config`] to a session: TCP, PRELOGIN, TLS, LOGIN7, and one routing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::{Connection, LoginOutcome, Pending, ServerInfo, State};
use crate::config::{Config, Encryption};
use crate::error::Error;
use crate::login::{self, ClientIdentity};
use crate::packet::{DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE, MIN_PACKET_SIZE, PacketType};
use crate::prelogin::{self, Agreed};
use crate::response::Collector;
use crate::stream::{PacketStream, Transport};
use crate::tls;
use crate::types::Collation;

/// Silence after which the system asks whether the other side still lives.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// Time between such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Questions without an answer after which the connection is dead: a minute of silence in all.
const KEEPALIVE_TRIES: u32 = 3;

/// See [`Connection::connect`].
pub(super) async fn connect(config: &Config) -> Result<Connection, Error> {
    let mut step = "the TCP connection";
    let whole = Box::pin(connect_and_follow(config, &mut step));
    match tokio::time::timeout(config.connect_timeout, whole).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Error::Timeout {
            host: config.host.clone(),
            port: config.port,
            during: step,
            seconds: config.connect_timeout.as_secs(),
        }),
    }
}

/// Logs in, and once more where the server says.
async fn connect_and_follow(config: &Config, step: &mut &'static str) -> Result<Connection, Error> {
    let connection = log_in(config, step).await?;
    let Some((host, port)) = connection.login.routing.clone() else { return Ok(connection) };
    tracing::debug!(host, port, "the server sends us to another");
    drop(connection);
    let elsewhere = Config { host, port, ..config.clone() };
    let connection = log_in(&elsewhere, step).await?;
    if connection.login.routing.is_some() {
        return Err(Error::protocol("a server that we were sent to sends us on"));
    }
    Ok(connection)
}

/// All of it, with one server.
async fn log_in(config: &Config, step: &mut &'static str) -> Result<Connection, Error> {
    if !(MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&config.packet_size) {
        return Err(Error::protocol(format!("packet size {} is not 512 to 32767", config.packet_size)));
    }
    let tcp = dial(config).await?;
    let transport = if config.encryption == Encryption::Strict {
        *step = "the TLS handshake";
        Transport::Tls(Box::new(tls::connect(config, tcp).await?))
    } else {
        Transport::Plain(tcp)
    };
    *step = "PRELOGIN";
    let mut stream = PacketStream::new(transport);
    stream.send(PacketType::PreLogin, &prelogin::encode(config.encryption)).await?;
    let mut payload = Vec::new();
    while !stream.read_packet(&mut payload).await? {}
    let answer = prelogin::decode(&payload)?;
    let agreed = prelogin::agree(config.encryption, answer.encryption)
        .ok_or_else(|| Error::EncryptionRefused { host: config.host.clone(), port: config.port })?;
    if config.encryption != Encryption::Strict && agreed != Agreed::Nothing {
        *step = "the TLS handshake";
        stream = encrypt(config, stream).await?;
    }
    *step = "the login";
    let client = ClientIdentity { host_name: host_name(), process_id: std::process::id() };
    stream.send(PacketType::Login7, &login::encode(config, &client)?).await?;
    if agreed == Agreed::LoginOnly {
        stream = decrypt(stream)?;
    }
    let mut connection = Connection::fresh(stream, config, agreed == Agreed::All);
    connection.read_login_answer().await?;
    Ok(connection)
}

/// The TCP connection, with keep-alives: a peer that vanished is noticed even while nothing is sent.
async fn dial(config: &Config) -> Result<TcpStream, Error> {
    let failed = |source: io::Error| Error::Connect { host: config.host.clone(), port: config.port, source };
    let tcp = TcpStream::connect((config.host.as_str(), config.port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    SockRef::from(&tcp).set_tcp_keepalive(&keepalive).map_err(failed)?;
    Ok(tcp)
}

/// Puts TLS on a plain stream that is between two messages.
async fn encrypt(config: &Config, mut stream: PacketStream) -> Result<PacketStream, Error> {
    match stream.take_transport() {
        Some(Transport::Plain(tcp)) => {
            stream.put_transport(Transport::Tls(Box::new(tls::connect(config, tcp).await?)));
            Ok(stream)
        }
        _ => Err(Error::Closed),
    }
}

/// Takes TLS off again, once the login is sent: the server does the same.
fn decrypt(mut stream: PacketStream) -> Result<PacketStream, Error> {
    match stream.take_transport() {
        Some(Transport::Tls(tls)) => {
            stream.put_transport(Transport::Plain(tls.into_inner().0.into_tcp()));
            Ok(stream)
        }
        _ => Err(Error::Closed),
    }
}

/// This machine's name, as the kernel has it.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

impl Connection {
    /// A connection whose login is on its way.
    fn fresh(stream: PacketStream, config: &Config, encrypted: bool) -> Self {
        Connection {
            stream,
            server: ServerInfo {
                program_name: String::new(),
                version: (0, 0, 0),
                tds_version: 0,
                packet_size: DEFAULT_PACKET_SIZE,
                database: config.database.clone(),
                collation: Collation::SQL_LATIN1_GENERAL_CP1_CI_AS,
                encrypted,
            },
            state: State::Busy,
            pending: Pending::Answer,
            columns: Arc::new([]),
            transaction: 0,
            payload: Vec::new(),
            decoded: 0,
            last_packet: false,
            row: None,
            login: LoginOutcome::default(),
        }
    }

    /// Reads the answer to LOGIN7.
    async fn read_login_answer(&mut self) -> Result<(), Error> {
        let mut collector = Collector::new(None);
        let outcome = self.collect(&mut collector).await;
        if let Some(errors) = collector.take_errors() {
            return Err(Error::Login(errors));
        }
        outcome?;
        let Some(ack) = self.login.ack.take() else {
            return Err(Error::protocol("the login was neither acknowledged nor refused"));
        };
        tracing::debug!(program = ack.program_name, version = ?ack.version, "logged in");
        self.server.tds_version = ack.tds_version;
        self.server.program_name = ack.program_name;
        self.server.version = ack.version;
        Ok(())
    }
}
