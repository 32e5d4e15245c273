//! Tables for tests.

use std::sync::Arc;

use segcdc_model::{
    Attribute, CatalogTable, Lsn, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable,
    TableKind,
};
use segcdc_plan::{KnownTable, Naming, TablePlan, table_plan};

/// A column as [`table`] takes it: name, type, NOT NULL.
pub(crate) type Column<'a> = (&'a str, PgType, bool);

/// A source table of schema `public` whose key is its first `key` columns; REPLICA IDENTITY FULL without one.
pub(crate) fn source(oid: u32, name: &str, key: usize, columns: &[Column<'_>]) -> SourceTable {
    let column = |(attnum, (name, pg_type, not_null)): (i16, &Column<'_>)| SourceColumn {
        name: (*name).to_owned(),
        attnum,
        pg_type: pg_type.clone(),
        type_name: "whatever".to_owned(),
        not_null: *not_null,
        generated: false,
    };
    SourceTable {
        oid,
        name: QualifiedName::new("public", name),
        kind: TableKind::Ordinary,
        columns: (1..).zip(columns).map(column).collect(),
        primary_key: (0..key).collect(),
        replica_identity: if key == 0 { ReplicaIdentity::Full } else { ReplicaIdentity::Default },
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: "owner".to_owned(),
    }
}

/// The plan of such a table.
pub(crate) fn table(oid: u32, name: &str, key: usize, columns: &[Column<'_>]) -> Arc<TablePlan> {
    let naming = Naming::new("dbo");
    let plan = table_plan(&source(oid, name, key, columns), &naming);
    Arc::new(plan.expect("tables of tests can be planned"))
}

/// What is known of a table whose plan is `plan`.
#[allow(dead_code, reason = "unit tests have no use for it")]
pub(crate) fn known(plan: &TablePlan) -> KnownTable {
    let attributes = plan.source.columns.iter().map(|column| Attribute {
        attnum: column.attnum,
        is_dropped: false,
        type_oid: 25,
        type_modifier: -1,
        has_default: false,
        missing: None,
    });
    let (attributes, table) = (attributes.collect(), plan.source.clone());
    let (filenode, read_at, oldest_xid) = (1, Lsn::new(1), 1);
    KnownTable::new(&CatalogTable { table, attributes, filenode, read_at, oldest_xid }, plan)
}
