//! [`TlsClient`]: TLS with rustls, as strict as the user's `sslmode`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use crate::certificate;
use crate::config::{Endpoint, SourceConfig, TlsMode};
use crate::error::SourceError;
use crate::socket::{Socket, Transport};

/// A prepared TLS client for one server.
pub(crate) struct TlsClient {
    connector: TlsConnector,
    server_name: ServerName<'static>,
    server: String,
}

/// Accepts what the user's `sslmode` accepts, below `verify-full`.
#[derive(Debug)]
struct LaxVerifier {
    /// Checks the chain; `None` accepts any certificate.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

// === impl TlsClient ===

impl TlsClient {
    /// Reads the files that the configuration names.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self, SourceError> {
        // The provider is given explicitly: a process-wide default depends on which other crates are linked in.
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_error(config, error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier(config, &provider)?);
        let client = match &config.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = read_certificates(&files.certificate, "client certificate")?;
                let key = PrivateKeyDer::from_pem_file(&files.key)
                    .map_err(|error| bad_file(&files.key, "client key", &error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| SourceError::CertificateFile {
                    path: files.key.clone(),
                    role: "client key",
                    problem: error.to_string(),
                })?
            }
        };
        let host = match &config.endpoint {
            Endpoint::Tcp { host, .. } => host.trim_end_matches('.').to_owned(),
            Endpoint::Unix { .. } => String::new(),
        };
        let server_name = ServerName::try_from(host).map_err(|error| tls_error(config, error))?;
        Ok(TlsClient {
            connector: TlsConnector::from(Arc::new(client)),
            server_name,
            server: config.server(),
        })
    }

    /// Takes the connected socket under TLS.
    pub(crate) async fn handshake(self, socket: Socket) -> Result<Transport, SourceError> {
        let server = self.server;
        let stream = self
            .connector
            .connect(self.server_name, socket)
            .await
            .map_err(|cause| SourceError::Tls { server, cause })?;
        let server_end_point = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[CertificateDer<'_>]>::first)
            .and_then(|certificate| certificate::server_end_point(certificate));
        Ok(Transport::Tls { stream: Box::new(stream), server_end_point })
    }
}

/// What checks the server's certificate.
fn verifier(
    config: &SourceConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SourceError> {
    let any_certificate = config.tls == TlsMode::Require && config.root_certificate.is_none();
    if any_certificate {
        return Ok(Arc::new(LaxVerifier { chain: None, provider: Arc::clone(provider) }));
    }
    let roots = Arc::new(roots(config.root_certificate.as_deref())?);
    let strict = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| tls_error(config, error))?;
    Ok(match config.tls {
        TlsMode::VerifyFull => strict,
        TlsMode::VerifyCa | TlsMode::Require | TlsMode::Disable => {
            Arc::new(LaxVerifier { chain: Some(strict), provider: Arc::clone(provider) })
        }
    })
}

/// The trusted authorities: those of the file, or those of the operating system.
fn roots(file: Option<&Path>) -> Result<RootCertStore, SourceError> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in read_certificates(path, "root certificate")? {
                store.add(certificate).map_err(|error| SourceError::CertificateFile {
                    path: path.to_owned(),
                    role: "root certificate",
                    problem: error.to_string(),
                })?;
            }
        }
        None => {
            // The system's bundle may hold certificates that rustls cannot read; those are passed over.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(SourceError::NoRootCertificates);
            }
        }
    }
    Ok(store)
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

// === impl LaxVerifier ===

impl ServerCertVerifier for LaxVerifier {
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
            )) => Ok(ServerCertVerified::assertion()),
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
