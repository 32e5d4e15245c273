//! The text form of a [`SourceConfig`].
//!
//! Written out by hand instead of with a URL library, because each mistake has to get its own name, and because libpq
//! allows what URL standards do not (`postgres:///database?host=/run/postgresql`, `postgres://a:1,b:2/database`).

use segcdc_model::Secret;

use super::parameter::{Parts, decode, port_or_default};
use super::{
    ChannelBinding, ClientCertificate, ConfigError, DEFAULT_CONNECT_TIMEOUT, HostOrder, ServerRole,
    SourceConfig, TlsMode, TlsNegotiation, TlsSettings, TlsVersion, hosts,
};
use crate::spill::SpillSpace;

/// Longest name that PostgreSQL keeps whole (`NAMEDATALEN` - 1); it would silently cut a longer one.
const MAX_NAME_BYTES: usize = 63;

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
        parts.read(name, value)?;
    }
    finish(parts)
}

/// Reads `user:password@host:port,host:port`.
fn parse_authority(authority: &str, parts: &mut Parts) -> Result<(), ConfigError> {
    let (credentials, addresses) =
        authority.rsplit_once('@').map_or((None, authority), |(left, right)| (Some(left), right));
    if let Some(credentials) = credentials {
        let (user, password) =
            credentials.split_once(':').map_or((credentials, None), |(user, rest)| (user, Some(rest)));
        if !user.is_empty() {
            parts.user = Some(decode(user, "user")?);
        }
        parts.password = password.map(|text| decode(text, "password")).transpose()?.map(Secret::new);
    }
    if addresses.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for address in addresses.split(',') {
        let (host, port) = parse_host(address)?;
        hosts.push(host);
        ports.push(port);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        parts.hosts = Some(hosts);
    }
    if ports.iter().any(Option::is_some) {
        parts.ports = Some(ports);
    }
    Ok(())
}

/// Reads `host:port`.
fn parse_host(address: &str) -> Result<(String, Option<u16>), ConfigError> {
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(ConfigError::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| ConfigError::Host)?;
        let port = if after.is_empty() { "" } else { after.strip_prefix(':').ok_or(ConfigError::Host)? };
        (host, port)
    } else {
        address.split_once(':').unwrap_or((address, ""))
    };
    Ok((decode(host, "host")?, port_or_default(port)?))
}

/// The configuration, once everything that is needed is there.
fn finish(mut parts: Parts) -> Result<SourceConfig, ConfigError> {
    let part = |value: Option<String>, part| {
        let value = value.filter(|text| !text.is_empty()).ok_or(ConfigError::Missing { part })?;
        if value.len() > MAX_NAME_BYTES { Err(ConfigError::NameTooLong { part }) } else { Ok(value) }
    };
    let user = part(parts.user.take(), "user")?;
    let lists = (parts.hosts.take(), parts.addresses.take(), parts.ports.take());
    let hosts = hosts::endpoints(
        &lists.0.unwrap_or_default(),
        &lists.1.unwrap_or_default(),
        &lists.2.unwrap_or_default(),
    )?;
    let database = part(parts.database.take(), "database")?;
    let role = parts.role.unwrap_or(if hosts.len() > 1 { ServerRole::Primary } else { ServerRole::Any });
    let host_order = parts.host_order.unwrap_or(HostOrder::AsWritten);
    if host_order == HostOrder::Random && role != ServerRole::Primary {
        // The sessions of one pipeline would come to different servers.
        return Err(ConfigError::BalanceWithoutPrimary);
    }
    let tls = protection(&mut parts)?;
    let application_name = parts.application_name.filter(|name| !name.is_empty());
    let fallback = parts.fallback_application_name.filter(|name| !name.is_empty());
    Ok(SourceConfig {
        hosts,
        role,
        host_order,
        database,
        user,
        password: parts.password,
        password_file: parts.password_file,
        channel_binding: parts.channel_binding.unwrap_or(ChannelBinding::Prefer),
        keepalive: parts.keepalive,
        options: parts.options.filter(|options| !options.is_empty()),
        application_name: application_name.or(fallback).unwrap_or_else(|| "segcdc".to_owned()),
        connect_timeout: parts.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
        spill: SpillSpace::new(std::env::temp_dir(), None),
        tls,
    })
}

/// All about TLS, as far as its parts go together.
fn protection(parts: &mut Parts) -> Result<TlsSettings, ConfigError> {
    let mut tls = TlsSettings {
        mode: parts.mode.unwrap_or(TlsMode::VerifyFull),
        negotiation: parts.negotiation.unwrap_or(TlsNegotiation::Ask),
        root_certificate: parts.root_certificate.take(),
        revocation_list: parts.revocation_list.take(),
        client_certificate: match (parts.certificate.take(), parts.key.take()) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfClientCertificate),
        },
        oldest: parts.oldest.unwrap_or(TlsVersion::V1_2),
        newest: parts.newest.unwrap_or(TlsVersion::V1_3),
        send_name: parts.send_name.unwrap_or(true),
    };
    // As libpq: the word stands for the system's authorities, which sign for everybody, so that the name has to fit.
    if tls.root_certificate.as_ref().is_some_and(|path| path.as_os_str() == "system") {
        if tls.mode != TlsMode::VerifyFull {
            let expected = "verify-full with sslrootcert=system";
            return Err(ConfigError::ParameterValue { name: "sslmode", expected });
        }
        tls.root_certificate = None;
    }
    if tls.oldest > tls.newest {
        let expected = "a version that is not above ssl_max_protocol_version";
        return Err(ConfigError::ParameterValue { name: "ssl_min_protocol_version", expected });
    }
    let weak = matches!(tls.mode, TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer);
    if weak && tls.negotiation == TlsNegotiation::Direct {
        let expected = "require, verify-ca or verify-full with sslnegotiation=direct";
        return Err(ConfigError::ParameterValue { name: "sslmode", expected });
    }
    if weak && parts.channel_binding == Some(ChannelBinding::Require) {
        let expected = "require, verify-ca or verify-full with channel_binding=require";
        return Err(ConfigError::ParameterValue { name: "sslmode", expected });
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::*;
    use crate::config::{Endpoint, Keepalive};

    #[test]
    fn every_part_is_read() {
        let config = SourceConfig::parse(
            "postgres://us%40er:p%3Aa%2Fss%23@db.example.com:6432/my%20db?sslmode=verify-ca&sslrootcert=/ca.pem\
             &sslcert=/c.pem&sslkey=/k.pem&application_name=x&connect_timeout=3&hostaddr=10.0.0.7\
             &ssl_min_protocol_version=TLSv1.3&channel_binding=require&keepalives_count=5&tcp_user_timeout=0\
             &options=-c%20work_mem%3D1MB",
        )
        .unwrap();
        let address = Some("10.0.0.7".parse().unwrap());
        assert_eq!(config.hosts, [Endpoint::Tcp { host: "db.example.com".into(), address, port: 6432 }]);
        assert_eq!(config.user, "us@er");
        assert_eq!(config.password.as_ref().unwrap().expose(), "p:a/ss#");
        assert_eq!(config.database, "my db");
        assert_eq!(config.tls.mode, TlsMode::VerifyCa);
        assert_eq!(config.tls.root_certificate.as_deref(), Some(Path::new("/ca.pem")));
        assert_eq!(config.tls.client_certificate.as_ref().unwrap().key, PathBuf::from("/k.pem"));
        assert_eq!(config.tls.oldest, TlsVersion::V1_3);
        assert_eq!(config.channel_binding, ChannelBinding::Require);
        assert_eq!(config.connect_timeout, Duration::from_secs(3));
        let keepalive = Keepalive { count: Some(5), user_timeout: None, ..Keepalive::default() };
        assert_eq!((config.keepalive, config.options.as_deref()), (keepalive, Some("-c work_mem=1MB")));
    }

    #[test]
    fn sockets_and_addresses_are_endpoints() {
        let check = |url: &str, expected: &str| {
            assert_eq!(SourceConfig::parse(url).unwrap().server(), expected, "{url}");
        };
        check("postgres://u@/d?host=/run/pg&port=5544", "/run/pg/.s.PGSQL.5544");
        check("postgres://u@%2Frun%2Fpg/d", "/run/pg/.s.PGSQL.5432");
        check("postgres://u@/d?host=@name", "@name/.s.PGSQL.5432");
        check("postgresql://u@[::1]:5433/d", "[::1]:5433");
        check("postgres://u@10.0.0.1/d", "10.0.0.1:5432");
        check("postgres://u:p@ss@host/d", "host:5432");
        check("postgres://u@a,b:1,[::1]/d", "a:5432,b:1,[::1]:5432");
        check("postgres://u@/d?host=a,b&port=7", "a:7,b:7");
        check("postgres://u@:6000/d?host=a", "a:6000");
    }

    #[test]
    fn several_hosts_are_asked_for_the_primary() {
        let role = |url: &str| SourceConfig::parse(url).unwrap().role;
        assert_eq!(role("postgres://u@a/d"), ServerRole::Any);
        assert_eq!(role("postgres://u@a,b/d"), ServerRole::Primary);
        assert_eq!(role("postgres://u@a,b/d?target_session_attrs=any"), ServerRole::Any);
    }

    #[test]
    fn systems_authorities_can_be_named() {
        let parse = |parameters: &str| SourceConfig::parse(&format!("postgres://u@h/d?{parameters}"));
        assert_eq!(parse("sslrootcert=system").unwrap().tls, TlsSettings::default());
        let expected = "verify-full with sslrootcert=system";
        let refused = ConfigError::ParameterValue { name: "sslmode", expected };
        assert_eq!(parse("sslrootcert=system&sslmode=require").unwrap_err(), refused);
    }

    #[test]
    fn each_mistake_has_its_name() {
        let check = |url: &str, expected: ConfigError| {
            assert_eq!(SourceConfig::parse(url).unwrap_err(), expected, "{url}");
        };
        let value = |name, expected| ConfigError::ParameterValue { name, expected };
        let long = "n".repeat(64);
        check("", ConfigError::Scheme);
        check("host=h user=u dbname=d", ConfigError::Scheme);
        check("mysql://u@h/d", ConfigError::Scheme);
        check("POSTGRES:/u@h/d", ConfigError::Scheme);
        check("postgres://h/d", ConfigError::Missing { part: "user" });
        check("postgres://:p@h/d", ConfigError::Missing { part: "user" });
        check("postgres://u@h", ConfigError::Missing { part: "database" });
        check("postgres://u@/d", ConfigError::Missing { part: "host" });
        check("postgres://u@a,,b/d", ConfigError::Missing { part: "host" });
        check("postgres://u:a#b@h/d", ConfigError::Fragment);
        check("postgres://u:10%@h/d", ConfigError::Encoding { part: "password" });
        check("postgres://u:%zz@h/d", ConfigError::Encoding { part: "password" });
        check("postgres://u:%FF@h/d", ConfigError::Encoding { part: "password" });
        check("postgres://u@h/d%00", ConfigError::Encoding { part: "database" });
        check("postgres://u@a,b/d?hostaddr=10.0.0.1", ConfigError::HostLists);
        check("postgres://u@h h/d", ConfigError::Host);
        check("postgres://u@[::zz]/d", ConfigError::Host);
        check("postgres://u@h/d?hostaddr=h", ConfigError::Address);
        check("postgres://u@h:0/d", ConfigError::Port);
        check("postgres://u@h:65536/d", ConfigError::Port);
        check("postgres://u@h:+1/d", ConfigError::Port);
        check("postgres://u@::1:5432/d", ConfigError::Port);
        check(&format!("postgres://u@h/{long}"), ConfigError::NameTooLong { part: "database" });
        check("postgres://u@h/d?sslmod=disable", ConfigError::UnknownParameter { name: "sslmod".into() });
        check("postgres://u@h/d?host=x", ConfigError::Duplicate { name: "host" });
        check("postgres://u@h:1/d?port=1", ConfigError::Duplicate { name: "port" });
        check("postgres://u@h/d?sslmode=disable&sslmode=require", ConfigError::Duplicate { name: "sslmode" });
        let modes = "disable, allow, prefer, require, verify-ca or verify-full";
        check("postgres://u@h/d?sslmode=verify_full", value("sslmode", modes));
        check("postgres://u@h/d?sslrootcert=", value("sslrootcert", "the path of a PEM file"));
        let seconds = "a number of seconds from 1 to 3600";
        check("postgres://u@h/d?connect_timeout=0", value("connect_timeout", seconds));
        check("postgres://u@h/d?sslcert=/c.pem", ConfigError::HalfClientCertificate);
        check(
            "postgres://u@a,b/d?load_balance_hosts=random&target_session_attrs=any",
            ConfigError::BalanceWithoutPrimary,
        );
    }

    #[test]
    fn protections_that_exclude_each_other_are_refused() {
        for parameters in [
            "sslmode=prefer&sslnegotiation=direct",
            "sslmode=disable&channel_binding=require",
            "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
            "gssencmode=require",
            "ssl_min_protocol_version=TLSv1",
        ] {
            let refused = SourceConfig::parse(&format!("postgres://u@h/d?{parameters}"));
            assert!(matches!(refused, Err(ConfigError::ParameterValue { .. })), "{parameters}: {refused:?}");
        }
    }

    #[test]
    fn password_is_never_printed_and_the_rest_round_trips() {
        for url in [
            "postgres://u%20x:canary@h:1/d%2Fe?sslmode=disable&sslrootcert=/a%20b.pem",
            "postgres://u:canary@/d?host=/run/pg&sslcert=/c&sslkey=/k",
            "postgres://u:canary@a:1,b/d?hostaddr=10.0.0.1,&load_balance_hosts=random&sslnegotiation=direct&sslcrl=/l",
            "postgres://u:canary@/d?host=/run/pg,h&port=1,2&target_session_attrs=standby&passfile=/p&ssl_sni=0",
            "postgres://u:canary@h/d?keepalives=0&keepalives_idle=9&keepalives_count=3&tcp_user_timeout=5&connect_timeout=9",
            "postgres://u:canary@[::1]/d?options=-c%20a=b&application_name=x%26y&channel_binding=disable\
             &ssl_max_protocol_version=TLSv1.2",
        ] {
            let mut config = SourceConfig::parse(url).unwrap();
            let text = format!("{} {config:?}", config.redacted());
            assert!(!text.contains("canary"), "{text}");
            let again = SourceConfig::parse(&config.redacted()).unwrap();
            config.password = None;
            assert_eq!(again.redacted(), config.redacted());
            assert_eq!(
                (again.hosts, again.tls, again.keepalive),
                (config.hosts, config.tls, config.keepalive)
            );
        }
    }
}
