//! How a connection to the source is protected: TLS, and binding of the password's proof to it.

use std::path::PathBuf;

/// How much TLS is asked for. Has no effect on a Unix-domain socket, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// `disable`: no TLS.
    Disable,
    /// `allow`: no TLS, and TLS with any certificate if the server does not let in without.
    Allow,
    /// `prefer`: TLS with any certificate, and no TLS if the server has none or does not let in with it.
    Prefer,
    /// `require`: TLS with any certificate; with a root certificate given, as [`TlsMode::VerifyCa`] (libpq does so).
    Require,
    /// `verify-ca`: the certificate must come from a trusted authority; its name does not matter.
    VerifyCa,
    /// `verify-full`: the certificate must be trusted and be the host's. The default.
    VerifyFull,
}

/// How TLS begins, `sslnegotiation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsNegotiation {
    /// `postgres`: the server is asked for it first. The default.
    Ask,
    /// `direct`: at once, as with HTTPS. PostgreSQL 17 and later.
    Direct,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `TLSv1.2`
    V1_2,
    /// `TLSv1.3`
    V1_3,
}

/// Whether the proof of the password is bound to the TLS session (SCRAM-SHA-256-PLUS, RFC 5929
/// `tls-server-end-point`), so that nobody in between can pass it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// `disable`: never.
    Disable,
    /// `prefer`: wherever both sides can. The default.
    Prefer,
    /// `require`: a server that does not is refused.
    Require,
}

/// A certificate that proves who the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file with the certificate and its intermediates.
    pub certificate: PathBuf,
    /// PEM file with the unencrypted private key.
    pub key: PathBuf,
}

/// All about TLS. Files are read at each connection, so that a renewed one counts from the next connection on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// How much.
    pub mode: TlsMode,
    /// How it begins.
    pub negotiation: TlsNegotiation,
    /// PEM file with the trusted authorities; `None` means those of the operating system.
    pub root_certificate: Option<PathBuf>,
    /// PEM file with revoked certificates; with one, each certificate of a chain has to be covered by a list.
    pub revocation_list: Option<PathBuf>,
    /// Certificate of the client.
    pub client_certificate: Option<ClientCertificate>,
    /// Oldest version, `ssl_min_protocol_version`.
    pub oldest: TlsVersion,
    /// Newest version, `ssl_max_protocol_version`.
    pub newest: TlsVersion,
    /// Whether the server is told the name that we look for (`ssl_sni`), by which proxies choose it.
    pub send_name: bool,
}

// === impl TlsMode ===

impl TlsMode {
    /// All of them.
    pub const ALL: [TlsMode; 6] = [
        TlsMode::Disable,
        TlsMode::Allow,
        TlsMode::Prefer,
        TlsMode::Require,
        TlsMode::VerifyCa,
        TlsMode::VerifyFull,
    ];

    /// The word of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Allow => "allow",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        }
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    /// The word of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }
}

// === impl ChannelBinding ===

impl ChannelBinding {
    /// The word of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Prefer => "prefer",
            ChannelBinding::Require => "require",
        }
    }
}

// === impl TlsSettings ===

impl Default for TlsSettings {
    fn default() -> Self {
        TlsSettings {
            mode: TlsMode::VerifyFull,
            negotiation: TlsNegotiation::Ask,
            root_certificate: None,
            revocation_list: None,
            client_certificate: None,
            oldest: TlsVersion::V1_2,
            newest: TlsVersion::V1_3,
            send_name: true,
        }
    }
}
