//! [`LinkError`]: what can go wrong between the URL and a session, beyond a server that is not there.

use std::io;
use std::path::PathBuf;

use segcdc_model::{Disposition, Fault, fault};

use super::SourceError;

/// Why the way to the source cannot be used as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// TLS was begun at once, `sslnegotiation=direct`, and the server did not take part.
    #[error("PostgreSQL at {server} did not take TLS without being asked first")]
    TlsDirectRefused {
        /// `host:port`.
        server: String,
        /// How it ended.
        #[source]
        cause: io::Error,
    },
    /// The password's proof has to be bound to the TLS session, `channel_binding=require`, and cannot be.
    #[error("PostgreSQL at {server} cannot bind the password to the TLS session: {problem}")]
    ChannelBinding {
        /// `host:port` or the socket's path.
        server: String,
        /// Why.
        problem: &'static str,
    },
    /// The private key of the client is encrypted with a passphrase.
    #[error("the client key {} is encrypted with a passphrase", .path.display())]
    KeyEncrypted {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner can read the private key of the client.
    #[error("the client key {} can be read by others (mode {mode:04o})", .path.display())]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file with passwords cannot be used.
    #[error("cannot use the file with passwords {}: {problem}", .path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The server is a standby and has to be a primary, or the other way round, `target_session_attrs`.
    #[error("PostgreSQL at {server} is a {found}, and has to be a {wanted}")]
    WrongRole {
        /// `host:port` or the socket's path.
        server: String,
        /// `primary` or `standby`.
        found: &'static str,
        /// The other one.
        wanted: &'static str,
    },
    /// Something in between let us in and kept a setting of the session from the server.
    #[error("the setting {setting} did not reach PostgreSQL behind {server}")]
    SettingIgnored {
        /// `host:port` or the socket's path.
        server: String,
        /// The setting.
        setting: &'static str,
    },
    /// Several hosts or addresses were given, and none of them will do.
    #[error("none of the source's hosts can be used: {}", listed(.failures))]
    NoHost {
        /// Hosts, and what is wrong with each.
        failures: Vec<(String, SourceError)>,
    },
}

/// What is wrong with each host, in one line.
fn listed(failures: &[(String, SourceError)]) -> String {
    let each = failures.iter().map(|(server, error)| {
        let text = fault::chain(error);
        if text.contains(server.as_str()) { text } else { format!("{server}: {text}") }
    });
    each.collect::<Vec<_>>().join("; ")
}

// === impl LinkError ===

impl Fault for LinkError {
    fn code(&self) -> &'static str {
        match self {
            LinkError::TlsDirectRefused { .. } => "TLS_DIRECT_REFUSED",
            LinkError::ChannelBinding { .. } => "AUTH_CHANNEL_BINDING",
            LinkError::KeyEncrypted { .. } => "CLIENT_KEY_ENCRYPTED",
            LinkError::KeyPermissions { .. } => "CLIENT_KEY_PERMISSIONS",
            LinkError::PasswordFile { .. } => "PASSWORD_FILE",
            LinkError::WrongRole { .. } => "SOURCE_ROLE",
            LinkError::SettingIgnored { .. } => "POOLER_SETTINGS",
            LinkError::NoHost { .. } => "SOURCE_NO_HOST",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            // A server that goes down at this moment looks the same.
            LinkError::TlsDirectRefused { cause, .. } if super::is_cut(cause) => Disposition::Retry,
            // A failover may be under way.
            LinkError::WrongRole { .. } | LinkError::NoHost { .. } => Disposition::Retry,
            LinkError::TlsDirectRefused { .. }
            | LinkError::ChannelBinding { .. }
            | LinkError::KeyEncrypted { .. }
            | LinkError::KeyPermissions { .. }
            | LinkError::PasswordFile { .. }
            | LinkError::SettingIgnored { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            LinkError::TlsDirectRefused { .. } => {
                "sslnegotiation=direct needs PostgreSQL 17 or later with ssl = on; leave it away for others"
            }
            LinkError::ChannelBinding { .. } => {
                "let pg_hba.conf ask for scram-sha-256 on a hostssl line, store the password as scram-sha-256, and connect \
                 without a pooler or proxy that ends TLS; or leave channel_binding=require away"
            }
            LinkError::KeyEncrypted { path } => {
                return format!(
                    "take the passphrase from it: openssl pkey -in {0} -out {0}.plain, then chmod 600 {0}.plain, and \
                     give that file as sslkey",
                    path.display()
                );
            }
            LinkError::KeyPermissions { path, .. } => {
                return format!(
                    "close it to others: chmod 600 {} (0640 will do for a file of root)",
                    path.display()
                );
            }
            LinkError::PasswordFile { .. } => {
                "each line is host:port:database:user:password, * stands for any; the file must be closed to others \
                 (chmod 600)"
            }
            LinkError::WrongRole { .. } => {
                "give the hosts of the whole cluster separated by commas, so that a failover is followed, or another \
                 target_session_attrs; it is tried again by itself"
            }
            LinkError::SettingIgnored { .. } => {
                "connect to PostgreSQL itself: a pooler in between ignores what the session asks for (PgBouncer's \
                 ignore_startup_parameters), so that values could arrive in another form"
            }
            LinkError::NoHost { .. } => {
                "see what is wrong with each host; after a failover it is tried again until one of them is the primary"
            }
        }
        .to_owned()
    }
}
