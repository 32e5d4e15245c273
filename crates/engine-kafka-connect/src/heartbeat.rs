//! Heartbeat tables: one row each that travels through the pipeline and says in the target how far it has come.
//!
//! ```text
//! source   segcdc.<base>_heartbeat   (id int primary key, lsn bigint not null, at_us bigint not null)
//! target   <schema>.<base>_heartbeat ([id] int primary key, [lsn] bigint, [at_us] bigint)
//! ```
//!
//! `lsn` is a position that is read before the row's own transaction commits, so that everything at or below it is ahead
//! of the row in the stream; `at_us` is when, microseconds since 2000-01-01 UTC by the source's clock.

use segcdc_engine_native::HeartbeatRow;
use segcdc_engine_native::heartbeat_row::NOW_US;
use segcdc_model::{PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
use segcdc_plan::{Naming, PlanError, TablePlan, table_plan};
use segcdc_postgres::{SourceError, quote};

use crate::layout::HEARTBEAT_SCHEMA;

/// The statement that a connector runs at each heartbeat. The names are ours and need no quotes.
pub(crate) fn touch_all<'a>(heartbeats: impl IntoIterator<Item = &'a HeartbeatRow>) -> String {
    heartbeats
        .into_iter()
        .map(|heartbeat| {
            format!(
                "UPDATE {}.{} SET lsn = (pg_current_wal_insert_lsn() - '0/0')::bigint, at_us = {NOW_US} WHERE id = 1",
                heartbeat.source.schema, heartbeat.source.name
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// The statements that make the heartbeat tables at the source.
///
/// # Errors
/// Never for the names that a layout gives.
pub fn create_sql(heartbeats: &[HeartbeatRow]) -> Result<Vec<String>, SourceError> {
    let mut statements = vec![format!("CREATE SCHEMA IF NOT EXISTS {HEARTBEAT_SCHEMA}")];
    for heartbeat in heartbeats {
        let table = quote::qualified(&heartbeat.source)?;
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {table} (id int PRIMARY KEY, lsn bigint NOT NULL, at_us bigint NOT NULL)"
        ));
        statements.push(format!("INSERT INTO {table} VALUES (1, 0, 0) ON CONFLICT (id) DO NOTHING"));
    }
    Ok(statements)
}

/// The statements that remove them; the schema goes with the last table in it.
///
/// # Errors
/// Never for the names that a layout gives.
pub fn drop_sql(heartbeats: &[HeartbeatRow]) -> Result<Vec<String>, SourceError> {
    heartbeats
        .iter()
        .map(|heartbeat| Ok(format!("DROP TABLE IF EXISTS {}", quote::qualified(&heartbeat.source)?)))
        .collect()
}

/// Drops the schema of the heartbeat tables, if nothing is left in it.
pub const DROP_EMPTY_SCHEMA: &str = "DO $$ BEGIN \
     IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'segcdc') \
        AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'segcdc') \
     THEN DROP SCHEMA segcdc RESTRICT; END IF; END $$";

/// The plan of a heartbeat's target table.
///
/// # Errors
/// Never: the table is one that the target can have.
pub fn plan(heartbeat: &HeartbeatRow) -> Result<TablePlan, PlanError> {
    let column = |name: &str, attnum, pg_type, type_name: &str| SourceColumn {
        name: name.to_owned(),
        attnum,
        pg_type,
        type_name: type_name.to_owned(),
        not_null: true,
        generated: false,
    };
    let table = SourceTable {
        oid: 0,
        // The schema of the target table, which is none of the reserved ones.
        name: QualifiedName::new("public", heartbeat.source.name.clone()),
        kind: TableKind::Ordinary,
        columns: vec![
            column("id", 1, PgType::Int4, "integer"),
            column("lsn", 2, PgType::Int8, "bigint"),
            column("at_us", 3, PgType::Int8, "bigint"),
        ],
        primary_key: vec![0],
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 1,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: String::new(),
    };
    table_plan(&table, &Naming::new(heartbeat.target.schema.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::layout;

    #[test]
    fn tables_are_made_and_removed() {
        let heartbeats: Vec<HeartbeatRow> =
            layout().groups.iter().map(|group| group.heartbeat.clone()).collect();
        insta::assert_snapshot!("heartbeat_create", create_sql(&heartbeats).unwrap().join(";\n"));
        insta::assert_snapshot!("heartbeat_drop", drop_sql(&heartbeats).unwrap().join(";\n"));
        insta::assert_snapshot!("heartbeat_touch", touch_all(&heartbeats));
    }

    #[test]
    fn the_target_table_lies_beside_those_of_its_group() {
        let layout = layout();
        for group in &layout.groups {
            let plan = plan(&group.heartbeat).unwrap();
            assert_eq!(plan.target, group.heartbeat.target);
            assert_eq!(plan.columns.len(), 3);
        }
    }
}
