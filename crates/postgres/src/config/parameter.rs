//! The parameters of a source URL: those of libpq, each of them known, or refused with the reason.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use segcdc_model::Secret;

use super::{
    ChannelBinding, ConfigError, HostOrder, Keepalive, ServerRole, TlsMode, TlsNegotiation, TlsVersion,
};

/// The parameters that have an effect.
pub(super) const KNOWN: [&str; 33] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslcrl",
    "sslcert",
    "sslkey",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "ssl_sni",
    "channel_binding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "application_name",
    "fallback_application_name",
    "options",
    "gssencmode",
    "sslcompression",
    "client_encoding",
    "sslcertmode",
    "krbsrvname",
];

/// Parameters of libpq that are refused, and what to do instead. None is ignored: each would change what its user relies on.
pub(super) const REFUSED: [(&str, &str); 18] = [
    (
        "sslpassword",
        "take the passphrase from the key: openssl pkey -in encrypted.key -out client.key, then chmod 600",
    ),
    ("sslcrldir", "put the lists one behind the other into one PEM file and give it as sslcrl"),
    ("requirepeer", "protect the socket's directory instead; who owns it decides who listens there"),
    ("require_auth", "give channel_binding=require, which only SCRAM-SHA-256-PLUS can fulfil"),
    ("service", "write the service's settings into the URL; no file of services is read"),
    ("servicefile", "write the service's settings into the URL; no file of services is read"),
    ("replication", "leave it away; sessions that replicate are made by themselves"),
    ("gssdelegation", "leave it away; GSSAPI is not supported: use SCRAM or a client certificate"),
    ("gsslib", "leave it away; GSSAPI is not supported: use SCRAM or a client certificate"),
    ("scram_client_key", "give the password; a key alone cannot be kept secret in a URL any better"),
    ("scram_server_key", "give the password; a key alone cannot be kept secret in a URL any better"),
    ("min_protocol_version", "leave it away; version 3.0 of the protocol is spoken, which all servers know"),
    ("max_protocol_version", "leave it away; version 3.0 of the protocol is spoken, which all servers know"),
    ("sslkeylogfile", "leave it away; the keys of a session are never written down"),
    ("oauth_issuer", "OAuth is not supported: use SCRAM or a client certificate"),
    ("oauth_client_id", "OAuth is not supported: use SCRAM or a client certificate"),
    ("oauth_client_secret", "OAuth is not supported: use SCRAM or a client certificate"),
    ("oauth_scope", "OAuth is not supported: use SCRAM or a client certificate"),
];

/// The parts as they are collected from the URL and from its parameters.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) addresses: Option<Vec<String>>,
    pub(super) ports: Option<Vec<Option<u16>>>,
    pub(super) database: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret<String>>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) role: Option<ServerRole>,
    pub(super) host_order: Option<HostOrder>,
    pub(super) mode: Option<TlsMode>,
    pub(super) negotiation: Option<TlsNegotiation>,
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) revocation_list: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) oldest: Option<TlsVersion>,
    pub(super) newest: Option<TlsVersion>,
    pub(super) send_name: Option<bool>,
    pub(super) channel_binding: Option<ChannelBinding>,
    pub(super) keepalive: Keepalive,
    pub(super) application_name: Option<String>,
    pub(super) fallback_application_name: Option<String>,
    pub(super) options: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    /// Names that were given, each once. Those of parts of the URL are never the same as one of a parameter: what
    /// both give is noticed where it is set.
    given: Vec<&'static str>,
}

// === impl Parts ===

impl Parts {
    /// Reads one parameter of the query.
    pub(super) fn read(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(name) = KNOWN.into_iter().find(|known| *known == name) else {
            return Err(unknown(name));
        };
        if self.given.contains(&name) {
            return Err(ConfigError::Duplicate { name });
        }
        self.given.push(name);
        let text = decode(value, name)?;
        if self.read_place(name, &text)? || self.read_protection(name, &text)? {
            return Ok(());
        }
        self.read_session(name, text)
    }

    /// Where the server is; false when the parameter is about something else.
    fn read_place(&mut self, name: &'static str, text: &str) -> Result<bool, ConfigError> {
        let list = || text.split(',').map(str::to_owned).collect::<Vec<_>>();
        match name {
            "host" => set(&mut self.hosts, list(), name)?,
            "hostaddr" => set(&mut self.addresses, list(), name)?,
            "port" => {
                let ports = text.split(',').map(port_or_default).collect::<Result<Vec<_>, _>>()?;
                set(&mut self.ports, ports, name)?;
            }
            "target_session_attrs" => {
                self.role = Some(match text {
                    "any" => ServerRole::Any,
                    "primary" | "read-write" => ServerRole::Primary,
                    "standby" | "read-only" => ServerRole::Standby,
                    "prefer-standby" => ServerRole::PreferStandby,
                    _ => {
                        let expected = "any, read-write, read-only, primary, standby or prefer-standby";
                        return Err(ConfigError::ParameterValue { name, expected });
                    }
                });
            }
            "load_balance_hosts" => {
                self.host_order =
                    Some(if is_one_of(name, text, &["disable", "random"], "disable or random")? == 0 {
                        HostOrder::AsWritten
                    } else {
                        HostOrder::Random
                    });
            }
            "connect_timeout" => self.connect_timeout = Some(seconds(name, text)?),
            "keepalives" => self.keepalive.enabled = flag(name, text)?,
            "keepalives_idle" => self.keepalive.idle = seconds(name, text)?,
            "keepalives_interval" => self.keepalive.interval = seconds(name, text)?,
            "keepalives_count" => {
                self.keepalive.count = Some(number(name, text, 1..=127, "a number from 1 to 127")?)
            }
            "tcp_user_timeout" => {
                let bounds = "a number of milliseconds from 0 to 86400000, 0 for the system's";
                let milliseconds = number(name, text, 0..=86_400_000, bounds)?;
                self.keepalive.user_timeout =
                    (milliseconds > 0).then(|| Duration::from_millis(u64::from(milliseconds)));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// How the connection is protected; false when the parameter is about something else.
    fn read_protection(&mut self, name: &'static str, text: &str) -> Result<bool, ConfigError> {
        match name {
            "sslmode" => {
                let expected = "disable, allow, prefer, require, verify-ca or verify-full";
                let mode = TlsMode::ALL.into_iter().find(|mode| mode.as_str() == text);
                self.mode = Some(mode.ok_or(ConfigError::ParameterValue { name, expected })?);
            }
            "sslnegotiation" => {
                self.negotiation =
                    Some(match is_one_of(name, text, &["postgres", "direct"], "postgres or direct")? {
                        0 => TlsNegotiation::Ask,
                        _ => TlsNegotiation::Direct,
                    });
            }
            "sslrootcert" => self.root_certificate = Some(path(name, text)?),
            "sslcrl" => self.revocation_list = Some(path(name, text)?),
            "sslcert" => self.certificate = Some(path(name, text)?),
            "sslkey" => self.key = Some(path(name, text)?),
            "ssl_min_protocol_version" => self.oldest = Some(version(name, text)?),
            "ssl_max_protocol_version" => self.newest = Some(version(name, text)?),
            "ssl_sni" => self.send_name = Some(flag(name, text)?),
            "channel_binding" => {
                let modes = [ChannelBinding::Disable, ChannelBinding::Prefer, ChannelBinding::Require];
                let expected = "disable, prefer or require";
                let mode = modes.into_iter().find(|mode| mode.as_str() == text);
                self.channel_binding = Some(mode.ok_or(ConfigError::ParameterValue { name, expected })?);
            }
            // What follows is what libpq does by itself, and all that is done here.
            "gssencmode" => {
                let expected = "disable or prefer: GSSAPI is not supported, and prefer is content without it";
                is_one_of(name, text, &["disable", "prefer"], expected)?;
            }
            "sslcompression" => {
                is_one_of(name, text, &["0"], "0: TLS is never compressed")?;
            }
            "sslcertmode" => {
                let expected =
                    "allow: a client certificate that is given is shown to a server that asks for it";
                is_one_of(name, text, &["allow"], expected)?;
            }
            "krbsrvname" => {
                is_one_of(name, text, &["postgres"], "postgres: GSSAPI is not supported")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Who we are, and what the session is.
    fn read_session(&mut self, name: &'static str, text: String) -> Result<(), ConfigError> {
        match name {
            "dbname" => set(&mut self.database, text, name),
            "user" => set(&mut self.user, text, name),
            "password" => set(&mut self.password, Secret::new(text), name),
            "passfile" => {
                self.password_file = Some(path(name, &text)?);
                Ok(())
            }
            "application_name" => set(&mut self.application_name, text, name),
            "fallback_application_name" => set(&mut self.fallback_application_name, text, name),
            "options" => set(&mut self.options, text, name),
            "client_encoding" => {
                let expected = "UTF8 or auto: every session has UTF8";
                let text = text.to_ascii_lowercase().replace('-', "");
                is_one_of(name, &text, &["utf8", "auto"], expected).map(drop)
            }
            _ => Err(unknown(name)),
        }
    }
}

/// Puts a value where none was.
fn set<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), ConfigError> {
    if place.replace(value).is_some() { Err(ConfigError::Duplicate { name }) } else { Ok(()) }
}

/// The error of a parameter that is not known, or is known and refused.
fn unknown(name: &str) -> ConfigError {
    match REFUSED.into_iter().find(|(refused, _)| *refused == name) {
        Some((name, instead)) => ConfigError::RefusedParameter { name, instead },
        None => ConfigError::UnknownParameter { name: name.chars().take(64).collect() },
    }
}

/// A part without its percent escapes.
pub(super) fn decode(text: &str, part: &'static str) -> Result<String, ConfigError> {
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

/// A port number; none where there is no text.
pub(super) fn port_or_default(text: &str) -> Result<Option<u16>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u16>().ok().filter(|&port| digits && port > 0).map(Some).ok_or(ConfigError::Port)
}

/// The path of a file.
fn path(name: &'static str, text: &str) -> Result<PathBuf, ConfigError> {
    if text.is_empty() {
        let expected = if name == "passfile" { "the path of a file" } else { "the path of a PEM file" };
        return Err(ConfigError::ParameterValue { name, expected });
    }
    Ok(PathBuf::from(text))
}

/// The place of a word among those that are allowed.
fn is_one_of(
    name: &'static str,
    text: &str,
    words: &[&str],
    expected: &'static str,
) -> Result<usize, ConfigError> {
    let place = words.iter().position(|word| *word == text);
    place.ok_or(ConfigError::ParameterValue { name, expected })
}

/// 0 or 1.
fn flag(name: &'static str, text: &str) -> Result<bool, ConfigError> {
    is_one_of(name, text, &["0", "1"], "0 or 1").map(|place| place == 1)
}

/// A number within bounds.
fn number(
    name: &'static str,
    text: &str,
    bounds: std::ops::RangeInclusive<u32>,
    expected: &'static str,
) -> Result<u32, ConfigError> {
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or(ConfigError::ParameterValue { name, expected })
}

/// Seconds.
fn seconds(name: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let seconds = number(name, text, 1..=3600, "a number of seconds from 1 to 3600")?;
    Ok(Duration::from_secs(u64::from(seconds)))
}

/// A version of TLS. Older ones are broken, and the library does not have them.
fn version(name: &'static str, text: &str) -> Result<TlsVersion, ConfigError> {
    match is_one_of(name, text, &["TLSv1.2", "TLSv1.3"], "TLSv1.2 or TLSv1.3")? {
        0 => Ok(TlsVersion::V1_2),
        _ => Ok(TlsVersion::V1_3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that describes each parameter.
    const PAGE: &str = include_str!("../../../../docs/reference/urls.md");

    #[test]
    fn every_parameter_is_on_the_page() {
        for name in KNOWN.into_iter().chain(REFUSED.map(|(name, _)| name)) {
            assert!(PAGE.contains(&format!("`{name}`")), "docs/reference/urls.md lacks {name}");
        }
    }

    #[test]
    fn every_known_parameter_is_read() {
        for name in KNOWN {
            let text = match name {
                "target_session_attrs" => "any",
                "load_balance_hosts" | "gssencmode" => "disable",
                "sslmode" | "channel_binding" => "prefer",
                "sslnegotiation" => "direct",
                "ssl_min_protocol_version" | "ssl_max_protocol_version" => "TLSv1.3",
                "client_encoding" => "UTF-8",
                "sslcertmode" => "allow",
                "krbsrvname" => "postgres",
                "sslcompression" => "0",
                _ => "1",
            };
            assert_eq!(Parts::default().read(name, text), Ok(()), "{name}");
            let mut twice = Parts::default();
            twice.read(name, text).unwrap();
            assert_eq!(twice.read(name, text), Err(ConfigError::Duplicate { name }));
        }
    }

    #[test]
    fn refused_parameters_say_what_to_do() {
        for (name, instead) in REFUSED {
            assert!(!KNOWN.contains(&name), "{name} is both");
            assert_eq!(
                Parts::default().read(name, "x"),
                Err(ConfigError::RefusedParameter { name, instead })
            );
        }
    }
}
