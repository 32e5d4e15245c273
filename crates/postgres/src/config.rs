//! [`SourceConfig`]: where the source is, who we are there, and how the connection is protected.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use segcdc_model::Secret;

use crate::spill::SpillSpace;

pub use crate::config::error::ConfigError;

mod error;
mod url;

/// PostgreSQL's port, used when the URL names none.
pub const DEFAULT_PORT: u16 = 5432;

/// How long one connection attempt may take, handshakes included, when the URL does not say.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address and a port.
    Tcp {
        /// Host name or IP address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A Unix-domain socket, `.s.PGSQL.<port>` in a directory.
    Unix {
        /// The directory, absolute.
        directory: PathBuf,
        /// The port in the socket's name.
        port: u16,
    },
}

/// How much TLS is asked for. Has no effect on a Unix-domain socket, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// `disable`: no TLS. Only ever by an explicit wish of the user.
    Disable,
    /// `require`: TLS with any certificate; with a root certificate given, as [`TlsMode::VerifyCa`] (libpq does so).
    Require,
    /// `verify-ca`: the certificate must come from a trusted authority; its name does not matter.
    VerifyCa,
    /// `verify-full`: the certificate must be trusted and be the host's. The default.
    VerifyFull,
}

/// A certificate that proves who the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file with the certificate and its intermediates.
    pub certificate: PathBuf,
    /// PEM file with the unencrypted private key.
    pub key: PathBuf,
}

/// All that is needed to connect to the source.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// Database name.
    pub database: String,
    /// Role name.
    pub user: String,
    /// Password; `None` where the server trusts the socket or the certificate.
    pub password: Option<Secret<String>>,
    /// How much TLS.
    pub tls: TlsMode,
    /// PEM file with the trusted authorities; `None` means those of the operating system.
    pub root_certificate: Option<PathBuf>,
    /// Certificate of the client.
    pub client_certificate: Option<ClientCertificate>,
    /// What the server shows in `pg_stat_activity.application_name`.
    pub application_name: String,
    /// Bound of one connection attempt, handshakes included.
    pub connect_timeout: Duration,
    /// Where what is too large for memory is kept: one for all sessions of this configuration and its clones.
    pub spill: SpillSpace,
}

// === impl Endpoint ===

/// `host:port`, or the path of the socket.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix { directory, port } => write!(f, "{}/.s.PGSQL.{port}", directory.display()),
        }
    }
}

// === impl TlsMode ===

impl TlsMode {
    /// The word of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        }
    }
}

// === impl SourceConfig ===

impl SourceConfig {
    /// The configuration that a `postgres://` URL describes. Files that it names are read when connecting.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        url::parse(url)
    }

    /// The URL without the password, for people.
    pub fn redacted(&self) -> String {
        url::redacted(self)
    }

    /// `host:port` or the socket's path, for messages.
    pub fn server(&self) -> String {
        self.endpoint.to_string()
    }

    /// Whether connections travel without TLS over a network: something to show to the user.
    pub fn is_unprotected(&self) -> bool {
        matches!(self.endpoint, Endpoint::Tcp { .. }) && self.tls == TlsMode::Disable
    }
}

/// Everything but the password.
impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceConfig").field(&self.redacted()).finish()
    }
}
