//! The text form of a [`SourceConfig`].
//!
//! Written out by hand instead of with a URL library, because each mistake has to get its own name, and because libpq
//! allows what URL standards do not (`postgres:///database?host=/run/postgresql`).

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use segcdc_model::Secret;

use super::{
    ClientCertificate, ConfigError, DEFAULT_CONNECT_TIMEOUT, DEFAULT_PORT, Endpoint, SourceConfig, TlsMode,
};
use crate::spill::SpillSpace;

/// Longest name that PostgreSQL keeps whole (`NAMEDATALEN` - 1); it would silently cut a longer one.
const MAX_NAME_BYTES: usize = 63;

/// Longest host name of the DNS.
const MAX_HOST_BYTES: usize = 253;

/// What must be escaped when a part is printed back.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The parts as they are collected from the URL and from its parameters.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
    password: Option<Secret<String>>,
    tls: Option<TlsMode>,
    root_certificate: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
}

/// The configuration that `url` describes.
pub(super) fn parse(url: &str) -> Result<SourceConfig, ConfigError> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or(ConfigError::Scheme)?;
    if rest.contains('#') {
        return Err(ConfigError::Fragment);
    }
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let (authority, database) = path.split_once('/').unwrap_or((path, ""));
    let mut parts = Parts::default();
    parse_authority(authority, &mut parts)?;
    if !database.is_empty() {
        parts.database = Some(decode(database, "database")?);
    }
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parse_parameter(name, value, &mut parts)?;
    }
    parts.finish()
}

/// Reads `user:password@host:port`.
fn parse_authority(authority: &str, parts: &mut Parts) -> Result<(), ConfigError> {
    let (credentials, address) =
        authority.rsplit_once('@').map_or((None, authority), |(left, right)| (Some(left), right));
    if let Some(credentials) = credentials {
        let (user, password) =
            credentials.split_once(':').map_or((credentials, None), |(user, rest)| (user, Some(rest)));
        if !user.is_empty() {
            parts.user = Some(decode(user, "user")?);
        }
        parts.password = password.map(|text| decode(text, "password")).transpose()?.map(Secret::new);
    }
    if address.contains(',') {
        return Err(ConfigError::SeveralHosts);
    }
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(ConfigError::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| ConfigError::Host)?;
        let port =
            if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(ConfigError::Host)?) };
        (host, port)
    } else {
        address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
    };
    if !host.is_empty() {
        parts.host = Some(decode(host, "host")?);
    }
    parts.port = port.filter(|text| !text.is_empty()).map(parse_port).transpose()?;
    Ok(())
}

/// Reads one parameter of the query.
fn parse_parameter(name: &str, value: &str, parts: &mut Parts) -> Result<(), ConfigError> {
    match name {
        "host" => set(&mut parts.host, decode(value, "host")?, "host"),
        "port" => set(&mut parts.port, parse_port(&decode(value, "port")?)?, "port"),
        "dbname" => set(&mut parts.database, decode(value, "database")?, "dbname"),
        "user" => set(&mut parts.user, decode(value, "user")?, "user"),
        "password" => set(&mut parts.password, Secret::new(decode(value, "password")?), "password"),
        "sslmode" => set(&mut parts.tls, parse_tls_mode(&decode(value, "sslmode")?)?, "sslmode"),
        "sslrootcert" => set(&mut parts.root_certificate, parse_path(value, "sslrootcert")?, "sslrootcert"),
        "sslcert" => set(&mut parts.certificate, parse_path(value, "sslcert")?, "sslcert"),
        "sslkey" => set(&mut parts.key, parse_path(value, "sslkey")?, "sslkey"),
        "application_name" => {
            set(&mut parts.application_name, decode(value, "application_name")?, "application_name")
        }
        "connect_timeout" => {
            let seconds = value.parse::<u64>().ok().filter(|seconds| (1..=3600).contains(seconds));
            let seconds = seconds.ok_or(ConfigError::ParameterValue {
                name: "connect_timeout",
                expected: "a number of seconds from 1 to 3600",
            })?;
            set(&mut parts.connect_timeout, Duration::from_secs(seconds), "connect_timeout")
        }
        _ => Err(ConfigError::UnknownParameter { name: name.chars().take(64).collect() }),
    }
}

/// Puts a value where none was.
fn set<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), ConfigError> {
    if place.replace(value).is_some() { Err(ConfigError::Duplicate { name }) } else { Ok(()) }
}

/// A part without its percent escapes.
fn decode(text: &str, part: &'static str) -> Result<String, ConfigError> {
    let bad = ConfigError::Encoding { part };
    // The library leaves a broken escape as it is; here it is a mistake, most often an unescaped percent sign.
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let digits = rest.get(at + 1..at + 3).ok_or(bad.clone())?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(bad);
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| bad.clone())?;
    if decoded.contains('\0') { Err(bad) } else { Ok(decoded.into_owned()) }
}

/// A path without its percent escapes.
fn parse_path(value: &str, name: &'static str) -> Result<PathBuf, ConfigError> {
    let path = decode(value, name)?;
    if path.is_empty() {
        return Err(ConfigError::ParameterValue { name, expected: "the path of a PEM file" });
    }
    Ok(PathBuf::from(path))
}

/// A port number.
fn parse_port(text: &str) -> Result<u16, ConfigError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u16>().ok().filter(|&port| digits && port > 0).ok_or(ConfigError::Port)
}

/// A word of `sslmode`. `allow` and `prefer` are refused: they promise protection that they do not give.
fn parse_tls_mode(text: &str) -> Result<TlsMode, ConfigError> {
    [TlsMode::Disable, TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull]
        .into_iter()
        .find(|mode| mode.as_str() == text)
        .ok_or(ConfigError::ParameterValue {
            name: "sslmode",
            expected: "disable, require, verify-ca or verify-full",
        })
}

// === impl Parts ===

impl Parts {
    /// The configuration, once everything that is needed is there.
    fn finish(self) -> Result<SourceConfig, ConfigError> {
        let part = |value: Option<String>, part| {
            let value = value.filter(|text| !text.is_empty()).ok_or(ConfigError::Missing { part })?;
            if value.len() > MAX_NAME_BYTES { Err(ConfigError::NameTooLong { part }) } else { Ok(value) }
        };
        let user = part(self.user, "user")?;
        let host = self.host.filter(|host| !host.is_empty()).ok_or(ConfigError::Missing { part: "host" })?;
        let database = part(self.database, "database")?;
        let client_certificate = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfClientCertificate),
        };
        Ok(SourceConfig {
            endpoint: endpoint(host, self.port.unwrap_or(DEFAULT_PORT))?,
            database,
            user,
            password: self.password,
            tls: self.tls.unwrap_or(TlsMode::VerifyFull),
            root_certificate: self.root_certificate,
            client_certificate,
            application_name: self.application_name.unwrap_or_else(|| "segcdc".to_owned()),
            connect_timeout: self.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            spill: SpillSpace::new(std::env::temp_dir(), None),
        })
    }
}

/// A host that begins with a slash is a socket's directory, as in libpq.
fn endpoint(host: String, port: u16) -> Result<Endpoint, ConfigError> {
    if host.starts_with('/') {
        return Ok(Endpoint::Unix { directory: PathBuf::from(host), port });
    }
    if host.contains(',') {
        return Err(ConfigError::SeveralHosts);
    }
    let is_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if host.len() > MAX_HOST_BYTES || !(is_ipv6 || is_name) {
        return Err(ConfigError::Host);
    }
    Ok(Endpoint::Tcp { host, port })
}

/// The URL without the password; parsing it gives the same configuration but for that.
pub(super) fn redacted(config: &SourceConfig) -> String {
    let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let mut parameters = Vec::new();
    let address = match &config.endpoint {
        Endpoint::Tcp { .. } => config.endpoint.to_string(),
        Endpoint::Unix { directory, port } => {
            parameters.push(format!("host={}", directory.display()));
            parameters.push(format!("port={port}"));
            String::new()
        }
    };
    if config.tls != TlsMode::VerifyFull {
        parameters.push(format!("sslmode={}", config.tls.as_str()));
    }
    let mut file = |name: &str, path: Option<&PathBuf>| {
        if let Some(path) = path {
            parameters.push(format!("{name}={}", escape(&path.to_string_lossy()).replace("%2F", "/")));
        }
    };
    file("sslrootcert", config.root_certificate.as_ref());
    file("sslcert", config.client_certificate.as_ref().map(|files| &files.certificate));
    file("sslkey", config.client_certificate.as_ref().map(|files| &files.key));
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    format!("postgres://{}@{address}/{}{query}", escape(&config.user), escape(&config.database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let config = SourceConfig::parse(
            "postgres://us%40er:p%3Aa%2Fss%23@db.example.com:6432/my%20db?sslmode=verify-ca&sslrootcert=/ca.pem\
             &sslcert=/c.pem&sslkey=/k.pem&application_name=x&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(config.endpoint, Endpoint::Tcp { host: "db.example.com".into(), port: 6432 });
        assert_eq!(config.user, "us@er");
        assert_eq!(config.password.as_ref().unwrap().expose(), "p:a/ss#");
        assert_eq!(config.database, "my db");
        assert_eq!(config.tls, TlsMode::VerifyCa);
        assert_eq!(config.root_certificate.as_deref(), Some(std::path::Path::new("/ca.pem")));
        assert_eq!(config.client_certificate.as_ref().unwrap().key, PathBuf::from("/k.pem"));
        assert_eq!(config.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn sockets_and_addresses_are_endpoints() {
        let check = |url: &str, expected: &str| {
            assert_eq!(SourceConfig::parse(url).unwrap().server(), expected, "{url}");
        };
        check("postgres://u@/d?host=/run/pg&port=5544", "/run/pg/.s.PGSQL.5544");
        check("postgres://u@%2Frun%2Fpg/d", "/run/pg/.s.PGSQL.5432");
        check("postgresql://u@[::1]:5433/d", "[::1]:5433");
        check("postgres://u@10.0.0.1/d", "10.0.0.1:5432");
        check("postgres://u:p@ss@host/d", "host:5432");
    }

    #[test]
    fn each_mistake_has_its_name() {
        let check = |url: &str, expected: ConfigError| {
            assert_eq!(SourceConfig::parse(url).unwrap_err(), expected, "{url}");
        };
        let value = |name, expected| ConfigError::ParameterValue { name, expected };
        let long = "n".repeat(64);
        check("", ConfigError::Scheme);
        check("mysql://u@h/d", ConfigError::Scheme);
        check("POSTGRES:/u@h/d", ConfigError::Scheme);
        check("postgres://h/d", ConfigError::Missing { part: "user" });
        check("postgres://:p@h/d", ConfigError::Missing { part: "user" });
        check("postgres://u@h", ConfigError::Missing { part: "database" });
        check("postgres://u@/d", ConfigError::Missing { part: "host" });
        check("postgres://u:a#b@h/d", ConfigError::Fragment);
        check("postgres://u:10%@h/d", ConfigError::Encoding { part: "password" });
        check("postgres://u:%zz@h/d", ConfigError::Encoding { part: "password" });
        check("postgres://u:%FF@h/d", ConfigError::Encoding { part: "password" });
        check("postgres://u@h/d%00", ConfigError::Encoding { part: "database" });
        check("postgres://u@a,b/d", ConfigError::SeveralHosts);
        check("postgres://u@h h/d", ConfigError::Host);
        check("postgres://u@[::zz]/d", ConfigError::Host);
        check("postgres://u@h:0/d", ConfigError::Port);
        check("postgres://u@h:65536/d", ConfigError::Port);
        check("postgres://u@h:+1/d", ConfigError::Port);
        check("postgres://u@::1:5432/d", ConfigError::Port);
        check(&format!("postgres://u@h/{long}"), ConfigError::NameTooLong { part: "database" });
        check("postgres://u@h/d?sslmod=disable", ConfigError::UnknownParameter { name: "sslmod".into() });
        check("postgres://u@h/d?host=x", ConfigError::Duplicate { name: "host" });
        check("postgres://u@h/d?sslmode=disable&sslmode=require", ConfigError::Duplicate { name: "sslmode" });
        let modes = "disable, require, verify-ca or verify-full";
        check("postgres://u@h/d?sslmode=prefer", value("sslmode", modes));
        check("postgres://u@h/d?sslmode=verify_full", value("sslmode", modes));
        check("postgres://u@h/d?sslrootcert=", value("sslrootcert", "the path of a PEM file"));
        check(
            "postgres://u@h/d?connect_timeout=0",
            value("connect_timeout", "a number of seconds from 1 to 3600"),
        );
        check("postgres://u@h/d?sslcert=/c.pem", ConfigError::HalfClientCertificate);
    }

    #[test]
    fn password_is_never_printed_and_the_rest_round_trips() {
        for url in [
            "postgres://u%20x:canary@h:1/d%2Fe?sslmode=disable&sslrootcert=/a%20b.pem",
            "postgres://u:canary@/d?host=/run/pg&sslcert=/c&sslkey=/k",
        ] {
            let mut config = SourceConfig::parse(url).unwrap();
            let text = format!("{} {config:?}", config.redacted());
            assert!(!text.contains("canary"), "{text}");
            let again = SourceConfig::parse(&config.redacted()).unwrap();
            config.password = None;
            assert_eq!(again, config);
        }
    }
}
