//! From arguments to what the Kafka Connect engine takes.

use std::io;
use std::path::Path;

use segcdc_engine_kafka_connect::{
    BasicAuth, Bootstrap, BrokerSecurity, BrokerTls, ClientCertificate, ConnectConfig, ConnectUrl, FullLoad,
    HttpConfig, Mechanism, Rest, Sasl, Secrets, Spec, overrides,
};
use segcdc_engine_native::{EngineConfig, EngineKind};
use segcdc_model::Secret;
use segcdc_sqlserver::{PipelineState, Target, WritePath};

use crate::arguments::{BrokerArguments, EngineArguments, FullLoadBy, KafkaSasl, WorkerArguments};
use crate::error::CliError;
use crate::secret_url;

/// A pipeline on Kafka Connect that is to be set up.
///
/// # Errors
/// The first thing that is wrong, by its code.
pub(crate) fn setup(
    arguments: &EngineArguments,
    mut engine: EngineConfig,
) -> Result<(ConnectConfig, Rest), CliError> {
    engine.engine = EngineKind::KafkaConnect;
    let url = arguments.worker.connect_url.as_deref();
    let config = ConnectConfig {
        engine,
        http: http(url, &arguments.worker)?,
        secrets: arguments.connect_secrets.as_deref().map(Secrets::parse).transpose()?,
        bootstrap: arguments.worker.kafka_bootstrap.as_deref().map(Bootstrap::parse).transpose()?,
        security: security(&arguments.worker.brokers)?,
        replication_factor: arguments.kafka_replication,
        overrides: arguments
            .connect_properties
            .iter()
            .map(|text| overrides::parse(text))
            .collect::<Result<_, _>>()?,
        full_load: match arguments.full_load {
            FullLoadBy::Native => FullLoad::Native,
            FullLoadBy::Debezium => FullLoad::Debezium,
        },
    };
    let rest = Rest::new(config.http.clone())?;
    Ok((config, rest))
}

/// Who runs a pipeline, by the target's state.
#[derive(Debug)]
pub(crate) enum Runs {
    /// Connectors.
    OnKafkaConnect(Box<ConnectConfig>, Box<Rest>),
    /// `segcdc up`.
    Natively,
    /// There is no such pipeline.
    Nowhere,
}

/// The pipeline on Kafka Connect that the target's state speaks of; `None` for one that the native engine runs, and for
/// one that is not there.
///
/// # Errors
/// As [`find`].
pub(crate) async fn existing(
    arguments: &WorkerArguments,
    engine: &EngineConfig,
) -> Result<Option<(ConnectConfig, Rest)>, CliError> {
    Ok(match find(arguments, engine).await? {
        Runs::OnKafkaConnect(config, rest) => Some((*config, *rest)),
        Runs::Natively | Runs::Nowhere => None,
    })
}

/// Who runs the pipeline.
///
/// # Errors
/// When the target cannot be asked; the first thing that is wrong with the arguments.
pub(crate) async fn find(arguments: &WorkerArguments, engine: &EngineConfig) -> Result<Runs, CliError> {
    let Some(state) = state(engine).await? else { return Ok(Runs::Nowhere) };
    if EngineKind::of(&state) == EngineKind::Native {
        return Ok(Runs::Natively);
    }
    let spec = Spec::of(&state)?;
    let url = arguments.connect_url.as_deref().unwrap_or(&spec.connect_url);
    let config = ConnectConfig {
        engine: EngineConfig { engine: EngineKind::KafkaConnect, ..engine.clone() },
        http: http(Some(url), arguments)?,
        secrets: None,
        bootstrap: arguments.kafka_bootstrap.as_deref().map(Bootstrap::parse).transpose()?,
        security: security(&arguments.brokers)?,
        replication_factor: None,
        overrides: Vec::new(),
        full_load: FullLoad::default(),
    };
    let rest = Rest::new(config.http.clone())?;
    Ok(Runs::OnKafkaConnect(Box::new(config), Box::new(rest)))
}

/// The pipeline's state.
async fn state(engine: &EngineConfig) -> Result<Option<PipelineState>, CliError> {
    let mut target = Target::connect_with(&engine.target, WritePath::Insert).await?;
    Ok(target.load_state(&engine.name).await?)
}

/// How the worker is asked.
fn http(url: Option<&str>, arguments: &WorkerArguments) -> Result<HttpConfig, CliError> {
    let url = url.ok_or_else(|| {
        let hint = "give --connect-url http://host:8083, or the variable SEGCDC_CONNECT_URL";
        CliError::usage("CONNECT_URL_MISSING", "there is no URL of a Kafka Connect worker", hint)
    })?;
    let mut http = HttpConfig::new(ConnectUrl::parse(url)?);
    if let Some(path) = &arguments.connect_ca_file {
        http.ca_pem = Some(pem("CONNECT_CA_FILE", path)?);
    }
    if let Some(value) = &arguments.connect_auth {
        let (user, password) = user_and_password("--connect-auth", "CONNECT_AUTH_FORM", value)?;
        http.auth = Some(BasicAuth { user, password });
    }
    Ok(http)
}

/// What brokers are told beside a request.
fn security(arguments: &BrokerArguments) -> Result<BrokerSecurity, CliError> {
    let mut security = BrokerSecurity::default();
    if let Some(value) = &arguments.kafka_auth {
        let (user, password) = user_and_password("--kafka-auth", "KAFKA_AUTH_FORM", value)?;
        let mechanism = match arguments.kafka_sasl {
            KafkaSasl::Plain => Mechanism::Plain,
            KafkaSasl::ScramSha256 => Mechanism::ScramSha256,
            KafkaSasl::ScramSha512 => Mechanism::ScramSha512,
        };
        security.sasl = Some(Sasl { mechanism, user, password });
    }
    let file = |path: &Option<_>| path.as_deref().map(|path| pem("KAFKA_TLS_FILE", path)).transpose();
    let (ca_pem, chain) = (file(&arguments.kafka_ca_file)?, file(&arguments.kafka_cert_file)?);
    let client = match (chain, file(&arguments.kafka_key_file)?) {
        (Some(chain_pem), Some(key)) => Some(ClientCertificate { chain_pem, key_pem: Secret::new(key) }),
        _ => None,
    };
    if arguments.kafka_tls || ca_pem.is_some() || client.is_some() {
        security.tls = Some(BrokerTls { ca_pem, client });
    }
    Ok(security)
}

/// The content of a PEM file.
fn pem(code: &str, path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| {
        let message = format!("the file {} cannot be read", path.display());
        CliError::usage(code, message, "give the path of a PEM file").because(&error)
    })
}

/// User and password that an option gives.
fn user_and_password(flag: &str, code: &str, value: &str) -> Result<(String, Secret<String>), CliError> {
    let text = secret_url::resolve(flag, value, &mut io::stdin().lock())?;
    let (user, password) = text.split_once(':').ok_or_else(|| {
        CliError::usage(
            code,
            format!("{flag} has no user and password"),
            "give user:password, or @FILE with that",
        )
    })?;
    Ok((user.to_owned(), Secret::new(password.to_owned())))
}
