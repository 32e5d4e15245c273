//! [`ConnectError`]: why a pipeline on Kafka Connect cannot be set up, looked after or removed.

use std::io;
use std::path::PathBuf;

use segcdc_engine_native::EngineError;
use segcdc_model::{Disposition, Fault};
use segcdc_postgres::SourceError;
use segcdc_sqlserver::TargetError;

pub use crate::kafka::KafkaError;

/// Why a pipeline on Kafka Connect cannot be set up, looked after or removed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// What both engines have in common.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The source's.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// The target's.
    #[error(transparent)]
    Target(Box<TargetError>),
    /// The brokers'.
    #[error(transparent)]
    Kafka(Box<KafkaError>),
    /// The worker's URL cannot be used.
    #[error("the URL of the Kafka Connect worker cannot be used: {reason}")]
    Url {
        /// Why.
        reason: &'static str,
    },
    /// The worker cannot be reached, or ended the connection.
    #[error("the Kafka Connect worker at {url} cannot be reached")]
    Unreachable {
        /// The worker.
        url: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// TLS with the worker failed.
    #[error("TLS with {url} failed: {detail}")]
    Tls {
        /// The worker or broker.
        url: String,
        /// What failed.
        detail: String,
    },
    /// The worker did not answer in time.
    #[error("the Kafka Connect worker at {url} did not answer within {after_s} s")]
    Timeout {
        /// The worker.
        url: String,
        /// Seconds.
        after_s: u64,
    },
    /// What the worker answers is larger than any answer of Kafka Connect.
    #[error("what {url} answers is larger than {limit_bytes} bytes")]
    AnswerTooLarge {
        /// The worker.
        url: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// The worker wants other credentials, or these may not do what was asked.
    #[error("the Kafka Connect worker at {url} answers {status} to {request}")]
    Unauthorized {
        /// The worker.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Method and path.
        request: String,
    },
    /// The worker answered with an error, or with something that is no answer of Kafka Connect.
    #[error("the Kafka Connect worker answers {status} to {request}: {message}")]
    Answer {
        /// The status code.
        status: u16,
        /// Method and path.
        request: String,
        /// What the worker says, shortened.
        message: String,
    },
    /// The worker's cluster was rebalancing all the time.
    #[error("the Kafka Connect cluster was rebalancing for {after_s} s and did not take {request}")]
    Rebalancing {
        /// Method and path.
        request: String,
        /// Seconds.
        after_s: u64,
    },
    /// The worker is older than what the set-up needs.
    #[error("the Kafka Connect worker has version {found}; {needed} or newer is needed")]
    WorkerVersion {
        /// What it has.
        found: String,
        /// What is needed.
        needed: &'static str,
    },
    /// A connector class is not installed at the worker.
    #[error("the worker has no connector {class}; it has: {installed}")]
    PluginMissing {
        /// The class.
        class: String,
        /// The connectors that it has.
        installed: String,
    },
    /// A plugin has a version that must not be used.
    #[error("the plugin {class} has version {found}: {reason}")]
    PluginVersion {
        /// The class.
        class: String,
        /// Its version.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The worker refuses a connector's configuration.
    #[error("the worker refuses the configuration of {connector}: {errors}")]
    ConfigInvalid {
        /// The connector.
        connector: String,
        /// Property and message of each error.
        errors: String,
    },
    /// A connector of the wanted name is there and is not ours.
    #[error("the worker has a connector {connector} already, which the pipeline did not make")]
    ConnectorExists {
        /// The connector.
        connector: String,
    },
    /// A connector of the pipeline is gone.
    #[error("the worker has no connector {connector}")]
    ConnectorMissing {
        /// The connector.
        connector: String,
    },
    /// A connector did not reach the state that it was asked for.
    #[error("connector {connector} is {found} after {after_s} s, not {wanted}")]
    ConnectorState {
        /// The connector.
        connector: String,
        /// What was asked for.
        wanted: &'static str,
        /// What it is.
        found: String,
        /// Seconds.
        after_s: u64,
    },
    /// A task failed again and again.
    #[error("{tasks} failed {times} times in a row: {cause}")]
    TaskFailed {
        /// Connector and task number.
        tasks: String,
        /// Restarts without success.
        times: u32,
        /// Likely cause.
        cause: String,
        /// What to do about it.
        advice: String,
    },
    /// A property that may not be set by hand.
    #[error("the property {name} of the {connector} connector cannot be set by hand")]
    PropertyNotAllowed {
        /// `source` or `sink`.
        connector: &'static str,
        /// The property.
        name: String,
    },
    /// A property's value that the worker would replace by something else.
    #[error("the value of {name} contains a placeholder, which the worker would fill with its own secrets")]
    PlaceholderNotAllowed {
        /// The property.
        name: String,
    },
    /// A property's value that cannot be right.
    #[error("the value of {name} cannot be used: {reason}")]
    PropertyValue {
        /// The property.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// It was not said how the worker gets the passwords.
    #[error("it is not said how the Kafka Connect worker gets the passwords of source and target")]
    SecretsMissing,
    /// What was said about the passwords cannot be understood.
    #[error("\"{given}\" does not say how the worker gets the passwords")]
    SecretsForm {
        /// What was given.
        given: String,
    },
    /// The file with the passwords cannot be written or removed.
    #[error("the file {} with the passwords for the worker cannot be {what}", .path.display())]
    SecretsFile {
        /// The file.
        path: PathBuf,
        /// `written`, `read` or `removed`.
        what: &'static str,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The worker does not replace the placeholders.
    #[error(
        "the worker does not fill in ${{{provider}:…}}: it has no such configuration provider, or may not read there"
    )]
    SecretsProvider {
        /// The provider's name.
        provider: String,
    },
    /// The worker's login at the source is refused with what it has for the password.
    #[error("the source refuses what the worker takes for {placeholder}")]
    SecretsRefused {
        /// The placeholder of the source's password.
        placeholder: String,
    },
    /// Nothing shows whether the worker replaces the placeholders.
    #[error(
        "nothing shows that the worker fills in placeholders: it leaves {placeholder} as it is, and the source lets it in \
         without a password"
    )]
    SecretsUnproven {
        /// The placeholder of what is no secret.
        placeholder: String,
    },
    /// The pipeline asks for something that this engine cannot do.
    #[error("the Kafka Connect engine does not support {what}")]
    Unsupported {
        /// What.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// Tables could not be copied by the full load.
    #[error("the full load could not copy {tables}")]
    LoadIncomplete {
        /// The tables, each with its reason.
        tables: String,
    },
    /// The pipeline cannot be handed to another engine as it is.
    #[error("pipeline \"{pipeline}\" cannot be handed to the engine {to}: {reasons}")]
    MigrateRefused {
        /// The pipeline.
        pipeline: String,
        /// The engine.
        to: &'static str,
        /// What stands in the way.
        reasons: String,
    },
    /// The pipeline is being handed to another engine.
    #[error("pipeline \"{pipeline}\" is on its way to the engine native")]
    MigrationUnfinished {
        /// The pipeline.
        pipeline: String,
    },
    /// No moment was found in which no transaction was writing the tables.
    #[error("the tables of pipeline \"{pipeline}\" were written without a pause for {after_s} s")]
    TablesBusy {
        /// The pipeline.
        pipeline: String,
        /// Seconds.
        after_s: u64,
    },
    /// What the pipeline's state says cannot be read.
    #[error("the state of pipeline \"{pipeline}\" does not describe a pipeline on Kafka Connect")]
    SpecUnreadable {
        /// The pipeline.
        pipeline: String,
    },
}

// === impl ConnectError ===

impl From<EngineError> for ConnectError {
    fn from(error: EngineError) -> Self {
        ConnectError::Engine(Box::new(error))
    }
}

impl From<SourceError> for ConnectError {
    fn from(error: SourceError) -> Self {
        ConnectError::Source(Box::new(error))
    }
}

impl From<TargetError> for ConnectError {
    fn from(error: TargetError) -> Self {
        ConnectError::Target(Box::new(error))
    }
}

impl From<KafkaError> for ConnectError {
    fn from(error: KafkaError) -> Self {
        ConnectError::Kafka(Box::new(error))
    }
}

impl Fault for ConnectError {
    fn code(&self) -> &'static str {
        match self {
            ConnectError::Engine(error) => error.code(),
            ConnectError::Source(error) => error.code(),
            ConnectError::Target(error) => error.code(),
            ConnectError::Kafka(error) => error.code(),
            ConnectError::Url { .. } => "CONNECT_URL",
            ConnectError::Unreachable { .. } => "CONNECT_UNREACHABLE",
            ConnectError::Tls { .. } => "CONNECT_TLS",
            ConnectError::Timeout { .. } => "CONNECT_TIMEOUT",
            ConnectError::AnswerTooLarge { .. } => "CONNECT_ANSWER_TOO_LARGE",
            ConnectError::Unauthorized { .. } => "CONNECT_AUTH",
            ConnectError::Answer { .. } => "CONNECT_ERROR",
            ConnectError::Rebalancing { .. } => "CONNECT_REBALANCING",
            ConnectError::WorkerVersion { .. } => "CONNECT_WORKER_VERSION",
            ConnectError::PluginMissing { .. } => "CONNECTOR_PLUGIN_MISSING",
            ConnectError::PluginVersion { .. } => "CONNECTOR_PLUGIN_VERSION",
            ConnectError::ConfigInvalid { .. } => "CONNECTOR_CONFIG_INVALID",
            ConnectError::ConnectorExists { .. } => "CONNECTOR_EXISTS",
            ConnectError::ConnectorMissing { .. } => "CONNECTOR_MISSING",
            ConnectError::ConnectorState { .. } => "CONNECTOR_STATE",
            ConnectError::TaskFailed { .. } => "CONNECTOR_TASK_FAILED",
            ConnectError::PropertyNotAllowed { .. } => "PROPERTY_NOT_ALLOWED",
            ConnectError::PlaceholderNotAllowed { .. } => "PLACEHOLDER_NOT_ALLOWED",
            ConnectError::PropertyValue { .. } => "PROPERTY_VALUE",
            ConnectError::SecretsMissing => "CONNECT_SECRETS_MISSING",
            ConnectError::SecretsForm { .. } => "CONNECT_SECRETS_FORM",
            ConnectError::SecretsFile { .. } => "CONNECT_SECRETS_FILE",
            ConnectError::SecretsProvider { .. } => "CONNECT_SECRETS_PROVIDER",
            ConnectError::SecretsRefused { .. } => "CONNECT_SECRETS_REFUSED",
            ConnectError::SecretsUnproven { .. } => "CONNECT_SECRETS_UNPROVEN",
            ConnectError::Unsupported { .. } => "CONNECT_UNSUPPORTED",
            ConnectError::LoadIncomplete { .. } => "FULL_LOAD_INCOMPLETE",
            ConnectError::MigrateRefused { .. } => "MIGRATE_REFUSED",
            ConnectError::MigrationUnfinished { .. } => "MIGRATION_UNFINISHED",
            ConnectError::TablesBusy { .. } => "MIGRATE_TABLES_BUSY",
            ConnectError::SpecUnreadable { .. } => "PIPELINE_SPEC",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            ConnectError::Engine(error) => error.disposition(),
            ConnectError::Source(error) => error.disposition(),
            ConnectError::Target(error) => error.disposition(),
            ConnectError::Kafka(error) => error.disposition(),
            ConnectError::Unreachable { .. }
            | ConnectError::Timeout { .. }
            | ConnectError::Rebalancing { .. }
            | ConnectError::ConnectorState { .. } => Disposition::Retry,
            ConnectError::Answer { status, .. } if *status >= 500 => Disposition::Retry,
            ConnectError::Answer { .. }
            | ConnectError::Url { .. }
            | ConnectError::Tls { .. }
            | ConnectError::AnswerTooLarge { .. }
            | ConnectError::Unauthorized { .. }
            | ConnectError::WorkerVersion { .. }
            | ConnectError::PluginMissing { .. }
            | ConnectError::PluginVersion { .. }
            | ConnectError::ConfigInvalid { .. }
            | ConnectError::ConnectorExists { .. }
            | ConnectError::ConnectorMissing { .. }
            | ConnectError::TaskFailed { .. }
            | ConnectError::PropertyNotAllowed { .. }
            | ConnectError::PlaceholderNotAllowed { .. }
            | ConnectError::PropertyValue { .. }
            | ConnectError::SecretsMissing
            | ConnectError::SecretsForm { .. }
            | ConnectError::SecretsFile { .. }
            | ConnectError::SecretsProvider { .. }
            | ConnectError::SecretsRefused { .. }
            | ConnectError::SecretsUnproven { .. }
            | ConnectError::Unsupported { .. }
            | ConnectError::LoadIncomplete { .. }
            | ConnectError::MigrateRefused { .. }
            | ConnectError::MigrationUnfinished { .. }
            | ConnectError::TablesBusy { .. }
            | ConnectError::SpecUnreadable { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            ConnectError::Engine(error) => return error.hint(),
            ConnectError::Source(error) => return error.hint(),
            ConnectError::Target(error) => return error.hint(),
            ConnectError::Kafka(error) => return error.hint(),
            ConnectError::Url { .. } => {
                "give --connect-url http://host:8083 or https://host/path; user and password go into --connect-auth"
            }
            ConnectError::Unreachable { .. } => "check --connect-url, and that the worker runs and listens there",
            ConnectError::Tls { .. } => {
                "check the certificate, and give its authority with --connect-ca-file when it is not one of the system's"
            }
            ConnectError::Timeout { .. } => {
                "look at the worker's log: it may be starting, overloaded, or waiting for a database"
            }
            ConnectError::AnswerTooLarge { .. } => "check that --connect-url is that of a Kafka Connect worker",
            ConnectError::Unauthorized { .. } => {
                "give user:password of the worker's REST interface with --connect-auth @FILE"
            }
            ConnectError::Answer { .. } => {
                "read the worker's message and its log; check that --connect-url is that of a Kafka Connect worker"
            }
            ConnectError::Rebalancing { .. } => {
                "wait until the workers have settled; a worker that comes and goes keeps its cluster rebalancing"
            }
            ConnectError::WorkerVersion { .. } => "use a newer Kafka Connect",
            ConnectError::PluginMissing { .. } => {
                "put the plugin into a folder of the worker's plugin.path, and restart the worker"
            }
            ConnectError::PluginVersion { .. } => "install a newer version of the plugin at every worker",
            ConnectError::ConfigInvalid { .. } => {
                "mend what the worker names; it opens connections of its own, so hosts must be reachable from there"
            }
            ConnectError::ConnectorExists { .. } => {
                "give the pipeline another --name, or delete the connector if it is not needed"
            }
            ConnectError::ConnectorMissing { .. } => "run `segcdc up` again, which makes what is missing",
            ConnectError::ConnectorState { .. } => "look at the worker's log, then try again",
            ConnectError::TaskFailed { advice, .. } => return advice.clone(),
            ConnectError::PropertyNotAllowed { .. } => {
                "the engine sets what it needs; `segcdc plan --engine kafka-connect` shows it, docs/guides/kafka-connect.md \
                 lists what can be changed"
            }
            ConnectError::PlaceholderNotAllowed { .. } => "give the value itself, without ${",
            ConnectError::PropertyValue { .. } => "give a value as Debezium's documentation describes it",
            ConnectError::SecretsMissing => {
                "give --connect-secrets file:/path/of/a/file (written here, read by the worker at the same path), \
                 read:/path (already there at the worker) or env:PREFIX (variables of the worker)"
            }
            ConnectError::SecretsForm { .. } => {
                "give file:/path, read:/path or env:PREFIX; a path is absolute, a prefix has letters, digits and _"
            }
            ConnectError::SecretsFile { .. } => "check that the folder exists, writable for this user",
            ConnectError::SecretsProvider { .. } => {
                "set config.providers in the worker's properties; docs/guides/kafka-connect.md shows how"
            }
            ConnectError::SecretsRefused { .. } => {
                "check config.providers in the worker's properties, that the file or the variable is there with the \
                 password of --source, and that the provider may read it"
            }
            ConnectError::SecretsUnproven { .. } => {
                "give the worker that value, any, as segcdc.check in the file or as PREFIX_CHECK in its environment; if it \
                 has it, set config.providers: docs/guides/kafka-connect.md shows how"
            }
            ConnectError::Unsupported { instead, .. } => instead,
            ConnectError::LoadIncomplete { .. } => {
                "change the values at the source, then run `segcdc up` again: it copies what is missing"
            }
            ConnectError::MigrateRefused { .. } => "mend that, then run `segcdc migrate` again; nothing was changed",
            ConnectError::MigrationUnfinished { .. } => "run `segcdc migrate --engine native` again: it goes on",
            ConnectError::TablesBusy { .. } => {
                "end long transactions and VACUUM on these tables, then run `segcdc migrate` again"
            }
            ConnectError::SpecUnreadable { .. } => {
                "the pipeline was made by another version of segcdc, or its row in segcdc.pipeline was changed by hand"
            }
        }
        .to_owned()
    }

    fn fix_sql(&self) -> Option<String> {
        match self {
            ConnectError::Engine(error) => error.fix_sql(),
            ConnectError::Source(error) => error.fix_sql(),
            ConnectError::Target(error) => error.fix_sql(),
            _ => None,
        }
    }
}
