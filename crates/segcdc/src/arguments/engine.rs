//! Who runs a pipeline, and how a Kafka Connect cluster is reached.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Heading of the options that only that engine has.
const KAFKA_CONNECT: &str = "Kafka Connect options";

/// Who runs the pipeline, and what a Kafka Connect cluster has to be told for that.
#[derive(Debug, Clone, Args)]
pub(crate) struct EngineArguments {
    /// Who runs the pipeline
    #[arg(long, value_enum, default_value = "native", env = "SEGCDC_ENGINE", hide_env_values = true)]
    pub(crate) engine: Engine,
    /// The worker.
    #[command(flatten)]
    pub(crate) worker: WorkerArguments,
    /// How the worker gets the passwords: file:/PATH (written here), read:/PATH (there already) or env:PREFIX
    #[arg(
        long,
        value_name = "WHERE",
        env = "SEGCDC_CONNECT_SECRETS",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) connect_secrets: Option<String>,
    /// A property of a connector, as source.NAME=VALUE or sink.NAME=VALUE; may be given several times
    #[arg(
        long = "connect-property",
        value_name = "NAME=VALUE",
        env = "SEGCDC_CONNECT_PROPERTY",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) connect_properties: Vec<String>,
    /// Copies of each topic; without it, what the brokers do by themselves
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32767),
        env = "SEGCDC_KAFKA_REPLICATION", hide_env_values = true, help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_replication: Option<u16>,
    /// Who copies the rows of a new pipeline before connectors follow it
    #[arg(
        long, value_enum, default_value = "native", env = "SEGCDC_FULL_LOAD", hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) full_load: FullLoadBy,
}

/// Who copies the rows of a pipeline on Kafka Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FullLoadBy {
    /// This process, straight into the target, several tables at once
    Native,
    /// Debezium, through Kafka, so that the rows are in the topics too
    Debezium,
}

/// Where a Kafka Connect worker is. For a pipeline that exists, its state says so too.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WorkerArguments {
    /// A worker's REST interface: http://host:8083
    #[arg(
        long,
        value_name = "URL",
        env = "SEGCDC_CONNECT_URL",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) connect_url: Option<String>,
    /// user:password of the REST interface, if it asks for them; better @FILE or the variable
    #[arg(
        long,
        value_name = "AUTH",
        env = "SEGCDC_CONNECT_AUTH",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) connect_auth: Option<String>,
    /// PEM file of the authorities that are trusted for an https URL, instead of the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "SEGCDC_CONNECT_CA_FILE",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) connect_ca_file: Option<PathBuf>,
    /// Brokers as host:port, several with commas: with them, `down --drop` deletes the topics too
    #[arg(
        long,
        value_name = "ADDRESSES",
        env = "SEGCDC_KAFKA_BOOTSTRAP",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_bootstrap: Option<String>,
    /// What brokers are told beside a request.
    #[command(flatten)]
    pub(crate) brokers: BrokerArguments,
}

/// How the brokers of --kafka-bootstrap are spoken to. The worker has its own way to them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BrokerArguments {
    /// user:password for brokers with SASL; better @FILE or the variable
    #[arg(
        long,
        value_name = "AUTH",
        env = "SEGCDC_KAFKA_AUTH",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_auth: Option<String>,
    /// How user and password are shown to the brokers
    #[arg(
        long,
        value_enum,
        value_name = "MECHANISM",
        default_value = "scram-sha-512",
        env = "SEGCDC_KAFKA_SASL",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_sasl: KafkaSasl,
    /// Speak TLS with the brokers, by the system's authorities
    #[arg(long, env = "SEGCDC_KAFKA_TLS", hide_env_values = true, help_heading = KAFKA_CONNECT)]
    pub(crate) kafka_tls: bool,
    /// PEM file of the authorities that are trusted for brokers, instead of the system's; with TLS
    #[arg(
        long,
        value_name = "FILE",
        env = "SEGCDC_KAFKA_CA_FILE",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_ca_file: Option<PathBuf>,
    /// PEM file of the certificate that brokers are shown; with TLS
    #[arg(
        long,
        value_name = "FILE",
        requires = "kafka_key_file",
        env = "SEGCDC_KAFKA_CERT_FILE",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_cert_file: Option<PathBuf>,
    /// PEM file of its key
    #[arg(
        long,
        value_name = "FILE",
        requires = "kafka_cert_file",
        env = "SEGCDC_KAFKA_KEY_FILE",
        hide_env_values = true,
        help_heading = KAFKA_CONNECT
    )]
    pub(crate) kafka_key_file: Option<PathBuf>,
}

/// How user and password are shown to brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum KafkaSasl {
    /// The password itself; better with TLS
    Plain,
    /// A proof, by SHA-256
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// A proof, by SHA-512
    #[default]
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

/// Who runs a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// This process: exactly once
    Native,
    /// Connectors in a Kafka Connect cluster: at least once
    KafkaConnect,
}
