//! What the state knows of source tables, what it records of their changes, and the statements that carry those out.

use segcdc_model::{Lsn, QualifiedName};
use segcdc_plan::{Action, SchemaChange, TablePlan, TargetColumn};

use crate::quote;
use crate::sql::letters::remove_if_there;
use crate::sql::{create_table, form};

/// What source tables were at the checkpoint: one row for each table whose changes are applied.
pub const KNOWN_TABLE: (&str, &str) = (
    "known_table",
    "CREATE TABLE [segcdc].[known_table] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [source_oid] bigint NOT NULL,
    [known] nvarchar(max) NOT NULL,
    [updated_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_known_table] PRIMARY KEY CLUSTERED ([pipeline], [source_oid])
)",
);

/// Changes of source tables, as they were found in the stream, with what became of them.
pub const SCHEMA_CHANGE: (&str, &str) = (
    "schema_change",
    "CREATE TABLE [segcdc].[schema_change] (
    [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [lsn] bigint NOT NULL,
    [number] int NOT NULL,
    [source_oid] bigint NOT NULL,
    [source_schema] nvarchar(63) NOT NULL,
    [source_name] nvarchar(63) NOT NULL,
    [kind] nvarchar(40) NOT NULL,
    [outcome] nvarchar(20) NOT NULL,
    [what] nvarchar(2000) NOT NULL,
    [statements] nvarchar(max) NULL,
    [made_at] datetime2(6) NOT NULL,
    CONSTRAINT [PK_segcdc_schema_change] PRIMARY KEY CLUSTERED ([pipeline], [lsn], [number])
)",
);

/// A change that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// OID of the source table.
    pub source_oid: u32,
    /// Its name.
    pub source: &'a QualifiedName,
    /// Commit end of the transaction in whose place it was made.
    pub lsn: Lsn,
    /// What kind of change it is.
    pub kind: &'static str,
    /// What became of it.
    pub outcome: &'static str,
    /// What was changed, for people.
    pub what: &'a str,
    /// The T-SQL that followed it; empty for none.
    pub statements: String,
}

/// One statement of a change, a batch of its own: SQL Server compiles a batch against the table as it is before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The T-SQL.
    pub sql: String,
    /// The planned column, behind the change, whose value for all rows is its only parameter.
    pub parameter: Option<usize>,
}

/// The statements of an action.
pub fn statements(change: &SchemaChange, action: &Action) -> Vec<Statement> {
    let (table, columns) = (&change.plan.target, &change.plan.columns);
    let plain = |sql| vec![Statement { sql, parameter: None }];
    match action {
        Action::RenameTable { from, to } => {
            create_table::rename_table(from, to).into_iter().flat_map(plain).collect()
        }
        Action::DropColumn { name } => plain(create_table::drop_column(table, name)),
        Action::RenameColumn { from, to } => plain(create_table::rename_column(table, from, to)),
        Action::DropKey => plain(create_table::drop_key(&change.plan)),
        Action::AlterColumn { column: TargetColumn { name, mssql_type, nullable, .. } } => {
            plain(create_table::alter_column(table, name, *mssql_type, *nullable))
        }
        Action::AddKey => create_table::add_key(&change.plan).into_iter().flat_map(plain).collect(),
        Action::AddColumn { column: index, existing } => {
            let Some(column) = columns.get(*index) else { return Vec::new() };
            let mut statements = plain(create_table::add_column(table, column));
            if existing.is_some() {
                let (name, value) = (quote::name(&column.name), "@P1".to_owned());
                let value = form::stored(column.mssql_type, value);
                let sql = format!("UPDATE {} SET {name} = {value}", quote::qualified(table));
                statements.push(Statement { sql, parameter: Some(*index) });
            }
            statements
        }
    }
}

/// What is known of the tables of a pipeline.
pub fn select_known(pipeline: &str) -> String {
    format!(
        "SELECT [source_oid], [known] FROM [segcdc].[known_table] WHERE [pipeline] = {} ORDER BY [source_oid]",
        quote::text(pipeline)
    )
}

/// Forgets what is known of a table, where anything is.
pub fn forget(pipeline: &str, source_oid: u32) -> String {
    format!("{} AND [source_oid] = {source_oid}", remove_if_there(KNOWN_TABLE.0, pipeline))
}

/// Writes what is known of a table of which nothing is known.
pub fn insert_known(pipeline: &str, source_oid: u32, known: &str) -> String {
    format!(
        "INSERT INTO [segcdc].[known_table] ([pipeline], [source_oid], [known], [updated_at]) \
         VALUES ({}, {source_oid}, {}, SYSUTCDATETIME())",
        quote::text(pipeline),
        quote::text(known)
    )
}

/// Writes what is known of a table now.
pub fn update_known(pipeline: &str, source_oid: u32, known: &str) -> String {
    format!(
        "UPDATE [segcdc].[known_table] SET [known] = {}, [updated_at] = SYSUTCDATETIME() \
         WHERE [pipeline] = {} AND [source_oid] = {source_oid}",
        quote::text(known),
        quote::text(pipeline)
    )
}

/// Gives a table the names and the fingerprint that it has behind a change.
pub fn update_table(pipeline: &str, plan: &TablePlan, source: &QualifiedName, shape: &str) -> String {
    format!(
        "UPDATE [segcdc].[pipeline_table] SET [source_schema] = {}, [source_name] = {}, [target_schema] = {}, \
         [target_name] = {}, [shape] = {}, [updated_at] = SYSUTCDATETIME() WHERE [pipeline] = {} AND [source_oid] = {}",
        quote::text(&source.schema),
        quote::text(&source.name),
        quote::text(&plan.target.schema),
        quote::text(&plan.target.name),
        quote::text(shape),
        quote::text(pipeline),
        plan.source.oid
    )
}

/// Records a change, behind those of the same transaction.
pub fn record(pipeline: &str, change: &Recorded<'_>) -> String {
    let statements = match change.statements.as_str() {
        "" => "NULL".to_owned(),
        statements => quote::text(statements),
    };
    format!(
        "INSERT INTO [segcdc].[schema_change] ([pipeline], [lsn], [number], [source_oid], [source_schema], \
         [source_name], [kind], [outcome], [what], [statements], [made_at]) \
         SELECT {name}, {lsn}, COUNT(*), {}, {}, {}, {}, {}, {}, {statements}, SYSUTCDATETIME() \
         FROM [segcdc].[schema_change] WHERE [pipeline] = {name} AND [lsn] = {lsn}",
        change.source_oid,
        quote::text(&change.source.schema),
        quote::text(&change.source.name),
        quote::text(change.kind),
        quote::text(change.outcome),
        quote::text(&change.what.chars().take(1000).collect::<String>()),
        name = quote::text(pipeline),
        lsn = change.lsn.as_u64(),
    )
}

/// What was recorded of these kinds, oldest first.
pub fn select_records(pipeline: &str, kinds: &[&str]) -> String {
    let kinds: Vec<String> = kinds.iter().map(|kind| quote::text(kind)).collect();
    format!(
        "SELECT [source_oid], [kind], [outcome], [what] FROM [segcdc].[schema_change] WHERE [pipeline] = {} \
         AND [kind] IN ({}) ORDER BY [lsn], [number]",
        quote::text(pipeline),
        kinds.join(", ")
    )
}

/// The last `limit` changes of a pipeline, newest first.
pub fn select_changes(pipeline: &str, limit: u32) -> String {
    format!(
        "SELECT TOP ({limit}) [source_oid], [source_schema], [source_name], [lsn], [number], [kind], [outcome], [what], \
         [statements], [made_at] FROM [segcdc].[schema_change] WHERE [pipeline] = {} ORDER BY [lsn] DESC, [number] DESC",
        quote::text(pipeline)
    )
}
