//! [`TargetConfig`]: a target URL, parsed and checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use segcdc_model::given::is_possible_host;
use segcdc_model::{Disposition, Fault, Secret};
use segcdc_tds::{Config, Encryption};
use url::Url;

use crate::quote;

/// What a URL looks like, for hints.
const EXAMPLE: &str = "sqlserver://user:password@host:1433/database?encrypt=true";

/// The parameters, and what else Microsoft's drivers call them, in small letters.
const KNOWN: [(&str, &[&str]); 9] = [
    ("encrypt", &[]),
    ("trust_server_certificate", &[]),
    ("ca_file", &["servercertificate"]),
    ("host_name_in_certificate", &[]),
    ("instance", &["instancename"]),
    ("multi_subnet_failover", &[]),
    ("application_intent", &[]),
    ("schema", &[]),
    ("connect_timeout", &["logintimeout", "connectiontimeout"]),
];

/// Parameters of Microsoft's drivers that are refused, and what to do instead.
const REFUSED: [(&str, &str); 11] = [
    (
        "failoverPartner",
        "database mirroring is not followed: give an availability group's listener, or the new server's address",
    ),
    (
        "integratedSecurity",
        "give an SQL login with user and password: integrated authentication is not supported",
    ),
    (
        "trustedConnection",
        "give an SQL login with user and password: integrated authentication is not supported",
    ),
    (
        "authentication",
        "give an SQL login with user and password: Entra (Azure AD) authentication is not supported",
    ),
    (
        "accessToken",
        "give an SQL login with user and password: Entra (Azure AD) authentication is not supported",
    ),
    ("columnEncryptionSetting", "leave it away: Always Encrypted is not supported"),
    ("multipleActiveResultSets", "leave it away: each connection runs one request at a time"),
    ("serverSpn", "leave it away: Kerberos is not supported"),
    ("clientCertificate", "leave it away: SQL Server logins by certificate are not supported"),
    ("trustStore", "give the authority's certificate as a PEM file with ca_file"),
    ("packetSize", "leave it away: the largest packet that the server allows is taken"),
];

/// The target of a pipeline. `Debug` and `Display` hide the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port, 1433 where the URL has none; not looked at when there is an instance.
    pub port: u16,
    /// Name of an instance, whose port SQL Server Browser is asked for; `None` where the URL has a port.
    pub instance: Option<String>,
    /// Try all addresses of the host at once: for listeners of availability groups in several subnets.
    pub multi_subnet_failover: bool,
    /// Database.
    pub database: String,
    /// SQL login.
    pub user: String,
    /// Its password.
    pub password: Secret<String>,
    /// How much of the conversation is encrypted.
    pub encryption: Encryption,
    /// Accept any certificate.
    pub trust_server_certificate: bool,
    /// PEM file of authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Name that the certificate must carry when it is not the host.
    pub host_name_in_certificate: Option<String>,
    /// Schema that stands for the source's `public`.
    pub default_schema: String,
    /// For everything up to the end of the login.
    pub connect_timeout: Duration,
}

/// Why a target URL cannot be used. Never holds the URL, which has a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL at all.
    #[error("the target is not a URL")]
    NotUrl,
    /// Another scheme.
    #[error("the target URL begins with {scheme}://, not with sqlserver://")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// A part is missing or cannot be.
    #[error("the target URL has no usable {part}")]
    Part {
        /// Which part.
        part: &'static str,
    },
    /// A parameter that nobody knows.
    #[error("the target URL has an unknown parameter \"{name}\"")]
    UnknownParameter {
        /// Its name.
        name: String,
    },
    /// A parameter of Microsoft's drivers whose user would rely on what is not done here.
    #[error("the target URL has the parameter \"{name}\", which is not supported")]
    RefusedParameter {
        /// Its name.
        name: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A parameter twice.
    #[error("the target URL has the parameter \"{name}\" twice")]
    DuplicateParameter {
        /// Its name.
        name: String,
    },
    /// A parameter with a value that it does not take.
    #[error("the parameter {name} of the target URL takes {expected}")]
    ParameterValue {
        /// Its name.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
    },
}

// === impl ConfigError ===

impl Fault for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            ConfigError::NotUrl | ConfigError::Scheme { .. } => "TARGET_URL_INVALID",
            ConfigError::Part { part } => match *part {
                "host" => "HOST_INVALID",
                "port" => "PORT_RANGE",
                "database" => "DATABASE_INVALID",
                _ => "TARGET_URL_INVALID",
            },
            ConfigError::UnknownParameter { .. } => "UNKNOWN_FIELD",
            ConfigError::RefusedParameter { .. } => "URL_PARAMETER_UNSUPPORTED",
            ConfigError::DuplicateParameter { .. } => "DUPLICATE_KEY",
            ConfigError::ParameterValue { .. } => "ENUM",
        }
    }

    fn disposition(&self) -> Disposition {
        Disposition::Halt
    }

    fn hint(&self) -> String {
        match self {
            ConfigError::UnknownParameter { .. } => {
                "the parameters are encrypt, trust_server_certificate, ca_file, host_name_in_certificate, instance, \
                 multi_subnet_failover, application_intent, schema and connect_timeout; docs/reference/urls.md describes them"
                    .to_owned()
            }
            ConfigError::RefusedParameter { instead, .. } => (*instead).to_owned(),
            _ => format!(
                "a target looks like {EXAMPLE}; write special characters of user and password percent-encoded, @ as %40"
            ),
        }
    }
}

// === impl TargetConfig ===

impl TargetConfig {
    /// Parses `sqlserver://user:password@host:port/database?…` (`mssql://` too).
    ///
    /// # Errors
    /// A [`ConfigError`] that names the part at fault, never its value where that could be a secret.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.trim().contains(char::is_control) {
            // The URL standard would have them left out without a word.
            return Err(ConfigError::NotUrl);
        }
        let url = Url::parse(text.trim()).map_err(|error| match error {
            url::ParseError::InvalidPort => ConfigError::Part { part: "port" },
            url::ParseError::EmptyHost => ConfigError::Part { part: "host" },
            _ => ConfigError::NotUrl,
        })?;
        if !matches!(url.scheme(), "sqlserver" | "mssql") {
            return Err(ConfigError::Scheme { scheme: url.scheme().to_owned() });
        }
        let decode = |part: &'static str, text: &str| {
            let decoded = percent_decode_str(text).decode_utf8().map_err(|_| ConfigError::Part { part })?;
            if decoded.contains('\0') { Err(ConfigError::Part { part }) } else { Ok(decoded.into_owned()) }
        };
        let host = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        let host = decode("host", host.unwrap_or_default())?;
        // host\instance, as Microsoft writes it; a backslash is %5C in a URL.
        let (host, named) = match host.split_once('\\') {
            Some((host, instance)) => (host.to_owned(), Some(instance.to_owned())),
            None => (host, None),
        };
        if !is_possible_host(&host) {
            return Err(ConfigError::Part { part: "host" });
        }
        let port = url.port().unwrap_or(1433);
        let database = decode("database", url.path().trim_start_matches('/'))?;
        if !quote::is_possible_name(&database) {
            return Err(ConfigError::Part { part: "database" });
        }
        let user = decode("user", url.username())?;
        if user.is_empty() || is_too_long(&user) {
            return Err(ConfigError::Part { part: "user" });
        }
        if port == 0 {
            return Err(ConfigError::Part { part: "port" });
        }
        let password = decode("password", url.password().unwrap_or_default())?;
        if is_too_long(&password) {
            return Err(ConfigError::Part { part: "password" });
        }
        let password = Secret::new(password);
        let mut config = TargetConfig {
            host,
            port,
            instance: None,
            multi_subnet_failover: false,
            database,
            user,
            password,
            encryption: Encryption::Required,
            trust_server_certificate: false,
            ca_file: None,
            host_name_in_certificate: None,
            default_schema: "dbo".to_owned(),
            connect_timeout: Duration::from_secs(15),
        };
        if let Some(name) = &named {
            config.set("instance", name)?;
        }
        let mut seen = Vec::from_iter(named.is_some().then_some("instance"));
        for (name, value) in url.query_pairs() {
            let known = known(&name)?;
            if seen.contains(&known) {
                return Err(ConfigError::DuplicateParameter { name: name.into_owned() });
            }
            config.set(known, &value)?;
            seen.push(known);
        }
        if url.port().is_some() {
            // As with Microsoft's drivers: a port that is given needs nobody to be asked for it.
            config.instance = None;
        }
        Ok(config)
    }

    /// What the protocol client needs.
    pub fn to_tds(&self) -> Config {
        Config {
            host: self.host.clone(),
            port: self.port,
            instance: self.instance.clone(),
            multi_subnet_failover: self.multi_subnet_failover,
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.password.expose().clone(),
            encryption: self.encryption,
            trust_server_certificate: self.trust_server_certificate,
            ca_file: self.ca_file.clone(),
            host_name_in_certificate: self.host_name_in_certificate.clone(),
            connect_timeout: self.connect_timeout,
            ..Config::default()
        }
    }

    /// `host:port` or `host\instance`, for people.
    pub fn server(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}\\{instance}", self.host),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether the conversation is not encrypted: something to show to the user.
    pub fn is_unprotected(&self) -> bool {
        self.encryption == Encryption::Off
    }

    /// Whether TLS begins before the first byte of the protocol (TDS 8.0).
    pub fn is_strict(&self) -> bool {
        self.encryption == Encryption::Strict
    }

    /// Sets a parameter of [`KNOWN`].
    fn set(&mut self, name: &'static str, value: &str) -> Result<(), ConfigError> {
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ConfigError::ParameterValue { name, expected: "true or false" }),
        };
        let wrong = |expected| Err(ConfigError::ParameterValue { name, expected });
        match name {
            "encrypt" => {
                self.encryption = match value {
                    "strict" => Encryption::Strict,
                    "true" | "mandatory" | "yes" => Encryption::Required,
                    "false" | "optional" | "no" => Encryption::Off,
                    _ => return wrong("strict, true or false"),
                }
            }
            "trust_server_certificate" => self.trust_server_certificate = flag()?,
            "multi_subnet_failover" => self.multi_subnet_failover = flag()?,
            "application_intent" if value.eq_ignore_ascii_case("ReadWrite") => {}
            "application_intent" => {
                return wrong("ReadWrite: a target is written, and a readable secondary cannot be");
            }
            "instance" if segcdc_tds::browser::question(value).is_some() => {
                self.instance = Some(value.to_owned())
            }
            "instance" => return wrong("the name of an instance: 1 to 32 letters, digits, _, $ and #"),
            "ca_file" => self.ca_file = Some(PathBuf::from(value)),
            "host_name_in_certificate" => self.host_name_in_certificate = Some(value.to_owned()),
            "schema" if quote::is_possible_name(value) => self.default_schema = value.to_owned(),
            "schema" => return wrong("a schema name"),
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|seconds| (1..=600).contains(seconds));
                let expected = "1 to 600 seconds";
                let seconds = seconds.ok_or(ConfigError::ParameterValue { name, expected })?;
                self.connect_timeout = Duration::from_secs(seconds);
            }
            _ => return Err(ConfigError::UnknownParameter { name: name.to_owned() }),
        }
        Ok(())
    }
}

/// Whether a user or a password has more characters than a login can carry. ([MS-TDS] 2.2.6.4)
fn is_too_long(text: &str) -> bool {
    text.encode_utf16().count() > 128
}

/// The parameter that a name means: as it is written here, or as Microsoft's drivers write it.
fn known(name: &str) -> Result<&'static str, ConfigError> {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    let plain = plain.as_str();
    let is_meant =
        |(name, aliases): &(&str, &[&str])| name.replace('_', "") == plain || aliases.contains(&plain);
    if let Some((name, _)) = KNOWN.into_iter().find(is_meant) {
        return Ok(name);
    }
    match REFUSED.into_iter().find(|(refused, _)| refused.eq_ignore_ascii_case(plain)) {
        Some((name, instead)) => Err(ConfigError::RefusedParameter { name, instead }),
        None => Err(ConfigError::UnknownParameter { name: name.chars().take(64).collect() }),
    }
}

/// The target for people: without the password.
impl fmt::Display for TargetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlserver://{}@{}/{}", self.user, self.server(), self.database)?;
        match self.encryption {
            Encryption::Off => f.write_str(" (not encrypted, by consent)"),
            Encryption::Strict | Encryption::Required => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_parts_are_decoded() {
        let url =
            "mssql://us%40er:p%3Aw%2F%7B%22%3B%F0%9F%A6%80@[::1]:14330/my%20db?encrypt=strict&schema=app";
        let config = TargetConfig::parse(url).unwrap();
        assert_eq!((config.user.as_str(), config.password.expose().as_str()), ("us@er", "p:w/{\";🦀"));
        assert_eq!((config.host.as_str(), config.port, config.database.as_str()), ("::1", 14330, "my db"));
        assert_eq!((config.encryption, config.default_schema.as_str()), (Encryption::Strict, "app"));
        assert!(!format!("{config} {config:?}").contains("p:w"));
    }

    #[test]
    fn bad_urls_are_refused_by_name() {
        let check = |url: &str, code: &str| {
            let error = TargetConfig::parse(url).unwrap_err();
            assert_eq!(error.code(), code, "{url}");
            assert!(!format!("{error} {}", error.hint()).contains("sekret"), "{url} leaked");
        };
        check("", "TARGET_URL_INVALID");
        check("host=x password=sekret", "TARGET_URL_INVALID");
        check("postgres://u:sekret@h/d", "TARGET_URL_INVALID");
        check("sqlserver://u:sekret@h:99999/d", "PORT_RANGE");
        check("sqlserver://u:sekret@h:0/d", "PORT_RANGE");
        check("sqlserver://u:sekret@h/", "DATABASE_INVALID");
        check("sqlserver://u:sekret@/d", "HOST_INVALID");
        for host in ["%20", "a%20b", "a%3Bb", "a%00b", "a%40b", "a%0Ab", "a%2Fb", &"h.".repeat(127)] {
            check(&format!("sqlserver://u:sekret@{host}/d"), "HOST_INVALID");
        }
        check("sqlserver://u:sekret@a\nb/d", "TARGET_URL_INVALID");
        check("sqlserver://u:sekret@::1:1433/d", "HOST_INVALID");
        check(&format!("sqlserver://u:{}@h/d", "sekret".repeat(22)), "TARGET_URL_INVALID");
        check(&format!("sqlserver://{}:sekret@h/d", "u".repeat(129)), "TARGET_URL_INVALID");
        check("sqlserver://h/d", "TARGET_URL_INVALID");
        check("sqlserver://u:sekret@h/d?encrypt=maybe", "ENUM");
        check("sqlserver://u:sekret@h/d?encrypted=true", "UNKNOWN_FIELD");
        check("sqlserver://u:sekret@h/d?encrypt=true&encrypt=false", "DUPLICATE_KEY");
        check("sqlserver://u:sekret@h/d?ca_file=a&serverCertificate=b", "DUPLICATE_KEY");
        check("sqlserver://u:sekret@h%5CA/d?instance=B", "DUPLICATE_KEY");
        check("sqlserver://u:sekret@h%5C/d", "ENUM");
        check("sqlserver://u:sekret@h/d?instance=a%3Bb", "ENUM");
        check("sqlserver://u:sekret@h/d?ApplicationIntent=ReadOnly", "ENUM");
        check("sqlserver://u:sekret@h/d?failoverPartner=sekret", "URL_PARAMETER_UNSUPPORTED");
        check("sqlserver://u:sekret@h/d?Authentication=sekret", "URL_PARAMETER_UNSUPPORTED");
    }

    #[test]
    fn hosts_may_be_written_as_people_do() {
        for host in ["db-1.example.com.", "my_db", "192.0.2.7", "[2001:db8::7]", "LOCALHOST"] {
            assert!(TargetConfig::parse(&format!("sqlserver://u:p@{host}/d")).is_ok(), "{host}");
        }
        let password = "'%22%5C;%7B%7D%F0%9F%98%80";
        let config = TargetConfig::parse(&format!("sqlserver://u:{password}@h/d")).unwrap();
        assert_eq!(config.password.expose(), "'\"\\;{}😀");
    }

    #[test]
    fn instances_are_named_unless_a_port_is() {
        let server = |url: &str| TargetConfig::parse(url).unwrap().server();
        assert_eq!(server("sqlserver://u@h%5CSHOP/d"), "h\\SHOP");
        assert_eq!(server("sqlserver://u@h/d?instanceName=SHOP"), "h\\SHOP");
        assert_eq!(server("sqlserver://u@h:1500/d?instance=SHOP"), "h:1500");
        assert_eq!(server("sqlserver://u%40srv@srv.database.windows.net/d"), "srv.database.windows.net:1433");
    }

    #[test]
    fn names_of_microsofts_drivers_are_understood() {
        let url = "sqlserver://u@h/d?Encrypt=yes&TrustServerCertificate=true&hostNameInCertificate=n&serverCertificate=/c\
             &MultiSubnetFailover=true&applicationIntent=ReadWrite&loginTimeout=3";
        let config = TargetConfig::parse(url).unwrap();
        assert!(config.trust_server_certificate && config.multi_subnet_failover);
        assert_eq!(config.host_name_in_certificate.as_deref(), Some("n"));
        assert_eq!((config.ca_file, config.connect_timeout), (Some("/c".into()), Duration::from_secs(3)));
    }

    #[test]
    fn every_parameter_is_on_the_page() {
        let page = include_str!("../../../docs/reference/urls.md");
        for name in KNOWN.map(|(name, _)| name).into_iter().chain(REFUSED.map(|(name, _)| name)) {
            assert!(page.contains(&format!("`{name}`")), "docs/reference/urls.md lacks {name}");
        }
    }
}
