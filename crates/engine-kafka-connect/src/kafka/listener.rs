//! [`wants`]: what a listener wants that does not answer a plain request.
//!
//! ```text
//! SaslHandshake of no mechanism  -->  a list of mechanisms           SASL
//!                                -->  "no SASL here", or a TLS alert  plain, or TLS
//!                                -->  the connection ends
//! ClientHello                    -->  a certificate, or an alert      TLS
//! ```

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::wire::{Reader, Writer};
use super::{Address, PATIENCE, ask};

/// SaslHandshake
const SASL_HANDSHAKE: i16 = 17;

/// UNSUPPORTED_SASL_MECHANISM
const UNSUPPORTED_MECHANISM: i16 = 33;

/// What this listener wants, in words; `None` for one that takes plain requests, or is none of Kafka's.
pub(super) async fn wants(address: &Address) -> Option<String> {
    let mut request = Writer::request(SASL_HANDSHAKE, 1);
    request.string("none");
    match ask(address, request).await {
        Ok(answer) => mechanisms(&answer).map(|names| format!("SASL ({})", names.join(", "))),
        Err(_) => speaks_tls(address).await.then(|| "TLS".to_owned()),
    }
}

/// Reads the answer to SaslHandshake 1: the mechanisms that a listener knows which does not know ours.
pub(super) fn mechanisms(answer: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader { rest: answer };
    if reader.int16()? != UNSUPPORTED_MECHANISM {
        return None;
    }
    let length = reader.length()?;
    (0..length).map(|_| reader.string()).collect()
}

/// Whether something answers a ClientHello in TLS, whatever it says.
async fn speaks_tls((host, port): &Address) -> bool {
    let handshake = async {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?;
        // Nothing is trusted: the handshake ends at the certificate.
        let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let Ok(Err(error)) = timeout(PATIENCE, handshake).await else { return false };
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)))
}
