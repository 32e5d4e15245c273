//! [`SourceTable`]: a table as the source's catalog describes it.

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;
use crate::pg_type::PgType;

/// What `pg_class.relkind` and `relpersistence` say a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableKind {
    /// An ordinary, logged table.
    Ordinary,
    /// A table that is divided into partitions: the root of a partition tree, or a partition that has some itself.
    Partitioned,
    /// A leaf partition.
    Partition,
    /// Not written to the WAL: cannot be streamed.
    Unlogged,
    /// Temporary: cannot be streamed.
    Temporary,
    /// Foreign: cannot be streamed.
    Foreign,
    /// A view: cannot be streamed.
    View,
    /// A materialized view: cannot be streamed.
    MaterializedView,
}

/// Which columns PostgreSQL sends to identify the old row of an UPDATE or DELETE (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaIdentity {
    /// The primary key, or nothing where there is none.
    Default,
    /// The columns of a chosen unique index.
    Index,
    /// The whole old row.
    Full,
    /// Nothing: UPDATE and DELETE of a published table fail at the source.
    Nothing,
}

/// One column of a [`SourceTable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumn {
    /// `pg_attribute.attname`
    pub name: String,
    /// `pg_attribute.attnum`, 1 and up; stable across renames.
    pub attnum: i16,
    /// The type, domains resolved.
    pub pg_type: PgType,
    /// `format_type(atttypid, atttypmod)`, for people and for casts.
    pub type_name: String,
    /// Declared NOT NULL (by the column; a domain's constraint does not count).
    pub not_null: bool,
    /// `GENERATED ALWAYS AS (...) STORED`: not in the logical stream before PostgreSQL 18.
    pub generated: bool,
}

/// Why an index cannot identify rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexFlaw {
    /// Not unique.
    NotUnique,
    /// Of some rows only.
    Partial,
    /// Of expressions.
    Expression,
    /// Checked at the end of the transaction, so that two rows may share a key meanwhile.
    Deferrable,
    /// Left unfinished by a failed CREATE INDEX CONCURRENTLY.
    Invalid,
    /// A column takes NULL, of which there may be several.
    Nullable,
    /// A column is generated: PostgreSQL does not send it.
    Generated,
}

/// An index of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIndex {
    /// `pg_class.relname` of the index.
    pub name: String,
    /// Indices into the table's columns, in key order; without expressions.
    pub columns: Vec<usize>,
    /// Why it cannot identify rows; `None` when it can.
    pub flaw: Option<IndexFlaw>,
}

// === impl TableKind ===

impl TableKind {
    /// For people, with its article, in the middle of a sentence.
    pub const fn with_article(self) -> &'static str {
        match self {
            TableKind::Ordinary => "an ordinary table",
            TableKind::Partitioned => "a partitioned table",
            TableKind::Partition => "a partition",
            TableKind::Unlogged => "an unlogged table",
            TableKind::Temporary => "a temporary table",
            TableKind::Foreign => "a foreign table",
            TableKind::View => "a view",
            TableKind::MaterializedView => "a materialized view",
        }
    }

    /// Why changes of such a relation are not in the logical stream; `None` where they are.
    pub const fn not_streamed(self) -> Option<&'static str> {
        match self {
            TableKind::Ordinary | TableKind::Partitioned | TableKind::Partition => None,
            TableKind::Unlogged | TableKind::Temporary => Some("its changes are not in the WAL"),
            TableKind::Foreign => Some("its changes happen on another server"),
            TableKind::View => Some("it has no rows of its own"),
            TableKind::MaterializedView => Some("what REFRESH does to it is not in the stream"),
        }
    }
}

// === impl IndexFlaw ===

impl IndexFlaw {
    /// For people, behind the name of the index.
    pub const fn reason(self) -> &'static str {
        match self {
            IndexFlaw::NotUnique => "is not unique",
            IndexFlaw::Partial => "holds some of the rows only",
            IndexFlaw::Expression => "is of an expression, not of columns",
            IndexFlaw::Deferrable => "is deferrable: two rows may share a key until their transaction ends",
            IndexFlaw::Invalid => "is invalid: it was never finished",
            IndexFlaw::Nullable => "has a column that is not declared NOT NULL",
            IndexFlaw::Generated => "has a generated column, which PostgreSQL does not send",
        }
    }
}

/// A table of the source, as its catalog describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTable {
    /// `pg_class.oid`: identity across renames; a table that was dropped and made again has another.
    pub oid: u32,
    /// Schema and name.
    pub name: QualifiedName,
    /// What kind of relation it is.
    pub kind: TableKind,
    /// Live columns in `attnum` order.
    pub columns: Vec<SourceColumn>,
    /// Indices into `columns` of the primary key, in key order; empty when there is none.
    pub primary_key: Vec<usize>,
    /// What the stream carries of old rows.
    pub replica_identity: ReplicaIdentity,
    /// Indices into `columns` of the replica identity index; empty unless `replica_identity` is `Index`.
    pub identity_index: Vec<usize>,
    /// Its indexes, by name.
    pub indexes: Vec<SourceIndex>,
    /// `pg_class.reltuples`, 0 when never analysed. An estimate.
    pub estimated_rows: u64,
    /// `pg_table_size`: heap and TOAST, bytes.
    pub size_bytes: u64,
    /// Heap pages (`pg_relation_size / block size`), for splitting by ctid.
    pub heap_pages: u32,
    /// Row security is enabled: COPY may see fewer rows than the stream.
    pub row_security: bool,
    /// The role that owns it, for the SQL in findings.
    pub owner: String,
}
