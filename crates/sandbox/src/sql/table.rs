//! What is known of a table when a statement is translated.

use segcdc_tds::ColumnType;

use crate::sql::collation::Collate;

/// A table or a view of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// `sys.objects.object_id`; negative for temporary tables and system views.
    pub(crate) object_id: i32,
    /// Schema, as written when it was made.
    pub(crate) schema: String,
    /// Name, as written when it was made.
    pub(crate) name: String,
    /// PostgreSQL's name of it, quoted.
    pub(crate) relation: String,
    /// Columns in order.
    pub(crate) columns: Vec<Column>,
    /// Keys and indexes.
    pub(crate) indexes: Vec<Index>,
    /// A view of the catalog: cannot be written.
    pub(crate) system: bool,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// `sys.columns.column_id`
    pub(crate) column_id: i32,
    /// Name, as written when it was made.
    pub(crate) name: String,
    /// PostgreSQL's name of it.
    pub(crate) physical: String,
    /// Type.
    pub(crate) column_type: ColumnType,
    /// Collation of character types.
    pub(crate) collation: Option<Collate>,
    /// NULL is allowed.
    pub(crate) nullable: bool,
    /// IDENTITY
    pub(crate) identity: bool,
    /// PostgreSQL's text of its DEFAULT.
    pub(crate) default: Option<String>,
}

/// A key or an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Index {
    /// `sys.indexes.index_id`: 1 for the clustered one.
    pub(crate) index_id: i32,
    /// Its name.
    pub(crate) name: String,
    /// PostgreSQL's name of it.
    pub(crate) physical: String,
    /// No two rows with one key.
    pub(crate) unique: bool,
    /// PRIMARY KEY
    pub(crate) primary: bool,
    /// PRIMARY KEY or UNIQUE constraint rather than CREATE INDEX.
    pub(crate) constraint: bool,
    /// Key columns: `column_id`, DESC.
    pub(crate) columns: Vec<(i32, bool)>,
}

// === impl Table ===

impl Table {
    /// The column of this name, in any case.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| same_name(&column.name, name))
    }

    /// The column with this id.
    pub(crate) fn column_by_id(&self, column_id: i32) -> Option<&Column> {
        self.columns.iter().find(|column| column.column_id == column_id)
    }

    /// Schema and name as messages show them.
    pub(crate) fn shown(&self) -> String {
        if self.name.starts_with('#') { self.name.clone() } else { format!("{}.{}", self.schema, self.name) }
    }
}

/// Names are compared as the default collation does: without case.
pub(crate) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || fold(left) == fold(right)
}

/// A name as maps keep it.
pub(crate) fn fold(name: &str) -> String {
    name.trim_end_matches(' ').to_lowercase()
}
