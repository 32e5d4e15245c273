//! [`Relation`]: a table's shape as pgoutput announces it before the first change.

use crate::name::QualifiedName;
use crate::source_table::ReplicaIdentity;

/// One column of a [`Relation`], in the order of the tuples that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Part of the replica identity key.
    pub key: bool,
    /// Column name.
    pub name: String,
    /// Type OID (a domain's own OID for a domain).
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
}

/// A Relation message (PostgreSQL manual, "Logical Replication Message Formats"). Valid for one connection:
/// the server sends it again after a reconnect and after each change of the table's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`
    pub oid: u32,
    /// Schema and name; pgoutput sends an empty schema for `pg_catalog`.
    pub name: QualifiedName,
    /// Replica identity at the time of the change.
    pub replica_identity: ReplicaIdentity,
    /// Published columns.
    pub columns: Vec<RelationColumn>,
}
