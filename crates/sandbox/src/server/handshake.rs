//! From a TCP connection to one on which LOGIN7 can be read: PRELOGIN and TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use segcdc_tds::packet::{DEFAULT_PACKET_SIZE, PacketType};
use segcdc_tds::types::ALPN_TDS_8;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::certificate::Certificates;
use crate::server::packets::{read_message, write_message};
use crate::server::prelogin::{self, Encrypted, Policy};
use crate::server::wrapped::Wrapped;

/// First byte of a TLS handshake: TDS 8.0.
const TLS_HANDSHAKE: u8 = 0x16;

/// Longest PRELOGIN that makes sense.
const PRELOGIN_BYTES: usize = 4_096;

/// Time for everything up to the login.
pub(crate) const LOGIN_LIMIT: Duration = Duration::from_secs(30);

/// What requests and answers travel over.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// How TLS is spoken.
#[derive(Clone)]
pub(crate) struct Acceptors {
    /// TDS 7: TLS 1.2, inside PRELOGIN packets.
    inner: TlsAcceptor,
    /// TDS 8.0: TLS 1.2 and 1.3, around everything.
    strict: TlsAcceptor,
}

/// A connection that is to log in.
pub(crate) enum Greeted {
    /// Nothing is encrypted.
    Plain(TcpStream),
    /// LOGIN7 is encrypted, nothing behind it.
    LoginOnly(Box<TlsStream<Wrapped<TcpStream>>>),
    /// Everything is encrypted inside TDS 7.
    Inner(Box<TlsStream<Wrapped<TcpStream>>>),
    /// Everything is encrypted around TDS 8.0.
    Strict(Box<TlsStream<TcpStream>>),
}

// === impl Acceptors ===

impl std::fmt::Debug for Acceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptors")
    }
}

impl Acceptors {
    /// With the server's certificate.
    pub(crate) fn new(certificates: &Certificates) -> Result<Self> {
        let config = |versions: &[&'static rustls::SupportedProtocolVersion]| -> Result<ServerConfig> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)?
                .with_no_client_auth()
                .with_single_cert(certificates.chain.clone(), certificates.key.clone_key())?;
            // Without resumption, the server's flight is always the last of a TLS 1.2 handshake.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            Ok(config)
        };
        let inner = config(&[&rustls::version::TLS12])?;
        let mut strict = config(&[&rustls::version::TLS12, &rustls::version::TLS13])?;
        strict.alpn_protocols = vec![ALPN_TDS_8.to_vec()];
        Ok(Acceptors { inner: Arc::new(inner).into(), strict: Arc::new(strict).into() })
    }
}

/// PRELOGIN and TLS.
pub(crate) async fn greet(tcp: TcpStream, policy: Policy, acceptors: &Acceptors) -> Result<Greeted> {
    tcp.set_nodelay(true)?;
    let mut first = [0u8; 1];
    if tcp.peek(&mut first).await? == 0 {
        bail!("closed before the first byte");
    }
    if first == [TLS_HANDSHAKE] {
        let mut tls = acceptors.strict.accept(tcp).await.context("the TLS handshake of TDS 8.0")?;
        read_prelogin(&mut tls).await?;
        // The channel is encrypted already, so that nothing is left to agree on.
        answer_prelogin(&mut tls, segcdc_tds::types::encryption::NOT_SUPPORTED).await?;
        return Ok(Greeted::Strict(Box::new(tls)));
    }
    let mut tcp = tcp;
    let (answer, encrypted) = prelogin::agree(policy, read_prelogin(&mut tcp).await?);
    answer_prelogin(&mut tcp, answer).await?;
    if encrypted == Encrypted::Nothing {
        return Ok(Greeted::Plain(tcp));
    }
    let mut tls = acceptors.inner.accept(Wrapped::new(tcp)).await.context("the TLS handshake of TDS 7")?;
    tls.get_mut().0.unwrap_rest();
    Ok(if encrypted == Encrypted::All {
        Greeted::Inner(Box::new(tls))
    } else {
        Greeted::LoginOnly(Box::new(tls))
    })
}

/// Reads PRELOGIN; returns the encryption that the client wants.
async fn read_prelogin(stream: &mut impl Transport) -> Result<u8> {
    let (packet_type, payload) = read_message(stream, PRELOGIN_BYTES).await?;
    if packet_type != PacketType::PreLogin {
        bail!("a {packet_type:?} message instead of PRELOGIN");
    }
    prelogin::decode(&payload).context("PRELOGIN")
}

/// Answers PRELOGIN.
async fn answer_prelogin(stream: &mut impl Transport, encryption: u8) -> Result<()> {
    let payload = prelogin::encode(encryption);
    Ok(write_message(stream, PacketType::TabularResult, 0, DEFAULT_PACKET_SIZE, &payload).await?)
}
