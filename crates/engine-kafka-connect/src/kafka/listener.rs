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

use super::Address;
use super::connection::{PATIENCE, SASL_HANDSHAKE, Security, ask, handshaken};
use super::wire::Writer;

/// UNSUPPORTED_SASL_MECHANISM
const UNSUPPORTED_MECHANISM: i16 = 33;

/// What this listener wants, in words; `None` for one that takes plain requests, or is none of Kafka's.
pub(super) async fn wants(address: &Address) -> Option<String> {
    let mut request = Writer::request(SASL_HANDSHAKE, 1);
    request.string("none");
    match ask(&Security::default(), address, request).await {
        Ok(answer) => match handshaken(&answer)? {
            (UNSUPPORTED_MECHANISM, names) => Some(format!("SASL ({})", names.join(", "))),
            _ => None,
        },
        Err(_) => speaks_tls(address).await.then(|| "TLS".to_owned()),
    }
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
