//! [`Socket`] and [`Transport`]: the byte stream to the server, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use segcdc_model::{CertificateCheck, TlsFacts};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::config::{Keepalive, SourceConfig, TlsNegotiation};
use crate::error::SourceError;
use crate::tls::TlsClient;

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix-domain socket; a path that begins with NUL is one without a file.
    Unix(PathBuf),
}

/// What is wanted of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// No TLS.
    Plain,
    /// TLS, or none where the server has none.
    TlsIfOffered,
    /// TLS.
    Tls,
}

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
    /// With TLS.
    Tls {
        /// The encrypted stream.
        stream: Box<TlsStream<Socket>>,
        /// The channel binding data, a hash of the server's certificate (RFC 5929); `None` where the certificate defines none.
        server_end_point: Option<Vec<u8>>,
        /// What was checked of the certificate.
        check: CertificateCheck,
    },
}

// === impl Socket ===

impl Socket {
    /// Connects, without a bound of its own: the caller bounds the whole attempt.
    async fn connect(config: &SourceConfig, place: &Place) -> Result<Self, SourceError> {
        let unreachable = |cause| SourceError::Unreachable { server: config.server(), cause };
        match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                keep_alive(&stream, &config.keepalive).map_err(unreachable)?;
                Ok(Socket::Tcp(stream))
            }
            Place::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await.map_err(unreachable)?)),
        }
    }
}

/// Has the kernel notice a peer that vanished.
fn keep_alive(stream: &TcpStream, wanted: &Keepalive) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if wanted.enabled {
        let mut keepalive = TcpKeepalive::new().with_time(wanted.idle).with_interval(wanted.interval);
        if let Some(count) = wanted.count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(wanted.user_timeout)?;
    Ok(())
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
    /// Connects and takes the connection under TLS, as far as that is wanted. The configuration must have one host.
    pub(crate) async fn open(
        config: &SourceConfig,
        place: &Place,
        protection: Protection,
    ) -> Result<Self, SourceError> {
        // Files are read first: a bad file shall not look like an unreachable server.
        let tls = if protection == Protection::Plain { None } else { Some(TlsClient::new(config)?) };
        let mut socket = Socket::connect(config, place).await?;
        let Some(tls) = tls else { return Ok(Transport::Plain(socket)) };
        if config.tls.negotiation == TlsNegotiation::Ask && !request_tls(&mut socket, config).await? {
            return match protection {
                Protection::Tls => Err(SourceError::TlsRefused { server: config.server() }),
                Protection::TlsIfOffered | Protection::Plain => Ok(Transport::Plain(socket)),
            };
        }
        tls.handshake(socket).await
    }

    /// Whether there is a TLS session.
    pub(crate) fn has_tls(&self) -> bool {
        matches!(self, Transport::Tls { .. })
    }

    /// Hash of the server's certificate for SCRAM channel binding.
    pub(crate) fn server_end_point(&self) -> Option<&[u8]> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls { server_end_point, .. } => server_end_point.as_deref(),
        }
    }

    /// What the handshake agreed on; `None` without TLS.
    pub(crate) fn tls_facts(&self) -> Option<TlsFacts> {
        let Transport::Tls { stream, check, .. } = self else { return None };
        let (_, session) = stream.get_ref();
        let version = session.protocol_version();
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        let names = (version.as_ref().and_then(|v| v.as_str()), suite.as_ref().and_then(|s| s.as_str()));
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        Some(TlsFacts::named(names, *check, certificate.map(AsRef::as_ref)))
    }

    /// Whether a password may be sent in clear: nobody on a network can read it.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Transport::Plain(Socket::Tcp(_)) => false,
            Transport::Plain(Socket::Unix(_)) | Transport::Tls { .. } => true,
        }
    }
}

/// Asks the server for TLS (PostgreSQL manual, "SSL Session Encryption"); returns whether it has it.
async fn request_tls(socket: &mut Socket, config: &SourceConfig) -> Result<bool, SourceError> {
    let lost = |cause| SourceError::ConnectionLost { cause };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(lost)?;
    // Exactly one byte is read: anything more would be bytes that somebody put in front of the TLS session.
    match socket.read_u8().await.map_err(lost)? {
        b'S' => Ok(true),
        b'N' => Ok(false),
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
