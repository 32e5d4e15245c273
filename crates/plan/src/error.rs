//! [`PlanError`]: why a table or a batch cannot be planned.

use segcdc_model::{Disposition, Fault, QualifiedName, TableKind};

use crate::convert::ValueError;
use crate::rules::{
    ChangeKind, ChangePolicy, ValuePolicy, append_only_ignoring, of_column, on_schema_change, rename_column,
    rename_table,
};
use crate::target_name;
use crate::target_type::TargetType;

/// Why something cannot be planned. Each case but the last two concerns one table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The relation's changes do not reach the logical stream.
    #[error("{table} is {}: {reason}", kind.with_article())]
    NotStreamable {
        /// The source table.
        table: QualifiedName,
        /// What it is.
        kind: TableKind,
        /// Why its changes are not in the stream.
        reason: &'static str,
    },
    /// The role has a setting of `lc_monetary` of its own, so nothing tells what `money` means in the database.
    #[error(
        "{table} has the money column {column}, and an lc_monetary of our own role hides how many digits money has in this \
         database"
    )]
    MoneyLocale {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
    },
    /// The target schema belongs to the server or to the product.
    #[error("{table} would go to the target schema {}, which is reserved", target.schema)]
    ReservedSchema {
        /// The source table.
        table: QualifiedName,
        /// What it would become.
        target: Box<QualifiedName>,
    },
    /// SQL Server has no tables without columns.
    #[error("{table} has no column that can be replicated")]
    NoColumns {
        /// The source table.
        table: QualifiedName,
    },
    /// More columns than a SQL Server table may have.
    #[error("{table} has {columns} columns; SQL Server takes {limit}")]
    TooManyColumns {
        /// The source table.
        table: QualifiedName,
        /// Its columns.
        columns: usize,
        /// What SQL Server takes.
        limit: usize,
    },
    /// SQL Server can have no table of the name.
    #[error("{table} would become {target}, whose name {reason}")]
    TargetName {
        /// The source table.
        table: QualifiedName,
        /// What it would become.
        target: Box<QualifiedName>,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// SQL Server can have no column of the name.
    #[error("column \"{column}\" of {table} would become \"{target}\", which {reason}")]
    ColumnName {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// What it would become.
        target: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// The names of two columns differ only by case, width, kind of kana or trailing blanks.
    #[error(
        "{table} has columns \"{other}\" and \"{column}\", whose names in the target are one to SQL Server"
    )]
    ColumnNameClash {
        /// The source table.
        table: QualifiedName,
        /// The later column.
        column: String,
        /// The earlier column.
        other: String,
        /// A name that the later column could have.
        free: String,
    },
    /// Two tables of the source have one target.
    #[error("{table} and {other} would both become {target}")]
    TargetNameClash {
        /// The later source table.
        table: QualifiedName,
        /// The earlier source table.
        other: Box<QualifiedName>,
        /// Their common target.
        target: Box<QualifiedName>,
        /// A name that the later table could have.
        free: String,
    },
    /// The key does not fit a SQL Server index.
    #[error("the key of {table} does not fit a SQL Server index: {detail}")]
    KeyTooWide {
        /// The source table.
        table: QualifiedName,
        /// What does not fit.
        detail: String,
    },
    /// The stream's shape of the table is not the planned one any more.
    #[error("{table} was changed at the source: {detail}")]
    SchemaChanged {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The first difference.
        detail: String,
    },
    /// The table was changed in a way that the target is not to follow.
    #[error("{table} was changed at the source: {detail} ({kind})")]
    SchemaChangeHalted {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// What kind of change it is.
        kind: ChangeKind,
        /// What was changed.
        detail: String,
        /// The whole pipeline is to stop, and not this table alone.
        all: bool,
    },
    /// A table with a planned table's name, but another OID.
    #[error("{table} was dropped and made again at the source")]
    TableRecreated {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
    },
    /// The stream does not identify old rows by the planned key any more.
    #[error("the replica identity of {table} was changed: {detail}")]
    ReplicaIdentityChanged {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// What is missing.
        detail: String,
    },
    /// An UPDATE or DELETE of a table whose rows nothing identifies.
    #[error("{operation} on {table}, which has no key and no REPLICA IDENTITY FULL")]
    UnidentifiedChanged {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// `UPDATE` or `DELETE`.
        operation: &'static str,
    },
    /// An UPDATE or DELETE of a table whose rows are only added, as its user said.
    #[error("{operation} on {table}, whose rows are only added by --append-only")]
    AppendOnlyChanged {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// `UPDATE` or `DELETE`.
        operation: &'static str,
    },
    /// What a rule wants to identify rows by cannot.
    #[error("{key} cannot identify the rows of {table}: it {reason}")]
    KeyUnusable {
        /// The source table.
        table: QualifiedName,
        /// The index, or the columns.
        key: String,
        /// Why not, behind "it".
        reason: &'static str,
        /// The index that could, were it the replica identity.
        identity: Option<String>,
    },
    /// A rule asks of a column what it cannot have.
    #[error("column \"{column}\" of {table} cannot have the policy {policy}: {detail}")]
    PolicyImpossible {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// The policy.
        policy: ValuePolicy,
        /// Why not.
        detail: &'static str,
    },
    /// A rule gives a column a type that it cannot have.
    #[error("column \"{column}\" of {table} ({source_type}) cannot be {target} in the target: {detail}")]
    TypeImpossible {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// Its type, as PostgreSQL writes it.
        source_type: Box<str>,
        /// The target type.
        target: TargetType,
        /// Why not.
        detail: &'static str,
    },
    /// A rule gives a column a type that does not hold all values, and no policy says what becomes of the others.
    #[error("{target} does not hold all that column \"{column}\" of {table} can have: {lost} do not fit")]
    TypeNarrows {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// The target type.
        target: TargetType,
        /// What does not fit.
        lost: String,
        /// Whether it is part of the key.
        in_key: bool,
    },
    /// More rows are set aside than a table may have.
    #[error("more than {limit} rows of {table} do not fit the target and would be set aside")]
    DeadLetterLimit {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// How many there may be.
        limit: u64,
    },
    /// The stream says something about a row that cannot be, given what it said before.
    #[error("the changes of {table} contradict each other: {detail}")]
    Contradiction {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// What cannot be.
        detail: &'static str,
    },
    /// A value that identifies a row cannot be read.
    #[error("column \"{column}\" of {table} cannot be read")]
    Value {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// Why not.
        #[source]
        source: ValueError,
    },
    /// A batch has to hold a transaction: without one there is no position to move to.
    #[error("there is no transaction to plan")]
    EmptyBatch,
    /// Transactions that do not follow each other.
    #[error("transactions are out of commit order: one ends at {previous}, the next one at {next}")]
    OutOfOrder {
        /// End of a transaction.
        previous: segcdc_model::Lsn,
        /// End of the next one, which is not behind it.
        next: segcdc_model::Lsn,
    },
    /// A transaction that is to be planned in parts, and not as a whole.
    #[error("the transaction that ends at {end_lsn} is not in memory and cannot be planned as a whole")]
    NotInMemory {
        /// Its end.
        end_lsn: segcdc_model::Lsn,
    },
}

/// The flag that makes `target` of a table.
fn moved(table: &QualifiedName, target: &QualifiedName) -> String {
    rename_table(table, Some(&target.schema), &target.name)
}

// === impl PlanError ===

impl PlanError {
    /// OID of the table to set aside so that the others can go on; `None` when the batch itself is at fault or the
    /// error comes from planning a table, before anything runs.
    pub fn table_oid(&self) -> Option<u32> {
        match self {
            PlanError::SchemaChanged { oid, .. }
            | PlanError::SchemaChangeHalted { oid, .. }
            | PlanError::TableRecreated { oid, .. }
            | PlanError::ReplicaIdentityChanged { oid, .. }
            | PlanError::UnidentifiedChanged { oid, .. }
            | PlanError::AppendOnlyChanged { oid, .. }
            | PlanError::DeadLetterLimit { oid, .. }
            | PlanError::Contradiction { oid, .. }
            | PlanError::Value { oid, .. } => Some(*oid),
            PlanError::NotStreamable { .. }
            | PlanError::MoneyLocale { .. }
            | PlanError::ReservedSchema { .. }
            | PlanError::TargetName { .. }
            | PlanError::NoColumns { .. }
            | PlanError::TooManyColumns { .. }
            | PlanError::ColumnName { .. }
            | PlanError::ColumnNameClash { .. }
            | PlanError::TargetNameClash { .. }
            | PlanError::KeyTooWide { .. }
            | PlanError::KeyUnusable { .. }
            | PlanError::PolicyImpossible { .. }
            | PlanError::TypeImpossible { .. }
            | PlanError::TypeNarrows { .. }
            | PlanError::EmptyBatch
            | PlanError::OutOfOrder { .. }
            | PlanError::NotInMemory { .. } => None,
        }
    }
}

impl Fault for PlanError {
    fn code(&self) -> &'static str {
        match self {
            PlanError::NotStreamable { .. } => "TABLE_NOT_STREAMABLE",
            PlanError::MoneyLocale { .. } => "MONEY_LOCALE",
            PlanError::ReservedSchema { .. } => "SCHEMA_RESERVED",
            PlanError::TargetName { .. } | PlanError::ColumnName { .. } => "IDENTIFIER_INVALID",
            PlanError::NoColumns { .. } => "TABLE_WITHOUT_COLUMNS",
            PlanError::TooManyColumns { .. } => "TOO_MANY_COLUMNS",
            PlanError::ColumnNameClash { .. } => "COLUMN_NAME_CLASH",
            PlanError::TargetNameClash { .. } => "DUPLICATE_MAPPING",
            PlanError::KeyTooWide { .. } => "KEY_TOO_WIDE",
            PlanError::KeyUnusable { .. } => "KEY_UNUSABLE",
            PlanError::PolicyImpossible { .. } => "POLICY_IMPOSSIBLE",
            PlanError::TypeImpossible { .. } => "TYPE_IMPOSSIBLE",
            PlanError::TypeNarrows { .. } => "TYPE_NARROWS",
            PlanError::SchemaChanged { .. } | PlanError::SchemaChangeHalted { .. } => "SCHEMA_CHANGED",
            PlanError::TableRecreated { .. } => "TABLE_RECREATED",
            PlanError::ReplicaIdentityChanged { .. } => "REPLICA_IDENTITY_CHANGED",
            PlanError::UnidentifiedChanged { .. } => "NO_REPLICA_IDENTITY",
            PlanError::AppendOnlyChanged { .. } => "APPEND_ONLY_CHANGED",
            PlanError::DeadLetterLimit { .. } => "DEAD_LETTER_LIMIT",
            PlanError::Contradiction { .. } => "STREAM_CONTRADICTION",
            PlanError::Value { source, .. } => source.code(),
            PlanError::EmptyBatch => "BATCH_EMPTY",
            PlanError::OutOfOrder { .. } => "STREAM_OUT_OF_ORDER",
            PlanError::NotInMemory { .. } => "BATCH_NOT_IN_MEMORY",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            PlanError::NotStreamable { .. }
            | PlanError::MoneyLocale { .. }
            | PlanError::ReservedSchema { .. }
            | PlanError::TargetName { .. }
            | PlanError::NoColumns { .. }
            | PlanError::TooManyColumns { .. }
            | PlanError::ColumnName { .. }
            | PlanError::ColumnNameClash { .. }
            | PlanError::TargetNameClash { .. }
            | PlanError::KeyTooWide { .. }
            | PlanError::KeyUnusable { .. }
            | PlanError::PolicyImpossible { .. }
            | PlanError::TypeImpossible { .. }
            | PlanError::TypeNarrows { .. }
            | PlanError::SchemaChanged { .. }
            | PlanError::SchemaChangeHalted { all: false, .. }
            | PlanError::TableRecreated { .. }
            | PlanError::ReplicaIdentityChanged { .. }
            | PlanError::UnidentifiedChanged { .. }
            | PlanError::AppendOnlyChanged { .. }
            | PlanError::DeadLetterLimit { .. }
            | PlanError::Contradiction { .. }
            | PlanError::Value { .. } => Disposition::HaltTable,
            PlanError::SchemaChangeHalted { all: true, .. }
            | PlanError::EmptyBatch
            | PlanError::OutOfOrder { .. }
            | PlanError::NotInMemory { .. } => Disposition::Halt,
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm a case, which the page of error codes is written from"
    )]
    fn hint(&self) -> String {
        match self {
            PlanError::MoneyLocale { .. } => {
                "take the setting from the role with ALTER ROLE ... RESET lc_monetary (and with IN DATABASE ..., if it \
                 is there), or say what the database means with ALTER DATABASE ... SET lc_monetary; or leave the table out"
            }
            PlanError::NotStreamable { .. } => {
                "leave it out, or replicate the tables behind a view, or make an unlogged table a logged one"
            }
            PlanError::ReservedSchema { table, target } => {
                let flag = moved(table, &target_name::in_other_schema(target));
                return format!("send it to another schema, {flag}, or leave the table out");
            }
            PlanError::TargetName { table, target, .. } => {
                let flag = moved(table, &target_name::possible(target));
                return format!("give it another name, {flag}, or leave the table out");
            }
            PlanError::ColumnName { table, column, target, .. } => {
                let flag = rename_column(table, column, &target_name::free(target, |_| false));
                return format!("give it another name, {flag}");
            }
            PlanError::NoColumns { .. } => "leave the table out, or add a column to it",
            PlanError::TooManyColumns { .. } => "leave the table out, or split it at the source",
            PlanError::ColumnNameClash { table, column, free, .. } => {
                let flag = rename_column(table, column, free);
                return format!("give one of the two columns another name, {flag}");
            }
            PlanError::TargetNameClash { table, target, free, .. } => {
                let flag = rename_table(table, Some(&target.schema), free);
                return format!("give one of the two tables another name, {flag}, or leave one out");
            }
            PlanError::KeyUnusable { identity: Some(_), .. } => {
                "make the index the replica identity, or set REPLICA IDENTITY FULL"
            }
            PlanError::KeyUnusable { .. } => {
                "name a unique index of plain NOT NULL columns, of all rows and not deferrable; without --key, rows are matched by \
                 their whole content (REPLICA IDENTITY FULL)"
            }
            PlanError::KeyTooWide { .. } => {
                "choose a narrower unique index with ALTER TABLE ... REPLICA IDENTITY USING INDEX"
            }
            PlanError::PolicyImpossible { .. } => {
                "give the column another policy: text, set_aside, or the default halt"
            }
            PlanError::TypeImpossible { .. } => {
                "give the column one of these types with --type, or leave the rule away: the usual type holds every value \
                 (docs/reference/types.md)"
            }
            PlanError::TypeNarrows { table, column, in_key, .. } => {
                let rule = of_column("--on-value", table, column, "set_aside");
                let other_policies =
                    if *in_key { "halt (the table)" } else { "halt (the table), null or clamp" };
                return format!("say what becomes of them: {rule}, or {other_policies}; or choose a wider type");
            }
            PlanError::SchemaChanged { .. } => {
                "bring the target table to the new shape, then copy the table again"
            }
            PlanError::SchemaChangeHalted { table, kind, all, .. } => {
                let rule = |policy| on_schema_change(table, *kind, policy);
                let (apply, ignore) = (rule(ChangePolicy::Apply), rule(ChangePolicy::Ignore));
                return match all {
                    true => format!("start it again with {apply} or {ignore}"),
                    false => format!(
                        "copy the table again with segcdc table resync; {apply} or {ignore} lets such changes pass from then on"
                    ),
                };
            }
            PlanError::TableRecreated { .. } => "copy the table again",
            PlanError::ReplicaIdentityChanged { .. } => {
                "set the replica identity back to what it was, then copy the table again"
            }
            PlanError::UnidentifiedChanged { .. } => {
                "add a primary key, or set REPLICA IDENTITY FULL, then copy the table again"
            }
            PlanError::AppendOnlyChanged { table, .. } => {
                let rule = append_only_ignoring(table);
                return format!("{rule} leaves them out, without it they are applied; then copy the table again");
            }
            PlanError::DeadLetterLimit { .. } => {
                "look at what segcdc deadletter lists; correct the rows at the source, or give the column another \
                 policy (text holds everything), then copy the table again"
            }
            PlanError::Contradiction { .. } => {
                "copy the table again, and report this: it is a fault of the product or of the stream"
            }
            PlanError::Value { source, .. } => return source.hint(),
            PlanError::EmptyBatch | PlanError::OutOfOrder { .. } | PlanError::NotInMemory { .. } => {
                "restart the pipeline; it goes on from its checkpoint. If it happens again, report it"
            }
        }
        .to_owned()
    }

    fn fix_sql(&self) -> Option<String> {
        None
    }
}
