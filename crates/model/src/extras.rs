//! [`TableExtras`]: what a table of the source has beside rows and key, which replication does not need and users of the
//! target do.

/// Indexes, foreign keys, defaults and checks of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableExtras {
    /// Its indexes, by name.
    pub indexes: Vec<ExtraIndex>,
    /// Its foreign keys, by name.
    pub foreign_keys: Vec<ForeignKey>,
    /// Defaults of its columns, in the order of the columns.
    pub defaults: Vec<ColumnDefault>,
    /// Its CHECK and exclusion constraints: name, and definition as `pg_get_constraintdef` prints it.
    pub checks: Vec<(String, String)>,
}

/// A valid index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraIndex {
    /// `pg_class.relname` of the index.
    pub name: String,
    /// Whether it is unique.
    pub unique: bool,
    /// Two NULLs count as equal (`NULLS NOT DISTINCT`, PostgreSQL 15).
    pub nulls_are_equal: bool,
    /// Access method, such as `btree`.
    pub method: String,
    /// `pg_attribute.attnum` of its key columns in their order, and whether each is descending; 0 is an expression.
    pub key: Vec<(i16, bool)>,
    /// The same of the columns that it carries along (`INCLUDE`).
    pub included: Vec<i16>,
    /// Condition of the rows that are in it, as `pg_get_expr` prints it.
    pub predicate: Option<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// `pg_attribute.attnum` of its columns.
    pub columns: Vec<i16>,
    /// OID of the table that it refers to.
    pub referred: u32,
    /// `pg_attribute.attnum` of that table's columns.
    pub referred_columns: Vec<i16>,
    /// What becomes of its rows when the row that they refer to is deleted.
    pub on_delete: ReferenceAction,
    /// What becomes of them when that row's key changes.
    pub on_update: ReferenceAction,
    /// Whether the rows of before were checked.
    pub validated: bool,
    /// `ON DELETE SET NULL (column)`: only some of its columns are set (PostgreSQL 15).
    pub sets_some: bool,
}

/// `ON DELETE` and `ON UPDATE` of a foreign key (`pg_constraint.confdeltype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceAction {
    /// It is refused; RESTRICT too.
    Refuse,
    /// CASCADE
    Cascade,
    /// SET NULL
    SetNull,
    /// SET DEFAULT
    SetDefault,
}

/// The default of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefault {
    /// `pg_attribute.attnum`
    pub attnum: i16,
    /// The expression as `pg_get_expr` prints it; empty for an identity column.
    pub expression: String,
    /// The sequence that it counts with, for identity columns and `nextval`.
    pub sequence: Option<SequenceState>,
}

/// A sequence and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceState {
    /// Schema and name.
    pub name: crate::name::QualifiedName,
    /// The number that it gives next; `None` when the role may not know.
    pub next: Option<i64>,
    /// What it counts by.
    pub increment: i64,
    /// Lowest number.
    pub least: i64,
    /// Highest number.
    pub most: i64,
    /// Whether it begins again behind the last one.
    pub cycles: bool,
}
