//! [`Plugins`]: which connectors a worker has, of which versions, and what is known about these versions.

use std::collections::BTreeSet;

use segcdc_model::{Finding, Side};
use serde::Serialize;

use crate::error::ConnectError;
use crate::rest::{InstalledPlugin, Rest};

/// The class of Debezium's PostgreSQL connector.
pub const SOURCE_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";
/// The class of Debezium's JDBC sink.
pub const SINK_CLASS: &str = "io.debezium.connector.jdbc.JdbcSinkConnector";
/// The class of Confluent's JDBC sink.
pub const CONFLUENT_SINK_CLASS: &str = "io.confluent.connect.jdbc.JdbcSinkConnector";

/// Oldest Kafka Connect: connectors can be made stopped (3.7), and their offsets removed (3.6).
const OLDEST_WORKER: Version = Version { major: 3, minor: 7 };
/// The same in words.
const OLDEST_WORKER_TEXT: &str = "3.7";

/// Oldest Debezium that is accepted. Before it, heartbeats could confirm positions that had not been sent.
const OLDEST_DEBEZIUM: Version = Version { major: 3, minor: 0 };

/// First Debezium whose restart loses no rows that share a position (dbz#1554) and no first change of the next
/// transaction (dbz#76, dbz#51), and whose parallel snapshot is one snapshot (dbz#2330).
const SOUND_RESTARTS: Version = Version { major: 3, minor: 7 };

/// The first two numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Version {
    /// Before the first dot.
    pub major: u32,
    /// Behind it.
    pub minor: u32,
}

/// A connector plugin of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plugin {
    /// Its class.
    pub class: String,
    /// Its version as the worker says it.
    pub version: String,
    /// The options that it declares.
    pub options: BTreeSet<String>,
}

/// What the engine needs of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plugins {
    /// Version of Kafka Connect.
    pub worker: String,
    /// The PostgreSQL connector.
    pub source: Plugin,
    /// The JDBC sink.
    pub sink: Plugin,
}

// === impl Version ===

impl Version {
    /// The first two numbers of a text like `3.6.3.Final`; `None` when it does not begin with numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-']).map(|part| part.parse::<u32>().ok());
        Some(Version { major: numbers.next()??, minor: numbers.next()?? })
    }
}

// === impl Plugin ===

impl Plugin {
    /// Its version in numbers, 0.0 for one that says none.
    pub fn version(&self) -> Version {
        Version::parse(&self.version).unwrap_or(Version { major: 0, minor: 0 })
    }
}

// === impl Plugins ===

impl Plugins {
    /// Asks the worker.
    ///
    /// # Errors
    /// `CONNECT_WORKER_VERSION`, `CONNECTOR_PLUGIN_MISSING`, `CONNECTOR_PLUGIN_VERSION`.
    pub async fn ask(rest: &Rest) -> Result<Self, ConnectError> {
        let worker = rest.worker().await?.version;
        check_worker(&worker)?;
        let installed = rest.plugins().await?;
        let source = find(&installed, SOURCE_CLASS)?;
        let sink = find(&installed, SINK_CLASS)?;
        for plugin in [&source, &sink] {
            refuse_known_bad(plugin)?;
        }
        let with_options = async |plugin: Plugin| -> Result<Plugin, ConnectError> {
            let options = rest.plugin_options(&plugin.class).await?.into_iter().collect();
            Ok(Plugin { options, ..plugin })
        };
        Ok(Plugins { worker, source: with_options(source).await?, sink: with_options(sink).await? })
    }

    /// What a person should know about these versions.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![Finding::ok(
            "connect.plugins",
            Side::Source,
            format!(
                "Kafka Connect {}, PostgreSQL connector {}, JDBC sink {}",
                self.worker, self.source.version, self.sink.version
            ),
        )];
        if self.source.version() < SOUND_RESTARTS {
            findings.push(
                Finding::warning(
                    "connect.source_version",
                    Side::Source,
                    "CONNECTOR_LOSES_ON_RESTART",
                    format!(
                        "the PostgreSQL connector {} can lose changes when it is restarted: rows of one statement that \
                         share a position (dbz#1554), and the first change behind a commit on PostgreSQL 17 and newer \
                         (dbz#76, dbz#51)",
                        self.source.version
                    ),
                )
                .hint("use 3.7 or newer where it is released; run `segcdc verify` after each restart of a worker"),
            );
        }
        findings
    }
}

/// Refuses a worker that cannot do what the set-up is made of.
fn check_worker(version: &str) -> Result<(), ConnectError> {
    match Version::parse(version) {
        Some(found) if found < OLDEST_WORKER => {
            Err(ConnectError::WorkerVersion { found: version.to_owned(), needed: OLDEST_WORKER_TEXT })
        }
        // A build of its own may have no number.
        Some(_) | None => Ok(()),
    }
}

/// The plugin of a class.
fn find(installed: &[InstalledPlugin], class: &str) -> Result<Plugin, ConnectError> {
    if let Some(found) = installed.iter().find(|plugin| plugin.class == class) {
        let version = found.version.clone().unwrap_or_default();
        return Ok(Plugin { class: class.to_owned(), version, options: BTreeSet::new() });
    }
    let connectors = installed.iter().filter(|plugin| matches!(plugin.kind.as_str(), "source" | "sink"));
    let mut names: Vec<&str> = connectors.map(|plugin| plugin.class.as_str()).collect();
    names.sort_unstable();
    let installed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(ConnectError::PluginMissing { class: class.to_owned(), installed })
}

/// Refuses versions that must not be used.
fn refuse_known_bad(plugin: &Plugin) -> Result<(), ConnectError> {
    let refuse = |reason| {
        Err(ConnectError::PluginVersion {
            class: plugin.class.clone(),
            found: plugin.version.clone(),
            reason,
        })
    };
    let Some(version) = Version::parse(&plugin.version) else {
        return refuse("a version that says no number cannot be judged");
    };
    if version < OLDEST_DEBEZIUM {
        return refuse("versions before 3.0 lose changes and have not been tried");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::{Fault, Severity};

    fn installed(class: &str, kind: &str, version: &str) -> InstalledPlugin {
        InstalledPlugin { class: class.to_owned(), kind: kind.to_owned(), version: Some(version.to_owned()) }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let check = |text: &str, expected: Option<(u32, u32)>| {
            assert_eq!(
                Version::parse(text).map(|version| (version.major, version.minor)),
                expected,
                "{text}"
            );
        };
        check("3.6.3.Final", Some((3, 6)));
        check("3.7.0.Alpha2", Some((3, 7)));
        check("4.3.0", Some((4, 3)));
        check("7.10-ccs", Some((7, 10)));
        check("unknown", None);
        check("3", None);
        check("", None);
        assert!(Version::parse("3.10.0") > Version::parse("3.9.9"));
    }

    #[test]
    fn a_missing_plugin_is_named_with_what_is_there() {
        let there = [installed("x.Converter", "converter", "1.0"), installed("x.FileSink", "sink", "4.3.0")];
        let error = find(&there, SOURCE_CLASS).unwrap_err();
        assert_eq!(error.code(), "CONNECTOR_PLUGIN_MISSING");
        assert_eq!(
            error.to_string(),
            "the worker has no connector io.debezium.connector.postgresql.PostgresConnector; it has: x.FileSink"
        );
    }

    /// What becomes of each version of the three: the code of what is refused or warned about.
    const VERSIONS: &[(&str, &str, &str, Option<&str>)] = &[
        // Kafka Connect, PostgreSQL connector, JDBC sink
        ("4.3.0", "3.7.0.Final", "3.7.0.Final", None),
        ("4.3.0", "3.10.1.Final", "3.7.0.Final", None),
        ("3.7.2", "3.7.0.Final", "3.6.0.Final", None),
        ("7.10-ccs", "3.7.0.Final", "3.6.0.Final", None),
        ("built here", "3.7.0.Final", "3.6.0.Final", None),
        // Rows that share a position, the first change behind a commit (dbz#1554, dbz#76, dbz#51).
        ("4.3.0", "3.6.3.Final", "3.6.0.Final", Some("CONNECTOR_LOSES_ON_RESTART")),
        ("4.3.0", "3.0.0.Final", "3.7.0.Final", Some("CONNECTOR_LOSES_ON_RESTART")),
        // Heartbeats confirm positions that were not sent.
        ("4.3.0", "2.7.4.Final", "3.6.0.Final", Some("CONNECTOR_PLUGIN_VERSION")),
        ("4.3.0", "1.9.7.Final", "3.6.0.Final", Some("CONNECTOR_PLUGIN_VERSION")),
        ("4.3.0", "3.6.3.Final", "2.7.4.Final", Some("CONNECTOR_PLUGIN_VERSION")),
        ("4.3.0", "undefined", "3.6.0.Final", Some("CONNECTOR_PLUGIN_VERSION")),
        ("4.3.0", "3.6.3.Final", "", Some("CONNECTOR_PLUGIN_VERSION")),
        // No connector can be made stopped.
        ("3.6.1", "3.7.0.Final", "3.7.0.Final", Some("CONNECT_WORKER_VERSION")),
        ("2.8.0", "3.7.0.Final", "3.7.0.Final", Some("CONNECT_WORKER_VERSION")),
    ];

    #[test]
    fn versions_known_to_be_bad_are_refused_or_warned_about() {
        let plugin = |class: &str, version: &str| Plugin {
            class: class.to_owned(),
            version: version.to_owned(),
            options: BTreeSet::new(),
        };
        for (worker, source, sink, expected) in VERSIONS {
            let plugins = Plugins {
                worker: (*worker).to_owned(),
                source: plugin(SOURCE_CLASS, source),
                sink: plugin(SINK_CLASS, sink),
            };
            let refused = check_worker(&plugins.worker)
                .and_then(|()| refuse_known_bad(&plugins.source))
                .and_then(|()| refuse_known_bad(&plugins.sink));
            let findings = plugins.findings();
            let mut warned = findings.iter().filter(|finding| finding.severity == Severity::Warning);
            let code = match &refused {
                Err(error) => Some(error.code()),
                Ok(()) => warned.next().map(|finding| finding.code.as_str()),
            };
            assert_eq!(code, *expected, "{worker} {source} {sink}");
        }
    }
}
