//! [`QualifiedName`]: a schema and an object, exactly as the catalog spells them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A schema name and an object name, unquoted. Either may hold any character but NUL; quoting is done by the
/// one file of each side that writes SQL, never here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// Schema, as in `pg_namespace.nspname` or `sys.schemas.name`.
    pub schema: String,
    /// Table, as in `pg_class.relname` or `sys.tables.name`.
    pub name: String,
}

// === impl QualifiedName ===

impl QualifiedName {
    /// The object `name` in `schema`.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        QualifiedName { schema: schema.into(), name: name.into() }
    }
}

/// For people: `schema.name`, without quotes. Never put into SQL.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}
