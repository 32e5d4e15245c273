//! [`ConfigError`]: what can be wrong with a source URL.

use segcdc_model::{Disposition, Fault};

/// Why a source URL was refused. No text of it is repeated, because any part may hold a mistyped password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It does not begin with `postgres://` or `postgresql://`.
    #[error("the source URL does not begin with postgres:// or postgresql://")]
    Scheme,
    /// A part that cannot be left out is missing or empty.
    #[error("the source URL has no {part}")]
    Missing {
        /// Which part.
        part: &'static str,
    },
    /// A percent escape is cut short, or the result is not UTF-8 or holds a NUL.
    #[error("the {part} of the source URL is not valid percent-encoded UTF-8")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// A raw `#`, which would cut the URL in two.
    #[error("the source URL holds a raw \"#\"")]
    Fragment,
    /// The host is empty, too long, or holds a character that host names do not have.
    #[error("the host of the source URL is not a host name, an address or an absolute socket directory")]
    Host,
    /// `hostaddr` holds something that is not a numeric address.
    #[error("a hostaddr of the source URL is not an IP address")]
    Address,
    /// The lists of hosts, addresses and ports differ in length, or are endless.
    #[error("the source URL does not give one host, address and port for each server")]
    HostLists,
    /// `load_balance_hosts=random` where any server will do.
    #[error("the source URL asks for random hosts, and not for the primary")]
    BalanceWithoutPrimary,
    /// The port is not a number from 1 to 65535.
    #[error("the port of the source URL is not a number from 1 to 65535")]
    Port,
    /// The database or role name is longer than PostgreSQL allows.
    #[error("the {part} of the source URL is longer than 63 bytes")]
    NameTooLong {
        /// Which part.
        part: &'static str,
    },
    /// A parameter that is not known.
    #[error("the source URL has the unknown parameter \"{name}\"")]
    UnknownParameter {
        /// Its name, at most 64 characters of it.
        name: String,
    },
    /// A parameter of libpq that has no effect here, and whose user would rely on it.
    #[error("the source URL has the parameter \"{name}\", which is not supported")]
    RefusedParameter {
        /// Its name.
        name: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A parameter that is there twice, or repeats a part of the URL.
    #[error("the source URL gives \"{name}\" twice")]
    Duplicate {
        /// Its name.
        name: &'static str,
    },
    /// A parameter with a value that it cannot have.
    #[error("the parameter \"{name}\" of the source URL must be {expected}")]
    ParameterValue {
        /// Its name.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
    },
    /// `sslcert` without `sslkey`, or the other way round.
    #[error("the source URL gives only one of sslcert and sslkey")]
    HalfClientCertificate,
}

// === impl ConfigError ===

impl Fault for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            ConfigError::Scheme => "URL_SCHEME",
            ConfigError::Missing { .. } => "URL_INCOMPLETE",
            ConfigError::Encoding { .. } | ConfigError::Fragment => "URL_ENCODING",
            ConfigError::Host | ConfigError::Address | ConfigError::HostLists => "HOST_INVALID",
            ConfigError::BalanceWithoutPrimary => "URL_PARAMETER_VALUE",
            ConfigError::RefusedParameter { .. } => "URL_PARAMETER_UNSUPPORTED",
            ConfigError::Port => "PORT_RANGE",
            ConfigError::NameTooLong { .. } => "NAME_TOO_LONG",
            ConfigError::UnknownParameter { .. } => "URL_PARAMETER_UNKNOWN",
            ConfigError::Duplicate { .. } => "URL_PARAMETER_DUPLICATE",
            ConfigError::ParameterValue { .. } => "URL_PARAMETER_VALUE",
            ConfigError::HalfClientCertificate => "CLIENT_CERTIFICATE_INCOMPLETE",
        }
    }

    fn disposition(&self) -> Disposition {
        Disposition::Halt
    }

    fn hint(&self) -> String {
        match self {
            ConfigError::Scheme | ConfigError::Missing { .. } => {
                "write the URL as postgres://user:password@host:port/database?sslmode=verify-full, not as host=... user=..."
            }
            ConfigError::Encoding { .. } | ConfigError::Fragment => {
                "percent-encode special characters in user, password and database: \
                 # is %23, % is %25, / is %2F, ? is %3F, @ is %40"
            }
            ConfigError::Host => {
                "give a host name, an IPv4 address, an IPv6 address in brackets, \
                 or host=/directory for a socket; encode special characters in the password (/ is %2F, @ is %40)"
            }
            ConfigError::Address => "write a name into host; hostaddr takes 10.0.0.5 or 2001:db8::5, without brackets",
            ConfigError::HostLists => {
                "give as many entries of hostaddr as of host, and one port for all hosts or one for each, at most 64"
            }
            ConfigError::BalanceWithoutPrimary => {
                "give target_session_attrs=primary too, or leave load_balance_hosts away: the sessions of a pipeline \
                 have to come to one and the same server"
            }
            ConfigError::RefusedParameter { instead, .. } => instead,
            ConfigError::Port => "the usual port is 5432; encode a \":\" in user or password as %3A, and write an IPv6 address in brackets: [::1]:5432",
            ConfigError::NameTooLong { .. } => "PostgreSQL names have at most 63 bytes",
            ConfigError::UnknownParameter { .. } => {
                return format!(
                    "known are {}; docs/reference/urls.md describes them",
                    super::parameter::KNOWN.join(", ")
                );
            }
            ConfigError::Duplicate { .. } => "give it once",
            ConfigError::ParameterValue { .. } => "correct the value",
            ConfigError::HalfClientCertificate => {
                "a client certificate needs both files: sslcert (PEM certificate) and sslkey (PEM private key)"
            }
        }
        .to_owned()
    }
}
