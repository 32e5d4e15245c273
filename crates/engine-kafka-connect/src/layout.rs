//! [`Layout`]: what a pipeline is made of on the way from source to target, and what everything is called.
//!
//! ```text
//! table of schema public  --\                                    /--> dbo.table
//! table of schema public  ---+--> topic <base>.dbo  --> sink dbo --> dbo.table
//! heartbeat table         --/     (one partition)                \--> dbo.heartbeat table
//! ```
//!
//! All tables of one target schema share a topic of one partition, and one sink task reads it. So rows arrive in the
//! order in which they were committed, whichever table they are of; and when the heartbeat row of the topic has arrived
//! in the target, so has everything before it. That is what `--until-caught-up` and `verify` wait for.

use std::collections::BTreeMap;
use std::sync::Arc;

use segcdc_engine_native::HeartbeatRow;
use segcdc_model::QualifiedName;
use segcdc_plan::TablePlan;

/// Schema at the source that holds the heartbeat tables.
pub const HEARTBEAT_SCHEMA: &str = "segcdc";

/// Longest name of a heartbeat table, bytes: PostgreSQL's limit.
const MAX_NAME_BYTES: usize = 63;

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub struct Layout {
    /// What all names begin with; also Debezium's `topic.prefix`.
    pub base: String,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// The source connector.
    pub source_connector: String,
    /// One for each target schema, ordered by it.
    pub groups: Vec<Group>,
}

/// The tables of one target schema.
#[derive(Debug, Clone)]
pub struct Group {
    /// Schema in the target.
    pub target_schema: String,
    /// Their topic.
    pub topic: String,
    /// The sink connector that reads it.
    pub sink_connector: String,
    /// Their heartbeat table.
    pub heartbeat: HeartbeatRow,
    /// The tables.
    pub tables: Vec<Arc<TablePlan>>,
}

// === impl Layout ===

impl Layout {
    /// The layout of a pipeline with these tables.
    pub fn new(
        base: impl Into<String>,
        slot: impl Into<String>,
        publication: impl Into<String>,
        plans: &[Arc<TablePlan>],
    ) -> Self {
        let base = base.into();
        let mut by_schema: BTreeMap<&str, Vec<Arc<TablePlan>>> = BTreeMap::new();
        for plan in plans {
            by_schema.entry(&plan.target.schema).or_default().push(Arc::clone(plan));
        }
        let groups = by_schema.into_iter().enumerate().map(|(index, (schema, tables))| {
            // The schema is part of the names as far as it can be, the number makes them different.
            let plain: String =
                schema.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(30).collect();
            let suffix = if index == 0 { String::new() } else { format!("_{index}") };
            let mut name = format!("{base}_heartbeat{suffix}");
            name.truncate(MAX_NAME_BYTES);
            Group {
                target_schema: schema.to_owned(),
                topic: format!("{base}.{plain}{suffix}"),
                sink_connector: format!("{base}_sink_{plain}{suffix}"),
                heartbeat: HeartbeatRow {
                    source: QualifiedName::new(HEARTBEAT_SCHEMA, name.clone()),
                    target: QualifiedName::new(schema, name),
                },
                tables,
            }
        });
        let groups = groups.collect();
        Layout {
            source_connector: format!("{base}_source"),
            slot: slot.into(),
            publication: publication.into(),
            groups,
            base,
        }
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TablePlan>> {
        self.groups.iter().flat_map(|group| &group.tables)
    }

    /// The heartbeat tables.
    pub fn heartbeats(&self) -> Vec<HeartbeatRow> {
        self.groups.iter().map(|group| group.heartbeat.clone()).collect()
    }

    /// All topics that the pipeline writes: those of the groups, and Debezium's own for heartbeats.
    pub fn topics(&self) -> Vec<String> {
        let own = self.groups.iter().map(|group| group.topic.clone());
        own.chain([format!("__debezium-heartbeat.{}", self.base)]).collect()
    }

    /// The consumer groups of the sinks.
    pub fn consumer_groups(&self) -> Vec<String> {
        self.groups.iter().map(|group| format!("connect-{}", group.sink_connector)).collect()
    }

    /// All connectors, the sinks first: what reads is there before what writes.
    pub fn connectors(&self) -> Vec<String> {
        let sinks = self.groups.iter().map(|group| group.sink_connector.clone());
        sinks.chain([self.source_connector.clone()]).collect()
    }
}

// === impl Group ===

impl Group {
    /// The source schemas of the tables and of the heartbeat table, each once, in order.
    pub fn source_schemas(&self) -> Vec<String> {
        let mut schemas: Vec<String> =
            self.tables.iter().map(|plan| plan.source.name.schema.clone()).collect();
        schemas.sort();
        schemas.dedup();
        schemas
    }
}

/// Whether a schema, table or column can be called this on the way: Kafka, Debezium and the JDBC sink each give some
/// characters a meaning.
pub fn is_possible_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use segcdc_model::{PgType, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
    use segcdc_plan::{Naming, table_plan};

    /// A table with an integer key and these columns.
    pub(crate) fn plan(schema: &str, name: &str, columns: &[(&str, PgType)]) -> Arc<TablePlan> {
        let all = [("id", PgType::Int4)].into_iter().chain(columns.iter().cloned());
        let columns = all.zip(1..).map(|((name, pg_type), attnum)| SourceColumn {
            name: name.to_owned(),
            attnum,
            pg_type,
            type_name: "x".to_owned(),
            not_null: attnum == 1,
            generated: false,
        });
        let table = SourceTable {
            oid: 16_384,
            name: QualifiedName::new(schema, name),
            kind: TableKind::Ordinary,
            columns: columns.collect(),
            primary_key: vec![0],
            replica_identity: ReplicaIdentity::Default,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages: 0,
            row_security: false,
            owner: "app".to_owned(),
        };
        Arc::new(table_plan(&table, &Naming::new("dbo")).unwrap())
    }

    /// A pipeline of two schemas.
    pub(crate) fn layout() -> Layout {
        let plans = [
            plan("public", "orders", &[("note", PgType::Text)]),
            plan("public", "items", &[("amount", PgType::Numeric { bounds: Some((18, 4)) })]),
            plan("sales", "visits", &[("at", PgType::TimestampTz)]),
        ];
        Layout::new("segcdc_shop", "segcdc_shop_g1", "segcdc_shop", &plans)
    }

    #[test]
    fn tables_of_one_target_schema_share_a_topic() {
        let layout = layout();
        let names: Vec<_> =
            layout.groups.iter().map(|group| (group.topic.as_str(), group.tables.len())).collect();
        assert_eq!(names, [("segcdc_shop.dbo", 2), ("segcdc_shop.sales_1", 1)]);
        assert_eq!(
            layout.connectors(),
            ["segcdc_shop_sink_dbo", "segcdc_shop_sink_sales_1", "segcdc_shop_source"]
        );
        assert_eq!(
            layout.consumer_groups(),
            ["connect-segcdc_shop_sink_dbo", "connect-segcdc_shop_sink_sales_1"]
        );
        assert_eq!(
            layout.topics(),
            ["segcdc_shop.dbo", "segcdc_shop.sales_1", "__debezium-heartbeat.segcdc_shop"]
        );
        let heartbeats: Vec<_> =
            layout.groups.iter().map(|group| group.heartbeat.source.to_string()).collect();
        assert_eq!(heartbeats, ["segcdc.segcdc_shop_heartbeat", "segcdc.segcdc_shop_heartbeat_1"]);
    }

    #[test]
    fn schemas_that_look_alike_stay_apart() {
        let plans = [plan("a-b", "t", &[]), plan("a_b", "t", &[])];
        let layout = Layout::new("p", "s", "p", &plans);
        let topics: Vec<_> = layout.groups.iter().map(|group| group.topic.as_str()).collect();
        assert_eq!(topics, ["p.a_b", "p.a_b_1"]);
    }

    #[test]
    fn names_that_mean_something_on_the_way_are_not_possible() {
        for name in ["orders", "Orders_2", "_x"] {
            assert!(is_possible_name(name), "{name}");
        }
        for name in ["", "a.b", "a b", "a]b", "größe", "a$b", "a-b"] {
            assert!(!is_possible_name(name), "{name}");
        }
    }
}
