//! [`Socket`] and [`Transport`]: the byte stream to the server, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::config::{Endpoint, SourceConfig, TlsMode};
use crate::error::SourceError;
use crate::tls::TlsClient;

/// Idle time before TCP probes whether the peer is alive. Firewalls forget idle connections after some minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Time after which the kernel gives up on sent bytes that nobody acknowledges: a peer that vanished without a reset.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix domain.
    Unix(UnixStream),
}

/// A socket, under TLS or plain.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Without TLS.
    Plain(Socket),
    /// With TLS; `server_end_point` is the channel binding data, `None` where the certificate defines none.
    Tls {
        /// The encrypted stream.
        stream: Box<TlsStream<Socket>>,
        /// Hash of the server's certificate (RFC 5929).
        server_end_point: Option<Vec<u8>>,
    },
}

// === impl Socket ===

impl Socket {
    /// Connects, without a bound of its own: the caller bounds the whole attempt.
    async fn connect(config: &SourceConfig) -> Result<Self, SourceError> {
        let unreachable = |cause| SourceError::Unreachable { server: config.server(), cause };
        match &config.endpoint {
            Endpoint::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                let socket = SockRef::from(&stream);
                let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE / 3);
                socket.set_tcp_keepalive(&keepalive).map_err(unreachable)?;
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT)).map_err(unreachable)?;
                Ok(Socket::Tcp(stream))
            }
            Endpoint::Unix { directory, port } => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                Ok(Socket::Unix(UnixStream::connect(path).await.map_err(unreachable)?))
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// === impl Transport ===

impl Transport {
    /// Connects and, unless the configuration says otherwise, takes the connection under TLS.
    pub(crate) async fn open(config: &SourceConfig) -> Result<Self, SourceError> {
        let wants_tls = matches!(config.endpoint, Endpoint::Tcp { .. }) && config.tls != TlsMode::Disable;
        // Files are read first: a bad file shall not look like an unreachable server.
        let tls = if wants_tls { Some(TlsClient::new(config)?) } else { None };
        let mut socket = Socket::connect(config).await?;
        let Some(tls) = tls else { return Ok(Transport::Plain(socket)) };
        request_tls(&mut socket, config).await?;
        tls.handshake(socket).await
    }

    /// Hash of the server's certificate for SCRAM channel binding.
    pub(crate) fn server_end_point(&self) -> Option<&[u8]> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls { server_end_point, .. } => server_end_point.as_deref(),
        }
    }

    /// Whether a password may be sent in clear: nobody on a network can read it.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Transport::Plain(Socket::Tcp(_)) => false,
            Transport::Plain(Socket::Unix(_)) | Transport::Tls { .. } => true,
        }
    }
}

/// Asks the server for TLS (PostgreSQL manual, "SSL Session Encryption").
async fn request_tls(socket: &mut Socket, config: &SourceConfig) -> Result<(), SourceError> {
    let lost = |cause| SourceError::ConnectionLost { cause };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(lost)?;
    // Exactly one byte is read: anything more would be bytes that somebody put in front of the TLS session.
    match socket.read_u8().await.map_err(lost)? {
        b'S' => Ok(()),
        b'N' => Err(SourceError::TlsRefused { server: config.server() }),
        _ => Err(SourceError::NotPostgres {
            server: config.server(),
            problem: "the request for TLS was answered with neither yes nor no",
        }),
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls { stream, .. } => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls { stream, .. } => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls { stream, .. } => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls { stream, .. } => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
