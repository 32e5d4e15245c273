//! [`connector`]: TLS with the worker and with brokers, by the given authorities or the system's.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use segcdc_model::Secret;
use tokio_rustls::TlsConnector;

/// A certificate that shows who we are, with its key.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// PEM of the certificate, and of those between it and its authority.
    pub chain_pem: Vec<u8>,
    /// PEM of its key.
    pub key_pem: Secret<Vec<u8>>,
}

/// TLS 1.2 or 1.3, host names checked. What cannot be used is said in words.
pub(crate) fn connector(
    ca_pem: Option<&[u8]>,
    client: Option<&ClientCertificate>,
) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(ca_pem)?);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let chain = CertificateDer::pem_slice_iter(&client.chain_pem).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|error| format!("the client certificate: {error}"))?;
            // An error of the key's file must not repeat the file.
            let key = PrivateKeyDer::from_pem_slice(client.key_pem.expose());
            let key = key.map_err(|_| "the key of the client certificate cannot be read".to_owned())?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| format!("the client certificate: {error}"))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The authorities that are trusted.
fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("the CA file: {error}"))?;
                roots.add(certificate).map_err(|error| format!("the CA file: {error}"))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        return Err("there is no certificate authority to trust".to_owned());
    }
    Ok(roots)
}
