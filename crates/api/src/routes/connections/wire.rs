//! Connections as they are sent and shown.

use segcdc_control::ControlError;
use segcdc_control::connection::{Draft, Server};
use segcdc_control::field::{FieldError, FieldProblems};
use segcdc_control::name::{NameError, ResourceName};
use segcdc_control::service::{ConnectionChange, ConnectionView, SecretChange};
use segcdc_control::store::ConnectionKind;
use segcdc_model::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::moment;
use crate::words::{Change, Encrypt, Kind, SslMode};

/// A connection. Its password is never in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Its name.
    name: String,
    /// What it leads to.
    kind: Kind,
    /// Host name or address, IPv6 without brackets.
    host: String,
    /// TCP port; null for a named instance, whose port SQL Server Browser is asked for.
    port: Option<u16>,
    /// Database.
    database: String,
    /// Role or login.
    user: String,
    /// Whether a password is kept for it.
    has_password: bool,
    /// Authorities to trust instead of the operating system's, PEM.
    ca_pem: Option<String>,
    /// Consent to a connection that does not keep impostors out.
    allow_insecure: bool,
    /// PostgreSQL: how it is protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    sslmode: Option<SslMode>,
    /// SQL Server: how it is protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypt: Option<Encrypt>,
    /// SQL Server: any certificate will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_server_certificate: Option<bool>,
    /// SQL Server: what the certificate is compared with instead of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name_in_certificate: Option<String>,
    /// SQL Server: the named instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// SQL Server: the schema that stands for the source's `public`.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A connection that is to be made. Only one of PostgreSQL has `sslmode`; only one of SQL Server has `encrypt` and the
/// fields behind it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConnection {
    /// Its name.
    #[schema(max_length = 64, example = "shop")]
    name: String,
    /// What it leads to.
    kind: Kind,
    /// Host name or address; IPv6 in brackets.
    #[schema(example = "db1.example.com")]
    host: String,
    /// TCP port; 5432 or 1433 without it.
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    /// Database.
    #[schema(example = "shop")]
    database: String,
    /// Role or login.
    #[schema(example = "segcdc")]
    user: String,
    /// Password; sealed, and never shown.
    #[schema(max_length = 4096, format = Password)]
    password: Option<String>,
    /// Authorities to trust instead of the operating system's, PEM.
    ca_pem: Option<String>,
    /// Consent to a connection that does not keep impostors out; needed for those `sslmode` and `encrypt` that do not.
    allow_insecure: Option<bool>,
    /// PostgreSQL: how it is protected; `verify-full` without it.
    sslmode: Option<SslMode>,
    /// SQL Server: how it is protected; `true` without it.
    encrypt: Option<Encrypt>,
    /// SQL Server: any certificate will do.
    trust_server_certificate: Option<bool>,
    /// SQL Server: what the certificate is compared with instead of the host.
    host_name_in_certificate: Option<String>,
    /// SQL Server: the named instance.
    instance: Option<String>,
    /// SQL Server: the schema that stands for the source's `public`; `dbo` without it.
    schema: Option<String>,
}

/// What is to be changed of a connection. What is left away stays; null empties a field that may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedConnection {
    /// Its name.
    #[schema(max_length = 64)]
    name: Option<String>,
    /// Host name or address; IPv6 in brackets.
    host: Option<String>,
    /// TCP port.
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 65535)]
    port: Change<u16>,
    /// Database.
    database: Option<String>,
    /// Role or login.
    user: Option<String>,
    /// Password; left away it stays, null forgets it.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 4096, format = Password)]
    password: Change<String>,
    /// Authorities to trust instead of the operating system's, PEM.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    ca_pem: Change<String>,
    /// Consent to a connection that does not keep impostors out.
    allow_insecure: Option<bool>,
    /// PostgreSQL: how it is protected.
    sslmode: Option<SslMode>,
    /// SQL Server: how it is protected.
    encrypt: Option<Encrypt>,
    /// SQL Server: any certificate will do.
    trust_server_certificate: Option<bool>,
    /// SQL Server: what the certificate is compared with instead of the host.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    host_name_in_certificate: Change<String>,
    /// SQL Server: the named instance.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    instance: Change<String>,
    /// SQL Server: the schema that stands for the source's `public`.
    schema: Option<String>,
}

/// A connection that is to be made, read.
pub(crate) struct Read {
    /// Its name.
    pub(crate) name: ResourceName,
    /// What it leads to.
    pub(crate) kind: ConnectionKind,
    /// Its fields.
    pub(crate) draft: Draft,
    /// Its password.
    pub(crate) password: Option<Secret<String>>,
}

// === impl Connection ===

impl Connection {
    /// As it is shown.
    pub(crate) fn of(view: &ConnectionView) -> Self {
        let settings = &view.settings;
        let mut shown = Connection {
            id: view.id.text(),
            name: view.name.to_string(),
            kind: settings.kind().into(),
            host: settings.host.clone(),
            port: settings.port,
            database: settings.database.clone(),
            user: settings.user.clone(),
            has_password: view.has_password,
            ca_pem: settings.ca_pem.clone(),
            allow_insecure: settings.allow_insecure,
            sslmode: None,
            encrypt: None,
            trust_server_certificate: None,
            host_name_in_certificate: None,
            instance: None,
            schema: None,
            created_at: moment::text(view.created_at),
            updated_at: moment::text(view.updated_at),
        };
        match settings.server.clone() {
            Server::Postgres { sslmode } => shown.sslmode = Some(sslmode.into()),
            Server::SqlServer {
                encrypt,
                trust_server_certificate,
                host_name_in_certificate,
                instance,
                schema,
            } => {
                shown.encrypt = Some(encrypt.into());
                shown.trust_server_certificate = Some(trust_server_certificate);
                shown.host_name_in_certificate = host_name_in_certificate;
                shown.instance = instance;
                shown.schema = Some(schema);
            }
        }
        shown
    }
}

// === impl NewConnection ===

impl NewConnection {
    /// As the use case takes it.
    ///
    /// # Errors
    /// `NAME_INVALID`.
    pub(crate) fn read(self) -> Result<Read, ControlError> {
        let draft = Draft {
            host: Some(self.host),
            port: self.port,
            database: Some(self.database),
            user: Some(self.user),
            ca_pem: self.ca_pem,
            allow_insecure: self.allow_insecure,
            sslmode: self.sslmode.map(Into::into),
            encrypt: self.encrypt.map(Into::into),
            trust_server_certificate: self.trust_server_certificate,
            host_name_in_certificate: self.host_name_in_certificate,
            instance: self.instance,
            schema: self.schema,
        };
        let password = self.password.map(Secret::new);
        Ok(Read { name: name(&self.name)?, kind: self.kind.into(), draft, password })
    }
}

// === impl ChangedConnection ===

impl ChangedConnection {
    /// As the use case takes it.
    ///
    /// # Errors
    /// `NAME_INVALID`.
    pub(crate) fn read(self) -> Result<ConnectionChange, ControlError> {
        let name = self.name.as_deref().map(name).transpose()?;
        let password = match self.password {
            Change::Keep => SecretChange::Keep,
            Change::Clear => SecretChange::Clear,
            Change::Set(password) => SecretChange::Set(Secret::new(password)),
        };
        let fields = move |before: Draft| Draft {
            host: self.host.or(before.host),
            port: self.port.of(before.port),
            database: self.database.or(before.database),
            user: self.user.or(before.user),
            ca_pem: self.ca_pem.of(before.ca_pem),
            allow_insecure: self.allow_insecure.or(before.allow_insecure),
            sslmode: self.sslmode.map(Into::into).or(before.sslmode),
            encrypt: self.encrypt.map(Into::into).or(before.encrypt),
            trust_server_certificate: self.trust_server_certificate.or(before.trust_server_certificate),
            host_name_in_certificate: self.host_name_in_certificate.of(before.host_name_in_certificate),
            instance: self.instance.of(before.instance),
            schema: self.schema.or(before.schema),
        };
        Ok(ConnectionChange { name, fields: Box::new(fields), password })
    }
}

fn name(text: &str) -> Result<ResourceName, ControlError> {
    text.parse().map_err(|error: NameError| FieldProblems::one("name", FieldError::from(error)).into())
}
