//! [`validate`]: has the worker check the connectors, and first whether it fills in the placeholders of the passwords.
//!
//! A worker that does not know a placeholder takes it for the password itself, and databases refuse that. Whether it is
//! filled in must not be asked for by a password: the worker would answer and log it.
//!
//! | `--connect-secrets` | what proves it |
//! |---|---|
//! | `file:` | a value of the file that is no secret, another one each time |
//! | `read:`, `env:` | such a value, if the operator has put one there: it has become something else than its placeholder |
//! | | or the source itself: the worker logs in with the placeholder, and not without a password |

use segcdc_model::{Fault, Finding, Side};

use crate::error::ConnectError;
use crate::plugin::SOURCE_CLASS;
use crate::property::{Connector, Properties, Role};
use crate::rest::{FieldError, Rest};
use crate::secrets::Secrets;
use crate::trace;

/// Name of the check.
const CHECK: &str = "connect.secrets";

/// The property that the source's password is in.
const PASSWORD: &str = "database.password";

/// What shows that the worker fills in placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// A value that is no secret.
    Value,
    /// It logs in at the source.
    Login,
    /// What else the worker has to say about the connectors comes first.
    Open,
}

/// Has the worker check all connectors. It opens connections of its own, so the passwords must be where it reads them.
///
/// # Errors
/// `CONNECTOR_CONFIG_INVALID` with what the worker does not like; `CONNECT_SECRETS_PROVIDER`, `CONNECT_SECRETS_REFUSED`,
/// `CONNECT_SECRETS_UNPROVEN`.
pub async fn validate(rest: &Rest, connectors: &[Connector], secrets: &Secrets) -> Result<(), ConnectError> {
    match secrets.check()? {
        Some((placeholder, expected)) => file_is_read(rest, secrets, &placeholder, &expected).await?,
        None => drop(proof(rest, connectors, secrets).await?),
    }
    for connector in connectors {
        let found = rest.validate(&connector.class, &named(connector)).await?;
        if found.error_count > 0 || !found.errors.is_empty() {
            return Err(ConnectError::ConfigInvalid {
                connector: connector.name.clone(),
                errors: listed(&found.errors),
            });
        }
    }
    Ok(())
}

/// What was found about passwords that the worker has by itself, before anything is made. Those that we write are not there
/// yet.
///
/// # Errors
/// When the worker cannot be asked.
pub(crate) async fn references(
    rest: &Rest,
    connectors: &[Connector],
    secrets: &Secrets,
) -> Result<Option<Finding>, ConnectError> {
    if matches!(secrets, Secrets::File { .. }) {
        return Ok(None);
    }
    match proof(rest, connectors, secrets).await {
        Ok(Proof::Open) => Ok(None),
        Ok(proof) => Ok(Some(Finding::ok(CHECK, Side::Source, proof.words(secrets)))),
        Err(
            error @ (ConnectError::SecretsProvider { .. }
            | ConnectError::SecretsRefused { .. }
            | ConnectError::SecretsUnproven { .. }),
        ) => Ok(Some(
            Finding::failure(CHECK, Side::Source, error.code(), error.to_string()).hint(error.hint()),
        )),
        Err(error) => Err(error),
    }
}

/// The configuration with the connector's name, which validation wants to see.
pub(crate) fn named(connector: &Connector) -> Properties {
    let mut properties = connector.to_properties();
    properties.insert("name".to_owned(), connector.name.clone());
    properties
}

/// Whether the worker reads the very file that we have written.
async fn file_is_read(
    rest: &Rest,
    secrets: &Secrets,
    placeholder: &str,
    expected: &str,
) -> Result<(), ConnectError> {
    match filled(rest, placeholder).await? {
        Some(value) if value == expected => Ok(()),
        Some(_) | None => Err(ConnectError::SecretsProvider { provider: secrets.provider().to_owned() }),
    }
}

/// What shows that the worker fills in the placeholders of passwords that it has by itself.
async fn proof(rest: &Rest, connectors: &[Connector], secrets: &Secrets) -> Result<Proof, ConnectError> {
    let placeholder = secrets.check_placeholder();
    match filled(rest, &placeholder).await? {
        None => return Err(ConnectError::SecretsProvider { provider: secrets.provider().to_owned() }),
        Some(value) if value != placeholder => return Ok(Proof::Value),
        // Either the worker fills in nothing, or nobody has put such a value there.
        Some(_) => {}
    }
    let unproven = || Err(ConnectError::SecretsUnproven { placeholder: secrets.check_placeholder() });
    let source = connectors.iter().find(|connector| connector.role == Role::Source);
    let Some(source) = source.filter(|source| source.get(PASSWORD).is_some()) else { return unproven() };
    let mut properties = named(source);
    let errors = rest.validate(&source.class, &properties).await?.errors;
    if errors.iter().any(|error| trace::cause(&error.message).code == "AUTH_FAILED") {
        return Err(ConnectError::SecretsRefused { placeholder: secrets.source_password() });
    }
    if !errors.is_empty() {
        return Ok(Proof::Open);
    }
    properties.remove(PASSWORD);
    match rest.validate(&source.class, &properties).await?.errors.is_empty() {
        true => unproven(),
        false => Ok(Proof::Login),
    }
}

/// Has the worker fill in a placeholder of something that is no secret, in the one property whose value it shows however
/// little else there is. `None` when its provider cannot read there.
async fn filled(rest: &Rest, placeholder: &str) -> Result<Option<String>, ConnectError> {
    const SHOWN: &str = "name";
    let properties = [("connector.class", SOURCE_CLASS), (SHOWN, placeholder)];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    match rest.validate(SOURCE_CLASS, &properties).await {
        Ok(mut found) => Ok(found.values.remove(SHOWN)),
        // The provider is there, and the file is not.
        Err(ConnectError::Answer { status: 400 | 500, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Errors on one line. What a worker says about a property may repeat its value, which is none of a row and no secret.
fn listed(errors: &[FieldError]) -> String {
    let texts = errors.iter().map(|error| {
        let line: String =
            error.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        format!("{}: {line}", error.name)
    });
    texts.take(5).collect::<Vec<_>>().join("; ")
}

// === impl Proof ===

impl Proof {
    /// The proof in words.
    fn words(self, secrets: &Secrets) -> String {
        let what = match self {
            Proof::Value => format!("the worker fills in {}", secrets.check_placeholder()),
            Proof::Login | Proof::Open => {
                format!("the worker logs in at the source with {}", secrets.source_password())
            }
        };
        format!("{what}; {} is tried by the sink when it begins", secrets.target_password())
    }
}
