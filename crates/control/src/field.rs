//! What can be wrong with one field of what a person sent. All of them are said at once.

use std::fmt;

use crate::name::NameError;
use crate::password::Weak;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, as a JSON pointer: `/port`.
    pub pointer: String,
    /// What is wrong.
    pub error: FieldError,
}

/// What is wrong with a field. A value that may be a secret is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A field that is needed is missing.
    #[error("it is missing")]
    Required,
    /// A field that nobody knows.
    #[error("there is no such field")]
    Unknown {
        /// The known field that is spelled most like it.
        near: Option<String>,
    },
    /// A value of another JSON type than the field has.
    #[error("it has to be {expected}")]
    Type {
        /// What is expected: `an integer`.
        expected: String,
    },
    /// A word that is not among those that the field takes.
    #[error("it has to be one of {}", allowed.join(", "))]
    Enum {
        /// The words that it takes.
        allowed: Vec<String>,
    },
    /// A number, a length or a count outside its bounds.
    #[error("it has to be between {min} and {max}")]
    Range {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// A TCP port that is none.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A host that is neither a name nor an address.
    #[error("it is neither a host name nor an address")]
    Host,
    /// A whole URL where a host belongs.
    #[error("it is a URL, not a host")]
    HostIsUrl,
    /// A host, or an address that it stands for, that this server does not connect to.
    #[error("this server does not connect to {place}")]
    HostNotAllowed {
        /// What is not allowed.
        place: String,
    },
    /// A name of a database that neither server can have.
    #[error("it is no name of a database")]
    Database,
    /// A certificate authority that cannot be read, or something else in its place.
    #[error("it is no certificate in PEM form: {found}")]
    Ca {
        /// What it is instead.
        found: &'static str,
    },
    /// A name that is none.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A password that is not taken.
    #[error("{0}")]
    Password(#[from] Weak),
    /// Stars where a secret belongs: what is shown instead of it was sent back.
    #[error("these are the stars that stand for a secret, not a secret")]
    SecretMask,
    /// Stored credentials would be sent to another host, or with less protection, without being given again.
    #[error(
        "the password has to be given again when it would be sent elsewhere or less protected than before"
    )]
    SecretNeeded,
    /// A connection without full protection to which nobody has consented.
    #[error("this does not protect the connection from impostors, and allow_insecure is not true")]
    Insecure,
    /// A field that belongs to the other kind of connection.
    #[error("connections of kind {kind} have no such field")]
    NotOfKind {
        /// The connection's kind.
        kind: &'static str,
    },
    /// A name that cannot be part of a slot's name.
    #[error("it is not a name for a pipeline")]
    PipelineName,
    /// A slot that exists has no snapshot to copy by.
    #[error("the position of an existing slot has no snapshot to copy by")]
    SlotWithSnapshot,
    /// A name that PostgreSQL refuses for a slot.
    #[error("\"{name}\" is not a name for a replication slot")]
    SlotName {
        /// The name, shortened.
        name: String,
    },
    /// Not `schema.table`.
    #[error("\"{pattern}\" is not a pattern for tables")]
    TablePattern {
        /// The pattern, shortened.
        pattern: String,
    },
    /// There is no such connection in the tenant.
    #[error("there is no such connection")]
    NoConnection,
    /// A connection to the other kind of server.
    #[error("the connection has to be of kind {needed}")]
    ConnectionKind {
        /// The kind that it has to be.
        needed: &'static str,
    },
    /// The current password, which is not the one that was given.
    #[error("it is not the password that is in force")]
    NotTheCurrent,
}

/// Fields of which something is wrong; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblems {
    /// The first of them.
    pub first: FieldProblem,
    rest: Vec<FieldProblem>,
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub struct Findings(Vec<FieldProblem>);

// === impl FieldProblem ===

impl FieldProblem {
    /// For a field of the outermost object.
    pub fn of(field: &str, error: impl Into<FieldError>) -> Self {
        FieldProblem { pointer: format!("/{field}"), error: error.into() }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.error)
    }
}

// === impl FieldError ===

impl FieldError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            FieldError::Required => "FIELD_REQUIRED",
            FieldError::Unknown { .. } => "UNKNOWN_FIELD",
            FieldError::Type { .. } => "TYPE",
            FieldError::Enum { .. } => "ENUM",
            FieldError::Range { .. } => "RANGE",
            FieldError::Port => "PORT_RANGE",
            FieldError::Host => "HOST_INVALID",
            FieldError::HostIsUrl => "HOST_LOOKS_LIKE_URL",
            FieldError::HostNotAllowed { .. } => "HOST_NOT_ALLOWED",
            FieldError::Database => "DATABASE_INVALID",
            FieldError::Ca { .. } => "CA_INVALID",
            FieldError::Name(_) => "NAME_INVALID",
            FieldError::Password(_) => "PASSWORD_WEAK",
            FieldError::SecretMask => "SECRET_MASK_SUBMITTED",
            FieldError::SecretNeeded => "PASSWORD_REQUIRED_ON_HOST_CHANGE",
            FieldError::Insecure => "TLS_INSECURE_NOT_ALLOWED",
            FieldError::NotOfKind { .. } => "FIELD_NOT_OF_KIND",
            FieldError::PipelineName => "NAME_INVALID",
            FieldError::SlotWithSnapshot => "SLOT_WITH_SNAPSHOT",
            FieldError::SlotName { .. } => "SLOT_NAME",
            FieldError::TablePattern { .. } => "TABLE_PATTERN",
            FieldError::NoConnection => "CONNECTION_MISSING",
            FieldError::ConnectionKind { .. } => "CONNECTION_KIND",
            FieldError::NotTheCurrent => "PASSWORD_NOT_CURRENT",
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            FieldError::Required => "Give it.".to_owned(),
            FieldError::Unknown { near: Some(near) } => format!("Did you mean \"{near}\"?"),
            FieldError::Unknown { near: None } => "Leave it away; /docs lists the fields.".to_owned(),
            FieldError::Type { .. } => "Write numbers without quotes, texts with.".to_owned(),
            FieldError::Enum { .. } => "Take one of the words as it is written.".to_owned(),
            FieldError::Range { .. } => "Take a value within these bounds.".to_owned(),
            FieldError::Port => "PostgreSQL has 5432, SQL Server 1433, if nobody changed it.".to_owned(),
            FieldError::Host => {
                "Give a name such as db1.example.com, an address such as 192.0.2.7, or [2001:db8::7]; the port has a field of its own."
                    .to_owned()
            }
            FieldError::HostIsUrl => {
                "Split the URL: host, port, database, user and password have fields of their own.".to_owned()
            }
            FieldError::HostNotAllowed { .. } => {
                "Give a host that is reached over a network.".to_owned()
            }
            FieldError::Database => "A name has 1 to 128 characters; one of PostgreSQL up to 63 bytes.".to_owned(),
            FieldError::Ca { .. } => {
                "Paste the authority's certificate, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.".to_owned()
            }
            FieldError::Name(_) => "Choose another name.".to_owned(),
            FieldError::Password(_) => {
                "Choose one of at least 8 characters that is no common password and no name; 15 and more are recommended.".to_owned()
            }
            FieldError::SecretMask => "Leave the field away to keep the secret.".to_owned(),
            FieldError::SecretNeeded => "Send the password in the same request.".to_owned(),
            FieldError::Insecure => {
                "Give the authority with ca_pem and verify it, or say \"allow_insecure\": true.".to_owned()
            }
            FieldError::NotOfKind { .. } => "Leave it away.".to_owned(),
            FieldError::PipelineName => {
                "A name has 1 to 40 characters, all of them a-z, 0-9 or _, and neither begins nor ends with _.".to_owned()
            }
            FieldError::SlotWithSnapshot => {
                "Say \"snapshot\": \"none\" if the target holds the rows already, or leave the slot away.".to_owned()
            }
            FieldError::SlotName { .. } => {
                "A slot has 1 to 63 characters, all of them a-z, 0-9 or _, and does not begin with pg_.".to_owned()
            }
            FieldError::TablePattern { .. } => {
                "Write schema.table, or table for one of public; * and ? are wildcards, and what has other characters is in double quotes."
                    .to_owned()
            }
            FieldError::NoConnection => "List the connections of the tenant; it may have been deleted.".to_owned(),
            FieldError::ConnectionKind { .. } => {
                "The source of a pipeline is a PostgreSQL, its target a SQL Server.".to_owned()
            }
            FieldError::NotTheCurrent => "Give the password that you sign in with.".to_owned(),
        }
    }
}

// === impl FieldProblems ===

impl FieldProblems {
    /// One problem.
    pub fn one(field: &str, error: impl Into<FieldError>) -> Self {
        FieldProblems { first: FieldProblem::of(field, error), rest: Vec::new() }
    }

    /// All of them, in the order of the fields.
    pub fn all(&self) -> impl Iterator<Item = &FieldProblem> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl fmt::Display for FieldProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.are_several() {
            return write!(f, "{} fields are not as they should be", self.rest.len() + 1);
        }
        fmt::Display::fmt(&self.first, f)
    }
}

impl std::error::Error for FieldProblems {}

// === impl Findings ===

impl Findings {
    /// Notes a problem with a field of the outermost object.
    pub fn add(&mut self, field: &str, error: impl Into<FieldError>) {
        self.0.push(FieldProblem::of(field, error));
    }

    /// Notes a problem wherever it is.
    pub fn push(&mut self, problem: FieldProblem) {
        self.0.push(problem);
    }

    /// The value of a field, or a note of what is wrong with it.
    pub fn take<T, E: Into<FieldError>>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Nothing, if nothing is wrong.
    ///
    /// # Errors
    /// All that was noted.
    pub fn finish(self) -> Result<(), FieldProblems> {
        let mut found = self.0.into_iter();
        match found.next() {
            Some(first) => Err(FieldProblems { first, rest: found.collect() }),
            None => Ok(()),
        }
    }
}
