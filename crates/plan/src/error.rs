//! [`PlanError`]: why a table or a batch cannot be planned.

use segcdc_model::{QualifiedName, TableKind};

use crate::convert::ValueError;
use crate::rules::{ChangeKind, Mask, TargetMode, ValuePolicy};
use crate::target_type::TargetType;

mod fault;

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
    /// A rule leaves a column out that is needed, or wants one that there is not.
    #[error("column \"{column}\" of {table} {reason}")]
    ColumnChoice {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// What is wrong, behind the column.
        reason: &'static str,
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
    /// A rule masks a column as it cannot be.
    #[error("column \"{column}\" of {table} cannot have the mask {mask}: {detail}")]
    MaskImpossible {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
        /// The mask.
        mask: Mask,
        /// Why not.
        detail: &'static str,
    },
    /// A rule keeps rows of a table as they cannot be.
    #[error("{table} cannot have the mode {mode}: {detail}")]
    ModeImpossible {
        /// The source table.
        table: QualifiedName,
        /// The mode.
        mode: TargetMode,
        /// Why not.
        detail: &'static str,
    },
    /// A rule adds a column that the target table cannot have.
    #[error("{table} cannot have the constant column \"{column}\": {detail}")]
    ConstantImpossible {
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
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
    /// A row came to meet the condition of its table, and not all of it was sent.
    #[error(
        "a row of {table} came to meet the condition of --where, and its column \"{column}\" was not sent"
    )]
    RowEntersInPart {
        /// OID of the planned table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The column.
        column: String,
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
            | PlanError::RowEntersInPart { oid, .. }
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
            | PlanError::ColumnChoice { .. }
            | PlanError::PolicyImpossible { .. }
            | PlanError::MaskImpossible { .. }
            | PlanError::ModeImpossible { .. }
            | PlanError::ConstantImpossible { .. }
            | PlanError::TypeImpossible { .. }
            | PlanError::TypeNarrows { .. }
            | PlanError::EmptyBatch
            | PlanError::OutOfOrder { .. }
            | PlanError::NotInMemory { .. } => None,
        }
    }
}
