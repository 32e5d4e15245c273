//! What a connection's fields may hold, and what a change of them needs. Pure: nothing is connected to here.

mod host;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use segcdc_model::Secret;
use serde::{Deserialize, Serialize};

use crate::field::{FieldError, FieldProblems, Findings};
use crate::store::ConnectionKind;

pub use host::check_host;

/// Longest password of a database, bytes.
pub const MAX_SECRET_BYTES: usize = 4096;

/// Longest certificate authority, bytes: a bundle of some.
const MAX_CA_BYTES: usize = 64 * 1024;

/// How a connection to PostgreSQL is protected; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// The certificate must be trusted and be the host's.
    #[default]
    VerifyFull,
    /// The certificate must be trusted; its name does not matter.
    VerifyCa,
    /// TLS with any certificate, or with one of the given authority.
    Require,
    /// No TLS.
    Disable,
}

/// How a connection to SQL Server is protected; the words are those of Microsoft's drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encrypt {
    /// TDS 7.4, all encrypted.
    #[default]
    True,
    /// TDS 8.0, TLS before anything else.
    Strict,
    /// The login is encrypted if the server can, the rest is not.
    False,
}

/// A connection's fields as a person gives them. What is `None` was not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// Host name or address.
    pub host: Option<String>,
    /// TCP port; the server's usual one without it.
    pub port: Option<u16>,
    /// Database.
    pub database: Option<String>,
    /// Role or login.
    pub user: Option<String>,
    /// Authorities to trust instead of the operating system's, PEM.
    pub ca_pem: Option<String>,
    /// Consent to a connection that does not keep impostors out.
    pub allow_insecure: Option<bool>,
    /// PostgreSQL: how it is protected.
    pub sslmode: Option<SslMode>,
    /// SQL Server: how it is protected.
    pub encrypt: Option<Encrypt>,
    /// SQL Server: any certificate will do.
    pub trust_server_certificate: Option<bool>,
    /// SQL Server: what the certificate is compared with instead of the host.
    pub host_name_in_certificate: Option<String>,
    /// SQL Server: the named instance.
    pub instance: Option<String>,
    /// SQL Server: the schema that stands for the source's `public`.
    pub schema: Option<String>,
}

/// A connection's fields, checked; stored as JSON. No secret is among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port; `None` for a named instance, whose port SQL Server Browser is asked for.
    pub port: Option<u16>,
    /// Database.
    pub database: String,
    /// Role or login.
    pub user: String,
    /// Authorities to trust instead of the operating system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Consent to a connection that does not keep impostors out.
    #[serde(default)]
    pub allow_insecure: bool,
    /// What only one of the kinds has.
    #[serde(flatten)]
    pub server: Server,
}

/// What only one kind of connection has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Server {
    /// A source.
    Postgres {
        /// How it is protected.
        sslmode: SslMode,
    },
    /// A target.
    SqlServer {
        /// How it is protected.
        encrypt: Encrypt,
        /// Any certificate will do.
        trust_server_certificate: bool,
        /// What the certificate is compared with instead of the host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_name_in_certificate: Option<String>,
        /// The named instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<String>,
        /// The schema that stands for the source's `public`.
        schema: String,
    },
}

// === impl Draft ===

impl Draft {
    /// The fields of a connection that is there, to be changed.
    pub fn of(settings: &Settings) -> Self {
        let common = Draft {
            host: Some(bracketed(&settings.host)),
            port: settings.port,
            database: Some(settings.database.clone()),
            user: Some(settings.user.clone()),
            ca_pem: settings.ca_pem.clone(),
            allow_insecure: Some(settings.allow_insecure),
            ..Draft::default()
        };
        match settings.server.clone() {
            Server::Postgres { sslmode } => Draft { sslmode: Some(sslmode), ..common },
            Server::SqlServer {
                encrypt,
                trust_server_certificate,
                host_name_in_certificate,
                instance,
                schema,
            } => Draft {
                encrypt: Some(encrypt),
                trust_server_certificate: Some(trust_server_certificate),
                host_name_in_certificate,
                instance,
                schema: Some(schema),
                ..common
            },
        }
    }

    /// The fields, checked.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn settle(&self, kind: ConnectionKind) -> Result<Settings, FieldProblems> {
        let mut findings = Findings::default();
        let host = needed(&mut findings, "host", self.host.as_deref())
            .and_then(|host| findings.take("host", check_host(host)));
        if self.port == Some(0) {
            findings.add("port", FieldError::Port);
        }
        let database = needed(&mut findings, "database", self.database.as_deref());
        if database.is_some_and(|name| !is_database(kind, name)) {
            findings.add("database", FieldError::Database);
        }
        let user = needed(&mut findings, "user", self.user.as_deref());
        if user.is_some_and(|user| !is_word(user, 128)) {
            findings.add("user", FieldError::Range { min: 1, max: 128 });
        }
        if let Some(found) = self.ca_pem.as_deref().and_then(not_a_ca) {
            findings.add("ca_pem", FieldError::Ca { found });
        }
        let server = self.server(kind, &mut findings);
        if let Some(field) = self.unprotected(&server)
            && !self.allow_insecure.unwrap_or(false)
        {
            findings.add(field, FieldError::Insecure);
        }
        findings.finish()?;
        let has_instance = matches!(&server, Server::SqlServer { instance: Some(_), .. });
        let usual = match kind {
            ConnectionKind::Postgres => 5432,
            ConnectionKind::SqlServer => 1433,
        };
        Ok(Settings {
            host: host.unwrap_or_default(),
            port: if has_instance { self.port } else { Some(self.port.unwrap_or(usual)) },
            database: database.unwrap_or_default().to_owned(),
            user: user.unwrap_or_default().to_owned(),
            ca_pem: self.ca_pem.clone(),
            allow_insecure: self.allow_insecure.unwrap_or(false),
            server,
        })
    }

    /// What only its kind has; what only the other kind has is noted.
    fn server(&self, kind: ConnectionKind, findings: &mut Findings) -> Server {
        let foreign = match kind {
            ConnectionKind::Postgres => vec![
                ("encrypt", self.encrypt.is_some()),
                ("trust_server_certificate", self.trust_server_certificate.is_some()),
                ("host_name_in_certificate", self.host_name_in_certificate.is_some()),
                ("instance", self.instance.is_some()),
                ("schema", self.schema.is_some()),
            ],
            ConnectionKind::SqlServer => vec![("sslmode", self.sslmode.is_some())],
        };
        for (field, _given) in foreign.into_iter().filter(|(_field, given)| *given) {
            findings.add(field, FieldError::NotOfKind { kind: kind.as_str() });
        }
        if kind == ConnectionKind::Postgres {
            return Server::Postgres { sslmode: self.sslmode.unwrap_or_default() };
        }
        for (field, value) in [("instance", &self.instance), ("schema", &self.schema)] {
            if value.as_deref().is_some_and(|name| !is_word(name, 128)) {
                findings.add(field, FieldError::Range { min: 1, max: 128 });
            }
        }
        let name = self.host_name_in_certificate.as_deref();
        Server::SqlServer {
            encrypt: self.encrypt.unwrap_or_default(),
            trust_server_certificate: self.trust_server_certificate.unwrap_or(false),
            host_name_in_certificate: name
                .and_then(|name| findings.take("host_name_in_certificate", check_host(name))),
            instance: self.instance.clone(),
            schema: self.schema.clone().unwrap_or_else(|| "dbo".to_owned()),
        }
    }

    /// The field because of which impostors are not kept out, if there is one.
    fn unprotected(&self, server: &Server) -> Option<&'static str> {
        match server {
            Server::Postgres { sslmode: SslMode::VerifyFull | SslMode::VerifyCa } => None,
            Server::Postgres { sslmode: SslMode::Require } if self.ca_pem.is_some() => None,
            Server::Postgres { sslmode: SslMode::Require | SslMode::Disable } => Some("sslmode"),
            Server::SqlServer { encrypt: Encrypt::False, .. } => Some("encrypt"),
            Server::SqlServer { trust_server_certificate: true, .. } => Some("trust_server_certificate"),
            Server::SqlServer { .. } => None,
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Which kind they are of.
    pub const fn kind(&self) -> ConnectionKind {
        match self.server {
            Server::Postgres { .. } => ConnectionKind::Postgres,
            Server::SqlServer { .. } => ConnectionKind::SqlServer,
        }
    }

    /// Whether a password that is kept for `self` would, with `next`, go to another place or be less protected on its
    /// way, so that who changes it has to know it.
    pub fn exposes(&self, next: &Settings) -> bool {
        self.host != next.host
            || self.port != next.port
            || self.ca_pem != next.ca_pem
            || self.user != next.user
            || (self.server != next.server && self.protection(next))
    }

    /// Whether what differs between the two servers' own fields concerns protection or place.
    fn protection(&self, next: &Settings) -> bool {
        match (&self.server, &next.server) {
            (
                Server::SqlServer {
                    encrypt,
                    trust_server_certificate,
                    host_name_in_certificate,
                    instance,
                    ..
                },
                Server::SqlServer {
                    encrypt: other,
                    trust_server_certificate: trusts,
                    host_name_in_certificate: name,
                    instance: place,
                    ..
                },
            ) => {
                (encrypt, trust_server_certificate, host_name_in_certificate, instance)
                    != (other, trusts, name, place)
            }
            _ => true,
        }
    }
}

/// Whether a secret can be one, not the stars that stand for it, and not so long that it is none.
pub fn check_secret(secret: &Secret<String>) -> Result<(), FieldError> {
    let text = secret.expose();
    if text.len() >= 3 && text.chars().all(|c| c == '*' || c == '•') {
        return Err(FieldError::SecretMask);
    }
    if text.len() > MAX_SECRET_BYTES || text.contains('\0') {
        return Err(FieldError::Range { min: 0, max: 4096 });
    }
    Ok(())
}

fn needed<'a>(findings: &mut Findings, field: &str, value: Option<&'a str>) -> Option<&'a str> {
    if value.is_none() {
        findings.add(field, FieldError::Required);
    }
    value
}

/// A text of 1 to `most` characters, none of which controls anything.
fn is_word(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_database(kind: ConnectionKind, name: &str) -> bool {
    match kind {
        ConnectionKind::Postgres => (1..=63).contains(&name.len()) && !name.contains('\0'),
        ConnectionKind::SqlServer => (1..=128).contains(&name.encode_utf16().count()) && !name.contains('\0'),
    }
}

/// What a text is instead of certificates in PEM form; `None` when it is some.
fn not_a_ca(text: &str) -> Option<&'static str> {
    if text.len() > MAX_CA_BYTES {
        return Some("it is too long");
    }
    if text.contains("PRIVATE KEY-----") {
        return Some("this is a private key, which was not stored");
    }
    let mut parts = text.split("-----BEGIN CERTIFICATE-----");
    if parts.next().is_some_and(|before| before.contains("-----")) {
        return Some("it is something else");
    }
    let mut found = Some("there is none in it");
    for part in parts {
        let body: String = match part.split_once("-----END CERTIFICATE-----") {
            Some((body, _behind)) => body.chars().filter(|c| !c.is_whitespace()).collect(),
            None => return Some("it has no end"),
        };
        // DER of a certificate is a SEQUENCE.
        match STANDARD.decode(body) {
            Ok(der) if der.first() == Some(&0x30) && der.len() > 64 => found = None,
            _ => return Some("it is damaged"),
        }
    }
    found
}

/// An IPv6 address with its brackets; anything else as it is.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests;
