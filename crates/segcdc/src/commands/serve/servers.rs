//! From a connection's fields to what the engine takes: hosts looked up and allowed, certificates put into files.
//!
//! A host is looked up here, all of its addresses are compared with what is allowed, and the engine connects to exactly
//! those: a name that leads elsewhere a moment later does not lead the engine there.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use segcdc_control::connection::{Encrypt, Server, Settings, SslMode};
use segcdc_control::engine::{Endpoint, Job};
use segcdc_control::pipeline_spec::SnapshotChoice;
use segcdc_control::report::ErrorReport;
use segcdc_engine_native::{EngineConfig, SnapshotMode, WalLimit, WalPolicy};
use segcdc_model::Secret;
use segcdc_postgres::{SourceConfig, config};
use segcdc_sqlserver::TargetConfig;

use super::trouble::{ServeError, report, report_of};
use crate::arguments::RuleArguments;
use crate::network::Networks;
use crate::settings;

/// How long looking a host up may take.
const LOOK_UP: Duration = Duration::from_secs(10);

/// How long a connection may take while it is found out which of several addresses answers.
const KNOCK: Duration = Duration::from_secs(3);

/// What it takes to connect to servers.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    /// Which addresses may be connected to.
    pub(super) networks: Networks,
    /// Where certificates are put.
    pub(super) folder: PathBuf,
}

// === impl Servers ===

impl Servers {
    /// A source.
    ///
    /// # Errors
    /// `HOST_UNKNOWN`, `HOST_NOT_ALLOWED`.
    pub(super) async fn source(&self, endpoint: &Endpoint) -> Result<SourceConfig, ErrorReport> {
        let settings = &endpoint.settings;
        let mode = match &settings.server {
            Server::Postgres { sslmode } => word_of(*sslmode),
            Server::SqlServer { .. } => word_of(SslMode::VerifyFull),
        };
        let url = format!("postgres://user@host/database?sslmode={mode}");
        let mut source = SourceConfig::parse(&url).map_err(|error| report(&error))?;
        let port = settings.port.unwrap_or(config::DEFAULT_PORT);
        let addresses = self.look_up(settings, port).await?;
        source.hosts = addresses
            .into_iter()
            .map(|address| config::Endpoint::Tcp {
                host: settings.host.clone(),
                address: Some(address),
                port,
            })
            .collect();
        source.database.clone_from(&settings.database);
        source.user.clone_from(&settings.user);
        source.password.clone_from(&endpoint.password);
        source.tls.root_certificate = self.ca_file(settings)?;
        Ok(source)
    }

    /// A target.
    ///
    /// # Errors
    /// `HOST_UNKNOWN`, `HOST_NOT_ALLOWED`.
    pub(super) async fn target(&self, endpoint: &Endpoint) -> Result<TargetConfig, ErrorReport> {
        let settings = &endpoint.settings;
        let Server::SqlServer {
            encrypt,
            trust_server_certificate,
            host_name_in_certificate,
            instance,
            schema,
        } = &settings.server
        else {
            let url = "postgres://not-a-target";
            return Err(TargetConfig::parse(url).map_or_else(|error| report(&error), |_never| broken()));
        };
        let word = match encrypt {
            Encrypt::True => "true",
            Encrypt::Strict => "strict",
            Encrypt::False => "false",
        };
        let url = format!("sqlserver://user@host/database?encrypt={word}");
        let mut target = TargetConfig::parse(&url).map_err(|error| report(&error))?;
        let port = settings.port.unwrap_or(1433);
        let addresses = self.look_up(settings, port).await?;
        let address = first_that_answers(&addresses, port, instance.is_some()).await;
        target.host = address.map_or_else(|| settings.host.clone(), |address| address.to_string());
        target.port = port;
        target.instance = if settings.port.is_some() { None } else { instance.clone() };
        target.database.clone_from(&settings.database);
        target.user.clone_from(&settings.user);
        target.password = endpoint.password.clone().unwrap_or_else(|| Secret::new(String::new()));
        target.trust_server_certificate = *trust_server_certificate;
        // The address is connected to; the name is what the certificate has to be for.
        target.host_name_in_certificate =
            Some(host_name_in_certificate.clone().unwrap_or_else(|| settings.host.clone()));
        target.ca_file = self.ca_file(settings)?;
        target.default_schema.clone_from(schema);
        Ok(target)
    }

    /// A whole pipeline, as the native engine takes it.
    ///
    /// # Errors
    /// `HOST_UNKNOWN`, `HOST_NOT_ALLOWED`, `TABLE_PATTERN`, `RULE_INVALID`.
    pub(super) async fn pipeline(&self, job: &Job) -> Result<EngineConfig, ErrorReport> {
        let spec = &job.spec;
        let patterns = settings::patterns(&spec.tables).map_err(|error| report_of(&error))?;
        let rules = RuleArguments {
            on_value: spec.on_value.clone(),
            types: spec.types.clone(),
            rename: spec.renames.clone(),
            key: spec.keys.clone(),
            append_only: spec.append_only.clone(),
            on_refused: spec.on_refused.clone(),
            dead_letter_limit: spec.dead_letter_limit.clone(),
            ..RuleArguments::default()
        };
        let rules = settings::rules(&rules).map_err(|error| report_of(&error))?;
        let (source, target) = (self.source(&job.source).await?, self.target(&job.target).await?);
        let mut config = EngineConfig::new(source, target, job.name.clone());
        config.patterns = patterns;
        config.rules = rules;
        config.snapshot = match spec.snapshot {
            SnapshotChoice::Initial => SnapshotMode::Initial,
            SnapshotChoice::None => SnapshotMode::None,
            SnapshotChoice::Only => SnapshotMode::Only,
        };
        config.publication.clone_from(&spec.publication);
        config.slot.clone_from(&spec.slot);
        if let Some(readers) = spec.readers {
            config.readers = usize::from(readers);
        }
        config.wal = WalLimit { max_retained_bytes: spec.max_retained_wal_bytes, policy: WalPolicy::Alert };
        Ok(config)
    }

    /// The addresses of a host, each of which may be connected to.
    async fn look_up(&self, settings: &Settings, port: u16) -> Result<Vec<IpAddr>, ErrorReport> {
        let host = settings.host.clone();
        let found =
            tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((settings.host.as_str(), port))).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(cause)) => return Err(report(&ServeError::HostUnknown { host, cause })),
            Err(_elapsed) => return Err(report(&ServeError::HostSlow { host })),
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map(|socket| socket.ip().to_canonical()) {
            // One address that is not allowed is enough: which of them would be taken is chance.
            if !self.networks.allow(address) {
                return Err(report(&ServeError::HostNotAllowed { host, address }));
            }
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    /// The file with the authorities of a connection. Its name follows from what is in it, so that writing it again changes
    /// nothing.
    fn ca_file(&self, settings: &Settings) -> Result<Option<PathBuf>, ErrorReport> {
        let Some(pem) = &settings.ca_pem else { return Ok(None) };
        let folder = self.folder.join("ca");
        let path = folder.join(format!("{}.pem", segcdc_control::token::hash(pem)));
        if !path.exists() {
            write(&folder, &path, pem)
                .map_err(|cause| report(&ServeError::CaFile { path: path.clone(), cause }))?;
        }
        Ok(Some(path))
    }
}

/// Writes a file as a whole or not at all.
fn write(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(part, path)
}

/// The first of several addresses that can be connected to; the first of all when none can, or when its port is still to be
/// asked for.
async fn first_that_answers(addresses: &[IpAddr], port: u16, has_instance: bool) -> Option<IpAddr> {
    if addresses.len() > 1 && !has_instance {
        for address in addresses {
            let knock = tokio::net::TcpStream::connect((*address, port));
            if let Ok(Ok(_stream)) = tokio::time::timeout(KNOCK, knock).await {
                return Some(*address);
            }
        }
    }
    addresses.first().copied()
}

const fn word_of(mode: SslMode) -> &'static str {
    match mode {
        SslMode::VerifyFull => "verify-full",
        SslMode::VerifyCa => "verify-ca",
        SslMode::Require => "require",
        SslMode::Disable => "disable",
    }
}

fn broken() -> ErrorReport {
    report(&segcdc_control::ControlError::TaskBroken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_control::connection::Draft;
    use segcdc_control::store::ConnectionKind;

    fn servers(list: &[&str]) -> Servers {
        let list: Vec<_> = list.iter().map(|text| text.parse().unwrap()).collect();
        Servers { networks: Networks::new(&list), folder: PathBuf::from("/nowhere") }
    }

    fn endpoint(kind: ConnectionKind, host: &str) -> Endpoint {
        let draft = Draft {
            host: Some(host.to_owned()),
            database: Some("sh?op&x=1".to_owned()),
            user: Some("a:p@p".to_owned()),
            ..Draft::default()
        };
        Endpoint { settings: draft.settle(kind).unwrap(), password: Some(Secret::new("p'w?&%@".to_owned())) }
    }

    #[tokio::test]
    async fn fields_stay_what_they_are() {
        let servers = servers(&["192.0.2.0/24"]);
        let source = servers.source(&endpoint(ConnectionKind::Postgres, "192.0.2.7")).await.unwrap();
        assert_eq!((source.server().as_str(), source.database.as_str()), ("192.0.2.7:5432", "sh?op&x=1"));
        assert_eq!(
            (source.user.as_str(), source.password.as_ref()),
            ("a:p@p", Some(&Secret::new("p'w?&%@".to_owned())))
        );
        assert!(!source.trusts_any_certificate());
        let target = servers.target(&endpoint(ConnectionKind::SqlServer, "192.0.2.7")).await.unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.database.as_str()),
            ("192.0.2.7", 1433, "sh?op&x=1")
        );
        assert_eq!(target.host_name_in_certificate.as_deref(), Some("192.0.2.7"));
        assert!(!target.trust_server_certificate);
    }

    #[tokio::test]
    async fn hosts_that_are_not_allowed_are_not_connected_to() {
        for (list, host) in [
            (&[][..], "127.0.0.1"),
            (&[], "localhost"),
            (&[], "169.254.169.254"),
            (&["10.0.0.0/8"], "192.0.2.7"),
        ] {
            let error = servers(list).source(&endpoint(ConnectionKind::Postgres, host)).await.unwrap_err();
            assert_eq!(error.code, "HOST_NOT_ALLOWED", "{host}");
            let error = servers(list).target(&endpoint(ConnectionKind::SqlServer, host)).await.unwrap_err();
            assert_eq!(error.code, "HOST_NOT_ALLOWED", "{host}");
        }
        let local =
            servers(&["127.0.0.0/8", "::1"]).source(&endpoint(ConnectionKind::Postgres, "localhost")).await;
        assert!(local.unwrap().server().starts_with("localhost:5432"), "the name is kept for certificates");
        let unknown = servers(&[]).source(&endpoint(ConnectionKind::Postgres, "no-such-host.invalid")).await;
        assert_eq!(unknown.unwrap_err().code, "HOST_UNKNOWN");
    }
}
