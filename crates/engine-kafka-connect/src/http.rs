//! [`Http`]: one request on a connection of its own, bounded in time and size.
//!
//! Redirects are not followed, proxies of the environment are not used, and what answers is never trusted: an answer is
//! cut off when it is too large or too slow.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use segcdc_model::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::connect_url::ConnectUrl;
use crate::error::ConnectError;
use crate::tls;

/// Longest time for one request, its answer included. A worker opens database connections while it validates, with
/// time-outs of its own of 10 to 15 seconds each.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest answer, bytes. The validation of a connector is about 300 KB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 8 << 20;

/// User and password of the worker's basic authentication.
#[derive(Debug, Clone)]
pub struct BasicAuth {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// How requests are sent.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where to.
    pub url: ConnectUrl,
    /// As whom, if the worker asks.
    pub auth: Option<BasicAuth>,
    /// PEM of the certificate authorities that are trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Longest time for one request.
    pub timeout: Duration,
    /// Largest answer, bytes.
    pub max_body_bytes: usize,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body; empty when there is none.
    pub(crate) body: Vec<u8>,
}

/// Sends requests to one worker.
#[derive(Clone)]
pub(crate) struct Http {
    config: HttpConfig,
    tls: Option<TlsConnector>,
}

// === impl HttpConfig ===

impl HttpConfig {
    /// A worker without authentication, system roots, default bounds.
    pub fn new(url: ConnectUrl) -> Self {
        HttpConfig {
            url,
            auth: None,
            ca_pem: None,
            timeout: DEFAULT_TIMEOUT,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }
}

// === impl Http ===

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http({})", self.config.url)
    }
}

impl Http {
    /// Prepares TLS where the URL asks for it.
    ///
    /// # Errors
    /// [`ConnectError::Tls`] for certificates that cannot be read.
    pub(crate) fn new(config: HttpConfig) -> Result<Self, ConnectError> {
        let tls = match config.url.tls {
            true => Some(
                tls::connector(config.ca_pem.as_deref(), None)
                    .map_err(|detail| ConnectError::Tls { url: "the worker".to_owned(), detail })?,
            ),
            false => None,
        };
        Ok(Http { config, tls })
    }

    /// Where requests go.
    pub(crate) fn url(&self) -> &ConnectUrl {
        &self.config.url
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`], [`ConnectError::Tls`], [`ConnectError::Timeout`], [`ConnectError::AnswerTooLarge`].
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, ConnectError> {
        let after = self.config.timeout;
        let exchange = self.exchange(method, path, body);
        match timeout(after, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(ConnectError::Timeout { url: self.config.url.to_string(), after_s: after.as_secs() })
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, ConnectError> {
        let url = &self.config.url;
        let unreachable = |cause: std::io::Error| ConnectError::Unreachable { url: url.to_string(), cause };
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let request = self.request(method, path, body)?;
        match &self.tls {
            None => self.over(stream, request).await,
            Some(connector) => {
                let bad = |detail: String| ConnectError::Tls { url: url.to_string(), detail };
                let name = ServerName::try_from(url.host.clone()).map_err(|error| bad(error.to_string()))?;
                let stream = connector.connect(name, stream).await.map_err(|error| bad(error.to_string()))?;
                self.over(stream, request).await
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, ConnectError> {
        let url = &self.config.url;
        let bad = |_| ConnectError::Url { reason: "it cannot be part of a request" };
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, url.authority())
            .header(ACCEPT, "application/json");
        if body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if let Some(auth) = &self.config.auth {
            let token = BASE64_STANDARD.encode(format!("{}:{}", auth.user, auth.password.expose()));
            let value = HeaderValue::from_str(&format!("Basic {token}"));
            let mut value =
                value.map_err(|_| ConnectError::Url { reason: "its user or password cannot be sent" })?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        builder.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(bad)
    }

    async fn over<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Answer, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let broken = |error: hyper::Error| ConnectError::Unreachable {
            url: self.config.url.to_string(),
            cause: std::io::Error::other(error),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the answer, or when the sender is dropped at the time limit.
        let driver = tokio::spawn(connection);
        let answer = self.read(&mut sender, request).await;
        driver.abort();
        answer
    }

    async fn read(
        &self,
        sender: &mut http1::SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ConnectError> {
        let url = &self.config.url;
        let broken = |error: hyper::Error| ConnectError::Unreachable {
            url: url.to_string(),
            cause: std::io::Error::other(error),
        };
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if bytes.len() + data.len() > self.config.max_body_bytes {
                return Err(ConnectError::AnswerTooLarge {
                    url: url.to_string(),
                    limit_bytes: self.config.max_body_bytes,
                });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Answer { status, body: bytes })
    }
}
