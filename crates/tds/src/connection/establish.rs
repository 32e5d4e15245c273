//! From a [`Config`] to a session: TCP, PRELOGIN, TLS, LOGIN7, and routings.

use std::sync::Arc;

use super::dial::dial;
use super::{Connection, LoginOutcome, Pending, ServerInfo, State};
use crate::config::{Config, Encryption};
use crate::error::{Error, is_cut};
use crate::login::{self, ClientIdentity};
use crate::packet::{DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE, MIN_PACKET_SIZE, PacketType};
use crate::prelogin::{self, Agreed};
use crate::response::Collector;
use crate::stream::{PacketStream, Transport};
use crate::tls;
use crate::types::Collation;

/// Most servers that one login may be sent on to, as with Microsoft.Data.SqlClient.
const MAX_HOPS: usize = 10;

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

/// Logs in, and again wherever the server says. Each server's certificate has to be for its own name, unless the user
/// names another.
async fn connect_and_follow(config: &Config, step: &mut &'static str) -> Result<Connection, Error> {
    let mut config = config.clone();
    for _ in 0..=MAX_HOPS {
        let connection = log_in(&config, step).await?;
        let Some((host, port)) = connection.login.routing.clone() else { return Ok(connection) };
        tracing::debug!(host, port, "the server sends us to another");
        drop(connection);
        // A name may carry an instance, which is of no concern because the port is told.
        let host = host.split('\\').next().unwrap_or_default().to_owned();
        config = Config { host, port, instance: None, ..config };
    }
    Err(Error::Routing { host: config.host, port: config.port, hops: MAX_HOPS })
}

/// All of it, with one server.
async fn log_in(config: &Config, step: &mut &'static str) -> Result<Connection, Error> {
    if !(MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&config.packet_size) {
        return Err(Error::protocol(format!("packet size {} is not 512 to 32767", config.packet_size)));
    }
    let tcp = dial(config).await?;
    let transport = if config.encryption == Encryption::Strict {
        *step = "the TLS handshake";
        Transport::Tls(Box::new(
            tls::connect(config, tcp).await.map_err(|error| strict_refused(config, error))?,
        ))
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
    let tls = stream.tls().map(|stream| tls::info(config, stream));
    *step = "the login";
    let client = ClientIdentity { host_name: host_name(), process_id: std::process::id() };
    stream.send(PacketType::Login7, &login::encode(config, &client)?).await?;
    if agreed == Agreed::LoginOnly {
        stream = decrypt(stream)?;
    }
    let mut connection = Connection::fresh(stream, config, agreed == Agreed::All);
    connection.server.tls = tls;
    connection.read_login_answer().await?;
    Ok(connection)
}

/// A server that does not know TDS 8.0 takes the handshake for a broken packet, and hangs up.
fn strict_refused(config: &Config, error: Error) -> Error {
    match error {
        Error::Tls { source, .. } if is_cut(&source) => {
            Error::StrictRefused { host: config.host.clone(), port: config.port, source }
        }
        error => error,
    }
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
                tls: None,
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
            // Who only sends the login on has nothing to acknowledge; [MS-TDS] 2.2.7.9 wants it to, not all do.
            return match self.login.routing {
                Some(_) => Ok(()),
                None => Err(Error::protocol("the login was neither acknowledged nor refused")),
            };
        };
        tracing::debug!(program = ack.program_name, version = ?ack.version, "logged in");
        self.server.tds_version = ack.tds_version;
        self.server.program_name = ack.program_name;
        self.server.version = ack.version;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::packet::{HEADER_LEN, PacketHeader, put_message};
    use crate::types::{encryption, env_change, prelogin_option, tds_version, token_id};

    /// Reads one message of one packet.
    async fn message(tcp: &mut TcpStream) {
        let mut head = [0; HEADER_LEN];
        tcp.read_exact(&mut head).await.unwrap();
        let header = PacketHeader::decode(head).unwrap();
        tcp.read_exact(&mut vec![0; header.payload_len()]).await.unwrap();
    }

    async fn answer(tcp: &mut TcpStream, payload: &[u8]) {
        let mut bytes = Vec::new();
        put_message(&mut bytes, PacketType::TabularResult, 0, DEFAULT_PACKET_SIZE, payload);
        tcp.write_all(&bytes).await.unwrap();
    }

    /// A token with a length of two bytes.
    fn token(id: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_le_bytes();
        [&[id], &length[..], body].concat()
    }

    /// LOGINACK, the routing if there is one, DONE: as Azure SQL answers in redirect mode ([MS-TDS] 2.2.7.9).
    fn welcome(route: Option<(&str, u16)>) -> Vec<u8> {
        let name = [1, b'x', 0];
        let ack = [&[1][..], &tds_version::V7_4.to_be_bytes(), &name, &[16, 0, 0, 0]].concat();
        let mut out = token(token_id::LOGINACK, &ack);
        if let Some((host, port)) = route {
            let host: Vec<u8> = host.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let units = u16::try_from(host.len() / 2).unwrap().to_le_bytes();
            let value = [&[0][..], &port.to_le_bytes(), &units, &host].concat();
            let length = u16::try_from(value.len()).unwrap().to_le_bytes();
            let change = [&[env_change::ROUTING][..], &length, &value, &[0, 0]].concat();
            out.extend(token(token_id::ENVCHANGE, &change));
        }
        out.push(token_id::DONE);
        out.extend_from_slice(&[0; 12]);
        out
    }

    /// A server that answers logins by `route`, which is told how many came before; returns its port.
    async fn server(route: impl Fn(u16, usize) -> Option<(&'static str, u16)> + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for count in 0.. {
                let (mut tcp, _) = listener.accept().await.unwrap();
                message(&mut tcp).await;
                let options = [prelogin_option::ENCRYPTION, 0, 6, 0, 1, prelogin_option::TERMINATOR];
                answer(&mut tcp, &[&options[..], &[encryption::NOT_SUPPORTED]].concat()).await;
                message(&mut tcp).await;
                answer(&mut tcp, &welcome(route(port, count))).await;
            }
        });
        port
    }

    fn config(port: u16) -> Config {
        let encryption = Encryption::Off;
        Config { host: "127.0.0.1".to_owned(), port, encryption, ..Config::default() }
    }

    #[tokio::test]
    async fn login_goes_where_servers_send_it() {
        let last = server(|_, _| None).await;
        let middle = server(move |_, _| Some(("localhost\\\\SHOP", last))).await;
        let first = server(move |_, _| Some(("127.0.0.1", middle))).await;
        let connection = connect(&config(first)).await.unwrap();
        assert!(connection.login.routing.is_none());
    }

    #[tokio::test]
    async fn circle_of_servers_ends() {
        let within = server(|own, count| (count < MAX_HOPS).then_some(("127.0.0.1", own))).await;
        connect(&config(within)).await.unwrap();
        let endless = server(|own, _| Some(("127.0.0.1", own))).await;
        let refused = connect(&config(endless)).await.unwrap_err();
        assert!(matches!(refused, Error::Routing { hops: MAX_HOPS, .. }), "{refused:?}");
        assert_eq!((refused.code(), refused.is_transient()), ("TARGET_ROUTING", false));
    }

    #[tokio::test]
    async fn server_that_hangs_up_on_strict_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            // A server before 2022 reads the handshake as a packet of an unknown type.
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.read_exact(&mut [0; HEADER_LEN]).await.unwrap();
        });
        let strict =
            Config { encryption: Encryption::Strict, trust_server_certificate: true, ..config(port) };
        let refused = connect(&strict).await.unwrap_err();
        assert_eq!((refused.code(), refused.is_transient()), ("TARGET_STRICT_REFUSED", true), "{refused:?}");
    }
}
