//! [`TlsClient`]: TLS with rustls, as strict as the user's `sslmode`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use segcdc_model::CertificateCheck;
use tokio_rustls::TlsConnector;

use crate::certificate;
use crate::config::{ClientCertificate, Endpoint, SourceConfig, TlsMode, TlsNegotiation, TlsVersion};
use crate::error::{self, LinkError, SourceError};
use crate::socket::{Socket, Transport};

/// The protocol's name in TLS (IANA), which `sslnegotiation=direct` has to agree on.
const ALPN: &[u8] = b"postgresql";

/// Permission bits that let others use a key: of an ordinary owner, and of root, who may share it with a group.
const OTHERS: [u32; 2] = [0o077, 0o037];

/// A prepared TLS client for one server.
pub(crate) struct TlsClient {
    connector: TlsConnector,
    server_name: ServerName<'static>,
    server: String,
    direct: bool,
    check: CertificateCheck,
}

/// Accepts what the user's `sslmode` accepts.
#[derive(Debug)]
struct Verifier {
    /// Checks the chain; `None` accepts any certificate.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Whether the name has to be the host's.
    names: bool,
    /// The certificates of the user's file: each is also good as a server's own certificate, as with OpenSSL. That
    /// matters for self-signed ones, most of which claim to be authorities.
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

// === impl TlsClient ===

impl TlsClient {
    /// Reads the files that the configuration names. It must have one host.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self, SourceError> {
        // The provider is given explicitly: a process-wide default depends on which other crates are linked in.
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(config))
            .map_err(|error| tls_error(config, error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier(config, &provider)?);
        let mut client = match &config.tls.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = read_certificates(&files.certificate, "client certificate")?;
                let key = read_key(files)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| SourceError::CertificateFile {
                    path: files.key.clone(),
                    role: "client key",
                    problem: error.to_string(),
                })?
            }
        };
        client.enable_sni = config.tls.send_name;
        let direct = config.tls.negotiation == TlsNegotiation::Direct;
        if direct {
            client.alpn_protocols = vec![ALPN.to_vec()];
        }
        let host = match config.hosts.first() {
            Some(Endpoint::Tcp { host, .. }) => host.trim_end_matches('.').to_owned(),
            Some(Endpoint::Unix { .. }) | None => String::new(),
        };
        let server_name = ServerName::try_from(host).map_err(|error| tls_error(config, error))?;
        let connector = TlsConnector::from(Arc::new(client));
        let (server, check) = (config.server(), certificate_check(config));
        Ok(TlsClient { connector, server_name, server, direct, check })
    }

    /// Takes the connected socket under TLS.
    pub(crate) async fn handshake(self, socket: Socket) -> Result<Transport, SourceError> {
        let (server, direct) = (self.server, self.direct);
        let stream = match self.connector.connect(self.server_name, socket).await {
            Ok(stream) => stream,
            // A server before version 17 takes the handshake for a start-up message, and hangs up.
            Err(cause) if direct && error::is_cut(&cause) => {
                return Err(LinkError::TlsDirectRefused { server, cause }.into());
            }
            Err(cause) => return Err(SourceError::Tls { server, cause }),
        };
        if direct && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            // As libpq: whoever speaks TLS, but did not agree on the protocol, may be no PostgreSQL.
            let cause =
                io::Error::new(io::ErrorKind::InvalidData, "the protocol postgresql was not agreed on");
            return Err(LinkError::TlsDirectRefused { server, cause }.into());
        }
        let server_end_point = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[CertificateDer<'_>]>::first)
            .and_then(|certificate| certificate::server_end_point(certificate));
        Ok(Transport::Tls { stream: Box::new(stream), server_end_point, check: self.check })
    }
}

/// The versions that are spoken, newest first.
fn versions(config: &SourceConfig) -> Vec<&'static SupportedProtocolVersion> {
    [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)]
        .into_iter()
        .filter(|(version, _)| (config.tls.oldest..=config.tls.newest).contains(version))
        .map(|(_, supported)| supported)
        .collect()
}

/// What is checked of the server's certificate.
fn certificate_check(config: &SourceConfig) -> CertificateCheck {
    match config.tls.mode {
        TlsMode::VerifyFull => CertificateCheck::AuthorityAndName,
        TlsMode::VerifyCa => CertificateCheck::Authority,
        // A file of authorities is there to be used, as with libpq.
        TlsMode::Allow | TlsMode::Prefer | TlsMode::Require | TlsMode::Disable => {
            match &config.tls.root_certificate {
                Some(_) => CertificateCheck::Authority,
                None => CertificateCheck::Nothing,
            }
        }
    }
}

/// What checks the server's certificate.
fn verifier(
    config: &SourceConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SourceError> {
    let tls = &config.tls;
    let check = certificate_check(config);
    let names = check == CertificateCheck::AuthorityAndName;
    let mut verifier = Verifier { chain: None, names, pinned: Vec::new(), provider: Arc::clone(provider) };
    if check == CertificateCheck::Nothing {
        return Ok(Arc::new(verifier));
    }
    let (roots, pinned) = roots(tls.root_certificate.as_deref())?;
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(path) = &tls.revocation_list {
        builder = builder.with_crls(read_revocation_lists(path)?).enforce_revocation_expiration();
    }
    verifier.chain = Some(builder.build().map_err(|error| match &tls.revocation_list {
        Some(path) => SourceError::CertificateFile {
            path: path.clone(),
            role: "list of revoked certificates",
            problem: error.to_string(),
        },
        None => tls_error(config, error),
    })?);
    verifier.pinned = pinned;
    Ok(Arc::new(verifier))
}

/// The trusted authorities: those of the file, which come a second time as they are, or those of the operating system.
fn roots(file: Option<&Path>) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), SourceError> {
    let mut store = RootCertStore::empty();
    let Some(path) = file else {
        // The system's bundle may hold certificates that rustls cannot read; those are passed over.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            return Err(SourceError::NoRootCertificates);
        }
        return Ok((store, Vec::new()));
    };
    let certificates = read_certificates(path, "root certificate")?;
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| SourceError::CertificateFile {
            path: path.to_owned(),
            role: "root certificate",
            problem: error.to_string(),
        })?;
    }
    Ok((store, certificates))
}

/// The lists of a PEM file, at least one.
fn read_revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, SourceError> {
    const ROLE: &str = "list of revoked certificates";
    let lists: Vec<_> = CertificateRevocationListDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| bad_file(path, ROLE, &error))?;
    if lists.is_empty() {
        let problem = "it holds no PEM list (X509 CRL)".to_owned();
        return Err(SourceError::CertificateFile { path: path.to_owned(), role: ROLE, problem });
    }
    Ok(lists)
}

/// The private key of the client: PKCS #8, PKCS #1 or SEC 1, not encrypted, and closed to others.
fn read_key(files: &ClientCertificate) -> Result<PrivateKeyDer<'static>, SourceError> {
    const ROLE: &str = "client key";
    let path = &files.key;
    let bad = |problem: String| SourceError::CertificateFile { path: path.clone(), role: ROLE, problem };
    let metadata = fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    let mode = metadata.mode() & 0o7777;
    let [of_owner, of_root] = OTHERS;
    if mode & if metadata.uid() == 0 { of_root } else { of_owner } != 0 {
        return Err(LinkError::KeyPermissions { path: path.clone(), mode }.into());
    }
    let text = fs::read(path).map_err(|error| bad(error.to_string()))?;
    let holds = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    if holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED") {
        return Err(LinkError::KeyEncrypted { path: path.clone() }.into());
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => bad("it holds no PEM private key".to_owned()),
        error => bad_file(path, ROLE, &error),
    })
}

/// The certificates of a PEM file, at least one.
fn read_certificates(path: &Path, role: &'static str) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| bad_file(path, role, &error))?;
    if certificates.is_empty() {
        let problem = if PrivateKeyDer::from_pem_file(path).is_ok() {
            "it holds a private key instead of a certificate"
        } else {
            "it holds no PEM certificate"
        };
        return Err(SourceError::CertificateFile {
            path: path.to_owned(),
            role,
            problem: problem.to_owned(),
        });
    }
    Ok(certificates)
}

/// The error of a PEM file.
fn bad_file(path: &Path, role: &'static str, error: &pem::Error) -> SourceError {
    SourceError::CertificateFile { path: path.to_owned(), role, problem: error.to_string() }
}

/// The error of a TLS set-up.
fn tls_error(config: &SourceConfig, error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError::Tls { server: config.server(), cause: io::Error::new(io::ErrorKind::InvalidInput, error) }
}

// === impl Verifier ===

impl Verifier {
    /// Whether the certificate is one of the user's file. Asked only once everything else about it was found good.
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.pinned.iter().any(|pinned| pinned.as_ref() == certificate.as_ref())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is compared after the chain was found good, so only the name is forgiven here.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names => Ok(ServerCertVerified::assertion()),
            // An authority's own certificate, whose time was found good before.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.is_pinned(end_entity) =>
            {
                if self.names {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
