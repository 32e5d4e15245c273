//! TLS: which versions, which authorities, which name; and the handshake of TDS 7.4, wrapped in PRELOGIN packets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Config, Encryption};
use crate::error::Error;
use crate::packet::{HEADER_LEN, PacketHeader, PacketType, put_message};
use crate::types::ALPN_TDS_8;

/// Packet size during the handshake.
const HANDSHAKE_PACKET_SIZE: u32 = 4_096;

/// TCP that, during a TDS 7.4 handshake, hides what it carries in PRELOGIN packets.
#[derive(Debug)]
pub(crate) struct Wrapped {
    tcp: TcpStream,
    /// Present during the handshake.
    wrapping: Option<Wrapping>,
}

/// State of the wrapping.
#[derive(Debug, Default)]
struct Wrapping {
    /// TLS bytes not yet packed: packed on flush, so that one flight is one message.
    flight: Vec<u8>,
    /// Packets not yet sent.
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that are sent.
    sent: usize,
    /// Bytes of the incoming packet's header that have arrived.
    header: Vec<u8>,
    /// Bytes of the incoming packet that have not been read.
    left: usize,
}

/// What a TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// Version, as rustls calls it: `TLSv1_2`.
    pub version: Option<&'static str>,
    /// Cipher suite, as rustls calls it.
    pub cipher: Option<&'static str>,
    /// The server's own certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// Whether authority and name of the certificate were checked.
    pub is_checked: bool,
}

/// Checks a server's certificate.
#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate will do.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the user's file: each is also good as a server's own certificate, which matters for
    /// self-signed ones that claim to be authorities.
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

/// Makes TLS on a TCP connection: at once (TDS 8.0) or wrapped in PRELOGIN packets (TDS 7.4).
pub(crate) async fn connect(config: &Config, tcp: TcpStream) -> Result<TlsStream<Wrapped>, Error> {
    let expected = config.host_name_in_certificate.as_deref().unwrap_or(&config.host);
    let failed = |source: io::Error| Error::Tls { host: expected.to_owned(), source };
    // The dot that makes a name absolute is none of the certificate's.
    let name = ServerName::try_from(expected.trim_end_matches('.').to_owned())
        .map_err(|error| failed(io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::new(client_config(config)?));
    let wrapping = (config.encryption != Encryption::Strict).then(Wrapping::default);
    let mut stream = connector.connect(name, Wrapped { tcp, wrapping }).await.map_err(failed)?;
    stream.get_mut().0.wrapping = None;
    Ok(stream)
}

/// The TLS configuration. TDS 7.4 servers know TLS 1.2 at most: 1.3 sends tickets behind the handshake, where a wrapped
/// handshake has no place for them.
fn client_config(config: &Config) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match config.encryption {
        Encryption::Strict => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Encryption::Required | Encryption::Off => &[&rustls::version::TLS12],
    };
    let tls_error =
        |error: rustls::Error| Error::Tls { host: config.host.clone(), source: io::Error::other(error) };
    let (authorities, pinned) = if config.accepts_any_certificate() {
        (None, Vec::new())
    } else {
        let (roots, pinned) = roots(config)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| Error::Tls { host: config.host.clone(), source: io::Error::other(error) })?;
        (Some(verifier), pinned)
    };
    let verifier = Verifier { authorities, pinned, provider: Arc::clone(&provider) };
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(tls_error)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    if config.encryption == Encryption::Strict {
        tls.alpn_protocols = vec![ALPN_TDS_8.to_vec()];
    }
    Ok(tls)
}

/// The authorities: those of the user's file, else those of the system.
fn roots(config: &Config) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &config.ca_file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let source =
                io::Error::other("the system has no certificate authorities; give some with ca_file");
            return Err(Error::Tls { host: config.host.clone(), source });
        }
        return Ok((roots, Vec::new()));
    };
    let unusable = |source: io::Error| Error::CaFile { path: path.clone(), source };
    let pem = std::fs::read(path).map_err(unusable)?;
    let pinned: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(io::Error::other(error)))?;
    for certificate in &pinned {
        roots.add(certificate.clone()).map_err(|error| unusable(io::Error::other(error)))?;
    }
    if roots.is_empty() {
        return Err(unusable(io::Error::other("no certificate in it")));
    }
    Ok((roots, pinned))
}

/// What the handshake of this stream agreed on.
pub(crate) fn info(config: &Config, stream: &TlsStream<Wrapped>) -> TlsInfo {
    let session = stream.get_ref().1;
    TlsInfo {
        version: session.protocol_version().and_then(|version| version.as_str()),
        cipher: session.negotiated_cipher_suite().and_then(|cipher| cipher.suite().as_str()),
        certificate: session.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec())),
        is_checked: !config.accepts_any_certificate(),
    }
}

// === impl Verifier ===

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        if self.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

// === impl Wrapped ===

impl Wrapped {
    /// The TCP connection, when TLS is over.
    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

impl Wrapping {
    /// Packs what TLS wrote and sends all of it.
    fn poll_flush(&mut self, tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flight.is_empty() {
            put_message(&mut self.outgoing, PacketType::PreLogin, 0, HANDSHAKE_PACKET_SIZE, &self.flight);
            self.flight.clear();
        }
        while let Some(unsent) = self.outgoing.get(self.sent..).filter(|unsent| !unsent.is_empty()) {
            self.sent += ready!(Pin::new(&mut *tcp).poll_write(cx, unsent))?;
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads what TLS is to see, never past the end of a packet.
    fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left == 0 {
            let mut piece = [0; HEADER_LEN];
            let missing = HEADER_LEN.saturating_sub(self.header.len());
            let mut read = ReadBuf::new(piece.get_mut(..missing).unwrap_or_default());
            ready!(Pin::new(&mut *tcp).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.header.extend_from_slice(read.filled());
            if let Ok(bytes) = <[u8; HEADER_LEN]>::try_from(self.header.as_slice()) {
                let header = PacketHeader::decode(bytes).map_err(io::Error::other)?;
                self.left = header.payload_len();
                self.header.clear();
            }
        }
        let room = buf.remaining().min(self.left);
        let mut read = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut *tcp).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        buf.advance(count);
        self.left = self.left.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Wrapped { tcp, wrapping } = &mut *self;
        match wrapping {
            Some(wrapping) => wrapping.poll_read(tcp, cx, buf),
            None => Pin::new(tcp).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Wrapped { tcp, wrapping } = &mut *self;
        match wrapping {
            Some(wrapping) => {
                wrapping.flight.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(tcp).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wrapped { tcp, wrapping } = &mut *self;
        if let Some(wrapping) = wrapping {
            ready!(wrapping.poll_flush(tcp, cx))?;
        }
        Pin::new(tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
