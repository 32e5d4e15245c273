//! The views of the catalog, and what the sandbox says of itself.

use std::sync::Arc;

use segcdc_tds::{ColumnType, Len};

use crate::sql::collation::Collate;
use crate::sql::physical::{self, Family};
use crate::sql::table::{Column, Table, same_name};

/// `@@VERSION`
pub(crate) const VERSION: &str = "segcdc-sandbox (not SQL Server) - speaks TDS, runs a closed subset of T-SQL on PostgreSQL, for development only";
/// `@@SERVERNAME`
pub(crate) const SERVER_NAME: &str = "segcdc-sandbox";
/// Stands for `sys.databases`, whose rows the engine knows.
pub(crate) const DATABASES: &str = "sys.databases";

/// A view of the catalog.
pub(crate) struct View {
    /// Schema: `sys` or `INFORMATION_SCHEMA`.
    pub(crate) schema: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// PostgreSQL's query for it; empty for those that the engine knows.
    pub(crate) body: &'static str,
    /// Its columns.
    pub(crate) columns: &'static [(&'static str, ColumnType)],
}

const NAME: ColumnType = ColumnType::NVarChar(Len::Limited(128));
const TEXT: ColumnType = ColumnType::NVarChar(Len::Max);
const WORDS: ColumnType = ColumnType::NVarChar(Len::Limited(60));
const KIND: ColumnType = ColumnType::Char(2);
const INT: ColumnType = ColumnType::Int;
const SMALL: ColumnType = ColumnType::SmallInt;
const TINY: ColumnType = ColumnType::TinyInt;
const BIT: ColumnType = ColumnType::Bit;
const BIG: ColumnType = ColumnType::BigInt;
const TIME: ColumnType = ColumnType::DateTime;

/// All views.
pub(crate) const VIEWS: &[View] = &[
    View {
        schema: "sys",
        name: "schemas",
        body: "SELECT name, schema_id, 1::int4 FROM tsql.schemas",
        columns: &[("name", NAME), ("schema_id", INT), ("principal_id", INT)],
    },
    View {
        schema: "sys",
        name: "objects",
        body: "SELECT name, object_id, schema_id, parent_object_id, type, tsql.type_words(type), created, created, 0::int2 \
               FROM tsql.objects",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("schema_id", INT),
            ("parent_object_id", INT),
            ("type", KIND),
            ("type_desc", WORDS),
            ("create_date", TIME),
            ("modify_date", TIME),
            ("is_ms_shipped", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "tables",
        body: "SELECT name, object_id, schema_id, parent_object_id, type, tsql.type_words(type), created, created, 0::int2, \
               0::int2, 0::int2, 'TABLE'::bpchar, 0::int2, 'NON_TEMPORAL_TABLE'::bpchar, 0::int2 \
               FROM tsql.objects WHERE type = 'U'",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("schema_id", INT),
            ("parent_object_id", INT),
            ("type", KIND),
            ("type_desc", WORDS),
            ("create_date", TIME),
            ("modify_date", TIME),
            ("is_ms_shipped", BIT),
            ("is_memory_optimized", BIT),
            ("lock_escalation", TINY),
            ("lock_escalation_desc", WORDS),
            ("temporal_type", TINY),
            ("temporal_type_desc", WORDS),
            ("is_tracked_by_cdc", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "columns",
        body: "SELECT object_id, name, column_id, user_type_id, user_type_id, max_length, precision, scale, collation_name, \
               is_nullable, is_identity, 0::int2, 0::int2, 0::int2, default_object_id, 0::int2, 1::int2, 0::int2, \
               NULL::int4, NULL::bpchar FROM tsql.columns",
        columns: &[
            ("object_id", INT),
            ("name", NAME),
            ("column_id", INT),
            ("system_type_id", INT),
            ("user_type_id", INT),
            ("max_length", SMALL),
            ("precision", TINY),
            ("scale", TINY),
            ("collation_name", NAME),
            ("is_nullable", BIT),
            ("is_identity", BIT),
            ("is_computed", BIT),
            ("is_sparse", BIT),
            ("is_hidden", BIT),
            ("default_object_id", INT),
            ("generated_always_type", TINY),
            ("is_ansi_padded", BIT),
            ("is_rowguidcol", BIT),
            ("encryption_type", INT),
            ("encryption_type_desc", WORDS),
        ],
    },
    View {
        schema: "sys",
        name: "types",
        body: "SELECT name, type_id, type_id, 4::int4, max_length, precision, scale, collation_name, 1::int2, 0::int2 \
               FROM tsql.types",
        columns: &[
            ("name", NAME),
            ("system_type_id", INT),
            ("user_type_id", INT),
            ("schema_id", INT),
            ("max_length", SMALL),
            ("precision", TINY),
            ("scale", TINY),
            ("collation_name", NAME),
            ("is_nullable", BIT),
            ("is_user_defined", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "indexes",
        body: "SELECT object_id, name, index_id, type, \
               (CASE type WHEN 0 THEN 'HEAP' WHEN 1 THEN 'CLUSTERED' ELSE 'NONCLUSTERED' END)::bpchar, is_unique, \
               is_primary_key, is_unique_constraint, 0::int2, 0::int2, has_filter, filter_definition, 0::int2 \
               FROM tsql.indexes",
        columns: &[
            ("object_id", INT),
            ("name", NAME),
            ("index_id", INT),
            ("type", TINY),
            ("type_desc", WORDS),
            ("is_unique", BIT),
            ("is_primary_key", BIT),
            ("is_unique_constraint", BIT),
            ("is_disabled", BIT),
            ("is_hypothetical", BIT),
            ("has_filter", BIT),
            ("filter_definition", TEXT),
            ("ignore_dup_key", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "index_columns",
        body: "SELECT object_id, index_id, index_column_id, column_id, key_ordinal, is_descending_key, is_included_column, \
               0::int2 FROM tsql.index_columns",
        columns: &[
            ("object_id", INT),
            ("index_id", INT),
            ("index_column_id", INT),
            ("column_id", INT),
            ("key_ordinal", TINY),
            ("is_descending_key", BIT),
            ("is_included_column", BIT),
            ("partition_ordinal", TINY),
        ],
    },
    View {
        schema: "sys",
        name: "key_constraints",
        body: "SELECT o.name, o.object_id, o.schema_id, o.parent_object_id, o.type, tsql.type_words(o.type), i.index_id \
               FROM tsql.objects o JOIN tsql.indexes i ON i.object_id = o.parent_object_id AND i.name = o.name \
               WHERE o.type IN ('PK', 'UQ')",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("schema_id", INT),
            ("parent_object_id", INT),
            ("type", KIND),
            ("type_desc", WORDS),
            ("unique_index_id", INT),
        ],
    },
    View {
        schema: "sys",
        name: "check_constraints",
        body: "SELECT o.name, o.object_id, o.schema_id, o.parent_object_id, c.definition, 0::int2 FROM tsql.objects o \
               JOIN tsql.constraints c ON c.object_id = o.object_id WHERE o.type = 'C'",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("schema_id", INT),
            ("parent_object_id", INT),
            ("definition", TEXT),
            ("is_disabled", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "default_constraints",
        body: "SELECT o.name, o.object_id, o.schema_id, o.parent_object_id, c.definition, c.column_id FROM tsql.objects o \
               JOIN tsql.constraints c ON c.object_id = o.object_id WHERE o.type = 'D'",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("schema_id", INT),
            ("parent_object_id", INT),
            ("definition", TEXT),
            ("parent_column_id", INT),
        ],
    },
    View {
        schema: "sys",
        name: "foreign_keys",
        body: "SELECT o.name, o.object_id, o.schema_id, o.parent_object_id, c.referenced_object_id, 0::int2, 0::int2 \
               FROM tsql.objects o JOIN tsql.constraints c ON c.object_id = o.object_id WHERE o.type = 'F'",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("schema_id", INT),
            ("parent_object_id", INT),
            ("referenced_object_id", INT),
            ("is_disabled", BIT),
            ("is_not_trusted", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "triggers",
        body: "SELECT name, object_id, parent_object_id, 0::int2, 0::int2 FROM tsql.objects WHERE type = 'TR'",
        columns: &[
            ("name", NAME),
            ("object_id", INT),
            ("parent_id", INT),
            ("is_disabled", BIT),
            ("is_instead_of_trigger", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "database_permissions",
        body: "SELECT 0::int2, NULL::bpchar, 0::int4, 0::int4, 0::int4, 0::int4, NULL::bpchar, NULL::bpchar, NULL::bpchar, \
               NULL::bpchar WHERE false",
        columns: &[
            ("class", TINY),
            ("class_desc", WORDS),
            ("major_id", INT),
            ("minor_id", INT),
            ("grantee_principal_id", INT),
            ("grantor_principal_id", INT),
            ("type", KIND),
            ("permission_name", NAME),
            ("state", KIND),
            ("state_desc", WORDS),
        ],
    },
    View {
        schema: "sys",
        name: "extended_properties",
        body: "SELECT 0::int2, NULL::bpchar, 0::int4, 0::int4, NULL::bpchar WHERE false",
        columns: &[
            ("class", TINY),
            ("class_desc", WORDS),
            ("major_id", INT),
            ("minor_id", INT),
            ("name", NAME),
        ],
    },
    View {
        schema: "sys",
        name: "computed_columns",
        body: "SELECT object_id, name, column_id, NULL::bpchar, 0::int2 FROM tsql.columns WHERE false",
        columns: &[
            ("object_id", INT),
            ("name", NAME),
            ("column_id", INT),
            ("definition", TEXT),
            ("is_persisted", BIT),
        ],
    },
    View {
        schema: "sys",
        name: "identity_columns",
        body: "SELECT object_id, name, column_id, seed, increment FROM tsql.columns WHERE is_identity = 1",
        columns: &[
            ("object_id", INT),
            ("name", NAME),
            ("column_id", INT),
            ("seed_value", BIG),
            ("increment_value", BIG),
        ],
    },
    View {
        schema: "sys",
        name: "partitions",
        body: "SELECT o.object_id, 1::int4, 1::int4, greatest(p.reltuples, 0)::int8 FROM tsql.objects o \
               JOIN pg_class p ON p.relname = 't' || o.object_id WHERE o.type = 'U'",
        columns: &[("object_id", INT), ("index_id", INT), ("partition_number", INT), ("rows", BIG)],
    },
    View {
        schema: "sys",
        name: "databases",
        body: "",
        columns: &[
            ("name", NAME),
            ("database_id", INT),
            ("compatibility_level", TINY),
            ("collation_name", NAME),
            ("is_read_only", BIT),
            ("state", TINY),
            ("state_desc", WORDS),
            ("snapshot_isolation_state", TINY),
            ("snapshot_isolation_state_desc", WORDS),
            ("is_read_committed_snapshot_on", BIT),
            ("recovery_model_desc", WORDS),
            ("delayed_durability_desc", WORDS),
            ("log_reuse_wait_desc", WORDS),
            ("is_cdc_enabled", BIT),
        ],
    },
    View {
        schema: "INFORMATION_SCHEMA",
        name: "TABLES",
        body: "SELECT current_setting('tsql.database', true)::bpchar, s.name, o.name, 'BASE TABLE'::bpchar FROM tsql.objects o \
               JOIN tsql.schemas s ON s.schema_id = o.schema_id WHERE o.type = 'U'",
        columns: &[
            ("TABLE_CATALOG", NAME),
            ("TABLE_SCHEMA", NAME),
            ("TABLE_NAME", NAME),
            ("TABLE_TYPE", WORDS),
        ],
    },
    View {
        schema: "INFORMATION_SCHEMA",
        name: "COLUMNS",
        body: "SELECT current_setting('tsql.database', true)::bpchar, s.name, o.name, c.name, c.column_id, \
               (CASE c.is_nullable WHEN 1 THEN 'YES' ELSE 'NO' END)::bpchar, t.name, \
               (CASE WHEN c.collation_name IS NULL THEN NULL WHEN c.user_type_id IN (231, 239) AND c.max_length > 0 \
               THEN c.max_length / 2 ELSE c.max_length END)::int4, c.precision, c.scale::int4, c.collation_name \
               FROM tsql.columns c JOIN tsql.objects o ON o.object_id = c.object_id \
               JOIN tsql.schemas s ON s.schema_id = o.schema_id JOIN tsql.types t ON t.type_id = c.user_type_id",
        columns: &[
            ("TABLE_CATALOG", NAME),
            ("TABLE_SCHEMA", NAME),
            ("TABLE_NAME", NAME),
            ("COLUMN_NAME", NAME),
            ("ORDINAL_POSITION", INT),
            ("IS_NULLABLE", WORDS),
            ("DATA_TYPE", NAME),
            ("CHARACTER_MAXIMUM_LENGTH", INT),
            ("NUMERIC_PRECISION", TINY),
            ("NUMERIC_SCALE", INT),
            ("COLLATION_NAME", NAME),
        ],
    },
];

/// The view of this name as a table.
pub(crate) fn view(schema: &str, name: &str) -> Option<Arc<Table>> {
    let index = VIEWS.iter().position(|view| same_name(view.schema, schema) && same_name(view.name, name))?;
    let view = VIEWS.get(index)?;
    let columns = view.columns.iter().zip(1..).map(|((name, column_type), column_id)| Column {
        column_id,
        name: (*name).to_owned(),
        physical: name.to_lowercase(),
        column_type: *column_type,
        collation: (physical::family(*column_type) == Family::Text).then(Collate::database_default),
        nullable: true,
        identity: false,
        default: None,
    });
    let relation = if view.body.is_empty() {
        DATABASES.to_owned()
    } else {
        format!("{}.{}", postgres_schema(view.schema), view.name.to_lowercase())
    };
    Some(Arc::new(Table {
        object_id: -1 - i32::try_from(index).unwrap_or_default(),
        schema: view.schema.to_owned(),
        name: view.name.to_owned(),
        relation,
        columns: columns.collect(),
        indexes: Vec::new(),
        system: true,
    }))
}

/// The statements that make the views.
pub(crate) fn create_views() -> String {
    let made = VIEWS.iter().filter(|view| !view.body.is_empty()).map(|view| {
        let names: Vec<String> = view.columns.iter().map(|(name, _)| name.to_lowercase()).collect();
        format!(
            "CREATE VIEW {}.{} ({}) AS {};\n",
            postgres_schema(view.schema),
            view.name.to_lowercase(),
            names.join(", "),
            view.body
        )
    });
    made.collect()
}

fn postgres_schema(schema: &str) -> &'static str {
    if schema == "sys" { "sys" } else { "isv" }
}
