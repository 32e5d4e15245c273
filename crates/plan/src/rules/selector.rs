//! [`Selector`]: what a rule is about.

use segcdc_model::name_pattern::parse_dotted;
use segcdc_model::{NamePattern, PgType, QualifiedName, SourceColumn};

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Everything.
    Everything,
    /// The columns of a source type: `timestamptz`, `numeric`, `numeric(10,2)`, `"double precision"`.
    Type(NamePattern),
    /// Tables, and all of their columns.
    Table {
        /// The schema.
        schema: NamePattern,
        /// The table.
        table: NamePattern,
    },
    /// Columns.
    Column {
        /// The schema.
        schema: NamePattern,
        /// The table.
        table: NamePattern,
        /// The column.
        column: NamePattern,
    },
}

// === impl Selector ===

impl Selector {
    /// Reads `type`, `schema.table` or `schema.table.column`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = parse_dotted(text)?.into_iter();
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, ..) => Some(Selector::Type(name)),
            (Some(schema), Some(table), None, _) => Some(Selector::Table { schema, table }),
            (Some(schema), Some(table), Some(column), None) => {
                Some(Selector::Column { schema, table, column })
            }
            _ => None,
        }
    }

    /// Whether it is about a source type.
    pub fn is_type(&self) -> bool {
        matches!(self, Selector::Type(_))
    }

    /// Whether it is about tables.
    pub fn is_table(&self) -> bool {
        matches!(self, Selector::Table { .. })
    }

    /// Whether it is about single columns.
    pub fn is_column(&self) -> bool {
        matches!(self, Selector::Column { .. })
    }

    /// Whether it is about this table, or some of its columns by name.
    pub fn matches_table(&self, name: &QualifiedName) -> bool {
        match self {
            Selector::Everything => true,
            Selector::Type(_) => false,
            Selector::Table { schema, table } | Selector::Column { schema, table, .. } => {
                schema.matches(&name.schema) && table.matches(&name.name)
            }
        }
    }

    /// Whether it is about this column of this table.
    pub fn matches_column(&self, table: &QualifiedName, column: &SourceColumn) -> bool {
        match self {
            Selector::Everything => true,
            Selector::Type(name) => matches_type(name, column),
            Selector::Table { .. } => self.matches_table(table),
            Selector::Column { column: name, .. } => self.matches_table(table) && name.matches(&column.name),
        }
    }

    /// Whether it names one thing, without wildcards.
    pub fn is_literal(&self) -> bool {
        let literal = |part: &NamePattern| part.literal().is_some();
        match self {
            Selector::Everything | Selector::Type(_) => false,
            Selector::Table { schema, table } => literal(schema) && literal(table),
            Selector::Column { schema, table, column } => {
                literal(schema) && literal(table) && literal(column)
            }
        }
    }

    /// How specific it is; of two that are about the same column, the higher one counts.
    pub fn specificity(&self) -> u8 {
        let kind = match self {
            Selector::Everything => 0,
            Selector::Type(_) => 2,
            Selector::Table { .. } => 4,
            Selector::Column { .. } => 6,
        };
        kind + u8::from(self.is_literal())
    }
}

/// Whether a name means the type of a column: as PostgreSQL writes it, without its modifiers, or in short.
fn matches_type(name: &NamePattern, column: &SourceColumn) -> bool {
    name.matches(&column.type_name)
        || name.matches(&without_modifiers(&column.type_name))
        || short_names(&column.pg_type).iter().any(|short| name.matches(short))
}

/// `timestamp(3) with time zone` as `timestamp with time zone`.
fn without_modifiers(type_name: &str) -> String {
    let (before, rest) = type_name.split_once('(').unwrap_or((type_name, ")"));
    let behind = rest.split_once(')').map_or("", |(_, behind)| behind);
    format!("{before}{behind}")
}

/// Names that PostgreSQL takes for a type beside the one that it writes; domains have those of their base type.
fn short_names(pg_type: &PgType) -> &'static [&'static str] {
    match pg_type {
        PgType::Bool => &["bool", "boolean"],
        PgType::Int2 => &["int2", "smallint"],
        PgType::Int4 => &["int4", "int", "integer"],
        PgType::Int8 => &["int8", "bigint"],
        PgType::Float4 => &["float4", "real"],
        PgType::Float8 => &["float8", "double precision"],
        PgType::Numeric { .. } => &["numeric", "decimal"],
        PgType::Text => &["text"],
        PgType::Varchar { .. } => &["varchar", "character varying"],
        PgType::Char { .. } => &["char", "bpchar", "character"],
        PgType::Name => &["name"],
        PgType::Bytea => &["bytea"],
        PgType::Uuid => &["uuid"],
        PgType::Json => &["json"],
        PgType::Jsonb => &["jsonb"],
        PgType::Date => &["date"],
        PgType::Time => &["time", "time without time zone"],
        PgType::Timestamp => &["timestamp", "timestamp without time zone"],
        PgType::TimestampTz => &["timestamptz", "timestamp with time zone"],
        PgType::Bit => &["bit"],
        PgType::Money { .. } | PgType::MoneyOfUnknownDigits => &["money"],
        PgType::Oid => &["oid"],
        PgType::Enum | PgType::Other => &[],
    }
}
