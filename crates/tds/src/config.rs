//! [`Config`]: where a server is and how to log in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::browser::BROWSER_PORT;
use crate::packet::MAX_PACKET_SIZE;

/// How much of the conversation is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// TDS 8.0: TLS before the first byte of TDS. SQL Server 2022 and later, Azure SQL.
    Strict,
    /// TDS 7.4, all encrypted; a server that cannot is refused.
    Required,
    /// TDS 7.4: the login is encrypted when the server can, nothing when it cannot. As with Microsoft's drivers, the
    /// certificate is not checked, unless authorities are given: whoever could show a false one could as well say that
    /// the server has none, and a server without a certificate of its own makes one up that no authority knows.
    Off,
}

/// Where a server is and how to log in. `Debug` hides the password.
#[derive(Clone)]
pub struct Config {
    /// Host name or address.
    pub host: String,
    /// TCP port; not looked at when there is an instance.
    pub port: u16,
    /// Name of an instance, whose port SQL Server Browser is asked for.
    pub instance: Option<String>,
    /// UDP port of SQL Server Browser.
    pub browser_port: u16,
    /// Try all addresses of the host at once: for listeners of availability groups in several subnets.
    pub multi_subnet_failover: bool,
    /// Database to start in; empty for the login's default.
    pub database: String,
    /// SQL login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// How much is encrypted.
    pub encryption: Encryption,
    /// Accept any certificate: protects from listeners, not from impostors.
    pub trust_server_certificate: bool,
    /// PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Name that the certificate must carry, when it is not `host`.
    pub host_name_in_certificate: Option<String>,
    /// Shown by `sys.dm_exec_sessions`.
    pub application_name: String,
    /// Packet size to ask for, in bytes, 512 to 32767.
    pub packet_size: u32,
    /// For everything up to the end of the login.
    pub connect_timeout: Duration,
}

// === impl Config ===

impl Config {
    /// Whether any certificate will do.
    pub(crate) fn accepts_any_certificate(&self) -> bool {
        self.trust_server_certificate || (self.encryption == Encryption::Off && self.ca_file.is_none())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            host: "localhost".to_owned(),
            port: 1433,
            instance: None,
            browser_port: BROWSER_PORT,
            multi_subnet_failover: false,
            database: String::new(),
            user: String::new(),
            password: String::new(),
            encryption: Encryption::Required,
            trust_server_certificate: false,
            ca_file: None,
            host_name_in_certificate: None,
            application_name: "segcdc".to_owned(),
            packet_size: MAX_PACKET_SIZE,
            connect_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("instance", &self.instance)
            .field("multi_subnet_failover", &self.multi_subnet_failover)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("password", &"***")
            .field("encryption", &self.encryption)
            .field("trust_server_certificate", &self.trust_server_certificate)
            .field("ca_file", &self.ca_file)
            .field("host_name_in_certificate", &self.host_name_in_certificate)
            .field("application_name", &self.application_name)
            .field("packet_size", &self.packet_size)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_checked_wherever_that_protects() {
        let any = |encryption, ca_file: Option<&str>, trust_server_certificate| {
            let ca_file = ca_file.map(PathBuf::from);
            Config { encryption, ca_file, trust_server_certificate, ..Config::default() }
                .accepts_any_certificate()
        };
        for encryption in [Encryption::Strict, Encryption::Required] {
            assert!(!any(encryption, None, false) && !any(encryption, Some("ca.pem"), false));
        }
        assert!(any(Encryption::Off, None, false) && !any(Encryption::Off, Some("ca.pem"), false));
        assert!(any(Encryption::Required, None, true));
    }

    #[test]
    fn debug_hides_the_password() {
        let config = Config { password: "hunter2".to_owned(), ..Config::default() };
        assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
    }
}
