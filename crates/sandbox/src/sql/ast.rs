//! Parsed T-SQL: only what the sandbox runs.

use segcdc_tds::ColumnType;

/// A batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    /// Its statements.
    pub(crate) statements: Vec<Statement>,
    /// How many statements there are in all, nested ones included: their ids are below it.
    pub(crate) count: usize,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    /// Number within the batch.
    pub(crate) id: usize,
    /// Line of the batch where it begins.
    pub(crate) line: i32,
    /// What it does.
    pub(crate) kind: StatementKind,
    /// Tables that it names anywhere, for looking them up before it is translated.
    pub(crate) tables: Vec<ObjectName>,
}

/// What a statement does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StatementKind {
    /// `SET option value`
    SetOption(SetOption),
    /// `DECLARE @x type = value, ...`
    Declare(Vec<Declaration>),
    /// `DECLARE @t TABLE (...)`
    DeclareTable(Box<CreateTable>),
    /// `SET @x = value`
    Assign {
        /// With the at sign.
        variable: String,
        /// The new value.
        value: Expr,
    },
    /// `SELECT`
    Select(Box<Query>),
    /// `INSERT`
    Insert(Box<Insert>),
    /// `UPDATE`
    Update(Box<Update>),
    /// `DELETE`
    Delete(Box<Delete>),
    /// `MERGE`
    Merge(Box<Merge>),
    /// Changes of the catalog.
    Definition(Definition),
    /// `BEGIN TRANSACTION`
    Begin,
    /// `COMMIT`
    Commit,
    /// `ROLLBACK`, with the name of a savepoint or transaction.
    Rollback(Option<String>),
    /// `SAVE TRANSACTION name`
    Save(String),
    /// `IF condition ... ELSE ...`
    If {
        /// The condition.
        condition: Expr,
        /// When it is true.
        then: Box<Statement>,
        /// When it is false or unknown.
        otherwise: Option<Box<Statement>>,
    },
    /// `WHILE condition ...`
    While {
        /// The condition.
        condition: Expr,
        /// The body.
        body: Box<Statement>,
    },
    /// `BEGIN ... END`
    Block(Vec<Statement>),
    /// `BEGIN TRY ... END TRY BEGIN CATCH ... END CATCH`
    TryCatch {
        /// What is tried.
        body: Vec<Statement>,
        /// What runs after an error.
        handler: Vec<Statement>,
    },
    /// `THROW`, bare or with number, text and state.
    Throw(Option<[Expr; 3]>),
    /// `RAISERROR(text, class, state)`
    Raiserror {
        /// Text, class and state.
        arguments: Vec<Expr>,
    },
    /// `PRINT text`
    Print(Expr),
    /// `RETURN`
    Return,
    /// `BREAK`
    Break,
    /// `CONTINUE`
    Continue,
    /// `EXEC(text)`
    ExecuteText(Expr),
    /// `EXEC procedure arguments`
    Execute {
        /// Its name, without schema.
        procedure: String,
        /// `@name = value` or by position.
        arguments: Vec<Argument>,
    },
    /// `INSERT ... EXEC procedure arguments`
    InsertExecute(Box<InsertExecute>),
    /// `INSERT BULK`
    BulkInsert(BulkInsert),
    /// `USE database`
    Use(String),
}

/// A session option.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SetOption {
    /// `XACT_ABORT`
    XactAbort(bool),
    /// `NOCOUNT`
    NoCount(bool),
    /// `FMTONLY`
    FormatOnly(bool),
    /// `IMPLICIT_TRANSACTIONS`
    ImplicitTransactions(bool),
    /// `LOCK_TIMEOUT`, milliseconds; below zero is for ever.
    LockTimeout(i64),
    /// `ROWCOUNT`; 0 for all.
    RowCount(u64),
    /// `TRANSACTION ISOLATION LEVEL`
    Isolation(Isolation),
    /// `IDENTITY_INSERT table`
    IdentityInsert(ObjectName, bool),
    /// Accepted because its value is the one that the sandbox has, or because it changes nothing here.
    Accepted,
}

/// A transaction isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// READ UNCOMMITTED, run as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED
    ReadCommitted,
    /// REPEATABLE READ
    RepeatableRead,
    /// SERIALIZABLE
    Serializable,
    /// SNAPSHOT
    Snapshot,
}

/// A declared variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declaration {
    /// With the at sign.
    pub(crate) name: String,
    /// Its type.
    pub(crate) column_type: ColumnType,
    /// Its first value.
    pub(crate) value: Option<Expr>,
}

/// An argument of EXEC.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    /// `@name`, if it is given by name.
    pub(crate) name: Option<String>,
    /// Its value.
    pub(crate) value: Expr,
    /// With OUTPUT.
    pub(crate) output: bool,
}

/// The name of a table or another object: one to four parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectName {
    /// Database.
    pub(crate) database: Option<String>,
    /// Schema.
    pub(crate) schema: Option<String>,
    /// Name; begins with `#` for a temporary table, with `@` for a table variable.
    pub(crate) name: String,
}

/// An expression or a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// A column, with up to three qualifiers in front.
    Column(Vec<String>),
    /// `@x` or `@@X`
    Variable(String),
    /// A literal.
    Literal(Literal),
    /// `DEFAULT` in VALUES or SET.
    Default,
    /// `-x`, `+x`, `~x`
    Unary(&'static str, Box<Expr>),
    /// `+ - * / % & | ^`
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `= <> < <= > >=`
    Compare(&'static str, Box<Expr>, Box<Expr>),
    /// `AND` of all.
    And(Vec<Expr>),
    /// `OR` of all.
    Or(Vec<Expr>),
    /// `NOT`
    Not(Box<Expr>),
    /// `IS [NOT] NULL`
    IsNull(Box<Expr>, bool),
    /// `[NOT] IN (list)`
    In(Box<Expr>, Vec<Expr>, bool),
    /// `[NOT] IN (query)`
    InQuery(Box<Expr>, Box<Query>, bool),
    /// `[NOT] BETWEEN`
    Between(Box<Expr>, Box<Expr>, Box<Expr>, bool),
    /// `[NOT] LIKE pattern ESCAPE escape`
    Like(Box<Expr>, Box<Expr>, Option<Box<Expr>>, bool),
    /// `EXISTS (query)`
    Exists(Box<Query>),
    /// `CASE operand WHEN .. THEN .. ELSE .. END`
    Case(Option<Box<Expr>>, Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// `CAST`, `CONVERT` and their TRY forms.
    Cast {
        /// What is converted.
        value: Box<Expr>,
        /// To what.
        to: ColumnType,
        /// Style of CONVERT.
        style: Option<Box<Expr>>,
        /// NULL instead of an error.
        attempt: bool,
    },
    /// A function.
    Function(Box<Function>),
    /// `(query)` as a value.
    Subquery(Box<Query>),
    /// `x COLLATE name`
    Collate(Box<Expr>, String),
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Function {
    /// Upper-cased name.
    pub(crate) name: String,
    /// Arguments.
    pub(crate) arguments: Vec<Expr>,
    /// `COUNT(*)`
    pub(crate) star: bool,
    /// `COUNT(DISTINCT x)`
    pub(crate) distinct: bool,
    /// `OVER (PARTITION BY .. ORDER BY ..)`
    pub(crate) over: Option<Window>,
}

/// A window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    /// PARTITION BY
    pub(crate) partition: Vec<Expr>,
    /// ORDER BY
    pub(crate) order: Vec<OrderItem>,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// NULL
    Null,
    /// Digits.
    Integer(String),
    /// Digits with a point.
    Decimal(String),
    /// Digits with an exponent.
    Float(String),
    /// Text; the flag is for N'..'.
    Text(String, bool),
    /// 0x..
    Binary(Vec<u8>),
}

/// A query: WITH, SELECTs combined by set operators, ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    /// Common table expressions.
    pub(crate) with: Vec<CommonTable>,
    /// The SELECTs.
    pub(crate) body: QueryBody,
    /// ORDER BY
    pub(crate) order: Vec<OrderItem>,
    /// OFFSET
    pub(crate) offset: Option<Expr>,
    /// FETCH
    pub(crate) fetch: Option<Expr>,
}

/// A common table expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CommonTable {
    /// Its name.
    pub(crate) name: String,
    /// Names of its columns, if given.
    pub(crate) columns: Vec<String>,
    /// Its query.
    pub(crate) query: Query,
}

/// SELECT or a combination.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QueryBody {
    /// SELECT
    Select(Box<Select>),
    /// `left UNION|UNION ALL|EXCEPT|INTERSECT right`
    Combine(&'static str, Box<QueryBody>, Box<QueryBody>),
    /// A query in parentheses.
    Nested(Box<Query>),
}

/// A SELECT.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Select {
    /// DISTINCT
    pub(crate) distinct: bool,
    /// TOP
    pub(crate) top: Option<Expr>,
    /// What is selected.
    pub(crate) items: Vec<SelectItem>,
    /// INTO
    pub(crate) into: Option<ObjectName>,
    /// FROM, joined by commas.
    pub(crate) from: Vec<TableSource>,
    /// WHERE
    pub(crate) filter: Option<Expr>,
    /// GROUP BY
    pub(crate) group: Vec<Expr>,
    /// HAVING
    pub(crate) having: Option<Expr>,
}

/// Something selected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SelectItem {
    /// `*` or `t.*`
    Star(Option<String>),
    /// An expression with its alias.
    Value(Expr, Option<String>),
    /// `@x = expression`
    Assign(String, Expr),
}

/// A table in FROM.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TableSource {
    /// A table or view.
    Table {
        /// Its name.
        name: ObjectName,
        /// Its alias.
        alias: Option<String>,
        /// Upper-cased hints.
        hints: Vec<String>,
    },
    /// `(query) AS alias (columns)`
    Derived {
        /// The query.
        query: Box<Query>,
        /// Its alias.
        alias: String,
        /// Names of columns, if given.
        columns: Vec<String>,
    },
    /// `(VALUES (..), ..) AS alias (columns)`
    Values {
        /// Its rows.
        rows: Vec<Vec<Expr>>,
        /// Its alias.
        alias: String,
        /// Names of its columns.
        columns: Vec<String>,
    },
    /// A join.
    Join {
        /// `INNER`, `LEFT`, `RIGHT`, `FULL` or `CROSS`.
        kind: &'static str,
        /// Left side.
        left: Box<TableSource>,
        /// Right side.
        right: Box<TableSource>,
        /// ON
        on: Option<Expr>,
    },
}

/// An item of ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OrderItem {
    /// What to order by.
    pub(crate) value: Expr,
    /// DESC
    pub(crate) descending: bool,
}

/// INSERT
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Insert {
    /// Common table expressions in front.
    pub(crate) with: Vec<CommonTable>,
    /// The table.
    pub(crate) table: ObjectName,
    /// Columns; empty for all.
    pub(crate) columns: Vec<String>,
    /// OUTPUT
    pub(crate) output: Option<Output>,
    /// Where rows come from.
    pub(crate) source: InsertSource,
}

/// INSERT of the rows that a procedure returns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InsertExecute {
    /// The table.
    pub(crate) table: ObjectName,
    /// Columns; empty for all.
    pub(crate) columns: Vec<String>,
    /// The procedure, without schema.
    pub(crate) procedure: String,
    /// Its arguments.
    pub(crate) arguments: Vec<Argument>,
}

/// Where an INSERT takes rows from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum InsertSource {
    /// VALUES
    Values(Vec<Vec<Expr>>),
    /// SELECT
    Query(Box<Query>),
    /// DEFAULT VALUES
    Defaults,
}

/// OUTPUT
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// What is returned.
    pub(crate) items: Vec<SelectItem>,
    /// INTO a table.
    pub(crate) into: Option<ObjectName>,
}

/// UPDATE
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Update {
    /// Common table expressions in front.
    pub(crate) with: Vec<CommonTable>,
    /// TOP
    pub(crate) top: Option<Expr>,
    /// A table, or an alias of FROM.
    pub(crate) target: ObjectName,
    /// Column and value.
    pub(crate) set: Vec<(String, Expr)>,
    /// OUTPUT
    pub(crate) output: Option<Output>,
    /// FROM
    pub(crate) from: Vec<TableSource>,
    /// WHERE
    pub(crate) filter: Option<Expr>,
}

/// DELETE
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delete {
    /// Common table expressions in front.
    pub(crate) with: Vec<CommonTable>,
    /// TOP
    pub(crate) top: Option<Expr>,
    /// A table, or an alias of FROM.
    pub(crate) target: ObjectName,
    /// OUTPUT
    pub(crate) output: Option<Output>,
    /// FROM
    pub(crate) from: Vec<TableSource>,
    /// WHERE
    pub(crate) filter: Option<Expr>,
}

/// MERGE
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Merge {
    /// The table.
    pub(crate) target: ObjectName,
    /// Its alias.
    pub(crate) alias: Option<String>,
    /// USING
    pub(crate) source: TableSource,
    /// ON
    pub(crate) on: Expr,
    /// WHEN clauses in order.
    pub(crate) clauses: Vec<MergeClause>,
    /// OUTPUT
    pub(crate) output: Option<Output>,
}

/// WHEN of a MERGE
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MergeClause {
    /// Which rows.
    pub(crate) matched: MergeMatch,
    /// AND
    pub(crate) condition: Option<Expr>,
    /// THEN
    pub(crate) action: MergeAction,
}

/// Which rows a WHEN is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergeMatch {
    /// MATCHED
    Matched,
    /// NOT MATCHED \[BY TARGET\]
    NotMatched,
}

/// What a WHEN does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MergeAction {
    /// UPDATE SET
    Update(Vec<(String, Expr)>),
    /// DELETE
    Delete,
    /// INSERT (columns) VALUES (values)
    Insert(Vec<String>, Vec<Expr>),
}

/// INSERT BULK
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BulkInsert {
    /// The table.
    pub(crate) table: ObjectName,
    /// Column, type, collation.
    pub(crate) columns: Vec<(String, ColumnType, Option<String>)>,
    /// KEEP_NULLS
    pub(crate) keep_nulls: bool,
    /// CHECK_CONSTRAINTS
    pub(crate) check_constraints: bool,
    /// KEEP_IDENTITY
    pub(crate) keep_identity: bool,
}

/// A change of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Definition {
    /// CREATE DATABASE
    CreateDatabase(String),
    /// DROP DATABASE; the flag is for IF EXISTS.
    DropDatabase(String, bool),
    /// ALTER DATABASE name (`None` for CURRENT) SET option ON or OFF
    AlterDatabase(Option<String>, DatabaseOption, bool),
    /// CREATE SCHEMA
    CreateSchema(String),
    /// DROP SCHEMA; the flag is for IF EXISTS.
    DropSchema(String, bool),
    /// CREATE TABLE
    CreateTable(Box<CreateTable>),
    /// DROP TABLE; the flag is for IF EXISTS.
    DropTable(Vec<ObjectName>, bool),
    /// TRUNCATE TABLE
    Truncate(ObjectName),
    /// ALTER TABLE
    AlterTable(ObjectName, AlterTable),
    /// ALTER SCHEMA name TRANSFER table
    Transfer(String, ObjectName),
    /// CREATE INDEX
    CreateIndex(Box<CreateIndex>),
    /// DROP INDEX name ON table; the flag is for IF EXISTS.
    DropIndex(String, ObjectName, bool),
}

/// An option of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseOption {
    /// ALLOW_SNAPSHOT_ISOLATION
    AllowSnapshotIsolation,
    /// READ_COMMITTED_SNAPSHOT
    ReadCommittedSnapshot,
    /// DELAYED_DURABILITY = FORCED
    DelayedDurability,
    /// READ_ONLY
    ReadOnly,
}

/// CREATE TABLE
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CreateTable {
    /// Its name.
    pub(crate) name: ObjectName,
    /// Its columns.
    pub(crate) columns: Vec<ColumnDefinition>,
    /// Its constraints, those of columns included.
    pub(crate) constraints: Vec<Constraint>,
}

/// A column of CREATE TABLE.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnDefinition {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) column_type: ColumnType,
    /// COLLATE
    pub(crate) collation: Option<String>,
    /// NULL or NOT NULL, if said.
    pub(crate) nullable: Option<bool>,
    /// IDENTITY(seed, increment)
    pub(crate) identity: Option<(i64, i64)>,
    /// DEFAULT
    pub(crate) default: Option<DefaultValue>,
}

/// DEFAULT of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DefaultValue {
    /// Name of the constraint, if given.
    pub(crate) name: Option<String>,
    /// The value.
    pub(crate) value: Expr,
    /// Its text.
    pub(crate) text: String,
}

/// A constraint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constraint {
    /// Its name, if given.
    pub(crate) name: Option<String>,
    /// What it demands.
    pub(crate) kind: ConstraintKind,
}

/// What a constraint demands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ConstraintKind {
    /// PRIMARY KEY or UNIQUE.
    Key {
        /// PRIMARY KEY
        primary: bool,
        /// CLUSTERED
        clustered: bool,
        /// Columns, with DESC.
        columns: Vec<(String, bool)>,
    },
    /// CHECK, with its text.
    Check(Expr, String),
    /// FOREIGN KEY
    Foreign {
        /// Columns.
        columns: Vec<String>,
        /// Table referred to.
        table: ObjectName,
        /// Columns referred to; empty for its primary key.
        referenced: Vec<String>,
    },
    /// DEFAULT value FOR column
    Default {
        /// The column.
        column: String,
        /// The value.
        value: Expr,
        /// Its text.
        text: String,
    },
}

/// ALTER TABLE
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AlterTable {
    /// ADD columns and constraints.
    Add(Vec<ColumnDefinition>, Vec<Constraint>),
    /// DROP CONSTRAINT; the flag is for IF EXISTS.
    DropConstraint(Vec<String>, bool),
    /// DROP COLUMN; the flag is for IF EXISTS.
    DropColumn(Vec<String>, bool),
    /// ALTER COLUMN
    AlterColumn(ColumnDefinition),
    /// Accepted, does nothing (`SET (LOCK_ESCALATION = ..)`, CHECK CONSTRAINT ALL).
    Nothing,
}

/// CREATE INDEX
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CreateIndex {
    /// Its name.
    pub(crate) name: String,
    /// Its table.
    pub(crate) table: ObjectName,
    /// UNIQUE
    pub(crate) unique: bool,
    /// CLUSTERED
    pub(crate) clustered: bool,
    /// Columns, with DESC.
    pub(crate) columns: Vec<(String, bool)>,
    /// INCLUDE
    pub(crate) included: Vec<String>,
    /// WHERE
    pub(crate) filter: Option<Expr>,
}

// === impl ObjectName ===

impl ObjectName {
    /// Whether it names a temporary table or a table variable.
    pub(crate) fn is_temporary(&self) -> bool {
        self.name.starts_with('#') || self.is_variable()
    }

    /// Whether it names a table variable.
    pub(crate) fn is_variable(&self) -> bool {
        self.schema.is_none() && self.name.starts_with('@')
    }
}

/// As error messages show it: without delimiters.
impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.name)
    }
}
