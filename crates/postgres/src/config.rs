//! [`SourceConfig`]: where the source is, who we are there, and how the connection is protected.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use segcdc_model::Secret;

use crate::spill::SpillSpace;

pub use crate::config::error::ConfigError;
pub use crate::config::protection::{
    ChannelBinding, ClientCertificate, TlsMode, TlsNegotiation, TlsSettings, TlsVersion,
};

mod error;
mod hosts;
mod parameter;
mod protection;
mod redacted;
mod url;

/// PostgreSQL's port, used when the URL names none.
pub const DEFAULT_PORT: u16 = 5432;

/// How long one connection attempt may take, handshakes included, when the URL does not say.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address and a port.
    Tcp {
        /// Host name or IP address, IPv6 without brackets. It is what a certificate is compared with.
        host: String,
        /// Address to connect to; `None` asks the DNS for `host`.
        address: Option<IpAddr>,
        /// TCP port.
        port: u16,
    },
    /// A Unix-domain socket, `.s.PGSQL.<port>` in a directory.
    Unix {
        /// The directory, absolute; `@name` for Linux's sockets without a file.
        directory: PathBuf,
        /// The port in the socket's name.
        port: u16,
    },
}

/// What a server has to be, `target_session_attrs`.
///
/// Sessions of ours ask for `default_transaction_read_only = off` themselves, so that a server can be written exactly
/// if it is a primary: libpq's `read-write` is [`ServerRole::Primary`] here, its `read-only` [`ServerRole::Standby`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// `any`. The default with one host.
    Any,
    /// `primary` or `read-write`. The default with several hosts.
    Primary,
    /// `standby` or `read-only`.
    Standby,
    /// `prefer-standby`: a standby, and any server if none of the hosts is one.
    PreferStandby,
}

/// In which order several hosts are tried, `load_balance_hosts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOrder {
    /// `disable`: as they are written. The default.
    AsWritten,
    /// `random`: another order for each session.
    Random,
}

/// How a vanished server is noticed on TCP. Has no effect on a Unix-domain socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Whether the kernel asks at all, `keepalives`.
    pub enabled: bool,
    /// Silence before the first question, `keepalives_idle`. Firewalls forget idle connections after some minutes.
    pub idle: Duration,
    /// Time between questions, `keepalives_interval`.
    pub interval: Duration,
    /// Questions without an answer that end the connection, `keepalives_count`; `None` leaves it to the system.
    pub count: Option<u32>,
    /// Time after which sent bytes that nobody acknowledges end the connection, `tcp_user_timeout`: a peer that vanished
    /// without a reset. `None` leaves it to the system.
    pub user_timeout: Option<Duration>,
}

/// All that is needed to connect to the source.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Where servers listen, in the order of the URL. At least one.
    pub hosts: Vec<Endpoint>,
    /// What the server has to be.
    pub role: ServerRole,
    /// In which order the hosts are tried.
    pub host_order: HostOrder,
    /// Database name.
    pub database: String,
    /// Role name.
    pub user: String,
    /// Password; `None` where the server trusts the socket or the certificate, or the password is in a file.
    pub password: Option<Secret<String>>,
    /// File with passwords in the form of `~/.pgpass`; read at each connection, when there is no password.
    pub password_file: Option<PathBuf>,
    /// How the connection is protected.
    pub tls: TlsSettings,
    /// Whether the password's proof has to be bound to the TLS session.
    pub channel_binding: ChannelBinding,
    /// How a vanished server is noticed.
    pub keepalive: Keepalive,
    /// Further settings of the server's session, as `-c name=value`; those that the product depends on win over them.
    pub options: Option<String>,
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
            Endpoint::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Endpoint::Unix { directory, port } => write!(f, "{}/.s.PGSQL.{port}", directory.display()),
        }
    }
}

// === impl ServerRole ===

impl ServerRole {
    /// The word of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServerRole::Any => "any",
            ServerRole::Primary => "primary",
            ServerRole::Standby => "standby",
            ServerRole::PreferStandby => "prefer-standby",
        }
    }
}

// === impl Keepalive ===

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive {
            enabled: true,
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            count: None,
            user_timeout: Some(Duration::from_secs(60)),
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
        redacted::redacted(self)
    }

    /// `host:port` or the socket's path of each host, separated by commas, for messages.
    pub fn server(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.join(",")
    }

    /// Whether connections may travel without TLS over a network: something to show to the user.
    pub fn is_unprotected(&self) -> bool {
        self.is_remote() && matches!(self.tls.mode, TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer)
    }

    /// Whether any certificate is accepted on a network: something to show to the user.
    pub fn trusts_any_certificate(&self) -> bool {
        self.is_remote() && self.tls.mode == TlsMode::Require && self.tls.root_certificate.is_none()
    }

    /// The same with one host, which messages name then.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> SourceConfig {
        SourceConfig { hosts: vec![endpoint.clone()], ..self.clone() }
    }

    /// Whether a host is reached over a network.
    fn is_remote(&self) -> bool {
        self.hosts.iter().any(|host| matches!(host, Endpoint::Tcp { .. }))
    }
}

/// Everything but the password.
impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceConfig").field(&self.redacted()).finish()
    }
}
